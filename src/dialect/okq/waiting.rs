//! The commands that wait: QREGISTER and QNOTIFY, and QBPOP.
//!
//! While one of them waits, what the client sends is read and lies behind it, so that a client that
//! leaves is noticed at once.

use super::command::Pop;
use super::refusal;
use super::resp::{self, Args};
use super::round::{event, receive};
use super::session::Talk;
use super::targets::Target;
use crate::broker::{BrokerError, Caller, Consumer, Home, Job, Op, Reply, Slot};
use crate::dialect::door::shut_down;
use crate::dialect::socket::Appetite;
use crate::queue::Delivery;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use std::{future::Future, io, time::Duration};
use tokio::{net::TcpStream, sync::oneshot, sync::watch, time::Instant};

/// Bytes that a client may send ahead while it waits.
const AHEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes read at a time meanwhile.
const READ_BYTES: usize = 2 << 10;
/// How long to wait before a topic that is being rebuilt is asked again.
const RETRY: Duration = Duration::from_millis(50);

/// A queue that the connection is registered for.
pub struct Registered {
    name: Bytes,
    target: Target,
    _consumer: Consumer,
}

/// A command that waits.
pub enum Wait {
    /// QNOTIFY.
    Notify {
        /// Who asks.
        caller: Caller,
        /// How long.
        timeout: Duration,
    },
    /// QBPOP.
    Pop {
        /// Who asks.
        caller: Caller,
        /// The queues.
        names: Vec<Bytes>,
        /// How long.
        timeout: Duration,
        /// How many, for how long.
        pop: Pop,
    },
}

/// What ended a wait.
enum Waited<T> {
    /// This.
    For(T),
    /// The time was up.
    Nothing,
    /// The client has gone, or the broker is stopping.
    Over,
}

/// A place in a list of targets that has something to receive.
type Ready = Result<Option<usize>, BrokerError>;

impl Talk {
    /// Waits, and answers. False: the connection is to be closed.
    pub async fn wait_for(&mut self, wait: Wait) -> io::Result<bool> {
        match wait {
            Wait::Notify { caller, timeout } => self.notify(&caller, timeout).await,
            Wait::Pop { caller, names, timeout, pop } => {
                self.blocking_pop(&caller, names, timeout, pop).await
            }
        }
    }

    /// QREGISTER: these queues instead of those before.
    pub async fn register(&mut self, caller: &Caller, args: &Args<'_>) -> Result<(), BrokerError> {
        if args.len() - 1 > self.config().queues_max {
            return Err(self.too_many_queues());
        }
        let mut registered: Vec<Registered> = Vec::with_capacity(args.len() - 1);
        for name in args.from(1) {
            if registered.iter().any(|known| known.name == name) {
                continue;
            }
            let before = self
                .registered
                .iter()
                .position(|known| known.name == name && known.target.handle.is_current());
            registered.push(match before {
                // The connection stays counted.
                Some(at) => self.registered.swap_remove(at),
                None => self.consume(caller, Bytes::copy_from_slice(name)).await?,
            });
        }
        self.registered = registered;
        Ok(())
    }

    async fn consume(&mut self, caller: &Caller, name: Bytes) -> Result<Registered, BrokerError> {
        let target = self.find_or_make(caller, &name).await?;
        let handle = target.handle.clone().for_caller(caller);
        let consumer = handle.consume(target.queue.clone()).await?;
        let consumer = consumer.counted(&self.presence.traffic);
        Ok(Registered { name, target, _consumer: consumer })
    }

