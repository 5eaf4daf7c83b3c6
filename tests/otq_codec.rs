//! The otq codec as a session uses it: command lines and payload rows in turn, whatever way the
//! network cuts them.

use bytes::BytesMut;
use octoq::dialect::otq::codec::{Command, Line, Lines, looks_like_command, parse};
use proptest::prelude::*;

const COMMAND_BYTES_MAX: usize = 40;
const ROW_BYTES_MAX: usize = 12;
const ROWS_MAX: u64 = 1_000_000;

/// Reads like a session: a PUT is followed by its rows, which have a limit of their own.
#[derive(Default)]
struct Reader {
    lines: Lines,
    buffer: BytesMut,
    rows_left: u64,
    read: Vec<String>,
}

impl Reader {
    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        loop {
            let in_rows = self.rows_left > 0;
            let bytes_max = if in_rows { ROW_BYTES_MAX } else { COMMAND_BYTES_MAX };
            let Some(line) = self.lines.next(&mut self.buffer, bytes_max) else {
                assert!(self.buffer.len() <= bytes_max, "what waits for its line end is bounded");
                return;
            };
            if in_rows {
                self.rows_left -= 1;
                self.read.push(match line {
                    Line::Whole(row) => format!("row {}", row.escape_ascii()),
                    Line::TooLong => "row too long".into(),
                });
                continue;
            }
            let Line::Whole(line) = line else {
                self.read.push("Invalid command".into());
                continue;
            };
            match parse(&line, ROWS_MAX) {
                Ok(command) => {
                    if let Command::Put { rows, .. } = command {
                        // As many rows as a test will ever send.
                        self.rows_left = rows.min(1000);
                    }
                    self.read.push(format!("{command:?}"));
                }
                Err(malformed) => self.read.push(malformed.to_string()),
            }
        }
    }
}

fn read(chunks: &[&[u8]]) -> Vec<String> {
    let mut reader = Reader::default();
    for chunk in chunks {
        reader.feed(chunk);
    }
    reader.read
}

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
            assert_eq!(read(&chunks), expected, "cut at {first} and {second}");
        }
    }
    let bytes: Vec<&[u8]> = dialogue.chunks(1).collect();
    assert_eq!(read(&bytes), expected, "byte by byte");
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

/// One of them, or bytes that are none of them.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop::sample::select(&PIECES[..]).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn any_input_reads_the_same_whole_and_in_pieces(
        pieces in prop::collection::vec(piece(), 0..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let input = pieces.concat();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
        at.sort_unstable();
        at.push(input.len());
        let mut start = 0;
        let chunks: Vec<&[u8]> = at.iter().map(|end| &input[std::mem::replace(&mut start, *end)..*end]).collect();
        prop_assert_eq!(read(&chunks), read(&[&input]));
    }

    #[test]
    fn what_looks_like_a_command_is_one(pieces in prop::collection::vec(piece(), 0..12)) {
        let row = pieces.concat();
        if looks_like_command(&row, ROWS_MAX) {
            prop_assert!(parse(&row, ROWS_MAX).is_ok());
        }
    }
}
