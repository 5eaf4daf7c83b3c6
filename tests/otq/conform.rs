//! The dialogues that `octoq conform --door otq` plays.

use super::common::TestBroker;
use octoq::conform;

#[actix_web::test]
async fn every_documented_dialogue_goes_as_documented() {
    let broker = TestBroker::start().await;
    let mut told = Vec::new();
    let failed = conform::play(broker.door("otq"), conform::otq::CASES, None, |outcome| {
        told.extend(outcome.mismatch.as_ref().map(|found| format!("{}: {found}", outcome.case)));
    })
    .await;
    assert_eq!((failed, told), (0, Vec::new()));
}
