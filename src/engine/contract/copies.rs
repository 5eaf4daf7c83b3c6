//! Copies: one message for each queue, known by where they came into the world.

use super::*;

fn publish_copies(subject: &mut Subject<'_>, body: &str) -> Vec<PlacedCopy> {
    let (now, message) = (subject.now, subject.message(body));
    let answer = subject.engine().publish_copies(now, message);
    subject.wait(answer).unwrap()
}

/// Acks by origin; whether there was something to ack.
fn ack_origin(subject: &mut Subject<'_>, queue: Option<u32>, origin: Origin) -> bool {
    let now = subject.now;
    let answer = subject.engine().ack(now, vec![Reference::Origin { queue, origin }]);
    match subject.wait(answer).remove(0) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error, EngineError::Refused(Refusal::MessageNotFound));
            false
        }
    }
}

pub(super) fn copies(subject: &mut Subject<'_>) {
    let policy = QueuePolicy { retention_ms: 5000, ..QueuePolicy::default() };
    subject.add_queue(OTHER, "other", policy);
    let made = publish_copies(subject, "copy");
    let ends: Vec<Timestamp> = made.iter().map(|copy| copy.expires_at).collect();
    assert_eq!(ends, [Timestamp::NEVER, subject.now.after(ms(5000))]);
    assert_ne!(made[0].origin, made[1].origin);
    let held = subject.receive(1);
    assert_eq!(held[0].message.origin(), made[0].origin);
    assert!(held[0].message.lone);
    assert!(ack_origin(subject, None, made[0].origin), "in flight");
    assert!(!ack_origin(subject, None, made[0].origin), "gone");
    assert_eq!(subject.ack(&held), [gone()]);
    assert!(ack_origin(subject, Some(OTHER), made[1].origin), "never handed out");
    publish_copies(subject, "ends");
    assert_eq!(subject.take(), ["ends"]);
    subject.pass(5000);
    assert_eq!(subject.counts(OTHER).ready, 0);
}

pub(super) fn carried(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let held = subject.receive(1);
    let now = subject.now;
    let detached = subject.engine().detach(now, QUEUE);
    let mut detached = subject.wait(detached).unwrap();
    let name = detached.definition.name.clone();
    subject.add_queue(OTHER, &name.to_string(), QueuePolicy::default());
    detached = match subject.engine().attach(now, detached) {
        Err(refused) => refused,
        Ok(_) => panic!("two queues of one name"),
    };
    let dropped = subject.engine().drop_queue(OTHER);
    subject.wait(dropped).unwrap();
    let attached = match subject.engine().attach(now, detached) {
        Ok(attached) => attached,
        Err(_) => panic!("there is room"),
    };
    subject.wait(attached).unwrap();
    assert_eq!(subject.engine().strangers(), 2);
    assert_eq!(subject.ack(&held), [Ok(())], "a receipt stays good");
    assert_eq!(subject.take(), ["b"]);
}

pub(super) fn copies_survive(subject: &mut Subject<'_>) {
    let policy = QueuePolicy { retention_ms: 50_000, ..QueuePolicy::default() };
    subject.add_queue(OTHER, "other", policy.clone());
    let made = publish_copies(subject, "copy");
    let now = subject.now.after(ms(10_000));
    subject.now = now;
    let to = Target::new(OTHER, &policy);
    let moved = subject.engine().transfer(now, QUEUE, Selection::Oldest(1), to);
    assert_eq!(subject.wait(moved), Ok(1));
    // Messages that are there keep their ends.
    let forever = QueuePolicy::default();
    let set = subject.engine().set_queue(now, OTHER, forever, None);
    subject.wait(set).unwrap();
    subject.restart(true);
    let found = subject.receive_from(OTHER, 10, false);
    let seen = |delivery: &Delivery| {
        (delivery.message.origin(), delivery.expires_at, delivery.message.lone)
    };
    let mut found: Vec<_> = found.iter().map(seen).collect();
    found.sort_by_key(|(origin, ..)| origin.seq);
    let expected =
        [(made[0].origin, now.after(ms(50_000)), true), (made[1].origin, made[1].expires_at, true)];
    assert_eq!(found, expected);
    assert!(ack_origin(subject, None, made[0].origin));
    assert!(ack_origin(subject, None, made[1].origin));
}
