//! `cargo +nightly fuzz run dsmq_codec`; what is checked stands in `checks/dsmq_codec.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::dsmq_codec::check(input));
