//! Queues, and topics as a whole: change, describe, move, transfer; messages known by where they
//! came into the world.

use super::*;

/// Messages moved in one step of [`Broker::transfer`].
const TRANSFER_STEP: usize = 1000;

impl Broker {
    /// Changes a topic's settings; the level of durability is fixed.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Refused(OutOfBounds)`, store errors.
    pub async fn change_topic(
        &self,
        caller: &Caller,
        name: &TopicName,
        policy: TopicPolicy,
    ) -> Result<(), BrokerError> {
        self.revise_topic(caller, name, Revision::Whole(policy)).await
    }

    /// Changes a topic's settings, or some of them: two who change different ones at a time do not
    /// undo each other's work.
    ///
    /// Errors: as [`Broker::change_topic`].
    pub async fn revise_topic(
        &self,
        caller: &Caller,
        name: &TopicName,
        revision: Revision<TopicPolicy>,
    ) -> Result<(), BrokerError> {
        self.topic(caller, name).await?.need(Rights::MANAGE)?;
        self.ask(ChangeTopic(name.clone(), revision)).await?
    }

    /// Removes a topic. Its global queues stay with their messages and belong to no topic then.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, store errors.
    pub async fn dissolve_topic(
        &self,
        caller: &Caller,
        name: &TopicName,
    ) -> Result<(), BrokerError> {
        self.topic(caller, name).await?.need(Rights::MANAGE)?;
        self.ask(DissolveTopic(name.clone())).await?
    }

    /// What defines the topics that the caller may look at, in the order they were made. The one that
    /// holds the queues without a topic is none of them.
    pub async fn topics(&self, caller: &Caller) -> Result<Vec<Arc<TopicDefinition>>, BrokerError> {
        let mut topics = self.all_topics(caller).await?;
        topics.retain(|definition| !definition.name.is_unattached());
        Ok(topics)
    }

    /// [`Broker::topics`], with the one that holds the queues without a topic if there are any.
    pub async fn all_topics(
        &self,
        caller: &Caller,
    ) -> Result<Vec<Arc<TopicDefinition>>, BrokerError> {
        let entries = self.ask(ListTopics).await?;
        let topics = entries.into_iter().map(|entry| entry.definition);
        Ok(topics.filter(|topic| caller.rights(topic).contains(Rights::LOOK)).collect())
    }

