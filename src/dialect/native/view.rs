//! What clients of `/v1` send and get, as JSON.

use super::problem::Problem;
use crate::broker::{BrokerError, TopicFigures};
use crate::queue::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// One message to publish. Exactly one of `body`, `json` and `base64` is given.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishBody<'a> {
    /// The body as text.
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    /// The body as a JSON value; its text is stored as it stands here.
    #[serde(borrow, default, deserialize_with = "given")]
    json: Option<&'a RawValue>,
    /// The body as base64, for bytes that are not text.
    #[serde(borrow)]
    base64: Option<Cow<'a, str>>,
    /// A JSON object.
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    /// The publisher's own id.
    id: Option<String>,
    /// Visible after this long.
    delay_ms: Option<u64>,
    /// Visible at this time, milliseconds since the Unix epoch.
    deliver_at_ms: Option<i64>,
    /// Gone after this long.
    ttl_ms: Option<u64>,
    /// Publishing it again within the topic's window stores nothing.
    dedup_key: Option<String>,
    /// 0 to 9.
    priority: Option<u8>,
    /// Before everything that waits.
    front: Option<bool>,
}

/// A value that is there, be it `null`.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(source: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

/// Longest id or dedup key, bytes.
const KEY_BYTES_MAX: usize = 255;
/// Longest attributes, bytes.
const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;

impl PublishBody<'_> {
    /// Into the broker's terms.
    pub fn message(self, now: Timestamp) -> Result<NewMessage, Problem> {
        let body = match (self.body, self.json, self.base64) {
            (Some(text), None, None) => Bytes::from(text.into_owned()),
            (None, Some(json), None) => Bytes::copy_from_slice(json.get().as_bytes()),
            (None, None, Some(coded)) => {
                let decoded = STANDARD.decode(coded.as_bytes());
                Bytes::from(decoded.map_err(|_| Problem::invalid("`base64` is not base64"))?)
            }
            _ => {
                return Err(Problem::invalid(
                    "exactly one of `body`, `json` and `base64` must be given",
                ));
            }
        };
        let plain = self.attributes.is_none()
            && self.id.is_none()
            && self.delay_ms.is_none()
            && self.deliver_at_ms.is_none()
            && self.ttl_ms.is_none()
            && self.dedup_key.is_none()
            && self.priority.is_none()
            && !self.front.unwrap_or(false);
        if plain {
            return Ok(NewMessage::plain(body));
        }
        let key = |name: &'static str, value: Option<String>| match value {
            Some(text) if text.is_empty() || text.len() > KEY_BYTES_MAX => {
                Err(Problem::invalid(format!("`{name}` must have 1 to {KEY_BYTES_MAX} bytes")))
            }
            value => Ok(value.map(Bytes::from)),
        };
        let span = |name: &'static str, value: Option<u64>| match value {
            Some(ms) if ms > policy::DURATION_MS_MAX => Err(Problem::invalid(format!(
                "`{name}` must be at most {} (ten years)",
                policy::DURATION_MS_MAX
            ))),
            value => Ok(value.map(|ms| now.after(std::time::Duration::from_millis(ms)))),
        };
        let attributes: Option<Arc<str>> = match self.attributes {
            Some(raw) if !raw.get().starts_with('{') => {
                return Err(Problem::invalid("`attributes` must be a JSON object"));
            }
            Some(raw) if raw.get().len() > ATTRIBUTES_BYTES_MAX => {
                return Err(Problem::invalid(format!(
                    "`attributes` must be at most {ATTRIBUTES_BYTES_MAX} bytes"
                )));
            }
            raw => raw.map(|raw| raw.get().into()),
        };
        let delayed = span("delay_ms", self.delay_ms)?;
        if delayed.is_some() && self.deliver_at_ms.is_some() {
            return Err(Problem::invalid(
                "only one of `delay_ms` and `deliver_at_ms` may be given",
            ));
        }
        let priority = self.priority.unwrap_or(0);
        if priority > 9 {
            return Err(Problem::invalid("`priority` must be 0 to 9"));
        }
        let extra = Extra {
            client_id: key("id", self.id)?,
            made_id: None,
            attributes,
            deliver_at: delayed.or(self.deliver_at_ms.map(Timestamp)),
            expires_at: span("ttl_ms", self.ttl_ms)?,
            dedup_key: key("dedup_key", self.dedup_key)?,
            priority,
            front: self.front.unwrap_or(false),
            past: None,
        };
        Ok(NewMessage::new(body, extra))
    }
}

