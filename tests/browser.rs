//! A real browser shows what octoque clients publish: the WebSocket door as web pages use it.
//!
//! Needs Chromium and its driver, which `tests/run` installs; without them the test fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use std::{
    io::{BufRead as _, BufReader},
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    process::{Child, Command, Stdio},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

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

/// The driver's process, which ends with the test.
struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// On a free port, which it prints.
    fn start() -> Driver {
        for program in [CHROMIUM, CHROMEDRIVER] {
            assert!(
                Path::new(program).exists(),
                "{program} is missing: install chromium and chromium-driver, as tests/run does"
            );
        }
        let mut process = Command::new(CHROMEDRIVER)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split("successfully on port ")
                    .nth(1)?
                    .trim_end_matches('.')
                    .parse::<u16>()
                    .ok()
            })
            .expect("chromedriver says its port");
        // It may say more later and must not be stopped by a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Driver { process, url: format!("http://127.0.0.1:{port}") }
    }

    async fn browser(&self, profile: &Path) -> Client {
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // A page that was left is gone, and its socket with it.
            "--disable-features=BackForwardCache",
        ];
        let mut flags: Vec<_> = flags.map(str::to_owned).into();
        flags.push(format!("--user-data-dir={}", profile.display()));
        let options = json!({"goog:chromeOptions": {"binary": CHROMIUM, "args": flags}});
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(options.as_object().unwrap().clone());
        builder.connect(&self.url).await.expect("chromium starts")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // It has ended by itself when this fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Serves the page on a port of its own: an origin that is not the broker's.
async fn serve_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    actix_web::rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            let length = PAGE.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{PAGE}"
            );
            // A browser that has gone needs no page.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    origin
}

async fn put(otq: &mut Wire, row: &str) {
    otq.exchange("OTQ PUT pubsub 1 BATCH\r\n", "PROCEED\r\n").await;
    otq.exchange(format!("{row}\r\n"), "ENDOFRESP\r\n").await;
}

/// Waits until the page shows these lines and no others.
async fn expect_lines(browser: &Client, expected: &[&str]) {
    let expected = expected.join("\n");
    eventually(&format!("the page shows {expected:?}"), async || {
        let list = browser.find(Locator::Id("frames")).await.ok()?;
        (list.text().await.ok()? == expected).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn a_page_shows_what_an_octoque_client_publishes() {
    let origin = serve_page().await;
    let broker = TestBroker::start_with(&[&format!("http.origins={origin}")]).await;
    let (driver, profile) = (Driver::start(), tempfile::tempdir().unwrap());
    let browser = driver.browser(profile.path()).await;
    let outcome = AssertUnwindSafe(follow(&browser, &broker, &origin)).catch_unwind().await;
    // Also after a failure: the driver alone would leave the browser running.
    let closed = browser.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    closed.unwrap();
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
    let foreign = serve_page().await;
    browser.goto(&format!("{foreign}/?broker={}", broker.door("http"))).await.unwrap();
    expect_lines(browser, &["closed 1006"]).await;
}
