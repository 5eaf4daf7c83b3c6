//! A thread of consumers: takes deliveries, acknowledges them, and times some.

use crate::histogram::Histogram;
use crate::kernel::{self, Poll, Ready};
use crate::plan::{Connection, Plan};
use crate::protocol::read_stamp;
use crate::shared::{MEASURE, QUIT, Shared};
use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

/// At full speed one message in so many is timed, so that the client stays cheap.
const SAMPLE: u64 = 16;
const WAIT_MS: u8 = 20;

pub fn run(
    plan: &Plan,
    shared: &Shared,
    mut connections: Vec<Connection>,
    times: &mut Histogram,
) -> io::Result<()> {
    let mut poll = Poll::new()?;
    for (key, connection) in connections.iter_mut().enumerate() {
        poll.add(&connection.stream, key as u64)?;
        connection.protocol.start(&mut connection.out);
        connection.flush(&poll, key as u64)?;
    }
    let sample = if plan.rate > 0.0 { 1 } else { SAMPLE };
    let (mut input, mut ready, mut seen) = (Vec::new(), Vec::new(), 0u64);
    // What came with the opening talk is announced by nobody.
    let mut early = true;
    shared.wait_for_begin();
    loop {
        let phase = shared.phase.load(Relaxed);
        if phase == QUIT {
            return Ok(());
        }
        poll.wait(WAIT_MS, &mut ready)?;
        if std::mem::take(&mut early) {
            let waiting = connections.iter().enumerate().filter(|(_, one)| !one.rest.is_empty());
            for (key, _) in waiting {
                if !ready.iter().any(|one| one.key == key as u64) {
                    ready.push(Ready { key: key as u64, readable: true });
                }
            }
        }
        if ready.is_empty() {
            continue;
        }
        let now_ns = kernel::now_ns();
        for one in &ready {
            let connection = &mut connections[one.key as usize];
            if one.readable {
                let filled = connection.read(&mut input)?;
                let mut delivered = 0u64;
                let mut sink = |body: &[u8]| {
                    delivered += 1;
                    seen += 1;
                    if phase == MEASURE
                        && seen.is_multiple_of(sample)
                        && let Some(due_ns) = read_stamp(body)
                    {
                        times.add(now_ns.saturating_sub(due_ns));
                    }
                };
                let (protocol, out) = (&mut connection.protocol, &mut connection.out);
                let (used, acked) = protocol.deliveries(&input[..filled], &mut sink, out)?;
                connection.rest.extend_from_slice(&input[used..filled]);
                shared.delivered.fetch_add(delivered, SeqCst);
                shared.acked.fetch_add(acked as u64, Relaxed);
            }
            connection.flush(&poll, one.key)?;
        }
        if plan.rate == 0.0 && shared.starved.load(SeqCst) {
            feed(plan, shared);
        }
    }
}

/// Wakes producers that wait, when the backlog has become a quarter smaller.
fn feed(plan: &Plan, shared: &Shared) {
    let copies = plan.copies();
    let sent = shared.published.load(Relaxed) * copies;
    let behind = sent.saturating_sub(shared.delivered.load(Relaxed));
    if behind <= plan.backlog * copies * 3 / 4 {
        shared.starved.store(false, SeqCst);
        shared.wake_producers();
    }
}
