//! What it costs that somebody looks: ten sockets of `/v1/watch` at a broker with 5,000 topics, of which
//! some hundred are busy. The reference is the same broker with nobody looking.

use super::setup::Broker;
use super::{Target, report};
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

const TOPICS: usize = 5000;
const BUSY: usize = 500;
const SOCKETS: usize = 10;
/// How long each state is measured.
const SPAN: Duration = Duration::from_secs(10);
/// Processor time is counted in these: a hundredth of a second on Linux.
const TICKS_PER_S: f64 = 100.0;

/// Sends a request and reads the answer's head.
fn ask(broker: &Broker, path: &str, body: &str) {
    let mut stream = TcpStream::connect(&broker.http).expect("http");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        broker.http,
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}

fn create(broker: &Broker) {
    let topic = |n: usize| {
        format!(
            r#"{{"name":"topic-{n:04}","kind":"broker","policy":{{"durability":"memory","capacity":10,"overflow":"drop_oldest"}},"queues":[{{"name":"default","policy":{{}}}}]}}"#
        )
    };
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    let body = format!(r#"{{"version":1,"topics":[{}]}}"#, topics.join(","));
    ask(broker, "/v1/definitions", &body);
}

/// Publishes one message to each busy topic about once a second, until told to stop.
fn keep_busy(broker: &Broker, stop: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    let mut otq = broker.login();
    std::thread::spawn(move || {
        let mut n = 0;
        let beat = Duration::from_secs(1) / (BUSY as u32 / 10);
        while !stop.load(Relaxed) {
            let started = Instant::now();
            for _ in 0..10 {
                let put = format!("OTQ PUT topic-{:04} 1 BATCH\r\nx\r\n", n % BUSY);
                otq.ask(put.as_bytes());
                n += 1;
            }
            std::thread::sleep(beat.saturating_sub(started.elapsed()));
        }
    })
}

/// A socket that watches this.
struct Socket {
    stream: TcpStream,
    unread: Vec<u8>,
    ticks: usize,
    bytes: usize,
    longest: usize,
}

impl Socket {
    fn watching(broker: &Broker, screen: &str) -> Socket {
        let mut stream = TcpStream::connect(&broker.http).expect("connect");
        let upgrade = format!(
            "GET /v1/watch HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            broker.http
        );
        stream.write_all(upgrade.as_bytes()).expect("upgrade");
        super::fanout::read_until(&mut stream, b"\r\n\r\n");
        stream.write_all(&super::fanout::frame(screen)).expect("watch");
        stream.set_nonblocking(true).expect("nonblocking");
        Socket { stream, unread: Vec::new(), ticks: 0, bytes: 0, longest: 0 }
    }

    /// Takes the frames that have come.
    fn read(&mut self) {
        let mut chunk = [0; 64 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the broker closed"),
                Ok(count) => self.unread.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        while let [opcode, short, rest @ ..] = self.unread.as_slice() {
            let (head, length) = match (*short, rest) {
                (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
                (short, _) if short < 126 => (2, usize::from(short)),
                _ => break,
            };
            if self.unread.len() < head + length {
                break;
            }
            // Pings are none.
            if *opcode == 0x81 {
                self.ticks += 1;
                self.bytes += length;
                self.longest = self.longest.max(length);
            }
            self.unread.drain(..head + length);
        }
    }
}

/// Processor seconds that the broker has used.
fn used(broker: &Broker) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", broker.process())).expect("stat");
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse().unwrap_or(0.0)).sum();
    ticks / TICKS_PER_S
}

/// The share of a core that the broker uses meanwhile, in per cent.
fn share(broker: &Broker, sockets: &mut [Socket]) -> f64 {
    // The whole documents have come.
    let settled = Instant::now();
    while settled.elapsed() < Duration::from_secs(3) {
        sockets.iter_mut().for_each(Socket::read);
        std::thread::sleep(Duration::from_millis(20));
    }
    for socket in sockets.iter_mut() {
        (socket.ticks, socket.bytes) = (0, 0);
    }
    let (before, start) = (used(broker), Instant::now());
    while start.elapsed() < SPAN {
        sockets.iter_mut().for_each(Socket::read);
        std::thread::sleep(Duration::from_millis(20));
    }
    (used(broker) - before) / start.elapsed().as_secs_f64() * 100.0
}

/// Nobody, ten overviews, ten pages of topics.
pub fn ten_sockets(broker: &Broker) {
    create(broker);
    let stop = Arc::new(AtomicBool::new(false));
    let busy = keep_busy(broker, stop.clone());
    let nobody = share(broker, &mut []);
    for (what, screen) in [
        ("overview", r#"{"op":"watch","screen":"overview"}"#),
        (
            "topics",
            r#"{"op":"watch","screen":"topics","sort":"published_per_s","desc":true,"limit":50}"#,
        ),
        ("200 topics", r#"{"op":"watch","screen":"topics","limit":200}"#),
    ] {
        let mut sockets: Vec<Socket> =
            (0..SOCKETS).map(|_| Socket::watching(broker, screen)).collect();
        let share = share(broker, &mut sockets);
        let ticks: usize = sockets.iter().map(|socket| socket.ticks).sum();
        let bytes: usize = sockets.iter().map(|socket| socket.bytes).sum();
        let longest = sockets.iter().map(|socket| socket.longest).max().unwrap_or(0);
        let more = share - nobody;
        report(
            &format!("ten watch {what}, {TOPICS} topics, {BUSY} busy"),
            format!("{share:.1} % of a core"),
            format!("{nobody:.1} % with nobody looking"),
            share / nobody.max(0.1),
            Target::AtMost(5.0, "% more", more),
        );
        report(
            &format!("... bytes of a tick, {ticks} ticks"),
            format!("{} on average", bytes / ticks.max(1)),
            format!("{longest} the longest"),
            0.0,
            Target::AtMost(20_480.0, "bytes", longest as f64),
        );
    }
    stop.store(true, Relaxed);
    busy.join().expect("the load");
}
