//! What the machine itself can do: the same client and the same bytes, at something that does
//! nothing with them.

use super::doors::{self, Role};
use super::report::{Reference, Report};
use super::speaker::{Asked, Heard, Speaker, odd};
use super::{BenchError, Door, Settings, Work, drive, http};
use actix_web::{App, HttpResponse, HttpServer, web};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

/// Longest request that the empty handler takes.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Measures it with `workers` threads at the other side, and compares.
pub fn measure(
    settings: &Settings,
    report: &Report,
    workers: usize,
) -> Result<Reference, BenchError> {
    let over_http = !matches!(settings.door, Door::Otq | Door::Okq | Door::Dsmq);
    let (what, address, end) = if over_http {
        let (address, handle) = serve_empty(workers)?;
        ("empty actix-web handler", address, Some(handle))
    } else {
        ("loopback echo", serve_echo()?, None)
    };
    // It publishes nothing, but the bytes are those of a publish.
    let same = Settings { work: Work::Publish, address, ..settings.clone() };
    let make = |_: Role, nth: usize| -> Box<dyn Speaker> {
        let speaker = doors::speaker(settings, Role::Worker, nth);
        Box::new(Mirror {
            speaker,
            http: over_http,
            batch: settings.batch,
            lengths: Default::default(),
        })
    };
    let measured = drive::run_with(&same, None, &make);
    if let Some(handle) = end {
        drop(handle.stop(false));
    }
    let base = Report::of(&same, &measured?);
    // A request that goes there and comes back is what both have in common.
    let requests = match settings.work {
        Work::Publish => report.requests_per_s.min(report.messages_per_s / settings.batch as f64),
        Work::Receive | Work::Pubsub | Work::Roundtrip => report.requests_per_s,
    };
    Ok(Reference {
        what,
        requests_per_s: base.requests_per_s,
        ratio: requests / base.requests_per_s,
        latency_us: base.latency_us,
    })
}

/// Says what another one says, and takes anything for an answer.
struct Mirror {
    speaker: Box<dyn Speaker>,
    http: bool,
    batch: usize,
    /// What was written and is to come back.
    lengths: std::collections::VecDeque<usize>,
}

impl Speaker for Mirror {
    fn publish(&mut self, out: &mut Vec<u8>, due_ns: u64) -> usize {
        let start = out.len();
        self.speaker.publish(out, due_ns);
        self.lengths.push_back(out.len() - start);
        1
    }

    fn receive(&mut self, _: &mut Vec<u8>, _: usize) -> usize {
        0
    }

    fn hear(
        &mut self,
        input: &[u8],
        _: Option<Asked>,
    ) -> Result<Option<(usize, Heard)>, BenchError> {
        let Some(sent) = self.lengths.front() else { return Err(odd(input)) };
        let end = match self.http {
            true => http::Answer::good(input)?.map(|answer| answer.end),
            false => Some(*sent).filter(|sent| input.len() >= *sent),
        };
        if end.is_some() {
            self.lengths.pop_front();
        }
        Ok(end.map(|end| (end, Heard::Published(self.batch))))
    }
}

/// The least an actix-web server can do with a request and its body.
fn serve_empty(workers: usize) -> Result<(SocketAddr, actix_web::dev::ServerHandle), BenchError> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let app = || {
                let empty = |_: web::Bytes| async {
                    HttpResponse::Created().content_type("application/json").body("{\"id\":\"0\"}")
                };
                let all = web::PayloadConfig::new(REQUEST_BYTES_MAX);
                App::new().app_data(all).default_service(web::to(empty))
            };
            let server = HttpServer::new(app).workers(workers).disable_signals();
            let bound = server
                .bind("127.0.0.1:0")
                .map(|server| (server.addrs().first().copied(), server.run()));
            match bound {
                Ok((address, server)) => {
                    // Whoever asked is waiting.
                    let _ = tell.send(Ok((address, server.handle())));
                    let _ = server.await;
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        });
    });
    let gone = || std::io::Error::other("the reference did not start");
    let (address, handle) = told.recv().map_err(|_| gone())??;
    Ok((address.ok_or_else(gone)?, handle))
}

/// Sends back what it gets; one thread for each connection, which ends with it.
fn serve_echo() -> Result<SocketAddr, BenchError> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = |mut stream: TcpStream| {
        let mut buffer = vec![0; 256 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(buffer.get(..count).unwrap_or_default()).is_err() {
                break;
            }
        }
    };
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.set_nodelay(true);
            thread::spawn(move || echo(stream));
        }
    });
    Ok(address)
}
