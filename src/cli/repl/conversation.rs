//! One command after the other with the broker: logs in, sends, shows what comes back.

use super::answer::{Answer, Pushed, ReplyLine, Shown, UNAUTHORIZED, pushed, topic_in_box};
use super::connection::Connection;
use super::request::Request;
use super::screen::Screen;
use crate::dialect::otq::codec::Command;
use std::{collections::BTreeSet, future::Future, io, pin::Pin, time::Duration};
use tokio::time::timeout;

/// Bytes of rows sent at a time.
const ROWS_BYTES: usize = 64 << 10;
/// Topic names remembered for completion.
const TOPICS_MAX: usize = 10_000;
/// How long the end of a subscription may take before the connection is given up.
const UNSUBSCRIBE_WAIT: Duration = Duration::from_secs(2);
/// What octoque's own REPL answers to a blank line.
const KEEP_ALIVE_ANSWER: &[u8] = b"REPLPONG";

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Good,
    /// The broker declined, or did not store every row.
    Refused,
    /// The login was refused, or this user may not.
    NotAllowed,
    /// Ctrl-C, or the rows ended too early.
    GivenUp,
    /// There is no broker, or it went away.
    Unreachable,
}

/// Where the rows of a PUT come from.
pub trait Rows {
    /// The next row; `None`: there are no more.
    fn next(&mut self, screen: &mut Screen) -> io::Result<Option<Vec<u8>>>;
    /// Each row is sent when it is there, since a person waits for it.
    fn one_by_one(&self) -> bool;
}

/// Resolves when the person wants no more, as often as it is asked.
pub trait Stop {
    /// The next Ctrl-C.
    fn stop(&mut self) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// A conversation that connects, and logs in, when it has to.
pub struct Conversation {
    address: String,
    /// How long a reply may take; zero is for ever.
    patience: Duration,
    login: Option<Request>,
    connection: Option<Connection>,
    /// Names seen, for completion.
    topics: BTreeSet<String>,
}

enum Failure {
    /// The connection, or the lack of one.
    Network(io::Error),
    /// Our own output is closed.
    Output(io::Error),
    /// The login was declined; said already.
    Login,
    Stopped,
    RowsEnded(u64),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Network(error)
    }
}

impl Conversation {
    /// With the broker at `host:port`; `login` is said again after each reconnect.
    pub fn new(address: String, patience: Duration, login: Option<Request>) -> Self {
        Conversation { address, patience, login, connection: None, topics: BTreeSet::new() }
    }

    /// Names of topics seen so far.
    pub fn topics(&self) -> &BTreeSet<String> {
        &self.topics
    }

    /// Does one command to its end. `Err`: the output cannot be written.
    pub async fn run(
        &mut self,
        request: &Request,
        screen: &mut Screen,
        rows: &mut dyn Rows,
        stop: &mut dyn Stop,
    ) -> io::Result<Outcome> {
        let done = self.attempt(request, screen, rows, stop).await;
        let outcome = match done {
            Ok(outcome) => outcome,
            Err(failure) => {
                self.connection = None;
                match failure {
                    Failure::Output(error) => return Err(error),
                    Failure::Login => Outcome::NotAllowed,
                    Failure::Stopped => {
                        screen.note("given up; the next command connects again")?;
                        Outcome::GivenUp
                    }
                    Failure::RowsEnded(missing) => {
                        screen.error(
                            format!("{missing} rows are missing; those given stay").as_bytes(),
                        )?;
                        Outcome::GivenUp
                    }
                    Failure::Network(error) => {
                        screen.error(format!("{}: {error}", self.address).as_bytes())?;
                        Outcome::Unreachable
                    }
                }
            }
        };
        screen.flush()?;
        Ok(outcome)
    }

    /// Learns the names of all topics, without showing anything; a user who may not see them
    /// learns none.
    pub async fn learn_topics(&mut self, stop: &mut dyn Stop) {
        let Some(request) = self.login.as_ref().map(|_| "display *") else { return };
        let super::request::Typed::Command(request) = super::request::read(request) else { return };
        let mut silent =
            Screen::to(Box::new(io::sink()), Box::new(io::sink()), super::screen::Style::Bare);
        // What went wrong is said when it matters, by the next command.
        let _ = self.run(&request, &mut silent, &mut NoRows, stop).await;
    }

