//! Looking at a running broker: who is connected, what happened, and screens that change by themselves.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/frames.rs"]
mod frames;

mod connections;
mod history;
mod hostile;
mod many;
mod screens;

use common::*;
use frames::{Message, Socket};
use futures_util::SinkExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{handshake::client::generate_key, http::Request};

/// A WebSocket of this broker.
struct Client {
    socket: Socket,
    /// The document of the screen, patched with every tick.
    document: Value,
    /// When the last tick was made.
    at_ms: i64,
    /// The longest frame so far.
    longest: usize,
}

async fn open(
    address: SocketAddr,
    path: &str,
    login: Option<&str>,
) -> Result<Client, tokio_tungstenite::tungstenite::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = Request::builder()
        .uri(format!("ws://{address}{path}"))
        .header("Host", address.to_string())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    if let Some(login) = login {
        request = request.header("Authorization", login);
    }
    let opening = client_async(request.body(()).unwrap(), stream);
    let (socket, _) = timeout(PATIENCE, opening).await.unwrap()?;
    Ok(Client { socket, document: json!({}), at_ms: 0, longest: 0 })
}

/// As RFC 7396 says.
fn apply(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let members = target.as_object_mut().unwrap();
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            apply(members.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

impl Client {
    /// A socket that watches.
    async fn of(broker: &TestBroker) -> Client {
        open(broker.door("http"), "/v1/watch", None).await.unwrap()
    }

    /// One that watches this already.
    async fn watching(broker: &TestBroker, watch: Value) -> Client {
        let mut client = Client::of(broker).await;
        client.watch(watch).await;
        client
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Message::Text(frame.to_string().into())).await.unwrap();
    }

    /// Says what it wants to see.
    async fn watch(&mut self, mut watch: Value) {
        watch["op"] = json!("watch");
        self.say(watch).await;
    }

    /// The next frame that is not about the connection itself; `None` when it has ended.
    async fn frame(&mut self) -> Option<Message> {
        frames::next_frame(&mut self.socket).await
    }

    async fn hear(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => {
                self.longest = self.longest.max(text.len());
                serde_json::from_str(&text).unwrap()
            }
            other => panic!("{other:?} is not a text frame"),
        }
    }

    /// The next tick, put into the document; whether it was a full one.
    async fn tick(&mut self) -> bool {
        let tick = self.hear().await;
        assert_eq!(tick["type"], "tick", "{tick}");
        let full = tick["full"].as_bool().unwrap();
        if full {
            self.document = json!({});
        }
        self.at_ms = tick["at_ms"].as_i64().unwrap();
        apply(&mut self.document, &tick["data"]);
        full
    }

    /// Takes ticks until the document is as wanted.
    async fn until(&mut self, what: &str, is: impl Fn(&Value) -> bool) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is(&self.document) {
            assert!(tokio::time::Instant::now() < deadline, "never: {what}: {}", self.document);
            self.tick().await;
        }
    }

    /// The next frame is an error with this code.
    async fn refused(&mut self, code: &str) {
        loop {
            let frame = self.hear().await;
            if frame["type"] == "tick" {
                continue;
            }
            assert_eq!(
                (&frame["type"], &frame["code"]),
                (&json!("error"), &json!(code)),
                "{frame}"
            );
            return;
        }
    }

    /// Reads up to the close frame; its code.
    async fn close_code(&mut self) -> u16 {
        frames::close_code(&mut self.socket).await
    }
}

/// Makes a topic at level memory.
async fn create(broker: &TestBroker, name: &str, kind: &str) {
    let new = json!({"name": name, "kind": kind, "policy": {"durability": "memory"}});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
}

/// Publishes so many messages.
async fn publish(broker: &TestBroker, topic: &str, count: usize) {
    let messages: Vec<_> = (0..count).map(|n| json!({"body": n.to_string()})).collect();
    let path = format!("/v1/topics/{topic}/messages");
    broker.http("POST", &path, &json!(messages).to_string()).await.expect(200);
}
