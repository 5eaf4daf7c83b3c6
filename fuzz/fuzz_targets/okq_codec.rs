//! `cargo +nightly fuzz run okq_codec`: any bytes, cut anywhere, neither panic nor pile up.
#![no_main]

use libfuzzer_sys::fuzz_target;
use octoq::dialect::okq::command::parse;
use octoq::dialect::okq::resp::{Bounds, Decoder, Step};

const BOUNDS: Bounds = Bounds { bulk_bytes_max: 1 << 16, request_bytes_max: 256 };
/// Lines have a bound of their own.
const KEPT_MAX: usize = 64 << 10;

fn requests_of<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let (mut decoder, mut buffer, mut read) = (Decoder::default(), Vec::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let used = match decoder.next(&buffer, &BOUNDS) {
                Ok(Step::More) => break,
                Ok(Step::Past(used)) => used,
                Ok(Step::Request(used)) => {
                    read.push(format!("{:?}", parse(&decoder.args(&buffer))));
                    used
                }
                Ok(Step::NotStrings(used)) => {
                    read.push("not strings".to_owned());
                    used
                }
                Ok(Step::TooLong(used)) => {
                    read.push("too long".to_owned());
                    used
                }
                Err(malformed) => {
                    read.push(malformed.to_string());
                    return read;
                }
            };
            buffer.drain(..used);
        }
        assert!(buffer.len() <= KEPT_MAX.max(chunk.len() + BOUNDS.request_bytes_max));
    }
    read
}

fuzz_target!(|input: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((size, input)) = input.split_first() else { return };
    let whole = requests_of(std::iter::once(input));
    assert_eq!(whole, requests_of(input.chunks(usize::from(*size).max(1))));
});
