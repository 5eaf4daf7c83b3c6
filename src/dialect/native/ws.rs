//! WebSocket pushes of one pubsub topic.
//!
//! The pushes do not pass through the session's actor: the answer's body is a stream of frames
//! that the topic has encoded once for all subscribers, so a browser that does not read stops its
//! own stream and nothing else. The actor reads what the client sends, answers pings and watches
//! the clock. This module is the only one that knows actix-web-actors.

use super::caller::Who;
use super::following::{self, Slow, WhyView};
use super::message_view::BodyView;
use super::names::{TopicPath, topic_name};
use super::problem::Problem;
use super::socket::{handshake, present, told_to_end};
use super::{Native, frame};
use crate::broker::subscribers::{Ended, PushSource};
use crate::broker::{Caller, Look, Presence, PushFormat, Subscription};
use crate::queue::{Gap, Message};
use actix::{
    Actor, ActorContext, ActorFutureExt as _, AsyncContext, Context, StreamHandler, WrapFuture as _,
};
use actix_http::ws::{CloseCode, CloseReason, Codec, Frame, Message as WsMessage, ProtocolError};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{
    io,
    pin::Pin,
    task::{Context as Task, Poll},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::codec::{Decoder, Encoder};
use utoipa::IntoParams;

/// Answers to the client that may wait behind each other; a client that sends pings faster than it
/// reads loses some.
const CONTROL_FRAMES: usize = 16;
/// Bytes of a frame's head, at most.
const HEAD_BYTES_MAX: usize = 14;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct SubscribeQuery {
    /// With `seq`: where the client was.
    #[param(nullable = false)]
    epoch: Option<u32>,
    /// The last message it saw.
    #[param(nullable = false)]
    seq: Option<u64>,
    /// What happens when it cannot follow: `drop` (the default) or `close`.
    #[param(inline, nullable = false)]
    slow: Option<Slow>,
    /// It only watches: nothing counts as handed out by it.
    #[serde(default)]
    look: bool,
}

/// `GET /v1/topics/{topic}/ws?epoch=&seq=&slow=&look=`: the first frame says where the subscription
/// starts (`subscribed`), then each message is one text frame, and each gap is told (`gap`).
#[utoipa::path(
    get, path = "/v1/topics/{topic}/ws", tag = "push", operation_id = "topic_socket",
    summary = "A WebSocket with the pushes of one pubsub topic",
    params(TopicPath, SubscribeQuery),
    responses(
        (status = 101, description = "The socket is open"),
    ),
)]
pub async fn subscribe(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let query = web::Query::<SubscribeQuery>::from_query(request.query_string())
        .map_err(|error| Problem::invalid(format!("query: {error}")))?
        .into_inner();
    let position = following::position(query.epoch, query.seq)?;
    let slow = query.slow.unwrap_or_default().into();
    let mut response = handshake(&request)?;
    let mut handle = native.broker.topic(&who.0, &topic_name(&request)?).await?;
    if query.look {
        handle = handle.looking();
    }
    let (presence, closing) = present(&request, &native, &who.0, "websocket");
    let look = Look::from(FORMAT).counted(&presence.traffic);
    let subscription = handle.subscribe(position, look, slow).await?;

    let mut hello = BytesMut::new();
    frame::text(
        &mut hello,
        &Notice::Subscribed {
            topic: &String::from_utf8_lossy(handle.name().as_bytes()),
            epoch: subscription.epoch,
            next: subscription.next,
        },
    );
    let (control, answers) = mpsc::channel(CONTROL_FRAMES);
    let settings = Settings {
        frame_bytes_max: native.ws.frame_bytes_max,
        ping: Duration::from_secs(native.ws.ping_s),
        timeout: Duration::from_secs(native.ws.timeout_s),
    };
    let frames = Frames {
        payload,
        codec: codec(&settings),
        buffer: BytesMut::new(),
        settings: settings.clone(),
    };
    WsSession::create(|ctx| {
        ctx.add_stream(frames);
        WsSession { control, caller: who.0, heard: Instant::now(), settings, closing: false }
    });
    let pushes = Pushes {
        hello: Some(hello.freeze()),
        answers,
        subscription: Some(subscription),
        over: false,
        ended: Some(told_to_end(&request, closing)),
        _presence: presence,
    };
    Ok(response.streaming(pushes))
}

