//! Walks SQLite's write-ahead log without SQLite, to tell a torn tail from a damaged middle.
//!
//! SQLite ends the log at the first frame that does not verify and says nothing about what came
//! after it. Each frame holds the running checksum of all before it, so a frame behind a damaged one can
//! still be verified from the checksum that its predecessor stores.
//! Source: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;
const PAGE_BYTES_MAX: u32 = 65536;

/// What the log holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Frames that verify, from the start on.
    pub frames: u64,
    /// Commits among them.
    pub commits: u64,
    /// Where the part ends that SQLite will use: after the last of these commits.
    pub end: u64,
    /// Where the first frame of this log lies that should be whole and is not.
    pub bad_at: Option<u64>,
    /// Frames that verify although they come after `bad_at`.
    pub frames_after: u64,
    /// Commits among those.
    pub commits_after: u64,
}

impl Walk {
    /// Whole commits follow a damaged frame.
    pub fn damaged_middle(&self) -> bool {
        self.bad_at.is_some() && self.commits_after > 0
    }
}

fn word(bytes: &[u8], at: usize, big_endian: bool) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok());
    let four = four.unwrap_or_default();
    if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
}

/// The running checksum of the format.
fn sum(seed: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let (mut a, mut b) = seed;
    for pair in bytes.as_chunks::<8>().0 {
        a = a.wrapping_add(word(pair, 0, big_endian)).wrapping_add(b);
        b = b.wrapping_add(word(pair, 4, big_endian)).wrapping_add(a);
    }
    (a, b)
}

/// Walks the log at `path`; a missing or empty one is an empty walk.
pub(super) fn walk(path: &Path) -> io::Result<Walk> {
    walk_with(path, &mut |_, _| Ok(()))
}

/// Told the number and the bytes of a page.
pub(super) type OnPage<'a> = &'a mut dyn FnMut(u32, &[u8]) -> io::Result<()>;

/// As [`walk`]; `on_page` gets every page of whole frames up to the last commit among them, also of
/// frames behind a damaged one.
pub(super) fn walk_with(path: &Path, on_page: OnPage<'_>) -> io::Result<Walk> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Walk::default()),
        Err(error) => return Err(error),
    };
    walk_bytes(BufReader::with_capacity(1 << 20, file), on_page)
}

fn walk_bytes(mut log: impl Read, on_page: OnPage<'_>) -> io::Result<Walk> {
    let mut walk = Walk::default();
    let mut header = [0; HEADER_BYTES];
    if fill(&mut log, &mut header)? < HEADER_BYTES {
        return Ok(walk);
    }
    let magic = word(&header, 0, true);
    let big_endian = magic & 1 == 1;
    let header_sum = sum((0, 0), header.get(..24).unwrap_or_default(), big_endian);
    let header_whole =
        magic & !1 == MAGIC && header_sum == (word(&header, 24, true), word(&header, 28, true));
    let mut page_bytes = word(&header, 8, true);
    let mut salt = (word(&header, 16, true), word(&header, 20, true));
    if !header_whole {
        if header == [0; HEADER_BYTES] {
            return Ok(walk);
        }
        // The store's own page size; the salt is taken from the first frame.
        walk.bad_at = Some(0);
        page_bytes = 16384;
    }
    if !page_bytes.is_power_of_two() || !(512..=PAGE_BYTES_MAX).contains(&page_bytes) {
        walk.bad_at = Some(0);
        return Ok(walk);
    }

    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    let mut pending: Vec<(u32, Vec<u8>)> = Vec::new();
    let mut offset = HEADER_BYTES as u64;
    let mut seed = header_sum;
    // The first frame that does not verify: the remains of an older log, most often, and no damage.
    let mut stop = walk.bad_at;
    walk.end = offset;
    loop {
        let got = fill(&mut log, &mut frame)?;
        let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
        let frame_salt = (word(head, 8, true), word(head, 12, true));
        if !header_whole && walk.frames_after == 0 && offset == HEADER_BYTES as u64 {
            salt = frame_salt;
        }
        if got < frame.len() {
            // A cut frame of this log (not of an older one that it overwrites) is a torn tail.
            if got >= FRAME_HEADER_BYTES && frame_salt == salt && stop.is_none() {
                walk.bad_at = Some(offset);
            } else if walk.frames_after > 0 {
                walk.bad_at = stop;
            }
            return Ok(walk);
        }
        let stored = (word(head, 16, true), word(head, 20, true));
        let computed =
            sum(sum(seed, head.get(..8).unwrap_or_default(), big_endian), page, big_endian);
        let whole = frame_salt == salt && computed == stored && word(head, 0, true) != 0;
        let commits = u64::from(word(head, 4, true) != 0);
        if whole {
            // Held back until its commit is met, so that half a transaction is not handed on.
            pending.push((word(head, 0, true), page.to_vec()));
            if commits > 0 {
                for (number, page) in pending.drain(..) {
                    on_page(number, &page)?;
                }
            }
        }
        if stop.is_none() {
            if whole {
                walk.frames += 1;
                walk.commits += commits;
                if commits > 0 {
                    walk.end = offset + frame.len() as u64;
                }
            } else {
                stop = Some(offset);
                walk.bad_at = (frame_salt == salt).then_some(offset);
            }
        } else if whole {
            walk.frames_after += 1;
            walk.commits_after += commits;
        }
        seed = stored;
        offset += frame.len() as u64;
    }
}

/// Reads until `to` is full or the file ends.
fn fill(from: &mut impl Read, to: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while let Some(rest) = to.get_mut(got..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
