//! JSON as fastqueue's clients know it: a reader that keeps numbers digit by digit and texts as they
//! were written, in which the last of repeated names wins, and whose faults are those of Python's
//! `json` module. Pure; nesting and length are bounded by the caller.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// A text between its quotes: escapes are as they were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// Without escapes. Half a surrogate pair, which no text can hold, becomes U+FFFD.
    pub fn decoded(&self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { Cow::Borrowed(self.raw) }
    }
}

/// A value, borrowed from its text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number without fraction and exponent, as it was written.
    Int(&'a str),
    /// Any other number, as it was written.
    Float(&'a str),
    /// A text.
    Text(Text<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// An object; no name twice.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

/// What is wrong, and where: an offset in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// In Python's words.
    pub message: &'static str,
    /// Offset of the byte.
    pub at: usize,
}

/// Where a fault is, as Python counts: characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// From 0, over the whole text.
    pub offset: usize,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
}

impl Fault {
    /// Its place in the text it was found in.
    pub fn position(&self, text: &str) -> Position {
        let before = text.get(..self.at).unwrap_or(text);
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        Position {
            offset: before.chars().count(),
            line: memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
            column: last_line.chars().count() + 1,
        }
    }
}

/// Reads a whole text, nested at most `nesting_max` deep.
pub fn read(text: &str, nesting_max: usize) -> Result<Value<'_>, Fault> {
    let mut reader = Reader { text, at: 0, nesting_max };
    reader.skip_blanks();
    let value = reader.value(0)?;
    reader.skip_blanks();
    match reader.at == text.len() {
        true => Ok(value),
        false => reader.fault("Extra data"),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    nesting_max: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn fault<T>(&self, message: &'static str) -> Result<T, Fault> {
        Err(Fault { message, at: self.at })
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Result<Value<'a>, Fault> {
        match self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            true => {
                self.at += word.len();
                Ok(value)
            }
            false => self.fault("Expecting value"),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        match self.peek() {
            Some(b'"') => Ok(Value::Text(self.string()?)),
            Some(b'{' | b'[') if depth >= self.nesting_max => self.fault("Nested too deep"),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'n') => self.word("null", Value::Null),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) | None => self.fault("Expecting value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.at += 1;
        self.skip_blanks();
        let mut members = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return self.fault("Expecting property name enclosed in double quotes");
            }
            let name = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return self.fault("Expecting ':' delimiter");
            }
            self.at += 1;
            self.skip_blanks();
            members.push((name, self.value(depth + 1)?));
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    last_wins(&mut members);
                    return Ok(Value::Object(members));
                }
                Some(_) | None => return self.fault("Expecting ',' delimiter"),
            }
            self.skip_blanks();
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Fault> {
        self.at += 1;
        self.skip_blanks();
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::List(items));
                }
                Some(_) | None => return self.fault("Expecting ',' delimiter"),
            }
            self.skip_blanks();
        }
    }

    fn string(&mut self) -> Result<Text<'a>, Fault> {
        let quote = self.at;
        let start = quote + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match self.peek() {
                None => {
                    return Err(Fault { message: "Unterminated string starting at", at: quote });
                }
                Some(b'"') => {
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape(quote)?;
                }
                Some(0..=0x1f) => return self.fault("Invalid control character at"),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self, quote: usize) -> Result<(), Fault> {
        match self.text.as_bytes().get(self.at + 1) {
            None => Err(Fault { message: "Unterminated string starting at", at: quote }),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 2;
                Ok(())
            }
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 2..self.at + 6);
                if digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    self.at += 6;
                    Ok(())
                } else {
                    self.at += 1;
                    self.fault("Invalid \\uXXXX escape")
                }
            }
            Some(_) => self.fault("Invalid \\escape"),
        }
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<Value<'a>, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => drop(self.digits()),
            // `-Infinity`, too, is no number here.
            Some(_) | None => return Err(Fault { message: "Expecting value", at: start }),
        }
        let mut float = false;
        let whole = self.at;
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() > 0 { float = true } else { self.at = whole }
        }
        if self.at > whole || self.peek() != Some(b'.') {
            let mantissa = self.at;
            if let Some(b'e' | b'E') = self.peek() {
                self.at += 1;
                if let Some(b'+' | b'-') = self.peek() {
                    self.at += 1;
                }
                if self.digits() > 0 { float = true } else { self.at = mantissa }
            }
        }
        let raw = self.text.get(start..self.at).unwrap_or_default();
        Ok(if float { Value::Float(raw) } else { Value::Int(raw) })
    }
}

/// Members up to this number are compared one by one.
const FEW: usize = 16;

/// Of members with one name the last value stays, at the place of the first.
fn last_wins(members: &mut Vec<(Text<'_>, Value<'_>)>) {
    let same = |a: &Text<'_>, b: &Text<'_>| match a.escaped || b.escaped {
        true => a.decoded() == b.decoded(),
        false => a.raw == b.raw,
    };
    if members.len() <= FEW {
        let mut at = 1;
        while at < members.len() {
            let (before, rest) = members.split_at_mut(at);
            let first = rest
                .first()
                .and_then(|(name, _)| before.iter().position(|(known, _)| same(known, name)));
            match first {
                Some(first) => {
                    let (_, value) = members.remove(at);
                    members[first].1 = value;
                }
                None => at += 1,
            }
        }
        return;
    }
    let mut first_of = std::collections::HashMap::with_capacity(members.len());
    let all = std::mem::take(members);
    for (name, value) in all {
        match first_of.entry(name.decoded()) {
            std::collections::hash_map::Entry::Occupied(first) => {
                let first: usize = *first.get();
                members[first].1 = value;
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(members.len());
                members.push((name, value));
            }
        }
    }
}

fn unescape(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let mut used = 2;
        match escape.as_bytes().get(1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let (c, length) = code_point(escape);
                out.push(c);
                used = length;
            }
            Some(other) => out.push(char::from(*other)),
            None => used = 1,
        }
        rest = escape.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// The character of a `\u` escape, or of a pair of them, and how long it is.
fn code_point(escape: &str) -> (char, usize) {
    let unit = |at: usize| {
        let escape = escape.get(at..at + 6).filter(|escape| escape.starts_with("\\u"));
        escape.and_then(|escape| u32::from_str_radix(escape.get(2..)?, 16).ok())
    };
    let high = unit(0).unwrap_or(0xfffd);
    if (0xd800..0xdc00).contains(&high)
        && let Some(low @ 0xdc00..0xe000) = unit(6)
    {
        let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(code).unwrap_or('\u{fffd}'), 12);
    }
    (char::from_u32(high).unwrap_or('\u{fffd}'), 6)
}

impl Value<'_> {
    /// Writes it without blanks, texts and numbers as they were sent.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(raw) | Value::Float(raw) => out.extend_from_slice(raw.as_bytes()),
            Value::Text(text) => write_raw(out, text),
            Value::List(items) => {
                out.push(b'[');
                for (nth, item) in items.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (nth, (name, value)) in members.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    write_raw(out, name);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn write_raw(out: &mut Vec<u8>, text: &Text<'_>) {
    out.push(b'"');
    out.extend_from_slice(text.raw.as_bytes());
    out.push(b'"');
}

/// Writes a text with its quotes, raw UTF-8 with the escapes that JSON demands.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            8 => b"\\b",
            12 => b"\\f",
            0..=0x1f => {
                out.extend_from_slice(&text.as_bytes()[start..at]);
                out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                start = at + 1;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[start..at]);
        out.extend_from_slice(escape);
        start = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[start..]);
    out.push(b'"');
}
