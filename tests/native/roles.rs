//! What each role may do: every verb, asked by hand.

use crate::common::*;
use crate::session::{Browser, put_user, socket};
use crate::{create, publish, show};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

pub fn basic(user: &str) -> String {
    let password = if user == "admin" { "password".to_owned() } else { format!("pw-{user}") };
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

pub async fn as_user(
    broker: &TestBroker,
    user: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Answer {
    let headers = [("Authorization", basic(user))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    http(broker.door("http"), method, path, &headers, body.as_bytes()).await
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Least {
    Viewer,
    Operator,
    Admin,
}

const Q: &str = "/v1/topics/t/queues/default";
const RECEIPT: &str = r#"{"receipt":"00000000000000000000000000000000"}"#;
const EXTEND: &str = r#"{"receipt":"00000000000000000000000000000000","ack_deadline_ms":5}"#;
const REPLY: &str = "/v1/replies/00000000-0000-4000-8000-000000000000/1";

/// Every verb of `/v1` with the least role that may do it. What destroys stands last.
fn verbs() -> Vec<(Least, &'static str, String, &'static str)> {
    use Least::*;
    let queue = |below: &str| format!("{Q}{below}");
    let topic = |below: &str| format!("/v1/topics/t{below}");
    let v1 = |below: &str| format!("/v1{below}");
    vec![
        (Viewer, "GET", v1("/session"), ""),
        (Viewer, "GET", v1("/stats"), ""),
        (Viewer, "GET", v1("/topics"), ""),
        (Viewer, "GET", v1("/tokens"), ""),
        (Viewer, "GET", "/metrics".to_owned(), ""),
        (Viewer, "GET", topic(""), ""),
        (Viewer, "GET", topic("/stats"), ""),
        (Viewer, "GET", topic("/queues"), ""),
        (Viewer, "GET", queue(""), ""),
        (Viewer, "GET", queue("/peek"), ""),
        (Viewer, "GET", queue("/messages"), ""),
        (Viewer, "GET", queue("/messages?state=dead&text=x&attribute=a=b"), ""),
        (Viewer, "GET", queue("/messages/mine"), ""),
        (Viewer, "GET", queue("/redrive"), ""),
        (Viewer, "POST", queue("/redrive"), r#"{"dry_run":true}"#),
        (Viewer, "POST", queue("/redrive"), r#"{"dry_run":true,"ids":["mine"]}"#),
        (Viewer, "POST", queue("/redrive"), r#"{"dry_run":true,"filter":{"reason":"rejected"}}"#),
        (Operator, "POST", topic("/messages"), r#"{"body":"x"}"#),
        (Operator, "POST", queue("/messages"), r#"{"body":"x"}"#),
        (Operator, "POST", topic("/receive"), ""),
        (Operator, "POST", queue("/receive"), ""),
        (Operator, "POST", queue("/receive?take=true&max=1"), ""),
        (Operator, "POST", topic("/ack"), RECEIPT),
        (Operator, "POST", topic("/ack"), r#"{"ids":["mine"]}"#),
        (Operator, "POST", topic("/nack"), RECEIPT),
        (Operator, "POST", topic("/extend"), EXTEND),
        (Operator, "POST", queue("/redrive"), ""),
        (Operator, "POST", queue("/redrive"), r#"{"ids":[]}"#),
        (Operator, "POST", queue("/redrive"), r#"{"max":0}"#),
        (Operator, "POST", queue("/redrive"), r#"{"max":0,"filter":{"text":"x"}}"#),
        (Operator, "POST", queue("/redrive"), r#"{"rate_per_s":1}"#),
        (Operator, "DELETE", queue("/redrive"), ""),
        (Operator, "POST", queue("/move"), r#"{"to":{"queue":"other"}}"#),
        (Operator, "POST", queue("/move"), r#"{"max":0,"to":{"queue":"other"}}"#),
        (Operator, "POST", queue("/messages/mine/edit"), r#"{"body":"y"}"#),
        (Operator, "POST", queue("/delete"), r#"{"ids":[]}"#),
        (Operator, "POST", queue("/delete"), r#"{"ids":["mine"]}"#),
        (Operator, "DELETE", queue("/messages/mine"), ""),
        (Operator, "POST", queue("/purge"), ""),
        (Operator, "POST", queue("/pause"), ""),
        (Operator, "POST", queue("/resume"), ""),
        (Operator, "POST", topic("/pause"), ""),
        (Operator, "POST", topic("/resume"), ""),
        (Operator, "PATCH", topic(""), r#"{"policy":{"capacity":5}}"#),
        (Operator, "PATCH", topic(""), r#"{"policy":{"mask_payloads":false}}"#),
        (Operator, "PATCH", queue(""), r#"{"max_deliveries":5}"#),
        (Operator, "PUT", queue(""), "{}"),
        (Operator, "PUT", topic("/queues/new"), "{}"),
        (Operator, "DELETE", topic("/queues/new"), ""),
        (Operator, "POST", queue("/detach"), ""),
        (Operator, "POST", topic("/queues/there/attach"), r#"{"from":"u"}"#),
        (Operator, "POST", v1("/topics"), r#"{"name":"made"}"#),
        (Operator, "POST", REPLY.to_owned(), r#"{"body":"x"}"#),
        (Operator, "POST", v1("/tokens"), r#"{"name":"own","rights":"l"}"#),
        (Operator, "DELETE", v1("/tokens/own"), ""),
        (Operator, "DELETE", topic(""), ""),
        (Admin, "GET", v1("/users"), ""),
        (Admin, "PUT", v1("/users/new"), r#"{"password":"x"}"#),
        (Admin, "DELETE", v1("/users/new"), ""),
        (Admin, "POST", v1("/tokens"), r#"{"name":"others","user":"eye"}"#),
        (Admin, "DELETE", v1("/tokens/others"), ""),
        (Admin, "GET", v1("/definitions"), ""),
        (Admin, "GET", v1("/definitions?users=true"), ""),
        (Admin, "POST", v1("/definitions"), r#"{"version":1,"topics":[]}"#),
        (Admin, "POST", v1("/definitions?dry_run=true"), r#"{"version":1,"topics":[]}"#),
        (Admin, "POST", v1("/backup"), ""),
    ]
}

async fn prepared() -> TestBroker {
    let broker = TestBroker::start().await;
    for (name, role) in [("eye", "viewer"), ("hand", "operator"), ("root", "admin")] {
        put_user(&broker, name, role).await;
    }
    create(
        &broker,
        json!({"name": "t", "queues": [{"name": "default"}, {"name": "other"}, {"name": "new"}]}),
    )
    .await;
    create(&broker, json!({"name": "u", "queues": [{"name": "there"}]})).await;
    publish(&broker, "t", json!({"body": "x", "id": "mine"})).await;
    broker
}

#[actix_web::test]
async fn every_verb_knows_who_may_do_it() {
    let broker = prepared().await;
    let looks = json!({"user": "root", "password": "pw-root", "read_only": true});
    let screen = Browser::log_in(&broker, looks).await;
    let before = (show(&broker, "t").await, broker.http("GET", "/v1/definitions", "").await.text());
    for (user, role) in [("eye", Least::Viewer), ("hand", Least::Operator), ("root", Least::Admin)]
    {
        for (from, method, path, body) in verbs() {
            let answer = as_user(&broker, user, method, &path, body).await;
            let said = format!("{user}: {method} {path} {body}: {}", answer.text());
            if from > role {
                assert_eq!(answer.status, 403, "{said}");
                answer.expect_problem(403, "not_allowed");
            } else {
                assert!(answer.status != 403 && answer.status != 401, "{said}");
            }
            if role == Least::Viewer && from == Least::Viewer {
                assert_eq!(answer.status, 200, "{said}");
            }
            if role == Least::Viewer && path != "/v1/tokens" {
                // A session that only looks is a viewer, whoever it is.
                let answer = screen.ask(method, &path, body).await;
                assert_eq!(answer.status == 403, from > Least::Viewer, "screen: {said}");
            }
        }
        if role == Least::Viewer {
            let text = broker.http("GET", "/v1/definitions", "").await.text();
            assert_eq!((show(&broker, "t").await, text), before, "nothing has changed");
        }
    }
}

#[actix_web::test]
async fn a_viewer_changes_nothing_of_its_own_either() {
    let broker = prepared().await;
    let own = json!({"password": "pw-ann", "topics": ["t"]}).to_string();
    assert_eq!(broker.http("PUT", "/v1/users/ann", &own).await.status, 204);
    let purge = format!("{Q}/purge");
    as_user(&broker, "ann", "POST", &purge, "").await.expect(200);
    put_user(&broker, "ann", "viewer").await;
    as_user(&broker, "ann", "POST", &purge, "").await.expect_problem(403, "not_allowed");
    as_user(&broker, "ann", "GET", "/v1/topics/u", "").await.expect(200);
    // But for its password.
    let new = r#"{"password":"pw-ann"}"#;
    assert_eq!(as_user(&broker, "ann", "PUT", "/v1/users/ann", new).await.status, 204);
    for more in [r#"{"password":"pw-ann","role":"admin"}"#, r#"{"password":"x","topics":["t"]}"#] {
        let answer = as_user(&broker, "ann", "PUT", "/v1/users/ann", more).await;
        answer.expect_problem(403, "not_allowed");
    }
    // A token that an administrator made for it looks as well.
    let token = r#"{"name":"wall","user":"ann","rights":"a"}"#;
    let made = broker.http("POST", "/v1/tokens", token).await.expect(201);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let with = [("Authorization", bearer.as_str())];
    http(broker.door("http"), "GET", "/v1/topics/t", &with, b"").await.expect(200);
    let purged = http(broker.door("http"), "POST", &purge, &with, b"").await;
    purged.expect_problem(403, "not_allowed");
}

#[actix_web::test]
async fn a_token_may_be_good_for_looking_only() {
    let broker = prepared().await;
    let token = r#"{"name":"wall","user":"admin","rights":"l"}"#;
    let made = broker.http("POST", "/v1/tokens", token).await.expect(201);
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let with = [("Authorization", bearer.as_str())];
    for (from, method, path, body) in verbs() {
        if path == "/v1/tokens" {
            continue;
        }
        let answer = http(broker.door("http"), method, &path, &with, body.as_bytes()).await;
        let said = format!("{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.status == 403, from > Least::Viewer, "{said}");
    }
}

#[actix_web::test]
async fn the_other_doors_know_the_roles() {
    let broker = prepared().await;
    let okq = |user: &str, command: &str| {
        let said = format!("AUTH {user} pw-{user}\r\n{command}\r\n");
        let address = broker.door("okq");
        async move {
            let mut wire = Wire::connect(address).await;
            wire.send(said).await;
            assert_eq!(wire.line().await, "+OK\r\n");
            wire.line().await
        }
    };
    for command in ["QRPOP t", "QLPUSH t id body", "QLPUSH new id body", "QACK t mine", "QFLUSH t"]
    {
        let refused = okq("eye", command).await;
        assert!(refused.starts_with("-NOPERM"), "{command}: {refused}");
    }
    assert!(okq("eye", "QRPEEK t").await.starts_with('*'));
    assert!(okq("hand", "QRPOP t").await.starts_with('*'));
    assert_eq!(show(&broker, "t").await["queues"][0]["in_flight"], 1);
    let headers = basic("eye");
    let headers = [("Authorization", headers.as_str())];
    for (door, method, path, status) in [
        ("blockqueue", "GET", "/topics/t/subscribers/other?timeout=1s", 403),
        ("blockqueue", "GET", "/topics/t/subscribers/other/messages", 200),
        ("blockqueue", "DELETE", "/topics/t/subscribers/other", 403),
        ("fastqueue", "GET", "/topics/t", 200),
        ("fastqueue", "DELETE", "/topics/t", 403),
    ] {
        let answer = http(broker.door(door), method, path, &headers, b"").await;
        assert_eq!(answer.status, status, "{door} {method} {path}: {}", answer.text());
    }
    for command in ["GET t 1 BATCH", "CLEAR t", "SUBSCRIBE pubsub", "NEW made BROKER"] {
        let mut wire = broker.connect_otq().await;
        wire.exchange("OTQ CONNECT eye pw-eye\r\n", "CONNECTED\r\nENDOFRESP\r\n").await;
        wire.send(format!("OTQ {command}\r\n")).await;
        let refused = wire.line().await;
        assert!(refused.starts_with("DECLINE:Unauthorized"), "{command}: {refused}");
    }
    assert_eq!(broker.http("GET", "/v1/topics/made", "").await.status, 404);
}

pub type Socket = WebSocketStream<TcpStream>;

pub async fn say(socket: &mut Socket, frame: Value) {
    socket.send(Message::Text(frame.to_string().into())).await.unwrap();
}

pub async fn hear(socket: &mut Socket) -> Value {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a frame in time") {
            Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => (),
            other => panic!("{other:?} is no text frame"),
        }
    }
}

#[actix_web::test]
async fn a_viewer_follows_and_takes_nothing() {
    let broker = prepared().await;
    publish(&broker, "pubsub", json!({"body": "before"})).await;
    let mut viewer = socket(broker.door("http"), "/v1/ws", "Authorization", &basic("eye")).await;
    for frame in [
        json!({"op": "publish", "topic": "t", "message": {"body": "x"}}),
        json!({"op": "consume", "topic": "t"}),
        json!({"op": "ack", "topic": "t", "receipt": "0".repeat(32)}),
        json!({"op": "nack", "topic": "t", "receipt": "0".repeat(32)}),
        json!({"op": "extend", "topic": "t", "receipt": "0".repeat(32), "ack_deadline_ms": 5}),
        json!({"op": "request", "topic": "t", "req": 1, "message": {"body": "x"}, "timeout_ms": 100}),
        json!({"op": "reply", "to": "00000000-0000-4000-8000-000000000000", "correlation": "1", "message": {"body": "x"}}),
    ] {
        say(&mut viewer, frame.clone()).await;
        let answer = hear(&mut viewer).await;
        assert_eq!(answer["code"], "not_allowed", "{frame}: {answer}");
    }
    say(&mut viewer, json!({"op": "subscribe", "topic": "pubsub"})).await;
    let begun = hear(&mut viewer).await;
    assert_eq!((&begun["type"], &begun["seq"]), (&json!("ok"), &json!(1)), "{begun}");
    // An administrator can look so, too.
    let path = "/v1/topics/pubsub/ws?look=true";
    let mut looks = socket(broker.door("http"), path, "Authorization", &basic("root")).await;
    assert_eq!(hear(&mut looks).await["type"], "subscribed");
    publish(&broker, "pubsub", json!({"body": "while they look"})).await;
    for socket in [&mut viewer, &mut looks] {
        assert_eq!(hear(socket).await["body"], "while they look", "and nothing before it");
    }
    let topic = show(&broker, "pubsub").await;
    assert_eq!((&topic["subscribers"], &topic["queues"][0]["ready"]), (&json!(0), &json!(2)));
    // So the first one who takes gets all of it.
    let path = "/v1/topics/pubsub/ws";
    let mut takes = socket(broker.door("http"), path, "Authorization", &basic("hand")).await;
    assert_eq!(hear(&mut takes).await["type"], "subscribed");
    for body in ["before", "while they look"] {
        assert_eq!(hear(&mut takes).await["body"], body);
    }
    let topic = show(&broker, "pubsub").await;
    assert_eq!((&topic["subscribers"], &topic["queues"][0]["ready"]), (&json!(1), &json!(0)));
    // Who looks may also see what was before, from a position.
    let epoch = &topic["epoch"];
    let from =
        json!({"op": "subscribe", "topic": "pubsub", "sub": "again", "epoch": epoch, "seq": 0});
    say(&mut viewer, from).await;
    assert_eq!(hear(&mut viewer).await["type"], "ok");
    for body in ["before", "while they look"] {
        assert_eq!(hear(&mut viewer).await["body"], body);
    }
}
