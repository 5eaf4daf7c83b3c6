//! What the passing of time does: missed deadlines, delays that are over, lives that end.

use super::entries::Deadline;
use super::lane::Ready;
use super::verbs::*;
use super::*;

/// What is due: the ack deadline of a delivery, or the end of a message's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timer {
    /// The queue's number; [`LIFE`] when a message's life ends.
    queue: u32,
    /// The delivery's entry, or the message's slot.
    at: u32,
    /// The delivery's stamp, or the message's number: the timer is stale when it is another.
    stamp: u64,
    /// Timers of one millisecond fire in the order they were set.
    nth: u64,
}

/// No queue has this number.
const LIFE: u32 = u32::MAX;
/// Timers below this number are never looked through for stale ones.
const TIMERS_FREE: usize = 4096;

impl Topic {
    pub(super) fn set_deadline(
        &mut self,
        now: Timestamp,
        due: Timestamp,
        at: usize,
        held: u32,
        stamp: u64,
    ) {
        self.timers_set += 1;
        let nth = self.timers_set;
        let queue = &mut self.queues[at];
        if !queue.push_deadline(Deadline { due, held, stamp, nth }) {
            let queue = queue.definition.number;
            self.set_timer(now, due, Timer { queue, at: held, stamp, nth });
        }
    }

    pub(super) fn set_expiry(&mut self, now: Timestamp, slot: u32) {
        if let Some(kept) = self.shelf.get(slot)
            && kept.expires_at < Timestamp::NEVER
        {
            let (due, stamp) = (kept.expires_at, kept.number);
            self.timers_set += 1;
            let nth = self.timers_set;
            self.set_timer(now, due, Timer { queue: LIFE, at: slot, stamp, nth });
        }
    }

    fn set_timer(&mut self, now: Timestamp, at: Timestamp, timer: Timer) {
        if self.wheel.is_empty() {
            self.wheel.advance(now);
        }
        self.wheel.set(at, timer);
        if self.wheel.len() > self.timers_max.max(TIMERS_FREE) {
            // Acks leave their timers behind; a long deadline would keep millions of them.
            let (shelf, queues) = (&self.shelf, &self.queues);
            self.wheel.retain(|timer| match timer.queue {
                LIFE => shelf.get(timer.at).is_some_and(|kept| kept.number == timer.stamp),
                number => {
                    let queue = queues.iter().find(|queue| queue.definition.number == number);
                    queue.and_then(|queue| queue.entry(timer.at)).is_some_and(|entry| {
                        entry.stamp == timer.stamp && entry.state == State::InFlight
                    })
                }
            });
            self.timers_max = 2 * self.wheel.len();
        }
    }

    /// Delayed messages whose time has come are ready. Returns how many, at most `budget`.
    pub(super) fn ripen(&mut self, at: usize, now: Timestamp, budget: usize) -> usize {
        let queue = &mut self.queues[at];
        let mut ripe = 0;
        while ripe < budget
            && let Some((due, held)) = queue.delayed.first().copied()
            && due <= now
        {
            queue.change(held, |entry| {
                entry.state = State::Ready;
                entry.since = due;
            });
            ripe += 1;
        }
        ripe
    }

    /// Lets time pass up to `now`: at most `budget` events, so that it returns soon.
    ///
    /// Numbers: at most one from the ledger per event.
    pub fn advance(&mut self, now: Timestamp, budget: usize, ledger: &mut Ledger) -> Advanced {
        let mut ready = false;
        let mut left = budget;
        self.wheel.advance(now);
        while left > 0
            && let Some((when, timer)) = self.next_due(now)
        {
            left -= 1;
            if timer.queue == LIFE {
                self.expire(now, timer, ledger);
            } else {
                ready |= self.fire_deadline(now, when, timer, ledger);
            }
        }
        for at in 0..self.queues.len() {
            let ripe = self.ripen(at, now, left);
            ready |= ripe > 0;
            left = self.retain(at, now, left - ripe, ledger);
        }
        let more_keys = self.dedup.expire(now, left, ledger);
        left = self.bury(left, ledger);
        Advanced { ready, more: left == 0 || more_keys }
    }

