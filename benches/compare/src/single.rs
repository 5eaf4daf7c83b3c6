//! One connection, one message at a time, each confirmed before the next is sent.

use crate::histogram::Histogram;
use crate::kernel;
use crate::plan::Plan;
use crate::protocol::{Role, bad, make_body, stamp};
use crate::report::Report;
use std::io::{self, Read, Write};

/// Runs a plan; the result as a line of JSON.
pub fn run(plan: Plan) -> io::Result<String> {
    plan.prepare()?;
    let (mut stream, mut protocol, mut rest) = plan.open(Role::Producer, 0)?;
    if !protocol.has_confirms() {
        return bad("this adapter does not confirm publishes");
    }
    let mut body = make_body(plan.size);
    let (mut out, mut input) = (Vec::new(), vec![0u8; 64 << 10]);
    let mut times = Histogram::new();
    let warm_ns = kernel::now_ns() + (plan.warm_s * 1e9) as u64;
    let end_ns = warm_ns + (plan.run_s * 1e9) as u64;
    let used = || (kernel::now_ns(), plan.server_cpu(), kernel::own_cpu(), kernel::machine_cpu());
    let mut before = None;
    loop {
        let start_ns = kernel::now_ns();
        if start_ns >= end_ns {
            break;
        }
        if before.is_none() && start_ns >= warm_ns {
            before = Some(used());
        }
        stamp(&mut body, start_ns);
        out.clear();
        protocol.publish(&body, &mut out);
        protocol.finish(&mut out);
        stream.write_all(&out)?;
        loop {
            let count = stream.read(&mut input)?;
            if count == 0 {
                return bad("the server closed the connection");
            }
            rest.extend_from_slice(&input[..count]);
            out.clear();
            let (used, confirmed) = protocol.confirms(&rest, &mut out)?;
            rest.drain(..used);
            if !out.is_empty() {
                stream.write_all(&out)?;
            }
            if confirmed > 0 {
                break;
            }
        }
        if before.is_some() {
            times.add(kernel::now_ns() - start_ns);
        }
    }
    let after = used();
    let before = before.unwrap_or(after);
    let span = ((after.0 - before.0) as f64 / 1e9).max(1e-9);
    let (server, client) = ((after.1 - before.1) / span, (after.2 - before.2) / span);
    let machine = (after.3.0 - before.3.0) / span;
    Ok(Report::default()
        .text("adapter", &plan.adapter)
        .count("size", plan.size as i64)
        .number("secs", span)
        .number("published_s", times.count() as f64 / span)
        .number("server_cores", server)
        .number("client_cores", client)
        .number("other_cores", (machine - server - client).max(0.0))
        .number("stolen_cores", (after.3.1 - before.3.1) / span)
        .object("latency_us", times.report_us())
        .line())
}
