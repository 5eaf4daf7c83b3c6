//! What a client says on the socket: one JSON object per frame, read into the broker's terms. Pure.
//!
//! A text frame is the object. A binary frame is the length of the object (u32, big-endian), the
//! object without the body of its message, and the body.

use crate::broker::replies::{CORRELATION, REPLY_TO};
use crate::broker::{Replied, ReplyAddress, SlowPolicy};
use crate::dialect::native::following::{self, Slow};
use crate::dialect::native::object::{Object, object};
use crate::dialect::native::problem::Problem;
use crate::dialect::native::publish::PublishBody;
use crate::dialect::native::replies::replied;
use crate::queue::*;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{borrow::Cow, str::FromStr, sync::Arc, time::Duration};

/// Longest name of a request or a subscription, and longest correlation id.
const NAME_BYTES_MAX: usize = 255;

/// What a client calls a request: a JSON string or number, echoed as it came.
pub type Req = Option<Box<RawValue>>;

/// What a client may ask for at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// `ws.prefetch_max`
    pub prefetch_max: usize,
    /// `ws.reply_wait_max_s`
    pub reply_wait_max: Duration,
}

/// One of the things a client can ask for.
#[derive(Debug, PartialEq)]
pub enum Verb {
    /// Publishes.
    Publish {
        /// Where to.
        topic: TopicName,
        /// Into this queue only.
        queue: Option<QueueName>,
        /// What.
        messages: Vec<NewMessage>,
        /// One was given, not a list.
        single: bool,
    },
    /// Pushes of a pubsub topic.
    Subscribe {
        /// Of which.
        topic: TopicName,
        /// The last message the client saw.
        position: Option<Position>,
        /// What happens when it cannot follow.
        slow: SlowPolicy,
        /// What the client calls it.
        sub: Arc<str>,
        /// Bodies that are not text come in binary frames.
        binary: bool,
        /// It only watches: nothing counts as handed out by it.
        look: bool,
    },
    /// Messages of a queue, to be acked.
    Consume {
        /// The topic.
        topic: TopicName,
        /// The queue; `None`: `default`.
        queue: Option<QueueName>,
        /// How many may be unacked.
        prefetch: usize,
        /// How long each may take.
        ack_deadline: Option<Duration>,
        /// What the client calls it.
        sub: Arc<str>,
        /// Bodies that are not text come in binary frames.
        binary: bool,
    },
    /// Deliveries that are done, given back, or take longer.
    Settle {
        /// Of which topic.
        topic: TopicName,
        /// Which.
        receipts: Vec<Receipt>,
        /// One was given, not a list.
        single: bool,
        /// What becomes of them.
        how: Settle,
    },
    /// No more of a subscription.
    Unsubscribe(Arc<str>),
    /// A message that wants a reply.
    Request {
        /// Where to.
        topic: TopicName,
        /// Into this queue only.
        queue: Option<QueueName>,
        /// What; where the reply goes is not in it yet.
        message: NewMessage,
        /// How long the client waits.
        timeout: Duration,
    },
    /// The reply to a request.
    Reply {
        /// Where to.
        to: ReplyAddress,
        /// The reply.
        reply: Replied,
    },
    /// Whether anybody is there.
    Ping,
}

/// What becomes of deliveries.
#[derive(Debug, Clone, PartialEq)]
pub enum Settle {
    /// Done.
    Ack,
    /// Given back.
    Nack(Nack),
    /// Take this much longer, from now.
    Extend(Duration),
}

/// A frame that says nothing the broker could do.
#[derive(Debug)]
pub struct Malformed {
    /// Which request it was, if that can be told.
    pub req: Req,
    /// What is wrong.
    pub problem: Problem,
}

/// All fields of all verbs; [`Frame::only`] knows which belong together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Frame<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    #[serde(borrow)]
    req: Option<&'a RawValue>,
    topic: Option<String>,
    queue: Option<String>,
    #[serde(borrow)]
    message: Option<Object<PublishBody<'a>>>,
    #[serde(borrow)]
    messages: Option<Vec<Object<PublishBody<'a>>>>,
    epoch: Option<u32>,
    seq: Option<u64>,
    slow: Option<Slow>,
    sub: Option<String>,
    binary: Option<bool>,
    look: Option<bool>,
    prefetch: Option<usize>,
    ack_deadline_ms: Option<u64>,
    receipt: Option<String>,
    receipts: Option<Vec<String>>,
    mode: Option<Mode>,
    delay_ms: Option<u64>,
    error: Option<String>,
    timeout_ms: Option<u64>,
    to: Option<String>,
    correlation: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Fail,
    Release,
    Dead,
}

