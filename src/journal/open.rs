//! Opening a store: whose it is, whether all of it is there, and what it says.

use super::{
    Catalog, JournalError, JournalSettings,
    apply::{Noted, queue_crc, topic_crc},
    folder::{self, Last, LastFile, Lock, Reserve, io_error},
    marks::Marks,
    quarantine,
    row::{blob, crc_holds, integer, text},
    schema::{self, Identity, put_meta, put_meta_text},
    wal::{self, Walk},
    writer::{NUMBERS_AHEAD, Start, store_error},
};
use crate::queue::{Kind, QueueDefinition, QueueName, Timestamp, TopicDefinition, TopicName};
use rusqlite::{Connection, Row};
use std::{fs, path::Path};

/// Names this run of the machine; empty where the system does not say.
pub(super) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// A store that is open: what the writer starts with, what was found, the next free number.
pub(super) struct Opened {
    pub start: Start,
    pub catalog: Catalog,
    pub next: u64,
    pub quarantined: u64,
    /// There was room only where room is kept for acks, or none to keep for them.
    pub full: bool,
}

/// Locks and opens the store, or makes it.
pub(super) fn open(settings: &JournalSettings, boot: &str) -> Result<Opened, JournalError> {
    let at = &settings.path;
    fs::create_dir_all(at).map_err(|error| io_error(at, &error))?;
    let lock = Lock::take(at)?;
    let file = folder::database(at);
    let reserve = Reserve::new(at, settings.reserve_bytes);
    let mut full = false;

    let mut catalog = Catalog { clean: true, same_boot: true, ..Catalog::default() };
    let mut found = None;
    if fs::metadata(&file).is_ok_and(|found| found.len() > 0) || folder::last(at).exists() {
        let inspected = match inspect(at, boot) {
            Err(JournalError::DiskFull) if reserve.give_up() => {
                full = true;
                inspect(at, boot)?
            }
            inspected => inspected?,
        };
        if let Some(what) = inspected.refusal {
            let file = if inspected.walk.bad_at.is_some() { folder::log(at) } else { file };
            return Err(JournalError::Damaged { file, what });
        }
        if let Some(identity) = &inspected.identity {
            catalog.clean = identity.clean;
            catalog.same_boot = inspected.same_boot;
        }
        catalog.warnings = inspected.warnings;
        found = inspected.identity;
    }

    let sqlite = |error: rusqlite::Error| store_error(&error);
    let conn = schema::connect(&file, settings.cache_bytes).map_err(sqlite)?;
    if found.is_none() {
        schema::create(&conn, uuid::Uuid::new_v4().as_u64_pair().0).map_err(sqlite)?;
        found = schema::identify(&conn, &file)?;
        sync_folder(at);
    }
    let identity = found.unwrap_or_default();

    // What publishes took now, acks would not have later.
    let mut without_reserve = false;
    if !full && let Err(error) = reserve.take() {
        catalog.warnings.push(format!(
            "the disk is full: no room could be set aside for acks ({error}), and publishes are \
             refused until it can"
        ));
        (full, without_reserve) = (true, true);
    }

    let (marks, noted, next, quarantined) =
        read_in(&conn, &identity, &mut catalog).map_err(sqlite)?;
    let reserved = next + NUMBERS_AHEAD;
    let begun = begin_run(&conn, boot, reserved, identity.last_commit + 1);
    let last = identity.last_commit + 1;
    match begun {
        Ok(()) => {}
        // Acks are still wanted from a store on a full disk.
        Err(error) if store_error(&error) == JournalError::DiskFull && reserve.give_up() => {
            let _ = conn.execute_batch("ROLLBACK");
            begin_run(&conn, boot, reserved, last).map_err(sqlite)?;
            full = true;
        }
        Err(error) => return Err(sqlite(error)),
    }
    if full && !without_reserve {
        let warning = "the disk is full: the room set aside for acks was given up";
        catalog.warnings.push(warning.into());
    }
    let last = Last { store: identity.store, commit: last, sync_commit: last };
    let mut last_file = LastFile::open(at).map_err(|error| io_error(&folder::last(at), &error))?;
    last_file.write(last).map_err(|error| io_error(&folder::last(at), &error))?;

    let start = Start { conn, lock, last, last_file, reserve, reserved, marks, noted };
    Ok(Opened { start, catalog, next, quarantined, full })
}

/// The names of new files must survive a power cut too.
pub(super) fn sync_folder(at: &Path) {
    for folder in [Some(at), at.parent()].into_iter().flatten() {
        if let Err(error) = fs::File::open(folder).and_then(|folder| folder.sync_all()) {
            log::debug!("sync of the folder {}: {error}", folder.display());
        }
    }
}

