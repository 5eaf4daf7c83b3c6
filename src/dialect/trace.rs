//! Where a message comes from in a trace: `traceparent` of W3C Trace Context, which is kept with the
//! message as the attribute of that name.

use actix_web::http::header::{HeaderMap, HeaderName};
use serde_json::value::RawValue;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// The header, and the attribute.
pub const TRACEPARENT: &str = "traceparent";

/// Longest one of a later version that is kept.
const BYTES_MAX: usize = 256;

/// A `traceparent` that has its form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace<'a>(&'a str);

impl<'a> Trace<'a> {
    /// That of a request. One that is malformed or comes twice is none: the standard says to go on
    /// without it.
    pub fn of(headers: &'a HeaderMap) -> Option<Trace<'a>> {
        const NAME: HeaderName = HeaderName::from_static(TRACEPARENT);
        let mut all = headers.get_all(NAME);
        match (all.next(), all.next()) {
            (Some(one), None) => Trace::parse(one.to_str().ok()?),
            _ => None,
        }
    }

    /// `version-trace-parent-flags`, hexadecimal in lower case.
    pub fn parse(text: &'a str) -> Option<Trace<'a>> {
        let mut parts = text.split('-');
        let mut hex = |length| {
            let part = parts.next()?;
            let good = part.len() == length
                && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            good.then_some(part)
        };
        let (version, trace, parent, _) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        let set = |part: &str| part.bytes().any(|byte| byte != b'0');
        // A later version may say more behind the flags.
        let known = if version == "00" { parts.next().is_none() } else { version != "ff" };
        let good = known && set(trace) && set(parent) && text.len() <= BYTES_MAX;
        let plain =
            text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'));
        (good && plain).then_some(Trace(text))
    }

    /// As it was sent.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Attributes that have it. What the publisher said in them itself stays.
    pub fn added_to(self, attributes: Option<Arc<str>>) -> Arc<str> {
        let own = format!("\"{TRACEPARENT}\":\"{}\"", self.0);
        let Some(attributes) = attributes else { return format!("{{{own}}}").into() };
        let Some(rest) = attributes.trim_start().strip_prefix('{') else { return attributes };
        match member(&attributes) {
            Some(_) => attributes,
            None if rest.trim_start().starts_with('}') => format!("{{{own}}}").into(),
            None => format!("{{{own},{rest}").into(),
        }
    }
}

/// That of a message, out of its attributes, when it has its form.
pub fn of_attributes(attributes: Option<&str>) -> Option<String> {
    let attributes = attributes?;
    // Most have none, and are not parsed for it.
    memchr::memmem::find(attributes.as_bytes(), TRACEPARENT.as_bytes())?;
    let text = member(attributes)?;
    Trace::parse(&text).is_some().then(|| text.into_owned())
}

/// The attribute, be it of its form or not; one that is no text is the empty one.
fn member(attributes: &str) -> Option<Cow<'_, str>> {
    // As a map: one that is said twice is there as well.
    let all: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(attributes).ok()?;
    let raw = all.get(TRACEPARENT)?;
    Some(serde_json::from_str::<Cow<'_, str>>(raw.get()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn only_what_has_the_form_is_one() {
        let later = format!("01{}-more", &GOOD[2..]);
        for good in [GOOD, later.as_str()] {
            assert_eq!(Trace::parse(good).map(Trace::text), Some(good));
        }
        let table = [
            String::new(),
            GOOD.to_uppercase(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-more"),
            format!("{GOOD} "),
            format!("ff{}", &GOOD[2..]),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            format!("{later}\""),
            format!("01{}-{}", &GOOD[2..], "x".repeat(300)),
        ];
        for bad in table {
            assert_eq!(Trace::parse(&bad), None, "{bad}");
        }
    }

    #[test]
    fn it_joins_the_attributes_and_is_found_there_again() {
        let trace = Trace::parse(GOOD).unwrap();
        for before in [None, Some("{}"), Some("{ }"), Some(r#"{"a":"b"}"#)] {
            let with = trace.added_to(before.map(Arc::from));
            assert!(serde_json::from_str::<serde_json::Value>(&with).is_ok(), "{with}");
            assert_eq!(of_attributes(Some(&with)).as_deref(), Some(GOOD));
        }
        let own = r#"{"traceparent":"mine"}"#;
        let twice = r#"{"traceparent":"a","traceparent":"b"}"#;
        for said in [own, twice] {
            assert_eq!(&*trace.added_to(Some(said.into())), said);
        }
        let added = |attributes: &str| trace.added_to(Some(attributes.into()));
        let here = format!("\"traceparent\":\"{GOOD}\"");
        assert_eq!(*trace.added_to(None), format!("{{{here}}}"));
        assert_eq!(*added("{ }"), format!("{{{here}}}"));
        assert_eq!(*added(r#"{"a":1}"#), format!("{{{here},\"a\":1}}"));
        for none in [None, Some(own), Some(r#"{"x":"traceparent"}"#), Some(r#"{"traceparent":7}"#)]
        {
            assert_eq!(of_attributes(none), None);
        }
    }
}
