//! `octoq stat`: the broker's figures, one line each time.

use super::client::Ask;
use super::failure::Failure;
use super::name::{Name, topic_path};
use super::remote::{RemoteArgs, Session};
use super::show;
use super::span::{Span, rough};
use serde_json::Value;
use std::{io::Write as _, process::ExitCode};

/// Lines between two headings.
const HEADING_EVERY: u64 = 20;

/// Figures of the broker, or of one topic: a line, or with -i one every so often until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq stat
  octoq stat -i 1
  octoq stat -n 3
  octoq stat orders -i 5 -n 12 --json")]
pub struct StatArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// Only of this topic
    topic: Option<Name>,
    /// Again every so often; a number alone is seconds
    #[arg(long, short, value_name = "SPAN", value_parser = interval)]
    interval: Option<Span>,
    /// So many lines; every second, unless -i says otherwise
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
}

/// A span, or seconds.
pub fn interval(text: &str) -> Result<Span, String> {
    let span: Span = match text.parse::<u64>() {
        Ok(seconds) => Span::from_millis(seconds.saturating_mul(1000)),
        Err(_) => text.parse()?,
    };
    if span.millis() < 50 { Err("at least 50ms".into()) } else { Ok(span) }
}

/// One column: its heading, its width, what it shows.
struct Column {
    heading: &'static str,
    width: usize,
    shown: fn(&Value) -> String,
}

/// The first of these places where there is a number.
fn number(figures: &Value, pointers: &[&str]) -> Option<f64> {
    pointers.iter().find_map(|pointer| figures.pointer(pointer)?.as_f64())
}

fn whole(figures: &Value, pointers: &[&str]) -> String {
    number(figures, pointers).map_or_else(|| "-".into(), |number| format!("{number:.0}"))
}

fn size(figures: &Value, pointer: &str) -> String {
    number(figures, &[pointer]).map_or_else(|| "-".into(), |bytes| show::bytes(bytes as u64))
}

fn rate(figures: &Value, name: &str) -> String {
    let pointer = format!("/rates/{name}");
    let of = number(figures, &[&format!("{pointer}_per_s"), &pointer]);
    of.map_or_else(|| "-".into(), |rate| show::count(rate.round() as u64))
}

const COUNTS: [Column; 7] = [
    Column { heading: "ready", width: 9, shown: |of| whole(of, &["/messages/ready", "/ready"]) },
    Column {
        heading: "delayed",
        width: 9,
        shown: |of| whole(of, &["/messages/delayed", "/delayed"]),
    },
    Column {
        heading: "in flight",
        width: 9,
        shown: |of| whole(of, &["/messages/in_flight", "/in_flight"]),
    },
    Column { heading: "dead", width: 8, shown: |of| whole(of, &["/messages/dead", "/dead"]) },
    Column { heading: "in/s", width: 7, shown: |of| rate(of, "published") },
    Column { heading: "out/s", width: 7, shown: |of| rate(of, "delivered") },
    Column { heading: "acks/s", width: 7, shown: |of| rate(of, "acked") },
];

const OF_BROKER: [Column; 5] = [
    Column { heading: "topics", width: 7, shown: |of| whole(of, &["/topics"]) },
    Column { heading: "conns", width: 7, shown: connections },
    Column { heading: "memory", width: 8, shown: |of| size(of, "/memory/bytes") },
    Column { heading: "store", width: 8, shown: |of| size(of, "/store/disk_bytes") },
    Column { heading: "up", width: 8, shown: uptime },
];

fn connections(figures: &Value) -> String {
    let by_door = figures["connections"].as_object();
    let all: u64 = by_door.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    all.to_string()
}

fn uptime(figures: &Value) -> String {
    figures["uptime_ms"].as_u64().map_or_else(|| "-".into(), rough)
}

/// Shows.
pub fn run(arguments: StatArgs) -> ExitCode {
    let StatArgs { remote, topic, interval, count } = arguments;
    remote.run(async |session| stat(session, topic, interval, count).await)
}

async fn stat(
    session: &mut Session,
    topic: Option<Name>,
    interval: Option<Span>,
    count: Option<u64>,
) -> Result<(), Failure> {
    let path = match &topic {
        Some(topic) => format!("{}/stats", topic_path(topic)),
        None => "/v1/stats".to_owned(),
    };
    let columns: Vec<&Column> = match topic {
        Some(_) => COUNTS.iter().collect(),
        None => COUNTS.iter().chain(&OF_BROKER).collect(),
    };
    let lines = count.unwrap_or(if interval.is_some() { u64::MAX } else { 1 });
    let interval = interval.or(Some(Span::from_millis(1000)));
    for line in 0..lines {
        let asked = session.until_stopped(async |client| client.ask(Ask::get(&path)).await).await?;
        let Some(answer) = asked else { break };
        let answer = answer?;
        if session.json {
            session.print_json(&answer)?;
        } else {
            if line % HEADING_EVERY == 0 {
                print_line(
                    session,
                    columns.iter().map(|column| (column.width, column.heading.to_owned())),
                )?;
            }
            let figures: Value = answer.json()?;
            let cells = columns.iter().map(|column| (column.width, (column.shown)(&figures)));
            print_line(session, cells)?;
        }
        session.out.flush()?;
        if let Some(span) = interval.filter(|_| line + 1 < lines) {
            let sleep = tokio::time::sleep(span.duration());
            if session.until_stopped(async |_| sleep.await).await?.is_none() {
                break;
            }
        }
    }
    Ok(())
}

fn print_line(
    session: &mut Session,
    cells: impl Iterator<Item = (usize, String)>,
) -> Result<(), Failure> {
    let cells: Vec<String> = cells.map(|(width, cell)| format!("{cell:>width$}")).collect();
    writeln!(session.out, "{}", cells.join(" "))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_interval_is_a_span_or_seconds() {
        assert_eq!(interval("1"), Ok(Span::from_millis(1000)));
        assert_eq!(interval("250ms"), Ok(Span::from_millis(250)));
        assert!(interval("0").is_err() && interval("x").is_err());
    }

    #[test]
    fn figures_become_cells_and_what_is_missing_a_dash() {
        let figures = json!({
            "messages": {"ready": 12}, "rates": {"published_per_s": 1500.4},
            "connections": {"http": 2, "otq": 3}, "uptime_ms": 61_000, "topics": 4,
            "store": {"disk_bytes": 2048}, "memory": {"bytes": 10}
        });
        let shown: Vec<_> =
            COUNTS.iter().chain(&OF_BROKER).map(|column| (column.shown)(&figures)).collect();
        assert_eq!(shown, ["12", "-", "-", "-", "1.5K", "-", "-", "4", "5", "10", "2.0K", "1m1s"]);
    }
}
