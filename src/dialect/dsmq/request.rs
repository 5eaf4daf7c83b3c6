//! One request: JSON text to what is asked. Pure.
//!
//! Source: dsmq 0.2 to 1.4.1. Keys and actions are exact, their order is free, of a key that comes
//! twice the last one counts, other keys are ignored. What is no text is taken for the text that the
//! original's store makes of it.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// Deepest nesting of a request; a Python client cannot make one of ten times that.
pub const DEPTH_MAX: usize = 128;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// Puts a message. No reply.
    Put(Topic<'a>, Content<'a>),
    /// The oldest message after the position.
    Get(Topic<'a>),
    /// The newest message after the position.
    GetLatest(Topic<'a>),
    /// Stops the server.
    Shutdown,
    /// An action that is none.
    Unknown(Cow<'a, str>),
}

/// The topic of a request. `None`: JSON's `null`, which is equal to no topic, itself included.
pub type Topic<'a> = Option<Cow<'a, str>>;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content<'a> {
    /// Text, or what became text.
    Text(Cow<'a, str>),
    /// Any other JSON value, as it was written.
    Json(&'a str),
}

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON.
    #[error("not JSON")]
    NotJson,
    /// JSON, but no object.
    #[error("not a JSON object")]
    NotAnObject,
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("nested too deep")]
    TooDeep,
    /// A key is missing.
    #[error("no {0}")]
    Missing(&'static str),
    /// The topic is an array or an object.
    #[error("the topic must be a text")]
    BadTopic,
}

enum Key {
    Action,
    Topic,
    Message,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl Visitor<'_> for Names {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, name: &str) -> Result<Key, E> {
                Ok(match name {
                    "action" => Key::Action,
                    "topic" => Key::Topic,
                    "message" => Key::Message,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_str(Names)
    }
}

/// The values of the keys that matter, unread.
#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a str>,
    topic: Option<&'a str>,
    message: Option<&'a str>,
    too_deep: bool,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(key) = map.next_key()? {
                    // Not looked into here, so that nesting costs no stack.
                    let value = map.next_value::<&RawValue>()?.get();
                    fields.too_deep |= depth(value) >= DEPTH_MAX;
                    match key {
                        Key::Action => fields.action = Some(value),
                        Key::Topic => fields.topic = Some(value),
                        Key::Message => fields.message = Some(value),
                        Key::Other => (),
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// How deep a value that is JSON is nested; 0 for a scalar.
fn depth(value: &str) -> usize {
    if !value.starts_with(['{', '[']) {
        return 0;
    }
    let (mut now, mut deepest, mut bytes) = (0usize, 0, value.bytes());
    let mut in_text = false;
    while let Some(byte) = bytes.next() {
        match (in_text, byte) {
            (true, b'\\') => drop(bytes.next()),
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                now += 1;
                deepest = deepest.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            _ => (),
        }
    }
    deepest
}

/// Reads one request. White space around it is allowed.
pub fn parse(bytes: &[u8]) -> Result<Request<'_>, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| {
        // What is an object at all may still be cut or miswritten.
        let json = error.is_data() && serde_json::from_str::<IgnoredAny>(text).is_ok();
        if json { Malformed::NotAnObject } else { Malformed::NotJson }
    })?;
    if fields.too_deep {
        return Err(Malformed::TooDeep);
    }
    let topic = match content(fields.topic.ok_or(Malformed::Missing("topic"))?)? {
        Content::Text(text) => Some(text),
        Content::Json("null") => None,
        Content::Json(number) if !number.starts_with(['{', '[']) => Some(number.into()),
        Content::Json(_) => return Err(Malformed::BadTopic),
    };
    let action = fields.action.ok_or(Malformed::Missing("action"))?;
    let action = match action {
        quoted if quoted.starts_with('"') => unquoted(quoted)?,
        other => return Ok(Request::Unknown(other.into())),
    };
    Ok(match action.as_ref() {
        "put" => {
            Request::Put(topic, content(fields.message.ok_or(Malformed::Missing("message"))?)?)
        }
        "get" => Request::Get(topic),
        "get_latest" => Request::GetLatest(topic),
        "shutdown" => Request::Shutdown,
        _ => Request::Unknown(action),
    })
}

/// A JSON text without its quotes and escapes.
fn unquoted(quoted: &str) -> Result<Cow<'_, str>, Malformed> {
    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(inner.into());
    }
    // Half a surrogate pair is no text.
    serde_json::from_str::<String>(quoted).map(Cow::Owned).map_err(|_| Malformed::NotJson)
}

