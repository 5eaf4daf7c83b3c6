//! The configuration: one struct per section with its defaults beside the fields, and where they are read
//! from. `doors.rs` and `broker.rs` are the sections, `check.rs` what they may not say, `rooms.rs` what each room
//! is given of them.
//!
//! Later wins: these defaults, `config/octoq.toml` or the file named by `--config`, the variables of
//! fastqueue ([`environment`]), the environment (`OCTOQ__SECTION__KEY`), `--set section.key=value`. A misspelt key is an error at start. What
//! each key is for stands in config/octoq.toml.

mod broker;
mod check;
mod doors;
pub mod environment;
pub mod origin;
mod rooms;
#[cfg(test)]
mod tests;

pub use broker::{
    Anonymous, AuthConfig, LimitsConfig, LogConfig, ServerConfig, StoreConfig, UiConfig,
};
pub use check::address;
pub use doors::{
    BlockqueueConfig, DsmqConfig, FastqueueConfig, HttpConfig, OkqConfig, OtqConfig, TopicLevel,
    WsConfig,
};

use origin::Origin;
use serde::{Deserialize, Serialize};
use std::path::Path;

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
}
