//! okQ's own flags and environment, so that a service that started okQ starts octoq.

use std::ffi::OsStr;

/// Flags of okQ, and the environment they could be given by. Those of its storage say nothing here.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "okQ's flags, for services that started okQ")]
pub struct OkqArgs {
    /// The same as okq.listen; `:4777` is every interface
    #[arg(long, env = "OKQ_LISTEN_ADDR", value_name = "HOST:PORT")]
    listen_addr: Option<String>,
    /// The same as okq.noblock_max
    #[arg(long, env = "OKQ_BG_PUSH_POOL_SIZE", value_name = "COUNT")]
    bg_push_pool_size: Option<String>,
    /// Log more
    #[arg(long, short, env = "OKQ_DEBUG", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    debug: Option<String>,
    /// Ignored: octoq needs no Redis
    #[arg(long, env = "OKQ_REDIS_ADDR", value_name = "HOST:PORT")]
    redis_addr: Option<String>,
    /// Ignored
    #[arg(long, env = "OKQ_REDIS_CLUSTER", value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    redis_cluster: Option<String>,
    /// Ignored
    #[arg(long, env = "OKQ_REDIS_SENTINEL_ADDR", value_name = "HOST:PORT")]
    redis_sentinel_addr: Option<String>,
    /// Ignored
    #[arg(long, env = "OKQ_REDIS_SENTINEL_GROUP", value_name = "NAME")]
    redis_sentinel_group: Option<String>,
    /// Ignored
    #[arg(long, env = "OKQ_REDIS_POOL_SIZE", value_name = "COUNT")]
    redis_pool_size: Option<String>,
    /// Ignored
    #[arg(long, env = "OKQ_CPU_PROFILE", value_name = "FILE")]
    cpu_profile: Option<String>,
}

fn given(value: &Option<String>) -> Option<&str> {
    value.as_deref().filter(|value| !value.is_empty())
}

impl OkqArgs {
    /// As octoq's settings. An address without a host is every interface, as in Go.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let listen = given(&self.listen_addr).map(|listen| match listen.strip_prefix(':') {
            Some(port) => format!("0.0.0.0:{port}"),
            None => listen.to_owned(),
        });
        let listen = listen.map(|listen| ("okq.listen", listen));
        let pool = given(&self.bg_push_pool_size).map(|size| ("okq.noblock_max", size.to_owned()));
        listen.into_iter().chain(pool).collect()
    }

    /// More is to be logged.
    pub fn debug(&self) -> bool {
        given(&self.debug).is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// The flags that say nothing to octoq.
    pub fn ignored(&self) -> Vec<&'static str> {
        let flags = [
            ("--redis-addr", &self.redis_addr),
            ("--redis-cluster", &self.redis_cluster),
            ("--redis-sentinel-addr", &self.redis_sentinel_addr),
            ("--redis-sentinel-group", &self.redis_sentinel_group),
            ("--redis-pool-size", &self.redis_pool_size),
            ("--cpu-profile", &self.cpu_profile),
        ];
        flags.into_iter().filter(|(_, value)| value.is_some()).map(|(flag, _)| flag).collect()
    }

    /// What the environment alone says, when there are no arguments.
    pub fn from_environment() -> Self {
        use clap::{Command, FromArgMatches};
        let command = <OkqArgs as clap::Args>::augment_args(Command::new("octoq"));
        let found = command.try_get_matches_from([OsStr::new("octoq")]);
        found.and_then(|found| OkqArgs::from_arg_matches(&found)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        okq: OkqArgs,
    }

    fn said(line: &str) -> OkqArgs {
        Line::try_parse_from(std::iter::once("octoq").chain(line.split_whitespace())).unwrap().okq
    }

    #[test]
    fn okqs_flags_are_octoqs_settings_or_are_ignored() {
        let okq =
            said("--listen-addr :7 --bg-push-pool-size=9 --debug --redis-addr a:1 --redis-cluster");
        let settings =
            [("okq.listen", "0.0.0.0:7".to_owned()), ("okq.noblock_max", "9".to_owned())];
        assert_eq!(okq.settings(), settings);
        assert!(okq.debug());
        assert_eq!(okq.ignored(), ["--redis-addr", "--redis-cluster"]);
        let okq = said("--listen-addr 127.0.0.1:8 --debug=false");
        assert_eq!(okq.settings(), [("okq.listen", "127.0.0.1:8".to_owned())]);
        assert!(!okq.debug() && okq.ignored().is_empty());
    }
}
