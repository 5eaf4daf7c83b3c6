//! Random verbs on two topics against the naive reference, compared in everything that is visible
//! after every step; and topics restored from the records against the living ones.

use super::naive::{Naive, NaiveQueue, Place};
use super::store::Store;
use super::{queue, topic};
use crate::queue::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Queues 1 to 3 begin in topic 1, queue 4 in topic 2.
const QUEUES: u32 = 4;

#[derive(Debug, Clone)]
enum Op {
    Publish { to: Option<u32>, message: Draft },
    PublishCopies { message: Draft },
    Receive { queue: u32, request: Receive },
    Ack { nth: usize },
    AckById { nth: usize },
    AckByOrigin { nth: usize, queue: Option<u32> },
    NackByOrigin { nth: usize, queue: Option<u32>, nack: Nack },
    Limit { queue: u32, max_deliveries: u32 },
    AckAnywhere { queue: u32, nth: usize, as_text: bool },
    Nack { nth: usize, nack: Nack },
    NackAnywhere { queue: u32, nth: usize, nack: Nack },
    Extend { nth: usize, span: u64 },
    Delete { queue: u32, nth: usize },
    Purge { queue: u32 },
    Clear { queue: u32 },
    Redrive { queue: u32, oldest: Option<usize>, nth: usize, to: Option<u32> },
    Transfer { queue: u32, oldest: Option<usize>, nth: usize, to: u32 },
    PauseIn { queue: Option<u32>, is: bool },
    PauseOut { queue: u32, is: bool },
    Carry { queue: u32 },
    Drop { queue: u32 },
    Warm { queue: u32 },
    Unpublish { back: u64 },
    Step { ms: u64 },
    Advance { budget: usize },
    Restart,
    Through { door: Option<Door> },
    Delay { queue: u32, nth: usize, ms: u64 },
}

#[derive(Debug, Clone)]
struct Draft {
    bytes: usize,
    /// The publisher's own id comes before the body, not with what else it said.
    id_before: bool,
    keep_body: bool,
    extra: Option<DraftExtra>,
}

#[derive(Debug, Clone, Default)]
struct DraftExtra {
    priority: u8,
    front: bool,
    delay: Option<u64>,
    life: Option<u64>,
    attribute: Option<u8>,
    key: Option<u8>,
    client: Option<u8>,
    ordering: Option<u8>,
    past: Option<DraftPast>,
}

/// A message that was somewhere else before: in one queue, or in a second one as well.
#[derive(Debug, Clone)]
struct DraftPast {
    age: u64,
    kept: Option<u64>,
    places: Vec<(u32, u32, Option<u64>, bool)>,
}

/// What the two topics are like.
#[derive(Debug, Clone)]
struct Setup {
    topic: TopicPolicy,
    queues: Vec<QueuePolicy>,
    targets: Vec<Option<u32>>,
}

fn mostly<T: Clone + std::fmt::Debug + 'static>(
    usual: T,
    other: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<T> {
    prop_oneof![3 => Just(usual), 1 => other].boxed()
}

fn queue_policy() -> impl Strategy<Value = QueuePolicy> {
    let limits = (mostly(0, 1u64..6), mostly(0, 10u64..60), any::<bool>(), mostly(0, 1u64..3));
    let times = (
        1u64..60,
        mostly(0, 1u64..50),
        mostly(0, 20u64..200),
        prop::collection::vec(0u64..30, 0..3),
    );
    let filter = mostly(None, (0u8..2).prop_map(Some));
    let returns = prop_oneof![Just(Returns::Place), Just(Returns::Front), Just(Returns::Back)];
    let rest = (0u32..4, any::<bool>(), returns);
    (limits, times, filter, rest).prop_map(|(limits, times, filter, rest)| {
        let (max_deliveries, limit_needs_target, returns) = rest;
        QueuePolicy {
            limit_needs_target,
            ack_deadline_ms: times.0,
            max_deliveries,
            backoff_ms: times.3,
            returns,
            dead_max: limits.3,
            retention_ms: times.2,
            messages_max: limits.0,
            bytes_max: limits.1,
            overflow: if limits.2 { Overflow::DropOldest } else { Overflow::Refuse },
            delay_ms: times.1,
            filter: filter
                .map(|value| Filter(BTreeMap::from([("a".to_owned(), vec![value.to_string()])]))),
            ..QueuePolicy::default()
        }
    })
}

fn setup() -> impl Strategy<Value = Setup> {
    let topic = (
        mostly(0, 2u64..9),
        mostly(0, 20u64..120),
        any::<bool>(),
        mostly(0, 5u64..100),
        0u64..80,
        0usize..4,
    );
    let topic = topic.prop_map(|(capacity, bytes_max, drops, ttl_ms, window, keys)| TopicPolicy {
        capacity,
        bytes_max,
        overflow: if drops { Overflow::DropOldest } else { Overflow::Refuse },
        ttl_ms,
        dedup_window_ms: window,
        dedup_keys_max: keys,
        ..TopicPolicy::default()
    });
    let targets = prop::collection::vec(
        prop_oneof![Just(None), (1..=QUEUES).prop_map(Some)],
        QUEUES as usize,
    );
    let queues = prop::collection::vec(queue_policy(), QUEUES as usize);
    (topic, queues, targets).prop_map(|(topic, queues, targets)| Setup { topic, queues, targets })
}

fn past() -> impl Strategy<Value = DraftPast> {
    let wait = mostly(None, (0u64..60).prop_map(Some));
    let place = (1..=QUEUES, 0u32..4, wait, prop::bool::weighted(0.3));
    let kept = mostly(None, (0u64..90).prop_map(Some));
    (0u64..100, kept, prop::collection::vec(place, 0..3))
        .prop_map(|(age, kept, places)| DraftPast { age, kept, places })
}

