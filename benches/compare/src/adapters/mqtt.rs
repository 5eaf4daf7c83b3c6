//! MQTT 3.1.1: QoS 0 or 1, plain or shared subscriptions.

use super::frames::{BINARY, CLOSE, PING, PONG, get, put, upgrade};
use crate::protocol::*;
use std::io;

fn remaining(out: &mut Vec<u8>, mut n: usize) {
    loop {
        let b = (n % 128) as u8;
        n /= 128;
        out.push(if n > 0 { b | 128 } else { b });
        if n == 0 {
            break;
        }
    }
}

fn text(out: &mut Vec<u8>, s: &str) {
    out.extend_from_slice(&(s.len() as u16).to_be_bytes());
    out.extend_from_slice(s.as_bytes());
}

/// First byte, body range, end of one packet.
fn packet(buf: &[u8], at: usize) -> Option<(u8, usize, usize)> {
    let first = *buf.get(at)?;
    let (mut n, mut shift, mut p) = (0usize, 0, at + 1);
    loop {
        let b = *buf.get(p)?;
        p += 1;
        n |= ((b & 127) as usize) << shift;
        shift += 7;
        if b & 128 == 0 {
            break;
        }
    }
    if p + n > buf.len() { None } else { Some((first, p, p + n)) }
}

pub struct Mqtt {
    context: Context,
    qos: u8,
    head: Vec<u8>,
    next: u16,
}

impl Mqtt {
    pub fn new(context: Context) -> Self {
        let qos = if context.option("qos") == Some("1") { 1 } else { 0 };
        let mut head = vec![0x30 | qos << 1];
        remaining(&mut head, 2 + context.topic.len() + if qos > 0 { 2 } else { 0 } + context.size);
        text(&mut head, &context.topic);
        Mqtt { context, qos, head, next: 0 }
    }

    pub fn connect_packet(&self) -> Vec<u8> {
        let id = format!("{:?}{}", self.context.role, self.context.nth);
        let mut b = Vec::new();
        text(&mut b, "MQTT");
        b.extend_from_slice(&[4, 2, 0, 0]);
        text(&mut b, &id);
        let mut out = vec![0x10];
        remaining(&mut out, b.len());
        out.extend_from_slice(&b);
        out
    }

    pub fn subscribe_packet(&self) -> Vec<u8> {
        let mut f = if self.context.flag("share") {
            format!("$share/g/{}", self.context.topic)
        } else {
            self.context.topic.clone()
        };
        if self.context.flag("own") {
            f = format!("{f}/{}", self.context.nth);
        }
        let mut b = vec![0, 1];
        text(&mut b, &f);
        b.push(self.qos);
        let mut out = vec![0x82];
        remaining(&mut out, b.len());
        out.extend_from_slice(&b);
        out
    }
}

impl Protocol for Mqtt {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin {
            return Ok(());
        }
        talk.send(&self.connect_packet())?;
        let ack = talk.exactly(4)?;
        if ack[0] != 0x20 || ack[3] != 0 {
            return bad(format!("CONNACK {ack:?}"));
        }
        if self.context.role == Role::Consumer {
            talk.send(&self.subscribe_packet())?;
            let ack = talk.exactly(5)?;
            if ack[0] != 0x90 || ack[4] > 2 {
                return bad(format!("SUBACK {ack:?}"));
            }
        }
        Ok(())
    }

    fn has_confirms(&self) -> bool {
        self.qos > 0
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if self.qos > 0 {
            self.next = if self.next == u16::MAX { 1 } else { self.next + 1 };
            out.extend_from_slice(&self.next.to_be_bytes());
        }
        out.extend_from_slice(body);
    }

    fn confirms(&mut self, buf: &[u8], _out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut n) = (0, 0);
        while let Some((first, _, end)) = packet(buf, at) {
            if first >> 4 == 4 {
                n += 1;
            }
            at = end;
        }
        Ok((at, n))
    }

    fn deliveries(&mut self, buf: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some((first, p, end)) = packet(buf, at) {
            if first >> 4 == 3 {
                let tl = u16::from_be_bytes([buf[p], buf[p + 1]]) as usize;
                let mut b = p + 2 + tl;
                if first & 6 != 0 {
                    out.extend_from_slice(&[0x40, 2, buf[b], buf[b + 1]]);
                    b += 2;
                    acked += 1;
                }
                sink(&buf[b..end]);
            }
            at = end;
        }
        Ok((at, acked))
    }
}

/// MQTT in binary frames. Packets do not care where frames end.
pub struct OnWebSocket {
    mqtt: Mqtt,
    /// What the frames held and is not used.
    inbox: Vec<u8>,
    answer: Vec<u8>,
}

impl OnWebSocket {
    pub fn new(context: Context) -> OnWebSocket {
        OnWebSocket { mqtt: Mqtt::new(context), inbox: Vec::new(), answer: Vec::new() }
    }

    /// Takes all whole frames off; how many bytes that were.
    fn unwrap(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        let mut at = 0;
        while let Some((kind, start, end)) = get(input, at) {
            match kind {
                CLOSE => return bad("the server closed the WebSocket"),
                PING => put(out, PONG, &input[start..end]),
                PONG => {}
                _ => self.inbox.extend_from_slice(&input[start..end]),
            }
            at = end;
        }
        Ok(at)
    }

    fn say(&mut self, talk: &mut Talk, packet: &[u8], answer: usize) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        put(&mut out, BINARY, packet);
        talk.send(&out)?;
        loop {
            let input = std::mem::take(&mut talk.input);
            let used = self.unwrap(&input, &mut Vec::new())?;
            talk.input = input[used..].to_vec();
            if self.inbox.len() >= answer {
                return Ok(self.inbox.drain(..answer).collect());
            }
            talk.fill()?;
        }
    }
}

impl Protocol for OnWebSocket {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.mqtt.context.role == Role::Admin {
            return Ok(());
        }
        let host = self.mqtt.context.host.clone();
        upgrade(talk, &host, "/mqtt", "mqtt")?;
        let answer = self.say(talk, &self.mqtt.connect_packet(), 4)?;
        if answer[0] != 0x20 || answer[3] != 0 {
            return bad(format!("CONNACK {answer:?}"));
        }
        if self.mqtt.context.role == Role::Consumer {
            let answer = self.say(talk, &self.mqtt.subscribe_packet(), 5)?;
            if answer[0] != 0x90 || answer[4] > 2 {
                return bad(format!("SUBACK {answer:?}"));
            }
        }
        Ok(())
    }

    fn has_confirms(&self) -> bool {
        self.mqtt.has_confirms()
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        self.answer.clear();
        self.mqtt.publish(body, &mut self.answer);
        put(out, BINARY, &self.answer);
    }

    fn confirms(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<Used> {
        let used = self.unwrap(input, out)?;
        let (taken, confirmed) = self.mqtt.confirms(&self.inbox, &mut Vec::new())?;
        self.inbox.drain(..taken);
        Ok((used, confirmed))
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let used = self.unwrap(input, out)?;
        self.answer.clear();
        let (taken, acked) = self.mqtt.deliveries(&self.inbox, sink, &mut self.answer)?;
        self.inbox.drain(..taken);
        if !self.answer.is_empty() {
            put(out, BINARY, &self.answer);
        }
        Ok((used, acked))
    }
}
