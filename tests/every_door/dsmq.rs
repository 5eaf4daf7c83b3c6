//! dsmq among the other doors: it takes nothing, so what it puts the others settle, and what the others
//! publish it sees and leaves.

use super::*;

/// A connection of a dsmq client with bare JSON; a get waits until there is something.
struct Dsmq(Wire);

impl Dsmq {
    async fn connect(broker: &TestBroker) -> Self {
        Dsmq(Wire::connect(broker.door("dsmq")).await)
    }

    async fn put(&mut self, topic: &str, message: &str) {
        let put = json!({"action": "put", "topic": topic, "message": message});
        self.0.send(put.to_string()).await;
    }

    /// The next message, once `expected` is there; `""` when nothing is.
    async fn get(&mut self, topic: &str, expected: &str) {
        let get = json!({"action": "get", "topic": topic}).to_string();
        let reply = format!("{{\"message\": {}}}", Value::from(expected));
        self.0.exchange(get, reply).await;
    }
}

#[actix_web::test]
async fn what_is_put_over_dsmq_every_door_receives_and_settles() {
    let broker = TestBroker::start().await;
    let mut all = clients(&broker).await;
    let mut dsmq = Dsmq::connect(&broker).await;
    for to in 0..all.len() {
        let receiver = all[to].door();
        let (name, when) = (format!("dsmq-{receiver}"), format!("from dsmq to {receiver}"));
        topic(&broker, &name).await;
        let body = json!({"to": receiver, "odd": "\u{e4} \"<&>\" \\"}).to_string();
        dsmq.put(&name, &body).await;
        counts_agree(&mut all, &name, Counts { waiting: 1, held: Some(0) }, &when).await;
        let received = all[to].receive(&name).await.expect(&when);
        assert_eq!(
            serde_json::from_str::<Value>(&received.body).expect(&when),
            serde_json::from_str::<Value>(&body).unwrap(),
            "{when}"
        );
        all[to].ack(&name, &received).await;
        counts_agree(&mut all, &name, Counts { waiting: 0, held: Some(0) }, &when).await;
    }
}

#[actix_web::test]
async fn what_any_door_publishes_dsmq_sees_and_leaves() {
    let broker = TestBroker::start().await;
    let mut all = clients(&broker).await;
    for from in 0..all.len() {
        let publisher = all[from].door();
        let (name, when) = (format!("{publisher}-dsmq"), format!("from {publisher} to dsmq"));
        topic(&broker, &name).await;
        let mut dsmq = Dsmq::connect(&broker).await;
        // Its start is fixed before anything is published.
        dsmq.get(&name, "").await;
        all[from].publish(&name, r#"{"n":1}"#).await;
        dsmq.get(&name, r#"{"n":1}"#).await;
        dsmq.get(&name, "").await;
        counts_agree(&mut all, &name, Counts { waiting: 1, held: Some(0) }, &when).await;
    }
}
