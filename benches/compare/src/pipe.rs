//! Producers and consumers at once, for a time or for a number of messages.

use crate::histogram::Histogram;
use crate::kernel::{self, Waker};
use crate::plan::{Connection, Plan};
use crate::protocol::{Role, bad};
use crate::report::Report;
use crate::shared::{DRAIN, MEASURE, QUIT, Shared, Side, WARM};
use crate::{adapters, consumer, producer};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

/// How long what is under way at the end may take to arrive.
const ARRIVE_NS: u64 = 3_000_000_000;
/// When all were delivered and no ack has come for so long, the last acks wait behind requests that
/// wait for more messages.
const LAST_ACKS_NS: u64 = 300_000_000;

/// The state of everything at one moment.
#[derive(Clone)]
struct Moment {
    ns: u64,
    published: u64,
    confirmed: u64,
    delivered: u64,
    acked: u64,
    server: f64,
    client: f64,
    machine: f64,
    stolen: f64,
    threads: Vec<(Side, f64)>,
}

impl Moment {
    fn now(plan: &Plan, shared: &Shared) -> Moment {
        let (machine, stolen) = kernel::machine_cpu();
        let threads = shared.threads.lock().unwrap();
        Moment {
            ns: kernel::now_ns(),
            published: shared.published.load(SeqCst),
            confirmed: shared.confirmed.load(SeqCst),
            delivered: shared.delivered.load(SeqCst),
            acked: shared.acked.load(SeqCst),
            server: plan.server_cpu(),
            client: kernel::own_cpu(),
            machine,
            stolen,
            threads: threads.iter().map(|(side, id)| (*side, kernel::thread_cpu(*id))).collect(),
        }
    }
}

/// Connections, dealt to some threads.
fn deal(plan: &Plan, role: Role, count: usize, threads: usize) -> io::Result<Vec<Vec<Connection>>> {
    let threads = threads.clamp(1, count.max(1));
    let mut hands: Vec<Vec<Connection>> = (0..threads).map(|_| Vec::new()).collect();
    for nth in 0..count {
        hands[nth % threads].push(Connection::open(plan, role, nth)?);
    }
    hands.retain(|hand| !hand.is_empty());
    Ok(hands)
}

/// Runs a plan; the result as a line of JSON.
pub fn run(plan: Plan) -> io::Result<String> {
    let plan = Arc::new(plan);
    plan.prepare()?;
    let consumers = deal(&plan, Role::Consumer, plan.consumers, plan.consumer_threads)?;
    let producers = deal(&plan, Role::Producer, plan.producers, plan.producer_threads)?;
    let wakers = producers.iter().map(|_| Waker::new()).collect::<io::Result<_>>()?;
    let shared = Arc::new(Shared { wakers, ..Shared::default() });
    let mut threads: Vec<JoinHandle<Histogram>> = Vec::new();
    for connections in consumers {
        let (plan, shared) = (plan.clone(), shared.clone());
        threads.push(std::thread::spawn(move || {
            shared.threads.lock().unwrap().push((Side::Consumers, kernel::thread_id()));
            let mut times = Histogram::new();
            if let Err(error) = consumer::run(&plan, &shared, connections, &mut times) {
                shared.fail(format!("consumer: {error}"));
            }
            times
        }));
    }
    let share = 1.0 / producers.len().max(1) as f64;
    for (nth, connections) in producers.into_iter().enumerate() {
        let (plan, shared) = (plan.clone(), shared.clone());
        threads.push(std::thread::spawn(move || {
            shared.threads.lock().unwrap().push((Side::Producers, kernel::thread_id()));
            let waker = &shared.wakers[nth];
            if let Err(error) = producer::run(&plan, &shared, connections, waker, share) {
                shared.fail(format!("producer: {error}"));
            }
            Histogram::new()
        }));
    }
    while (shared.ready.load(SeqCst) as usize) < threads.len() && !shared.failed.load(SeqCst) {
        sleep(Duration::from_millis(1));
    }
    let first = adapters::make(plan.producers_adapter(), plan.context(Role::Producer, 0))?;
    let confirms = plan.producers > 0 && first.has_confirms();
    shared.begin.store(true, SeqCst);
    let (before, after) = if plan.count == 0 {
        for_a_time(&plan, &shared)
    } else {
        for_a_count(&plan, &shared, confirms)
    };
    let _ = shared.phase.compare_exchange(MEASURE, DRAIN, SeqCst, SeqCst);
    let (missing, unconfirmed) = arrive(&plan, &shared, confirms);
    shared.phase.store(QUIT, SeqCst);
    shared.wake_producers();
    let mut times = Histogram::new();
    for thread in threads {
        if let Ok(some) = thread.join() {
            times.merge(&some);
        }
    }
    if shared.failed.load(SeqCst) {
        return bad(shared.error.lock().unwrap().clone());
    }
    Ok(report(&plan, &before, &after, &times)
        .count("missing", missing)
        .count("unconfirmed", unconfirmed)
        .line())
}

