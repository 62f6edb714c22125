//! What the readers of pcap and pcapng share: one step at a time over bytes that may end anywhere.

use super::Fault;
use crate::packet::{LinkType, Timestamp};

/// Outcome of looking at the front of the unread bytes.
pub enum Step {
    /// A frame.
    Frame {
        /// Bytes of the whole record.
        consumed: usize,
        /// Where in the record the frame lies.
        start: usize,
        /// Bytes captured.
        len: u32,
        /// Bytes on the wire.
        original_len: u32,
        /// When.
        ts: Timestamp,
        /// How it begins.
        link: LinkType,
        /// Which interface.
        interface: u16,
    },
    /// Nothing of interest (a header, an unknown block).
    Skip(usize),
    /// The record is not whole yet: bytes it needs in all, and what it is.
    NeedMore(usize, &'static str),
    /// Broken.
    Fault(Fault),
}

/// A file format.
pub trait Format: Send {
    /// Looks at the front of `bytes`.
    fn step(&mut self, bytes: &[u8]) -> Step;
}

/// Reads integers of either byte order; out of range gives 0, which callers exclude by checking lengths first.
#[derive(Clone, Copy)]
pub struct Order {
    /// Big endian.
    pub big: bool,
}

impl Order {
    pub fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let Some(&[a, b]) = bytes
            .get(at..at.saturating_add(2))
            .and_then(|s| s.first_chunk::<2>())
        else {
            return 0;
        };
        if self.big {
            u16::from_be_bytes([a, b])
        } else {
            u16::from_le_bytes([a, b])
        }
    }

    pub fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let Some(&word) = bytes
            .get(at..at.saturating_add(4))
            .and_then(|s| s.first_chunk::<4>())
        else {
            return 0;
        };
        if self.big {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        }
    }
}

/// Picks the format by the first four bytes.
pub fn detect(bytes: &[u8]) -> Result<Box<dyn Format>, Fault> {
    let Some(&magic) = bytes.first_chunk::<4>() else {
        return Err(Fault::Truncated {
            what: "file header",
            wanted: 24,
            present: bytes.len() as u64,
        });
    };
    if magic == [0x0a, 0x0d, 0x0d, 0x0a] {
        return Ok(Box::new(super::pcapng::PcapNg::default()));
    }
    super::pcap::Pcap::from_magic(magic)
        .map(|p| Box::new(p) as Box<dyn Format>)
        .ok_or(Fault::NotACapture(magic))
}
