//! The two dialects on a plain TCP stream: bare JSON objects, and objects with a length header. Pure.
//!
//! Source: dsmq 0.2 to 0.6 send bare objects, 0.7 sends `{"msg_length": N}` in 23 bytes and then
//! N - 1 000 000 bytes of JSON. The originals take what one `recv` returns for one request; here the
//! stream may be cut anywhere, and each object decides anew which of the two it is.

use super::request::DEPTH_MAX;
use bytes::{Buf, BytesMut};
use serde_json::Value;
use std::io::Write;

/// What a length in a header is above the length of the body, so that it always has seven digits.
const LENGTH_OFFSET: u64 = 1_000_000;
/// Longest body a header can express.
const BODY_BYTES_MAX: u64 = 8_999_999;
/// Longer objects are no headers.
const HEADER_BYTES_MAX: usize = 64;
/// The key of a header.
const LENGTH_KEY: &str = "msg_length";

/// How a request came, and its reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// A bare object.
    Bare,
    /// Behind a length header.
    Header,
    /// In a WebSocket frame.
    Frame,
}

/// Why a stream of objects ends here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something else where an object should begin.
    #[error("no object where one should begin")]
    NoObject,
    /// Longer than a request may be.
    #[error("longer than a request may be")]
    TooLong,
    /// Nested deeper than a request may be.
    #[error("nested too deep")]
    TooDeep,
    /// A length that is none.
    #[error("a header without a length")]
    BadLength,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// An object is to begin.
    Between,
    /// Within a bare object: how far it was looked at, how deep, within a text, behind a backslash.
    Within { looked: usize, depth: usize, text: bool, escaped: bool },
    /// The body of a header: this many bytes.
    Body(usize),
}

/// Cuts a stream into requests.
#[derive(Debug)]
pub struct Objects {
    state: State,
    bytes_max: usize,
}

impl Objects {
    /// At the beginning of a stream whose requests have at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        Objects { state: State::Between, bytes_max }
    }

    /// A request has begun and is not whole.
    pub fn is_within(&self) -> bool {
        self.state != State::Between
    }

    /// Takes the next request off the input; `None`: it is not whole yet. What was looked at is not
    /// looked at again.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<(Framing, BytesMut)>, Broken> {
        loop {
            match &mut self.state {
                State::Between => {
                    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
                    let blanks = input.iter().take_while(|byte| blank(byte)).count();
                    input.advance(blanks);
                    match input.first() {
                        None => return Ok(None),
                        Some(b'{') => {
                            self.state =
                                State::Within { looked: 0, depth: 0, text: false, escaped: false };
                        }
                        Some(_) => return Err(Broken::NoObject),
                    }
                }
                State::Within { looked, depth, text, escaped } => {
                    // Never beyond the bound: what stands there must not decide what is wrong.
                    let seen = input.get(..self.bytes_max).unwrap_or(input);
                    if !scan(seen, looked, depth, text, escaped)? {
                        return match input.len() > self.bytes_max {
                            true => Err(Broken::TooLong),
                            false => Ok(None),
                        };
                    }
                    let object = input.split_to(*looked);
                    self.state = match announced(&object) {
                        None => {
                            self.state = State::Between;
                            return Ok(Some((Framing::Bare, object)));
                        }
                        Some(length) => State::Body(self.body(length)?),
                    };
                }
                State::Body(length) => {
                    if input.len() < *length {
                        return Ok(None);
                    }
                    let body = input.split_to(*length);
                    self.state = State::Between;
                    return Ok(Some((Framing::Header, body)));
                }
            }
        }
    }

    /// The length of the body that a header announces.
    fn body(&self, announced: Option<u64>) -> Result<usize, Broken> {
        let length = announced.and_then(|length| length.checked_sub(LENGTH_OFFSET));
        // The original takes an empty body for the end of the stream.
        let length = length.filter(|length| *length > 0).ok_or(Broken::BadLength)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.bytes_max => Ok(length),
            _ => Err(Broken::TooLong),
        }
    }
}

