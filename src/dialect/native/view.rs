//! Topics, queues and results as clients of `/v1` see them.

use super::problem::Problem;
use crate::broker::{BrokerError, QueueFigures, TopicFigures};
use crate::queue::stats::{Histogram, Waits};
use crate::queue::*;
use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{StatusCode, header},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use uuid::Uuid;

/// What became of a published message.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlacedView {
    /// The publisher's own id, or the one that the broker made.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String)]
    id: PlacedId,
    /// Its number in the topic, ascending.
    seq: u64,
    /// True when it was known already, and nothing was stored.
    duplicate: bool,
    /// What this confirmation stands for.
    durability: Level,
}

#[derive(Debug)]
enum PlacedId {
    /// As the publisher said it.
    Own(String),
    Made(MessageId),
}

fn as_text<S: Serializer>(id: &PlacedId, to: S) -> Result<S::Ok, S::Error> {
    match id {
        PlacedId::Own(id) => to.serialize_str(id),
        PlacedId::Made(MessageId::Made(uuid)) => {
            to.serialize_str(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
        }
        PlacedId::Made(id) => to.collect_str(id),
    }
}

impl PlacedView {
    /// As the topic's level confirms it; `own`: the id that the publisher gave it.
    pub fn new(placed: &Placed, own: Option<String>, durability: Level) -> Self {
        PlacedView {
            id: match &placed.id {
                Some(made) => PlacedId::Made(made.clone()),
                None => PlacedId::Own(own.unwrap_or_default()),
            },
            seq: placed.seq,
            duplicate: placed.duplicate,
            durability,
        }
    }

    /// The answer 201 to a publish of one. It is sent more often than any other, so the plain form is
    /// written without a serializer, which costs as much as publishing does.
    pub fn created(&self) -> HttpResponse {
        let json = header::HeaderValue::from_static("application/json");
        let PlacedId::Made(MessageId::Made(uuid)) = &self.id else {
            return HttpResponse::Created().json(self);
        };
        let mut body = Vec::with_capacity(128);
        body.extend_from_slice(br#"{"id":""#);
        body.extend_from_slice(
            uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes(),
        );
        body.extend_from_slice(br#"","seq":"#);
        body.extend_from_slice(itoa::Buffer::new().format(self.seq).as_bytes());
        body.extend_from_slice(br#","duplicate":"#);
        body.extend_from_slice(if self.duplicate { b"true" } else { b"false" });
        body.extend_from_slice(br#","durability":""#);
        body.extend_from_slice(self.durability.as_str().as_bytes());
        body.extend_from_slice(br#""}"#);
        let mut response = HttpResponse::with_body(StatusCode::CREATED, BoxBody::new(body));
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// A name as text; bytes that are not UTF-8 are shown replaced.
pub fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// How many messages are where.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct CountsView {
    /// Can be handed out.
    pub ready: u64,
    /// Not visible yet.
    pub delayed: u64,
    /// Handed out, neither acked nor past their deadline.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
    /// The bytes of all their bodies.
    pub bytes: u64,
}

impl From<&Counts> for CountsView {
    fn from(counts: &Counts) -> Self {
        CountsView {
            ready: counts.ready,
            delayed: counts.delayed,
            in_flight: counts.in_flight,
            dead: counts.dead,
            bytes: counts.bytes,
        }
    }
}

impl CountsView {
    /// With those of another queue.
    pub fn add(&mut self, counts: &Counts) {
        self.ready += counts.ready;
        self.delayed += counts.delayed;
        self.in_flight += counts.in_flight;
        self.dead += counts.dead;
        self.bytes += counts.bytes;
    }
}

/// What happened since the queue was made or the broker started.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalsView {
    published: u64,
    delivered: u64,
    redelivered: u64,
    acked: u64,
    nacked: u64,
    deadlines_missed: u64,
    died: u64,
    expired: u64,
    dropped: u64,
    purged: u64,
    moved_in: u64,
}

impl From<&Totals> for TotalsView {
    fn from(totals: &Totals) -> Self {
        TotalsView {
            published: totals.published,
            delivered: totals.delivered,
            redelivered: totals.redelivered,
            acked: totals.acked,
            nacked: totals.nacked,
            deadlines_missed: totals.missed,
            died: totals.died,
            expired: totals.expired,
            dropped: totals.dropped,
            purged: totals.purged,
            moved_in: totals.moved_in,
        }
    }
}

/// Durations: how many were measured, and what half and 99 of 100 of them do not exceed.
#[derive(Debug, Serialize, ToSchema)]
struct WaitView {
    count: u64,
    p50_ms: u64,
    p99_ms: u64,
    max_ms: u64,
}

impl From<&Histogram> for WaitView {
    fn from(waits: &Histogram) -> Self {
        WaitView {
            count: waits.total(),
            p50_ms: waits.percentile_ms(500),
            p99_ms: waits.percentile_ms(990),
            max_ms: waits.max_ms(),
        }
    }
}

/// How long messages wait, and how long their consumers take.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitsView {
    in_queue: WaitView,
    to_ack: WaitView,
}

impl From<&Waits> for WaitsView {
    fn from(waits: &Waits) -> Self {
        WaitsView { in_queue: (&waits.in_queue).into(), to_ack: (&waits.to_ack).into() }
    }
}

/// A queue in a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct QueueView<'a> {
    /// Its name; bytes that are not UTF-8 are shown replaced.
    name: String,
    #[serde(flatten)]
    counts: CountsView,
    /// Who consumes it over a socket, or waits for its next message.
    consumers: u64,
    /// Since the broker started.
    totals: TotalsView,
    /// Its settings; the backlog of a pubsub topic has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<QueuePolicy>, nullable = false)]
    policy: Option<&'a QueuePolicy>,
}

impl<'a> QueueView<'a> {
    /// One of those that a topic tells of. The backlog of a pubsub topic has no settings.
    pub fn of(
        (name, policy, figures): &'a (QueueName, QueuePolicy, QueueFigures),
        kind: Kind,
    ) -> Self {
        QueueView {
            name: shown(name.as_bytes()),
            counts: (&figures.counts).into(),
            consumers: figures.consumers,
            totals: (&figures.totals).into(),
            policy: (kind == Kind::Broker).then_some(policy),
        }
    }
}

/// All about one queue.
#[derive(Debug, Serialize, ToSchema)]
pub struct WholeQueueView<'a> {
    topic: String,
    #[serde(flatten)]
    queue: QueueView<'a>,
    created_at_ms: i64,
    /// Receivers that wait.
    waiting: u64,
    /// When the oldest that is ready was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    oldest_ready_at_ms: Option<i64>,
    waits: WaitsView,
}

impl<'a> WholeQueueView<'a> {
    /// Of a queue of this topic.
    pub fn new(
        topic: &TopicName,
        definition: &'a QueueDefinition,
        figures: &'a QueueFigures,
    ) -> Self {
        WholeQueueView {
            topic: shown(topic.as_bytes()),
            queue: QueueView {
                name: shown(definition.name.as_bytes()),
                counts: (&figures.counts).into(),
                consumers: figures.consumers,
                totals: (&figures.totals).into(),
                policy: Some(&definition.policy),
            },
            created_at_ms: definition.created_at.0,
            waiting: figures.waiting,
            oldest_ready_at_ms: figures.counts.oldest_ready.map(|at| at.0),
            waits: (&figures.waits).into(),
        }
    }
}

/// A topic with its counts.
#[derive(Debug, Serialize, ToSchema)]
pub struct TopicView<'a> {
    name: String,
    kind: Kind,
    durability: Level,
    created_at_ms: i64,
    #[schema(value_type = TopicPolicy)]
    policy: &'a TopicPolicy,
    queues: Vec<QueueView<'a>>,
    subscribers: usize,
    /// pubsub: which life of the topic its numbers belong to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    epoch: Option<u32>,
    /// pubsub: the number of the newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    last_seq: Option<u64>,
}

impl<'a> From<&'a TopicFigures> for TopicView<'a> {
    fn from(figures: &'a TopicFigures) -> Self {
        let kind = figures.definition.kind;
        let pubsub = kind == Kind::Pubsub;
        TopicView {
            name: shown(figures.definition.name.as_bytes()),
            kind,
            durability: figures.definition.policy.durability,
            created_at_ms: figures.definition.created_at.0,
            policy: &figures.definition.policy,
            queues: figures.queues.iter().map(|queue| QueueView::of(queue, kind)).collect(),
            subscribers: figures.subscribers,
            epoch: pubsub.then_some(figures.definition.epoch),
            last_seq: pubsub.then_some(figures.committed),
        }
    }
}

/// Results, in the order of what was asked.
#[derive(Debug, Serialize, ToSchema)]
pub struct Results<T> {
    /// One for each item.
    pub results: Vec<T>,
}

/// It went well, and there is nothing more to say.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// True.
    pub ok: bool,
}

