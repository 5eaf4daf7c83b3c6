//! What somebody who runs the broker should look at, and how badly. Pure: figures in, a list out.

use super::gauge::Reading;
use crate::engine::QueueFigures;
use crate::queue::{QueueName, QueuePolicy, Timestamp, full_per_mille};

/// A backlog that is smaller grows without anybody being told.
pub const BACKLOG_MIN: u64 = 100;
/// So full is nearly full, of 1000...
const NEAR_PER_MILLE: u64 = 800;
/// ... and so full is as good as full.
const FULL_PER_MILLE: u64 = 950;
/// A disk with less free room, bytes, is nearly full.
const DISK_FREE_MIN: u64 = 256 << 20;

/// How badly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know.
    Info,
    /// To be looked at.
    Warning,
    /// Something is refused or lost, or soon will be.
    Serious,
}

impl Severity {
    /// As others say it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Serious => "serious",
        }
    }
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// What kind of thing.
    pub kind: &'static str,
    /// How badly.
    pub severity: Severity,
    /// For people; the topic is named beside it.
    pub detail: String,
    /// The queue of the topic that is meant, or that has most of it; `None`: the topic itself, or
    /// nobody has asked yet.
    pub queue: Option<QueueName>,
    /// How much, where there is a measure.
    pub value: Option<u64>,
}

impl Attention {
    fn new(kind: &'static str, severity: Severity, detail: impl Into<String>) -> Attention {
        Attention { kind, severity, detail: detail.into(), queue: None, value: None }
    }

    fn of(self, value: u64) -> Attention {
        Attention { value: Some(value), ..self }
    }
}

/// A topic, as the rules look at it.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    /// How it is.
    pub reading: &'a Reading,
    /// Ready a minute ago; `None`: not known.
    pub ready_before: Option<u64>,
    /// It refuses publishes.
    pub paused_in: bool,
    /// Ready for longer than this is too long.
    pub oldest_max_ms: u64,
}

