//! Looking at messages without taking them: the ends of a queue, a state page by page, one message
//! with its life.

use super::Native;
use super::asking::{queue_of, views};
use super::caller::Who;
use super::cursor;
use super::message_view::{MessageView, Moment, StateName, life};
use super::names::{MessagePath, QueuePath, both, message_id};
use super::problem::Problem;
use super::query::Query;
use super::sieves::{self, SieveQuery};
use crate::broker::{Op, Search, clock};
use crate::dialect::long_poll::{self, Peer};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Most messages of a peek or of one page of a list.
pub const PAGE_MAX: usize = 1000;
/// Messages of one page when nothing is said.
pub const PAGE: usize = 100;

/// An end of a queue.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EndName {
    Front,
    Back,
}

fn state_of(name: StateName) -> State {
    match name {
        StateName::Ready => State::Ready,
        StateName::Delayed => State::Delayed,
        StateName::InFlight => State::InFlight,
        StateName::Dead => State::Dead,
    }
}

/// Runs a piece of work; it ends when the client leaves.
pub async fn while_there<T>(
    request: &HttpRequest,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let done = long_poll::while_there(request.conn_data::<Peer>(), work).await;
    // Nobody reads this.
    done.unwrap_or_else(|| Err(Problem::invalid("the client has left")))
}

/// Messages that were looked at.
#[derive(Serialize, ToSchema)]
struct PeekedView<'a> {
    messages: Vec<MessageView<'a>>,
}

/// `GET /v1/topics/{topic}/queues/{queue}/peek?end=front|back&max=`: the messages that come next, or
/// last.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues/{queue}/peek", tag = "looking", operation_id = "peek",
    summary = "Peek at an end of a queue",
    params(
        QueuePath,
        ("end" = inline(Option<EndName>), Query, nullable = false, description = "Which end; `front` when left out."),
        ("max" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most messages, never above 1000; 1 when left out."),
    ),
    responses((status = 200, description = "The messages that come next, or last", body = PeekedView)),
)]
pub async fn peek(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let end = query.text("end")?.map(|text| serde_json::from_value(text.into())).transpose();
    let end = match end.map_err(|error| Problem::invalid(format!("query: end: {error}")))? {
        None | Some(EndName::Front) => End::Front,
        Some(EndName::Back) => End::Back,
    };
    let max = query.count("max", 1, PAGE_MAX)?;
    query.done()?;
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let views = views(handle.ask(Op::Peek { queue: Some(queue), end, max }).await?)?;
    let messages = views.iter().map(MessageView::from).collect();
    Ok(HttpResponse::Ok().json(PeekedView { messages }))
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
struct Listed<'a> {
    messages: Vec<MessageView<'a>>,
    /// What `after` says to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// How many messages were looked at.
    scanned: usize,
    /// Nothing is left to look at.
    complete: bool,
}

/// `GET /v1/topics/{topic}/queues/{queue}/messages?state=&limit=&after=` and what they must be like:
/// `attribute`, `json`, `text`, `reason`, `older_than_ms`, `newer_than_ms`. `complete` is false when
/// there is more to look at, behind `next`.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues/{queue}/messages", tag = "looking", operation_id = "list_messages",
    summary = "List messages of a state that are like this",
    params(
        QueuePath,
        ("state" = Option<StateName>, Query, nullable = false, description = "`ready` when left out."),
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most messages, never above 1000; 100 when left out."),
        ("after" = Option<String>, Query, nullable = false, description = "`next` of the page before."),
        SieveQuery,
    ),
    responses((status = 200, description = "A page", body = Listed)),
)]
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let state = match query.text("state")? {
        None => State::Ready,
        Some(text) => serde_json::from_value(text.into())
            .map(state_of)
            .map_err(|error| Problem::invalid(format!("query: state: {error}")))?,
    };
    let limit = query.count("limit", PAGE, PAGE_MAX)?;
    let after = query.text("after")?;
    let sieve = sieves::in_query(&mut query, clock::now())?;
    query.done()?;
    let (topic, queue) = both(&request)?;
    let (handle, definition) = native.broker.queue(&who.0, &topic, &queue).await?;
    let after = after.map(|text| cursor::read(&text, definition.number, state)).transpose()?;
    let search = Search { queue: Some(queue), state, after, sieve, limit };
    let looking = async { Ok(handle.search(search).await?) };
    let found = while_there(&request, looking).await?;
    Ok(HttpResponse::Ok().json(Listed {
        messages: found.views.iter().map(MessageView::from).collect(),
        next: found.next.map(|next| cursor::write(next, definition.number, state)),
        scanned: found.scanned,
        complete: found.next.is_none(),
    }))
}

/// A message with its life.
#[derive(Serialize, ToSchema)]
struct Shown<'a> {
    #[serde(flatten)]
    message: MessageView<'a>,
    life: Vec<Moment<'a>>,
}

/// `GET /v1/topics/{topic}/queues/{queue}/messages/{id}`: the message and its life. A delivery that was
/// released is not in it.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues/{queue}/messages/{id}", tag = "looking", operation_id = "explain",
    summary = "One message with its life",
    params(MessagePath),
    responses((status = 200, description = "The message", body = Shown)),
)]
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let op = Op::Find { queue: Some(queue), id: message_id(&request)? };
    let views = views(handle.ask(op).await?)?;
    let view = views.first().ok_or(crate::broker::BrokerError::from(Refusal::MessageNotFound))?;
    Ok(HttpResponse::Ok().json(Shown { message: view.into(), life: life(view) }))
}
