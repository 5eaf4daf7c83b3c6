//! What a worker has learnt of topics and queues, good until the directory changes.

use crate::broker::{Broker, BrokerError, Caller, TopicHandle};
use crate::queue::*;
use rustc_hash::FxHashMap;
use std::{cell::RefCell, sync::Arc};

/// Names one worker remembers.
const NAMES_MAX: usize = 10_000;

/// A queue that was found by its id.
#[derive(Clone)]
pub struct FoundQueue {
    /// Its topic.
    pub topic: TopicHandle,
    /// What defines it.
    pub definition: Arc<QueueDefinition>,
}

impl FoundQueue {
    /// How the registry names it.
    pub fn address(&self) -> QueueAddress {
        let topic = match self.definition.policy.global {
            true => TopicName::unattached(),
            false => self.topic.name().clone(),
        };
        QueueAddress { topic, queue: self.definition.name.clone() }
    }
}

#[derive(Default)]
struct Memory {
    version: u64,
    topics: FxHashMap<TopicName, TopicHandle>,
    queues: FxHashMap<QueueName, FoundQueue>,
    salts: FxHashMap<u32, TopicHandle>,
}

/// Looks names up, and remembers.
pub struct Known {
    broker: Broker,
    memory: RefCell<Memory>,
}

impl Known {
    /// Nothing yet.
    pub fn new(broker: Broker) -> Known {
        Known { broker, memory: RefCell::default() }
    }

    /// What is remembered, if it still holds.
    fn recall<T>(&self, find: impl FnOnce(&Memory) -> Option<T>) -> (u64, Option<T>) {
        let version = self.broker.directory_version();
        let mut memory = self.memory.borrow_mut();
        if memory.version != version {
            *memory = Memory { version, ..Memory::default() };
        }
        (version, find(&memory))
    }

    /// Remembers what was learnt while the directory had this version.
    fn remember(&self, version: u64, put: impl FnOnce(&mut Memory)) {
        let mut memory = self.memory.borrow_mut();
        if memory.version != version {
            return;
        }
        if memory.topics.len() + memory.queues.len() + memory.salts.len() >= NAMES_MAX {
            *memory = Memory { version, ..Memory::default() };
        }
        put(&mut memory);
    }

    /// The topic of that name.
    pub async fn topic(
        &self,
        caller: &Caller,
        name: &TopicName,
    ) -> Result<TopicHandle, BrokerError> {
        let (version, known) = self.recall(|memory| memory.topics.get(name).cloned());
        if let Some(topic) = known {
            return Ok(topic.for_caller(caller));
        }
        if name.is_unattached() {
            return Err(BrokerError::TopicNotFound(name.clone()));
        }
        let topic = self.broker.topic(caller, name).await?;
        self.remember(version, |memory| drop(memory.topics.insert(name.clone(), topic.clone())));
        Ok(topic)
    }

    /// The queue with that id: the one that is called so everywhere, or `default` of the topic of
    /// that name, or (`topic/queue`) any queue of a topic.
    ///
    /// Errors: `Refused(QueueNotFound)`.
    pub async fn queue(&self, caller: &Caller, id: &[u8]) -> Result<FoundQueue, BrokerError> {
        let missing = || BrokerError::from(Refusal::QueueNotFound);
        let name = QueueName::parse(id).map_err(|_| missing())?;
        let (version, known) = self.recall(|memory| memory.queues.get(&name).cloned());
        if let Some(found) = known {
            return Ok(FoundQueue { topic: found.topic.for_caller(caller), ..found });
        }
        let (topic, definition) = match self.broker.find_queue(caller, &name).await {
            Err(BrokerError::Refused(Refusal::QueueNotFound)) => {
                self.queue_of_topic(caller, id).await?
            }
            found => found?,
        };
        let found = FoundQueue { topic, definition };
        self.remember(version, |memory| drop(memory.queues.insert(name, found.clone())));
        Ok(found)
    }

    async fn queue_of_topic(
        &self,
        caller: &Caller,
        id: &[u8],
    ) -> Result<(TopicHandle, Arc<QueueDefinition>), BrokerError> {
        let missing = || BrokerError::from(Refusal::QueueNotFound);
        let whole = (TopicName::parse(id).map_err(|_| missing())?, QueueName::default_queue());
        for (topic, queue) in [Some(whole), name::split_address(id)].into_iter().flatten() {
            match self.broker.queue(caller, &topic, &queue).await {
                Err(
                    BrokerError::TopicNotFound(_) | BrokerError::Refused(Refusal::QueueNotFound),
                ) => (),
                found => return found,
            }
        }
        Err(missing())
    }

    /// The topic whose messages have ids with this salt, if there is one.
    pub async fn topic_of(
        &self,
        caller: &Caller,
        origin: Origin,
    ) -> Result<Option<TopicHandle>, BrokerError> {
        let (version, known) = self.recall(|memory| memory.salts.get(&origin.salt).cloned());
        if let Some(topic) = known {
            return Ok(Some(topic.for_caller(caller)));
        }
        let found = self.broker.topic_of_origin(caller, origin).await?;
        if let Some(topic) = &found {
            self.remember(version, |memory| drop(memory.salts.insert(origin.salt, topic.clone())));
        }
        Ok(found)
    }
}
