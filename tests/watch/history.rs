//! What happened is remembered.

use crate::*;

fn numbers(history: &Value, series: &str) -> Vec<Option<f64>> {
    history["series"][series].as_array().unwrap().iter().map(Value::as_f64).collect()
}

#[actix_web::test]
async fn what_was_published_is_in_the_history_of_the_broker() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", 30).await;
    let path = "/v1/topics/default/receive?max=10&take=true";
    broker.http("POST", path, "").await.expect(200);
    let history = eventually("it is remembered", async || {
        let history = broker.http("GET", "/v1/history?span=10m", "").await.expect(200);
        let sum = |series| numbers(&history, series).into_iter().flatten().sum::<f64>();
        let last = numbers(&history, "ready").last().copied().flatten();
        let told = (sum("published") == 30.0, sum("delivered") == 10.0, last == Some(20.0));
        (told == (true, true, true)).then_some(history)
    })
    .await;
    assert_eq!(history["step_ms"], 1000);
    let published = numbers(&history, "published");
    assert_eq!((published.len(), published[0]), (600, None), "before it ran nobody looked");
    assert_eq!(history["series"].as_object().unwrap().len(), 9);
    assert!(history["end_ms"].as_i64().unwrap() > 1_600_000_000_000);
}

/// What the store gave back is seen from the first look on.
#[actix_web::test]
async fn the_history_after_a_restart_begins_with_what_is_there() {
    let broker = TestBroker::start().await;
    let new = json!({"name": "kept", "policy": {"durability": "async"}}).to_string();
    broker.http("POST", "/v1/topics", &new).await.expect(201);
    publish(&broker, "kept", 7).await;
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    let ready = eventually("it has looked", async || {
        let history = broker.http("GET", "/v1/history", "").await.expect(200);
        let ready: Vec<f64> = numbers(&history, "ready").into_iter().flatten().collect();
        (ready.len() >= 2).then_some(ready)
    })
    .await;
    assert_eq!(ready[0], 7.0, "{ready:?}");
}

#[actix_web::test]
async fn every_span_has_its_steps() {
    let broker = TestBroker::start().await;
    for (query, step_ms, steps) in [
        ("", 1000, 600),
        ("?span=24h", 60_000, 1440),
        ("?topic=default", 10_000, 60),
        ("?span=24h&topic=default", 900_000, 96),
    ] {
        let history = broker.http("GET", &format!("/v1/history{query}"), "").await.expect(200);
        assert_eq!(history["step_ms"], step_ms, "{query}");
        assert_eq!(numbers(&history, "acked").len(), steps, "{query}");
    }
    broker.http("GET", "/v1/history?span=1h", "").await.expect_problem(400, "invalid_request");
    broker.http("GET", "/v1/history?since=1", "").await.expect_problem(400, "invalid_request");
    let none = broker.http("GET", "/v1/history?topic=none", "").await;
    none.expect_problem(404, "topic_not_found");
}
