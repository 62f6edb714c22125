//! The cache of compiled databases: one file per rule set, library and CPU.
//!
//! ```text
//! "SEKISHO1" │ key (32) │ refused: count, indices │ databases: count, (length, bytes)… │ SHA-256 of all before (32)
//! ```
//! Numbers are little endian, 32 bits. The key is the SHA-256 of everything that goes into compiling. A file whose
//! checksum or key does not fit is ignored and written anew; it is written beside and renamed, so that a reader never
//! sees half of one. The folder holds at most [`FILES_MAX`] files; the oldest go.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::sys::hs::{self, Literal};

const MAGIC: &[u8; 8] = b"SEKISHO2";

/// Files kept: rule sets in use on a machine, and their last versions.
const FILES_MAX: usize = 8;

/// Bytes of the largest file that is read.
const FILE_MAX: u64 = 1 << 30;

/// Key of a set of databases and expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key(pub [u8; 32]);

/// Builds a [`Key`].
pub(super) struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// A key that begins with the library's version and this CPU's features.
    pub fn new() -> Self {
        let mut hash = Sha256::new();
        let (tune, features) = hs::platform();
        hash.update(hs::version().as_bytes());
        hash.update(tune.to_le_bytes());
        hash.update(features.to_le_bytes());
        Self(hash)
    }

    /// Adds the literals of a database.
    pub fn literals(&mut self, literals: &[Literal<'_>]) {
        self.0.update((literals.len() as u64).to_le_bytes());
        for literal in literals {
            self.0.update([u8::from(literal.nocase)]);
            self.bytes(literal.bytes);
        }
    }

    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key(self.0.finalize().into())
    }
}

/// What the cache holds for a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    /// Expressions that pcre2 refuses, by index.
    pub refused: Vec<u32>,
    /// Serialized databases, in order.
    pub databases: Vec<Vec<u8>>,
}

fn path(folder: &Path, key: Key) -> PathBuf {
    let name: String = key
        .0
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    folder.join(format!("{name}.hs"))
}

/// Reads an entry. `Ok(None)`: there is none. An error says why a file that is there cannot be used.
pub(super) fn read(folder: &Path, key: Key) -> Result<Option<Entry>, String> {
    let path = path(folder, key);
    let size = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    if size > FILE_MAX {
        return Err(format!("{}: too large", path.display()));
    }
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&bytes, key)
        .map(Some)
        .ok_or_else(|| format!("{}: corrupt", path.display()))
}

fn parse(bytes: &[u8], key: Key) -> Option<Entry> {
    let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Sha256::digest(body).as_slice() != checksum {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let mut rest = rest.strip_prefix(&key.0)?;
    let mut number = || -> Option<usize> {
        let (number, after) = rest.split_first_chunk::<4>()?;
        rest = after;
        usize::try_from(u32::from_le_bytes(*number)).ok()
    };
    let mut entry = Entry::default();
    for _ in 0..number()? {
        entry.refused.push(u32::try_from(number()?).ok()?);
    }
    let count = number()?;
    for _ in 0..count {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (database, after) =
            after.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
        entry.databases.push(database.to_vec());
        rest = after;
    }
    rest.is_empty().then_some(entry)
}

/// Writes an entry.
pub(super) fn write(folder: &Path, key: Key, entry: &Entry) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(fail)?;
    let mut bytes = Vec::with_capacity(entry.databases.iter().map(Vec::len).sum::<usize>() + 4096);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&key.0);
    let number = |n: usize| {
        u32::try_from(n)
            .map(u32::to_le_bytes)
            .map_err(|_| "too large for the cache".to_owned())
    };
    bytes.extend_from_slice(&number(entry.refused.len())?);
    for index in &entry.refused {
        bytes.extend_from_slice(&index.to_le_bytes());
    }
    bytes.extend_from_slice(&number(entry.databases.len())?);
    for database in &entry.databases {
        bytes.extend_from_slice(&number(database.len())?);
        bytes.extend_from_slice(database);
    }
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum);
    let beside = folder.join(format!(".{}.tmp", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| file.write_all(&bytes));
    let renamed = written.and_then(|()| fs::rename(&beside, path(folder, key)));
    if let Err(error) = renamed {
        let _ = fs::remove_file(&beside);
        return Err(fail(error));
    }
    prune(folder);
    Ok(())
}

/// Removes the oldest files beyond the bound.
fn prune(folder: &Path) {
    let Ok(list) = fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<_> = list
        .flatten()
        .filter(|file| file.path().extension().is_some_and(|e| e == "hs"))
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort();
    let excess = files.len().saturating_sub(FILES_MAX);
    for (_, path) in files.into_iter().take(excess) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            refused: vec![3, 9],
            databases: vec![b"one".to_vec(), Vec::new(), b"three".to_vec()],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key([7; 32]);
        assert_eq!(read(folder.path(), key), Ok(None));
        write(folder.path(), key, &entry()).unwrap();
        assert_eq!(read(folder.path(), key), Ok(Some(entry())));
        assert_eq!(read(folder.path(), Key([8; 32])), Ok(None));
    }

    #[test]
    fn any_flipped_or_missing_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let key = Key([7; 32]);
        write(folder.path(), key, &entry()).unwrap();
        let good = fs::read(path(folder.path(), key)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(parse(&bad, key), None, "byte {at}");
            assert_eq!(parse(&good[..at], key), None, "cut at {at}");
        }
        assert_eq!(parse(&good, Key([8; 32])), None);
    }

    #[test]
    fn old_files_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..FILES_MAX + 4 {
            write(folder.path(), Key([i as u8; 32]), &entry()).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES_MAX);
    }
}
