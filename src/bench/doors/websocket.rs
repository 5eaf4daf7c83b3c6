//! WebSocket: frames of a server, and pushes of one topic.

use super::{Sample, time_behind};
use crate::bench::http::Head;
use crate::bench::speaker::{Asked, Heard, Speaker, odd, wait_for};
use crate::bench::{BenchError, Settings};
use std::{io::Write, net::TcpStream};

/// A whole frame at the start of some bytes: its kind, its payload, and where it ends.
pub fn frame(input: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (kind, short) = (*input.first()? & 15, *input.get(1)? & 127);
    let (start, length) = match short {
        126 => (4, u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(input.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    let end = usize::try_from(length).ok()?.checked_add(start)?;
    Some((kind, input.get(start..end)?, end))
}

/// Kinds of frames.
pub const CLOSE: u8 = 8;
const PING: u8 = 9;

/// Asks for a WebSocket; what the server said behind its answer.
pub fn upgrade(
    stream: &mut TcpStream,
    path: &str,
    login: Option<&(String, String)>,
) -> Result<Vec<u8>, BenchError> {
    let asked = crate::bench::http::request("GET", path, login, "");
    let end = asked.len().saturating_sub(2);
    stream.write_all(asked.get(..end).unwrap_or_default())?;
    stream.write_all(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    let head = |input: &[u8]| match Head::read(input)? {
        Some(head) if head.status != 101 => Err(odd(input)),
        head => Ok(head.map(|head| (head.end, ()))),
    };
    Ok(wait_for(stream, head)?.1)
}

/// A client that is pushed to.
pub struct Listener {
    path: String,
    login: Option<(String, String)>,
    sample: Sample,
}

impl Listener {
    pub fn new(settings: &Settings, topic: &str) -> Listener {
        let path = format!("/v1/topics/{topic}/ws");
        Listener { path, login: settings.login.clone(), sample: Sample::new(settings) }
    }
}

/// How a message begins.
const MESSAGE: &[u8] = b"{\"type\":\"message\"";
const GAP: &[u8] = b"{\"type\":\"gap\"";

/// How many messages a gap tells of.
pub fn missed(gap: &[u8]) -> u64 {
    let number = |mark| number_behind(gap, mark);
    let last = number(b"\"to\":").max(number(b"\"through\":"));
    last.saturating_sub(number(b"\"from\":")) + 1
}

/// The number behind a mark.
fn number_behind(text: &[u8], mark: &[u8]) -> u64 {
    let Some(at) = memchr::memmem::find(text, mark) else { return 0 };
    let digits = text.get(at + mark.len()..).unwrap_or_default();
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value: u64, digit| {
        value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

impl Speaker for Listener {
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        let mut input = upgrade(stream, &self.path, self.login.as_ref())?;
        // The first frame says where the subscription begins: before that it may miss something.
        while frame(&input).is_none() {
            let ((), more) = wait_for(stream, |_| Ok(Some((0, ()))))?;
            input.extend_from_slice(&more);
        }
        Ok(input)
    }

    fn publish(&mut self, _: &mut Vec<u8>, _: u64) -> usize {
        0
    }

    fn receive(&mut self, _: &mut Vec<u8>, _: usize) -> usize {
        0
    }

    fn hear(
        &mut self,
        input: &[u8],
        _: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        let Some((kind, payload, end)) = frame(input) else { return Ok(None) };
        if kind == CLOSE {
            return Err(odd(payload.get(2..).unwrap_or_default()));
        }
        if kind == PING || !payload.starts_with(MESSAGE) {
            let gap = payload.starts_with(GAP);
            let heard = if gap { Heard::Missed(missed(payload)) } else { Heard::Nothing };
            return Ok(Some((end, heard)));
        }
        let looked = self.sample.next();
        let due = looked.then(|| time_behind(payload, b"\"body\":\"")).flatten();
        Ok(Some((end, Heard::Pushed(due))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_taken_when_they_are_whole() {
        for length in [0usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![0x81];
            match length {
                0..126 => bytes.push(length as u8),
                126..65_536 => {
                    bytes.push(126);
                    bytes.extend_from_slice(&(length as u16).to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend_from_slice(&(length as u64).to_be_bytes());
                }
            }
            bytes.resize(bytes.len() + length, b'x');
            let whole = bytes.len();
            bytes.extend_from_slice(b"more");
            assert_eq!(frame(&bytes[..whole - 1]), None);
            let (kind, payload, end) = frame(&bytes).unwrap();
            assert_eq!((kind, payload.len(), end), (1, length, whole));
        }
    }
}
