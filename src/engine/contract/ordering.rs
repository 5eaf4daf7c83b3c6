//! Messages with ordering keys.

use super::*;

/// Publishes these, each with the ordering key that its text begins with.
fn publish_keyed(subject: &mut Subject<'_>, bodies: &[&str]) {
    let key = |body: &str| Some(Bytes::copy_from_slice(&body.as_bytes()[..1]));
    let message = |body| subject.with(body, Extra { ordering_key: key(body), ..Extra::default() });
    let messages: Vec<_> = bodies.iter().map(|body| message(body)).collect();
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
}

pub(super) fn ordering_keys(subject: &mut Subject<'_>) {
    publish_keyed(subject, &["a1", "a2", "b1", "a3"]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a1", "b1"], "one of each key");
    assert_eq!(got[0].message.ordering_key(), Some(&b"a"[..]));
    assert_eq!(subject.counts(QUEUE).ready, 2);
    assert!(!subject.engine().is_ready(QUEUE));
    subject.engine().take_freed();
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    assert!(subject.engine().take_freed() && !subject.engine().take_freed());
    let second = subject.receive(10);
    assert_eq!(texts(&second), ["a2"]);
    subject.nack(&second[0], Nack::Fail { delay: Some(ms(50)), error: None });
    assert!(subject.receive(10).is_empty(), "what waits after a failure holds up its key");
    subject.pass(51);
    let second = subject.receive(10);
    assert_eq!(texts(&second), ["a2"]);
    subject.nack(&second[0], Nack::Dead { error: None });
    assert_eq!(texts(&subject.receive(10)), ["a3"], "a dead letter holds up nobody");
    let nameless = Extra { ordering_key: Some(Bytes::new()), ..Extra::default() };
    let refused = subject.publish_all(vec![subject.with("x", nameless)]).remove(0);
    assert_eq!(refused, Err(Refusal::OutOfBounds("ordering_key").into()));
}

pub(super) fn ordering_survives(subject: &mut Subject<'_>) {
    publish_keyed(subject, &["a1", "a2", "b1", "b2"]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a1", "b1"]);
    subject.nack(&got[0], Nack::Release { delay: Some(ms(50)) });
    subject.restart(true);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["b1"], "what waits for a time holds up its key");
    assert_eq!(got[0].message.ordering_key(), Some(&b"b"[..]));
    subject.pass(51);
    assert_eq!(texts(&subject.receive(10)), ["a1"]);
}