    async fn attempt(
        &mut self,
        request: &Request,
        screen: &mut Screen,
        rows: &mut dyn Rows,
        stop: &mut dyn Stop,
    ) -> Result<Outcome, Failure> {
        match &request.command {
            Command::Connect { .. } => {
                // A session that is logged in may switch its user, but a fresh one cannot be off by one.
                self.connection = None;
                self.open(stop).await?;
                let outcome = self.exchange(request, screen, &mut NoRows, stop).await?;
                self.login = (outcome == Outcome::Good).then(|| request.clone());
                return Ok(outcome);
            }
            Command::Disconnect if self.connection.is_none() => return Ok(Outcome::Good),
            _ => (),
        }
        self.log_in(screen, stop).await?;
        match &request.command {
            Command::Disconnect => self.disconnect(request, stop).await,
            Command::Subscribe(topics) => self.subscribe(request, topics, screen, stop).await,
            _ => {
                let outcome = self.exchange(request, screen, rows, stop).await?;
                if let (Outcome::Good, Command::New { topic, .. }) = (&outcome, &request.command) {
                    self.learn(topic);
                }
                Ok(outcome)
            }
        }
    }

    fn learn(&mut self, topic: &[u8]) {
        if let Ok(topic) = std::str::from_utf8(topic)
            && self.topics.len() < TOPICS_MAX
        {
            self.topics.insert(topic.to_owned());
        }
    }

    async fn open(&mut self, stop: &mut dyn Stop) -> Result<(), Failure> {
        let opened = tokio::select! {
            opened = Connection::open(&self.address) => opened,
            () = stop.stop() => return Err(Failure::Stopped),
        };
        self.connection = Some(opened?);
        Ok(())
    }

