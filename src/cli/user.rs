//! `octoq user`: users of a store that no broker uses. While the broker runs: `PUT /v1/users/..`.

use super::ConfigArgs;
use crate::auth::{Accounts, hash_password};
use crate::journal::{Journal, JournalError, Submission};
use crate::queue::{Level, Record};
use std::io::{BufRead as _, IsTerminal as _};
use std::process::ExitCode;

/// Users of a store that no broker uses. While the broker runs, use `PUT /v1/users/NAME`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: echo 'a better one' | octoq user passwd admin")]
pub struct UserArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List users and their roles
    Ls,
    /// Set a user's password: asked for, or the first line of standard input
    Passwd {
        /// The user
        name: String,
    },
    /// Make a user, or change its role and topics; the password as in `passwd`
    Add {
        /// The user
        name: String,
        /// admin may do everything; user what its topics give
        #[arg(long, env = "OCTOQ_ROLE")]
        role: Option<String>,
        /// A topic on which it may do everything; may be repeated
        #[arg(long = "topic", env = "OCTOQ_TOPICS", value_delimiter = ',')]
        topics: Vec<String>,
    },
    /// Remove a user
    Rm {
        /// The user
        name: String,
    },
}

/// Does it; 0 when it is in the store.
pub fn run(arguments: UserArgs) -> ExitCode {
    let config = match arguments.config.load() {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (journal, catalog) = match Journal::open(config.journal()) {
        Ok(opened) => opened,
        Err(error @ JournalError::Locked { .. }) => {
            eprintln!("octoq: {error}; while the broker runs, use PUT /v1/users/NAME");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("octoq: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = crate::server::load_accounts(&journal, &catalog)
        .map_err(|error| error.to_string())
        .and_then(|accounts| act(arguments.action, accounts, &journal));
    let closed = journal.close();
    match (done, closed) {
        (Ok(()), Ok(())) => ExitCode::SUCCESS,
        (Err(problem), _) => {
            eprintln!("octoq: {problem}");
            ExitCode::FAILURE
        }
        (Ok(()), Err(error)) => {
            eprintln!("octoq: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action, mut accounts: Accounts, journal: &Journal) -> Result<(), String> {
    let record = match action {
        Action::Ls => {
            for (name, role) in accounts.users() {
                println!("{name}\t{role}");
            }
            return Ok(());
        }
        Action::Rm { name } => {
            if !accounts.remove_user(&name) {
                return Err(format!("there is no user `{name}`"));
            }
            Record::Setting { table: "user", key: name, value: None }
        }
        Action::Passwd { name } => {
            if accounts.password_hash(&name).is_none() {
                return Err(format!("there is no user `{name}`; `octoq user add` makes one"));
            }
            put(&mut accounts, name, None, None)?
        }
        Action::Add { name, role, topics } => {
            put(&mut accounts, name, role.as_deref(), (!topics.is_empty()).then_some(topics))?
        }
    };
    let (done, told) = std::sync::mpsc::channel();
    let done = Box::new(move |result: Result<(), JournalError>| drop(done.send(result)));
    let submission = Submission { records: vec![record], level: Level::Sync, done: Some(done) };
    journal.submit(submission).map_err(|(error, _)| error.to_string())?;
    told.recv().unwrap_or(Err(JournalError::Closed)).map_err(|error| error.to_string())
}

fn put(
    accounts: &mut Accounts,
    name: String,
    role: Option<&str>,
    topics: Option<Vec<String>>,
) -> Result<Record, String> {
    let hash = hash_password(&ask_password(&name)?).map_err(|error| error.to_string())?;
    let value = accounts.put_user(&name, &hash, role, topics).map_err(|error| error.to_string())?;
    Ok(Record::Setting { table: "user", key: name, value: Some(value) })
}

fn ask_password(name: &str) -> Result<String, String> {
    // An empty one is refused where it is hashed.
    if std::io::stdin().is_terminal() {
        super::prompt::password(&format!("New password of {name}: "))
            .map_err(|error| error.to_string())
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map_err(|error| error.to_string())?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
