//! Replies from those who work over HTTP to requests that came in over a socket.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::object::object;
use super::problem::Problem;
use super::publish::PublishBody;
use crate::broker::{Replied, ReplyAddress, clock};
use crate::queue::{Extra, NewMessage};
use actix_web::{HttpResponse, web};
use std::sync::Arc;

/// What a message says as a reply: a body and attributes, and nothing else.
pub fn replied(correlation: String, message: NewMessage) -> Result<Replied, Problem> {
    let named = message.own_id().is_some();
    let NewMessage { body, extra } = message;
    let extra = extra.map(Arc::unwrap_or_clone).unwrap_or_default();
    let attributes = extra.attributes.clone();
    if named || (Extra { attributes: None, ..extra }) != Extra::default() {
        return Err(Problem::invalid("a reply has a body and attributes only"));
    }
    Ok(Replied { correlation, body: body.into_body(), attributes })
}

/// `POST /v1/replies/{address}/{correlation}` with a message: 204, or 404 when nobody waits there.
#[utoipa::path(
    post, path = "/v1/replies/{address}/{correlation}", tag = "push", operation_id = "reply",
    summary = "Reply to a request",
    params(
        ("address" = String, Path, description = "The request's attribute `reply-to`."),
        ("correlation" = String, Path, description = "The request's attribute `correlation-id`."),
    ),
    request_body(content = PublishBody, example = json!({"body": "pong"})),
    responses((status = 204, description = "It is on its way")),
)]
pub async fn reply(
    who: Who,
    native: web::Data<Native>,
    path: web::Path<(String, String)>,
    body: Body,
) -> Result<HttpResponse, Problem> {
    let (address, correlation) = path.into_inner();
    let to: ReplyAddress = address.parse()?;
    let message = object::<PublishBody<'_>>(&body)?.message(clock::now(), None)?;
    native.broker.reply(&who.0, to, replied(correlation, message)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
