//! The reference: every place of every message in one list, every question answered by a scan.

use crate::queue::record::{ERROR_BYTES_MAX, FAILURES_MAX};
use crate::queue::*;
use bytes::Bytes;
use std::{cell::Cell, cmp::Reverse, rc::Rc, time::Duration};

/// A message as the store knows it; copies are messages of their own.
#[derive(Debug, Clone)]
pub struct Text {
    pub number: u64,
    pub id: MessageId,
    pub seq: u64,
    pub bytes: u64,
    pub published_at: Timestamp,
    pub expires_at: Timestamp,
    pub priority: u8,
    pub front: bool,
    pub client_id: Option<Bytes>,
    pub key: Option<Bytes>,
    /// The topic that published it.
    pub topic: u32,
    /// When its publisher wants it gone.
    pub own_end: Timestamp,
    pub stamped: bool,
    pub lone: bool,
    pub door: Option<Door>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub struct Place {
    pub text: Text,
    pub queue: u32,
    pub number: u64,
    pub state: State,
    pub attempts: u32,
    pub due: Timestamp,
    pub purged: bool,
    /// It is not where it was published.
    pub moved: bool,
    pub delivery: u64,
    pub died: u64,
    /// When it was handed out, and through which door.
    pub lent: (Timestamp, Option<Door>),
    pub failures: Vec<Failure>,
    pub letter: Option<DeadLetter>,
    /// Where it lies when it came back to an end: a number, negative at the front, and among those
    /// that share it the delivery that ended.
    pub line: Option<(i64, u64)>,
}

impl Place {
    pub fn key(&self) -> (Reverse<u8>, i64, u64) {
        match self.line {
            Some((line, turn)) => (Reverse(self.text.priority), line, turn),
            None => self.own_key(),
        }
    }

    /// Where it lies after a restart.
    pub fn own_key(&self) -> (Reverse<u8>, i64, u64) {
        let number = self.number as i64;
        (Reverse(self.text.priority), if self.text.front { -number } else { number }, 0)
    }
}

/// What happened to a delivery that comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    Released,
    Unread,
    Nacked,
    Missed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Deadline(u64),
    Life(u64),
}

#[derive(Debug, Clone)]
pub struct NaiveQueue {
    pub definition: QueueDefinition,
    pub target: Option<u32>,
    pub totals: Totals,
    /// When the last moment of missed deadlines began, and its number.
    pub moment: Option<(Timestamp, i64)>,
    /// Ordering keys of which a delivery ended while more waited, in that order.
    pub freed: Vec<Bytes>,
    /// Priorities in which a freed key comes before what is at its place.
    pub freed_first: Vec<u8>,
}

impl NaiveQueue {
    pub fn new(definition: QueueDefinition) -> NaiveQueue {
        NaiveQueue {
            definition,
            target: None,
            totals: Totals::default(),
            moment: None,
            freed: Vec::new(),
            freed_first: Vec::new(),
        }
    }

    fn limit(&self) -> Option<u32> {
        let policy = &self.definition.policy;
        if policy.limit_needs_target && self.target.is_none() {
            return None;
        }
        (policy.max_deliveries > 0).then_some(policy.max_deliveries)
    }
}

/// One topic, obviously right.
#[derive(Debug, Clone)]
pub struct Naive {
    pub number: u32,
    pub salt: u32,
    pub policy: TopicPolicy,
    pub queues: Vec<NaiveQueue>,
    /// Of every queue, wherever it is.
    pub targets: Vec<Target>,
    pub places: Vec<Place>,
    pub last_seq: u64,
    pub unrouted: u64,
    /// Through which door the verbs come.
    pub door: Option<Door>,
    /// Messages that purges and drops have not let go of yet.
    pub graves: Vec<(u64, u64)>,
    /// Key, first message, until when; oldest first.
    keys: Vec<(Bytes, Placed, Timestamp)>,
    /// When (not before it was set), in which order, what.
    timers: Vec<(Timestamp, u64, Event)>,
    timers_now: Timestamp,
    /// Of both topics: a queue that changes its topic takes its deliveries along.
    counter: Rc<Cell<u64>>,
}

/// What left for another topic: to be put there.
pub type Left = Vec<Place>;

/// Milliseconds as a span.
pub fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

impl Naive {
    pub fn new(definition: &TopicDefinition, counter: Rc<Cell<u64>>) -> Naive {
        Naive {
            number: definition.number,
            salt: definition.salt,
            policy: definition.policy.clone(),
            queues: Vec::new(),
            targets: Vec::new(),
            places: Vec::new(),
            last_seq: 0,
            unrouted: 0,
            door: None,
            graves: Vec::new(),
            keys: Vec::new(),
            timers: Vec::new(),
            timers_now: Timestamp(0),
            counter,
        }
    }

    pub fn queue(&mut self, number: u32) -> Option<&mut NaiveQueue> {
        self.queues.iter_mut().find(|queue| queue.definition.number == number)
    }

