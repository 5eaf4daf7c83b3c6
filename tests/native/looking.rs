//! Looking at messages without taking them: the ends of a queue, states with filters, one message.

use crate::common::*;
use crate::{create, kill, post_beside, publish, receive, take};
use serde_json::{Value, json};

async fn get(broker: &TestBroker, path: &str) -> Answer {
    broker.http("GET", &format!("/v1/topics/{path}"), "").await
}

fn bodies(answer: &Value) -> Vec<&str> {
    let messages = answer["messages"].as_array().unwrap();
    messages.iter().map(|message| message["body"].as_str().unwrap()).collect()
}

const QUEUE: &str = "default/queues/default";

/// The bodies of a list, in its order; it is one page.
async fn list(broker: &TestBroker, query: &str) -> Vec<String> {
    let answer = get(broker, &format!("{QUEUE}/messages?{query}")).await.expect(200);
    assert_eq!((&answer["complete"], answer.get("next")), (&json!(true), None), "{query}");
    bodies(&answer).into_iter().map(str::to_owned).collect()
}

#[actix_web::test]
async fn the_ends_of_a_queue_are_seen_and_nothing_is_taken() {
    let broker = TestBroker::start().await;
    for body in ["a", "b", "c"] {
        publish(&broker, "default", json!({"body": body})).await;
    }
    publish(&broker, "default", json!({"body": "urgent", "priority": 9})).await;
    for (query, expected) in [
        ("", &["urgent"][..]),
        ("?max=3", &["urgent", "a", "b"]),
        ("?end=back&max=2", &["c", "b"]),
        ("?max=99999999", &["urgent", "a", "b", "c"]),
    ] {
        let answer = get(&broker, &format!("{QUEUE}/peek{query}")).await.expect(200);
        assert_eq!(bodies(&answer), expected, "{query}");
        assert_eq!(answer["messages"][0]["state"], "ready");
        assert_eq!(answer["messages"][0].get("receipt"), None);
    }
    for query in
        ["?end=middle", "?max=-1", "?max=0", "?max=x", "?colour=red", "?max=1&max=2", "?end=%ff"]
    {
        get(&broker, &format!("{QUEUE}/peek{query}")).await.expect_problem(400, "invalid_request");
    }
    get(&broker, "default/queues/none/peek").await.expect_problem(404, "queue_not_found");
    get(&broker, "none/queues/q/peek").await.expect_problem(404, "topic_not_found");
    get(&broker, "pubsub/queues/default/peek").await.expect_problem(404, "queue_not_found");
    assert_eq!(take(&broker, "default").await, ["urgent", "a", "b", "c"]);
}

