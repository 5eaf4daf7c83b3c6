//! octoque: what there is to read of it.
//!
//! The released octoque (0.1.0) keeps everything in memory, and `GET`, the only way to see a message,
//! removes it: from its socket only topics are read (`OTQ DISPLAY *`), not messages. Its development
//! versions of 2024 write, with `--mode disk`, one SQLite file per topic, `TOPIC.db`, into the working directory:
//!
//! | table | columns |
//! |---|---|
//! | `queue` | `id`, `data`, `queued_dt`, `consumed_dt`, `b64_encoded`, `client` |
//!
//! A row is waiting while `consumed_dt` is 0. The kind of a topic is not in the file.

use super::postgres::Row;
use super::sqlite::Reader;
use super::{Found, ImportError, Item, ItemPlace, Plan, PlannedQueue, PlannedTopic};
use super::{check_columns, number, text};
use crate::queue::{Kind, QueueName, QueuePolicy, Timestamp, TopicName};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest answer to `DISPLAY *` that is read, bytes.
const DISPLAY_BYTES_MAX: usize = 16 << 20;
/// How long the server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An octoque: its files, or a running one.
pub struct Octoque {
    /// The working directory of a server in `--mode disk`.
    pub folder: Option<PathBuf>,
    /// A running server: `host:port`, user, password.
    pub server: Option<(String, String, String)>,
    /// Topics of files that are of kind PUBSUB.
    pub pubsub: Vec<String>,
    files: Vec<(PathBuf, Kind)>,
    at: usize,
    reader: Option<Reader>,
    name: String,
}

impl Octoque {
    /// From a folder, a server, or both.
    pub fn new(
        folder: Option<PathBuf>,
        server: Option<(String, String, String)>,
        pubsub: Vec<String>,
    ) -> Self {
        let (files, name) = (Vec::new(), String::new());
        Octoque { folder, server, pubsub, files, at: 0, reader: None, name }
    }

    /// The topics of a folder, by name.
    fn look_into(&mut self, folder: &Path, plan: &mut Plan) -> Result<(), ImportError> {
        let fail = |error| ImportError::source(&folder.display().to_string(), error);
        let folder = folder.canonicalize().map_err(fail)?;
        let entries = std::fs::read_dir(&folder).map_err(fail)?;
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "db"));
        paths.sort();
        for path in paths {
            let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()) else { continue };
            let known = Reader::open(&path).and_then(|reader| {
                let columns = reader.columns("queue")?;
                let must = ["id", "data", "queued_dt", "consumed_dt", "b64_encoded", "client"];
                check_columns("queue", &columns, &must, &[])
            });
            if let Err(error) = known {
                plan.notes.push(format!("{} is not read: {error}", path.display()));
                continue;
            }
            let is_pubsub = stem == "pubsub" || self.pubsub.iter().any(|name| name == stem);
            let kind = if is_pubsub { Kind::Pubsub } else { Kind::Broker };
            plan.topics.push(planned(stem, kind, 0)?);
            self.files.push((path, kind));
        }
        if self.files.is_empty() {
            let what = format!("no file TOPIC.db of an octoque in {}", folder.display());
            return Err(ImportError::Unknown(what));
        }
        self.name = folder.display().to_string();
        Ok(())
    }

    async fn ask(&mut self, plan: &mut Plan) -> Result<(), ImportError> {
        let Some((address, user, password)) = &self.server else { return Ok(()) };
        let asked = tokio::time::timeout(PATIENCE, display(address, user, password)).await;
        let answer = match asked {
            Ok(answer) => answer.map_err(|error| ImportError::source(address, error))?,
            Err(_) => return Err(ImportError::Source(format!("{address}: no answer"))),
        };
        let found = boxes(&answer).ok_or_else(|| {
            ImportError::Unknown(format!("{address} answers DISPLAY * as no octoque does"))
        })?;
        for shown in found {
            if shown.messages > 0 && self.folder.is_none() {
                plan.notes.push(format!(
                    "topic `{}` holds {} messages, which are not copied: octoque would remove them",
                    shown.name, shown.messages
                ));
            }
            match plan
                .topics
                .iter()
                .position(|topic| topic.name.as_bytes() == shown.name.as_bytes())
            {
                Some(at) => {
                    let topic = planned(&shown.name, shown.kind, shown.capacity)?;
                    plan.topics.splice(at..=at, [topic]);
                    if let Some((_, kind)) = self.files.get_mut(at) {
                        *kind = shown.kind;
                    }
                }
                None => plan.topics.push(planned(&shown.name, shown.kind, shown.capacity)?),
            }
        }
        Ok(())
    }
}

fn planned(name: &str, kind: Kind, capacity: u64) -> Result<PlannedTopic, ImportError> {
    let queues = match kind {
        Kind::Broker => {
            vec![PlannedQueue { name: QueueName::default_queue(), policy: QueuePolicy::default() }]
        }
        Kind::Pubsub => Vec::new(),
    };
    Ok(PlannedTopic { name: TopicName::parse(name)?, kind, capacity, level: None, queues })
}

