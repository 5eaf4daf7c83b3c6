//! Timers: a hierarchical wheel with lazy cancel. Setting one costs a push, firing one a pop; a
//! timer that is not wanted any more stays until it fires, or until [`Wheel::retain`] is asked to
//! clear away what is stale.
//!
//! Timers fire exactly: never before their millisecond, and with the first
//! [`Wheel::advance`] at or after it, in the order of their times.

use super::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// A tick is 8 ms.
const TICK_BITS: u32 = 3;
const SLOT_BITS: u32 = 8;
const SLOTS: usize = 1 << SLOT_BITS;
/// 2 s, 9 min, 37 h in one turn of the three levels; what is later waits in a map.
const LEVELS: usize = 3;
const TURN_BITS: u32 = SLOT_BITS * LEVELS as u32;

/// A set of timers. `T` says what is due and how to tell whether it still matters.
#[derive(Debug)]
pub struct Wheel<T> {
    levels: [Level<T>; LEVELS],
    /// Beyond the turn of the coarsest level: by turn.
    far: BTreeMap<u64, Vec<(u64, T)>>,
    /// In the tick that is passing, but later than now.
    near: Vec<(u64, T)>,
    /// Milliseconds up to this one have passed.
    now: u64,
    due: VecDeque<(u64, T)>,
    len: usize,
}

#[derive(Debug)]
struct Level<T> {
    /// Empty until the level is used for the first time.
    slots: Vec<Vec<(u64, T)>>,
    /// One bit per slot that holds a timer.
    occupied: [u64; SLOTS / 64],
}

impl<T> Level<T> {
    fn push(&mut self, slot: usize, timer: (u64, T)) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Vec::new);
        }
        self.slots[slot].push(timer);
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn take(&mut self, slot: usize) -> Vec<(u64, T)> {
        let bit = 1 << (slot % 64);
        if self.occupied[slot / 64] & bit == 0 {
            return Vec::new();
        }
        self.occupied[slot / 64] &= !bit;
        std::mem::take(&mut self.slots[slot])
    }

    /// The first slot behind this one that holds a timer.
    fn first_behind(&self, slot: usize) -> Option<usize> {
        let first = slot + 1;
        (first / 64..SLOTS / 64).find_map(|word| {
            let skip = if word == first / 64 { first % 64 } else { 0 };
            let bits = self.occupied[word] & (u64::MAX << skip);
            (bits != 0).then(|| word * 64 + bits.trailing_zeros() as usize)
        })
    }
}

impl<T> Default for Wheel<T> {
    fn default() -> Self {
        Wheel {
            levels: std::array::from_fn(|_| Level { slots: Vec::new(), occupied: [0; SLOTS / 64] }),
            far: BTreeMap::new(),
            near: Vec::new(),
            now: 0,
            due: VecDeque::new(),
            len: 0,
        }
    }
}

impl<T> Wheel<T> {
    /// Sets a timer. One that is due already is given by the next [`Self::pop`].
    #[inline]
    pub fn set(&mut self, at: Timestamp, what: T) {
        self.len += 1;
        self.file((u64::try_from(at.0).unwrap_or(0), what));
    }

    fn file(&mut self, timer: (u64, T)) {
        let (tick, now) = (timer.0 >> TICK_BITS, self.now >> TICK_BITS);
        if timer.0 <= self.now {
            self.due.push_back((self.now, timer.1));
        } else if tick == now {
            self.near.push(timer);
        } else {
            // The level is where the tick first differs from now, so a slot never holds two turns.
            let level = ((63 - (tick ^ now).leading_zeros()) / SLOT_BITS) as usize;
            match self.levels.get_mut(level) {
                Some(found) => {
                    let slot = (tick >> (SLOT_BITS * level as u32)) as usize & (SLOTS - 1);
                    found.push(slot, timer);
                }
                None => self.far.entry(tick >> TURN_BITS).or_default().push(timer),
            }
        }
    }

