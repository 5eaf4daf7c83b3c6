//! Publish, receive, ack, nack, extend.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::object::{Object, json, object};
use super::problem::Problem;
use super::view::{DeliveryView, PlacedView, PublishBody, ResultView};
use crate::broker::{BrokerError, Named, Op, Reply, TopicHandle, clock};
use crate::dialect::long_poll::{self, Polled};
use crate::dialect::path::percent_decode;
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Duration;

type Answer = Result<HttpResponse, Problem>;

/// Where the path has the name of a topic or a user, and where that of a queue; segment 0 is what
/// stands before the first slash.
const TOPIC: usize = 3;
const QUEUE: usize = 5;

/// The bytes of one segment of the path. Taken from the path as it was sent: the router has
/// decoded its own copy as text, and names need not be text.
fn segment(request: &HttpRequest, at: usize) -> Option<Vec<u8>> {
    let raw = request.uri().path().split('/').nth(at)?;
    Some(percent_decode(raw.as_bytes()))
}

/// The topic named in the path.
pub fn topic_name(request: &HttpRequest) -> Result<TopicName, Problem> {
    let bytes = segment(request, TOPIC).unwrap_or_default();
    TopicName::parse(bytes).map_err(|error| Problem::invalid(format!("topic: {error}")))
}

/// The user named in the path.
pub fn user_name(request: &HttpRequest) -> Result<String, Problem> {
    let bytes = segment(request, TOPIC).unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Problem::invalid("user: not UTF-8"))
}

/// The queue named in the path, if there is one.
pub fn queue_name(request: &HttpRequest) -> Result<Option<QueueName>, Problem> {
    let Some(bytes) = segment(request, QUEUE) else { return Ok(None) };
    QueueName::parse(bytes).map(Some).map_err(|error| Problem::invalid(format!("queue: {error}")))
}

/// Asks the topic of the path one op. A topic that was deleted and made anew since the worker
/// learnt its address is asked again at its new one.
async fn ask(
    native: &Native,
    who: &Who,
    name: &TopicName,
    op: Op,
) -> Result<(Reply, TopicHandle), Problem> {
    let handle = native.topic(&who.0, name).await?;
    let reply = handle.ask(op).await?;
    Ok((reply, handle))
}

fn unexpected() -> Problem {
    BrokerError::Unavailable.into()
}

