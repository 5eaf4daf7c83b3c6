//! Queues of broker topics over the socket.

use crate::*;

async fn consume(client: &mut Client, frame: Value) {
    let mut frame = frame;
    frame["op"] = json!("consume");
    client.ok(frame).await;
}

async fn bodies(client: &mut Client, count: usize) -> Vec<Value> {
    let mut deliveries = Vec::new();
    for _ in 0..count {
        let delivery = client.hear().await;
        assert_eq!(delivery["type"], "delivery", "{delivery}");
        deliveries.push(delivery);
    }
    deliveries
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn fill(broker: &TestBroker, topic: &str, range: std::ops::RangeInclusive<u64>) {
    let texts = numbers(range);
    publish(broker, topic, &texts.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[actix_web::test]
async fn a_delivery_says_all_there_is_to_know_of_it() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    broker.http("PUT", "/v1/topics/t/queues/q", "{}").await.expect(201);
    let message = json!({"body": "x", "id": "mine", "attributes": {"a": 1}}).to_string();
    broker.http("POST", "/v1/topics/t/messages", &message).await.expect(201);
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "queue": "q"})).await;
    let delivery = client.hear().await;
    for (field, value) in [
        ("type", json!("delivery")),
        ("sub", json!("t/q")),
        ("topic", json!("t")),
        ("queue", json!("q")),
        ("id", json!("mine")),
        ("seq", json!(1)),
        ("attempt", json!(1)),
        ("body", json!("x")),
        ("attributes", json!({"a": 1})),
    ] {
        assert_eq!(delivery[field], value, "{field}");
    }
    assert!(delivery["deadline_ms"].as_i64() > delivery["published_at_ms"].as_i64());
    let receipt = delivery["receipt"].as_str().unwrap();
    assert_eq!(client.ok(json!({"op": "ack", "topic": "t", "receipt": receipt})).await["ok"], true);
    client.refused(json!({"op": "ack", "topic": "t", "receipt": receipt}), "receipt_gone").await;
    until(&broker, "t", "/queues/1/in_flight", json!(0)).await;
    until(&broker, "t", "/queues/0/ready", json!(1)).await;
}

#[actix_web::test]
async fn no_more_than_the_prefetch_is_out_until_something_is_acked() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    fill(&broker, "t", 1..=10).await;
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "prefetch": 3})).await;
    let first = bodies(&mut client, 3).await;
    // Nothing else comes before an ack: the pong is the next frame.
    assert_eq!(client.ask(json!({"op": "ping"})).await["type"], "pong");
    assert_eq!(show(&broker, "t").await["queues"][0]["in_flight"], 3);
    let receipts: Vec<_> = first.iter().map(|one| one["receipt"].clone()).collect();
    let answer = client.ok(json!({"op": "ack", "topic": "t", "receipts": receipts[..2]})).await;
    assert_eq!(answer["results"], json!([{"ok": true}, {"ok": true}]));
    let next = bodies(&mut client, 2).await;
    let texts: Vec<_> = first.iter().chain(&next).map(|one| one["body"].clone()).collect();
    assert_eq!(texts, numbers(1..=5));
    // Messages that come later find a consumer with room.
    let all: Vec<_> = receipts[2..]
        .iter()
        .cloned()
        .chain(next.iter().map(|one| one["receipt"].clone()))
        .collect();
    client.ok(json!({"op": "ack", "topic": "t", "receipts": all})).await;
    let rest = bodies(&mut client, 3).await;
    let all: Vec<_> = rest.iter().map(|one| one["receipt"].clone()).collect();
    client.ok(json!({"op": "ack", "topic": "t", "receipts": all})).await;
    let rest = bodies(&mut client, 2).await;
    assert_eq!(rest[1]["body"], "10");
    fill(&broker, "t", 11..=11).await;
    assert_eq!(client.hear().await["body"], "11");
}

#[actix_web::test]
async fn a_nack_gives_back_and_an_extension_moves_the_deadline() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    fill(&broker, "t", 1..=1).await;
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "ack_deadline_ms": 600_000})).await;
    let first = client.hear().await;
    let receipt = &first["receipt"];
    let longer =
        json!({"op": "extend", "topic": "t", "receipt": receipt, "ack_deadline_ms": 1_200_000});
    let deadline = client.ok(longer).await["deadline_ms"].as_i64().unwrap();
    assert!(deadline > first["deadline_ms"].as_i64().unwrap() + 500_000);
    client.ok(json!({"op": "nack", "topic": "t", "receipt": receipt, "error": "broken"})).await;
    let second = client.hear().await;
    assert_eq!((&second["attempt"], &second["body"]), (&json!(2), &json!("1")));
    let release =
        json!({"op": "nack", "topic": "t", "receipt": second["receipt"], "mode": "release"});
    client.ok(release).await;
    let third = client.hear().await;
    assert_eq!(third["attempt"], 2);
    client
        .ok(json!({"op": "nack", "topic": "t", "receipt": third["receipt"], "mode": "dead"}))
        .await;
    until(&broker, "t", "/queues/0/dead", json!(1)).await;
}

/// The prefetch is not used up by what the broker has taken back.
#[actix_web::test]
async fn a_missed_deadline_makes_room_and_the_message_comes_again() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    fill(&broker, "t", 1..=1).await;
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "ack_deadline_ms": 50})).await;
    for attempt in 1..=3 {
        let delivery = client.hear().await;
        assert_eq!((&delivery["attempt"], &delivery["body"]), (&json!(attempt), &json!("1")));
    }
}

