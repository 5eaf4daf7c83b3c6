//! The import itself: makes topics and queues, publishes what a source finds, remembers it, counts.

use super::remembered::Remembered;
use super::report::{Now, Outcome, Report};
use super::{Found, ImportError, Item, Plan, PlannedQueue, PlannedTopic, Source};
use crate::broker::{Broker, BrokerError, Caller, NewTopic, Op, QueueFigures, Reply, TopicHandle};
use crate::queue::{
    Door, Extra, MessageId, NewMessage, Past, PastPlace, Placed, QueueDefinition, QueuePolicy,
    Refusal, TopicPolicy,
};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Copies what is new in a source into the broker, whose store is the folder `store`. Ends after the
/// batch under way when `stop` becomes true.
///
/// Errors: what is copied until then stays copied and remembered.
pub async fn run(
    source: &mut impl Source,
    broker: &Broker,
    store: &Path,
    stop: &watch::Receiver<bool>,
) -> Result<Report, ImportError> {
    let plan = source.plan().await?;
    let mut report = Report::new(&plan, false);
    let (broker, caller) = (&broker.through(Door::Import), broker.anonymous());
    let homes = make(&plan, broker, &caller, &mut report).await?;
    let mut remembered = Remembered::open(store, &plan.source)?;
    while !*stop.borrow()
        && let Some(batch) = source.next().await?
    {
        let fresh = sort_out(batch, &remembered, &mut report)?;
        copy(fresh, &plan, &homes, &mut remembered, &mut report).await?;
    }
    if *stop.borrow() && !plan.is_live {
        report.notes.push("stopped before the end: run it again to go on".into());
    }
    count(&plan, &homes, &mut report).await?;
    Ok(report)
}

/// Reads a source to its end and counts what [`run`] would copy; changes nothing.
pub async fn look(
    source: &mut impl Source,
    store: &Path,
    stop: &watch::Receiver<bool>,
) -> Result<Report, ImportError> {
    let plan = source.plan().await?;
    let mut report = Report::new(&plan, true);
    let remembered = Remembered::look(store, &plan.source)?;
    while !*stop.borrow()
        && let Some(batch) = source.next().await?
    {
        for item in sort_out(batch, &remembered, &mut report)? {
            report.tell(item.topic, &item.places, Outcome::Copied);
        }
    }
    Ok(report)
}

/// Counts what is not copied; what is left is new.
fn sort_out(
    batch: Vec<Found>,
    remembered: &Remembered,
    report: &mut Report,
) -> Result<Vec<Item>, ImportError> {
    let mut fresh: Vec<Item> = Vec::with_capacity(batch.len());
    let mut keys: HashSet<Vec<u8>> = HashSet::new();
    for found in batch {
        match found {
            Found::Left { topic, queue, why } => report.left(topic, queue, why),
            Found::Message(item) if item.key.is_empty() => fresh.push(*item),
            Found::Message(item) => {
                if remembered.knows(&item.key)? || !keys.insert(item.key.clone()) {
                    report.tell(item.topic, &item.places, Outcome::Before);
                } else {
                    fresh.push(*item);
                }
            }
        }
    }
    Ok(fresh)
}