    /// QNOTIFY: the name of a registered queue that has something, as soon as there is one.
    async fn notify(&mut self, caller: &Caller, timeout: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            // A queue that was deleted meanwhile is there again.
            for at in 0..self.registered.len() {
                let gone =
                    self.registered.get(at).filter(|known| !known.target.handle.is_current());
                let Some(name) = gone.map(|gone| gone.name.clone()) else { continue };
                match Box::pin(self.consume(caller, name)).await {
                    Ok(again) => {
                        if let Some(place) = self.registered.get_mut(at) {
                            *place = again;
                        }
                    }
                    Err(error) => {
                        self.round.refuse(refusal(&error).as_bytes());
                        return Ok(true);
                    }
                }
            }
            match self.first_ready(caller, None, deadline).await? {
                Waited::For(Ok(at)) => {
                    let name = at.and_then(|at| self.registered.get(at)).map(|at| at.name.clone());
                    match name {
                        Some(name) => self.round.write(|out| resp::bulk(out, &name)),
                        None => continue,
                    }
                }
                Waited::For(Err(BrokerError::TopicNotFound(_))) => continue,
                Waited::For(Err(BrokerError::Unavailable)) => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Waited::For(Err(error)) => self.round.refuse(refusal(&error).as_bytes()),
                Waited::Nothing => self.round.say(resp::nil(self.resp3)),
                Waited::Over => return Ok(false),
            }
            return Ok(true);
        }
    }

    /// One of the targets (`None`: of the registered queues) that have something to receive, by
    /// chance; else the first that will.
    async fn first_ready(
        &mut self,
        caller: &Caller,
        targets: Option<&[Target]>,
        deadline: Instant,
    ) -> io::Result<Waited<Ready>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let ask = |talk: &Talk, wait: Duration| match targets {
            Some(targets) => watch(caller, targets.iter(), wait),
            None => watch(caller, talk.registered.iter().map(|known| &known.target), wait),
        };
        let count = targets.map_or(self.registered.len(), <[Target]>::len);
        if count > 1 || (count == 1 && left.is_zero()) {
            let mut asked = ask(self, Duration::ZERO);
            let mut ready = Vec::new();
            while let Some((at, answer)) = asked.next().await {
                match answer {
                    Ok(true) => ready.push(at),
                    Ok(false) => (),
                    Err(error) => return Ok(Waited::For(Err(error))),
                }
            }
            if !ready.is_empty() {
                let chance = uuid::Uuid::new_v4().as_u64_pair().1 as usize % ready.len();
                return Ok(Waited::For(Ok(ready.get(chance).copied())));
            }
        }
        if left.is_zero() {
            return Ok(Waited::Nothing);
        }
        let mut asked = ask(self, left);
        let first = async {
            while let Some((at, answer)) = asked.next().await {
                match answer {
                    Ok(true) => return Ok(Some(at)),
                    Ok(false) => (),
                    Err(error) => return Err(error),
                }
            }
            std::future::pending().await
        };
        self.while_there(first, deadline).await
    }

    /// QBPOP: what one of several queues has, the first of them that has something; waits for it.
    async fn blocking_pop(
        &mut self,
        caller: &Caller,
        names: Vec<Bytes>,
        timeout: Duration,
        pop: Pop,
    ) -> io::Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            let mut targets = Vec::with_capacity(names.len());
            for name in &names {
                match Box::pin(self.find_or_make(caller, name)).await {
                    Ok(target) => targets.push(target),
                    Err(error) => {
                        self.round.refuse(refusal(&error).as_bytes());
                        return Ok(true);
                    }
                }
            }
            let popped = self.pop_or_wait(caller, targets, deadline, pop).await?;
            match popped {
                Waited::For(Ok(None)) | Waited::For(Err(BrokerError::TopicNotFound(_))) => continue,
                Waited::For(Err(BrokerError::Unavailable)) => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                Waited::For(Ok(Some((at, deliveries)))) => {
                    let name = names.get(at).map(Bytes::as_ref).unwrap_or_default();
                    self.round.write(|out| {
                        resp::array(out, 1 + 2 * deliveries.len());
                        resp::bulk(out, name);
                        deliveries.iter().for_each(|delivery| event(out, &delivery.message));
                    });
                }
                Waited::For(Err(error)) => self.round.refuse(refusal(&error).as_bytes()),
                Waited::Nothing => self.round.say(resp::nil(self.resp3)),
                Waited::Over => return Ok(false),
            }
            return Ok(true);
        }
    }

    /// What one of the targets has now; else waits until one may have something (`None`).
    async fn pop_or_wait(
        &mut self,
        caller: &Caller,
        targets: Vec<Target>,
        deadline: Instant,
        pop: Pop,
    ) -> io::Result<Waited<Popped>> {
        let left = deadline.saturating_duration_since(Instant::now());
        let alone = targets.len() == 1;
        for (at, target) in targets.iter().enumerate() {
            let handle = target.handle.clone().for_caller(caller);
            let request = receive(pop.expires, pop.count.unwrap_or(1));
            // Receivers that wait are served in turn: one queue needs no more than this.
            let wait = (alone && !left.is_zero()).then_some(left);
            let queue = target.queue.clone();
            let asked = async move { handle.ask(Op::Receive { queue, request, wait }).await };
            let answer = match self.while_there(asked, deadline + RETRY).await? {
                Waited::For(answer) => answer,
                Waited::Nothing => return Ok(Waited::Nothing),
                Waited::Over => return Ok(Waited::Over),
            };
            match answer {
                Ok(Reply::Delivered(deliveries)) if deliveries.is_empty() => (),
                Ok(Reply::Delivered(deliveries)) => {
                    return Ok(Waited::For(Ok(Some((at, deliveries)))));
                }
                Ok(Reply::Failed(error)) | Err(error) => return Ok(Waited::For(Err(error))),
                Ok(_) => return Ok(Waited::For(Err(BrokerError::Unavailable))),
            }
        }
        if alone || left.is_zero() {
            return Ok(Waited::Nothing);
        }
        Ok(match self.first_ready(caller, Some(&targets), deadline).await? {
            Waited::For(Ok(_)) => Waited::For(Ok(None)),
            Waited::For(Err(error)) => Waited::For(Err(error)),
            Waited::Nothing => Waited::Nothing,
            Waited::Over => Waited::Over,
        })
    }

    /// Waits for something as long as there is time, and the client and the broker are there.
    async fn while_there<T>(
        &mut self,
        what: impl Future<Output = T>,
        deadline: Instant,
    ) -> io::Result<Waited<T>> {
        let Talk { stream, input, seat, .. } = self;
        tokio::select! {
            biased;
            what = what => Ok(Waited::For(what)),
            () = shut_down_now(&mut seat.shut) => Ok(Waited::Over),
            left = hang_up(stream, input) => left.map(|()| Waited::Over),
            () = tokio::time::sleep_until(deadline) => Ok(Waited::Nothing),
        }
    }
}

