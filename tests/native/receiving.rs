//! Receive: how many, for how long, and what a waiting receiver is told.

use crate::common::*;
use crate::{create, post_beside, publish, receive, show, take, until_waiting};
use serde_json::json;
use std::time::Duration;

#[actix_web::test]
async fn an_empty_queue_is_an_answer() {
    let broker = TestBroker::start().await;
    let answer = broker.http("POST", "/v1/topics/default/receive", "").await.expect(200);
    assert_eq!(answer, json!({"messages": []}));
}

#[actix_web::test]
async fn a_delivery_says_all_about_itself() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "x"})).await;
    let got = receive(&broker, "default?ack_deadline_ms=60000").await;
    assert_eq!(got.len(), 1);
    assert_eq!(
        (&got[0]["attempt"], &got[0]["seq"], &got[0]["body"]),
        (&json!(1), &json!(1), &json!("x"))
    );
    assert_eq!(got[0]["receipt"].as_str().map(str::len), Some(32));
    let (published, deadline) =
        (got[0]["published_at_ms"].as_i64().unwrap(), got[0]["deadline_ms"].as_i64().unwrap());
    assert!(deadline >= published + 60_000, "{got:?}");
    assert_eq!(got[0].get("attributes"), None);
    assert_eq!(show(&broker, "default").await["queues"][0]["in_flight"], 1);
}

#[actix_web::test]
async fn max_is_one_unless_said() {
    let broker = TestBroker::start().await;
    for body in ["a", "b", "c", "d"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    assert_eq!(receive(&broker, "default").await.len(), 1);
    assert_eq!(receive(&broker, "default?max=2").await.len(), 2);
    assert_eq!(receive(&broker, "default?max=9").await.len(), 1);
}

#[actix_web::test]
async fn a_query_of_the_wrong_form_is_refused() {
    let broker = TestBroker::start_with(&["http.wait_max_s=2"]).await;
    for query in [
        "max=0",
        "max=-1",
        "max=x",
        "wait_ms=2001",
        "wait_ms=",
        "ack_deadline_ms=0",
        "ack_deadline_ms=999999999999999",
        "take=5",
        "colour=red",
        "max=1&max=2",
    ] {
        let answer = broker.http("POST", &format!("/v1/topics/default/receive?{query}"), "").await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn a_publish_wakes_the_oldest_waiting_receiver() {
    let broker = TestBroker::start().await;
    let first = post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    until_waiting(&broker, "default", 1).await;
    let second = post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    until_waiting(&broker, "default", 2).await;
    publish(&broker, "default", json!({"body": "one"})).await;
    assert_eq!(first.await.unwrap().expect(200)["messages"][0]["body"], "one");
    publish(&broker, "default", json!({"body": "two"})).await;
    assert_eq!(second.await.unwrap().expect(200)["messages"][0]["body"], "two");
}

#[actix_web::test]
async fn a_nack_wakes_a_waiting_receiver() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "again"})).await;
    let got = receive(&broker, "default").await;
    let waiting = post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    until_waiting(&broker, "default", 1).await;
    let nack = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/nack", &nack).await.status, 204);
    let messages = waiting.await.unwrap().expect(200);
    assert_eq!(
        (&messages["messages"][0]["body"], &messages["messages"][0]["attempt"]),
        (&json!("again"), &json!(2))
    );
}

#[actix_web::test]
async fn a_message_that_becomes_visible_wakes_a_waiting_receiver() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "later", "delay_ms": 300})).await;
    let got = receive(&broker, "default?wait_ms=60000").await;
    assert_eq!(got[0]["body"], "later");
}

#[actix_web::test]
async fn a_wait_ends_empty_when_nothing_comes() {
    let broker = TestBroker::start().await;
    assert!(receive(&broker, "default?wait_ms=30").await.is_empty());
    until_waiting(&broker, "default", 0).await;
}

#[actix_web::test]
async fn a_waiting_receiver_is_told_that_the_topic_was_deleted() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t"})).await;
    let waiting = post_beside(&broker, "/v1/topics/t/receive?wait_ms=60000");
    until_waiting(&broker, "t", 1).await;
    assert_eq!(broker.http("DELETE", "/v1/topics/t", "").await.status, 204);
    waiting.await.unwrap().expect_problem(404, "topic_not_found");
}

