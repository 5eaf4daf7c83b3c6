//! The dialogues that `octoq conform --door fastqueue` plays.

use super::common::TestBroker;
use octoq::conform::{self, Case};

async fn play(cases: &[Case]) {
    let broker = TestBroker::start().await;
    let mut told = Vec::new();
    let failed = conform::play(
        broker.door("fastqueue"),
        cases,
        Some(conform::fastqueue::sweep),
        |outcome| {
            told.extend(
                outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)),
            );
        },
    )
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
    let topics = broker.http("GET", "/v1/topics", "").await.expect(200);
    let topics = topics["topics"].as_array().unwrap().iter();
    let left: Vec<_> = topics.filter(|one| one["name"] != "\0queues").collect();
    let names: Vec<_> = left.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["default", "pubsub"], "nothing is left behind");
    let lone = broker.http("GET", "/v1/definitions", "").await.expect(200);
    assert_eq!(lone.get("queues"), None);
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    play(conform::fastqueue::CASES).await;
}

#[actix_web::test]
async fn what_octoq_adds_goes_as_documented() {
    play(conform::fastqueue::ADDITIONS).await;
}
