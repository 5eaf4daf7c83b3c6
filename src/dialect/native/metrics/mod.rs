//! Figures in the text format of Prometheus.

mod families;
mod text;

use self::families::{DROPS, FAMILIES, TIMES};
use self::text::{Text, seconds};
use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::socket;
use crate::broker::{BrokerState, TopicFigures, clock};
use crate::queue::{Timestamp, stats::Histogram};
use actix_web::{HttpResponse, web};

/// `GET /metrics`
#[utoipa::path(
    get, path = "/metrics", tag = "broker", operation_id = "metrics",
    summary = "Figures in the text format of Prometheus",
    responses((status = 200, description = "The figures", body = String, content_type = "text/plain")),
)]
pub async fn metrics(who: Who, native: web::Data<Native>) -> Result<HttpResponse, Problem> {
    let (figures, _) = native.broker.list_topics(&who.0, None, usize::MAX).await?;
    let named_max = native.http.metrics_topics_max;
    let mut text = render(&native.broker.state(), &figures, named_max, clock::now());
    for socket::Family { name, help, series } in native.sockets.families() {
        text.family(name, "counter", help);
        for (label, value) in series {
            text.sample(name, label.as_slice(), value);
        }
    }
    let text = text.finish();
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

/// Topics that have figures of their own, and the others, which are summed up as the topic "": no
/// topic has that name.
struct Topics<'a> {
    named: Vec<(String, &'a TopicFigures)>,
    others: &'a [TopicFigures],
}

impl<'a> Topics<'a> {
    fn new(all: &'a [TopicFigures], named_max: usize) -> Topics<'a> {
        let (named, others) = all.split_at(all.len().min(named_max));
        let named = named.iter().map(|topic| (topic.definition.name.to_string(), topic));
        Topics { named: named.collect(), others }
    }

    /// One sample for each topic, and one that stands for the others.
    fn each(&self, mut sample: impl FnMut(&str, &[&TopicFigures])) {
        for (name, topic) in &self.named {
            sample(name, &[topic]);
        }
        if !self.others.is_empty() {
            sample("", &self.others.iter().collect::<Vec<_>>());
        }
    }
}

/// Upper bounds of times in a queue and until an ack, in milliseconds: powers of two, at which the
/// counts are exact.
const TIME_BOUNDS_MS: [u64; 13] =
    [1, 4, 16, 64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24];

fn render(state: &BrokerState, topics: &[TopicFigures], named_max: usize, now: Timestamp) -> Text {
    let count = topics.len() as u64;
    let topics = &Topics::new(topics, named_max);
    let mut text = Text::with_capacity(8192 + topics.named.len() * 4096);
    for family in &FAMILIES {
        text.family(family.name, family.kind, family.help);
        topics.each(|name, all| {
            let value = all.iter().map(|topic| (family.value)(topic)).sum::<u64>();
            text.sample(family.name, &[("topic", name)], value);
        });
    }
    let name = "octoq_oldest_ready_seconds";
    text.family(name, "gauge", "Age of the oldest message that can be handed out.");
    topics.each(|topic, all| {
        let queues = all.iter().flat_map(|topic| &topic.queues);
        let oldest = queues.filter_map(|(_, _, queue)| queue.counts.oldest_ready).min();
        let age = oldest.map_or(0, |oldest| now.since_ms(oldest));
        text.sample(name, &[("topic", topic)], seconds(age, 3));
    });
    let name = "octoq_dropped_total";
    text.family(name, "counter", "Messages that went without being acked, by reason.");
    topics.each(|topic, all| {
        for (reason, value) in &DROPS {
            let value = all.iter().map(|topic| value(topic)).sum::<u64>();
            text.sample(name, &[("topic", topic), ("reason", reason)], value);
        }
    });
    for (name, help, of) in &TIMES {
        text.family(name, "histogram", help);
        topics.each(|topic, all| {
            let mut times = Histogram::default();
            let queues = all.iter().flat_map(|topic| &topic.queues);
            queues.for_each(|(_, _, queue)| times.merge(of(&queue.waits)));
            // Topics in which nothing waited say nothing.
            if times.total() > 0 {
                let bounds = TIME_BOUNDS_MS.map(|ms| (seconds(ms, 3), times.below_ms(ms)));
                let sum = seconds(times.sum_ms(), 3);
                text.histogram(name, &[("topic", topic)], &bounds, &sum, times.total());
            }
        });
    }
    broker(&mut text, state, count);
    text
}

/// What the broker has once.
fn broker(text: &mut Text, state: &BrokerState, topics: u64) {
    let store = &state.store;
    let single: [(&'static str, &'static str, &str, u64); 13] = [
        ("octoq_topics", "gauge", "Topics.", topics),
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
        (
            "octoq_store_body_bytes_total",
            "counter",
            "Bytes of message bodies written.",
            store.body_bytes,
        ),
        ("octoq_store_waiting", "gauge", "Batches waiting for the store.", store.waiting),
        ("octoq_store_disk_bytes", "gauge", "Size of the store's files.", store.disk_bytes),
        (
            "octoq_store_disk_free_bytes",
            "gauge",
            "Bytes that the store's disk still has.",
            store.disk_free_bytes,
        ),
        (
            "octoq_store_damaged_rows",
            "gauge",
            "Damaged rows that were moved aside, ever.",
            store.quarantined,
        ),
        (
            "octoq_store_full",
            "gauge",
            "1 while the disk is full and publishes are refused.",
            u64::from(state.disk_full),
        ),
        (
            "octoq_stopping",
            "gauge",
            "1 while the broker stops and takes no new work.",
            u64::from(state.stopping),
        ),
    ];
    for (name, kind, help, value) in single {
        text.family(name, kind, help);
        text.sample(name, &[], value);
    }
    let name = "octoq_store_commit_seconds";
    text.family(name, "histogram", "How long commits of the store took.");
    let times = &store.commit_times;
    let bounds: Vec<_> =
        times.at_most_us().map(|(bound, count)| (seconds(bound, 6), count)).collect();
    text.histogram(name, &[], &bounds, &seconds(times.sum_us(), 6), times.total());
    let name = "octoq_connections";
    text.family(name, "gauge", "Open connections by door.");
    for (door, count) in &state.connections {
        text.sample(name, &[("door", door)], *count);
    }
    let name = "octoq_publish_unreported_total";
    text.family(name, "counter", "Publishes that failed without an answer that could say so.");
    for (door, count) in &state.unreported {
        text.sample(name, &[("door", door)], *count);
    }
    let name = "octoq_build_info";
    text.family(name, "gauge", "Always 1; the version is a label.");
    text.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
}
