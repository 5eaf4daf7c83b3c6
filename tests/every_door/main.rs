//! Every door against every other: what one publishes the other receives, and what is done there is
//! done everywhere. A further door is one more [`Client`] in [`clients`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../common/mod.rs"]
mod common;

mod clients;
mod dsmq;

use clients::{Client, Counts, clients};
use common::*;
use serde_json::{Value, json};

/// A broker topic with the one queue `default`, which every door has a name for.
async fn topic(broker: &TestBroker, name: &str) {
    let new = json!({"name": name, "queues": [{"name": "default", "policy": {"returns": "back"}}]});
    broker.http("POST", "/v1/topics", &new.to_string()).await.expect(201);
}

/// Every door that counts says the same, at the latest soon.
async fn counts_agree(all: &mut [Box<dyn Client>], topic: &str, counts: Counts, when: &str) {
    for client in all {
        let what = format!("{when}: {} counts {counts:?} at {topic}", client.door());
        eventually(&what, async || {
            let said = client.counts(topic).await;
            let same = said.is_none_or(|said| {
                said.waiting == counts.waiting && (said.held.is_none() || said.held == counts.held)
            });
            same.then_some(())
        })
        .await;
    }
}

#[actix_web::test]
async fn what_one_door_publishes_every_door_receives_and_settles() {
    let broker = TestBroker::start().await;
    let mut all = clients(&broker).await;
    for from in 0..all.len() {
        for to in 0..all.len() {
            let (publisher, receiver) = (all[from].door(), all[to].door());
            let name = format!("{publisher}-{receiver}");
            let when = format!("from {publisher} to {receiver}");
            topic(&broker, &name).await;
            let body = json!({"from": publisher, "to": receiver, "odd": "\u{e4} \"<&>\" \\"});
            let published = all[from].publish(&name, &body.to_string()).await;
            counts_agree(&mut all, &name, Counts { waiting: 1, held: Some(0) }, &when).await;

            let received = all[to].receive(&name).await.expect(&when);
            let text: Value = serde_json::from_str(&received.body).expect(&when);
            assert_eq!(text, body, "{when}");
            if let (Some(published), Some(received), true) =
                (&published, &received.id, all[from].ids() == all[to].ids())
            {
                assert_eq!(published, received, "{when}");
            }
            let held = Counts { waiting: 0, held: Some(u64::from(all[to].holds())) };
            counts_agree(&mut all, &name, held, &when).await;

            all[to].ack(&name, &received).await;
            counts_agree(&mut all, &name, Counts { waiting: 0, held: Some(0) }, &when).await;
            for client in &mut all {
                let left = client.receive(&name).await.map(|received| received.body);
                assert_eq!(left, None, "{when}, then at {}", client.door());
            }
        }
    }
}

/// What is held at one door is not to be had at any other, and what is given back is.
#[actix_web::test]
async fn what_one_door_holds_no_other_gets() {
    let broker = TestBroker::start().await;
    let mut all = clients(&broker).await;
    for holder in 0..all.len() {
        let (door, name) = (all[holder].door(), format!("held-{holder}"));
        if !all[holder].holds() {
            continue;
        }
        topic(&broker, &name).await;
        all[0].publish(&name, r#"{"n":1}"#).await;
        all[holder].receive(&name).await.expect(door);
        for client in &mut all {
            let got = client.receive(&name).await.map(|received| received.body);
            assert_eq!(got, None, "{} gets what {door} holds", client.door());
        }
        let path = format!("/v1/topics/{name}/nack");
        let held = broker.http("GET", &format!("/v1/topics/{name}"), "").await.expect(200);
        assert_eq!(held["queues"][0]["in_flight"], 1, "{door}");
        let ids = broker_ids(&broker, &name).await;
        let nack = json!({"ids": ids, "mode": "release"}).to_string();
        broker.http("POST", &path, &nack).await.expect(200);
        counts_agree(&mut all, &name, Counts { waiting: 1, held: Some(0) }, door).await;
    }
}

/// The ids of all that the queue `default` of a topic holds in flight, as the broker knows them.
async fn broker_ids(broker: &TestBroker, topic: &str) -> Vec<String> {
    use octoq::broker::{Op, Reply};
    use octoq::queue::{State, TopicName};
    let inside = &broker.server.broker;
    let name = TopicName::parse(topic).unwrap();
    let handle = inside.topic(&inside.anonymous(), &name).await.unwrap();
    let list = Op::List { queue: None, state: State::InFlight, after: None, max: 10 };
    match handle.ask(list).await.unwrap() {
        Reply::Listed(page) => {
            page.views.iter().map(|view| view.message.id().to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}
