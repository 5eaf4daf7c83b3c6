//! Messages that leave their place: deleted, purged, moved to another queue, edited.

use super::Native;
use super::asking::{queue_of, unexpected};
use super::body::Body;
use super::caller::Who;
use super::names::{MessagePath, QueuePath, message_id};
use super::object::{Object, object, object_or_default};
use super::problem::Problem;
use super::publish::{attributes_text, body_bytes, given};
use super::view::{Done, PlacedView, ResultView, Results};
use crate::broker::{BrokerError, Named, Op, Reply, TopicHandle};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

fn ids(texts: Vec<String>) -> Vec<MessageId> {
    texts.into_iter().map(|text| MessageId::parse(text.as_bytes())).collect()
}

/// `ids` or `max`, as one selection; `None`: everything.
pub fn selection(
    texts: Option<Vec<String>>,
    max: Option<u64>,
) -> Result<Option<Selection>, Problem> {
    match (texts, max) {
        (Some(texts), None) => Ok(Some(Selection::Ids(ids(texts)))),
        (None, Some(max)) => {
            Ok(Some(Selection::Oldest(usize::try_from(max).unwrap_or(usize::MAX))))
        }
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Problem::invalid("only one of `ids` and `max` may be given")),
    }
}

async fn delete_ids(
    handle: &TopicHandle,
    queue: QueueName,
    ids: Vec<MessageId>,
) -> Result<Vec<Result<(), BrokerError>>, Problem> {
    match handle.ask(Op::Delete { queue: Some(queue), ids }).await? {
        Reply::Done(results) => Ok(results),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// `DELETE /v1/topics/{topic}/queues/{queue}/messages/{id}`: 204, whatever its state was.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/queues/{queue}/messages/{id}", tag = "moving", operation_id = "delete_message",
    summary = "Delete one message",
    params(MessagePath),
    responses((status = 204, description = "It is gone, whatever its state was")),
)]
pub async fn delete(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let results = delete_ids(&handle, queue, vec![message_id(&request)?]).await?;
    results.into_iter().next().ok_or_else(unexpected)??;
    Ok(HttpResponse::NoContent().finish())
}

/// Which messages go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeleteBody {
    ids: Vec<String>,
}

/// `POST /v1/topics/{topic}/queues/{queue}/delete` with `{"ids": [..]}`: 200 and one result each.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/delete", tag = "moving", operation_id = "delete_messages",
    summary = "Delete many messages",
    params(QueuePath),
    request_body = DeleteBody,
    responses((status = 200, description = "One result each", body = Results<ResultView<Done>>)),
)]
pub async fn delete_many(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let DeleteBody { ids: texts } = object(&body)?;
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let results = delete_ids(&handle, queue, ids(texts)).await?;
    let view = |result| ResultView::of(result, |()| Done { ok: true });
    Ok(HttpResponse::Ok().json(Results { results: results.into_iter().map(view).collect() }))
}

/// How many went.
#[derive(Serialize, ToSchema)]
struct Purged {
    purged: u64,
}

/// `POST /v1/topics/{topic}/queues/{queue}/purge`: what waits is gone. 200 and how many.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/purge", tag = "moving", operation_id = "purge",
    summary = "Purge a queue: what waits is gone",
    params(QueuePath),
    responses((status = 200, description = "How many", body = Purged)),
)]
pub async fn purge(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let purged = handle.counted(Op::Purge { queue: Some(queue) }).await?;
    Ok(HttpResponse::Ok().json(Purged { purged }))
}

/// Which messages go where; without `ids` and `max` all that are ready.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveBody {
    /// These.
    ids: Option<Vec<String>>,
    /// So many, the oldest; not with `ids`.
    max: Option<u64>,
    #[schema(value_type = MoveTo)]
    to: Object<MoveTo>,
}

/// A queue, seen from a topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct MoveTo {
    /// Left out: the same topic.
    #[schema(min_length = 1, max_length = 255)]
    topic: Option<String>,
    /// Left out: `default`.
    #[schema(min_length = 1, max_length = 255)]
    queue: Option<String>,
}

/// How many went.
#[derive(Serialize, ToSchema)]
struct Moved {
    moved: u64,
}

