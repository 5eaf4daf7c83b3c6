//! Ack, nack, extend: by receipt or by id, one or many.

use super::Native;
use super::asking::{ask, unexpected};
use super::body::Body;
use super::caller::Who;
use super::names::topic_name;
use super::object::object;
use super::problem::Problem;
use super::view::{Done, ResultView, Results};
use crate::broker::{BrokerError, Named, Op, Reply};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Duration;

type Answer = Result<HttpResponse, Problem>;

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
