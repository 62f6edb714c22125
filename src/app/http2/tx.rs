//! An HTTP/2 stream as a transaction: the header fields, files and frames of both directions.

use super::doh::Doh;
use super::hpack::MADE_MAX;
use crate::app::http1::{Decoder, Pace};
use crate::app::{Files, Transaction, TxState, Window, transaction_members};
use crate::packet::Direction;

/// Progress of a direction of a stream.
pub(super) mod progress {
    /// Nothing seen.
    pub const STARTED: u8 = 0;
    /// The header was seen.
    pub const HEADERS: u8 = 1;
    /// Data was seen.
    pub const DATA: u8 = 2;
    /// The direction has ended.
    pub const CLOSED: u8 = 3;
    /// Both have.
    pub const COMPLETE: u8 = 4;
}

/// Names of progress.
pub(super) static REQUEST_STATES: &[&str] = &[
    "request_started",
    "request_headers",
    "request_data",
    "request_closed",
    "request_complete",
];

/// Names of a response's progress.
pub(super) static RESPONSE_STATES: &[&str] = &[
    "response_started",
    "response_headers",
    "response_data",
    "response_closed",
    "response_complete",
];

/// Transactions of streams, and those of the connection itself (stream 0).
pub(super) static KINDS: [&str; 2] = ["stream", "global"];

/// When files are shown to detection (Suricata's defaults for files).
const FILE_PACE: Pace = Pace {
    first: 32 * 1024,
    window: 4096,
};

/// Frames of a direction whose particulars are kept.
const FRAMES_MAX: usize = 1024;

/// What rules and logs want to know of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Frame {
    /// RFC 9113 §6.
    pub kind: u8,
    pub error_code: Option<u32>,
    pub priority: Option<u8>,
    pub window: Option<u32>,
}

/// Header fields in the order sent, as `name: value\r\n`.
#[derive(Debug, Default)]
pub(super) struct Fields {
    text: Vec<u8>,
    /// Where each name begins and ends, and where its value ends.
    list: Vec<(u32, u32, u32)>,
}

impl Fields {
    /// Adds a field; none beyond [`MADE_MAX`] bytes.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) -> bool {
        let at = self.text.len();
        if at + name.len() + value.len() + 4 > MADE_MAX {
            return false;
        }
        let end = |text: &Vec<u8>| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let from = end(&self.text);
        self.text.extend_from_slice(name);
        let name_end = end(&self.text);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        self.list.push((from, name_end, end(&self.text)));
        self.text.extend_from_slice(b"\r\n");
        true
    }

    /// `name: value` of the field at a position.
    pub(super) fn line(&self, position: usize) -> Option<&[u8]> {
        let (from, _, to) = *self.list.get(position)?;
        self.text.get(from as usize..to as usize)
    }

    /// Names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().filter_map(|&(from, mid, to)| {
            let (from, mid, to) = (from as usize, mid as usize, to as usize);
            Some((self.text.get(from..mid)?, self.text.get(mid + 2..to)?))
        })
    }

    /// The first value of a name.
    pub(super) fn first(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }

    /// The values of a name, joined by `, ` in `out` when there are several.
    pub(super) fn joined<'a>(&'a self, name: &[u8], out: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let mut values = self.iter().filter(|(n, _)| *n == name).map(|(_, v)| v);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(first);
        };
        out.extend_from_slice(first);
        for value in std::iter::once(second).chain(values) {
            out.extend_from_slice(b", ");
            out.extend_from_slice(value);
        }
        Some(out)
    }

    /// Bytes they take.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All fields as they were sent.
    pub(super) fn raw(&self) -> &[u8] {
        &self.text
    }
}

/// One direction of a stream.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub progress: u8,
    pub fields: Fields,
    pub frames: Vec<Frame>,
    pub settings: Vec<(u16, u32)>,
    pub size_updates: Vec<u64>,
    pub files: Files,
    pub file_open: bool,
    pub file_seen: bool,
    pub decoder: Decoder,
    pub data_len: u64,
    pub plain_len: u64,
    pub ended: bool,
    /// DNS over HTTP/2: the body so far, the message once it is complete.
    pub doh: Doh,
}

impl Side {
    /// Notes a frame.
    pub(super) fn note(&mut self, frame: Frame) -> bool {
        if self.frames.len() < FRAMES_MAX {
            self.frames.push(frame);
        }
        self.frames.len() < FRAMES_MAX
    }
}

/// A stream, or a frame that concerns the connection (stream 0).
#[derive(Debug, Default)]
pub(super) struct Tx {
    pub state: TxState,
    pub stream: u32,
    pub sides: [Side; 2],
    /// The promised stream whose header goes on in this one's continuations.
    pub child: u32,
    pub inline: bool,
}

impl Tx {
    /// A direction.
    pub(super) fn side(&self, direction: Direction) -> &Side {
        let [server, client] = &self.sides;
        if direction == Direction::ToServer {
            server
        } else {
            client
        }
    }

    /// A direction.
    pub(super) fn side_mut(&mut self, direction: Direction) -> &mut Side {
        let [server, client] = &mut self.sides;
        if direction == Direction::ToServer {
            server
        } else {
            client
        }
    }

    /// A file, when it is to be looked at.
    pub(super) fn file_data(&self, direction: Direction, index: usize) -> Option<Window<'_>> {
        let side = self.side(direction);
        let file = side.files.get(index)?;
        let window = file.window();
        let len = window.offset + window.bytes.len() as u64;
        let complete = window.complete || side.progress >= progress::CLOSED || side.ended;
        if !complete && !self.inline && !FILE_PACE.is_due(len, u64::MAX) {
            return None;
        }
        let from = FILE_PACE
            .offset(len, file.inspected())
            .saturating_sub(window.offset);
        let bytes = window
            .bytes
            .get(usize::try_from(from).unwrap_or(usize::MAX)..)?;
        Some(Window {
            bytes,
            offset: window.offset + from,
            complete,
            file: window.file,
        })
    }

    /// Called before more data is taken: what was shown and looked at need not be shown again.
    pub(super) fn note_inspection(&mut self, direction: Direction) {
        if self
            .state
            .updated
            .get(direction.index())
            .copied()
            .unwrap_or(true)
        {
            return;
        }
        if let Some(window) = self.file_data(direction, 0) {
            let seen = window.offset + window.bytes.len() as u64;
            if let Some(file) = self.side_mut(direction).files.last_mut() {
                file.set_inspected(seen);
            }
        }
    }
}

impl Transaction for Tx {
    transaction_members!();

    fn progress(&self, direction: Direction) -> u8 {
        self.side(direction).progress
    }

    fn kind(&self) -> &'static str {
        let [stream, global] = KINDS;
        if self.stream == 0 { global } else { stream }
    }

    fn files(&self, direction: Direction) -> Option<&Files> {
        Some(&self.side(direction).files)
    }

    fn files_mut(&mut self, direction: Direction) -> Option<&mut Files> {
        Some(&mut self.side_mut(direction).files)
    }
}
