//! Times as clients read them: RFC 3339 in UTC.

use crate::queue::Timestamp;

/// Year, month and day of a day number since the Unix epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years that begin in March, in eras of 400 of them: the leap day is the last of a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let leap_days = day_of_era / 1460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// To the second, `2026-01-31T23:59:59Z`; with milliseconds when there are any.
pub fn rfc3339(time: Timestamp) -> String {
    // Years beyond 9999 are not written this way.
    let ms = time.0.clamp(0, 253_402_300_799_999);
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (seconds, part) = (in_day / 1000, in_day % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let whole = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if part == 0 { format!("{whole}Z") } else { format!("{whole}.{part:03}Z") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        let table = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_001, "2000-03-01T00:00:00.001Z"),
            (1_709_210_096_000, "2024-02-29T12:34:56Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (1_798_761_599_000, "2026-12-31T23:59:59Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
            (-1, "1970-01-01T00:00:00Z"),
        ];
        for (ms, text) in table {
            assert_eq!(rfc3339(Timestamp(ms)), text);
        }
    }

    #[test]
    fn the_days_follow_one_another() {
        let mut before = civil(-1);
        for days in 0..200_000 {
            let (year, month, day) = civil(days);
            let next_day = (year, month, day) == (before.0, before.1, before.2 + 1);
            let next_month = day == 1 && (year, month) == (before.0, before.1 + 1);
            let next_year =
                (month, day) == (1, 1) && (year, before.1, before.2) == (before.0 + 1, 12, 31);
            assert!(next_day || next_month || next_year, "{before:?} then {year}-{month}-{day}");
            before = (year, month, day);
        }
    }
}
