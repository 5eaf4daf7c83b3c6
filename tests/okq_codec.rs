//! The okq codec as a session uses it: any bytes read the same whole and in pieces, and what is kept
//! of them is bounded. The corpus of the fuzzer is replayed.

use octoq::dialect::okq::command::parse;
use octoq::dialect::okq::resp::{Bounds, Decoder, LINE_BYTES_MAX, Step};
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bulk_bytes_max: 1 << 16, request_bytes_max: 256 };

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

fn same_in_pieces(input: &[u8], size: usize) {
    let (whole, _) = read([input]);
    let (pieces, kept) = read(input.chunks(size.max(1)));
    assert_eq!(pieces, whole, "{}", input.escape_ascii());
    // A line is kept up to its own bound.
    assert!(kept <= LINE_BYTES_MAX, "{kept} bytes were kept");
}

#[test]
fn the_corpus_of_the_fuzzer_reads_the_same_whole_and_in_pieces() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/okq_codec");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        let Some((size, input)) = input.split_first() else { continue };
        for size in [usize::from(*size), 1, 2, 7] {
            same_in_pieces(input, size);
        }
        count += 1;
    }
    assert!(count >= 10, "the corpus is not where it was");
}

#[test]
fn a_request_that_is_not_kept_takes_no_memory() {
    let (mut decoder, mut buffer, mut most) = (Decoder::default(), Vec::new(), 0);
    let head = b"*3\r\n$6\r\nQLPUSH\r\n$1\r\nq\r\n$60000\r\n".to_vec();
    let body = vec![b'x'; 60_000];
    let tail = b"\r\nPING\r\n".to_vec();
    let mut said = Vec::new();
    for chunk in [head, body, tail].concat().chunks(100) {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.next(&buffer, &BOUNDS) {
                Ok(Step::More) => break,
                Ok(step @ (Step::Past(used) | Step::TooLong(used) | Step::Request(used))) => {
                    if !matches!(step, Step::Past(_)) {
                        said.push(step);
                    }
                    buffer.drain(..used);
                }
                other => panic!("{other:?}"),
            }
        }
        most = most.max(buffer.len());
    }
    assert_eq!(said, [Step::TooLong(0), Step::Request(6)]);
    assert!(most <= 200, "{most} bytes were kept");
}

/// What requests are made of.
const PIECES: [&str; 34] = [
    "*1\r\n",
    "*2\r\n",
    "*3\r\n",
    "*4\r\n",
    "*0\r\n",
    "*-1\r\n",
    "*300\r\n",
    "$",
    "$-1\r\n",
    "$0\r\n\r\n",
    "$1\r\nq\r\n",
    "$2\r\nEX\r\n",
    "$5\r\nQRPOP\r\n",
    "$6\r\nQLPUSH\r\n",
    "$4\r\nQACK\r\n",
    "$4\r\nREDO\r\n",
    "$300\r\n",
    "$70000\r\n",
    "+PING\r\n",
    ":1\r\n",
    "-ERR\r\n",
    "PING\r\n",
    "QRPOP q EX 5\n",
    "\"a b\" ",
    "\"",
    "\\x00",
    "\r\n",
    "\n",
    "\r",
    " ",
    "HTTP/1.1\r\n",
    "*",
    "9",
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(&PIECES[..]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in prop::collection::vec(piece(), 0..60),
        size in 1usize..40,
    ) {
        same_in_pieces(&pieces.concat(), size);
    }
}
