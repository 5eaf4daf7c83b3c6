//! One connection of an octoque client.
//!
//! The read loop is a task of the connection's actor and speaks to the topics directly. What one read holds is parsed whole; commands that follow each
//! other for the same topics travel as one batch per topic, and all replies leave with one write.

use super::codec::{self, Command, Line, Lines, Put};
use super::push;
use crate::broker::{
    Arrival, Broker, BrokerError, Caller, Home, Job, Look, NewTopic, Op, Presence, Reply, Slot,
    SlowPolicy, Subscription, TopicHandle, clock,
};
use crate::config::OtqConfig;
use crate::dialect::door::{Protocol, Seat, shut_down};
use crate::dialect::socket::{self, Attention};
use crate::queue::*;
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use std::{borrow::Cow, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, timeout},
};

/// Bytes read at a time from a client that sends much.
const READ_BYTES: usize = 64 << 10;
/// Bytes read at a time from one that does not.
const IDLE_BYTES: usize = 2 << 10;
/// Jobs of one round that may be out; as many as its channel holds.
const JOBS_MAX: usize = 64;
/// Commands of one round: bounds the replies that are kept until they are written.
const COMMANDS_MAX: usize = 1024;
/// Bytes of rows or replies after which a round ends.
const ROUND_BYTES_MAX: usize = 1 << 20;
/// Topics whose address a session remembers.
const HANDLES_MAX: usize = 256;
/// Keep-alives that a client which did answer before may leave unanswered.
const MISSED_MAX: u32 = 3;

/// octoque's protocol: what the connections of its door speak.
#[derive(Clone)]
pub struct Otq {
    broker: Broker,
    config: Arc<OtqConfig>,
}

impl Otq {
    /// Over a broker.
    pub fn new(broker: Broker, config: OtqConfig) -> Self {
        Otq { broker, config: Arc::new(config) }
    }

    /// Bytes that may wait to be written to a subscriber.
    fn buffer_bytes_max(&self) -> u64 {
        let limits = self.broker.limits();
        (limits.subscriber_chunks * limits.chunk_bytes) as u64
    }

    /// Speaks with a client that is logged in already, over any stream of bytes, until one of both
    /// closes it. An error says that the client broke off, or was too slow.
    pub async fn speak(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        caller: Caller,
        presence: Presence,
    ) -> io::Result<()> {
        let shut = self.broker.stopping();
        let mut talk = Talk::new(stream, self, None, shut, presence);
        (talk.caller, talk.login_by) = (Some(Arc::new(caller)), None);
        talk.serve().await
    }
}

impl Protocol for Otq {
    const DOOR: &'static str = "otq";

    fn connections_max(&self) -> usize {
        self.config.connections_max
    }

    fn parked_max(&self) -> usize {
        self.config.parked_max
    }

    fn serve(self, stream: TcpStream, seat: Seat<Self>) -> LocalBoxFuture<'static, io::Result<()>> {
        let shut = seat.shut.clone();
        let presence = self.broker.arrive(Arrival {
            door: "otq",
            peer: Some(seat.peer),
            user: None,
            buffer_bytes_max: self.buffer_bytes_max(),
            close: seat.closer(),
        });
        Box::pin(Talk::new(stream, self, Some(seat), shut, presence).serve())
    }
}

/// A job that has come home: its tag and its replies.
type Answered = (u64, Vec<Slot>);

/// A PUT whose rows are still coming.
struct Rows {
    put: Put,
    targets: Vec<Target>,
    extra: Option<Arc<Extra>>,
    left: u64,
    /// Rows taken off the wire and not handed to the topics yet; `None`: too long.
    gathered: Vec<Option<Content>>,
    gathered_bytes: usize,
}

/// A topic, or one queue of it.
#[derive(Clone)]
struct Target {
    handle: TopicHandle,
    queue: Option<QueueName>,
}

/// What will be written when the round's jobs are home, in command order.
enum Due {
    /// Bytes that depend on nothing.
    Bytes(Vec<u8>),
    /// The messages of a GET.
    Messages { job: usize, slot: usize },
    /// The rows of a PUT: `results` per row across the targets, `size` for PUTACK.
    Stored { put: Put, rows: Vec<bool>, jobs: Vec<(usize, usize)>, size: Option<(usize, usize)> },
    /// A CLEAR.
    Cleared { job: usize, slot: usize },
}

/// What the loop does after a command.
enum Next {
    /// Goes on.
    Go,
    /// Hands over what there is and writes what is due, then goes on.
    Write,
    /// Reads the rows of a PUT.
    Rows(Rows),
    /// Pushes to this client.
    Push(Vec<Subscription>),
    /// Writes what is due, then closes.
    Close,
}

