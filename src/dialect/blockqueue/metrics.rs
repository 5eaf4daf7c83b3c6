//! The original's counters in the text format of Prometheus. Its names carry those of topics and
//! subscribers; here these are labels only, so that every name yields a metric.

use super::Blockqueue;
use super::answer::Refused;
use super::caller::Who;
use crate::broker::TopicFigures;
use crate::queue::Kind;
use actix_web::{HttpResponse, web};
use std::fmt::Write as _;

/// Topics with series of their own, so that scrapes stay bounded.
const TOPICS_MAX: usize = 1000;

/// `GET /prometheus/metrics`, when `blockqueue.metrics` is set.
pub async fn metrics(who: Who, door: web::Data<Blockqueue>) -> Result<HttpResponse, Refused> {
    let (topics, _) = door.broker.list_topics(&who.0, None, usize::MAX).await?;
    let text = render(&topics);
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String cannot fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn label(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn render(topics: &[TopicFigures]) -> String {
    let topics: Vec<&TopicFigures> =
        topics.iter().filter(|topic| topic.definition.kind == Kind::Broker).collect();
    let mut out = String::with_capacity(1024 + topics.len().min(TOPICS_MAX) * 512);
    let name = "message_store_to_the_topic_watcher";
    head(&mut out, name, "counter", "Messages published.");
    let published: u64 = topics.iter().map(|topic| topic.published).sum();
    let _ = writeln!(out, "{name} {published}");
    let shown = topics.get(..topics.len().min(TOPICS_MAX)).unwrap_or_default();

    let name = "worker_dispatch_job_message_published";
    head(&mut out, name, "counter", "Messages published, by topic.");
    for topic in shown {
        let of = label(topic.definition.name.as_bytes());
        let _ = writeln!(out, "{name}{{topic=\"{of}\"}} {}", topic.published);
    }
    let name = "request_queue_total_flight_request_queue";
    head(&mut out, name, "gauge", "Readers that wait.");
    for_each_subscriber(&mut out, name, shown, |queue| queue.waiting);
    let name = "request_message_total_consumed_message";
    head(&mut out, name, "counter", "Messages read.");
    for_each_subscriber(&mut out, name, shown, |queue| queue.totals.delivered);
    out
}

fn for_each_subscriber(
    out: &mut String,
    name: &str,
    topics: &[&TopicFigures],
    value: impl Fn(&crate::broker::QueueFigures) -> u64,
) {
    for topic in topics {
        let of = label(topic.definition.name.as_bytes());
        for (subscriber, _, figures) in &topic.queues {
            let subscriber = label(subscriber.as_bytes());
            let value = value(figures);
            let _ = writeln!(out, "{name}{{topic=\"{of}\",subscriber=\"{subscriber}\"}} {value}");
        }
    }
}
