//! Publish, consume, ack, nack, redrive, purge, stats.

use super::*;
use crate::conform::case;

pub const CASES: &[Case] = &[
    case!("each queue of the topic gets a message of its own", copies),
    case!("filters take what they say", filters),
    case!("data is kept by value, attributes become texts", values),
    case!("a consumed message is leased, and comes with its times", lease),
    case!("a lease that ends without an ack makes the message available", missed),
    case!("a nacked message is available at once, with its attempts", nack),
    case!("an ack deletes a message in whatever state, again and again 204", ack),
    case!("a delayed message waits, unless it is nacked", delay),
    case!("a message that had all its deliveries is not available", exhausted),
    case!("purge deletes held and delayed messages as well", purge),
    case!("redrive moves what is available and lets it begin anew", redrive),
    case!("redrive to the queue itself lets its messages begin anew", redrive_to_itself),
    case!("a limit bounds what is consumed", limit),
    case!("stats count what is available, and tell the age", stats),
];

async fn fanned_out(
    target: &Target,
    count: usize,
) -> Result<(Client, String, Vec<String>), Mismatch> {
    let (mut client, topic) = (Client::connect(target).await?, target.name("topic"));
    client.topic(&topic).await?;
    let mut queues: Vec<String> = (0..count).map(|nth| target.name(&format!("q{nth}"))).collect();
    for queue in queues.iter().rev() {
        client.queue(queue, json!({ "topic_id": topic })).await?;
    }
    queues.sort();
    Ok((client, topic, queues))
}

async fn one_queue(target: &Target, more: Value) -> Result<(Client, String, String), Mismatch> {
    let (mut client, topic, queue) =
        (Client::connect(target).await?, target.name("topic"), target.name("queue"));
    client.topic(&topic).await?;
    let mut all = json!({ "topic_id": topic });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    client.queue(&queue, all).await?;
    Ok((client, topic, queue))
}

async fn copies(target: Target) -> Played {
    let (mut client, topic, queues) = fanned_out(&target, 3).await?;
    let message = json!({"data": {"n": 1}, "attributes": {"kind": "a"}});
    let made = client.publish(&topic, message.clone()).await?;
    let names: Vec<Value> = made.iter().map(|copy| copy["queue_id"].clone()).collect();
    same("queues, ascending", &json!(names), json!(queues))?;
    for (at, copy) in made.iter().enumerate() {
        let id = text(copy, "id")?;
        is("a UUID of version 4", id.len() == 36 && id.get(14..15) == Some("4"))?;
        is("an id of its own", made[..at].iter().all(|other| other["id"] != copy["id"]))?;
        same("data", &copy["data"], message["data"].clone())?;
        same("attributes", &copy["attributes"], message["attributes"].clone())?;
        same("attempts", &copy["delivery_attempts"], json!(0))?;
        same("scheduled", &copy["scheduled_at"], copy["created_at"].clone())?;
        same("updated", &copy["updated_at"], copy["created_at"].clone())?;
        same("life", &json!(between(copy, "created_at", "expired_at")?), json!(600_000))?;
        let fields: Vec<&str> =
            copy.as_object().into_iter().flatten().map(|(field, _)| field.as_str()).collect();
        is("nine fields", fields.len() == 9)?;
    }
    // Each has a state of its own.
    client.settle(&made[1], "ack").await?;
    same("acked", &json!(client.consume(&queues[1]).await?), json!([]))?;
    for at in [0, 2] {
        let found = client.consume_one(&queues[at]).await?;
        same("the others stay", &found["id"], made[at]["id"].clone())?;
    }
    let (lonely, message) = (target.name("lonely"), json!({"data": {}}));
    client.topic(&lonely).await?;
    same("nobody", &json!(client.publish(&lonely, message).await?), json!([]))
}

