//! One topic is the same topic here and at the other doors.

use super::common::{self, TestBroker, eventually};
use super::{exchange, get, message, nothing, open, put};
use octoq::conform::websocket::WebSocket;
use serde_json::json;

async fn publish(broker: &TestBroker, topic: &str, message: serde_json::Value) {
    let path = format!("/v1/topics/{topic}/messages");
    broker.http("POST", &path, &message.to_string()).await.expect(201);
}

#[actix_web::test]
async fn a_port_that_was_asked_for_and_is_taken_stops_the_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut set = common::settings(folder.path());
    set.push(format!("dsmq.listen={}", taken.local_addr().unwrap()));
    let config = octoq::config::Config::load(None, &set).unwrap();
    let refused = octoq::server::Server::start(config).await.err().unwrap().to_string();
    assert!(refused.starts_with("dsmq: cannot listen on 127.0.0.1:"), "{refused}");
}

#[actix_web::test]
async fn a_put_makes_a_pubsub_topic_with_the_configured_bounds() {
    let broker = TestBroker::start_with(&[
        "dsmq.retention_seconds=77",
        "dsmq.max_messages_per_topic=55",
        "dsmq.max_bytes_per_topic=3333",
        "dsmq.durability=async",
    ])
    .await;
    let mut ws = open(&broker).await;
    exchange(&mut ws, &get("t"), nothing()).await;
    broker.http("GET", "/v1/topics/t", "").await.expect_problem(404, "topic_not_found");
    ws.send(put("t", "m")).await.unwrap();
    exchange(&mut ws, &get("t"), message("m")).await;
    let topic = broker.http("GET", "/v1/topics/t", "").await.expect(200);
    assert_eq!(
        (&topic["kind"], &topic["policy"]["durability"]),
        (&json!("pubsub"), &json!("async"))
    );
    for (key, value) in [
        ("capacity", json!(55)),
        ("bytes_max", json!(3333)),
        ("overflow", json!("drop_oldest")),
        ("ttl_ms", json!(77_000)),
        ("history_messages", json!(55)),
        ("history_bytes", json!(3333)),
        ("history_ms", json!(77_000)),
    ] {
        assert_eq!(topic["policy"][key], value, "{key}");
    }
}

#[actix_web::test]
async fn a_name_that_no_topic_can_have_is_reached_by_its_escaped_form() {
    let broker = TestBroker::start().await;
    let mut ws = open(&broker).await;
    exchange(&mut ws, &get(""), nothing()).await;
    ws.send(put("", "m")).await.unwrap();
    exchange(&mut ws, &get(""), message("m")).await;
    let escaped = "dsmq~~e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    publish(&broker, escaped, json!({"body": "from http"})).await;
    exchange(&mut ws, &get(""), message("from http")).await;
}

#[actix_web::test]
async fn a_put_reaches_the_subscribers_of_other_doors_and_theirs_reach_here() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ NEW news PUBSUB\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ SUBSCRIBE news\r\n", "PROCEED\r\n").await;
    let mut ws = open(&broker).await;
    ws.send(put("news", "over dsmq")).await.unwrap();
    otq.expect("over dsmq\n").await;
    exchange(&mut ws, &get("news"), message("over dsmq")).await;
    let mut publisher = broker.login_otq().await;
    publisher.exchange("OTQ PUBLISH news 1 BATCH\r\n", "PROCEED\r\n").await;
    publisher.exchange("over otq\r\n", "ENDOFRESP\r\n").await;
    exchange(&mut ws, &get("news"), message("over otq")).await;
    publish(&broker, "news", json!({"body": "over http"})).await;
    exchange(&mut ws, &get("news"), message("over http")).await;
    exchange(&mut ws, &get("news"), nothing()).await;
}

#[actix_web::test]
async fn what_another_door_takes_out_of_a_topic_is_still_read_here() {
    let broker = TestBroker::start().await;
    let mut ws = open(&broker).await;
    ws.send(put("t", "m")).await.unwrap();
    exchange(&mut ws, &get("other"), nothing()).await;
    let taken = broker.http("POST", "/v1/topics/t/receive?take=true", "").await.expect(200);
    assert_eq!(taken["messages"][0]["body"], "m");
    exchange(&mut ws, &get("t"), message("m")).await;
}

