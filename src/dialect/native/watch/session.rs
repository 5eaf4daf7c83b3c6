//! One socket that watches: what it has been sent, and what it gets next.

use super::hub::{self, Place, Ticks};
use super::patch::Sent;
use super::request::{self, Op, Screen};
use crate::broker::{Caller, Closing};
use crate::dialect::native::Native;
use crate::dialect::native::problem::Problem;
use crate::dialect::native::socket::{End, Input, LEFT, Outbox, Reason};
use crate::dialect::websocket::{self, Incoming, Opcode, code};
use actix_web::web;
use serde::Serialize;
use serde_json::Value;
use std::{future::poll_fn, sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

/// How soon the next piece follows of what did not fit into one tick.
const NEXT_PIECE: Duration = Duration::from_millis(250);
/// Screens are made at most so often for one client, whatever it asks for.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(20);
/// Room in a tick for what stands around its data.
const AROUND_BYTES: usize = 128;

/// How far the client is.
enum Has {
    /// This document.
    All(Arc<Value>),
    /// Some of one.
    Some(Box<Sent>),
}

/// The screen that the client sees.
struct Watching {
    screen: Screen,
    ticks: Ticks,
    has: Has,
    /// It has nothing of it yet.
    first: bool,
    /// When the rest of a tick follows.
    rest: Option<Instant>,
}

/// One socket.
pub struct Session {
    native: web::Data<Native>,
    caller: Caller,
    outbox: Outbox,
    closing: Closing,
    _place: Place,
    watching: Option<Watching>,
    paused: bool,
}

#[derive(Serialize)]
struct ErrorFrame<'a> {
    r#type: &'static str,
    code: &'a str,
    detail: &'a str,
}

impl Session {
    /// A socket at its beginning.
    pub fn new(
        native: web::Data<Native>,
        caller: Caller,
        outbox: Outbox,
        closing: Closing,
        place: Place,
    ) -> Session {
        let (watching, paused) = (None, false);
        Session { native, caller, outbox, closing, _place: place, watching, paused }
    }

    /// The whole conversation.
    pub async fn run(mut self, mut input: Input) {
        let end = self.talk(&mut input).await;
        self.native.sockets.closed(end.reason);
        self.watching = None;
        self.outbox.close(end.code, end.text, false);
        self.outbox.finished().await;
    }

    async fn talk(&mut self, input: &mut Input) -> End {
        let broker = self.native.broker.clone();
        let stop = broker.stop_begun();
        tokio::pin!(stop);
        let every = Duration::from_secs(self.native.ws.ping_s);
        let patience = Duration::from_secs(self.native.ws.timeout_s);
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut listen_at = Instant::now();
        loop {
            // What a client leaves unread is not added to.
            let room = self.outbox.waiting() == 0;
            let sees = room && !self.paused && self.watching.is_some();
            let rest = self.watching.as_ref().and_then(|watching| watching.rest);
            tokio::select! {
                biased;
                () = &mut stop => {
                    return End { reason: Reason::Stop, code: code::AWAY, text: "broker stops" };
                }
                () = &mut self.closing => {
                    let text = "closed by an operator";
                    return End { reason: Reason::Operator, code: code::POLICY, text };
                }
                _ = pings.tick() => {
                    if input.heard.elapsed() > patience {
                        let text = "not heard of for too long";
                        return End { reason: Reason::Silent, code: code::POLICY, text };
                    }
                    if room {
                        self.control(Opcode::Ping, &[]);
                    }
                }
                alive = changed(&mut self.watching), if sees => {
                    if !alive {
                        return End { reason: Reason::Stop, code: code::AWAY, text: "broker stops" };
                    }
                    if let Some(end) = self.tick() {
                        return end;
                    }
                }
                () = sleep_until(rest.unwrap_or_else(Instant::now)), if sees && rest.is_some() => {
                    if let Some(end) = self.tick() {
                        return end;
                    }
                }
                () = poll_fn(|task| self.outbox.poll_room(0, task)), if !room => (),
                incoming = next(input, listen_at) => {
                    let incoming = match incoming {
                        Ok(incoming) => incoming,
                        Err(end) => return end,
                    };
                    if let Err(end) = self.hear(incoming).await {
                        return end;
                    }
                    listen_at = Instant::now() + BETWEEN_REQUESTS;
                }
            }
        }
    }

