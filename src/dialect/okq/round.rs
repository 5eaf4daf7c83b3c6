//! A round: what one stretch of requests asks the topics for, and what is answered when they have
//! told. Requests for one topic travel as one job; those of the same kind that follow each other, as
//! one op of it.

use super::command::{Figures, Pop};
use super::figures::{self, Row};
use super::resp;
use super::targets::Target;
use super::{Unfinished, refusal};
use crate::broker::{
    BrokerError, Caller, Home, Job, Named, Op, QueueFigures, Reply, Slot, TopicHandle,
};
use crate::queue::*;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::oneshot;

/// Requests of one round.
const REQUESTS_MAX: usize = 1024;
/// Bytes of events pushed, and of ids, in one round.
const PUSHED_BYTES_MAX: usize = 1 << 20;
/// Receives of one round: each may hand out `limits.receive_bytes_max`.
const RECEIVES_MAX: usize = 4;
/// Pops that travel as one receive.
const POPS_MAX: usize = 64;
/// Requests that travel as one op.
const MERGED_MAX: usize = 1024;
/// An event above this is large.
pub const LARGE: usize = 32 << 10;

/// Where a reply will be: which job of the round, which slot of it.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    job: u32,
    slot: u32,
}

/// What is answered to one request.
pub enum Due {
    /// These bytes.
    Said(&'static [u8]),
    /// These bytes.
    Bytes(Vec<u8>),
    /// A push; where its id is among those of the round, for a duplicate.
    Pushed { at: Place, nth: u32, id: (u32, u32) },
    /// One of several pops.
    Popped { at: Place, nth: u32 },
    /// All that was popped, with the name of the queue where it is told.
    PoppedAll { at: Place },
    /// An end of the queue.
    Peeked { at: Place },
    /// 1 for what was found, 0 for what was not.
    Found { at: Place, nth: u32 },
    /// OK.
    Flushed { at: Place },
    /// Rows, some of them with figures to come.
    Figures { figures: Figures, text: bool, rows: Vec<(Vec<u8>, Option<Place>)> },
}

/// The ops of one topic.
struct Part {
    handle: TopicHandle,
    slots: Vec<Slot>,
    answer: Option<oneshot::Receiver<Vec<Slot>>>,
    /// Pushes that nobody waits for.
    unfinished: Option<Unfinished>,
}

/// Several pops that travel as one receive.
struct Merged {
    at: Place,
    wanted: usize,
    queue: Option<QueueName>,
    expires: Option<Duration>,
}

/// One stretch of requests.
#[derive(Default)]
pub struct Round {
    parts: Vec<Part>,
    due: Vec<Due>,
    merged: Vec<Merged>,
    /// What was pushed: the ids, one behind the other.
    ids: Vec<u8>,
    pushed_bytes: usize,
    receives: usize,
    /// Requests of the round before: as many are expected of this one.
    expected: usize,
}

/// How a client names an event: as octoq made the id, or as a publisher chose it.
pub fn event_id(id: &[u8]) -> MessageId {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    match MessageId::parse(id) {
        MessageId::Made(uuid) if uuid.hyphenated().encode_lower(&mut text).as_bytes() != id => {
            MessageId::Client(Bytes::copy_from_slice(id))
        }
        parsed => parsed,
    }
}

/// `[id, contents]`, without its head.
pub fn event(out: &mut Vec<u8>, message: &Message) {
    match message.own_id() {
        Some(id) => resp::bulk(out, id),
        None => {
            let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
            match message.id() {
                MessageId::Made(uuid) => {
                    resp::bulk(out, uuid.hyphenated().encode_lower(&mut text).as_bytes());
                }
                MessageId::Client(id) => resp::bulk(out, &id),
            }
        }
    }
    resp::bulk(out, message.body());
}

/// What a pop asks a topic for.
pub fn receive(expires: Option<Duration>, max: usize) -> Receive {
    Receive {
        max,
        bytes_max: usize::MAX,
        ack_deadline: expires,
        take: expires.is_none(),
        from_back: false,
    }
}

impl Round {
    /// The one that follows it.
    pub fn next(&self) -> Round {
        Round { expected: self.due.len(), ..Round::default() }
    }

