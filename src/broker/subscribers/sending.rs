//! One round of pushing: what is read is encoded once per format, and shared by all who want it.

use super::*;
use crate::queue::{Message, ReadBatch};
use bytes::BytesMut;

/// One encoded stretch of history, shared by all who are at its start.
struct Encoded {
    format: &'static str,
    label: Option<Arc<str>>,
    masked: bool,
    from: u64,
    next: u64,
    messages: u64,
    chunk: Bytes,
}

/// Chunks made during one round of pushing.
#[derive(Default)]
pub struct Round {
    encoded: VecDeque<Encoded>,
}

/// Chunks of one round that are looked through for one to share: enough for what a subscriber's
/// channel holds in several formats, and little beside encoding one more.
const SHARED_MAX: usize = 256;

impl Round {
    fn keep(&mut self, encoded: Encoded) {
        if self.encoded.len() >= SHARED_MAX {
            self.encoded.pop_front();
        }
        self.encoded.push_back(encoded);
    }
}

impl Subscribers {
    /// Sends a chunk made earlier in this round; false when there is none for this want.
    pub fn send_shared(
        &mut self,
        want: Want,
        round: &Round,
        pushed_bytes: u64,
        now: Timestamp,
    ) -> bool {
        let Some(subscriber) = self.all.get_mut(&want.id) else { return true };
        if subscriber.gap.is_some() {
            return false;
        }
        let Some(encoded) = round.encoded.iter().find(|encoded| {
            encoded.from == want.from
                && encoded.next <= want.to + 1
                && encoded.format == subscriber.format.name
                && encoded.label == subscriber.label
                && encoded.masked == subscriber.is_masked(self.masks)
        }) else {
            return false;
        };
        match subscriber.offer(encoded.chunk.clone(), pushed_bytes, now) {
            Offer::Taken => {
                subscriber.advance(encoded.next);
                subscriber.count(encoded.messages);
                self.pushed += encoded.messages;
            }
            Offer::Full => (),
            Offer::Closed => drop(self.all.remove(&want.id)),
        }
        true
    }

    /// Encodes what was read for one subscriber, sends it, and keeps the chunk for the others.
    pub fn send_read(
        &mut self,
        want: Want,
        batch: &ReadBatch,
        round: &mut Round,
        pushed_bytes: u64,
        now: Timestamp,
    ) {
        let Some(subscriber) = self.all.get_mut(&want.id) else { return };
        subscriber.loading = false;
        self.source.label.clone_from(&subscriber.label);
        let mut out = BytesMut::new();
        let gap = [subscriber.gap.take(), batch.gap].into_iter().flatten().reduce(Gap::with);
        if let Some(gap) = gap {
            if subscriber.slow == SlowPolicy::Disconnect && batch.gap.is_some() {
                subscriber.shared.ended.store(Ended::TooSlow as u8, Ordering::Release);
                self.disconnected += 1;
                self.all.remove(&want.id);
                return;
            }
            (subscriber.format.gap)(&self.source, &gap, &mut out);
        }
        let within = |message: &&Message| message.seq <= want.to;
        let messages = batch.messages.iter().filter(within).count() as u64;
        let masked = subscriber.is_masked(self.masks);
        for message in batch.messages.iter().filter(within) {
            if masked {
                let (message, length) = message.masked();
                self.source.masked = Some(length);
                (subscriber.format.message)(&self.source, &message, &mut out);
            } else {
                (subscriber.format.message)(&self.source, message, &mut out);
            }
        }
        self.source.masked = None;
        let next = batch.next.min(want.to + 1);
        if out.is_empty() {
            subscriber.advance(next);
            return;
        }
        let chunk = out.freeze();
        match subscriber.offer(chunk.clone(), pushed_bytes, now) {
            Offer::Taken => {
                subscriber.advance(next);
                subscriber.count(messages);
                self.pushed += messages;
                self.dropped += gap.map_or(0, |gap| gap.to.saturating_sub(gap.from) + 1);
            }
            Offer::Full => subscriber.gap = gap,
            Offer::Closed => drop(self.all.remove(&want.id)),
        }
        if gap.is_none()
            && let Some(subscriber) = self.all.get(&want.id)
        {
            let (format, label) = (subscriber.format.name, subscriber.label.clone());
            let from = want.from;
            round.keep(Encoded { format, label, masked, from, next, messages, chunk });
        }
    }
}

enum Offer {
    Taken,
    Full,
    Closed,
}

impl Subscriber {
    /// What it is pushed is masked, if the topic masks at all.
    fn is_masked(&self, masks: bool) -> bool {
        masks && self.part == Part::WatchesMasked
    }

    fn advance(&mut self, next: u64) {
        match self.backlog.front_mut() {
            Some((_, to)) if next > *to => drop(self.backlog.pop_front()),
            Some((from, _)) => *from = next,
            None => self.next = next.max(self.next),
        }
    }

    fn count(&self, messages: u64) {
        if let Some(traffic) = &self.shared.traffic {
            traffic.sent(messages as usize);
        }
    }

    fn offer(&mut self, chunk: Bytes, pushed_bytes: u64, now: Timestamp) -> Offer {
        // Before the session can take it.
        let bytes = chunk.len();
        if let Some(traffic) = &self.shared.traffic {
            traffic.buffer(bytes);
        }
        let offer = self.try_offer(chunk, pushed_bytes, now);
        if let Some(traffic) = &self.shared.traffic
            && !matches!(offer, Offer::Taken)
        {
            traffic.unbuffer(bytes);
        }
        offer
    }

    fn try_offer(&mut self, chunk: Bytes, pushed_bytes: u64, now: Timestamp) -> Offer {
        use mpsc::error::TrySendError;
        let chunk = match self.chunks.try_send(chunk) {
            Ok(()) => return Offer::Taken,
            Err(TrySendError::Closed(_)) => return Offer::Closed,
            Err(TrySendError::Full(chunk)) => chunk,
        };
        // The session looks at the flag each time it finds the channel empty. It may have emptied
        // it before the flag was up: so try once more behind the flag.
        self.shared.lagging.store(true, Ordering::Release);
        match self.chunks.try_send(chunk) {
            Ok(()) => {
                self.shared.lagging.store(false, Ordering::Release);
                Offer::Taken
            }
            Err(TrySendError::Closed(_)) => Offer::Closed,
            Err(TrySendError::Full(_)) => {
                self.set_lagging(true);
                self.lag_from_bytes = pushed_bytes;
                self.lag_since = now;
                Offer::Full
            }
        }
    }
}
