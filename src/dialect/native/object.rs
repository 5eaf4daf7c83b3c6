//! JSON objects, and nothing else in their place.

use super::problem::Problem;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use std::{fmt, marker::PhantomData};

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
