//! Health and metrics.

use crate::common::*;
use crate::{create, publish, receive};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

#[actix_web::test]
async fn a_running_broker_is_alive_and_ready() {
    let broker = TestBroker::start().await;
    for path in ["/livez", "/readyz"] {
        let answer = broker.http("GET", path, "").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"), "{path}");
        assert!(answer.head.to_lowercase().contains("content-type: text/plain"), "{}", answer.head);
    }
}

/// Reads the text format of Prometheus strictly: (name, labels) to value, and each family's type.
fn parse(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut types, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    assert!(text.ends_with('\n'));
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()), "one HELP for {name}");
            assert!(!help.is_empty());
            family = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "TYPE follows its HELP");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            types.insert(name.to_owned(), kind.to_owned());
        } else {
            let (key, value) = line.rsplit_once(' ').unwrap();
            let name = key.split('{').next().unwrap();
            assert_eq!(name, family, "samples stand with their family");
            assert!(types.contains_key(name), "{line}");
            if let Some(labels) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')) {
                check_labels(labels.strip_suffix('}').unwrap());
            }
            let fresh = samples.insert(key.to_owned(), value.parse().unwrap()).is_none();
            assert!(fresh, "one sample for {key}");
        }
    }
    (samples, types)
}

fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let mut end = None;
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            match (escaped, c) {
                (true, c) => {
                    assert!(matches!(c, '\\' | '"' | 'n'), "an escape in {rest}");
                    escaped = false;
                }
                (false, '\\') => escaped = true,
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, _) => (),
            }
        }
        labels = &rest[end.unwrap() + 1..];
        labels = labels.strip_prefix(',').unwrap_or(labels);
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
    assert_eq!(samples.get("octoq_topics"), Some(&3.0));
    assert_eq!(samples.get("octoq_store_full"), Some(&0.0));
    assert!(samples.get("octoq_store_commits_total").is_some_and(|commits| *commits >= 3.0));
    assert!(samples.get("octoq_store_disk_bytes").is_some_and(|bytes| *bytes > 0.0));
    assert_eq!(types["octoq_connections"], "gauge");
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
