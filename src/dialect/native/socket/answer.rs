//! What the broker says on the socket, as frames. Pure.

use super::request::Req;
use crate::broker::subscribers::PushSource;
use crate::broker::{PushFormat, Replied};
use crate::dialect::native::following::WhyView;
use crate::dialect::native::frame;
use crate::dialect::native::message_view::BodyView;
use crate::dialect::native::problem::Problem;
use crate::queue::{Delivery, Gap, Message, MessageId};
use bytes::BytesMut;
use serde::Serialize;
use serde_json::value::RawValue;

/// It is done.
#[derive(Serialize)]
pub struct Done<'a, T: Serialize> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<&'a RawValue>,
    #[serde(flatten)]
    more: T,
}

/// Nothing more to say.
#[derive(Serialize)]
pub struct Nothing {}

/// One result per item.
#[derive(Serialize)]
pub struct Results<T: Serialize> {
    /// In the order of the items.
    pub results: Vec<T>,
}

/// A delivery that was settled.
#[derive(Serialize)]
pub struct Settled {
    /// Always true.
    pub ok: bool,
    /// Its deadline from now on, where it was extended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
}

/// Where a subscription begins.
#[derive(Serialize)]
pub struct Subscribed<'a> {
    /// What the client calls it.
    pub sub: &'a str,
    /// Of which topic.
    pub topic: &'a str,
    /// The topic's epoch.
    pub epoch: u32,
    /// The client's position now: the message before the first one it gets.
    pub seq: u64,
    /// The first number that is pushed as it is published.
    pub next: u64,
}

/// A consumer began.
#[derive(Serialize)]
pub struct Consuming<'a> {
    /// What the client calls it.
    pub sub: &'a str,
}

