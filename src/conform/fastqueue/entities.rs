//! Topics and queues.

use super::*;
use crate::conform::case;

pub const CASES: &[Case] = &[
    case!("a topic is made, shown, listed and deleted", topics),
    case!("a topic that is taken or unknown is refused", topic_names),
    case!("a new queue shows all its settings, in their order", new_queue),
    case!("the body is checked before topic, dead queue and id, in this order", order_of_checks),
    case!("an update replaces every setting", update),
    case!("what an update names must be there", update_names),
    case!("a deleted queue takes its messages with it", delete_queue),
    case!("a deleted topic leaves its queues and their messages", delete_topic),
    case!("a deleted dead queue is pointed at by nobody, and the limit stays", delete_dead_queue),
    case!("lists are sorted and come in pages", lists),
    case!("a queue that changes its topic takes what it has along", move_queue),
];

async fn topics(target: Target) -> Played {
    let (mut client, id) = (Client::connect(&target).await?, target.name("topic"));
    let made = client.topic(&id).await?;
    same("id", &made["id"], json!(id))?;
    is("two fields", made.as_object().is_some_and(|fields| fields.len() == 2))?;
    same("shown", &client.get(&format!("/topics/{id}")).await?, made.clone())?;
    let all = data(client.get("/topics?limit=1000000").await?)?;
    is("it is listed", all.contains(&made))?;
    let answer = client.send("DELETE", &format!("/topics/{id}"), "").await?;
    is("204 without a body", answer.status == 204 && answer.body.is_empty())?;
    same("type", &json!(answer.header("content-type")), json!("application/json"))?;
    client.ask("GET", &format!("/topics/{id}"), Value::Null, 404).await.map(drop)
}