#[derive(Debug, Clone)]
struct Settings {
    frame_bytes_max: usize,
    ping: Duration,
    timeout: Duration,
}

fn codec(settings: &Settings) -> Codec {
    Codec::new().max_size(settings.frame_bytes_max)
}

/// What the broker says on the socket beside messages.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Notice<'a> {
    Subscribed {
        topic: &'a str,
        epoch: u32,
        next: u64,
    },
    Gap {
        epoch: u32,
        from: u64,
        to: u64,
        #[serde(flatten)]
        why: WhyView,
    },
    Error {
        code: &'static str,
        detail: &'static str,
    },
}

#[derive(Serialize)]
struct MessageFrame<'a> {
    r#type: &'static str,
    epoch: u32,
    seq: u64,
    id: &'a str,
    published_at_ms: i64,
    #[serde(flatten)]
    body: BodyView<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
}

/// How pushes to WebSocket subscribers look.
const FORMAT: PushFormat = PushFormat {
    name: "websocket",
    message: |source: &PushSource, message: &Message, out: &mut BytesMut| {
        let mut id = uuid::Uuid::encode_buffer();
        let own;
        let id: &str = match message.id() {
            crate::queue::MessageId::Made(uuid) => uuid.hyphenated().encode_lower(&mut id),
            client => {
                own = client.to_string();
                &own
            }
        };
        let frame = MessageFrame {
            r#type: "message",
            epoch: source.epoch,
            seq: message.seq,
            id,
            published_at_ms: message.published_at.0,
            body: BodyView::unless_masked(source.masked, message.body()),
            attributes: message.attributes().and_then(|text| serde_json::from_str(text).ok()),
        };
        frame::text(out, &frame);
    },
    gap: |source: &PushSource, gap: &Gap, out: &mut BytesMut| {
        let (epoch, from, to) = (source.epoch, gap.from, gap.to);
        frame::text(out, &Notice::Gap { epoch, from, to, why: gap.into() });
    },
};

/// The body of the answer: the client's side of the socket.
struct Pushes {
    hello: Option<Bytes>,
    answers: mpsc::Receiver<Bytes>,
    subscription: Option<Subscription>,
    /// The last frame has been sent, whatever the client says.
    over: bool,
    /// Somebody wants it to end.
    ended: Option<oneshot::Receiver<()>>,
    _presence: Presence,
}

fn close_frame(code: CloseCode, text: &str) -> Bytes {
    let mut out = BytesMut::new();
    let reason = CloseReason { code, description: Some(text.to_owned()) };
    // Encoding a close frame into memory cannot fail.
    let _ = Codec::new().encode(WsMessage::Close(Some(reason)), &mut out);
    out.freeze()
}

impl Stream for Pushes {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        if let Some(hello) = self.hello.take() {
            return Poll::Ready(Some(Ok(hello)));
        }
        if self.over {
            return Poll::Ready(None);
        }
        match self.answers.poll_recv(task) {
            // Behind a close frame nothing may follow.
            Poll::Ready(Some(_)) if self.subscription.is_none() => {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
            // The session's actor has ended: so does the socket.
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => (),
        }
        if let Some(ended) = &mut self.ended
            && Pin::new(ended).poll(task) == Poll::Ready(Ok(()))
        {
            (self.subscription, self.ended, self.over) = (None, None, true);
            let farewell = close_frame(CloseCode::Policy, "closed by an operator");
            return Poll::Ready(Some(Ok(farewell)));
        }
        let Some(subscription) = &mut self.subscription else { return Poll::Pending };
        match subscription.poll_chunk(task) {
            Poll::Ready(Some(chunk)) => Poll::Ready(Some(Ok(chunk))),
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                let farewell = match subscription.ended() {
                    Ended::TooSlow => close_frame(CloseCode::Again, "too slow"),
                    Ended::TopicDeleted => close_frame(CloseCode::Other(4404), "topic deleted"),
                    Ended::Stopped | Ended::No => close_frame(CloseCode::Away, "broker stops"),
                };
                self.subscription = None;
                Poll::Ready(Some(Ok(farewell)))
            }
        }
    }
}

