//! RESP, the Redis serialization protocol: bytes to requests, answers to bytes. Pure.
//!
//! A request is an array of strings, or a line of words (for telnet and nc). Every length has a
//! bound, and what is read stays the same wherever the network cuts it.
//!
//! Source: okQ reads only arrays; lines, RESP3 and the texts of protocol errors are those of Redis.

use std::borrow::Cow;

/// Most elements of one request.
pub const ELEMENTS_MAX: usize = 1 << 20;
/// Longest line: a request of words, or a string that is not counted.
pub const LINE_BYTES_MAX: usize = 64 << 10;
/// Longest header: a type, a number, CR LF.
const HEADER_BYTES_MAX: usize = 32;
/// Elements whose places are kept from one request to the next.
const SPANS_KEPT: usize = 64;

/// What is read, and how much of it.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest string a client may announce; above it the connection is closed.
    pub bulk_bytes_max: usize,
    /// Longest request that is kept. A longer one is read past and refused.
    pub request_bytes_max: usize,
}

/// One step of reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing whole is there: come again with these bytes and more behind them.
    More,
    /// So many bytes are of no more use; go on behind them.
    Past(usize),
    /// A request of so many bytes; [`Decoder::args`] gives its words.
    Request(usize),
    /// An array whose elements are not all strings.
    NotStrings(usize),
    /// A request above [`Bounds::request_bytes_max`] has been read past; these are its last bytes.
    TooLong(usize),
}

/// The input is not RESP. The connection is closed, since nobody knows where a request begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The number of elements is none, or too high.
    #[error("invalid multibulk length")]
    Elements,
    /// The length of a string is none, or too high.
    #[error("invalid bulk length")]
    Length,
    /// A header or a line without end.
    #[error("too big {0}")]
    TooBig(&'static str),
    /// A string is not followed by CR LF.
    #[error("expected CRLF after a string")]
    NoEnd,
    /// An element of another type.
    #[error("expected '$', got '{}'", .0.escape_ascii())]
    NotABulk(u8),
    /// A line with a quote that is not closed.
    #[error("unbalanced quotes in request")]
    Quotes,
    /// A web browser may have been made to send this.
    #[error("HTTP is not spoken here")]
    Http,
}

type Span = (usize, usize);

/// Reads requests off a buffer. Until one is whole, the decoder remembers how far it has come, so
/// that nothing is looked at twice.
#[derive(Debug, Default)]
pub struct Decoder {
    /// How far the begun request has been read.
    at: usize,
    /// Elements to come; `None` between two requests.
    left: Option<usize>,
    /// Where the words are: in the input, or in `line`.
    spans: Vec<Span>,
    /// The words of a request that is a line.
    line: Option<Vec<u8>>,
    /// An element is not a string.
    not_strings: bool,
    /// A value that is no request is read past.
    ignored: bool,
    /// The begun request is too long and is not kept: so many bytes of its string are to come.
    skipping: Option<usize>,
}

/// The words of one request.
#[derive(Debug, Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// How many.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// None at all.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The word at a place; the command itself is at 0.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&'a [u8]> {
        let (start, end) = *self.spans.get(at)?;
        self.bytes.get(start..end)
    }

    /// The words from a place on.
    pub fn from(self, at: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        let spans = self.spans.get(at..).unwrap_or_default();
        spans.iter().map(move |(start, end)| self.bytes.get(*start..*end).unwrap_or_default())
    }
}

/// A number with an optional minus, without blanks.
fn number(digits: &[u8]) -> Option<i64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A length of a few digits after the type at `at`, as every client writes it, and where the next
/// element begins. `None`: look again, in [`header`].
#[inline]
fn length(input: &[u8], at: usize) -> Option<(usize, usize)> {
    let seen = input.get(at + 1..)?;
    let mut value = 0;
    for (nth, byte) in seen.iter().take(9).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + usize::from(byte - b'0'),
            b'\r' if nth > 0 && seen.get(nth + 1) == Some(&b'\n') => {
                return Some((value, at + nth + 3));
            }
            _ => return None,
        }
    }
    None
}

