//! `octoq tail`: follows a pubsub topic, and goes on where it was when the connection is lost.

use super::failure::{Code, Failure};
use super::message::{self, Format};
use super::name::{Name, topic_path, with_query};
use super::remote::{RemoteArgs, Session};
use super::span::Span;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    io::Write as _,
    process::ExitCode,
    str::FromStr,
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::{self, protocol::CloseFrame};

/// The first wait before a connection is tried again, and the longest.
const AGAIN_FIRST: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(10);
/// The broker pings more often than this: silence means that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(75);

/// Follow a pubsub topic. A lost connection is made again, and what was missed meanwhile comes first;
/// where the topic's history does not reach back so far, the gap is told.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  octoq tail news
  octoq tail news -n 10 --output json
  octoq tail news --after 1441246014-17")]
pub struct TailArgs {
    #[command(flatten)]
    remote: RemoteArgs,
    /// The topic
    topic: Name,
    /// End after so many messages
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Begin behind this message: epoch and seq, as `--output json` shows them
    #[arg(long, value_name = "EPOCH-SEQ")]
    after: Option<Position>,
    /// How long to try to reach a broker that has gone; for ever when left out
    #[arg(long, value_name = "SPAN")]
    retry: Option<Span>,
    /// When this terminal cannot follow: miss messages and be told, or be closed
    #[arg(long, value_enum, default_value_t = Slow::Drop)]
    slow: Slow,
    /// Take nothing: what was published while nobody listened stays for others. As a viewer always does
    #[arg(long)]
    look: bool,
    /// How messages are printed
    #[arg(long, short, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Slow {
    Drop,
    Close,
}

/// A place in a topic's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    epoch: u32,
    seq: u64,
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Position, String> {
        let numbers = text.split_once('-').and_then(|(epoch, seq)| {
            Some(Position { epoch: epoch.parse().ok()?, seq: seq.parse().ok()? })
        });
        numbers.ok_or_else(|| format!("`{text}` is not EPOCH-SEQ, like 1441246014-17"))
    }
}

/// What the broker says on the socket.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Frame {
    Subscribed {
        epoch: u32,
        next: u64,
    },
    Message {
        epoch: u32,
        seq: u64,
    },
    Gap {
        epoch: u32,
        from: u64,
        to: u64,
        reason: Option<String>,
        kept_from: Option<u64>,
    },
    Error {
        #[serde(default)]
        detail: String,
    },
    #[serde(other)]
    Other,
}

/// Follows.
pub fn run(arguments: TailArgs) -> ExitCode {
    arguments.remote.run(async |session| tail(session, &arguments).await)
}

/// How a connection ended.
enum Ended {
    /// Enough messages came.
    Enough,
    /// It is worth another try.
    Lost(String),
}

struct Tail<'a> {
    arguments: &'a TailArgs,
    format: Format,
    position: Option<Position>,
    left: u64,
    /// Something came over the last connection.
    heard: bool,
}

async fn tail(session: &mut Session, arguments: &TailArgs) -> Result<(), Failure> {
    let format = if session.json { Format::Json } else { arguments.output };
    let (position, left) = (arguments.after, arguments.count.unwrap_or(u64::MAX));
    let mut tail = Tail { arguments, format, position, left, heard: false };
    let mut pause = AGAIN_FIRST;
    // A broker that was never there is told at once.
    let mut lost_since: Option<Instant> = None;
    while tail.left > 0 {
        tail.heard = false;
        let why = match tail.connection(session).await {
            Ok(Ended::Enough) => break,
            Ok(Ended::Lost(why)) => why,
            Err(failure) => match failure.code() {
                Some(Code::Unreachable | Code::Empty) if lost_since.is_some() => String::new(),
                _ => return Err(failure),
            },
        };
        if session.stopped {
            break;
        }
        if tail.heard {
            (pause, lost_since) = (AGAIN_FIRST, None);
        }
        if lost_since.is_none() {
            eprintln!("octoq: {why}; trying again");
        }
        let since = *lost_since.get_or_insert_with(Instant::now);
        if arguments.retry.is_some_and(|retry| since.elapsed() >= retry.duration()) {
            return Err(Failure::unreachable("the broker did not come back in time"));
        }
        // Many followers of one broker do not come back in the same moment.
        let jitter = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
        let wait = pause / 2 + pause * jitter / 512;
        session.until_stopped(async |_| tokio::time::sleep(wait).await).await?;
        pause = (pause * 2).min(AGAIN_MAX);
    }
    Ok(())
}

