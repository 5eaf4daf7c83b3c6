//! Who may do what at the dashboard. The page hides what is not allowed; the broker refuses it.

use crate::common::{Answer, TestBroker, http};
use crate::page::{Page, with_page};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// As the administrator, by password.
async fn admin(address: SocketAddr, method: &str, path: &str, body: Value) -> Answer {
    let login = format!("Basic {}", STANDARD.encode("admin:password"));
    let headers = [("Authorization", login.as_str()), ("Content-Type", "application/json")];
    let body = body.to_string();
    let answer = http(address, method, path, &headers, body.as_bytes()).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    answer
}

/// A broker that wants a login of everybody, with a viewer and a masked topic.
async fn guarded() -> TestBroker {
    let broker = TestBroker::start_with(&["auth.anonymous=never"]).await;
    let address = broker.door("http");
    let vera = json!({"password": "looks only", "role": "viewer"});
    admin(address, "PUT", "/v1/users/vera", vera).await;
    let topic = json!({"name": "salaries", "policy": {"mask_payloads": true}});
    admin(address, "POST", "/v1/topics", topic).await;
    let message = json!({"body": "four thousand", "attributes": {"who": "Ada"}});
    admin(address, "POST", "/v1/topics/salaries/messages", message).await;
    admin(address, "POST", "/v1/topics/default/messages", json!({"body": "keep me"})).await;
    broker
}

async fn sign_in(page: &Page<'_>, user: &str, password: &str) {
    page.see("Sign in with a user").await;
    page.refill("User", user).await;
    page.refill("Password", password).await;
    page.click("Sign in").await;
}

/// What a request of the page's own, made by hand, is answered: status and code.
async fn by_hand(page: &Page<'_>, path: &str, csrf: bool) -> Value {
    let script = format!(
        "const {{csrf}} = await (await fetch('/v1/session')).json();\
         const answer = await fetch('{path}', {{method: 'POST', headers: {csrf} ? {{'octoq-csrf': csrf}} : {{}}}});\
         return [answer.status, answer.ok ? null : (await answer.json()).code];"
    );
    page.run(&script).await
}

const PURGE: &str = "/v1/topics/default/queues/default/purge";

#[actix_web::test]
async fn a_viewer_sees_everything_and_changes_nothing() {
    let broker = guarded().await;
    with_page(broker.door("http"), async |page| {
        page.open("#/topics").await;
        sign_in(page, "vera", "wrong").await;
        page.see("do not go together").await;
        sign_in(page, "vera", "looks only").await;
        page.see("salaries").await;
        page.see("viewer").await;
        // The cookie is none of the page's business.
        assert_eq!(page.run("return document.cookie;").await, "");

        page.go("#/topic/default").await;
        page.see("Queues").await;
        for name in ["Purge …", "Delete …", "Pause", "New topic", "Publish"] {
            let script = format!(
                "return [...document.querySelectorAll('main button, main .tabs a')].filter(one => one.textContent.trim() === '{name}').length;"
            );
            assert_eq!(page.run(&script).await, 0, "{name}");
        }
        // A page that shows it all the same: the click reaches the broker, which refuses.
        page.run(
            "const {session} = await import('/ui/state.js');\
             session.set({...session.get(), may: {operate: true, administer: true}});",
        )
        .await;
        page.go("#/topic/default/messages").await;
        page.see("keep me").await;
        page.go("#/topic/default").await;
        page.click("Purge …").await;
        page.click("Purge 1 message").await;
        page.see("not_allowed").await;
        assert_eq!(by_hand(page, PURGE, true).await, json!([403, "not_allowed"]));
        let stats = admin(broker.door("http"), "GET", "/v1/stats", Value::Null).await.json();
        assert_eq!(stats["messages"]["ready"], 2);

        // What is masked stays masked.
        page.open("#/topic/salaries/messages").await;
        page.see("masked").await;
        page.click("1").await;
        page.see("masked by a rule").await;
        assert!(!page.text().await.contains("four thousand"));
        page.click("Sign out").await;
        page.see("Sign in with a user").await;
    })
    .await;
}

#[actix_web::test]
async fn a_role_is_changed_and_the_password_stays() {
    let broker = guarded().await;
    with_page(broker.door("http"), async |page| {
        page.open("#/overview").await;
        page.see("Sign in with a user").await;
        // The cursor is where one begins to type.
        page.until("return document.activeElement.id;", json!("user")).await;
        sign_in(page, "admin", "password").await;
        page.go("#/system/users").await;
        page.see("vera").await;
        page.run(
            "[...document.querySelectorAll('tr')].find(row => row.textContent.includes('vera'))\
             .querySelector('button').click();",
        )
        .await;
        page.see("Change vera").await;
        page.choose("Role", "operator").await;
        page.click("Change").await;
        page.see("vera changed").await;
        page.click("Sign out").await;
        sign_in(page, "vera", "looks only").await;
        page.see("operator").await;
    })
    .await;
}

#[actix_web::test]
async fn a_session_needs_its_token_and_may_be_for_looking_only() {
    let broker = guarded().await;
    with_page(broker.door("http"), async |page| {
        page.open("#/topic/default").await;
        sign_in(page, "admin", "password").await;
        page.click("Purge …").await;
        page.click("Cancel").await;
        assert_eq!(by_hand(page, PURGE, false).await, json!([403, "csrf"]));
        assert_eq!(by_hand(page, PURGE, true).await, json!([200, null]));
        page.click("Sign out").await;
        page.see("Sign in with a user").await;
        page.tick_box("Look only").await;
        sign_in(page, "admin", "password").await;
        page.see("read-only").await;
        page.see("Queues").await;
        let buttons = "return [...document.querySelectorAll('main button')].filter(one => /Purge|Delete|Pause/.test(one.textContent)).length;";
        assert_eq!(page.run(buttons).await, 0);
        let refused = by_hand(page, PURGE, true).await;
        assert_eq!(refused[0], 403, "{refused}");
    })
    .await;
}
