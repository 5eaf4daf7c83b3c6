//! A body, and before it, in the same piece of memory, the id that the publisher gave its message.

use bytes::Bytes;
use std::sync::Arc;

/// What a publisher sent. The bytes of the body are never changed.
///
/// A message with an id of its publisher's and nothing else needs one allocation for both. A clone is a
/// copy or shares the bytes, whatever is cheaper.
#[derive(Debug, Clone)]
pub struct Content {
    bytes: Kept,
    id: OwnId,
}

/// 16 bytes: every message has one of these, and every delivery is moved with one.
#[derive(Debug, Clone)]
enum Kept {
    /// At most [`COPIED_BYTES_MAX`].
    Copied(Box<[u8]>),
    Shared(Arc<Bytes>),
}

/// Length of the id before the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OwnId {
    /// There is none, or it is kept elsewhere.
    Absent,
    Bytes(u32),
}

/// A content up to this long is copied rather than shared: the count of who shares it costs an
/// allocation and atomic operations, which is more than the copy.
const COPIED_BYTES_MAX: usize = 256;

impl Content {
    /// An id and a body. An empty id is none.
    pub fn with_id(id: &[u8], body: &[u8]) -> Self {
        let length = match u32::try_from(id.len()) {
            Ok(1..) => OwnId::Bytes(id.len() as u32),
            Ok(0) | Err(_) => return Content::from(body),
        };
        let mut bytes = Vec::with_capacity(id.len() + body.len());
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(body);
        Content { bytes: Kept::from(bytes), id: length }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Kept::Copied(bytes) => bytes,
            Kept::Shared(bytes) => bytes,
        }
    }

    /// Length of the id that lies before the body.
    #[inline]
    fn id_len(&self) -> usize {
        match self.id {
            OwnId::Absent => 0,
            OwnId::Bytes(length) => length as usize,
        }
    }

    /// The publisher's id, if it is here.
    #[inline]
    pub fn own_id(&self) -> Option<&[u8]> {
        match self.id {
            OwnId::Absent => None,
            OwnId::Bytes(length) => self.bytes().get(..length as usize),
        }
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.bytes().get(self.id_len()..).unwrap_or_default()
    }

    /// Length of the body.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes().len() - self.id_len()
    }

    /// The body is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of id and body.
    pub fn resident(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        let id = self.id_len();
        let bytes = match self.bytes {
            Kept::Copied(bytes) => Bytes::from(bytes),
            Kept::Shared(bytes) => Arc::unwrap_or_clone(bytes),
        };
        if id == 0 { bytes } else { bytes.slice(id..) }
    }
}

impl Default for Content {
    fn default() -> Self {
        Content { bytes: Kept::Copied(Box::default()), id: OwnId::Absent }
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.bytes()) == (other.id, other.bytes())
    }
}

impl Eq for Content {}

impl From<Vec<u8>> for Kept {
    #[inline(always)]
    fn from(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            ..=COPIED_BYTES_MAX => Kept::Copied(bytes.into_boxed_slice()),
            _ => Kept::Shared(Arc::new(Bytes::from(bytes))),
        }
    }
}

/// A body without an id.
impl From<Bytes> for Content {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        let bytes = match bytes.len() {
            ..=COPIED_BYTES_MAX if bytes.is_unique() => Kept::from(Vec::from(bytes)),
            // Also a piece of a larger buffer, all of which it would keep alive.
            ..=COPIED_BYTES_MAX => Kept::Copied(Box::from(&*bytes)),
            _ => Kept::Shared(Arc::new(bytes)),
        };
        Content { bytes, id: OwnId::Absent }
    }
}

/// Likewise.
impl From<Vec<u8>> for Content {
    #[inline(always)]
    fn from(bytes: Vec<u8>) -> Self {
        Content { bytes: Kept::from(bytes), id: OwnId::Absent }
    }
}

/// Likewise.
impl From<&[u8]> for Content {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        Content::from(bytes.to_vec())
    }
}

/// Likewise.
impl From<&'static str> for Content {
    fn from(text: &'static str) -> Self {
        Content::from(Bytes::from_static(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_and_a_body_lie_in_one_piece() {
        for (id, body) in [("a", ""), ("id", "body"), (&*"i".repeat(300), &*"b".repeat(300))] {
            let content = Content::with_id(id.as_bytes(), body.as_bytes());
            assert_eq!(content.own_id(), Some(id.as_bytes()));
            assert_eq!((content.body(), content.len()), (body.as_bytes(), body.len()));
            assert_eq!(content.clone(), content);
            assert_eq!(content.into_body(), body);
        }
        let none = Content::with_id(b"", b"body");
        assert_eq!((none.own_id(), none.body()), (None, &b"body"[..]));
        assert_eq!(none, Content::from("body"));
        assert_ne!(none, Content::with_id(b"b", b"ody"));
    }

    #[test]
    fn it_takes_three_words_with_or_without_a_body() {
        assert_eq!(size_of::<Content>(), 24);
        assert_eq!(size_of::<Option<Content>>(), 24);
    }
}
