//! octoque's lines.

use super::{Role, Sample};
use crate::bench::body::{Template, stamp, text};
use crate::bench::http::connect;
use crate::bench::speaker::{Asked, Heard, Speaker, odd, wait_for};
use crate::bench::{BenchError, Settings, Work};
use std::{io::Write as _, net::TcpStream};

const END: &[u8] = b"ENDOFRESP\r\n";
const PROCEED: &[u8] = b"PROCEED\r\n";

fn whole(input: &[u8]) -> Option<usize> {
    memchr::memmem::find(input, END).map(|at| at + END.len())
}

/// Logs in. The stock user where no other is named.
fn log_in(settings: &Settings, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
    let (user, password) = match &settings.login {
        Some((user, password)) => (user.as_str(), password.as_str()),
        None => ("admin", "password"),
    };
    stream.write_all(format!("OTQ CONNECT {user} {password}\r\n").as_bytes())?;
    let connected = |input: &[u8]| match whole(input) {
        Some(_) if !input.starts_with(b"CONNECTED") => Err(odd(input)),
        end => Ok(end.map(|end| (end, ()))),
    };
    Ok(wait_for(stream, connected)?.1)
}

/// One command on a connection of its own.
fn say(settings: &Settings, command: &str) -> Result<(), BenchError> {
    let mut stream = connect(settings.address)?;
    log_in(settings, &mut stream)?;
    stream.write_all(format!("OTQ {command}\r\n").as_bytes())?;
    let done = |input: &[u8]| match whole(input) {
        Some(_) if memchr::memmem::find(input, b"DECLINE").is_some() => Err(odd(input)),
        end => Ok(end.map(|end| (end, ()))),
    };
    wait_for(&mut stream, done).map(|_| ())
}

/// Makes a topic.
pub fn make(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let kind = if settings.work == Work::Pubsub { "PUBSUB" } else { "BROKER" };
    say(settings, &format!("NEW {topic} {kind}"))
}

/// Empties it: otq cannot delete.
pub fn remove(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    say(settings, &format!("CLEAR {topic}"))
}

/// A client.
pub struct Otq {
    settings: Settings,
    role: Role,
    topic: String,
    publish: Template,
    batch: usize,
    sample: Sample,
}

impl Otq {
    pub fn new(settings: &Settings, topic: &str, role: Role) -> Otq {
        let verb = if settings.work == Work::Pubsub { "PUBLISH" } else { "PUT" };
        let mut publish = format!("OTQ {verb} {topic} {} BATCH\r\n", settings.batch);
        let body = text(settings.size);
        for _ in 0..settings.batch {
            publish.extend([&body, "\r\n"]);
        }
        Otq {
            settings: settings.clone(),
            role,
            topic: topic.to_owned(),
            publish: Template::new(publish.into_bytes()),
            batch: settings.batch,
            sample: Sample::new(settings),
        }
    }

    /// A line: a message, or blank so that the connection is not taken for dead.
    fn pushed(&mut self, input: &[u8]) -> Option<(usize, Heard)> {
        let end = memchr::memchr(b'\n', input)?;
        if end < 2 {
            return Some((end + 1, Heard::Nothing));
        }
        let due = if self.sample.next() { stamp(input) } else { None };
        Some((end + 1, Heard::Pushed(due)))
    }
}

impl Speaker for Otq {
    fn open(&mut self, stream: &mut TcpStream) -> Result<Vec<u8>, BenchError> {
        let rest = log_in(&self.settings, stream)?;
        if self.role == Role::Worker {
            return Ok(rest);
        }
        stream.write_all(format!("OTQ SUBSCRIBE {}\r\n", self.topic).as_bytes())?;
        let proceed = |input: &[u8]| match input.starts_with(PROCEED) {
            true => Ok(Some((PROCEED.len(), ()))),
            false if input.len() >= PROCEED.len() => Err(odd(input)),
            false => Ok(None),
        };
        Ok(wait_for(stream, proceed)?.1)
    }

    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        self.publish.write(out, due_ns);
        1
    }

    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize {
        // Writing into memory cannot fail.
        let _ = write!(out, "OTQ GET {} {max} BATCH\r\n", self.topic);
        1
    }

    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        if self.role == Role::Listener {
            return Ok(self.pushed(input));
        }
        let Some(end) = whole(input) else { return Ok(None) };
        let rows = input.get(..end - END.len()).and_then(|answer| answer.strip_prefix(PROCEED));
        let Some(rows) = rows else { return Err(odd(input)) };
        let heard = match asked {
            Some(Asked::Publish) if rows.is_empty() => Heard::Published(self.batch),
            Some(Asked::Receive) => {
                Heard::Received { count: memchr::memchr_iter(b'\n', rows).count(), due_ns: None }
            }
            Some(Asked::Publish | Asked::Ack) | None => return Err(odd(input)),
        };
        Ok(Some((end, heard)))
    }
}
