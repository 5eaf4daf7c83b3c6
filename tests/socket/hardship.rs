//! Slow clients, brokers that stop, and brokers that are killed.

use crate::process::Process;
use crate::raw_socket::Raw;
use crate::*;

const SMALL: [&str; 6] = [
    // The kernel and the broker wait longer for the client than the test takes on a slow machine.
    "server.tcp_user_timeout_ms=600000",
    "ws.timeout_s=600",
    "limits.subscriber_chunks=1",
    "limits.chunk_bytes=1000",
    "limits.subscriber_backlog_bytes=100000",
    "limits.subscriber_stuck_s=600",
];

/// A client that subscribes, and does not read what comes.
async fn slow(broker: &TestBroker, policy: &str) -> Raw {
    let mut raw = Raw::open(broker, "/v1/ws").await;
    let frame = json!({"op": "subscribe", "req": 1, "topic": "flood", "slow": policy}).to_string();
    raw.send(0x81, frame.as_bytes()).await;
    assert_eq!(raw.json().await["type"], "ok");
    raw
}

/// Messages of a flood: 15 MB, more than any socket buffers.
const FLOOD: u64 = 300;

/// More than any socket buffers. Another subscriber reads all of it meanwhile.
async fn flood(broker: &TestBroker) {
    let body = "z".repeat(50_000);
    let mut reader = Client::of(broker).await;
    reader.ok(json!({"op": "subscribe", "topic": "flood"})).await;
    for batch in 0..FLOOD / 10 {
        publish(broker, "flood", &[&body; 10].map(|body: &String| body.as_str())).await;
        for seq in batch * 10 + 1..=batch * 10 + 10 {
            assert_eq!(reader.hear().await["seq"], seq);
        }
    }
}

#[actix_web::test]
async fn a_slow_client_misses_the_oldest_and_is_told_which() {
    let broker = TestBroker::start_with(&SMALL).await;
    let policy = json!({"durability": "memory", "history_messages": 20});
    let new = json!({"name": "flood", "kind": "pubsub", "policy": policy});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
    let mut raw = slow(&broker, "drop").await;
    flood(&broker).await;
    publish(&broker, "flood", &["end"]).await;
    let (mut next, mut gaps) = (1, 0);
    while next <= FLOOD + 1 {
        let frame = raw.json().await;
        if frame["type"] == "gap" {
            assert_eq!(frame["from"], next, "{frame}");
            next = frame["through"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(frame["seq"], next);
            next += 1;
        }
    }
    assert!(gaps >= 1, "nothing was missed, so this tests nothing");
    assert!(metric(&broker, "octoq_push_dropped_total{topic=\"flood\"}").await > 0);
    // The same socket still does everything else.
    raw.send(0x81, br#"{"op":"ping","req":2}"#).await;
    assert_eq!(raw.json().await, json!({"type": "pong", "req": 2}));
}

#[actix_web::test]
async fn a_slow_client_is_closed_with_1013_if_it_wants() {
    let broker = TestBroker::start_with(&SMALL).await;
    create(&broker, "flood", "pubsub").await;
    let mut raw = slow(&broker, "close").await;
    flood(&broker).await;
    let mut next = 1;
    let code = loop {
        match raw.frame().await.expect("a close frame before the end") {
            (1, text) => {
                let frame: Value = serde_json::from_slice(&text).unwrap();
                assert_eq!((&frame["type"], &frame["seq"]), (&json!("message"), &json!(next)));
                next += 1;
            }
            (8, payload) => break u16::from_be_bytes([payload[0], payload[1]]),
            (_, _) => (),
        }
    };
    assert_eq!(code, 1013);
    eventually("it is counted", async || {
        (metric(&broker, "octoq_ws_closed_total{reason=\"too_slow\"}").await == 1).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn sockets_are_closed_with_1001_when_the_broker_stops() {
    let broker = TestBroker::start().await;
    let mut idle = Client::of(&broker).await;
    assert_eq!(idle.ask(json!({"op": "ping"})).await["type"], "pong");
    let mut client = Client::of(&broker).await;
    client.ok(json!({"op": "subscribe", "topic": "pubsub"})).await;
    client.ok(json!({"op": "consume", "topic": "default"})).await;
    publish(&broker, "pubsub", &["before"]).await;
    tokio::join!(broker.stop(), async {
        assert_eq!(client.hear().await["body"], "before");
        assert_eq!(client.close_code().await, 1001);
        assert_eq!(idle.close_code().await, 1001);
    });
}

/// Killed in the middle of everything, started again at the same place: the subscriber names its
/// position and gets what follows, without a gap and nothing twice.
#[actix_web::test]
async fn a_subscriber_goes_on_where_it_was_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let address = process.http;
    let mut client = Client::connect(address).await;
    let answer = client.ok(json!({"op": "subscribe", "topic": "pubsub"})).await;
    let mut publisher = Client::connect(address).await;
    let publish = |number: u64| json!({"op": "publish", "req": number, "topic": "pubsub", "message": {"body": number.to_string()}});
    for number in 1..=50 {
        publisher.say(publish(number)).await;
        assert_eq!(publisher.hear().await["type"], "ok");
    }
    for number in 1..=20 {
        assert_eq!(client.hear().await["body"], number.to_string());
    }
    process.kill();

    let again = Process::start(folder.path(), &[&format!("http.listen={address}")]);
    let mut publisher = Client::connect(address).await;
    for number in 51..=60 {
        publisher.say(publish(number)).await;
        assert_eq!(publisher.hear().await["type"], "ok");
    }
    let mut client = Client::connect(address).await;
    let back = json!({"op": "subscribe", "topic": "pubsub", "epoch": answer["epoch"], "seq": 20});
    assert_eq!(client.ok(back).await["epoch"], answer["epoch"]);
    let mut seq = 20;
    for number in 21..=60 {
        let push = client.hear().await;
        assert_eq!((&push["type"], &push["body"]), (&json!("message"), &json!(number.to_string())));
        // Numbers ascend; after a kill they go on above those that may have been given away.
        assert!(push["seq"].as_u64().unwrap() > seq, "{push}");
        seq = push["seq"].as_u64().unwrap();
        assert!(number > 50 || seq == number, "{push}");
    }
    again.stop();
}

/// What was in flight when the broker was killed is there for the next consumer.
#[actix_web::test]
async fn deliveries_come_again_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]);
    let address = process.http;
    let mut client = Client::connect(address).await;
    let messages = json!([{"body": "1"}, {"body": "2"}, {"body": "3"}]);
    client.ok(json!({"op": "publish", "topic": "default", "messages": messages})).await;
    client.ok(json!({"op": "consume", "topic": "default", "prefetch": 2})).await;
    let first = client.hear().await;
    client.hear().await;
    client
        .say(json!({"op": "ack", "req": 1, "topic": "default", "receipt": first["receipt"]}))
        .await;
    loop {
        let frame = client.hear().await;
        if frame["req"] == 1 {
            break assert_eq!(frame["type"], "ok");
        }
    }
    process.kill();
    let again = Process::start(folder.path(), &[&format!("http.listen={address}")]);
    let mut client = Client::connect(address).await;
    client.ok(json!({"op": "consume", "topic": "default", "prefetch": 10})).await;
    for body in ["2", "3"] {
        assert_eq!(client.hear().await["body"], body);
    }
    client
        .refused(
            json!({"op": "ack", "topic": "default", "receipt": first["receipt"]}),
            "receipt_gone",
        )
        .await;
    again.stop();
}
