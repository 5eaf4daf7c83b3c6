//! Create, list, show, change, pause and delete topics.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::names::{TopicPath, topic_name};
use super::object::{Object, fields, object, object_or_default};
use super::problem::Problem;
use super::query::Query;
use super::settings::QueueSettings;
use super::view::TopicView;
use crate::broker::{NewTopic, Revision};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Most topics in one page of the list.
const PAGE_MAX: usize = 1000;

/// Whether the fields of a change are within their bounds; those left out are.
pub fn checked<P: DeserializeOwned>(
    given: &serde_json::Map<String, serde_json::Value>,
    check: impl FnOnce(&P) -> Result<(), policy::PolicyError>,
) -> Result<(), Problem> {
    let policy = serde_json::from_value(serde_json::Value::Object(given.clone()));
    let policy = policy.map_err(|error| Problem::invalid(format!("policy: {error}")))?;
    check(&policy).map_err(|error| Problem::invalid(error.to_string()))
}

/// A topic to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewTopicBody {
    /// 1 to 255 bytes.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// `broker` when left out.
    #[serde(default = "broker")]
    kind: Kind,
    /// Settings; those left out have their defaults.
    #[schema(value_type = Option<TopicPolicy>)]
    policy: Option<serde_json::Value>,
    /// Queues; a broker topic has one named `default` when this is left out.
    #[schema(value_type = Option<Vec<NewQueueBody>>)]
    queues: Option<Vec<Object<NewQueueBody>>>,
}

fn broker() -> Kind {
    Kind::Broker
}

/// A queue to make with its topic.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewQueueBody {
    /// 1 to 255 bytes.
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    #[serde(default)]
    #[schema(value_type = QueuePolicy)]
    policy: QueueSettings,
}

/// `POST /v1/topics` with `{"name", "kind", "policy", "queues"}`: 201 and the topic.
#[utoipa::path(
    post, path = "/v1/topics", tag = "topics", operation_id = "create_topic",
    summary = "Create a topic",
    request_body(content = NewTopicBody, example = json!({"name": "orders", "queues": [{"name": "default"}, {"name": "audit", "policy": {"ack_deadline_ms": 10000}}]})),
    responses((status = 201, description = "The topic", body = TopicView)),
)]
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
                let QueueSettings(policy) = queue.policy;
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

/// A page of topics.
#[derive(Serialize, ToSchema)]
struct Topics<'a> {
    topics: Vec<TopicView<'a>>,
    /// What `after` says to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<u32>,
}

/// `GET /v1/topics?limit=&after=&prefix=`: the topics the caller may read, in the order they were made.
#[utoipa::path(
    get, path = "/v1/topics", tag = "topics", operation_id = "list_topics",
    summary = "List topics, in the order they were made",
    params(
        ("limit" = Option<usize>, Query, nullable = false, minimum = 1, description = "Most topics, never above 1000; 100 when left out."),
        ("after" = Option<u32>, Query, nullable = false, description = "`next` of the page before."),
        ("prefix" = Option<String>, Query, nullable = false, description = "What their names begin with."),
    ),
    responses((status = 200, description = "Those that the caller may read", body = Topics)),
)]
pub async fn list(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let mut query = Query::of(&request)?;
    let limit = query.count("limit", 100, PAGE_MAX)?;
    let (after, prefix) = (query.value("after")?, query.text("prefix")?.unwrap_or_default());
    query.done()?;
    let listed = native.broker.list_topics_named(&who.0, prefix.as_bytes(), after, limit);
    let (figures, next) = listed.await?;
    let topics = figures.iter().map(TopicView::from).collect();
    Ok(HttpResponse::Ok().json(Topics { topics, next }))
}

/// The topic as it is now.
async fn view(native: &Native, who: &Who, name: &TopicName) -> Answer {
    let figures = native.broker.topic(&who.0, name).await?.describe().await?;
    Ok(HttpResponse::Ok().json(TopicView::from(&figures)))
}

