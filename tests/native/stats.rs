//! Figures as JSON.

use crate::common::*;
use crate::{create, kill, publish, receive};
use serde_json::json;

#[actix_web::test]
async fn the_broker_tells_its_figures() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "dead"})).await;
    kill(&broker, "default", "x").await;
    create(&broker, json!({"name": "t", "queues": [{"name": "a"}, {"name": "b"}]})).await;
    publish(&broker, "t", json!({"body": "12345"})).await;
    receive(&broker, "t/queues/a").await;
    publish(&broker, "default", json!({"body": "later", "delay_ms": 3_600_000})).await;
    let stats = broker.http("GET", "/v1/stats", "").await.expect(200);
    let messages = json!({"ready": 1, "delayed": 1, "in_flight": 1, "dead": 1, "bytes": 19});
    assert_eq!(stats["messages"], messages);
    assert_eq!((&stats["topics"], &stats["queues"]), (&json!(3), &json!(4)));
    assert_eq!(stats["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(stats["durability"], json!({"broker": "sync", "pubsub": "async"}));
    assert!(stats["uptime_ms"].is_u64() && stats["connections"]["http"].is_u64(), "{stats}");
    assert!(stats["memory"]["limit_bytes"].as_u64().unwrap() >= 16 << 20);
    assert!(stats["store"]["commits"].as_u64().unwrap() > 0 && stats["store"]["full"] == false);
    // Three were published within the last ten seconds.
    assert_eq!(stats["rates"]["published_per_s"], 0.3);
    assert_eq!(stats["rates"]["delivered_per_s"], 0.2);
}

#[actix_web::test]
async fn a_topic_tells_its_figures() {
    let broker = TestBroker::start().await;
    for body in ["a", "b"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    let got = receive(&broker, "default").await;
    let ack = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);
    let stats = broker.http("GET", "/v1/topics/default/stats", "").await.expect(200);
    assert_eq!(
        (&stats["name"], &stats["kind"], &stats["published"]),
        (&json!("default"), &json!("broker"), &json!(2))
    );
    assert_eq!(stats["messages"]["ready"], 1);
    let rates = json!({"published_per_s": 0.2, "delivered_per_s": 0.1, "acked_per_s": 0.1,
        "redelivered_per_s": 0.0, "dropped_per_s": 0.0});
    assert_eq!(stats["rates"], rates);
    let queue = &stats["queues"][0];
    assert_eq!(
        (&queue["totals"]["acked"], &queue["waits"]["to_ack"]["count"]),
        (&json!(1), &json!(1))
    );
    let pubsub = broker.http("GET", "/v1/topics/pubsub/stats", "").await.expect(200);
    assert_eq!((&pubsub["kind"], &pubsub["subscribers"]), (&json!("pubsub"), &json!(0)));
    broker.http("GET", "/v1/topics/none/stats", "").await.expect_problem(404, "topic_not_found");
}
