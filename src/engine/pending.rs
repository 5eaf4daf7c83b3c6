//! Answers that wait for the store: which commit each of them hangs on, and what is told when that
//! commit fails.

use super::EngineError;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;

/// How a commit ended, as the answers that hang on it see it.
pub struct Fate<'a> {
    /// Set when the store did not take the commit.
    pub error: Option<&'a EngineError>,
    /// Sequence numbers of messages whose publish failed while later answers were waiting.
    pub gone: &'a FxHashSet<u64>,
}

/// Sends one answer once its commit's fate is known.
pub type Release = Box<dyn FnOnce(&Fate<'_>) + Send>;

/// One unit that was handed to the store.
#[derive(Default)]
pub struct Unit {
    /// Sequence numbers published in it.
    pub published: Vec<u64>,
    /// Answers that wait for it.
    pub releases: Vec<Release>,
    /// Numbers up to this one are in the store once it is.
    pub through: u64,
}

impl Unit {
    fn is_empty(&self) -> bool {
        self.published.is_empty() && self.releases.is_empty()
    }
}

/// Units in the order they were handed over; the last one may still be open.
#[derive(Default)]
pub struct Pipeline {
    sent: VecDeque<(u64, Unit)>,
    open: Unit,
    next_ticket: u64,
    committed: u64,
    gone: FxHashSet<u64>,
}

impl Pipeline {
    /// The unit that gathers until the end of the turn.
    pub fn open(&mut self) -> &mut Unit {
        &mut self.open
    }

    /// Whether a message with this number may not be in the store yet.
    pub fn is_unsettled(&self, number: u64) -> bool {
        number > self.committed && !(self.sent.is_empty() && self.open.published.is_empty())
    }

    /// Units that were handed over and not settled.
    pub fn in_store(&self) -> usize {
        self.sent.len()
    }

    /// Lets `release` wait for everything decided so far, or runs it at once when nothing is open.
    pub fn after_all(&mut self, has_records: bool, release: Release) {
        if has_records || !self.open.is_empty() {
            self.open.releases.push(release);
        } else if let Some((_, unit)) = self.sent.back_mut() {
            unit.releases.push(release);
        } else {
            release(&Fate { error: None, gone: &self.gone });
        }
    }

    /// Closes the open unit; returns its ticket.
    pub fn hand_over(&mut self, through: u64) -> u64 {
        let mut unit = std::mem::take(&mut self.open);
        unit.through = through;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.sent.push_back((ticket, unit));
        ticket
    }

    /// Settles a unit. When the store refused it, its published sequence numbers come back so that
    /// the rules can forget them *before* the releases run.
    pub fn take(&mut self, ticket: u64, failed: bool) -> Option<Unit> {
        let at = self.sent.iter().position(|(sent, _)| *sent == ticket)?;
        let (_, unit) = self.sent.remove(at)?;
        if failed {
            self.gone.extend(unit.published.iter().copied());
        }
        self.committed = self.committed.max(unit.through);
        Some(unit)
    }

    /// Runs the releases of a unit.
    pub fn release(&mut self, unit: Unit, error: Option<&EngineError>) {
        for release in unit.releases {
            release(&Fate { error, gone: &self.gone });
        }
        if self.sent.is_empty() {
            self.gone.clear();
        }
    }
}
