//! AF_PACKET with TPACKET_V3: interfaces of this machine, listened to.
//!
//! One [`AfPacket`] is one capture thread's: one interface, one queue of it, or the two halves of a tap, whose frames are
//! merged by time. Frames stay in the kernel's blocks until the workers are done with them. A VLAN tag that the kernel
//! took out of the frame is put back, so that what is decoded is what was on the wire.
//! Source: Documentation/networking/packet_mmap.rst.

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Arrivals, CaptureError, Fault, Frame, FrameBatch, Source};
use crate::packet::{FrameBytes, Lent, LinkType, Slice, Timestamp};
use crate::sys::af_packet::{Block, BlockReceiver, PacketOptions};
use crate::sys::{compile_filter, wait_readable};

/// Longest wait for a frame: as often does the time pass on a silent wire.
const WAIT: Duration = Duration::from_millis(50);
/// Wait when the kernel has blocks for us but the workers still hold those that come next.
const LENT: Duration = Duration::from_micros(200);

/// Interfaces that one capture thread listens to.
#[derive(Debug)]
pub struct AfPacket {
    taps: Vec<Tap>,
    fds: Vec<RawFd>,
    name: String,
}

#[derive(Debug)]
struct Tap {
    receiver: BlockReceiver,
    interface: u16,
    link: LinkType,
    open: Option<Open>,
}

/// How the frames of an interface begin: Ethernet on cards, veths, bridges and loopback, IP on tunnels (if_arp.h).
fn link_of(interface: &str) -> LinkType {
    let path = format!("/sys/class/net/{interface}/type");
    match std::fs::read_to_string(path).unwrap_or_default().trim() {
        "512" | "519" | "65534" | "768" | "769" | "776" | "778" | "823" => LinkType::RAW,
        _ => LinkType::ETHERNET,
    }
}

/// A block in hand.
#[derive(Debug)]
struct Open {
    block: Arc<Block>,
    /// Offset of the next frame's header.
    at: usize,
    /// Frames left.
    left: u32,
    /// Time of the next frame.
    ts: Timestamp,
}

impl AfPacket {
    /// Listens to interfaces, each with the number that its frames carry. `filter`: what is seen, in tcpdump's language;
    /// empty: everything.
    pub fn open(
        interfaces: &[(String, u16)],
        options: &PacketOptions,
        filter: &str,
    ) -> std::io::Result<Self> {
        let taps: Vec<Tap> = interfaces
            .iter()
            .map(|(name, number)| {
                let link = link_of(name);
                let receiver = BlockReceiver::open(name, options)
                    .map_err(|e| std::io::Error::new(e.kind(), format!("{name}: {e}")))?;
                if !filter.is_empty() {
                    let code = compile_filter(filter, link.0).map_err(|why| {
                        std::io::Error::other(format!("{name}: filter '{filter}': {why}"))
                    })?;
                    receiver.filter(&code)?;
                }
                Ok(Tap {
                    receiver,
                    interface: *number,
                    link,
                    open: None,
                })
            })
            .collect::<std::io::Result<_>>()?;
        let names: Vec<&str> = interfaces.iter().map(|(n, _)| n.as_str()).collect();
        Ok(Self {
            fds: taps.iter().map(|t| t.receiver.fd()).collect(),
            taps,
            name: names.join("+"),
        })
    }

    /// Takes a block for every tap that has none in hand.
    fn open_blocks(&mut self) {
        for tap in &mut self.taps {
            while tap.open.is_none() {
                let Some(mut block) = tap.receiver.take() else {
                    break;
                };
                let (at, left) = begin(&mut block);
                let ts = Header::read(block.bytes(), at).map_or(Timestamp(0), |h| h.ts);
                let block = Arc::new(block);
                tap.open = (left > 0).then_some(Open {
                    block,
                    at,
                    left,
                    ts,
                });
            }
        }
    }

    /// The tap whose next frame is the oldest, and the time of the next frame of the others.
    fn oldest(&self) -> Option<(usize, Timestamp)> {
        let times = || {
            self.taps
                .iter()
                .enumerate()
                .filter_map(|(i, t)| t.open.as_ref().map(|o| (o.ts, i)))
        };
        let (_, first) = times().min()?;
        let others = times().filter(|(_, i)| *i != first).map(|(ts, _)| ts).min();
        Some((first, others.unwrap_or(Timestamp(u64::MAX))))
    }
}

impl Source for AfPacket {
    fn fill(&mut self, batch: &mut FrameBatch, max: usize) -> Result<bool, CaptureError> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        self.open_blocks();
        if self.oldest().is_none() {
            let waited = wait_readable(&self.fds, WAIT).map_err(|error| CaptureError {
                path: PathBuf::from(&self.name),
                offset: 0,
                fault: Fault::Io(error),
            })?;
            self.open_blocks();
            if waited && self.oldest().is_none() {
                std::thread::sleep(LENT);
            }
        }
        let Some((first, until)) = self.oldest() else {
            return Ok(true);
        };
        let Some(tap) = self.taps.get_mut(first) else {
            return Ok(true);
        };
        let Some(open) = &mut tap.open else {
            return Ok(true);
        };
        batch.bytes = FrameBytes::Lent(Arc::clone(&open.block) as Arc<dyn Lent>);
        while open.left > 0 && open.ts <= until && batch.frames.len() < max {
            let bytes = open.block.bytes();
            let Some(header) = Header::read(bytes, open.at) else {
                open.left = 0;
                break;
            };
            batch.frames.push(Frame {
                slice: Slice {
                    start: header.start as u64,
                    len: header.len,
                    extra: false,
                },
                ts: header.ts,
                link: tap.link,
                interface: tap.interface,
                original_len: header.original_len,
                unfinished: header.status & libc::TP_STATUS_CSUMNOTREADY != 0,
                token: 0,
            });
            open.left -= 1;
            open.at += header.next;
            if open.left > 0 {
                open.ts = Header::read(bytes, open.at).map_or(open.ts, |h| h.ts);
            }
        }
        if open.left == 0 {
            tap.open = None;
        }
        Ok(true)
    }

    fn arrivals(&mut self) -> Arrivals {
        let mut sum = Arrivals::default();
        for tap in &self.taps {
            let counts = tap.receiver.counts();
            sum.frames += counts.packets;
            sum.dropped += counts.drops;
        }
        sum
    }
}

