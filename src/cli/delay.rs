//! `octoq delay`: when messages that wait are ready.

use super::answer;
use super::client::Ask;
use super::failure::Failure;
use super::name::QueueArgs;
use super::remote::RemoteArgs;
use super::span::Span;
use super::view::counted;
use serde_json::json;
use std::{io::Write as _, process::ExitCode};

/// Most ids of one request.
const BATCH_MAX: usize = 1000;

/// Let messages that wait, ready or delayed, be ready at another time. They keep their places.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq delay orders 01a1fdbd-30b5-700e-8870-000000000001 --for 10m
  octoq delay orders 01a1fdbd-30b5-700e-8870-000000000001 --now")]
pub struct DelayArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    of: QueueArgs,
    /// Their ids
    #[arg(required = true)]
    ids: Vec<String>,
    /// Not before so long from now
    #[arg(long = "for", value_name = "SPAN", required_unless_present = "now")]
    span: Option<Span>,
    /// At once
    #[arg(long, conflicts_with = "span")]
    now: bool,
}

/// Delays.
pub fn run(arguments: DelayArgs) -> ExitCode {
    let DelayArgs { remote, of, ids, span, .. } = arguments;
    remote.run(async |session| {
        let (mut delayed, mut refused) = (0, None);
        for part in ids.chunks(BATCH_MAX) {
            let delay_ms = span.map_or(0, |span| span.millis());
            let body = json!({ "ids": part, "delay_ms": delay_ms });
            let ask = Ask::post(format!("{}/delay", of.path())).json(&body)?;
            let answer = session.ask(ask).await?;
            let told = answer::refused(&answer, part)?;
            delayed += part.len() as u64 - told.count;
            refused = refused.or(told.code);
            if session.json {
                session.print_json(&answer)?;
            }
        }
        if !session.json {
            let messages = counted(delayed, "message", "messages");
            let what = if span.is_some() { "delayed" } else { "ready" };
            writeln!(session.out, "{messages} {what}")?;
        }
        match refused {
            Some(code) => Err(Failure::Said(code)),
            None => Ok(()),
        }
    })
}
