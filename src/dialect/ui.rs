//! The files of `static/`, served below `/ui`. They are part of the binary; nothing is built.
//!
//! They hold no secret and need no credentials: what a page may do is decided where it asks for it.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};
use std::{io::Write as _, sync::OnceLock};

/// Scripts, styles and pictures of this door only, and connections only to where the page came
/// from, WebSockets included.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                      font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// Pages have addresses of their own beside those of their files.
const PAGES: [(&str, &[&str]); 3] = [
    (INDEX, &["/ui", "/ui/"]),
    ("docs.html", &["/docs"]),
    // What a browser asks for when a page names no picture of its own: `/openapi.json`, for one.
    ("icon.svg", &["/favicon.ico"]),
];

/// The dashboard.
const INDEX: &str = "index.html";

/// A module that pages of any site may load; what it does there, `http.origins` decides.
const FOR_ANY_SITE: &str = "octoq.js";

/// One file.
struct File {
    path: &'static str,
    text: &'static str,
    /// Made when it is first asked for, and kept.
    made: OnceLock<Made>,
}

/// What is made of a file once.
struct Made {
    gzip: Bytes,
    /// Tells versions apart.
    digest: String,
}

macro_rules! files {
    ($($path:literal)*) => {
        [$(File {
            path: $path,
            text: include_str!(concat!("../../static/", $path)),
            made: OnceLock::new(),
        }),*]
    };
}

static FILES: [File; 41] = files! {
    "index.html" "icon.svg" "style.css" "theme.js"
    "app.js" "api.js" "live.js" "state.js" "format.js" "parts.js" "table.js" "rows.js" "charts.js"
    "message.js"
    "screens/overview.js" "screens/topics.js" "screens/topic.js" "screens/topic-messages.js"
    "screens/topic-publish.js" "screens/topic-settings.js" "screens/topic-tail.js"
    "screens/edit-dead.js" "screens/dead.js" "screens/connections.js" "screens/console.js"
    "screens/verbs.js" "screens/system.js" "screens/system-log.js" "screens/system-store.js"
    "screens/system-users.js"
    "vendor/htm-preact.js" "vendor/uplot.js" "vendor/uplot.css"
    "vendor/CHECKSUMS" "vendor/htm.LICENSE" "vendor/preact.LICENSE" "vendor/uplot.LICENSE"
    "octoq.js"
    "docs.html" "docs.js" "docs.css"
};

/// The paths of all files.
pub fn routes(config: &mut web::ServiceConfig) {
    for file in &FILES {
        let answer = move |request: HttpRequest| async move { file.answer(&request) };
        config.service(web::resource(format!("/ui/{}", file.path)).to(answer));
        for address in PAGES.iter().filter(|(path, _)| *path == file.path).flat_map(|page| page.1) {
            config.service(web::resource(*address).to(answer));
        }
    }
}

