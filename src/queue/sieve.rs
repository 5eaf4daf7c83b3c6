//! Which messages somebody looks for, by what can be seen of them. For a look, not for a queue: a
//! queue's own [`Filter`] knows attributes only.

use super::{DeadReason, Filter, Timestamp, View};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Conditions; a message passes when it meets all of them. None is met by every message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sieve {
    /// Each of these attributes is one of its values.
    pub attributes: Filter,
    /// The body is JSON and has these values at these places.
    pub json: Vec<JsonIs>,
    /// The body has these bytes somewhere.
    pub text: Option<Box<[u8]>>,
    /// Its last death had this reason.
    pub reason: Option<DeadReason>,
    /// Published at this time or later.
    pub from: Option<Timestamp>,
    /// Published before this time.
    pub before: Option<Timestamp>,
}

/// A value wanted at a place of a JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonIs {
    /// The way to the place, from outside to inside.
    path: Box<[Box<str>]>,
    /// The value: a text, or what JSON says of it.
    value: Box<str>,
}

/// Deepest place that can be looked for.
pub const PATH_MAX: usize = 64;

impl JsonIs {
    /// `pointer` is a JSON pointer (RFC 6901); `None` when it is not, or has more than
    /// [`PATH_MAX`] parts.
    pub fn new(pointer: &str, value: &str) -> Option<JsonIs> {
        let parts = match pointer.strip_prefix('/') {
            Some(parts) => parts.split('/').collect(),
            None if pointer.is_empty() => Vec::new(),
            None => return None,
        };
        if parts.len() > PATH_MAX {
            return None;
        }
        let undone = |part: &str| part.replace("~1", "/").replace("~0", "~").into_boxed_str();
        let path = parts.into_iter().map(undone).collect();
        Some(JsonIs { path, value: value.into() })
    }

    /// Reads no more of the text than it must, and keeps nothing of it.
    fn is_met_by(&self, body: &[u8]) -> bool {
        let mut reader = serde_json::Deserializer::from_slice(body);
        let found = At(&self.path).deserialize(&mut reader);
        found.ok().flatten().is_some_and(|found| self.equals(found))
    }

    fn equals(&self, found: &RawValue) -> bool {
        let text = found.get();
        if text.starts_with('"') {
            // A text is asked for with quotes or without.
            return text == &*self.value
                || serde_json::from_str::<Cow<'_, str>>(text)
                    .is_ok_and(|text| text == *self.value);
        }
        text == &*self.value
            || serde_json::from_str::<serde_json::Value>(&self.value).is_ok_and(|wanted| {
                serde_json::from_str::<serde_json::Value>(text).is_ok_and(|found| found == wanted)
            })
    }
}

/// The value at a place; nothing when the place is not there.
struct At<'p>(&'p [Box<str>]);

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Self::Value, D::Error> {
        match self.0.is_empty() {
            true => <&RawValue>::deserialize(source).map(Some),
            false => source.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((first, rest)) = self.0.split_first() else { return Ok(None) };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            // Of several, the last one counts, as for most readers of JSON.
            if key.0 == **first {
                found = map.next_value_seed(At(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let Some((first, rest)) = self.0.split_first() else { return Ok(None) };
        let wanted = first.parse::<usize>().ok();
        for at in 0usize.. {
            if wanted == Some(at) {
                match seq.next_element_seed(At(rest))? {
                    Some(value) => found = value,
                    None => break,
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
        }
        Ok(found)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A key, borrowed where it can be.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl Sieve {
    /// It asks for nothing.
    pub fn is_open(&self) -> bool {
        *self == Sieve::default()
    }

    /// It asks for something in bodies or attributes, so that its answer tells of them.
    pub fn looks_inside(&self) -> bool {
        self.text.is_some() || !self.json.is_empty() || !self.attributes.0.is_empty()
    }

    /// Whether a message passes. Its body must be there.
    pub fn takes(&self, view: &View) -> bool {
        let (message, body) = (&view.message, view.message.body());
        self.from.is_none_or(|from| message.published_at >= from)
            && self.before.is_none_or(|before| message.published_at < before)
            && self.reason.is_none_or(|reason| {
                view.dead.as_ref().is_some_and(|letter| letter.reason == reason)
            })
            && (self.attributes.0.is_empty() || self.attributes.accepts(message.attributes()))
            && self.text.as_ref().is_none_or(|text| memchr::memmem::find(body, text).is_some())
            && self.json.iter().all(|wanted| wanted.is_met_by(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_at_its_place_in_the_text() {
        let body = br#"{"a":{"b":[1,2.50,{"c/d":"x\ny"}],"n":null},"a~b":true,"":"e","s":"5"}"#;
        let table = [
            ("/a/b/0", "1", true),
            ("/a/b/0", "1.0", false),
            ("/a/b/1", "2.5", true),
            ("/a/b/2/c~1d", "x\ny", true),
            ("/a/b/2", r#"{ "c/d": "x\ny" }"#, true),
            ("/a~0b", "true", true),
            ("/a/n", "null", true),
            ("/", "e", true),
            ("/s", "5", true),
            ("/s", "\"5\"", true),
            ("/a/b/3", "", false),
            ("/a/b/x", "1", false),
            ("/s/0", "5", false),
            ("/none", "", false),
        ];
        for (pointer, value, met) in table {
            let wanted = JsonIs::new(pointer, value).unwrap();
            assert_eq!(wanted.is_met_by(body), met, "{pointer} = {value}");
        }
        assert!(JsonIs::new("", "5").unwrap().is_met_by(b" 5 "));
    }

    #[test]
    fn what_is_no_json_has_no_places() {
        let wanted = JsonIs::new("/a", "1").unwrap();
        let deep = format!("{{\"b\":{}", "[".repeat(100_000));
        for body in [&b""[..], b"{", b"\xff", br#"{"a":1"#, br#"{"a":}"#, deep.as_bytes()] {
            assert!(!wanted.is_met_by(body));
        }
        assert_eq!(JsonIs::new("a", "1"), None);
        assert_eq!(JsonIs::new(&"/a".repeat(PATH_MAX + 1), "1"), None);
    }
}
