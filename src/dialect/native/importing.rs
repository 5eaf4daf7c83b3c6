//! Bringing a broker to a text of definitions: what is missing is made, what differs is changed,
//! nothing is deleted.

use super::Native;
use super::body::Body;
use super::caller::Who;
use super::definitions::{
    Definitions, Name, QueueText, Shared, TopicText, VERSION, need_admin, queues_by_topic, settings,
};
use super::object::{Object, object};
use super::problem::Problem;
use super::query::Query;
use super::settings::QueueSettings;
use crate::broker::{Broker, BrokerError, Caller, NewTopic};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// What an import did, or would do.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Imported {
    created: Vec<String>,
    changed: Vec<String>,
    unchanged: u64,
    refused: Vec<Refused>,
}

/// What could not be done.
#[derive(Debug, Serialize, ToSchema)]
struct Refused {
    name: String,
    code: &'static str,
    detail: String,
}

impl Imported {
    fn refuse(&mut self, name: String, problem: Problem) {
        let Problem { code, detail, .. } = problem;
        self.refused.push(Refused { name, code, detail: detail.into_owned() });
    }

    /// Enters a piece of work under its name.
    fn enter(&mut self, name: String, done: Result<Outcome, Problem>) {
        match done {
            Ok(Outcome::Created) => self.created.push(name),
            Ok(Outcome::Changed) => self.changed.push(name),
            Ok(Outcome::Unchanged) => self.unchanged += 1,
            Err(problem) => self.refuse(name, problem),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Created,
    Changed,
    Unchanged,
}

struct Import<'a> {
    broker: &'a Broker,
    caller: &'a Caller,
    /// Only look.
    dry_run: bool,
    topics: BTreeMap<Vec<u8>, Shared<TopicDefinition>>,
    queues: BTreeMap<u32, Vec<Shared<QueueDefinition>>>,
}

/// `POST /v1/definitions?dry_run=`: for administrators. 200 and what became of each definition; what is
/// refused stops nothing else.
#[utoipa::path(
    post, path = "/v1/definitions", tag = "broker", operation_id = "import",
    summary = "Bring the broker to definitions; for administrators",
    params(("dry_run" = Option<bool>, Query, nullable = false, description = "Only tell what would be done.")),
    request_body = Definitions,
    responses((status = 200, description = "What was done", body = Imported)),
)]
pub async fn import(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let mut query = Query::of(&request)?;
    let dry_run = query.flag("dry_run")?;
    query.done()?;
    need_admin(&who.0)?;
    let Definitions { version, topics, queues: lone, users } = object(&body)?;
    if version != VERSION {
        return Err(Problem::invalid(format!("version {version} is not known; this is {VERSION}")));
    }
    let known = native.broker.all_topics(&who.0).await?;
    let by_name = |topic: Shared<TopicDefinition>| (topic.name.as_bytes().to_vec(), topic);
    let import = Import {
        broker: &native.broker,
        caller: &who.0,
        dry_run,
        topics: known.into_iter().map(by_name).collect(),
        queues: queues_by_topic(&native.broker, &who.0).await?,
    };
    // All of it is read before anything is done.
    let topics: Vec<Wanted> =
        topics.into_iter().map(|Object(topic)| Wanted::read(topic)).collect::<Result<_, _>>()?;
    let lone: Vec<_> = lone.into_iter().map(queue_wanted).collect::<Result<_, _>>()?;
    let mut imported = Imported::default();
    let mut queues = Vec::new();
    for Wanted { name, kind, policy, owner, queues: own } in topics {
        // It is made with the first queue that belongs to no topic. Older texts name it.
        let done = match name.is_unattached() {
            true => Ok(Outcome::Unchanged),
            false => import.topic(&name, kind, policy, owner).await,
        };
        if done.is_ok() {
            queues.extend(own.into_iter().map(|(queue, policy)| (name.clone(), queue, policy)));
        }
        imported.enter(format!("topic {name}"), done);
    }
    let nowhere = TopicName::unattached();
    queues.extend(lone.into_iter().map(|(queue, policy)| (nowhere.clone(), queue, policy)));
    // Queues may send their dead letters to one another: first all of them, then where to.
    let mut made = Vec::with_capacity(queues.len());
    for (topic, queue, policy) in &queues {
        made.push(import.queue(topic, queue, policy, &queues).await);
    }
    for ((topic, queue, policy), made) in queues.iter().zip(made) {
        let done = match made {
            Ok(outcome) => import.aim(topic, queue, policy, outcome).await,
            Err(problem) => Err(problem),
        };
        let name = match topic.is_unattached() {
            true => format!("queue {queue}"),
            false => format!("queue {topic}/{queue}"),
        };
        imported.enter(name, done);
    }
    let accounts = native.broker.accounts(&who.0)?;
    for Object(account) in users.unwrap_or_default() {
        let name = account.name.clone();
        let outcome = match accounts.iter().find(|known| known.name == name) {
            Some(known) if *known == account => Outcome::Unchanged,
            Some(_) => Outcome::Changed,
            None => Outcome::Created,
        };
        let done = match dry_run || outcome == Outcome::Unchanged {
            true => Ok(outcome),
            false => {
                let put = native.broker.put_account(&who.0, account).await;
                put.map(|()| outcome).map_err(Problem::from)
            }
        };
        imported.enter(format!("user {name}"), done);
    }
    Ok(HttpResponse::Ok().json(imported))
}

