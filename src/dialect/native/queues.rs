//! Queues of a topic: list, show, make, change, pause, detach, attach, delete.

use super::Native;
use super::asking::unexpected;
use super::body::Body;
use super::caller::Who;
use super::names::{both, topic_name};
use super::object::{fields, object_or_default};
use super::problem::Problem;
use super::query::Query;
use super::topics::{Ways, checked};
use super::view::{QueueView, WholeQueueView, shown};
use crate::broker::{BrokerError, Op, Reply, Revision};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use serde::{Deserialize, Serialize};

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

/// `GET /v1/topics/{topic}/queues?limit=&after=`: in the order they were made.
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let name = topic_name(&request)?;
    let mut query = Query::of(&request)?;
    let limit = query.value("limit")?.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
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
    #[derive(Serialize)]
    struct Queues<'a> {
        queues: Vec<QueueView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    }
    let last = page.last().filter(|_| page.len() < rest.len());
    let next = last.map(|(name, _, _)| shown(name.as_bytes()));
    let kind = figures.definition.kind;
    let queues = page.iter().map(|queue| QueueView::of(queue, kind)).collect();
    Ok(HttpResponse::Ok().json(Queues { queues, next }))
}

/// `GET /v1/topics/{topic}/queues/{queue}`
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    view(&native, &who, (&topic, &queue), HttpResponse::Ok()).await
}

/// `PUT /v1/topics/{topic}/queues/{queue}` with all settings of the queue (those left out have their
/// defaults): 201 when it was made, 200 when it was changed, and the queue.
pub async fn put(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let policy: QueuePolicy = object_or_default(&body)?;
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
pub async fn change(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let (topic, queue) = both(&request)?;
    let given = fields::<QueuePolicy>(&body)?;
    checked(&given, QueuePolicy::check)?;
    native.broker.revise_queue(&who.0, &topic, &queue, Revision::Fields(given)).await?;
    view(&native, &who, (&topic, &queue), HttpResponse::Ok()).await
}

/// `DELETE /v1/topics/{topic}/queues/{queue}`: 204. Its messages are gone.
pub async fn delete(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    native.broker.delete_queue(&who.0, &topic, queue).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `POST /v1/topics/{topic}/queues/{queue}/pause`, by default both ways: publishes that would reach it
/// are refused, and nothing is handed out. 200 and the queue.
pub async fn pause(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    set_paused(&request, &who, &native, &body, true).await
}

/// `POST /v1/topics/{topic}/queues/{queue}/resume`: undoes it. 200 and the queue.
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
pub async fn detach(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    native.broker.move_queue(&who.0, &topic, &queue, &TopicName::unattached()).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct AttachBody {
    /// The topic it belongs to; `None`: it was detached.
    from: Option<String>,
}

/// `POST /v1/topics/{topic}/queues/{queue}/attach` with `{"from": topic}`: the queue comes here with its
/// messages; without `from`, one that was detached. 200 and the queue.
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
