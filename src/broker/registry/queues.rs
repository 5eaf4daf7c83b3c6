//! Queues: making and removing them, changing their settings and the topic they belong to, and who
//! points at whom.

use super::*;
use crate::broker::directory::Known;
use actix::Addr;

/// What a queue is to become.
struct Plan {
    /// Where it is, and where it goes.
    from: TopicEntry,
    to: TopicEntry,
    before: Known,
    definition: Arc<QueueDefinition>,
    target: Option<Target>,
}

/// How far an alteration came before it failed.
struct Halted {
    /// It belongs to the new topic already.
    moved: bool,
    error: BrokerError,
}

impl Registry {
    fn stored(level: Level) -> bool {
        level != Level::Memory
    }

    fn topic_name(&self, number: u32) -> Option<TopicName> {
        Some(self.by_number.get(&number)?.definition.name.clone())
    }

    fn pointer(&self, number: u32) -> Option<(QueueAddress, Target)> {
        self.directory.pointer(number, |topic| self.topic_name(topic))
    }

    /// The queue at an address. `own`: name, number and level of the topic that asks, which may not
    /// be known yet.
    fn resolve(
        &self,
        address: &QueueAddress,
        own: (&TopicName, u32, Level),
    ) -> Result<u32, BrokerError> {
        let (name, topic, level) = own;
        let found = if address.topic.is_unattached() {
            let inside = || {
                let topic = self.by_name.get(&address.topic)?;
                self.directory.in_topic(*topic, &address.queue)
            };
            self.directory.global(&address.queue).or_else(inside)
        } else if address.topic == *name {
            self.directory.in_topic(topic, &address.queue)
        } else {
            let entry = self.entry(&address.topic)?;
            self.directory.in_topic(entry.definition.number, &address.queue)
        };
        let number = found.ok_or(Refusal::QueueNotFound)?;
        // A move is one record: both topics must be stored, or both in memory.
        let there = self.directory.get(number).map(|known| known.definition.topic);
        let there = there.and_then(|topic| self.by_number.get(&topic));
        let there = there.map_or(level, |entry| entry.definition.policy.durability);
        match Self::stored(there) == Self::stored(level) {
            true => Ok(number),
            false => Err(Refusal::OutOfBounds("dead_letter").into()),
        }
    }

    /// Finds the queue that the dead letters of an entered queue go to, and enters it.
    pub(super) fn aim(
        &mut self,
        number: u32,
        own: (&TopicName, u32, Level),
    ) -> Result<(Arc<QueueDefinition>, Option<Target>), BrokerError> {
        let Some(known) = self.directory.get(number) else {
            return Err(Refusal::QueueNotFound.into());
        };
        let definition = known.definition.clone();
        let Some(address) = &definition.policy.dead_letter else { return Ok((definition, None)) };
        let found = self.resolve(address, own)?;
        let (address, target) = match self.pointer(found) {
            Some((address, target)) => (address, target),
            // Of the topic that is being made: it keeps the name it was called by.
            None => {
                let policy = self.directory.get(found).map(|known| &known.definition.policy);
                let target = policy.map(|policy| Target::new(found, policy));
                (address.clone(), target.unwrap_or(found.into()))
            }
        };
        let mut aimed = QueueDefinition::clone(&definition);
        aimed.policy.dead_letter = Some(address);
        let aimed = Arc::new(aimed);
        self.directory.put(aimed.clone(), Some(target))?;
        Ok((aimed, Some(target)))
    }

    /// Enters queues of a topic, all of them or none, with numbers of their own. `own`: name, number and
    /// level of the topic, which may not be known yet.
    pub(super) fn enter_queues(
        &mut self,
        own: (&TopicName, u32, Level),
        created_at: Timestamp,
        queues: Vec<(QueueName, QueuePolicy)>,
    ) -> Result<Vec<NewQueue>, BrokerError> {
        let numbers: Vec<u32> = (self.next_queue..).take(queues.len()).collect();
        let mut entered = Vec::with_capacity(numbers.len());
        let enter = || {
            for (number, (name, policy)) in numbers.iter().zip(queues) {
                policy.check().map_err(|_| Refusal::OutOfBounds("queue policy"))?;
                let policy = QueuePolicy { changed_at: None, ..policy };
                let (number, topic) = (*number, own.1);
                let definition = QueueDefinition { number, topic, name, policy, created_at };
                self.directory.put(Arc::new(definition), None)?;
            }
            // They may point at each other.
            for number in &numbers {
                let (definition, target) = self.aim(*number, own)?;
                entered.push((QueueDefinition::clone(&definition), target));
            }
            Ok(())
        };
        if let Err(error) = enter() {
            self.leave_queues(&numbers);
            return Err(error);
        }
        self.next_queue += numbers.len() as u32;
        Ok(entered)
    }

