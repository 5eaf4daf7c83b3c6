//! okq: its queues in Redis, all versions since the keys have braces (2015 to 2017).
//!
//! | key | type | what |
//! |---|---|---|
//! | `queue:{Q}` | list | ids that wait, the next one at the right |
//! | `queue:{Q}:claimed` | list | ids that are held, the one held longest at the right |
//! | `queue:{Q}:items` | hash | id to contents, of both |
//! | `queue:{Q}:lock:ID` | string | there until the deadline of a held id |
//!
//! Sent to Redis: `SCAN`, `TYPE`, `MULTI` and `EXEC` around `LRANGE`, `HLEN` and `LLEN`, `HSTRLEN`,
//! `HMGET`, `PTTL`.
//! With a Redis Cluster each primary is a source of its own: a queue lies on one of them.

use super::{BATCH_BYTES_MAX, BATCH_MAX};
use super::{Found, FoundState, ImportError, Item, ItemPlace, Plan, PlannedQueue, PlannedTopic};
use crate::broker::clock;
use crate::queue::{Kind, NAME_BYTES_MAX, QueueName, QueuePolicy, Returns, Timestamp, TopicName};
use bytes::Bytes;
use redis::{Cmd, FromRedisValue, IntoConnectionInfo as _, cmd};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::time::Duration;

/// The topic of okq's queue without a name, as the okq door calls it.
const UNNAMED: &[u8] = b"\0okq: the queue without a name";

/// An okq's Redis.
pub struct Okq {
    url: String,
    name: Option<String>,
    redis: Option<redis::Connection>,
    queues: Vec<Vec<u8>>,
    /// Index of the queue that is read.
    at: usize,
    ids: Option<std::vec::IntoIter<Waits>>,
}

/// Contents, where there are any, and the milliseconds until the deadline: -2 for none.
type Contents = (Option<Vec<u8>>, i64);

/// An id and whether it is held.
struct Waits {
    id: Vec<u8>,
    held: bool,
}

/// How often something is asked before a broken connection ends the import.
const TRIES: u32 = 3;

fn key(queue: &[u8], end: &str) -> Vec<u8> {
    [b"queue:{", queue, b"}", end.as_bytes()].concat()
}

impl Okq {
    /// `redis://[user:password@]host:port/db`. `name`: under which it is remembered; the address
    /// without the password when there is none.
    pub fn new(url: String, name: Option<String>) -> Self {
        Okq { url, name, redis: None, queues: Vec::new(), at: 0, ids: None }
    }

    fn connected(&mut self) -> redis::RedisResult<&mut redis::Connection> {
        let redis = match self.redis.take() {
            Some(redis) => redis,
            None => {
                let client = redis::Client::open(self.url.as_str())?;
                let redis = client.get_connection_with_timeout(Duration::from_secs(10))?;
                redis.set_read_timeout(Some(Duration::from_secs(60)))?;
                redis
            }
        };
        Ok(self.redis.insert(redis))
    }

    /// Asks, on a new connection when one breaks (a signal may cut a wait short): every question may
    /// be asked again.
    fn with<T>(
        &mut self,
        ask: impl Fn(&mut redis::Connection) -> redis::RedisResult<T>,
    ) -> Result<T, ImportError> {
        let mut tries = 1;
        loop {
            match self.connected().and_then(&ask) {
                Err(error) if error.is_io_error() && tries < TRIES => {
                    tries += 1;
                    self.redis = None;
                }
                asked => {
                    return asked.map_err(|error| ImportError::source("Redis", error));
                }
            }
        }
    }

    fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, ImportError> {
        self.with(|redis| command.query(redis))
    }

