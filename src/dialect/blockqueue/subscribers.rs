//! Add, list and delete subscribers of a topic.

use super::answer::{Answer, Refused, data, success};
use super::caller::{Body, Who};
use super::{Blockqueue, path, request};
use crate::queue::*;
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// `POST /topics/{topic}/subscribers` with `[{"name", "option"}, ...]`: all of them, or none.
pub async fn add(
    request: HttpRequest,
    who: Who,
    door: web::Data<Blockqueue>,
    body: Body,
) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let subscribers = request::subscribers(&body)?;
    if subscribers.is_empty() {
        return Err(Refused::no_subscribers());
    }
    let floor = door.config.visibility_floor;
    let queues = subscribers.iter().map(|subscriber| subscriber.queue(floor));
    let queues = queues.collect::<Result<Vec<_>, _>>()?;
    door.broker.create_queues(&who.0, topic.name(), queues).await?;
    Ok(success())
}

#[derive(Serialize)]
struct StatusView {
    name: String,
    unpublished_message: u64,
    unacked_message: u64,
}

/// `GET /topics/{topic}/subscribers`: what waits for each, and what each has read and not acked.
pub async fn list(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    let mut views = Vec::new();
    // A pubsub topic has no subscribers of this kind.
    if topic.kind() == Kind::Broker {
        views.extend(topic.describe().await?.queues.into_iter().map(|(name, _, queue)| {
            StatusView {
                name: String::from_utf8_lossy(name.as_bytes()).into_owned(),
                unpublished_message: queue.counts.ready + queue.counts.delayed,
                unacked_message: queue.counts.in_flight,
            }
        }));
    }
    Ok(data(&views))
}

/// `DELETE /topics/{topic}/subscribers/{sub}`: with its messages.
pub async fn delete(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    let topic = door.topic(&who.0, &path::topic(&request)?).await?;
    door.broker.delete_queue(&who.0, topic.name(), path::subscriber(&request)?).await?;
    Ok(success())
}
