//! Capture files: memory-mapped when they are plain files, read in chunks when they come through a pipe or a
//! decompressor (gzip, zstd; recognised by their first bytes). `-` is standard input.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{self, Format, Step};
use super::{CaptureError, Fault, Frame, FrameBatch, Source};
use crate::packet::{FrameBytes, Slice};
use crate::sys;

/// Bytes read at a time from a pipe or decompressor: at least one largest block fits.
const CHUNK_BYTES: usize = 1 << 20;
/// Mapped pages behind the reader are given back in steps of this many bytes, so that memory does not grow with the file.
const RELEASE_BYTES: usize = 8 << 20;

enum Bytes {
    Mapped {
        map: Arc<memmap2::Mmap>,
        released: usize,
    },
    Read {
        reader: Box<dyn Read + Send>,
        chunk: Arc<Vec<u8>>,
        pool: Vec<Arc<Vec<u8>>>,
        ended: bool,
    },
}

/// One capture file.
pub struct CaptureFile {
    path: PathBuf,
    bytes: Bytes,
    /// Position in the mapped file, or in the chunk.
    at: usize,
    /// Offset in the (decompressed) file of the chunk's first byte.
    base: u64,
    format: Option<Box<dyn Format>>,
    /// Size on disk, for progress.
    size: u64,
    /// A read error, kept until what was read before it has been handed out.
    failure: Option<std::io::Error>,
}

impl std::fmt::Debug for CaptureFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CaptureFile({})", self.path.display())
    }
}

impl CaptureFile {
    /// Opens a file; `-` is standard input. Errors name the file.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let fail = |error| CaptureError {
            path: path.to_owned(),
            offset: 0,
            fault: Fault::Io(error),
        };
        if path == Path::new("-") {
            return Self::from_reader(path, Box::new(std::io::stdin()), 0);
        }
        let file = File::open(path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Self::from_reader(path, Box::new(file), 0);
        }
        if metadata.len() == 0 {
            return Err(Self::empty(path));
        }
        let map = sys::map_file(&file).map_err(fail)?;
        if is_compressed(&map) {
            return Self::from_reader(path, Box::new(file), metadata.len());
        }
        Ok(Self {
            path: path.to_owned(),
            bytes: Bytes::Mapped {
                map: Arc::new(map),
                released: 0,
            },
            at: 0,
            base: 0,
            format: None,
            size: metadata.len(),
            failure: None,
        })
    }

    fn empty(path: &Path) -> CaptureError {
        let fault = Fault::Truncated {
            what: "file header",
            wanted: 24,
            present: 0,
        };
        CaptureError {
            path: path.to_owned(),
            offset: 0,
            fault,
        }
    }

    /// Reads from anything, undoing gzip or zstd if the first bytes say so.
    pub fn from_reader(
        path: &Path,
        reader: Box<dyn Read + Send>,
        size: u64,
    ) -> Result<Self, CaptureError> {
        let fail = |error| CaptureError {
            path: path.to_owned(),
            offset: 0,
            fault: Fault::Io(error),
        };
        let mut reader = BufReader::with_capacity(1 << 16, reader);
        let mut magic = Vec::with_capacity(4);
        reader
            .by_ref()
            .take(4)
            .read_to_end(&mut magic)
            .map_err(fail)?;
        if magic.is_empty() {
            return Err(Self::empty(path));
        }
        let again = std::io::Cursor::new(magic.clone()).chain(reader);
        let reader: Box<dyn Read + Send> = if magic.starts_with(&GZIP) {
            Box::new(flate2::read::MultiGzDecoder::new(again))
        } else if magic == ZSTD {
            Box::new(zstd::stream::read::Decoder::new(again).map_err(fail)?)
        } else {
            Box::new(again)
        };
        Ok(Self {
            path: path.to_owned(),
            bytes: Bytes::Read {
                reader,
                chunk: Arc::new(Vec::new()),
                pool: Vec::new(),
                ended: false,
            },
            at: 0,
            base: 0,
            format: None,
            size,
            failure: None,
        })
    }

    fn error(&self, fault: Fault) -> CaptureError {
        CaptureError {
            path: self.path.clone(),
            offset: self.base + self.at as u64,
            fault,
        }
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP) || bytes.starts_with(&ZSTD)
}

impl Bytes {
    fn all(&self) -> &[u8] {
        match self {
            Self::Mapped { map, .. } => map,
            Self::Read { chunk, .. } => chunk,
        }
    }

    fn shared(&self) -> FrameBytes {
        match self {
            Self::Mapped { map, .. } => FrameBytes::Mapped(Arc::clone(map)),
            Self::Read { chunk, .. } => FrameBytes::Owned(Arc::clone(chunk)),
        }
    }
}

