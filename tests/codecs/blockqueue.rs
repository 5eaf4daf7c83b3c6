//! Bodies of requests as the blockqueue door reads them: what is taken for JSON is JSON, with its texts.

use super::checks::blockqueue_json::{check, texts};
use super::*;
use octoq::dialect::blockqueue::gojson::first_value;
use serde_json::Value;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input in vec(any::<u8>(), 0..60)) {
        check(&input);
    }

    #[test]
    fn bytes_like_json_are_read_or_refused(input in "[\\[\\]{}:,\"\\\\u0a1.eE+\\- tfn]{0,40}") {
        check(input.as_bytes());
        let whole = first_value(input.as_bytes()).is_ok_and(|value| value.len() == input.trim().len());
        // Numbers too large for it are refused there.
        let serde = serde_json::from_str::<&serde_json::value::RawValue>(&input).is_ok();
        prop_assert_eq!(whole, serde, "{}", input);
    }

    #[test]
    fn json_is_found_whole_with_its_texts(value in json(), rest in "[^0-9.eE+-]{0,5}") {
        let text = value.to_string();
        let input = format!(" {text}{rest}");
        prop_assert_eq!(first_value(input.as_bytes()), Ok(text.as_bytes()));
        let strings = |list: &[Value]| -> Vec<String> {
            list.iter().filter_map(|value| value.as_str().map(str::to_owned)).collect()
        };
        let expected = match &value {
            Value::String(text) => vec![text.clone()],
            Value::Array(list) => {
                let mut found = strings(list);
                let inner = list.iter().filter_map(Value::as_array);
                found.extend(inner.flat_map(|list| strings(list)));
                found
            }
            _ => Vec::new(),
        };
        prop_assert_eq!(texts(text.as_bytes()), expected);
    }
}
