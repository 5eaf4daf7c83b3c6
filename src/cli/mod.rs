//! The commands of the binary. Exit codes: 0 ok, 1 error, 2 usage, 3 empty or timeout, 4 not
//! allowed, 5 not reachable.
//!
//! `command` has the words. Those that speak with a running broker do so over its native door:
//! `remote` is what they have in common, `client` asks, `failure` says what went wrong, `show` and
//! `message` print. One file per command or group.

mod answer;
mod backup;
mod bench;
mod check;
mod client;
mod command;
mod completion;
mod conform;
mod connection;
mod context;
mod dead;
mod definitions;
mod delay;
mod explain;
mod failure;
mod filter;
mod get;
mod health;
mod history;
pub mod import;
mod log;
mod message;
mod name;
mod okq;
mod peek;
mod policy;
mod prompt;
mod put;
mod queue;
mod remote;
mod repl;
mod serve;
mod settings;
mod show;
mod span;
mod stat;
mod tail;
mod template;
mod token;
mod top;
mod topic;
mod user;
mod view;
mod watch;

pub use command::main;

use crate::config::Config;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the configuration comes from, beside the environment.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ConfigArgs {
    /// Configuration file; config/octoq.toml of the working directory when there is one
    #[arg(long, env = "OCTOQ_CONFIG", value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// One setting, e.g. --set otq.listen=127.0.0.1:0; may be repeated
    #[arg(
        long = "set",
        env = "OCTOQ_SET",
        value_name = "SECTION.KEY=VALUE",
        value_delimiter = ';',
        global = true
    )]
    pub set: Vec<String>,
}

impl ConfigArgs {
    /// Reads it; what is wrong is said on stderr.
    pub fn load(&self) -> Result<Config, ExitCode> {
        self.load_with(&[])
    }

    /// The same, with settings that count less than octoq's environment and `--set`.
    pub fn load_with(&self, aliases: &[(&'static str, String)]) -> Result<Config, ExitCode> {
        Config::load_with(self.config.as_deref(), aliases, &self.set).map_err(|error| {
            eprintln!("octoq: configuration: {error}");
            ExitCode::from(2)
        })
    }
}
