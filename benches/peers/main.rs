//! octoq beside what its clients used before, each measured in the same run.
//!
//! `cargo bench --bench peers` runs all; `cargo bench --bench peers -- okq-sync dsmq` those named.
//! octoq is the release binary; it and the other servers are started here, on free ports and in
//! folders of their own in `OCTOQ_BENCH_DIR` (default: the temporary folder). Both sides get the
//! same lean blocking client in this process, so that its price is the same. All share the machine.

#![allow(clippy::expect_used, reason = "a bench that cannot go on says why and ends")]

mod dsmq;
mod fastqueue;
mod http;
mod idle;
mod okq;
mod resp;
mod servers;
mod sync;
mod websocket;

use std::time::Duration;

fn main() {
    let names: Vec<String> =
        std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let benches: [(&str, fn()); 6] = [
        ("okq", okq::pipelined),
        ("okq-plain", okq::plain),
        ("okq-sync", sync::on_disk),
        ("fastqueue", fastqueue::on_disk),
        ("dsmq", dsmq::all),
        ("idle", idle::connections),
    ];
    for name in &names {
        assert!(benches.iter().any(|(known, _)| known == name), "there is no bench {name}");
    }
    for (name, bench) in benches {
        if names.is_empty() || names.iter().any(|word| word == name) {
            bench();
        }
    }
}

/// How long each measurement runs.
pub const RUN: Duration = Duration::from_secs(3);

/// Prints one line: what, octoq's figure, the reference, their ratio, the target.
pub fn report(what: &str, ours: f64, reference: &str, theirs: f64, unit: &str, target: &str) {
    println!(
        "{what:<38} octoq {ours:>10.0} {unit}  {reference} {theirs:>10.0}  ratio {:>6.2}  target {target}",
        ours / theirs
    );
}

/// The one in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `per_mille` of 1000 lie.
pub fn percentile(values: &mut [u64], per_mille: usize) -> u64 {
    values.sort_unstable();
    let at = (values.len() * per_mille / 1000).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(0)
}
