//! The cache of compiled databases and rule sets: files that hold a body, sealed.
//!
//! ```text
//! "SEKISHO3" │ key (32) │ body │ seal of all before (16)
//! body of databases (.hs):   refused: count, indices │ databases: count, (length, bytes)…
//! body of a rule set (.set): key of its databases (32) │ what super::stored says
//! ```
//! Numbers are little endian, 32 bits. The key is the SHA-256 of everything that goes into compiling, long pieces by their
//! [`digest`]. Keys and seals guard against accidents, which fast hashes do as well: who can write into the folder can
//! write any seal, and SHA-256 of a rule set and its databases took a third of a start. A file whose
//! seal or key does not fit is ignored and written anew; it is written beside and renamed, so that a reader never
//! sees half of one. The folder holds at most [`FILES_MAX`] files of a kind; the oldest go.

use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::sys::hs::{self, Literal};

const MAGIC: &[u8; 8] = b"SEKISHO3";

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
    /// A key that begins with the format, the library's version and this CPU's features.
    pub fn new() -> Self {
        let mut hash = Sha256::new();
        let (tune, features) = hs::platform();
        hash.update(MAGIC);
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
        if bytes.len() < LONG {
            self.0.update(bytes);
        } else {
            self.0.update(digest(&[bytes]));
        }
    }

    /// The key.
    pub fn finish(self) -> Key {
        Key(self.0.finalize().into())
    }
}

/// Bytes from which on a piece of a key goes into it by its digest.
const LONG: usize = 4096;

/// 128 bits of bytes in parts: two independent hashes of 64 bits, the same in every process of one build.
fn digest(parts: &[&[u8]]) -> [u8; SEAL] {
    let hash = |seed: u64| {
        let mut hasher = foldhash::quality::FixedState::with_seed(seed).build_hasher();
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    };
    (u128::from(hash(1)) << 64 | u128::from(hash(2))).to_le_bytes()
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Databases.
    Databases,
    /// A compiled rule set.
    RuleSet,
}

impl Kind {
    fn extension(self) -> &'static str {
        match self {
            Self::Databases => "hs",
            Self::RuleSet => "set",
        }
    }
}

fn path(folder: &Path, kind: Kind, key: Key) -> PathBuf {
    let bytes = key.0.iter().take(16);
    let name: String = bytes.map(|byte| format!("{byte:02x}")).collect();
    folder.join(format!("{name}.{}", kind.extension()))
}

/// Reads a sealed file. `Ok(None)`: there is none. An error says why a file that is there cannot be used.
pub(super) fn read(folder: &Path, kind: Kind, key: Key) -> Result<Option<Sealed>, String> {
    let path = path(folder, kind, key);
    let size = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    if size > FILE_MAX {
        return Err(format!("{}: too large", path.display()));
    }
    let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Sealed::open(bytes, key)
        .map(Some)
        .ok_or_else(|| format!("{}: corrupt", path.display()))
}

/// The bytes of a file whose seal is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sealed(Vec<u8>);

const HEAD: usize = MAGIC.len() + 32;
const SEAL: usize = 16;

impl Sealed {
    fn open(bytes: Vec<u8>, key: Key) -> Option<Self> {
        let (before, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL)?)?;
        let body = before.strip_prefix(MAGIC)?.strip_prefix(&key.0)?;
        (digest(&[&MAGIC[..], &key.0, body]) == seal).then_some(Self(bytes))
    }

    /// What it holds.
    pub fn body(&self) -> &[u8] {
        let end = self.0.len().saturating_sub(SEAL);
        self.0.get(HEAD..end).unwrap_or_default()
    }
}

