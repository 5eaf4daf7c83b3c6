//! `/openapi.json`: the operations and schemas under the names that generated clients use.

use super::Fastqueue;
use super::answer::Answer;
use super::schema::{ID_CHARS_MAX, ID_PATTERN};
use crate::config::FastqueueConfig;
use serde_json::{Map, Value, json};

/// An operation: function, method, path, body, success, what it answers with, and whether something in
/// the path can be missing.
struct Operation {
    function: &'static str,
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    status: u16,
    answer: Option<&'static str>,
    query: &'static [(&'static str, u64)],
    not_found: bool,
}

const PAGE: &[(&str, u64)] = &[("offset", 0), ("limit", 10)];
const LIMIT: &[(&str, u64)] = &[("limit", 10)];

const fn operation(function: &'static str, method: &'static str, path: &'static str) -> Operation {
    Operation {
        function,
        method,
        path,
        body: None,
        status: 200,
        answer: None,
        query: &[],
        not_found: true,
    }
}

const OPERATIONS: [Operation; 17] = [
    Operation {
        answer: Some("ListTopicSchema"),
        query: PAGE,
        not_found: false,
        ..operation("list_topics", "get", "/topics")
    },
    Operation {
        body: Some("CreateTopicSchema"),
        status: 201,
        answer: Some("TopicSchema"),
        not_found: false,
        ..operation("create_topic", "post", "/topics")
    },
    Operation {
        answer: Some("TopicSchema"),
        ..operation("get_topic", "get", "/topics/{topic_id}")
    },
    Operation { status: 204, ..operation("delete_topic", "delete", "/topics/{topic_id}") },
    Operation {
        answer: Some("ListQueueSchema"),
        query: PAGE,
        not_found: false,
        ..operation("list_queues", "get", "/queues")
    },
    Operation {
        body: Some("CreateQueueSchema"),
        status: 201,
        answer: Some("QueueSchema"),
        ..operation("create_queue", "post", "/queues")
    },
    Operation {
        answer: Some("QueueSchema"),
        ..operation("get_queue", "get", "/queues/{queue_id}")
    },
    Operation {
        body: Some("UpdateQueueSchema"),
        answer: Some("QueueSchema"),
        ..operation("update_queue", "put", "/queues/{queue_id}")
    },
    Operation { status: 204, ..operation("delete_queue", "delete", "/queues/{queue_id}") },
    Operation {
        answer: Some("QueueStatsSchema"),
        ..operation("get_queue_stats", "get", "/queues/{queue_id}/stats")
    },
    Operation {
        status: 204,
        ..operation("purge_queue_messages", "put", "/queues/{queue_id}/purge")
    },
    Operation {
        body: Some("RedriveQueueSchema"),
        status: 204,
        ..operation("redrive_queue_messages", "put", "/queues/{queue_id}/redrive")
    },
    Operation {
        body: Some("CreateMessageSchema"),
        status: 201,
        answer: Some("ListMessageSchema"),
        ..operation("create_message", "post", "/topics/{topic_id}/messages")
    },
    Operation {
        answer: Some("ListMessageSchema"),
        query: LIMIT,
        ..operation("list_messages_for_consume", "get", "/queues/{queue_id}/messages")
    },
    Operation {
        status: 204,
        not_found: false,
        ..operation("ack_message", "put", "/messages/{message_id}/ack")
    },
    Operation {
        status: 204,
        not_found: false,
        ..operation("nack_message", "put", "/messages/{message_id}/nack")
    },
    Operation {
        answer: Some("HealthSchema"),
        not_found: false,
        ..operation("health", "get", "/health")
    },
];

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

/// `ack_deadline_seconds`: `Ack Deadline Seconds`.
fn title(name: &str) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{}{rest}", first.to_ascii_uppercase())
    };
    name.split('_').map(word).collect::<Vec<_>>().join(" ")
}

impl Operation {
    /// `<function>_<path with other than word characters as _>_<method>`
    fn id(&self) -> String {
        let word = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let path: String = self.path.chars().map(word).collect();
        format!("{}{path}_{}", self.function, self.method)
    }

