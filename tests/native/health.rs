//! Health and metrics.

use crate::common::*;
use crate::exposition::parse;
use crate::{create, publish, receive};
use serde_json::json;

#[actix_web::test]
async fn a_running_broker_is_alive_and_ready() {
    let broker = TestBroker::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = broker.http("GET", path, "").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{path}");
        assert!(answer.head.to_lowercase().contains("content-type: text/plain"), "{}", answer.head);
    }
}

#[actix_web::test]
async fn metrics_are_in_the_exposition_format_and_count() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "odd \"name\\\n"})).await;
    for body in ["a", "b", "c"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    let got = receive(&broker, "default?max=2").await;
    let ack = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);

    let answer = broker.http("GET", "/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    let (samples, types) = parse(&answer.text());
    let of = |name: &str| samples.get(&format!("{name}{{topic=\"default\"}}")).copied();
    assert_eq!(of("octoq_messages_ready"), Some(1.0));
    assert_eq!(of("octoq_messages_in_flight"), Some(1.0));
    assert_eq!(of("octoq_published_total"), Some(3.0));
    assert_eq!(of("octoq_delivered_total"), Some(2.0));
    assert_eq!(of("octoq_acked_total"), Some(1.0));
    assert_eq!(of("octoq_message_bytes"), Some(2.0));
    assert_eq!(of("octoq_time_in_queue_seconds_count"), Some(2.0));
    assert_eq!(of("octoq_time_to_ack_seconds_count"), Some(1.0));
    assert!(of("octoq_oldest_ready_seconds").is_some());
    assert_eq!(samples.get("octoq_topics"), Some(&3.0));
    assert_eq!(samples.get("octoq_store_full"), Some(&0.0));
    assert!(samples.get("octoq_store_commits_total").is_some_and(|commits| *commits >= 3.0));
    assert!(samples.get("octoq_store_disk_bytes").is_some_and(|bytes| *bytes > 0.0));
    let commits = samples["octoq_store_commits_total"];
    assert_eq!(samples["octoq_store_commit_seconds_count"], commits);
    assert!(samples["octoq_store_body_bytes_total"] >= 3.0);
    assert!(samples["octoq_store_disk_free_bytes"] > 0.0);
    assert_eq!(types["octoq_connections"], "gauge");
    assert_eq!(types["octoq_time_to_ack_seconds"], "histogram");
    assert!(samples.contains_key("octoq_connections{door=\"otq\"}"));
}

#[actix_web::test]
async fn connections_are_counted_by_door_while_they_last() {
    let broker = TestBroker::start().await;
    let otq = broker.login_otq().await;
    let count = async |door: &str| {
        let text = broker.http("GET", "/metrics", "").await.text();
        parse(&text).0[&format!("octoq_connections{{door=\"{door}\"}}")]
    };
    eventually("the connection counts", async || (count("otq").await == 1.0).then_some(())).await;
    assert!(count("http").await >= 1.0, "the one that asks");
    drop(otq);
    eventually("it counts no more", async || (count("otq").await == 0.0).then_some(())).await;
}
