//! Publish, read, ack, look, replay.

use super::answer::{Answer, Refused, data, success};
use super::caller::{Body, Who};
use super::path::{body_text, id_in_body, meant_ids, shown_id};
use super::time::rfc3339;
use super::{Blockqueue, duration, path, request};
use crate::broker::{BrokerError, Named, Op, Reply, TopicHandle, clock};
use crate::dialect::long_poll::{self, Polled};
use crate::dialect::trace::{self, TRACEPARENT, Trace};
use crate::queue::*;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use std::{borrow::Cow, time::Duration};

/// Messages of one read; clients cannot choose.
const READ_MAX: usize = 10;

/// `POST /topics/{topic}/messages` with `{"message", "delay"}`: answered when it is as durable as the
/// topic's level says. Without a subscriber it is gone.
pub async fn publish(
    request: HttpRequest,
    who: Who,
    door: web::Data<Blockqueue>,
    body: Body,
) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let message = request::publish(&body)?.message(clock::now(), Trace::of(request.headers()))?;
    publish_all(&topic, vec![message]).await
}

/// `POST /topics/{topic}/messages/batch` with a list of them. The first one that is refused is told;
/// the others are published.
pub async fn publish_many(
    request: HttpRequest,
    who: Who,
    door: web::Data<Blockqueue>,
    body: Body,
) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let now = clock::now();
    let trace = Trace::of(request.headers());
    let publishes = request::publishes(&body)?.into_iter();
    let messages = publishes.map(|publish| publish.message(now, trace));
    publish_all(&topic, messages.collect::<Result<_, _>>()?).await
}

async fn publish_all(topic: &TopicHandle, messages: Vec<NewMessage>) -> Answer {
    match topic.ask(Op::Publish { to: None, messages }).await? {
        Reply::Published(results) => {
            results.into_iter().collect::<Result<Vec<_>, _>>()?;
            Ok(success())
        }
        Reply::Failed(error) => Err(error.into()),
        _ => Err(Refused::unexpected()),
    }
}

#[derive(Serialize)]
struct MessageView<'a> {
    id: String,
    message: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

impl<'a> From<&'a Message> for MessageView<'a> {
    fn from(message: &'a Message) -> Self {
        let (text, coded) = body_text(message.body());
        let encoding = coded.then_some("base64");
        MessageView { id: shown_id(&message.id()), message: text, encoding }
    }
}

/// `GET /topics/{topic}/subscribers/{sub}?timeout=`: up to ten messages as soon as there is one, none
/// when the time is up. What was read must be acked before the subscriber's visibility duration ends.
pub async fn read(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let timeout = duration::parse(&path::query(&request, "timeout")).map_err(Refused::malformed)?;
    let timeout = Duration::from_nanos(u64::try_from(timeout).unwrap_or(0));
    let timeout = timeout.min(Duration::from_secs(door.config.wait_max_s));
    let queue = Some(path::subscriber(&request)?);
    let wait = (!timeout.is_zero()).then_some(timeout);
    let receive = Receive {
        max: READ_MAX,
        bytes_max: usize::MAX,
        ack_deadline: None,
        take: false,
        from_back: false,
    };
    // A look comes first: it tells a subscriber that is not there from one that goes meanwhile.
    let look = Op::Peek { queue: queue.clone(), end: End::Front, max: 0 };
    let ops = vec![look, Op::Receive { queue, request: receive, wait }];
    let Polled::Replies(replies) = long_poll::ask(&request, &topic, ops).await? else {
        return Err(Refused::left());
    };
    let mut replies = replies.into_iter();
    if let Some(Reply::Failed(error)) = replies.next() {
        return Err(error.into());
    }
    match replies.next() {
        Some(Reply::Delivered(deliveries)) => {
            let messages = deliveries.iter().map(|delivery| MessageView::from(&delivery.message));
            let mut answer = data(&messages.collect::<Vec<_>>());
            // A header is of one message only.
            if let [one] = deliveries.as_slice()
                && let Some(trace) = trace::of_attributes(one.message.attributes())
                && let Ok(value) = HeaderValue::try_from(trace)
            {
                answer.headers_mut().insert(HeaderName::from_static(TRACEPARENT), value);
            }
            Ok(answer)
        }
        Some(Reply::Failed(
            BrokerError::TopicNotFound(_) | BrokerError::Refused(Refusal::QueueNotFound),
        )) => Err(Refused::deleted()),
        Some(Reply::Failed(error)) => Err(error.into()),
        _ => Err(Refused::unexpected()),
    }
}

async fn ack_ids(
    topic: &TopicHandle,
    queue: &QueueName,
    ids: impl Iterator<Item = MessageId>,
) -> Result<Vec<Result<(), BrokerError>>, Refused> {
    let named = ids.map(|id| Named::Id { queue: Some(queue.clone()), id }).collect();
    match topic.ask(Op::Ack(named)).await? {
        Reply::Done(results) => Ok(results),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(Refused::unexpected()),
    }
}