/// Whatever else is wrong with a frame, its name may be readable.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    req: Option<&'a RawValue>,
}

/// The request's name, if it is one.
fn name(req: Option<&RawValue>) -> Result<Req, Problem> {
    let Some(raw) = req else { return Ok(None) };
    let text = raw.get();
    let is_name =
        text.starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit());
    if is_name && text.len() <= NAME_BYTES_MAX {
        return Ok(Some(raw.to_owned()));
    }
    Err(Problem::invalid(format!(
        "`req` must be a string or a number of at most {NAME_BYTES_MAX} bytes"
    )))
}

/// Reads a text frame.
pub fn text(frame: &[u8], bounds: &Bounds, now: Timestamp) -> Result<(Req, Verb), Malformed> {
    read(frame, None, bounds, now)
}

/// Reads a binary frame.
pub fn binary(frame: &Bytes, bounds: &Bounds, now: Timestamp) -> Result<(Req, Verb), Malformed> {
    let malformed = |detail| Malformed { req: None, problem: Problem::invalid(detail) };
    let Some((length, rest)) = frame.split_first_chunk::<4>() else {
        return Err(malformed("a binary frame begins with the length of its head"));
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    let Some(head) = rest.get(..length) else {
        return Err(malformed("the head of the frame is longer than the frame"));
    };
    read(head, Some(frame.slice(4 + length..)), bounds, now)
}

fn read(
    head: &[u8],
    body: Option<Bytes>,
    bounds: &Bounds,
    now: Timestamp,
) -> Result<(Req, Verb), Malformed> {
    let frame: Frame<'_> = match object(head) {
        Ok(frame) => frame,
        Err(problem) => {
            let named: Option<Object<Named<'_>>> = serde_json::from_slice(head).ok();
            let req = named.and_then(|Object(named)| name(named.req).ok().flatten());
            return Err(Malformed { req, problem });
        }
    };
    let req = name(frame.req).map_err(|problem| Malformed { req: None, problem })?;
    match frame.verb(body, bounds, now) {
        Ok(verb) => Ok((req, verb)),
        Err(problem) => Err(Malformed { req, problem }),
    }
}

fn needed<T>(name: &'static str, value: Option<T>) -> Result<T, Problem> {
    value.ok_or_else(|| Problem::invalid(format!("`{name}` is missing")))
}

fn short(name: &'static str, text: String) -> Result<String, Problem> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(Problem::invalid(format!("`{name}` must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(text)
}

/// A time within the bounds of the rules; none at all is none.
fn span(name: &'static str, ms: u64) -> Result<Duration, Problem> {
    if ms == 0 || ms > policy::DURATION_MS_MAX {
        return Err(Problem::invalid(format!("`{name}` must be between 1 and ten years")));
    }
    Ok(Duration::from_millis(ms))
}

