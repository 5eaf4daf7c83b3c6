//! One socket's conversation: a loop that reads requests, gathers those that are there by topic,
//! and writes what comes back.

use super::answer;
use super::calls::Calls;
use super::figures::{Call, Reason};
use super::flights::Flights;
use super::incoming::{End, Input, LEFT};
use super::outgoing::{Attached, Outbox};
use super::request::{self, Bounds, Malformed, Req};
use super::round::Round;
use super::work::{Entry, Outcome};
use crate::broker::{Caller, Closing, clock};
use crate::dialect::native::Native;
use crate::dialect::native::problem::Problem;
use crate::dialect::websocket::{self, Incoming, Opcode, code};
use crate::queue::Timestamp;
use actix_web::web;
use bytes::BytesMut;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _, future::LocalBoxFuture};
use rustc_hash::FxHashMap;
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval_at, sleep_until};

/// Frames of answers that are gathered before they are handed to the socket.
const CHUNK_BYTES: usize = 64 << 10;

/// One socket.
pub struct Session {
    pub(super) native: web::Data<Native>,
    pub(super) caller: Caller,
    pub(super) outbox: Outbox,
    /// Frames of this turn.
    pub(super) written: BytesMut,
    /// Requests of this turn, by topic.
    pub(super) round: Round,
    /// What was asked of the broker.
    pub(super) pending: FuturesUnordered<LocalBoxFuture<'static, Outcome>>,
    /// Requests that are not answered yet, and the bytes of what they publish.
    pub(super) due: usize,
    pub(super) due_bytes: usize,
    /// Subscriptions by what the client calls them.
    pub(super) names: FxHashMap<Arc<str>, u64>,
    pub(super) entries: FxHashMap<u64, Entry>,
    /// Pushes on their way to the socket.
    pub(super) attached: FxHashMap<u64, Attached>,
    pub(super) flights: Flights,
    pub(super) calls: Calls,
    /// Consumers that may have room for more.
    pub(super) hungry: Vec<u64>,
    pub(super) last_id: u64,
    closing: Option<Closing>,
    bounds: Bounds,
}

impl Session {
    /// A conversation at its beginning.
    pub fn new(
        native: web::Data<Native>,
        caller: Caller,
        outbox: Outbox,
        closing: Closing,
    ) -> Self {
        let bounds = Bounds {
            prefetch_max: native.ws.prefetch_max,
            reply_wait_max: Duration::from_secs(native.ws.reply_wait_max_s),
        };
        Session {
            native,
            caller,
            outbox,
            written: BytesMut::new(),
            round: Round::default(),
            pending: FuturesUnordered::new(),
            due: 0,
            due_bytes: 0,
            names: FxHashMap::default(),
            entries: FxHashMap::default(),
            attached: FxHashMap::default(),
            flights: Flights::default(),
            calls: Calls::default(),
            hungry: Vec::new(),
            last_id: 0,
            closing: Some(closing),
            bounds,
        }
    }

    /// The whole conversation. At its end what the client held goes back.
    pub async fn run(mut self, mut input: Input) {
        let end = self.talk(&mut input).await;
        self.native.sockets.closed(end.reason);
        let released = self.flights.release();
        self.native.sockets.released(released);
        // What was asked and is not answered is given up: messages that were handed out go back.
        self.pending.clear();
        self.entries.clear();
        self.calls = Calls::default();
        self.flush();
        let stopping = end.reason == Reason::Stop;
        if !stopping {
            self.attached.clear();
        }
        self.outbox.close(end.code, end.text, stopping);
        self.outbox.finished().await;
    }

