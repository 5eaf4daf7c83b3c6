//! The door of the broker: everything a dialect can ask for, with the caller's rights checked.

mod accounts;
mod backups;
mod caller;
mod dead;
mod inside;
mod observing;
mod queues;
mod searching;
mod sessions;
mod tokens;

pub use backups::Backup;
pub use caller::Caller;
pub use dead::{DeadFound, DeadSearch, DeadSpot};
pub use observing::{DeadQueue, Presence};
pub use searching::{Found, Search};
pub use sessions::NewSession;

use super::connections::{Connections, Traffic};
use super::doorkeeper::{Doorkeeper, Login};
use super::logs::LogKeeper;
use super::messages::*;
use super::observer::{Observer, Observing};
use super::redrives::Redrives;
use super::registry::{Begin, Registry};
use super::replies::{Deliver, Inbox, Open, Replied, Replies, ReplyAddress, ReplyRefused};
use super::sessions::{SessionBounds, Sessions};
use super::{BrokerError, Limits, Look, SlowPolicy, Subscription, clock};
use crate::auth::{Accounts, Rights};
use crate::engine::{Engine, local::MemoryBudget};
use crate::journal::{Figures, Journal};
use crate::queue::*;
use actix::{Actor as _, Addr};
use actix_rt::ArbiterHandle;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::sync::{Semaphore, oneshot, watch};

/// Doors whose connections are counted.
const DOORS: [&str; 8] =
    ["otq", "http", "websocket", "events", "okq", "dsmq", "fastqueue", "blockqueue"];

fn place_of(door: &'static str) -> usize {
    DOORS.iter().position(|known| *known == door).unwrap_or(0)
}

fn by_door(counts: &[AtomicU64; DOORS.len()]) -> Vec<(&'static str, u64)> {
    DOORS.iter().zip(counts).map(|(door, count)| (*door, count.load(Relaxed))).collect()
}

/// The levels of topics whose maker names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultLevels {
    /// `store.durability`
    pub broker: Level,
    /// `store.pubsub_durability`
    pub pubsub: Level,
}

struct Inner {
    registry: Addr<Registry>,
    doorkeeper: Addr<Doorkeeper>,
    redrives: Addr<Redrives>,
    sessions: Addr<Sessions>,
    accounts: watch::Receiver<Arc<Accounts>>,
    limits: Arc<Limits>,
    levels: DefaultLevels,
    journal: Journal,
    memory: Arc<MemoryBudget>,
    directory: Arc<AtomicU64>,
    /// One copy of the store is made at a time.
    backups: Arc<Semaphore>,
    since: Timestamp,
    started: AtomicBool,
    stopping: watch::Sender<bool>,
    replies: Addr<Replies>,
    observer: Addr<Observer>,
    /// Grows whenever the observer has looked.
    looks: watch::Receiver<u64>,
    listed: Addr<Connections>,
    last_connection: AtomicU64,
    logs: Addr<LogKeeper>,
    connections: [AtomicU64; DOORS.len()],
    unreported: [AtomicU64; DOORS.len()],
}

/// The broker, as a dialect sees it; cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>, Option<Door>);

/// Counts a connection until it is dropped.
pub struct ConnectionGuard {
    broker: Broker,
    door: usize,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if let Some(count) = self.broker.0.connections.get(self.door) {
            count.fetch_sub(1, Relaxed);
        }
    }
}

