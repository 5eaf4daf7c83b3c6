//! Which entries may have notes of their own in the store.

use rustc_hash::FxHashSet;

/// Entries remembered as having an `attempt` or `dead` row; above it every removal looks.
const NOTED_MAX: usize = 1 << 20;

/// Which entries may have rows in `attempt` or `dead`, so that a plain ack does not look there.
///
/// Holding too many is harmless, missing one is not: what left is forgotten only after the commit.
#[derive(Debug, Default)]
pub struct Noted {
    entries: FxHashSet<u64>,
    overflowed: bool,
    pub(super) gone: Vec<u64>,
}

impl Noted {
    pub fn add(&mut self, entry: u64) {
        if self.entries.len() < NOTED_MAX {
            self.entries.insert(entry);
        } else {
            self.overflowed = true;
        }
    }

    pub fn may_have(&self, entry: u64) -> bool {
        self.overflowed || (!self.entries.is_empty() && self.entries.contains(&entry))
    }

    pub fn committed(&mut self) {
        for entry in self.gone.drain(..) {
            self.entries.remove(&entry);
        }
        if self.entries.is_empty() && !self.overflowed {
            self.entries.shrink_to(1024);
        }
    }

    pub fn rolled_back(&mut self) {
        self.gone.clear();
    }
}
