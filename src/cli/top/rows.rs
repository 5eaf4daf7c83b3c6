//! What `octoq top` shows, and in which order.

use crate::cli::show::{self, Table};
use crate::cli::view::{Queue, Topic, topic_shown};
use std::{collections::HashMap, time::Instant};

/// What the rows are sorted by; also the columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// By name
    Name,
    /// Messages that can be handed out
    Ready,
    /// Messages that wait for their time
    Delayed,
    /// Messages that were handed out
    #[value(name = "in_flight", alias = "in-flight")]
    InFlight,
    /// Dead letters
    Dead,
    /// Bytes of bodies
    Bytes,
    /// Consumers or subscribers
    Consumers,
    /// Messages that came, per second
    In,
    /// Messages that were acked, per second
    Out,
}

impl Sort {
    /// All of them, as they stand on the screen.
    pub const ALL: [Sort; 9] = [
        Sort::Name,
        Sort::Ready,
        Sort::Delayed,
        Sort::InFlight,
        Sort::Dead,
        Sort::Bytes,
        Sort::Consumers,
        Sort::In,
        Sort::Out,
    ];

    /// What stands above it.
    pub fn heading(self) -> &'static str {
        match self {
            Sort::Name => "queue",
            Sort::Ready => "ready",
            Sort::Delayed => "delayed",
            Sort::InFlight => "in flight",
            Sort::Dead => "dead",
            Sort::Bytes => "bytes",
            Sort::Consumers => "clients",
            Sort::In => "in/s",
            Sort::Out => "acks/s",
        }
    }

    /// The column so many to the right, round the edge.
    pub fn next(self, by: isize) -> Sort {
        let count = Sort::ALL.len() as isize;
        let at = Sort::ALL.iter().position(|known| *known == self).unwrap_or(0) as isize;
        Sort::ALL.get((at + by).rem_euclid(count) as usize).copied().unwrap_or(self)
    }
}

/// One queue, or one pubsub topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// `topic/queue`, or the topic of a pubsub topic.
    pub name: String,
    /// Its figures.
    pub queue: Queue,
    /// Messages that came, per second; known after two looks.
    pub came: Option<f64>,
    /// Messages that were acked, per second.
    pub acked: Option<f64>,
}

impl Row {
    fn number(&self, sort: Sort) -> f64 {
        let queue = &self.queue;
        match sort {
            Sort::Name => 0.0,
            Sort::Ready => queue.ready as f64,
            Sort::Delayed => queue.delayed as f64,
            Sort::InFlight => queue.in_flight as f64,
            Sort::Dead => queue.dead as f64,
            Sort::Bytes => queue.bytes as f64,
            Sort::Consumers => queue.consumers as f64,
            Sort::In => self.came.unwrap_or(-1.0),
            Sort::Out => self.acked.unwrap_or(-1.0),
        }
    }

    /// What stands in a column.
    pub fn cell(&self, sort: Sort) -> String {
        let rate = |rate: Option<f64>| {
            rate.map_or_else(|| "-".into(), |rate| show::count(rate.round() as u64))
        };
        match sort {
            Sort::Name => self.name.clone(),
            Sort::Bytes => show::bytes(self.queue.bytes),
            Sort::In => rate(self.came),
            Sort::Out => rate(self.acked),
            counted => format!("{:.0}", self.number(counted)),
        }
    }

    /// For programs.
    pub fn as_json(&self) -> serde_json::Value {
        let queue = &self.queue;
        serde_json::json!({
            "name": self.name, "ready": queue.ready, "delayed": queue.delayed,
            "in_flight": queue.in_flight, "dead": queue.dead, "bytes": queue.bytes,
            "consumers": queue.consumers, "in_per_s": self.came, "acks_per_s": self.acked,
        })
    }
}

/// All rows, and how they are looked at.
#[derive(Debug)]
pub struct Rows {
    all: Vec<Row>,
    /// Totals of the look before: published and acked, by name.
    before: HashMap<String, (u64, u64)>,
    looked_at: Option<Instant>,
    /// By what.
    pub sort: Sort,
    /// Smallest first.
    pub reversed: bool,
    /// Nothing is asked meanwhile.
    pub paused: bool,
    /// Only names that hold this.
    pub search: String,
    /// What is being typed to search for.
    pub typing: Option<String>,
    /// The row that is marked.
    pub marked: usize,
}

impl Rows {
    /// None yet.
    pub fn new(sort: Sort) -> Rows {
        Rows {
            all: Vec::new(),
            before: HashMap::new(),
            looked_at: None,
            sort,
            reversed: false,
            paused: false,
            search: String::new(),
            typing: None,
            marked: 0,
        }
    }

