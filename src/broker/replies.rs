//! Replies to requests: an address for each connection that asks, and nothing in any topic.
//!
//! A request is a message like any other, with an address and a correlation id among its
//! attributes. Whoever works on it sends the reply to that address, from any door. An address is
//! made when a connection first asks and is gone with it: no topic, nothing stored, nothing to clean
//! up after a crash. It is 122 random bits, so knowing it is the right to reply.

use super::BrokerError;
use actix::{Actor, Addr, Context, Handler, Message};
use bytes::Bytes;
use rustc_hash::FxHashMap;
use std::{
    fmt,
    str::FromStr,
    sync::Arc,
    task::{self, Poll},
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// The attribute of a request that says where its reply goes.
pub const REPLY_TO: &str = "reply-to";
/// The attribute of a request that tells its reply from others.
pub const CORRELATION: &str = "correlation-id";

/// Where replies go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReplyAddress(Uuid);

impl fmt::Display for ReplyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl FromStr for ReplyAddress {
    type Err = ReplyRefused;

    fn from_str(text: &str) -> Result<Self, ReplyRefused> {
        Uuid::try_parse(text).map(ReplyAddress).map_err(|_| ReplyRefused::Gone)
    }
}

/// A reply on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replied {
    /// As the request had it.
    pub correlation: String,
    /// Any bytes.
    pub body: Bytes,
    /// A JSON object, as text, checked at the door.
    pub attributes: Option<Arc<str>>,
}

/// Why a reply reaches nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyRefused {
    /// No such address, or who asked is gone.
    #[error("nobody waits at this address any more")]
    Gone,
    /// Who asked has as many replies unread as it may.
    #[error("too many replies wait at this address")]
    Full,
    /// Refused as a message would be.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// A connection's address, and what comes there. Dropping it ends the address.
#[derive(Debug)]
pub struct Inbox {
    address: ReplyAddress,
    replies: mpsc::Receiver<Replied>,
    keeper: Addr<Replies>,
}

impl Inbox {
    /// Where replies are to be sent.
    pub fn address(&self) -> ReplyAddress {
        self.address
    }

    /// The next reply; `None` when the broker stops.
    pub fn poll_next(&mut self, task: &mut task::Context<'_>) -> Poll<Option<Replied>> {
        self.replies.poll_recv(task)
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.keeper.do_send(Close(self.address));
    }
}

/// The actor that knows every address.
#[derive(Debug, Default)]
pub struct Replies {
    inboxes: FxHashMap<ReplyAddress, mpsc::Sender<Replied>>,
}

impl Actor for Replies {
    type Context = Context<Self>;
}

/// Makes an address that holds up to so many unread replies.
#[derive(Debug, Message)]
#[rtype(result = "Inbox")]
pub struct Open(pub usize);

impl Handler<Open> for Replies {
    type Result = actix::MessageResult<Open>;

    fn handle(&mut self, Open(capacity): Open, ctx: &mut Context<Self>) -> Self::Result {
        let address = ReplyAddress(Uuid::new_v4());
        let (to, replies) = mpsc::channel(capacity.max(1));
        self.inboxes.insert(address, to);
        actix::MessageResult(Inbox { address, replies, keeper: actix::AsyncContext::address(ctx) })
    }
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Close(ReplyAddress);

impl Handler<Close> for Replies {
    type Result = ();

    fn handle(&mut self, Close(address): Close, _: &mut Context<Self>) {
        self.inboxes.remove(&address);
    }
}

/// Hands a reply over.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), ReplyRefused>")]
pub struct Deliver(pub ReplyAddress, pub Replied);

impl Handler<Deliver> for Replies {
    type Result = Result<(), ReplyRefused>;

    fn handle(&mut self, Deliver(address, reply): Deliver, _: &mut Context<Self>) -> Self::Result {
        let inbox = self.inboxes.get(&address).ok_or(ReplyRefused::Gone)?;
        inbox.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReplyRefused::Full,
            mpsc::error::TrySendError::Closed(_) => ReplyRefused::Gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    fn reply(correlation: &str) -> Replied {
        Replied {
            correlation: correlation.into(),
            body: Bytes::from_static(b"x"),
            attributes: None,
        }
    }

    #[actix_web::test]
    async fn a_reply_reaches_its_address_while_there_is_one_and_room() {
        let keeper = Replies::default().start();
        let mut one = keeper.send(Open(2)).await.unwrap();
        let two = keeper.send(Open(2)).await.unwrap();
        assert_ne!(one.address(), two.address());
        let send = async |to, correlation| keeper.send(Deliver(to, reply(correlation))).await;
        let to: ReplyAddress = one.address().to_string().parse().unwrap();
        for (correlation, taken) in [("1", Ok(())), ("2", Ok(())), ("3", Err(ReplyRefused::Full))] {
            assert_eq!(send(to, correlation).await.unwrap(), taken);
        }
        assert_eq!(poll_fn(|task| one.poll_next(task)).await, Some(reply("1")));
        assert_eq!(send(to, "4").await.unwrap(), Ok(()));
        drop(one);
        assert_eq!(send(to, "5").await.unwrap(), Err(ReplyRefused::Gone));
        assert_eq!(send(two.address(), "1").await.unwrap(), Ok(()));
        for wrong in ["", "x", "00000000000000000000000000000000x"] {
            assert_eq!(wrong.parse::<ReplyAddress>(), Err(ReplyRefused::Gone), "{wrong}");
        }
    }
}
