//! The blockqueue door over a real socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

mod conform;
mod hardship;
mod leaving;
mod neighbours;
mod settings;

use common::*;
use serde_json::{Value, json};

/// A request to the door, on a connection of its own.
async fn ask(broker: &TestBroker, method: &str, path: &str, body: &str) -> Answer {
    http(broker.door("blockqueue"), method, path, &[], body.as_bytes()).await
}

/// Makes a topic with subscribers of default options.
async fn create(broker: &TestBroker, topic: &str, subscribers: &[&str]) {
    let list: Vec<Value> = subscribers.iter().map(|name| json!({"name": name})).collect();
    let body = json!({"name": topic, "subscribers": list}).to_string();
    ask(broker, "POST", "/topics", &body).await.expect(200);
}

async fn publish(broker: &TestBroker, topic: &str, message: &str) {
    let body = json!({"message": message}).to_string();
    ask(broker, "POST", &format!("/topics/{topic}/messages"), &body).await.expect(200);
}

/// What one read brings.
async fn read(broker: &TestBroker, topic: &str, subscriber: &str) -> Vec<Value> {
    let path = format!("/topics/{topic}/subscribers/{subscriber}?timeout=10s");
    let answer = ask(broker, "GET", &path, "").await.expect(200);
    answer["data"].as_array().unwrap().clone()
}

fn messages(data: &[Value]) -> Vec<&str> {
    data.iter().map(|message| message["message"].as_str().unwrap()).collect()
}

/// The counts of a subscriber: unpublished and unacked.
async fn counts(broker: &TestBroker, topic: &str, subscriber: &str) -> (u64, u64) {
    let answer = ask(broker, "GET", &format!("/topics/{topic}/subscribers"), "").await.expect(200);
    let list = answer["data"].as_array().unwrap();
    let found = list.iter().find(|status| status["name"] == subscriber).unwrap();
    let count = |key: &str| found[key].as_u64().unwrap();
    (count("unpublished_message"), count("unacked_message"))
}
