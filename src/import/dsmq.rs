//! dsmq: what is put while octoq listens. It keeps its messages in memory, gives a connection only what
//! is put after it connected, and lists no topics.
//!
//! Sent to it: `get` of each topic, again and again, which removes nothing. Releases from 1.0 on
//! speak WebSocket, 0.7 puts a header before each text, older ones send bare JSON.

use super::{BATCH_MAX, Found, ImportError, Item, Plan, PlannedTopic};
use crate::broker::clock;
use crate::queue::{Kind, Level, TopicName};
use actix_http::ws;
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::codec::{Decoder as _, Encoder as _};

/// How a release of dsmq speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// 1.0.0 to 1.4.1
    Ws,
    /// 0.7.0
    Hdr,
    /// 0.2.0 to 0.6.0
    Raw,
}

/// Longest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long the server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two rounds in which nothing was there. dsmq 1.4 keeps a message for 0.3 s.
const PAUSE: Duration = Duration::from_millis(10);
/// A batch that is not full is handed on after this.
const GATHER: Duration = Duration::from_millis(200);

/// A running dsmq.
pub struct Dsmq {
    address: String,
    protocol: Protocol,
    topics: Vec<String>,
    level: Level,
    until: Option<Instant>,
    stop: watch::Receiver<bool>,
    connection: Option<Connection>,
}

impl Dsmq {
    /// Listens for `span`, or (`None`) until `stop` becomes true.
    pub fn new(
        address: String,
        protocol: Protocol,
        topics: Vec<String>,
        level: Level,
        span: Option<Duration>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let until = span.map(|span| Instant::now() + span);
        Dsmq { address, protocol, topics, level, until, stop, connection: None }
    }