impl Source for CaptureFile {
    fn fill(&mut self, batch: &mut FrameBatch, max: usize) -> Result<bool, CaptureError> {
        batch.frames.clear();
        loop {
            let rest = self.bytes.all().get(self.at..).unwrap_or_default();
            let step = match &mut self.format {
                Some(format) => format.step(rest),
                None if rest.len() < 4 => Step::NeedMore(24, "file header"),
                None => match format::detect(rest) {
                    Ok(format) => {
                        self.format = Some(format);
                        continue;
                    }
                    Err(fault) => Step::Fault(fault),
                },
            };
            match step {
                Step::Frame {
                    consumed,
                    start,
                    len,
                    original_len,
                    ts,
                    link,
                    interface,
                } => {
                    let start = (self.at + start) as u64;
                    let slice = Slice {
                        start,
                        len,
                        extra: false,
                    };
                    batch.frames.push(Frame {
                        slice,
                        ts,
                        link,
                        interface,
                        original_len,
                        unfinished: false,
                        token: 0,
                    });
                    self.at += consumed;
                    if batch.frames.len() >= max {
                        batch.bytes = self.bytes.shared();
                        self.release();
                        return Ok(true);
                    }
                }
                Step::Skip(consumed) => self.at += consumed,
                Step::NeedMore(wanted, what) => {
                    // A reader's chunk is replaced only between batches, so that all frames of a batch lie in one.
                    if !batch.frames.is_empty() && self.can_refill() {
                        batch.bytes = self.bytes.shared();
                        return Ok(true);
                    }
                    if self.refill(wanted) {
                        continue;
                    }
                    if let Some(error) = self.failure.take() {
                        batch.bytes = self.bytes.shared();
                        return Err(self.error(Fault::Io(error)));
                    }
                    batch.bytes = self.bytes.shared();
                    let present = self.bytes.all().len().saturating_sub(self.at);
                    if present == 0 && self.format.is_some() {
                        return Ok(false);
                    }
                    return Err(self.error(Fault::Truncated {
                        what,
                        wanted: wanted as u64,
                        present: present as u64,
                    }));
                }
                Step::Fault(fault) => {
                    batch.bytes = self.bytes.shared();
                    return Err(self.error(fault));
                }
            }
        }
    }

    fn progress(&self) -> (u64, u64) {
        match self.bytes {
            Bytes::Mapped { .. } => (self.at as u64, self.size),
            Bytes::Read { .. } => (self.base + self.at as u64, 0),
        }
    }
}

impl CaptureFile {
    fn can_refill(&self) -> bool {
        matches!(self.bytes, Bytes::Read { ended: false, .. })
    }

    /// Gives mapped pages behind the reader back to the kernel (it reads them again should a worker still need them).
    fn release(&mut self) {
        if let Bytes::Mapped { map, released } = &mut self.bytes {
            let behind = self.at.saturating_sub(RELEASE_BYTES);
            if behind > *released + RELEASE_BYTES {
                sys::release_mapped(map, *released, behind - *released);
                *released = behind;
            }
        }
    }

    /// Moves what is unread to a fresh chunk and reads until `wanted` bytes are there or the file ends. False when
    /// nothing could be added; a read error is kept in `failure`.
    fn refill(&mut self, wanted: usize) -> bool {
        let Bytes::Read {
            reader,
            chunk,
            pool,
            ended,
        } = &mut self.bytes
        else {
            return false;
        };
        if *ended {
            return false;
        }
        let rest = chunk.get(self.at..).unwrap_or_default();
        let mut fresh = take_free(pool);
        let Some(buffer) = Arc::get_mut(&mut fresh) else {
            return false;
        };
        buffer.clear();
        buffer.extend_from_slice(rest);
        let before = buffer.len();
        let target = CHUNK_BYTES.max(wanted);
        let result = reader
            .by_ref()
            .take(target.saturating_sub(before) as u64)
            .read_to_end(buffer);
        self.base += self.at as u64;
        self.at = 0;
        let grown = buffer.len() > before;
        *ended = result.is_err() || buffer.len() < target;
        self.failure = result.err();
        pool.push(std::mem::replace(chunk, fresh));
        grown
    }
}

/// A chunk that no batch refers to any more, or a new one.
fn take_free(pool: &mut Vec<Arc<Vec<u8>>>) -> Arc<Vec<u8>> {
    match pool
        .iter_mut()
        .position(|chunk| Arc::get_mut(chunk).is_some())
    {
        Some(free) => pool.swap_remove(free),
        None => Arc::new(Vec::with_capacity(CHUNK_BYTES)),
    }
}

/// Files named by `paths`: folders give the capture files in them (by name, sorted, subfolders too).
pub fn expand_paths(paths: &[PathBuf]) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            folder(path, &mut files, 0)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

/// Endings of capture files looked for in folders.
const ENDINGS: [&str; 10] = [
    ".pcap",
    ".pcapng",
    ".cap",
    ".dmp",
    ".pcap.gz",
    ".pcapng.gz",
    ".cap.gz",
    ".pcap.zst",
    ".pcapng.zst",
    ".cap.zst",
];

