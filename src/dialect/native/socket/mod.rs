//! `GET /v1/ws`: one socket for many topics. A client publishes, subscribes to pubsub topics,
//! consumes queues, asks and replies; each request may have a name, which its answer repeats.
//!
//! - `request.rs` and `answer.rs` are what is said, pure; `incoming.rs` and `outgoing.rs` are the two
//!   directions of the socket.
//! - `session.rs` is the loop of one conversation: what one reading held goes to each topic as one
//!   mailbox message (`round.rs`), `work.rs` is what each request does.
//! - `flights.rs` are the deliveries that the client holds, `calls.rs` the requests that wait for a
//!   reply, `figures.rs` what is counted.
//!
//! Everything is bounded: a message, the requests that are unanswered and their bytes, the
//! subscriptions, what each consumer holds, the requests that wait, and what a client that reads
//! slowly may leave unsent. At its bound the socket is not read on, or a request is refused.

mod answer;
mod calls;
mod figures;
mod flights;
mod incoming;
mod outgoing;
mod request;
mod round;
mod session;
mod work;

pub use figures::{Family, Figures};

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use incoming::Input;
use outgoing::Outbox;
use session::Session;

/// Opens the socket.
pub async fn open(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let mut response =
        ws::handshake(&request).map_err(|error| Problem::invalid(format!("WebSocket: {error}")))?;
    let input = Input::new(payload, native.ws.message_bytes_max);
    let (outbox, outgoing) = Outbox::new(native.broker.connection("websocket"));
    actix_web::rt::spawn(Session::new(native, who.0, outbox).run(input));
    Ok(response.streaming(outgoing))
}
