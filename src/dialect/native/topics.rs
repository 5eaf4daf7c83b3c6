//! Create, list, show and delete topics and their queues; users.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::messages::{queue_name, topic_name, user_name};
use super::object::{Object, object};
use super::problem::Problem;
use super::view::TopicView;
use crate::broker::{BrokerError, NewTopic, TopicFigures};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

type Answer = Result<HttpResponse, Problem>;

/// Most topics in one page of the list.
const PAGE_MAX: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTopicBody {
    name: String,
    #[serde(default = "broker")]
    kind: Kind,
    /// Settings; those left out have their defaults.
    policy: Option<serde_json::Value>,
    /// Queues; a broker topic has one named `default` when this is left out.
    queues: Option<Vec<Object<NewQueueBody>>>,
}

fn broker() -> Kind {
    Kind::Broker
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewQueueBody {
    name: String,
    #[serde(default)]
    policy: Object<QueuePolicy>,
}

/// `POST /v1/topics` with `{"name", "kind", "policy", "queues"}`: 201 and the topic.
pub async fn create(who: Who, native: web::Data<Native>, body: Body) -> Answer {
    let new: NewTopicBody = object(&body)?;
    let name =
        TopicName::parse(&new.name).map_err(|error| Problem::invalid(format!("name: {error}")))?;
    let mut policy =
        serde_json::to_value(native.broker.default_policy(new.kind)).unwrap_or_default();
    match (new.policy, policy.as_object_mut()) {
        (Some(serde_json::Value::Object(given)), Some(fields)) => fields.extend(given),
        (None, _) => (),
        (Some(_), _) => return Err(Problem::invalid("`policy` must be an object")),
    }
    let policy: TopicPolicy = serde_json::from_value(policy)
        .map_err(|error| Problem::invalid(format!("policy: {error}")))?;
    policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
    let queues = match (new.queues, new.kind) {
        (Some(queues), _) => queues
            .into_iter()
            .map(|Object(queue)| {
                let Object(policy) = queue.policy;
                policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
                let name = QueueName::parse(&queue.name);
                Ok((name.map_err(|error| Problem::invalid(format!("queue: {error}")))?, policy))
            })
            .collect::<Result<_, Problem>>()?,
        (None, Kind::Broker) => vec![(QueueName::default_queue(), QueuePolicy::default())],
        (None, Kind::Pubsub) => Vec::new(),
    };
    let new = NewTopic { name, kind: new.kind, policy, queues, owner: None };
    let handle = native.broker.create_topic(&who.0, new).await?;
    let figures = handle.describe().await?;
    Ok(HttpResponse::Created().json(TopicView::from(&figures)))
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListQuery {
    /// Most topics.
    limit: usize,
    /// The `next` of the page before.
    after: Option<u32>,
}

impl Default for ListQuery {
    fn default() -> Self {
        ListQuery { limit: 100, after: None }
    }
}

/// `GET /v1/topics?limit=&after=`: the topics the caller may read, in the order they were made.
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let query = web::Query::<ListQuery>::from_query(request.query_string())
        .map_err(|error| Problem::invalid(format!("query: {error}")))?
        .into_inner();
    let limit = query.limit.clamp(1, PAGE_MAX);
    let (figures, next) = native.broker.list_topics(&who.0, query.after, limit).await?;
    #[derive(Serialize)]
    struct Topics<'a> {
        topics: Vec<TopicView<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<u32>,
    }
    let topics = figures.iter().map(|figures: &TopicFigures| TopicView::from(figures)).collect();
    Ok(HttpResponse::Ok().json(Topics { topics, next }))
}

/// `GET /v1/topics/{topic}`
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let handle = native.broker.topic(&who.0, &topic_name(&request)?).await?;
    let figures = handle.describe().await?;
    Ok(HttpResponse::Ok().json(TopicView::from(&figures)))
}

/// `DELETE /v1/topics/{topic}`: 204. Its queues and messages are gone.
pub async fn delete(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.delete_topic(&who.0, &topic_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// `PUT /v1/topics/{topic}/queues/{queue}` with the queue's policy (or nothing): 201.
pub async fn create_queue(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let policy: QueuePolicy = if body.is_empty() { QueuePolicy::default() } else { object(&body)? };
    policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
    let queue = queue_name(&request)?.ok_or_else(|| Problem::invalid("queue: no name"))?;
    native.broker.create_queue(&who.0, &topic_name(&request)?, queue, policy).await?;
    Ok(HttpResponse::Created().finish())
}

/// `DELETE /v1/topics/{topic}/queues/{queue}`: 204.
pub async fn delete_queue(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let queue = queue_name(&request)?.ok_or_else(|| Problem::invalid("queue: no name"))?;
    native.broker.delete_queue(&who.0, &topic_name(&request)?, queue).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserBody {
    password: String,
    role: Option<String>,
    #[serde(default)]
    topics: Option<Vec<String>>,
}

/// `PUT /v1/users/{user}` with `{"password", "role", "topics"}`: makes or changes a user. 204.
pub async fn put_user(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let name = user_name(&request)?;
    let user: UserBody = object(&body)?;
    let put = native.broker.put_user(&who.0, &name, &user.password, user.role, user.topics).await;
    put.map_err(|error| match error {
        BrokerError::Refused(Refusal::OutOfBounds("password")) => {
            Problem::invalid("password: it must not be empty")
        }
        error => error.into(),
    })?;
    Ok(HttpResponse::NoContent().finish())
}