/// A queue that there shall be.
fn queue_wanted(Object(queue): Object<QueueText>) -> Result<(QueueName, QueuePolicy), Problem> {
    let QueueText { name, name_base64, policy: QueueSettings(policy) } = queue;
    let name = QueueName::parse(Name { name, name_base64 }.bytes()?);
    let name = name.map_err(|error| Problem::invalid(format!("queue: {error}")))?;
    Ok((name, settings(&policy)))
}

/// A topic that there shall be.
struct Wanted {
    name: TopicName,
    kind: Kind,
    policy: TopicPolicy,
    owner: Option<String>,
    queues: Vec<(QueueName, QueuePolicy)>,
}

impl Wanted {
    fn read(topic: TopicText) -> Result<Wanted, Problem> {
        let TopicText { name, name_base64, kind, policy: Object(policy), owner, queues } = topic;
        let name = TopicName::parse(Name { name, name_base64 }.bytes()?);
        let name = name.map_err(|error| Problem::invalid(format!("topic: {error}")))?;
        let queues = queues.into_iter().map(queue_wanted).collect::<Result<_, Problem>>()?;
        Ok(Wanted { name, kind, policy, owner, queues })
    }
}

impl Import<'_> {
    async fn topic(
        &self,
        name: &TopicName,
        kind: Kind,
        policy: TopicPolicy,
        owner: Option<String>,
    ) -> Result<Outcome, Problem> {
        policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
        let Some(known) = self.topics.get(name.as_bytes()) else {
            if !self.dry_run {
                let new = NewTopic { name: name.clone(), kind, policy, queues: Vec::new(), owner };
                self.broker.create_topic(self.caller, new).await?;
            }
            return Ok(Outcome::Created);
        };
        if known.kind != kind {
            return Err(BrokerError::from(Refusal::WrongKind).into());
        }
        if known.policy == policy {
            return Ok(Outcome::Unchanged);
        }
        if known.policy.durability != policy.durability {
            return Err(BrokerError::from(Refusal::OutOfBounds("durability")).into());
        }
        if !self.dry_run {
            self.broker.change_topic(self.caller, name, policy).await?;
        }
        Ok(Outcome::Changed)
    }

    /// Makes a queue, for now without a place for its dead letters; of one that is there, tells whether
    /// it is to be changed. `all`: those that will be there as well.
    async fn queue(
        &self,
        topic: &TopicName,
        queue: &QueueName,
        policy: &QueuePolicy,
        all: &[(TopicName, QueueName, QueuePolicy)],
    ) -> Result<Outcome, Problem> {
        policy.check().map_err(|error| Problem::invalid(error.to_string()))?;
        if let Some(to) = &policy.dead_letter {
            let is = |topic: &TopicName, queue: &QueueName, global: bool| {
                let there = *topic == to.topic || (global && to.topic.is_unattached());
                *queue == to.queue && there
            };
            let comes = all.iter().any(|(topic, queue, policy)| is(topic, queue, policy.global));
            let known = self.topics.values().any(|topic| {
                let queues = self.queues.get(&topic.number).into_iter().flatten();
                let mut there =
                    queues.map(|known| is(&topic.name, &known.name, known.policy.global));
                there.any(|there| there)
            });
            if !comes && !known {
                return Err(BrokerError::from(Refusal::QueueNotFound).into());
            }
        }
        let number = self.topics.get(topic.as_bytes()).map(|topic| topic.number);
        let mut queues = number.and_then(|number| self.queues.get(&number)).into_iter().flatten();
        if let Some(known) = queues.find(|known| known.name == *queue) {
            return Ok(match settings(&known.policy) == *policy {
                true => Outcome::Unchanged,
                false => Outcome::Changed,
            });
        }
        if !self.dry_run {
            let policy = QueuePolicy { dead_letter: None, ..policy.clone() };
            self.broker.create_queue(self.caller, topic, queue.clone(), policy).await?;
        }
        Ok(Outcome::Created)
    }

    /// Now that all queues are there: one that was made gets the place for its dead letters, one that
    /// differs its settings.
    async fn aim(
        &self,
        topic: &TopicName,
        queue: &QueueName,
        policy: &QueuePolicy,
        outcome: Outcome,
    ) -> Result<Outcome, Problem> {
        let differs = match outcome {
            Outcome::Created => policy.dead_letter.is_some(),
            Outcome::Changed => true,
            Outcome::Unchanged => false,
        };
        if !differs || self.dry_run {
            return Ok(outcome);
        }
        let changed = self.broker.change_queue(self.caller, topic, queue, policy.clone()).await;
        if changed.is_err() && outcome == Outcome::Created {
            // A queue without it is not what was wanted.
            self.broker.delete_queue(self.caller, topic, queue.clone()).await?;
        }
        changed.map(|_| outcome).map_err(Problem::from)
    }
}
