//! What may be done on a topic, as a set.

use std::ops::{BitAnd, BitOr};

/// A set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights(u8);

impl Rights {
    /// Nothing.
    pub const NONE: Rights = Rights(0);
    /// Look, and nothing else: figures, lists, messages where they lie, a live tail that takes nothing.
    pub const LOOK: Rights = Rights(32);
    /// Receive, ack, look, subscribe (octoque's `r`). Who may receive may look.
    pub const READ: Rights = Rights(1 | 32);
    /// Publish (octoque's `w`).
    pub const WRITE: Rights = Rights(2);
    /// Remove messages (octoque's `c`).
    pub const CLEAR: Rights = Rights(4);
    /// Make the topic (octoque's `n`).
    pub const CREATE: Rights = Rights(8);
    /// Change or delete the topic and its queues: its maker's and an admin's.
    pub const MANAGE: Rights = Rights(16);
    /// Everything.
    pub const ALL: Rights = Rights(63);

    /// Of octoque's letters r, w, n, c, m for [`Rights::MANAGE`] and l for [`Rights::LOOK`]; others
    /// mean nothing.
    pub fn from_letters(letters: &str) -> Rights {
        letters.chars().fold(Rights::NONE, |rights, letter| {
            rights
                | match letter.to_ascii_lowercase() {
                    'r' => Rights::READ,
                    'w' => Rights::WRITE,
                    'c' => Rights::CLEAR,
                    'n' => Rights::CREATE,
                    'm' => Rights::MANAGE,
                    'l' => Rights::LOOK,
                    _ => Rights::NONE,
                }
        })
    }

    /// All of `other` are in this.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// The first right in it, for a refusal.
    pub fn name(self) -> &'static str {
        match self {
            _ if self.contains(Rights::MANAGE) => "manage",
            _ if self.contains(Rights::CREATE) => "create",
            _ if self.contains(Rights::CLEAR) => "clear",
            _ if self.contains(Rights::WRITE) => "write",
            _ => "read",
        }
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Rights;

    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}
