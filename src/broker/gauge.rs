//! The figures of a topic as anybody may read them at any time, without asking its actor: the topic
//! writes them after it has done something, at most every so often. An idle topic costs nothing.

use super::rates::Counted;
use crate::queue::{Counts, Timestamp};
use std::{
    sync::atomic::{
        AtomicU64,
        Ordering::{Acquire, Relaxed, Release},
    },
    time::Duration,
};

/// A topic writes its figures this far apart, and longer when it has many queues to look at.
const EVERY_MS: u64 = 500;
/// Words of a [`Reading`].
const WORDS: usize = 18;

/// A topic's figures at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// What happened since the start.
    pub counted: Counted,
    /// How many messages are where, in all queues.
    pub counts: Counts,
    /// How many queues there are.
    pub queues: u64,
    /// Queues that take nothing in.
    pub paused_in: u64,
    /// Queues that hand nothing out.
    pub paused_out: u64,
    /// How full the fullest bound is, of 1000.
    pub full_per_mille: u64,
    /// Live subscribers.
    pub subscribers: u64,
    /// Of these, lagging.
    pub lagging: u64,
    /// Connections that consume a queue.
    pub consumers: u64,
    /// Receivers that wait.
    pub waiting: u64,
}

impl Reading {
    fn words(&self) -> [u64; WORDS] {
        // No message is as old as the epoch: zero is none.
        let oldest = self.counts.oldest_ready.map_or(0, |at| at.0.unsigned_abs());
        [
            self.counted.published,
            self.counted.delivered,
            self.counted.acked,
            self.counted.redelivered,
            self.counted.dropped,
            self.counts.delayed,
            self.counts.ready,
            self.counts.in_flight,
            self.counts.dead,
            self.counts.bytes,
            oldest,
            self.queues,
            self.paused_in << 32 | self.paused_out,
            self.full_per_mille,
            self.subscribers,
            self.lagging,
            self.consumers,
            self.waiting,
        ]
    }

    fn of(words: [u64; WORDS]) -> Reading {
        let [published, delivered, acked, redelivered, dropped, rest @ ..] = words;
        let [delayed, ready, in_flight, dead, bytes, oldest, rest @ ..] = rest;
        let [queues, paused, full_per_mille, subscribers, lagging, consumers, waiting] = rest;
        let oldest_ready = i64::try_from(oldest).ok().filter(|at| *at > 0).map(Timestamp);
        Reading {
            counted: Counted { published, delivered, acked, redelivered, dropped },
            counts: Counts {
                delayed,
                ready,
                in_flight,
                dead,
                bytes,
                oldest_ready,
                oldest_dead: None,
            },
            queues,
            paused_in: paused >> 32,
            paused_out: paused & u64::from(u32::MAX),
            full_per_mille,
            subscribers,
            lagging,
            consumers,
            waiting,
        }
    }
}

/// Where a topic writes them. A reader may see some of one writing and some of the next: these are
/// figures for people, and the next look is right.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Grows with every writing; 0: none yet.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Gauge {
    /// Grows with every writing.
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// What was written last.
    pub fn read(&self) -> Reading {
        Reading::of(std::array::from_fn(|at| {
            self.words.get(at).map_or(0, |word| word.load(Relaxed))
        }))
    }

    fn write(&self, reading: &Reading) {
        for (word, value) in self.words.iter().zip(reading.words()) {
            word.store(value, Relaxed);
        }
        self.version.fetch_add(1, Release);
    }
}

/// The topic's side: whether there is something to write, and when.
#[derive(Debug)]
pub struct Notes {
    gauge: std::sync::Arc<Gauge>,
    /// Writings that are still to come: what happens is written soon, and once more behind it, since
    /// some of it is only known when the store has answered.
    left: u8,
    written_at: Timestamp,
    every: Duration,
}

impl Notes {
    /// Nothing is written yet.
    pub fn new(gauge: std::sync::Arc<Gauge>) -> Notes {
        let every = Duration::from_millis(EVERY_MS);
        Notes { gauge, left: 2, written_at: Timestamp(0), every }
    }

    /// Something happened.
    #[inline]
    pub fn changed(&mut self) {
        self.left = 2;
    }

    /// When to write next.
    pub fn due(&self) -> Option<Timestamp> {
        (self.left > 0).then(|| self.written_at.after(self.every))
    }

    /// It is time to write.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    /// Writes.
    pub fn write(&mut self, now: Timestamp, reading: &Reading) {
        self.gauge.write(reading);
        self.left = self.left.saturating_sub(1);
        self.written_at = now;
        // Looking at ten thousand queues takes a millisecond or so.
        self.every = Duration::from_millis(EVERY_MS + reading.queues / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_written_is_read_word_by_word() {
        let words: [u64; WORDS] = std::array::from_fn(|at| at as u64 + 7);
        let reading = Reading::of(words);
        assert_eq!(reading.words(), words);
        assert_eq!(Reading::of(Reading::default().words()), Reading::default());
        let paused = Reading { paused_in: 3, paused_out: 9, ..Reading::default() };
        assert_eq!(Reading::of(paused.words()), paused);
        let gauge = Gauge::default();
        assert_eq!((gauge.version(), gauge.read()), (0, Reading::default()));
        gauge.write(&reading);
        assert_eq!((gauge.version(), gauge.read()), (1, reading));
    }

    #[test]
    fn a_burst_is_written_at_once_and_twice_behind_and_then_never() {
        let mut notes = Notes::new(Arc::default());
        let mut now = Timestamp(1_000_000);
        assert!(notes.is_due(now), "the first look");
        let mut written = 0;
        for _ in 0..100 {
            if notes.is_due(now) {
                notes.write(now, &Reading::default());
                written += 1;
            }
            now = now.after(Duration::from_millis(100));
        }
        assert_eq!((written, notes.due()), (2, None));
        (0..100).for_each(|_| notes.changed());
        assert!(notes.is_due(now));
        notes.write(now, &Reading { queues: 10_000, ..Reading::default() });
        assert_eq!(notes.due(), Some(now.after(Duration::from_millis(5_500))), "many queues");
    }
}
