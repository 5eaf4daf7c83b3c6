//! `GET /openapi.json`: the document of this door, made from the types that its handlers read and write.
//!
//! What an operation takes and gives is written beside its handler (`#[utoipa::path]`); here is only
//! the list of them, and what all of them have in common. The tests compare the list with the routes.

mod settings;
#[cfg(test)]
mod tests;

use super::problem::CODES;
use super::{
    Native, acks, backup, connections, dead, definitions, delay, events, health, history,
    importing, inside, looking, metrics, moving, otq_socket, problem::Problem, publish, queues,
    receive, redrive, replies, session, socket, stats, tokens, topics, users, watch, ws,
};
use crate::config::HttpConfig;
use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::OpenApi;

/// One line for each operation; what it is stands beside its handler.
#[derive(OpenApi)]
#[openapi(
    version = "3.1.0",
    info(
        title = "octoq",
        description = "The HTTP door of octoq, a message broker in which every topic is an actor.\n\n\
            Every refusal is `application/problem+json` with a stable `code`. Below `/v1` unknown \
            fields, unknown parameters and a body where none is taken are refused. Durations end in `_ms`, times are milliseconds since the Unix \
            epoch. Names of topics and queues are bytes: in a path they are percent-encoded.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers((url = "/", description = "This broker")),
    tags(
        (name = "messages", description = "Publish, receive, settle."),
        (name = "looking", description = "Look at messages without taking them."),
        (name = "moving", description = "Delete, move, edit and redrive messages."),
        (name = "push", description = "WebSocket and server-sent events."),
        (name = "topics", description = "Topics and their settings."),
        (name = "queues", description = "Queues and their settings."),
        (name = "accounts", description = "Users and bearer tokens."),
        (name = "broker", description = "Figures, definitions, backups, health."),
    ),
    paths(
        publish::publish,
        publish::publish_into,
        receive::receive,
        receive::receive_from,
        acks::ack,
        acks::nack,
        acks::extend,
        looking::peek,
        looking::list,
        looking::show,
        moving::delete,
        moving::delete_many,
        moving::purge,
        moving::move_messages,
        moving::edit,
        redrive::redrive,
        redrive::progress,
        redrive::stop,
        socket::open,
        ws::subscribe,
        events::subscribe,
        replies::reply,
        topics::list,
        topics::create,
        topics::show,
        topics::change,
        topics::delete,
        topics::pause,
        topics::resume,
        stats::topic,
        queues::list,
        queues::show,
        queues::put,
        queues::change,
        queues::delete,
        queues::pause,
        queues::resume,
        queues::detach,
        queues::attach,
        tokens::users,
        users::put,
        users::change,
        tokens::remove_user,
        tokens::list,
        tokens::make,
        tokens::remove,
        stats::broker,
        history::history,
        connections::list,
        connections::close,
        watch::open,
        inside::config,
        inside::log,
        session::begin,
        session::show,
        session::end,
        dead::list,
        delay::delay,
        otq_socket::open,
        definitions::export,
        importing::import,
        backup::backup,
        health::live,
        health::ready,
        metrics::metrics,
        show,
    ),
    components(schemas(Problem)),
)]
struct Paths;

/// Fields with their types; without one, any JSON will do.
type OneOf = &'static [(&'static str, Option<&'static str>)];

/// What utoipa has no words for, of bodies that have one of several fields.
const EXACTLY_ONE: [(&str, OneOf); 4] = [
    ("PublishBody", &[("body", Some("string")), ("json", None), ("base64", Some("string"))]),
    ("AckBody", WHICH),
    ("NackBody", WHICH),
    ("ExtendBody", WHICH),
];
/// Fields that do not go together.
const NOT_BOTH: [(&str, [(&str, &str); 2]); 5] = [
    ("PublishBody", [("delay_ms", "integer"), ("deliver_at_ms", "integer")]),
    ("MoveBody", [("ids", "array"), ("max", "integer")]),
    ("RedriveBody", [("ids", "array"), ("max", "integer")]),
    ("RedriveBody", [("ids", "array"), ("filter", "object")]),
    ("RedriveBody", [("rate_per_s", "integer"), ("after", "string")]),
];
const WHICH: OneOf =
    &[("receipt", Some("string")), ("receipts", Some("array")), ("ids", Some("array"))];

/// Operations that take no credentials.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/openapi.json"];

