//! The door of the broker: everything a dialect can ask for, with the caller's rights checked.

use super::doorkeeper::{Doorkeeper, Login, PutUser};
use super::messages::*;
use super::registry::{Begin, Registry};
use super::{BrokerError, Limits, PushFormat, SlowPolicy, Subscription};
use crate::auth::{Accounts, Rights};
use crate::engine::{Engine, local::MemoryBudget};
use crate::journal::{Figures, Journal};
use crate::queue::*;
use actix::Addr;
use actix_rt::ArbiterHandle;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use tokio::sync::{oneshot, watch};

/// Doors whose connections are counted.
const DOORS: [&str; 3] = ["otq", "http", "websocket"];

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
    accounts: watch::Receiver<Arc<Accounts>>,
    limits: Arc<Limits>,
    levels: DefaultLevels,
    journal: Journal,
    memory: Arc<MemoryBudget>,
    started: AtomicBool,
    stopping: AtomicBool,
    connections: [AtomicU64; DOORS.len()],
}

/// The broker, as a dialect sees it; cheap to clone.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

/// Who asks. Rights are looked up per topic.
#[derive(Clone)]
pub struct Caller {
    /// `None`: no credentials were needed; everything is allowed.
    user: Option<Arc<str>>,
    accounts: watch::Receiver<Arc<Accounts>>,
}

impl Caller {
    /// The user's name; `None` when no credentials were needed.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    fn rights(&self, topic: &TopicDefinition) -> Rights {
        match &self.user {
            None => Rights::ALL,
            Some(user) => {
                self.accounts.borrow().rights(user, topic.name.as_bytes(), topic.owner.as_deref())
            }
        }
    }

    fn may_create(&self, name: &TopicName) -> bool {
        self.user
            .as_ref()
            .is_none_or(|user| self.accounts.borrow().may_create(user, name.as_bytes()))
    }

    /// May see every topic and manage users.
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_none_or(|user| self.accounts.borrow().is_admin(user))
    }
}

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
    /// Levels of topics whose maker names none.
    pub levels: DefaultLevels,
    /// The store.
    pub journal: Journal,
    /// What topics hold in memory.
    pub memory: Arc<MemoryBudget>,
}

impl Broker {
    /// From its parts.
    pub fn new(parts: Parts) -> Broker {
        let Parts { registry, doorkeeper, accounts, limits, levels, journal, memory } = parts;
        Broker(Arc::new(Inner {
            registry,
            doorkeeper,
            accounts,
            limits,
            levels,
            journal,
            memory,
            started: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            connections: std::array::from_fn(|_| AtomicU64::new(0)),
        }))
    }

    /// Starts the topics that the store knew, on the given threads. Until then nothing is served.
    pub async fn begin(
        &self,
        loaded: Vec<Box<dyn Engine>>,
        arbiters: Vec<ArbiterHandle>,
    ) -> Result<(), BrokerError> {
        self.ask(Begin { arbiters, loaded }).await?;
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
        Caller { user: None, accounts: self.0.accounts.clone() }
    }

    /// Checks a password.
    ///
    /// Errors: `Unauthenticated`, `Busy` when too many checks are waiting.
    pub async fn login(&self, user: &str, password: &str) -> Result<Caller, BrokerError> {
        let login = Login { user: user.to_owned(), password: password.to_owned() };
        let user = self.0.doorkeeper.send(login).await.unwrap_or(Err(BrokerError::Stopping))?;
        Ok(Caller { user: Some(user), accounts: self.0.accounts.clone() })
    }

    /// Makes or changes a user.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin or changes its own password; store errors.
    pub async fn put_user(
        &self,
        caller: &Caller,
        user: &str,
        password: &str,
        role: Option<String>,
        topics: Option<Vec<String>>,
    ) -> Result<(), BrokerError> {
        let own_password = caller.user() == Some(user) && role.is_none() && topics.is_none();
        if !caller.is_admin() && !own_password {
            return Err(BrokerError::NotAllowed("users"));
        }
        let put = PutUser { user: user.to_owned(), password: password.to_owned(), role, topics };
        self.0.doorkeeper.send(put).await.unwrap_or(Err(BrokerError::Stopping))
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
            entry: Arc::new(entry),
            limits: self.0.limits.clone(),
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
        new.owner = caller.user().map(str::to_owned);
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

    /// Adds a queue to a topic.
    pub async fn create_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
        policy: QueuePolicy,
    ) -> Result<(), BrokerError> {
        self.topic(caller, topic).await?.need(Rights::MANAGE)?;
        self.ask(CreateQueue { topic: topic.clone(), queue, policy }).await?
    }

