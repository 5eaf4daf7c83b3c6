//! Messages that wait are made to wait until another time.

use super::Native;
use super::asking::{queue_of, unexpected};
use super::body::Body;
use super::caller::Who;
use super::names::QueuePath;
use super::object::object;
use super::problem::Problem;
use super::view::{Done, ResultView, Results};
use crate::broker::{Op, Reply};
use crate::queue::{MessageId, policy};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use std::time::Duration;
use utoipa::ToSchema;

/// Which messages are to wait, and how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DelayBody {
    ids: Vec<String>,
    /// 0: they are ready now.
    #[schema(maximum = 315360000000u64)]
    delay_ms: u64,
}

/// `POST /v1/topics/{topic}/queues/{queue}/delay` with `{"ids": [..], "delay_ms"}`: messages that are
/// ready or delayed are ready after that time; 0: now. 200 and one result each.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/delay", tag = "moving", operation_id = "delay",
    summary = "Make waiting messages ready at another time",
    params(QueuePath),
    request_body(content = DelayBody, example = json!({"ids": ["order-1"], "delay_ms": 60000})),
    responses((status = 200, description = "A result for each", body = Results<ResultView<Done>>)),
)]
pub async fn delay(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let DelayBody { ids, delay_ms } = object(&body)?;
    if delay_ms > policy::DURATION_MS_MAX {
        return Err(Problem::invalid("`delay_ms` must be at most ten years"));
    }
    let (handle, queue) = queue_of(&request, &native, &who).await?;
    let ids = ids.into_iter().map(|text| MessageId::parse(text.as_bytes())).collect();
    let delay = Duration::from_millis(delay_ms);
    let results = match handle.ask(Op::Delay { queue: Some(queue), ids, delay }).await? {
        Reply::Done(results) => results,
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    let view = |result| ResultView::of(result, |()| Done { ok: true });
    Ok(HttpResponse::Ok().json(Results { results: results.into_iter().map(view).collect() }))
}
