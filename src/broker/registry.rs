//! The registry: name to topic address. It makes, supervises, lists and removes topics, and knows
//! which topic has which queue. Sessions ask it once per connection and topic, never per message.

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
    sync::Arc,
};

/// The actor that knows all topics.
pub struct Registry {
    by_number: BTreeMap<u32, TopicEntry>,
    by_name: FxHashMap<TopicName, u32>,
    /// Queue number to topic number and queue name.
    queues: FxHashMap<u32, (u32, QueueName)>,
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
            queues: FxHashMap::default(),
            next_topic: numbers.0 + 1,
            next_queue: numbers.1 + 1,
            factory,
            limits,
            arbiters: Vec::new(),
            stopping: false,
        }
    }

    fn start_topic(&mut self, engine: Box<dyn Engine>, ctx: &mut Context<Self>) -> TopicEntry {
        let definition = Arc::new(engine.definition().clone());
        for queue in engine.queues() {
            self.next_queue = self.next_queue.max(queue.number + 1);
            self.queues.insert(queue.number, (definition.number, queue.name));
        }
        self.next_topic = self.next_topic.max(definition.number + 1);
        let (factory, limits) = (self.factory.clone(), self.limits.clone());
        let registry = ctx.address().downgrade();
        let mut hasher = FxHasher::default();
        definition.name.hash(&mut hasher);
        let at = hasher.finish() as usize % self.arbiters.len().max(1);
        let topic =
            move |_: &mut Context<TopicActor>| TopicActor::new(engine, factory, registry, limits);
        let addr = match self.arbiters.get(at) {
            Some(arbiter) => Supervisor::start_in_arbiter(arbiter, topic),
            None => Supervisor::start(topic),
        };
        let entry = TopicEntry { addr, definition: definition.clone(), gone: Arc::default() };
        self.by_name.insert(definition.name.clone(), definition.number);
        self.by_number.insert(definition.number, entry.clone());
        entry
    }

    fn forget(&mut self, number: u32) -> Option<TopicEntry> {
        let entry = self.by_number.remove(&number)?;
        self.by_name.remove(&entry.definition.name);
        self.queues.retain(|_, (topic, _)| *topic != number);
        entry.gone.store(true, std::sync::atomic::Ordering::Relaxed);
        Some(entry)
    }

    fn entry(&self, name: &TopicName) -> Result<&TopicEntry, BrokerError> {
        let number = self.by_name.get(name);
        number
            .and_then(|number| self.by_number.get(number))
            .ok_or_else(|| BrokerError::TopicNotFound(name.clone()))
    }

    /// The number of the queue that dead letters go to. Both topics must be stored or both in
    /// memory, since a move is one record.
    fn dead_letter(
        &self,
        policy: &QueuePolicy,
        own: (&TopicName, Level, &[(QueueName, u32)]),
    ) -> Result<Option<u32>, BrokerError> {
        let Some(target) = &policy.dead_letter else { return Ok(None) };
        let (name, level, siblings) = own;
        if target.topic == *name
            && let Some((_, number)) = siblings.iter().find(|(sibling, _)| *sibling == target.queue)
        {
            return Ok(Some(*number));
        }
        let entry = self.entry(&target.topic)?;
        let stored = |level: Level| level != Level::Memory;
        if stored(entry.definition.policy.durability) != stored(level) {
            return Err(Refusal::OutOfBounds("dead_letter").into());
        }
        self.queue_number(entry.definition.number, &target.queue)
            .map(Some)
            .ok_or(Refusal::QueueNotFound.into())
    }

    fn queue_number(&self, topic: u32, name: &QueueName) -> Option<u32> {
        self.queues
            .iter()
            .find(|(_, (of, queue))| *of == topic && queue == name)
            .map(|(number, _)| *number)
    }

    fn make(
        &mut self,
        new: NewTopic,
        ctx: &mut Context<Self>,
    ) -> Result<(TopicEntry, Vec<Change>), BrokerError> {
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
        let level = new.policy.durability;
        let mut siblings: Vec<(QueueName, u32)> = Vec::with_capacity(new.queues.len());
        for (at, (name, policy)) in (self.next_queue..).zip(&new.queues) {
            policy.check().map_err(|_| Refusal::OutOfBounds("queue policy"))?;
            if siblings.iter().any(|(sibling, _)| sibling == name) {
                return Err(Refusal::QueueExists.into());
            }
            siblings.push((name.clone(), at));
        }
        let targets: Result<Vec<_>, _> = new
            .queues
            .iter()
            .map(|(_, policy)| self.dead_letter(policy, (&new.name, level, &siblings)))
            .collect();
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
        let topic = definition.number;
        let changes = new
            .queues
            .into_iter()
            .zip(&siblings)
            .zip(targets?)
            .map(|(((name, policy), (_, number)), target)| {
                Change::AddQueue(
                    Box::new(QueueDefinition { number: *number, topic, name, policy, created_at }),
                    target,
                )
            })
            .collect();
        for (name, number) in siblings {
            self.next_queue = number + 1;
            self.queues.insert(number, (topic, name));
        }
        let entry = self.start_topic(self.factory.create(definition), ctx);
        Ok((entry, changes))
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
}

