//! `/ui/octoq.js` in a page of another site: it publishes, follows, works, asks and replies, and
//! goes on by itself when the broker is killed and comes back.

use crate::driver::{expect_lines, run, serve, with_browser};
use crate::process::{Http, Process};
use fantoccini::Client;
use serde_json::json;

/// Shows what comes as lines, and leaves `octoq` to the test.
const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>module</title>
<ol id="frames"></ol>
<script type="module">
const show = text => {
  const line = document.createElement("li");
  line.textContent = text;
  document.getElementById("frames").append(line);
};
const broker = new URLSearchParams(location.search).get("broker");
const { Octoq } = await import(`http://${broker}/ui/octoq.js`);
window.states = [];
const octoq = new Octoq({ reconnectMinMs: 20, reconnectMaxMs: 200, onState: state => states.push(state) });
window.octoq = octoq;
window.news = octoq.subscribe("pubsub", message => {
  show(message.body instanceof Uint8Array ? `bytes ${message.body}` : `news ${message.body}`);
}, { onGap: gap => show(`gap ${gap.from} ${gap.through}`) });
window.work = octoq.consume("default", async delivery => {
  if (delivery.text() === "hard" && delivery.attempt === 1) throw new Error("too hard");
  if (delivery.attributes["reply-to"]) await octoq.reply(delivery, { json: { re: delivery.json() } });
  else show(`work ${delivery.text()} ${delivery.attempt}`);
}, { prefetch: 10 });
octoq.options.onError = () => {};
await Promise.all([news.ready, work.ready]);
show("ready");
</script>
"#;

fn publish(broker: &Process, topic: &str, body: &str) {
    let path = format!("/v1/topics/{topic}/messages");
    let mut http = Http::connect(broker.http).unwrap();
    let (status, _) = http.ask("POST", &path, &json!({"body": body}).to_string()).unwrap();
    assert_eq!(status, 201);
}

#[actix_web::test]
async fn a_page_goes_on_by_itself_after_the_broker_was_killed() {
    let origin = serve(PAGE).await;
    let folder = tempfile::tempdir().unwrap();
    let origins = format!("http.origins={origin}");
    let broker = Process::start(folder.path(), &[&origins]);
    with_browser(async |browser| {
        let address = broker.http;
        browser.goto(&format!("{origin}/?broker={address}")).await.unwrap();
        expect_lines(browser, &["ready"]).await;
        let broker = talk(browser, broker).await;

        // Killed while a publish is on its way, and nothing is there for a while.
        broker.kill();
        let ask = "window.unsure = octoq.publish('pubsub', 'unsure').then(() => 'stored', error => error.code); return 1;";
        run(browser, ask).await;
        crate::common::eventually("the page has noticed", async || {
            (run(browser, "return octoq.state;").await != "open").then_some(())
        })
        .await;
        let broker =
            Process::start(folder.path(), &[&origins, &format!("http.listen={address}")]);
        let unsure = run(browser, "return await unsure;").await;
        assert!(unsure == "stored" || unsure == "connection_lost", "{unsure}");
        if unsure != "stored" {
            publish(&broker, "pubsub", "unsure");
        }
        publish(&broker, "pubsub", "after");
        publish(&broker, "default", "again");
        let lines = [
            "ready", "news one", "news two", "bytes 255,0", "work first 1", "work hard 2",
            "news unsure", "news after", "work again 1",
        ];
        // Messages of two topics may come in any order.
        crate::common::eventually("everything has come once, and no gap", async || {
            let script = "return [...document.querySelectorAll('li')].map(li => li.textContent).sort();";
            let mut expected: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
            expected.sort();
            (run(browser, script).await == json!(expected)).then_some(())
        })
        .await;
        let order = "return [...document.querySelectorAll('li')].map(li => li.textContent).filter(text => text.startsWith('news'));";
        assert_eq!(run(browser, order).await, json!(["news one", "news two", "news unsure", "news after"]));

        // A publish that may be sent again is stored once, whatever happens in between.
        let sure = "window.retried = octoq.publish('pubsub', 'sure', {retry: true}); return 1;";
        run(browser, sure).await;
        broker.kill();
        run(browser, "window.also = octoq.publish('pubsub', 'surely', {retry: true}); return 1;").await;
        let broker = Process::start(folder.path(), &[&origins, &format!("http.listen={address}")]);
        let placed = run(browser, "return [await retried, await also];").await;
        assert!(placed[0]["seq"].as_u64() < placed[1]["seq"].as_u64(), "{placed}");
        publish(&broker, "pubsub", "end");
        crate::common::eventually("the page hears the end", async || {
            (run(browser, order).await[6] == "news end").then_some(())
        })
        .await;
        assert_eq!(
            run(browser, order).await,
            json!(["news one", "news two", "news unsure", "news after", "news sure", "news surely", "news end"])
        );

        // What was closed by the page stays closed.
        let refused = run(browser, "octoq.close(); await octoq.publish('pubsub', 'x');").await;
        assert_eq!(refused["code"], "closed");
        broker.stop();
    })
    .await;
}

/// Everything a page can do while all is well.
async fn talk(browser: &Client, broker: Process) -> Process {
    let placed = run(browser, "return await octoq.publish('pubsub', 'one');").await;
    assert_eq!((&placed["seq"], &placed["durability"]), (&json!(1), &json!("async")));
    publish(&broker, "pubsub", "two");
    run(browser, "await octoq.publish('pubsub', new Uint8Array([255, 0]));").await;
    expect_lines(browser, &["ready", "news one", "news two", "bytes 255,0"]).await;

    let many = "return await octoq.publishAll('default', ['first', {body: 'hard'}]);";
    let results = run(browser, many).await;
    assert_eq!((&results[0]["seq"], &results[1]["seq"]), (&json!(1), &json!(2)));
    let lines = ["ready", "news one", "news two", "bytes 255,0", "work first 1", "work hard 2"];
    expect_lines(browser, &lines).await;

    let asked = "const reply = await octoq.request('default', {json: [1]}); return [reply.json(), reply.attributes];";
    assert_eq!(run(browser, asked).await, json!([{"re": [1]}, {}]));
    let refused = run(browser, "await octoq.publish('none', 'x');").await;
    assert_eq!(refused["code"], "topic_not_found");
    let none = "const s = octoq.subscribe('none', () => {}); await s.ready;";
    assert_eq!(run(browser, none).await["code"], "topic_not_found");
    let position = run(browser, "return news.position;").await;
    assert_eq!(position["seq"], 3, "{position}");
    assert_eq!(run(browser, "return [octoq.state, octoq.asked.size];").await, json!(["open", 0]));
    broker
}
