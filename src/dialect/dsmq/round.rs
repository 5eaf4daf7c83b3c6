//! A round: the requests that one read held, done as few batches, and their replies.
//!
//! Puts and gets of one topic travel as one job in their order. Jobs for several topics are out at
//! the same time, but only one of them puts: so nobody ever sees a put of this connection before one
//! that was sent earlier. All of them are home before a reply is written, so a reply tells that the
//! earlier puts are in.

use super::objects::Framing;
use super::reply::Replies;
use super::request::{Content, Topic};
use super::socket::Socket;
use super::topics::{Maker, Places, Target};
use super::{Dsmq, Seat};
use crate::broker::{BrokerError, Home, Job, Op, Presence, Reply, Slot};
use crate::queue::{Message, NewMessage, Want};
use bytes::Bytes;
use std::{collections::VecDeque, io};
use tokio::sync::mpsc;

/// Requests of one round.
const REQUESTS_MAX: usize = 1024;
/// Requests for which a connection keeps room between rounds.
const KEPT_MAX: usize = 64;
/// Bytes of puts after which a round ends.
const PUT_BYTES_MAX: usize = 1 << 20;
/// Bytes one job may read before its replies are written.
const READ_BYTES_MAX: usize = 1 << 20;
/// Jobs that may be out; as many as their channel holds.
const JOBS_MAX: usize = 16;

/// One request, its topic looked up.
enum Ask {
    /// Puts a part of the bodies of a run, as text or as another JSON value.
    Put { place: usize, run: usize, from: usize, to: usize, json: bool },
    /// Shows messages of a topic.
    Get { place: usize, newest: bool, framing: Framing },
    /// A get that nothing can answer: its topic is equal to none.
    GetNothing { framing: Framing },
}

/// The ops for one topic and what has come back of them.
struct Batch {
    place: usize,
    /// Still to be done: the last ones of `answers`.
    slots: Vec<Slot>,
    answers: Vec<Answer>,
    /// It reads already: a second reading goes on where the one before ends.
    reads: bool,
}

/// What has come back of one op.
#[derive(Default)]
struct Answer {
    messages: VecDeque<Message>,
    /// Puts in it.
    puts: usize,
    /// Messages that are still wanted.
    wanted: usize,
    newest: bool,
    done: bool,
}

/// Where a reply comes from.
struct Due {
    framing: Framing,
    /// Which answer of which batch; `None`: there is nothing.
    from: Option<(usize, usize)>,
}

/// A job that has come home: its tag and its replies.
type Answered = (u64, Vec<Slot>);

/// The requests of one round, and what a connection knows from the rounds before.
pub struct Round {
    dsmq: Dsmq,
    maker: Maker,
    places: Places,
    /// The number behind which this connection began.
    start: u64,
    asks: Vec<Ask>,
    /// Bodies of the puts; those of one topic that follow each other lie together.
    runs: Vec<Vec<u8>>,
    run_place: Option<usize>,
    put_bytes: usize,
    batches: Vec<Batch>,
    dues: VecDeque<Due>,
    replies: Replies,
    home: (mpsc::Sender<Answered>, mpsc::Receiver<Answered>),
    /// A put has failed and the log says so.
    told: bool,
    presence: Presence,
}

/// More topics than a connection may have read.
pub struct TooManyTopics;

impl Round {
    /// For a connection that began behind the number `start`.
    pub fn new(dsmq: Dsmq, start: u64, presence: Presence) -> Self {
        let broker = dsmq.0.broker.clone();
        let maker = Maker::new(broker.clone(), broker.anonymous(), &dsmq.0.config);
        Round {
            dsmq,
            maker,
            places: Places::default(),
            start,
            asks: Vec::new(),
            runs: Vec::new(),
            run_place: None,
            put_bytes: 0,
            batches: Vec::new(),
            dues: VecDeque::new(),
            replies: Replies::default(),
            home: mpsc::channel(JOBS_MAX),
            told: false,
            presence,
        }
    }

    /// The connection begins now, before its first request.
    pub fn begin_now(&mut self) {
        self.start = self.dsmq.0.broker.last_number();
    }

