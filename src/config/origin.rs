//! Where each setting comes from, for who wonders why it is what it is.

use super::Config;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The configuration file.
    File,
    /// A variable.
    Environment,
    /// `--set`, or another program's flag that stands for it.
    Flag,
}

/// The sources of the settings that somebody set, by `section.key`: the one that won, and its name.
pub type Origins = BTreeMap<String, (Origin, String)>;

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// `section.key`
    pub key: String,
    /// Its value; secrets are `***`.
    pub value: Value,
    /// What it is when nobody says anything.
    pub default: Value,
    /// Where it comes from.
    pub origin: Origin,
    /// The file, the variable, the flag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// Words in the name of a key whose text is a secret.
const SECRET_WORDS: [&str; 6] = ["password", "passphrase", "secret", "token", "key", "credentials"];

/// Instead of a secret.
const MASK: &str = "***";

/// A value as it may be shown.
fn masked(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() && is_secret(key, text) => MASK.into(),
        Value::Array(items) => items.iter().map(|item| masked(key, item)).collect(),
        other => other.clone(),
    }
}

fn is_secret(key: &str, text: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    let named = name.split('_').any(|word| SECRET_WORDS.contains(&word));
    // A URL may hold a password.
    let login = text.split_once("://").and_then(|(_, rest)| {
        let (login, _) = rest.split('/').next()?.rsplit_once('@')?;
        login.split_once(':')
    });
    named || login.is_some()
}

/// Takes note of what a source says: what comes later wins.
pub(super) fn note(origins: &mut Origins, said: &Value, origin: Origin, name: &str) {
    for (section, keys) in said.as_object().into_iter().flatten() {
        for key in keys.as_object().into_iter().flatten().map(|(key, _)| key) {
            let from = match origin {
                Origin::Environment if name.is_empty() => {
                    format!("OCTOQ__{section}__{key}").to_ascii_uppercase()
                }
                _ => name.to_owned(),
            };
            origins.insert(format!("{section}.{key}"), (origin, from));
        }
    }
}

impl Config {
    /// Every setting with where it comes from, in the order of their names; secrets are masked.
    pub fn settings(&self) -> Vec<Setting> {
        // Structs of plain fields always serialise.
        let value_of = |config: &Config| serde_json::to_value(config).unwrap_or_default();
        let (now, defaults) = (value_of(self), value_of(&Config::default()));
        let mut settings = Vec::new();
        for (section, keys) in now.as_object().into_iter().flatten() {
            for (key, value) in keys.as_object().into_iter().flatten() {
                let default = defaults[section].get(key).cloned().unwrap_or_default();
                let key = format!("{section}.{key}");
                let (origin, from) = match self.origins.get(&key) {
                    Some((origin, from)) => (*origin, Some(from.clone())),
                    None => (Origin::Default, None),
                };
                let value = masked(&key, value);
                settings.push(Setting { key, value, default, origin, from });
            }
        }
        settings.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_setting_tells_its_source_and_the_last_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, "[limits]\ntopics_max = 5\nbatch_max = 77\n").unwrap();
        let set = ["limits.batch_max=88".to_owned(), "http.origins=a,b".to_owned()];
        let aliases = [("okq.listen", "127.0.0.1:0".to_owned())];
        let config = Config::load_with(Some(&file), &aliases, &set).unwrap();
        let settings = config.settings();
        let of = |key: &str| {
            let found = settings.iter().find(|setting| setting.key == key).unwrap();
            (found.value.clone(), found.default.clone(), found.origin, found.from.clone())
        };
        let shown = file.display().to_string();
        let table = [
            ("limits.topics_max", (json!(5), json!(0), Origin::File, Some(shown))),
            (
                "limits.batch_max",
                (json!(88), json!(10_000), Origin::Flag, Some("--set".to_owned())),
            ),
            ("http.origins", (json!(["a", "b"]), json!([]), Origin::Flag, Some("--set".into()))),
            ("store.queue_max", (json!(4096), json!(4096), Origin::Default, None)),
        ];
        for (key, expected) in table {
            assert_eq!(of(key), expected, "{key}");
        }
        assert_eq!(of("okq.listen").2, Origin::Flag);
        assert!(settings.is_sorted_by(|one, other| one.key < other.key));
    }

    #[test]
    fn secrets_are_masked_and_nothing_else() {
        let table = [
            ("auth.admin_password", json!("hunter2"), json!("***")),
            ("auth.allow_stock_password", json!(true), json!(true)),
            ("tls.private_key", json!("abc"), json!("***")),
            ("tls.private_key", json!(""), json!("")),
            ("limits.dedup_keys_max", json!(5), json!(5)),
            ("x.url", json!("postgres://me:secret@db/x"), json!("***")),
            ("x.url", json!("http://db/x?y=a:b@c"), json!("http://db/x?y=a:b@c")),
            ("x.tokens", json!("plain"), json!("plain")),
            ("x.token", json!(["a", ""]), json!(["***", ""])),
            ("http.listen", json!("127.0.0.1:6790"), json!("127.0.0.1:6790")),
        ];
        for (key, value, shown) in table {
            assert_eq!(masked(key, &value), shown, "{key}");
        }
    }
}
