//! Filling a topic with what the store gave back.

use super::entries::{Entry, History};
use super::lane::Fresh;
use super::shelf::{Body, Kept};
use super::verbs::*;
use super::*;
use bytes::Bytes;

impl Topic {
    /// Adds what the store gave back, in ascending order of numbers, before the first verb. What was
    /// in flight is ready again; the deliveries before the restart count only if they failed.
    pub fn restore(&mut self, now: Timestamp, message: Restored) {
        let Restored { number, topic, seq, published_at, expires_at, extra, stamped, .. } = message;
        let own = super::message::own_id(message.body.as_ref(), extra.as_deref()).is_some();
        let made = extra.as_ref().is_some_and(|extra| extra.made_id.is_some());
        let extra = if topic == self.number || own || made {
            extra
        } else {
            // The salt of the topic that published it is not known any more.
            super::shelf::with_id(extra.as_deref(), &MessageId::made(published_at, topic, seq))
        };
        let offset = |entry: &RestoredEntry| {
            let offset = entry.entry.checked_sub(number)?;
            u16::try_from(offset).ok()
        };
        let lone = message.entries.first().filter(|_| message.lone).map_or(0, |entry| entry.queue);
        let kept = Kept {
            body: Body::new(message.body, message.body_bytes),
            number,
            seq,
            published_at,
            expires_at,
            extra,
            refs: 0,
            places: message.entries.iter().filter_map(offset).max().unwrap_or(0),
            foreign: topic != self.number,
            stamped,
            lone,
            door: message.door,
        };
        if topic == self.number {
            self.last_seq = self.last_seq.max(seq);
        }
        let (lane, front, bytes) = (kept.priority(), kept.front(), kept.body.len());
        let key = kept.ordering_key().cloned();
        let Ok(slot) = self.shelf.insert(kept) else { return };
        self.set_expiry(now, slot);
        for restored in message.entries {
            let Ok(at) = self.at(restored.queue) else { continue };
            let Some(kept) = self.shelf.get_mut(slot) else { return };
            kept.refs += 1;
            let queue = &mut self.queues[at];
            let plain = restored.dead.is_none()
                && restored.attempts == 0
                && restored.failures.is_empty()
                && restored.visible_at <= now
                && key.is_none();
            if let (true, Some(offset)) = (plain, offset(&restored))
                && let fresh = (Fresh { slot, offset: offset.into() })
                && queue.push(restored.entry, lane, front, fresh, bytes)
            {
                continue;
            }
            let RestoredEntry { entry: number, attempts, visible_at, failures, dead, .. } =
                restored;
            let waits = if visible_at > now { State::Delayed } else { State::Ready };
            let (state, attempts, failures) = match &dead {
                Some(letter) if !letter.revived => {
                    (State::Dead, letter.attempts, letter.failures.clone())
                }
                // It has not failed since.
                Some(letter) if failures.is_empty() => (waits, attempts, letter.failures.clone()),
                _ => (waits, attempts, failures),
            };
            let history = History::of(failures, dead);
            let entry = Entry {
                slot,
                state,
                lane,
                front,
                keyed: false,
                attempts,
                bytes,
                number,
                due: visible_at,
                since: visible_at,
                stamp: 0,
                died: 0,
                history,
            };
            queue.add(entry, key.as_ref());
        }
        if self.shelf.get(slot).is_some_and(|kept| kept.refs == 0) {
            self.shelf.remove(slot);
        }
    }

    /// Remembers a dedup key that the store gave back, in ascending order of numbers.
    pub fn restore_dedup(
        &mut self,
        number: u64,
        key: Bytes,
        seq: u64,
        published_at: Timestamp,
        until: Timestamp,
    ) {
        self.dedup.put(number, key, seq, published_at, until);
    }

    /// Ends the restoring. Sequence numbers go on above `seq`.
    pub fn continue_after(&mut self, seq: u64) {
        self.last_seq = self.last_seq.max(seq);
        self.queues.iter_mut().for_each(super::entries::Queue::sort_dead);
    }

    /// The highest sequence number given.
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }
}
