//! `octoq explain`: where a message is, what became of it, and why it waits.

use super::client::Ask;
use super::failure::Failure;
use super::message;
use super::name::{QueueArgs, encode};
use super::remote::{RemoteArgs, Session};
use super::show::printable;
use super::span::{distance, moment, now_ms};
use super::view;
use serde_json::Value;
use std::{io::Write as _, process::ExitCode};

/// Tell where a message is, what became of it so far, and what it waits for. Deliveries that were released
/// count for nothing and are not told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq explain orders 01a1fdbd-30b5-700e-8870-000000000001
  octoq explain orders -q billing 01a1fdbd-30b5-700e-8870-000000000001")]
pub struct ExplainArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    #[command(flatten)]
    of: QueueArgs,
    /// The message's id
    id: String,
}

/// Explains.
pub fn run(arguments: ExplainArgs) -> ExitCode {
    let ExplainArgs { remote, of, id } = arguments;
    remote.run(async |session| show(session, &of, &id).await)
}

/// One message with its life.
pub async fn show(session: &mut Session, of: &QueueArgs, id: &str) -> Result<(), Failure> {
    let path = format!("{}/messages/{}", of.path(), encode(id.as_bytes()));
    let answer = session.ask(Ask::get(path)).await?;
    if session.json {
        return session.print_json(&answer);
    }
    let whole: Value = answer.json()?;
    let queue: view::Queue = session.ask(Ask::get(of.path())).await?.json()?;
    message::print_described(&mut session.out, serde_json::from_slice(&answer.body)?)?;
    let now = now_ms();
    writeln!(session.out, "\n{}", standing(&whole, &queue, now))?;
    for event in whole["life"].as_array().into_iter().flatten() {
        writeln!(session.out, "  {}", event_line(event, now))?;
    }
    Ok(())
}

/// Where it is and what it waits for.
fn standing(message: &Value, queue: &view::Queue, now: i64) -> String {
    let time = |keys: &[&str]| keys.iter().find_map(|key| message[*key].as_i64());
    let at = |ms: Option<i64>| ms.map(|ms| distance(ms, now));
    let held_out = queue.policy["paused_out"] == Value::Bool(true);
    match message["state"].as_str().unwrap_or_default() {
        "ready" if held_out => "It is ready, but its queue is paused and hands out nothing.".into(),
        "ready" if queue.consumers == 0 => {
            format!(
                "It is ready, one of {}; nobody who stays connected consumes the queue.",
                view::counted(queue.ready, "message", "messages")
            )
        }
        "ready" => {
            format!("It is ready, one of {}.", view::counted(queue.ready, "message", "messages"))
        }
        "delayed" => match at(time(&["visible_at_ms", "deliver_at_ms", "ready_at_ms"])) {
            Some(when) => format!("It is delayed: ready {when}."),
            None => "It is delayed.".into(),
        },
        "in_flight" => match at(time(&["deadline_ms"])) {
            Some(when) => format!("A consumer has it; without an ack it comes back {when}."),
            None => "A consumer has it.".into(),
        },
        "dead" => "It is a dead letter; `octoq dead redrive` lets it be tried again.".into(),
        other => format!("It is {other}."),
    }
}

fn event_line(event: &Value, now: i64) -> String {
    let what = event["event"].as_str().unwrap_or("?");
    let mut line = match event["at_ms"].as_i64() {
        Some(at) => format!("{:<24}  {:>14}  {what}", moment(at), distance(at, now)),
        None => format!("{:<24}  {:>14}  {what}", "-", "-"),
    };
    for (key, word) in
        [("attempt", "attempt"), ("door", "by"), ("reason", "since"), ("error", "error")]
    {
        match &event[key] {
            Value::Null => (),
            Value::String(text) => line.push_str(&format!("  {word} {}", printable(text))),
            other => line.push_str(&format!("  {word} {other}")),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_message_waits_for_is_told() {
        let open = view::Queue { ready: 3, consumers: 1, ..Default::default() };
        let paused = view::Queue { policy: json!({"paused_out": true}), ..Default::default() };
        let table = [
            (json!({"state": "ready"}), &open, "It is ready, one of 3 messages."),
            (
                json!({"state": "ready"}),
                &paused,
                "It is ready, but its queue is paused and hands out nothing.",
            ),
            (
                json!({"state": "delayed", "visible_at_ms": 6000}),
                &open,
                "It is delayed: ready in 5s.",
            ),
            (
                json!({"state": "in_flight", "deadline_ms": 2000}),
                &open,
                "A consumer has it; without an ack it comes back in 1s.",
            ),
        ];
        for (message, queue, told) in table {
            assert_eq!(standing(&message, queue, 1000), told);
        }
    }

    #[test]
    fn events_are_told_with_what_is_known_of_them() {
        let event = json!({"at_ms": 1000, "event": "nacked", "attempt": 2, "error": "no\nstock"});
        assert_eq!(
            event_line(&event, 6000),
            "1970-01-01T00:00:01Z              5s ago  nacked  attempt 2  error no\\nstock"
        );
    }
}