/// What follows the type at `at`, up to CR LF: the text, and where the next element begins.
fn header(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = input.get(at + 1..).unwrap_or_default();
    let seen = rest.get(..rest.len().min(HEADER_BYTES_MAX)).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\n', seen) else {
        return if seen.len() == HEADER_BYTES_MAX {
            Err(Malformed::TooBig("header"))
        } else {
            Ok(None)
        };
    };
    match rest.get(..end).and_then(|line| line.strip_suffix(b"\r")) {
        Some(text) => Ok(Some((text, at + 1 + end + 1))),
        None => Err(Malformed::NoEnd),
    }
}

/// The line at `at`, without its end, and where the next begins.
fn line(input: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = input.get(at..).unwrap_or_default();
    let seen = rest.get(..rest.len().min(LINE_BYTES_MAX)).unwrap_or_default();
    match memchr::memchr(b'\n', seen) {
        Some(end) => {
            let text = rest.get(..end).unwrap_or_default();
            Ok(Some((text.strip_suffix(b"\r").unwrap_or(text), at + end + 1)))
        }
        None if seen.len() == LINE_BYTES_MAX => Err(Malformed::TooBig("inline request")),
        None => Ok(None),
    }
}

impl Decoder {
    /// Reads one step. `input` begins where the last step's bytes ended; after [`Step::More`] it is
    /// the same with more behind it.
    pub fn next(&mut self, input: &[u8], bounds: &Bounds) -> Result<Step, Malformed> {
        if let Some(left) = self.skipping {
            return Ok(self.skip(left, input));
        }
        let Some(first) = input.first() else { return Ok(Step::More) };
        let left = match self.left {
            Some(left) => left,
            None => match self.begin(*first, input)? {
                Begun::Elements(left) => left,
                Begun::Done(step) => return Ok(step),
            },
        };
        self.elements(left, input, bounds)
    }

    /// No request has begun.
    pub fn is_between(&self) -> bool {
        self.left.is_none() && self.skipping.is_none()
    }

    /// The words of the request that [`Decoder::next`] has just found in `input`.
    pub fn args<'a>(&'a self, input: &'a [u8]) -> Args<'a> {
        Args { bytes: self.line.as_deref().unwrap_or(input), spans: &self.spans }
    }

    fn begin(&mut self, first: u8, input: &[u8]) -> Result<Begun, Malformed> {
        self.line = None;
        self.spans.clear();
        if self.spans.capacity() > SPANS_KEPT {
            self.spans = Vec::new();
        }
        (self.at, self.not_strings, self.ignored) = (0, false, false);
        match first {
            b'*' => {
                if let Some((count @ 1..=ELEMENTS_MAX, at)) = length(input, 0) {
                    (self.at, self.left) = (at, Some(count));
                    return Ok(Begun::Elements(count));
                }
                let Some((digits, at)) = header(input, 0)? else {
                    return Ok(Begun::Done(Step::More));
                };
                match number(digits).ok_or(Malformed::Elements)? {
                    // No client sends them; Redis ignores them as well.
                    0 | -1 => Ok(Begun::Done(Step::Past(at))),
                    count => match usize::try_from(count) {
                        Ok(count) if count <= ELEMENTS_MAX => {
                            (self.at, self.left) = (at, Some(count));
                            Ok(Begun::Elements(count))
                        }
                        _ => Err(Malformed::Elements),
                    },
                }
            }
            // A value that is no request.
            b'$' => {
                (self.left, self.ignored) = (Some(1), true);
                Ok(Begun::Elements(1))
            }
            b'+' | b'-' | b':' => Ok(Begun::Done(match line(input, 0)? {
                Some((_, end)) => Step::Past(end),
                None => Step::More,
            })),
            _ => Ok(Begun::Done(match line(input, 0)? {
                Some((text, end)) => self.words(text, end)?,
                None => Step::More,
            })),
        }
    }

