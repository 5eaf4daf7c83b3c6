//! The registry: name to topic address. It makes, supervises, lists and removes topics, and knows
//! which topic has which queue ([`Directory`]). Sessions ask it once per connection and topic, never
//! per message.
//!
//! A queue changes its settings or its topic in one go: whoever asks for it meanwhile waits.

mod queues;

use super::directory::Directory;
use super::gauge::Gauge;
use super::messages::*;
use super::topic::TopicActor;
use super::{BrokerError, Limits, clock};
use crate::engine::{Engine, EngineFactory};
use crate::queue::*;
use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, ResponseActFuture, Supervisor,
    WrapFuture, fut::ready,
};
use actix_rt::ArbiterHandle;
use rustc_hash::{FxHashMap, FxHasher};
use std::{
    collections::BTreeMap,
    hash::{Hash, Hasher},
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::oneshot;

/// The actor that knows all topics.
pub struct Registry {
    by_number: BTreeMap<u32, TopicEntry>,
    by_name: FxHashMap<TopicName, u32>,
    directory: Directory,
    /// Queues that are being changed, and who waits for the end of it.
    busy: FxHashMap<u32, Vec<oneshot::Sender<()>>>,
    /// What arrived for them meanwhile.
    parked: FxHashMap<u32, Vec<Leaving>>,
    /// The settings of the topic of queues without one.
    unattached: TopicPolicy,
    next_topic: u32,
    next_queue: u32,
    factory: Arc<dyn EngineFactory>,
    limits: Arc<Limits>,
    arbiters: Vec<ArbiterHandle>,
    stopping: bool,
}

impl Registry {
    /// A registry without topics, to be followed by [`Begin`]. Numbers for new topics and queues go
    /// on above `numbers` (topic, queue).
    pub fn new(factory: Arc<dyn EngineFactory>, numbers: (u32, u32), limits: Arc<Limits>) -> Self {
        Registry {
            by_number: BTreeMap::new(),
            by_name: FxHashMap::default(),
            directory: Directory::default(),
            busy: FxHashMap::default(),
            parked: FxHashMap::default(),
            unattached: TopicPolicy::default(),
            next_topic: numbers.0 + 1,
            next_queue: numbers.1 + 1,
            factory,
            limits,
            arbiters: Vec::new(),
            stopping: false,
        }
    }

    /// Grows with every change of the directory of topics and queues.
    pub fn version(&self) -> Arc<AtomicU64> {
        self.directory.version()
    }

    fn start_topic(&mut self, engine: Box<dyn Engine>, ctx: &mut Context<Self>) -> TopicEntry {
        let definition = Arc::new(engine.definition().clone());
        for queue in engine.queues() {
            self.next_queue = self.next_queue.max(queue.number + 1);
            let name = queue.name.clone();
            if self.directory.put(Arc::new(queue), None).is_err() {
                log::error!("topic {}: queue {name} has the name of another", definition.name);
            }
        }
        self.next_topic = self.next_topic.max(definition.number + 1);
        let (factory, limits) = (self.factory.clone(), self.limits.clone());
        let strangers = Arc::new(AtomicU64::new(engine.strangers()));
        let seen = strangers.clone();
        let gauge = Arc::<Gauge>::default();
        let written = gauge.clone();
        let registry = ctx.address().downgrade();
        let mut hasher = FxHasher::default();
        definition.name.hash(&mut hasher);
        let at = hasher.finish() as usize % self.arbiters.len().max(1);
        let topic = move |_: &mut Context<TopicActor>| {
            TopicActor::new(engine, factory, registry, limits, seen, written)
        };
        let addr = match self.arbiters.get(at) {
            Some(arbiter) => Supervisor::start_in_arbiter(arbiter, topic),
            None => Supervisor::start(topic),
        };
        let (definition_of, gone) = (definition.clone(), Arc::default());
        let entry = TopicEntry { addr, definition: definition_of, gone, strangers, gauge };
        self.directory.touch();
        self.by_name.insert(definition.name.clone(), definition.number);
        self.by_number.insert(definition.number, entry.clone());
        entry
    }

    fn forget(&mut self, number: u32) -> Option<TopicEntry> {
        let entry = self.by_number.remove(&number)?;
        self.by_name.remove(&entry.definition.name);
        let own = self.directory.all().filter(|known| known.definition.topic == number);
        let own: Vec<u32> = own.map(|known| known.definition.number).collect();
        for queue in own {
            self.directory.remove(queue);
            self.repoint(queue);
        }
        self.directory.touch();
        entry.gone.store(true, std::sync::atomic::Ordering::Relaxed);
        Some(entry)
    }

    fn entry(&self, name: &TopicName) -> Result<&TopicEntry, BrokerError> {
        let number = self.by_name.get(name);
        number
            .and_then(|number| self.by_number.get(number))
            .ok_or_else(|| BrokerError::TopicNotFound(name.clone()))
    }

    fn make(
        &mut self,
        new: NewTopic,
        ctx: &mut Context<Self>,
    ) -> Result<(TopicEntry, Vec<NewQueue>), BrokerError> {
        if self.stopping {
            return Err(BrokerError::Stopping);
        }
        if self.by_name.contains_key(&new.name) {
            return Err(BrokerError::TopicExists(new.name));
        }
        let limit = self.limits.topics_max;
        if limit > 0 && self.by_number.len() >= limit {
            return Err(BrokerError::TooManyTopics { limit });
        }
        new.policy.check().map_err(|_| Refusal::OutOfBounds("policy"))?;
        if new.kind == Kind::Pubsub && !new.queues.is_empty() {
            return Err(Refusal::WrongKind.into());
        }
        let created_at = clock::now();
        let definition = TopicDefinition {
            number: self.next_topic,
            name: new.name,
            kind: new.kind,
            policy: new.policy,
            salt: uuid::Uuid::new_v4().as_u128() as u32 & 0x03ff_ffff,
            epoch: uuid::Uuid::new_v4().as_u128() as u32 >> 1,
            owner: new.owner,
            created_at,
        };
        let own = (&definition.name, definition.number, definition.policy.durability);
        let queues = self.enter_queues(own, created_at, new.queues)?;
        let entry = self.start_topic(self.factory.create(definition), ctx);
        Ok((entry, queues))
    }
}

impl Actor for Registry {
    type Context = Context<Self>;
}

/// To the registry, once: where topics live, and those the store knew.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct Begin {
    /// The threads of the sessions; topics are placed on them by hash of their names.
    pub arbiters: Vec<ArbiterHandle>,
    /// Engines built from the store.
    pub loaded: Vec<Box<dyn Engine>>,
    /// The settings of the topic of queues that belong to none.
    pub unattached: TopicPolicy,
}