    /// Nothing is asked and nothing answered.
    pub fn is_empty(&self) -> bool {
        self.due.is_empty() && self.parts.is_empty()
    }

    /// No more fits.
    pub fn is_full(&self) -> bool {
        self.due.len() >= REQUESTS_MAX
            || self.pushed_bytes >= PUSHED_BYTES_MAX
            || self.receives >= RECEIVES_MAX
    }

    fn answer(&mut self, due: Due) {
        if self.due.is_empty() {
            self.due.reserve(self.expected);
        }
        self.due.push(due);
    }

    /// Answers a request.
    pub fn say(&mut self, bytes: &'static [u8]) {
        self.answer(Due::Said(bytes));
    }

    /// Answers a request; what is written anew goes behind what was.
    pub fn write(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Due::Bytes(bytes)) = self.due.last_mut() {
            write(bytes);
        } else {
            let mut bytes = Vec::new();
            write(&mut bytes);
            self.answer(Due::Bytes(bytes));
        }
    }

    /// Answers a request with an error.
    pub fn refuse(&mut self, text: impl AsRef<[u8]>) {
        self.write(|out| resp::error(out, text));
    }

    /// The job in which the next op of a topic goes: the last one, so that ops stay in order.
    fn part(&mut self, target: &Target, caller: &Caller, waited_for: bool) -> usize {
        let same = |part: &Part| part.handle.name() == target.handle.name();
        let last = self.parts.iter().rposition(same);
        let fits = |at: &usize| {
            self.parts.get(*at).is_some_and(|part| part.unfinished.is_none() == waited_for)
        };
        if let Some(at) = last.filter(fits) {
            return at;
        }
        // The rights of now: an administrator may have changed the user meanwhile.
        let handle = target.handle.clone().for_caller(caller);
        self.parts.push(Part { handle, slots: Vec::new(), answer: None, unfinished: None });
        self.parts.len() - 1
    }

    fn last_op(&mut self, part: usize) -> Option<&mut Op> {
        match self.parts.get_mut(part)?.slots.last_mut()? {
            Slot::Op(op) => Some(op),
            Slot::Reply(_) => None,
        }
    }

    fn place(&self, part: usize) -> Place {
        let slots = self.parts.get(part).map_or(0, |part| part.slots.len());
        Place { job: part as u32, slot: slots.saturating_sub(1) as u32 }
    }

    fn add(&mut self, part: usize, op: Op) -> Place {
        if let Some(part) = self.parts.get_mut(part) {
            part.slots.push(Slot::Op(op));
        }
        self.place(part)
    }

    /// Adds an op of its own.
    fn ask(&mut self, target: &Target, caller: &Caller, op: Op) -> Place {
        let part = self.part(target, caller, true);
        self.add(part, op)
    }

    fn publish(&mut self, part: usize, target: &Target, message: NewMessage) -> (Place, u32) {
        self.pushed_bytes += message.body.len();
        let nth = match self.last_op(part) {
            Some(Op::Publish { to, messages })
                if messages.len() < MERGED_MAX && *to == target.queue =>
            {
                messages.push(message);
                messages.len() - 1
            }
            _ => {
                let to = target.queue.clone();
                let begins = self.due.is_empty();
                let mut messages = Vec::with_capacity(if begins { self.expected } else { 1 });
                messages.push(message);
                self.add(part, Op::Publish { to, messages });
                0
            }
        };
        (self.place(part), nth as u32)
    }

    /// A push.
    pub fn push(&mut self, target: &Target, caller: &Caller, id: &[u8], message: NewMessage) {
        let part = self.part(target, caller, true);
        let (at, nth) = self.publish(part, target, message);
        let start = self.ids.len();
        self.ids.extend_from_slice(id);
        self.pushed_bytes += id.len();
        self.answer(Due::Pushed { at, nth, id: (start as u32, self.ids.len() as u32) });
    }

