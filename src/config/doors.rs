//! The sections of the doors.

use super::ConfigError;
use crate::queue::Level;
use serde::{Deserialize, Serialize};

/// `[http]`: the native door.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address; `""` switches the door off.
    pub listen: String,
    /// Most connections.
    pub connections_max: usize,
    /// How long a client may take to send a request's head.
    pub request_timeout_ms: u64,
    /// How long a client may take to send a request's body.
    pub body_timeout_ms: u64,
    /// How long an idle connection is kept.
    pub keep_alive_s: u64,
    /// Most bytes of a request's body.
    pub request_bytes_max: usize,
    /// Longest long poll.
    pub wait_max_s: u64,
    /// How often an event stream that has nothing to tell gets a comment.
    pub events_heartbeat_s: u64,
    /// Foreign web origins that browsers may come from; the door's own is always allowed.
    pub origins: Vec<String>,
    /// Topics with figures of their own at `/metrics`; all others are summed up.
    pub metrics_topics_max: usize,
}

impl Default for HttpConfig {
    fn default() -> Self {
        HttpConfig {
            listen: "127.0.0.1:6790".into(),
            connections_max: 20_000,
            request_timeout_ms: 10_000,
            body_timeout_ms: 60_000,
            keep_alive_s: 75,
            request_bytes_max: 16 << 20,
            wait_max_s: 60,
            events_heartbeat_s: 15,
            origins: Vec::new(),
            metrics_topics_max: 1000,
        }
    }
}

/// `[ws]`: the native door's WebSockets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WsConfig {
    /// Longest frame a client of `/v1/topics/{topic}/ws` may send.
    pub frame_bytes_max: usize,
    /// Longest message a client of `/v1/ws` may send, and bytes of unanswered requests of one socket.
    pub message_bytes_max: usize,
    /// Requests of one socket that may be unanswered before it is not read on.
    pub requests_max: usize,
    /// Subscriptions of one socket.
    pub subscriptions_max: usize,
    /// Deliveries of one subscription that may be unacked.
    pub prefetch_max: usize,
    /// Requests of one socket that may wait for a reply.
    pub calls_max: usize,
    /// Longest wait for a reply.
    pub reply_wait_max_s: u64,
    /// Bytes of answers and deliveries of one socket that may be unsent before nothing more is read or asked for.
    pub out_bytes_max: usize,
    /// How often a silent client is pinged.
    pub ping_s: u64,
    /// A client that has not been heard of for this long is dropped.
    pub timeout_s: u64,
}

impl Default for WsConfig {
    fn default() -> Self {
        WsConfig {
            frame_bytes_max: 64 << 10,
            message_bytes_max: 8 << 20,
            requests_max: 256,
            subscriptions_max: 1000,
            prefetch_max: 10_000,
            calls_max: 1000,
            reply_wait_max_s: 300,
            out_bytes_max: 1 << 20,
            ping_s: 15,
            timeout_s: 60,
        }
    }
}

/// `[otq]`: the TCP door for octoque clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtqConfig {
    /// Address; `""` switches the door off. octoque's own port is 6789.
    pub listen: String,
    /// Most connections.
    pub connections_max: usize,
    /// Longest command line.
    pub command_bytes_max: usize,
    /// Most rows of one PUT, most messages of one GET.
    pub rows_max: u64,
    /// How often a subscriber gets a blank line.
    pub keep_alive_s: u64,
    /// Connections that said DISCONNECT while subscribed and are waited for to close.
    pub parked_max: usize,
    /// How long a client may take to log in.
    pub login_timeout_s: u64,
    /// How long a client may leave a reply unread, or a PUT unfinished, before it is dropped.
    pub stuck_s: u64,
}

impl Default for OtqConfig {
    fn default() -> Self {
        OtqConfig {
            listen: "127.0.0.1:6789".into(),
            connections_max: 20_000,
            command_bytes_max: 64 << 10,
            rows_max: 1_000_000,
            keep_alive_s: 15,
            parked_max: 10_000,
            login_timeout_s: 60,
            stuck_s: 300,
        }
    }
}

/// `[okq]`: the door for okQ clients, which speak RESP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OkqConfig {
    /// Address; `""` switches the door off.
    pub listen: String,
    /// Most connections.
    pub connections_max: usize,
    /// Level of the topics this door makes.
    pub durability: TopicLevel,
    /// Most `NOBLOCK` pushes that were answered and are not stored yet, of all connections.
    pub noblock_max: usize,
    /// QSTATUS answers with lines of text, as before April 2015.
    pub qstatus_text: bool,
    /// Most queues of one QREGISTER, QBPOP, QSTATUS or QINFO.
    pub queues_max: usize,
    /// Longest string a client may announce; above it the connection is closed.
    pub bulk_bytes_max: usize,
    /// Longest request that is kept; a longer one is read past and refused.
    pub request_bytes_max: usize,
    /// How long a client may take from the first byte of a request to its last.
    pub request_timeout_s: u64,
    /// How long a client may leave answers unread before it is dropped.
    pub stuck_s: u64,
}

/// The level of topics that a door makes without being told one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TopicLevel {
    /// `store.durability`
    Default,
    /// In memory.
    Memory,
    /// Committed, synced within an interval.
    Async,
    /// Synced before the confirmation.
    Sync,
}

impl Default for OkqConfig {
    fn default() -> Self {
        OkqConfig {
            listen: "127.0.0.1:4777".into(),
            connections_max: 20_000,
            durability: TopicLevel::Default,
            noblock_max: 128,
            qstatus_text: false,
            queues_max: 1024,
            bulk_bytes_max: 512 << 20,
            request_bytes_max: 16 << 20,
            request_timeout_s: 60,
            stuck_s: 300,
        }
    }
}

