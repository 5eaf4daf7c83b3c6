//! One connection of a RESP client.
//!
//! What one read holds is parsed whole and makes a round; its jobs are on their way while the next
//! round is read. Answers leave in the order of the requests, those that are there with one write.
//! A connection without work holds no buffers.

use super::command::{self, Command, Figures};
use super::figures::{self, Row};
use super::resp::{self, Args, Bounds, Decoder, Malformed, Step};
use super::round::{Round, event_id};
use super::targets::Target;
use super::waiting::{Registered, Wait};
use super::{Okq, refusal};
use crate::broker::{Arrival, Broker, BrokerError, Caller, Named, Presence};
use crate::config::OkqConfig;
use crate::dialect::door::{Seat, shut_down};
use crate::dialect::socket::{self, Appetite, Attention};
use crate::queue::*;
use bytes::{Buf, Bytes, BytesMut};
use rustc_hash::FxHashMap;
use std::{collections::VecDeque, io, time::Duration};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout},
};

/// A buffer for answers above this is given back once they are written.
const OUT_BYTES_KEPT: usize = 64 << 10;
/// Bytes read at a time from one that does not.
const IDLE_BYTES: usize = 2 << 10;
/// Rounds whose answers may be outstanding.
const ROUNDS_MAX: usize = 4;
/// Bytes of answers after which they are written.
const WRITE_BYTES: usize = 1 << 20;
/// Longest id of an event.
const ID_BYTES_MAX: usize = 64 << 10;

/// How far the requests of the input were taken.
pub enum Taken {
    /// All that are whole.
    All,
    /// As many as one round holds; more may be there.
    Enough,
    /// Up to one that waits; what is behind it waits as well.
    Wait(Wait),
    /// The connection is to be closed once everything is answered.
    Close,
}

/// The conversation of one connection.
pub struct Talk {
    pub(super) stream: TcpStream,
    attention: Attention,
    pub(super) okq: Okq,
    pub(super) seat: Seat<Okq>,
    /// `None`: credentials are needed first.
    pub(super) caller: Option<Caller>,
    pub(super) resp3: bool,
    /// What the client calls itself.
    pub(super) name: Bytes,
    pub(super) registered: Vec<Registered>,
    pub(super) targets: FxHashMap<Bytes, Target>,
    decoder: Decoder,
    pub(super) input: BytesMut,
    /// When the request that has begun must be whole.
    whole_by: Option<Instant>,
    appetite: Appetite,
    pub(super) out: Vec<u8>,
    pub(super) round: Round,
    rounds: VecDeque<Round>,
    pub(super) presence: Presence,
}

/// What became of a request without waiting for anything.
enum Quick {
    Done,
    /// It needs more than what is at hand.
    Slow,
}

impl Talk {
    /// For a connection that was accepted.
    pub fn new(stream: TcpStream, okq: Okq, seat: Seat<Okq>) -> Self {
        let presence = okq.0.broker.arrive(Arrival {
            door: "okq",
            peer: Some(seat.peer),
            user: None,
            buffer_bytes_max: WRITE_BYTES as u64,
            close: seat.closer(),
        });
        let anonymous = okq.0.anonymous.welcomes(seat.peer.ip());
        let caller = anonymous.then(|| okq.0.broker.anonymous());
        Talk {
            stream,
            attention: Attention::new(okq.0.broker.limits().poll),
            okq,
            seat,
            caller,
            resp3: false,
            name: Bytes::new(),
            registered: Vec::new(),
            targets: FxHashMap::default(),
            decoder: Decoder::default(),
            input: BytesMut::new(),
            whole_by: None,
            appetite: Appetite::new(IDLE_BYTES),
            out: Vec::new(),
            round: Round::default(),
            rounds: VecDeque::new(),
            presence,
        }
    }

    pub(super) fn broker(&self) -> &Broker {
        &self.okq.0.broker
    }

    pub(super) fn config(&self) -> &OkqConfig {
        &self.okq.0.config
    }

