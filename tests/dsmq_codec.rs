//! The dsmq codecs on any bytes, whatever way the network cuts them; and on what fuzzing starts from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::BytesMut;
use octoq::dialect::dsmq::objects::Objects;
use octoq::dialect::dsmq::opening::open;
use octoq::dialect::dsmq::request::parse;
use octoq::dialect::dsmq::websocket::{Frames, Incoming};
use proptest::prelude::*;
use std::{fs, path::Path};

const BYTES_MAX: usize = 256;

/// The requests of a plain connection; what breaks it comes last.
fn objects(chunks: &[&[u8]]) -> Vec<String> {
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
fn frames(chunks: &[&[u8]]) -> Vec<String> {
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
        assert!(input.len() <= BYTES_MAX + 14, "what waits for its end is bounded");
    }
    read
}

#[test]
fn what_fuzzing_starts_from_reads_the_same_in_pieces_of_any_size() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/dsmq_codec");
    let mut files = 0;
    for file in fs::read_dir(corpus).unwrap() {
        let path = file.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let input = &bytes[1..];
        for size in 1..=input.len() {
            let chunks: Vec<&[u8]> = input.chunks(size).collect();
            assert_eq!(objects(&chunks), objects(&[input]), "{path:?}, {size} at a time");
            assert_eq!(frames(&chunks), frames(&[input]), "{path:?}, {size} at a time");
            let _ = open(&input[..size], &[]);
        }
        files += 1;
    }
    assert!(files >= 12, "the corpus is not where it was");
}

/// What a client says, so that random bytes are not always wrong at once.
const PIECES: [&str; 22] = [
    "{\"action\": \"put\", \"topic\": \"t\", \"message\": ",
    "{\"action\": \"get\", \"topic\": \"t\"}",
    "{\"msg_length\": 1000031}",
    "{\"msg_length\": 1000005}",
    "{\"msg_length\": ",
    "\"Hello!\"}",
    "1.5e10}",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "\\u00e9",
    ":",
    ",",
    "null",
    " ",
    "\n",
    "\u{81}\u{85}",
    "\u{1}",
    "\u{89}\u{80}abcd",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    // Characters up to U+00FF stand for their bytes.
    let bytes = |word: &&str| word.chars().map(|c| c as u32 as u8).collect();
    prop_oneof![
        6 => prop::sample::select(&PIECES[..]).prop_map(move |word| bytes(&word)),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in prop::collection::vec(piece(), 0..40),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input = pieces.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        at.sort_unstable();
        at.push(input.len());
        let mut start = 0;
        let chunks: Vec<&[u8]> =
            at.iter().map(|end| &input[std::mem::replace(&mut start, *end)..*end]).collect();
        prop_assert_eq!(objects(&chunks), objects(&[&input]));
        prop_assert_eq!(frames(&chunks), frames(&[&input]));
    }

    #[test]
    fn any_text_is_a_message_and_comes_back(text in any::<String>(), name in any::<String>()) {
        use octoq::dialect::dsmq::request::{Content, Request};
        let request = serde_json::json!({"action": "put", "topic": name, "message": text}).to_string();
        let expected = Request::Put(Some(name.as_str().into()), Content::Text(text.as_str().into()));
        prop_assert_eq!(parse(request.as_bytes()), Ok(expected));
    }
}
