//! A small HTTP client for the broker's native door: one connection that is kept, opened when it is
//! first needed and again when the broker has closed it.

use super::failure::{Code, Failure, Problem};
use super::prompt::Secret;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::{net::TcpStream, time::timeout};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// The longest answer that is read whole.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// The native door's port.
const PORT: u16 = 6790;

/// Where a broker is, and what lies before `/v1` there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A name or an address; an IPv6 address without its brackets.
    host: String,
    port: u16,
    /// "" or a path like "/octoq".
    base: String,
    /// Named in the URL.
    pub user: Option<String>,
    /// Likewise.
    pub password: Option<Secret>,
}

impl Place {
    /// Reads `http://[user[:password]@]host[:port][/path]`; the scheme may be left out.
    pub fn parse(text: &str) -> Result<Place, String> {
        let wrong = |what: &str| format!("`{text}` is not a URL of a broker: {what}");
        let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = whole.parse().map_err(|error| wrong(&format!("{error}")))?;
        match uri.scheme_str() {
            Some("http") => (),
            Some("https") => {
                return Err(wrong("octoq speaks no TLS itself; use http:// or a tunnel"));
            }
            _ => return Err(wrong("it must begin with http://")),
        }
        if uri.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("there is no host"))?;
        let (user, password) = match authority.as_str().rsplit_once('@') {
            None => (None, None),
            Some((before, _)) => {
                let (user, password) = match before.split_once(':') {
                    Some((user, password)) => (user, Some(decoded(password).into())),
                    None => (before, None),
                };
                (Some(decoded(user)), password)
            }
        };
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(wrong("there is no host"));
        }
        Ok(Place {
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(PORT),
            base: uri.path().trim_end_matches('/').to_owned(),
            user,
            password,
        })
    }

    /// `host:port`, as in a URL.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The URL without credentials.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.authority(), self.base)
    }

    /// A connection to it.
    async fn connect(&self) -> Result<TcpStream, Failure> {
        let failed =
            |what: &str| Failure::unreachable(format!("no broker at {}: {what}", self.url()));
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let stream = match timeout(CONNECT_WAIT, connecting).await {
            Ok(connected) => connected.map_err(|error| failed(&error.to_string()))?,
            Err(_) => return Err(failed("nobody answers")),
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn decoded(text: &str) -> String {
    let bytes = crate::dialect::path::percent_decode(text.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A user with a password.
    User(String, Secret),
    /// A bearer token.
    Token(Secret),
}

impl Credentials {
    fn header(&self) -> Result<Option<HeaderValue>, Failure> {
        let text = match self {
            Credentials::None => return Ok(None),
            Credentials::User(user, password) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
            }
            Credentials::Token(token) => format!("Bearer {}", token.reveal()),
        };
        let mut value = HeaderValue::try_from(text)
            .map_err(|_| Failure::usage("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// What is asked of the broker.
#[derive(Debug, Clone)]
pub struct Ask {
    method: Method,
    path: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    /// How long the broker itself may wait before it answers.
    waits: Duration,
}

impl Ask {
    /// Nothing but a method and a path, which begins with `/`.
    pub fn new(method: Method, path: impl Into<String>) -> Ask {
        let (headers, body) = (Vec::new(), Bytes::new());
        Ask { method, path: path.into(), headers, body, waits: Duration::ZERO }
    }

    /// GET.
    pub fn get(path: impl Into<String>) -> Ask {
        Ask::new(Method::GET, path)
    }

    /// POST.
    pub fn post(path: impl Into<String>) -> Ask {
        Ask::new(Method::POST, path)
    }

    /// PUT.
    pub fn put(path: impl Into<String>) -> Ask {
        Ask::new(Method::PUT, path)
    }

    /// PATCH.
    pub fn patch(path: impl Into<String>) -> Ask {
        Ask::new(Method::PATCH, path)
    }

    /// DELETE.
    pub fn delete(path: impl Into<String>) -> Ask {
        Ask::new(Method::DELETE, path)
    }

    /// With a body of JSON.
    pub fn json(self, value: &impl serde::Serialize) -> Result<Ask, Failure> {
        Ok(self.body("application/json", serde_json::to_vec(value)?))
    }

    /// With a body.
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Ask {
        self.headers.push((CONTENT_TYPE, HeaderValue::from_static(content_type)));
        self.body = body.into();
        self
    }

    /// The broker waits for so long before it answers.
    pub fn waits(mut self, span: Duration) -> Ask {
        self.waits = span;
        self
    }
}

/// What the broker answered when it did what was asked.
#[derive(Debug)]
pub struct Answer {
    /// 200, 201, 204 ...
    pub status: StatusCode,
    /// All of the body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// Speaks with one broker.
pub struct Client {
    place: Place,
    authorization: Option<HeaderValue>,
    patience: Duration,
    kept: Option<Sender>,
}

impl Client {
    /// For a broker; nothing is sent yet. An answer that takes longer than `patience` (beyond what the
    /// broker was asked to wait) is given up.
    pub fn new(
        place: Place,
        credentials: &Credentials,
        patience: Duration,
    ) -> Result<Client, Failure> {
        let authorization = credentials.header()?;
        Ok(Client { place, authorization, patience, kept: None })
    }

    /// Where the broker is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(format!("{}{}", self.place.base, ask.path))
            .header(HOST, self.place.authority());
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        for (name, value) in &ask.headers {
            request = request.header(name.clone(), value.clone());
        }
        request
            .body(Full::new(ask.body.clone()))
            .map_err(|error| Failure::usage(format!("the request cannot be sent: {error}")))
    }

    /// A connection that takes a request now.
    async fn sender(&mut self) -> Result<(Sender, bool), Failure> {
        if let Some(mut kept) = self.kept.take()
            && kept.ready().await.is_ok()
        {
            return Ok((kept, true));
        }
        let stream = self.place.connect().await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| {
            Failure::unreachable(format!("{} speaks no HTTP: {error}", self.place.url()))
        })?;
        // It ends with the sender; its errors reach whoever waits for an answer.
        drop(tokio::spawn(connection));
        Ok((sender, false))
    }

    /// Asks, and gives the head of the answer; its body is still to be read.
    async fn head(&mut self, ask: &Ask) -> Result<(Response<Incoming>, Sender), Failure> {
        loop {
            let (mut sender, kept) = self.sender().await?;
            match sender.send_request(self.request(ask)?).await {
                Ok(response) => return Ok((response, sender)),
                // A kept connection may be closed by the broker at any time. What cannot be done twice
                // is only sent again when it certainly was not sent.
                Err(error) if kept && (error.is_canceled() || ask.method.is_safe()) => (),
                Err(error) => {
                    return Err(Failure::unreachable(format!(
                        "{} closed the connection: {error}",
                        self.place.url()
                    )));
                }
            }
        }
    }

    /// Asks, and waits for all of the answer.
    ///
    /// Errors: `Refused` when the broker says no; `Unreachable`; `Empty` when it takes too long.
    pub async fn ask(&mut self, ask: Ask) -> Result<Answer, Failure> {
        let patience = self.patience.saturating_add(ask.waits);
        match timeout(patience, self.whole(&ask)).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late()),
        }
    }

    fn late(&self) -> Failure {
        Failure::new(Code::Empty, format!("no answer from {} in time", self.place.url()))
    }

    async fn whole(&mut self, ask: &Ask) -> Result<Answer, Failure> {
        let (response, sender) = self.head(ask).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| {
            Failure::unreachable(format!("{}: the answer breaks off: {error}", self.place.url()))
        })?;
        self.kept = Some(sender);
        let answer = Answer { status: head.status, body: body.to_bytes() };
        if head.status.is_success() { Ok(answer) } else { Err(refusal(&answer)) }
    }

    /// Asks, and hands out the body piece by piece: for answers too long to be kept. The patience
    /// counts for the head and for each piece.
    pub async fn stream(
        &mut self,
        ask: Ask,
        mut take: impl FnMut(Bytes) -> Result<(), Failure>,
    ) -> Result<hyper::HeaderMap, Failure> {
        let patience = self.patience.saturating_add(ask.waits);
        let (response, _sender) =
            timeout(patience, self.head(&ask)).await.map_err(|_| self.late())??;
        let (head, mut body) = response.into_parts();
        let broken = |error: &dyn std::fmt::Display| {
            Failure::unreachable(format!("{}: the answer breaks off: {error}", self.place.url()))
        };
        if !head.status.is_success() {
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| broken(&error))?.to_bytes();
            return Err(refusal(&Answer { status: head.status, body }));
        }
        loop {
            let next = timeout(self.patience, body.frame()).await.map_err(|_| self.late())?;
            let Some(frame) = next else { return Ok(head.headers) };
            let frame = frame.map_err(|error| broken(&error))?;
            if let Ok(piece) = frame.into_data() {
                take(piece)?;
            }
        }
    }

    /// Opens a WebSocket.
    pub async fn websocket(
        &self,
        path: &str,
    ) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, Failure> {
        use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest as _};
        let url = format!("ws://{}{}{path}", self.place.authority(), self.place.base);
        let mut request =
            url.into_client_request().map_err(|error| Failure::usage(error.to_string()))?;
        if let Some(value) = &self.authorization {
            request.headers_mut().insert("authorization", value.clone());
        }
        let stream = self.place.connect().await?;
        let config = tungstenite::protocol::WebSocketConfig::default()
            .max_message_size(Some(ANSWER_BYTES_MAX))
            .max_frame_size(Some(ANSWER_BYTES_MAX));
        let opening = tokio_tungstenite::client_async_with_config(request, stream, Some(config));
        match timeout(self.patience, opening).await.map_err(|_| self.late())? {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(response)) => {
                let status = response.status();
                let body = response.into_body().unwrap_or_default().into();
                Err(refusal(&Answer { status, body }))
            }
            Err(error) => Err(Failure::unreachable(format!("{}: {error}", self.place.url()))),
        }
    }
}

