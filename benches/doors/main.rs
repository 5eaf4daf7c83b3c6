//! What the doors reach, each beside a reference measured in the same run.
//!
//! `cargo bench --bench doors` runs all; `cargo bench --bench doors -- put get` those whose names
//! contain a word. The broker is the release binary, in a process of its own, on a store of its own
//! in `OCTOQ_BENCH_DIR` (default: the temporary folder); clients are plain blocking sockets in this process. Both share the
//! machine, so figures are lower bounds and only ratios are worth comparing.

#![allow(clippy::expect_used, reason = "a bench that cannot go on says why and ends")]

mod cores;
mod fairness;
mod fanout;
mod http;
mod open;
mod otq;
mod push;
mod reference;
mod scaling;
mod setup;
mod turns;
mod watch;

use std::time::Duration;

fn main() {
    let mut arguments: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if arguments.first().is_some_and(|word| word == reference::REFERENCE) {
        return reference::serve(&arguments[1..]);
    }
    arguments.retain(|word| !word.starts_with("--"));
    let wanted = |name: &str| {
        arguments.is_empty() || arguments.iter().any(|word| name.contains(word.as_str()))
    };
    type Bench = (&'static str, fn(&mut setup::Broker));
    let benches: [Bench; 15] = [
        ("login", |broker| otq::login(broker)),
        ("one", |broker| otq::one_at_a_time(broker)),
        ("sync", |broker| otq::one_sync_publish(broker)),
        ("put", |broker| otq::put_rows(broker)),
        ("get", |broker| otq::get_rows(broker)),
        ("http", |broker| http::publish(broker)),
        ("websocket", |broker| push::to_one_websocket(broker)),
        ("subscribers", |broker| push::to_subscribers(broker)),
        ("sockets", |broker| fanout::to_sockets(broker)),
        ("events", |broker| fanout::to_events(broker)),
        ("latency", |broker| fanout::latency(broker)),
        ("fairness", |broker| fairness::greedy_and_quiet(broker)),
        ("scaling", |broker| scaling::with_more(broker)),
        ("watch", |broker| watch::ten_sockets(broker)),
        ("open", open::serving_again),
    ];
    for (name, bench) in benches {
        if wanted(name) {
            let mut broker = setup::Broker::start();
            bench(&mut broker);
        }
    }
}

/// How long each measurement runs.
pub const RUN: Duration = Duration::from_secs(3);

/// What was to be reached.
pub enum Target {
    /// The ratio to the reference.
    Ratio(&'static str, f64),
    /// So much of a unit or more; what was measured.
    AtLeast(f64, &'static str, f64),
    /// So much of a unit or less; what was measured.
    AtMost(f64, &'static str, f64),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Ratio(sign, bound) => write!(f, "ratio {sign} {bound}"),
            Target::AtLeast(bound, unit, got) => {
                write!(f, ">= {bound} {unit} ({:.2} times that)", got / bound)
            }
            Target::AtMost(bound, unit, got) => {
                write!(f, "<= {bound} {unit} ({:.2} times that)", got / bound)
            }
        }
    }
}

/// Prints one line: what, figure, reference of the same run, their ratio, target.
pub fn report(what: &str, figure: String, reference: String, ratio: f64, target: Target) {
    println!(
        "{what:<42} {figure:>22}   reference {reference:>36}   ratio {ratio:>5.2}   target {target}"
    );
}

/// The value below which `per_mille` of 1000 lie.
pub fn percentile(sorted: &[u64], per_mille: usize) -> u64 {
    let at = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}
