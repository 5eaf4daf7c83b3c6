//! Which messages of a topic a queue takes, by attribute.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Every named attribute must be there and be one of the listed texts. Empty takes everything
/// that has attributes at all. Source: fastqueue `message_filters`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filter(pub BTreeMap<String, Vec<String>>);

/// The attributes of one message, read once for all the filters that look at them.
#[derive(Debug, Default)]
pub struct Attributes(Option<BTreeMap<String, Value>>);

impl Attributes {
    /// Of a JSON object as text; anything else has no attributes.
    pub fn read(text: Option<&str>) -> Attributes {
        Attributes(text.and_then(|text| serde_json::from_str(text).ok()))
    }
}

impl Filter {
    /// Whether a message with these attributes (JSON object as text) passes.
    ///
    /// An attribute that is not a text is compared by its JSON text. No attributes: never.
    pub fn accepts(&self, attributes: Option<&str>) -> bool {
        self.takes(&Attributes::read(attributes))
    }

    /// [`Filter::accepts`] for attributes that were read already.
    pub fn takes(&self, attributes: &Attributes) -> bool {
        let Some(found) = &attributes.0 else { return false };
        self.0.iter().all(|(name, wanted)| match found.get(name) {
            Some(Value::String(value)) => wanted.contains(value),
            Some(value) => wanted.contains(&value.to_string()),
            None => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_wants_every_name_with_one_of_its_values() {
        let filter = Filter(BTreeMap::from([("a".into(), vec!["x".into(), "5".into()])]));
        let table = [
            (None, false),
            (Some("{}"), false),
            (Some(r#"{"a":"x"}"#), true),
            (Some(r#"{"a":5,"b":1}"#), true),
            (Some(r#"{"a":"X"}"#), false),
            (Some("not json"), false),
        ];
        for (attributes, passes) in table {
            assert_eq!(filter.accepts(attributes), passes, "{attributes:?}");
        }
        assert!(Filter::default().accepts(Some("{}")));
        assert!(!Filter::default().accepts(None));
    }
}
