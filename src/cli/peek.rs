//! `octoq peek`: looks at messages without taking any.

use super::client::Ask;
use super::failure::{Code, Failure};
use super::filter::{self, FilterArgs};
use super::message::{self, Format, Messages};
use super::name::{QueueArgs, with_query};
use super::remote::{RemoteArgs, Session};
use serde_json::value::RawValue;
use std::process::ExitCode;

/// Look at messages without taking them: those next in line, or with --state or a filter those in any
/// state. Exit code 3: there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq peek orders
  octoq peek orders -n 5 --back
  octoq peek orders --state delayed --attr shop=north --older 1h")]
pub struct PeekArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    of: QueueArgs,
    /// Most messages
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// From the other end: what is handed out last
    #[arg(long, conflicts_with = "state")]
    back: bool,
    /// Those in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    #[command(flatten)]
    filter: FilterArgs,
    /// How they are printed; with a line about each when left out
    #[arg(long, short, value_enum)]
    output: Option<Format>,
}

/// Where a message is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum State {
    /// Can be handed out
    Ready,
    /// Waits for its time
    Delayed,
    /// Handed out, not acked
    #[value(name = "in_flight", alias = "in-flight")]
    InFlight,
    /// A dead letter
    Dead,
}

impl State {
    /// As the API has it.
    pub fn word(self) -> &'static str {
        match self {
            State::Ready => "ready",
            State::Delayed => "delayed",
            State::InFlight => "in_flight",
            State::Dead => "dead",
        }
    }
}

/// Looks.
pub fn run(arguments: PeekArgs) -> ExitCode {
    arguments.remote.run(async |session| peek(session, &arguments).await)
}

/// Prints a message as asked: described when nothing was.
pub fn print(session: &mut Session, raw: &RawValue, format: Option<Format>) -> Result<(), Failure> {
    match format {
        None if !session.json => message::print_described(&mut session.out, raw),
        Some(format) if !session.json => message::print(&mut session.out, raw, format),
        _ => message::print(&mut session.out, raw, Format::Json),
    }
}

async fn peek(session: &mut Session, arguments: &PeekArgs) -> Result<(), Failure> {
    let PeekArgs { of, count, back, state, filter, output, .. } = arguments;
    let found = if state.is_none() && filter.is_empty() {
        let end = if *back { "back" } else { "front" };
        let query = [("end", Some(end.to_owned())), ("max", Some(count.to_string()))];
        let answer =
            session.ask(Ask::get(with_query(format!("{}/peek", of.path()), &query))).await?;
        let Messages { messages, .. } = serde_json::from_slice(&answer.body)?;
        for raw in &messages {
            print(session, raw, *output)?;
        }
        messages.len() as u64
    } else {
        if *back {
            return Err(Failure::usage("--back goes with neither --state nor a filter"));
        }
        let state = state.unwrap_or(State::Ready);
        filter::each(session, of, Some(state.word()), filter, *count, |session, raw| {
            print(session, raw, *output)
        })
        .await?
    };
    match found {
        0 => Err(Failure::new(Code::Empty, "there is no such message")),
        _ => Ok(()),
    }
}
