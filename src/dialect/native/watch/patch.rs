//! JSON merge patches (RFC 7396): what changes one document into another, and in pieces of a bounded
//! size where that is much. Pure. Documents have no nulls: in a patch, null is the word for "gone".

use serde_json::{Map, Value};

/// Takes nulls away, however deep: what is not known is not there.
pub fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

/// What makes `new` of `old`; `None`: nothing, they are the same.
pub fn between(old: &Value, new: &Value) -> Option<Value> {
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        return (old != new).then(|| new.clone());
    };
    let mut patch = Map::new();
    for (name, member) in after {
        let changed = match before.get(name) {
            Some(known) => between(known, member),
            None => Some(member.clone()),
        };
        if let Some(changed) = changed {
            patch.insert(name.clone(), changed);
        }
    }
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// A document on its way to somebody, piece by piece.
#[derive(Debug, Default)]
pub struct Sent {
    /// What has been sent so far.
    document: Map<String, Value>,
    /// The entry that came too late for the last piece: which member, which name in it.
    next: Option<(String, String)>,
}

impl Sent {
    /// Somebody has all of this document.
    pub fn whole(document: &Value) -> Sent {
        Sent { document: document.as_object().cloned().unwrap_or_default(), next: None }
    }

    /// The next piece on the way to `target`, and whether it is the last. Members that hold entries by
    /// name (rows, say) are sent as far as `bytes_max` reaches, and the others whole; what was left out
    /// comes first in the next piece.
    pub fn step(&mut self, target: &Value, bytes_max: usize) -> (Value, bool) {
        let empty = Map::new();
        let target = target.as_object().unwrap_or(&empty);
        let mut patch = Map::new();
        let mut left = bytes_max;
        let mut many = Vec::new();
        for (name, member) in target {
            let known = self.document.get(name);
            match (known, member) {
                (_, Value::Object(entries)) => many.push((name, entries)),
                (Some(known), member) if known == member => (),
                (_, member) => {
                    left = left.saturating_sub(name.len() + 4 + length(member));
                    patch.insert(name.clone(), member.clone());
                    self.document.insert(name.clone(), member.clone());
                }
            }
        }
        let gone: Vec<String> =
            self.document.keys().filter(|name| !target.contains_key(*name)).cloned().collect();
        for name in gone {
            self.document.remove(&name);
            patch.insert(name, Value::Null);
        }
        let first = self.next.take();
        // The member that was interrupted goes on first.
        if let Some((member, _)) = &first
            && let Some(at) = many.iter().position(|(name, _)| *name == member)
        {
            many.rotate_left(at);
        }
        for (name, entries) in many {
            let from = first.as_ref().filter(|(member, _)| member == name).map(|(_, key)| key);
            self.entries(name, entries, from, &mut left, &mut patch);
        }
        (Value::Object(patch), self.next.is_none())
    }

    /// Sends what fits of one member's entries.
    fn entries(
        &mut self,
        name: &str,
        entries: &Map<String, Value>,
        from: Option<&String>,
        left: &mut usize,
        patch: &mut Map<String, Value>,
    ) {
        let missing = !matches!(self.document.get(name), Some(Value::Object(_)));
        if missing {
            self.document.insert(name.to_owned(), Value::Object(Map::new()));
        }
        let Some(Value::Object(known)) = self.document.get_mut(name) else { return };
        let mut changes = Map::new();
        for key in known.keys().filter(|key| !entries.contains_key(*key)) {
            *left = left.saturating_sub(key.len() + 8);
            changes.insert(key.clone(), Value::Null);
        }
        changes.keys().for_each(|key| drop(known.remove(key)));
        let start = from.map_or(0, |from| entries.keys().take_while(|key| *key < from).count());
        let order = entries.iter().skip(start).chain(entries.iter().take(start));
        for (key, entry) in order {
            let changed = match known.get(key) {
                Some(before) => between(before, entry),
                None => Some(entry.clone()),
            };
            let Some(changed) = changed else { continue };
            let bytes = key.len() + 4 + length(&changed);
            // One that fits nowhere goes alone.
            if bytes > *left && !(changes.is_empty() && patch.is_empty()) {
                self.next.get_or_insert_with(|| (name.to_owned(), key.clone()));
                *left = 0;
                break;
            }
            *left = left.saturating_sub(bytes);
            changes.insert(key.clone(), changed);
            known.insert(key.clone(), entry.clone());
        }
        if missing || !changes.is_empty() {
            patch.insert(name.to_owned(), Value::Object(changes));
        }
    }
}