async fn filters(target: Target) -> Played {
    let (mut client, topic) = (Client::connect(&target).await?, target.name("topic"));
    client.topic(&topic).await?;
    let filters = [
        json!(null),
        json!({}),
        json!({"a": []}),
        json!({"a": ["x"]}),
        json!({"a": ["x", "y"], "b": ["z"]}),
    ];
    for (nth, filter) in filters.iter().enumerate() {
        let more = json!({"topic_id": topic, "message_filters": filter});
        let made = client.queue(&target.name(&format!("f{nth}")), more).await?;
        same("filters", &made["message_filters"], filter.clone())?;
    }
    let table = [
        (json!(null), vec![0]),
        (json!({}), vec![0, 1]),
        (json!({"a": "x"}), vec![0, 1, 3]),
        (json!({"a": "y", "b": "z"}), vec![0, 1, 4]),
        (json!({"a": "X"}), vec![0, 1]),
        (json!({"b": "x"}), vec![0, 1]),
    ];
    for (attributes, takers) in table {
        let made = client.publish(&topic, json!({"data": {}, "attributes": attributes})).await?;
        let names: Vec<Value> = made.iter().map(|copy| copy["queue_id"].clone()).collect();
        let expected: Vec<String> =
            takers.iter().map(|nth| target.name(&format!("f{nth}"))).collect();
        same(&format!("who takes {attributes}"), &json!(names), json!(expected))?;
    }
    Ok(())
}

async fn values(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let path = format!("/topics/{topic}/messages");
    let body = r#" { "unknown" : 1, "data" : { "é" : "\u00e9\"\\\n" , "list":[1,2.5,true,null,{}],
        "n" : 9007199254740993, "twice": 1, "twice": {"a": [] } }, "data2": 1,
        "attributes": {"text": "x", "int": 5, "float": 1.5, "yes": true, "no": false} }"#;
    let made = client.send("POST", &path, body).await?.json(201)?;
    let expected = json!({"é": "é\"\\\n", "list": [1, 2.5, true, null, {}],
        "n": 9007199254740993_u64, "twice": {"a": []}});
    let texts = json!({"text": "x", "int": "5", "float": "1.5", "yes": "True", "no": "False"});
    for message in [data(made)?, client.consume(&queue).await?].concat() {
        same("data", &message["data"], expected.clone())?;
        same("attributes", &message["attributes"], texts.clone())?;
    }
    for (sent, shown) in [("[]", "{}"), ("{}", "{}")] {
        let body = format!("{{\"data\":{sent},\"attributes\":{sent}}}");
        let made = client.send("POST", &path, &body).await?.json(201)?;
        same("data", &json!(data(made)?[0]["data"].to_string()), json!(shown))?;
    }
    let none = client.publish(&topic, json!({"data": {}, "attributes": null})).await?;
    same("attributes", &none[0]["attributes"], Value::Null)
}

async fn lease(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {"n": 1}})).await?;
    let found = client.consume_one(&queue).await?;
    for field in ["id", "queue_id", "data", "attributes", "expired_at", "created_at"] {
        same(field, &found[field], made[0][field].clone())?;
    }
    same("attempts", &found["delivery_attempts"], json!(1))?;
    is("updated", found["updated_at"].as_str() >= found["created_at"].as_str())?;
    same("lease", &json!(between(&found, "updated_at", "scheduled_at")?), json!(30_000))?;
    same("nothing more", &json!(client.consume(&queue).await?), json!([]))?;
    let stats = client.get(&format!("/queues/{queue}/stats")).await?;
    let none = json!({"num_undelivered_messages": 0, "oldest_unacked_message_age_seconds": 0});
    same("stats", &stats, none)
}

async fn missed(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, json!({"ack_deadline_seconds": 1})).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    client.consume_one(&queue).await?;
    let again = client.consume_later(&queue).await?;
    same("id", &again["id"], made[0]["id"].clone())?;
    same("attempts", &again["delivery_attempts"], json!(2))
}

