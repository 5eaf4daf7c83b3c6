//! What clients send, as the broker's terms.

use super::answer::Refused;
use super::duration;
use super::gojson::{Reader, first_value};
use crate::dialect::trace::Trace;
use crate::queue::*;
use bytes::Bytes;
use std::{borrow::Cow, time::Duration};

/// A subscriber as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subscriber {
    /// Its name.
    pub name: String,
    /// How often a message is handed out again; at least once.
    max_attempts: i64,
    /// How long a reader has, in Go's form.
    visibility: String,
}

/// A topic as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its subscribers.
    pub subscribers: Vec<Subscriber>,
}

/// A message as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Publish<'a> {
    message: Cow<'a, str>,
    delay: String,
}

/// Reads the first JSON value of a body.
fn read<'a, T: Default>(
    body: &'a [u8],
    value: impl FnOnce(&mut Reader<'a>, &mut T),
) -> Result<T, Refused> {
    let mut reader = Reader::new(first_value(body).map_err(Refused::malformed)?);
    let mut read = T::default();
    value(&mut reader, &mut read);
    reader.finish().map_err(Refused::malformed)?;
    Ok(read)
}

/// `{"name", "subscribers"}`
pub fn topic(body: &[u8]) -> Result<Topic, Refused> {
    read(body, |reader, topic: &mut Topic| {
        reader.object("io.Topic", &["name", "subscribers"], |reader, field| match field {
            "name" => topic.name = text(reader, &topic.name),
            _ => read_subscribers(reader, &mut topic.subscribers),
        });
    })
}

/// `[{"name", "option"}, ...]`
pub fn subscribers(body: &[u8]) -> Result<Vec<Subscriber>, Refused> {
    read(body, |reader, subscribers| read_subscribers(reader, subscribers))
}

/// `{"message", "delay"}`
pub fn publish(body: &[u8]) -> Result<Publish<'_>, Refused> {
    read(body, read_publish)
}

/// `[{"message", "delay"}, ...]`
pub fn publishes(body: &[u8]) -> Result<Vec<Publish<'_>>, Refused> {
    read(body, |reader, publishes: &mut Vec<Publish<'_>>| {
        reader.array("[]io.Publish", |reader| {
            let mut publish = Publish::default();
            read_publish(reader, &mut publish);
            publishes.push(publish);
        });
    })
}

/// `["id", ...]`
pub fn ids(body: &[u8]) -> Result<Vec<String>, Refused> {
    read(body, |reader, ids: &mut Vec<String>| {
        reader.array("[]string", |reader| {
            ids.push(reader.text().unwrap_or_default().into_owned());
        });
    })
}

/// A text, or what was there before `null`.
fn text(reader: &mut Reader<'_>, before: &str) -> String {
    reader.text().map_or_else(|| before.to_owned(), Cow::into_owned)
}

fn read_publish<'a>(reader: &mut Reader<'a>, publish: &mut Publish<'a>) {
    reader.object("io.Publish", &["message", "delay"], |reader, field| match field {
        "message" => {
            if let Some(message) = reader.text() {
                publish.message = message;
            }
        }
        _ => publish.delay = text(reader, &publish.delay),
    });
}

fn read_subscribers(reader: &mut Reader<'_>, subscribers: &mut Vec<Subscriber>) {
    let mut listed = Vec::new();
    let is_list = reader.array("io.Subscribers", |reader| {
        let mut subscriber = Subscriber::default();
        reader.object("io.Subscriber", &["name", "option"], |reader, field| match field {
            "name" => subscriber.name = text(reader, &subscriber.name),
            _ => read_option(reader, &mut subscriber),
        });
        listed.push(subscriber);
    });
    if is_list {
        *subscribers = listed;
    }
}

fn read_option(reader: &mut Reader<'_>, subscriber: &mut Subscriber) {
    let fields = ["max_attempts", "visibility_duration"];
    reader.object("io.SubscriberOpt", &fields, |reader, field| match field {
        "max_attempts" => subscriber.max_attempts = reader.int().unwrap_or(subscriber.max_attempts),
        _ => subscriber.visibility = text(reader, &subscriber.visibility),
    });
}

const MINUTE_NS: i64 = 60_000_000_000;
/// What a reader has when the subscriber says nothing that can be read.
const VISIBILITY_NS: i64 = 5 * MINUTE_NS;

/// How long a reader has. `floor`: everything below five minutes is one minute, as in releases before
/// 2026. What is no time at all is one minute in any case.
fn visibility_ms(text: &str, floor: bool) -> u64 {
    let nanoseconds = duration::parse(text).unwrap_or(VISIBILITY_NS);
    let short = nanoseconds < VISIBILITY_NS;
    let nanoseconds = if nanoseconds <= 0 || floor && short { MINUTE_NS } else { nanoseconds };
    nanoseconds.unsigned_abs().div_ceil(1_000_000).min(policy::DURATION_MS_MAX)
}

