//! Delivery to something that may be down: a bounded queue in memory, then a bounded spool on disk, in order.
//!
//! While the receiver answers, messages go straight through. When it does not, they are appended to the spool; when it
//! answers again the spool is delivered first, so order is kept. A spool that is full drops the newest messages, counts
//! them, and says so at the end. A spool left by an earlier run is delivered first by the next.
//! Transports without acknowledgement (all of syslog's) cannot promise that the receiver kept what it took.
//!
//! ```text
//! spool file: records of  length (u32, big endian) | message
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::SinkError;

/// Longest message in a spool: anything longer is not one of ours.
const MESSAGE_BYTES_MAX: u32 = 1 << 20;

/// Something that takes messages and may be down.
pub trait Deliver: Send {
    /// What it is and where, for messages to people.
    fn name(&self) -> String;
    /// Hands one message over. After an error the same message is tried again later.
    fn deliver(&mut self, message: &[u8]) -> io::Result<()>;
    /// The end.
    fn close(&mut self);
}

/// Messages on disk, first in first out.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: File,
    read_at: u64,
    len: u64,
    bytes_max: u64,
}

impl Spool {
    /// Opens the spool, with what an earlier run left in it. A broken tail (a crash in mid-write) is cut off.
    pub fn open(path: &Path, bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut spool = Self {
            path: path.to_owned(),
            file,
            read_at: 0,
            len: 0,
            bytes_max,
        };
        let size = spool.file.metadata()?.len();
        while let Some(next) = spool.record_end(spool.len, size)? {
            spool.len = next;
        }
        spool.file.set_len(spool.len)?;
        Ok(spool)
    }

    fn record_end(&mut self, at: u64, size: u64) -> io::Result<Option<u64>> {
        if at + 4 > size {
            return Ok(None);
        }
        let mut length = [0u8; 4];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        let end = at + 4 + u64::from(length);
        Ok((length <= MESSAGE_BYTES_MAX && end <= size).then_some(end))
    }

    /// Whether nothing waits in it.
    pub fn is_empty(&self) -> bool {
        self.read_at >= self.len
    }

    /// Appends a message; false when there is no room.
    pub fn push(&mut self, message: &[u8]) -> io::Result<bool> {
        let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
        if length > MESSAGE_BYTES_MAX || self.len + 4 + u64::from(length) > self.bytes_max {
            return Ok(false);
        }
        let mut record = length.to_be_bytes().to_vec();
        record.extend_from_slice(message);
        self.file.seek(SeekFrom::Start(self.len))?;
        self.file.write_all(&record)?;
        self.len += record.len() as u64;
        Ok(true)
    }

    /// The oldest message, left in place.
    pub fn front(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.is_empty() {
            return Ok(None);
        }
        let mut length = [0u8; 4];
        self.file.seek(SeekFrom::Start(self.read_at))?;
        self.file.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length).min(MESSAGE_BYTES_MAX);
        let mut message = vec![0; length as usize];
        self.file.read_exact(&mut message)?;
        Ok(Some(message))
    }

    /// Removes the oldest message, of this length.
    pub fn pop(&mut self, length: usize) -> io::Result<()> {
        self.read_at += 4 + length as u64;
        if self.is_empty() {
            self.file.set_len(0)?;
            (self.read_at, self.len) = (0, 0);
        }
        Ok(())
    }

    /// Removes what was delivered from the file, so that the next run does not deliver it again.
    pub fn compact(&mut self) -> io::Result<()> {
        if self.read_at == 0 {
            return Ok(());
        }
        let mut rest = Vec::new();
        self.file.seek(SeekFrom::Start(self.read_at))?;
        self.file.read_to_end(&mut rest)?;
        let fresh = self.path.with_extension("spool.new");
        std::fs::write(&fresh, &rest)?;
        std::fs::rename(&fresh, &self.path)?;
        self.file = OpenOptions::new().read(true).write(true).open(&self.path)?;
        (self.read_at, self.len) = (0, rest.len() as u64);
        Ok(())
    }
}

/// A receiver with its spool.
pub struct Delivery {
    to: Box<dyn Deliver>,
    spool: Spool,
    lost: u64,
    error: Option<io::Error>,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delivery({})", self.to.name())
    }
}

impl Delivery {
    /// To a receiver, over a spool.
    pub fn new(to: Box<dyn Deliver>, spool: Spool) -> Self {
        Self {
            to,
            spool,
            lost: 0,
            error: None,
        }
    }