    /// Until the client or the broker closes. Borrows, since a future that owns what it was called with
    /// holds room for it twice, and so would every idle connection.
    pub async fn serve(&mut self) -> io::Result<()> {
        loop {
            let taken = self.take_requests().await?;
            self.submit();
            match taken {
                Taken::Close => {
                    self.settle().await?;
                    return self.close().await;
                }
                Taken::Enough if self.rounds.len() < ROUNDS_MAX => continue,
                Taken::Enough => {
                    self.settle_first().await?;
                    continue;
                }
                Taken::Wait(wait) => {
                    self.settle().await?;
                    self.give_back_room();
                    // Boxed, so that other connections do not hold the room for it.
                    if !Box::pin(self.wait_for(wait)).await? {
                        self.settle().await?;
                        return self.close().await;
                    }
                    continue;
                }
                Taken::All => (),
            }
            if !self.wait().await? {
                self.settle().await?;
                return self.close().await;
            }
        }
    }

    /// Waits for answers or for more input, whatever comes first. False: nothing more will come.
    async fn wait(&mut self) -> io::Result<bool> {
        if *self.seat.shut.borrow() {
            return Ok(false);
        }
        if self.rounds.is_empty() {
            return self.read_idle().await;
        }
        let room = self.rounds.len() < ROUNDS_MAX;
        let Talk { rounds, stream, .. } = self;
        let Some(first) = rounds.front_mut() else { return Ok(true) };
        let readable = tokio::select! {
            biased;
            () = first.answered() => false,
            ready = stream.readable(), if room => {
                ready?;
                true
            }
        };
        if readable { self.read_now() } else { self.settle_first().await.map(|()| true) }
    }

    /// Reads what is there; false at the end of the stream.
    fn read_now(&mut self) -> io::Result<bool> {
        match self.appetite.read(&mut self.stream, &mut self.input) {
            Ok(count) => Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Reads with nothing else to do; false at the end of the stream or of the broker.
    async fn read_idle(&mut self) -> io::Result<bool> {
        let between = self.input.is_empty() && self.decoder.is_between();
        if between {
            self.give_back_room();
        }
        let whole_by = match between {
            true => None,
            false => Some(*self.whole_by.get_or_insert_with(|| {
                Instant::now() + Duration::from_secs(self.okq.0.config.request_timeout_s)
            })),
        };
        loop {
            let (stream, shut) = (&self.stream, &mut self.seat.shut);
            let attention = &mut self.attention;
            tokio::select! {
                biased;
                ready = attention.readable(stream) => ready?,
                () = shut_down(shut) => return Ok(false),
                () = until(whole_by) => {
                    self.protocol_error("a request was begun and not finished in time");
                    return Ok(false);
                }
            }
            let before = self.input.len();
            if !self.read_now()? {
                return Ok(false);
            }
            if self.input.len() > before {
                return Ok(true);
            }
        }
    }

    /// A connection that waits holds no buffers.
    fn give_back_room(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.out = Vec::new();
        (self.rounds, self.whole_by) = (VecDeque::new(), None);
    }

    /// Sends the round's jobs on their way.
    fn submit(&mut self) {
        if !self.round.is_empty() {
            let next = self.round.next();
            let mut round = std::mem::replace(&mut self.round, next);
            match round.pushes() {
                0 => (),
                pushes => self.presence.traffic.received(pushes),
            }
            round.submit();
            self.rounds.push_back(round);
        }
    }

    /// Answers the first round and those behind it whose answers are there.
    async fn settle_first(&mut self) -> io::Result<()> {
        let limits = self.okq.0.broker.limits();
        let (bytes_max, body_bytes_max) = (limits.receive_bytes_max, limits.body_bytes_max);
        let mut first = true;
        while let Some(round) = self.rounds.front_mut() {
            if first {
                round.answered().await;
            } else if futures_util::FutureExt::now_or_never(round.answered()).is_none() {
                break;
            }
            first = false;
            round.complete(bytes_max, body_bytes_max).await;
            if let Some(large) = round.large() {
                let same = |target: &&mut Target| target.handle.name() == large;
                self.targets.values_mut().filter(same).for_each(|target| target.large = true);
            }
            match round.delivered() {
                0 => (),
                delivered => self.presence.traffic.sent(delivered),
            }
            round.render(&mut self.out, self.resp3);
            self.rounds.pop_front();
            if self.out.len() >= WRITE_BYTES {
                self.write_out().await?;
            }
        }
        self.write_out().await
    }

    /// Everything that was asked is answered.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        self.submit();
        while !self.rounds.is_empty() {
            self.settle_first().await?;
        }
        Ok(())
    }

    async fn write_out(&mut self) -> io::Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let stuck = Duration::from_secs(self.config().stuck_s);
        timeout(stuck, self.stream.write_all(&self.out))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        self.out.clear();
        if self.out.capacity() > OUT_BYTES_KEPT {
            self.out = Vec::new();
        }
        Ok(())
    }

