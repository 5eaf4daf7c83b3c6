//! Which messages a client looks for: in the query of a list, or in the body of a redrive.

use super::problem::Problem;
use super::query::Query;
use crate::queue::sieve::{JsonIs, PATH_MAX};
use crate::queue::*;
use serde::Deserialize;
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// Most conditions of one kind.
const CONDITIONS_MAX: usize = policy::POLICY_LIST_MAX;
/// Longest text that is looked for.
const TEXT_BYTES_MAX: usize = 1024;

/// A value of `attribute` in a query.
#[derive(ToSchema)]
#[schema(pattern = "=", max_length = 1024)]
#[allow(dead_code, reason = "only its schema is used")]
struct AttributeIs(String);

/// A value of `json` in a query.
#[derive(ToSchema)]
#[schema(pattern = "^(/[^/=]*){0,64}=", max_length = 1024)]
#[allow(dead_code, reason = "only its schema is used")]
struct PointerIs(String);

/// What a query says of the messages that are looked for; [`in_query`] reads it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "only its schema is used")]
pub struct SieveQuery {
    /// `NAME=VALUE`; several values of one name: any of them.
    #[param(inline, nullable = false)]
    attribute: Option<Vec<AttributeIs>>,
    /// `/pointer=VALUE`, in a body that is JSON.
    #[param(inline, nullable = false)]
    json: Option<Vec<PointerIs>>,
    /// Somewhere in the body.
    #[param(nullable = false, min_length = 1, max_length = 1024)]
    text: Option<String>,
    /// Why it died.
    #[param(nullable = false)]
    reason: Option<DeadReason>,
    /// Published at least so long ago.
    #[param(nullable = false, maximum = 315360000000u64)]
    older_than_ms: Option<u64>,
    /// Published at most so long ago.
    #[param(nullable = false, maximum = 315360000000u64)]
    newer_than_ms: Option<u64>,
}

/// `NAME=VALUE`
fn pair(text: &str, name: &str) -> Result<(String, String), Problem> {
    match text.split_once('=') {
        Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
        None => Err(Problem::invalid(format!("query: `{name}` must be of the form NAME=VALUE"))),
    }
}

/// What a query says, as in [`SieveQuery`].
pub fn in_query(query: &mut Query, now: Timestamp) -> Result<Sieve, Problem> {
    let mut attribute: BTreeMap<String, Values> = BTreeMap::new();
    for text in query.all("attribute") {
        let (name, value) = pair(&text, "attribute")?;
        attribute.entry(name).or_default().0.push(value);
    }
    let json = query.all("json");
    let json = json.iter().map(|text| pair(text, "json")).collect::<Result<_, _>>()?;
    let reason = query.text("reason")?.map(|text| {
        let reason = serde_json::from_value(text.into());
        reason.map_err(|error| Problem::invalid(format!("query: reason: {error}")))
    });
    let asked = Asked {
        attribute,
        text: query.text("text")?,
        reason: reason.transpose()?,
        older_than_ms: query.value("older_than_ms")?,
        newer_than_ms: query.value("newer_than_ms")?,
        json: Pairs(json),
    };
    asked.sieve(now)
}

/// One value, or several of which each will do.
#[derive(Debug, Default)]
struct Values(Vec<String>);

/// As it is written.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Either {
    One(String),
    Many(Vec<String>),
}

impl utoipa::PartialSchema for Values {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Either::schema()
    }
}

impl ToSchema for Values {}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        Ok(match Either::deserialize(source)? {
            Either::One(value) => Values(vec![value]),
            Either::Many(values) => Values(values),
        })
    }
}

/// JSON pointers with their values, as an object.
#[derive(Debug, Default)]
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let values: BTreeMap<String, serde_json::Value> = BTreeMap::deserialize(source)?;
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(Pairs(values.into_iter().map(|(pointer, value)| (pointer, text(value))).collect()))
    }
}

/// What is looked for, as a client says it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Attributes with the value, or the values, one of which each has.
    #[serde(default)]
    attribute: BTreeMap<String, Values>,
    /// JSON pointers into the body with what is there.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    json: Pairs,
    /// Somewhere in the body.
    #[schema(min_length = 1, max_length = 1024)]
    text: Option<String>,
    /// Why it died.
    reason: Option<DeadReason>,
    /// Published at least so long ago.
    #[schema(maximum = 315360000000u64)]
    older_than_ms: Option<u64>,
    /// Published at most so long ago.
    #[schema(maximum = 315360000000u64)]
    newer_than_ms: Option<u64>,
}

impl Asked {
    /// In the broker's terms. Ages are since the publish.
    pub fn sieve(self, now: Timestamp) -> Result<Sieve, Problem> {
        let values = self.attribute.values().map(|values| values.0.len()).sum::<usize>();
        if values > CONDITIONS_MAX || self.json.0.len() > CONDITIONS_MAX {
            return Err(Problem::invalid(format!("more than {CONDITIONS_MAX} conditions")));
        }
        if self.text.as_ref().is_some_and(|text| text.is_empty() || text.len() > TEXT_BYTES_MAX) {
            return Err(Problem::invalid(format!("`text` must have 1 to {TEXT_BYTES_MAX} bytes")));
        }
        let ages = [self.older_than_ms, self.newer_than_ms];
        if ages.into_iter().flatten().any(|ms| ms > policy::DURATION_MS_MAX) {
            return Err(Problem::invalid("an age must be at most ten years"));
        }
        let before = |ms: u64| Timestamp(now.0.saturating_sub_unsigned(ms));
        let place = |(pointer, value): (String, String)| {
            JsonIs::new(&pointer, &value).ok_or_else(|| {
                Problem::invalid(format!(
                    "json: `{pointer}` must be a JSON pointer of at most {PATH_MAX} parts"
                ))
            })
        };
        let attributes = self.attribute.into_iter().map(|(name, values)| (name, values.0));
        Ok(Sieve {
            attributes: Filter(attributes.collect()),
            json: self.json.0.into_iter().map(place).collect::<Result<_, _>>()?,
            text: self.text.map(|text| text.into_bytes().into()),
            reason: self.reason,
            from: self.newer_than_ms.map(before),
            // Of just this age: old enough.
            before: self.older_than_ms.map(|ms| before(ms).after_ms(1)),
        })
    }
}