    /// The first of all timers that are due, the wheel's and those of the queues, with its time.
    fn next_due(&mut self, now: Timestamp) -> Option<(Timestamp, Timer)> {
        let fronts = self.queues.iter().enumerate().filter_map(|(at, queue)| {
            let first = queue.first_deadline().filter(|first| first.due <= now)?;
            Some(((first.due, first.nth), at))
        });
        let first = fronts.min();
        let in_wheel = self.wheel.first_due().map(|(at, timer)| (at, timer.nth));
        match first {
            Some((when, at)) if in_wheel.is_none_or(|in_wheel| when < in_wheel) => {
                let queue = &mut self.queues[at];
                let Deadline { due, held, stamp, nth } = queue.pop_deadline()?;
                Some((due, Timer { queue: queue.definition.number, at: held, stamp, nth }))
            }
            _ => {
                let when = self.wheel.first_due().map(|(when, _)| when)?;
                self.wheel.pop().map(|timer| (when, timer))
            }
        }
    }

    fn fire_deadline(
        &mut self,
        now: Timestamp,
        when: Timestamp,
        timer: Timer,
        ledger: &mut Ledger,
    ) -> bool {
        let Ok(at) = self.at(timer.queue) else { return false };
        let purged = self.queues[at].purged;
        let good = |entry: &super::entries::Entry| {
            // A later deadline means that it was extended, and has a later timer.
            entry.stamp == timer.stamp
                && entry.state == State::InFlight
                && entry.due <= when
                && !purged.took(entry)
        };
        if !self.queues[at].entry(timer.at).is_some_and(good) {
            return false;
        }
        self.miss(now, at, timer.at, ledger);
        true
    }

    /// A message's life is over: it leaves every queue where it waits. In flight it may still be
    /// acked; dead letters are kept.
    fn expire(&mut self, now: Timestamp, timer: Timer, ledger: &mut Ledger) {
        let slot = timer.at;
        let kept = self.shelf.get(slot).filter(|kept| kept.number == timer.stamp);
        if kept.is_none_or(|kept| kept.expires_at > now) {
            return;
        }
        for at in 0..self.queues.len() {
            let Some(place) = self.place_in(at, slot) else { continue };
            let waits = match place {
                Ready::Fresh(_) => true,
                Ready::Held(held) => self.queues[at]
                    .entry(held)
                    .is_some_and(|entry| matches!(entry.state, State::Ready | State::Delayed)),
            };
            if waits {
                self.remove_place(at, place, ledger);
                self.queues[at].totals.expired += 1;
            }
        }
    }

    /// Ready messages that are older than the queue keeps them. Returns what is left of the budget.
    fn retain(&mut self, at: usize, now: Timestamp, mut left: usize, ledger: &mut Ledger) -> usize {
        while left > 0
            && let Some((until, ready)) = self.retained(at)
            && until <= now
        {
            left -= 1;
            self.remove_place(at, ready, ledger);
            self.queues[at].totals.expired += 1;
        }
        left
    }

    /// The ready message of a queue that is kept no longer than the other heads of its lanes, and
    /// until when; `None` when the queue keeps messages for ever.
    fn retained(&self, at: usize) -> Option<(Timestamp, Ready)> {
        let queue = &self.queues[at];
        let retention_ms = queue.definition.policy.retention_ms;
        if retention_ms == 0 {
            return None;
        }
        let heads = queue.lanes.iter().filter_map(|lane| lane.peek(End::Front, &self.shelf));
        let until = |ready| {
            let kept = self.shelf.get(queue.slot(ready)).filter(|kept| !kept.stamped)?;
            Some((kept.published_at.after_ms(retention_ms), ready))
        };
        heads.filter_map(until).min_by_key(|(until, _)| *until)
    }

    /// When [`Topic::advance`] has something to do next: never later than that, sometimes sooner.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if !self.graves.is_empty() {
            return Some(Timestamp(0));
        }
        let delayed = self.queues.iter().filter_map(|queue| Some(queue.delayed.first()?.0));
        let deadlines = self.queues.iter().filter_map(|queue| Some(queue.first_deadline()?.due));
        let retained = (0..self.queues.len()).filter_map(|at| Some(self.retained(at)?.0));
        let next = [self.wheel.next(), self.dedup.next_deadline()].into_iter().flatten();
        next.chain(delayed).chain(deadlines).chain(retained).min()
    }
}
