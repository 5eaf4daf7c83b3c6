//! NATS: core publish/subscribe and JetStream as a work queue.

use crate::protocol::*;
use std::io;

enum Ev<'a> {
    Msg {
        reply: &'a [u8],
        body: &'a [u8],
    },
    /// A JetStream status (no message): code and the still-open part of a pull request.
    Status {
        code: u32,
        pending: usize,
    },
    Ok,
    Ping,
    Skip,
}

/// One protocol item; None when incomplete.
fn item(buf: &[u8], at: usize) -> io::Result<Option<(Ev<'_>, usize)>> {
    let Some(e) = line_end(buf, at) else { return Ok(None) };
    let line = &buf[at..e];
    let next = e + 2;
    if line.starts_with(b"MSG ") || line.starts_with(b"HMSG ") {
        let headers = line[0] == b'H';
        let mut f: [&[u8]; 6] = [b""; 6];
        let mut n = 0;
        for part in line.split(|c| *c == b' ') {
            if n < 6 && !part.is_empty() {
                f[n] = part;
                n += 1;
            }
        }
        let total = match parse_number(f[n - 1]) {
            Some(v) => v as usize,
            None => return bad(format!("bad line {}", show(line))),
        };
        if next + total + 2 > buf.len() {
            return Ok(None);
        }
        let end = next + total + 2;
        if headers {
            let hlen = parse_number(f[n - 2]).unwrap_or(0) as usize;
            let h = &buf[next..next + hlen];
            let reply = if n == 6 { f[3] } else { b"" };
            if h.len() > 12 && h[8] == b' ' && h[9].is_ascii_digit() {
                let code = parse_number(&h[9..12]).unwrap_or(0) as u32;
                let text = String::from_utf8_lossy(h);
                let pending = text
                    .lines()
                    .find_map(|l| l.strip_prefix("Nats-Pending-Messages:"))
                    .and_then(|v| v.trim().parse().ok())
                    .unwrap_or(0);
                return Ok(Some((Ev::Status { code, pending }, end)));
            }
            return Ok(Some((Ev::Msg { reply, body: &buf[next + hlen..next + total] }, end)));
        }
        let reply = if n == 5 { f[3] } else { b"" };
        return Ok(Some((Ev::Msg { reply, body: &buf[next..next + total] }, end)));
    }
    Ok(Some(match line.first() {
        Some(b'+') => (Ev::Ok, next),
        Some(b'P') if line.starts_with(b"PING") => (Ev::Ping, next),
        Some(b'-') => return bad(format!("server says {}", show(line))),
        _ => (Ev::Skip, next),
    }))
}

fn hello(talk: &mut Talk, verbose: bool) -> io::Result<()> {
    talk.expect_line("INFO ")?;
    talk.send(
        format!(
            "CONNECT {{\"verbose\":{verbose},\"pedantic\":false,\"lang\":\"rust\",\"version\":\"1\",\"headers\":true,\"no_responders\":true,\"protocol\":1}}\r\nPING\r\n"
        )
        .as_bytes(),
    )?;
    loop {
        let l = talk.line()?;
        match l.as_str() {
            "PONG" => break,
            l if l.starts_with("-ERR") => return bad(l.to_string()),
            _ => {}
        }
    }
    Ok(())
}

fn pubhead(subject: &str, reply: &str, size: usize) -> Vec<u8> {
    if reply.is_empty() {
        format!("PUB {subject} {size}\r\n").into_bytes()
    } else {
        format!("PUB {subject} {reply} {size}\r\n").into_bytes()
    }
}

pub struct Core {
    context: Context,
    head: Vec<u8>,
}

impl Core {
    pub fn new(context: Context) -> Self {
        Core { head: pubhead(&context.topic, "", context.size), context }
    }
}

impl Protocol for Core {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        hello(talk, self.context.flag("verbose") && self.context.role == Role::Producer)?;
        if self.context.role == Role::Consumer {
            let group = if self.context.flag("queue") { "workers " } else { "" };
            let own = if self.context.flag("own") {
                format!(".{}", self.context.nth)
            } else {
                String::new()
            };
            talk.send(format!("SUB {}{own} {group}1\r\nPING\r\n", self.context.topic).as_bytes())?;
            while talk.line()? != "PONG" {}
        }
        Ok(())
    }

    fn has_confirms(&self) -> bool {
        self.context.flag("verbose")
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        line(out, &self.head, body);
    }

    fn confirms(&mut self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut n) = (0, 0);
        while let Some((ev, p)) = item(buf, at)? {
            match ev {
                Ev::Ok => n += 1,
                Ev::Ping => out.extend_from_slice(b"PONG\r\n"),
                _ => {}
            }
            at = p;
        }
        Ok((at, n))
    }

    fn deliveries(&mut self, buf: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let mut at = 0;
        while let Some((ev, p)) = item(buf, at)? {
            match ev {
                Ev::Msg { body, .. } => sink(body),
                Ev::Ping => out.extend_from_slice(b"PONG\r\n"),
                _ => {}
            }
            at = p;
        }
        Ok((at, 0))
    }
}