/// The whole document.
pub(super) fn document(http: &HttpConfig) -> Value {
    let mut document = serde_json::to_value(Paths::openapi()).unwrap_or_default();
    document["security"] = json!([{}, {"basic": []}, {"bearer": []}, {"cookie": []}]);
    let components = &mut document["components"];
    components["securitySchemes"] = json!({
        "basic": {"type": "http", "scheme": "basic", "description": "A user and its password."},
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token, made with `POST /v1/tokens`.",
        },
        "cookie": {
            "type": "apiKey",
            "in": "cookie",
            "name": "octoq_session",
            "description": "Set by `POST /v1/session`; what changes something says `octoq-csrf` as well.",
        },
    });
    components["responses"] = json!({"problem": {
        "description": "Refused; `code` says why.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }});
    let schemas = &mut components["schemas"];
    let mut codes: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
    CODES.iter().for_each(|(status, code)| codes.entry(code).or_default().push(*status));
    let code = &mut schemas["Problem"]["properties"]["code"];
    code["enum"] = codes.keys().copied().collect();
    code["x-statuses"] = json!(codes);
    for (name, fields) in EXACTLY_ONE {
        let one = |(field, kind): &(&str, Option<&str>)| match kind {
            // A null counts as left out.
            Some(kind) => json!({"required": [field], "properties": {*field: {"type": kind}}}),
            None => json!({"required": [field]}),
        };
        schemas[name]["oneOf"] = fields.iter().map(one).collect();
    }
    for (name, [(one, is), (other, has)]) in NOT_BOTH {
        let both = json!({
            "required": [one, other],
            "properties": {one: {"type": is}, other: {"type": has}},
        });
        match schemas[name]["allOf"].as_array_mut() {
            Some(known) => known.push(json!({"not": both})),
            None => schemas[name]["allOf"] = json!([{"not": both}]),
        }
    }
    bounded(&mut document);
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for operation in operations.as_object_mut().into_iter().flatten().map(|(_, one)| one) {
            let problem = json!({"$ref": "#/components/responses/problem"});
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                if parameter["name"] == "wait_ms" {
                    parameter["schema"]["maximum"] = http.wait_max_s.saturating_mul(1000).into();
                }
            }
            let body = operation.pointer_mut("/requestBody/content/application~1json/schema");
            if let Some(body) = body
                && let Some([reference, null]) = body["oneOf"].as_array().map(Vec::as_slice)
                && null["type"] == "null"
            {
                // No body at all will do, but not a null.
                *body = reference.clone();
            }
            operation["responses"]["4XX"] = problem.clone();
            operation["responses"]["5XX"] = problem;
            if OPEN.contains(&path.as_str()) {
                operation["security"] = json!([]);
            }
        }
    }
    document
}

fn is_integer(kind: &Value) -> bool {
    let own = |kind: &Value| kind == "integer";
    own(kind) || kind.as_array().is_some_and(|kinds| kinds.iter().any(own))
}

/// Says what a reader of the schemas cannot know: how large a number may be, and that some bodies are
/// bytes, which since 3.1 is said by saying nothing.
fn bounded(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(is_integer) {
                let format = fields.get("format").and_then(Value::as_str);
                let (named, most) = match format {
                    // utoipa writes them in a way that nobody registered.
                    Some("u-int8") => (Some("uint8"), u64::from(u8::MAX)),
                    Some("u-int16") => (Some("uint16"), u64::from(u16::MAX)),
                    Some("u-int32") => (Some("uint32"), u64::from(u32::MAX)),
                    Some("u-int64") => (Some("uint64"), u64::MAX),
                    Some("int32") => (None, i32::MAX.unsigned_abs().into()),
                    Some(_) => (None, i64::MAX.unsigned_abs()),
                    None => (None, u64::MAX),
                };
                fields.entry("maximum").or_insert(most.into());
                if let Some(named) = named {
                    fields.insert("format".to_owned(), named.into());
                }
            }
            for (name, value) in fields.iter_mut() {
                match name.as_str() {
                    "application/octet-stream" | "application/vnd.sqlite3" => *value = json!({}),
                    _ => bounded(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(bounded),
        _ => (),
    }
}

/// The document as text, made when it is first asked for.
#[derive(Default)]
pub struct Document(std::cell::OnceCell<Bytes>);

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "broker", operation_id = "openapi",
    summary = "This document",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn show(native: web::Data<Native>) -> HttpResponse {
    let text = native.document.0.get_or_init(|| document(&native.http).to_string().into());
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}