/// What to look at in a topic. Each kind once at most, so that a topic and a kind name an entry.
pub fn of_topic(now: Timestamp, condition: Condition<'_>, mut tell: impl FnMut(Attention)) {
    let Condition { reading, ready_before, paused_in, oldest_max_ms } = condition;
    let counts = &reading.counts;
    if let Some(before) = ready_before
        && counts.ready >= BACKLOG_MIN
        && counts.ready >= before + before / 2 + BACKLOG_MIN / 2
    {
        let detail = format!("{before} messages were ready a minute ago, {} are now", counts.ready);
        tell(
            Attention::new("backlog_growing", Severity::Warning, detail).of(counts.ready - before),
        );
    }
    if counts.dead > 0 {
        let detail = format!("{} dead letters", counts.dead);
        tell(Attention::new("dead_letters", Severity::Warning, detail).of(counts.dead));
    }
    let paused: Vec<String> = [
        paused_in.then(|| "publishing is paused".to_owned()),
        (reading.paused_in > 0).then(|| format!("{} queues take nothing in", reading.paused_in)),
        (reading.paused_out > 0).then(|| format!("{} queues hand nothing out", reading.paused_out)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !paused.is_empty() {
        tell(Attention::new("paused", Severity::Info, paused.join(", ")));
    }
    let full = reading.full_per_mille;
    if full >= NEAR_PER_MILLE {
        let severity = if full >= FULL_PER_MILLE { Severity::Serious } else { Severity::Warning };
        let detail = format!("{} % of a bound of the topic or a queue is used", full / 10);
        tell(Attention::new("near_limit", severity, detail).of(full / 10));
    }
    let age_ms = counts.oldest_ready.map_or(0, |at| now.since_ms(at));
    if age_ms > oldest_max_ms {
        // In steps, so that nothing changes every second.
        let minutes = age_ms / 60_000;
        let detail = format!("a message has been ready for {minutes} minutes");
        tell(Attention::new("oldest_too_old", Severity::Warning, detail).of(minutes));
    }
    if reading.lagging > 0 {
        let detail = format!("{} subscribers cannot follow", reading.lagging);
        tell(Attention::new("slow_subscriber", Severity::Warning, detail).of(reading.lagging));
    }
}

/// The queue that is meant by an entry of this kind, if it is one.
pub fn queue_meant(
    kind: &str,
    queues: &[(QueueName, QueuePolicy, QueueFigures)],
) -> Option<QueueName> {
    type Queue = (QueueName, QueuePolicy, QueueFigures);
    let most = |of: fn(&Queue) -> u64, least: u64| {
        let found = queues.iter().filter(|queue| of(queue) >= least).max_by_key(|queue| of(queue));
        found.map(|(name, _, _)| name.clone())
    };
    match kind {
        "dead_letters" => most(|(_, _, figures)| figures.counts.dead, 1),
        "backlog_growing" => most(|(_, _, figures)| figures.counts.ready, 1),
        "near_limit" => most(
            |(_, policy, QueueFigures { counts, .. })| {
                let waiting = full_per_mille(counts.ready + counts.delayed, policy.messages_max);
                // Bytes are known of all that is there.
                let all_wait = counts.in_flight + counts.dead == 0;
                waiting.max(if all_wait {
                    full_per_mille(counts.bytes, policy.bytes_max)
                } else {
                    0
                })
            },
            NEAR_PER_MILLE,
        ),
        "oldest_too_old" => {
            let age =
                |(name, _, figures): &Queue| Some((figures.counts.oldest_ready?, name.clone()));
            queues.iter().filter_map(age).min().map(|(_, name)| name)
        }
        "paused" => {
            let mut paused =
                queues.iter().filter(|(_, policy, _)| policy.paused_in || policy.paused_out);
            let first = paused.next().map(|(name, _, _)| name.clone());
            first.filter(|_| paused.next().is_none())
        }
        _ => None,
    }
}

impl Attention {
    /// What to look at in the broker itself.
    pub fn of_broker(
        disk_full: bool,
        disk_free_bytes: u64,
        (memory, memory_max): (u64, u64),
        mut tell: impl FnMut(Attention),
    ) {
        if disk_full {
            let detail = "the disk is full: publishes are refused";
            tell(Attention::new("disk_full", Severity::Serious, detail).of(disk_free_bytes));
        } else if disk_free_bytes < DISK_FREE_MIN && disk_free_bytes > 0 {
            let detail = format!("the disk has less than {} MiB left", DISK_FREE_MIN >> 20);
            tell(Attention::new("disk_full", Severity::Warning, detail).of(disk_free_bytes));
        }
        let full = full_per_mille(memory, memory_max);
        if full >= NEAR_PER_MILLE {
            // Bodies of stored messages go to the disk: nothing is lost.
            let detail = format!("{} % of `limits.memory_bytes` is used", full / 10);
            tell(Attention::new("near_limit", Severity::Info, detail).of(full / 10));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Counts;

    const NOW: Timestamp = Timestamp(10_000_000);

    fn found(reading: Reading, before: Option<u64>, paused_in: bool) -> Vec<String> {
        let condition =
            Condition { reading: &reading, ready_before: before, paused_in, oldest_max_ms: 60_000 };
        let mut found = Vec::new();
        of_topic(NOW, condition, |one| {
            found.push(format!("{} {} {:?}", one.kind, one.severity.name(), one.value));
        });
        found
    }

    fn counts(counts: Counts) -> Reading {
        Reading { counts, ..Reading::default() }
    }

    fn ready(ready: u64) -> Reading {
        counts(Counts { ready, ..Counts::default() })
    }

    #[test]
    fn each_rule_at_its_edge() {
        let old =
            |ms| counts(Counts { oldest_ready: Some(Timestamp(NOW.0 - ms)), ..Counts::default() });
        let full = |full_per_mille| Reading { full_per_mille, ..Reading::default() };
        let table: [(Reading, Option<u64>, bool, &[&str]); 17] = [
            (Reading::default(), None, false, &[]),
            (ready(1_000_000), None, false, &[]),
            (ready(99), Some(0), false, &[]),
            (ready(100), Some(0), false, &["backlog_growing warning Some(100)"]),
            (ready(1549), Some(1000), false, &[]),
            (ready(1550), Some(1000), false, &["backlog_growing warning Some(550)"]),
            (ready(500), Some(1000), false, &[]),
            (
                counts(Counts { dead: 3, ..Counts::default() }),
                None,
                false,
                &["dead_letters warning Some(3)"],
            ),
            (Reading::default(), None, true, &["paused info None"]),
            (Reading { paused_out: 2, ..Reading::default() }, None, false, &["paused info None"]),
            (Reading { paused_in: 1, ..Reading::default() }, None, true, &["paused info None"]),
            (full(799), None, false, &[]),
            (full(800), None, false, &["near_limit warning Some(80)"]),
            (full(950), None, false, &["near_limit serious Some(95)"]),
            (old(60_000), None, false, &[]),
            (old(120_000), None, false, &["oldest_too_old warning Some(2)"]),
            (
                Reading { lagging: 1, ..Reading::default() },
                None,
                false,
                &["slow_subscriber warning Some(1)"],
            ),
        ];
        for (reading, before, paused, expected) in table {
            assert_eq!(found(reading, before, paused), expected, "{reading:?} {before:?}");
        }
    }

    #[test]
    fn the_broker_is_looked_at_as_well() {
        let found = |full, free, memory| {
            let mut found = Vec::new();
            Attention::of_broker(full, free, (memory, 100), |one| {
                found.push((one.kind, one.severity.name()));
            });
            found
        };
        let much = 1 << 40;
        assert_eq!(found(false, much, 79), []);
        assert_eq!(found(true, 0, 0), [("disk_full", "serious")]);
        assert_eq!(found(false, 1 << 20, 0), [("disk_full", "warning")]);
        assert_eq!(found(false, 0, 0), [], "not known");
        assert_eq!(found(false, much, 80), [("near_limit", "info")]);
    }
}