    /// Says what is left to say and closes, without the kernel throwing it away because the client
    /// has sent more meanwhile.
    async fn close(&mut self) -> io::Result<()> {
        self.write_out().await?;
        // Whoever has closed consumes nothing.
        self.registered.clear();
        socket::close(&mut self.stream).await
    }

    /// The last answer of a connection.
    pub(super) fn protocol_error(&mut self, text: &str) {
        self.round.refuse(format!("ERR Protocol error: {text}"));
    }

    /// Takes the whole requests off the input, up to the end of a round.
    async fn take_requests(&mut self) -> io::Result<Taken> {
        // Taken out, so that requests can be looked at while the session works on them.
        let (mut input, mut decoder) =
            (std::mem::take(&mut self.input), std::mem::take(&mut self.decoder));
        let taken = self.take_from(&mut input, &mut decoder).await;
        (self.input, self.decoder) = (input, decoder);
        taken
    }

    async fn take_from(
        &mut self,
        input: &mut BytesMut,
        decoder: &mut Decoder,
    ) -> io::Result<Taken> {
        let body_bytes_max = self.broker().limits().body_bytes_max;
        let config = self.config();
        // A message that the broker would take is always read.
        let request_bytes_max = config.request_bytes_max.max(body_bytes_max + ID_BYTES_MAX);
        let bounds = Bounds { bulk_bytes_max: config.bulk_bytes_max, request_bytes_max };
        let mut used = 0;
        let taken = loop {
            if self.round.is_full() {
                break Ok(Taken::Enough);
            }
            let rest = input.get(used..).unwrap_or_default();
            match decoder.next(rest, &bounds) {
                Ok(Step::More) => break Ok(Taken::All),
                Ok(Step::Past(bytes)) => used += bytes,
                Ok(Step::Request(bytes)) => {
                    used += bytes;
                    self.whole_by = None;
                    let args = decoder.args(rest);
                    match self.request(&args).await {
                        Ok(None) => (),
                        Ok(Some(taken)) => break Ok(taken),
                        Err(error) => break Err(error),
                    }
                }
                Ok(Step::NotStrings(bytes)) => {
                    used += bytes;
                    self.whole_by = None;
                    self.round.refuse("ERR invalid command");
                }
                Ok(Step::TooLong(bytes)) => {
                    used += bytes;
                    self.whole_by = None;
                    self.round
                        .refuse(format!("ERR request is longer than {request_bytes_max} bytes"));
                }
                Err(malformed) => {
                    self.malformed(&malformed);
                    break Ok(Taken::Close);
                }
            }
        };
        input.advance(used.min(input.len()));
        taken
    }

    fn malformed(&mut self, malformed: &Malformed) {
        log::info!("okq: session {}, {}: {malformed}", self.seat.id, self.seat.peer);
        self.protocol_error(&malformed.to_string());
    }

