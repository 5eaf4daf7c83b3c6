//! Queues of a topic: list, show, make, change, pause, detach, attach, delete.

use super::Native;
use super::asking::unexpected;
use super::body::Body;
use super::caller::Who;
use super::names::{QueuePath, TopicPath, both, topic_name};
use super::object::object_or_default;
use super::problem::Problem;
use super::query::Query;
use super::settings;
use super::topics::{Ways, checked};
use super::view::{QueueView, WholeQueueView, shown};
use crate::broker::{BrokerError, Op, Reply, Revision};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Most queues in one page of the list.
const PAGE_MAX: usize = 1000;

/// The queue as it is now.
async fn view(
    native: &Native,
    who: &Who,
    (topic, queue): (&TopicName, &QueueName),
    mut answer: HttpResponseBuilder,
) -> Answer {
    let (handle, definition) = native.broker.queue(&who.0, topic, queue).await?;
    match handle.ask(Op::Counts { queue: Some(queue.clone()) }).await? {
        Reply::Figures(figures) => {
            Ok(answer.json(WholeQueueView::new(handle.name(), &definition, &figures)))
        }
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// A page of queues.
#[derive(Serialize, ToSchema)]
struct Queues<'a> {
    queues: Vec<QueueView<'a>>,
    /// What `after` says to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

/// `GET /v1/topics/{topic}/queues?limit=&after=`: in the order they were made.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues", tag = "queues", operation_id = "list_queues",
    summary = "List queues, in the order they were made",
    params(
        TopicPath,
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most queues, never above 1000, which is also meant when left out."),
        ("after" = Option<String>, Query, nullable = false, description = "`next` of the page before."),
    ),
    responses((status = 200, description = "A page", body = Queues)),
)]
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let name = topic_name(&request)?;
    let mut query = Query::of(&request)?;
    let limit = query.count("limit", PAGE_MAX, PAGE_MAX)?;
    let after = query.text("after")?;
    query.done()?;
    let figures = native.broker.topic(&who.0, &name).await?.describe().await?;
    let queues = figures.queues.as_slice();
    let start = match after {
        None => 0,
        Some(after) => queues
            .iter()
            .position(|(name, _, _)| shown(name.as_bytes()) == after)
            .map(|at| at + 1)
            .ok_or_else(Problem::invalid_cursor)?,
    };
    let rest = queues.get(start..).unwrap_or_default();
    let page = rest.get(..limit).unwrap_or(rest);
    let last = page.last().filter(|_| page.len() < rest.len());
    let next = last.map(|(name, _, _)| shown(name.as_bytes()));
    let kind = figures.definition.kind;
    let queues = page.iter().map(|queue| QueueView::of(queue, kind)).collect();
    Ok(HttpResponse::Ok().json(Queues { queues, next }))
}

/// `GET /v1/topics/{topic}/queues/{queue}`
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues/{queue}", tag = "queues", operation_id = "queue",
    summary = "Show a queue",
    params(QueuePath),
    responses((status = 200, description = "The queue", body = WholeQueueView)),
)]
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    view(&native, &who, (&topic, &queue), HttpResponse::Ok()).await
}

/// `PUT /v1/topics/{topic}/queues/{queue}` with all settings of the queue (those left out have their
/// defaults): 201 when it was made, 200 when it was changed, and the queue.
#[utoipa::path(
    put, path = "/v1/topics/{topic}/queues/{queue}", tag = "queues", operation_id = "put_queue",
    summary = "Make a queue, or change all its settings",
    params(QueuePath),
    request_body(content = Option<QueuePolicy>, example = json!({"ack_deadline_ms": 10000, "max_deliveries": 5})),
    responses(
        (status = 201, description = "It was made", body = WholeQueueView),
        (status = 200, description = "It was changed", body = WholeQueueView),
    ),
)]
pub async fn put(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let policy = settings::whole(&body)?;
    policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
    let (topic, queue) = both(&request)?;
    let broker = &native.broker;
    let made = broker.create_queue(&who.0, &topic, queue.clone(), policy.clone()).await;
    let answer = match made {
        Ok(_) => HttpResponse::Created(),
        Err(exists @ BrokerError::Refused(Refusal::QueueExists)) => {
            // Or a global one of this name is elsewhere: then it stays as it is.
            broker.queue(&who.0, &topic, &queue).await.map_err(|_| exists)?;
            broker.change_queue(&who.0, &topic, &queue, policy).await?;
            HttpResponse::Ok()
        }
        Err(error) => return Err(error.into()),
    };
    view(&native, &who, (&topic, &queue), answer).await
}

