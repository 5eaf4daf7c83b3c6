//! Pushes to many: 100 sockets of `/v1/ws`, 100 event streams. And how soon one socket hears.

use super::push::measure;
use super::setup::Broker;
use super::{RUN, Target, percentile, report};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const SUBSCRIBERS: usize = 100;

/// A frame of a client, masked with zeros.
pub fn frame(text: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(short) if short < 126 => out.push(0x80 | short as u8),
        Ok(middle) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        Err(_) => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
    out
}

/// Reads until what was read ends like this.
pub fn read_until(stream: &mut TcpStream, end: &[u8]) -> Vec<u8> {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end) {
        stream.read_exact(&mut byte).expect("an answer");
        read.push(byte[0]);
    }
    read
}

/// A socket of `/v1/ws` that follows `feed`.
fn socket(broker: &Broker) -> TcpStream {
    let mut stream = TcpStream::connect(&broker.http).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let upgrade = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        broker.http
    );
    stream.write_all(upgrade.as_bytes()).expect("upgrade");
    read_until(&mut stream, b"\r\n\r\n");
    let subscribe = frame(r#"{"op":"subscribe","topic":"feed","req":1}"#);
    stream.write_all(&subscribe).expect("subscribe");
    read_until(&mut stream, b"\"next\":1}");
    stream
}

/// An event stream of `feed`.
fn events(broker: &Broker) -> TcpStream {
    let mut stream = TcpStream::connect(&broker.http).expect("connect");
    let request = format!("GET /v1/topics/feed/events HTTP/1.1\r\nHost: {}\r\n\r\n", broker.http);
    stream.write_all(request.as_bytes()).expect("request");
    read_until(&mut stream, b"\"next\":1}\n\n\r\n");
    stream
}

/// Counts at every subscriber how often `mark` came, and measures the sum.
fn fan_out(broker: &Broker, mut streams: Vec<TcpStream>, mark: &'static [u8]) -> f64 {
    for stream in &streams {
        stream.set_nonblocking(true).expect("nonblocking");
    }
    let delivered = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let (counted, stopped) = (delivered.clone(), stop.clone());
    let reader = std::thread::spawn(move || {
        let finder = memchr::memmem::Finder::new(mark);
        // Behind the last bytes of the read before: a mark may be split.
        let keep = mark.len() - 1;
        let mut chunk = vec![0; 1 << 20];
        let mut tails = vec![Vec::new(); streams.len()];
        while !stopped.load(Relaxed) {
            let mut idle = true;
            for (stream, tail) in streams.iter_mut().zip(&mut tails) {
                let from = tail.len();
                chunk[..from].copy_from_slice(tail);
                let Ok(count) = stream.read(&mut chunk[from..]) else { continue };
                assert!(count > 0, "the broker dropped a subscriber");
                let read = &chunk[..from + count];
                let found = finder.find_iter(read).count();
                counted.fetch_add(found as u64, Relaxed);
                // A mark that was counted is longer than what is kept.
                *tail = read[read.len().saturating_sub(keep)..].to_vec();
                idle = false;
            }
            if idle {
                std::thread::yield_now();
            }
        }
    });
    let rate = measure(broker, &delivered, &stop, SUBSCRIBERS as u64);
    reader.join().expect("reader");
    rate
}

/// One publisher, 100 sockets; every message is counted at every subscriber.
pub fn to_sockets(broker: &Broker) {
    broker.topic("feed", "pubsub", "memory");
    let streams = (0..SUBSCRIBERS).map(|_| socket(broker)).collect();
    let rate = fan_out(broker, streams, b"{\"type\":\"message\"");
    let shown = format!("{rate:.0} deliveries/s");
    report(
        "1 publisher to 100 sockets",
        shown,
        "5000000 /s, fixed".into(),
        rate / 5e6,
        Target::Ratio(">=", 1.0),
    );
}

/// One publisher, 100 event streams.
pub fn to_events(broker: &Broker) {
    broker.topic("feed", "pubsub", "memory");
    let streams = (0..SUBSCRIBERS).map(|_| events(broker)).collect();
    let rate = fan_out(broker, streams, b"event: message\n");
    let shown = format!("{rate:.0} deliveries/s");
    report(
        "1 publisher to 100 event streams",
        shown,
        "2500000 /s, fixed".into(),
        rate / 2.5e6,
        Target::Ratio(">=", 1.0),
    );
}

/// Messages published at once by the paced publisher.
const BATCH: u64 = 10;

/// One socket that follows, another that publishes at a fixed rate: how long each message takes from
/// the moment at which it was due, so that a publisher that is held up counts as slow.
pub fn latency(broker: &Broker) {
    broker.topic("feed", "pubsub", "memory");
    let mut follower = socket(broker);
    // 70 % of what one socket gets at most, in messages per second; the other bench says that.
    let rate: u64 = std::env::var("OCTOQ_BENCH_RATE")
        .ok()
        .and_then(|rate| rate.parse().ok())
        .unwrap_or(200_000);
    let begin = Instant::now();
    let reader = std::thread::spawn(move || {
        let (mut chunk, mut rest) = (vec![0; 256 << 10], Vec::<u8>::new());
        let mark = memchr::memmem::Finder::new(b"\"body\":\"");
        let mut taken = Vec::new();
        follower.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");
        while let Ok(count @ 1..) = follower.read(&mut chunk) {
            let now = begin.elapsed().as_nanos() as u64;
            rest.extend_from_slice(&chunk[..count]);
            let mut used = 0;
            for at in mark.find_iter(&rest) {
                // The body begins with when it was due, in nanoseconds.
                let Some(due) = rest.get(at + 8..at + 28) else { break };
                let due: u64 = std::str::from_utf8(due).expect("text").parse().expect("a time");
                taken.push(now.saturating_sub(due) / 1000);
                used = at + 28;
            }
            let keep = used.max(rest.len().saturating_sub(64));
            rest.drain(..keep.min(rest.len()));
        }
        taken
    });
    let mut publisher = socket(broker);
    publisher.set_nonblocking(false).expect("blocking");
    let mut drain = publisher.try_clone().expect("clone");
    let drainer = std::thread::spawn(move || {
        let mut chunk = vec![0; 256 << 10];
        drain.set_read_timeout(Some(Duration::from_secs(1))).expect("timeout");
        while let Ok(1..) = drain.read(&mut chunk) {}
    });
    publisher.write_all(&frame(r#"{"op":"unsubscribe","sub":"feed"}"#)).expect("it only publishes");
    let every = Duration::from_nanos(1_000_000_000 * BATCH / rate.max(1));
    let mut due = begin.elapsed() + Duration::from_millis(100);
    let filler = "x".repeat(80);
    while due < RUN {
        while begin.elapsed() < due {
            std::thread::sleep(Duration::from_micros(50));
        }
        let body = format!("{{\"body\":\"{:020}{filler}\"}}", due.as_nanos());
        let messages = vec![body; BATCH as usize].join(",");
        let publish = format!(r#"{{"op":"publish","topic":"feed","messages":[{messages}]}}"#);
        publisher.write_all(&frame(&publish)).expect("publish");
        due += every;
    }
    let mut taken = reader.join().expect("reader");
    drainer.join().expect("drainer");
    taken.sort_unstable();
    let (half, most) = (percentile(&taken, 500), percentile(&taken, 990));
    let shown = format!("p50 {half} us, p99 {most} us");
    let what = format!("{rate} msg/s to 1 socket, {} heard", taken.len());
    report(&what, shown, "5000 us, fixed".into(), most as f64 / 5000.0, Target::Ratio("<=", 1.0));
}
