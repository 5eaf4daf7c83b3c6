//! The dialogues that `octoq conform --door blockqueue` plays.

use super::common::TestBroker;
use octoq::conform::{self, Case};

async fn play(broker: &TestBroker, cases: &[Case]) {
    let mut told = Vec::new();
    let failed = conform::play(
        broker.door("blockqueue"),
        cases,
        Some(conform::blockqueue::sweep),
        |outcome| {
            told.extend(
                outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)),
            );
        },
    )
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
    let topics = broker.http("GET", "/v1/topics", "").await.expect(200);
    let left: Vec<_> =
        topics["topics"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(left, ["default", "pubsub"], "nothing is left behind");
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    let broker = TestBroker::start().await;
    play(&broker, conform::blockqueue::CASES).await;
}

#[actix_web::test]
async fn every_addition_goes_as_documented() {
    let broker = TestBroker::start().await;
    play(&broker, conform::blockqueue::ADDITIONS).await;
}

#[actix_web::test]
async fn the_documented_dialogues_go_so_with_the_old_floor_as_well() {
    let broker = TestBroker::start_with(&["blockqueue.visibility_floor=true"]).await;
    play(&broker, conform::blockqueue::CASES).await;
}
