//! Which topic, and which queue of it, the name of an okQ queue means.

use super::session::Talk;
use crate::broker::{BrokerError, Caller, NewTopic, TopicHandle};
use crate::config::TopicLevel;
use crate::queue::*;
use bytes::Bytes;

/// Queues whose topics a session remembers.
const TARGETS_MAX: usize = 256;

/// okQ allows a queue without a name; topics must have one.
const UNNAMED: &[u8] = b"\0okq: the queue without a name";

/// A topic, or one queue of it.
#[derive(Clone)]
pub struct Target {
    /// The topic.
    pub handle: TopicHandle,
    /// `None`: the queue `default`; what is pushed goes into every queue of the topic.
    pub queue: Option<QueueName>,
    /// Its messages were large lately: few are popped at a time.
    pub large: bool,
}

/// A name okQ clients use, as the name of a topic.
pub fn topic_name(queue: &[u8]) -> Result<TopicName, BrokerError> {
    let name = if queue.is_empty() { UNNAMED } else { queue };
    // Only its length can be wrong.
    TopicName::parse(name).map_err(|_| BrokerError::TooMany {
        what: "bytes in the name of a queue",
        limit: name::NAME_BYTES_MAX,
    })
}

/// The name okQ clients use for a queue of a topic.
pub fn queue_name(topic: &TopicName, queue: &QueueName) -> Vec<u8> {
    let topic = if topic.as_bytes() == UNNAMED { &[] } else { topic.as_bytes() };
    if queue.as_bytes() == name::DEFAULT_QUEUE.as_bytes() {
        return topic.to_vec();
    }
    [topic, b"/", queue.as_bytes()].concat()
}

/// The settings of the queues that are made here: nothing ever dies, and what comes back is next.
fn queue_policy() -> QueuePolicy {
    QueuePolicy {
        ack_deadline_ms: 30_000,
        max_deliveries: 0,
        returns: Returns::Front,
        ..QueuePolicy::default()
    }
}

impl Talk {
    /// The target of a name that was met before and is still there.
    #[inline]
    pub fn known(&self, queue: &[u8]) -> Option<&Target> {
        self.targets.get(queue).filter(|target| target.handle.is_current())
    }

    /// The target of a name; `None`: there is no such topic.
    pub async fn find(
        &mut self,
        caller: &Caller,
        queue: &[u8],
    ) -> Result<Option<Target>, BrokerError> {
        if let Some(target) = self.known(queue) {
            return Ok(Some(target.clone()));
        }
        self.targets.remove(queue);
        match self.look_up(caller, queue).await {
            Ok(target) => {
                self.remember(queue, target.clone());
                Ok(Some(target))
            }
            Err(BrokerError::TopicNotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn look_up(&self, caller: &Caller, queue: &[u8]) -> Result<Target, BrokerError> {
        let broker = self.broker();
        if let Some((topic, queue)) = name::split_address(queue)
            && let Ok(handle) = broker.topic(caller, &topic).await
            && handle.has_queue(&queue).await
        {
            return Ok(Target { handle, queue: Some(queue), large: false });
        }
        let handle = broker.topic(caller, &topic_name(queue)?).await?;
        Ok(Target { handle, queue: None, large: false })
    }

    /// The target of a name, made if it is not there.
    pub async fn find_or_make(
        &mut self,
        caller: &Caller,
        queue: &[u8],
    ) -> Result<Target, BrokerError> {
        if let Some(target) = self.find(caller, queue).await? {
            return Ok(target);
        }
        let name = topic_name(queue)?;
        let mut policy = self.broker().default_policy(Kind::Broker);
        policy.durability = match self.config().durability {
            TopicLevel::Default => policy.durability,
            TopicLevel::Memory => Level::Memory,
            TopicLevel::Async => Level::Async,
            TopicLevel::Sync => Level::Sync,
        };
        let queues = vec![(QueueName::default_queue(), queue_policy())];
        let new = NewTopic { name: name.clone(), kind: Kind::Broker, policy, queues, owner: None };
        let made = self.broker().create_topic(caller, new).await;
        let handle = match made {
            // Somebody else was faster.
            Err(BrokerError::TopicExists(_)) => self.broker().topic(caller, &name).await?,
            made => made?,
        };
        let target = Target { handle, queue: None, large: false };
        self.remember(queue, target.clone());
        Ok(target)
    }

    fn remember(&mut self, queue: &[u8], target: Target) {
        if self.targets.len() >= TARGETS_MAX {
            self.targets.clear();
        }
        self.targets.insert(Bytes::copy_from_slice(queue), target);
    }
}
