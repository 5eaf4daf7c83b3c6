//! Copies what lies in a store of one of the originals into octoq's own: topics, queues, messages
//! with their state.
//!
//! One file per original says what it finds there, in the words below; [`run`] makes the topics and
//! publishes. A [`Source`] only reads: which commands it sends stands at the head of its file.
//! `remembered` knows what was copied before, so that a second run copies only what is new.
//!
//! Invariants:
//! - a message is remembered only after the broker has confirmed it;
//! - nothing is written to a source;
//! - a layout that is not recognised is refused, never guessed at.

pub mod blockqueue;
pub mod dsmq;
pub mod fastqueue;
pub mod octoque;
pub mod okq;
mod postgres;
pub mod remembered;
pub mod report;
pub mod run;
mod sqlite;
mod time;

use crate::broker::BrokerError;
use crate::queue::{
    DeadLetter, Kind, Level, NameError, QueueName, QueuePolicy, Timestamp, TopicName,
};
use bytes::Bytes;

/// Why an import stops.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be reached or read.
    #[error("{0}")]
    Source(String),
    /// The source does not look like any version that is known.
    #[error("not recognised: {0}; nothing was copied")]
    Unknown(String),
    /// Something in the source is as it never should be; what came before it is copied.
    #[error("not understood: {0}")]
    Odd(String),
    /// A topic of octoq is in the way.
    #[error("topic `{topic}` of octoq: {problem}")]
    Conflict {
        /// Which.
        topic: TopicName,
        /// Why it cannot be used.
        problem: String,
    },
    /// octoq refused.
    #[error("octoq: {0}")]
    Broker(#[from] BrokerError),
    /// What was copied before cannot be read or written.
    #[error("imported.db: {0}")]
    Remembered(#[from] rusqlite::Error),
    /// A name of the source is none in octoq.
    #[error("name: {0}")]
    Name(#[from] NameError),
}

impl ImportError {
    /// A fault of the source, with what was tried.
    pub fn source(what: &str, error: impl std::fmt::Display) -> Self {
        ImportError::Source(format!("{what}: {error}"))
    }
}

/// What a source is and what is to be made for it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose messages they are; remembered with each.
    pub source: String,
    /// What was recognised, for a person.
    pub layout: String,
    /// The topics.
    pub topics: Vec<PlannedTopic>,
    /// What a person should know: what is not carried over.
    pub notes: Vec<String>,
    /// It has no end of its own.
    pub is_live: bool,
}

/// A topic to be.
#[derive(Debug, Clone)]
pub struct PlannedTopic {
    /// Its name.
    pub name: TopicName,
    /// Its kind.
    pub kind: Kind,
    /// Most messages; 0 is unlimited.
    pub capacity: u64,
    /// Its level; `None`: that of a topic whose maker names none.
    pub level: Option<Level>,
    /// Its queues; none for pubsub.
    pub queues: Vec<PlannedQueue>,
}

/// A queue to be.
#[derive(Debug, Clone)]
pub struct PlannedQueue {
    /// Its name.
    pub name: QueueName,
    /// Its settings.
    pub policy: QueuePolicy,
}

/// One thing found in the source.
#[derive(Debug, Clone)]
pub enum Found {
    /// A message to be copied.
    Message(Box<Item>),
    /// Something that is not copied.
    Left {
        /// Index of the topic in the plan.
        topic: usize,
        /// Index of its queue, where there is one.
        queue: usize,
        /// Why.
        why: &'static str,
    },
}

/// One message.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// Index of the topic in the plan.
    pub topic: usize,
    /// By what it is remembered: the same at every run, another for every other message.
    pub key: Vec<u8>,
    /// The publisher's bytes.
    pub body: Bytes,
    /// The source's id, if clients know it.
    pub id: Option<Bytes>,
    /// A JSON object.
    pub attributes: Option<String>,
    /// When it was published, if that is known.
    pub published_at: Option<Timestamp>,
    /// Until when its queue keeps it, whatever the queue's retention is.
    pub kept_until: Option<Timestamp>,
    /// A second one with this key is a duplicate.
    pub dedup_key: Option<Bytes>,
    /// 0 to 9.
    pub priority: u8,
    /// The queues it is in; none for pubsub.
    pub places: Vec<ItemPlace>,
}

/// A message in one queue.
#[derive(Debug, Clone)]
pub struct ItemPlace {
    /// Index of the queue in the planned topic.
    pub queue: usize,
    /// What it was in the source.
    pub state: FoundState,
    /// Deliveries so far.
    pub attempts: u32,
    /// Not visible before.
    pub visible_at: Option<Timestamp>,
    /// Why it died.
    pub dead: Option<DeadLetter>,
}

impl ItemPlace {
    /// It waits and was never handed out.
    pub fn waiting(queue: usize) -> Self {
        ItemPlace { queue, state: FoundState::Waiting, attempts: 0, visible_at: None, dead: None }
    }
}

/// What a message was in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundState {
    /// To be handed out next.
    Waiting,
    /// Not visible yet.
    Delayed,
    /// Handed out, not acknowledged.
    Held,
    /// Failed too often.
    Dead,
}

/// A store of an original.
pub trait Source {
    /// Looks at it and says what is to be made.
    ///
    /// Errors: `Source` when it cannot be reached, `Unknown` when its layout is not known.
    fn plan(&mut self) -> impl Future<Output = Result<Plan, ImportError>>;

    /// The next messages, in the order in which they are to be published; `None` at the end. May
    /// only be asked after [`Source::plan`].
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<Found>>, ImportError>>;
}

/// Most messages read and published at a time.
pub const BATCH_MAX: usize = 500;
/// Bytes of bodies read at a time above which a batch is closed.
pub const BATCH_BYTES_MAX: usize = 4 << 20;

/// A column as text; empty when it is NULL.
fn text(row: &postgres::Row, at: usize) -> String {
    let bytes = row.get(at).and_then(Option::as_ref);
    bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// A column as a number, if it is one.
fn number<N: std::str::FromStr>(row: &postgres::Row, at: usize) -> Option<N> {
    std::str::from_utf8(row.get(at)?.as_ref()?).ok()?.trim().parse().ok()
}

/// Checks that a table has the columns it must have, and no others but those it may have.
fn check_columns(
    table: &str,
    found: &[String],
    must: &[&str],
    may: &[&str],
) -> Result<(), ImportError> {
    if found.is_empty() {
        return Err(ImportError::Unknown(format!("there is no table `{table}`")));
    }
    let missing = must.iter().find(|column| !found.iter().any(|there| there == *column));
    if let Some(column) = missing {
        return Err(ImportError::Unknown(format!("table `{table}` has no column `{column}`")));
    }
    let known =
        |column: &&String| must.contains(&column.as_str()) || may.contains(&column.as_str());
    match found.iter().find(|column| !known(column)) {
        Some(column) => {
            Err(ImportError::Unknown(format!("table `{table}` has a column `{column}`")))
        }
        None => Ok(()),
    }
}
