//! The sections of what is behind the doors: the store, accounts, the dashboard and what is remembered
//! for it, the bounds, the process, its log.

use super::ConfigError;
use crate::broker::{Limits, SessionBounds};
use crate::queue::{Level, policy::DURATION_MS_MAX};
use serde::{Deserialize, Serialize};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// `[store]`: where messages are kept and how surely.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Folder of the store; made when missing.
    pub path: PathBuf,
    /// Level of broker topics that name none.
    pub durability: Level,
    /// Level of pubsub topics that name none.
    pub pubsub_durability: Level,
    /// How long async commits may stay unsynced.
    pub sync_interval_ms: u64,
    /// Batches waiting for the writer before publishers are told to wait.
    pub queue_max: usize,
    /// Most records of one commit.
    pub commit_records_max: usize,
    /// Most bytes of one commit.
    pub commit_bytes_max: usize,
    /// Room kept for acks when the disk is full.
    pub reserve_bytes: u64,
    /// Page cache of the store.
    pub cache_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        StoreConfig {
            path: "octoq-data".into(),
            durability: Level::Sync,
            pubsub_durability: Level::Async,
            sync_interval_ms: 100,
            queue_max: 4096,
            commit_records_max: 4096,
            commit_bytes_max: 4 << 20,
            reserve_bytes: 16 << 20,
            cache_bytes: 64 << 20,
        }
    }
}

/// What a caller without credentials may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// Everything, when it comes from this machine; nothing otherwise.
    Local,
    /// Nothing.
    Never,
    /// Everything, from anywhere.
    Anywhere,
}

impl Anonymous {
    /// Whether somebody from there needs no credentials.
    pub fn welcomes(self, peer: IpAddr) -> bool {
        match self {
            Anonymous::Never => false,
            Anonymous::Anywhere => true,
            Anonymous::Local => peer.to_canonical().is_loopback(),
        }
    }
}

/// `[auth]`: who may do what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Callers without credentials, over HTTP, okq and dsmq.
    pub anonymous: Anonymous,
    /// Listen beyond loopback although the stock password is in use.
    pub allow_stock_password: bool,
    /// Password checks at the same time; 0 is one per core.
    pub verifications_max: usize,
    /// Logins remembered so that a reconnect costs no hashing.
    pub logins_remembered_max: usize,
}

impl Default for AuthConfig {
    fn default() -> Self {
        AuthConfig {
            anonymous: Anonymous::Local,
            allow_stock_password: false,
            verifications_max: 0,
            logins_remembered_max: 10_000,
        }
    }
}

/// `[ui]`: the dashboard, the sessions of browsers that log in, and what is remembered for them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UiConfig {
    /// Serve the files below `/ui`.
    pub enabled: bool,
    /// Every session only looks, whoever logs in.
    pub read_only: bool,
    /// How long a login is good.
    pub session_ttl_ms: u64,
    /// How long a session may be unused.
    pub session_idle_ms: u64,
    /// Most sessions; the one unused for longest makes room.
    pub sessions_max: usize,
    /// Cookies go over https only, however the request came.
    pub cookie_secure: bool,
    /// Proxies whose `X-Forwarded-Proto` is believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Sockets of `/v1/watch`.
    pub watchers_max: usize,
    /// Longest frame such a socket is sent once a second.
    pub tick_bytes_max: usize,
    /// Topics with a history of their own.
    pub history_topics: usize,
    /// Sessions on the list of connections; more are only counted.
    pub connections_listed_max: usize,
    /// A message that has been ready for longer is told of.
    pub oldest_ready_s: u64,
}

impl Default for UiConfig {
    fn default() -> Self {
        UiConfig {
            enabled: true,
            read_only: false,
            session_ttl_ms: 12 * 3_600_000,
            session_idle_ms: 2 * 3_600_000,
            sessions_max: 1000,
            cookie_secure: false,
            trusted_proxies: Vec::new(),
            watchers_max: 100,
            tick_bytes_max: 20 << 10,
            history_topics: 5000,
            connections_listed_max: 100_000,
            oldest_ready_s: 3600,
        }
    }
}

