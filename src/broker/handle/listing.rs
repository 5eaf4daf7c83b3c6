//! Topics and their queues come, are listed, and go.

use super::*;

impl Broker {
    /// The topic of that name.
    ///
    /// Errors: `TopicNotFound`.
    pub async fn topic(
        &self,
        caller: &Caller,
        name: &TopicName,
    ) -> Result<TopicHandle, BrokerError> {
        let entry = self.ask(Resolve(name.clone())).await??;
        Ok(self.handle(caller, entry))
    }

    pub(super) fn handle(&self, caller: &Caller, entry: TopicEntry) -> TopicHandle {
        TopicHandle {
            rights: caller.rights(&entry.definition),
            sees: caller.sees(&entry.definition),
            entry: Arc::new(entry),
            limits: self.0.limits.clone(),
            door: self.1,
        }
    }

    /// Makes a topic; the caller owns it. Answers when its definition is durable.
    ///
    /// Errors: `NotAllowed`, `TopicExists`, `TooManyTopics`, `Refused(OutOfBounds)`, store errors.
    pub async fn create_topic(
        &self,
        caller: &Caller,
        mut new: NewTopic,
    ) -> Result<TopicHandle, BrokerError> {
        if !caller.may_create(&new.name) {
            return Err(BrokerError::NotAllowed("create"));
        }
        self.check_queues(new.queues.len())?;
        // An administrator may make a topic for somebody else.
        if new.owner.is_none() || !caller.is_admin() {
            new.owner = caller.user().map(str::to_owned);
        }
        let entry = self.ask(CreateTopic(new)).await??;
        Ok(self.handle(caller, entry))
    }

    /// Removes a topic with its queues and messages.
    ///
    /// Errors: `TopicNotFound`, `NotAllowed`.
    pub async fn delete_topic(&self, caller: &Caller, name: &TopicName) -> Result<(), BrokerError> {
        self.topic(caller, name).await?.need(Rights::MANAGE)?;
        self.ask(DeleteTopic(name.clone())).await?
    }

    /// Adds a queue to a topic; to [`TopicName::unattached`], one that belongs to none.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Refused(QueueExists, QueueNotFound, OutOfBounds)`.
    pub async fn create_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
        policy: QueuePolicy,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        self.need_for_queue(caller, topic).await?;
        self.ask(CreateQueue { topic: topic.clone(), queue, policy }).await?
    }

    /// Adds several queues to a topic: all of them, or none.
    ///
    /// Errors: `TooMany` above `limits.batch_max`, `Refused(QueueExists)`, also when two are the same.
    pub async fn create_queues(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queues: Vec<(QueueName, QueuePolicy)>,
    ) -> Result<(), BrokerError> {
        self.topic(caller, topic).await?.need(Rights::MANAGE)?;
        self.check_queues(queues.len())?;
        self.ask(CreateQueues { topic: topic.clone(), queues }).await?
    }

    fn check_queues(&self, count: usize) -> Result<(), BrokerError> {
        let limit = self.0.limits.batch_max;
        if count <= limit {
            return Ok(());
        }
        Err(BrokerError::TooMany { what: "queues in one request", limit })
    }

    /// Removes a queue of a topic with its messages. [`TopicName::unattached`] is any topic here.
    pub async fn delete_queue(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: QueueName,
    ) -> Result<(), BrokerError> {
        let (handle, definition) = self.queue(caller, topic, &queue).await?;
        handle.need(Rights::MANAGE)?;
        self.ask(DeleteQueue { queue: definition.number }).await?
    }

    /// The topics the caller may look at, in the order they were made: at most `limit` behind the one
    /// numbered `after`, and the number to go on behind.
    pub async fn list_topics(
        &self,
        caller: &Caller,
        after: Option<u32>,
        limit: usize,
    ) -> Result<(Vec<TopicFigures>, Option<u32>), BrokerError> {
        self.list_topics_named(caller, b"", after, limit).await
    }

    /// [`Broker::list_topics`] of those whose names begin so.
    pub async fn list_topics_named(
        &self,
        caller: &Caller,
        prefix: &[u8],
        after: Option<u32>,
        limit: usize,
    ) -> Result<(Vec<TopicFigures>, Option<u32>), BrokerError> {
        let entries = self.ask(ListTopics).await?;
        let mut readable = entries
            .into_iter()
            .filter(|entry| after.is_none_or(|after| entry.definition.number > after))
            .filter(|entry| entry.definition.name.as_bytes().starts_with(prefix))
            .filter(|entry| caller.rights(&entry.definition).contains(Rights::LOOK));
        let page: Vec<_> = readable.by_ref().take(limit).collect();
        let more = readable.next().is_some();
        let next = page.last().filter(|_| more).map(|entry| entry.definition.number);
        let asked = page.iter().map(|entry| entry.addr.send(Describe));
        let figures = futures_util::future::join_all(asked).await;
        // A topic that was deleted or failed meanwhile is not in the list.
        Ok((figures.into_iter().filter_map(|figures| figures.ok()?.ok()).collect(), next))
    }
}