impl Frame<'_> {
    /// Refuses fields that another verb has.
    fn only(&self, fields: &[&str]) -> Result<(), Problem> {
        let given = [
            ("topic", self.topic.is_some()),
            ("queue", self.queue.is_some()),
            ("message", self.message.is_some()),
            ("messages", self.messages.is_some()),
            ("epoch", self.epoch.is_some()),
            ("seq", self.seq.is_some()),
            ("slow", self.slow.is_some()),
            ("sub", self.sub.is_some()),
            ("binary", self.binary.is_some()),
            ("look", self.look.is_some()),
            ("prefetch", self.prefetch.is_some()),
            ("ack_deadline_ms", self.ack_deadline_ms.is_some()),
            ("receipt", self.receipt.is_some()),
            ("receipts", self.receipts.is_some()),
            ("mode", self.mode.is_some()),
            ("delay_ms", self.delay_ms.is_some()),
            ("error", self.error.is_some()),
            ("timeout_ms", self.timeout_ms.is_some()),
            ("to", self.to.is_some()),
            ("correlation", self.correlation.is_some()),
        ];
        match given.iter().find(|(name, given)| *given && !fields.contains(name)) {
            Some((name, _)) => {
                Err(Problem::invalid(format!("`{}` takes no field `{name}`", self.op)))
            }
            None => Ok(()),
        }
    }

    fn topic(&self) -> Result<TopicName, Problem> {
        let text = needed("topic", self.topic.as_deref())?;
        TopicName::parse(text).map_err(|error| Problem::invalid(format!("topic: {error}")))
    }

    fn queue(&self) -> Result<Option<QueueName>, Problem> {
        let name = self.queue.as_deref().map(QueueName::parse).transpose();
        name.map_err(|error| Problem::invalid(format!("queue: {error}")))
    }

    /// What the client calls a subscription: as it says, else what it is of.
    fn sub(&self) -> Result<Arc<str>, Problem> {
        let text = match (&self.sub, &self.topic, &self.queue) {
            (Some(sub), _, _) => short("sub", sub.clone())?,
            (None, Some(topic), None) => topic.clone(),
            (None, Some(topic), Some(queue)) => format!("{topic}/{queue}"),
            (None, None, _) => needed("sub", None)?,
        };
        Ok(text.into())
    }

    fn message(&mut self, body: Option<Bytes>, now: Timestamp) -> Result<NewMessage, Problem> {
        match (self.message.take(), body) {
            (Some(Object(message)), None) => message.message(now, None),
            (message, Some(body)) => message
                .map(|Object(message)| message)
                .unwrap_or_default()
                .with_body(body, now, None),
            (None, None) => needed("message", None),
        }
    }

    fn receipts(&mut self) -> Result<(Vec<Receipt>, bool), Problem> {
        let parse = |text: String| {
            Receipt::from_str(&text).map_err(|error| Problem::invalid(error.to_string()))
        };
        match (self.receipt.take(), self.receipts.take()) {
            (Some(one), None) => Ok((vec![parse(one)?], true)),
            (None, Some(many)) => {
                Ok((many.into_iter().map(parse).collect::<Result<_, _>>()?, false))
            }
            _ => Err(Problem::invalid("exactly one of `receipt` and `receipts` must be given")),
        }
    }

    fn verb(self, body: Option<Bytes>, bounds: &Bounds, now: Timestamp) -> Result<Verb, Problem> {
        let op = self.op.clone();
        let has_body = matches!(&*op, "publish" | "request" | "reply");
        if !has_body && body.as_ref().is_some_and(|body| !body.is_empty()) {
            return Err(Problem::invalid(format!("`{op}` has no body")));
        }
        match &*op {
            "publish" => self.publish(body, now),
            "subscribe" => self.subscribe(),
            "consume" => self.consume(bounds),
            "ack" | "nack" | "extend" => self.settle(),
            "unsubscribe" => {
                self.only(&["sub"])?;
                Ok(Verb::Unsubscribe(needed("sub", self.sub)?.into()))
            }
            "request" => self.request(body, bounds, now),
            "reply" => self.reply(body, now),
            "ping" => {
                self.only(&[])?;
                Ok(Verb::Ping)
            }
            _ => Err(Problem::new(400, "unknown_op", "No such op", format!("`{op}` is no op"))),
        }
    }

    fn publish(mut self, body: Option<Bytes>, now: Timestamp) -> Result<Verb, Problem> {
        self.only(&["topic", "queue", "message", "messages"])?;
        let (topic, queue) = (self.topic()?, self.queue()?);
        let single = self.messages.is_none();
        let messages = match self.messages.take() {
            None => vec![self.message(body, now)?],
            Some(_) if self.message.is_some() || body.is_some() => {
                return Err(Problem::invalid("only one of `message` and `messages` may be given"));
            }
            Some(many) => {
                let message = |Object(message): Object<PublishBody<'_>>| message.message(now, None);
                many.into_iter().map(message).collect::<Result<_, _>>()?
            }
        };
        Ok(Verb::Publish { topic, queue, messages, single })
    }

    fn subscribe(self) -> Result<Verb, Problem> {
        self.only(&["topic", "epoch", "seq", "slow", "sub", "binary", "look"])?;
        let position = following::position(self.epoch, self.seq)?;
        let slow = self.slow.unwrap_or_default().into();
        let (topic, sub, binary) = (self.topic()?, self.sub()?, self.binary.unwrap_or(false));
        let look = self.look.unwrap_or(false);
        Ok(Verb::Subscribe { topic, position, slow, sub, binary, look })
    }

    fn consume(self, bounds: &Bounds) -> Result<Verb, Problem> {
        self.only(&["topic", "queue", "prefetch", "sub", "ack_deadline_ms", "binary"])?;
        let prefetch = self.prefetch.unwrap_or(1);
        if prefetch == 0 || prefetch > bounds.prefetch_max {
            let most = bounds.prefetch_max;
            return Err(Problem::invalid(format!("`prefetch` must be between 1 and {most}")));
        }
        Ok(Verb::Consume {
            topic: self.topic()?,
            queue: self.queue()?,
            prefetch,
            ack_deadline: self.ack_deadline_ms.map(|ms| span("ack_deadline_ms", ms)).transpose()?,
            sub: self.sub()?,
            binary: self.binary.unwrap_or(false),
        })
    }

    fn settle(mut self) -> Result<Verb, Problem> {
        let how = match &*self.op {
            "ack" => {
                self.only(&["topic", "receipt", "receipts"])?;
                Settle::Ack
            }
            "nack" => {
                self.only(&["topic", "receipt", "receipts", "mode", "delay_ms", "error"])?;
                if self.delay_ms.is_some_and(|ms| ms > policy::DURATION_MS_MAX) {
                    return Err(Problem::invalid("`delay_ms` must be at most ten years"));
                }
                let (delay, error) = (self.delay_ms.map(Duration::from_millis), self.error.take());
                Settle::Nack(match self.mode.unwrap_or(Mode::Fail) {
                    Mode::Fail => Nack::Fail { delay, error },
                    Mode::Release => Nack::Release { delay },
                    Mode::Dead => Nack::Dead { error },
                })
            }
            _ => {
                self.only(&["topic", "receipt", "receipts", "ack_deadline_ms"])?;
                let ms = needed("ack_deadline_ms", self.ack_deadline_ms)?;
                Settle::Extend(span("ack_deadline_ms", ms)?)
            }
        };
        let (receipts, single) = self.receipts()?;
        Ok(Verb::Settle { topic: self.topic()?, receipts, single, how })
    }

    fn request(
        mut self,
        body: Option<Bytes>,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Result<Verb, Problem> {
        self.only(&["topic", "queue", "message", "timeout_ms"])?;
        if self.req.is_none() {
            return Err(Problem::invalid("`req` is missing: the reply would have no name"));
        }
        let timeout = Duration::from_millis(needed("timeout_ms", self.timeout_ms)?);
        if timeout.is_zero() || timeout > bounds.reply_wait_max {
            let most = bounds.reply_wait_max.as_millis();
            return Err(Problem::invalid(format!("`timeout_ms` must be between 1 and {most}")));
        }
        let (topic, queue) = (self.topic()?, self.queue()?);
        let message = with_extra(self.message(body, now)?, |extra| {
            // Nobody is to work on what nobody waits for.
            let end = extra.expires_at.unwrap_or(Timestamp::NEVER).min(now.after(timeout));
            extra.expires_at = Some(end);
        });
        Ok(Verb::Request { topic, queue, message, timeout })
    }

    fn reply(mut self, body: Option<Bytes>, now: Timestamp) -> Result<Verb, Problem> {
        self.only(&["to", "correlation", "message"])?;
        let to = needed("to", self.to.as_deref())?;
        let to = ReplyAddress::from_str(to)?;
        let correlation = short("correlation", needed("correlation", self.correlation.take())?)?;
        let reply = replied(correlation, self.message(body, now)?)?;
        Ok(Verb::Reply { to, reply })
    }
}

