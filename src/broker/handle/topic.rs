//! One topic, as one caller may use it: every op is checked here, then sent.

use super::*;
use crate::broker::connections::Traffic;
use crate::broker::topic::TopicActor;
use crate::broker::{Look, SlowPolicy, Subscription};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::oneshot;

/// One topic, as one caller may use it. Sessions keep it; it does not keep the topic from being
/// deleted.
#[derive(Clone)]
pub struct TopicHandle {
    /// Shared as a whole: sessions clone the handle for every batch, and an address alone costs
    /// several atomic operations.
    pub(super) entry: Arc<TopicEntry>,
    pub(super) rights: Rights,
    /// The caller is shown payloads that the topic masks.
    pub(super) sees: bool,
    pub(super) limits: Arc<Limits>,
    pub(super) door: Option<Door>,
}

impl TopicHandle {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.entry.definition.name
    }

    /// What defined it when the address was learnt.
    pub fn definition(&self) -> &Arc<TopicDefinition> {
        &self.entry.definition
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.entry.definition.kind
    }

    /// What its confirmations stand for.
    pub fn durability(&self) -> Level {
        self.entry.definition.policy.durability
    }

    /// False once the topic was deleted: ask for the name again.
    pub fn is_current(&self) -> bool {
        !self.entry.gone.load(Relaxed)
    }

    /// Both are the same running topic, whoever uses it.
    pub fn is_same(&self, other: &TopicHandle) -> bool {
        self.entry.addr == other.entry.addr
    }

    /// The same topic with another caller's rights.
    pub fn for_caller(mut self, caller: &Caller) -> Self {
        self.rights = caller.rights(&self.entry.definition);
        self.sees = caller.sees(&self.entry.definition);
        self
    }

    /// The same for somebody who now wants to look and nothing else: a subscription takes nothing from
    /// others then.
    pub fn looking(mut self) -> Self {
        self.rights = self.rights & Rights::LOOK;
        self
    }

    /// The same topic, used through another door.
    pub fn through(mut self, door: Door) -> Self {
        self.door = Some(door);
        self
    }

    /// Whether the caller has these rights here.
    ///
    /// Errors: `NotAllowed`.
    pub fn need(&self, rights: Rights) -> Result<(), BrokerError> {
        if self.rights.contains(rights) {
            Ok(())
        } else {
            Err(BrokerError::NotAllowed(rights.name()))
        }
    }

    fn check(&self, op: &Op) -> Result<(), BrokerError> {
        let (rights, items) = match op {
            Op::Publish { messages, .. } => (Rights::WRITE, messages.len()),
            Op::PublishCopies(_) => (Rights::WRITE, 0),
            Op::Transfer { selection, .. } | Op::Redrive { selection, .. } => {
                (Rights::WRITE, selection.ids())
            }
            Op::Find { .. } | Op::Peek { .. } | Op::List { .. } | Op::Counts { .. } => {
                (Rights::LOOK, 0)
            }
            Op::Receive { .. } | Op::Read { .. } | Op::Watch { .. } => (Rights::READ, 0),
            Op::ReadAfter { want: Want::Oldest(max), .. } => (Rights::READ, *max),
            Op::ReadAfter { want: Want::Newest, .. } => (Rights::READ, 1),
            Op::Ack(named) => (Rights::READ, named.len()),
            Op::AckIds { ids, .. } => (Rights::READ, ids.len()),
            Op::Nack(named) => (Rights::READ, named.len()),
            Op::Extend(named) => (Rights::READ, named.len()),
            Op::Delay { ids, .. } => (Rights::WRITE, ids.len()),
            Op::Delete { ids, .. } => (Rights::CLEAR, ids.len()),
            Op::Purge { .. } | Op::Clear { .. } => (Rights::CLEAR, 0),
        };
        self.need(rights)?;
        let limit = self.limits.batch_max;
        if items > limit {
            Err(BrokerError::TooMany { what: BrokerError::BATCH, limit })
        } else {
            Ok(())
        }
    }

    /// Sends a batch. What the caller may not do is answered in its slot; the rest is done in order.
    pub fn submit(&self, mut job: Job) {
        job.sees = self.sees;
        for slot in job.slots() {
            if let Slot::Op(op) = slot
                && let Err(error) = self.check(op)
            {
                *slot = Slot::Reply(Reply::Failed(error));
            }
        }
        job.set_door(self.door);
        self.entry.addr.do_send(job);
    }

    /// Sends one op and waits for its reply.
    ///
    /// Errors: `Unavailable` when the topic died with the op; refusals are in the reply.
    pub async fn ask(&self, op: Op) -> Result<Reply, BrokerError> {
        let replies = self.ask_all(vec![op]).await?;
        replies.into_iter().next().ok_or(BrokerError::Unavailable)
    }

    /// Sends an op that is answered with a count.
    pub async fn counted(&self, op: Op) -> Result<u64, BrokerError> {
        match self.ask(op).await? {
            Reply::Counted(count) => Ok(count),
            Reply::Failed(error) => Err(error),
            _ => Err(BrokerError::Unavailable),
        }
    }

    /// Sends ops and waits for a reply to each.
    pub fn ask_all(&self, ops: Vec<Op>) -> Asked {
        let (home, answer) = oneshot::channel();
        let slots = ops.into_iter().map(Slot::Op).collect();
        self.submit(Job::new(slots, Home::Once(home), 0));
        Asked { answer, topic: self.entry.clone() }
    }

    /// Takes back what was handed out and reached nobody: to where it was, as if nothing had been.
    pub fn take_back(&self, receipts: Vec<Receipt>) {
        if !receipts.is_empty() {
            self.entry.addr.do_send(Unread(receipts));
        }
    }

    /// Attaches a subscriber to a pubsub topic. One who may only look takes no part: nothing counts as
    /// handed out by it, and it is shown payloads as a look shows them.
    ///
    /// Errors: `NotAllowed`, `Refused(WrongKind)`, store errors.
    pub async fn subscribe(
        &self,
        position: Option<Position>,
        look: impl Into<Look>,
        slow: SlowPolicy,
    ) -> Result<Subscription, BrokerError> {
        self.need(Rights::LOOK)?;
        let how = match self.rights.contains(Rights::READ) {
            true => Part::Takes,
            false if self.sees => Part::Watches,
            false => Part::WatchesMasked,
        };
        let subscribe = Subscribe { position, look: look.into(), slow, how };
        self.entry.addr.send(subscribe).await.unwrap_or(Err(BrokerError::Unavailable))
    }

    /// Counts the caller as a consumer of a queue (`None`: `default`) for as long as the guard lives.
    ///
    /// Errors: `NotAllowed`, `Refused(QueueNotFound)`, `TopicNotFound`, `Unavailable`.
    pub async fn consume(&self, queue: Option<QueueName>) -> Result<Consumer, BrokerError> {
        self.need(Rights::READ)?;
        let answer = self.entry.addr.send(Consume(queue)).await;
        let queue = answer.unwrap_or(Err(BrokerError::Unavailable))?;
        Ok(Consumer { topic: self.entry.addr.clone(), queue, traffic: None })
    }

    /// The topic has a queue of that name. A topic that does not answer has none.
    pub async fn has_queue(&self, queue: &QueueName) -> bool {
        match self.entry.addr.send(Describe).await {
            Ok(Ok(figures)) => figures.queues.iter().any(|(name, _, _)| name == queue),
            _ => false,
        }
    }

    /// Counts of the topic and its queues.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Unavailable`.
    pub async fn describe(&self) -> Result<TopicFigures, BrokerError> {
        self.need(Rights::LOOK)?;
        self.entry.addr.send(Describe).await.unwrap_or(Err(BrokerError::Unavailable))
    }
}

