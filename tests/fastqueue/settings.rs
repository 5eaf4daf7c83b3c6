//! fastqueue's variables and commands.

use super::process::{octoq, run, serve, wait};
use super::*;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn the_words_of_old_start_scripts_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    for word in ["worker", "db-migrate"] {
        let ended = run(octoq(folder.path()).arg(word), "");
        assert!(ended.status.success(), "{word}: {}", ended.err);
        assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    }
}

#[actix_web::test]
async fn variables_bound_what_clients_may_choose_and_name_the_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = "FASTQUEUE_MAX_ACK_DEADLINE_SECONDS=5\nFASTQUEUE_MAX_DELIVERY_DELAY_SECONDS=1\n\
                FASTQUEUE_SERVER_HOST=127.0.0.1\nFASTQUEUE_SERVER_PORT=0\n";
    std::fs::write(folder.path().join(".env"), file).unwrap();
    let mut command = octoq(folder.path());
    command.args(["server", "--set", "store.path=store", "--set", "http.listen="]);
    for door in ["otq", "okq", "dsmq", "blockqueue"] {
        command.args(["--set", &format!("{door}.listen=")]);
    }
    command.env("fastqueue_max_ack_deadline_seconds", "7");
    command.env("FASTQUEUE_DATABASE_URL", "postgresql://nobody");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "octoq ready");
    let door = lines.next().unwrap().unwrap();
    let address = door.strip_prefix("fastqueue http://").expect("the door").parse().unwrap();
    let json = [("content-type", "application/json")];
    let body = br#"{"id":"q","ack_deadline_seconds":8,"message_retention_seconds":600,"delivery_delay_seconds":2}"#;
    let faults = http(address, "POST", "/queues", &json, body).await.expect(422);
    let said = |at: usize| faults["detail"][at]["msg"].as_str().unwrap().to_owned();
    assert_eq!(said(0), "ensure this value is less than or equal to 7");
    assert_eq!(said(1), "ensure this value is less than or equal to 1");
    let document = http(address, "GET", "/openapi.json", &[], b"").await.expect(200);
    let schema = &document["components"]["schemas"]["CreateQueueSchema"]["properties"];
    assert_eq!(schema["ack_deadline_seconds"]["maximum"], json!(7));
    let _ = child.kill();
    wait(&mut child);
    let log = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert_eq!(log.matches("FASTQUEUE_DATABASE_URL is not used").count(), 1, "{log}");
}

#[test]
fn bounds_that_make_no_sense_stop_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for setting in
        ["fastqueue.ack_deadline_s_min=601", "fastqueue.delay_s_min=0", "fastqueue.nesting_max=0"]
    {
        let ended = run(&mut serve(folder.path(), &[setting]), "");
        let key = setting.split('=').next().unwrap();
        assert!(!ended.status.success() && ended.err.contains(key), "{}", ended.err);
    }
}
