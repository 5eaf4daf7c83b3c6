//! What may be chosen per topic and per queue. Durations are milliseconds, zero means "none" where
//! the field says so.

use super::{Filter, NameError, QueueName, Timestamp, TopicName};
use serde::{Deserialize, Serialize};

/// What a topic does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Each message goes into every queue whose filter takes it.
    Broker,
    /// Each message is kept in a bounded history and pushed to every subscriber.
    Pubsub,
}

/// What a confirmation of the topic stands for. Ordered: `Memory < Async < Sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Never reaches the store.
    Memory,
    /// Committed to the store, synced within an interval: survives SIGKILL.
    Async,
    /// Synced before the confirmation: survives power loss.
    Sync,
}

impl Level {
    /// Its name, the one it is stored and asked for by.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Memory => "memory",
            Level::Async => "async",
            Level::Sync => "sync",
        }
    }
}

/// What happens to a publish that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The publisher is told.
    Refuse,
    /// The oldest waiting messages make room; counted.
    DropOldest,
}

/// Where a message goes back after a missed deadline, a nack or a release. Kept in memory only: after
/// a restart it lies at its own place again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Returns {
    /// To its own place.
    #[default]
    Place,
    /// To the front: it is handed out next. Missed deadlines within [`TOGETHER_MS`] count as one
    /// moment; what comes back at one moment is in the order in which it was handed out.
    Front,
    /// To the back, behind all that waits.
    Back,
}

/// Milliseconds within which missed deadlines count as one moment; see [`Returns::Front`].
pub const TOGETHER_MS: u64 = 1000;

/// Settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopicPolicy {
    /// What a confirmation stands for.
    pub durability: Level,
    /// Most messages kept; 0 is unlimited. For pubsub: messages nobody has claimed yet.
    pub capacity: u64,
    /// Most bytes of bodies kept; 0 is unlimited.
    pub bytes_max: u64,
    /// What happens above `capacity` or `bytes_max`.
    pub overflow: Overflow,
    /// Time to live of a message that names none; 0 is for ever.
    pub ttl_ms: u64,
    /// How long a dedup key is remembered.
    pub dedup_window_ms: u64,
    /// Most dedup keys remembered; the oldest goes first.
    pub dedup_keys_max: usize,
    /// pubsub: how many claimed messages stay readable.
    pub history_messages: u64,
    /// pubsub: how many bytes of them.
    pub history_bytes: u64,
    /// pubsub: for how long; 0 is for ever.
    pub history_ms: u64,
    /// Refuse publishes.
    pub paused_in: bool,
    /// Who looks is shown neither bodies nor the values of attributes, unless it is an administrator or
    /// the topic is its own.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub mask_payloads: bool,
}

impl Default for TopicPolicy {
    fn default() -> Self {
        TopicPolicy {
            durability: Level::Sync,
            capacity: 0,
            bytes_max: 0,
            overflow: Overflow::Refuse,
            ttl_ms: 0,
            dedup_window_ms: 300_000,
            dedup_keys_max: 1_000_000,
            history_messages: 100_000,
            history_bytes: 64 << 20,
            history_ms: 0,
            paused_in: false,
            mask_payloads: false,
        }
    }
}

/// Another queue, named from anywhere. The topic [`TopicName::unattached`] stands for whichever has it:
/// a global queue is named so, and its name stays good when it goes to another topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueueAddress {
    /// Its topic.
    #[serde(with = "name_text")]
    pub topic: TopicName,
    /// Its name in that topic.
    #[serde(with = "name_text")]
    pub queue: QueueName,
}

/// Settings of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueuePolicy {
    /// How long a consumer has when it names no deadline.
    pub ack_deadline_ms: u64,
    /// A message that failed this often becomes a dead letter; 0 is never.
    pub max_deliveries: u32,
    /// Wait after the 1st, 2nd, ... failed delivery; the last entry repeats. Empty: no wait.
    pub backoff_ms: Vec<u64>,
    /// Where a message goes back.
    pub returns: Returns,
    /// Where dead letters go; `None`: they stay in this queue, in state dead.
    pub dead_letter: Option<QueueAddress>,
    /// `max_deliveries` counts only while `dead_letter` names a queue.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub limit_needs_target: bool,
    /// Most dead letters kept in this queue; the oldest goes first. 0 is unlimited.
    pub dead_max: u64,
    /// How long an unacked message is kept; 0 is for ever.
    pub retention_ms: u64,
    /// Most messages waiting (ready and delayed); 0 is unlimited.
    pub messages_max: u64,
    /// Most bytes of bodies waiting; 0 is unlimited.
    pub bytes_max: u64,
    /// What happens above those two.
    pub overflow: Overflow,
    /// Each message waits this long before it is ready.
    pub delay_ms: u64,
    /// Which messages of the topic this queue takes; `None` takes all.
    pub filter: Option<Filter>,
    /// Refuse publishes that would reach this queue.
    pub paused_in: bool,
    /// Hand out nothing.
    pub paused_out: bool,
    /// It can be named without its topic; no two such queues have the same name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub global: bool,
    /// When the settings were changed last; the broker's to set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_at: Option<Timestamp>,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        QueuePolicy {
            ack_deadline_ms: 30_000,
            max_deliveries: 16,
            backoff_ms: Vec::new(),
            returns: Returns::Place,
            dead_letter: None,
            limit_needs_target: false,
            dead_max: 100_000,
            retention_ms: 0,
            messages_max: 0,
            bytes_max: 0,
            overflow: Overflow::Refuse,
            delay_ms: 0,
            filter: None,
            paused_in: false,
            paused_out: false,
            global: false,
            changed_at: None,
        }
    }
}

