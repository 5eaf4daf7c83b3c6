//! The text format of Prometheus, read strictly; figures of many topics; the dashboard.

use crate::common::*;
use crate::{create, publish, receive};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// (name, labels) to value, and each family's type. Panics at whatever promtool would complain of.
pub fn parse(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let (mut samples, mut types, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    assert!(text.ends_with('\n'));
    let mut family = String::new();
    // Of the histogram that is being read: its labels without `le`, the bound and the count before.
    let mut buckets: Option<(String, f64, f64)> = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()), "one HELP for {name}");
            assert!(!help.is_empty());
            family = name.to_owned();
            buckets = None;
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family, "TYPE follows its HELP");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "one TYPE: {line}");
            continue;
        }
        let (key, value) = line.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        let name = key.split('{').next().unwrap();
        let labels = match key.strip_prefix(name).unwrap() {
            "" => Vec::new(),
            labels => read_labels(labels.strip_prefix('{').unwrap().strip_suffix('}').unwrap()),
        };
        let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), labels.len(), "each label once: {line}");
        let kind = types.get(&family).unwrap_or_else(|| panic!("a type before {line}"));
        if kind == "histogram" {
            let of = |labels: &[(String, String)]| format!("{labels:?}");
            match name.strip_prefix(family.as_str()) {
                Some("_bucket") => {
                    let (le, others): (Vec<_>, Vec<_>) =
                        labels.into_iter().partition(|(name, _)| name == "le");
                    let bound: f64 = le[0].1.parse().unwrap();
                    if let Some((before, last, count)) = &buckets
                        && *before == of(&others)
                    {
                        assert!(bound > *last && value >= *count, "buckets ascend: {line}");
                    }
                    buckets = Some((of(&others), bound, value));
                }
                Some("_sum") => assert!(value >= 0.0),
                Some("_count") => {
                    let all = Some((of(&labels), f64::INFINITY, value));
                    assert_eq!(buckets, all, "the last bucket has all: {line}");
                }
                _ => panic!("a sample of {family}: {line}"),
            }
        } else {
            assert_eq!(name, family, "samples stand with their family");
        }
        assert!(samples.insert(key.to_owned(), value).is_none(), "one sample for {key}");
    }
    (samples, types)
}

/// Names and values of labels.
fn read_labels(mut text: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    while !text.is_empty() {
        let (name, rest) = text.split_once("=\"").unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        let (mut value, mut chars) = (String::new(), rest.char_indices());
        let end = loop {
            match chars.next().expect("a closing quote") {
                (at, '"') => break at,
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    c @ ('\\' | '"') => value.push(c),
                    c => panic!("an escape \\{c} in {rest}"),
                },
                (_, c) => value.push(c),
            }
        };
        labels.push((name.to_owned(), value));
        text = &rest[end + 1..];
        assert!(text.is_empty() || text.starts_with(','), "a comma before {text}");
        text = text.strip_prefix(',').unwrap_or(text);
    }
    labels
}

async fn scraped(broker: &TestBroker) -> (BTreeMap<String, f64>, BTreeMap<String, String>) {
    let answer = broker.http("GET", "/metrics", "").await;
    assert_eq!(answer.status, 200);
    parse(&answer.text())
}

#[actix_web::test]
async fn names_of_topics_cannot_forge_samples() {
    let broker = TestBroker::start().await;
    let odd = ["a\"} 1\nocto_x 2", "\\", "\\n", "\n", "{}", "\u{e4}\u{1f600}", "a,topic=\"b"];
    for name in odd {
        create(&broker, json!({"name": name})).await;
    }
    let (samples, types) = scraped(&broker).await;
    let ready = samples.keys().filter(|key| key.starts_with("octoq_messages_ready{"));
    // Those of the first start as well.
    assert_eq!(ready.count(), odd.len() + 2);
    assert!(types.keys().all(|name| name.starts_with("octoq_")));
}

#[actix_web::test]
async fn topics_beyond_the_bound_are_summed_up() {
    let broker = TestBroker::start_with(&["http.metrics_topics_max=3"]).await;
    for name in ["one", "two", "three"] {
        create(&broker, json!({"name": name})).await;
        publish(&broker, name, json!({"body": "x"})).await;
        receive(&broker, name).await;
    }
    let (samples, _) = scraped(&broker).await;
    // `default`, `pubsub` and the first of these have their own.
    for (topic, count) in [("one", 1.0), ("", 2.0)] {
        for name in ["published_total", "delivered_total", "time_in_queue_seconds_count"] {
            assert_eq!(samples[&format!("octoq_{name}{{topic=\"{topic}\"}}")], count, "{name}");
        }
        let dropped = format!("octoq_dropped_total{{topic=\"{topic}\",reason=\"expired\"}}");
        assert_eq!(samples[&dropped], 0.0);
    }
    let topics = |name: &str| samples.keys().filter(|key| key.starts_with(name)).count();
    assert_eq!(topics("octoq_messages_ready{"), 4);
    assert_eq!(samples["octoq_topics"], 5.0);
}

/// Every metric that a text names.
fn mentioned(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !part(c)).filter(|word| word.starts_with("octoq_"));
    words.map(str::to_owned).collect()
}

fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr" | "query", Value::String(text)) => found.push(text),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| expressions(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

#[actix_web::test]
async fn the_dashboard_shows_what_is_there_and_all_of_it() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "x"})).await;
    let got = receive(&broker, "default").await;
    let ack = json!({"receipt": got[0]["receipt"]}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/default/ack", &ack).await.status, 204);
    let (samples, types) = scraped(&broker).await;
    let printed: BTreeSet<&str> =
        samples.keys().map(|key| key.split('{').next().unwrap()).collect();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/grafana-octoq.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let asked: BTreeSet<String> = found.iter().flat_map(|text| mentioned(text)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    for name in &asked {
        assert!(printed.contains(name.as_str()), "the dashboard asks for {name}");
    }
    for name in types.keys() {
        let shown = asked.iter().any(|asked| {
            let rest = asked.strip_prefix(name.as_str());
            rest.is_some_and(|rest| matches!(rest, "" | "_bucket" | "_sum" | "_count"))
        });
        assert!(shown, "no panel shows {name}");
    }
    // A panel of its own place each.
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
}
