//! Clients that say nonsense, too much, or nothing.

use crate::*;

#[actix_web::test]
async fn nonsense_is_answered_and_the_socket_lives() {
    let broker = TestBroker::start().await;
    let mut client = Client::of(&broker).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    for nonsense in [
        "",
        "null",
        "{",
        "\u{0}",
        r#"{"op":"watch","screen":"kitchen"}"#,
        r#"{"op":"watch","screen":"topics","limit":100000}"#,
        r#"{"op":"watch","screen":"topics","offset":99999999999999999999}"#,
        r#"{"op":"watch","screen":"topic","topic":""}"#,
        r#"{"op":"watch","op":"watch"}"#,
        deep.as_str(),
    ] {
        client.socket.send(Message::Text(nonsense.into())).await.unwrap();
        client.refused("invalid_request").await;
    }
    client.socket.send(Message::Binary(vec![0; 10].into())).await.unwrap();
    client.refused("invalid_request").await;
    client.watch(json!({"screen": "topic", "topic": "none"})).await;
    client.refused("topic_not_found").await;
    client.watch(json!({"screen": "topics", "offset": u64::MAX})).await;
    assert!(client.tick().await);
    assert_eq!(client.document["order"], json!([]));
    // Resuming what was not paused is nothing.
    client.say(json!({"op": "resume"})).await;
    client.tick().await;
}

#[actix_web::test]
async fn a_frame_above_the_limit_closes_the_socket() {
    let broker = TestBroker::start().await;
    let mut client = Client::of(&broker).await;
    let frame = "x".repeat(65 << 10);
    client.socket.send(Message::Text(frame.into())).await.unwrap();
    assert_eq!(client.close_code().await, 1009);
}

#[actix_web::test]
async fn there_are_so_many_sockets_and_a_place_comes_back() {
    let broker = TestBroker::start_with(&["ui.watchers_max=2"]).await;
    let address = broker.door("http");
    let (first, _second) = (Client::of(&broker).await, Client::of(&broker).await);
    let refused = open(address, "/v1/watch", None).await.err().unwrap();
    assert!(format!("{refused:?}").contains("429"), "{refused:?}");
    drop(first);
    eventually("there is a place", async || open(address, "/v1/watch", None).await.ok()).await;
}

#[actix_web::test]
async fn screens_that_change_faster_than_they_are_made_cost_nobody_else() {
    let broker = TestBroker::start().await;
    let mut restless = Client::of(&broker).await;
    for offset in 0..200 {
        restless.watch(json!({"screen": "topics", "offset": offset})).await;
    }
    let mut calm = Client::watching(&broker, json!({"screen": "topics"})).await;
    assert!(calm.tick().await);
    assert!(!calm.tick().await);
    // The last one counts.
    restless.watch(json!({"screen": "dead"})).await;
    loop {
        let tick = restless.hear().await;
        if tick["screen"] == "dead" {
            break;
        }
    }
}

#[actix_web::test]
async fn a_foreign_page_and_a_plain_request_are_refused() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let headers = [("Origin", "https://evil.example")];
    let foreign = http(address, "GET", "/v1/watch", &headers, b"").await;
    foreign.expect_problem(403, "foreign_origin");
    broker.http("GET", "/v1/watch", "").await.expect_problem(400, "invalid_request");
    broker.http("POST", "/v1/watch", "").await.expect_problem(405, "method_not_allowed");
}

#[actix_web::test]
async fn a_watching_socket_is_told_when_the_broker_stops() {
    let broker = TestBroker::start().await;
    let mut client = Client::watching(&broker, json!({"screen": "overview"})).await;
    client.tick().await;
    let stopping = actix_web::rt::spawn(async move { broker.stop().await });
    assert_eq!(client.close_code().await, 1001);
    stopping.await.unwrap();
}
