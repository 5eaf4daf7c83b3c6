//! JSON objects, and nothing else in their place.

use super::problem::Problem;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{
        DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer,
    },
};
use smallvec::SmallVec;
use std::{borrow::Cow, fmt, marker::PhantomData};

/// A `T` that is written as an object. Serde by itself also takes an array of a struct's fields in
/// their order, so that `[]` would be a policy of nothing but defaults.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_map(Fields(PhantomData)).map(Object)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields))
    }
}

/// Any JSON in which no object has a key twice, and which is not nested deeper than serde goes.
struct Unambiguous;

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(Unambiguous)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
        let mut keys: SmallVec<[Cow<'de, str>; 8]> = SmallVec::new();
        while let Some((Key(key), Unambiguous)) = fields.next_entry()? {
            keys.push(key);
        }
        keys.sort_unstable();
        match keys.windows(2).find(|two| two[0] == two[1]) {
            Some(twice) => Err(A::Error::custom(format_args!("key `{}` twice", twice[0]))),
            None => Ok(Unambiguous),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while let Some(Unambiguous) = items.next_element()? {}
        Ok(Unambiguous)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }
}

/// Checks that JSON which is kept as it stands means the same to whoever reads it later.
pub fn unambiguous(text: &str) -> Result<(), Problem> {
    json::<Unambiguous>(text.as_bytes()).map(|Unambiguous| ())
}

/// Reads anything with one clear error for everything that is wrong with it.
pub fn json<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::invalid(format!("JSON: {error}")))
}

/// Reads one object, or what nothing at all stands for.
pub fn object_or_default<'a, T: Deserialize<'a> + Default>(body: &'a [u8]) -> Result<T, Problem> {
    if body.is_empty() { Ok(T::default()) } else { object(body) }
}

/// Fields that change some of the settings `T`, checked as if they were all of them.
pub fn fields<T: DeserializeOwned>(
    body: &[u8],
) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    // Finds what is unknown, of the wrong type, or there twice.
    object::<T>(body)?;
    json(body)
}

/// Reads one object.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    json::<Object<T>>(body).map(|Object(read)| read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_there_twice_at_any_depth() {
        for good in
            ["{}", r#"{"a":{"a":[{"a":1},{"a":-1.5}]},"b":null,"c":true,"d":"x\u0061"}"#, "[]"]
        {
            unambiguous(good).unwrap();
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let many = (0..100).map(|n| format!("\"k{}\":0", n % 99)).collect::<Vec<_>>().join(",");
        for wrong in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"b":[{"a":1,"c":2,"a":3}]}"#,
            &format!("{{{many}}}"),
            &deep,
        ] {
            assert_eq!(unambiguous(wrong).unwrap_err().code, "invalid_request", "{wrong}");
        }
    }
}
