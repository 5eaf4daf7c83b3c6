//! fastqueue's REST.

use super::quoted;
use crate::bench::body::{Template, text};
use crate::bench::http::{Answer, ask, expect, request};
use crate::bench::speaker::{Asked, Heard, Speaker, odd};
use crate::bench::{BenchError, Settings};

/// Makes a topic and a queue of the same name.
pub fn make(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    let login = settings.login.as_ref();
    let made = format!("{{\"id\":\"{topic}\"}}");
    expect(settings.address, &request("POST", "/topics", login, &made))?;
    let queue = format!(
        "{{\"id\":\"{topic}\",\"topic_id\":\"{topic}\",\"ack_deadline_seconds\":60,\
         \"message_retention_seconds\":86400}}"
    );
    expect(settings.address, &request("POST", "/queues", login, &queue))
}

/// Takes both away.
pub fn remove(settings: &Settings, topic: &str) -> Result<(), BenchError> {
    for path in [format!("/queues/{topic}"), format!("/topics/{topic}")] {
        match ask(settings.address, &request("DELETE", &path, settings.login.as_ref(), ""))? {
            (200..=299 | 404, _) => (),
            (status, text) => return Err(BenchError::Refused(format!("{status} {text}"))),
        }
    }
    Ok(())
}

/// A client.
pub struct Fastqueue {
    publish: Template,
    consume: String,
    login: Option<(String, String)>,
    held: Vec<String>,
}

impl Fastqueue {
    pub fn new(settings: &Settings, topic: &str) -> Fastqueue {
        let login = settings.login.clone();
        let body = format!("{{\"data\":{{\"body\":\"{}\"}}}}", text(settings.size));
        let path = format!("/topics/{topic}/messages");
        Fastqueue {
            publish: Template::new(request("POST", &path, login.as_ref(), &body)),
            consume: format!("/queues/{topic}/messages?limit="),
            login,
            held: Vec::new(),
        }
    }
}

impl Speaker for Fastqueue {
    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        self.publish.write(out, due_ns);
        1
    }

    fn receive(&mut self, out: &mut Vec<u8>, max: usize) -> usize {
        let path = format!("{}{max}", self.consume);
        out.extend_from_slice(&request("GET", &path, self.login.as_ref(), ""));
        1
    }

    fn ack(&mut self, out: &mut Vec<u8>) -> usize {
        for id in &self.held {
            let path = format!("/messages/{id}/ack");
            out.extend_from_slice(&request("PUT", &path, self.login.as_ref(), ""));
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
        let Some(answer) = Answer::good(input)? else { return Ok(None) };
        let heard = match asked {
            Some(Asked::Publish) => match quoted(answer.body, b"\"id\":\"").count() {
                1 => Heard::Published(1),
                _ => return Err(odd(answer.body)),
            },
            Some(Asked::Receive) => {
                let ids = quoted(answer.body, b"\"id\":\"");
                let before = self.held.len();
                self.held.extend(ids.map(|id| String::from_utf8_lossy(id).into_owned()));
                Heard::Received { count: self.held.len() - before, due_ns: None }
            }
            Some(Asked::Ack) => Heard::Acked(1),
            None => return Err(odd(input)),
        };
        Ok(Some((answer.end, heard)))
    }
}