/// `POST /v1/topics/{topic}/messages` (into every queue that takes it) or
/// `.../queues/{queue}/messages` (into that queue): a JSON object is one message and answers 201;
/// an array is many and answers 200 with one result each.
pub async fn publish(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let (name, to) = (topic_name(&request)?, queue_name(&request)?);
    let now = clock::now();
    let many = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let messages = if many {
        let items: Vec<Object<PublishBody<'_>>> = json(&body)?;
        items.into_iter().map(|Object(item)| item.message(now)).collect::<Result<Vec<_>, _>>()?
    } else {
        vec![object::<PublishBody<'_>>(&body)?.message(now)?]
    };
    let own: Vec<Option<String>> = messages.iter().map(own_id).collect();
    let (reply, handle) = ask(&native, &who, &name, Op::Publish { to, messages }).await?;
    let durability = handle.durability();
    let results = match reply {
        Reply::Published(results) => results,
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    if many {
        let view = |own| move |placed: Placed| PlacedView::new(&placed, own, durability);
        let results: Vec<_> = results
            .into_iter()
            .zip(own)
            .map(|(result, own)| ResultView::of(result, view(own)))
            .collect();
        return Ok(HttpResponse::Ok().json(Results { results }));
    }
    let placed = results.into_iter().next().ok_or_else(unexpected)??;
    let own = own.into_iter().next().flatten();
    Ok(HttpResponse::Created().json(PlacedView::new(&placed, own, durability)))
}

/// What the publisher calls it.
fn own_id(message: &NewMessage) -> Option<String> {
    message.own_id().map(|id| String::from_utf8_lossy(id).into_owned())
}

#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// How to receive, in the query.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveQuery {
    /// Most messages.
    max: usize,
    /// How long to wait for the first.
    wait_ms: u64,
    /// How long until it must be acked; the queue's own when absent.
    ack_deadline_ms: Option<u64>,
    /// Gone when handed out: no ack follows.
    take: bool,
}

impl Default for ReceiveQuery {
    fn default() -> Self {
        ReceiveQuery { max: 1, wait_ms: 0, ack_deadline_ms: None, take: false }
    }
}

/// `POST /v1/topics/{topic}/receive?max=&wait_ms=&ack_deadline_ms=&take=`, or of a queue: 200 and
/// the messages, none when there are none.
pub async fn receive(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (name, queue) = (topic_name(&request)?, queue_name(&request)?);
    let query = web::Query::<ReceiveQuery>::from_query(request.query_string())
        .map_err(|error| Problem::invalid(format!("query: {error}")))?
        .into_inner();
    let wait_max_ms = native.http.wait_max_s.saturating_mul(1000);
    if query.max == 0 || query.wait_ms > wait_max_ms {
        return Err(Problem::invalid(format!(
            "`max` must be at least 1 and `wait_ms` at most {wait_max_ms}"
        )));
    }
    let ack_deadline = query.ack_deadline_ms.map(Duration::from_millis);
    if query.ack_deadline_ms.is_some_and(|ms| ms == 0 || ms > policy::DURATION_MS_MAX) {
        return Err(Problem::invalid("`ack_deadline_ms` must be between 1 and ten years"));
    }
    let receive = Receive {
        max: query.max,
        bytes_max: usize::MAX,
        ack_deadline,
        take: query.take,
        from_back: false,
    };
    let wait = (query.wait_ms > 0).then(|| Duration::from_millis(query.wait_ms));
    let op = Op::Receive { queue, request: receive, wait };
    let reply = match wait {
        None => ask(&native, &who, &name, op).await?.0,
        Some(_) => {
            let topic = native.topic(&who.0, &name).await?;
            match long_poll::ask(&request, &topic, vec![op]).await? {
                Polled::Replies(mut replies) => replies.pop().ok_or_else(unexpected)?,
                Polled::Left => Reply::Delivered(Vec::new()),
            }
        }
    };
    match reply {
        Reply::Delivered(deliveries) => {
            #[derive(Serialize)]
            struct Messages<'a> {
                messages: Vec<DeliveryView<'a>>,
            }
            let messages = deliveries.iter().map(DeliveryView::from).collect();
            Ok(HttpResponse::Ok().json(Messages { messages }))
        }
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// Which deliveries an ack, nack or extend means.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    /// One receipt: the answer is 204 or a problem.
    receipt: Option<String>,
    /// Many: one result each.
    receipts: Option<Vec<String>>,
    /// By id, of messages in flight: one result each.
    ids: Option<Vec<String>>,
    /// The queue the ids are in.
    queue: Option<String>,
}

impl Which {
    /// The deliveries, and whether there is just one.
    fn named(self) -> Result<(Vec<Named>, bool), Problem> {
        let receipt = |text: String| {
            text.parse()
                .map(Named::Receipt)
                .map_err(|error: message::NotAReceipt| Problem::invalid(error.to_string()))
        };
        match (self.receipt, self.receipts, self.ids) {
            (Some(one), None, None) => Ok((vec![receipt(one)?], true)),
            (None, Some(many), None) => {
                Ok((many.into_iter().map(receipt).collect::<Result<_, _>>()?, false))
            }
            (None, None, Some(ids)) => {
                let queue = self.queue.map(QueueName::parse).transpose();
                let queue = queue.map_err(|error| Problem::invalid(format!("queue: {error}")))?;
                let named = |id: String| Named::Id {
                    queue: queue.clone(),
                    id: MessageId::parse(id.as_bytes()),
                };
                Ok((ids.into_iter().map(named).collect(), false))
            }
            _ => Err(Problem::invalid(
                "exactly one of `receipt`, `receipts` and `ids` must be given",
            )),
        }
    }
}

#[derive(Debug, Deserialize)]
struct AckBody {
    #[serde(flatten)]
    which: Which,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// Fields that no part of a flattened body took.
fn refuse_unknown(rest: &serde_json::Map<String, serde_json::Value>) -> Result<(), Problem> {
    match rest.keys().next() {
        Some(key) => Err(Problem::invalid(format!("unknown field `{key}`"))),
        None => Ok(()),
    }
}

fn render_done<T: Serialize, S>(
    results: Vec<Result<S, BrokerError>>,
    single: bool,
    view: impl Fn(S) -> T,
) -> Answer {
    if single {
        let value = results.into_iter().next().ok_or_else(unexpected)??;
        let rendered = serde_json::to_value(view(value)).unwrap_or_default();
        return Ok(if rendered.as_object().is_some_and(|fields| fields.len() > 1) {
            HttpResponse::Ok().json(rendered)
        } else {
            HttpResponse::NoContent().finish()
        });
    }
    let results: Vec<_> = results.into_iter().map(|result| ResultView::of(result, &view)).collect();
    Ok(HttpResponse::Ok().json(Results { results }))
}

#[derive(Serialize)]
struct Done {
    ok: bool,
}

/// `POST /v1/topics/{topic}/ack` with `{"receipt": ..}`, `{"receipts": [..]}` or `{"ids": [..], "queue": ..}`.
pub async fn ack(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let AckBody { which, rest } = object(&body)?;
    refuse_unknown(&rest)?;
    let (named, single) = which.named()?;
    match ask(&native, &who, &topic_name(&request)?, Op::Ack(named)).await?.0 {
        Reply::Done(results) => render_done(results, single, |()| Done { ok: true }),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum NackMode {
    #[default]
    Fail,
    Release,
    Dead,
}

#[derive(Debug, Deserialize)]
struct NackBody {
    #[serde(flatten)]
    which: Which,
    #[serde(default)]
    mode: NackMode,
    delay_ms: Option<u64>,
    error: Option<String>,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

/// `POST /v1/topics/{topic}/nack`: as ack, with `mode` (`fail`, `release`, `dead`), `delay_ms`, `error`.
pub async fn nack(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let NackBody { which, mode, delay_ms, error, rest } = object(&body)?;
    refuse_unknown(&rest)?;
    if delay_ms.is_some_and(|ms| ms > policy::DURATION_MS_MAX) {
        return Err(Problem::invalid("`delay_ms` must be at most ten years"));
    }
    let delay = delay_ms.map(Duration::from_millis);
    let how = match mode {
        NackMode::Fail => Nack::Fail { delay, error },
        NackMode::Release => Nack::Release { delay },
        NackMode::Dead => Nack::Dead { error },
    };
    let (named, single) = which.named()?;
    let items = named.into_iter().map(|named| (named, how.clone())).collect();
    match ask(&native, &who, &topic_name(&request)?, Op::Nack(items)).await?.0 {
        Reply::Done(results) => render_done(results, single, |()| Done { ok: true }),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

#[derive(Debug, Deserialize)]
struct ExtendBody {
    #[serde(flatten)]
    which: Which,
    ack_deadline_ms: u64,
    #[serde(flatten)]
    rest: serde_json::Map<String, serde_json::Value>,
}

#[derive(Serialize)]
struct Extended {
    ok: bool,
    deadline_ms: i64,
}

/// `POST /v1/topics/{topic}/extend`: as ack, with `ack_deadline_ms` from now.
pub async fn extend(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let ExtendBody { which, ack_deadline_ms, rest } = object(&body)?;
    refuse_unknown(&rest)?;
    if ack_deadline_ms == 0 || ack_deadline_ms > policy::DURATION_MS_MAX {
        return Err(Problem::invalid("`ack_deadline_ms` must be between 1 and ten years"));
    }
    let (named, single) = which.named()?;
    let span = Duration::from_millis(ack_deadline_ms);
    let items = named.into_iter().map(|named| (named, span)).collect();
    match ask(&native, &who, &topic_name(&request)?, Op::Extend(items)).await?.0 {
        Reply::Extended(results) => {
            render_done(results, single, |deadline| Extended { ok: true, deadline_ms: deadline.0 })
        }
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}
