//! A lean RESP client: requests are patched into prepared bytes, answers are counted, not kept.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

/// One connection.
pub struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
    filled: usize,
}

/// Where the answer to a batch of requests ends.
#[derive(Clone, Copy)]
pub enum Until {
    Bytes(usize),
    Lines(usize),
}

/// What a client does on one connection.
pub trait Work {
    /// Writes the next batch; `None`: there is no more to do.
    fn ask(&mut self, out: &mut Vec<u8>) -> Option<Until>;
    /// All answers to it, whole. Panics when they are wrong.
    fn answered(&mut self, answers: &[u8]);
}

impl Connection {
    pub fn open(address: &str) -> Connection {
        Connection::with_room(address, 256 << 10)
    }

    /// One of very many: for short answers.
    pub fn small(address: &str) -> Connection {
        Connection::with_room(address, 64)
    }

    fn with_room(address: &str, room: usize) -> Connection {
        let stream = TcpStream::connect(address).expect("connect");
        stream.set_nodelay(true).expect("nodelay");
        Connection { stream, out: Vec::new(), input: vec![0; room], filled: 0 }
    }

    /// Sends the next batch.
    pub fn ask(&mut self, work: &mut impl Work) -> Option<Until> {
        self.out.clear();
        let until = work.ask(&mut self.out)?;
        self.stream.write_all(&self.out).expect("write");
        self.filled = 0;
        Some(until)
    }

    /// Waits for all answers to it.
    pub fn answer(&mut self, until: Until, work: &mut impl Work) {
        let mut lines = 0;
        loop {
            let count = self.stream.read(&mut self.input[self.filled..]).expect("read");
            assert!(count > 0, "the server closed the connection");
            let new = &self.input[self.filled..self.filled + count];
            let done = match until {
                Until::Bytes(bytes) => self.filled + count >= bytes,
                Until::Lines(wanted) => {
                    lines += memchr::memchr_iter(b'\n', new).count();
                    lines >= wanted
                }
            };
            self.filled += count;
            if done {
                break;
            }
            // A refusal is shorter than what was asked for.
            assert!(self.input[0] != b'-', "{}", self.input[..self.filled].escape_ascii());
        }
        if let Until::Bytes(bytes) = until {
            assert_eq!(self.filled, bytes, "{}", self.input[..self.filled].escape_ascii());
        }
        work.answered(&self.input[..self.filled]);
    }
}

/// Does all work on one connection each, from this thread: every connection has one batch under
/// way, and gets the next one when that is answered.
pub fn drive(connections: &mut [Connection], works: &mut [impl Work]) {
    let mut waiting: Vec<Option<Until>> =
        connections.iter_mut().zip(&mut *works).map(|(one, work)| one.ask(work)).collect();
    while waiting.iter().any(Option::is_some) {
        for ((one, work), waiting) in connections.iter_mut().zip(&mut *works).zip(&mut waiting) {
            if let Some(until) = waiting.take() {
                one.answer(until, work);
                *waiting = one.ask(work);
            }
        }
    }
}

/// Adds a request.
pub fn request(out: &mut Vec<u8>, words: &[&[u8]]) {
    write!(out, "*{}\r\n", words.len()).expect("memory");
    for word in words {
        write!(out, "${}\r\n", word.len()).expect("memory");
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// One answer, as far as the benches must know it.
#[derive(Debug)]
pub enum Answer<'a> {
    Fine,
    Number(u64),
    Nothing,
    Text(&'a [u8]),
    /// The id of an event.
    Event(&'a [u8]),
}

/// The line at the start of some bytes, and what follows it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((&bytes[..end.checked_sub(1)?], &bytes[end + 1..]))
}

fn number(digits: &[u8]) -> usize {
    let value = digits.iter().try_fold(0usize, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + usize::from(digit - b'0'))
    });
    value.unwrap_or_else(|| panic!("no number: {}", digits.escape_ascii()))
}

/// A string and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = line(bytes)?;
    assert_eq!(head.first(), Some(&b'$'), "{}", head.escape_ascii());
    let length = number(&head[1..]);
    Some((rest.get(..length)?, rest.get(length + 2..)?))
}

/// The first answer and what follows it, once it is whole.
fn answer(bytes: &[u8]) -> Option<(Answer<'_>, &[u8])> {
    let (head, rest) = line(bytes)?;
    Some(match head.split_first() {
        Some((b'+', _)) => (Answer::Fine, rest),
        Some((b':', digits)) => (Answer::Number(number(digits) as u64), rest),
        Some((b'$', b"-1")) => (Answer::Nothing, rest),
        Some((b'$', _)) => text(bytes).map(|(text, rest)| (Answer::Text(text), rest))?,
        Some((b'*', b"2")) => {
            let (id, rest) = text(rest)?;
            let (_, rest) = text(rest)?;
            (Answer::Event(id), rest)
        }
        _ => panic!("unexpected answer {}", head.escape_ascii()),
    })
}

impl Connection {
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    /// Reads so many answers, one by one.
    pub fn answers(&mut self, count: usize, mut each: impl FnMut(Answer<'_>)) {
        let mut left = count;
        self.filled = 0;
        while left > 0 {
            let count = self.stream.read(&mut self.input[self.filled..]).expect("read");
            assert!(count > 0, "the server closed the connection");
            self.filled += count;
            let mut rest = &self.input[..self.filled];
            while left > 0
                && let Some((one, behind)) = answer(rest)
            {
                each(one);
                rest = behind;
                left -= 1;
            }
            // What is not whole yet goes to the front.
            let from = self.filled - rest.len();
            self.input.copy_within(from..self.filled, 0);
            self.filled -= from;
        }
        assert_eq!(self.filled, 0, "more answers than requests");
    }
}
