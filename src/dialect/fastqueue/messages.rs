//! Publish, consume, ack, nack.

use super::answer::Answer;
use super::fault::{self, Fault, field};
use super::ids::{self, Coded};
use super::known::FoundQueue;
use super::schema::{CreateMessage, query_integer};
use super::{Asked, Replied, unexpected, view};
use crate::broker::{BrokerError, Named, Op, Reply};
use crate::dialect::path::query_value;
use crate::dialect::trace::{self, TRACEPARENT, Trace};
use crate::queue::*;
use actix_web::http::header::HeaderName;
use std::{sync::Arc, time::Duration};

/// Messages of a consume that says nothing.
const LIMIT: u64 = 10;

/// `POST /topics/{topic_id}/messages`: 201 and one message for each queue that took it.
pub async fn publish(asked: &Asked<'_>, new: CreateMessage) -> Replied {
    let CreateMessage { data, attributes } = new;
    let body = bytes::Bytes::from(data);
    let mut attributes: Option<Arc<str>> = attributes.map(Arc::from);
    if let Some(trace) = Trace::of(asked.request.headers()) {
        attributes = Some(trace.added_to(attributes));
    }
    let extra = attributes
        .clone()
        .map(|attributes| Arc::new(Extra { attributes: Some(attributes), ..Extra::default() }));
    let message = NewMessage { body: body.clone().into(), extra };
    let topic = asked.topic().await?;
    let op = match topic.kind() {
        Kind::Broker => Op::PublishCopies(message),
        // Its subscribers get it; there is no queue to speak of.
        Kind::Pubsub => Op::Publish { to: None, messages: vec![message] },
    };
    let copies = match topic.ask(op).await? {
        Reply::Copies(copies) => copies,
        Reply::Published(results) => {
            results.into_iter().collect::<Result<Vec<_>, _>>()?;
            Vec::new()
        }
        Reply::Failed(error) => return Err(error.into()),
        _ => return Err(unexpected()),
    };
    let mut copies: Vec<_> = copies
        .into_iter()
        .map(|copy| (view::queue_id(topic.name(), &copy.queue, copy.global), copy))
        .collect();
    copies.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let body = view::list(&copies, |out, (queue_id, copy)| {
        view::published(out, queue_id, copy, &body, attributes.as_deref());
    });
    Ok(Answer::json(201, body))
}

/// `GET /queues/{queue_id}/messages`: 200 and what is available, leased.
pub async fn consume(asked: &Asked<'_>) -> Replied {
    let limit = match query_value(asked.query(), "limit") {
        Some(text) => query_integer("limit", &text).map_err(refused)?,
        None => LIMIT,
    };
    let max = usize::try_from(limit).unwrap_or(usize::MAX);
    if max == 0 {
        asked.queue().await?;
        return Ok(Answer::json(200, view::list([(); 0], |_, ()| ())));
    }
    let op = |queue| {
        let request = Receive {
            max,
            bytes_max: usize::MAX,
            ack_deadline: None,
            take: false,
            from_back: false,
        };
        Op::Receive { queue, request, wait: None }
    };
    let (reply, FoundQueue { topic, definition }) = asked.ask_queue(op).await?;
    let Reply::Delivered(deliveries) = reply else { return Err(unexpected()) };
    let id = view::queue_id(topic.name(), &definition.name, definition.policy.global);
    let nesting_max = asked.door.settings.nesting_max;
    let body = view::list(&deliveries, |out, delivery| {
        view::delivered(out, &id, definition.number, delivery, nesting_max);
    });
    let answer = Answer::json(200, body);
    // A header is of one message only.
    let trace = match deliveries.as_slice() {
        [one] => trace::of_attributes(one.message.attributes()),
        _ => None,
    };
    Ok(match trace {
        Some(trace) => answer.with(HeaderName::from_static(TRACEPARENT), trace),
        None => answer,
    })
}

fn refused(fault: Fault) -> Answer {
    Answer::json(422, fault::detail(&[fault]))
}

/// `PUT /messages/{message_id}/ack`: 204, whether the message is there or not.
pub async fn ack(asked: &Asked<'_>) -> Replied {
    settle(asked, |named| Op::Ack(vec![named])).await
}

/// `PUT /messages/{message_id}/nack`: 204. It is available at once, or dead after its last delivery.
pub async fn nack(asked: &Asked<'_>) -> Replied {
    let now = Some(Duration::ZERO);
    settle(asked, |named| Op::Nack(vec![(named, Nack::Fail { delay: now, error: None })])).await
}

/// Says something of a message that is named by nothing but its id.
async fn settle(asked: &Asked<'_>, op: impl Fn(Named) -> Op) -> Replied {
    let text = String::from_utf8_lossy(&asked.id).into_owned();
    let Some(uuid) = ids::parse(&text) else {
        let fault = Fault::new("value is not a valid uuid", "type_error.uuid");
        return Err(refused(fault.inside(field("message_id")).inside(field("path"))));
    };
    let coded = match Coded::of(uuid) {
        Some(coded) => coded,
        // As other doors show it.
        None if uuid.get_version_num() == 7 => {
            Coded { queue: None, origin: MessageId::origin(uuid) }
        }
        None => return Ok(Answer::done()),
    };
    let Coded { queue, origin } = coded;
    if queue.is_none()
        && let Some(topic) = asked.door.known.topic_of(&asked.caller, origin).await?
    {
        match topic.ask(op(Named::Origin { queue, origin })).await? {
            Reply::Done(results) => match results.into_iter().next() {
                Some(Ok(())) => return Ok(Answer::done()),
                Some(Err(BrokerError::Refused(_))) | None => (),
                Some(Err(error)) => return Err(error.into()),
            },
            Reply::Failed(BrokerError::TopicNotFound(_) | BrokerError::Refused(_)) => (),
            Reply::Failed(error) => return Err(error.into()),
            _ => return Err(unexpected()),
        }
    }
    asked.door.broker.elsewhere(&asked.caller, queue, origin, op).await?;
    Ok(Answer::done())
}
