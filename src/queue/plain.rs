//! The short way of the usual case: a message without options but perhaps an id of its publisher's,
//! published into a topic with one queue that refuses, filters and delays nothing. The outcome is
//! that of the long way; what the long way asks about and cannot be here is not asked.

use super::lane::Fresh;
use super::shelf::{Body, Kept};
use super::*;

impl Topic {
    /// To be called whenever settings or queues have changed.
    pub(super) fn look_at_policies(&mut self) {
        self.filters = self.queues.iter().any(|queue| queue.definition.policy.filter.is_some());
        let topic = &self.policy;
        let free = !topic.paused_in
            && (topic.capacity, topic.bytes_max, topic.ttl_ms) == (0, 0, 0)
            && self.queues.iter().all(|queue| {
                let policy = &queue.definition.policy;
                !policy.paused_in
                    && (policy.messages_max, policy.bytes_max, policy.delay_ms) == (0, 0, 0)
            });
        self.plain = free && !self.filters && self.queues.len() == 1;
    }

    /// Publishes a message without options, whose own id is not there yet; only while `plain` is set.
    #[inline]
    pub(super) fn publish_plain(
        &mut self,
        now: Timestamp,
        message: NewMessage,
        keep_body: bool,
        ledger: &mut Ledger,
    ) -> Result<Placed, Refusal> {
        let Some(queue) = self.queues.first_mut() else { return Err(Refusal::QueueNotFound) };
        let (seq, number) = (self.last_seq + 1, ledger.numbers(1));
        let bytes = message.body.len();
        let id = match message.body.own_id() {
            Some(_) => None,
            None => Some(MessageId::made(now, self.shelf.salt(), seq)),
        };
        let (body, extra, written) = match (keep_body, ledger.is_on()) {
            (true, true) => (Body::Held(message.body.clone()), None, Some(message.body)),
            (true, false) => (Body::Held(message.body), None, None),
            // The id stays here when the body does not.
            (false, _) => {
                (Body::on_disk(&message.body), message.extra_with_id(), Some(message.body))
            }
        };
        let slot = self.shelf.insert(Kept {
            body,
            number,
            seq,
            published_at: now,
            expires_at: Timestamp::NEVER,
            extra,
            refs: 1,
            places: 0,
            foreign: false,
            lone: queue.definition.number,
            stamped: false,
            door: self.door,
        })?;
        self.last_seq = seq;
        queue.totals.published += 1;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        if !queue.push(number, 0, false, Fresh { slot, offset: 0 }, bytes) {
            queue.add_ready(slot, 0, false, bytes, number, now);
        }
        let place = Place::Queue(queue.definition.number);
        if let Some(body) = written {
            ledger.note(|| {
                Record::Published(Stored {
                    number,
                    topic: self.number,
                    seq,
                    published_at: now,
                    visible_at: now,
                    expires_at: Timestamp::NEVER,
                    extra: None,
                    body,
                    place,
                    stamped: false,
                    door: self.door,
                })
            });
        }
        Ok(Placed { id, seq, duplicate: false })
    }
}
