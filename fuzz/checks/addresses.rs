//! What stands in paths, queries and ids of every HTTP door: any text is understood or not, and what is
//! understood is written again the same.

use octoq::dialect::blockqueue::{duration, path as blockqueue};
use octoq::dialect::fastqueue::{ids, route};
use octoq::dialect::path::{percent_decode, query_value};
use octoq::queue::{MessageId, Receipt, TopicName};

/// The whole check.
pub fn check(input: &[u8]) {
    encoded(input);
    id(input);
    if let Ok(name) = TopicName::parse(input) {
        assert_eq!(name.as_bytes(), input);
    }
    let Ok(text) = std::str::from_utf8(input) else { return };
    query(text);
    path(text);
    if let Ok(receipt) = text.parse::<Receipt>() {
        assert!(receipt.to_string().eq_ignore_ascii_case(text));
    }
    if let Some(uuid) = ids::parse(text)
        && let Some(coded) = ids::Coded::of(uuid)
    {
        assert_eq!(coded.uuid(), uuid);
    }
    if let Err(refused) = duration::parse(text) {
        assert!(refused.to_string().is_ascii(), "{refused}");
    }
}

fn encoded(bytes: &[u8]) {
    let decoded = percent_decode(bytes);
    assert!(decoded.len() <= bytes.len());
    assert!(bytes.contains(&b'%') || decoded == bytes);
    let written: String = bytes.iter().map(|byte| format!("%{byte:02x}")).collect();
    assert_eq!(percent_decode(written.as_bytes()), bytes);
}

/// Ids that clients choose come back as they were shown.
fn id(bytes: &[u8]) {
    let id = MessageId::parse(bytes);
    let shown = blockqueue::shown_id(&id);
    assert!(shown.is_ascii() && !shown.contains(['/', ' ', '?', '#']), "{shown}");
    assert_eq!(blockqueue::id_in_body(&shown), id);
    let _ = blockqueue::meant_ids(bytes);
    let (text, coded) = blockqueue::body_text(bytes);
    assert!(coded || text.as_bytes() == bytes);
}

/// The last of several values counts, whatever stands before it.
fn query(text: &str) {
    let _ = query_value(text, "limit");
    let whole = format!("{text}&limit=1%30");
    assert_eq!(query_value(&whole, "limit").as_deref(), Some("10"));
}

fn path(text: &str) {
    match route::find(text) {
        route::Found::Route(route, id) => {
            assert!(text.starts_with('/') && !id.contains('/'), "{text:?}");
            assert!(!route.methods().is_empty(), "{text:?}");
        }
        route::Found::OtherSlash(_) => assert!(text.ends_with('/'), "{text:?}"),
        route::Found::Nothing => (),
    }
}
