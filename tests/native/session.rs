//! Browsers that log in: the cookie, the second word, and how sessions end.

use crate::common::*;
use crate::create;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

/// A browser that has logged in.
#[derive(Clone)]
pub struct Browser {
    address: SocketAddr,
    pub cookie: String,
    pub csrf: String,
    /// What the login answered.
    pub login: Value,
}

async fn log_in(address: SocketAddr, login: &Value, headers: &[(&str, &str)]) -> Answer {
    http(address, "POST", "/v1/session", headers, login.to_string().as_bytes()).await
}

fn set_cookie(answer: &Answer) -> String {
    let line = answer.head.lines().find(|line| line.to_lowercase().starts_with("set-cookie: "));
    line.expect("a cookie")["set-cookie: ".len()..].to_owned()
}

impl Browser {
    pub async fn log_in(broker: &TestBroker, login: Value) -> Browser {
        let address = broker.door("http");
        let answer = log_in(address, &login, &[]).await;
        let login = answer.expect(200);
        let cookie = set_cookie(&answer).split(';').next().unwrap().to_owned();
        let csrf = login["csrf"].as_str().unwrap().to_owned();
        Browser { address, cookie, csrf, login }
    }

    /// A request as the page sends it.
    pub async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("Cookie", self.cookie.as_str()), ("octoq-csrf", &self.csrf)];
        http(self.address, method, path, &headers, body.as_bytes()).await
    }

    /// A request with other headers than the page's.
    async fn with(&self, method: &str, path: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("Cookie", self.cookie.as_str())];
        headers.extend(more);
        http(self.address, method, path, &headers, b"").await
    }

    /// The broker knows it no more.
    async fn until_ended(&self) {
        eventually("the session ends", async || {
            let answer = self.ask("GET", "/v1/session", "").await;
            (answer.status == 401).then(|| answer.expect_problem(401, "session_ended"))
        })
        .await;
    }

    pub async fn socket(&self, path: &str) -> WebSocketStream<TcpStream> {
        socket(self.address, path, "Cookie", &self.cookie).await
    }
}

/// A WebSocket with one header more.
pub async fn socket(
    address: SocketAddr,
    path: &str,
    header: &'static str,
    value: &str,
) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    request.headers_mut().insert(header, HeaderValue::from_str(value).unwrap());
    timeout(PATIENCE, client_async(request, stream)).await.unwrap().unwrap().0
}

pub async fn put_user(broker: &TestBroker, name: &str, role: &str) {
    let user = json!({"password": format!("pw-{name}"), "role": role}).to_string();
    assert_eq!(broker.http("PUT", &format!("/v1/users/{name}"), &user).await.status, 204, "{name}");
}

fn admin() -> Value {
    json!({"user": "admin", "password": "password"})
}

#[actix_web::test]
async fn a_login_gives_a_cookie_that_lets_in() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let address = broker.door("http");
    broker.http("GET", "/v1/session", "").await.expect_problem(401, "unauthenticated");
    let answer = log_in(address, &admin(), &[]).await;
    let begun = answer.expect(200);
    assert_eq!(
        (&begun["user"], &begun["role"], &begun["read_only"]),
        (&json!("admin"), &json!("admin"), &json!(false))
    );
    assert!(begun["expires_at_ms"].is_i64() && begun["csrf"].as_str().unwrap().len() == 64);
    assert!(answer.head.to_lowercase().contains("cache-control: no-store"));
    let cookie = set_cookie(&answer);
    let id = cookie.strip_prefix("octoq_session=").unwrap().split(';').next().unwrap();
    assert_eq!(id.len(), 64, "256 bits");
    assert_eq!(cookie, format!("octoq_session={id}; HttpOnly; SameSite=Strict; Path=/"));

    let browser = Browser::log_in(&broker, admin()).await;
    assert_ne!(browser.cookie, cookie.split(';').next().unwrap());
    assert_eq!(
        browser.ask("GET", "/v1/session", "").await.expect(200),
        json!({
            "user": "admin", "role": "admin", "csrf": browser.csrf, "read_only": false,
            "anonymous": false, "may": {"operate": true, "administer": true},
        })
    );
    browser.ask("POST", "/v1/topics", r#"{"name":"t"}"#).await.expect(201);
    assert_eq!(browser.ask("DELETE", "/v1/topics/t", "").await.status, 204);
    // The name is the browser's own, and another cookie beside it does no harm.
    let both = format!("theme=dark; {}", browser.cookie);
    http(address, "GET", "/v1/topics", &[("Cookie", &both)], b"").await.expect(200);
}

