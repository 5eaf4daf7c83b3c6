//! What clients get: one envelope for everything, its keys in the original's order.

use super::gojson::to_json;
use crate::broker::BrokerError;
use crate::dialect::{
    body::Unread,
    caller::{CHALLENGE, Turned},
};
use crate::queue::Refusal;
use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode};
use serde::Serialize;
use std::{borrow::Cow, fmt};

/// What the original's embedded database says when a name is there already.
const UNIQUE: &str = "UNIQUE constraint failed: topic_subscribers.name, topic_subscribers.topic_id";
/// What it says of a list without subscribers.
const NO_SUBSCRIBERS: &str = "length of array is 0: core.Subscribers{}";

/// A request that is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    status: u16,
    message: &'static str,
    error: Cow<'static, str>,
}

/// What a handler answers.
pub type Answer = Result<HttpResponse, Refused>;

impl Refused {
    fn failure(status: u16, error: impl Into<Cow<'static, str>>) -> Refused {
        Refused { status, message: "failure", error: error.into() }
    }

    /// A request of another form than expected.
    pub fn malformed(error: impl fmt::Display) -> Refused {
        Refused::failure(400, error.to_string())
    }

    /// A topic that is not there.
    pub fn no_topic() -> Refused {
        Refused { status: 404, message: "not found", error: "topic not found".into() }
    }

    /// A topic that is there.
    pub fn topic_exists() -> Refused {
        Refused { status: 409, message: "Conflict", error: "topic was exist".into() }
    }

    /// A list of subscribers without one.
    pub fn no_subscribers() -> Refused {
        Refused::failure(500, NO_SUBSCRIBERS)
    }

    /// A subscriber that is not there.
    pub fn no_subscriber() -> Refused {
        Refused::failure(500, "listener not found")
    }

    /// A subscriber that went while a reader waited for it.
    pub fn deleted() -> Refused {
        Refused::failure(500, "listener was deleted")
    }

    /// A reader that left; only one that half closed its connection still reads this.
    pub fn left() -> Refused {
        Refused::failure(500, "context canceled")
    }

    /// A message that is not in the state the request needs.
    pub fn no_message() -> Refused {
        Refused::failure(500, "message not found")
    }

    /// An answer of the broker that does not belong to the question.
    pub fn unexpected() -> Refused {
        BrokerError::Unavailable.into()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.message, self.error)
    }
}

impl actix_web::ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        #[derive(Serialize)]
        struct Envelope<'a> {
            message: &'a str,
            error: &'a str,
        }
        let mut response = HttpResponseBuilder::new(self.status_code());
        match self.status {
            401 => {
                response.insert_header(("WWW-Authenticate", CHALLENGE));
            }
            503 => {
                response.insert_header(("Retry-After", "1"));
            }
            _ => (),
        }
        let envelope = Envelope { message: self.message, error: &self.error };
        response.content_type("application/json").body(to_json(&envelope))
    }
}

impl From<BrokerError> for Refused {
    fn from(error: BrokerError) -> Self {
        let status = match &error {
            BrokerError::TopicNotFound(_) => return Refused::no_topic(),
            BrokerError::TopicExists(_) => {
                return Refused::topic_exists();
            }
            BrokerError::Refused(refusal) => match refusal {
                Refusal::QueueNotFound => return Refused::no_subscriber(),
                Refusal::QueueExists => return Refused::failure(500, UNIQUE),
                Refusal::ReceiptGone | Refusal::MessageNotFound => {
                    let text = "error ack message. message_id not found";
                    return Refused::failure(500, text);
                }
                Refusal::Full { .. } => 429,
                Refusal::Paused | Refusal::DuplicateId | Refusal::WrongKind => 409,
                Refusal::OutOfBounds(_) => 400,
            },
            BrokerError::Unauthenticated => 401,
            BrokerError::Account(_) | BrokerError::BackupExists(_) => 400,
            BrokerError::NotAllowed(_) => 403,
            BrokerError::TooLarge { .. } => 413,
            BrokerError::TooManyTopics { .. } | BrokerError::TooMany { .. } => 429,
            BrokerError::MemoryFull | BrokerError::DiskFull => 507,
            BrokerError::Busy | BrokerError::Unavailable | BrokerError::Stopping => 503,
            BrokerError::Store(_) | BrokerError::TopicFailed => 500,
        };
        Refused::failure(status, error.to_string())
    }
}

impl From<Turned> for Refused {
    fn from(turned: Turned) -> Self {
        let status = match &turned {
            Turned::Starting => 503,
            Turned::ForeignOrigin => 403,
            Turned::Malformed => 400,
            Turned::Csrf => 403,
            Turned::Stranger(_) | Turned::SessionEnded => 401,
            Turned::Broker(error) => return error.clone().into(),
        };
        Refused::failure(status, turned.to_string())
    }
}

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        let status = match &unread {
            Unread::TooLong => 413,
            Unread::TooSlow => 408,
            Unread::Broken(_) => 400,
        };
        Refused::failure(status, unread.to_string())
    }
}

/// Done, and there is nothing to tell.
pub fn success() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(r#"{"message":"success"}"#)
}

/// Done, with what was asked for.
pub fn data(data: &impl Serialize) -> HttpResponse {
    #[derive(Serialize)]
    struct Envelope<'a, T> {
        message: &'a str,
        data: &'a T,
    }
    let json = to_json(&Envelope { message: "success", data });
    HttpResponse::Ok().content_type("application/json").body(json)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::{ResponseError as _, body::MessageBody as _};

    #[test]
    fn envelopes_have_the_originals_bytes() {
        let shown = |response: HttpResponse| {
            assert_eq!(response.headers().get("Content-Type").unwrap(), "application/json");
            let status = response.status().as_u16();
            let body = response.into_body().try_into_bytes().unwrap_or_default();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let refused = |refused: Refused| shown(refused.error_response());
        assert_eq!(shown(success()), (200, r#"{"message":"success"}"#.to_owned()));
        let list: [&str; 0] = [];
        assert_eq!(shown(data(&list)), (200, r#"{"message":"success","data":[]}"#.to_owned()));
        let table = [
            (Refused::no_topic(), 404, r#"{"message":"not found","error":"topic not found"}"#),
            (Refused::topic_exists(), 409, r#"{"message":"Conflict","error":"topic was exist"}"#),
            (
                Refused::malformed("time: invalid duration \"\""),
                400,
                r#"{"message":"failure","error":"time: invalid duration \"\""}"#,
            ),
            (
                Refusal::QueueNotFound.into_refused(),
                500,
                r#"{"message":"failure","error":"listener not found"}"#,
            ),
            (
                Refusal::MessageNotFound.into_refused(),
                500,
                r#"{"message":"failure","error":"error ack message. message_id not found"}"#,
            ),
            (
                Refused::no_subscribers(),
                500,
                r#"{"message":"failure","error":"length of array is 0: core.Subscribers{}"}"#,
            ),
        ];
        for (told, status, body) in table {
            assert_eq!(refused(told), (status, body.to_owned()));
        }
    }

    impl Refusal {
        fn into_refused(self) -> Refused {
            BrokerError::from(self).into()
        }
    }
}
