//! Lines in, commands out; replies in, bytes out. No I/O.
//!
//! Source of every behaviour: octoque 0.1.0, as its server and client library were observed; where
//! octoq differs, the difference is a superset that the unchanged client cannot tell or is glad of.

use crate::queue::Kind;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::fmt;

/// Cuts a stream of bytes into lines, at any split of the input.
///
/// LF, CR LF and a lone CR end a line; an LF directly behind a CR belongs to it, even when it
/// comes with the next read. No byte is scanned twice.
#[derive(Debug, Default)]
pub struct Lines {
    /// Bytes of the buffer that hold no line end.
    scanned: usize,
    /// The last line ended with CR: an LF now is its second half.
    after_cr: bool,
    /// The rest of an overlong line is being skipped.
    skipping: bool,
}

/// What was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Whole(BytesMut),
    /// A line longer than the limit; its bytes are gone.
    TooLong,
}

impl Lines {
    /// The next line of at most `bytes_max` bytes; `None`: not whole yet.
    pub fn next(&mut self, buffer: &mut BytesMut, bytes_max: usize) -> Option<Line> {
        if self.after_cr && !buffer.is_empty() {
            self.after_cr = false;
            if buffer.first() == Some(&b'\n') {
                buffer.advance(1);
            }
        }
        let found = buffer.get(self.scanned..).and_then(|rest| memchr::memchr2(b'\n', b'\r', rest));
        let Some(end) = found.map(|at| at + self.scanned) else {
            self.scanned = buffer.len();
            if self.scanned > bytes_max {
                self.skipping = true;
            }
            if self.skipping {
                buffer.clear();
                self.scanned = 0;
            }
            return None;
        };
        self.scanned = 0;
        let line = buffer.split_to(end);
        self.after_cr = buffer.first() == Some(&b'\r');
        buffer.advance(1);
        if self.after_cr && buffer.first() == Some(&b'\n') {
            buffer.advance(1);
            self.after_cr = false;
        }
        if std::mem::take(&mut self.skipping) || line.len() > bytes_max {
            return Some(Line::TooLong);
        }
        Some(Line::Whole(line))
    }

    /// A line longer than the limit has begun and is being skipped.
    pub fn is_skipping(&self) -> bool {
        self.skipping
    }
}

/// Which of the three that store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// PUT and PUBLISH: rows in, nothing per row out.
    Quiet,
    /// PUTACK: `SUCCESS` and the topic's size per row.
    Acknowledged,
}

/// One command line.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Log in.
    Connect {
        /// The user's name.
        user: String,
        /// Its password; never logged.
        password: String,
    },
    /// End the session.
    Disconnect,
    /// Store rows.
    Put {
        /// With or without a reply per row.
        put: Put,
        /// Where; several are separated by commas.
        topic: Bytes,
        /// How many rows follow.
        rows: u64,
        /// Seconds until they expire; zero is the topic's default.
        lifespan_s: u64,
    },
    /// Take messages.
    Get {
        /// From where.
        topic: Bytes,
        /// At most how many.
        count: u64,
    },
    /// Be sent messages; several topics are separated by commas.
    Subscribe(Bytes),
    /// Stop being sent messages.
    Unsubscribe(Bytes),
    /// Is the topic there?
    Ping(Bytes),
    /// Remove all messages.
    Clear(Bytes),
    /// Make a topic.
    New {
        /// Its name.
        topic: Bytes,
        /// Its kind.
        kind: Kind,
        /// Most messages; zero is unlimited.
        capacity: u64,
    },
    /// Show a topic, or with `*` all.
    Display(Bytes),
    /// Says ACKNOWLEDGE back.
    Acknowledge(Bytes),
}

