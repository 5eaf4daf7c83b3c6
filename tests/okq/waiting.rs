//! Watching a queue and consuming it, as the broker offers it to every door; and what waits here.

use super::common::{PATIENCE, TestBroker, eventually};
use super::{OK, connect, dialogue, expect_connections, expect_open, line};
use octoq::broker::{BrokerError, Op, Reply, TopicHandle};
use octoq::queue::{NewMessage, Receive, TopicName};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

async fn default_topic(broker: &TestBroker) -> TopicHandle {
    let (broker, name) = (&broker.server.broker, TopicName::parse("default").unwrap());
    broker.topic(&broker.anonymous(), &name).await.unwrap()
}

fn publish(bodies: &'static [&'static str]) -> Op {
    let messages = bodies.iter().map(|body| NewMessage::plain(*body)).collect();
    Op::Publish { to: None, messages }
}

fn receive(wait: Option<Duration>, take: bool) -> Op {
    let request = Receive {
        max: 1,
        bytes_max: 1,
        ack_deadline: Some(if wait.is_some() { LONG } else { Duration::from_millis(50) }),
        take,
        from_back: false,
    };
    Op::Receive { queue: None, request, wait }
}

async fn expect_waiters(topic: &TopicHandle, count: usize) {
    eventually(&format!("{count} wait"), async || {
        (topic.describe().await.unwrap().waiters == count).then_some(())
    })
    .await;
}

#[actix_web::test]
async fn watchers_are_all_told_and_receivers_go_first() {
    let broker = TestBroker::start().await;
    let topic = default_topic(&broker).await;
    let watch = |wait| topic.ask(Op::Watch { queue: None, wait });
    assert_eq!(watch(Duration::ZERO).await, Ok(Reply::Ready(false)));
    assert_eq!(watch(Duration::from_millis(20)).await, Ok(Reply::Ready(false)));
    // One message, one receiver that waits: nothing is left to tell of.
    let (received, watched, published) = tokio::join!(
        topic.ask(receive(Some(LONG), true)),
        watch(Duration::from_millis(200)),
        async {
            expect_waiters(&topic, 2).await;
            topic.ask(publish(&["a"])).await
        }
    );
    assert!(matches!(received, Ok(Reply::Delivered(messages)) if messages.len() == 1));
    assert_eq!(watched, Ok(Reply::Ready(false)));
    assert!(matches!(published, Ok(Reply::Published(_))));
    // Three watchers, one message: all are told.
    let (one, two, three, _) = tokio::join!(watch(LONG), watch(LONG), watch(LONG), async {
        expect_waiters(&topic, 3).await;
        topic.ask(publish(&["b"])).await
    });
    assert_eq!([one, two, three], [const { Ok(Reply::Ready(true)) }; 3]);
    assert_eq!(watch(LONG).await, Ok(Reply::Ready(true)), "as long as it is there");
    // It is held, misses its deadline, and is there again.
    assert!(
        matches!(topic.ask(receive(None, false)).await, Ok(Reply::Delivered(held)) if held.len() == 1)
    );
    assert_eq!(watch(Duration::ZERO).await, Ok(Reply::Ready(false)));
    assert_eq!(watch(LONG).await, Ok(Reply::Ready(true)));
}

#[actix_web::test]
async fn who_does_not_wait_any_more_leaves_its_place() {
    let broker = TestBroker::start_with(&["limits.waiters_max=2"]).await;
    let topic = default_topic(&broker).await;
    let refused = Reply::Failed(BrokerError::TooMany { what: "waiting receivers", limit: 2 });
    // Those who left make room as soon as the topic has noticed.
    let waits = async |op: Op| {
        eventually("an answer", async || {
            (topic.ask(op.clone()).await != Ok(refused.clone())).then_some(())
        })
        .await;
        panic!("nothing is there")
    };
    let watch = Op::Watch { queue: None, wait: LONG };
    for _ in 0..3 {
        let both_wait = async {
            eventually("no room", async || {
                let asked = topic.ask(watch.clone());
                let refusal = tokio::time::timeout(Duration::from_millis(20), asked).await;
                (refusal.ok()? == Ok(refused.clone())).then_some(())
            })
            .await;
        };
        tokio::select! {
            () = waits(watch.clone()) => (),
            () = waits(receive(Some(LONG), false)) => (),
            () = both_wait => (),
        }
    }
    // What went to somebody who has just left goes back long before its deadline.
    topic.ask(publish(&["a"])).await.unwrap();
    let got = tokio::time::timeout(PATIENCE, topic.ask(receive(Some(LONG), true))).await.unwrap();
    assert!(matches!(got, Ok(Reply::Delivered(messages)) if messages.len() == 1));
}