#[actix_web::test]
async fn who_needs_no_login_is_told_so() {
    let broker = TestBroker::start().await;
    assert_eq!(
        broker.http("GET", "/v1/session", "").await.expect(200),
        json!({
            "user": null, "role": "admin", "csrf": null, "read_only": false,
            "anonymous": true, "may": {"operate": true, "administer": true},
        })
    );
    put_user(&broker, "eye", "viewer").await;
    let basic = format!("Basic {}", STANDARD.encode("eye:pw-eye"));
    let address = broker.door("http");
    let answer = http(address, "GET", "/v1/session", &[("Authorization", &basic)], b"").await;
    let said = answer.expect(200);
    assert_eq!(
        (&said["user"], &said["role"], &said["csrf"]),
        (&json!("eye"), &json!("viewer"), &Value::Null)
    );
    assert_eq!(said["may"], json!({"operate": false, "administer": false}));
}

#[actix_web::test]
async fn a_wrong_login_is_refused_without_a_window_of_the_browsers_own() {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let address = broker.door("http");
    for login in [
        json!({"user": "admin", "password": "wrong"}),
        json!({"user": "nobody", "password": "password"}),
        json!({"user": "", "password": ""}),
    ] {
        let answer = log_in(address, &login, &[]).await;
        answer.expect_problem(401, "unauthenticated");
        let head = answer.head.to_lowercase();
        assert!(
            !head.contains("set-cookie") && head.contains("www-authenticate: bearer"),
            "{head}"
        );
    }
    for malformed in [
        json!({}),
        json!([]),
        json!({"user": "admin"}),
        json!({"user": "admin", "password": "password", "colour": 1}),
        json!({"user": "admin", "password": "password", "read_only": "yes"}),
    ] {
        log_in(address, &malformed, &[]).await.expect_problem(400, "invalid_request");
    }
    let long = json!({"user": "admin", "password": "x".repeat(70_000)});
    assert_eq!(log_in(address, &long, &[]).await.status, 413);
    let origin = [("Origin", "http://evil.example")];
    log_in(address, &admin(), &origin).await.expect_problem(403, "foreign_origin");
    // A script of the page is answered, and not the browser.
    for (mode, challenge) in [("cors", "bearer"), ("navigate", "basic")] {
        let answer = http(address, "GET", "/v1/topics", &[("Sec-Fetch-Mode", mode)], b"").await;
        answer.expect_problem(401, "unauthenticated");
        let head = answer.head.to_lowercase();
        assert!(head.contains(&format!("www-authenticate: {challenge}")), "{mode}: {head}");
    }
}

