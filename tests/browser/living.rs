//! The dashboard over time: the broker goes and comes back, figures are held, thousands of topics.

use crate::common::TestBroker;
use crate::page::{Page, ask, with_page};
use crate::process::Process;
use serde_json::json;

const READY: &str = "return document.querySelector('.tile-value')?.textContent;";

#[actix_web::test]
async fn the_page_outlives_the_broker_and_the_chart_shows_the_gap() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let address = broker.http;
    with_page(address, async |page| {
        ask(address, "POST", "/v1/topics/default/messages", json!({"body": "stays"})).await;
        page.open("#/overview").await;
        page.until(READY, json!("1")).await;
        let seen = "return [...document.querySelectorAll('.chart')].map(chart => Number(chart.dataset.seen) > 2);";
        page.until(seen, json!([true, true])).await;
        page.until("return document.querySelector('.chart').dataset.holes;", json!("0")).await;
        broker.kill();
        page.see("Connection lost.").await;
        page.see("Trying again").await;
        page.until("return Number(document.querySelector('.chart').dataset.missing) > 3;", json!(true)).await;
        let broker = Process::start(folder.path(), &[&format!("http.listen={address}")]);
        page.until("return document.querySelector('.lost') === null;", json!(true)).await;
        page.see("Live").await;
        page.until(READY, json!("1")).await;
        page.until("return [...document.querySelectorAll('.chart')].map(chart => chart.dataset.holes);", json!(["1", "1"])).await;
        // It is live again, not only there.
        ask(address, "POST", "/v1/topics/default/messages", json!({"body": "more"})).await;
        page.until(READY, json!("2")).await;
        broker.stop();
    })
    .await;
}

#[actix_web::test]
async fn figures_are_held_and_go_on() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    with_page(address, async |page| {
        page.open("#/overview").await;
        page.until(READY, json!("0")).await;
        page.press("p").await;
        page.see("Paused").await;
        ask(address, "POST", "/v1/topics/default/messages", json!({"body": "x"})).await;
        // As long as two ticks take, nothing may come.
        page.run("await new Promise(done => setTimeout(done, 2200));").await;
        assert_eq!(page.run(READY).await, "0");
        page.press("p").await;
        page.until(READY, json!("1")).await;

        // From screen to screen without a mouse.
        page.press("gt").await;
        page.until("return document.title;", json!("Topics · octoq")).await;
        page.press("/").await;
        page.press("pub").await;
        page.until("return location.hash;", json!("#/topics?filter=pub")).await;
        page.until("return [...document.querySelectorAll('tbody [data-first]')].map(one => one.textContent);", json!(["pubsub"])).await;
        page.press("\u{e00c}").await;
        page.press("?").await;
        page.see("Keyboard").await;
        page.press("\u{e00c}").await;
        page.until("return document.querySelector('dialog') === null;", json!(true)).await;
    })
    .await;
}

/// A tab that nobody sees asks for nothing.
#[actix_web::test]
async fn a_hidden_tab_is_told_nothing_until_it_is_looked_at_again() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    with_page(address, async |page| {
        page.open("#/overview").await;
        page.until(READY, json!("0")).await;
        page.run(
            "window.said = [];\
             const send = WebSocket.prototype.send;\
             WebSocket.prototype.send = function (text) {\
               window.said.push(JSON.parse(text).op);\
               return send.call(this, text);\
             };",
        )
        .await;
        // A browser without a window has none to hide: the page is told as it would be.
        let away = |away: bool| {
            format!(
                "Object.defineProperty(document, 'hidden', {{configurable: true, value: {away}}});\
                 document.dispatchEvent(new Event('visibilitychange'));"
            )
        };
        page.run(&away(true)).await;
        page.until("return window.said;", json!(["pause"])).await;
        ask(address, "POST", "/v1/topics/default/messages", json!({"body": "x"})).await;
        // As long as two ticks take, nothing may come.
        page.run("await new Promise(done => setTimeout(done, 2200));").await;
        assert_eq!(page.run(READY).await, "0");
        page.run(&away(false)).await;
        page.until(READY, json!("1")).await;
        assert_eq!(page.run("return window.said;").await, json!(["pause", "resume", "watch"]));
    })
    .await;
}

/// How long the page's own thread has been at work, in time of the processor.
async fn busy_s(page: &Page<'_>) -> f64 {
    let told = page.devtools("Performance.getMetrics", json!({})).await;
    let metrics = told["metrics"].as_array().unwrap();
    let task = metrics.iter().find(|one| one["name"] == "TaskDuration").unwrap();
    task["value"].as_f64().unwrap()
}

#[actix_web::test]
async fn five_thousand_topics_scroll_smoothly() {
    let broker = TestBroker::start_with(&["store.durability=memory"]).await;
    let address = broker.door("http");
    let topics: Vec<_> = (0..5000)
        .map(|number| json!({"name": format!("topic-{number:04}"), "kind": "broker", "policy": {"durability": "memory"}, "queues": [{"name": "default", "policy": {}}]}))
        .collect();
    for part in topics.chunks(1000) {
        ask(address, "POST", "/v1/definitions", json!({"version": 1, "topics": part})).await;
    }
    with_page(address, async |page| {
        page.open("#/topics?filter=topic-").await;
        page.see("5,000 of 5,002").await;
        page.see("topic-0000").await;
        // Three seconds from the first row to the last, in each frame a bit further.
        let scroll = "
            const box = document.querySelector('.table-box');
            const begin = performance.now();
            let frames = 0, worst = 0, before = begin;
            await new Promise(done => {
                const step = now => {
                    frames += 1;
                    worst = Math.max(worst, now - before);
                    before = now;
                    box.scrollTop = (now - begin) / 3000 * (box.scrollHeight - box.clientHeight);
                    if (now - begin < 3000) requestAnimationFrame(step); else done();
                };
                requestAnimationFrame(step);
            });
            return {frames, worst};";
        // In time of the processor: what else the machine does, the clock would count as well.
        let ticks = json!({"timeDomain": "threadTicks"});
        page.devtools("Performance.setTimeDomain", ticks).await;
        page.devtools("Performance.enable", json!({})).await;
        let before = busy_s(page).await;
        let told = page.run(scroll).await;
        let busy = busy_s(page).await - before;
        page.see("topic-4999").await;
        let frames = told["frames"].as_f64().unwrap();
        println!("{frames} frames in 3 s, {busy:.2} s of the processor: {told}");
        assert!(frames > 10.0 && busy > 0.0, "{told}");
        assert!(frames / busy > 30.0, "{busy} s of the processor for {frames} frames");
        // Only what is in view is drawn.
        let drawn = page.run("return document.querySelectorAll('tbody tr').length;").await;
        assert!(drawn.as_u64().unwrap() < 120, "{drawn}");
        // The broker sorts all of them, not the page some of them.
        ask(address, "POST", "/v1/topics/topic-3777/messages", json!({"body": "x"})).await;
        page.click("Ready").await;
        page.until(
            "return document.querySelector('tbody [data-first]')?.textContent;",
            json!("topic-3777"),
        )
        .await;
        page.until("return location.hash;", json!("#/topics?filter=topic-&sort=ready&desc=1"))
            .await;
    })
    .await;
}
