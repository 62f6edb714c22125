//! Batches: what travels from capture to the workers.

use std::sync::Arc;

use super::{Layers, Packet, Timestamp};

/// Where the bytes of a batch live. Shared, never copied on the way.
#[derive(Clone)]
pub enum FrameBytes {
    /// A memory-mapped capture file.
    Mapped(Arc<memmap2::Mmap>),
    /// A buffer filled by a reader (standard input, a decompressor) or by a live source.
    Owned(Arc<Vec<u8>>),
    /// None (an empty batch that only carries the time).
    Empty,
}

impl std::fmt::Debug for FrameBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameBytes({} bytes)", self.as_slice().len())
    }
}

impl FrameBytes {
    /// All bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(buffer) => buffer,
            Self::Empty => &[],
        }
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
        let all = if slice.extra {
            self.extra.as_slice()
        } else {
            self.bytes.as_slice()
        };
        usize::try_from(slice.start)
            .ok()
            .and_then(|start| all.get(start..)?.get(..slice.len as usize))
            .unwrap_or_default()
    }
}