/// `[dsmq]`: the door for dsmq clients: JSON, bare, with a length header, or over WebSocket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DsmqConfig {
    /// Address; `""` switches the door off.
    pub listen: String,
    /// Most connections.
    pub connections_max: usize,
    /// Level of the topics this door makes.
    pub durability: Level,
    /// How long a message of these topics lives; 0 is for ever.
    pub retention_seconds: u64,
    /// Most messages of such a topic; the oldest is dropped first.
    pub max_messages_per_topic: u64,
    /// Most bytes of bodies of such a topic; the oldest message is dropped first.
    pub max_bytes_per_topic: u64,
    /// Longest request.
    pub message_bytes_max: usize,
    /// Topics of which one connection may have read.
    pub topics_per_connection_max: usize,
    /// A client on this machine may close the door by the action `shutdown`.
    pub allow_shutdown: bool,
    /// Web origins whose pages may open a WebSocket here.
    pub origins: Vec<String>,
    /// How long a client may take from the first byte of a request to its last.
    pub request_timeout_s: u64,
    /// How long a client may leave replies unread before it is dropped.
    pub stuck_s: u64,
}

impl Default for DsmqConfig {
    fn default() -> Self {
        DsmqConfig {
            listen: "127.0.0.1:30008".into(),
            connections_max: 20_000,
            durability: Level::Memory,
            retention_seconds: 600,
            max_messages_per_topic: 1_000_000,
            max_bytes_per_topic: 128 << 20,
            message_bytes_max: 1 << 20,
            topics_per_connection_max: 10_000,
            allow_shutdown: false,
            origins: Vec::new(),
            request_timeout_s: 60,
            stuck_s: 300,
        }
    }
}

/// `[fastqueue]`: the door for fastqueue clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FastqueueConfig {
    /// Address; `""` switches the door off.
    pub listen: String,
    /// The path of the native port below which the door is found as well; `""`: it is not.
    pub mount: String,
    /// How deep JSON may be nested.
    pub nesting_max: usize,
    /// Least `ack_deadline_seconds`.
    pub ack_deadline_s_min: u32,
    /// Most of it.
    pub ack_deadline_s_max: u32,
    /// Least `message_retention_seconds`.
    pub retention_s_min: u32,
    /// Most of it.
    pub retention_s_max: u32,
    /// Least `message_max_deliveries`.
    pub deliveries_min: u32,
    /// Most of it.
    pub deliveries_max: u32,
    /// Least `delivery_delay_seconds`.
    pub delay_s_min: u32,
    /// Most of it.
    pub delay_s_max: u32,
}

impl Default for FastqueueConfig {
    fn default() -> Self {
        FastqueueConfig {
            listen: "127.0.0.1:8000".into(),
            mount: String::new(),
            nesting_max: 200,
            ack_deadline_s_min: 1,
            ack_deadline_s_max: 600,
            retention_s_min: 600,
            retention_s_max: 1_209_600,
            deliveries_min: 1,
            deliveries_max: 1000,
            delay_s_min: 1,
            delay_s_max: 900,
        }
    }
}

impl FastqueueConfig {
    /// Least and most of `ack_deadline_seconds`.
    pub fn ack_deadline_bounds(&self) -> (i64, i64) {
        (self.ack_deadline_s_min.into(), self.ack_deadline_s_max.into())
    }

    /// Least and most of `message_retention_seconds`.
    pub fn retention_bounds(&self) -> (i64, i64) {
        (self.retention_s_min.into(), self.retention_s_max.into())
    }

    /// Least and most of `message_max_deliveries`.
    pub fn deliveries_bounds(&self) -> (i64, i64) {
        (self.deliveries_min.into(), self.deliveries_max.into())
    }

    /// Least and most of `delivery_delay_seconds`.
    pub fn delay_bounds(&self) -> (i64, i64) {
        (self.delay_s_min.into(), self.delay_s_max.into())
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        // The core takes times up to ten years; nothing waits, or lives, for no time at all.
        const TEN_YEARS_S: i64 = 315_360_000;
        let bounds = [
            ("fastqueue.ack_deadline_s_min", self.ack_deadline_bounds(), TEN_YEARS_S),
            ("fastqueue.retention_s_min", self.retention_bounds(), TEN_YEARS_S),
            ("fastqueue.deliveries_min", self.deliveries_bounds(), i64::from(u32::MAX)),
            ("fastqueue.delay_s_min", self.delay_bounds(), TEN_YEARS_S),
        ];
        for (key, (least, most), end) in bounds {
            if least < 1 || least > most || most > end {
                let problem =
                    format!("must be between 1 and its maximum ({most}), and that at most {end}");
                return Err(ConfigError::Value { key, problem });
            }
        }
        // Each level takes a little of the thread's stack.
        if !(1..=1000).contains(&self.nesting_max) {
            let (key, problem) = ("fastqueue.nesting_max", "must be between 1 and 1000".into());
            return Err(ConfigError::Value { key, problem });
        }
        Ok(())
    }
}

/// `[blockqueue]`: the door for blockqueue clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlockqueueConfig {
    /// Address; `""` switches the door off.
    pub listen: String,
    /// The path of the native port below which the door is found as well; `""`: it is not.
    pub mount: String,
    /// Longest long poll; a longer timeout is taken for this.
    pub wait_max_s: u64,
    /// A visibility duration below five minutes is one minute, as in releases before 2026.
    pub visibility_floor: bool,
    /// Serve `GET /prometheus/metrics`.
    pub metrics: bool,
}

impl Default for BlockqueueConfig {
    fn default() -> Self {
        BlockqueueConfig {
            listen: "127.0.0.1:8080".into(),
            mount: String::new(),
            wait_max_s: 3600,
            visibility_floor: false,
            metrics: false,
        }
    }
}