    fn elements(
        &mut self,
        mut left: usize,
        input: &[u8],
        bounds: &Bounds,
    ) -> Result<Step, Malformed> {
        // Never beyond the bound: what stands there must not decide what is wrong.
        let seen = input.get(..bounds.request_bytes_max).unwrap_or(input);
        while left > 0 {
            // What nearly every element is: a short string, and it is there.
            if seen.get(self.at) == Some(&b'$')
                && let Some((length, start)) = length(seen, self.at)
                && let end = start + length
                && end + 2 <= bounds.request_bytes_max
                && length <= bounds.bulk_bytes_max
                && seen.get(end..end + 2) == Some(b"\r\n")
            {
                self.spans.push((start, end));
                self.at = end + 2;
                left -= 1;
                continue;
            }
            let (span, next) = match seen.get(self.at) {
                None => return Ok(self.wait(left, input, bounds)),
                Some(b'$') => {
                    let Some((digits, start)) = header(seen, self.at)? else {
                        return Ok(self.wait(left, input, bounds));
                    };
                    match number(digits).ok_or(Malformed::Length)? {
                        -1 => (None, start),
                        length => {
                            let length = usize::try_from(length).ok();
                            let length = length.filter(|length| *length <= bounds.bulk_bytes_max);
                            let length = length.ok_or(Malformed::Length)?;
                            let end = start + length;
                            if end + 2 > bounds.request_bytes_max {
                                self.left = Some(left - 1);
                                return Ok(self.read_past(start, length + 2));
                            }
                            match seen.get(end..end + 2) {
                                Some(b"\r\n") => (Some((start, end)), end + 2),
                                Some(_) => return Err(Malformed::NoEnd),
                                None => return Ok(self.wait(left, input, bounds)),
                            }
                        }
                    }
                }
                Some(b'+') => match line(seen, self.at + 1)? {
                    Some((text, next)) => (Some((self.at + 1, self.at + 1 + text.len())), next),
                    None => return Ok(self.wait(left, input, bounds)),
                },
                Some(b':' | b'-') => match line(seen, self.at + 1)? {
                    Some((_, next)) => (None, next),
                    None => return Ok(self.wait(left, input, bounds)),
                },
                Some(other) => return Err(Malformed::NotABulk(*other)),
            };
            match span {
                Some(span) => self.spans.push(span),
                None => self.not_strings = true,
            }
            self.at = next;
            left -= 1;
        }
        self.left = None;
        let end = self.at;
        Ok(match (self.ignored, self.not_strings) {
            (true, _) => Step::Past(end),
            (false, true) => Step::NotStrings(end),
            (false, false) => Step::Request(end),
        })
    }

    /// The rest has not come yet.
    fn wait(&mut self, left: usize, input: &[u8], bounds: &Bounds) -> Step {
        self.left = Some(left);
        if input.len() < bounds.request_bytes_max {
            return Step::More;
        }
        // Many small elements make a long request, too.
        self.read_past(self.at, 0)
    }

    /// Nothing of the begun request is kept any more; `length` bytes behind `start` are to come.
    fn read_past(&mut self, start: usize, length: usize) -> Step {
        self.spans = Vec::new();
        self.at = 0;
        self.skipping = Some(length);
        Step::Past(start)
    }

    fn skip(&mut self, left: usize, input: &[u8]) -> Step {
        if left > 0 {
            let here = left.min(input.len());
            self.skipping = Some(left - here);
            return if here == 0 { Step::More } else { Step::Past(here) };
        }
        let Some(elements) = self.left.filter(|elements| *elements > 0) else {
            (self.left, self.skipping) = (None, None);
            return if self.ignored { Step::Past(0) } else { Step::TooLong(0) };
        };
        // What is malformed in here is found by the next request.
        let next = match input.first() {
            None => return Step::More,
            Some(b'$') => match header(input, 0) {
                Ok(None) => return Step::More,
                Ok(Some((digits, start))) => {
                    let length = number(digits).and_then(|length| usize::try_from(length).ok());
                    Some((start, length.map_or(0, |length| length.saturating_add(2))))
                }
                Err(_) => None,
            },
            Some(b'+' | b':' | b'-') => match line(input, 0) {
                Ok(None) => return Step::More,
                Ok(Some((_, next))) => Some((next, 0)),
                Err(_) => None,
            },
            Some(_) => None,
        };
        match next {
            Some((start, length)) => {
                (self.left, self.skipping) = (Some(elements - 1), Some(length));
                Step::Past(start)
            }
            None => {
                (self.left, self.skipping) = (None, None);
                Step::TooLong(0)
            }
        }
    }