/// What a `tpacket3_hdr` says.
///
/// ```text
/// 0 next offset | 4 sec | 8 nsec | 12 snaplen | 16 len | 20 status | 24 mac (16) | 26 net (16)
/// 28 rxhash | 32 vlan tci | 36 vlan tpid (16) …
/// ```
struct Header {
    next: usize,
    ts: Timestamp,
    start: usize,
    len: u32,
    original_len: u32,
    status: u32,
    vlan: [u8; 4],
}

impl Header {
    fn read(block: &[u8], at: usize) -> Option<Self> {
        let bytes = block.get(at..)?.first_chunk::<48>()?;
        let word = |i: usize| {
            bytes
                .get(i..)
                .and_then(|b| b.first_chunk())
                .map_or(0, |b| u32::from_ne_bytes(*b))
        };
        let half = |i: usize| {
            bytes
                .get(i..)
                .and_then(|b| b.first_chunk())
                .map_or(0, |b| u16::from_ne_bytes(*b))
        };
        let [t0, t1] = half(36).to_be_bytes();
        let [c0, c1] = half(32).to_be_bytes();
        Some(Self {
            next: word(0) as usize,
            ts: Timestamp::new(word(4).into(), word(8)),
            start: at.checked_add(usize::from(half(24)))?,
            len: word(12),
            original_len: word(16),
            status: word(20),
            vlan: [t0, t1, c0, c1],
        })
    }
}

/// The first frame's offset and the number of frames of a block; VLAN tags are put back into its frames.
///
/// The socket reserves four bytes before each frame: the addresses move there, and the tag takes their old end, as
/// libpcap does it.
fn begin(block: &mut Block) -> (usize, u32) {
    let bytes = block.bytes_mut();
    let word = |bytes: &[u8], i: usize| {
        bytes
            .get(i..)
            .and_then(|b| b.first_chunk())
            .map_or(0, |b| u32::from_ne_bytes(*b))
    };
    // tpacket_hdr_v1 behind version and private offset: 12 number of frames, 16 offset of the first.
    let (frames, first) = (word(bytes, 12), word(bytes, 16) as usize);
    let mut at = first;
    for _ in 0..frames {
        let Some(header) = Header::read(bytes, at) else {
            break;
        };
        if header.status & libc::TP_STATUS_VLAN_VALID != 0 && header.len >= 12 {
            put_tag_back(bytes, at, &header);
        }
        at += header.next;
    }
    (first, frames)
}

fn put_tag_back(bytes: &mut [u8], at: usize, header: &Header) {
    let tpid_known = header.status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    let [t0, t1, c0, c1] = header.vlan;
    let tag = if tpid_known { [t0, t1] } else { [0x81, 0x00] };
    let Some(begin) = header.start.checked_sub(4).filter(|b| *b > at) else {
        return;
    };
    let Some(room) = bytes.get_mut(begin..begin + 16) else {
        return;
    };
    room.copy_within(4..16, 0);
    if let Some(place) = room.get_mut(12..16) {
        place.copy_from_slice(&[tag[0], tag[1], c0, c1]);
    }
    let mac = u16::try_from(begin - at).unwrap_or(0);
    let mut set = |offset: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at + offset..at + offset + value.len()) {
            place.copy_from_slice(value);
        }
    };
    set(24, &mac.to_ne_bytes());
    set(12, &(header.len + 4).to_ne_bytes());
    set(16, &header.original_len.saturating_add(4).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_that_the_kernel_took_out_is_put_back() {
        let mut bytes = vec![0u8; 200];
        let frame = 80;
        bytes[12..16].copy_from_slice(&60u32.to_ne_bytes());
        bytes[16..20].copy_from_slice(&60u32.to_ne_bytes());
        let status = libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID;
        bytes[20..24].copy_from_slice(&status.to_ne_bytes());
        bytes[24..26].copy_from_slice(&(frame as u16).to_ne_bytes());
        bytes[32..36].copy_from_slice(&42u32.to_ne_bytes());
        bytes[36..38].copy_from_slice(&0x8100u16.to_ne_bytes());
        for (i, byte) in bytes[frame..frame + 14].iter_mut().enumerate() {
            *byte = i as u8 + 1;
        }
        let header = Header::read(&bytes, 0).expect("reads");
        put_tag_back(&mut bytes, 0, &header);
        let again = Header::read(&bytes, 0).expect("reads");
        assert_eq!((again.start, again.len), (frame - 4, 64));
        assert_eq!(
            bytes[again.start..again.start + 18],
            [
                1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81, 0, 0, 42, 13, 14
            ]
        );
    }
}
