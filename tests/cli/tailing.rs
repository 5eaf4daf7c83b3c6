//! tail.

use super::*;
use std::{
    fs,
    path::PathBuf,
    process::{Child, Stdio},
};

/// A follower whose output can be looked at.
pub struct Tail {
    pub child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Tail {
    pub fn start(cli: &Cli, arguments: &[&str]) -> Tail {
        let (out, err) = (cli.folder.path().join("out"), cli.folder.path().join("err"));
        let child = cli
            .command(arguments)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Tail { child, out, err }
    }

    fn out(&self) -> String {
        fs::read_to_string(&self.out).unwrap()
    }

    pub fn err(&self) -> String {
        fs::read_to_string(&self.err).unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn subscribers(cli: &Cli) -> Value {
    cli.json(&["topic", "info", "pubsub"])["subscribers"].clone()
}

#[test]
fn messages_are_followed_as_they_come() {
    let cli = Cli::start();
    let mut tail = Tail::start(&cli, &["tail", "pubsub", "-n", "3"]);
    eventually("it follows", || subscribers(&cli) == 1);
    cli.good(&["put", "pubsub", "m{{n}}", "--count", "3"]);
    assert_eq!(process::wait(&mut tail.child).code(), Some(0));
    assert_eq!(tail.out(), "m1\nm2\nm3\n");
    // From a place in the history.
    let first =
        cli.good(&["tail", "pubsub", "-n", "1", "--output", "json", "--after", &after(&cli, 0)]);
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["body"], &first["type"]), (&"m1".into(), &"message".into()));
    assert_eq!(cli.good(&["tail", "pubsub", "-n", "1", "--after", &after(&cli, 2)]), "m3\n");
    cli.bad(&["tail", "default"], 1, "get --follow");
    cli.bad(&["tail", "nosuch"], 1, "topic_not_found");
}

/// A position of the topic `pubsub`.
fn after(cli: &Cli, seq: u64) -> String {
    format!("{}-{seq}", cli.json(&["topic", "info", "pubsub"])["epoch"])
}

#[test]
fn nothing_is_missed_when_the_broker_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let address = broker.http;
    let cli = Cli { broker, folder };
    let tail = Tail::start(&cli, &["tail", "pubsub"]);
    eventually("it follows", || subscribers(&cli) == 1);
    cli.good(&["put", "pubsub", "before"]);
    eventually("the first has come", || tail.out() == "before\n");
    let Cli { broker, folder } = cli;
    broker.stop();
    eventually("it has noticed", || tail.err().contains("trying again"));
    let listen = format!("http.listen={address}");
    let broker = Process::start(folder.path(), &[&listen]);
    let cli = Cli { broker, folder };
    cli.good(&["put", "pubsub", "meanwhile"]);
    eventually("it has gone on", || tail.out() == "before\nmeanwhile\n");
    cli.good(&["put", "pubsub", "afterwards"]);
    eventually("and follows", || tail.out() == "before\nmeanwhile\nafterwards\n");
}

#[test]
fn a_broker_that_stays_away_ends_it_when_that_was_said() {
    let cli = Cli::start();
    let mut tail = Tail::start(&cli, &["tail", "pubsub", "--retry", "300ms"]);
    eventually("it follows", || subscribers(&cli) == 1);
    let Cli { broker, folder: _folder } = cli;
    broker.kill();
    assert_eq!(process::wait(&mut tail.child).code(), Some(5));
    assert!(tail.err().contains("did not come back"), "{}", tail.err());
}

#[test]
fn a_gap_and_a_topic_that_goes_are_told() {
    let cli = Cli::start();
    cli.good(&["topic", "new", "short", "--kind", "pubsub", "--history", "2"]);
    // Claimed by somebody, so that the history's bounds count.
    let mut first = Tail::start(&cli, &["tail", "short", "-n", "6"]);
    eventually("it follows", || cli.json(&["topic", "info", "short"])["subscribers"] == 1);
    cli.good(&["put", "short", "m{{n}}", "--count", "6"]);
    assert_eq!(process::wait(&mut first.child).code(), Some(0));
    drop(first);
    eventually("it has gone", || cli.json(&["topic", "info", "short"])["subscribers"] == 0);
    let epoch = cli.json(&["topic", "info", "short"])["epoch"].clone();
    // Nothing else has to be published for it.
    let back = format!("{epoch}-0");
    let kept = || cli.good(&["tail", "short", "-n", "2", "--after", &back]);
    eventually("no more is kept than was asked for", || kept() == "m5\nm6\n");
    cli.good(&["put", "short", "m7"]);
    let mut tail = Tail::start(&cli, &["tail", "short", "--after", &format!("{epoch}-1")]);
    eventually("the gap is told", || tail.err().contains("were missed"));
    eventually("what is there comes", || tail.out() == "m5\nm6\nm7\n");
    cli.good(&["topic", "rm", "short", "--yes"]);
    assert_eq!(process::wait(&mut tail.child).code(), Some(1));
    assert!(tail.err().contains("the topic was deleted"), "{}", tail.err());
}
