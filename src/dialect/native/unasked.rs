//! What a request says that nobody asked for. It would do nothing, and whoever says it means something.

use super::body::Body;
use super::object::object;
use super::problem::Problem;
use actix_web::{FromRequest as _, HttpRequest, dev::Payload, http::Method};
use serde::Deserialize;

/// The requests that read their query. They refuse by themselves what they do not know in it.
const WITH_QUERY: [(&str, &str); 15] = [
    ("GET", "/v1/connections"),
    ("GET", "/v1/dead"),
    ("GET", "/v1/definitions"),
    ("GET", "/v1/history"),
    ("GET", "/v1/log"),
    ("GET", "/v1/topics"),
    ("GET", "/v1/topics/{topic}/events"),
    ("GET", "/v1/topics/{topic}/queues"),
    ("GET", "/v1/topics/{topic}/queues/{queue}/messages"),
    ("GET", "/v1/topics/{topic}/queues/{queue}/peek"),
    ("GET", "/v1/topics/{topic}/ws"),
    ("POST", "/v1/backup"),
    ("POST", "/v1/definitions"),
    ("POST", "/v1/topics/{topic}/queues/{queue}/receive"),
    ("POST", "/v1/topics/{topic}/receive"),
];

/// Refuses the query of a request that reads none.
pub fn query(request: &HttpRequest) -> Result<(), Problem> {
    // Whoever scrapes `/metrics` may add what it likes.
    if request.query_string().is_empty() || !request.path().starts_with("/v1/") {
        return Ok(());
    }
    let path = || request.uri().path().split('/');
    let is = |pattern: &str| {
        path().count() == pattern.split('/').count()
            && path()
                .zip(pattern.split('/'))
                .all(|(said, known)| known.starts_with('{') && !said.is_empty() || said == known)
    };
    let method = request.method().as_str();
    if WITH_QUERY.iter().any(|(known, pattern)| *known == method && is(pattern)) {
        return Ok(());
    }
    Err(Problem::invalid("query: this request has no parameters"))
}

/// The last word of the path tells: names in it are percent-encoded.
fn takes_none(method: &Method, path: &str) -> bool {
    let post = || {
        let last = memchr::memrchr(b'/', path.as_bytes()).and_then(|slash| path.get(slash + 1..));
        matches!(last, Some("receive" | "detach" | "purge" | "backup"))
    };
    method == Method::DELETE || (method == Method::POST && post())
}

/// Reads the body of a request that takes none, if it has one; `None`: it has none, or takes one.
pub fn body(
    request: &HttpRequest,
    payload: &mut Payload,
) -> Option<impl Future<Output = Result<(), Problem>> + use<>> {
    if matches!(payload, Payload::None) || !takes_none(request.method(), request.path()) {
        return None;
    }
    let reading = Body::from_request(request, payload);
    Some(async move {
        let body = reading.await?;
        if !body.is_empty() {
            let Nothing {} = object(&body)?;
        }
        Ok(())
    })
}

/// No field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HttpConfig;
    use crate::dialect::native::openapi::document;
    use std::collections::BTreeSet;

    /// Each operation of the document: method, path, and what it says of it.
    fn operations() -> Vec<(String, String, serde_json::Value)> {
        let document = document(&HttpConfig::default());
        let paths = document["paths"].as_object().unwrap().clone().into_iter();
        let below_v1 = paths.filter(|(path, _)| path.starts_with("/v1/"));
        let of_path = |(path, operations): (String, serde_json::Value)| {
            let operations = operations.as_object().unwrap().clone().into_iter();
            operations.map(move |(method, told)| (method.to_uppercase(), path.clone(), told))
        };
        below_v1.flat_map(of_path).collect()
    }

    #[test]
    fn the_requests_that_read_a_query_are_those_of_the_document() {
        let has_query = |told: &serde_json::Value| {
            let parameters = told["parameters"].as_array().into_iter().flatten();
            parameters.into_iter().any(|one| one["in"] == "query")
        };
        let told: BTreeSet<_> = operations()
            .into_iter()
            .filter(|(_, _, told)| has_query(told))
            .map(|(method, path, _)| (method, path))
            .collect();
        let known = WITH_QUERY.map(|(method, path)| (method.to_owned(), path.to_owned()));
        assert_eq!(told, BTreeSet::from(known));
    }

    #[test]
    fn the_requests_that_take_no_body_are_those_of_the_document() {
        for (method, path, told) in operations() {
            if !matches!(method.as_str(), "GET" | "PUT" | "PATCH") {
                let none = told["requestBody"].is_null();
                let method: Method = method.parse().unwrap();
                assert_eq!(takes_none(&method, &path), none, "{method} {path}");
            }
        }
    }
}
