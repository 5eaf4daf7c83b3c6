//! Publishing: who takes a message, whether there is room, and taking a publish back.

use super::entries::{Entry, Queue};
use super::lane::{Fresh, Ready};
use super::shelf::{Body, Kept};
use super::verbs::*;
use super::*;
use rustc_hash::FxHashMap;
use std::time::Duration;

impl Topic {
    /// Publishes one message into `to`, or into every queue that takes it.
    ///
    /// `keep_body`: false leaves the body to the store. A message that one accepting queue refuses
    /// is refused as a whole, before anything has changed. A message that no queue takes is not
    /// stored, and counted in [`Topic::unrouted`].
    ///
    /// Numbers: one from the ledger for a message in one queue, one more than queues for several,
    /// and one for a dedup key.
    pub fn publish(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        message: NewMessage,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Placed, Refusal> {
        let only = self.queues.first().map(|queue| queue.definition.number);
        if self.plain && message.extra.is_none() && (to.is_none() || to == only) {
            return self.publish_plain(now, message, keep_body, ledger);
        }
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        let extra = message.extra.as_deref();
        if let Some(extra) = extra {
            if let Some(first) = self.duplicate(now, extra) {
                return Ok(first);
            }
            if extra.client_id.as_ref().is_some_and(|id| self.client_id_lives(id)) {
                return Err(Refusal::DuplicateId);
            }
        }
        let mut accepting = std::mem::take(&mut self.accepting);
        accepting.clear();
        let placed = self
            .accept(to, extra, &mut accepting)
            .and_then(|()| self.make_room(&accepting, message.body.len() as u64, ledger))
            .and_then(|()| self.place(now, &accepting, message, keep_body, ledger));
        self.accepting = accepting;
        placed
    }

    /// The first message with the same dedup key.
    fn duplicate(&self, now: Timestamp, extra: &Extra) -> Option<Placed> {
        let first = self.dedup.first(now, extra.dedup_key.as_ref()?)?;
        let id = match first.client_id {
            Some(id) => MessageId::Client(id),
            None => MessageId::made(first.published_at, self.shelf.salt(), first.seq),
        };
        Some(Placed { id, seq: first.seq, duplicate: true })
    }

    /// A message with this client id is in some queue, and not only left over from a purge.
    fn client_id_lives(&mut self, id: &bytes::Bytes) -> bool {
        let slots: Vec<u32> = self.shelf.by_client_id(id).collect();
        slots
            .into_iter()
            .any(|slot| (0..self.queues.len()).any(|at| self.place_in(at, slot).is_some()))
    }

    fn accept(
        &self,
        to: Option<u32>,
        extra: Option<&Extra>,
        accepting: &mut Vec<usize>,
    ) -> Result<(), Refusal> {
        match to {
            Some(queue) => accepting.push(self.at(queue)?),
            None if !self.filters => accepting.extend(0..self.queues.len()),
            None => {
                let attributes = extra.and_then(|extra| extra.attributes.as_deref());
                let takes = |queue: &Queue| match &queue.definition.policy.filter {
                    Some(filter) => filter.accepts(attributes),
                    None => true,
                };
                let queues = self.queues.iter().enumerate();
                accepting.extend(queues.filter(|(_, queue)| takes(queue)).map(|(at, _)| at));
            }
        }
        Ok(())
    }

    /// Checks every bound; then, where the overflow says so, drops the oldest.
    fn make_room(
        &mut self,
        accepting: &[usize],
        bytes: u64,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let mut drops = false;
        for at in accepting {
            let queue = &self.queues[*at];
            if queue.definition.policy.paused_in {
                return Err(Refusal::Paused);
            }
            let Some((what, limit)) = over(queue, bytes) else { continue };
            if queue.definition.policy.overflow == Overflow::Refuse || !can_fit(queue, bytes) {
                return Err(Refusal::Full { what, limit });
            }
            drops = true;
        }
        if accepting.is_empty() {
            return Ok(());
        }
        while self.topic_over(bytes).is_some() && !self.graves.is_empty() {
            // What is left of a purge counts for nobody.
            self.bury(CLEARED_AT_ONCE, ledger);
        }
        if let Some((what, limit)) = self.topic_over(bytes)
            && (self.policy.overflow == Overflow::Refuse || !self.topic_can_fit(bytes))
        {
            return Err(Refusal::Full { what, limit });
        }
        if drops {
            for at in accepting {
                while over(&self.queues[*at], bytes).is_some() && self.drop_oldest(*at, ledger) {}
            }
        }
        while self.topic_over(bytes).is_some() {
            let heads = self.queues.iter().enumerate();
            let oldest = heads.filter_map(|(at, queue)| Some((queue.oldest(&self.shelf)?.0, at)));
            let Some((_, at)) = oldest.min() else { break };
            self.drop_oldest(at, ledger);
        }
        Ok(())
    }

    /// The bound of the topic that one more message would break.
    fn topic_over(&self, bytes: u64) -> Option<(&'static str, u64)> {
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        if capacity > 0 && self.shelf.len() as u64 >= capacity {
            return Some(("capacity", capacity));
        }
        (bytes_max > 0 && self.shelf.bytes + bytes > bytes_max).then_some(("bytes_max", bytes_max))
    }

    /// Whether dropping ready messages, the oldest first, makes room for one more in the topic. A
    /// message that is in flight or delayed in another queue stays.
    fn topic_can_fit(&self, bytes: u64) -> bool {
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        let (mut messages, mut held) = (self.shelf.len() as u64, self.shelf.bytes);
        let fits = |messages: u64, held: u64| {
            (capacity == 0 || messages < capacity) && (bytes_max == 0 || held + bytes <= bytes_max)
        };
        let mut refs: FxHashMap<u32, u32> = FxHashMap::default();
        for queue in &self.queues {
            for lane in &queue.lanes {
                for (_, ready) in lane.from(super::lane::Key::FIRST, &self.shelf) {
                    if fits(messages, held) {
                        return true;
                    }
                    let slot = queue.slot(ready);
                    let Some(kept) = self.shelf.get(slot) else { continue };
                    let left = refs.entry(slot).or_insert(kept.refs);
                    *left -= 1;
                    if *left == 0 {
                        messages -= 1;
                        held -= u64::from(kept.body.len());
                    }
                }
            }
        }
        fits(messages, held)
    }

    /// Drops the oldest ready message of a queue; false when there is none.
    fn drop_oldest(&mut self, at: usize, ledger: &mut Ledger) -> bool {
        let Some((_, _, ready)) = self.queues[at].oldest(&self.shelf) else { return false };
        self.remove_place(at, ready, ledger);
        self.queues[at].totals.dropped += 1;
        true
    }

    fn place(
        &mut self,
        now: Timestamp,
        accepting: &[usize],
        mut message: NewMessage,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Placed, Refusal> {
        let extra = message.extra.as_ref();
        let seq = self.last_seq + 1;
        let id = match extra.and_then(|extra| extra.client_id.clone()) {
            Some(id) => MessageId::Client(id),
            None => MessageId::made(now, self.shelf.salt(), seq),
        };
        let placed = Placed { id, seq, duplicate: false };
        if accepting.is_empty() {
            self.last_seq = seq;
            self.unrouted += 1;
            return Ok(placed);
        }
        let single = accepting.len() == 1;
        let places = if single { 0 } else { u16::try_from(accepting.len()).unwrap_or(u16::MAX) };
        let number = ledger.numbers(1 + u64::from(places));
        let wished = extra.and_then(|extra| extra.deliver_at).unwrap_or(now).max(now);
        let expires_at = match extra.and_then(|extra| extra.expires_at) {
            Some(at) => at,
            None if self.policy.ttl_ms > 0 => now.after_ms(self.policy.ttl_ms),
            None => Timestamp::NEVER,
        };
        let body = match keep_body {
            true if ledger.is_on() => Body::Held(message.body.clone()),
            true => Body::Held(std::mem::take(&mut message.body)),
            false => Body::on_disk(&message.body),
        };
        let kept = Kept {
            body,
            number,
            seq,
            published_at: now,
            expires_at,
            extra: extra.cloned(),
            refs: accepting.len() as u32,
            places,
            foreign: false,
        };
        let (priority, front, bytes) = (kept.priority(), kept.front(), kept.body.len());
        let slot = self.shelf.insert(kept)?;
        self.last_seq = seq;
        let mut visible_at = wished;
        let mut later: Vec<(u64, Timestamp)> = Vec::new();
        for (nth, at) in accepting.iter().enumerate() {
            let queue = &mut self.queues[*at];
            let offset = if single { 0 } else { nth as u32 + 1 };
            let entry_number = number + u64::from(offset);
            let delay_ms = queue.definition.policy.delay_ms;
            let visible = if delay_ms > 0 { wished.max(now.after_ms(delay_ms)) } else { wished };
            queue.totals.published += 1;
            let ready = visible <= now;
            if ready && queue.push(entry_number, priority, front, Fresh { slot, offset }, bytes) {
                continue;
            }
            if single {
                visible_at = visible;
            } else if visible > wished {
                later.push((entry_number, visible));
            }
            let state = if ready { State::Ready } else { State::Delayed };
            queue.add(Entry {
                slot,
                state,
                lane: priority,
                front,
                purged: false,
                attempts: 0,
                bytes,
                number: entry_number,
                due: visible,
                since: visible,
                stamp: 0,
                died: 0,
                history: None,
            });
        }
        ledger.note(|| {
            let numbers = accepting.iter().map(|at| self.queues[*at].definition.number);
            let place = match accepting {
                [at] => Place::Queue(self.queues[*at].definition.number),
                _ => Place::Queues((number + 1..).zip(numbers).collect()),
            };
            Record::Published(Stored {
                number,
                topic: self.number,
                seq,
                published_at: now,
                visible_at,
                expires_at,
                extra: extra.cloned(),
                body: message.body,
                place,
            })
        });
        for (entry, visible_at) in later {
            ledger.note(|| Record::Attempted {
                entry,
                attempts: 0,
                visible_at,
                failures: Vec::new(),
            });
        }
        self.set_expiry(now, slot);
        if let Some(extra) = extra
            && let Some(key) = &extra.dedup_key
            && self.policy.dedup_window_ms > 0
        {
            let until = now.after_ms(self.policy.dedup_window_ms);
            let max = self.policy.dedup_keys_max;
            self.dedup.remember((self.number, key.clone(), seq), now, until, max, ledger);
            if let Some(id) = &extra.client_id {
                self.dedup.name(key, id);
            }
        }
        Ok(placed)
    }

    /// The store did not take these messages: they were never published. Deliveries of them end.
    pub fn unpublish(&mut self, seqs: &[u64]) {
        let mut off = Ledger::off(0);
        let mut taken: Vec<u64> = Vec::new();
        for seq in seqs {
            let Some(slot) = self.shelf.by_seq(*seq) else {
                taken.push(*seq);
                continue;
            };
            let extra = self.shelf.get(slot).and_then(|kept| kept.extra.clone());
            if let Some(key) = extra.as_ref().and_then(|extra| extra.dedup_key.as_ref()) {
                self.dedup.unpublish(key, *seq);
            }
            for at in 0..self.queues.len() {
                if let Some(place) = self.place_in(at, slot) {
                    self.remove_place(at, place, &mut off);
                    let totals = &mut self.queues[at].totals;
                    totals.published = totals.published.saturating_sub(1);
                }
            }
        }
        self.dedup.unpublish_all(&taken);
    }

    /// Removes a message of a queue by id, whatever its state.
    pub fn delete(
        &mut self,
        queue: u32,
        id: &MessageId,
        ledger: &mut Ledger,
    ) -> Result<(), Refusal> {
        let at = self.at(queue)?;
        let place = self.place_of(at, id).ok_or(Refusal::MessageNotFound)?;
        self.remove_place(at, place, ledger);
        Ok(())
    }

    pub(super) fn is_ready(&self, at: usize, place: Ready) -> bool {
        match place {
            Ready::Fresh(_) => true,
            Ready::Held(held) => {
                self.queues[at].entry(held).is_some_and(|entry| entry.state == State::Ready)
            }
        }
    }
}

/// How much of what a purge left is cleared away at a time by a publish that needs the room.
const CLEARED_AT_ONCE: usize = 256;

/// Milliseconds as a span.
pub(super) fn span(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The bound of a queue that one more message would break.
fn over(queue: &Queue, bytes: u64) -> Option<(&'static str, u64)> {
    let (policy, waiting) = (&queue.definition.policy, queue.waiting());
    if policy.messages_max > 0 && waiting.messages >= policy.messages_max {
        return Some(("messages_max", policy.messages_max));
    }
    let over_bytes = policy.bytes_max > 0 && waiting.bytes + bytes > policy.bytes_max;
    over_bytes.then_some(("bytes_max", policy.bytes_max))
}

/// Whether one more message fits once all ready ones are dropped.
fn can_fit(queue: &Queue, bytes: u64) -> bool {
    let (policy, delayed) = (&queue.definition.policy, queue.tally(State::Delayed));
    (policy.messages_max == 0 || delayed.messages < policy.messages_max)
        && (policy.bytes_max == 0 || delayed.bytes + bytes <= policy.bytes_max)
}
