//! otq's lines: commands and payload rows in turn, whatever way the network cuts them.

use super::checks::otq_codec::{Reader, command_or_not, read, same};
use super::*;

#[test]
fn a_dialogue_reads_the_same_wherever_it_is_cut() {
    let dialogue = b"OTQ CONNECT admin password\r\nOTQ PUT default 5 BATCH\nhello\r\n\r\nOTQ PING t\rtoo long to be a row\r\n\xff\0\n\
        otq get default 5 batch\r\n\rOTQ PUT t 0 BATCH\rOTQ DISCONNECT\r\n\
        OTQ PING a-line-that-is-longer-than-any-command-may-be\nOTQ PING t\r\n";
    let expected = [
        "CONNECT None",
        "PUT Some(b\"default\")",
        "row hello",
        "row ",
        "row OTQ PING t",
        "row too long",
        "row \\xff\\x00",
        "GET Some(b\"default\")",
        "Invalid Protocol",
        "PUT Some(b\"t\")",
        "DISCONNECT None",
        "Invalid command",
        "PING Some(b\"t\")",
    ];
    for first in 0..=dialogue.len() {
        for second in first..=dialogue.len() {
            let chunks = [&dialogue[..first], &dialogue[first..second], &dialogue[second..]];
            assert_eq!(read(chunks), expected, "cut at {first} and {second}");
        }
    }
    assert_eq!(read(dialogue.chunks(1)), expected, "byte by byte");
}

#[test]
fn a_line_that_never_ends_takes_no_memory() {
    let mut reader = Reader::default();
    reader.feed(b"OTQ PUT t 2 BATCH\n");
    for _ in 0..10_000 {
        reader.feed(&[b'x'; 1000]);
    }
    assert!(reader.buffer.capacity() <= 64 << 10, "{}", reader.buffer.capacity());
    reader.feed(b"\nfits\n");
    assert_eq!(reader.read[1..], ["row too long", "row fits"]);
}

/// What a command is made of.
const PIECES: [&str; 36] = [
    "OTQ",
    "otq",
    "CUSTOM",
    "CONNECT",
    "DISCONNECT",
    "PUT",
    "PUTACK",
    "PUBLISH",
    "GET",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PING",
    "CLEAR",
    "NEW",
    "DISPLAY",
    "ACKNOWLEDGE",
    "default",
    "*",
    "1",
    "0",
    "-1",
    "99999999999999999999",
    "BATCH",
    "stream",
    "BROKER",
    "pubsub",
    "T2",
    "t",
    " ",
    " ",
    " ",
    " ",
    " ",
    "\r",
    "\n",
    "\r\n",
];

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in vec(piece(&PIECES), 0..60),
        cuts in cuts(),
    ) {
        let input = pieces.concat();
        same(&input, cut(&input, &cuts));
    }

    #[test]
    fn what_looks_like_a_command_is_one(pieces in vec(piece(&PIECES), 0..12)) {
        command_or_not(&pieces.concat());
    }
}