/// Writes a body under a seal.
pub(super) fn write(folder: &Path, kind: Kind, key: Key, body: &[u8]) -> Result<(), String> {
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(fail)?;
    let seal = digest(&[&MAGIC[..], &key.0, body]);
    let beside = folder.join(format!(".{}.tmp", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut file| {
        for part in [&MAGIC[..], &key.0, body, &seal] {
            file.write_all(part)?;
        }
        Ok(())
    });
    let renamed = written.and_then(|()| fs::rename(&beside, path(folder, kind, key)));
    if let Err(error) = renamed {
        let _ = fs::remove_file(&beside);
        return Err(fail(error));
    }
    prune(folder, kind);
    Ok(())
}

/// Databases as a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Databases<'b> {
    /// Expressions that pcre2 refuses, by index.
    pub refused: Vec<u32>,
    /// Serialized databases, in order.
    pub list: Vec<&'b [u8]>,
}

impl<'b> Databases<'b> {
    pub fn parse(body: &'b [u8]) -> Option<Self> {
        let mut rest = body;
        let mut number = || -> Option<usize> {
            let (number, after) = rest.split_first_chunk::<4>()?;
            rest = after;
            usize::try_from(u32::from_le_bytes(*number)).ok()
        };
        let mut this = Self::default();
        for _ in 0..number()? {
            this.refused.push(u32::try_from(number()?).ok()?);
        }
        let count = number()?;
        for _ in 0..count {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (database, after) =
                after.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
            this.list.push(database);
            rest = after;
        }
        rest.is_empty().then_some(this)
    }

    pub fn body(&self) -> Result<Vec<u8>, String> {
        let number = |n: usize| {
            u32::try_from(n)
                .map(u32::to_le_bytes)
                .map_err(|_| "too large for the cache".to_owned())
        };
        let size: usize = self.list.iter().map(|database| database.len() + 4).sum();
        let mut body = Vec::with_capacity(size + 4096);
        body.extend_from_slice(&number(self.refused.len())?);
        for index in &self.refused {
            body.extend_from_slice(&index.to_le_bytes());
        }
        body.extend_from_slice(&number(self.list.len())?);
        for database in &self.list {
            body.extend_from_slice(&number(database.len())?);
            body.extend_from_slice(database);
        }
        Ok(body)
    }
}

/// Removes the oldest files beyond the bound.
fn prune(folder: &Path, kind: Kind) {
    let Ok(list) = fs::read_dir(folder) else {
        return;
    };
    let mut files: Vec<_> = list
        .flatten()
        .filter(|file| {
            file.path()
                .extension()
                .is_some_and(|e| e == kind.extension())
        })
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

    fn databases() -> Databases<'static> {
        Databases {
            refused: vec![3, 9],
            list: vec![b"one", b"", b"three"],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (key, kind) = (Key([7; 32]), Kind::Databases);
        assert_eq!(read(folder.path(), kind, key), Ok(None));
        let body = databases().body().unwrap();
        write(folder.path(), kind, key, &body).unwrap();
        let sealed = read(folder.path(), kind, key).unwrap().unwrap();
        assert_eq!(Databases::parse(sealed.body()), Some(databases()));
        assert_eq!(read(folder.path(), kind, Key([8; 32])), Ok(None));
        assert_eq!(read(folder.path(), Kind::RuleSet, key), Ok(None));
    }

    #[test]
    fn any_flipped_or_missing_byte_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (key, kind) = (Key([7; 32]), Kind::Databases);
        let body = databases().body().unwrap();
        write(folder.path(), kind, key, &body).unwrap();
        let good = fs::read(path(folder.path(), kind, key)).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert_eq!(Sealed::open(bad, key), None, "byte {at}");
            assert_eq!(Sealed::open(good[..at].to_vec(), key), None, "cut at {at}");
        }
        assert_eq!(Sealed::open(good, Key([8; 32])), None);
        for at in 0..body.len() {
            assert_eq!(Databases::parse(&body[..at]), None, "body cut at {at}");
        }
    }

    #[test]
    fn old_files_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..FILES_MAX + 4 {
            for kind in [Kind::Databases, Kind::RuleSet] {
                write(folder.path(), kind, Key([i as u8; 32]), b"").unwrap();
            }
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES_MAX * 2);
    }
}