    /// What was found this time. Rates are those since the last time.
    pub fn update(&mut self, topics: Vec<Topic>, at: Instant) {
        let seconds = self.looked_at.map(|before| (at - before).as_secs_f64());
        let mut totals = HashMap::new();
        let mut rows = Vec::new();
        for topic in topics {
            let subscribers = topic.subscribers;
            let pubsub = topic.kind == "pubsub";
            for mut queue in topic.queues {
                let name = if pubsub {
                    queue.consumers += subscribers;
                    topic.name.clone()
                } else {
                    format!("{}/{}", topic_shown(&topic.name), queue.name)
                };
                let (mut came, mut acked) = (None, None);
                if let Some(now) = queue.totals {
                    let now = (now.published, now.acked);
                    let before = self.before.get(&name);
                    if let (Some(before), Some(seconds)) = (before, seconds.filter(|s| *s > 0.0)) {
                        // Totals begin anew with the broker.
                        came = Some(now.0.saturating_sub(before.0) as f64 / seconds);
                        acked = Some(now.1.saturating_sub(before.1) as f64 / seconds);
                    }
                    totals.insert(name.clone(), now);
                }
                rows.push(Row { name, queue, came, acked });
            }
        }
        (self.all, self.before, self.looked_at) = (rows, totals, Some(at));
        let last = self.shown().count().saturating_sub(1);
        self.marked = self.marked.min(last);
    }

    /// Those that are looked for, in order.
    pub fn shown(&self) -> impl Iterator<Item = &Row> {
        let search = self.typing.as_deref().unwrap_or(&self.search).to_lowercase();
        let mut rows: Vec<&Row> =
            self.all.iter().filter(|row| row.name.to_lowercase().contains(&search)).collect();
        rows.sort_by(|a, b| {
            let numbers = b.number(self.sort).total_cmp(&a.number(self.sort));
            let order = numbers.then_with(|| a.name.cmp(&b.name));
            if self.reversed { order.reverse() } else { order }
        });
        rows.into_iter()
    }

    /// Marks another row.
    pub fn move_by(&mut self, by: isize) {
        let last = self.shown().count().saturating_sub(1);
        self.marked = self.marked.saturating_add_signed(by).min(last);
    }

    /// As a table to print.
    pub fn table(&self) -> Table {
        let headings = Sort::ALL.map(|sort| match sort {
            Sort::Name => sort.heading().to_owned(),
            _ => format!("{}>", sort.heading()),
        });
        let mut table = Table::new(&headings.each_ref().map(String::as_str));
        for row in self.shown() {
            table.row(Sort::ALL.map(|sort| row.cell(sort)));
        }
        table
    }

    /// Sums over all that are shown: ready, in flight, dead, in and acked per second.
    pub fn sums(&self) -> (u64, u64, u64, f64, f64) {
        self.shown().fold((0, 0, 0, 0.0, 0.0), |sums, row| {
            (
                sums.0 + row.queue.ready,
                sums.1 + row.queue.in_flight,
                sums.2 + row.queue.dead,
                sums.3 + row.came.unwrap_or(0.0),
                sums.4 + row.acked.unwrap_or(0.0),
            )
        })
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::cli::view::Totals;
    use std::time::Duration;

    fn topic(name: &str, ready: u64, dead: u64, published: u64) -> Topic {
        let totals = Some(Totals { published, acked: published / 2 });
        let queue = Queue { name: "default".into(), ready, dead, totals, ..Queue::default() };
        Topic { name: name.into(), kind: "broker".into(), queues: vec![queue], ..Topic::default() }
    }

    /// Two looks, a second apart.
    pub fn looked_at() -> Rows {
        let mut rows = Rows::new(Sort::Ready);
        let start = Instant::now();
        rows.update(vec![topic("b", 1, 9, 100), topic("a", 1, 0, 0), topic("c", 7, 0, 0)], start);
        let later = start + Duration::from_secs(1);
        rows.update(vec![topic("b", 1, 9, 150), topic("a", 1, 0, 0), topic("c", 7, 0, 0)], later);
        rows
    }

    fn names(rows: &Rows) -> Vec<&str> {
        rows.shown().map(|row| row.name.as_str()).collect()
    }

    #[test]
    fn rows_are_sorted_by_number_and_then_by_name() {
        let mut rows = looked_at();
        assert_eq!(names(&rows), ["c/default", "a/default", "b/default"]);
        rows.sort = Sort::Dead;
        assert_eq!(names(&rows), ["b/default", "a/default", "c/default"]);
        rows.sort = Sort::Name;
        rows.reversed = true;
        assert_eq!(names(&rows), ["c/default", "b/default", "a/default"]);
        rows.search = "B/".into();
        assert_eq!(names(&rows), ["b/default"]);
    }

    #[test]
    fn rates_are_what_came_between_two_looks() {
        let rows = looked_at();
        let b = rows.shown().find(|row| row.name == "b/default").unwrap();
        assert_eq!((b.came, b.acked), (Some(50.0), Some(25.0)));
        assert_eq!((b.cell(Sort::In).as_str(), b.cell(Sort::Ready).as_str()), ("50", "1"));
        assert_eq!(rows.sums(), (9, 0, 9, 50.0, 25.0));
    }

    #[test]
    fn the_mark_stays_on_the_rows() {
        let mut rows = looked_at();
        for (by, at) in [(1, 1), (5, 2), (isize::MIN, 0), (isize::MAX, 2), (-1, 1)] {
            rows.move_by(by);
            assert_eq!(rows.marked, at, "{by}");
        }
    }

    #[test]
    fn columns_go_round() {
        assert_eq!(Sort::Out.next(1), Sort::Name);
        assert_eq!(Sort::Name.next(-1), Sort::Out);
    }
}
