//! Pushes of pubsub topics over the socket.

use crate::*;

/// Subscribes and answers what was answered.
async fn subscribe(client: &mut Client, frame: Value) -> Value {
    let mut frame = frame;
    frame["op"] = json!("subscribe");
    client.ok(frame).await
}

#[actix_web::test]
async fn one_socket_follows_many_topics() {
    let broker = TestBroker::start().await;
    create(&broker, "a", "pubsub").await;
    create(&broker, "b", "pubsub").await;
    let mut client = Client::of(&broker).await;
    let epoch = show(&broker, "a").await["epoch"].clone();
    assert_eq!(
        subscribe(&mut client, json!({"topic": "a"})).await,
        json!({"type": "ok", "req": "at", "sub": "a", "topic": "a", "epoch": epoch, "seq": 0, "next": 1})
    );
    subscribe(&mut client, json!({"topic": "b", "sub": "bee"})).await;
    publish(&broker, "a", &["one"]).await;
    let first = client.hear().await;
    for (field, value) in [
        ("type", json!("message")),
        ("sub", json!("a")),
        ("topic", json!("a")),
        ("epoch", epoch.clone()),
        ("seq", json!(1)),
        ("body", json!("one")),
    ] {
        assert_eq!(first[field], value, "{field}");
    }
    let message = json!({"body": "two", "id": "mine", "attributes": {"a": 1}});
    broker.http("POST", "/v1/topics/b/messages", &message.to_string()).await.expect(201);
    let second = client.hear().await;
    assert_eq!(
        (&second["sub"], &second["topic"], &second["id"], &second["attributes"]),
        (&json!("bee"), &json!("b"), &json!("mine"), &json!({"a": 1}))
    );
    // The same topic twice, under two names.
    subscribe(&mut client, json!({"topic": "a", "sub": "again"})).await;
    publish(&broker, "a", &["three"]).await;
    let mut subs = [client.hear().await, client.hear().await].map(|push| push["sub"].clone());
    subs.sort_by_key(Value::to_string);
    assert_eq!(subs, ["a", "again"]);
    until(&broker, "a", "/subscribers", json!(2)).await;
    drop(client);
    until(&broker, "a", "/subscribers", json!(0)).await;
    until(&broker, "b", "/subscribers", json!(0)).await;
}

#[actix_web::test]
async fn who_unsubscribes_hears_no_more_and_may_come_back() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    let mut client = Client::of(&broker).await;
    let mut other = Client::of(&broker).await;
    subscribe(&mut other, json!({"topic": "t"})).await;
    for round in 1..=20 {
        let answer = subscribe(&mut client, json!({"topic": "t"})).await;
        assert_eq!(answer["next"], json!(2 * round - 1), "{answer}");
        publish(&broker, "t", &["heard"]).await;
        assert_eq!(client.hear().await["body"], "heard");
        client.ok(json!({"op": "unsubscribe", "sub": "t"})).await;
        // The topic knows it as soon as the answer is there, or a moment later.
        until(&broker, "t", "/subscribers", json!(1)).await;
        publish(&broker, "t", &["missed"]).await;
    }
    client.refused(json!({"op": "unsubscribe", "sub": "t"}), "subscription_not_found").await;
    assert_eq!(client.ask(json!({"op": "ping"})).await["type"], "pong");
}

#[actix_web::test]
async fn a_subscriber_that_comes_back_gets_what_it_missed_or_the_gap() {
    let broker = TestBroker::start().await;
    let policy = json!({"history_messages": 3});
    let new = json!({"name": "t", "kind": "pubsub", "policy": policy});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
    let mut stays = Client::of(&broker).await;
    let epoch = subscribe(&mut stays, json!({"topic": "t"})).await["epoch"].clone();
    for seq in 1..=6 {
        publish(&broker, "t", &[&seq.to_string()]).await;
        assert_eq!(stays.hear().await["seq"], seq);
    }
    let mut back = Client::of(&broker).await;
    let answer = subscribe(&mut back, json!({"topic": "t", "epoch": epoch, "seq": 4})).await;
    assert_eq!((&answer["seq"], &answer["next"]), (&json!(4), &json!(5)));
    for seq in 5..=6 {
        assert_eq!(back.hear().await["body"], seq.to_string());
    }
    subscribe(&mut back, json!({"topic": "t", "sub": "s", "epoch": epoch, "seq": 1})).await;
    let gap =
        json!({"type": "gap", "sub": "s", "topic": "t", "epoch": epoch, "from": 2, "through": 3});
    assert_eq!(back.hear().await, gap);
    for seq in 4..=6 {
        assert_eq!(back.hear().await["seq"], seq);
    }
    let other = epoch.as_u64().unwrap() ^ 1;
    subscribe(&mut back, json!({"topic": "t", "sub": "o", "epoch": other, "seq": 5})).await;
    let gap = json!({"type": "gap", "sub": "o", "topic": "t", "epoch": epoch, "from": 1,
        "through": 6, "reason": "epoch", "kept_from": 4});
    assert_eq!(back.hear().await, gap);
}