/// `GET /v1/topics/{topic}`
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics", operation_id = "topic",
    summary = "Show a topic",
    params(TopicPath),
    responses((status = 200, description = "The topic", body = TopicView)),
)]
pub async fn show(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    view(&native, &who, &topic_name(&request)?).await
}

/// What changes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PatchBody<'a> {
    /// The fields that are given.
    #[serde(borrow)]
    #[schema(value_type = TopicPolicy)]
    policy: &'a RawValue,
}

/// `PATCH /v1/topics/{topic}` with `{"policy": {..}}`: the fields that are given change. 200 and the
/// topic.
#[utoipa::path(
    patch, path = "/v1/topics/{topic}", tag = "topics", operation_id = "change_topic",
    summary = "Change settings of a topic",
    params(TopicPath),
    request_body(content = PatchBody, example = json!({"policy": {"ttl_ms": 3600000}})),
    responses((status = 200, description = "The topic", body = TopicView)),
)]
pub async fn change(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let name = topic_name(&request)?;
    let PatchBody { policy } = object(&body)?;
    let given = fields::<TopicPolicy>(policy.get().as_bytes())?;
    checked(&given, TopicPolicy::check)?;
    native.broker.revise_topic(&who.0, &name, Revision::Fields(given)).await?;
    view(&native, &who, &name).await
}

/// What is paused, or goes on: publishes (`in`), and handing out (`out`). Nothing said: both, as far as
/// there are both.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Ways {
    /// Publishes.
    r#in: Option<bool>,
    /// Handing out: a matter of queues.
    out: Option<bool>,
}

impl Ways {
    /// The settings to change.
    pub fn fields(&self, paused: bool) -> serde_json::Map<String, serde_json::Value> {
        let all = self.r#in.is_none() && self.out.is_none();
        let ways = [("paused_in", self.r#in), ("paused_out", self.out)];
        let meant = ways.into_iter().filter(|(_, way)| all || *way == Some(true));
        meant.map(|(name, _)| (name.to_owned(), paused.into())).collect()
    }
}

/// `POST /v1/topics/{topic}/pause`: publishes are refused from now on. 200 and the topic.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/pause", tag = "topics", operation_id = "pause_topic",
    summary = "Pause a topic: publishes are refused",
    params(TopicPath),
    request_body = Option<Ways>,
    responses((status = 200, description = "The topic", body = TopicView)),
)]
pub async fn pause(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    set_paused(&request, &who, &native, &body, true).await
}

/// `POST /v1/topics/{topic}/resume`: publishes are taken again. 200 and the topic.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/resume", tag = "topics", operation_id = "resume_topic",
    summary = "Resume a topic",
    params(TopicPath),
    request_body = Option<Ways>,
    responses((status = 200, description = "The topic", body = TopicView)),
)]
pub async fn resume(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    set_paused(&request, &who, &native, &body, false).await
}

async fn set_paused(
    request: &HttpRequest,
    who: &Who,
    native: &Native,
    body: &Body,
    paused: bool,
) -> Answer {
    let name = topic_name(request)?;
    let ways: Ways = object_or_default(body)?;
    if ways.out == Some(true) {
        return Err(Problem::invalid("a topic has only `in`; `out` is a matter of its queues"));
    }
    let mut given = ways.fields(paused);
    given.remove("paused_out");
    native.broker.revise_topic(&who.0, &name, Revision::Fields(given)).await?;
    view(native, who, &name).await
}

/// `DELETE /v1/topics/{topic}`: 204. Its queues and messages are gone.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}", tag = "topics", operation_id = "delete_topic",
    summary = "Delete a topic with its queues and messages",
    params(TopicPath),
    responses((status = 204, description = "It is gone")),
)]
pub async fn delete(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    native.broker.delete_topic(&who.0, &topic_name(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
