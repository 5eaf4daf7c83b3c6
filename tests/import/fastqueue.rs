//! fastqueue: its three tables in PostgreSQL, read by a user who may only read.

use super::stores::Postgres;
use super::{Served, Target, became, body, found, now, row};
use octoq::broker::clock;
use octoq::import::fastqueue::Fastqueue;
use octoq::queue::{State, Timestamp};

/// The topic of queues that belong to none.
const TOPICLESS: &str = "\0queues";

const TABLES: [&str; 4] = ["topics", "queues", "messages", "alembic_version"];

/// The tables as the three migrations leave them.
const SCHEMA: &str = "
    CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
    INSERT INTO alembic_version VALUES ('53a93f17a53d');
    CREATE TABLE topics (id varchar(128) PRIMARY KEY, created_at timestamp NOT NULL);
    CREATE TABLE queues (
        id varchar(128) PRIMARY KEY,
        topic_id varchar(128) REFERENCES topics ON DELETE SET NULL,
        dead_queue_id varchar(128) REFERENCES queues ON DELETE SET NULL,
        ack_deadline_seconds integer NOT NULL, message_retention_seconds integer NOT NULL,
        message_filters jsonb, message_max_deliveries integer, delivery_delay_seconds integer,
        created_at timestamp NOT NULL, updated_at timestamp NOT NULL);
    CREATE TABLE messages (
        id uuid PRIMARY KEY, queue_id varchar(128) NOT NULL REFERENCES queues ON DELETE CASCADE,
        data jsonb NOT NULL, attributes jsonb, delivery_attempts integer NOT NULL,
        expired_at timestamp NOT NULL, scheduled_at timestamp NOT NULL,
        created_at timestamp NOT NULL, updated_at timestamp NOT NULL);";

/// A message whose times are seconds from now.
struct Row {
    nth: u32,
    queue: &'static str,
    attributes: &'static str,
    attempts: u32,
    created: i64,
    scheduled: i64,
    expires: i64,
}

const PLAIN: Row = Row {
    nth: 0,
    queue: "all",
    attributes: "'null'",
    attempts: 0,
    created: -100,
    scheduled: -100,
    expires: 1000,
};

fn id(nth: u32) -> String {
    format!("147d5f58-9dc5-4f69-8ab1-{nth:012x}")
}

async fn put(postgres: &Postgres, rows: &[Row]) {
    for Row { nth, queue, attributes, attempts, created, scheduled, expires } in rows {
        let at = |seconds: &i64| format!("timezone('utc', now()) + interval '{seconds} seconds'");
        let sql = format!(
            "INSERT INTO messages VALUES ('{}', '{queue}', '{{\"n\": {nth}}}', {attributes}, {attempts}, {}, {}, {}, {})",
            id(*nth),
            at(expires),
            at(scheduled),
            at(created),
            at(created),
        );
        postgres.run(&sql).await;
    }
}

