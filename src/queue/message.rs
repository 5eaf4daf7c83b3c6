//! What is published and what is handed out.

use super::{Content, Past, QueueName, Refusal, stored_bytes};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};
use uuid::Uuid;

/// Milliseconds since the Unix epoch, read once per event by the actor and handed to the rules.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Later than every event: "never".
    pub const NEVER: Timestamp = Timestamp(i64::MAX);

    /// This time and `span` more; stops at [`Timestamp::NEVER`].
    pub fn after(self, span: Duration) -> Timestamp {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(span_ms))
    }

    /// This time and that many milliseconds more; stops at [`Timestamp::NEVER`].
    #[inline]
    pub fn after_ms(self, span_ms: u64) -> Timestamp {
        Timestamp(self.0.saturating_add_unsigned(span_ms))
    }

    /// Milliseconds from `earlier` to this; zero when `earlier` is later.
    pub fn since_ms(self, earlier: Timestamp) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// The public id of a message.
///
/// An id that octoq makes is a UUID v7 which also holds the topic's salt and the sequence number
/// ([`MessageId::made`]), so that it costs no memory and is found without an index of ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MessageId {
    /// Made by octoq.
    Made(Uuid),
    /// The publisher's own: any bytes.
    Client(Bytes),
}

/// Bits of the sequence number that fit into a made id beside the salt.
const SEQ_BITS: u32 = 48;

impl MessageId {
    /// The id octoq makes: UUID v7 of `published_at`, with `salt` (26 bits) and `seq` (48 bits)
    /// in the 74 bits that version 7 leaves free.
    pub fn made(published_at: Timestamp, salt: u32, seq: u64) -> MessageId {
        let free: u128 =
            (u128::from(salt & 0x03ff_ffff) << SEQ_BITS) | u128::from(seq & ((1 << SEQ_BITS) - 1));
        let (high, low) = (free >> 62, free & ((1 << 62) - 1));
        let time_ms = u128::from(published_at.0.max(0) as u64 & ((1 << 48) - 1));
        MessageId::Made(Uuid::from_u128(
            (time_ms << 80) | (7 << 76) | (high << 64) | (2 << 62) | low,
        ))
    }

    /// The salt and the sequence number inside an id of the shape of [`MessageId::made`].
    pub fn origin(uuid: Uuid) -> Origin {
        let bits = uuid.as_u128();
        let free = (((bits >> 64) & 0xfff) << 62) | (bits & ((1 << 62) - 1));
        Origin { salt: (free >> SEQ_BITS) as u32, seq: (free & ((1 << SEQ_BITS) - 1)) as u64 }
    }

    /// Reads what a client sent: a hyphenated UUID is taken for a made id, all else for a client's own.
    pub fn parse(bytes: &[u8]) -> MessageId {
        match (bytes.len(), Uuid::try_parse_ascii(bytes)) {
            (36, Ok(uuid)) if uuid.get_version_num() == 7 => MessageId::Made(uuid),
            _ => MessageId::Client(Bytes::copy_from_slice(bytes)),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageId::Made(uuid) => write!(f, "{uuid}"),
            MessageId::Client(bytes) => write!(f, "{}", String::from_utf8_lossy(bytes)),
        }
    }
}

/// Longest ordering key, in bytes.
pub const ORDERING_KEY_BYTES_MAX: usize = 255;

/// What a publisher may say beside the body. Absent for most messages, so it lives behind a pointer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extra {
    /// The publisher's own id; unique in the topic while the message lives. One that nothing else was
    /// said beside lies before the body instead: [`Content`].
    #[serde(with = "stored_bytes", skip_serializing_if = "Option::is_none")]
    pub client_id: Option<Bytes>,
    /// Kept when a message was moved from the topic that made its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made_id: Option<Uuid>,
    /// A JSON object, as text, checked at the door.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Arc<str>>,
    /// When the publisher wanted it to become visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_at: Option<Timestamp>,
    /// After this nobody gets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// A second message with this key within the topic's window is not stored.
    #[serde(with = "stored_bytes", skip_serializing_if = "Option::is_none")]
    pub dedup_key: Option<Bytes>,
    /// In each queue at most one message with this key is in flight, and they are handed out in the
    /// order in which they were published. 1 to [`ORDERING_KEY_BYTES_MAX`] bytes.
    #[serde(with = "stored_bytes", skip_serializing_if = "Option::is_none")]
    pub ordering_key: Option<Bytes>,
    /// 0 to 9; the highest is handed out first.
    #[serde(skip_serializing_if = "is_zero")]
    pub priority: u8,
    /// Put before everything that waits (okQ's push at the left), not behind.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub front: bool,
    /// What became of it before it came here. Taken out when it is published: its parts are kept
    /// where they are for every message.
    #[serde(skip)]
    pub past: Option<Box<Past>>,
}