fn begin_run(
    conn: &Connection,
    boot: &str,
    reserved: u64,
    commit: u64,
) -> Result<(), rusqlite::Error> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    put_meta_text(conn, "boot", boot)?;
    put_meta(conn, "clean", 0)?;
    // All that older formats say is read as it stands; from now on it may say more.
    put_meta(conn, "format", schema::FORMAT)?;
    put_meta(conn, "reserved", reserved.cast_signed())?;
    conn.execute(
        "UPDATE progress SET last_commit = ?1, last_sync_commit = ?1",
        [commit.cast_signed()],
    )?;
    conn.execute_batch("COMMIT")
}

/// What a store looks like from outside, before anything in it is changed.
#[derive(Debug)]
pub(super) struct Inspected {
    /// `None`: an empty file, made by a run that ended before it had its tables.
    pub identity: Option<Identity>,
    pub walk: Walk,
    pub last: Option<Last>,
    pub same_boot: bool,
    /// Something confirmed is missing: opening would pass over it.
    pub refusal: Option<String>,
    pub warnings: Vec<String>,
}

/// Looks at database, log and side file, and changes none of them.
pub(super) fn inspect(at: &Path, boot: &str) -> Result<Inspected, JournalError> {
    let (file, log) = (folder::database(at), folder::log(at));
    let walk = wal::walk(&log).map_err(|error| io_error(&log, &error))?;
    let damaged = |error: rusqlite::Error| schema::read_error(&file, &error);
    let identity = if fs::metadata(&file).is_ok_and(|found| found.len() > 0) {
        schema::identify(&schema::connect_readonly(&file, 1 << 20).map_err(damaged)?, &file)?
    } else {
        None
    };

    let mut seen = Inspected {
        same_boot: identity.as_ref().is_some_and(|found| !boot.is_empty() && found.boot == boot),
        identity,
        walk,
        last: None,
        refusal: None,
        warnings: Vec::new(),
    };
    seen.last = match Last::read(at) {
        Ok(Some(last)) if seen.identity.as_ref().is_some_and(|found| found.store != last.store) => {
            seen.warnings.push("LAST belongs to another store and is not used".into());
            None
        }
        Ok(last) => last,
        Err(what) => {
            seen.warnings.push(format!("LAST is not used: {what}"));
            None
        }
    };
    seen.judge();
    Ok(seen)
}

/// Refuses a store of a newer format before anything is done to it; whatever else is wrong with it
/// is for the caller to find.
pub(super) fn refuse_newer(at: &Path) -> Result<(), JournalError> {
    match inspect(at, "") {
        Err(error @ JournalError::TooNew { .. }) => Err(error),
        _ => Ok(()),
    }
}

impl Inspected {
    /// Decides between a torn tail, which ends what nobody was told, and damage, which must not
    /// be passed over.
    ///
    /// While the machine runs on, every write is there, so a missing commit or a bad frame before whole
    /// ones is damage. After a power cut the unsynced end of the log may be there in parts, and only what
    /// was synced counts.
    fn judge(&mut self) {
        let Some(identity) = &self.identity else {
            if let Some(last) = self.last {
                self.refusal = Some(format!(
                    "commits 1 to {} were confirmed, and the database is empty",
                    last.commit
                ));
            }
            return;
        };
        let here = identity.last_commit;
        let last = self.last.unwrap_or_default();
        let bad =
            self.walk.bad_at.map(|at| format!("the frame at byte {at} of the log is damaged"));
        let after = format!(
            "{} whole frames with {} commits follow it",
            self.walk.frames_after, self.walk.commits_after
        );
        let way_on = "`octoq check` tells what can be saved";
        let bound = if self.same_boot { last.commit } else { last.sync_commit };
        if bound > here {
            let place = bad.unwrap_or_else(|| format!("the log ends at byte {}", self.walk.end));
            let after =
                if self.walk.frames_after > 0 { format!(", {after}") } else { String::new() };
            self.refusal = Some(format!(
                "commits {} to {bound} were confirmed and are missing: {place}{after}; {way_on}",
                here + 1
            ));
        } else if let Some(bad) = bad {
            if self.same_boot && self.walk.damaged_middle() {
                self.refusal = Some(format!("{bad}, {after}; {way_on}"));
            } else {
                self.warnings.push(format!(
                    "the log has a torn tail: {bad}; what follows commit {here} was cut"
                ));
            }
        }
        if self.refusal.is_none() && last.commit > here {
            self.warnings.push(format!(
                "the machine stopped before commits {} to {} were synced: they are lost",
                here + 1,
                last.commit
            ));
        }
        if self.last.is_none() && !identity.clean && self.warnings.is_empty() {
            self.warnings.push(
                "LAST is missing: whether the newest commits are all there is not known".into(),
            );
        }
    }
}

