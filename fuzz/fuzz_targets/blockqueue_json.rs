//! `cargo +nightly fuzz run blockqueue_json`; what is checked stands in `checks/blockqueue_json.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::blockqueue_json::check(input));
