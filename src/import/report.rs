//! What an import did, counted per topic and queue, and how it is printed.

use super::{FoundState, ItemPlace, Plan};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The counts of one queue, or of a pubsub topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Found in the source, to be handed out next.
    pub waiting: u64,
    /// Found, not visible yet.
    pub delayed: u64,
    /// Found, handed out and not acknowledged.
    pub held: u64,
    /// Found among the dead letters.
    pub dead: u64,
    /// Found and not copied: why, how many.
    pub left: BTreeMap<&'static str, u64>,
    /// Copied by this run (in a dry run: would be).
    pub copied: u64,
    /// Copied by an earlier run.
    pub before: u64,
    /// octoq has a message with this id already.
    pub there: u64,
    /// Refused by octoq.
    pub refused: u64,
    /// In octoq afterwards.
    pub now: Option<Now>,
}

/// What octoq's queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Now {
    /// To be handed out next.
    pub ready: u64,
    /// Not visible yet.
    pub delayed: u64,
    /// Handed out.
    pub in_flight: u64,
    /// Dead letters.
    pub dead: u64,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Copied now.
    Copied,
    /// Copied by an earlier run.
    Before,
    /// octoq has one with this id already.
    There,
    /// octoq refused it.
    Refused,
}

impl Tally {
    /// Everything found in the source that is still wanted there.
    pub fn found(&self) -> u64 {
        self.waiting + self.delayed + self.held + self.dead
    }

    fn found_in(&mut self, state: FoundState) {
        *match state {
            FoundState::Waiting => &mut self.waiting,
            FoundState::Delayed => &mut self.delayed,
            FoundState::Held => &mut self.held,
            FoundState::Dead => &mut self.dead,
        } += 1;
    }

    fn became(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Copied => &mut self.copied,
            Outcome::Before => &mut self.before,
            Outcome::There => &mut self.there,
            Outcome::Refused => &mut self.refused,
        } += 1;
    }
}

/// The counts of all topics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Nothing was changed.
    pub dry_run: bool,
    /// The source, as it was recognised.
    pub layout: String,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What octoq refused, the first few.
    pub problems: Vec<String>,
    /// Shown name, whether it is (or would be) new, counts.
    pub rows: Vec<(String, bool, Tally)>,
    /// Index of the first row of each topic of the plan.
    first: Vec<usize>,
}

/// Most problems that are told one by one.
const PROBLEMS_MAX: usize = 10;

impl Report {
    /// One row per queue, one per topic that has none.
    pub fn new(plan: &Plan, dry_run: bool) -> Self {
        let mut report = Report {
            dry_run,
            layout: plan.layout.clone(),
            notes: plan.notes.clone(),
            ..Report::default()
        };
        for topic in &plan.topics {
            report.first.push(report.rows.len());
            if topic.queues.is_empty() {
                report.rows.push((topic.name.to_string(), false, Tally::default()));
            }
            for queue in &topic.queues {
                let name = match topic.name.is_unattached() {
                    true => format!("(no topic)/{}", queue.name),
                    false => format!("{}/{}", topic.name, queue.name),
                };
                report.rows.push((name, false, Tally::default()));
            }
        }
        report
    }

    /// The counts of a queue of the plan.
    pub fn row(&mut self, topic: usize, queue: usize) -> Option<&mut (String, bool, Tally)> {
        let first = *self.first.get(topic)?;
        self.rows.get_mut(first + queue)
    }

    /// A message was found, and this became of it.
    pub fn tell(&mut self, topic: usize, places: &[ItemPlace], outcome: Outcome) {
        let history = [ItemPlace::waiting(0)];
        let places = if places.is_empty() { &history } else { places };
        for place in places {
            if let Some((_, _, tally)) = self.row(topic, place.queue) {
                tally.found_in(place.state);
                tally.became(outcome);
            }
        }
    }

    /// Something was found and not copied.
    pub fn left(&mut self, topic: usize, queue: usize, why: &'static str) {
        if let Some((_, _, tally)) = self.row(topic, queue) {
            *tally.left.entry(why).or_default() += 1;
        }
    }

    /// octoq refused something.
    pub fn problem(&mut self, what: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(what);
        }
    }

    /// All counts together; what octoq holds is left out.
    pub fn total(&self) -> Tally {
        let mut total = Tally::default();
        for (_, _, tally) in &self.rows {
            total.waiting += tally.waiting;
            total.delayed += tally.delayed;
            total.held += tally.held;
            total.dead += tally.dead;
            total.copied += tally.copied;
            total.before += tally.before;
            total.there += tally.there;
            total.refused += tally.refused;
            for (why, count) in &tally.left {
                *total.left.entry(why).or_default() += count;
            }
        }
        total
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.layout)?;
        let width = self.rows.iter().map(|(name, _, _)| name.chars().count()).max().unwrap_or(0);
        let width = width.max("topic/queue".len());
        let copied = if self.dry_run { "to copy" } else { "copied" };
        write!(
            f,
            "{:width$}  {:>8} {:>8} {:>8} {:>8} | {copied:>8} {:>8} {:>8} {:>8}",
            "topic/queue", "waiting", "delayed", "held", "dead", "before", "there", "refused"
        )?;
        writeln!(f, " | octoq: ready, delayed, in flight, dead")?;
        for (name, new, tally) in &self.rows {
            let Tally { waiting, delayed, held, dead, before, there, refused, .. } = tally;
            write!(
                f,
                "{name:width$}  {waiting:>8} {delayed:>8} {held:>8} {dead:>8} | {:>8} {before:>8} {there:>8} {refused:>8} | ",
                tally.copied
            )?;
            match tally.now {
                Some(now) => {
                    write!(f, "{}, {}, {}, {}", now.ready, now.delayed, now.in_flight, now.dead)?
                }
                None => f.write_char('-')?,
            }
            match (new, self.dry_run) {
                (true, true) => writeln!(f, "  (would be made)")?,
                (true, false) => writeln!(f, "  (made)")?,
                (false, _) => writeln!(f)?,
            }
            for (why, count) in &tally.left {
                writeln!(f, "{:width$}  not copied: {count} {why}", "")?;
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        for problem in &self.problems {
            writeln!(f, "refused: {problem}")?;
        }
        let total = self.total();
        writeln!(
            f,
            "{}: {} found, {} {copied}, {} copied before, {} there already, {} refused",
            if self.dry_run { "dry run, nothing was changed" } else { "done" },
            total.found(),
            total.copied,
            total.before,
            total.there,
            total.refused
        )
    }
}
