//! Receiving: messages as JSON, or one as its bare bytes.

use super::asking::{ask, unexpected};
use super::caller::Who;
use super::headers;
use super::message_view::DeliveryView;
use super::names::{QueuePath, TopicPath, queue_name, topic_name};
use super::publish::accepts;
use super::{Native, problem::Problem};
use crate::broker::{Op, Reply};
use crate::dialect::long_poll::{self, Polled};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How to receive, in the query.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReceiveQuery {
    /// Most messages.
    #[param(minimum = 1, default = 1)]
    max: usize,
    /// How long to wait for the first; at most `http.wait_max_s`.
    #[param(default = 0, maximum = 60000)]
    wait_ms: u64,
    /// How long until it must be acked; the queue's own when absent.
    #[param(minimum = 1, maximum = 315360000000u64, nullable = false)]
    ack_deadline_ms: Option<u64>,
    /// Gone when handed out: no ack follows.
    #[param(default = false)]
    take: bool,
}

impl Default for ReceiveQuery {
    fn default() -> Self {
        ReceiveQuery { max: 1, wait_ms: 0, ack_deadline_ms: None, take: false }
    }
}

/// Messages that were received.
#[derive(Serialize, ToSchema)]
struct DeliveredView<'a> {
    messages: Vec<DeliveryView<'a>>,
}

/// `POST /v1/topics/{topic}/receive?max=&wait_ms=&ack_deadline_ms=&take=`, from the queue `default`.
///
/// 200 and the messages, none when there are none. Who accepts `application/octet-stream` gets one
/// message as its bytes with the rest in headers, 204 when there is none.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/receive", tag = "messages", operation_id = "receive",
    summary = "Receive messages",
    params(TopicPath, ReceiveQuery),
    responses(
        (status = 200, description = "The messages, none when there are none", content(
            (DeliveredView = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        (status = 204, description = "With `Accept: application/octet-stream`: there is none"),
    ),
)]
pub async fn receive(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
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
    let raw = accepts(&request, "application/octet-stream");
    if raw && query.max != 1 {
        return Err(Problem::invalid("as bare bytes there is one message: `max` must be 1"));
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
    let deliveries = match reply {
        Reply::Delivered(deliveries) => deliveries,
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    if raw {
        let delivery = deliveries.into_iter().next();
        let answer = delivery.map(headers::delivered);
        return Ok(answer.unwrap_or_else(|| HttpResponse::NoContent().finish()));
    }
    let messages = deliveries.iter().map(DeliveryView::from).collect();
    Ok(HttpResponse::Ok().json(DeliveredView { messages }))
}

/// `POST /v1/topics/{topic}/queues/{queue}/receive`, from that queue.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/receive", tag = "messages", operation_id = "receive_from",
    summary = "Receive from one queue",
    params(QueuePath, ReceiveQuery),
    responses(
        (status = 200, description = "The messages, none when there are none", content(
            (DeliveredView = "application/json"),
            (Vec<u8> = "application/octet-stream"),
        )),
        (status = 204, description = "With `Accept: application/octet-stream`: there is none"),
    ),
)]
pub async fn receive_from(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    receive(request, who, native).await
}
