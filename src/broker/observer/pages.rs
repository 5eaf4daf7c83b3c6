//! Topics as rows: which, in what order, and what each row tells.

use super::Seen;
use crate::broker::Rates;
use crate::queue::{Counts, Kind, Level, TopicName};
use std::cmp::Ordering;

/// Bytes of names after which a page ends early: whoever looks gets all names at once.
const NAMES_BYTES_MAX: usize = 8 << 10;
/// So full that a row says so, of 1000.
const NEAR_PER_MILLE: u64 = 800;

/// By what topics are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicSort {
    /// By name.
    #[default]
    Name,
    /// By kind.
    Kind,
    /// By messages that are ready.
    Ready,
    /// In flight.
    InFlight,
    /// Delayed.
    Delayed,
    /// Dead.
    Dead,
    /// Published per second.
    PublishedPerS,
    /// Handed out or pushed per second.
    DeliveredPerS,
    /// Acked per second.
    AckedPerS,
    /// By live subscribers.
    Subscribers,
    /// By consumers.
    Consumers,
}

/// Which topics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct TopicsQuery {
    /// In which order.
    pub sort: TopicSort,
    /// The other way round.
    pub desc: bool,
    /// With this in their names; upper and lower case are the same.
    pub filter: String,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Without the first so many.
    pub offset: usize,
    /// At most so many.
    pub limit: usize,
}

/// What is told of a topic among others.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicRow {
    /// Its name.
    pub name: TopicName,
    /// Its kind.
    pub kind: Kind,
    /// Its level.
    pub durability: Level,
    /// How many messages are where.
    pub counts: Counts,
    /// What happens per second.
    pub rates: Rates,
    /// Live subscribers.
    pub subscribers: u64,
    /// Connections that consume a queue.
    pub consumers: u64,
    /// It, or a queue of it, takes nothing in.
    pub paused_in: bool,
    /// A queue of it hands nothing out.
    pub paused_out: bool,
    /// A bound of it is nearly reached.
    pub near_limit: bool,
    /// Subscribers that cannot follow.
    pub lagging: u64,
    /// Published per second, in steps of ten seconds, oldest first.
    pub spark: Vec<f32>,
}

impl TopicRow {
    fn new(seen: &Seen, second: u64) -> TopicRow {
        let (definition, reading) = (&seen.entry.definition, &seen.reading);
        TopicRow {
            name: definition.name.clone(),
            kind: definition.kind,
            durability: definition.policy.durability,
            counts: reading.counts,
            rates: seen.rates,
            subscribers: reading.subscribers,
            consumers: reading.consumers,
            paused_in: definition.policy.paused_in || reading.paused_in > 0,
            paused_out: reading.paused_out > 0,
            near_limit: reading.full_per_mille >= NEAR_PER_MILLE,
            lagging: reading.lagging,
            spark: seen.spark(second),
        }
    }
}

/// Some topics.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicsPage {
    /// All that there are.
    pub total: usize,
    /// Those that the query takes.
    pub matching: usize,
    /// The page.
    pub rows: Vec<TopicRow>,
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    part.is_empty() || name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

fn compare(sort: TopicSort, one: &Seen, other: &Seen) -> Ordering {
    let (a, b) = (&one.reading, &other.reading);
    let rate = |of: fn(&Rates) -> f64| of(&one.rates).total_cmp(&of(&other.rates));
    match sort {
        // Decided below.
        TopicSort::Name => Ordering::Equal,
        TopicSort::Kind => {
            let pubsub = |seen: &Seen| seen.entry.definition.kind == Kind::Pubsub;
            pubsub(one).cmp(&pubsub(other))
        }
        TopicSort::Ready => a.counts.ready.cmp(&b.counts.ready),
        TopicSort::InFlight => a.counts.in_flight.cmp(&b.counts.in_flight),
        TopicSort::Delayed => a.counts.delayed.cmp(&b.counts.delayed),
        TopicSort::Dead => a.counts.dead.cmp(&b.counts.dead),
        TopicSort::PublishedPerS => rate(|rates| rates.published),
        TopicSort::DeliveredPerS => rate(|rates| rates.delivered),
        TopicSort::AckedPerS => rate(|rates| rates.acked),
        TopicSort::Subscribers => a.subscribers.cmp(&b.subscribers),
        TopicSort::Consumers => a.consumers.cmp(&b.consumers),
    }
}

/// The page that a query wants. Topics that are equal are in the order of their names.
pub fn page<'a>(
    query: &TopicsQuery,
    all: impl ExactSizeIterator<Item = &'a Seen>,
    second: u64,
) -> TopicsPage {
    let total = all.len();
    let takes = |seen: &&Seen| {
        let definition = &seen.entry.definition;
        query.kind.is_none_or(|kind| kind == definition.kind)
            && contains(definition.name.as_bytes(), query.filter.as_bytes())
    };
    let mut found: Vec<&Seen> = all.filter(takes).collect();
    let matching = found.len();
    found.sort_unstable_by(|one, other| {
        let names = one.entry.definition.name.cmp(&other.entry.definition.name);
        let order = match query.sort {
            TopicSort::Name => names,
            sort => compare(sort, one, other),
        };
        let order = if query.desc { order.reverse() } else { order };
        order.then(names)
    });
    let mut names_bytes = 0;
    let fits = |seen: &&Seen| {
        names_bytes += seen.entry.definition.name.as_bytes().len();
        names_bytes <= NAMES_BYTES_MAX
    };
    let shown = found.into_iter().skip(query.offset).take(query.limit).take_while(fits);
    TopicsPage { total, matching, rows: shown.map(|seen| TopicRow::new(seen, second)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_found_whatever_its_case() {
        let table = [
            ("Orders-EU", "", true),
            ("Orders-EU", "orders", true),
            ("Orders-EU", "s-e", true),
            ("Orders-EU", "us", false),
            ("x", "xx", false),
        ];
        for (name, part, found) in table {
            assert_eq!(contains(name.as_bytes(), part.as_bytes()), found, "{name} {part}");
        }
    }
}
