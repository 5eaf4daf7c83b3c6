//! The topics a connection has named: what they are called in the broker, where they are, and how
//! far this connection has read them.

use crate::broker::{Broker, BrokerError, Caller, NewTopic, TopicHandle};
use crate::config::DsmqConfig;
use crate::queue::name::{NAME_BYTES_MAX, split_address};
use crate::queue::{Kind, Overflow, QueueName, TopicName, TopicPolicy};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt::Write as _};

/// Begins the names of topics whose dsmq name cannot be a topic's name.
const ESCAPE: &str = "dsmq~";
/// Bytes of such a name that are kept to be recognised.
const SHOWN_BYTES_MAX: usize = 180;

/// What a dsmq name is in the broker: the name itself, if it can be one (1 to 255 bytes).
///
/// Any JSON text is a dsmq name. One that is empty or too long (or looks like what follows) becomes
/// `dsmq~`, its beginning, `~` and its SHA-256 in hexadecimal: two names never meet in one topic,
/// and other doors reach the topic by that name.
pub fn broker_name(name: &str) -> Cow<'_, str> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.starts_with(ESCAPE) {
        return name.into();
    }
    let shown = name.floor_char_boundary(SHOWN_BYTES_MAX);
    let mut escaped = format!("{ESCAPE}{}~", name.get(..shown).unwrap_or_default());
    for byte in Sha256::digest(name.as_bytes()) {
        // Writing into a String cannot fail.
        let _ = write!(escaped, "{byte:02x}");
    }
    escaped.into()
}

/// A topic, or one queue of it.
pub struct Target {
    /// The topic.
    pub handle: TopicHandle,
    /// The queue; `None`: the topic itself, or its default queue.
    pub queue: Option<QueueName>,
}

/// What a connection knows of one topic.
pub struct Place {
    name: TopicName,
    target: Option<Target>,
    /// The number behind which this connection goes on; `None`: its start.
    pub position: Option<u64>,
    /// The round in which there was no such topic.
    missing: u64,
}

/// All topics one connection has named.
#[derive(Default)]
pub struct Places {
    by_name: FxHashMap<TopicName, usize>,
    places: Vec<Place>,
    round: u64,
}

impl Places {
    /// Makes room for a new round: at most `max` topics are remembered, and those that were read
    /// must be. False: they are too many.
    pub fn begin_round(&mut self, max: usize) -> bool {
        self.round += 1;
        if self.places.len() <= max {
            return true;
        }
        self.places.retain(|place| place.position.is_some());
        let names = self.places.iter().enumerate();
        self.by_name = names.map(|(at, place)| (place.name.clone(), at)).collect();
        self.places.len() <= max
    }

    /// The place of the topic with this dsmq name. Valid until the next round.
    ///
    /// Errors: a name that no topic can have; there is none.
    pub fn find(&mut self, name: &str) -> Result<usize, crate::queue::NameError> {
        let name = broker_name(name);
        if let Some(at) = self.by_name.get(name.as_bytes()) {
            return Ok(*at);
        }
        let name = TopicName::parse(name.as_bytes())?;
        let at = self.places.len();
        self.by_name.insert(name.clone(), at);
        self.places.push(Place { name, target: None, position: None, missing: 0 });
        Ok(at)
    }

    /// What is known of it.
    pub fn get(&mut self, place: usize) -> Option<&mut Place> {
        self.places.get_mut(place)
    }

    /// Where it is, once [`Places::resolve`] has found it.
    pub fn target(&self, place: usize) -> Option<&Target> {
        self.places.get(place)?.target.as_ref()
    }

    /// Looks the topic up, unless it is known. `maker`: makes it when there is none.
    pub async fn resolve(
        &mut self,
        place: usize,
        maker: &Maker,
        make: bool,
    ) -> Result<(), BrokerError> {
        let round = self.round;
        let Some(place) = self.places.get_mut(place) else { return Err(BrokerError::Unavailable) };
        if place.target.as_ref().is_some_and(|target| target.handle.is_current()) {
            return Ok(());
        }
        place.target = None;
        let missing = || Err(BrokerError::TopicNotFound(place.name.clone()));
        if place.missing == round && !make {
            return missing();
        }
        let found = match maker.look_up(&place.name).await {
            Err(BrokerError::TopicNotFound(_)) if make => maker.make(&place.name).await,
            Err(BrokerError::TopicNotFound(_)) => {
                place.missing = round;
                return missing();
            }
            found => found,
        };
        place.target = Some(found?);
        Ok(())
    }
}

/// Finds topics, and makes those that are put to first.
pub struct Maker {
    broker: Broker,
    caller: Caller,
    policy: TopicPolicy,
}

impl Maker {
    /// For one connection.
    pub fn new(broker: Broker, caller: Caller, config: &DsmqConfig) -> Self {
        // What nobody has claimed and what is kept for reading have bounds of their own.
        let policy = TopicPolicy {
            durability: config.durability,
            capacity: config.max_messages_per_topic,
            bytes_max: config.max_bytes_per_topic,
            overflow: Overflow::DropOldest,
            ttl_ms: config.retention_seconds.saturating_mul(1000),
            history_messages: config.max_messages_per_topic,
            history_bytes: config.max_bytes_per_topic,
            history_ms: config.retention_seconds.saturating_mul(1000),
            ..TopicPolicy::default()
        };
        Maker { broker, caller, policy }
    }

    /// `topic/queue` means that queue, where there is one.
    async fn look_up(&self, name: &TopicName) -> Result<Target, BrokerError> {
        if let Some((topic, queue)) = split_address(name.as_bytes())
            && let Ok(handle) = self.broker.topic(&self.caller, &topic).await
            && handle.has_queue(&queue).await
        {
            return Ok(Target { handle, queue: Some(queue) });
        }
        Ok(Target { handle: self.broker.topic(&self.caller, name).await?, queue: None })
    }

    async fn make(&self, name: &TopicName) -> Result<Target, BrokerError> {
        let new = NewTopic {
            name: name.clone(),
            kind: Kind::Pubsub,
            policy: self.policy.clone(),
            queues: Vec::new(),
            owner: None,
        };
        let handle = match self.broker.create_topic(&self.caller, new).await {
            // Somebody else was first.
            Err(BrokerError::TopicExists(_)) => self.broker.topic(&self.caller, name).await?,
            made => made?,
        };
        Ok(Target { handle, queue: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_can_be_a_topics_is_one() {
        for name in ["t", "a b/c", "dsmq", "\0", &"x".repeat(255), &"é".repeat(127)] {
            assert_eq!(broker_name(name), name);
        }
    }

    #[test]
    fn other_names_are_told_apart_and_fit() {
        let empty = "dsmq~~e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(broker_name(""), empty);
        let names = [
            "".to_owned(),
            empty.to_owned(),
            "dsmq~".to_owned(),
            "x".repeat(256),
            "x".repeat(257),
            "é".repeat(128),
            format!("{}y", "x".repeat(255)),
            broker_name(empty).into_owned(),
        ];
        let escaped: Vec<_> = names.iter().map(|name| broker_name(name)).collect();
        for (at, name) in escaped.iter().enumerate() {
            assert!(
                TopicName::parse(name.as_bytes()).is_ok() && name.starts_with(ESCAPE),
                "{name}"
            );
            assert!(!escaped[..at].contains(name), "{name}");
        }
    }
}