/// What an answer that is none says.
fn refusal(answer: &Answer) -> Failure {
    match serde_json::from_slice::<Problem>(&answer.body) {
        Ok(problem) => Failure::Refused(problem),
        // Not the broker's own words: a proxy's, or another server's.
        Err(_) => {
            let status = answer.status.as_u16();
            let text = String::from_utf8_lossy(&answer.body);
            let detail = text.lines().next().unwrap_or_default().chars().take(200).collect();
            Failure::Refused(Problem { status, code: format!("http_{status}"), detail })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_the_broker_is_and_who_asks() {
        let table = [
            ("http://127.0.0.1:6790", "http://127.0.0.1:6790", None),
            ("localhost", "http://localhost:6790", None),
            ("10.0.0.1:80", "http://10.0.0.1:80", None),
            ("http://[::1]:7/", "http://[::1]:7", None),
            ("http://host/octoq/", "http://host:6790/octoq", None),
            ("http://ann:p%40ss@host:1", "http://host:1", Some(("ann", "p@ss"))),
        ];
        for (text, url, who) in table {
            let place = Place::parse(text).unwrap();
            assert_eq!(place.url(), url, "{text}");
            let password = place.password.as_ref().map(Secret::reveal);
            assert_eq!(place.user.as_deref().zip(password), who, "{text}");
        }
        for wrong in ["https://host", "ftp://host", "http://", "http://host/?a=1", "a b"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_answer_of_something_else_is_told_by_its_status() {
        let answer = Answer {
            status: StatusCode::BAD_GATEWAY,
            body: Bytes::from_static(b"<h1>Bad gateway</h1>\nmore"),
        };
        let Failure::Refused(problem) = refusal(&answer) else { panic!() };
        assert_eq!((problem.status, problem.code.as_str()), (502, "http_502"));
        assert_eq!(problem.detail, "<h1>Bad gateway</h1>");
    }
}
