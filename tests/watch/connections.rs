//! Each door's sessions appear on the list, with who they are, and vanish; closing one closes it.

use crate::*;

/// The connections of a door.
async fn of_door(broker: &TestBroker, door: &str) -> Vec<Value> {
    let path = format!("/v1/connections?door={door}");
    let listed = broker.http("GET", &path, "").await.expect(200);
    listed["connections"].as_array().unwrap().clone()
}

/// Waits for so many connections of a door.
async fn until(broker: &TestBroker, door: &str, count: usize) -> Vec<Value> {
    eventually(&format!("{count} connections of {door}"), async || {
        let rows = of_door(broker, door).await;
        (rows.len() == count).then_some(rows)
    })
    .await
}

/// Waits for the one connection of a door to have this figure.
async fn until_is(broker: &TestBroker, door: &str, key: &str, value: Value) -> Value {
    eventually(&format!("{key} of {door} is {value}"), async || {
        of_door(broker, door).await.pop().filter(|row| row[key] == value)
    })
    .await
}

async fn close(broker: &TestBroker, row: &Value) {
    let path = format!("/v1/connections/{}", row["id"].as_str().unwrap());
    assert_eq!(broker.http("DELETE", &path, "").await.status, 204);
}

#[actix_web::test]
async fn an_otq_session_is_listed_under_its_user_and_closed() {
    let broker = TestBroker::start().await;
    let mut stranger = broker.connect_otq().await;
    let row = until_is(&broker, "otq", "door", json!("otq")).await;
    assert_eq!(row["user"], json!(null), "nobody has logged in: {row}");
    let peer = stranger.stream.local_addr().unwrap().to_string();
    assert_eq!(row["peer"], json!(peer));
    stranger.exchange("OTQ CONNECT admin password\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
    let row = until_is(&broker, "otq", "user", json!("admin")).await;
    assert!(row["since_ms"].as_i64().unwrap() > 1_600_000_000_000, "{row}");
    stranger
        .exchange("OTQ PUT default 3 STREAM\r\na\r\nb\r\nc\r\n", "PROCEED\r\nENDOFRESP\r\n")
        .await;
    let busy = async || {
        let row = of_door(&broker, "otq").await.pop()?;
        (row["received_per_s"].as_f64()? > 0.0).then_some(())
    };
    eventually("what it sends is counted", busy).await;
    close(&broker, &row).await;
    stranger.expect_close().await;
    until(&broker, "otq", 0).await;
    let path = format!("/v1/connections/{}", row["id"].as_str().unwrap());
    broker.http("DELETE", &path, "").await.expect_problem(404, "connection_not_found");
}

#[actix_web::test]
async fn okq_and_dsmq_sessions_are_listed_and_closed() {
    let broker = TestBroker::start().await;
    let mut okq = Wire::connect(broker.door("okq")).await;
    okq.exchange("PING\r\n", "+PONG\r\n").await;
    let row = until(&broker, "okq", 1).await.remove(0);
    okq.exchange("AUTH admin password\r\n", "+OK\r\n").await;
    until_is(&broker, "okq", "user", json!("admin")).await;
    close(&broker, &row).await;
    okq.expect_close().await;
    until(&broker, "okq", 0).await;

    let mut dsmq = Wire::connect(broker.door("dsmq")).await;
    let put = r#"{"action": "put", "topic": "t", "message": "x"}"#;
    dsmq.exchange(format!("{put}{}", r#"{"action": "get", "topic": "t"}"#), r#"{"message": "x"}"#)
        .await;
    let row = until(&broker, "dsmq", 1).await.remove(0);
    assert!(row["received_per_s"].as_f64().unwrap() > 0.0, "{row}");
    close(&broker, &row).await;
    dsmq.expect_close().await;
    let mut socket = open(broker.door("dsmq"), "/", None).await.unwrap();
    let row = until(&broker, "dsmq", 1).await.remove(0);
    close(&broker, &row).await;
    assert_eq!(socket.close_code().await, 1001);
    until(&broker, "dsmq", 0).await;
}

#[actix_web::test]
async fn websockets_and_event_streams_are_listed_and_closed() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    for path in ["/v1/ws", "/v1/topics/pubsub/ws", "/v1/watch"] {
        let mut socket = open(address, path, None).await.unwrap();
        let row = until(&broker, "websocket", 1).await.remove(0);
        assert!(row["buffer_max_bytes"].as_u64().unwrap() > 0, "{row}");
        close(&broker, &row).await;
        assert_eq!(socket.close_code().await, 1008, "{path}");
        until(&broker, "websocket", 0).await;
    }
    let mut stream = Wire::connect(address).await;
    let request = format!("GET /v1/topics/pubsub/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.send(request).await;
    let row = until_is(&broker, "events", "subscriptions", json!(1)).await;
    publish(&broker, "pubsub", 4).await;
    let told = async || {
        let row = of_door(&broker, "events").await.pop()?;
        (row["sent_per_s"].as_f64()? > 0.0).then_some(())
    };
    eventually("what it is sent is counted", told).await;
    close(&broker, &row).await;
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line: &String| !line.contains("\"code\"")) {
        lines.push(stream.line().await);
        assert!(lines.len() < 100, "{lines:?}");
    }
    assert!(lines.last().unwrap().contains("closed by an operator"), "{lines:?}");
    until(&broker, "events", 0).await;
}

#[actix_web::test]
async fn what_a_socket_holds_is_told() {
    let broker = TestBroker::start().await;
    let mut socket = open(broker.door("http"), "/v1/ws", None).await.unwrap();
    socket.say(json!({"op": "subscribe", "topic": "pubsub", "sub": "s"})).await;
    socket.say(json!({"op": "consume", "topic": "default", "sub": "c", "prefetch": 2})).await;
    until_is(&broker, "websocket", "subscriptions", json!(2)).await;
    publish(&broker, "default", 5).await;
    until_is(&broker, "websocket", "in_flight", json!(2)).await;
    socket.say(json!({"op": "unsubscribe", "sub": "c"})).await;
    socket.say(json!({"op": "unsubscribe", "sub": "s"})).await;
    until_is(&broker, "websocket", "subscriptions", json!(0)).await;
}

#[actix_web::test]
async fn a_subscriber_that_does_not_read_is_slow_and_its_buffer_is_told() {
    let broker = TestBroker::start_with(&["limits.chunk_bytes=16384"]).await;
    let mut slow = broker.login_otq().await;
    slow.exchange("OTQ SUBSCRIBE pubsub\r\n", "PROCEED\r\n").await;
    let message = json!({"body": "x".repeat(100_000)});
    let messages = json!(vec![message; 20]).to_string();
    let row = eventually("it is slow", async || {
        broker.http("POST", "/v1/topics/pubsub/messages", &messages).await.expect(200);
        // What it lags behind by is in its buffer but for the moment in which that moves on.
        let full = |row: &Value| row["slow"] == true && row["buffer_bytes"].as_u64() > Some(0);
        of_door(&broker, "otq").await.pop().filter(full)
    })
    .await;
    close(&broker, &row).await;
    until(&broker, "otq", 0).await;
}

#[actix_web::test]
async fn the_list_has_pages_and_is_not_for_everybody() {
    let broker = TestBroker::start().await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(broker.connect_otq().await);
    }
    until(&broker, "otq", 5).await;
    let (mut seen, mut after) = (Vec::new(), "0".to_owned());
    loop {
        let path = format!("/v1/connections?door=otq&limit=2&after={after}");
        let page = broker.http("GET", &path, "").await.expect(200);
        seen.extend(page["connections"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    let ids: Vec<u64> =
        seen.iter().map(|row| row["id"].as_str().unwrap().parse().unwrap()).collect();
    assert!(ids.len() == 5 && ids.is_sorted(), "{ids:?}");
    broker
        .http("GET", "/v1/connections?colour=red", "")
        .await
        .expect_problem(400, "invalid_request");
    for limit in ["x", "0"] {
        let path = format!("/v1/connections?limit={limit}");
        broker.http("GET", &path, "").await.expect_problem(400, "invalid_request");
    }
    broker
        .http("DELETE", "/v1/connections/x", "")
        .await
        .expect_problem(404, "connection_not_found");

    let user = json!({"password": "secret-of-ada", "role": "user"}).to_string();
    let made = broker.http("PUT", "/v1/users/ada", &user).await;
    assert!((200..300).contains(&made.status), "{}", made.text());
    let login = "Basic YWRhOnNlY3JldC1vZi1hZGE=";
    let headers = [("Authorization", login)];
    let address = broker.door("http");
    for (method, path) in [
        ("GET", "/v1/connections"),
        ("DELETE", "/v1/connections/1"),
        ("DELETE", "/v1/connections/x"),
        ("GET", "/v1/history"),
    ] {
        http(address, method, path, &headers, b"").await.expect_problem(403, "not_allowed");
    }
    let refused = open(address, "/v1/watch", Some(login)).await;
    assert!(format!("{:?}", refused.err().unwrap()).contains("403"));
}
