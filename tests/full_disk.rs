//! The broker on a disk that gets full: publishes are refused and nothing else is, what was
//! confirmed stays, and publishing goes on by itself once there is room.
//!
//! The disk is a small file system in memory, which only root may mount; elsewhere the tests say so
//! and pass.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/process.rs"]
mod process;

use process::{Http, Otq, PATIENCE, Process};
use serde_json::{Value, json};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Of the disk.
const DISK: &str = "size=72m";
/// Of the file on it that is deleted to make room.
const BALLAST_BYTES: usize = 24 << 20;
/// Of each body.
const BODY_BYTES: usize = 48 << 10;
/// Rows of one PUTACK.
const ROWS: usize = 3;
/// More messages than the disk has room for.
const MESSAGES_MAX: usize = 4_000;
/// Room left on the disk when the broker starts without its reserve: less than the reserve, and
/// much less than it publishes when nothing keeps it from that.
const LEFT_BYTES: u64 = 6 << 20;
/// Room with which a start and acks must do, as the refusal of a start says.
const START_BYTES: u64 = 1 << 20;
/// Publishes tried then; they would fit several times over if they were taken.
const REFUSALS: usize = 100;
/// Times that messages are taken from the full broker.
const ROUNDS: usize = 8;
/// Time for an ack; longer than a slow machine needs.
const ACK_MS: u64 = 600_000;
/// Most messages of one receive or GET.
const DRAIN_MAX: usize = 50;

/// Received and acked over HTTP; emptied over otq.
const ACKED: &str = "acked";
const TAKEN: &str = "taken";

/// A small file system, unmounted when dropped.
struct Disk(TempDir);

