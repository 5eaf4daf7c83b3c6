//! Reading without taking: by views, behind a position, and from a history.

use super::*;

pub(super) fn looks(subject: &mut Subject<'_>) {
    let placed = subject.publish(&["a", "b", "c"]);
    let answer = subject.engine().peek(QUEUE, End::Back, 2, 100);
    let views = subject.wait(answer).unwrap();
    assert_eq!(views.iter().map(|view| view.message.body()).collect::<Vec<_>>(), [b"c", b"b"]);
    // Bounded in bytes, too; the first one always fits.
    let answer = subject.engine().peek(QUEUE, End::Front, 3, 0);
    assert_eq!(subject.wait(answer).unwrap()[0].message.body(), b"a");
    let answer = subject.engine().list(QUEUE, State::Ready, None, 3, 2);
    let page = subject.wait(answer).unwrap();
    assert_eq!((page.views.len(), page.next, page.views[1].cursor), (2, page.next, page.next));
    let answer = subject.engine().list(QUEUE, State::Ready, None, 2, 100);
    let page = subject.wait(answer).unwrap();
    let answer = subject.engine().list(QUEUE, State::Ready, page.next, 2, 100);
    let rest = subject.wait(answer).unwrap();
    assert_eq!((page.views.len(), rest.views[0].message.body(), rest.next), (2, &b"c"[..], None));
    let answer = subject.engine().find(QUEUE, placed[1].id.clone().unwrap());
    assert_eq!(subject.wait(answer).unwrap().message.body(), b"b");
    let now = subject.now;
    let answer = subject.engine().delete(now, QUEUE, vec![placed[1].id.clone().unwrap()]);
    assert_eq!(subject.wait(answer), [Ok(())]);
    assert_eq!(subject.take(), ["a", "c"]);
}

pub(super) fn read_after(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    let read = |subject: &mut Subject<'_>, cursor: &mut Cursor, want| -> Vec<String> {
        let now = subject.now;
        let answer = subject.engine().read_after(now, QUEUE, cursor, want);
        let messages = subject.wait(answer).unwrap();
        messages.iter().map(|it| String::from_utf8_lossy(it.body()).into_owned()).collect()
    };
    let mut first = Cursor::behind(0, usize::MAX);
    assert_eq!(read(subject, &mut first, Want::Oldest(1)), ["a"]);
    let mut start = first;
    assert_eq!(read(subject, &mut start, Want::Newest), ["b"]);
    assert_eq!(read(subject, &mut start, Want::Newest), [""; 0]);

    // What is not in the store yet is read, and the answer waits for it.
    let now = subject.now;
    let messages = vec![subject.message("c"), subject.message("d")];
    let published = subject.engine().publish(now, None, messages, false);
    let early = subject.engine().read_after(now, QUEUE, &mut start, Want::Oldest(9));
    let position = start.number;
    let early = subject.wait(early).unwrap();
    assert!(subject.wait(published).iter().all(Result::is_ok));
    assert_eq!(early.iter().map(|it| it.body().to_vec()).collect::<Vec<_>>(), [b"c", b"d"]);
    assert_eq!(early.last().map(|last| last.number), Some(position));

    // Cut by its bytes: of what lies on disk as well.
    first.bytes_left = 2;
    assert_eq!(read(subject, &mut first, Want::Oldest(9)), ["b", "c"]);
    assert!(first.cut);
    first.bytes_left = usize::MAX;
    assert_eq!(read(subject, &mut first, Want::Oldest(9)), ["d"]);
    assert_eq!((first.cut, first.number), (false, start.number));
}

fn read(subject: &mut Subject<'_>, from: u64) -> ReadBatch {
    let answer = subject.engine().read(from, 100, usize::MAX);
    subject.wait(answer).unwrap()
}

fn bodies(batch: &ReadBatch) -> Vec<&[u8]> {
    batch.messages.iter().map(|message| message.body()).collect()
}

pub(super) fn history(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    assert_eq!(subject.engine().committed(), 3);
    let batch = read(subject, 2);
    assert_eq!((bodies(&batch), batch.next, batch.gap), (vec![&b"b"[..], b"c"], 4, None));
    let now = subject.now;
    let epoch = subject.engine().definition().epoch;
    let answer = subject.engine().resume(now, Some(Position { epoch, seq: 2 }));
    let start = subject.wait(answer).unwrap();
    assert_eq!((start.next, start.gap, start.backlog.len()), (3, None, 0));
}

pub(super) fn backlog(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b", "c"]);
    assert_eq!(texts(&subject.receive_from(0, 1, true)), ["a"]);
    let now = subject.now;
    let answer = subject.engine().resume(now, None);
    let start = subject.wait(answer).unwrap();
    assert_eq!((start.backlog, start.next), (vec![(2, 3)], 4));
    assert!(subject.receive_from(0, 10, true).is_empty(), "a subscriber has it");
    let request =
        Receive { max: 1, bytes_max: 1, ack_deadline: None, take: false, from_back: false };
    let answer = subject.engine().receive(now, 0, request);
    assert_eq!(subject.wait(answer), Err(EngineError::Refused(Refusal::WrongKind)));
}

pub(super) fn other_epoch(subject: &mut Subject<'_>) {
    subject.publish(&["a"]);
    let now = subject.now;
    let answer = subject.engine().resume(now, Some(Position { epoch: 4, seq: 1 }));
    let start = subject.wait(answer).unwrap();
    let why = Missing::OtherEpoch { kept_from: Some(1) };
    assert_eq!((start.next, start.gap), (2, Some(Gap { from: 1, to: 1, why })));
}

pub(super) fn history_survives(subject: &mut Subject<'_>) {
    subject.publish(&["a", "b"]);
    assert_eq!(texts(&subject.receive_from(0, 1, true)), ["a"]);
    let epoch = subject.engine().definition().epoch;
    subject.restart(true);
    assert_eq!(subject.engine().definition().epoch, epoch, "nothing was lost");
    assert_eq!(bodies(&read(subject, 1)), [b"a", b"b"]);
    assert_eq!(
        texts(&subject.receive_from(0, 10, true)),
        ["b"],
        "the backlog goes on where it was"
    );
    let placed = subject.publish(&["c"]);
    let batch = read(subject, 3);
    assert_eq!((bodies(&batch), batch.gap), (vec![&b"c"[..]], None), "a jump in numbers is no gap");
    assert!(placed[0].seq > 2);
}
