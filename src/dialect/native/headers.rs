//! A message whose body is the body of the request or answer: all else about it is in headers.

use super::problem::Problem;
use super::publish::Said;
use crate::dialect::trace::{TRACEPARENT, Trace};
use crate::queue::{Content, Delivery};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::str::FromStr;

/// What begins the name of every header that is octoq's own.
const OWN: &str = "octoq-";
/// What begins the name of a header that is an attribute.
const ATTRIBUTE: &str = "octoq-attr-";
/// The attribute that keeps the content type.
const TYPE: &str = "content-type";

/// What the headers of a publish of bare bytes say: the rest of the message, and its attributes as
/// the text of a JSON object.
pub fn said(
    request: &HttpRequest,
    trace: Option<Trace<'_>>,
) -> Result<(Said, Option<String>), Problem> {
    let mut said = Said::default();
    let mut attributes = Map::new();
    if let Some(kind) = request.headers().get(CONTENT_TYPE) {
        attributes.insert(TYPE.to_owned(), text(TYPE, kind)?.into());
    }
    for (name, value) in own(request.headers()) {
        if let Some(attribute) = name.strip_prefix(ATTRIBUTE) {
            let value = text(name, value)?;
            if attribute.is_empty()
                || attributes.insert(attribute.to_owned(), value.into()).is_some()
            {
                return Err(Problem::invalid(format!(
                    "headers: the attribute `{attribute}` has no name, or is given twice"
                )));
            }
        }
    }
    said.id = once(request, "octoq-id")?.map(bytes);
    said.dedup_key = once(request, "octoq-dedup-key")?.map(bytes);
    said.ordering_key = once(request, "octoq-ordering-key")?.map(bytes);
    said.delay_ms = number(request, "octoq-delay-ms")?;
    said.deliver_at_ms = number(request, "octoq-deliver-at-ms")?;
    said.ttl_ms = number(request, "octoq-ttl-ms")?;
    said.priority = number(request, "octoq-priority")?.unwrap_or(0);
    said.front = number(request, "octoq-front")?.unwrap_or(false);
    const KNOWN: [&str; 8] = [
        "id",
        "dedup-key",
        "ordering-key",
        "delay-ms",
        "deliver-at-ms",
        "ttl-ms",
        "priority",
        "front",
    ];
    let unknown = own(request.headers()).map(|(name, _)| name).find(|name| {
        !name.starts_with(ATTRIBUTE) && !KNOWN.contains(&name.strip_prefix(OWN).unwrap_or(name))
    });
    if let Some(name) = unknown {
        return Err(Problem::invalid(format!("headers: `{name}` is not known")));
    }
    if let Some(trace) = trace {
        attributes.entry(TRACEPARENT).or_insert_with(|| trace.text().into());
    }
    let attributes = (!attributes.is_empty()).then(|| Value::Object(attributes).to_string());
    Ok((said, attributes))
}

/// octoq's own headers.
fn own(headers: &HeaderMap) -> impl Iterator<Item = (&str, &HeaderValue)> {
    let all = headers.iter().map(|(name, value)| (name.as_str(), value));
    all.filter(|(name, _)| name.starts_with(OWN))
}

fn text(name: &str, value: &HeaderValue) -> Result<String, Problem> {
    String::from_utf8(value.as_bytes().to_vec())
        .map_err(|_| Problem::invalid(format!("headers: `{name}` is not UTF-8")))
}

fn bytes(value: &HeaderValue) -> Bytes {
    Bytes::copy_from_slice(value.as_bytes())
}

fn once<'a>(request: &'a HttpRequest, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = request.headers().get_all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Problem::invalid(format!("headers: `{name}` is given twice"))),
    }
}

fn number<T: FromStr>(request: &HttpRequest, name: &str) -> Result<Option<T>, Problem> {
    let Some(value) = once(request, name)? else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| text.parse().ok());
    match parsed {
        Some(value) => Ok(Some(value)),
        None => Err(Problem::invalid(format!("headers: `{name}` cannot have this value"))),
    }
}

/// A delivery as an answer: its body, and all else in headers.
pub fn delivered(delivery: Delivery) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    let message = delivery.message;
    let attributes: Map<String, Value> =
        message.attributes().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut left_out = 0u32;
    let mut kind = None;
    for (name, value) in &attributes {
        let value = match value {
            Value::String(text) => HeaderValue::from_str(text),
            other => HeaderValue::from_str(&other.to_string()),
        };
        let header = match name.as_str() {
            TYPE => Ok(CONTENT_TYPE),
            TRACEPARENT => Ok(HeaderName::from_static(TRACEPARENT)),
            name => HeaderName::from_str(&format!("{ATTRIBUTE}{name}")),
        };
        match (header, value) {
            (Ok(CONTENT_TYPE), Ok(value)) => kind = Some(value),
            (Ok(header), Ok(value)) => drop(response.append_header((header, value))),
            // A name or a value that no header can have.
            _ => left_out += 1,
        }
    }
    let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
    response.insert_header((CONTENT_TYPE, kind));
    // What a stranger published must never run as a page of this door.
    response.insert_header(("x-content-type-options", "nosniff"));
    response.insert_header(("content-security-policy", "sandbox; default-src 'none'"));
    let id = message.id().to_string();
    // An id that is not text cannot be shown in one.
    match HeaderValue::from_str(&id) {
        Ok(id) => drop(response.insert_header(("octoq-id", id))),
        Err(_) => left_out += 1,
    }
    response.insert_header(("octoq-seq", message.seq));
    response.insert_header(("octoq-published-at-ms", message.published_at.0));
    response.insert_header(("octoq-attempt", delivery.attempt));
    if let Some(receipt) = delivery.receipt {
        response.insert_header(("octoq-receipt", receipt.to_string()));
        response.insert_header(("octoq-deadline-ms", delivery.deadline.0));
    }
    if left_out > 0 {
        response.insert_header(("octoq-left-out", left_out));
    }
    response.body(message.body.map(Content::into_body).unwrap_or_default())
}