/// A connection that consumes a queue; it does not any more when this is dropped.
pub struct Consumer {
    topic: Addr<super::topic::TopicActor>,
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

/// The process at one moment.
#[derive(Debug, Clone)]
pub struct BrokerState {
    /// No new work is taken.
    pub stopping: bool,
    /// Publishes are refused until there is room.
    pub disk_full: bool,
    /// Bytes of bodies in memory.
    pub memory_bytes: u64,
    /// `limits.memory_bytes`
    pub memory_limit_bytes: u64,
    /// What the store did.
    pub store: Figures,
    /// Open connections by door.
    pub connections: Vec<(&'static str, u64)>,
    /// Publishes that failed where the client cannot be told, by door.
    pub unreported: Vec<(&'static str, u64)>,
    /// How long it has been running.
    pub uptime_ms: u64,
    /// The level of topics whose maker names none.
    pub levels: DefaultLevels,
}

/// What the broker is made of; see `server`.
pub struct Parts {
    /// The registry's address.
    pub registry: Addr<Registry>,
    /// The doorkeeper's address.
    pub doorkeeper: Addr<Doorkeeper>,
    /// The accounts in force.
    pub accounts: watch::Receiver<Arc<Accounts>>,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// How long sessions of browsers live.
    pub sessions: SessionBounds,
    /// Levels of topics whose maker names none.
    pub levels: DefaultLevels,
    /// The store.
    pub journal: Journal,
    /// What topics hold in memory.
    pub memory: Arc<MemoryBudget>,
    /// The registry's [`version`](Registry::version).
    pub directory: Arc<AtomicU64>,
    /// The bounds of what is seen of it all.
    pub observing: Observing,
}

impl Broker {
    /// From its parts, inside an actix system.
    pub fn new(parts: Parts) -> Broker {
        let Parts { registry, doorkeeper, accounts, limits, sessions, .. } = parts;
        let Parts { levels, journal, memory, directory, observing, .. } = parts;
        let listed = Connections::start_with(observing.connections_max);
        let (observer, looks) = Observer::start_with(&registry, directory.clone(), observing);
        let inner = Arc::new(Inner {
            registry,
            doorkeeper,
            redrives: Redrives::start_with(limits.redrives_max),
            sessions: Sessions::start_with(sessions, accounts.clone()),
            accounts,
            limits,
            levels,
            journal,
            memory,
            directory,
            backups: Arc::new(Semaphore::new(1)),
            since: clock::now(),
            started: AtomicBool::new(false),
            stopping: watch::Sender::new(false),
            replies: Replies::default().start(),
            observer,
            looks,
            listed,
            last_connection: AtomicU64::new(0),
            logs: LogKeeper::default().start(),
            connections: std::array::from_fn(|_| AtomicU64::new(0)),
            unreported: std::array::from_fn(|_| AtomicU64::new(0)),
        });
        Broker(inner, None)
    }

    /// The same broker, as those use it who come through this door: what is told of the life of a
    /// message names it.
    pub fn through(&self, door: Door) -> Broker {
        Broker(self.0.clone(), Some(door))
    }

    /// Starts the topics that the store knew, on the given threads. Until then nothing is served.
    pub async fn begin(
        &self,
        loaded: Vec<Box<dyn Engine>>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<(), BrokerError> {
        let unattached = self.default_policy(Kind::Broker);
        self.ask(Begin { arbiters, loaded, unattached }).await?;
        self.0.started.store(true, Relaxed);
        Ok(())
    }

    /// The topics are there.
    pub fn is_started(&self) -> bool {
        self.0.started.load(Relaxed)
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// A caller without credentials, for doors that decided that none are needed.
    pub fn anonymous(&self) -> Caller {
        Caller::anonymous(self.0.accounts.clone())
    }

    /// Checks a password.
    ///
    /// Errors: `Unauthenticated`, `Busy` when too many checks are waiting.
    pub async fn login(&self, user: &str, password: &str) -> Result<Caller, BrokerError> {
        let login = Login { user: user.to_owned(), password: password.to_owned() };
        let user = self.0.doorkeeper.send(login).await.unwrap_or(Err(BrokerError::Stopping))?;
        Ok(Caller::user_of(user, self.0.accounts.clone()))
    }

    /// The topic of that name.
    ///
    /// Errors: `TopicNotFound`.
    pub async fn topic(
        &self,
        caller: &Caller,
        name: &TopicName,
    ) -> Result<TopicHandle, BrokerError> {
        let entry = self.ask(Resolve(name.clone())).await??;
        Ok(self.handle(caller, entry))
    }

    fn handle(&self, caller: &Caller, entry: TopicEntry) -> TopicHandle {
        TopicHandle {
            rights: caller.rights(&entry.definition),
            sees: caller.sees(&entry.definition),
            entry: Arc::new(entry),
            limits: self.0.limits.clone(),
            door: self.1,
        }
    }

    async fn ask<M>(&self, message: M) -> Result<M::Result, BrokerError>
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        Registry: actix::Handler<M>,
    {
        self.0.registry.send(message).await.map_err(|_| BrokerError::Stopping)
    }

    /// The settings of a topic whose maker chooses nothing.
    pub fn default_policy(&self, kind: Kind) -> TopicPolicy {
        let durability = match kind {
            Kind::Broker => self.0.levels.broker,
            Kind::Pubsub => self.0.levels.pubsub,
        };
        TopicPolicy { durability, ..TopicPolicy::default() }
    }

    /// Makes a topic; the caller owns it. Answers when its definition is durable.
    ///
    /// Errors: `NotAllowed`, `TopicExists`, `TooManyTopics`, `Refused(OutOfBounds)`, store errors.
    pub async fn create_topic(
        &self,
        caller: &Caller,
        mut new: NewTopic,
    ) -> Result<TopicHandle, BrokerError> {
        if !caller.may_create(&new.name) {
            return Err(BrokerError::NotAllowed("create"));
        }
        self.check_queues(new.queues.len())?;
        // An administrator may make a topic for somebody else.
        if new.owner.is_none() || !caller.is_admin() {
            new.owner = caller.user().map(str::to_owned);
        }
        let entry = self.ask(CreateTopic(new)).await??;
        Ok(self.handle(caller, entry))
    }

    /// Removes a topic with its queues and messages.
    ///
    /// Errors: `TopicNotFound`, `NotAllowed`.
    pub async fn delete_topic(&self, caller: &Caller, name: &TopicName) -> Result<(), BrokerError> {
        self.topic(caller, name).await?.need(Rights::MANAGE)?;
        self.ask(DeleteTopic(name.clone())).await?
    }

    /// Adds a queue to a topic; to [`TopicName::unattached`], one that belongs to none.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Refused(QueueExists, QueueNotFound, OutOfBounds)`.
    pub async fn create_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
        policy: QueuePolicy,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.need_for_queue(caller, topic).await?;
        self.ask(CreateQueue { topic: topic.clone(), queue, policy }).await?
    }

    /// Adds several queues to a topic: all of them, or none.
    ///
    /// Errors: `TooMany` above `limits.batch_max`, `Refused(QueueExists)`, also when two are the same.
    pub async fn create_queues(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queues: Vec<(QueueName, QueuePolicy)>,
    ) -> Result<(), BrokerError> {
        self.topic(caller, topic).await?.need(Rights::MANAGE)?;
        self.check_queues(queues.len())?;
        self.ask(CreateQueues { topic: topic.clone(), queues }).await?
    }

    fn check_queues(&self, count: usize) -> Result<(), BrokerError> {
        let limit = self.0.limits.batch_max;
        if count <= limit {
            return Ok(());
        }
        Err(BrokerError::TooMany { what: "queues in one request", limit })
    }

    /// Removes a queue of a topic with its messages. [`TopicName::unattached`] is any topic here.
    pub async fn delete_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
    ) -> Result<(), BrokerError> {
        let (handle, definition) = self.queue(caller, topic, &queue).await?;
        handle.need(Rights::MANAGE)?;
        self.ask(DeleteQueue { queue: definition.number }).await?
    }

    /// The topics the caller may look at, in the order they were made: at most `limit` behind the one
    /// numbered `after`, and the number to go on behind.
    pub async fn list_topics(
        &self,
        caller: &Caller,
        after: Option<u32>,
        limit: usize,
    ) -> Result<(Vec<TopicFigures>, Option<u32>), BrokerError> {
        self.list_topics_named(caller, b"", after, limit).await
    }

    /// [`Broker::list_topics`] of those whose names begin so.
    pub async fn list_topics_named(
        &self,
        caller: &Caller,
        prefix: &[u8],
        after: Option<u32>,
        limit: usize,
    ) -> Result<(Vec<TopicFigures>, Option<u32>), BrokerError> {
        let entries = self.ask(ListTopics).await?;
        let mut readable = entries
            .into_iter()
            .filter(|entry| after.is_none_or(|after| entry.definition.number > after))
            .filter(|entry| entry.definition.name.as_bytes().starts_with(prefix))
            .filter(|entry| caller.rights(&entry.definition).contains(Rights::LOOK));
        let page: Vec<_> = readable.by_ref().take(limit).collect();
        let more = readable.next().is_some();
        let next = page.last().filter(|_| more).map(|entry| entry.definition.number);
        let asked = page.iter().map(|entry| entry.addr.send(Describe));
        let figures = futures_util::future::join_all(asked).await;
        // A topic that was deleted or failed meanwhile is not in the list.
        Ok((figures.into_iter().filter_map(|figures| figures.ok()?.ok()).collect(), next))
    }

    /// Counts a connection of a door for as long as the guard lives.
    pub fn connection(&self, door: &'static str) -> ConnectionGuard {
        let door = place_of(door);
        if let Some(count) = self.0.connections.get(door) {
            count.fetch_add(1, Relaxed);
        }
        ConnectionGuard { broker: self.clone(), door }
    }

    /// Counts publishes of a door that failed where its protocol has no answer to tell it.
    pub fn count_unreported(&self, door: &'static str, publishes: u64) {
        if let Some(count) = self.0.unreported.get(place_of(door)) {
            count.fetch_add(publishes, Relaxed);
        }
    }

    /// The highest number any message of the broker has had. What is published from now on has a
    /// higher one: this is the position of a reader that begins now, see [`Op::ReadAfter`].
    pub fn last_number(&self) -> u64 {
        self.0.journal.last_number()
    }

    /// The process now.
    pub fn state(&self) -> BrokerState {
        BrokerState {
            stopping: self.is_stopping(),
            disk_full: self.0.journal.is_full(),
            memory_bytes: self.0.memory.resident(),
            memory_limit_bytes: self.0.memory.limit(),
            store: self.0.journal.figures(),
            connections: by_door(&self.0.connections),
            unreported: by_door(&self.0.unreported),
            uptime_ms: clock::now().since_ms(self.0.since),
            levels: self.0.levels,
        }
    }

    /// Takes no new topics, ends waiting receivers and subscribers, flushes every topic.
    pub async fn stop(&self) {
        self.0.stopping.send_replace(true);
        // A registry that is gone has nothing to stop.
        let _ = self.ask(StopAll).await;
    }

    /// A stop has begun.
    pub fn is_stopping(&self) -> bool {
        *self.0.stopping.borrow()
    }

    /// Becomes true when a stop begins.
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.0.stopping.subscribe()
    }

    /// Returns when a stop has begun.
    pub async fn stop_begun(&self) {
        // It is in the broker itself, which outlives the wait.
        let _ = self.0.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// An address for replies, with room for so many that are not read yet.
    ///
    /// Errors: `Stopping`.
    pub async fn inbox(&self, capacity: usize) -> Result<Inbox, BrokerError> {
        self.0.replies.send(Open(capacity)).await.map_err(|_| BrokerError::Stopping)
    }

    /// Sends a reply to where a request wants it. Whoever knows the address may, but for those who only
    /// look: they see addresses in requests that are meant for others.
    ///
    /// Errors: `NotAllowed`, `Gone`, `Full`, `TooLarge`.
    pub async fn reply(
        &self,
        caller: &Caller,
        to: ReplyAddress,
        reply: Replied,
    ) -> Result<(), ReplyRefused> {
        if !caller.may_act() {
            return Err(BrokerError::NotAllowed("reply").into());
        }
        let (size, limit) = (reply.body.len(), self.0.limits.body_bytes_max);
        if size > limit {
            return Err(BrokerError::TooLarge { size, limit }.into());
        }
        let answer = self.0.replies.send(Deliver(to, reply)).await;
        answer.unwrap_or(Err(BrokerError::Stopping.into()))
    }
}

/// One topic, as one caller may use it. Sessions keep it; it does not keep the topic from being
/// deleted.
#[derive(Clone)]
pub struct TopicHandle {
    /// Shared as a whole: sessions clone the handle for every batch, and an address alone costs
    /// several atomic operations.
    entry: Arc<TopicEntry>,
    rights: Rights,
    /// The caller is shown payloads that the topic masks.
    sees: bool,
    limits: Arc<Limits>,
    door: Option<Door>,
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
