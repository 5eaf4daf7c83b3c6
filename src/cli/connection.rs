//! `octoq connection`: who is connected, and ending a connection.

use super::client::Ask;
use super::failure::Failure;
use super::name::encode;
use super::remote::{RemoteArgs, Session, Sure};
use super::show::{self, Table};
use super::span::{now_ms, rough};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Connections that one request asks for.
const PAGE: usize = 1000;

/// Sessions of all doors: who is connected, and what passes. For administrators.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq connection ls --door okq
  octoq connection close 17 --yes")]
pub struct ConnectionArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List connections, the oldest first
    #[command(
        alias = "list",
        after_help = "Example: octoq connection ls --door websocket --of ada"
    )]
    Ls {
        /// Only of this door: otq, okq, dsmq, websocket, events
        #[arg(long)]
        door: Option<String>,
        /// Only of this user
        #[arg(long, value_name = "USER")]
        of: Option<String>,
        /// At most so many
        #[arg(long, short = 'n', value_name = "N", default_value_t = 1000)]
        limit: usize,
    },
    /// End connections, as their protocol ends one; a client may come back
    #[command(after_help = "Example: octoq connection close 17 --yes")]
    Close {
        /// Their numbers, see `octoq connection ls`
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u64>,
        #[command(flatten)]
        sure: Sure,
    },
}

/// Does it.
pub fn run(arguments: ConnectionArgs) -> ExitCode {
    let ConnectionArgs { remote, action } = arguments;
    remote.run(async |session| match action {
        Action::Ls { door, of, limit } => list(session, door, of, limit).await,
        Action::Close { ids, sure } => close(session, ids, sure).await,
    })
}

async fn list(
    session: &mut Session,
    door: Option<String>,
    of: Option<String>,
    limit: usize,
) -> Result<(), Failure> {
    let mut filter = String::new();
    for (name, value) in [("door", door), ("user", of)] {
        if let Some(value) = value {
            filter.push_str(&format!("&{name}={}", encode(value.as_bytes())));
        }
    }
    let (mut rows, mut after) = (Vec::new(), Some("0".to_owned()));
    while let Some(from) = after.take().filter(|_| rows.len() < limit) {
        let page = PAGE.min(limit - rows.len());
        let path = format!("/v1/connections?limit={page}&after={from}{filter}");
        let mut answer: Value = session.ask(Ask::get(path)).await?.json()?;
        after = answer["next"].as_str().map(str::to_owned);
        if let Value::Array(more) = answer["connections"].take() {
            rows.extend(more);
        }
    }
    if session.json {
        return session.done("", &json!({ "connections": rows }));
    }
    let now = now_ms();
    let mut table = Table::new(&[
        "id>", "door", "peer", "user", "for>", "subs>", "held>", "buffer>", "in/s>", "out/s>", "",
    ]);
    for row in &rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let rate = |key: &str| show::count(row[key].as_f64().unwrap_or_default().round() as u64);
        let since = row["since_ms"].as_i64().unwrap_or(now);
        table.row([
            text("id"),
            text("door"),
            text("peer"),
            text("user"),
            rough(now.saturating_sub(since).unsigned_abs()),
            row["subscriptions"].to_string(),
            row["in_flight"].to_string(),
            show::bytes(row["buffer_bytes"].as_u64().unwrap_or_default()),
            rate("received_per_s"),
            rate("sent_per_s"),
            if row["slow"] == true { "slow".to_owned() } else { String::new() },
        ]);
    }
    table.print(&mut session.out)?;
    Ok(())
}

async fn close(session: &mut Session, ids: Vec<u64>, sure: Sure) -> Result<(), Failure> {
    sure.ask(&format!("{} connections are ended.", ids.len()))?;
    for id in ids {
        session.ask(Ask::delete(format!("/v1/connections/{id}"))).await?;
        let closed = json!({ "connection": id.to_string(), "closed": true });
        session.done(format_args!("connection {id} closed"), &closed)?;
    }
    Ok(())
}