impl fmt::Debug for Command {
    /// The verb and the topic; never a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, topic) = match self {
            Command::Connect { .. } => ("CONNECT", None),
            Command::Disconnect => ("DISCONNECT", None),
            Command::Put { topic, .. } => ("PUT", Some(topic)),
            Command::Get { topic, .. } => ("GET", Some(topic)),
            Command::Subscribe(topic) => ("SUBSCRIBE", Some(topic)),
            Command::Unsubscribe(topic) => ("UNSUBSCRIBE", Some(topic)),
            Command::Ping(topic) => ("PING", Some(topic)),
            Command::Clear(topic) => ("CLEAR", Some(topic)),
            Command::New { topic, .. } => ("NEW", Some(topic)),
            Command::Display(topic) => ("DISPLAY", Some(topic)),
            Command::Acknowledge(topic) => ("ACKNOWLEDGE", Some(topic)),
        };
        write!(f, "{verb} {topic:?}")
    }
}

/// Why a line is not a command. Every one of them closes the connection: a client that got a
/// DECLINE where it expected PROCEED would go on one reply behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// First word not OTQ.
    #[error("Invalid Protocol")]
    Protocol,
    /// CUSTOM.
    #[error("Feature not implemented")]
    NotImplemented,
    /// No second word.
    #[error("Missing command")]
    NoCommand,
    /// Unknown second word, or a line too long to be a command.
    #[error("Invalid command")]
    Command,
    /// No third word.
    #[error("Missing topic name")]
    NoTopic,
    /// GET without count.
    #[error("Missing number of message to retrieve")]
    NoCount,
    /// PUT without rows.
    #[error("Missing number of payload message")]
    NoRows,
    /// GET without method; two spaces, as octoque writes it.
    #[error("Missing  transfer method")]
    NoGetMethod,
    /// PUT without method.
    #[error("Missing transfer method")]
    NoPutMethod,
    /// Neither BATCH nor STREAM.
    #[error("Invalid transfer method")]
    Method,
    /// A number that is none, or out of bounds.
    #[error("invalid integer: {0}")]
    Integer(String),
    /// NEW with a kind that is none.
    #[error("Invalid connection type, accept only BROKER, PUBSUB")]
    Kind,
    /// NEW without kind.
    #[error("Missing connection type for new topic")]
    NoKind,
    /// NEW with a surplus word that is no `Tn`.
    #[error("Invalid number of thread format, number always starts with T")]
    Threads,
    /// CONNECT without user or password.
    #[error("Missing paramters, username or password")]
    NoCredentials,
}

/// The words of a line: separated by single spaces, so that two spaces enclose an empty word.
struct Words<'a>(std::slice::Split<'a, u8, fn(&u8) -> bool>);

impl<'a> Words<'a> {
    fn of(line: &'a [u8]) -> Self {
        Words(line.split(|byte| *byte == b' '))
    }

    /// The next word, if there is one and it is not empty.
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().filter(|word| !word.is_empty())
    }

    /// The next word, which may be missing. A space at the line's end begins no word, but a word
    /// that is empty because two spaces enclose it is one, and a wrong one.
    fn optional(&mut self) -> Option<&'a [u8]> {
        let word = self.0.next()?;
        let last = self.0.clone().next().is_none();
        (!word.is_empty() || !last).then_some(word)
    }
}

fn integer(word: &[u8]) -> Result<u64, Malformed> {
    let text = String::from_utf8_lossy(word);
    text.parse().map_err(|_| Malformed::Integer(text.into_owned()))
}

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

fn method(word: Option<&[u8]>, missing: Malformed) -> Result<(), Malformed> {
    match word {
        None => Err(missing),
        // In octoque STREAM stores nothing and leaves the rows to be taken for commands; here it
        // means BATCH.
        Some(word) if is(word, "BATCH") || is(word, "STREAM") => Ok(()),
        Some(_) => Err(Malformed::Method),
    }
}