#[actix_web::test]
async fn a_waiting_receiver_is_told_that_its_queue_was_deleted() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t", "queues": [{"name": "q"}]})).await;
    let waiting = post_beside(&broker, "/v1/topics/t/queues/q/receive?wait_ms=60000");
    until_waiting(&broker, "t", 1).await;
    assert_eq!(broker.http("DELETE", "/v1/topics/t/queues/q", "").await.status, 204);
    waiting.await.unwrap().expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn a_waiting_receiver_is_told_that_the_broker_stops() {
    let broker = TestBroker::start().await;
    let waiting = post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000");
    until_waiting(&broker, "default", 1).await;
    broker.stop().await;
    waiting.await.unwrap().expect_problem(503, "stopping");
}

/// A client that leaves looks like one that has only closed its sending side: what it was handed
/// comes back at its deadline.
#[actix_web::test]
async fn a_message_handed_to_a_receiver_that_has_left_comes_back() {
    let broker = TestBroker::start().await;
    let mut wire = Wire::connect(broker.door("http")).await;
    let path = "/v1/topics/default/receive?wait_ms=60000&ack_deadline_ms=50";
    wire.send(format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"))
        .await;
    until_waiting(&broker, "default", 1).await;
    drop(wire);
    publish(&broker, "default", json!({"body": "x"})).await;
    assert_eq!(receive(&broker, "default?wait_ms=20000").await[0]["body"], "x");
}

#[actix_web::test]
async fn a_queue_other_than_default_is_named_in_the_path() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t", "queues": [{"name": "a/b"}, {"name": "default"}]})).await;
    publish(&broker, "t", json!({"body": "x"})).await;
    assert_eq!(take(&broker, "t/queues/a%2Fb").await, ["x"]);
    assert_eq!(take(&broker, "t").await, ["x"]);
}

/// What a pubsub topic got while nobody listened is handed out once, by whichever way is first.
#[actix_web::test]
async fn the_backlog_of_a_pubsub_topic_can_be_received() {
    let broker = TestBroker::start().await;
    publish(&broker, "pubsub", json!({"body": "missed"})).await;
    assert_eq!(take(&broker, "pubsub").await, ["missed"]);
    assert!(take(&broker, "pubsub").await.is_empty());
    let named = broker.http("POST", "/v1/topics/pubsub/queues/default/receive", "").await;
    named.expect_problem(404, "queue_not_found");
}

#[actix_web::test]
async fn a_missed_deadline_makes_the_message_ready_again() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "x"})).await;
    let first = receive(&broker, "default?ack_deadline_ms=20").await;
    let second = receive(&broker, "default?wait_ms=20000").await;
    assert_eq!((&second[0]["id"], &second[0]["attempt"]), (&first[0]["id"], &json!(2)));
    let late = json!({"receipt": first[0]["receipt"]}).to_string();
    broker.http("POST", "/v1/topics/default/ack", &late).await.expect_problem(409, "receipt_gone");
    let good = json!({"receipt": second[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &good).await.status, 204);
}

#[actix_web::test]
async fn many_receivers_share_a_queue_without_a_message_twice() {
    let broker = TestBroker::start().await;
    let receivers: Vec<_> = (0..30)
        .map(|_| post_beside(&broker, "/v1/topics/default/receive?wait_ms=60000&take=true"))
        .collect();
    until_waiting(&broker, "default", 30).await;
    let messages: Vec<_> = (0..30).map(|number| json!({"body": number.to_string()})).collect();
    broker
        .http("POST", "/v1/topics/default/messages", &json!(messages).to_string())
        .await
        .expect(200);
    let mut got = Vec::new();
    for receiver in receivers {
        let answer = tokio::time::timeout(Duration::from_secs(60), receiver)
            .await
            .unwrap()
            .unwrap()
            .expect(200);
        got.push(answer["messages"][0]["body"].as_str().unwrap().parse::<u32>().unwrap());
    }
    got.sort_unstable();
    assert_eq!(got, (0..30).collect::<Vec<_>>());
}
