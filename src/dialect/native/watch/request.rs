//! What a client of the socket says: which screen it wants to see. Pure.

use crate::broker::connections::{ConnectionSort, ConnectionsQuery};
use crate::broker::observer::{TopicSort, TopicsQuery};
use crate::dialect::native::problem::Problem;
use crate::queue::{Kind, TopicName};
use serde::Deserialize;

/// Rows of a page when nobody says.
const ROWS: usize = 50;
/// Rows of a page at most.
pub const ROWS_MAX: usize = 200;
/// Longest text that rows are filtered by.
const FILTER_BYTES_MAX: usize = 255;

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Screen {
    /// The broker as a whole.
    Overview,
    /// A page of topics.
    Topics(TopicsQuery),
    /// One topic.
    Topic(TopicName),
    /// Queues with dead letters.
    Dead,
    /// A page of connections.
    Connections(ConnectionsQuery),
}

impl Screen {
    /// As clients call it.
    pub fn name(&self) -> &'static str {
        match self {
            Screen::Overview => "overview",
            Screen::Topics(_) => "topics",
            Screen::Topic(_) => "topic",
            Screen::Dead => "dead",
            Screen::Connections(_) => "connections",
        }
    }
}

/// What a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// See this from now on, and nothing else.
    Watch(Screen),
    /// No ticks for now.
    Pause,
    /// Again.
    Resume,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase", deny_unknown_fields)]
enum Frame {
    Watch(Watch),
    Pause {},
    Resume {},
}

#[derive(Deserialize)]
#[serde(tag = "screen", rename_all = "lowercase", deny_unknown_fields)]
enum Watch {
    Overview {},
    Topics {
        #[serde(default)]
        sort: TopicSort,
        #[serde(default)]
        desc: bool,
        #[serde(default)]
        filter: String,
        kind: Option<Kind>,
        #[serde(default)]
        offset: usize,
        limit: Option<usize>,
    },
    Topic {
        topic: String,
    },
    Dead {},
    Connections {
        door: Option<String>,
        #[serde(default)]
        sort: ConnectionSort,
        #[serde(default)]
        desc: bool,
        #[serde(default)]
        filter: String,
        #[serde(default)]
        offset: usize,
        limit: Option<usize>,
    },
}

/// `limit` of a page, within its bounds.
fn rows(limit: Option<usize>) -> Result<usize, Problem> {
    match limit.unwrap_or(ROWS) {
        limit @ 1..=ROWS_MAX => Ok(limit),
        _ => Err(Problem::invalid(format!("`limit` must be between 1 and {ROWS_MAX}"))),
    }
}

fn text(name: &str, text: String) -> Result<String, Problem> {
    match text.len() {
        0..=FILTER_BYTES_MAX => Ok(text),
        _ => Err(Problem::invalid(format!("`{name}` has more than {FILTER_BYTES_MAX} bytes"))),
    }
}

/// Reads one text frame.
pub fn parse(frame: &[u8]) -> Result<Op, Problem> {
    let frame: Frame = serde_json::from_slice(frame)
        .map_err(|error| Problem::invalid(format!("frame: {error}")))?;
    let watch = match frame {
        Frame::Pause {} => return Ok(Op::Pause),
        Frame::Resume {} => return Ok(Op::Resume),
        Frame::Watch(watch) => watch,
    };
    Ok(Op::Watch(match watch {
        Watch::Overview {} => Screen::Overview,
        Watch::Dead {} => Screen::Dead,
        Watch::Topics { sort, desc, filter, kind, offset, limit } => {
            let (filter, limit) = (text("filter", filter)?, rows(limit)?);
            Screen::Topics(TopicsQuery { sort, desc, filter, kind, offset, limit })
        }
        Watch::Topic { topic } => Screen::Topic(
            TopicName::parse(topic.as_bytes())
                .map_err(|error| Problem::invalid(format!("topic: {error}")))?,
        ),
        Watch::Connections { door, sort, desc, filter, offset, limit } => {
            let door = door.map(|door| text("door", door)).transpose()?;
            let (filter, limit) = (text("filter", filter)?, rows(limit)?);
            let query =
                ConnectionsQuery { door, sort, desc, filter, offset, limit, ..<_>::default() };
            Screen::Connections(query)
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_screen_is_understood() {
        let parsed = |text: &str| parse(text.as_bytes()).unwrap();
        assert_eq!(parsed(r#"{"op":"pause"}"#), Op::Pause);
        assert_eq!(parsed(r#"{"op":"resume"}"#), Op::Resume);
        assert_eq!(parsed(r#"{"op":"watch","screen":"overview"}"#), Op::Watch(Screen::Overview));
        assert_eq!(parsed(r#"{"op":"watch","screen":"dead"}"#), Op::Watch(Screen::Dead));
        let topics = r#"{"op":"watch","screen":"topics","sort":"published_per_s","desc":true,
            "filter":"eu","kind":"pubsub","offset":50,"limit":200}"#;
        let query = TopicsQuery {
            sort: TopicSort::PublishedPerS,
            desc: true,
            filter: "eu".into(),
            kind: Some(Kind::Pubsub),
            offset: 50,
            limit: 200,
        };
        assert_eq!(parsed(topics), Op::Watch(Screen::Topics(query)));
        let Op::Watch(Screen::Topics(query)) = parsed(r#"{"op":"watch","screen":"topics"}"#) else {
            panic!("not topics");
        };
        assert_eq!((query.limit, query.sort), (ROWS, TopicSort::Name));
        let Op::Watch(Screen::Connections(query)) =
            parsed(r#"{"op":"watch","screen":"connections","door":"okq","sort":"sent_per_s"}"#)
        else {
            panic!("not connections");
        };
        assert_eq!((query.door.as_deref(), query.sort), (Some("okq"), ConnectionSort::SentPerS));
        let topic = TopicName::parse("a/b").unwrap();
        let watched = parsed(r#"{"op":"watch","screen":"topic","topic":"a/b"}"#);
        assert_eq!(watched, Op::Watch(Screen::Topic(topic)));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        let long = format!(r#"{{"op":"watch","screen":"topics","filter":"{}"}}"#, "x".repeat(256));
        let table = [
            "",
            "null",
            "[]",
            "{}",
            r#"{"op":"dance"}"#,
            r#"{"op":"watch"}"#,
            r#"{"op":"watch","screen":"kitchen"}"#,
            r#"{"op":"watch","screen":"overview","filter":"x"}"#,
            r#"{"op":"watch","screen":"topics","sort":"colour"}"#,
            r#"{"op":"watch","screen":"topics","limit":0}"#,
            r#"{"op":"watch","screen":"topics","limit":201}"#,
            r#"{"op":"watch","screen":"topics","offset":-1}"#,
            r#"{"op":"watch","screen":"topic"}"#,
            r#"{"op":"watch","screen":"topic","topic":""}"#,
            r#"{"op":"pause","for":1}"#,
            long.as_str(),
        ];
        for frame in table {
            assert!(parse(frame.as_bytes()).is_err(), "{frame}");
        }
    }
}