#[actix_web::test]
async fn what_changes_something_needs_the_second_word() {
    let broker = TestBroker::start().await;
    let browser = Browser::log_in(&broker, admin()).await;
    let other = Browser::log_in(&broker, admin()).await;
    let purge = "/v1/topics/default/queues/default/purge";
    for (method, path) in
        [("POST", purge), ("DELETE", "/v1/topics/default"), ("PUT", "/v1/users/x")]
    {
        let wrong = [
            vec![],
            vec![("octoq-csrf", "")],
            vec![("octoq-csrf", "0")],
            vec![("octoq-csrf", other.csrf.as_str())],
        ];
        for headers in wrong {
            browser.with(method, path, &headers).await.expect_problem(403, "csrf");
        }
    }
    browser.with("DELETE", "/v1/session", &[]).await.expect_problem(403, "csrf");
    browser.with("GET", "/v1/topics/default", &[]).await.expect(200);
    browser.ask("POST", purge, "").await.expect(200);
    // Who says a password with every request needs no such word, whatever cookie is there.
    let basic = format!("Basic {}", STANDARD.encode("admin:password"));
    browser.with("POST", purge, &[("Authorization", &basic)]).await.expect(200);
    let both = [("octoq-csrf", browser.csrf.as_str()), ("Origin", "http://evil.example")];
    browser.with("POST", purge, &both).await.expect_problem(403, "foreign_origin");
}

#[actix_web::test]
async fn who_logs_out_is_out() {
    let broker = TestBroker::start().await;
    let browser = Browser::log_in(&broker, admin()).await;
    let other = Browser::log_in(&broker, admin()).await;
    let mut sockets =
        [browser.socket("/v1/ws").await, browser.socket("/v1/topics/pubsub/ws").await];
    let out = browser.ask("DELETE", "/v1/session", "").await;
    assert_eq!(out.status, 204);
    assert!(set_cookie(&out).contains("Max-Age=0"));
    let again = browser.ask("GET", "/v1/topics", "").await;
    again.expect_problem(401, "session_ended");
    assert!(
        set_cookie(&again).starts_with("octoq_session=; ")
            && set_cookie(&again).contains("Max-Age=0")
    );
    // What was opened with it is closed.
    for socket in &mut sockets {
        let code = loop {
            match timeout(PATIENCE, socket.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(Some(frame)))) => break u16::from(frame.code),
                Some(Ok(_)) => (),
                end => panic!("{end:?} is no close"),
            }
        };
        assert_eq!(code, 1008);
    }
    assert_eq!(browser.ask("DELETE", "/v1/session", "").await.status, 204, "and stays out");
    assert_eq!(broker.http("DELETE", "/v1/session", "").await.status, 204, "nobody was in");
    other.ask("GET", "/v1/topics", "").await.expect(200);
    // A login replaces the session that the browser had.
    let headers = [("Cookie", other.cookie.as_str())];
    log_in(broker.door("http"), &admin(), &headers).await.expect(200);
    other.ask("GET", "/v1/topics", "").await.expect_problem(401, "session_ended");
}

