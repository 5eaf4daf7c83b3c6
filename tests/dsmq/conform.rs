//! The dialogues that `octoq conform --door dsmq` plays, of all three generations.

use super::common::TestBroker;
use octoq::conform::{self, Case, dsmq};

async fn play(broker: &TestBroker, cases: &[Case]) {
    let mut told = Vec::new();
    let failed = conform::play(broker.door("dsmq"), cases, None, |outcome| {
        told.extend(outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)));
    })
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    let broker = TestBroker::start().await;
    for cases in [dsmq::CASES, dsmq::RAW_CASES, dsmq::HDR_CASES, dsmq::ADDITIONS] {
        play(&broker, cases).await;
    }
}

#[actix_web::test]
async fn the_dialogues_go_the_same_way_on_topics_that_are_stored() {
    for settings in
        [&["dsmq.durability=sync"][..], &["dsmq.durability=async", "limits.memory_bytes=1"]]
    {
        let broker = TestBroker::start_with(settings).await;
        play(&broker, dsmq::CASES).await;
        play(&broker, dsmq::ADDITIONS).await;
    }
}

#[actix_web::test]
async fn the_dialogues_go_the_same_way_in_the_smallest_batches() {
    let broker =
        TestBroker::start_with(&["limits.batch_max=1", "limits.receive_bytes_max=1"]).await;
    play(&broker, dsmq::CASES).await;
    play(&broker, dsmq::ADDITIONS).await;
}