/// The answer of one target: its place in the list, and whether it has something.
type Asked = LocalBoxFuture<'static, (usize, Result<bool, BrokerError>)>;

type Popped = Result<Option<(usize, Vec<Delivery>)>, BrokerError>;

async fn shut_down_now(shut: &mut watch::Receiver<bool>) {
    shut_down(shut).await;
}

/// Asks every target whether it has something to receive, for as long as `wait`.
fn watch<'a>(
    caller: &Caller,
    targets: impl Iterator<Item = &'a Target>,
    wait: Duration,
) -> FuturesUnordered<Asked> {
    let asked = targets.enumerate().map(|(at, target)| {
        let (home, answer) = oneshot::channel();
        let op = Op::Watch { queue: target.queue.clone(), wait };
        let handle = target.handle.clone().for_caller(caller);
        handle.submit(Job::new(vec![Slot::Op(op)], Home::Once(home), 0));
        let told = async move {
            let slot = answer.await.ok().and_then(|slots| slots.into_iter().next());
            let ready = match slot {
                Some(Slot::Reply(Reply::Ready(ready))) => Ok(ready),
                Some(Slot::Reply(Reply::Failed(error))) => Err(error),
                _ => Err(BrokerError::Unavailable),
            };
            (at, ready)
        };
        Box::pin(told) as Asked
    });
    asked.collect()
}

/// Returns when the client has closed; what it sends until then is kept.
async fn hang_up(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    let mut appetite = Appetite::new(READ_BYTES);
    loop {
        if input.len() >= AHEAD_BYTES_MAX {
            // It sent so much ahead that it is not listened to until it has its answer.
            std::future::pending::<()>().await;
        }
        stream.readable().await?;
        match appetite.read(stream, input) {
            Ok(0) => return Ok(()),
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
}
