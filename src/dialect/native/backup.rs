//! `POST /v1/backup`: the store as one file.

use super::Native;
use super::caller::Who;
use super::problem::Problem;
use super::query::Query;
use actix_web::{
    HttpRequest, HttpResponse,
    body::SizedStream,
    http::header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    web,
};
use bytes::Bytes;
use futures_util::stream;
use serde::Serialize;
use std::{fs::File, io::Read as _};
use utoipa::ToSchema;

/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// A backup that stays.
#[derive(Serialize, ToSchema)]
struct Kept {
    path: String,
    bytes: u64,
    commit: u64,
}

/// `POST /v1/backup`: for administrators. 200 and everything committed at one moment, as the file that
/// `octoq restore` takes. With `?keep=NAME` it stays in the folder `backups` of the store: 201 and where.
#[utoipa::path(
    post, path = "/v1/backup", tag = "broker", operation_id = "backup",
    summary = "Everything committed at one moment, as one file; for administrators",
    params(("keep" = Option<String>, Query, nullable = false, description = "Keep it under this name in the folder `backups` of the store.")),
    responses(
        (status = 200, description = "The file, as `octoq restore` takes it", body = Vec<u8>, content_type = "application/vnd.sqlite3"),
        (status = 201, description = "With `keep`: where it is", body = Kept),
    ),
)]
pub async fn backup(
    request: HttpRequest,
    who: Who,
    native: web::Data<Native>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::of(&request)?;
    let keep = query.text("keep")?;
    query.done()?;
    let backup = native.broker.backup(&who.0, keep).await?;
    if let Some(path) = backup.path {
        let path = path.display().to_string();
        let (bytes, commit) = (backup.copied.bytes, backup.copied.commit);
        return Ok(HttpResponse::Created().json(Kept { path, bytes, commit }));
    }
    let body = SizedStream::new(backup.copied.bytes, pieces(backup.file));
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "application/vnd.sqlite3"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"octoq.backup\""))
        .body(body))
}

/// A file piece by piece: each is read on a thread of its own when the one before has been sent.
fn pieces(file: File) -> impl stream::Stream<Item = Result<Bytes, actix_web::Error>> {
    stream::try_unfold(file, |file| async move {
        let read = web::block(move || {
            let mut piece = vec![0; PIECE_BYTES];
            let count = (&file).read(&mut piece)?;
            piece.truncate(count);
            Ok::<_, std::io::Error>((piece, file))
        });
        let (piece, file) = read.await??;
        Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    })
}