    fn leave_queues(&mut self, numbers: &[u32]) {
        for number in numbers {
            self.directory.remove(*number);
        }
    }

    /// After a start: who points at whom. Who points at nothing any more points nowhere.
    pub(super) fn aim_all(&mut self) {
        let all = self.directory.all();
        let numbers: Vec<u32> = all.map(|known| known.definition.number).collect();
        for number in numbers {
            let Some(known) = self.directory.get(number) else { continue };
            let Some(entry) = self.by_number.get(&known.definition.topic).cloned() else {
                continue;
            };
            let topic = &entry.definition;
            let own = (&topic.name, topic.number, topic.policy.durability);
            if self.aim(number, own).is_err()
                && let Some((addr, change)) = self.point(number, None)
            {
                addr.do_send(Reshape(change));
            }
        }
    }

    /// Enters where the dead letters of a queue go; what its topic must be told, if that is news.
    fn point(&mut self, number: u32, at: Option<u32>) -> Option<(Addr<TopicActor>, Change)> {
        let known = self.directory.get(number)?;
        let pointer = at.and_then(|at| self.pointer(at));
        let (address, target) = match pointer {
            Some((address, target)) => (Some(address), Some(target)),
            None => (None, None),
        };
        if (&known.definition.policy.dead_letter, known.target) == (&address, target) {
            return None;
        }
        let mut definition = QueueDefinition::clone(&known.definition);
        definition.policy.dead_letter = address;
        let addr = self.by_number.get(&definition.topic)?.addr.clone();
        let policy = Box::new(definition.policy.clone());
        if self.directory.put(Arc::new(definition), target).is_err() {
            log::error!("queue {number} lost its name while it was pointed elsewhere");
        }
        self.directory.touch();
        Some((addr, Change::SetQueue(number, policy, target)))
    }

    /// A queue is gone, or called otherwise, or has other settings: whoever sends it dead letters is
    /// told. Those that are being changed find out at the end of it.
    pub(super) fn repoint(&mut self, number: u32) {
        let at = self.directory.get(number).map(|_| number);
        for pointing in self.directory.pointing_at(number) {
            if !self.busy.contains_key(&pointing)
                && let Some((addr, change)) = self.point(pointing, at)
            {
                addr.do_send(Reshape(change));
            }
        }
    }

    /// When a queue is being changed: the end of that.
    fn until_free(&mut self, number: u32) -> Option<oneshot::Receiver<()>> {
        let waiting = self.busy.get_mut(&number)?;
        let (told, end) = oneshot::channel();
        waiting.push(told);
        Some(end)
    }

    fn free(&mut self, number: u32, ctx: &mut Context<Self>) {
        for waiting in self.busy.remove(&number).unwrap_or_default() {
            // Who does not wait any more needs no telling.
            let _ = waiting.send(());
        }
        if let Some(leaving) = self.parked.remove(&number) {
            ctx.notify(Departed(leaving));
        }
    }

    /// The topic of that name; the one for queues without a topic is made when it is needed.
    fn topic_for_queue(
        &mut self,
        name: &TopicName,
        ctx: &mut Context<Self>,
    ) -> Result<TopicEntry, BrokerError> {
        if !name.is_unattached() || self.by_name.contains_key(name) {
            return self.entry(name).cloned();
        }
        let new = NewTopic {
            name: name.clone(),
            kind: Kind::Broker,
            policy: self.unattached.clone(),
            queues: Vec::new(),
            owner: None,
        };
        Ok(self.make(new, ctx)?.0)
    }