/// What the client sends, frame by frame. The codec checks a frame's length only when all of it is
/// there, so what is buffered without a whole frame is bounded here.
struct Frames {
    payload: web::Payload,
    codec: Codec,
    buffer: BytesMut,
    settings: Settings,
}

impl Stream for Frames {
    type Item = Result<Frame, ProtocolError>;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let this = &mut *self;
            match this.codec.decode(&mut this.buffer) {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(None) => (),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            if this.buffer.len() > this.settings.frame_bytes_max + HEAD_BYTES_MAX {
                return Poll::Ready(Some(Err(ProtocolError::Overflow)));
            }
            match futures_util::ready!(this.payload.poll_next_unpin(task)) {
                Some(Ok(bytes)) => this.buffer.extend_from_slice(&bytes),
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

/// One subscriber's socket, as an actor: what it hears and when.
struct WsSession {
    control: mpsc::Sender<Bytes>,
    caller: Caller,
    heard: Instant,
    settings: Settings,
    closing: bool,
}

impl WsSession {
    fn answer(&self, message: WsMessage) {
        let mut out = BytesMut::new();
        if Codec::new().encode(message, &mut out).is_ok() {
            // Full: the client does not read its answers.
            let _ = self.control.try_send(out.freeze());
        }
    }

    fn end(&mut self, code: CloseCode, text: &str, ctx: &mut Context<Self>) {
        if !self.closing {
            self.closing = true;
            let _ = self.control.try_send(close_frame(code, text));
            ctx.stop();
        }
    }
}

impl Actor for WsSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let caller = self.caller.clone();
        let logged_out = async move { caller.ended().await }.into_actor(self);
        ctx.spawn(logged_out.map(|(), session, ctx| {
            session.end(CloseCode::Policy, "the session has ended", ctx);
        }));
        ctx.run_interval(self.settings.ping, |session, ctx| {
            if session.control.is_closed() || session.heard.elapsed() > session.settings.timeout {
                session.end(CloseCode::Policy, "not heard of for too long", ctx);
                ctx.stop();
            } else {
                session.answer(WsMessage::Ping(Bytes::new()));
            }
        });
    }
}

impl StreamHandler<Result<Frame, ProtocolError>> for WsSession {
    fn handle(&mut self, frame: Result<Frame, ProtocolError>, ctx: &mut Context<Self>) {
        self.heard = Instant::now();
        match frame {
            Ok(Frame::Ping(payload)) => self.answer(WsMessage::Pong(payload)),
            Ok(Frame::Pong(_)) => (),
            Ok(Frame::Close(_)) => self.end(CloseCode::Normal, "", ctx),
            Ok(Frame::Text(_) | Frame::Binary(_) | Frame::Continuation(_)) => {
                let mut out = BytesMut::new();
                let detail = "this socket only pushes; publish with POST";
                frame::text(&mut out, &Notice::Error { code: "push_only", detail });
                let _ = self.control.try_send(out.freeze());
            }
            Err(ProtocolError::Overflow) => self.end(CloseCode::Size, "frame too long", ctx),
            Err(error) => {
                log::debug!("WebSocket: {error}");
                self.end(CloseCode::Protocol, "malformed frame", ctx);
            }
        }
    }

    fn finished(&mut self, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}
