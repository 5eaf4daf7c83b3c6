//! The browser, driven; and pages for it.

use fantoccini::{Client, ClientBuilder, Locator};
use futures_util::FutureExt as _;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
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

use crate::common::eventually;

const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

/// The driver's process, which ends with the test.
pub struct Driver {
    process: Child,
    url: String,
}

impl Driver {
    /// On a free port, which it prints.
    pub fn start() -> Driver {
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

    pub async fn browser(&self, profile: &Path) -> Client {
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
        flags.push("--window-size=1440,900".to_owned());
        let options = json!({
            "goog:chromeOptions": {"binary": CHROMIUM, "args": flags},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
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

/// Serves a page on a port of its own: an origin that is not the broker's.
pub async fn serve(page: &'static str) -> String {
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
            let length = page.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
            );
            // A browser that has gone needs no page.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    origin
}

/// Runs a test in a browser that is closed at its end, also after a failure: the driver alone would
/// leave it running.
pub async fn with_browser(test: impl AsyncFnOnce(&Client)) {
    with_driver(async |browser, _| test(browser).await).await;
}

/// The same, and the driver's address is told: it can do more than the protocol has words for.
pub async fn with_driver(test: impl AsyncFnOnce(&Client, &str)) {
    let (driver, profile) = (Driver::start(), tempfile::tempdir().unwrap());
    let browser = driver.browser(profile.path()).await;
    let outcome = AssertUnwindSafe(test(&browser, &driver.url)).catch_unwind().await;
    let closed = browser.close().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
    closed.unwrap();
}

/// What a promise in the page comes to; a refusal comes to its code.
pub async fn run(browser: &Client, script: &str) -> Value {
    let script = format!(
        "const done = arguments[0];\
         (async () => {{ {script} }})().then(done, error => done({{code: error.code, message: error.message}}));"
    );
    browser.execute_async(&script, Vec::new()).await.unwrap()
}

/// Waits until the page shows these lines and no others.
pub async fn expect_lines(browser: &Client, expected: &[&str]) {
    let expected = expected.join("\n");
    eventually(&format!("the page shows {expected:?}"), async || {
        let list = browser.find(Locator::Id("frames")).await.ok()?;
        (list.text().await.ok()? == expected).then_some(())
    })
    .await;
}
