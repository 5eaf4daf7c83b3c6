//! The door for fastqueue's clients: its REST API, at the root of a port of its own or below a path of
//! the native one.
//!
//! A queue is known here by its id alone: a global queue by its name, the queue `default` of a topic by
//! the topic's name, any other as `topic/queue` (the slash percent-encoded). Each request is parsed
//! into the broker's words, asked, and shown in fastqueue's; no rules here.

mod answer;
mod body;
mod docs;
pub mod fault;
pub mod ids;
pub mod json;
mod known;
mod messages;
mod meters;
mod openapi;
mod queues;
pub mod route;
pub mod schema;
mod time;
mod topics;
mod view;

pub use meters::Meters;

use super::body::BodyTimeout;
use super::caller::Gate;
use super::path::{percent_decode, query_value};
use crate::broker::{Broker, BrokerError, Caller, Op, Reply, TopicHandle};
use crate::config::FastqueueConfig;
use crate::queue::{QueueName, Refusal, TopicName};
use actix_web::{HttpRequest, HttpResponse, Scope, http::header, web};
use answer::Answer;
use fault::Fault;
use json::Value;
use known::{FoundQueue, Known};
use route::{Found, Route};
use std::{borrow::Cow, sync::Arc, time::Instant};

type Replied = Result<Answer, Answer>;

/// What the requests at one worker share.
pub struct Fastqueue {
    broker: Broker,
    gate: Gate,
    settings: Arc<FastqueueConfig>,
    meters: Arc<Meters>,
    known: Known,
    /// The path it is mounted below.
    path: String,
}

impl Fastqueue {
    /// For one worker. `meters` counts for all of them.
    pub fn new(
        broker: Broker,
        gate: Gate,
        settings: Arc<FastqueueConfig>,
        meters: Arc<Meters>,
    ) -> Self {
        let known = Known::new(broker.clone());
        let path = String::new();
        Fastqueue { broker, gate, settings, meters, known, path }
    }
}

/// All that is found below `path`.
pub fn scope(
    path: &str,
    door: Fastqueue,
    request_bytes_max: usize,
    body_timeout: BodyTimeout,
) -> Scope {
    let door = Fastqueue { path: path.to_owned(), ..door };
    web::scope(path)
        .app_data(web::Data::new(door))
        .app_data(web::PayloadConfig::new(request_bytes_max))
        .app_data(body_timeout)
        .default_service(web::to(serve))
}

async fn serve(
    request: HttpRequest,
    payload: web::Payload,
    door: web::Data<Fastqueue>,
) -> HttpResponse {
    let begun = Instant::now();
    let path = request.uri().path();
    let found = route::find(path.strip_prefix(door.path.as_str()).unwrap_or(path));
    let length = |name| request.headers().get(name)?.to_str().ok()?.parse::<u64>().ok();
    let sent = length(header::CONTENT_LENGTH).unwrap_or(0);
    let (route, answer) = match found {
        Found::Route(route, id) if route.takes(request.method().as_str()) => {
            let answer = handle(&door, route, id, &request, payload).await;
            (route, answer.unwrap_or_else(|refusal| refusal))
        }
        Found::Route(route, _) => (route, not_allowed(route)),
        Found::OtherSlash(route) => (route, other_slash(&request)),
        Found::Nothing => (Route::Unknown, Answer::detail(404, "Not Found")),
    };
    let method = request.method().as_str();
    door.meters.count(route, method, answer.status, (sent, answer.len() as u64), begun.elapsed());
    answer.response()
}

fn not_allowed(route: Route) -> Answer {
    Answer::detail(405, "Method Not Allowed").with(header::ALLOW, route.methods().to_owned())
}

/// Sends the client to the path without the final slash.
fn other_slash(request: &HttpRequest) -> Answer {
    let info = request.connection_info();
    let (scheme, host) = (info.scheme(), info.host());
    let path = request.uri().path().trim_end_matches('/');
    let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
    let location = format!("{scheme}://{host}{path}{query}");
    Answer::of(307, None, web::Bytes::new()).with(header::LOCATION, location)
}

fn unexpected() -> Answer {
    BrokerError::Unavailable.into()
}

/// A request of a caller who was let in.
struct Asked<'a> {
    door: &'a Fastqueue,
    caller: Caller,
    request: &'a HttpRequest,
    /// What the path names, decoded.
    id: Cow<'a, [u8]>,
}