    /// A request that is a line: words between blanks, double quotes hold one together.
    fn words(&mut self, text: &[u8], end: usize) -> Result<Step, Malformed> {
        let mut words: Vec<u8> = Vec::with_capacity(text.len());
        let mut rest = text.iter().copied().peekable();
        loop {
            while rest.next_if(u8::is_ascii_whitespace).is_some() {}
            if rest.peek().is_none() {
                break;
            }
            let start = words.len();
            while let Some(byte) = rest.next_if(|byte| !byte.is_ascii_whitespace()) {
                match byte {
                    b'"' => quoted(&mut rest, &mut words)?,
                    byte => words.push(byte),
                }
            }
            self.spans.push((start, words.len()));
        }
        if self.spans.is_empty() {
            return Ok(Step::Past(end));
        }
        // A page in a browser could make it send commands in the body of a request.
        let last = self.spans.last().and_then(|(start, end)| words.get(*start..*end));
        if last.is_some_and(|last| last.starts_with(b"HTTP/")) {
            return Err(Malformed::Http);
        }
        self.line = Some(words);
        Ok(Step::Request(end))
    }
}

enum Begun {
    Elements(usize),
    Done(Step),
}

/// The rest of a word in quotes, up to the closing one.
fn quoted(
    rest: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    loop {
        match rest.next().ok_or(Malformed::Quotes)? {
            b'"' => return Ok(()),
            b'\\' => match rest.next().ok_or(Malformed::Quotes)? {
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'x' => {
                    let (high, low) = (rest.next().and_then(digit), rest.next().and_then(digit));
                    match (high, low) {
                        (Some(high), Some(low)) => out.push(high << 4 | low),
                        _ => return Err(Malformed::Quotes),
                    }
                }
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
}

/// `+OK`
pub const OK: &[u8] = b"+OK\r\n";
/// `+PONG`
pub const PONG: &[u8] = b"+PONG\r\n";
/// 0
pub const ZERO: &[u8] = b":0\r\n";
/// 1
pub const ONE: &[u8] = b":1\r\n";

/// An error: its first word is its kind. CR and LF would end it early and are shown as blanks.
pub fn error(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.push(b'-');
    let shown = |byte: &u8| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte };
    out.extend(text.as_ref().iter().map(shown));
    out.extend_from_slice(b"\r\n");
}

fn sized(out: &mut Vec<u8>, kind: u8, number: impl itoa::Integer) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// An integer.
pub fn integer(out: &mut Vec<u8>, number: u64) {
    sized(out, b':', number);
}

/// A string.
#[inline]
pub fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    sized(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// The head of an array of `count` elements.
pub fn array(out: &mut Vec<u8>, count: usize) {
    sized(out, b'*', count);
}

/// The head of a map of `count` pairs: an array of twice as many elements before RESP3.
pub fn map(out: &mut Vec<u8>, count: usize, resp3: bool) {
    match resp3 {
        true => sized(out, b'%', count),
        false => sized(out, b'*', 2 * count),
    }
}

/// Nothing.
pub fn nil(resp3: bool) -> &'static [u8] {
    if resp3 { b"_\r\n" } else { b"$-1\r\n" }
}

/// Bytes as a text in double quotes, as Go's `%q` shows them.
pub fn quote(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let shown: Cow<'static, str> = match c {
                '"' => "\\\"".into(),
                '\\' => "\\\\".into(),
                '\n' => "\\n".into(),
                '\r' => "\\r".into(),
                '\t' => "\\t".into(),
                '\x07' => "\\a".into(),
                '\x08' => "\\b".into(),
                '\x0b' => "\\v".into(),
                '\x0c' => "\\f".into(),
                c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)).into(),
                c if c.is_control() => format!("\\u{:04x}", u32::from(c)).into(),
                c => {
                    out.push(c);
                    continue;
                }
            };
            out.push_str(&shown);
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { bulk_bytes_max: 40, request_bytes_max: 64 };

    /// Everything the bytes say, each request as a line.
    fn read(chunks: &[&[u8]]) -> Vec<String> {
        let (mut decoder, mut buffer, mut said) = (Decoder::default(), Vec::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            loop {
                let used = match decoder.next(&buffer, &BOUNDS) {
                    Ok(Step::More) => break,
                    Ok(Step::Past(used)) => used,
                    Ok(Step::Request(used)) => {
                        let args = decoder.args(&buffer);
                        let words = args.from(0).map(|word| word.escape_ascii().to_string());
                        said.push(words.collect::<Vec<_>>().join("|"));
                        used
                    }
                    Ok(Step::NotStrings(used)) => {
                        said.push("not strings".into());
                        used
                    }
                    Ok(Step::TooLong(used)) => {
                        said.push("too long".into());
                        used
                    }
                    Err(malformed) => {
                        said.push(malformed.to_string());
                        return said;
                    }
                };
                buffer.drain(..used);
            }
        }
        said
    }

    #[test]
    fn requests_are_read_as_they_are_written() {
        let table: [(&[u8], &[&str]); 47] = [
            (b"*1\r\n$4\r\nPING\r\n", &["PING"]),
            (b"*3\r\n$1\r\na\r\n$0\r\n\r\n$4\r\n\r\n\0\xff\r\n", &["a||\\r\\n\\x00\\xff"]),
            (b"*1\r\n+PING\r\n*1\r\n$1\r\nx\r\n", &["PING", "x"]),
            (b"*2\r\n$4\r\nPING\r\n:1\r\nPING\r\n", &["not strings", "PING"]),
            (b"*2\r\n$-1\r\n$1\r\na\r\nPING\r\n", &["not strings", "PING"]),
            (b"*1\r\n-ERR no\r\nPING\r\n", &["not strings", "PING"]),
            (b"*0\r\n*-1\r\n+OK\r\n:7\r\n-ERR\r\n$3\r\nfoo\r\n$-1\r\nPING\r\n", &["PING"]),
            (b"\r\n\n  \r\nPING\n", &["PING"]),
            (b"QLPUSH \"a b\" x\\n \"\\x00\\\"\\n\"\r\n", &["QLPUSH|a b|x\\\\n|\\x00\\\"\\n"]),
            (b"a\"b c\"d \"\"\n", &["ab cd|"]),
            (b"PING \"open\r\n", &["unbalanced quotes in request"]),
            (b"PING \"\\x0\"\r\n", &["unbalanced quotes in request"]),
            (b"GET / HTTP/1.1\r\nQFLUSH a\r\n", &["HTTP is not spoken here"]),
            (b"*x\r\n", &["invalid multibulk length"]),
            (b"*-2\r\n", &["invalid multibulk length"]),
            (b"*1048577\r\n", &["invalid multibulk length"]),
            (b"*99999999999999999999\r\n", &["invalid multibulk length"]),
            (b"*1\n", &["expected CRLF after a string"]),
            (b"*1\r\n$x\r\n", &["invalid bulk length"]),
            (b"*1\r\n$-2\r\n", &["invalid bulk length"]),
            (b"*1\r\n$41\r\n", &["invalid bulk length"]),
            (b"*1\r\n$99999999999999999999\r\n", &["invalid bulk length"]),
            (b"*1\r\n$1\r\nabc\r\n", &["expected CRLF after a string"]),
            (b"*1\r\n*1\r\n*1\r\n", &["expected '$', got '*'"]),
            (b"*1\r\n\xff", &["expected '$', got '\\xff'"]),
            (b"*00000000000000000000000000000000001\r\n", &["too big header"]),
            (b"\xff\xfe\r\n", &["\\xff\\xfe"]),
            (b"*3\r\n$1\r\na\r\n$40\r\n0123456789012345678901234567890123456789\r\n$30\r\n012345678901234567890123456789\r\nPING\r\n",
                &["too long", "PING"]),
            (b"*3\r\n$40\r\n0123456789012345678901234567890123456789\r\n$30\r\n012345678901234567890123456789\r\n$1\r\nb\r\nPING\r\n",
                &["too long", "PING"]),
            (b"*20\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n:1\r\n+a\r\nPING\r\n",
                &["too long", "PING"]),
            // Lengths as no client writes them.
            (b"*2\r\n$003\r\nfoo\r\n$-1\r\nPING\r\n", &["not strings", "PING"]),
            (b"*03\r\n$+3\r\nfoo\r\n$00000003\r\nbar\r\n$000000003\r\nbaz\r\n", &["foo|bar|baz"]),
            (b"*+1\r\n$0000000003\r\nfoo\r\n*00000001\r\n$1\r\na\r\n", &["foo", "a"]),
            (b"*000000001\r\n$1\r\na\r\n*0000000001\r\n$1\r\nb\r\n*00\r\nPING\r\n", &["a", "b", "PING"]),
            (b"*-0\r\n*1\r\n$-0\r\n\r\n*1\r\n$00\r\n\r\n", &["", ""]),
            (b"*1\r\n$\r\n", &["invalid bulk length"]),
            (b"*\r\n", &["invalid multibulk length"]),
            (b"*1\r\n$1 \r\na\r\n", &["invalid bulk length"]),
            (b"*1\r\n$1\ra\r\n", &["invalid bulk length"]),
            (b"*1\r\n$1\na\r\n", &["expected CRLF after a string"]),
            (b"*1\r\n$99999999\r\n", &["invalid bulk length"]),
            (b"*1\r\n$999999999\r\n", &["invalid bulk length"]),
            (b"*1\r\n$4294967299\r\nfoo\r\n", &["invalid bulk length"]),
            (b"*4294967297\r\n$1\r\na\r\n", &["invalid multibulk length"]),
            // Malformed, but only behind the bound.
            (b"*9\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\r\n",
                &["too long", "too big header"]),
            (b"", &[]),
            (b"*2\r\n$4\r\nPING\r\n", &[]),
        ];
        for (input, expected) in table {
            let shown = input.escape_ascii();
            for cut in 0..=input.len() {
                let (head, tail) = input.split_at(cut);
                assert_eq!(read(&[head, tail]), expected, "{shown} cut at {cut}");
            }
            let bytes: Vec<&[u8]> = input.chunks(1).collect();
            assert_eq!(read(&bytes), expected, "{shown} byte by byte");
        }
    }

    #[test]
    fn a_line_that_never_ends_is_not_kept() {
        let mut decoder = Decoder::default();
        let long = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(decoder.next(&long[1..], &BOUNDS), Ok(Step::More));
        assert_eq!(decoder.next(&long, &BOUNDS), Err(Malformed::TooBig("inline request")));
    }

    #[test]
    fn answers_are_written_as_redis_writes_them() {
        let mut out = Vec::new();
        error(&mut out, "ERR duplicate event a\r\nb");
        integer(&mut out, 42);
        bulk(&mut out, b"a\r\nb");
        array(&mut out, 2);
        map(&mut out, 7, true);
        map(&mut out, 7, false);
        out.extend_from_slice(nil(true));
        out.extend_from_slice(nil(false));
        let expected =
            "-ERR duplicate event a  b\r\n:42\r\n$4\r\na\r\nb\r\n*2\r\n%7\r\n*14\r\n_\r\n$-1\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn bytes_are_quoted_as_go_quotes_them() {
        let table: [(&[u8], &str); 5] = [
            (b"FOO", r#""FOO""#),
            (b"a\"b\\c", r#""a\"b\\c""#),
            (b"\n\r\t\0\x01\x7f\x07", r#""\n\r\t\x00\x01\x7f\a""#),
            (b"\xff\xc3\xa9", "\"\\xffé\""),
            (b"", r#""""#),
        ];
        for (bytes, quoted) in table {
            assert_eq!(quote(bytes), quoted);
        }
    }
}