/// Reads one command line. Keywords in any case, surplus words ignored, as octoque does.
///
/// `rows_max`: most rows of a PUT and messages of a GET.
pub fn parse(line: &[u8], rows_max: u64) -> Result<Command, Malformed> {
    let mut words = Words::of(line);
    match words.next() {
        Some(word) if is(word, "OTQ") => (),
        Some(word) if is(word, "CUSTOM") => return Err(Malformed::NotImplemented),
        _ => return Err(Malformed::Protocol),
    }
    let verb = words.next().ok_or(Malformed::NoCommand)?;
    if is(verb, "DISCONNECT") {
        return Ok(Command::Disconnect);
    }
    if is(verb, "CONNECT") {
        let (user, password) = (words.next(), words.next());
        let (user, password) = user.zip(password).ok_or(Malformed::NoCredentials)?;
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        return Ok(Command::Connect { user: text(user), password: text(password) });
    }
    let known = [
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
    ];
    let verb = known.into_iter().find(|known| is(verb, known)).ok_or(Malformed::Command)?;
    let topic = Bytes::copy_from_slice(words.next().ok_or(Malformed::NoTopic)?);
    let bounded = |word| match integer(word)? {
        count if count > rows_max => Err(Malformed::Integer(count.to_string())),
        count => Ok(count),
    };
    Ok(match verb {
        "GET" => {
            let count = bounded(words.next().ok_or(Malformed::NoCount)?)?;
            method(words.next(), Malformed::NoGetMethod)?;
            Command::Get { topic, count }
        }
        "PUT" | "PUBLISH" | "PUTACK" => {
            let rows = bounded(words.next().ok_or(Malformed::NoRows)?)?;
            method(words.next(), Malformed::NoPutMethod)?;
            let lifespan_s = words.optional().map_or(Ok(0), integer)?;
            let put = if verb == "PUTACK" { Put::Acknowledged } else { Put::Quiet };
            Command::Put { put, topic, rows, lifespan_s }
        }
        "NEW" => {
            let kind = match words.next().ok_or(Malformed::NoKind)? {
                word if is(word, "BROKER") => Kind::Broker,
                word if is(word, "PUBSUB") => Kind::Pubsub,
                _ => return Err(Malformed::Kind),
            };
            let capacity = match (words.optional(), words.optional()) {
                (None, _) => 0,
                (Some(word), None) if starts_with_t(word) => {
                    threads(word)?;
                    0
                }
                (Some(word), None) => integer(word)?,
                (Some(capacity), Some(word)) => {
                    threads(word)?;
                    integer(capacity)?
                }
            };
            Command::New { topic, kind, capacity }
        }
        "SUBSCRIBE" => Command::Subscribe(topic),
        "UNSUBSCRIBE" => Command::Unsubscribe(topic),
        "PING" => Command::Ping(topic),
        "CLEAR" => Command::Clear(topic),
        "DISPLAY" => Command::Display(topic),
        _ => Command::Acknowledge(topic),
    })
}

fn starts_with_t(word: &[u8]) -> bool {
    word.first().is_some_and(|first| first.eq_ignore_ascii_case(&b't'))
}

/// `Tn`, octoque's number of listener threads: checked, otherwise meaningless here.
fn threads(word: &[u8]) -> Result<(), Malformed> {
    if !starts_with_t(word) {
        return Err(Malformed::Threads);
    }
    integer(word.get(1..).unwrap_or_default()).map(drop)
}

/// A payload row that is itself a complete command: on a session that was declined before, a sign
/// that the client is one reply behind.
pub fn looks_like_command(row: &[u8], rows_max: u64) -> bool {
    row.len() > 4 && is(row.get(..4).unwrap_or_default(), "OTQ ") && parse(row, rows_max).is_ok()
}

/// `CONNECTED`, the answer to a login.
pub const CONNECTED: &[u8] = b"CONNECTED\r\n";
/// The first line of most answers.
pub const PROCEED: &[u8] = b"PROCEED\r\n";
/// The last line of most answers.
pub const END: &[u8] = b"ENDOFRESP\r\n";
/// A row that was not stored.
pub const FAIL: &[u8] = b"FAIL\r\n";
/// A row or a command that was done.
pub const SUCCESS: &[u8] = b"SUCCESS\r\n";
/// The topic was emptied.
pub const CLEARED: &[u8] = b"CLEARED\r\n";
/// The topic is there.
pub const PONG: &[u8] = b"PONG\r\n";
/// The topic is not there.
pub const NOT_FOUND: &[u8] = b"NOT FOUND\r\n";
/// The answer to ACKNOWLEDGE.
pub const ACKNOWLEDGE: &[u8] = b"ACKNOWLEDGE\r\n";
/// The blank line that keeps a subscription alive.
pub const KEEP_ALIVE: &[u8] = b"\n";

