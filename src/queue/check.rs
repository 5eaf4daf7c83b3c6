//! What must be true of a topic between any two verbs; asserted by the tests after every step.

use super::lane::{Key, Ready};
use super::verbs::*;
use super::*;
use rustc_hash::{FxHashMap, FxHashSet};

impl Topic {
    /// Panics when an invariant of the structures does not hold.
    pub fn check_invariants(&self) {
        let mut refs: FxHashMap<u32, u32> = FxHashMap::default();
        for (nth, queue) in self.queues.iter().enumerate() {
            let mut messages = [0u64; 4];
            let mut bytes = [0u64; 4];
            let mut alive: FxHashSet<u32> = FxHashSet::default();
            let mut count = |slot: u32, state: State| {
                let kept = self.shelf.get(slot).expect("a place names a message");
                assert!(alive.insert(slot), "queue {nth} holds a message twice");
                messages[state as usize] += 1;
                bytes[state as usize] += u64::from(kept.body.len());
                *refs.entry(slot).or_default() += 1;
            };
            for (priority, lane) in queue.lanes.iter().enumerate() {
                let all: Vec<(Key, Ready)> = lane.from(Key::FIRST, &self.shelf).collect();
                assert!(all.is_sorted_by(|a, b| a.0 < b.0), "a lane is in order");
                assert_eq!(all.len(), lane.len());
                assert!(queue.keys.is_some() || lane.keyed().is_none());
                let back: Vec<(Key, Ready)> = lane.backwards(&self.shelf).collect();
                assert!(back.iter().eq(all.iter().rev()), "a lane has one order from both ends");
                let ends = (all.first().copied(), all.last().copied());
                let peeked =
                    (lane.peek(End::Front, &self.shelf), lane.peek(End::Back, &self.shelf));
                assert_eq!(peeked, (ends.0.map(|end| end.1), ends.1.map(|end| end.1)));
                for (key, ready) in all {
                    let number = queue.number(ready, &self.shelf);
                    assert!(number <= queue.highest && number > queue.purged.through);
                    match ready {
                        Ready::Fresh(fresh) => {
                            let kept = self.shelf.get(fresh.slot).unwrap();
                            assert_eq!(kept.ordering_key(), None);
                            assert_eq!(usize::from(kept.priority()), priority);
                            assert_eq!(
                                queue.find_fresh(fresh.slot, &self.shelf),
                                Some((priority as u8, fresh))
                            );
                            count(fresh.slot, State::Ready);
                        }
                        Ready::Held(held) => {
                            let entry = queue.entry(held).unwrap();
                            assert_eq!((entry.state, entry.key()), (State::Ready, key));
                            assert_eq!(usize::from(entry.lane), priority);
                            let keyed = lane.keyed().and_then(|turns| turns.ready.get(&key));
                            assert_eq!(keyed, entry.keyed.then_some(&held));
                        }
                    }
                }
            }
            for (held, entry) in queue.entries.iter() {
                if queue.purged.took(entry) {
                    // Counted with its grave.
                    continue;
                }
                count(entry.slot, entry.state);
                let kept = self.shelf.get(entry.slot).unwrap();
                assert_eq!((entry.lane, entry.front), (kept.priority(), kept.front()));
                let key = kept.ordering_key().filter(|_| entry.state != State::Dead);
                assert_eq!(queue.key_name(held), key);
                assert_eq!(entry.bytes, kept.body.len());
                assert!(entry.number <= queue.highest);
                let (due, held) = (entry.due, held);
                assert_eq!(entry.state == State::Delayed, queue.delayed.contains(&(due, held)));
                let is_dead = queue.dead.get(&entry.died) == Some(&held);
                assert_eq!(entry.state == State::Dead, is_dead);
            }
            queue.check_keys();
            assert_eq!(queue.delayed.len() as u64, messages[State::Delayed as usize]);
            assert_eq!(queue.dead.len() as u64, messages[State::Dead as usize]);
            for state in [State::Delayed, State::Ready, State::InFlight, State::Dead] {
                let tally = queue.tally(state);
                let counted = (messages[state as usize], bytes[state as usize]);
                assert_eq!((tally.messages, tally.bytes), counted, "{state:?} of queue {nth}");
            }
        }
        let in_graves = self.buried(|slot| *refs.entry(slot).or_default() += 1);
        assert!(in_graves == 0 || !self.graves.is_empty());
        let (mut bytes, mut resident) = (0, 0);
        for (slot, kept) in self.shelf.iter() {
            assert_eq!(refs.remove(&slot), Some(kept.refs), "places of message {}", kept.number);
            bytes += u64::from(kept.body.len());
            resident += kept.body.resident();
        }
        assert!(refs.is_empty(), "places without a message");
        assert_eq!((self.shelf.bytes(), self.shelf.resident()), (bytes, resident));
        self.check_deadlines();
    }

    /// Nothing happens before the next deadline.
    fn check_deadlines(&self) {
        let next = self.next_deadline().unwrap_or(Timestamp::NEVER);
        for queue in &self.queues {
            for (_, entry) in queue.entries.iter() {
                let waits = matches!(entry.state, State::InFlight | State::Delayed);
                if waits && !queue.purged.took(entry) {
                    assert!(next <= entry.due, "{next:?} is after {entry:?}");
                }
            }
        }
    }
}