    fn is_over(&self) -> bool {
        *self.stop.borrow() || self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl super::Source for Dsmq {
    async fn plan(&mut self) -> Result<Plan, ImportError> {
        let opened = timeout(PATIENCE, Connection::open(&self.address, self.protocol)).await;
        let connection = match opened {
            Ok(opened) => opened.map_err(|error| ImportError::source(&self.address, error))?,
            Err(_) => return Err(ImportError::Source(format!("{}: no answer", self.address))),
        };
        self.connection = Some(connection);
        let mut topics = Vec::with_capacity(self.topics.len());
        for name in &self.topics {
            topics.push(PlannedTopic {
                name: TopicName::parse(name)?,
                kind: Kind::Pubsub,
                capacity: 0,
                level: Some(self.level),
                queues: Vec::new(),
            });
        }
        Ok(Plan {
            source: format!("dsmq {}", self.address),
            layout: format!("dsmq at {}, what is put from now on", self.address),
            topics,
            notes: vec!["an empty message cannot be told from none and is not copied".into()],
            is_live: true,
        })
    }

    async fn next(&mut self) -> Result<Option<Vec<Found>>, ImportError> {
        let mut found = Vec::new();
        let begun = Instant::now();
        while !self.is_over() {
            let before = found.len();
            for (topic, name) in self.topics.iter().enumerate() {
                let connection = self.connection.as_mut();
                let connection =
                    connection.ok_or_else(|| ImportError::Source("not connected".into()))?;
                let request = serde_json::json!({"action": "get", "topic": name}).to_string();
                let answer = match timeout(PATIENCE, connection.ask(&request)).await {
                    Ok(answer) => {
                        answer.map_err(|error| ImportError::source(&self.address, error))?
                    }
                    Err(_) => {
                        return Err(ImportError::Source(format!("{}: no answer", self.address)));
                    }
                };
                let body = message(&answer).ok_or_else(|| {
                    ImportError::Odd(format!("{} answers as no dsmq does", self.address))
                })?;
                if body.is_empty() {
                    continue;
                }
                let published_at = Some(clock::now());
                let item = Item { topic, body, published_at, ..Item::default() };
                found.push(Found::Message(Box::new(item)));
            }
            if found.len() >= BATCH_MAX || !found.is_empty() && begun.elapsed() > GATHER {
                return Ok(Some(found));
            }
            if found.len() == before {
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => (),
                    _ = self.stop.changed() => (),
                }
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }
}

/// The message of an answer, empty for none: a text as it is, anything else as JSON.
fn message(answer: &[u8]) -> Option<Bytes> {
    let answer: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(answer).ok()?;
    Some(match answer.get("message")? {
        serde_json::Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        other => other.to_string().into(),
    })
}

struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    input: BytesMut,
    frames: ws::Codec,
}

impl Connection {
    async fn open(address: &str, protocol: Protocol) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut input = BytesMut::new();
        if protocol == Protocol::Ws {
            use base64::Engine as _;
            let key =
                base64::engine::general_purpose::STANDARD.encode(uuid::Uuid::new_v4().as_bytes());
            let request = format!(
                "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let end = loop {
                if let Some(end) = memchr::memmem::find(&input, b"\r\n\r\n") {
                    break end + 4;
                }
                if stream.read_buf(&mut input).await? == 0 || input.len() > 16 << 10 {
                    return Err(std::io::Error::other(
                        "no WebSocket: an older release? --protocol",
                    ));
                }
            };
            let head = input.split_to(end);
            if !head.starts_with(b"HTTP/1.1 101") {
                return Err(std::io::Error::other("no WebSocket: an older release? --protocol"));
            }
        }
        let frames = ws::Codec::new().max_size(ANSWER_BYTES_MAX).client_mode();
        Ok(Connection { stream, protocol, input, frames })
    }

    /// Sends one request and reads its answer.
    async fn ask(&mut self, request: &str) -> std::io::Result<Bytes> {
        let mut output = BytesMut::new();
        match self.protocol {
            Protocol::Ws => self.frame(ws::Message::Text(request.into()), &mut output)?,
            Protocol::Hdr => {
                let header = format!("{{\"msg_length\": {}}}", request.len() + 1_000_000);
                output.extend_from_slice(header.as_bytes());
                output.extend_from_slice(request.as_bytes());
            }
            Protocol::Raw => output.extend_from_slice(request.as_bytes()),
        }
        self.stream.write_all(&output).await?;
        loop {
            if let Some(answer) = self.cut().await? {
                return Ok(answer);
            }
            if self.input.len() > ANSWER_BYTES_MAX {
                return Err(std::io::Error::other("an answer is too long"));
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn frame(&mut self, message: ws::Message, output: &mut BytesMut) -> std::io::Result<()> {
        self.frames.encode(message, output).map_err(std::io::Error::other)
    }

    /// A whole answer out of what was read, if there is one.
    async fn cut(&mut self) -> std::io::Result<Option<Bytes>> {
        match self.protocol {
            Protocol::Ws => self.cut_frame().await,
            Protocol::Raw => Ok(self.cut_object()),
            Protocol::Hdr => {
                let Some(header) = self.input.get(..23) else { return Ok(None) };
                let header: serde_json::Value = serde_json::from_slice(header)?;
                let length = header.get("msg_length").and_then(serde_json::Value::as_u64);
                let length = length.and_then(|length| length.checked_sub(1_000_000));
                let length = usize::try_from(length.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
                if length > ANSWER_BYTES_MAX {
                    return Err(std::io::Error::other("a header that dsmq would not send"));
                }
                if self.input.len() < 23 + length {
                    return Ok(None);
                }
                Ok(Some(self.input.split_to(23 + length).split_off(23).freeze()))
            }
        }
    }

    fn cut_object(&mut self) -> Option<Bytes> {
        let mut objects =
            serde_json::Deserializer::from_slice(&self.input).into_iter::<serde::de::IgnoredAny>();
        objects.next()?.ok()?;
        let end = objects.byte_offset();
        Some(self.input.split_to(end).freeze())
    }

    async fn cut_frame(&mut self) -> std::io::Result<Option<Bytes>> {
        loop {
            let frame = self.frames.decode(&mut self.input).map_err(std::io::Error::other)?;
            match frame {
                None => return Ok(None),
                Some(ws::Frame::Text(text) | ws::Frame::Binary(text)) => return Ok(Some(text)),
                Some(ws::Frame::Ping(payload)) => {
                    let mut output = BytesMut::new();
                    self.frame(ws::Message::Pong(payload), &mut output)?;
                    self.stream.write_all(&output).await?;
                }
                Some(ws::Frame::Close(_)) => return Err(std::io::ErrorKind::ConnectionReset.into()),
                Some(ws::Frame::Pong(_)) => (),
                Some(ws::Frame::Continuation(_)) => {
                    return Err(std::io::Error::other("an answer in parts"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_text_or_any_json() {
        let table: [(&str, Option<&str>); 5] = [
            (r#"{"message": "Hello \u00e9"}"#, Some("Hello é")),
            (r#"{"message": ""}"#, Some("")),
            (r#"{"message": null}"#, Some("null")),
            (r#"{"message": [1, 2]}"#, Some("[1,2]")),
            (r#"{"msg": "x"}"#, None),
        ];
        for (answer, body) in table {
            assert_eq!(message(answer.as_bytes()).as_deref(), body.map(str::as_bytes), "{answer}");
        }
    }
}