impl Extra {
    /// Errors: `OutOfBounds` for an ordering key that is empty or too long.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.ordering_key.as_ref().map_or(1, Bytes::len) {
            1..=ORDERING_KEY_BYTES_MAX => Ok(()),
            _ => Err(Refusal::OutOfBounds("ordering_key")),
        }
    }

    /// The past of a message, and what stays of its extra; nothing when that says nothing.
    pub(super) fn without_past(extra: Option<Arc<Extra>>) -> (Option<Arc<Extra>>, Option<Past>) {
        match extra {
            Some(extra) if extra.past.is_some() => {
                let mut extra = Arc::unwrap_or_clone(extra);
                let past = extra.past.take().map(|past| *past);
                ((extra != Extra::default()).then(|| Arc::new(extra)), past)
            }
            extra => (extra, None),
        }
    }
}

fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// One message on its way in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewMessage {
    /// The client's bytes, never changed, and before them its own id for the message, unless that is
    /// in `extra`.
    pub body: Content,
    /// `None` when the publisher said nothing beside the body and its own id.
    pub extra: Option<Arc<Extra>>,
}

impl NewMessage {
    /// A message that is only a body.
    pub fn plain(body: impl Into<Content>) -> Self {
        NewMessage { body: body.into(), extra: None }
    }

    /// A message with an id of the publisher's and nothing else.
    pub fn with_id(id: &[u8], body: &[u8]) -> Self {
        // Before the body, an empty one would be none.
        let empty = || Arc::new(Extra { client_id: Some(Bytes::new()), ..Extra::default() });
        let extra = id.is_empty().then(empty);
        NewMessage { body: Content::with_id(id, body), extra }
    }

    /// A message with whatever was said beside the body.
    pub fn new(body: Bytes, extra: Extra) -> Self {
        let only_id = Extra { client_id: extra.client_id.clone(), ..Extra::default() };
        match &extra.client_id {
            Some(id) if extra == only_id => NewMessage::with_id(id, &body),
            None if extra == only_id => NewMessage::plain(body),
            _ => NewMessage { body: body.into(), extra: Some(Arc::new(extra)) },
        }
    }

    /// The publisher's own id.
    pub fn own_id(&self) -> Option<&[u8]> {
        own_id(Some(&self.body), self.extra.as_deref())
    }

    /// What was said beside the body, the own id with it.
    pub(super) fn extra_with_id(&self) -> Option<Arc<Extra>> {
        let Some(id) = self.body.own_id() else { return self.extra.clone() };
        let extra = self.extra.as_deref().cloned().unwrap_or_default();
        Some(Arc::new(Extra { client_id: Some(Bytes::copy_from_slice(id)), ..extra }))
    }

    /// The body alone, and the own id with all else that was said.
    pub(super) fn id_apart(self) -> NewMessage {
        if self.body.own_id().is_none() {
            return self;
        }
        let extra = self.extra_with_id();
        NewMessage { body: self.body.into_body().into(), extra }
    }

    /// The own id lies before the body only if nothing else was said.
    pub(super) fn gathered(self) -> NewMessage {
        if self.extra.is_some() { self.id_apart() } else { self }
    }
}

/// The publisher's own id of a message, which is with its body or with what else was said.
#[inline]
pub(super) fn own_id<'a>(body: Option<&'a Content>, extra: Option<&'a Extra>) -> Option<&'a [u8]> {
    body.and_then(Content::own_id).or_else(|| extra?.client_id.as_deref())
}

/// What became of a published message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Its id; of the first one when it was a duplicate. `None`: the id that the publisher gave it.
    pub id: Option<MessageId>,
    /// Its number in the topic; of the first one when it was a duplicate.
    pub seq: u64,
    /// True: an earlier message with the same dedup key is within the window, nothing was stored.
    pub duplicate: bool,
}

/// Where a message came into the world: what its id would hold if octoq had made it. A message and
/// the copies that were split from it share it; a [lone](Message::lone) one has it for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The 26 bits of the topic that published it.
    pub salt: u32,
    /// Its number in that topic.
    pub seq: u64,
}

/// One of the independent messages that a publish of copies made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCopy {
    /// The queue that has it.
    pub queue: QueueName,
    /// The queue can be named without its topic.
    pub global: bool,
    /// What tells it from every other message.
    pub origin: Origin,
    /// When it was published.
    pub published_at: Timestamp,
    /// When it is handed out first.
    pub visible_at: Timestamp,
    /// When it ends; [`Timestamp::NEVER`] for none.
    pub expires_at: Timestamp,
}

/// A message as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The salt of the topic that published it; see [`Message::origin`].
    pub salt: u32,
    /// It was published into one queue only, and no copy was split from it.
    pub lone: bool,
    /// Its number in the topic, ascending from 1.
    pub seq: u64,
    /// Number in the store; names the row when `body` must be paged in.
    pub number: u64,
    /// The publisher's bytes; `None`: on disk, the engine fills it in before anybody sees it.
    pub body: Option<Content>,
    /// When it was published.
    pub published_at: Timestamp,
    /// What else the publisher said.
    pub extra: Option<Arc<Extra>>,
}