/// One entry in a list of results.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResultView<T> {
    /// It went well.
    Ok(T),
    /// It did not.
    Problem {
        /// Why.
        problem: Problem,
    },
}

impl<T> ResultView<T> {
    /// From the broker's result.
    pub fn of<S>(result: Result<S, BrokerError>, view: impl FnOnce(S) -> T) -> Self {
        match result {
            Ok(value) => ResultView::Ok(view(value)),
            Err(error) => ResultView::Problem { problem: error.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::MessageBody as _;

    #[test]
    fn what_a_publish_is_answered_is_the_view_as_json() {
        let made = MessageId::made(Timestamp(1_795_258_396_853), 77, 12);
        for (id, own) in [(Some(made), None), (None, Some("a \"b\"".to_owned()))] {
            for (duplicate, level) in
                [(false, Level::Memory), (true, Level::Async), (false, Level::Sync)]
            {
                let placed = Placed { id: id.clone(), seq: 12, duplicate };
                let view = PlacedView::new(&placed, own.clone(), level);
                let response = view.created();
                assert_eq!(response.status(), StatusCode::CREATED);
                assert_eq!(
                    response.headers().get(header::CONTENT_TYPE).unwrap(),
                    "application/json"
                );
                let body = response.into_body().try_into_bytes().unwrap();
                assert_eq!(body, serde_json::to_vec(&view).unwrap());
            }
        }
    }
}