async fn topic_names(target: Target) -> Played {
    let (mut client, id) = (Client::connect(&target).await?, target.name("topic"));
    client.topic(&id).await?;
    let taken = client.send("POST", "/topics", &json!({ "id": id }).to_string()).await?;
    taken.expect(422, r#"{"detail":"This topic already exists"}"#)?;
    let (unknown, message) = (target.name("unknown"), r#"{"data":{}}"#);
    for (method, path, body) in [
        ("GET", format!("/topics/{unknown}"), ""),
        ("DELETE", format!("/topics/{unknown}"), ""),
        ("POST", format!("/topics/{unknown}/messages"), message),
        ("GET", "/topics/bad%20id".to_owned(), ""),
    ] {
        let answer = client.send(method, &path, body).await?;
        answer.expect(404, r#"{"detail":"Topic not found"}"#)?;
    }
    Ok(())
}

async fn new_queue(target: Target) -> Played {
    let (mut client, topic, id) =
        (Client::connect(&target).await?, target.name("topic"), target.name("queue"));
    client.topic(&topic).await?;
    let body = json!({"id": id, "topic_id": topic, "ack_deadline_seconds": 30,
        "message_retention_seconds": 1209600});
    let answer = client.send("POST", "/queues", &body.to_string()).await?;
    let made = answer.json(201)?;
    let at = text(&made, "created_at")?;
    let expected = format!(
        "{{\"id\":\"{id}\",\"topic_id\":\"{topic}\",\"dead_queue_id\":null,\
         \"ack_deadline_seconds\":30,\"message_retention_seconds\":1209600,\
         \"message_filters\":null,\"message_max_deliveries\":null,\
         \"delivery_delay_seconds\":null,\"created_at\":\"{at}\",\"updated_at\":\"{at}\"}}"
    );
    answer.expect(201, &expected)?;
    let shown = client.send("GET", &format!("/queues/{id}"), "").await?;
    shown.expect(200, &expected)?;
    let dead = target.name("dead");
    client.queue(&dead, Value::Null).await?;
    let whole = json!({"topic_id": topic, "dead_queue_id": dead, "ack_deadline_seconds": 1,
        "message_retention_seconds": 700, "message_filters": {"a": ["x", "y"], "b": []},
        "message_max_deliveries": 3, "delivery_delay_seconds": 9});
    let made = client.queue(&target.name("whole"), whole.clone()).await?;
    for (field, value) in whole.as_object().into_iter().flatten() {
        same(field, &made[field], value.clone())?;
    }
    Ok(())
}

async fn order_of_checks(target: Target) -> Played {
    let (mut client, id) = (Client::connect(&target).await?, target.name("queue"));
    client.queue(&id, Value::Null).await?;
    let unknown = target.name("unknown");
    let all_wrong = json!({"id": id, "topic_id": unknown, "dead_queue_id": unknown,
        "ack_deadline_seconds": 0, "message_retention_seconds": 600, "message_max_deliveries": 1});
    let faults = client.ask("POST", "/queues", all_wrong.clone(), 422).await?;
    is("a list of faults", faults["detail"].is_array())?;
    let mut body = all_wrong;
    body["ack_deadline_seconds"] = json!(1);
    let answer = client.send("POST", "/queues", &body.to_string()).await?;
    answer.expect(404, r#"{"detail":"Topic not found"}"#)?;
    body["topic_id"] = Value::Null;
    let answer = client.send("POST", "/queues", &body.to_string()).await?;
    answer.expect(404, r#"{"detail":"Queue not found"}"#)?;
    body["dead_queue_id"] = json!(id);
    let answer = client.send("POST", "/queues", &body.to_string()).await?;
    answer.expect(422, r#"{"detail":"This queue already exists"}"#)
}

async fn update(target: Target) -> Played {
    let (mut client, topic, id) =
        (Client::connect(&target).await?, target.name("topic"), target.name("queue"));
    client.topic(&topic).await?;
    let dead = target.name("dead");
    client.queue(&dead, Value::Null).await?;
    let more = json!({"topic_id": topic, "message_filters": {"a": ["x"]}, "dead_queue_id": dead,
        "message_max_deliveries": 2, "delivery_delay_seconds": 5});
    let made = client.queue(&id, more).await?;
    let path = format!("/queues/{id}");
    let updated = client.ask("PUT", &path, settings(None, Value::Null), 200).await?;
    for field in ["topic_id", "dead_queue_id", "message_filters", "message_max_deliveries"] {
        same(field, &updated[field], Value::Null)?;
    }
    same("delay", &updated["delivery_delay_seconds"], Value::Null)?;
    same("created_at", &updated["created_at"], made["created_at"].clone())?;
    is("updated_at is later", updated["updated_at"].as_str() >= made["updated_at"].as_str())?;
    same("shown", &client.get(&path).await?, updated)?;
    // The queue itself may be its dead queue.
    let itself = json!({"dead_queue_id": id, "message_max_deliveries": 1});
    let updated = client.ask("PUT", &path, settings(None, itself), 200).await?;
    same("dead queue", &updated["dead_queue_id"], json!(id))
}

async fn update_names(target: Target) -> Played {
    let (mut client, id) = (Client::connect(&target).await?, target.name("queue"));
    client.queue(&id, Value::Null).await?;
    let unknown = target.name("unknown");
    let both = json!({"topic_id": unknown, "dead_queue_id": unknown, "message_max_deliveries": 1});
    let dead = json!({"dead_queue_id": unknown, "message_max_deliveries": 1});
    for (queue, more, detail) in [
        (&unknown, both.clone(), "Queue not found"),
        (&id, both, "Topic not found"),
        (&id, dead, "Queue not found"),
    ] {
        let body = settings(None, more).to_string();
        let answer = client.send("PUT", &format!("/queues/{queue}"), &body).await?;
        answer.expect(404, &format!("{{\"detail\":\"{detail}\"}}"))?;
    }
    Ok(())
}

async fn delete_queue(target: Target) -> Played {
    let (mut client, topic, id) =
        (Client::connect(&target).await?, target.name("topic"), target.name("queue"));
    client.topic(&topic).await?;
    client.queue(&id, json!({ "topic_id": topic })).await?;
    client.publish(&topic, json!({"data": {}})).await?;
    let path = format!("/queues/{id}");
    client.ask("DELETE", &path, Value::Null, 204).await?;
    for (method, path) in [
        ("DELETE", path.clone()),
        ("GET", path.clone()),
        ("GET", format!("{path}/stats")),
        ("GET", format!("{path}/messages")),
        ("PUT", format!("{path}/purge")),
    ] {
        let answer = client.send(method, &path, "").await?;
        answer.expect(404, r#"{"detail":"Queue not found"}"#)?;
    }
    client.queue(&id, json!({ "topic_id": topic })).await?;
    same("messages", &json!(client.consume(&id).await?), json!([]))
}

async fn delete_topic(target: Target) -> Played {
    let (mut client, topic, id) =
        (Client::connect(&target).await?, target.name("topic"), target.name("queue"));
    client.topic(&topic).await?;
    let made = client.queue(&id, json!({ "topic_id": topic })).await?;
    let held = client.publish(&topic, json!({"data": {"n": 1}})).await?;
    same("held", &client.consume_one(&id).await?["id"], held[0]["id"].clone())?;
    let waits = client.publish(&topic, json!({"data": {"n": 2}})).await?;
    client.ask("DELETE", &format!("/topics/{topic}"), Value::Null, 204).await?;
    let mut expected = made;
    expected["topic_id"] = Value::Null;
    same("queue", &client.get(&format!("/queues/{id}")).await?, expected)?;
    let found = client.consume_one(&id).await?;
    same("message", &found["id"], waits[0]["id"].clone())?;
    client.settle(&held[0], "nack").await?;
    same("held", &client.consume_one(&id).await?["id"], held[0]["id"].clone())?;
    client.settle(&held[0], "ack").await?;
    client.settle(&waits[0], "ack").await?;
    // The topic is as new when it is made again.
    client.topic(&topic).await?;
    same("copies", &json!(client.publish(&topic, json!({"data": {}})).await?), json!([]))
}

async fn delete_dead_queue(target: Target) -> Played {
    let (mut client, dead, id) =
        (Client::connect(&target).await?, target.name("dead"), target.name("queue"));
    client.queue(&dead, Value::Null).await?;
    let topic = target.name("topic");
    client.topic(&topic).await?;
    let more = json!({"topic_id": topic, "dead_queue_id": dead, "message_max_deliveries": 1});
    client.queue(&id, more).await?;
    client.ask("DELETE", &format!("/queues/{dead}"), Value::Null, 204).await?;
    let shown = client.get(&format!("/queues/{id}")).await?;
    same("dead queue", &shown["dead_queue_id"], Value::Null)?;
    same("limit", &shown["message_max_deliveries"], json!(1))?;
    // The limit is inactive.
    client.publish(&topic, json!({"data": {}})).await?;
    for attempt in 1..=3 {
        let message = client.consume_one(&id).await?;
        same("attempts", &message["delivery_attempts"], json!(attempt))?;
        client.settle(&message, "nack").await?;
    }
    Ok(())
}

async fn lists(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let ids: Vec<String> = ["c", "a", "b"].iter().map(|what| target.name(what)).collect();
    for id in &ids {
        client.topic(id).await?;
        client.queue(id, Value::Null).await?;
    }
    for what in ["topics", "queues"] {
        let all = data(client.get(&format!("/{what}?limit=1000000")).await?)?;
        let names: Vec<String> =
            all.iter().map(|item| text(item, "id")).collect::<Result<_, _>>()?;
        let own: Vec<&String> = names.iter().filter(|name| ids.contains(name)).collect();
        is("sorted", own == [&ids[1], &ids[2], &ids[0]])?;
        let at = names.iter().position(|name| *name == ids[2]).unwrap_or(0);
        let page = data(client.get(&format!("/{what}?offset={at}&limit=1")).await?)?;
        is("a page", page.len() == 1 && page[0]["id"] == json!(ids[2]))?;
        same("none", &client.get(&format!("/{what}?limit=0")).await?, json!({"data": []}))?;
        let behind = format!("/{what}?offset={}", names.len() + 100_000);
        same("behind", &client.get(&behind).await?, json!({"data": []}))?;
        is("ten", data(client.get(&format!("/{what}")).await?)?.len() <= 10)?;
    }
    Ok(())
}

async fn move_queue(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let (first, second, id) = (target.name("first"), target.name("second"), target.name("queue"));
    client.topic(&first).await?;
    client.topic(&second).await?;
    client.queue(&id, json!({ "topic_id": first })).await?;
    let one = client.publish(&first, json!({"data": {"n": 1}})).await?;
    let held = client.consume_one(&id).await?;
    let two = client.publish(&first, json!({"data": {"n": 2}})).await?;
    let to = settings(None, json!({ "topic_id": second }));
    client.ask("PUT", &format!("/queues/{id}"), to, 200).await?;
    same("first", &json!(client.publish(&first, json!({"data": {}})).await?), json!([]))?;
    let three = client.publish(&second, json!({"data": {"n": 3}})).await?;
    let mut found: Vec<Value> =
        client.consume(&id).await?.iter().map(|message| message["id"].clone()).collect();
    let mut expected = vec![two[0]["id"].clone(), three[0]["id"].clone()];
    found.sort_by_key(Value::to_string);
    expected.sort_by_key(Value::to_string);
    same("messages", &json!(found), json!(expected))?;
    // The delivery that was in flight still is; its message is found where it went.
    client.settle(&held, "nack").await?;
    let again = client.consume_one(&id).await?;
    same("again", &again["id"], one[0]["id"].clone())?;
    same("attempts", &again["delivery_attempts"], json!(2))?;
    client.settle(&held, "ack").await?;
    client.settle(&two[0], "ack").await?;
    client.settle(&three[0], "ack").await?;
    client.ask("PUT", &format!("/queues/{id}"), settings(None, Value::Null), 200).await?;
    same("none is left", &json!(client.consume(&id).await?), json!([]))
}
