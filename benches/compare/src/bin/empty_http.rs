//! The least a server of actix-web can do: one answer, whatever is asked. `empty_http ADDRESS THREADS`

use actix_web::{App, HttpResponse, HttpServer, web};

/// As long as octoq's answer to a publish.
const ANSWER: &str = r#"{"id":"01a1fdbf-59a0-790a-a22b-000000000001","seq":1,"duplicate":false,"durability":"memory"}"#;

async fn answer(_: web::Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(ANSWER)
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let address = words.next().unwrap_or_else(|| "127.0.0.1:0".into());
    let threads = words.next().and_then(|word| word.parse().ok()).unwrap_or(1);
    HttpServer::new(|| App::new().default_service(web::to(answer)))
        .workers(threads)
        .bind(address)?
        .run()
        .await
}