    /// One message or control frame of the client.
    async fn hear(&mut self, incoming: Incoming) -> Result<(), End> {
        let body = match incoming {
            Incoming::Message { body, text: true } => body,
            Incoming::Message { text: false, .. } => {
                self.refuse(&Problem::invalid("this socket takes text frames"));
                return Ok(());
            }
            Incoming::Ping(payload) => {
                self.control(Opcode::Pong, &payload);
                return Ok(());
            }
            Incoming::Close(_) => return Err(LEFT),
        };
        if std::str::from_utf8(&body).is_err() {
            let text = "text that is not UTF-8";
            return Err(End { reason: Reason::Protocol, code: code::NOT_UTF8, text });
        }
        match request::parse(&body) {
            Ok(Op::Watch(screen)) => {
                self.watching = None;
                let joined = self.native.hub.watch(screen.clone()).await;
                let text = "broker stops";
                let left = End { reason: Reason::Stop, code: code::AWAY, text };
                let mut ticks = joined.ok_or(left)?;
                // What others see of it already is new here.
                if ticks.borrow().is_some() {
                    ticks.mark_changed();
                }
                let has = Has::Some(Box::default());
                self.watching = Some(Watching { screen, ticks, has, first: true, rest: None });
                self.paused = false;
            }
            Ok(Op::Pause) => self.paused = true,
            Ok(Op::Resume) => {
                // What happened meanwhile is told at once.
                if std::mem::take(&mut self.paused)
                    && let Some(watching) = &mut self.watching
                {
                    watching.ticks.mark_changed();
                }
            }
            Err(problem) => self.refuse(&problem),
        }
        Ok(())
    }

    /// Tells what has changed.
    fn tick(&mut self) -> Option<End> {
        if !self.caller.may_look_at_everything() {
            let text = "no longer allowed";
            return Some(End { reason: Reason::Operator, code: code::POLICY, text });
        }
        let watching = self.watching.as_mut()?;
        let tick = watching.ticks.borrow_and_update().clone()?;
        let document = match &tick.data {
            Ok(document) => document,
            Err(problem) => {
                self.watching = None;
                self.refuse(problem);
                return None;
            }
        };
        watching.rest = None;
        let frame = match (&watching.has, &tick.step) {
            (Has::All(has), Some((before, frame))) if Arc::ptr_eq(has, before) => {
                watching.has = Has::All(document.clone());
                frame.clone()
            }
            _ => {
                let bytes_max = self.native.ui.tick_bytes_max.saturating_sub(AROUND_BYTES);
                if let Has::All(has) = &watching.has {
                    watching.has = Has::Some(Box::new(Sent::whole(has)));
                }
                let Has::Some(sent) = &mut watching.has else { return None };
                let (piece, last) = sent.step(document, bytes_max);
                let full = std::mem::take(&mut watching.first);
                if last {
                    watching.has = Has::All(document.clone());
                } else {
                    watching.rest = Some(Instant::now() + NEXT_PIECE);
                }
                hub::frame(tick.at_ms, &watching.screen, full, &piece)
            }
        };
        self.outbox.traffic().sent(1);
        self.outbox.send(frame);
        None
    }

    fn control(&mut self, opcode: Opcode, payload: &[u8]) {
        let mut frame = Vec::with_capacity(2 + payload.len());
        websocket::frame(&mut frame, opcode, payload);
        self.outbox.send(frame.into());
    }

    fn refuse(&mut self, problem: &Problem) {
        self.native.sockets.error();
        let error = ErrorFrame { r#type: "error", code: problem.code, detail: &problem.detail };
        // It is made of texts: it can be said.
        let text = serde_json::to_vec(&error).unwrap_or_default();
        self.control(Opcode::Text, &text);
    }
}

/// There is a new tick; false: there never will be.
async fn changed(watching: &mut Option<Watching>) -> bool {
    match watching {
        Some(watching) => watching.ticks.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

/// The next thing the client says, once it is listened to again.
async fn next(input: &mut Input, from: Instant) -> Result<Incoming, End> {
    sleep_until(from).await;
    input.next().await
}
