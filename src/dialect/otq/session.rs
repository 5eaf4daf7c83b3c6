//! One connection of an octoque client.
//!
//! The read loop is a task of the connection's actor and speaks to the topics directly. What one read holds is parsed whole; commands that follow each
//! other for the same topics travel as one batch per topic, and all replies leave with one write.
//!
//! Here is the loop; `round.rs` is what one read held, `names.rs` what a name means, `getting.rs`,
//! `putting.rs` and `subscribing.rs` move messages, `commands.rs` is every other command.

mod commands;
mod getting;
mod names;
mod putting;
mod round;
mod subscribing;

use super::codec::{self, Command, Line, Lines};
use crate::broker::{
    Arrival, Broker, BrokerError, Caller, Presence, Slot, Subscription, TopicHandle,
};
use crate::config::OtqConfig;
use crate::dialect::door::{Protocol, Seat, shut_down};
use crate::dialect::socket::{self, Attention};
use crate::dialect::turns::Turn;
use crate::queue::*;
use bytes::{Bytes, BytesMut};
use futures_util::future::LocalBoxFuture;
use names::Target;
use putting::{Rows, Taken};
use round::{Answered, Due};
use std::{borrow::Cow, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{mpsc, watch},
    time::Instant,
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
        Box::pin(async { Talk::new(stream, self, Some(seat), shut, presence).serve().await })
    }
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
    turn: Turn,
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
    /// Where jobs come home to; made for the first one, since whoever only listens sends none.
    home: Option<(mpsc::Sender<Answered>, mpsc::Receiver<Answered>)>,
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
            turn: Turn::default(),
            input: BytesMut::new(),
            busy: false,
            out: Vec::new(),
            handles: Vec::new(),
            suspicious: false,
            unsubscribed: false,
            jobs: Vec::new(),
            due: Vec::new(),
            home: None,
            presence,
        }
    }

    /// Until the client or the broker closes. Borrows, since a future that owns what it was called with
    /// holds room for it twice, and so would every idle connection.
    async fn serve(&mut self) -> io::Result<()> {
        let mut rows: Option<Rows> = None;
        loop {
            if self.turn.is_over() {
                self.turn.pass().await;
            }
            let next = match &mut rows {
                Some(open) => match self.take_rows(open) {
                    Taken::All => {
                        rows = None;
                        continue;
                    }
                    Taken::Enough => Some(Next::Write),
                    Taken::Some => None,
                    Taken::Turn => continue,
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
        self.turn.rest();
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
    async fn close(&mut self) -> io::Result<()> {
        self.write_out().await?;
        socket::close(&mut self.stream).await
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
        self.turn.spend();
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
}

/// Returns at that time; never when there is none.
async fn until(bound: Option<Instant>) {
    match bound {
        Some(bound) => tokio::time::sleep_until(bound).await,
        None => std::future::pending().await,
    }
}
