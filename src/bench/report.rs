//! What came of a run.

use super::{Length, Settings};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::fmt;

/// What one thread, or all of them, counted.
#[derive(Debug)]
pub struct Tally {
    /// Messages that were confirmed.
    pub published: u64,
    /// Messages that came, at every listener.
    pub received: u64,
    /// Messages that were acked.
    pub acked: u64,
    /// Messages that a listener was told it will not get.
    pub missed: u64,
    /// Of the work's own kind, within the time that is measured.
    pub measured: u64,
    /// Requests answered within that time.
    pub requests: u64,
    /// From when it was due to when it was done, in nanoseconds.
    pub latency: Histogram<u64>,
    /// First and last moment that counted, in nanoseconds since the start.
    pub span_ns: (u64, u64),
}

/// Longest time that is told from longer ones.
const LONGEST_NS: u64 = 600_000_000_000;

impl Tally {
    /// Nothing so far.
    pub fn new() -> Tally {
        // Three digits, between 1 ns and 10 minutes: such bounds are always good.
        let latency = Histogram::new_with_bounds(1, LONGEST_NS, 3)
            .unwrap_or_else(|_| unreachable!("the bounds are constant"));
        let span_ns = (u64::MAX, 0);
        Tally {
            published: 0,
            received: 0,
            acked: 0,
            missed: 0,
            measured: 0,
            requests: 0,
            latency,
            span_ns,
        }
    }

    /// One that was due then and is done now.
    pub fn took(&mut self, due_ns: u64, now_ns: u64) {
        self.latency.saturating_record(now_ns.saturating_sub(due_ns).max(1));
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Tally) {
        self.published += other.published;
        self.received += other.received;
        self.acked += other.acked;
        self.missed += other.missed;
        self.measured += other.measured;
        self.requests += other.requests;
        // Both have the same bounds.
        let _ = self.latency.add(&other.latency);
        self.span_ns.0 = self.span_ns.0.min(other.span_ns.0);
        self.span_ns.1 = self.span_ns.1.max(other.span_ns.1);
    }
}

/// Percentiles, in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// On average.
    pub mean: f64,
    /// Half took no longer.
    pub p50: f64,
    /// 9 of 10 took no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p999: f64,
    /// 9,999 of 10,000.
    pub p9999: f64,
    /// The longest.
    pub max: f64,
}

impl Latency {
    fn of(times: &Histogram<u64>) -> Latency {
        let us = |ns: u64| ns as f64 / 1e3;
        let at = |quantile| us(times.value_at_quantile(quantile));
        Latency {
            count: times.len(),
            min: if times.is_empty() { 0.0 } else { us(times.min()) },
            mean: times.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: us(times.max()),
        }
    }
}

/// What the machine itself can do, by the same client.
#[derive(Debug, Clone, Serialize)]
pub struct Reference {
    /// What it was.
    pub what: &'static str,
    /// Requests answered per second.
    pub requests_per_s: f64,
    /// The broker's rate as a part of it.
    pub ratio: f64,
    /// How long each took.
    pub latency_us: Latency,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Whose protocol.
    pub door: &'static str,
    /// What was measured.
    pub work: &'static str,
    /// Connections that did it.
    pub connections: usize,
    /// Connections that listened.
    pub subscribers: usize,
    /// Messages of one request.
    pub batch: usize,
    /// Requests under way on a connection.
    pub depth: usize,
    /// Bytes of a body.
    pub size: usize,
    /// Messages per second that were due; none: as fast as it went.
    pub rate: Option<f64>,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Messages that were confirmed, warm-up included.
    pub published: u64,
    /// Messages that came, at every listener.
    pub received: u64,
    /// Messages that were acked.
    pub acked: u64,
    /// Messages that listeners were told they will not get.
    pub missed: u64,
    /// Messages of the work's kind per second: published, received (and acked), pushed, or there and back.
    pub messages_per_s: f64,
    /// Requests answered per second.
    pub requests_per_s: f64,
    /// From when it was due to when it was done.
    pub latency_us: Latency,
    /// What the machine can do, when it was asked for.
    pub reference: Option<Reference>,
}

impl Report {
    /// Of everything that was counted.
    pub fn of(settings: &Settings, tally: &Tally) -> Report {
        let seconds = match settings.length {
            Length::Time { run, .. } => run.as_secs_f64().min(
                // `receive` may end before its time.
                tally.span_ns.1.saturating_sub(tally.span_ns.0).max(1) as f64 / 1e9,
            ),
            Length::Count(_) => tally.span_ns.1.saturating_sub(tally.span_ns.0).max(1) as f64 / 1e9,
        };
        Report {
            door: settings.door.name(),
            work: settings.work.name(),
            connections: settings.connections,
            subscribers: if settings.work == super::Work::Pubsub {
                settings.subscribers
            } else {
                0
            },
            batch: settings.batch,
            depth: settings.depth,
            size: settings.size,
            rate: settings.rate,
            seconds,
            published: tally.published,
            received: tally.received,
            acked: tally.acked,
            missed: tally.missed,
            messages_per_s: tally.measured as f64 / seconds,
            requests_per_s: tally.requests as f64 / seconds,
            latency_us: Latency::of(&tally.latency),
            reference: None,
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { p50, p90, p99, p999, max, .. } = self;
        write!(out, "p50 {p50:.0} us, p90 {p90:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { door, work, connections, subscribers, batch, depth, size, .. } = self;
        write!(out, "{door} {work}: {connections} connections")?;
        if *subscribers > 0 {
            write!(out, ", {subscribers} subscribers")?;
        }
        write!(out, ", batch {batch}, depth {depth}, {size} bytes")?;
        if let Some(rate) = self.rate {
            write!(out, ", due {rate:.0}/s")?;
        }
        writeln!(
            out,
            "\n  {:.0} messages/s, {:.0} requests/s, over {:.2} s\n  {}",
            self.messages_per_s, self.requests_per_s, self.seconds, self.latency_us
        )?;
        write!(
            out,
            "  published {}, received {}, acked {}, missed {}",
            self.published, self.received, self.acked, self.missed
        )?;
        if let Some(Reference { what, requests_per_s, ratio, latency_us }) = &self.reference {
            write!(
                out,
                "\n  {what}: {requests_per_s:.0} requests/s, {latency_us}\n  ratio {ratio:.2}"
            )?;
        }
        Ok(())
    }
}
