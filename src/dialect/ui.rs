//! The files of `static/`, served below `/ui`. They are part of the binary; nothing is built.
//!
//! They hold no secret and need no credentials: what a page may do is decided where it asks for it.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use sha2::{Digest as _, Sha256};

/// Scripts, styles and pictures of this door only, and connections only to where the page came
/// from, WebSockets included.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// One file.
struct File {
    /// Below `/ui`, unless it begins with a slash.
    path: &'static str,
    content_type: &'static str,
    text: &'static str,
}

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

const FILES: &[File] = &[
    File {
        path: "octoq.js",
        content_type: JAVASCRIPT,
        text: include_str!("../../static/octoq.js"),
    },
    File {
        path: "/docs",
        content_type: "text/html; charset=utf-8",
        text: include_str!("../../static/docs.html"),
    },
    File { path: "docs.js", content_type: JAVASCRIPT, text: include_str!("../../static/docs.js") },
    File {
        path: "docs.css",
        content_type: "text/css; charset=utf-8",
        text: include_str!("../../static/docs.css"),
    },
];

/// A file with what tells its versions apart.
#[derive(Clone)]
struct Served {
    file: &'static File,
    etag: String,
}

/// The paths of all files.
pub fn routes(config: &mut web::ServiceConfig) {
    for file in FILES {
        let digest = Sha256::digest(file.text);
        let etag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let served = Served { file, etag: format!("\"{etag}\"") };
        let answer = move |request: HttpRequest| {
            let answer = served.answer(&request);
            async move { answer }
        };
        let path = match file.path.starts_with('/') {
            true => file.path.to_owned(),
            false => format!("/ui/{}", file.path),
        };
        config.service(web::resource(path).to(answer));
    }
}

impl Served {
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, HEAD"))
                .finish();
        }
        let known = request.headers().get(header::IF_NONE_MATCH);
        let same = known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
            known
                .split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == self.etag)
        });
        let mut response = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((header::ETAG, self.etag.clone()))
            // Kept, and asked for again each time: a new octoq brings new files.
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            // A module may be loaded by pages of any site; what it does there, `http.origins` decides.
            .insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        if same {
            return response.finish();
        }
        response.content_type(self.file.content_type).body(self.file.text)
    }
}