    fn totals(&mut self, queue: u32) -> &mut Totals {
        &mut self.queue(queue).unwrap().totals
    }

    pub fn totals_of(&self, number: u32) -> Totals {
        let queue = self.queues.iter().find(|queue| queue.definition.number == number);
        queue.unwrap().totals
    }

    pub fn policy_of(&self, number: u32) -> QueuePolicy {
        let queue = self.queues.iter().find(|queue| queue.definition.number == number).unwrap();
        queue.definition.policy.clone()
    }

    /// Places of a queue in a state, in the order of handing out.
    pub fn of(&self, queue: u32, state: State) -> Vec<Place> {
        let mut found: Vec<Place> =
            self.places.iter().filter(|p| p.queue == queue && p.state == state).cloned().collect();
        match state {
            State::Dead => found.sort_by_key(|place| place.died),
            _ => found.sort_by_key(Place::key),
        }
        found
    }

    fn remove(&mut self, place: &Place) -> Place {
        let at = self
            .places
            .iter()
            .position(|p| p.queue == place.queue && p.number == place.number)
            .unwrap();
        let gone = self.places.remove(at);
        if gone.state == State::InFlight {
            self.end_delivery(&gone);
        }
        self.forget_keys(gone.queue);
        gone
    }

    /// The key of a delivery that ended waits for its turn behind the others.
    fn end_delivery(&mut self, place: &Place) {
        if let Some(key) = place.text.key.clone() {
            self.queue(place.queue).unwrap().freed.push(key);
        }
    }

    /// A key of which nothing waits or is out is forgotten.
    fn forget_keys(&mut self, queue: u32) {
        let there = self.places.iter().filter(|p| p.queue == queue && p.state != State::Dead);
        let there: Vec<Bytes> = there.filter_map(|p| p.text.key.clone()).collect();
        if let Some(queue) = self.queue(queue) {
            queue.freed.retain(|key| there.contains(key));
        }
    }

    /// A message without an ordering key, or the first of its key while none of it is out.
    fn is_open(&self, place: &Place) -> bool {
        let Some(key) = &place.text.key else { return true };
        let own = |p: &&Place| p.queue == place.queue && p.text.key.as_ref() == Some(key);
        let own = self.places.iter().filter(own);
        own.filter(|p| p.number != place.number).all(|other| match other.state {
            State::InFlight => false,
            State::Ready | State::Delayed => place.key() < other.key(),
            State::Dead => true,
        })
    }

    /// What is handed out next: of the first priority that has anything, what is first in place,
    /// or the key that became free first; they take turns.
    pub fn next_up(&mut self, queue: u32, from_back: bool, hand_out: bool) -> Option<Place> {
        let mut open = self.of(queue, State::Ready);
        open.retain(|place| self.is_open(place));
        if from_back {
            open.reverse();
        }
        let priority = open.first()?.text.priority;
        open.retain(|place| place.text.priority == priority);
        let queue = self.queue(queue).unwrap();
        let turn =
            |place: &Place| queue.freed.iter().position(|key| Some(key) == place.text.key.as_ref());
        let in_place = open.iter().find(|place| turn(place).is_none()).cloned();
        let freed = open.iter().filter(|place| turn(place).is_some()).min_by_key(|p| turn(p));
        let freed = freed.cloned();
        if in_place.is_none() || freed.is_none() {
            return in_place.or(freed);
        }
        let freed_first = queue.freed_first.contains(&priority);
        if hand_out {
            match freed_first {
                true => queue.freed_first.retain(|known| *known != priority),
                false => queue.freed_first.push(priority),
            }
        }
        if freed_first { freed } else { in_place }
    }

    fn edit(&mut self, place: &Place) -> &mut Place {
        self.places.iter_mut().find(|p| p.queue == place.queue && p.number == place.number).unwrap()
    }

    fn set_timer(&mut self, now: Timestamp, when: Timestamp, event: Event) {
        if self.timers.is_empty() {
            self.timers_now = self.timers_now.max(now);
        }
        let nth = self.count();
        self.timers.push((when.max(self.timers_now), nth, event));
    }

    fn count(&self) -> u64 {
        self.counter.set(self.counter.get() + 1);
        self.counter.get()
    }

    fn set_life(&mut self, now: Timestamp, text: &Text) {
        if text.expires_at < Timestamp::NEVER {
            self.set_timer(now, text.expires_at, Event::Life(text.number));
        }
    }

    /// Distinct messages, and the bytes of their bodies.
    pub fn held(&self) -> (u64, u64) {
        let mut numbers: Vec<(u64, u64)> =
            self.places.iter().map(|p| (p.text.number, p.text.bytes)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() as u64, numbers.iter().map(|(_, bytes)| bytes).sum())
    }

    fn held_with_graves(&self) -> (u64, u64) {
        let there = self.places.iter().map(|p| (p.text.number, p.text.bytes));
        let mut numbers: Vec<(u64, u64)> = there.chain(self.graves.iter().copied()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() as u64, numbers.iter().map(|(_, bytes)| bytes).sum())
    }

