//! `cargo +nightly fuzz run okq_codec`; what is checked stands in `checks/okq_codec.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::okq_codec::check(input));
