//! HTTP/1.1 as far as a lean client needs it.

use super::BenchError;
use super::speaker::{PATIENCE, odd, wait_for};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
};

/// A request as bytes.
pub fn request(method: &str, path: &str, login: Option<&(String, String)>, body: &str) -> Vec<u8> {
    let login = match login {
        Some((user, password)) => {
            format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
        }
        None => String::new(),
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{login}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A whole answer at the start of some bytes.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
    /// Where it ends.
    pub end: usize,
}

impl<'a> Answer<'a> {
    /// The first answer; `None`: it is not whole.
    pub fn read(input: &'a [u8]) -> Result<Option<Answer<'a>>, BenchError> {
        let Some(head) = Head::read(input)? else { return Ok(None) };
        let end = head.end + head.length;
        let body = input.get(head.end..end);
        Ok(body.map(|body| Answer { status: head.status, body, end }))
    }

    /// The same, and a refusal is an error.
    pub fn good(input: &'a [u8]) -> Result<Option<Answer<'a>>, BenchError> {
        match Answer::read(input)? {
            Some(answer) if !(200..300).contains(&answer.status) => Err(odd(input)),
            answer => Ok(answer),
        }
    }
}

/// The head of an answer.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Bytes of the body; none when it does not say.
    pub length: usize,
    /// The body comes in parts.
    pub chunked: bool,
    /// Where the body begins.
    pub end: usize,
}

impl Head {
    /// The first head; `None`: it is not whole.
    pub fn read(input: &[u8]) -> Result<Option<Head>, BenchError> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut answer = httparse::Response::new(&mut headers);
        let end = match answer.parse(input) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(odd(input)),
        };
        let status = answer.code.unwrap_or_default();
        let (mut length, mut chunked) = (0, false);
        for header in answer.headers.iter() {
            if header.name.eq_ignore_ascii_case("content-length") {
                let text = std::str::from_utf8(header.value).unwrap_or_default();
                length = text.trim().parse().map_err(|_| odd(input))?;
            } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = header.value.eq_ignore_ascii_case(b"chunked");
            }
        }
        Ok(Some(Head { status, length, chunked, end }))
    }
}

/// A connection that waits, for a bounded time.
pub fn connect(address: SocketAddr) -> Result<TcpStream, BenchError> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One request on a connection of its own; its status and the text of the answer.
pub fn ask(address: SocketAddr, request: &[u8]) -> Result<(u16, String), BenchError> {
    let mut stream = connect(address)?;
    stream.write_all(request)?;
    let whole = |input: &[u8]| {
        let answer = Answer::read(input)?;
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        Ok(answer.map(|answer| (answer.end, (answer.status, text(answer.body)))))
    };
    Ok(wait_for(&mut stream, whole)?.0)
}

/// The same, and a refusal is an error.
pub fn expect(address: SocketAddr, request: &[u8]) -> Result<(), BenchError> {
    match ask(address, request)? {
        (200..=299, _) => Ok(()),
        (status, text) => Err(BenchError::Refused(format!("{status} {text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_when_it_is_whole_and_not_before() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nhelloHTTP";
        let end = text.len() - 4;
        for cut in 0..text.len() {
            let answer = Answer::good(&text[..cut]).unwrap();
            assert_eq!(answer.is_some(), cut >= end, "{cut}");
        }
        let answer = Answer::good(text).unwrap().unwrap();
        assert_eq!((answer.status, answer.body, answer.end), (200, &b"hello"[..], end));
        assert!(Answer::good(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
        assert!(Answer::read(b"nonsense\r\n\r\n").is_err());
    }
}