    fn waiting(&self, queue: u32, states: &[State]) -> (u64, u64) {
        let found = self.places.iter().filter(|p| p.queue == queue && states.contains(&p.state));
        found.fold((0, 0), |(n, bytes), place| (n + 1, bytes + place.text.bytes))
    }

    /// The place that is the oldest of the heads of the lanes.
    fn oldest(&self, queue: u32) -> Option<Place> {
        self.heads(queue).into_iter().min_by_key(|place| place.number)
    }

    /// What is handed out next of each priority, lowest priority first.
    pub fn heads(&self, queue: u32) -> Vec<Place> {
        let ready = self.of(queue, State::Ready);
        (0..=9)
            .filter_map(|priority| ready.iter().find(|p| p.text.priority == priority).cloned())
            .collect()
    }

    pub fn publish(
        &mut self,
        now: Timestamp,
        to: Option<u32>,
        message: &NewMessage,
        next: &mut u64,
    ) -> Result<Placed, Refusal> {
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        let mut extra = message.extra.as_deref().cloned().unwrap_or_default();
        extra.client_id = message.own_id().map(Bytes::copy_from_slice);
        if let Some(key) = &extra.dedup_key
            && let Some((_, first, _)) =
                self.keys.iter().find(|(k, _, until)| k == key && *until > now)
        {
            return Ok(Placed { duplicate: true, ..first.clone() });
        }
        if extra.client_id.is_some()
            && self.places.iter().any(|p| p.text.client_id == extra.client_id)
        {
            return Err(Refusal::DuplicateId);
        }
        let past = extra.past.map(|past| *past).unwrap_or_default();
        let mut named = Vec::new();
        for place in &past.places {
            let of_name = |queue: &&NaiveQueue| queue.definition.name == place.queue;
            let queue = self.queues.iter().find(of_name).ok_or(Refusal::QueueNotFound)?;
            named.push(queue.definition.number);
        }
        let accepting: Vec<u32> = match to {
            None if !named.is_empty() => named,
            Some(queue) => vec![self.queue(queue).ok_or(Refusal::QueueNotFound)?.definition.number],
            None => self
                .queues
                .iter()
                .filter(|queue| match &queue.definition.policy.filter {
                    Some(filter) => filter.accepts(extra.attributes.as_deref()),
                    None => true,
                })
                .map(|queue| queue.definition.number)
                .collect(),
        };
        if past.kept_until.is_some() && accepting.len() != 1 {
            return Err(Refusal::OutOfBounds("past"));
        }
        let bytes = message.body.len() as u64;
        self.make_room(&accepting, 1, bytes)?;
        self.last_seq += 1;
        let seq = self.last_seq;
        let published_at = past.published_at.unwrap_or(now).min(now);
        let id = match &extra.client_id {
            Some(id) => MessageId::Client(id.clone()),
            None => MessageId::made(published_at, self.salt, seq),
        };
        let made = extra.client_id.is_none().then(|| id.clone());
        let placed = Placed { id: made, seq, duplicate: false };
        let first = Placed { id: Some(id.clone()), ..placed.clone() };
        if accepting.is_empty() {
            self.unrouted += 1;
            return Ok(placed);
        }
        let number = *next;
        *next += if accepting.len() == 1 { 1 } else { 1 + accepting.len() as u64 };
        let ttl = |policy: &TopicPolicy| {
            if policy.ttl_ms > 0 { now.after(ms(policy.ttl_ms)) } else { Timestamp::NEVER }
        };
        let text = Text {
            number,
            id,
            seq,
            bytes,
            published_at,
            expires_at: extra
                .expires_at
                .unwrap_or_else(|| ttl(&self.policy))
                .min(past.kept_until.unwrap_or(Timestamp::NEVER)),
            priority: extra.priority,
            front: extra.front,
            client_id: extra.client_id,
            key: extra.ordering_key,
            topic: self.number,
            own_end: extra.expires_at.unwrap_or(Timestamp::NEVER),
            stamped: past.kept_until.is_some(),
            lone: accepting.len() == 1,
            door: self.door,
        };
        for (nth, queue) in accepting.iter().enumerate() {
            let delay_ms = self.policy_of(*queue).delay_ms;
            let lived = past.places.get(nth);
            let wait = match lived {
                Some(place) => place.visible_at.unwrap_or(now),
                None => now.after(ms(delay_ms)),
            };
            let visible = extra.deliver_at.unwrap_or(now).max(now).max(wait);
            let letter = lived.and_then(|place| place.dead.clone());
            let attempts = match &letter {
                Some(letter) => letter.attempts,
                None => lived.map_or(0, |place| place.attempts),
            };
            self.totals(*queue).published += 1;
            let (waits, died) = (visible > now, self.next_death());
            self.places.push(Place {
                text: text.clone(),
                queue: *queue,
                number: if accepting.len() == 1 { number } else { number + 1 + nth as u64 },
                state: match &letter {
                    Some(_) => State::Dead,
                    None if waits => State::Delayed,
                    None => State::Ready,
                },
                attempts,
                due: visible,
                purged: false,
                moved: false,
                delivery: 0,
                died: if letter.is_some() { died } else { 0 },
                lent: (now, None),
                failures: letter.as_ref().map(|l| l.failures.clone()).unwrap_or_default(),
                letter,
                line: None,
            });
        }
        self.set_life(now, &text);
        accepting.iter().filter(|_| !past.places.is_empty()).for_each(|q| self.keep_dead_max(*q));
        if let Some(key) = extra.dedup_key
            && self.policy.dedup_window_ms > 0
        {
            *next += 1;
            self.keys.retain(|(known, _, _)| *known != key);
            self.keys.push((key, first, now.after(ms(self.policy.dedup_window_ms))));
            while self.keys.len() > self.policy.dedup_keys_max {
                self.keys.remove(0);
            }
        }
        Ok(placed)
    }