impl Message {
    /// The body, empty while it is on disk. Doors see only messages whose body is there.
    pub fn body(&self) -> &[u8] {
        self.body.as_ref().map(Content::body).unwrap_or_default()
    }

    /// Its public id.
    pub fn id(&self) -> MessageId {
        match (self.own_id(), self.extra.as_deref()) {
            (Some(id), _) => MessageId::Client(Bytes::copy_from_slice(id)),
            (None, Some(Extra { made_id: Some(id), .. })) => MessageId::Made(*id),
            (None, _) => MessageId::made(self.published_at, self.salt, self.seq),
        }
    }

    /// The publisher's own id, if it gave one.
    #[inline]
    pub fn own_id(&self) -> Option<&[u8]> {
        own_id(self.body.as_ref(), self.extra.as_deref())
    }

    /// Where it came into the world.
    pub fn origin(&self) -> Origin {
        Origin { salt: self.salt, seq: self.seq }
    }

    /// Its ordering key, if it has one.
    pub fn ordering_key(&self) -> Option<&[u8]> {
        self.extra.as_ref()?.ordering_key.as_deref()
    }

    /// The attributes as JSON text, if there are any.
    pub fn attributes(&self) -> Option<&str> {
        self.extra.as_ref()?.attributes.as_deref()
    }
}

/// Names one delivery of one queue. Never used twice: the stamp also differs between two runs of
/// the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt {
    /// The queue's number.
    pub queue: u32,
    /// Where the delivery is kept.
    pub slot: u32,
    /// Which delivery of that place.
    pub stamp: u64,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:08x}{:016x}", self.queue, self.slot, self.stamp)
    }
}

/// Text that is not a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a receipt: 32 hexadecimal digits are expected")]
pub struct NotAReceipt;

impl FromStr for Receipt {
    type Err = NotAReceipt;

    fn from_str(text: &str) -> Result<Self, NotAReceipt> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAReceipt);
        }
        let bits = u128::from_str_radix(text, 16).map_err(|_| NotAReceipt)?;
        Ok(Receipt { queue: (bits >> 96) as u32, slot: (bits >> 64) as u32, stamp: bits as u64 })
    }
}

/// How a client names the message it acks, nacks or extends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// By the receipt of its delivery.
    Receipt(Receipt),
    /// By its id within one queue; means the delivery that is in flight.
    Id {
        /// The queue's number.
        queue: u32,
        /// The public id.
        id: MessageId,
    },
    /// By where it came into the world, whatever its state in the queue.
    Origin {
        /// The queue's number; `None`: the one that holds it, if it is lone.
        queue: Option<u32>,
        /// What tells the message from others.
        origin: Origin,
    },
    /// By its id within one queue, whatever its state there (ready, delayed, in flight, dead).
    Anywhere {
        /// The queue's number.
        queue: u32,
        /// The public id.
        id: MessageId,
    },
}

/// A message handed to one consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Names this delivery; `None` when it was taken for good (receive without ack).
    pub receipt: Option<Receipt>,
    /// 1 on the first delivery.
    pub attempt: u32,
    /// When it was handed out.
    pub at: Timestamp,
    /// Until when it may be acked; [`Timestamp::NEVER`] when it was taken for good.
    pub deadline: Timestamp,
    /// When the message ends, by its own life or the queue's retention; [`Timestamp::NEVER`] for none.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_id_is_a_uuid_v7_that_holds_salt_and_seq() {
        for (ms, salt, seq) in
            [(0, 0, 0), (1_700_000_000_123, 0x03ff_ffff, (1 << 48) - 1), (5, 77, 9)]
        {
            let MessageId::Made(uuid) = MessageId::made(Timestamp(ms), salt, seq) else { panic!() };
            assert_eq!(uuid.get_version_num(), 7);
            assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
            assert_eq!(MessageId::origin(uuid), Origin { salt, seq });
            assert_eq!(uuid.as_u128() >> 80, ms as u128);
            assert_eq!(MessageId::parse(uuid.to_string().as_bytes()), MessageId::Made(uuid));
        }
    }

    #[test]
    fn a_receipt_is_read_back_from_its_text() {
        let receipt = Receipt { queue: 7, slot: u32::MAX, stamp: 0x0123_4567_89ab_cdef };
        assert_eq!(receipt.to_string().parse(), Ok(receipt));
        for text in ["", "zz", "+0000000000000000000000000000001", &"0".repeat(33)] {
            assert_eq!(text.parse::<Receipt>(), Err(NotAReceipt), "{text}");
        }
    }
}
