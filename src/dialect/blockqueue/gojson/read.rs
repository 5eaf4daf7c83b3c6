//! Going through a value whose syntax was checked.

use std::borrow::Cow;

/// Reads one value after the other. A value of the wrong type is skipped and remembered: the first
/// such mismatch is what the client is told, at the end.
pub struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The fields around the current place, outermost first.
    fields: Vec<&'static str>,
    /// The type of the innermost object with fields.
    structure: Option<&'static str>,
    mismatch: Option<String>,
}

/// What begins at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Object,
    Array,
    Text,
    Number,
    Bool,
    Null,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Shape::Object => "object",
            Shape::Array => "array",
            Shape::Text => "string",
            Shape::Number => "number",
            Shape::Bool => "bool",
            Shape::Null => "null",
        }
    }
}

impl<'a> Reader<'a> {
    /// A reader of a value that [`super::first_value`] found.
    pub fn new(value: &'a [u8]) -> Self {
        Reader { text: value, at: 0, fields: Vec::new(), structure: None, mismatch: None }
    }

    /// What did not fit first.
    ///
    /// Errors: in Go's words.
    pub fn finish(self) -> Result<(), String> {
        self.mismatch.map_or(Ok(()), Err)
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn shape(&mut self) -> Shape {
        match self.peek() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(b'"') => Shape::Text,
            Some(b't' | b'f') => Shape::Bool,
            Some(b'n') | None => Shape::Null,
            Some(_) => Shape::Number,
        }
    }

    /// Remembers that a value of some kind does not fit a type.
    fn note(&mut self, value: &str, wanted: &str) {
        if self.mismatch.is_some() {
            return;
        }
        let place = match self.structure {
            Some(structure) => format!("struct field {structure}.{}", self.fields.join(".")),
            None => "value".to_owned(),
        };
        self.mismatch =
            Some(format!("json: cannot unmarshal {value} into Go {place} of type {wanted}"));
    }

    /// Whether a value of this shape comes; if not it is skipped, and is a mismatch unless `null`.
    fn fits(&mut self, shape: Shape, wanted: &str) -> bool {
        let found = self.shape();
        if found == shape {
            return true;
        }
        if found != Shape::Null {
            self.note(found.name(), wanted);
        }
        self.skip();
        false
    }

