//! The bodies of requests: which fields they have, what is made of other types, what is refused.
//! The rules are pydantic's (version 1), which fastqueue was written with.

use super::fault::{Context, Fault, Step, field};
use super::json::Value;
use crate::config::FastqueueConfig;
use std::borrow::Cow;

/// What an id looks like.
pub const ID_PATTERN: &str = "^[a-zA-Z0-9-._]+$";
/// Most characters of an id.
pub const ID_CHARS_MAX: usize = 128;

/// `POST /topics`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopic {
    /// The topic's name.
    pub id: String,
}

/// What can be chosen for a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSettings {
    /// The topic it belongs to.
    pub topic_id: Option<String>,
    /// Where exhausted messages go.
    pub dead_queue_id: Option<String>,
    /// How long a consumer has.
    pub ack_deadline_seconds: i64,
    /// How long a message is kept.
    pub message_retention_seconds: i64,
    /// Which messages of the topic it takes.
    pub message_filters: Option<Vec<(String, Vec<String>)>>,
    /// How often a message is delivered before it is exhausted.
    pub message_max_deliveries: Option<i64>,
    /// How long a message waits before it is delivered first.
    pub delivery_delay_seconds: Option<i64>,
}

/// `POST /queues`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateQueue {
    /// The queue's name.
    pub id: String,
    /// The rest.
    pub settings: QueueSettings,
}

/// `POST /topics/{topic_id}/messages`; both parts as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateMessage {
    /// The message's body, an object.
    pub data: Vec<u8>,
    /// An object of texts.
    pub attributes: Option<String>,
}

/// `PUT /queues/{queue_id}/redrive`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Where the messages go.
    pub destination_queue_id: String,
}

type Checked<T> = Result<T, Vec<Fault>>;
type Members<'v, 'a> = &'v [(super::json::Text<'a>, Value<'a>)];

/// The members of a body. `None`: there is no body, or it says null.
fn members<'v, 'a>(body: Option<&'v Value<'a>>) -> Checked<Members<'v, 'a>> {
    let fault = match body {
        None | Some(Value::Null) => Fault::missing(),
        Some(value) => match object(value) {
            Ok(members) => return Ok(members),
            Err(fault) => fault,
        },
    };
    Err(vec![fault.inside(field("body"))])
}

/// An object; what has nothing in it counts as an empty one.
fn object<'v, 'a>(value: &'v Value<'a>) -> Result<Members<'v, 'a>, Fault> {
    match value {
        Value::Object(members) => Ok(members),
        Value::List(items) if items.is_empty() => Ok(&[]),
        Value::Text(text) if text.decoded().is_empty() => Ok(&[]),
        _ => Err(Fault::object()),
    }
}

/// Goes through the fields of a body and gathers what is wrong with them.
struct Fields<'v, 'a> {
    members: Members<'v, 'a>,
    faults: Vec<Fault>,
}

impl<'v, 'a> Fields<'v, 'a> {
    fn of(body: Option<&'v Value<'a>>) -> Checked<Self> {
        Ok(Fields { members: members(body)?, faults: Vec::new() })
    }

    fn find(&self, name: &str) -> Option<&'v Value<'a>> {
        let found = self.members.iter().find(|(known, _)| known.decoded() == name);
        found.map(|(_, value)| value)
    }

    fn required<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&Value<'a>) -> Checked<T>,
    ) -> Option<T> {
        let checked = match self.find(name) {
            None => Err(vec![Fault::missing()]),
            Some(Value::Null) => Err(vec![Fault::none()]),
            Some(value) => check(value),
        };
        self.keep(name, checked)
    }

    fn optional<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&Value<'a>) -> Checked<T>,
    ) -> Option<T> {
        match self.find(name) {
            None | Some(Value::Null) => None,
            Some(value) => {
                let checked = check(value);
                self.keep(name, checked)
            }
        }
    }

    fn keep<T>(&mut self, name: &'static str, checked: Checked<T>) -> Option<T> {
        match checked {
            Ok(value) => Some(value),
            Err(faults) => {
                let placed = |fault: Fault| fault.inside(field(name)).inside(field("body"));
                self.faults.extend(faults.into_iter().map(placed));
                None
            }
        }
    }
}

fn id(value: &Value<'_>) -> Checked<String> {
    let text = text(value)?;
    if text.chars().count() > ID_CHARS_MAX {
        return Err(vec![Fault {
            context: Context::Limit(ID_CHARS_MAX as i64),
            ..Fault::new(
                "ensure this value has at most 128 characters",
                "value_error.any_str.max_length",
            )
        }]);
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if text.is_empty() || !text.chars().all(fits) {
        return Err(vec![Fault {
            message: format!("string does not match regex \"{ID_PATTERN}\"").into(),
            context: Context::Pattern(ID_PATTERN),
            ..Fault::new("", "value_error.str.regex")
        }]);
    }
    Ok(text.into_owned())
}

fn text<'a>(value: &Value<'a>) -> Checked<Cow<'a, str>> {
    match value {
        Value::Text(text) => Ok(text.decoded()),
        Value::Int(digits) => Ok(Cow::Borrowed(if *digits == "-0" { "0" } else { digits })),
        Value::Float(digits) => Ok(float_text(digits).into()),
        Value::Bool(true) => Ok("True".into()),
        Value::Bool(false) => Ok("False".into()),
        Value::Null => Err(vec![Fault::none()]),
        Value::List(_) | Value::Object(_) => {
            Err(vec![Fault::new("str type expected", "type_error.str")])
        }
    }
}