    /// An independent message for each queue that takes it.
    pub fn publish_copies(
        &mut self,
        now: Timestamp,
        message: &NewMessage,
        next: &mut u64,
    ) -> Result<Vec<PlacedCopy>, Refusal> {
        if self.policy.paused_in {
            return Err(Refusal::Paused);
        }
        let attributes = message.extra.as_ref().and_then(|extra| extra.attributes.clone());
        let takes = |queue: &&NaiveQueue| match &queue.definition.policy.filter {
            Some(filter) => filter.accepts(attributes.as_deref()),
            None => true,
        };
        let queues: Vec<QueueDefinition> =
            self.queues.iter().filter(takes).map(|queue| queue.definition.clone()).collect();
        let numbers: Vec<u32> = queues.iter().map(|queue| queue.number).collect();
        self.make_room(&numbers, numbers.len() as u64, message.body.len() as u64)?;
        self.unrouted += u64::from(queues.is_empty());
        let mut copies = Vec::new();
        for queue in queues {
            // Into one queue that there is room in, and then with the end that its retention gives.
            let open = QueuePolicy { messages_max: 0, bytes_max: 0, ..queue.policy.clone() };
            self.queue(queue.number).unwrap().definition.policy = open;
            let unbounded = TopicPolicy { capacity: 0, bytes_max: 0, ..self.policy.clone() };
            let policy = std::mem::replace(&mut self.policy, unbounded);
            let placed = self.publish(now, Some(queue.number), message, next).unwrap();
            self.policy = policy;
            self.queue(queue.number).unwrap().definition.policy = queue.policy.clone();
            let last = self.places.last_mut().unwrap();
            if queue.policy.retention_ms > 0 {
                last.text.stamped = true;
                last.text.expires_at =
                    last.text.expires_at.min(now.after(ms(queue.policy.retention_ms)));
            }
            let (text, visible_at) = (last.text.clone(), last.due);
            self.timers.retain(|(_, _, event)| *event != Event::Life(text.number));
            self.set_life(now, &text);
            copies.push(PlacedCopy {
                queue: queue.name,
                global: queue.policy.global,
                origin: Origin { salt: self.salt, seq: placed.seq },
                published_at: now,
                visible_at,
                expires_at: text.expires_at,
            });
        }
        Ok(copies)
    }

    fn make_room(&mut self, accepting: &[u32], messages: u64, bytes: u64) -> Result<(), Refusal> {
        use State::{Delayed, Ready};
        let over = |naive: &Naive, queue: u32, states: &[State]| {
            let (policy, (n, held)) = (naive.policy_of(queue), naive.waiting(queue, states));
            if policy.messages_max > 0 && n + 1 > policy.messages_max {
                Some(Refusal::Full { what: "messages_max", limit: policy.messages_max })
            } else if policy.bytes_max > 0 && held + bytes > policy.bytes_max {
                Some(Refusal::Full { what: "bytes_max", limit: policy.bytes_max })
            } else {
                None
            }
        };
        for queue in accepting {
            let policy = self.policy_of(*queue);
            if policy.paused_in {
                return Err(Refusal::Paused);
            }
            if let Some(refusal) = over(self, *queue, &[Ready, Delayed])
                && (policy.overflow == Overflow::Refuse || over(self, *queue, &[Delayed]).is_some())
            {
                return Err(refusal);
            }
        }
        if accepting.is_empty() {
            return Ok(());
        }
        let (capacity, bytes_max) = (self.policy.capacity, self.policy.bytes_max);
        let topic_over = |(n, held): (u64, u64)| {
            if capacity > 0 && n + messages > capacity {
                Some(Refusal::Full { what: "capacity", limit: capacity })
            } else if bytes_max > 0 && held + messages * bytes > bytes_max {
                Some(Refusal::Full { what: "bytes_max", limit: bytes_max })
            } else {
                None
            }
        };
        if topic_over(self.held_with_graves()).is_some() {
            self.graves.clear();
        }
        if let Some(refusal) = topic_over(self.held()) {
            let stays = self.places.iter().filter(|p| p.state != Ready);
            let mut stays: Vec<(u64, u64)> = stays.map(|p| (p.text.number, p.text.bytes)).collect();
            stays.sort_unstable();
            stays.dedup();
            let stays = (stays.len() as u64, stays.iter().map(|(_, bytes)| bytes).sum());
            if self.policy.overflow == Overflow::Refuse || topic_over(stays).is_some() {
                return Err(refusal);
            }
        }
        for queue in accepting {
            while over(self, *queue, &[Ready, Delayed]).is_some() {
                let oldest = self.oldest(*queue).unwrap();
                self.remove(&oldest);
                self.totals(*queue).dropped += 1;
            }
        }
        while topic_over(self.held()).is_some() {
            let heads = self.queues.iter().filter_map(|queue| self.oldest(queue.definition.number));
            let oldest = heads.min_by_key(|place| place.number).unwrap();
            self.remove(&oldest);
            self.totals(oldest.queue).dropped += 1;
        }
        Ok(())
    }

