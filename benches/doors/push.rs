//! Pushes to subscribers: one WebSocket, 100 otq connections.

use super::setup::{Broker, Otq};
use super::{RUN, report};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const ROWS: u64 = 200;
/// Messages published and not delivered yet, at most: nobody may be dropped for being slow.
const BACKLOG: u64 = 10_000;

/// Publishes rows of 100 bytes until told to stop, never more than [`BACKLOG`] ahead.
fn publish(otq: &mut Otq, stop: &AtomicBool, delivered: impl Fn() -> u64) -> u64 {
    let mut put = b"OTQ PUBLISH feed 200 BATCH\r\n".to_vec();
    for _ in 0..ROWS {
        put.extend_from_slice(&[b'x'; 100]);
        put.extend_from_slice(b"\r\n");
    }
    let mut published = 0;
    while !stop.load(Relaxed) {
        if published > delivered() + BACKLOG {
            std::thread::yield_now();
            continue;
        }
        otq.ask(&put);
        published += ROWS;
    }
    published
}

/// One publisher, one WebSocket subscriber.
pub fn to_one_websocket(broker: &Broker) {
    broker.topic("feed", "pubsub", "memory");
    let mut stream = TcpStream::connect(&broker.http).expect("connect");
    let upgrade = format!(
        "GET /v1/topics/feed/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        broker.http
    );
    stream.write_all(upgrade.as_bytes()).expect("upgrade");
    let delivered = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (counted, stopped) = (delivered.clone(), stop.clone());
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
    let reader = std::thread::spawn(move || {
        let (mut chunk, mut rest) = (vec![0; 256 << 10], Vec::new());
        let mark = memchr::memmem::Finder::new(b"{\"type\":\"message\"");
        while !stopped.load(Relaxed) {
            let Ok(count) = stream.read(&mut chunk) else { continue };
            rest.extend_from_slice(&chunk[..count]);
            counted.fetch_add(mark.find_iter(&rest).count() as u64, Relaxed);
            let keep = rest.len().saturating_sub(15);
            // A mark that was counted must not be counted again.
            let last = mark.find_iter(&rest).last().map_or(0, |at| at + 16);
            rest.drain(..keep.max(last));
        }
    });
    let rate = measure(broker, &delivered, &stop, 1);
    reader.join().expect("reader");
    report(
        "1 publisher to 1 WebSocket",
        format!("{rate:.0} msg/s"),
        "300000 msg/s".into(),
        rate / 3e5,
        ">= 1.0",
    );
}

fn measure(
    broker: &Broker,
    delivered: &Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
    subscribers: u64,
) -> f64 {
    let mut otq = broker.login();
    let (counted, stopped) = (delivered.clone(), stop.clone());
    let publisher = std::thread::spawn(move || {
        publish(&mut otq, &stopped, || counted.load(Relaxed) / subscribers)
    });
    std::thread::sleep(Duration::from_millis(500));
    let (start, before) = (Instant::now(), delivered.load(Relaxed));
    std::thread::sleep(RUN);
    let rate = (delivered.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
    stop.store(true, Relaxed);
    publisher.join().expect("publisher");
    rate
}

/// One publisher, 100 otq subscribers; every message is counted at every subscriber.
pub fn to_subscribers(broker: &Broker) {
    const SUBSCRIBERS: usize = 100;
    broker.topic("feed", "pubsub", "memory");
    let mut streams: Vec<TcpStream> = (0..SUBSCRIBERS)
        .map(|_| {
            let mut otq = broker.login();
            otq.send(b"OTQ SUBSCRIBE feed\r\n");
            while otq.buffer.len() < 9 {
                otq.fill();
            }
            otq.stream.set_nonblocking(true).expect("nonblocking");
            otq.stream
        })
        .collect();
    let delivered = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (counted, stopped) = (delivered.clone(), stop.clone());
    let reader = std::thread::spawn(move || {
        let mut chunk = vec![0; 1 << 20];
        let mut odd = [0u64; SUBSCRIBERS];
        while !stopped.load(Relaxed) {
            let mut idle = true;
            for (stream, odd) in streams.iter_mut().zip(&mut odd) {
                // Rows are all alike: 101 bytes each, so bytes count messages.
                while let Ok(count) = stream.read(&mut chunk) {
                    assert!(count > 0, "the broker dropped a subscriber");
                    let bytes = *odd + count as u64;
                    counted.fetch_add(bytes / 101, Relaxed);
                    *odd = bytes % 101;
                    idle = false;
                }
            }
            if idle {
                std::thread::yield_now();
            }
        }
    });
    let rate = measure(broker, &delivered, &stop, SUBSCRIBERS as u64);
    reader.join().expect("reader");
    let shown = format!("{rate:.0} deliveries/s");
    report("1 publisher to 100 otq subscribers", shown, "10000000 /s".into(), rate / 1e7, ">= 1.0");
}
