//! The documents of the screens.

use super::patch;
use super::request::{ROWS_MAX, Screen};
use crate::broker::connections::{ConnectionView, ConnectionsQuery};
use crate::broker::observer::{TopicRow, TopicsQuery};
use crate::broker::{Attention, Broker, Caller, TopicFigures};
use crate::dialect::native::problem::Problem;
use crate::dialect::native::stats::{BrokerView, TopicStats, rounded};
use crate::dialect::native::view::{CountsView, TotalsView, WaitsView, shown};
use crate::queue::*;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Queues of a topic that are shown.
const QUEUES_MAX: usize = 200;

/// The document of a screen.
pub async fn render(broker: &Broker, caller: &Caller, screen: &Screen) -> Result<Value, Problem> {
    let mut document = match screen {
        Screen::Overview => overview(broker, caller).await?,
        Screen::Topics(query) => topics(broker, caller, query).await?,
        Screen::Topic(name) => {
            topic(broker.topic(caller, name).await?.describe().await?).map_err(unsayable)?
        }
        Screen::Dead => dead(broker, caller).await?,
        Screen::Connections(query) => connections(broker, caller, query).await?,
    };
    patch::without_nulls(&mut document);
    Ok(document)
}

/// Cannot happen with the types that are said here.
fn unsayable(error: serde_json::Error) -> Problem {
    Problem::new(500, "internal", "The screen cannot be made", error.to_string())
}

fn value(view: impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(view).map_err(unsayable)
}

/// What names an entry of what somebody should look at, as long as it stays.
pub fn attention_key(kind: &str, topic: Option<&str>) -> String {
    topic.map_or_else(|| kind.to_owned(), |topic| format!("{kind}:{topic}"))
}

fn attention(one: &Attention, topic: Option<&str>) -> Value {
    json!({
        "kind": one.kind,
        "severity": one.severity.name(),
        "topic": topic,
        "queue": one.queue.as_ref().map(|queue| shown(queue.as_bytes())),
        "detail": one.detail,
        "value": one.value,
    })
}

async fn overview(broker: &Broker, caller: &Caller) -> Result<Value, Problem> {
    let (overview, state) = (broker.overview(caller).await?, broker.state());
    let mut entries = Map::new();
    let memory = (state.memory_bytes, state.memory_limit_bytes);
    Attention::of_broker(state.disk_full, state.store.disk_free_bytes, memory, |one| {
        entries.insert(attention_key(one.kind, None), attention(&one, None));
    });
    for (topic, one) in &overview.attention {
        let topic = shown(topic.as_bytes());
        entries.insert(attention_key(one.kind, Some(&topic)), attention(one, Some(&topic)));
    }
    let mut document = value(BrokerView::of(&overview.totals, state))?;
    document["attention"] = Value::Object(entries);
    if overview.attention_more > 0 {
        document["attention_more"] = overview.attention_more.into();
    }
    Ok(document)
}

#[derive(Serialize)]
struct RowView {
    kind: Kind,
    durability: Level,
    ready: u64,
    in_flight: u64,
    delayed: u64,
    dead: u64,
    published_per_s: f64,
    delivered_per_s: f64,
    acked_per_s: f64,
    subscribers: u64,
    consumers: u64,
    paused_in: bool,
    paused_out: bool,
    badges: Vec<&'static str>,
    spark: Vec<f64>,
}

impl RowView {
    fn new(row: &TopicRow) -> RowView {
        let badges = [
            ("paused", row.paused_in || row.paused_out),
            ("dead", row.counts.dead > 0),
            ("near_limit", row.near_limit),
            ("slow", row.lagging > 0),
        ];
        let Counts { ready, in_flight, delayed, dead, .. } = row.counts;
        RowView {
            kind: row.kind,
            durability: row.durability,
            ready,
            in_flight,
            delayed,
            dead,
            published_per_s: rounded(row.rates.published),
            delivered_per_s: rounded(row.rates.delivered),
            acked_per_s: rounded(row.rates.acked),
            subscribers: row.subscribers,
            consumers: row.consumers,
            paused_in: row.paused_in,
            paused_out: row.paused_out,
            badges: badges.iter().filter(|(_, is)| *is).map(|(name, _)| *name).collect(),
            spark: row.spark.iter().map(|rate| short(*rate)).collect(),
        }
    }
}

