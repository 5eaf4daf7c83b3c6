//! Redis: publish/subscribe, lists with a processing list, streams with a group.

use super::resp::{
    Head, array, ask, bulk, command, count_answers, head, skip, template, whole_head,
};
use crate::protocol::*;
use std::collections::VecDeque;
use std::io;

/// Appends a command that ends with a message.
fn publish(out: &mut Vec<u8>, head: &[u8], body: &[u8]) {
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

pub struct PubSub {
    context: Context,
    head: Vec<u8>,
}

impl PubSub {
    pub fn new(context: Context) -> PubSub {
        let head = template(&[b"PUBLISH", context.topic.as_bytes()], context.size);
        PubSub { head, context }
    }
}

impl Protocol for PubSub {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Consumer {
            ask(talk, &[b"SUBSCRIBE", self.context.topic.as_bytes()])?;
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        publish(out, &self.head, body);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        count_answers(input)
    }

    /// `message`, the channel, the message.
    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, _: &mut Vec<u8>) -> io::Result<Used> {
        let mut at = 0;
        'all: while let Some((Head::Array(Some(length)), mut next)) = head(input, at)? {
            let mut last = None;
            for _ in 0..length {
                let Some((word, end)) = head(input, next)? else { break 'all };
                if let Head::Bulk(bytes) = word {
                    last = bytes;
                }
                next = end;
            }
            if let Some((from, to)) = last {
                sink(&input[from..to]);
            }
            at = next;
        }
        Ok((at, 0))
    }
}

/// What an answer is to.
enum Asked {
    Take,
    Ack(usize),
}

pub struct List {
    context: Context,
    head: Vec<u8>,
    take: Vec<u8>,
    ack: Vec<u8>,
    /// What is popped is gone.
    plain: bool,
    asked: VecDeque<Asked>,
}

impl List {
    pub fn new(context: Context, plain: bool) -> List {
        let list = context.topic.as_bytes();
        let processing = format!("{}:p{}", context.topic, context.nth);
        let (processing, mut take) = (processing.as_bytes(), Vec::new());
        if plain {
            let count = context.prefetch.to_string();
            let words: &[&[u8]] =
                &[b"BLMPOP", b"0", b"1", list, b"RIGHT", b"COUNT", count.as_bytes()];
            command(&mut take, words);
        } else {
            command(&mut take, &[b"BLMOVE", list, processing, b"RIGHT", b"LEFT", b"0"]);
        }
        List {
            head: template(&[b"LPUSH", list], context.size),
            take,
            ack: template(&[b"LREM", processing, b"-1"], context.size),
            plain,
            asked: VecDeque::new(),
            context,
        }
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.take);
        self.asked.push_back(Asked::Take);
    }

    /// The key, and a list of messages.
    fn popped(input: &[u8], at: usize, sink: Sink<'_>) -> io::Result<usize> {
        let (_, at) = whole_head(input, at)?;
        let (_, at) = whole_head(input, at)?;
        let (Head::Array(Some(length)), mut at) = whole_head(input, at)? else { return Ok(0) };
        for _ in 0..length {
            let (word, next) = whole_head(input, at)?;
            if let Head::Bulk(Some((from, to))) = word {
                sink(&input[from..to]);
            }
            at = next;
        }
        Ok(length)
    }
}

impl Protocol for List {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin && !self.context.flag("keep") {
            ask(talk, &[b"DEL", self.context.topic.as_bytes()])?;
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        publish(out, &self.head, body);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        count_answers(input)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        for _ in 0..if self.plain { 2 } else { self.context.prefetch } {
            self.take(out);
        }
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some(asked) = self.asked.front() {
            match asked {
                Asked::Ack(count) => {
                    let Some(end) = skip(input, at)? else { break };
                    acked += count;
                    at = end;
                    self.asked.pop_front();
                }
                Asked::Take if self.plain => {
                    let Some(end) = skip(input, at)? else { break };
                    acked += List::popped(input, at, sink)?;
                    at = end;
                    self.asked.pop_front();
                    self.take(out);
                }
                Asked::Take => {
                    let Some((answer, end)) = head(input, at)? else { break };
                    at = end;
                    self.asked.pop_front();
                    if let Head::Bulk(Some((from, to))) = answer {
                        sink(&input[from..to]);
                        publish(out, &self.ack, &input[from..to]);
                        self.asked.push_back(Asked::Ack(1));
                    }
                    self.take(out);
                }
            }
        }
        Ok((at, acked))
    }
}

