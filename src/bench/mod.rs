//! Loads a running broker through one of its doors, and says what it took.
//!
//! Knows the wires and nothing of the broker, so that the client costs little and every door gets
//! the same one: a few threads (one by default), each of which drives its share of the connections
//! from one event loop. With a rate, messages are due at fixed times and latency counts from then,
//! whether or not a connection was free: a broker that stalls cannot slow its own measurement down.

mod body;
mod doors;
mod drive;
mod http;
mod link;
mod pace;
mod reference;
mod report;
mod shared;
mod speaker;

pub use report::{Latency, Reference, Report};

use std::{net::SocketAddr, time::Duration};

/// Why a run ended without figures.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Nobody listens there, or the connection broke.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The broker closed a connection.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker refused, or said something that this door does not say.
    #[error("the broker answered: {0}")]
    Refused(String),
    /// The settings make no sense together.
    #[error("{0}")]
    Usage(String),
    /// Not everything that was published came back in time.
    #[error("{missing} of {wanted} messages did not arrive within {patience:?}")]
    Missing {
        /// How many did not.
        missing: u64,
        /// How many should have.
        wanted: u64,
        /// How long was waited for them.
        patience: Duration,
    },
}

/// Whose protocol is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Door {
    /// octoque's lines over TCP
    Otq,
    /// HTTP of octoq's own
    Http,
    /// WebSocket pushes; what is pushed is published over HTTP
    Ws,
    /// Server-sent events; what is pushed is published over HTTP
    Sse,
    /// okQ's commands, as Redis's protocol
    Okq,
    /// dsmq's JSON on WebSocket
    Dsmq,
    /// fastqueue's REST
    Fastqueue,
    /// blockqueue's REST
    Blockqueue,
}

impl Door {
    /// As it is called on the command line and by the broker at its start.
    pub fn name(self) -> &'static str {
        match self {
            Door::Otq => "otq",
            Door::Http => "http",
            Door::Ws => "ws",
            Door::Sse => "sse",
            Door::Okq => "okq",
            Door::Dsmq => "dsmq",
            Door::Fastqueue => "fastqueue",
            Door::Blockqueue => "blockqueue",
        }
    }

    /// Whose address it has: WebSocket and events are found at the HTTP door.
    pub fn listener(self) -> &'static str {
        match self {
            Door::Ws | Door::Sse => "http",
            door => door.name(),
        }
    }

    /// Published messages are pushed to, or read by, everybody who listens.
    fn has_listeners(self) -> bool {
        matches!(self, Door::Otq | Door::Ws | Door::Sse | Door::Dsmq)
    }

    /// Most messages that one request can publish; `usize::MAX`: as many as are wanted.
    fn batch_max(self) -> usize {
        if self == Door::Fastqueue { 1 } else { usize::MAX }
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Work {
    /// Publishing
    Publish,
    /// Receiving and acking what was published before the clock started
    Receive,
    /// Publishing to listeners, each of which gets everything
    Pubsub,
    /// Publishing and getting it back, before the next
    Roundtrip,
}

impl Work {
    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Work::Publish => "publish",
            Work::Receive => "receive",
            Work::Pubsub => "pubsub",
            Work::Roundtrip => "roundtrip",
        }
    }
}

/// How long a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So long, after a warm-up.
    Time {
        /// Measured.
        run: Duration,
        /// Before that.
        warm_up: Duration,
    },
    /// So many messages, all of them measured.
    Count(u64),
}