/// Bytes of a value as JSON.
fn length(value: &Value) -> usize {
    struct Counting(usize);
    impl std::io::Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counting = Counting(0);
    // Counting cannot fail.
    let _ = serde_json::to_writer(&mut counting, value);
    counting.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As RFC 7396 says.
    fn apply(target: &mut Value, patch: &Value) {
        let Value::Object(changes) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let members = target.as_object_mut().unwrap();
        for (name, change) in changes {
            if change.is_null() {
                members.remove(name);
            } else {
                apply(members.entry(name.clone()).or_insert(Value::Null), change);
            }
        }
    }

    #[test]
    fn a_patch_makes_the_new_of_the_old() {
        let documents = [
            json!({}),
            json!({"a": 1, "b": {"c": [1, 2], "d": {"e": "x"}}}),
            json!({"a": 1, "b": {"c": [1, 2], "d": {"e": "y"}}}),
            json!({"a": {"now": "an object"}, "b": {}}),
            json!({"b": 7}),
            json!({"b": {"d": {"f": 1}}}),
        ];
        for old in &documents {
            for new in &documents {
                let patch = between(old, new);
                assert_eq!(patch.is_none(), old == new, "{old} {new}");
                let mut patched = old.clone();
                apply(&mut patched, &patch.unwrap_or(json!({})));
                assert_eq!(&patched, new, "from {old}");
            }
        }
        let (one, other) = (&documents[1], &documents[2]);
        assert_eq!(between(one, other), Some(json!({"b": {"d": {"e": "y"}}})), "no more than that");
    }

    #[test]
    fn nulls_are_taken_away() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [{"e": null}]}});
        without_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [{}]}}));
    }

    fn rows(count: usize, value: &str) -> Value {
        let rows: Map<String, Value> =
            (0..count).map(|n| (format!("row{n:03}"), json!({"v": value, "n": n}))).collect();
        json!({"total": count, "order": ["x"], "rows": rows})
    }

    /// Sends a document in pieces; how many it took.
    fn send(sent: &mut Sent, client: &mut Value, target: &Value, bytes_max: usize) -> usize {
        for pieces in 1..1000 {
            let (piece, last) = sent.step(target, bytes_max);
            assert!(piece.to_string().len() <= bytes_max + 40, "{}", piece.to_string().len());
            apply(client, &piece);
            if last {
                assert_eq!(client, target);
                return pieces;
            }
        }
        panic!("it never ends");
    }

    #[test]
    fn what_is_much_is_sent_in_pieces() {
        let (mut sent, mut client) = (Sent::default(), json!({}));
        assert_eq!(send(&mut sent, &mut client, &rows(3, "a"), 4000), 1);
        let pieces = send(&mut sent, &mut client, &rows(200, "a"), 1000);
        assert!((5..20).contains(&pieces), "{pieces}");
        // Nothing changed, nothing sent.
        assert_eq!(sent.step(&rows(200, "a"), 1000), (json!({}), true));
        assert!(send(&mut sent, &mut client, &rows(200, "b"), 1000) > 3);
        assert_eq!(send(&mut sent, &mut client, &rows(1, "b"), 4000), 1, "rows go");
        assert_eq!(send(&mut sent, &mut client, &json!({"rows": {}}), 4000), 1);
        assert_eq!(send(&mut sent, &mut client, &json!({"rows": 1}), 4000), 1);
        assert_eq!(send(&mut sent, &mut client, &rows(2, "b"), 4000), 1);
    }

    #[test]
    fn a_document_that_never_stands_still_reaches_every_row() {
        let mut sent = Sent::default();
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..40 {
            // Everything changes between two pieces.
            let (piece, _) = sent.step(&rows(100, &format!("round {round}")), 500);
            seen.extend(piece["rows"].as_object().unwrap().keys().cloned());
        }
        assert_eq!(seen.len(), 100);
    }

    #[test]
    fn an_entry_that_is_longer_than_a_piece_goes_alone() {
        let long = "x".repeat(5000);
        let target = json!({"rows": {"a": long, "b": long}});
        let (mut sent, mut client) = (Sent::default(), json!({}));
        let (first, last) = sent.step(&target, 1000);
        assert!(!last && first["rows"].as_object().unwrap().len() == 1);
        apply(&mut client, &first);
        let (second, last) = sent.step(&target, 1000);
        apply(&mut client, &second);
        assert!(last && client == target);
    }

    #[test]
    fn whoever_has_the_whole_gets_what_changes() {
        let mut sent = Sent::whole(&rows(2, "a"));
        let (piece, last) = sent.step(&rows(3, "a"), 1000);
        assert!(last);
        let expected = json!({"total": 3, "rows": {"row002": {"v": "a", "n": 2}}});
        assert_eq!(piece, expected);
    }
}
