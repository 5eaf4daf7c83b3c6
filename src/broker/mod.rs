//! The actors and the words they speak. Doors reach all of it through [`Broker`].
//!
//! Holds the registry, one actor per topic with its waiting receivers and subscribers, and the
//! checks of passwords. Never knows bytes on a wire or what a client's reply looks like.

mod attention;
pub mod clock;
pub mod connections;
mod directory;
pub mod doorkeeper;
pub mod error;
mod gauge;
pub mod handle;
pub mod logs;
pub mod messages;
pub mod observer;
#[cfg(test)]
mod panic_test;
mod rates;
pub mod redrives;
pub mod registry;
pub mod replies;
pub mod sessions;
pub mod subscribers;
pub mod topic;
mod trail;
#[cfg(test)]
mod turns_test;
pub mod waiters;

pub use crate::engine::QueueFigures;
pub use attention::{Attention, Severity};
pub use connections::{Arrival, Closer, Closing, Traffic, closing};
pub use error::BrokerError;
pub use handle::{
    Asked, Broker, BrokerState, Caller, ConnectionGuard, Consumer, DeadFound, DeadQueue,
    DeadSearch, DeadSpot, DefaultLevels, Found, NewSession, Presence, Search, TopicHandle,
};
pub use logs::{LogBounds, LogFeed, LogLine, LogPage, LogSink, ReadLog};
pub use messages::*;
pub use rates::Rates;
pub use replies::{Inbox, Replied, ReplyAddress, ReplyRefused};
pub use sessions::SessionBounds;
pub use subscribers::{Look, PushFormat, SlowPolicy, Subscription};
pub use trail::Point;

/// The bounds of the broker, from `[limits]`; see config/octoq.toml for what each is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most topics; 0 is unlimited.
    pub topics_max: usize,
    /// Longest body, bytes.
    pub body_bytes_max: usize,
    /// Most messages of one publish, receive or ack.
    pub batch_max: usize,
    /// Most bytes of bodies of one receive.
    pub receive_bytes_max: usize,
    /// Most messages looked at by one request that lists or searches.
    pub list_scan_max: usize,
    /// Most bytes of bodies looked at by such a request.
    pub list_scan_bytes_max: usize,
    /// Bytes of bodies looked at in one step of it.
    pub list_step_bytes: usize,
    /// Most redrives that run by themselves, at a rate.
    pub redrives_max: usize,
    /// Most receivers and watchers waiting at one topic.
    pub waiters_max: usize,
    /// Chunks one subscriber may be behind before it counts as lagging.
    pub subscriber_chunks: usize,
    /// A chunk of pushes is closed at this size, bytes.
    pub chunk_bytes: usize,
    /// Bytes a lagging subscriber may be behind before its policy applies.
    pub subscriber_backlog_bytes: u64,
    /// How long a subscriber may be stuck before it is dropped.
    pub subscriber_stuck: std::time::Duration,
    /// How long a session polls for a client that answers at once before its thread sleeps.
    pub poll: std::time::Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            topics_max: 0,
            body_bytes_max: 4_000_000,
            batch_max: 10_000,
            receive_bytes_max: 16 << 20,
            list_scan_max: 10_000,
            list_scan_bytes_max: 64 << 20,
            list_step_bytes: 4 << 20,
            redrives_max: 64,
            waiters_max: 10_000,
            subscriber_chunks: 16,
            chunk_bytes: 64 << 10,
            subscriber_backlog_bytes: 64 << 20,
            subscriber_stuck: std::time::Duration::from_secs(60),
            poll: std::time::Duration::from_micros(50),
        }
    }
}
