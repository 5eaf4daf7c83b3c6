use super::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The routes as they are written: the paths of every `resource(..)` and `post(..)`, with its methods.
fn routes() -> BTreeMap<String, BTreeSet<String>> {
    let source: String = include_str!("../mod.rs").split_whitespace().collect();
    let body = source.split_once("fnpost(path").unwrap().0;
    let mut found = BTreeMap::new();
    for (opened, fixed) in [("resource(", None), ("post(", Some("POST"))] {
        for (at, _) in body.match_indices(opened) {
            let rest = &body[at + opened.len()..];
            let (prefix, rest) = match rest.strip_prefix("&below(") {
                Some(rest) => ("/topics/{topic}/queues/{queue}", rest),
                None => ("", rest),
            };
            // `.route(web::post()..)` and the like.
            let Some(rest) = rest.strip_prefix('"') else { continue };
            let (path, rest) = rest.split_once('"').unwrap();
            let methods = fixed.unwrap_or_else(|| rest.split('"').nth(1).unwrap());
            let methods = methods.split(',').map(str::to_owned).collect();
            let path = path.strip_prefix("/v1").unwrap_or(path);
            let known = found.insert(format!("{prefix}{path}"), methods);
            assert!(known.is_none(), "{path} twice");
        }
    }
    let every = ["get", "post", "put", "patch", "delete"]
        .map(|method| body.matches(&format!("route(web::{method}()")).count());
    let told = found.values().map(BTreeSet::len).sum::<usize>();
    assert_eq!(told, every.iter().sum::<usize>(), "a route that is written in another way");
    found
}

/// Adding a route without telling of it fails here, and telling of one that is not there.
#[test]
fn the_document_has_the_routes_and_no_others() {
    let document = document(&HttpConfig::default());
    let told: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, operations)| {
            let path = path.strip_prefix("/v1").unwrap_or(path);
            let methods = operations.as_object().unwrap().keys().map(|name| name.to_uppercase());
            (path.to_owned(), methods.collect())
        })
        .collect();
    let routes = routes();
    assert!(routes.len() > 30, "{routes:?}");
    let missing: Vec<_> = routes.iter().filter(|(path, of)| told.get(*path) != Some(of)).collect();
    assert!(missing.is_empty(), "add these to the list in openapi/mod.rs: {missing:?}");
    let more: Vec<_> = told.keys().filter(|path| !routes.contains_key(*path)).collect();
    assert!(more.is_empty(), "no such routes: {more:?}");
}

#[test]
fn every_operation_has_a_name_a_summary_and_answers() {
    let document = document(&HttpConfig::default());
    assert_eq!(document["openapi"], "3.1.0");
    let tags: BTreeSet<_> =
        document["tags"].as_array().unwrap().iter().map(|tag| tag["name"].as_str()).collect();
    let mut names = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap()), "{at}: name");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{at}");
            assert!(tags.contains(&operation["tags"][0].as_str()), "{at}: tag");
            let answers = operation["responses"].as_object().unwrap();
            assert!(answers.keys().any(|status| status.starts_with(['1', '2'])), "{at}");
            assert!(answers.contains_key("4XX") && answers.contains_key("5XX"), "{at}");
            let named = operation["parameters"].as_array().into_iter().flatten();
            let named: BTreeSet<_> = named
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let meant: BTreeSet<_> = path
                .split('/')
                .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            assert_eq!(named, meant, "{at}: the parts of the path");
        }
    }
}

/// Every reference leads somewhere.
#[test]
fn references_are_whole() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(to)) = fields.get("$ref") {
                    found.insert(to);
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => (),
        }
    }
    let document = document(&HttpConfig::default());
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// A request that has a field nobody knows is refused, so its schema must say so.
#[test]
fn bodies_have_no_other_fields() {
    let document = document(&HttpConfig::default());
    let schemas = &document["components"]["schemas"];
    let mut looked_at = 0;
    for operations in document["paths"].as_object().unwrap().values() {
        for operation in operations.as_object().unwrap().values() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let names = schema.to_string();
            let names = names.split("#/components/schemas/").skip(1);
            for name in names.map(|rest| rest.split('"').next().unwrap()) {
                if schemas[name]["properties"].is_object() {
                    assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
                    looked_at += 1;
                }
            }
        }
    }
    assert!(looked_at > 10, "{looked_at}");
}

/// A client in another language must know how large a number may be.
#[test]
fn every_number_has_its_bound() {
    let document = document(&HttpConfig::default());
    let bound = |schema: &str, field: &str| {
        let field = &document["components"]["schemas"][schema]["properties"][field];
        (field["format"].clone(), field["maximum"].clone())
    };
    assert_eq!(bound("QueuePolicy", "max_deliveries"), (json!("uint32"), json!(u32::MAX)));
    assert_eq!(bound("PublishBody", "priority"), (json!("uint8"), json!(9)));
    assert_eq!(bound("PlacedView", "seq"), (json!("uint64"), json!(u64::MAX)));
    assert_eq!(bound("PublishBody", "deliver_at_ms"), (json!("int64"), json!(i64::MAX)));
    let pause = &document["paths"]["/v1/topics/{topic}/pause"]["post"]["requestBody"]["content"];
    let ways = &pause["application/json"]["schema"];
    assert_eq!(ways["$ref"], "#/components/schemas/Ways", "no null");
    assert!(document["paths"]["/livez"]["get"].get("requestBody").is_none());
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false => found.push(path),
        }
    }
}

/// `(404, "topic_not_found", ..` wherever it is said.
#[test]
fn every_code_that_is_said_is_told() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dialect/native"), &mut files);
    let mut said = BTreeSet::new();
    for file in files {
        let source: String = fs::read_to_string(&file).unwrap().split_whitespace().collect();
        let source = source.split("#[cfg(test)]").next().unwrap();
        for (at, _) in source.match_indices('(') {
            let Some((status, rest)) = source[at + 1..].split_once(",\"") else { continue };
            let Some((code, _)) = rest.split_once("\",") else { continue };
            let word =
                |code: &str| code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if let Ok(status @ 400..600) = status.parse::<u16>()
                && word(code)
            {
                said.insert((status, code.to_owned()));
            }
        }
    }
    let told: BTreeSet<_> =
        CODES.iter().map(|(status, code)| (*status, (*code).to_owned())).collect();
    assert_eq!(said, told);
}
