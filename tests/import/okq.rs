//! okq: its lists, hashes and locks in Redis.

use super::stores::Redis;
use super::{Target, became, body, found, now, row};
use octoq::import::okq::Okq;
use octoq::queue::{MessageId, State};
use redis::{Commands as _, Connection};

/// What okq does, in its keys.
struct Original(Connection);

impl Original {
    fn key(queue: &[u8], end: &str) -> Vec<u8> {
        [b"queue:{", queue, b"}", end.as_bytes()].concat()
    }

    fn qlpush(&mut self, queue: &[u8], id: &[u8], contents: &[u8]) {
        let fresh: bool = self.0.hset_nx(Self::key(queue, ":items"), id, contents).unwrap();
        assert!(fresh);
        let () = self.0.lpush(Self::key(queue, ""), id).unwrap();
    }

    /// Takes the rightmost; its lock lives for some milliseconds, or (0) is gone already.
    fn qrpop(&mut self, queue: &[u8], lock_ms: u64) -> Vec<u8> {
        let (from, to) = (Self::key(queue, ""), Self::key(queue, ":claimed"));
        let id: Vec<u8> = self.0.rpoplpush(from, to).unwrap();
        if lock_ms > 0 {
            let lock = [Self::key(queue, ":lock:"), id.clone()].concat();
            let () = self.0.pset_ex(lock, 1, lock_ms).unwrap();
        }
        id
    }

    fn qack(&mut self, queue: &[u8], id: &[u8]) {
        let () = self.0.lrem(Self::key(queue, ":claimed"), -1, id).unwrap();
        let () = self.0.lrem(Self::key(queue, ""), -1, id).unwrap();
        let () = self.0.hdel(Self::key(queue, ":items"), id).unwrap();
    }
}

async fn filled() -> (Redis, Original) {
    let redis = Redis::start().await;
    let mut okq = Original(redis.connect());
    for id in ["1", "2", "3", "4", "5"] {
        okq.qlpush(b"mail", id.as_bytes(), format!("letter {id}").as_bytes());
    }
    // 1 is held for an hour, the deadline of 2 is over.
    okq.qrpop(b"mail", 3_600_000);
    okq.qrpop(b"mail", 0);
    okq.qlpush(b"a:b/\xff", b"\x00\r\n", b"\xff\x00 any bytes");
    okq.qlpush(b"mail", b"6", b"");
    okq.qlpush(b"", b"nameless", b"x");
    let () = okq.0.zadd("queue:{mail}:consumers", "consumer", 1).unwrap();
    let () = okq.0.set("unrelated", "x").unwrap();
    (redis, okq)
}

#[actix_web::test]
async fn okq_queues_arrive_with_order_ids_and_what_is_held() {
    let (redis, _okq) = filled().await;
    let before = redis.digest();
    redis.forget_commands();
    let target = Target::new();
    let report = target.import(Okq::new(redis.url(), None)).await;
    let commands = redis.commands();
    assert_eq!(redis.digest(), before, "the source is as it was");
    let reading = [
        "client|setinfo",
        "config|resetstat",
        "debug",
        "exec",
        "hello",
        "hlen",
        "hmget",
        "hstrlen",
        "llen",
        "lrange",
        "multi",
        "pttl",
        "scan",
        "type",
    ];
    let writing: Vec<_> =
        commands.iter().filter(|command| !reading.contains(&command.as_str())).collect();
    assert!(writing.is_empty(), "{writing:?}");

    assert_eq!(found(&report, "mail/default"), (4, 0, 2, 0), "{report}");
    assert_eq!(became(&report, "mail/default"), (6, 0, 0, 0));
    assert_eq!(now(&report, "mail/default"), (5, 1, 0, 0));
    let served = target.serve().await;
    let waiting = served.list("mail", "default", State::Ready).await;
    let shown: Vec<_> = waiting
        .iter()
        .map(|view| (view.message.id().to_string(), body(view), view.attempts))
        .collect();
    let letter = |id: &str, attempts| (id.to_owned(), format!("letter {id}"), attempts);
    let last = ("6".to_owned(), String::new(), 0);
    let expected = [letter("2", 1), letter("3", 0), letter("4", 0), letter("5", 0), last];
    assert_eq!(shown, expected);
    let held = served.list("mail", "default", State::Delayed).await;
    assert_eq!((body(&held[0]), held[0].attempts), ("letter 1".into(), 1));
    let left = held[0].due.unwrap().since_ms(octoq::broker::clock::now());
    assert!((3_000_000..=3_600_000).contains(&left), "its deadline goes on: {left} ms");
    let policy = served.settings("mail", "default").await;
    assert_eq!((policy.max_deliveries, policy.ack_deadline_ms), (0, 30_000));
    served.stop().await;
}

