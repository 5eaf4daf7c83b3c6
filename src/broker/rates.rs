//! How much happens per second, over the last ten. Pure; the topic keeps one.

use crate::queue::{Timestamp, Totals};
use std::collections::VecDeque;

/// The time that rates are taken over.
const WINDOW_MS: u64 = 10_000;
/// Samples are at least this far apart.
const SAMPLE_MS: u64 = 1_000;

/// Per second, over the last ten seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Messages published.
    pub published: f64,
    /// Handed out or pushed.
    pub delivered: f64,
    /// Acked or taken.
    pub acked: f64,
    /// Handed out again.
    pub redelivered: f64,
    /// Dropped by overflow, or missed by slow subscribers.
    pub dropped: f64,
}

impl Rates {
    /// With those of another topic.
    pub fn plus(self, other: &Rates) -> Rates {
        Rates {
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            acked: self.acked + other.acked,
            redelivered: self.redelivered + other.redelivered,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// Messages published.
    pub published: u64,
    /// Handed out or pushed.
    pub delivered: u64,
    /// Acked or taken.
    pub acked: u64,
    /// Handed out again.
    pub redelivered: u64,
    /// Dropped by overflow, or missed by slow subscribers.
    pub dropped: u64,
}

impl Counted {
    /// Of a topic's queues, with what it published and pushed itself, and what its subscribers missed.
    pub fn new(published: u64, pushed: u64, missed: u64, queues: &Totals) -> Counted {
        Counted {
            published,
            delivered: queues.delivered + pushed,
            acked: queues.acked,
            redelivered: queues.redelivered,
            dropped: queues.dropped + missed,
        }
    }

    /// What came between. A topic that was rebuilt counts its queues from zero again.
    pub fn since(&self, before: &Counted) -> Counted {
        let more = |now: u64, before: u64| if now < before { now } else { now - before };
        Counted {
            published: more(self.published, before.published),
            delivered: more(self.delivered, before.delivered),
            acked: more(self.acked, before.acked),
            redelivered: more(self.redelivered, before.redelivered),
            dropped: more(self.dropped, before.dropped),
        }
    }

    /// Both.
    pub fn plus(self, other: &Counted) -> Counted {
        Counted {
            published: self.published + other.published,
            delivered: self.delivered + other.delivered,
            acked: self.acked + other.acked,
            redelivered: self.redelivered + other.redelivered,
            dropped: self.dropped + other.dropped,
        }
    }
}

/// Samples of what was counted, each from before something happened: nothing is counted while nothing
/// happens, so an idle topic costs nothing.
#[derive(Debug, Default)]
pub struct Meter {
    samples: VecDeque<(Timestamp, Counted)>,
}

impl Meter {
    /// To be called before something happens; counts only when a second has passed.
    pub fn tick(&mut self, now: Timestamp, counted: impl FnOnce() -> Counted) {
        if self.samples.back().is_some_and(|(last, _)| now.since_ms(*last) < SAMPLE_MS) {
            return;
        }
        self.samples.push_back((now, counted()));
        // One that is older than the window is the measure of what happened in it.
        while self.samples.len() > 1 && now.since_ms(self.samples[0].0) > WINDOW_MS {
            self.samples.pop_front();
        }
    }

    /// The rates now, with what is counted now.
    pub fn rates(&self, now: Timestamp, counted: Counted) -> Rates {
        // As it was when the window began: before the first thing that happened in it.
        let first = self.samples.iter().find(|(at, _)| now.since_ms(*at) <= WINDOW_MS);
        let Some((_, before)) = first else { return Rates::default() };
        let rate =
            |now: u64, before: u64| now.saturating_sub(before) as f64 * 1000.0 / WINDOW_MS as f64;
        Rates {
            published: rate(counted.published, before.published),
            delivered: rate(counted.delivered, before.delivered),
            acked: rate(counted.acked, before.acked),
            redelivered: rate(counted.redelivered, before.redelivered),
            dropped: rate(counted.dropped, before.dropped),
        }
    }

    /// Nothing happened in the window: the rates are zero until the next [`Meter::tick`].
    pub fn is_quiet(&self, now: Timestamp) -> bool {
        self.samples.back().is_none_or(|(at, _)| now.since_ms(*at) > WINDOW_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(published: u64) -> Counted {
        Counted { published, ..Counted::default() }
    }

    #[test]
    fn what_happened_in_the_window_counts_and_nothing_else() {
        let mut meter = Meter::default();
        let rate = |meter: &Meter, at, count| meter.rates(Timestamp(at), counted(count)).published;
        assert_eq!(rate(&meter, 0, 7), 0.0, "nobody has measured yet");
        // 50 before the window, then 100 in it.
        meter.tick(Timestamp(0), || counted(0));
        meter.tick(Timestamp(30_000), || counted(50));
        meter.tick(Timestamp(30_500), || unreachable!("within the same second"));
        assert_eq!(rate(&meter, 31_000, 150), 10.0);
        assert_eq!(rate(&meter, 40_000, 150), 10.0);
        assert_eq!(rate(&meter, 40_001, 150), 0.0, "idle since");
    }

    #[test]
    fn samples_are_bounded() {
        let mut meter = Meter::default();
        for at in 0..1_000_000 {
            meter.tick(Timestamp(at), || counted(at as u64));
        }
        assert!(meter.samples.len() <= 11, "{}", meter.samples.len());
        let rates = meter.rates(Timestamp(1_000_000), counted(1_000_000));
        assert!((900.0..=1000.0).contains(&rates.published), "{rates:?}");
    }
}
