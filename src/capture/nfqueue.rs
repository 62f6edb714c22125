//! NFQUEUE: packets that the machine's firewall hands over for a verdict (nftables `queue`, iptables `-j NFQUEUE`).
//!
//! Own netlink messages: nothing but a socket is needed. Packets begin with their IP header; what a card has joined comes
//! joined (GSO), and checksums that it left unfinished are not judged. Many verdicts leave in one message.
//! With `bypass` in the firewall's rule the kernel lets packets through while no sensor listens; with fail-open here it
//! does so while the queue is full. Both are the operator's choice.
//! Source: include/uapi/linux/netfilter/nfnetlink_queue.h, libnetfilter_queue's documentation.
//! Limits: [`WAITING`] packets wait in the kernel.

use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::bridge::{Bridge, Fate, Sent};
use super::netfilter::{ACK, HEADER, REQUEST, acknowledged, message, word};
use super::pool::Buffers;
use super::{Arrivals, Frame, FrameBatch};
use crate::packet::{FrameBytes, LinkType, Slice, Timestamp};
use crate::sys::netlink::{NetfilterSocket, RawIp};

/// Packets that wait for a verdict in the kernel.
const WAITING: u32 = 8_192;
/// Bytes of messages that wait in the socket.
const SOCKET_BYTES: i32 = 32 << 20;
/// Buffers that are used again.
const BUFFERS: usize = 256;
/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 256 * 1024;

/// What is done with a packet that may pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pass {
    /// It leaves the firewall's chain.
    #[default]
    Accept,
    /// It goes through the chain again, marked, so that later rules see it: mark and mask.
    Repeat(u32, u32),
}

/// How a queue is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueOptions {
    /// What is done with packets that may pass.
    pub pass: Pass,
    /// Whether the kernel lets packets through while the queue is full; otherwise it drops them.
    pub fail_open: bool,
}

/// One queue.
#[derive(Debug)]
pub struct Nfqueue {
    socket: NetfilterSocket,
    raw: RawIp,
    queue: u16,
    interface: u16,
    options: QueueOptions,
    pool: Buffers,
    buffer: Vec<u8>,
    verdicts: Vec<u8>,
    dropped: u64,
}

const PACKET: u16 = 3 << 8;
const VERDICT: u16 = 3 << 8 | 1;
const CONFIG: u16 = 3 << 8 | 2;

const ATTRIBUTE_HEADER: u16 = 1;
const ATTRIBUTE_VERDICT: u16 = 2;
const ATTRIBUTE_MARK: u16 = 3;
const ATTRIBUTE_TIME: u16 = 4;
const ATTRIBUTE_PAYLOAD: u16 = 10;
const ATTRIBUTE_INFO: u16 = 14;

const CONFIG_COMMAND: u16 = 1;
const CONFIG_PARAMETERS: u16 = 2;
const CONFIG_LENGTH: u16 = 3;
const CONFIG_MASK: u16 = 4;
const CONFIG_FLAGS: u16 = 5;

const FLAG_FAIL_OPEN: u32 = 1;
const FLAG_GSO: u32 = 4;

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;
const NF_REPEAT: u32 = 4;

/// A packet as the kernel hands it over.
#[derive(Debug, Default)]
struct Queued<'a> {
    id: u32,
    time: Option<(u64, u64)>,
    payload: &'a [u8],
    info: u32,
}

