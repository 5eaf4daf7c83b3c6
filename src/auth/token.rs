//! Bearer tokens: what a program logs in with. A token acts for a user, with some of its rights, on some
//! topics, until it expires. Only its hash is kept, which gives nothing to whoever reads the store; a
//! plain hash will do, since a token is as long as the hash and nobody chose it.

use super::{AccountError, Rights};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// What every token begins with, so that one that got into the wrong place is recognised.
const PREFIX: &str = "octoq_";
/// Longest name of a token, bytes.
const NAME_BYTES_MAX: usize = 100;
/// Longest list of topics of one token.
const TOPICS_MAX: usize = 1000;
/// Most tokens of a broker.
pub(super) const TOKENS_MAX: usize = 10_000;

/// One token, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of the token, in hexadecimal digits.
    pub(super) hash: String,
    /// The user it acts for.
    pub user: String,
    /// Letters of r, w, c, n, m, l; or `a`: everything that the user may.
    pub rights: String,
    /// Topics on which it is good; empty: on all.
    #[serde(default)]
    pub topics: Vec<String>,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Likewise; `None`: it does not expire.
    #[serde(default)]
    pub expires_at_ms: Option<i64>,
}

/// What is asked for when a token is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// The user it acts for.
    pub user: String,
    /// See [`Token::rights`].
    pub rights: String,
    /// See [`Token::topics`].
    pub topics: Vec<String>,
    /// See [`Token::expires_at_ms`].
    pub expires_at_ms: Option<i64>,
}

/// A fresh token. It is shown once, to whoever asked for it.
pub fn fresh_token() -> String {
    // Two times 122 bits nobody can guess.
    let (one, other) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    format!("{PREFIX}{}{}", one.simple(), other.simple())
}

/// What is kept of a token.
pub fn token_hash(token: &str) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(token.as_bytes()) {
        // Into a text it cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

impl Token {
    /// As it is asked for. The name must be looked at by whoever knows the others.
    pub(super) fn new(new: &NewToken, hash: String, now_ms: i64) -> Result<Token, AccountError> {
        let known = |letter: char| "rwcnmla".contains(letter);
        if new.rights.is_empty() || !new.rights.chars().all(known) {
            return Err(AccountError::Rights);
        }
        if new.topics.len() > TOPICS_MAX {
            return Err(AccountError::TooManyTopics);
        }
        if new.expires_at_ms.is_some_and(|at| at <= now_ms) {
            return Err(AccountError::Expired);
        }
        let NewToken { user, rights, topics, expires_at_ms, .. } = new.clone();
        Ok(Token { hash, user, rights, topics, created_at_ms: now_ms, expires_at_ms })
    }

    /// It is not good any more.
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// What it leaves of its user's rights on a topic.
    pub fn limit(&self, topic: &[u8], rights: Rights) -> Rights {
        let here =
            self.topics.is_empty() || self.topics.iter().any(|name| name.as_bytes() == topic);
        match here {
            true if self.rights.contains('a') => rights,
            true => rights & Rights::from_letters(&self.rights),
            false => Rights::NONE,
        }
    }

    /// It is good for looking, and for nothing else.
    pub fn only_looks(&self) -> bool {
        self.rights.chars().all(|letter| letter == 'l')
    }

    /// With it everything may be looked at that its user may look at.
    pub fn looks_everywhere(&self) -> bool {
        self.topics.is_empty() && self.rights.contains(['a', 'l'])
    }

    /// It does all that its user may, also beyond topics.
    pub fn is_whole(&self) -> bool {
        self.topics.is_empty() && self.rights.contains('a')
    }
}

/// A name that goes into a path and a log as it stands.
pub(super) fn check_name(name: &str) -> Result<(), AccountError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let right = (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('.');
    if right { Ok(()) } else { Err(AccountError::TokenName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(rights: &str, topics: &[&str]) -> NewToken {
        NewToken {
            name: "t".into(),
            user: "ann".into(),
            rights: rights.into(),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            expires_at_ms: None,
        }
    }

    #[test]
    fn a_token_leaves_some_of_its_users_rights() {
        let table = [
            ("r", &[][..], Rights::READ),
            ("rw", &["orders"], Rights::READ | Rights::WRITE),
            ("rw", &["other"], Rights::NONE),
            ("a", &[], Rights::ALL),
            ("m", &[], Rights::MANAGE),
            ("l", &[], Rights::LOOK),
        ];
        for (rights, topics, left) in table {
            let token = Token::new(&new(rights, topics), String::new(), 0).unwrap();
            assert_eq!(token.limit(b"orders", Rights::ALL), left, "{rights} {topics:?}");
            assert_eq!(token.limit(b"orders", Rights::NONE), Rights::NONE);
        }
        let whole = |rights, topics| Token::new(&new(rights, topics), String::new(), 0).unwrap();
        assert!(whole("a", &[]).is_whole());
        assert!(!whole("a", &["orders"]).is_whole() && !whole("rwcnm", &[]).is_whole());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for rights in ["", "x", "r w", "R"] {
            let made = Token::new(&new(rights, &[]), String::new(), 0);
            assert_eq!(made.err(), Some(AccountError::Rights), "{rights}");
        }
        let late = NewToken { expires_at_ms: Some(5), ..new("r", &[]) };
        assert_eq!(Token::new(&late, String::new(), 5).err(), Some(AccountError::Expired));
        let token = Token::new(&late, String::new(), 4).unwrap();
        assert!(!token.is_expired(4) && token.is_expired(5));
        for name in ["", ".", "a b", "a/b", &"x".repeat(101)] {
            assert_eq!(check_name(name), Err(AccountError::TokenName), "{name}");
        }
        assert_eq!(check_name("ci-2.main_x"), Ok(()));
    }

    #[test]
    fn tokens_are_long_and_each_is_another() {
        let (one, other) = (fresh_token(), fresh_token());
        assert!(one.len() == 70 && one != other);
        assert_eq!(token_hash("a").len(), 64);
        assert_ne!(token_hash(&one), token_hash(&other));
    }
}
