//! Times as the originals write them into SQLite, and durations as Go writes them.

use crate::queue::Timestamp;

/// Reads `2026-01-31 12:00:00[.fraction][zone]`, with a blank or `T` in the middle; without a zone it
/// is UTC. `None` when it is something else.
pub fn timestamp(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let rest = rest.strip_prefix([' ', 'T'])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) =
        (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest.split_at(end)
        }
        None => ("", rest),
    };
    let mut millis = 0;
    for at in 0..3 {
        let digit = fraction.as_bytes().get(at).map_or(0, |digit| i64::from(digit - b'0'));
        millis = millis * 10 + digit;
    }
    let minutes = days(year, month, day) * 1440 + hour * 60 + minute - offset_minutes(zone)?;
    Some(Timestamp((minutes * 60 + second) * 1000 + millis))
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Minutes east of UTC: of nothing, `Z`, `+07:00`, or Go's ` +0700 WIB`.
fn offset_minutes(zone: &str) -> Option<i64> {
    let zone = zone.trim_start().split(' ').next()?;
    let sign = match zone.bytes().next() {
        None | Some(b'Z') => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let digits: String = zone.chars().filter(char::is_ascii_digit).collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes)? };
    Some(sign * (number(hours)? * 60 + minutes))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// A duration as Go writes it (`5m`, `1h30m`, `1.5s`) in milliseconds; `None` when it is none.
pub fn go_duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (amount, unit) = rest.split_at(end);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let unit_ms = match unit {
            "ns" => 1e-6,
            "us" | "µs" | "μs" => 1e-3,
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 6e4,
            "h" => 3.6e6,
            _ => return None,
        };
        total += amount.parse::<f64>().ok()? * unit_ms;
        rest = after;
    }
    Some(total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_and_without_fraction_and_zone() {
        let table = [
            ("1970-01-01 00:00:00", Some(0)),
            ("2000-03-01 00:00:00", Some(951_868_800_000)),
            ("2024-02-29T23:59:59.9Z", Some(1_709_251_199_900)),
            ("2024-02-29 23:59:59.123456789+07:00", Some(1_709_225_999_123)),
            ("2024-02-29 23:59:59.123 -0330 NST", Some(1_709_263_799_123)),
            ("2024-02-29 23:59:59 +0000 UTC", Some(1_709_251_199_000)),
            ("2024-13-01 00:00:00", None),
            ("2024-01-01", None),
            ("2024-01-01 0x:00:00", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, ms) in table {
            assert_eq!(timestamp(text), ms.map(Timestamp), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let table = [
            ("5m", Some(300_000)),
            ("1h30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("5m0s", Some(300_000)),
            ("0", Some(0)),
            ("", None),
            ("5", None),
            ("5x", None),
        ];
        for (text, ms) in table {
            assert_eq!(go_duration_ms(text), ms, "{text}");
        }
    }
}