    fn ripen(&mut self, queue: u32, now: Timestamp) -> bool {
        let mut ready = false;
        for place in self.places.iter_mut().filter(|p| p.queue == queue) {
            if place.state == State::Delayed && place.due <= now {
                place.state = State::Ready;
                ready = true;
            }
        }
        ready
    }

    /// What is handed out, and how often it was before.
    pub fn receive(&mut self, now: Timestamp, queue: u32, request: &Receive) -> Vec<Place> {
        let policy = self.policy_of(queue);
        if policy.paused_out {
            return Vec::new();
        }
        let deadline = now.after(request.ack_deadline.unwrap_or(ms(policy.ack_deadline_ms)));
        self.ripen(queue, now);
        let (mut out, mut bytes) = (Vec::new(), 0);
        while out.len() < request.max {
            let Some(head) = &self.next_up(queue, request.from_back, false) else { break };
            let age = policy.retention_ms > 0
                && !head.text.stamped
                && head.text.published_at.after(ms(policy.retention_ms)) <= now;
            if age || head.text.expires_at <= now {
                self.remove(head);
                self.totals(queue).expired += 1;
                continue;
            }
            if !out.is_empty() && bytes + head.text.bytes > request.bytes_max as u64 {
                break;
            }
            bytes += head.text.bytes;
            self.next_up(queue, request.from_back, true);
            self.queue(queue).unwrap().freed.retain(|key| Some(key) != head.text.key.as_ref());
            let totals = self.totals(queue);
            totals.delivered += 1;
            totals.redelivered += u64::from(head.attempts > 0);
            if request.take {
                totals.acked += 1;
                self.end_delivery(head);
                let mut taken = self.remove(head);
                taken.attempts += 1;
                out.push(taken);
                continue;
            }
            let (delivery, door) = (self.count(), self.door);
            let place = self.edit(head);
            place.state = State::InFlight;
            place.lent = (now, door);
            place.attempts += 1;
            place.due = deadline;
            place.delivery = delivery;
            let lent = place.clone();
            self.set_timer(now, deadline, Event::Deadline(delivery));
            out.push(lent);
        }
        out
    }

    /// The place of a delivery that is good.
    pub fn delivered(&self, now: Timestamp, delivery: u64) -> Option<Place> {
        let good = |p: &&Place| p.delivery == delivery && p.state == State::InFlight && p.due > now;
        self.places.iter().find(good).cloned()
    }

    pub fn ack(&mut self, place: &Place) {
        self.remove(place);
        self.totals(place.queue).acked += 1;
    }

    pub fn extend(&mut self, now: Timestamp, place: &Place, span: Duration) -> Timestamp {
        let due = now.after(span);
        self.edit(place).due = due;
        self.set_timer(now, due, Event::Deadline(place.delivery));
        due
    }

    pub fn nack(&mut self, now: Timestamp, place: &Place, nack: &Nack, next: &mut u64) -> Left {
        self.totals(place.queue).nacked += u64::from(*nack != Nack::Unread);
        if self.end_purged(place) {
            return Vec::new();
        }
        match nack {
            Nack::Unread => {
                self.give_back(now, place, now, Back::Unread, next);
                Vec::new()
            }
            Nack::Release { delay } => {
                let until = now.after(delay.unwrap_or_default());
                self.give_back(now, place, until, Back::Released, next);
                Vec::new()
            }
            Nack::Fail { delay, error } => {
                self.fail(now, place, DeadReason::Nacked, error.as_deref(), *delay, next)
            }
            Nack::Dead { error } => {
                self.note(now, place, DeadReason::Rejected, error.as_deref());
                self.die(now, place, DeadReason::Rejected, next)
            }
        }
    }

    /// What was purged while it was out does not come back.
    fn end_purged(&mut self, place: &Place) -> bool {
        if place.purged {
            self.remove(place);
            self.totals(place.queue).purged += 1;
        }
        place.purged
    }

