//! `cargo +nightly fuzz run fastqueue_json`; what is checked stands in `checks/fastqueue_json.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::fastqueue_json::check(input));
