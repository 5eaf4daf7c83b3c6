//! `octoq token`: bearer tokens, for programs.

use super::client::Ask;
use super::failure::Failure;
use super::name::encode;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::Table;
use super::span::{Span, distance, now_ms};
use serde_json::{Value, json};
use std::{io::Write as _, process::ExitCode};

/// Bearer tokens: what a program logs in with instead of a password. A token acts for a user, with some
/// of its rights, on some topics, until it expires. The broker keeps only its hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq token put shop --for ada --rights w --topic orders --expires 90d
  OCTOQ_TOKEN=octoq_... octoq put orders 'two pizzas'
  octoq token rm shop")]
pub struct TokenArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List tokens: whose, with which rights, until when
    #[command(alias = "list", after_help = "Example: octoq token ls")]
    Ls,
    /// Make a token and print it; it cannot be shown again
    #[command(
        alias = "new",
        after_help = "Examples:
  octoq token put shop --for ada --rights w --topic orders --expires 90d
  octoq token put backup --for admin --rights a"
    )]
    Put {
        /// Its name
        name: String,
        /// The user it acts for; the one who asks when left out
        #[arg(long = "for", value_name = "USER")]
        owner: Option<String>,
        /// Letters: l look, r read, w write, c clear, n make topics, m manage topics, a all that the user may
        #[arg(long, default_value = "rw")]
        rights: String,
        /// Only on this topic; may be repeated
        #[arg(long = "topic", value_delimiter = ',')]
        topics: Vec<String>,
        /// Not longer than this
        #[arg(long, value_name = "SPAN")]
        expires: Option<Span>,
        /// Instead of one that has this name, which is good no more
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        sure: Sure,
    },
    /// Remove a token: it is good no more
    #[command(after_help = "Example: octoq token rm shop --yes")]
    Rm {
        /// Its name
        name: String,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Does it.
pub fn run(arguments: TokenArgs) -> ExitCode {
    let TokenArgs { remote, action } = arguments;
    remote.run(async |session| act(session, action).await)
}

fn path(name: &str) -> String {
    format!("/v1/tokens/{}", encode(name.as_bytes()))
}

async fn act(session: &mut Session, action: Action) -> Result<(), Failure> {
    match action {
        Action::Ls => list(session).await,
        Action::Put { name, owner, rights, topics, expires, replace, sure } => {
            if replace {
                sure.ask(&format!("The token `{name}` of before is good no more."))?;
                match session.ask(Ask::delete(path(&name))).await {
                    Err(Failure::Refused(problem)) if problem.code == "token_not_found" => (),
                    removed => drop(removed?),
                }
            }
            let mut body = json!({ "name": name, "rights": rights });
            if let Some(user) = owner {
                body["user"] = user.into();
            }
            if !topics.is_empty() {
                body["topics"] = topics.into();
            }
            if let Some(span) = expires {
                body["ttl_ms"] = span.millis().into();
            }
            let answer = session.ask(Ask::post("/v1/tokens").json(&body)?).await?;
            if session.json {
                return session.print_json(&answer);
            }
            let made: Value = answer.json()?;
            writeln!(session.out, "{}", made["token"].as_str().unwrap_or_default())?;
            Ok(())
        }
        Action::Rm { name, sure } => {
            sure.ask(&format!("The token `{name}` is good no more."))?;
            session.ask(Ask::delete(path(&name))).await?;
            session.done(
                format_args!("token {name} removed"),
                &json!({ "token": name, "removed": true }),
            )
        }
    }
}

async fn list(session: &mut Session) -> Result<(), Failure> {
    let answer = session.ask(Ask::get("/v1/tokens")).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let listed: Value = answer.json()?;
    let now = now_ms();
    let mut table = Table::new(&["token", "user", "rights", "topics", "expires"]);
    for token in listed["tokens"].as_array().into_iter().flatten() {
        let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
        let topics = token["topics"].as_array().into_iter().flatten();
        let topics: Vec<&str> = topics.filter_map(Value::as_str).collect();
        let topics = if topics.is_empty() { "all".to_owned() } else { topics.join(", ") };
        let expires = match token["expires_at_ms"].as_i64() {
            Some(at) if at <= now => "expired".to_owned(),
            Some(at) => distance(at, now),
            None => "never".to_owned(),
        };
        table.row([text("name"), text("user"), text("rights"), topics, expires]);
    }
    table.print(&mut session.out)?;
    Ok(())
}
