//! HTTP/1.1 with keep-alive: one request per message, and no request before the last is answered
//! unless `--window` is more than 1. `style=` says which requests publish, take and acknowledge:
//!
//! * `native`: octoq's `POST /v1/topics/T/messages`; `POST .../receive`, `POST .../ack`
//! * `blockqueue`: `POST /topics/T/messages`; `GET /topics/T/subscribers/S`, `DELETE .../messages/batch`
//! * `fastqueue`: `POST /topics/T/messages`; `GET /queues/Q/messages`, `PUT /messages/ID/ack`
//! * `rabbit`: RabbitMQ's management API
//! * `raw`: `pub='METHOD PATH'`, `json='... @ ...'` where @ is the message
//!
//! `base=/prefix` stands before every path, `batch=N` is what one request takes.

use crate::protocol::*;
use std::io;

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Native,
    Blockqueue,
    Fastqueue,
    Rabbit,
    Raw,
}

enum Step {
    Take,
    /// So many answers are to come, to acks of so many messages each.
    Ack {
        answers: usize,
        each: usize,
    },
}

pub struct Http {
    context: Context,
    style: Style,
    before: Vec<u8>,
    after: Vec<u8>,
    take: Vec<u8>,
    step: Step,
}

/// An answer: where it ends, its status and its body.
type Answer = (usize, u16, Vec<u8>);

/// The answer at `at`; `None`: it is not whole.
fn answer(input: &[u8], at: usize) -> io::Result<Option<Answer>> {
    let Some(length) = memchr::memmem::find(&input[at..], b"\r\n\r\n") else { return Ok(None) };
    let start = at + length + 4;
    let Ok(text) = std::str::from_utf8(&input[at..at + length]) else { return bad("an odd head") };
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let (mut length, mut chunked) = (0, false);
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.trim().eq_ignore_ascii_case("chunked");
        }
    }
    if chunked {
        return Ok(chunks(input, start)?.map(|(end, body)| (end, status, body)));
    }
    if status == 204 || status == 304 {
        length = 0;
    }
    let body = input.get(start..start + length);
    Ok(body.map(|body| (start + length, status, body.to_vec())))
}

/// A body that comes in chunks, and where it ends.
fn chunks(input: &[u8], mut at: usize) -> io::Result<Option<(usize, Vec<u8>)>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = line_end(input, at) else { return Ok(None) };
        let digits = std::str::from_utf8(&input[at..end]).unwrap_or_default();
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let Ok(length) = usize::from_str_radix(digits, 16) else { return bad("an odd chunk") };
        let Some(chunk) = input.get(end + 2..end + 2 + length) else { return Ok(None) };
        at = end + 2 + length + 2;
        if at > input.len() {
            return Ok(None);
        }
        body.extend_from_slice(chunk);
        if length == 0 {
            return Ok(Some((at, body)));
        }
    }
}

/// A request of octoq's own API or of one like it, whose answer is waited for.
pub fn ask(talk: &mut Talk, host: &str, line: &str, json: &str) -> io::Result<(u16, Vec<u8>)> {
    let length = if json.is_empty() { None } else { Some(json.len()) };
    let mut request = request(host, line, "application/json", length, "");
    request.extend_from_slice(json.as_bytes());
    wait(talk, &request)
}

fn wait(talk: &mut Talk, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    talk.send(request)?;
    loop {
        if let Some((end, status, body)) = answer(&talk.input, 0)? {
            talk.input.drain(..end);
            return Ok((status, body));
        }
        talk.fill()?;
    }
}

fn request(host: &str, line: &str, kind: &str, length: Option<usize>, more: &str) -> Vec<u8> {
    let body = match length {
        Some(length) => format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n"),
        None => String::new(),
    };
    format!("{line} HTTP/1.1\r\nHost: {host}\r\n{more}{body}\r\n").into_bytes()
}

