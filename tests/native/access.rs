//! Who may come: credentials, rights, and requests that a foreign web page makes a browser send.

use crate::common::*;
use crate::{create, publish};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

async fn as_user(broker: &TestBroker, user: &str, method: &str, path: &str, body: &str) -> Answer {
    let credentials = basic(user, &format!("pw-{user}"));
    http(broker.door("http"), method, path, &[("Authorization", &credentials)], body.as_bytes())
        .await
}

/// A request with just these headers.
async fn raw(broker: &TestBroker, path: &str, headers: &str) -> Answer {
    let mut wire = Wire::connect(broker.door("http")).await;
    wire.send(format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await;
    wire.answer().await
}

#[actix_web::test]
async fn credentials_are_checked_when_they_are_given() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let good = basic("admin", "password");
    for good in [good.clone(), good.replace("Basic", "bAsIc"), format!("{good} ")] {
        let answer = http(address, "GET", "/v1/topics", &[("Authorization", &good)], b"").await;
        assert_eq!(answer.status, 200, "{good}: {}", answer.text());
    }
    for (user, password) in [("admin", "wrong"), ("admin", ""), ("nobody", "password"), ("", "")] {
        let answer =
            http(address, "GET", "/v1/topics", &[("Authorization", &basic(user, password))], b"")
                .await;
        answer.expect_problem(401, "unauthenticated");
        assert!(answer.head.to_lowercase().contains("www-authenticate: basic"), "{}", answer.head);
    }
    let not_text = format!("Basic {}", STANDARD.encode(b"\xff:\xff"));
    let no_colon = format!("Basic {}", STANDARD.encode("admin"));
    for malformed in ["Basic", "Basic %%%", "Digest abc", "", &not_text, &no_colon] {
        let answer = http(address, "GET", "/v1/topics", &[("Authorization", malformed)], b"").await;
        assert_eq!(answer.status, 400, "{malformed}: {}", answer.text());
        answer.expect_problem(400, "invalid_request");
    }
}

#[actix_web::test]
async fn nobody_is_anonymous_where_that_is_set() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    for (method, path) in [
        ("GET", "/v1/topics"),
        ("POST", "/v1/topics/default/receive"),
        ("GET", "/metrics"),
        ("GET", "/v1/topics/pubsub/ws"),
        ("PUT", "/v1/users/ann"),
    ] {
        broker.http(method, path, "{}").await.expect_problem(401, "unauthenticated");
    }
    for path in ["/livez", "/readyz"] {
        assert_eq!(broker.http("GET", path, "").await.status, 200, "{path} needs no credentials");
    }
    let good = basic("admin", "password");
    let answer =
        http(broker.door("http"), "GET", "/v1/topics", &[("Authorization", &good)], b"").await;
    answer.expect(200);
}

/// A page of another site cannot act through the browser of somebody on this machine.
#[actix_web::test]
async fn a_foreign_origin_is_refused_even_with_credentials() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let (own, good) = (format!("http://{address}"), basic("admin", "password"));
    assert_eq!(http(address, "GET", "/v1/topics", &[("Origin", &own)], b"").await.status, 200);
    let foreign = [
        "http://evil.example",
        "null",
        "",
        "http://127.0.0.1",
        &format!("ftp://{address}"),
        &format!("http://{address}.evil.example"),
    ];
    for origin in foreign {
        let answer = http(
            address,
            "GET",
            "/v1/topics",
            &[("Origin", origin), ("Authorization", &good)],
            b"",
        )
        .await;
        assert_eq!(answer.status, 403, "{origin}: {}", answer.text());
        answer.expect_problem(403, "foreign_origin");
    }
}

#[actix_web::test]
async fn an_origin_of_the_configuration_is_welcome() {
    let broker =
        TestBroker::start_with(&["http.origins=https://app.example, https://two.example"]).await;
    for (origin, status) in [
        ("https://app.example", 200),
        ("https://two.example", 200),
        ("http://app.example", 403),
        ("https://app.example:444", 403),
    ] {
        let answer =
            http(broker.door("http"), "GET", "/v1/topics", &[("Origin", origin)], b"").await;
        assert_eq!(answer.status, status, "{origin}: {}", answer.text());
    }
}