    /// Makes sure that there is a connection, logged in when a login is known.
    async fn log_in(&mut self, screen: &mut Screen, stop: &mut dyn Stop) -> Result<(), Failure> {
        // One that was closed meanwhile is noticed before a command is sent: afterwards nobody
        // could say whether it was done.
        if self.connection.as_ref().is_some_and(|connection| !connection.is_closed()) {
            return Ok(());
        }
        self.open(stop).await?;
        let Some(login) = self.login.clone() else { return Ok(()) };
        let mut refusal = None;
        self.send(&login, stop).await?;
        let mut answer = Answer::to(&login.command);
        let closed = self
            .read(&mut answer, stop, &mut |shown| {
                if let Shown::Error(reason) = shown {
                    refusal = Some(reason.to_vec());
                }
                Ok(())
            })
            .await?;
        if closed && answer.is_untouched() {
            // octoque refuses a login without a word.
            refusal = Some(UNAUTHORIZED.to_vec());
        }
        match refusal {
            None => Ok(()),
            Some(reason) => {
                self.login = None;
                screen.error(&reason).map_err(Failure::Output)?;
                Err(Failure::Login)
            }
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, Failure> {
        self.connection.as_mut().ok_or(Failure::Network(io::ErrorKind::NotConnected.into()))
    }

    async fn send(&mut self, request: &Request, stop: &mut dyn Stop) -> Result<(), Failure> {
        let sending = self.connection()?.send(request.line.as_bytes());
        tokio::select! {
            sent = sending => Ok(sent?),
            () = stop.stop() => Err(Failure::Stopped),
        }
    }

    /// Reads up to the end of the reply or of the stream; true: the stream has ended.
    async fn read(
        &mut self,
        answer: &mut Answer,
        stop: &mut dyn Stop,
        show: &mut dyn FnMut(Shown<'_>) -> io::Result<()>,
    ) -> Result<bool, Failure> {
        while !answer.is_over() {
            if !self.read_line(answer, stop, show).await? {
                self.connection = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads one line; false: the stream has ended.
    async fn read_line(
        &mut self,
        answer: &mut Answer,
        stop: &mut dyn Stop,
        show: &mut dyn FnMut(Shown<'_>) -> io::Result<()>,
    ) -> Result<bool, Failure> {
        let patience = if self.patience.is_zero() { Duration::MAX } else { self.patience };
        let line = tokio::select! {
            line = timeout(patience, self.connection()?.line()) => match line {
                Ok(line) => line?,
                Err(_) => return Err(io::Error::new(io::ErrorKind::TimedOut, "no reply").into()),
            },
            () = stop.stop() => return Err(Failure::Stopped),
        };
        let Some(line) = line else { return Ok(false) };
        let shown = answer.take(line);
        show(shown).map_err(Failure::Output)?;
        Ok(true)
    }

    /// A command, its rows if it has any, and its reply.
    async fn exchange(
        &mut self,
        request: &Request,
        screen: &mut Screen,
        rows: &mut dyn Rows,
        stop: &mut dyn Stop,
    ) -> Result<Outcome, Failure> {
        let mut answer = Answer::to(&request.command);
        let mut seen: Vec<Vec<u8>> = Vec::new();
        let learning = matches!(request.command, Command::Display(_));
        let mut show = |screen: &mut Screen, shown: Shown<'_>| match shown {
            Shown::Nothing => Ok(()),
            Shown::Error(reason) => screen.error(reason),
            Shown::Result(text) => {
                if learning
                    && seen.len() < TOPICS_MAX
                    && let Some(name) = topic_in_box(text)
                {
                    seen.push(name.to_vec());
                }
                screen.result(text)
            }
        };
        self.send(request, stop).await?;
        let mut closed = false;
        if let Command::Put { rows: count, .. } = request.command {
            let go = self.read_line(&mut answer, stop, &mut |shown| show(screen, shown)).await?;
            if go && answer.has_proceeded() {
                self.send_rows(count, &mut answer, screen, rows, stop).await?;
            } else {
                skip_rows(count, screen, rows).map_err(Failure::Output)?;
            }
            closed = !go;
        }
        if closed {
            self.connection = None;
        } else {
            closed = self.read(&mut answer, stop, &mut |shown| show(screen, shown)).await?;
        }
        if answer.closes() {
            self.connection = None;
        }
        for name in seen {
            self.learn(&name);
        }
        // octoque refuses a login without a word.
        if closed && request.is_login() && answer.is_untouched() {
            screen.error(UNAUTHORIZED).map_err(Failure::Output)?;
            return Ok(Outcome::NotAllowed);
        }
        if closed && !answer.is_over() && !answer.is_declined() {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the broker closed the connection",
            )
            .into());
        }
        Ok(match (answer.is_good(), answer.is_not_allowed()) {
            (true, _) => Outcome::Good,
            (false, true) => Outcome::NotAllowed,
            (false, false) => Outcome::Refused,
        })
    }

    async fn send_rows(
        &mut self,
        count: u64,
        answer: &mut Answer,
        screen: &mut Screen,
        rows: &mut dyn Rows,
        stop: &mut dyn Stop,
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        let mut given = 0;
        while given < count {
            let row = rows.next(screen).map_err(Failure::Output)?;
            let ended = row.is_none();
            if let Some(row) = row {
                given += 1;
                // otq cannot carry a line end inside a row; a lone CR would split it in two.
                bytes.extend(
                    row.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }),
                );
                bytes.extend_from_slice(b"\r\n");
            }
            if ended || rows.one_by_one() || given == count || bytes.len() >= ROWS_BYTES {
                let mut written = Ok(());
                let take = |line: ReplyLine<'_>| {
                    let shown = match answer.take(line) {
                        Shown::Nothing => Ok(()),
                        Shown::Result(text) => screen.result(text),
                        Shown::Error(reason) => screen.error(reason),
                    };
                    written = std::mem::replace(&mut written, Ok(())).and(shown);
                };
                let sending = self.connection()?.send_and_take(&bytes, take);
                let listens = tokio::select! {
                    sent = sending => sent?,
                    () = stop.stop() => return Err(Failure::Stopped),
                };
                written.map_err(Failure::Output)?;
                if !listens {
                    return skip_rows(count - given, screen, rows).map_err(Failure::Output);
                }
                bytes.clear();
            }
            if ended {
                self.connection()?.finish_sending().await?;
                // The broker has read all of it when it closes.
                let _ = self.read(answer, stop, &mut |_| Ok(())).await?;
                return Err(Failure::RowsEnded(count - given));
            }
        }
        Ok(())
    }

    async fn disconnect(
        &mut self,
        request: &Request,
        stop: &mut dyn Stop,
    ) -> Result<Outcome, Failure> {
        self.send(request, stop).await?;
        let mut answer = Answer::to(&request.command);
        self.read(&mut answer, stop, &mut |_| Ok(())).await?;
        self.connection = None;
        Ok(Outcome::Good)
    }

    /// Shows what is pushed until it is stopped.
    async fn subscribe(
        &mut self,
        request: &Request,
        topics: &[u8],
        screen: &mut Screen,
        stop: &mut dyn Stop,
    ) -> Result<Outcome, Failure> {
        self.send(request, stop).await?;
        let mut first = true;
        let mut declined = None;
        loop {
            let line = tokio::select! {
                biased;
                line = next_pushed(self.connection()?, screen) => line?,
                () = stop.stop() => break,
            };
            let Some(line) = line else { break };
            match pushed(line, first) {
                Pushed::Proceed => screen.note("Ctrl-C ends it").map_err(Failure::Output)?,
                Pushed::KeepAlive => self.connection()?.send(KEEP_ALIVE_ANSWER).await?,
                Pushed::Message(text) => {
                    first = false;
                    screen.result(text).map_err(Failure::Output)?;
                }
                Pushed::Declined(reason) => {
                    declined = Some(match reason == UNAUTHORIZED {
                        true => Outcome::NotAllowed,
                        false => Outcome::Refused,
                    });
                    screen.error(reason).map_err(Failure::Output)?;
                    break;
                }
            }
        }
        if let Some(declined) = declined {
            // Whether ENDOFRESP follows depends on the reason: a new connection is simpler than to know.
            self.connection = None;
            return Ok(declined);
        }
        let ended = timeout(UNSUBSCRIBE_WAIT, self.unsubscribe(topics, screen)).await;
        match ended {
            Ok(Ok(true)) => Ok(Outcome::Good),
            Ok(Err(Failure::Output(error))) => Err(Failure::Output(error)),
            // octoque goes on pushing: only closing helps.
            Ok(Err(_)) | Err(_) => {
                self.connection = None;
                Ok(Outcome::Good)
            }
            Ok(Ok(false)) => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the broker closed the connection",
            )
            .into()),
        }
    }

    /// Ends the pushes; false: the broker closed the connection.
    async fn unsubscribe(&mut self, topics: &[u8], screen: &mut Screen) -> Result<bool, Failure> {
        let connection = self.connection()?;
        let mut line = b"OTQ UNSUBSCRIBE ".to_vec();
        line.extend_from_slice(topics);
        connection.send(&line).await?;
        loop {
            match connection.line().await?.map(|line| pushed(line, false)) {
                None => return Ok(false),
                Some(Pushed::Proceed) => return Ok(true),
                Some(Pushed::Message(text)) => screen.result(text).map_err(Failure::Output)?,
                Some(Pushed::KeepAlive | Pushed::Declined(_)) => (),
            }
        }
    }
}

/// The next pushed line; what was gathered is shown before it is waited for.
async fn next_pushed<'a>(
    connection: &'a mut Connection,
    screen: &mut Screen,
) -> Result<Option<ReplyLine<'a>>, Failure> {
    if !connection.has_line() {
        screen.flush().map_err(Failure::Output)?;
    }
    Ok(connection.line().await?)
}

/// The rows of a PUT that was declined must not be taken for commands.
fn skip_rows(count: u64, screen: &mut Screen, rows: &mut dyn Rows) -> io::Result<()> {
    if rows.one_by_one() {
        return Ok(());
    }
    for _ in 0..count {
        if rows.next(screen)?.is_none() {
            break;
        }
    }
    Ok(())
}

/// For commands without rows.
pub struct NoRows;

impl Rows for NoRows {
    fn next(&mut self, _: &mut Screen) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn one_by_one(&self) -> bool {
        true
    }
}
