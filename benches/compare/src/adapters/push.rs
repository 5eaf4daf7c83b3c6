//! Subscribers of octoq on WebSocket. Who publishes speaks another protocol (`pub_adapter`).
//!
//! `path=/v1/topics/{topic}/ws` is the socket of one topic; `path=/v1/ws` takes the text `hello=` first.
//! `{topic}` stands for the topic in both.

use super::frames::{CLOSE, PING, PONG, TEXT, get, put, upgrade};
use super::http;
use crate::protocol::*;
use std::io;

pub struct Push {
    context: Context,
}

/// What octoq says first: where a subscription starts.
const BEGINS: [&[u8]; 2] = [b"\"subscribed\"", b"\"ok\""];

impl Push {
    pub fn new(context: Context) -> Push {
        Push { context }
    }

    fn named(&self, text: &str) -> String {
        text.replace("{topic}", &self.context.topic)
    }

    fn make_topic(&self, talk: &mut Talk) -> io::Result<()> {
        let level = self.context.option_or("durability", "memory");
        let name = &self.context.topic;
        let body = format!(
            "{{\"name\":\"{name}\",\"kind\":\"pubsub\",\"policy\":{{\"durability\":\"{level}\"}}}}"
        );
        match http::ask(talk, &self.context.host, "POST /v1/topics", &body)? {
            (201 | 409, _) => Ok(()),
            (status, text) => bad(format!("{status}: {}", show(&text))),
        }
    }
}

impl Protocol for Push {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin {
            return self.make_topic(talk);
        }
        let path = self.named(self.context.option_or("path", "/v1/topics/{topic}/ws"));
        upgrade(talk, &self.context.host, &path, "")?;
        if let Some(hello) = self.context.option("hello") {
            let mut out = Vec::new();
            put(&mut out, TEXT, self.named(hello).as_bytes());
            talk.send(&out)?;
        }
        // Before that it may miss something.
        loop {
            if let Some((kind, start, end)) = get(&talk.input, 0) {
                let frame: Vec<u8> = talk.input.drain(..end).skip(start).collect();
                if kind == CLOSE {
                    return bad(format!("closed: {}", show(&frame)));
                }
                if BEGINS.iter().any(|begin| memchr::memmem::find(&frame, begin).is_some()) {
                    return Ok(());
                }
                continue;
            }
            talk.fill()?;
        }
    }

    fn has_confirms(&self) -> bool {
        false
    }

    /// Publishers speak another protocol.
    fn publish(&mut self, _: &[u8], _: &mut Vec<u8>) {}

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        Ok((input.len(), 0))
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let mut at = 0;
        while let Some((kind, start, end)) = get(input, at) {
            let payload = &input[start..end];
            match kind {
                CLOSE => return bad("the server closed the WebSocket"),
                PING => put(out, PONG, payload),
                // One frame is one message; a gap, which misses some, has no body.
                _ if payload.len() >= self.context.size => sink(payload),
                _ => {}
            }
            at = end;
        }
        Ok((at, 0))
    }
}
