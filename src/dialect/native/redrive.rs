//! Dead letters back to work: all, by id, by what they are like, only counted, or at a rate.

use super::Native;
use super::asking::views;
use super::body::Body;
use super::caller::Who;
use super::cursor;
use super::looking::while_there;
use super::names::{QueuePath, both};
use super::object::{Object, object_or_default};
use super::problem::Problem;
use super::sieves::Asked;
use crate::auth::Rights;
use crate::broker::redrives::{Progress, RATE_MAX, Running, Which};
use crate::broker::{BrokerError, Op, Reply, Search, TopicHandle, clock};
use crate::queue::*;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use utoipa::ToSchema;

type Answer = Result<HttpResponse, Problem>;

/// Which dead letters go back to work; nothing means all of them.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedriveBody {
    /// These; not with `max` or `filter`.
    ids: Option<Vec<String>>,
    /// So many.
    max: Option<u64>,
    /// Those that are like this.
    #[schema(value_type = Option<Asked>)]
    filter: Option<Object<Asked>>,
    /// Into which queue of the topic; none: the same.
    #[schema(min_length = 1, max_length = 255)]
    to: Option<String>,
    /// In the background, at most so many per second; not with `dry_run`.
    #[schema(minimum = 1)]
    rate_per_s: Option<u64>,
    /// Only count them.
    #[serde(default)]
    dry_run: bool,
    /// With `filter`: where the answer before this one ended.
    after: Option<String>,
}

/// What was done.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Redriven {
    /// How many went.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    redriven: Option<u64>,
    /// `dry_run`: how many would have gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    matching: Option<u64>,
    /// `ids`: those that are no dead letters of this queue.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    missing: Vec<String>,
    /// `filter`: what `after` says to go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
    /// `filter`: how many messages were looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scanned: Option<usize>,
    /// Nothing is left to look at.
    complete: bool,
}

/// How far a redrive with a rate has come.
#[derive(Serialize, ToSchema)]
struct ProgressView {
    /// It goes on.
    running: bool,
    /// How many went.
    done: u64,
    /// Not known of a redrive by filter.
    total: Option<u64>,
    /// Why it ended before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<Problem>,
}

impl From<Progress> for ProgressView {
    fn from(progress: Progress) -> Self {
        ProgressView {
            running: progress.running,
            done: progress.done,
            total: progress.total,
            problem: progress.error.map(Problem::from),
        }
    }
}

