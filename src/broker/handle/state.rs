//! The process at one moment: what it holds, and who is connected through which door.

use super::*;
use crate::journal::Figures;

/// Doors whose connections are counted.
pub(super) const DOORS: [&str; 8] =
    ["otq", "http", "websocket", "events", "okq", "dsmq", "fastqueue", "blockqueue"];

fn place_of(door: &'static str) -> usize {
    DOORS.iter().position(|known| *known == door).unwrap_or(0)
}

fn by_door(counts: &[AtomicU64; DOORS.len()]) -> Vec<(&'static str, u64)> {
    DOORS.iter().zip(counts).map(|(door, count)| (*door, count.load(Relaxed))).collect()
}

/// The process at one moment.
#[derive(Debug, Clone)]
pub struct BrokerState {
    /// No new work is taken.
    pub stopping: bool,
    /// Publishes are refused until there is room.
    pub disk_full: bool,
    /// Bytes of bodies in memory.
    pub memory_bytes: u64,
    /// `limits.memory_bytes`
    pub memory_limit_bytes: u64,
    /// What the store did.
    pub store: Figures,
    /// Open connections by door.
    pub connections: Vec<(&'static str, u64)>,
    /// Publishes that failed where the client cannot be told, by door.
    pub unreported: Vec<(&'static str, u64)>,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// The level of topics whose maker names none.
    pub levels: DefaultLevels,
}

/// Counts a connection until it is dropped.
pub struct ConnectionGuard {
    pub(super) broker: Broker,
    door: usize,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(count) = self.broker.0.connections.get(self.door) {
            count.fetch_sub(1, Relaxed);
        }
    }
}

impl Broker {
    /// The process now.
    pub fn state(&self) -> BrokerState {
        BrokerState {
            stopping: self.is_stopping(),
            disk_full: self.0.journal.is_full(),
            memory_bytes: self.0.memory.resident(),
            memory_limit_bytes: self.0.memory.limit(),
            store: self.0.journal.figures(),
            connections: by_door(&self.0.connections),
            unreported: by_door(&self.0.unreported),
            uptime_ms: clock::now().since_ms(self.0.since),
            levels: self.0.levels,
        }
    }

    /// Counts a connection of a door for as long as the guard lives.
    pub fn connection(&self, door: &'static str) -> ConnectionGuard {
        let door = place_of(door);
        if let Some(count) = self.0.connections.get(door) {
            count.fetch_add(1, Relaxed);
        }
        ConnectionGuard { broker: self.clone(), door }
    }

    /// Counts publishes of a door that failed where its protocol has no answer to tell it.
    pub fn count_unreported(&self, door: &'static str, publishes: u64) {
        if let Some(count) = self.0.unreported.get(place_of(door)) {
            count.fetch_add(publishes, Relaxed);
        }
    }

    /// The highest number any message of the broker has had. What is published from now on has a
    /// higher one: this is the position of a reader that begins now, see [`Op::ReadAfter`].
    pub fn last_number(&self) -> u64 {
        self.0.journal.last_number()
    }
}