/// A page may point a name of its own at this machine; then the Host is that name.
#[actix_web::test]
async fn a_host_that_is_a_name_needs_credentials() {
    let broker = TestBroker::start().await;
    for host in ["localhost", "localhost:1", "127.0.0.1", "[::1]:6790"] {
        let answer = raw(&broker, "/v1/topics", &format!("Host: {host}\r\n")).await;
        assert_eq!(answer.status, 200, "{host}: {}", answer.text());
    }
    for host in [
        "rebound.example",
        "rebound.example:6790",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
    ] {
        let refused = raw(&broker, "/v1/topics", &format!("Host: {host}\r\n")).await;
        refused.expect_problem(401, "unauthenticated");
        // Whoever has only named this machine otherwise is told what to do.
        let detail = refused.json()["detail"].to_string();
        for way in ["127.0.0.1", "localhost", "Basic authentication"] {
            assert!(detail.contains(way), "{detail}");
        }
        // The page's origin and the Host agree: only the missing credentials save the broker.
        let both = format!("Host: {host}\r\nOrigin: http://{host}\r\n");
        raw(&broker, "/v1/topics", &both).await.expect_problem(401, "unauthenticated");
        raw(&broker, "/metrics", &both).await.expect_problem(401, "unauthenticated");
    }
    let good = basic("admin", "password");
    let named = format!("Host: broker.example\r\nAuthorization: {good}\r\n");
    raw(&broker, "/v1/topics", &named).await.expect(200);
}

#[actix_web::test]
async fn what_a_proxy_passed_on_is_not_local() {
    let broker = TestBroker::start().await;
    for header in ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1"] {
        let answer = raw(&broker, "/v1/topics", &format!("Host: localhost\r\n{header}\r\n")).await;
        answer.expect_problem(401, "unauthenticated");
        assert!(answer.text().contains("proxy"), "{}", answer.text());
    }
}