    /// As many requests as one round takes.
    pub fn is_full(&self) -> bool {
        self.asks.len() >= REQUESTS_MAX || self.put_bytes >= PUT_BYTES_MAX
    }

    fn place(&mut self, name: &str) -> Result<Option<usize>, TooManyTopics> {
        let max = self.dsmq.0.config.topics_per_connection_max;
        if self.asks.is_empty() && !self.places.begin_round(max) {
            return Err(TooManyTopics);
        }
        // Every text has a name in the broker.
        Ok(self.places.find(name).ok())
    }

    /// Adds a put.
    pub fn put(&mut self, topic: Topic<'_>, content: &Content<'_>) -> Result<(), TooManyTopics> {
        // Nobody could ever get what is put to a topic that is equal to none.
        let Some(topic) = topic else { return Ok(()) };
        let Some(place) = self.place(&topic)? else { return Ok(()) };
        let (text, json) = match content {
            Content::Text(text) => (text.as_bytes(), false),
            Content::Json(value) => (value.as_bytes(), true),
        };
        if self.run_place != Some(place) {
            self.run_place = Some(place);
            self.runs.push(Vec::with_capacity(text.len()));
        }
        let run = self.runs.len() - 1;
        let Some(bodies) = self.runs.last_mut() else { return Ok(()) };
        let from = bodies.len();
        bodies.extend_from_slice(text);
        self.put_bytes += text.len();
        self.asks.push(Ask::Put { place, run, from, to: from + text.len(), json });
        Ok(())
    }

    /// Adds a get.
    pub fn get(
        &mut self,
        topic: Topic<'_>,
        newest: bool,
        framing: Framing,
    ) -> Result<(), TooManyTopics> {
        let place = match topic {
            Some(topic) => self.place(&topic)?,
            None => None,
        };
        self.asks.push(match place {
            Some(place) => Ask::Get { place, newest, framing },
            None => Ask::GetNothing { framing },
        });
        Ok(())
    }

    /// Does everything that was added and writes the replies; false when one of them cannot be
    /// expressed in its framing.
    pub async fn run(&mut self, socket: &mut Socket, seat: &Seat<Dsmq>) -> io::Result<bool> {
        if self.asks.is_empty() {
            socket.write().await?;
            return Ok(true);
        }
        if self.run_place.take().is_some() {
            // A reader that has connected before its client sees this put must be shown it.
            seat.admit_waiting(&self.dsmq);
        }
        let asks = std::mem::take(&mut self.asks);
        let puts = asks.iter().filter(|ask| matches!(ask, Ask::Put { .. })).count();
        self.presence.traffic.received(puts);
        let runs: Vec<Bytes> = self.runs.drain(..).map(whole).collect();
        self.put_bytes = 0;
        let mut done = 0;
        while let Some(rest) = asks.get(done..).filter(|rest| !rest.is_empty()) {
            done += self.gather(rest, &runs, seat).await;
            if !self.finish(socket, seat).await? {
                return Ok(false);
            }
        }
        // What a long round has grown is not kept for a connection that may be idle now.
        if asks.capacity() <= KEPT_MAX {
            self.asks = asks;
            self.asks.clear();
        }
        if self.dues.capacity() > KEPT_MAX {
            self.dues = VecDeque::new();
        }
        if self.runs.capacity() > KEPT_MAX {
            self.runs = Vec::new();
        }
        socket.write().await?;
        Ok(true)
    }

    /// Makes batches of the next requests; returns of how many.
    async fn gather(&mut self, asks: &[Ask], runs: &[Bytes], seat: &Seat<Dsmq>) -> usize {
        let batch_max = self.dsmq.0.broker.limits().batch_max;
        let mut puts_to = None;
        for (at, ask) in asks.iter().enumerate() {
            match *ask {
                Ask::GetNothing { framing } => self.dues.push_back(Due { framing, from: None }),
                Ask::Put { place, run, from, to, json } => {
                    if puts_to.is_some_and(|other| other != place) {
                        return at;
                    }
                    puts_to = Some(place);
                    if let Err(error) = self.places.resolve(place, &self.maker, true).await {
                        self.failed(1, &error, seat);
                        continue;
                    }
                    let Some(batch) = self.batch(place) else { return at };
                    let body = runs.get(run).map(|run| run.slice(from..to)).unwrap_or_default();
                    self.add_put(batch, body, json, batch_max);
                }
                Ask::Get { place, newest, framing } => {
                    if self.places.resolve(place, &self.maker, false).await.is_err() {
                        self.dues.push_back(Due { framing, from: None });
                        continue;
                    }
                    let Some(batch) = self.batch(place) else { return at };
                    let answer = self.add_get(batch, newest, batch_max);
                    self.dues.push_back(Due { framing, from: Some((batch, answer)) });
                }
            }
        }
        asks.len()
    }

