//! What the machine itself can do, measured in the same run: this program again, as a bare server
//! in a process of its own.

use super::setup::Otq;
use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite;

/// Makes this program a reference; what it is comes behind.
pub const REFERENCE: &str = "reference";

/// Ends a bare process.
struct Bare(Child);

impl Bare {
    fn start(arguments: &[&str]) -> Bare {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .arg(REFERENCE)
            .args(arguments)
            .spawn()
            .expect("the reference starts");
        Bare(child)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("address").to_string();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("accept");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    stream
}

/// Runs the reference that the arguments name.
pub fn serve(arguments: &[String]) {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse().expect("a number");
    match words[..] {
        ["exchange", address, request, reply] => {
            serve_exchange(address, number(request), number(reply));
        }
        ["sockets", address, request, bytes, sockets] => {
            serve_sockets(address, number(request), number(bytes), number(sockets));
        }
        ["websocket", address, request, rows, frame] => {
            serve_websocket(address, number(request), number(rows), frame);
        }
        ["http", address] => serve_empty_http(address),
        _ => panic!("no such reference: {words:?}"),
    }
}

/// A process that answers as many bytes as a request of a fixed length has an answer: the same
/// bytes as a broker takes and gives, and nothing done with them.
pub struct Exchange {
    bare: Bare,
    otq: Otq,
}

impl Exchange {
    pub fn start(request: usize, reply: usize) -> Exchange {
        let (listener, address) = listen();
        let bare = Bare::start(&["exchange", &address, &request.to_string(), &reply.to_string()]);
        Exchange { bare, otq: Otq::over(accept(&listener)) }
    }

    pub fn process(&self) -> u32 {
        self.bare.0.id()
    }

    /// The same client as at the broker; the length of the answer.
    pub fn ask(&mut self, request: &[u8]) -> usize {
        self.otq.ask(request)
    }
}

/// Reads one request; false when there are no more.
fn take_request(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    stream.read_exact(buffer).is_ok()
}

/// So many bytes that end as an answer over otq ends.
fn answer(length: usize) -> Vec<u8> {
    let mut answer = vec![b'x'; length.saturating_sub(Otq::END.len())];
    answer.extend_from_slice(Otq::END);
    answer
}

fn serve_exchange(address: &str, request: usize, reply: usize) {
    let mut stream = connect(address);
    let (mut buffer, reply) = (vec![0; request], answer(reply));
    while take_request(&mut stream, &mut buffer) && stream.write_all(&reply).is_ok() {}
}

/// A process that answers each request of one publisher and writes as many bytes as its rows are to
/// each of its sockets.
pub struct Sockets {
    _bare: Bare,
    pub publisher: Otq,
    pub sockets: Vec<TcpStream>,
}

impl Sockets {
    pub fn start(request: usize, bytes: usize, sockets: usize) -> Sockets {
        let (listener, address) = listen();
        let [request, bytes, count] = [request, bytes, sockets].map(|number| number.to_string());
        let bare = Bare::start(&["sockets", &address, &request, &bytes, &count]);
        let publisher = Otq::over(accept(&listener));
        let sockets = (0..sockets).map(|_| accept(&listener)).collect();
        Sockets { _bare: bare, publisher, sockets }
    }
}

/// The answer to a publish.
pub const PROCEED: &[u8] = b"PROCEED\r\nENDOFRESP\r\n";

fn serve_sockets(address: &str, request: usize, bytes: usize, sockets: usize) {
    let mut publisher = connect(address);
    let mut sockets: Vec<TcpStream> = (0..sockets).map(|_| connect(address)).collect();
    let (mut buffer, rows) = (vec![0; request], vec![b'x'; bytes]);
    while take_request(&mut publisher, &mut buffer) {
        if publisher.write_all(PROCEED).is_err()
            || sockets.iter_mut().any(|socket| socket.write_all(&rows).is_err())
        {
            break;
        }
    }
}

/// A bare tungstenite server: answers each request of one publisher and sends one frame per row to
/// its one subscriber.
pub struct WebSocket {
    _bare: Bare,
    pub publisher: Otq,
    pub stream: TcpStream,
}

impl WebSocket {
    pub fn start(request: usize, rows: u64, frame: &str) -> WebSocket {
        let (listener, address) = listen();
        let (request, rows) = (request.to_string(), rows.to_string());
        let bare = Bare::start(&["websocket", &address, &request, &rows, frame]);
        let publisher = Otq::over(accept(&listener));
        WebSocket { _bare: bare, publisher, stream: accept(&listener) }
    }
}

fn serve_websocket(address: &str, request: usize, rows: usize, frame: &str) {
    let (mut publisher, stream) = (connect(address), connect(address));
    let mut socket = tungstenite::accept(stream).expect("a handshake");
    let frame = tungstenite::Utf8Bytes::from(frame);
    let mut buffer = vec![0; request];
    while take_request(&mut publisher, &mut buffer) {
        let mut send = || -> tungstenite::Result<()> {
            publisher.write_all(PROCEED)?;
            for _ in 0..rows {
                socket.write(tungstenite::Message::Text(frame.clone()))?;
            }
            socket.flush()
        };
        if send().is_err() {
            break;
        }
    }
}

/// A file to which is appended, and synced each time.
pub struct Synced {
    file: File,
    path: std::path::PathBuf,
}

impl Synced {
    pub fn create(folder: &std::path::Path) -> Synced {
        std::fs::create_dir_all(folder).expect("folder");
        let path = folder.join("sync");
        Synced { file: File::create(&path).expect("file"), path }
    }

    /// One write of 128 bytes and one fdatasync.
    pub fn append(&mut self) {
        self.file.write_all(&[7; 128]).expect("write");
        self.file.sync_data().expect("sync");
    }
}

impl Drop for Synced {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The least an actix-web server can do, in a process of its own.
pub struct EmptyHttp {
    _bare: Bare,
    pub address: String,
}

impl EmptyHttp {
    pub fn start() -> EmptyHttp {
        let (listener, address) = listen();
        drop(listener);
        let bare = Bare::start(&["http", &address]);
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "the reference does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        EmptyHttp { _bare: bare, address }
    }
}

/// Runs the reference server.
fn serve_empty_http(address: &str) {
    use actix_web::{App, HttpResponse, HttpServer, web};
    actix_web::rt::System::new().block_on(async move {
        let empty = |_: web::Bytes| async {
            HttpResponse::Created().content_type("application/json").body("{\"id\":\"0\"}")
        };
        let app = move || App::new().route("/", web::post().to(empty));
        HttpServer::new(app).workers(1).bind(address).expect("bind").run().await.expect("serve");
    });
}