impl Handler<Begin> for Registry {
    type Result = ();

    fn handle(&mut self, begin: Begin, ctx: &mut Context<Self>) {
        (self.arbiters, self.unattached) = (begin.arbiters, begin.unattached);
        for engine in begin.loaded {
            self.start_topic(engine, ctx);
        }
        self.aim_all();
    }
}

async fn reshape(addr: &actix::Addr<TopicActor>, change: Change) -> Result<(), BrokerError> {
    addr.send(Reshape(change)).await.unwrap_or(Err(BrokerError::Unavailable))
}

impl Handler<Resolve> for Registry {
    type Result = Result<TopicEntry, BrokerError>;

    fn handle(&mut self, Resolve(name): Resolve, _: &mut Context<Self>) -> Self::Result {
        self.entry(&name).cloned()
    }
}

impl Handler<ListTopics> for Registry {
    type Result = Vec<TopicEntry>;

    fn handle(&mut self, _: ListTopics, _: &mut Context<Self>) -> Self::Result {
        self.by_number.values().cloned().collect()
    }
}

impl Handler<CreateTopic> for Registry {
    type Result = ResponseActFuture<Self, Result<TopicEntry, BrokerError>>;

    fn handle(&mut self, CreateTopic(new): CreateTopic, ctx: &mut Context<Self>) -> Self::Result {
        let (entry, queues) = match self.make(new, ctx) {
            Ok(made) => made,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let addr = entry.addr.clone();
        // In the mailbox now, before anybody can have the address: no job comes before its queue.
        let adding = addr.send(Reshape(Change::AddQueues(queues)));
        let defining = async move {
            adding.await.unwrap_or(Err(BrokerError::Unavailable))?;
            reshape(&addr, Change::Settle).await
        };
        Box::pin(defining.into_actor(self).map(move |defined, registry, _| match defined {
            Ok(()) => Ok(entry),
            Err(error) => {
                registry.forget(entry.definition.number);
                // Nothing of it shall be there after a restart.
                entry.addr.do_send(Reshape(Change::Delete));
                Err(error)
            }
        }))
    }
}

impl Handler<ChangeTopic> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(
        &mut self,
        ChangeTopic(name, revision): ChangeTopic,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let changed = (|| {
            let number = self.entry(&name)?.definition.number;
            let entry = self.by_number.get_mut(&number).ok_or(BrokerError::Unavailable)?;
            let before = entry.definition.clone();
            let policy = revision.of(&before.policy).ok_or(Refusal::OutOfBounds("policy"))?;
            policy.check().map_err(|_| Refusal::OutOfBounds("policy"))?;
            if policy.durability != before.policy.durability {
                return Err(Refusal::OutOfBounds("durability").into());
            }
            // Whoever changes it next builds on this; both reach the topic in this order.
            let definition = TopicDefinition::clone(&before);
            entry.definition = Arc::new(TopicDefinition { policy: policy.clone(), ..definition });
            Ok((entry.addr.clone(), before, policy))
        })();
        let (addr, before, policy) = match changed {
            Ok(changed) => changed,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let change = Change::SetTopic(Box::new(policy.clone()));
        let sent = addr.send(Reshape(change));
        let changing = async move { sent.await.unwrap_or(Err(BrokerError::Unavailable)) };
        Box::pin(changing.into_actor(self).map(move |changed, registry, _| {
            if changed.is_err()
                && let Some(entry) = registry.by_number.get_mut(&before.number)
                && entry.definition.policy == policy
            {
                entry.definition = before;
            }
            registry.directory.touch();
            changed
        }))
    }
}

impl Handler<DeleteTopic> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, DeleteTopic(name): DeleteTopic, _: &mut Context<Self>) -> Self::Result {
        let number = match self.entry(&name) {
            Ok(entry) => entry.definition.number,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let Some(entry) = self.forget(number) else {
            return Box::pin(ready(Err(BrokerError::TopicNotFound(name))));
        };
        Box::pin(async move { reshape(&entry.addr, Change::Delete).await }.into_actor(self))
    }
}

