//! Names of topics and queues on the command line, and where they are found over HTTP.

use clap::builder::{OsStringValueParser, TypedValueParser as _, ValueParserFactory};
use std::{ffi::OsString, fmt, os::unix::ffi::OsStringExt as _};

/// Longest name, bytes.
const BYTES_MAX: usize = 255;

/// The name of a topic or a queue: 1 to 255 bytes of any kind.
#[derive(Clone, PartialEq, Eq)]
pub struct Name(Vec<u8>);

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name must have 1 to 255 bytes")]
pub struct NoName;

impl Name {
    /// Of these bytes.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Name, NoName> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > BYTES_MAX { Err(NoName) } else { Ok(Name(bytes)) }
    }

    /// The queue that is meant when none is named.
    pub fn default_queue() -> Name {
        Name(b"default".to_vec())
    }

    /// As one segment of a path.
    pub fn segment(&self) -> String {
        encode(&self.0)
    }
}

/// Percent-encodes everything but what is unreserved in a URL.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                out.push(char::from(*byte));
            }
            // A segment of dots alone would be taken for a step up.
            b'.' if bytes.iter().any(|byte| *byte != b'.') => out.push('.'),
            _ => {
                use fmt::Write as _;
                // Into a text it cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Puts a query behind a path; pairs without a value are left out.
pub fn with_query(path: String, pairs: &[(&str, Option<String>)]) -> String {
    let mut out = path;
    let mut separator = '?';
    for (name, value) in pairs {
        if let Some(value) = value {
            out.push(separator);
            out.push_str(name);
            out.push('=');
            out.push_str(&encode(value.as_bytes()));
            separator = '&';
        }
    }
    out
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl ValueParserFactory for Name {
    type Parser =
        clap::builder::TryMapValueParser<OsStringValueParser, fn(OsString) -> Result<Name, NoName>>;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().try_map(|text: OsString| Name::parse(text.into_vec()))
    }
}

/// A queue of some topic, written `topic` (its queue `default`) or `topic/queue`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The topic.
    pub topic: Name,
    /// The queue.
    pub queue: Name,
}

impl ValueParserFactory for Address {
    type Parser = clap::builder::TryMapValueParser<
        OsStringValueParser,
        fn(OsString) -> Result<Address, NoName>,
    >;

    fn value_parser() -> Self::Parser {
        OsStringValueParser::new().try_map(|text: OsString| {
            let bytes = text.into_vec();
            match bytes.iter().rposition(|byte| *byte == b'/') {
                None => Ok(Address { topic: Name::parse(bytes)?, queue: Name::default_queue() }),
                Some(at) => Ok(Address {
                    topic: Name::parse(bytes.get(..at).unwrap_or_default())?,
                    queue: Name::parse(bytes.get(at + 1..).unwrap_or_default())?,
                }),
            }
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.queue)
    }
}

/// A topic and one of its queues, as most commands name them.
#[derive(Debug, Clone, clap::Args)]
pub struct QueueArgs {
    /// The topic
    pub topic: Name,
    /// Its queue
    #[arg(long, short, env = "OCTOQ_QUEUE", value_name = "QUEUE", default_value = "default")]
    pub queue: Name,
}

impl QueueArgs {
    /// `/v1/topics/T/queues/Q`
    pub fn path(&self) -> String {
        queue_path(&self.topic, &self.queue)
    }
}

/// `/v1/topics/T`
pub fn topic_path(topic: &Name) -> String {
    format!("/v1/topics/{}", topic.segment())
}

/// `/v1/topics/T/queues/Q`
pub fn queue_path(topic: &Name, queue: &Name) -> String {
    format!("{}/queues/{}", topic_path(topic), queue.segment())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Name {
        Name::parse(bytes).unwrap()
    }

    #[test]
    fn names_become_segments_and_come_back() {
        let table: [(&[u8], &str); 6] = [
            (b"orders", "orders"),
            (b"a/b c", "a%2Fb%20c"),
            (b"\xff", "%FF"),
            (b"..", "%2E%2E"),
            (b"a.b", "a.b"),
            (b"100%", "100%25"),
        ];
        for (bytes, segment) in table {
            assert_eq!(name(bytes).segment(), segment);
            assert_eq!(crate::dialect::path::percent_decode(segment.as_bytes()), bytes);
        }
        assert_eq!(Name::parse(""), Err(NoName));
        assert_eq!(Name::parse([b'a'; 256]), Err(NoName));
    }

    #[test]
    fn queries_are_encoded_and_what_is_not_said_is_left_out() {
        let pairs = [("a", Some("1 2".to_owned())), ("b", None), ("c", Some("x=y&z".to_owned()))];
        assert_eq!(with_query("/p".into(), &pairs), "/p?a=1%202&c=x%3Dy%26z");
        assert_eq!(with_query("/p".into(), &[]), "/p");
    }
}
