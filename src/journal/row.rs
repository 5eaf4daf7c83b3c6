//! How a message and its small companions lie in a table row, and the crc32c that guards each row.
//!
//! The checksum goes over every other column, so a flipped bit anywhere in a row is found when the
//! row is read: SQLite itself has no checksums in its main file.

use crate::queue::{Door, Extra, Place, Stored, Timestamp};
use bytes::Bytes;
use rusqlite::{Row, types::ValueRef};

/// Lies in the history of a pubsub topic.
pub(super) const HISTORY: u32 = 1;
/// History: published while subscribers were attached.
pub(super) const CLAIMED: u32 = 2;
/// Its places are rows of `ref`.
pub(super) const SHARED: u32 = 4;
/// It was published into one queue only, and no copy was split from it.
pub(super) const LONE: u32 = 8;
/// `expires` is also the end of what its queue's retention gives it.
pub(super) const STAMPED: u32 = 16;
/// From here on four bits are the number of the door it came through, 0 for none.
const DOOR_SHIFT: u32 = 8;

/// Through which door a message came, from its flags.
pub(super) fn door_of(flags: u32) -> Option<Door> {
    Door::numbered(u64::from(flags >> DOOR_SHIFT & 15))
}

/// The columns of `msg` as every reader of whole rows asks for them.
pub(super) const MESSAGE_COLUMNS: &str =
    "id, topic, queue, seq, flags, published, visible, expires, extra, body, crc";

/// What the publisher said beside the body: the column `extra`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// Nothing: NULL.
    Nothing,
    /// Its own id and nothing else: a blob.
    Id(&'a [u8]),
    /// JSON text.
    Json(&'a str),
}

impl<'a> Said<'a> {
    /// The column.
    pub fn value(self) -> ValueRef<'a> {
        match self {
            Said::Nothing => ValueRef::Null,
            Said::Id(id) => ValueRef::Blob(id),
            Said::Json(json) => ValueRef::Text(json.as_bytes()),
        }
    }

    /// Reads the column; `None`: of a wrong type.
    pub fn read(column: ValueRef<'a>) -> Option<Self> {
        Some(match column {
            ValueRef::Null => Said::Nothing,
            ValueRef::Blob(id) => Said::Id(id),
            ValueRef::Text(text) => Said::Json(std::str::from_utf8(text).ok()?),
            ValueRef::Integer(_) | ValueRef::Real(_) => return None,
        })
    }

    fn bytes(self) -> &'a [u8] {
        match self {
            Said::Nothing => &[],
            Said::Id(id) => id,
            Said::Json(json) => json.as_bytes(),
        }
    }

    /// Its part of the checksum: which it is, and how long.
    fn word(self) -> u64 {
        match self {
            Said::Nothing => u64::MAX,
            Said::Id(id) => id.len() as u64 | 1 << 63,
            Said::Json(json) => json.len() as u64,
        }
    }

    /// As the rules know it.
    ///
    /// Errors: text that is not the JSON it should be.
    pub fn extra(self) -> Result<Option<Extra>, serde_json::Error> {
        match self {
            Said::Nothing => Ok(None),
            Said::Id(id) => {
                let client_id = Some(Bytes::copy_from_slice(id));
                Ok(Some(Extra { client_id, ..Extra::default() }))
            }
            Said::Json(json) => serde_json::from_str(json).map(Some),
        }
    }
}

/// One row of `msg`, borrowed from where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageRow<'a> {
    pub id: u64,
    pub topic: u32,
    pub queue: Option<u32>,
    pub seq: u64,
    pub flags: u32,
    pub published: i64,
    pub visible: i64,
    pub expires: i64,
    pub extra: Said<'a>,
    pub body: &'a [u8],
}

