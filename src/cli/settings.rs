//! `octoq config`: what a broker started here would be configured with.

use super::ConfigArgs;
use super::failure::Failure;
use crate::config::Config;
use crate::config::origin::{Origin, Setting};
use serde_json::json;
use std::{io::Write as _, process::ExitCode};

/// The configuration: all sources put together, or whether they are right.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq config show
  octoq config validate --config /etc/octoq.toml")]
pub struct SettingsArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print JSON
    #[arg(long, env = "OCTOQ_JSON", global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print every setting as it would be in force, in the form of config/octoq.toml
    #[command(after_help = "Examples:
  octoq config show
  octoq config show store.durability --set store.durability=async
  octoq config show --changed")]
    Show {
        /// Only this setting or section
        key: Option<String>,
        /// Only what differs from the defaults
        #[arg(long)]
        changed: bool,
    },
    /// Say whether it is right; exit code 2 when it is not
    #[command(after_help = "Example: octoq config validate --config /etc/octoq.toml")]
    Validate,
}

/// Does it.
pub fn run(arguments: SettingsArgs) -> ExitCode {
    let SettingsArgs { config, json, action } = arguments;
    let loaded = Config::load_with(config.config.as_deref(), &[], &config.set);
    let config = match loaded {
        Ok(config) => config,
        Err(error) => {
            return Failure::usage(format!("configuration: {error}")).tell(json);
        }
    };
    match action {
        Action::Validate if json => {
            println!("{}", json!({ "valid": true }));
            ExitCode::SUCCESS
        }
        Action::Validate => {
            println!("the configuration is right");
            ExitCode::SUCCESS
        }
        Action::Show { key, changed } => match show(&config, key.as_deref(), changed, json) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.tell(json),
        },
    }
}

fn show(config: &Config, key: Option<&str>, changed: bool, json: bool) -> Result<(), Failure> {
    let mut settings = config.settings();
    if let Some(key) = key {
        settings.retain(|setting| {
            setting.key == key
                || setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
        });
        if settings.is_empty() {
            return Err(Failure::usage(format!("there is no setting `{key}`")));
        }
    }
    settings.retain(|setting| !changed || setting.value != setting.default);
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", json!({ "keys": settings }))?;
    } else {
        out.write_all(toml(&settings).as_bytes())?;
    }
    Ok(())
}

/// Sections of plain values and lists, as a configuration file has them; behind what somebody set, who.
fn toml(settings: &[Setting]) -> String {
    let mut text = String::new();
    let mut open = None;
    for Setting { key, value, origin, from, .. } in settings {
        let Some((section, name)) = key.split_once('.') else { continue };
        if open != Some(section) {
            let gap = if open.is_some() { "\n" } else { "" };
            text.push_str(&format!("{gap}[{section}]\n"));
            open = Some(section);
        }
        // What they hold looks the same in JSON and TOML.
        text.push_str(&format!("{name} = {value}"));
        if *origin != Origin::Default {
            let source = from.as_deref().unwrap_or_default();
            text.push_str(&format!("  # {}", super::show::printable(source)));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_configuration_file() {
        let folder = tempfile::tempdir().unwrap();
        let set = ["http.origins=a,b", "store.path=/x \"y\"", "limits.topics_max=7"];
        let config = Config::load(None, &set.map(str::to_owned)).unwrap();
        let file = folder.path().join("shown.toml");
        let shown = toml(&config.settings());
        std::fs::write(&file, &shown).unwrap();
        let mut read = Config::load(Some(&file), &[]).unwrap();
        read.chosen_doors.clone_from(&config.chosen_doors);
        read.origins.clone_from(&config.origins);
        assert_eq!(read, config, "{shown}");
        assert!(shown.contains("topics_max = 7  # --set"), "{shown}");
    }
}
