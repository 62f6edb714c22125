//! Files seen in transactions: HTTP bodies with a name, mail attachments, FTP data.
//!
//! A file keeps a bounded window of its bytes for inspection; its size and hashes are of the whole.

use std::collections::VecDeque;

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::Window;
use crate::sys::libmagic;

/// Bytes of a file that are awaited before the first look (Suricata's `content-inspect-min-size`).
const FIRST_LOOK_BYTES: u64 = 32 * 1024;

/// Bytes that a later look sees at least, old ones included (`content-inspect-window`).
const LOOK_BYTES: u64 = 4 * 1024;

/// Which digests of files are computed: those that rules ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// MD5.
    pub md5: bool,
    /// SHA-1.
    pub sha1: bool,
    /// SHA-256.
    pub sha256: bool,
    /// Not a digest, but also computed only when asked for: the kind of file, in libmagic's words.
    pub magic: bool,
}

impl Digests {
    /// What one of the two asks for.
    pub fn or(self, other: Self) -> Self {
        Self {
            md5: self.md5 || other.md5,
            sha1: self.sha1 || other.sha1,
            sha256: self.sha256 || other.sha256,
            magic: self.magic || other.magic,
        }
    }

    /// Whether any digest is asked for.
    pub fn any(self) -> bool {
        self.md5 || self.sha1 || self.sha256
    }
}

/// What is kept and computed of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileLimits {
    /// Bytes kept for inspection at a time.
    pub window: usize,
    /// Digests.
    pub digests: Digests,
}

/// Digests of a file: under way while it is open, their values when all of it was seen.
#[derive(Debug)]
struct Hashing {
    md5: Option<Md5>,
    sha1: Option<Sha1>,
    sha256: Option<Sha256>,
    values: [Vec<u8>; 3],
}

impl Hashing {
    fn new(wanted: Digests) -> Option<Box<Self>> {
        wanted.any().then(|| {
            Box::new(Self {
                md5: wanted.md5.then(Md5::new),
                sha1: wanted.sha1.then(Sha1::new),
                sha256: wanted.sha256.then(Sha256::new),
                values: Default::default(),
            })
        })
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(bytes);
        }
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
    }

    fn finish(&mut self) {
        let md5 = self.md5.take().map(|h| h.finalize().to_vec());
        let sha1 = self.sha1.take().map(|h| h.finalize().to_vec());
        let sha256 = self.sha256.take().map(|h| h.finalize().to_vec());
        self.values = [md5, sha1, sha256].map(Option::unwrap_or_default);
    }
}

/// Where a file stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileState {
    /// More may come.
    #[default]
    Open,
    /// All of it was seen.
    Closed,
    /// It ended early or was cut by a limit.
    Truncated,
    /// It had to be given up.
    Error,
}

impl FileState {
    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "UNKNOWN",
            Self::Closed => "CLOSED",
            Self::Truncated => "TRUNCATED",
            Self::Error => "ERROR",
        }
    }
}

/// One file.
#[derive(Debug, Default)]
pub struct File {
    /// Its name, as sent (bounded to 64 KiB by the parsers).
    pub name: Vec<u8>,
    /// Where it stands.
    pub state: FileState,
    /// Bytes seen so far.
    pub size: u64,
    /// Whether bytes are missing in it.
    pub gaps: bool,
    /// Number of the file in its flow, from 1 (`fileinfo.file_id` order).
    pub id: u32,
    /// First and last byte when it is a part of a whole (Content-Range): start, end, whole size.
    pub range: Option<(u64, u64, u64)>,
    /// Whether its `fileinfo` was written.
    pub logged: bool,
    /// The last bytes kept; those before `front` were given up.
    kept: Vec<u8>,
    front: usize,
    /// Offset of the window's first byte.
    window_offset: u64,
    /// Bytes the window may hold.
    window_max: usize,
    /// Bytes already inspected.
    inspected: u64,
    /// Digests, when any are wanted and nothing of it was lost.
    hashing: Option<Box<Hashing>>,
    /// Its kind, when it is wanted and its beginning was seen.
    magic: Option<Box<Magic>>,
}

/// Bytes by which the kind of a file is told (Suricata: what has come by then, 512 at least). A fixed number, so that the
/// answer does not depend on how the bytes were cut into segments.
const MAGIC_BYTES: usize = 4096;