/// `{"type":"ok", "req":.., ...}`
pub fn ok<T: Serialize>(out: &mut BytesMut, req: &Req, more: T) {
    frame::text(out, &Done { r#type: "ok", req: req.as_deref(), more });
}

/// `{"type":"pong", "req":..}`
pub fn pong(out: &mut BytesMut, req: &Req) {
    frame::text(out, &Done { r#type: "pong", req: req.as_deref(), more: Nothing {} });
}

#[derive(Serialize)]
struct Refusal<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    code: &'a str,
    detail: &'a str,
}

/// `{"type":"error", "req":.., "code":.., "detail":..}`
pub fn error(out: &mut BytesMut, req: &Req, problem: &Problem) {
    let (code, detail) = (problem.code, &*problem.detail);
    frame::text(out, &Refusal { r#type: "error", req: req.as_deref(), sub: None, code, detail });
}

/// `{"type":"ended", "sub":.., "code":.., "detail":..}`: nothing more comes of a subscription.
pub fn ended(out: &mut BytesMut, sub: &str, problem: &Problem) {
    let (code, detail) = (problem.code, &*problem.detail);
    frame::text(out, &Refusal { r#type: "ended", req: None, sub: Some(sub), code, detail });
}

/// A message of any kind, with or without its body.
#[derive(Serialize)]
struct MessageFrame<'a> {
    r#type: &'static str,
    sub: &'a str,
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u32>,
    seq: u64,
    id: &'a str,
    published_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<i64>,
    #[serde(flatten)]
    body: Option<BodyView<'a>>,
}

/// Attributes as they were given.
fn raw(attributes: Option<&str>) -> Option<&RawValue> {
    serde_json::from_str(attributes?).ok()
}

/// Writes the frame: of text where the body is text or the client wants no binary frames.
fn message_frame<'a>(
    out: &mut BytesMut,
    head: MessageFrame<'a>,
    message: &'a Message,
    masked: Option<u64>,
    binary: bool,
) {
    let mut made = uuid::Uuid::encode_buffer();
    let own;
    let id: &str = match message.id() {
        MessageId::Made(uuid) => uuid.hyphenated().encode_lower(&mut made),
        id => {
            own = id.to_string();
            &own
        }
    };
    let body = message.body();
    let head = MessageFrame { id, ..head };
    match BodyView::unless_masked(masked, body) {
        BodyView::Bytes { .. } if binary => frame::binary(out, &head, body),
        view => frame::text(out, &MessageFrame { body: Some(view), ..head }),
    }
}

fn head<'a>(
    r#type: &'static str,
    sub: &'a str,
    topic: &'a str,
    message: &'a Message,
) -> MessageFrame<'a> {
    MessageFrame {
        r#type,
        sub,
        topic,
        queue: None,
        epoch: None,
        seq: message.seq,
        id: "",
        published_at_ms: message.published_at.0,
        attributes: raw(message.attributes()),
        receipt: None,
        attempt: None,
        deadline_ms: None,
        body: None,
    }
}

/// What all deliveries to one consumer have in common.
#[derive(Debug)]
pub struct DeliveryLook {
    /// What the client calls its subscription.
    pub sub: std::sync::Arc<str>,
    /// The topic's name.
    pub topic: String,
    /// The queue's name.
    pub queue: String,
    /// Bodies that are not text come in binary frames.
    pub binary: bool,
}

/// `{"type":"delivery", ...}`
pub fn delivery(out: &mut BytesMut, look: &DeliveryLook, delivery: &Delivery) {
    let frame = MessageFrame {
        queue: Some(&look.queue),
        receipt: delivery.receipt.map(|receipt| receipt.to_string()),
        attempt: Some(delivery.attempt),
        deadline_ms: delivery.receipt.map(|_| delivery.deadline.0),
        ..head("delivery", &look.sub, &look.topic, &delivery.message)
    };
    message_frame(out, frame, &delivery.message, None, look.binary);
}

#[derive(Serialize)]
struct ReplyFrame<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    req: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    #[serde(flatten)]
    body: Option<BodyView<'a>>,
}

/// `{"type":"reply", "req":.., "body":..}`; in a binary frame when the body is not text and the
/// request came in one.
pub fn reply(out: &mut BytesMut, req: &Req, reply: &Replied, binary: bool) {
    let attributes = raw(reply.attributes.as_deref());
    let head = ReplyFrame { r#type: "reply", req: req.as_deref(), attributes, body: None };
    match BodyView::of(&reply.body) {
        BodyView::Bytes { .. } if binary => frame::binary(out, &head, &reply.body),
        view => frame::text(out, &ReplyFrame { body: Some(view), ..head }),
    }
}

#[derive(Serialize)]
struct GapFrame<'a> {
    r#type: &'static str,
    sub: &'a str,
    topic: &'a str,
    epoch: u32,
    from: u64,
    through: u64,
    #[serde(flatten)]
    why: WhyView,
}

/// How pushes of pubsub topics look to subscribers that take text only.
pub const TEXT: PushFormat = PushFormat {
    name: "socket",
    message: |source, message, out| push(source, message, out, false),
    gap,
};

/// How they look where bodies that are not text come in binary frames.
pub const BINARY: PushFormat = PushFormat {
    name: "socket, binary",
    message: |source, message, out| push(source, message, out, true),
    gap,
};

fn push(source: &PushSource, message: &Message, out: &mut BytesMut, binary: bool) {
    let topic = String::from_utf8_lossy(source.topic.as_bytes());
    let sub = source.label.as_deref().unwrap_or_default();
    let frame = MessageFrame { epoch: Some(source.epoch), ..head("message", sub, &topic, message) };
    message_frame(out, frame, message, source.masked, binary);
}

fn gap(source: &PushSource, gap: &Gap, out: &mut BytesMut) {
    let topic = String::from_utf8_lossy(source.topic.as_bytes());
    let sub = source.label.as_deref().unwrap_or_default();
    let (epoch, from, through) = (source.epoch, gap.from, gap.to);
    let why = gap.into();
    frame::text(out, &GapFrame { r#type: "gap", sub, topic: &topic, epoch, from, through, why });
}
