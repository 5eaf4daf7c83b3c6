//! `cargo +nightly fuzz run addresses`; what is checked stands in `checks/addresses.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::addresses::check(input));
