//! dsmq's own clients of three generations, unchanged, and the integration tests that the package
//! brings, with octoq in the place of its server. What they do is in client.py.

use super::common::{PATIENCE, TestBroker};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

/// Where tests/run puts the clients.
fn clients() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/dsmq-venv");
    assert!(
        folder.join("releases").exists(),
        "dsmq's clients are not there: `tests/run` installs them into {} (it needs the network and \
         python3-venv, once)",
        folder.display()
    );
    folder
}

/// Runs client.py. `release`: one that lies beside the newest.
async fn run(release: Option<&str>, arguments: &[&str]) {
    let clients = clients();
    let mut command = Command::new(clients.join("bin/python"));
    if let Some(release) = release {
        command.env("PYTHONPATH", clients.join(release));
    }
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dsmq/client.py"));
    let folder = tempfile::tempdir().unwrap();
    let told = folder.path().join("told");
    let file = File::create(&told).unwrap();
    let (out, err) = (Stdio::from(file.try_clone().unwrap()), Stdio::from(file));
    command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
    let mut child = command.spawn().unwrap();
    // The suite waits for ten seconds until it believes that a server is gone.
    let deadline = tokio::time::Instant::now() + PATIENCE * 6;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if tokio::time::Instant::now() > deadline => {
                let _ = child.kill();
                break None;
            }
            None => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let told = fs::read(told).unwrap();
    let passed = status.is_some_and(|status| status.success());
    assert!(passed, "{arguments:?}: {status:?}: {}", String::from_utf8_lossy(&told));
}

async fn run_against(broker: &TestBroker, release: Option<&str>, what: &str) {
    let address = broker.door("dsmq");
    run(release, &[what, &address.ip().to_string(), &address.port().to_string()]).await;
}

#[actix_web::test]
async fn the_integration_tests_of_the_package_pass_against_octoq() {
    run(None, &["suite", env!("CARGO_BIN_EXE_octoq")]).await;
}

#[actix_web::test]
async fn the_clients_of_all_generations_work_unchanged() {
    let broker = TestBroker::start().await;
    run_against(&broker, None, "ws").await;
    for release in ["0.7.0", "0.5.0"] {
        let broker = TestBroker::start().await;
        run_against(&broker, Some(release), "plain").await;
    }
}