    /// How many timers are set, stale ones included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// None is set.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets time pass; what is due is then given by [`Self::pop`].
    pub fn advance(&mut self, now: Timestamp) {
        let now = u64::try_from(now.0).unwrap_or(0);
        if now <= self.now {
            return;
        }
        while let Some(next) = self.next_stop().filter(|next| *next <= now >> TICK_BITS) {
            self.enter(next);
        }
        self.now = now;
        self.fire_near();
    }

    /// The next tick at which a slot is entered.
    fn next_stop(&self) -> Option<u64> {
        let tick = self.now >> TICK_BITS;
        // A slot of a finer level comes before all slots of the coarser ones.
        let near = self.levels.iter().zip(0..).find_map(|(level, nth)| {
            let shift = SLOT_BITS * nth;
            let slot = level.first_behind((tick >> shift) as usize & (SLOTS - 1))?;
            let turn = tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
            Some(turn + ((slot as u64) << shift))
        });
        near.or_else(|| self.far.keys().next().map(|turn| turn << TURN_BITS))
    }

    /// Goes to the beginning of a tick. What lies in the slots that begin here is filed anew.
    fn enter(&mut self, tick: u64) {
        self.now = (tick << TICK_BITS) - 1;
        self.fire_near();
        self.now += 1;
        if let Some(turn) = self.far.remove(&(tick >> TURN_BITS)) {
            turn.into_iter().for_each(|timer| self.file(timer));
        }
        for level in (0..LEVELS).rev() {
            let shift = SLOT_BITS * level as u32;
            if tick & ((1 << shift) - 1) == 0 {
                let slot = (tick >> shift) as usize & (SLOTS - 1);
                let timers = self.levels[level].take(slot);
                timers.into_iter().for_each(|timer| self.file(timer));
            }
        }
    }

    /// Timers of the present tick that are due by now.
    fn fire_near(&mut self) {
        if self.near.is_empty() {
            return;
        }
        // Stable: timers of one millisecond fire in the order they were set.
        self.near.sort_by_key(|(at, _)| *at);
        let due = self.near.partition_point(|(at, _)| *at <= self.now);
        self.due.extend(self.near.drain(..due));
    }

    /// One timer that is due, the earliest first.
    pub fn pop(&mut self) -> Option<T> {
        let (_, what) = self.due.pop_front()?;
        self.len -= 1;
        Some(what)
    }

    /// The timer that the next [`Self::pop`] gives, and its time.
    pub fn first_due(&self) -> Option<(Timestamp, &T)> {
        let (at, what) = self.due.front()?;
        Some((Timestamp(i64::try_from(*at).unwrap_or(i64::MAX)), what))
    }

    /// Not later than the next timer fires. Far timers have stops on their way, so it may be
    /// earlier; then [`Self::advance`] brings nothing and the next answer is closer.
    pub fn next(&self) -> Option<Timestamp> {
        let next = if !self.due.is_empty() {
            self.now
        } else if let Some(near) = self.near.iter().map(|(at, _)| *at).min() {
            near
        } else {
            self.next_stop()? << TICK_BITS
        };
        Some(Timestamp(i64::try_from(next).unwrap_or(i64::MAX)))
    }

