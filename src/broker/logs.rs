//! The last lines of the log, for who operates the broker from afar.
//!
//! Every line goes to where it went before, and over a bounded channel to an actor that keeps the last
//! of them. Whoever logs never waits: what finds the channel full is counted and not kept.

use super::clock;
use crate::queue::Timestamp;
use actix::{Actor, AsyncContext, Context, Handler, Message, MessageResult, StreamHandler};
use log::{Level, Log, Metadata, Record};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::mpsc;

/// The bounds of what is kept, from `[log]`; see config/octoq.toml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Lines kept.
    pub tail_lines: usize,
    /// Longest line, bytes; what is longer is cut.
    pub line_bytes_max: usize,
    /// Lines on their way.
    pub queue_max: usize,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Ascending by one; 0 until it is kept.
    pub seq: u64,
    /// When it was logged.
    pub at: Timestamp,
    /// How grave it is.
    pub level: Level,
    /// Which part of the program logged it.
    pub target: Box<str>,
    /// What it says.
    pub message: Box<str>,
}

/// A logger that passes everything on to another one, and what that one prints also to the broker.
pub struct LogSink<L> {
    printer: L,
    prints: fn(&L, &Record<'_>) -> bool,
    to: mpsc::Sender<LogLine>,
    dropped: Arc<AtomicU64>,
    line_bytes_max: usize,
}

/// Where the lines come out: for [`Broker::keep_log`](super::Broker::keep_log).
#[derive(Debug)]
pub struct LogFeed {
    lines: mpsc::Receiver<LogLine>,
    dropped: Arc<AtomicU64>,
    bounds: LogBounds,
}

impl<L: Log> LogSink<L> {
    /// In front of `printer`, of which `prints` tells whether it prints a line.
    pub fn new(
        printer: L,
        prints: fn(&L, &Record<'_>) -> bool,
        bounds: LogBounds,
    ) -> (LogSink<L>, LogFeed) {
        let (to, lines) = mpsc::channel(bounds.queue_max.max(1));
        let (dropped, line_bytes_max) = (Arc::<AtomicU64>::default(), bounds.line_bytes_max);
        let feed = LogFeed { lines, dropped: dropped.clone(), bounds };
        (LogSink { printer, prints, to, dropped, line_bytes_max }, feed)
    }
}

/// At most so many bytes of a text, whole characters.
fn cut(mut text: String, bytes_max: usize) -> Box<str> {
    text.truncate(text.floor_char_boundary(bytes_max));
    text.into_boxed_str()
}

impl<L: Log> Log for LogSink<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.printer.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.printer.log(record);
        if !(self.prints)(&self.printer, record) {
            return;
        }
        // A place first: a line that is not kept costs no text.
        match self.to.try_reserve() {
            Ok(place) => place.send(LogLine {
                seq: 0,
                at: clock::now(),
                level: record.level(),
                target: cut(record.target().to_owned(), self.line_bytes_max),
                message: cut(record.args().to_string(), self.line_bytes_max),
            }),
            Err(mpsc::error::TrySendError::Full(())) => {
                self.dropped.fetch_add(1, Relaxed);
            }
            // Nobody keeps lines any more.
            Err(mpsc::error::TrySendError::Closed(())) => (),
        }
    }

    fn flush(&self) {
        self.printer.flush();
    }
}

/// The actor that keeps the last lines.
#[derive(Debug, Default)]
pub struct LogKeeper {
    lines: VecDeque<LogLine>,
    seq: u64,
    max: usize,
    dropped: Arc<AtomicU64>,
}

impl Actor for LogKeeper {
    type Context = Context<Self>;
}

/// Lines come from here from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct KeepLog(pub LogFeed);

impl Handler<KeepLog> for LogKeeper {
    type Result = ();

    fn handle(&mut self, KeepLog(feed): KeepLog, ctx: &mut Context<Self>) {
        let LogFeed { mut lines, dropped, bounds } = feed;
        (self.dropped, self.max) = (dropped, bounds.tail_lines);
        ctx.add_stream(futures_util::stream::poll_fn(move |task| lines.poll_recv(task)));
    }
}

impl StreamHandler<LogLine> for LogKeeper {
    fn handle(&mut self, line: LogLine, _: &mut Context<Self>) {
        self.seq += 1;
        while self.lines.len() >= self.max.max(1) {
            self.lines.pop_front();
        }
        self.lines.push_back(LogLine { seq: self.seq, ..line });
    }

    /// It goes on with what it has.
    fn finished(&mut self, _: &mut Context<Self>) {}
}

/// To the keeper: lines as grave as `level` or graver.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "LogPage")]
pub struct ReadLog {
    /// The least grave level.
    pub level: Level,
    /// Those behind this number, the oldest first; `None`: the newest.
    pub after: Option<u64>,
    /// How many.
    pub limit: usize,
}

