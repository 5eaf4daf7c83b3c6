//! The ways into the broker. The rules keep through which of them a message came and who had it;
//! nothing depends on it.

use serde::{Deserialize, Serialize};

/// A way into the broker. Its number is stored: none is ever given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// octoq's own HTTP requests.
    Http = 1,
    /// octoq's own WebSocket.
    Websocket = 2,
    /// Clients of octoque.
    Otq = 3,
    /// Clients of okQ.
    Okq = 4,
    /// Clients of dsmq.
    Dsmq = 5,
    /// Clients of fastqueue.
    Fastqueue = 6,
    /// Clients of blockqueue.
    Blockqueue = 7,
    /// Copied from another broker.
    Import = 8,
}

impl Door {
    /// All of them.
    pub const ALL: [Door; 8] = [
        Door::Http,
        Door::Websocket,
        Door::Otq,
        Door::Okq,
        Door::Dsmq,
        Door::Fastqueue,
        Door::Blockqueue,
        Door::Import,
    ];

    /// Its number, or 0 for none; below 16.
    #[inline]
    pub fn number(door: Option<Door>) -> u8 {
        door.map_or(0, |door| door as u8)
    }

    /// The door with a number; none for 0 and for one that a newer octoq gave.
    pub fn numbered(number: u64) -> Option<Door> {
        Door::ALL.into_iter().find(|door| *door as u64 == number)
    }

    /// Its name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Door::Http => "http",
            Door::Websocket => "websocket",
            Door::Otq => "otq",
            Door::Okq => "okq",
            Door::Dsmq => "dsmq",
            Door::Fastqueue => "fastqueue",
            Door::Blockqueue => "blockqueue",
            Door::Import => "import",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_is_read_back_from_its_number_and_its_name() {
        for door in Door::ALL {
            assert!(Door::number(Some(door)) < 16, "{door:?} fits into the flags of a row");
            assert_eq!(Door::numbered(Door::number(Some(door)).into()), Some(door));
            let name = serde_json::to_value(door).unwrap();
            assert_eq!(name, door.name());
            assert_eq!(serde_json::from_value::<Door>(name).unwrap(), door);
        }
        assert_eq!((Door::number(None), Door::numbered(0), Door::numbered(15)), (0, None, None));
        assert_eq!(size_of::<Option<Door>>(), 1);
    }
}
