//! Topics, subscribers, and the form of requests.

use super::*;

pub async fn create(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    let body = format!(
        r#"{{"name":"{}","subscribers":[{{"name":"a","option":{{"max_attempts":3,"visibility_duration":"5m"}}}},{{"name":"b","option":{{}}}},{{"name":"c"}}]}}"#,
        client.name()
    );
    let answer = client.ask("POST", "/topics", &body).await?;
    answer.expect(200, SUCCESS)?;
    equal("Content-Type", answer.header("content-type"), Some("application/json"))?;
    let names: Vec<Value> =
        client.data("/subscribers").await?.iter().map(|status| status["name"].clone()).collect();
    equal("subscribers", names, ["a", "b", "c"].map(Value::from).to_vec())
}

pub async fn create_alone(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    for rest in ["", r#","subscribers":null"#, r#","subscribers":[]"#] {
        let body = format!(r#"{{"name":"{}"{rest}}}"#, client.name());
        client.ask("POST", "/topics", &body).await?.expect(500, NO_SUBSCRIBERS)?;
        client.exchange(("GET", "/subscribers"), "", (404, NO_TOPIC)).await?;
    }
    Ok(())
}

pub async fn create_twins(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    let list = r#"[{"name":"a"},{"name":"b"},{"name":"a"}]"#;
    let body = format!(r#"{{"name":"{}","subscribers":{list}}}"#, client.name());
    client.ask("POST", "/topics", &body).await?.expect(500, UNIQUE)?;
    client.exchange(("GET", "/subscribers"), "", (404, NO_TOPIC)).await
}

pub async fn create_again(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let conflict = r#"{"message":"Conflict","error":"topic was exist"}"#;
    for list in [r#"[{"name":"other"}]"#, "[]"] {
        let body = format!(r#"{{"name":"{}","subscribers":{list}}}"#, client.name());
        client.ask("POST", "/topics", &body).await?.expect(409, conflict)?;
    }
    Ok(())
}

pub async fn delete(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    client.publish("old").await?;
    client.exchange(("DELETE", ""), "", (200, SUCCESS)).await?;
    client.exchange(("DELETE", ""), "", (404, NO_TOPIC)).await?;
    client.exchange(("GET", "/subscribers"), "", (404, NO_TOPIC)).await?;
    let body = format!(r#"{{"name":"{}","subscribers":[{{"name":"s"}}]}}"#, client.name());
    client.ask("POST", "/topics", &body).await?.expect(200, SUCCESS)?;
    client.exchange(("GET", "/subscribers/s?timeout=1500ms"), "", (200, EMPTY)).await
}

pub async fn unknown(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    for (method, below) in [
        ("DELETE", ""),
        ("POST", "/messages"),
        ("GET", "/subscribers"),
        ("POST", "/subscribers"),
        ("GET", "/subscribers/s?timeout=1s"),
        ("GET", "/subscribers/s"),
        ("DELETE", "/subscribers/s"),
        ("DELETE", "/subscribers/s/messages/1"),
    ] {
        let body = if method == "POST" { "{bad" } else { "" };
        client.exchange((method, below), body, (404, NO_TOPIC)).await?;
    }
    Ok(())
}

pub async fn trailing_slash(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    let body = format!(r#"{{"name":"{}","subscribers":[{{"name":"s"}}]}}"#, client.name());
    client.ask("POST", "/topics/", &body).await?.expect(200, SUCCESS)
}

pub async fn no_route(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let topic = client.topic.clone();
    for path in ["/nothing", "/topic", &format!("{topic}/nothing"), &format!("{topic}/messages/")] {
        let answer = client.ask("POST", path, "").await?;
        answer.expect(404, "404 page not found\n")?;
        equal("Content-Type", answer.header("content-type"), Some("text/plain; charset=utf-8"))?;
        equal("option", answer.header("x-content-type-options"), Some("nosniff"))?;
    }
    for (method, path) in [
        ("PUT", "/topics".to_owned()),
        ("GET", topic.clone()),
        ("POST", topic.clone()),
        ("GET", format!("{topic}/messages")),
        ("DELETE", format!("{topic}/subscribers")),
        ("POST", format!("{topic}/subscribers/s")),
        ("PUT", format!("{topic}/subscribers/s/messages/1")),
    ] {
        let answer = client.ask(method, &path, "").await?;
        answer.expect(405, "").map_err(|Mismatch(text)| Mismatch(format!("{method}: {text}")))?;
        equal("Content-Type", answer.header("content-type"), None)?;
    }
    Ok(())
}

pub async fn odd_names(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    let name = format!("{} \u{e4}.", client.name());
    let body = serde_json::json!({"name": name, "subscribers": [{"name": "a b"}]}).to_string();
    client.ask("POST", "/topics", &body).await?.expect(200, SUCCESS)?;
    client.topic = format!("{}%20%C3%A4.", client.topic);
    target.uses(client.name());
    client.publish("m").await?;
    let got = client.read("a%20b", SOON).await?;
    equal("messages", texts(&got), vec!["m"])
}

pub async fn malformed(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    let topic = client.topic.clone();
    let (messages, subscribers) = (format!("{topic}/messages"), format!("{topic}/subscribers"));
    let name = r#"invalid character 'b' looking for beginning of object key string"#;
    let wrong = "json: cannot unmarshal";
    let table = [
        ("/topics", "", "EOF".to_owned()),
        ("/topics", "{bad", name.to_owned()),
        ("/topics", r#"{"name":"#, "unexpected EOF".to_owned()),
        (
            "/topics",
            r#"{"name":1,"subscribers":[{"name":"s"}]}"#,
            format!("{wrong} number into Go struct field Topic.name of type string"),
        ),
        (&messages, "", "EOF".to_owned()),
        (&messages, "{bad", name.to_owned()),
        (
            &messages,
            r#"{"message":1}"#,
            format!("{wrong} number into Go struct field Publish.message of type string"),
        ),
        (&messages, "[]", format!("{wrong} array into Go value of type io.Publish")),
        (&subscribers, "", "EOF".to_owned()),
        (
            &subscribers,
            r#"{"name":"t"}"#,
            format!("{wrong} object into Go value of type io.Subscribers"),
        ),
        (
            &subscribers,
            r#"[{"name":"t","option":{"max_attempts":"2"}}]"#,
            format!(
                "{wrong} string into Go struct field SubscriberOpt.option.max_attempts of type int"
            ),
        ),
    ];
    for (path, body, error) in table {
        let told = serde_json::json!({"message": "failure", "error": error});
        let answer = client.ask("POST", path, body).await?;
        equal(body, answer.json(400)?, told)?;
    }
    // Nothing of it was done.
    equal("subscribers", client.data("/subscribers").await?.len(), 1)
}

pub async fn lenient(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::new(&target).await?;
    let body = format!(
        r#" {{"NAME":"{}","Subscribers":[{{"Name":"s","x":[1,{{"name":"y"}}]}}],"more":null}} {{"#,
        client.name()
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = client.wire.http("POST", "/topics", &headers, body.as_bytes()).await?;
    answer.expect(200, SUCCESS)?;
    for body in [r#"{"MESSAGE":"a"} trailing"#, r#"{"message":"a","message2":7}[]"#] {
        client.exchange(("POST", "/messages"), body, (200, SUCCESS)).await?;
    }
    for body in ["null", "{}", r#"{"message":null}"#] {
        client.exchange(("POST", "/messages"), body, (200, SUCCESS)).await?;
    }
    let got = client.read_all("s", 5).await?;
    equal("messages", sorted(&got), vec!["", "", "", "a", "a"])
}

pub async fn status(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["z", "a", "m"]).await?;
    let none = r#""unpublished_message":0,"unacked_message":0"#;
    let listed = |names: &[&str]| {
        let entries: Vec<String> =
            names.iter().map(|name| format!(r#"{{"name":"{name}",{none}}}"#)).collect();
        format!(r#"{{"message":"success","data":[{}]}}"#, entries.join(","))
    };
    client.exchange(("GET", "/subscribers"), "", (200, &listed(&["z", "a", "m"]))).await?;
    for name in ["z", "a", "m"] {
        client.exchange(("DELETE", &format!("/subscribers/{name}")), "", (200, SUCCESS)).await?;
    }
    client.exchange(("GET", "/subscribers"), "", (200, EMPTY)).await
}

pub async fn add(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["a"]).await?;
    let to = ("POST", "/subscribers");
    client.exchange(to, r#"[{"name":"b"},{"name":"c"}]"#, (200, SUCCESS)).await?;
    client.exchange(to, r#"[{"name":"d"},{"name":"a"}]"#, (500, UNIQUE)).await?;
    client.exchange(to, r#"[{"name":"d"},{"name":"d"}]"#, (500, UNIQUE)).await?;
    client.exchange(to, "[]", (500, NO_SUBSCRIBERS)).await?;
    client.exchange(to, "null", (500, NO_SUBSCRIBERS)).await?;
    let status = client.data("/subscribers").await?;
    let names: Vec<&str> = status.iter().filter_map(|status| status["name"].as_str()).collect();
    equal("subscribers", names, vec!["a", "b", "c"])
}

pub async fn remove(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s", "t"]).await?;
    client.publish("old").await?;
    client.read_all("s", 1).await?;
    client.exchange(("DELETE", "/subscribers/s"), "", (200, SUCCESS)).await?;
    client.exchange(("DELETE", "/subscribers/s"), "", (500, NO_LISTENER)).await?;
    client.exchange(("DELETE", "/subscribers/never"), "", (500, NO_LISTENER)).await?;
    client.exchange(("POST", "/subscribers"), r#"[{"name":"s"}]"#, (200, SUCCESS)).await?;
    client.exchange(("GET", "/subscribers/s?timeout=1500ms"), "", (200, EMPTY)).await?;
    client.publish("new").await?;
    let got = client.read("s", SOON).await?;
    equal("messages", texts(&got), vec!["new"])
}

pub async fn nobody(target: Target) -> Result<(), Mismatch> {
    let mut client = Client::with(&target, &["s"]).await?;
    client.exchange(("DELETE", "/subscribers/s"), "", (200, SUCCESS)).await?;
    client.publish("for nobody").await?;
    // The original hands messages out on a tick: those of the tick before are gone by now.
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    client.exchange(("POST", "/subscribers"), r#"[{"name":"s"}]"#, (200, SUCCESS)).await?;
    client.exchange(("GET", "/subscribers/s?timeout=1500ms"), "", (200, EMPTY)).await
}
