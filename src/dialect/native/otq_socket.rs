//! `GET /v1/otq`: otq over a WebSocket, for pages and for whoever gets through by HTTP only.
//!
//! Each text or binary message is a piece of the stream of bytes that would go over TCP, cut anywhere;
//! what comes back are binary messages, cut anywhere. Pipes of bounded length lie between the socket
//! and the conversation: a client that does not read is not read from.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::socket::{handshake, present};
use crate::broker::{Broker, Caller, connections::Closing};
use crate::dialect::websocket::{self, Frames, Incoming, Opcode, code};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, Stream, StreamExt as _, future::LocalBoxFuture};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt as _, DuplexStream, ReadBuf, ReadHalf, WriteHalf},
    sync::mpsc,
    time::{Interval, interval},
};

/// Answers to pings, and pings, that may wait behind each other; a client that does not read them
/// loses some.
const CONTROL_FRAMES: usize = 16;
/// Most bytes of one message to the client.
const MESSAGE_BYTES: usize = 16 << 10;

/// Opens the socket; the caller is logged in already.
#[utoipa::path(
    get, path = "/v1/otq", tag = "push", operation_id = "otq",
    summary = "otq over WebSocket",
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
    let (ours, theirs) = tokio::io::duplex(native.ws.frame_bytes_max);
    let (presence, closing) = present(&request, &native, &who.0, "otq");
    let caller = who.0.clone();
    (native.otq)(who.0, theirs, presence);
    let (from, to) = tokio::io::split(ours);
    let (control, answers) = mpsc::channel(CONTROL_FRAMES);
    let hearing = Hearing {
        payload,
        frames: Frames::new(native.ws.message_bytes_max),
        input: BytesMut::new(),
        to,
        control,
        heard: Instant::now(),
        timeout: Duration::from_secs(native.ws.timeout_s),
        ping: interval(Duration::from_secs(native.ws.ping_s)),
        ends: ends(closing, caller).boxed_local(),
    };
    actix_web::rt::spawn(hearing.run());
    let telling = Telling { from, answers, broker: native.broker.clone(), ended: false };
    Ok(response.streaming(telling))
}

/// The client's side: its frames go to the conversation as they come.
struct Hearing {
    payload: web::Payload,
    frames: Frames,
    input: BytesMut,
    to: WriteHalf<DuplexStream>,
    control: mpsc::Sender<Control>,
    heard: Instant,
    timeout: Duration,
    ping: Interval,
    /// Returns when the broker's side wants it closed, with the reason.
    ends: LocalBoxFuture<'static, &'static str>,
}

/// Somebody closes it from outside, or its caller's session has ended.
async fn ends(closing: Closing, caller: Caller) -> &'static str {
    tokio::select! {
        () = closing => "closed by an operator",
        () = caller.ended() => "the session has ended",
    }
}

/// Something for the client that is no part of the conversation.
enum Control {
    /// A frame.
    Frame(Vec<u8>),
    /// The last frame: with this code, for this reason.
    Close(u16, &'static str),
}

impl Hearing {
    async fn run(mut self) {
        let last = self.hear().await;
        if let Some((code, reason)) = last {
            // Of a client that has gone there is nobody to tell.
            let _ = self.control.send(Control::Close(code, reason)).await;
        }
        // The conversation reads to the end of what was said and ends; then the socket is closed. A
        // conversation that ended first needs no end.
        let _ = self.to.shutdown().await;
    }

    /// Until the client closes, or must be closed: with what it is told then.
    async fn hear(&mut self) -> Option<(u16, &'static str)> {
        loop {
            match self.frames.next(&mut self.input) {
                Err(violation) => return Some((violation.code, violation.reason)),
                Ok(Some(Incoming::Message { body, .. })) => {
                    let written = tokio::select! {
                        written = self.to.write_all(&body) => written,
                        () = self.control.closed() => return None,
                        why = &mut self.ends => return Some((code::POLICY, why)),
                    };
                    // The conversation is over, and the other side says so.
                    if written.is_err() {
                        return None;
                    }
                    continue;
                }
                Ok(Some(Incoming::Ping(payload))) => {
                    self.send(Opcode::Pong, &payload);
                    continue;
                }
                // What is answered still goes out, then a close frame.
                Ok(Some(Incoming::Close(_))) => return None,
                Ok(None) => (),
            }
            tokio::select! {
                piece = self.payload.next() => match piece {
                    Some(Ok(bytes)) => {
                        self.heard = Instant::now();
                        self.input.extend_from_slice(&bytes);
                    }
                    Some(Err(_)) | None => return None,
                },
                () = self.control.closed() => return None,
                why = &mut self.ends => return Some((code::POLICY, why)),
                _ = self.ping.tick() => {
                    if self.heard.elapsed() > self.timeout {
                        return Some((code::POLICY, "not heard of for too long"));
                    }
                    self.send(Opcode::Ping, &[]);
                }
            }
        }
    }

    fn send(&self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::new();
        websocket::frame(&mut frame, opcode, payload);
        // Full: the client does not read its answers.
        let _ = self.control.try_send(Control::Frame(frame));
    }
}

/// The broker's side: the body of the answer.
struct Telling {
    from: ReadHalf<DuplexStream>,
    answers: mpsc::Receiver<Control>,
    broker: Broker,
    ended: bool,
}

impl Telling {
    fn close(&mut self, code: u16, reason: &str) -> Bytes {
        self.ended = true;
        let mut frame = Vec::new();
        websocket::close(&mut frame, code, reason);
        frame.into()
    }
}

impl Stream for Telling {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Behind a close frame nothing may follow.
        if self.ended {
            return Poll::Ready(None);
        }
        // When nobody is heard any more, what the conversation still says is told all the same.
        match self.answers.poll_recv(task) {
            Poll::Ready(Some(Control::Frame(frame))) => return Poll::Ready(Some(Ok(frame.into()))),
            Poll::Ready(Some(Control::Close(code, reason))) => {
                return Poll::Ready(Some(Ok(self.close(code, reason))));
            }
            Poll::Ready(None) | Poll::Pending => (),
        }
        let mut piece = [0; MESSAGE_BYTES];
        let mut piece = ReadBuf::new(&mut piece);
        let read = ready!(Pin::new(&mut self.from).poll_read(task, &mut piece));
        if read.is_err() || piece.filled().is_empty() {
            let code = if self.broker.is_stopping() { code::AWAY } else { code::NORMAL };
            return Poll::Ready(Some(Ok(self.close(code, ""))));
        }
        let mut frame = Vec::with_capacity(piece.filled().len() + 10);
        websocket::frame(&mut frame, Opcode::Binary, piece.filled());
        Poll::Ready(Some(Ok(frame.into())))
    }
}
