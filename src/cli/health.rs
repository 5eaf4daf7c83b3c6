//! `octoq health`: does a broker serve?

use super::client::Ask;
use super::failure::{Code, Failure};
use super::remote::{RemoteArgs, Session};
use super::span::Span;
use serde_json::json;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// How often a broker that does not serve yet is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Ask whether a broker is there and takes work. Exit codes: 0 it does, 1 its disk is full, 5 it is not
/// reachable or not ready, 3 not in the time that --wait gives it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq health
  octoq health --wait 30s && octoq topic new orders")]
pub struct HealthArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Wait so long until it serves
    #[arg(long, short, value_name = "SPAN", default_value = "0")]
    wait: Span,
}

/// Asks.
pub fn run(arguments: HealthArgs) -> ExitCode {
    let HealthArgs { remote, wait } = arguments;
    remote.run(async |session| health(session, wait).await)
}

async fn health(session: &mut Session, wait: Span) -> Result<(), Failure> {
    let deadline = Instant::now() + wait.duration();
    loop {
        let asked =
            session.until_stopped(async |client| client.ask(Ask::get("/readyz")).await).await?;
        let Some(answer) = asked else { return Err(Failure::Said(Code::Empty)) };
        let failure = match answer {
            Ok(_) => {
                let url = session.client.place().url();
                return session
                    .done(format_args!("{url} serves"), &json!({ "ready": true, "url": url }));
            }
            Err(failure) => failure,
        };
        let can_come = matches!(failure.code(), Some(Code::Unreachable | Code::Empty));
        if !can_come || wait.millis() == 0 {
            return Err(failure);
        }
        if Instant::now() >= deadline {
            let url = session.client.place().url();
            return Err(Failure::new(Code::Empty, format!("{url} does not serve after {wait}")));
        }
        session.until_stopped(async |_| tokio::time::sleep(AGAIN).await).await?;
    }
}
