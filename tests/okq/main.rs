//! The okq door: the real broker, a real socket, every byte of the protocol, and real Redis clients.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod access;
mod clients;
mod conform;
mod doors;
mod hardship;
mod settings;
mod waiting;

use common::{TestBroker, Wire, eventually};

const OK: &str = "+OK\r\n";
const NIL: &str = "$-1\r\n";

/// Words as okQ clients send them.
fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
        out.extend_from_slice(word.as_ref());
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Words that are separated by blanks.
fn line(words: &str) -> Vec<u8> {
    request(&words.split(' ').collect::<Vec<_>>())
}

async fn connect(broker: &TestBroker) -> Wire {
    Wire::connect(broker.door("okq")).await
}

/// Sends and expects in turn on one connection.
async fn dialogue(wire: &mut Wire, turns: &[(&str, &str)]) {
    for (words, expected) in turns {
        wire.exchange(line(words), expected).await;
    }
}

async fn expect_open(wire: &mut Wire) {
    wire.exchange(line("PING"), "+PONG\r\n").await;
}

/// Waits until as many okq connections are left.
async fn expect_connections(broker: &TestBroker, left: u64) {
    eventually(&format!("{left} okq connections"), async || {
        let state = broker.server.broker.state();
        let open = state.connections.iter().find(|(door, _)| *door == "okq").map(|(_, open)| *open);
        (open == Some(left)).then_some(())
    })
    .await;
}
