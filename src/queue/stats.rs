//! Durations counted in buckets: cheap to add to, constant in memory, good for percentiles.

/// Buckets per power of two: a percentile is at most a quarter too high.
const SUB_BITS: u32 = 2;
const SUB: u64 = 1 << SUB_BITS;
/// Durations of 2^40 ms (35 years) and more share the last bucket.
const BUCKETS: usize = ((40 - SUB_BITS as usize) + 1) * SUB as usize;

/// A histogram of durations in milliseconds. Takes no memory until the first one is added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: Option<Box<[u32; BUCKETS]>>,
    total: u64,
    sum_ms: u64,
    max_ms: u64,
}

fn bucket(ms: u64) -> usize {
    if ms < SUB {
        return ms as usize;
    }
    let power = 63 - ms.leading_zeros();
    let sub = (ms >> (power - SUB_BITS)) & (SUB - 1);
    (((power - SUB_BITS + 1) as usize) * SUB as usize + sub as usize).min(BUCKETS - 1)
}

/// The largest duration that falls into a bucket.
fn upper_ms(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < SUB {
        return bucket;
    }
    let (power, sub) = (bucket / SUB - 1, bucket % SUB);
    ((SUB + sub + 1) << power) - 1
}

impl Histogram {
    /// Adds one duration.
    #[inline]
    pub fn add(&mut self, ms: u64) {
        let counts = self.counts.get_or_insert_with(|| Box::new([0; BUCKETS]));
        if let Some(count) = counts.get_mut(bucket(ms)) {
            *count = count.saturating_add(1);
        }
        self.total += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
        self.max_ms = self.max_ms.max(ms);
    }

    /// Adds everything the other one holds.
    pub fn merge(&mut self, other: &Histogram) {
        let Some(others) = &other.counts else { return };
        let counts = self.counts.get_or_insert_with(|| Box::new([0; BUCKETS]));
        for (count, other) in counts.iter_mut().zip(others.iter()) {
            *count = count.saturating_add(*other);
        }
        self.total += other.total;
        self.sum_ms = self.sum_ms.saturating_add(other.sum_ms);
        self.max_ms = self.max_ms.max(other.max_ms);
    }

    /// How many were added.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Their sum.
    pub fn sum_ms(&self) -> u64 {
        self.sum_ms
    }

    /// The longest.
    pub fn max_ms(&self) -> u64 {
        self.max_ms
    }

    /// How many were shorter than this; exact for powers of two.
    pub fn below_ms(&self, ms: u64) -> u64 {
        let counts = self.counts.iter().flat_map(|counts| counts.iter());
        counts.take(bucket(ms)).map(|count| u64::from(*count)).sum()
    }

    /// A duration that `per_mille` of 1000 do not exceed; zero when nothing was added.
    pub fn percentile_ms(&self, per_mille: u64) -> u64 {
        let Some(counts) = &self.counts else { return 0 };
        let wanted = (self.total * per_mille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, count) in counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return upper_ms(at).min(self.max_ms);
            }
        }
        self.max_ms
    }
}

/// How long messages of a queue wait, and how long their consumers take.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Waits {
    /// From ready to handed out.
    pub in_queue: Histogram,
    /// From handed out to acked.
    pub to_ack: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_the_bucket_that_bounds_it() {
        for ms in (0..2000).chain([1 << 20, (1 << 39) + 12345]) {
            let upper = upper_ms(bucket(ms));
            assert!(upper >= ms && upper <= ms + ms / 4, "{ms} in a bucket up to {upper}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn shorter_ones_are_counted_at_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.below_ms(1024), 0);
        [0, 0, 1, 3, 4, 1023, 1024, 1 << 30].into_iter().for_each(|ms| histogram.add(ms));
        let table = [(0, 0), (1, 2), (2, 3), (4, 4), (8, 5), (1024, 6), (2048, 7), (1 << 31, 8)];
        for (ms, below) in table {
            assert_eq!(histogram.below_ms(ms), below, "{ms}");
        }
    }

    #[test]
    fn percentiles_come_from_the_counts_and_merge() {
        let mut one = Histogram::default();
        assert_eq!(one.percentile_ms(500), 0);
        (1..=100).for_each(|ms| one.add(ms));
        let mut both = Histogram::default();
        both.merge(&one);
        both.add(10_000);
        assert_eq!((both.total(), both.max_ms(), both.sum_ms()), (101, 10_000, 15_050));
        let median = both.percentile_ms(500);
        assert!((51..=63).contains(&median), "{median}");
        assert_eq!(both.percentile_ms(1000), 10_000);
    }
}