    fn note(&mut self, now: Timestamp, place: &Place, reason: DeadReason, error: Option<&str>) {
        let error = error.map(|text| text.chars().take(ERROR_BYTES_MAX).collect::<String>().into());
        let door = self.door.filter(|_| reason != DeadReason::DeadlineMissed);
        let place = self.edit(place);
        place.failures.push(Failure {
            at: now,
            attempt: place.attempts,
            reason,
            error,
            lent_at: Some(place.lent.0),
            lent_by: place.lent.1,
            door,
        });
        let over = place.failures.len().saturating_sub(FAILURES_MAX);
        place.failures.drain(..over);
    }

    fn fail(
        &mut self,
        now: Timestamp,
        place: &Place,
        reason: DeadReason,
        error: Option<&str>,
        delay: Option<Duration>,
        next: &mut u64,
    ) -> Left {
        self.note(now, place, reason, error);
        let limit = self.queue(place.queue).unwrap().limit();
        if limit.is_some_and(|limit| place.attempts >= limit) {
            return self.die(now, place, reason, next);
        }
        let policy = self.policy_of(place.queue);
        let list = &policy.backoff_ms;
        let nth = (place.attempts as usize).min(list.len());
        let backoff = if list.is_empty() { 0 } else { list[nth - 1] };
        let missed = reason == DeadReason::DeadlineMissed;
        let back = if missed { Back::Missed } else { Back::Nacked };
        self.give_back(now, place, now.after(delay.unwrap_or(ms(backoff))), back, next);
        Vec::new()
    }

    fn line(&mut self, place: &Place, back: Back, next: &mut u64) -> Option<(i64, u64)> {
        let mut number = || {
            *next += 1;
            *next as i64 - 1
        };
        let queue = self.queue(place.queue).unwrap();
        if place.text.key.is_some() {
            // It stays in its own place.
            return None;
        }
        match (queue.definition.policy.returns, back) {
            (_, Back::Unread) => place.line,
            (Returns::Place, _) => None,
            (Returns::Back, _) => Some((number(), 0)),
            (Returns::Front, Back::Missed) => {
                let moment = match queue.moment {
                    Some((first, moment)) if (0..1000).contains(&(place.due.0 - first.0)) => moment,
                    _ => {
                        let moment = -number();
                        queue.moment = Some((place.due, moment));
                        moment
                    }
                };
                Some((moment, place.delivery))
            }
            (Returns::Front, Back::Released | Back::Nacked) => Some((-number(), 0)),
        }
    }

    fn give_back(
        &mut self,
        now: Timestamp,
        place: &Place,
        until: Timestamp,
        back: Back,
        next: &mut u64,
    ) {
        if place.text.expires_at <= now {
            self.remove(place);
            self.totals(place.queue).expired += 1;
        } else {
            let line = self.line(place, back, next);
            if back != Back::Unread {
                self.end_delivery(place);
            }
            let place = self.edit(place);
            place.line = line;
            place.attempts -= u32::from(matches!(back, Back::Released | Back::Unread));
            place.due = until;
            place.state = if until > now { State::Delayed } else { State::Ready };
        }
    }

    fn die(&mut self, now: Timestamp, place: &Place, reason: DeadReason, next: &mut u64) -> Left {
        self.totals(place.queue).died += 1;
        let failures = self.edit(place).failures.clone();
        let attempts = place.attempts;
        let letter = DeadLetter {
            at: now,
            reason,
            attempts,
            failures,
            revived: false,
            revived_at: None,
            revived_by: None,
        };
        if let Some(target) = self.queue(place.queue).unwrap().target {
            return self.move_to(now, place, target, Some(letter), next);
        }
        let died = self.next_death();
        if place.state == State::InFlight {
            self.end_delivery(place);
        }
        let dead = self.edit(place);
        (dead.state, dead.died, dead.letter) = (State::Dead, died, Some(letter));
        self.forget_keys(place.queue);
        self.keep_dead_max(place.queue);
        Vec::new()
    }

    fn next_death(&self) -> u64 {
        self.places.iter().map(|place| place.died).max().unwrap_or(0) + 1
    }

    fn keep_dead_max(&mut self, queue: u32) {
        let dead_max = self.policy_of(queue).dead_max;
        let dead = self.of(queue, State::Dead);
        if dead_max > 0 && dead.len() as u64 > dead_max {
            for place in dead.iter().take(dead.len() - dead_max as usize) {
                self.remove(place);
                self.totals(queue).dropped += 1;
            }
        }
    }

    /// Whoever waits and may not be delivered again dies.
    pub fn expel(&mut self, now: Timestamp, queue: u32, next: &mut u64) -> Left {
        let Some(limit) = self.queue(queue).unwrap().limit() else { return Vec::new() };
        let waits = |p: &&Place| {
            p.queue == queue
                && matches!(p.state, State::Ready | State::Delayed)
                && p.attempts >= limit
        };
        let mut gone: Vec<Place> = self.places.iter().filter(waits).cloned().collect();
        gone.sort_by_key(|place| place.number);
        let mut left = Vec::new();
        for place in gone {
            let reason = place.failures.last().map_or(DeadReason::Nacked, |last| last.reason);
            left.extend(self.die(now, &place, reason, next));
        }
        left
    }

