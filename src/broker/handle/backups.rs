//! A consistent copy of the store while the broker runs.

use super::*;
use crate::journal::Copied;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where backups are kept, in the folder of the store.
const FOLDER: &str = "backups";
/// Longest name of a backup that is kept, bytes.
const NAME_BYTES_MAX: usize = 100;

/// A backup that was made.
pub struct Backup {
    /// Open at its beginning. One that is not kept has no name in the folder any more, and goes when
    /// this is dropped.
    pub file: fs::File,
    /// Where it is kept.
    pub path: Option<PathBuf>,
    /// What it holds.
    pub copied: Copied,
}

impl Broker {
    /// Copies everything committed so far into a file of its own, while the broker goes on. One copy is
    /// made at a time.
    ///
    /// Errors: `NotAllowed` unless the caller is an admin; `Refused(OutOfBounds)` of `keep`, `BackupExists`, `Busy` while
    /// another is made, `DiskFull`, `Store`.
    pub async fn backup(
        &self,
        caller: &Caller,
        keep: Option<String>,
    ) -> Result<Backup, BrokerError> {
        if !caller.is_admin() {
            return Err(BrokerError::NotAllowed("backup"));
        }
        if keep.as_deref().is_some_and(|name| !is_name(name)) {
            return Err(Refusal::OutOfBounds("keep").into());
        }
        let permit = self.0.backups.clone().try_acquire_owned().map_err(|_| BrokerError::Busy)?;
        let journal = self.0.journal.clone();
        let copying = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            copy(&journal, keep.as_deref())
        });
        copying.await.map_err(|_| BrokerError::Stopping)?
    }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(plain)
        && !name.starts_with('.')
        && !name.ends_with(".part")
}

fn copy(journal: &Journal, keep: Option<&str>) -> Result<Backup, BrokerError> {
    let failed =
        |path: &Path, error: &io::Error| BrokerError::Store(format!("{}: {error}", path.display()));
    let folder = journal.folder().join(FOLDER);
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, &error))?;
    if let Some(name) = keep.filter(|name| folder.join(name).exists()) {
        return Err(BrokerError::BackupExists(name.to_owned()));
    }
    let part = folder.join("copying.part");
    // What a broker left that was killed meanwhile; only one copy is made at a time.
    match fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&part, &error)),
        _ => (),
    }
    let copied = journal.backup(&part)?;
    let opened = fs::File::open(&part);
    let (file, path) = match (opened, keep) {
        (Ok(file), None) => (fs::remove_file(&part).map(|()| file), None),
        (Ok(file), Some(name)) => {
            let kept = folder.join(name);
            (fs::rename(&part, &kept).map(|()| file), Some(kept))
        }
        (Err(error), _) => (Err(error), None),
    };
    let file = file.map_err(|error| failed(&part, &error))?;
    Ok(Backup { file, path, copied })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_stays_in_its_folder() {
        for name in ["", ".", "..", "a/b", "../x", "a\\b", "x.part", &"x".repeat(101)] {
            assert!(!is_name(name), "{name}");
        }
        assert!(is_name("nightly-2026.11.21_1"));
    }
}
