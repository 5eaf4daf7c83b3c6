//! `/docs`, `/redoc`: a page that shows `/openapi.json` and lets one try it. Nothing on it comes from
//! another host.

use super::answer::Answer;
use actix_web::{http::header, web};

const PAGE: &str = include_str!("docs.html");
/// The page may run its own script and style and speak to its own door, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'";

/// The answer to all of them.
pub fn answer() -> Answer {
    Answer::of(200, Some("text/html; charset=utf-8"), web::Bytes::from_static(PAGE.as_bytes()))
        .with(header::CONTENT_SECURITY_POLICY, POLICY.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_asks_no_other_host() {
        assert!(!PAGE.contains("http://") && !PAGE.contains("https://") && !PAGE.contains("src="));
        assert!(PAGE.contains("openapi.json"));
    }
}