fn folder(path: &Path, files: &mut Vec<PathBuf>, depth: usize) -> std::io::Result<()> {
    const DEPTH_MAX: usize = 16;
    let mut entries = std::fs::read_dir(path)?
        .map(|e| e.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() && depth < DEPTH_MAX {
            folder(&entry, files, depth + 1)?;
        } else if entry
            .file_name()
            .and_then(|n| n.to_str())
            .is_some_and(|n| ENDINGS.iter().any(|e| n.ends_with(e)))
        {
            files.push(entry);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A little-endian microsecond capture with `frames`.
    fn pcap(frames: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0,
            0,
        ];
        for (i, frame) in frames.iter().enumerate() {
            out.extend_from_slice(&(i as u32).to_le_bytes());
            out.extend_from_slice(&7u32.to_le_bytes());
            out.extend_from_slice(&(frame.len() as u32).to_le_bytes());
            out.extend_from_slice(&(frame.len() as u32 + 1).to_le_bytes());
            out.extend_from_slice(frame);
        }
        out
    }

    fn all(mut source: CaptureFile) -> (Vec<Vec<u8>>, Option<CaptureError>) {
        let (mut frames, mut batch) = (Vec::new(), FrameBatch::default());
        loop {
            let result = source.fill(&mut batch, 3);
            for frame in &batch.frames {
                frames.push(
                    batch
                        .bytes
                        .slice(frame.slice.start, frame.slice.len)
                        .to_vec(),
                );
            }
            match result {
                Ok(true) => {}
                Ok(false) => return (frames, None),
                Err(error) => return (frames, Some(error)),
            }
        }
    }

    fn read(bytes: Vec<u8>) -> (Vec<Vec<u8>>, Option<CaptureError>) {
        all(
            CaptureFile::from_reader(Path::new("-"), Box::new(std::io::Cursor::new(bytes)), 0)
                .expect("opens"),
        )
    }

    #[test]
    fn frames_before_a_cut_are_given_and_the_fault_names_its_offset() {
        let whole = pcap(&[b"one", b"two!", b"three", b"four"]);
        let (frames, error) = read(whole.clone());
        assert_eq!((frames.len(), error.is_none()), (4, true));
        for cut in 24..whole.len() {
            let (frames, error) = read(whole[..cut].to_vec());
            let file = tempfile::NamedTempFile::new().expect("temp");
            std::fs::write(file.path(), &whole[..cut]).expect("write");
            let (mapped, mapped_error) = all(CaptureFile::open(file.path()).expect("opens"));
            assert_eq!(
                (&frames, error.as_ref().map(|e| e.offset)),
                (&mapped, mapped_error.as_ref().map(|e| e.offset))
            );
            let boundary = [24, 43, 63, 84].contains(&cut);
            assert_eq!(error.is_none(), boundary, "cut at {cut}");
            assert!(error.is_none_or(|e| [24, 43, 63, 84].contains(&e.offset)));
        }
    }

    #[test]
    fn gzip_and_zstd_are_undone_and_a_cut_one_keeps_what_came_before() {
        let whole = pcap(&[&[7u8; 900], &[9u8; 900]]);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        gzip.write_all(&whole).expect("gzip");
        let gzip = gzip.finish().expect("gzip");
        assert_eq!(read(gzip.clone()).0.len(), 2);
        let (frames, error) = read(gzip[..1200].to_vec());
        assert_eq!((frames.len(), error.is_some()), (1, true));
        assert_eq!(
            read(zstd::encode_all(whole.as_slice(), 1).expect("zstd"))
                .0
                .len(),
            2
        );
    }

    #[test]
    fn an_absurd_record_length_is_a_fault_not_an_allocation() {
        let mut bytes = pcap(&[b"ok"]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0]);
        let (frames, error) = read(bytes);
        assert_eq!(frames.len(), 1);
        assert!(matches!(
            error.map(|e| (e.offset, e.fault)),
            Some((42, Fault::BadLength { .. }))
        ));
    }

    #[test]
    fn pcapng_reads_interfaces_resolution_and_skips_unknown_blocks() {
        let mut b: Vec<u8> = Vec::new();
        let block = |kind: u32, body: &[u8]| {
            let len = (12 + body.len()) as u32;
            [
                &kind.to_be_bytes()[..],
                &len.to_be_bytes(),
                body,
                &len.to_be_bytes(),
            ]
            .concat()
        };
        b.extend(block(
            0x0a0d_0d0a,
            &[
                0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
        ));
        b.extend(block(
            1,
            &[0, 101, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 9, 0, 0, 0, 0, 0, 0, 0],
        ));
        b.extend(block(0x0bad, &[1, 2, 3, 4]));
        b.extend(block(
            6,
            &[
                &[0u8, 0, 0, 0][..],
                &0u32.to_be_bytes(),
                &5u32.to_be_bytes(),
                &3u32.to_be_bytes(),
                &3u32.to_be_bytes(),
                b"abc\0",
            ]
            .concat(),
        ));
        let mut source =
            CaptureFile::from_reader(Path::new("-"), Box::new(std::io::Cursor::new(b)), 0)
                .expect("opens");
        let mut batch = FrameBatch::default();
        assert!(source.fill(&mut batch, 10).is_ok());
        assert!(matches!(
            source.fill(&mut FrameBatch::default(), 10),
            Ok(false)
        ));
        let frame = batch.frames[0];
        assert_eq!(
            (frame.ts.0, frame.link, frame.slice.len),
            (5, LinkType::RAW, 3)
        );
    }

    use crate::packet::LinkType;
}
