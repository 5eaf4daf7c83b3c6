//! The files beside the database: `LOCK`, `RESERVE` and `LAST`.

use super::JournalError;
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The database; its log is beside it with `-wal` appended.
pub(super) fn database(folder: &Path) -> PathBuf {
    folder.join("octoq.db")
}

/// The write-ahead log of the database.
pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("octoq.db-wal")
}

/// Where [`Last`] lies.
pub(super) fn last(folder: &Path) -> PathBuf {
    folder.join("LAST")
}

fn lock_file(folder: &Path) -> PathBuf {
    folder.join("LOCK")
}

fn reserve_file(folder: &Path) -> PathBuf {
    folder.join("RESERVE")
}

/// Holds the store for this process until dropped. The system lets go of it when the process dies,
/// so a lock file that was left behind hinders nobody.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Drop for Lock {
    /// Closing alone would not do: a child process that is just being started shares the open file
    /// until it runs its own program, and the lock with it.
    fn drop(&mut self) {
        if let Err(error) = self.file.unlock() {
            log::debug!("unlocking the store: {error}");
        }
    }
}

impl Lock {
    /// Takes the store or says who has it.
    pub fn take(folder: &Path) -> Result<Lock, JournalError> {
        let path = lock_file(folder);
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(|error| io_error(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = holder(&mut file);
                return Err(JournalError::Locked { path: folder.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io_error(&path, &error)),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()));
        // A full disk must not keep the broker from serving acks: the lock holds without the pid.
        if let Err(error) = written {
            log::warn!("{}: {error}", path.display());
        }
        Ok(Lock { file })
    }

    /// Keeps brokers away while somebody reads, and changes nothing. `None`: there is no lock file.
    pub fn watch(folder: &Path) -> Result<Option<Lock>, JournalError> {
        let path = lock_file(folder);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(&path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Some(Lock { file })),
            Err(TryLockError::WouldBlock) => {
                Err(JournalError::Locked { path: folder.to_owned(), pid: holder(&mut file) })
            }
            Err(TryLockError::Error(error)) => Err(io_error(&path, &error)),
        }
    }
}

/// The process that wrote its number into the lock file.
fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => pid.trim().to_owned(),
        _ => "unknown".into(),
    }
}

/// Room on the disk that is given up when the disk is full, so that acks have some.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    pub fn new(folder: &Path, bytes: u64) -> Self {
        Reserve { path: reserve_file(folder), bytes }
    }

    /// Makes the file unless it is whole. Its room is really taken: a hole would reserve nothing.
    pub fn take(&self) -> io::Result<()> {
        if self.bytes == 0 || fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes)
        {
            return Ok(());
        }
        let made = self.make();
        if made.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        made
    }

    fn make(&self) -> io::Result<()> {
        let mut file = File::create(&self.path)?;
        if !allocate(&file, self.bytes)? {
            self.fill(&mut file)?;
        }
        file.sync_all()
    }

    fn fill(&self, file: &mut File) -> io::Result<()> {
        let zeros = vec![0u8; 1 << 20];
        let mut left = self.bytes;
        while left > 0 {
            let part = zeros.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            file.write_all(zeros.get(..part).unwrap_or_default())?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Gives the room back to the file system. True: there was some.
    pub fn give_up(&self) -> bool {
        fs::remove_file(&self.path).is_ok()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Asks the file system for the room without writing to it: on a full disk this is tried again and
/// again, while acks are to be served. False: it cannot do that.
#[cfg(target_os = "linux")]
fn allocate(file: &File, bytes: u64) -> io::Result<bool> {
    use nix::{errno::Errno, fcntl};
    let Ok(length) = bytes.try_into() else { return Ok(false) };
    match fcntl::fallocate(file, fcntl::FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(true),
        Err(full @ (Errno::ENOSPC | Errno::EDQUOT)) => Err(full.into()),
        Err(_) => Ok(false),
    }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64) -> io::Result<bool> {
    Ok(false)
}

/// The newest commit, kept outside of the database so that a log that lost its end is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Last {
    /// Which store this belongs to.
    pub store: u64,
    /// Number of the last commit that was answered.
    pub commit: u64,
    /// Number of the last commit that was on the disk itself when it was answered.
    pub sync_commit: u64,
}

const LAST_BYTES: usize = 28;

impl Last {
    fn encode(self) -> [u8; LAST_BYTES] {
        let mut bytes = [0; LAST_BYTES];
        let (head, crc) = bytes.split_at_mut(LAST_BYTES - 4);
        let words = [self.store, self.commit, self.sync_commit];
        for (to, word) in head.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        crc.copy_from_slice(&crc32c::crc32c(head).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Last> {
        let (head, crc) = bytes.split_at_checked(LAST_BYTES - 4)?;
        if crc != crc32c::crc32c(head).to_le_bytes() {
            return None;
        }
        let word = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        Some(Last { store: word(0)?, commit: word(8)?, sync_commit: word(16)? })
    }

    /// Reads the side file. `Ok(None)`: there is none; `Err`: its checksum is wrong.
    pub fn read(folder: &Path) -> Result<Option<Last>, String> {
        match fs::read(last(folder)) {
            Ok(bytes) => {
                Last::decode(&bytes).map(Some).ok_or_else(|| "its checksum is wrong".into())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Rewrites [`Last`] in place after each commit, unsynced: one small write.
#[derive(Debug)]
pub(super) struct LastFile(File);

impl LastFile {
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = last(folder);
        OpenOptions::new().write(true).create(true).truncate(false).open(path).map(LastFile)
    }

    pub fn write(&mut self, last: Last) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(0))?;
        self.0.write_all(&last.encode())
    }
}

pub(super) fn io_error(path: &Path, error: &io::Error) -> JournalError {
    if error.kind() == io::ErrorKind::StorageFull {
        return JournalError::DiskFull;
    }
    JournalError::Io(format!("{}: {error}", path.display()))
}
