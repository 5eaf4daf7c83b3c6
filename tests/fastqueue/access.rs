//! Who may come, and what they may do.

use super::*;

const ADMIN: (&str, &str) = ("authorization", "Basic YWRtaW46cGFzc3dvcmQ=");

async fn ask(broker: &TestBroker, path: &str, headers: &[(&str, &str)]) -> Answer {
    http(broker.door("fastqueue"), "GET", path, headers, b"").await
}

#[actix_web::test]
async fn without_credentials_only_this_machine_comes_in() {
    let broker = TestBroker::start().await;
    ask(&broker, "/topics", &[]).await.expect(200);
    for forwarded in [("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")] {
        assert_eq!(ask(&broker, "/topics", &[forwarded]).await.status, 401);
    }
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let answer = ask(&broker, "/topics", &[]).await;
    let detail =
        "not authenticated: `auth.anonymous` is \"never\", so log in with Basic authentication";
    assert_eq!((answer.status, answer.json()), (401, json!({ "detail": detail })));
    assert!(answer.head.to_lowercase().contains("www-authenticate: basic"), "{}", answer.head);
    ask(&broker, "/topics", &[ADMIN]).await.expect(200);
    assert_eq!(ask(&broker, "/metrics", &[]).await.status, 401);
    assert_eq!(ask(&broker, "/metrics", &[ADMIN]).await.status, 200);
    // Whether the service is well, and what it can do, is no secret.
    for path in ["/health", "/openapi.json", "/docs", "/redoc", "/docs/oauth2-redirect"] {
        assert_eq!(ask(&broker, path, &[]).await.status, 200, "{path}");
    }
}

#[actix_web::test]
async fn wrong_credentials_and_foreign_pages_are_turned_away() {
    let broker = TestBroker::start().await;
    let table = [
        (("authorization", "Basic YWRtaW46d3Jvbmc="), 401),
        (("authorization", "Bearer x"), 401),
        (("authorization", "Digest x"), 400),
        (("authorization", "Basic %%%"), 400),
        (("origin", "https://evil.example"), 403),
    ];
    for (header, status) in table {
        let answer = ask(&broker, "/topics", &[header]).await;
        assert_eq!((answer.status, answer.json()["detail"].is_string()), (status, true));
    }
}

#[actix_web::test]
async fn a_user_sees_and_does_what_it_may() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let json = ("content-type", "application/json");
    let admin = |method: &'static str, path: &'static str, body: &'static str| {
        let address = broker.door("fastqueue");
        async move { http(address, method, path, &[json, ADMIN], body.as_bytes()).await }
    };
    for topic in ["open", "closed"] {
        let body = json!({ "id": topic }).to_string();
        http(broker.door("fastqueue"), "POST", "/topics", &[json, ADMIN], body.as_bytes())
            .await
            .expect(201);
        let more = settings_of(Some(&format!("of-{topic}")), json!({ "topic_id": topic }));
        let body = more.to_string();
        http(broker.door("fastqueue"), "POST", "/queues", &[json, ADMIN], body.as_bytes())
            .await
            .expect(201);
    }
    let user = r#"{"password":"secret","topics":["open"]}"#;
    let native = broker.door("http");
    http(native, "PUT", "/v1/users/ann", &[ADMIN], user.as_bytes()).await.expect(204);
    // ann:secret
    let ann = ("authorization", "Basic YW5uOnNlY3JldA==");
    let address = broker.door("fastqueue");
    let message = br#"{"data":{"n":1}}"#;
    http(address, "POST", "/topics/open/messages", &[json, ann], message).await.expect(201);
    let refused = http(address, "POST", "/topics/closed/messages", &[json, ann], message).await;
    assert_eq!((refused.status, refused.json()["detail"].is_string()), (403, true));
    let topics = ask(&broker, "/topics", &[ann]).await.expect(200);
    assert_eq!(topics["data"].as_array().unwrap().len(), 1);
    let queues = ask(&broker, "/queues", &[ann]).await.expect(200);
    assert_eq!(queues["data"][0]["id"], json!("of-open"));
    for path in ["/queues/of-closed", "/queues/of-closed/messages", "/queues/of-closed/stats"] {
        assert_eq!(ask(&broker, path, &[ann]).await.status, 403, "{path}");
    }
    for (method, path) in [("DELETE", "/queues/of-closed"), ("DELETE", "/topics/closed")] {
        assert_eq!(http(address, method, path, &[ann], b"").await.status, 403, "{path}");
    }
    // Nobody acks what it may not receive.
    let made = admin("POST", "/topics/closed/messages", r#"{"data":{}}"#).await.expect(201);
    let ack = format!("/messages/{}/ack", made["data"][0]["id"].as_str().unwrap());
    http(address, "PUT", &ack, &[ann], b"").await;
    let stats = admin("GET", "/queues/of-closed/stats", "").await.expect(200);
    assert_eq!(stats["num_undelivered_messages"], json!(1));
}
