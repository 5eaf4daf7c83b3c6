//! The command line: the real binary against a real broker, each command as a script would use it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod access;
mod backups;
mod dead;
mod figures;
mod general;
mod messages;
mod tailing;
mod topics;

#[path = "../common/process.rs"]
mod process;

use process::{Ended, Process, run};
use serde_json::Value;
use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A broker in a process of its own, and the binary as its client.
struct Cli {
    broker: Process,
    folder: TempDir,
}

impl Cli {
    fn start() -> Cli {
        Cli::start_with(&[])
    }

    fn start_with(settings: &[&str]) -> Cli {
        let folder = tempfile::tempdir().unwrap();
        Cli { broker: Process::start(folder.path(), settings), folder }
    }

    /// The binary with these arguments, to be run against the broker.
    fn command(&self, arguments: &[&str]) -> Command {
        command(&self.folder, self.broker.http, arguments)
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        self.run_with(arguments, "")
    }

    /// With something on its standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Ended {
        run(&mut self.command(arguments), input)
    }

    /// Its output, when it did what it should.
    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        good(self.run(arguments))
    }

    #[track_caller]
    fn good_with(&self, arguments: &[&str], input: &str) -> String {
        good(self.run_with(arguments, input))
    }

    /// The one JSON value it prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let out = self.good(&[arguments, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }

    /// It fails with this exit code and says this.
    #[track_caller]
    fn bad(&self, arguments: &[&str], code: i32, says: &str) {
        bad(&self.run(arguments), code, says);
    }
}

/// The binary, with a home of its own, for a broker.
fn command(home: &TempDir, http: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = process::octoq(home.path());
    for name in ["OCTOQ_USER", "OCTOQ_PASSWORD", "OCTOQ_TOKEN", "OCTOQ_CONTEXT", "OCTOQ_JSON"] {
        command.env_remove(name);
    }
    command
        .env("XDG_CONFIG_HOME", home.path().join("config"))
        .env("OCTOQ_URL", format!("http://{http}"))
        .args(arguments);
    command
}

#[track_caller]
fn good(ended: Ended) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    ended.out
}

#[track_caller]
fn bad(ended: &Ended, code: i32, says: &str) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert!(ended.err.contains(says), "`{says}` is not in {ended:?}");
}

/// Waits until something holds, which must come.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + process::PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
