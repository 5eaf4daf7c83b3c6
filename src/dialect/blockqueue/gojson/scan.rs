//! The syntax: where the first value of a text ends, or what is wrong with it.

use std::fmt;

/// Deeper values are refused.
const DEPTH_MAX: usize = 10_000;

/// What is wrong with the syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Malformed {
    /// There is no value.
    Empty,
    /// The text ends within a value.
    Truncated,
    /// A byte that may not stand where it stands.
    Unexpected {
        /// The byte.
        byte: u8,
        /// What is read there.
        place: Place,
    },
    /// Nested more than [`DEPTH_MAX`] times.
    TooDeep,
}

/// What is read when an unexpected byte comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The begin of a value.
    Value,
    /// The begin of a name in an object.
    Name,
    /// The colon behind a name.
    Colon,
    /// What follows a pair of an object.
    Pair,
    /// What follows an element of an array.
    Element,
    /// A text.
    Text,
    /// What follows a backslash.
    Escape,
    /// The digits of `\u`.
    Hexadecimal,
    /// A number behind its sign.
    Number,
    /// A number behind its point.
    Decimals,
    /// A number behind its `e`.
    Exponent,
    /// `true`, `false` or `null`, and the letter that should come.
    Literal(&'static str, u8),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (byte, place) = match self {
            Malformed::Empty => return f.write_str("EOF"),
            Malformed::Truncated => return f.write_str("unexpected EOF"),
            Malformed::TooDeep => return f.write_str("exceeded max depth"),
            Malformed::Unexpected { byte, place } => (*byte, *place),
        };
        f.write_str("invalid character ")?;
        quote(byte, f)?;
        let place = match place {
            Place::Value => "looking for beginning of value",
            Place::Name => "looking for beginning of object key string",
            Place::Colon => "after object key",
            Place::Pair => "after object key:value pair",
            Place::Element => "after array element",
            Place::Text => "in string literal",
            Place::Escape => "in string escape code",
            Place::Hexadecimal => "in \\u hexadecimal character escape",
            Place::Number => "in numeric literal",
            Place::Decimals => "after decimal point in numeric literal",
            Place::Exponent => "in exponent of numeric literal",
            Place::Literal(word, wanted) => {
                return write!(f, " in literal {word} (expecting '{}')", char::from(wanted));
            }
        };
        write!(f, " {place}")
    }
}

/// A byte as a character in single quotes; what cannot be printed is escaped.
fn quote(byte: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match byte {
        b'\'' => f.write_str(r"'\''"),
        b'\\' => f.write_str(r"'\\'"),
        0x07 => f.write_str(r"'\a'"),
        0x08 => f.write_str(r"'\b'"),
        0x0b => f.write_str(r"'\v'"),
        0x0c => f.write_str(r"'\f'"),
        b'\n' => f.write_str(r"'\n'"),
        b'\r' => f.write_str(r"'\r'"),
        b'\t' => f.write_str(r"'\t'"),
        0..=0x1f | 0x7f => write!(f, "'\\x{byte:02x}'"),
        0x80..=0xa0 | 0xad => write!(f, "'\\u{byte:04x}'"),
        _ => write!(f, "'{}'", char::from(byte)),
    }
}

/// What the innermost object or array waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Object,
    Array,
}

