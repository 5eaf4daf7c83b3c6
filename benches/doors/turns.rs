//! Things that are compared take turns in many rounds, so that all see the same machine.

use super::percentile;
use std::time::{Duration, Instant};

/// How often and how long each takes its turn.
#[derive(Clone, Copy)]
pub struct Rounds {
    count: usize,
    span: Duration,
}

/// For exchanges of some microseconds.
pub const SHORT: Rounds = Rounds { count: 60, span: Duration::from_millis(25) };
/// For what reaches the disk. The store tidies up when nothing happened for 50 ms: a turn is
/// much longer than what follows from that.
pub const LONG: Rounds = Rounds { count: 12, span: Duration::from_millis(250) };

/// What came out for one exchange beside its references.
pub struct Compared {
    /// Of all times of the exchange.
    pub p50_us: f64,
    pub p99_us: f64,
    /// Of all times of each reference.
    pub references_us: Vec<f64>,
    /// Median over the rounds of: the exchange's p50 by the sum of the references' p50.
    pub ratio: f64,
}

/// Times of one round, ascending, in nanoseconds.
fn round(span: Duration, exchange: &mut dyn FnMut()) -> Vec<u64> {
    let end = Instant::now() + span;
    let mut times = Vec::new();
    while Instant::now() < end {
        let start = Instant::now();
        exchange();
        times.push(start.elapsed().as_nanos() as u64);
    }
    times.sort_unstable();
    times
}

/// An exchange beside what it cannot do without: the sum of the references.
pub fn compare(
    rounds: Rounds,
    exchange: &mut dyn FnMut(),
    references: &mut [&mut dyn FnMut()],
) -> Compared {
    let Rounds { count, span } = rounds;
    let (mut times, mut ratios) = (Vec::new(), Vec::new());
    let mut reference_times: Vec<Vec<u64>> = vec![Vec::new(); references.len()];
    for _ in 0..count {
        let mut sum = 0;
        for (reference, all) in references.iter_mut().zip(&mut reference_times) {
            let of_round = round(span, *reference);
            sum += percentile(&of_round, 500);
            all.extend(of_round);
        }
        let of_round = round(span, exchange);
        ratios.push(percentile(&of_round, 500) as f64 / sum as f64);
        times.extend(of_round);
    }
    times.sort_unstable();
    ratios.sort_unstable_by(f64::total_cmp);
    let us = |times: &[u64], per_mille| percentile(times, per_mille) as f64 / 1e3;
    Compared {
        p50_us: us(&times, 500),
        p99_us: us(&times, 990),
        references_us: reference_times
            .iter_mut()
            .map(|times| {
                times.sort_unstable();
                us(times, 500)
            })
            .collect(),
        ratio: ratios[count / 2],
    }
}

/// Turns of a comparison of rates.
const TURNS: usize = 8;

/// Events per second of two stretches that take turns. A stretch answers how many there were and
/// in how many seconds.
pub fn rates(
    mut one: impl FnMut() -> (u64, f64),
    mut other: impl FnMut() -> (u64, f64),
) -> (f64, f64) {
    let mut sums = [(0, 0.0); 2];
    for _ in 0..TURNS {
        for (sum, (count, seconds)) in sums.iter_mut().zip([one(), other()]) {
            *sum = (sum.0 + count, sum.1 + seconds);
        }
    }
    let [one, other] = sums.map(|(count, seconds)| count as f64 / seconds);
    (one, other)
}
