//! Drives the connections of a run: one event loop per thread.

use super::doors::{Role, speaker};
use super::link::{Link, Open};
use super::pace::Pace;
use super::report::Tally;
use super::shared::Shared;
use super::speaker::{Asked, Heard, PATIENCE, Speaker};
use super::{BenchError, Door, Settings, Work};
use mio::{Events, Interest, Poll, Token};
use std::{
    io::{ErrorKind, Read},
    time::Duration,
};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Longest wait for an event: a run that has ended is noticed.
const TICK: Duration = Duration::from_millis(20);
/// When something is due sooner, the thread does not sleep: it would wake too late.
const AWAKE_NS: u64 = 1_000_000;

struct Thread<'a> {
    settings: &'a Settings,
    shared: &'a Shared,
    nth: usize,
    poll: Poll,
    links: Vec<Link>,
    pace: Option<Pace>,
    /// The worker that is the next to be given what is due.
    turn: usize,
    scratch: Vec<u8>,
    tally: Tally,
}

/// Makes the client of a connection.
pub type Make<'a> = &'a (dyn Fn(Role, usize) -> Box<dyn Speaker> + Sync);

/// Runs it; with `receive`, `filled` says what waits.
pub fn run(settings: &Settings, filled: Option<u64>) -> Result<Tally, BenchError> {
    run_with(settings, filled, &|role, nth| speaker(settings, role, nth))
}

