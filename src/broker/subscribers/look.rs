//! How pushes look, and what happens to who cannot follow.

use crate::broker::connections::Traffic;
use crate::queue::{Gap, Message, TopicName};
use bytes::BytesMut;
use std::{fmt, sync::Arc};

/// Where pushes come from, for formats that say so.
#[derive(Debug, Clone)]
pub struct PushSource {
    /// The topic.
    pub topic: TopicName,
    /// Its epoch.
    pub epoch: u32,
    /// What the subscriber wants its pushes to be marked with.
    pub label: Option<Arc<str>>,
    /// The message is masked: how long its body is, bytes.
    pub masked: Option<u64>,
}

/// How pushes look to one family of clients.
#[derive(Clone, Copy)]
pub struct PushFormat {
    /// Tells formats apart.
    pub name: &'static str,
    /// Appends one message.
    pub message: fn(&PushSource, &Message, &mut BytesMut),
    /// Appends the notice that messages are missing; nothing where the format has no word for it.
    pub gap: fn(&PushSource, &Gap, &mut BytesMut),
}

impl fmt::Debug for PushFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// How pushes look to one subscriber.
#[derive(Debug, Clone)]
pub struct Look {
    /// The same for its family of clients.
    pub format: PushFormat,
    /// What its own are marked with, where the format has a place for it.
    pub label: Option<Arc<str>>,
    /// Where it is counted.
    pub traffic: Option<Arc<Traffic>>,
}

impl From<PushFormat> for Look {
    fn from(format: PushFormat) -> Self {
        Look { format, label: None, traffic: None }
    }
}

impl Look {
    /// Counted by this session.
    pub fn counted(mut self, traffic: &Arc<Traffic>) -> Look {
        self.traffic = Some(traffic.clone());
        self
    }
}

/// What happens to a subscriber that cannot follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlowPolicy {
    /// It misses the oldest, and is told the gap.
    DropOldest,
    /// It is disconnected.
    Disconnect,
}
