//! What octoq does beyond the original, or at once where the original takes its time.

use super::*;
use crate::conform::case;

/// The dialogues that only octoq knows.
pub const ADDITIONS: &[Case] = &[
    case!("an exhausted message is in the dead queue at once", dead_queue),
    case!("a message whose last lease ends is in the dead queue", last_lease),
    case!("an ack after the move deletes it from the dead queue", ack_after_move),
    case!("a lowered limit moves who waits and is over it", lowered_limit),
    case!("messages come oldest first, and return to their place", order),
    case!("a dead queue gives messages its delay and its retention", dead_queue_times),
    case!("stored messages keep their end when the retention changes", kept_times),
    case!("what crashed the original is refused or kept", crash_paths),
    case!("metrics are counted by route", metrics),
    case!("times have six digits of a second", six_digits),
];

async fn with_dead(
    target: &Target,
    more: Value,
    dead: Value,
) -> Result<(Client, String, String, String), Mismatch> {
    let (mut client, topic) = (Client::connect(target).await?, target.name("topic"));
    let (queue, to) = (target.name("queue"), target.name("dead"));
    client.topic(&topic).await?;
    client.queue(&to, dead).await?;
    let mut all = json!({"topic_id": topic, "dead_queue_id": to, "message_max_deliveries": 2});
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
        all.extend(more);
    }
    client.queue(&queue, all).await?;
    Ok((client, topic, queue, to))
}

async fn exhaust(client: &mut Client, queue: &str, times: usize) -> Played {
    for _ in 0..times {
        let message = client.consume_one(queue).await?;
        client.settle(&message, "nack").await?;
    }
    Ok(())
}

async fn dead_queue(target: Target) -> Played {
    let (mut client, topic, queue, dead) = with_dead(&target, Value::Null, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {"n": 1}})).await?;
    exhaust(&mut client, &queue, 2).await?;
    let found = client.consume_later(&dead).await?;
    for field in ["id", "data", "attributes", "created_at"] {
        same(field, &found[field], made[0][field].clone())?;
    }
    same("attempts", &found["delivery_attempts"], json!(1))?;
    same("queue", &found["queue_id"], json!(dead))?;
    client.settle(&found, "nack").await?;
    // And back, for two more attempts.
    let back = json!({ "destination_queue_id": queue });
    client.ask("PUT", &format!("/queues/{dead}/redrive"), back, 204).await?;
    let again = client.consume_later(&queue).await?;
    same("id", &again["id"], made[0]["id"].clone())?;
    same("attempts", &again["delivery_attempts"], json!(1))?;
    client.settle(&again, "nack").await?;
    exhaust(&mut client, &queue, 1).await?;
    same("dead again", &client.consume_later(&dead).await?["id"], made[0]["id"].clone())
}

