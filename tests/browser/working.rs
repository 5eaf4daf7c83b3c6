//! What people do at the dashboard: publish, watch, find out why a message died and try it again.

use crate::common::{TestBroker, eventually};
use crate::page::{ask, make_dead, with_page};
use serde_json::{Value, json};

/// The number in the tile of this name on the overview.
fn tile(name: &str) -> String {
    format!(
        "const tile = [...document.querySelectorAll('.tile')].find(tile => tile.querySelector('.tile-name').textContent === '{name}'); return tile?.querySelector('.tile-value').textContent;"
    )
}

#[actix_web::test]
async fn a_message_is_published_in_the_page_and_the_count_moves() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    with_page(address, async |page| {
        page.open("#/overview").await;
        page.until(&tile("Ready"), json!("0")).await;
        page.go("#/topics").await;
        page.click("New topic").await;
        page.fill("Name", "orders").await;
        page.click("Make the topic").await;
        page.click("Publish").await;
        page.refill("Body", "{\"order\": 17}").await;
        page.fill("Attributes", "{\"shop\": \"north\"}").await;
        page.run("document.querySelector('button[name=publish]').click();").await;
        page.see("Published as no. 1").await;
        let peeked =
            ask(address, "GET", "/v1/topics/orders/queues/default/peek", Value::Null).await;
        assert_eq!(peeked["messages"][0]["body"], "{\"order\": 17}");
        assert_eq!(peeked["messages"][0]["attributes"], json!({"shop": "north"}));

        page.go("#/overview").await;
        page.until(&tile("Ready"), json!("1")).await;
        // From elsewhere, while the page is open.
        ask(address, "POST", "/v1/topics/orders/messages", json!([{"body": "a"}, {"body": "b"}]))
            .await;
        page.until(&tile("Ready"), json!("3")).await;

        // Found by what is in it, and looked at.
        page.go("#/topic/orders/messages?find=%2Forder%3D17").await;
        page.see("{\"order\": 17}").await;
        page.click("1").await;
        page.see("Life").await;
        page.see("north").await;
        page.click("Hex").await;
        page.see("7b 22 6f 72 64 65 72").await;
    })
    .await;
}

#[actix_web::test]
async fn what_is_published_over_otq_appears_in_the_live_tail() {
    let broker = TestBroker::start().await;
    with_page(broker.door("http"), async |page| {
        let mut otq = broker.login_otq().await;
        page.open("#/topic/pubsub/tail").await;
        page.see("Nothing yet").await;
        page.until("return document.querySelector('.tail-said')?.dataset.following;", json!("yes"))
            .await;
        otq.exchange(
            "OTQ PUBLISH pubsub 1 BATCH\r\nhello from otq\r\n",
            "PROCEED\r\nENDOFRESP\r\n",
        )
        .await;
        page.see("hello from otq").await;
        // Paused: counted, not shown.
        page.click("Pause the tail").await;
        otq.exchange("OTQ PUBLISH pubsub 1 BATCH\r\nunseen\r\n", "PROCEED\r\nENDOFRESP\r\n").await;
        page.see("1 left out").await;
        assert!(!page.text().await.contains("unseen"));
        page.click("Go on").await;
        otq.exchange("OTQ PUBLISH pubsub 1 BATCH\r\nseen again\r\n", "PROCEED\r\nENDOFRESP\r\n")
            .await;
        page.see("seen again").await;

        // A queue is followed as well, and keeps what it has.
        page.go("#/topic/default/tail").await;
        page.see("Nothing yet").await;
        otq.exchange("OTQ PUT default 1 BATCH\r\nfor the queue\r\n", "PROCEED\r\nENDOFRESP\r\n")
            .await;
        page.see("for the queue").await;
        otq.exchange("OTQ GET default 1 BATCH\r\n", "PROCEED\r\nfor the queue\r\nENDOFRESP\r\n")
            .await;
    })
    .await;
}

#[actix_web::test]
async fn a_dead_letter_is_understood_edited_and_redriven() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    make_dead(address, "default", &["{\"price\": null}", "second", "third"], "no price").await;
    with_page(address, async |page| {
        page.open("#/dead").await;
        page.see("no price").await;
        page.see("rejected").await;
        page.click("Show message 1").await;
        page.see("no price").await;
        page.click("Edit and redrive …").await;
        page.refill("Body", "{\"price\": 2}").await;
        page.click("Redrive the edited message").await;
        page.see("the dead letter is gone").await;
        let peeked =
            ask(address, "GET", "/v1/topics/default/queues/default/peek", Value::Null).await;
        assert_eq!(peeked["messages"][0]["body"], "{\"price\": 2}");

        // The others: counted by a dry run first, then by selection.
        page.open("#/dead").await;
        page.click("Redrive …").await;
        page.click("Dry run").await;
        page.see("2 dead letters would go").await;
        page.click("Cancel").await;
        page.tick("Choose message 2 of default").await;
        page.click("Redrive").await;
        page.see("1 dead letter redriven").await;
        page.until(
            "return document.querySelectorAll('[aria-label=\"Dead letters\"] tbody tr').length;",
            json!(1),
        )
        .await;
        let stats = ask(address, "GET", "/v1/stats", Value::Null).await;
        assert_eq!(
            (&stats["messages"]["ready"], &stats["messages"]["dead"]),
            (&json!(2), &json!(1))
        );
    })
    .await;
}

