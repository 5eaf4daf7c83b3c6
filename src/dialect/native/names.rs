//! What the path of a request names. Taken from the path as it was sent: the router has decoded its
//! own copy as text, and names need not be text.

use super::problem::Problem;
use crate::dialect::path::percent_decode;
use crate::queue::*;
use actix_web::HttpRequest;
use utoipa::IntoParams;

/// Where the path has the name of a topic or a user, that of a queue, and the id of a message;
/// segment 0 is what stands before the first slash.
const TOPIC: usize = 3;
const QUEUE: usize = 5;
const MESSAGE: usize = 7;

/// A path with a topic, as the document of the API shows it.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "the document reads the fields, nobody else does")]
pub struct TopicPath {
    /// The name of the topic: 1 to 255 bytes, percent-encoded.
    #[param(min_length = 1, max_length = 255, example = "orders")]
    topic: String,
}

/// A path with a topic and a queue.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "the document reads the fields, nobody else does")]
pub struct QueuePath {
    /// The name of the topic: 1 to 255 bytes, percent-encoded.
    #[param(min_length = 1, max_length = 255, example = "orders")]
    topic: String,
    /// The name of the queue: 1 to 255 bytes, percent-encoded.
    #[param(min_length = 1, max_length = 255, example = "default")]
    queue: String,
}

/// A path with a topic, a queue and a message.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "the document reads the fields, nobody else does")]
pub struct MessagePath {
    /// The name of the topic: 1 to 255 bytes, percent-encoded.
    #[param(min_length = 1, max_length = 255, example = "orders")]
    topic: String,
    /// The name of the queue: 1 to 255 bytes, percent-encoded.
    #[param(min_length = 1, max_length = 255, example = "default")]
    queue: String,
    /// The id of the message: the broker's or the publisher's.
    #[param(min_length = 1, example = "0198c2f0-7c1b-7a52-9d7e-3d1f6a1c2b30")]
    id: String,
}

/// The bytes of one segment of the path.
fn segment(request: &HttpRequest, at: usize) -> Option<Vec<u8>> {
    let raw = request.uri().path().as_bytes().split(|byte| *byte == b'/').nth(at)?;
    Some(percent_decode(raw))
}

/// The topic named in the path.
pub fn topic_name(request: &HttpRequest) -> Result<TopicName, Problem> {
    let bytes = segment(request, TOPIC).unwrap_or_default();
    TopicName::parse(bytes).map_err(|error| Problem::invalid(format!("topic: {error}")))
}

/// The user named in the path.
pub fn user_name(request: &HttpRequest) -> Result<String, Problem> {
    let bytes = segment(request, TOPIC).unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Problem::invalid("user: not UTF-8"))
}

/// The queue named in the path, if there is one.
pub fn queue_name(request: &HttpRequest) -> Result<Option<QueueName>, Problem> {
    let Some(bytes) = segment(request, QUEUE) else { return Ok(None) };
    QueueName::parse(bytes).map(Some).map_err(|error| Problem::invalid(format!("queue: {error}")))
}

/// The topic and the queue of a path that names both.
pub fn both(request: &HttpRequest) -> Result<(TopicName, QueueName), Problem> {
    let queue = queue_name(request)?.ok_or_else(|| Problem::invalid("queue: no name"))?;
    Ok((topic_name(request)?, queue))
}

/// The id of the message named in the path.
pub fn message_id(request: &HttpRequest) -> Result<MessageId, Problem> {
    match segment(request, MESSAGE).unwrap_or_default() {
        id if id.is_empty() => Err(Problem::invalid("id: it must not be empty")),
        id => Ok(MessageId::parse(&id)),
    }
}
