//! What the path and the query of a request name.

use super::answer::Refused;
use crate::dialect::path::percent_decode;
use crate::queue::{MessageId, QueueName, TopicName};
use actix_web::HttpRequest;
use std::borrow::Cow;

/// How many segments the door's own path has.
#[derive(Debug, Clone, Copy)]
pub struct Depth(usize);

impl Depth {
    /// Of the path below which the door is found.
    pub fn of(path: &str) -> Depth {
        Depth(path.matches('/').count())
    }
}

/// Where names stand behind the door's own path, `/topics` being segment 1.
const TOPIC: usize = 2;
const SUBSCRIBER: usize = 4;
const MESSAGE: usize = 6;

/// The bytes of one segment. Taken from the path as it was sent: the router has decoded its own copy
/// as text, and names need not be text.
fn segment(request: &HttpRequest, at: usize) -> Vec<u8> {
    let depth = request.app_data::<Depth>().map_or(0, |depth| depth.0);
    let raw = request.uri().path().split('/').nth(depth + at).unwrap_or_default();
    percent_decode(raw.as_bytes())
}

/// The topic named in the path. What is no name names no topic.
pub fn topic(request: &HttpRequest) -> Result<TopicName, Refused> {
    TopicName::parse(segment(request, TOPIC)).map_err(|_| Refused::no_topic())
}

/// The subscriber named in the path. What is no name names no subscriber.
pub fn subscriber(request: &HttpRequest) -> Result<QueueName, Refused> {
    QueueName::parse(segment(request, SUBSCRIBER)).map_err(|_| Refused::no_subscriber())
}

/// The message named in the path.
pub fn message(request: &HttpRequest) -> Vec<u8> {
    segment(request, MESSAGE)
}

/// The value of the first pair of that name in the query; empty when there is none.
pub fn query(request: &HttpRequest, name: &str) -> String {
    let decode = |part: &str| percent_decode(part.replace('+', " ").as_bytes());
    let mut pairs = request.query_string().split('&').filter(|pair| !pair.contains(';'));
    let value = pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name.as_bytes()).then_some(value)
    });
    String::from_utf8_lossy(&decode(value.unwrap_or_default())).into_owned()
}

/// An id as clients see it: text that a path holds as it is.
pub fn shown_id(id: &MessageId) -> String {
    match id {
        MessageId::Made(uuid) => uuid.to_string(),
        MessageId::Client(bytes) => {
            let mut out = String::with_capacity(bytes.len());
            for byte in bytes {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                        out.push(char::from(*byte));
                    }
                    byte => out.push_str(&format!("%{byte:02X}")),
                }
            }
            out
        }
    }
}

/// The ids that a text may mean: itself, and, where a client has encoded what was encoded already,
/// what it was made of.
pub fn meant_ids(text: &[u8]) -> (MessageId, Option<MessageId>) {
    let id = |bytes: &[u8]| MessageId::parse(bytes);
    match percent_decode(text) {
        decoded if decoded != text => (id(text), Some(id(&decoded))),
        _ => (id(text), None),
    }
}

/// The id that a text in a body means, which is as it was shown.
pub fn id_in_body(text: &str) -> MessageId {
    MessageId::parse(&percent_decode(text.as_bytes()))
}

/// A body as text; `true`: it is none and was made text with base64.
pub fn body_text(body: &[u8]) -> (Cow<'_, str>, bool) {
    use base64::Engine as _;
    match std::str::from_utf8(body) {
        Ok(text) => (Cow::Borrowed(text), false),
        Err(_) => (Cow::Owned(base64::engine::general_purpose::STANDARD.encode(body)), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use bytes::Bytes;

    #[test]
    fn names_are_the_bytes_of_the_path() {
        let request = TestRequest::with_uri("/topics/a%2Fb%ff/subscribers/c%20d/messages/e%25")
            .app_data(Depth::of(""))
            .to_http_request();
        assert_eq!(topic(&request).unwrap().as_bytes(), b"a/b\xff");
        assert_eq!(subscriber(&request).unwrap().as_bytes(), b"c d");
        assert_eq!(message(&request), b"e%");
        let request = TestRequest::with_uri("/below/here/topics/a")
            .app_data(Depth::of("/below/here"))
            .to_http_request();
        assert_eq!(topic(&request).unwrap().as_bytes(), b"a");
        assert_eq!(subscriber(&request), Err(Refused::no_subscriber()));
    }

    #[test]
    fn queries_are_forms() {
        let table = [
            ("", ""),
            ("?timeout", ""),
            ("?timeout=5s", "5s"),
            ("?x=1&timeout=5s&timeout=6s", "5s"),
            ("?time%6fut=%35s", "5s"),
            ("?timeout=1+s", "1 s"),
            ("?timeout=5%C2%B5s", "5\u{b5}s"),
            ("?timeout=5s;x", ""),
            ("?TIMEOUT=5s", ""),
        ];
        for (uri, value) in table {
            let request = TestRequest::with_uri(&format!("/t{uri}")).to_http_request();
            assert_eq!(query(&request, "timeout"), value, "{uri}");
        }
    }

    #[test]
    fn an_id_is_read_back_from_what_is_shown() {
        for bytes in [&b"plain-1_2.3~"[..], b"a b/c", b"100%", b"\xff\x00", b"a%20b"] {
            let id = MessageId::Client(Bytes::copy_from_slice(bytes));
            let shown = shown_id(&id);
            assert!(shown.is_ascii() && !shown.contains(['/', ' ', '?', '#']), "{shown}");
            assert_eq!(id_in_body(&shown), id);
            assert_eq!(meant_ids(&percent_decode(shown.as_bytes())).0, id);
        }
        let (first, second) = meant_ids(b"a%20b");
        assert_eq!(first, MessageId::Client(Bytes::from_static(b"a%20b")));
        assert_eq!(second, Some(MessageId::Client(Bytes::from_static(b"a b"))));
    }
}
