//! A screen is told whole, then what changes in it.

use crate::*;

#[actix_web::test]
async fn an_overview_is_told_whole_and_then_by_patches() {
    let broker = TestBroker::start().await;
    let mut client = Client::watching(&broker, json!({"screen": "overview"})).await;
    assert!(client.tick().await, "the first is full");
    assert_eq!(client.document["version"], env!("CARGO_PKG_VERSION"));
    client.until("both topics", |document| document["topics"] == 2).await;
    publish(&broker, "default", 7).await;
    client.until("seven are ready", |document| document["messages"]["ready"] == 7).await;
    client.until("the rate", |document| document["rates"]["published_per_s"] == 0.7).await;
    assert!(!client.tick().await, "patches follow");
    for part in ["durability", "connections", "memory", "store", "attention"] {
        assert!(client.document[part].is_object(), "{part}: {}", client.document);
    }
    assert_eq!(client.document["connections"]["websocket"], 1);
}

#[actix_web::test]
async fn a_patched_document_is_the_same_as_a_fresh_one() {
    let broker = TestBroker::start().await;
    create(&broker, "busy", "broker").await;
    let screens = [
        json!({"screen": "overview"}),
        json!({"screen": "topics", "sort": "ready", "desc": true}),
        json!({"screen": "topic", "topic": "busy"}),
        json!({"screen": "dead"}),
        json!({"screen": "connections", "door": "otq"}),
    ];
    let _session = broker.login_otq().await;
    for screen in screens {
        let mut old = Client::watching(&broker, screen.clone()).await;
        old.tick().await;
        publish(&broker, "busy", 3).await;
        let receive = broker.http("POST", "/v1/topics/busy/receive?max=2", "").await.expect(200);
        let receipt = &receive["messages"][0]["receipt"];
        let nack = json!({"receipts": [receipt], "mode": "dead"}).to_string();
        broker.http("POST", "/v1/topics/busy/nack", &nack).await.expect(200);
        let mut compared = 0;
        while compared < 3 {
            old.tick().await;
            let mut fresh = Client::watching(&broker, screen.clone()).await;
            assert!(fresh.tick().await);
            while old.at_ms < fresh.at_ms {
                assert!(!old.tick().await);
            }
            // A tick may have come between.
            if old.at_ms == fresh.at_ms {
                assert_eq!(old.document, fresh.document, "{screen}");
                compared += 1;
            }
        }
    }
}

#[actix_web::test]
async fn topics_are_sorted_filtered_and_paged() {
    let broker = TestBroker::start().await;
    for name in ["eu-a", "eu-b", "EU-c", "us-a"] {
        create(&broker, name, "broker").await;
    }
    publish(&broker, "eu-b", 5).await;
    publish(&broker, "us-a", 9).await;
    let watch = json!({"screen": "topics", "sort": "ready", "desc": true, "filter": "eu"});
    let mut client = Client::watching(&broker, watch).await;
    client.until("eu-b first", |document| document["order"][0] == "eu-b").await;
    assert_eq!(client.document["order"], json!(["eu-b", "EU-c", "eu-a"]));
    assert_eq!((&client.document["total"], &client.document["matching"]), (&json!(6), &json!(3)));
    let row = client.document["rows"]["eu-b"].clone();
    assert_eq!((&row["kind"], &row["durability"]), (&json!("broker"), &json!("memory")));
    assert_eq!((&row["ready"], &row["badges"]), (&json!(5), &json!([])));
    assert_eq!(row["published_per_s"], 0.5);
    assert!(client.document["rows"]["us-a"].is_null());
    // Another screen takes the place of this one.
    let page = json!({"screen": "topics", "offset": 1, "limit": 2, "kind": "broker"});
    client.watch(page).await;
    while !client.tick().await {}
    client.until("its page", |document| document["order"] == json!(["default", "eu-a"])).await;
    let pause = json!({"out": true}).to_string();
    let paused = broker.http("POST", "/v1/topics/eu-a/queues/default/pause", &pause).await;
    assert!(paused.status < 300, "{}", paused.text());
    client
        .until("the badge", |document| document["rows"]["eu-a"]["badges"] == json!(["paused"]))
        .await;
    broker.http("DELETE", "/v1/topics/eu-a", "").await;
    client.until("it has gone", |document| document["order"] == json!(["default", "eu-b"])).await;
    assert!(client.document["rows"]["eu-a"].is_null());
}

#[actix_web::test]
async fn a_topic_shows_its_queues_and_one_that_goes_is_told() {
    let broker = TestBroker::start().await;
    create(&broker, "t", "broker").await;
    publish(&broker, "t", 4).await;
    let mut client = Client::watching(&broker, json!({"screen": "topic", "topic": "t"})).await;
    client.until("its messages", |document| document["messages"]["ready"] == 4).await;
    let queue = &client.document["queues"]["default"];
    assert_eq!(queue["counts"]["ready"], 4, "{queue}");
    assert_eq!(queue["paused"], json!({"in": false, "out": false}));
    for part in ["policy", "totals", "waits"] {
        assert!(queue[part].is_object(), "{part}: {queue}");
    }
    assert!(client.document["policy"].is_object() && client.document["rates"].is_object());
    assert_eq!(broker.http("DELETE", "/v1/topics/t", "").await.status, 204);
    client.refused("topic_not_found").await;
    client.watch(json!({"screen": "overview"})).await;
    assert!(client.tick().await, "the socket lives");
}

