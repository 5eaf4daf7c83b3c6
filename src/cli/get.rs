//! `octoq get`: receives messages, and acks them once they are printed.

use super::client::Ask;
use super::failure::{Code, Failure};
use super::message::{self, Format, Message, Messages};
use super::name::{QueueArgs, topic_path, with_query};
use super::remote::{RemoteArgs, Session};
use super::span::Span;
use std::{
    io::Write as _,
    process::ExitCode,
    time::{Duration, Instant},
};

/// Most messages of one request.
const BATCH_MAX: u64 = 1000;
/// A long wait is made of requests that wait so long at most.
const ROUND: Duration = Duration::from_secs(20);

/// Receive messages. Each is acked when it has been printed, unless --no-ack is said: then it comes
/// back at its deadline, or is acked by its receipt. Exit code 3: there was none.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq get orders
  octoq get orders -q billing --wait 30s -n 10 --output json
  octoq get orders --no-ack --output json | jq -r .receipt
  octoq get orders --follow | while read -r line; do handle \"$line\"; done")]
pub struct GetArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    of: QueueArgs,
    /// Most messages
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// Wait so long for the first
    #[arg(long, short, value_name = "SPAN", default_value = "0")]
    wait: Span,
    /// Go on until Ctrl-C, or until -n messages came when that is said, too
    #[arg(long, short)]
    follow: bool,
    /// Ack what was printed (the default)
    #[arg(long, overrides_with = "no_ack")]
    ack: bool,
    /// Leave them in flight
    #[arg(long, overrides_with = "ack")]
    no_ack: bool,
    /// How long until an ack must come; the queue's own when left out
    #[arg(long, value_name = "SPAN")]
    ack_deadline: Option<Span>,
    /// How they are printed
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

/// Receives.
pub fn run(arguments: GetArgs) -> ExitCode {
    arguments.remote.run(async |session| get(session, &arguments).await)
}

async fn get(session: &mut Session, arguments: &GetArgs) -> Result<(), Failure> {
    let format = if session.json { Format::Json } else { arguments.output };
    let mut left = match arguments.follow && arguments.count == 1 {
        true => u64::MAX,
        false => arguments.count,
    };
    let deadline = Instant::now() + arguments.wait.duration();
    let mut got: u64 = 0;
    while left > 0 {
        let patience = if arguments.follow {
            ROUND
        } else if got == 0 {
            deadline.saturating_duration_since(Instant::now()).min(ROUND)
        } else {
            Duration::ZERO
        };
        let count = receive(session, arguments, left.min(BATCH_MAX), patience, format).await?;
        got += count;
        left -= count.min(left);
        let over = count == 0 && !arguments.follow && (got > 0 || Instant::now() >= deadline);
        if session.stopped || over {
            break;
        }
    }
    if got == 0 && !arguments.follow {
        return Err(Failure::new(Code::Empty, "there is no message"));
    }
    Ok(())
}

async fn receive(
    session: &mut Session,
    arguments: &GetArgs,
    max: u64,
    patience: Duration,
    format: Format,
) -> Result<u64, Failure> {
    let deadline = arguments.ack_deadline.map(|span| span.millis().to_string());
    let query = [
        ("max", Some(max.to_string())),
        ("wait_ms", Some(patience.as_millis().to_string())),
        ("ack_deadline_ms", deadline),
    ];
    let path = with_query(format!("{}/receive", arguments.of.path()), &query);
    let ask = Ask::post(path).waits(patience);
    let Some(answer) = session.until_stopped(async |client| client.ask(ask).await).await? else {
        return Ok(0);
    };
    let answer = answer?;
    let Messages { messages, .. } = serde_json::from_slice(&answer.body)?;
    let mut receipts = Vec::new();
    for raw in &messages {
        message::print(&mut session.out, raw, format)?;
        receipts.extend(Message::of(raw)?.receipt.map(std::borrow::Cow::into_owned));
    }
    // Only what is out of our hands is acked.
    session.out.flush()?;
    if arguments.no_ack {
        if format != Format::Json {
            receipts.iter().for_each(|receipt| eprintln!("receipt {receipt}"));
        }
    } else if !receipts.is_empty() {
        let path = format!("{}/ack", topic_path(&arguments.of.topic));
        let ask = Ask::post(path).json(&serde_json::json!({ "receipts": receipts }))?;
        let answer = session.ask(ask).await?;
        if let Some(code) = super::answer::refused(&answer, &receipts)?.code {
            return Err(Failure::Said(code));
        }
    }
    Ok(messages.len() as u64)
}