    /// The batch of a topic; `None`: there are too many already.
    fn batch(&mut self, place: usize) -> Option<usize> {
        let known = self.batches.iter().position(|batch| batch.place == place);
        known.or_else(|| {
            let at = self.batches.len();
            (at < JOBS_MAX).then(|| {
                let (slots, answers) = (Vec::new(), Vec::new());
                self.batches.push(Batch { place, slots, answers, reads: false });
                at
            })
        })
    }

    fn add_put(&mut self, batch: usize, body: Bytes, json: bool, batch_max: usize) {
        let extra = json.then(|| self.dsmq.0.json.clone());
        let message = NewMessage { body: body.into(), extra };
        let Some(batch) = self.batches.get_mut(batch) else { return };
        let queue = self.places.target(batch.place).and_then(|target| target.queue.clone());
        if let (Some(Slot::Op(Op::Publish { messages, .. })), Some(answer)) =
            (batch.slots.last_mut(), batch.answers.last_mut())
            && messages.len() < batch_max
        {
            messages.push(message);
            answer.puts += 1;
            return;
        }
        batch.slots.push(Slot::Op(Op::Publish { to: queue, messages: vec![message] }));
        batch.answers.push(Answer { puts: 1, ..Answer::default() });
    }

    /// Returns which answer of the batch it is.
    fn add_get(&mut self, batch: usize, newest: bool, batch_max: usize) -> usize {
        let start = self.start;
        let Some(batch) = self.batches.get_mut(batch) else { return 0 };
        if let (Some(Slot::Op(Op::ReadAfter { want: Want::Oldest(max), .. })), Some(answer)) =
            (batch.slots.last_mut(), batch.answers.last_mut())
            && !newest
            && *max < batch_max
        {
            *max += 1;
            answer.wanted += 1;
            return batch.answers.len() - 1;
        }
        let queue = self.places.target(batch.place).and_then(|target| target.queue.clone());
        let position = self.places.get(batch.place).and_then(|place| place.position);
        let first = !std::mem::replace(&mut batch.reads, true);
        let after = first.then_some(position.unwrap_or(start));
        let want = if newest { Want::Newest } else { Want::Oldest(1) };
        let read = Op::ReadAfter { queue, after, want, bytes_max: READ_BYTES_MAX };
        batch.slots.push(Slot::Op(read));
        batch.answers.push(Answer { wanted: 1, newest, ..Answer::default() });
        batch.answers.len() - 1
    }

    /// Sends the batches, waits for them and adds the replies to what is to be written. What one
    /// job was too small for is sent again once the replies before it are written.
    async fn finish(&mut self, socket: &mut Socket, seat: &Seat<Dsmq>) -> io::Result<bool> {
        loop {
            let mut out = 0;
            for at in 0..self.batches.len() {
                out += usize::from(self.send(at, seat));
            }
            if out == 0 {
                break;
            }
            for _ in 0..out {
                // Jobs answer for themselves: none is lost.
                let Some((tag, slots)) = self.home.1.recv().await else { break };
                self.take_home(usize::try_from(tag).unwrap_or(usize::MAX), slots, seat);
            }
            if !self.write_due(socket).await? {
                return Ok(false);
            }
        }
        self.batches.clear();
        self.write_due(socket).await
    }

