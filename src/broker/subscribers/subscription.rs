//! A session's end of a subscription.

use super::*;
use crate::broker::connections::Traffic;
use crate::broker::messages::{Drained, Unsubscribe};
use crate::broker::topic::TopicActor;
use crate::queue::Position;
use std::{
    sync::atomic::{AtomicBool, AtomicU8},
    task::{Context, Poll},
};

/// Why a subscription ended, from the broker's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Ended {
    /// It did not end, or the subscriber ended it.
    No = 0,
    /// It could not follow.
    TooSlow = 1,
    /// The topic was deleted.
    TopicDeleted = 2,
    /// The broker stops, or the topic failed for good.
    Stopped = 3,
}

/// Seen from both sides of a subscription.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The topic offers nothing more until it hears [`Drained`].
    pub(super) lagging: AtomicBool,
    pub(super) ended: AtomicU8,
    pub(super) traffic: Option<Arc<Traffic>>,
}

impl Shared {
    /// A chunk was written, or never will be.
    fn unbuffer(&self, chunk: &Bytes) {
        if let Some(traffic) = &self.traffic {
            traffic.unbuffer(chunk.len());
        }
    }
}

/// A session's end of a subscription. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription {
    pub(super) id: u64,
    pub(super) topic: WeakTopic,
    pub(super) chunks: mpsc::Receiver<Bytes>,
    pub(super) shared: Arc<Shared>,
    /// The topic's epoch when it was made.
    pub epoch: u32,
    /// The first sequence number it gets, backlog apart.
    pub next: u64,
    /// The first sequence number it gets, backlog included.
    pub first: u64,
}

impl Subscription {
    /// The next chunk of encoded pushes; `None` when the subscription has ended.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let polled = self.chunks.poll_recv(cx);
        if let Poll::Ready(Some(chunk)) = &polled {
            self.shared.unbuffer(chunk);
        }
        if polled.is_pending() && self.shared.lagging.swap(false, Ordering::AcqRel) {
            self.tell(Drained(self.id));
        }
        polled
    }

    /// [`Self::poll_chunk`] as a future.
    pub async fn chunk(&mut self) -> Option<Bytes> {
        std::future::poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// A chunk that is there already.
    pub fn try_chunk(&mut self) -> Option<Bytes> {
        let chunk = self.chunks.try_recv().ok()?;
        self.shared.unbuffer(&chunk);
        Some(chunk)
    }

    /// Where a subscriber is that said where it was, and has heard nothing yet: what it would say when
    /// it came back now. In front of a gap that it is still to be told.
    pub fn position(&self, said: Option<Position>) -> Position {
        let seq = match said {
            None => self.first.saturating_sub(1),
            Some(Position { epoch, seq }) if epoch == self.epoch => {
                seq.min(self.next.saturating_sub(1))
            }
            Some(_) => 0,
        };
        Position { epoch: self.epoch, seq }
    }

    /// Why it ended.
    pub fn ended(&self) -> Ended {
        match self.shared.ended.load(Ordering::Acquire) {
            1 => Ended::TooSlow,
            2 => Ended::TopicDeleted,
            3 => Ended::Stopped,
            _ => Ended::No,
        }
    }

    fn tell<M>(&self, message: M)
    where
        M: actix::Message + Send + 'static,
        M::Result: Send,
        TopicActor: actix::Handler<M>,
    {
        if let Some(topic) = self.topic.upgrade() {
            topic.do_send(message);
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tell(Unsubscribe(self.id));
        self.chunks.close();
        while self.try_chunk().is_some() {}
        if let Some(traffic) = &self.shared.traffic {
            traffic.unsubscribed();
        }
    }
}
