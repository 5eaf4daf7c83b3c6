//! Create, list and delete topics.

use super::answer::{Answer, Refused, data, success};
use super::caller::{Body, Who};
use super::time::rfc3339;
use super::{Blockqueue, path, request};
use crate::broker::{BrokerError, NewTopic};
use crate::queue::*;
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// `POST /topics` with `{"name", "subscribers"}`: the topic and all its subscribers, or nothing.
pub async fn create(who: Who, door: web::Data<Blockqueue>, body: Body) -> Answer {
    let topic = request::topic(&body)?;
    let name = topic.topic_name()?;
    // The original looks for the name first; who comes second at the same moment is told below.
    match door.topic(&who.0, &name).await {
        Ok(_) => return Err(Refused::topic_exists()),
        Err(BrokerError::TopicNotFound(_)) => (),
        Err(error) => return Err(error.into()),
    }
    if topic.subscribers.is_empty() {
        return Err(Refused::no_subscribers());
    }
    let floor = door.config.visibility_floor;
    let queues = topic.subscribers.iter().map(|subscriber| subscriber.queue(floor));
    let queues = queues.collect::<Result<Vec<_>, _>>()?;
    let policy = door.broker.default_policy(Kind::Broker);
    let new = NewTopic { name, kind: Kind::Broker, policy, queues, owner: None };
    door.broker.create_topic(&who.0, new).await?;
    Ok(success())
}

/// `DELETE /topics/{topic}`: with its subscribers and messages.
pub async fn delete(request: HttpRequest, who: Who, door: web::Data<Blockqueue>) -> Answer {
    door.broker.delete_topic(&who.0, &path::topic(&request)?).await?;
    Ok(success())
}

#[derive(Serialize)]
struct TopicView {
    id: String,
    name: String,
    created_at: String,
    /// Always null: what is deleted is not listed.
    deleted_at: Option<String>,
}

impl TopicView {
    fn of(definition: &TopicDefinition) -> TopicView {
        let TopicDefinition { number, salt, created_at, .. } = definition;
        let second = Timestamp(created_at.0.div_euclid(1000) * 1000);
        TopicView {
            // As stable and as unique as the topic.
            id: MessageId::made(*created_at, *salt, u64::from(*number)).to_string(),
            name: String::from_utf8_lossy(definition.name.as_bytes()).into_owned(),
            created_at: rfc3339(second),
            deleted_at: None,
        }
    }
}

/// `GET /topics`: those the caller may read, in the order they were made.
pub async fn list(who: Who, door: web::Data<Blockqueue>) -> Answer {
    let definitions = door.broker.topics(&who.0).await?;
    let views: Vec<TopicView> =
        definitions.iter().map(|definition| TopicView::of(definition)).collect();
    Ok(data(&views))
}
