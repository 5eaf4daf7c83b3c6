//! Reads a PostgreSQL database: one transaction, `REPEATABLE READ READ ONLY`, in which nothing but
//! `SELECT`, `DECLARE .. CURSOR` and `FETCH` is sent.

use super::ImportError;
use bytes::Bytes;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// One row: texts, as PostgreSQL prints them.
pub type Row = Vec<Option<Bytes>>;

/// Rows fetched at a time.
const PAGE: usize = 100;

/// One open transaction.
pub struct Reader {
    client: Client,
    open: bool,
}

impl Reader {
    /// Connects, without TLS, and begins the transaction.
    pub async fn connect(url: &str) -> Result<Self, ImportError> {
        let config = config(url)?;
        let (client, connection) = config
            .connect(NoTls)
            .await
            .map_err(|error| ImportError::source("PostgreSQL", told(&error)))?;
        actix::spawn(async move {
            // Whoever asks next is told that the connection is gone.
            let _ = connection.await;
        });
        let reader = Reader { client, open: false };
        reader.all("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        Ok(reader)
    }

    /// All rows of a query that has few.
    pub async fn all(&self, sql: &str) -> Result<Vec<Row>, ImportError> {
        let messages = self.client.simple_query(sql).await;
        let messages = messages.map_err(|error| ImportError::source("PostgreSQL", told(&error)))?;
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let text =
                    |at| row.get(at).map(|text: &str| Bytes::copy_from_slice(text.as_bytes()));
                Some((0..row.len()).map(text).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The columns of a table that the connection sees under this name; none when there is no table.
    pub async fn columns(&self, table: &str) -> Result<Vec<String>, ImportError> {
        let rows = self
            .all(&format!(
                "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('{table}') \
                 AND attnum > 0 AND NOT attisdropped"
            ))
            .await?;
        Ok(rows.iter().map(|row| super::text(row, 0)).collect())
    }

    /// The next rows of the query; empty at the end. The query is that of the first call.
    pub async fn page(&mut self, sql: &str) -> Result<Vec<Row>, ImportError> {
        if !self.open {
            self.all(&format!("DECLARE found NO SCROLL CURSOR FOR {sql}")).await?;
            self.open = true;
        }
        self.all(&format!("FETCH {PAGE} FROM found")).await
    }
}

/// Also takes the addresses that SQLAlchemy takes, `postgresql+driver://`.
fn config(url: &str) -> Result<Config, ImportError> {
    let url = match url.split_once("://") {
        Some((scheme, rest)) if scheme.starts_with("postgres") => {
            let scheme = scheme.split('+').next().unwrap_or(scheme);
            format!("{scheme}://{rest}")
        }
        _ => url.to_owned(),
    };
    let mut config: Config =
        url.parse().map_err(|error| ImportError::source("the database URL", error))?;
    config.application_name("octoq import");
    Ok(config)
}

/// What the server said, not only that it said something.
fn told(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => db.message().to_owned(),
        (None, Some(cause)) => format!("{error}: {cause}"),
        (None, None) => error.to_string(),
    }
}
