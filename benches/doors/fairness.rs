//! A quiet client beside a greedy one: how much longer it waits than alone.
//!
//! The quiet client publishes one message and gets it, one at a time. It has two connections and
//! several topics that take turns, so that it meets the greedy one on its thread as well as on another.
//! Beside both runs a bare loopback: what happens to it is the machine's doing, since the greedy
//! client, the broker and the quiet client share its cores.

use super::otq::{got, put};
use super::reference::{Exchange, PROCEED};
use super::setup::{Broker, Otq};
use super::{Target, percentile, report};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Turns of each, alone and beside.
const ROUNDS: usize = 16;
const SPAN: Duration = Duration::from_millis(250);
/// Connections of the greedy client.
const GREEDY: usize = 4;
const ROWS: usize = 200;
/// Topics of the quiet client where it has its own.
const OWN: usize = 4;
/// How many times longer it may wait.
const RATIO_MAX: f64 = 3.0;

/// Connections that publish batches to one topic as fast as they are answered, from one thread, while
/// it is told to.
struct Greedy {
    go: Arc<AtomicBool>,
    end: Arc<AtomicBool>,
    rows: Arc<AtomicU64>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Greedy {
    fn start(broker: &Broker) -> Greedy {
        let (go, end, rows) = (Arc::default(), Arc::default(), Arc::default());
        let (going, ended, counted): (Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicU64>) =
            (Arc::clone(&go), Arc::clone(&end), Arc::clone(&rows));
        let mut connections: Vec<Otq> = (0..GREEDY).map(|_| broker.login()).collect();
        let put = put("greedy", ROWS);
        let thread = std::thread::spawn(move || {
            while !ended.load(Relaxed) {
                if !going.load(Relaxed) {
                    std::thread::park();
                    continue;
                }
                connections.iter_mut().for_each(|connection| connection.send(&put));
                for connection in &mut connections {
                    connection.answers(1);
                }
                counted.fetch_add((GREEDY * ROWS) as u64, Relaxed);
            }
        });
        Greedy { go, end, rows, thread: Some(thread) }
    }

    /// Rows per second while `work` is done.
    fn beside(&self, broker: &Broker, work: impl FnOnce()) -> f64 {
        let before = self.rows.load(Relaxed);
        self.go.store(true, Relaxed);
        self.wake();
        let start = Instant::now();
        // It is at full speed.
        while self.rows.load(Relaxed) < before + (10 * GREEDY * ROWS) as u64 {
            std::thread::yield_now();
        }
        work();
        let rate = (self.rows.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        self.go.store(false, Relaxed);
        broker.login().ask(b"OTQ CLEAR greedy\r\n");
        rate
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        self.end.store(true, Relaxed);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The quiet client: its connections, and what it asks, in turns.
struct Quiet {
    connections: Vec<Otq>,
    exchanges: Vec<(Vec<u8>, Vec<u8>)>,
    turn: usize,
}

impl Quiet {
    fn new(broker: &Broker, topics: &[String]) -> Quiet {
        let exchange =
            |topic: &String| (put(topic, 1), format!("OTQ GET {topic} 1 BATCH\r\n").into_bytes());
        // One after the other, so that they lie on different threads.
        let connections = (0..2).map(|_| broker.login()).collect();
        Quiet { connections, exchanges: topics.iter().map(exchange).collect(), turn: 0 }
    }

    /// Nanoseconds of each request within one span.
    fn measure(&mut self, times: &mut Vec<u64>) {
        let end = Instant::now() + SPAN;
        while Instant::now() < end {
            self.turn += 1;
            let (put, get) =
                &self.exchanges[self.turn / self.connections.len() % self.exchanges.len()];
            let at = self.turn % self.connections.len();
            for (request, reply) in [(put, PROCEED.len()), (get, got(1))] {
                let start = Instant::now();
                assert_eq!(self.connections[at].ask(request), reply);
                times.push(start.elapsed().as_nanos() as u64);
            }
        }
    }
}

/// On topics of its own, and on the topic that the greedy client uses.
pub fn greedy_and_quiet(broker: &Broker) {
    let own: Vec<String> = (0..OWN).map(|n| format!("quiet-{n}")).collect();
    let same = vec!["greedy".to_owned()];
    for topic in own.iter().chain(&same) {
        broker.topic(topic, "broker", "memory");
    }
    let greedy = Greedy::start(broker);
    let request = put("greedy", 1);
    let mut bare = Exchange::start(request.len(), PROCEED.len());
    let mut bare_measure = |times: &mut Vec<u64>| {
        let end = Instant::now() + SPAN;
        while Instant::now() < end {
            let start = Instant::now();
            bare.ask(&request);
            times.push(start.elapsed().as_nanos() as u64);
        }
    };
    for (what, topics) in [("topics of its own", own), ("the same topic", same)] {
        let mut quiet = Quiet::new(broker, &topics);
        let [mut alone, mut bare_alone, mut beside, mut bare_beside] = [(); 4].map(|()| Vec::new());
        let mut rate = 0.0;
        for _ in 0..ROUNDS {
            quiet.measure(&mut alone);
            bare_measure(&mut bare_alone);
            rate += greedy.beside(broker, || quiet.measure(&mut beside)) / ROUNDS as f64;
            greedy.beside(broker, || bare_measure(&mut bare_beside));
        }
        let us = |times: &mut Vec<u64>, per_mille| {
            times.sort_unstable();
            percentile(times, per_mille) as f64 / 1e3
        };
        println!(
            "  {what}: greedy {rate:.0} msg/s; p50 alone {:.0} us, beside it {:.0} us; bare {:.0} and {:.0} us",
            us(&mut alone, 500),
            us(&mut beside, 500),
            us(&mut bare_alone, 500),
            us(&mut bare_beside, 500),
        );
        let [one, other] = [&mut alone, &mut beside].map(|times| us(times, 990));
        let [bare_one, bare_other] =
            [&mut bare_alone, &mut bare_beside].map(|times| us(times, 990));
        report(
            &format!("quiet beside greedy, {what}, p99"),
            format!("{other:.0} us"),
            format!("alone {one:.0} us (bare {bare_one:.0}, {bare_other:.0})"),
            other / one,
            Target::Ratio("<=", RATIO_MAX),
        );
    }
}
