//! blockqueue: its tables in SQLite and in PostgreSQL, of two layouts.

use super::stores::Postgres;
use super::{Target, became, body, files, found, now};
use octoq::broker::clock;
use octoq::import::blockqueue::{Blockqueue, Place};
use octoq::queue::{DeadReason, State};
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// v0.0.4 to v0.1.1. `AUTO`, `TIME` and `JSON` differ between the two databases.
const ROWS: &str = "
    CREATE TABLE topics (id VARCHAR(36) PRIMARY KEY, name VARCHAR(150) NOT NULL,
        created_at TIME DEFAULT CURRENT_TIMESTAMP, deleted_at TIME DEFAULT NULL);
    CREATE TABLE topic_subscribers (id VARCHAR(36) PRIMARY KEY, topic_id VARCHAR(36) NOT NULL,
        name VARCHAR(150) NOT NULL, option JSON DEFAULT NULL,
        created_at TIME DEFAULT CURRENT_TIMESTAMP, deleted_at TIME DEFAULT NULL);
    CREATE TABLE topic_messages (id VARCHAR(36) PRIMARY KEY, topic_id VARCHAR(36) NOT NULL,
        message TEXT NOT NULL, status VARCHAR(15) DEFAULT 'waiting',
        created_at TIME DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE subscriber_messages (id AUTO, subscriber_id VARCHAR(36) NOT NULL,
        topic_id VARCHAR(36) NOT NULL, message_id VARCHAR(50) NOT NULL, message TEXT NOT NULL,
        status VARCHAR(15) DEFAULT 'pending', retry_count INTEGER DEFAULT 0,
        visible_at TIME DEFAULT CURRENT_TIMESTAMP, created_at TIME DEFAULT CURRENT_TIMESTAMP);";

/// Topic `orders` with the subscribers `mail` (3 attempts) and `audit`, a deleted topic; messages
/// m1: pending for both; m2: held by mail until 2099, acknowledged by audit; m3: a dead letter of
/// mail, pending for audit; m4: delayed until 2099 for both.
const ROWS_FILL: &str = r#"
    INSERT INTO topics (id, name, created_at, deleted_at) VALUES
        ('t1', 'orders', '2026-01-01 10:00:00', NULL),
        ('t0', 'gone', '2026-01-01 09:00:00', '2026-01-01 09:30:00');
    INSERT INTO topic_subscribers (id, topic_id, name, option, created_at, deleted_at) VALUES
        ('s1', 't1', 'mail', '{"max_attempts":3,"visibility_duration":"1m30s"}', '2026-01-01 10:00:00', NULL),
        ('s2', 't1', 'audit', '{"max_attempts":1,"visibility_duration":"5m"}', '2026-01-01 10:00:01', NULL),
        ('s3', 't1', 'old', '{}', '2026-01-01 10:00:02', '2026-01-01 11:00:00');
    INSERT INTO subscriber_messages
        (subscriber_id, topic_id, message_id, message, status, retry_count, visible_at, created_at) VALUES
        ('s1', 't1', 'm1', 'one', 'pending', 1, '2026-01-01 10:01:00', '2026-01-01 10:01:00'),
        ('s2', 't1', 'm1', 'one', 'pending', 0, '2026-01-01 10:01:00', '2026-01-01 10:01:00'),
        ('s1', 't1', 'm2', 'two', 'delivered', 2, '2099-01-01 00:00:00', '2026-01-01 10:02:00'),
        ('s2', 't1', 'm2', 'two', 'processed', 1, '2026-01-01 10:02:00', '2026-01-01 10:02:00'),
        ('s1', 't1', 'm3', 'three', 'dead_letter', 3, '2026-01-01 10:09:00', '2026-01-01 10:03:00'),
        ('s2', 't1', 'm3', 'three', 'pending', 9, '2026-01-01 10:03:00', '2026-01-01 10:03:00'),
        ('s1', 't1', 'm4', 'four', 'pending', 0, '2099-01-01 00:00:00', '2026-01-01 10:04:00'),
        ('s2', 't1', 'm4', 'four', 'pending', 0, '2099-01-01 00:00:00', '2026-01-01 10:04:00'),
        ('s3', 't1', 'm1', 'one', 'pending', 0, '2026-01-01 10:01:00', '2026-01-01 10:01:00');"#;

/// v0.2.0 and v0.3.0.
const DELIVERIES: &str = "
    CREATE TABLE topics (id ID PRIMARY KEY, name VARCHAR(150) NOT NULL, paused BOOL NOT NULL,
        created_at TIME, deleted_at TIME);
    CREATE TABLE topic_subscribers (id ID PRIMARY KEY, topic_id ID, name VARCHAR(150) NOT NULL,
        option JSON, paused BOOL NOT NULL, max_attempts INTEGER NOT NULL,
        visibility_timeout_ms BIGINT NOT NULL, dequeue_batch_size INTEGER NOT NULL,
        retry_initial_delay_ms BIGINT NOT NULL, retry_max_delay_ms BIGINT NOT NULL,
        retry_multiplier REAL NOT NULL, retry_jitter REAL NOT NULL, created_at TIME, deleted_at TIME);
    CREATE TABLE messages (id ID PRIMARY KEY, topic_id ID, message TEXT NOT NULL, headers JSON,
        correlation_id VARCHAR(255), idempotency_key VARCHAR(128), priority INTEGER NOT NULL,
        scheduled_at TIME, created_at TIME, idempotency_hash VARCHAR(64));
    CREATE TABLE message_deliveries (message_id ID, subscriber_id ID, status VARCHAR(20) NOT NULL,
        delivery_count INTEGER NOT NULL, failure_count INTEGER NOT NULL, visible_at TIME,
        priority INTEGER NOT NULL, message_created_at TIME, receipt_token ID,
        lease_expires_at TIME, delivered_at TIME, processed_at TIME, cancelled_at TIME,
        cancel_reason TEXT, last_error TEXT, PRIMARY KEY (message_id, subscriber_id));
    CREATE TABLE schedules (id ID PRIMARY KEY);";

const T: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const S1: &str = "bbbbbbbb-0000-4000-8000-000000000001";
const S2: &str = "bbbbbbbb-0000-4000-8000-000000000002";

fn m(nth: u32) -> String {
    format!("cccccccc-0000-4000-8000-{nth:012}")
}

fn deliveries_fill() -> String {
    let mut sql = format!(
        "INSERT INTO topics VALUES ('{T}', 'orders', false, '2026-01-01 10:00:00', NULL);
         INSERT INTO topic_subscribers VALUES
             ('{S1}', '{T}', 'mail', '{{}}', false, 4, 60000, 10, 1000, 10000, 3, 0.2, '2026-01-01 10:00:00', NULL),
             ('{S2}', '{T}', 'audit', '{{}}', true, 3, 300000, 10, 1000, 3600000, 2, 0.2, '2026-01-01 10:00:01', NULL);
         INSERT INTO schedules VALUES ('{}');",
        m(99)
    );
    let message = |nth: u32, text: &str, priority: i32, key: &str| {
        format!(
            "INSERT INTO messages VALUES ('{}', '{T}', '{text}', '{{\"k\": \"v\"}}', 'c{nth}', {key}, {priority}, \
             '2026-01-01 10:00:00', '2026-01-01 10:0{nth}:00', NULL);",
            m(nth)
        )
    };
    let delivery = |nth: u32, subscriber: &str, status: &str, failures: u32, visible: &str| {
        let lease = if status == "delivered" { "'2099-01-01 00:00:00'" } else { "NULL" };
        let (done, error) = match status {
            "dead_letter" => ("'2026-01-01 12:00:00'", "'boom'"),
            "processed" => ("'2026-01-01 12:00:00'", "NULL"),
            _ => ("NULL", "NULL"),
        };
        format!(
            "INSERT INTO message_deliveries VALUES ('{}', '{subscriber}', '{status}', {failures}, {failures}, \
             '{visible}', 0, '2026-01-01 10:00:00', NULL, {lease}, NULL, {done}, NULL, NULL, {error});",
            m(nth)
        )
    };
    let past = "2026-01-01 10:00:00";
    sql += &message(1, "one", 0, "'key1'");
    sql += &message(2, "two", 500, "NULL");
    sql += &message(3, "three", 0, "NULL");
    sql += &delivery(1, S1, "pending", 2, past);
    sql += &delivery(1, S2, "pending", 0, past);
    sql += &delivery(2, S1, "delivered", 0, past);
    sql += &delivery(2, S2, "processed", 0, past);
    sql += &delivery(3, S1, "dead_letter", 4, past);
    sql += &delivery(3, S2, "pending", 0, "2099-01-01 00:00:00");
    sql
}

fn for_sqlite(sql: &str) -> String {
    let sql =
        sql.replace("AUTO", "INTEGER PRIMARY KEY AUTOINCREMENT").replace("TIME ", "DATETIME ");
    sql.replace("TIME,", "DATETIME,").replace("TIME)", "DATETIME)").replace("ID ", "VARCHAR(36) ")
}

fn for_postgres(sql: &str, zone: bool) -> String {
    let time = if zone { "TIMESTAMPTZ" } else { "TIMESTAMP" };
    let mut sql = sql.replace("id AUTO", "id BIGSERIAL PRIMARY KEY");
    for end in [" ", ",", ")"] {
        sql = sql.replace(&format!(" TIME{end}"), &format!(" {time}{end}"));
        sql = sql.replace(&format!(" ID{end}"), &format!(" UUID{end}"));
    }
    sql.replace("CURRENT_TIMESTAMPTZ", "CURRENT_TIMESTAMP").replace("REAL", "DOUBLE PRECISION")
}

/// A file as blockqueue leaves it: in WAL mode, closed.
fn file(folder: &Path, parts: &[&str]) -> PathBuf {
    let path = folder.join("block queue?.db");
    let db = Connection::open(&path).unwrap();
    db.pragma_update(None, "journal_mode", "WAL").unwrap();
    for part in parts {
        db.execute_batch(&for_sqlite(part)).unwrap();
    }
    path
}

fn source(path: &Path) -> Blockqueue {
    Blockqueue::new(Place::File(path.to_owned()), false)
}

/// What [`ROWS_FILL`] must have become.
async fn check_rows(target: Target, source: Blockqueue) -> Target {
    let report = target.import(source).await;
    assert_eq!(found(&report, "orders/mail"), (1, 1, 1, 1), "{report}");
    assert_eq!(found(&report, "orders/audit"), (2, 1, 0, 0), "{report}");
    assert_eq!(became(&report, "orders/mail"), (4, 0, 0, 0));
    assert_eq!(now(&report, "orders/mail"), (1, 2, 0, 1));
    assert_eq!(now(&report, "orders/audit"), (2, 1, 0, 0));
    let served = target.serve().await;
    let policy = served.settings("orders", "mail").await;
    assert_eq!((policy.max_deliveries, policy.ack_deadline_ms), (4, 90_000));
    let waiting = served.list("orders", "mail", State::Ready).await;
    assert_eq!((body(&waiting[0]), waiting[0].attempts), ("one".into(), 1));
    assert_eq!(waiting[0].message.id().to_string(), "m1");
    assert_eq!(waiting[0].message.published_at.0, 1_767_261_660_000);
    let later = served.list("orders", "mail", State::Delayed).await;
    let shown: Vec<_> = later.iter().map(|view| (body(view), view.attempts)).collect();
    assert_eq!(shown, [("two".to_owned(), 2), ("four".to_owned(), 0)]);
    assert!(later.iter().all(|view| view.due.unwrap().0 == 4_070_908_800_000), "{later:?}");
    let dead = served.list("orders", "mail", State::Dead).await;
    let letter = dead[0].dead.clone().unwrap();
    assert_eq!(
        (body(&dead[0]), letter.attempts, letter.at.0),
        ("three".into(), 3, 1_767_262_140_000)
    );
    let audit = served.list("orders", "audit", State::Ready).await;
    let shown: Vec<_> = audit.iter().map(|view| (body(view), view.attempts)).collect();
    assert_eq!(shown, [("one".to_owned(), 0), ("three".to_owned(), 1)], "a delivery is left");
    served.stop().await
}

#[actix_web::test]
async fn blockqueue_v0_1_in_sqlite_arrives_with_the_state_at_each_subscriber() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &[ROWS, ROWS_FILL]);
    let before = files(folder.path());
    let target = check_rows(Target::new(), source(&path)).await;
    assert_eq!(files(folder.path()), before, "the source is as it was, and nothing lies beside it");

    let served = target.serve().await;
    assert_eq!(served.take("orders", "mail", 9).await, ["one"]);
    assert_eq!(served.take("orders", "audit", 9).await, ["one", "three"]);
    let target = served.stop().await;
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "INSERT INTO subscriber_messages (subscriber_id, topic_id, message_id, message) \
         VALUES ('s1', 't1', 'm5', 'five'), ('s2', 't1', 'm5', 'five')",
    )
    .unwrap();
    // The broker of the original has it open: it is read through the log.
    let again = target.import(source(&path)).await;
    assert_eq!(became(&again, "orders/mail"), (1, 4, 0, 0), "{again}");
    assert_eq!(now(&again, "orders/mail"), (1, 2, 0, 1));
    assert_eq!(now(&again, "orders/audit"), (1, 1, 0, 0));
    drop(db);
}

