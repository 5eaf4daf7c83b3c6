//! otq: octoque's lines. PUT and GET on a broker topic (a GET takes for good: at most once), PUBLISH
//! and SUBSCRIBE on a pubsub topic. Whatever is published in one go is one command with as many rows.
//!
//! A row that begins with a stamp is a message; everything else is a word of the broker. Lines that are
//! pushed end with LF, answers with CR LF.

use crate::protocol::*;
use std::collections::VecDeque;
use std::io;

/// Digits of the number of rows.
const ROWS: usize = 6;
/// GETs under way at once.
const GETS: usize = 2;

pub struct Otq {
    context: Context,
    pubsub: bool,
    /// The command, and where its number of rows is.
    head: Vec<u8>,
    rows_at: usize,
    /// Where the command that is being written stands, and how many rows it has.
    open: Option<(usize, usize)>,
    /// Rows of the commands that are not answered.
    unanswered: VecDeque<usize>,
    get: Vec<u8>,
    got: usize,
}

impl Otq {
    pub fn new(context: Context, pubsub: bool) -> Otq {
        let verb = if pubsub { "PUBLISH" } else { context.option_or("verb", "PUT") };
        let (start, mark) = (format!("OTQ {verb} {} ", context.topic), "0".repeat(ROWS));
        let rows = context.number("rows", context.prefetch);
        Otq {
            pubsub,
            head: format!("{start}{mark} BATCH\r\n").into_bytes(),
            rows_at: start.len(),
            open: None,
            unanswered: VecDeque::new(),
            get: format!("OTQ GET {} {rows} BATCH\r\n", context.topic).into_bytes(),
            got: 0,
            context,
        }
    }

    fn say(&self, talk: &mut Talk, command: &str) -> io::Result<()> {
        talk.send(format!("OTQ {command}\r\n").as_bytes())?;
        loop {
            let line = talk.line()?;
            // What is to be made may be there.
            if line == "ENDOFRESP" || line.starts_with("DECLINE") {
                return Ok(());
            }
        }
    }
}

impl Protocol for Otq {
    fn open(&mut self, talk: &mut Talk) -> io::Result<()> {
        let user = self.context.option_or("user", "admin");
        let password = self.context.option_or("password", "password");
        talk.send(format!("OTQ CONNECT {user} {password}\r\n").as_bytes())?;
        talk.expect_line("CONNECTED")?;
        talk.expect_line("ENDOFRESP")?;
        match self.context.role {
            Role::Admin => {
                let kind = if self.pubsub { "PUBSUB" } else { "BROKER" };
                self.say(talk, &format!("NEW {} {kind}", self.context.topic))?;
                if !self.context.flag("keep") {
                    self.say(talk, &format!("CLEAR {}", self.context.topic))?;
                }
            }
            Role::Consumer if self.pubsub => {
                talk.send(format!("OTQ SUBSCRIBE {}\r\n", self.context.topic).as_bytes())?;
                talk.expect_line("PROCEED")?;
            }
            Role::Consumer | Role::Producer => {}
        }
        Ok(())
    }

    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let (_, rows) = self.open.get_or_insert_with(|| {
            out.extend_from_slice(&self.head);
            (out.len() - self.head.len(), 0)
        });
        *rows += 1;
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let Some((start, rows)) = self.open.take() else { return };
        let at = start + self.rows_at;
        set_digits(&mut out[at..at + ROWS], rows as u64);
        self.unanswered.push_back(rows);
    }

    fn confirms(&mut self, input: &[u8], _: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut confirmed) = (0, 0);
        while let Some(length) = memchr::memchr(b'\n', &input[at..]) {
            let line = &input[at..at + length];
            if line.starts_with(b"ENDOFRESP") {
                confirmed += self.unanswered.pop_front().unwrap_or_default();
            } else if line.starts_with(b"DECLINE") || line.starts_with(b"FAIL") {
                return bad(show(line));
            }
            at += length + 1;
        }
        Ok((at, confirmed))
    }

    fn start(&mut self, out: &mut Vec<u8>) {
        if !self.pubsub {
            out.extend_from_slice(&self.get.repeat(GETS));
        }
    }

    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used> {
        let (mut at, mut acked) = (0, 0);
        while let Some(length) = memchr::memchr(b'\n', &input[at..]) {
            let line = &input[at..at + length];
            if line.starts_with(MARK) {
                sink(line);
                self.got += 1;
            } else if line.starts_with(b"DECLINE") {
                return bad(show(line));
            } else if !self.pubsub && line.starts_with(b"ENDOFRESP") {
                acked += std::mem::take(&mut self.got);
                out.extend_from_slice(&self.get);
            }
            at += length + 1;
        }
        Ok((at, acked))
    }
}
