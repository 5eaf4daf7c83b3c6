//! okQ's commands at octoq: `QLPUSH` with an id of the producer's, `QBPOP .. COUNT n` that waits for a
//! batch, a `QACK` for each event, whose answer is what counts as acknowledged.

use super::resp::{Head, ask, command, count_answers, head, skip, template};
use crate::protocol::*;
use std::collections::VecDeque;
use std::io;

/// Digits of an id.
const ID: usize = 16;
/// Ids of a producer begin here, times its number, and behind what `ids_from=` says.
const IDS_EACH: u64 = 1_000_000_000_000;
/// How long a pop waits, in seconds: longer than any run.
const WAIT_S: &[u8] = b"600";
/// How long a consumer has, in seconds.
const EXPIRES_S: &[u8] = b"600";

enum Asked {
    Pop,
    Acks(usize),
}

pub struct Okq {
    context: Context,
    /// `QLPUSH` up to the event's bytes, and where its id is.
    push: Vec<u8>,
    id_at: usize,
    next_id: u64,
    pop: Vec<u8>,
    /// How many pops are under way at once.
    pops: usize,
    /// `QACK` up to the id.
    ack: Vec<u8>,
    /// The answer to a pop begins with the queue's name.
    named: bool,
    asked: VecDeque<Asked>,
}

impl Okq {
    /// With octoq's `QBPOP`.
    pub fn new(context: Context) -> Okq {
        let (pops, count) = (context.number("pops", 1), context.prefetch.to_string());
        let queue = context.topic.clone();
        let words: &[&[u8]] =
            &[b"QBPOP", queue.as_bytes(), WAIT_S, b"EX", EXPIRES_S, b"COUNT", count.as_bytes()];
        Okq::with(context, words, pops, true)
    }

    /// With okQ's own words. Nothing waits in them: a consumer asks again when there was nothing.
    pub fn plain(context: Context) -> Okq {
        let (pops, queue) = (context.prefetch, context.topic.clone());
        Okq::with(context, &[b"QRPOP", queue.as_bytes(), b"EX", EXPIRES_S], pops, false)
    }

    fn with(context: Context, pop: &[&[u8]], pops: usize, named: bool) -> Okq {
        let queue = context.topic.as_bytes();
        let push = template(&[b"QLPUSH", queue, &[b'#'; ID]], context.size);
        let id_at = memchr::memmem::find(&push, &[b'#'; ID]).unwrap_or_default();
        let mut take = Vec::new();
        command(&mut take, pop);
        let mut ack = Vec::new();
        command(&mut ack, &[b"QACK", queue, &[b'#'; ID]]);
        ack.truncate(ack.len() - ID - 2);
        let next_id = (context.nth as u64 + 1) * IDS_EACH + context.number("ids_from", 0) as u64;
        let asked = VecDeque::new();
        Okq { context, push, id_at, next_id, pop: take, pops, ack, named, asked }
    }
}

impl Protocol for Okq {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        if self.context.role == Role::Admin && !self.context.flag("keep") {
            ask(talk, &[b"QREGISTER", self.context.topic.as_bytes()])?;
            ask(talk, &[b"QFLUSH", self.context.topic.as_bytes()])?;
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        set_digits(&mut self.push[self.id_at..self.id_at + ID], self.next_id);
        self.next_id += 1;
        out.extend_from_slice(&self.push);
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        count_answers(input)
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        for _ in 0..self.pops {
            out.extend_from_slice(&self.pop);
            self.asked.push_back(Asked::Pop);
        }
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some(asked) = self.asked.front_mut() {
            if let Asked::Acks(left) = asked {
                let Some((answer, next)) = head(input, at)? else { break };
                let Head::Number(found) = answer else { return bad("an odd answer to QACK") };
                acked += found as usize;
                at = next;
                *left -= 1;
                if *left == 0 {
                    self.asked.pop_front();
                }
                continue;
            }
            // A batch is looked at when it is whole.
            let Some(end) = skip(input, at)? else { break };
            self.asked.pop_front();
            let mut popped = 0;
            if let Some((Head::Array(Some(strings)), mut next)) = head(input, at)? {
                let skipped = usize::from(self.named);
                let mut id = &input[..0];
                for nth in 0..strings {
                    let Some((Head::Bulk(Some((from, to))), behind)) = head(input, next)? else {
                        return bad("an odd answer to a pop");
                    };
                    next = behind;
                    if nth < skipped {
                        continue;
                    }
                    if (nth - skipped) % 2 == 0 {
                        id = &input[from..to];
                        continue;
                    }
                    sink(&input[from..to]);
                    out.extend_from_slice(&self.ack);
                    out.extend_from_slice(id);
                    out.extend_from_slice(b"\r\n");
                    popped += 1;
                }
            }
            if popped > 0 {
                self.asked.push_back(Asked::Acks(popped));
            }
            out.extend_from_slice(&self.pop);
            self.asked.push_back(Asked::Pop);
            at = end;
        }
        Ok((at, acked))
    }
}