#[actix_web::test]
async fn okq_names_ids_and_contents_may_be_any_bytes() {
    let (redis, _okq) = filled().await;
    let target = Target::new();
    let report = target.import(Okq::new(redis.url(), None)).await;
    assert_eq!(row(&report, "a:b/\\xff/default").copied, 1, "{report}");
    let unnamed = report.rows.iter().find(|(name, _, _)| name.contains("the queue without a name"));
    assert_eq!(unnamed.unwrap().2.copied, 1, "okq takes an empty name");
    let served = target.serve().await;
    let broker = &served.broker.server.broker;
    let name = octoq::queue::TopicName::parse(b"a:b/\xff").unwrap();
    let handle = broker.topic(&broker.anonymous(), &name).await.unwrap();
    let id = MessageId::Client(bytes::Bytes::from_static(b"\x00\r\n"));
    match handle.ask(octoq::broker::Op::Find { queue: None, id }).await.unwrap() {
        octoq::broker::Reply::Views(views) => {
            assert_eq!(views[0].message.body(), b"\xff\x00 any bytes");
        }
        other => panic!("{other:?}"),
    }
    served.stop().await;
}

#[actix_web::test]
async fn a_second_run_copies_only_what_is_new_also_after_acks_at_octoq() {
    let (redis, mut okq) = filled().await;
    let target = Target::new();
    target.import(Okq::new(redis.url(), None)).await;
    let served = target.serve().await;
    assert_eq!(served.take("mail", "default", 2).await, ["letter 2", "letter 3"]);
    let target = served.stop().await;

    // An id is free again after its ack, and then names another event.
    okq.qack(b"mail", b"3");
    okq.qlpush(b"mail", b"3", b"another letter");
    okq.qlpush(b"mail", b"7", b"letter 7");
    let dry = target.look(Okq::new(redis.url(), None)).await;
    assert_eq!(became(&dry, "mail/default"), (2, 5, 0, 0), "{dry}");
    let second = target.import(Okq::new(redis.url(), None)).await;
    assert_eq!(became(&second, "mail/default"), (2, 5, 0, 0), "{second}");
    let third = target.import(Okq::new(redis.url(), None)).await;
    assert_eq!(became(&third, "mail/default"), (0, 7, 0, 0), "{third}");
    let served = target.serve().await;
    let expected = ["letter 4", "letter 5", "", "another letter", "letter 7"];
    assert_eq!(served.bodies("mail", "default", State::Ready).await, expected);
    served.stop().await;
}

#[actix_web::test]
async fn what_was_confirmed_but_not_remembered_is_known_by_its_id() {
    let (redis, _okq) = filled().await;
    let target = Target::new();
    target.import(Okq::new(redis.url(), None)).await;
    for file in ["imported.db", "imported.db-wal", "imported.db-shm"] {
        let _ = std::fs::remove_file(target.path().join("store").join(file));
    }
    let again = target.import(Okq::new(redis.url(), None)).await;
    assert_eq!(became(&again, "mail/default"), (0, 0, 6, 0), "{again}");
    assert_eq!(now(&again, "mail/default"), (5, 1, 0, 0));
}

#[actix_web::test]
async fn contents_without_a_place_and_places_without_contents_are_told() {
    let (redis, mut okq) = filled().await;
    let () = okq.0.hset("queue:{mail}:items", "stranded", "x").unwrap();
    let () = okq.0.lpush("queue:{mail}", "gone").unwrap();
    let () = okq.0.hset("queue:{mail}:items", "stranded too", "x").unwrap();
    let report = Target::new().import(Okq::new(redis.url(), None)).await;
    assert_eq!(row(&report, "mail/default").left.get("without contents"), Some(&1));
    assert!(report.to_string().contains("contents without a place"), "{report}");
    assert_eq!(became(&report, "mail/default"), (6, 0, 0, 0));
}

#[actix_web::test]
async fn many_events_are_read_in_pages_and_keep_their_order() {
    let redis = Redis::start().await;
    let mut okq = Original(redis.connect());
    for at in 0..1203 {
        okq.qlpush(b"many", format!("{at}").as_bytes(), format!("{at}").as_bytes());
    }
    let target = Target::new();
    let report = target.import(Okq::new(redis.url(), None)).await;
    assert_eq!(became(&report, "many/default"), (1203, 0, 0, 0));
    let served = target.serve().await;
    let taken = served.take("many", "default", 2000).await;
    let expected: Vec<String> = (0..1203).map(|at| at.to_string()).collect();
    assert_eq!(taken, expected);
    served.stop().await;
}

#[actix_web::test]
async fn a_redis_of_somebody_else_is_refused_and_nothing_is_made() {
    let redis = Redis::start().await;
    let () = redis.connect().set("queue:{lock}", "a text, not a list").unwrap();
    let target = Target::new();
    let refusal = target.refusal(Okq::new(redis.url(), None)).await;
    assert!(refusal.contains("not an okq's, or empty"), "{refusal}");
    let refusal = target.refusal(Okq::new("redis://127.0.0.1:1/0".into(), None)).await;
    assert!(refusal.starts_with("Redis: "), "{refusal}");
    assert!(!target.path().join("store/imported.db").exists());
}