    /// What clients group it by; the last word of its path that says what it deals with.
    fn tag(&self) -> Option<&'static str> {
        let deals_with_messages = self.path.ends_with("/messages");
        ["messages", "topics", "queues"].into_iter().find(|tag| {
            let named = self.path.trim_start_matches('/').starts_with(tag);
            if *tag == "messages" { named || deals_with_messages } else { named }
        })
    }

    fn document(&self) -> Value {
        let mut parameters = Vec::new();
        if let Some((_, rest)) = self.path.split_once('{')
            && let Some((name, _)) = rest.split_once('}')
        {
            let schema = json!({"title": title(name), "type": "string"});
            parameters
                .push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
        for (name, usual) in self.query {
            let schema = json!({"title": title(name), "type": "integer", "default": usual});
            parameters
                .push(json!({"name": name, "in": "query", "required": false, "schema": schema}));
        }
        let mut responses = Map::new();
        let success = match self.answer {
            Some(schema) => {
                json!({"description": "Successful Response", "content": content(schema)})
            }
            None => json!({"description": "Successful Response"}),
        };
        responses.insert(self.status.to_string(), success);
        if self.not_found {
            let answer = json!({"description": "Not Found", "content": content("NotFoundSchema")});
            responses.insert("404".to_owned(), answer);
        }
        if !parameters.is_empty() || self.body.is_some() {
            let refusal = content("HTTPValidationError");
            let answer = json!({"description": "Validation Error", "content": refusal});
            responses.insert("422".to_owned(), answer);
        }
        let mut document = json!({
            "summary": title(self.function),
            "operationId": self.id(),
            "responses": responses,
        });
        if let Some(tag) = self.tag() {
            document["tags"] = json!([tag]);
        }
        if !parameters.is_empty() {
            document["parameters"] = parameters.into();
        }
        if let Some(body) = self.body {
            document["requestBody"] = json!({"content": content(body), "required": true});
        }
        document
    }
}

/// A schema of these fields; `?` at the end of a name: it may be left out.
fn schema(name: &str, fields: &[(&str, Value)]) -> (String, Value) {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (field, kind) in fields {
        let plain = field.trim_end_matches('?');
        if plain == *field {
            required.push(plain);
        }
        let mut kind = kind.clone();
        if kind.get("title").is_none() {
            kind["title"] = title(plain).into();
        }
        properties.insert(plain.to_owned(), kind);
    }
    let mut document = json!({"title": name, "type": "object", "properties": properties});
    if !required.is_empty() {
        document["required"] = json!(required);
    }
    (name.to_owned(), document)
}

fn list(of: &str) -> Value {
    json!({"type": "array", "items": reference(of)})
}

/// A field that is there and may be null.
fn nullable(mut kind: Value) -> Value {
    kind["nullable"] = true.into();
    kind
}

fn schemas(settings: &FastqueueConfig) -> Value {
    let id = || json!({"type": "string", "maxLength": ID_CHARS_MAX, "pattern": ID_PATTERN});
    let text = || json!({"type": "string"});
    let integer = || json!({"type": "integer"});
    let between =
        |(least, most): (i64, i64)| json!({"type": "integer", "minimum": least, "maximum": most});
    let object = || json!({"type": "object"});
    let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let filters = || {
        let values = json!({"type": "array", "items": {"type": "string"}});
        json!({"type": "object", "additionalProperties": values})
    };
    let time = || json!({"type": "string", "format": "date-time"});
    let chosen = [
        ("topic_id?", id()),
        ("dead_queue_id?", id()),
        ("ack_deadline_seconds", between(settings.ack_deadline_bounds())),
        ("message_retention_seconds", between(settings.retention_bounds())),
        ("message_filters?", filters()),
        ("message_max_deliveries?", between(settings.deliveries_bounds())),
        ("delivery_delay_seconds?", between(settings.delay_bounds())),
    ];
    let create_queue: Vec<_> = [("id", id())].into_iter().chain(chosen.clone()).collect();
    let place = json!({"anyOf": [{"type": "string"}, {"type": "integer"}]});
    let all = [
        schema("CreateTopicSchema", &[("id", id())]),
        schema("TopicSchema", &[("id", id()), ("created_at", time())]),
        schema("ListTopicSchema", &[("data", list("TopicSchema"))]),
        schema("CreateQueueSchema", &create_queue),
        schema("UpdateQueueSchema", &chosen),
        schema(
            "QueueSchema",
            &[
                ("id", id()),
                ("topic_id?", nullable(id())),
                ("dead_queue_id?", nullable(id())),
                ("ack_deadline_seconds", integer()),
                ("message_retention_seconds", integer()),
                ("message_filters?", nullable(filters())),
                ("message_max_deliveries?", nullable(integer())),
                ("delivery_delay_seconds?", nullable(integer())),
                ("created_at", time()),
                ("updated_at", time()),
            ],
        ),
        schema("ListQueueSchema", &[("data", list("QueueSchema"))]),
        schema(
            "QueueStatsSchema",
            &[
                ("num_undelivered_messages", integer()),
                ("oldest_unacked_message_age_seconds", integer()),
            ],
        ),
        schema("RedriveQueueSchema", &[("destination_queue_id", text())]),
        schema("CreateMessageSchema", &[("data", object()), ("attributes?", texts())]),
        schema(
            "MessageSchema",
            &[
                ("id", json!({"type": "string", "format": "uuid"})),
                ("queue_id", id()),
                ("data", object()),
                ("attributes?", nullable(texts())),
                ("delivery_attempts", integer()),
                ("expired_at", time()),
                ("scheduled_at", time()),
                ("created_at", time()),
                ("updated_at", time()),
            ],
        ),
        schema("ListMessageSchema", &[("data", list("MessageSchema"))]),
        schema("HealthSchema", &[("success", json!({"type": "boolean"}))]),
        schema("NotFoundSchema", &[("detail", text())]),
        schema("HTTPValidationError", &[("detail?", list("ValidationError"))]),
        schema(
            "ValidationError",
            &[
                ("loc", json!({"title": "Location", "type": "array", "items": place})),
                ("msg", json!({"title": "Message", "type": "string"})),
                ("type", json!({"title": "Error Type", "type": "string"})),
            ],
        ),
    ];
    Value::Object(all.into_iter().collect())
}

