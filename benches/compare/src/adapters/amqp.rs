//! AMQP 0-9-1 as RabbitMQ speaks it: one channel, publisher confirms, prefetch, manual ack.

use crate::protocol::*;
use std::collections::VecDeque;
use std::io;

const END: u8 = 0xCE;

fn short(out: &mut Vec<u8>, s: &str) {
    out.push(s.len() as u8);
    out.extend_from_slice(s.as_bytes());
}

fn long(out: &mut Vec<u8>, s: &[u8]) {
    out.extend_from_slice(&(s.len() as u32).to_be_bytes());
    out.extend_from_slice(s);
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![kind];
    f.extend_from_slice(&channel.to_be_bytes());
    long(&mut f, payload);
    f.push(END);
    f
}

fn method(channel: u16, class: u16, id: u16, args: &[u8]) -> Vec<u8> {
    let mut p = Vec::new();
    p.extend_from_slice(&class.to_be_bytes());
    p.extend_from_slice(&id.to_be_bytes());
    p.extend_from_slice(args);
    frame(1, channel, &p)
}

fn u16at(b: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([b[at], b[at + 1]])
}

fn u64at(b: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(b[at..at + 8].try_into().unwrap())
}

/// (kind, payload start, payload end); the next frame starts one byte behind the payload end.
fn next(buf: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    if at + 8 > buf.len() {
        return None;
    }
    let n = u32::from_be_bytes(buf[at + 3..at + 7].try_into().unwrap()) as usize;
    if at + 8 + n > buf.len() { None } else { Some((buf[at], at + 7, at + 7 + n)) }
}

/// Send a method and wait for its answer, skipping anything else.
fn call(talk: &mut Talk, out: &[u8], class: u16, id: u16) -> io::Result<Vec<u8>> {
    if !out.is_empty() {
        talk.send(out)?;
    }
    loop {
        if let Some((kind, a, b)) = next(&talk.input, 0) {
            let p: Vec<u8> = talk.input[a..b].to_vec();
            talk.input.drain(..b + 1);
            if kind != 1 {
                continue;
            }
            let (c, m) = (u16at(&p, 0), u16at(&p, 2));
            if (c, m) == (class, id) {
                return Ok(p[4..].to_vec());
            }
            if (c, m) == (10, 50) || (c, m) == (20, 40) {
                return bad(format!("server closed: {}", show(&p[7..])));
            }
        } else {
            talk.fill()?;
        }
    }
}

pub struct Amqp {
    context: Context,
    fanout: bool,
    head: Vec<u8>,
    // Confirmations may come out of order and in groups.
    base: u64,
    open: VecDeque<bool>,
    // A delivery is three frames; this remembers the tag until its body arrives.
    tag: u64,
    last_acked: u64,
    since: usize,
}

impl Amqp {
    pub fn new(context: Context, fanout: bool) -> Self {
        let (exchange, key) = if fanout {
            (context.topic.clone(), String::new())
        } else {
            (String::new(), context.topic.clone())
        };
        let mut args = vec![0, 0];
        short(&mut args, &exchange);
        short(&mut args, &key);
        args.push(0);
        let mut head = method(1, 60, 40, &args);
        let mut h = Vec::new();
        h.extend_from_slice(&60u16.to_be_bytes());
        h.extend_from_slice(&0u16.to_be_bytes());
        h.extend_from_slice(&(context.size as u64).to_be_bytes());
        h.extend_from_slice(&0x1000u16.to_be_bytes());
        h.push(if context.flag("durable") { 2 } else { 1 });
        head.extend_from_slice(&frame(2, 1, &h));
        head.extend_from_slice(&[3, 0, 1]);
        head.extend_from_slice(&(context.size as u32).to_be_bytes());
        Amqp {
            context,
            fanout,
            head,
            base: 1,
            open: VecDeque::new(),
            tag: 0,
            last_acked: 0,
            since: 0,
        }
    }

    fn declare(&self, name: &str, durable: bool, exclusive: bool, quorum: bool) -> Vec<u8> {
        let mut a = vec![0, 0];
        short(&mut a, name);
        a.push((durable as u8) << 1 | (exclusive as u8) << 2 | (exclusive as u8) << 3);
        let mut table = Vec::new();
        if quorum {
            short(&mut table, "x-queue-type");
            table.push(b'S');
            long(&mut table, b"quorum");
        }
        long(&mut a, &table);
        method(1, 50, 10, &a)
    }
}

