//! What an adapter provides. An adapter touches no socket once it is open: it appends requests to a
//! buffer and is handed answers, so every protocol is driven by the same loop and pays the same cost.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// One connection before the others, which makes what they need: a topic, a stream, a group.
    Admin,
    Producer,
    Consumer,
}

/// What a connection is for.
#[derive(Clone)]
pub struct Context {
    pub role: Role,
    /// Which of its role, from 0.
    pub nth: usize,
    pub topic: String,
    /// Bytes of a message.
    pub size: usize,
    /// Deliveries that a consumer may hold.
    pub prefetch: usize,
    pub host: String,
    pub options: HashMap<String, String>,
}

impl Context {
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub fn option_or<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        self.option(name).unwrap_or(default)
    }

    pub fn number(&self, name: &str, default: usize) -> usize {
        self.option(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.option(name), Some("1" | "yes" | "true"))
    }
}

/// Bytes that were used, and messages that were confirmed or acknowledged by them.
pub type Used = (usize, usize);

/// Told of each message a consumer gets.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]);

pub trait Protocol: Send {
    /// The first words on a fresh connection, where one waits for answers: log in, declare, subscribe.
    fn open(&mut self, talk: &mut Talk) -> io::Result<()>;

    /// Appends what publishes one message.
    fn publish(&mut self, body: &[u8], out: &mut Vec<u8>);

    /// No more is published for now: a request that takes several messages ends here.
    fn finish(&mut self, _out: &mut Vec<u8>) {}

    /// Whether each publish is answered. If not, nothing bounds how many are under way.
    fn has_confirms(&self) -> bool {
        true
    }

    /// Bytes that a producer got.
    fn confirms(&mut self, input: &[u8], out: &mut Vec<u8>) -> io::Result<Used>;

    /// Appends what starts the flow of messages to a consumer.
    fn start(&mut self, _out: &mut Vec<u8>) {}

    /// Bytes that a consumer got: tells `sink` of each message, and appends acks and the next requests.
    fn deliveries(&mut self, input: &[u8], sink: Sink<'_>, out: &mut Vec<u8>) -> io::Result<Used>;
}

/// Appends a head that is the same for each message, the body, and the end of a line.
pub fn line(out: &mut Vec<u8>, head: &[u8], body: &[u8]) {
    out.extend_from_slice(head);
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

pub fn bad<T>(what: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, what.into()))
}

/// Some bytes for an error's text.
pub fn show(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// A connection that is being opened, on which one waits for answers.
pub struct Talk {
    pub stream: TcpStream,
    /// What was read and not used.
    pub input: Vec<u8>,
}

impl Talk {
    pub fn new(stream: TcpStream) -> Talk {
        Talk { stream, input: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    pub fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0u8; 16384];
        let count = self.stream.read(&mut chunk)?;
        if count == 0 {
            return bad(format!("closed while opening, behind: {}", show(&self.input)));
        }
        self.input.extend_from_slice(&chunk[..count]);
        Ok(())
    }

    /// One line without its end.
    pub fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.input) {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned());
            }
            self.fill()?;
        }
    }

    pub fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.input.len() < count {
            self.fill()?;
        }
        Ok(self.input.drain(..count).collect())
    }

    pub fn expect_line(&mut self, start: &str) -> io::Result<String> {
        let line = self.line()?;
        if line.starts_with(start) {
            Ok(line)
        } else {
            bad(format!("expected {start:?}, got {line:?}"))
        }
    }
}

/// A message is this mark, 16 hexadecimal digits of the time it was due at, and filler: so it is found
/// in any framing, inside JSON as well.
pub const MARK: &[u8] = b"t=";
pub const STAMP_END: usize = 18;

pub fn make_body(size: usize) -> Vec<u8> {
    let mut body = vec![b'x'; size.max(STAMP_END)];
    body[..MARK.len()].copy_from_slice(MARK);
    stamp(&mut body, 0);
    body
}

pub fn stamp(body: &mut [u8], ns: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for (nth, digit) in body[MARK.len()..STAMP_END].iter_mut().enumerate() {
        *digit = HEX[((ns >> (60 - 4 * nth)) & 15) as usize];
    }
}

/// The time in a message, or in a frame that holds one.
pub fn read_stamp(frame: &[u8]) -> Option<u64> {
    let at = if frame.starts_with(MARK) { 0 } else { memchr::memmem::find(frame, MARK)? };
    let digits = frame.get(at + MARK.len()..at + STAMP_END)?;
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

pub fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number into as many digits as there are.
pub fn set_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

pub fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// Where the line that starts at `from` ends, without its end of LF or CR LF.
#[inline]
pub fn line_end(input: &[u8], from: usize) -> Option<usize> {
    let end = memchr::memchr(b'\n', &input[from..])? + from;
    Some(if end > from && input[end - 1] == b'\r' { end - 1 } else { end })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_from_any_framing() {
        let mut body = make_body(100);
        stamp(&mut body, 0x0123_4567_89ab_cdef);
        assert_eq!(read_stamp(&body), Some(0x0123_4567_89ab_cdef));
        let framed = [b"{\"body\":\"".as_slice(), &body, b"\"}"].concat();
        assert_eq!(read_stamp(&framed), Some(0x0123_4567_89ab_cdef));
        assert_eq!(read_stamp(b"t=short"), None);
    }

    #[test]
    fn numbers_are_written_as_they_are_read() {
        let mut out = Vec::new();
        for number in [0, 7, 10, 65_536, u64::from(u32::MAX)] {
            out.clear();
            push_number(&mut out, number);
            assert_eq!(parse_number(&out), Some(number));
        }
        let mut digits = [b'#'; 5];
        set_digits(&mut digits, 42);
        assert_eq!(&digits, b"00042");
    }
}
