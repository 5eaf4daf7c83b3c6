//! A broker with thousands of topics: ticks stay short, and a page arrives whole all the same.

use crate::*;
use bytes::Bytes;
use octoq::broker::{NewTopic, Op, Reply};
use octoq::queue::*;

const TOPICS: usize = 5000;
/// What a tick may have, the default of `ui.tick_bytes_max`.
const TICK_BYTES_MAX: usize = 20 << 10;

/// Makes them, many at a time.
async fn create_many(broker: &TestBroker) {
    let inside = &broker.server.broker;
    let caller = inside.anonymous();
    let new = |n: usize| NewTopic {
        name: TopicName::parse(format!("a-topic-of-some-length-{n:04}").as_bytes()).unwrap(),
        kind: Kind::Broker,
        policy: TopicPolicy { durability: Level::Memory, ..TopicPolicy::default() },
        queues: vec![(QueueName::default_queue(), QueuePolicy::default())],
        owner: None,
    };
    for start in (0..TOPICS).step_by(500) {
        let making = (start..start + 500).map(|n| inside.create_topic(&caller, new(n)));
        for made in futures_util::future::join_all(making).await {
            made.unwrap();
        }
    }
}

/// Publishes one message to each of the first so many.
async fn publish_to(broker: &TestBroker, topics: usize) {
    let inside = &broker.server.broker;
    let caller = inside.anonymous();
    for n in 0..topics {
        let name = TopicName::parse(format!("a-topic-of-some-length-{n:04}").as_bytes()).unwrap();
        let messages = vec![NewMessage::new(Bytes::from_static(b"x"), Extra::default())];
        let handle = inside.topic(&caller, &name).await.unwrap();
        let published = handle.ask(Op::Publish { to: None, messages }).await.unwrap();
        assert!(matches!(published, Reply::Published(_)), "{published:?}");
    }
}

#[actix_web::test]
async fn a_tick_is_short_whatever_there_is() {
    let broker = TestBroker::start().await;
    create_many(&broker).await;
    let page = json!({"screen": "topics", "sort": "name", "filter": "some", "limit": 200});
    let mut topics = Client::watching(&broker, page).await;
    let whole = |document: &Value| {
        let rows = document["rows"].as_object().map_or(0, |rows| rows.len());
        document["matching"] == TOPICS && rows == 200
    };
    topics.until("all rows have come", whole).await;
    // Every row changes.
    publish_to(&broker, 200).await;
    let changed = |document: &Value| {
        document["rows"].as_object().unwrap().values().all(|row| row["ready"] == 1)
    };
    topics.until("all rows have changed", changed).await;
    let mut overview = Client::watching(&broker, json!({"screen": "overview"})).await;
    overview.until("all topics", |document| document["topics"] == TOPICS + 2).await;
    overview.until("two hundred are ready", |document| document["messages"]["ready"] == 200).await;
    let longest = topics.longest.max(overview.longest);
    assert!(longest <= TICK_BYTES_MAX, "{longest}");
}
