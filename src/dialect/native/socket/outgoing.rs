//! The broker's side of the socket: the answer's body, a stream of frames.
//!
//! Pushes of pubsub topics do not pass through the session: a chunk that the topic has encoded for
//! all its subscribers goes to the socket as it is. A client that does not read stops this stream
//! and nothing else.

use crate::broker::subscribers::Ended;
use crate::broker::{Presence, Subscription, Traffic};
use crate::dialect::long_poll::Leash;
use crate::dialect::websocket;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream::SelectAll};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{sync::mpsc, time::timeout};

/// Pushes that are still sent behind the decision to close, so that a stop loses nothing that is
/// there already.
const LAST_CHUNKS_MAX: usize = 1024;

/// How long the last frame waits for a client that reads slowly.
pub const FAREWELL: Duration = Duration::from_secs(5);

enum Item {
    Frames(Bytes),
    Subscribe(Tagged),
    /// The last frame; before it what subscriptions have ready, if that is wanted.
    Close(Bytes, bool),
}

/// Seen from both sides.
struct Shared {
    traffic: Arc<Traffic>,
    /// Bytes of frames that wait to be written; pushes apart.
    waiting: Cell<usize>,
    /// Subscriptions that ended, for the session to hear of.
    ended: RefCell<VecDeque<(u64, Ended)>>,
    /// Wakes the session.
    session: RefCell<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = self.session.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The session's end.
pub struct Outbox {
    leash: Option<Leash>,
    items: mpsc::UnboundedSender<Item>,
    shared: Rc<Shared>,
}

/// A subscription on its way to the socket. Dropping this ends it.
pub struct Attached(Rc<Slot>);

struct Slot {
    subscription: RefCell<Option<Subscription>>,
    waker: RefCell<Option<Waker>>,
}

impl Drop for Attached {
    fn drop(&mut self) {
        drop(self.0.subscription.borrow_mut().take());
        // So that the stream lets go of the slot, too.
        if let Some(waker) = self.0.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

impl Outbox {
    /// Both ends.
    pub fn new(presence: Presence, leash: Option<Leash>) -> (Outbox, Outgoing) {
        // Bounded by the session: it asks for nothing more while `waiting` is above its bound.
        let (items, queue) = mpsc::unbounded_channel();
        let shared = Rc::new(Shared {
            traffic: presence.traffic.clone(),
            waiting: Cell::default(),
            ended: RefCell::default(),
            session: RefCell::default(),
        });
        let outgoing = Outgoing {
            items: queue,
            subscriptions: SelectAll::new(),
            shared: shared.clone(),
            last: None,
            over: false,
            _presence: presence,
        };
        (Outbox { leash, items, shared }, outgoing)
    }

    /// Bytes of frames that wait to be written.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.get()
    }

    /// What the session counts.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.shared.traffic
    }

    /// Sends whole frames.
    pub fn send(&self, frames: Bytes) {
        if frames.is_empty() {
            return;
        }
        self.shared.waiting.set(self.waiting() + frames.len());
        self.shared.traffic.buffer(frames.len());
        // A socket that is gone is noticed by the session where it reads.
        let _ = self.items.send(Item::Frames(frames));
    }

    /// Sends what a subscription pushes from now on, behind what was sent before.
    pub fn attach(&self, id: u64, subscription: Subscription) -> Attached {
        let slot = Rc::new(Slot {
            subscription: RefCell::new(Some(subscription)),
            waker: RefCell::default(),
        });
        let _ = self.items.send(Item::Subscribe(Tagged { id, slot: slot.clone() }));
        Attached(slot)
    }

    /// Sends the last frame. `drain`: behind what subscriptions have ready.
    pub fn close(&self, code: u16, reason: &str, drain: bool) {
        let mut frame = Vec::new();
        websocket::close(&mut frame, code, reason);
        let _ = self.items.send(Item::Close(frame.into(), drain));
    }

    /// The next subscription that has ended by the broker's will.
    pub fn poll_ended(&self, task: &mut Context<'_>) -> Poll<(u64, Ended)> {
        let ended = self.shared.ended.borrow_mut().pop_front();
        ended.map_or_else(|| self.wait(task), Poll::Ready)
    }