    /// Names of queues, sorted.
    fn names(&mut self) -> Result<Vec<Vec<u8>>, ImportError> {
        let mut names = BTreeSet::new();
        let mut cursor = 0u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg("queue:{*").arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = self.ask(&scan)?;
            for key in keys {
                let Some((name, expected)) = queue_of(&key) else { continue };
                let found: String = self.ask(cmd("TYPE").arg(&key))?;
                if found == expected {
                    names.insert(name.to_vec());
                }
            }
            if next == 0 {
                return Ok(names.into_iter().collect());
            }
            cursor = next;
        }
    }

    /// The ids of a queue in the order in which they are to be handed out: what is held comes back
    /// to the right end, that which was held longest first.
    fn order(&mut self, queue: &[u8]) -> Result<Vec<Waits>, ImportError> {
        let mut lists = redis::pipe();
        lists.atomic().lrange(key(queue, ":claimed"), 0, -1).lrange(key(queue, ""), 0, -1);
        let (held, waiting): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
            self.with(|redis| lists.query(redis))?;
        let held = held.into_iter().rev().map(|id| Waits { id, held: true });
        let waiting = waiting.into_iter().rev().map(|id| Waits { id, held: false });
        Ok(held.chain(waiting).collect())
    }

    /// The contents of some events of a queue, with the milliseconds until their deadlines.
    fn contents(&mut self, queue: &[u8], waits: &[Waits]) -> Result<Vec<Contents>, ImportError> {
        let items = key(queue, ":items");
        let ids: Vec<&[u8]> = waits.iter().map(|waits| waits.id.as_slice()).collect();
        let mut found: Vec<Option<Vec<u8>>> = Vec::with_capacity(ids.len());
        for ids in self.by_size(&items, &ids)? {
            let read: Vec<Option<Vec<u8>>> = self.ask(cmd("HMGET").arg(&items).arg(ids))?;
            found.extend(read);
        }
        let mut locks = redis::pipe();
        for waits in waits.iter().filter(|waits| waits.held) {
            locks.cmd("PTTL").arg([key(queue, ":lock:"), waits.id.clone()].concat());
        }
        let left: Vec<i64> = match locks.is_empty() {
            true => Vec::new(),
            false => self.with(|redis| locks.query(redis))?,
        };
        let mut left = left.into_iter();
        let left = waits.iter().map(|waits| if waits.held { left.next() } else { None });
        Ok(found.into_iter().zip(left.map(|left| left.unwrap_or(-2))).collect())
    }

    /// Cuts ids into runs whose contents are read at once.
    fn by_size<'a>(
        &mut self,
        items: &[u8],
        ids: &'a [&'a [u8]],
    ) -> Result<Vec<&'a [&'a [u8]]>, ImportError> {
        let mut lengths = redis::pipe();
        for id in ids {
            lengths.cmd("HSTRLEN").arg(items).arg(id);
        }
        let lengths: Vec<usize> = self.with(|redis| lengths.query(redis))?;
        let (mut runs, mut first, mut bytes) = (Vec::new(), 0, 0);
        for (at, length) in lengths.into_iter().enumerate() {
            if at > first && bytes + length > BATCH_BYTES_MAX {
                runs.extend(ids.get(first..at));
                (first, bytes) = (at, 0);
            }
            bytes += length;
        }
        runs.extend(ids.get(first..).filter(|rest| !rest.is_empty()));
        Ok(runs)
    }
}

/// The queue a key belongs to, and the type that the key then has.
fn queue_of(key: &[u8]) -> Option<(&[u8], &'static str)> {
    let rest = key.strip_prefix(b"queue:{")?;
    let ends = [("}:items", "hash"), ("}:claimed", "list"), ("}", "list")];
    ends.iter().find_map(|(end, kind)| Some((rest.strip_suffix(end.as_bytes())?, *kind)))
}

