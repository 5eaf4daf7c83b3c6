//! Names of topics and queues: checked once, where they enter.

use bytes::Bytes;
use std::{borrow::Borrow, fmt};

/// The most bytes a name may have; the fewest are 1.
pub const NAME_BYTES_MAX: usize = 255;

/// The queue every broker topic made by otq, okQ or the native API has.
pub const DEFAULT_QUEUE: &str = "default";

/// The topic of queues that belong to no topic; see [`TopicName::unattached`].
const UNATTACHED: &[u8] = b"\0queues";

/// Why bytes are not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("a name of {0} bytes is longer than 255")]
    TooLong(usize),
}

fn check(bytes: &[u8]) -> Result<(), NameError> {
    match bytes.len() {
        0 => Err(NameError::Empty),
        len if len > NAME_BYTES_MAX => Err(NameError::TooLong(len)),
        _ => Ok(()),
    }
}

/// Writes bytes for a person: printable UTF-8 as it is, everything else as `\xNN`.
fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' {
                write!(f, "{}", c.escape_default())?
            } else {
                write!(f, "{c}")?
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Bytes);

        impl $name {
            /// Checks the length (1 to 255 bytes) and copies the bytes.
            pub fn parse(bytes: impl AsRef<[u8]>) -> Result<Self, NameError> {
                check(bytes.as_ref())?;
                Ok($name(Bytes::copy_from_slice(bytes.as_ref())))
            }

            /// The bytes as the client wrote them.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        /// Found in a map by its bytes alone.
        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                escape(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{self}`")
            }
        }
    };
}

name_type!(
    /// The name of a topic: 1 to 255 bytes of any kind, compared byte by byte.
    TopicName
);
name_type!(
    /// The name of a queue within its topic: 1 to 255 bytes of any kind.
    QueueName
);

impl TopicName {
    /// The topic that holds the queues which belong to no topic. In a
    /// [`QueueAddress`](super::policy::QueueAddress) it stands for the directory: whichever topic
    /// has the queue that is named without one. No client takes this name by accident.
    pub fn unattached() -> Self {
        TopicName(Bytes::from_static(UNATTACHED))
    }

    /// It is [`TopicName::unattached`].
    pub fn is_unattached(&self) -> bool {
        self.0 == UNATTACHED
    }
}

impl QueueName {
    /// The name `default`.
    pub fn default_queue() -> Self {
        QueueName(Bytes::from_static(DEFAULT_QUEUE.as_bytes()))
    }
}

/// Splits `topic/queue` at its last `/`; `None` when there is no `/` or a side is empty.
///
/// The caller decides whether such a topic and queue exist; if not, the whole is a topic name.
pub fn split_address(bytes: &[u8]) -> Option<(TopicName, QueueName)> {
    let slash = memchr::memrchr(b'/', bytes)?;
    let (topic, queue) = (bytes.get(..slash)?, bytes.get(slash + 1..)?);
    Some((TopicName::parse(topic).ok()?, QueueName::parse(queue).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_255_bytes_of_any_kind() {
        assert_eq!(TopicName::parse(b""), Err(NameError::Empty));
        assert_eq!(TopicName::parse([b'a'; 256]), Err(NameError::TooLong(256)));
        assert!(TopicName::parse([0xff; 255]).is_ok());
    }

    #[test]
    fn a_name_is_shown_with_its_odd_bytes_escaped() {
        let name = TopicName::parse(b"a\xff\n\\ \xc3\xa9").unwrap();
        assert_eq!(name.to_string(), "a\\xff\\n\\\\ é");
    }

    #[test]
    fn an_address_splits_at_its_last_slash() {
        let (topic, queue) = split_address(b"a/b/c").unwrap();
        assert_eq!((topic.as_bytes(), queue.as_bytes()), (&b"a/b"[..], &b"c"[..]));
        for plain in ["abc", "/c", "a/", "/"] {
            assert!(split_address(plain.as_bytes()).is_none(), "{plain}");
        }
    }
}
