//! blockqueue's REST.

use super::quoted;
use crate::bench::body::{Template, text};
use crate::bench::http::{Answer, ask, expect, request};
use crate::bench::speaker::{Asked, Heard, Speaker, odd};
use crate::bench::{BenchError, Settings};

const SUBSCRIBER: &str = "bench";

/// Makes a topic with one subscriber.
pub fn make(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let body = format!("{{\"name\":\"{topic}\",\"subscribers\":[{{\"name\":\"{SUBSCRIBER}\"}}]}}");
    expect(settings.address, &request("POST", "/topics", settings.login.as_ref(), &body))
}

/// Takes it away.
pub fn remove(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let path = format!("/topics/{topic}");
    match ask(settings.address, &request("DELETE", &path, settings.login.as_ref(), ""))? {
        (200..=299 | 404, _) => Ok(()),
        (status, text) => Err(BenchError::Refused(format!("{status} {text}"))),
    }
}

/// A client.
pub struct Blockqueue {
    publish: Template,
    batch: usize,
    read: Vec<u8>,
    ack: String,
    login: Option<(String, String)>,
    /// Ids as a list in JSON, and how many.
    held: (String, usize),
    acked: usize,
}

impl Blockqueue {
    pub fn new(settings: &Settings, topic: &str) -> Blockqueue {
        let login = settings.login.clone();
        let one = format!("{{\"message\":\"{}\"}}", text(settings.size));
        let (path, body) = match settings.batch {
            1 => (format!("/topics/{topic}/messages"), one),
            batch => {
                let list = format!("[{}]", vec![one; batch].join(","));
                (format!("/topics/{topic}/messages/batch"), list)
            }
        };
        let subscriber = format!("/topics/{topic}/subscribers/{SUBSCRIBER}");
        Blockqueue {
            publish: Template::new(request("POST", &path, login.as_ref(), &body)),
            batch: settings.batch,
            read: request("GET", &format!("{subscriber}?timeout=0s"), login.as_ref(), ""),
            ack: format!("{subscriber}/messages/batch"),
            login,
            held: (String::new(), 0),
            acked: 0,
        }
    }
}

impl Speaker for Blockqueue {
    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        self.publish.write(out, due_ns);
        1
    }

    /// The door brings ten at most, whatever is asked for.
    fn receive(&mut self, out: &mut Vec<u8>, _: usize) -> usize {
        out.extend_from_slice(&self.read);
        1
    }

    fn ack(&mut self, out: &mut Vec<u8>) -> usize {
        let (ids, held) = &mut self.held;
        if *held == 0 {
            return 0;
        }
        let body = format!("[{ids}]");
        out.extend_from_slice(&request("DELETE", &self.ack, self.login.as_ref(), &body));
        ids.clear();
        self.acked = std::mem::take(held);
        1
    }

    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        let Some(answer) = Answer::good(input)? else { return Ok(None) };
        let heard = match asked {
            Some(Asked::Publish) => Heard::Published(self.batch),
            Some(Asked::Receive) => {
                let mut received = 0;
                for id in quoted(answer.body, b"\"id\":\"") {
                    let comma = if self.held.1 + received == 0 { "" } else { "," };
                    self.held.0.extend([comma, "\"", &String::from_utf8_lossy(id), "\""]);
                    received += 1;
                }
                self.held.1 += received;
                Heard::Received { count: received, due_ns: None }
            }
            Some(Asked::Ack) => Heard::Acked(std::mem::take(&mut self.acked)),
            None => return Err(odd(input)),
        };
        Ok(Some((answer.end, heard)))
    }
}
