//! Evidence on disk: a pcap file for each alerted flow, kept within a size and an age.
//!
//! ```text
//! DIR/2026-11-22/054001.123456-1-2100498-9f86d081.pcap      time, gid, sid of the first alert; the flow
//! ```
//!
//! Only files of this form are counted and removed: what else lies in the folder is somebody else's.
//! Limits: [`EvidenceSettings`]; [`OPEN_MAX`] files remembered as begun.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::pcap;
use crate::alert::Level;
use crate::packet::{LinkType, Timestamp};

/// What is kept, and for how long.
#[derive(Clone, Debug)]
pub struct EvidenceSettings {
    /// From which level on; `None`: nothing is kept.
    pub level: Option<Level>,
    /// Where; `None`: `evidence` in the log folder.
    pub folder: Option<PathBuf>,
    /// Bytes of packets remembered for the time before an alert, all workers together (live).
    pub ring_bytes: u64,
    /// Bytes of one file at most.
    pub file_bytes: u64,
    /// Seconds after the alert during which packets are still added.
    pub after_secs: u32,
    /// Bytes of all files; the oldest go first.
    pub bytes_max: u64,
    /// Days after which a file goes.
    pub days_max: u32,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self {
            level: None,
            folder: None,
            ring_bytes: 64 << 20,
            file_bytes: 1 << 20,
            after_secs: 30,
            bytes_max: 1 << 30,
            days_max: 30,
        }
    }
}

/// Files whose link layer is remembered.
const OPEN_MAX: usize = 4_096;

/// The name of a file: of the first alert's time, signature, and what it is about.
pub fn name(ts: Timestamp, gid: u32, sid: u32, about: u64) -> String {
    let (y, mo, d, h, mi, s) = ts.civil();
    let micros = ts.subsec_micros();
    let about = about as u32;
    format!("{y:04}-{mo:02}-{d:02}/{h:02}{mi:02}{s:02}.{micros:06}-{gid}-{sid}-{about:08x}.pcap")
}

/// The folder, with its bounds.
#[derive(Debug)]
pub struct EvidenceStore {
    folder: PathBuf,
    settings: EvidenceSettings,
    begun: HashMap<Arc<str>, (LinkType, u64)>,
    /// Whether some of those were forgotten: then a file that is there may be ours.
    forgot: bool,
    since_tidy: u64,
    /// Packets that did not go into a file: of another link layer, or beyond its size.
    pub left_out: u64,
    /// The first thing that went wrong.
    pub error: Option<std::io::Error>,
}

impl EvidenceStore {
    /// In a folder, which is made with the first file.
    pub fn new(folder: PathBuf, settings: EvidenceSettings) -> Self {
        Self {
            folder,
            settings,
            begun: HashMap::new(),
            forgot: false,
            since_tidy: 0,
            left_out: 0,
            error: None,
        }
    }

    /// Adds records (of [`pcap::record`]) to a file.
    pub fn add(&mut self, file: &Arc<str>, link: LinkType, records: &[u8]) {
        if let Err(error) = self.try_add(file, link, records) {
            self.error.get_or_insert(error);
        }
    }

