//! A message as the broker's JSON has it, and the ways it is printed.

use super::failure::Failure;
use super::span::{distance, moment, now_ms};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, io::Write};

/// How messages are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// The body and a line end
    #[default]
    Text,
    /// One JSON object per line, with everything that is known of the message
    Json,
    /// The bytes of the body and nothing else
    Raw,
}

/// What is read of a message; the rest is passed on as it is.
#[derive(Debug, Deserialize)]
pub struct Message<'a> {
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Its number in the topic.
    #[serde(default)]
    pub seq: u64,
    #[serde(borrow, default)]
    body: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    base64: Option<Cow<'a, str>>,
    /// The body is not for this caller, and has so many bytes.
    #[serde(default)]
    masked: bool,
    #[serde(default)]
    body_bytes: u64,
    /// A JSON object.
    #[serde(borrow, default)]
    pub attributes: Option<&'a RawValue>,
    /// When it was published.
    #[serde(default)]
    pub published_at_ms: i64,
    /// How often it was handed out.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// What an ack needs.
    #[serde(borrow, default)]
    pub receipt: Option<Cow<'a, str>>,
}

impl Message<'_> {
    /// Reads one.
    pub fn of(raw: &RawValue) -> Result<Message<'_>, Failure> {
        Ok(serde_json::from_str(raw.get())?)
    }

    /// The bytes that were published, or a word about them where they are masked.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, Failure> {
        match (&self.body, &self.base64) {
            _ if self.masked => {
                Ok(Cow::Owned(format!("(masked, {} bytes)", self.body_bytes).into_bytes()))
            }
            (Some(text), _) => Ok(Cow::Borrowed(text.as_bytes())),
            (None, Some(coded)) => {
                let decoded = STANDARD.decode(coded.as_bytes());
                let decoded =
                    decoded.map_err(|_| Failure::error("the broker sent broken base64"))?;
                Ok(Cow::Owned(decoded))
            }
            (None, None) => Ok(Cow::Borrowed(b"")),
        }
    }
}

/// Prints a message.
pub fn print(out: &mut impl Write, raw: &RawValue, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => writeln!(out, "{}", raw.get())?,
        Format::Raw => {
            let message = Message::of(raw)?;
            if !message.masked {
                out.write_all(&message.bytes()?)?;
            }
        }
        Format::Text => {
            out.write_all(&Message::of(raw)?.bytes()?)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Prints a message for somebody who looks: a line about it, then its body.
pub fn print_described(out: &mut impl Write, raw: &RawValue) -> Result<(), Failure> {
    let message = Message::of(raw)?;
    let more: Described = serde_json::from_str(raw.get())?;
    let at = message.published_at_ms;
    write!(
        out,
        "{}  seq {}  {} ({})",
        message.id,
        message.seq,
        moment(at),
        distance(at, now_ms())
    )?;
    let reason = more.dead.and_then(|dead| dead.reason);
    let error = more.failures.into_iter().next_back().and_then(|failure| failure.error);
    for (name, value) in [("state", more.state), ("reason", reason), ("error", error)] {
        if let Some(value) = value.as_deref() {
            write!(out, "  {name} {}", super::show::printable(value))?;
        }
    }
    if let Some(attempts) = more.attempts.or(message.attempt).filter(|attempts| *attempts > 0) {
        write!(out, "  attempt {attempts}")?;
    }
    if let Some(attributes) = message.attributes {
        write!(out, "  {}", attributes.get())?;
    }
    writeln!(out)?;
    match std::str::from_utf8(&message.bytes()?) {
        Ok(text) => writeln!(out, "  {}", text.replace('\n', "\n  "))?,
        Err(_) => writeln!(out, "  ({} bytes that are no text)", message.bytes()?.len())?,
    }
    Ok(())
}

/// What is told about a message.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Described {
    state: Option<String>,
    dead: Option<Dead>,
    failures: Vec<Failed>,
    attempts: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Dead {
    reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Failed {
    error: Option<String>,
}

/// `{"messages": [...]}`
#[derive(Debug, Deserialize)]
pub struct Messages<'a> {
    /// Each as it came.
    #[serde(borrow)]
    pub messages: Vec<&'a RawValue>,
    /// Where a list goes on.
    #[serde(default)]
    pub next: Option<serde_json::Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_printed_in_every_format() {
        let table = [
            (r#"{"id":"1","body":"héllo"}"#, "héllo".as_bytes()),
            (r#"{"id":"1","base64":"/w=="}"#, b"\xff"),
            (r#"{"id":"1","body":""}"#, b""),
        ];
        for (json, body) in table {
            let raw = RawValue::from_string(json.to_owned()).unwrap();
            let printed = |format| {
                let mut out = Vec::new();
                print(&mut out, &raw, format).unwrap();
                out
            };
            assert_eq!(printed(Format::Raw), body);
            assert_eq!(printed(Format::Text), [body, b"\n"].concat());
            assert_eq!(printed(Format::Json), [json.as_bytes(), b"\n"].concat());
        }
    }
}
