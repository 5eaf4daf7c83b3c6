//! When the next request is due.

/// Even distances in time, from zero on.
#[derive(Debug, Clone)]
pub struct Pace {
    gap_ns: f64,
    first_ns: f64,
    asked: u64,
}

impl Pace {
    /// `rate` requests per second, shared by `threads` of which this one is the `nth`.
    pub fn new(rate: f64, threads: usize, nth: usize) -> Pace {
        let gap = 1e9 / rate;
        Pace { gap_ns: gap * threads as f64, first_ns: gap * nth as f64, asked: 0 }
    }

    /// When the next one is due, in nanoseconds since the start.
    pub fn due_ns(&self) -> u64 {
        (self.first_ns + self.asked as f64 * self.gap_ns) as u64
    }

    /// It was asked.
    pub fn take(&mut self) {
        self.asked += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_take_turns_and_a_late_one_is_due_when_it_was() {
        let (mut one, mut other) = (Pace::new(1000.0, 2, 0), Pace::new(1000.0, 2, 1));
        let mut dues = Vec::new();
        for _ in 0..3 {
            dues.extend([one.due_ns(), other.due_ns()]);
            one.take();
            other.take();
        }
        assert_eq!(dues, [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000, 5_000_000]);
    }
}
