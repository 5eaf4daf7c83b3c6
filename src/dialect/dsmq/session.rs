//! One connection of a dsmq client.
//!
//! What one read holds is taken apart whole and done as one round.

use super::objects::{Framing, Objects};
use super::opening::{self, HEAD_BYTES_MAX, Opening};
use super::request::{self, Malformed, Request};
use super::round::{Round, TooManyTopics};
use super::socket::{OUT_BYTES, Socket};
use super::{Dsmq, Seat};
use crate::broker::Arrival;
use crate::dialect::door::shut_down;
use crate::dialect::websocket::{self, Frames, Incoming, Opcode, code};
use bytes::Buf;
use std::{borrow::Cow, io, time::Duration};
use tokio::{net::TcpStream, time::Instant};

/// What is spoken on a connection.
enum Wire {
    /// Nothing was said yet.
    Silent,
    /// The head of a WebSocket's opening is being read.
    Opening,
    /// Objects, bare or with headers.
    Objects(Objects),
    /// WebSocket.
    Frames(Frames),
}

/// How a connection ends.
enum End {
    /// Without another word.
    Silently,
    /// With the answer that is to be written already.
    Answered,
    /// A WebSocket is told this code and reason, the others nothing.
    Told(u16, Cow<'static, str>),
    /// The client closes; it gets its own code back.
    Echoed(Option<u16>),
    /// The client asked for the end of the server.
    Shutdown,
}

/// What comes after taking apart what was read.
enum Step {
    /// More must be read.
    Read,
    /// As much as one round takes; there may be more.
    Run,
    /// The connection ends behind what was asked so far.
    End(End),
}

/// The conversation of one connection.
struct Talk {
    dsmq: Dsmq,
    seat: Seat<Dsmq>,
    wire: Wire,
    round: Round,
    /// Since when a request is unfinished.
    unfinished: Option<Instant>,
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, dsmq: Dsmq, seat: Seat<Dsmq>) -> io::Result<()> {
    if !dsmq.0.anonymous.welcomes(seat.peer.ip()) {
        log::info!(
            "dsmq: {} is turned away: this protocol has no credentials, and auth.anonymous wants them",
            seat.peer
        );
        return Ok(());
    }
    let mut socket = Socket::new(
        stream,
        Duration::from_secs(dsmq.0.config.stuck_s),
        dsmq.0.broker.limits().poll,
    );
    let presence = dsmq.0.broker.arrive(Arrival {
        door: "dsmq",
        peer: Some(seat.peer),
        user: None,
        buffer_bytes_max: OUT_BYTES as u64,
        close: seat.closer(),
    });
    let mut talk = Talk {
        round: Round::new(dsmq.clone(), seat.arrival, presence),
        dsmq,
        seat,
        wire: Wire::Silent,
        unfinished: None,
    };
    loop {
        let step = talk.take_apart(&mut socket);
        let expressible = talk.round.run(&mut socket, &talk.seat).await?;
        let end = match step {
            _ if !expressible => End::Silently,
            Step::Run => continue,
            Step::Read => match talk.read(&mut socket).await? {
                None => continue,
                Some(end) => end,
            },
            Step::End(end) => end,
        };
        return talk.end(end, &mut socket).await;
    }
}

impl Talk {
    /// Reads more; or tells how the connection ends.
    async fn read(&mut self, socket: &mut Socket) -> io::Result<Option<End>> {
        let patience = Duration::from_secs(self.dsmq.0.config.request_timeout_s);
        loop {
            let late = self.unfinished.map(|since| since + patience);
            tokio::select! {
                biased;
                () = shut_down(&mut self.seat.shut) => {
                    return Ok(Some(End::Told(code::AWAY, "the server is closing".into())));
                }
                ready = socket.readable() => ready?,
                // Only a client that owes the rest of a request is waited for with a bound.
                () = tokio::time::sleep_until(late.unwrap_or_else(Instant::now)), if late.is_some() => {
                    return Ok(Some(End::Told(code::POLICY, "a request took too long".into())));
                }
            }
            match socket.read() {
                Ok(0) => return Ok(Some(End::Silently)),
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what was read apart and adds the requests to the round.
    fn take_apart(&mut self, socket: &mut Socket) -> Step {
        loop {
            if self.round.is_full() {
                return Step::Run;
            }
            let taken = match &mut self.wire {
                Wire::Silent => self.listen(socket),
                Wire::Opening => self.open(socket),
                Wire::Objects(objects) => match objects.next(&mut socket.input) {
                    Ok(None) => None,
                    Ok(Some((framing, text))) => Some(self.request(&text, framing, true)),
                    Err(broken) => Some(Err(self.refuse(code::PROTOCOL, broken.to_string()))),
                },
                Wire::Frames(frames) => match frames.next(&mut socket.input) {
                    Ok(None) => None,
                    Ok(Some(Incoming::Message { body, text })) => {
                        Some(self.request(&body, Framing::Frame, text))
                    }
                    Ok(Some(Incoming::Ping(payload))) => {
                        websocket::frame(&mut socket.out, Opcode::Pong, &payload);
                        if socket.out.len() > HEAD_BYTES_MAX {
                            return Step::Run;
                        }
                        Some(Ok(()))
                    }
                    Ok(Some(Incoming::Close(code))) => Some(Err(End::Echoed(code))),
                    Err(violation) => Some(Err(self.refuse(violation.code, violation.reason))),
                },
            };
            match taken {
                Some(Ok(())) => self.unfinished = None,
                Some(Err(end)) => return Step::End(end),
                None => {
                    let within = match &self.wire {
                        Wire::Silent | Wire::Opening => false,
                        Wire::Objects(objects) => objects.is_within(),
                        Wire::Frames(frames) => frames.is_within(),
                    };
                    if !within && socket.input.is_empty() {
                        self.unfinished = None;
                    } else if self.unfinished.is_none() {
                        self.unfinished = Some(Instant::now());
                    }
                    return Step::Read;
                }
            }
        }
    }

    /// The first bytes tell who comes.
    fn listen(&mut self, socket: &mut Socket) -> Option<Result<(), End>> {
        let bytes_max = self.dsmq.0.config.message_bytes_max;
        match socket.input.first()? {
            b'{' | b' ' | b'\t' | b'\r' | b'\n' => {
                self.wire = Wire::Objects(Objects::new(bytes_max));
                Some(Ok(()))
            }
            _ if b"GET ".starts_with(&socket.input) => None,
            _ if socket.input.starts_with(b"GET ") => {
                self.wire = Wire::Opening;
                Some(Ok(()))
            }
            _ => Some(Err(self.refuse(code::PROTOCOL, "neither JSON nor a WebSocket"))),
        }
    }

    fn open(&mut self, socket: &mut Socket) -> Option<Result<(), End>> {
        match opening::open(&socket.input, &self.dsmq.0.config.origins) {
            Opening::Incomplete => None,
            Opening::Refused(answer) => {
                socket.out.extend_from_slice(answer.as_bytes());
                Some(Err(End::Answered))
            }
            Opening::Welcome { answer, head_bytes } => {
                // Before the client knows that it is connected.
                self.round.begin_now();
                socket.out.extend_from_slice(answer.as_bytes());
                socket.input.advance(head_bytes);
                self.wire = Wire::Frames(Frames::new(self.dsmq.0.config.message_bytes_max));
                Some(Ok(()))
            }
        }
    }

    /// Adds one request. `text`: it must be UTF-8 as such, whatever it says.
    fn request(&mut self, bytes: &[u8], framing: Framing, text: bool) -> Result<(), End> {
        let added = match request::parse(bytes) {
            Ok(Request::Put(topic, content)) => self.round.put(topic, &content),
            Ok(Request::Get(topic)) => self.round.get(topic, false, framing),
            Ok(Request::GetLatest(topic)) => self.round.get(topic, true, framing),
            Ok(Request::Shutdown) if framing == Framing::Frame => return Err(End::Shutdown),
            // What older releases did not know they ignored.
            Ok(Request::Shutdown) => Ok(()),
            Ok(Request::Unknown(_)) if framing != Framing::Frame => Ok(()),
            Ok(Request::Unknown(action)) => {
                return Err(self.refuse(code::INTERNAL, format!("unknown action: {action}")));
            }
            Err(Malformed::NotUtf8) if text => {
                return Err(self.refuse(code::NOT_UTF8, "not UTF-8"));
            }
            Err(malformed) => return Err(self.refuse(code::INTERNAL, malformed.to_string())),
        };
        added.map_err(|TooManyTopics| {
            self.refuse(code::POLICY, "too many topics read by one connection")
        })
    }

    fn refuse(&self, code: u16, reason: impl Into<Cow<'static, str>>) -> End {
        let reason = reason.into();
        log::debug!("dsmq: session {}, {}: {reason}", self.seat.id, self.seat.peer);
        End::Told(code, reason)
    }

    async fn end(&self, end: End, socket: &mut Socket) -> io::Result<()> {
        let close = match end {
            End::Silently => None,
            End::Answered => return socket.close().await,
            End::Told(code, reason) => Some((code, reason)),
            End::Echoed(Some(code)) => Some((code, "".into())),
            End::Echoed(None) => {
                websocket::frame(&mut socket.out, Opcode::Close, &[]);
                return socket.close().await;
            }
            End::Shutdown => {
                self.shut_down();
                Some((code::NORMAL, "".into()))
            }
        };
        match (&self.wire, close) {
            (Wire::Frames(_), Some((code, reason))) => {
                websocket::close(&mut socket.out, code, &reason);
                socket.close().await
            }
            (_, None | Some((code::AWAY, _))) => socket.write().await,
            (_, Some(_)) => socket.close().await,
        }
    }

    /// Only somebody on this machine, and only where it is allowed, closes the door; and no other.
    fn shut_down(&self) {
        let peer = self.seat.peer;
        if self.dsmq.0.config.allow_shutdown && peer.ip().to_canonical().is_loopback() {
            log::warn!("dsmq: {peer} closes the door (dsmq.allow_shutdown)");
            self.seat.close_door();
        } else {
            log::info!("dsmq: {peer} asked for a shutdown, which dsmq.allow_shutdown forbids");
        }
    }
}
