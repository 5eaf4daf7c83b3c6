//! A body, and before it, in the same piece of memory, the id that the publisher gave its message.

use bytes::Bytes;

/// What a publisher sent. The bytes of the body are never changed.
///
/// A message with an id of its publisher's and nothing else needs one allocation for both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    bytes: Bytes,
    /// Length of the id; 0: there is none, or it is kept elsewhere.
    id: u32,
}

/// A content up to this long is copied rather than shared: the count of who shares it costs an
/// allocation and three atomic operations, which is more than the copy.
const COPIED_BYTES_MAX: usize = 256;

impl Content {
    /// An id and a body. An empty id is none.
    pub fn with_id(id: &[u8], body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(id.len() + body.len());
        bytes.extend_from_slice(id);
        bytes.extend_from_slice(body);
        match u32::try_from(id.len()) {
            Ok(id) => Content { bytes: Bytes::from(bytes), id },
            Err(_) => Content::from(Bytes::copy_from_slice(body)),
        }
    }

    /// The publisher's id, if it is here.
    #[inline]
    pub fn own_id(&self) -> Option<&[u8]> {
        match self.id {
            0 => None,
            id => self.bytes.get(..id as usize),
        }
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.id as usize..).unwrap_or_default()
    }

    /// Length of the body.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.id as usize
    }

    /// The body is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of id and body.
    pub fn resident(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The body alone.
    pub fn into_body(self) -> Bytes {
        match self.id {
            0 => self.bytes,
            id => self.bytes.slice(id as usize..),
        }
    }

    /// The same once more, copied or shared, whatever is cheaper.
    #[inline]
    pub fn again(&self) -> Self {
        let bytes = match self.bytes.len() {
            ..=COPIED_BYTES_MAX => Bytes::copy_from_slice(&self.bytes),
            _ => self.bytes.clone(),
        };
        Content { bytes, id: self.id }
    }
}

/// A body without an id.
impl From<Bytes> for Content {
    #[inline]
    fn from(bytes: Bytes) -> Self {
        Content { bytes, id: 0 }
    }
}

/// Likewise.
impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content::from(Bytes::from(bytes))
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
            assert_eq!(content.again(), content);
            assert_eq!(content.into_body(), body);
        }
        let none = Content::with_id(b"", b"body");
        assert_eq!((none.own_id(), none.body()), (None, &b"body"[..]));
        assert_eq!(none, Content::from("body"));
    }
}