/// One run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whose protocol.
    pub door: Door,
    /// Where that door listens.
    pub address: SocketAddr,
    /// What is measured.
    pub work: Work,
    /// Topic, made for the run; with `roundtrip` each connection has one of its own.
    pub topic: String,
    /// Level of the topic, where the door can say one.
    pub durability: Option<String>,
    /// User and password, where the door asks or is given them.
    pub login: Option<(String, String)>,
    /// Connections that publish or receive.
    pub connections: usize,
    /// Connections that listen (`pubsub`).
    pub subscribers: usize,
    /// Threads of this client.
    pub threads: usize,
    /// Messages of one request.
    pub batch: usize,
    /// Requests under way on one connection.
    pub depth: usize,
    /// Bytes of a body.
    pub size: usize,
    /// Messages that no listener has yet, at most (`pubsub`).
    pub window: u64,
    /// How long.
    pub length: Length,
    /// Messages that wait before the clock starts (`receive` for a time).
    pub fill: u64,
    /// Messages per second, due at even distances; `None`: as fast as it goes.
    pub rate: Option<f64>,
    /// Measures what the machine itself can do as well, with this many threads at the other side.
    pub reference: Option<usize>,
}

/// Bytes of a body, at least: the time at which it was due stands in it.
pub const SIZE_MIN: usize = body::STAMP_DIGITS;

impl Settings {
    fn check(&self) -> Result<(), BenchError> {
        let usage = |text: String| Err(BenchError::Usage(text));
        let (door, work) = (self.door.name(), self.work.name());
        if self.batch > self.door.batch_max() && self.work != Work::Receive {
            return usage(format!("the {door} door takes one message per request: --batch 1"));
        }
        if self.work == Work::Pubsub && !self.door.has_listeners() {
            return usage(format!("the {door} door has no listeners; measure `receive` there"));
        }
        // At dsmq a reader begins where it connects: what waits is not handed out.
        if matches!(self.door, Door::Ws | Door::Sse | Door::Dsmq) && self.work == Work::Receive {
            return usage(format!(
                "the {door} door hands out nothing that waits; measure `pubsub` there"
            ));
        }
        if self.size < SIZE_MIN {
            return usage(format!("--size must be at least {SIZE_MIN}"));
        }
        if self.rate.is_some() && self.work == Work::Receive {
            return usage(format!("--rate paces what is published; `{work}` publishes nothing"));
        }
        if self.rate.is_some_and(|rate| !rate.is_finite() || rate <= 0.0) {
            return usage("--rate must be more than 0".to_owned());
        }
        let counts = [
            ("connections", self.connections),
            ("batch", self.batch),
            ("depth", self.depth),
            ("threads", self.threads),
        ];
        for (name, count) in counts {
            if count == 0 {
                return usage(format!("--{name} must be at least 1"));
            }
        }
        if self.work == Work::Pubsub && self.subscribers == 0 {
            return usage("--subscribers must be at least 1".to_owned());
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if self.topic.is_empty() || !self.topic.bytes().all(plain) {
            return usage("--topic may have letters, digits, `-`, `_` and `.`".to_owned());
        }
        Ok(())
    }
}

/// Makes what is needed, measures, and takes it away again. Blocks.
pub fn run(settings: &Settings) -> Result<Report, BenchError> {
    settings.check()?;
    let settings = &doors::adapted(settings);
    doors::prepare(settings)?;
    let measured = measure(settings);
    // The run's own error is what counts.
    let cleared = doors::clear(settings);
    let mut report = measured?;
    cleared?;
    if let Some(workers) = settings.reference {
        report.reference = Some(reference::measure(settings, &report, workers)?);
    }
    Ok(report)
}

fn measure(settings: &Settings) -> Result<Report, BenchError> {
    if settings.work == Work::Receive {
        let count = match settings.length {
            Length::Count(count) => count,
            Length::Time { .. } => settings.fill,
        };
        let batch = 100.min(settings.door.batch_max()).min(settings.batch.max(10));
        let fill = Settings {
            work: Work::Publish,
            length: Length::Count(count),
            connections: settings.connections.min(8),
            depth: 4,
            batch,
            rate: None,
            ..settings.clone()
        };
        let filled = drive::run(&fill, None)?.published;
        return drive::run(settings, Some(filled)).map(|tally| Report::of(settings, &tally));
    }
    drive::run(settings, None).map(|tally| Report::of(settings, &tally))
}