impl Subscriber {
    /// Its name and the settings of its queue.
    ///
    /// Errors: a name that cannot stand in a path.
    pub fn queue(&self, floor: bool) -> Result<(QueueName, QueuePolicy), Refused> {
        check_name("subscriber", &self.name)?;
        let name = QueueName::parse(&self.name)
            .map_err(|error| Refused::malformed(format!("subscriber: {error}")))?;
        // The last of N attempts is followed by one more delivery.
        let deliveries = self.max_attempts.max(1).saturating_add(1);
        let policy = QueuePolicy {
            ack_deadline_ms: visibility_ms(&self.visibility, floor),
            max_deliveries: u32::try_from(deliveries).unwrap_or(u32::MAX),
            returns: Returns::Back,
            ..QueuePolicy::default()
        };
        Ok((name, policy))
    }
}

impl Topic {
    /// Its name.
    ///
    /// Errors: a name that cannot stand in a path.
    pub fn topic_name(&self) -> Result<TopicName, Refused> {
        check_name("topic", &self.name)?;
        TopicName::parse(&self.name).map_err(|error| Refused::malformed(format!("topic: {error}")))
    }
}

/// Names are parts of paths; one that a client could not write there again is refused.
fn check_name(what: &str, name: &str) -> Result<(), Refused> {
    if name.contains(|c: char| c == '/' || c.is_control()) {
        let text = format!("{what}: a name must not have a slash or a control character");
        return Err(Refused::malformed(text));
    }
    if name == "." || name == ".." {
        return Err(Refused::malformed(format!("{what}: a path cannot hold this name")));
    }
    Ok(())
}

