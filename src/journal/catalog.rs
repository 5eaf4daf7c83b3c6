//! The catalog of a running store, for a topic that is built anew.

use super::{
    Catalog, Command, Journal, JournalError, Submission, folder, open, schema, store_error,
};
use crate::queue::Level;
use std::sync::mpsc::sync_channel;

impl Journal {
    /// Everything but the messages, with all that was submitted before. Blocks.
    pub fn catalog(&self) -> Result<Catalog, JournalError> {
        let (done, told) = sync_channel(1);
        let done = Box::new(move |result| drop(done.send(result)));
        let barrier = Submission { records: Vec::new(), level: Level::Async, done: Some(done) };
        self.commands()?.send(Command::Submit(barrier)).map_err(|_| JournalError::Closed)?;
        // What failed before this was told to whom it concerned.
        told.recv().map_err(|_| JournalError::Closed)?.or_else(|error| match error {
            JournalError::Closed => Err(error),
            _ => Ok(()),
        })?;
        let settings = &self.inner.shared.settings;
        let file = folder::database(&settings.path);
        let failed = |error: rusqlite::Error| store_error(&error);
        let conn = schema::connect_readonly(&file, settings.cache_bytes / 8).map_err(failed)?;
        let identity = schema::identify(&conn, &file)?.unwrap_or_default();
        let mut catalog = Catalog { clean: true, same_boot: true, ..Catalog::default() };
        open::read_in(&conn, &identity, &mut catalog).map_err(failed)?;
        Ok(catalog)
    }
}