#[actix_web::test]
async fn a_session_ends_with_its_users_password_role_or_account() {
    let broker = TestBroker::start().await;
    put_user(&broker, "ann", "operator").await;
    let ann = json!({"user": "ann", "password": "pw-ann"});
    for (method, body) in [
        ("PUT", r#"{"password": "pw-ann", "role": "viewer"}"#),
        ("PUT", r#"{"password": "new"}"#),
        ("PUT", r#"{"password": "pw-ann"}"#),
        ("PATCH", r#"{"role": "viewer"}"#),
        ("DELETE", ""),
    ] {
        put_user(&broker, "ann", "operator").await;
        let browser = Browser::log_in(&broker, ann.clone()).await;
        let mut events = stream(&browser, "/v1/topics/pubsub/events").await;
        put_user(&broker, "bob", "viewer").await;
        browser.ask("GET", "/v1/topics", "").await.expect(200);
        let done = broker.http(method, "/v1/users/ann", body).await;
        assert_eq!(done.status, 204);
        let refused = browser.ask("GET", "/v1/topics", "").await;
        refused.expect_problem(401, "session_ended");
        while !events.line().await.is_empty() {}
    }
}

/// An event stream that has begun.
async fn stream(browser: &Browser, path: &str) -> Wire {
    let mut wire = Wire::connect(browser.address).await;
    let (host, cookie) = (browser.address, &browser.cookie);
    let head = format!("Host: {host}\r\nConnection: close\r\nCookie: {cookie}\r\n\r\n");
    wire.send(format!("GET {path} HTTP/1.1\r\n{head}")).await;
    assert!(wire.line().await.starts_with("HTTP/1.1 200 "));
    while wire.line().await != "event: subscribed\n" {}
    wire
}

#[actix_web::test]
async fn a_session_ends_when_its_time_is_up() {
    let broker = TestBroker::start_with(&["ui.session_ttl_ms=1500"]).await;
    let browser = Browser::log_in(&broker, admin()).await;
    // Being used does not help.
    browser.until_ended().await;
    let broker = TestBroker::start_with(&["ui.session_idle_ms=1000"]).await;
    let (used, unused) =
        (Browser::log_in(&broker, admin()).await, Browser::log_in(&broker, admin()).await);
    let mut events = stream(&used, "/v1/topics/pubsub/events").await;
    // Somebody who listens uses it; the other one is swept away unasked.
    let mut other = stream(&unused, "/v1/topics/pubsub/events").await;
    unused.ask("DELETE", "/v1/session", "").await;
    while !other.line().await.is_empty() {}
    let idle = Browser::log_in(&broker, admin()).await;
    let socket = used.socket("/v1/ws").await;
    let since = std::time::Instant::now();
    eventually("the time of the one that nobody uses is up", async || {
        (since.elapsed() > std::time::Duration::from_millis(1200)).then_some(())
    })
    .await;
    idle.ask("GET", "/v1/session", "").await.expect_problem(401, "session_ended");
    used.ask("GET", "/v1/session", "").await.expect(200);
    drop(socket);
    let topic = json!({"body": "there"}).to_string();
    broker.http("POST", "/v1/topics/pubsub/messages", &topic).await.expect(201);
    while !events.line().await.contains("there") {}
}

#[actix_web::test]
async fn a_session_may_be_told_only_to_look() {
    let broker = TestBroker::start().await;
    let only = json!({"user": "admin", "password": "password", "read_only": true});
    let browser = Browser::log_in(&broker, only).await;
    assert_eq!(browser.login["read_only"], true);
    let session = browser.ask("GET", "/v1/session", "").await.expect(200);
    assert_eq!(
        (&session["user"], &session["read_only"], &session["may"]),
        (&json!("admin"), &json!(true), &json!({"operate": false, "administer": false}))
    );
    browser.ask("GET", "/v1/topics/default", "").await.expect(200);
    for (method, path, body) in [
        ("POST", "/v1/topics/default/queues/default/purge", ""),
        ("POST", "/v1/topics/default/messages", r#"{"body":"x"}"#),
        ("POST", "/v1/topics/default/receive", ""),
        ("POST", "/v1/topics", r#"{"name":"new"}"#),
        ("PUT", "/v1/users/admin", r#"{"password":"mine"}"#),
        ("POST", "/v1/tokens", r#"{"name":"mine"}"#),
        ("GET", "/v1/tokens", ""),
        ("GET", "/v1/users", ""),
        ("GET", "/v1/definitions", ""),
        ("POST", "/v1/backup", ""),
    ] {
        browser.ask(method, path, body).await.expect_problem(403, "not_allowed");
    }

    let broker = TestBroker::start_with(&["ui.read_only=true"]).await;
    let browser = Browser::log_in(&broker, admin()).await;
    assert_eq!(browser.login["read_only"], true, "whoever logs in");
    let purge = browser.ask("POST", "/v1/topics/default/queues/default/purge", "").await;
    purge.expect_problem(403, "not_allowed");
    // It clamps, and gives nothing.
    put_user(&broker, "ann", "user").await;
    let ann = Browser::log_in(&broker, json!({"user": "ann", "password": "pw-ann"})).await;
    ann.ask("GET", "/v1/topics/default", "").await.expect_problem(403, "not_allowed");
}

#[actix_web::test]
async fn sessions_are_bounded() {
    let broker = TestBroker::start_with(&["ui.sessions_max=2"]).await;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        browsers.push(Browser::log_in(&broker, admin()).await);
    }
    let mut good = 0;
    for browser in &browsers {
        good += u32::from(browser.ask("GET", "/v1/session", "").await.status == 200);
    }
    assert_eq!(good, 2);
    browsers[4].ask("GET", "/v1/session", "").await.expect(200);
}

#[actix_web::test]
async fn a_cookie_is_secure_where_the_browser_speaks_https() {
    let is_secure = async |settings: &[&str], headers: &[(&str, &str)]| {
        let broker = TestBroker::start_with(settings).await;
        let answer = log_in(broker.door("http"), &admin(), headers).await;
        answer.expect(200);
        set_cookie(&answer).ends_with("; Path=/; Secure")
    };
    let https = [("X-Forwarded-Proto", "https")];
    let proxy = ["ui.trusted_proxies=10.0.0.1,127.0.0.1"];
    assert!(!is_secure(&[], &[]).await);
    assert!(!is_secure(&[], &https).await, "anybody can say that");
    assert!(!is_secure(&["ui.trusted_proxies=10.0.0.1"], &https).await);
    assert!(is_secure(&proxy, &https).await);
    assert!(!is_secure(&proxy, &[("X-Forwarded-Proto", "http")]).await);
    assert!(is_secure(&["ui.cookie_secure=true"], &[]).await);
}

#[actix_web::test]
async fn only_octoqs_own_door_takes_the_cookie() {
    let settings = ["auth.anonymous=never", "fastqueue.mount=/fq", "blockqueue.mount=/bq"];
    let broker = TestBroker::start_with(&settings).await;
    let browser = Browser::log_in(&broker, admin()).await;
    for path in ["/v1/topics", "/metrics"] {
        assert_eq!(browser.ask("GET", path, "").await.status, 200, "{path}");
    }
    for path in ["/fq/topics", "/bq/topics"] {
        assert_eq!(browser.ask("GET", path, "").await.status, 401, "{path}");
    }
    for door in ["fastqueue", "blockqueue"] {
        let headers = [("Cookie", browser.cookie.as_str()), ("octoq-csrf", &browser.csrf)];
        let answer = http(broker.door(door), "GET", "/topics", &headers, b"").await;
        assert_eq!(answer.status, 401, "{door}");
    }
}

#[actix_web::test]
async fn the_pages_can_be_switched_off_and_say_what_they_may_load() {
    let broker = TestBroker::start().await;
    let file = broker.http("GET", "/ui/octoq.js", "").await;
    assert_eq!(file.status, 200);
    let head = file.head.to_lowercase();
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: "));
    let policy = policy.expect("a policy");
    for rule in
        ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    for never in ["unsafe", "http:", "https:", "*", "data:"] {
        assert!(!policy.contains(never), "{policy}");
    }
    let broker = TestBroker::start_with(&["ui.enabled=false"]).await;
    broker.http("GET", "/ui/octoq.js", "").await.expect_problem(404, "not_found");
    let browser = Browser::log_in(&broker, admin()).await;
    browser.ask("GET", "/v1/topics", "").await.expect(200);
}

#[actix_web::test]
async fn a_restart_ends_all_sessions_and_keeps_no_cookie() {
    let broker = TestBroker::start().await;
    let browser = Browser::log_in(&broker, admin()).await;
    create(&broker, json!({"name": "t"})).await;
    let folder = broker.stop().await;
    let id = browser.cookie.strip_prefix("octoq_session=").unwrap();
    for file in std::fs::read_dir(folder.path().join("store")).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            let bytes = std::fs::read(file.path()).unwrap();
            let found = bytes.windows(id.len()).any(|window| window == id.as_bytes());
            assert!(!found, "{:?}", file.path());
        }
    }
    let broker = TestBroker::start_in(folder, &[]).await;
    let browser = Browser { address: broker.door("http"), ..browser };
    browser.ask("GET", "/v1/topics", "").await.expect_problem(401, "session_ended");
}
