//! Publishing over the socket.

use crate::*;

#[actix_web::test]
async fn a_publish_is_answered_with_where_the_message_is() {
    let broker = TestBroker::start().await;
    let mut client = Client::of(&broker).await;
    let placed =
        client.ok(json!({"op": "publish", "topic": "default", "message": {"body": "one"}})).await;
    assert_eq!(
        (&placed["seq"], &placed["duplicate"], &placed["durability"]),
        (&json!(1), &json!(false), &json!("sync"))
    );
    assert!(placed["id"].is_string());
    let path = "/v1/topics/default/receive";
    let got = broker.http("POST", path, "").await.expect(200)["messages"][0].clone();
    assert_eq!((&got["id"], &got["body"]), (&placed["id"], &json!("one")));
}

#[actix_web::test]
async fn many_are_published_at_once_with_a_result_each() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    let mut client = Client::of(&broker).await;
    let messages = json!([
        {"body": "one", "dedup_key": "k"},
        {"base64": "/w==", "attributes": {"a": 1}},
        {"body": "again", "dedup_key": "k"},
    ]);
    let answer = client.ok(json!({"op": "publish", "topic": "t", "messages": messages})).await;
    let results = answer["results"].as_array().unwrap();
    let seqs: Vec<_> =
        results.iter().map(|one| (one["seq"].clone(), one["duplicate"].clone())).collect();
    let expected = [(1, false), (2, false), (1, true)];
    assert_eq!(seqs, expected.map(|(seq, duplicate)| (json!(seq), json!(duplicate))));
    assert_eq!(
        client.ok(json!({"op": "publish", "topic": "t", "messages": []})).await["results"],
        json!([])
    );
    until(&broker, "t", "/queues/0/ready", json!(2)).await;
}

#[actix_web::test]
async fn a_binary_frame_carries_a_body_as_it_is() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    let mut client = Client::of(&broker).await;
    let head =
        json!({"op": "publish", "req": 7, "topic": "t", "message": {"attributes": {"a": 1}}});
    client.say_binary(head, b"\xff\x00").await;
    let answer = client.hear().await;
    assert_eq!((&answer["type"], &answer["req"]), (&json!("ok"), &json!(7)));
    let got = broker.http("POST", "/v1/topics/t/receive", "").await.expect(200);
    let got = &got["messages"][0];
    assert_eq!((&got["base64"], &got["attributes"]), (&json!("/wA="), &json!({"a": 1})));
}

#[actix_web::test]
async fn a_publish_goes_to_the_queue_it_names() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    broker.http("PUT", "/v1/topics/t/queues/other", "{}").await.expect(201);
    let mut client = Client::of(&broker).await;
    let to = |queue: &str| json!({"op": "publish", "topic": "t", "queue": queue, "message": {"body": "x"}});
    client.ok(to("other")).await;
    until(&broker, "t", "/queues/1/ready", json!(1)).await;
    until(&broker, "t", "/queues/0/ready", json!(0)).await;
    client.refused(to("none"), "queue_not_found").await;
}

/// Requests may be sent without waiting; each topic gets them in their order.
#[actix_web::test]
async fn requests_in_a_row_are_done_in_their_order_and_answered_by_name() {
    let broker = TestBroker::start().await;
    create(&broker, "a", "broker").await;
    create(&broker, "b", "broker").await;
    let mut client = Client::of(&broker).await;
    for number in 0..1000 {
        let topic = if number % 2 == 0 { "a" } else { "b" };
        let message = json!({"body": number.to_string()});
        client
            .say(json!({"op": "publish", "req": number, "topic": topic, "message": message}))
            .await;
    }
    let mut heard = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let answer = client.hear().await;
        assert_eq!(answer["type"], "ok", "{answer}");
        let number = answer["req"].as_u64().unwrap();
        assert_eq!(answer["seq"], number / 2 + 1, "{answer}");
        assert!(heard.insert(number), "{number} is answered twice");
    }
}

#[actix_web::test]
async fn without_a_name_only_failures_are_told() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    let mut client = Client::of(&broker).await;
    client.say(json!({"op": "publish", "topic": "t", "message": {"body": "x"}})).await;
    client.say(json!({"op": "publish", "topic": "none", "message": {"body": "x"}})).await;
    let answer = client.hear().await;
    assert_eq!(
        (&answer["type"], answer.get("req"), &answer["code"]),
        (&json!("error"), None, &json!("topic_not_found"))
    );
    until(&broker, "t", "/queues/0/ready", json!(1)).await;
}

#[actix_web::test]
async fn what_the_broker_refuses_is_told_by_its_code() {
    let broker = TestBroker::start_with(&["limits.body_bytes_max=10", "limits.batch_max=2"]).await;
    create(&broker, "t", "broker").await;
    let mut client = Client::of(&broker).await;
    let one =
        |topic: &str, message: Value| json!({"op": "publish", "topic": topic, "message": message});
    client.refused(one("none", json!({"body": ""})), "topic_not_found").await;
    client.refused(one("t", json!({"body": "x".repeat(11)})), "too_large").await;
    client.refused(one("t", json!({})), "invalid_request").await;
    client.refused(one("t", json!({"body": "", "attributes": []})), "invalid_request").await;
    client.refused(json!({"op": "fly"}), "unknown_op").await;
    let three = json!([{"body": ""}, {"body": ""}, {"body": ""}]);
    client.refused(json!({"op": "publish", "topic": "t", "messages": three}), "too_many").await;
    let mixed = json!([{"body": "x"}, {"body": "x".repeat(11)}]);
    let answer = client.ok(json!({"op": "publish", "topic": "t", "messages": mixed})).await;
    let results = &answer["results"];
    assert_eq!(
        (&results[0]["seq"], &results[1]["problem"]["code"]),
        (&json!(1), &json!("too_large"))
    );
    assert_eq!(client.ask(json!({"op": "ping"})).await["type"], "pong");
    assert_eq!(metric(&broker, "octoq_ws_errors_total").await, 6);
    assert_eq!(metric(&broker, "octoq_ws_requests_total{op=\"malformed\"}").await, 3);
}

#[actix_web::test]
async fn a_user_may_do_what_it_may_do_elsewhere() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    create(&broker, "hers", "broker").await;
    let user = r#"{"password":"pw","role":"user","topics":["hers"]}"#;
    assert_eq!(broker.http("PUT", "/v1/users/ann", user).await.status, 204);
    let address = broker.door("http");
    let stream = TcpStream::connect(address).await.unwrap();
    // ann:pw
    let request =
        tokio_tungstenite::tungstenite::http::Request::get(format!("ws://{address}/v1/ws"))
            .header("host", address.to_string())
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("authorization", "Basic YW5uOnB3")
            .body(())
            .unwrap();
    let (socket, _) = client_async(request, stream).await.unwrap();
    let mut client = Client { socket };
    let to = |topic: &str| json!({"op": "publish", "topic": topic, "message": {"body": "x"}});
    client.ok(to("hers")).await;
    client.refused(to("t"), "not_allowed").await;
    client.refused(json!({"op": "consume", "topic": "t"}), "not_allowed").await;
    client.refused(json!({"op": "subscribe", "topic": "pubsub"}), "not_allowed").await;
}