/// What a JSON value is as a message.
fn content(value: &str) -> Result<Content<'_>, Malformed> {
    Ok(match value.as_bytes() {
        [b'"', ..] => Content::Text(unquoted(value)?),
        // As SQLite keeps them in a column of texts.
        [b't', ..] => Content::Text("1".into()),
        [b'f', ..] => Content::Text("0".into()),
        [b'-' | b'0'..=b'9', ..] if value.contains(['.', 'e', 'E']) => {
            Content::Text(float(value.parse().map_err(|_| Malformed::NotJson)?).into())
        }
        [b'-' | b'0'..=b'9', ..] => match value.parse::<i64>() {
            Ok(0) => Content::Text("0".into()),
            Ok(_) => Content::Text(value.into()),
            Err(_) => Content::Json(value),
        },
        _ => Content::Json(value),
    })
}

/// Digits of a float that count.
const DIGITS: i32 = 15;

/// A float as SQLite writes it (`%!.15g`): 15 significant digits, at least one decimal, an exponent
/// of at least two digits below -4 and from 15 on.
fn float(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "Inf" } else { "-Inf" }.to_owned();
    }
    // The sign of a zero is lost.
    let number = if number == 0.0 { 0.0 } else { number };
    let rounded = format!("{number:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = rounded.split_once('e').unwrap_or((&rounded, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_end_matches('0');
    let with_point = |whole: &str, decimals: &str| {
        let whole = if whole.is_empty() { "0" } else { whole };
        let decimals = if decimals.is_empty() { "0" } else { decimals };
        format!("{sign}{whole}.{decimals}")
    };
    if !(-4..DIGITS).contains(&exponent) {
        let (first, rest) = digits.split_at(digits.len().min(1));
        let minus = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{minus}{:02}", with_point(first, rest), exponent.abs());
    }
    match usize::try_from(exponent + 1) {
        Ok(whole) if whole > 0 => {
            let padded = format!("{digits:0<whole$}");
            let (whole, decimals) = padded.split_at(whole);
            with_point(whole, decimals)
        }
        _ => {
            let zeros = usize::try_from(-exponent - 1).unwrap_or(0);
            with_point("", &format!("{}{digits}", "0".repeat(zeros)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(text: &str, request: Request<'_>) {
        assert_eq!(parse(text.as_bytes()), Ok(request), "{text}");
    }

    #[track_caller]
    fn refuse(text: impl AsRef<[u8]>, malformed: Malformed) {
        let text = text.as_ref();
        assert_eq!(parse(text), Err(malformed), "{}", text.escape_ascii());
    }

    fn text(text: &str) -> Content<'_> {
        Content::Text(text.into())
    }

    #[test]
    fn requests_are_read_whatever_their_keys_order_and_white_space() {
        let put = |message| Request::Put(Some("t".into()), message);
        expect(r#"{"action": "put", "topic": "t", "message": "hi"}"#, put(text("hi")));
        expect(
            "\n {\"message\":\"hi\",\r\n\"x\":[1],\"topic\":\"t\",\"action\":\"put\"}\t ",
            put(text("hi")),
        );
        expect(r#"{"action":"get","topic":"t","message":7}"#, Request::Get(Some("t".into())));
        expect(r#"{"action":"get_latest","topic":""}"#, Request::GetLatest(Some("".into())));
        expect(r#"{"action":"shutdown","topic":""}"#, Request::Shutdown);
        expect(
            r#"{"\u0061ction":"p\u0075t","topic":"\u0074","message":"\ud83d\ude00\n\u0000"}"#,
            put(text("😀\n\0")),
        );
        // Of a key that comes twice the last one counts.
        expect(
            r#"{"action":"zap","topic":"a","action":"get","topic":"b"}"#,
            Request::Get(Some("b".into())),
        );
    }

    #[test]
    fn keys_and_actions_are_exact() {
        for action in ["zap", "GET", "get ", "get_wait", ""] {
            let request = format!(r#"{{"action":"{action}","topic":"t"}}"#);
            expect(&request, Request::Unknown(action.into()));
        }
        expect(r#"{"action":5,"topic":"t"}"#, Request::Unknown("5".into()));
        expect(r#"{"action":["get"],"topic":"t"}"#, Request::Unknown(r#"["get"]"#.into()));
        refuse(r#"{"Action":"get","topic":"t"}"#, Malformed::Missing("action"));
        refuse(r#"{"action":"get","Topic":"t"}"#, Malformed::Missing("topic"));
        refuse(r#"{"action":"put","topic":"t","Message":"m"}"#, Malformed::Missing("message"));
        refuse(r#"{"action":"shutdown"}"#, Malformed::Missing("topic"));
        refuse("{}", Malformed::Missing("topic"));
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        for no_json in [
            "",
            " ",
            "{nope",
            "{\"action\"",
            "{]",
            "{\"a\":1,}",
            "{'action':'get'}",
            "{\"a\":NaN}",
            "{\"a\":\"\n\"}",
            "{\"a\":1}{\"a\":1}",
            "{\"a\":1} x",
            "{\"a\":\"\\x\"}",
            "{\"a\":01}",
            "nul",
        ] {
            refuse(no_json, Malformed::NotJson);
        }
        refuse("{\"action\":\"get\",\"topic\":\"\\ud800\"}", Malformed::NotJson);
        for no_object in ["[]", "5", "\"get\"", "null", "true", " [1] "] {
            refuse(no_object, Malformed::NotAnObject);
        }
        refuse(b"{\"action\":\"get\",\"topic\":\"\xff\"}", Malformed::NotUtf8);
        for topic in ["[]", "{}", "[\"t\"]"] {
            refuse(format!("{{\"action\":\"get\",\"topic\":{topic}}}"), Malformed::BadTopic);
        }
    }

    #[test]
    fn nesting_is_bounded_wherever_it_is() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for key in ["message", "other", "action"] {
            let with = |depth| {
                format!(
                    "{{\"topic\":\"t\",\"action\":\"put\",\"message\":1,\"{key}\":{}}}",
                    nested(depth)
                )
            };
            assert!(parse(with(DEPTH_MAX - 1).as_bytes()).is_ok(), "{key}");
            refuse(with(DEPTH_MAX), Malformed::TooDeep);
            refuse(with(400_000), Malformed::TooDeep);
        }
        // Unfinished, it is no JSON; neither costs a stack.
        refuse(format!("{{\"a\":{}", "{\"a\":".repeat(200_000)), Malformed::NotJson);
        // Brackets within a text nest nothing.
        let texts =
            format!("{{\"topic\":\"t\",\"action\":\"get\",\"x\":[\"{}\\\"[\"]}}", "[".repeat(500));
        expect(&texts, Request::Get(Some("t".into())));
    }

    #[test]
    fn scalars_are_kept_as_sqlite_keeps_them() {
        // The right side was read back from SQLite 3.40 through the original.
        let table = [
            ("5", "5"),
            ("-5", "-5"),
            ("-0", "0"),
            ("9223372036854775807", "9223372036854775807"),
            ("true", "1"),
            ("false", "0"),
            ("1.5", "1.5"),
            ("-1.5", "-1.5"),
            ("100.0", "100.0"),
            ("1e2", "100.0"),
            ("1E2", "100.0"),
            ("1e15", "1.0e+15"),
            ("1e14", "100000000000000.0"),
            ("123456789012345.0", "123456789012345.0"),
            ("1234567890123456.0", "1.23456789012346e+15"),
            ("0.1", "0.1"),
            ("0.0001", "0.0001"),
            ("0.00001", "1.0e-05"),
            ("2.5e-5", "2.5e-05"),
            ("1e-7", "1.0e-07"),
            ("1e22", "1.0e+22"),
            ("1e100", "1.0e+100"),
            ("1e-300", "1.0e-300"),
            ("-0.0", "0.0"),
            ("0.0", "0.0"),
            ("0.30000000000000004", "0.3"),
            ("3.141592653589793", "3.14159265358979"),
            ("0.3333333333333333", "0.333333333333333"),
            ("1e400", "Inf"),
            ("-1e400", "-Inf"),
            ("999999999999999.0", "999999999999999.0"),
            ("999999999999999.9", "1.0e+15"),
            ("5e-324", "4.94065645841247e-324"),
            ("1.7976931348623157e308", "1.79769313486232e+308"),
            ("123456.789", "123456.789"),
        ];
        for (json, kept) in table {
            assert_eq!(content(json), Ok(text(kept)), "{json}");
        }
        for json in ["null", "{}", "[1, 2]", "9223372036854775808", "-99999999999999999999"] {
            assert_eq!(content(json), Ok(Content::Json(json)));
        }
        let get = |topic: &str| format!("{{\"action\":\"get\",\"topic\":{topic}}}");
        for (json, name) in [
            ("5", "5"),
            ("true", "1"),
            ("1.50", "1.5"),
            ("1e999", "Inf"),
            ("9223372036854775808", "9223372036854775808"),
        ] {
            expect(&get(json), Request::Get(Some(name.into())));
        }
        expect(&get("null"), Request::Get(None));
    }
}
