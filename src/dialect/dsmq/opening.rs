//! How a WebSocket is opened. Pure.
//!
//! A plain request is answered with 426. No extension is agreed to, so `permessage-deflate` is
//! declined.

use actix_http::ws;
use base64::Engine as _;

/// Longest head of an opening request.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Most headers of one.
const HEADERS_MAX: usize = 64;
/// What an opening request comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is not whole yet.
    Incomplete,
    /// Frames follow behind `head_bytes`, when this answer has gone out.
    Welcome {
        /// The answer.
        answer: String,
        /// The length of the request.
        head_bytes: usize,
    },
    /// The connection is to be closed behind this answer.
    Refused(String),
}

fn refused(status: &str, more: &str, reason: &str) -> Opening {
    let reason = format!("{reason}\n");
    Opening::Refused(format!(
        "HTTP/1.1 {status}\r\n{more}Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{reason}",
        reason.len()
    ))
}

/// Reads the head of an opening request. `origins`: web origins whose pages may come.
pub fn open(input: &[u8], origins: &[String]) -> Opening {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    let head_bytes = match request.parse(input) {
        Ok(httparse::Status::Complete(head_bytes)) if head_bytes <= HEAD_BYTES_MAX => head_bytes,
        Ok(httparse::Status::Partial) if input.len() <= HEAD_BYTES_MAX => {
            return Opening::Incomplete;
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => {
            return refused("431 Request Header Fields Too Large", "", "The request is too large.");
        }
        Err(_) => return refused("400 Bad Request", "", "This is not HTTP."),
    };
    let values = |name: &'static str| {
        let named = request.headers.iter().filter(move |it| it.name.eq_ignore_ascii_case(name));
        named.map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    };
    let says = |name, token: &str| {
        values(name)
            .flat_map(|value| value.split(','))
            .any(|it| it.trim().eq_ignore_ascii_case(token))
    };
    if !says("upgrade", "websocket") || !says("connection", "upgrade") {
        let upgrade = "Upgrade: websocket\r\n";
        return refused("426 Upgrade Required", upgrade, "This port speaks dsmq over WebSocket.");
    }
    if !says("sec-websocket-version", "13") {
        let version = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        return refused(
            "426 Upgrade Required",
            version,
            "This port speaks version 13 of WebSocket.",
        );
    }
    // Browsers always name the page's origin, other programs need not.
    if values("origin").any(|origin| !origins.iter().any(|known| known == origin)) {
        return refused("403 Forbidden", "", "Pages of this origin may not come here.");
    }
    let mut keys = values("sec-websocket-key");
    let (key, another) = (keys.next().unwrap_or_default(), keys.next());
    let decoded = base64::engine::general_purpose::STANDARD.decode(key);
    if request.version != Some(1) || another.is_some() || decoded.is_ok_and(|key| key.len() != 16) {
        return refused("400 Bad Request", "", "This is not the opening of a WebSocket.");
    }
    if base64::engine::general_purpose::STANDARD.decode(key).is_err() {
        return refused("400 Bad Request", "", "The key of the WebSocket is malformed.");
    }
    let hash = ws::hash_key(key.as_bytes());
    let accept = String::from_utf8_lossy(&hash);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    Opening::Welcome { answer, head_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn request(headers: &[&str]) -> String {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        format!("GET /any?x=1 HTTP/1.1\r\nHost: anything\r\n{lines}\r\n")
    }

    fn upgrade(more: &[&str]) -> String {
        let key = format!("Sec-WebSocket-Key: {KEY}");
        let mut headers = vec![
            "Upgrade: WebSocket",
            "Connection: keep-alive, Upgrade",
            "Sec-WebSocket-Version: 13",
            &key,
        ];
        headers.extend(more);
        request(&headers)
    }

    #[track_caller]
    fn expect_refusal(input: &str, status: &str) {
        match open(input.as_bytes(), &["https://app.example".to_owned()]) {
            Opening::Refused(answer) => {
                assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
                assert!(answer.contains("Connection: close\r\n"), "{answer}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_opening_is_answered_with_the_accept_of_the_standard() {
        let offers = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
        for more in [&[][..], &[offers], &["Origin: https://app.example"]] {
            let head = upgrade(more);
            let input = format!("{head}\u{1}");
            // The example of RFC 6455, section 1.3.
            let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            let opened = open(input.as_bytes(), &["https://app.example".to_owned()]);
            assert_eq!(opened, Opening::Welcome { answer: answer.into(), head_bytes: head.len() });
            for at in 0..head.len() {
                assert_eq!(open(&head.as_bytes()[..at], &[]), Opening::Incomplete, "cut at {at}");
            }
        }
    }

    #[test]
    fn what_is_no_opening_is_refused_in_http() {
        expect_refusal(&request(&[]), "426");
        expect_refusal(&request(&["Upgrade: h2c", "Connection: Upgrade"]), "426");
        expect_refusal(&request(&["Upgrade: websocket", "Connection: close"]), "426");
        expect_refusal(&upgrade(&[]).replace(": 13", ": 8"), "426");
        expect_refusal(&upgrade(&["Origin: https://evil.example"]), "403");
        expect_refusal(&upgrade(&["Origin: null"]), "403");
        expect_refusal(&upgrade(&[]).replace(KEY, "c2hvcnQ="), "400");
        expect_refusal(&upgrade(&[]).replace(KEY, "no base64!"), "400");
        expect_refusal(&upgrade(&[]).replace(KEY, ""), "400");
        expect_refusal(&upgrade(&[&format!("Sec-WebSocket-Key: {KEY}")]), "400");
        expect_refusal(&upgrade(&[]).replace("HTTP/1.1", "HTTP/1.0"), "400");
        expect_refusal("GET\r\n\r\n", "400");
        expect_refusal("GET / HTTP/1.1\r\nno header\r\n\r\n", "400");
        expect_refusal(&request(&["a: b"; 80]), "431");
        let endless = format!("GET / HTTP/1.1\r\na: {}", "b".repeat(HEAD_BYTES_MAX));
        expect_refusal(&endless, "431");
        expect_refusal(&format!("{endless}\r\n\r\n"), "431");
    }
}