    /// Ready when at most so many bytes wait.
    pub fn poll_room(&self, bytes: usize, task: &mut Context<'_>) -> Poll<()> {
        if self.waiting() <= bytes { Poll::Ready(()) } else { self.wait(task) }
    }

    fn wait<T>(&self, task: &mut Context<'_>) -> Poll<T> {
        *self.shared.session.borrow_mut() = Some(task.waker().clone());
        Poll::Pending
    }

    /// Returns when the socket has taken everything it will. A client that does not read gets no
    /// close frame; whoever has left gets none, either.
    pub async fn finished(&self) {
        if timeout(FAREWELL, self.items.closed()).await.is_err()
            && let Some(leash) = &self.leash
        {
            leash.cut();
        }
    }
}

/// One subscription within the stream of all.
struct Tagged {
    id: u64,
    slot: Rc<Slot>,
}

enum Pushed {
    Chunk(Bytes),
    Ended(u64, Ended),
}

impl Stream for Tagged {
    type Item = Pushed;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Pushed>> {
        let mut slot = self.slot.subscription.borrow_mut();
        let Some(subscription) = slot.as_mut() else { return Poll::Ready(None) };
        match subscription.poll_chunk(task) {
            Poll::Ready(Some(chunk)) => Poll::Ready(Some(Pushed::Chunk(chunk))),
            Poll::Ready(None) => {
                let ended = subscription.ended();
                *slot = None;
                Poll::Ready(Some(Pushed::Ended(self.id, ended)))
            }
            Poll::Pending => {
                let mut waker = self.slot.waker.borrow_mut();
                if !waker.as_ref().is_some_and(|known| known.will_wake(task.waker())) {
                    *waker = Some(task.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// The body of the answer.
pub struct Outgoing {
    items: mpsc::UnboundedReceiver<Item>,
    subscriptions: SelectAll<Tagged>,
    shared: Rc<Shared>,
    /// The close frame, and how many chunks may still come before it.
    last: Option<(Bytes, usize)>,
    over: bool,
    _presence: Presence,
}

impl Outgoing {
    /// The next chunk of a subscription that is there.
    fn poll_pushed(&mut self, task: &mut Context<'_>) -> Poll<Bytes> {
        loop {
            match self.subscriptions.poll_next_unpin(task) {
                Poll::Ready(Some(Pushed::Chunk(chunk))) => return Poll::Ready(chunk),
                Poll::Ready(Some(Pushed::Ended(id, why))) => {
                    self.shared.ended.borrow_mut().push_back((id, why));
                    self.shared.wake();
                }
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Stream for Outgoing {
    type Item = Result<Bytes, io::Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while !this.over && this.last.is_none() {
            match this.items.poll_recv(task) {
                Poll::Ready(Some(Item::Frames(frames))) => {
                    let left = this.shared.waiting.get().saturating_sub(frames.len());
                    this.shared.waiting.set(left);
                    this.shared.traffic.unbuffer(frames.len());
                    this.shared.wake();
                    return Poll::Ready(Some(Ok(frames)));
                }
                Poll::Ready(Some(Item::Subscribe(tagged))) => this.subscriptions.push(tagged),
                Poll::Ready(Some(Item::Close(frame, drain))) => {
                    this.last = Some((frame, if drain { LAST_CHUNKS_MAX } else { 0 }));
                }
                // The session has ended without a word.
                Poll::Ready(None) => this.over = true,
                Poll::Pending => return this.poll_pushed(task).map(|chunk| Some(Ok(chunk))),
            }
        }
        let Some((frame, chunks)) = this.last.take() else { return Poll::Ready(None) };
        if let Some(fewer) = chunks.checked_sub(1)
            && let Poll::Ready(chunk) = this.poll_pushed(task)
        {
            this.last = Some((frame, fewer));
            return Poll::Ready(Some(Ok(chunk)));
        }
        // Behind a close frame nothing may follow.
        this.over = true;
        Poll::Ready(Some(Ok(frame)))
    }
}
