//! The actor that every TCP door is: it accepts connections, bounds them, hands them to the threads
//! in turn, and ends them in order when the broker stops.
//!
//! Holds the sockets' options and the sessions' addresses. Never knows what is said on a connection:
//! that is a [`Protocol`].

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    ResponseActFuture, SpawnHandle, WrapFuture,
};
use actix_rt::ArbiterHandle;
use futures_util::future::LocalBoxFuture;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, SocketAddr, TcpListener as StdListener, TcpStream as StdStream},
    sync::Arc,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// How long to wait after the system refused a connection (no file descriptors left, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that may wait in the kernel.
pub const BACKLOG: i32 = 1024;

/// How long a session that is to end may go on writing to a client that does not read.
const END_GRACE: Duration = Duration::from_secs(2);

/// What is said on the connections of one door. Cloned for each of them.
pub trait Protocol: Clone + Send + Unpin + 'static {
    /// The door's name, for logs.
    const DOOR: &'static str;

    /// Most connections at once.
    fn connections_max(&self) -> usize;

    /// Most sessions that wait for their client to close; above it the oldest is ended.
    fn parked_max(&self) -> usize {
        0
    }

    /// What the protocol wants to know of the moment at which a connection came in.
    fn arrival(&self) -> u64 {
        0
    }

    /// Serves one connection to its end; an error only goes to the log.
    fn serve(self, stream: TcpStream, seat: Seat<Self>) -> LocalBoxFuture<'static, io::Result<()>>;
}

/// A connection's place at its door.
pub struct Seat<P: Protocol> {
    /// Names the connection; never given twice by one door.
    pub id: u64,
    /// Where the client comes from.
    pub peer: SocketAddr,
    /// Becomes true when the session is to finish what is in hand, and close.
    pub shut: watch::Receiver<bool>,
    /// [`Protocol::arrival`] when it was accepted.
    pub arrival: u64,
    door: Addr<Door<P>>,
    listener: Option<Arc<StdListener>>,
}

impl<P: Protocol> Seat<P> {
    /// The session only waits for its client to close, and may be ended early for it.
    pub fn park(&self) {
        self.door.do_send(Parked(self.id));
    }

    /// All connections of the door now, with where they come from.
    pub async fn neighbours(&self) -> Vec<(u64, SocketAddr)> {
        self.door.send(Neighbours).await.unwrap_or_default()
    }

    /// Accepts what waits in the kernel, so that whatever the session does next is done after those
    /// connections have come, as their clients believe already.
    pub fn admit_waiting(&self, protocol: &P) {
        let Some(listener) = &self.listener else { return };
        for _ in 0..BACKLOG {
            // Mostly nobody waits; what is wrong with the listener the door itself finds out.
            let Ok((stream, peer)) = listener.accept() else { return };
            if stream.set_nonblocking(true).is_ok() {
                self.door.do_send(Accepted(stream, peer, protocol.arrival()));
            }
        }
    }

    /// Ends this session, from elsewhere, in its protocol's manner.
    pub fn closer(&self) -> crate::broker::Closer {
        let (door, id) = (self.door.clone(), self.id);
        Box::new(move || door.do_send(EndSession(id)))
    }

    /// Closes the whole door: no more connections, and all that are open are told to end.
    pub fn close_door(&self) {
        self.door.do_send(CloseDoor);
    }
}

/// The session has been told to end, or nobody could tell it any more.
pub async fn shut_down(shut: &mut watch::Receiver<bool>) {
    let _ = shut.wait_for(|shut| *shut).await;
}

/// The actor that accepts a door's connections and knows every session.
pub struct Door<P: Protocol> {
    listener: Option<TcpListener>,
    /// The same socket, for those who accept out of turn.
    shared: Option<Arc<StdListener>>,
    accepting: Option<SpawnHandle>,
    protocol: P,
    arbiters: Vec<ArbiterHandle>,
    user_timeout: Duration,
    sessions: FxHashMap<u64, (Addr<Session<P>>, SocketAddr)>,
    next: u64,
    /// Sessions that wait for their client to close, oldest first.
    parked: VecDeque<u64>,
    /// Rung when a session has ended.
    ended: Arc<Notify>,
    closing: bool,
}