impl UiConfig {
    /// How long sessions live, and how many there are.
    pub fn sessions(&self) -> SessionBounds {
        SessionBounds {
            ttl: Duration::from_millis(self.session_ttl_ms),
            idle: Duration::from_millis(self.session_idle_ms),
            max: self.sessions_max,
            read_only: self.read_only,
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let times = [
            ("ui.session_ttl_ms", self.session_ttl_ms),
            ("ui.session_idle_ms", self.session_idle_ms),
        ];
        for (key, value) in times {
            if !(1..=DURATION_MS_MAX).contains(&value) {
                let problem = "must be between 1 and ten years".into();
                return Err(ConfigError::Value { key, problem });
            }
        }
        Ok(())
    }
}

/// `[limits]`: the bounds of the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Most topics; 0 is unlimited.
    pub topics_max: usize,
    /// Bytes of message bodies held in memory by all topics; 0 is a quarter of the memory, at most 256 MiB.
    pub memory_bytes: u64,
    /// Longest body.
    pub body_bytes_max: usize,
    /// Most messages of one publish, receive or ack.
    pub batch_max: usize,
    /// Most bytes of one receive.
    pub receive_bytes_max: usize,
    /// Most messages looked at by one request that lists or searches.
    pub list_scan_max: usize,
    /// Most bytes of bodies looked at by such a request.
    pub list_scan_bytes_max: usize,
    /// Bytes of bodies looked at in one step of it.
    pub list_step_bytes: usize,
    /// Most redrives that run by themselves, at a rate.
    pub redrives_max: usize,
    /// Receivers waiting at one topic.
    pub waiters_max: usize,
    /// Chunks a subscriber may be behind before it counts as lagging.
    pub subscriber_chunks: usize,
    /// Size at which a chunk of pushes is closed.
    pub chunk_bytes: usize,
    /// Bytes a lagging subscriber may be behind.
    pub subscriber_backlog_bytes: u64,
    /// How long a subscriber may be stuck.
    pub subscriber_stuck_s: u64,
    /// How long a session polls for a client that answers at once; 0 never. Ignored on one core.
    pub poll_us: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let limits = Limits::default();
        LimitsConfig {
            topics_max: limits.topics_max,
            memory_bytes: 0,
            body_bytes_max: limits.body_bytes_max,
            batch_max: limits.batch_max,
            receive_bytes_max: limits.receive_bytes_max,
            list_scan_max: limits.list_scan_max,
            list_scan_bytes_max: limits.list_scan_bytes_max,
            list_step_bytes: limits.list_step_bytes,
            redrives_max: limits.redrives_max,
            waiters_max: limits.waiters_max,
            subscriber_chunks: limits.subscriber_chunks,
            chunk_bytes: limits.chunk_bytes,
            subscriber_backlog_bytes: limits.subscriber_backlog_bytes,
            subscriber_stuck_s: limits.subscriber_stuck.as_secs(),
            poll_us: u64::try_from(limits.poll.as_micros()).unwrap_or(0),
        }
    }
}

/// `[server]`: the process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// Threads that serve topics and sessions; 0 chooses: 1 up to two cores, else one per core, at most 8.
    pub workers: usize,
    /// How long a stop waits for what is in flight.
    pub stop_timeout_ms: u64,
    /// A peer that acknowledges nothing for this long is dropped by the kernel.
    pub tcp_user_timeout_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        ServerConfig { workers: 0, stop_timeout_ms: 5_000, tcp_user_timeout_ms: 30_000 }
    }
}

/// `[log]`: the last lines of the log, kept for `GET /v1/log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Lines kept.
    pub tail_lines: usize,
    /// Longest line kept; what is longer is cut.
    pub line_bytes_max: usize,
    /// Lines on their way there; what comes while so many wait is not kept.
    pub queue_max: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { tail_lines: 1000, line_bytes_max: 4096, queue_max: 1024 }
    }
}
