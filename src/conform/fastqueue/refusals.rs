//! What is refused, and in which words.

use super::*;
use crate::conform::case;

pub const CASES: &[Case] = &[
    case!("every fault of a body is listed, in the order of the fields", all_faults),
    case!("each kind of fault has its place, words, type and facts", each_fault),
    case!("values of other types become what is wanted where they can", coerced),
    case!("a body that is no object is refused as a whole", bodies),
    case!("broken JSON tells where it broke", broken_json),
    case!("only JSON is read as JSON", content_types),
    case!("a query that is no number is refused", queries),
    case!("other paths and methods are told apart", paths),
    case!("a final slash too many leads to the path without", slashes),
    case!("the service tells that it is well and what it can do", service),
];

fn fault(place: Value, message: &str, kind: &str, facts: Value) -> Value {
    let mut fault = json!({"loc": place, "msg": message, "type": kind});
    if !facts.is_null() {
        fault["ctx"] = facts;
    }
    fault
}

fn pattern(place: Value) -> Value {
    let pattern = "^[a-zA-Z0-9-._]+$";
    let message = format!("string does not match regex \"{pattern}\"");
    fault(place, &message, "value_error.str.regex", json!({ "pattern": pattern }))
}

async fn all_faults(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let body = r#"{"id":"bad id","ack_deadline_seconds":0}"#;
    let answer = client.send("POST", "/queues", body).await?;
    same("type", &json!(answer.header("content-type")), json!("application/json"))?;
    answer.expect(
        422,
        concat!(
            r#"{"detail":[{"loc":["body","id"],"msg":"string does not match regex \"^[a-zA-Z0-9-._]+$\"","#,
            r#""type":"value_error.str.regex","ctx":{"pattern":"^[a-zA-Z0-9-._]+$"}},"#,
            r#"{"loc":["body","ack_deadline_seconds"],"msg":"ensure this value is greater than or equal to 1","#,
            r#""type":"value_error.number.not_ge","ctx":{"limit_value":1}},"#,
            r#"{"loc":["body","message_retention_seconds"],"msg":"field required","type":"value_error.missing"}]}"#
        ),
    )
}

