//! okq: any bytes, cut anywhere, are the same requests, neither panic nor pile up.

use octoq::dialect::okq::command::parse;
use octoq::dialect::okq::resp::{Bounds, Decoder, LINE_BYTES_MAX, Step};

/// Far below what a door takes, so that inputs reach them.
pub const BOUNDS: Bounds = Bounds { bulk_bytes_max: 1 << 16, request_bytes_max: 256 };

/// What the bytes say, and the most that had to be kept between two chunks.
fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, usize) {
    let (mut decoder, mut buffer) = (Decoder::default(), Vec::new());
    let (mut said, mut kept) = (Vec::new(), 0);
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            let used = match decoder.next(&buffer, &BOUNDS) {
                Ok(Step::More) => break,
                Ok(Step::Past(used)) => used,
                Ok(Step::Request(used)) => {
                    said.push(format!("{:?}", parse(&decoder.args(&buffer))));
                    used
                }
                Ok(Step::NotStrings(used)) => {
                    said.push("not strings".to_owned());
                    used
                }
                Ok(Step::TooLong(used)) => {
                    said.push("too long".to_owned());
                    used
                }
                Err(malformed) => {
                    said.push(malformed.to_string());
                    return (said, kept);
                }
            };
            buffer.drain(..used);
        }
        kept = kept.max(buffer.len());
    }
    (said, kept)
}

/// The pieces say what the whole says.
pub fn same<'a>(whole: &[u8], chunks: impl IntoIterator<Item = &'a [u8]>) {
    let (expected, _) = read([whole]);
    let (said, kept) = read(chunks);
    assert_eq!(said, expected, "{}", whole.escape_ascii());
    // A line is kept up to its own bound.
    assert!(kept <= LINE_BYTES_MAX, "{kept} bytes were kept");
}

/// The whole check; the first byte says how the rest is cut.
pub fn check(input: &[u8]) {
    let Some((whole, chunks)) = super::cut(input) else { return };
    same(whole, chunks);
}
