//! The rules alone: publish, deliver and ack of one message at a depth of a million, and the memory
//! of a message that waits, each next to the plainest thing that could do it.
//!
//! `cargo bench --bench rules`; targets: 150 ns, 200 bytes. The topic is measured first: memory that
//! the reference gave back would be used again.

#![allow(clippy::expect_used, reason = "a bench that cannot go on says why and ends")]

use bytes::Bytes;
use octoq::queue::*;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEPTH: usize = 1_000_000;
const ROUNDS: usize = 2_000_000;
const BODY_BYTES: usize = 64;
const NS_MAX: f64 = 150.0;
const BYTES_MAX: f64 = 200.0;

/// Bytes this process has in memory.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("pages");
    pages * 4096.0
}

/// [`resident_bytes`] once the allocator has given back what is free: growing tables leave their
/// old halves behind, which it keeps for a while and gives back when it is used again.
fn settled_bytes() -> f64 {
    let mut least = resident_bytes();
    for _ in 0..30 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(std::hint::black_box(vec![1u8; 1 << 20]));
        least = least.min(resident_bytes());
    }
    least
}

fn topic() -> Topic {
    let definition = TopicDefinition {
        number: 1,
        name: TopicName::parse("bench").expect("a name"),
        kind: Kind::Broker,
        policy: TopicPolicy::default(),
        salt: 1,
        epoch: 0,
        owner: None,
        created_at: Timestamp(0),
    };
    let mut topic = Topic::new(&definition, 1);
    let queue = QueueDefinition {
        number: 1,
        topic: 1,
        name: QueueName::default_queue(),
        policy: QueuePolicy::default(),
        created_at: Timestamp(0),
    };
    topic.add_queue(queue).expect("the first queue");
    topic
}

fn body(n: usize) -> Vec<u8> {
    let mut bytes = vec![0u8; BODY_BYTES];
    bytes[..8].copy_from_slice(&n.to_le_bytes());
    bytes
}

fn main() {
    let start = 1_700_000_000_000i64;
    // A thousand messages a millisecond.
    let at = |n: usize| Timestamp(start + (n / 1000) as i64);

    let before = resident_bytes();
    let mut topic = topic();
    let mut ledger = Ledger::off(1);
    for n in 0..DEPTH {
        topic.publish(at(n), None, NewMessage::plain(body(n)), true, &mut ledger).expect("placed");
    }
    let bytes = (settled_bytes() - before) / DEPTH as f64;

    let request = Receive {
        max: 1,
        bytes_max: usize::MAX,
        ack_deadline: None,
        take: false,
        from_back: false,
    };
    let mut out = Vec::new();
    let clock = Instant::now();
    for n in DEPTH..DEPTH + ROUNDS {
        let now = at(n);
        topic.publish(now, None, NewMessage::plain(body(n)), true, &mut ledger).expect("placed");
        topic.receive(now, 1, &request, &mut out, &mut ledger).expect("a queue");
        let receipt = out.first().and_then(|delivery| delivery.receipt).expect("one message");
        out.clear();
        topic.ack(now, &Reference::Receipt(receipt), &mut ledger).expect("in flight");
        if n % 1000 == 0 {
            topic.advance(now, 1000, &mut ledger);
        }
    }
    let ns = clock.elapsed().as_nanos() as f64 / ROUNDS as f64;
    assert_eq!(topic.len(), DEPTH);

    drop((topic, ledger, out));

    let before = settled_bytes();
    let mut line: VecDeque<(u64, Bytes)> = VecDeque::new();
    (0..DEPTH).for_each(|n| line.push_back((n as u64, body(n).into())));
    let plain_bytes = (settled_bytes() - before) / DEPTH as f64;
    let mut lent: HashMap<u64, Bytes> = HashMap::new();
    let clock = Instant::now();
    for n in DEPTH..DEPTH + ROUNDS {
        line.push_back((n as u64, body(n).into()));
        let (number, body) = line.pop_front().expect("deep");
        lent.insert(number, body);
        std::hint::black_box(lent.remove(&number));
    }
    let plain_ns = clock.elapsed().as_nanos() as f64 / ROUNDS as f64;
    drop((line, lent));

    println!("publish + deliver + ack at a depth of {DEPTH}: {ns:.0} ns (target {NS_MAX:.0})");
    println!("  VecDeque + HashMap: {plain_ns:.0} ns; ratio {:.2}", ns / plain_ns);
    println!(
        "memory of a waiting message of {BODY_BYTES} bytes: {bytes:.0} bytes (target {BYTES_MAX:.0})"
    );
    println!("  VecDeque: {plain_bytes:.0} bytes; ratio {:.2}", bytes / plain_bytes);
    if ns > NS_MAX || bytes > BYTES_MAX {
        println!("TARGET MISSED");
    }
}
