//! Replies to requests: an address for them, and the way there.

use super::*;
use crate::broker::replies::{Deliver, Inbox, Open, Replied, ReplyAddress, ReplyRefused};

impl Broker {
    /// An address for replies, with room for so many that are not read yet.
    ///
    /// Errors: `Stopping`.
    pub async fn inbox(&self, capacity: usize) -> Result<Inbox, BrokerError> {
        self.0.replies.send(Open(capacity)).await.map_err(|_| BrokerError::Stopping)
    }

    /// Sends a reply to where a request wants it. Whoever knows the address may, but for those who only
    /// look: they see addresses in requests that are meant for others.
    ///
    /// Errors: `NotAllowed`, `Gone`, `Full`, `TooLarge`.
    pub async fn reply(
        &self,
        caller: &Caller,
        to: ReplyAddress,
        reply: Replied,
    ) -> Result<(), ReplyRefused> {
        if !caller.may_act() {
            return Err(BrokerError::NotAllowed("reply").into());
        }
        let (size, limit) = (reply.body.len(), self.0.limits.body_bytes_max);
        if size > limit {
            return Err(BrokerError::TooLarge { size, limit }.into());
        }
        let answer = self.0.replies.send(Deliver(to, reply)).await;
        answer.unwrap_or(Err(BrokerError::Stopping.into()))
    }
}