/// A queue that messages move to, as their own topic must know it: the number, and what the
/// settings there do to a message that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The queue's number.
    pub queue: u32,
    /// Its delay.
    pub delay_ms: u64,
    /// How long it keeps messages; 0 is for ever.
    pub retention_ms: u64,
}

impl Target {
    /// A queue with its settings.
    pub fn new(queue: u32, policy: &QueuePolicy) -> Target {
        Target { queue, delay_ms: policy.delay_ms, retention_ms: policy.retention_ms }
    }
}

impl From<u32> for Target {
    /// A queue that takes messages as they come.
    fn from(queue: u32) -> Target {
        Target { queue, delay_ms: 0, retention_ms: 0 }
    }
}

/// Most entries of a backoff list, values of a filter and the like: a policy is small.
pub const POLICY_LIST_MAX: usize = 64;

/// Why a policy makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A list with more than [`POLICY_LIST_MAX`] entries.
    #[error("`{0}` has more than 64 entries")]
    ListTooLong(&'static str),
    /// A duration outside its bounds.
    #[error("`{0}` must be between {1} and {2} milliseconds")]
    Duration(&'static str, u64, u64),
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// The longest duration any setting takes: ten years.
pub const DURATION_MS_MAX: u64 = 10 * 365 * 24 * 3600 * 1000;

impl QueuePolicy {
    /// Checks the bounds of every field.
    pub fn check(&self) -> Result<(), PolicyError> {
        let durations = [
            ("ack_deadline_ms", self.ack_deadline_ms, 1),
            ("retention_ms", self.retention_ms, 0),
            ("delay_ms", self.delay_ms, 0),
        ];
        for (name, value, least) in durations {
            if value < least || value > DURATION_MS_MAX {
                return Err(PolicyError::Duration(name, least, DURATION_MS_MAX));
            }
        }
        if self.backoff_ms.len() > POLICY_LIST_MAX {
            return Err(PolicyError::ListTooLong("backoff_ms"));
        }
        if self.backoff_ms.iter().any(|wait| *wait > DURATION_MS_MAX) {
            return Err(PolicyError::Duration("backoff_ms", 0, DURATION_MS_MAX));
        }
        Ok(())
    }
}

impl TopicPolicy {
    /// Checks the bounds of every field.
    pub fn check(&self) -> Result<(), PolicyError> {
        for (name, value) in [
            ("ttl_ms", self.ttl_ms),
            ("dedup_window_ms", self.dedup_window_ms),
            ("history_ms", self.history_ms),
        ] {
            if value > DURATION_MS_MAX {
                return Err(PolicyError::Duration(name, 0, DURATION_MS_MAX));
            }
        }
        Ok(())
    }
}

/// Names as JSON text: UTF-8 as it is; other bytes cannot be named in a policy.
mod name_text {
    use super::*;
    use serde::{Deserializer, Serializer, de::Error};

    pub trait Name: Sized {
        fn bytes(&self) -> &[u8];
        fn from_bytes(bytes: &[u8]) -> Result<Self, NameError>;
    }
    impl Name for TopicName {
        fn bytes(&self) -> &[u8] {
            self.as_bytes()
        }
        fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
            TopicName::parse(bytes)
        }
    }
    impl Name for QueueName {
        fn bytes(&self) -> &[u8] {
            self.as_bytes()
        }
        fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
            QueueName::parse(bytes)
        }
    }

    pub fn serialize<N: Name, S: Serializer>(name: &N, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&String::from_utf8_lossy(name.bytes()))
    }
    pub fn deserialize<'de, N: Name, D: Deserializer<'de>>(d: D) -> Result<N, D::Error> {
        let text = String::deserialize(d)?;
        N::from_bytes(text.as_bytes()).map_err(D::Error::custom)
    }
}
