//! Many connections of subscribers that nothing is sent to, and the memory they cost the server.

use crate::kernel;
use crate::plan::Plan;
use crate::protocol::Role;
use crate::report::Report;
use std::io::{self, Write};
use std::time::Duration;

/// The first of so many parts is the ground that the rest is measured from: a server has memory to spare
/// when it has just started, and gives some back.
const PARTS: usize = 4;
/// How long the server's processor time is watched.
const WATCH_S: u64 = 2;

/// Runs a plan; the result as a line of JSON.
pub fn run(plan: Plan) -> io::Result<String> {
    kernel::raise_files();
    plan.prepare()?;
    let settle = || std::thread::sleep(Duration::from_secs_f64(plan.run_s));
    let ground = plan.consumers / PARTS;
    let mut before = plan.server_memory();
    let start_ns = kernel::now_ns();
    let (mut held, mut failure) = (Vec::new(), String::new());
    for nth in 0..plan.consumers {
        if nth == ground {
            settle();
            before = plan.server_memory();
        }
        match plan.open(Role::Consumer, nth) {
            Ok((mut stream, mut protocol, rest)) => {
                let mut out = Vec::new();
                protocol.start(&mut out);
                stream.write_all(&out)?;
                held.push((stream, protocol, rest));
            }
            Err(error) => {
                failure = error.to_string();
                break;
            }
        }
    }
    let span = (kernel::now_ns() - start_ns) as f64 / 1e9 - plan.run_s;
    settle();
    let after = plan.server_memory();
    let cpu = plan.server_cpu();
    std::thread::sleep(Duration::from_secs(WATCH_S));
    let used = plan.server_cpu() - cpu;
    let per_connection =
        (after as f64 - before as f64) / held.len().saturating_sub(ground).max(1) as f64;
    Ok(Report::default()
        .text("adapter", &plan.adapter)
        .count("asked", plan.consumers as i64)
        .count("held", held.len() as i64)
        .number("connected_s", held.len() as f64 / span)
        .count("resident_before", before as i64)
        .count("resident_after", after as i64)
        .number("bytes_per_connection", per_connection)
        .number("idle_server_cores", used / WATCH_S as f64)
        .text("error", &failure)
        .line())
}
