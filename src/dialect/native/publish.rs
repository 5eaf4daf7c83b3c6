//! Publishing: one message or many as JSON, many as lines of JSON, or one as its bare bytes.

use super::Native;
use super::asking::{ask, unexpected};
use super::body::Body;
use super::caller::Who;
use super::headers;
use super::names::{QueuePath, TopicPath, queue_name, topic_name};
use super::object::{Object, json, object, unambiguous};
use super::problem::Problem;
use super::view::{PlacedView, ResultView, Results};
use crate::broker::{Op, Reply, clock};
use crate::dialect::trace::Trace;
use crate::queue::*;
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ACCEPT, CONTENT_TYPE, HeaderName},
    web,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc, time::Duration};
use utoipa::ToSchema;

/// Lines of JSON, one object each.
pub const NDJSON: &str = "application/x-ndjson";

/// One message to publish. Exactly one of `body`, `json` and `base64` is given.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishBody<'a> {
    /// The body as text.
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    /// The body as a JSON value; its text is stored as it stands here.
    #[serde(borrow, default, deserialize_with = "given")]
    #[schema(value_type = serde_json::Value)]
    json: Option<&'a RawValue>,
    /// The body as base64, for bytes that are not text.
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Byte)]
    base64: Option<Cow<'a, str>>,
    /// A JSON object of at most 64 KiB; no key twice.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    attributes: Option<&'a RawValue>,
    /// The publisher's own id.
    #[schema(min_length = 1, max_length = 255)]
    id: Option<String>,
    /// Visible after this long.
    #[schema(maximum = 315360000000u64)]
    delay_ms: Option<u64>,
    /// Visible at this time, milliseconds since the Unix epoch; not with `delay_ms`.
    deliver_at_ms: Option<i64>,
    /// Gone after this long.
    #[schema(maximum = 315360000000u64)]
    ttl_ms: Option<u64>,
    /// Publishing it again within the topic's window stores nothing.
    #[schema(min_length = 1, max_length = 255)]
    dedup_key: Option<String>,
    /// In each queue at most one message with this key is in flight, in the order of the publishes.
    #[schema(min_length = 1, max_length = 255)]
    ordering_key: Option<String>,
    /// 0 to 9; the higher first.
    #[schema(maximum = 9)]
    priority: Option<u8>,
    /// Before everything that waits.
    front: Option<bool>,
}

/// A value that is there, be it `null`.
pub fn given<'de: 'a, 'a, D: Deserializer<'de>>(
    source: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(source).map(Some)
}

/// Longest id, dedup key or ordering key, bytes.
const KEY_BYTES_MAX: usize = 255;
/// Longest attributes, bytes.
const ATTRIBUTES_BYTES_MAX: usize = 64 << 10;

/// The bytes of a body that was sent as text, as JSON or as base64; nothing when it was not sent.
pub fn body_bytes(
    text: Option<Cow<'_, str>>,
    json: Option<&RawValue>,
    base64: Option<Cow<'_, str>>,
) -> Result<Option<Bytes>, Problem> {
    match (text, json, base64) {
        (Some(text), None, None) => Ok(Some(Bytes::from(text.into_owned()))),
        (None, Some(json), None) => Ok(Some(Bytes::copy_from_slice(json.get().as_bytes()))),
        (None, None, Some(coded)) => {
            let decoded = STANDARD.decode(coded.as_bytes());
            let decoded = decoded.map_err(|_| Problem::invalid("`base64` is not base64"))?;
            Ok(Some(Bytes::from(decoded)))
        }
        (None, None, None) => Ok(None),
        _ => Err(Problem::invalid("only one of `body`, `json` and `base64` may be given")),
    }
}

/// Attributes that are a JSON object of a bearable length and depth, and say nothing twice.
pub fn attributes_text(raw: &RawValue) -> Result<Arc<str>, Problem> {
    if !raw.get().starts_with('{') {
        return Err(Problem::invalid("`attributes` must be a JSON object"));
    }
    let text = within_bounds(raw.get())?;
    unambiguous(text).map_err(|problem| Problem {
        detail: format!("attributes: {}", problem.detail).into(),
        ..problem
    })?;
    Ok(text.into())
}

fn within_bounds(attributes: &str) -> Result<&str, Problem> {
    match attributes.len() > ATTRIBUTES_BYTES_MAX {
        false => Ok(attributes),
        true => Err(Problem::invalid(format!(
            "the attributes must be at most {ATTRIBUTES_BYTES_MAX} bytes"
        ))),
    }
}

/// What a publisher says beside body and attributes, in whichever form it was sent.
#[derive(Debug, Default)]
pub struct Said {
    /// The publisher's own id.
    pub id: Option<Bytes>,
    /// Visible after this long.
    pub delay_ms: Option<u64>,
    /// Visible at this time.
    pub deliver_at_ms: Option<i64>,
    /// Gone after this long.
    pub ttl_ms: Option<u64>,
    /// Publishing it again within the topic's window stores nothing.
    pub dedup_key: Option<Bytes>,
    /// In each queue at most one message with this key is in flight.
    pub ordering_key: Option<Bytes>,
    /// 0 to 9.
    pub priority: u8,
    /// Before everything that waits.
    pub front: bool,
}

