//! Random verbs against the rules and against a reference that is obviously right; after every one
//! both must show the same, and what the records leave must give the same topic again.

mod history;
mod naive;
mod queues;
mod store;

use super::*;
use proptest::test_runner::{Config, RngSeed};

/// The same cases in every run, so that a change is red for what it changed. To look for new ones,
/// set `PROPTEST_CASES`: then there are so many, from a seed of chance.
pub fn config(cases: u32) -> Config {
    let asked = Config::default();
    match asked.cases {
        // What proptest takes when nobody asks for more.
        256 => Config { cases, rng_seed: RngSeed::Fixed(8), ..asked },
        _ => Config { max_shrink_iters: 20_000, ..asked },
    }
}

/// A topic's definition for tests.
pub fn topic(number: u32, kind: Kind, policy: TopicPolicy) -> TopicDefinition {
    TopicDefinition {
        number,
        name: TopicName::parse(format!("t{number}")).unwrap(),
        kind,
        policy,
        salt: 1000 + number,
        epoch: 7,
        owner: None,
        created_at: Timestamp(0),
    }
}

/// A queue's definition for tests.
pub fn queue(number: u32, topic: u32, policy: QueuePolicy) -> QueueDefinition {
    let name = QueueName::parse(format!("q{number}")).unwrap();
    QueueDefinition { number, topic, name, policy, created_at: Timestamp(0) }
}
