//! Bodies of requests as the blockqueue door reads them: anything is read or refused, what is taken for
//! JSON is JSON, and no beginning of it says something else. The corpus of the fuzzer is replayed.

use octoq::dialect::blockqueue::gojson::{Malformed, Reader, first_value};
use proptest::prelude::*;
use serde_json::Value;

/// Every text anywhere in a value, as the reader finds it.
fn texts(value: &[u8]) -> Vec<String> {
    fn go(reader: &mut Reader<'_>, depth: usize, texts: &mut Vec<String>) {
        if depth == 0 {
            texts.extend(reader.text().map(|text| text.into_owned()));
            return;
        }
        reader.array("list", |reader| go(reader, depth - 1, texts));
    }
    let mut found = Vec::new();
    for depth in 0..3 {
        let mut reader = Reader::new(value);
        go(&mut reader, depth, &mut found);
        let _ = reader.finish();
    }
    let mut reader = Reader::new(value);
    reader.object("io.Publish", &["message", "name"], |reader, _| {
        found.extend(reader.text().map(|text| text.into_owned()));
    });
    let _ = reader.finish();
    found
}

fn consistent(input: &[u8]) {
    let found = first_value(input);
    if let Ok(value) = found {
        assert_eq!(first_value(value), Ok(value));
        texts(value);
    }
    for end in 0..input.len() {
        match (first_value(&input[..end]), &found) {
            (Ok(short), Ok(whole)) => assert!(whole.starts_with(short), "{end}"),
            // A number may go on into something that is none.
            (Ok(number), Err(_)) => assert!(number[0] == b'-' || number[0].is_ascii_digit()),
            (Err(Malformed::Empty | Malformed::Truncated), _) => (),
            (Err(early), found) => assert_eq!(Err(early), *found, "{end}"),
        }
    }
}

#[test]
fn the_corpus_of_the_fuzzer_is_read_the_same_at_every_split() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/blockqueue_json");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        consistent(&std::fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count >= 10, "the corpus is not where it was");
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-c\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input in prop::collection::vec(any::<u8>(), 0..60)) {
        consistent(&input);
    }

    #[test]
    fn bytes_like_json_are_read_or_refused(input in "[\\[\\]{}:,\"\\\\u0a1.eE+\\- tfn]{0,40}") {
        consistent(input.as_bytes());
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
