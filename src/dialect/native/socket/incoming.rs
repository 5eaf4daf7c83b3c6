//! The client's side of the socket: frames put together, within their bounds.

use super::figures::Reason;
use crate::dialect::websocket::{Frames, Incoming, Violation, code};
use actix_web::web;
use bytes::BytesMut;
use futures_util::StreamExt as _;
use std::time::Instant;

/// Why nothing more is read.
#[derive(Debug)]
pub struct End {
    /// For the figures.
    pub reason: Reason,
    /// The close frame's code.
    pub code: u16,
    /// The close frame's text.
    pub text: &'static str,
}

/// The client closed, or is gone.
pub const LEFT: End = End { reason: Reason::Client, code: code::NORMAL, text: "" };

impl From<Violation> for End {
    fn from(violation: Violation) -> Self {
        let reason = match violation.code {
            code::TOO_LONG => Reason::TooLong,
            _ => Reason::Protocol,
        };
        End { reason, code: violation.code, text: violation.reason }
    }
}

/// What the client sends.
pub struct Input {
    payload: web::Payload,
    frames: Frames,
    buffer: BytesMut,
    /// When it last sent anything.
    pub heard: Instant,
}

impl Input {
    /// Messages have at most so many bytes.
    pub fn new(payload: web::Payload, message_bytes_max: usize) -> Self {
        let frames = Frames::new(message_bytes_max);
        Input { payload, frames, buffer: BytesMut::new(), heard: Instant::now() }
    }

    /// The next message or control frame that is there already.
    pub fn ready(&mut self) -> Result<Option<Incoming>, End> {
        Ok(self.frames.next(&mut self.buffer)?)
    }

    /// The next message or control frame. May be dropped at any await.
    pub async fn next(&mut self) -> Result<Incoming, End> {
        loop {
            if let Some(incoming) = self.ready()? {
                return Ok(incoming);
            }
            match self.payload.next().await {
                Some(Ok(bytes)) => {
                    self.heard = Instant::now();
                    self.buffer.extend_from_slice(&bytes);
                }
                Some(Err(_)) | None => return Err(LEFT),
            }
        }
    }
}