/// A place in the text.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// The next byte, taken.
    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.text.get(self.at).copied().ok_or(Malformed::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte that is no space, taken.
    fn next_solid(&mut self) -> Result<u8, Malformed> {
        loop {
            let byte = self.next()?;
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Ok(byte);
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The rest of a text behind its opening quote.
    fn string(&mut self) -> Result<(), Malformed> {
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f));
            self.at += plain.unwrap_or(rest.len());
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => (),
                    b'u' => {
                        for _ in 0..4 {
                            let byte = self.next()?;
                            if !byte.is_ascii_hexdigit() {
                                let place = Place::Hexadecimal;
                                return Err(Malformed::Unexpected { byte, place });
                            }
                        }
                    }
                    byte => return Err(Malformed::Unexpected { byte, place: Place::Escape }),
                },
                byte => return Err(Malformed::Unexpected { byte, place: Place::Text }),
            }
        }
    }

    fn digits(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
    }

    /// At least one digit, then all that follow.
    fn some_digits(&mut self, place: Place) -> Result<(), Malformed> {
        let byte = self.next()?;
        if !byte.is_ascii_digit() {
            return Err(Malformed::Unexpected { byte, place });
        }
        self.digits();
        Ok(())
    }

    /// The rest of a number behind its first byte.
    fn number(&mut self, first: u8) -> Result<(), Malformed> {
        let digit = if first == b'-' { self.next()? } else { first };
        match digit {
            b'0' => (),
            b'1'..=b'9' => self.digits(),
            byte => return Err(Malformed::Unexpected { byte, place: Place::Number }),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits(Place::Decimals)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits(Place::Exponent)?;
        }
        Ok(())
    }

    /// The rest of a word behind its first letter.
    fn literal(&mut self, word: &'static str) -> Result<(), Malformed> {
        for wanted in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != wanted {
                return Err(Malformed::Unexpected { byte, place: Place::Literal(word, wanted) });
            }
        }
        Ok(())
    }

    /// A name and its colon; `byte`: the one the name should begin with.
    fn name(&mut self, byte: u8) -> Result<(), Malformed> {
        if byte != b'"' {
            return Err(Malformed::Unexpected { byte, place: Place::Name });
        }
        self.string()?;
        match self.next_solid()? {
            b':' => Ok(()),
            byte => Err(Malformed::Unexpected { byte, place: Place::Colon }),
        }
    }

    /// A value, whatever it holds.
    fn value(&mut self, mut byte: u8) -> Result<(), Malformed> {
        let mut open: Vec<Within> = Vec::new();
        loop {
            // `byte` begins a value.
            match byte {
                b'{' | b'[' if open.len() >= DEPTH_MAX => return Err(Malformed::TooDeep),
                b'{' => match self.next_solid()? {
                    b'}' => (),
                    byte_of_name => {
                        self.name(byte_of_name)?;
                        open.push(Within::Object);
                        byte = self.next_solid()?;
                        continue;
                    }
                },
                b'[' => match self.next_solid()? {
                    b']' => (),
                    first => {
                        open.push(Within::Array);
                        byte = first;
                        continue;
                    }
                },
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number(byte)?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                byte => return Err(Malformed::Unexpected { byte, place: Place::Value }),
            }
            // A value has ended: so do those around it, until one goes on.
            loop {
                let Some(within) = open.last() else { return Ok(()) };
                match (within, self.next_solid()?) {
                    (Within::Object, b',') => {
                        let first = self.next_solid()?;
                        self.name(first)?;
                        byte = self.next_solid()?;
                        break;
                    }
                    (Within::Array, b',') => {
                        byte = self.next_solid()?;
                        break;
                    }
                    (Within::Object, b'}') | (Within::Array, b']') => drop(open.pop()),
                    (Within::Object, byte) => {
                        return Err(Malformed::Unexpected { byte, place: Place::Pair });
                    }
                    (Within::Array, byte) => {
                        return Err(Malformed::Unexpected { byte, place: Place::Element });
                    }
                }
            }
        }
    }
}

