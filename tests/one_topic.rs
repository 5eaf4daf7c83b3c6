//! One topic is the same topic at every door, and after a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, client_async};

async fn subscribe(broker: &TestBroker, query: &str) -> WebSocketStream<TcpStream> {
    let address = broker.door("http");
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/v1/topics/pubsub/ws{query}");
    client_async(url, stream).await.unwrap().0
}

async fn pushed(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        let frame =
            timeout(PATIENCE, socket.next()).await.expect("a frame in time").unwrap().unwrap();
        if frame.is_text() {
            return serde_json::from_str(frame.to_text().unwrap()).unwrap();
        }
    }
}

/// Puts one row over otq.
async fn put(otq: &mut Wire, topic: &str, row: &str) {
    otq.exchange(format!("OTQ PUT {topic} 1 BATCH\r\n"), "PROCEED\r\n").await;
    otq.exchange(format!("{row}\r\n"), "ENDOFRESP\r\n").await;
}

async fn receive(broker: &TestBroker, topic: &str) -> Value {
    let answer =
        broker.http("POST", &format!("/v1/topics/{topic}/receive?wait_ms=20000"), "").await;
    answer.expect(200)["messages"][0].clone()
}

#[actix_web::test]
async fn a_row_put_over_otq_is_received_over_http() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    put(&mut otq, "default", "hello").await;
    let got = receive(&broker, "default").await;
    assert_eq!((&got["body"], &got["attempt"]), (&json!("hello"), &json!(1)));
    let ack = json!({"receipt": got["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);

    // And the other way round.
    broker.http("POST", "/v1/topics/default/messages", r#"{"body":"back"}"#).await.expect(201);
    otq.exchange("OTQ GET default 1 BATCH\r\n", "PROCEED\r\nback\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn a_topic_made_at_one_door_is_there_at_the_other() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW fresh BROKER 5\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    let topic = broker.http("GET", "/v1/topics/fresh", "").await.expect(200);
    assert_eq!((&topic["kind"], &topic["policy"]["capacity"]), (&json!("broker"), &json!(5)));

    broker.http("POST", "/v1/topics", r#"{"name":"native"}"#).await.expect(201);
    put(&mut otq, "native", "x").await;
    assert_eq!(receive(&broker, "native").await["body"], "x");
}

#[actix_web::test]
async fn a_row_put_over_otq_is_pushed_to_a_websocket() {
    let broker = TestBroker::start().await;
    let mut socket = subscribe(&broker, "").await;
    assert_eq!(pushed(&mut socket).await["type"], "subscribed");
    let mut otq = broker.login_otq().await;
    for (seq, row) in [(1, "one"), (2, "two")] {
        put(&mut otq, "pubsub", row).await;
        let message = pushed(&mut socket).await;
        assert_eq!((&message["body"], &message["seq"]), (&json!(row), &json!(seq)));
    }
}

/// What was confirmed is there after a restart, ready or in flight, and what was acked is not.
#[actix_web::test]
async fn what_was_put_survives_a_restart() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    for row in ["acked", "in flight", "waiting"] {
        put(&mut otq, "default", row).await;
    }
    let acked = receive(&broker, "default").await;
    let ack = json!({"receipt": acked["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);
    let in_flight = receive(&broker, "default").await;
    assert_eq!(in_flight["body"], "in flight");
    drop(otq);

    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    let topic = broker.http("GET", "/v1/topics/default", "").await.expect(200);
    let queue = &topic["queues"][0];
    let kept = queue["ready"].as_u64().unwrap() + queue["in_flight"].as_u64().unwrap();
    assert_eq!(kept, 2, "{queue}");
    // Given back, wherever the deadline is: by its id when it is still in flight.
    let nack = json!({"ids": [in_flight["id"]], "mode": "release"}).to_string();
    broker.http("POST", "/v1/topics/default/nack", &nack).await.expect(200);
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ GET default 2 BATCH\r\n", "PROCEED\r\nin flight\r\nwaiting\r\nENDOFRESP\r\n")
        .await;
}

/// A subscriber goes on where it was, although the broker was away meanwhile.
#[actix_web::test]
async fn a_subscriber_resumes_across_a_restart() {
    let broker = TestBroker::start().await;
    let mut socket = subscribe(&broker, "").await;
    let epoch = pushed(&mut socket).await["epoch"].clone();
    let mut otq = broker.login_otq().await;
    put(&mut otq, "pubsub", "one").await;
    assert_eq!(pushed(&mut socket).await["seq"], 1);
    drop(socket);
    for row in ["two", "three"] {
        put(&mut otq, "pubsub", row).await;
    }
    drop(otq);

    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    let mut socket = subscribe(&broker, &format!("?epoch={epoch}&seq=1")).await;
    let hello = pushed(&mut socket).await;
    assert_eq!((&hello["epoch"], &hello["next"]), (&epoch, &json!(2)));
    let mut otq = broker.login_otq().await;
    put(&mut otq, "pubsub", "four").await;
    for row in ["two", "three", "four"] {
        let message = pushed(&mut socket).await;
        assert_eq!((&message["type"], &message["body"]), (&json!("message"), &json!(row)));
    }
}
