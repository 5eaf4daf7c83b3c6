//! WebSocket, once it is open: frames. Pure; they are parsed by actix-http's codec.
//!
//! How long a frame may be is checked as soon as its length is known, before its body is waited for.

use actix_http::ws::{self, Codec, Item};
use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// Longest payload of a control frame, and so, with two bytes for the code, of a reason.
const CONTROL_BYTES_MAX: usize = 125;

/// Codes with which a WebSocket is closed.
pub mod code {
    /// Nothing is wrong.
    pub const NORMAL: u16 = 1000;
    /// The server goes away.
    pub const AWAY: u16 = 1001;
    /// The frames break the protocol.
    pub const PROTOCOL: u16 = 1002;
    /// A text that is none.
    pub const NOT_UTF8: u16 = 1007;
    /// The client does what it may not.
    pub const POLICY: u16 = 1008;
    /// A message is too long.
    pub const TOO_LONG: u16 = 1009;
    /// The request cannot be served.
    pub const INTERNAL: u16 = 1011;
    /// The client cannot follow, and may try again later.
    pub const AGAIN: u16 = 1013;
}

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message, and whether it says that it is text.
    Message {
        /// Its bytes.
        body: Bytes,
        /// Text, not binary.
        text: bool,
    },
    /// To be answered by a pong with the same payload.
    Ping(Bytes),
    /// The client closes, with this code.
    Close(Option<u16>),
}

/// Why a WebSocket is closed.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    /// One of [`code`].
    pub code: u16,
    /// For a person.
    pub reason: &'static str,
}

const TOO_LONG: Violation = Violation { code: code::TOO_LONG, reason: "message too long" };

fn violation(reason: &'static str) -> Violation {
    Violation { code: code::PROTOCOL, reason }
}

/// Puts frames together.
pub struct Frames {
    codec: Codec,
    bytes_max: usize,
    /// The fragments of a message so far, and whether it is text.
    open: Option<(Vec<u8>, bool)>,
}

/// The head of a frame: its own length, the length of its body, and whether it is a control frame.
fn head(input: &[u8]) -> Option<(usize, u64, bool)> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    let (length, extended) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(input.get(2..4)?.try_into().ok()?)), 2),
        127 => (u64::from_be_bytes(input.get(2..10)?.try_into().ok()?), 8),
        short => (u64::from(short), 0),
    };
    let mask = if second & 0x80 != 0 { 4 } else { 0 };
    Some((2 + extended + mask, length, first & 0x08 != 0))
}

impl Frames {
    /// At the beginning of a stream of frames whose messages have at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        // The codec must not be the first to refuse a length.
        Frames { codec: Codec::new().max_size(usize::MAX), bytes_max, open: None }
    }

    /// A message has begun and is not whole.
    pub fn is_within(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the next whole message or control frame off the input; `None`: there is none yet.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, Violation> {
        loop {
            let Some((head_bytes, length, control)) = head(input) else { return Ok(None) };
            let open = self.open.as_ref().map_or(0, |(so_far, _)| so_far.len());
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if control && length > CONTROL_BYTES_MAX {
                return Err(violation("control frame too long"));
            }
            if !control && length > self.bytes_max.saturating_sub(open) {
                return Err(TOO_LONG);
            }
            // What is wrong with the first bytes is told without waiting for the others.
            let masked = input.get(1).is_some_and(|second| second & 0x80 != 0);
            if masked && input.len() < head_bytes + length {
                return Ok(None);
            }
            let frame = self.codec.decode(input).map_err(|error| match error {
                ws::ProtocolError::UnmaskedFrame => violation("frame not masked"),
                ws::ProtocolError::ContinuationStarted => violation("message within a message"),
                ws::ProtocolError::ContinuationNotStarted => violation("nothing to continue"),
                _ => violation("malformed frame"),
            })?;
            let (part, last) = match frame {
                None => return Ok(None),
                Some(ws::Frame::Text(body)) => {
                    return Ok(Some(Incoming::Message { body, text: true }));
                }
                Some(ws::Frame::Binary(body)) => {
                    return Ok(Some(Incoming::Message { body, text: false }));
                }
                Some(ws::Frame::Ping(payload)) => return Ok(Some(Incoming::Ping(payload))),
                Some(ws::Frame::Pong(_)) => continue,
                Some(ws::Frame::Close(reason)) => {
                    return Ok(Some(Incoming::Close(reason.map(|reason| reason.code.into()))));
                }
                Some(ws::Frame::Continuation(item)) => match item {
                    Item::FirstText(part) => {
                        self.open = Some((part.into(), true));
                        continue;
                    }
                    Item::FirstBinary(part) => {
                        self.open = Some((part.into(), false));
                        continue;
                    }
                    Item::Continue(part) => (part, false),
                    Item::Last(part) => (part, true),
                },
            };
            if let Some((so_far, _)) = &mut self.open {
                so_far.extend_from_slice(&part);
            }
            if last && let Some((whole, text)) = self.open.take() {
                return Ok(Some(Incoming::Message { body: whole.into(), text }));
            }
        }
    }
}

/// Frames that a server sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A message that is text.
    Text = 1,
    /// A message of bytes.
    Binary = 2,
    /// The end.
    Close = 8,
    /// To be answered by a pong.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

