//! What each door's client says.

mod blockqueue;
mod dsmq;
mod events;
mod fastqueue;
mod native;
mod okq;
mod otq;
mod websocket;

use super::speaker::Speaker;
use super::{BenchError, Door, Settings, Work};
use std::borrow::Cow;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It does the work.
    Worker,
    /// It listens to what is published.
    Listener,
}

/// The topic of the `nth` connection.
pub fn topic(settings: &Settings, nth: usize) -> Cow<'_, str> {
    match settings.work {
        Work::Roundtrip => Cow::Owned(format!("{}-{nth}", settings.topic)),
        Work::Publish | Work::Receive | Work::Pubsub => Cow::Borrowed(&settings.topic),
    }
}

/// Every topic of a run.
fn topics(settings: &Settings) -> impl Iterator<Item = Cow<'_, str>> {
    let count = if settings.work == Work::Roundtrip { settings.connections } else { 1 };
    (0..count).map(|nth| topic(settings, nth))
}

/// As far as a door cannot do it in another way: what is only pushed comes back as a push, one at
/// a time.
pub fn adapted(settings: &Settings) -> Cow<'_, Settings> {
    let pushed = matches!(settings.door, Door::Ws | Door::Sse);
    if settings.work != Work::Roundtrip || !pushed {
        return Cow::Borrowed(settings);
    }
    let window = settings.batch as u64;
    let one = Settings {
        work: Work::Pubsub,
        connections: 1,
        subscribers: 1,
        threads: 1,
        depth: 1,
        window,
        ..settings.clone()
    };
    Cow::Owned(one)
}

/// Makes the topics of a run.
pub fn prepare(settings: &Settings) -> Result<(), BenchError> {
    topics(settings).try_for_each(|topic| match settings.door {
        Door::Otq => otq::make(settings, &topic),
        Door::Http | Door::Ws | Door::Sse => native::make(settings, &topic),
        Door::Fastqueue => fastqueue::make(settings, &topic),
        Door::Blockqueue => blockqueue::make(settings, &topic),
        // Made by the first message.
        Door::Okq | Door::Dsmq => Ok(()),
    })
}

/// Takes them away again, or at least what is in them.
pub fn clear(settings: &Settings) -> Result<(), BenchError> {
    topics(settings).try_for_each(|topic| match settings.door {
        Door::Otq => otq::remove(settings, &topic),
        Door::Http | Door::Ws | Door::Sse => native::remove(settings, &topic),
        Door::Fastqueue => fastqueue::remove(settings, &topic),
        Door::Blockqueue => blockqueue::remove(settings, &topic),
        Door::Okq => okq::empty(settings, &topic),
        // What is there ends by itself.
        Door::Dsmq => Ok(()),
    })
}

/// The client of the `nth` connection.
pub fn speaker(settings: &Settings, role: Role, nth: usize) -> Box<dyn Speaker> {
    let topic = topic(settings, nth);
    match (settings.door, role) {
        (Door::Otq, role) => Box::new(otq::Otq::new(settings, &topic, role)),
        (Door::Http, _) | (Door::Ws | Door::Sse, Role::Worker) => {
            Box::new(native::Native::new(settings, &topic))
        }
        (Door::Ws, Role::Listener) => Box::new(websocket::Listener::new(settings, &topic)),
        (Door::Sse, Role::Listener) => Box::new(events::Listener::new(settings, &topic)),
        (Door::Okq, _) => Box::new(okq::Okq::new(settings, &topic, nth)),
        (Door::Dsmq, _) => Box::new(dsmq::Dsmq::new(settings, &topic)),
        (Door::Fastqueue, _) => Box::new(fastqueue::Fastqueue::new(settings, &topic)),
        (Door::Blockqueue, _) => Box::new(blockqueue::Blockqueue::new(settings, &topic)),
    }
}

/// Every text that follows a mark, up to the next quote.
fn quoted<'a>(body: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memchr::memmem::find_iter(body, mark).filter_map(move |at| {
        let rest = body.get(at + mark.len()..)?;
        rest.get(..memchr::memchr(b'"', rest)?)
    })
}

/// How many times a mark stands in some bytes.
fn count(body: &[u8], mark: &[u8]) -> usize {
    memchr::memmem::find_iter(body, mark).count()
}

/// The time in the body that follows a mark.
fn time_behind(bytes: &[u8], mark: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(bytes, mark)?;
    super::body::stamp(bytes.get(at + mark.len()..)?)
}

/// Of the messages that many listeners get, only some are asked how long they took.
#[derive(Debug)]
struct Sample {
    every: u32,
    left: u32,
}

impl Sample {
    /// All of them where there are few.
    fn new(settings: &Settings) -> Sample {
        let every = if settings.subscribers > 1 && settings.rate.is_none() { 16 } else { 1 };
        Sample { every, left: 1 }
    }

    fn next(&mut self) -> bool {
        self.left -= 1;
        if self.left == 0 {
            self.left = self.every;
            return true;
        }
        false
    }
}