impl super::Source for Okq {
    async fn plan(&mut self) -> Result<Plan, ImportError> {
        let names = self.names()?;
        if names.is_empty() {
            let what = "no key `queue:{name}:items` in this Redis database: not an okq's, or empty";
            return Err(ImportError::Unknown(what.into()));
        }
        let mut notes = Vec::new();
        let mut topics = Vec::new();
        for name in names {
            if name.len() > NAME_BYTES_MAX {
                let shown = String::from_utf8_lossy(&name);
                let shown: String = shown.chars().take(40).collect();
                notes.push(format!("queue `{shown}`: not copied, a name has at most 255 bytes"));
                continue;
            }
            let stranded = self.stranded(&name)?;
            if stranded > 0 {
                notes.push(format!(
                    "queue `{}`: {stranded} contents without a place in the queue, which okq never \
                     hands out, are not copied",
                    String::from_utf8_lossy(&name)
                ));
            }
            topics.push(PlannedTopic {
                name: TopicName::parse(if name.is_empty() { UNNAMED } else { &name })?,
                kind: Kind::Broker,
                capacity: 0,
                level: None,
                queues: vec![PlannedQueue { name: QueueName::default_queue(), policy: policy() }],
            });
            self.queues.push(name);
        }
        Ok(Plan {
            source: format!(
                "okq {}",
                self.name.clone().unwrap_or_else(|| without_secrets(&self.url))
            ),
            layout: format!("okq in Redis at {}", without_secrets(&self.url)),
            topics,
            notes,
            is_live: false,
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<Found>>, ImportError> {
        loop {
            let Some(queue) = self.queues.get(self.at).cloned() else { return Ok(None) };
            let mut ids = match self.ids.take() {
                Some(ids) => ids,
                None => self.order(&queue)?.into_iter(),
            };
            let page: Vec<Waits> = ids.by_ref().take(BATCH_MAX).collect();
            if page.is_empty() {
                self.at += 1;
                continue;
            }
            self.ids = Some(ids);
            let topic = self.at;
            let whole = self.contents(&queue, &page)?;
            let now = clock::now();
            let found = page.into_iter().zip(whole);
            let found = found.map(|(waits, (contents, left_ms))| match contents {
                Some(contents) => {
                    Found::Message(Box::new(item(topic, &queue, waits, contents, left_ms, now)))
                }
                // Acknowledged since the lists were read.
                None => Found::Left { topic, queue: 0, why: "without contents" },
            });
            return Ok(Some(found.collect()));
        }
    }
}

impl Okq {
    /// Contents whose id is in none of the two lists.
    fn stranded(&mut self, queue: &[u8]) -> Result<u64, ImportError> {
        let mut lengths = redis::pipe();
        lengths
            .atomic()
            .hlen(key(queue, ":items"))
            .llen(key(queue, ""))
            .llen(key(queue, ":claimed"));
        let (items, waiting, held): (u64, u64, u64) = self.with(|redis| lengths.query(redis))?;
        Ok(items.saturating_sub(waiting + held))
    }
}

/// An okq queue redelivers for ever, and what comes back is the next.
fn policy() -> QueuePolicy {
    QueuePolicy {
        max_deliveries: 0,
        ack_deadline_ms: 30_000,
        returns: Returns::Front,
        ..QueuePolicy::default()
    }
}

fn item(
    topic: usize,
    queue: &[u8],
    waits: Waits,
    contents: Vec<u8>,
    left_ms: i64,
    now: Timestamp,
) -> Item {
    // An id is free again after its ack, so the contents belong to what is remembered.
    let mut digest = Sha256::new();
    for part in [queue, &waits.id, &contents] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    let left = u64::try_from(left_ms).ok().filter(|left| *left > 0);
    let place = match waits.held {
        true => ItemPlace {
            state: FoundState::Held,
            attempts: 1,
            visible_at: left.map(|left| now.after(Duration::from_millis(left))),
            ..ItemPlace::waiting(0)
        },
        false => ItemPlace::waiting(0),
    };
    Item {
        topic,
        key: digest.finalize().iter().take(20).copied().collect(),
        body: contents.into(),
        id: Some(Bytes::from(waits.id)),
        places: vec![place],
        ..Item::default()
    }
}

/// The address without user and password.
fn without_secrets(url: &str) -> String {
    match url.into_connection_info() {
        Ok(info) => format!("{}/{}", info.addr(), info.redis_settings().db()),
        Err(_) => "?".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_told_from_its_keys() {
        type Row = (&'static [u8], Option<(&'static [u8], &'static str)>);
        let table: [Row; 8] = [
            (b"queue:{a}:items", Some((b"a", "hash"))),
            (b"queue:{a:b}:claimed", Some((b"a:b", "list"))),
            (b"queue:{a}", Some((b"a", "list"))),
            (b"queue:{\xff}", Some((b"\xff", "list"))),
            (b"queue:{}}}", Some((b"}}", "list"))),
            (b"queue:{a}:consumers", None),
            (b"queue:{a}:lock:1", None),
            (b"queue:a", None),
        ];
        for (key, expected) in table {
            assert_eq!(queue_of(key), expected, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn what_is_remembered_differs_with_queue_id_and_contents() {
        let key = |queue: &[u8], id: &[u8], contents: &[u8]| {
            let waits = Waits { id: id.to_vec(), held: false };
            item(0, queue, waits, contents.to_vec(), -2, Timestamp(0)).key
        };
        assert_eq!(key(b"q", b"1", b"x"), key(b"q", b"1", b"x"));
        let keys = [key(b"q", b"1", b"x"), key(b"q1", b"", b"x"), key(b"q", b"", b"1x")];
        assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), 3);
    }
}
