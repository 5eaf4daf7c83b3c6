//! Looking for messages of a queue by what can be seen of them, with bounded work, and putting dead
//! letters back to work that way.

use super::*;
use crate::broker::redrives::{Progress, RedriveOf, Running, StartRedrive, StopRedrive};

/// Messages looked at between two times at which others may come in.
const STEP: usize = 256;
/// Dead letters put back to work between two such times.
const REDRIVE_STEP: usize = 1000;

/// What to look for.
#[derive(Debug, Clone)]
pub struct Search {
    /// In which queue (`None`: `default`).
    pub queue: Option<QueueName>,
    /// In which state.
    pub state: State,
    /// Behind which place, from [`Found::next`].
    pub after: Option<u128>,
    /// Which messages.
    pub sieve: Sieve,
    /// How many.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The messages.
    pub views: Vec<View>,
    /// Where to go on; `None`: that was all.
    pub next: Option<u128>,
    /// How many messages were looked at.
    pub scanned: usize,
}

/// What one request may still do: how many messages it looks at, with how many bytes, and how many
/// bytes it answers.
pub(super) struct Effort {
    scan: usize,
    bytes: usize,
    kept: usize,
}

impl Effort {
    /// All that `limits` allow.
    pub(super) fn new(limits: &Limits) -> Effort {
        Effort {
            scan: limits.list_scan_max,
            bytes: limits.list_scan_bytes_max,
            kept: limits.receive_bytes_max,
        }
    }

    /// Something was looked at.
    pub(super) fn look(&mut self, bytes: usize) {
        self.scan = self.scan.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn keep(&mut self, bytes: usize) {
        self.kept = self.kept.saturating_sub(bytes);
    }

    /// The answer is as long as it may be.
    pub(super) fn is_full(&self) -> bool {
        self.kept == 0
    }

    /// Nothing more may be looked at.
    pub(super) fn is_spent(&self) -> bool {
        self.scan == 0 || self.bytes == 0
    }
}

impl TopicHandle {
    /// Looks for messages until there are enough, everything was looked at, or as much as one request
    /// may look at (`limits.list_scan_max`, `limits.list_scan_bytes_max`). Ends when it is dropped.
    ///
    /// Errors: `NotAllowed`, also for who looks for something in payloads that are masked for it (the
    /// answer would tell what they are), `Refused(QueueNotFound, WrongKind)`, `Unavailable`.
    pub async fn search(&self, search: Search) -> Result<Found, BrokerError> {
        self.search_within(search, &mut Effort::new(&self.limits)).await
    }

    /// The same as a part of a request that looks into several queues.
    pub(super) async fn search_within(
        &self,
        search: Search,
        effort: &mut Effort,
    ) -> Result<Found, BrokerError> {
        let Search { queue, state, mut after, sieve, limit } = search;
        let (open, mut found) = (sieve.is_open(), Found::default());
        let looks_inside = sieve.looks_inside();
        loop {
            let scan = STEP.min(effort.scan);
            let max = if open { scan.min(limit - found.views.len()) } else { scan };
            let op = Op::List { queue: queue.clone(), state, after, max };
            let page = match self.ask(op).await? {
                Reply::Listed(page) => page,
                Reply::Failed(error) => return Err(error),
                _ => return Err(BrokerError::Unavailable),
            };
            if looks_inside && page.views.iter().any(|view| view.masked.is_some()) {
                return Err(BrokerError::NotAllowed("look into payloads"));
            }
            let last = page.views.len().saturating_sub(1);
            for (at, view) in page.views.into_iter().enumerate() {
                let (cursor, length) = (view.cursor, view.message.body().len());
                found.scanned += 1;
                effort.look(length);
                if sieve.takes(&view) {
                    effort.keep(length);
                    found.views.push(view);
                }
                let enough = found.views.len() >= limit || effort.is_full();
                if enough && at < last {
                    found.next = cursor;
                    return Ok(found);
                }
            }
            found.next = page.next;
            after = page.next;
            let enough = found.views.len() >= limit || effort.is_full();
            if after.is_none() || enough || effort.is_spent() {
                return Ok(found);
            }
            // A page that was in memory came without a pause.
            tokio::task::yield_now().await;
        }
    }

