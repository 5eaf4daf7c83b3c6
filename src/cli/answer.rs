//! `octoq ack`, `nack` and `touch`: what becomes of messages that were handed out.

use super::client::{Answer, Ask};
use super::failure::{Code, Failure, Problem};
use super::name::{Name, topic_path};
use super::remote::{RemoteArgs, Session};
use super::span::{Span, distance, now_ms};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead as _, Write as _},
    process::ExitCode,
};

/// Most receipts or ids of one request.
const BATCH_MAX: usize = 1000;

/// Which deliveries are meant.
#[derive(Debug, Clone, clap::Args)]
struct WhichArgs {
    /// The topic
    topic: Name,
    /// Receipts, as `get --no-ack` gave them; `-` reads them, or the JSON of `get`, from the lines of
    /// standard input
    #[arg(required_unless_present = "ids", conflicts_with = "ids")]
    receipts: Vec<String>,
    /// By the id of a message in flight instead; may be repeated
    #[arg(long = "id", value_name = "ID")]
    ids: Vec<String>,
    /// The queue of the ids
    #[arg(long, short, default_value = "default")]
    queue: Name,
}

/// Say that messages are done: they are removed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq ack orders 000000010000000025ceade8668647be
  octoq get orders --no-ack -n 10 --output json | octoq ack orders -
  octoq ack orders --id 01a1fdbd-30b5-700e-8870-000000000001")]
pub struct AckArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    which: WhichArgs,
}

/// Give messages back: to be tried again, or as dead letters.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq nack orders 000000010000000025ceade8668647be --delay 30s --error 'no stock'
  octoq nack orders --id 01a1fdbd-30b5-700e-8870-000000000001 --dead")]
pub struct NackArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Ready again after this long; the queue's backoff when left out
    #[arg(long, value_name = "SPAN")]
    delay: Option<Span>,
    /// Why; kept with the message
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// It did not fail: the delivery does not count
    #[arg(long, conflicts_with = "dead")]
    release: bool,
    /// It becomes a dead letter at once
    #[arg(long)]
    dead: bool,
}

/// Keep messages for longer before they come back.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: octoq touch orders 000000010000000025ceade8668647be --for 5m")]
pub struct TouchArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// So long from now
    #[arg(long = "for", value_name = "SPAN", default_value = "30s")]
    span: Span,
}

/// Acks.
pub fn ack(arguments: AckArgs) -> ExitCode {
    let AckArgs { remote, which } = arguments;
    remote.run(async |session| answer(session, which, "ack", json!({})).await)
}

/// Nacks.
pub fn nack(arguments: NackArgs) -> ExitCode {
    let NackArgs { remote, which, delay, error, release, dead } = arguments;
    let mode = match (release, dead) {
        (true, _) => "release",
        (_, true) => "dead",
        _ => "fail",
    };
    let mut fields = json!({ "mode": mode });
    if let Some(delay) = delay {
        fields["delay_ms"] = delay.millis().into();
    }
    if let Some(error) = error {
        fields["error"] = error.into();
    }
    remote.run(async |session| answer(session, which, "nack", fields).await)
}

/// Extends.
pub fn touch(arguments: TouchArgs) -> ExitCode {
    let TouchArgs { remote, which, span } = arguments;
    let fields = json!({ "ack_deadline_ms": span.millis() });
    remote.run(async |session| answer(session, which, "extend", fields).await)
}

impl WhichArgs {
    /// What is meant, and the field it is sent in.
    fn named(&self) -> Result<(&'static str, Vec<String>), Failure> {
        if !self.ids.is_empty() {
            return Ok(("ids", self.ids.clone()));
        }
        let mut receipts = Vec::new();
        for receipt in &self.receipts {
            if receipt != "-" {
                receipts.push(receipt.clone());
                continue;
            }
            for line in io::stdin().lock().lines() {
                let line = line?;
                match line.trim() {
                    "" => (),
                    json if json.starts_with('{') => receipts.push(receipt_of(json)?),
                    receipt => receipts.push(receipt.to_owned()),
                }
            }
        }
        Ok(("receipts", receipts))
    }
}

fn receipt_of(json: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Delivery {
        receipt: String,
    }
    let delivery: Result<Delivery, _> = serde_json::from_str(json);
    let delivery = delivery.map_err(|error| Failure::usage(format!("standard input: {error}")))?;
    Ok(delivery.receipt)
}

async fn answer(
    session: &mut Session,
    which: WhichArgs,
    verb: &str,
    fields: Value,
) -> Result<(), Failure> {
    let (field, named) = which.named()?;
    if named.is_empty() {
        return Err(Failure::new(Code::Empty, "no receipts were given"));
    }
    let path = format!("{}/{verb}", topic_path(&which.topic));
    let mut first = None;
    for part in named.chunks(BATCH_MAX) {
        let mut body = fields.clone();
        body[field] = part.into();
        if field == "ids" {
            body["queue"] = which.queue.to_string().into();
        }
        let answer = session.ask(Ask::post(&path).json(&body)?).await?;
        if session.json {
            session.print_json(&answer)?;
        } else {
            print(session, &answer, part)?;
        }
        first = first.or(refused(&answer, part)?.code);
    }
    match first {
        Some(code) => Err(Failure::Said(code)),
        None => Ok(()),
    }
}

/// One entry of the answer.
#[derive(Debug, Deserialize)]
struct Entry {
    problem: Option<Problem>,
    /// A problem's fields may stand by themselves.
    code: Option<String>,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    detail: String,
    deadline_ms: Option<i64>,
}

impl Entry {
    fn refusal(self) -> Option<Problem> {
        let Entry { problem, code, status, detail, .. } = self;
        problem.or(code.map(|code| Problem { status, code, detail }))
    }
}

#[derive(Debug, Deserialize)]
struct Entries {
    results: Vec<Entry>,
}

/// What of a list of results was refused.
#[derive(Debug, Default)]
pub struct Refused {
    /// How many.
    pub count: u64,
    /// The exit code of the first.
    pub code: Option<Code>,
}

/// Says which of `named` were refused, and counts them.
pub fn refused(answer: &Answer, named: &[String]) -> Result<Refused, Failure> {
    let Entries { results } = answer.json()?;
    let mut refused = Refused::default();
    for (entry, name) in results.into_iter().zip(named) {
        if let Some(problem) = entry.refusal() {
            eprintln!("octoq: {name}: {problem}");
            refused.count += 1;
            refused.code.get_or_insert(problem.exit_code());
        }
    }
    Ok(refused)
}

fn print(session: &mut Session, answer: &Answer, named: &[String]) -> Result<(), Failure> {
    let Entries { results } = answer.json()?;
    for (entry, name) in results.iter().zip(named) {
        if entry.problem.is_some() || entry.code.is_some() {
            continue;
        }
        match entry.deadline_ms {
            Some(at) => writeln!(session.out, "{name}\tuntil {}", distance(at, now_ms()))?,
            None => writeln!(session.out, "{name}")?,
        }
    }
    Ok(())
}
