//! The body of a request: whole, within its bounds of length and time, and as JSON.

use super::answer::Answer;
use super::fault::{self, Fault};
use super::json::{self, Value};
use crate::dialect::body::{self, Unread};
use actix_web::{HttpRequest, http::header, web};

/// Reads all of a body.
pub async fn read(request: &HttpRequest, payload: web::Payload) -> Result<web::Bytes, Answer> {
    let headers = request.headers();
    let sent = headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    if !sent && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(web::Bytes::new());
    }
    let read = body::read(request, &mut payload.into_inner()).await;
    read.map_err(|unread| match unread {
        // What is left of it is not read any more.
        Unread::TooLong => Answer::detail(413, &unread.to_string()).closing(),
        Unread::TooSlow => Answer::detail(408, &unread.to_string()).closing(),
        Unread::Broken(_) => unreadable(),
    })
}

/// As the original says it of everything that cannot be read at all.
fn unreadable() -> Answer {
    Answer::detail(400, "There was an error parsing the body")
}

/// What a body says.
pub enum Said<'a> {
    /// There is none.
    Nothing,
    /// JSON.
    Json(Value<'a>),
    /// Something that is not announced as JSON.
    Other,
}

/// Reads a body as JSON if it is announced as such (or as nothing).
pub fn parse<'a>(
    request: &HttpRequest,
    body: &'a [u8],
    nesting_max: usize,
) -> Result<Said<'a>, Answer> {
    if body.is_empty() {
        return Ok(Said::Nothing);
    }
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| !is_json(kind.to_str().unwrap_or_default())) {
        return Ok(Said::Other);
    }
    let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    json::read(text, nesting_max)
        .map(Said::Json)
        .map_err(|found| Answer::json(422, fault::detail(&[Fault::json(&found, text)])))
}

/// `application/json` and `application/...+json`, whatever parameters follow.
fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // An empty header counts as none.
    kind.is_empty()
        || kind
            .strip_prefix("application/")
            .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

impl<'a> Said<'a> {
    /// The value that a schema checks. What is no JSON is checked as a text, which none wants.
    pub fn value(self) -> Option<Value<'a>> {
        match self {
            Said::Nothing => None,
            Said::Json(value) => Some(value),
            Said::Other => Some(Value::Bool(false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_read_as_json() {
        let table = [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/vnd.api+json", true),
            ("", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("json", false),
            ("application/jsonp", false),
        ];
        for (kind, json) in table {
            assert_eq!(is_json(kind), json, "{kind}");
        }
    }
}