/// Publishes messages, in their order within each topic, and remembers those that are confirmed.
async fn copy(
    fresh: Vec<Item>,
    plan: &Plan,
    homes: &Homes,
    remembered: &mut Remembered,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut by_topic: Vec<(&TopicHandle, Vec<Item>)> = Vec::new();
    for item in fresh {
        let Some(home) = homes.of(&item) else { continue };
        match by_topic.iter_mut().find(|(topic, _)| topic.name() == home.name()) {
            Some((_, items)) => items.push(item),
            None => by_topic.push((home, vec![item])),
        }
    }
    for (topic, items) in by_topic {
        let messages = items.iter().filter_map(|item| message(item, plan)).collect();
        let results = match topic.ask(Op::Publish { to: None, messages }).await? {
            Reply::Published(results) => results,
            Reply::Failed(error) => return Err(error.into()),
            _ => return Err(BrokerError::Unavailable.into()),
        };
        let mut confirmed: Vec<&[u8]> = Vec::with_capacity(items.len());
        let mut fatal = None;
        for (item, result) in items.iter().zip(results) {
            match outcome(item, result, report) {
                Ok(Outcome::Refused) => (),
                Ok(_) if item.key.is_empty() => (),
                Ok(_) => confirmed.push(&item.key),
                Err(error) => fatal = Some(error),
            }
        }
        remembered.add(confirmed)?;
        if let Some(error) = fatal {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Counts what became of a message. Errors: nothing more can be stored now.
fn outcome(
    item: &Item,
    result: Result<Placed, BrokerError>,
    report: &mut Report,
) -> Result<Outcome, BrokerError> {
    let outcome = match result {
        Ok(placed) if placed.duplicate => Outcome::There,
        Ok(_) => Outcome::Copied,
        Err(BrokerError::Refused(Refusal::DuplicateId)) => Outcome::There,
        Err(
            error @ (BrokerError::Refused(_)
            | BrokerError::TooLarge { .. }
            | BrokerError::MemoryFull),
        ) => {
            let queue = item.places.first().map_or(0, |place| place.queue);
            let row = report.row(item.topic, queue).map(|(name, _, _)| name.clone());
            let id = item.id.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            report.problem(format!("{}: {id}: {error}", row.unwrap_or_default()));
            Outcome::Refused
        }
        Err(error) => return Err(error),
    };
    report.tell(item.topic, &item.places, outcome);
    Ok(outcome)
}

fn message(item: &Item, plan: &Plan) -> Option<NewMessage> {
    let topic = plan.topics.get(item.topic)?;
    let places = item.places.iter().filter_map(|place| {
        Some(PastPlace {
            queue: topic.queues.get(place.queue)?.name.clone(),
            attempts: place.attempts,
            visible_at: place.visible_at,
            dead: place.dead.clone(),
        })
    });
    let (published_at, kept_until) = (item.published_at, item.kept_until);
    let past = Past { published_at, kept_until, places: places.collect() };
    let (client_id, made_id) = match item.id.as_deref().map(MessageId::parse) {
        // Clients will ask for it by the name of a message that octoq made.
        Some(MessageId::Made(id)) => (None, Some(id)),
        Some(MessageId::Client(id)) => (Some(id), None),
        None => (None, None),
    };
    let extra = Extra {
        client_id,
        made_id,
        attributes: item.attributes.as_deref().map(Arc::from),
        dedup_key: item.dedup_key.clone(),
        priority: item.priority.min(9),
        past: Some(Box::new(past)),
        ..Extra::default()
    };
    Some(NewMessage { body: item.body.clone().into(), extra: Some(Arc::new(extra)) })
}

/// Where the topics and queues of a plan are in octoq.
struct Homes {
    /// One per topic of the plan, with the topics of its queues: a global queue may have gone to
    /// another one since an earlier run.
    topics: Vec<(Option<TopicHandle>, Vec<TopicHandle>)>,
}

impl Homes {
    /// The topic that a message is published to. The queues of a message belong together.
    fn of(&self, item: &Item) -> Option<&TopicHandle> {
        let (topic, queues) = self.topics.get(item.topic)?;
        match item.places.first() {
            Some(place) => queues.get(place.queue),
            None => topic.as_ref(),
        }
    }
}

/// Makes what is missing of the topics and queues of the plan.
async fn make(
    plan: &Plan,
    broker: &Broker,
    caller: &Caller,
    report: &mut Report,
) -> Result<Homes, ImportError> {
    for (at, topic) in plan.topics.iter().enumerate() {
        match broker.topic(caller, &topic.name).await {
            Ok(handle) if handle.kind() != topic.kind => {
                let problem = "it is of the other kind (broker, pubsub)".into();
                return Err(ImportError::Conflict { topic: topic.name.clone(), problem });
            }
            Ok(_) => (),
            // The broker makes it with its first queue.
            Err(BrokerError::TopicNotFound(_)) if topic.name.is_unattached() => (),
            Err(BrokerError::TopicNotFound(_)) => {
                made(report, at, 0, topic.queues.is_empty());
                broker.create_topic(caller, new_topic(topic, broker)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    make_queues(plan, broker, caller, report).await?;
    let mut topics = Vec::with_capacity(plan.topics.len());
    for topic in &plan.topics {
        let mut queues = Vec::with_capacity(topic.queues.len());
        for queue in &topic.queues {
            queues.push(find(broker, caller, topic, queue).await?.0);
        }
        topics.push((broker.topic(caller, &topic.name).await.ok(), queues));
    }
    Ok(Homes { topics })
}

async fn find(
    broker: &Broker,
    caller: &Caller,
    topic: &PlannedTopic,
    queue: &PlannedQueue,
) -> Result<(TopicHandle, Arc<QueueDefinition>), BrokerError> {
    match queue.policy.global {
        true => broker.find_queue(caller, &queue.name).await,
        false => broker.queue(caller, &topic.name, &queue.name).await,
    }
}

fn new_topic(topic: &PlannedTopic, broker: &Broker) -> NewTopic {
    let usual = broker.default_policy(topic.kind);
    let durability = topic.level.unwrap_or(usual.durability);
    NewTopic {
        name: topic.name.clone(),
        kind: topic.kind,
        policy: TopicPolicy { capacity: topic.capacity, durability, ..usual },
        queues: Vec::new(),
        owner: None,
    }
}

fn made(report: &mut Report, topic: usize, queue: usize, is: bool) {
    if let (true, Some((_, new, _))) = (is, report.row(topic, queue)) {
        *new = true;
    }
}

/// Makes the queues that are missing, then says where their dead letters go: that may be any of them.
async fn make_queues(
    plan: &Plan,
    broker: &Broker,
    caller: &Caller,
    report: &mut Report,
) -> Result<(), ImportError> {
    let mut aims: Vec<(&PlannedTopic, &PlannedQueue)> = Vec::new();
    for (at, topic) in plan.topics.iter().enumerate() {
        for (nth, queue) in topic.queues.iter().enumerate() {
            let name = queue.name.clone();
            match find(broker, caller, topic, queue).await {
                Ok((_, there)) => {
                    let same = QueuePolicy {
                        dead_letter: queue.policy.dead_letter.clone(),
                        changed_at: queue.policy.changed_at,
                        ..there.policy.clone()
                    };
                    if same != queue.policy {
                        let note = format!("queue `{name}` was there and keeps its own settings");
                        report.notes.push(note);
                    }
                }
                Err(
                    BrokerError::Refused(Refusal::QueueNotFound) | BrokerError::TopicNotFound(_),
                ) => {
                    let policy = QueuePolicy { dead_letter: None, ..queue.policy.clone() };
                    broker.create_queue(caller, &topic.name, name, policy).await?;
                    made(report, at, nth, true);
                    if queue.policy.dead_letter.is_some() {
                        aims.push((topic, queue));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    for (topic, queue) in aims {
        broker.change_queue(caller, &topic.name, &queue.name, queue.policy.clone()).await?;
    }
    Ok(())
}

/// What octoq holds now.
async fn count(plan: &Plan, homes: &Homes, report: &mut Report) -> Result<(), ImportError> {
    for (at, (planned, (topic, queues))) in plan.topics.iter().zip(&homes.topics).enumerate() {
        if let (true, Some(topic)) = (planned.queues.is_empty(), topic) {
            let figures = topic.describe().await?;
            let first = figures.queues.first().map(|(_, _, figures)| now(figures));
            if let Some((_, _, tally)) = report.row(at, 0) {
                tally.now = first;
            }
        }
        for (nth, (queue, home)) in planned.queues.iter().zip(queues).enumerate() {
            let figures = home.describe().await?;
            let found = figures.queues.iter().find(|(name, _, _)| *name == queue.name);
            if let (Some((_, _, found)), Some((_, _, tally))) = (found, report.row(at, nth)) {
                tally.now = Some(now(found));
            }
        }
    }
    Ok(())
}

fn now(figures: &QueueFigures) -> Now {
    let counts = &figures.counts;
    Now {
        ready: counts.ready,
        delayed: counts.delayed,
        in_flight: counts.in_flight,
        dead: counts.dead,
    }
}
