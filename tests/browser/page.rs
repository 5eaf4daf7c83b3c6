//! The dashboard in a browser: where it is, what it shows, what is clicked and typed.

use crate::common::{Answer, eventually, http};
use crate::driver::{run, with_driver};
use crate::process::Http;
use fantoccini::{Client, Locator, elements::Element};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// A page of the dashboard.
pub struct Page<'a> {
    pub browser: &'a Client,
    /// Of the broker.
    pub address: SocketAddr,
    driver: SocketAddr,
    session: String,
}

/// Runs a test at the dashboard of the broker at this address.
pub async fn with_page(address: SocketAddr, test: impl AsyncFnOnce(&Page<'_>)) {
    with_driver(async |browser, driver| {
        let driver = driver.trim_start_matches("http://").parse().unwrap();
        let session = browser.session_id().await.unwrap().unwrap();
        let page = Page { browser, address, driver, session };
        test(&page).await;
    })
    .await;
}

/// How a text stands in an XPath.
fn quoted(text: &str) -> String {
    assert!(!text.contains('"'));
    format!("\"{text}\"")
}

impl Page<'_> {
    /// Loads the page anew at this place (`#/topics`).
    pub async fn open(&self, place: &str) {
        self.browser.goto("about:blank").await.unwrap();
        self.browser.goto(&format!("http://{}/ui{place}", self.address)).await.unwrap();
    }

    /// Goes to another place of the page that is loaded.
    pub async fn go(&self, place: &str) {
        let script = format!("location.hash = {};", json!(place));
        self.browser.execute(&script, Vec::new()).await.unwrap();
    }

    /// What a script in the page returns.
    pub async fn run(&self, script: &str) -> Value {
        run(self.browser, script).await
    }

    /// Waits until a script in the page returns this.
    pub async fn until(&self, script: &str, expected: Value) {
        let mut last = Value::Null;
        let found = eventually_or(async || {
            last = self.run(script).await;
            (last == expected).then_some(())
        })
        .await;
        assert!(found, "{script}\nexpected {expected}\nis       {last}\n{}", self.text().await);
    }

    /// The text of the page, as it is seen.
    pub async fn text(&self) -> String {
        let text = self.run("return document.body.innerText;").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the page shows this text.
    pub async fn see(&self, text: &str) {
        let found = eventually_or(async || self.text().await.contains(text).then_some(())).await;
        assert!(found, "never seen: {text:?}; the page shows\n{}", self.text().await);
    }

    async fn first(&self, xpath: &str) -> Element {
        eventually(xpath, async || {
            let all = self.browser.find_all(Locator::XPath(xpath)).await.ok()?;
            for element in all {
                if matches!(element.is_displayed().await, Ok(true)) {
                    return Some(element);
                }
            }
            None
        })
        .await
    }

    /// Clicks a button, a link or a summary of this name. It may be drawn anew meanwhile.
    pub async fn click(&self, name: &str) {
        let name = quoted(name);
        let is = format!("normalize-space()={name} or @aria-label={name}");
        let xpath = format!(
            "(//dialog[@open] | //body[not(.//dialog[@open])])//*[self::button or self::a or self::summary][{is}]"
        );
        eventually(&format!("click {name}"), async || {
            let element = self.first(&xpath).await;
            (element.is_enabled().await.ok()? && element.click().await.is_ok()).then_some(())
        })
        .await;
    }

    /// The field with this label.
    async fn field(&self, label: &str) -> Element {
        let label = quoted(label);
        let xpath = format!(
            "//*[self::input or self::textarea or self::select][@aria-label={label} or @id=//label[normalize-space()={label}]/@for]"
        );
        self.first(&xpath).await
    }

    /// Types into an empty field.
    pub async fn fill(&self, label: &str, text: &str) {
        self.field(label).await.send_keys(text).await.unwrap();
    }

    /// Types over what is in a field, as a person does: chooses all of it first. A field that is emptied
    /// by the driver is filled again when the page is drawn before something was typed.
    pub async fn refill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.send_keys(&format!("\u{e009}a\u{e000}{text}")).await.unwrap();
    }

    /// Chooses one of the values of a list.
    pub async fn choose(&self, label: &str, value: &str) {
        self.field(label).await.select_by_value(value).await.unwrap();
    }

    /// Gives a file to a field that is not seen.
    pub async fn give_file(&self, label: &str, path: &std::path::Path) {
        let xpath = format!("//input[@type='file' and @aria-label={}]", quoted(label));
        let field = self.browser.find(Locator::XPath(&xpath)).await.unwrap();
        field.send_keys(path.to_str().unwrap()).await.unwrap();
    }

    /// Says a line in the console.
    pub async fn say(&self, line: &str) {
        let input = self.first("//input[@id='line' and not(@readonly)]").await;
        input.send_keys(&format!("{line}\n")).await.unwrap();
    }

    /// Ticks or unticks the box of this name.
    pub async fn tick(&self, label: &str) {
        self.field(label).await.click().await.unwrap();
    }

    /// Ticks or unticks a box within a label that begins so.
    pub async fn tick_box(&self, label: &str) {
        let xpath = format!("//label[starts-with(normalize-space(), {})]", quoted(label));
        self.first(&xpath).await.click().await.unwrap();
    }

    /// Presses a key where the cursor is.
    pub async fn press(&self, key: &str) {
        self.browser.active_element().await.unwrap().send_keys(key).await.unwrap();
    }

    /// A question to the driver beyond the common protocol.
    async fn driver(&self, path: &str, body: Value) -> Value {
        let path = format!("/session/{}/{path}", self.session);
        let driver = self.driver;
        // The broker may live on this thread: it goes on meanwhile.
        let asked = actix_web::rt::task::spawn_blocking(move || {
            Http::connect(driver).unwrap().ask("POST", &path, &body.to_string()).unwrap()
        });
        let (status, mut answer) = asked.await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["value"].take()
    }

    /// Of the DevTools protocol.
    pub async fn devtools(&self, command: &str, params: Value) -> Value {
        self.driver("goog/cdp/execute", json!({"cmd": command, "params": params})).await
    }

    /// Errors on the console since this was asked last.
    pub async fn console_errors(&self) -> Vec<String> {
        let log = self.driver("se/log", json!({"type": "browser"})).await;
        let lines = log.as_array().unwrap().iter().filter(|line| line["level"] == "SEVERE");
        lines.map(|line| line["message"].to_string()).collect()
    }

    /// What the page asked for since this was asked last: addresses of requests and of sockets.
    pub async fn requests(&self) -> Vec<String> {
        let log = self.driver("se/log", json!({"type": "performance"})).await;
        let events = log.as_array().unwrap().iter().map(|line| {
            let event: Value = serde_json::from_str(line["message"].as_str().unwrap()).unwrap();
            event["message"].clone()
        });
        let urls = events.filter_map(|event| match event["method"].as_str()? {
            "Network.requestWillBeSent" => Some(event["params"]["request"]["url"].clone()),
            "Network.webSocketCreated" => Some(event["params"]["url"].clone()),
            _ => None,
        });
        urls.filter_map(|url| url.as_str().map(str::to_owned)).collect()
    }

    /// As wide, as high and as bright as this.
    pub async fn look(&self, (width, height): (u32, u32), theme: &str) {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": theme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }
}

/// Like `eventually`, but tells when it never came.
async fn eventually_or(mut condition: impl AsyncFnMut() -> Option<()>) -> bool {
    let deadline = tokio::time::Instant::now() + crate::common::PATIENCE;
    while tokio::time::Instant::now() < deadline {
        if condition().await.is_some() {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    false
}

/// A request to the broker, which must go well.
pub async fn ask(address: SocketAddr, method: &str, path: &str, body: Value) -> Value {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let headers = [("Content-Type", "application/json")];
    let answer: Answer = http(address, method, path, &headers, text.as_bytes()).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text());
    if answer.body.is_empty() { Value::Null } else { answer.json() }
}

/// Publishes these and gives all of them up: dead letters.
pub async fn make_dead(address: SocketAddr, topic: &str, bodies: &[&str], error: &str) {
    for body in bodies {
        let path = format!("/v1/topics/{topic}");
        ask(address, "POST", &format!("{path}/messages"), json!({"body": body})).await;
        let got = ask(address, "POST", &format!("{path}/receive"), Value::Null).await;
        let receipt = &got["messages"][0]["receipt"];
        let nack = json!({"receipt": receipt, "mode": "dead", "error": error});
        ask(address, "POST", &format!("{path}/nack"), nack).await;
    }
}
