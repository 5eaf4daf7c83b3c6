//! What happened to some figures over time, in steps of equal length: bounded, and empty where nothing
//! happens. Pure; the observer keeps two for the broker and two for each topic that does something.

use super::rates::Counted;
use crate::queue::Counts;
use std::collections::VecDeque;

/// Figures of one step: how many messages were where at its end, and what happened per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Point {
    /// Can be handed out.
    pub ready: f32,
    /// Handed out, not acked.
    pub in_flight: f32,
    /// Not visible yet.
    pub delayed: f32,
    /// Dead letters.
    pub dead: f32,
    /// Published per second.
    pub published: f32,
    /// Handed out or pushed per second.
    pub delivered: f32,
    /// Acked per second.
    pub acked: f32,
    /// Handed out again per second.
    pub redelivered: f32,
    /// Dropped per second.
    pub dropped: f32,
}

impl Point {
    fn new(counts: &Counts, counted: &Counted, seconds: u64) -> Point {
        let rate = |count: u64| (count as f64 / seconds.max(1) as f64) as f32;
        Point {
            ready: counts.ready as f32,
            in_flight: counts.in_flight as f32,
            delayed: counts.delayed as f32,
            dead: counts.dead as f32,
            published: rate(counted.published),
            delivered: rate(counted.delivered),
            acked: rate(counted.acked),
            redelivered: rate(counted.redelivered),
            dropped: rate(counted.dropped),
        }
    }

    /// What is left of it in steps in which nothing happens.
    fn quiet(self) -> Point {
        let Point { ready, in_flight, delayed, dead, .. } = self;
        Point { ready, in_flight, delayed, dead, ..Point::default() }
    }
}

/// The last so many steps.
#[derive(Debug)]
pub struct Trail {
    /// Seconds of a step.
    step_s: u64,
    /// Steps that are kept.
    len: usize,
    /// Steps with something to tell, by number. Those between are as the one before, and quiet;
    /// unless each is told, then nobody looked.
    points: VecDeque<(u64, Point)>,
    /// Nobody looked at a step that is not there.
    dense: bool,
    /// The first step that was looked at.
    first: u64,
    /// The step that is not over, what happened in it, how it is now.
    open: u64,
    sum: Counted,
    counts: Counts,
}

impl Trail {
    /// Of something that is told of only when it has changed; begins at this second.
    pub fn sparse(step_s: u64, len: usize, second: u64) -> Trail {
        let step = second / step_s;
        Trail {
            step_s,
            len,
            points: VecDeque::new(),
            dense: false,
            first: step,
            open: step,
            sum: Counted::default(),
            counts: Counts::default(),
        }
    }

    /// Of something that is told of every second.
    pub fn dense(step_s: u64, len: usize, second: u64) -> Trail {
        Trail { dense: true, ..Trail::sparse(step_s, len, second) }
    }

    /// How it is at this second, and what happened since it was told the last time.
    pub fn note(&mut self, second: u64, counts: &Counts, happened: &Counted) {
        let step = second / self.step_s;
        if step > self.open {
            let point = Point::new(&self.counts, &self.sum, self.step_s);
            self.points.push_back((self.open, point));
            // One that is older says how it was when the others begin.
            let oldest = step.saturating_sub(self.len as u64);
            while self.points.get(1).is_some_and(|(at, _)| *at <= oldest) {
                self.points.pop_front();
            }
            (self.open, self.sum) = (step, Counted::default());
        }
        self.sum = self.sum.plus(happened);
        self.counts = *counts;
    }