/// A number as Python shows it: the fewest digits that mean it; far from 1 with an exponent.
fn float_text(digits: &str) -> String {
    let value: f64 = digits.parse().unwrap_or(f64::NAN);
    if !value.is_finite() {
        return if value < 0.0 { "-inf".into() } else { "inf".into() };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => format!("{value:?}"),
    }
}

fn integer(value: &Value<'_>, (least, most): (i64, i64)) -> Checked<i64> {
    let found = match value {
        Value::Bool(is) => i128::from(*is),
        Value::Int(digits) => whole(digits),
        Value::Float(digits) => match digits.parse::<f64>() {
            // Out of an i128's range it stops at its ends, which no bound allows.
            Ok(value) if value.is_finite() => value.trunc() as i128,
            _ => return Err(vec![Fault::integer()]),
        },
        Value::Text(text) => written_integer(&text.decoded()).ok_or(vec![Fault::integer()])?,
        Value::Null => return Err(vec![Fault::none()]),
        Value::List(_) | Value::Object(_) => return Err(vec![Fault::integer()]),
    };
    match i64::try_from(found) {
        Ok(found) if found < least => Err(vec![Fault::too_small(least)]),
        Ok(found) if found > most => Err(vec![Fault::too_large(most)]),
        Ok(found) => Ok(found),
        Err(_) if found < 0 => Err(vec![Fault::too_small(least)]),
        Err(_) => Err(vec![Fault::too_large(most)]),
    }
}

/// Digits with a sign; what is beyond any bound stops at the end of the range.
fn whole(digits: &str) -> i128 {
    let end = if digits.starts_with('-') { i128::MIN } else { i128::MAX };
    digits.parse().unwrap_or(end)
}

/// What Python reads as an integer: blanks around, a sign, digits with single `_` between them.
fn written_integer(text: &str) -> Option<i128> {
    let text = text.trim_matches(|c: char| c.is_whitespace());
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let fits = digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    fits.then(|| whole(&text.trim_start_matches('+').replace('_', "")))
}

/// An integer of the query.
pub fn query_integer(name: &'static str, text: &str) -> Result<u64, Fault> {
    let fault = match written_integer(text).map(i64::try_from) {
        Some(Ok(value)) => match u64::try_from(value) {
            Ok(value) => return Ok(value),
            Err(_) => Fault::too_small(0),
        },
        Some(Err(_)) | None => Fault::integer(),
    };
    Err(fault.inside(field(name)).inside(field("query")))
}

fn filters(value: &Value<'_>) -> Checked<Vec<(String, Vec<String>)>> {
    let members = object(value).map_err(|fault| vec![fault])?;
    let (mut filters, mut faults) = (Vec::with_capacity(members.len()), Vec::new());
    for (name, value) in members {
        let name = name.decoded().into_owned();
        let inside = |fault: Fault| fault.inside(Step::Name(name.clone().into()));
        let items = match value {
            Value::List(items) => items,
            Value::Null => {
                faults.push(inside(Fault::none()));
                continue;
            }
            _ => {
                faults.push(inside(Fault::new("value is not a valid list", "type_error.list")));
                continue;
            }
        };
        let mut texts = Vec::with_capacity(items.len());
        for (at, item) in items.iter().enumerate() {
            match text(item) {
                Ok(text) => texts.push(text.into_owned()),
                Err(found) => {
                    let placed = |fault: Fault| inside(fault.inside(Step::At(at)));
                    faults.extend(found.into_iter().map(placed));
                }
            }
        }
        filters.push((name, texts));
    }
    if faults.is_empty() { Ok(filters) } else { Err(faults) }
}

fn attributes(value: &Value<'_>) -> Checked<String> {
    let members = object(value).map_err(|fault| vec![fault])?;
    let (mut out, mut faults) = (vec![b'{'], Vec::new());
    for (name, value) in members {
        match text(value) {
            Ok(text) => {
                if out.len() > 1 {
                    out.push(b',');
                }
                // Texts go on as they were written.
                Value::Text(*name).write(&mut out);
                out.push(b':');
                match value {
                    Value::Text(_) => value.write(&mut out),
                    _ => super::json::write_text(&mut out, &text),
                }
            }
            Err(found) => {
                let step = Step::Name(name.decoded().into_owned().into());
                faults.extend(found.into_iter().map(|fault| fault.inside(step.clone())));
            }
        }
    }
    out.push(b'}');
    if faults.is_empty() { Ok(String::from_utf8(out).unwrap_or_default()) } else { Err(faults) }
}

