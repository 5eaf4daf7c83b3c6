//! Pushes to subscribers: one WebSocket, 100 otq connections.

use super::setup::{Broker, Otq};
use super::{RUN, Target, reference, report};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

const ROWS: u64 = 200;
/// Messages published and not delivered yet, at most: nobody may be dropped for being slow.
pub const BACKLOG: u64 = 10_000;

/// A publish of [`ROWS`] rows of 100 bytes.
fn request() -> Vec<u8> {
    let mut put = b"OTQ PUBLISH feed 200 BATCH\r\n".to_vec();
    for _ in 0..ROWS {
        put.extend_from_slice(&[b'x'; 100]);
        put.extend_from_slice(b"\r\n");
    }
    put
}

/// Publishes until told to stop, never more than [`BACKLOG`] ahead.
fn publish(otq: &mut Otq, stop: &AtomicBool, delivered: impl Fn() -> u64) {
    let (put, mut published) = (request(), 0);
    while !stop.load(Relaxed) {
        if published > delivered() + BACKLOG {
            std::thread::yield_now();
            continue;
        }
        otq.ask(&put);
        published += ROWS;
    }
}

/// Deliveries per second from a publisher to what `read` reads: it adds to the counter until told
/// to stop.
fn deliveries(
    mut publisher: Otq,
    subscribers: u64,
    read: impl FnOnce(&AtomicU64, &AtomicBool) + Send,
) -> f64 {
    let delivered = AtomicU64::new(0);
    let (stop, stop_reading) = (AtomicBool::new(false), AtomicBool::new(false));
    let (counted, stopped, not_reading) = (&delivered, &stop, &stop_reading);
    // It stays connected until the readers have ended: a reference ends with its publisher.
    let otq = &mut publisher;
    std::thread::scope(|scope| {
        scope.spawn(move || read(counted, not_reading));
        let publisher = scope.spawn(move || {
            publish(otq, stopped, || counted.load(Relaxed) / subscribers);
        });
        std::thread::sleep(Duration::from_millis(500));
        let (start, before) = (Instant::now(), delivered.load(Relaxed));
        std::thread::sleep(RUN);
        let rate = (delivered.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        // The last request is answered by somebody who may wait for the readers.
        stop.store(true, Relaxed);
        publisher.join().expect("publisher");
        stop_reading.store(true, Relaxed);
        rate
    })
}

/// What every message begins with that octoq pushes over a WebSocket.
const MARK: &[u8] = b"{\"type\":\"message\"";

/// Asks for a WebSocket.
fn upgrade(stream: &mut TcpStream, host: &str) {
    let upgrade = format!(
        "GET /v1/topics/feed/ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    );
    stream.write_all(upgrade.as_bytes()).expect("upgrade");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("timeout");
}

/// Counts the messages that a WebSocket brings.
fn read_websocket(mut stream: TcpStream, counted: &AtomicU64, stopped: &AtomicBool) {
    let (mut chunk, mut rest) = (vec![0; 256 << 10], Vec::new());
    let mark = memchr::memmem::Finder::new(MARK);
    while !stopped.load(Relaxed) {
        let Ok(count) = stream.read(&mut chunk) else { continue };
        assert!(count > 0, "the subscriber was dropped");
        rest.extend_from_slice(&chunk[..count]);
        let (mut found, mut behind) = (0, 0);
        for at in mark.find_iter(&rest) {
            // A mark that was counted must not be counted again.
            (found, behind) = (found + 1, at + MARK.len());
        }
        counted.fetch_add(found, Relaxed);
        rest.drain(..behind.max(rest.len().saturating_sub(MARK.len() - 1)));
    }
}

/// The text of the first message that a WebSocket brings.
fn first_message(stream: &mut TcpStream) -> String {
    let (mut chunk, mut bytes) = (vec![0; 4096], Vec::new());
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        // Nothing within the timeout: again.
        let count = stream.read(&mut chunk).unwrap_or(0);
        bytes.extend_from_slice(&chunk[..count]);
        let Some(at) = memchr::memmem::find(&bytes, MARK) else { continue };
        // Between 126 and 65535 bytes are told in the two before them.
        let length = usize::from(u16::from_be_bytes([bytes[at - 2], bytes[at - 1]]));
        if let Some(text) = bytes.get(at..at + length) {
            return String::from_utf8(text.to_vec()).expect("text");
        }
    }
    panic!("no message came");
}

/// One publisher, one WebSocket subscriber.
pub fn to_one_websocket(broker: &Broker) {
    broker.topic("feed", "pubsub", "memory");
    let mut stream = TcpStream::connect(&broker.http).expect("connect");
    upgrade(&mut stream, &broker.http);
    let mut publisher = broker.login();
    publisher.ask(&[b"OTQ PUBLISH feed 1 BATCH\r\n", &[b'x'; 100][..], b"\r\n"].concat());
    let frame = first_message(&mut stream);
    let rate =
        deliveries(publisher, 1, |counted, stopped| read_websocket(stream, counted, stopped));
    let mut bare = reference::WebSocket::start(request().len(), ROWS, &frame);
    upgrade(&mut bare.stream, "bare");
    let stream = bare.stream;
    let ceiling =
        deliveries(bare.publisher, 1, |counted, stopped| read_websocket(stream, counted, stopped));
    report(
        "1 publisher to 1 WebSocket",
        format!("{rate:.0} msg/s"),
        format!("bare tungstenite {ceiling:.0}"),
        rate / ceiling,
        Target::AtLeast(3e5, "msg/s", rate),
    );
}

const SUBSCRIBERS: usize = 100;
/// What a subscriber gets of each message: rows are all alike, so bytes count messages.
const ROW_BYTES: u64 = 101;

/// Counts the rows that come over all sockets.
fn read_sockets(mut streams: Vec<TcpStream>, counted: &AtomicU64, stopped: &AtomicBool) {
    let mut chunk = vec![0; 1 << 20];
    let mut odd = [0u64; SUBSCRIBERS];
    while !stopped.load(Relaxed) {
        let mut idle = true;
        for (stream, odd) in streams.iter_mut().zip(&mut odd) {
            while let Ok(count) = stream.read(&mut chunk) {
                assert!(count > 0, "a subscriber was dropped");
                let bytes = *odd + count as u64;
                counted.fetch_add(bytes / ROW_BYTES, Relaxed);
                *odd = bytes % ROW_BYTES;
                idle = false;
            }
        }
        if idle {
            std::thread::yield_now();
        }
    }
}

/// Deliveries per second to so many subscribers, while `delivered` is counted elsewhere.
pub fn measure(
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
    broker.topic("feed", "pubsub", "memory");
    let subscribe = |_| {
        let mut otq = broker.login();
        otq.send(b"OTQ SUBSCRIBE feed\r\n");
        while otq.buffer.len() < b"PROCEED\r\n".len() {
            otq.fill();
        }
        otq.stream
    };
    let measure = |publisher: Otq, streams: Vec<TcpStream>| {
        for stream in &streams {
            stream.set_nonblocking(true).expect("nonblocking");
        }
        let read = |counted: &AtomicU64, stopped: &AtomicBool| {
            read_sockets(streams, counted, stopped);
        };
        deliveries(publisher, SUBSCRIBERS as u64, read)
    };
    let streams = (0..SUBSCRIBERS).map(subscribe).collect();
    let rate = measure(broker.login(), streams);
    let bytes = (ROWS * ROW_BYTES) as usize;
    let bare = reference::Sockets::start(request().len(), bytes, SUBSCRIBERS);
    let ceiling = measure(bare.publisher, bare.sockets);
    report(
        "1 publisher to 100 otq subscribers",
        format!("{rate:.0} deliveries/s"),
        format!("bare writer {ceiling:.0}"),
        rate / ceiling,
        Target::AtLeast(1e7, "/s", rate),
    );
}