    /// Delivers a message, or spools it behind what is already waiting.
    pub fn message(&mut self, message: &[u8]) {
        if self.catch_up() {
            match self.to.deliver(message) {
                Ok(()) => return,
                Err(error) => self.error = Some(error),
            }
        }
        match self.spool.push(message) {
            Ok(true) => {}
            Ok(false) => self.lost += 1,
            Err(error) => {
                self.lost += 1;
                self.error = Some(error);
            }
        }
    }

    /// Delivers what is spooled; whether nothing is left.
    pub fn catch_up(&mut self) -> bool {
        loop {
            let message = match self.spool.front() {
                Ok(None) => return true,
                Ok(Some(message)) => message,
                Err(error) => {
                    self.error = Some(error);
                    return false;
                }
            };
            if let Err(error) = self.to.deliver(&message) {
                self.error = Some(error);
                return false;
            }
            if let Err(error) = self.spool.pop(message.len()) {
                self.error = Some(error);
                return false;
            }
        }
    }

    /// The end. What is still spooled stays on disk for the next run and is said, as is what was lost.
    pub fn finish(mut self) -> Result<(), SinkError> {
        let done = self.catch_up();
        self.to.close();
        let kept = self.spool.compact();
        if done && self.lost == 0 {
            return Ok(());
        }
        let waiting = if self.spool.is_empty() {
            String::new()
        } else {
            format!(", undelivered alerts wait in {}", self.spool.path.display())
        };
        let error = self
            .error
            .take()
            .or(kept.err())
            .unwrap_or_else(|| io::Error::other("spool is full"));
        Err(SinkError {
            sink: format!("{}{waiting}", self.to.name()),
            lost: self.lost,
            error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Fickle {
        up: Arc<Mutex<bool>>,
        got: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Deliver for Fickle {
        fn name(&self) -> String {
            "fickle".to_owned()
        }
        fn deliver(&mut self, message: &[u8]) -> io::Result<()> {
            if !*self.up.lock().expect("lock") {
                return Err(io::Error::other("down"));
            }
            self.got.lock().expect("lock").push(message.to_vec());
            Ok(())
        }
        fn close(&mut self) {}
    }

    #[test]
    fn what_could_not_be_delivered_waits_in_order_even_over_a_restart() {
        let folder = tempfile::tempdir().expect("temp");
        let path = folder.path().join("x.spool");
        let fickle = Fickle::default();
        let (up, got) = (Arc::clone(&fickle.up), Arc::clone(&fickle.got));
        let mut delivery =
            Delivery::new(Box::new(fickle), Spool::open(&path, 1000).expect("spool"));
        *up.lock().expect("lock") = true;
        delivery.message(b"1");
        *up.lock().expect("lock") = false;
        delivery.message(b"2");
        delivery.message(b"3");
        let error = delivery.finish().expect_err("down");
        assert_eq!(error.lost, 0);
        assert!(error.to_string().contains("x.spool"), "{error}");
        let again = Fickle {
            up: Arc::clone(&up),
            got: Arc::clone(&got),
        };
        *up.lock().expect("lock") = true;
        let mut delivery = Delivery::new(Box::new(again), Spool::open(&path, 1000).expect("spool"));
        delivery.message(b"4");
        delivery.finish().expect("up");
        assert_eq!(*got.lock().expect("lock"), [b"1", b"2", b"3", b"4"]);
        assert_eq!(std::fs::metadata(&path).expect("file").len(), 0);
    }

    #[test]
    fn a_full_spool_counts_what_it_drops_and_a_broken_tail_is_cut() {
        let folder = tempfile::tempdir().expect("temp");
        let path = folder.path().join("x.spool");
        let mut delivery = Delivery::new(
            Box::new(Fickle::default()),
            Spool::open(&path, 20).expect("spool"),
        );
        for _ in 0..5 {
            delivery.message(b"123456");
        }
        assert_eq!(delivery.finish().expect_err("down").lost, 3);
        let mut bytes = std::fs::read(&path).expect("read");
        bytes.extend_from_slice(&[0, 0, 1]);
        std::fs::write(&path, bytes).expect("write");
        let mut spool = Spool::open(&path, 100).expect("spool");
        assert_eq!(
            spool.front().expect("front").as_deref(),
            Some(&b"123456"[..])
        );
        assert_eq!(std::fs::metadata(&path).expect("file").len(), 20);
    }
}