    /// Does one request; `Some`: the round ends with it.
    #[inline]
    async fn request(&mut self, args: &Args<'_>) -> io::Result<Option<Taken>> {
        let command = match command::parse(args) {
            Ok(command) => command,
            Err(wrong) => {
                let wrong = if self.caller.is_some() { &*wrong } else { NOAUTH };
                self.round.refuse(wrong);
                return Ok(None);
            }
        };
        // Taken out, which is cheaper than a copy for each request.
        let Some(caller) = self.caller.take() else {
            return Box::pin(self.stranger(command)).await;
        };
        match self.quick(&caller, &command) {
            Quick::Done => {
                self.caller = Some(caller);
                Ok(None)
            }
            Quick::Slow => {
                self.caller = Some(caller.clone());
                // Boxed, so that an idle connection does not hold the room for it.
                Box::pin(self.slow(caller, command, args)).await
            }
        }
    }

    /// What somebody may say who has not said yet who it is.
    async fn stranger(&mut self, command: Command<'_>) -> io::Result<Option<Taken>> {
        match command {
            Command::Auth { .. } | Command::Hello { .. } | Command::Quit => {
                self.greet(command).await
            }
            Command::Echo { text: None } => {
                self.round.say(resp::PONG);
                Ok(None)
            }
            _ => {
                self.round.refuse(NOAUTH);
                Ok(None)
            }
        }
    }

    /// Does what only needs a topic that is known.
    #[inline]
    fn quick(&mut self, caller: &Caller, command: &Command<'_>) -> Quick {
        let (Command::Push { queue, .. }
        | Command::Pop { queue, .. }
        | Command::Peek { queue, .. }
        | Command::Ack { queue, .. }
        | Command::Redo { queue, .. }
        | Command::Nack { queue, .. }
        | Command::Flush { queue }) = *command
        else {
            if let Command::Echo { text: None } = command {
                self.round.say(resp::PONG);
                return Quick::Done;
            }
            return Quick::Slow;
        };
        // Taken out, so that the round can be worked on beside it.
        let mut targets = std::mem::take(&mut self.targets);
        let known = targets.get_mut(queue).filter(|target| target.handle.is_current());
        let done = match known {
            Some(target) => {
                self.on_target(caller, target, command);
                Quick::Done
            }
            None => Quick::Slow,
        };
        self.targets = targets;
        done
    }

    fn on_target(&mut self, caller: &Caller, target: &Target, command: &Command<'_>) {
        match *command {
            Command::Push { front, id, contents, noblock, .. } => {
                self.push(caller, target, (id, contents), front, noblock);
            }
            Command::Pop { pop, .. } => self.round.pop(target, caller, pop),
            Command::Peek { end, .. } => self.round.peek(target, caller, end),
            Command::Ack { id, .. } => self.round.ack(target, caller, id),
            Command::Redo { id, .. } => {
                let named = Named::Id { queue: target.queue.clone(), id: event_id(id) };
                self.round.nack(target, caller, named, Duration::ZERO);
            }
            Command::Nack { id, delay, .. } => {
                let named = Named::Anywhere { queue: target.queue.clone(), id: event_id(id) };
                self.round.nack(target, caller, named, delay);
            }
            Command::Flush { .. } => self.round.flush(target, caller),
            _ => (),
        }
    }

    #[inline]
    fn push(
        &mut self,
        caller: &Caller,
        target: &Target,
        (id, contents): (&[u8], &[u8]),
        front: bool,
        noblock: bool,
    ) {
        if id.len() > ID_BYTES_MAX {
            let length = id.len();
            let text =
                format!("ERR event id of {length} bytes exceeds the limit of {ID_BYTES_MAX}");
            return self.round.refuse(text);
        }
        // A copy of its own: slices would keep the whole read buffer alive.
        let message = if front {
            let client_id = Some(Bytes::copy_from_slice(id));
            let extra = Extra { client_id, front, ..Extra::default() };
            NewMessage::new(Bytes::copy_from_slice(contents), extra)
        } else {
            NewMessage::with_id(id, contents)
        };
        if !noblock {
            return self.round.push(target, caller, id, message);
        }
        let limit = self.broker().limits().body_bytes_max;
        let rights = target.handle.clone().for_caller(caller).need(crate::auth::Rights::WRITE);
        let refused = match rights {
            Ok(()) if contents.len() > limit => {
                Some(BrokerError::TooLarge { size: contents.len(), limit })
            }
            Ok(()) => None,
            Err(error) => Some(error),
        };
        if let Some(error) = refused {
            return self.round.refuse(refusal(&error).as_bytes());
        }
        match self.okq.noblock() {
            Some(unfinished) => self.round.push_unfinished(target, caller, message, unfinished),
            None => self.round.refuse("ERR too busy to process NOBLOCK event"),
        }
    }