impl<'a> MessageRow<'a> {
    /// The row of a message that is published; `json`: its `extra`.
    pub fn of(message: &'a Stored, json: Option<&'a str>) -> Self {
        let extra = match (json, message.body.own_id()) {
            (Some(json), _) => Said::Json(json),
            (None, Some(id)) => Said::Id(id),
            (None, None) => Said::Nothing,
        };
        let (queue, flags) = match &message.place {
            Place::Queue(queue) => (Some(*queue), LONE),
            Place::Queues(_) => (None, SHARED),
            Place::History { claimed: true } => (None, HISTORY | CLAIMED),
            Place::History { claimed: false } => (None, HISTORY),
        };
        let flags = if message.stamped { flags | STAMPED } else { flags };
        let flags = flags | u32::from(Door::number(message.door)) << DOOR_SHIFT;
        MessageRow {
            id: message.number,
            topic: message.topic,
            queue,
            seq: message.seq,
            flags,
            published: message.published_at.0,
            visible: message.visible_at.0,
            expires: message.expires_at.0,
            extra,
            body: message.body.body(),
        }
    }

    /// Reads [`MESSAGE_COLUMNS`]; `None` when a column has a wrong type or the checksum disagrees.
    pub fn read(row: &'a Row<'_>) -> Option<Self> {
        let published = integer(row, 5)?;
        let message = MessageRow {
            id: integer(row, 0)?.cast_unsigned(),
            topic: integer(row, 1)?.try_into().ok()?,
            queue: optional(row, 2)?.map(u32::try_from).transpose().ok()?,
            seq: integer(row, 3)?.cast_unsigned(),
            flags: integer(row, 4)?.try_into().ok()?,
            published,
            visible: optional(row, 6)?.unwrap_or(published),
            expires: optional(row, 7)?.unwrap_or(Timestamp::NEVER.0),
            extra: Said::read(row.get_ref(8).ok()?)?,
            body: row.get_ref(9).ok()?.as_blob().ok()?,
        };
        (u32::try_from(integer(row, 10)?).ok()? == message.crc()).then_some(message)
    }

    /// The checksum over all columns.
    pub fn crc(&self) -> u32 {
        let words = [
            self.id,
            u64::from(self.topic),
            self.queue.map_or(u64::MAX, u64::from),
            self.seq,
            u64::from(self.flags),
            self.published.cast_unsigned(),
            self.visible.cast_unsigned(),
            self.expires.cast_unsigned(),
            self.extra.word(),
        ];
        let head = crc_of_words(0, &words);
        let extra = crc32c::crc32c_append(head, self.extra.bytes());
        crc32c::crc32c_append(extra, self.body)
    }

    /// `visible` as it is stored: absent when it is the publish time.
    pub fn visible_column(&self) -> Option<i64> {
        (self.visible != self.published).then_some(self.visible)
    }

    /// `expires` as it is stored: absent for never.
    pub fn expires_column(&self) -> Option<i64> {
        (self.expires != Timestamp::NEVER.0).then_some(self.expires)
    }
}

fn crc_of_words<const N: usize>(crc: u32, words: &[u64; N]) -> u32 {
    let mut bytes = [[0u8; 8]; N];
    for (to, word) in bytes.iter_mut().zip(words) {
        *to = word.to_le_bytes();
    }
    crc32c::crc32c_append(crc, bytes.as_flattened())
}

/// The checksum of a small row: its numbers, then its texts with their lengths.
pub(super) fn crc_of<const N: usize>(numbers: [u64; N], texts: &[&[u8]]) -> u32 {
    texts.iter().fold(crc_of_words(0, &numbers), |crc, text| {
        crc32c::crc32c_append(crc_of_words(crc, &[text.len() as u64]), text)
    })
}

/// A column that must hold a number.
pub(super) fn integer(row: &Row<'_>, column: usize) -> Option<i64> {
    row.get_ref(column).ok()?.as_i64().ok()
}

/// A column that holds a number or nothing; the outer `None` is a wrong type.
pub(super) fn optional(row: &Row<'_>, column: usize) -> Option<Option<i64>> {
    row.get_ref(column).ok()?.as_i64_or_null().ok()
}

/// A column that must hold UTF-8 text.
pub(super) fn text<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a str> {
    row.get_ref(column).ok()?.as_str().ok()
}

/// A column that must hold bytes.
pub(super) fn blob<'a>(row: &'a Row<'_>, column: usize) -> Option<&'a [u8]> {
    row.get_ref(column).ok()?.as_blob().ok()
}

/// The last column: does the stored checksum equal this one?
pub(super) fn crc_holds(row: &Row<'_>, column: usize, crc: u32) -> bool {
    integer(row, column) == Some(i64::from(crc))
}
