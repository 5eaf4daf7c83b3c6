//! The native door over a real socket: every route, what it refuses, and with which code.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod changing;
mod dead;
mod definitions;
mod deliveries;
mod exposition;
mod forms;
mod health;
mod hostile;
mod inside;
mod limits;
mod looking;
mod masks;
mod moving;
mod publishing;
mod receiving;
mod redriving;
mod requests;
mod roles;
mod session;
mod stats;
mod topics;

use common::*;
use octoq::queue::TopicName;
use serde_json::Value;

/// Makes a topic; its view.
async fn create(broker: &TestBroker, topic: Value) -> Value {
    broker.http("POST", "/v1/topics", &topic.to_string()).await.expect(201)
}

/// Publishes one message; where it was placed.
async fn publish(broker: &TestBroker, topic: &str, message: Value) -> Value {
    broker
        .http("POST", &format!("/v1/topics/{topic}/messages"), &message.to_string())
        .await
        .expect(201)
}

/// Receives; `from` is `topic` or `topic/queues/queue`, perhaps with a query.
async fn receive(broker: &TestBroker, from: &str) -> Vec<Value> {
    let (path, query) = from.split_once('?').unwrap_or((from, ""));
    let answer =
        broker.http("POST", &format!("/v1/topics/{path}/receive?{query}"), "").await.expect(200);
    answer["messages"].as_array().unwrap().clone()
}

/// The bodies of what is there, for good.
async fn take(broker: &TestBroker, from: &str) -> Vec<String> {
    let messages = receive(broker, &format!("{from}?max=1000&take=true")).await;
    messages.iter().map(|message| message["body"].as_str().unwrap().to_owned()).collect()
}

async fn show(broker: &TestBroker, topic: &str) -> Value {
    broker.http("GET", &format!("/v1/topics/{topic}"), "").await.expect(200)
}

/// Receives everything there is and sends it to the dead letters.
async fn kill(broker: &TestBroker, from: &str, error: &str) {
    let topic = from.split('/').next().unwrap();
    let messages = receive(broker, &format!("{from}?max=1000")).await;
    let receipts: Vec<_> = messages.iter().map(|message| &message["receipt"]).collect();
    let nack = serde_json::json!({"receipts": receipts, "mode": "dead", "error": error});
    broker.http("POST", &format!("/v1/topics/{topic}/nack"), &nack.to_string()).await.expect(200);
}

/// Waits until so many receivers wait at the topic.
async fn until_waiting(broker: &TestBroker, topic: &str, count: usize) {
    let inside = &broker.server.broker;
    let handle =
        inside.topic(&inside.anonymous(), &TopicName::parse(topic).unwrap()).await.unwrap();
    eventually("a receiver waits", async || {
        (handle.describe().await.unwrap().waiters == count).then_some(())
    })
    .await;
}

/// Sends a POST that may run beside others.
fn post_beside(broker: &TestBroker, path: &str) -> actix_web::rt::task::JoinHandle<Answer> {
    let (address, path) = (broker.door("http"), path.to_owned());
    actix_web::rt::spawn(async move { http(address, "POST", &path, &[], b"").await })
}
