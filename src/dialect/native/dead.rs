//! The dead letters of all topics.

use super::Native;
use super::caller::Who;
use super::cursor;
use super::looking::{PAGE, PAGE_MAX, while_there};
use super::message_view::MessageView;
use super::problem::Problem;
use super::query::Query;
use super::sieves;
use crate::broker::{DeadSearch, clock};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

fn named<T, E: std::fmt::Display>(
    query: &mut Query,
    name: &str,
    parse: impl FnOnce(Vec<u8>) -> Result<T, E>,
) -> Result<Option<T>, Problem> {
    let parsed = query.text(name)?.map(|text| parse(text.into_bytes())).transpose();
    parsed.map_err(|error| Problem::invalid(format!("query: {name}: {error}")))
}

/// `GET /v1/dead?topic=&queue=&limit=&after=` and what they must be like, as for the list of one
/// queue. `complete` is false when there is more to look at, behind `next`.
pub async fn list(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let topic = named(&mut query, "topic", TopicName::parse)?;
    let queue = named(&mut query, "queue", QueueName::parse)?;
    let limit = query.value("limit")?.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let from = query.text("after")?.map(|text| cursor::read_dead(&text)).transpose()?;
    let sieve = sieves::in_query(&mut query, clock::now())?;
    query.done()?;
    let search = DeadSearch { topic, queue, from, sieve, limit };
    let looking = async { Ok(native.broker.search_dead(&who.0, search).await?) };
    let found = while_there(&request, looking).await?;
    #[derive(Serialize)]
    struct Letter<'a> {
        topic: String,
        queue: String,
        #[serde(flatten)]
        message: MessageView<'a>,
    }
    #[derive(Serialize)]
    struct Listed<'a> {
        messages: Vec<Letter<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
        scanned: usize,
        complete: bool,
    }
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
