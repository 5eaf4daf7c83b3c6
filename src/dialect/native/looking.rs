//! Looking at messages without taking them: the ends of a queue, a state page by page, one message
//! with its life.

use super::Native;
use super::asking::{queue_of, views};
use super::caller::Who;
use super::cursor;
use super::message_view::{MessageView, Moment, StateName, life};
use super::names::{both, message_id};
use super::problem::Problem;
use super::query::Query;
use super::sieves;
use crate::broker::{Op, Search, clock};
use crate::dialect::long_poll::{self, Peer};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

type Answer = Result<HttpResponse, Problem>;

/// Most messages of a peek or of one page of a list.
pub const PAGE_MAX: usize = 1000;
/// Messages of one page when nothing is said.
pub const PAGE: usize = 100;

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

/// `GET /v1/topics/{topic}/queues/{queue}/peek?end=front|back&max=`: the messages that come next, or
/// last.
pub async fn peek(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let end = match query.text("end")?.as_deref() {
        None | Some("front") => End::Front,
        Some("back") => End::Back,
        Some(_) => return Err(Problem::invalid("query: `end` must be `front` or `back`")),
    };
    let max = query.value("max")?.unwrap_or(1).clamp(1, PAGE_MAX);
    query.done()?;
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let views = views(handle.ask(Op::Peek { queue: Some(queue), end, max }).await?)?;
    #[derive(Serialize)]
    struct Messages<'a> {
        messages: Vec<MessageView<'a>>,
    }
    let messages = views.iter().map(MessageView::from).collect();
    Ok(HttpResponse::Ok().json(Messages { messages }))
}

/// `GET /v1/topics/{topic}/queues/{queue}/messages?state=&limit=&after=` and what they must be like:
/// `attribute`, `json`, `text`, `reason`, `older_than_ms`, `newer_than_ms`. `complete` is false when
/// there is more to look at, behind `next`.
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let state = match query.text("state")? {
        None => State::Ready,
        Some(text) => serde_json::from_value(text.into())
            .map(state_of)
            .map_err(|error| Problem::invalid(format!("query: state: {error}")))?,
    };
    let limit = query.value("limit")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let after = query.text("after")?;
    let sieve = sieves::in_query(&mut query, clock::now())?;
    query.done()?;
    let (topic, queue) = both(&request)?;
    let (handle, definition) = native.broker.queue(&who.0, &topic, &queue).await?;
    let after = after.map(|text| cursor::read(&text, definition.number, state)).transpose()?;
    let search = Search { queue: Some(queue), state, after, sieve, limit };
    let looking = async { Ok(handle.search(search).await?) };
    let found = while_there(&request, looking).await?;
    #[derive(Serialize)]
    struct Listed<'a> {
        messages: Vec<MessageView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        scanned: usize,
        complete: bool,
    }
    Ok(HttpResponse::Ok().json(Listed {
        messages: found.views.iter().map(MessageView::from).collect(),
        next: found.next.map(|next| cursor::write(next, definition.number, state)),
        scanned: found.scanned,
        complete: found.next.is_none(),
    }))
}

/// `GET /v1/topics/{topic}/queues/{queue}/messages/{id}`: the message and its life.
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let op = Op::Find { queue: Some(queue), id: message_id(&request)? };
    let views = views(handle.ask(op).await?)?;
    let view = views.first().ok_or(crate::broker::BrokerError::from(Refusal::MessageNotFound))?;
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        message: MessageView<'a>,
        life: Vec<Moment<'a>>,
    }
    Ok(HttpResponse::Ok().json(Shown { message: view.into(), life: life(view) }))
}
