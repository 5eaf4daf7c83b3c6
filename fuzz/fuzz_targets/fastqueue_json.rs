//! `cargo +nightly fuzz run fastqueue_json`: whatever bytes a body has, it is read or refused, never a
//! panic; what is read is written and read again the same; and what serde takes is taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use octoq::config::FastqueueConfig;
use octoq::dialect::fastqueue::{fault, json, schema};

const NESTING_MAX: usize = 64;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let other: Option<serde_json::Value> = serde_json::from_str(text).ok();
    match json::read(text, NESTING_MAX) {
        Ok(value) => {
            let mut written = Vec::new();
            value.write(&mut written);
            let written = String::from_utf8(written).expect("text in, text out");
            let mut again = Vec::new();
            json::read(&written, NESTING_MAX).expect("it is JSON").write(&mut again);
            assert_eq!(written.as_bytes(), again);
            if let Some(other) = other {
                assert_eq!(serde_json::from_str::<serde_json::Value>(&written).ok(), Some(other));
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
                serde_json::from_slice::<serde_json::Value>(&fault::detail(&faults))
                    .expect("a refusal is JSON");
            }
        }
        Err(found) => {
            assert!(other.is_none() || found.message == "Nested too deep");
            let detail = fault::detail(&[fault::Fault::json(&found, text)]);
            serde_json::from_slice::<serde_json::Value>(&detail).expect("a refusal is JSON");
        }
    }
});