async fn each_fault(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let required =
        |place: Value| fault(place, "field required", "value_error.missing", Value::Null);
    let none = |place: Value| {
        let kind = "type_error.none.not_allowed";
        fault(place, "none is not an allowed value", kind, Value::Null)
    };
    let text = |place: Value| fault(place, "str type expected", "type_error.str", Value::Null);
    let integer = |place: Value| {
        fault(place, "value is not a valid integer", "type_error.integer", Value::Null)
    };
    let object =
        |place: Value| fault(place, "value is not a valid dict", "type_error.dict", Value::Null);
    let least = |place: Value, limit: u64| {
        let message = format!("ensure this value is greater than or equal to {limit}");
        fault(place, &message, "value_error.number.not_ge", json!({ "limit_value": limit }))
    };
    let most = |place: Value, limit: u64| {
        let message = format!("ensure this value is less than or equal to {limit}");
        fault(place, &message, "value_error.number.not_le", json!({ "limit_value": limit }))
    };
    let at = |field: &str| json!(["body", field]);
    let long = "a".repeat(129);
    let too_long = fault(
        at("id"),
        "ensure this value has at most 128 characters",
        "value_error.any_str.max_length",
        json!({"limit_value": 128}),
    );
    let list = fault(
        json!(["body", "message_filters", "a"]),
        "value is not a valid list",
        "type_error.list",
        Value::Null,
    );
    let needs = |what: &str| {
        let message = format!("{what} is required for dead queue support");
        fault(json!(["body", "__root__"]), &message, "value_error", Value::Null)
    };
    let unknown = target.name("unknown");
    let queue = |more: Value| settings(None, more);
    let table = [
        ("POST", "/topics", json!({}), vec![required(at("id"))]),
        ("POST", "/topics", json!({"id": null}), vec![none(at("id"))]),
        ("POST", "/topics", json!({"id": []}), vec![text(at("id"))]),
        ("POST", "/topics", json!({"id": {}}), vec![text(at("id"))]),
        ("POST", "/topics", json!({"id": "a/b"}), vec![pattern(at("id"))]),
        ("POST", "/topics", json!({"id": ""}), vec![pattern(at("id"))]),
        ("POST", "/topics", json!({"id": "é"}), vec![pattern(at("id"))]),
        ("POST", "/topics", json!({ "id": long }), vec![too_long]),
        ("PUT", "/queues/x", queue(json!({"topic_id": "a b"})), vec![pattern(at("topic_id"))]),
        (
            "PUT",
            "/queues/x",
            queue(json!({"ack_deadline_seconds": 601})),
            vec![most(at("ack_deadline_seconds"), 600)],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"ack_deadline_seconds": "x", "message_retention_seconds": 599})),
            vec![integer(at("ack_deadline_seconds")), least(at("message_retention_seconds"), 600)],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"message_retention_seconds": 1209601, "delivery_delay_seconds": 901})),
            vec![
                most(at("message_retention_seconds"), 1_209_600),
                most(at("delivery_delay_seconds"), 900),
            ],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"ack_deadline_seconds": [], "message_retention_seconds": null})),
            vec![integer(at("ack_deadline_seconds")), none(at("message_retention_seconds"))],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"ack_deadline_seconds": -99999999999999999_i64})),
            vec![least(at("ack_deadline_seconds"), 1)],
        ),
        ("PUT", "/queues/x", queue(json!({"message_filters": {"a": "x"}})), vec![list]),
        (
            "PUT",
            "/queues/x",
            queue(json!({"message_filters": 5})),
            vec![object(at("message_filters"))],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"message_filters": {"a": [null, "x", {}]}})),
            vec![
                none(json!(["body", "message_filters", "a", 0])),
                text(json!(["body", "message_filters", "a", 2])),
            ],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"dead_queue_id": unknown})),
            vec![needs("message_max_deliveries")],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"message_max_deliveries": 5})),
            vec![needs("dead_queue_id")],
        ),
        (
            "PUT",
            "/queues/x",
            queue(json!({"dead_queue_id": unknown, "message_max_deliveries": 1001})),
            vec![most(at("message_max_deliveries"), 1000), needs("message_max_deliveries")],
        ),
        ("PUT", "/queues/x/redrive", json!({}), vec![required(at("destination_queue_id"))]),
        ("POST", "/topics/x/messages", json!({}), vec![required(at("data"))]),
        ("POST", "/topics/x/messages", json!({"data": "x"}), vec![object(at("data"))]),
        (
            "POST",
            "/topics/x/messages",
            json!({"data": null, "attributes": {"a": null, "b": [], "c": 1}}),
            vec![
                none(at("data")),
                none(json!(["body", "attributes", "a"])),
                text(json!(["body", "attributes", "b"])),
            ],
        ),
    ];
    for (method, path, body, faults) in table {
        let answer = client.ask(method, path, body.clone(), 422).await?;
        same(&format!("{method} {path} {body}"), &answer, json!({ "detail": faults }))?;
    }
    Ok(())
}

async fn coerced(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let id = target.name("queue");
    for (given, shown) in [
        (json!("30"), 30),
        (json!(" 30 "), 30),
        (json!(30.0), 30),
        (json!(1.9), 1),
        (json!(true), 1),
        (json!("+7"), 7),
    ] {
        let body = settings(Some(&id), json!({ "ack_deadline_seconds": given }));
        let made = client.ask("POST", "/queues", body, 201).await?;
        same(&format!("{given}"), &made["ack_deadline_seconds"], json!(shown))?;
        client.ask("DELETE", &format!("/queues/{id}"), Value::Null, 204).await?;
    }
    // A number is a name as well.
    let number: String = id.bytes().filter(u8::is_ascii_digit).map(char::from).collect();
    let number = number.trim_start_matches('0');
    let number: u64 = number.parse().unwrap_or(77);
    target.uses(&number.to_string());
    let made = client.ask("POST", "/topics", json!({ "id": number }), 201).await?;
    same("id", &made["id"], json!(number.to_string()))
}

async fn bodies(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    let missing =
        r#"{"detail":[{"loc":["body"],"msg":"field required","type":"value_error.missing"}]}"#;
    let object = r#"{"detail":[{"loc":["body"],"msg":"value is not a valid dict","type":"type_error.dict"}]}"#;
    let field =
        r#"{"detail":[{"loc":["body","id"],"msg":"field required","type":"value_error.missing"}]}"#;
    for (body, expected) in [
        ("", missing),
        ("null", missing),
        ("\"text\"", object),
        ("5", object),
        ("true", object),
        ("[1]", object),
        ("{}", field),
        ("[]", field),
    ] {
        let answer = client.send("POST", "/topics", body).await?;
        answer.expect(422, expected)?;
    }
    Ok(())
}

