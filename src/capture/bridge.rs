//! Where traffic passes through: frames come in on one port and leave by the other, or do not.
//!
//! [`Bridge`] is what the inline capture thread knows of a method. [`PacketBridge`] is the one over AF_PACKET: a frame is
//! copied once from the kernel's slot into a buffer of ours, so that a worker that fails never holds the kernel's ring,
//! and once by the kernel when it is sent. What the kernel noted on checksum and segmentation goes with it: frames that a
//! card or a veth left unfinished, or joined, leave as they came.
//! Limits: a frame is at most 64 KiB; [`BUFFERS`] batches are on their way without allocating.

use std::os::fd::RawFd;
use std::sync::Arc;

use super::pool::Buffers;
use super::{Arrivals, Frame, FrameBatch};
use crate::packet::{FrameBytes, LinkType, Slice, Timestamp};
use crate::sys::af_packet::{Arrived, PacketOptions, SlotReceiver, VNET_HEADER};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fate {
    /// It leaves by the other port.
    #[default]
    Forward,
    /// It does not.
    Discard,
    /// Another leaves in its place: an index of the changed frames.
    Changed(u16),
}

/// What a transmission did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames sent on.
    pub forwarded: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that could not be sent.
    pub errors: u64,
}

/// Something that traffic passes through.
pub trait Bridge: Send {
    /// Takes frames that wait, at most `max`, without waiting for more.
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> std::io::Result<()>;

    /// Lets frames of one batch go on, in order, or not. `changed`: frames that leave in place of others.
    fn transmit(
        &mut self,
        bytes: &FrameBytes,
        frames: &[Frame],
        fates: &[Fate],
        changed: &[Vec<u8>],
    ) -> Sent;

    /// Sends a packet of ours to where a frame was going.
    fn send_on(&mut self, frame: &Frame, packet: &[u8]) -> bool;

    /// Sends a packet of ours: out of the port that `interface` is, beginning with the link layer that its frames have.
    fn inject(&mut self, interface: u16, packet: &[u8]) -> bool;

    /// What becomes readable when frames wait.
    fn handles(&self) -> Vec<RawFd>;

    /// Whether frames wait.
    fn is_ready(&self) -> bool;

    /// Counters of the kernel since the last call.
    fn arrivals(&mut self) -> Arrivals;
}

/// Buffers that are used again.
const BUFFERS: usize = 64;
/// Bytes after which a batch is full although there are few frames in it.
const BATCH_BYTES: usize = 256 * 1024;

/// A bridge of two ports over AF_PACKET.
#[derive(Debug)]
pub struct PacketBridge {
    ports: [SlotReceiver; 2],
    interfaces: [u16; 2],
    pool: Buffers,
    turn: usize,
    truncated: u64,
    out: Vec<u8>,
}

impl PacketBridge {
    /// Opens the ports; `interfaces` are the numbers that their frames carry.
    pub fn open(
        names: [&str; 2],
        interfaces: [u16; 2],
        options: &PacketOptions,
    ) -> std::io::Result<Self> {
        let open = |name: &str| {
            SlotReceiver::open(name, options)
                .map_err(|e| std::io::Error::new(e.kind(), format!("{name}: {e}")))
        };
        let [one, other] = names;
        Ok(Self {
            ports: [open(one)?, open(other)?],
            interfaces,
            pool: Buffers::new(BUFFERS),
            turn: 0,
            truncated: 0,
            out: Vec::new(),
        })
    }

    fn port_of(&self, interface: u16) -> Option<usize> {
        self.interfaces.iter().position(|i| *i == interface)
    }
}

/// Copies a frame behind the kernel's note on it; a VLAN tag that was taken out goes back where it was.
fn copy(arrived: &Arrived<'_>, interface: u16, buffer: &mut Vec<u8>) -> Frame {
    let note_at = buffer.len();
    buffer.extend_from_slice(arrived.offload);
    let start = buffer.len();
    match (arrived.vlan, arrived.bytes.split_at_checked(12)) {
        (Some(tag), Some((addresses, rest))) => {
            buffer.extend_from_slice(addresses);
            buffer.extend_from_slice(&tag);
            buffer.extend_from_slice(rest);
            if let Some(note) = buffer.get_mut(note_at..start) {
                shift_note(note);
            }
        }
        _ => buffer.extend_from_slice(arrived.bytes),
    }
    let len = u32::try_from(buffer.len() - start).unwrap_or(u32::MAX);
    Frame {
        slice: Slice {
            start: start as u64,
            len,
            extra: false,
        },
        ts: Timestamp::new(arrived.time.0.into(), arrived.time.1),
        link: LinkType::ETHERNET,
        interface,
        original_len: len,
        unfinished: arrived.unfinished,
        token: 0,
    }
}

/// The note counts from the frame's first byte: with four more in front of what it speaks of, it must say so.
///
/// ```text
/// virtio_net_hdr: 0 flags | 1 gso type | 2 header length | 4 gso size | 6 checksum start | 8 checksum offset
/// ```
fn shift_note(note: &mut [u8]) {
    let [flags, kind, length @ .., _, _, _, _, _, _] = note else {
        return;
    };
    let (needs_checksum, segments) = (*flags & 1 != 0, *kind != 0);
    let add = |field: &mut [u8]| {
        if let Some(bytes) = field.first_chunk_mut::<2>() {
            *bytes = u16::from_ne_bytes(*bytes).saturating_add(4).to_ne_bytes();
        }
    };
    if segments {
        add(length);
    }
    if needs_checksum && let Some(start) = note.get_mut(6..8) {
        add(start);
    }
}

