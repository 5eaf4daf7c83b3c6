//! The dead letters of all topics.

use super::Native;
use super::caller::Who;
use super::cursor;
use super::looking::{PAGE, PAGE_MAX, while_there};
use super::message_view::MessageView;
use super::problem::Problem;
use super::query::Query;
use super::sieves::{self, SieveQuery};
use crate::broker::{DeadSearch, clock};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

fn named<T, E: std::fmt::Display>(
    query: &mut Query,
    name: &str,
    parse: impl FnOnce(Vec<u8>) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    let parsed = query.text(name)?.map(|text| parse(text.into_bytes())).transpose();
    parsed.map_err(|error| Problem::invalid(format!("query: {name}: {error}")))
}

/// A dead letter, and where it is.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterView)]
struct Letter<'a> {
    topic: String,
    queue: String,
    #[serde(flatten)]
    message: MessageView<'a>,
}

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLettersView)]
struct Listed<'a> {
    messages: Vec<Letter<'a>>,
    /// Where to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// How many messages, and queues without any, were looked at.
    scanned: usize,
    /// There is no more to look at.
    complete: bool,
}

/// `GET /v1/dead?topic=&queue=&limit=&after=` and what they must be like, as for the list of one
/// queue. `complete` is false when there is more to look at, behind `next`.
#[utoipa::path(
    get, path = "/v1/dead", tag = "looking", operation_id = "list_dead",
    summary = "List the dead letters of all topics",
    params(
        ("topic" = Option<String>, Query, nullable = false, min_length = 1, max_length = 255, description = "Only of this topic."),
        ("queue" = Option<String>, Query, nullable = false, min_length = 1, max_length = 255, description = "Only of queues of this name."),
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most messages, never above 1000; 100 when left out."),
        ("after" = Option<String>, Query, nullable = false, description = "`next` of the page before."),
        SieveQuery,
    ),
    responses((status = 200, description = "A page", body = Listed)),
)]
pub async fn list(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let topic = named(&mut query, "topic", TopicName::parse)?;
    let queue = named(&mut query, "queue", QueueName::parse)?;
    let limit = query.count("limit", PAGE, PAGE_MAX)?;
    let from = query.text("after")?.map(|text| cursor::read_dead(&text)).transpose()?;
    let sieve = sieves::in_query(&mut query, clock::now())?;
    query.done()?;
    let search = DeadSearch { topic, queue, from, sieve, limit };
    let looking = async { Ok(native.broker.search_dead(&who.0, search).await?) };
    let found = while_there(&request, looking).await?;
    let messages = found.letters.iter().map(|(topic, queue, view)| Letter {
        topic: String::from_utf8_lossy(topic.as_bytes()).into_owned(),
        queue: String::from_utf8_lossy(queue.as_bytes()).into_owned(),
        message: view.into(),
    });
    Ok(HttpResponse::Ok().json(Listed {
        messages: messages.collect(),
        next: found.next.map(cursor::write_dead),
        scanned: found.scanned,
        complete: found.next.is_none(),
    }))
}
