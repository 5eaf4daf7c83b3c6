//! okQ's commands.

use crate::bench::body::{Template, text};
use crate::bench::http::connect;
use crate::bench::speaker::{Asked, Heard, Speaker, odd, wait_for};
use crate::bench::{BenchError, Settings};
use std::{io::Write as _, net::TcpStream};

/// Digits of an event's id.
const ID: usize = 16;
const ID_MARK: [u8; ID] = [b'@'; ID];

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    // Writing into memory cannot fail.
    let _ = write!(out, "*{}\r\n", words.len());
    for word in words {
        let _ = write!(out, "${}\r\n", word.len());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

fn log_in(settings: &Settings, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
    let Some((user, password)) = &settings.login else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    command(&mut out, &[b"AUTH", user.as_bytes(), password.as_bytes()]);
    stream.write_all(&out)?;
    fine(stream)
}

fn fine(stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
    let fine = |input: &[u8]| match line(input) {
        Some((b"+OK", end)) => Ok(Some((end, ()))),
        Some(_) => Err(odd(input)),
        None => Ok(None),
    };
    Ok(wait_for(stream, fine)?.1)
}

/// Forgets what is left.
pub fn empty(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let mut stream = connect(settings.address)?;
    log_in(settings, &mut stream)?;
    let mut out = Vec::new();
    command(&mut out, &[b"QFLUSH", topic.as_bytes()]);
    stream.write_all(&out)?;
    fine(&mut stream).map(|_| ())
}

/// The line at the start of some bytes without its end, and where the next begins.
fn line(input: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr::memchr(b'\n', input)?;
    Some((input.get(..end)?.trim_ascii_end(), end + 1))
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A client.
pub struct Okq {
    login: Settings,
    topic: String,
    batch: usize,
    pushes: Template,
    /// Where the ids stand in what was just written.
    ids: Vec<usize>,
    next_id: u64,
    held: Vec<Vec<u8>>,
}

impl Okq {
    pub fn new(settings: &Settings, topic: &str, nth: usize) -> Okq {
        let mut pushes = Vec::new();
        let body = text(settings.size);
        for _ in 0..settings.batch {
            command(&mut pushes, &[b"QLPUSH", topic.as_bytes(), &ID_MARK, body.as_bytes()]);
        }
        let ids = memchr::memmem::find_iter(&pushes, &ID_MARK).collect();
        // An id is an event's own as long as it is there.
        let next_id = (nth as u64 + 1) * 1_000_000_000_000;
        Okq {
            login: settings.clone(),
            topic: topic.to_owned(),
            batch: settings.batch,
            pushes: Template::new(pushes),
            ids,
            next_id,
            held: Vec::new(),
        }
    }

    /// `*2n`, and 2n strings: ids and contents.
    fn events(&mut self, input: &[u8]) -> Result<Option<(usize, usize)>, BenchError> {
        let Some((head, mut at)) = line(input) else { return Ok(None) };
        let strings = match head.split_first() {
            Some((b'$' | b'*', b"-1")) | Some((b'_', b"")) => return Ok(Some((at, 0))),
            Some((b'*', digits)) => number(digits),
            _ => None,
        };
        let Some(strings) = strings else { return Err(odd(input)) };
        let held = self.held.len();
        for nth in 0..strings {
            let rest = input.get(at..).unwrap_or_default();
            let Some((head, start)) = line(rest) else { break };
            let length = head.strip_prefix(b"$").and_then(number).ok_or_else(|| odd(rest))?;
            let Some(text) = rest.get(start..start + length + 2) else { break };
            if nth % 2 == 0 {
                self.held.push(text.get(..length).unwrap_or_default().to_vec());
            }
            at += start + length + 2;
            if nth + 1 == strings {
                return Ok(Some((at, strings / 2)));
            }
        }
        self.held.truncate(held);
        Ok(None)
    }
}

impl Speaker for Okq {
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        log_in(&self.login, stream)
    }

    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        let start = out.len();
        self.pushes.write(out, due_ns);
        for at in &self.ids {
            let mut rest = self.next_id;
            self.next_id += 1;
            let place = out.get_mut(start + at..start + at + ID).unwrap_or_default();
            for digit in place.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        self.batch
    }

    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize {
        let max = max.to_string();
        command(out, &[b"QRPOP", self.topic.as_bytes(), b"COUNT", max.as_bytes()]);
        1
    }

    fn ack(&mut self, out: &mut Vec<u8>) -> usize {
        for id in &self.held {
            command(out, &[b"QACK", self.topic.as_bytes(), id]);
        }
        let acks = self.held.len();
        self.held.clear();
        acks
    }

    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        if asked == Some(Asked::Receive) {
            let events = self.events(input)?;
            let received = |count| Heard::Received { count, due_ns: None };
            return Ok(events.map(|(end, count)| (end, received(count))));
        }
        let Some((answer, end)) = line(input) else { return Ok(None) };
        match (asked, answer) {
            (Some(Asked::Publish), b"+OK") => Ok(Some((end, Heard::Published(1)))),
            (Some(Asked::Ack), b":1") => Ok(Some((end, Heard::Acked(1)))),
            _ => Err(odd(input)),
        }
    }
}