async fn broken_json(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    for (body, message, position, line, column) in [
        ("{", "Expecting property name enclosed in double quotes", 1, 1, 2),
        ("{\"id\":}", "Expecting value", 6, 1, 7),
        ("{\"é\":\n nope}", "Expecting value", 7, 2, 2),
        ("{} {}", "Extra data", 3, 1, 4),
        ("{\"id\" 5}", "Expecting ':' delimiter", 6, 1, 7),
        ("{\"id\":5 6}", "Expecting ',' delimiter", 8, 1, 9),
        ("{\"id", "Unterminated string starting at", 1, 1, 2),
    ] {
        let answer = client.send("POST", "/topics", body).await?.json(422)?;
        let said = format!("{message}: line {line} column {column} (char {position})");
        let facts =
            json!({"msg": message, "doc": body, "pos": position, "lineno": line, "colno": column});
        let expected = fault(json!(["body", position]), &said, "value_error.jsondecode", facts);
        same(body, &answer, json!({ "detail": [expected] }))?;
    }
    Ok(())
}

async fn content_types(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    for (kind, status) in [
        ("application/json; charset=utf-8", 201),
        ("application/vnd.api+json", 201),
        ("text/plain", 422),
        ("application/x-www-form-urlencoded", 422),
    ] {
        let body = json!({"id": target.name(&kind.replace(['/', '+', ';', ' ', '='], "-"))});
        let headers = [("content-type", kind)];
        let body = body.to_string();
        let answer = client.wire.http("POST", "/topics", &headers, body.as_bytes()).await?;
        let answer = answer.json(status)?;
        if status == 422 {
            let expected = json!([{"loc": ["body"], "msg": "value is not a valid dict",
                "type": "type_error.dict"}]);
            same(kind, &answer["detail"], expected)?;
        }
    }
    let body = json!({"id": target.name("none")}).to_string();
    client.wire.http("POST", "/topics", &[], body.as_bytes()).await?.json(201).map(drop)
}

async fn queries(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    for (path, names) in [
        ("/topics?limit=x", vec!["limit"]),
        ("/queues?offset=&limit=1.5", vec!["offset", "limit"]),
        ("/queues/x/messages?limit=ten", vec!["limit"]),
    ] {
        let faults: Vec<Value> = names
            .iter()
            .map(|name| {
                let place = json!(["query", name]);
                fault(place, "value is not a valid integer", "type_error.integer", Value::Null)
            })
            .collect();
        let answer = client.ask("GET", path, Value::Null, 422).await?;
        same(path, &answer, json!({ "detail": faults }))?;
    }
    is("others do not matter", data(client.get("/topics?unknown=x&limit=1").await?)?.len() <= 1)
}

async fn paths(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    for (method, path) in
        [("GET", "/"), ("GET", "/nope"), ("POST", "/topics/a/b"), ("PUT", "/messages/x")]
    {
        let answer = client.send(method, path, "").await?;
        answer.expect(404, r#"{"detail":"Not Found"}"#)?;
    }
    for (method, path) in [
        ("PATCH", "/topics"),
        ("DELETE", "/queues"),
        ("POST", "/queues/x/stats"),
        ("GET", "/messages/x/ack"),
        ("POST", "/health"),
    ] {
        let answer = client.send(method, path, "").await?;
        answer.expect(405, r#"{"detail":"Method Not Allowed"}"#)?;
        is("methods are told", answer.header("allow").is_some())?;
    }
    Ok(())
}

async fn slashes(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    for (path, other) in [("/topics/?limit=1", "/topics?limit=1"), ("/queues/x/", "/queues/x")] {
        let answer = client.send("GET", path, "").await?;
        is("307 without a body", answer.status == 307 && answer.body.is_empty())?;
        let location = answer.header("location").unwrap_or_default().to_owned();
        is(&format!("{location} leads to {other}"), location.ends_with(other))?;
    }
    Ok(())
}

async fn service(target: Target) -> Played {
    let mut client = Client::connect(&target).await?;
    client.send("GET", "/health", "").await?.expect(200, r#"{"success":true}"#)?;
    let document = client.get("/openapi.json").await?;
    same("version", &document["openapi"], json!("3.0.2"))?;
    same("title", &document["info"]["title"], json!("fastqueue"))?;
    let operation = &document["paths"]["/queues/{queue_id}/messages"]["get"]["operationId"];
    let expected = "list_messages_for_consume_queues__queue_id__messages_get";
    same("operation", operation, json!(expected))?;
    for path in ["/docs", "/redoc"] {
        let page = client.send("GET", path, "").await?;
        let kind = page.header("content-type").unwrap_or_default();
        is("a page", page.status == 200 && kind.starts_with("text/html"))?;
    }
    Ok(())
}
