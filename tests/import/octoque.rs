//! octoque: the files of a server with `--mode disk`, and the topics of a running server.

use super::common::TestBroker;
use super::{Target, became, body, files, row};
use octoq::import::octoque::Octoque;
use octoq::queue::{State, Timestamp};
use rusqlite::{Connection, params};
use std::path::Path;

/// A topic's file, as the original makes it; Nim writes its booleans as texts.
fn topic(folder: &Path, name: &str, rows: &[(i64, &str, f64, f64)]) {
    let db = Connection::open(folder.join(format!("{name}.db"))).unwrap();
    db.execute_batch(
        "CREATE TABLE queue (id INTEGER PRIMARY KEY, data TEXT NOT NULL, queued_dt DECIMAL(18,10),
         consumed_dt DECIMAL(18,10), b64_encoded INTEGER, client VARCHAR(255))",
    )
    .unwrap();
    for (id, data, queued, consumed) in rows {
        db.execute(
            "INSERT INTO queue VALUES (?1, ?2, ?3, ?4, 'false', '')",
            params![id, data, queued, consumed],
        )
        .unwrap();
    }
}

fn source(folder: &Path) -> Octoque {
    Octoque::new(Some(folder.to_owned()), None, vec!["news".into()])
}

#[actix_web::test]
async fn octoque_files_give_what_was_not_consumed() {
    let folder = tempfile::tempdir().unwrap();
    let rows = [
        (1_700_000_002, "second", 1_700_000_002.25, 0.0),
        (1_700_000_001, "first", 1_700_000_001.5, 0.0),
        (1_700_000_000, "done", 1_700_000_000.0, 1_700_000_009.0),
    ];
    topic(folder.path(), "default", &rows);
    topic(folder.path(), "news", &[(5, "headline", 1_700_000_005.0, 0.0)]);
    Connection::open(folder.path().join("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    let before = files(folder.path());
    let target = Target::new();
    let report = target.import(source(folder.path())).await;
    assert_eq!(files(folder.path()), before, "the source is as it was");
    assert_eq!(became(&report, "default/default"), (2, 0, 0, 0), "{report}");
    assert_eq!(row(&report, "default/default").left.get("consumed"), Some(&1));
    assert_eq!(became(&report, "news"), (1, 0, 0, 0));
    assert!(report.to_string().contains("other.db is not read"), "{report}");

    let served = target.serve().await;
    let waiting = served.list("default", "default", State::Ready).await;
    let shown: Vec<_> =
        waiting.iter().map(|view| (body(view), view.message.published_at)).collect();
    let at = |ms: i64| Timestamp(1_700_000_000_000 + ms);
    assert_eq!(shown, [("first".into(), at(1500)), ("second".into(), at(2250))]);
    assert_eq!(served.take("news", "", 5).await, ["headline"], "a GET takes the backlog");
    served.take("default", "default", 1).await;
    let target = served.stop().await;
    let again = target.import(source(folder.path())).await;
    assert_eq!(became(&again, "default/default"), (0, 2, 0, 0), "{again}");
    assert_eq!(became(&again, "news"), (0, 1, 0, 0));
}

#[actix_web::test]
async fn a_folder_without_octoque_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.db"), "no database").unwrap();
    let refusal = Target::new().refusal(source(folder.path())).await;
    assert!(refusal.contains("no file TOPIC.db of an octoque"), "{refusal}");
}

#[actix_web::test]
async fn a_running_server_tells_its_topics_and_keeps_its_messages() {
    let original = TestBroker::start().await;
    let mut otq = original.login_otq().await;
    otq.exchange("OTQ NEW jobs BROKER 50\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ NEW feed PUBSUB\r\n", "PROCEED\r\nSUCCESS\r\nENDOFRESP\r\n").await;
    otq.exchange("OTQ PUT jobs 1 BATCH\r\nstays\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let server = || {
        let address = original.door("otq").to_string();
        Some((address, "admin".to_owned(), "password".to_owned()))
    };
    let target = Target::new();
    let report = target.import(Octoque::new(None, server(), Vec::new())).await;
    assert!(
        report.to_string().contains("`jobs` holds 1 messages, which are not copied"),
        "{report}"
    );
    let served = target.serve().await;
    let broker = &served.broker.server.broker;
    let topics = broker.list_topics(&broker.anonymous(), None, 100).await.unwrap().0;
    let shown: Vec<_> = topics
        .iter()
        .map(|topic| (topic.definition.name.to_string(), topic.definition.policy.capacity))
        .collect();
    let topic = |name: &str, capacity| (name.to_owned(), capacity);
    let expected = [topic("default", 0), topic("pubsub", 0), topic("jobs", 50), topic("feed", 0)];
    assert_eq!(shown, expected);
    served.stop().await;
    otq.exchange("OTQ GET jobs 1 BATCH\r\n", "PROCEED\r\nstays\r\nENDOFRESP\r\n").await;

    let wrong = server().map(|(address, user, _)| (address, user, "wrong".to_owned()));
    let refusal = Target::new().refusal(Octoque::new(None, wrong, Vec::new())).await;
    assert!(refusal.contains("refused: user or password?"), "{refusal}");
    original.stop().await;
}
