//! Capture: where frames come from. One file a method; this one names what they share.
//!
//! A [`Source`] fills batches with frames: ranges of bytes that stay where they are (a memory map, a reader's chunk), with
//! time, link type and interface. It analyses nothing.
//! Limits: a frame is at most [`FRAME_BYTES_MAX`] bytes; a capture file has at most [`INTERFACES_MAX`] interfaces.

mod af_packet;
mod af_xdp;
mod blocked;
mod bridge;
mod file;
mod format;
mod libpcap;
mod netfilter;
mod nfqueue;
mod nftables;
mod pcap;
mod pcapng;
mod pool;

pub use af_packet::AfPacket;
pub use af_xdp::{AfXdp, XdpBridge};
pub use blocked::BlockedSources;
pub use bridge::{Bridge, Fate, PacketBridge, Sent};
pub use file::{CaptureFile, expand_paths};
pub use libpcap::Libpcap;
pub use nfqueue::{Nfqueue, Pass, QueueOptions};
pub use nftables::NftBlocked;

use std::fmt;
use std::path::PathBuf;

use crate::packet::{FrameBytes, LinkType, Slice, Timestamp};

/// Largest frame accepted, in bytes (libpcap's MAXIMUM_SNAPLEN).
pub const FRAME_BYTES_MAX: u32 = 262_144;

/// Interfaces a pcapng section may describe.
pub const INTERFACES_MAX: usize = 4096;

/// One captured frame, not decoded.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Its bytes within the batch.
    pub slice: Slice,
    /// When it was captured.
    pub ts: Timestamp,
    /// How it begins.
    pub link: LinkType,
    /// Interface it came in on.
    pub interface: u16,
    /// Length on the wire (the capture may hold less).
    pub original_len: u32,
    /// Whether its sender left the checksum to a card that the frame has not passed (it came from this machine).
    pub unfinished: bool,
    /// What a live source knows it by.
    pub token: u32,
}

/// Frames and the bytes they lie in.
#[derive(Debug)]
pub struct FrameBatch {
    /// The bytes.
    pub bytes: FrameBytes,
    /// The frames, in capture order.
    pub frames: Vec<Frame>,
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self {
            bytes: FrameBytes::Empty,
            frames: Vec::new(),
        }
    }
}

/// Where frames come from.
pub trait Source {
    /// Fills `batch` with up to `max` frames. Returns whether more may follow. With an error, the frames before the
    /// fault are in the batch, and nothing follows.
    fn fill(&mut self, batch: &mut FrameBatch, max: usize) -> Result<bool, CaptureError>;

    /// Bytes read and bytes in all (0: not known), for a progress bar.
    fn progress(&self) -> (u64, u64) {
        (0, 0)
    }

    /// Frames that came, and frames for which there was no room, since this was last asked (live).
    fn arrivals(&mut self) -> Arrivals {
        Arrivals::default()
    }
}

/// What the kernel counted at the edge of a live source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Frames that came.
    pub frames: u64,
    /// Frames that were dropped for want of room.
    pub dropped: u64,
}

/// What is wrong with a capture file, and where.
#[derive(Debug)]
pub struct CaptureError {
    /// The file (`-` for standard input).
    pub path: PathBuf,
    /// Offset of the fault in the (decompressed) file.
    pub offset: u64,
    /// What.
    pub fault: Fault,
}

/// Kinds of faults in a capture file.
#[derive(Debug)]
pub enum Fault {
    /// The file ends inside a header or a record: wanted and present bytes.
    Truncated {
        /// What it ends in.
        what: &'static str,
        /// Bytes wanted.
        wanted: u64,
        /// Bytes present.
        present: u64,
    },
    /// Neither pcap nor pcapng.
    NotACapture([u8; 4]),
    /// A length that cannot be.
    BadLength {
        /// Of what.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// A block refers to an interface that was not described.
    UnknownInterface(u32),
    /// Something else that is not as the format says.
    Malformed(&'static str),
    /// Reading failed.
    Io(std::io::Error),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: at offset {}: ", self.path.display(), self.offset)?;
        match &self.fault {
            Fault::Truncated {
                what,
                wanted,
                present,
            } => {
                write!(f, "file ends inside a {what} ({present} of {wanted} bytes)")
            }
            Fault::NotACapture(magic) => write!(
                f,
                "not a capture file (begins {:02x} {:02x} {:02x} {:02x}; pcap, pcapng, and both in gzip or zstd are read)",
                magic[0], magic[1], magic[2], magic[3]
            ),
            Fault::BadLength { what, value } => write!(f, "{what} of {value} bytes cannot be"),
            Fault::UnknownInterface(id) => {
                write!(f, "packet of interface {id}, which no block describes")
            }
            Fault::Malformed(what) => write!(f, "{what}"),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CaptureError {}