#[actix_web::test]
async fn consumers_are_counted_until_their_guard_is_dropped() {
    let broker = TestBroker::start().await;
    let topic = default_topic(&broker).await;
    let (one, two) = (topic.consume(None).await.unwrap(), topic.consume(None).await.unwrap());
    let count = async || topic.describe().await.unwrap().queues[0].2.consumers;
    assert_eq!(count().await, 2);
    let Ok(Reply::Figures(figures)) = topic.ask(Op::Counts { queue: None }).await else { panic!() };
    assert_eq!(figures.consumers, 2);
    drop(one);
    eventually("one is left", async || (count().await == 1).then_some(())).await;
    drop(two);
    eventually("none is left", async || (count().await == 0).then_some(())).await;
    let nowhere = octoq::queue::QueueName::parse("nowhere").unwrap();
    assert!(topic.consume(Some(nowhere)).await.is_err());
}

#[actix_web::test]
async fn notify_loops_over_busy_queues_pile_nothing_up() {
    let broker = TestBroker::start_with(&["limits.waiters_max=100"]).await;
    let mut okq = connect(&broker).await;
    dialogue(&mut okq, &[("QLPUSH busy 1 x", OK), ("QREGISTER busy idle", OK)]).await;
    for _ in 0..1000 {
        okq.exchange(line("QNOTIFY 600"), "$4\r\nbusy\r\n").await;
    }
    let mut pusher = connect(&broker).await;
    okq.exchange(line("QRPOP busy EX 0"), "*2\r\n$1\r\n1\r\n$1\r\nx\r\n").await;
    for id in 0..300 {
        okq.send(line("QNOTIFY 600")).await;
        pusher.exchange(line(&format!("QLPUSH busy {id} x")), OK).await;
        okq.expect("$4\r\nbusy\r\n").await;
        let id = id.to_string();
        let event = format!("*2\r\n${}\r\n{id}\r\n$1\r\nx\r\n", id.len());
        okq.exchange(line("QRPOP busy EX 0"), event).await;
    }
}

#[actix_web::test]
async fn a_client_that_leaves_while_it_waits_takes_nothing_along() {
    let broker = TestBroker::start().await;
    let mut pusher = connect(&broker).await;
    for words in ["QBPOP q 600", "QBPOP q other 600"] {
        let mut waiting = connect(&broker).await;
        waiting.send(line(words)).await;
        eventually("it waits", async || {
            let broker = &broker.server.broker;
            let (topics, _) = broker.list_topics(&broker.anonymous(), None, 99).await.unwrap();
            topics.iter().any(|topic| topic.waiters > 0).then_some(())
        })
        .await;
        drop(waiting);
        expect_connections(&broker, 1).await;
        pusher.exchange(line("QLPUSH q 1 x"), OK).await;
        pusher.exchange(line("QRPOP q EX 0"), "*2\r\n$1\r\n1\r\n$1\r\nx\r\n").await;
    }
}

#[actix_web::test]
async fn an_orderly_stop_ends_who_waits() {
    let broker = TestBroker::start().await;
    let (mut one, mut two) = (connect(&broker).await, connect(&broker).await);
    one.exchange(line("QREGISTER q"), OK).await;
    one.send(line("QNOTIFY 600")).await;
    two.send(line("QBPOP q r 600")).await;
    let mut idle = connect(&broker).await;
    expect_open(&mut idle).await;
    broker.stop().await;
    for wire in [&mut one, &mut two, &mut idle] {
        wire.expect_close().await;
    }
}

#[actix_web::test]
async fn several_blocked_workers_share_a_burst() {
    let broker = TestBroker::start().await;
    let mut workers = Vec::new();
    for _ in 0..5 {
        let mut worker = connect(&broker).await;
        worker.send(line("QBPOP a b 600 NOACK")).await;
        workers.push(worker);
    }
    let mut pusher = connect(&broker).await;
    let burst: Vec<u8> = (0..5).flat_map(|id| line(&format!("QLPUSH b {id} x"))).collect();
    pusher.exchange(burst, OK.repeat(5)).await;
    let mut got = Vec::new();
    for worker in &mut workers {
        worker.expect("*3\r\n$1\r\nb\r\n$1\r\n").await;
        got.push(worker.line().await);
        worker.expect("$1\r\nx\r\n").await;
    }
    got.sort();
    assert_eq!(got, ["0\r\n", "1\r\n", "2\r\n", "3\r\n", "4\r\n"]);
}
