//! `octoq config`: what a broker started here would be configured with.

use super::ConfigArgs;
use crate::config::Config;
use std::{io::Write as _, process::ExitCode};

/// The configuration: all sources put together, or whether they are right.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq config show
  octoq config validate --config /etc/octoq.toml")]
pub struct SettingsArgs {
    #[command(flatten)]
    config: ConfigArgs,
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
        /// Print JSON
        #[arg(long, env = "OCTOQ_JSON")]
        json: bool,
    },
    /// Say whether it is right; exit code 2 when it is not
    #[command(after_help = "Example: octoq config validate --config /etc/octoq.toml")]
    Validate,
}

/// Does it.
pub fn run(arguments: SettingsArgs) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    match arguments.action {
        Action::Validate => {
            println!("the configuration is right");
            ExitCode::SUCCESS
        }
        Action::Show { key, changed, json } => {
            let (now, defaults) = (as_json(&config), as_json(&Config::default()));
            show(&now, &defaults, key.as_deref(), changed, json)
        }
    }
}

fn as_json(config: &Config) -> serde_json::Value {
    // Structs of plain fields always serialise.
    serde_json::to_value(config).unwrap_or_default()
}

fn show(
    now: &serde_json::Value,
    defaults: &serde_json::Value,
    key: Option<&str>,
    changed: bool,
    json: bool,
) -> ExitCode {
    let (only_section, only_key) = match key.map(|key| key.split_once('.').unwrap_or((key, ""))) {
        None => (None, None),
        Some((section, "")) => (Some(section), None),
        Some((section, key)) => (Some(section), Some(key)),
    };
    let mut kept = serde_json::Map::new();
    for (section, settings) in now.as_object().into_iter().flatten() {
        if only_section.is_some_and(|only| only != section) {
            continue;
        }
        let mut fields = settings.as_object().cloned().unwrap_or_default();
        fields.retain(|name, value| {
            only_key.is_none_or(|only| only == name)
                && (!changed || defaults[section].get(name) != Some(value))
        });
        if !fields.is_empty() {
            kept.insert(section.clone(), fields.into());
        }
    }
    if let (Some(key), true) = (key, kept.is_empty() && !changed) {
        eprintln!("octoq: there is no setting `{key}`");
        return ExitCode::from(2);
    }
    let mut out = std::io::stdout().lock();
    // A reader that has gone wants no more.
    let _ = if json {
        writeln!(out, "{}", serde_json::Value::from(kept))
    } else {
        out.write_all(toml(&kept).as_bytes())
    };
    ExitCode::SUCCESS
}

/// Sections of plain values and lists: what is in them looks the same in JSON and TOML.
fn toml(sections: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut text = String::new();
    for (section, fields) in sections {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("[{section}]\n"));
        for (name, value) in fields.as_object().into_iter().flatten() {
            text.push_str(&format!("{name} = {value}\n"));
        }
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
        let shown = toml(as_json(&config).as_object().unwrap());
        std::fs::write(&file, &shown).unwrap();
        let mut read = Config::load(Some(&file), &[]).unwrap();
        read.chosen_doors.clone_from(&config.chosen_doors);
        assert_eq!(read, config, "{shown}");
    }
}
