//! One client per door, all able to do the same.

use crate::common::*;
use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use std::net::SocketAddr;

/// What waits and what is held by consumers, as a door counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// To be received.
    pub waiting: u64,
    /// Received and not settled; `None`: the door does not say.
    pub held: Option<u64>,
}

/// A message as a door shows it.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its id, where the door shows one.
    pub id: Option<String>,
    /// What settles it; the id at most doors.
    pub handle: String,
    pub body: String,
}

/// Which ids a door speaks of; ids of one kind can be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// The broker's own, or the publisher's.
    Broker,
    /// Ids of its own, one for each copy.
    Own,
}

/// A client of one door. Every one means the queue `default` of the topic.
pub trait Client {
    fn door(&self) -> &'static str;

    fn ids(&self) -> Ids {
        Ids::Broker
    }

    /// Whether what it receives is held until it is acked; else it is gone when it is received.
    fn holds(&self) -> bool {
        true
    }

    /// Publishes; the id, where the door tells it.
    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>>;

    /// The next message, if there is one now.
    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>>;

    fn ack<'a>(&'a mut self, topic: &'a str, received: &'a Received) -> LocalBoxFuture<'a, ()>;

    /// `None`: the door does not count.
    fn counts<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Counts>>;
}

/// A client of every door.
pub async fn clients(broker: &TestBroker) -> Vec<Box<dyn Client>> {
    vec![
        Box::new(Native(broker.door("http"))),
        Box::new(Otq(broker.login_otq().await)),
        Box::new(Okq { wire: Wire::connect(broker.door("okq")).await, pushed: 0 }),
        Box::new(Fastqueue(broker.door("fastqueue"))),
        Box::new(Blockqueue(broker.door("blockqueue"))),
    ]
}

struct Native(SocketAddr);

impl Client for Native {
    fn door(&self) -> &'static str {
        "http"
    }

    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let message = json!({"body": body}).to_string();
            let path = format!("/v1/topics/{topic}/messages");
            let placed = http(self.0, "POST", &path, &[], message.as_bytes()).await.expect(201);
            placed["id"].as_str().map(str::to_owned)
        })
    }

    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>> {
        Box::pin(async move {
            let path = format!("/v1/topics/{topic}/receive");
            let answer = http(self.0, "POST", &path, &[], b"").await.expect(200);
            let message = answer["messages"].as_array().unwrap().first()?.clone();
            let text = |key: &str| message[key].as_str().unwrap().to_owned();
            Some(Received { id: Some(text("id")), handle: text("receipt"), body: text("body") })
        })
    }

    fn ack<'a>(&'a mut self, topic: &'a str, received: &'a Received) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move {
            let receipt = json!({"receipt": received.handle}).to_string();
            let path = format!("/v1/topics/{topic}/ack");
            let answer = http(self.0, "POST", &path, &[], receipt.as_bytes()).await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        })
    }

    fn counts<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Counts>> {
        Box::pin(async move {
            let path = format!("/v1/topics/{topic}");
            let shown = http(self.0, "GET", &path, &[], b"").await.expect(200);
            let queue = &shown["queues"][0];
            let count = |key: &str| queue[key].as_u64().unwrap();
            Some(Counts {
                waiting: count("ready") + count("delayed"),
                held: Some(count("in_flight")),
            })
        })
    }
}

/// Rows are gone when they are got; the door counts nothing but what it has just put.
struct Otq(Wire);

impl Client for Otq {
    fn door(&self) -> &'static str {
        "otq"
    }

    fn holds(&self) -> bool {
        false
    }

    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async move {
            self.0.exchange(format!("OTQ PUT {topic} 1 BATCH\r\n"), "PROCEED\r\n").await;
            self.0.exchange(format!("{body}\r\n"), "ENDOFRESP\r\n").await;
            None
        })
    }

    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>> {
        Box::pin(async move {
            self.0.exchange(format!("OTQ GET {topic} 1 BATCH\r\n"), "PROCEED\r\n").await;
            let line = self.0.line().await;
            if line == "ENDOFRESP\r\n" {
                return None;
            }
            self.0.expect("ENDOFRESP\r\n").await;
            let body = line.trim_end_matches(['\r', '\n']).to_owned();
            Some(Received { id: None, handle: String::new(), body })
        })
    }

    fn ack<'a>(&'a mut self, _: &'a str, _: &'a Received) -> LocalBoxFuture<'a, ()> {
        Box::pin(async {})
    }

    fn counts<'a>(&'a mut self, _: &'a str) -> LocalBoxFuture<'a, Option<Counts>> {
        Box::pin(async { None })
    }
}

struct Okq {
    wire: Wire,
    pushed: u32,
}

impl Okq {
    async fn send(&mut self, words: &[&str]) {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.wire.send(request).await;
    }

    /// A text that the door answers.
    async fn bulk(&mut self) -> String {
        let head = self.wire.line().await;
        assert!(head.starts_with('$'), "{head}");
        self.wire.line().await.trim_end_matches(['\r', '\n']).to_owned()
    }
}