async fn filled() -> Postgres {
    let postgres = Postgres::start().await;
    postgres.run(SCHEMA).await;
    postgres.run("INSERT INTO topics VALUES ('events', now()), ('quiet', now())").await;
    postgres
        .run(
            "INSERT INTO queues VALUES
             ('dead', NULL, NULL, 60, 7200, NULL, NULL, NULL, now(), now()),
             ('all', 'events', 'dead', 30, 1209600, 'null', 2, NULL, now(), now()),
             ('some', 'events', NULL, 600, 600, '{\"kind\": [\"a\", \"b\"]}', NULL, 900, now(), now())",
        )
        .await;
    let rows = [
        Row { nth: 2, created: -90, ..PLAIN },
        Row { nth: 1, attributes: r#"'{"kind": "a"}'"#, ..PLAIN },
        Row { nth: 3, attempts: 1, scheduled: 25, created: -80, ..PLAIN },
        Row { nth: 4, attempts: 1, created: -70, ..PLAIN },
        Row { nth: 5, attempts: 2, scheduled: -5, created: -60, ..PLAIN },
        Row { nth: 6, expires: -1, ..PLAIN },
        Row { nth: 7, queue: "some", attributes: "NULL", scheduled: 800, ..PLAIN },
        Row { nth: 8, queue: "dead", ..PLAIN },
    ];
    put(&postgres, &rows).await;
    postgres
}

fn source(postgres: &Postgres) -> Fastqueue {
    Fastqueue::new(postgres.url())
}

fn seconds_from_now(at: Timestamp) -> i64 {
    (at.0 - clock::now().0) / 1000
}

async fn shown(served: &Served, topic: &str, queue: &str, state: State) -> Vec<(String, u32)> {
    let views = served.list(topic, queue, state).await;
    views.iter().map(|view| (body(view), view.attempts)).collect()
}

#[actix_web::test]
async fn fastqueue_messages_arrive_with_attempts_leases_and_ends() {
    let postgres = filled().await;
    let before = postgres.contents(&TABLES).await;
    let target = Target::new();
    let report = target.import(source(&postgres)).await;
    assert_eq!(postgres.contents(&TABLES).await, before, "the source is as it was");
    assert!(report.layout.contains("53a93f17a53d"), "{report}");
    assert_eq!(found(&report, "events/all"), (3, 0, 1, 0), "{report}");
    assert_eq!(became(&report, "events/all"), (4, 0, 0, 0));
    assert_eq!(now(&report, "events/all"), (3, 1, 0, 0));
    assert_eq!(row(&report, "events/all").left.get("expired"), Some(&1));
    assert_eq!(found(&report, "events/some"), (0, 1, 0, 0));
    assert_eq!(
        found(&report, "(no topic)/dead"),
        (2, 0, 0, 0),
        "what is exhausted is at its dead queue"
    );

    let served = target.serve().await;
    let n = |n: u32, attempts| (format!("{{\"n\": {n}}}"), attempts);
    let all = shown(&served, "events", "all", State::Ready).await;
    assert_eq!(all, [n(1, 0), n(2, 0), n(4, 1)], "the oldest first");
    let held = served.list("events", "all", State::Delayed).await;
    assert_eq!((held.len(), held[0].attempts), (1, 1));
    let left = seconds_from_now(held[0].due.unwrap());
    assert!((10..=25).contains(&left), "its lease goes on: {left}");
    let later = served.list("events", "some", State::Delayed).await;
    let left = seconds_from_now(later[0].due.unwrap());
    assert!((780..=800).contains(&left), "its delay goes on: {left}");
    let dead = shown(&served, TOPICLESS, "dead", State::Ready).await;
    assert_eq!(dead, [n(8, 0), n(5, 0)]);

    let first = served.list("events", "all", State::Ready).await.remove(0).message;
    assert_eq!(first.attributes(), Some(r#"{"kind": "a"}"#));
    assert_eq!(first.id().to_string(), id(1));
    let age = -seconds_from_now(first.published_at);
    assert!((100..130).contains(&age), "it was published {age} s ago");
    let second = served.list("events", "all", State::Ready).await.remove(1).message;
    assert_eq!(second.attributes(), None, "a JSON null is none");
    served.stop().await;
}

#[actix_web::test]
async fn fastqueue_queues_keep_their_settings() {
    let postgres = filled().await;
    let target = Target::new();
    target.import(source(&postgres)).await;
    let served = target.serve().await;
    let all = served.settings("events", "all").await;
    assert_eq!((all.ack_deadline_ms, all.max_deliveries), (30_000, 2));
    assert_eq!((all.retention_ms, all.filter.clone()), (1_209_600_000, None));
    let dead = all.dead_letter.unwrap();
    assert!(dead.topic.is_unattached() && dead.queue.to_string() == "dead");
    let some = served.settings("events", "some").await;
    assert_eq!((some.delay_ms, some.max_deliveries), (900_000, 0));
    assert_eq!(some.filter.unwrap().0.get("kind").unwrap(), &["a", "b"]);
    served.stop().await;
}

#[actix_web::test]
async fn a_second_run_copies_only_what_is_new_also_after_acks_at_octoq() {
    let postgres = filled().await;
    let target = Target::new();
    target.import(source(&postgres)).await;
    let served = target.serve().await;
    assert_eq!(served.take("events", "all", 2).await.len(), 2);
    let target = served.stop().await;
    put(&postgres, &[Row { nth: 9, created: -1, ..PLAIN }]).await;
    let dry = target.look(source(&postgres)).await;
    assert_eq!(became(&dry, "events/all"), (1, 4, 0, 0), "{dry}");
    let second = target.import(source(&postgres)).await;
    assert_eq!(became(&second, "events/all"), (1, 4, 0, 0), "{second}");
    assert_eq!(now(&second, "events/all"), (2, 1, 0, 0));
}

#[actix_web::test]
async fn more_messages_than_a_page_keep_their_order() {
    let postgres = filled().await;
    postgres
        .run(
            "INSERT INTO messages SELECT gen_random_uuid(), 'some', to_jsonb(n), NULL, 0, \
             timezone('utc', now()) + interval '1 day', timezone('utc', now()) - interval '1 min', \
             timezone('utc', now()) - interval '1 min' + n * interval '1 ms', now() \
             FROM generate_series(1, 730) n",
        )
        .await;
    let target = Target::new();
    let report = target.import(source(&postgres)).await;
    assert_eq!(became(&report, "events/some"), (731, 0, 0, 0));
    let served = target.serve().await;
    let taken = served.take("events", "some", 1000).await;
    let expected: Vec<String> = (1..=730).map(|n| n.to_string()).collect();
    assert_eq!(taken, expected);
    served.stop().await;
}

#[actix_web::test]
async fn tables_of_another_layout_are_refused_and_nothing_is_made() {
    let postgres = Postgres::start().await;
    let refusals = [
        ("", "there is no table `topics`"),
        (SCHEMA, ""),
        ("ALTER TABLE queues DROP delivery_delay_seconds", ""),
        ("ALTER TABLE messages ADD dead boolean", "table `messages` has a column `dead`"),
        ("ALTER TABLE queues DROP dead_queue_id", "table `queues` has no column `dead_queue_id`"),
    ];
    for (change, says) in refusals {
        if !change.is_empty() {
            postgres.run(change).await;
        }
        let target = Target::new();
        if says.is_empty() {
            target.import(source(&postgres)).await;
            continue;
        }
        let refusal = target.refusal(source(&postgres)).await;
        assert!(refusal.contains(says) && refusal.contains("nothing was copied"), "{refusal}");
    }
}

#[actix_web::test]
async fn dead_letters_may_go_round_between_queues() {
    let postgres = filled().await;
    postgres
        .run(
            "UPDATE queues SET dead_queue_id = 'all', message_max_deliveries = 5 WHERE id = 'dead'",
        )
        .await;
    let target = Target::new();
    let report = target.import(source(&postgres)).await;
    assert_eq!(became(&report, "events/all"), (4, 0, 0, 0), "{report}");
    let served = target.serve().await;
    let policy = served.settings(TOPICLESS, "dead").await;
    assert_eq!(policy.dead_letter.unwrap().queue.to_string(), "all");
    served.stop().await;
}

#[actix_web::test]
async fn a_message_ends_when_the_original_says_not_by_the_age_of_its_publish() {
    let postgres = filled().await;
    // Moved there yesterday's message: its retention began with the move.
    put(&postgres, &[Row { nth: 20, queue: "some", created: -86_400, ..PLAIN }]).await;
    put(&postgres, &[Row { nth: 21, queue: "some", expires: 2, ..PLAIN }]).await;
    let target = Target::new();
    target.import(source(&postgres)).await;
    let served = target.serve().await;
    super::common::eventually("the second one has ended", async || {
        let left = served.bodies("events", "some", State::Ready).await;
        (left == [r#"{"n": 20}"#]).then_some(())
    })
    .await;
    served.stop().await;
}

#[actix_web::test]
async fn a_queue_that_went_to_another_topic_at_octoq_gets_what_is_new_there() {
    let postgres = filled().await;
    let target = Target::new();
    target.import(source(&postgres)).await;
    let served = target.serve().await;
    let broker = &served.broker.server.broker;
    let name = |text: &str| octoq::queue::TopicName::parse(text).unwrap();
    let all = octoq::queue::QueueName::parse("all").unwrap();
    let (from, to, caller) = (name("events"), name("quiet"), broker.anonymous());
    broker.move_queue(&caller, &from, &all, &to).await.unwrap();
    let target = served.stop().await;
    put(&postgres, &[Row { nth: 9, created: -1, ..PLAIN }]).await;
    let again = target.import(source(&postgres)).await;
    assert_eq!(became(&again, "events/all"), (1, 4, 0, 0), "{again}");
    let served = target.serve().await;
    assert_eq!(served.bodies("quiet", "all", State::Ready).await.len(), 4);
    served.stop().await;
}