    fn plan(&mut self, alter: AlterQueue, ctx: &mut Context<Self>) -> Result<Plan, BrokerError> {
        let number = alter.queue;
        let before = self.directory.get(number).cloned().ok_or(Refusal::QueueNotFound)?;
        let from = self.by_number.get(&before.definition.topic);
        let from = from.ok_or(Refusal::QueueNotFound)?.clone();
        let to = match &alter.to {
            Some(to) => self.topic_for_queue(to, ctx)?,
            None => from.clone(),
        };
        let level = to.definition.policy.durability;
        if Self::stored(level) != Self::stored(from.definition.policy.durability) {
            return Err(Refusal::OutOfBounds("durability").into());
        }
        if to.definition.kind != Kind::Broker {
            return Err(Refusal::WrongKind.into());
        }
        let mut definition = QueueDefinition::clone(&before.definition);
        definition.topic = to.definition.number;
        if let Some(revision) = alter.policy {
            let policy = revision.of(&before.definition.policy);
            let policy = policy.ok_or(Refusal::OutOfBounds("queue policy"))?;
            policy.check().map_err(|_| Refusal::OutOfBounds("queue policy"))?;
            definition.policy = QueuePolicy { changed_at: Some(clock::now()), ..policy };
        }
        self.directory.check_free(&definition, Some(number))?;
        // Names are relative to where it was.
        let own = (&from.definition.name, from.definition.number, level);
        let at = match &definition.policy.dead_letter {
            Some(address) => Some(self.resolve(address, own)?),
            None => None,
        };
        self.directory.put(Arc::new(definition), None)?;
        let pointer = at.and_then(|at| self.pointer(at));
        let known = self.directory.get(number).ok_or(Refusal::QueueNotFound)?;
        let mut definition = QueueDefinition::clone(&known.definition);
        let (address, target) = pointer.unzip();
        definition.policy.dead_letter = address;
        let definition = Arc::new(definition);
        self.directory.put(definition.clone(), target)?;
        Ok(Plan { from, to, before, definition, target })
    }

    /// What was altered holds now, or what was before.
    fn altered(
        &mut self,
        plan: &Plan,
        done: Result<(), Halted>,
        ctx: &mut Context<Self>,
    ) -> Result<Arc<QueueDefinition>, BrokerError> {
        let number = plan.definition.number;
        let halted = done.err();
        let gone = self.directory.get(number).is_none();
        if let Some(halted) = &halted
            && !(gone && halted.moved)
        {
            let mut definition = QueueDefinition::clone(&plan.before.definition);
            if halted.moved {
                definition.topic = plan.definition.topic;
            }
            if self.directory.put(Arc::new(definition), plan.before.target).is_err() {
                log::error!("queue {number} lost its name while it was being changed");
            }
        }
        self.directory.touch();
        self.free(number, ctx);
        // The queue it points at may have gone or changed meanwhile.
        let aimed = self.directory.get(number).and_then(|known| known.target);
        if let Some((addr, change)) = self.point(number, aimed.map(|target| target.queue)) {
            addr.do_send(Reshape(change));
        }
        self.repoint(number);
        match (halted, self.directory.get(number)) {
            (Some(halted), _) => Err(halted.error),
            (None, Some(known)) => Ok(known.definition.clone()),
            (None, None) => Err(Refusal::QueueNotFound.into()),
        }
    }
}

/// Does what was planned: the queue goes to its topic with all it has, then gets its settings.
async fn carry_out(
    from: TopicEntry,
    to: TopicEntry,
    definition: Arc<QueueDefinition>,
    target: Option<Target>,
) -> Result<(), Halted> {
    let number = definition.number;
    let moves = from.definition.number != to.definition.number;
    if moves {
        carry(&from, &to, number).await.map_err(|error| Halted { moved: false, error })?;
    }
    let change = Change::SetQueue(number, Box::new(definition.policy.clone()), target);
    reshape(&to.addr, change).await.map_err(|error| Halted { moved: moves, error })
}

async fn carry(from: &TopicEntry, to: &TopicEntry, number: u32) -> Result<(), BrokerError> {
    let detached = from.addr.send(Detach(number)).await.unwrap_or(Err(BrokerError::Unavailable))?;
    let attached = to.addr.send(Attach(detached)).await;
    let (error, back) = match attached {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(refused)) => refused,
        Err(_) => (BrokerError::Unavailable, None),
    };
    // The store has it where it was until the other topic has it.
    let returned = match back {
        Some(detached) => from.addr.send(Attach(detached)).await.map_err(drop),
        None => Err(()),
    };
    if !matches!(returned, Ok(Ok(()))) {
        log::error!(
            "queue {number} could not be moved and is out of reach until a restart: {error}"
        );
    }
    Err(error)
}

