//! What a browser that has logged in shows: an id in a cookie, and a second word in a header, which a
//! page of another site cannot know.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Bytes of an id that nobody can guess.
const ID_BYTES: usize = 32;

/// The id of a session. It is told once, to the browser; the broker keeps its [`key`](SessionId::key).
#[derive(Clone, PartialEq, Eq)]
pub struct SessionId(String);

impl SessionId {
    /// A fresh one: 256 random bits. Nothing when the machine has no randomness to give.
    pub fn fresh() -> Option<SessionId> {
        let mut bytes = [0; ID_BYTES];
        getrandom::fill(&mut bytes).ok()?;
        Some(SessionId(hex(&bytes)))
    }

    /// What a cookie says; nothing when no session has such an id.
    pub fn parse(text: &str) -> Option<SessionId> {
        let digit = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f');
        let right = text.len() == 2 * ID_BYTES && text.bytes().all(digit);
        right.then(|| SessionId(text.to_owned()))
    }

    /// As the cookie says it.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is kept of it: whoever reads it cannot say the id. Sessions are found by it, so that how long
    /// a search takes tells nothing of an id.
    pub fn key(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// The word that goes with it. It follows from the id, and the id does not follow from it.
    pub fn csrf(&self) -> String {
        let mut digest = Sha256::new_with_prefix(b"octoq csrf ");
        digest.update(self.0.as_bytes());
        hex(&digest.finalize())
    }

    /// Whether `said` is that word. Takes as long for one as for another of its length.
    pub fn is_csrf(&self, said: &str) -> bool {
        let known = self.csrf();
        let differ = known.bytes().zip(said.bytes()).fold(0, |differ, (one, other)| {
            // Kept from ending the comparison early.
            std::hint::black_box(differ | (one ^ other))
        });
        known.len() == said.len() && differ == 0
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId")
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Into a text it cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_long_random_and_not_shown() {
        let (one, other) = (SessionId::fresh().unwrap(), SessionId::fresh().unwrap());
        assert!(one != other && one.text().len() == 64);
        assert_eq!(SessionId::parse(one.text()), Some(one.clone()));
        assert_ne!(one.key(), other.key());
        assert!(!format!("{one:?}").contains(one.text()));
        for wrong in ["", "x", &one.text()[1..], &format!("{}0", one.text()), &"g".repeat(64)] {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(SessionId::parse(&"A".repeat(64)), None, "one spelling only");
    }

    #[test]
    fn the_second_word_belongs_to_one_id() {
        let (one, other) = (SessionId::fresh().unwrap(), SessionId::fresh().unwrap());
        let csrf = one.csrf();
        assert!(one.is_csrf(&csrf) && !other.is_csrf(&csrf));
        assert!(!csrf.contains(one.text()) && csrf.len() == 64);
        for wrong in ["", &csrf[1..], &format!("{csrf}0"), &csrf.to_uppercase(), one.text()] {
            assert!(!one.is_csrf(wrong), "{wrong}");
        }
    }
}