/// The replies to some ops, on their way. When it is dropped, what waits for messages is given up, and
/// messages that were handed out already go back to where they were.
///
/// Errors: `Unavailable` when the topic died with the ops.
pub struct Asked {
    answer: oneshot::Receiver<Vec<Slot>>,
    topic: Arc<TopicEntry>,
}

impl Future for Asked {
    type Output = Result<Vec<Reply>, BrokerError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let slots = std::task::ready!(Pin::new(&mut self.answer).poll(task));
        let reply = |slot| match slot {
            Slot::Reply(reply) => Ok(reply),
            Slot::Op(_) => Err(BrokerError::Unavailable),
        };
        Poll::Ready(match slots {
            Ok(slots) => slots.into_iter().map(reply).collect(),
            Err(_) => Err(BrokerError::Unavailable),
        })
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answer.close();
        let receipts = Slot::receipts(&self.answer.try_recv().unwrap_or_default());
        if !receipts.is_empty() {
            self.topic.addr.do_send(Unread(receipts));
        }
    }
}

/// A connection that consumes a queue; it does not any more when this is dropped.
pub struct Consumer {
    topic: Addr<TopicActor>,
    queue: u32,
    traffic: Option<Arc<Traffic>>,
}

impl Consumer {
    /// Counted among what this session is subscribed to.
    pub fn counted(mut self, traffic: &Arc<Traffic>) -> Consumer {
        traffic.subscribed();
        self.traffic = Some(traffic.clone());
        self
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.topic.do_send(Unconsume(self.queue));
        if let Some(traffic) = &self.traffic {
            traffic.unsubscribed();
        }
    }
}
