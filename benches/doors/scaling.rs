//! What throughput does when there is more of something: topics, backlog, queues, delayed messages,
//! messages in flight. Each beside one empty topic with one queue, in turns.

use super::otq::{got, put};
use super::setup::{Broker, Otq};
use super::turns::rates;
use super::{Target, report};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Messages of one request.
const ROWS: usize = 100;
/// Pairs of requests on the way at once.
const WINDOW: usize = 4;
/// Messages of a request that fills.
const FILLING: usize = 1000;
/// How long each works until the other has its turn.
const SPAN: Duration = Duration::from_millis(250);
/// What is left of the throughput of one empty topic, at least.
const RATIO_MIN: f64 = 0.7;

/// Publishes a hundred and gets a hundred, topic by topic.
struct Flow {
    otq: Otq,
    pairs: Vec<Vec<u8>>,
    turn: usize,
}

impl Flow {
    fn new(broker: &Broker, topics: &[String]) -> Flow {
        let pair = |topic: &String| {
            let mut pair = put(topic, ROWS);
            pair.extend_from_slice(format!("OTQ GET {topic} {ROWS} BATCH\r\n").as_bytes());
            pair
        };
        Flow { otq: broker.login(), pairs: topics.iter().map(pair).collect(), turn: 0 }
    }

    /// Publishes and gets some; how many messages.
    fn step(&mut self) -> usize {
        for _ in 0..WINDOW {
            self.turn += 1;
            self.otq.send(&self.pairs[self.turn % self.pairs.len()]);
        }
        // The answer of a PUT says PROCEED and END.
        let length = self.otq.answers(2 * WINDOW);
        assert_eq!(
            length,
            WINDOW * (super::reference::PROCEED.len() + got(ROWS)),
            "all of them came"
        );
        WINDOW * ROWS
    }
}

/// Only publishes: what lies in many queues is got from none of them.
struct Publishing {
    otq: Otq,
    put: Vec<u8>,
    topic: String,
    left: usize,
}

impl Publishing {
    fn new(broker: &Broker, topic: &str) -> Publishing {
        Publishing { otq: broker.login(), put: put(topic, ROWS), topic: topic.to_owned(), left: 0 }
    }

    fn step(&mut self) -> usize {
        if self.left == 0 {
            self.left = 10_000;
            self.otq.ask(format!("OTQ CLEAR {}\r\n", self.topic).as_bytes());
        }
        self.left -= WINDOW;
        for _ in 0..WINDOW {
            self.otq.send(&self.put);
        }
        self.otq.answers(WINDOW);
        WINDOW * ROWS
    }
}

/// Sends one request over HTTP, and wants it done.
fn post(broker: &Broker, path: &str, body: &str) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        broker.http,
        body.len()
    );
    let mut stream = TcpStream::connect(&broker.http).expect("http");
    stream.write_all(head.as_bytes()).expect("head");
    stream.write_all(body.as_bytes()).expect("body");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("answer");
    assert!(answer.starts_with(b"HTTP/1.1 20"), "{}", String::from_utf8_lossy(&answer));
}

/// Brings a topic to so many messages.
fn fill(broker: &Broker, topic: &str, messages: usize) {
    let (mut otq, filling) = (broker.login(), put(topic, FILLING));
    for _ in 0..messages / FILLING {
        otq.ask(&filling);
    }
}

/// Both in turns; `copies`: how many one published message makes of `more`.
fn beside(
    what: &str,
    copies: usize,
    one: &mut dyn FnMut() -> usize,
    more: &mut dyn FnMut() -> usize,
) {
    let stretch = |step: &mut dyn FnMut() -> usize| {
        let (start, mut messages) = (Instant::now(), 0);
        while start.elapsed() < SPAN {
            messages += step() as u64;
        }
        (messages, start.elapsed().as_secs_f64())
    };
    // Caches and handles are warm, and what the last work left is tidied up.
    stretch(more);
    let (one, more) = rates(|| stretch(one), || stretch(more));
    let more = more * copies as f64;
    report(
        what,
        format!("{more:.0} msg/s"),
        format!("one empty topic {one:.0}"),
        more / one,
        Target::Ratio(">=", RATIO_MIN),
    );
}

/// All of it.
pub fn with_more(broker: &Broker) {
    broker.topic("one", "broker", "memory");
    let mut one = Flow::new(broker, &["one".to_owned()]);
    for count in [100, 10_000] {
        let topics: Vec<String> = (0..count).map(|n| format!("t{count}-{n}")).collect();
        topics.iter().for_each(|topic| broker.topic(topic, "broker", "memory"));
        let mut many = Flow::new(broker, &topics);
        beside(&format!("{count} topics"), 1, &mut || one.step(), &mut || many.step());
    }
    for messages in [1_000_000, 10_000_000] {
        let topic = format!("backlog-{messages}");
        broker.topic(&topic, "broker", "memory");
        fill(broker, &topic, messages);
        let mut deep = Flow::new(broker, std::slice::from_ref(&topic));
        beside(&format!("{messages} waiting"), 1, &mut || one.step(), &mut || deep.step());
        broker.login().ask(format!("OTQ CLEAR {topic}\r\n").as_bytes());
    }
    broker.topic("delayed", "broker", "memory");
    let item = r#"{"body":"later","delay_ms":3600000}"#;
    let items = format!("[{}]", vec![item; FILLING].join(","));
    for _ in 0..10 {
        post(broker, "/v1/topics/delayed/messages", &items);
    }
    let mut delayed = Flow::new(broker, &["delayed".to_owned()]);
    beside("10000 delayed", 1, &mut || one.step(), &mut || delayed.step());

    broker.topic("flying", "broker", "memory");
    fill(broker, "flying", 1_000_000);
    for _ in 0..1000 {
        post(broker, "/v1/topics/flying/receive?max=1000&ack_deadline_ms=3600000", "");
    }
    let mut flying = Flow::new(broker, &["flying".to_owned()]);
    beside("1000000 in flight", 1, &mut || one.step(), &mut || flying.step());

    let queues: Vec<String> = (0..10).map(|n| format!(r#"{{"name":"q{n}"}}"#)).collect();
    let body = format!(
        r#"{{"name":"wide","policy":{{"durability":"memory"}},"queues":[{{"name":"default"}},{}]}}"#,
        queues[1..].join(",")
    );
    post(broker, "/v1/topics", &body);
    broker.topic("narrow", "broker", "memory");
    let mut wide = Publishing::new(broker, "wide");
    let mut narrow = Publishing::new(broker, "narrow");
    beside("10 queues, copies published", 10, &mut || narrow.step(), &mut || wide.step());
}
