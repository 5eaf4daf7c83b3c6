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
pub mod request;
mod round;
mod session;
mod work;

pub use answer::{DeliveryLook, TEXT, delivery};
pub use figures::{Family, Figures, Reason};
pub use incoming::{End, Input, LEFT};
pub use outgoing::Outbox;

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use crate::broker::{Arrival, Caller, Closing, Presence, closing};
use crate::dialect::long_poll::{Leash, Peer};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use actix_web_actors::ws;
use session::Session;
use tokio::sync::oneshot;

/// The answer that opens a WebSocket, still without its stream.
pub fn handshake(request: &HttpRequest) -> Result<HttpResponseBuilder, Problem> {
    ws::handshake(request).map_err(|error| Problem::invalid(format!("WebSocket: {error}")))
}

/// Puts a session that came as this request on the list of connections.
pub fn present(
    request: &HttpRequest,
    native: &Native,
    caller: &Caller,
    door: &'static str,
) -> (Presence, Closing) {
    let limits = native.broker.limits();
    let pushes = limits.subscriber_chunks * limits.chunk_bytes;
    let (close, closing) = closing();
    let presence = native.broker.arrive(Arrival {
        door,
        peer: request.peer_addr(),
        user: caller.user().map(Into::into),
        buffer_bytes_max: native.ws.out_bytes_max.max(pushes) as u64,
        close,
    });
    (presence, closing)
}

/// What ends this request's connection.
pub fn leash(request: &HttpRequest) -> Option<Leash> {
    request.conn_data::<Peer>().map(Peer::leash)
}

/// For a stream that is not asked for more while its client does not read: told when somebody wants it
/// to end. A client that goes on not reading is cut off.
pub fn told_to_end(request: &HttpRequest, closing: Closing) -> oneshot::Receiver<()> {
    let (mut tell, told) = oneshot::channel();
    let leash = leash(request);
    actix_web::rt::spawn(async move {
        tokio::select! {
            () = closing => (),
            // The stream has ended by itself.
            () = tell.closed() => return,
        }
        let _ = tell.send(());
        tokio::time::sleep(outgoing::FAREWELL).await;
        leash.inspect(Leash::cut);
    });
    told
}

/// `GET /v1/ws`: opens the socket.
///
/// Then JSON objects go both ways, one per frame: `{"op": "subscribe", "topic": "news", "req": 1}` and the
/// like. The operations are `publish`, `subscribe`, `consume`, `ack`, `nack`, `extend`, `unsubscribe`,
/// `request`, `reply`, `ping`. The module `/ui/octoq.js` speaks it.
#[utoipa::path(
    get, path = "/v1/ws", tag = "push", operation_id = "socket",
    summary = "One WebSocket for many topics",
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
    let mut response = handshake(&request)?;
    let input = Input::new(payload, native.ws.message_bytes_max);
    let (presence, closing) = present(&request, &native, &who.0, "websocket");
    let (outbox, outgoing) = Outbox::new(presence, leash(&request));
    actix_web::rt::spawn(Session::new(native, who.0, outbox, closing).run(input));
    Ok(response.streaming(outgoing))
}
