//! What the machine itself can do, measured in the same run.

use super::{RUN, percentile};
use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// Makes this program the reference HTTP server.
pub const EMPTY_HTTP: &str = "serve-empty-http";

/// Makes this program the reference of a round trip.
pub const ECHO: &str = "serve-echo";

/// A process that sends back what it gets, as little as a broker in a process of its own can do.
pub struct Loopback {
    child: Child,
    stream: TcpStream,
}

impl Loopback {
    pub fn start() -> Loopback {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address").to_string();
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args([ECHO, &address])
            .spawn()
            .expect("the reference starts");
        let (stream, _) = listener.accept().expect("accept");
        stream.set_nodelay(true).expect("nodelay");
        Loopback { child, stream }
    }

    /// 128 bytes there and back.
    pub fn round_trip(&mut self) {
        let mut buffer = [7; 128];
        self.stream.write_all(&buffer).expect("write");
        self.stream.read_exact(&mut buffer).expect("read");
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the reference of a round trip.
pub fn serve_echo() {
    let address = std::env::args().nth(2).expect("an address");
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_nodelay(true).expect("nodelay");
    let mut buffer = [0; 4096];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || stream.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
}

/// Median time of one write of 128 bytes and one fdatasync, in nanoseconds.
pub fn write_and_sync(folder: &std::path::Path) -> u64 {
    std::fs::create_dir_all(folder).expect("folder");
    let path = folder.join("sync");
    let mut file = File::create(&path).expect("file");
    let mut times = Vec::new();
    let end = Instant::now() + RUN / 2;
    while Instant::now() < end {
        let start = Instant::now();
        file.write_all(&[7; 128]).expect("write");
        file.sync_data().expect("sync");
        times.push(start.elapsed().as_nanos() as u64);
    }
    let _ = std::fs::remove_file(path);
    times.sort_unstable();
    percentile(&times, 500)
}

/// The least an actix-web server can do, in a process of its own.
pub struct EmptyHttp {
    child: Child,
    pub address: String,
}

impl EmptyHttp {
    pub fn start() -> EmptyHttp {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let address = listener.local_addr().expect("address").to_string();
        drop(listener);
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args([EMPTY_HTTP, &address])
            .spawn()
            .expect("the reference starts");
        let end = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < end, "the reference does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        EmptyHttp { child, address }
    }
}

impl Drop for EmptyHttp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the reference server.
pub fn serve_empty_http() {
    use actix_web::{App, HttpResponse, HttpServer, web};
    let address = std::env::args().nth(2).expect("an address");
    actix_web::rt::System::new().block_on(async move {
        let empty = |_: web::Bytes| async {
            HttpResponse::Created().content_type("application/json").body("{\"id\":\"0\"}")
        };
        let app = move || App::new().route("/", web::post().to(empty));
        HttpServer::new(app).workers(1).bind(address).expect("bind").run().await.expect("serve");
    });
}