async fn last_lease(target: Target) -> Played {
    let short = json!({"ack_deadline_seconds": 1, "message_max_deliveries": 1});
    let (mut client, topic, queue, dead) = with_dead(&target, short, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    client.consume_one(&queue).await?;
    same("held, not moved", &json!(client.consume(&dead).await?), json!([]))?;
    same("id", &client.consume_later(&dead).await?["id"], made[0]["id"].clone())
}

async fn ack_after_move(target: Target) -> Played {
    let (mut client, topic, queue, dead) = with_dead(&target, Value::Null, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    exhaust(&mut client, &queue, 2).await?;
    let found = client.consume_later(&dead).await?;
    client.settle(&found, "nack").await?;
    client.settle(&made[0], "ack").await?;
    same("gone", &json!(client.consume(&dead).await?), json!([]))
}

async fn lowered_limit(target: Target) -> Played {
    let (mut client, topic, queue, dead) =
        with_dead(&target, json!({"message_max_deliveries": 9}), Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    exhaust(&mut client, &queue, 3).await?;
    let more = json!({"topic_id": topic, "dead_queue_id": dead, "message_max_deliveries": 3});
    client.ask("PUT", &format!("/queues/{queue}"), settings(None, more), 200).await?;
    same("not here", &json!(client.consume(&queue).await?), json!([]))?;
    same("but there", &client.consume_later(&dead).await?["id"], made[0]["id"].clone())
}

async fn order(target: Target) -> Played {
    let (mut client, topic, queue, _) =
        with_dead(&target, json!({"message_max_deliveries": 9}), Value::Null).await?;
    for n in 0..12 {
        client.publish(&topic, json!({"data": {"n": n}})).await?;
    }
    let numbers = |messages: &[Value]| -> Vec<Value> {
        messages.iter().map(|message| message["data"]["n"].clone()).collect()
    };
    let first = client.consume(&queue).await?;
    same("oldest first", &json!(numbers(&first)), json!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]))?;
    for at in [7, 2] {
        client.settle(&first[at], "nack").await?;
    }
    let again = client.consume(&queue).await?;
    same("each in its place", &json!(numbers(&again)), json!([2, 7, 10, 11]))
}

async fn dead_queue_times(target: Target) -> Played {
    let times = json!({"message_retention_seconds": 900, "delivery_delay_seconds": 600});
    let (mut client, topic, queue, dead) = with_dead(&target, Value::Null, times).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    exhaust(&mut client, &queue, 2).await?;
    same("it waits", &json!(client.available(&dead).await?), json!(0))?;
    client.settle(&made[0], "nack").await?;
    let found = client.consume_later(&dead).await?;
    let lives = between(&found, "created_at", "expired_at")?;
    is("it lives anew", (900_000..960_000).contains(&lives))
}

async fn kept_times(target: Target) -> Played {
    let (mut client, topic, queue, dead) = with_dead(&target, Value::Null, Value::Null).await?;
    let before = client.publish(&topic, json!({"data": {}})).await?;
    let more = json!({"topic_id": topic, "dead_queue_id": dead, "message_max_deliveries": 2,
        "message_retention_seconds": 1200});
    client.ask("PUT", &format!("/queues/{queue}"), settings(None, more), 200).await?;
    let after = client.publish(&topic, json!({"data": {}})).await?;
    let found = client.consume(&queue).await?;
    same("as it was", &found[0]["expired_at"], before[0]["expired_at"].clone())?;
    same("as it is", &found[1]["expired_at"], after[0]["expired_at"].clone())?;
    same("life", &json!(between(&found[1], "created_at", "expired_at")?), json!(1_200_000))
}

async fn crash_paths(target: Target) -> Played {
    let (mut client, topic, queue, _) = with_dead(&target, Value::Null, Value::Null).await?;
    for (path, place, message, kind) in [
        ("/topics?limit=-1", json!(["query", "limit"]), Some(0), "value_error.number.not_ge"),
        ("/queues?offset=-5", json!(["query", "offset"]), Some(0), "value_error.number.not_ge"),
        (
            "/topics?limit=99999999999999999999",
            json!(["query", "limit"]),
            None,
            "type_error.integer",
        ),
    ] {
        let answer = client.ask("GET", path, Value::Null, 422).await?;
        let fault = &answer["detail"][0];
        same(path, &fault["loc"], place)?;
        same(path, &fault["type"], json!(kind))?;
        same(path, &fault["ctx"]["limit_value"], json!(message))?;
    }
    for verb in ["ack", "nack"] {
        let answer = client.send("PUT", &format!("/messages/no-uuid/{verb}"), "").await?;
        let expected = concat!(
            r#"{"detail":[{"loc":["path","message_id"],"msg":"value is not a valid uuid","#,
            r#""type":"type_error.uuid"}]}"#
        );
        answer.expect(422, expected)?;
    }
    let path = format!("/topics/{topic}/messages");
    for body in [r#"{"data":{"n":NaN}}"#, r#"{"data":{"n":Infinity}}"#] {
        let answer = client.send("POST", &path, body).await?.json(422)?;
        same(body, &answer["detail"][0]["type"], json!("value_error.jsondecode"))?;
    }
    let deep = format!("{{\"data\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let answer = client.send("POST", &path, &deep).await?.json(422)?;
    same("deep", &answer["detail"][0]["type"], json!("value_error.jsondecode"))?;
    // As sent: NUL, and numbers digit by digit.
    let body = r#"{"data":{"nul":"a\u0000b","n":123456789012345678901234567890,"f":1e400}}"#;
    let made = client.send("POST", &path, body).await?;
    let kept = r#""data":{"nul":"a\u0000b","n":123456789012345678901234567890,"f":1e400},"#;
    let consumed = client.send("GET", &format!("/queues/{queue}/messages"), "").await?;
    for answer in [made, consumed] {
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        is(&text, text.contains(kept))?;
    }
    // The original's pattern lets one line end pass.
    let answer = client.ask("POST", "/topics", json!({"id": "a\n"}), 422).await?;
    same("line end", &answer["detail"][0]["type"], json!("value_error.str.regex"))
}

async fn metrics(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    client.get("/health").await?;
    client.send("GET", "/nope", "").await?;
    let answer = client.send("GET", "/metrics", "").await?;
    let kind = answer.header("content-type").unwrap_or_default().to_owned();
    same("type", &json!(kind), json!("text/plain; version=0.0.4; charset=utf-8"))?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    for part in [
        "http_requests_total{handler=\"/health\",method=\"GET\",status=\"2xx\"}",
        "http_requests_total{handler=\"none\",method=\"GET\",status=\"4xx\"}",
        "http_request_size_bytes_count{handler=\"/health\"}",
        "http_response_size_bytes_sum{handler=\"/health\"}",
        "http_request_duration_seconds_bucket{handler=\"/health\",le=\"0.1\"}",
        "http_request_duration_highr_seconds_bucket{le=\"0.075\"}",
        "process_start_time_seconds",
    ] {
        is(part, text.contains(part))?;
    }
    Ok(())
}

async fn six_digits(target: Target) -> Played {
    let (mut client, topic, ..) = with_dead(&target, Value::Null, Value::Null).await?;
    let made = client.publish(&topic, json!({"data": {}})).await?;
    for field in ["created_at", "updated_at", "scheduled_at", "expired_at"] {
        let time = text(&made[0], field)?;
        is(&time, time.len() == 26 && time.get(19..20) == Some("."))?;
    }
    Ok(())
}
