//! A thread of producers: at full speed under windows and a bounded backlog, or at a rate.

use crate::kernel::{self, Poll, Ready, Waker};
use crate::plan::{Connection, Plan};
use crate::protocol::{make_body, stamp};
use crate::shared::{MEASURE, QUIT, Shared};
use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

const WAKER_KEY: u64 = u64::MAX;
/// Most bytes of messages that are published to one connection before the next has its turn.
const TURN_BYTES: usize = 64 << 10;
/// A connection with more than this unwritten has no turn.
const UNWRITTEN_MAX: usize = 32 << 10;
/// Longest sleep when there is nothing to do.
const NAP_MS: u8 = 20;
/// Least time between two stretches of a rate.
const TICK_NS: f64 = 100_000.0;

struct Producers<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    waker: &'a Waker,
    poll: Poll,
    body: Vec<u8>,
    input: Vec<u8>,
    ready: Vec<Ready>,
}

/// Runs the producers of one thread, which have this share of the rate.
pub fn run(
    plan: &Plan,
    shared: &Shared,
    mut connections: Vec<Connection>,
    waker: &Waker,
    share: f64,
) -> io::Result<()> {
    let poll = Poll::new()?;
    for (key, connection) in connections.iter().enumerate() {
        poll.add(&connection.stream, key as u64)?;
    }
    poll.add(waker, WAKER_KEY)?;
    let body = make_body(plan.size);
    let (input, ready) = (Vec::new(), Vec::new());
    let mut producers = Producers { plan, shared, waker, poll, body, input, ready };
    shared.wait_for_begin();
    if plan.rate > 0.0 {
        producers.at_rate(&mut connections, plan.rate * share)
    } else {
        producers.at_full_speed(&mut connections)
    }
}

impl Producers<'_> {
    /// How many more may be published before the backlog is full.
    fn credit(&self) -> u64 {
        let copies = self.plan.copies();
        if copies == 0 {
            return u64::MAX;
        }
        let sent = self.shared.published.load(Relaxed) * copies;
        let behind = sent.saturating_sub(self.shared.delivered.load(Relaxed));
        (self.plan.backlog * copies).saturating_sub(behind) / copies
    }

    fn publish(&mut self, connection: &mut Connection, count: usize, due_ns: u64) {
        stamp(&mut self.body, due_ns);
        for _ in 0..count {
            connection.protocol.publish(&self.body, &mut connection.out);
        }
        connection.protocol.finish(&mut connection.out);
        connection.unconfirmed += count;
        self.shared.published.fetch_add(count as u64, Relaxed);
    }

    /// Takes confirmations, and writes where there is room.
    fn answers(&mut self, connections: &mut [Connection], wait_ms: u8) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(wait_ms, &mut ready)?;
        for one in &ready {
            if one.key == WAKER_KEY {
                self.waker.clear();
                continue;
            }
            let connection = &mut connections[one.key as usize];
            if one.readable {
                let filled = connection.read(&mut self.input)?;
                let input = &self.input[..filled];
                let (used, confirmed) = connection.protocol.confirms(input, &mut connection.out)?;
                connection.rest.extend_from_slice(&input[used..]);
                connection.unconfirmed = connection.unconfirmed.saturating_sub(confirmed);
                self.shared.confirmed.fetch_add(confirmed as u64, Relaxed);
            }
            connection.flush(&self.poll, one.key)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn at_full_speed(&mut self, connections: &mut [Connection]) -> io::Result<()> {
        let turn_max = (TURN_BYTES / self.body.len()).max(1) as u64;
        let limit = if self.plan.count > 0 { self.plan.count } else { u64::MAX };
        loop {
            let phase = self.shared.phase.load(Relaxed);
            if phase == QUIT {
                return Ok(());
            }
            let (mut progress, mut starved) = (false, false);
            let publishing = if phase <= MEASURE { &mut *connections } else { &mut [] };
            for (key, connection) in publishing.iter_mut().enumerate() {
                if connection.unwritten() > UNWRITTEN_MAX {
                    continue;
                }
                let mut room = u64::MAX;
                if connection.protocol.has_confirms() {
                    room = self.plan.window.saturating_sub(connection.unconfirmed) as u64;
                }
                let left = limit - self.shared.published.load(Relaxed);
                let credit = self.credit().min(left);
                starved |= room > 0 && credit == 0 && left > 0;
                let count = room.min(credit).min(turn_max);
                if count == 0 {
                    continue;
                }
                self.publish(connection, count as usize, kernel::now_ns());
                connection.flush(&self.poll, key as u64)?;
                progress = true;
            }
            let mut nap_ms = if progress { 0 } else { NAP_MS };
            if starved && !progress {
                self.shared.starved.store(true, SeqCst);
                if self.credit() > 0 {
                    nap_ms = 0;
                }
            }
            self.answers(connections, nap_ms)?;
        }
    }

    /// Messages are due in ticks and carry the time they were due at, so that a stall counts for each
    /// message it delays.
    fn at_rate(&mut self, connections: &mut [Connection], rate: f64) -> io::Result<()> {
        kernel::fine_timers();
        let tick_ns = (1e9 / rate).max(TICK_NS);
        let (mut due_ns, mut due, mut turn) = (kernel::now_ns() as f64, 0.0, 0);
        loop {
            let phase = self.shared.phase.load(Relaxed);
            if phase == QUIT {
                return Ok(());
            }
            if phase > MEASURE {
                self.answers(connections, 5)?;
                continue;
            }
            due_ns += tick_ns;
            if due_ns as u64 > kernel::now_ns() {
                kernel::sleep_until(due_ns as u64);
            }
            due += rate * tick_ns / 1e9;
            let count = due as usize;
            due -= count as f64;
            if count > 0 {
                let key = turn % connections.len();
                turn += 1;
                self.publish(&mut connections[key], count, due_ns as u64);
                connections[key].flush(&self.poll, key as u64)?;
            }
            self.answers(connections, 0)?;
        }
    }
}
