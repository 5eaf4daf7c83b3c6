//! The rules of topics and queues, pure: no actor, socket, file or clock. Time comes in as an
//! argument, what must survive goes out as [`Record`]s.
//!
//! Holds messages, their places in queues, deliveries, dead letters, history and timers. Never
//! knows another room, who asks, or whether and where a record is stored.

#[cfg(test)]
mod check;
mod clearing;
mod dedup;
mod deliver;
mod entries;
pub mod filter;
pub mod history;
mod lane;
mod looking;
pub mod message;
#[cfg(test)]
mod model;
mod moving;
pub mod name;
mod passing;
mod plain;
pub mod policy;
mod publish;
pub mod record;
pub mod refusal;
mod restoring;
mod shelf;
pub mod stats;
#[cfg(test)]
mod tests;
pub mod topic;
pub mod verbs;
pub mod wheel;

pub use filter::Filter;
pub use history::History;
pub use history::{Gap, Position, ReadBatch};
pub use message::{
    Delivery, Extra, Message, MessageId, NewMessage, Placed, Receipt, Reference, Timestamp,
};
pub use moving::Detached;
pub use name::{NameError, QueueName, TopicName};
pub use policy::{Kind, Level, Overflow, QueuePolicy, TopicPolicy};
pub use record::{DeadLetter, DeadReason, Ledger, Place, Record, Stored};
pub use record::{Failure, QueueDefinition, Restored, RestoredEntry, TopicDefinition};
pub use refusal::Refusal;
pub use topic::Topic;
pub use verbs::{
    Advanced, Counts, End, Leaving, Nack, Page, Receive, Selection, State, Totals, View,
};
