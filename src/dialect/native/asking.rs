//! Asking the topic of a request.

use super::caller::Who;
use super::names::both;
use super::{Native, problem::Problem};
use crate::broker::{BrokerError, Op, Reply, TopicHandle};
use crate::queue::{QueueName, TopicName, View};
use actix_web::HttpRequest;

/// Asks a topic one op. One that was deleted and made anew since the worker learnt its address is
/// asked again at its new one.
pub async fn ask(
    native: &Native,
    who: &Who,
    name: &TopicName,
    op: Op,
) -> Result<(Reply, TopicHandle), Problem> {
    let handle = native.topic(&who.0, name).await?;
    let reply = handle.ask(op).await?;
    Ok((reply, handle))
}

/// The topic of the path, and the queue.
pub async fn queue_of(
    request: &HttpRequest,
    native: &Native,
    who: &Who,
) -> Result<(TopicHandle, QueueName), Problem> {
    let (topic, queue) = both(request)?;
    Ok((native.topic(&who.0, &topic).await?, queue))
}

/// The messages of a reply to a look.
pub fn views(reply: Reply) -> Result<Vec<View>, Problem> {
    match reply {
        Reply::Views(views) => Ok(views),
        Reply::Failed(error) => Err(error.into()),
        _ => Err(unexpected()),
    }
}

/// A reply that does not belong to its op.
pub fn unexpected() -> Problem {
    BrokerError::Unavailable.into()
}