/// The texts behind `"name":"`, or the numbers behind `"name":`.
fn fields<'a>(body: &'a [u8], name: &str) -> Vec<&'a [u8]> {
    let mark = format!("\"{name}\":");
    let starts = memchr::memmem::find_iter(body, mark.as_bytes());
    let found = starts.filter_map(|start| {
        let rest = body[start + mark.len()..].trim_ascii_start();
        match rest.strip_prefix(b"\"") {
            Some(text) => text.get(..memchr::memchr(b'"', text)?),
            None => rest.get(..rest.iter().position(|byte| !byte.is_ascii_digit())?),
        }
    });
    found.collect()
}

impl Http {
    pub fn new(context: Context) -> io::Result<Http> {
        let style = match context.option_or("style", "raw") {
            "native" => Style::Native,
            "blockqueue" => Style::Blockqueue,
            "fastqueue" => Style::Fastqueue,
            "rabbit" => Style::Rabbit,
            "raw" => Style::Raw,
            style => return bad(format!("no style is named {style}")),
        };
        let topic = &context.topic;
        let json = match style {
            Style::Native => context.option_or("json", "{\"body\":\"@\"}").to_owned(),
            Style::Blockqueue => "{\"message\":\"@\"}".to_owned(),
            Style::Fastqueue => "{\"data\":{\"m\":\"@\"}}".to_owned(),
            Style::Rabbit => format!(
                "{{\"properties\":{{}},\"routing_key\":\"{topic}\",\"payload\":\"@\",\
                 \"payload_encoding\":\"string\"}}"
            ),
            Style::Raw => context.option_or("json", "@").to_owned(),
        };
        let line = match style {
            Style::Native => format!("POST /v1/topics/{topic}/messages"),
            Style::Blockqueue | Style::Fastqueue => format!("POST /topics/{topic}/messages"),
            Style::Rabbit => "POST /api/exchanges/%2F/amq.default/publish".to_owned(),
            Style::Raw => context.option_or("pub", "POST /").to_owned(),
        };
        let (start, end) = json.split_once('@').unwrap_or((&json, ""));
        let length = start.len() + context.size + end.len();
        let after = end.as_bytes().to_vec();
        let (before, take, step) = (Vec::new(), Vec::new(), Step::Take);
        let mut http = Http { context, style, before, after, take, step };
        let kind = http.context.option_or("type", "application/json").to_owned();
        http.before = http.request(&line, &kind, Some(length));
        http.before.extend_from_slice(start.as_bytes());
        http.take = http.take_request();
        Ok(http)
    }

    fn request(&self, line: &str, kind: &str, length: Option<usize>) -> Vec<u8> {
        let base = self.context.option_or("base", "");
        let line = line.replacen(" /", &format!(" {base}/"), 1);
        let login = match self.style {
            Style::Rabbit => "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n",
            _ => "",
        };
        request(&self.context.host, &line, kind, length, login)
    }

    fn json(&self, line: &str, json: &str) -> Vec<u8> {
        let mut request = self.request(line, "application/json", Some(json.len()));
        request.extend_from_slice(json.as_bytes());
        request
    }

    fn take_request(&self) -> Vec<u8> {
        let topic = &self.context.topic;
        let batch = self.context.number("batch", 1);
        match self.style {
            Style::Native => self
                .json(&format!("POST /v1/topics/{topic}/receive?max={batch}&wait_ms=1000"), "{}"),
            // It brings up to ten.
            Style::Blockqueue => {
                self.request(&format!("GET /topics/{topic}/subscribers/s?timeout=1s"), "", None)
            }
            Style::Fastqueue => {
                self.request(&format!("GET /queues/{topic}/messages?limit={batch}"), "", None)
            }
            Style::Rabbit => self.json(
                &format!("POST /api/queues/%2F/{topic}/get"),
                &format!(
                    "{{\"count\":{batch},\"ackmode\":\"ack_requeue_false\",\"encoding\":\"auto\"}}"
                ),
            ),
            Style::Raw => self.request(self.context.option_or("get", "GET /"), "", None),
        }
    }

    /// Asks, whatever is answered: what is to be made may be there.
    fn ask(&self, talk: &mut Talk, line: &str, json: &str) -> io::Result<(u16, Vec<u8>)> {
        wait(
            talk,
            &if json.is_empty() { self.request(line, "", None) } else { self.json(line, json) },
        )
    }