impl<P: Protocol> Door<P> {
    /// A door that hands its connections to `arbiters` in turn.
    pub fn new(
        listener: TcpListener,
        protocol: P,
        arbiters: Vec<ArbiterHandle>,
        user_timeout: Duration,
    ) -> Self {
        let shared = socket2::SockRef::from(&listener).try_clone();
        if let Err(error) = &shared {
            log::warn!("{}: connections are accepted in turn only: {error}", P::DOOR);
        }
        Door {
            listener: Some(listener),
            shared: shared.ok().map(|socket| Arc::new(socket.into())),
            accepting: None,
            protocol,
            arbiters,
            user_timeout,
            sessions: FxHashMap::default(),
            next: 0,
            parked: VecDeque::new(),
            ended: Arc::new(Notify::new()),
            closing: false,
        }
    }

    fn admit(&mut self, accepted: Accepted, ctx: &mut Context<Self>) {
        let Accepted(stream, peer, arrival) = accepted;
        if self.closing || self.sessions.len() >= self.protocol.connections_max() {
            log::warn!("{}: a connection is refused: {} are open", P::DOOR, self.sessions.len());
            return;
        }
        super::socket::tune(&stream, self.user_timeout);
        let id = self.next;
        self.next += 1;
        let (door, protocol) = (ctx.address(), self.protocol.clone());
        let listener = self.shared.clone();
        let session = move |_: &mut Context<Session<P>>| {
            let (shut, told) = watch::channel(false);
            let seat = Seat { id, peer, shut: told, arrival, door: door.clone(), listener };
            Session { id, door, shut, start: Some((stream, protocol, seat)) }
        };
        let at = usize::try_from(id).unwrap_or(0) % self.arbiters.len().max(1);
        let addr = match self.arbiters.get(at) {
            Some(arbiter) => Session::start_in_arbiter(arbiter, session),
            None => Session::create(session),
        };
        self.sessions.insert(id, (addr, peer));
    }
}

impl<P: Protocol> Actor for Door<P> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some(listener) = self.listener.take() else { return };
        let (door, protocol) = (ctx.address(), self.protocol.clone());
        self.accepting = Some(
            ctx.spawn(
                async move {
                    while door.connected() {
                        match listener.accept().await {
                            Ok((stream, peer)) => {
                                let arrival = protocol.arrival();
                                // Registered anew with the reactor of the session's own thread.
                                let Ok(stream) = stream.into_std() else { continue };
                                // Waits for the door, so that a flood of connections stays in the kernel.
                                if door.send(Accepted(stream, peer, arrival)).await.is_err() {
                                    break;
                                }
                            }
                            Err(error) => {
                                log::warn!("{}: accept: {error}", P::DOOR);
                                tokio::time::sleep(ACCEPT_PAUSE).await;
                            }
                        }
                    }
                }
                .into_actor(self),
            ),
        );
    }
}

/// A connection, where it comes from, and its [`Protocol::arrival`].
#[derive(Message)]
#[rtype(result = "()")]
struct Accepted(StdStream, SocketAddr, u64);

impl<P: Protocol> Handler<Accepted> for Door<P> {
    type Result = ();

    fn handle(&mut self, accepted: Accepted, ctx: &mut Context<Self>) {
        self.admit(accepted, ctx);
    }
}

/// A session has ended.
#[derive(Message)]
#[rtype(result = "()")]
struct Closed(u64);

impl<P: Protocol> Handler<Closed> for Door<P> {
    type Result = ();

    fn handle(&mut self, Closed(id): Closed, _: &mut Context<Self>) {
        self.sessions.remove(&id);
        self.parked.retain(|parked| *parked != id);
        self.ended.notify_waiters();
    }
}