/// `PATCH /v1/topics/{topic}/queues/{queue}`: the settings that are given change. 200 and the queue.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}/queues/{queue}", tag = "queues", operation_id = "change_queue",
    summary = "Change settings of a queue",
    params(QueuePath),
    request_body(content = QueuePolicy, example = json!({"ack_deadline_ms": 10000})),
    responses((status = 200, description = "The queue", body = WholeQueueView)),
)]
pub async fn change(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let (topic, queue) = both(&request)?;
    let given = settings::fields(&body)?;
    checked(&given, QueuePolicy::check)?;
    native.broker.revise_queue(&who.0, &topic, &queue, Revision::Fields(given)).await?;
    view(&native, &who, (&topic, &queue), HttpResponse::Ok()).await
}

/// `DELETE /v1/topics/{topic}/queues/{queue}`: 204. Its messages are gone.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/queues/{queue}", tag = "queues", operation_id = "delete_queue",
    summary = "Delete a queue with its messages",
    params(QueuePath),
    responses((status = 204, description = "It is gone")),
)]
pub async fn delete(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    native.broker.delete_queue(&who.0, &topic, queue).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/topics/{topic}/queues/{queue}/pause`, by default both ways: publishes that would reach it
/// are refused, and nothing is handed out. 200 and the queue.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/pause", tag = "queues", operation_id = "pause_queue",
    summary = "Pause a queue, by default both ways",
    params(QueuePath),
    request_body = Option<Ways>,
    responses((status = 200, description = "The queue", body = WholeQueueView)),
)]
pub async fn pause(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    set_paused(&request, &who, &native, &body, true).await
}

/// `POST /v1/topics/{topic}/queues/{queue}/resume`: undoes it. 200 and the queue.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/resume", tag = "queues", operation_id = "resume_queue",
    summary = "Resume a queue",
    params(QueuePath),
    request_body = Option<Ways>,
    responses((status = 200, description = "The queue", body = WholeQueueView)),
)]
pub async fn resume(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    set_paused(&request, &who, &native, &body, false).await
}

async fn set_paused(
    request: &HttpRequest,
    who: &Who,
    native: &Native,
    body: &Body,
    paused: bool,
) -> Answer {
    let (topic, queue) = both(request)?;
    let ways: Ways = object_or_default(body)?;
    let revision = Revision::Fields(ways.fields(paused));
    native.broker.revise_queue(&who.0, &topic, &queue, revision).await?;
    view(native, who, (&topic, &queue), HttpResponse::Ok()).await
}

/// `POST /v1/topics/{topic}/queues/{queue}/detach`: 204. The queue belongs to no topic then and keeps
/// its messages.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/detach", tag = "queues", operation_id = "detach_queue",
    summary = "Detach a queue: it belongs to no topic and keeps its messages",
    params(QueuePath),
    responses((status = 204, description = "It is detached")),
)]
pub async fn detach(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    native.broker.move_queue(&who.0, &topic, &queue, &TopicName::unattached()).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Where the queue comes from.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct AttachBody {
    /// The topic it belongs to; left out: it was detached.
    #[schema(min_length = 1, max_length = 255)]
    from: Option<String>,
}

/// `POST /v1/topics/{topic}/queues/{queue}/attach` with `{"from": topic}`: the queue comes here with its
/// messages; without `from`, one that was detached. 200 and the queue.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/attach", tag = "queues", operation_id = "attach_queue",
    summary = "Attach a queue: it comes here with its messages",
    params(QueuePath),
    request_body(content = Option<AttachBody>, example = json!({"from": "drafts"})),
    responses((status = 200, description = "The queue", body = WholeQueueView)),
)]
pub async fn attach(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let (topic, queue) = both(&request)?;
    let AttachBody { from } = object_or_default(&body)?;
    let from = match from {
        None => TopicName::unattached(),
        Some(from) => {
            TopicName::parse(from).map_err(|error| Problem::invalid(format!("from: {error}")))?
        }
    };
    // Known here or not, before anything moves.
    native.broker.topic(&who.0, &topic).await?;
    native.broker.move_queue(&who.0, &from, &queue, &topic).await?;
    view(&native, &who, (&topic, &queue), HttpResponse::Ok()).await
}
