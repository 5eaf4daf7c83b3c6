//! otq: any bytes, cut anywhere, are the same lines and commands, neither panic nor pile up, and a row that
//! looks like a command is one.

use bytes::BytesMut;
use octoq::dialect::otq::codec::{Command, Line, Lines, looks_like_command, parse};

const COMMAND_BYTES_MAX: usize = 40;
const ROW_BYTES_MAX: usize = 12;
/// Rows that a PUT may announce.
pub const ROWS_MAX: u64 = 1_000_000;

/// Reads like a session: a PUT is followed by its rows, which have a limit of their own.
#[derive(Default)]
pub struct Reader {
    lines: Lines,
    /// What is kept until its line ends.
    pub buffer: BytesMut,
    rows_left: u64,
    /// What was read.
    pub read: Vec<String>,
}

impl Reader {
    /// What the network brings.
    pub fn feed(&mut self, bytes: &[u8]) {
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
                    Line::Whole(row) => {
                        command_or_not(&row);
                        format!("row {}", row.escape_ascii())
                    }
                    Line::TooLong => "row too long".into(),
                });
                continue;
            }
            let Line::Whole(line) = line else {
                self.read.push("Invalid command".into());
                continue;
            };
            command_or_not(&line);
            match parse(&line, ROWS_MAX) {
                Ok(command) => {
                    if let Command::Put { rows, .. } = command {
                        // As many rows as a check will ever send.
                        self.rows_left = rows.min(1000);
                    }
                    self.read.push(format!("{command:?}"));
                }
                Err(malformed) => self.read.push(malformed.to_string()),
            }
        }
    }
}

/// What looks like a command is one.
pub fn command_or_not(row: &[u8]) {
    if looks_like_command(row, ROWS_MAX) {
        assert!(parse(row, ROWS_MAX).is_ok(), "{}", row.escape_ascii());
    }
}

/// What is read from these pieces.
pub fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    let mut reader = Reader::default();
    chunks.into_iter().for_each(|chunk| reader.feed(chunk));
    reader.read
}

/// The pieces say what the whole says.
pub fn same<'a>(whole: &[u8], chunks: impl IntoIterator<Item = &'a [u8]>) {
    assert_eq!(read(chunks), read([whole]), "{}", whole.escape_ascii());
}

/// The whole check; the first byte says how the rest is cut.
pub fn check(input: &[u8]) {
    let Some((whole, chunks)) = super::cut(input) else { return };
    same(whole, chunks);
    command_or_not(whole);
}
