//! `octoq user`: users of a running broker, or of a store that no broker uses.

use super::ConfigArgs;
use super::client::Ask;
use super::failure::{Code, Failure};
use super::name::encode;
use super::remote::{RemoteArgs, Session, Sure, typed};
use super::show::Table;
use crate::auth::{Accounts, hash_password};
use crate::journal::{Journal, JournalError, Submission};
use crate::queue::{Level, Record};
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

/// Users of a running broker; where none answers, of the store of the configuration. With --offline,
/// --set or --config always of the store, which no broker may use then.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  echo 'a better one' | octoq user passwd admin
  octoq user put ada --topic orders --topic news
  octoq user put screen --role viewer
  octoq user ls --url http://10.0.0.5:6790 --user admin")]
pub struct UserArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    config: ConfigArgs,
    /// Of the store, which no broker may use
    #[arg(long, global = true)]
    offline: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List users and their roles
    #[command(alias = "list", after_help = "Example: octoq user ls")]
    Ls,
    /// Set a user's password: asked for, or the first line of standard input
    #[command(after_help = "Example: echo 'a better one' | octoq user passwd admin")]
    Passwd {
        /// The user
        name: String,
    },
    /// Make a user, or set its password, role and topics; the password as in `passwd`
    #[command(
        alias = "add",
        after_help = "Example: echo 'a secret' | octoq user put ada --topic orders"
    )]
    Put {
        /// The user
        name: String,
        /// admin may do everything; operator everything but users; viewer look at everything;
        /// user what its topics give
        #[arg(long, env = "OCTOQ_ROLE")]
        role: Option<String>,
        /// A topic on which it may do everything; may be repeated
        #[arg(long = "topic", env = "OCTOQ_TOPICS", value_delimiter = ',')]
        topics: Vec<String>,
    },
    /// Change a user's role or topics; its password stays
    #[command(after_help = "Examples:
  octoq user edit ada --role viewer
  octoq user edit ada --topic orders --topic news")]
    Edit {
        /// The user
        name: String,
        /// As in `put`
        #[arg(long, env = "OCTOQ_ROLE", required_unless_present = "topics")]
        role: Option<String>,
        /// The topics on which it may do everything, instead of those it has; may be repeated
        #[arg(long = "topic", env = "OCTOQ_TOPICS", value_delimiter = ',')]
        topics: Vec<String>,
    },
    /// Remove a user
    #[command(after_help = "Example: octoq user rm ada --yes")]
    Rm {
        /// The user
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// An action with everything that must be asked for.
#[derive(Debug, Clone)]
enum Asked {
    Ls,
    Passwd { name: String, password: String },
    Put { name: String, password: String, role: Option<String>, topics: Option<Vec<String>> },
    Edit { name: String, role: Option<String>, topics: Option<Vec<String>> },
    Rm { name: String },
}

/// Does it; 0 when it is in the store.
pub fn run(arguments: UserArgs) -> ExitCode {
    let UserArgs { remote, config, offline, action } = arguments;
    let named_store = offline || config.is_typed();
    let json = remote.json;
    let done = (|| {
        let asked = action.ask(named_store)?;
        if named_store {
            return off_line(&config, asked, json);
        }
        let done = remote.try_run(async |session| on_line(session, asked.clone()).await);
        match done {
            // Nobody said which broker is meant, and there is none here.
            Err(failure) if failure.code() == Some(Code::Unreachable) && !remote.is_named() => {
                off_line(&config, asked, json)
            }
            done => done,
        }
    })();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(json),
    }
}

impl Action {
    fn ask(self, of_store: bool) -> Result<Asked, Failure> {
        Ok(match self {
            Action::Ls => Asked::Ls,
            Action::Passwd { name } => Asked::Passwd { password: ask_password(&name)?, name },
            Action::Put { name, role, topics } => Asked::Put {
                password: ask_password(&name)?,
                name,
                role,
                topics: (!topics.is_empty()).then_some(topics),
            },
            Action::Edit { name, role, topics } => {
                Asked::Edit { name, role, topics: (!topics.is_empty()).then_some(topics) }
            }
            Action::Rm { name, sure } => {
                // A store that nobody uses has always been changed without a question.
                if !of_store {
                    sure.ask(&format!("User `{name}` and its tokens are removed."))?;
                }
                Asked::Rm { name }
            }
        })
    }
}