impl Said {
    /// The message; nothing but a body stays as cheap as it can be.
    pub fn message(
        self,
        now: Timestamp,
        body: Bytes,
        attributes: Option<Arc<str>>,
    ) -> Result<NewMessage, Problem> {
        let plain = attributes.is_none()
            && self.id.is_none()
            && self.delay_ms.is_none()
            && self.deliver_at_ms.is_none()
            && self.ttl_ms.is_none()
            && self.dedup_key.is_none()
            && self.ordering_key.is_none()
            && self.priority == 0
            && !self.front;
        if plain {
            return Ok(NewMessage::plain(body));
        }
        let key = |name: &'static str, value: Option<Bytes>| match value {
            Some(key) if key.is_empty() || key.len() > KEY_BYTES_MAX => {
                Err(Problem::invalid(format!("`{name}` must have 1 to {KEY_BYTES_MAX} bytes")))
            }
            value => Ok(value),
        };
        let span = |name: &'static str, value: Option<u64>| match value {
            Some(ms) if ms > policy::DURATION_MS_MAX => Err(Problem::invalid(format!(
                "`{name}` must be at most {} (ten years)",
                policy::DURATION_MS_MAX
            ))),
            value => Ok(value.map(|ms| now.after(Duration::from_millis(ms)))),
        };
        let delayed = span("delay_ms", self.delay_ms)?;
        if delayed.is_some() && self.deliver_at_ms.is_some() {
            return Err(Problem::invalid(
                "only one of `delay_ms` and `deliver_at_ms` may be given",
            ));
        }
        if self.priority > 9 {
            return Err(Problem::invalid("`priority` must be 0 to 9"));
        }
        Ok(NewMessage::new(
            body,
            Extra {
                client_id: key("id", self.id)?,
                made_id: None,
                attributes,
                deliver_at: delayed.or(self.deliver_at_ms.map(Timestamp)),
                expires_at: span("ttl_ms", self.ttl_ms)?,
                dedup_key: key("dedup_key", self.dedup_key)?,
                ordering_key: key("ordering_key", self.ordering_key)?,
                priority: self.priority,
                front: self.front,
                past: None,
            },
        ))
    }
}

/// What the publisher calls it.
pub fn own_id(message: &NewMessage) -> Option<String> {
    message.own_id().map(|id| String::from_utf8_lossy(id).into_owned())
}

impl PublishBody<'_> {
    /// Into the broker's terms.
    pub fn message(
        mut self,
        now: Timestamp,
        trace: Option<Trace<'_>>,
    ) -> Result<NewMessage, Problem> {
        let body = body_bytes(self.body.take(), self.json.take(), self.base64.take())?;
        let body = body.ok_or_else(|| {
            Problem::invalid("exactly one of `body`, `json` and `base64` must be given")
        })?;
        self.with_body(body, now, trace)
    }

    /// The same for a message whose body stands elsewhere.
    pub fn with_body(
        self,
        body: Bytes,
        now: Timestamp,
        trace: Option<Trace<'_>>,
    ) -> Result<NewMessage, Problem> {
        if self.body.is_some() || self.json.is_some() || self.base64.is_some() {
            return Err(Problem::invalid("the body is given twice"));
        }
        let attributes = self.attributes.map(attributes_text).transpose()?;
        let attributes = match trace {
            None => attributes,
            Some(trace) => {
                let attributes = trace.added_to(attributes);
                within_bounds(&attributes)?;
                Some(attributes)
            }
        };
        let said = Said {
            id: self.id.map(Bytes::from),
            delay_ms: self.delay_ms,
            deliver_at_ms: self.deliver_at_ms,
            ttl_ms: self.ttl_ms,
            dedup_key: self.dedup_key.map(Bytes::from),
            ordering_key: self.ordering_key.map(Bytes::from),
            priority: self.priority.unwrap_or(0),
            front: self.front.unwrap_or(false),
        };
        said.message(now, body, attributes)
    }
}

/// How the messages of a request are written, and how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A JSON object: one message.
    One,
    /// A JSON array: one result each.
    Many,
    /// A JSON object in each line.
    Lines,
    /// The bare bytes of one message.
    Raw,
}

impl Form {
    /// What the content type says. Without one, and with the one that `curl -d` sends by itself, it
    /// is JSON.
    fn of(request: &HttpRequest, body: &[u8]) -> Form {
        let kind = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let is = |name: &str| kind.eq_ignore_ascii_case(name.as_bytes());
        if is(NDJSON) {
            return Form::Lines;
        }
        if !kind.is_empty() && !is("application/json") && !is("application/x-www-form-urlencoded") {
            return Form::Raw;
        }
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            true => Form::Many,
            false => Form::One,
        }
    }
}

fn lines(
    body: &[u8],
    now: Timestamp,
    trace: Option<Trace<'_>>,
) -> Result<Vec<NewMessage>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    let read = |(at, line): (usize, &[u8])| {
        let message = object::<PublishBody<'_>>(line).and_then(|item| item.message(now, trace));
        message.map_err(|problem| Problem {
            detail: format!("line {}: {}", at + 1, problem.detail).into(),
            ..problem
        })
    };
    lines.map(read).collect()
}

