//! How long commits take, counted in a few buckets.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Upper bounds of the buckets in microseconds; longer commits share the last bucket.
const BOUNDS_US: [u64; 14] = [
    50, 100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000,
];
const BUCKETS: usize = BOUNDS_US.len() + 1;

/// Counts of one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommitTimes {
    counts: [u64; BUCKETS],
    sum_us: u64,
}

impl CommitTimes {
    /// Each bound in microseconds, with how many took at most that long.
    pub fn at_most_us(&self) -> impl Iterator<Item = (u64, u64)> {
        BOUNDS_US.iter().zip(&self.counts).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((*bound, *sum))
        })
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How long they took together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }
}

/// The counts that the writer adds to.
#[derive(Debug, Default)]
pub(super) struct Timing {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Timing {
    /// One more.
    pub fn add(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// As they are now.
    pub fn times(&self) -> CommitTimes {
        let counts =
            std::array::from_fn(|at| self.counts.get(at).map_or(0, |count| count.load(Relaxed)));
        CommitTimes { counts, sum_us: self.sum_us.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_counted_at_every_bound_it_does_not_exceed() {
        let timing = Timing::default();
        for us in [0, 50, 51, 2_000_000, 60_000_000] {
            timing.add(Duration::from_micros(us));
        }
        let times = timing.times();
        let of = |wanted| times.at_most_us().find(|(bound, _)| *bound == wanted).unwrap().1;
        assert_eq!([of(50), of(100), of(1_000_000), of(5_000_000)], [2, 3, 3, 4]);
        assert_eq!((times.total(), times.sum_us()), (5, 62_000_101));
    }
}