    /// Does what must ask for more than a topic that is known.
    async fn slow(
        &mut self,
        caller: Caller,
        command: Command<'_>,
        args: &Args<'_>,
    ) -> io::Result<Option<Taken>> {
        match command {
            Command::Push { queue, .. } => match self.find_or_make(&caller, queue).await {
                Ok(target) => self.on_target(&caller, &target, &command),
                Err(error) => self.round.refuse(refusal(&error).as_bytes()),
            },
            Command::Pop { queue, .. }
            | Command::Peek { queue, .. }
            | Command::Ack { queue, .. }
            | Command::Redo { queue, .. }
            | Command::Nack { queue, .. }
            | Command::Flush { queue } => match self.find(&caller, queue).await {
                Ok(Some(target)) => self.on_target(&caller, &target, &command),
                // A queue that is not there is empty.
                Ok(None) => self.round.say(match command {
                    Command::Flush { .. } => resp::OK,
                    Command::Pop { .. } | Command::Peek { .. } => resp::nil(self.resp3),
                    _ => resp::ZERO,
                }),
                Err(error) => self.round.refuse(refusal(&error).as_bytes()),
            },
            Command::Figures(figures) => self.figures(&caller, figures, args).await?,
            Command::Register => {
                self.settle().await?;
                match self.register(&caller, args).await {
                    Ok(()) => self.round.say(resp::OK),
                    Err(error) => self.round.refuse(refusal(&error).as_bytes()),
                }
            }
            Command::Notify { timeout } => {
                return Ok(Some(Taken::Wait(Wait::Notify { caller, timeout })));
            }
            Command::BlockingPop { queues, timeout, pop } => {
                if queues > self.config().queues_max {
                    self.round.refuse(refusal(&self.too_many_queues()).as_bytes());
                    return Ok(None);
                }
                let names = args.from(1).take(queues).map(Bytes::copy_from_slice).collect();
                return Ok(Some(Taken::Wait(Wait::Pop { caller, names, timeout, pop })));
            }
            command => return self.greet(command).await,
        }
        Ok(None)
    }

    /// QSTATUS and QINFO.
    async fn figures(
        &mut self,
        caller: &Caller,
        figures: Figures,
        args: &Args<'_>,
    ) -> io::Result<()> {
        let text = self.config().qstatus_text;
        if args.len() > 1 {
            if args.len() - 1 > self.config().queues_max {
                self.round.refuse(refusal(&self.too_many_queues()).as_bytes());
                return Ok(());
            }
            let mut names = Vec::with_capacity(args.len() - 1);
            for queue in args.from(1) {
                match self.find(caller, queue).await {
                    Ok(target) => names.push((queue.to_vec(), target)),
                    Err(error) => {
                        self.round.refuse(refusal(&error).as_bytes());
                        return Ok(());
                    }
                }
            }
            self.round.figures(caller, names, figures, text);
            return Ok(());
        }
        // Everything before this is done when the topics are asked.
        self.settle().await?;
        match self.broker().list_topics(caller, None, usize::MAX).await {
            Ok((topics, _)) => {
                let rows = Row::of_all(&topics);
                self.round.write(|out| figures::write(out, &rows, figures, text));
            }
            Err(error) => self.round.refuse(refusal(&error).as_bytes()),
        }
        Ok(())
    }

    pub(super) fn too_many_queues(&self) -> BrokerError {
        BrokerError::TooMany { what: "queues in one request", limit: self.config().queues_max }
    }
}

const NOAUTH: &str = "NOAUTH Authentication required.";

/// At that time, or never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
