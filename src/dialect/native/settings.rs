//! Settings of a queue as clients write them.

use super::object::{Object, json};
use super::problem::Problem;
use crate::queue::QueuePolicy;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error, IgnoredAny},
};
use serde_json::value::RawValue;

/// The settings, of which `dead_letter` is written as an object as well: serde by itself also takes
/// `["topic", "queue"]` for it, and an object with fields that nobody knows.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct QueueSettings(pub QueuePolicy);

/// The one object within the settings.
#[derive(Deserialize)]
struct Within {
    #[serde(rename = "dead_letter")]
    _dead_letter: Object<Address>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Address {
    #[serde(rename = "topic")]
    _topic: IgnoredAny,
    #[serde(rename = "queue")]
    _queue: IgnoredAny,
}

impl<'de> Deserialize<'de> for QueueSettings {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(source)?.get();
        let Object(policy): Object<QueuePolicy> =
            serde_json::from_str(raw).map_err(D::Error::custom)?;
        if policy.dead_letter.is_some() {
            serde_json::from_str::<Object<Within>>(raw).map_err(D::Error::custom)?;
        }
        Ok(QueueSettings(policy))
    }
}

/// All settings; nothing at all stands for their defaults.
pub fn whole(body: &[u8]) -> Result<QueuePolicy, Problem> {
    if body.is_empty() {
        return Ok(QueuePolicy::default());
    }
    json(body).map(|QueueSettings(policy)| policy)
}

/// Fields that change some of the settings, checked as if they were all of them.
pub fn fields(body: &[u8]) -> Result<serde_json::Map<String, serde_json::Value>, Problem> {
    json::<QueueSettings>(body)?;
    json(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_objects_all_the_way() {
        let good = br#"{"dead_letter":{"topic":"t","queue":"q"},"max_deliveries":3}"#;
        assert_eq!(whole(good).unwrap().max_deliveries, 3);
        assert_eq!(whole(b"").unwrap(), QueuePolicy::default());
        assert!(whole(br#"{"dead_letter":null}"#).unwrap().dead_letter.is_none());
        for wrong in [
            &br#"[]"#[..],
            br#"{"dead_letter":["t","q"]}"#,
            br#"{"dead_letter":{"topic":"t","queue":"q","more":1}}"#,
            br#"{"dead_letter":{"topic":"t","topic":"t","queue":"q"}}"#,
            br#"{"dead_letter":{"topic":"t"}}"#,
            br#"{"delay_ms":1,"delay_ms":1}"#,
            br#"{"no_such":1}"#,
        ] {
            assert!(whole(wrong).is_err() && fields(wrong).is_err(), "{}", wrong.escape_ascii());
        }
    }
}
