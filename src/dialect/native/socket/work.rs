//! What each request does, and what becomes of it.

use super::answer::{self, Consuming, DeliveryLook, Nothing, Results, Settled, Subscribed};
use super::figures::{Call, Reason};
use super::incoming::End;
use super::request::{Req, Settle, Verb, addressed};
use super::round::{Due, What};
use super::session::Session;
use crate::broker::subscribers::Ended;
use crate::broker::{
    Asked, BrokerError, Consumer as Guard, Look, Named, Op, Replied, Reply, ReplyRefused,
    SlowPolicy, Subscription, TopicHandle, clock,
};
use crate::dialect::native::problem::Problem;
use crate::dialect::native::publish::own_id;
use crate::dialect::native::view::{PlacedView, ResultView};
use crate::dialect::websocket::code;
use crate::queue::*;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use std::{rc::Rc, sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// How long one receive of a consumer waits; then it is asked again.
const WAIT: Duration = Duration::from_secs(60);
/// Most bytes of bodies of one receive; the first message always is.
const RECEIVE_BYTES: usize = 256 << 10;
/// Most messages of one receive.
const RECEIVE_MESSAGES: usize = 1000;

/// What the broker has answered.
pub enum Outcome {
    /// To the requests for one topic.
    Answered { replies: Result<Vec<Reply>, BrokerError>, dues: Vec<Due> },
    /// A subscriber is attached, or not.
    Joined { id: u64, req: Req, said: Option<Position>, result: Result<Subscription, BrokerError> },
    /// A consumer may begin, or not.
    Consumes { id: u64, req: Req, result: Result<Guard, BrokerError> },
    /// Messages for a consumer; nothing when it was ended.
    Received { id: u64, result: Option<Result<Reply, BrokerError>> },
    /// A reply was sent.
    Sent { req: Req, result: Result<(), ReplyRefused> },
}

/// A subscription of the socket.
pub struct Entry {
    name: Arc<str>,
    topic: Rc<TopicHandle>,
    /// `None`: pushes of a pubsub topic.
    consumer: Option<Consumer>,
}

/// A subscription to a queue.
struct Consumer {
    queue: Option<QueueName>,
    prefetch: usize,
    ack_deadline: Option<Duration>,
    look: Rc<DeliveryLook>,
    /// Deliveries that are neither settled nor past their deadline.
    flying: usize,
    /// Somebody waits for messages for it; dropped, nobody does.
    asking: Option<oneshot::Sender<()>>,
    guard: Option<Guard>,
}

impl Session {
    /// Does what a request wants; `binary`: it came in a binary frame of so many bytes.
    pub(super) async fn perform(&mut self, req: Req, verb: Verb, bytes: usize, binary: bool) {
        let Err(problem) = self.try_perform(&req, verb, bytes, binary).await else { return };
        self.refuse(&req, &problem);
    }

    async fn try_perform(
        &mut self,
        req: &Req,
        verb: Verb,
        bytes: usize,
        binary: bool,
    ) -> Result<(), Problem> {
        match verb {
            Verb::Publish { topic, queue, messages, single } => {
                let handle = self.topic(&topic).await?;
                let own = messages.iter().map(own_id).collect();
                self.outbox.traffic().received(messages.len());
                let what = What::Published { single, own, durability: handle.durability() };
                let op = Op::Publish { to: queue, messages };
                self.add(handle, op, Due { req: req.clone(), bytes, what });
            }
            Verb::Settle { topic, receipts, single, how } => {
                let handle = self.topic(&topic).await?;
                let named = receipts.iter().map(|receipt| Named::Receipt(*receipt));
                let op = match how {
                    Settle::Ack => Op::Ack(named.collect()),
                    Settle::Nack(how) => {
                        Op::Nack(named.map(|named| (named, how.clone())).collect())
                    }
                    Settle::Extend(span) => Op::Extend(named.map(|named| (named, span)).collect()),
                };
                let what = What::Settled { receipts, single };
                self.add(handle, op, Due { req: req.clone(), bytes, what });
            }
            Verb::Subscribe { topic, position, slow, sub, binary, look } => {
                let handle = self.topic(&topic).await?;
                let handle = if look { handle.looking() } else { handle };
                self.subscribe(req, handle, position, slow, sub, binary)?;
            }
            Verb::Consume { topic, queue, prefetch, ack_deadline, sub, binary } => {
                let handle = self.topic(&topic).await?;
                if handle.kind() == Kind::Pubsub {
                    return Err(BrokerError::Refused(Refusal::WrongKind).into());
                }
                let of = queue.clone().unwrap_or_else(QueueName::default_queue);
                let look = DeliveryLook {
                    sub: sub.clone(),
                    topic: String::from_utf8_lossy(topic.as_bytes()).into_owned(),
                    queue: String::from_utf8_lossy(of.as_bytes()).into_owned(),
                    binary,
                };
                let consumer = Consumer {
                    queue,
                    prefetch,
                    ack_deadline,
                    look: Rc::new(look),
                    flying: 0,
                    asking: None,
                    guard: None,
                };
                self.consume(req, handle, sub, consumer)?;
            }
            Verb::Unsubscribe(sub) => {
                let Some(id) = self.names.get(&sub).copied() else {
                    let detail = format!("there is no subscription `{sub}` on this socket");
                    let title = "No such subscription";
                    return Err(Problem::new(404, "subscription_not_found", title, detail));
                };
                self.forget(id);
                answer::ok(&mut self.written, req, Nothing {});
            }
            Verb::Request { topic, queue, message, timeout } => {
                let handle = self.topic(&topic).await?;
                let limit = self.native.ws.calls_max;
                if self.calls.len() >= limit {
                    let what = "requests that wait for a reply";
                    return Err(BrokerError::TooMany { what, limit }.into());
                }
                let to = match &self.calls.inbox {
                    Some(inbox) => inbox.address(),
                    None => {
                        let inbox = self.native.broker.inbox(limit).await?;
                        self.calls.inbox.insert(inbox).address()
                    }
                };
                let deadline = clock::now().after(timeout);
                let number = self.calls.add(req.clone(), binary, deadline);
                let message = match addressed(message, to, &number.to_string()) {
                    Ok(message) => message,
                    Err(problem) => {
                        self.calls.remove(number);
                        return Err(problem);
                    }
                };
                let op = Op::Publish { to: queue, messages: vec![message] };
                let what = What::Called(number);
                self.add(handle, op, Due { req: req.clone(), bytes, what });
            }
            Verb::Reply { to, reply } => {
                let (broker, req) = (self.native.broker.clone(), req.clone());
                let caller = self.caller.clone();
                self.due += 1;
                self.pending.push(
                    async move {
                        let result = broker.reply(&caller, to, reply).await;
                        Outcome::Sent { result, req }
                    }
                    .boxed_local(),
                );
            }
            Verb::Ping => answer::pong(&mut self.written, req),
        }
        Ok(())
    }

    async fn topic(&self, name: &TopicName) -> Result<TopicHandle, Problem> {
        Ok(self.native.topic(&self.caller, name).await?.through(Door::Websocket))
    }

    fn add(&mut self, handle: TopicHandle, op: Op, due: Due) {
        self.due += 1;
        self.due_bytes += due.bytes;
        self.round.add(handle, op, due);
    }

    /// A place for one more subscription.
    fn enter(&mut self, sub: Arc<str>, topic: Rc<TopicHandle>) -> Result<u64, Problem> {
        let limit = self.native.ws.subscriptions_max;
        if self.names.contains_key(&sub) {
            let detail = format!("there is a subscription `{sub}` on this socket");
            let title = "The subscription exists";
            return Err(Problem::new(409, "subscription_exists", title, detail));
        }
        if self.entries.len() >= limit {
            return Err(BrokerError::TooMany { what: "subscriptions on a socket", limit }.into());
        }
        self.last_id += 1;
        self.names.insert(sub.clone(), self.last_id);
        self.entries.insert(self.last_id, Entry { name: sub, topic, consumer: None });
        Ok(self.last_id)
    }

    /// Ends a subscription. What it holds may still be settled.
    fn forget(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.names.remove(&entry.name);
        self.attached.remove(&id);
        Some(entry)
    }

    /// Asks something of a topic behind the requests that came before.
    fn ask(&mut self, mut asked: LocalBoxFuture<'static, Outcome>) {
        self.due += 1;
        self.send_round();
        match (&mut asked).now_or_never() {
            Some(outcome) => self.pending.push(std::future::ready(outcome).boxed_local()),
            None => self.pending.push(asked),
        }
    }

    fn subscribe(
        &mut self,
        req: &Req,
        handle: TopicHandle,
        position: Option<Position>,
        slow: SlowPolicy,
        sub: Arc<str>,
        binary: bool,
    ) -> Result<(), Problem> {
        let id = self.enter(sub.clone(), Rc::new(handle.clone()))?;
        let format = if binary { answer::BINARY } else { answer::TEXT };
        let traffic = Some(self.outbox.traffic().clone());
        let (look, req) = (Look { format, label: Some(sub), traffic }, req.clone());
        self.ask(Box::pin(async move {
            let result = handle.subscribe(position, look, slow).await;
            Outcome::Joined { id, req, said: position, result }
        }));
        Ok(())
    }

    fn consume(
        &mut self,
        req: &Req,
        handle: TopicHandle,
        sub: Arc<str>,
        consumer: Consumer,
    ) -> Result<(), Problem> {
        let id = self.enter(sub, Rc::new(handle.clone()))?;
        let (queue, req) = (consumer.queue.clone(), req.clone());
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.consumer = Some(consumer);
        }
        self.ask(Box::pin(async move {
            let result = handle.consume(queue).await;
            Outcome::Consumes { id, req, result }
        }));
        Ok(())
    }

    /// Asks for what consumers have room for.
    pub(super) fn feed(&mut self) {
        if self.outbox.waiting() > self.native.ws.out_bytes_max {
            return;
        }
        for id in std::mem::take(&mut self.hungry) {
            let Some(Entry { topic, consumer: Some(consumer), .. }) = self.entries.get_mut(&id)
            else {
                continue;
            };
            let room = consumer.prefetch.saturating_sub(consumer.flying);
            if room == 0 || consumer.asking.is_some() || consumer.guard.is_none() {
                continue;
            }
            let request = Receive {
                max: room.min(RECEIVE_MESSAGES),
                bytes_max: RECEIVE_BYTES,
                ack_deadline: consumer.ack_deadline,
                take: false,
                from_back: false,
            };
            let op = Op::Receive { queue: consumer.queue.clone(), request, wait: Some(WAIT) };
            let asked = topic.ask_all(vec![op]);
            let (keep, ended) = oneshot::channel();
            consumer.asking = Some(keep);
            self.pending.push(receive(id, asked, ended).boxed_local());
        }
    }

    /// A delivery does not count for its consumer any more.
    pub(super) fn landed(&mut self, id: u64) {
        if let Some(Entry { consumer: Some(consumer), .. }) = self.entries.get_mut(&id) {
            consumer.flying = consumer.flying.saturating_sub(1);
            if consumer.asking.is_none() && self.hungry.last() != Some(&id) {
                self.hungry.push(id);
            }
        }
    }

    /// What the broker has answered.
    pub(super) fn settled(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Answered { replies, dues } => match replies {
                Ok(replies) => {
                    for (reply, due) in replies.into_iter().zip(dues) {
                        self.answered(reply, due);
                    }
                }
                Err(error) => {
                    for due in dues {
                        self.answered(Reply::Failed(error.clone()), due);
                    }
                }
            },
            Outcome::Joined { id, req, said, result } => self.joined(id, &req, said, result),
            Outcome::Consumes { id, req, result } => {
                self.due -= 1;
                let entry = self.entries.get_mut(&id);
                match (result, entry) {
                    (Ok(guard), Some(Entry { name, consumer: Some(consumer), .. })) => {
                        consumer.guard = Some(guard.counted(self.outbox.traffic()));
                        answer::ok(&mut self.written, &req, Consuming { sub: name });
                        self.hungry.push(id);
                    }
                    (Ok(_), _) => self.refuse(&req, &unsubscribed()),
                    (Err(error), _) => {
                        self.forget(id);
                        self.refuse(&req, &error.into());
                    }
                }
            }
            Outcome::Received { id, result } => self.received(id, result),
            Outcome::Sent { req, result } => {
                self.due -= 1;
                match result {
                    Ok(()) => self.done(&req),
                    Err(refused) => self.refuse(&req, &refused.into()),
                }
            }
        }
        self.flush_much();
    }

    /// A request without a name wants to hear of failures only.
    fn done(&mut self, req: &Req) {
        if req.is_some() {
            answer::ok(&mut self.written, req, Nothing {});
        }
    }

    fn answered(&mut self, reply: Reply, due: Due) {
        self.due -= 1;
        self.due_bytes -= due.bytes;
        let req = &due.req;
        match (due.what, reply) {
            (What::Called(number), Reply::Published(results)) => {
                // The answer is the reply; only a failure ends the wait.
                if let Some(Err(error)) = results.into_iter().next()
                    && self.calls.remove(number).is_some()
                {
                    self.refuse(req, &error.into());
                }
            }
            (What::Called(number), reply) => {
                if self.calls.remove(number).is_some() {
                    self.refuse(req, &failure(reply));
                }
            }
            (What::Published { single: true, own, durability }, Reply::Published(results)) => {
                let own = own.into_iter().next().flatten();
                match results.into_iter().next() {
                    Some(Ok(placed)) if req.is_some() => {
                        let view = PlacedView::new(&placed, own, durability);
                        answer::ok(&mut self.written, req, view);
                    }
                    Some(Ok(_)) => (),
                    Some(Err(error)) => self.refuse(req, &error.into()),
                    None => self.refuse(req, &BrokerError::Unavailable.into()),
                }
            }
            (What::Published { single: false, own, durability }, Reply::Published(results)) => {
                let failed = results.iter().any(Result::is_err);
                if req.is_some() || failed {
                    let view =
                        |own| move |placed: Placed| PlacedView::new(&placed, own, durability);
                    let results = results
                        .into_iter()
                        .zip(own)
                        .map(|(result, own)| ResultView::of(result, view(own)))
                        .collect();
                    answer::ok(&mut self.written, req, Results { results });
                }
            }
            (What::Settled { receipts, single }, Reply::Done(results)) => {
                let results = results.into_iter().map(|result| result.map(|()| None)).collect();
                self.told(req, &receipts, single, results);
            }
            (What::Settled { receipts, single }, Reply::Extended(results)) => {
                let results = results.into_iter().map(|result| result.map(Some)).collect();
                self.told(req, &receipts, single, results);
            }
            (What::Published { .. } | What::Settled { .. }, reply) => {
                self.refuse(req, &failure(reply));
            }
        }
    }

    /// What became of deliveries that the client settled; a deadline where it was moved.
    fn told(
        &mut self,
        req: &Req,
        receipts: &[Receipt],
        single: bool,
        results: Vec<Result<Option<Timestamp>, BrokerError>>,
    ) {
        for (receipt, result) in receipts.iter().zip(&results) {
            match result {
                Ok(Some(deadline)) => self.flights.extend(*receipt, *deadline),
                // Settled now, or before.
                Ok(None) | Err(BrokerError::Refused(Refusal::ReceiptGone)) => {
                    if let Some(consumer) = self.flights.remove(*receipt) {
                        self.landed(consumer);
                    }
                }
                Err(_) => (),
            }
        }
        let failed = results.iter().any(Result::is_err);
        if req.is_none() && !failed {
            return;
        }
        let view = |deadline: Option<Timestamp>| Settled {
            ok: true,
            deadline_ms: deadline.map(|deadline| deadline.0),
        };
        if !single {
            let results = results.into_iter().map(|result| ResultView::of(result, view)).collect();
            return answer::ok(&mut self.written, req, Results { results });
        }
        match results.into_iter().next() {
            Some(Ok(deadline)) => answer::ok(&mut self.written, req, view(deadline)),
            Some(Err(error)) => self.refuse(req, &error.into()),
            None => self.refuse(req, &BrokerError::Unavailable.into()),
        }
    }

    fn joined(
        &mut self,
        id: u64,
        req: &Req,
        said: Option<Position>,
        result: Result<Subscription, BrokerError>,
    ) {
        self.due -= 1;
        let subscription = match result {
            Ok(subscription) => subscription,
            Err(error) => {
                self.forget(id);
                return self.refuse(req, &error.into());
            }
        };
        let Some(entry) = self.entries.get(&id) else {
            return self.refuse(req, &unsubscribed());
        };
        let more = Subscribed {
            sub: &entry.name,
            topic: &String::from_utf8_lossy(entry.topic.name().as_bytes()),
            epoch: subscription.epoch,
            seq: subscription.position(said).seq,
            next: subscription.next,
        };
        answer::ok(&mut self.written, req, more);
        // The answer goes before the first push.
        self.flush();
        self.attached.insert(id, self.outbox.attach(id, subscription));
    }

    fn received(&mut self, id: u64, result: Option<Result<Reply, BrokerError>>) {
        // One that has ended has given up its wait, and with it what was handed out.
        let Some(Entry { topic, consumer: Some(consumer), .. }) = self.entries.get_mut(&id) else {
            return;
        };
        consumer.asking = None;
        let deliveries = match result {
            Some(Ok(Reply::Delivered(deliveries))) => deliveries,
            Some(Ok(reply)) => return self.no_more(id, &failure(reply)),
            Some(Err(error)) => return self.no_more(id, &error.into()),
            None => return,
        };
        let look = consumer.look.clone();
        self.outbox.traffic().sent(deliveries.len());
        for delivery in &deliveries {
            if let Some(receipt) = delivery.receipt {
                self.flights.add(receipt, id, topic, delivery.deadline);
                consumer.flying += 1;
            }
            answer::delivery(&mut self.written, &look, delivery);
        }
        self.hungry.push(id);
    }

    /// A subscription has ended by the broker's will.
    fn no_more(&mut self, id: u64, problem: &Problem) {
        if let Some(entry) = self.forget(id) {
            answer::ended(&mut self.written, &entry.name, problem);
        }
    }

    /// The pushes of a subscription have ended by the broker's will; perhaps the socket ends with them.
    pub(super) fn push_ended(&mut self, id: u64, why: Ended) -> Option<End> {
        let entry = self.entries.get(&id)?;
        let error = match why {
            Ended::TooSlow => {
                let (reason, code) = (Reason::TooSlow, code::AGAIN);
                return Some(End { reason, code, text: "too slow" });
            }
            Ended::TopicDeleted => BrokerError::TopicNotFound(entry.topic.name().clone()),
            // The end of the socket follows.
            Ended::Stopped | Ended::No if self.native.broker.is_stopping() => return None,
            Ended::Stopped | Ended::No => BrokerError::TopicFailed,
        };
        self.no_more(id, &error.into());
        None
    }

    /// A reply has come.
    pub(super) fn replied(&mut self, reply: &Replied) {
        match self.calls.answered(reply) {
            Some(call) => {
                self.native.sockets.call(Call::Replied);
                answer::reply(&mut self.written, &call.req, reply, call.binary);
            }
            None => self.native.sockets.call(Call::Late),
        }
    }
}

/// Waits for messages until the consumer ends; what was handed out meanwhile goes back.
async fn receive(id: u64, mut asked: Asked, mut ended: oneshot::Receiver<()>) -> Outcome {
    let result = tokio::select! {
        biased;
        _ = &mut ended => None,
        replies = &mut asked => Some(replies.and_then(|replies| {
            replies.into_iter().next().ok_or(BrokerError::Unavailable)
        })),
    };
    Outcome::Received { id, result }
}

fn failure(reply: Reply) -> Problem {
    match reply {
        Reply::Failed(error) => error.into(),
        _ => BrokerError::Unavailable.into(),
    }
}

fn unsubscribed() -> Problem {
    let detail = "the subscription was ended before it began";
    Problem::new(409, "unsubscribed", "The subscription was ended", detail)
}
