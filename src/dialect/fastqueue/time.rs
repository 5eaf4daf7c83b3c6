//! Times as fastqueue shows them: UTC without a zone, six digits of a second.

use crate::queue::Timestamp;

/// Shown for a message that never ends: the last moment that a client's calendar has.
const LAST: &str = "9999-12-31T23:59:59.999999";
/// The first millisecond behind it.
const END_MS: i64 = 253_402_300_800_000;

/// Writes a time with its quotes: `"2022-10-05T21:48:24.724000"`.
pub fn write(out: &mut Vec<u8>, at: Timestamp) {
    out.push(b'"');
    if at.0 >= END_MS {
        out.extend_from_slice(LAST.as_bytes());
    } else {
        write_digits(out, at.0.max(0) as u64);
    }
    out.push(b'"');
}

fn write_digits(out: &mut Vec<u8>, ms: u64) {
    let (year, month, day) = date_of(ms / 86_400_000);
    let second = ms / 1000 % 86_400;
    digits(out, year, 4);
    for (sign, value) in [
        (b'-', month),
        (b'-', day),
        (b'T', second / 3600),
        (b':', second / 60 % 60),
        (b':', second % 60),
    ] {
        out.push(sign);
        digits(out, value, 2);
    }
    out.push(b'.');
    digits(out, ms % 1000 * 1000, 6);
}

fn digits(out: &mut Vec<u8>, value: u64, count: u32) {
    for place in (0..count).rev() {
        out.push(b'0' + (value / 10u64.pow(place) % 10) as u8);
    }
}

/// Year, month and day of a day since 1970-01-01. Counted in years that begin in March, so that the
/// leap day is the last of its year.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_six_digits_of_a_second_and_no_zone() {
        let table = [
            (0, "1970-01-01T00:00:00.000000"),
            (951_782_399_999, "2000-02-28T23:59:59.999000"),
            (951_782_400_000, "2000-02-29T00:00:00.000000"),
            (1_664_999_304_724, "2022-10-05T19:48:24.724000"),
            (1_709_164_800_001, "2024-02-29T00:00:00.001000"),
            (4_102_444_799_000, "2099-12-31T23:59:59.000000"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000000"),
            (i64::MAX, "9999-12-31T23:59:59.999999"),
            (-1, "1970-01-01T00:00:00.000000"),
        ];
        for (ms, expected) in table {
            let mut out = Vec::new();
            write(&mut out, Timestamp(ms));
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{expected}\""), "{ms}");
        }
    }
}
