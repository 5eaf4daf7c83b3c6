//! The bounds of `[limits]`, and bodies that do not fit into memory.

use crate::common::*;
use crate::{create, post_beside, publish, receive, show, until_waiting};
use serde_json::{Value, json};

#[actix_web::test]
async fn a_batch_has_a_bound() {
    let broker = TestBroker::start_with(&["limits.batch_max=3"]).await;
    let batch = |count: usize| json!(vec![json!({"body": "x"}); count]).to_string();
    broker
        .http("POST", "/v1/topics/default/messages", &batch(4))
        .await
        .expect_problem(413, "too_many");
    broker.http("POST", "/v1/topics/default/messages", &batch(3)).await.expect(200);
    broker.http("POST", "/v1/topics/default/messages", &batch(3)).await.expect(200);
    assert_eq!(receive(&broker, "default?max=100").await.len(), 3, "as many as one batch may have");
    let receipts = json!({"receipts": vec!["0".repeat(32); 4]}).to_string();
    for verb in ["ack", "nack"] {
        broker
            .http("POST", &format!("/v1/topics/default/{verb}"), &receipts)
            .await
            .expect_problem(413, "too_many");
    }
}

#[actix_web::test]
async fn there_are_no_more_topics_than_allowed() {
    let broker = TestBroker::start_with(&["limits.topics_max=3"]).await;
    create(&broker, json!({"name": "third"})).await;
    broker
        .http("POST", "/v1/topics", r#"{"name":"fourth"}"#)
        .await
        .expect_problem(429, "too_many_topics");
    assert_eq!(broker.http("DELETE", "/v1/topics/third", "").await.status, 204);
    create(&broker, json!({"name": "fourth"})).await;
}

#[actix_web::test]
async fn a_body_may_have_its_whole_length() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=1000"]).await;
    publish(&broker, "default", json!({"body": "x".repeat(1000)})).await;
    let longer = json!({"body": "x".repeat(1001)}).to_string();
    broker
        .http("POST", "/v1/topics/default/messages", &longer)
        .await
        .expect_problem(413, "too_large");
}

#[actix_web::test]
async fn receivers_that_wait_have_a_bound() {
    let broker = TestBroker::start_with(&["limits.waiters_max=1"]).await;
    let first = post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    until_waiting(&broker, "default", 1).await;
    let second = broker.http("POST", "/v1/topics/default/receive?wait_ms=60000", "").await;
    second.expect_problem(429, "too_many");
    publish(&broker, "default", json!({"body": "x"})).await;
    assert_eq!(first.await.unwrap().expect(200)["messages"][0]["body"], "x");
}

#[actix_web::test]
async fn a_receive_has_a_bound_in_bytes_but_gives_at_least_one() {
    let broker = TestBroker::start_with(&["limits.receive_bytes_max=1000"]).await;
    for size in [2000, 400, 400, 400] {
        publish(&broker, "default", json!({"body": "x".repeat(size)})).await;
    }
    let sizes = async || {
        let got = receive(&broker, "default?max=10&take=true").await;
        got.iter().map(|one| one["body"].as_str().unwrap().len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes().await, [2000]);
    assert_eq!(sizes().await, [400, 400]);
    assert_eq!(sizes().await, [400]);
}

/// A body that tells its number and differs in every place.
fn body(number: usize) -> String {
    let line =
        format!("{number:08}-{:016x};", (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    line.repeat(100_000 / line.len() + 1)
}

const BIG: usize = 200;

async fn publish_big(broker: &TestBroker, topic: &str) {
    for first in (0..BIG).step_by(50) {
        let batch: Vec<_> =
            (first..first + 50).map(|number| json!({"body": body(number)})).collect();
        let path = format!("/v1/topics/{topic}/messages");
        let answer = broker.http("POST", &path, &json!(batch).to_string()).await.expect(200);
        let refused = answer["results"]
            .as_array()
            .unwrap()
            .iter()
            .find(|result| result.get("problem").is_some());
        assert_eq!(refused, None);
    }
}

async fn receive_big(broker: &TestBroker, from: &str) -> Vec<Value> {
    let mut all = Vec::new();
    while all.len() < BIG {
        let got = receive(broker, from).await;
        assert!(!got.is_empty(), "{} of {BIG} came", all.len());
        all.extend(got);
    }
    for (number, message) in all.iter().enumerate() {
        assert!(
            message["body"].as_str() == Some(&body(number)),
            "message {number} is intact and in its place"
        );
    }
    all
}

/// 20 MB through 1 MiB of memory: what does not fit stays in the store and is read when asked for.
#[actix_web::test]
async fn bodies_beyond_the_memory_are_paged_in() {
    let broker = TestBroker::start_with(&["limits.memory_bytes=1048576"]).await;
    let memory = || broker.server.broker.state().memory_bytes;
    publish_big(&broker, "default").await;
    assert!(memory() <= 4 << 20, "{} bytes in memory", memory());
    let first = receive_big(&broker, "default?max=7").await;
    // Given back, then taken for good: from the store a second time.
    let receipts: Vec<_> = first.iter().map(|message| message["receipt"].clone()).collect();
    let nack = json!({"receipts": receipts, "mode": "release"}).to_string();
    broker.http("POST", "/v1/topics/default/nack", &nack).await.expect(200);
    receive_big(&broker, "default?max=1000&take=true").await;
    assert!(receive(&broker, "default").await.is_empty());
    assert_eq!(show(&broker, "default").await["queues"][0]["bytes"], 0);
    eventually("the memory is free again", async || (memory() == 0).then_some(())).await;
}

#[actix_web::test]
async fn bodies_beyond_the_memory_survive_a_restart() {
    let broker = TestBroker::start_with(&["limits.memory_bytes=1048576"]).await;
    publish_big(&broker, "default").await;
    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &["limits.memory_bytes=1048576"]).await;
    receive_big(&broker, "default?max=40&take=true").await;
}

#[actix_web::test]
async fn a_memory_topic_refuses_what_does_not_fit_into_memory() {
    let broker = TestBroker::start_with(&["limits.memory_bytes=1048576"]).await;
    let topic = create(&broker, json!({"name": "ram", "policy": {"durability": "memory"}})).await;
    assert_eq!(topic["durability"], "memory");
    let message = json!({"body": "x".repeat(100_000)}).to_string();
    let mut taken = 0;
    let refused = loop {
        let answer = broker.http("POST", "/v1/topics/ram/messages", &message).await;
        if answer.status != 201 {
            break answer;
        }
        assert_eq!(answer.json()["durability"], "memory");
        taken += 1;
        assert!(taken <= 20, "memory has an end");
    };
    refused.expect_problem(507, "memory_full");
    assert!(taken >= 9, "{taken} fitted");
    // What is there can be taken, and then there is room.
    assert_eq!(receive(&broker, "ram?max=100&take=true").await.len(), taken);
    eventually("there is room", async || {
        (broker.http("POST", "/v1/topics/ram/messages", &message).await.status == 201).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_memory_topic_keeps_its_name_but_not_its_messages_over_a_restart() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "ram", "policy": {"durability": "memory"}})).await;
    publish(&broker, "ram", json!({"body": "x"})).await;
    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    assert_eq!(show(&broker, "ram").await["durability"], "memory");
    assert!(receive(&broker, "ram").await.is_empty());
}

#[actix_web::test]
async fn a_backup_is_not_written_over() {
    let broker = TestBroker::start().await;
    broker.http("POST", "/v1/backup?keep=nightly", "").await.expect(201);
    broker.http("POST", "/v1/backup?keep=nightly", "").await.expect_problem(409, "backup_exists");
}
