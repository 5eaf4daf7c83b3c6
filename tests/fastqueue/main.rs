//! The door for fastqueue's clients over a real socket.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/process.rs"]
mod process;

mod access;
mod conform;
mod hardship;
mod json_corpus;
mod restart;
mod settings;
mod shared;

use common::*;
use serde_json::{Value, json};

/// One request at the door; its answer.
async fn send(broker: &TestBroker, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let json = [("content-type", "application/json")];
    http(broker.door("fastqueue"), method, path, &json, body.as_bytes()).await
}

async fn topic(broker: &TestBroker, id: &str) {
    send(broker, "POST", "/topics", &json!({ "id": id })).await.expect(201);
}

fn settings_of(id: Option<&str>, more: Value) -> Value {
    let mut settings = json!({"ack_deadline_seconds": 30, "message_retention_seconds": 600});
    if let Some(id) = id {
        settings["id"] = id.into();
    }
    if let Value::Object(more) = more {
        settings.as_object_mut().unwrap().extend(more);
    }
    settings
}

async fn queue(broker: &TestBroker, id: &str, more: Value) -> Value {
    send(broker, "POST", "/queues", &settings_of(Some(id), more)).await.expect(201)
}

async fn update(broker: &TestBroker, id: &str, more: Value) -> Value {
    send(broker, "PUT", &format!("/queues/{id}"), &settings_of(None, more)).await.expect(200)
}

async fn show(broker: &TestBroker, id: &str) -> Value {
    send(broker, "GET", &format!("/queues/{id}"), &Value::Null).await.expect(200)
}

/// Publishes `{"n": n}`; the messages that were made.
async fn publish(broker: &TestBroker, topic: &str, n: u64) -> Vec<Value> {
    let path = format!("/topics/{topic}/messages");
    let made = send(broker, "POST", &path, &json!({"data": {"n": n}})).await.expect(201);
    made["data"].as_array().unwrap().clone()
}

async fn consume(broker: &TestBroker, queue: &str) -> Vec<Value> {
    let path = format!("/queues/{queue}/messages?limit=1000");
    let found = send(broker, "GET", &path, &Value::Null).await.expect(200);
    found["data"].as_array().unwrap().clone()
}

async fn settle(broker: &TestBroker, message: &Value, verb: &str) {
    let path = format!("/messages/{}/{verb}", message["id"].as_str().unwrap());
    let answer = send(broker, "PUT", &path, &Value::Null).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
}

fn numbers(messages: &[Value]) -> Vec<u64> {
    messages.iter().map(|message| message["data"]["n"].as_u64().unwrap()).collect()
}
