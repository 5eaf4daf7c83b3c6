//! The ids of messages at this door: UUIDs of version 4 that hold where the message came into the
//! world, so that an ack finds it without an index of ids.
//!
//! The 122 free bits are a mark (16), the number of the queue (32; 0 for a lone message, which is
//! found wherever it goes), the salt (26) and the sequence number (48), shuffled so that ids look as
//! random as a client may expect. Whatever a client makes up itself lacks the mark.

use crate::queue::Origin;
use uuid::Uuid;

const SEQ_BITS: u32 = 48;
const SALT_BITS: u32 = 26;
const QUEUE_BITS: u32 = 32;
const FREE_BITS: u32 = 122;
/// Tells our ids from others, but for one in 65536.
const MARK: u128 = 0x5eed;
const HALF: u64 = (1 << (FREE_BITS / 2)) - 1;
/// Fixed for ever: an id that a client has written down must be understood later.
const KEYS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// What an id says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coded {
    /// The queue in which it was shown; `None` for a lone message.
    pub queue: Option<u32>,
    /// Where it came into the world.
    pub origin: Origin,
}

fn mix(half: u64, key: u64) -> u64 {
    let mut bits = half.wrapping_add(key);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & HALF
}

/// Exchanges the halves again and again, each time changed by what the other one says: can be undone
/// by going back.
fn shuffle(bits: u128) -> u128 {
    let (mut high, mut low) = ((bits >> (FREE_BITS / 2)) as u64, bits as u64 & HALF);
    for key in KEYS {
        (high, low) = (low, high ^ mix(low, key));
    }
    u128::from(high) << (FREE_BITS / 2) | u128::from(low)
}

fn unshuffle(bits: u128) -> u128 {
    let (mut high, mut low) = ((bits >> (FREE_BITS / 2)) as u64, bits as u64 & HALF);
    for key in KEYS.into_iter().rev() {
        (high, low) = (low ^ mix(high, key), high);
    }
    u128::from(high) << (FREE_BITS / 2) | u128::from(low)
}

impl Coded {
    /// As a UUID of version 4.
    pub fn uuid(self) -> Uuid {
        let Coded { queue, origin } = self;
        let mut bits = MARK << QUEUE_BITS | u128::from(queue.unwrap_or(0));
        bits = bits << SALT_BITS | u128::from(origin.salt & ((1 << SALT_BITS) - 1));
        bits = bits << SEQ_BITS | u128::from(origin.seq & ((1 << SEQ_BITS) - 1));
        let bits = shuffle(bits);
        // 48 bits, the version, 12 bits, the variant, 62 bits.
        let (first, second, third) = (bits >> 74, (bits >> 62) & 0xfff, bits & ((1 << 62) - 1));
        Uuid::from_u128(first << 80 | 4 << 76 | second << 64 | 2 << 62 | third)
    }

    /// What a UUID says; `None`: it is none of ours.
    pub fn of(uuid: Uuid) -> Option<Coded> {
        if uuid.get_version_num() != 4 || uuid.get_variant() != uuid::Variant::RFC4122 {
            return None;
        }
        let all = uuid.as_u128();
        let bits = (all >> 80) << 74 | ((all >> 64) & 0xfff) << 62 | all & ((1 << 62) - 1);
        let bits = unshuffle(bits);
        if bits >> (SEQ_BITS + SALT_BITS + QUEUE_BITS) != MARK {
            return None;
        }
        let queue = (bits >> (SEQ_BITS + SALT_BITS)) as u32;
        let salt = (bits >> SEQ_BITS) as u32 & ((1 << SALT_BITS) - 1);
        let seq = (bits & ((1 << SEQ_BITS) - 1)) as u64;
        Some(Coded { queue: (queue != 0).then_some(queue), origin: Origin { salt, seq } })
    }
}

/// Reads a UUID as Python does: hyphens anywhere, any case, braces and `urn:uuid:` around it.
pub fn parse(text: &str) -> Option<Uuid> {
    let text = text.replace("urn:", "").replace("uuid:", "");
    let digits: String = text.trim_matches(['{', '}']).chars().filter(|c| *c != '-').collect();
    let fits = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u128::from_str_radix(&digits, 16).ok()).flatten().map(Uuid::from_u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_says_where_its_message_came_from() {
        let table = [
            (None, 0, 0),
            (None, 0x03ff_ffff, (1 << 48) - 1),
            (Some(1), 77, 9),
            (Some(u32::MAX), 1, 1 << 40),
        ];
        for (queue, salt, seq) in table {
            let coded = Coded { queue, origin: Origin { salt, seq } };
            let uuid = coded.uuid();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (4, uuid::Variant::RFC4122));
            assert_eq!(Coded::of(uuid), Some(coded));
        }
    }

    #[test]
    fn ids_never_change_their_meaning() {
        let coded =
            Coded { queue: None, origin: Origin { salt: 0x0123_4567 & 0x03ff_ffff, seq: 42 } };
        assert_eq!(coded.uuid().to_string(), KNOWN);
    }

    const KNOWN: &str = "1f797083-e034-44df-b7f6-727585e07fda";

    #[test]
    fn neighbours_do_not_look_like_neighbours() {
        let id = |seq| Coded { queue: None, origin: Origin { salt: 7, seq } }.uuid().as_u128();
        let different: u32 = (0..1000).map(|seq| (id(seq) ^ id(seq + 1)).count_ones()).sum();
        assert!((50_000..72_000).contains(&different), "{different}");
    }

    #[test]
    fn a_uuid_of_somebody_else_says_nothing() {
        let foreign = (0..200).filter(|_| Coded::of(Uuid::new_v4()).is_some()).count();
        assert!(foreign < 5);
        assert_eq!(Coded::of(Uuid::now_v7()), None);
        assert_eq!(Coded::of(Uuid::nil()), None);
    }

    #[test]
    fn a_uuid_is_read_in_every_form_that_python_reads() {
        let plain = "147d5f589dc54f698ab1107a799fd731";
        let expected = Some(Uuid::from_u128(0x147d5f58_9dc5_4f69_8ab1_107a799fd731));
        let table = [
            ("147d5f58-9dc5-4f69-8ab1-107a799fd731", expected),
            (plain, expected),
            ("147D5F58-9DC5-4F69-8AB1-107A799FD731", expected),
            ("{147d5f58-9dc5-4f69-8ab1-107a799fd731}", expected),
            ("urn:uuid:147d5f58-9dc5-4f69-8ab1-107a799fd731", expected),
            ("147d5f58", None),
            ("", None),
            ("zz7d5f589dc54f698ab1107a799fd731", None),
            ("+47d5f589dc54f698ab1107a799fd731", None),
        ];
        for (text, uuid) in table {
            assert_eq!(parse(text), uuid, "{text}");
        }
    }
}
