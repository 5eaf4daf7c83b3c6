//! The same raw WebSocket client at octoq and at the server of the dsmq package.

use super::servers::{Dsmq, Octoq, Server, cpu_of};
use super::websocket::{WebSocket, frame};
use super::{RUN, percentile, report};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

const NOTHING: &[u8] = br#"{"message": ""}"#;

fn put(topic: &str) -> Vec<u8> {
    let body = "x".repeat(100);
    frame(&format!(r#"{{"action": "put", "topic": "{topic}", "message": "{body}"}}"#))
}

fn get(topic: &str) -> Vec<u8> {
    frame(&format!(r#"{{"action": "get", "topic": "{topic}"}}"#))
}

/// Pairs per second and the median time of one, in microseconds. `once`: both in one write.
fn pairs(address: &str, once: bool) -> (f64, f64) {
    let mut client = WebSocket::open(address, "/");
    let (put, get) = (put("pairs"), get("pairs"));
    let both = [put.clone(), get.clone()].concat();
    let (start, mut times) = (Instant::now(), Vec::new());
    while start.elapsed() < RUN {
        let began = Instant::now();
        if once {
            client.send(&both);
        } else {
            client.send(&put);
            client.send(&get);
        }
        client.receive(|text| assert!(text.len() > 100, "{}", text.escape_ascii()));
        times.push(began.elapsed().as_nanos() as u64);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    (rate, percentile(&mut times, 500) as f64 / 1e3)
}

/// Gets per second of a reader that is 20,000 messages behind.
fn behind(address: &str) -> f64 {
    const BACKLOG: usize = 20_000;
    let (mut reader, mut writer) = (WebSocket::open(address, "/"), WebSocket::open(address, "/"));
    let (put, get) = (put("behind"), get("behind"));
    for _ in 0..BACKLOG {
        writer.send(&put);
    }
    // An answer means that everything before it is in.
    writer.send(&get);
    writer.receive(|text| assert!(text.len() > 100));
    let (start, mut count, mut more) = (Instant::now(), 0, true);
    // The package's server forgets messages after three seconds.
    while more && start.elapsed() < Duration::from_millis(1500) {
        reader.send(&get);
        reader.receive(|text| more = text != NOTHING);
        count += usize::from(more);
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// What many pollers met.
struct Polled {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    got: f64,
    /// Cores of the server, and of this process.
    cores: [f64; 2],
}

/// One writer puts a message each millisecond, and each of 100 readers asks each millisecond,
/// whether or not it was answered; times count from when a question was due.
fn poll(server: &Server, address: &str) -> Polled {
    const READERS: usize = 100;
    const EVERY: Duration = Duration::from_millis(1);
    let open = |_| WebSocket::open(address, "/");
    let mut readers: Vec<WebSocket> = (0..READERS).map(open).collect();
    let mut writer = WebSocket::open(address, "/");
    for reader in &readers {
        reader.stream.set_nonblocking(true).expect("nonblocking");
    }
    let (put, get) = (put("polled"), get("polled"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            while !stop.load(Relaxed) {
                writer.send(&put);
                due += EVERY;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        // Due at, of which reader.
        let mut waiting: VecDeque<(Instant, usize)> = VecDeque::new();
        let (mut times, mut messages) = (Vec::new(), 0u64);
        let cpu = || [server.cpu(), cpu_of("self")];
        let (before, start) = (cpu(), Instant::now());
        let (mut due, mut next) = (start, 0);
        while start.elapsed() < RUN + EVERY {
            let now = Instant::now();
            if now >= due {
                // A server that is far behind is not asked more: its sockets would be full.
                if waiting.len() < 20 * READERS {
                    readers[next].send(&get);
                    waiting.push_back((due, next));
                }
                next = (next + 1) % READERS;
                due += EVERY / READERS as u32;
                continue;
            }
            for _ in 0..waiting.len().min(4) {
                let Some((since, nth)) = waiting.pop_front() else { break };
                if readers[nth].receive(|text| messages += u64::from(text != NOTHING)) {
                    times.push(since.elapsed().as_nanos() as u64);
                } else {
                    waiting.push_front((since, nth));
                    break;
                }
            }
        }
        let (after, span) = (cpu(), start.elapsed());
        let still = waiting.iter().map(|(since, _)| since.elapsed().as_nanos() as u64);
        stop.store(true, Relaxed);
        let rate = times.len() as f64 / span.as_secs_f64();
        times.extend(still);
        let ms = |per_mille, times: &mut [u64]| percentile(times, per_mille) as f64 / 1e6;
        Polled {
            rate,
            p50_ms: ms(500, &mut times),
            p99_ms: ms(990, &mut times),
            got: messages as f64 / READERS as f64 / span.as_secs_f64(),
            cores: [0, 1].map(|at| (after[at] - before[at]) / span.as_secs_f64()),
        }
    })
}

/// All of it at both servers.
pub fn all() {
    pairs_at_both();
    backlog_at_both();
    readers_at_both();
}

fn pairs_at_both() {
    for (what, once) in [("two writes", false), ("one write", true)] {
        let (ours, our_us) = pairs(Octoq::start(&[]).door("dsmq"), once);
        let (theirs, their_us) = pairs(&Dsmq::start().address, once);
        let what = format!("dsmq put + get, {what}");
        report(&what, ours, "the package", theirs, "pairs/s", ">= 5.0");
        println!("    median us: octoq {our_us:.0}, the package {their_us:.0}");
    }
}

fn backlog_at_both() {
    let ours = behind(Octoq::start(&[]).door("dsmq"));
    let theirs = behind(&Dsmq::start().address);
    report("dsmq get behind 20,000", ours, "the package", theirs, "gets/s", ">= 30");
    println!("    beside the package, fixed at 690/s: ratio {:.1}, target >= 30", ours / 690.0);
}

fn readers_at_both() {
    let octoq = Octoq::start(&[]);
    tell("octoq", &poll(&octoq.server, octoq.door("dsmq")));
    drop(octoq);
    let package = Dsmq::start();
    tell("the package", &poll(&package.server, &package.address));
}

fn tell(who: &str, polled: &Polled) {
    println!(
        "dsmq 100 readers, each asks at 1 kHz: {who} answers {:.0}/s, each reader gets {:.0} messages/s, \
         p50 {:.2} ms, p99 {:.2} ms  target p99 < 5 ms\n    cores: server {:.2}, clients {:.2}",
        polled.rate, polled.got, polled.p50_ms, polled.p99_ms, polled.cores[0], polled.cores[1]
    );
}
