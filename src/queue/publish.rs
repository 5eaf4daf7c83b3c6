//! Publishing: who takes a message, whether there is room, and taking a publish back.

use super::entries::{Entry, History, Queue};
use super::filter::Attributes;
use super::lane::{Fresh, Ready};
use super::shelf::{Body, Kept};
use super::verbs::*;
use super::*;
use rustc_hash::FxHashMap;
use std::time::Duration;

/// How a message is put into its queues.
struct Manner<'a> {
    /// What became of it before.
    past: Option<&'a Past>,
    /// It goes into one queue and ends when that queue's retention says now.
    stamp: bool,
    /// False leaves the body to the store.
    keep_body: bool,
}

impl Topic {
    /// Publishes one message into `to`, or into every queue that takes it.
    ///
    /// `keep_body`: false leaves the body to the store. A message that one accepting queue refuses
    /// is refused as a whole, before anything has changed. A message that no queue takes is not
    /// stored, and counted in [`Topic::unrouted`]. One with a [`Past`] that names its queues goes
    /// there, in its state; `to` must be `None` then.
    ///
    /// Numbers: one from the ledger for a message in one queue, one more than queues for several,
    /// and one for a dedup key.
    #[inline]
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
            if message.body.own_id().is_some_and(|id| self.own_id_lives(id)) {
                return Err(Refusal::DuplicateId);
            }
            return self.publish_plain(now, message, keep_body, ledger);
        }
        self.publish_whole(now, to, message, keep_body, ledger)
    }

    /// The long way, apart so that the short one is inlined.
    #[inline(never)]
    fn publish_whole(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        mut message: NewMessage,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Placed, Refusal> {
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        message = message.gathered();
        let (extra, past) = Extra::without_past(message.extra.take());
        message.extra = extra;
        if let Some(extra) = message.extra.as_deref() {
            extra.check()?;
            if let Some(first) = self.duplicate(now, extra) {
                return Ok(first);
            }
        }
        if message.own_id().is_some_and(|id| self.own_id_lives(id)) {
            return Err(Refusal::DuplicateId);
        }
        let extra = message.extra.as_deref();
        let mut accepting = std::mem::take(&mut self.accepting);
        accepting.clear();
        let named = past.as_ref().map_or(&[][..], |past| &past.places);
        let accepted = match named {
            [] => self.accept(to, extra, &mut accepting),
            named => self.accept_named(to, named, &mut accepting),
        };
        let manner = Manner { past: past.as_ref(), stamp: false, keep_body };
        let kept = past.as_ref().is_some_and(|past| past.kept_until.is_some());
        let kept_by_one = match kept && accepting.len() != 1 {
            true => Err(Refusal::OutOfBounds("past")),
            false => Ok(()),
        };
        let placed = accepted
            .and(kept_by_one)
            .and_then(|()| self.make_room(&accepting, 1, message.body.len() as u64, ledger))
            .and_then(|()| self.place(now, &accepting, message, manner, ledger));
        self.accepting = accepting;
        placed.map(|landed| landed.placed)
    }

    /// Publishes an independent message into every queue that takes it, all or nothing: each has its
    /// own number and state, and the end that its queue's retention gives it now. None is an
    /// answer: no queue takes it, and it is counted in [`Topic::unrouted`].
    ///
    /// The publisher's own id and dedup key are not for many messages and not looked at.
    /// Numbers: one from the ledger for each.
    pub fn publish_copies(
        &mut self,
        now: Timestamp,
        message: &NewMessage,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Vec<PlacedCopy>, Refusal> {
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        message.extra.as_deref().map_or(Ok(()), Extra::check)?;
        let mut accepting = Vec::new();
        self.accept(None, message.extra.as_deref(), &mut accepting)?;
        let bytes = message.body.len() as u64;
        self.make_room(&accepting, accepting.len() as u64, bytes, ledger)?;
        let message = message.clone().gathered();
        let mut copies = Vec::with_capacity(accepting.len());
        for at in accepting {
            let manner = Manner { past: None, stamp: true, keep_body };
            let landed = self.place(now, &[at], message.clone(), manner, ledger)?;
            let definition = &self.queues[at].definition;
            copies.push(PlacedCopy {
                queue: definition.name.clone(),
                global: definition.policy.global,
                origin: Origin { salt: self.shelf.salt(), seq: landed.placed.seq },
                published_at: now,
                visible_at: landed.visible_at,
                expires_at: landed.expires_at,
            });
        }
        if copies.is_empty() {
            self.unrouted += 1;
        }
        Ok(copies)
    }

    /// The first message with the same dedup key.
    fn duplicate(&self, now: Timestamp, extra: &Extra) -> Option<Placed> {
        let first = self.dedup.first(now, extra.dedup_key.as_ref()?)?;
        let id = match first.client_id {
            Some(id) => MessageId::Client(id),
            None => MessageId::made(first.published_at, self.shelf.salt(), first.seq),
        };
        Some(Placed { id: Some(id), seq: first.seq, duplicate: true })
    }

    /// A message with this id of its publisher's is in some queue, and not only left over from a
    /// purge.
    #[inline]
    fn own_id_lives(&mut self, id: &[u8]) -> bool {
        if !self.shelf.may_have_own_id(id) {
            return false;
        }
        let slots = self.shelf.by_own_id(id);
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
                let attributes =
                    Attributes::read(extra.and_then(|extra| extra.attributes.as_deref()));
                let takes = |queue: &Queue| match &queue.definition.policy.filter {
                    Some(filter) => filter.takes(&attributes),
                    None => true,
                };
                let queues = self.queues.iter().enumerate();
                accepting.extend(queues.filter(|(_, queue)| takes(queue)).map(|(at, _)| at));
            }
        }
        Ok(())
    }

    /// The queues a message of the past is in.
    fn accept_named(
        &self,
        to: Option<u32>,
        named: &[PastPlace],
        accepting: &mut Vec<usize>,
    ) -> Result<(), Refusal> {
        for place in named {
            let found = self.queues.iter().position(|q| q.definition.name == place.queue);
            let at = found.ok_or(Refusal::QueueNotFound)?;
            if to.is_some() || accepting.contains(&at) {
                return Err(Refusal::OutOfBounds("past"));
            }
            accepting.push(at);
        }
        Ok(())
    }

    /// Checks every bound; then, where the overflow says so, drops the oldest.
    ///
    /// `messages` of `bytes` each are to come, one at most into each of `accepting`.
    fn make_room(
        &mut self,
        accepting: &[usize],
        messages: u64,
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
        let all = (messages, messages * bytes);
        while self.topic_over(all).is_some() && !self.graves.is_empty() {
            // What is left of a purge counts for nobody.
            self.bury(CLEARED_AT_ONCE, ledger);
        }
        if let Some((what, limit)) = self.topic_over(all)
            && (self.policy.overflow == Overflow::Refuse || !self.topic_can_fit(all))
        {
            return Err(Refusal::Full { what, limit });
        }
        if drops {
            for at in accepting {
                while over(&self.queues[*at], bytes).is_some() && self.drop_oldest(*at, ledger) {}
            }
        }
        while self.topic_over(all).is_some() {
            let heads = self.queues.iter().enumerate();
            let oldest = heads.filter_map(|(at, queue)| Some((queue.oldest(&self.shelf)?.0, at)));
            let Some((_, at)) = oldest.min() else { break };
            self.drop_oldest(at, ledger);
        }
        Ok(())
    }

    /// The bound of the topic that so many more messages with so many bytes would break.
    fn topic_over(&self, (messages, bytes): (u64, u64)) -> Option<(&'static str, u64)> {
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        if capacity > 0 && self.shelf.len() as u64 + messages > capacity {
            return Some(("capacity", capacity));
        }
        (bytes_max > 0 && self.shelf.bytes() + bytes > bytes_max)
            .then_some(("bytes_max", bytes_max))
    }

    /// Whether dropping ready messages, the oldest first, makes room for so many more in the topic.
    /// A message that is in flight or delayed in another queue stays.
    fn topic_can_fit(&self, (more, bytes): (u64, u64)) -> bool {
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        let (mut messages, mut held) = (self.shelf.len() as u64, self.shelf.bytes());
        let fits = |messages: u64, held: u64| {
            (capacity == 0 || messages + more <= capacity)
                && (bytes_max == 0 || held + bytes <= bytes_max)
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
        manner: Manner<'_>,
        ledger: &mut Ledger,
    ) -> Result<Landed, Refusal> {
        let Manner { past, stamp, keep_body } = manner;
        let extra = message.extra.as_ref();
        let seq = self.last_seq + 1;
        let published_at = past.and_then(|past| past.published_at).unwrap_or(now).min(now);
        let id = match message.own_id() {
            Some(_) => None,
            None => Some(MessageId::made(published_at, self.shelf.salt(), seq)),
        };
        let placed = Placed { id, seq, duplicate: false };
        if accepting.is_empty() {
            self.last_seq = seq;
            self.unrouted += 1;
            return Ok(Landed { placed, visible_at: now, expires_at: Timestamp::NEVER });
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
        let retention = |at: &usize| match self.queues[*at].definition.policy.retention_ms {
            0 => None,
            ms => Some(now.after(span(ms))),
        };
        let retained = match past.and_then(|past| past.kept_until) {
            None if stamp => accepting.first().and_then(retention),
            kept_until => kept_until,
        };
        let (expires_at, stamped) = match retained {
            Some(until) => (expires_at.min(until), true),
            None => (expires_at, false),
        };
        let lone = match accepting {
            [at] => self.queues[*at].definition.number,
            _ => 0,
        };
        let (body, kept_extra) = match keep_body {
            true if ledger.is_on() => (Body::Held(message.body.clone()), extra.cloned()),
            true => (Body::Held(std::mem::take(&mut message.body)), extra.cloned()),
            // The id stays here when the body does not.
            false => (Body::on_disk(&message.body), message.extra_with_id()),
        };
        let kept = Kept {
            body,
            number,
            seq,
            published_at,
            expires_at,
            extra: kept_extra,
            refs: accepting.len() as u32,
            places,
            foreign: false,
            stamped,
            lone,
            door: self.door,
        };
        let (priority, front, bytes) = (kept.priority(), kept.front(), kept.body.len());
        let key = extra.and_then(|extra| extra.ordering_key.as_ref());
        let slot = self.shelf.insert(kept)?;
        self.last_seq = seq;
        let mut visible_at = wished;
        // What is known of places beyond the message itself.
        let mut known: Vec<Record> = Vec::new();
        for (nth, at) in accepting.iter().enumerate() {
            let queue = &mut self.queues[*at];
            let offset = if single { 0 } else { nth as u32 + 1 };
            let entry_number = number + u64::from(offset);
            let delay_ms = queue.definition.policy.delay_ms;
            let lived = past.and_then(|past| past.places.get(nth));
            let visible = match lived {
                Some(place) => wished.max(place.visible_at.unwrap_or(wished)),
                None if delay_ms > 0 => wished.max(now.after_ms(delay_ms)),
                None => wished,
            };
            let lived = lived.filter(|place| !place.is_new());
            queue.totals.published += 1;
            let ready = visible <= now;
            if ready
                && lived.is_none()
                && key.is_none()
                && queue.push(entry_number, priority, front, Fresh { slot, offset }, bytes)
            {
                continue;
            }
            if single {
                visible_at = visible;
            }
            let (attempts, letter) = match lived {
                Some(PastPlace { dead: Some(letter), .. }) => {
                    let letter = DeadLetter { revived: false, ..letter.clone() };
                    known.push(Record::Died { entry: entry_number, letter: letter.clone() });
                    (letter.attempts, Some(letter))
                }
                Some(place) => (place.attempts, None),
                None => (0, None),
            };
            if letter.is_none() && (lived.is_some() || !single && visible > wished) {
                let failures = Vec::new();
                let entry = entry_number;
                known.push(Record::Attempted { entry, attempts, visible_at: visible, failures });
            }
            let state = match letter {
                Some(_) => State::Dead,
                None if ready => State::Ready,
                None => State::Delayed,
            };
            let failures = letter.as_ref().map(|letter| letter.failures.clone());
            let entry = Entry {
                slot,
                state,
                lane: priority,
                front,
                keyed: false,
                attempts,
                bytes,
                number: entry_number,
                due: visible,
                since: visible,
                stamp: 0,
                died: 0,
                history: History::of(failures.unwrap_or_default(), letter),
            };
            queue.add(entry, key);
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
                published_at,
                // Visible since it was published, unless it waits.
                visible_at: if visible_at > now { visible_at } else { published_at },
                expires_at,
                extra: extra.cloned(),
                body: message.body,
                place,
                stamped,
                door: self.door,
            })
        });
        for record in known {
            ledger.note(|| record);
        }
        self.set_expiry(now, slot);
        if past.is_some() {
            accepting.iter().for_each(|at| self.keep_dead_max(*at, ledger));
        }
        if let Some(extra) = extra
            && let Some(key) = &extra.dedup_key
            && self.policy.dedup_window_ms > 0
        {
            let until = now.after_ms(self.policy.dedup_window_ms);
            let max = self.policy.dedup_keys_max;
            self.dedup.remember((self.number, key.clone(), seq), published_at, until, max, ledger);
            if let Some(id) = &extra.client_id {
                self.dedup.name(key, id);
            }
        }
        Ok(Landed { placed, visible_at, expires_at })
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

/// A message that was put into queues, and (into one queue) its times there.
struct Landed {
    placed: Placed,
    visible_at: Timestamp,
    expires_at: Timestamp,
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
