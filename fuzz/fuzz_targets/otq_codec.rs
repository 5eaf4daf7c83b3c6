//! `cargo +nightly fuzz run otq_codec`: any bytes, cut anywhere, neither panic nor pile up.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use octoq::dialect::otq::codec::{Line, Lines, looks_like_command, parse};

const LINE_BYTES_MAX: usize = 64;

fn lines_of<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let (mut lines, mut buffer, mut read) = (Lines::default(), BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        while let Some(line) = lines.next(&mut buffer, LINE_BYTES_MAX) {
            read.push(line);
        }
        assert!(buffer.len() <= LINE_BYTES_MAX);
    }
    read
}

fuzz_target!(|input: &[u8]| {
    // The first byte says how the rest is cut.
    let Some((size, input)) = input.split_first() else { return };
    let whole = lines_of(std::iter::once(input));
    assert_eq!(whole, lines_of(input.chunks(usize::from(*size).max(1))));
    for line in &whole {
        if let Line::Whole(line) = line {
            let command = parse(line, 1_000_000);
            assert!(!looks_like_command(line, 1_000_000) || command.is_ok());
        }
    }
});
