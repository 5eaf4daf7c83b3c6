//! What is told of the life of a message, and waits that are changed.

use super::*;

fn delay(subject: &mut Subject<'_>, ids: &[MessageId], span: u64) -> Each<()> {
    let now = subject.now;
    let answer = subject.engine().delay(now, QUEUE, ids.to_vec(), ms(span));
    subject.wait(answer)
}

fn ids_ready(subject: &mut Subject<'_>) -> Vec<MessageId> {
    let answer = subject.engine().peek(QUEUE, End::Front, 10, usize::MAX);
    subject.wait(answer).unwrap().iter().map(|view| view.message.id()).collect()
}

/// Ready and delayed messages wait until another time.
pub fn delays(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "flies"]);
    let ids = ids_ready(subject);
    assert_eq!(delay(subject, &ids[..2], 50), [Ok(()), Ok(())]);
    assert_eq!(delay(subject, &ids[..1], 0), [Ok(())]);
    let unknown = [MessageId::Client(Bytes::from("none"))];
    assert_eq!(delay(subject, &unknown, 5), [Err(Refusal::MessageNotFound.into())]);
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.ready, counts.delayed), (2, 1));
    assert_eq!(ids_ready(subject), [ids[0].clone(), ids[2].clone()]);
    subject.receive(2);
    assert_eq!(delay(subject, &ids[2..], 5), [Err(Refusal::MessageNotFound.into())]);
    subject.pass(51);
    assert_eq!(subject.take(), ["b"]);
}

/// A changed wait is there after a kill.
pub fn delays_survive(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let ids = ids_ready(subject);
    assert_eq!(delay(subject, &ids[..1], 60_000), [Ok(())]);
    subject.restart(true);
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.ready, counts.delayed), (1, 1));
    assert_eq!(delay(subject, &ids[..1], 0), [Ok(())]);
    subject.restart(true);
    assert_eq!(subject.take(), ["a", "b"], "it is at its own place");
}

/// The doors that a message went through are told.
pub fn doors(subject: &mut Subject<'_>) {
    live(subject);
    told(subject);
}

/// They are there after a kill.
pub fn doors_survive(subject: &mut Subject<'_>) {
    live(subject);
    subject.restart(true);
    told(subject);
}

fn live(subject: &mut Subject<'_>) {
    subject.engine().through(Some(Door::Otq));
    subject.publish(&["a"]);
    subject.engine().through(Some(Door::Okq));
    let got = subject.receive(1);
    let flying = subject.engine().find(QUEUE, got[0].message.id());
    assert_eq!(subject.wait(flying).unwrap().lent_by, Some(Door::Okq));
    subject.engine().through(Some(Door::Http));
    subject.nack(&got[0], Nack::Fail { delay: None, error: Some("no".into()) });
    subject.engine().through(None);
}

fn told(subject: &mut Subject<'_>) {
    let id = ids_ready(subject).remove(0);
    let answer = subject.engine().find(QUEUE, id);
    let view = subject.wait(answer).unwrap();
    assert_eq!((view.published_by, view.lent_by), (Some(Door::Otq), None));
    let [failure] = &view.failures[..] else { panic!("{:?}", view.failures) };
    assert_eq!((failure.lent_by, failure.door), (Some(Door::Okq), Some(Door::Http)));
    assert!(failure.lent_at.is_some_and(|at| at <= failure.at));
}
