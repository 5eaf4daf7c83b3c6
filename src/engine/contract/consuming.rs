//! Receiving and settling: order, deadlines, receipts, and what comes back.

use super::*;

pub(super) fn acked_is_gone(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a", "b"]);
    assert_eq!(placed.iter().map(|placed| placed.seq).collect::<Vec<_>>(), [1, 2]);
    let got = subject.receive(10);
    assert_eq!(texts(&got), ["a", "b"]);
    assert_eq!(Some(got[0].message.id()), placed[0].id);
    assert_eq!((got[0].attempt, got[0].deadline), (1, subject.now.after(ms(1000))));
    assert_eq!(subject.ack(&got), [Ok(()), Ok(())]);
    assert_eq!(subject.counts(QUEUE), Counts::default());
    subject.pass(2000);
    assert!(subject.take().is_empty());
}

pub(super) fn acked_by_id(subject: &mut Subject<'_>) {
    let messages = vec![NewMessage::with_id(b"lent", b"a"), NewMessage::with_id(b"ready", b"b")];
    let placed = subject.publish_all(messages);
    assert!(placed.iter().flatten().all(|placed| placed.id.is_none()), "those they came with");
    let made = subject.publish(&["c"]).remove(0).id.unwrap().to_string();
    assert_eq!(texts(&subject.receive(1)), ["a"]);
    let gone = || Err(Refusal::MessageNotFound.into());
    let ids = [&b"ready"[..], b"ready", b"unknown", b"lent", made.as_bytes()];
    assert_eq!(ack_ids(subject, &ids), [Ok(()), gone(), gone(), Ok(()), Ok(())]);
    assert_eq!(subject.counts(QUEUE), Counts::default());
}

pub(super) fn own_ids_survive(subject: &mut Subject<'_>) {
    let named = |id: &'static str| NewMessage::with_id(id.as_bytes(), id.to_uppercase().as_bytes());
    for placed in subject.publish_all(vec![named("a"), named("b"), named("c")]) {
        placed.unwrap();
    }
    assert_eq!(ack_ids(subject, &[b"b"]), [Ok(())]);
    subject.restart(true);
    let got = subject.receive(9);
    assert_eq!(texts(&got), ["A", "C"]);
    let ids: Vec<_> = got.iter().map(|delivery| delivery.message.own_id()).collect();
    assert_eq!(ids, [Some(&b"a"[..]), Some(b"c")]);
    let again = subject.publish_all(vec![named("a"), named("b")]);
    assert_eq!(again[0].as_ref().err(), Some(&Refusal::DuplicateId.into()));
    assert!(again[1].is_ok(), "it was acked");
}

pub(super) fn taken_is_gone(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let got = subject.receive_from(QUEUE, 10, true);
    assert_eq!((texts(&got), got[0].receipt), (vec!["a".to_owned()], None));
    assert_eq!(subject.counts(QUEUE), Counts::default());
}

pub(super) fn order(subject: &mut Subject<'_>) {
    let priority = |priority| Extra { priority, ..Extra::default() };
    let front = Extra { front: true, ..Extra::default() };
    let messages = vec![
        subject.message("a"),
        subject.with("urgent", priority(9)),
        subject.message("b"),
        subject.with("first", front),
        subject.with("sooner", priority(3)),
    ];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    assert_eq!(subject.take(), ["urgent", "sooner", "first", "a", "b"]);
}

pub(super) fn own_place(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    let got = subject.receive(2);
    subject.nack(&got[1], Nack::Release { delay: None });
    subject.nack(&got[0], Nack::Fail { delay: None, error: None });
    let again = subject.receive(10);
    assert_eq!(texts(&again), ["a", "b", "c"]);
    let attempts: Vec<u32> = again.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [2, 1, 1], "a release does not count");
    subject.nack(&again[0], Nack::Release { delay: Some(ms(500)) });
    assert!(subject.take().is_empty());
    subject.pass(500);
    assert_eq!(subject.take(), ["a"]);
}

pub(super) fn to_an_end(subject: &mut Subject<'_>) {
    for (number, name, returns, order) in [
        // The latest first, and the batch in its own order.
        (5, "front", Returns::Front, ["a", "c", "d", "b"]),
        (6, "back", Returns::Back, ["b", "d", "a", "c"]),
    ] {
        let (max_deliveries, ack_deadline_ms) = (0, 1000);
        let policy =
            QueuePolicy { returns, max_deliveries, ack_deadline_ms, ..QueuePolicy::default() };
        subject.add_queue(number, name, policy);
        let messages = ["a", "b", "c", "d"].map(|body| subject.message(body)).to_vec();
        let now = subject.now;
        let placed = subject.engine().publish(now, Some(number), messages, false);
        assert!(subject.wait(placed).iter().all(Result::is_ok));
        assert!(subject.engine().is_ready(number));
        let got = subject.receive_from(number, 4, false);
        assert!(!subject.engine().is_ready(number));
        subject.nack(&got[1], Nack::Release { delay: None });
        subject.nack(&got[3], Nack::Release { delay: None });
        let both = [&got[0], &got[2]];
        let batch = both.map(|held| (reference(held), Nack::Release { delay: None })).to_vec();
        let answer = subject.engine().nack(now, batch);
        assert_eq!(subject.wait(answer), [Ok(()), Ok(())]);
        assert_eq!(texts(&subject.receive_from(number, 4, true)), order, "{name}");
    }
}