/// Reads the attributes of a packet message.
fn queued(message: &[u8]) -> Option<Queued<'_>> {
    let mut rest = message.get(HEADER..)?;
    let mut packet = Queued::default();
    let mut named = false;
    while let Some([l0, l1, k0, k1]) = rest.first_chunk::<4>() {
        let len = usize::from(u16::from_ne_bytes([*l0, *l1]));
        let value = rest.get(4..len)?;
        match u16::from_ne_bytes([*k0, *k1]) & 0x3fff {
            ATTRIBUTE_HEADER => {
                packet.id = u32::from_be_bytes(*value.first_chunk()?);
                named = true;
            }
            ATTRIBUTE_TIME => {
                let secs = u64::from_be_bytes(*value.first_chunk()?);
                let micros = u64::from_be_bytes(*value.get(8..)?.first_chunk()?);
                packet.time = Some((secs, micros));
            }
            ATTRIBUTE_PAYLOAD => packet.payload = value,
            ATTRIBUTE_INFO => packet.info = u32::from_be_bytes(*value.first_chunk()?),
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    named.then_some(packet)
}

impl Nfqueue {
    /// Listens to a queue; its packets carry the number `interface`.
    pub fn open(queue: u16, interface: u16, options: QueueOptions) -> std::io::Result<Self> {
        let queue_of = Self {
            socket: NetfilterSocket::open(SOCKET_BYTES)?,
            raw: RawIp::open()?,
            queue,
            interface,
            options,
            pool: Buffers::new(BUFFERS),
            buffer: vec![0; 70 * 1024],
            verdicts: Vec::new(),
            dropped: 0,
        };
        let flags = FLAG_GSO | if options.fail_open { FLAG_FAIL_OPEN } else { 0 };
        // Bind; then whole packets, the length of the queue, and the flags.
        let config: [&[(u16, &[u8])]; 2] = [
            &[(CONFIG_COMMAND, &[1, 0, 0, 0])],
            &[
                (CONFIG_PARAMETERS, &[0, 0, 0xff, 0xff, 2]),
                (CONFIG_LENGTH, &WAITING.to_be_bytes()),
                (CONFIG_MASK, &(FLAG_GSO | FLAG_FAIL_OPEN).to_be_bytes()),
                (CONFIG_FLAGS, &flags.to_be_bytes()),
            ],
        ];
        for attributes in config {
            let mut out = Vec::new();
            message(&mut out, (CONFIG, REQUEST | ACK), (0, queue), attributes);
            queue_of.socket.send(&out)?;
            acknowledged(&queue_of.socket)?;
        }
        Ok(queue_of)
    }
}

impl Bridge for Nfqueue {
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> std::io::Result<()> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        let mut shared = self.pool.take();
        let Some(out) = Arc::get_mut(&mut shared) else {
            return Ok(());
        };
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = Timestamp::new(since.as_secs(), since.subsec_nanos());
        while batch.frames.len() < max && out.len() < BATCH_BYTES {
            let Some(got) = self.socket.receive(&mut self.buffer, false)? else {
                break;
            };
            let mut rest = self.buffer.get(..got).unwrap_or_default();
            while let Some(len) = word(rest, 0).map(|l| l as usize) {
                let Some(one) = rest.get(..len).filter(|m| m.len() >= HEADER) else {
                    break;
                };
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
                if one.get(4..6) != Some(&PACKET.to_ne_bytes()) {
                    continue;
                }
                let Some(packet) = queued(one) else {
                    continue;
                };
                let start = out.len() as u64;
                out.extend_from_slice(packet.payload);
                let len = u32::try_from(packet.payload.len()).unwrap_or(u32::MAX);
                let ts = packet.time.map_or(now, |(secs, micros)| {
                    Timestamp::new(secs, u32::try_from(micros * 1000).unwrap_or(0))
                });
                batch.frames.push(Frame {
                    slice: Slice {
                        start,
                        len,
                        extra: false,
                    },
                    ts,
                    link: LinkType::RAW,
                    interface: self.interface,
                    original_len: len,
                    unfinished: packet.info & 1 != 0,
                    token: packet.id,
                });
            }
        }
        if !batch.frames.is_empty() {
            batch.bytes = FrameBytes::Owned(Arc::clone(&shared));
        }
        self.pool.keep(shared);
        Ok(())
    }

    fn transmit(
        &mut self,
        _: &FrameBytes,
        frames: &[Frame],
        fates: &[Fate],
        changed: &[Vec<u8>],
    ) -> Sent {
        let mut sent = Sent::default();
        self.verdicts.clear();
        for (frame, fate) in frames.iter().zip(fates) {
            let (verdict, mark) = match (fate, self.options.pass) {
                (Fate::Discard, _) => (NF_DROP, None),
                (_, Pass::Accept) => (NF_ACCEPT, None),
                (_, Pass::Repeat(mark, mask)) => (NF_REPEAT, Some(mark & mask)),
            };
            let changed = match fate {
                Fate::Changed(at) => changed.get(usize::from(*at)),
                _ => None,
            };
            let mut value = [0; 8];
            let (head, id) = value.split_at_mut(4);
            head.copy_from_slice(&verdict.to_be_bytes());
            id.copy_from_slice(&frame.token.to_be_bytes());
            let mark = mark.map(u32::to_be_bytes);
            let mut attributes: Vec<(u16, &[u8])> = vec![(ATTRIBUTE_VERDICT, &value)];
            attributes.extend(mark.as_ref().map(|m| (ATTRIBUTE_MARK, &m[..])));
            attributes.extend(changed.map(|c| (ATTRIBUTE_PAYLOAD, c.as_slice())));
            message(
                &mut self.verdicts,
                (VERDICT, REQUEST),
                (0, self.queue),
                &attributes,
            );
            if *fate != Fate::Discard {
                sent.forwarded += 1;
                sent.bytes += u64::from(frame.slice.len);
            }
        }
        if !self.verdicts.is_empty() && self.socket.send(&self.verdicts).is_err() {
            sent.errors = std::mem::take(&mut sent.forwarded);
        }
        sent
    }

    fn send_on(&mut self, _: &Frame, packet: &[u8]) -> bool {
        self.inject(self.interface, packet)
    }

    fn inject(&mut self, _: u16, packet: &[u8]) -> bool {
        destination(packet).is_some_and(|to| self.raw.send(packet, to).is_ok())
    }

    fn handles(&self) -> Vec<RawFd> {
        vec![self.socket.fd()]
    }

    fn is_ready(&self) -> bool {
        self.socket.is_ready()
    }

    fn arrivals(&mut self) -> Arrivals {
        let text =
            std::fs::read_to_string("/proc/net/netfilter/nfnetlink_queue").unwrap_or_default();
        let now = drops(&text, self.queue).unwrap_or(self.dropped);
        let before = std::mem::replace(&mut self.dropped, now);
        Arrivals {
            frames: 0,
            dropped: now.saturating_sub(before),
        }
    }
}

