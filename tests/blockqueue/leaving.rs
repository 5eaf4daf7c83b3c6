//! Clients that leave while they wait: nothing is handed to them, nothing is held up by them.

use crate::common::*;
use crate::{ask, counts, create, messages, publish, read};
use octoq::queue::TopicName;
use serde_json::json;
use std::time::Duration;

/// Receivers that wait at the topic and are still there.
async fn waiting(broker: &TestBroker, topic: &str) -> u64 {
    let inside = &broker.server.broker;
    let name = TopicName::parse(topic).unwrap();
    let handle = inside.topic(&inside.anonymous(), &name).await.unwrap();
    handle.describe().await.unwrap().queues.iter().map(|(_, _, queue)| queue.waiting).sum()
}

async fn until_waiting(broker: &TestBroker, topic: &str, count: u64) {
    eventually("so many wait", async || (waiting(broker, topic).await == count).then_some(()))
        .await;
}

/// A reader that waits, on a connection of its own.
async fn waits(broker: &TestBroker, topic: &str, subscriber: &str) -> Wire {
    let before = waiting(broker, topic).await;
    let mut wire = Wire::connect(broker.door("blockqueue")).await;
    wire.send(format!(
        "GET /topics/{topic}/subscribers/{subscriber}?timeout=300s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ))
    .await;
    until_waiting(broker, topic, before + 1).await;
    wire
}

#[actix_web::test]
async fn a_reader_that_leaves_is_not_waited_for() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let wires = [waits(&broker, "t", "s").await, waits(&broker, "t", "s").await];
    let stays = waits(&broker, "t", "s").await;
    drop(wires);
    until_waiting(&broker, "t", 1).await;
    drop(stays);
    until_waiting(&broker, "t", 0).await;
    publish(&broker, "t", "m").await;
    assert_eq!(counts(&broker, "t", "s").await, (1, 0));
    assert_eq!(messages(&read(&broker, "t", "s").await), ["m"]);
}

/// The end of the connection and the message come to the broker at nearly the same moment.
#[actix_web::test]
async fn nothing_is_lost_to_a_reader_that_leaves_at_the_same_moment() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    for round in 0..50 {
        let wire = waits(&broker, "t", "s").await;
        let text = round.to_string();
        let body = json!({"message": text}).to_string();
        let publishing = ask(&broker, "POST", "/topics/t/messages", &body);
        let leaving = async move {
            if round % 2 == 0 {
                // A reset instead of an end.
                socket2::SockRef::from(&wire.stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
            drop(wire);
        };
        futures_util::future::join(leaving, publishing).await.1.expect(200);
        // Not only when its five minutes are over.
        eventually("it waits for others", async || {
            (counts(&broker, "t", "s").await == (1, 0)).then_some(())
        })
        .await;
        let got = read(&broker, "t", "s").await;
        assert_eq!(messages(&got), [text.as_str()]);
        let id = got[0]["id"].as_str().unwrap();
        ask(&broker, "DELETE", &format!("/topics/t/subscribers/s/messages/{id}"), "")
            .await
            .expect(200);
    }
}

/// A client may say that it will send nothing more; then it is not waited for, but it is answered.
#[actix_web::test]
async fn a_reader_that_half_closes_ends_its_wait() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let mut wire = waits(&broker, "t", "s").await;
    tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
    let answer = wire.answer().await;
    assert_eq!(answer.expect(500), json!({"message": "failure", "error": "context canceled"}));
    until_waiting(&broker, "t", 0).await;
}

/// Requests that do not wait are answered whatever the client closes.
#[actix_web::test]
async fn a_half_closed_client_is_answered_when_it_does_not_wait() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let body = r#"{"message":"m"}"#;
    let requests = [
        format!(
            "POST /topics/t/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
        "GET /topics/t/subscribers HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
    ];
    for request in requests {
        let mut wire = Wire::connect(broker.door("blockqueue")).await;
        wire.send(request).await;
        tokio::io::AsyncWriteExt::shutdown(&mut wire.stream).await.unwrap();
        assert_eq!(wire.answer().await.status, 200);
    }
    assert_eq!(counts(&broker, "t", "s").await, (1, 0));
}

#[actix_web::test]
async fn the_native_long_poll_notices_it_too() {
    let broker = TestBroker::start().await;
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send(
        "POST /v1/topics/default/receive?wait_ms=60000 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    until_waiting(&broker, "default", 1).await;
    drop(wire);
    until_waiting(&broker, "default", 0).await;
    broker.http("POST", "/v1/topics/default/messages", r#"{"body":"m"}"#).await.expect(201);
    let answer = broker.http("POST", "/v1/topics/default/receive", "").await.expect(200);
    assert_eq!(
        (&answer["messages"][0]["body"], &answer["messages"][0]["attempt"]),
        (&json!("m"), &json!(1))
    );
}

/// Those who left leave their places to others, so that the bound is one of living readers.
#[actix_web::test]
async fn readers_that_left_do_not_count_against_the_bound() {
    let broker = TestBroker::start_with(&["limits.waiters_max=2"]).await;
    create(&broker, "t", &["s"]).await;
    for _ in 0..5 {
        let (one, two) = (waits(&broker, "t", "s").await, waits(&broker, "t", "s").await);
        let third = ask(&broker, "GET", "/topics/t/subscribers/s?timeout=5s", "").await;
        assert_eq!(third.expect(429)["message"], "failure");
        drop((one, two));
        until_waiting(&broker, "t", 0).await;
    }
}

/// What waits is told when the broker stops, and the stop does not wait for it.
#[actix_web::test]
async fn a_reader_that_waits_is_told_of_a_stop() {
    let broker = TestBroker::start().await;
    create(&broker, "t", &["s"]).await;
    let mut wire = waits(&broker, "t", "s").await;
    let stopping = broker.stop();
    let (_, line) = futures_util::future::join(stopping, wire.line()).await;
    assert!(line.starts_with("HTTP/1.1 503"), "{line}");
}
