//! The binary: how it starts, refuses to start, and stops.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "common/process.rs"]
mod process;

use process::{Ended, Http, Otq, Process, octoq, run, serve};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::Stdio,
};

#[track_caller]
fn expect_refusal(ended: &Ended, says: &[&str]) {
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    assert_eq!(ended.out, "", "no door was announced");
    for words in says {
        assert!(ended.err.contains(words), "`{words}` is not in: {}", ended.err);
    }
}

fn set_password(folder: &Path, password: &str) -> Ended {
    let mut command = octoq(folder);
    run(command.args(["user", "--set", "store.path=store", "passwd", "admin"]), password)
}

#[test]
fn an_empty_password_is_not_set() {
    let folder = tempfile::tempdir().unwrap();
    for empty in ["", "\n", "\r\n"] {
        expect_refusal(&set_password(folder.path(), empty), &["an empty password is none"]);
        let mut command = octoq(folder.path());
        command.args(["user", "--set", "store.path=store", "add", "ann"]);
        expect_refusal(&run(&mut command, empty), &["an empty password is none"]);
    }
    let broker = Process::start(folder.path(), &[]);
    Otq::login(broker.otq).unwrap();
    broker.stop();
}

#[test]
fn sigterm_and_sigint_stop_in_order() {
    for signal in ["TERM", "INT"] {
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Process::start(folder.path(), &[]);
        let mut otq = Otq::login(broker.otq).unwrap();
        otq.send("OTQ PUT default 1 BATCH\r\nstays\r\n").unwrap();
        assert_eq!(
            (otq.line().unwrap(), otq.line().unwrap()),
            ("PROCEED".into(), "ENDOFRESP".into())
        );
        broker.signal(signal);
        let status = process::wait(&mut broker.child);
        assert_eq!(status.code(), Some(0), "after SIG{signal}");
        // The session was closed, not left hanging.
        assert!(otq.line().is_err());

        let broker = Process::start(folder.path(), &[]);
        assert_eq!(Otq::login(broker.otq).unwrap().get("default", 9).unwrap(), ["stays"]);
        broker.stop();
    }
}

#[test]
fn a_stop_does_not_wait_for_clients_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Process::start(folder.path(), &[]);
    let mut subscriber = Otq::login(broker.otq).unwrap();
    subscriber.send("OTQ SUBSCRIBE pubsub\r\n").unwrap();
    assert_eq!(subscriber.line().unwrap(), "PROCEED");
    let mut rows = Otq::login(broker.otq).unwrap();
    rows.send("OTQ PUT default 2 BATCH\r\nfirst\r\n").unwrap();
    assert_eq!(rows.line().unwrap(), "PROCEED");
    let http = broker.http;
    let receiver = std::thread::spawn(move || {
        Http::connect(http)?.ask("POST", "/v1/topics/pubsub/receive?wait_ms=60000", "")
    });
    broker.signal("TERM");
    assert_eq!(process::wait(&mut broker.child).code(), Some(0));
    assert!(subscriber.line().is_err() && rows.line().is_err());
    // Answered or cut off; it does not hang.
    let _ = receiver.join().unwrap();
}

#[test]
fn without_a_command_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let set = "store.path=store;http.listen=127.0.0.1:0;otq.listen=";
    let mut command = octoq(folder.path());
    let mut child =
        command.env("OCTOQ__STORE__PATH", "store").env("OCTOQ__HTTP__LISTEN", "127.0.0.1:0");
    child = child.env("OCTOQ__OTQ__LISTEN", "127.0.0.1:0").stdout(std::process::Stdio::piped());
    let mut child = child.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut ready = [0; 12];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(&ready, b"octoq ready\n");
    child.kill().unwrap();
    child.wait().unwrap();

    // `run` is octoque's word for it; a door may be off; settings may come in one variable.
    let mut command = octoq(folder.path());
    let mut child = command
        .arg("run")
        .env("OCTOQ_SET", set)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut out = [0; 12 + 17];
    child.stdout.as_mut().unwrap().read_exact(&mut out).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let mut rest = String::new();
    child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(&out, b"octoq ready\nhttp http://127.0");
    assert!(!rest.contains("otq"), "{rest}");
}

#[test]
fn a_taken_port_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for door in ["http", "otq", "blockqueue"] {
        let ended = run(&mut serve(folder.path(), &[&format!("{door}.listen={address}")]), "");
        expect_refusal(&ended, &[&format!("{door}: cannot listen on {address}"), "in use"]);
    }
}

#[test]
fn a_second_broker_on_the_same_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let ended = run(&mut serve(folder.path(), &[]), "");
    expect_refusal(&ended, &["in use by process", &broker.child.id().to_string()]);
    let ended = set_password(folder.path(), "better\n");
    expect_refusal(&ended, &["in use by process", "PUT /v1/users/NAME"]);
    // The first one does not notice.
    assert_eq!(Otq::login(broker.otq).unwrap().get("default", 1).unwrap(), [""; 0]);
    broker.kill();
    // A lock that was left behind hinders nobody.
    Process::start(folder.path(), &[]).stop();
}