fn for_a_time(plan: &Plan, shared: &Shared) -> (Moment, Moment) {
    sleep(Duration::from_secs_f64(plan.warm_s));
    let before = Moment::now(plan, shared);
    let _ = shared.phase.compare_exchange(WARM, MEASURE, SeqCst, SeqCst);
    sleep(Duration::from_secs_f64(plan.run_s));
    (before, Moment::now(plan, shared))
}

fn for_a_count(plan: &Plan, shared: &Shared, confirms: bool) -> (Moment, Moment) {
    let _ = shared.phase.compare_exchange(WARM, MEASURE, SeqCst, SeqCst);
    let before = Moment::now(plan, shared);
    let deadline_ns = before.ns + (plan.run_s.max(1.0) * 1e9) as u64;
    let mut last = before.clone();
    loop {
        sleep(Duration::from_millis(2));
        let now_ns = kernel::now_ns();
        let (confirmed, acked) = (shared.confirmed.load(SeqCst), shared.acked.load(SeqCst));
        let delivered = shared.delivered.load(SeqCst);
        if (confirmed, acked) != (last.confirmed, last.acked) {
            last = Moment::now(plan, shared);
        } else if plan.producers == 0 && delivered >= plan.count && now_ns > last.ns + LAST_ACKS_NS
        {
            return (before, last);
        }
        let sent = plan.producers == 0 || shared.published.load(SeqCst) >= plan.count;
        let safe = !confirms || confirmed >= plan.count;
        let whole = if plan.fanout { delivered / plan.copies().max(1) } else { 0 };
        let done = plan.consumers == 0 || acked.max(whole) >= plan.count;
        if (sent && safe && done) || shared.failed.load(SeqCst) || now_ns > deadline_ns {
            return (before, Moment::now(plan, shared));
        }
    }
}

/// Waits for what is under way; what never arrived, and what was never confirmed.
fn arrive(plan: &Plan, shared: &Shared, confirms: bool) -> (i64, i64) {
    if plan.producers == 0 {
        return (0, 0);
    }
    let until_ns = kernel::now_ns() + ARRIVE_NS;
    loop {
        let published = shared.published.load(SeqCst);
        let due = (published * plan.copies()) as i64;
        let missing = due - shared.delivered.load(SeqCst) as i64;
        let confirmed = if confirms { shared.confirmed.load(SeqCst) } else { published };
        let unconfirmed = published as i64 - confirmed as i64;
        let over = kernel::now_ns() > until_ns || shared.failed.load(SeqCst);
        if over || (missing <= 0 && unconfirmed <= 0) {
            return (missing, unconfirmed);
        }
        sleep(Duration::from_millis(5));
    }
}

fn report(plan: &Plan, before: &Moment, after: &Moment, times: &Histogram) -> Report {
    let span = (after.ns - before.ns) as f64 / 1e9;
    let per_s = |before: u64, after: u64| (after - before) as f64 / span;
    let server = (after.server - before.server) / span;
    let client = (after.client - before.client) / span;
    let other = ((after.machine - before.machine) / span - server - client).max(0.0);
    let busiest = |side: Side| {
        let both = before.threads.iter().zip(&after.threads).filter(|(one, _)| one.0 == side);
        both.map(|(before, after)| (after.1 - before.1) / span).fold(0.0, f64::max)
    };
    let (published, acked) =
        (per_s(before.published, after.published), per_s(before.acked, after.acked));
    let work = published.max(acked).max(1e-9);
    Report::default()
        .text("adapter", &plan.adapter)
        .count("size", plan.size as i64)
        .count("producers", plan.producers as i64)
        .count("consumers", plan.consumers as i64)
        .count("window", plan.window as i64)
        .number("secs", span)
        .number("published_s", published)
        .number("confirmed_s", per_s(before.confirmed, after.confirmed))
        .number("delivered_s", per_s(before.delivered, after.delivered))
        .number("acked_s", acked)
        .number("server_cores", server)
        .number("client_cores", client)
        .number("producer_cores", busiest(Side::Producers))
        .number("consumer_cores", busiest(Side::Consumers))
        .number("other_cores", other)
        .number("stolen_cores", (after.stolen - before.stolen) / span)
        .number("server_us", server * 1e6 / work)
        .count("resident", plan.server_memory() as i64)
        .object("latency_us", times.report_us())
}