/// The kind of a file: its beginning until that is long enough, then what libmagic says of it.
#[derive(Debug, Default)]
struct Magic {
    head: Vec<u8>,
    said: Option<Vec<u8>>,
}

impl Magic {
    fn append(&mut self, bytes: &[u8]) {
        if self.said.is_none() {
            let room = MAGIC_BYTES - self.head.len().min(MAGIC_BYTES);
            let taken = bytes.get(..room).unwrap_or(bytes);
            self.head.extend_from_slice(taken);
            if self.head.len() >= MAGIC_BYTES {
                self.tell();
            }
        }
    }

    fn tell(&mut self) {
        if self.said.is_none() && !self.head.is_empty() {
            self.said = Some(libmagic::describe(&self.head).unwrap_or_default());
            self.head = Vec::new();
        }
    }
}

impl File {
    /// A new file.
    pub fn new(name: Vec<u8>, limits: FileLimits) -> Self {
        Self {
            name,
            window_max: limits.window.max(1),
            hashing: Hashing::new(limits.digests),
            magic: limits.digests.magic.then(Box::default),
            ..Self::default()
        }
    }

    /// Its MD5, SHA-1 and SHA-256; empty where not computed. `None` before it is complete.
    pub fn digests(&self) -> Option<&[Vec<u8>; 3]> {
        let hashing = self.hashing.as_ref()?;
        (self.state == FileState::Closed).then_some(&hashing.values)
    }

    /// Its kind in libmagic's words, once that can be told.
    pub fn magic(&self) -> Option<&[u8]> {
        let said = self.magic.as_ref()?.said.as_deref()?;
        (!said.is_empty()).then_some(said)
    }

    /// Takes the next bytes. Once the window is full, its inspected front gives way.
    pub fn append(&mut self, bytes: &[u8]) {
        self.size = self.size.saturating_add(bytes.len() as u64);
        if let Some(hashing) = &mut self.hashing {
            hashing.update(bytes);
        }
        if let Some(magic) = &mut self.magic {
            magic.append(bytes);
        }
        self.kept.extend_from_slice(bytes);
        let excess = (self.kept.len() - self.front).saturating_sub(self.window_max);
        self.front += excess;
        self.window_offset = self.window_offset.saturating_add(excess as u64);
        // Moving the window with every segment would copy each byte of a long file seventy times.
        if self.front > self.window_max / 4 {
            self.kept.drain(..self.front);
            self.front = 0;
        }
    }

    /// Notes lost bytes.
    pub fn gap(&mut self, len: u64) {
        self.gaps = true;
        self.hashing = None;
        if self.magic.as_ref().is_some_and(|m| m.said.is_none()) {
            self.magic = None;
        }
        self.size = self.size.saturating_add(len);
        self.window_offset = self.size;
        self.kept.clear();
        self.front = 0;
    }

    /// Ends it.
    pub fn close(&mut self, state: FileState) {
        if self.state == FileState::Open {
            // A file with bytes missing is never whole.
            let whole = state == FileState::Closed && !self.gaps;
            self.state = if whole || state == FileState::Error {
                state
            } else {
                FileState::Truncated
            };
            if let Some(hashing) = &mut self.hashing {
                hashing.finish();
            }
            if let Some(magic) = &mut self.magic {
                magic.tell();
            }
        }
    }

    /// What may be inspected.
    pub fn window(&self) -> Window<'_> {
        Window {
            bytes: self.kept.get(self.front..).unwrap_or_default(),
            offset: self.window_offset,
            complete: self.state != FileState::Open,
            file: self.id,
        }
    }

    /// Up to where detection has seen it.
    pub fn inspected(&self) -> u64 {
        self.inspected
    }

    /// What is to be looked at now: nothing while little is there and more may come, later what is new with some of
    /// what came before. `over`: no more will come in its direction; `inline`: nothing waits.
    pub fn due(&self, over: bool, inline: bool) -> Option<Window<'_>> {
        let window = self.window();
        let len = window.offset.saturating_add(window.bytes.len() as u64);
        let complete = window.complete || over;
        if !complete && !inline && len < FIRST_LOOK_BYTES {
            return None;
        }
        let from = match self.inspected {
            0 => 0,
            seen => {
                let fresh = len.saturating_sub(seen);
                let behind = if fresh < LOOK_BYTES {
                    LOOK_BYTES - fresh
                } else {
                    LOOK_BYTES / 4
                };
                seen.saturating_sub(behind)
            }
        };
        let skip = from.saturating_sub(window.offset);
        let bytes = window
            .bytes
            .get(usize::try_from(skip).unwrap_or(usize::MAX)..)?;
        Some(Window {
            bytes,
            offset: window.offset.saturating_add(skip),
            complete,
            file: window.file,
        })
    }

    /// Detection has seen everything up to `offset`.
    pub fn set_inspected(&mut self, offset: u64) {
        self.inspected = self.inspected.max(offset);
    }
}

