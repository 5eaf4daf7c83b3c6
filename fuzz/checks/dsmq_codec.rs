//! dsmq, in its three framings: any bytes, cut anywhere, are the same requests, neither panic nor pile up.

use bytes::BytesMut;
use octoq::dialect::dsmq::objects::Objects;
use octoq::dialect::dsmq::opening::open;
use octoq::dialect::dsmq::request::parse;
use octoq::dialect::websocket::{Frames, Incoming};

const BYTES_MAX: usize = 256;
/// Beginnings that are looked at as the opening of a connection, each anew.
const OPENINGS_MAX: usize = 32;
/// Longest head of a WebSocket frame.
const HEAD_BYTES_MAX: usize = 14;

/// The requests of a plain connection; what breaks it comes last.
fn objects<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut objects, mut input, mut read) = (Objects::new(BYTES_MAX), BytesMut::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match objects.next(&mut input) {
                Ok(Some((framing, text))) => read.push(format!("{framing:?} {:?}", parse(&text))),
                Ok(None) => break,
                Err(broken) => {
                    read.push(broken.to_string());
                    return read;
                }
            }
        }
        assert!(input.len() <= BYTES_MAX, "what waits for its end is bounded");
    }
    read
}

/// The messages of a WebSocket; what breaks it comes last.
fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut frames, mut input, mut read) = (Frames::new(BYTES_MAX), BytesMut::new(), Vec::new());
    for chunk in chunks {
        input.extend_from_slice(chunk);
        loop {
            match frames.next(&mut input) {
                Ok(Some(Incoming::Message { body, text })) => {
                    read.push(format!("{text} {:?}", parse(&body)));
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

/// The pieces say what the whole says.
pub fn same<'a>(whole: &[u8], chunks: impl IntoIterator<Item = &'a [u8]> + Clone) {
    assert_eq!(objects(chunks.clone()), objects([whole]), "{}", whole.escape_ascii());
    assert_eq!(frames(chunks), frames([whole]), "{}", whole.escape_ascii());
}

/// The whole check; the first byte says how the rest is cut.
pub fn check(input: &[u8]) {
    let Some((whole, chunks)) = super::cut(input) else { return };
    same(whole, chunks.clone());
    let _ = parse(whole);
    let mut end = 0;
    for chunk in chunks.take(OPENINGS_MAX) {
        end += chunk.len();
        let _ = open(&whole[..end], &[]);
    }
}