/// Writes a frame.
pub fn frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode as u8);
    match (u16::try_from(payload.len()), payload.len()) {
        (_, short) if short < 126 => out.push(short as u8),
        (Ok(middle), _) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        (Err(_), long) => {
            out.push(127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Writes a close frame; a reason that is too long is cut.
pub fn close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let mut payload = code.to_be_bytes().to_vec();
    let end = reason.floor_char_boundary(CONTROL_BYTES_MAX - payload.len());
    payload.extend_from_slice(reason.get(..end).unwrap_or_default().as_bytes());
    frame(out, Opcode::Close, &payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 300;

    /// A client's frame.
    fn sent(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut out = Vec::new();
        frame(&mut out, Opcode::Text, payload);
        let head_bytes = out.len() - payload.len();
        out[0] = first;
        out[1] |= 0x80;
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [&out[..head_bytes], &mask, &masked.collect::<Vec<_>>()].concat()
    }

    fn cut<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Incoming, Violation>> {
        let (mut frames, mut input, mut found) =
            (Frames::new(BYTES_MAX), BytesMut::new(), Vec::new());
        for chunk in chunks {
            input.extend_from_slice(chunk);
            loop {
                match frames.next(&mut input) {
                    Ok(Some(incoming)) => found.push(Ok(incoming)),
                    Ok(None) => break,
                    Err(violation) => {
                        found.push(Err(violation));
                        return found;
                    }
                }
            }
            assert!(input.len() <= BYTES_MAX + 14, "what waits for its end is bounded");
        }
        found
    }

    fn message(body: &[u8], text: bool) -> Result<Incoming, Violation> {
        Ok(Incoming::Message { body: Bytes::copy_from_slice(body), text })
    }

    #[test]
    fn frames_make_the_same_messages_wherever_the_stream_is_cut() {
        let (x200, x300) = ([b'x'; 200], [b'x'; 300]);
        let protocol = |reason| Err(violation(reason));
        let table: Vec<(Vec<u8>, Vec<_>)> = vec![
            (sent(0x81, b"hi"), vec![message(b"hi", true)]),
            (sent(0x82, b"{}"), vec![message(b"{}", false)]),
            (sent(0x81, b""), vec![message(b"", true)]),
            (
                [sent(0x81, b"a"), sent(0x81, b"b")].concat(),
                vec![message(b"a", true), message(b"b", true)],
            ),
            (sent(0x81, &x300), vec![message(&x300, true)]),
            // A ping between two fragments.
            (
                [
                    sent(0x01, b"a"),
                    sent(0x89, b"p"),
                    sent(0x00, b"b"),
                    sent(0x8a, b""),
                    sent(0x80, b"c"),
                ]
                .concat(),
                vec![Ok(Incoming::Ping(Bytes::from_static(b"p"))), message(b"abc", true)],
            ),
            ([sent(0x02, &x200), sent(0x80, b"")].concat(), vec![message(&x200, false)]),
            (sent(0x88, b""), vec![Ok(Incoming::Close(None))]),
            (sent(0x88, b"\x03\xe8bye"), vec![Ok(Incoming::Close(Some(1000)))]),
            (sent(0x88, b"\x03"), vec![protocol("malformed frame")]),
            (sent(0xc1, b"rsv"), vec![protocol("malformed frame")]),
            (sent(0x83, b""), vec![protocol("malformed frame")]),
            (sent(0x09, b""), vec![protocol("malformed frame")]),
            (sent(0x80, b"x"), vec![protocol("nothing to continue")]),
            (
                [sent(0x01, b"a"), sent(0x81, b"b")].concat(),
                vec![protocol("message within a message")],
            ),
            (sent(0x89, &x200[..126]), vec![protocol("control frame too long")]),
            (vec![0x81, 0x02, b'h', b'i'], vec![protocol("frame not masked")]),
            ([sent(0x01, &x200), sent(0x80, &x200)].concat(), vec![Err(TOO_LONG)]),
        ];
        for (stream, expected) in table {
            assert_eq!(cut([stream.as_slice()]), expected, "{}", stream.escape_ascii());
            assert_eq!(cut(stream.chunks(1)), expected, "{}, byte by byte", stream.escape_ascii());
            for at in 0..=stream.len() {
                assert_eq!(cut([&stream[..at], &stream[at..]]), expected, "cut at {at}");
            }
        }
    }

    #[test]
    fn a_length_is_refused_before_its_bytes_are_there() {
        for head in [
            &[0x81, 0xfe, 0x01, 0x2d][..],
            &[0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0],
            &[0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255],
        ] {
            assert_eq!(cut([head]), [Err(TOO_LONG)], "{head:?}");
        }
        assert_eq!(cut([&[0x89, 0xfe, 0, 126][..]]), [Err(violation("control frame too long"))]);
    }

    #[test]
    fn a_frame_has_the_shortest_length_and_a_close_a_short_reason() {
        for (length, head) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            frame(&mut out, Opcode::Text, &vec![0; length]);
            assert_eq!(&out[..head.len()], head);
            assert_eq!(out.len(), head.len() + length);
        }
        let mut out = Vec::new();
        close(&mut out, code::INTERNAL, &"ü".repeat(100));
        assert_eq!(&out[..4], [0x88, 124, 0x03, 0xf3]);
        assert_eq!(std::str::from_utf8(&out[4..]), Ok("ü".repeat(61).as_str()));
    }
}