impl Client for Okq {
    fn door(&self) -> &'static str {
        "okq"
    }

    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async move {
            self.pushed += 1;
            let id = format!("event-{}", self.pushed);
            self.send(&["QLPUSH", topic, &id, body]).await;
            self.wire.expect("+OK\r\n").await;
            Some(id)
        })
    }

    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>> {
        Box::pin(async move {
            self.send(&["QRPOP", topic, "EX", "60"]).await;
            let head = self.wire.line().await;
            if head == "$-1\r\n" {
                return None;
            }
            assert_eq!(head, "*2\r\n");
            let (id, body) = (self.bulk().await, self.bulk().await);
            Some(Received { id: Some(id.clone()), handle: id, body })
        })
    }

    fn ack<'a>(&'a mut self, topic: &'a str, received: &'a Received) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move {
            self.send(&["QACK", topic, &received.handle]).await;
            self.wire.expect(":1\r\n").await;
        })
    }

    fn counts<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Counts>> {
        Box::pin(async move {
            self.send(&["QSTATUS", topic]).await;
            self.wire.expect("*1\r\n*4\r\n").await;
            self.bulk().await;
            let mut numbers = Vec::new();
            for _ in 0..3 {
                let line = self.wire.line().await;
                numbers.push(line.trim_start_matches(':').trim_end().parse::<u64>().unwrap());
            }
            // Its total counts what is held as well.
            Some(Counts { waiting: numbers[0] - numbers[1], held: Some(numbers[1]) })
        })
    }
}

/// Its messages are JSON, and each copy of one has an id of its own.
struct Fastqueue(SocketAddr);

impl Client for Fastqueue {
    fn door(&self) -> &'static str {
        "fastqueue"
    }

    fn ids(&self) -> Ids {
        Ids::Own
    }

    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let data: Value = serde_json::from_str(body).unwrap();
            let message = json!({ "data": data }).to_string();
            let path = format!("/topics/{topic}/messages");
            let kind = [("content-type", "application/json")];
            let made = http(self.0, "POST", &path, &kind, message.as_bytes()).await.expect(201);
            made["data"][0]["id"].as_str().map(str::to_owned)
        })
    }

    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>> {
        Box::pin(async move {
            let path = format!("/queues/{topic}/messages?limit=1");
            let answer = http(self.0, "GET", &path, &[], b"").await.expect(200);
            let message = answer["data"].as_array().unwrap().first()?.clone();
            let id = message["id"].as_str().unwrap().to_owned();
            Some(Received { id: Some(id.clone()), handle: id, body: message["data"].to_string() })
        })
    }

    fn ack<'a>(&'a mut self, _: &'a str, received: &'a Received) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move {
            let path = format!("/messages/{}/ack", received.handle);
            let answer = http(self.0, "PUT", &path, &[], b"").await;
            assert_eq!(answer.status, 204, "{}", answer.text());
        })
    }

    fn counts<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Counts>> {
        Box::pin(async move {
            let path = format!("/queues/{topic}/stats");
            let stats = http(self.0, "GET", &path, &[], b"").await.expect(200);
            let waiting = stats["num_undelivered_messages"].as_u64().unwrap();
            Some(Counts { waiting, held: None })
        })
    }
}

struct Blockqueue(SocketAddr);

impl Client for Blockqueue {
    fn door(&self) -> &'static str {
        "blockqueue"
    }

    fn publish<'a>(
        &'a mut self,
        topic: &'a str,
        body: &'a str,
    ) -> LocalBoxFuture<'a, Option<String>> {
        Box::pin(async move {
            let message = json!({"message": body}).to_string();
            let path = format!("/topics/{topic}/messages");
            http(self.0, "POST", &path, &[], message.as_bytes()).await.expect(200);
            None
        })
    }

    fn receive<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Received>> {
        Box::pin(async move {
            let path = format!("/topics/{topic}/subscribers/default?timeout=0s");
            let answer = http(self.0, "GET", &path, &[], b"").await.expect(200);
            let messages = answer["data"].as_array().unwrap();
            assert!(messages.len() <= 1, "{answer}");
            let text = |key: &str| Some(messages.first()?[key].as_str()?.to_owned());
            Some(Received { id: text("id"), handle: text("id")?, body: text("message")? })
        })
    }

    fn ack<'a>(&'a mut self, topic: &'a str, received: &'a Received) -> LocalBoxFuture<'a, ()> {
        Box::pin(async move {
            let path = format!("/topics/{topic}/subscribers/default/messages/{}", received.handle);
            http(self.0, "DELETE", &path, &[], b"").await.expect(200);
        })
    }

    fn counts<'a>(&'a mut self, topic: &'a str) -> LocalBoxFuture<'a, Option<Counts>> {
        Box::pin(async move {
            let path = format!("/topics/{topic}/subscribers");
            let answer = http(self.0, "GET", &path, &[], b"").await.expect(200);
            let count = |key: &str| answer["data"][0][key].as_u64().unwrap();
            Some(Counts {
                waiting: count("unpublished_message"),
                held: Some(count("unacked_message")),
            })
        })
    }
}