#[actix_web::test]
async fn blockqueue_v0_1_in_postgres_arrives_as_out_of_sqlite() {
    let postgres = Postgres::start().await;
    postgres.run(&for_postgres(ROWS, false)).await;
    postgres.run(ROWS_FILL).await;
    let tables = ["topics", "topic_subscribers", "subscriber_messages"];
    let before = postgres.contents(&tables).await;
    let source = || Blockqueue::new(Place::Database(postgres.url()), false);
    let target = check_rows(Target::new(), source()).await;
    assert_eq!(postgres.contents(&tables).await, before, "the source is as it was");
    let again = target.import(source()).await;
    assert_eq!(became(&again, "orders/mail"), (0, 4, 0, 0), "{again}");
}

/// What [`deliveries_fill`] must have become.
async fn check_deliveries(target: Target, source: Blockqueue) {
    let report = target.import(source).await;
    assert!(report.to_string().contains("1 schedules are not copied"), "{report}");
    assert_eq!(found(&report, "orders/mail"), (1, 0, 1, 1), "{report}");
    assert_eq!(found(&report, "orders/audit"), (1, 1, 0, 0), "{report}");
    let served = target.serve().await;
    let mail = served.settings("orders", "mail").await;
    assert_eq!((mail.max_deliveries, mail.ack_deadline_ms, mail.paused_out), (4, 60_000, false));
    assert_eq!(mail.backoff_ms, [1000, 3000, 9000, 10_000]);
    assert!(served.settings("orders", "audit").await.paused_out);
    let waiting = served.list("orders", "mail", State::Ready).await.remove(0);
    assert_eq!((body(&waiting), waiting.attempts), ("one".into(), 2));
    assert_eq!(waiting.message.id().to_string(), m(1));
    let attributes: serde_json::Value =
        serde_json::from_str(waiting.message.attributes().unwrap()).unwrap();
    assert_eq!(attributes, serde_json::json!({"k": "v", "correlation_id": "c1"}));
    let extra = waiting.message.extra.unwrap();
    assert_eq!((extra.dedup_key.as_deref(), extra.priority), (Some(&b"key1"[..]), 0));
    let held = served.list("orders", "mail", State::Delayed).await.remove(0);
    assert_eq!((body(&held), held.due.unwrap().0), ("two".into(), 4_070_908_800_000));
    assert_eq!(held.message.extra.unwrap().priority, 5);
    let letter = served.list("orders", "mail", State::Dead).await.remove(0).dead.unwrap();
    assert_eq!((letter.attempts, letter.reason), (4, DeadReason::Nacked));
    assert_eq!(letter.failures[0].error.as_deref(), Some("boom"));
    assert!(letter.at < clock::now());
    served.stop().await;
}

