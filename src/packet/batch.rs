//! Batches: what travels from capture to the workers.

use std::sync::Arc;

use super::{Layers, Packet, Timestamp};

/// Memory of a live source (a block of a kernel ring, frames of a UMEM) that goes back to it when the last user is done.
pub trait Lent: Send + Sync {
    /// A range of its bytes; `None` when it does not lie inside.
    fn slice(&self, start: usize, len: usize) -> Option<&[u8]>;
}

/// Where the bytes of a batch live. Shared, never copied on the way.
#[derive(Clone)]
pub enum FrameBytes {
    /// A memory-mapped capture file.
    Mapped(Arc<memmap2::Mmap>),
    /// A buffer filled by a reader (standard input, a decompressor) or by a live source.
    Owned(Arc<Vec<u8>>),
    /// Memory that the kernel filled, lent by a live source.
    Lent(Arc<dyn Lent>),
    /// None (an empty batch that only carries the time).
    Empty,
}

impl std::fmt::Debug for FrameBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Mapped(_) => "FrameBytes::Mapped",
            Self::Owned(_) => "FrameBytes::Owned",
            Self::Lent(_) => "FrameBytes::Lent",
            Self::Empty => "FrameBytes::Empty",
        })
    }
}

impl FrameBytes {
    /// A range of the bytes; empty when it does not lie inside.
    #[inline]
    pub fn slice(&self, start: u64, len: u32) -> &[u8] {
        let (Ok(start), len) = (usize::try_from(start), len as usize) else {
            return &[];
        };
        let all: &[u8] = match self {
            Self::Mapped(map) => map,
            Self::Owned(buffer) => buffer,
            Self::Lent(lent) => return lent.slice(start, len).unwrap_or_default(),
            Self::Empty => return &[],
        };
        all.get(start..)
            .and_then(|b| b.get(..len))
            .unwrap_or_default()
    }
}

/// A range of bytes in a [`FrameBytes`] or in the batch's own `extra` buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u32,
    /// Whether the range lies in [`Batch::extra`] (reassembled or rewritten packets) instead of the capture's bytes.
    pub extra: bool,
}

/// Decoded packets of one worker out of one batch of frames, in capture order.
///
/// Every worker receives every batch, if only an empty one: `now` and `last_number` are the same for all, which is what
/// makes timeouts, and so alerts, independent of the number of workers.
#[derive(Debug)]
pub struct Batch {
    /// Number of the batch, from 0, without gaps.
    pub sequence: u64,
    /// The capture's time at the end of the batch: the highest timestamp seen so far.
    pub now: Timestamp,
    /// Number (from 1) of the last frame of the whole batch.
    pub last_number: u64,
    /// Whether the capture ends with this batch: flows are to be flushed.
    pub last: bool,
    /// The capture is over, and flows that began with a packet of a lower number are to be flushed (0: it is not over).
    /// What is left of a capture is ended in several batches, the last one of which is `last`.
    pub ends_below: u64,
    /// The bytes the packets speak of.
    pub bytes: FrameBytes,
    /// Bytes of reassembled packets.
    pub extra: Vec<u8>,
    /// The packets.
    pub packets: Vec<Layers>,
}

impl Batch {
    /// An empty batch with room for `packets` packets.
    pub fn with_capacity(packets: usize) -> Self {
        Self {
            sequence: 0,
            now: Timestamp(0),
            last_number: 0,
            last: false,
            ends_below: 0,
            bytes: FrameBytes::Empty,
            extra: Vec::new(),
            packets: Vec::with_capacity(packets),
        }
    }

    /// The packets with their bytes. A range outside the bytes (which decode never makes) gives an empty frame.
    pub fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        self.packets.iter().map(|layers| Packet {
            frame: self.resolve(layers.frame),
            layers,
        })
    }

    fn resolve(&self, slice: Slice) -> &[u8] {
        if !slice.extra {
            return self.bytes.slice(slice.start, slice.len);
        }
        usize::try_from(slice.start)
            .ok()
            .and_then(|start| self.extra.get(start..)?.get(..slice.len as usize))
            .unwrap_or_default()
    }
}
