//! The table of damages: what is confirmed and missing is never passed over in silence.

use super::*;
use crate::journal::check::{Verdict, accept_loss, check, repair};
use std::{
    fs,
    io::{Read, Seek, SeekFrom, Write},
};

const FRAME: u64 = 24 + 16384;

/// A store of one commit per message, as a killed process leaves it; everything is in the log.
fn killed(messages: u64, level: Level) -> TempDir {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    for number in 1..=messages {
        write(&journal, level, vec![published(number, 1)]).unwrap();
    }
    crash_image(at.path())
}

fn flip(path: &Path, at: u64) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

fn zero(path: &Path, at: u64, bytes: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&vec![0; bytes]).unwrap();
}

fn wal(at: &Path) -> PathBuf {
    super::folder::log(at)
}

/// Opens as after a restart of the machine.
fn open_rebooted(path: &Path) -> Result<(Journal, Catalog), JournalError> {
    Journal::open_in(settings(path), "another boot")
}

fn files_of(at: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(at)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("octoq.db-shm") && !path.ends_with("LOCK"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_damaged_middle_of_the_log_is_refused_with_its_place() {
    let frames_before = 40;
    for damage in ["flip", "flip of a header", "zeroed", "wal header"] {
        let at = killed(60, Level::Sync);
        let frame = 32 + frames_before * FRAME;
        let place = match damage {
            "flip" => {
                flip(&wal(at.path()), frame + 5000);
                frame
            }
            "flip of a header" => {
                flip(&wal(at.path()), frame + 18);
                frame
            }
            "zeroed" => {
                zero(&wal(at.path()), frame + FRAME - 4096, 4096);
                frame
            }
            _ => {
                flip(&wal(at.path()), 17);
                0
            }
        };
        let before = files_of(at.path());
        for _ in 0..2 {
            let refused = Journal::open(settings(at.path())).err();
            let Some(JournalError::Damaged { file, what }) = refused else {
                panic!("{damage}: {refused:?}")
            };
            assert_eq!(file, wal(at.path()), "{damage}");
            assert!(what.contains(&format!("byte {place} ")), "{damage}: {what}");
            assert!(what.contains("follow it"), "{damage}: {what}");
        }
        assert!(files_of(at.path()) == before, "{damage}: a refusal changes nothing");

        let report = check(at.path()).unwrap();
        assert_eq!((report.verdict, report.exit_status()), (Verdict::Damaged, 2), "{report}");
        assert!(report.to_string().contains(&format!("byte {place} ")), "{report}");
        assert!(files_of(at.path()) == before, "{damage}: a check changes nothing");
    }
}

#[test]
fn a_damaged_log_is_saved_beyond_the_damage_by_repair() {
    let at = killed(60, Level::Sync);
    flip(&wal(at.path()), 32 + 40 * FRAME + 5000);
    let before = files_of(at.path());
    let to = folder();
    let report = repair(at.path(), to.path()).unwrap();
    assert!(files_of(at.path()) == before, "repair changes nothing where it saves from");
    let (journal, catalog) = open(to.path());
    assert_eq!(catalog.topics.len(), 2, "{report}");
    // The pages of the log's end hold all messages again, whatever became of those before.
    let saved = numbers_in(&journal);
    assert!(saved.len() >= 59 && saved.contains(&60), "{saved:?}\n{report}");
    assert!(journal.numbers(1) > 60);
    assert!(matches!(
        repair(at.path(), to.path()),
        Err(JournalError::Io(_) | JournalError::Locked { .. })
    ));
}

#[test]
fn a_loss_that_is_accepted_opens_with_what_is_before_it() {
    let at = killed(60, Level::Sync);
    flip(&wal(at.path()), 32 + 40 * FRAME + 5000);
    let lines = accept_loss(at.path()).unwrap();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let (journal, catalog) = open(at.path());
    assert!(catalog.warnings.iter().any(|line| line.contains("LAST is missing")), "{catalog:?}");
    let saved = numbers_in(&journal);
    assert!(!saved.is_empty() && saved.len() < 60);
    assert!(
        at.path().join("octoq.db-wal.damaged").exists() && at.path().join("LAST.damaged").exists()
    );
    put(&journal, vec![published(journal.numbers(1), 1)]);
}

#[test]
fn a_torn_tail_that_nobody_was_told_of_is_cut_and_reported() {
    for damage in ["cut", "flip"] {
        let at = folder();
        let (journal, _) = open(at.path());
        furnish(&journal);
        put(&journal, (1..=5).map(|number| published(number, 1)).collect());
        // The last commit reaches the log, the process dies before it is noted and answered.
        let before = fs::read(at.path().join("LAST")).unwrap();
        put(&journal, vec![published(6, 1)]);
        let image = crash_image(at.path());
        fs::write(image.path().join("LAST"), before).unwrap();
        let end = wal::walk(&wal(image.path())).unwrap().end;
        match damage {
            "cut" => fs::OpenOptions::new()
                .write(true)
                .open(wal(image.path()))
                .unwrap()
                .set_len(end - 100)
                .unwrap(),
            _ => flip(&wal(image.path()), end - 100),
        }
        let (journal, catalog) = open(image.path());
        assert!(
            catalog.warnings.len() == 1 && catalog.warnings[0].contains("torn tail"),
            "{catalog:?}"
        );
        assert!(catalog.warnings[0].contains(&format!("byte {}", end - FRAME)), "{catalog:?}");
        assert_eq!(numbers_in(&journal), [1, 2, 3, 4, 5]);
        put(&journal, vec![published(journal.numbers(1), 1)]);
    }
}

#[test]
fn a_confirmed_commit_that_is_missing_at_the_end_is_refused_while_the_machine_ran_on() {
    let at = killed(10, Level::Async);
    let end = wal::walk(&wal(at.path())).unwrap().end;
    flip(&wal(at.path()), end - 100);
    let refused = Journal::open(settings(at.path())).err();
    let Some(JournalError::Damaged { file, what }) = refused else { panic!("{refused:?}") };
    assert_eq!(file, wal(at.path()));
    assert!(
        what.contains("confirmed") && what.contains(&format!("byte {}", end - FRAME)),
        "{what}"
    );
    fs::remove_file(wal(at.path())).unwrap();
    let refused = Journal::open(settings(at.path())).err();
    assert!(matches!(&refused, Some(JournalError::Damaged { .. })), "{refused:?}");
    fs::remove_file(super::folder::database(at.path())).unwrap();
    assert!(matches!(Journal::open(settings(at.path())), Err(JournalError::Damaged { .. })));
}

#[test]
fn a_power_cut_may_take_async_commits_but_no_sync_ones() {
    let taken = |level| {
        let at = folder();
        let slow =
            JournalSettings { sync_interval: Duration::from_secs(3600), ..settings(at.path()) };
        let (journal, _) = Journal::open(slow).unwrap();
        furnish(&journal);
        for number in 1..=10 {
            write(&journal, level, vec![published(number, 1)]).unwrap();
        }
        let image = crash_image(at.path());
        let end = wal::walk(&wal(image.path())).unwrap().end;
        fs::OpenOptions::new()
            .write(true)
            .open(wal(image.path()))
            .unwrap()
            .set_len(end - 2 * FRAME)
            .unwrap();
        image
    };
    let image = taken(Level::Async);
    let (journal, catalog) = open_rebooted(image.path()).unwrap();
    assert!(!catalog.same_boot);
    assert!(catalog.warnings.iter().any(|line| line.contains("are lost")), "{catalog:?}");
    assert_eq!(numbers_in(&journal), (1..=9).collect::<Vec<_>>());

    let image = taken(Level::Sync);
    assert!(matches!(open_rebooted(image.path()), Err(JournalError::Damaged { .. })));
}

#[test]
fn after_a_power_cut_the_unsynced_end_of_the_log_may_have_holes() {
    let at = folder();
    let slow = JournalSettings { sync_interval: Duration::from_secs(3600), ..settings(at.path()) };
    let (journal, _) = Journal::open(slow).unwrap();
    furnish(&journal);
    let synced = wal::walk(&wal(at.path())).unwrap().end;
    for number in 1..=10 {
        write(&journal, Level::Async, vec![published(number, 1)]).unwrap();
    }
    let image = crash_image(at.path());
    zero(&wal(image.path()), synced + 2 * FRAME - 4096, 4096);
    assert!(matches!(Journal::open(settings(image.path())), Err(JournalError::Damaged { .. })));
    let (journal, catalog) = open_rebooted(image.path()).unwrap();
    assert!(catalog.warnings.iter().any(|line| line.contains("torn tail")), "{catalog:?}");
    assert!(numbers_in(&journal).len() < 10);
}

/// A closed store with one message whose body is easily found in the file.
fn with_damaged_body() -> (TempDir, u64) {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(&journal, (1..=30).map(|number| published(number, 1)).collect());
    journal.close().unwrap();
    let file = super::folder::database(at.path());
    let bytes = fs::read(&file).unwrap();
    let wanted = body(17);
    let place = bytes.windows(wanted.len()).position(|window| window == &wanted[..]).unwrap();
    (at, place as u64)
}

#[test]
fn a_damaged_row_goes_to_quarantine_and_the_rest_lives() {
    let (at, place) = with_damaged_body();
    flip(&super::folder::database(at.path()), place + 3);
    let report = check(at.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Blemished, "{report}");
    assert!(report.to_string().contains("msg: 1 damaged rows"), "{report}");
    assert_eq!((report.topics[0].name.as_str(), report.topics[0].waiting), ("topic-1", 29));

    let (journal, _) = open(at.path());
    assert_eq!(numbers_in(&journal), (1..=30).filter(|number| *number != 17).collect::<Vec<_>>());
    eventually("moved aside", || journal.figures().quarantined == 1);
    assert_eq!(rows(at.path(), "SELECT id FROM quarantine WHERE body IS NOT NULL"), 17);
    journal.close().unwrap();
    let (_journal, catalog) = open(at.path());
    assert!(catalog.warnings.iter().any(|line| line.contains("1 damaged rows are in quarantine")));
}

#[test]
fn a_body_that_is_found_damaged_when_it_is_paged_in_is_none() {
    let (at, place) = with_damaged_body();
    let (journal, _) = open(at.path());
    flip(&super::folder::database(at.path()), place + 3);
    let (answer, got) = mpsc::channel();
    journal.fetch(vec![16, 17], Box::new(move |bodies| answer.send(bodies).unwrap())).unwrap();
    assert_eq!(got.recv().unwrap(), [(16, Some(body(16))), (17, None)]);
    eventually("moved aside", || journal.figures().quarantined == 1);
}

#[test]
fn a_main_file_that_cannot_be_read_is_named_and_repair_saves_what_is_whole() {
    let at = folder();
    let (journal, _) = open(at.path());
    furnish(&journal);
    put(
        &journal,
        (1..=400)
            .map(|number| {
                Record::Published(Stored {
                    stamped: false,
                    body: vec![b'x'; 1000].into(),
                    ..stored(number, Place::Queue(1))
                })
            })
            .collect(),
    );
    journal.close().unwrap();
    let leaf = rows(
        at.path(),
        "SELECT pageno FROM dbstat WHERE name = 'msg' AND pagetype = 'leaf' LIMIT 1 OFFSET 10",
    );
    zero(&super::folder::database(at.path()), (leaf as u64 - 1) * 16384, 16384);
    let report = check(at.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Damaged, "{report}");
    assert!(report.to_string().contains("unreadable after"), "{report}");

    let to = folder();
    let report = repair(at.path(), to.path()).unwrap();
    assert_eq!(report.verdict, Verdict::Blemished, "{report}");
    let (journal, _) = open(to.path());
    let saved = numbers_in(&journal).len();
    assert!((370..400).contains(&saved), "{saved}\n{report}");

    let (journal, _) = open(at.path());
    let refused = journal.restore(None, &mut |_| true, &mut |_| ());
    assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{refused:?}");
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused() {
    let at = folder();
    let (journal, _) = open(at.path());
    journal.close().unwrap();
    let conn = rusqlite::Connection::open(super::folder::database(at.path())).unwrap();
    conn.execute("UPDATE meta SET value = 99 WHERE key = 'format'", []).unwrap();
    drop(conn);
    let refused = Journal::open(settings(at.path())).err();
    let file = super::folder::database(at.path());
    let too_new = JournalError::TooNew { file, found: 99, known: schema::FORMAT };
    assert_eq!(refused, Some(too_new.clone()));
    assert_eq!(check(at.path()), Err(too_new.clone()));
    // Nothing is written to it, and nothing made of it.
    let all = || {
        let entries = fs::read_dir(at.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> =
            entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let before = all();
    assert_eq!(accept_loss(at.path()), Err(too_new.clone()));
    let to = at.path().join("saved");
    assert_eq!(repair(at.path(), &to), Err(too_new));
    assert!(!to.exists() && all() == before, "a store of a newer octoq was touched");

    for content in
        [&b"this is not a database, and long enough to look like something else"[..], &[0xff; 4096]]
    {
        let at = folder();
        fs::write(super::folder::database(at.path()), content).unwrap();
        assert!(matches!(Journal::open(settings(at.path())), Err(JournalError::Damaged { .. })));
        assert_eq!(fs::read(super::folder::database(at.path())).unwrap(), content);
    }
}

#[test]
fn a_store_is_one_brokers_and_a_lock_left_behind_hinders_nobody() {
    let at = folder();
    let (journal, _) = open(at.path());
    let pid = std::process::id().to_string();
    let refused = Journal::open(settings(at.path())).err();
    assert_eq!(
        refused,
        Some(JournalError::Locked { path: at.path().to_owned(), pid: pid.clone() })
    );
    assert_eq!(check(at.path()), Err(JournalError::Locked { path: at.path().to_owned(), pid }));
    journal.close().unwrap();
    fs::write(at.path().join("LOCK"), "999999\n").unwrap();
    open(at.path()).0.close().unwrap();
    let report = check(at.path()).unwrap();
    assert_eq!((report.verdict, report.exit_status()), (Verdict::Whole, 0), "{report}");
}
