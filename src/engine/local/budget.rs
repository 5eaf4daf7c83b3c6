//! The memory that all topics share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all topics may hold in memory together.
#[derive(Debug)]
pub struct MemoryBudget {
    resident: AtomicU64,
    limit: u64,
}

impl MemoryBudget {
    /// A budget of `limit` bytes of message bodies.
    pub fn new(limit: u64) -> Self {
        MemoryBudget { resident: AtomicU64::new(0), limit }
    }

    /// Bytes of bodies held now.
    pub fn resident(&self) -> u64 {
        self.resident.load(Relaxed)
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn adjust(&self, before: u64, now: u64) {
        if now >= before {
            self.resident.fetch_add(now - before, Relaxed);
        } else {
            self.resident.fetch_sub(before - now, Relaxed);
        }
    }
}
