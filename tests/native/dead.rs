//! The dead letters of all topics.

use crate::common::*;
use crate::{create, kill, publish};
use serde_json::{Value, json};

/// Topics `t0`, `t1`, ... with two queues each, of which every second has dead letters: as many as
/// the topic's number says.
async fn furnish(broker: &TestBroker, topics: u64) {
    for number in 0..topics {
        let name = format!("t{number}");
        let queues = json!([{"name": "default"}, {"name": "other"}]);
        create(broker, json!({"name": name, "queues": queues})).await;
        for nth in 0..number {
            let body = format!("{name}-{nth}");
            let message = json!({"body": body, "attributes": {"topic": name}});
            let path = format!("/v1/topics/{name}/queues/other/messages");
            broker.http("POST", &path, &message.to_string()).await.expect(201);
        }
        kill(broker, &format!("{name}/queues/other"), "no").await;
    }
}

async fn dead(broker: &TestBroker, query: &str) -> Value {
    broker.http("GET", &format!("/v1/dead?{query}"), "").await.expect(200)
}

fn shown(page: &Value) -> Vec<String> {
    let letters = page["messages"].as_array().unwrap();
    let shown = |letter: &Value| {
        assert_eq!(
            (&letter["state"], &letter["dead"]["reason"]),
            (&json!("dead"), &json!("rejected"))
        );
        format!(
            "{}/{} {}",
            letter["topic"].as_str().unwrap(),
            letter["queue"].as_str().unwrap(),
            letter["body"].as_str().unwrap()
        )
    };
    letters.iter().map(shown).collect()
}

#[actix_web::test]
async fn they_are_one_list_in_pages_of_any_length() {
    let broker = TestBroker::start().await;
    assert_eq!(
        dead(&broker, "").await,
        json!({"messages": [], "scanned": 1, "complete": true}),
        "the queue of the first topic has none"
    );
    furnish(&broker, 5).await;
    let all = dead(&broker, "").await;
    assert_eq!((&all["complete"], all.get("next")), (&json!(true), None));
    let expected: Vec<String> = (0..5)
        .flat_map(|topic| (0..topic).map(move |nth| format!("t{topic}/other t{topic}-{nth}")))
        .collect();
    assert_eq!(shown(&all), expected);
    for limit in [1, 2, 3, 9, 10, 11] {
        let (mut found, mut next) = (Vec::new(), String::new());
        loop {
            let page = dead(&broker, &format!("limit={limit}{next}")).await;
            let letters = shown(&page);
            assert!(letters.len() <= limit);
            found.extend(letters);
            match page["next"].as_str() {
                Some(cursor) => next = format!("&after={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, expected, "in pages of {limit}");
    }
    assert_eq!(shown(&dead(&broker, "topic=t2").await), expected[1..3]);
    assert_eq!(shown(&dead(&broker, "queue=default").await), [""; 0]);
    assert_eq!(shown(&dead(&broker, "text=-3").await), expected[9..]);
    assert_eq!(shown(&dead(&broker, "attribute=topic%3Dt1&reason=rejected").await), expected[..1]);
    assert_eq!(shown(&dead(&broker, "older_than_ms=3600000").await), [""; 0]);
}

#[actix_web::test]
async fn a_request_looks_at_a_bounded_number_of_messages_and_queues() {
    let broker = TestBroker::start_with(&["limits.list_scan_max=3"]).await;
    furnish(&broker, 4).await;
    let (mut found, mut next, mut requests) = (Vec::new(), String::new(), 0);
    loop {
        let page = dead(&broker, &format!("text=t3{next}")).await;
        assert!(page["scanned"].as_u64().unwrap() <= 3, "{page}");
        found.extend(shown(&page));
        requests += 1;
        match page["next"].as_str() {
            Some(cursor) => next = format!("&after={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, ["t3/other t3-0", "t3/other t3-1", "t3/other t3-2"]);
    assert!(requests >= 4, "6 letters and 6 queues without, three at a time: {requests}");
}

#[actix_web::test]
async fn only_topics_that_may_be_read_are_in_it() {
    let broker = TestBroker::start().await;
    furnish(&broker, 3).await;
    let body = r#"{"password":"pw","topics":["t1"]}"#;
    broker.http("PUT", "/v1/users/ada", body).await.expect(204);
    let ada = [("Authorization", "Basic YWRhOnB3")];
    let ask = async |path: &str| http(broker.door("http"), "GET", path, &ada, b"").await;
    assert_eq!(shown(&ask("/v1/dead").await.expect(200)), ["t1/other t1-0"]);
    ask("/v1/dead?topic=t2").await.expect_problem(403, "not_allowed");
}

#[actix_web::test]
async fn a_wrong_question_is_told_so() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "x"})).await;
    kill(&broker, "default", "no").await;
    publish(&broker, "default", json!({"body": "y"})).await;
    kill(&broker, "default", "no").await;
    let path = "/v1/topics/default/queues/default/messages?state=dead&limit=1";
    let of_one =
        broker.http("GET", path, "").await.expect(200)["next"].as_str().unwrap().to_owned();
    for cursor in ["x", "d", "d.", &of_one] {
        let answer = broker.http("GET", &format!("/v1/dead?after={cursor}"), "").await;
        answer.expect_problem(400, "invalid_cursor");
    }
    for query in ["limit=x", "limit=0", "colour=red", "topic=", "reason=sad", "limit=1&limit=2"] {
        let answer = broker.http("GET", &format!("/v1/dead?{query}"), "").await;
        answer.expect_problem(400, "invalid_request");
    }
    let answer = broker.http("GET", "/v1/dead?topic=nosuch", "").await;
    answer.expect_problem(404, "topic_not_found");
}
