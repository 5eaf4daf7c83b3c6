//! The dsmq door: the real broker, a real socket, every byte of the three dialects; and dsmq's own
//! clients.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;

mod client;
mod conform;
mod doors;
mod hardship;

use common::TestBroker;
use octoq::conform::websocket::WebSocket;

fn put(topic: &str, message: &str) -> String {
    format!(r#"{{"action": "put", "topic": "{topic}", "message": "{message}"}}"#)
}

fn get(topic: &str) -> String {
    format!(r#"{{"action": "get", "topic": "{topic}"}}"#)
}

fn message(text: &str) -> String {
    format!(r#"{{"message": "{text}"}}"#)
}

/// The reply when there is no message.
fn nothing() -> String {
    message("")
}

fn framed(text: &str) -> String {
    format!(r#"{{"msg_length": {}}}{text}"#, text.len() + 1_000_000)
}

async fn open(broker: &TestBroker) -> WebSocket {
    WebSocket::connect(broker.door("dsmq")).await.unwrap()
}

#[track_caller]
fn exchange<'a>(
    ws: &'a mut WebSocket,
    sent: &'a str,
    expected: String,
) -> impl Future<Output = ()> + 'a {
    let caller = std::panic::Location::caller();
    async move {
        if let Err(mismatch) = ws.exchange(sent, expected).await {
            panic!("{caller}: {mismatch}");
        }
    }
}

/// Waits until as many dsmq connections are left.
async fn expect_connections(broker: &TestBroker, left: u64) {
    common::eventually(&format!("{left} dsmq connections"), async || {
        let state = broker.server.broker.state();
        let open =
            state.connections.iter().find(|(door, _)| *door == "dsmq").map(|(_, open)| *open);
        (open == Some(left)).then_some(())
    })
    .await;
}
