//! `eve.json`: one line an event.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::eve::{self, EveSettings};
use super::{Sink, SinkError};
use crate::grade::Event;

/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes EVE lines to a file.
#[derive(Debug)]
pub struct EveFile {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    settings: EveSettings,
    lost: u64,
    pending: u64,
    error: Option<std::io::Error>,
}

impl EveFile {
    /// Creates `eve.json` in a folder, which is made when missing.
    pub fn create(folder: &Path, settings: EveSettings) -> std::io::Result<Self> {
        Self::open(
            folder,
            settings,
            OpenOptions::new().write(true).truncate(true),
        )
    }

    /// Goes on with the `eve.json` of a folder, or creates it: a daemon that is restarted keeps what it said.
    pub fn append(folder: &Path, settings: EveSettings) -> std::io::Result<Self> {
        Self::open(folder, settings, OpenOptions::new().append(true))
    }

    fn open(
        folder: &Path,
        settings: EveSettings,
        options: &mut OpenOptions,
    ) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("eve.json");
        let file = options.create(true).open(&path)?;
        Ok(Self {
            path,
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES + 16 * 1024),
            settings,
            lost: 0,
            pending: 0,
            error: None,
        })
    }

    fn write_out(&mut self) {
        if self.buffer.is_empty() {
            return;
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.lost += self.pending;
            self.error.get_or_insert(error);
        }
        self.buffer.clear();
        self.pending = 0;
    }
}

impl Sink for EveFile {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            // Not of Suricata's types: strict consumers do not know it.
            Event::Line {
                kind: "heartbeat", ..
            } if self.settings.strict => return,
            Event::Line { line, .. } => self.buffer.extend_from_slice(line),
            Event::Alert(alert) => eve::alert::compose(&mut self.buffer, &self.settings, alert),
        }
        self.buffer.push(b'\n');
        self.pending += 1;
        if self.buffer.len() >= BUFFER_BYTES {
            self.write_out();
        }
    }

    fn flush(&mut self) {
        self.write_out();
    }

    fn reopen(&mut self) {
        self.write_out();
        let again = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&self.path);
        match again {
            Ok(file) => self.file = file,
            // The old file is still open: nothing is lost, and the error is said at the end.
            Err(error) => drop(self.error.get_or_insert(error)),
        }
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.write_out();
        match self.error.take() {
            None => Ok(()),
            Some(error) => Err(SinkError {
                sink: self.path.display().to_string(),
                lost: self.lost,
                error,
            }),
        }
    }
}