    /// A push that is answered at once.
    pub fn push_unfinished(
        &mut self,
        target: &Target,
        caller: &Caller,
        message: NewMessage,
        unfinished: Unfinished,
    ) {
        let part = self.part(target, caller, false);
        self.publish(part, target, message);
        if let Some(part) = self.parts.get_mut(part) {
            match &mut part.unfinished {
                Some(others) => others.add(unfinished),
                None => part.unfinished = Some(unfinished),
            }
        }
        self.say(resp::OK);
    }

    /// A pop.
    pub fn pop(&mut self, target: &Target, caller: &Caller, pop: Pop) {
        let part = self.part(target, caller, true);
        let queue = target.queue.clone();
        let Some(max) = pop.count else { return self.pop_one(part, target, pop.expires) };
        self.receives += 1;
        let request = receive(pop.expires, max);
        let at = self.add(part, Op::Receive { queue, request, wait: None });
        self.answer(Due::PoppedAll { at });
    }

    fn pop_one(&mut self, part: usize, target: &Target, expires: Option<Duration>) {
        let at = self.place(part);
        // Those of one receive must be the last thing that was asked for in this round.
        if let (Some(merged), Some(Op::Receive { request, .. })) =
            (self.merged.last_mut(), self.parts.get_mut(part).and_then(|part| part.last_op()))
            && (merged.at.job, merged.at.slot) == (at.job, at.slot)
            && (merged.expires, &merged.queue) == (expires, &target.queue)
            && merged.wanted < POPS_MAX
            && !target.large
        {
            merged.wanted += 1;
            request.max = merged.wanted;
            let nth = merged.wanted as u32 - 1;
            self.answer(Due::Popped { at, nth });
            return;
        }
        self.receives += 1;
        let (queue, request) = (target.queue.clone(), receive(expires, 1));
        let at = self.add(part, Op::Receive { queue: queue.clone(), request, wait: None });
        self.merged.push(Merged { at, wanted: 1, queue, expires });
        self.answer(Due::Popped { at, nth: 0 });
    }

    /// A peek.
    pub fn peek(&mut self, target: &Target, caller: &Caller, end: End) {
        let op = Op::Peek { queue: target.queue.clone(), end, max: 1 };
        let at = self.ask(target, caller, op);
        self.answer(Due::Peeked { at });
    }

    /// An ack, whatever the state of the event.
    pub fn ack(&mut self, target: &Target, caller: &Caller, id: &[u8]) {
        self.pushed_bytes += id.len();
        let part = self.part(target, caller, true);
        let nth = match self.last_op(part) {
            Some(Op::AckIds { queue, ids }) if ids.len() < MERGED_MAX && *queue == target.queue => {
                ids.push(id);
                ids.len() - 1
            }
            _ => {
                let mut ids = IdList::default();
                ids.push(id);
                self.add(part, Op::AckIds { queue: target.queue.clone(), ids });
                0
            }
        };
        let at = self.place(part);
        self.answer(Due::Found { at, nth: nth as u32 });
    }

    /// An event that is to be handed out again, each by itself: the latest is the next.
    pub fn nack(&mut self, target: &Target, caller: &Caller, named: Named, delay: Duration) {
        let nack = Nack::Fail { delay: (!delay.is_zero()).then_some(delay), error: None };
        let at = self.ask(target, caller, Op::Nack(vec![(named, nack)]));
        self.answer(Due::Found { at, nth: 0 });
    }

    /// QFLUSH.
    pub fn flush(&mut self, target: &Target, caller: &Caller) {
        let at = self.ask(target, caller, Op::Clear { queue: target.queue.clone() });
        self.answer(Due::Flushed { at });
    }

    /// QSTATUS and QINFO of named queues.
    pub fn figures(
        &mut self,
        caller: &Caller,
        names: Vec<(Vec<u8>, Option<Target>)>,
        figures: Figures,
        text: bool,
    ) {
        let rows = names.into_iter().map(|(name, target)| {
            let counts = |target: Target| {
                self.ask(&target, caller, Op::Counts { queue: target.queue.clone() })
            };
            (name, target.map(counts))
        });
        let rows = rows.collect();
        self.answer(Due::Figures { figures, text, rows });
    }