/// What a publish as JSON is: [`Form::One`] or [`Form::Many`].
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used: which it is, the first byte tells")]
enum PublishJson<'a> {
    One(PublishBody<'a>),
    Many(Vec<PublishBody<'a>>),
}

/// `POST /v1/topics/{topic}/messages`, into every queue that takes it.
///
/// A JSON object, or the bare bytes of any other content type, is one message and answers 201; an
/// array, or lines of objects, is many and answers 200 with one result each. With bare bytes the rest
/// is said in headers: `octoq-id`, `octoq-delay-ms`, `octoq-deliver-at-ms`, `octoq-ttl-ms`,
/// `octoq-dedup-key`, `octoq-ordering-key`, `octoq-priority`, `octoq-front`, and `octoq-attr-NAME` for
/// an attribute. A `traceparent` header is kept as an attribute.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/messages", tag = "messages", operation_id = "publish",
    summary = "Publish one message or many",
    params(TopicPath),
    request_body(content(
        (PublishJson = "application/json", example = json!({"body": "hello", "attributes": {"kind": "greeting"}})),
        (String = "application/x-ndjson", example = json!("{\"body\": \"one\"}\n{\"body\": \"two\"}\n")),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 201, description = "One message: where it is", body = PlacedView),
        (status = 200, description = "Many: one result each", content(
            (Results<ResultView<PlacedView>> = "application/json"),
            (String = "application/x-ndjson"),
        )),
    ),
)]
pub async fn publish(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    publish_to(None, &request, &who, &native, body).await
}

/// Into that queue, or into every one that takes it.
async fn publish_to(
    to: Option<QueueName>,
    request: &HttpRequest,
    who: &Who,
    native: &Native,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let name = topic_name(request)?;
    let now = clock::now();
    let form = Form::of(request, &body);
    let trace = Trace::of(request.headers());
    let messages = match form {
        Form::One => vec![object::<PublishBody<'_>>(&body)?.message(now, trace)?],
        Form::Many => {
            let items: Vec<Object<PublishBody<'_>>> = json(&body)?;
            let message = |Object(item): Object<PublishBody<'_>>| item.message(now, trace);
            items.into_iter().map(message).collect::<Result<_, _>>()?
        }
        Form::Lines => lines(&body, now, trace)?,
        Form::Raw => {
            let (said, attributes) = headers::said(request, trace)?;
            let attributes = attributes.as_deref().map(within_bounds).transpose()?;
            vec![said.message(now, body.into_bytes(), attributes.map(Arc::from))?]
        }
    };
    let own: Vec<Option<String>> = messages.iter().map(own_id).collect();
    let (reply, handle) = ask(native, who, &name, Op::Publish { to, messages }).await?;
    let durability = handle.durability();
    let results = match reply {
        Reply::Published(results) => results,
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    let mut results = results.into_iter().zip(own);
    if form == Form::One || form == Form::Raw {
        let (placed, own) = results.next().ok_or_else(unexpected)?;
        return Ok(PlacedView::new(&placed?, own, durability).created());
    }
    let view = |own| move |placed: Placed| PlacedView::new(&placed, own, durability);
    let results: Vec<_> = results.map(|(result, own)| ResultView::of(result, view(own))).collect();
    if !accepts(request, NDJSON) {
        return Ok(HttpResponse::Ok().json(Results { results }));
    }
    let mut lines = Vec::with_capacity(results.len() * 128);
    for result in results {
        // Plain fields always serialise.
        let _ = serde_json::to_writer(&mut lines, &result);
        lines.push(b'\n');
    }
    Ok(HttpResponse::Ok().content_type(NDJSON).body(lines))
}

/// `POST /v1/topics/{topic}/queues/{queue}/messages`, into that queue.
///
/// In all forms that a publish to the topic has.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/messages", tag = "messages", operation_id = "publish_into",
    summary = "Publish into one queue",
    params(QueuePath),
    request_body(content(
        (PublishJson = "application/json", example = json!([{"body": "one"}, {"json": {"two": 2}}])),
        (String = "application/x-ndjson"),
        (Vec<u8> = "application/octet-stream"),
    )),
    responses(
        (status = 201, description = "One message: where it is", body = PlacedView),
        (status = 200, description = "Many: one result each", content(
            (Results<ResultView<PlacedView>> = "application/json"),
            (String = "application/x-ndjson"),
        )),
    ),
)]
pub async fn publish_into(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let to = queue_name(&request)?;
    publish_to(to, &request, &who, &native, body).await
}

/// The client names this type as one it takes.
pub fn accepts(request: &HttpRequest, kind: &str) -> bool {
    lists(request, &ACCEPT, kind)
}

fn lists(request: &HttpRequest, header: &HeaderName, kind: &str) -> bool {
    let values = request.headers().get_all(header);
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b',')).any(|range| {
        let range = range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        range.eq_ignore_ascii_case(kind.as_bytes())
    })
}
