//! What is written, what is refused as Python refuses it, and what serde says of the same texts.

use super::*;

fn written(text: &str) -> String {
    let mut out = Vec::new();
    read(text, 8).unwrap().write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn values_are_written_without_blanks_and_otherwise_as_they_were() {
    let table = [
        (" { } ", "{}"),
        ("[ 1 , -0.50 , 1E+9, 0 ]", "[1,-0.50,1E+9,0]"),
        ("{\"n\": 123456789012345678901234567890}", "{\"n\":123456789012345678901234567890}"),
        ("\"\\u00e9 é \\n \\ud83d\\ude00\"", "\"\\u00e9 é \\n \\ud83d\\ude00\""),
        ("[true,false,null,[[]]]", "[true,false,null,[[]]]"),
        ("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}"),
        ("{\"a\":1,\"\\u0061\":{\"x\":1,\"x\":2}}", "{\"a\":{\"x\":2}}"),
        ("{\"nul\":\"\\u0000\"}", "{\"nul\":\"\\u0000\"}"),
    ];
    for (text, expected) in table {
        assert_eq!(written(text), expected, "{text}");
    }
}

#[test]
fn the_last_of_repeated_names_wins_in_large_objects_too() {
    let members: Vec<String> = (0..40).map(|n| format!("\"k{}\":{n}", n % 25)).collect();
    let text = format!("{{{}}}", members.join(","));
    let expected: Vec<String> =
        (0..25).map(|n| format!("\"k{n}\":{}", if n < 15 { n + 25 } else { n })).collect();
    assert_eq!(written(&text), format!("{{{}}}", expected.join(",")));
}

#[test]
fn faults_are_those_of_python() {
    let table = [
        ("", "Expecting value", (0, 1, 1)),
        (" ", "Expecting value", (1, 1, 2)),
        ("{", "Expecting property name enclosed in double quotes", (1, 1, 2)),
        ("{bad", "Expecting property name enclosed in double quotes", (1, 1, 2)),
        ("{\"a\":1,}", "Expecting property name enclosed in double quotes", (7, 1, 8)),
        ("{\"a\" 1}", "Expecting ':' delimiter", (5, 1, 6)),
        ("{\"a\":}", "Expecting value", (5, 1, 6)),
        ("{\"a\":1 \"b\":2}", "Expecting ',' delimiter", (7, 1, 8)),
        ("[1 2]", "Expecting ',' delimiter", (3, 1, 4)),
        ("[1,]", "Expecting value", (3, 1, 4)),
        ("\"abc", "Unterminated string starting at", (0, 1, 1)),
        ("\"a\nb\"", "Invalid control character at", (2, 1, 3)),
        ("\"\\x\"", "Invalid \\escape", (1, 1, 2)),
        ("\"\\u12\"", "Invalid \\uXXXX escape", (2, 1, 3)),
        ("{} x", "Extra data", (3, 1, 4)),
        ("01", "Extra data", (1, 1, 2)),
        ("1.", "Extra data", (1, 1, 2)),
        ("NaN", "Expecting value", (0, 1, 1)),
        ("-Infinity", "Expecting value", (0, 1, 1)),
        ("{\"é\":\n nope}", "Expecting value", (7, 2, 2)),
        ("[[[[[[[[[1]]]]]]]]]", "Nested too deep", (8, 1, 9)),
    ];
    for (text, message, (offset, line, column)) in table {
        let fault = read(text, 8).unwrap_err();
        let position = Position { offset, line, column };
        assert_eq!((fault.message, fault.position(text)), (message, position), "{text:?}");
    }
}

#[test]
fn a_text_cut_anywhere_is_a_fault_and_never_a_panic() {
    let text = "{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00é\",null],\"b\":{\"c\":true}}";
    assert!(read(text, 8).is_ok());
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        assert!(read(&text[..end], 8).is_err(), "{}", &text[..end]);
    }
}

#[test]
fn it_takes_what_serde_takes_and_means_the_same() {
    let texts = [
        "{\"a\":[1,2.5,-3e-2,\"x\\ty\"]}",
        "[]",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "1e400",
        "-0",
        "{\"a\":{\"b\":{}}}",
        "+1",
        ".5",
        "'a'",
        "[1,2",
    ];
    for text in texts {
        let own = read(text, 8).ok();
        let other = serde_json::from_str::<serde_json::Value>(text).ok();
        if text != "1e400" {
            assert_eq!(own.is_some(), other.is_some(), "{text}");
        }
        if let (Some(_), Some(other)) = (own, other) {
            assert_eq!(serde_json::from_str::<serde_json::Value>(&written(text)).unwrap(), other);
        }
    }
}

#[test]
fn escapes_are_decoded_pairs_and_halves() {
    let table = [
        (r#""\ud83d\ude00""#, "😀"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\u00e9\/\"\\""#, "é/\"\\"),
        (r#""\b\f\n\r\t""#, "\u{8}\u{c}\n\r\t"),
    ];
    for (text, expected) in table {
        let Value::Text(found) = read(text, 1).unwrap() else { panic!("{text}") };
        assert_eq!(found.decoded(), expected, "{text}");
    }
}

#[test]
fn texts_are_escaped_as_json_demands() {
    let mut out = Vec::new();
    write_text(&mut out, "a\"b\\c\n\u{1}é");
    assert_eq!(String::from_utf8(out).unwrap(), "\"a\\\"b\\\\c\\n\\u0001é\"");
}
