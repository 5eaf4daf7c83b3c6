//! Reads an SQLite file: opened read-only, one transaction, nothing but `SELECT` and reading pragmas.
//!
//! A file whose log is empty is opened as `immutable`, since SQLite would otherwise make files
//! beside it. A file that a process has open is read through its log, as any reader would.

use super::ImportError;
use super::postgres::Row;
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, types::ValueRef};
use std::path::Path;
use tokio::sync::mpsc;

/// Rows handed over at a time.
const PAGE: usize = 100;

/// One open transaction.
pub struct Reader {
    state: State,
}

enum State {
    Open(Connection),
    Reading(mpsc::Receiver<Result<Vec<Row>, ImportError>>),
    Gone,
}

fn fault(error: rusqlite::Error) -> ImportError {
    ImportError::source("SQLite", error)
}

impl Reader {
    /// Opens the file. Errors: `Source` when it is not there or not SQLite.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let fail = |error: std::io::Error| ImportError::source(&path.display().to_string(), error);
        let head = std::fs::File::open(path).and_then(|mut file| {
            let mut head = [0; 20];
            std::io::Read::read_exact(&mut file, &mut head).map(|()| head)
        });
        let head = head.map_err(fail)?;
        if !head.starts_with(b"SQLite format 3\0") {
            return Err(ImportError::Unknown(format!("{} is not SQLite", path.display())));
        }
        let path = path.canonicalize().map_err(fail)?;
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let log_bytes = std::fs::metadata(&log).map_or(0, |log| log.len());
        // Bytes 18 and 19: 2 when it is written by way of a log.
        let at_rest = head.get(18) == Some(&2) && log_bytes == 0;
        let mut uri = String::from("file:");
        for byte in path.as_os_str().as_encoded_bytes() {
            match byte {
                b'?' | b'#' | b'%' | 0x80.. | 0..0x20 => uri.push_str(&format!("%{byte:02x}")),
                byte => uri.push(char::from(*byte)),
            }
        }
        uri.push_str(if at_rest { "?immutable=1" } else { "?mode=ro" });
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let db = Connection::open_with_flags(uri, flags).map_err(fault)?;
        db.busy_timeout(std::time::Duration::from_secs(5)).map_err(fault)?;
        db.execute_batch("BEGIN").map_err(fault)?;
        Ok(Reader { state: State::Open(db) })
    }

    fn db(&self) -> Result<&Connection, ImportError> {
        match &self.state {
            State::Open(db) => Ok(db),
            State::Reading(_) | State::Gone => Err(ImportError::Source("SQLite: gone".into())),
        }
    }

    /// All rows of a query that has few.
    pub fn all(&self, sql: &str) -> Result<Vec<Row>, ImportError> {
        let mut statement = self.db()?.prepare(sql).map_err(fault)?;
        let columns = statement.column_count();
        let mut rows = statement.query([]).map_err(fault)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(fault)? {
            found.push(read(row, columns).map_err(fault)?);
        }
        Ok(found)
    }

    /// The columns of a table; none when there is no table.
    pub fn columns(&self, table: &str) -> Result<Vec<String>, ImportError> {
        let rows = self.all(&format!("SELECT name FROM pragma_table_info('{table}')"))?;
        Ok(rows.iter().map(|row| super::text(row, 0)).collect())
    }

    /// The next rows of the query; empty at the end. The query is that of the first call; nothing
    /// else can be asked from then on.
    pub async fn page(&mut self, sql: &str) -> Result<Vec<Row>, ImportError> {
        if let State::Open(_) = self.state
            && let State::Open(db) = std::mem::replace(&mut self.state, State::Gone)
        {
            let (to, pages) = mpsc::channel(1);
            let sql = sql.to_owned();
            std::thread::spawn(move || {
                if let Err(error) = stream(&db, &sql, &to) {
                    // Nobody is there to be told when the import has ended.
                    let _ = to.blocking_send(Err(fault(error)));
                }
            });
            self.state = State::Reading(pages);
        }
        match &mut self.state {
            State::Reading(pages) => pages.recv().await.unwrap_or(Ok(Vec::new())),
            State::Open(_) | State::Gone => Err(ImportError::Source("SQLite: gone".into())),
        }
    }
}

fn stream(
    db: &Connection,
    sql: &str,
    to: &mpsc::Sender<Result<Vec<Row>, ImportError>>,
) -> rusqlite::Result<()> {
    let mut statement = db.prepare(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut page = Vec::with_capacity(PAGE);
    while let Some(row) = rows.next()? {
        page.push(read(row, columns)?);
        if page.len() == PAGE && to.blocking_send(Ok(std::mem::take(&mut page))).is_err() {
            return Ok(());
        }
    }
    if !page.is_empty() {
        let _ = to.blocking_send(Ok(page));
    }
    Ok(())
}

fn read(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Row> {
    (0..columns)
        .map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string().into()),
                ValueRef::Real(number) => Some(number.to_string().into()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    Some(Bytes::copy_from_slice(bytes))
                }
            })
        })
        .collect()
}
