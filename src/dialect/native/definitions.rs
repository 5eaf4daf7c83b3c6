//! All definitions as one JSON text: topics, queues, and users if they are asked for.

use super::Native;
use super::caller::Who;
use super::object::Object;
use super::problem::Problem;
use super::query::Query;
use super::settings::QueueSettings;
use crate::auth::Account;
use crate::broker::{Broker, BrokerError, Caller};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A definition that is shared with the registry.
pub type Shared<T> = std::sync::Arc<T>;
type Answer = Result<HttpResponse, Problem>;

/// The version of the text.
pub const VERSION: u32 = 1;

/// A name: as text, or as base64 when it is not text.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Name {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_base64: Option<String>,
}

impl Name {
    fn of(bytes: &[u8]) -> Name {
        match std::str::from_utf8(bytes) {
            Ok(text) => Name { name: Some(text.to_owned()), name_base64: None },
            Err(_) => Name { name: None, name_base64: Some(STANDARD.encode(bytes)) },
        }
    }

    /// The bytes of it.
    pub fn bytes(self) -> Result<Vec<u8>, Problem> {
        match (self.name, self.name_base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(coded)) => {
                STANDARD.decode(coded).map_err(|_| Problem::invalid("`name_base64` is not base64"))
            }
            _ => Err(Problem::invalid("exactly one of `name` and `name_base64` must be given")),
        }
    }
}

/// All of it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definitions {
    /// 1.
    #[schema(minimum = 1, maximum = 1)]
    pub version: u32,
    #[schema(value_type = Vec<TopicText>)]
    pub topics: Vec<Object<TopicText>>,
    /// Queues that belong to no topic.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(value_type = Vec<QueueText>)]
    pub queues: Vec<Object<QueueText>>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<Vec<Account>>)]
    pub users: Option<Vec<Object<Account>>>,
}

/// A topic with its queues.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicText {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_base64: Option<String>,
    pub kind: Kind,
    #[serde(default)]
    #[schema(value_type = TopicPolicy)]
    pub policy: Object<TopicPolicy>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<QueueText>)]
    pub queues: Vec<Object<QueueText>>,
}

/// A queue.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueueText {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name_base64: Option<String>,
    #[serde(default)]
    #[schema(value_type = QueuePolicy)]
    pub policy: QueueSettings,
}

/// Settings as they are compared: when they were changed is the broker's own.
pub fn settings(policy: &QueuePolicy) -> QueuePolicy {
    QueuePolicy { changed_at: None, ..policy.clone() }
}

/// The queues of each topic, by its number, in the order they were made.
pub async fn queues_by_topic(
    broker: &Broker,
    caller: &Caller,
) -> Result<BTreeMap<u32, Vec<Shared<QueueDefinition>>>, BrokerError> {
    let mut by_topic: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (_, queue) in broker.queues(caller).await? {
        by_topic.entry(queue.topic).or_default().push(queue);
    }
    by_topic.values_mut().for_each(|queues| queues.sort_unstable_by_key(|queue| queue.number));
    Ok(by_topic)
}

/// Definitions are an administrator's to read and to bring.
pub fn need_admin(caller: &Caller) -> Result<(), BrokerError> {
    match caller.is_admin() {
        true => Ok(()),
        false => Err(BrokerError::NotAllowed("definitions")),
    }
}

/// `GET /v1/definitions?users=`: for administrators.
#[utoipa::path(
    get, path = "/v1/definitions", tag = "broker", operation_id = "export",
    summary = "All definitions as JSON; for administrators",
    params(("users" = Option<bool>, Query, nullable = false, description = "With the users and the hashes of their passwords.")),
    responses((status = 200, description = "The definitions", body = Definitions)),
)]
pub async fn export(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let with_users = query.flag("users")?;
    query.done()?;
    let (broker, caller) = (&native.broker, &who.0);
    need_admin(caller)?;
    let mut queues = queues_by_topic(broker, caller).await?;
    let topics = broker.all_topics(caller).await?;
    let queue = |queue: Shared<QueueDefinition>| {
        let Name { name, name_base64 } = Name::of(queue.name.as_bytes());
        Object(QueueText { name, name_base64, policy: QueueSettings(settings(&queue.policy)) })
    };
    let mut queues_of = |topic: &TopicDefinition| {
        queues.remove(&topic.number).unwrap_or_default().into_iter().map(queue).collect()
    };
    let (nowhere, topics): (Vec<_>, Vec<_>) =
        topics.into_iter().partition(|topic| topic.name.is_unattached());
    let lone = nowhere.first().map(|topic| queues_of(topic)).unwrap_or_default();
    let topic = |topic: &Shared<TopicDefinition>| {
        let Name { name, name_base64 } = Name::of(topic.name.as_bytes());
        Object(TopicText {
            name,
            name_base64,
            kind: topic.kind,
            policy: Object(topic.policy.clone()),
            owner: topic.owner.clone(),
            queues: queues_of(topic),
        })
    };
    let topics = topics.iter().map(topic).collect();
    let users = match with_users {
        true => Some(broker.accounts(caller)?.into_iter().map(Object).collect()),
        false => None,
    };
    Ok(HttpResponse::Ok().json(Definitions { version: VERSION, topics, queues: lone, users }))
}