/// `POST /v1/topics/{topic}/queues/{queue}/move` with `{"ids" or "max", "to": {"topic", "queue"}}`: ready
/// messages go to the back of another queue. 200 and how many.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/move", tag = "moving", operation_id = "move_messages",
    summary = "Move ready messages to another queue",
    params(QueuePath),
    request_body(content = MoveBody, example = json!({"max": 100, "to": {"queue": "later"}})),
    responses((status = 200, description = "How many", body = Moved)),
)]
pub async fn move_messages(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let MoveBody { ids, max, to: Object(to) } = object(&body)?;
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let invalid = |error: NameError| Problem::invalid(format!("to: {error}"));
    let to = QueueAddress {
        topic: match to.topic {
            Some(topic) => TopicName::parse(topic).map_err(invalid)?,
            None => handle.name().clone(),
        },
        queue: match to.queue {
            Some(queue) => QueueName::parse(queue).map_err(invalid)?,
            None => QueueName::default_queue(),
        },
    };
    let selection = selection(ids, max)?;
    let moved = native.broker.transfer(&who.0, &handle, &queue, &to, selection).await?;
    Ok(HttpResponse::Ok().json(Moved { moved }))
}

/// What is different; at most one of `body`, `json` and `base64`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct EditBody<'a> {
    /// The new body in one of three forms; none: the body stays.
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow, deserialize_with = "given")]
    #[schema(value_type = serde_json::Value)]
    json: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Option<String>, format = Byte)]
    base64: Option<Cow<'a, str>>,
    /// All attributes; none: they stay.
    #[serde(borrow)]
    #[schema(value_type = Option<Object>)]
    attributes: Option<&'a RawValue>,
    /// Into which queue of the topic; none: the same.
    #[schema(min_length = 1, max_length = 255)]
    to: Option<String>,
}

/// Where the new message is.
#[derive(Serialize, ToSchema)]
struct Edited {
    #[serde(flatten)]
    placed: PlacedView,
    /// False when the dead letter was gone by then.
    replaced: bool,
}

/// `POST /v1/topics/{topic}/queues/{queue}/messages/{id}/edit`: publishes a dead letter anew with another
/// body or other attributes, and removes it when that is stored. 200 and where the new message is;
/// `replaced` is false when the dead letter was gone by then.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/messages/{id}/edit", tag = "moving", operation_id = "edit",
    summary = "Edit a dead letter and publish it again",
    params(MessagePath),
    request_body(content = Option<EditBody>, example = json!({"json": {"mended": true}})),
    responses((status = 200, description = "Where the new message is", body = Edited)),
)]
pub async fn edit(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let EditBody { body, json, base64, attributes, to } = object_or_default(&body)?;
    let edited = body_bytes(body, json, base64)?;
    let attributes = attributes.map(attributes_text).transpose()?;
    let id = message_id(&request)?;
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let to = match to {
        Some(to) => {
            QueueName::parse(to).map_err(|error| Problem::invalid(format!("to: {error}")))?
        }
        None => queue.clone(),
    };
    let message = handle.dead_letter(&queue, &id).await?;
    let known = message.extra.as_deref().cloned().unwrap_or_default();
    let extra = Extra {
        attributes: attributes.or(known.attributes),
        priority: known.priority,
        ..Extra::default()
    };
    let body = edited.or(message.body.map(Content::into_body)).unwrap_or_default();
    let message = NewMessage::new(body, extra);
    let publish = Op::Publish { to: Some(to), messages: vec![message] };
    let placed = match handle.ask(publish).await? {
        Reply::Published(results) => results.into_iter().next().ok_or_else(unexpected)??,
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    // Stored, as surely as the topic's level says: now the old one may go.
    let named = Named::Anywhere { queue: Some(queue), id };
    let replaced = match handle.ask(Op::Ack(vec![named])).await? {
        Reply::Done(results) => results.into_iter().next().is_some_and(|result| result.is_ok()),
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    let placed = PlacedView::new(&placed, None, handle.durability());
    Ok(HttpResponse::Ok().json(Edited { placed, replaced }))
}
