//! Accepts connections, and ends them in order when the broker stops.

use super::session::{Closed, Session, Shut};
use crate::broker::Broker;
use crate::config::OtqConfig;
use crate::dialect::socket;
use actix::{
    Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, ResponseActFuture,
    WrapFuture,
};
use actix_rt::ArbiterHandle;
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// How long to wait after the system refused a connection (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The actor that accepts otq connections and knows every session.
pub struct Door {
    listener: Option<TcpListener>,
    broker: Broker,
    config: Arc<OtqConfig>,
    arbiters: Vec<ArbiterHandle>,
    user_timeout: Duration,
    sessions: FxHashMap<u64, Addr<Session>>,
    next: u64,
    /// Sessions that wait for their client to close, oldest first.
    parked: VecDeque<u64>,
    /// Rung when a session has ended.
    ended: Arc<Notify>,
    closing: bool,
}

impl Door {
    /// A door that hands its connections to `arbiters` in turn.
    pub fn new(
        listener: TcpListener,
        broker: Broker,
        config: OtqConfig,
        arbiters: Vec<ArbiterHandle>,
        user_timeout: Duration,
    ) -> Self {
        Door {
            listener: Some(listener),
            broker,
            config: Arc::new(config),
            arbiters,
            user_timeout,
            sessions: FxHashMap::default(),
            next: 0,
            parked: VecDeque::new(),
            ended: Arc::new(Notify::new()),
            closing: false,
        }
    }

    fn admit(&mut self, stream: TcpStream, ctx: &mut Context<Self>) {
        if self.closing || self.sessions.len() >= self.config.connections_max {
            log::warn!("otq: a connection is refused: {} are open", self.sessions.len());
            return;
        }
        socket::tune(&stream, self.user_timeout);
        // Registered anew with the reactor of the session's own thread.
        let Ok(stream) = stream.into_std() else { return };
        let id = self.next;
        self.next += 1;
        let (broker, config, door) = (self.broker.clone(), self.config.clone(), ctx.address());
        let session =
            move |_: &mut Context<Session>| Session::new(id, stream, broker, config, door);
        let at = usize::try_from(id).unwrap_or(0) % self.arbiters.len().max(1);
        let addr = match self.arbiters.get(at) {
            Some(arbiter) => Session::start_in_arbiter(arbiter, session),
            None => Session::create(session),
        };
        self.sessions.insert(id, addr);
    }
}

impl Actor for Door {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some(listener) = self.listener.take() else { return };
        let door = ctx.address();
        ctx.spawn(
            async move {
                while door.connected() {
                    match listener.accept().await {
                        Ok((stream, _)) => {
                            // Waits for the door, so that a flood of connections stays in the kernel.
                            if door.send(Accepted(stream)).await.is_err() {
                                break;
                            }
                        }
                        Err(error) => {
                            log::warn!("otq: accept: {error}");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
            .into_actor(self),
        );
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Accepted(TcpStream);

impl Handler<Accepted> for Door {
    type Result = ();

    fn handle(&mut self, Accepted(stream): Accepted, ctx: &mut Context<Self>) {
        self.admit(stream, ctx);
    }
}

impl Handler<Closed> for Door {
    type Result = ();

    fn handle(&mut self, Closed(id): Closed, _: &mut Context<Self>) {
        self.sessions.remove(&id);
        self.parked.retain(|parked| *parked != id);
        self.ended.notify_waiters();
    }
}

/// A session waits for its client to close.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Parked(pub u64);

impl Handler<Parked> for Door {
    type Result = ();

    fn handle(&mut self, Parked(id): Parked, _: &mut Context<Self>) {
        self.parked.push_back(id);
        while self.parked.len() > self.config.parked_max {
            if let Some(session) =
                self.parked.pop_front().and_then(|oldest| self.sessions.get(&oldest))
            {
                session.do_send(Shut);
            }
        }
    }
}

/// To the door: take no more connections, let every session finish what it has in hand. Answers
/// when all have ended.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseDoor;

impl Handler<CloseDoor> for Door {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: CloseDoor, ctx: &mut Context<Self>) -> Self::Result {
        self.closing = true;
        for session in self.sessions.values() {
            session.do_send(Shut);
        }
        let (door, ended) = (ctx.address(), self.ended.clone());
        let all_gone = async move {
            loop {
                let next = ended.notified();
                tokio::pin!(next);
                // Registered before the question, so that no end is missed.
                next.as_mut().enable();
                if door.send(Sessions).await.unwrap_or(0) == 0 {
                    return;
                }
                next.await;
            }
        };
        Box::pin(all_gone.into_actor(self).map(|(), _, _| ()))
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Sessions;

impl Handler<Sessions> for Door {
    type Result = usize;

    fn handle(&mut self, _: Sessions, _: &mut Context<Self>) -> usize {
        self.sessions.len()
    }
}
