//! Which of a queue's messages are meant: filters of lists, peeks and redrives.

use super::client::Ask;
use super::failure::Failure;
use super::message::Messages;
use super::name::{QueueArgs, with_query};
use super::remote::Session;
use super::span::Span;
use serde_json::{Map, Value, value::RawValue};

/// Most messages of one page.
const PAGE_MAX: u64 = 500;

/// What messages must be like.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct FilterArgs {
    /// Having this attribute; may be repeated
    #[arg(long = "attr", value_name = "NAME=VALUE")]
    attributes: Vec<String>,
    /// Having this value at this place of their JSON body; may be repeated
    #[arg(long = "at-json", value_name = "/POINTER=VALUE")]
    json_at: Vec<String>,
    /// Having this text in their body
    #[arg(long)]
    text: Option<String>,
    /// Given up for this reason
    #[arg(long)]
    reason: Option<String>,
    /// Published before so long
    #[arg(long, value_name = "SPAN")]
    older: Option<Span>,
    /// Published within so long
    #[arg(long, value_name = "SPAN")]
    newer: Option<Span>,
}

impl FilterArgs {
    /// Nothing is filtered.
    pub fn is_empty(&self) -> bool {
        self.attributes.is_empty()
            && self.json_at.is_empty()
            && self.text.is_none()
            && self.reason.is_none()
            && self.older.is_none()
            && self.newer.is_none()
    }

    fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        let mut pairs = Vec::new();
        pairs.extend(self.attributes.iter().map(|pair| ("attribute", Some(pair.clone()))));
        pairs.extend(self.json_at.iter().map(|pair| ("json", Some(pair.clone()))));
        pairs.push(("text", self.text.clone()));
        pairs.push(("reason", self.reason.clone()));
        pairs.push(("older_than_ms", self.older.map(|span| span.millis().to_string())));
        pairs.push(("newer_than_ms", self.newer.map(|span| span.millis().to_string())));
        pairs
    }

    /// As the body of a redrive has it.
    pub fn object(&self) -> Result<Option<Value>, Failure> {
        let mut object = Map::new();
        for (flag, name, pairs) in
            [("--attr", "attribute", &self.attributes), ("--at-json", "json", &self.json_at)]
        {
            let mut values: Map<String, Value> = Map::new();
            for pair in pairs {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    Failure::usage(format!("{flag} {pair}: it must be NAME=VALUE"))
                })?;
                match (name, values.get_mut(key)) {
                    // Each of several values will do.
                    ("attribute", Some(Value::Array(known))) => known.push(value.into()),
                    ("attribute", _) => drop(values.insert(key.into(), vec![value].into())),
                    _ => drop(values.insert(key.into(), value.into())),
                }
            }
            if !values.is_empty() {
                object.insert(name.into(), values.into());
            }
        }
        let said = [
            ("text", self.text.as_deref().map(Value::from)),
            ("reason", self.reason.as_deref().map(Value::from)),
            ("older_than_ms", self.older.map(|span| span.millis().into())),
            ("newer_than_ms", self.newer.map(|span| span.millis().into())),
        ];
        for (name, value) in said {
            object.extend(value.map(|value| (name.to_owned(), value)));
        }
        Ok((!object.is_empty()).then(|| object.into()))
    }
}

/// Goes through the messages of one state, page by page, until `limit` were taken; how many.
pub async fn each(
    session: &mut Session,
    of: &QueueArgs,
    state: Option<&str>,
    filter: &FilterArgs,
    limit: u64,
    take: impl FnMut(&mut Session, &RawValue) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let path = format!("{}/messages", of.path());
    let pairs = [("state", state.map(str::to_owned))];
    each_at(session, &path, &pairs, filter, limit, take).await
}

/// The same of the list at a path, which takes `pairs` beside the filter.
pub async fn each_at(
    session: &mut Session,
    path: &str,
    pairs: &[(&'static str, Option<String>)],
    filter: &FilterArgs,
    limit: u64,
    mut take: impl FnMut(&mut Session, &RawValue) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let mut taken = 0;
    let mut after: Option<String> = None;
    while taken < limit {
        let mut query = filter.pairs();
        query.extend_from_slice(pairs);
        query.push(("limit", Some((limit - taken).min(PAGE_MAX).to_string())));
        query.push(("after", after));
        let path = with_query(path.to_owned(), &query);
        let asked = session.until_stopped(async |client| client.ask(Ask::get(path)).await).await?;
        let Some(answer) = asked else { break };
        let answer = answer?;
        let page: Messages<'_> = serde_json::from_slice(&answer.body)?;
        for raw in page.messages {
            if taken < limit {
                take(session, raw)?;
                taken += 1;
            }
        }
        after = match page.next {
            None | Some(Value::Null) => break,
            Some(Value::String(cursor)) => Some(cursor),
            Some(other) => Some(other.to_string()),
        };
    }
    Ok(taken)
}
