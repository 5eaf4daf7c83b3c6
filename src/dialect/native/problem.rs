//! Refusals as `application/problem+json` (RFC 9457), each with one stable code.

use super::session::no_cookie;
use crate::auth::AccountError;
use crate::broker::{BrokerError, ReplyRefused};
use crate::dialect::caller::CHALLENGE;
use crate::queue::Refusal;
use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode};
use serde::Serialize;
use std::{borrow::Cow, fmt};
use utoipa::ToSchema;

/// Every code with its status, also those that are only said on a socket. A test compares them with the
/// places where they are said.
pub const CODES: [(u16, &str); 50] = [
    (400, "invalid_cursor"),
    (400, "invalid_request"),
    (400, "out_of_bounds"),
    (400, "unknown_op"),
    (401, "session_ended"),
    (401, "unauthenticated"),
    (403, "closed"),
    (403, "csrf"),
    (403, "foreign_origin"),
    (403, "not_allowed"),
    (404, "connection_not_found"),
    (404, "message_not_found"),
    (404, "not_found"),
    (404, "queue_not_found"),
    (404, "reply_gone"),
    (404, "subscription_not_found"),
    (404, "token_not_found"),
    (404, "topic_not_found"),
    (404, "user_not_found"),
    (405, "method_not_allowed"),
    (408, "too_slow"),
    (409, "backup_exists"),
    (409, "duplicate_id"),
    (409, "last_admin"),
    (409, "paused"),
    (409, "queue_exists"),
    (409, "receipt_gone"),
    (409, "subscription_exists"),
    (409, "token_exists"),
    (409, "topic_exists"),
    (409, "unsubscribed"),
    (409, "wrong_kind"),
    (413, "too_large"),
    (413, "too_many"),
    (415, "unsupported_encoding"),
    (429, "full"),
    (429, "too_many"),
    (429, "too_many_tokens"),
    (429, "too_many_topics"),
    (429, "too_slow"),
    (500, "internal"),
    (500, "store_failed"),
    (500, "topic_failed"),
    (503, "busy"),
    (503, "starting"),
    (503, "stopping"),
    (503, "topic_unavailable"),
    (504, "timeout"),
    (507, "disk_full"),
    (507, "memory_full"),
];

/// What a 401 asks for where a browser would show a window of its own for [`CHALLENGE`].
const BEARER: &str = "Bearer realm=\"octoq\"";

/// What a client gets instead of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Also the HTTP status of the answer, unless it stands in a list of results.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// Stable: programs decide by it.
    pub code: &'static str,
    /// The same for every problem of this code.
    pub title: &'static str,
    /// This one.
    pub detail: Cow<'static, str>,
    /// A browser is not to ask for a password by itself.
    #[serde(skip)]
    pub quiet: bool,
}

impl Problem {
    /// A problem of the request's form.
    pub fn invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(400, "invalid_request", "The request is not of the expected form", detail)
    }

    /// A caller who needs credentials and has none, or wrong ones.
    pub fn unauthenticated(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(401, "unauthenticated", "Credentials are needed", detail)
    }

    /// A cursor that this list never gave, or not any more.
    pub fn invalid_cursor() -> Problem {
        let detail = "`after` is not a cursor of this list";
        Problem::new(400, "invalid_cursor", "The cursor is not of this list", detail)
    }

    /// A problem with all its parts.
    pub fn new(
        status: u16,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        Problem { status, code, title, detail: detail.into(), quiet: false }
    }

    /// A cookie that is good no more.
    pub fn session_ended(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(401, "session_ended", "The session has ended", detail).quiet()
    }

    /// The same for the page of a browser that is to ask for a password itself.
    pub fn quiet(self) -> Problem {
        Problem { quiet: true, ..self }
    }

    /// As a whole answer.
    pub fn response(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        response.content_type("application/problem+json");
        match self.code {
            "unauthenticated" if !self.quiet => {
                response.insert_header(("WWW-Authenticate", CHALLENGE));
            }
            "unauthenticated" => {
                response.insert_header(("WWW-Authenticate", BEARER));
            }
            "session_ended" => {
                response.insert_header(("WWW-Authenticate", BEARER));
                response.insert_header(("Set-Cookie", no_cookie()));
            }
            "unsupported_encoding" => {
                response.insert_header(("Accept-Encoding", "identity"));
            }
            "busy" | "topic_unavailable" => {
                response.insert_header(("Retry-After", "1"));
            }
            _ => (),
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)
    }
}