const GROUP: &[u8] = b"g";
/// Reads under way at once.
const READS: usize = 2;

pub struct Stream {
    context: Context,
    head: Vec<u8>,
    read: Vec<u8>,
    asked: VecDeque<Asked>,
    /// Where the ids of one answer stand.
    ids: Vec<(usize, usize)>,
}

impl Stream {
    pub fn new(context: Context) -> Stream {
        let stream = context.topic.as_bytes();
        let (me, count) = (format!("c{}", context.nth), context.prefetch.to_string());
        let mut read = Vec::new();
        let mut words: Vec<&[u8]> = vec![b"XREADGROUP", b"GROUP", GROUP, me.as_bytes()];
        words.extend([
            b"COUNT".as_slice(),
            count.as_bytes(),
            b"BLOCK",
            b"0",
            b"STREAMS",
            stream,
            b">",
        ]);
        command(&mut read, &words);
        let kept = context.option_or("maxlen", "100000").as_bytes();
        let head = match kept {
            b"0" => template(&[b"XADD", stream, b"*", b"m"], context.size),
            kept => template(&[b"XADD", stream, b"MAXLEN", b"~", kept, b"*", b"m"], context.size),
        };
        Stream { head, read, asked: VecDeque::new(), ids: Vec::new(), context }
    }

    fn read(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.read);
        self.asked.push_back(Asked::Take);
    }

    /// `[[stream, [[id, [field, value]] ...]]]`
    fn entries(&mut self, input: &[u8], at: usize, sink: Sink<'_>) -> io::Result<()> {
        self.ids.clear();
        let (Head::Array(Some(_)), at) = whole_head(input, at)? else { return Ok(()) };
        let (_, at) = whole_head(input, at)?;
        let (_, at) = whole_head(input, at)?;
        let (Head::Array(Some(entries)), mut at) = whole_head(input, at)? else {
            return bad("an odd answer to XREADGROUP");
        };
        for _ in 0..entries {
            let (_, next) = whole_head(input, at)?;
            let (id, next) = whole_head(input, next)?;
            if let Head::Bulk(Some(id)) = id {
                self.ids.push(id);
            }
            let (fields, next) = whole_head(input, next)?;
            at = next;
            let Head::Array(Some(words)) = fields else { continue };
            for nth in 0..words {
                let (word, next) = whole_head(input, at)?;
                if let (Head::Bulk(Some((from, to))), 1) = (word, nth) {
                    sink(&input[from..to]);
                }
                at = next;
            }
        }
        Ok(())
    }

    /// A command about all ids of the answer.
    fn about_ids(&self, input: &[u8], out: &mut Vec<u8>, words: &[&[u8]]) {
        array(out, words.len() + self.ids.len());
        for word in words {
            bulk(out, word);
        }
        for (from, to) in &self.ids {
            bulk(out, &input[*from..*to]);
        }
    }
}

impl Protocol for Stream {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin && !self.context.flag("keep") {
            let stream = self.context.topic.as_bytes();
            ask(talk, &[b"DEL", stream])?;
            ask(talk, &[b"XGROUP", b"CREATE", stream, GROUP, b"0", b"MKSTREAM"])?;
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        publish(out, &self.head, body);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        count_answers(input)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        for _ in 0..READS {
            self.read(out);
        }
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while !self.asked.is_empty() {
            let Some(end) = skip(input, at)? else { break };
            match self.asked.pop_front() {
                Some(Asked::Ack(count)) => acked += count,
                Some(Asked::Take) => {
                    self.entries(input, at, sink)?;
                    let count = self.ids.len();
                    let stream = self.context.topic.as_bytes();
                    if count > 0 {
                        self.about_ids(input, out, &[b"XACK", stream, GROUP]);
                        self.asked.push_back(Asked::Ack(count));
                    }
                    if count > 0 && self.context.flag("xdel") {
                        self.about_ids(input, out, &[b"XDEL", stream]);
                        self.asked.push_back(Asked::Ack(0));
                    }
                    self.read(out);
                }
                None => {}
            }
            at = end;
        }
        Ok((at, acked))
    }
}