impl Bridge for PacketBridge {
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> std::io::Result<()> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        if !self.is_ready() {
            return Ok(());
        }
        let mut shared = self.pool.take();
        let Some(buffer) = Arc::get_mut(&mut shared) else {
            return Ok(());
        };
        let interfaces = self.interfaces;
        let mut misses = 0;
        // The ports in turn, so that neither starves, and answers do not come long before what they answer.
        while batch.frames.len() < max && buffer.len() < BATCH_BYTES && misses < 2 {
            let at = self.turn;
            self.turn = 1 - self.turn;
            let (Some(port), Some(interface)) = (self.ports.get_mut(at), interfaces.get(at)) else {
                break;
            };
            let taken = port.take(|arrived| {
                let whole = arrived.bytes.len() >= arrived.original_len as usize;
                whole.then(|| copy(&arrived, *interface, buffer))
            });
            match taken {
                None => misses += 1,
                Some(None) => self.truncated += 1,
                Some(Some(frame)) => {
                    misses = 0;
                    batch.frames.push(frame);
                }
            }
        }
        batch.bytes = FrameBytes::Owned(Arc::clone(&shared));
        self.pool.keep(shared);
        Ok(())
    }

    fn transmit(
        &mut self,
        bytes: &FrameBytes,
        frames: &[Frame],
        fates: &[Fate],
        changed: &[Vec<u8>],
    ) -> Sent {
        let mut sent = Sent::default();
        // Changed frames, each behind the kernel's note on the one that it replaces.
        let mut whole: Vec<Vec<u8>> = vec![Vec::new(); changed.len()];
        for (frame, fate) in frames.iter().zip(fates) {
            let Fate::Changed(at) = *fate else {
                continue;
            };
            let at = usize::from(at);
            if let (Some(out), Some(changed)) = (whole.get_mut(at), changed.get(at)) {
                let note_at = frame.slice.start.saturating_sub(VNET_HEADER as u64);
                out.extend_from_slice(bytes.slice(note_at, VNET_HEADER as u32));
                out.extend_from_slice(changed);
            }
        }
        for (from, interface) in self.interfaces.into_iter().enumerate() {
            let going: Vec<&[u8]> = frames
                .iter()
                .zip(fates)
                .filter(|(frame, fate)| frame.interface == interface && **fate != Fate::Discard)
                .filter_map(|(frame, fate)| match fate {
                    Fate::Changed(at) => whole.get(usize::from(*at)).map(Vec::as_slice),
                    _ => {
                        let start = frame.slice.start.saturating_sub(VNET_HEADER as u64);
                        Some(bytes.slice(start, frame.slice.len + VNET_HEADER as u32))
                    }
                })
                .collect();
            let Some(port) = self.ports.get(1 - from) else {
                continue;
            };
            let mut rest = going.as_slice();
            while let [first, behind @ ..] = rest {
                let done = port.send(rest);
                sent.forwarded += done as u64;
                sent.bytes += rest
                    .iter()
                    .take(done)
                    .map(|f| (f.len() - VNET_HEADER.min(f.len())) as u64)
                    .sum::<u64>();
                rest = rest.get(done..).unwrap_or_default();
                if done == 0 {
                    // The first one cannot be sent now: once more, then it is lost, as in any switch that is full.
                    let again = port.send(&[first]);
                    sent.forwarded += again as u64;
                    sent.errors += u64::from(again == 0);
                    rest = behind;
                }
            }
        }
        sent
    }

    fn send_on(&mut self, frame: &Frame, packet: &[u8]) -> bool {
        let [one, other] = self.interfaces;
        let out = if frame.interface == one { other } else { one };
        self.inject(out, packet)
    }

    fn inject(&mut self, interface: u16, packet: &[u8]) -> bool {
        let Some(port) = self.port_of(interface).and_then(|at| self.ports.get(at)) else {
            return false;
        };
        self.out.clear();
        self.out.extend_from_slice(&[0; VNET_HEADER]);
        self.out.extend_from_slice(packet);
        port.send(&[&self.out]) == 1
    }

    fn handles(&self) -> Vec<RawFd> {
        self.ports.iter().map(SlotReceiver::fd).collect()
    }

    fn is_ready(&self) -> bool {
        self.ports.iter().any(SlotReceiver::is_ready)
    }

    fn arrivals(&mut self) -> Arrivals {
        let mut sum = Arrivals {
            frames: 0,
            dropped: std::mem::take(&mut self.truncated),
        };
        for port in &self.ports {
            let counts = port.counts();
            sum.frames += counts.packets;
            sum.dropped += counts.drops;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_put_back_moves_what_the_kernels_note_speaks_of() {
        let frame: Vec<u8> = (0..60).collect();
        let mut note = [0u8; VNET_HEADER];
        note[0] = 1;
        note[6..8].copy_from_slice(&34u16.to_ne_bytes());
        let arrived = Arrived {
            bytes: &frame,
            offload: &note,
            vlan: Some([0x81, 0, 0, 7]),
            time: (1, 2),
            original_len: 60,
            unfinished: true,
        };
        let mut buffer = Vec::new();
        let copied = copy(&arrived, 3, &mut buffer);
        assert_eq!((copied.slice.start, copied.slice.len), (10, 64));
        assert_eq!(buffer[6..8], 38u16.to_ne_bytes());
        assert_eq!(buffer[2..4], [0, 0]);
        assert_eq!(buffer[10 + 11..10 + 18], [11, 0x81, 0, 0, 7, 12, 13]);
    }
}