    /// An object: `field` reads the value of each name, of which it is given the one of `known` that
    /// it is, in whatever case. Other names are skipped.
    pub fn object(
        &mut self,
        wanted: &'static str,
        known: &[&'static str],
        mut field: impl FnMut(&mut Self, &'static str),
    ) {
        if !self.fits(Shape::Object, wanted) {
            return;
        }
        self.at += 1;
        let outer = self.structure;
        let structure = wanted.rsplit('.').next();
        while let Some(byte) = self.peek() {
            match byte {
                b'}' => {
                    self.at += 1;
                    break;
                }
                b'"' => {
                    let name = self.take_text();
                    let exact = known.iter().find(|known| **known == name.as_ref());
                    let any = || known.iter().find(|known| known.eq_ignore_ascii_case(&name));
                    let found = exact.or_else(any).copied();
                    if self.peek() == Some(b':') {
                        self.at += 1;
                    }
                    match found {
                        Some(name) => {
                            self.structure = structure;
                            self.fields.push(name);
                            field(self, name);
                            self.fields.pop();
                        }
                        None => self.skip(),
                    }
                }
                _ => self.at += 1,
            }
        }
        self.structure = outer;
    }

    /// An array: `element` reads each value. True when it was one.
    pub fn array(&mut self, wanted: &'static str, mut element: impl FnMut(&mut Self)) -> bool {
        if !self.fits(Shape::Array, wanted) {
            return false;
        }
        self.at += 1;
        while let Some(byte) = self.peek() {
            match byte {
                b']' => {
                    self.at += 1;
                    break;
                }
                b',' => self.at += 1,
                _ => element(self),
            }
        }
        true
    }

    /// A text; `None` for `null` and what is none.
    pub fn text(&mut self) -> Option<Cow<'a, str>> {
        self.fits(Shape::Text, "string").then(|| self.take_text())
    }

    /// A whole number; `None` for `null` and what is none.
    pub fn int(&mut self) -> Option<i64> {
        if !self.fits(Shape::Number, "int") {
            return None;
        }
        let begin = self.at;
        self.skip();
        let number = self.text.get(begin..self.at).unwrap_or_default();
        let number = std::str::from_utf8(number).unwrap_or_default();
        let value = number.parse().ok();
        if value.is_none() {
            self.note(&format!("number {number}"), "int");
        }
        value
    }

    /// Goes behind the text that begins here; its bytes without the quotes, and whether it has escapes.
    fn text_bytes(&mut self) -> (&'a [u8], bool) {
        let begin = self.at + 1;
        let (mut end, mut escaped) = (begin, false);
        while let Some(byte) = self.text.get(end) {
            match byte {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = (end + 1).min(self.text.len());
        (self.text.get(begin..end).unwrap_or_default(), escaped)
    }

    fn take_text(&mut self) -> Cow<'a, str> {
        match self.text_bytes() {
            (plain, false) => replace_invalid(plain),
            (coded, true) => Cow::Owned(unescape(coded)),
        }
    }

    /// Goes behind the value that comes next.
    fn skip(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => drop(self.text_bytes()),
                b'{' | b'[' => {
                    self.at += 1;
                    depth += 1;
                }
                b'}' | b']' => {
                    // Of the value around the one that is skipped.
                    if depth == 0 {
                        return;
                    }
                    self.at += 1;
                    depth -= 1;
                }
                b',' | b':' => {
                    self.at += 1;
                    continue;
                }
                _ => self.skip_word(),
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Goes behind a number or a literal.
    fn skip_word(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }
}

/// Bytes as text. Go replaces each byte that belongs to no character, Rust's standard library runs of them.
fn replace_invalid(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => {
            let mut out = String::with_capacity(bytes.len());
            push_text(&mut out, bytes);
            Cow::Owned(out)
        }
    }
}

fn push_text(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// The unit of UTF-16 behind `\u`.
fn unit(digits: Option<&[u8]>) -> Option<u16> {
    u16::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok()
}

fn unescape(coded: &[u8]) -> String {
    let mut out = String::with_capacity(coded.len());
    let mut rest = coded;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push_text(&mut out, rest.get(..at).unwrap_or_default());
        let code = rest.get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        out.push(match code {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = unit(rest.get(..4)).unwrap_or(0xfffd);
                rest = rest.get(4..).unwrap_or_default();
                let second = match rest.strip_prefix(b"\\u") {
                    Some(digits) if (0xd800..0xdc00).contains(&first) => unit(digits.get(..4)),
                    _ => None,
                };
                let second = second.filter(|second| (0xdc00..0xe000).contains(second));
                if second.is_some() {
                    rest = rest.get(6..).unwrap_or_default();
                }
                let units = [Some(first), second].into_iter().flatten();
                // Half a character becomes the replacement character.
                let read = char::decode_utf16(units).next();
                read.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            other => char::from(other),
        });
    }
    push_text(&mut out, rest);
    out
}

#[cfg(test)]
mod tests {
    use super::super::first_value;
    use super::*;

    fn reader(text: &[u8]) -> Reader<'_> {
        Reader::new(first_value(text).unwrap())
    }

    #[test]
    fn texts_are_decoded() {
        let table: [(&[u8], &str); 9] = [
            (br#""""#, ""),
            (br#""plain""#, "plain"),
            (br#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (br#""\u00e4 \ud83d\ude00""#, "\u{e4} \u{1f600}"),
            (br#""\ud83d!\ude00""#, "\u{fffd}!\u{fffd}"),
            (br#""\ud83d\u0041""#, "\u{fffd}A"),
            (b"\"\xff\xfe\"", "\u{fffd}\u{fffd}"),
            (b"\"\xe2\x80\\n\"", "\u{fffd}\u{fffd}\n"),
            ("\"\u{e4}\"".as_bytes(), "\u{e4}"),
        ];
        for (coded, text) in table {
            assert_eq!(reader(coded).text().as_deref(), Some(text), "{}", coded.escape_ascii());
        }
    }

    fn read(text: &str) -> (Vec<String>, Option<i64>, Result<(), String>) {
        let (mut names, mut count) = (Vec::new(), None);
        let mut reader = reader(text.as_bytes());
        reader.object("io.Thing", &["name", "count", "list"], |reader, field| match field {
            "name" => names.extend(reader.text().map(Cow::into_owned)),
            "count" => count = reader.int(),
            _ => {
                reader.array("io.List", |reader| {
                    reader.object("io.Inner", &["name"], |reader, _| {
                        names.extend(reader.text().map(Cow::into_owned));
                    });
                });
            }
        });
        (names, count, reader.finish())
    }

    #[test]
    fn fields_are_found_in_any_case_and_others_skipped() {
        let text = r#" { "other":{"name":[1,{"name":"no"}]} , "NAME" : "a", "x":"\"}", "y":-1.5e3,
            "cOunt" :7, "list":[ {"Name":"b"} , {} , null, {"z":[[]],"name":"c"} ] }"#;
        assert_eq!(read(text), (vec!["a".into(), "b".into(), "c".into()], Some(7), Ok(())));
        assert_eq!(read("null"), (vec![], None, Ok(())));
        assert_eq!(read(r#"{"name":null,"count":null,"list":null}"#), (vec![], None, Ok(())));
    }

    #[test]
    fn the_first_value_of_the_wrong_type_is_told_and_the_rest_read() {
        let table = [
            ("[]", "array into Go value of type io.Thing"),
            ("7", "number into Go value of type io.Thing"),
            (r#""x""#, "string into Go value of type io.Thing"),
            (r#"{"name":7,"count":true}"#, "number into Go struct field Thing.name of type string"),
            (r#"{"count":"x"}"#, "string into Go struct field Thing.count of type int"),
            (r#"{"count":1.5}"#, "number 1.5 into Go struct field Thing.count of type int"),
            (r#"{"count":9e9}"#, "number 9e9 into Go struct field Thing.count of type int"),
            (
                r#"{"count":9223372036854775808}"#,
                "number 9223372036854775808 into Go struct field Thing.count of type int",
            ),
            (r#"{"list":{}}"#, "object into Go struct field Thing.list of type io.List"),
            (r#"{"list":[1]}"#, "number into Go struct field Thing.list of type io.Inner"),
            (
                r#"{"list":[{"name":{"name":[]}}],"count":"x"}"#,
                "object into Go struct field Inner.list.name of type string",
            ),
        ];
        for (text, mismatch) in table {
            assert_eq!(read(text).2, Err(format!("json: cannot unmarshal {mismatch}")), "{text}");
        }
        assert_eq!(read(r#"{"name":[[1]],"count":3}"#).1, Some(3));
    }
}