pub struct JetStream {
    context: Context,
    head: Vec<u8>,
    pull: Vec<u8>,
    open_pulls: usize,
}

impl JetStream {
    pub fn new(context: Context) -> Self {
        let inbox = format!(
            "_INBOX.{}{}",
            if context.role == Role::Producer { "p" } else { "c" },
            context.nth
        );
        let ask = format!("{{\"batch\":{},\"expires\":20000000000}}", context.prefetch);
        let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}.work", context.topic);
        let mut pull = pubhead(&api, &inbox, ask.len());
        pull.extend_from_slice(ask.as_bytes());
        pull.extend_from_slice(b"\r\n");
        JetStream {
            head: pubhead(&context.topic, &inbox, context.size),
            pull,
            open_pulls: 0,
            context,
        }
    }

    fn api(&self, talk: &mut Talk, subject: &str, body: &str) -> io::Result<String> {
        talk.send(
            format!("PUB $JS.API.{subject} _INBOX.admin {}\r\n{body}\r\n", body.len()).as_bytes(),
        )?;
        loop {
            let l = talk.line()?;
            if l.starts_with("MSG") || l.starts_with("HMSG") {
                let n: usize = l.rsplit(' ').next().and_then(|v| v.parse().ok()).unwrap_or(0);
                let b = talk.exactly(n + 2)?;
                return Ok(String::from_utf8_lossy(&b[..n]).into_owned());
            }
            if l.starts_with("-ERR") {
                return bad(l);
            }
        }
    }
}

impl Protocol for JetStream {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        hello(talk, false)?;
        match self.context.role {
            Role::Admin => {
                talk.send(b"SUB _INBOX.admin 1\r\n")?;
                let t = self.context.topic.clone();
                if self.context.flag("keep") {
                    return Ok(());
                }
                self.api(talk, &format!("STREAM.DELETE.{t}"), "")?;
                let storage = self.context.option_or("storage", "memory");
                let r = self.api(
                    talk,
                    &format!("STREAM.CREATE.{t}"),
                    &format!("{{\"name\":\"{t}\",\"subjects\":[\"{t}\"],\"retention\":\"workqueue\",\"storage\":\"{storage}\",\"num_replicas\":1,\"max_consumers\":-1,\"max_msgs\":-1,\"max_bytes\":-1,\"duplicate_window\":0}}"),
                )?;
                if r.contains("\"error\"") {
                    return bad(r);
                }
                let r = self.api(
                    talk,
                    &format!("CONSUMER.DURABLE.CREATE.{t}.work"),
                    &format!("{{\"stream_name\":\"{t}\",\"config\":{{\"durable_name\":\"work\",\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_wait\":60000000000,\"max_ack_pending\":50000,\"replay_policy\":\"instant\",\"max_waiting\":512}}}}"),
                )?;
                if r.contains("\"error\"") {
                    return bad(r);
                }
            }
            Role::Producer => {
                talk.send(format!("SUB _INBOX.p{} 1\r\n", self.context.nth).as_bytes())?
            }
            Role::Consumer => {
                talk.send(format!("SUB _INBOX.c{} 1\r\n", self.context.nth).as_bytes())?
            }
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        line(out, &self.head, body);
    }

    fn confirms(&mut self, buf: &[u8], out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut n) = (0, 0);
        while let Some((ev, p)) = item(buf, at)? {
            match ev {
                Ev::Msg { body, .. } => {
                    if memchr::memmem::find(body, b"\"error\"").is_some() {
                        return bad(show(body));
                    }
                    n += 1
                }
                Ev::Status { code, .. } => {
                    return bad(format!("publish answered with status {code}"));
                }
                Ev::Ping => out.extend_from_slice(b"PONG\r\n"),
                _ => {}
            }
            at = p;
        }
        Ok((at, n))
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.pull);
        out.extend_from_slice(&self.pull);
        self.open_pulls = 2 * self.context.prefetch;
    }

    fn deliveries(&mut self, buf: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some((ev, p)) = item(buf, at)? {
            match ev {
                Ev::Msg { reply, body } => {
                    sink(body);
                    out.extend_from_slice(b"PUB ");
                    out.extend_from_slice(reply);
                    out.extend_from_slice(b" 4\r\n+ACK\r\n");
                    acked += 1;
                    self.open_pulls = self.open_pulls.saturating_sub(1);
                }
                Ev::Status { pending, .. } => {
                    self.open_pulls = self.open_pulls.saturating_sub(pending.max(1))
                }
                Ev::Ping => out.extend_from_slice(b"PONG\r\n"),
                _ => {}
            }
            at = p;
        }
        while self.open_pulls <= self.context.prefetch {
            out.extend_from_slice(&self.pull);
            self.open_pulls += self.context.prefetch;
        }
        Ok((at, acked))
    }
}
