//! fastqueue's requests on disk, beside the statements its original has PostgreSQL do for them.

use super::http::{Http, request};
use super::servers::{Octoq, Postgres};
use super::{RUN, median, report};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;
const WARM_UP: Duration = Duration::from_millis(500);

/// The original's tables.
const TABLES: &str = "
    CREATE TABLE topics (id varchar(128) PRIMARY KEY, created_at timestamp NOT NULL);
    CREATE TABLE queues (
        id varchar(128) PRIMARY KEY, topic_id varchar(128) REFERENCES topics,
        ack_deadline_seconds integer NOT NULL, message_retention_seconds integer NOT NULL);
    CREATE INDEX ON queues (topic_id);
    CREATE TABLE messages (
        id uuid PRIMARY KEY, queue_id varchar(128) NOT NULL REFERENCES queues ON DELETE CASCADE,
        data jsonb NOT NULL, attributes jsonb, delivery_attempts integer NOT NULL,
        expired_at timestamp NOT NULL, scheduled_at timestamp NOT NULL,
        created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
    CREATE INDEX ON messages (queue_id);
    CREATE INDEX ON messages (expired_at);
    CREATE INDEX ON messages (scheduled_at);
    INSERT INTO topics VALUES ('events', now());
    INSERT INTO queues VALUES ('work', 'events', 60, 86400);";

/// One publish.
const PUBLISH: &str = "
    BEGIN;
    SELECT * FROM topics WHERE id = 'events';
    SELECT * FROM queues WHERE topic_id = 'events' ORDER BY id;
    INSERT INTO messages VALUES (gen_random_uuid(), 'work', '{\"n\": \"BODY\"}', NULL, 0,
        now() + interval '1 day', now(), now(), now());
    COMMIT;";

/// One consume, and the ack of what it gave.
const CONSUME: &str = "
    BEGIN;
    SELECT * FROM queues WHERE id = 'work';
    SELECT id AS taken FROM messages
        WHERE queue_id = 'work' AND expired_at >= now() AND scheduled_at <= now()
        LIMIT 1 FOR UPDATE SKIP LOCKED \\gset
    UPDATE messages SET delivery_attempts = delivery_attempts + 1,
        scheduled_at = now() + interval '60 s', updated_at = now() WHERE id = :taken;
    COMMIT;
    DELETE FROM messages WHERE id = :taken;";

/// The text inside a message.
fn text() -> String {
    "x".repeat(90)
}

/// Does something on each of 8 connections until the time is over; how often per second.
fn measure(address: &str, work: impl Fn(&mut Http) + Sync) -> f64 {
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut http = Http::open(address);
                while !stop.load(Relaxed) {
                    work(&mut http);
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        std::thread::sleep(WARM_UP);
        let (start, before) = (Instant::now(), done.load(Relaxed));
        std::thread::sleep(RUN);
        let rate = (done.load(Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        stop.store(true, Relaxed);
        rate
    })
}

/// 8 clients, each message in a request of its own and on disk before its answer.
pub fn on_disk() {
    let octoq = Octoq::start(&["store.durability=sync"]);
    let address = octoq.door("fastqueue");
    let mut http = Http::open(address);
    http.send(&request("POST", "/topics", r#"{"id": "events"}"#));
    let queue = r#"{"id": "work", "topic_id": "events", "ack_deadline_seconds": 60, "message_retention_seconds": 86400}"#;
    http.send(&request("POST", "/queues", queue));
    let body = format!(r#"{{"data": {{"n": "{}"}}}}"#, text());
    let publish = request("POST", "/topics/events/messages", &body);
    // Three times, so that the consumers do not run out.
    let rates = (0..3).map(|_| {
        measure(address, |http| {
            http.send(&publish);
        })
    });
    let published = median(rates.collect());
    let consume = request("GET", "/queues/work/messages?limit=1", "");
    let consumed = measure(address, |http| {
        let body = http.send(&consume);
        let id = memchr::memmem::find(body, br#""id":""#).map(|at| &body[at + 6..at + 42]);
        let id = id.and_then(|id| std::str::from_utf8(id).ok()).expect("the queue ran dry");
        let ack = request("PUT", &format!("/messages/{id}/ack"), "");
        http.send(&ack);
    });
    drop(octoq);
    let postgres = Postgres::start();
    postgres.run(TABLES);
    let inserted = postgres.bench(&PUBLISH.replace("BODY", &text()), CLIENTS, RUN);
    let deleted = postgres.bench(CONSUME, CLIENTS, RUN);
    report("fastqueue publish, 8 clients", published, "its SQL", inserted, "messages/s", "none");
    let ratio = published / 353.0;
    println!("    beside the original, fixed at 353/s: ratio {ratio:.1}, target >= 50");
    report(
        "fastqueue consume + ack, 8 clients",
        consumed,
        "its SQL",
        deleted,
        "messages/s",
        "none",
    );
    let ratio = consumed / 244.0;
    println!("    beside the original, fixed at 244/s: ratio {ratio:.1}, target >= 50");
}
