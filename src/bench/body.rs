//! Requests that are written once and sent often: only the time at which they were due changes.

/// Digits of a time in a body.
pub const STAMP_DIGITS: usize = 20;

/// Where a time belongs, until one is known. No protocol has so many of them in a row.
const MARK: [u8; STAMP_DIGITS] = [b'#'; STAMP_DIGITS];

/// A body of `size` bytes, with room for a time.
pub fn text(size: usize) -> String {
    format!("{}{}", "#".repeat(STAMP_DIGITS), "x".repeat(size.saturating_sub(STAMP_DIGITS)))
}

/// A request with bodies in it.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Template {
    /// Of a request in which every body was made by [`text`].
    pub fn new(bytes: Vec<u8>) -> Template {
        let places = memchr::memmem::find_iter(&bytes, &MARK).collect();
        Template { bytes, places }
    }

    /// Appends the request. Nanoseconds since the run began go into each body.
    pub fn write(&mut self, out: &mut Vec<u8>, due_ns: u64) {
        let mut digits = [b'0'; STAMP_DIGITS];
        let mut rest = due_ns;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        for at in &self.places {
            if let Some(place) = self.bytes.get_mut(*at..at + STAMP_DIGITS) {
                place.copy_from_slice(&digits);
            }
        }
        out.extend_from_slice(&self.bytes);
    }
}

/// The time at the start of a body.
pub fn stamp(body: &[u8]) -> Option<u64> {
    let digits = body.get(..STAMP_DIGITS)?;
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_written_into_every_body_is_read_back() {
        let two = format!("[{},{}]", text(100), text(20));
        let mut template = Template::new(two.into_bytes());
        for due in [0, 7, 1_234_567_890_123, u64::MAX] {
            let mut out = Vec::new();
            template.write(&mut out, due);
            assert_eq!((out.len(), stamp(&out[1..])), (123, Some(due)));
            assert_eq!(stamp(&out[102..]), Some(due));
        }
        assert_eq!(stamp(b"short"), None);
    }
}