/// The first value of a text, without the spaces around it; what follows it is not looked at.
///
/// Errors: what Go's decoder of a stream says.
pub fn first_value(text: &[u8]) -> Result<&[u8], Malformed> {
    let mut scanner = Scanner { text, at: 0 };
    let first = scanner.next_solid().map_err(|_| Malformed::Empty)?;
    let begin = scanner.at - 1;
    scanner.value(first)?;
    Ok(text.get(begin..scanner.at).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_found_and_what_follows_it_is_left_alone() {
        let table = [
            ("{}", "{}"),
            (" \t\r\n{} trailing", "{}"),
            (r#"{"a":[1,{"b":null}],"c":"\"}"}{"#, r#"{"a":[1,{"b":null}],"c":"\"}"}"#),
            ("[]x", "[]"),
            ("[ ]", "[ ]"),
            ("{ }", "{ }"),
            ("nullnull", "null"),
            ("true,", "true"),
            ("12abc", "12"),
            ("012", "0"),
            ("-0.5e+10 ", "-0.5e+10"),
            (r#""\u00e4\n" "#, r#""\u00e4\n""#),
        ];
        for (text, value) in table {
            assert_eq!(first_value(text.as_bytes()), Ok(value.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_go_says_it() {
        let value = "looking for beginning of value";
        let table = [
            ("", "EOF".to_owned()),
            ("  \n", "EOF".to_owned()),
            ("{", "unexpected EOF".to_owned()),
            (r#"{"a"#, "unexpected EOF".to_owned()),
            (r#"{"a":1"#, "unexpected EOF".to_owned()),
            ("tru", "unexpected EOF".to_owned()),
            ("-", "unexpected EOF".to_owned()),
            ("1.", "unexpected EOF".to_owned()),
            ("[1,", "unexpected EOF".to_owned()),
            ("{bad", "invalid character 'b' looking for beginning of object key string".to_owned()),
            (
                r#"{"a":1,}"#,
                "invalid character '}' looking for beginning of object key string".to_owned(),
            ),
            ("bad", format!("invalid character 'b' {value}")),
            ("[1,]", format!("invalid character ']' {value}")),
            ("<x>", format!("invalid character '<' {value}")),
            ("'x'", format!(r"invalid character '\'' {value}")),
            ("\\", format!(r"invalid character '\\' {value}")),
            ("\0", format!(r"invalid character '\x00' {value}")),
            ("\x7f", format!(r"invalid character '\x7f' {value}")),
            ("\u{e4}", format!("invalid character '\u{c3}' {value}")),
            (r#"{"a" 1}"#, "invalid character '1' after object key".to_owned()),
            (r#"{"a":1 "b"}"#, "invalid character '\"' after object key:value pair".to_owned()),
            ("[1 2]", "invalid character '2' after array element".to_owned()),
            ("[01]", "invalid character '1' after array element".to_owned()),
            ("\"a\nb\"", r"invalid character '\n' in string literal".to_owned()),
            (r#""\x""#, "invalid character 'x' in string escape code".to_owned()),
            (r#""\u12g4""#, r"invalid character 'g' in \u hexadecimal character escape".to_owned()),
            ("-x", "invalid character 'x' in numeric literal".to_owned()),
            ("1.x", "invalid character 'x' after decimal point in numeric literal".to_owned()),
            ("1ex", "invalid character 'x' in exponent of numeric literal".to_owned()),
            ("trUe", "invalid character 'U' in literal true (expecting 'u')".to_owned()),
            ("nul}", "invalid character '}' in literal null (expecting 'l')".to_owned()),
            (&"[".repeat(10_001), "exceeded max depth".to_owned()),
        ];
        for (text, refusal) in table {
            let told = first_value(text.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(told, Err(refusal), "{text}");
        }
    }

    #[test]
    fn no_beginning_of_a_value_is_a_value() {
        let text = br#"{"n":[{"e\u0073t":-1.5e3},true,false,null,"x"],"end":{}}"#;
        for end in 0..text.len() {
            let expected = if end == 0 { Malformed::Empty } else { Malformed::Truncated };
            assert_eq!(first_value(&text[..end]), Err(expected), "{end}");
        }
        assert_eq!(first_value(text), Ok(&text[..]));
    }

    #[test]
    fn nesting_up_to_the_bound_is_read() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(first_value(deep.as_bytes()), Ok(deep.as_bytes()));
        let bomb = "{\"a\":".repeat(5_000_000);
        assert_eq!(first_value(bomb.as_bytes()), Err(Malformed::TooDeep));
    }

    #[test]
    fn serde_agrees_about_what_is_json() {
        let table = ["{}", "[1,2]", "01", "+1", "1.", ".5", "\"\\u12\"", "[1,,2]", "{\"a\":}"];
        for text in table {
            let whole = first_value(text.as_bytes()).is_ok_and(|value| value.len() == text.len());
            let serde = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(whole, serde, "{text}");
        }
    }
}
