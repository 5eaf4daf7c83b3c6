//! What must hold of every codec for any bytes. Said once: the fuzz targets feed it what they find, the
//! tests (`tests/codecs`) feed it the committed corpus and what they make up.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a check fails by panicking")]

pub mod addresses;
pub mod blockqueue_json;
pub mod dsmq_codec;
pub mod fastqueue_json;
pub mod native_query;
pub mod native_socket;
pub mod okq_codec;
pub mod otq_codec;

use std::slice::Chunks;

/// Of the codecs that read a stream: the input whole, and cut as its first byte says.
fn cut(input: &[u8]) -> Option<(&[u8], Chunks<'_, u8>)> {
    let (size, input) = input.split_first()?;
    Some((input, input.chunks(usize::from(*size).max(1))))
}
