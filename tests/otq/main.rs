//! The otq door: the real broker, a real socket, every byte of the protocol.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/frames.rs"]
mod frames;

mod commands;
mod conform;
mod hardship;
mod over_http;
mod push;
mod refusals;

use common::{TestBroker, Wire};

/// Sends and expects in turn on one connection.
async fn dialogue(wire: &mut Wire, turns: &[(&str, &str)]) {
    for (sent, expected) in turns {
        wire.send(sent).await;
        let got = read_as_much(wire, expected.len()).await;
        assert_eq!(got, *expected, "the answer to {sent:?}");
    }
}

async fn read_as_much(wire: &mut Wire, bytes: usize) -> String {
    use tokio::io::AsyncReadExt;
    let mut got = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        let read = wire.stream.read(&mut got[filled..]);
        match tokio::time::timeout(common::PATIENCE, read).await {
            Ok(Ok(count)) if count > 0 => filled += count,
            _ => break,
        }
    }
    String::from_utf8_lossy(&got[..filled]).into_owned()
}

/// The session answers as if nothing had happened.
async fn expect_open(wire: &mut Wire) {
    wire.exchange("OTQ PING default\r\n", "PONG\r\nENDOFRESP\r\n").await;
}

/// Logs in as a user made for this, with these topics of its own.
async fn login_as(broker: &TestBroker, name: &str, topics: &str) -> Wire {
    let body = format!(r#"{{"password":"pw-{name}","topics":{topics}}}"#);
    broker.http("PUT", &format!("/v1/users/{name}"), &body).await.expect(204);
    let mut wire = broker.connect_otq().await;
    wire.exchange(format!("OTQ CONNECT {name} pw-{name}\r\n"), "CONNECTED\r\nENDOFRESP\r\n").await;
    wire
}

/// Waits until as many otq connections are left.
async fn expect_connections(broker: &TestBroker, left: u64) {
    common::eventually(&format!("{left} otq connections"), async || {
        let state = broker.server.broker.state();
        let open = state.connections.iter().find(|(door, _)| *door == "otq").map(|(_, open)| *open);
        (open == Some(left)).then_some(())
    })
    .await;
}

/// Waits until as many subscribers are left.
async fn expect_subscribers(broker: &TestBroker, topic: &str, left: u64) {
    common::eventually(&format!("{left} subscribers"), async || {
        let shown = broker.http("GET", &format!("/v1/topics/{topic}"), "").await.expect(200);
        (shown["subscribers"].as_u64() == Some(left)).then_some(())
    })
    .await;
}
