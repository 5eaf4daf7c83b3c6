//! The ready messages of one priority that have an ordering key, and which of them may be handed out.
//!
//! A key is *open* when nothing of it is in flight and its first message is ready: then that one may be
//! handed out, in its place among all others, or, if a delivery of the key ended since and more of it
//! wait, in the order in which the keys became free. Where messages of both sorts wait they take
//! turns, so that a key with many messages and all that stand behind them go on alike.

use super::lane::Key;
use std::collections::BTreeMap;

/// Where the first message of an open key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stand {
    /// At its own place.
    Place(Key),
    /// Among the keys that became free: its number there.
    Turn(u64),
}

/// What a lane has of messages with an ordering key.
#[derive(Debug, Default)]
pub struct Turns {
    /// All that are ready, whether they may be handed out or not.
    pub ready: BTreeMap<Key, u32>,
    /// Those that may be handed out at their own place.
    pub heads: BTreeMap<Key, u32>,
    /// Those that may be handed out since their key became free.
    pub freed: BTreeMap<u64, u32>,
    /// The next one of both sorts is a freed one.
    pub freed_first: bool,
}

impl Turns {
    /// An entry may be handed out.
    pub fn stand(&mut self, at: Stand, held: u32) {
        match at {
            Stand::Place(key) => self.heads.insert(key, held),
            Stand::Turn(turn) => self.freed.insert(turn, held),
        };
    }

    /// What stood there may not be handed out any more.
    pub fn step_aside(&mut self, at: Stand) {
        match at {
            Stand::Place(key) => self.heads.remove(&key),
            Stand::Turn(turn) => self.freed.remove(&turn),
        };
    }

    /// One of both sorts was handed out.
    pub fn alternate(&mut self) {
        self.freed_first = !self.freed_first;
    }

    /// Takes any entry: for clearing away.
    pub fn pop_any(&mut self) -> Option<u32> {
        self.heads.pop_first();
        self.freed.pop_first();
        self.ready.pop_first().map(|(_, held)| held)
    }

    /// Forgets where everything stands, but not whose turn it is.
    pub fn clear(&mut self) {
        self.ready.clear();
        self.heads.clear();
        self.freed.clear();
    }
}
