//! Imports out of real Redis, PostgreSQL and SQLite, filled as the originals fill them: everything
//! arrives with its state, a second run brings only what is new, and the source is as it was.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod blockqueue;
mod command;
#[path = "../common/mod.rs"]
mod common;
mod dsmq;
mod fastqueue;
mod octoque;
mod okq;
#[path = "../common/process.rs"]
mod process;
mod stores;

use common::TestBroker;
use octoq::broker::{Op, Reply};
use octoq::config::Config;
use octoq::import::report::{Now, Report, Tally};
use octoq::import::{ImportError, Source};
use octoq::queue::{QueueName, Receive, State, TopicName, View};
use std::path::Path;
use tokio::sync::watch;

/// A store that imports go to; a broker runs on it only between them.
struct Target {
    folder: tempfile::TempDir,
}

impl Target {
    fn new() -> Self {
        Target { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    async fn copy(&self, source: impl Source, dry_run: bool) -> Result<Report, ImportError> {
        let config = Config::load(None, &common::settings(self.path())).unwrap();
        let (_never, stop) = watch::channel(false);
        octoq::cli::import::copy(source, config, dry_run, stop).await
    }

    async fn import(&self, source: impl Source) -> Report {
        self.copy(source, false).await.unwrap()
    }

    async fn look(&self, source: impl Source) -> Report {
        self.copy(source, true).await.unwrap()
    }

    /// Why it is refused; nothing was made.
    async fn refusal(&self, source: impl Source) -> String {
        self.copy(source, false).await.unwrap_err().to_string()
    }

    async fn serve(self) -> Served {
        Served { broker: TestBroker::start_in(self.folder, &[]).await }
    }
}

/// A broker on the store.
struct Served {
    broker: TestBroker,
}

impl Served {
    async fn stop(self) -> Target {
        Target { folder: self.broker.stop().await }
    }

    async fn ask(&self, topic: &str, op: Op) -> Reply {
        let broker = &self.broker.server.broker;
        let name = TopicName::parse(topic).unwrap();
        let handle = broker.topic(&broker.anonymous(), &name).await.unwrap();
        handle.ask(op).await.unwrap()
    }

    /// The messages of a queue in a state.
    async fn list(&self, topic: &str, queue: &str, state: State) -> Vec<View> {
        let queue = Some(QueueName::parse(queue).unwrap());
        match self.ask(topic, Op::List { queue, state, after: None, max: 1000 }).await {
            Reply::Listed(page) => page.views,
            other => panic!("{other:?}"),
        }
    }

    async fn bodies(&self, topic: &str, queue: &str, state: State) -> Vec<String> {
        self.list(topic, queue, state).await.iter().map(body).collect()
    }

    /// Takes messages for good, as a consumer that acks them; without a queue out of a backlog.
    async fn take(&self, topic: &str, queue: &str, max: usize) -> Vec<String> {
        let queue = QueueName::parse(queue).ok();
        let request = Receive {
            max,
            bytes_max: usize::MAX,
            ack_deadline: None,
            take: true,
            from_back: false,
        };
        match self.ask(topic, Op::Receive { queue, request, wait: None }).await {
            Reply::Delivered(deliveries) => deliveries
                .iter()
                .map(|delivery| String::from_utf8_lossy(delivery.message.body()).into_owned())
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    async fn settings(&self, topic: &str, queue: &str) -> octoq::queue::QueuePolicy {
        let broker = &self.broker.server.broker;
        let name = TopicName::parse(topic).unwrap();
        let handle = broker.topic(&broker.anonymous(), &name).await.unwrap();
        let queues = handle.describe().await.unwrap().queues;
        let queue = QueueName::parse(queue).unwrap();
        queues.into_iter().find(|(name, _, _)| *name == queue).unwrap().1
    }
}

fn body(view: &View) -> String {
    String::from_utf8_lossy(view.message.body()).into_owned()
}

/// The counts of a row of the report.
#[track_caller]
fn row<'a>(report: &'a Report, name: &str) -> &'a Tally {
    let found = report.rows.iter().find(|(shown, _, _)| shown == name);
    &found.unwrap_or_else(|| panic!("no row `{name}` in\n{report}")).2
}

/// Found in the source as (waiting, delayed, held, dead).
#[track_caller]
fn found(report: &Report, name: &str) -> (u64, u64, u64, u64) {
    let tally = row(report, name);
    (tally.waiting, tally.delayed, tally.held, tally.dead)
}

/// (copied, before, there already, refused)
#[track_caller]
fn became(report: &Report, name: &str) -> (u64, u64, u64, u64) {
    let tally = row(report, name);
    (tally.copied, tally.before, tally.there, tally.refused)
}

/// In octoq afterwards as (ready, delayed, in flight, dead).
#[track_caller]
fn now(report: &Report, name: &str) -> (u64, u64, u64, u64) {
    let Now { ready, delayed, in_flight, dead } = row(report, name).now.unwrap();
    (ready, delayed, in_flight, dead)
}

/// Every file below a folder with its bytes, to see that nothing has changed.
fn files(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}