fn data(value: &Value<'_>) -> Checked<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        Value::Object(_) => value.write(&mut out),
        _ => {
            object(value).map_err(|fault| vec![fault])?;
            out.extend_from_slice(b"{}");
        }
    }
    Ok(out)
}

impl CreateTopic {
    /// Checks a body.
    pub fn check(body: Option<&Value<'_>>) -> Checked<CreateTopic> {
        let mut fields = Fields::of(body)?;
        match fields.required("id", id) {
            Some(id) => Ok(CreateTopic { id }),
            None => Err(fields.faults),
        }
    }
}

impl QueueSettings {
    fn gather(fields: &mut Fields<'_, '_>, bounds: &FastqueueConfig) -> Option<QueueSettings> {
        let topic_id = fields.optional("topic_id", id);
        let dead_queue_id = fields.optional("dead_queue_id", id);
        let deadline = bounds.ack_deadline_bounds();
        let ack_deadline_seconds =
            fields.required("ack_deadline_seconds", |value| integer(value, deadline));
        let retention = bounds.retention_bounds();
        let message_retention_seconds =
            fields.required("message_retention_seconds", |value| integer(value, retention));
        let message_filters = fields.optional("message_filters", filters);
        let deliveries = bounds.deliveries_bounds();
        let message_max_deliveries =
            fields.optional("message_max_deliveries", |value| integer(value, deliveries));
        let delay = bounds.delay_bounds();
        let delivery_delay_seconds =
            fields.optional("delivery_delay_seconds", |value| integer(value, delay));
        let message = match (&dead_queue_id, message_max_deliveries) {
            (Some(_), None) => Some("message_max_deliveries is required for dead queue support"),
            (None, Some(_)) => Some("dead_queue_id is required for dead queue support"),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some(message) = message {
            let fault = Fault::new(message, "value_error");
            fields.faults.push(fault.inside(field("__root__")).inside(field("body")));
        }
        Some(QueueSettings {
            topic_id,
            dead_queue_id,
            ack_deadline_seconds: ack_deadline_seconds?,
            message_retention_seconds: message_retention_seconds?,
            message_filters,
            message_max_deliveries,
            delivery_delay_seconds,
        })
    }

    /// Checks the body of an update.
    pub fn check(body: Option<&Value<'_>>, bounds: &FastqueueConfig) -> Checked<QueueSettings> {
        let mut fields = Fields::of(body)?;
        match QueueSettings::gather(&mut fields, bounds) {
            Some(settings) if fields.faults.is_empty() => Ok(settings),
            _ => Err(fields.faults),
        }
    }
}

impl CreateQueue {
    /// Checks a body.
    pub fn check(body: Option<&Value<'_>>, bounds: &FastqueueConfig) -> Checked<CreateQueue> {
        let mut fields = Fields::of(body)?;
        let id = fields.required("id", id);
        let settings = QueueSettings::gather(&mut fields, bounds);
        match (id, settings) {
            (Some(id), Some(settings)) if fields.faults.is_empty() => {
                Ok(CreateQueue { id, settings })
            }
            _ => Err(fields.faults),
        }
    }
}

impl CreateMessage {
    /// Checks a body.
    pub fn check(body: Option<&Value<'_>>) -> Checked<CreateMessage> {
        let mut fields = Fields::of(body)?;
        let data = fields.required("data", data);
        let attributes = fields.optional("attributes", attributes);
        match data {
            Some(data) if fields.faults.is_empty() => Ok(CreateMessage { data, attributes }),
            _ => Err(fields.faults),
        }
    }
}

impl Redrive {
    /// Checks a body.
    pub fn check(body: Option<&Value<'_>>) -> Checked<Redrive> {
        let mut fields = Fields::of(body)?;
        match fields.required("destination_queue_id", |value| text(value).map(Cow::into_owned)) {
            Some(destination_queue_id) => Ok(Redrive { destination_queue_id }),
            None => Err(fields.faults),
        }
    }
}

/// A message's attributes as a client may see them: an object of texts. What another door put there
/// that is no text is shown as text.
pub fn shown_attributes(value: &Value<'_>, out: &mut Vec<u8>) {
    let Value::Object(members) = value else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'{');
    for (nth, (name, value)) in members.iter().enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        Value::Text(*name).write(out);
        out.push(b':');
        match (value, text(value)) {
            (Value::Text(_), _) => value.write(out),
            (_, Ok(text)) => super::json::write_text(out, &text),
            (_, Err(_)) => {
                let mut nested = Vec::new();
                value.write(&mut nested);
                super::json::write_text(out, &String::from_utf8_lossy(&nested));
            }
        }
    }
    out.push(b'}');
}