impl Asked<'_> {
    fn query(&self) -> &str {
        self.request.uri().query().unwrap_or_default()
    }

    /// `offset` and `limit` of a list; all that is wrong with them.
    fn page(&self) -> Result<(usize, usize), Answer> {
        let mut faults: Vec<Fault> = Vec::new();
        let mut number = |name, usual| match query_value(self.query(), name) {
            None => usual,
            Some(text) => match schema::query_integer(name, &text) {
                Ok(value) => usize::try_from(value).unwrap_or(usize::MAX),
                Err(fault) => {
                    faults.push(fault);
                    usual
                }
            },
        };
        let page = (number("offset", 0), number("limit", 10));
        match faults.is_empty() {
            true => Ok(page),
            false => Err(Answer::json(422, fault::detail(&faults))),
        }
    }

    async fn topic(&self) -> Result<TopicHandle, Answer> {
        let name = TopicName::parse(&self.id).map_err(|_| Answer::no_topic())?;
        Ok(self.door.known.topic(&self.caller, &name).await?)
    }

    async fn queue(&self) -> Result<FoundQueue, Answer> {
        Ok(self.door.known.queue(&self.caller, &self.id).await?)
    }

    /// Asks the queue of the path. One that went to another topic meanwhile is asked there.
    async fn ask_queue(
        &self,
        op: impl Fn(Option<QueueName>) -> Op,
    ) -> Result<(Reply, FoundQueue), Answer> {
        let mut tries = 0;
        loop {
            let found = self.queue().await?;
            let reply = found.topic.ask(op(Some(found.definition.name.clone()))).await?;
            tries += 1;
            match reply {
                Reply::Failed(
                    BrokerError::TopicNotFound(_) | BrokerError::Refused(Refusal::QueueNotFound),
                ) if tries < 3 => (),
                Reply::Failed(BrokerError::TopicNotFound(_)) => return Err(Answer::no_queue()),
                Reply::Failed(error) => return Err(error.into()),
                reply => return Ok((reply, found)),
            }
        }
    }
}

async fn handle(
    door: &Fastqueue,
    route: Route,
    id: &str,
    request: &HttpRequest,
    payload: web::Payload,
) -> Replied {
    // What asks nothing of the broker is for everybody.
    match route {
        Route::Health => return Ok(health(door)),
        Route::OpenApi => return Ok(openapi::answer(door)),
        Route::Docs | Route::Redoc | Route::OAuthRedirect => return Ok(docs::answer()),
        _ => (),
    }
    let body = body::read(request, payload).await?;
    let claim = door.gate.claim(request)?;
    let caller = door.gate.caller(claim).await?;
    let id = match id.contains('%') {
        true => Cow::Owned(percent_decode(id.as_bytes())),
        false => Cow::Borrowed(id.as_bytes()),
    };
    let asked = &Asked { door, caller, request, id };
    let method = request.method().as_str();
    match (route, method) {
        (Route::TopicMessages, _) => {
            let new = checked(asked, &body, schema::CreateMessage::check)?;
            messages::publish(asked, new).await
        }
        (Route::QueueMessages, _) => messages::consume(asked).await,
        (Route::Ack, _) => messages::ack(asked).await,
        (Route::Nack, _) => messages::nack(asked).await,
        (Route::Stats, _) => queues::stats(asked).await,
        (Route::Purge, _) => queues::purge(asked).await,
        (Route::Redrive, _) => {
            let to = checked(asked, &body, schema::Redrive::check)?;
            queues::redrive(asked, to).await
        }
        (Route::Queues, "POST") => {
            let check = |body: Option<&Value<'_>>| schema::CreateQueue::check(body, &door.settings);
            queues::create(asked, checked(asked, &body, check)?).await
        }
        (Route::Queues, _) => queues::list(asked).await,
        (Route::Queue, "PUT") => {
            let check =
                |body: Option<&Value<'_>>| schema::QueueSettings::check(body, &door.settings);
            queues::update(asked, checked(asked, &body, check)?).await
        }
        (Route::Queue, "DELETE") => queues::delete(asked).await,
        (Route::Queue, _) => queues::show(asked).await,
        (Route::Topics, "POST") => {
            topics::create(asked, checked(asked, &body, schema::CreateTopic::check)?).await
        }
        (Route::Topics, _) => topics::list(asked).await,
        (Route::Topic, "DELETE") => topics::delete(asked).await,
        (Route::Topic, _) => topics::show(asked).await,
        (Route::Metrics, _) => Ok(door.meters.answer(&door.broker.state())),
        (
            Route::Health
            | Route::OpenApi
            | Route::Docs
            | Route::Redoc
            | Route::OAuthRedirect
            | Route::Unknown,
            _,
        ) => Ok(Answer::detail(404, "Not Found")),
    }
}

/// Reads a body and checks it against a schema.
fn checked<T>(
    asked: &Asked<'_>,
    body: &[u8],
    check: impl FnOnce(Option<&Value<'_>>) -> Result<T, Vec<Fault>>,
) -> Result<T, Answer> {
    let value = body::parse(asked.request, body, asked.door.settings.nesting_max)?.value();
    check(value.as_ref()).map_err(|faults| Answer::json(422, fault::detail(&faults)))
}

/// `GET /health`: the broker takes work.
fn health(door: &Fastqueue) -> Answer {
    match door.broker.is_started() && !door.broker.is_stopping() {
        true => Answer::json(200, b"{\"success\":true}".to_vec()),
        false => Answer::json(500, b"{\"success\":false}".to_vec()),
    }
}