/// `POST /v1/topics/{topic}/queues/{queue}/redrive` with `ids`, or with `max` and `filter`; nothing means
/// all of them. 200 and how many went (`redriven`) or would have gone (`dry_run`: `matching`); `complete`
/// is false when there is more to look at, behind `next`. With `rate_per_s` 202: it goes on by itself.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/queues/{queue}/redrive", tag = "moving", operation_id = "redrive",
    summary = "Redrive dead letters: back to work",
    params(QueuePath),
    request_body(content = Option<RedriveBody>, example = json!({"filter": {"attribute": {"kind": "order"}}, "dry_run": true})),
    responses(
        (status = 200, description = "How many", body = Redriven),
        (status = 202, description = "With `rate_per_s`: it goes on by itself", body = ProgressView),
    ),
)]
pub async fn redrive(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
    body: Body,
) -> Answer {
    let asked: RedriveBody = object_or_default(&body)?;
    let sieve = match asked.filter {
        Some(Object(filter)) => Some(filter.sieve(clock::now())?),
        None => None,
    };
    if asked.ids.is_some() && (asked.max.is_some() || sieve.is_some()) {
        return Err(Problem::invalid("`ids` go with neither `max` nor `filter`"));
    }
    if asked.after.is_some() && (sieve.is_none() || asked.rate_per_s.is_some()) {
        return Err(Problem::invalid("`after` goes with `filter`, and not with `rate_per_s`"));
    }
    let ids = asked.ids.map(|ids| {
        ids.iter().map(|id| MessageId::parse(id.as_bytes())).collect::<Vec<MessageId>>()
    });
    let to = asked.to.map(QueueName::parse).transpose();
    let to = to.map_err(|error| Problem::invalid(format!("to: {error}")))?;
    let max = asked.max.unwrap_or(u64::MAX);
    let (topic, queue) = both(&request)?;
    let limit = native.broker.limits().batch_max;
    if ids.as_ref().is_some_and(|ids| ids.len() > limit) {
        return Err(BrokerError::TooMany { what: BrokerError::BATCH, limit }.into());
    }
    if let Some(rate_per_s) = asked.rate_per_s {
        if asked.dry_run || !(1..=RATE_MAX).contains(&rate_per_s) {
            return Err(Problem::invalid(format!(
                "`rate_per_s` must be 1 to {RATE_MAX}, and does not go with `dry_run`"
            )));
        }
        let which = match (ids, sieve) {
            (Some(ids), _) => Which::Ids(ids),
            (None, Some(sieve)) => Which::Passing(Box::new(sieve), max),
            (None, None) => Which::Oldest(max),
        };
        let running = Running { queue, to, which, rate_per_s };
        let progress = native.broker.start_redrive(&who.0, &topic, running).await?;
        return Ok(HttpResponse::Accepted().json(ProgressView::from(progress)));
    }
    let (handle, definition) = native.broker.queue(&who.0, &topic, &queue).await?;
    if !asked.dry_run {
        handle.need(Rights::WRITE)?;
    }
    if let Some(to) = &to {
        // A wrong one is told by a dry run, too.
        native.broker.queue(&who.0, handle.name(), to).await?;
    }
    let counted = |count| match asked.dry_run {
        true => Redriven { matching: Some(count), complete: true, ..Redriven::default() },
        false => Redriven { redriven: Some(count), complete: true, ..Redriven::default() },
    };
    let work = async {
        Ok(match (ids, sieve) {
            (Some(ids), _) => {
                // Whoever may not look is not told which are there.
                let (dead, missing) = match asked.dry_run || handle.need(Rights::LOOK).is_ok() {
                    true => dead_of(&handle, &queue, ids).await?,
                    false => (ids, Vec::new()),
                };
                let count = match asked.dry_run {
                    true => dead.len() as u64,
                    false => handle.redrive(&queue, Selection::Ids(dead), to.as_ref()).await?,
                };
                Redriven { missing, ..counted(count) }
            }
            (None, None) if asked.dry_run => counted(handle.dead_letters(&queue).await?.min(max)),
            (None, None) => counted(handle.redrive_oldest(&queue, max, to.as_ref()).await?),
            (None, Some(sieve)) => {
                let number = definition.number;
                let after = asked.after.map(|text| cursor::read(&text, number, State::Dead));
                let search = Search {
                    queue: Some(queue.clone()),
                    state: State::Dead,
                    after: after.transpose()?,
                    sieve,
                    limit: limit.min(usize::try_from(max).unwrap_or(usize::MAX)),
                };
                let (count, found) = match (search.limit, asked.dry_run) {
                    (0, _) => Default::default(),
                    (_, true) => {
                        let found = handle.search(search).await?;
                        (found.views.len() as u64, found)
                    }
                    (_, false) => handle.redrive_found(&queue, search, to.as_ref()).await?,
                };
                Redriven {
                    next: found.next.map(|next| cursor::write(next, number, State::Dead)),
                    scanned: Some(found.scanned),
                    complete: found.next.is_none(),
                    ..counted(count)
                }
            }
        })
    };
    let redriven = while_there(&request, work).await?;
    Ok(HttpResponse::Ok().json(redriven))
}

/// Which of these are dead letters of the queue, each once, and which are not.
async fn dead_of(
    handle: &TopicHandle,
    queue: &QueueName,
    ids: Vec<MessageId>,
) -> Result<(Vec<MessageId>, Vec<String>), Problem> {
    let (mut dead, mut missing) = (Vec::new(), Vec::new());
    let mut known = HashSet::new();
    for id in ids {
        if !known.insert(id.clone()) {
            continue;
        }
        let is_dead =
            match handle.ask(Op::Find { queue: Some(queue.clone()), id: id.clone() }).await? {
                Reply::Failed(BrokerError::Refused(Refusal::MessageNotFound)) => false,
                reply => views(reply)?.iter().any(|view| view.state == State::Dead),
            };
        match is_dead {
            true => dead.push(id),
            false => missing.push(id.to_string()),
        }
    }
    Ok((dead, missing))
}

/// `GET /v1/topics/{topic}/queues/{queue}/redrive`: how far the last one with a rate has come.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/queues/{queue}/redrive", tag = "moving", operation_id = "redrive_progress",
    summary = "How far the redrive with a rate has come",
    params(QueuePath),
    responses((status = 200, description = "The last one", body = ProgressView)),
)]
pub async fn progress(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    let progress = native.broker.redrive_progress(&who.0, &topic, &queue).await?;
    let none = Progress { running: false, done: 0, total: Some(0), error: None };
    Ok(HttpResponse::Ok().json(ProgressView::from(progress.unwrap_or(none))))
}

/// `DELETE /v1/topics/{topic}/queues/{queue}/redrive`: 200 and how far it came.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/queues/{queue}/redrive", tag = "moving", operation_id = "redrive_stop",
    summary = "Stop the redrive with a rate",
    params(QueuePath),
    responses((status = 200, description = "How far it came", body = ProgressView)),
)]
pub async fn stop(request: HttpRequest, who: Who, native: web::Data<Native>) -> Answer {
    let (topic, queue) = both(&request)?;
    native.broker.stop_redrive(&who.0, &topic, &queue).await?;
    let progress = native.broker.redrive_progress(&who.0, &topic, &queue).await?;
    let none = Progress { running: false, done: 0, total: Some(0), error: None };
    Ok(HttpResponse::Ok().json(ProgressView::from(progress.unwrap_or(none))))
}