impl Handler<CreateQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<Arc<QueueDefinition>, BrokerError>>;

    fn handle(&mut self, new: CreateQueue, ctx: &mut Context<Self>) -> Self::Result {
        let number = self.next_queue;
        let entered = (|| {
            new.policy.check().map_err(|_| Refusal::OutOfBounds("queue policy"))?;
            let entry = self.topic_for_queue(&new.topic, ctx)?;
            if entry.definition.kind != Kind::Broker {
                return Err(Refusal::WrongKind.into());
            }
            let policy = QueuePolicy { changed_at: None, ..new.policy };
            let (topic, created_at) = (entry.definition.number, clock::now());
            let definition = QueueDefinition { number, topic, name: new.queue, policy, created_at };
            self.directory.put(Arc::new(definition), None)?;
            let own = (&new.topic, topic, entry.definition.policy.durability);
            match self.aim(number, own) {
                Ok((definition, target)) => Ok((entry, definition, target)),
                Err(error) => {
                    self.directory.remove(number);
                    Err(error)
                }
            }
        })();
        let (entry, definition, target) = match entered {
            Ok(entered) => entered,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        self.next_queue += 1;
        let change = Change::AddQueues(vec![(QueueDefinition::clone(&definition), target)]);
        // In the mailbox before anybody is told of the queue.
        let adding = entry.addr.send(Reshape(change));
        let adding = async move { adding.await.unwrap_or(Err(BrokerError::Unavailable)) };
        Box::pin(adding.into_actor(self).map(move |added, registry, _| {
            if added.is_err() {
                registry.directory.remove(number);
            }
            registry.directory.touch();
            added.map(|()| definition)
        }))
    }
}

impl Handler<CreateQueues> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, new: CreateQueues, ctx: &mut Context<Self>) -> Self::Result {
        let entered = self.topic_for_queue(&new.topic, ctx).and_then(|entry| {
            let topic = &entry.definition;
            if topic.kind != Kind::Broker {
                return Err(Refusal::WrongKind.into());
            }
            let own = (&topic.name, topic.number, topic.policy.durability);
            let queues = self.enter_queues(own, clock::now(), new.queues)?;
            Ok((entry, queues))
        });
        let (entry, queues) = match entered {
            Ok(entered) => entered,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let numbers: Vec<u32> = queues.iter().map(|(queue, _)| queue.number).collect();
        // In the mailbox before anybody is told of the queues.
        let adding = entry.addr.send(Reshape(Change::AddQueues(queues)));
        let adding = async move { adding.await.unwrap_or(Err(BrokerError::Unavailable)) };
        Box::pin(adding.into_actor(self).map(move |added, registry, _| {
            if added.is_err() {
                registry.leave_queues(&numbers);
            }
            registry.directory.touch();
            added
        }))
    }
}

impl Handler<DeleteQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(&mut self, gone: DeleteQueue, _: &mut Context<Self>) -> Self::Result {
        let number = gone.queue;
        if let Some(free) = self.until_free(number) {
            return Box::pin(
                free.into_actor(self).then(move |_, registry, ctx| registry.handle(gone, ctx)),
            );
        }
        let topic = self.directory.get(number).map(|known| known.definition.topic);
        let Some(entry) = topic.and_then(|topic| self.by_number.get(&topic)).cloned() else {
            return Box::pin(ready(Err(Refusal::QueueNotFound.into())));
        };
        self.directory.remove(number);
        self.repoint(number);
        Box::pin(
            async move { reshape(&entry.addr, Change::DropQueue(number)).await }.into_actor(self),
        )
    }
}

impl Handler<AlterQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<Arc<QueueDefinition>, BrokerError>>;

    fn handle(&mut self, alter: AlterQueue, ctx: &mut Context<Self>) -> Self::Result {
        if let Some(free) = self.until_free(alter.queue) {
            return Box::pin(
                free.into_actor(self).then(move |_, registry, ctx| registry.handle(alter, ctx)),
            );
        }
        let plan = match self.plan(alter, ctx) {
            Ok(plan) => plan,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        self.busy.insert(plan.definition.number, Vec::new());
        let (from, to) = (plan.from.clone(), plan.to.clone());
        let altering = carry_out(from, to, plan.definition.clone(), plan.target);
        Box::pin(
            altering
                .into_actor(self)
                .map(move |done, registry, ctx| registry.altered(&plan, done, ctx)),
        )
    }
}

impl Handler<DissolveTopic> for Registry {
    type Result = ResponseActFuture<Self, Result<(), BrokerError>>;

