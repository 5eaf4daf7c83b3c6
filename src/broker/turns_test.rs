//! Who has much to do lets others on the same thread run in between.

use super::panic_test::{broker, topic};
use super::{Home, Job, Op, Slot};
use crate::queue::*;
use bytes::Bytes;
use tokio::sync::mpsc;

const LARGE_JOBS: u64 = 10;

fn publish(messages: usize) -> Vec<Slot> {
    let message = || NewMessage::plain(Bytes::from_static(b"x"));
    let messages = (0..messages).map(|_| message()).collect();
    vec![Slot::Op(Op::Publish { to: None, messages })]
}

#[actix::test]
async fn a_topic_with_large_jobs_does_not_keep_another_waiting_until_all_are_done() {
    let folder = tempfile::tempdir().unwrap();
    let broker = broker(folder.path()).await;
    let caller = broker.anonymous();
    let busy = topic(&broker, &caller, "busy", Level::Memory).await;
    let quiet = topic(&broker, &caller, "quiet", Level::Memory).await;
    let (home, mut answered) = mpsc::channel(LARGE_JOBS as usize + 1);
    for tag in 0..LARGE_JOBS {
        busy.submit(Job::new(publish(200), Home::Channel(home.clone()), tag));
    }
    quiet.submit(Job::new(publish(1), Home::Channel(home), LARGE_JOBS));
    let mut order = Vec::new();
    while let Some((tag, _)) = answered.recv().await {
        order.push(tag);
    }
    let place = order.iter().position(|tag| *tag == LARGE_JOBS).unwrap();
    assert!(place <= 2, "{order:?}");
    order.remove(place);
    assert!(order.is_sorted() && order.len() == LARGE_JOBS as usize, "{order:?}");
}