impl Protocol for Amqp {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        talk.send(b"AMQP\x00\x00\x09\x01")?;
        call(talk, &[], 10, 10)?;
        let mut a = Vec::new();
        long(&mut a, &[]);
        short(&mut a, "PLAIN");
        long(&mut a, b"\0guest\0guest");
        short(&mut a, "en_US");
        call(talk, &method(0, 10, 11, &a), 10, 30)?;
        let mut tune = Vec::new();
        tune.extend_from_slice(&100u16.to_be_bytes());
        tune.extend_from_slice(&131072u32.to_be_bytes());
        tune.extend_from_slice(&0u16.to_be_bytes());
        talk.send(&method(0, 10, 31, &tune))?;
        let mut a = Vec::new();
        short(&mut a, "/");
        a.extend_from_slice(&[0, 0]);
        call(talk, &method(0, 10, 40, &a), 10, 41)?;
        call(talk, &method(1, 20, 10, &[0]), 20, 11)?;
        let q = self.context.topic.clone();
        let quorum = self.context.option("type") == Some("quorum");
        let durable = self.context.flag("durable") || quorum;
        match self.context.role {
            Role::Admin if self.fanout => {
                let mut a = vec![0, 0];
                short(&mut a, &q);
                short(&mut a, "fanout");
                a.push(0);
                long(&mut a, &[]);
                call(talk, &method(1, 40, 10, &a), 40, 11)?;
            }
            Role::Admin => {
                if !self.context.flag("keep") {
                    let mut a = vec![0, 0];
                    short(&mut a, &q);
                    a.push(0);
                    call(talk, &method(1, 50, 40, &a), 50, 41)?;
                }
                call(talk, &self.declare(&q, durable, false, quorum), 50, 11)?;
            }
            Role::Producer => {
                if !self.fanout {
                    call(talk, &method(1, 85, 10, &[0]), 85, 11)?;
                }
            }
            Role::Consumer => {
                let mut name = q.clone();
                if self.fanout {
                    let r = call(talk, &self.declare("", false, true, false), 50, 11)?;
                    name = String::from_utf8_lossy(&r[1..1 + r[0] as usize]).into_owned();
                    let mut a = vec![0, 0];
                    short(&mut a, &name);
                    short(&mut a, &q);
                    short(&mut a, "");
                    a.push(0);
                    long(&mut a, &[]);
                    call(talk, &method(1, 50, 20, &a), 50, 21)?;
                } else {
                    let mut a = vec![0, 0, 0, 0];
                    a.extend_from_slice(&(self.context.prefetch as u16).to_be_bytes());
                    a.push(0);
                    call(talk, &method(1, 60, 10, &a), 60, 11)?;
                }
                let mut a = vec![0, 0];
                short(&mut a, &name);
                short(&mut a, "c");
                a.push(if self.fanout { 2 } else { 0 });
                long(&mut a, &[]);
                call(talk, &method(1, 60, 20, &a), 60, 21)?;
            }
        }
        Ok(())
    }

    fn has_confirms(&self) -> bool {
        !self.fanout
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(body);
        out.push(END);
        if !self.fanout {
            self.open.push_back(true);
        }
    }

    fn confirms(&mut self, buf: &[u8], _out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut n) = (0, 0);
        while let Some((kind, a, b)) = next(buf, at) {
            at = b + 1;
            if kind != 1 {
                continue;
            }
            match (u16at(buf, a), u16at(buf, a + 2)) {
                (60, 80) => {
                    let tag = u64at(buf, a + 4);
                    if buf[a + 12] & 1 == 1 {
                        while self.base <= tag {
                            if self.open.pop_front() == Some(true) {
                                n += 1;
                            }
                            self.base += 1;
                        }
                    } else if tag >= self.base {
                        let i = (tag - self.base) as usize;
                        if i < self.open.len() && self.open[i] {
                            self.open[i] = false;
                            n += 1;
                        }
                        while self.open.front() == Some(&false) {
                            self.open.pop_front();
                            self.base += 1;
                        }
                    }
                }
                (60, 120) => return bad("publish refused (nack)"),
                (10, 50) | (20, 40) => {
                    return bad(format!("server closed: {}", show(&buf[a + 7..b])));
                }
                _ => {}
            }
        }
        Ok((at, n))
    }

    fn deliveries(&mut self, buf: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let mut at = 0;
        let mut acked = 0;
        while let Some((kind, a, b)) = next(buf, at) {
            at = b + 1;
            match kind {
                3 => {
                    sink(&buf[a..b]);
                    self.last_acked = self.tag;
                    self.since += 1;
                }
                1 => match (u16at(buf, a), u16at(buf, a + 2)) {
                    (60, 60) => self.tag = u64at(buf, a + 5 + buf[a + 4] as usize),
                    (10, 50) | (20, 40) => {
                        return bad(format!("server closed: {}", show(&buf[a + 7..b])));
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        if !self.fanout && self.since > 0 {
            // One acknowledgement for everything of this read.
            let mut a = Vec::with_capacity(9);
            a.extend_from_slice(&self.last_acked.to_be_bytes());
            a.push(1);
            out.extend_from_slice(&method(1, 60, 80, &a));
            acked = self.since;
        }
        self.since = 0;
        Ok((at, acked))
    }
}
