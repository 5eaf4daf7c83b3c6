//! Figures of the broker and of one topic, as JSON. For scrapes there is `/metrics`.

use super::Native;
use super::caller::Who;
use super::names::{TopicPath, topic_name};
use super::problem::Problem;
use super::view::{CountsView, TotalsView, WaitsView, shown};
use crate::broker::observer::Totals;
use crate::broker::{BrokerState, Rates, TopicFigures};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Per second, over the last ten.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct RatesView {
    published_per_s: f64,
    delivered_per_s: f64,
    acked_per_s: f64,
    redelivered_per_s: f64,
    dropped_per_s: f64,
}

/// To a tenth.
pub fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

impl From<&Rates> for RatesView {
    fn from(rates: &Rates) -> Self {
        RatesView {
            published_per_s: rounded(rates.published),
            delivered_per_s: rounded(rates.delivered),
            acked_per_s: rounded(rates.acked),
            redelivered_per_s: rounded(rates.redelivered),
            dropped_per_s: rounded(rates.dropped),
        }
    }
}

/// What confirmations stand for when a topic does not say.
#[derive(Serialize, ToSchema)]
struct Durability {
    broker: Level,
    pubsub: Level,
}

/// Memory for messages.
#[derive(Serialize, ToSchema)]
struct Memory {
    bytes: u64,
    limit_bytes: u64,
}

/// The store.
#[derive(Serialize, ToSchema)]
struct Store {
    disk_bytes: u64,
    free_bytes: u64,
    full: bool,
    commits: u64,
    syncs: u64,
    records: u64,
    waiting: u64,
}

/// The broker as a whole.
#[derive(Serialize, ToSchema)]
pub struct BrokerView {
    version: &'static str,
    uptime_ms: u64,
    durability: Durability,
    topics: usize,
    queues: u64,
    subscribers: u64,
    consumers: u64,
    /// Receivers that wait.
    waiting: u64,
    messages: CountsView,
    rates: RatesView,
    /// Open ones, by door.
    #[schema(value_type = BTreeMap<String, u64>)]
    connections: BTreeMap<&'static str, u64>,
    memory: Memory,
    store: Store,
}

impl BrokerView {
    /// Of these topics and of the process.
    pub fn of(totals: &Totals, state: BrokerState) -> BrokerView {
        BrokerView {
            version: env!("CARGO_PKG_VERSION"),
            uptime_ms: state.uptime_ms,
            durability: Durability { broker: state.levels.broker, pubsub: state.levels.pubsub },
            topics: totals.topics,
            queues: totals.queues,
            subscribers: totals.subscribers,
            consumers: totals.consumers,
            waiting: totals.waiting,
            messages: (&totals.counts).into(),
            rates: (&totals.rates).into(),
            connections: state.connections.into_iter().collect(),
            memory: Memory { bytes: state.memory_bytes, limit_bytes: state.memory_limit_bytes },
            store: Store {
                disk_bytes: state.store.disk_bytes,
                free_bytes: state.store.disk_free_bytes,
                full: state.disk_full,
                commits: state.store.commits,
                syncs: state.store.syncs,
                records: state.store.records,
                waiting: state.store.waiting,
            },
        }
    }
}

/// `GET /v1/stats`: the broker as a whole; of topics, those that the caller may read.
#[utoipa::path(
    get, path = "/v1/stats", tag = "broker", operation_id = "stats",
    summary = "Figures of the broker",
    responses((status = 200, description = "The figures", body = BrokerView)),
)]
pub async fn broker(who: Who, native: web::Data<Native>) -> Answer {
    let (topics, _) = native.broker.list_topics(&who.0, None, usize::MAX).await?;
    let mut totals = Totals { topics: topics.len(), ..Totals::default() };
    for topic in &topics {
        totals.queues += topic.queues.len() as u64;
        totals.subscribers += topic.subscribers as u64;
        totals.waiting += topic.waiters as u64;
        totals.rates = totals.rates.plus(&topic.rates);
        for (_, _, queue) in &topic.queues {
            totals.consumers += queue.consumers;
            totals.counts = totals.counts.plus(&queue.counts);
        }
    }
    Ok(HttpResponse::Ok().json(BrokerView::of(&totals, native.broker.state())))
}

/// Figures of a queue.
#[derive(Serialize, ToSchema)]
struct QueueStats {
    name: String,
    #[serde(flatten)]
    messages: CountsView,
    consumers: u64,
    waiting: u64,
    totals: TotalsView,
    waits: WaitsView,
}

/// Figures of a topic.
#[derive(Serialize, ToSchema)]
pub struct TopicStats {
    name: String,
    kind: Kind,
    messages: CountsView,
    rates: RatesView,
    published: u64,
    pushed: u64,
    push_dropped: u64,
    subscribers: usize,
    subscribers_lagging: usize,
    subscribers_dropped: u64,
    /// Receivers that wait.
    waiting: usize,
    /// How often it was rebuilt after a failure.
    restarts: u64,
    queues: Vec<QueueStats>,
}

impl From<TopicFigures> for TopicStats {
    fn from(topic: TopicFigures) -> Self {
        let rates = (&topic.rates).into();
        let mut messages = CountsView::default();
        topic.queues.iter().for_each(|(_, _, queue)| messages.add(&queue.counts));
        let queues = topic.queues.iter().map(|(name, _, queue)| QueueStats {
            name: shown(name.as_bytes()),
            messages: (&queue.counts).into(),
            consumers: queue.consumers,
            waiting: queue.waiting,
            totals: (&queue.totals).into(),
            waits: (&queue.waits).into(),
        });
        TopicStats {
            name: shown(topic.definition.name.as_bytes()),
            kind: topic.definition.kind,
            messages,
            rates,
            published: topic.published,
            pushed: topic.pushed,
            push_dropped: topic.push_dropped,
            subscribers: topic.subscribers,
            subscribers_lagging: topic.lagging,
            subscribers_dropped: topic.subscribers_dropped,
            waiting: topic.waiters,
            restarts: topic.restarts,
            queues: queues.collect(),
        }
    }
}

/// `GET /v1/topics/{topic}/stats`
#[utoipa::path(
    get, path = "/v1/topics/{topic}/stats", tag = "topics", operation_id = "topic_stats",
    summary = "Figures of a topic",
    params(TopicPath),
    responses((status = 200, description = "The figures", body = TopicStats)),
)]
pub async fn topic(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let figures = native.broker.topic(&who.0, &topic_name(&request)?).await?.describe().await?;
    Ok(HttpResponse::Ok().json(TopicStats::from(figures)))
}