type ReadIn = (Marks, Noted, u64, u64);

/// Reads everything but the messages into `catalog`; moves damaged rows of it aside.
pub(super) fn read_in(
    conn: &Connection,
    identity: &Identity,
    catalog: &mut Catalog,
) -> Result<ReadIn, rusqlite::Error> {
    let mut bad = Vec::new();
    catalog.topics = definitions(conn, "topics", read_topic, &mut bad)?;
    catalog.queues = definitions(conn, "queues", read_queue, &mut bad)?;
    catalog.reserved = throughs(conn, "seq_reserved")?;
    catalog.claimed = throughs(conn, "claimed")?;
    let mut settings = conn.prepare("SELECT kind, key, value FROM settings ORDER BY kind, key")?;
    catalog.settings = settings
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    for (table, number) in &bad {
        catalog
            .warnings
            .push(format!("a damaged row of {table} (number {number}) went to quarantine"));
    }
    if !bad.is_empty() {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        quarantine::move_aside(conn, &bad)?;
        conn.execute_batch("COMMIT")?;
    }
    let quarantined: i64 =
        conn.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0))?;
    if quarantined > 0 {
        catalog.warnings.push(format!("{quarantined} damaged rows are in quarantine"));
    }

    let mut noted = Noted::default();
    let mut highest = identity.reserved;
    for table in ["attempt", "dead"] {
        let mut entries = conn.prepare(&format!("SELECT id FROM {table}"))?;
        let mut rows = entries.query([])?;
        while let Some(row) = rows.next()? {
            noted.add(row.get::<_, i64>(0)?.cast_unsigned());
        }
    }
    for table in ["msg", "ref", "attempt", "dead", "dedup"] {
        let max: Option<i64> =
            conn.query_row(&format!("SELECT max(id) FROM {table}"), [], |row| row.get(0))?;
        highest = highest.max(max.unwrap_or_default().cast_unsigned());
    }
    Ok((Marks::load(conn)?, noted, highest + 1, quarantined.cast_unsigned()))
}

fn throughs(conn: &Connection, table: &str) -> Result<Vec<(u32, u64)>, rusqlite::Error> {
    conn.prepare(&format!("SELECT topic, through FROM {table} ORDER BY topic"))?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect()
}

/// Reads all definitions of a table; the numbers of damaged ones go to `bad`.
pub(super) fn definitions<T>(
    conn: &Connection,
    table: &'static str,
    read: fn(&Row<'_>) -> Option<T>,
    bad: &mut Vec<quarantine::Found>,
) -> Result<Vec<T>, rusqlite::Error> {
    let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY number"))?;
    let mut rows = statement.query([])?;
    let mut good = Vec::new();
    while let Some(row) = rows.next()? {
        match read(row) {
            Some(definition) => good.push(definition),
            None => bad.push((table, row.get::<_, i64>(0)?.cast_unsigned())),
        }
    }
    Ok(good)
}

/// A row of `topics`.
pub(super) fn read_topic(row: &Row<'_>) -> Option<TopicDefinition> {
    let (kind_text, policy_text) = (text(row, 2)?, text(row, 3)?);
    let kind: Kind = serde_json::from_value(kind_text.into()).ok()?;
    let topic = TopicDefinition {
        number: integer(row, 0)?.try_into().ok()?,
        name: TopicName::parse(blob(row, 1)?).ok()?,
        kind,
        policy: serde_json::from_str(policy_text).ok()?,
        salt: integer(row, 4)?.try_into().ok()?,
        epoch: integer(row, 5)?.try_into().ok()?,
        owner: row.get(6).ok()?,
        created_at: Timestamp(integer(row, 7)?),
    };
    crc_holds(row, 8, topic_crc(&topic, kind_text, policy_text)).then_some(topic)
}

/// A row of `queues`.
pub(super) fn read_queue(row: &Row<'_>) -> Option<QueueDefinition> {
    let policy_text = text(row, 3)?;
    let queue = QueueDefinition {
        number: integer(row, 0)?.try_into().ok()?,
        topic: integer(row, 1)?.try_into().ok()?,
        name: QueueName::parse(blob(row, 2)?).ok()?,
        policy: serde_json::from_str(policy_text).ok()?,
        created_at: Timestamp(integer(row, 4)?),
    };
    crc_holds(row, 5, queue_crc(&queue, policy_text)).then_some(queue)
}
