//! What became of a message before it came here: for messages that are copied from another broker
//! with their state.

use super::{DeadLetter, QueueName, Timestamp};

/// The life of a message so far. Where it says nothing, the message is like a new one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Past {
    /// When it was first published; `None`: now. Later than now counts as now.
    pub published_at: Option<Timestamp>,
    /// Until when its queue keeps it, in the place of what the retention there would say. Only for a
    /// message in one queue.
    pub kept_until: Option<Timestamp>,
    /// The queues it is still in, each at most once; filters are not asked again. Empty: the queues
    /// that take a new message, as a new message.
    pub places: Vec<PastPlace>,
}

/// How far a message got in one queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastPlace {
    /// The queue.
    pub queue: QueueName,
    /// Deliveries so far that count.
    pub attempts: u32,
    /// Not visible before: a delay, or a delivery elsewhere whose deadline still runs.
    pub visible_at: Option<Timestamp>,
    /// Set when it is a dead letter; it stays in this queue.
    pub dead: Option<DeadLetter>,
}

impl Past {
    /// It speaks of queues, which a history has none of.
    pub(super) fn is_of_queues(&self) -> bool {
        !self.places.is_empty() || self.kept_until.is_some()
    }
}

impl PastPlace {
    /// A message that waits in `queue` and was never handed out.
    pub fn waiting(queue: QueueName) -> Self {
        PastPlace { queue, attempts: 0, visible_at: None, dead: None }
    }

    /// Nothing happened to it here yet.
    pub(super) fn is_new(&self) -> bool {
        self.attempts == 0 && self.dead.is_none()
    }
}