    /// The places of what came into the world there: in that queue, or a lone one.
    pub fn by_origin(&self, queue: Option<u32>, origin: Origin, salt: u32) -> Vec<Place> {
        let same = |p: &&Place| p.text.seq == origin.seq && p.text.topic + 1000 == salt;
        let there = |p: &&Place| queue.map_or(p.text.lone, |queue| queue == p.queue);
        self.places.iter().filter(same).filter(there).cloned().collect()
    }

    pub fn move_to(
        &mut self,
        now: Timestamp,
        place: &Place,
        to: u32,
        letter: Option<DeadLetter>,
        next: &mut u64,
    ) -> Left {
        let mut moved = self.remove(place);
        let number = *next;
        *next += 1;
        let shared = self.places.iter().any(|p| p.text.number == moved.text.number)
            || self.graves.iter().any(|(number, _)| *number == moved.text.number);
        let here = self.queue(to).is_some();
        let twice = self.places.iter().any(|p| p.queue == to && p.text.number == moved.text.number);
        let Target { delay_ms, retention_ms, .. } = self.targets[to as usize - 1];
        if shared && (!here || twice || delay_ms > 0 || retention_ms > 0) {
            moved.text.number = number;
            moved.text.lone = false;
        }
        if retention_ms > 0 {
            moved.text.expires_at = moved.text.own_end.min(now.after(ms(retention_ms)));
            moved.text.stamped = true;
        } else if moved.text.stamped {
            moved.text.expires_at = moved.text.own_end;
            moved.text.stamped = false;
        }
        let by = if letter.is_some() { None } else { self.door };
        let letter = letter.or(moved.letter.clone()).map(|letter| match letter.revived {
            true => letter,
            false => DeadLetter { revived: true, revived_at: Some(now), revived_by: by, ..letter },
        });
        moved = Place {
            queue: to,
            number,
            state: if delay_ms > 0 { State::Delayed } else { State::Ready },
            attempts: 0,
            due: now.after(ms(delay_ms)),
            purged: false,
            moved: true,
            delivery: 0,
            failures: letter.as_ref().map(|letter| letter.failures.clone()).unwrap_or_default(),
            letter,
            line: None,
            ..moved
        };
        if here {
            self.adopt(now, moved);
            return Vec::new();
        }
        vec![moved]
    }

    /// A message is at the back of a queue.
    pub fn adopt(&mut self, now: Timestamp, place: Place) {
        self.totals(place.queue).moved_in += 1;
        self.set_life(now, &place.text.clone());
        self.places.push(place);
    }

    /// Drops a queue with its places.
    pub fn drop_queue(&mut self, queue: u32) {
        self.queues.retain(|known| known.definition.number != queue);
        self.bury(|place| place.queue == queue);
    }

    fn bury(&mut self, gone: impl Fn(&Place) -> bool) {
        let buried = self.places.iter().filter(|place| gone(place));
        self.graves.extend(buried.map(|place| (place.text.number, place.text.bytes)));
        self.places.retain(|place| !gone(place));
        let queues: Vec<u32> = self.queues.iter().map(|queue| queue.definition.number).collect();
        queues.into_iter().for_each(|queue| self.forget_keys(queue));
    }

    pub fn purge(&mut self, queue: u32) -> u64 {
        let before = self.places.len();
        self.bury(|p| p.queue == queue && matches!(p.state, State::Ready | State::Delayed));
        self.queue(queue).unwrap().freed_first.clear();
        for place in self.places.iter_mut().filter(|p| p.queue == queue) {
            place.purged |= place.state == State::InFlight;
        }
        let gone = (before - self.places.len()) as u64;
        self.totals(queue).purged += gone;
        gone
    }

    /// A delayed place is ready, or waits anew.
    pub fn renew(&mut self, now: Timestamp, place: &Place, until: Timestamp) {
        self.totals(place.queue).nacked += 1;
        let place = self.edit(place);
        place.due = until;
        place.state = if until > now { State::Delayed } else { State::Ready };
    }

    pub fn delay(&mut self, now: Timestamp, place: &Place, until: Timestamp) {
        let place = self.edit(place);
        place.due = until;
        place.state = if until > now { State::Delayed } else { State::Ready };
    }

    /// Removes what waits and what is in flight.
    pub fn clear(&mut self, queue: u32) -> u64 {
        let before = self.places.len();
        self.bury(|p| p.queue == queue && p.state == State::InFlight);
        let gone = (before - self.places.len()) as u64;
        self.totals(queue).purged += gone;
        gone + self.purge(queue)
    }

    /// Places of a message with this id in a queue.
    pub fn by_id(&self, queue: u32, id: &MessageId) -> Vec<Place> {
        self.places.iter().filter(|p| p.queue == queue && p.text.id == *id).cloned().collect()
    }

