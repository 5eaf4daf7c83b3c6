//! Every screen, light and dark, wide and narrow: it loads without an error and without asking a foreign
//! host, axe-core finds nothing serious, and a picture of it goes to `target/screenshots`.

use crate::common::TestBroker;
use crate::page::{Page, ask, make_dead, with_page};
use serde_json::{Value, json};
use std::{fs, net::SocketAddr, path::Path, time::Duration};

/// A place, what is seen there when it has loaded, and the name of its picture.
const SCREENS: [(&str, &str, &str); 17] = [
    ("#/topics", "thumbnails", "topics"),
    ("#/topics?new=1", "Make the topic", "new-topic"),
    ("#/topic/orders", "Queues", "topic"),
    ("#/topic/orders/messages", "customer", "messages"),
    ("#/topic/orders/messages?state=dead&message=dead-1", "Life", "message"),
    ("#/topic/orders/publish", "As curl", "publish"),
    ("#/topic/orders/tail", "nut-17", "tail"),
    ("#/topic/orders/settings", "Dedup window", "settings"),
    ("#/dead", "price service", "dead"),
    ("#/connections", "127.0.0.1", "connections"),
    ("#/console", "topic ls", "console"),
    ("#/console?mode=otq", "PUTACK", "console-otq"),
    ("#/system", "200 ok", "system"),
    ("#/system/config", "http.listen", "config"),
    ("#/system/log", "Copy lines", "log"),
    ("#/system/users", "New token", "users"),
    ("#/system/store", "Backup now", "store"),
];
/// Last: its charts have something to show by then.
const OVERVIEW: (&str, &str, &str) = ("#/overview", "Needs attention", "overview");

const WIDE: (u32, u32) = (1440, 900);
const NARROW: (u32, u32) = (390, 844);

/// Something of everything, and some traffic as long as the test runs.
async fn furnish(address: SocketAddr) {
    let queues = json!([
        {"name": "default", "policy": {"max_deliveries": 3, "backoff_ms": [1000, 5000]}},
        {"name": "billing"},
        {"name": "audit", "policy": {"filter": {"shop": ["north"]}}},
    ]);
    ask(address, "POST", "/v1/topics", json!({"name": "orders", "queues": queues})).await;
    for name in ["mails", "payments", "thumbnails"] {
        ask(address, "POST", "/v1/topics", json!({"name": name})).await;
    }
    ask(address, "POST", "/v1/topics/thumbnails/pause", Value::Null).await;
    let orders: Vec<Value> = (1..=40)
        .map(|number| {
            let order = json!({
                "order": number,
                "customer": {"name": "Ada Lovelace", "city": "London"},
                "lines": [{"sku": "nut-17", "count": number, "price": 0.2}],
                "paid": number % 3 == 0,
            });
            json!({"json": order, "attributes": {"shop": "north"}})
        })
        .collect();
    ask(address, "POST", "/v1/topics/orders/messages", json!(orders)).await;
    let later = json!({"body": "remind me", "delay_ms": 86_400_000});
    ask(address, "POST", "/v1/topics/orders/messages", later).await;
    let failing = json!({"id": "dead-1", "front": true, "json": {"order": 41, "price": null}});
    ask(address, "POST", "/v1/topics/orders/queues/default/messages", failing).await;
    let error = "price service: timeout after 3000 ms";
    make_dead(address, "orders", &["{\"order\": 42}", "{\"order\": 43}"], error).await;
    actix_web::rt::spawn(async move {
        for number in 0.. {
            let mails: Vec<Value> = (0..3 + number % 5)
                .map(|at| json!({"body": format!("mail {number}.{at}")}))
                .collect();
            ask(address, "POST", "/v1/topics/mails/messages", json!(mails)).await;
            let path = format!("/v1/topics/mails/receive?max={}", 2 + number % 6);
            let got = ask(address, "POST", &path, Value::Null).await;
            let receipts: Vec<&Value> =
                got["messages"].as_array().unwrap().iter().map(|one| &one["receipt"]).collect();
            ask(address, "POST", "/v1/topics/mails/ack", json!({"receipts": receipts})).await;
            actix_web::rt::time::sleep(Duration::from_millis(300)).await;
        }
    });
}

fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/vendor/axe.js");
    fs::read_to_string(path).unwrap()
}

/// What is wrong with the page as it is, seriously or worse.
async fn barriers(page: &Page<'_>, axe: &str) -> Value {
    page.browser.execute(axe, Vec::new()).await.unwrap();
    page.run(
        "const {violations} = await axe.run(document, {resultTypes: ['violations']});\
         return violations.filter(one => ['serious', 'critical'].includes(one.impact))\
           .map(one => [one.id, one.help, one.nodes.slice(0, 5).map(node => node.html + ' ' + node.failureSummary)]);",
    )
    .await
}

async fn take(page: &Page<'_>, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), page.browser.screenshot().await.unwrap()).unwrap();
}

#[actix_web::test]
async fn every_screen_loads_clean_is_open_to_all_and_has_its_picture_taken() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    furnish(address).await;
    let axe = axe();
    let mut wrong = Vec::new();
    with_page(address, async |page| {
        page.open("#/overview").await;
        page.see("Needs attention").await;
        let own = [format!("http://{address}/"), format!("ws://{address}/")];
        for (place, expected, name) in SCREENS.into_iter().chain([OVERVIEW]) {
            for (width, size) in [("wide", WIDE), ("narrow", NARROW)] {
                for theme in ["light", "dark"] {
                    page.look(size, theme).await;
                    page.open(place).await;
                    page.see(expected).await;
                    take(page, &format!("{name}-{width}-{theme}.png")).await;
                    // Nothing is cut off at the side: what is wide moves in a box of its own.
                    let wider = "return document.documentElement.scrollWidth - innerWidth;";
                    let wider = page.run(wider).await;
                    if wider.as_i64() > Some(0) {
                        wrong.push(format!("{place} {width}: {wider} pixels too wide"));
                    }
                    for error in page.console_errors().await {
                        wrong.push(format!("{place}: {error}"));
                    }
                    for url in page.requests().await {
                        let local = ["about:", "data:", "blob:", "chrome:"];
                        if !own.iter().any(|own| url.starts_with(own))
                            && !local.iter().any(|local| url.starts_with(local))
                        {
                            wrong.push(format!("{place} asks {url}"));
                        }
                    }
                    for barrier in barriers(page, &axe).await.as_array().unwrap() {
                        wrong.push(format!("{place} {width} {theme}: {barrier}"));
                    }
                }
            }
        }
    })
    .await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