    /// Sends what is to be done of a batch; false: nothing is.
    fn send(&mut self, at: usize, seat: &Seat<Dsmq>) -> bool {
        let Some(batch) = self.batches.get_mut(at).filter(|batch| !batch.slots.is_empty()) else {
            return false;
        };
        let slots = std::mem::take(&mut batch.slots);
        let Some(Target { handle, .. }) = self.places.target(batch.place) else {
            let lost = slots.iter().map(|_| Slot::Reply(Reply::Failed(BrokerError::Unavailable)));
            let lost = lost.collect();
            self.take_home(at, lost, seat);
            return false;
        };
        handle.submit(Job::new(slots, Home::Channel(self.home.0.clone()), at as u64));
        true
    }

    fn take_home(&mut self, at: usize, slots: Vec<Slot>, seat: &Seat<Dsmq>) {
        let Some(batch) = self.batches.get_mut(at) else { return };
        let first = batch.answers.len().saturating_sub(slots.len());
        let mut failed: Option<(u64, BrokerError)> = None;
        let mut fail = |count: usize, error: BrokerError| {
            let so_far = failed.as_ref().map_or(0, |(so_far, _)| *so_far);
            failed = Some((so_far + count as u64, error));
        };
        let mut rest = Vec::new();
        for (answer, slot) in batch.answers.iter_mut().skip(first).zip(slots) {
            match slot {
                Slot::Op(op) => {
                    rest.push(Slot::Op(op));
                    continue;
                }
                Slot::Reply(Reply::Published(results)) => {
                    results.into_iter().filter_map(Result::err).for_each(|error| fail(1, error));
                }
                Slot::Reply(Reply::Passed { messages, position, cut }) => {
                    answer.wanted = answer.wanted.saturating_sub(messages.len());
                    self.presence.traffic.sent(messages.len());
                    if !messages.is_empty()
                        && let Some(place) = self.places.get(batch.place)
                    {
                        place.position = Some(position);
                    }
                    if answer.messages.is_empty() {
                        answer.messages = messages.into();
                    } else {
                        answer.messages.extend(messages);
                    }
                    if cut {
                        let target = self.places.target(batch.place);
                        let queue = target.and_then(|target| target.queue.clone());
                        let want =
                            if answer.newest { Want::Newest } else { Want::Oldest(answer.wanted) };
                        let (after, bytes_max) = (Some(position), READ_BYTES_MAX);
                        rest.push(Slot::Op(Op::ReadAfter { queue, after, want, bytes_max }));
                        continue;
                    }
                }
                Slot::Reply(Reply::Failed(error)) if answer.puts > 0 => fail(answer.puts, error),
                // A get has no reply that tells of an error: there is nothing.
                Slot::Reply(_) => (),
            }
            answer.done = true;
        }
        batch.slots = rest;
        if let Some((count, error)) = failed {
            self.failed(count, &error, seat);
        }
    }

    /// A put has no reply that could tell.
    fn failed(&mut self, puts: u64, error: &BrokerError, seat: &Seat<Dsmq>) {
        self.dsmq.0.broker.count_unreported("dsmq", puts);
        if !std::mem::replace(&mut self.told, true) {
            log::warn!(
                "dsmq: session {}, {}: a put failed, which no reply can tell: {error} (further ones \
                 of this connection are only counted)",
                seat.id,
                seat.peer
            );
        }
    }

    /// Writes the replies that are known, in the order of the requests.
    async fn write_due(&mut self, socket: &mut Socket) -> io::Result<bool> {
        let bytes_max = self.dsmq.0.config.message_bytes_max;
        while let Some(Due { framing, from }) = self.dues.front() {
            let answer = from.and_then(|(batch, answer)| {
                self.batches.get_mut(batch).and_then(|batch| batch.answers.get_mut(answer))
            });
            let message = match answer {
                None => None,
                Some(answer) => match answer.messages.pop_front() {
                    None if !answer.done => break,
                    found => found,
                },
            };
            if !self.replies.write(&mut socket.out, *framing, message.as_ref(), bytes_max) {
                return Ok(false);
            }
            self.dues.pop_front();
            socket.write_some().await?;
        }
        Ok(true)
    }
}

/// The bodies of a run, without the room that growing left behind.
fn whole(mut bodies: Vec<u8>) -> Bytes {
    if bodies.capacity() > bodies.len() + bodies.len() / 4 {
        bodies.shrink_to_fit();
    }
    bodies.into()
}
