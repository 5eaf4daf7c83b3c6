//! octoq's own HTTP.

use super::{count, quoted};
use crate::bench::body::{Template, text};
use crate::bench::http::{Answer, ask, expect, request};
use crate::bench::speaker::{Asked, Heard, Speaker, odd};
use crate::bench::{BenchError, Settings, Work};
use std::io::Write as _;

/// Makes a topic.
pub fn make(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let level = match &settings.durability {
        Some(level) => format!("\"durability\":\"{level}\""),
        None => String::new(),
    };
    let (kind, policy) = match settings.work {
        Work::Pubsub => {
            let history = settings.window.saturating_mul(2).max(20_000);
            let comma = if level.is_empty() { "" } else { "," };
            ("pubsub", format!("{level}{comma}\"history_messages\":{history}"))
        }
        Work::Publish | Work::Receive | Work::Roundtrip => ("broker", level),
    };
    let body = format!("{{\"name\":\"{topic}\",\"kind\":\"{kind}\",\"policy\":{{{policy}}}}}");
    expect(settings.address, &request("POST", "/v1/topics", settings.login.as_ref(), &body))
}

/// Takes it away.
pub fn remove(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let path = format!("/v1/topics/{topic}");
    let gone = request("DELETE", &path, settings.login.as_ref(), "");
    match ask(settings.address, &gone)? {
        (200..=299 | 404, _) => Ok(()),
        (status, text) => Err(BenchError::Refused(format!("{status} {text}"))),
    }
}

/// The request that publishes a batch.
pub fn publish(settings: &Settings, path: &str) -> Template {
    let one = format!("{{\"body\":\"{}\"}}", text(settings.size));
    let body = match settings.batch {
        1 => one,
        batch => format!("[{}]", vec![one; batch].join(",")),
    };
    Template::new(request("POST", path, settings.login.as_ref(), &body))
}

/// A client.
pub struct Native {
    publish: Template,
    batch: usize,
    receive: String,
    ack: String,
    login: Option<(String, String)>,
    /// Receipts as a list in JSON, and how many.
    held: (String, usize),
}

impl Native {
    pub fn new(settings: &Settings, topic: &str) -> Native {
        Native {
            publish: publish(settings, &format!("/v1/topics/{topic}/messages")),
            batch: settings.batch,
            receive: format!("/v1/topics/{topic}/receive?max="),
            ack: format!("/v1/topics/{topic}/ack"),
            login: settings.login.clone(),
            held: (String::new(), 0),
        }
    }
}

impl Speaker for Native {
    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        self.publish.write(out, due_ns);
        1
    }

    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize {
        let path = format!("{}{max}", self.receive);
        out.extend_from_slice(&request("POST", &path, self.login.as_ref(), ""));
        1
    }

    fn ack(&mut self, out: &mut Vec<u8>) -> usize {
        let (receipts, held) = &mut self.held;
        if *held == 0 {
            return 0;
        }
        let body = format!("{{\"receipts\":[{receipts}]}}");
        // Writing into memory cannot fail.
        let _ = out.write_all(&request("POST", &self.ack, self.login.as_ref(), &body));
        receipts.clear();
        *held = 0;
        1
    }

    fn hear(
        &mut self,
        input: &[u8],
        asked: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        let Some(answer) = Answer::good(input)? else { return Ok(None) };
        let body = answer.body;
        let heard = match asked {
            Some(Asked::Publish) => {
                let published = count(body, b"\"seq\":");
                if published != self.batch {
                    return Err(odd(body));
                }
                Heard::Published(published)
            }
            Some(Asked::Receive) => {
                let mut received = 0;
                for receipt in quoted(body, b"\"receipt\":\"") {
                    let comma = if self.held.1 + received == 0 { "" } else { "," };
                    let text = String::from_utf8_lossy(receipt);
                    self.held.0.extend([comma, "\"", &text, "\""]);
                    received += 1;
                }
                self.held.1 += received;
                Heard::Received { count: received, due_ns: None }
            }
            Some(Asked::Ack) => Heard::Acked(count(body, b"\"ok\":true")),
            None => return Err(odd(input)),
        };
        Ok(Some((answer.end, heard)))
    }
}
