//! Topics, queues and messages as fastqueue's clients see them.

use super::ids::Coded;
use super::json::{self, Value};
use super::schema::shown_attributes;
use super::time;
use crate::queue::*;
use base64::Engine as _;

/// A queue as clients name it: a global one by its name, `default` by its topic, others by both.
pub fn queue_id(topic: &TopicName, queue: &QueueName, global: bool) -> String {
    match () {
        () if global => queue.to_string(),
        () if *queue == QueueName::default_queue() => topic.to_string(),
        () => format!("{topic}/{queue}"),
    }
}

fn number(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn name(out: &mut Vec<u8>, name: &'static str) {
    out.push(if out.ends_with(b"{") { b'"' } else { b',' });
    if out.ends_with(b",") {
        out.push(b'"');
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn text_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => json::write_text(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn number_or_null(out: &mut Vec<u8>, value: u64) {
    match value {
        0 => out.extend_from_slice(b"null"),
        value => number(out, value),
    }
}

/// Writes a topic.
pub fn topic(out: &mut Vec<u8>, topic: &TopicDefinition) {
    out.push(b'{');
    name(out, "id");
    json::write_text(out, &topic.name.to_string());
    name(out, "created_at");
    time::write(out, topic.created_at);
    out.push(b'}');
}

/// Writes a queue; `of` is its topic.
pub fn queue(out: &mut Vec<u8>, of: &TopicName, queue: &QueueDefinition) {
    let policy = &queue.policy;
    let dead_queue = policy
        .dead_letter
        .as_ref()
        .map(|address| queue_id(&address.topic, &address.queue, address.topic.is_unattached()));
    out.push(b'{');
    name(out, "id");
    json::write_text(out, &queue_id(of, &queue.name, policy.global));
    name(out, "topic_id");
    let topic = (!of.is_unattached()).then(|| of.to_string());
    text_or_null(out, topic.as_deref());
    name(out, "dead_queue_id");
    text_or_null(out, dead_queue.as_deref());
    name(out, "ack_deadline_seconds");
    number(out, policy.ack_deadline_ms / 1000);
    name(out, "message_retention_seconds");
    number(out, policy.retention_ms / 1000);
    name(out, "message_filters");
    match &policy.filter {
        Some(filter) => filters(out, filter),
        None => out.extend_from_slice(b"null"),
    }
    name(out, "message_max_deliveries");
    number_or_null(out, policy.max_deliveries.into());
    name(out, "delivery_delay_seconds");
    number_or_null(out, policy.delay_ms / 1000);
    name(out, "created_at");
    time::write(out, queue.created_at);
    name(out, "updated_at");
    time::write(out, policy.changed_at.unwrap_or(queue.created_at));
    out.push(b'}');
}

fn filters(out: &mut Vec<u8>, filter: &Filter) {
    out.push(b'{');
    for (nth, (attribute, values)) in filter.0.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        json::write_text(out, attribute);
        out.extend_from_slice(b":[");
        for (nth, value) in values.iter().enumerate() {
            if nth > 0 {
                out.push(b',');
            }
            json::write_text(out, value);
        }
        out.push(b']');
    }
    out.push(b'}');
}

/// What all messages show.
struct Shown<'a> {
    id: Coded,
    queue_id: &'a str,
    delivery_attempts: u32,
    expired_at: Timestamp,
    scheduled_at: Timestamp,
    created_at: Timestamp,
    updated_at: Timestamp,
}

fn message(
    out: &mut Vec<u8>,
    shown: &Shown<'_>,
    data: impl FnOnce(&mut Vec<u8>),
    attributes: impl FnOnce(&mut Vec<u8>),
) {
    out.extend_from_slice(b"{\"id\":\"");
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    out.extend_from_slice(shown.id.uuid().hyphenated().encode_lower(&mut id).as_bytes());
    out.extend_from_slice(b"\",\"queue_id\":");
    json::write_text(out, shown.queue_id);
    out.extend_from_slice(b",\"data\":");
    data(out);
    out.extend_from_slice(b",\"attributes\":");
    attributes(out);
    out.extend_from_slice(b",\"delivery_attempts\":");
    number(out, shown.delivery_attempts.into());
    for (name, at) in [
        (",\"expired_at\":", shown.expired_at),
        (",\"scheduled_at\":", shown.scheduled_at),
        (",\"created_at\":", shown.created_at),
        (",\"updated_at\":", shown.updated_at),
    ] {
        out.extend_from_slice(name.as_bytes());
        time::write(out, at);
    }
    out.push(b'}');
}

/// Writes a message that was just published; data and attributes are JSON already.
pub fn published(
    out: &mut Vec<u8>,
    queue_id: &str,
    copy: &PlacedCopy,
    data: &[u8],
    attributes: Option<&str>,
) {
    let shown = Shown {
        id: Coded { queue: None, origin: copy.origin },
        queue_id,
        delivery_attempts: 0,
        expired_at: copy.expires_at,
        scheduled_at: copy.visible_at,
        created_at: copy.published_at,
        updated_at: copy.published_at,
    };
    message(
        out,
        &shown,
        |out| out.extend_from_slice(data),
        |out| out.extend_from_slice(attributes.unwrap_or("null").as_bytes()),
    );
}

/// Writes a message that was handed out from a queue with this number.
pub fn delivered(
    out: &mut Vec<u8>,
    queue_id: &str,
    queue: u32,
    delivery: &Delivery,
    nesting_max: usize,
) {
    let found = &delivery.message;
    let shown = Shown {
        id: Coded { queue: (!found.lone).then_some(queue), origin: found.origin() },
        queue_id,
        delivery_attempts: delivery.attempt,
        expired_at: delivery.expires_at,
        scheduled_at: delivery.deadline,
        created_at: found.published_at,
        updated_at: delivery.at,
    };
    message(
        out,
        &shown,
        |out| data(out, found.body(), nesting_max),
        |out| match found.attributes().and_then(|text| json::read(text, nesting_max).ok()) {
            Some(attributes) => shown_attributes(&attributes, out),
            None => out.extend_from_slice(b"null"),
        },
    );
}

/// A body as `data`. What another door published and is no object is an object's one member: `body`,
/// or `body_base64` when it is no text.
fn data(out: &mut Vec<u8>, body: &[u8], nesting_max: usize) {
    match std::str::from_utf8(body) {
        Ok(text) => match json::read(text, nesting_max) {
            Ok(value @ Value::Object(_)) => value.write(out),
            Ok(_) | Err(_) => {
                out.extend_from_slice(b"{\"body\":");
                json::write_text(out, text);
                out.push(b'}');
            }
        },
        Err(_) => {
            out.extend_from_slice(b"{\"body_base64\":\"");
            let coded = base64::engine::general_purpose::STANDARD.encode(body);
            out.extend_from_slice(coded.as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Writes `{"data":[...]}` around its items.
pub fn list<T>(
    items: impl IntoIterator<Item = T>,
    mut write: impl FnMut(&mut Vec<u8>, T),
) -> Vec<u8> {
    let mut out = b"{\"data\":[".to_vec();
    for (nth, item) in items.into_iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        write(&mut out, item);
    }
    out.extend_from_slice(b"]}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_of_other_doors_are_shown_as_data() {
        let table: [(&[u8], &str); 6] = [
            (br#" { "a" : 1 , "a" : 2 } "#, r#"{"a":2}"#),
            (b"plain \"text\"", r#"{"body":"plain \"text\""}"#),
            (b"[1]", r#"{"body":"[1]"}"#),
            (b"", r#"{"body":""}"#),
            (b"\xff\x00", r#"{"body_base64":"/wA="}"#),
            (b"{\"a\":{\"b\":{}}}", r#"{"body":"{\"a\":{\"b\":{}}}"}"#),
        ];
        for (body, expected) in table {
            let mut out = Vec::new();
            data(&mut out, body, 2);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_queue_is_named_as_shortly_as_can_be() {
        let (topic, queue) = (TopicName::parse("t").unwrap(), QueueName::parse("q").unwrap());
        assert_eq!(queue_id(&topic, &queue, true), "q");
        assert_eq!(queue_id(&topic, &queue, false), "t/q");
        assert_eq!(queue_id(&topic, &QueueName::default_queue(), false), "t");
    }
}
