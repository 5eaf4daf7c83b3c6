//! The rules of topics and queues, pure: no actor, socket, file or clock. Time comes in as an
//! argument, what must survive goes out as [`Record`]s.
//!
//! Holds messages, their places in queues, deliveries, dead letters, history and timers. Never
//! knows another room, who asks, or whether and where a record is stored.

mod by_slot;
#[cfg(test)]
mod check;
mod clearing;
pub mod content;
mod dedup;
mod delaying;
mod deliver;
pub mod door;
mod entries;
pub mod filter;
pub mod history;
mod ids;
mod keys;
mod lane;
mod looking;
mod masking;
pub mod message;
#[cfg(test)]
mod model;
mod moving;
pub mod name;
mod pages;
mod passing;
pub mod past;
mod plain;
pub mod policy;
mod publish;
pub mod reader;
pub mod record;
pub mod refusal;
mod restoring;
mod shelf;
pub mod sieve;
pub mod stats;
mod stored_bytes;
#[cfg(test)]
mod tests;
pub mod topic;
mod turns;
pub mod verbs;
pub mod wheel;

pub use content::Content;
pub use door::Door;
pub use filter::Filter;
pub use history::History;
pub use history::{Gap, Missing, Position, ReadBatch};
pub use ids::IdList;
pub use message::{
    Delivery, Extra, Message, MessageId, NewMessage, Origin, Placed, PlacedCopy, Receipt,
    Reference, Timestamp,
};
pub use moving::Detached;
pub use name::{NAME_BYTES_MAX, NameError, QueueName, TopicName};
pub use past::{Past, PastPlace};
pub use policy::{Kind, Level, Overflow, QueueAddress, QueuePolicy, Returns, Target, TopicPolicy};
pub use reader::{Cursor, Want};
pub use record::{DeadLetter, DeadReason, Ledger, Place, Record, Stored, Times};
pub use record::{Failure, QueueDefinition, Restored, RestoredEntry, TopicDefinition};
pub use refusal::Refusal;
pub use sieve::Sieve;
pub use topic::Topic;
pub use verbs::{
    Advanced, Counts, End, Leaving, Nack, Page, Receive, Selection, State, TopicSum, Totals, View,
    full_per_mille,
};
