//! The disk: full, flat, synced in time.

use super::*;
use crate::journal::folder::Reserve;
use std::{fs, process::Command as Program};

/// Runs a statement on the writer's own connection.
fn sql(journal: &Journal, statement: &'static str) {
    let (done, ran) = sync_channel(1);
    journal.commands().unwrap().send(Command::Sql(statement, done)).unwrap();
    ran.recv().unwrap();
}

fn big(number: u64) -> Record {
    Record::Published(Stored {
        stamped: false,
        body: vec![b'x'; 100_000].into(),
        ..stored(number, Place::Queue(1))
    })
}

/// Publishes until refused; returns the numbers that were taken.
fn fill(journal: &Journal) -> Vec<u64> {
    let mut taken = Vec::new();
    loop {
        let number = journal.numbers(1);
        match write(journal, Level::Sync, vec![big(number)]) {
            Ok(()) => taken.push(number),
            Err(error) => {
                assert_eq!(error, JournalError::DiskFull);
                return taken;
            }
        }
        assert!(taken.len() < 10_000, "the disk does not get full");
    }
}

#[test]
fn a_full_store_refuses_publishes_takes_acks_and_recovers() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    sql(&journal, "PRAGMA max_page_count = 200");
    let taken = fill(&journal);
    assert!(journal.is_full() && taken.len() > 5);
    put(&journal, taken.iter().map(|&number| acked(number)).collect());
    assert!(matches!(
        write(&journal, Level::Sync, vec![topic(9, Kind::Broker)]),
        Err(JournalError::DiskFull) | Ok(())
    ));
    eventually("room again", || !journal.is_full());
    let number = journal.numbers(1);
    put(&journal, vec![big(number)]);
    assert_eq!(numbers_in(&journal), [number]);
}

/// A small file system in memory, unmounted when dropped. `None`, and why, where that may not be.
struct Small(TempDir);

impl Small {
    fn mount(size: &str) -> Option<Small> {
        let at = folder();
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "octoq-test"])
            .arg(at.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Small(at)),
            other => {
                println!("skipped, a file system cannot be mounted here: {other:?}");
                None
            }
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn the_reserve_takes_real_room_or_none() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(small) = Small::mount("8m") else { return };
    let (at, path) = (small.0.path(), small.0.path().join("RESERVE"));
    Reserve::new(at, 64 << 20).take().unwrap_err();
    assert!(!path.exists(), "what is not whole is not kept");
    let reserve = Reserve::new(at, 5 << 20);
    reserve.take().unwrap();
    let made = fs::metadata(&path).unwrap();
    assert_eq!(made.len(), 5 << 20);
    assert!(made.blocks() * 512 >= 5 << 20, "{} blocks", made.blocks());
    fs::write(at.join("more"), vec![1; 4 << 20]).unwrap_err();
    assert!(reserve.give_up());
    fs::write(at.join("more"), vec![1; 4 << 20]).unwrap();
}

#[test]
fn a_full_file_system_refuses_publishes_takes_acks_and_recovers() {
    let Some(small) = Small::mount("80m") else { return };
    let path = small.0.path().join("store");
    let ballast = small.0.path().join("ballast");
    fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    let roomy = JournalSettings { reserve_bytes: 16 << 20, ..settings(&path) };
    let (journal, catalog) = Journal::open(roomy).unwrap();
    assert_eq!(catalog.warnings, Vec::<String>::new());
    furnish(&journal);
    let taken = fill(&journal);
    assert!(journal.is_full() && journal.figures().full && taken.len() > 20, "{}", taken.len());
    assert_eq!(read_all(&journal).len(), taken.len(), "still served");

    // Half of them one by one: each is a commit that needs room in the log.
    let (acks, rest) = taken.split_at(taken.len() / 2);
    for &number in acks {
        put(&journal, vec![acked(number)]);
    }
    let image = crash_image(&path);
    let (crashed, _) = open(image.path());
    assert_eq!(numbers_in(&crashed), rest);

    fs::remove_file(&ballast).unwrap();
    eventually("room again", || !journal.is_full());
    assert!(path.join("RESERVE").exists());
    let number = journal.numbers(1);
    put(&journal, vec![big(number)]);
    let expected: Vec<u64> = rest.iter().copied().chain([number]).collect();
    assert_eq!(numbers_in(&journal), expected);
    journal.close().unwrap();
    let (journal, _) = open(&path);
    assert_eq!(numbers_in(&journal), expected);
}

