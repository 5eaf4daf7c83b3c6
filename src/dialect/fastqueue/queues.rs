//! `/queues`

use super::answer::Answer;
use super::known::FoundQueue;
use super::schema::{CreateQueue, QueueSettings, Redrive};
use super::{Asked, Replied, view};
use crate::auth::Rights;
use crate::broker::{Op, Reply, clock};
use crate::queue::*;

/// The topic and the dead queue that settings name; both must be there.
async fn targets(
    asked: &Asked<'_>,
    settings: &QueueSettings,
) -> Result<(Option<TopicName>, Option<QueueAddress>), Answer> {
    let topic = match &settings.topic_id {
        Some(id) => {
            let name = TopicName::parse(id).map_err(|_| Answer::no_topic())?;
            let handle = asked.door.known.topic(&asked.caller, &name).await?;
            if handle.kind() != Kind::Broker {
                let why = "A topic of kind pubsub has no queues";
                return Err(Answer::detail(422, why));
            }
            Some(name)
        }
        None => None,
    };
    let dead_queue = match &settings.dead_queue_id {
        Some(id) => Some(asked.door.known.queue(&asked.caller, id.as_bytes()).await?.address()),
        None => None,
    };
    Ok((topic, dead_queue))
}

/// The settings in octoq's words; what fastqueue does not know stays as it was.
fn policy(
    before: QueuePolicy,
    new: QueueSettings,
    dead_letter: Option<QueueAddress>,
) -> QueuePolicy {
    let ms = |seconds: i64| u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    let limit = new.message_max_deliveries.and_then(|limit| u32::try_from(limit).ok());
    QueuePolicy {
        ack_deadline_ms: ms(new.ack_deadline_seconds),
        max_deliveries: limit.unwrap_or(0),
        backoff_ms: Vec::new(),
        dead_letter,
        limit_needs_target: true,
        retention_ms: ms(new.message_retention_seconds),
        delay_ms: ms(new.delivery_delay_seconds.unwrap_or(0)),
        filter: new.message_filters.map(|filters| Filter(filters.into_iter().collect())),
        ..before
    }
}

fn shown(status: u16, topic: &TopicName, definition: &QueueDefinition) -> Answer {
    let mut body = Vec::with_capacity(512);
    view::queue(&mut body, topic, definition);
    Answer::json(status, body)
}

/// `POST /queues`: 201 and the queue.
pub async fn create(asked: &Asked<'_>, new: CreateQueue) -> Replied {
    let (topic, dead_letter) = targets(asked, &new.settings).await?;
    let topic = topic.unwrap_or_else(TopicName::unattached);
    let name = QueueName::parse(&new.id).map_err(|_| Answer::no_queue())?;
    let global = QueuePolicy { global: true, ..QueuePolicy::default() };
    let policy = policy(global, new.settings, dead_letter);
    let broker = &asked.door.broker;
    let definition = broker.create_queue(&asked.caller, &topic, name, policy).await?;
    Ok(shown(201, &topic, &definition))
}

/// `GET /queues`: 200 and a page of them.
pub async fn list(asked: &Asked<'_>) -> Replied {
    let (offset, limit) = asked.page()?;
    let queues = asked.door.broker.queues(&asked.caller).await?;
    let mut queues: Vec<_> = queues
        .into_iter()
        .map(|(topic, queue)| {
            (view::queue_id(topic.name(), &queue.name, queue.policy.global), topic, queue)
        })
        .collect();
    queues.sort_by(|a, b| a.0.cmp(&b.0));
    let page = queues.iter().skip(offset).take(limit);
    let body = view::list(page, |out, (_, topic, queue)| view::queue(out, topic.name(), queue));
    Ok(Answer::json(200, body))
}

/// `GET /queues/{queue_id}`
pub async fn show(asked: &Asked<'_>) -> Replied {
    let FoundQueue { topic, definition } = asked.queue().await?;
    topic.need(Rights::LOOK)?;
    Ok(shown(200, topic.name(), &definition))
}

/// `PUT /queues/{queue_id}`: 200 and the queue. What is left out is null from now on.
pub async fn update(asked: &Asked<'_>, new: QueueSettings) -> Replied {
    let found = asked.queue().await?;
    let QueueAddress { topic: at, queue } = found.address();
    let FoundQueue { topic, definition } = found;
    let (to, dead_letter) = targets(asked, &new).await?;
    let to = match to {
        Some(to) => to,
        // A queue that is only known by its topic cannot do without it.
        None if !definition.policy.global => topic.name().clone(),
        None => TopicName::unattached(),
    };
    let policy = policy(definition.policy.clone(), new, dead_letter);
    let broker = &asked.door.broker;
    let altered = broker.alter_queue(&asked.caller, &at, &queue, Some(&to), Some(policy)).await?;
    Ok(shown(200, &to, &altered))
}

/// `DELETE /queues/{queue_id}`: 204. Its messages are gone.
pub async fn delete(asked: &Asked<'_>) -> Replied {
    let QueueAddress { topic, queue } = asked.queue().await?.address();
    asked.door.broker.delete_queue(&asked.caller, &topic, queue).await?;
    Ok(Answer::done())
}

/// `GET /queues/{queue_id}/stats`
pub async fn stats(asked: &Asked<'_>) -> Replied {
    let op = |queue| Op::Counts { queue };
    let (reply, _) = asked.ask_queue(op).await?;
    let Reply::Figures(figures) = reply else { return Err(super::unexpected()) };
    let counts = figures.counts;
    let age = counts.oldest_ready.map_or(0, |oldest| clock::now().since_ms(oldest) / 1000);
    let body = format!(
        "{{\"num_undelivered_messages\":{},\"oldest_unacked_message_age_seconds\":{age}}}",
        counts.ready
    );
    Ok(Answer::json(200, body.into_bytes()))
}

/// `PUT /queues/{queue_id}/purge`: 204. Every message is gone, also those that are held.
pub async fn purge(asked: &Asked<'_>) -> Replied {
    asked.ask_queue(|queue| Op::Clear { queue }).await?;
    Ok(Answer::done())
}

/// `PUT /queues/{queue_id}/redrive`: 204. What is available moves to another queue.
pub async fn redrive(asked: &Asked<'_>, to: Redrive) -> Replied {
    let FoundQueue { topic, definition } = asked.queue().await?;
    let to = to.destination_queue_id;
    let to = asked.door.known.queue(&asked.caller, to.as_bytes()).await?.address();
    asked.door.broker.transfer(&asked.caller, &topic, &definition.name, &to, None).await?;
    Ok(Answer::done())
}
