//! The files below `/ui`.

use crate::*;

#[actix_web::test]
async fn the_browser_module_is_served_with_its_type_and_told_apart_by_its_tag() {
    let broker = TestBroker::start().await;
    let answer = broker.http("GET", "/ui/octoq.js", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("export class Octoq"));
    let head = answer.head.to_lowercase();
    for part in [
        "content-type: text/javascript; charset=utf-8",
        "content-security-policy: default-src 'none'; script-src 'self'",
        "x-content-type-options: nosniff",
        "access-control-allow-origin: *",
    ] {
        assert!(head.contains(part), "{part} is not in {head}");
    }
    let tag = answer.head.lines().find_map(|line| {
        line.split_once(": ").filter(|(name, _)| name.eq_ignore_ascii_case("etag"))
    });
    let tag = tag.unwrap().1.to_owned();
    let ask = async |tag: &str| {
        http(broker.door("http"), "GET", "/ui/octoq.js", &[("If-None-Match", tag)], b"").await
    };
    let same = ask(&tag).await;
    assert_eq!((same.status, same.text()), (304, String::new()));
    assert_eq!(ask("\"other\"").await.status, 200);
    assert_eq!(broker.http("POST", "/ui/octoq.js", "").await.status, 405);
    let head = broker.http("HEAD", "/ui/octoq.js", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    broker.http("GET", "/ui/none.js", "").await.expect_problem(404, "not_found");
    broker.http("GET", "/ui/..%2fCargo.toml", "").await.expect_problem(404, "not_found");
}
