//! The body of a request, and how a refusal of it is said here.

use super::problem::Problem;
use crate::dialect::body::{self, Unread};

/// All of a request's body, at most `http.request_bytes_max`.
pub type Body = body::Body<Problem>;

impl From<Unread> for Problem {
    fn from(unread: Unread) -> Self {
        let detail = unread.to_string();
        match unread {
            Unread::TooLong => Problem::new(413, "too_large", "The message is too large", detail),
            Unread::TooSlow => Problem::new(408, "too_slow", "The request took too long", detail),
            Unread::Broken(_) => Problem::invalid(detail),
        }
    }
}
