//! Answers in fastqueue's form.

use super::json;
use crate::broker::BrokerError;
use crate::dialect::caller::{CHALLENGE, Turned};
use crate::queue::Refusal;
use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
    web,
};

/// An answer, before it is HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    kind: Option<&'static str>,
    body: web::Bytes,
    headers: Vec<(header::HeaderName, String)>,
    closes: bool,
}

const JSON: &str = "application/json";

impl Answer {
    /// JSON.
    pub fn json(status: u16, body: Vec<u8>) -> Answer {
        Answer::of(status, Some(JSON), body.into())
    }

    /// Of any type.
    pub fn of(status: u16, kind: Option<&'static str>, body: web::Bytes) -> Answer {
        Answer { status, kind, body, headers: Vec::new(), closes: false }
    }

    /// 204: done, and nothing to say.
    pub fn done() -> Answer {
        Answer::of(204, Some(JSON), web::Bytes::new())
    }

    /// `{"detail":"..."}`
    pub fn detail(status: u16, detail: &str) -> Answer {
        let mut body = b"{\"detail\":".to_vec();
        json::write_text(&mut body, detail);
        body.push(b'}');
        Answer::json(status, body)
    }

    /// 404 for a topic.
    pub fn no_topic() -> Answer {
        Answer::detail(404, "Topic not found")
    }

    /// 404 for a queue.
    pub fn no_queue() -> Answer {
        Answer::detail(404, "Queue not found")
    }

    /// 401, with what to do about it.
    pub fn unauthenticated(detail: &str) -> Answer {
        Answer::detail(401, detail).with(header::WWW_AUTHENTICATE, CHALLENGE.to_owned())
    }

    /// With another header.
    pub fn with(mut self, name: header::HeaderName, value: String) -> Answer {
        self.headers.push((name, value));
        self
    }

    /// The connection cannot go on after it.
    pub fn closing(mut self) -> Answer {
        self.closes = true;
        self
    }

    /// Bytes of its body.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// As HTTP.
    pub fn response(self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        if let Some(kind) = self.kind {
            response.content_type(kind);
        }
        for header in self.headers {
            response.insert_header(header);
        }
        if self.closes {
            response.force_close();
        }
        response.body(self.body)
    }
}

impl From<Turned> for Answer {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Starting => Answer::detail(503, &turned.to_string()),
            Turned::ForeignOrigin => Answer::detail(403, &turned.to_string()),
            Turned::Malformed => Answer::detail(400, &turned.to_string()),
            Turned::Csrf => Answer::detail(403, &turned.to_string()),
            Turned::Stranger(_) | Turned::SessionEnded => {
                Answer::unauthenticated(&turned.to_string())
            }
            Turned::Broker(error) => error.into(),
        }
    }
}

impl From<BrokerError> for Answer {
    fn from(error: BrokerError) -> Self {
        let status = match &error {
            BrokerError::TopicNotFound(_) => return Answer::no_topic(),
            BrokerError::TopicExists(_) => {
                return Answer::detail(422, "This topic already exists");
            }
            BrokerError::Unauthenticated => return Answer::unauthenticated("Not authenticated"),
            BrokerError::NotAllowed(_) => 403,
            BrokerError::Account(_) | BrokerError::BackupExists(_) => 422,
            BrokerError::TooLarge { .. } => 413,
            BrokerError::TooManyTopics { .. } | BrokerError::TooMany { .. } => 429,
            BrokerError::MemoryFull | BrokerError::DiskFull => 507,
            BrokerError::Busy | BrokerError::Unavailable | BrokerError::Stopping => {
                let later = "1".to_owned();
                return Answer::detail(503, &error.to_string()).with(header::RETRY_AFTER, later);
            }
            BrokerError::Store(_) | BrokerError::TopicFailed => 500,
            BrokerError::Refused(refusal) => match refusal {
                Refusal::QueueNotFound => return Answer::no_queue(),
                Refusal::QueueExists => return Answer::detail(422, "This queue already exists"),
                Refusal::Full { .. } => 429,
                Refusal::Paused
                | Refusal::WrongKind
                | Refusal::DuplicateId
                | Refusal::ReceiptGone => 409,
                Refusal::MessageNotFound => 404,
                Refusal::OutOfBounds(_) => 422,
            },
        };
        Answer::detail(status, &error.to_string())
    }
}
