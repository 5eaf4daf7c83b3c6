//! What the settings are to each room, as its own struct.

use super::{Config, LogConfig};
use crate::broker::{Limits, LogBounds, observer::Observing};
use crate::journal::JournalSettings;
use std::time::Duration;

impl Config {
    /// The bounds the broker works under.
    pub fn limits(&self) -> Limits {
        let limits = &self.limits;
        Limits {
            topics_max: limits.topics_max,
            body_bytes_max: limits.body_bytes_max,
            batch_max: limits.batch_max,
            receive_bytes_max: limits.receive_bytes_max,
            list_scan_max: limits.list_scan_max,
            list_scan_bytes_max: limits.list_scan_bytes_max,
            list_step_bytes: limits.list_step_bytes,
            redrives_max: limits.redrives_max,
            waiters_max: limits.waiters_max,
            subscriber_chunks: limits.subscriber_chunks,
            chunk_bytes: limits.chunk_bytes,
            subscriber_backlog_bytes: limits.subscriber_backlog_bytes,
            subscriber_stuck: Duration::from_secs(limits.subscriber_stuck_s),
            // On one core the client could not run meanwhile.
            poll: Duration::from_micros(if cores() > 1 { limits.poll_us } else { 0 }),
        }
    }

    /// What is remembered of it all.
    pub fn observing(&self) -> Observing {
        Observing {
            history_topics: self.ui.history_topics,
            oldest_max_ms: self.ui.oldest_ready_s.saturating_mul(1000),
            connections_max: self.ui.connections_listed_max,
        }
    }

    /// What of the log is kept.
    pub fn log(&self) -> LogBounds {
        let LogConfig { tail_lines, line_bytes_max, queue_max } = self.log;
        LogBounds { tail_lines, line_bytes_max, queue_max }
    }

    /// How the journal is set up.
    pub fn journal(&self) -> JournalSettings {
        JournalSettings {
            path: self.store.path.clone(),
            queue_max: self.store.queue_max,
            commit_records_max: self.store.commit_records_max,
            commit_bytes_max: self.store.commit_bytes_max,
            sync_interval: Duration::from_millis(self.store.sync_interval_ms),
            reserve_bytes: self.store.reserve_bytes,
            cache_bytes: self.store.cache_bytes,
        }
    }

    /// Bytes of bodies all topics may hold together.
    pub fn memory_bytes(&self) -> u64 {
        match self.limits.memory_bytes {
            0 => (machine_memory() / 4).clamp(16 << 20, 256 << 20),
            set => set,
        }
    }

    /// Threads that serve topics and sessions.
    pub fn workers(&self) -> usize {
        let cores = cores();
        match self.server.workers {
            0 if cores <= 2 => 1,
            0 => cores.min(8),
            set => set,
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory of this machine; 1 GiB where it cannot be told.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}
