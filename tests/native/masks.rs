//! Topics that mask their payloads: what each caller is shown, at every verb that looks.

use crate::common::*;
use crate::roles::{Socket, as_user, basic, hear, say};
use crate::session::{Browser, put_user, socket};
use crate::{create, kill, publish, receive, show};
use serde_json::{Value, json};

const Q: &str = "/v1/topics/m/queues/default";
const SECRET: &str = "4111-1111";

async fn prepared() -> TestBroker {
    let broker = TestBroker::start().await;
    for (name, role) in [("eye", "viewer"), ("hand", "operator"), ("root", "admin")] {
        put_user(&broker, name, role).await;
    }
    let ann = json!({"password": "pw-ann", "topics": ["m", "p"]}).to_string();
    assert_eq!(broker.http("PUT", "/v1/users/ann", &ann).await.status, 204);
    let policy = json!({"mask_payloads": true});
    let made = create(&broker, json!({"name": "m", "policy": policy})).await;
    assert_eq!(made["policy"]["mask_payloads"], true);
    create(&broker, json!({"name": "p", "kind": "pubsub", "policy": policy})).await;
    broker
}

fn message(id: &str) -> Value {
    json!({"body": SECRET, "id": id, "attributes": {"card": SECRET, "deep": {"card": SECRET}}})
}

/// Neither a byte of the body nor of an attribute, and how long the body is.
#[track_caller]
fn is_masked(message: &Value) {
    let text = message.to_string();
    assert!(!text.contains(SECRET), "{text}");
    assert_eq!((&message["masked"], &message["body_bytes"]), (&json!(true), &json!(9)), "{text}");
    assert_eq!(message["attributes"], json!({"card": "***", "deep": "***"}), "{text}");
    assert_eq!((message.get("body"), message.get("base64")), (None, None), "{text}");
}

#[track_caller]
fn is_plain(message: &Value) {
    assert_eq!((&message["body"], message.get("masked")), (&json!(SECRET), None), "{message}");
    assert_eq!(message["attributes"]["deep"]["card"], SECRET, "{message}");
}

#[actix_web::test]
async fn who_looks_sees_no_payload_unless_it_is_its_own() {
    let broker = prepared().await;
    for id in ["dies", "flies"] {
        publish(&broker, "m", message(id)).await;
        match id {
            "dies" => kill(&broker, "m", "broken").await,
            _ => drop(receive(&broker, "m").await),
        }
    }
    publish(&broker, "m", message("waits")).await;
    let screen = json!({"user": "root", "password": "pw-root", "read_only": true});
    let screen = Browser::log_in(&broker, screen).await;
    let looks = [
        ("/peek", "waits"),
        ("/peek?end=back", "waits"),
        ("/messages", "waits"),
        ("/messages?state=in_flight", "flies"),
        ("/messages?state=dead&reason=rejected&newer_than_ms=3600000", "dies"),
        ("/messages/waits", "waits"),
        ("/messages/dies", "dies"),
    ];
    for (path, id) in looks {
        let path = format!("{Q}{path}");
        let seen = |answer: Answer| {
            let answer = answer.expect(200);
            let message = answer.get("messages").map_or(&answer, |messages| &messages[0]).clone();
            assert_eq!(message["id"], id, "{path}");
            message
        };
        for user in ["eye", "hand"] {
            is_masked(&seen(as_user(&broker, user, "GET", &path, "").await));
        }
        is_masked(&seen(screen.ask("GET", &path, "").await));
        for user in ["root", "ann"] {
            is_plain(&seen(as_user(&broker, user, "GET", &path, "").await));
        }
        is_plain(&seen(broker.http("GET", &path, "").await));
    }
    let dead = as_user(&broker, "eye", "GET", &format!("{Q}/messages/dies"), "").await.expect(200);
    assert_eq!(dead["life"][0]["event"], "published", "its life is no secret: {dead}");
    // Who receives has what it needs.
    let got = as_user(&broker, "hand", "POST", "/v1/topics/m/receive", "").await.expect(200);
    is_plain(&got["messages"][0]);
}

