//! `/v1/ws` over a real socket: every request, what it refuses, and clients that misbehave. And the
//! event streams beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/frames.rs"]
mod frames;
#[path = "../common/process.rs"]
mod process;
#[path = "../common/raw_socket.rs"]
mod raw_socket;

mod calling;
mod consuming;
mod events;
mod hardship;
mod hostile;
mod publishing;
mod subscribing;
mod ui;

use common::*;
use frames::{Message, Socket};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::client_async;

/// One socket of a well-behaved client.
struct Client {
    socket: Socket,
}

impl Client {
    async fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/v1/ws");
        let (socket, _) = timeout(PATIENCE, client_async(url, stream)).await.unwrap().unwrap();
        Client { socket }
    }

    async fn of(broker: &TestBroker) -> Client {
        Client::connect(broker.door("http")).await
    }

    async fn say(&mut self, frame: Value) {
        self.socket.send(Message::Text(frame.to_string().into())).await.unwrap();
    }

    async fn say_binary(&mut self, head: Value, body: &[u8]) {
        let head = head.to_string();
        let length = u32::try_from(head.len()).unwrap().to_be_bytes();
        let frame = [&length[..], head.as_bytes(), body].concat();
        self.socket.send(Message::Binary(frame.into())).await.unwrap();
    }

    /// The next frame that is not about the connection itself; `None` when it has ended.
    async fn frame(&mut self) -> Option<Message> {
        frames::next_frame(&mut self.socket).await
    }

    /// The next text frame.
    #[track_caller]
    fn hear(&mut self) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            match self.frame().await {
                Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
                other => panic!("{caller}: {other:?} is not a text frame"),
            }
        }
    }

    /// The next frame, which is binary: head and body.
    async fn hear_binary(&mut self) -> (Value, Vec<u8>) {
        match self.frame().await {
            Some(Message::Binary(frame)) => {
                let length = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
                let head = serde_json::from_slice(&frame[4..4 + length]).unwrap();
                (head, frame[4 + length..].to_vec())
            }
            other => panic!("{other:?} is not a binary frame"),
        }
    }

    /// Says something with the name `at` and hears the answer to it.
    #[track_caller]
    fn ask(&mut self, mut frame: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            frame["req"] = json!("at");
            self.say(frame).await;
            let answer = self.hear().await;
            assert_eq!(answer["req"], "at", "{caller}: {answer}");
            answer
        }
    }

    /// The answer is `ok`.
    #[track_caller]
    fn ok(&mut self, frame: Value) -> impl Future<Output = Value> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.ask(frame).await;
            assert_eq!(answer["type"], "ok", "{caller}: {answer}");
            answer
        }
    }

    /// The answer is an error with this code.
    #[track_caller]
    fn refused(&mut self, frame: Value, code: &str) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.ask(frame).await;
            let (kind, said) = (&answer["type"], &answer["code"]);
            assert_eq!((kind, said), (&json!("error"), &json!(code)), "{caller}: {answer}");
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

/// Publishes texts over HTTP.
async fn publish(broker: &TestBroker, topic: &str, bodies: &[&str]) {
    let messages: Vec<_> = bodies.iter().map(|body| json!({"body": body})).collect();
    let path = format!("/v1/topics/{topic}/messages");
    let answer = broker.http("POST", &path, &json!(messages).to_string()).await;
    assert!(!answer.text().contains("problem"), "{}", answer.text());
    answer.expect(200);
}

/// What is shown of a topic.
async fn show(broker: &TestBroker, topic: &str) -> Value {
    broker.http("GET", &format!("/v1/topics/{topic}"), "").await.expect(200)
}

/// Waits until a figure of a topic has a value.
async fn until(broker: &TestBroker, topic: &str, pointer: &str, value: Value) {
    eventually(&format!("{pointer} of {topic} is {value}"), async || {
        (show(broker, topic).await.pointer(pointer) == Some(&value)).then_some(())
    })
    .await;
}

/// One line of `/metrics`.
async fn metric(broker: &TestBroker, name: &str) -> u64 {
    let text = broker.http("GET", "/metrics", "").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}