#[test]
fn the_stock_password_is_not_offered_to_other_machines() {
    let folder = tempfile::tempdir().unwrap();
    for door in ["http", "otq", "blockqueue"] {
        let open = format!("{door}.listen=0.0.0.0:0");
        let ended = run(&mut serve(folder.path(), &[&open]), "");
        expect_refusal(
            &ended,
            &["stock password", "octoq user passwd admin", "allow_stock_password"],
        );
        Process::start(folder.path(), &[&open, "auth.allow_stock_password=true"]).stop();
    }
    let ended = set_password(folder.path(), "better\n");
    assert!(ended.status.success(), "{ended:?}");
    Process::start(folder.path(), &["http.listen=0.0.0.0:0", "otq.listen=0.0.0.0:0"]).stop();
}

#[test]
fn a_password_is_set_from_standard_input() {
    let folder = tempfile::tempdir().unwrap();
    let ended = set_password(folder.path(), "better\r\nsecond line\n");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(!format!("{ended:?}").contains("better"), "a password is not repeated: {ended:?}");
    assert_eq!(set_password(folder.path(), "\n").status.code(), Some(1), "an empty one is none");

    let mut add = octoq(folder.path());
    add.args(["user", "--set", "store.path=store", "add", "ann", "--topic", "default"]);
    assert!(run(&mut add, "her-own-word\n").status.success());
    let listed = run(octoq(folder.path()).args(["user", "--set", "store.path=store", "ls"]), "");
    assert_eq!((listed.status.code(), listed.out.as_str()), (Some(0), "admin\tadmin\nann\tuser\n"));
    let mut unknown = octoq(folder.path());
    let unknown = run(unknown.args(["user", "--set", "store.path=store", "passwd", "bob"]), "x\n");
    expect_refusal(&unknown, &["there is no user `bob`"]);

    let broker = Process::start(folder.path(), &[]);
    for (login, answer) in [
        ("OTQ CONNECT admin password", "DECLINE:Unauthorized access"),
        ("OTQ CONNECT admin better", "CONNECTED"),
        ("OTQ CONNECT ann her-own-word", "CONNECTED"),
    ] {
        let mut otq = Otq::connect(broker.otq).unwrap();
        otq.send(&format!("{login}\r\n")).unwrap();
        assert_eq!(otq.line().unwrap(), answer, "{login}");
    }
    broker.stop();
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for secret in ["better", "her-own-word", "argon2"] {
        assert!(!log.contains(secret), "`{secret}` is in the log");
    }
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Process::start(folder.path(), &[]);
    let mut otq = Otq::login(broker.otq).unwrap();
    otq.send("OTQ PUT default 1 BATCH\r\nstays\r\n").unwrap();
    assert_eq!((otq.line().unwrap(), otq.line().unwrap()), ("PROCEED".into(), "ENDOFRESP".into()));
    broker.stop();

    let set_format = |change: &str| {
        let file = std::fs::read_dir(folder.path().join("store"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                let mut head = [0; 15];
                let file = std::fs::File::open(path);
                file.is_ok_and(|mut file| file.read_exact(&mut head).is_ok())
                    && &head == b"SQLite format 3"
            })
            .expect("the store's main file");
        let conn = rusqlite::Connection::open(file).unwrap();
        let changed = conn
            .execute(&format!("UPDATE meta SET value = value {change} WHERE key = 'format'"), []);
        assert_eq!(changed.unwrap(), 1);
    };
    set_format("+ 1");
    let ended = run(&mut serve(folder.path(), &[]), "");
    expect_refusal(&ended, &["is newer than"]);
    expect_refusal(&set_password(folder.path(), "x\n"), &["is newer than"]);
    set_format("- 1");
    let broker = Process::start(folder.path(), &[]);
    assert_eq!(Otq::login(broker.otq).unwrap().get("default", 9).unwrap(), ["stays"]);
    broker.stop();
}

#[test]
fn wrong_arguments_and_settings_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    for setting in
        ["no.such=1", "otq.lisen=x", "otq.rows_max=many", "otq.listen=nowhere", "nothing"]
    {
        let ended = run(&mut serve(folder.path(), &[setting]), "");
        assert_eq!(ended.status.code(), Some(2), "{setting}: {ended:?}");
        assert!(ended.err.contains("octoq: configuration: "), "{setting}: {ended:?}");
    }
    assert_eq!(run(octoq(folder.path()).arg("--nope"), "").status.code(), Some(2));
    assert_eq!(
        run(octoq(folder.path()).args(["serve", "--config", "missing.toml"]), "").status.code(),
        Some(2)
    );
    let help = run(octoq(folder.path()).arg("--help"), "");
    assert!(help.status.success() && help.out.contains("serve"), "{help:?}");
}

#[test]
fn what_is_no_http_leaves_nothing_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = serve(folder.path(), &[]);
    // The log as it is without a wish.
    let child =
        command.env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let door = out.find_map(|line| Some(line.strip_prefix("http http://")?.to_owned())).unwrap();
    for _ in 0..3 {
        let mut stranger = TcpStream::connect(&door).unwrap();
        stranger.write_all(b"\x00\x01 nothing of HTTP\r\n\r\n").unwrap();
        let mut answer = String::new();
        stranger.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    child.kill().unwrap();
    let mut log = String::new();
    child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    child.wait().unwrap();
    assert!(log.contains("octoq") && !log.contains("ERROR"), "{log}");
}