/// The same, with clients of one's own.
pub fn run_with(
    settings: &Settings,
    filled: Option<u64>,
    make: Make<'_>,
) -> Result<Tally, BenchError> {
    let mut links: Vec<Vec<Link>> = (0..settings.threads).map(|_| Vec::new()).collect();
    let listeners = if settings.work == Work::Pubsub { settings.subscribers } else { 0 };
    // Listeners first: they must not miss what is published.
    let roles = std::iter::repeat_n(Role::Listener, listeners)
        .chain(std::iter::repeat_n(Role::Worker, settings.connections));
    let threads = links.len();
    for (at, role) in roles.enumerate() {
        let nth = if role == Role::Worker { at - listeners } else { at };
        let link = Link::open(settings, role, make(role, nth))?;
        if let Some(links) = links.get_mut(at % threads) {
            links.push(link);
        }
    }
    let shared = Shared::new(settings, filled.unwrap_or_default());
    let mut all = Tally::new();
    let outcomes: Vec<Result<Tally, BenchError>> = std::thread::scope(|scope| {
        let threads: Vec<_> = links
            .into_iter()
            .enumerate()
            .map(|(nth, links)| {
                let shared = &shared;
                scope.spawn(move || {
                    let outcome = Thread::new(settings, shared, nth, links).and_then(Thread::run);
                    if outcome.is_err() {
                        shared.fail();
                    }
                    outcome
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a thread died").into()))
        });
        joined.collect()
    });
    for outcome in outcomes {
        all.add(&outcome?);
    }
    Ok(all)
}

impl<'a> Thread<'a> {
    fn new(
        settings: &'a Settings,
        shared: &'a Shared,
        nth: usize,
        mut links: Vec<Link>,
    ) -> Result<Thread<'a>, BenchError> {
        let poll = Poll::new()?;
        for (at, link) in links.iter_mut().enumerate() {
            poll.registry().register(&mut link.stream, Token(at), Interest::READABLE)?;
        }
        let pace = settings
            .rate
            .map(|rate| Pace::new(rate / settings.batch as f64, settings.threads, nth));
        let scratch = vec![0; READ_BYTES];
        let tally = Tally::new();
        Ok(Thread { settings, shared, nth, poll, links, pace, turn: 0, scratch, tally })
    }

    fn run(mut self) -> Result<Tally, BenchError> {
        let mut events = Events::with_capacity(1024);
        let (mut publishing, mut quiet_since) = (true, None);
        // What came while the connection was opened.
        for at in 0..self.links.len() {
            self.hear(at, 0)?;
        }
        loop {
            let now = self.shared.now_ns();
            self.feed_all(now)?;
            self.set_floor();
            if publishing && self.shared.ended(now) && self.workers_idle() {
                publishing = false;
                self.shared.published_all();
            }
            if !publishing && self.complete() {
                return Ok(self.tally);
            }
            if self.shared.failed() {
                // The thread that failed says why.
                return Ok(self.tally);
            }
            if !publishing && self.shared.quiet() {
                let since = *quiet_since.get_or_insert(now);
                if now.saturating_sub(since) > PATIENCE.as_nanos() as u64 {
                    return Err(self.missing());
                }
            }
            self.poll.poll(&mut events, Some(self.wait(now)))?;
            let now = self.shared.now_ns();
            for event in &events {
                let Token(at) = event.token();
                if event.is_writable() {
                    self.flush(at)?;
                }
                if event.is_readable() || event.is_read_closed() {
                    self.read(at, now)?;
                }
            }
        }
    }

    /// How long nothing is due.
    fn wait(&self, now_ns: u64) -> Duration {
        let Some(pace) = self.pace.as_ref().filter(|_| !self.shared.ended(now_ns)) else {
            return TICK;
        };
        match pace.due_ns().saturating_sub(now_ns) {
            left if left <= AWAKE_NS => {
                std::thread::yield_now();
                Duration::ZERO
            }
            left => Duration::from_nanos(left - AWAKE_NS).min(TICK),
        }
    }

    fn workers_idle(&self) -> bool {
        let idle =
            |link: &Link| link.role == Role::Listener || (link.open.is_empty() && link.away == 0);
        self.links.iter().all(idle)
    }

    /// Every listener has everything.
    fn complete(&self) -> bool {
        let Some(floor) = self.floor() else { return true };
        self.shared.quiet() && floor >= self.shared.published_so_far()
    }

    fn missing(&self) -> BenchError {
        let wanted = self.shared.published_so_far();
        let missing = wanted.saturating_sub(self.floor().unwrap_or(wanted));
        BenchError::Missing { missing, wanted, patience: PATIENCE }
    }

    /// What each listener of this thread has, at least.
    fn floor(&self) -> Option<u64> {
        let listeners = self.links.iter().filter(|link| link.role == Role::Listener);
        listeners.map(|link| link.delivered).min()
    }

    fn set_floor(&self) {
        if let Some(floor) = self.floor() {
            self.shared.set_floor(self.nth, floor);
        }
    }

    /// Gives every connection to do what it may.
    fn feed_all(&mut self, now_ns: u64) -> Result<(), BenchError> {
        let count = self.links.len();
        for offset in 0..count {
            let at = (self.turn + offset) % count;
            if self.feed(at, now_ns) {
                self.turn = at + 1;
            }
            self.flush(at)?;
        }
        Ok(())
    }

    /// Asks what is due; whether it asked.
    fn feed(&mut self, at: usize, now_ns: u64) -> bool {
        let (settings, shared) = (self.settings, self.shared);
        let Some(link) = self.links.get_mut(at) else { return false };
        let mut fed = false;
        if link.role == Role::Listener {
            // One that has to ask.
            if settings.door == Door::Dsmq && link.open.is_empty() {
                link.receive(settings.batch, now_ns);
            }
            return false;
        }
        let depth = if settings.work == Work::Roundtrip { 1 } else { settings.depth };
        while link.open.len() < depth && link.away == 0 {
            if settings.work == Work::Receive {
                if shared.ended(now_ns) || shared.emptied() {
                    break;
                }
                link.receive(settings.batch, now_ns);
                continue;
            }
            let due = self.pace.as_ref().map_or(now_ns, Pace::due_ns);
            if due > now_ns || !shared.claim(settings, now_ns) {
                break;
            }
            if let Some(pace) = &mut self.pace {
                pace.take();
            }
            if settings.work == Work::Roundtrip {
                link.away = settings.batch;
            }
            self.tally.span_ns.0 = self.tally.span_ns.0.min(now_ns.max(shared.from_ns));
            link.publish(due);
            fed = true;
        }
        fed
    }

    fn flush(&mut self, at: usize) -> Result<(), BenchError> {
        let Some(link) = self.links.get_mut(at) else { return Ok(()) };
        if link.out.is_empty() {
            return Ok(());
        }
        link.flush()?;
        let waits = !link.out.is_empty();
        if waits != link.waits_to_write {
            link.waits_to_write = waits;
            let interest = match waits {
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            self.poll.registry().reregister(&mut link.stream, Token(at), interest)?;
        }
        Ok(())
    }

    /// Reads what there is, and answers it.
    fn read(&mut self, at: usize, now_ns: u64) -> Result<(), BenchError> {
        loop {
            let Some(link) = self.links.get_mut(at) else { return Ok(()) };
            let kept = link.rest.len();
            if self.scratch.len() < kept + READ_BYTES / 2 {
                self.scratch.resize(kept + READ_BYTES, 0);
            }
            let (head, room) = self.scratch.split_at_mut(kept);
            let count = match link.stream.read(room) {
                Ok(0) => return Err(BenchError::Closed),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let more = count == room.len();
            head.copy_from_slice(&link.rest);
            link.rest.clear();
            let mut input = std::mem::take(&mut self.scratch);
            let taken = self.take(at, input.get(..kept + count).unwrap_or_default(), now_ns);
            if let (Ok(taken), Some(link)) = (&taken, self.links.get_mut(at)) {
                link.rest.extend_from_slice(input.get(*taken..kept + count).unwrap_or_default());
            }
            std::mem::swap(&mut self.scratch, &mut input);
            taken?;
            if !more {
                break;
            }
        }
        self.feed(at, now_ns);
        self.flush(at)
    }

    /// What was read before the loop began.
    fn hear(&mut self, at: usize, now_ns: u64) -> Result<(), BenchError> {
        let Some(link) = self.links.get_mut(at) else { return Ok(()) };
        let rest = std::mem::take(&mut link.rest);
        let taken = self.take(at, &rest, now_ns)?;
        if let Some(link) = self.links.get_mut(at) {
            link.rest.extend_from_slice(rest.get(taken..).unwrap_or_default());
        }
        Ok(())
    }

    /// Hears all that is whole; how many bytes that was.
    fn take(&mut self, at: usize, input: &[u8], now_ns: u64) -> Result<usize, BenchError> {
        let mut taken = 0;
        while let Some(rest) = input.get(taken..).filter(|rest| !rest.is_empty()) {
            let Some(link) = self.links.get_mut(at) else { break };
            let asked = link.open.front().map(|open| open.asked);
            let Some((length, heard)) = link.speaker.hear(rest, asked)? else { break };
            taken += length;
            self.heard(at, heard, now_ns);
        }
        Ok(taken)
    }

    /// Whether what happens now is measured.
    fn counts(&self, now_ns: u64) -> bool {
        (self.shared.from_ns..self.shared.until_ns).contains(&now_ns)
    }

    fn heard(&mut self, at: usize, heard: Heard, now_ns: u64) {
        let counts = self.counts(now_ns);
        let Some(link) = self.links.get_mut(at) else { return };
        let count = match heard {
            Heard::Nothing => return,
            Heard::Missed(count) => {
                link.delivered += count;
                self.tally.missed += count;
                return;
            }
            Heard::Pushed(due) => {
                link.delivered += 1;
                self.delivered(due, now_ns);
                return;
            }
            Heard::Received { count, due_ns } => {
                if link.role == Role::Listener && count > 0 {
                    link.delivered += count as u64;
                    self.delivered(due_ns, now_ns);
                }
                count
            }
            Heard::Published(count) => {
                self.tally.published += count as u64;
                self.shared.published(count);
                count
            }
            Heard::Acked(count) => {
                self.tally.acked += count as u64;
                count
            }
        };
        let Some(link) = self.links.get_mut(at) else { return };
        let Some(open) = link.open.front_mut() else { return };
        open.count += count;
        open.answers = open.answers.saturating_sub(1);
        if counts {
            self.tally.requests += 1;
        }
        if open.answers == 0
            && let Some(open) = link.open.pop_front()
        {
            self.answered(at, &open, now_ns);
        }
    }

    /// A listener got one.
    fn delivered(&mut self, due_ns: Option<u64>, now_ns: u64) {
        self.tally.received += 1;
        if self.counts(now_ns) {
            self.tally.measured += 1;
            self.tally.span_ns.1 = self.tally.span_ns.1.max(now_ns);
            if let Some(due) = due_ns {
                self.tally.took(due, now_ns);
            }
        }
    }

    /// So many of the work's own kind are done.
    fn finished(&mut self, count: usize, due_ns: u64, now_ns: u64) {
        if self.counts(now_ns) {
            self.tally.measured += count as u64;
            self.tally.span_ns.1 = self.tally.span_ns.1.max(now_ns);
            self.tally.took(due_ns, now_ns);
        }
    }

    fn answered(&mut self, at: usize, open: &Open, now_ns: u64) {
        let (work, due) = (self.settings.work, open.due_ns);
        let Some(link) = self.links.get_mut(at) else { return };
        match (work, open.asked) {
            (Work::Publish, Asked::Publish) => self.finished(open.count, due, now_ns),
            (Work::Receive | Work::Roundtrip, Asked::Receive) => {
                self.tally.received += open.count as u64;
                if open.count == 0 {
                    // `receive` asks again when it is fed.
                    if work == Work::Roundtrip {
                        link.receive(link.away, due);
                    }
                } else if !link.ack(due) {
                    self.done(at, open.count, due, now_ns);
                }
            }
            (Work::Receive | Work::Roundtrip, Asked::Ack) => self.done(at, open.count, due, now_ns),
            (Work::Roundtrip, Asked::Publish) => link.receive(link.away, due),
            (Work::Publish, Asked::Receive | Asked::Ack)
            | (Work::Pubsub, _)
            | (Work::Receive, Asked::Publish) => (),
        }
    }

    /// So many were received, and acked where that is needed.
    fn done(&mut self, at: usize, count: usize, due_ns: u64, now_ns: u64) {
        if self.settings.work == Work::Receive {
            self.tally.span_ns.0 = self.tally.span_ns.0.min(due_ns.max(self.shared.from_ns));
            self.shared.done(count);
            self.finished(count, due_ns, now_ns);
            if self.shared.emptied() {
                self.shared.stop();
            }
            return;
        }
        let Some(link) = self.links.get_mut(at) else { return };
        link.away = link.away.saturating_sub(count);
        if link.away > 0 {
            link.receive(link.away, due_ns);
        } else {
            self.finished(self.settings.batch, due_ns, now_ns);
        }
    }
}
