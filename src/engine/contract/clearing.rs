//! Purging a queue, and clearing it: what goes, what is out meanwhile, what the store forgets.

use super::*;

pub(super) fn cleared(subject: &mut Subject<'_>) {
    subject.publish(&["held", "waits"]);
    let held = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().clear(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    assert_eq!(subject.ack(&held), [gone()]);
    subject.pass(60_000);
    assert_eq!(subject.take(), [""; 0]);
}

pub(super) fn cleared_survives(subject: &mut Subject<'_>) {
    let policy =
        QueuePolicy { returns: Returns::Front, max_deliveries: 0, ..QueuePolicy::default() };
    let now = subject.now;
    let set = subject.engine().set_queue(now, QUEUE, policy, None);
    subject.wait(set).unwrap();
    subject.add_queue(OTHER, "other", QueuePolicy::default());
    subject.publish(&["held", "waits"]);
    subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().clear(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(3);
    subject.nack(&got[2], Nack::Fail { delay: None, error: None });
    subject.restart(true);
    assert_eq!(subject.take(), ["a", "b", "c"]);
    let others = subject.receive_from(OTHER, 10, true);
    assert_eq!(texts(&others), ["held", "waits", "a", "b", "c"]);
}

pub(super) fn purge(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(2));
    assert!(subject.take().is_empty());
    assert_eq!(subject.ack(&got), [Ok(())]);
    subject.publish(&["d"]);
    subject.pass(1);
    assert_eq!(subject.take(), ["d"]);
}

/// A queue with one message in each state that a purge meets; those in flight come back.
fn of_every_state(subject: &mut Subject<'_>) -> Vec<Delivery> {
    subject.add_queue(OTHER, "other", QueuePolicy::default());
    subject.publish(&["acked", "failed", "rejected", "missed", "dead", "returned", "ready"]);
    let late = Extra { deliver_at: Some(subject.now.after(ms(50))), ..Extra::default() };
    let late = subject.with("late", late);
    subject.publish_all(vec![late]);
    let mut got = subject.receive(6);
    subject.nack(&got[4], Nack::Dead { error: None });
    subject.nack(&got[5], Nack::Fail { delay: None, error: None });
    got.truncate(4);
    // As often as it may be delivered.
    let fail = Nack::Fail { delay: None, error: None };
    subject.nack(&got[1], fail);
    got[1] = subject.receive(1).remove(0);
    assert_eq!((texts(&got)[1].as_str(), got[1].attempt), ("failed", 2));
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(3));
    got
}

#[track_caller]
fn only_the_dead_letter_is_left(subject: &mut Subject<'_>) {
    let counts = subject.counts(QUEUE);
    let oldest_dead = counts.oldest_dead;
    assert!(oldest_dead.is_some_and(|died| died <= subject.now), "{counts:?}");
    assert_eq!(counts, Counts { dead: 1, bytes: 4, oldest_dead, ..Counts::default() });
    let answer = subject.engine().list(QUEUE, State::Dead, None, 9, 1000);
    assert_eq!(subject.wait(answer).unwrap().views[0].message.body(), b"dead");
}

pub(super) fn purged_for_good(subject: &mut Subject<'_>) {
    let got = of_every_state(subject);
    assert_eq!(subject.counts(QUEUE).in_flight, 4);
    let fail = Nack::Fail { delay: None, error: None };
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    subject.nack(&got[1], fail);
    subject.nack(&got[2], Nack::Dead { error: None });
    subject.pass(60_000);
    only_the_dead_letter_is_left(subject);
    let all = ["acked", "failed", "rejected", "missed", "dead", "returned", "ready", "late"];
    assert_eq!(texts(&subject.receive_from(OTHER, 9, false)), all);
    let now = subject.now;
    let answer = subject.engine().redrive(now, QUEUE, Selection::Oldest(9), None);
    assert_eq!(subject.wait(answer), Ok(1));
    assert_eq!(subject.take(), ["dead"]);
}

/// The same, with the end of the process before the deliveries end: for engines that come back.
pub fn a_purge_outlives_the_process(make: &mut dyn FnMut() -> Box<dyn Bench>) {
    for killed in [false, true] {
        let mut bench = make();
        let mut subject = Subject::new(bench.as_mut(), Kind::Broker, Level::Sync);
        let subject = &mut subject;
        let got = of_every_state(subject);
        subject.restart(killed);
        only_the_dead_letter_is_left(subject);
        for delivery in &got {
            assert_eq!(subject.ack(std::slice::from_ref(delivery)), [gone()]);
        }
        subject.pass(60_000);
        only_the_dead_letter_is_left(subject);
        let others = texts(&subject.receive_from(OTHER, 99, true));
        assert_eq!((others.len(), others[0].as_str()), (8, "acked"));
        subject.restart(killed);
        only_the_dead_letter_is_left(subject);
        assert!(subject.receive_from(OTHER, 9, true).is_empty());
    }
}

/// For an engine that keeps every body on disk: rows of purged deliveries go at any time.
pub fn a_swept_delivery_may_be_acked(bench: &mut dyn Bench) {
    let mut subject = Subject::new(bench, Kind::Broker, Level::Sync);
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(2);
    let now = subject.now;
    let answer = subject.engine().purge(now, QUEUE);
    assert_eq!(subject.wait(answer), Ok(1));
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let answer = subject.engine().list(QUEUE, State::InFlight, None, 9, 1000);
        let page = subject.wait(answer).unwrap();
        assert!(
            page.next.is_none() && page.views.iter().all(|view| view.message.body().len() == 1)
        );
        if page.views.is_empty() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the rows are still there");
    }
    assert_eq!(subject.counts(QUEUE).in_flight, 2, "they are in flight all the same");
    let answer = subject.engine().counts(QUEUE);
    assert_eq!(subject.wait(answer).unwrap().totals.dropped, 0);
    assert_eq!(subject.ack(&got), [Ok(()), Ok(())]);
    subject.pass(60_000);
    assert_eq!(subject.counts(QUEUE), Counts::default());
}