/// Its position says so, too: whoever leaves before hearing anything resumes there.
#[actix_web::test]
async fn what_nobody_heard_goes_to_the_first_subscriber() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    publish(&broker, "t", &["1", "2"]).await;
    let mut client = Client::of(&broker).await;
    let answer = subscribe(&mut client, json!({"topic": "t"})).await;
    assert_eq!((&answer["seq"], &answer["next"]), (&json!(0), &json!(3)));
    assert_eq!(client.hear().await["body"], "1");
    assert_eq!(client.hear().await["body"], "2");
}

#[actix_web::test]
async fn a_body_that_is_not_text_comes_as_the_client_wants_it() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    let mut text = Client::of(&broker).await;
    let mut binary = Client::of(&broker).await;
    subscribe(&mut text, json!({"topic": "t"})).await;
    subscribe(&mut binary, json!({"topic": "t", "binary": true})).await;
    let path = "/v1/topics/t/messages";
    broker.http("POST", path, r#"{"base64":"/wAB","attributes":{"a":1}}"#).await.expect(201);
    broker.http("POST", path, r#"{"body":"text"}"#).await.expect(201);
    assert_eq!(text.hear().await["base64"], "/wAB");
    let (head, body) = binary.hear_binary().await;
    assert_eq!(body, [0xff, 0, 1]);
    assert_eq!(
        (&head["type"], &head["seq"], &head["attributes"]),
        (&json!("message"), &json!(1), &json!({"a": 1}))
    );
    assert_eq!((head.get("body"), head.get("base64")), (None, None));
    assert_eq!(binary.hear().await["body"], "text");
}

#[actix_web::test]
async fn bodies_of_every_frame_length_arrive_whole() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    let mut client = Client::of(&broker).await;
    subscribe(&mut client, json!({"topic": "t", "binary": true})).await;
    for length in [0, 1, 100, 65_300, 65_400, 65_500, 65_600, 1_000_000, 3_900_000] {
        let body = "y".repeat(length);
        publish(&broker, "t", &[&body]).await;
        assert!(client.hear().await["body"] == body, "{length} bytes");
        let bytes = vec![0xff; length.max(1)];
        client.say_binary(json!({"op": "publish", "topic": "t"}), &bytes).await;
        assert!(client.hear_binary().await.1 == bytes, "{length} bytes");
    }
}

/// A publish and a subscribe of one client on one topic are done in their order.
#[actix_web::test]
async fn what_is_published_behind_a_subscribe_is_heard() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    // Somebody listens, so that nothing goes to the backlog.
    let mut other = Client::of(&broker).await;
    subscribe(&mut other, json!({"topic": "t"})).await;
    for round in 0..50 {
        let mut client = Client::of(&broker).await;
        let publish =
            |body: &str| json!({"op": "publish", "topic": "t", "message": {"body": body}});
        for frame in
            [publish("before"), json!({"op": "subscribe", "topic": "t"}), publish("behind")]
        {
            client.socket.feed(Message::Text(frame.to_string().into())).await.unwrap();
        }
        client.socket.flush().await.unwrap();
        let answer = client.hear().await;
        assert_eq!((&answer["type"], &answer["next"]), (&json!("ok"), &json!(2 * round + 2)));
        assert_eq!(client.hear().await["body"], "behind");
    }
}

#[actix_web::test]
async fn what_cannot_be_subscribed_is_refused() {
    let broker = TestBroker::start_with(&["ws.subscriptions_max=3"]).await;
    create(&broker, "t", "pubsub").await;
    let mut client = Client::of(&broker).await;
    let to = |topic: &str, sub: &str| json!({"op": "subscribe", "topic": topic, "sub": sub});
    client.refused(to("none", "a"), "topic_not_found").await;
    client.refused(to("default", "a"), "wrong_kind").await;
    client.refused(json!({"op": "consume", "topic": "t", "sub": "a"}), "wrong_kind").await;
    for sub in ["a", "b"] {
        client.ok(to("t", sub)).await;
    }
    client.refused(to("t", "a"), "subscription_exists").await;
    client.ok(json!({"op": "consume", "topic": "default", "sub": "c"})).await;
    client.refused(to("t", "d"), "too_many").await;
    client.ok(json!({"op": "unsubscribe", "sub": "b"})).await;
    client.ok(to("t", "d")).await;
}

#[actix_web::test]
async fn a_subscription_ends_with_its_topic_and_the_socket_goes_on() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "pubsub").await;
    create(&broker, "q", "broker").await;
    let mut client = Client::of(&broker).await;
    client.ok(json!({"op": "subscribe", "topic": "t", "sub": "pushes"})).await;
    client.ok(json!({"op": "consume", "topic": "q", "sub": "work"})).await;
    until(&broker, "q", "/queues/0/consumers", json!(1)).await;
    for (topic, sub) in [("t", "pushes"), ("q", "work")] {
        assert_eq!(broker.http("DELETE", &format!("/v1/topics/{topic}"), "").await.status, 204);
        let ended = client.hear().await;
        assert_eq!(
            (&ended["type"], &ended["sub"], &ended["code"]),
            (&json!("ended"), &json!(sub), &json!("topic_not_found")),
            "{ended}"
        );
    }
    create(&broker, "t", "pubsub").await;
    client.ok(json!({"op": "subscribe", "topic": "t", "sub": "pushes"})).await;
    publish(&broker, "t", &["anew"]).await;
    assert_eq!(client.hear().await["body"], "anew");
}
