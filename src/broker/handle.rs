//! The door of the broker: everything a dialect can ask for, with the caller's rights checked.

mod accounts;
mod backups;
mod caller;
mod dead;
mod inside;
mod listing;
mod observing;
mod queues;
mod replying;
mod searching;
mod sessions;
mod state;
mod tokens;
mod topic;

pub use backups::Backup;
pub use caller::Caller;
pub use dead::{DeadFound, DeadSearch, DeadSpot};
pub use observing::{DeadQueue, Presence};
pub use searching::{Found, Search};
pub use sessions::NewSession;
pub use state::{BrokerState, ConnectionGuard};
pub use topic::{Asked, Consumer, TopicHandle};

use super::connections::Connections;
use super::doorkeeper::{Doorkeeper, Login};
use super::logs::LogKeeper;
use super::messages::*;
use super::observer::{BeginToLook, Observer, Observing};
use super::redrives::Redrives;
use super::registry::{Begin, Registry};
use super::replies::Replies;
use super::sessions::{SessionBounds, Sessions};
use super::{BrokerError, Limits, clock};
use crate::auth::{Accounts, Rights};
use crate::engine::{Engine, local::MemoryBudget};
use crate::journal::Journal;
use crate::queue::*;
use actix::{Actor as _, Addr};
use actix_rt::ArbiterHandle;
use state::DOORS;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use tokio::sync::{Semaphore, watch};

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
        self.0.observer.do_send(BeginToLook);
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
}