    /// Sends the jobs on their way.
    pub fn submit(&mut self) {
        for part in &mut self.parts {
            let (home, answer) = oneshot::channel();
            let slots = std::mem::take(&mut part.slots);
            part.handle.submit(Job::new(slots, Home::Once(home), 0));
            match part.unfinished.take() {
                None => part.answer = Some(answer),
                Some(unfinished) => drop(actix::spawn(async move {
                    // A push that failed was to be dropped silently.
                    let _ = answer.await;
                    drop(unfinished);
                })),
            }
        }
    }

    /// Returns when all answers are there. May be given up and called again.
    pub async fn answered(&mut self) {
        for part in &mut self.parts {
            if let Some(answer) = &mut part.answer {
                // A topic that died answers nothing.
                let slots = answer.await.unwrap_or_default();
                (part.slots, part.answer) = (slots, None);
            }
        }
    }

    /// Pops that travelled together may have been cut short by the size of the messages: asks for
    /// what is missing. To be called once the answers are there.
    pub async fn complete(&mut self, bytes_max: usize, body_bytes_max: usize) {
        for Merged { at, wanted, queue, expires } in std::mem::take(&mut self.merged) {
            let Some(part) = self.parts.get_mut(at.job as usize) else { continue };
            let Some(Slot::Reply(Reply::Delivered(deliveries))) =
                part.slots.get_mut(at.slot as usize)
            else {
                continue;
            };
            loop {
                let bytes: usize =
                    deliveries.iter().map(|delivery| delivery.message.body().len()).sum();
                if deliveries.len() >= wanted || bytes + body_bytes_max <= bytes_max {
                    break;
                }
                let request = receive(expires, wanted - deliveries.len());
                let op = Op::Receive { queue: queue.clone(), request, wait: None };
                match part.handle.ask(op).await {
                    Ok(Reply::Delivered(more)) if !more.is_empty() => deliveries.extend(more),
                    _ => break,
                }
            }
        }
    }

    /// Events that it pushes; to be asked before it is sent.
    pub fn pushes(&self) -> usize {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        let pushed = slots.map(|slot| match slot {
            Slot::Op(Op::Publish { messages, .. }) => messages.len(),
            Slot::Op(_) | Slot::Reply(_) => 0,
        });
        pushed.sum()
    }

    /// Events that were handed out to it.
    pub fn delivered(&self) -> usize {
        let slots = self.parts.iter().flat_map(|part| &part.slots);
        slots.map(|slot| deliveries(slot).len()).sum()
    }

    /// The topics whose messages were large, by name.
    pub fn large(&self) -> Option<&TopicName> {
        let large = |part: &&Part| {
            let mut all = part.slots.iter().flat_map(deliveries);
            all.any(|delivery| delivery.message.body().len() > LARGE)
        };
        self.parts.iter().find(large).map(|part| part.handle.name())
    }

    /// Writes what is due.
    pub fn render(&mut self, out: &mut Vec<u8>, resp3: bool) {
        let due = std::mem::take(&mut self.due);
        for due in due {
            self.render_one(due, out, resp3);
        }
    }

    fn reply(&self, at: Place) -> &Reply {
        const NONE: &Reply = &Reply::Failed(BrokerError::Unavailable);
        let part = self.parts.get(at.job as usize);
        match part.and_then(|part| part.slots.get(at.slot as usize)) {
            Some(Slot::Reply(reply)) => reply,
            Some(Slot::Op(_)) | None => NONE,
        }
    }