#[actix_web::test]
async fn a_user_may_do_what_its_topics_give() {
    let broker = TestBroker::start().await;
    let ann = json!({"password": "pw-ann", "topics": ["hers"]}).to_string();
    assert_eq!(broker.http("PUT", "/v1/users/ann", &ann).await.status, 204);
    create(&broker, json!({"name": "hers"})).await;
    create(&broker, json!({"name": "other"})).await;
    publish(&broker, "other", json!({"body": "secret"})).await;

    let list = as_user(&broker, "ann", "GET", "/v1/topics", "").await.expect(200);
    let names: Vec<_> =
        list["topics"].as_array().unwrap().iter().map(|topic| topic["name"].clone()).collect();
    assert_eq!(names, [json!("hers")], "only what she may read is listed");
    as_user(&broker, "ann", "POST", "/v1/topics/hers/messages", r#"{"body":"x"}"#)
        .await
        .expect(201);
    let got = as_user(&broker, "ann", "POST", "/v1/topics/hers/receive", "").await.expect(200);
    let ack = json!({"receipt": got["messages"][0]["receipt"]}).to_string();
    assert_eq!(as_user(&broker, "ann", "POST", "/v1/topics/hers/ack", &ack).await.status, 204);

    let receipt = json!({"receipt": "0".repeat(32)}).to_string();
    let extend = json!({"receipt": "0".repeat(32), "ack_deadline_ms": 5}).to_string();
    let refused = [
        ("POST", "/v1/topics/other/messages", r#"{"body":"x"}"#),
        ("POST", "/v1/topics/other/receive", ""),
        ("POST", "/v1/topics/other/queues/default/receive", ""),
        ("POST", "/v1/topics/other/ack", &receipt),
        ("POST", "/v1/topics/other/nack", &receipt),
        ("POST", "/v1/topics/other/extend", &extend),
        ("GET", "/v1/topics/other", ""),
        ("DELETE", "/v1/topics/other", ""),
        ("PUT", "/v1/topics/other/queues/q", ""),
        ("DELETE", "/v1/topics/other/queues/default", ""),
        ("POST", "/v1/topics", r#"{"name":"new"}"#),
        ("PUT", "/v1/users/bob", r#"{"password":"x"}"#),
        ("PUT", "/v1/users/admin", r#"{"password":"x"}"#),
        ("PUT", "/v1/users/ann", r#"{"password":"pw-ann","role":"admin"}"#),
        ("PUT", "/v1/users/ann", r#"{"password":"pw-ann","topics":["other"]}"#),
    ];
    for (method, path, body) in refused {
        let answer = as_user(&broker, "ann", method, path, body).await;
        assert_eq!(answer.status, 403, "{method} {path} {body}: {}", answer.text());
        answer.expect_problem(403, "not_allowed");
    }
    assert_eq!(as_user(&broker, "ann", "DELETE", "/v1/topics/hers", "").await.status, 204);
}

#[actix_web::test]
async fn users_are_made_and_changed_over_http() {
    let broker = TestBroker::start().await;
    for body in [
        "",
        "{}",
        "5",
        r#"{"password":5}"#,
        r#"{"password":"x","colour":1}"#,
        r#"{"password":"x","topics":"all"}"#,
        r#"{"password":""}"#,
        r#"{"password":"","role":"admin"}"#,
    ] {
        broker.http("PUT", "/v1/users/ann", body).await.expect_problem(400, "invalid_request");
    }
    let empty = broker.http("PUT", "/v1/users/admin", r#"{"password":""}"#).await;
    empty.expect_problem(400, "invalid_request");
    assert!(empty.text().contains("password: it must not be empty"), "{}", empty.text());
    as_user(&broker, "ann", "GET", "/v1/topics", "").await.expect_problem(401, "unauthenticated");
    for path in ["/v1/users/a%20b", "/v1/users/a:b", "/v1/users/%ff"] {
        let answer = broker.http("PUT", path, r#"{"password":"x"}"#).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
    }
    let no_role = broker.http("PUT", "/v1/users/ann", r#"{"password":"x","role":"king"}"#).await;
    assert_eq!(no_role.status, 400, "{}", no_role.text());

    let made = broker.http("PUT", "/v1/users/ann", r#"{"password":"pw-ann","role":"admin"}"#).await;
    assert_eq!(made.status, 204);
    as_user(&broker, "ann", "POST", "/v1/topics", r#"{"name":"t"}"#).await.expect(201);
    // Her own password; the old one is of no use at once.
    assert_eq!(
        as_user(&broker, "ann", "PUT", "/v1/users/ann", r#"{"password":"new"}"#).await.status,
        204
    );
    as_user(&broker, "ann", "GET", "/v1/topics", "").await.expect_problem(401, "unauthenticated");

    let folder = broker.stop().await;
    let broker = TestBroker::start_in(folder, &[]).await;
    let answer = http(
        broker.door("http"),
        "GET",
        "/v1/topics/t",
        &[("Authorization", &basic("ann", "new"))],
        b"",
    )
    .await;
    answer.expect(200);
}

#[actix_web::test]
async fn a_role_changes_without_a_new_password() {
    let broker = TestBroker::start().await;
    let ann = json!({"password": "pw-ann", "topics": ["default"]}).to_string();
    assert_eq!(broker.http("PUT", "/v1/users/ann", &ann).await.status, 204);
    publish(&broker, "default", json!({"body": "x"})).await;
    let peek = "/v1/topics/default/queues/default/peek";
    let receive = "/v1/topics/default/receive";
    as_user(&broker, "ann", "GET", peek, "").await.expect(200);
    let viewer = json!({"role": "viewer"}).to_string();
    assert_eq!(broker.http("PATCH", "/v1/users/ann", &viewer).await.status, 204);
    as_user(&broker, "ann", "GET", peek, "").await.expect(200);
    as_user(&broker, "ann", "POST", receive, "").await.expect_problem(403, "not_allowed");
    let users = broker.http("GET", "/v1/users", "").await.expect(200);
    let ann = users["users"].as_array().unwrap().iter().find(|user| user["name"] == "ann");
    assert_eq!(*ann.unwrap(), json!({"name": "ann", "role": "viewer", "topics": ["default"]}));
    let topics = json!({"role": "user", "topics": ["pubsub"]}).to_string();
    assert_eq!(broker.http("PATCH", "/v1/users/ann", &topics).await.status, 204);
    as_user(&broker, "ann", "POST", receive, "").await.expect_problem(403, "not_allowed");
    let own = as_user(&broker, "ann", "PATCH", "/v1/users/ann", &viewer).await;
    own.expect_problem(403, "not_allowed");
    let change = async |user: &str, body: &str| {
        broker.http("PATCH", &format!("/v1/users/{user}"), body).await
    };
    change("nobody", &viewer).await.expect_problem(404, "user_not_found");
    change("ann", r#"{"role":"king"}"#).await.expect_problem(400, "out_of_bounds");
    change("ann", r#"{"password":"x"}"#).await.expect_problem(400, "invalid_request");
    change("admin", &viewer).await.expect_problem(409, "last_admin");

    let broker = TestBroker::start_in(broker.stop().await, &[]).await;
    let topic = as_user(&broker, "ann", "GET", "/v1/topics/pubsub", "").await;
    topic.expect(200);
}