    fn try_add(&mut self, file: &Arc<str>, link: LinkType, records: &[u8]) -> std::io::Result<()> {
        let known = self.begun.get(file).copied();
        let size = known.map_or(0, |(_, size)| size);
        if known.is_some_and(|(known, _)| known != link)
            || size + records.len() as u64 > self.settings.file_bytes.max(4_096)
        {
            self.left_out += 1;
            return Ok(());
        }
        let path = self.folder.join(&**file);
        if known.is_none()
            && let Some(day) = path.parent()
        {
            DirBuilder::new().recursive(true).mode(0o750).create(day)?;
        }
        let mut out = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&path)?;
        if known.is_none() && !self.forgot {
            // The same capture was replayed before.
            out.set_len(0)?;
        }
        let mut bytes = Vec::with_capacity(records.len() + 24);
        if known.is_none() && out.metadata()?.len() == 0 {
            pcap::header(&mut bytes, link);
        }
        bytes.extend_from_slice(records);
        out.write_all(&bytes)?;
        if self.begun.len() >= OPEN_MAX {
            self.begun.clear();
            self.forgot = true;
        }
        let written = bytes.len() as u64;
        self.begun.insert(Arc::clone(file), (link, size + written));
        self.since_tidy += written;
        Ok(())
    }

    /// Whether so much was written since files were last removed that it is time again.
    pub fn is_full(&self) -> bool {
        self.since_tidy > self.settings.bytes_max / 16
    }

    /// Removes what is too old, and the oldest when there is too much.
    pub fn tidy(&mut self, now: SystemTime) {
        self.since_tidy = 0;
        let mut files = Vec::new();
        for day in entries(&self.folder).filter(|p| p.is_dir() && is_day(p)) {
            for path in entries(&day).filter(|p| p.extension().is_some_and(|e| e == "pcap")) {
                if let Ok(data) = path.metadata()
                    && let Ok(written) = data.modified()
                {
                    files.push((written, path, data.len()));
                }
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(.., size)| size).sum();
        let age = Duration::from_secs(u64::from(self.settings.days_max) * 86_400);
        let oldest = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
        for (written, path, size) in files {
            if total <= self.settings.bytes_max && written >= oldest {
                break;
            }
            match std::fs::remove_file(&path) {
                Ok(()) => total = total.saturating_sub(size),
                Err(error) => drop(self.error.get_or_insert(error)),
            }
            if let Some(day) = path.parent() {
                // Fails while there are others.
                let _ = std::fs::remove_dir(day);
            }
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let list = std::fs::read_dir(folder).into_iter().flatten();
    list.filter_map(|entry| entry.ok().map(|e| e.path()))
}

/// Whether a folder's name is a date.
fn is_day(path: &Path) -> bool {
    let name = path
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    name.len() == 10
        && name.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..count {
            pcap::record(&mut out, Timestamp::new(1, 0), &[0; 100]);
        }
        out
    }

    #[test]
    fn a_file_is_bounded_and_has_one_link_layer() {
        let folder = tempfile::tempdir().expect("folder");
        let settings = EvidenceSettings {
            file_bytes: 4_096,
            ..EvidenceSettings::default()
        };
        let mut store = EvidenceStore::new(folder.path().to_path_buf(), settings);
        let file: Arc<str> = name(Timestamp::new(1_795_345_567, 5_000), 1, 7, 0xabc).into();
        assert_eq!(&*file, "2026-11-22/110607.000005-1-7-00000abc.pcap");
        for _ in 0..10 {
            store.add(&file, LinkType::ETHERNET, &records(10));
        }
        store.add(&file, LinkType::RAW_BSD, &records(1));
        let size = std::fs::metadata(folder.path().join(&*file))
            .expect("file")
            .len();
        assert_eq!(size, 24 + 3 * 1_160);
        assert_eq!(store.left_out, 8);
        assert!(store.error.is_none());
    }

    #[test]
    fn the_oldest_files_go_first_and_foreign_ones_stay() {
        let folder = tempfile::tempdir().expect("folder");
        let settings = EvidenceSettings {
            bytes_max: 3_000,
            ..EvidenceSettings::default()
        };
        let mut store = EvidenceStore::new(folder.path().to_path_buf(), settings);
        let now = SystemTime::now();
        for day in 1..=4u64 {
            let file: Arc<str> = name(Timestamp::new(day * 86_400, 0), 1, 1, day).into();
            store.add(&file, LinkType::ETHERNET, &records(10));
            let path = folder.path().join(&*file);
            let open = std::fs::File::open(&path).expect("opens");
            open.set_modified(now - Duration::from_secs(1_000 - day))
                .expect("sets");
        }
        std::fs::write(folder.path().join("notes.pcap"), [0; 9_000]).expect("writes");
        store.tidy(now);
        let left = |day: &str| folder.path().join(day).exists();
        assert_eq!(
            ["1970-01-02", "1970-01-03", "1970-01-04", "1970-01-05"].map(left),
            [false, false, true, true]
        );
        assert!(left("notes.pcap"));
        store.tidy(now + Duration::from_secs(31 * 86_400));
        assert!(!left("1970-01-05"));
    }
}
