//! Times and spans of time as people write and read them.

use jiff::Timestamp;
use std::{fmt, str::FromStr, time::Duration};

/// A span of time: `250ms`, `30s`, `5m`, `1h30m`, `7d`; `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span(u64);

/// The units and their milliseconds, longest first.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

impl Span {
    /// So many milliseconds.
    pub fn from_millis(ms: u64) -> Span {
        Span(ms)
    }

    /// In milliseconds.
    pub fn millis(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let wrong = || format!("`{text}` is not a span of time like 250ms, 30s, 1h30m or 7d");
        let mut rest = text.trim();
        if rest == "0" {
            return Ok(Span(0));
        }
        let mut total: f64 = 0.0;
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .filter(|digits| *digits > 0)
                .ok_or_else(wrong)?;
            let (number, after) = rest.split_at(digits);
            let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let number: f64 = number.parse().map_err(|_| wrong())?;
            let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            total += number * (*ms as f64);
            rest = after;
        }
        // Above this the number would not be exact; it is 285 000 years.
        if total > 9e15 {
            return Err(wrong());
        }
        Ok(Span(total.round() as u64))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        if left == 0 {
            return f.write_str("0");
        }
        for (name, ms) in UNITS {
            // Weeks are written and not read back to people.
            if name != "w" && left >= ms {
                write!(f, "{}{name}", left / ms)?;
                left %= ms;
            }
        }
        Ok(())
    }
}

/// A span for people, two units at most: `3d4h`, `1m20s`, `250ms`.
pub fn rough(ms: u64) -> String {
    let fine = match ms {
        0..1000 => 1,
        1000..3_600_000 => 1000,
        3_600_000..86_400_000 => 60_000,
        _ => 3_600_000,
    };
    Span(ms - ms % fine).to_string()
}

/// Milliseconds since the Unix epoch, now.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// A moment in UTC, `2026-11-21T16:20:10.5Z`.
pub fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// How far away a moment is: `3m20s ago`, `in 5s`.
pub fn distance(ms: i64, now: i64) -> String {
    match now.saturating_sub(ms) {
        0 => "now".to_owned(),
        past @ 1.. => format!("{} ago", rough(past.unsigned_abs())),
        ahead => format!("in {}", rough(ahead.unsigned_abs())),
    }
}

/// A moment as it is typed: RFC 3339, or milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        if let Ok(ms) = text.parse() {
            return Ok(Moment(ms));
        }
        let at: Timestamp = text
            .parse()
            .map_err(|_| format!("`{text}` is not a time like 2026-11-21T16:20:10Z"))?;
        Ok(Moment(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_written() {
        let table = [
            ("0", 0, "0"),
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("1.5s", 1500, "1s500ms"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90m", 5_400_000, "1h30m"),
            ("7d", 604_800_000, "7d"),
            ("1w", 604_800_000, "7d"),
        ];
        for (text, ms, shown) in table {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.millis(), span.to_string().as_str()), (ms, shown), "{text}");
        }
        for wrong in ["", "30", "s", "-1s", "1 s", "1y", "1.2.3s", "99999999999999999w"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn people_see_two_units() {
        let table = [(999, "999ms"), (80_500, "1m20s"), (3_661_000, "1h1m"), (90_061_000, "1d1h")];
        for (ms, shown) in table {
            assert_eq!(rough(ms), shown);
        }
        assert_eq!(distance(1000, 6000), "5s ago");
        assert_eq!(distance(6000, 1000), "in 5s");
    }

    #[test]
    fn moments_are_read_in_both_forms() {
        assert_eq!("1700000000000".parse(), Ok(Moment(1_700_000_000_000)));
        assert_eq!("2023-11-14T22:13:20Z".parse(), Ok(Moment(1_700_000_000_000)));
        assert_eq!(moment(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert!("yesterday".parse::<Moment>().is_err());
    }
}
