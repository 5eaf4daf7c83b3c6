//! The dead letters of all topics, as one list with bounded work.

use super::searching::Effort;
use super::*;

/// Queues that are asked for their counts at a time.
const ASKED_AT_ONCE: usize = 64;

/// Which dead letters to look for.
#[derive(Debug, Clone)]
pub struct DeadSearch {
    /// Only of this topic.
    pub topic: Option<TopicName>,
    /// Only of queues with this name.
    pub queue: Option<QueueName>,
    /// Where the list goes on.
    pub from: Option<DeadSpot>,
    /// Which messages.
    pub sieve: Sieve,
    /// How many, at least 1.
    pub limit: usize,
}

/// A place in the list of all dead letters: queues in the order they were made, and the letters of
/// each in the order of their death.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadSpot {
    /// The queue's number; those before it are done.
    pub queue: u32,
    /// Behind which letter; `None`: from the first on.
    pub after: Option<u128>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct DeadFound {
    /// The letters, each with its topic and queue.
    pub letters: Vec<(TopicName, QueueName, View)>,
    /// Where to go on; `None`: that was all.
    pub next: Option<DeadSpot>,
    /// How many messages, and queues without any, were looked at.
    pub scanned: usize,
}

impl Broker {
    /// The dead letters of every topic the caller may read, until there are enough or as much was
    /// looked at as one request may (`limits.list_scan_max`, `limits.list_scan_bytes_max`; a queue
    /// without dead letters counts as one message). Ends when it is dropped.
    ///
    /// A letter that stays where it is while the pages are read is in exactly one of them.
    ///
    /// Errors: `Stopping`; `TopicNotFound` when one is named.
    pub async fn search_dead(
        &self,
        caller: &Caller,
        search: DeadSearch,
    ) -> Result<DeadFound, BrokerError> {
        let DeadSearch { topic, queue, from, sieve, limit } = search;
        if let Some(topic) = &topic {
            self.topic(caller, topic).await?.need(Rights::LOOK)?;
        }
        let mut queues = self.queues(caller).await?;
        queues.retain(|(handle, definition)| {
            topic.as_ref().is_none_or(|topic| handle.name() == topic)
                && queue.as_ref().is_none_or(|queue| definition.name == *queue)
                && from.is_none_or(|from| definition.number >= from.queue)
        });
        queues.sort_unstable_by_key(|(_, definition)| definition.number);
        let mut effort = Effort::new(self.limits());
        let mut found = DeadFound::default();
        for part in queues.chunks(ASKED_AT_ONCE) {
            let asked =
                part.iter().map(|(handle, definition)| handle.dead_letters(&definition.name));
            let counts = futures_util::future::join_all(asked).await;
            for ((handle, definition), count) in part.iter().zip(counts) {
                let number = definition.number;
                if found.letters.len() >= limit || effort.is_full() || effort.is_spent() {
                    found.next = Some(DeadSpot { queue: number, after: None });
                    return Ok(found);
                }
                // One that is gone or failed has no list.
                if count.unwrap_or_default() == 0 {
                    effort.look(0);
                    found.scanned += 1;
                    continue;
                }
                let search = Search {
                    queue: Some(definition.name.clone()),
                    state: State::Dead,
                    after: from.filter(|from| from.queue == number).and_then(|from| from.after),
                    sieve: sieve.clone(),
                    limit: limit - found.letters.len(),
                };
                let part = match handle.search_within(search, &mut effort).await {
                    Ok(part) => part,
                    Err(BrokerError::Stopping) => return Err(BrokerError::Stopping),
                    Err(_) => continue,
                };
                found.scanned += part.scanned;
                let place = |view| (handle.name().clone(), definition.name.clone(), view);
                found.letters.extend(part.views.into_iter().map(place));
                if part.next.is_some() {
                    found.next = Some(DeadSpot { queue: number, after: part.next });
                    return Ok(found);
                }
            }
        }
        Ok(found)
    }
}