/// What became of a published message.
#[derive(Debug, Serialize)]
pub struct PlacedView {
    id: String,
    seq: u64,
    duplicate: bool,
    durability: Level,
}

impl PlacedView {
    /// As the topic's level confirms it; `own`: the id that the publisher gave it.
    pub fn new(placed: &Placed, own: Option<String>, durability: Level) -> Self {
        PlacedView {
            id: placed.id.as_ref().map(MessageId::to_string).or(own).unwrap_or_default(),
            seq: placed.seq,
            duplicate: placed.duplicate,
            durability,
        }
    }
}

/// A body as JSON: text where it is text, base64 where not.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyView<'a> {
    /// UTF-8.
    Body(&'a str),
    /// Anything else.
    Base64(String),
}

impl<'a> BodyView<'a> {
    /// Of these bytes.
    pub fn of(body: &'a [u8]) -> Self {
        match std::str::from_utf8(body) {
            Ok(text) => BodyView::Body(text),
            Err(_) => BodyView::Base64(STANDARD.encode(body)),
        }
    }
}

/// A delivered message.
#[derive(Debug, Serialize)]
pub struct DeliveryView<'a> {
    id: String,
    seq: u64,
    #[serde(flatten)]
    body: BodyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    published_at_ms: i64,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<i64>,
}

impl<'a> From<&'a Delivery> for DeliveryView<'a> {
    fn from(delivery: &'a Delivery) -> Self {
        let message = &delivery.message;
        DeliveryView {
            id: message.id().to_string(),
            seq: message.seq,
            body: BodyView::of(message.body()),
            attributes: message.attributes().and_then(|text| serde_json::from_str(text).ok()),
            published_at_ms: message.published_at.0,
            attempt: delivery.attempt,
            receipt: delivery.receipt.map(|receipt| receipt.to_string()),
            deadline_ms: delivery.receipt.map(|_| delivery.deadline.0),
        }
    }
}

/// One queue of a [`TopicView`].
#[derive(Debug, Serialize)]
struct QueueView<'a> {
    name: String,
    ready: u64,
    delayed: u64,
    in_flight: u64,
    dead: u64,
    bytes: u64,
    consumers: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a QueuePolicy>,
}

/// A topic with its counts.
#[derive(Debug, Serialize)]
pub struct TopicView<'a> {
    name: String,
    kind: Kind,
    durability: Level,
    created_at_ms: i64,
    policy: &'a TopicPolicy,
    queues: Vec<QueueView<'a>>,
    subscribers: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seq: Option<u64>,
}

impl<'a> From<&'a TopicFigures> for TopicView<'a> {
    fn from(figures: &'a TopicFigures) -> Self {
        let pubsub = figures.definition.kind == Kind::Pubsub;
        let queue =
            |(name, policy, queue): &'a (QueueName, QueuePolicy, crate::broker::QueueFigures)| {
                QueueView {
                    name: String::from_utf8_lossy(name.as_bytes()).into_owned(),
                    ready: queue.counts.ready,
                    delayed: queue.counts.delayed,
                    in_flight: queue.counts.in_flight,
                    dead: queue.counts.dead,
                    bytes: queue.counts.bytes,
                    consumers: queue.consumers,
                    policy: (!pubsub).then_some(policy),
                }
            };
        TopicView {
            name: String::from_utf8_lossy(figures.definition.name.as_bytes()).into_owned(),
            kind: figures.definition.kind,
            durability: figures.definition.policy.durability,
            created_at_ms: figures.definition.created_at.0,
            policy: &figures.definition.policy,
            queues: figures.queues.iter().map(queue).collect(),
            subscribers: figures.subscribers,
            epoch: pubsub.then_some(figures.definition.epoch),
            last_seq: pubsub.then_some(figures.committed),
        }
    }
}

/// One entry in a list of results.
#[derive(Debug, Serialize)]
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
