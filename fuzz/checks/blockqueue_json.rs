//! blockqueue: whatever the body of a request, it is read or refused, and no beginning of it says something
//! else.

use octoq::dialect::blockqueue::{
    gojson::{Malformed, Reader, first_value},
    request,
};

/// Beginnings that are looked at; a longer input would take the square of its length.
const BEGINNINGS_MAX: usize = 256;

/// Every text in a value, as the reader finds it where it looks for texts, lists of them and an object.
pub fn texts(value: &[u8]) -> Vec<String> {
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

/// The whole check.
pub fn check(input: &[u8]) {
    let found = first_value(input);
    if let Ok(value) = found {
        assert_eq!(first_value(value), Ok(value));
        texts(value);
    }
    for end in 0..input.len().min(BEGINNINGS_MAX) {
        match (first_value(&input[..end]), &found) {
            (Ok(short), Ok(whole)) => assert!(whole.starts_with(short), "{end}"),
            // A number may go on into something that is none.
            (Ok(number), Err(_)) => {
                assert!(number[0] == b'-' || number[0].is_ascii_digit(), "{end}");
            }
            (Err(Malformed::Empty | Malformed::Truncated), _) => (),
            (Err(early), found) => assert_eq!(Err(early), *found, "{end}"),
        }
    }
    let read = [
        request::topic(input).is_ok(),
        request::subscribers(input).is_ok(),
        request::publish(input).is_ok(),
        request::publishes(input).is_ok(),
        request::ids(input).is_ok(),
    ];
    assert!(found.is_ok() || read == [false; 5], "read from what is no JSON");
}