fn draft() -> impl Strategy<Value = Draft> {
    let extra = (
        mostly(0, 1u8..3),
        prop::bool::weighted(0.2),
        mostly(None, (0u64..60).prop_map(Some)),
        mostly(None, (0u64..80).prop_map(Some)),
        mostly(None, (0u8..2).prop_map(Some)),
        mostly(None, (0u8..3).prop_map(Some)),
        mostly(None, (0u8..4).prop_map(Some)),
        prop::option::weighted(0.4, 0u8..3),
        prop::option::weighted(0.15, past()),
    );
    let extra = extra.prop_map(|extra| {
        let (priority, front, delay, life, attribute, key, client, ordering, past) = extra;
        DraftExtra { priority, front, delay, life, attribute, key, client, ordering, past }
    });
    let only_id = (0u8..4).prop_map(|n| DraftExtra { client: Some(n), ..DraftExtra::default() });
    let extra =
        prop_oneof![3 => Just(None), 2 => only_id.prop_map(Some), 6 => extra.prop_map(Some)];
    (0usize..20, extra, any::<bool>(), prop::bool::weighted(0.8)).prop_map(
        |(bytes, extra, id_before, keep_body)| Draft { bytes, id_before, keep_body, extra },
    )
}

fn nack() -> impl Strategy<Value = Nack> {
    let delay = || mostly(None, (0u64..40).prop_map(|ms| Some(Duration::from_millis(ms))));
    let error = || prop::option::of(Just("it broke".to_owned()));
    prop_oneof![
        delay().prop_map(|delay| Nack::Release { delay }),
        (delay(), error()).prop_map(|(delay, error)| Nack::Fail { delay, error }),
        error().prop_map(|error| Nack::Dead { error }),
        Just(Nack::Unread),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let queue = || 1..=QUEUES;
    let request = (
        0usize..4,
        0usize..40,
        mostly(None, (1u64..60).prop_map(Some)),
        prop::bool::weighted(0.3),
        prop::bool::weighted(0.3),
    );
    let request = request.prop_map(|(max, bytes_max, deadline, take, from_back)| Receive {
        max,
        bytes_max,
        ack_deadline: deadline.map(Duration::from_millis),
        take,
        from_back,
    });
    let oldest = || prop::option::of(0usize..4);
    prop_oneof![
        30 => (mostly(None, queue().prop_map(Some)), draft()).prop_map(|(to, message)| Op::Publish { to, message }),
        8 => draft().prop_map(|message| Op::PublishCopies { message }),
        25 => (queue(), request).prop_map(|(queue, request)| Op::Receive { queue, request }),
        8 => (0usize..8).prop_map(|nth| Op::Ack { nth }),
        3 => (0usize..8).prop_map(|nth| Op::AckById { nth }),
        3 => (0usize..8, prop::option::of(queue())).prop_map(|(nth, queue)| Op::AckByOrigin { nth, queue }),
        4 => (0usize..8, prop::option::of(queue()), nack())
            .prop_map(|(nth, queue, nack)| Op::NackByOrigin { nth, queue, nack }),
        2 => (queue(), 0u32..4).prop_map(|(queue, max_deliveries)| Op::Limit { queue, max_deliveries }),
        4 => (queue(), 0usize..8, any::<bool>())
            .prop_map(|(queue, nth, as_text)| Op::AckAnywhere { queue, nth, as_text }),
        2 => queue().prop_map(|queue| Op::Warm { queue }),
        3 => (queue(), 0usize..8, nack())
            .prop_map(|(queue, nth, nack)| Op::NackAnywhere { queue, nth, nack }),
        12 => (0usize..8, nack()).prop_map(|(nth, nack)| Op::Nack { nth, nack }),
        4 => (0usize..8, 0u64..80).prop_map(|(nth, span)| Op::Extend { nth, span }),
        3 => (queue(), 0usize..8).prop_map(|(queue, nth)| Op::Delete { queue, nth }),
        3 => queue().prop_map(|queue| Op::Purge { queue }),
        2 => queue().prop_map(|queue| Op::Clear { queue }),
        6 => (queue(), oldest(), 0usize..8, prop::option::of(queue()))
            .prop_map(|(queue, oldest, nth, to)| Op::Redrive { queue, oldest, nth, to }),
        5 => (queue(), oldest(), 0usize..8, queue())
            .prop_map(|(queue, oldest, nth, to)| Op::Transfer { queue, oldest, nth, to }),
        1 => (prop::option::of(queue()), any::<bool>()).prop_map(|(queue, is)| Op::PauseIn { queue, is }),
        1 => (queue(), any::<bool>()).prop_map(|(queue, is)| Op::PauseOut { queue, is }),
        3 => queue().prop_map(|queue| Op::Carry { queue }),
        1 => queue().prop_map(|queue| Op::Drop { queue }),
        1 => (0u64..4).prop_map(|back| Op::Unpublish { back }),
        15 => (0u64..40).prop_map(|ms| Op::Step { ms }),
        1 => (900u64..1100).prop_map(|ms| Op::Step { ms }),
        10 => prop_oneof![Just(1usize), Just(2), Just(1000)].prop_map(|budget| Op::Advance { budget }),
        3 => Just(Op::Restart),
        4 => (queue(), 0usize..8, mostly(0, 0u64..60))
            .prop_map(|(queue, nth, ms)| Op::Delay { queue, nth, ms }),
        5 => prop::option::of(prop::sample::select(Door::ALL.as_slice()))
            .prop_map(|door| Op::Through { door }),
    ]
}

struct World {
    now: Timestamp,
    topics: [Topic; 2],
    naive: [Naive; 2],
    ledger: Ledger,
    store: Store,
    next: u64,
    /// Receipts with the deliveries they are of, oldest first.
    given: Vec<(Receipt, u64, MessageId)>,
    ids: Vec<MessageId>,
    /// Of published messages, with the salt, oldest first.
    origins: Vec<Origin>,
    /// Topic and sequence number of those whose bodies were left to the store.
    cold: BTreeSet<(u32, u64)>,
    queues_made: u32,
    setup: Setup,
}

impl World {
    fn new(setup: Setup) -> World {
        let definitions = [1, 2].map(|number| topic(number, Kind::Broker, setup.topic.clone()));
        let counter = Rc::new(Cell::new(0));
        let mut world = World {
            now: Timestamp(1_000),
            topics: definitions.each_ref().map(|definition| Topic::new(definition, 77)),
            naive: definitions.each_ref().map(|definition| Naive::new(definition, counter.clone())),
            ledger: Ledger::on(1, u64::MAX - 1),
            store: Store::default(),
            next: 1,
            given: Vec::new(),
            ids: Vec::new(),
            origins: Vec::new(),
            cold: BTreeSet::new(),
            queues_made: 0,
            setup: setup.clone(),
        };
        for naive in &mut world.naive {
            let policies = (1..).zip(&setup.queues);
            naive.targets = policies.map(|(queue, policy)| Target::new(queue, policy)).collect();
        }
        for queue in 1..=QUEUES {
            world.add_queue(usize::from(queue == QUEUES), queue);
        }
        for (queue, target) in (1..=QUEUES).zip(&setup.targets) {
            let of = world.topic_of(queue);
            let known = target.map(|target| world.naive[of].targets[target as usize - 1]);
            world.topics[of].set_dead_letter_target(queue, known).unwrap();
            let back_to_work = setup.queues[queue as usize - 1].limit_needs_target;
            world.naive[of].queue(queue).unwrap().target =
                target.filter(|target| *target != queue || back_to_work);
        }
        world
    }

    fn add_queue(&mut self, to: usize, number: u32) {
        self.queues_made += 1;
        let policy = self.setup.queues[number as usize - 1].clone();
        let definition = queue(number, to as u32 + 1, policy);
        self.topics[to].add_queue(definition.clone()).unwrap();
        self.naive[to].queues.push(NaiveQueue::new(definition));
    }

    /// Which of the two topics has a queue.
    fn topic_of(&self, queue: u32) -> usize {
        usize::from(self.topics[1].queues().any(|known| known.number == queue))
    }

    fn arrive(&mut self, of: usize, left: Vec<Place>) {
        let leaving = self.topics[of].take_leaving();
        assert_eq!(leaving.len(), left.len());
        for (leaving, mut place) in leaving.into_iter().zip(left) {
            assert_eq!((leaving.to_queue, leaving.to_entry), (place.queue, place.number));
            assert_eq!(
                (leaving.message.number, &leaving.message.id()),
                (place.text.number, &place.text.id)
            );
            assert_eq!(leaving.message.lone, place.text.lone);
            if place.state == State::Ready {
                place.due = self.now;
            }
            self.topics[1 - of].adopt(self.now, Box::new(leaving), &mut self.ledger).unwrap();
            self.naive[1 - of].adopt(self.now, place);
        }
    }

    /// The topic of a queue, an id that was given lately, and its place there. None when copies came
    /// together: which one is meant is open.
    fn somewhere(&self, queue: u32, nth: usize) -> Option<(usize, MessageId, Option<Place>)> {
        let id = self.ids.iter().rev().nth(nth).cloned()?;
        let of = self.topic_of(queue);
        let places = self.naive[of].by_id(queue, &id);
        (places.len() < 2).then(|| (of, id, places.into_iter().next()))
    }

    /// A delivery among the latest, used up or not.
    fn recent(&self, nth: usize) -> Option<(Receipt, u64, MessageId)> {
        self.given.iter().rev().nth(nth).cloned()
    }

    fn run(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Publish { to, message } => self.publish(*to, message),
            Op::PublishCopies { message } => self.publish_copies(message),
            Op::AckByOrigin { nth, queue } => {
                let Some((of, place, reference)) = self.by_origin(*nth, *queue) else { return };
                let found = self.topics[of].ack(now, &reference, &mut self.ledger);
                match place {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].ack(&place);
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::NackByOrigin { nth, queue, nack } => {
                let Some((of, place, reference)) = self.by_origin(*nth, *queue) else { return };
                let found = self.topics[of].nack(now, &reference, nack, &mut self.ledger);
                match place {
                    Some(place) if place.state == State::InFlight && place.due > now => {
                        assert_eq!(found, Ok(()));
                        let left = self.naive[of].nack(now, &place, nack, &mut self.next);
                        self.arrive(of, left);
                    }
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        let delay = match nack {
                            Nack::Release { delay } | Nack::Fail { delay, .. } => Some(delay),
                            Nack::Dead { .. } | Nack::Unread => None,
                        };
                        if let (State::Delayed, Some(delay)) = (place.state, delay) {
                            let until = now.after(delay.unwrap_or_default());
                            self.naive[of].renew(now, &place, until);
                        }
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::Limit { queue, max_deliveries } => {
                let of = self.topic_of(*queue);
                self.set(*queue, |policy| policy.max_deliveries = *max_deliveries);
                let count = self.topics[of].exhausted(*queue).unwrap();
                let before = self.naive[of].totals_of(*queue).died;
                self.topics[of].expel(now, *queue, &mut self.ledger).unwrap();
                let left = self.naive[of].expel(now, *queue, &mut self.next);
                assert_eq!(self.naive[of].totals_of(*queue).died, before + count as u64);
                self.arrive(of, left);
            }
            Op::Receive { queue, request } => self.receive(*queue, request),
            Op::Ack { nth } => {
                let Some((receipt, delivery, _)) = self.recent(*nth) else { return };
                let of = self.topic_of(receipt.queue);
                let found =
                    self.topics[of].ack(now, &Reference::Receipt(receipt), &mut self.ledger);
                match self.naive[of].delivered(now, delivery) {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].ack(&place);
                    }
                    None => assert_eq!(found, Err(Refusal::ReceiptGone)),
                }
            }
            Op::AckById { nth } => {
                let Some((receipt, _, id)) = self.recent(*nth) else { return };
                let (queue, of) = (receipt.queue, self.topic_of(receipt.queue));
                let lent = self.naive[of].by_id(queue, &id);
                let lent: Vec<Place> = lent
                    .into_iter()
                    .filter(|p| p.state == State::InFlight && p.due > now)
                    .collect();
                if lent.len() > 1 {
                    // Copies came together: which one is meant is open.
                    return;
                }
                let found =
                    self.topics[of].ack(now, &Reference::Id { queue, id }, &mut self.ledger);
                match lent.first() {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].ack(place);
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::Nack { nth, nack } => {
                let Some((receipt, delivery, _)) = self.recent(*nth) else { return };
                let of = self.topic_of(receipt.queue);
                let found =
                    self.topics[of].nack(now, &Reference::Receipt(receipt), nack, &mut self.ledger);
                match self.naive[of].delivered(now, delivery) {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        let left = self.naive[of].nack(now, &place, nack, &mut self.next);
                        self.arrive(of, left);
                    }
                    None => assert_eq!(found, Err(Refusal::ReceiptGone)),
                }
            }
            Op::Extend { nth, span } => {
                let Some((receipt, delivery, _)) = self.recent(*nth) else { return };
                let (of, span) = (self.topic_of(receipt.queue), Duration::from_millis(*span));
                let found = self.topics[of].extend(now, &Reference::Receipt(receipt), span);
                let expected = match self.naive[of].delivered(now, delivery) {
                    Some(place) => Ok(self.naive[of].extend(now, &place, span)),
                    None => Err(Refusal::ReceiptGone),
                };
                assert_eq!(found, expected);
            }
            Op::Delete { queue, nth } => {
                let Some(id) = self.ids.iter().rev().nth(*nth).cloned() else { return };
                let of = self.topic_of(*queue);
                let places = self.naive[of].by_id(*queue, &id);
                if places.len() > 1 {
                    return;
                }
                let found = self.topics[of].delete(*queue, &id, &mut self.ledger);
                match places.first() {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].delete(place);
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::AckAnywhere { queue, nth, as_text } => {
                let Some((of, id, place)) = self.somewhere(*queue, *nth) else { return };
                let found = if *as_text {
                    let text = id.to_string();
                    self.topics[of].ack_id(now, *queue, text.as_bytes(), &mut self.ledger)
                } else {
                    let anywhere = Reference::Anywhere { queue: *queue, id };
                    self.topics[of].ack(now, &anywhere, &mut self.ledger)
                };
                match place {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].ack(&place);
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::NackAnywhere { queue, nth, nack } => {
                let Some((of, id, place)) = self.somewhere(*queue, *nth) else { return };
                let anywhere = Reference::Anywhere { queue: *queue, id };
                let found = self.topics[of].nack(now, &anywhere, nack, &mut self.ledger);
                let delay = match nack {
                    Nack::Release { delay } | Nack::Fail { delay, .. } => {
                        Some(delay.unwrap_or_default())
                    }
                    Nack::Dead { .. } | Nack::Unread => None,
                };
                match (place, delay) {
                    (Some(place), _) if place.state == State::InFlight && place.due > now => {
                        assert_eq!(found, Ok(()));
                        let left = self.naive[of].nack(now, &place, nack, &mut self.next);
                        self.arrive(of, left);
                    }
                    (Some(place), Some(delay)) if place.state == State::Delayed => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].renew(now, &place, now.after(delay));
                    }
                    _ => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::Delay { queue, nth, ms } => {
                let Some((of, id, place)) = self.somewhere(*queue, *nth) else { return };
                let delay = Duration::from_millis(*ms);
                let found = self.topics[of].delay(now, *queue, &id, delay, &mut self.ledger);
                match place.filter(|p| matches!(p.state, State::Ready | State::Delayed)) {
                    Some(place) => {
                        assert_eq!(found, Ok(()));
                        self.naive[of].delay(now, &place, now.after(delay));
                    }
                    None => assert_eq!(found, Err(Refusal::MessageNotFound)),
                }
            }
            Op::Clear { queue } => {
                let of = self.topic_of(*queue);
                let gone = self.topics[of].clear(*queue, &mut self.ledger);
                assert_eq!(gone, Ok(self.naive[of].clear(*queue)));
            }
            Op::Purge { queue } => {
                let of = self.topic_of(*queue);
                let gone = self.topics[of].purge(*queue, &mut self.ledger);
                assert_eq!(gone, Ok(self.naive[of].purge(*queue)));
            }
            Op::Redrive { queue, oldest, nth, to } => {
                let of = self.topic_of(*queue);
                let (selection, chosen) = self.select(of, *queue, State::Dead, *oldest, *nth);
                let Some(selection) = selection else { return };
                let target = to.map(|to| self.naive[of].targets[to as usize - 1]);
                let moved =
                    self.topics[of].redrive(now, *queue, &selection, target, &mut self.ledger);
                assert_eq!(moved, Ok(chosen.len() as u64));
                self.move_all(of, &chosen, to.unwrap_or(*queue));
            }
            Op::Transfer { queue, oldest, nth, to } => {
                let of = self.topic_of(*queue);
                let (selection, chosen) = self.select(of, *queue, State::Ready, *oldest, *nth);
                let Some(selection) = selection else { return };
                let target = self.naive[of].targets[*to as usize - 1];
                let moved =
                    self.topics[of].transfer(now, *queue, &selection, target, &mut self.ledger);
                assert_eq!(moved, Ok(chosen.len() as u64));
                self.move_all(of, &chosen, *to);
            }
            Op::PauseIn { queue: None, is } => {
                self.naive[0].policy.paused_in = *is;
                self.topics[0].set_policy(self.naive[0].policy.clone());
            }
            Op::PauseIn { queue: Some(queue), is } => {
                self.set(*queue, |policy| policy.paused_in = *is)
            }
            Op::PauseOut { queue, is } => self.set(*queue, |policy| policy.paused_out = *is),
            Op::Carry { queue } => {
                let of = self.topic_of(*queue);
                self.advance(of, usize::MAX);
                let mut detached = self.topics[of].detach(now, *queue, &mut self.ledger).unwrap();
                detached.definition.topic = 2 - of as u32;
                self.topics[1 - of].attach(now, Box::new(detached)).unwrap();
                let (mut definition, places) = self.naive[of].detach(*queue, &mut self.next);
                definition.definition.topic = 2 - of as u32;
                self.naive[1 - of].attach(now, definition, places);
            }
            Op::Drop { queue } => {
                let of = self.topic_of(*queue);
                let definition = self.topics[of].drop_queue(*queue).unwrap();
                assert_eq!(definition.number, *queue);
                self.ledger.note(|| Record::QueueDropped { queue: *queue });
                self.flush();
                self.naive[of].drop_queue(*queue);
                self.add_queue(of, *queue);
            }
            Op::Warm { queue } => {
                let of = self.topic_of(*queue);
                self.flush();
                let cold = self.topics[of].cold_ahead(*queue, 3).into_iter();
                let bodies = cold.map(|number| (number, self.store.body(number).unwrap()));
                self.topics[of].warm(bodies.collect());
            }
            Op::Unpublish { back } => {
                // Only what is as it was published: the engine takes it back before anybody saw it.
                let seq = self.naive[0].last_seq.saturating_sub(*back);
                let whole = |p: &Place| {
                    p.failures.is_empty() && p.letter.is_none() && p.state != State::InFlight
                };
                let own = |p: &Place| p.text.seq == seq && p.text.topic == 1;
                let all = self.naive.iter().flat_map(|naive| &naive.places);
                if all.filter(|p| own(p)).any(|p| p.moved || !whole(p)) {
                    return;
                }
                self.topics[0].unpublish(&[seq]);
                self.naive[0].unpublish(seq);
                self.flush();
                self.store.refuse(1, seq);
            }
            Op::Through { door } => {
                self.topics.iter_mut().for_each(|topic| topic.through(*door));
                self.naive.iter_mut().for_each(|naive| naive.door = *door);
            }
            Op::Step { ms } => self.now = self.now.after(Duration::from_millis(*ms)),
            Op::Advance { budget } => {
                self.advance(0, *budget);
                self.advance(1, *budget);
            }
            Op::Restart => {
                // Dead letters go from one to the other.
                for of in [0, 1, 0, 1] {
                    self.advance(of, usize::MAX);
                }
                self.flush();
                self.compare_restored(true);
                self.compare_restored(false);
            }
        }
    }

    fn set(&mut self, queue: u32, change: impl FnOnce(&mut QueuePolicy)) {
        let of = self.topic_of(queue);
        let policy = &mut self.naive[of].queue(queue).unwrap().definition.policy;
        change(policy);
        self.topics[of].set_queue_policy(queue, policy.clone()).unwrap();
    }

    /// The topic that has what was published the `nth` last, or else the first one, with its place
    /// and its reference. None: copies came together, and which one is meant is open.
    fn by_origin(
        &self,
        nth: usize,
        queue: Option<u32>,
    ) -> Option<(usize, Option<Place>, Reference)> {
        let origin = self.origins.iter().rev().nth(nth).copied()?;
        let reference = Reference::Origin { queue, origin };
        let of = queue.map_or(0, |queue| self.topic_of(queue));
        let places = self.naive[of].by_origin(queue, origin, origin.salt);
        match places.as_slice() {
            [] => Some((of, None, reference)),
            [place] => Some((of, Some(place.clone()), reference)),
            _ => None,
        }
    }

    fn publish_copies(&mut self, draft: &Draft) {
        let message = self.message(draft);
        let extra = message.extra.map(|extra| {
            Arc::new(Extra { client_id: None, dedup_key: None, ..Extra::clone(&extra) })
        });
        let message = NewMessage { body: message.body.into_body().into(), extra };
        let keep_body = draft.keep_body;
        let copies = self.topics[0].publish_copies(self.now, &message, keep_body, &mut self.ledger);
        let expected = self.naive[0].publish_copies(self.now, &message, &mut self.next);
        assert_eq!(copies, expected);
        self.origins.extend(copies.iter().flatten().map(|copy| copy.origin));
        if !keep_body {
            self.cold.extend(copies.iter().flatten().map(|copy| (1, copy.origin.seq)));
        }
    }

    fn message(&self, draft: &Draft) -> NewMessage {
        let now = self.now;
        let extra = draft.extra.as_ref().map(|extra| {
            let text = |prefix: &str, n: u8| Bytes::from(format!("{prefix}{n}"));
            let after = |ms: u64| now.after(Duration::from_millis(ms));
            Extra {
                client_id: extra.client.map(|n| text("client", n)),
                attributes: extra.attribute.map(|value| format!(r#"{{"a":"{value}"}}"#).into()),
                deliver_at: extra.delay.map(after),
                expires_at: extra.life.map(after),
                dedup_key: extra.key.map(|n| text("key", n)),
                ordering_key: extra.ordering.map(|n| text("ordering", n)),
                priority: extra.priority,
                front: extra.front,
                ..Extra::default()
            }
        });
        let body = vec![b'x'; draft.bytes];
        let Some(mut extra) = extra else { return NewMessage::plain(body) };
        let body = match extra.client_id.take_if(|_| draft.id_before) {
            Some(id) => Content::with_id(&id, &body),
            None => body.into(),
        };
        // Without options it goes the short way.
        let extra = (extra != Extra::default()).then(|| Arc::new(extra));
        NewMessage { body, extra }
    }

    fn publish(&mut self, to: Option<u32>, draft: &Draft) {
        let past = draft.extra.as_ref().and_then(|extra| extra.past.as_ref());
        let first = past.and_then(|past| past.places.first());
        let (of, to) = match first {
            Some((queue, ..)) => (self.topic_of(*queue), None),
            None => (to.map_or(0, |to| self.topic_of(to)), to),
        };
        let (now, mut message) = (self.now, self.message(draft));
        if let Some(past) = past {
            let past = Some(Box::new(self.past(of, past)));
            let extra = message.extra.as_deref().cloned().unwrap_or_default();
            message.extra = Some(Arc::new(Extra { past, ..extra }));
        }
        let (keep_body, ledger) = (draft.keep_body, &mut self.ledger);
        let placed = self.topics[of].publish(now, to, message.clone(), keep_body, ledger);
        let expected = self.naive[of].publish(now, to, &message, &mut self.next);
        assert_eq!(placed, expected);
        if let Ok(placed) = placed {
            let salt = self.naive[of].salt;
            self.origins.push(Origin { salt, seq: placed.seq });
            let own = || MessageId::Client(Bytes::copy_from_slice(message.own_id().unwrap()));
            self.ids.push(placed.id.unwrap_or_else(own));
            if !keep_body && !placed.duplicate {
                self.cold.insert((of as u32 + 1, placed.seq));
            }
        }
    }

    /// The places of a draft that are in queues of one topic, each queue once.
    fn past(&self, of: usize, draft: &DraftPast) -> Past {
        let mut places: Vec<PastPlace> = Vec::new();
        for (number, attempts, wait, dead) in &draft.places {
            let mut queues = self.topics[of].queues();
            let Some(queue) = queues.find(|queue| queue.number == *number) else { continue };
            if places.iter().any(|place| place.queue == queue.name) {
                continue;
            }
            let letter = DeadLetter {
                at: self.now,
                reason: DeadReason::Nacked,
                attempts: *attempts,
                failures: Vec::new(),
                revived: false,
                revived_at: None,
                revived_by: None,
            };
            places.push(PastPlace {
                queue: queue.name.clone(),
                attempts: *attempts,
                visible_at: wait.map(|ms| self.now.after(Duration::from_millis(ms))),
                dead: dead.then_some(letter),
            });
        }
        let published_at = Some(Timestamp(self.now.0 - draft.age as i64));
        let kept_until = draft.kept.map(|ms| self.now.after(Duration::from_millis(ms)));
        Past { published_at, kept_until, places }
    }

    fn receive(&mut self, queue: u32, request: &Receive) {
        let (of, now) = (self.topic_of(queue), self.now);
        let mut out = Vec::new();
        self.topics[of].receive(now, queue, request, &mut out, &mut self.ledger).unwrap();
        let expected = self.naive[of].receive(now, queue, request);
        assert_eq!(out.len(), expected.len(), "handed out");
        for (delivery, place) in out.iter().zip(expected) {
            assert_eq!(delivery.message.id(), place.text.id);
            assert_eq!(
                (delivery.attempt, delivery.message.number),
                (place.attempts, place.text.number)
            );
            match &delivery.message.body {
                Some(content) => assert_eq!(content.body(), vec![b'x'; place.text.bytes as usize]),
                None => assert!(self.cold.contains(&(place.text.topic, place.text.seq))),
            }
            let retention_ms = self.naive[of].policy_of(queue).retention_ms;
            let expires_at = match place.text.expires_at {
                at if retention_ms == 0 || place.text.stamped => at,
                at => at.min(place.text.published_at.after(Duration::from_millis(retention_ms))),
            };
            assert_eq!((delivery.at, delivery.expires_at), (now, expires_at));
            assert_eq!(delivery.receipt.is_none(), request.take);
            if let Some(receipt) = delivery.receipt {
                assert_eq!(delivery.deadline, place.due);
                assert!(
                    self.given.iter().all(|(known, _, _)| *known != receipt),
                    "a receipt was used twice"
                );
                self.given.push((receipt, place.delivery, place.text.id));
            }
        }
    }

    fn select(
        &self,
        of: usize,
        queue: u32,
        state: State,
        oldest: Option<usize>,
        nth: usize,
    ) -> (Option<Selection>, Vec<Place>) {
        let there = self.naive[of].of(queue, state);
        if let Some(count) = oldest {
            return (Some(Selection::Oldest(count)), there.into_iter().take(count).collect());
        }
        let ids: Vec<MessageId> =
            self.ids.iter().rev().skip(nth).step_by(2).take(3).cloned().collect();
        let mut chosen = Vec::new();
        for (at, id) in ids.iter().enumerate() {
            if self.naive[of].by_id(queue, id).len() > 1 || ids[..at].contains(id) {
                return (None, Vec::new());
            }
            chosen.extend(there.iter().find(|place| place.text.id == *id).cloned());
        }
        (Some(Selection::Ids(ids)), chosen)
    }

    fn move_all(&mut self, of: usize, chosen: &[Place], to: u32) {
        let mut left = Vec::new();
        for place in chosen {
            left.extend(self.naive[of].move_to(self.now, place, to, None, &mut self.next));
        }
        self.arrive(of, left);
    }

    fn advance(&mut self, of: usize, budget: usize) {
        let mut ready = false;
        let mut steps = 0;
        loop {
            let advanced = self.topics[of].advance(self.now, budget, &mut self.ledger);
            ready |= advanced.ready;
            steps += 1;
            assert!(steps < 10_000, "advance does not end");
            if !advanced.more {
                break;
            }
        }
        let (expected, left) = self.naive[of].advance(self.now, &mut self.next);
        assert_eq!(ready, expected, "something became ready");
        self.arrive(of, left);
        assert!(
            self.topics[of].next_deadline().is_none_or(|next| next > self.now),
            "time stands still"
        );
        assert_eq!(self.topics[of].len() as u64, self.naive[of].held().0);
    }

    fn flush(&mut self) {
        self.ledger.records.drain(..).for_each(|record| self.store.apply(record));
        self.store.check();
    }

    fn check(&self) {
        assert_eq!(self.ledger.remaining(), u64::MAX - self.next, "numbers");
        for (topic, naive) in self.topics.iter().zip(&self.naive) {
            topic.check_invariants();
            assert_eq!((topic.last_seq(), topic.unrouted()), (naive.last_seq, naive.unrouted));
            for queue in &naive.queues {
                self.check_queue(topic, naive, queue);
            }
        }
    }

    fn check_queue(&self, topic: &Topic, naive: &Naive, queue: &NaiveQueue) {
        let number = queue.definition.number;
        let of = |state| naive.of(number, state);
        let count = |state| of(state).len() as u64;
        let all = naive.places.iter().filter(|place| place.queue == number);
        let expected = Counts {
            delayed: count(State::Delayed),
            ready: count(State::Ready),
            in_flight: count(State::InFlight),
            dead: count(State::Dead),
            bytes: all.map(|place| place.text.bytes).sum(),
            oldest_ready: naive.heads(number).iter().map(|place| place.text.published_at).min(),
            oldest_dead: of(State::Dead).first().and_then(|place| Some(place.letter.as_ref()?.at)),
        };
        assert_eq!(topic.counts(number), Ok(expected));
        assert_eq!(topic.totals(number), Ok(queue.totals));
        let next = naive.clone().next_up(number, false, false);
        let open = next.is_some() && !queue.definition.policy.paused_out;
        assert_eq!(topic.is_ready_in(number), open, "something can be handed out");
        let ready: Vec<_> = of(State::Ready).iter().map(seen).collect();
        let mut peeked = topic.peek(number, End::Front, usize::MAX).unwrap();
        assert_eq!(peeked.iter().map(shown).collect::<Vec<_>>(), ready);
        peeked.reverse();
        assert_eq!(topic.peek(number, End::Back, usize::MAX).unwrap(), peeked);
        self.check_readings(topic, number, of(State::Ready));
        for state in [State::Delayed, State::Ready, State::InFlight, State::Dead] {
            let mut listed: Vec<View> = Vec::new();
            let mut after = None;
            loop {
                let page = topic.list(number, state, after, 2).unwrap();
                assert!(page.views.len() <= 2);
                listed.extend(page.views);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            let mut listed: Vec<Seen> = listed.iter().map(shown).collect();
            let mut expected: Vec<Seen> = of(state).iter().map(seen).collect();
            if matches!(state, State::Delayed | State::InFlight) {
                listed.sort();
                expected.sort();
            }
            assert_eq!(listed, expected, "{state:?}");
        }
    }

    /// A bystander is shown what is placed behind its cursor, by number; what came back to the front
    /// at one moment shares a number, and has no order here.
    fn check_readings(&self, topic: &Topic, queue: u32, mut ready: Vec<Place>) {
        let placed = |place: &Place| place.key().1.unsigned_abs();
        ready.retain(|place| place.text.expires_at > self.now);
        ready.sort_by_key(placed);
        let place_of = |message: &Message| {
            let found = ready.iter().find(|place| place.text.number == message.number);
            placed(found.expect("only what is ready is shown"))
        };
        let middle = ready.get(ready.len() / 2).map_or(0, placed);
        for behind in [0, middle, self.next] {
            let left = ready.iter().filter(|place| placed(place) > behind);
            let left: Vec<u64> = left.map(placed).collect();
            for max in [2, usize::MAX] {
                let mut cursor = Cursor::behind(behind, usize::MAX);
                let read = topic.read_after(self.now, queue, &mut cursor, Want::Oldest(max));
                let mut read = read.unwrap();
                let few = &left[..left.len().min(max)];
                assert_eq!(read.iter().map(place_of).collect::<Vec<_>>(), few, "behind {behind}");
                let last = few.last().copied().unwrap_or(behind);
                assert_eq!((cursor.number, cursor.cut), (last, false));
                read.sort_by_key(|message| message.number);
                read.dedup_by_key(|message| message.number);
                assert_eq!(read.len(), few.len(), "each once");
            }
            let all_alive = topic.counts(queue).unwrap().ready == ready.len() as u64;
            let mut cursor = Cursor::behind(behind, usize::MAX);
            let read = topic.read_after(self.now, queue, &mut cursor, Want::Newest).unwrap();
            // One that has ended and lies last hides the others until it is gone.
            if all_alive {
                let newest = left.last().copied().unwrap_or(behind);
                assert_eq!((cursor.number, read.len()), (newest, usize::from(!left.is_empty())));
            }
        }
    }

    /// A restart gives the same queues, what was in flight ready again; `keep_body`: whether the
    /// bodies are read into memory.
    fn compare_restored(&self, keep_body: bool) {
        let salts = BTreeMap::from([(1, 1001), (2, 1002)]);
        let mut restored = [1, 2].map(|number| {
            let definition = topic(number, Kind::Broker, self.setup.topic.clone());
            let mut topic = Topic::new(&definition, 99);
            for queue in &self.naive[number as usize - 1].queues {
                topic.add_queue(queue.definition.clone()).unwrap();
            }
            topic
        });
        let topic_of = |queue: u32| self.topic_of(queue) as u32 + 1;
        for (topic, message) in self.store.restored(&salts, topic_of, keep_body) {
            restored[topic as usize - 1].restore(self.now, message);
        }
        let mut off = Ledger::off(u64::MAX / 4);
        for (nth, topic) in restored.iter_mut().enumerate() {
            for (number, key, seq, published_at, until) in self.store.keys(nth as u32 + 1) {
                topic.restore_dedup(number, key.clone(), seq, published_at, until);
            }
            topic.continue_after(self.naive[nth].last_seq);
            topic.check_invariants();
            while topic.advance(self.now, 1000, &mut off).more {}
            topic.check_invariants();
            assert_eq!(topic.last_seq(), self.naive[nth].last_seq);
            for queue in &self.naive[nth].queues {
                compare_queue(self.now, topic, &self.naive[nth], queue);
            }
        }
    }
}

fn compare_queue(now: Timestamp, topic: &Topic, naive: &Naive, queue: &NaiveQueue) {
    let (number, retention_ms) = (queue.definition.number, queue.definition.policy.retention_ms);
    let of = |state| naive.of(number, state);
    let back = of(State::InFlight).into_iter().filter(|place| !place.purged);
    let back = back.filter(|place| place.text.expires_at > now);
    let back =
        back.map(|place| Place { attempts: place.attempts - 1, state: State::Ready, ..place });
    let mut ready: Vec<Place> = of(State::Ready).into_iter().chain(back).collect();
    ready.sort_by_key(Place::own_key);
    let too_old = |p: &Place| {
        retention_ms > 0
            && !p.text.stamped
            && p.text.published_at.after(Duration::from_millis(retention_ms)) <= now
    };
    // Those behind a younger head go when they are reached.
    let fresh = |list: Vec<View>| -> Vec<Seen> {
        let stamped = |view: &View| {
            naive.places.iter().any(|p| p.text.number == view.message.number && p.text.stamped)
        };
        let old = |view: &View| {
            retention_ms > 0
                && !stamped(view)
                && view.message.published_at.after(Duration::from_millis(retention_ms)) <= now
        };
        list.iter().filter(|view| !old(view)).map(shown).collect()
    };
    let ready: Vec<Seen> = ready.iter().filter(|p| !too_old(p)).map(seen).collect();
    assert_eq!(
        fresh(topic.peek(number, End::Front, usize::MAX).unwrap()),
        ready,
        "ready after a restart"
    );
    let list = |state| {
        let page = topic.list(number, state, None, usize::MAX).unwrap();
        page.views.iter().map(shown).collect::<Vec<Seen>>()
    };
    let mut delayed = list(State::Delayed);
    let mut expected: Vec<Seen> = of(State::Delayed).iter().map(seen).collect();
    delayed.sort();
    expected.sort();
    assert_eq!(delayed, expected, "delayed after a restart");
    let mut dead = of(State::Dead);
    // Who died first within a millisecond is not remembered.
    dead.sort_by_key(|place| (place.letter.as_ref().unwrap().at, place.number));
    assert_eq!(
        list(State::Dead),
        dead.iter().map(seen).collect::<Vec<_>>(),
        "dead after a restart"
    );
    assert_eq!(topic.counts(number).unwrap().in_flight, 0);
}

/// What is visible of a message: number, sequence number and id, state, attempts, due, death.
type Seen = (u64, u64, String, u8, u32, Option<Timestamp>, String, bool);

fn seen(place: &Place) -> Seen {
    let waits = matches!(place.state, State::Delayed | State::InFlight);
    let flies = place.state == State::InFlight;
    let lent = (flies.then_some(place.lent.0), place.lent.1.filter(|_| flies));
    (
        place.text.number,
        place.text.seq,
        place.text.id.to_string(),
        place.state as u8,
        place.attempts,
        waits.then_some(place.due),
        format!("{:?}", (&place.letter, &place.failures, place.text.door, lent)),
        place.text.lone,
    )
}

fn shown(view: &View) -> Seen {
    assert_eq!(view.receipt.is_some(), view.state == State::InFlight);
    let lent = (view.since, view.lent_by);
    (
        view.message.number,
        view.message.seq,
        view.message.id().to_string(),
        view.state as u8,
        view.attempts,
        view.due,
        format!("{:?}", (&view.dead, &view.failures, view.published_by, lent)),
        view.message.lone,
    )
}

proptest! {
    #![proptest_config(super::config(256))]

    #[test]
    fn a_topic_does_what_the_reference_does(setup in setup(), ops in prop::collection::vec(op(), 1..120)) {
        let mut world = World::new(setup);
        world.check();
        for op in &ops {
            world.run(op);
            world.check();
        }
        world.run(&Op::Restart);
    }
}
