//! What `cargo fuzz run fastqueue_json` starts from, as bodies of requests.

use super::*;
use std::path::Path;

fn corpus() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/fastqueue_json");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let texts: Vec<_> = files
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(texts.len() > 10);
    texts
}

#[actix_web::test]
async fn the_door_answers_every_one_of_them() {
    let broker = TestBroker::start().await;
    topic(&broker, "t").await;
    let json = [("content-type", "application/json")];
    let paths = ["/topics", "/queues", "/topics/t/messages", "/queues/x/redrive"];
    for (name, text) in corpus() {
        for path in paths {
            let method = if path.ends_with("redrive") { "PUT" } else { "POST" };
            let answer = http(broker.door("fastqueue"), method, path, &json, text.as_bytes()).await;
            assert!(matches!(answer.status, 201 | 404 | 422), "{name}: {}", answer.text());
            answer.json();
        }
    }
}