impl Handler<Departed> for Registry {
    type Result = ();

    fn handle(&mut self, Departed(leaving): Departed, _: &mut Context<Self>) {
        let mut by_topic: BTreeMap<u32, Vec<Leaving>> = BTreeMap::new();
        for message in leaving {
            let queue = message.to_queue;
            match self.directory.get(queue) {
                Some(_) if self.busy.contains_key(&queue) => {
                    self.parked.entry(queue).or_default().push(message);
                }
                Some(known) => by_topic.entry(known.definition.topic).or_default().push(message),
                None => {
                    log::warn!("message {} left for a queue that is gone", message.message.id())
                }
            }
        }
        for (topic, leaving) in by_topic {
            if let Some(entry) = self.by_number.get(&topic) {
                entry.addr.do_send(Adopt(leaving));
            }
        }
    }
}

impl Handler<StopAll> for Registry {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: StopAll, _: &mut Context<Self>) -> Self::Result {
        self.stopping = true;
        let topics: Vec<_> = self.by_number.values().map(|entry| entry.addr.clone()).collect();
        let stopping = async move {
            let all = topics.iter().map(|topic| reshape(topic, Change::Stop));
            for result in futures_util::future::join_all(all).await {
                if let Err(error) = result {
                    log::warn!("a topic did not stop in order: {error}");
                }
            }
        };
        Box::pin(stopping.into_actor(self))
    }
}