/// How far the rows of a PUT have come.
enum Taken {
    /// All of them are there.
    All,
    /// As many as one round takes; more may be there.
    Enough,
    /// All that was read.
    Some,
    /// A command came where a row was expected: the client is one reply behind.
    Command,
}

/// The conversation of one connection.
struct Talk<S> {
    stream: S,
    attention: Attention,
    broker: Broker,
    config: Arc<OtqConfig>,
    /// Its place at the TCP door, if it came in there.
    seat: Option<Seat<Otq>>,
    /// Becomes true when it is to end.
    shut: watch::Receiver<bool>,
    caller: Option<Arc<Caller>>,
    /// Until when it must have logged in; `None`: it has.
    login_by: Option<Instant>,
    lines: Lines,
    input: BytesMut,
    /// The last read filled the buffer.
    busy: bool,
    out: Vec<u8>,
    handles: Vec<(Bytes, Target)>,
    /// A GET or PUT was declined for want of rights: rows may be commands, see `looks_like_command`.
    suspicious: bool,
    /// UNSUBSCRIBE was the last command.
    unsubscribed: bool,
    jobs: Vec<(TopicHandle, Vec<Slot>)>,
    due: Vec<Due>,
    home: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    presence: Presence,
}

fn reason(error: &BrokerError) -> Cow<'static, str> {
    match error {
        BrokerError::TopicNotFound(_) => "Requested topic not found".into(),
        BrokerError::TopicExists(_) => "Topic is already existed".into(),
        BrokerError::TooManyTopics { limit } => format!(
            "Exceed the number of allowed queue topic defined , maximum topic size is {limit}"
        )
        .into(),
        BrokerError::NotAllowed(_) | BrokerError::Unauthenticated => "Unauthorized access".into(),
        BrokerError::Refused(refusal) => match refusal {
            Refusal::WrongKind => "Topic is not subscribable".into(),
            Refusal::Full { .. }
            | Refusal::Paused
            | Refusal::QueueNotFound
            | Refusal::QueueExists
            | Refusal::ReceiptGone
            | Refusal::MessageNotFound
            | Refusal::DuplicateId
            | Refusal::OutOfBounds(_) => refusal.to_string().into(),
        },
        BrokerError::TooLarge { .. }
        | BrokerError::BackupExists(_)
        | BrokerError::Account(_)
        | BrokerError::TooMany { .. }
        | BrokerError::MemoryFull
        | BrokerError::DiskFull
        | BrokerError::Busy
        | BrokerError::Store(_)
        | BrokerError::Unavailable
        | BrokerError::TopicFailed
        | BrokerError::Stopping => error.to_string().into(),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(
        stream: S,
        otq: Otq,
        seat: Option<Seat<Otq>>,
        shut: watch::Receiver<bool>,
        presence: Presence,
    ) -> Self {
        let Otq { broker, config } = otq;
        let login_by = Instant::now().checked_add(Duration::from_secs(config.login_timeout_s));
        Talk {
            stream,
            attention: Attention::new(broker.limits().poll),
            broker,
            config,
            seat,
            shut,
            caller: None,
            login_by,
            lines: Lines::default(),
            input: BytesMut::new(),
            busy: false,
            out: Vec::new(),
            handles: Vec::new(),
            suspicious: false,
            unsubscribed: false,
            jobs: Vec::new(),
            due: Vec::new(),
            home: mpsc::channel(JOBS_MAX),
            presence,
        }
    }

    /// Until the client or the broker closes.
    async fn serve(mut self) -> io::Result<()> {
        let mut rows: Option<Rows> = None;
        loop {
            let next = match &mut rows {
                Some(open) => match self.take_rows(open) {
                    Taken::All => {
                        rows = None;
                        continue;
                    }
                    Taken::Enough => Some(Next::Write),
                    Taken::Some => None,
                    Taken::Command => Some(self.decline_and_close("Unauthorized access")),
                },
                None => self.take_command().await?,
            };
            match next {
                Some(Next::Go) => continue,
                Some(Next::Write) => {
                    self.finish_round().await?;
                    continue;
                }
                Some(Next::Rows(open)) => {
                    rows = Some(open);
                    continue;
                }
                Some(Next::Close) => {
                    self.finish_round().await?;
                    return self.close().await;
                }
                Some(Next::Push(subscriptions)) => {
                    self.finish_round().await?;
                    if !self.push(subscriptions).await? {
                        return Ok(());
                    }
                    continue;
                }
                None => (),
            }
            // Everything that was read is parsed: hand it over, answer, read on.
            self.finish_round().await?;
            if !self.read(rows.is_some()).await? {
                return Ok(());
            }
        }
    }

    /// Reads more; false at the end of the stream or when the session is to end.
    async fn read(&mut self, in_rows: bool) -> io::Result<bool> {
        if self.input.is_empty() && !self.busy {
            // An idle connection holds no more than this.
            self.input = BytesMut::with_capacity(IDLE_BYTES);
        }
        let wanted = if self.busy { READ_BYTES } else { IDLE_BYTES };
        self.input.reserve(wanted);
        let room = self.input.capacity() - self.input.len();
        let waits_for_rest = in_rows || !self.input.is_empty();
        // Only a client that owes its name, rows or the rest of a line is waited for with a bound.
        let stuck = Duration::from_secs(self.config.stuck_s);
        let stuck = waits_for_rest.then(|| Instant::now().checked_add(stuck)).flatten();
        let bound = stuck.into_iter().chain(self.login_by).min();
        let count = tokio::select! {
            biased;
            count = self.attention.read(&mut self.stream, &mut self.input) => count?,
            () = shut_down(&mut self.shut) => return Ok(false),
            () = until(bound) => return Err(io::ErrorKind::TimedOut.into()),
        };
        // A client that fills the buffer sends much: the next read takes more at once.
        self.busy = count >= room || (self.busy && count > IDLE_BYTES);
        Ok(count > 0)
    }

    async fn write_out(&mut self) -> io::Result<()> {
        let stuck = Duration::from_secs(self.config.stuck_s);
        socket::write_out(&mut self.stream, &mut self.out, stuck, READ_BYTES).await
    }

    /// Says what is left to say and closes.
    async fn close(mut self) -> io::Result<()> {
        self.write_out().await?;
        socket::close(self.stream).await
    }

    /// Takes one command off the input; `None`: there is no whole one.
    async fn take_command(&mut self) -> io::Result<Option<Next>> {
        let line = match self.lines.next(&mut self.input, self.config.command_bytes_max) {
            Some(Line::Whole(line)) => line,
            Some(Line::TooLong) => return Ok(Some(self.malformed(&codec::Malformed::Command))),
            None if self.lines.is_skipping() => {
                return Ok(Some(self.malformed(&codec::Malformed::Command)));
            }
            None => return Ok(None),
        };
        if self.due.len() >= COMMANDS_MAX {
            self.finish_round().await?;
        }
        let command = match codec::parse(&line, self.config.rows_max) {
            Ok(command) => command,
            Err(malformed) => return Ok(Some(self.malformed(&malformed))),
        };
        self.command(command).await.map(Some)
    }

    fn malformed(&mut self, malformed: &codec::Malformed) -> Next {
        self.decline_and_close(&malformed.to_string())
    }

    /// Adds bytes behind what is due.
    fn say(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(Due::Bytes(bytes)) = self.due.last_mut() {
            write(bytes);
        } else {
            let mut bytes = Vec::new();
            write(&mut bytes);
            self.due.push(Due::Bytes(bytes));
        }
    }

    /// ENDOFRESP behind the reason is harmless to the client library and ends the endless read
    /// loops of some of its calls.
    fn decline(&mut self, reason: &str) -> Next {
        self.say(|out| {
            codec::decline(out, reason);
            out.extend_from_slice(codec::END);
        });
        Next::Go
    }

    fn decline_and_close(&mut self, reason: &str) -> Next {
        self.decline(reason);
        Next::Close
    }

    /// A refusal before PROCEED: want of rights leaves the session open, all else closes it.
    fn refuse(&mut self, error: &BrokerError) -> Next {
        match error {
            BrokerError::NotAllowed(_) => self.decline(&reason(error)),
            error => self.decline_and_close(&reason(error)),
        }
    }

    async fn command(&mut self, command: Command) -> io::Result<Next> {
        if command != Command::Disconnect {
            self.unsubscribed = false;
        }
        let (user, password) = match command {
            Command::Connect { user, password } => (user, password),
            Command::Disconnect => {
                self.finish_round().await?;
                // The library says it directly behind UNSUBSCRIBE, and would spin if the broker
                // closed first.
                if self.unsubscribed {
                    self.park().await?;
                }
                return Ok(Next::Close);
            }
            // Login is asked before the topic is looked up, so that names do not leak.
            command => {
                let Some(caller) = self.caller.clone() else {
                    return Ok(self.decline("Unauthorized access"));
                };
                return self.authorised(caller, command).await;
            }
        };
        self.finish_round().await?;
        self.handles.clear();
        self.caller = None;
        match self.broker.login(&user, &password).await {
            Ok(caller) => {
                self.presence.belongs_to(Some(&caller));
                self.caller = Some(Arc::new(caller));
                self.login_by = None;
                self.say(|out| {
                    out.extend_from_slice(codec::CONNECTED);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error) => {
                let session = self.seat.as_ref().map_or(0, |seat| seat.id);
                log::info!("otq: session {session}: login refused: {error}");
                Ok(self.decline_and_close(&reason(&error)))
            }
        }
    }

    async fn authorised(&mut self, caller: Arc<Caller>, command: Command) -> io::Result<Next> {
        match command {
            Command::Get { topic, count } => self.get(&caller, topic, count).await,
            Command::Put { put, topic, rows, lifespan_s } => {
                self.put(&caller, topic, put, rows, lifespan_s).await
            }
            Command::Subscribe(topic) => self.subscribe(&caller, topic).await,
            Command::New { topic, kind, capacity } => {
                self.new_topic(&caller, topic, kind, capacity).await
            }
            Command::Display(topic) => self.display(&caller, topic).await,
            Command::Clear(topic) => match self.target(&caller, topic).await {
                Ok(target) => match target.handle.need(crate::auth::Rights::CLEAR) {
                    Ok(()) => {
                        let (job, slot) =
                            self.ask(&target.handle, Op::Purge { queue: target.queue });
                        self.due.push(Due::Cleared { job, slot });
                        Ok(Next::Go)
                    }
                    Err(error) => Ok(self.refuse(&error)),
                },
                Err(error) => Ok(self.refuse(&error)),
            },
            Command::Ping(topic) => {
                let known = self.target(&caller, topic).await;
                self.say(|out| {
                    out.extend_from_slice(if known.is_ok() {
                        codec::PONG
                    } else {
                        codec::NOT_FOUND
                    });
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Command::Acknowledge(topic) => match self.target(&caller, topic).await {
                Ok(_) => {
                    self.say(|out| {
                        out.extend_from_slice(codec::ACKNOWLEDGE);
                        out.extend_from_slice(codec::END);
                    });
                    Ok(Next::Go)
                }
                Err(error) => Ok(self.refuse(&error)),
            },
            // Outside a subscription it ends nothing.
            Command::Unsubscribe(_) => {
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Command::Connect { .. } | Command::Disconnect => Ok(Next::Close),
        }
    }

    /// The topic a name means, or the queue of one: `topic/queue` where both exist.
    async fn target(&mut self, caller: &Caller, name: Bytes) -> Result<Target, BrokerError> {
        let known = self
            .handles
            .iter()
            .find(|(known, target)| *known == name && target.handle.is_current());
        if let Some((_, target)) = known {
            // The rights of now: an administrator may have changed the user meanwhile.
            let handle = target.handle.clone().for_caller(caller);
            return Ok(Target { handle, queue: target.queue.clone() });
        }
        let target = self.look_up(caller, &name).await?;
        self.handles.retain(|(known, _)| *known != name);
        if self.handles.len() >= HANDLES_MAX {
            self.handles.remove(0);
        }
        self.handles.push((name, target.clone()));
        Ok(target)
    }

    async fn look_up(&self, caller: &Caller, name: &[u8]) -> Result<Target, BrokerError> {
        if let Some((topic, queue)) = name::split_address(name)
            && let Ok(handle) = self.broker.topic(caller, &topic).await
            && handle.has_queue(&queue).await
        {
            return Ok(Target { handle, queue: Some(queue) });
        }
        let name = match TopicName::parse(name) {
            Ok(name) => name,
            // A name longer than any topic's is one that is not there.
            Err(_) => {
                let shown = TopicName::parse(name.get(..name::NAME_BYTES_MAX).unwrap_or_default());
                return Err(shown.map_or(BrokerError::Unavailable, BrokerError::TopicNotFound));
            }
        };
        let handle = self.broker.topic(caller, &name).await?;
        Ok(Target { handle, queue: None })
    }

    /// One topic, or several separated by commas where no topic has the whole name.
    async fn targets(&mut self, caller: &Caller, names: Bytes) -> Result<Vec<Target>, BrokerError> {
        match self.target(caller, names.clone()).await {
            Ok(target) => return Ok(vec![target]),
            Err(error) if !names.contains(&b',') => return Err(error),
            Err(_) => (),
        }
        let mut targets = Vec::new();
        for name in names.split(|byte| *byte == b',') {
            if targets.len() >= JOBS_MAX / 2 {
                return Err(BrokerError::TooMany {
                    what: "topics in one command",
                    limit: JOBS_MAX / 2,
                });
            }
            targets.push(self.target(caller, names.slice_ref(name)).await?);
        }
        Ok(targets)
    }

    /// Adds an op to the round's job of its topic; answers where its reply will be.
    fn ask(&mut self, handle: &TopicHandle, op: Op) -> (usize, usize) {
        let same = |(known, _): &(TopicHandle, Vec<Slot>)| known.name() == handle.name();
        let job = match self.jobs.iter().position(same) {
            Some(job) => job,
            None => {
                self.jobs.push((handle.clone(), Vec::new()));
                self.jobs.len() - 1
            }
        };
        let slots = self.jobs.get_mut(job).map(|(_, slots)| {
            slots.push(Slot::Op(op));
            slots.len() - 1
        });
        (job, slots.unwrap_or(0))
    }

    /// Sends the round's jobs, waits for all, writes all that is due.
    async fn finish_round(&mut self) -> io::Result<()> {
        let mut answers: Vec<Vec<Slot>> = Vec::with_capacity(self.jobs.len());
        answers.resize_with(self.jobs.len(), Vec::new);
        let out = self.jobs.len();
        for (tag, (handle, slots)) in self.jobs.drain(..).enumerate() {
            handle.submit(Job::new(slots, Home::Channel(self.home.0.clone()), tag as u64));
        }
        for _ in 0..out {
            let Some((tag, slots)) = self.home.1.recv().await else { break };
            if let Some(place) = usize::try_from(tag).ok().and_then(|tag| answers.get_mut(tag)) {
                *place = slots;
            }
        }
        for due in std::mem::take(&mut self.due) {
            self.render(due, &mut answers);
        }
        self.write_out().await
    }

    fn render(&mut self, due: Due, answers: &mut [Vec<Slot>]) {
        let mut reply = |(job, slot): (usize, usize)| {
            let slot = answers.get_mut(job).and_then(|slots| slots.get_mut(slot));
            match slot {
                Some(Slot::Reply(reply)) => std::mem::replace(reply, Reply::Counted(0)),
                Some(Slot::Op(_)) | None => Reply::Failed(BrokerError::Unavailable),
            }
        };
        let out = &mut self.out;
        match due {
            Due::Bytes(bytes) => out.extend_from_slice(&bytes),
            Due::Messages { job, slot } => {
                out.extend_from_slice(codec::PROCEED);
                match reply((job, slot)) {
                    Reply::Delivered(deliveries) => {
                        self.presence.traffic.sent(deliveries.len());
                        for delivery in &deliveries {
                            codec::row(out, delivery.message.body());
                        }
                    }
                    Reply::Failed(error) => codec::decline(out, &reason(&error)),
                    _ => (),
                }
                out.extend_from_slice(codec::END);
            }
            Due::Cleared { job, slot } => {
                out.extend_from_slice(codec::PROCEED);
                match reply((job, slot)) {
                    Reply::Failed(error) => codec::decline(out, &reason(&error)),
                    _ => out.extend_from_slice(codec::CLEARED),
                }
                out.extend_from_slice(codec::END);
            }
            Due::Stored { put, mut rows, jobs, size } => {
                // Every topic was sent these rows, whatever another made of them.
                let sent = rows.clone();
                for place in jobs {
                    let fitting =
                        rows.iter_mut().zip(&sent).filter(|(_, sent)| **sent).map(|(row, _)| row);
                    match reply(place) {
                        Reply::Published(results) => {
                            fitting.zip(&results).for_each(|(row, result)| *row &= result.is_ok());
                        }
                        _ => fitting.for_each(|row| *row = false),
                    }
                }
                let mut behind = rows.iter().filter(|row| **row).count() as u64;
                let size = match size.map(&mut reply) {
                    Some(Reply::Figures(figures)) => figures.counts.ready + figures.counts.delayed,
                    _ => 0,
                };
                for row in rows {
                    if row && put == Put::Acknowledged {
                        behind -= 1;
                        // Rows that went straight to subscribers leave the topic as it was.
                        codec::stored(out, size.saturating_sub(behind));
                    } else if !row {
                        out.extend_from_slice(codec::FAIL);
                    }
                }
            }
        }
    }

    async fn get(&mut self, caller: &Caller, topic: Bytes, count: u64) -> io::Result<Next> {
        if &topic[..] == b"*" {
            if !caller.is_admin() {
                self.suspicious = true;
                return Ok(self.decline("Unauthorized access"));
            }
            self.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                out.extend_from_slice(codec::END);
            });
            return Ok(Next::Go);
        }
        let target = match self.target(caller, topic).await {
            Ok(target) => target,
            Err(error) => return Ok(self.refuse(&error)),
        };
        if let Err(error) = target.handle.need(crate::auth::Rights::READ) {
            self.suspicious = true;
            return Ok(self.refuse(&error));
        }
        let limits = self.broker.limits();
        let (batch, bytes_max) = (limits.batch_max, limits.receive_bytes_max);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let take =
            |max| Receive { max, bytes_max, ack_deadline: None, take: true, from_back: false };
        let receive =
            |max| Op::Receive { queue: target.queue.clone(), request: take(max), wait: None };
        if count == 0 {
            self.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                out.extend_from_slice(codec::END);
            });
            return Ok(Next::Go);
        }
        if count <= batch
            && count.saturating_mul(limits.body_bytes_max) <= bytes_max.max(ROUND_BYTES_MAX)
        {
            let (job, slot) = self.ask(&target.handle, receive(count));
            self.due.push(Due::Messages { job, slot });
            if self.jobs.len() >= JOBS_MAX {
                self.finish_round().await?;
            }
            return Ok(Next::Go);
        }
        // More than one batch may be needed: taken and written piece by piece.
        self.finish_round().await?;
        self.out.extend_from_slice(codec::PROCEED);
        let mut left = count;
        while left > 0 {
            let reply = target.handle.ask(receive(left.min(batch))).await;
            let deliveries = match reply {
                Ok(Reply::Delivered(deliveries)) if !deliveries.is_empty() => deliveries,
                Ok(Reply::Failed(error)) | Err(error) => {
                    codec::decline(&mut self.out, &reason(&error));
                    break;
                }
                Ok(_) => break,
            };
            left = left.saturating_sub(deliveries.len());
            self.presence.traffic.sent(deliveries.len());
            for delivery in &deliveries {
                codec::row(&mut self.out, delivery.message.body());
                if self.out.len() >= ROUND_BYTES_MAX {
                    self.write_out().await?;
                }
            }
        }
        self.out.extend_from_slice(codec::END);
        self.write_out().await?;
        Ok(Next::Go)
    }

    async fn put(
        &mut self,
        caller: &Caller,
        topic: Bytes,
        put: Put,
        rows: u64,
        lifespan_s: u64,
    ) -> io::Result<Next> {
        let targets = match self.targets(caller, topic).await {
            Ok(targets) => targets,
            Err(error) => return Ok(self.refuse(&error)),
        };
        let denied =
            targets.iter().find_map(|target| target.handle.need(crate::auth::Rights::WRITE).err());
        if let Some(error) = denied {
            self.suspicious = true;
            return Ok(self.refuse(&error));
        }
        self.say(|out| out.extend_from_slice(codec::PROCEED));
        if rows == 0 {
            self.say(|out| out.extend_from_slice(codec::END));
            return Ok(Next::Go);
        }
        let extra = (lifespan_s > 0).then(|| {
            let expires_at = Some(clock::now().after(Duration::from_secs(lifespan_s)));
            Arc::new(Extra { expires_at, ..Extra::default() })
        });
        Ok(Next::Rows(Rows {
            put,
            targets,
            extra,
            left: rows,
            gathered: Vec::new(),
            gathered_bytes: 0,
        }))
    }

    /// Takes the rows that are there. They are handed to the topics with this round, whether
    /// others follow or not.
    fn take_rows(&mut self, open: &mut Rows) -> Taken {
        let limits = self.broker.limits();
        let (body_bytes_max, batch_max) = (limits.body_bytes_max, limits.batch_max);
        let mut enough = false;
        while open.left > 0 && !enough {
            let row = match self.lines.next(&mut self.input, body_bytes_max) {
                // A copy of its own: a slice would keep the whole read buffer alive.
                Some(Line::Whole(row)) => Some(Content::from(&*row)),
                Some(Line::TooLong) => None,
                None => break,
            };
            let is_command =
                |row: &Content| codec::looks_like_command(row.body(), self.config.rows_max);
            if self.suspicious && row.as_ref().is_some_and(is_command) {
                return Taken::Command;
            }
            open.left -= 1;
            open.gathered_bytes += row.as_ref().map_or(0, Content::len);
            open.gathered.push(row);
            enough = open.gathered.len() >= batch_max || open.gathered_bytes >= ROUND_BYTES_MAX;
        }
        self.hand_over(open);
        match (open.left, enough) {
            (0, _) => {
                self.say(|out| out.extend_from_slice(codec::END));
                Taken::All
            }
            (_, true) => Taken::Enough,
            (_, false) => Taken::Some,
        }
    }

    fn hand_over(&mut self, open: &mut Rows) {
        let gathered = std::mem::take(&mut open.gathered);
        open.gathered_bytes = 0;
        if gathered.is_empty() {
            return;
        }
        self.presence.traffic.received(gathered.len());
        let rows: Vec<bool> = gathered.iter().map(Option::is_some).collect();
        let message = |body| NewMessage { body, extra: open.extra.clone() };
        let mut messages: Vec<NewMessage> = gathered.into_iter().flatten().map(message).collect();
        let mut jobs = Vec::with_capacity(open.targets.len());
        for (at, target) in open.targets.iter().enumerate() {
            let last = at + 1 == open.targets.len();
            let messages = if last { std::mem::take(&mut messages) } else { messages.clone() };
            jobs.push(self.ask(&target.handle, Op::Publish { to: target.queue.clone(), messages }));
        }
        let size = match (open.put, open.targets.first().cloned()) {
            (Put::Acknowledged, Some(target)) => {
                Some(self.ask(&target.handle, Op::Counts { queue: target.queue }))
            }
            _ => None,
        };
        self.due.push(Due::Stored { put: open.put, rows, jobs, size });
    }

    async fn new_topic(
        &mut self,
        caller: &Caller,
        topic: Bytes,
        kind: Kind,
        capacity: u64,
    ) -> io::Result<Next> {
        self.finish_round().await?;
        let Ok(name) = TopicName::parse(&topic) else {
            return Ok(self.decline_and_close("Missing topic name"));
        };
        let queues = match kind {
            Kind::Broker => vec![(QueueName::default_queue(), QueuePolicy::default())],
            Kind::Pubsub => Vec::new(),
        };
        let policy = TopicPolicy { capacity, ..self.broker.default_policy(kind) };
        let made = if &topic[..] == b"*" {
            Err(BrokerError::NotAllowed("create"))
        } else {
            self.broker
                .create_topic(caller, NewTopic { name, kind, policy, queues, owner: None })
                .await
        };
        match made {
            Ok(_) => {
                // PROCEED must be the first line: the client reads one line, then up to the end.
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    out.extend_from_slice(codec::SUCCESS);
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error @ BrokerError::NotAllowed(_)) => Ok(self.refuse(&error)),
            Err(error @ BrokerError::TopicExists(_)) => {
                self.say(|out| out.extend_from_slice(codec::PROCEED));
                Ok(self.refuse(&error))
            }
            Err(error) => Ok(self.refuse(&error)),
        }
    }

    async fn display(&mut self, caller: &Caller, topic: Bytes) -> io::Result<Next> {
        self.finish_round().await?;
        let shown = if &topic[..] == b"*" {
            if !caller.is_admin() {
                return Ok(self.decline("Unauthorized access"));
            }
            self.broker.list_topics(caller, None, usize::MAX).await.map(|(figures, _)| figures)
        } else {
            match self.target(caller, topic).await {
                Ok(target) => target.handle.describe().await.map(|figures| vec![figures]),
                Err(error) => Err(error),
            }
        };
        match shown {
            Ok(topics) => {
                self.say(|out| {
                    out.extend_from_slice(codec::PROCEED);
                    for topic in &topics {
                        let definition = &topic.definition;
                        let (name, capacity) =
                            (definition.name.as_bytes(), definition.policy.capacity);
                        codec::display(out, name, definition.kind, capacity, topic.waiting());
                    }
                    out.extend_from_slice(codec::END);
                });
                Ok(Next::Go)
            }
            Err(error) => Ok(self.refuse(&error)),
        }
    }

    async fn subscribe(&mut self, caller: &Caller, topics: Bytes) -> io::Result<Next> {
        self.finish_round().await?;
        // ENDOFRESP is not sent: the library would hand it to the user as a message.
        let not_subscribable = |talk: &mut Self| {
            talk.say(|out| {
                out.extend_from_slice(codec::PROCEED);
                codec::decline(out, "Topic is not subscribable");
            });
            Ok(Next::Close)
        };
        let refuse = |talk: &mut Self, error: &BrokerError| match error {
            BrokerError::NotAllowed(_) => Ok(talk.refuse(error)),
            error => {
                talk.say(|out| codec::decline(out, &reason(error)));
                Ok(Next::Close)
            }
        };
        if &topics[..] == b"*" {
            return if caller.is_admin() {
                not_subscribable(self)
            } else {
                Ok(self.decline("Unauthorized access"))
            };
        }
        let targets = match self.targets(caller, topics).await {
            Ok(targets) => targets,
            Err(error) => return refuse(self, &error),
        };
        let denied =
            targets.iter().find_map(|target| target.handle.need(crate::auth::Rights::READ).err());
        if let Some(error) = denied {
            return Ok(self.refuse(&error));
        }
        if targets.iter().any(|target| target.handle.kind() != Kind::Pubsub) {
            return not_subscribable(self);
        }
        let mut subscriptions = Vec::with_capacity(targets.len());
        for target in targets {
            let look = Look::from(push::FORMAT).counted(&self.presence.traffic);
            match target.handle.subscribe(None, look, SlowPolicy::Disconnect).await {
                Ok(subscription) => subscriptions.push(subscription),
                Err(error) => return refuse(self, &error),
            }
        }
        self.say(|out| out.extend_from_slice(codec::PROCEED));
        Ok(Next::Push(subscriptions))
    }

    /// The push phase. True: back to commands; false: the session has ended.
    async fn push(&mut self, mut subscriptions: Vec<Subscription>) -> io::Result<bool> {
        let keep_alive = Duration::from_secs(self.config.keep_alive_s);
        let mut ticks =
            tokio::time::interval_at(tokio::time::Instant::now() + keep_alive, keep_alive);
        let (mut answers, mut missed) = (false, 0);
        let mut chunks: Vec<Bytes> = Vec::new();
        loop {
            // First what came along with SUBSCRIBE, then what was read below.
            while let Some(line) = self.lines.next(&mut self.input, self.config.command_bytes_max) {
                (answers, missed) = (true, 0);
                let Line::Whole(line) = line else { continue };
                match codec::parse(&line, self.config.rows_max) {
                    Ok(Command::Unsubscribe(_)) => {
                        // The one line that the library's subscriber loop skips.
                        self.say(|out| out.extend_from_slice(codec::PROCEED));
                        self.unsubscribed = true;
                        return Ok(true);
                    }
                    Ok(Command::Disconnect) => {
                        drop(subscriptions);
                        self.park().await?;
                        return Ok(false);
                    }
                    // Everything else answers a blank line.
                    _ => (),
                }
            }
            if self.input.is_empty() {
                self.input = BytesMut::new();
            }
            tokio::select! {
                biased;
                more = std::future::poll_fn(|task| push::poll_chunks(&mut subscriptions, &mut chunks, task)) => {
                    if more.is_none() {
                        return Ok(false);
                    }
                    self.write_chunks(&mut chunks).await?;
                    // Others on this thread, the topic among them, get their turn.
                    tokio::task::yield_now().await;
                }
                () = shut_down(&mut self.shut) => return Ok(false),
                // What it reads into takes a few bytes until the client says something.
                count = self.stream.read_buf(&mut self.input) => {
                    if count? == 0 {
                        return Ok(false);
                    }
                    if self.input.len() == self.input.capacity() {
                        self.input.reserve(IDLE_BYTES);
                    }
                }
                _ = ticks.tick() => {
                    if answers && missed >= MISSED_MAX {
                        return Ok(false);
                    }
                    missed += 1;
                    self.out.extend_from_slice(codec::KEEP_ALIVE);
                    self.write_out().await?;
                }
            }
        }
    }

    async fn write_chunks(&mut self, chunks: &mut Vec<Bytes>) -> io::Result<()> {
        let stuck = Duration::from_secs(self.config.stuck_s);
        let stream = &mut self.stream;
        let writing = async {
            while !chunks.is_empty() {
                let slices: Vec<io::IoSlice<'_>> =
                    chunks.iter().map(|chunk| io::IoSlice::new(chunk)).collect();
                let mut written = stream.write_vectored(&slices).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                while let Some(first) = chunks.first_mut() {
                    if written < first.len() {
                        bytes::Buf::advance(first, written);
                        break;
                    }
                    written -= first.len();
                    chunks.remove(0);
                }
            }
            Ok(())
        };
        timeout(stuck, writing).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Waits for the client to close; whatever it says is ignored.
    async fn park(&mut self) -> io::Result<()> {
        if let Some(seat) = &self.seat {
            seat.park();
        }
        self.input.clear();
        while self.read(false).await? {
            self.input.clear();
        }
        Ok(())
    }
}

/// Returns at that time; never when there is none.
async fn until(bound: Option<Instant>) {
    match bound {
        Some(bound) => tokio::time::sleep_until(bound).await,
        None => std::future::pending().await,
    }
}