#[test]
fn a_store_on_a_full_disk_opens_and_serves() {
    let Some(small) = Small::mount("12m") else { return };
    let path = small.0.path().join("store");
    let (journal, _) = open(&path);
    furnish(&journal);
    put(&journal, vec![published(1, 1), published(2, 1)]);
    drop(journal);
    let rest = fs::File::create(small.0.path().join("ballast")).unwrap();
    let _ = std::io::Write::write_all(&mut &rest, &vec![1; 12 << 20]);
    let (journal, catalog) = open(&path);
    assert!(catalog.warnings.iter().any(|line| line.contains("disk is full")), "{catalog:?}");
    assert!(journal.is_full());
    assert_eq!(write(&journal, Level::Sync, vec![published(3, 1)]), Err(JournalError::DiskFull));
    put(&journal, vec![acked(1)]);
    assert_eq!(numbers_in(&journal), [2]);
}

#[test]
fn the_store_stays_as_large_as_what_lives_in_it() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    let round = |round: u64| {
        let first = 1 + round * 100;
        let mut records: Vec<Record> = (first..first + 100)
            .map(|number| {
                Record::Published(Stored {
                    stamped: false,
                    body: vec![b'x'; 1000].into(),
                    ..stored(number, Place::Queue(1))
                })
            })
            .collect();
        // Two rounds behind; every 50th is never acked.
        if round >= 2 {
            records.extend((first - 200..first - 100).filter(|number| number % 50 != 0).map(acked));
        }
        write(&journal, Level::Async, records).unwrap();
    };
    (0..50).for_each(round);
    let pages = || rows(at.path(), "SELECT count(*) FROM dbstat WHERE name = 'msg'");
    let early = pages();
    (50..250).for_each(round);
    // 400 stragglers more, at worst one page each, and no trace of 20,000 messages.
    assert!(pages() <= early + 420, "{early} -> {}", pages());
    journal.close().unwrap();
}

#[test]
fn room_goes_back_to_the_disk_when_a_backlog_is_drained() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    for chunk in 0..4 {
        put(&journal, (1..=100).map(|number| big(chunk * 100 + number)).collect());
    }
    put(&journal, (1..=400).map(acked).collect());
    let file = super::folder::database(at.path());
    eventually("given back", || fs::metadata(&file).unwrap().len() < 20 << 20);
    assert_eq!(numbers_in(&journal), Vec::<u64>::new());
}

#[test]
fn async_commits_are_synced_within_the_interval_and_sync_ones_at_once() {
    let at = folder();
    let slow = JournalSettings { sync_interval: Duration::from_secs(3600), ..settings(at.path()) };
    let (journal, _) = Journal::open(slow).unwrap();
    write(&journal, Level::Async, vec![topic(1, Kind::Broker)]).unwrap();
    let figures = journal.figures();
    assert_eq!((figures.commits, figures.syncs), (1, 0));
    write(&journal, Level::Sync, vec![queue(1, 1)]).unwrap();
    assert_eq!(journal.figures().syncs, 1);
    drop(journal);
    let (journal, _) = open(at.path());
    write(&journal, Level::Async, vec![published(1, 1)]).unwrap();
    eventually("synced", || journal.figures().syncs == 1);
}

#[test]
fn a_reader_does_not_keep_the_log_from_starting_anew() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, vec![big(1), big(2)]);
    let (answer, got) = mpsc::channel();
    for number in 10..600 {
        put(&journal, vec![big(number)]);
        put(&journal, vec![acked(number)]);
        let answer = answer.clone();
        journal
            .fetch(vec![1, 2], Box::new(move |bodies| answer.send(bodies.len()).unwrap()))
            .unwrap();
        if number % 100 == 0 {
            journal.restore(None, &mut |_| true, &mut |_| ()).unwrap();
        }
    }
    drop(answer);
    assert_eq!(got.iter().sum::<usize>(), 2 * 590);
    let log = fs::metadata(super::folder::log(at.path())).unwrap().len();
    assert!(log < 96 << 20, "the log has grown to {log} bytes");
}
