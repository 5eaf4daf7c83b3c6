//! Password hashing (argon2id) and the memory of logins that were checked before.

use argon2::{
    Argon2, Params,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};
use std::{collections::VecDeque, fmt, sync::LazyLock};

/// The most memory a stored hash may ask for, KiB: octoque's own hashes ask for 262144.
const MEMORY_KIB_MAX: u32 = 1 << 20;
/// The most passes.
const PASSES_MAX: u32 = 16;
/// The most lanes.
const LANES_MAX: u32 = 16;

/// A password could not be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// An empty one would let everybody in who knows the name.
    #[error("an empty password is none")]
    Empty,
    /// In the words of the hasher.
    #[error("the password cannot be hashed: {0}")]
    Failed(String),
}

/// Hashes a password with a fresh salt into a PHC string. Takes some ten milliseconds and 19 MiB.
/// Every password that is set comes through here.
pub fn hash_password(password: &str) -> Result<String, HashError> {
    if password.is_empty() {
        return Err(HashError::Empty);
    }
    let hashed: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
    hashed.map(|hash| hash.to_string()).map_err(|error| HashError::Failed(error.to_string()))
}

/// A PHC string that a password can be checked against, at a bearable price.
fn parse(text: &str) -> Option<PasswordHash> {
    let parsed = PasswordHash::new(text).ok()?;
    let params = Params::try_from(&parsed).ok()?;
    let bearable = params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX;
    (bearable && parsed.hash.is_some()).then_some(parsed)
}

/// Whether it is a PHC string that a password can be checked against.
pub fn is_hash(text: &str) -> bool {
    parse(text).is_some()
}

/// Whether `password` belongs to the PHC string `hash`. `None` (no such user) is never right and
/// takes as long as a wrong password.
pub fn verify_password(password: &str, hash: Option<&str>) -> bool {
    static NOBODY: LazyLock<String> = LazyLock::new(|| hash_password("nobody").unwrap_or_default());
    let text = hash.unwrap_or(&NOBODY);
    let Some(parsed) = parse(text) else { return false };
    let right = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
    right && hash.is_some()
}

/// Logins that were checked, so that a reconnect costs microseconds: (user, password, hash) as one
/// keyed digest. A changed hash makes another digest, so nothing needs to be forgotten on a change.
pub struct Verified {
    key: [u8; 32],
    known: FxHashMap<[u8; 32], ()>,
    oldest_first: VecDeque<[u8; 32]>,
    max: usize,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("known", &self.known.len()).finish_non_exhaustive()
    }
}

impl Verified {
    /// Remembers at most `max` logins; the oldest goes first.
    pub fn new(max: usize) -> Self {
        let (one, other) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let mut key = [0; 32];
        key[..16].copy_from_slice(one.as_bytes());
        key[16..].copy_from_slice(other.as_bytes());
        Verified { key, known: FxHashMap::default(), oldest_first: VecDeque::new(), max }
    }

    fn digest(&self, user: &str, password: &str, hash: &str) -> [u8; 32] {
        let mut digest = Sha256::new();
        digest.update(self.key);
        for part in [user, password, hash] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        // The key again at the end, so that the digest cannot be extended.
        digest.update(self.key);
        digest.finalize().into()
    }

    /// This login was right before.
    pub fn contains(&self, user: &str, password: &str, hash: &str) -> bool {
        self.known.contains_key(&self.digest(user, password, hash))
    }

    /// This login is right.
    pub fn insert(&mut self, user: &str, password: &str, hash: &str) {
        if self.max == 0 {
            return;
        }
        let digest = self.digest(user, password, hash);
        if self.known.insert(digest, ()).is_none() {
            self.oldest_first.push_back(digest);
        }
        while self.known.len() > self.max {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verified_against_its_hash_only() {
        assert_eq!(hash_password(""), Err(HashError::Empty));
        let hash = hash_password("secret").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(verify_password("secret", Some(&hash)));
        assert!(!verify_password("Secret", Some(&hash)));
        assert!(!verify_password("nobody", None));
        assert_ne!(hash, hash_password("secret").unwrap(), "each has its own salt");
    }

    /// Made by another implementation (the reference C library) with octoque's parameters, once
    /// with little memory and once as octoque itself writes them.
    const FOREIGN: [&str; 2] = [
        "$argon2id$v=19$m=64,t=3,p=1$b2N0b3F1ZXNhbHRzYWx0MQ$kKAxc/Fs95H5e1XEpMgNbtepflS8U80JrgVgTV6GJec",
        "$argon2id$v=19$m=262144,t=3,p=1$b2N0b3F1ZXNhbHRzYWx0MQ$s8/6jKODAjtQFD8rZlU6O3ntYSgfeacwBhOQATyfYUw",
    ];

    #[test]
    fn a_hash_that_octoque_made_verifies() {
        for hash in FOREIGN {
            assert!(verify_password("password", Some(hash)), "{hash}");
        }
        assert!(!verify_password("passwort", Some(FOREIGN[0])));
    }

    #[test]
    fn hashes_that_are_none_or_too_dear_are_refused() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0c2Fs$YWJjZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXowMTIzNDU";
        for hash in [
            "".to_owned(),
            "plain".to_owned(),
            format!("$argon2id$v=19$m=4194304,t=3,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=65536,t=1000,p=1${salt_and_hash}"),
        ] {
            assert!(!verify_password("x", Some(&hash)), "{hash}");
        }
    }

    #[test]
    fn a_remembered_login_is_known_until_its_hash_changes_or_it_is_pushed_out() {
        let mut verified = Verified::new(2);
        verified.insert("a", "pw", "h1");
        assert!(verified.contains("a", "pw", "h1"));
        assert!(!verified.contains("a", "pw", "h2"));
        assert!(!verified.contains("ap", "w", "h1"), "parts do not run together");
        verified.insert("b", "pw", "h1");
        verified.insert("c", "pw", "h1");
        assert!(!verified.contains("a", "pw", "h1"));
        assert!(verified.contains("c", "pw", "h1"));
    }
}
