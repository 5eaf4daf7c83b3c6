//! `cargo +nightly fuzz run blockqueue_json`: whatever the body of a request, it is read or refused, and
//! what is taken for JSON is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use octoq::dialect::blockqueue::gojson::{Malformed, Reader, first_value};

/// Reads whatever stands there as objects, arrays, texts and numbers that may not be there.
fn read(value: &[u8]) {
    let known = ["name", "subscribers", "option", "max_attempts", "message"];
    let mut reader = Reader::new(value);
    reader.object("io.Topic", &known, |reader, field| match field {
        "subscribers" => {
            reader.array("io.Subscribers", |reader| {
                reader.object("io.Subscriber", &known, |reader, _| {
                    reader.int();
                });
            });
        }
        _ => drop(reader.text()),
    });
    let _ = reader.finish();
    let mut reader = Reader::new(value);
    reader.array("[]string", |reader| drop(reader.text()));
    let _ = reader.finish();
}

fuzz_target!(|input: &[u8]| {
    let found = first_value(input);
    if let Ok(value) = found {
        // A beginning of the input that is long enough says the same.
        assert_eq!(first_value(value), Ok(value));
        read(value);
    }
    for end in 0..input.len().min(64) {
        match (first_value(&input[..end]), &found) {
            (Ok(short), Ok(whole)) => assert!(whole.starts_with(short)),
            (Ok(_), Err(_)) => (), // A number may go on into something that is none.
            (Err(Malformed::Empty | Malformed::Truncated), _) => (),
            (Err(early), found) => assert_eq!(Err(early), *found),
        }
    }
});