fn ask_password(name: &str) -> Result<String, Failure> {
    // An empty one is refused where it is hashed.
    if std::io::stdin().is_terminal() {
        return Ok(super::prompt::password(&format!("New password of {name}: "))?);
    }
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

async fn on_line(session: &mut Session, asked: Asked) -> Result<(), Failure> {
    let path = |name: &str| format!("/v1/users/{}", encode(name.as_bytes()));
    match asked {
        Asked::Ls => {
            let answer = session.ask(Ask::get("/v1/users")).await?;
            if session.json {
                return session.print_json(&answer);
            }
            let listed: Value = answer.json()?;
            let mut table = Table::new(&["user", "role", "topics"]);
            for user in listed["users"].as_array().into_iter().flatten() {
                let text = |key: &str| user[key].as_str().unwrap_or_default().to_owned();
                let topics = user["topics"].as_array().into_iter().flatten();
                let topics: Vec<&str> = topics.filter_map(Value::as_str).collect();
                table.row([text("name"), text("role"), topics.join(", ")]);
            }
            table.print(&mut session.out)?;
            Ok(())
        }
        Asked::Passwd { name, password } => {
            // A PUT would make a user that is not there. Who is no admin changes only itself.
            if let Ok(answer) = session.ask(Ask::get("/v1/users")).await {
                let listed: Value = answer.json()?;
                let mut users = listed["users"].as_array().into_iter().flatten();
                if !users.any(|user| user["name"] == name.as_str()) {
                    return Err(no_user(&name));
                }
            }
            session.ask(Ask::put(path(&name)).json(&json!({ "password": password }))?).await?;
            session.done(
                format_args!("user {name} has a new password"),
                &json!({ "user": name, "changed": true }),
            )
        }
        Asked::Put { name, password, role, topics } => {
            let mut body = json!({ "password": password });
            if let Some(role) = role {
                body["role"] = role.into();
            }
            if let Some(topics) = topics {
                body["topics"] = topics.into();
            }
            session.ask(Ask::put(path(&name)).json(&body)?).await?;
            session.done(
                format_args!("user {name} is there"),
                &json!({ "user": name, "changed": true }),
            )
        }
        Asked::Edit { name, role, topics } => {
            let mut body = json!({});
            if let Some(role) = role {
                body["role"] = role.into();
            }
            if let Some(topics) = topics {
                body["topics"] = topics.into();
            }
            session.ask(Ask::patch(path(&name)).json(&body)?).await?;
            session.done(
                format_args!("user {name} is changed"),
                &json!({ "user": name, "changed": true }),
            )
        }
        Asked::Rm { name } => {
            session.ask(Ask::delete(path(&name))).await?;
            session.done(
                format_args!("user {name} removed"),
                &json!({ "user": name, "removed": true }),
            )
        }
    }
}

fn no_user(name: &str) -> Failure {
    Failure::error(format!("there is no user `{name}`; `octoq user put` makes one"))
}

fn off_line(config: &ConfigArgs, asked: Asked, json: bool) -> Result<(), Failure> {
    let config = config.load().map_err(|_| Failure::Said(Code::Usage))?;
    let (journal, catalog) = match Journal::open(config.journal()) {
        Ok(opened) => opened,
        Err(error @ JournalError::Locked { .. }) => {
            return Err(Failure::error(format!(
                "{error}; while the broker runs, name it with --url (or use PUT /v1/users/NAME)"
            )));
        }
        Err(error) => return Err(Failure::error(error.to_string())),
    };
    let done = crate::server::load_accounts(&journal, &catalog)
        .map_err(|error| Failure::error(error.to_string()))
        .and_then(|accounts| act(asked, accounts, &journal, json));
    let closed = journal.close();
    done?;
    closed.map_err(|error| Failure::error(error.to_string()))
}

fn act(asked: Asked, mut accounts: Accounts, journal: &Journal, json: bool) -> Result<(), Failure> {
    let records = match asked {
        Asked::Ls => {
            let mut out = std::io::stdout().lock();
            if json {
                let users: Vec<Value> = accounts
                    .users()
                    .map(|(name, role)| json!({ "name": name, "role": role }))
                    .collect();
                writeln!(out, "{}", json!({ "users": users }))?;
                return Ok(());
            }
            for (name, role) in accounts.users() {
                writeln!(out, "{name}\t{role}")?;
            }
            return Ok(());
        }
        Asked::Rm { name } => {
            let tokens = accounts.tokens_of(&name);
            if !accounts.remove_user(&name) {
                return Err(Failure::error(format!("there is no user `{name}`")));
            }
            let gone = |table, key| Record::Setting { table, key, value: None };
            let mut records = vec![gone("user", name)];
            records.extend(tokens.into_iter().map(|token| gone("token", token)));
            records
        }
        Asked::Passwd { name, password } => {
            if accounts.password_hash(&name).is_none() {
                return Err(no_user(&name));
            }
            vec![put(&mut accounts, name, &password, None, None)?]
        }
        Asked::Edit { name, role, topics } => {
            let value = accounts.edit_user(&name, role.as_deref(), topics);
            let value = value.map_err(|error| Failure::error(error.to_string()))?;
            vec![Record::Setting { table: "user", key: name, value: Some(value) }]
        }
        Asked::Put { name, password, role, topics } => {
            vec![put(&mut accounts, name, &password, role.as_deref(), topics)?]
        }
    };
    let (done, told) = std::sync::mpsc::channel();
    let done = Box::new(move |result: Result<(), JournalError>| drop(done.send(result)));
    let submission = Submission { records, level: Level::Sync, done: Some(done) };
    let failed = |error: JournalError| Failure::error(error.to_string());
    journal.submit(submission).map_err(|(error, _)| failed(error))?;
    told.recv().unwrap_or(Err(JournalError::Closed)).map_err(failed)
}

fn put(
    accounts: &mut Accounts,
    name: String,
    password: &str,
    role: Option<&str>,
    topics: Option<Vec<String>>,
) -> Result<Record, Failure> {
    let hash = hash_password(password).map_err(|error| Failure::error(error.to_string()))?;
    let value = accounts.put_user(&name, &hash, role, topics);
    let value = value.map_err(|error| Failure::error(error.to_string()))?;
    Ok(Record::Setting { table: "user", key: name, value: Some(value) })
}

impl ConfigArgs {
    /// A configuration was named on the command line, not only in the environment.
    fn is_typed(&self) -> bool {
        let file = self.config.as_ref().and_then(|path| path.to_str());
        let set = (!self.set.is_empty()).then(|| self.set.join(";"));
        typed(file, "OCTOQ_CONFIG") || typed(set.as_deref(), "OCTOQ_SET")
    }
}