    /// The last `steps` that are over at this second, oldest first; `None`: nobody looked.
    pub fn last(&self, second: u64, steps: usize) -> Vec<Option<Point>> {
        let now = second / self.step_s;
        let steps = steps.min(self.len) as u64;
        let start = now.saturating_sub(steps);
        if self.open < start {
            let quiet = Point::new(&self.counts, &Counted::default(), 1);
            return vec![(!self.dense).then_some(quiet); steps as usize];
        }
        let mut points = self.points.iter().peekable();
        let mut before = Point::default();
        let mut told = Vec::with_capacity(steps as usize);
        // Steps before the first one of all are not numbered.
        (now..steps).for_each(|_| told.push(None));
        for step in start..now {
            let mut here = None;
            while let Some((at, point)) = points.next_if(|(at, _)| *at <= step) {
                before = *point;
                here = (*at == step).then_some(*point);
            }
            // The one that was open when it was told of the last time may be over by now.
            if step == self.open {
                let point = Point::new(&self.counts, &self.sum, self.step_s);
                (before, here) = (point, Some(point));
            }
            told.push(match here {
                Some(point) => Some(point),
                None if self.dense || step < self.first => None,
                None => Some(before.quiet()),
            });
        }
        told
    }

    /// Seconds of a step.
    pub fn step_s(&self) -> u64 {
        self.step_s
    }

    /// Steps that are kept.
    pub fn steps(&self) -> usize {
        self.len
    }

    /// The second at which the last step ended that is over.
    pub fn end(&self, second: u64) -> u64 {
        second / self.step_s * self.step_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(ready: u64) -> Counts {
        Counts { ready, ..Counts::default() }
    }

    fn published(published: u64) -> Counted {
        Counted { published, ..Counted::default() }
    }

    /// What is told of ready and published.
    fn told(trail: &Trail, second: u64, steps: usize) -> Vec<Option<(f32, f32)>> {
        let points = trail.last(second, steps).into_iter();
        points.map(|point| point.map(|point| (point.ready, point.published))).collect()
    }

    #[test]
    fn steps_without_a_change_are_as_before_and_quiet() {
        let mut trail = Trail::sparse(10, 5, 1000);
        trail.note(1001, &counts(3), &published(20));
        trail.note(1009, &counts(4), &published(30));
        assert_eq!(told(&trail, 1009, 2), [None, None], "the step is not over");
        assert_eq!(told(&trail, 1010, 2), [None, Some((4.0, 5.0))]);
        let quiet = Some((4.0, 0.0));
        assert_eq!(told(&trail, 1035, 4), [None, Some((4.0, 5.0)), quiet, quiet]);
        trail.note(1044, &counts(0), &published(10));
        assert_eq!(told(&trail, 1065, 3), [quiet, Some((0.0, 1.0)), Some((0.0, 0.0))]);
        // Long after: everything that happened is out of sight, how it is is not.
        assert_eq!(told(&trail, 9000, 5), [Some((0.0, 0.0)); 5]);
    }

    #[test]
    fn nobody_looked_where_nothing_was_told() {
        let mut trail = Trail::dense(1, 10, 5);
        for second in [5, 6, 9] {
            trail.note(second, &counts(second), &published(1));
        }
        let expected = [None, Some((5.0, 1.0)), Some((6.0, 1.0)), None, None, Some((9.0, 1.0))];
        assert_eq!(told(&trail, 10, 6), expected);
        // There is no step before the first of all.
        assert_eq!(told(&trail, 6, 10).len(), 10);
        assert_eq!(told(&trail, 6, 10)[9], Some((5.0, 1.0)));
    }

    #[test]
    fn a_trail_is_bounded() {
        let mut trail = Trail::sparse(1, 60, 0);
        for second in 0..10_000 {
            trail.note(second, &counts(second), &published(1));
            assert!(trail.points.len() <= 61, "{}", trail.points.len());
        }
        let told = told(&trail, 10_000, 1000);
        assert_eq!(told.len(), 60);
        assert_eq!((told[0], told[59]), (Some((9940.0, 1.0)), Some((9999.0, 1.0))));
    }

    #[test]
    fn what_was_long_ago_is_how_the_window_begins() {
        let mut trail = Trail::sparse(1, 5, 0);
        trail.note(0, &counts(7), &published(7));
        trail.note(3, &counts(8), &published(1));
        trail.note(100, &counts(9), &published(1));
        let quiet = Some((8.0, 0.0));
        assert_eq!(told(&trail, 101, 5), [quiet, quiet, quiet, quiet, Some((9.0, 1.0))]);
    }
}