impl Handler<Begin> for Registry {
    type Result = ();

    fn handle(&mut self, begin: Begin, ctx: &mut Context<Self>) {
        self.arbiters = begin.arbiters;
        for engine in begin.loaded {
            self.start_topic(engine, ctx);
        }
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
        let (entry, changes) = match self.make(new, ctx) {
            Ok(made) => made,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let addr = entry.addr.clone();
        let defining = async move {
            for change in changes {
                reshape(&addr, change).await?;
            }
            reshape(&addr, Change::Settle).await
        };
        Box::pin(defining.into_actor(self).map(move |defined, registry, _| match defined {
            Ok(()) => Ok(entry),
            Err(error) => {
                registry.forget(entry.definition.number);
                Err(error)
            }
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

impl Handler<CreateQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, new: CreateQueue, _: &mut Context<Self>) -> Self::Result {
        let checked = (|| {
            new.policy.check().map_err(|_| Refusal::OutOfBounds("queue policy"))?;
            let entry = self.entry(&new.topic)?.clone();
            if self.queue_number(entry.definition.number, &new.queue).is_some() {
                return Err(Refusal::QueueExists.into());
            }
            let level = entry.definition.policy.durability;
            let own = [(new.queue.clone(), self.next_queue)];
            let target = self.dead_letter(&new.policy, (&new.topic, level, &own))?;
            Ok::<_, BrokerError>((entry, target))
        })();
        let (entry, target) = match checked {
            Ok(checked) => checked,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let number = self.next_queue;
        self.next_queue += 1;
        let topic = entry.definition.number;
        self.queues.insert(number, (topic, new.queue.clone()));
        let definition = QueueDefinition {
            number,
            topic,
            name: new.queue,
            policy: new.policy,
            created_at: clock::now(),
        };
        let adding = async move {
            reshape(&entry.addr, Change::AddQueue(Box::new(definition), target)).await
        };
        Box::pin(adding.into_actor(self).map(move |added, registry, _| {
            if added.is_err() {
                registry.queues.remove(&number);
            }
            added
        }))
    }
}

impl Handler<DeleteQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, gone: DeleteQueue, _: &mut Context<Self>) -> Self::Result {
        let found = self.entry(&gone.topic).cloned().and_then(|entry| {
            match self.queue_number(entry.definition.number, &gone.queue) {
                Some(number) => Ok((entry, number)),
                None => Err(Refusal::QueueNotFound.into()),
            }
        });
        let (entry, number) = match found {
            Ok(found) => found,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        self.queues.remove(&number);
        Box::pin(
            async move { reshape(&entry.addr, Change::DropQueue(number)).await }.into_actor(self),
        )
    }
}

impl Handler<Departed> for Registry {
    type Result = ();

    fn handle(&mut self, Departed(leaving): Departed, _: &mut Context<Self>) {
        let mut by_topic: BTreeMap<u32, Vec<Leaving>> = BTreeMap::new();
        for message in leaving {
            match self.queues.get(&message.to_queue) {
                Some((topic, _)) => by_topic.entry(*topic).or_default().push(message),
                None => log::warn!("message {} left for a queue that is gone", message.message.id),
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