/// Everything it held is back at once, in its places and uncounted.
#[actix_web::test]
async fn what_a_closed_socket_held_goes_back_in_order() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    fill(&broker, "t", 1..=20).await;
    let mut gone = Client::of(&broker).await;
    consume(&mut gone, json!({"topic": "t", "prefetch": 12, "ack_deadline_ms": 3_600_000})).await;
    let held = bodies(&mut gone, 12).await;
    client_acks(&mut gone, &held[4]).await;
    bodies(&mut gone, 1).await;
    drop(gone);
    until(&broker, "t", "/queues/0/in_flight", json!(0)).await;
    assert_eq!(metric(&broker, "octoq_ws_released_total").await, 12);
    until(&broker, "t", "/queues/0/consumers", json!(0)).await;
    let mut next = Client::of(&broker).await;
    consume(&mut next, json!({"topic": "t", "prefetch": 100})).await;
    let got = bodies(&mut next, 19).await;
    let mut expected = numbers(1..=20);
    expected.remove(4);
    assert_eq!(got.iter().map(|one| one["body"].clone()).collect::<Vec<_>>(), expected);
    assert!(got.iter().all(|one| one["attempt"] == 1), "{got:?}");
    // So does what an orderly close leaves.
    next.socket.close(None).await.unwrap();
    assert_eq!(next.close_code().await, 1000);
    until(&broker, "t", "/queues/0/ready", json!(19)).await;
}

async fn client_acks(client: &mut Client, delivery: &Value) {
    client.say(json!({"op": "ack", "topic": "t", "receipt": delivery["receipt"]})).await;
}

#[actix_web::test]
async fn who_unsubscribes_gets_no_more_and_may_still_ack() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    fill(&broker, "t", 1..=1).await;
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "prefetch": 5})).await;
    let delivery = client.hear().await;
    client.ok(json!({"op": "unsubscribe", "sub": "t"})).await;
    until(&broker, "t", "/queues/0/consumers", json!(0)).await;
    fill(&broker, "t", 2..=2).await;
    assert_eq!(client.ask(json!({"op": "ping"})).await["type"], "pong");
    until(&broker, "t", "/queues/0/ready", json!(1)).await;
    client.ok(json!({"op": "ack", "topic": "t", "receipt": delivery["receipt"]})).await;
    until(&broker, "t", "/queues/0/in_flight", json!(0)).await;
}

#[actix_web::test]
async fn two_sockets_share_a_queue_and_all_comes_once() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    let mut clients = [Client::of(&broker).await, Client::of(&broker).await];
    for client in &mut clients {
        consume(client, json!({"topic": "t", "prefetch": 10})).await;
    }
    fill(&broker, "t", 1..=500).await;
    let work = async |client: &mut Client, seen: &std::cell::RefCell<Vec<u64>>| {
        while seen.borrow().len() < 500 {
            let next = timeout(std::time::Duration::from_millis(200), client.socket.next()).await;
            let Ok(Some(Ok(Message::Text(text)))) = next else { continue };
            let delivery: Value = serde_json::from_str(&text).unwrap();
            seen.borrow_mut().push(delivery["body"].as_str().unwrap().parse().unwrap());
            client_acks(client, &delivery).await;
        }
    };
    let seen = std::cell::RefCell::default();
    let [one, two] = &mut clients;
    tokio::join!(work(one, &seen), work(two, &seen));
    let mut seen = seen.into_inner();
    seen.sort_unstable();
    assert_eq!(seen, (1..=500).collect::<Vec<_>>());
    until(&broker, "t", "/queues/0/in_flight", json!(0)).await;
}

#[actix_web::test]
async fn bodies_that_are_not_text_come_in_binary_frames_to_who_wants_them() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    broker.http("POST", "/v1/topics/t/messages", r#"{"base64":"/wA="}"#).await.expect(201);
    let mut client = Client::of(&broker).await;
    consume(&mut client, json!({"topic": "t", "binary": true})).await;
    let (head, body) = client.hear_binary().await;
    assert_eq!((&head["type"], &body[..]), (&json!("delivery"), &b"\xff\0"[..]));
    assert!(head["receipt"].is_string() && head.get("base64").is_none());
}

#[actix_web::test]
async fn a_queue_that_is_not_there_cannot_be_consumed() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    let mut client = Client::of(&broker).await;
    let queue = json!({"op": "consume", "topic": "t", "queue": "none"});
    client.refused(queue, "queue_not_found").await;
    client.refused(json!({"op": "consume", "topic": "none"}), "topic_not_found").await;
    client
        .refused(json!({"op": "consume", "topic": "t", "prefetch": 1_000_000}), "invalid_request")
        .await;
    // And one that goes away ends its consumers.
    broker.http("PUT", "/v1/topics/t/queues/q", "{}").await.expect(201);
    consume(&mut client, json!({"topic": "t", "queue": "q"})).await;
    assert_eq!(broker.http("DELETE", "/v1/topics/t/queues/q", "").await.status, 204);
    let ended = client.hear().await;
    assert_eq!(
        (&ended["type"], &ended["sub"], &ended["code"]),
        (&json!("ended"), &json!("t/q"), &json!("queue_not_found"))
    );
}
