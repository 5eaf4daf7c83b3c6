//! `cargo +nightly fuzz run native_socket`; what is checked stands in `checks/native_socket.rs`.
#![no_main]

#[path = "../checks/mod.rs"]
#[allow(dead_code, reason = "each target runs one of the checks")]
mod checks;

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::native_socket::check(input));
