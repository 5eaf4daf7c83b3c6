//! `/topics`

use super::answer::Answer;
use super::schema::CreateTopic;
use super::{Asked, Replied, view};
use crate::auth::Rights;
use crate::broker::NewTopic;
use crate::queue::*;

/// `POST /topics`: 201 and the topic.
pub async fn create(asked: &Asked<'_>, new: CreateTopic) -> Replied {
    // What the pattern lets pass is a name.
    let name = TopicName::parse(&new.id).map_err(|_| Answer::no_topic())?;
    let (kind, broker) = (Kind::Broker, &asked.door.broker);
    let policy = broker.default_policy(kind);
    let new = NewTopic { name, kind, policy, queues: Vec::new(), owner: None };
    let handle = broker.create_topic(&asked.caller, new).await?;
    let mut body = Vec::new();
    view::topic(&mut body, handle.definition());
    Ok(Answer::json(201, body))
}

/// `GET /topics`: 200 and a page of them.
pub async fn list(asked: &Asked<'_>) -> Replied {
    let (offset, limit) = asked.page()?;
    let mut topics = asked.door.broker.topics(&asked.caller).await?;
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    let page = topics.iter().skip(offset).take(limit);
    Ok(Answer::json(200, view::list(page, |out, topic| view::topic(out, topic))))
}

/// `GET /topics/{topic_id}`
pub async fn show(asked: &Asked<'_>) -> Replied {
    let handle = asked.topic().await?;
    handle.need(Rights::LOOK)?;
    let mut body = Vec::new();
    view::topic(&mut body, handle.definition());
    Ok(Answer::json(200, body))
}

/// `DELETE /topics/{topic_id}`: 204. Its queues stay.
pub async fn delete(asked: &Asked<'_>) -> Replied {
    let handle = asked.topic().await?;
    asked.door.broker.dissolve_topic(&asked.caller, handle.name()).await?;
    Ok(Answer::done())
}