/// Looks on for the end of the object that begins the input; true: `looked` is behind it.
fn scan(
    input: &[u8],
    looked: &mut usize,
    depth: &mut usize,
    text: &mut bool,
    escaped: &mut bool,
) -> Result<bool, Broken> {
    while let Some(rest) = input.get(*looked..).filter(|rest| !rest.is_empty()) {
        if *escaped {
            (*escaped, *looked) = (false, *looked + 1);
            continue;
        }
        if *text {
            let Some(at) = memchr::memchr2(b'"', b'\\', rest) else {
                *looked = input.len();
                break;
            };
            *escaped = rest.get(at) == Some(&b'\\');
            *text = *escaped;
            *looked += at + 1;
            continue;
        }
        let turn = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
        let Some(at) = rest.iter().position(turn) else {
            *looked = input.len();
            break;
        };
        *looked += at + 1;
        match rest.get(at) {
            Some(b'"') => *text = true,
            Some(b'{' | b'[') => {
                *depth += 1;
                if *depth > DEPTH_MAX {
                    return Err(Broken::TooDeep);
                }
            }
            _ => {
                *depth = depth.saturating_sub(1);
                if *depth == 0 {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// The length that an object announces, when it is a header: its only key is `msg_length`.
fn announced(object: &[u8]) -> Option<Option<u64>> {
    let named = object.len() <= HEADER_BYTES_MAX
        && memchr::memmem::find(object, LENGTH_KEY.as_bytes()).is_some();
    let Value::Object(keys) = serde_json::from_slice(named.then_some(object)?).ok()? else {
        return None;
    };
    let length = keys.get(LENGTH_KEY).filter(|_| keys.len() == 1)?;
    Some(length.as_u64())
}

/// Writes a header for a body of this length; false when a header cannot express it.
pub fn header(out: &mut Vec<u8>, length: usize) -> bool {
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    // Writing into memory cannot fail.
    length <= BODY_BYTES_MAX
        && write!(out, "{{\"{LENGTH_KEY}\": {}}}", length + LENGTH_OFFSET).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 120;

    /// What comes of a stream cut in this way; an error ends it.
    fn cut<'a>(
        chunks: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<Result<(Framing, String), Broken>> {
        let (mut objects, mut input, mut found) =
            (Objects::new(BYTES_MAX), BytesMut::new(), Vec::new());
        for chunk in chunks {
            input.extend_from_slice(chunk);
            loop {
                match objects.next(&mut input) {
                    Ok(Some((framing, text))) => {
                        found.push(Ok((framing, String::from_utf8_lossy(&text).into_owned())));
                    }
                    Ok(None) => break,
                    Err(broken) => {
                        found.push(Err(broken));
                        return found;
                    }
                }
            }
            assert!(input.len() <= BYTES_MAX, "what waits for its end is bounded");
        }
        found
    }

    fn bare(text: &str) -> Result<(Framing, String), Broken> {
        Ok((Framing::Bare, text.to_owned()))
    }

    fn framed(text: &str) -> Result<(Framing, String), Broken> {
        Ok((Framing::Header, text.to_owned()))
    }

    #[test]
    fn a_stream_is_cut_into_the_same_requests_wherever_it_is_cut() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 8));
        let too_long = format!("{{\"a\":\"{}\"}}", "x".repeat(BYTES_MAX - 7));
        let deep = "[".repeat(DEPTH_MAX + 5);
        // What is wrong behind the bound is not looked at, however much has come.
        let deep_behind = format!("{{\"a\":\"{}\",\"b\":{deep}", "x".repeat(BYTES_MAX - 8));
        let table: Vec<(&str, Vec<_>)> = vec![
            ("", vec![]),
            (" \r\n\t", vec![]),
            ("{}", vec![bare("{}")]),
            ("{}{} \n{}", vec![bare("{}"), bare("{}"), bare("{}")]),
            (
                r#"{"a":{"b":[1,{}]}}{"c":2}"#,
                vec![bare(r#"{"a":{"b":[1,{}]}}"#), bare(r#"{"c":2}"#)],
            ),
            (r#"{"a":"}\"]\\"}{"#, vec![bare(r#"{"a":"}\"]\\"}"#)]),
            (r#"{"é":"\u00e9}"}"#, vec![bare(r#"{"é":"\u00e9}"}"#)]),
            // Wrong inside: cut all the same, and refused where it is read.
            ("{]{}", vec![bare("{]"), bare("{}")]),
            (r#"{"msg_length": 1000002}{}{"a":1}"#, vec![framed("{}"), bare(r#"{"a":1}"#)]),
            ("{ \"msg_length\" :1000003 } {}{}", vec![framed(" {}"), bare("{}")]),
            (r#"{"msg_length": 1000005}nope!{}"#, vec![framed("nope!"), bare("{}")]),
            // A header has only that key.
            (
                r#"{"msg_length": 1000002, "x": 1}{}"#,
                vec![bare(r#"{"msg_length": 1000002, "x": 1}"#), bare("{}")],
            ),
            (r#"{"x": "msg_length"}"#, vec![bare(r#"{"x": "msg_length"}"#)]),
            (r#"{"msg_length": 1000000}"#, vec![Err(Broken::BadLength)]),
            (r#"{"msg_length": 999999}"#, vec![Err(Broken::BadLength)]),
            (r#"{"msg_length": -5}"#, vec![Err(Broken::BadLength)]),
            (r#"{"msg_length": "1000002"}{}"#, vec![Err(Broken::BadLength)]),
            (r#"{"msg_length": 1000002.0}{}"#, vec![Err(Broken::BadLength)]),
            (r#"{"msg_length": 1000121}"#, vec![Err(Broken::TooLong)]),
            (r#"{"msg_length": 18446744073709551615}"#, vec![Err(Broken::TooLong)]),
            (r#"{"msg_length": 99999999999999999999999}"#, vec![Err(Broken::BadLength)]),
            ("{} x", vec![bare("{}"), Err(Broken::NoObject)]),
            ("[1]", vec![Err(Broken::NoObject)]),
            ("POST / HTTP/1.1\r\n", vec![Err(Broken::NoObject)]),
            (&long, vec![bare(&long)]),
            (&too_long, vec![Err(Broken::TooLong)]),
            (&deep_behind, vec![Err(Broken::TooLong)]),
        ];
        for (stream, expected) in table {
            let bytes = stream.as_bytes();
            assert_eq!(cut([bytes]), expected, "{stream}");
            assert_eq!(cut(bytes.chunks(1)), expected, "{stream}, byte by byte");
            for at in 0..=bytes.len() {
                assert_eq!(cut([&bytes[..at], &bytes[at..]]), expected, "{stream}, cut at {at}");
            }
        }
        let mut objects = Objects::new(1 << 20);
        let mut input = BytesMut::from(format!("{{\"a\":{deep}").as_bytes());
        assert_eq!(objects.next(&mut input), Err(Broken::TooDeep));
    }

    #[test]
    fn an_endless_text_is_refused_as_soon_as_it_is_too_long() {
        let mut objects = Objects::new(BYTES_MAX);
        let mut input = BytesMut::from(&b"{\"a\":\""[..]);
        let mut fed = 0;
        while objects.next(&mut input) == Ok(None) {
            input.extend_from_slice(&[b'x'; 10]);
            fed += 10;
        }
        assert!(fed <= BYTES_MAX + 10);
        assert_eq!(objects.next(&mut input), Err(Broken::TooLong));
    }

    #[test]
    fn a_header_has_23_bytes_or_is_none() {
        for (length, header_text) in [
            (15, r#"{"msg_length": 1000015}"#),
            (0, r#"{"msg_length": 1000000}"#),
            (8_999_999, r#"{"msg_length": 9999999}"#),
        ] {
            let mut out = Vec::new();
            assert!(header(&mut out, length));
            assert_eq!((out.len(), out.as_slice()), (23, header_text.as_bytes()));
        }
        assert!(!header(&mut Vec::new(), 9_000_000));
    }
}