/// Where an IP packet goes to.
fn destination(packet: &[u8]) -> Option<std::net::IpAddr> {
    match packet.first()? >> 4 {
        4 => Some((*packet.get(16..)?.first_chunk::<4>()?).into()),
        6 => Some((*packet.get(24..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Packets that the kernel dropped because the queue, or the socket, was full: columns 6 and 7 of a queue's line.
fn drops(text: &str, queue: u16) -> Option<u64> {
    let line = text.lines().find_map(|line| {
        let fields: Vec<u64> = line
            .split_whitespace()
            .filter_map(|f| f.parse().ok())
            .collect();
        (fields.first() == Some(&u64::from(queue))).then_some(fields)
    })?;
    Some(line.get(5)? + line.get(6)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_message_is_read_attribute_by_attribute() {
        let mut bytes = Vec::new();
        let header: &[u8] = &[0, 0, 0, 9, 8, 0, 3];
        let time: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7];
        message(
            &mut bytes,
            (PACKET, 0),
            (0, 3),
            &[
                (ATTRIBUTE_HEADER, header),
                (ATTRIBUTE_TIME, time),
                (ATTRIBUTE_INFO, &[0, 0, 0, 3]),
                (ATTRIBUTE_PAYLOAD, b"hello"),
            ],
        );
        assert_eq!(word(&bytes, 0), Some(bytes.len() as u32));
        let packet = queued(&bytes).expect("reads");
        assert_eq!(
            (packet.id, packet.time, packet.payload, packet.info),
            (9, Some((5, 7)), &b"hello"[..], 3)
        );
        for cut in 0..bytes.len() {
            let _ = queued(&bytes[..cut]);
        }
    }

    #[test]
    fn drops_are_those_of_the_queue() {
        let text = "    0  31337     0 2 65531     1     2        9  1\n    3  31338     0 2 65531    40     2       9  1\n";
        assert_eq!(drops(text, 3), Some(42));
        assert_eq!(drops(text, 4), None);
    }
}
