//! Ack, nack, extend: by receipt or by id, one or many.

use super::Native;
use super::asking::{ask, unexpected};
use super::body::Body;
use super::caller::Who;
use super::names::{TopicPath, topic_name};
use super::object::object;
use super::problem::Problem;
use super::view::{Done, ResultView, Results};
use crate::broker::{BrokerError, Named, Op, Reply};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Which deliveries an ack, nack or extend means: exactly one of these.
struct Which {
    receipt: Option<String>,
    receipts: Option<Vec<String>>,
    ids: Option<Vec<String>>,
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

/// Exactly one of `receipt`, `receipts` and `ids` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AckBody {
    /// One receipt: the answer is 204 or a problem.
    receipt: Option<String>,
    /// Many: one result each.
    receipts: Option<Vec<String>>,
    /// By id, of messages in flight: one result each.
    ids: Option<Vec<String>>,
    /// The queue the ids are in; left out: `default`.
    #[schema(min_length = 1, max_length = 255)]
    queue: Option<String>,
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

/// `POST /v1/topics/{topic}/ack` with `{"receipt": ..}`, `{"receipts": [..]}` or `{"ids": [..], "queue": ..}`.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/ack", tag = "messages", operation_id = "ack",
    summary = "Ack deliveries: done, remove them",
    params(TopicPath),
    request_body(content = AckBody, example = json!({"receipt": "00000000000000000000000000000000"})),
    responses(
        (status = 204, description = "One receipt: done"),
        (status = 200, description = "Many: one result each", body = Results<ResultView<Done>>),
    ),
)]
pub async fn ack(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let AckBody { receipt, receipts, ids, queue } = object(&body)?;
    let (named, single) = Which { receipt, receipts, ids, queue }.named()?;
    match ask(&native, &who, &topic_name(&request)?, Op::Ack(named)).await?.0 {
        Reply::Done(results) => render_done(results, single, |()| Done { ok: true }),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// What becomes of a delivery that is not acked.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum NackMode {
    /// It failed: it counts, and comes again.
    #[default]
    Fail,
    /// It was not tried: it does not count.
    Release,
    /// It is a dead letter at once.
    Dead,
}

/// Exactly one of `receipt`, `receipts` and `ids` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NackBody {
    /// One receipt: the answer is 204 or a problem.
    receipt: Option<String>,
    /// Many: one result each.
    receipts: Option<Vec<String>>,
    /// By id, of messages in flight: one result each.
    ids: Option<Vec<String>>,
    /// The queue the ids are in; left out: `default`.
    #[schema(min_length = 1, max_length = 255)]
    queue: Option<String>,
    /// What becomes of them.
    #[serde(default)]
    mode: NackMode,
    /// Not visible for this long; instead of the queue's backoff.
    #[schema(maximum = 315360000000u64)]
    delay_ms: Option<u64>,
    /// What went wrong; kept with the message.
    error: Option<String>,
}

/// `POST /v1/topics/{topic}/nack`: as ack, with `mode` (`fail`, `release`, `dead`), `delay_ms`, `error`.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/nack", tag = "messages", operation_id = "nack",
    summary = "Nack deliveries: not done, make them ready again",
    params(TopicPath),
    request_body(content = NackBody, example = json!({"receipt": "00000000000000000000000000000000", "error": "no such customer"})),
    responses(
        (status = 204, description = "One receipt: done"),
        (status = 200, description = "Many: one result each", body = Results<ResultView<Done>>),
    ),
)]
pub async fn nack(request: HttpRequest, who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let NackBody { receipt, receipts, ids, queue, mode, delay_ms, error } = object(&body)?;
    if delay_ms.is_some_and(|ms| ms > policy::DURATION_MS_MAX) {
        return Err(Problem::invalid("`delay_ms` must be at most ten years"));
    }
    let delay = delay_ms.map(Duration::from_millis);
    let how = match mode {
        NackMode::Fail => Nack::Fail { delay, error },
        NackMode::Release => Nack::Release { delay },
        NackMode::Dead => Nack::Dead { error },
    };
    let (named, single) = Which { receipt, receipts, ids, queue }.named()?;
    let items = named.into_iter().map(|named| (named, how.clone())).collect();
    match ask(&native, &who, &topic_name(&request)?, Op::Nack(items)).await?.0 {
        Reply::Done(results) => render_done(results, single, |()| Done { ok: true }),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// Exactly one of `receipt`, `receipts` and `ids` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ExtendBody {
    /// One receipt: the answer is 204 or a problem.
    receipt: Option<String>,
    /// Many: one result each.
    receipts: Option<Vec<String>>,
    /// By id, of messages in flight: one result each.
    ids: Option<Vec<String>>,
    /// The queue the ids are in; left out: `default`.
    #[schema(min_length = 1, max_length = 255)]
    queue: Option<String>,
    /// How long from now.
    #[schema(minimum = 1, maximum = 315360000000u64)]
    ack_deadline_ms: u64,
}

/// It takes longer.
#[derive(Serialize, ToSchema)]
struct Extended {
    /// True.
    ok: bool,
    /// Until when it may be acked now.
    deadline_ms: i64,
}

/// One receipt: how long it is good; many: one result each.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum ExtendedOne {
    Many(Results<ResultView<Extended>>),
    One(Extended),
}

/// `POST /v1/topics/{topic}/extend`: as ack, with `ack_deadline_ms` from now.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/extend", tag = "messages", operation_id = "extend",
    summary = "Extend deliveries: they take longer",
    params(TopicPath),
    request_body(content = ExtendBody, example = json!({"receipt": "00000000000000000000000000000000", "ack_deadline_ms": 60000})),
    responses(
        (status = 200, description = "One receipt: until when; many: one result each", body = ExtendedOne),
    ),
)]
pub async fn extend(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let ExtendBody { receipt, receipts, ids, queue, ack_deadline_ms } = object(&body)?;
    if ack_deadline_ms == 0 || ack_deadline_ms > policy::DURATION_MS_MAX {
        return Err(Problem::invalid("`ack_deadline_ms` must be between 1 and ten years"));
    }
    let (named, single) = Which { receipt, receipts, ids, queue }.named()?;
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
