//! The configuration: one struct per section, its defaults and checks beside the fields.
//!
//! Later wins: these defaults, `config/octoq.toml` or the file named by `--config`, the variables of
//! fastqueue ([`environment`]), the environment (`OCTOQ__SECTION__KEY`), `--set section.key=value`. A misspelt key is an error at start. What
//! each key is for stands in config/octoq.toml.

pub mod environment;
pub mod origin;

use crate::broker::{Limits, LogBounds, SessionBounds, observer::Observing};
use crate::journal::JournalSettings;
use crate::queue::{Level, policy::DURATION_MS_MAX};
use origin::Origin;
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `[store]`
    pub store: StoreConfig,
    /// `[http]`
    pub http: HttpConfig,
    /// `[ws]`
    pub ws: WsConfig,
    /// `[otq]`
    pub otq: OtqConfig,
    /// `[okq]`
    pub okq: OkqConfig,
    /// `[dsmq]`
    pub dsmq: DsmqConfig,
    /// `[fastqueue]`
    pub fastqueue: FastqueueConfig,
    /// `[blockqueue]`
    pub blockqueue: BlockqueueConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[ui]`
    pub ui: UiConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[server]`
    pub server: ServerConfig,
    /// `[log]`
    pub log: LogConfig,
    /// Keys of [`COMPATIBILITY_DOORS`] that somebody set: a busy port of such a door stops the start.
    #[serde(skip)]
    pub chosen_doors: Vec<&'static str>,
    /// Where what was set comes from.
    #[serde(skip)]
    pub origins: origin::Origins,
}

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

    fn check(&self) -> Result<(), ConfigError> {
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

    fn check(&self) -> Result<(), ConfigError> {
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

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that does not exist, a value of the wrong type, a file that cannot be read.
    #[error("{0}")]
    Source(#[from] config::ConfigError),
    /// A value outside its bounds.
    #[error("{key}: {problem}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// The file read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "config/octoq.toml";

/// Doors that are skipped with a warning when their port is busy and nobody asked for them.
pub const COMPATIBILITY_DOORS: [&str; 4] =
    ["okq.listen", "dsmq.listen", "fastqueue.listen", "blockqueue.listen"];

/// First segments of paths that the native door has itself.
const NATIVE_PATHS: [&str; 6] = ["v1", "ui", "livez", "readyz", "metrics", "openapi.json"];
/// The longest body that dsmq's length header can express.
const DSMQ_MESSAGE_BYTES_MAX: usize = 8_999_999;

/// Keys whose value is a list: commas part its items in the environment and in `--set`.
const LISTS: [&str; 3] = ["http.origins", "dsmq.origins", "ui.trusted_proxies"];

impl Config {
    /// Reads all sources. `file`: must exist when named. `set`: `section.key=value`.
    pub fn load(file: Option<&Path>, set: &[String]) -> Result<Config, ConfigError> {
        Config::load_with(file, &[], set)
    }

    /// The same, with settings that another program's flags stand for; they count more than the file
    /// and less than octoq's own environment.
    pub fn load_with(
        file: Option<&Path>,
        aliases: &[(&'static str, String)],
        set: &[String],
    ) -> Result<Config, ConfigError> {
        let mut origins = origin::Origins::new();
        let mut note = |said: &config::Config, origin, name: &str| -> Result<(), ConfigError> {
            origin::note(&mut origins, &said.clone().try_deserialize()?, origin, name);
            Ok(())
        };
        let from_file = config::Config::builder().add_source(match file {
            Some(path) => config::File::from(path),
            None => config::File::with_name(DEFAULT_FILE).required(false),
        });
        let from_file = from_file.build()?;
        let path = file.unwrap_or(Path::new(DEFAULT_FILE)).display().to_string();
        note(&from_file, Origin::File, &path)?;
        let mut builder = config::Config::builder().add_source(from_file);
        let mut known = config::Config::builder();
        for (key, value) in environment::fastqueue().0 {
            known = known.set_override(key, value)?;
        }
        let known = known.build()?;
        note(&known, Origin::Environment, "FASTQUEUE_*")?;
        builder = builder.add_source(known);
        let mut known = config::Config::builder();
        for (key, value) in aliases {
            known = known.set_override(*key, value.as_str())?;
        }
        let known = known.build()?;
        note(&known, Origin::Flag, "a flag or variable of okQ")?;
        builder = builder.add_source(known);
        let environment = config::Environment::with_prefix("OCTOQ")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true);
        let environment = environment.list_separator(",");
        let environment =
            LISTS.into_iter().fold(environment, |it, key| it.with_list_parse_key(key));
        let environment = config::Config::builder().add_source(environment).build()?;
        note(&environment, Origin::Environment, "")?;
        builder = builder.add_source(environment);
        let mut flags = config::Config::builder();
        for pair in set {
            let (key, value) = pair.split_once('=').ok_or(ConfigError::Value {
                key: "--set",
                problem: format!("`{pair}` is not of the form section.key=value"),
            })?;
            let (key, value) = (key.trim(), value.trim());
            flags = if LISTS.contains(&key) {
                let items: Vec<_> =
                    value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
                flags.set_override(key, items)?
            } else {
                flags.set_override(key, value)?
            };
        }
        let flags = flags.build()?;
        note(&flags, Origin::Flag, "--set")?;
        let said = builder.add_source(flags).build()?;
        let chosen = |key: &&str| said.get_string(key).is_ok();
        let chosen_doors = COMPATIBILITY_DOORS.into_iter().filter(chosen).collect();
        let whole = config::Config::builder()
            .add_source(config::Config::try_from(&Config::default())?)
            .add_source(said);
        let mut config: Config = whole.build()?.try_deserialize()?;
        (config.chosen_doors, config.origins) = (chosen_doors, origins);
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let positive: [(&'static str, u64); 45] = [
            ("store.queue_max", self.store.queue_max as u64),
            ("store.commit_records_max", self.store.commit_records_max as u64),
            ("store.commit_bytes_max", self.store.commit_bytes_max as u64),
            ("store.sync_interval_ms", self.store.sync_interval_ms),
            ("http.connections_max", self.http.connections_max as u64),
            ("http.request_bytes_max", self.http.request_bytes_max as u64),
            ("http.body_timeout_ms", self.http.body_timeout_ms),
            ("ws.frame_bytes_max", self.ws.frame_bytes_max as u64),
            ("ws.message_bytes_max", self.ws.message_bytes_max as u64),
            ("ws.requests_max", self.ws.requests_max as u64),
            ("ws.subscriptions_max", self.ws.subscriptions_max as u64),
            ("ws.prefetch_max", self.ws.prefetch_max as u64),
            ("ws.calls_max", self.ws.calls_max as u64),
            ("ws.reply_wait_max_s", self.ws.reply_wait_max_s),
            ("ws.ping_s", self.ws.ping_s),
            ("http.events_heartbeat_s", self.http.events_heartbeat_s),
            ("otq.connections_max", self.otq.connections_max as u64),
            ("otq.command_bytes_max", self.otq.command_bytes_max as u64),
            ("otq.keep_alive_s", self.otq.keep_alive_s),
            ("otq.login_timeout_s", self.otq.login_timeout_s),
            ("okq.connections_max", self.okq.connections_max as u64),
            ("okq.queues_max", self.okq.queues_max as u64),
            ("okq.bulk_bytes_max", self.okq.bulk_bytes_max as u64),
            ("okq.request_bytes_max", self.okq.request_bytes_max as u64),
            ("okq.request_timeout_s", self.okq.request_timeout_s),
            ("okq.stuck_s", self.okq.stuck_s),
            ("dsmq.connections_max", self.dsmq.connections_max as u64),
            ("dsmq.max_messages_per_topic", self.dsmq.max_messages_per_topic),
            ("dsmq.max_bytes_per_topic", self.dsmq.max_bytes_per_topic),
            ("dsmq.topics_per_connection_max", self.dsmq.topics_per_connection_max as u64),
            ("dsmq.request_timeout_s", self.dsmq.request_timeout_s),
            ("dsmq.stuck_s", self.dsmq.stuck_s),
            ("ui.sessions_max", self.ui.sessions_max as u64),
            ("ui.watchers_max", self.ui.watchers_max as u64),
            ("limits.body_bytes_max", self.limits.body_bytes_max as u64),
            ("limits.batch_max", self.limits.batch_max as u64),
            ("limits.receive_bytes_max", self.limits.receive_bytes_max as u64),
            ("limits.list_scan_max", self.limits.list_scan_max as u64),
            ("limits.list_scan_bytes_max", self.limits.list_scan_bytes_max as u64),
            ("limits.list_step_bytes", self.limits.list_step_bytes as u64),
            ("limits.subscriber_chunks", self.limits.subscriber_chunks as u64),
            ("limits.chunk_bytes", self.limits.chunk_bytes as u64),
            ("log.tail_lines", self.log.tail_lines as u64),
            ("log.line_bytes_max", self.log.line_bytes_max as u64),
            ("log.queue_max", self.log.queue_max as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(ConfigError::Value { key, problem: "must be at least 1".into() });
            }
        }
        if self.limits.body_bytes_max > 1 << 30 {
            return Err(ConfigError::Value {
                key: "limits.body_bytes_max",
                problem: "must be at most 1 GiB".into(),
            });
        }
        if !(64..=DSMQ_MESSAGE_BYTES_MAX).contains(&self.dsmq.message_bytes_max) {
            return Err(ConfigError::Value {
                key: "dsmq.message_bytes_max",
                problem: format!("must be between 64 and {DSMQ_MESSAGE_BYTES_MAX}"),
            });
        }
        if !(4096..=1 << 20).contains(&self.ui.tick_bytes_max) {
            return Err(ConfigError::Value {
                key: "ui.tick_bytes_max",
                problem: "must be between 4096 and 1048576".into(),
            });
        }
        if self.dsmq.retention_seconds > DURATION_MS_MAX / 1000 {
            return Err(ConfigError::Value {
                key: "dsmq.retention_seconds",
                problem: "must be at most ten years".into(),
            });
        }
        address("http.listen", &self.http.listen)?;
        address("otq.listen", &self.otq.listen)?;
        address("okq.listen", &self.okq.listen)?;
        address("dsmq.listen", &self.dsmq.listen)?;
        address("fastqueue.listen", &self.fastqueue.listen)?;
        address("blockqueue.listen", &self.blockqueue.listen)?;
        mount("fastqueue.mount", &self.fastqueue.mount)?;
        mount("blockqueue.mount", &self.blockqueue.mount)?;
        self.fastqueue.check()?;
        self.ui.check()?;
        if !self.fastqueue.mount.is_empty() && self.fastqueue.mount == self.blockqueue.mount {
            let problem = "two doors cannot be mounted below the same path".into();
            return Err(ConfigError::Value { key: "blockqueue.mount", problem });
        }
        Ok(())
    }

    /// The bounds the broker works under.
    pub fn limits(&self) -> Limits {
        let limits = &self.limits;
        Limits {
            topics_max: limits.topics_max,
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
            subscriber_stuck: Duration::from_secs(limits.subscriber_stuck_s),
            // On one core the client could not run meanwhile.
            poll: Duration::from_micros(if cores() > 1 { limits.poll_us } else { 0 }),
        }
    }

    /// What is remembered of it all.
    pub fn observing(&self) -> Observing {
        Observing {
            history_topics: self.ui.history_topics,
            oldest_max_ms: self.ui.oldest_ready_s.saturating_mul(1000),
            connections_max: self.ui.connections_listed_max,
        }
    }

    /// What of the log is kept.
    pub fn log(&self) -> LogBounds {
        let LogConfig { tail_lines, line_bytes_max, queue_max } = self.log;
        LogBounds { tail_lines, line_bytes_max, queue_max }
    }

    /// How the journal is set up.
    pub fn journal(&self) -> JournalSettings {
        JournalSettings {
            path: self.store.path.clone(),
            queue_max: self.store.queue_max,
            commit_records_max: self.store.commit_records_max,
            commit_bytes_max: self.store.commit_bytes_max,
            sync_interval: Duration::from_millis(self.store.sync_interval_ms),
            reserve_bytes: self.store.reserve_bytes,
            cache_bytes: self.store.cache_bytes,
        }
    }

    /// Bytes of bodies all topics may hold together.
    pub fn memory_bytes(&self) -> u64 {
        match self.limits.memory_bytes {
            0 => (machine_memory() / 4).clamp(16 << 20, 256 << 20),
            set => set,
        }
    }

    /// Threads that serve topics and sessions.
    pub fn workers(&self) -> usize {
        let cores = cores();
        match self.server.workers {
            0 if cores <= 2 => 1,
            0 => cores.min(8),
            set => set,
        }
    }
}

/// What a `listen` key says; `None`: the door is off.
pub fn address(key: &'static str, listen: &str) -> Result<Option<SocketAddr>, ConfigError> {
    if listen.is_empty() {
        return Ok(None);
    }
    let found = listen.to_socket_addrs().map(|mut found| found.next());
    match found {
        Ok(Some(address)) => Ok(Some(address)),
        Ok(None) => Err(ConfigError::Value { key, problem: format!("`{listen}` has no address") }),
        Err(error) => Err(ConfigError::Value {
            key,
            problem: format!("`{listen}` is not host:port: {error}"),
        }),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether a `mount` key says a path: `/` and letters, digits, `.`, `_`, `-`, as often as wanted.
fn mount(key: &'static str, path: &str) -> Result<(), ConfigError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let is_path = match path.strip_prefix('/') {
        Some(rest) => {
            rest.split('/').all(|segment| !segment.is_empty() && segment.chars().all(plain))
        }
        None => path.is_empty(),
    };
    let first = path.split('/').nth(1).unwrap_or_default();
    let problem = match () {
        () if !is_path => format!("`{path}` is not a path like `/fastqueue`"),
        () if NATIVE_PATHS.contains(&first) => format!("`/{first}` belongs to the native door"),
        () => return Ok(()),
    };
    Err(ConfigError::Value { key, problem })
}

/// Bytes of memory of this machine; 1 GiB where it cannot be told.
fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map_or(1 << 30, |kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_says_the_defaults_and_names_every_key() {
        let text = include_str!("../config/octoq.toml");
        // Every key stands in the file, commented out with its default: uncommented, it must give the defaults.
        let active: String = text
            .lines()
            .map(|line| line.strip_prefix("#: ").unwrap_or(line))
            .filter(|line| !line.starts_with('#'))
            .map(|line| format!("{line}\n"))
            .collect();
        let file = config::Config::builder()
            .add_source(config::File::from_str(&active, config::FileFormat::Toml))
            .build()
            .unwrap();
        let written: serde_json::Value = file.clone().try_deserialize().unwrap();
        let known = serde_json::to_value(Config::default()).unwrap();
        for (section, keys) in known.as_object().unwrap() {
            for key in keys.as_object().unwrap().keys() {
                assert!(
                    written[section].get(key).is_some(),
                    "{section}.{key} is not in config/octoq.toml"
                );
            }
        }
        assert_eq!(file.try_deserialize::<Config>().unwrap(), Config::default());
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        for wrong in ["otq.lisen=127.0.0.1:1", "oqt.listen=127.0.0.1:1"] {
            assert!(Config::load(None, &[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_later_source_wins_and_types_are_kept() {
        let set =
            ["limits.topics_max=7", "http.listen=", "store.durability=memory"].map(str::to_owned);
        let config = Config::load(None, &set).unwrap();
        assert_eq!((config.limits.topics_max, config.http.listen.as_str()), (7, ""));
        assert_eq!(config.store.durability, Level::Memory);
    }

    #[test]
    fn a_door_that_somebody_set_is_known_as_chosen() {
        let config = Config::load(None, &["okq.listen=127.0.0.1:0".to_owned()]).unwrap();
        assert_eq!(config.chosen_doors, ["okq.listen"]);
        assert_eq!(config.okq.listen, "127.0.0.1:0");
        assert_eq!(Config::load(None, &[]).unwrap().chosen_doors, [""; 0]);
    }

    #[test]
    fn a_value_out_of_bounds_is_named() {
        let error = Config::load(None, &["limits.batch_max=0".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("limits.batch_max"), "{error}");
        let error = Config::load(None, &["ui.session_ttl_ms=0".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("ui.session_ttl_ms"), "{error}");
        assert!(Config::load(None, &["ui.trusted_proxies=proxy".to_owned()]).is_err());
        let proxies = ["ui.trusted_proxies=10.0.0.1,::1".to_owned()];
        assert_eq!(Config::load(None, &proxies).unwrap().ui.trusted_proxies.len(), 2);
        let error = Config::load(None, &["otq.listen=nonsense".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("otq.listen"), "{error}");
        for wrong in ["fastqueue", "/", "/a/", "/a//b", "/{a}", "/v1", "/ui/x"] {
            let error = Config::load(None, &[format!("fastqueue.mount={wrong}")]).unwrap_err();
            assert!(error.to_string().contains("fastqueue.mount"), "{error}");
        }
        let twice = ["fastqueue.mount=/a", "blockqueue.mount=/a"].map(str::to_owned);
        assert!(Config::load(None, &twice).is_err());
        let apart = ["fastqueue.mount=/a/b", "blockqueue.mount=/c.d"].map(str::to_owned);
        assert!(Config::load(None, &apart).is_ok());
    }
}