impl Disk {
    /// `None`, and why, where it cannot be mounted.
    fn mount() -> Option<Disk> {
        let at = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "octoq-full-disk"])
            .arg(at.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Disk(at)),
            other => {
                println!("skipped, a file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it with another file, but for so many bytes.
    fn leave(&self, bytes: u64) -> PathBuf {
        let path = self.path().join("more-ballast");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        let length = file.metadata().unwrap().len();
        assert!(length > bytes, "only {length} bytes were free");
        file.set_len(length - bytes).unwrap();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also when the broker, killed a moment ago, has not let go of it.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// What the clients know.
#[derive(Default)]
struct Known {
    next: usize,
    confirmed: HashSet<String>,
    refused: HashSet<String>,
    /// Acknowledged or taken, and confirmed so.
    gone: HashSet<String>,
}

impl Known {
    fn body(&mut self) -> String {
        self.next += 1;
        assert!(self.next < MESSAGES_MAX, "the disk does not get full");
        format!("{:08}{}", self.next, ".".repeat(BODY_BYTES))
    }

    fn answered(&mut self, body: String, taken: bool) {
        let fresh = if taken { &mut self.confirmed } else { &mut self.refused }.insert(body);
        assert!(fresh);
    }

    fn leaves(&mut self, body: &str) {
        let name = &body[..8];
        assert!(self.confirmed.contains(body), "{name} was never confirmed");
        assert!(self.gone.insert(body.to_owned()), "{name} came again");
    }
}

/// Both doors of a running broker.
struct Clients {
    http: Http,
    otq: Otq,
}

impl Clients {
    fn of(broker: &Process) -> Clients {
        Clients { http: Http::connect(broker.http).unwrap(), otq: Otq::login(broker.otq).unwrap() }
    }

    fn create(&mut self, topic: &str) {
        let new = json!({
            "name": topic,
            "policy": { "durability": "sync" },
            "queues": [{ "name": "default", "policy": { "max_deliveries": 0, "ack_deadline_ms": ACK_MS } }],
        });
        let (status, made) = self.http.ask("POST", "/v1/topics", &new.to_string()).unwrap();
        assert_eq!(status, 201, "{made}");
    }

    /// Publishes one message over HTTP. False: the disk is full.
    fn post(&mut self, known: &mut Known) -> bool {
        let body = known.body();
        let path = format!("/v1/topics/{ACKED}/messages");
        let message = json!({ "body": body }).to_string();
        let (status, answer) = self.http.ask("POST", &path, &message).unwrap();
        match status {
            201 => (),
            507 => assert_eq!(answer["code"], "disk_full", "{answer}"),
            _ => panic!("{status} {answer}"),
        }
        known.answered(body, status == 201);
        status == 201
    }

    /// Publishes rows over otq. False: each of them failed.
    fn put(&mut self, known: &mut Known) -> bool {
        let rows: Vec<String> = (0..ROWS).map(|_| known.body()).collect();
        let lines: String = rows.iter().map(|row| format!("{row}\r\n")).collect();
        self.otq.send(&format!("OTQ PUTACK {TAKEN} {ROWS} BATCH\r\n{lines}")).unwrap();
        assert_eq!(self.otq.line().unwrap(), "PROCEED");
        let mut any = false;
        for row in rows {
            let taken = match self.otq.line().unwrap().as_str() {
                "SUCCESS" => {
                    self.otq.line().unwrap().parse::<u64>().expect("the size of the topic");
                    true
                }
                "FAIL" => false,
                other => panic!("{other}"),
            };
            any |= taken;
            known.answered(row, taken);
        }
        assert_eq!(self.otq.line().unwrap(), "ENDOFRESP");
        any
    }

    fn readyz(&mut self) -> (u16, Value) {
        self.http.ask("GET", "/readyz", "").unwrap()
    }

    /// Publishes until both doors refuse, and the broker says that it is not ready, at one time.
    ///
    /// A broker that finds the room it keeps for acks untouched looks whether all is well again, so
    /// one refusal alone is not yet a full disk.
    fn fill(&mut self, known: &mut Known) {
        loop {
            while self.post(known) {}
            if self.put(known) {
                continue;
            }
            let (status, problem) = self.readyz();
            if status == 507 {
                assert_eq!(problem["code"], "disk_full", "{problem}");
                return;
            }
        }
    }

    /// Receives a few messages over HTTP and acks them. Returns how many.
    fn ack(&mut self, known: &mut Known, max: usize) -> usize {
        let receive = format!("/v1/topics/{ACKED}/receive?max={max}");
        let (status, received) = self.http.ask("POST", &receive, "").unwrap();
        assert_eq!(status, 200, "{received}");
        let messages = received["messages"].as_array().unwrap();
        if messages.is_empty() {
            return 0;
        }
        let receipts: Vec<&Value> = messages.iter().map(|message| &message["receipt"]).collect();
        let path = format!("/v1/topics/{ACKED}/ack");
        let acks = json!({ "receipts": receipts }).to_string();
        let (status, acked) = self.http.ask("POST", &path, &acks).unwrap();
        assert_eq!(status, 200, "{acked}");
        let results = acked["results"].as_array().unwrap();
        assert_eq!(results.len(), messages.len());
        assert!(results.iter().all(|result| result["ok"] == true), "{acked}");
        for message in messages {
            known.leaves(message["body"].as_str().unwrap());
        }
        messages.len()
    }

    /// Takes messages over otq. Returns how many.
    fn take(&mut self, known: &mut Known, max: usize) -> usize {
        let rows = self.otq.get(TAKEN, max).unwrap();
        rows.iter().for_each(|row| known.leaves(row));
        rows.len()
    }
}

/// Waits until it is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A broker whose store is on the disk; what it logs is elsewhere.
fn start(folder: &Path, disk: &Disk) -> Process {
    let store = format!("store.path={}", disk.path().join("store").display());
    Process::start(folder, &[&store])
}

/// A broker on a disk that is full, with all it was asked for while that was so.
fn fill_up(folder: &Path, disk: &Disk, known: &mut Known) -> (Process, Clients) {
    let mut ballast = File::create(disk.ballast()).unwrap();
    ballast.write_all(&vec![1; BALLAST_BYTES]).unwrap();
    let broker = start(folder, disk);
    let mut clients = Clients::of(&broker);
    [ACKED, TAKEN].into_iter().for_each(|topic| clients.create(topic));
    assert_eq!(clients.readyz().0, 200);
    // Both topics get a share, whatever door is refused first.
    for _ in 0..2 * ROUNDS {
        assert!(clients.post(known) && clients.put(known), "the disk has room yet");
    }
    for _ in 0..ROUNDS {
        clients.fill(known);
        assert_eq!(clients.ack(known, 2), 2);
        assert_eq!(clients.take(known, 2), 2);
    }
    clients.fill(known);
    (broker, clients)
}

/// Empties both topics, and compares with what the clients know.
fn drain(clients: &mut Clients, known: &mut Known) {
    while clients.ack(known, DRAIN_MAX) > 0 {}
    while clients.take(known, DRAIN_MAX) > 0 {}
    let lost: Vec<&str> = known.confirmed.difference(&known.gone).map(|body| &body[..8]).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
    println!("{} confirmed, {} refused", known.confirmed.len(), known.refused.len());
}

/// A broker that was killed on a full disk.
fn killed_when_full(folder: &Path, disk: &Disk, known: &mut Known) {
    let (broker, clients) = fill_up(folder, disk, known);
    drop(clients);
    broker.kill();
}

/// Starts a broker, empties it, compares, and stops it.
fn start_and_drain(folder: &Path, disk: &Disk, known: &mut Known) {
    let broker = start(folder, disk);
    drain(&mut Clients::of(&broker), known);
    broker.stop();
}

#[test]
fn publishing_goes_on_by_itself_when_there_is_room_and_a_kill_loses_nothing() {
    let Some(disk) = Disk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let (broker, mut clients) = fill_up(folder.path(), &disk, &mut known);

    fs::remove_file(disk.ballast()).unwrap();
    eventually("the broker is ready", || clients.readyz().0 == 200);
    for _ in 0..ROUNDS {
        assert!(clients.post(&mut known) && clients.put(&mut known), "there is room again");
    }
    assert_eq!(clients.readyz().0, 200);
    assert_eq!(clients.ack(&mut known, 2) + clients.take(&mut known, 2), 4);

    broker.kill();
    start_and_drain(folder.path(), &disk, &mut known);
}

#[test]
fn a_broker_killed_on_a_full_disk_starts_on_it_and_gives_out_what_was_confirmed() {
    let Some(disk) = Disk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    killed_when_full(folder.path(), &disk, &mut known);
    start_and_drain(folder.path(), &disk, &mut known);
}

#[test]
fn a_broker_that_starts_without_its_reserve_refuses_publishes_at_once_and_takes_all_acks() {
    let Some(disk) = Disk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    killed_when_full(folder.path(), &disk, &mut known);
    assert!(!disk.path().join("store/RESERVE").exists(), "it was given up");
    let more = disk.leave(LEFT_BYTES);

    let broker = start(folder.path(), &disk);
    let mut clients = Clients::of(&broker);
    let (status, problem) = clients.readyz();
    assert_eq!((status, &problem["code"]), (507, &json!("disk_full")), "{problem}");
    for _ in 0..REFUSALS {
        assert!(!clients.post(&mut known) && !clients.put(&mut known), "there is no reserve");
    }
    // Each ack a commit of its own; without room this fails, or takes from what others need.
    drain(&mut clients, &mut known);

    fs::remove_file(more).unwrap();
    fs::remove_file(disk.ballast()).unwrap();
    eventually("the broker is ready", || clients.readyz().0 == 200);
    assert!(disk.path().join("store/RESERVE").exists(), "it is set aside again");
    assert!(clients.post(&mut known) && clients.put(&mut known), "there is room again");
    broker.kill();
    start_and_drain(folder.path(), &disk, &mut known);
}

#[test]
fn a_broker_that_finds_no_room_at_all_says_where_it_needs_some_and_starts_with_little() {
    let Some(disk) = Disk::mount() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut known = Known::default();
    let (mut broker, clients) = fill_up(folder.path(), &disk, &mut known);
    drop(clients);
    // It gives back its log; whether it could note that it was stopped does not matter here.
    broker.signal("TERM");
    process::wait(&mut broker.child);
    let more = disk.leave(0);

    let store = format!("store.path={}", disk.path().join("store").display());
    let ended = process::run(&mut process::serve(folder.path(), &[&store]), "");
    assert!(!ended.status.success(), "{ended:?}");
    let path = disk.path().join("store");
    let says = format!("the store {} cannot be opened: free at least 1 MiB there", path.display());
    assert!(ended.err.contains(&says), "{ended:?}");

    let filled = File::options().write(true).open(&more).unwrap();
    filled.set_len(filled.metadata().unwrap().len() - START_BYTES).unwrap();
    let broker = start(folder.path(), &disk);
    let mut clients = Clients::of(&broker);
    assert!(!clients.post(&mut known) && !clients.put(&mut known), "there is no room");
    drain(&mut clients, &mut known);
    broker.kill();
}