/// Somebody wants a session to end.
#[derive(Message)]
#[rtype(result = "()")]
struct EndSession(u64);

impl<P: Protocol> Handler<EndSession> for Door<P> {
    type Result = ();

    fn handle(&mut self, EndSession(id): EndSession, _: &mut Context<Self>) {
        if let Some((session, _)) = self.sessions.get(&id) {
            session.do_send(EndSoon);
        }
    }
}

/// To the session: like [`Shut`], but a client that does not read is not waited for.
#[derive(Message)]
#[rtype(result = "()")]
struct EndSoon;

impl<P: Protocol> Handler<EndSoon> for Session<P> {
    type Result = ();

    fn handle(&mut self, _: EndSoon, ctx: &mut Context<Self>) {
        self.shut.send_replace(true);
        ctx.run_later(END_GRACE, |_, ctx| ctx.stop());
    }
}

/// A session waits for its client to close.
#[derive(Message)]
#[rtype(result = "()")]
struct Parked(u64);

impl<P: Protocol> Handler<Parked> for Door<P> {
    type Result = ();

    fn handle(&mut self, Parked(id): Parked, _: &mut Context<Self>) {
        self.parked.push_back(id);
        while self.parked.len() > self.protocol.parked_max() {
            if let Some((session, _)) =
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

impl<P: Protocol> Handler<CloseDoor> for Door<P> {
    type Result = ResponseActFuture<Self, ()>;

    fn handle(&mut self, _: CloseDoor, ctx: &mut Context<Self>) -> Self::Result {
        self.closing = true;
        if let Some(accepting) = self.accepting.take() {
            ctx.cancel_future(accepting);
        }
        // Sessions may still hold the socket: from now on the kernel refuses by itself.
        if let Some(listener) = self.shared.take() {
            let _ = socket2::SockRef::from(&*listener).shutdown(Shutdown::Both);
        }
        for (session, _) in self.sessions.values() {
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
#[rtype(result = "Vec<(u64, SocketAddr)>")]
struct Neighbours;

impl<P: Protocol> Handler<Neighbours> for Door<P> {
    type Result = Vec<(u64, SocketAddr)>;

    fn handle(&mut self, _: Neighbours, _: &mut Context<Self>) -> Self::Result {
        let mut all: Vec<_> = self.sessions.iter().map(|(id, (_, peer))| (*id, *peer)).collect();
        all.sort_unstable();
        all
    }
}

#[derive(Message)]
#[rtype(result = "usize")]
struct Sessions;

impl<P: Protocol> Handler<Sessions> for Door<P> {
    type Result = usize;

    fn handle(&mut self, _: Sessions, _: &mut Context<Self>) -> usize {
        self.sessions.len()
    }
}

/// To the session: finish what is in hand, then close.
#[derive(Message)]
#[rtype(result = "()")]
struct Shut;

/// The actor of one connection: an address, and the conversation as a task of its own.
struct Session<P: Protocol> {
    id: u64,
    door: Addr<Door<P>>,
    shut: watch::Sender<bool>,
    start: Option<(StdStream, P, Seat<P>)>,
}

impl<P: Protocol> Actor for Session<P> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let Some((stream, protocol, seat)) = self.start.take() else { return };
        let (id, peer) = (self.id, seat.peer);
        let serve = async move {
            let served = match TcpStream::from_std(stream) {
                Ok(stream) => protocol.serve(stream, seat).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                log::debug!("{}: session {id}, {peer}: {error}", P::DOOR);
            }
        };
        ctx.spawn(serve.into_actor(self).map(|(), _, ctx| ctx.stop()));
    }

    fn stopped(&mut self, _: &mut Context<Self>) {
        self.door.do_send(Closed(self.id));
    }
}

impl<P: Protocol> Handler<Shut> for Session<P> {
    type Result = ();

    fn handle(&mut self, _: Shut, _: &mut Context<Self>) {
        self.shut.send_replace(true);
    }
}