impl Publish<'_> {
    /// Into the broker's terms, with the trace of the request.
    ///
    /// Errors: a delay that is no duration, or longer than ten years.
    pub fn message(self, now: Timestamp, trace: Option<Trace<'_>>) -> Result<NewMessage, Refused> {
        let body = Bytes::from(self.message.into_owned());
        let delay = match self.delay.as_str() {
            "" => 0,
            delay => duration::parse(delay).map_err(Refused::malformed)?,
        };
        let delay = Duration::from_nanos(u64::try_from(delay).unwrap_or(0));
        let attributes = trace.map(|trace| trace.added_to(None));
        if delay.is_zero() && attributes.is_none() {
            return Ok(NewMessage::plain(body));
        }
        if delay > Duration::from_millis(policy::DURATION_MS_MAX) {
            return Err(Refused::malformed("delay: longer than ten years"));
        }
        let deliver_at = (!delay.is_zero()).then(|| now.after(delay));
        let extra = Extra { deliver_at, attributes, ..Extra::default() };
        Ok(NewMessage::new(body, extra))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_of(option: &str, floor: bool) -> QueuePolicy {
        let body = format!(r#"[{{"name":"s","option":{option}}}]"#);
        subscribers(body.as_bytes()).unwrap()[0].queue(floor).unwrap().1
    }

    #[test]
    fn options_are_made_whole() {
        let deliveries = |option| policy_of(option, false).max_deliveries;
        assert_eq!(deliveries("null"), 2);
        assert_eq!(deliveries(r#"{"max_attempts":0}"#), 2);
        assert_eq!(deliveries(r#"{"max_attempts":-7}"#), 2);
        assert_eq!(deliveries(r#"{"max_attempts":1}"#), 2);
        assert_eq!(deliveries(r#"{"MAX_ATTEMPTS":3}"#), 4);
        assert_eq!(deliveries(r#"{"max_attempts":9223372036854775807}"#), u32::MAX);
        assert_eq!(policy_of("{}", false).returns, Returns::Back);
        let table = [
            (r#"{}"#, 300_000, 300_000),
            (r#"{"visibility_duration":null}"#, 300_000, 300_000),
            (r#"{"visibility_duration":"soon"}"#, 300_000, 300_000),
            (r#"{"visibility_duration":"1s"}"#, 1_000, 60_000),
            (r#"{"visibility_duration":"1500us"}"#, 2, 60_000),
            (r#"{"visibility_duration":"1m"}"#, 60_000, 60_000),
            (r#"{"visibility_duration":"4m59s"}"#, 299_000, 60_000),
            (r#"{"visibility_duration":"5m"}"#, 300_000, 300_000),
            (r#"{"visibility_duration":"1h"}"#, 3_600_000, 3_600_000),
            (r#"{"visibility_duration":"0s"}"#, 60_000, 60_000),
            (r#"{"visibility_duration":"-1h"}"#, 60_000, 60_000),
            (
                r#"{"visibility_duration":"2000000h"}"#,
                policy::DURATION_MS_MAX,
                policy::DURATION_MS_MAX,
            ),
        ];
        for (option, honoured, floored) in table {
            assert_eq!(policy_of(option, false).ack_deadline_ms, honoured, "{option}");
            assert_eq!(policy_of(option, true).ack_deadline_ms, floored, "{option}");
            assert_eq!(policy_of(option, false).check(), Ok(()), "{option}");
        }
    }

    #[test]
    fn bodies_are_read_as_the_original_reads_them() {
        let read =
            topic(br#" {"NAME":"t","Subscribers":[{"name":"a"},null,{}],"x":1} {"name":"u"}"#);
        let Topic { name, subscribers: list } = read.unwrap();
        let names: Vec<_> = list.iter().map(|subscriber| subscriber.name.as_str()).collect();
        assert_eq!((name.as_str(), names), ("t", vec!["a", "", ""]));
        assert_eq!(topic(b"null"), Ok(Topic::default()));
        assert_eq!(subscribers(b"null"), Ok(Vec::new()));
        assert_eq!(publish(b"{}").map(|read| read.message), Ok("".into()));
        assert_eq!(publish(br#"{"message":null}"#).map(|read| read.message), Ok("".into()));
        assert_eq!(
            publish(br#"{"mEssage":"a","message":"b"}"#).map(|read| read.message),
            Ok("b".into())
        );
        assert_eq!(ids(br#"["a",null,"b"]"#), Ok(vec!["a".into(), String::new(), "b".into()]));
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_the_words_of_go() {
        let table = [
            (topic(b"").map(drop), "EOF"),
            (
                topic(b"{bad").map(drop),
                "invalid character 'b' looking for beginning of object key string",
            ),
            (
                topic(br#"{"name":1}"#).map(drop),
                "json: cannot unmarshal number into Go struct field Topic.name of type string",
            ),
            (
                topic(br#"{"name":"t","subscribers":{}}"#).map(drop),
                "json: cannot unmarshal object into Go struct field Topic.subscribers of type \
                 io.Subscribers",
            ),
            (
                topic(br#"{"subscribers":[{"option":{"max_attempts":1.5}}]}"#).map(drop),
                "json: cannot unmarshal number 1.5 into Go struct field \
                 SubscriberOpt.subscribers.option.max_attempts of type int",
            ),
            (
                subscribers(b"{}").map(drop),
                "json: cannot unmarshal object into Go value of type io.Subscribers",
            ),
            (
                subscribers(br#"[{"name":"s","option":{"max_attempts":"2"}}]"#).map(drop),
                "json: cannot unmarshal string into Go struct field \
                 SubscriberOpt.option.max_attempts of type int",
            ),
            (
                publish(br#"{"message":5}"#).map(drop),
                "json: cannot unmarshal number into Go struct field Publish.message of type string",
            ),
            (
                publish(b"[]").map(drop),
                "json: cannot unmarshal array into Go value of type io.Publish",
            ),
            (
                publishes(b"{}").map(drop),
                "json: cannot unmarshal object into Go value of type []io.Publish",
            ),
            (ids(b"[1]").map(drop), "json: cannot unmarshal number into Go value of type string"),
        ];
        for (told, text) in table {
            assert_eq!(told, Err(Refused::malformed(text)));
        }
    }

    #[test]
    fn names_that_no_path_can_hold_are_refused() {
        for name in ["", "a/b", "a\nb", "\u{7f}", ".", "..", &"n".repeat(256)] {
            let topic = Topic { name: name.to_owned(), subscribers: Vec::new() };
            assert!(topic.topic_name().is_err(), "{name:?}");
            let subscriber = Subscriber { name: name.to_owned(), ..Subscriber::default() };
            assert!(subscriber.queue(false).is_err(), "{name:?}");
        }
        for name in ["a", "with space", "\u{e4}", "a.b-c_d", "%2F", &"n".repeat(255)] {
            let topic = Topic { name: name.to_owned(), subscribers: Vec::new() };
            assert!(topic.topic_name().is_ok(), "{name:?}");
        }
    }

    #[test]
    fn a_delay_makes_a_message_visible_later() {
        let now = Timestamp(1000);
        let read = |body: &'static str| publish(body.as_bytes()).unwrap().message(now, None);
        for none in
            [r#"{"message":"m"}"#, r#"{"delay":""}"#, r#"{"delay":"0s"}"#, r#"{"delay":"-1h"}"#]
        {
            assert_eq!(read(none).unwrap().extra, None, "{none}");
        }
        let later = read(r#"{"message":"m","delay":"10m"}"#).unwrap();
        assert_eq!(later.extra.unwrap().deliver_at, Some(Timestamp(601_000)));
        let missing = Err(Refused::malformed("time: missing unit in duration \"5\""));
        assert_eq!(read(r#"{"delay":"5"}"#), missing);
        assert!(read(r#"{"delay":"100000h"}"#).is_err());
    }
}