    fn render_one(&self, due: Due, out: &mut Vec<u8>, resp3: bool) {
        let nothing = resp::nil(resp3);
        let failed = |out: &mut Vec<u8>, reply: &Reply| match reply {
            // It was deleted meanwhile.
            Reply::Failed(BrokerError::TopicNotFound(_)) => out.extend_from_slice(nothing),
            Reply::Failed(error) => resp::error(out, refusal(error).as_bytes()),
            _ => resp::error(out, refusal(&BrokerError::Unavailable).as_bytes()),
        };
        match due {
            Due::Said(bytes) => out.extend_from_slice(bytes),
            Due::Bytes(bytes) => out.extend_from_slice(&bytes),
            Due::Pushed { at, nth, id } => match self.reply(at) {
                Reply::Published(results) => match results.get(nth as usize) {
                    Some(Ok(_)) => out.extend_from_slice(resp::OK),
                    Some(Err(BrokerError::Refused(Refusal::DuplicateId))) => {
                        let id = self.ids.get(id.0 as usize..id.1 as usize).unwrap_or_default();
                        resp::error(out, [b"ERR duplicate event ", id].concat());
                    }
                    Some(Err(error)) => resp::error(out, refusal(error).as_bytes()),
                    None => resp::error(out, refusal(&BrokerError::Unavailable).as_bytes()),
                },
                Reply::Failed(error) => resp::error(out, refusal(error).as_bytes()),
                reply => failed(out, reply),
            },
            Due::Popped { at, nth } => match self.reply(at) {
                Reply::Delivered(deliveries) => match deliveries.get(nth as usize) {
                    Some(delivery) => {
                        resp::array(out, 2);
                        event(out, &delivery.message);
                    }
                    None => out.extend_from_slice(nothing),
                },
                reply => failed(out, reply),
            },
            Due::PoppedAll { at } => match self.reply(at) {
                Reply::Delivered(deliveries) if deliveries.is_empty() => {
                    out.extend_from_slice(nothing);
                }
                Reply::Delivered(deliveries) => {
                    resp::array(out, deliveries.len() * 2);
                    deliveries.iter().for_each(|delivery| event(out, &delivery.message));
                }
                reply => failed(out, reply),
            },
            Due::Peeked { at } => match self.reply(at) {
                Reply::Views(views) => match views.first() {
                    Some(view) => {
                        resp::array(out, 2);
                        event(out, &view.message);
                    }
                    None => out.extend_from_slice(nothing),
                },
                reply => failed(out, reply),
            },
            Due::Found { at, nth } => match self.reply(at) {
                Reply::Done(results) => match results.get(nth as usize) {
                    Some(Ok(())) => out.extend_from_slice(resp::ONE),
                    Some(Err(error)) => found_not(out, error),
                    None => resp::error(out, refusal(&BrokerError::Unavailable).as_bytes()),
                },
                Reply::Failed(error) => found_not(out, error),
                reply => failed(out, reply),
            },
            Due::Flushed { at } => match self.reply(at) {
                Reply::Counted(_) => out.extend_from_slice(resp::OK),
                // It was deleted meanwhile.
                Reply::Failed(BrokerError::TopicNotFound(_)) => out.extend_from_slice(resp::OK),
                reply => failed(out, reply),
            },
            Due::Figures { figures, text, rows } => {
                let known: Result<Vec<Row>, &BrokerError> = rows
                    .into_iter()
                    .map(|(name, at)| match at.map(|at| self.reply(at)) {
                        Some(Reply::Figures(figures)) => Ok(Row::new(name, Some(figures))),
                        None | Some(Reply::Failed(BrokerError::TopicNotFound(_))) => {
                            Ok(Row::new(name, None::<&QueueFigures>))
                        }
                        Some(Reply::Failed(error)) => Err(error),
                        Some(_) => Err(&BrokerError::Unavailable),
                    })
                    .collect();
                match known {
                    Ok(rows) => figures::write(out, &rows, figures, text),
                    Err(error) => resp::error(out, refusal(error).as_bytes()),
                }
            }
        }
    }
}

impl Part {
    fn last_op(&mut self) -> Option<&mut Op> {
        match self.slots.last_mut()? {
            Slot::Op(op) => Some(op),
            Slot::Reply(_) => None,
        }
    }
}

/// The answer to an ack or a nack that did not go well: 0 where there is nothing of that name.
fn found_not(out: &mut Vec<u8>, error: &BrokerError) {
    match error {
        BrokerError::Refused(Refusal::MessageNotFound | Refusal::ReceiptGone)
        | BrokerError::TopicNotFound(_) => out.extend_from_slice(resp::ZERO),
        error => resp::error(out, refusal(error).as_bytes()),
    }
}

/// What was handed out here.
fn deliveries(slot: &Slot) -> &[Delivery] {
    match slot {
        Slot::Reply(Reply::Delivered(deliveries)) => deliveries,
        Slot::Op(_) | Slot::Reply(_) => &[],
    }
}
