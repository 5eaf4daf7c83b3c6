//! dsmq 1.x: JSON in frames. A put is not answered; a get is answered by a message, or by none.

use super::frames::{CLOSE, PING, PONG, TEXT, get, put, upgrade};
use crate::protocol::*;
use std::io;

/// Gets under way at once.
const GETS: usize = 64;

pub struct Dsmq {
    context: Context,
    put_head: Vec<u8>,
    get: Vec<u8>,
}

impl Dsmq {
    pub fn new(context: Context) -> Dsmq {
        let topic = &context.topic;
        let mut ask = Vec::new();
        put(&mut ask, TEXT, format!("{{\"action\":\"get\",\"topic\":\"{topic}\"}}").as_bytes());
        let put_head =
            format!("{{\"action\":\"put\",\"topic\":\"{topic}\",\"message\":\"").into_bytes();
        Dsmq { put_head, get: ask, context }
    }
}

impl Protocol for Dsmq {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin {
            return Ok(());
        }
        upgrade(talk, &self.context.host, "/", "")
    }

    fn has_confirms(&self) -> bool {
        false
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let mut text = self.put_head.clone();
        text.extend_from_slice(body);
        text.extend_from_slice(b"\"}");
        put(out, TEXT, &text);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        Ok((input.len(), 0))
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.get.repeat(self.context.prefetch.min(GETS)));
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut taken) = (0, 0);
        while let Some((kind, start, end)) = get(input, at) {
            let payload = &input[start..end];
            match kind {
                CLOSE => return bad("the server closed the WebSocket"),
                PING => put(out, PONG, payload),
                _ => {
                    if payload.len() >= self.context.size {
                        sink(payload);
                        taken += 1;
                    }
                    out.extend_from_slice(&self.get);
                }
            }
            at = end;
        }
        Ok((at, taken))
    }
}