#[actix_web::test]
async fn bodies_of_any_kind_are_shown_as_text() {
    let broker = TestBroker::start().await;
    let mut ws = open(&broker).await;
    let table = [
        (json!({"base64": "Yf9i"}), r"a\ufffdb"),
        (json!({"json": {"a": 1}}), r#"{\"a\":1}"#),
        (json!({"body": "x", "attributes": {"dsmq": "other"}}), "x"),
        (json!({"body": "no json", "attributes": {"dsmq": "json"}}), "no json"),
    ];
    for (sent, shown) in table {
        publish(&broker, "pubsub", sent).await;
        exchange(&mut ws, &get("pubsub"), message(shown)).await;
    }
    // A value that is no text says so to the other doors.
    ws.send(r#"{"action": "put", "topic": "values", "message": {"a": [1]}}"#).await.unwrap();
    exchange(&mut ws, &get("values"), r#"{"message": {"a": [1]}}"#.into()).await;
    let taken = broker.http("POST", "/v1/topics/values/receive?take=true", "").await.expect(200);
    let got = &taken["messages"][0];
    assert_eq!(
        (&got["body"], &got["attributes"]),
        (&json!("{\"a\": [1]}"), &json!({"dsmq": "json"}))
    );
}

#[actix_web::test]
async fn on_a_broker_topic_a_put_publishes_and_a_get_takes_nothing() {
    let broker = TestBroker::start().await;
    let mut before = open(&broker).await;
    publish(&broker, "default", json!({"body": "old"})).await;
    let (mut ws, mut other) = (open(&broker).await, open(&broker).await);
    ws.send(put("default", "m1")).await.unwrap();
    // Its reply tells that the put is in.
    exchange(&mut ws, &get("nothing"), nothing()).await;
    publish(&broker, "default", json!({"body": "m2", "priority": 5})).await;
    for reader in [&mut ws, &mut other] {
        for text in ["m1", "m2", ""] {
            exchange(reader, &get("default"), message(text)).await;
        }
    }
    exchange(&mut before, &get("default"), message("old")).await;
    exchange(&mut before, r#"{"action": "get_latest", "topic": "default"}"#, message("m2")).await;
    // All three are still there for consumers; what one of them has is not shown.
    let lent = broker.http("POST", "/v1/topics/default/receive?max=2", "").await.expect(200);
    assert_eq!(lent["messages"][0]["body"], "m2");
    assert_eq!(lent["messages"][1]["body"], "old");
    publish(&broker, "default", json!({"body": "m3"})).await;
    exchange(&mut ws, &get("default"), message("m3")).await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ GET default 9 BATCH\r\n", "PROCEED\r\nm1\r\nm3\r\nENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn a_queue_is_addressed_where_there_is_one() {
    let broker = TestBroker::start().await;
    broker.http("PUT", "/v1/topics/default/queues/audit", "{}").await.expect(201);
    let mut ws = open(&broker).await;
    ws.send(put("default/audit", "only there")).await.unwrap();
    exchange(&mut ws, &get("default/audit"), message("only there")).await;
    exchange(&mut ws, &get("default"), nothing()).await;
    // Where there is none, it is a name like any other.
    ws.send(put("default/none", "plain")).await.unwrap();
    exchange(&mut ws, &get("default/none"), message("plain")).await;
    let topic = broker.http("GET", "/v1/topics/default%2Fnone", "").await.expect(200);
    assert_eq!(topic["kind"], "pubsub");
}

#[actix_web::test]
async fn a_topic_that_was_deleted_is_made_anew_and_positions_hold() {
    let broker = TestBroker::start().await;
    let (mut ws, mut reader) = (open(&broker).await, open(&broker).await);
    for turn in ["first", "second"] {
        ws.send(put("t", turn)).await.unwrap();
        exchange(&mut ws, &get("t"), message(turn)).await;
        exchange(&mut reader, &get("t"), message(turn)).await;
        broker.http("DELETE", "/v1/topics/t", "").await.expect(204);
        exchange(&mut reader, &get("t"), nothing()).await;
    }
}

#[actix_web::test]
async fn connections_and_failed_puts_are_counted() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=10", "limits.topics_max=3"]).await;
    let metric = async |line: String| {
        eventually(&line, async || {
            let metrics = broker.http("GET", "/metrics", "").await.text();
            metrics.lines().any(|found| found == line).then_some(())
        })
        .await;
    };
    let mut ws: WebSocket = open(&broker).await;
    metric("octoq_connections{door=\"dsmq\"} 1".into()).await;
    for body in ["fits", "is much too long", "fits too", "is too long too"] {
        ws.send(put("t", body)).await.unwrap();
    }
    for text in ["fits", "fits too", ""] {
        exchange(&mut ws, &get("t"), message(text)).await;
    }
    metric("octoq_publish_unreported_total{door=\"dsmq\"} 2".into()).await;
    // There are three topics already.
    ws.send(put("one too many", "x")).await.unwrap();
    exchange(&mut ws, &get("one too many"), nothing()).await;
    metric("octoq_publish_unreported_total{door=\"dsmq\"} 3".into()).await;
    drop(ws);
    metric("octoq_connections{door=\"dsmq\"} 0".into()).await;
}
