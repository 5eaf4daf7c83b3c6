//! A page shows what octoque clients publish: the WebSocket of one topic as web pages use it.

use crate::common::*;
use crate::driver::{expect_lines, serve, with_browser};
use fantoccini::Client;

/// Shows each frame as a line, and remembers in the tab where it is, so that a reload goes on there.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>subscriber</title>
<ol id="frames"></ol>
<script>
const show = text => {
  const line = document.createElement("li");
  line.textContent = text;
  document.getElementById("frames").append(line);
};
const broker = new URLSearchParams(location.search).get("broker");
const socket = new WebSocket(`ws://${broker}/v1/topics/pubsub/ws${sessionStorage.getItem("position") ?? ""}`);
socket.onmessage = event => {
  const frame = JSON.parse(event.data);
  if (frame.type !== "message") return show(frame.type);
  sessionStorage.setItem("position", `?epoch=${frame.epoch}&seq=${frame.seq}`);
  show(`${frame.seq} ${frame.body}`);
};
socket.onclose = event => show(`closed ${event.code}`);
</script>
"#;

async fn put(otq: &mut Wire, row: &str) {
    otq.exchange("OTQ PUT pubsub 1 BATCH\r\n", "PROCEED\r\n").await;
    otq.exchange(format!("{row}\r\n"), "ENDOFRESP\r\n").await;
}

#[actix_web::test]
async fn a_page_shows_what_an_octoque_client_publishes() {
    let origin = serve(PAGE).await;
    let broker = TestBroker::start_with(&[&format!("http.origins={origin}")]).await;
    with_browser(async |browser| follow(browser, &broker, &origin).await).await;
}

async fn follow(browser: &Client, broker: &TestBroker, origin: &str) {
    let mut otq = broker.login_otq().await;
    let page = format!("{origin}/?broker={}", broker.door("http"));
    browser.goto(&page).await.unwrap();
    expect_lines(browser, &["subscribed"]).await;
    put(&mut otq, "hello").await;
    put(&mut otq, "grüße <b>&amp;").await;
    expect_lines(browser, &["subscribed", "1 hello", "2 grüße <b>&amp;"]).await;

    // Away for two messages, then back at its position: exactly those two, then what follows.
    browser.goto("about:blank").await.unwrap();
    eventually("the page has left", async || {
        let topic = broker.http("GET", "/v1/topics/pubsub", "").await.expect(200);
        (topic["subscribers"] == 0).then_some(())
    })
    .await;
    put(&mut otq, "missed").await;
    put(&mut otq, "missed, too").await;
    browser.goto(&page).await.unwrap();
    expect_lines(browser, &["subscribed", "3 missed", "4 missed, too"]).await;
    browser.refresh().await.unwrap();
    expect_lines(browser, &["subscribed"]).await;
    put(&mut otq, "live").await;
    expect_lines(browser, &["subscribed", "5 live"]).await;

    // A page of another origin, which nobody configured, gets nothing.
    let foreign = serve(PAGE).await;
    browser.goto(&format!("{foreign}/?broker={}", broker.door("http"))).await.unwrap();
    expect_lines(browser, &["closed 1006"]).await;
}
