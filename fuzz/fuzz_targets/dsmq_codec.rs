//! `cargo +nightly fuzz run dsmq_codec`: any bytes, cut anywhere, neither panic nor pile up, and are
//! the same requests whole and in pieces.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use octoq::dialect::dsmq::objects::Objects;
use octoq::dialect::dsmq::opening::open;
use octoq::dialect::dsmq::request::parse;
use octoq::dialect::dsmq::websocket::{Frames, Incoming};

const BYTES_MAX: usize = 256;

fn objects<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
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
        assert!(input.len() <= BYTES_MAX);
    }
    read
}

fn frames<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
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
        assert!(input.len() <= BYTES_MAX + 14);
    }
    read
}

fuzz_target!(|input: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((size, input)) = input.split_first() else { return };
    let size = usize::from(*size).max(1);
    assert_eq!(objects(std::iter::once(input)), objects(input.chunks(size)));
    assert_eq!(frames(std::iter::once(input)), frames(input.chunks(size)));
    let _ = parse(input);
    let _ = open(input, &[]);
});
