//! How bytes that are nearly always text stand in stored JSON: as text, else as base64 in an object.
//! Before that they were lists of numbers, which are still read.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{
    Deserializer, Serializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// Names what is coded.
const BASE64: &str = "base64";
/// Numbers of a list for which there is room from the start.
const ROOM: usize = 256;

/// For `#[serde(with)]`.
pub(super) fn serialize<S: Serializer>(
    bytes: &Option<Bytes>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match bytes.as_deref().map(std::str::from_utf8) {
        None => serializer.serialize_none(),
        Some(Ok(text)) => serializer.serialize_str(text),
        Some(Err(_)) => {
            let coded = STANDARD.encode(bytes.as_deref().unwrap_or_default());
            serializer.collect_map([(BASE64, coded)])
        }
    }
}

/// For `#[serde(with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Bytes>, D::Error> {
    deserializer.deserialize_any(Stored)
}

struct Stored;

impl<'de> Visitor<'de> for Stored {
    type Value = Option<Bytes>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, base64 in an object, or a list of bytes")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Bytes::copy_from_slice(text.as_bytes())))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((BASE64, coded)) = map.next_entry::<&str, &str>()? else {
            return Err(A::Error::missing_field(BASE64));
        };
        STANDARD.decode(coded).map(|bytes| Some(bytes.into())).map_err(A::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut bytes = Vec::with_capacity(ROOM);
        while let Some(byte) = list.next_element::<u8>()? {
            bytes.push(byte);
        }
        Ok(Some(bytes.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Extra;
    use bytes::Bytes;

    fn extra(client_id: &'static [u8], dedup_key: &'static [u8]) -> Extra {
        Extra {
            client_id: Some(Bytes::from_static(client_id)),
            dedup_key: Some(Bytes::from_static(dedup_key)),
            priority: 3,
            ..Extra::default()
        }
    }

    #[test]
    fn bytes_are_stored_as_text_and_what_is_none_as_base64() {
        let table = [
            (extra(b"order-7", b""), r#"{"client_id":"order-7","dedup_key":"","priority":3}"#),
            (
                extra(b"\xc3\xa9\"\0\n", b"\xff\x00k"),
                r#"{"client_id":"é\"\u0000\n","dedup_key":{"base64":"/wBr"},"priority":3}"#,
            ),
        ];
        for (extra, json) in table {
            assert_eq!(serde_json::to_string(&extra).unwrap(), json);
            assert_eq!(serde_json::from_str::<Extra>(json).unwrap(), extra);
        }
        assert_eq!(serde_json::to_string(&Extra::default()).unwrap(), "{}");
        assert_eq!(serde_json::from_str::<Extra>("{}").unwrap(), Extra::default());
    }

    #[test]
    fn the_lists_of_numbers_of_older_stores_are_read() {
        let old =
            r#"{"client_id":[111,114,100,101,114,45,55],"dedup_key":[255,0,107],"priority":3}"#;
        assert_eq!(serde_json::from_str::<Extra>(old).unwrap(), extra(b"order-7", b"\xff\x00k"));
        let none = r#"{"client_id":null,"dedup_key":[]}"#;
        let expected = Extra { dedup_key: Some(Bytes::new()), ..Extra::default() };
        assert_eq!(serde_json::from_str::<Extra>(none).unwrap(), expected);
    }

    #[test]
    fn what_is_neither_is_refused() {
        let bad = [
            "7",
            "true",
            "[256]",
            "[\"a\"]",
            "{}",
            r#"{"base64":"%"}"#,
            r#"{"base64":[1]}"#,
            r#"{"other":"/wBr"}"#,
            r#"{"base64":"/wBr","base64":"/wBr"}"#,
        ];
        for bad in bad {
            let json = format!(r#"{{"client_id":{bad}}}"#);
            assert!(serde_json::from_str::<Extra>(&json).is_err(), "{json}");
        }
    }
}