impl File {
    fn content_type(&self) -> &'static str {
        match self.path.rsplit_once('.').map(|(_, end)| end) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| {
            let digest = Sha256::digest(self.text);
            let digest = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
            // Memory takes everything; should it not, the file is sent as it is.
            let packed = gzip.write_all(self.text.as_bytes()).and_then(|()| gzip.finish());
            Made { gzip: packed.unwrap_or_default().into(), digest }
        })
    }

    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return HttpResponse::MethodNotAllowed()
                .insert_header((header::ALLOW, "GET, HEAD"))
                .finish();
        }
        let made = self.made();
        let packed = takes_gzip(request) && !made.gzip.is_empty();
        let etag = format!("\"{}{}\"", made.digest, if packed { "-gzip" } else { "" });
        let known = request.headers().get(header::IF_NONE_MATCH);
        let same = known.and_then(|known| known.to_str().ok()).is_some_and(|known| {
            known
                .split(',')
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == etag)
        });
        let mut response = if same { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((header::ETAG, etag))
            .insert_header((header::VARY, "Accept-Encoding"))
            // Kept, and asked for again each time: a new octoq brings new files.
            .insert_header((header::CACHE_CONTROL, "no-cache"))
            .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"));
        if self.path == FOR_ANY_SITE {
            response.insert_header((header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"));
        }
        if same {
            return response.finish();
        }
        response.content_type(self.content_type());
        if packed {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
            return response.body(made.gzip.clone());
        }
        response.body(self.text)
    }
}

/// Does the client take gzip? Not if it says so with a weight of zero.
fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING);
    accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.unwrap_or(1.0_f32) > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::StatusCode;
    use actix_web::{App, test};
    use flate2::read::GzDecoder;
    use std::{collections::BTreeSet, fs, io::Read as _, path::Path};

    /// The first load, compressed: what every visit costs that has nothing kept.
    const FIRST_LOAD_BYTES_MAX: usize = 100 * 1000;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                below(&entry.path(), &format!("{path}/"), found);
            } else {
                found.insert(path);
            }
        }
    }

    #[core::prelude::v1::test]
    fn every_file_of_static_is_served_and_together_they_are_small() {
        let mut there = BTreeSet::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("static"), "", &mut there);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(there, served);
        // Loaded before anything is shown: what the page names, and what that imports, and so on. The other
        // screens come when they are first shown.
        let mut first: BTreeSet<&str> = [INDEX].into();
        let mut looked_at = BTreeSet::new();
        while let Some(path) = first.difference(&looked_at).next().copied() {
            looked_at.insert(path);
            let file = FILES.iter().find(|file| file.path == path).unwrap();
            first.extend(FILES.iter().map(|file| file.path).filter(|other| {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let below = other.strip_prefix(folder).map(|rest| rest.trim_start_matches('/'));
                let ways = [
                    format!("\"/ui/{other}\""),
                    format!(" from \"./{}\"", below.unwrap_or(other)),
                    format!(" from \"../{other}\""),
                ];
                *other != name && ways.iter().any(|way| file.text.contains(way.as_str()))
            }));
        }
        for needed in ["app.js", "vendor/uplot.js", "screens/overview.js", "format.js"] {
            assert!(first.contains(needed), "{first:?}");
        }
        // A link to it loads nothing.
        assert!(!first.contains("screens/topic.js"), "{first:?}");
        let files = FILES.iter().filter(|file| first.contains(file.path));
        let bytes: usize = files.map(|file| file.made().gzip.len()).sum();
        assert!((20_000..FIRST_LOAD_BYTES_MAX).contains(&bytes), "{bytes} bytes");
    }

    fn head(answer: &actix_web::dev::ServiceResponse, name: header::HeaderName) -> &str {
        answer.headers().get(name).unwrap().to_str().unwrap()
    }

    #[actix_web::test]
    async fn files_come_packed_or_plain_and_only_when_they_are_new() {
        let app = test::init_service(App::new().configure(routes)).await;
        let get = |path: &str, headers: &[(&'static str, &str)]| {
            let mut request = test::TestRequest::get().uri(path);
            for (name, value) in headers {
                request = request.insert_header((*name, *value));
            }
            test::call_service(&app, request.to_request())
        };
        let plain = get("/ui/", &[]).await;
        assert!(plain.headers().get(header::CONTENT_ENCODING).is_none());
        let plain_tag = head(&plain, header::ETAG).to_owned();
        let page = test::read_body(plain).await;
        assert!(page.starts_with(b"<!doctype html>"));
        assert_eq!(test::read_body(get("/ui", &[]).await).await, page);

        let packed = get("/ui/index.html", &[("accept-encoding", "br;q=1.0, gzip;q=0.8")]).await;
        assert_eq!(head(&packed, header::CONTENT_ENCODING), "gzip");
        assert_eq!(head(&packed, header::CONTENT_SECURITY_POLICY), POLICY);
        assert!(packed.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN).is_none());
        let tag = head(&packed, header::ETAG).to_owned();
        assert_ne!(tag, plain_tag);
        let mut unpacked = Vec::new();
        let body = test::read_body(packed).await;
        GzDecoder::new(&body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, page);

        let gzip = ("accept-encoding", "gzip");
        let again = get("/ui/", &[gzip, ("if-none-match", &format!("\"x\", W/{tag}"))]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = get("/ui/", &[("if-none-match", &tag)]).await;
        assert_eq!(other.status(), StatusCode::OK);
        let refused = get("/ui/style.css", &[("accept-encoding", "gzip;q=0")]).await;
        assert!(refused.headers().get(header::CONTENT_ENCODING).is_none());
        assert_eq!(head(&refused, header::CONTENT_TYPE), "text/css; charset=utf-8");
        let module = get("/ui/octoq.js", &[]).await;
        assert_eq!(head(&module, header::ACCESS_CONTROL_ALLOW_ORIGIN), "*");
        let icon = get("/favicon.ico", &[]).await;
        assert_eq!(head(&icon, header::CONTENT_TYPE), "image/svg+xml");
        assert_eq!(get("/ui/none.js", &[]).await.status(), StatusCode::NOT_FOUND);
        let post = test::TestRequest::post().uri("/ui").to_request();
        assert_eq!(test::call_service(&app, post).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
