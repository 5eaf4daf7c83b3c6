//! `GET /v1/topics/{topic}/events`: a pubsub topic as server-sent events.
//!
//! Like the WebSocket, the answer's body is a stream of chunks that the topic has encoded once for
//! all who listen. Each event's id is a position, so a browser that comes back says by itself where it
//! was (`Last-Event-ID`), and gets what it missed or is told the gap.

use super::Native;
use super::caller::Who;
use super::following::{Slow, WhyView};
use super::message_view::BodyView;
use super::names::{TopicPath, topic_name};
use super::problem::Problem;
use super::socket::{present, told_to_end};
use crate::broker::subscribers::{Ended, PushSource};
use crate::broker::{BrokerError, Caller, Look, Presence, PushFormat, Subscription};
use crate::dialect::long_poll::Peer;
use crate::queue::{Gap, Message, MessageId, Position, TopicName};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{FutureExt as _, Stream, future::LocalBoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    fmt::Write as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use utoipa::{IntoParams, ToSchema};

/// How long a browser waits before it comes back.
const RETRY_MS: u64 = 1000;
/// What keeps a stream open that has nothing to tell.
const HEARTBEAT: &[u8] = b":\n\n";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// What `Last-Event-ID` would say, for who cannot set a header: `epoch-seq`.
    #[param(nullable = false, pattern = "^[0-9]+-[0-9]+$")]
    last_event_id: Option<String>,
    /// What happens when the client cannot follow: `drop` (the default) or `close`.
    #[param(inline, nullable = false)]
    slow: Option<Slow>,
    /// It only watches: nothing counts as handed out by it.
    #[serde(default)]
    look: bool,
}

/// A position as the id of an event: `epoch-seq`.
pub fn position(text: &str) -> Result<Position, Problem> {
    let parts = text.split_once('-').and_then(|(epoch, seq)| {
        Some(Position { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
    });
    parts.ok_or_else(|| Problem::invalid("`Last-Event-ID` is not of the form `epoch-seq`"))
}

/// An event of the stream.
#[derive(ToSchema)]
#[allow(dead_code, reason = "only its schema is used")]
struct Event {
    /// `subscribed`, `message`, `gap` or `ended`.
    event: String,
    /// Where to go on: `epoch-seq`, for `Last-Event-ID`.
    #[schema(nullable = false)]
    id: Option<String>,
    /// A JSON object.
    data: String,
    /// How long a browser waits before it comes back, milliseconds.
    #[schema(nullable = false)]
    retry: Option<u64>,
}

/// `GET /v1/topics/{topic}/events`: opens the stream.
///
/// Events: `subscribed`, `message`, `gap`, `ended`; each id is a position, which a browser says in
/// `Last-Event-ID` when it comes back.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/events", tag = "push", operation_id = "events",
    summary = "A pubsub topic as server-sent events",
    params(TopicPath, EventsQuery),
    responses(
        (status = 200, description = "The stream", body = Event, content_type = "text/event-stream"),
    ),
)]
pub async fn subscribe(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    let query = web::Query::<EventsQuery>::from_query(request.query_string())
        .map_err(|error| Problem::invalid(format!("query: {error}")))?
        .into_inner();
    let header = request.headers().get("last-event-id");
    let said = match header.map(header::HeaderValue::to_str) {
        // A browser that has seen no id says an empty one.
        Some(Ok(text)) if !text.is_empty() => Some(position(text)?),
        Some(Ok(_)) => None,
        Some(Err(_)) => Some(position("")?),
        None => query.last_event_id.as_deref().map(position).transpose()?,
    };
    let slow = query.slow.unwrap_or_default().into();
    let mut handle = native.topic(&who.0, &topic_name(&request)?).await?;
    if query.look {
        handle = handle.looking();
    }
    let (presence, closing) = present(&request, &native, &who.0, "events");
    let look = Look::from(FORMAT).counted(&presence.traffic);
    let subscription = handle.subscribe(said, look, slow).await?;

    let every = Duration::from_secs(native.http.events_heartbeat_s);
    let mut heartbeat = interval_at(tokio::time::Instant::now() + every, every);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let left = request.conn_data::<Peer>().cloned();
    let events = Events {
        hello: Some(hello(handle.name(), &subscription, said)),
        subscription: Some(subscription),
        topic: handle.name().clone(),
        heartbeat,
        quiet: true,
        left: Some(gone(left, who.0).boxed_local()),
        ended: Some(told_to_end(&request, closing)),
        _presence: presence,
    };
    let mut response = HttpResponse::Ok();
    response
        .content_type("text/event-stream; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // Proxies are not to gather what is pushed.
        .insert_header(("X-Accel-Buffering", "no"));
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        // It may come here: the gate has looked at it.
        response
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone()))
            .insert_header((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"))
            .insert_header((header::VARY, "Origin"));
    }
    Ok(response.streaming(events))
}

/// Returns when the client has left, or its session has ended.
async fn gone(peer: Option<Peer>, caller: Caller) {
    let left = async {
        match peer {
            Some(peer) => peer.left().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = left => (),
        () = caller.ended() => (),
    }
}

/// One event. JSON has no line ends, so its data is one line.
fn event<T: Serialize>(out: &mut BytesMut, kind: &str, id: Option<Position>, data: &T) {
    let start = out.len();
    // Writing into memory cannot fail.
    let _ = writeln!(out, "event: {kind}");
    if let Some(Position { epoch, seq }) = id {
        let _ = writeln!(out, "id: {epoch}-{seq}");
    }
    out.put_slice(b"data: ");
    if serde_json::to_writer((&mut *out).writer(), data).is_err() {
        out.truncate(start);
        return;
    }
    out.put_slice(b"\n\n");
}

#[derive(Serialize)]
struct Hello<'a> {
    topic: &'a str,
    epoch: u32,
    next: u64,
}

