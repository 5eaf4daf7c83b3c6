//! Lines in, commands out; replies in, bytes out. No I/O.
//!
//! Source of every behaviour: octoque 0.1.0, as its server and client library were observed; where
//! octoq differs, the difference is a superset that the unchanged client cannot tell or is glad of.

#[cfg(test)]
mod tests;

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