impl Tail<'_> {
    fn path(&self) -> String {
        let slow = match self.arguments.slow {
            Slow::Drop => "drop",
            Slow::Close => "close",
        };
        let query = [
            ("epoch", self.position.map(|at| at.epoch.to_string())),
            ("seq", self.position.map(|at| at.seq.to_string())),
            ("slow", Some(slow.to_owned())),
            ("look", self.arguments.look.then(|| "true".to_owned())),
        ];
        with_query(format!("{}/ws", topic_path(&self.arguments.topic)), &query)
    }

    async fn connection(&mut self, session: &mut Session) -> Result<Ended, Failure> {
        let path = self.path();
        let opened = session.until_stopped(async |client| client.websocket(&path).await).await?;
        let Some(opened) = opened else { return Ok(Ended::Enough) };
        let mut socket = match opened {
            Err(Failure::Refused(problem)) if problem.code == "wrong_kind" => {
                return Err(Failure::error(
                    "this topic has queues and pushes to nobody: `octoq get --follow` receives, \
                     `octoq peek` looks",
                ));
            }
            opened => opened?,
        };
        loop {
            let next = session
                .until_stopped(async |_| tokio::time::timeout(SILENCE_MAX, socket.next()).await)
                .await?;
            let Some(next) = next else {
                // Told, so that the broker need not find out.
                let _ = socket.close(None).await;
                return Ok(Ended::Enough);
            };
            let frame = match next {
                Err(_) => return Ok(Ended::Lost("the broker is silent".into())),
                Ok(None) => return Ok(Ended::Lost("the connection was closed".into())),
                Ok(Some(Err(error))) => return Ok(Ended::Lost(error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            match frame {
                tungstenite::Message::Text(text) => {
                    self.take(session, text.as_str())?;
                    if self.left == 0 {
                        let _ = socket.close(None).await;
                        return Ok(Ended::Enough);
                    }
                }
                tungstenite::Message::Close(why) => return closed(why),
                // Pings are answered by the socket itself.
                _ => self.heard = true,
            }
        }
    }

    fn take(&mut self, session: &mut Session, text: &str) -> Result<(), Failure> {
        self.heard = true;
        match serde_json::from_str(text)? {
            Frame::Subscribed { epoch, next } => {
                // Nothing came yet, and a connection lost now must miss nothing either.
                let nowhere = self.position.is_none_or(|at| at.epoch != epoch);
                if nowhere && let Some(seq) = next.checked_sub(1) {
                    self.position = Some(Position { epoch, seq });
                }
            }
            Frame::Message { epoch, seq } => {
                let raw: &RawValue = serde_json::from_str(text)?;
                message::print(&mut session.out, raw, self.format)?;
                session.out.flush()?;
                self.position = Some(Position { epoch, seq });
                self.left -= 1;
            }
            Frame::Gap { epoch, from, to, reason, kept_from } => {
                if self.format == Format::Json {
                    writeln!(session.out, "{text}")?;
                    session.out.flush()?;
                }
                match (reason.as_deref(), kept_from) {
                    (Some("epoch"), Some(kept)) => eprintln!(
                        "octoq: the topic has begun a new epoch, so nobody can tell what was missed; \
                         messages from {kept} on are there: --after {epoch}-{} shows them",
                        kept.saturating_sub(1)
                    ),
                    (Some("epoch"), None) => eprintln!(
                        "octoq: the topic has begun a new epoch, and nothing of before is there"
                    ),
                    _ => eprintln!(
                        "octoq: messages {from} to {to} were missed: the history has them no more"
                    ),
                }
                self.position = Some(Position { epoch, seq: to });
            }
            Frame::Error { detail } => eprintln!("octoq: {detail}"),
            Frame::Other => (),
        }
        Ok(())
    }
}

fn closed(why: Option<CloseFrame>) -> Result<Ended, Failure> {
    let Some(why) = why else { return Ok(Ended::Lost("the broker closed the connection".into())) };
    match u16::from(why.code) {
        4404 => Err(Failure::error("the topic was deleted")),
        _ => Ok(Ended::Lost(format!("the broker closed the connection: {}", why.reason))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_epoch_and_seq() {
        assert_eq!("7-12".parse(), Ok(Position { epoch: 7, seq: 12 }));
        for wrong in ["7", "7-", "-1-2", "a-b"] {
            assert!(wrong.parse::<Position>().is_err(), "{wrong}");
        }
    }
}