/// A number for a small picture: a whole one, unless it is small itself.
fn short(rate: f32) -> f64 {
    let rate = f64::from(rate);
    if rate >= 10.0 { rate.round() } else { rounded(rate) }
}

async fn topics(broker: &Broker, caller: &Caller, query: &TopicsQuery) -> Result<Value, Problem> {
    let page = broker.topics_page(caller, query.clone()).await?;
    let (mut order, mut rows) = (Vec::with_capacity(page.rows.len()), Map::new());
    for row in &page.rows {
        let name = shown(row.name.as_bytes());
        rows.insert(name.clone(), value(RowView::new(row))?);
        order.push(name);
    }
    Ok(json!({"total": page.total, "matching": page.matching, "order": order, "rows": rows}))
}

#[derive(Serialize)]
struct Paused {
    r#in: bool,
    out: bool,
}

#[derive(Serialize)]
struct QueueEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a QueuePolicy>,
    counts: CountsView,
    totals: TotalsView,
    waits: WaitsView,
    paused: Paused,
    consumers: u64,
    waiting: u64,
}

fn topic(figures: TopicFigures) -> serde_json::Result<Value> {
    let kind = figures.definition.kind;
    let mut queues = Map::new();
    for (name, policy, queue) in figures.queues.iter().take(QUEUES_MAX) {
        let entry = QueueEntry {
            policy: (kind == Kind::Broker).then_some(policy),
            counts: (&queue.counts).into(),
            totals: (&queue.totals).into(),
            waits: (&queue.waits).into(),
            paused: Paused { r#in: policy.paused_in, out: policy.paused_out },
            consumers: queue.consumers,
            waiting: queue.waiting,
        };
        queues.insert(shown(name.as_bytes()), serde_json::to_value(entry)?);
    }
    let more = figures.queues.len().saturating_sub(QUEUES_MAX);
    let policy = serde_json::to_value(&figures.definition.policy)?;
    let mut document = serde_json::to_value(TopicStats::from(figures))?;
    document["policy"] = policy;
    document["queues"] = Value::Object(queues);
    if more > 0 {
        document["queues_more"] = more.into();
    }
    Ok(document)
}

async fn dead(broker: &Broker, caller: &Caller) -> Result<Value, Problem> {
    let (queues, total) = broker.dead_queues(caller, ROWS_MAX).await?;
    let (mut order, mut rows) = (Vec::new(), Map::new());
    for found in queues {
        let (topic, queue) = (shown(found.topic.as_bytes()), shown(found.queue.as_bytes()));
        let key = format!("{topic}/{queue}");
        let redrive = found
            .redrive
            .map(|how| json!({"running": how.running, "done": how.done, "total": how.total}));
        let oldest_at_ms = found.oldest.map(|at| at.0);
        let row = json!({"topic": topic, "queue": queue, "dead": found.dead,
            "oldest_at_ms": oldest_at_ms, "redrive": redrive});
        rows.insert(key.clone(), row);
        order.push(key);
    }
    Ok(json!({"total": total, "order": order, "rows": rows}))
}

/// A connection as others see it.
pub fn connection_view(view: &ConnectionView) -> Value {
    json!({
        "door": view.door,
        "peer": view.peer.map(|peer| peer.to_string()),
        "user": view.user.as_deref(),
        "since_ms": view.since.0,
        "subscriptions": view.subscriptions,
        "in_flight": view.in_flight,
        "buffer_bytes": view.buffer_bytes,
        "buffer_max_bytes": view.buffer_bytes_max,
        "received_per_s": rounded(view.received_per_s),
        "sent_per_s": rounded(view.sent_per_s),
        "slow": view.slow,
    })
}

async fn connections(
    broker: &Broker,
    caller: &Caller,
    query: &ConnectionsQuery,
) -> Result<Value, Problem> {
    let page = broker.connections(caller, query.clone()).await?;
    let order: Vec<String> = page.rows.iter().map(|row| row.id.to_string()).collect();
    let rows: BTreeMap<String, Value> =
        page.rows.iter().map(|row| (row.id.to_string(), connection_view(row))).collect();
    Ok(json!({"total": page.total, "matching": page.matching, "order": order, "rows": rows}))
}