/// `DELETE /topics/{topic}/subscribers/{sub}/messages/{id}`: a message that was read is done.
pub async fn ack(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let queue = path::subscriber(&request)?;
    let (id, meant) = meant_ids(&path::message(&request));
    let mut result = ack_ids(&topic, &queue, std::iter::once(id)).await?.pop();
    if let (Some(Err(BrokerError::Refused(Refusal::MessageNotFound))), Some(id)) = (&result, meant)
    {
        result = ack_ids(&topic, &queue, std::iter::once(id)).await?.pop();
    }
    result.ok_or_else(Refused::unexpected)??;
    Ok(success())
}

/// `DELETE /topics/{topic}/subscribers/{sub}/messages/batch` with `["id", ...]`: refused only when
/// none of them was in flight.
pub async fn ack_many(
    request: HttpRequest,
    who: Who,
    door: web::Data<Blockqueue>,
    body: Body,
) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let queue = path::subscriber(&request)?;
    let ids = request::ids(&body)?;
    let results = ack_ids(&topic, &queue, ids.iter().map(|id| id_in_body(id))).await?;
    if results.is_empty() || results.iter().any(Result::is_ok) {
        return Ok(success());
    }
    match results.into_iter().find_map(Result::err) {
        Some(BrokerError::Refused(Refusal::MessageNotFound)) | None => Err(Refused::no_message()),
        Some(error) => Err(error.into()),
    }
}

/// A message that is looked at.
#[derive(Serialize)]
struct LookView<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    status: &'static str,
    retry_count: u32,
    visible_at: String,
    created_at: String,
}

impl<'a> From<&'a View> for LookView<'a> {
    fn from(view: &'a View) -> Self {
        let status = match view.state {
            State::Ready | State::Delayed => "pending",
            State::InFlight => "delivered",
            State::Dead => "dead_letter",
        };
        let published_at = view.message.published_at;
        let died_at = view.dead.as_ref().map(|letter| letter.at);
        LookView {
            message: MessageView::from(&view.message),
            status,
            retry_count: view.attempts,
            visible_at: rfc3339(view.due.or(died_at).unwrap_or(published_at)),
            created_at: rfc3339(published_at),
        }
    }
}

/// Which part of a list a client wants.
struct Window {
    offset: usize,
    limit: usize,
}

/// Entries of a list when the client names no number.
const LIMIT: usize = 100;

impl Window {
    /// `limit` and `offset` of the query; together at most `limits.batch_max`.
    fn of(request: &HttpRequest, door: &Blockqueue) -> Result<Window, Refused> {
        let number = |name: &'static str, default| match path::query(request, name).as_str() {
            "" => Ok(default),
            text => text
                .parse::<usize>()
                .map_err(|_| Refused::malformed(format!("{name}: not a number: {text}"))),
        };
        let window = Window { offset: number("offset", 0)?, limit: number("limit", LIMIT)? };
        let bound = door.broker.limits().batch_max;
        if window.offset.saturating_add(window.limit) > bound {
            let text = format!("offset and limit together must be at most {bound}");
            return Err(Refused::malformed(text));
        }
        Ok(window)
    }
}

/// The messages of some states, one state after the other.
async fn look(
    topic: &TopicHandle,
    queue: QueueName,
    states: &[State],
    window: Window,
) -> Result<Vec<View>, Refused> {
    let Window { mut offset, limit } = window;
    let mut views = Vec::new();
    for state in states {
        let mut after = None;
        while views.len() < limit {
            let max = offset + limit - views.len();
            let op = Op::List { queue: Some(queue.clone()), state: *state, after, max };
            let page = match topic.ask(op).await? {
                Reply::Listed(page) => page,
                Reply::Failed(error) => return Err(error.into()),
                _ => return Err(Refused::unexpected()),
            };
            let skipped = offset.min(page.views.len());
            offset -= skipped;
            views.extend(page.views.into_iter().skip(skipped));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(views)
}

/// `GET /topics/{topic}/subscribers/{sub}/messages?limit=&offset=`: what was read and not acked, then
/// what waits; nothing is handed out.
pub async fn peek(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    show(request, who, door, &[State::InFlight, State::Ready, State::Delayed]).await
}

/// `GET /topics/{topic}/subscribers/{sub}/dlq?limit=&offset=`: the dead letters, the first to die first.
pub async fn dead(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    show(request, who, door, &[State::Dead]).await
}

async fn show(
    request: HttpRequest,
    who: Who,
    door: web::Data<Blockqueue>,
    states: &[State],
) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let (queue, window) = (path::subscriber(&request)?, Window::of(&request, &door)?);
    let views = look(&topic, queue, states, window).await?;
    Ok(data(&views.iter().map(LookView::from).collect::<Vec<_>>()))
}

/// `POST /topics/{topic}/subscribers/{sub}/dlq/{id}/replay`: a dead letter waits again, as if it had
/// just been published.
pub async fn replay(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let queue = path::subscriber(&request)?;
    let (id, meant) = meant_ids(&path::message(&request));
    for id in [Some(id), meant].into_iter().flatten() {
        let selection = Selection::Ids(vec![id]);
        let op = Op::Redrive { queue: Some(queue.clone()), selection, to: None };
        match topic.ask(op).await? {
            Reply::Counted(0) => (),
            Reply::Counted(_) => return Ok(success()),
            Reply::Failed(error) => return Err(error.into()),
            _ => return Err(Refused::unexpected()),
        }
    }
    Err(Refused::no_message())
}