pub(super) fn deadlines(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let first = subject.receive(1);
    subject.pass(999);
    assert_eq!(subject.counts(QUEUE).in_flight, 1);
    subject.pass(20);
    assert_eq!(subject.counts(QUEUE).ready, 1);
    assert_eq!(subject.ack(&first), [gone()]);
    assert_eq!(subject.receive(1)[0].attempt, 2);
    subject.pass(1100);
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.ready, counts.dead), (0, 1), "two deliveries are allowed");
}

pub(super) fn receipts(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let got = subject.receive(2);
    assert_eq!(subject.ack(&got[..1]), [Ok(())]);
    assert_eq!(subject.ack(&got), [gone(), Ok(())], "each item has its own result");
    let never = Receipt { queue: QUEUE, slot: 900, stamp: 1 };
    let now = subject.now;
    let answer = subject.engine().ack(now, vec![Reference::Receipt(never)]);
    assert_eq!(subject.wait(answer), [gone()]);
}

pub(super) fn extended(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a"]);
    let got = subject.receive(1);
    let now = subject.now;
    let answer = subject.engine().extend(now, vec![(reference(&got[0]), ms(5000))]);
    assert_eq!(subject.wait(answer), [Ok(now.after(ms(5000)))]);
    subject.pass(4000);
    assert_eq!(subject.counts(QUEUE).in_flight, 1);
    let (now, by_id) =
        (subject.now, Reference::Id { queue: QUEUE, id: placed[0].id.clone().unwrap() });
    let answer = subject.engine().ack(now, vec![by_id]);
    assert_eq!(subject.wait(answer), [Ok(())], "by id, too");
}

pub(super) fn delayed(subject: &mut Subject<'_>) {
    let now = subject.now;
    let later = Extra { deliver_at: Some(now.after(ms(300))), ..Extra::default() };
    let short = Extra { expires_at: Some(now.after(ms(200))), ..Extra::default() };
    let messages =
        vec![subject.with("later", later), subject.with("short", short), subject.message("now")];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    let counts = subject.counts(QUEUE);
    assert_eq!((counts.delayed, counts.ready), (1, 2));
    assert!(subject.engine().next_deadline().is_some_and(|next| next <= now.after(ms(300))));
    subject.pass(250);
    assert_eq!(subject.take(), ["now"]);
    subject.pass(50);
    assert_eq!(subject.take(), ["later"]);
}

pub(super) fn fan_out(subject: &mut Subject<'_>) {
    let filter = Filter(BTreeMap::from([("kind".to_owned(), vec!["x".to_owned()])]));
    subject.add_queue(
        OTHER,
        "other",
        QueuePolicy { filter: Some(filter), ..QueuePolicy::default() },
    );
    let attributes = Extra { attributes: Some(r#"{"kind":"x"}"#.into()), ..Extra::default() };
    let messages = vec![subject.message("plain"), subject.with("both", attributes)];
    assert!(subject.publish_all(messages).iter().all(Result::is_ok));
    assert_eq!(texts(&subject.receive_from(OTHER, 10, true)), ["both"]);
    assert_eq!(subject.take(), ["plain", "both"], "the other queue's taking changed nothing here");
    let now = subject.now;
    let direct = vec![subject.message("direct")];
    let answer = subject.engine().publish(now, Some(OTHER), direct, false);
    assert!(subject.wait(answer)[0].is_ok());
    assert_eq!(texts(&subject.receive_from(OTHER, 10, true)), ["direct"]);
    assert!(subject.take().is_empty());
}

pub(super) fn dedup(subject: &mut Subject<'_>) {
    let keyed = || Extra { dedup_key: Some(Bytes::from_static(b"k")), ..Extra::default() };
    let messages = vec![subject.with("one", keyed()), subject.with("two", keyed())];
    let placed: Vec<_> = subject.publish_all(messages).into_iter().map(Result::unwrap).collect();
    assert!(!placed[0].duplicate && placed[1].duplicate);
    assert_eq!(placed[0].id, placed[1].id);
    assert_eq!(subject.take(), ["one"]);
    subject.pass(300_001);
    let again = vec![subject.with("three", keyed())];
    assert!(!subject.publish_all(again)[0].as_ref().unwrap().duplicate);
    assert_eq!(subject.take(), ["three"]);
}

fn ack_ids(subject: &mut Subject<'_>, ids: &[&[u8]]) -> Each<()> {
    let mut list = IdList::default();
    ids.iter().for_each(|id| list.push(id));
    let now = subject.now;
    let answer = subject.engine().ack_ids(now, QUEUE, &list);
    subject.wait(answer)
}

pub(super) fn dead_letters(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let got = subject.receive(1);
    subject.nack(&got[0], Nack::Dead { error: Some("broken".into()) });
    assert_eq!(subject.counts(QUEUE).dead, 1);
    let answer = subject.engine().list(QUEUE, State::Dead, None, 10, 100);
    let page = subject.wait(answer).unwrap();
    let letter = page.views[0].dead.clone().unwrap();
    assert_eq!((letter.reason, letter.attempts), (record::DeadReason::Rejected, 1));
    assert_eq!(letter.failures[0].error.as_deref(), Some("broken"));
    let now = subject.now;
    let answer = subject.engine().redrive(now, QUEUE, Selection::Oldest(10), None);
    assert_eq!(subject.wait(answer), Ok(1));
    let again = subject.receive(1);
    assert_eq!((texts(&again), again[0].attempt), (vec!["a".to_owned()], 1));
}
