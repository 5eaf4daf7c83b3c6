//! Where a list of messages is continued, as text that is good for that list only.

use super::problem::Problem;
use crate::broker::DeadSpot;
use crate::queue::State;

/// Tells the lists of one queue and state from all others; numbers of queues are never used twice.
fn mark(queue: u32, state: State) -> u32 {
    let mut named = [0; 5];
    named[..4].copy_from_slice(&queue.to_le_bytes());
    named[4] = state as u8;
    crc32c::crc32c(&named)
}

/// As text.
pub fn write(cursor: u128, queue: u32, state: State) -> String {
    format!("{cursor:x}-{:08x}", mark(queue, state))
}

/// From text.
///
/// Errors: `invalid_cursor`, also when it is of another list.
pub fn read(text: &str, queue: u32, state: State) -> Result<u128, Problem> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parts = text.split_once('-').filter(|(cursor, mark)| digits(cursor) && digits(mark));
    let parsed = parts.and_then(|(cursor, mark)| {
        Some((u128::from_str_radix(cursor, 16).ok()?, u32::from_str_radix(mark, 16).ok()?))
    });
    match parsed {
        Some((cursor, known)) if known == mark(queue, state) => Ok(cursor),
        _ => Err(Problem::invalid_cursor()),
    }
}

/// A place in the list of all dead letters, as text.
pub fn write_dead(spot: DeadSpot) -> String {
    let DeadSpot { queue, after } = spot;
    match after {
        Some(after) => format!("d{queue:x}.{}", write(after, queue, State::Dead)),
        None => format!("d{queue:x}"),
    }
}

/// The same from text.
///
/// Errors: `invalid_cursor`, also when it is of a list of one queue.
pub fn read_dead(text: &str) -> Result<DeadSpot, Problem> {
    let rest = text.strip_prefix('d').ok_or_else(Problem::invalid_cursor)?;
    let (queue, after) = match rest.split_once('.') {
        Some((queue, after)) => (queue, Some(after)),
        None => (rest, None),
    };
    let digits = !queue.is_empty() && queue.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(queue, 16).ok().filter(|_| digits);
    let queue = number.ok_or_else(Problem::invalid_cursor)?;
    let after = after.map(|after| read(after, queue, State::Dead)).transpose()?;
    Ok(DeadSpot { queue, after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list() {
        for cursor in [0, 77, u128::MAX] {
            let text = write(cursor, 5, State::Dead);
            assert_eq!(read(&text, 5, State::Dead).unwrap(), cursor);
            for other in [read(&text, 6, State::Dead), read(&text, 5, State::Ready)] {
                assert_eq!(other.unwrap_err().code, "invalid_cursor");
            }
        }
        for spot in [DeadSpot { queue: 0xfe, after: None }, DeadSpot { queue: 7, after: Some(9) }] {
            assert_eq!(read_dead(&write_dead(spot)).unwrap(), spot);
        }
        let of_one = write(9, 7, State::Dead);
        for text in ["", "d", "d+7", "d7.", "dg", &of_one, &format!("d8.{of_one}"), "d100000000"] {
            assert!(read_dead(text).is_err(), "{text}");
        }
        let good = write(1, 5, State::Dead);
        for text in ["", "-", "1", "+1-00000000", &good[1..], &format!("{good}0"), "ü-ü"] {
            assert!(read(text, 5, State::Dead).is_err(), "{text}");
        }
    }
}
