//! What happened on all sockets of the door, for `/metrics`.

use super::request::{Settle, Verb};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What clients ask for, as they call it.
const OPS: [&str; 11] = [
    "publish",
    "subscribe",
    "consume",
    "ack",
    "nack",
    "extend",
    "unsubscribe",
    "request",
    "reply",
    "ping",
    "malformed",
];

/// Why a socket was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The client closed it, or was gone.
    Client,
    /// It could not follow and wanted to be closed, or was stuck for too long.
    TooSlow,
    /// A message above the limit.
    TooLong,
    /// Frames that break the protocol.
    Protocol,
    /// A client that was not heard of.
    Silent,
    /// Its caller's session ended.
    LoggedOut,
    /// The broker stopped.
    Stop,
    /// An operator wanted it closed.
    Operator,
}

const REASONS: [(Reason, &str); 8] = [
    (Reason::Client, "client"),
    (Reason::TooSlow, "too_slow"),
    (Reason::TooLong, "too_long"),
    (Reason::Protocol, "protocol"),
    (Reason::Silent, "silent"),
    (Reason::LoggedOut, "logged_out"),
    (Reason::Stop, "stop"),
    (Reason::Operator, "operator"),
];

/// What became of requests that want a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// The reply reached the requester.
    Replied,
    /// None came in time.
    TimedOut,
    /// A reply came when nobody waited for it any more.
    Late,
}

const CALLS: [(Call, &str); 3] =
    [(Call::Replied, "replied"), (Call::TimedOut, "timed_out"), (Call::Late, "late")];

/// A label's name and value.
pub type Label = (&'static str, &'static str);

/// One family of Prometheus.
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// The label of each series, if it has one, with its value.
    pub series: Vec<(Option<Label>, u64)>,
}

/// Counters since the start; all workers count here.
#[derive(Debug, Default)]
pub struct Figures {
    requests: [AtomicU64; OPS.len()],
    errors: AtomicU64,
    closed: [AtomicU64; REASONS.len()],
    calls: [AtomicU64; CALLS.len()],
    /// Deliveries that went back because their socket closed.
    released: AtomicU64,
}

fn add(counters: &[AtomicU64], at: Option<usize>, count: u64) {
    if let Some(counter) = at.and_then(|at| counters.get(at)) {
        counter.fetch_add(count, Relaxed);
    }
}

impl Figures {
    /// A request was read; `None`: one that says nothing.
    pub fn request(&self, verb: Option<&Verb>) {
        let name = match verb {
            Some(Verb::Publish { .. }) => "publish",
            Some(Verb::Subscribe { .. }) => "subscribe",
            Some(Verb::Consume { .. }) => "consume",
            Some(Verb::Settle { how: Settle::Ack, .. }) => "ack",
            Some(Verb::Settle { how: Settle::Nack(_), .. }) => "nack",
            Some(Verb::Settle { how: Settle::Extend(_), .. }) => "extend",
            Some(Verb::Unsubscribe(_)) => "unsubscribe",
            Some(Verb::Request { .. }) => "request",
            Some(Verb::Reply { .. }) => "reply",
            Some(Verb::Ping) => "ping",
            None => "malformed",
        };
        add(&self.requests, OPS.iter().position(|known| *known == name), 1);
    }

    /// A request was refused.
    pub fn error(&self) {
        self.errors.fetch_add(1, Relaxed);
    }

    /// A socket was closed.
    pub fn closed(&self, reason: Reason) {
        add(&self.closed, REASONS.iter().position(|(known, _)| *known == reason), 1);
    }

    /// What became of a request that wants a reply.
    pub fn call(&self, call: Call) {
        add(&self.calls, CALLS.iter().position(|(known, _)| *known == call), 1);
    }

    /// Deliveries went back because their socket closed.
    pub fn released(&self, deliveries: u64) {
        self.released.fetch_add(deliveries, Relaxed);
    }

    /// For `/metrics`.
    pub fn families(&self) -> Vec<Family> {
        fn series(
            label: &'static str,
            names: impl Iterator<Item = &'static str>,
            counters: &[AtomicU64],
        ) -> Vec<(Option<Label>, u64)> {
            let line = |(name, counter): (&'static str, &AtomicU64)| {
                (Some((label, name)), counter.load(Relaxed))
            };
            names.zip(counters).map(line).collect()
        }
        let one = |counter: &AtomicU64| vec![(None, counter.load(Relaxed))];
        let families = [
            (
                "octoq_ws_requests_total",
                "Requests read from sockets of /v1/ws, by op.",
                series("op", OPS.into_iter(), &self.requests),
            ),
            ("octoq_ws_errors_total", "Requests on sockets that were refused.", one(&self.errors)),
            (
                "octoq_ws_closed_total",
                "Sockets of /v1/ws that ended, by reason.",
                series("reason", REASONS.iter().map(|(_, name)| *name), &self.closed),
            ),
            (
                "octoq_ws_calls_total",
                "Requests that want a reply, by what became of them.",
                series("outcome", CALLS.iter().map(|(_, name)| *name), &self.calls),
            ),
            (
                "octoq_ws_released_total",
                "Deliveries that went back because their socket closed.",
                one(&self.released),
            ),
        ];
        families.map(|(name, help, series)| Family { name, help, series }).into()
    }
}