/// Else one could guess a body piece by piece.
#[actix_web::test]
async fn a_search_does_not_tell_what_it_may_not_show() {
    let broker = prepared().await;
    publish(&broker, "m", message("dies")).await;
    kill(&broker, "m", "broken").await;
    let list = format!("{Q}/messages?state=dead");
    for user in ["eye", "hand"] {
        for asked in ["text=4111", "text=nothing", "attribute=card=x", "json=/a=b"] {
            let answer = as_user(&broker, user, "GET", &format!("{list}&{asked}"), "").await;
            answer.expect_problem(403, "not_allowed");
        }
        let dry = r#"{"dry_run":true,"filter":{"text":"4111"}}"#;
        let answer = as_user(&broker, user, "POST", &format!("{Q}/redrive"), dry).await;
        answer.expect_problem(403, "not_allowed");
    }
    let filter = r#"{"filter":{"text":"4111"}}"#;
    let redrive = format!("{Q}/redrive");
    as_user(&broker, "hand", "POST", &redrive, filter).await.expect_problem(403, "not_allowed");
    let found = as_user(&broker, "ann", "GET", &format!("{list}&text=4111"), "").await.expect(200);
    is_plain(&found["messages"][0]);
    let done = as_user(&broker, "hand", "POST", &redrive, r#"{"filter":{"reason":"rejected"}}"#);
    assert_eq!(done.await.expect(200)["redriven"], 1);
}

/// An operator mends what it is not shown, and what it does not change stays as it was.
#[actix_web::test]
async fn a_masked_dead_letter_is_edited_as_it_is() {
    let broker = prepared().await;
    let edit = format!("{Q}/messages/dies/edit");
    for (body, attributes, edited) in [
        (SECRET, json!({"card": "new"}), r#"{"attributes":{"card":"new"}}"#),
        ("new", message("")["attributes"].clone(), r#"{"body":"new"}"#),
    ] {
        publish(&broker, "m", message("dies")).await;
        kill(&broker, "m", "broken").await;
        as_user(&broker, "eye", "POST", &edit, edited).await.expect_problem(403, "not_allowed");
        let answer = as_user(&broker, "hand", "POST", &edit, edited).await;
        assert!(!answer.text().contains(SECRET));
        answer.expect(200);
        let got = receive(&broker, "m?take=true").await;
        assert_eq!((&got[0]["body"], &got[0]["attributes"]), (&json!(body), &attributes));
    }
}

async fn follow(broker: &TestBroker, path: &str, user: &str) -> Socket {
    let mut socket = socket(broker.door("http"), path, "Authorization", &basic(user)).await;
    if path == "/v1/ws" {
        say(&mut socket, json!({"op": "subscribe", "topic": "p"})).await;
    }
    let begun = hear(&mut socket).await;
    assert!(begun["type"] == "ok" || begun["type"] == "subscribed", "{begun}");
    socket
}

/// The data of the next message of an event stream.
async fn event(wire: &mut Wire) -> Value {
    while wire.line().await != "event: message\n" {}
    loop {
        if let Some(data) = wire.line().await.strip_prefix("data: ") {
            return serde_json::from_str(data).unwrap();
        }
    }
}

async fn events(broker: &TestBroker, path: &str, user: &str) -> Wire {
    let address = broker.door("http");
    let mut wire = Wire::connect(address).await;
    let credentials = basic(user);
    wire.send(format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {credentials}\r\n\r\n"
    ))
    .await;
    assert!(wire.line().await.starts_with("HTTP/1.1 200 "));
    while wire.line().await != "event: subscribed\n" {}
    wire
}

#[actix_web::test]
async fn a_live_tail_is_masked_for_who_only_looks() {
    let broker = prepared().await;
    let (own, look) = ("/v1/topics/p/ws", "/v1/topics/p/ws?look=true");
    let mut masked = [
        follow(&broker, own, "eye").await,
        follow(&broker, "/v1/ws", "eye").await,
        follow(&broker, look, "hand").await,
    ];
    let mut plain = [
        follow(&broker, own, "hand").await,
        follow(&broker, "/v1/ws", "hand").await,
        follow(&broker, look, "root").await,
        follow(&broker, look, "ann").await,
    ];
    let mut masked_events = events(&broker, "/v1/topics/p/events", "eye").await;
    let mut plain_events = events(&broker, "/v1/topics/p/events?look=true", "root").await;
    // Shared chunks, and those of one reader, must not be mixed up.
    for id in ["one", "two"] {
        publish(&broker, "p", message(id)).await;
        for socket in &mut masked {
            let push = hear(socket).await;
            assert_eq!(push["id"], id);
            is_masked(&push);
        }
        for socket in &mut plain {
            is_plain(&hear(socket).await);
        }
        is_masked(&event(&mut masked_events).await);
        is_plain(&event(&mut plain_events).await);
    }
    // The setting of now counts.
    let off = r#"{"policy":{"mask_payloads":false}}"#;
    broker.http("PATCH", "/v1/topics/p", off).await.expect(200);
    publish(&broker, "p", message("three")).await;
    for socket in &mut masked {
        is_plain(&hear(socket).await);
    }
    is_plain(&event(&mut masked_events).await);
    let on = r#"{"policy":{"mask_payloads":true}}"#;
    broker.http("PATCH", "/v1/topics/p", on).await.expect(200);
    publish(&broker, "p", message("four")).await;
    is_masked(&event(&mut masked_events).await);
    // Bodies that are no text, too, where such come in binary frames.
    let mut binary = socket(broker.door("http"), "/v1/ws", "Authorization", &basic("eye")).await;
    say(&mut binary, json!({"op": "subscribe", "topic": "p", "binary": true})).await;
    assert_eq!(hear(&mut binary).await["type"], "ok");
    publish(&broker, "p", json!({"base64": "//79"})).await;
    let push = hear(&mut binary).await;
    assert_eq!((&push["masked"], &push["body_bytes"]), (&json!(true), &json!(3)), "{push}");
}

#[actix_web::test]
async fn the_setting_is_changed_stored_and_brought_elsewhere() {
    let broker = prepared().await;
    assert_eq!(show(&broker, "default").await["policy"].get("mask_payloads"), None);
    let wrong = r#"{"policy":{"mask_payloads":"yes"}}"#;
    assert_eq!(broker.http("PATCH", "/v1/topics/m", wrong).await.status, 400);
    let other = r#"{"policy":{"capacity":5}}"#;
    broker.http("PATCH", "/v1/topics/m", other).await.expect(200);
    publish(&broker, "m", message("waits")).await;
    let definitions = broker.http("GET", "/v1/definitions", "").await.text();
    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    let policy = &show(&broker, "m").await["policy"];
    assert_eq!((&policy["mask_payloads"], &policy["capacity"]), (&json!(true), &json!(5)));
    let peek = as_user(&broker, "eye", "GET", &format!("{Q}/peek"), "").await.expect(200);
    is_masked(&peek["messages"][0]);
    let elsewhere = TestBroker::start().await;
    elsewhere.http("POST", "/v1/definitions", &definitions).await.expect(200);
    assert_eq!(show(&elsewhere, "m").await["policy"]["mask_payloads"], true);
}

/// A door that has no word for it shows a body of no bytes.
#[actix_web::test]
async fn the_other_doors_mask_as_well() {
    let broker = prepared().await;
    publish(&broker, "m", message("waits")).await;
    let credentials = basic("eye");
    let headers = [("Authorization", credentials.as_str())];
    let path = "/topics/m/subscribers/default/messages";
    let answer = http(broker.door("blockqueue"), "GET", path, &headers, b"").await;
    assert!(answer.status == 200 && !answer.text().contains(SECRET), "{}", answer.text());
    let mut wire = Wire::connect(broker.door("okq")).await;
    wire.send("AUTH eye pw-eye\r\nQRPEEK m\r\n").await;
    wire.expect("+OK\r\n*2\r\n$5\r\nwaits\r\n$0\r\n\r\n").await;
}
