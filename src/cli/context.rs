//! `octoq context`: named brokers, kept in a file that only its owner can read.

use super::client::Place;
use super::failure::Failure;
use super::prompt::{self, Secret};
use super::remote::Sure;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::PathBuf,
    process::ExitCode,
};

/// Longest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One named broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Its native door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Who to log in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shown")]
    pub password: Option<Secret>,
    /// A token instead.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shown")]
    pub token: Option<Secret>,
}

/// A secret in the file, where it must be readable.
mod shown {
    use super::Secret;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub fn serialize<S: Serializer>(secret: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(Secret::reveal).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::from))
    }
}

/// All named brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Contexts {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    contexts: BTreeMap<String, Context>,
}

/// `$XDG_CONFIG_HOME/octoq/contexts.json`, or below `~/.config`.
fn file() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The specification ignores a path that is not absolute.
    let folder = set("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
    let folder = folder.or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("octoq").join("contexts.json"))
}

impl Contexts {
    /// Reads the file; none is an empty one.
    pub fn load() -> Result<Contexts, Failure> {
        let Some(path) = file() else { return Ok(Contexts::default()) };
        let wrong = |problem: String| Failure::usage(format!("{}: {problem}", path.display()));
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Contexts::default());
            }
            Err(error) => return Err(wrong(error.to_string())),
        };
        if found.permissions().mode() & 0o077 != 0 {
            return Err(wrong("others can read it, and it may hold passwords: chmod 600".into()));
        }
        if found.len() > FILE_BYTES_MAX {
            return Err(wrong("it is too long".into()));
        }
        let text = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }

    /// Writes the file anew, whole or not at all.
    fn save(&self) -> Result<(), Failure> {
        let path =
            file().ok_or_else(|| Failure::usage("neither XDG_CONFIG_HOME nor HOME is set"))?;
        let wrong = |error: io::Error| Failure::error(format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
        }
        let fresh = path.with_extension(format!("{}.new", std::process::id()));
        let written =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).and_then(
                |mut to| {
                    to.write_all(&serde_json::to_vec_pretty(self)?)?;
                    to.sync_all()?;
                    fs::rename(&fresh, &path)
                },
            );
        if written.is_err() {
            // What is left of it is of no use.
            let _ = fs::remove_file(&fresh);
        }
        written.map_err(wrong)
    }

    /// The one of that name.
    pub fn named(&self, name: &str) -> Result<Context, Failure> {
        self.contexts.get(name).cloned().ok_or_else(|| {
            Failure::usage(format!("there is no context `{name}`; `octoq context put` makes one"))
        })
    }

    /// The one that is used when nothing else is said.
    pub fn current(&self) -> Option<Context> {
        self.contexts.get(self.current.as_deref()?).cloned()
    }
}

/// Named brokers, so that URL and login need not be repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq context put prod --url http://10.0.0.5:6790 --user ada
  octoq context use prod
  octoq topic ls --context prod")]
