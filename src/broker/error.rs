//! Every way a request can be refused. Doors match on it; none adds its own rules.

use crate::auth::AccountError;
use crate::engine::EngineError;
use crate::journal::JournalError;
use crate::queue::{Refusal, TopicName};

/// The one list of refusals.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// No topic of that name, or it was deleted meanwhile.
    #[error("topic `{0}` not found")]
    TopicNotFound(TopicName),
    /// The name is taken.
    #[error("topic `{0}` already exists")]
    TopicExists(TopicName),
    /// As many topics as there may be.
    #[error("there are {limit} topics, which is the limit")]
    TooManyTopics {
        /// `limits.topics_max`.
        limit: usize,
    },
    /// A backup of that name is kept already.
    #[error("there is a backup `{0}`")]
    BackupExists(String),
    /// The caller has not said who it is, or not truly.
    #[error("not authenticated")]
    Unauthenticated,
    /// The caller may not do this.
    #[error("not allowed: `{0}` on this topic")]
    NotAllowed(&'static str),
    /// A body above the limit.
    #[error("message of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Of the body, bytes.
        size: usize,
        /// `limits.body_bytes_max`.
        limit: usize,
    },
    /// More of something than fits.
    #[error("too many {what}: the limit is {limit}")]
    TooMany {
        /// Items of a batch, waiting receivers, ...
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A rule of the queue.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Of users and tokens.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Messages in memory are at `limits.memory_bytes`.
    #[error("the broker's memory for messages is full")]
    MemoryFull,
    /// No room on the disk; acks are still taken.
    #[error("the disk is full")]
    DiskFull,
    /// The store has as much to do as it may.
    #[error("the broker is busy, try again")]
    Busy,
    /// The store failed.
    #[error("{0}")]
    Store(String),
    /// The topic failed while it worked on this and is being rebuilt; whether it took effect is not known.
    #[error("the topic failed and is being rebuilt from what is durable")]
    Unavailable,
    /// The topic failed again and again and was given up.
    #[error("the topic failed repeatedly and is out of service until a restart")]
    TopicFailed,
    /// The broker is on its way out.
    #[error("the broker is stopping")]
    Stopping,
}

impl BrokerError {
    /// [`BrokerError::TooMany`] of these never fits, however often it is tried.
    pub const BATCH: &str = "items in one batch";
}

impl From<EngineError> for BrokerError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Refused(refusal) => BrokerError::Refused(refusal),
            EngineError::Memory { .. } => BrokerError::MemoryFull,
            EngineError::Store(store) => store.into(),
        }
    }
}

impl From<JournalError> for BrokerError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::DiskFull => BrokerError::DiskFull,
            JournalError::Busy => BrokerError::Busy,
            JournalError::Closed => BrokerError::Stopping,
            other => BrokerError::Store(other.to_string()),
        }
    }
}
