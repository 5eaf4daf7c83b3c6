//! What no value may be, beyond its type.

use super::{Config, ConfigError};
use crate::queue::policy::DURATION_MS_MAX;
use std::net::{SocketAddr, ToSocketAddrs};

/// First segments of paths that the native door has itself.
const NATIVE_PATHS: [&str; 6] = ["v1", "ui", "livez", "readyz", "metrics", "openapi.json"];
/// The longest body that dsmq's length header can express.
const DSMQ_MESSAGE_BYTES_MAX: usize = 8_999_999;

impl Config {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
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
