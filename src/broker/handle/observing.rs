//! Looking at the whole broker: totals, history, what needs attention, who is connected. Who may is
//! decided here, and nowhere else.

use super::*;
use crate::broker::attention;
use crate::broker::connections::{
    Arrival, Called, CloseConnection, ConnectionsPage, ConnectionsQuery, Enter, Leave,
    ListConnections, Traffic,
};
use crate::broker::observer::{
    History, LookAtAll, LookAtDead, LookAtTopics, LookBack, Overview, Span, TopicsPage, TopicsQuery,
};
use crate::broker::redrives::{Progress, RunningRedrives};

/// Topics of those with dead letters that are asked for their queues.
const DEAD_TOPICS_MAX: usize = 200;

impl Caller {
    fn need_to_look(&self) -> Result<(), BrokerError> {
        match self.may_look_at_everything() {
            true => Ok(()),
            false => Err(BrokerError::NotAllowed("view")),
        }
    }
}

/// A session on the list of connections, counted with its door, until this is dropped.
pub struct Presence {
    guard: ConnectionGuard,
    id: u64,
    /// What the session counts.
    pub traffic: Arc<Traffic>,
}

impl Presence {
    /// Its number on the list.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// It is this caller's from now on.
    pub fn belongs_to(&self, caller: Option<&Caller>) {
        let user = caller.and_then(Caller::user_name);
        self.guard.broker.0.listed.do_send(Called(self.id, user));
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.guard.broker.0.listed.do_send(Leave(self.id));
    }
}

/// A queue with dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadQueue {
    /// Its topic.
    pub topic: TopicName,
    /// Its name there.
    pub queue: QueueName,
    /// How many.
    pub dead: u64,
    /// When the first of them died.
    pub oldest: Option<Timestamp>,
    /// The redrive at a rate that runs.
    pub redrive: Option<Progress>,
}

impl Broker {
    /// Puts a session on the list of connections.
    pub fn arrive(&self, arrival: Arrival) -> Presence {
        let guard = self.connection(arrival.door);
        let id = self.0.last_connection.fetch_add(1, Relaxed) + 1;
        let traffic = Arc::<Traffic>::default();
        self.0.listed.do_send(Enter(id, arrival, traffic.clone()));
        Presence { guard, id, traffic }
    }

    /// Changes once a second, when the topics have been looked at.
    ///
    /// Errors: `NotAllowed`.
    pub fn looks(&self, caller: &Caller) -> Result<watch::Receiver<u64>, BrokerError> {
        caller.need_to_look()?;
        Ok(self.0.looks.clone())
    }

    /// The broker as it was seen within the last second.
    ///
    /// Errors: `NotAllowed`.
    pub async fn overview(&self, caller: &Caller) -> Result<Overview, BrokerError> {
        caller.need_to_look()?;
        let looked = self.0.observer.send(LookAtAll).await.map_err(|_| BrokerError::Stopping)?;
        let (mut overview, topics) = looked;
        // Which of its queues is meant only the topic knows.
        let asked = topics.iter().map(|entry| entry.addr.send(Describe));
        let told = futures_util::future::join_all(asked).await;
        for figures in told.into_iter().filter_map(|told| told.ok()?.ok()) {
            let topic = &figures.definition.name;
            for (_, one) in overview.attention.iter_mut().filter(|(name, _)| name == topic) {
                one.queue = attention::queue_meant(one.kind, &figures.queues);
            }
        }
        Ok(overview)
    }

    /// Some topics, sorted and filtered, as they were seen within the last second.
    ///
    /// Errors: `NotAllowed`.
    pub async fn topics_page(
        &self,
        caller: &Caller,
        query: TopicsQuery,
    ) -> Result<TopicsPage, BrokerError> {
        caller.need_to_look()?;
        self.0.observer.send(LookAtTopics(query)).await.map_err(|_| BrokerError::Stopping)
    }

    /// What happened of late: in a topic that the caller may read, or in the whole broker.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`.
    pub async fn history(
        &self,
        caller: &Caller,
        topic: Option<&TopicName>,
        span: Span,
    ) -> Result<History, BrokerError> {
        match topic {
            Some(name) => {
                let handle = self.topic(caller, name).await?;
                if !caller.may_look_at_everything() {
                    handle.need(Rights::LOOK)?;
                }
            }
            None => caller.need_to_look()?,
        }
        let back = LookBack(topic.cloned(), span);
        self.0.observer.send(back).await.map_err(|_| BrokerError::Stopping)
    }

    /// Queues with dead letters, those with most first: at most `max`, and how many were found. Beyond
    /// the 200 topics with most of them nobody looks.
    ///
    /// Errors: `NotAllowed`.
    pub async fn dead_queues(
        &self,
        caller: &Caller,
        max: usize,
    ) -> Result<(Vec<DeadQueue>, usize), BrokerError> {
        caller.need_to_look()?;
        let found = self.0.observer.send(LookAtDead(DEAD_TOPICS_MAX)).await;
        let (entries, _) = found.map_err(|_| BrokerError::Stopping)?;
        let running = self.0.redrives.send(RunningRedrives).await.unwrap_or_default();
        let asked = entries.iter().map(|entry| entry.addr.send(Describe));
        let told = futures_util::future::join_all(asked).await;
        let mut queues = Vec::new();
        // A topic that was deleted or failed meanwhile has none.
        for figures in told.into_iter().filter_map(|told| told.ok()?.ok()) {
            let topic = &figures.definition.name;
            for (queue, _, figures) in figures.queues {
                let Counts { dead, oldest_dead: oldest, .. } = figures.counts;
                if dead > 0 {
                    let same = |(of, at, _): &&(_, _, _)| of == topic && *at == queue;
                    let redrive = running.iter().find(same).map(|(_, _, how)| how.clone());
                    queues.push(DeadQueue { topic: topic.clone(), queue, dead, oldest, redrive });
                }
            }
        }
        let total = queues.len();
        queues.sort_by(|one, other| {
            let most = other.dead.cmp(&one.dead);
            most.then_with(|| (&one.topic, &one.queue).cmp(&(&other.topic, &other.queue)))
        });
        queues.truncate(max);
        Ok((queues, total))
    }

    /// Sessions that are open, of the doors that have sessions.
    ///
    /// Errors: `NotAllowed`.
    pub async fn connections(
        &self,
        caller: &Caller,
        query: ConnectionsQuery,
    ) -> Result<ConnectionsPage, BrokerError> {
        caller.need_to_look()?;
        self.0.listed.send(ListConnections(query)).await.map_err(|_| BrokerError::Stopping)
    }

    /// Ends a session in its dialect's manner; false when there is none of that number.
    ///
    /// Errors: `NotAllowed`.
    pub async fn close_connection(&self, caller: &Caller, id: u64) -> Result<bool, BrokerError> {
        if !caller.is_operator() {
            return Err(BrokerError::NotAllowed("operate"));
        }
        self.0.listed.send(CloseConnection(id)).await.map_err(|_| BrokerError::Stopping)
    }
}
