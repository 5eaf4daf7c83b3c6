//! What is left of a message for somebody who may know that it is there, and not what is in it.

use super::{Content, Extra, Message, View};
use serde::de::IgnoredAny;
use std::{collections::BTreeMap, sync::Arc};

/// What stands for the value of an attribute.
const MASK: &str = "***";

impl Message {
    /// The message without its body and without the values of its attributes, and how long the body is.
    /// Ids, keys, times and the names of attributes stay: by them people talk about it.
    pub fn masked(&self) -> (Message, u64) {
        let length = self.body().len() as u64;
        let body = match self.body.as_ref().and_then(Content::own_id) {
            Some(id) => Content::with_id(id, b""),
            None => Content::default(),
        };
        let extra = self.extra.as_ref().map(|extra| match &extra.attributes {
            None => extra.clone(),
            Some(attributes) => {
                let attributes = Some(mask(attributes));
                Arc::new(Extra { attributes, ..Extra::clone(extra) })
            }
        });
        (Message { body: Some(body), extra, ..self.clone() }, length)
    }
}

impl View {
    /// The same with its message masked.
    pub fn veiled(mut self) -> View {
        let (message, length) = self.message.masked();
        (self.message, self.masked) = (message, Some(length));
        self
    }
}

/// A JSON object with the same names and no values.
fn mask(attributes: &str) -> Arc<str> {
    let names: BTreeMap<String, IgnoredAny> = serde_json::from_str(attributes).unwrap_or_default();
    let masked: BTreeMap<&String, &str> = names.keys().map(|name| (name, MASK)).collect();
    serde_json::to_string(&masked).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{MessageId, Timestamp};
    use bytes::Bytes;

    fn message(body: Content, extra: Option<Extra>) -> Message {
        Message {
            salt: 7,
            lone: true,
            seq: 3,
            number: 9,
            body: Some(body),
            published_at: Timestamp(5),
            extra: extra.map(Arc::new),
        }
    }

    #[test]
    fn a_masked_message_keeps_what_names_it_and_nothing_else() {
        let extra = Extra {
            attributes: Some(r#"{"shop":"north","nested":{"secret":[1]},"n":5}"#.into()),
            ordering_key: Some(Bytes::from_static(b"key")),
            priority: 4,
            ..Extra::default()
        };
        let plain = message(Bytes::from_static(b"secret").into(), Some(extra));
        let (masked, length) = plain.masked();
        assert_eq!((masked.body(), length), (&b""[..], 6));
        assert_eq!(masked.attributes(), Some(r#"{"n":"***","nested":"***","shop":"***"}"#));
        assert_eq!((masked.id(), masked.seq), (plain.id(), 3));
        assert_eq!(masked.ordering_key(), Some(&b"key"[..]));
        assert!(!format!("{masked:?}").contains("secret"));
    }

    #[test]
    fn a_publishers_own_id_stays_wherever_it_is_kept() {
        let before = message(Content::with_id(b"row-1", b"secret"), None);
        let client_id = Some(Bytes::from_static(b"row-1"));
        let beside = message(
            Bytes::from_static(b"secret").into(),
            Some(Extra { client_id, ..Extra::default() }),
        );
        for message in [before, beside] {
            let (masked, length) = message.masked();
            assert_eq!(masked.id(), MessageId::Client(Bytes::from_static(b"row-1")));
            assert_eq!((masked.body(), length), (&b""[..], 6));
        }
        let (masked, length) = message(Content::default(), None).masked();
        assert_eq!((masked.body(), length, masked.attributes()), (&b""[..], 0, None));
    }

    #[test]
    fn attributes_that_are_no_object_are_masked_as_a_whole() {
        assert_eq!(&*mask("[\"secret\"]"), "{}");
        assert_eq!(&*mask(r#"{"a":1,"a":2}"#), r#"{"a":"***"}"#);
    }
}
