//! What was confirmed is there after a restart, with its id and its times.

use super::*;

#[actix_web::test]
async fn queues_keep_their_settings_and_who_they_point_at() {
    let broker = TestBroker::start().await;
    topic(&broker, "events").await;
    queue(&broker, "dead", json!({})).await;
    let more = json!({"topic_id": "events", "dead_queue_id": "dead", "message_max_deliveries": 2,
        "message_filters": {"a": ["x"]}, "delivery_delay_seconds": 5});
    queue(&broker, "q", more.clone()).await;
    let before = update(&broker, "q", more).await;
    let dead = show(&broker, "dead").await;
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    assert_eq!((show(&broker, "q").await, show(&broker, "dead").await), (before, dead));
    send(&broker, "DELETE", "/queues/dead", &Value::Null).await.expect(204);
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    let shown = show(&broker, "q").await;
    assert_eq!(
        (&shown["dead_queue_id"], &shown["message_max_deliveries"]),
        (&Value::Null, &json!(2))
    );
}

#[actix_web::test]
async fn messages_keep_their_ids_their_ends_and_their_attempts() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    queue(&broker, "a", json!({"topic_id": "t"})).await;
    queue(&broker, "b", json!({"topic_id": "t", "message_retention_seconds": 1000})).await;
    let one = publish(&broker, "t", 1).await;
    publish(&broker, "t", 2).await;
    let held = consume(&broker, "a").await;
    settle(&broker, &held[0], "nack").await;
    // A changed retention is not that of messages that are there.
    update(&broker, "b", json!({"topic_id": "t"})).await;
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    let (a, b) = (consume(&broker, "a").await, consume(&broker, "b").await);
    assert_eq!((numbers(&a), numbers(&b)), (vec![1, 2], vec![1, 2]));
    assert_eq!((&a[0]["id"], &b[0]["id"]), (&one[0]["id"], &one[1]["id"]));
    assert_eq!(b[0]["expired_at"], one[1]["expired_at"]);
    // A nack counts; what was in flight at the end was never handed out.
    let attempts = |message: &Value| message["delivery_attempts"].as_u64().unwrap();
    assert_eq!((attempts(&a[0]), attempts(&a[1])), (2, 1));
    settle(&broker, &one[0], "ack").await;
    settle(&broker, &b[1], "ack").await;
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    assert_eq!(numbers(&consume(&broker, "a").await), [2]);
    assert_eq!(numbers(&consume(&broker, "b").await), [1]);
}

#[actix_web::test]
async fn a_dead_letter_keeps_its_id_and_the_times_it_was_given() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    let times = json!({"message_retention_seconds": 900, "delivery_delay_seconds": 900});
    queue(&broker, "dead", times).await;
    let more = json!({"topic_id": "t", "dead_queue_id": "dead", "message_max_deliveries": 1});
    queue(&broker, "q", more).await;
    let made = publish(&broker, "t", 1).await;
    settle(&broker, &consume(&broker, "q").await[0], "nack").await;
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    assert_eq!(consume(&broker, "dead").await, [Value::Null; 0], "it waits");
    settle(&broker, &made[0], "nack").await;
    let found = consume(&broker, "dead").await;
    assert_eq!(found[0]["id"], made[0]["id"]);
    assert!(found[0]["expired_at"].as_str() > made[0]["expired_at"].as_str());
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    settle(&broker, &made[0], "ack").await;
    assert_eq!(consume(&broker, "dead").await, [Value::Null; 0]);
}

#[actix_web::test]
async fn a_queue_is_where_it_went_and_so_are_its_messages() {
    let broker = TestBroker::start().await;
    topic(&broker, "first").await;
    topic(&broker, "second").await;
    queue(&broker, "dead", json!({})).await;
    let dies = json!({"topic_id": "first", "dead_queue_id": "dead", "message_max_deliveries": 1});
    queue(&broker, "q", dies).await;
    queue(&broker, "stays", json!({"topic_id": "first"})).await;
    let made = publish(&broker, "first", 1).await;
    publish(&broker, "first", 2).await;
    // The queue that others point at moves as well.
    update(&broker, "dead", json!({"topic_id": "second"})).await;
    update(&broker, "q", json!({"dead_queue_id": "dead", "message_max_deliveries": 1})).await;
    send(&broker, "DELETE", "/topics/first", &Value::Null).await.expect(204);
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    for queue in ["q", "stays"] {
        assert_eq!(show(&broker, queue).await["topic_id"], Value::Null, "{queue}");
        assert_eq!(numbers(&consume(&broker, queue).await), [1, 2]);
    }
    assert_eq!(show(&broker, "q").await["dead_queue_id"], json!("dead"));
    assert_eq!(show(&broker, "dead").await["topic_id"], json!("second"));
    settle(&broker, &made[0], "nack").await;
    let died = eventually("the message is in the dead queue", async || {
        consume(&broker, "dead").await.pop()
    })
    .await;
    assert_eq!(died["id"], made[0]["id"]);
    settle(&broker, &made[1], "ack").await;
    let all = send(&broker, "GET", "/topics", &Value::Null).await.expect(200);
    let ids: Vec<&str> =
        all["data"].as_array().unwrap().iter().map(|topic| topic["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["default", "pubsub", "second"], "queues without a topic are in none");
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    assert_eq!(numbers(&consume(&broker, "stays").await), [2]);
    assert_eq!(numbers(&consume(&broker, "q").await), [2]);
    assert_eq!(numbers(&consume(&broker, "dead").await), [1]);
}

#[actix_web::test]
async fn moving_back_and_forth_loses_and_doubles_nothing() {
    let broker = TestBroker::start().await;
    for id in ["a", "b"] {
        topic(&broker, id).await;
    }
    queue(&broker, "q", json!({"topic_id": "a"})).await;
    let mut expected = Vec::new();
    for round in 0..6 {
        let of = if round % 2 == 0 { "a" } else { "b" };
        publish(&broker, of, round).await;
        expected.push(round);
        let to = if round % 2 == 0 { json!({"topic_id": "b"}) } else { json!({"topic_id": "a"}) };
        // Two at a time: they follow one another.
        let (one, two) = tokio::join!(update(&broker, "q", to.clone()), update(&broker, "q", to));
        assert_eq!(one["topic_id"], two["topic_id"]);
    }
    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    let found = consume(&broker, "q").await;
    assert_eq!(numbers(&found), expected);
    for message in &found {
        settle(&broker, message, "ack").await;
    }
    let stats = send(&broker, "GET", "/queues/q/stats", &Value::Null).await.expect(200);
    assert_eq!(stats["num_undelivered_messages"], json!(0));
}
