//! The inside of the broker: its configuration, its log.

use crate::common::*;
use octoq::broker::{LogBounds, LogSink};
use serde_json::{Value, json};

#[actix_web::test]
async fn every_setting_tells_where_it_comes_from() {
    let broker = TestBroker::start_with(&["limits.batch_max=77"]).await;
    let config = broker.http("GET", "/v1/config", "").await.expect(200);
    let of = |key: &str| -> Value {
        let keys = config["keys"].as_array().unwrap();
        keys.iter().find(|setting| setting["key"] == key).cloned().unwrap()
    };
    assert_eq!(
        of("limits.batch_max"),
        json!({
            "key": "limits.batch_max", "value": 77, "default": 10_000, "origin": "flag",
            "from": "--set"
        })
    );
    assert_eq!(
        of("log.queue_max"),
        json!({"key": "log.queue_max", "value": 1024, "default": 1024, "origin": "default"})
    );
    broker.http("GET", "/v1/config?x=1", "").await.expect_problem(400, "invalid_request");
}

/// Prints nothing.
struct Silent;

impl log::Log for Silent {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, _: &log::Record<'_>) {}
    fn flush(&self) {}
}

#[actix_web::test]
async fn the_last_lines_of_the_log_are_told() {
    let broker = TestBroker::start().await;
    let nothing = broker.http("GET", "/v1/log", "").await.expect(200);
    assert_eq!(nothing, json!({"lines": [], "next": 0, "oldest": 0, "dropped": 0}));
    let bounds = LogBounds { tail_lines: 10, line_bytes_max: 100, queue_max: 100 };
    let (sink, feed) = LogSink::new(Silent, |_, _| true, bounds);
    broker.server.broker.keep_log(feed);
    let say = |level, text: &str| {
        let mut record = log::Record::builder();
        log::Log::log(&sink, &record.level(level).target("a").args(format_args!("{text}")).build());
    };
    say(log::Level::Warn, "first");
    say(log::Level::Info, "second");
    let lines = eventually("two lines are kept", async || {
        let answer = broker.http("GET", "/v1/log", "").await.expect(200);
        (answer["next"] == 2).then_some(answer)
    })
    .await;
    let texts = |answer: &Value| -> Vec<String> {
        let lines = answer["lines"].as_array().unwrap();
        lines.iter().map(|line| format!("{} {}", line["level"], line["message"])).collect()
    };
    assert_eq!(texts(&lines), ["\"warn\" \"first\"", "\"info\" \"second\""]);
    let warnings = broker.http("GET", "/v1/log?level=warn&after=0", "").await.expect(200);
    assert_eq!((texts(&warnings).len(), &warnings["next"]), (1, &json!(2)));
    let behind = broker.http("GET", "/v1/log?after=1&limit=5", "").await.expect(200);
    assert_eq!(texts(&behind), ["\"info\" \"second\""]);
    for query in ["level=loud", "after=-1", "limit=x", "limit=0", "x=1"] {
        let answer = broker.http("GET", &format!("/v1/log?{query}"), "").await;
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn only_who_operates_the_broker_sees_its_inside() {
    let broker = TestBroker::start().await;
    let body = r#"{"password":"pw","topics":["t1"]}"#;
    broker.http("PUT", "/v1/users/ada", body).await.expect(204);
    for path in ["/v1/config", "/v1/log"] {
        let ada = [("Authorization", "Basic YWRhOnB3")];
        let answer = http(broker.door("http"), "GET", path, &ada, b"").await;
        answer.expect_problem(403, "not_allowed");
    }
}