/// Appends `DECLINE:<reason>`; ends with LF alone, as octoque's does.
pub fn decline(out: &mut Vec<u8>, reason: &str) {
    out.extend_from_slice(b"DECLINE:");
    // The client reads up to the next colon and one line.
    let clean = reason.bytes().map(|byte| if byte == b'\r' || byte == b'\n' { b' ' } else { byte });
    out.extend(clean);
    out.push(b'\n');
}

/// Appends a stored row's confirmation: `SUCCESS` and the topic's size.
pub fn stored(out: &mut Vec<u8>, size: u64) {
    out.extend_from_slice(SUCCESS);
    out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends a message without its line end. A line end inside (it came in through another door)
/// becomes one space: otq has no way to carry it. A message that reads `ENDOFRESP` would end the
/// answer for every client: it gets a space behind.
fn body(out: &mut impl BufMut, body: &[u8]) {
    let mut rest = body;
    while let Some(at) = memchr::memchr2(b'\r', b'\n', rest) {
        let (before, behind) = rest.split_at(at);
        out.put_slice(before);
        out.put_u8(b' ');
        rest = behind.strip_prefix(b"\r\n").unwrap_or(behind.get(1..).unwrap_or_default());
    }
    out.put_slice(rest);
    if body == b"ENDOFRESP" {
        out.put_u8(b' ');
    }
}

/// Appends a message of a GET.
pub fn row(out: &mut Vec<u8>, message: &[u8]) {
    body(out, message);
    out.extend_from_slice(b"\r\n");
}

/// Appends a message pushed to a subscriber: ends with LF alone.
pub fn push(out: &mut BytesMut, message: &[u8]) {
    body(out, message);
    out.put_u8(b'\n');
}

/// Dashes of a box's upper and lower edge.
const RULE_DASHES: usize = 52;

/// Appends the box of one topic.
pub fn display(out: &mut Vec<u8>, name: &[u8], kind: Kind, capacity: u64, size: u64) {
    let rule = |out: &mut Vec<u8>| {
        out.push(b'+');
        out.resize(out.len() + RULE_DASHES, b'-');
        out.push(b'\n');
    };
    let field = |out: &mut Vec<u8>, label: &str, value: &[u8]| {
        out.extend_from_slice(format!("| {label:<18}: ").as_bytes());
        out.extend_from_slice(value);
        out.push(b'\n');
    };
    let kind: &[u8] = match kind {
        Kind::Broker => b"BROKER",
        Kind::Pubsub => b"PUBSUB",
    };
    rule(out);
    field(out, "Name", name);
    field(out, "Connection Type", kind);
    field(out, "Capacity", capacity.to_string().as_bytes());
    field(out, "Store Size", size.to_string().as_bytes());
    rule(out);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS_MAX: u64 = 1_000_000;

    fn lines_of(chunks: &[&[u8]], bytes_max: usize) -> Vec<Option<Vec<u8>>> {
        let (mut lines, mut buffer, mut out) = (Lines::default(), BytesMut::new(), Vec::new());
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(line) = lines.next(&mut buffer, bytes_max) {
                out.push(match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                });
            }
            assert!(buffer.len() <= bytes_max.max(chunk.len()), "the buffer stays bounded");
        }
        out
    }

    #[test]
    fn lf_cr_lf_and_a_lone_cr_end_a_line_at_any_split() {
        let input = b"one\r\ntwo\nthree\rfour\r\r\n\n\r\nlast\n";
        let expected: Vec<Option<Vec<u8>>> = ["one", "two", "three", "four", "", "", "", "last"]
            .map(|line| Some(line.into()))
            .into();
        for first in 0..=input.len() {
            for second in first..=input.len() {
                let chunks = [&input[..first], &input[first..second], &input[second..]];
                assert_eq!(lines_of(&chunks, 100), expected, "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn an_overlong_line_is_skipped_to_its_end_at_any_split() {
        let input = b"ok\n0123456789\nfine\r\n";
        for cut in 0..=input.len() {
            let chunks = [&input[..cut], &input[cut..]];
            assert_eq!(
                lines_of(&chunks, 5),
                [Some(b"ok".to_vec()), None, Some(b"fine".to_vec())],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn every_command_of_the_protocol_is_read() {
        let topic = || Bytes::from_static(b"t");
        let put = |put, rows, lifespan_s| Command::Put { put, topic: topic(), rows, lifespan_s };
        let new = |kind, capacity| Command::New { topic: topic(), kind, capacity };
        let table = [
            ("OTQ CONNECT u p", Command::Connect { user: "u".into(), password: "p".into() }),
            (
                "otq connect u p more words",
                Command::Connect { user: "u".into(), password: "p".into() },
            ),
            ("OTQ DISCONNECT", Command::Disconnect),
            ("OTQ DISCONNECT now", Command::Disconnect),
            ("OTQ PUT t 2 BATCH", put(Put::Quiet, 2, 0)),
            ("OTQ PUBLISH t 0 stream 7", put(Put::Quiet, 0, 7)),
            ("OTQ PUTACK t 1000000 Batch", put(Put::Acknowledged, 1_000_000, 0)),
            ("otq get t 5 batch", Command::Get { topic: topic(), count: 5 }),
            ("OTQ GET * 1 BATCH", Command::Get { topic: Bytes::from_static(b"*"), count: 1 }),
            ("OTQ SUBSCRIBE t", Command::Subscribe(topic())),
            ("OTQ UNSUBSCRIBE t", Command::Unsubscribe(topic())),
            ("OTQ PING t", Command::Ping(topic())),
            ("OTQ CLEAR t", Command::Clear(topic())),
            ("OTQ NEW t BROKER", new(Kind::Broker, 0)),
            ("OTQ NEW t pubsub 500", new(Kind::Pubsub, 500)),
            ("OTQ NEW t BROKER T2", new(Kind::Broker, 0)),
            ("OTQ NEW t BROKER 500 t2 more", new(Kind::Broker, 500)),
            ("OTQ NEW t BROKER ", new(Kind::Broker, 0)),
            ("OTQ PUT t 1 BATCH ", put(Put::Quiet, 1, 0)),
            ("OTQ DISPLAY t", Command::Display(topic())),
            ("OTQ ACKNOWLEDGE t", Command::Acknowledge(topic())),
        ];
        for (line, command) in table {
            assert_eq!(parse(line.as_bytes(), ROWS_MAX), Ok(command), "{line}");
        }
    }

    #[test]
    fn every_malformed_line_has_its_own_reason() {
        let table = [
            ("", "Invalid Protocol"),
            (" OTQ PING t", "Invalid Protocol"),
            ("HELLO", "Invalid Protocol"),
            ("OTQ\tPING t", "Invalid Protocol"),
            ("CUSTOM PING t", "Feature not implemented"),
            ("OTQ", "Missing command"),
            ("OTQ ", "Missing command"),
            ("OTQ  PING", "Missing command"),
            ("OTQ DANCE t", "Invalid command"),
            ("OTQ PING", "Missing topic name"),
            ("OTQ GET", "Missing topic name"),
            ("OTQ GET t", "Missing number of message to retrieve"),
            ("OTQ PUT t", "Missing number of payload message"),
            ("OTQ GET t 1", "Missing  transfer method"),
            ("OTQ PUT t 1", "Missing transfer method"),
            ("OTQ GET t 1 one", "Invalid transfer method"),
            ("OTQ PUT t 1 one", "Invalid transfer method"),
            ("OTQ GET t x BATCH", "invalid integer: x"),
            ("OTQ GET t -1 BATCH", "invalid integer: -1"),
            ("OTQ PUT t 1000001 BATCH", "invalid integer: 1000001"),
            ("OTQ PUT t 99999999999999999999 BATCH", "invalid integer: 99999999999999999999"),
            ("OTQ PUT t 1 BATCH x", "invalid integer: x"),
            ("OTQ NEW t QUEUE", "Invalid connection type, accept only BROKER, PUBSUB"),
            ("OTQ NEW t", "Missing connection type for new topic"),
            (
                "OTQ NEW t BROKER 5 6",
                "Invalid number of thread format, number always starts with T",
            ),
            (
                "OTQ NEW t BROKER  500",
                "Invalid number of thread format, number always starts with T",
            ),
            ("OTQ NEW t BROKER  T2", "invalid integer: "),
            (
                "OTQ NEW t BROKER 500  T2",
                "Invalid number of thread format, number always starts with T",
            ),
            ("OTQ PUT t 1 BATCH  5", "invalid integer: "),
            ("OTQ NEW t BROKER x", "invalid integer: x"),
            ("OTQ NEW t BROKER Tx", "invalid integer: x"),
            ("OTQ NEW t BROKER 1 T", "invalid integer: "),
            ("OTQ CONNECT", "Missing paramters, username or password"),
            ("OTQ CONNECT u", "Missing paramters, username or password"),
        ];
        for (line, reason) in table {
            let refused = parse(line.as_bytes(), ROWS_MAX).expect_err(line);
            assert_eq!(refused.to_string(), reason, "{line}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let command = parse(b"OTQ CONNECT admin secret", ROWS_MAX).unwrap();
        assert!(!format!("{command:?}").contains("secret"));
    }

    #[test]
    fn messages_that_clash_with_the_framing_are_changed_as_little_as_possible() {
        let table: [(&[u8], &[u8]); 7] = [
            (b"plain", b"plain\r\n"),
            (b"", b"\r\n"),
            (b"ENDOFRESP", b"ENDOFRESP \r\n"),
            (b"ENDOFRESPX", b"ENDOFRESPX\r\n"),
            (b"a\r\nb\rc\nd", b"a b c d\r\n"),
            (b"\n\n", b"  \r\n"),
            (b"\xff\0", b"\xff\0\r\n"),
        ];
        for (message, line) in table {
            let mut out = Vec::new();
            row(&mut out, message);
            assert_eq!(out, line);
        }
    }

    #[test]
    fn answers_have_octoques_exact_bytes() {
        let mut out = Vec::new();
        decline(&mut out, "Unauthorized access");
        stored(&mut out, 12);
        display(&mut out, b"default", Kind::Broker, 0, 2);
        let rule = "-".repeat(52);
        let expected = format!(
            "DECLINE:Unauthorized access\nSUCCESS\r\n12\r\n+{rule}\n| Name              : default\n\
             | Connection Type   : BROKER\n| Capacity          : 0\n| Store Size        : 2\n+{rule}\n\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn only_whole_commands_look_like_commands() {
        assert!(looks_like_command(b"OTQ PING t", ROWS_MAX));
        for row in ["OTQ", "OTQ ", "OTQ PING", "hello", "CUSTOM PING t"] {
            assert!(!looks_like_command(row.as_bytes(), ROWS_MAX), "{row}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_input_breaks_the_reader(input: Vec<u8>, cuts in proptest::collection::vec(0usize..64, 0..8)) {
            let (mut lines, mut buffer, mut at) = (Lines::default(), BytesMut::new(), 0);
            for cut in cuts.into_iter().chain([input.len()]) {
                let end = (at + cut).min(input.len());
                buffer.extend_from_slice(&input[at..end]);
                at = end;
                while let Some(line) = lines.next(&mut buffer, 16) {
                    if let Line::Whole(line) = line {
                        let _ = parse(&line, ROWS_MAX);
                    }
                }
                proptest::prop_assert!(buffer.len() <= 16);
            }
        }
    }
}
