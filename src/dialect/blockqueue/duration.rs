//! Durations as Go writes them: `1h30m`, `1500ms`, `-0.5s`, `0`.
//!
//! Source: the language's `time.ParseDuration`, whose refusals clients of blockqueue are shown.

use std::fmt;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotADuration {
    /// No number where one must be, nothing at all, or more than fits.
    Invalid(String),
    /// A number that nothing follows.
    MissingUnit(String),
    /// A number that something else follows.
    UnknownUnit {
        /// What follows it.
        unit: String,
        /// The whole text.
        text: String,
    },
}

impl fmt::Display for NotADuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotADuration::Invalid(text) => write!(f, "time: invalid duration {}", Quoted(text)),
            NotADuration::MissingUnit(text) => {
                write!(f, "time: missing unit in duration {}", Quoted(text))
            }
            NotADuration::UnknownUnit { unit, text } => {
                write!(f, "time: unknown unit {} in duration {}", Quoted(unit), Quoted(text))
            }
        }
    }
}

/// A text in quotes: quotes and backslashes escaped, what is not ASCII text byte by byte.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for byte in self.0.bytes() {
            match byte {
                b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
                b' '..=0x7f => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        f.write_str("\"")
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The magnitude of the most negative duration, nanoseconds.
const MAGNITUDE_MAX: u64 = 1 << 63;

/// The nanoseconds of a duration.
///
/// Errors: everything Go refuses, in its words.
pub fn parse(text: &str) -> Result<i64, NotADuration> {
    let invalid = || NotADuration::Invalid(text.to_owned());
    let (negative, unsigned) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let (mut rest, mut sum) = (unsigned, 0u64);
    while !rest.is_empty() {
        let (term, behind) = term(rest, text)?;
        sum = sum.checked_add(term).filter(|sum| *sum <= MAGNITUDE_MAX).ok_or_else(invalid)?;
        rest = behind;
    }
    match i64::try_from(sum) {
        Ok(nanoseconds) if negative => Ok(-nanoseconds),
        Ok(nanoseconds) => Ok(nanoseconds),
        Err(_) if negative => Ok(i64::MIN),
        Err(_) => Err(invalid()),
    }
}

/// Splits behind the leading digits.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// One number with its unit: its nanoseconds, and what stands behind it.
fn term<'a>(rest: &'a str, text: &str) -> Result<(u64, &'a str), NotADuration> {
    let invalid = || NotADuration::Invalid(text.to_owned());
    let (whole, behind) = digits(rest);
    let (fraction, behind) = match behind.strip_prefix('.') {
        Some(behind) => digits(behind),
        None => ("", behind),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(invalid());
    }
    let value = match whole {
        "" => 0,
        // Above, the number alone is more than fits, whatever its unit.
        _ => whole.parse().ok().filter(|value| *value <= MAGNITUDE_MAX).ok_or_else(invalid)?,
    };
    let end = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
    let (unit, behind) = behind.split_at(end);
    if unit.is_empty() {
        return Err(NotADuration::MissingUnit(text.to_owned()));
    }
    let Some((_, nanoseconds)) = UNITS.iter().find(|(known, _)| *known == unit) else {
        return Err(NotADuration::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
    };
    let sum = value
        .checked_mul(*nanoseconds)
        .and_then(|whole| whole.checked_add(part(fraction, *nanoseconds)))
        .filter(|sum| *sum <= MAGNITUDE_MAX);
    Ok((sum.ok_or_else(invalid)?, behind))
}

/// The nanoseconds of the digits behind the point.
fn part(fraction: &str, unit: u64) -> u64 {
    let (mut sum, mut place) = (0u128, u128::from(unit));
    // Of a nanosecond only its beginning counts: more than 18 digits change nothing.
    let scale = 1_000_000_000_000_000_000u128;
    place *= scale;
    for digit in fraction.bytes().take(18) {
        place /= 10;
        sum += place * u128::from(digit - b'0');
    }
    u64::try_from(sum / scale).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let (ms, s) = (1_000_000, 1_000_000_000);
        let table: [(&str, i64); 24] = [
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("0s", 0),
            ("5s", 5 * s),
            ("30s", 30 * s),
            ("1478s", 1478 * s),
            ("-5s", -5 * s),
            ("+5s", 5 * s),
            ("5.0s", 5 * s),
            ("5.6s", 5 * s + 600 * ms),
            ("5.s", 5 * s),
            (".5s", 500 * ms),
            ("1.0040s", s + 4 * ms),
            ("10ns", 10),
            ("11us", 11_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("13ms", 13 * ms),
            ("1h30m", 5400 * s),
            ("-1m3.5s", -(63 * s + 500 * ms)),
            ("0.100000000000000000000h", 360 * s),
            ("9223372036854775807ns", i64::MAX),
            ("-9223372036854775808ns", i64::MIN),
        ];
        for (text, nanoseconds) in table {
            assert_eq!(parse(text), Ok(nanoseconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused_in_the_words_of_go() {
        let table = [
            ("", r#"time: invalid duration """#),
            ("abc", r#"time: invalid duration "abc""#),
            ("-", r#"time: invalid duration "-""#),
            (".", r#"time: invalid duration ".""#),
            (".s", r#"time: invalid duration ".s""#),
            ("-.s", r#"time: invalid duration "-.s""#),
            ("+-5s", r#"time: invalid duration "+-5s""#),
            (" 5s", r#"time: invalid duration " 5s""#),
            ("5", r#"time: missing unit in duration "5""#),
            ("00", r#"time: missing unit in duration "00""#),
            ("1.5", r#"time: missing unit in duration "1.5""#),
            ("5x", r#"time: unknown unit "x" in duration "5x""#),
            ("5 s", r#"time: unknown unit " s" in duration "5 s""#),
            ("1h5S", r#"time: unknown unit "S" in duration "1h5S""#),
            ("5\"\\", r#"time: unknown unit "\"\\" in duration "5\"\\""#),
            ("5\u{e4}", r#"time: unknown unit "\xc3\xa4" in duration "5\xc3\xa4""#),
            ("9223372036854775808ns", r#"time: invalid duration "9223372036854775808ns""#),
            ("-9223372036854775809ns", r#"time: invalid duration "-9223372036854775809ns""#),
            ("99999999999999999999s", r#"time: invalid duration "99999999999999999999s""#),
            ("3000000h", r#"time: invalid duration "3000000h""#),
        ];
        for (text, refusal) in table {
            assert_eq!(parse(text).map_err(|error| error.to_string()), Err(refusal.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn odd_durations_are_no_trouble(text in "[-+]?[0-9.]{0,25}(ns|us|\u{b5}s|ms|s|m|h|x)?[0-9.hms]{0,9}") {
            let _ = parse(&text);
        }

        #[test]
        fn parts_add_up(h in 0i64..2_000_000, m in 0i64..60, s in 0i64..60, ms in 0i64..1000) {
            let text = format!("{h}h{m}m{s}.{ms:03}s");
            let nanoseconds = ((h * 3600 + m * 60 + s) * 1000 + ms) * 1_000_000;
            prop_assert_eq!(parse(&text), Ok(nanoseconds));
            prop_assert_eq!(parse(&format!("-{text}")), Ok(-nanoseconds));
        }
    }
}