    /// Appends the acks of what was taken.
    fn acks(&self, body: &[u8], out: &mut Vec<u8>) -> Step {
        let topic = &self.context.topic;
        let name = if self.style == Style::Native { "receipt" } else { "id" };
        let ids = fields(body, name);
        if ids.is_empty() {
            return Step::Take;
        }
        let text = |id: &[u8]| String::from_utf8_lossy(id).into_owned();
        let quoted =
            || ids.iter().map(|id| format!("\"{}\"", text(id))).collect::<Vec<_>>().join(",");
        match self.style {
            Style::Native => {
                let json = format!("{{\"receipts\":[{}]}}", quoted());
                out.extend(self.json(&format!("POST /v1/topics/{topic}/ack"), &json));
            }
            Style::Blockqueue => {
                let line = format!("DELETE /topics/{topic}/subscribers/s/messages/batch");
                out.extend(self.json(&line, &format!("[{}]", quoted())));
            }
            _ => {
                for id in &ids {
                    out.extend(self.request(&format!("PUT /messages/{}/ack", text(id)), "", None));
                }
                return Step::Ack { answers: ids.len(), each: 1 };
            }
        }
        Step::Ack { answers: 1, each: ids.len() }
    }
}

impl Protocol for Http {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role != Role::Admin || self.context.flag("keep") {
            return Ok(());
        }
        let topic = self.context.topic.clone();
        match self.style {
            Style::Native => {
                self.ask(talk, "POST /v1/topics", &format!("{{\"name\":\"{topic}\"}}"))?;
            }
            Style::Blockqueue => {
                let subscriber = "{\"name\":\"s\",\"option\":{\"max_attempts\":5,\"visibility_duration\":\"5m\"}}";
                let json = format!("{{\"name\":\"{topic}\",\"subscribers\":[{subscriber}]}}");
                self.ask(talk, "POST /topics", &json)?;
            }
            Style::Fastqueue => {
                self.ask(talk, "POST /topics", &format!("{{\"id\":\"{topic}\"}}"))?;
                let json = format!(
                    "{{\"id\":\"{topic}\",\"topic_id\":\"{topic}\",\"ack_deadline_seconds\":120,\
                     \"message_retention_seconds\":1209600}}"
                );
                self.ask(talk, "POST /queues", &json)?;
            }
            Style::Rabbit => {
                self.ask(talk, &format!("DELETE /api/queues/%2F/{topic}"), "")?;
                let durable = self.context.flag("durable");
                let json =
                    format!("{{\"durable\":{durable},\"auto_delete\":false,\"arguments\":{{}}}}");
                self.ask(talk, &format!("PUT /api/queues/%2F/{topic}"), &json)?;
            }
            Style::Raw => {}
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before);
        out.extend_from_slice(body);
        out.extend_from_slice(&self.after);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut confirmed) = (0, 0);
        while let Some((end, status, body)) = answer(input, at)? {
            if !(200..300).contains(&status) {
                return bad(format!("a publish was answered {status}: {}", show(&body)));
            }
            at = end;
            confirmed += 1;
        }
        Ok((at, confirmed))
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.take);
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some((end, status, body)) = answer(input, at)? {
            at = end;
            if !(200..300).contains(&status) {
                return bad(format!("answered {status}: {}", show(&body)));
            }
            self.step = match self.step {
                Step::Ack { answers, each } => {
                    acked += each;
                    if answers > 1 { Step::Ack { answers: answers - 1, each } } else { Step::Take }
                }
                Step::Take => {
                    let mut taken = 0;
                    for start in memchr::memmem::find_iter(&body, MARK) {
                        sink(&body[start..]);
                        taken += 1;
                    }
                    if matches!(self.style, Style::Rabbit | Style::Raw) {
                        acked += taken;
                        Step::Take
                    } else {
                        self.acks(&body, out)
                    }
                }
            };
            if matches!(self.step, Step::Take) {
                out.extend_from_slice(&self.take);
            }
        }
        Ok((at, acked))
    }
}