    async fn talk(&mut self, input: &mut Input) -> End {
        let ws = self.native.ws.clone();
        let broker = self.native.broker.clone();
        let stop = broker.stop_begun();
        tokio::pin!(stop);
        let caller = self.caller.clone();
        let logged_out = caller.ended();
        tokio::pin!(logged_out);
        let closing = futures_util::future::OptionFuture::from(self.closing.take());
        tokio::pin!(closing);
        let every = Duration::from_secs(ws.ping_s);
        let mut pings = interval_at(tokio::time::Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let timeout = Duration::from_secs(ws.timeout_s);
        let alarm = sleep_until(tokio::time::Instant::now());
        tokio::pin!(alarm);
        let mut set = None;
        loop {
            self.end_turn();
            let due = self.next_deadline();
            if due != set {
                set = due;
                if let Some(due) = due {
                    alarm.as_mut().reset(tokio::time::Instant::from_std(clock::instant_of(due)));
                }
            }
            let room = self.outbox.waiting() <= ws.out_bytes_max;
            let reads = room && self.takes_more();
            tokio::select! {
                biased;
                () = &mut stop => {
                    return End { reason: Reason::Stop, code: code::AWAY, text: "broker stops" };
                }
                () = &mut logged_out => {
                    let text = "the session has ended";
                    return End { reason: Reason::LoggedOut, code: code::POLICY, text };
                }
                _ = &mut closing => {
                    let text = "closed by an operator";
                    return End { reason: Reason::Operator, code: code::POLICY, text };
                }
                (id, why) = poll_fn(|task| self.outbox.poll_ended(task)) => {
                    if let Some(end) = self.push_ended(id, why) {
                        return end;
                    }
                }
                Some(outcome) = self.pending.next(), if !self.pending.is_empty() => {
                    self.settled(outcome);
                    while let Some(Some(more)) = self.pending.next().now_or_never() {
                        self.settled(more);
                    }
                }
                reply = poll_fn(|task| self.calls.poll_reply(task)) => self.replied(&reply),
                () = &mut alarm, if set.is_some() => {
                    set = None;
                    self.pass(clock::now());
                }
                _ = pings.tick() => {
                    if input.heard.elapsed() > timeout {
                        return self.silent();
                    }
                    self.ping();
                }
                () = poll_fn(|task| self.outbox.poll_room(ws.out_bytes_max, task)), if !room => (),
                incoming = input.next(), if reads => {
                    let mut incoming = match incoming {
                        Ok(incoming) => incoming,
                        Err(end) => return end,
                    };
                    loop {
                        if let Err(end) = self.hear(incoming).await {
                            return end;
                        }
                        if !self.takes_more() || self.written.len() > CHUNK_BYTES {
                            break;
                        }
                        incoming = match input.ready() {
                            Ok(Some(incoming)) => incoming,
                            Ok(None) => break,
                            Err(end) => return end,
                        };
                    }
                }
            }
        }
    }

    /// One more request may be taken.
    fn takes_more(&self) -> bool {
        self.due < self.native.ws.requests_max && self.due_bytes < self.native.ws.message_bytes_max
    }

    /// Sends the requests to their topics, asks for what consumers have room for, and hands what is
    /// written to the socket.
    fn end_turn(&mut self) {
        self.outbox.traffic().holds(self.flights.len());
        self.send_round();
        self.feed();
        self.flush();
    }

    /// Sends the requests of this turn to their topics.
    pub(super) fn send_round(&mut self) {
        for (asked, dues) in self.round.submit() {
            self.pending.push(
                async move { Outcome::Answered { replies: asked.await, dues } }.boxed_local(),
            );
        }
    }

    /// Hands what is written to the socket.
    pub(super) fn flush(&mut self) {
        self.outbox.send(self.written.split().freeze());
    }

    /// Hands it over when there is a good deal of it.
    pub(super) fn flush_much(&mut self) {
        if self.written.len() >= CHUNK_BYTES {
            self.flush();
        }
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        [self.flights.next_deadline(), self.calls.next_deadline()].into_iter().flatten().min()
    }

    /// Deadlines that have passed.
    fn pass(&mut self, now: Timestamp) {
        while let Some(consumer) = self.flights.expire(now) {
            self.landed(consumer);
        }
        while let Some(call) = self.calls.expire(now) {
            self.native.sockets.call(Call::TimedOut);
            let title = "No reply in time";
            let problem = Problem::new(504, "timeout", title, "no reply came within `timeout_ms`");
            self.refuse(&call.req, &problem);
            self.flush_much();
        }
    }

    fn silent(&self) -> End {
        if self.outbox.waiting() > 0 {
            return End { reason: Reason::TooSlow, code: code::AGAIN, text: "too slow" };
        }
        let text = "not heard of for too long";
        End { reason: Reason::Silent, code: code::POLICY, text }
    }

    fn ping(&mut self) {
        // A client that does not read what it has gets no more to read.
        if self.outbox.waiting() == 0 {
            self.control(Opcode::Ping, &[]);
        }
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::with_capacity(2 + payload.len());
        websocket::frame(&mut frame, opcode, payload);
        self.written.extend_from_slice(&frame);
    }

    /// One message or control frame of the client.
    async fn hear(&mut self, incoming: Incoming) -> Result<(), End> {
        let now = clock::now();
        let (read, bytes, binary) = match incoming {
            Incoming::Message { body, text: true } => {
                if std::str::from_utf8(&body).is_err() {
                    let text = "text that is not UTF-8";
                    return Err(End { reason: Reason::Protocol, code: code::NOT_UTF8, text });
                }
                (request::text(&body, &self.bounds, now), body.len(), false)
            }
            Incoming::Message { body, text: false } => {
                (request::binary(&body, &self.bounds, now), body.len(), true)
            }
            Incoming::Ping(payload) => {
                self.control(Opcode::Pong, &payload);
                return Ok(());
            }
            Incoming::Close(_) => return Err(LEFT),
        };
        match read {
            Ok((req, verb)) => {
                self.native.sockets.request(Some(&verb));
                self.perform(req, verb, bytes, binary).await;
            }
            Err(Malformed { req, problem }) => {
                self.native.sockets.request(None);
                self.refuse(&req, &problem);
            }
        }
        Ok(())
    }

    /// Answers a request with an error.
    pub(super) fn refuse(&mut self, req: &Req, problem: &Problem) {
        self.native.sockets.error();
        answer::error(&mut self.written, req, problem);
    }
}