    /// Removes a queue of a topic with its messages.
    pub async fn delete_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
    ) -> Result<(), BrokerError> {
        self.topic(caller, topic).await?.need(Rights::MANAGE)?;
        self.ask(DeleteQueue { topic: topic.clone(), queue }).await?
    }

    /// The topics the caller may read, in the order they were made: at most `limit` behind the one
    /// numbered `after`, and the number to go on behind.
    pub async fn list_topics(
        &self,
        caller: &Caller,
        after: Option<u32>,
        limit: usize,
    ) -> Result<(Vec<TopicFigures>, Option<u32>), BrokerError> {
        let entries = self.ask(ListTopics).await?;
        let mut readable = entries
            .into_iter()
            .filter(|entry| after.is_none_or(|after| entry.definition.number > after))
            .filter(|entry| caller.rights(&entry.definition).contains(Rights::READ));
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
        let door = DOORS.iter().position(|known| *known == door).unwrap_or(0);
        if let Some(count) = self.0.connections.get(door) {
            count.fetch_add(1, Relaxed);
        }
        ConnectionGuard { broker: self.clone(), door }
    }

    /// The process now.
    pub fn state(&self) -> BrokerState {
        BrokerState {
            stopping: self.0.stopping.load(Relaxed),
            disk_full: self.0.journal.is_full(),
            memory_bytes: self.0.memory.resident(),
            memory_limit_bytes: self.0.memory.limit(),
            store: self.0.journal.figures(),
            connections: DOORS
                .iter()
                .zip(&self.0.connections)
                .map(|(door, count)| (*door, count.load(Relaxed)))
                .collect(),
        }
    }

    /// Takes no new topics, ends waiting receivers and subscribers, flushes every topic.
    pub async fn stop(&self) {
        self.0.stopping.store(true, Relaxed);
        // A registry that is gone has nothing to stop.
        let _ = self.ask(StopAll).await;
    }

    /// A stop has begun.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(Relaxed)
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
    limits: Arc<Limits>,
}

impl TopicHandle {
    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.entry.definition.name
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

    /// The same topic with another caller's rights.
    pub fn for_caller(mut self, caller: &Caller) -> Self {
        self.rights = caller.rights(&self.entry.definition);
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
            Op::Receive { .. } | Op::Find { .. } | Op::Peek { .. } | Op::List { .. } => {
                (Rights::READ, 0)
            }
            Op::Counts { .. } | Op::Read { .. } => (Rights::READ, 0),
            Op::Ack(named) => (Rights::READ, named.len()),
            Op::Nack(named) => (Rights::READ, named.len()),
            Op::Extend(named) => (Rights::READ, named.len()),
            Op::Delete { ids, .. } => (Rights::CLEAR, ids.len()),
            Op::Purge { .. } => (Rights::CLEAR, 0),
            Op::Redrive { .. } => (Rights::WRITE, 0),
        };
        self.need(rights)?;
        let limit = self.limits.batch_max;
        if items > limit {
            Err(BrokerError::TooMany { what: "items in one batch", limit })
        } else {
            Ok(())
        }
    }

    /// Sends a batch. What the caller may not do is answered in its slot; the rest is done in order.
    pub fn submit(&self, mut job: Job) {
        for slot in job.slots() {
            if let Slot::Op(op) = slot
                && let Err(error) = self.check(op)
            {
                *slot = Slot::Reply(Reply::Failed(error));
            }
        }
        self.entry.addr.do_send(job);
    }

    /// Sends one op and waits for its reply.
    ///
    /// Errors: `Unavailable` when the topic died with the op; refusals are in the reply.
    pub async fn ask(&self, op: Op) -> Result<Reply, BrokerError> {
        let (home, answer) = oneshot::channel();
        self.submit(Job::new(vec![Slot::Op(op)], Home::Once(home), 0));
        match answer.await.ok().and_then(|slots| slots.into_iter().next()) {
            Some(Slot::Reply(reply)) => Ok(reply),
            Some(Slot::Op(_)) | None => Err(BrokerError::Unavailable),
        }
    }

    /// Attaches a subscriber to a pubsub topic.
    ///
    /// Errors: `NotAllowed`, `Refused(WrongKind)`, store errors.
    pub async fn subscribe(
        &self,
        position: Option<Position>,
        format: PushFormat,
        slow: SlowPolicy,
    ) -> Result<Subscription, BrokerError> {
        self.need(Rights::READ)?;
        let subscribe = Subscribe { position, format, slow };
        self.entry.addr.send(subscribe).await.unwrap_or(Err(BrokerError::Unavailable))
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
        self.need(Rights::READ)?;
        self.entry.addr.send(Describe).await.unwrap_or(Err(BrokerError::Unavailable))
    }
}