    /// Changes all settings of a queue. Messages stay as they are; those that waited and have had as
    /// many deliveries as they now may have become dead letters.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Refused(QueueNotFound, QueueExists, OutOfBounds)`,
    /// store errors.
    pub async fn change_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
        policy: QueuePolicy,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.alter_queue(caller, topic, queue, None, Some(policy)).await
    }

    /// [`Broker::change_queue`] for some of the settings; the others stay as they are.
    pub async fn revise_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
        revision: Revision<QueuePolicy>,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.alter(caller, topic, queue, None, Some(revision)).await
    }

    /// Makes a queue part of another topic, with its messages and settings. Deliveries stay in
    /// flight, and their receipts are good at the other topic.
    ///
    /// Errors: as [`Broker::change_queue`]; both topics must be stored, or both in memory.
    pub async fn move_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
        to: &TopicName,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.alter_queue(caller, topic, queue, Some(to), None).await
    }

    /// [`Broker::move_queue`] and [`Broker::change_queue`] in one. `topic` as for [`Broker::queue`].
    pub async fn alter_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
        to: Option<&TopicName>,
        policy: Option<QueuePolicy>,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.alter(caller, topic, queue, to, policy.map(Revision::Whole)).await
    }

    async fn alter(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
        to: Option<&TopicName>,
        policy: Option<Revision<QueuePolicy>>,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        let (handle, definition) = self.queue(caller, topic, queue).await?;
        handle.need(Rights::MANAGE)?;
        if let Some(to) = to.filter(|to| *to != handle.name()) {
            self.need_for_queue(caller, to).await?;
        }
        let (queue, to) = (definition.number, to.cloned());
        self.ask(AlterQueue { queue, to, policy }).await?
    }

    /// Whether the caller may make a queue there; without a topic, if it may make the topic for those.
    pub(super) async fn need_for_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
    ) -> Result<(), BrokerError> {
        match self.topic(caller, topic).await {
            Err(BrokerError::TopicNotFound(_))
                if topic.is_unattached() && caller.may_create(topic) =>
            {
                Ok(())
            }
            found => found?.need(Rights::MANAGE),
        }
    }

    /// A queue of a topic; with [`TopicName::unattached`], the global queue of that name wherever it is.
    ///
    /// Errors: `TopicNotFound`, `Refused(QueueNotFound)`.
    pub async fn queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
    ) -> Result<(TopicHandle, Arc<QueueDefinition>), BrokerError> {
        self.look_for(caller, Some(topic.clone()), queue).await
    }

    /// The queue that can be named without its topic.
    ///
    /// Errors: `Refused(QueueNotFound)`.
    pub async fn find_queue(
        &self,
        caller: &Caller,
        queue: &QueueName,
    ) -> Result<(TopicHandle, Arc<QueueDefinition>), BrokerError> {
        self.look_for(caller, None, queue).await
    }

    async fn look_for(
        &self,
        caller: &Caller,
        topic: Option<TopicName>,
        queue: &QueueName,
    ) -> Result<(TopicHandle, Arc<QueueDefinition>), BrokerError> {
        let (entry, definition) = self.ask(FindQueue { topic, queue: queue.clone() }).await??;
        Ok((self.handle(caller, entry), definition))
    }

    /// All queues of topics that the caller may look at, in no order.
    pub async fn queues(
        &self,
        caller: &Caller,
    ) -> Result<Vec<(TopicHandle, Arc<QueueDefinition>)>, BrokerError> {
        let queues = self.ask(ListQueues).await?;
        let readable = queues
            .into_iter()
            .map(|(entry, definition)| (self.handle(caller, entry), definition))
            .filter(|(handle, _)| handle.need(Rights::LOOK).is_ok());
        Ok(readable.collect())
    }

    /// Grows with every change of topics and queues (their names, settings, places): what a door
    /// learnt before is to be asked for again.
    pub fn directory_version(&self) -> u64 {
        self.0.directory.load(Relaxed)
    }

    /// Moves what is ready in a queue to the back of another one, of this topic or any other, in
    /// steps: these messages, or (`None`) the oldest until what was ready at the beginning has moved.
    /// Each gets the delay and the retention of the other queue, no attempts, and keeps its id.
    ///
    /// Errors: `NotAllowed`, `Refused(QueueNotFound, OutOfBounds)`, `TopicNotFound`, store errors;
    /// what moved before stays moved.
    pub async fn transfer(
        &self,
        caller: &Caller,
        from: &TopicHandle,
        queue: &QueueName,
        to: &QueueAddress,
        selection: Option<Selection>,
    ) -> Result<u64, BrokerError> {
        from.need(Rights::WRITE)?;
        let find = FindTarget { from: from.name().clone(), to: to.clone() };
        let (entry, to) = self.ask(find).await??;
        self.handle(caller, entry).need(Rights::WRITE)?;
        let figures = match from.ask(Op::Counts { queue: Some(queue.clone()) }).await? {
            Reply::Figures(figures) => figures,
            Reply::Failed(error) => return Err(error),
            _ => return Err(BrokerError::Unavailable),
        };
        let ready = match selection {
            Some(Selection::Oldest(max)) => figures.counts.ready.min(max as u64),
            Some(Selection::Ids(ids)) => {
                let queue = Some(queue.clone());
                return from
                    .counted(Op::Transfer { queue, selection: Selection::Ids(ids), to })
                    .await;
            }
            None => figures.counts.ready,
        };
        let mut moved = 0;
        while moved < ready {
            let step = usize::try_from(ready - moved).unwrap_or(TRANSFER_STEP).min(TRANSFER_STEP);
            let selection = Selection::Oldest(step);
            let op = Op::Transfer { queue: Some(queue.clone()), selection, to };
            match from.counted(op).await? {
                0 => break,
                count => moved += count,
            }
        }
        Ok(moved)
    }

    /// The topics that gave ids with this salt: one, as good as always.
    ///
    /// Acks and nacks that name a message by its [`Origin`] go there first, and by
    /// [`Broker::elsewhere`] when it is not there.
    pub async fn topic_of_origin(
        &self,
        caller: &Caller,
        origin: Origin,
    ) -> Result<Option<TopicHandle>, BrokerError> {
        let places = self.ask(WhereIs { queue: None, origin }).await?;
        let own = places.into_iter().find(|(entry, _)| entry.definition.salt == origin.salt);
        Ok(own.map(|(entry, _)| self.handle(caller, entry)))
    }

    /// Asks, one after the other, the topics that may have a message which came into the world there:
    /// `op` makes the ack or nack of its name. `queue`: the queue it was seen in, unless it is lone.
    ///
    /// False: nobody has it. Errors: of the first topic that could not say.
    pub async fn elsewhere(
        &self,
        caller: &Caller,
        queue: Option<u32>,
        origin: Origin,
        op: impl Fn(Named) -> Op,
    ) -> Result<bool, BrokerError> {
        for (entry, queue) in self.ask(WhereIs { queue, origin }).await? {
            let handle = self.handle(caller, entry);
            match handle.ask(op(Named::Origin { queue, origin })).await? {
                Reply::Done(results) => match results.into_iter().next() {
                    Some(Ok(())) => return Ok(true),
                    Some(Err(BrokerError::Refused(_))) | None => (),
                    Some(Err(error)) => return Err(error),
                },
                // A topic the caller may not touch, or that was deleted meanwhile, has none for it.
                Reply::Failed(
                    BrokerError::NotAllowed(_)
                    | BrokerError::TopicNotFound(_)
                    | BrokerError::Refused(_),
                ) => (),
                Reply::Failed(error) => return Err(error),
                _ => return Err(BrokerError::Unavailable),
            }
        }
        Ok(false)
    }
}
