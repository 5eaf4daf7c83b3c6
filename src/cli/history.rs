//! `octoq history`: what happened of late, step by step.

use super::client::Ask;
use super::failure::Failure;
use super::name::Name;
use super::remote::{RemoteArgs, Session};
use super::show::{self, Table};
use super::span::{distance, now_ms};
use serde_json::Value;
use std::process::ExitCode;

/// The series, and what stands over them.
const SERIES: [(&str, &str); 9] = [
    ("ready", "ready>"),
    ("delayed", "delayed>"),
    ("in_flight", "in flight>"),
    ("dead", "dead>"),
    ("published", "in/s>"),
    ("delivered", "out/s>"),
    ("acked", "acks/s>"),
    ("redelivered", "again/s>"),
    ("dropped", "dropped/s>"),
];

/// What happened in the last ten minutes or the last day, in the broker or in one topic: messages at
/// the end of each step, and how many per second in it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq history
  octoq history orders --over 24h -n 96
  octoq history --json | jq '.series.published | add'")]
pub struct HistoryArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Only of this topic
    topic: Option<Name>,
    /// How far back: 10m or 24h
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = ["10m", "24h"])]
    over: String,
    /// The last so many steps; with --json all of them are printed
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    count: usize,
}

/// Shows.
pub fn run(arguments: HistoryArgs) -> ExitCode {
    let HistoryArgs { remote, topic, over, count } = arguments;
    remote.run(async |session| history(session, topic, &over, count).await)
}

async fn history(
    session: &mut Session,
    topic: Option<Name>,
    over: &str,
    count: usize,
) -> Result<(), Failure> {
    let of = topic.map(|topic| format!("&topic={}", topic.segment())).unwrap_or_default();
    let answer = session.ask(Ask::get(format!("/v1/history?span={over}{of}"))).await?;
    if session.json {
        return session.print_json(&answer);
    }
    rows(&answer.json()?, count, now_ms()).print(&mut session.out)?;
    Ok(())
}

/// The last steps as a table. Steps at which the broker did not look are left out.
fn rows(history: &Value, count: usize, now: i64) -> Table {
    let headings: Vec<&str> =
        ["until"].into_iter().chain(SERIES.map(|(_, heading)| heading)).collect();
    let mut table = Table::new(&headings);
    let step_ms = history["step_ms"].as_i64().unwrap_or(1000);
    let end_ms = history["end_ms"].as_i64().unwrap_or(now);
    let series = |name: &str| history["series"][name].as_array();
    let steps = series("ready").map_or(0, Vec::len);
    for at in steps.saturating_sub(count)..steps {
        let number = |name: &str| series(name)?.get(at)?.as_f64();
        if number("ready").is_none() {
            continue;
        }
        let until = end_ms - step_ms * (steps - 1 - at) as i64;
        let cells = SERIES.map(|(name, _)| match number(name) {
            Some(value) if value < 10.0 && value.fract() > 0.0 => format!("{value:.1}"),
            Some(value) => show::count(value.round() as u64),
            None => "-".to_owned(),
        });
        table.row([distance(until, now)].into_iter().chain(cells));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_steps_are_shown_and_what_nobody_saw_is_left_out() {
        let (mut series, steps) = (json!({}), [json!(null), json!(1), json!(12_000), json!(2.5)]);
        for (name, _) in SERIES {
            series[name] = steps.clone().into();
        }
        let history = json!({"step_ms": 1000, "end_ms": 60_000, "series": series});
        let mut out = Vec::new();
        rows(&history, 10, 70_000).print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        assert!(lines[2].contains("12K") && lines[3].contains("2.5"), "{text}");
        let mut out = Vec::new();
        rows(&history, 1, 70_000).print(&mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 2);
    }
}