fn hello(topic: &TopicName, subscription: &Subscription, said: Option<Position>) -> Bytes {
    let mut out = BytesMut::new();
    let _ = writeln!(out, "retry: {RETRY_MS}");
    let (epoch, next) = (subscription.epoch, subscription.next);
    let topic = &String::from_utf8_lossy(topic.as_bytes());
    // So that one that leaves before its first message misses none.
    let here = subscription.position(said);
    event(&mut out, "subscribed", Some(here), &Hello { topic, epoch, next });
    out.freeze()
}

#[derive(Serialize)]
struct MessageData<'a> {
    epoch: u32,
    seq: u64,
    id: &'a str,
    published_at_ms: i64,
    #[serde(flatten)]
    body: BodyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct GapData {
    epoch: u32,
    from: u64,
    through: u64,
    #[serde(flatten)]
    why: WhyView,
}

#[derive(Serialize)]
struct EndData<'a> {
    code: &'a str,
    detail: &'a str,
}

/// How pushes look to those who listen.
const FORMAT: PushFormat = PushFormat {
    name: "events",
    message: |source: &PushSource, message: &Message, out: &mut BytesMut| {
        let mut made = uuid::Uuid::encode_buffer();
        let own;
        let id: &str = match message.id() {
            MessageId::Made(uuid) => uuid.hyphenated().encode_lower(&mut made),
            id => {
                own = id.to_string();
                &own
            }
        };
        let (epoch, seq) = (source.epoch, message.seq);
        let data = MessageData {
            epoch,
            seq,
            id,
            published_at_ms: message.published_at.0,
            body: BodyView::unless_masked(source.masked, message.body()),
            attributes: message.attributes().and_then(|text| serde_json::from_str(text).ok()),
        };
        event(out, "message", Some(Position { epoch, seq }), &data);
    },
    gap: |source: &PushSource, gap: &Gap, out: &mut BytesMut| {
        let epoch = source.epoch;
        let data = GapData { epoch, from: gap.from, through: gap.to, why: gap.into() };
        event(out, "gap", Some(Position { epoch, seq: gap.to }), &data);
    },
};

/// The body of the answer.
struct Events {
    hello: Option<Bytes>,
    subscription: Option<Subscription>,
    topic: TopicName,
    heartbeat: Interval,
    /// Nothing was sent since the last heartbeat was due.
    quiet: bool,
    /// Ends when the client has left, or is let in no more.
    left: Option<LocalBoxFuture<'static, ()>>,
    /// Somebody wants it to end.
    ended: Option<oneshot::Receiver<()>>,
    _presence: Presence,
}

/// Why there is nothing more to come.
fn farewell(why: Ended, topic: &TopicName) -> Bytes {
    let problem: Problem = match why {
        Ended::TooSlow => Problem::new(429, "too_slow", "Too slow", "the client cannot follow"),
        Ended::TopicDeleted => BrokerError::TopicNotFound(topic.clone()).into(),
        Ended::Stopped | Ended::No => BrokerError::Stopping.into(),
    };
    last_event(&problem)
}

/// The last event.
fn last_event(problem: &Problem) -> Bytes {
    let mut out = BytesMut::new();
    event(&mut out, "ended", None, &EndData { code: problem.code, detail: &problem.detail });
    out.freeze()
}

impl Stream for Events {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(hello) = this.hello.take() {
            return Poll::Ready(Some(Ok(hello)));
        }
        if let Some(ended) = &mut this.ended
            && ended.poll_unpin(task) == Poll::Ready(Ok(()))
        {
            (this.subscription, this.ended) = (None, None);
            let title = "The stream was closed";
            let closed = Problem::new(403, "closed", title, "closed by an operator");
            return Poll::Ready(Some(Ok(last_event(&closed))));
        }
        let Some(subscription) = &mut this.subscription else { return Poll::Ready(None) };
        match subscription.poll_chunk(task) {
            Poll::Ready(Some(chunk)) => {
                this.quiet = false;
                return Poll::Ready(Some(Ok(chunk)));
            }
            Poll::Ready(None) => {
                let end = farewell(subscription.ended(), &this.topic);
                this.subscription = None;
                return Poll::Ready(Some(Ok(end)));
            }
            Poll::Pending => (),
        }
        if let Some(left) = &mut this.left
            && left.poll_unpin(task).is_ready()
        {
            this.left = None;
            this.subscription = None;
            return Poll::Ready(None);
        }
        while this.heartbeat.poll_tick(task).is_ready() {
            if std::mem::replace(&mut this.quiet, true) {
                return Poll::Ready(Some(Ok(Bytes::from_static(HEARTBEAT))));
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_back_from_the_id_of_an_event() {
        assert_eq!(
            position("7-18446744073709551615").unwrap(),
            Position { epoch: 7, seq: u64::MAX }
        );
        for wrong in ["", "-", "1", "1-", "-1", "1-2-3", "4294967296-1", "1-18446744073709551616"] {
            assert!(position(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_ends_with_an_empty_line() {
        let mut out = BytesMut::new();
        let why = WhyView::default();
        let data = GapData { epoch: 1, from: 2, through: 3, why };
        event(&mut out, "gap", Some(Position { epoch: 1, seq: 3 }), &data);
        let text = "event: gap\nid: 1-3\ndata: {\"epoch\":1,\"from\":2,\"through\":3}\n\n";
        assert_eq!(&out[..], text.as_bytes());
    }
}