/// The same message with more said beside its body.
fn with_extra(message: NewMessage, say: impl FnOnce(&mut Extra)) -> NewMessage {
    let client_id = message.own_id().map(Bytes::copy_from_slice);
    let mut extra = message.extra.map(Arc::unwrap_or_clone).unwrap_or_default();
    extra.client_id = client_id;
    say(&mut extra);
    NewMessage::new(message.body.into_body(), extra)
}

/// Says in a request's attributes where its reply goes.
pub fn addressed(
    message: NewMessage,
    to: ReplyAddress,
    correlation: &str,
) -> Result<NewMessage, Problem> {
    let given = message.extra.as_ref().and_then(|extra| extra.attributes.as_deref());
    let mut attributes: serde_json::Map<String, serde_json::Value> = match given {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Problem::invalid(format!("attributes: {error}")))?,
        None => serde_json::Map::new(),
    };
    for (name, value) in [(REPLY_TO, to.to_string()), (CORRELATION, correlation.to_owned())] {
        if attributes.insert(name.to_owned(), value.into()).is_some() {
            let detail = format!("the attribute `{name}` of a request is the broker's");
            return Err(Problem::invalid(detail));
        }
    }
    let text = serde_json::Value::Object(attributes).to_string();
    Ok(with_extra(message, |extra| extra.attributes = Some(text.into())))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
