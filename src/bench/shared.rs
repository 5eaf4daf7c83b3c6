//! What the threads of a run share: counts, and when it ends.

use super::{Length, Settings, Work};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// One run, seen by all its threads.
#[derive(Debug)]
pub struct Shared {
    start: Instant,
    /// When measuring begins and when no more is asked, in nanoseconds since the start.
    pub from_ns: u64,
    /// See above; no end in time for runs that are counted.
    pub until_ns: u64,
    batches: u64,
    /// `receive`: what waits.
    filled: u64,
    claimed: AtomicU64,
    sent: AtomicU64,
    published: AtomicU64,
    done: AtomicU64,
    /// Per thread: what each of its listeners has, at least.
    floors: Vec<AtomicU64>,
    publishing: AtomicUsize,
    failed: AtomicBool,
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl Shared {
    /// For a run that begins now.
    pub fn new(settings: &Settings, filled: u64) -> Shared {
        let (from_ns, until_ns, batches) = match settings.length {
            Length::Time { run, warm_up } => {
                let from = nanos(warm_up);
                (from, from.saturating_add(nanos(run)), u64::MAX)
            }
            Length::Count(count) => (0, u64::MAX, count.div_ceil(settings.batch as u64)),
        };
        let floors = (0..settings.threads).map(|_| AtomicU64::new(u64::MAX)).collect();
        Shared {
            start: Instant::now(),
            from_ns,
            until_ns,
            batches,
            filled,
            claimed: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            published: AtomicU64::new(0),
            done: AtomicU64::new(0),
            floors,
            publishing: AtomicUsize::new(settings.threads),
            failed: AtomicBool::new(false),
        }
    }

    /// Since the start.
    pub fn now_ns(&self) -> u64 {
        nanos(self.start.elapsed())
    }

    /// Takes one batch out of those that are to be published.
    pub fn claim(&self, settings: &Settings, now_ns: u64) -> bool {
        if self.ended(now_ns) {
            return false;
        }
        if settings.work == Work::Pubsub {
            let floor = self.floors.iter().map(|floor| floor.load(Relaxed)).min();
            let behind = self.sent.load(Relaxed).saturating_sub(floor.unwrap_or(u64::MAX));
            if behind >= settings.window {
                return false;
            }
        }
        if self.claimed.fetch_add(1, Relaxed) >= self.batches {
            return false;
        }
        self.sent.fetch_add(settings.batch as u64, Relaxed);
        true
    }

    /// Nothing more is to be asked.
    pub fn ended(&self, now_ns: u64) -> bool {
        now_ns >= self.until_ns
            || self.claimed.load(Relaxed) >= self.batches
            || self.failed.load(Relaxed)
    }

    /// So many were confirmed.
    pub fn published(&self, count: usize) {
        self.published.fetch_add(count as u64, Relaxed);
    }

    /// How many were, in all.
    pub fn published_so_far(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// `receive`: so many are done with.
    pub fn done(&self, count: usize) {
        self.done.fetch_add(count as u64, Relaxed);
    }

    /// `receive`: nothing is left.
    pub fn emptied(&self) -> bool {
        self.done.load(Relaxed) >= self.filled
    }

    /// Nothing more is to be asked, from now on.
    pub fn stop(&self) {
        self.claimed.store(self.batches, Relaxed);
    }

    /// What the listeners of a thread have, at least.
    pub fn set_floor(&self, thread: usize, floor: u64) {
        if let Some(own) = self.floors.get(thread) {
            own.store(floor, Relaxed);
        }
    }

    /// A thread will publish no more, and everything it did is confirmed.
    pub fn published_all(&self) {
        self.publishing.fetch_sub(1, Relaxed);
    }

    /// So have all of them.
    pub fn quiet(&self) -> bool {
        self.publishing.load(Relaxed) == 0
    }

    /// A thread cannot go on, so the others need not.
    pub fn fail(&self) {
        self.failed.store(true, Relaxed);
    }

    /// Whether one could not.
    pub fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }
}
