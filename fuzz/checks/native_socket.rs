//! octoq's own WebSocket: any bytes are the same requests however the network cuts them, in both forms
//! of a frame, and what is understood is within its bounds.

use super::cut;
use bytes::{Bytes, BytesMut};
use octoq::dialect::native::socket::request::{Bounds, Malformed, Req, Settle, Verb, binary, text};
use octoq::dialect::websocket::{Frames, Incoming};
use octoq::queue::{Nack, NewMessage, Timestamp, policy::DURATION_MS_MAX};
use std::time::Duration;

const BYTES_MAX: usize = 1024;
/// Longest head of a WebSocket frame.
const HEAD_BYTES_MAX: usize = 14;
const BOUNDS: Bounds = Bounds { prefetch_max: 100, reply_wait_max: Duration::from_secs(10) };
const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// Longest name of a request, as `request.rs` has it.
const NAME_BYTES_MAX: usize = 255;

/// The whole check.
pub fn check(input: &[u8]) {
    let Some((whole, chunks)) = cut(input) else { return };
    same(whole, chunks);
    request(whole);
}

/// The pieces say what the whole says.
pub fn same<'a>(whole: &[u8], chunks: impl IntoIterator<Item = &'a [u8]>) {
    assert_eq!(stream(chunks), stream([whole]), "{}", whole.escape_ascii());
}

/// What is said by a stream of frames; what breaks it comes last.
fn stream<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut frames, mut input, mut read) = (Frames::new(BYTES_MAX), BytesMut::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match frames.next(&mut input) {
                Ok(Some(Incoming::Message { body, text: true })) => {
                    read.push(told(text(&body, &BOUNDS, NOW)));
                }
                Ok(Some(Incoming::Message { body, text: false })) => {
                    read.push(told(binary(&body, &BOUNDS, NOW)));
                }
                Ok(Some(other)) => read.push(format!("{other:?}")),
                Ok(None) => break,
                Err(violation) => {
                    read.push(format!("{violation:?}"));
                    return read;
                }
            }
        }
        assert!(input.len() <= BYTES_MAX + HEAD_BYTES_MAX, "what waits for its end is bounded");
    }
    read
}

/// The bytes as one frame, text and binary; the object of a text frame can be the head of a binary one.
pub fn request(bytes: &[u8]) {
    told(binary(&Bytes::copy_from_slice(bytes), &BOUNDS, NOW));
    let as_text = text(bytes, &BOUNDS, NOW);
    let has_body = |verb: &Verb| {
        matches!(verb, Verb::Publish { .. } | Verb::Request { .. } | Verb::Reply { .. })
    };
    let same_in_both = as_text.as_ref().is_ok_and(|(_, verb)| !has_body(verb));
    let mut framed = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
    framed.extend_from_slice(bytes);
    let (as_text, as_binary) = (told(as_text), told(binary(&framed.into(), &BOUNDS, NOW)));
    if same_in_both {
        assert_eq!(as_text, as_binary);
    }
}

fn told(read: Result<(Req, Verb), Malformed>) -> String {
    if let Ok((_, verb)) = &read {
        bounded(verb);
    }
    let req = match &read {
        Ok((req, _)) | Err(Malformed { req, .. }) => req,
    };
    assert!(req.as_ref().is_none_or(|req| req.get().len() <= NAME_BYTES_MAX), "{req:?}");
    format!("{read:?}")
}

fn bounded(verb: &Verb) {
    match verb {
        Verb::Publish { messages, single, .. } => {
            assert!(!single || messages.len() == 1);
            messages.iter().for_each(message);
        }
        Verb::Consume { prefetch, ack_deadline, .. } => {
            assert!((1..=BOUNDS.prefetch_max).contains(prefetch));
            assert!(ack_deadline.is_none_or(is_bearable));
        }
        Verb::Settle { receipts, single, how, .. } => {
            assert!(!single || receipts.len() == 1);
            match how {
                Settle::Extend(span) => assert!(is_bearable(*span)),
                Settle::Nack(Nack::Fail { delay, .. } | Nack::Release { delay }) => {
                    assert!(delay.is_none_or(|delay| delay.is_zero() || is_bearable(delay)));
                }
                Settle::Ack | Settle::Nack(Nack::Dead { .. } | Nack::Unread) => (),
            }
        }
        Verb::Request { message: said, timeout, .. } => {
            assert!(!timeout.is_zero() && *timeout <= BOUNDS.reply_wait_max);
            message(said);
        }
        Verb::Reply { reply, .. } => assert!(reply.correlation.len() <= NAME_BYTES_MAX),
        Verb::Subscribe { .. } | Verb::Unsubscribe(_) | Verb::Ping => (),
    }
}

fn is_bearable(span: Duration) -> bool {
    !span.is_zero() && span <= Duration::from_millis(DURATION_MS_MAX)
}

/// Attributes that are kept can be read again by whoever looks at them.
fn message(message: &NewMessage) {
    let attributes = message.extra.as_ref().and_then(|extra| extra.attributes.as_deref());
    if let Some(text) = attributes {
        let read = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
        assert!(read.is_ok(), "{text}");
    }
}
