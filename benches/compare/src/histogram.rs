//! A small log-linear histogram of nanosecond values: 64 sub-buckets per power of two, so a
//! reported percentile is within 1.6 % of the true value.

use crate::report::Report;

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;

#[derive(Clone)]
pub struct Histogram {
    slots: Vec<u64>,
    total: u64,
    max: u64,
    sum: u128,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { slots: vec![0; SUB * (64 - SUB_BITS as usize + 1)], total: 0, max: 0, sum: 0 }
    }

    fn slot(v: u64) -> usize {
        if v < SUB as u64 {
            return v as usize;
        }
        let exp = 63 - v.leading_zeros();
        let shift = exp - SUB_BITS;
        let sub = (v >> shift) as usize - SUB;
        SUB * (shift as usize + 1) + sub
    }

    fn upper(slot: usize) -> u64 {
        if slot < SUB {
            return slot as u64;
        }
        let shift = slot / SUB - 1;
        let sub = slot % SUB;
        (((SUB + sub) as u64) << shift) + ((1u64 << shift) - 1)
    }

    #[inline]
    pub fn add(&mut self, v: u64) {
        self.slots[Self::slot(v)] += 1;
        self.total += 1;
        self.sum += v as u128;
        if v > self.max {
            self.max = v;
        }
    }

    pub fn merge(&mut self, o: &Histogram) {
        for (a, b) in self.slots.iter_mut().zip(&o.slots) {
            *a += *b;
        }
        self.total += o.total;
        self.sum += o.sum;
        self.max = self.max.max(o.max);
    }

    pub fn count(&self) -> u64 {
        self.total
    }

    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    pub fn percentile(&self, p: f64) -> u64 {
        if self.total == 0 {
            return 0;
        }
        let want = ((p / 100.0) * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (i, n) in self.slots.iter().enumerate() {
            seen += n;
            if seen >= want {
                return Self::upper(i).min(self.max);
            }
        }
        self.max
    }

    /// The usual percentiles, in microseconds.
    pub fn report_us(&self) -> Report {
        let us = |p: f64| self.percentile(p) as f64 / 1e3;
        Report::default()
            .count("n", self.total as i64)
            .number("mean", self.mean() / 1e3)
            .number("p50", us(50.0))
            .number("p90", us(90.0))
            .number("p99", us(99.0))
            .number("p999", us(99.9))
            .number("max", self.max as f64 / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn percentiles_within_two_percent() {
        let mut h = Histogram::new();
        for v in 1..=100_000u64 {
            h.add(v * 10);
        }
        for p in [1.0, 50.0, 90.0, 99.0, 99.9] {
            let want = p / 100.0 * 1_000_000.0;
            let got = h.percentile(p) as f64;
            assert!((got - want).abs() / want < 0.02, "{p} {got} {want}");
        }
        assert_eq!(h.percentile(100.0), 1_000_000);
    }
}
