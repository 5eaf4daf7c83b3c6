//! Server-sent events of one topic.

use super::websocket::missed;
use super::{Sample, time_behind};
use crate::bench::http::{Head, request};
use crate::bench::speaker::{Asked, Heard, Speaker, odd, wait_for};
use crate::bench::{BenchError, Settings};
use std::{io::Write, net::TcpStream};

/// A client that is pushed to.
pub struct Listener {
    path: String,
    login: Option<(String, String)>,
    sample: Sample,
    chunks: Chunks,
}

impl Listener {
    pub fn new(settings: &Settings, topic: &str) -> Listener {
        Listener {
            path: format!("/v1/topics/{topic}/events"),
            login: settings.login.clone(),
            sample: Sample::new(settings),
            chunks: Chunks::default(),
        }
    }

    /// What an event tells.
    fn event(&mut self, event: &[u8]) -> Heard {
        if event.starts_with(b"event: message\n") {
            return self.message(event);
        }
        let is = |kind: &[u8]| event.split(|byte| *byte == b'\n').any(|line| line == kind);
        if is(b"event: gap") || is(b"event:gap") {
            return Heard::Missed(missed(event));
        }
        if !is(b"event: message") && !is(b"event:message") {
            return Heard::Nothing;
        }
        self.message(event)
    }

    fn message(&mut self, event: &[u8]) -> Heard {
        let looked = self.sample.next();
        Heard::Pushed(looked.then(|| time_behind(event, b"\"body\":\"")).flatten())
    }
}

/// Where the first event ends: behind an empty line.
fn end_of_event(text: &[u8]) -> Option<usize> {
    let mut line = 0;
    memchr::memchr_iter(b'\n', text).find_map(|at| {
        let end = (at == line && at > 0).then_some(at + 1);
        line = at + 1;
        end
    })
}

/// The parts a body comes in: each has its length in a line of its own before it.
#[derive(Debug, Default)]
struct Chunks {
    /// Bytes that the current part still has.
    left: usize,
    /// A part has ended and its line end has not come.
    ends: bool,
    /// What came of an event that is not whole.
    event: Vec<u8>,
}

/// A head has a few hexadecimal digits.
const CHUNK_HEAD_MAX: usize = 32;

impl Chunks {
    /// An event that stands whole in the current part, and needs no copy.
    fn whole<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        if self.left == 0 || !self.event.is_empty() {
            return None;
        }
        let part = input.get(..self.left.min(input.len()))?;
        let event = part.get(..end_of_event(part)?)?;
        self.left -= event.len();
        self.ends |= self.left == 0;
        Some(event)
    }

    /// Takes what it can, up to the end of one event; how many bytes, and whether one is whole.
    fn take(&mut self, input: &[u8]) -> Result<(usize, bool), BenchError> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            if self.left > 0 {
                let part = rest.get(..self.left.min(rest.len())).unwrap_or_default();
                // The end of an event may be cut between two parts.
                let end = match (self.event.last(), part.first()) {
                    (Some(b'\n'), Some(b'\n')) => Some(1),
                    _ => end_of_event(part),
                };
                let taken = end.unwrap_or(part.len());
                self.event.extend_from_slice(part.get(..taken).unwrap_or_default());
                self.left -= taken;
                self.ends |= self.left == 0;
                at += taken;
                if end.is_some() {
                    return Ok((at, true));
                }
                if self.left > 0 {
                    return Ok((at, false));
                }
                continue;
            }
            if self.ends {
                if rest.len() < 2 {
                    return Ok((at, false));
                }
                (self.ends, at) = (false, at + 2);
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', rest) else {
                return if rest.len() > CHUNK_HEAD_MAX { Err(odd(rest)) } else { Ok((at, false)) };
            };
            let digits = rest.get(..end).unwrap_or_default().trim_ascii();
            let text = std::str::from_utf8(digits).map_err(|_| odd(rest))?;
            self.left = usize::from_str_radix(text, 16).map_err(|_| odd(rest))?;
            if self.left == 0 {
                return Err(BenchError::Closed);
            }
            at += end + 1;
        }
    }
}

impl Speaker for Listener {
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        stream.write_all(&request("GET", &self.path, self.login.as_ref(), ""))?;
        let head = |input: &[u8]| match Head::read(input)? {
            Some(head) if head.status != 200 || !head.chunked => Err(odd(input)),
            head => Ok(head.map(|head| (head.end, ()))),
        };
        Ok(wait_for(stream, head)?.1)
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
        if let Some(event) = self.chunks.whole(input) {
            return Ok(Some((event.len(), self.event(event))));
        }
        let (taken, whole) = self.chunks.take(input)?;
        if !whole {
            return Ok((taken > 0).then_some((taken, Heard::Nothing)));
        }
        let event = std::mem::take(&mut self.chunks.event);
        let heard = self.event(&event);
        self.chunks.event = event;
        self.chunks.event.clear();
        Ok(Some((taken, heard)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_counted_however_the_parts_and_reads_cut_them() {
        let stream = b": hello\n\nevent: message\nid: 1-1\ndata: {\"body\":\"00000000000000000042\"}\n\nevent: gap\ndata: {\"from\":3,\"through\":7}\n\n";
        for part in 1..stream.len() {
            let mut wire = Vec::new();
            for part in stream.chunks(part) {
                wire.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                wire.extend_from_slice(part);
                wire.extend_from_slice(b"\r\n");
            }
            for read in [1, 7, wire.len()] {
                let mut listener = Listener {
                    path: String::new(),
                    login: None,
                    sample: Sample { every: 1, left: 1 },
                    chunks: Chunks::default(),
                };
                let (mut heard, mut rest) = (Vec::new(), Vec::new());
                for bytes in wire.chunks(read) {
                    rest.extend_from_slice(bytes);
                    while let Some((taken, one)) = listener.hear(&rest, None).unwrap() {
                        rest.drain(..taken);
                        heard.push(one);
                    }
                }
                heard.retain(|one| *one != Heard::Nothing);
                assert_eq!(heard, [Heard::Pushed(Some(42)), Heard::Missed(5)], "{part} {read}");
            }
        }
    }
}