/// The files of one direction of a transaction, in order.
#[derive(Debug, Default)]
pub struct Files {
    list: VecDeque<File>,
}

impl Files {
    /// Files kept at a time.
    pub const MAX: usize = 64;

    /// Opens a file; the oldest closed one gives way when there are too many.
    pub fn open(&mut self, file: File) -> &mut File {
        if self.list.len() >= Self::MAX {
            self.list.pop_front();
        }
        self.list.push_back(file);
        let last = self.list.len() - 1;
        &mut self.list[last]
    }

    /// The newest.
    pub fn last_mut(&mut self) -> Option<&mut File> {
        self.list.back_mut()
    }

    /// By position.
    pub fn get(&self, index: usize) -> Option<&File> {
        self.list.get(index)
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.list.iter()
    }

    /// Called before more data is taken, when detection has looked since the last: what was due need not be shown again.
    pub fn note_inspection(&mut self, over: bool, inline: bool) {
        for file in &mut self.list {
            if let Some(window) = file.due(over, inline) {
                let seen = window.offset.saturating_add(window.bytes.len() as u64);
                file.set_inspected(seen);
            }
        }
    }

    /// All.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.list.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanting(digests: Digests) -> File {
        let window = 4;
        File::new(b"a".to_vec(), FileLimits { window, digests })
    }

    #[test]
    fn digests_are_of_the_whole_file_once_it_is_complete() {
        let md5 = Digests {
            md5: true,
            ..Digests::default()
        };
        let mut file = wanting(md5);
        file.append(b"hello ");
        file.append(b"world");
        assert!(file.digests().is_none());
        file.close(FileState::Closed);
        let [md5, sha1, _] = file.digests().expect("complete");
        assert_eq!(md5[..4], [0x5e, 0xb6, 0x3b, 0xbb]);
        assert!(sha1.is_empty());
        assert!(file.window().bytes.len() <= 4);
    }

    #[test]
    fn the_kind_is_the_same_however_the_bytes_come() {
        let wanted = Digests {
            magic: true,
            ..Digests::default()
        };
        let bytes = [&b"GIF89a\x01\x00\x01\x00"[..], &[7; 9000]].concat();
        let mut told = Vec::new();
        for size in [1, 511, 4096, 9010] {
            let mut file = wanting(wanted);
            assert_eq!(file.magic(), None);
            bytes.chunks(size).for_each(|piece| file.append(piece));
            // Without libmagic nothing is told.
            assert_eq!(file.magic().is_some(), libmagic::load().is_ok());
            told.push(file.magic().map(<[u8]>::to_vec));
        }
        told.dedup();
        assert_eq!(told.len(), 1, "{told:?}");
        let mut lost = wanting(wanted);
        lost.append(b"GIF89a");
        lost.gap(1);
        lost.close(FileState::Closed);
        assert_eq!(lost.magic(), None);
    }

    #[test]
    fn what_is_not_whole_or_not_wanted_has_none() {
        let all = Digests {
            md5: true,
            sha1: true,
            sha256: true,
            magic: false,
        };
        let mut gaps = wanting(all);
        gaps.append(b"a");
        gaps.gap(3);
        gaps.close(FileState::Closed);
        let mut cut = wanting(all);
        cut.append(b"a");
        cut.close(FileState::Truncated);
        let mut plain = wanting(Digests::default());
        plain.append(b"a");
        plain.close(FileState::Closed);
        assert!([gaps, cut, plain].iter().all(|f| f.digests().is_none()));
    }
}
