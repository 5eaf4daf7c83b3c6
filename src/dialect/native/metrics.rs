//! Counters in the text format of Prometheus.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use crate::broker::{BrokerState, TopicFigures};
use actix_web::{HttpResponse, web};
use std::fmt::Write as _;

/// Topics with a series of their own; the rest is summed up under `topic=""` so that scrapes stay bounded.
const TOPICS_MAX: usize = 1000;

/// `GET /metrics`
pub async fn metrics(who: Who, native: web::Data<Native>) -> Result<HttpResponse, Problem> {
    let (figures, _) = native.broker.list_topics(&who.0, None, usize::MAX).await?;
    let text = render(&native.broker.state(), &figures);
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&TopicFigures) -> u64,
}

fn sum(figures: &TopicFigures, of: fn(&crate::broker::QueueFigures) -> u64) -> u64 {
    figures.queues.iter().map(|(_, _, queue)| of(queue)).sum()
}

const FAMILIES: [Family; 18] = [
    Family {
        name: "octoq_messages_ready",
        kind: "gauge",
        help: "Messages that can be handed out.",
        value: |topic| sum(topic, |queue| queue.counts.ready),
    },
    Family {
        name: "octoq_messages_delayed",
        kind: "gauge",
        help: "Messages not visible yet.",
        value: |topic| sum(topic, |queue| queue.counts.delayed),
    },
    Family {
        name: "octoq_messages_in_flight",
        kind: "gauge",
        help: "Messages handed out, not acked yet.",
        value: |topic| sum(topic, |queue| queue.counts.in_flight),
    },
    Family {
        name: "octoq_messages_dead",
        kind: "gauge",
        help: "Dead letters.",
        value: |topic| sum(topic, |queue| queue.counts.dead),
    },
    Family {
        name: "octoq_message_bytes",
        kind: "gauge",
        help: "Bytes of message bodies kept.",
        value: |topic| sum(topic, |queue| queue.counts.bytes),
    },
    Family {
        name: "octoq_published_total",
        kind: "counter",
        help: "Messages that came into queues.",
        value: |topic| sum(topic, |queue| queue.totals.published),
    },
    Family {
        name: "octoq_delivered_total",
        kind: "counter",
        help: "Messages handed out, again or first.",
        value: |topic| sum(topic, |queue| queue.totals.delivered),
    },
    Family {
        name: "octoq_redelivered_total",
        kind: "counter",
        help: "Messages handed out again.",
        value: |topic| sum(topic, |queue| queue.totals.redelivered),
    },
    Family {
        name: "octoq_acked_total",
        kind: "counter",
        help: "Messages acked or taken.",
        value: |topic| sum(topic, |queue| queue.totals.acked),
    },
    Family {
        name: "octoq_nacked_total",
        kind: "counter",
        help: "Messages given back.",
        value: |topic| sum(topic, |queue| queue.totals.nacked),
    },
    Family {
        name: "octoq_deadline_missed_total",
        kind: "counter",
        help: "Ack deadlines missed.",
        value: |topic| sum(topic, |queue| queue.totals.missed),
    },
    Family {
        name: "octoq_dead_lettered_total",
        kind: "counter",
        help: "Messages that became dead letters.",
        value: |topic| sum(topic, |queue| queue.totals.died),
    },
    Family {
        name: "octoq_pushed_total",
        kind: "counter",
        help: "Messages pushed to subscribers.",
        value: |topic| topic.pushed,
    },
    Family {
        name: "octoq_push_dropped_total",
        kind: "counter",
        help: "Messages slow subscribers missed.",
        value: |topic| topic.push_dropped,
    },
    Family {
        name: "octoq_subscribers",
        kind: "gauge",
        help: "Live subscribers.",
        value: |topic| topic.subscribers as u64,
    },
    Family {
        name: "octoq_consumers",
        kind: "gauge",
        help: "Connections that consume a queue.",
        value: |topic| sum(topic, |queue| queue.consumers),
    },
    Family {
        name: "octoq_subscribers_dropped_total",
        kind: "counter",
        help: "Subscribers dropped for being slow.",
        value: |topic| topic.subscribers_dropped,
    },
    Family {
        name: "octoq_topic_restarts_total",
        kind: "counter",
        help: "Times a topic was rebuilt after a failure.",
        value: |topic| topic.restarts,
    },
];

fn render(state: &BrokerState, topics: &[TopicFigures]) -> String {
    let mut out = String::with_capacity(4096 + topics.len().min(TOPICS_MAX) * 1024);
    let (shown, rest) = topics.split_at(topics.len().min(TOPICS_MAX));
    let names: Vec<String> =
        shown.iter().map(|topic| label(&topic.definition.name.to_string())).collect();
    for family in &FAMILIES {
        head(&mut out, family.name, family.kind, family.help);
        for (topic, name) in shown.iter().zip(&names) {
            line(&mut out, family.name, &format!("{{topic=\"{name}\"}}"), (family.value)(topic));
        }
        if !rest.is_empty() {
            line(&mut out, family.name, "{topic=\"\"}", rest.iter().map(family.value).sum());
        }
    }
    head(
        &mut out,
        "octoq_dropped_total",
        "counter",
        "Messages that left a queue unread, by reason.",
    );
    for (topic, name) in shown.iter().zip(&names) {
        let reasons = [
            ("expired", sum(topic, |queue| queue.totals.expired)),
            ("overflow", sum(topic, |queue| queue.totals.dropped)),
            ("purged", sum(topic, |queue| queue.totals.purged)),
        ];
        for (reason, count) in reasons {
            line(
                &mut out,
                "octoq_dropped_total",
                &format!("{{topic=\"{name}\",reason=\"{reason}\"}}"),
                count,
            );
        }
    }
    let store = &state.store;
    let single: [(&str, &str, &str, u64); 9] = [
        ("octoq_topics", "gauge", "Topics.", topics.len() as u64),
        (
            "octoq_memory_bytes",
            "gauge",
            "Bytes of message bodies held in memory.",
            state.memory_bytes,
        ),
        ("octoq_memory_limit_bytes", "gauge", "limits.memory_bytes.", state.memory_limit_bytes),
        ("octoq_store_commits_total", "counter", "Commits of the store.", store.commits),
        ("octoq_store_syncs_total", "counter", "Commits that were synced.", store.syncs),
        ("octoq_store_records_total", "counter", "Records written.", store.records),
        ("octoq_store_waiting", "gauge", "Batches waiting for the store.", store.waiting),
        ("octoq_store_disk_bytes", "gauge", "Size of the store's files.", store.disk_bytes),
        (
            "octoq_store_full",
            "gauge",
            "1 while the disk is full and publishes are refused.",
            u64::from(state.disk_full),
        ),
    ];
    for (name, kind, help, value) in single {
        head(&mut out, name, kind, help);
        line(&mut out, name, "", value);
    }
    head(&mut out, "octoq_connections", "gauge", "Open connections by door.");
    for (door, count) in &state.connections {
        line(&mut out, "octoq_connections", &format!("{{door=\"{door}\"}}"), *count);
    }
    let name = "octoq_publish_unreported_total";
    head(&mut out, name, "counter", "Publishes that failed without an answer that could say so.");
    for (door, count) in &state.unreported {
        line(&mut out, name, &format!("{{door=\"{door}\"}}"), *count);
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, name: &str, labels: &str, value: u64) {
    let _ = writeln!(out, "{name}{labels} {value}");
}

/// A label value: backslash, quote and line end escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