/// Some lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogPage {
    /// In their order.
    pub lines: Vec<LogLine>,
    /// Read on behind this number.
    pub next: u64,
    /// The number of the oldest line that is kept, of any level; 0 when there is none.
    pub oldest: u64,
    /// Lines that came too fast to be kept, since the start.
    pub dropped: u64,
}

impl Handler<ReadLog> for LogKeeper {
    type Result = MessageResult<ReadLog>;

    fn handle(&mut self, read: ReadLog, _: &mut Context<Self>) -> Self::Result {
        let ReadLog { level, after, limit } = read;
        let wanted = |line: &&LogLine| line.level <= level;
        let (mut lines, next): (Vec<LogLine>, u64) = match after {
            None => {
                let newest = self.lines.iter().rev().filter(wanted).take(limit).cloned();
                let newest: Vec<_> = newest.collect();
                (newest.into_iter().rev().collect(), self.seq)
            }
            Some(after) => {
                let behind = self.lines.iter().skip_while(|line| line.seq <= after);
                (behind.filter(wanted).take(limit + 1).cloned().collect(), self.seq)
            }
        };
        let more = lines.len() > limit;
        lines.truncate(limit);
        let next = lines.last().filter(|_| more).map_or(next, |last| last.seq);
        MessageResult(LogPage {
            lines,
            next,
            oldest: self.lines.front().map_or(0, |line| line.seq),
            dropped: self.dropped.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints nothing, and only what is no worse than this.
    struct Silent(Level);

    impl Log for Silent {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.level() <= self.0
        }
        fn log(&self, _: &Record<'_>) {}
        fn flush(&self) {}
    }

    fn sink(bounds: LogBounds) -> (LogSink<Silent>, LogFeed) {
        LogSink::new(Silent(Level::Debug), |it, record| it.enabled(record.metadata()), bounds)
    }

    fn say(sink: &LogSink<Silent>, level: Level, text: &str) {
        let record = Record::builder();
        sink.log(&{ record }.level(level).target("a::b").args(format_args!("{text}")).build());
    }

    const BOUNDS: LogBounds = LogBounds { tail_lines: 3, line_bytes_max: 8, queue_max: 100 };

    fn texts(page: &LogPage) -> Vec<(u64, &str)> {
        page.lines.iter().map(|line| (line.seq, &*line.message)).collect()
    }

    #[actix_web::test]
    async fn the_last_lines_are_kept_and_read_on_behind_a_number() {
        let (sink, feed) = sink(BOUNDS);
        let keeper = LogKeeper::default().start();
        keeper.send(KeepLog(feed)).await.unwrap();
        let read =
            async |level, after, limit| keeper.send(ReadLog { level, after, limit }).await.unwrap();
        assert_eq!(read(Level::Debug, None, 9).await, LogPage::default());
        for (level, text) in [
            (Level::Error, "one"),
            (Level::Trace, "not printed"),
            (Level::Info, "two"),
            (Level::Warn, "three"),
            (Level::Debug, "four äöü"),
        ] {
            say(&sink, level, text);
        }
        let deadline = clock::now().after_ms(20_000);
        let all = loop {
            let all = read(Level::Debug, None, 9).await;
            if all.next == 4 {
                break all;
            }
            assert!(clock::now() < deadline, "{all:?}");
            tokio::task::yield_now().await;
        };
        assert_eq!(texts(&all), [(2, "two"), (3, "three"), (4, "four ä")]);
        assert_eq!((all.oldest, all.dropped, &*all.lines[0].target), (2, 0, "a::b"));
        let graver = read(Level::Warn, Some(0), 9).await;
        assert_eq!((texts(&graver), graver.next), (vec![(3, "three")], 4));
        let some = read(Level::Debug, Some(1), 2).await;
        assert_eq!((texts(&some), some.next), (vec![(2, "two"), (3, "three")], 3));
        let rest = read(Level::Debug, Some(some.next), 2).await;
        assert_eq!((texts(&rest), rest.next), (vec![(4, "four ä")], 4));
        assert_eq!(texts(&read(Level::Debug, None, 1).await), [(4, "four ä")]);
    }

    #[actix_web::test]
    async fn who_logs_never_waits_and_what_is_not_kept_is_counted() {
        let (sink, feed) = sink(LogBounds { queue_max: 2, ..BOUNDS });
        for _ in 0..5 {
            say(&sink, Level::Info, "line");
        }
        assert_eq!(feed.dropped.load(Relaxed), 3);
        drop(feed);
        say(&sink, Level::Info, "nobody listens");
        assert_eq!(sink.dropped.load(Relaxed), 3);
    }
}
