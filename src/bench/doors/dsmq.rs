//! dsmq's JSON on WebSocket.

use super::time_behind;
use super::websocket::{CLOSE, frame, upgrade};
use crate::bench::body::{Template, text};
use crate::bench::speaker::{Asked, Heard, Speaker, odd};
use crate::bench::{BenchError, Settings};
use std::net::TcpStream;

const NOTHING: &[u8] = br#"{"message": ""}"#;

/// A text as a client's frame. It is masked with zeros, so that it can be prepared.
fn masked(text: &str) -> Vec<u8> {
    let mut out = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length), _) if length < 126 => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0x80 | 126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(text.as_bytes());
    out
}

/// A client: a writer, or a reader that asks all the time.
pub struct Dsmq {
    puts: Template,
    batch: usize,
    get: Vec<u8>,
}

impl Dsmq {
    pub fn new(settings: &Settings, topic: &str) -> Dsmq {
        let body = text(settings.size);
        let put =
            masked(&format!(r#"{{"action": "put", "topic": "{topic}", "message": "{body}"}}"#));
        let get = |topic: &str| masked(&format!(r#"{{"action": "get", "topic": "{topic}"}}"#));
        let mut puts = put.repeat(settings.batch);
        // A put has no answer; that of a get behind it tells that it is in.
        puts.extend_from_slice(&get(&format!("{topic}-nothing")));
        Dsmq { puts: Template::new(puts), batch: settings.batch, get: get(topic) }
    }
}

impl Speaker for Dsmq {
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        let rest = upgrade(stream, "/", None)?;
        // A reader sees what comes after it was let in.
        Ok(rest)
    }

    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        self.puts.write(out, due_ns);
        1
    }

    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize {
        (0..max).for_each(|_| out.extend_from_slice(&self.get));
        max
    }

    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        let Some((kind, payload, end)) = frame(input) else { return Ok(None) };
        if kind == CLOSE {
            return Err(odd(payload));
        }
        let heard = match (asked, payload == NOTHING) {
            (Some(Asked::Publish), true) => Heard::Published(self.batch),
            (Some(Asked::Receive), nothing) => Heard::Received {
                count: usize::from(!nothing),
                due_ns: time_behind(payload, b"\"message\": \""),
            },
            _ => return Err(odd(payload)),
        };
        Ok(Some((end, heard)))
    }
}
