//! The local engine: the rules of `queue` in memory, the journal behind them.
//!
//! Rules are applied at once, in the order of the calls; what they note goes to the journal at the
//! end of the turn, and every answer that tells of something not yet in the store waits for it.
//! When the store refuses a unit, its publishes are taken back before anybody has seen them.
//!
//! The verbs of the trait stand in `verbs.rs`, the two longest of them in `publishing.rs` and
//! `handing_out.rs`; `commits.rs` is the way to the journal and back, `bodies.rs` that to bodies on disk,
//! `factory.rs` makes engines.

mod bodies;
mod budget;
mod commits;
mod factory;
mod handing_out;
mod publishing;
#[cfg(test)]
mod tests;
mod verbs;

pub use budget::MemoryBudget;
pub use factory::LocalFactory;

use super::granted::Granted;
use super::pending::Pipeline;
use super::*;
use crate::journal::{Journal, Submission};
use bodies::Fill;
use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use std::{collections::VecDeque, sync::mpsc};

enum Rules {
    Broker(Box<Topic>),
    Pubsub(Box<History>),
}

/// What other threads report.
enum Event {
    Settled { ticket: u64, result: Result<(), JournalError> },
    Fill { id: u64, fill: Fill },
    Fetched { fill: u64, bodies: Vec<(u64, Option<Bytes>)> },
    Warmed { bodies: Vec<(u64, Option<Bytes>)> },
    Departed(Vec<Leaving>),
}

/// The engine of one topic on this machine.
pub struct LocalEngine {
    definition: TopicDefinition,
    rules: Rules,
    /// False at level memory: messages never reach the store, definitions do.
    remembers: bool,
    journal: Journal,
    memory: Arc<MemoryBudget>,
    accounted: u64,
    ledger: Ledger,
    pipeline: Pipeline,
    stalled: VecDeque<Submission>,
    events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    wake: Wake,
    fills: FxHashMap<u64, Fill>,
    granted: Granted,
    /// Queues that were dropped while bodies of theirs were being read.
    dropped: FxHashSet<u32>,
    /// Some bodies are on disk only.
    cold: bool,
    warming: bool,
    departed: Vec<Leaving>,
    seq_reserved: u64,
    last_now: Timestamp,
}

impl LocalEngine {
    /// An engine without messages. `nonce` starts the receipts: differs between any two runs.
    fn new(
        definition: TopicDefinition,
        journal: Journal,
        memory: Arc<MemoryBudget>,
        nonce: u64,
    ) -> Self {
        let rules = match definition.kind {
            Kind::Broker => Rules::Broker(Box::new(Topic::new(&definition, nonce))),
            Kind::Pubsub => Rules::Pubsub(Box::new(History::new(&definition))),
        };
        let remembers = definition.policy.durability != Level::Memory;
        LocalEngine {
            definition,
            rules,
            remembers,
            journal,
            memory,
            accounted: 0,
            ledger: if remembers { Ledger::on(1, 0) } else { Ledger::off(1) },
            pipeline: Pipeline::default(),
            stalled: VecDeque::new(),
            events: mpsc::channel(),
            wake: Arc::new(|| ()),
            fills: FxHashMap::default(),
            granted: Granted::default(),
            dropped: FxHashSet::default(),
            cold: false,
            warming: false,
            departed: Vec::new(),
            seq_reserved: 0,
            last_now: Timestamp(0),
        }
    }

    fn last_seq(&self) -> u64 {
        match &self.rules {
            Rules::Broker(topic) => topic.last_seq(),
            Rules::Pubsub(history) => history.last_seq(),
        }
    }

    /// Numbers for the records of one verb.
    fn refill(&mut self, count: usize) {
        let count = count as u64;
        // Topics at level memory take the same numbers: messages move between all topics, and their
        // numbers are their places in line.
        let first = self.journal.numbers(count);
        let records = std::mem::take(&mut self.ledger.records);
        self.ledger = if self.remembers {
            Ledger::on(first, first.saturating_add(count).saturating_sub(1))
        } else {
            Ledger::off(first)
        };
        self.ledger.records = records;
    }

    /// Tells the common budget what this topic holds now.
    fn account(&mut self) {
        let now = match &self.rules {
            Rules::Broker(topic) => topic.resident_bytes(),
            Rules::Pubsub(history) => history.resident_bytes(),
        };
        self.memory.adjust(self.accounted, now);
        self.accounted = now;
    }

    fn broker(&mut self) -> Result<&mut Topic, EngineError> {
        match &mut self.rules {
            Rules::Broker(topic) => Ok(topic),
            Rules::Pubsub(_) => Err(Refusal::WrongKind.into()),
        }
    }
}

impl Drop for LocalEngine {
    fn drop(&mut self) {
        self.memory.adjust(self.accounted, 0);
    }
}