    pub fn delete(&mut self, place: &Place) {
        self.remove(place);
    }

    pub fn unpublish(&mut self, seq: u64) {
        let own = |p: &Place, topic: u32| p.text.seq == seq && p.text.topic == topic;
        let number = self.number;
        let gone: Vec<Place> = self.places.iter().filter(|p| own(p, number)).cloned().collect();
        for place in gone {
            self.remove(&place);
            let totals = self.totals(place.queue);
            totals.published = totals.published.saturating_sub(1);
        }
        self.keys.retain(|(_, first, _)| first.seq != seq);
    }

    pub fn advance(&mut self, now: Timestamp, next: &mut u64) -> (bool, Left) {
        self.timers_now = self.timers_now.max(now);
        let (mut ready, mut left) = (false, Vec::new());
        // Events may set timers that are due at once.
        while let Some(at) = (0..self.timers.len())
            .filter(|at| self.timers[*at].0 <= now)
            .min_by_key(|at| (self.timers[*at].0, self.timers[*at].1))
        {
            let (when, _, event) = self.timers.remove(at);
            match event {
                Event::Deadline(delivery) => {
                    let missed = self.places.iter().find(|p| {
                        p.delivery == delivery && p.state == State::InFlight && p.due <= when
                    });
                    if let Some(place) = missed.cloned() {
                        ready = true;
                        self.totals(place.queue).missed += 1;
                        if self.end_purged(&place) {
                            continue;
                        }
                        left.extend(self.fail(
                            now,
                            &place,
                            DeadReason::DeadlineMissed,
                            None,
                            None,
                            next,
                        ));
                    }
                }
                Event::Life(number) => {
                    let waits = |p: &&Place| matches!(p.state, State::Ready | State::Delayed);
                    let gone = self
                        .places
                        .iter()
                        .filter(|p| p.text.number == number && p.text.expires_at <= now);
                    for place in gone.filter(waits).cloned().collect::<Vec<_>>() {
                        self.remove(&place);
                        self.totals(place.queue).expired += 1;
                    }
                }
            }
        }
        for queue in self.queues.iter().map(|queue| queue.definition.number).collect::<Vec<_>>() {
            ready |= self.ripen(queue, now);
            let retention_ms = self.policy_of(queue).retention_ms;
            let old = |p: &Place| {
                retention_ms > 0
                    && !p.text.stamped
                    && p.text.published_at.after(ms(retention_ms)) <= now
            };
            while let Some(place) = self.heads(queue).into_iter().find(|head| old(head)) {
                self.remove(&place);
                self.totals(queue).expired += 1;
            }
        }
        self.keys.retain(|(_, _, until)| *until > now);
        self.graves.clear();
        (ready, left)
    }

    /// Takes a queue out, with its messages.
    pub fn detach(&mut self, queue: u32, next: &mut u64) -> (NaiveQueue, Vec<Place>) {
        let mut own: Vec<Place> =
            self.places.iter().filter(|p| p.queue == queue).cloned().collect();
        self.places.retain(|p| p.queue != queue);
        // Numbers of places, and numbers given to what came back to an end, in one order.
        let places = own.iter().enumerate().map(|(at, place)| (place.number, Some(at)));
        let lines = own.iter().filter_map(|place| Some((place.line?.0.unsigned_abs(), None)));
        let mut numbers: Vec<(u64, Option<usize>)> = places.chain(lines).collect();
        numbers.sort_by_key(|(number, _)| *number);
        numbers.dedup();
        let mut apart = false;
        for (old, at) in numbers {
            if let Some(at) = at {
                let number = own[at].text.number;
                let shared = self.places.iter().any(|p| p.text.number == number);
                own[at].moved = true;
                if own[at].purged {
                    if shared {
                        own[at].text.number = own[at].number;
                    }
                    continue;
                }
                apart |= shared;
            }
            if !apart {
                continue;
            }
            match at {
                Some(at) => (own[at].number, own[at].text.number) = (*next, *next),
                None => {
                    let lines = own.iter_mut().filter_map(|place| place.line.as_mut());
                    for (line, _) in lines.filter(|(line, _)| line.unsigned_abs() == old) {
                        *line = line.signum() * *next as i64;
                    }
                }
            }
            *next += 1;
        }
        let at = self.queues.iter().position(|known| known.definition.number == queue).unwrap();
        (self.queues.remove(at), own)
    }

    pub fn attach(&mut self, now: Timestamp, mut queue: NaiveQueue, places: Vec<Place>) {
        (queue.target, queue.moment) = (None, None);
        self.queues.push(queue);
        for place in &places {
            self.set_life(now, &place.text);
        }
        self.places.extend(places.iter().cloned());
        let mut in_flight: Vec<&Place> =
            places.iter().filter(|p| p.state == State::InFlight).collect();
        in_flight.sort_by_key(|place| place.delivery);
        for place in in_flight {
            self.set_timer(now, place.due, Event::Deadline(place.delivery));
        }
    }
}