#[actix_web::test]
async fn blockqueue_v0_3_in_sqlite_arrives_with_settings_and_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), &[DELIVERIES, &deliveries_fill()]);
    let before = files(folder.path());
    check_deliveries(Target::new(), source(&path)).await;
    assert_eq!(files(folder.path()), before, "the source is as it was");
}

#[actix_web::test]
async fn blockqueue_v0_3_in_postgres_arrives_as_out_of_sqlite() {
    let postgres = Postgres::start().await;
    postgres.run(&for_postgres(DELIVERIES, true).replace("JSON", "JSONB")).await;
    // Its own clients say UTC.
    let fill = deliveries_fill().replace(":00'", ":00+00'");
    postgres.run(&fill).await;
    let source = Blockqueue::new(Place::Database(postgres.url()), false);
    check_deliveries(Target::new(), source).await;
}

#[actix_web::test]
async fn blockqueue_v0_0_3_gives_its_topics_only_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let old = ROWS.split("CREATE TABLE subscriber_messages").next().unwrap();
    let fill = ROWS_FILL.split("INSERT INTO subscriber_messages").next().unwrap();
    let path = file(folder.path(), &[old, fill]);
    let target = Target::new();
    let refusal = target.refusal(source(&path)).await;
    assert!(refusal.contains("--topics-only"), "{refusal}");
    let report = target.import(Blockqueue::new(Place::File(path), true)).await;
    assert!(report.to_string().contains("no messages"), "{report}");
    let served = target.serve().await;
    assert_eq!(served.settings("orders", "audit").await.max_deliveries, 2);
    served.stop().await;
}

#[actix_web::test]
async fn what_is_not_blockqueue_is_refused_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.db");
    std::fs::write(&path, "these are my notes, and they are long enough").unwrap();
    let refusal = Target::new().refusal(source(&path)).await;
    assert!(refusal.contains("is not SQLite"), "{refusal}");
    let refusal = Target::new().refusal(source(&folder.path().join("missing.db"))).await;
    assert!(refusal.contains("missing.db"), "{refusal}");

    let later = ROWS.replace("retry_count INTEGER", "retry_count INTEGER, shard INTEGER");
    let path = file(folder.path(), &[&later]);
    let refusal = Target::new().refusal(source(&path)).await;
    assert!(refusal.contains("table `subscriber_messages` has a column `shard`"), "{refusal}");
    std::fs::remove_file(&path).unwrap();

    let odd = ROWS_FILL.replace("'processed'", "'parked'");
    let path = file(folder.path(), &[ROWS, &odd]);
    let target = Target::new();
    let refusal = target.refusal(source(&path)).await;
    assert!(refusal.contains("a message has the status `parked`"), "{refusal}");
    assert!(!target.path().join("store/imported.db").exists());
}
