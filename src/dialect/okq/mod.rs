//! RESP for okQ clients, and for any Redis client that sends okQ's commands: resp.rs and command.rs
//! are pure, session.rs is one task per connection, round.rs what it has asked the topics for,
//! targets.rs which topic a queue is, waiting.rs the commands that wait, client.rs what generic
//! Redis clients say, figures.rs QSTATUS and QINFO.
//!
//! A queue of okQ is a broker topic of that name with its queue `default`, made when it is first
//! pushed to or registered for. Never knows the rules of a queue or where messages are stored.

mod client;
pub mod command;
mod figures;
pub mod resp;
mod round;
mod session;
mod targets;
mod waiting;

use crate::broker::{Broker, BrokerError};
use crate::config::{Anonymous, OkqConfig};
use crate::dialect::door::{Protocol, Seat};
use futures_util::future::LocalBoxFuture;
use std::{
    borrow::Cow,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Instant,
};
use tokio::net::TcpStream;

/// okQ's protocol: what the connections of its door speak.
#[derive(Clone)]
pub struct Okq(Arc<Shared>);

/// What all connections share.
struct Shared {
    broker: Broker,
    config: OkqConfig,
    anonymous: Anonymous,
    /// `NOBLOCK` pushes that were answered and are not stored yet.
    noblock: AtomicUsize,
    started: Instant,
}

impl Okq {
    /// Over a broker.
    pub fn new(broker: Broker, config: OkqConfig, anonymous: Anonymous) -> Self {
        let (noblock, started) = (AtomicUsize::new(0), Instant::now());
        Okq(Arc::new(Shared { broker, config, anonymous, noblock, started }))
    }

    /// Room for one more push whose sender does not wait; none when as many as may be are unfinished.
    fn noblock(&self) -> Option<Unfinished> {
        let max = self.0.config.noblock_max;
        let taken = |count: usize| (count < max).then_some(count + 1);
        let taken = self.0.noblock.fetch_update(Relaxed, Relaxed, taken);
        taken.is_ok().then(|| Unfinished { okq: self.clone(), count: 1 })
    }
}

/// Pushes that were answered before they are stored.
struct Unfinished {
    okq: Okq,
    count: usize,
}

impl Unfinished {
    /// Both.
    fn add(&mut self, mut other: Unfinished) {
        self.count += std::mem::take(&mut other.count);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.okq.0.noblock.fetch_sub(self.count, Relaxed);
    }
}

impl Protocol for Okq {
    const DOOR: &'static str = "okq";

    fn connections_max(&self) -> usize {
        self.0.config.connections_max
    }

    fn serve(self, stream: TcpStream, seat: Seat<Self>) -> LocalBoxFuture<'static, io::Result<()>> {
        Box::pin(async { session::Talk::new(stream, self, seat).serve().await })
    }
}

/// What a refusal says behind the `-`.
fn refusal(error: &BrokerError) -> Cow<'static, str> {
    match error {
        BrokerError::Unauthenticated => {
            "WRONGPASS invalid username-password pair or user is disabled.".into()
        }
        BrokerError::NotAllowed(_) => format!("NOPERM {error}").into(),
        // okQ's one word for everything that went wrong in its storage.
        BrokerError::Store(_) | BrokerError::Unavailable | BrokerError::TopicFailed => {
            "ERR unexpected server-side error".into()
        }
        BrokerError::TopicNotFound(_)
        | BrokerError::TopicExists(_)
        | BrokerError::BackupExists(_)
        | BrokerError::TooManyTopics { .. }
        | BrokerError::TooLarge { .. }
        | BrokerError::TooMany { .. }
        | BrokerError::Refused(_)
        | BrokerError::Account(_)
        | BrokerError::MemoryFull
        | BrokerError::DiskFull
        | BrokerError::Busy
        | BrokerError::Stopping => format!("ERR {error}").into(),
    }
}
