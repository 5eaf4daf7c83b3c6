//! fastqueue: whatever bytes a body has, it is read or refused; what is read is written and read again the
//! same; what serde takes is taken; and a refusal is JSON.

use octoq::config::FastqueueConfig;
use octoq::dialect::fastqueue::{fault, json, schema};
use serde_json::Value;

const NESTING_MAX: usize = 64;

/// The whole check.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let other: Option<Value> = serde_json::from_str(text).ok();
    let value = match json::read(text, NESTING_MAX) {
        Ok(value) => value,
        Err(found) => {
            assert!(other.is_none() || found.message == "Nested too deep", "{text:?}");
            is_json(&[fault::Fault::json(&found, text)]);
            return;
        }
    };
    let mut written = Vec::new();
    value.write(&mut written);
    let written = String::from_utf8(written).expect("text in, text out");
    let mut again = Vec::new();
    json::read(&written, NESTING_MAX).expect("it is JSON").write(&mut again);
    assert_eq!(written.as_bytes(), again, "{text:?}");
    if let Some(other) = other {
        assert_eq!(serde_json::from_str::<Value>(&written).ok(), Some(other), "{text:?}");
    }
    let settings = FastqueueConfig::default();
    let faults = [
        schema::CreateTopic::check(Some(&value)).err(),
        schema::CreateQueue::check(Some(&value), &settings).err(),
        schema::QueueSettings::check(Some(&value), &settings).err(),
        schema::CreateMessage::check(Some(&value)).err(),
        schema::Redrive::check(Some(&value)).err(),
    ];
    for faults in faults.into_iter().flatten() {
        assert!(!faults.is_empty());
        is_json(&faults);
    }
}

fn is_json(faults: &[fault::Fault]) {
    serde_json::from_slice::<Value>(&fault::detail(faults)).expect("a refusal is JSON");
}
