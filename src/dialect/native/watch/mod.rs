//! `GET /v1/watch`: a screen of the broker, live. The client says which one it wants to see, and gets
//! its document at once, then once a second what has changed in it, as a JSON merge patch.
//!
//! - `request.rs` is what the client says, `patch.rs` what changes one document into another: pure.
//! - `screens.rs` makes the documents; `hub.rs`, one actor for all sockets, has each of them made once
//!   a second, whoever watches, and lets all see the same bytes; `session.rs` is one socket.
//!
//! A tick has at most `ui.tick_bytes_max` bytes: what is more comes a moment later, row by row. A client
//! that does not read gets no ticks, and what has changed meanwhile when it does.

mod hub;
mod patch;
mod request;
mod screens;
mod session;

pub use hub::Hub;
pub use screens::{attention_key, connection_view};

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::socket::{Input, Outbox, handshake, leash, present};
use crate::broker::BrokerError;
use actix_web::{HttpRequest, HttpResponse, web};
use session::Session;

/// Opens the socket. It is for those who may look at everything.
#[utoipa::path(
    get, path = "/v1/watch", tag = "push", operation_id = "watch",
    summary = "A screen of the broker, live",
    responses(
        (status = 101, description = "The socket is open"),
    ),
)]
pub async fn open(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    // Asked before anything else, so that it refuses whom it must.
    native.broker.looks(&who.0)?;
    let mut response = handshake(&request)?;
    let limit = native.ui.watchers_max;
    let Some(place) = native.hub.enter(limit) else {
        return Err(BrokerError::TooMany { what: "watching sockets", limit }.into());
    };
    let (presence, closing) = present(&request, &native, &who.0, "websocket");
    let (outbox, outgoing) = Outbox::new(presence, leash(&request));
    let input = Input::new(payload, native.ws.frame_bytes_max);
    actix_web::rt::spawn(Session::new(native, who.0, outbox, closing, place).run(input));
    Ok(response.streaming(outgoing))
}