async fn nack(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    for attempt in 1..=20 {
        let found = client.consume_one(&queue).await?;
        same("id", &found["id"], made[0]["id"].clone())?;
        same("attempts", &found["delivery_attempts"], json!(attempt))?;
        client.settle(&found, "nack").await?;
    }
    // Of what waits already there is nothing to say.
    client.settle(&made[0], "nack").await?;
    same("attempts", &client.consume_one(&queue).await?["delivery_attempts"], json!(21))?;
    client.settle(&made[0], "ack").await?;
    client.settle(&made[0], "nack").await?;
    same("gone", &json!(client.consume(&queue).await?), json!([]))
}

async fn ack(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let never_consumed = client.publish(&topic, json!({"data": {}})).await?;
    client.settle(&never_consumed[0], "ack").await?;
    client.settle(&never_consumed[0], "ack").await?;
    same("acked", &json!(client.available(&queue).await?), json!(0))?;
    let forms: [fn(&str) -> String; 3] =
        [|id| id.replace('-', ""), |id| id.to_uppercase(), |id| id.to_owned()];
    for form in forms {
        let made = client.publish(&topic, json!({"data": {}})).await?;
        let id = form(&text(&made[0], "id")?);
        client.consume_one(&queue).await?;
        client.ask("PUT", &format!("/messages/{id}/ack"), Value::Null, 204).await?;
        client.settle(&made[0], "nack").await?;
        same("gone", &json!(client.consume(&queue).await?), json!([]))?;
    }
    for verb in ["ack", "nack"] {
        let path = format!("/messages/00000000-0000-4000-8000-00000000abcd/{verb}");
        let answer = client.send("PUT", &path, "").await?;
        is("204", answer.status == 204 && answer.body.is_empty())?;
        same("type", &json!(answer.header("content-type")), json!("application/json"))?;
    }
    Ok(())
}

async fn delay(target: Target) -> Played {
    let (mut client, topic, queue) =
        one_queue(&target, json!({"delivery_delay_seconds": 900})).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    same("delay", &json!(between(&made[0], "created_at", "scheduled_at")?), json!(900_000))?;
    same("not yet", &json!(client.consume(&queue).await?), json!([]))?;
    same("not yet", &json!(client.available(&queue).await?), json!(0))?;
    client.settle(&made[0], "nack").await?;
    let early = client.consume_one(&queue).await?;
    same("attempts", &early["delivery_attempts"], json!(1))?;
    client.settle(&early, "ack").await?;
    let waits = client.publish(&topic, json!({"data": {}})).await?;
    client.settle(&waits[0], "ack").await?;
    client.settle(&waits[0], "nack").await?;
    same("acked while it waited", &json!(client.consume(&queue).await?), json!([]))
}

async fn exhausted(target: Target) -> Played {
    let (mut client, dead) = (Client::connect(&target).await?, target.name("dead"));
    client.queue(&dead, Value::Null).await?;
    let limits = json!({"dead_queue_id": dead, "message_max_deliveries": 2});
    let (_, topic, queue) = one_queue(&target, limits).await?;
    client.publish(&topic, json!({"data": {}})).await?;
    for attempt in [1, 2] {
        let found = client.consume_one(&queue).await?;
        same("attempts", &found["delivery_attempts"], json!(attempt))?;
        client.settle(&found, "nack").await?;
    }
    same("no third time", &json!(client.consume(&queue).await?), json!([]))?;
    same("not counted", &json!(client.available(&queue).await?), json!(0))
}

async fn purge(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let held = client.publish(&topic, json!({"data": {}})).await?;
    client.consume_one(&queue).await?;
    client.publish(&topic, json!({"data": {}})).await?;
    let late = settings(None, json!({"topic_id": topic, "delivery_delay_seconds": 900}));
    client.ask("PUT", &format!("/queues/{queue}"), late, 200).await?;
    let delayed = client.publish(&topic, json!({"data": {}})).await?;
    let answer = client.send("PUT", &format!("/queues/{queue}/purge"), "").await?;
    is("204", answer.status == 204 && answer.body.is_empty())?;
    client.settle(&held[0], "nack").await?;
    client.settle(&delayed[0], "nack").await?;
    same("all are gone", &json!(client.consume(&queue).await?), json!([]))
}