pub struct ContextArgs {
    /// Print JSON (never with passwords or tokens)
    #[arg(long, env = "OCTOQ_JSON", global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List them; `*` marks the one in use
    #[command(after_help = "Example: octoq context ls")]
    Ls,
    /// Make or change one
    #[command(after_help = "Examples:
  octoq context put prod --url http://10.0.0.5:6790 --user ada --ask-password
  octoq context put ci --url http://broker:6790 --token \"$TOKEN\" --use")]
    Put {
        /// Its name
        name: String,
        /// The broker's native door
        #[arg(long)]
        url: Option<String>,
        /// Who to log in as
        #[arg(long)]
        user: Option<String>,
        /// Ask for the password, or read it from the first line of standard input; without it, each
        /// command asks, or takes OCTOQ_PASSWORD
        #[arg(long)]
        ask_password: bool,
        /// A bearer token instead of user and password
        #[arg(long, hide_env_values = true)]
        token: Option<Secret>,
        /// Use it from now on
        #[arg(long = "use")]
        used: bool,
    },
    /// Use one from now on, when nothing else is said
    #[command(after_help = "Example: octoq context use prod")]
    Use {
        /// Its name
        name: String,
    },
    /// Use none
    #[command(after_help = "Example: octoq context unset")]
    Unset,
    /// Forget one
    #[command(after_help = "Example: octoq context rm prod")]
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Does it.
pub fn run(arguments: ContextArgs) -> ExitCode {
    let ContextArgs { json, action } = arguments;
    match act(action, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}

fn act(action: Action, json: bool) -> Result<(), Failure> {
    let mut contexts = Contexts::load()?;
    let named = match action {
        Action::Ls => return list(&contexts, json),
        Action::Put { name, url, user, ask_password, token, used } => {
            if name.is_empty() {
                return Err(Failure::usage("a context needs a name"));
            }
            if let Some(url) = &url {
                Place::parse(url).map_err(Failure::usage)?;
            }
            let context = contexts.contexts.entry(name.clone()).or_default();
            if context.url.is_none() && url.is_none() {
                return Err(Failure::usage("a new context needs --url"));
            }
            let password = match ask_password {
                true => Some(secret(&name)?),
                false => None,
            };
            context.url = url.or(context.url.take());
            context.user = user.or(context.user.take());
            context.password = password.or(context.password.take());
            context.token = token.or(context.token.take());
            if used {
                contexts.current = Some(name.clone());
            }
            Some(name)
        }
        Action::Use { name } => {
            contexts.named(&name)?;
            contexts.current = Some(name.clone());
            Some(name)
        }
        Action::Unset => {
            contexts.current = None;
            None
        }
        Action::Rm { name, sure } => {
            contexts.named(&name)?;
            sure.ask(&format!("The context `{name}` is forgotten, with what it keeps to log in."))?;
            contexts.contexts.remove(&name);
            contexts.current.take_if(|current| *current == name);
            Some(name)
        }
    };
    contexts.save()?;
    if json {
        let left = named.filter(|name| contexts.contexts.contains_key(name));
        let about =
            left.and_then(|name| Some(about(&contexts, &name, contexts.contexts.get(&name)?)));
        let current = contexts.current.clone();
        println!("{}", serde_json::json!({ "context": about, "current": current }));
    }
    Ok(())
}

/// One of them, without its secrets.
fn about(contexts: &Contexts, name: &str, context: &Context) -> serde_json::Value {
    serde_json::json!({
        "name": name,
        "current": contexts.current.as_deref() == Some(name),
        "url": context.url.as_deref().unwrap_or_default(),
        "user": context.user,
        "login": login(context),
    })
}

/// What it logs in with.
fn login(context: &Context) -> &'static str {
    match (&context.token, &context.user) {
        (Some(_), _) => "token",
        (None, Some(_)) => "user",
        (None, None) => "none",
    }
}

fn secret(name: &str) -> Result<Secret, Failure> {
    if io::stdin().is_terminal() {
        let asked = prompt::password(&format!("Password of context {name}: "))?;
        return Ok(asked.into());
    }
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned().into())
}

fn list(contexts: &Contexts, json: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for (name, context) in &contexts.contexts {
        let current = contexts.current.as_deref() == Some(name);
        let url = context.url.as_deref().unwrap_or_default();
        let login = login(context);
        if json {
            writeln!(out, "{}", about(contexts, name, context))?;
        } else {
            let mark = if current { '*' } else { ' ' };
            let who = context.user.as_deref().filter(|_| login == "user").unwrap_or(login);
            writeln!(out, "{mark} {name}\t{url}\t{who}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_kept_with_their_secrets_and_never_shown_with_them() {
        let context = Context {
            url: Some("http://h".into()),
            user: Some("ada".into()),
            password: Some("hidden".to_owned().into()),
            token: None,
        };
        let contexts = Contexts {
            current: Some("prod".into()),
            contexts: BTreeMap::from([("prod".to_owned(), context)]),
        };
        let text = serde_json::to_string(&contexts).unwrap();
        assert_eq!(serde_json::from_str::<Contexts>(&text).unwrap(), contexts);
        assert!(text.contains("hidden") && !format!("{contexts:?}").contains("hidden"));
        assert!(!text.contains("token"));
    }
}