fn document(settings: &FastqueueConfig, mount: &str) -> Value {
    let mut paths = Map::new();
    for operation in &OPERATIONS {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = operation.document();
    }
    let mut document = json!({
        "openapi": "3.0.2",
        "info": {"title": "fastqueue", "version": "0.1.0"},
        "paths": paths,
        "components": {"schemas": schemas(settings)},
    });
    if !mount.is_empty() {
        document["servers"] = json!([{"url": mount}]);
    }
    document
}

/// The answer to `GET /openapi.json`.
pub fn answer(door: &Fastqueue) -> Answer {
    Answer::json(200, document(&door.settings, &door.path).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_ids_that_generated_clients_use() {
        let ids: Vec<String> = OPERATIONS.iter().map(Operation::id).collect();
        let expected = [
            "list_topics_topics_get",
            "create_topic_topics_post",
            "get_topic_topics__topic_id__get",
            "delete_topic_topics__topic_id__delete",
            "list_queues_queues_get",
            "create_queue_queues_post",
            "get_queue_queues__queue_id__get",
            "update_queue_queues__queue_id__put",
            "delete_queue_queues__queue_id__delete",
            "get_queue_stats_queues__queue_id__stats_get",
            "purge_queue_messages_queues__queue_id__purge_put",
            "redrive_queue_messages_queues__queue_id__redrive_put",
            "create_message_topics__topic_id__messages_post",
            "list_messages_for_consume_queues__queue_id__messages_get",
            "ack_message_messages__message_id__ack_put",
            "nack_message_messages__message_id__nack_put",
            "health_health_get",
        ];
        assert_eq!(ids, expected);
    }

    #[test]
    fn every_schema_that_is_spoken_of_is_there_and_bounds_are_those_that_are_set() {
        let settings = FastqueueConfig { ack_deadline_s_max: 900, ..FastqueueConfig::default() };
        let document = document(&settings, "/fq");
        let text = document.to_string();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        assert_eq!(schemas.len(), 16);
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        let deadline = &schemas["UpdateQueueSchema"]["properties"]["ack_deadline_seconds"];
        assert_eq!((&deadline["minimum"], &deadline["maximum"]), (&json!(1), &json!(900)));
        assert_eq!(schemas["CreateQueueSchema"]["required"].as_array().unwrap().len(), 3);
        assert_eq!(document["servers"][0]["url"], "/fq");
    }

    #[test]
    fn operations_are_grouped_by_what_they_deal_with() {
        let tag = |id: &str| OPERATIONS.iter().find(|of| of.id() == id).unwrap().tag();
        assert_eq!(tag("create_message_topics__topic_id__messages_post"), Some("messages"));
        assert_eq!(tag("ack_message_messages__message_id__ack_put"), Some("messages"));
        assert_eq!(tag("get_queue_stats_queues__queue_id__stats_get"), Some("queues"));
        assert_eq!(tag("delete_topic_topics__topic_id__delete"), Some("topics"));
        assert_eq!(tag("health_health_get"), None);
    }
}