async fn redrive(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let (other_topic, to) = (target.name("other"), target.name("to"));
    client.topic(&other_topic).await?;
    let more = json!({"topic_id": other_topic, "message_filters": {"a": []},
        "message_retention_seconds": 900});
    client.queue(&to, more).await?;
    let held = client.publish(&topic, json!({"data": {"n": 1}})).await?;
    client.consume_one(&queue).await?;
    let made = client.publish(&topic, json!({"data": {"n": 2}, "attributes": {"b": "c"}})).await?;
    let once = client.consume_one(&queue).await?;
    client.settle(&once, "nack").await?;
    let path = format!("/queues/{queue}/redrive");
    let body = json!({ "destination_queue_id": to });
    let answer = client.send("PUT", &path, &body.to_string()).await?;
    is("204", answer.status == 204 && answer.body.is_empty())?;
    same("moved", &json!(client.consume(&queue).await?), json!([]))?;
    let found = client.consume_one(&to).await?;
    for field in ["id", "data", "attributes", "created_at"] {
        same(field, &found[field], made[0][field].clone())?;
    }
    same("queue", &found["queue_id"], json!(to))?;
    same("attempts", &found["delivery_attempts"], json!(1))?;
    let lives = between(&found, "updated_at", "expired_at")?;
    is("it lives as long as the new queue keeps it", (840_000..=900_000).contains(&lives))?;
    client.settle(&found, "ack").await?;
    client.settle(&held[0], "nack").await?;
    same("what was held stayed", &client.consume_one(&queue).await?["id"], held[0]["id"].clone())?;
    let unknown = target.name("unknown");
    for (from, to) in [(&unknown, &to), (&queue, &unknown)] {
        let body = json!({ "destination_queue_id": to }).to_string();
        let answer = client.send("PUT", &format!("/queues/{from}/redrive"), &body).await?;
        answer.expect(404, r#"{"detail":"Queue not found"}"#)?;
    }
    Ok(())
}

async fn redrive_to_itself(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    let mut made = Vec::new();
    for n in 0..3 {
        made.extend(client.publish(&topic, json!({"data": {"n": n}})).await?);
    }
    for message in client.consume(&queue).await? {
        client.settle(&message, "nack").await?;
    }
    let body = json!({ "destination_queue_id": queue });
    client.ask("PUT", &format!("/queues/{queue}/redrive"), body, 204).await?;
    let found = client.consume(&queue).await?;
    is("three", found.len() == 3)?;
    for message in &found {
        same("attempts", &message["delivery_attempts"], json!(1))?;
        is("one of them", made.iter().any(|known| known["id"] == message["id"]))?;
    }
    Ok(())
}

async fn limit(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    for n in 0..15 {
        client.publish(&topic, json!({"data": {"n": n}})).await?;
    }
    let path = format!("/queues/{queue}/messages");
    for (query, count) in [("?limit=0", 0), ("?limit=2", 2), ("?limit=9&limit=1", 1), ("", 10)] {
        let found = data(client.get(&format!("{path}{query}")).await?)?;
        same(&format!("messages for {query:?}"), &json!(found.len()), json!(count))?;
    }
    same("the rest", &json!(client.consume(&queue).await?.len()), json!(2))
}

async fn stats(target: Target) -> Played {
    let (mut client, topic, queue) = one_queue(&target, Value::Null).await?;
    for n in 0..3 {
        client.publish(&topic, json!({"data": {"n": n}})).await?;
    }
    same("three", &json!(client.available(&queue).await?), json!(3))?;
    let path = format!("/queues/{queue}/messages?limit=1");
    data(client.get(&path).await?)?;
    same("two", &json!(client.available(&queue).await?), json!(2))?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let stats = client.get(&format!("/queues/{queue}/stats")).await?;
        if stats["oldest_unacked_message_age_seconds"].as_u64() == Some(1) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            return Err(odd("the age of a second", &stats));
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
