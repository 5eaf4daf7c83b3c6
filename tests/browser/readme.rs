//! The README's first look, as it is printed: its lines run in a browser's console and in a shell.

use crate::common::*;
use crate::driver::{run, with_browser};
use std::process::Command;

/// The text of the first block in `language` of the section.
fn block<'a>(readme: &'a str, section: &str, language: &str) -> &'a str {
    let (_, rest) = readme.split_once(&format!("\n## {section}\n")).unwrap();
    let (body, _) = rest.split_once("\n## ").unwrap();
    let (_, rest) = body.split_once(&format!("\n```{language}\n")).unwrap();
    rest.split_once("\n```\n").unwrap().0
}

#[actix_web::test]
async fn the_first_look_shows_a_push_in_the_console() {
    let readme = include_str!("../../README.md");
    let part = |language| block(readme, "A look, in five minutes", language);
    let broker = TestBroker::start().await;
    let door = broker.door("http").to_string();
    with_browser(async |browser| {
        browser.goto(&format!("http://{door}/livez")).await.unwrap();
        let listen = "window.shown = []; console.log = (...words) => shown.push(words.join(' '));";
        run(browser, &format!("{listen}\n{}", part("js"))).await;
        eventually("the page listens", async || {
            let topic = broker.http("GET", "/v1/topics/pubsub", "").await.expect(200);
            (topic["subscribers"] == 1).then_some(())
        })
        .await;

        let command = part("sh").replace("127.0.0.1:6790", &door);
        assert!(command.contains(&door), "{command}");
        let ran =
            actix_web::web::block(move || Command::new("bash").args(["-c", &command]).output());
        let printed = String::from_utf8(ran.await.unwrap().unwrap().stdout).unwrap();
        assert!(printed.contains(r#""seq":1,"duplicate":false"#), "{printed}");
        eventually("the console shows the push", async || {
            let shown = run(browser, "return shown;").await;
            (shown == serde_json::json!(["pushed hello browser"])).then_some(())
        })
        .await;
    })
    .await;
}
