//! What a connection costs that does nothing.

use super::resp::{Connection, request};
use super::servers::Octoq;
use super::websocket::{WebSocket, frame};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::time::Duration;

/// As many of each as the limit of open files allows.
const WANTED: u64 = 10_000;

/// Says what one of these costs.
fn tell(what: &str, count: u64, before: u64, after: u64, target: u64) {
    let each = after.saturating_sub(before) as f64 / count as f64;
    println!(
        "idle {what:<24} {count} held  {each:>7.0} B each  resident {} -> {} KiB  target <= {target} B",
        before / 1024,
        after / 1024,
    );
}

/// Resident bytes once they no longer change.
fn settled(octoq: &Octoq) -> u64 {
    let mut last = octoq.server.resident();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = octoq.server.resident();
        if now.abs_diff(last) < 256 << 10 {
            return now;
        }
        last = now;
    }
}

/// Every connection has been used once, and is held until all were counted.
pub fn connections() {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit");
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit).expect("the limit");
    // Two kinds at once; a WebSocket of the native door takes two files at the broker.
    let count = WANTED.min((limit - 300) / 2);
    let octoq = Octoq::start(&["okq.connections_max=100000", "dsmq.connections_max=100000"]);
    let before = settled(&octoq);
    let mut ping = Vec::new();
    request(&mut ping, &[b"PING"]);
    let resp: Vec<Connection> = (0..count)
        .map(|_| {
            let mut one = Connection::small(octoq.door("okq"));
            one.send(&ping);
            one.answers(1, |_| {});
            one
        })
        .collect();
    let after = settled(&octoq);
    tell("RESP", count, before, after, 8 << 10);
    let get = frame(r#"{"action": "get", "topic": "idle"}"#);
    let dsmq: Vec<WebSocket> = (0..count)
        .map(|_| {
            let mut one = WebSocket::open(octoq.door("dsmq"), "/");
            one.send(&get);
            one.receive(|_| {});
            one
        })
        .collect();
    let both = settled(&octoq);
    tell("dsmq WebSocket, besides", count, after, both, 24 << 10);
    drop((resp, dsmq, octoq));

    let octoq = Octoq::start(&["http.connections_max=100000"]);
    let topic = r#"{"name":"idle","kind":"pubsub","policy":{"durability":"memory"}}"#;
    super::http::Http::open(octoq.door("http")).send(&super::http::request(
        "POST",
        "/v1/topics",
        topic,
    ));
    let before = settled(&octoq);
    let native: Vec<WebSocket> =
        (0..count).map(|_| WebSocket::open(octoq.door("http"), "/v1/topics/idle/ws")).collect();
    tell("native WebSocket", count, before, settled(&octoq), 24 << 10);
    drop(native);
}
