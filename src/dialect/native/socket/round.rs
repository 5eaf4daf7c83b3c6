//! The requests that one stretch of reading held, by topic: one mailbox message for each topic.

use super::request::Req;
use crate::broker::{Asked, Op, TopicHandle};
use crate::queue::{Level, Receipt};

/// What is answered when the topic has answered.
pub struct Due {
    /// What the client calls the request.
    pub req: Req,
    /// Bytes of bodies that it publishes.
    pub bytes: usize,
    /// What it was.
    pub what: What,
}

/// What a request was.
pub enum What {
    /// A publish.
    Published {
        /// One message, not a list.
        single: bool,
        /// The ids that the publisher chose.
        own: Vec<Option<String>>,
        /// What the confirmation stands for.
        durability: Level,
    },
    /// An ack, nack or extend.
    Settled {
        /// Of these.
        receipts: Vec<Receipt>,
        /// One receipt, not a list.
        single: bool,
    },
    /// A request that wants a reply, by its number.
    Called(u64),
}

/// Ops for topics, in the order of the requests for each.
#[derive(Default)]
pub struct Round {
    parts: Vec<(TopicHandle, Vec<Op>, Vec<Due>)>,
}

impl Round {
    /// Adds one op.
    pub fn add(&mut self, topic: TopicHandle, op: Op, due: Due) {
        let same = |(known, _, _): &&mut (TopicHandle, _, _)| known.is_same(&topic);
        match self.parts.iter_mut().find(same) {
            Some((_, ops, dues)) => {
                ops.push(op);
                dues.push(due);
            }
            None => self.parts.push((topic, vec![op], vec![due])),
        }
    }

    /// Sends everything to its topic.
    pub fn submit(&mut self) -> impl Iterator<Item = (Asked, Vec<Due>)> + use<> {
        let parts = std::mem::take(&mut self.parts);
        parts.into_iter().map(|(topic, ops, dues)| (topic.ask_all(ops), dues))
    }
}