    /// Forgets the timers that are not `wanted`.
    pub fn retain(&mut self, mut wanted: impl FnMut(&T) -> bool) {
        let mut len = 0;
        let mut keep = |timers: &mut Vec<(u64, T)>| {
            timers.retain(|(_, what)| wanted(what));
            if timers.capacity() > 2 * timers.len() {
                timers.shrink_to_fit();
            }
            len += timers.len();
            timers.is_empty()
        };
        for level in &mut self.levels {
            for (at, slot) in level.slots.iter_mut().enumerate() {
                if !slot.is_empty() && keep(slot) {
                    level.occupied[at / 64] &= !(1 << (at % 64));
                }
            }
        }
        self.far.retain(|_, timers| !keep(timers));
        keep(&mut self.near);
        self.due.retain(|(_, what)| wanted(what));
        self.len = len + self.due.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fired(wheel: &mut Wheel<u64>, now: i64) -> Vec<u64> {
        wheel.advance(Timestamp(now));
        std::iter::from_fn(|| wheel.pop()).collect()
    }

    #[test]
    fn a_timer_fires_at_its_millisecond_at_every_distance() {
        for span in [1, 7, 8, 9, 2047, 2048, 2049, 524_288, 134_217_728, 10_000_000_000] {
            for start in [0, 1_700_000_000_123, 1_700_000_000_127] {
                let mut wheel = Wheel::default();
                wheel.advance(Timestamp(start));
                wheel.set(Timestamp(start + span), 1);
                assert!(fired(&mut wheel, start + span - 1).is_empty(), "too early: {span}");
                assert_eq!(fired(&mut wheel, start + span), [1], "too late: {span}");
                assert!(wheel.is_empty() && wheel.next().is_none());
            }
        }
    }

    #[test]
    fn a_timer_that_is_due_when_it_is_set_fires_at_once() {
        let mut wheel = Wheel::default();
        wheel.advance(Timestamp(1000));
        wheel.set(Timestamp(1000), 1);
        wheel.set(Timestamp(-5), 2);
        assert_eq!(wheel.next(), Some(Timestamp(1000)));
        assert_eq!(fired(&mut wheel, 1000), [1, 2]);
    }

    proptest! {
        #[test]
        fn timers_fire_as_a_sorted_list_would(
            steps in proptest::collection::vec((
                proptest::collection::vec(prop_oneof![0i64..40, 0i64..5_000, 0i64..200_000_000], 0..6),
                prop_oneof![0i64..20, 0i64..3_000, 0i64..20_000_000, 0i64..200_000_000],
                any::<bool>(),
            ), 1..40),
        ) {
            let (mut wheel, mut now) = (Wheel::default(), 1_700_000_000_000i64);
            wheel.advance(Timestamp(now));
            let mut waiting: Vec<(i64, u64)> = Vec::new();
            let mut name = 0;
            for (spans, step, clears) in steps {
                for span in spans {
                    name += 1;
                    wheel.set(Timestamp(now + span), name);
                    waiting.push((now + span, name));
                }
                if clears {
                    wheel.retain(|name| name % 3 != 0);
                    waiting.retain(|(_, name)| name % 3 != 0);
                }
                prop_assert_eq!(waiting.len(), wheel.len());
                let earliest = waiting.iter().map(|(due, _)| *due).min();
                prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                if let (Some(next), Some(earliest)) = (wheel.next(), earliest) {
                    prop_assert!(next.0 <= earliest, "{next:?} after {earliest}");
                }
                now += step;
                waiting.sort_by_key(|(due, _)| *due);
                let mut expected: Vec<(i64, u64)> =
                    waiting.iter().copied().filter(|(due, _)| *due <= now).collect();
                waiting.retain(|(due, _)| *due > now);
                // Those that were due when they were set fire before the others.
                let mut fired = fired(&mut wheel, now);
                fired.sort_unstable();
                expected.sort_by_key(|(_, name)| *name);
                let expected: Vec<u64> = expected.into_iter().map(|(_, name)| name).collect();
                prop_assert_eq!(fired, expected);
            }
        }

        #[test]
        fn later_timers_fire_in_the_order_of_their_times_and_of_being_set(
            spans in proptest::collection::vec(1i64..3_000, 1..80), far in 1i64..400_000_000,
        ) {
            let (mut wheel, start) = (Wheel::default(), 1_700_000_000_000i64);
            wheel.advance(Timestamp(start));
            let mut expected: Vec<(i64, u64)> = Vec::new();
            for (name, span) in spans.iter().enumerate() {
                let at = start + if name % 7 == 0 { far } else { *span };
                wheel.set(Timestamp(at), name as u64);
                expected.push((at, name as u64));
            }
            expected.sort();
            let names: Vec<u64> = expected.into_iter().map(|(_, name)| name).collect();
            prop_assert_eq!(fired(&mut wheel, start + 500_000_000), names);
        }
    }
}
