//! A million messages of 1 KiB on disk, a kill, and the first one served again.

use super::setup::Broker;
use super::{Target, report};
use std::time::Instant;

const MESSAGES: usize = 1_000_000;
const ROWS: usize = 1000;
const MAX_S: f64 = 3.0;

/// From the start of the process to the first message of a topic that was full when it was killed.
pub fn serving_again(broker: &mut Broker) {
    broker.topic("full", "broker", "async");
    let mut otq = broker.login();
    let mut put = format!("OTQ PUT full {ROWS} BATCH\r\n").into_bytes();
    for _ in 0..ROWS {
        put.extend_from_slice(&[b'x'; 1024]);
        put.extend_from_slice(b"\r\n");
    }
    for _ in 0..MESSAGES / ROWS {
        otq.ask(&put);
    }
    drop(otq);
    broker.kill();
    // The least a start could do: read the store once.
    let cold = broker.forget_pages();
    let clock = Instant::now();
    let bytes = broker.read_store();
    let reading = clock.elapsed().as_secs_f64();
    if cold {
        broker.forget_pages();
    }
    let clock = Instant::now();
    broker.run();
    let mut otq = broker.login();
    let length = otq.ask(b"OTQ GET full 1 BATCH\r\n");
    let serving = clock.elapsed().as_secs_f64();
    assert!(length > 1024, "a message came back");
    let left = MESSAGES as u64 - 1;
    let shown = format!("| Store Size        : {left}\n");
    otq.send(b"OTQ DISPLAY full\r\n");
    while !otq.buffer.ends_with(b"ENDOFRESP\r\n") {
        otq.fill();
    }
    let text = String::from_utf8_lossy(&otq.buffer).into_owned();
    assert!(text.contains(&shown), "every other message is there: {text}");
    let pages = if cold { "cold" } else { "warm" };
    report(
        &format!("1 M x 1 KiB: first message served, {pages}"),
        format!("{serving:.2} s"),
        format!("read {} MiB {reading:.2} s", bytes >> 20),
        serving / reading,
        Target::AtMost(MAX_S, "s", serving),
    );
}
