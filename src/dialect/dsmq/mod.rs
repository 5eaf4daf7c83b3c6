//! The door of dsmq's clients, of all three generations on one port: bare JSON objects, objects
//! with a length header, and WebSocket, told apart by their first bytes.
//!
//! A dsmq topic is a pubsub topic, made by the first put. A connection is a reader that takes
//! nothing: it stands behind the number the broker was at when it was accepted, for all topics, and
//! is shown what came after it. On a broker topic of another door it looks on: a put publishes, a
//! get shows what is ready in the default queue.

pub mod objects;
pub mod opening;
pub mod reply;
pub mod request;
mod round;
mod session;
mod socket;
pub mod topics;

use crate::broker::Broker;
use crate::config::{Anonymous, DsmqConfig};
use crate::dialect::door::{Protocol, Seat};
use crate::queue::Extra;
use futures_util::future::LocalBoxFuture;
use std::{io, sync::Arc};
use tokio::net::TcpStream;

struct Shared {
    broker: Broker,
    config: DsmqConfig,
    anonymous: Anonymous,
    /// Of messages that are other JSON values than texts.
    json: Arc<Extra>,
}

/// dsmq's protocol: what the connections of its door speak.
#[derive(Clone)]
pub struct Dsmq(Arc<Shared>);

impl Dsmq {
    /// Over a broker.
    pub fn new(broker: Broker, config: DsmqConfig, anonymous: Anonymous) -> Self {
        let attributes = Some(Arc::from(reply::JSON_MARK));
        let json = Arc::new(Extra { attributes, ..Extra::default() });
        Dsmq(Arc::new(Shared { broker, config, anonymous, json }))
    }
}

impl Protocol for Dsmq {
    const DOOR: &'static str = "dsmq";

    fn connections_max(&self) -> usize {
        self.0.config.connections_max
    }

    /// A reader begins where the broker was when it came.
    fn arrival(&self) -> u64 {
        self.0.broker.last_number()
    }

    fn serve(self, stream: TcpStream, seat: Seat<Self>) -> LocalBoxFuture<'static, io::Result<()>> {
        Box::pin(session::serve(stream, self, seat))
    }
}
