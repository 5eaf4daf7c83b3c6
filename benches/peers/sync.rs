//! Producers and consumers at once, every event on disk before its answer and acknowledged by its
//! consumer; at Redis with a processing list.

use super::resp::{Answer, Connection, request};
use super::servers::{Octoq, Redis, Server};
use super::{RUN, median, report};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Producers, and consumers.
const EACH: usize = 4;
/// Requests under way at a producer; events under way at a consumer.
const DEPTH: usize = 250;
/// Events that wait, at most: producers pause above it.
const BACKLOG: u64 = 20_000;
/// How often both servers are measured.
const ROUNDS: usize = 3;
const WARM_UP: Duration = Duration::from_millis(700);

/// What all threads share.
#[derive(Default)]
struct Count {
    pushed: AtomicU64,
    acked: AtomicU64,
    stop: AtomicBool,
}

/// Whose commands are spoken.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Octoq,
    Redis,
}

/// Every event begins with a number of its own, which is its id at octoq.
fn event(size: usize, number: u64) -> Vec<u8> {
    let mut body = format!("{number:012}").into_bytes();
    body.resize(size, b'x');
    body
}

fn produce(side: Side, mut connection: Connection, count: &Count, size: usize, nth: u64) {
    let mut number = nth * 1_000_000_000;
    let mut batch = Vec::new();
    while !count.stop.load(Relaxed) {
        if count.pushed.load(Relaxed) > count.acked.load(Relaxed) + BACKLOG {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        batch.clear();
        for _ in 0..DEPTH {
            number += 1;
            let body = event(size, number);
            match side {
                Side::Octoq => request(&mut batch, &[b"QLPUSH", b"work", &body[..12], &body]),
                Side::Redis => request(&mut batch, &[b"LPUSH", b"work", &body]),
            }
        }
        connection.send(&batch);
        connection.answers(DEPTH, |answer| {
            assert!(matches!(answer, Answer::Number(_) | Answer::Fine), "{answer:?}");
        });
        count.pushed.fetch_add(DEPTH as u64, Relaxed);
    }
}

fn consume(side: Side, mut connection: Connection, count: &Count, nth: u64) {
    let processing = format!("processing-{nth}").into_bytes();
    let (mut pops, mut acks) = (Vec::new(), Vec::new());
    for _ in 0..DEPTH {
        match side {
            Side::Octoq => request(&mut pops, &[b"QRPOP", b"work"]),
            Side::Redis => request(&mut pops, &[b"RPOPLPUSH", b"work", &processing]),
        }
    }
    let mut held = 0;
    let mut batch = Vec::new();
    while !count.stop.load(Relaxed) {
        batch.clear();
        batch.extend_from_slice(&acks);
        batch.extend_from_slice(&pops);
        connection.send(&batch);
        acks.clear();
        let (mut acked, mut popped) = (0, 0);
        connection.answers(held + DEPTH, |answer| match answer {
            Answer::Number(found) => {
                assert_eq!(found, 1, "an event was not there to be acknowledged");
                acked += 1;
            }
            Answer::Event(id) => {
                request(&mut acks, &[b"QACK", b"work", id]);
                popped += 1;
            }
            // The last of the list is the oldest.
            Answer::Text(body) => {
                request(&mut acks, &[b"LREM", &processing, b"-1", body]);
                popped += 1;
            }
            Answer::Nothing => {}
            Answer::Fine => panic!("nothing was pushed here"),
        });
        held = popped;
        count.acked.fetch_add(acked, Relaxed);
    }
}

/// Acknowledged events per second, and the cores that the server used.
fn measure(side: Side, server: &Server, address: &str, size: usize) -> (f64, f64) {
    let count = Count::default();
    std::thread::scope(|scope| {
        for nth in 0..EACH as u64 {
            let (count, open) = (&count, || Connection::open(address));
            let (producer, consumer) = (open(), open());
            scope.spawn(move || produce(side, producer, count, size, nth));
            scope.spawn(move || consume(side, consumer, count, nth));
        }
        std::thread::sleep(WARM_UP);
        let (start, cpu, before) = (Instant::now(), server.cpu(), count.acked.load(Relaxed));
        std::thread::sleep(RUN);
        let (acked, span) = (count.acked.load(Relaxed) - before, start.elapsed().as_secs_f64());
        let cores = (server.cpu() - cpu) / span;
        count.stop.store(true, Relaxed);
        (acked as f64 / span, cores)
    })
}

/// Both servers in turn, fresh ones each time.
pub fn on_disk() {
    for size in [100, 1024] {
        let (mut ours, mut theirs, mut cores) = (Vec::new(), Vec::new(), [0.0; 2]);
        for _ in 0..ROUNDS {
            let octoq = Octoq::start(&["okq.durability=sync"]);
            let (rate, used) = measure(Side::Octoq, &octoq.server, octoq.door("okq"), size);
            drop(octoq);
            ours.push(rate);
            cores[0] += used / ROUNDS as f64;
            let redis = Redis::start(true);
            let (rate, used) = measure(Side::Redis, &redis.server, &redis.address, size);
            theirs.push(rate);
            cores[1] += used / ROUNDS as f64;
        }
        let what = format!("okq-sync, 4 + 4 clients, {size} B");
        println!("    each round: octoq {ours:.0?}, redis {theirs:.0?}");
        report(&what, median(ours), "redis always", median(theirs), "acked/s", ">= 1.5");
        println!("    server cores: octoq {:.2}, redis {:.2}", cores[0], cores[1]);
    }
}
