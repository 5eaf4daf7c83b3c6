//! What a client is told: `{"message": ...}`, byte for byte as Python writes it. Pure.

use super::objects::{self, Framing};
use crate::dialect::websocket::{self, Opcode};
use crate::queue::Message;
use std::io::Write;

/// Attributes of a message that is any other JSON value than a text.
pub const JSON_MARK: &str = r#"{"dsmq":"json"}"#;

const BEFORE: &[u8] = b"{\"message\": ";

/// Writes replies; keeps its memory between them.
#[derive(Debug, Default)]
pub struct Replies {
    text: Vec<u8>,
}

/// Longest text that is kept room for.
const KEPT_BYTES_MAX: usize = 4 << 10;

impl Replies {
    /// Writes the reply to a get; `None`: there was nothing. False when the framing cannot express
    /// it.
    ///
    /// Outside ASCII it is `\u` escapes as in the original, unless that makes it longer than
    /// `bytes_max`: a client that could send a text must be able to read it.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        framing: Framing,
        message: Option<&Message>,
        bytes_max: usize,
    ) -> bool {
        if self.text.capacity() > KEPT_BYTES_MAX {
            self.text = Vec::new();
        }
        self.text.clear();
        self.text.extend_from_slice(BEFORE);
        match message {
            None => self.text.extend_from_slice(b"\"\"}"),
            Some(message) if is_json(message) => {
                self.text.extend_from_slice(message.body());
                self.text.push(b'}');
            }
            Some(message) => {
                let body = String::from_utf8_lossy(message.body());
                quote(&mut self.text, &body, true);
                self.text.push(b'}');
                if self.text.len() > bytes_max {
                    self.text.truncate(BEFORE.len());
                    quote(&mut self.text, &body, false);
                    self.text.push(b'}');
                }
            }
        }
        match framing {
            Framing::Bare => out.extend_from_slice(&self.text),
            Framing::Frame => websocket::frame(out, Opcode::Text, &self.text),
            Framing::Header => {
                if !objects::header(out, self.text.len()) {
                    return false;
                }
                out.extend_from_slice(&self.text);
            }
        }
        true
    }
}

/// Marked as another JSON value than a text, and one: another door's publisher may say what it likes.
fn is_json(message: &Message) -> bool {
    message.attributes() == Some(JSON_MARK)
        && serde_json::from_slice::<serde::de::IgnoredAny>(message.body()).is_ok()
}

/// Writes a text as JSON. `ascii`: everything outside ASCII as `\uXXXX`, as Python does by default.
fn quote(out: &mut Vec<u8>, text: &str, ascii: bool) {
    out.push(b'"');
    let plain = |c: char| match c {
        '"' | '\\' => false,
        ' '..='~' => true,
        '\u{7f}' => !ascii,
        c => !ascii && !c.is_control(),
    };
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| !plain(c)) {
        let (before, from) = rest.split_at(at);
        out.extend_from_slice(before.as_bytes());
        let mut chars = from.chars();
        if let Some(odd) = chars.next() {
            escape(out, odd);
        }
        rest = chars.as_str();
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => b'"',
        '\\' => b'\\',
        '\n' => b'n',
        '\r' => b'r',
        '\t' => b't',
        '\u{8}' => b'b',
        '\u{c}' => b'f',
        c => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into memory cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Extra, Timestamp};
    use bytes::Bytes;
    use std::sync::Arc;

    fn message(body: &[u8], attributes: Option<&str>) -> Message {
        let extra = Extra { attributes: attributes.map(Arc::from), ..Extra::default() };
        Message {
            salt: 0,
            lone: false,
            seq: 1,
            number: 1,
            body: Some(Bytes::copy_from_slice(body).into()),
            published_at: Timestamp(0),
            extra: Some(Arc::new(extra)),
        }
    }

    fn reply(framing: Framing, message: Option<&Message>, bytes_max: usize) -> String {
        let mut out = Vec::new();
        assert!(Replies::default().write(&mut out, framing, message, bytes_max));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_pythons_json_byte_for_byte() {
        // The right side is json.dumps({"message": ...}).
        let table: [(&[u8], &str); 8] = [
            (b"", r#"{"message": ""}"#),
            (b"Hello!", r#"{"message": "Hello!"}"#),
            (b"\"\\/", r#"{"message": "\"\\/"}"#),
            (b"\n\r\t\x08\x0c\x00\x1f\x7f", r#"{"message": "\n\r\t\b\f\u0000\u001f\u007f"}"#),
            ("é€".as_bytes(), r#"{"message": "\u00e9\u20ac"}"#),
            ("a😀b".as_bytes(), r#"{"message": "a\ud83d\ude00b"}"#),
            ("\u{85}\u{2028}".as_bytes(), r#"{"message": "\u0085\u2028"}"#),
            // Put by another door: what is no text is shown as it can be.
            (b"a\xffb", r#"{"message": "a\ufffdb"}"#),
        ];
        for (body, expected) in table {
            assert_eq!(reply(Framing::Bare, Some(&message(body, None)), 1 << 20), expected);
        }
        assert_eq!(reply(Framing::Bare, None, 1 << 20), r#"{"message": ""}"#);
    }

    #[test]
    fn other_values_than_texts_come_back_as_they_were() {
        for value in ["null", r#"{"a": [1, 2]}"#, "123456789012345678901234567890"] {
            let marked = message(value.as_bytes(), Some(JSON_MARK));
            assert_eq!(
                reply(Framing::Bare, Some(&marked), 1 << 20),
                format!("{{\"message\": {value}}}")
            );
        }
    }

    #[test]
    fn what_is_only_said_to_be_json_is_a_text() {
        let marked = message(b"\"} {", Some(JSON_MARK));
        assert_eq!(reply(Framing::Bare, Some(&marked), 1 << 20), r#"{"message": "\"} {"}"#);
    }

    #[test]
    fn escapes_do_not_make_a_reply_too_long_to_be_read() {
        let umlauts = message("ü\"".repeat(10).as_bytes(), None);
        assert_eq!(reply(Framing::Bare, Some(&umlauts), 95).len(), 95);
        assert_eq!(
            reply(Framing::Bare, Some(&umlauts), 94),
            format!("{{\"message\": \"{}\"}}", "ü\\\"".repeat(10))
        );
    }

    #[test]
    fn a_reply_is_framed_as_its_request() {
        let hello = message(b"Hello!", None);
        let text = r#"{"message": "Hello!"}"#;
        let header = r#"{"msg_length": 1000021}"#;
        assert_eq!(reply(Framing::Header, Some(&hello), 1 << 20), format!("{header}{text}"));
        let frame = reply_bytes(Framing::Frame, &hello);
        assert_eq!(frame, [&[0x81, 21], text.as_bytes()].concat());
        let long = message(&vec![b'x'; 8_999_990], None);
        let mut out = Vec::new();
        assert!(!Replies::default().write(&mut out, Framing::Header, Some(&long), 1 << 20));
    }

    fn reply_bytes(framing: Framing, message: &Message) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(Replies::default().write(&mut out, framing, Some(message), 1 << 20));
        out
    }
}
