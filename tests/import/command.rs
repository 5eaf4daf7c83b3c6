//! The command itself: what it prints, how it ends, and what survives its death.

use super::process::{self, Process, octoq};
use super::stores::Redis;
use super::{Target, became};
use octoq::import::okq::Okq;
use octoq::queue::State;
use std::path::Path;

fn fill(redis: &Redis, count: u32) {
    let mut pipe = redis::pipe();
    for at in 0..count {
        pipe.hset("queue:{jobs}:items", at, format!("job {at}"));
        pipe.lpush("queue:{jobs}", at);
    }
    let () = pipe.query(&mut redis.connect()).unwrap();
}

fn import(folder: &Path, redis: &Redis, more: &[&str]) -> std::process::Command {
    let mut command = octoq(folder);
    command.args(["import", "okq", "--set", "store.path=store", "--url", &redis.url()]).args(more);
    command
}

#[actix_web::test]
async fn it_prints_counts_of_both_sides_and_a_dry_run_changes_nothing() {
    let redis = Redis::start().await;
    fill(&redis, 3);
    let folder = tempfile::tempdir().unwrap();
    let dry = process::run(&mut import(folder.path(), &redis, &["--dry-run"]), "");
    assert_eq!(dry.status.code(), Some(0), "{dry:?}");
    assert!(dry.out.contains("dry run, nothing was changed: 3 found, 3 to copy"), "{dry:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "not even a store");

    let done = process::run(&mut import(folder.path(), &redis, &[]), "");
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    let row = done.out.lines().find(|line| line.starts_with("jobs/default")).unwrap();
    let columns: Vec<&str> = row.split_whitespace().collect();
    let expected = "jobs/default 3 0 0 0 | 3 0 0 0 | 3, 0, 0, 0 (made)";
    assert_eq!(columns, expected.split_whitespace().collect::<Vec<_>>());
    assert!(done.out.contains("done: 3 found, 3 copied, 0 copied before"), "{done:?}");
    let again = process::run(&mut import(folder.path(), &redis, &[]), "");
    assert!(again.out.contains("done: 3 found, 0 copied, 3 copied before"), "{again:?}");
}

#[actix_web::test]
async fn a_store_in_use_and_a_source_that_is_not_there_end_it() {
    let redis = Redis::start().await;
    fill(&redis, 1);
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let busy = process::run(&mut import(folder.path(), &redis, &[]), "");
    assert_eq!(busy.status.code(), Some(1));
    assert!(busy.err.contains("no broker uses"), "{busy:?}");
    broker.stop();
    let mut command = octoq(folder.path());
    command.args(["import", "okq", "--set", "store.path=store", "--url", "redis://127.0.0.1:1/"]);
    let gone = process::run(&mut command, "");
    assert_eq!((gone.status.code(), gone.out.as_str()), (Some(1), ""));
    let usage = process::run(octoq(folder.path()).args(["import", "okq"]), "");
    assert_eq!(usage.status.code(), Some(2));
}

#[actix_web::test]
async fn a_message_that_is_too_long_is_told_and_the_others_arrive() {
    let redis = Redis::start().await;
    fill(&redis, 2);
    let long = vec![b'x'; 2000];
    let () = redis::pipe()
        .hset("queue:{jobs}:items", "long", long)
        .lpush("queue:{jobs}", "long")
        .query(&mut redis.connect())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut command = import(folder.path(), &redis, &["--set", "limits.body_bytes_max=1024"]);
    let done = process::run(&mut command, "");
    assert_eq!(done.status.code(), Some(1), "{done:?}");
    assert!(
        done.out.contains("refused: jobs/default: long: message of 2000 bytes exceeds"),
        "{done:?}"
    );
    // With more room it comes as well, and nothing comes twice.
    let again = process::run(&mut import(folder.path(), &redis, &[]), "");
    assert!(again.out.contains("3 found, 1 copied, 2 copied before"), "{again:?}");
}

#[actix_web::test]
async fn killed_in_the_middle_it_goes_on_without_loss_or_duplicates() {
    const JOBS: u32 = 30_000;
    let redis = Redis::start().await;
    fill(&redis, JOBS);
    let target = Target::new();
    let mut command = import(target.path(), &redis, &[]);
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let remembered = target.path().join("store/imported.db");
    let some = super::common::eventually("some are remembered", async || {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = rusqlite::Connection::open_with_flags(&remembered, flags).ok()?;
        let count: u32 =
            db.query_row("SELECT count(*) FROM imported", [], |row| row.get(0)).ok()?;
        (count > 1000).then_some(count)
    })
    .await;
    child.kill().unwrap();
    let killed = !child.wait().unwrap().success();
    assert!(killed && some < JOBS, "it was killed in the middle, at {some}");
    let report = target.import(Okq::new(redis.url(), None)).await;
    let (copied, before, there, refused) = became(&report, "jobs/default");
    assert_eq!((copied + before + there, refused), (u64::from(JOBS), 0), "{report}");
    assert!(before >= u64::from(some), "{report}");
    let served = target.serve().await;
    let mut jobs = Vec::new();
    while let more = served.take("jobs", "default", 5000).await
        && !more.is_empty()
    {
        jobs.extend(more);
    }
    let expected: Vec<String> = (0..JOBS).map(|at| format!("job {at}")).collect();
    assert!(jobs == expected, "{} jobs, in their order", jobs.len());
    assert!(served.list("jobs", "default", State::Ready).await.is_empty());
    served.stop().await;
}