#[actix_web::test]
async fn a_message_is_listed_in_its_state() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"body": "dies"})).await;
    kill(&broker, "default", "broken").await;
    publish(&broker, "default", json!({"body": "flies"})).await;
    receive(&broker, "default").await;
    publish(&broker, "default", json!({"body": "later", "delay_ms": 3_600_000})).await;
    publish(&broker, "default", json!({"body": "waits", "attributes": {"a": 1}})).await;
    for (state, body) in
        [("ready", "waits"), ("delayed", "later"), ("in_flight", "flies"), ("dead", "dies")]
    {
        let answer = get(&broker, &format!("{QUEUE}/messages?state={state}")).await.expect(200);
        assert_eq!(bodies(&answer), [body]);
        let message = &answer["messages"][0];
        assert_eq!((&message["state"], &answer["scanned"]), (&json!(state), &json!(1)));
        assert_eq!(message["visible_at_ms"].is_i64(), state == "delayed");
        assert_eq!(message["deadline_ms"].is_i64(), state == "in_flight");
        assert_eq!(
            message["dead"]["reason"],
            if state == "dead" { json!("rejected") } else { Value::Null }
        );
    }
    assert_eq!(list(&broker, "").await, ["waits"], "ready is what is meant when nothing is said");
    for query in [
        "state=gone",
        "state=",
        "state=ready&state=dead",
        "limit=x",
        "limit=0",
        "limit=-1",
        "body=x",
        "after",
    ] {
        let answer = get(&broker, &format!("{QUEUE}/messages?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}

#[actix_web::test]
async fn filters_find_what_they_describe() {
    let broker = TestBroker::start().await;
    for message in [
        json!({"body": "plain text"}),
        json!({"json": {"order": {"id": 17, "lines": [{"sku": "a/b"}]}, "ok": true}, "attributes": {"shop": "north", "n": 5}}),
        json!({"json": {"order": {"id": 18, "lines": []}, "ok": null}, "attributes": {"shop": "south"}}),
        json!({"base64": "//79"}),
    ] {
        publish(&broker, "default", message).await;
    }
    let seqs = async |query: &str| {
        let answer = get(&broker, &format!("{QUEUE}/messages?{query}")).await.expect(200);
        assert_eq!(answer["scanned"], 4, "{query}");
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().map(|message| message["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let table: [(&str, &[u64]); 20] = [
        ("attribute=shop=north", &[2]),
        ("attribute=shop=north&attribute=shop=south", &[2, 3]),
        ("attribute=shop=north&attribute=n=5", &[2]),
        ("attribute=shop=south&attribute=n=5", &[]),
        ("attribute=shop=", &[]),
        ("json=/order/id=17", &[2]),
        ("json=/order/id=1", &[]),
        ("json=/order/lines/0/sku=a/b", &[2]),
        ("json=%2Forder%2Fid%3D18", &[3]),
        ("json=/ok=null", &[3]),
        ("json=/ok=true&json=/order/id=17", &[2]),
        ("json=/ok=true&json=/order/id=18", &[]),
        ("text=plain", &[1]),
        ("text=%22order%22", &[2, 3]),
        ("text=ORDER", &[]),
        ("text=sku&attribute=shop=north", &[2]),
        ("older_than_ms=3600000", &[]),
        ("newer_than_ms=3600000", &[1, 2, 3, 4]),
        ("newer_than_ms=3600000&older_than_ms=0&text=t", &[1, 2]),
        ("reason=nacked", &[]),
    ];
    for (query, found) in table {
        assert_eq!(seqs(query).await, found, "{query}");
    }
    let many = "attribute=a=b&".repeat(65);
    let long = format!("text={}", "x".repeat(1025));
    let deep = format!("json={}=1", "/a".repeat(65));
    let very_many = "attribute=a=b&".repeat(300);
    for query in [
        "attribute=shop",
        "json=order=17",
        "json=/a",
        "text=",
        "older_than_ms=-1",
        "older_than_ms=999999999999999999",
        "newer_than_ms=99999999999999999999999",
        "reason=boredom",
        "text=a&text=b",
        "text=%ff",
        &many,
        &very_many,
        &long,
        &deep,
    ] {
        let answer = get(&broker, &format!("{QUEUE}/messages?{query}")).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn pages_follow_each_other_whether_all_is_wanted_or_some() {
    let broker = TestBroker::start().await;
    let batch: Vec<_> = (0..25)
        .map(|n| json!({"body": format!("m{n}"), "attributes": {"odd": n % 2 == 1}}))
        .collect();
    broker.http("POST", "/v1/topics/default/messages", &json!(batch).to_string()).await.expect(200);
    for (query, step, limit) in [("limit=10", 1, 10), ("limit=3&attribute=odd=true", 2, 3)] {
        let mut found = Vec::new();
        let mut path = format!("{QUEUE}/messages?{query}");
        loop {
            let page = get(&broker, &path).await.expect(200);
            assert!(bodies(&page).len() <= limit);
            found.extend(bodies(&page).into_iter().map(str::to_owned));
            assert_eq!(page["complete"] == false, page["next"].is_string());
            match page["next"].as_str() {
                Some(next) => path = format!("{QUEUE}/messages?{query}&after={next}"),
                None => break,
            }
        }
        let expected: Vec<_> =
            (0..25).skip(step - 1).step_by(step).map(|n| format!("m{n}")).collect();
        assert_eq!(found, expected, "{query}");
    }
}

/// What a cursor names is a place in one list.
#[actix_web::test]
async fn a_cursor_of_another_list_is_refused() {
    let broker = TestBroker::start().await;
    create(&broker, json!({"name": "t", "queues": [{"name": "default"}, {"name": "other"}]})).await;
    for body in ["a", "b"] {
        publish(&broker, "t", json!({"body": body})).await;
    }
    let page = get(&broker, "t/queues/default/messages?limit=1").await.expect(200);
    let next = page["next"].as_str().unwrap();
    let rest = get(&broker, &format!("t/queues/default/messages?limit=1&after={next}")).await;
    assert_eq!(bodies(&rest.expect(200)), ["b"]);
    for path in [
        format!("t/queues/other/messages?after={next}"),
        format!("t/queues/default/messages?state=dead&after={next}"),
        format!("t/queues/default/messages?after={next}0"),
        "t/queues/default/messages?after=".into(),
        "t/queues/default/messages?after=5".into(),
        "t/queues/default/messages?after=-".into(),
        "t/queues/default/messages?after=%C3%BC-%C3%BC".into(),
        format!("t/queues/default/messages?after={}-00000000", "f".repeat(33)),
    ] {
        get(&broker, &path).await.expect_problem(400, "invalid_cursor");
    }
    // A queue of the same name that was made anew is another one.
    assert_eq!(broker.http("DELETE", "/v1/topics/t/queues/default", "").await.status, 204);
    broker.http("PUT", "/v1/topics/t/queues/default", "").await.expect(201);
    let old = get(&broker, &format!("t/queues/default/messages?after={next}")).await;
    old.expect_problem(400, "invalid_cursor");
}

/// One request looks at so much and no more, and says where to go on.
#[actix_web::test]
async fn a_search_is_bounded_and_can_be_continued() {
    let set = ["limits.list_scan_max=300"];
    let broker = TestBroker::start_with(&set).await;
    let batch: Vec<_> = (0..1000).map(|n| json!({"body": format!("m{n}")})).collect();
    broker.http("POST", "/v1/topics/default/messages", &json!(batch).to_string()).await.expect(200);
    let (mut requests, mut path) = (0, format!("{QUEUE}/messages?text=m999"));
    let found = loop {
        let page = get(&broker, &path).await.expect(200);
        requests += 1;
        assert!(page["scanned"].as_u64().unwrap() <= 300);
        match page["next"].as_str() {
            Some(next) => path = format!("{QUEUE}/messages?text=m999&after={next}"),
            None => break bodies(&page).join(","),
        }
    };
    assert_eq!((found.as_str(), requests), ("m999", 4));
}

#[actix_web::test]
async fn a_search_is_bounded_in_bytes() {
    let set = ["limits.list_scan_bytes_max=25000", "limits.list_step_bytes=10000"];
    let broker = TestBroker::start_with(&set).await;
    let batch: Vec<_> = (0..10).map(|_| json!({"body": "x".repeat(4000)})).collect();
    broker.http("POST", "/v1/topics/default/messages", &json!(batch).to_string()).await.expect(200);
    let page = get(&broker, &format!("{QUEUE}/messages?text=none")).await.expect(200);
    assert_eq!((&page["complete"], bodies(&page).len()), (&json!(false), 0));
    let scanned = page["scanned"].as_u64().unwrap();
    assert!((6..=8).contains(&scanned), "two messages at a time, until 25000 bytes: {scanned}");
    // One answer holds no more than one receive may.
    let small = TestBroker::start_with(&["limits.receive_bytes_max=5000"]).await;
    small.http("POST", "/v1/topics/default/messages", &json!(batch).to_string()).await.expect(200);
    let page = get(&small, &format!("{QUEUE}/messages")).await.expect(200);
    assert_eq!((bodies(&page).len(), &page["complete"]), (2, &json!(false)));
    assert_eq!(bodies(&get(&small, &format!("{QUEUE}/peek?max=10")).await.expect(200)).len(), 1);
}

/// Bodies that are not in memory are read for a list, and a filter sees them.
#[actix_web::test]
async fn bodies_on_disk_are_searched_as_well() {
    let broker = TestBroker::start_with(&["limits.memory_bytes=16777216"]).await;
    create(&broker, json!({"name": "t", "policy": {"durability": "async"}})).await;
    for first in (0..30).step_by(10) {
        let batch: Vec<_> = (first..first + 10)
            .map(|n| json!({"body": format!("{}n{n};", "x".repeat(1_000_000))}))
            .collect();
        broker.http("POST", "/v1/topics/t/messages", &json!(batch).to_string()).await.expect(200);
    }
    let page = get(&broker, "t/queues/default/messages?text=n29;").await.expect(200);
    assert_eq!((&page["scanned"], &page["messages"][0]["seq"]), (&json!(30), &json!(30)));
}

#[actix_web::test]
async fn one_message_tells_its_life() {
    let broker = TestBroker::start().await;
    let policy = json!({"max_deliveries": 3});
    create(&broker, json!({"name": "t", "queues": [{"name": "default", "policy": policy}]})).await;
    publish(&broker, "t", json!({"body": "x", "id": "a/b ü"})).await;
    let path = "t/queues/default/messages/a%2Fb%20%C3%BC";
    let events = async || {
        let seen = get(&broker, path).await.expect(200);
        let life = seen["life"].as_array().unwrap().clone();
        let mut at = 0;
        for moment in &life {
            if let Some(ms) = moment["at_ms"].as_i64() {
                assert!(ms >= at, "in the order of time: {seen}");
                at = ms;
            }
        }
        let name = |moment: &Value| moment["event"].as_str().unwrap().to_owned();
        (seen, life.iter().map(name).collect::<Vec<_>>())
    };
    let (seen, life) = events().await;
    assert_eq!(
        (&seen["id"], &seen["state"], &seen["attempts"]),
        (&json!("a/b ü"), &json!("ready"), &json!(0))
    );
    assert_eq!(life, ["published"]);

    let got = receive(&broker, "t").await;
    assert_eq!(events().await.1, ["published", "delivered"]);
    let nack = json!({"receipt": got[0]["receipt"], "error": "no luck"}).to_string();
    assert_eq!(broker.http("POST", "/v1/topics/t/nack", &nack).await.status, 204);
    let (seen, life) = events().await;
    assert_eq!(life, ["published", "delivered", "nacked"]);
    let doors: Vec<_> = (0..3).map(|nth| &seen["life"][nth]["door"]).collect();
    assert_eq!(doors, ["http", "http", "http"], "{seen}");
    assert_eq!(
        (&seen["life"][2]["error"], &seen["life"][2]["attempt"]),
        (&json!("no luck"), &json!(1))
    );

    receive(&broker, "t?ack_deadline_ms=1").await;
    let failed = ["published", "delivered", "nacked", "delivered", "deadline_missed"];
    eventually("the deadline is missed", async || (events().await.1 == failed).then_some(())).await;

    kill(&broker, "t", "hopeless").await;
    let (seen, life) = events().await;
    let dead = [&failed[..], &["delivered", "nacked", "dead"]].concat();
    assert_eq!(life, dead);
    assert_eq!((&seen["state"], &seen["life"][7]["reason"]), (&json!("dead"), &json!("rejected")));
    assert_eq!(
        (&seen["dead"]["attempts"], seen["failures"].as_array().unwrap().len()),
        (&json!(3), 3)
    );

    broker.http("POST", "/v1/topics/t/queues/default/redrive", "").await.expect(200);
    let (seen, life) = events().await;
    assert_eq!(life, [&dead[..], &["redriven"]].concat());
    let redriven = &seen["life"][8];
    assert!(redriven["at_ms"].is_i64() && redriven["door"] == "http", "{seen}");
    assert_eq!((&seen["state"], seen.get("dead")), (&json!("ready"), None));
    receive(&broker, "t").await;
    assert_eq!(events().await.1, [&dead[..], &["redriven", "delivered"]].concat());

    for path in [
        "t/queues/default/messages/none",
        "t/queues/default/messages/%ff%00",
        "t/queues/default/messages/01a1fdbd-30b5-700e-8870-000000000001",
    ] {
        get(&broker, path).await.expect_problem(404, "message_not_found");
    }
    get(&broker, "t/queues/default/messages/").await.expect_problem(404, "not_found");
    let long = format!("t/queues/default/messages/{}", "x".repeat(3000));
    get(&broker, &long).await.expect_problem(404, "message_not_found");
}

/// A reader may look and do nothing else.
#[actix_web::test]
async fn a_look_needs_the_right_to_read() {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let broker = TestBroker::start().await;
    let user = json!({"password": "pw"}).to_string();
    assert_eq!(broker.http("PUT", "/v1/users/ann", &user).await.status, 204);
    let credentials = format!("Basic {}", STANDARD.encode("ann:pw"));
    for (method, path) in [
        ("GET", "queues/default/peek"),
        ("GET", "queues/default/messages"),
        ("GET", "queues/default/messages/x"),
        ("GET", "queues/default"),
        ("GET", "queues/default/redrive"),
        ("GET", "queues"),
        ("GET", "stats"),
        ("PATCH", "queues/default"),
        ("PUT", "queues/default"),
        ("POST", "queues/default/pause"),
        ("POST", "queues/default/detach"),
        ("POST", "queues/default/purge"),
        ("POST", "queues/default/redrive"),
        ("DELETE", "queues/default/redrive"),
        ("DELETE", "queues/default/messages/x"),
        ("POST", "queues/default/messages/x/edit"),
        ("POST", "pause"),
    ] {
        let path = format!("/v1/topics/default/{path}");
        let headers = [("Authorization", credentials.as_str())];
        let body: &[u8] = if method == "PATCH" { b"{}" } else { b"" };
        let answer = http(broker.door("http"), method, &path, &headers, body).await;
        assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text());
        answer.expect_problem(403, "not_allowed");
    }
}

#[actix_web::test]
async fn a_life_names_the_doors_it_went_through_also_after_a_restart() {
    let broker = TestBroker::start().await;
    let mut otq = broker.login_otq().await;
    otq.exchange("OTQ PUT default 1 BATCH\r\nfrom otq\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
    let mut okq = Wire::connect(broker.door("okq")).await;
    okq.exchange("QLPUSH default from-okq x\r\n", "+OK\r\n").await;
    // Taken by okQ's client, and given back by a caller of the native door.
    okq.exchange("QRPOP default\r\n", "").await;
    let flying = eventually("okQ has one", async || {
        let flying = get(&broker, &format!("{QUEUE}/messages?state=in_flight")).await.json();
        flying["messages"][0]["id"].as_str().map(str::to_owned)
    })
    .await;
    let nack = json!({"ids": [flying], "error": "no"}).to_string();
    broker.http("POST", "/v1/topics/default/nack", &nack).await.expect(200);
    publish(&broker, "default", json!({"id": "native", "body": "x"})).await;
    let doors = async |broker: &TestBroker, id: &str| {
        let seen = get(broker, &format!("{QUEUE}/messages/{id}")).await.expect(200);
        let life = seen["life"].as_array().unwrap().clone();
        life.iter()
            .map(|moment| (moment["event"].as_str().unwrap().to_owned(), moment["door"].clone()))
            .collect::<Vec<_>>()
    };
    let before = doors(&broker, &flying).await;
    let by = ["otq", "okq"].map(|door| json!(door));
    assert!(by.contains(&before[0].1), "{before:?}");
    assert_eq!(before[1], ("delivered".to_owned(), json!("okq")));
    assert_eq!(before[2], ("nacked".to_owned(), json!("http")));

    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    assert_eq!(doors(&broker, &flying).await, before);
    assert_eq!(doors(&broker, "native").await, [("published".to_owned(), json!("http"))]);
    // A deadline that passes names who had it, and nobody who gave it back.
    take(&broker, "default").await;
    publish(&broker, "default", json!({"id": "late", "body": "x"})).await;
    receive(&broker, "default?ack_deadline_ms=1").await;
    let missed = eventually("the deadline is missed", async || {
        let life = doors(&broker, "late").await;
        (life.len() == 3).then_some(life)
    })
    .await;
    assert_eq!(missed[1], ("delivered".to_owned(), json!("http")));
    assert_eq!(missed[2], ("deadline_missed".to_owned(), Value::Null));
}

#[actix_web::test]
async fn what_waits_is_made_ready_at_another_time() {
    let broker = TestBroker::start().await;
    for id in ["a", "b", "flies"] {
        publish(&broker, "default", json!({"id": id, "body": id})).await;
    }
    let delay = async |ids: &[&str], delay_ms: u64| {
        let body = json!({"ids": ids, "delay_ms": delay_ms}).to_string();
        broker.http("POST", &format!("/v1/topics/{QUEUE}/delay"), &body).await
    };
    let done = delay(&["a", "nosuch"], 3_600_000).await.expect(200);
    assert_eq!(done["results"][0], json!({"ok": true}));
    assert_eq!(done["results"][1]["problem"]["code"], "message_not_found", "{done}");
    assert_eq!(list(&broker, "state=delayed").await, ["a"]);
    let seen = get(&broker, &format!("{QUEUE}/messages/a")).await.expect(200);
    assert!(seen["visible_at_ms"].as_i64() > seen["published_at_ms"].as_i64(), "{seen}");
    // It is so after a restart, and it takes its own place again.
    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    assert_eq!(list(&broker, "state=delayed").await, ["a"]);
    let body = json!({"ids": ["a"], "delay_ms": 0}).to_string();
    broker.http("POST", &format!("/v1/topics/{QUEUE}/delay"), &body).await.expect(200);
    assert_eq!(list(&broker, "").await, ["a", "b", "flies"]);
    receive(&broker, "default?max=3").await;
    let flies = broker.http("POST", &format!("/v1/topics/{QUEUE}/delay"), &body).await.expect(200);
    assert_eq!(flies["results"][0]["problem"]["code"], "message_not_found");
    for wrong in [
        json!({"ids": ["a"]}),
        json!({"ids": "a", "delay_ms": 1}),
        json!({"ids": ["a"], "delay_ms": -1}),
        json!({"ids": ["a"], "delay_ms": u64::MAX}),
        json!({"ids": ["a"], "delay_ms": 1, "more": 2}),
    ] {
        let answer =
            broker.http("POST", &format!("/v1/topics/{QUEUE}/delay"), &wrong.to_string()).await;
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn a_receiver_that_waits_gets_what_is_made_ready() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", json!({"id": "a", "body": "a", "delay_ms": 3_600_000})).await;
    let waiting = post_beside(&broker, "/v1/topics/default/receive?wait_ms=20000");
    crate::until_waiting(&broker, "default", 1).await;
    let body = json!({"ids": ["a"], "delay_ms": 0}).to_string();
    broker.http("POST", &format!("/v1/topics/{QUEUE}/delay"), &body).await.expect(200);
    assert_eq!(bodies(&waiting.await.unwrap().expect(200)), ["a"]);
}
