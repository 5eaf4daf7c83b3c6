//! The reference: every place of every message in one list, every question answered by a scan.

use crate::queue::record::{ERROR_BYTES_MAX, FAILURES_MAX};
use crate::queue::*;
use bytes::Bytes;
use std::{cmp::Reverse, time::Duration};

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
    /// The topic that published it.
    pub topic: u32,
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
    pub failures: Vec<Failure>,
    pub letter: Option<DeadLetter>,
}

impl Place {
    pub fn key(&self) -> (Reverse<u8>, i64) {
        let number = self.number as i64;
        (Reverse(self.text.priority), if self.text.front { -number } else { number })
    }
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
}

/// One topic, obviously right.
#[derive(Debug)]
pub struct Naive {
    pub number: u32,
    pub salt: u32,
    pub policy: TopicPolicy,
    pub queues: Vec<NaiveQueue>,
    pub places: Vec<Place>,
    pub last_seq: u64,
    pub unrouted: u64,
    /// Messages that purges and drops have not let go of yet.
    pub graves: Vec<(u64, u64)>,
    /// Key, first message, until when; oldest first.
    keys: Vec<(Bytes, Placed, Timestamp)>,
    /// When (not before it was set), in which order, what.
    timers: Vec<(Timestamp, u64, Event)>,
    timers_now: Timestamp,
    counter: u64,
}

/// What left for another topic: to be put there.
pub type Left = Vec<Place>;

/// Milliseconds as a span.
pub fn ms(span: u64) -> Duration {
    Duration::from_millis(span)
}

impl Naive {
    pub fn new(definition: &TopicDefinition) -> Naive {
        Naive {
            number: definition.number,
            salt: definition.salt,
            policy: definition.policy.clone(),
            queues: Vec::new(),
            places: Vec::new(),
            last_seq: 0,
            unrouted: 0,
            graves: Vec::new(),
            keys: Vec::new(),
            timers: Vec::new(),
            timers_now: Timestamp(0),
            counter: u64::from(definition.number) << 40,
        }
    }

    pub fn queue(&mut self, number: u32) -> Option<&mut NaiveQueue> {
        self.queues.iter_mut().find(|queue| queue.definition.number == number)
    }

    fn totals(&mut self, queue: u32) -> &mut Totals {
        &mut self.queue(queue).unwrap().totals
    }

    fn policy_of(&self, number: u32) -> QueuePolicy {
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
        self.places.remove(at)
    }

    fn edit(&mut self, place: &Place) -> &mut Place {
        self.places.iter_mut().find(|p| p.queue == place.queue && p.number == place.number).unwrap()
    }

    fn set_timer(&mut self, now: Timestamp, when: Timestamp, event: Event) {
        if self.timers.is_empty() {
            self.timers_now = self.timers_now.max(now);
        }
        self.counter += 1;
        self.timers.push((when.max(self.timers_now), self.counter, event));
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
        let extra = message.extra.as_deref().cloned().unwrap_or_default();
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
        let accepting: Vec<u32> = match to {
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
        let bytes = message.body.len() as u64;
        self.make_room(&accepting, bytes)?;
        self.last_seq += 1;
        let seq = self.last_seq;
        let id = match &extra.client_id {
            Some(id) => MessageId::Client(id.clone()),
            None => MessageId::made(now, self.salt, seq),
        };
        let placed = Placed { id: id.clone(), seq, duplicate: false };
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
            published_at: now,
            expires_at: extra.expires_at.unwrap_or_else(|| ttl(&self.policy)),
            priority: extra.priority,
            front: extra.front,
            client_id: extra.client_id,
            topic: self.number,
        };
        for (nth, queue) in accepting.iter().enumerate() {
            let delay_ms = self.policy_of(*queue).delay_ms;
            let visible = extra.deliver_at.unwrap_or(now).max(now).max(now.after(ms(delay_ms)));
            self.totals(*queue).published += 1;
            self.places.push(Place {
                text: text.clone(),
                queue: *queue,
                number: if accepting.len() == 1 { number } else { number + 1 + nth as u64 },
                state: if visible > now { State::Delayed } else { State::Ready },
                attempts: 0,
                due: visible,
                purged: false,
                moved: false,
                delivery: 0,
                died: 0,
                failures: Vec::new(),
                letter: None,
            });
        }
        self.set_life(now, &text);
        if let Some(key) = extra.dedup_key
            && self.policy.dedup_window_ms > 0
        {
            *next += 1;
            self.keys.retain(|(known, _, _)| *known != key);
            self.keys.push((key, placed.clone(), now.after(ms(self.policy.dedup_window_ms))));
            while self.keys.len() > self.policy.dedup_keys_max {
                self.keys.remove(0);
            }
        }
        Ok(placed)
    }

