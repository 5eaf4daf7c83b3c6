//! What the writer does between commits and while nobody asks for anything: syncs what is only
//! committed, sweeps, copies the log into the main file, gives room back.

use super::*;

impl Writer<'_> {
    /// After the answers: nobody waits for this, but the next commit.
    pub(super) fn between_commits(&mut self) {
        self.shorten_log();
        if self.sync_due().is_some_and(|due| due <= Instant::now()) {
            self.sync_pending();
        }
        self.commits_since_step += 1;
        if self.commits_since_step >= COMMITS_PER_SWEEP_STEP {
            self.sweep_step();
        }
    }

    pub(super) fn sync_due(&self) -> Option<Instant> {
        self.unsynced_since.map(|since| since + self.settings.sync_interval)
    }

    /// When the next thing is to be done although nobody asked for it.
    pub(super) fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        let sweep = self.has_to_sweep().then_some(now);
        let quiet = (self.unmoved || self.vacuum).then(|| now + QUIET);
        let probe = self.shared.full.load(Acquire).then_some(self.probe_at);
        let tidy = sweep.into_iter().chain(quiet).map(|due| due.max(self.retry_at));
        tidy.chain(probe).chain(self.sync_due()).min()
    }

    /// Nothing came until the time of [`Writer::due`].
    pub(super) fn idle(&mut self) {
        if self.sync_due().is_some_and(|due| due <= Instant::now()) {
            self.sync_pending();
        } else if self.shared.full.load(Acquire) && self.probe_at <= Instant::now() {
            self.probe();
        } else if self.has_to_sweep() {
            self.sweep_step();
        } else if self.unmoved {
            let _ = self.checkpoint();
        } else if self.vacuum {
            self.vacuum_step();
        }
    }

    /// A commit of its own that is synced makes all before it lasting.
    pub(super) fn sync_pending(&mut self) {
        if self.unsynced_since.is_some()
            && let Err(failed) = self.try_commit(&[])
        {
            // A later commit tries again.
            self.unsynced_since = Some(Instant::now());
            if matches!(failed, Failed::Full) {
                self.enter_full();
            }
            log::error!("sync of the store: {}", JournalError::from(failed));
        }
    }

    fn has_to_sweep(&self) -> bool {
        self.sweep.is_some() || self.sweep_all || !self.applier.marks.is_empty()
    }

    pub(super) fn sweep_step(&mut self) {
        self.commits_since_step = 0;
        if !self.has_to_sweep() {
            return;
        }
        let sweep = match &mut self.sweep {
            Some(sweep) => sweep,
            None => {
                let all = std::mem::take(&mut self.sweep_all);
                self.sweep.insert(Sweep::begin(&mut self.applier, all))
            }
        };
        self.unmoved = true;
        self.vacuum = true;
        match sweep.step(self.conn, &mut self.applier) {
            Ok(false) => {}
            Ok(true) => self.sweep = None,
            Err(error) => self.put_off("sweep of purged messages", &error),
        }
    }

    pub(super) fn put_off(&mut self, task: &str, error: &rusqlite::Error) {
        if is_full(error) {
            self.enter_full();
        }
        self.retry_at = Instant::now() + RETRY_AFTER;
        log::warn!("{task}: {error}");
    }

    /// Copies a long log into the main file, so that it starts anew; earlier when the main file
    /// has to grow for it by half of the reserve.
    ///
    /// When it cannot grow, the disk counts as full at once: then the reserve is enough for the copying, and the acks
    /// go on in a log that starts anew again and again.
    pub(super) fn shorten_log(&mut self) {
        match self.log_length() {
            Ok((frames, growth)) if frames < self.log_frames_max && growth <= self.growth_max => {}
            Ok((frames, growth)) => {
                // When it cannot be done now, not at every commit from now on.
                self.log_frames_max = frames + WAL_FRAMES / 4;
                self.growth_max = growth.max(self.reserve.bytes() / 2) + (1 << 20);
                if self.checkpoint() {
                    self.log_frames_max = WAL_FRAMES;
                    self.growth_max = self.reserve.bytes() / 2;
                }
            }
            Err(error) => self.put_off("looking at the length of the log", &error),
        }
    }

    /// Frames in the log, and by how many bytes the main file grows when they are copied.
    pub(super) fn log_length(&self) -> Result<(i64, u64), rusqlite::Error> {
        let mut look = self.conn.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
        let frames = look.query_row([], |row| row.get(1))?;
        let mut count = self.conn.prepare_cached("PRAGMA page_count")?;
        let pages: i64 = count.query_row([], |row| row.get(0))?;
        let there = std::fs::metadata(&self.database).map_or(0, |found| found.len());
        Ok((frames, (pages.cast_unsigned() * PAGE_BYTES).saturating_sub(there)))
    }

    /// True: every frame of the log is in the main file, or a reader is in the way.
    pub(super) fn checkpoint(&mut self) -> bool {
        self.unmoved = false;
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            self.put_off("copying the log into the main file", &error);
            return false;
        }
        true
    }

    pub(super) fn free_pages(&self) -> Result<i64, rusqlite::Error> {
        self.conn.query_row("PRAGMA freelist_count", [], |row| row.get(0))
    }

    pub(super) fn vacuum_step(&mut self) {
        let step = self.free_pages().and_then(|free| {
            self.vacuum = free > FREE_PAGES_KEPT;
            if self.vacuum {
                self.unmoved = true;
                let pages = VACUUM_PAGES.min(free - FREE_PAGES_KEPT);
                let mut vacuum =
                    self.conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
                let mut rows = vacuum.query([])?;
                while rows.next()?.is_some() {}
            }
            Ok(())
        });
        if let Err(error) = step {
            self.put_off("giving free pages back to the disk", &error);
        }
    }

    pub(super) fn quarantine(&mut self, found: &[quarantine::Found]) {
        let moved = self.conn.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            let letters = found.iter().filter(|(table, _)| *table == "dead");
            for (_, entry) in letters {
                self.applier.spare_dead(*entry)?;
            }
            let moved = quarantine::move_aside(self.conn, found)?;
            self.conn.execute_batch("COMMIT")?;
            Ok(moved)
        });
        match moved {
            Ok(moved) => {
                self.applier.committed();
                self.shared.quarantined.fetch_add(moved, Relaxed);
            }
            Err(error) => {
                let _ = self.conn.execute_batch("ROLLBACK");
                self.applier.rolled_back();
                log::error!("moving damaged rows aside: {error}");
            }
        }
    }
}