impl actix_web::ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

impl From<ReplyRefused> for Problem {
    fn from(refused: ReplyRefused) -> Self {
        let detail = refused.to_string();
        match refused {
            ReplyRefused::Gone => Problem::new(404, "reply_gone", "Nobody waits there", detail),
            ReplyRefused::Full => Problem::new(429, "too_many", "Too many at once", detail),
            ReplyRefused::Broker(error) => error.into(),
        }
    }
}

impl From<BrokerError> for Problem {
    fn from(error: BrokerError) -> Self {
        let (status, code, title) = match &error {
            BrokerError::TopicNotFound(_) => (404, "topic_not_found", "No such topic"),
            BrokerError::TopicExists(_) => (409, "topic_exists", "The topic exists"),
            BrokerError::BackupExists(_) => (409, "backup_exists", "The backup exists"),
            BrokerError::TooManyTopics { .. } => (429, "too_many_topics", "No more topics"),
            BrokerError::Unauthenticated => return Problem::unauthenticated(error.to_string()),
            BrokerError::NotAllowed(_) => (403, "not_allowed", "Not allowed"),
            BrokerError::TooLarge { .. } => (413, "too_large", "The message is too large"),
            // Clients try a 429 again.
            BrokerError::TooMany { what: BrokerError::BATCH, .. } => {
                (413, "too_many", "Too many at once")
            }
            BrokerError::TooMany { .. } => (429, "too_many", "Too many at once"),
            BrokerError::MemoryFull => (507, "memory_full", "No memory for more messages"),
            BrokerError::DiskFull => (507, "disk_full", "The disk is full"),
            BrokerError::Busy => (503, "busy", "The broker is busy"),
            BrokerError::Store(_) => (500, "store_failed", "The store failed"),
            BrokerError::Unavailable => (503, "topic_unavailable", "The topic is being rebuilt"),
            BrokerError::TopicFailed => (500, "topic_failed", "The topic is out of service"),
            BrokerError::Stopping => (503, "stopping", "The broker is stopping"),
            BrokerError::Account(error) => match error {
                AccountError::NoSuchUser(_) => (404, "user_not_found", "No such user"),
                AccountError::NoSuchToken(_) => (404, "token_not_found", "No such token"),
                AccountError::TokenExists(_) => (409, "token_exists", "The token exists"),
                AccountError::LastAdmin => (409, "last_admin", "The last administrator stays"),
                AccountError::TooManyTokens => (429, "too_many_tokens", "No more tokens"),
                _ => (400, "out_of_bounds", "A value is out of bounds"),
            },
            BrokerError::Refused(refusal) => match refusal {
                Refusal::Full { .. } => (429, "full", "The topic or queue is full"),
                Refusal::Paused => (409, "paused", "Publishing is paused"),
                Refusal::QueueNotFound => (404, "queue_not_found", "No such queue"),
                Refusal::QueueExists => (409, "queue_exists", "The queue exists"),
                Refusal::ReceiptGone => (409, "receipt_gone", "The receipt is not good any more"),
                Refusal::MessageNotFound => (404, "message_not_found", "No such message"),
                Refusal::DuplicateId => (409, "duplicate_id", "A message with this id exists"),
                Refusal::WrongKind => (409, "wrong_kind", "Not possible on this kind of topic"),
                Refusal::OutOfBounds(_) => (400, "out_of_bounds", "A value is out of bounds"),
            },
        };
        Problem::new(status, code, title, error.to_string())
    }
}