/// Logs in, asks for all topics, and hangs up.
async fn display(address: &str, user: &str, password: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let mut answer = Vec::new();
    for request in [format!("OTQ CONNECT {user} {password}\r\n"), "OTQ DISPLAY *\r\n".into()] {
        stream.write_all(request.as_bytes()).await?;
        answer.clear();
        while !answer.ends_with(b"ENDOFRESP\r\n") {
            let read = stream.read_buf(&mut answer).await?;
            if read == 0 || answer.starts_with(b"DECLINE") || answer.len() > DISPLAY_BYTES_MAX {
                return Err(std::io::Error::other("refused: user or password?"));
            }
        }
    }
    stream.write_all(b"OTQ DISCONNECT\r\n").await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A topic as DISPLAY shows it.
#[derive(Debug, PartialEq)]
struct Shown {
    name: String,
    kind: Kind,
    capacity: u64,
    messages: u64,
}

/// Reads the boxes of DISPLAY; `None` when they look otherwise.
fn boxes(answer: &str) -> Option<Vec<Shown>> {
    let mut lines = answer.lines().filter(|line| !line.starts_with('+') && !line.is_empty());
    if lines.next() != Some("PROCEED") {
        return None;
    }
    let mut found = Vec::new();
    loop {
        let value = |line: &str, label: &str| -> Option<String> {
            let (name, value) = line.strip_prefix("| ")?.split_once(": ")?;
            (name.trim_end() == label).then(|| value.to_owned())
        };
        match lines.next()? {
            "ENDOFRESP" => return Some(found),
            line => found.push(Shown {
                name: value(line, "Name")?,
                kind: match value(lines.next()?, "Connection Type")?.as_str() {
                    "BROKER" => Kind::Broker,
                    "PUBSUB" => Kind::Pubsub,
                    _ => return None,
                },
                capacity: value(lines.next()?, "Capacity")?.parse().ok()?,
                messages: value(lines.next()?, "Store Size")?.parse().ok()?,
            }),
        }
    }
}

impl super::Source for Octoque {
    async fn plan(&mut self) -> Result<Plan, ImportError> {
        let mut plan = Plan {
            source: String::new(),
            layout: "octoque".into(),
            topics: Vec::new(),
            notes: Vec::new(),
            is_live: false,
        };
        if let Some(folder) = self.folder.clone() {
            self.look_into(&folder, &mut plan)?;
            plan.layout.push_str(", files of a server with --mode disk");
        }
        if let Some((address, _, _)) = self.server.clone() {
            self.ask(&mut plan).await?;
            plan.layout.push_str(&format!(", topics of the server at {address}"));
        }
        plan.source = format!("octoque {}", self.name);
        Ok(plan)
    }

    async fn next(&mut self) -> Result<Option<Vec<Found>>, ImportError> {
        loop {
            let topic = self.at;
            let Some((path, kind)) = self.files.get(topic).cloned() else { return Ok(None) };
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => Reader::open(&path)?,
            };
            let rows = reader
                .page(
                    "SELECT id, data, CAST(queued_dt * 1000 AS INTEGER), \
                     CAST(b64_encoded AS TEXT), consumed_dt <> 0 \
                     FROM queue ORDER BY queued_dt, id",
                )
                .await?;
            if rows.is_empty() {
                self.at += 1;
                continue;
            }
            self.reader = Some(reader);
            return Ok(Some(rows.iter().map(|row| self.found(topic, kind, row)).collect()));
        }
    }
}

impl Octoque {
    fn found(&self, topic: usize, kind: Kind, row: &Row) -> Found {
        if text(row, 4) != "0" {
            return Found::Left { topic, queue: 0, why: "consumed" };
        }
        if !["", "0", "false"].contains(&text(row, 3).as_str()) {
            return Found::Left { topic, queue: 0, why: "in base64, which octoque never wrote" };
        }
        let id = text(row, 0);
        let file = self.files.get(topic).and_then(|(path, _)| path.file_name()?.to_str());
        let known = format!("octoque:{}/{}:{id}", self.name, file.unwrap_or_default());
        Found::Message(Box::new(Item {
            topic,
            key: known.clone().into_bytes(),
            body: row.get(1).cloned().flatten().unwrap_or_default(),
            // Only for a second run: octoque's clients know no ids.
            id: Some(Bytes::from(known)),
            published_at: number(row, 2).map(Timestamp),
            places: match kind {
                Kind::Broker => vec![ItemPlace::waiting(0)],
                Kind::Pubsub => Vec::new(),
            },
            ..Item::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boxes_of_display_are_read() {
        let rule = format!("+{}", "-".repeat(52));
        let shown = |name: &str, kind: &str, size: u64| {
            format!(
                "{rule}\n| Name              : {name}\n| Connection Type   : {kind}\n\
                 | Capacity          : 7\n| Store Size        : {size}\n{rule}\n\n"
            )
        };
        let (a, b) = (shown("default", "BROKER", 2), shown("a : b", "PUBSUB", 0));
        let answer = format!("PROCEED\r\n{a}{b}ENDOFRESP\r\n");
        let topic =
            |name: &str, kind, messages| Shown { name: name.into(), kind, capacity: 7, messages };
        let expected = [topic("default", Kind::Broker, 2), topic("a : b", Kind::Pubsub, 0)];
        assert_eq!(boxes(&answer).unwrap(), expected);
        for odd in ["", "DECLINE:no\nENDOFRESP\r\n", &answer[..40], "PROCEED\r\n| Nom : x\n"] {
            assert_eq!(boxes(odd), None, "{odd}");
        }
    }
}
