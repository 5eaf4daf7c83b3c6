//! The dialogues that `octoq conform --door fastqueue` plays.

use super::common::TestBroker;
use octoq::conform::{self, Case};

async fn play(cases: &[Case]) {
    let broker = TestBroker::start().await;
    let mut told = Vec::new();
    let failed = conform::play(broker.door("fastqueue"), cases, |outcome| {
        told.extend(outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)));
    })
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    play(conform::fastqueue::CASES).await;
}

#[actix_web::test]
async fn what_octoq_adds_goes_as_documented() {
    play(conform::fastqueue::ADDITIONS).await;
}