#[actix_web::test]
async fn dead_letters_are_shown_and_told_of() {
    let broker = TestBroker::start().await;
    publish(&broker, "default", 2).await;
    let mut dead = Client::watching(&broker, json!({"screen": "dead"})).await;
    dead.tick().await;
    assert_eq!(dead.document, json!({"total": 0, "order": [], "rows": {}}));
    let got = broker.http("POST", "/v1/topics/default/receive?max=2", "").await.expect(200);
    let receipts: Vec<_> =
        got["messages"].as_array().unwrap().iter().map(|message| &message["receipt"]).collect();
    let nack = json!({"receipts": receipts, "mode": "dead"}).to_string();
    broker.http("POST", "/v1/topics/default/nack", &nack).await.expect(200);
    dead.until("two are dead", |document| document["rows"]["default/default"]["dead"] == 2).await;
    let died = dead.document["rows"]["default/default"]["oldest_at_ms"].as_i64().unwrap();
    let path = "/v1/topics/default/queues/default/messages?state=dead&limit=1";
    let first = broker.http("GET", path, "").await.expect(200);
    assert_eq!(first["messages"][0]["dead"]["at_ms"], died);
    assert_eq!(dead.document["order"], json!(["default/default"]));
    let mut overview = Client::watching(&broker, json!({"screen": "overview"})).await;
    let entry = "dead_letters:default";
    overview.until("somebody is told", |document| document["attention"][entry]["value"] == 2).await;
    let told = &overview.document["attention"][entry];
    assert_eq!((&told["topic"], &told["queue"]), (&json!("default"), &json!("default")));
    broker.http("POST", "/v1/topics/default/queues/default/redrive", "{}").await.expect(200);
    dead.until("none is dead", |document| document["total"] == 0).await;
    overview.until("nobody is told", |document| document["attention"][entry].is_null()).await;
}

#[actix_web::test]
async fn the_queue_that_is_meant_is_named() {
    let broker = TestBroker::start().await;
    let queues = json!([{"name": "default"}, {"name": "audit", "policy": {"messages_max": 5}}]);
    let new = json!({"name": "t", "queues": queues}).to_string();
    broker.http("POST", "/v1/topics", &new).await.expect(201);
    publish(&broker, "t", 4).await;
    let pause = |queue: &str| format!("/v1/topics/t/queues/{queue}/pause");
    broker.http("POST", &pause("default"), r#"{"out":true}"#).await.expect(200);
    let mut client = Client::watching(&broker, json!({"screen": "overview"})).await;
    client
        .until("both are told", |document| {
            let of = |kind: &str| document["attention"][format!("{kind}:t")]["queue"].clone();
            of("paused") == "default" && of("near_limit") == "audit"
        })
        .await;
    // Of several none is meant.
    broker.http("POST", &pause("audit"), r#"{"out":true}"#).await.expect(200);
    client
        .until("neither", |document| {
            let paused = &document["attention"]["paused:t"];
            paused.is_object() && paused["queue"].is_null()
        })
        .await;
}

#[actix_web::test]
async fn connections_are_a_screen_too() {
    let broker = TestBroker::start().await;
    let session = broker.login_otq().await;
    let watch = json!({"screen": "connections", "sort": "door", "filter": "admin"});
    let mut client = Client::watching(&broker, watch).await;
    client.until("the session", |document| document["matching"] == 1).await;
    assert_eq!(client.document["total"], 2, "this socket is one as well");
    let id = client.document["order"][0].as_str().unwrap().to_owned();
    assert_eq!(client.document["rows"][&id]["door"], "otq");
    drop(session);
    client.until("it has gone", |document| document["matching"] == 0).await;
}

#[actix_web::test]
async fn a_paused_socket_gets_nothing_until_it_goes_on() {
    let broker = TestBroker::start().await;
    let mut client = Client::watching(&broker, json!({"screen": "overview"})).await;
    let mut other = Client::watching(&broker, json!({"screen": "overview"})).await;
    client.tick().await;
    client.say(json!({"op": "pause"})).await;
    // The answer to this comes behind the pause.
    client.say(json!({"op": "dance"})).await;
    client.refused("invalid_request").await;
    publish(&broker, "default", 5).await;
    other.until("others see it", |document| document["messages"]["ready"] == 5).await;
    other.tick().await;
    client.say(json!({"op": "dance"})).await;
    let next = client.hear().await;
    assert_eq!(next["type"], "error", "no tick came meanwhile: {next}");
    client.say(json!({"op": "resume"})).await;
    assert!(!client.tick().await, "it goes on where it was");
    assert_eq!(client.document["messages"]["ready"], 5);
}
