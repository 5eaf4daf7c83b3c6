//! The dialogues that `octoq conform --door okq --additions` plays.

use super::common::TestBroker;
use octoq::conform;

async fn play(cases: &[conform::Case], more: &[&str]) {
    let broker = TestBroker::start_with(more).await;
    let mut told = Vec::new();
    let failed = conform::play(broker.door("okq"), cases, None, |outcome| {
        told.extend(outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)));
    })
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
}

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    play(conform::okq::CASES, &[]).await;
}

#[actix_web::test]
async fn every_documented_dialogue_goes_the_same_in_memory() {
    play(conform::okq::CASES, &["okq.durability=memory"]).await;
}

#[actix_web::test]
async fn every_addition_goes_as_documented() {
    play(conform::okq::ADDITIONS, &[]).await;
}