    fn handle(
        &mut self,
        DissolveTopic(name): DissolveTopic,
        ctx: &mut Context<Self>,
    ) -> Self::Result {
        let number = match self.entry(&name) {
            Ok(entry) => entry.definition.number,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        let stays =
            self.directory.all().map(|known| &known.definition).find(|queue| {
                queue.topic == number && queue.policy.global && !name.is_unattached()
            });
        let Some(queue) = stays.map(|queue| queue.number) else {
            return self.handle(DeleteTopic(name), ctx);
        };
        let away = AlterQueue { queue, to: Some(TopicName::unattached()), policy: None };
        Box::pin(self.handle(away, ctx).then(move |moved, registry, ctx| match moved {
            // It may have been deleted meanwhile.
            Ok(_) | Err(BrokerError::Refused(Refusal::QueueNotFound)) => {
                registry.handle(DissolveTopic(name), ctx)
            }
            Err(error) => Box::pin(ready(Err(error))),
        }))
    }
}

impl Handler<FindQueue> for Registry {
    type Result = ResponseActFuture<Self, Result<(TopicEntry, Arc<QueueDefinition>), BrokerError>>;

    fn handle(&mut self, find: FindQueue, _: &mut Context<Self>) -> Self::Result {
        let found = (|| {
            let number = match &find.topic {
                Some(topic) if !topic.is_unattached() => {
                    let entry = self.entry(topic)?;
                    self.directory.in_topic(entry.definition.number, &find.queue)
                }
                // One that left its topic keeps its name, also when that is not good everywhere.
                Some(topic) => self
                    .directory
                    .global(&find.queue)
                    .or_else(|| self.directory.in_topic(*self.by_name.get(topic)?, &find.queue)),
                None => self.directory.global(&find.queue),
            };
            let number = number.ok_or(Refusal::QueueNotFound)?;
            let known = self.directory.get(number).ok_or(Refusal::QueueNotFound)?;
            let entry = self.by_number.get(&known.definition.topic);
            let entry = entry.ok_or(Refusal::QueueNotFound)?.clone();
            Ok::<_, BrokerError>((number, (entry, known.definition.clone())))
        })();
        let (number, found) = match found {
            Ok(found) => found,
            Err(error) => return Box::pin(ready(Err(error))),
        };
        if let Some(free) = self.until_free(number) {
            return Box::pin(
                free.into_actor(self).then(move |_, registry, ctx| registry.handle(find, ctx)),
            );
        }
        Box::pin(ready(Ok(found)))
    }
}

impl Handler<ListQueues> for Registry {
    type Result = Vec<(TopicEntry, Arc<QueueDefinition>)>;

    fn handle(&mut self, _: ListQueues, _: &mut Context<Self>) -> Self::Result {
        let entry = |known: &Known| {
            let entry = self.by_number.get(&known.definition.topic)?;
            Some((entry.clone(), known.definition.clone()))
        };
        self.directory.all().filter_map(entry).collect()
    }
}

impl Handler<WhereIs> for Registry {
    type Result = Vec<(TopicEntry, Option<u32>)>;

    fn handle(&mut self, asked: WhereIs, _: &mut Context<Self>) -> Self::Result {
        if let Some(number) = asked.queue {
            let Some(known) = self.directory.get(number) else { return Vec::new() };
            let target = known.target.and_then(|target| self.directory.get(target.queue));
            let places = [Some(known), target].into_iter().flatten().filter_map(|known| {
                let entry = self.by_number.get(&known.definition.topic)?;
                Some((entry.clone(), Some(known.definition.number)))
            });
            return places.collect();
        }
        let own = |entry: &TopicEntry| entry.definition.salt == asked.origin.salt;
        let holds = |entry: &TopicEntry| {
            own(entry) || entry.strangers.load(std::sync::atomic::Ordering::Relaxed) > 0
        };
        let entries = self.by_number.values().filter(|entry| holds(entry));
        let mut places: Vec<_> = entries.map(|entry| (entry.clone(), None)).collect();
        places.sort_by_key(|(entry, _)| !own(entry));
        places
    }
}

impl Handler<FindTarget> for Registry {
    type Result = Result<(TopicEntry, Target), BrokerError>;

    fn handle(
        &mut self,
        FindTarget { from, to }: FindTarget,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let entry = self.entry(&from)?;
        let own = (&from, entry.definition.number, entry.definition.policy.durability);
        let number = self.resolve(&to, own)?;
        let known = self.directory.get(number).ok_or(Refusal::QueueNotFound)?;
        let entry = self.by_number.get(&known.definition.topic).ok_or(Refusal::QueueNotFound)?;
        Ok((entry.clone(), Target::new(number, &known.definition.policy)))
    }
}