    /// Puts the oldest dead letters back to work, at most `max`, in steps.
    ///
    /// Errors: `NotAllowed`, `Refused(QueueNotFound, WrongKind)`, store errors; what went before stays.
    pub async fn redrive_oldest(
        &self,
        queue: &QueueName,
        max: u64,
        to: Option<&QueueName>,
    ) -> Result<u64, BrokerError> {
        self.need(Rights::WRITE)?;
        // Those that die meanwhile are not meant: it would have no end.
        let dead = self.dead_letters(queue).await?.min(max);
        let mut done = 0;
        while done < dead {
            let step = usize::try_from(dead - done).unwrap_or(REDRIVE_STEP).min(REDRIVE_STEP);
            match self.redrive(queue, Selection::Oldest(step), to).await? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Puts the dead letters that pass a sieve back to work, as far as one [`TopicHandle::search`]
    /// looks. `found.views` is empty.
    pub async fn redrive_found(
        &self,
        queue: &QueueName,
        search: Search,
        to: Option<&QueueName>,
    ) -> Result<(u64, Found), BrokerError> {
        self.need(Rights::WRITE)?;
        let mut found = self.search(search).await?;
        let views = std::mem::take(&mut found.views);
        let ids: Vec<MessageId> = views.into_iter().map(|view| view.message.id()).collect();
        let done = match ids.is_empty() {
            true => 0,
            false => self.redrive(queue, Selection::Ids(ids), to).await?,
        };
        Ok((done, found))
    }

    /// Puts these dead letters back to work.
    pub async fn redrive(
        &self,
        queue: &QueueName,
        selection: Selection,
        to: Option<&QueueName>,
    ) -> Result<u64, BrokerError> {
        let op = Op::Redrive { queue: Some(queue.clone()), selection, to: to.cloned() };
        self.counted(op).await
    }

    /// A dead letter as it is, whatever is masked, for who changes it without being shown it.
    ///
    /// Errors: `NotAllowed` unless the caller may also receive and publish; `Refused(QueueNotFound,
    /// MessageNotFound)`.
    pub async fn dead_letter(
        &self,
        queue: &QueueName,
        id: &MessageId,
    ) -> Result<Message, BrokerError> {
        self.need(Rights::READ | Rights::WRITE)?;
        let whole = TopicHandle { sees: true, ..self.clone() };
        let find = Op::Find { queue: Some(queue.clone()), id: id.clone() };
        match whole.ask(find).await? {
            Reply::Views(views) => views
                .into_iter()
                .find(|view| view.state == State::Dead)
                .map(|view| view.message)
                .ok_or(Refusal::MessageNotFound.into()),
            Reply::Failed(error) => Err(error),
            _ => Err(BrokerError::Unavailable),
        }
    }

    /// How many dead letters a queue has.
    pub async fn dead_letters(&self, queue: &QueueName) -> Result<u64, BrokerError> {
        match self.ask(Op::Counts { queue: Some(queue.clone()) }).await? {
            Reply::Figures(figures) => Ok(figures.counts.dead),
            Reply::Failed(error) => Err(error),
            _ => Err(BrokerError::Unavailable),
        }
    }
}

impl Broker {
    /// Begins to put dead letters of a queue back to work by itself, so many per second. It ends with
    /// the last one, by [`Broker::stop_redrive`], or with the process.
    ///
    /// Errors: `NotAllowed`, `TopicNotFound`, `Refused(QueueNotFound)`, `TooMany`: one runs for the
    /// queue, or `limits.redrives_max` run.
    pub async fn start_redrive(
        &self,
        caller: &Caller,
        topic: &TopicName,
        running: Running,
    ) -> Result<Progress, BrokerError> {
        let (handle, definition) = self.queue(caller, topic, &running.queue).await?;
        handle.need(Rights::WRITE)?;
        handle.need(Rights::READ)?;
        if let Some(to) = &running.to {
            self.queue(caller, handle.name(), to).await?;
        }
        let dead = handle.dead_letters(&running.queue).await?;
        let start = StartRedrive { number: definition.number, handle, dead, running };
        self.0.redrives.send(start).await.unwrap_or(Err(BrokerError::Stopping))
    }

    /// How far the last such redrive of a queue has come; `None`: there was none.
    pub async fn redrive_progress(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
    ) -> Result<Option<Progress>, BrokerError> {
        let (handle, definition) = self.queue(caller, topic, queue).await?;
        handle.need(Rights::LOOK)?;
        let asked = self.0.redrives.send(RedriveOf(definition.number)).await;
        asked.map_err(|_| BrokerError::Stopping)
    }

    /// Ends such a redrive; false when none was running.
    pub async fn stop_redrive(
        &self,
        caller: &Caller,
        topic: &TopicName,
        queue: &QueueName,
    ) -> Result<bool, BrokerError> {
        let (handle, definition) = self.queue(caller, topic, queue).await?;
        handle.need(Rights::WRITE)?;
        let asked = self.0.redrives.send(StopRedrive(definition.number)).await;
        asked.map_err(|_| BrokerError::Stopping)
    }
}