    fn make_room(&mut self, accepting: &[u32], bytes: u64) -> Result<(), Refusal> {
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
            if capacity > 0 && n + 1 > capacity {
                Some(Refusal::Full { what: "capacity", limit: capacity })
            } else if bytes_max > 0 && held + bytes > bytes_max {
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
            let ready = self.of(queue, State::Ready);
            let head = if request.from_back { ready.last() } else { ready.first() };
            let Some(head) = head else { break };
            let age = policy.retention_ms > 0
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
            let totals = self.totals(queue);
            totals.delivered += 1;
            totals.redelivered += u64::from(head.attempts > 0);
            if request.take {
                totals.acked += 1;
                let mut taken = self.remove(head);
                taken.attempts += 1;
                out.push(taken);
                continue;
            }
            self.counter += 1;
            let delivery = self.counter;
            let place = self.edit(head);
            place.state = State::InFlight;
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
        self.totals(place.queue).nacked += 1;
        match nack {
            Nack::Release { delay } => {
                self.give_back(now, place, now.after(delay.unwrap_or_default()), false);
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

    fn note(&mut self, now: Timestamp, place: &Place, reason: DeadReason, error: Option<&str>) {
        let error = error.map(|text| text.chars().take(ERROR_BYTES_MAX).collect::<String>().into());
        let place = self.edit(place);
        place.failures.push(Failure { at: now, attempt: place.attempts, reason, error });
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
        let policy = self.policy_of(place.queue);
        if policy.max_deliveries > 0 && place.attempts >= policy.max_deliveries {
            return self.die(now, place, reason, next);
        }
        let list = &policy.backoff_ms;
        let nth = (place.attempts as usize).min(list.len());
        let backoff = if list.is_empty() { 0 } else { list[nth - 1] };
        self.give_back(now, place, now.after(delay.unwrap_or(ms(backoff))), true);
        Vec::new()
    }

    fn give_back(&mut self, now: Timestamp, place: &Place, until: Timestamp, counts: bool) {
        if place.purged {
            self.remove(place);
            self.totals(place.queue).purged += 1;
        } else if place.text.expires_at <= now {
            self.remove(place);
            self.totals(place.queue).expired += 1;
        } else {
            let place = self.edit(place);
            place.attempts -= u32::from(!counts);
            place.due = until;
            place.state = if until > now { State::Delayed } else { State::Ready };
        }
    }

    fn die(&mut self, now: Timestamp, place: &Place, reason: DeadReason, next: &mut u64) -> Left {
        self.totals(place.queue).died += 1;
        let failures = self.edit(place).failures.clone();
        let attempts = place.attempts;
        let letter = DeadLetter { at: now, reason, attempts, failures, revived: false };
        if let Some(target) = self.queue(place.queue).unwrap().target {
            return self.move_to(now, place, target, Some(letter), next);
        }
        let died = self.places.iter().map(|place| place.died).max().unwrap_or(0) + 1;
        let dead = self.edit(place);
        (dead.state, dead.died, dead.letter) = (State::Dead, died, Some(letter));
        let dead_max = self.policy_of(place.queue).dead_max;
        let dead = self.of(place.queue, State::Dead);
        if dead_max > 0 && dead.len() as u64 > dead_max {
            for place in dead.iter().take(dead.len() - dead_max as usize) {
                self.remove(place);
                self.totals(place.queue).dropped += 1;
            }
        }
        Vec::new()
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
        if shared && (!here || twice) {
            moved.text.number = number;
        }
        let letter = letter.or(moved.letter).map(|letter| DeadLetter { revived: true, ..letter });
        moved = Place {
            queue: to,
            number,
            state: State::Ready,
            attempts: 0,
            due: now,
            purged: false,
            moved: true,
            delivery: 0,
            failures: letter.as_ref().map(|letter| letter.failures.clone()).unwrap_or_default(),
            letter,
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
    }

    pub fn purge(&mut self, queue: u32) -> u64 {
        let before = self.places.len();
        self.bury(|p| p.queue == queue && matches!(p.state, State::Ready | State::Delayed));
        for place in self.places.iter_mut().filter(|p| p.queue == queue) {
            place.purged |= place.state == State::InFlight;
        }
        let gone = (before - self.places.len()) as u64;
        self.totals(queue).purged += gone;
        gone
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
            let (_, _, event) = self.timers.remove(at);
            match event {
                Event::Deadline(delivery) => {
                    let missed = self.places.iter().find(|p| {
                        p.delivery == delivery && p.state == State::InFlight && p.due <= now
                    });
                    if let Some(place) = missed.cloned() {
                        ready = true;
                        self.totals(place.queue).missed += 1;
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
            let old =
                |p: &Place| retention_ms > 0 && p.text.published_at.after(ms(retention_ms)) <= now;
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
        own.sort_by_key(|place| place.number);
        let mut apart = false;
        for place in &mut own {
            place.moved = true;
            apart |= self.places.iter().any(|p| p.text.number == place.text.number);
            if apart {
                (place.number, place.text.number) = (*next, *next);
                *next += 1;
            }
        }
        let at = self.queues.iter().position(|known| known.definition.number == queue).unwrap();
        (self.queues.remove(at), own)
    }

    pub fn attach(&mut self, now: Timestamp, mut queue: NaiveQueue, places: Vec<Place>) {
        queue.target = None;
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