#[actix_web::test]
async fn names_and_bodies_full_of_markup_stay_text() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let evil = "<img src=x onerror=\"window.broken=1\"><script>window.broken=2</script>";
    let encoded: String = evil.bytes().map(|byte| format!("%{byte:02X}")).collect();
    ask(address, "POST", "/v1/topics", json!({"name": evil})).await;
    ask(address, "POST", "/v1/topics", json!({"name": "__proto__"})).await;
    let attributes = json!({evil: evil, "__proto__": evil});
    let message = json!({"json": {evil: evil}, "attributes": attributes});
    ask(address, "POST", &format!("/v1/topics/{encoded}/messages"), message).await;
    make_dead(address, &encoded, &[evil], evil).await;
    with_page(address, async |page| {
        let places = [
            "#/overview".to_owned(),
            "#/topics".to_owned(),
            format!("#/topic/{encoded}"),
            format!("#/topic/{encoded}/messages?state=dead"),
            format!("#/topic/{encoded}/tail"),
            "#/dead".to_owned(),
        ];
        for place in &places {
            page.open(place).await;
            page.see("<img src=x onerror=").await;
        }
        page.click("Show message 1").await;
        page.see("Life").await;
        page.click("Text").await;
        page.open(&format!("#/topic/{encoded}/messages")).await;
        page.click("2").await;
        page.see("Attributes").await;
        let made = "return [window.broken ?? null, document.querySelectorAll('main img, main script').length];";
        assert_eq!(page.run(made).await, json!([null, 0]));
        page.open("#/topic/__proto__").await;
        page.see("__proto__").await;
        page.see("Queues").await;
    })
    .await;
}

#[actix_web::test]
async fn what_would_be_lost_is_named_and_much_of_it_wants_the_name_typed() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let many: Vec<Value> = (0..1001).map(|number| json!({"body": number.to_string()})).collect();
    for part in many.chunks(500) {
        ask(address, "POST", "/v1/topics/default/messages", json!(part)).await;
    }
    with_page(address, async |page| {
        page.open("#/topic/default").await;
        page.click("Purge …").await;
        page.see("1,001 messages").await;
        let button =
            "return [...document.querySelectorAll('dialog footer button')].at(-1).disabled;";
        page.until(button, json!(true)).await;
        page.fill("Type default to go on", "defaul").await;
        page.until(button, json!(true)).await;
        page.fill("Type default to go on", "t").await;
        page.until(button, json!(false)).await;
        page.click("Purge 1,001 messages").await;
        page.see("1,001 messages purged").await;
        let stats = ask(address, "GET", "/v1/stats", Value::Null).await;
        assert_eq!(stats["messages"]["ready"], 0);

        // A few are named as well, but a click is enough.
        ask(address, "POST", "/v1/topics/default/messages", json!({"body": "x"})).await;
        page.until(
            "return [...document.querySelectorAll('a.num')].map(a => a.textContent);",
            json!(["1"]),
        )
        .await;
        page.click("Purge …").await;
        page.click("Purge 1 message").await;
        page.see("1 message purged").await;
    })
    .await;
}

#[actix_web::test]
async fn the_console_speaks_otq_and_the_verbs() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    with_page(address, async |page| {
        page.open("#/console").await;
        page.say("topic new mill").await;
        page.see("\"name\": \"mill\"").await;
        page.say("put mill 'one nut'").await;
        page.see("\"seq\": 1").await;
        page.say("topic pause nosuch").await;
        page.see("topic_not_found").await;
        page.go("#/console?mode=otq").await;
        let prompt = "return document.querySelector('label[for=line]').textContent;";
        page.until(prompt, json!("otq")).await;
        page.say("get mill 1 batch").await;
        page.see("one nut").await;
        page.say("put mill 2 batch").await;
        page.until(prompt, json!("row (2 left)")).await;
        page.say("first").await;
        page.say("second").await;
        let counted = "const {queues} = await (await fetch('/v1/topics/mill')).json(); return queues[0].ready;";
        page.until(counted, json!(2)).await;
        // What was said is remembered.
        page.press("\u{e013}").await;
        page.until("return document.getElementById('line').value;", json!("put mill 2 batch")).await;
    })
    .await;
}

#[actix_web::test]
async fn definitions_leave_as_a_file_and_come_back() {
    let broker = TestBroker::start().await;
    let address = broker.door("http");
    let folder = tempfile::tempdir().unwrap();
    ask(address, "POST", "/v1/topics", json!({"name": "orders"})).await;
    with_page(address, async |page| {
        let downloads = json!({"behavior": "allow", "downloadPath": folder.path()});
        page.devtools("Page.setDownloadBehavior", downloads).await;
        page.open("#/system/store").await;
        page.click("Export").await;
        let file = folder.path().join("octoq-definitions.json");
        let text = eventually("the file is there", async || {
            let text = std::fs::read_to_string(&file).ok()?;
            serde_json::from_str::<Value>(&text).ok()
        })
        .await;
        let names: Vec<_> =
            text["topics"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["default", "pubsub", "orders"]);
        ask(address, "DELETE", "/v1/topics/orders", Value::Null).await;
        page.give_file("Definitions to import", &file).await;
        page.see("Import these definitions?").await;
        page.see("topic orders, queue orders/default").await;
        assert_eq!(
            ask(address, "GET", "/v1/topics", Value::Null).await["topics"]
                .as_array()
                .unwrap()
                .len(),
            2
        );
        page.click("Import").await;
        page.see("2 made, 0 changed, 0 refused").await;
        ask(address, "GET", "/v1/topics/orders/queues/default", Value::Null).await;
        // What is no such text is told.
        std::fs::write(&file, "{\"version\": 9, \"topics\": []}").unwrap();
        page.give_file("Definitions to import", &file).await;
        page.see("version 9 is not known").await;
    })
    .await;
}
