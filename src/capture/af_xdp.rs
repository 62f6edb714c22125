//! AF_XDP: frames of one queue straight from the driver, listened to ([`AfXdp`]) or passed through ([`XdpBridge`]).
//!
//! Frames stay where the card (or the kernel) put them until the workers are done with them. On a bridge the two ports
//! share that memory: a frame that goes on is sent from where it lies. A frame that a stuck worker still reads is copied
//! before it is sent, and its memory waits until the worker has let go.
//! AF_XDP gives no times: a batch carries that of its arrival here. A veth or virtio peer leaves checksums to a card that
//! is not there; what holds only the pseudo-header's sum is completed before anybody looks at it (both the sensor and the
//! receiver then see the same).
//! Limits: [`UMEM_FRAMES`] frames of 4 KiB a socket pair; frames of more than 3,800 bytes do not come.

use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::bridge::{Bridge, Fate, Sent};
use super::{Arrivals, CaptureError, Fault, Frame, FrameBatch, Source};
use crate::packet::{FrameBytes, Lent, LinkType, Slice, Timestamp};
use crate::sys::af_xdp::{Descriptor, FRAME_BYTES, RING, Umem, XdpSocket};
use crate::sys::bpf::XdpProgram;
use crate::sys::wait_readable;

/// Frames of a UMEM: 64 MiB.
const UMEM_FRAMES: usize = 16_384;
/// Longest wait for a frame.
const WAIT: Duration = Duration::from_millis(50);

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(since.as_secs(), since.subsec_nanos())
}

fn all_frames() -> Vec<u64> {
    (0..UMEM_FRAMES as u64)
        .map(|n| n * FRAME_BYTES as u64)
        .collect()
}

/// The frame of the UMEM that an address lies in.
fn frame_of(address: u64) -> u64 {
    address / FRAME_BYTES as u64 * FRAME_BYTES as u64
}

fn as_frame(packet: Descriptor, interface: u16, ts: Timestamp) -> Frame {
    Frame {
        slice: Slice {
            start: packet.address,
            len: packet.len,
            extra: false,
        },
        ts,
        link: LinkType::ETHERNET,
        interface,
        original_len: packet.len,
        unfinished: false,
        token: 0,
    }
}

/// Frames that come back when the last worker has let go of a batch.
#[derive(Debug)]
struct Batch {
    umem: Arc<Umem>,
    frames: Vec<u64>,
    home: Arc<Mutex<Vec<u64>>>,
}

impl Lent for Batch {
    fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        self.umem.slice(start, len)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Ok(mut home) = self.home.lock() {
            home.append(&mut self.frames);
        }
    }
}

/// One queue of an interface, listened to. What it receives does not reach the kernel's stack.
#[derive(Debug)]
pub struct AfXdp {
    socket: XdpSocket,
    _program: Arc<XdpProgram>,
    interface: u16,
    free: Vec<u64>,
    home: Arc<Mutex<Vec<u64>>>,
    arrived: u32,
    dropped: u64,
    finish: bool,
    name: String,
}

impl AfXdp {
    /// Listens to a queue; its frames carry the number `interface`.
    pub fn open(
        name: &str,
        queue: u32,
        interface: u16,
        program: &Arc<XdpProgram>,
    ) -> std::io::Result<Self> {
        let umem = Umem::new(UMEM_FRAMES)?;
        let mut socket = XdpSocket::open(name, queue, &umem, None, program)?;
        let mut free = all_frames();
        socket.refill(&mut free);
        Ok(Self {
            socket,
            _program: Arc::clone(program),
            interface,
            free,
            home: Arc::new(Mutex::new(Vec::with_capacity(UMEM_FRAMES))),
            arrived: 0,
            dropped: 0,
            finish: leaves_checksums(name),
            name: name.to_owned(),
        })
    }

    /// Whether the card writes into our memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.socket.is_zero_copy()
    }
}

impl Source for AfXdp {
    fn fill(&mut self, batch: &mut FrameBatch, max: usize) -> Result<bool, CaptureError> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        if let Ok(mut home) = self.home.lock() {
            self.free.append(&mut home);
        }
        self.socket.refill(&mut self.free);
        if !self.socket.is_ready() {
            wait_readable(&[self.socket.fd()], WAIT).map_err(|error| CaptureError {
                path: self.name.clone().into(),
                offset: 0,
                fault: Fault::Io(error),
            })?;
        }
        let ts = now();
        let mut frames = Vec::with_capacity(max);
        while batch.frames.len() < max {
            let Some(packet) = self.socket.take() else {
                break;
            };
            if self.finish {
                finish_checksum(self.socket.umem(), packet);
            }
            frames.push(frame_of(packet.address));
            batch.frames.push(as_frame(packet, self.interface, ts));
        }
        if frames.is_empty() {
            return Ok(true);
        }
        self.socket.received();
        batch.bytes = FrameBytes::Lent(Arc::new(Batch {
            umem: Arc::clone(self.socket.umem()),
            frames,
            home: Arc::clone(&self.home),
        }));
        Ok(true)
    }

    fn arrivals(&mut self) -> Arrivals {
        let before = std::mem::replace(&mut self.dropped, self.socket.dropped());
        let dropped = self.dropped.saturating_sub(before);
        let before = std::mem::replace(&mut self.arrived, self.socket.arrived());
        Arrivals {
            frames: u64::from(self.arrived.wrapping_sub(before)) + dropped,
            dropped,
        }
    }
}

/// What a batch of a bridge is read through.
#[derive(Debug)]
struct View(Arc<Umem>);

impl Lent for View {
    fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        self.0.slice(start, len)
    }
}

/// One queue of two ports, joined.
#[derive(Debug)]
pub struct XdpBridge {
    umem: Arc<Umem>,
    sockets: [XdpSocket; 2],
    _programs: [Arc<XdpProgram>; 2],
    interfaces: [u16; 2],
    free: Vec<u64>,
    /// Frames that a worker still reads although they have been sent.
    limbo: Vec<(Arc<dyn Lent>, Vec<u64>)>,
    dropped: u64,
    finish: [bool; 2],
    turn: usize,
}

impl std::fmt::Debug for dyn Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lent")
    }
}

impl XdpBridge {
    /// Joins a queue of two ports; `interfaces` are the numbers that their frames carry.
    pub fn open(
        names: [&str; 2],
        queue: u32,
        interfaces: [u16; 2],
        programs: [&Arc<XdpProgram>; 2],
    ) -> std::io::Result<Self> {
        let umem = Umem::new(UMEM_FRAMES)?;
        let [one, other] = names;
        let [program, program_other] = programs;
        let context = |name: &str, e: std::io::Error| {
            std::io::Error::new(e.kind(), format!("{name} queue {queue}: {e}"))
        };
        let mut first =
            XdpSocket::open(one, queue, &umem, None, program).map_err(|e| context(one, e))?;
        let mut second = XdpSocket::open(other, queue, &umem, Some(&first), program_other)
            .map_err(|e| context(other, e))?;
        let mut free = all_frames();
        for socket in [&mut first, &mut second] {
            socket.refill(&mut free);
            socket.refill(&mut free);
        }
        Ok(Self {
            umem,
            sockets: [first, second],
            _programs: programs.map(Arc::clone),
            interfaces,
            free,
            limbo: Vec::new(),
            dropped: 0,
            finish: names.map(leaves_checksums),
            turn: 0,
        })
    }

    /// Whether the cards work on our memory themselves.
    pub fn is_zero_copy(&self) -> bool {
        self.sockets.iter().all(XdpSocket::is_zero_copy)
    }

    fn recycle(&mut self) {
        for socket in &mut self.sockets {
            // What the kernel had no room for (a port whose other end is behind) is offered again, whether or not more
            // comes: nobody else would.
            if socket.has_unsent() {
                socket.flush();
            }
            socket.complete(&mut self.free);
            socket.refill(&mut self.free);
        }
        let free = &mut self.free;
        self.limbo.retain_mut(|(view, frames)| {
            let read = Arc::strong_count(view) > 1;
            if !read {
                free.append(frames);
            }
            read
        });
    }

    fn send_copy(&mut self, port: usize, packet: &[u8]) -> bool {
        if self.free.is_empty() {
            self.recycle();
        }
        let Some(frame) = self.free.pop() else {
            return false;
        };
        let sent = self
            .umem
            .write(frame, packet)
            .is_some_and(|d| self.sockets.get_mut(port).is_some_and(|s| s.send(d)));
        if !sent {
            self.free.push(frame);
        }
        sent
    }
}

impl Bridge for XdpBridge {
    fn receive(&mut self, batch: &mut FrameBatch, max: usize) -> std::io::Result<()> {
        batch.frames.clear();
        batch.bytes = FrameBytes::Empty;
        self.recycle();
        let ts = now();
        let mut misses = 0;
        while batch.frames.len() < max && misses < 2 {
            let at = self.turn;
            self.turn = 1 - self.turn;
            let (Some(socket), Some(interface)) =
                (self.sockets.get_mut(at), self.interfaces.get(at))
            else {
                break;
            };
            let Some(packet) = socket.take() else {
                misses += 1;
                continue;
            };
            misses = 0;
            if self.finish.get(at) == Some(&true) {
                finish_checksum(&self.umem, packet);
            }
            batch.frames.push(as_frame(packet, *interface, ts));
        }
        if !batch.frames.is_empty() {
            for socket in &self.sockets {
                socket.received();
            }
            batch.bytes = FrameBytes::Lent(Arc::new(View(Arc::clone(&self.umem))));
        }
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
        let FrameBytes::Lent(view) = bytes else {
            return sent;
        };
        // Ours is one; any other is a worker's that has not let go.
        let read = Arc::strong_count(view) > 1;
        let mut held = Vec::new();
        for (frame, fate) in frames.iter().zip(fates) {
            let home = frame_of(frame.slice.start);
            let port = usize::from(self.interfaces.first() == Some(&frame.interface));
            let changed = match fate {
                Fate::Changed(at) => changed.get(usize::from(*at)).map(Vec::as_slice),
                _ => None,
            };
            if read || changed.is_some() {
                if read {
                    held.push(home);
                } else {
                    self.free.push(home);
                }
                if *fate != Fate::Discard {
                    let packet = bytes.slice(frame.slice.start, frame.slice.len);
                    let packet = changed.unwrap_or(packet);
                    let done = self.send_copy(port, packet);
                    sent.forwarded += u64::from(done);
                    sent.errors += u64::from(!done);
                }
                continue;
            }
            if *fate == Fate::Discard {
                self.free.push(home);
                continue;
            }
            let packet = Descriptor {
                address: frame.slice.start,
                len: frame.slice.len,
            };
            let Some(socket) = self.sockets.get_mut(port) else {
                continue;
            };
            let mut done = socket.send(packet);
            if !done {
                socket.flush();
                socket.complete(&mut self.free);
                done = socket.send(packet);
            }
            if done {
                sent.forwarded += 1;
                sent.bytes += u64::from(packet.len);
            } else {
                sent.errors += 1;
                self.free.push(home);
            }
        }
        if !held.is_empty() {
            self.limbo.push((Arc::clone(view), held));
        }
        for socket in &mut self.sockets {
            socket.flush();
        }
        self.recycle();
        sent
    }

    fn send_on(&mut self, frame: &Frame, packet: &[u8]) -> bool {
        let [one, other] = self.interfaces;
        let out = if frame.interface == one { other } else { one };
        self.inject(out, packet)
    }

    fn inject(&mut self, interface: u16, packet: &[u8]) -> bool {
        let Some(port) = self.interfaces.iter().position(|i| *i == interface) else {
            return false;
        };
        let sent = self.send_copy(port, packet);
        if let Some(socket) = self.sockets.get_mut(port) {
            socket.flush();
        }
        sent
    }

    fn handles(&self) -> Vec<RawFd> {
        self.sockets.iter().map(XdpSocket::fd).collect()
    }

    fn is_ready(&self) -> bool {
        self.sockets.iter().any(XdpSocket::is_ready)
    }

    fn arrivals(&mut self) -> Arrivals {
        let now = self.sockets.iter().map(XdpSocket::dropped).sum();
        let before = std::mem::replace(&mut self.dropped, now);
        Arrivals {
            frames: 0,
            dropped: now.saturating_sub(before),
        }
    }
}

/// Whether frames may come with checksums left to a card: interfaces without a card behind them, and virtio.
fn leaves_checksums(interface: &str) -> bool {
    let device = std::path::Path::new("/sys/class/net")
        .join(interface)
        .join("device");
    let driver = std::fs::read_link(device.join("driver"));
    !device.exists() || driver.is_ok_and(|d| d.ends_with("virtio_net"))
}

/// Completes a TCP or UDP checksum that holds only the pseudo-header's sum (RFC 1071). A checksum that is right although
/// it looks so stays right: then the rest sums up to nothing.
fn finish_checksum(umem: &Umem, packet: Descriptor) {
    let Ok(start) = usize::try_from(packet.address) else {
        return;
    };
    let Some((at, value)) = umem
        .slice(start, packet.len as usize)
        .and_then(unfinished_checksum)
    else {
        return;
    };
    umem.put(start + at, value);
}

/// Where an unfinished checksum stands in a frame, and what it must be.
fn unfinished_checksum(frame: &[u8]) -> Option<(usize, [u8; 2])> {
    let mut at = 12;
    let mut ethertype = *frame.get(at..)?.first_chunk::<2>()?;
    if matches!(ethertype, [0x81, 0x00] | [0x88, 0xa8]) {
        at += 4;
        ethertype = *frame.get(at..)?.first_chunk::<2>()?;
    }
    let ip = at + 2;
    let (proto, transport, end, addresses) = match ethertype {
        [0x08, 0x00] => {
            let header = frame.get(ip..)?.first_chunk::<20>()?;
            // A fragment's checksum cannot be completed.
            if header[6] & 0x3f != 0 || header[7] != 0 {
                return None;
            }
            let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
            let len = usize::from(header[0] & 15) * 4;
            (
                header[9],
                ip + len,
                ip + total,
                frame.get(ip + 12..ip + 20)?,
            )
        }
        [0x86, 0xdd] => {
            let header = frame.get(ip..)?.first_chunk::<40>()?;
            let total = usize::from(u16::from_be_bytes([header[4], header[5]]));
            (
                header[6],
                ip + 40,
                ip + 40 + total,
                frame.get(ip + 8..ip + 40)?,
            )
        }
        _ => return None,
    };
    let field = transport
        + match proto {
            6 => 16,
            17 => 6,
            _ => return None,
        };
    let segment = frame.get(transport..end)?;
    let pseudo = sum(addresses) + u64::from(proto) + segment.len() as u64;
    let held = u16::from_be_bytes(*frame.get(field..)?.first_chunk::<2>()?);
    if held == 0 || fold(pseudo) != held {
        return None;
    }
    // The field itself holds the pseudo-header's sum, so that the sum over the segment is the sum over both.
    let value = match !fold(sum(segment)) {
        0 if proto == 17 => 0xffff,
        value => value,
    };
    Some((field, value.to_be_bytes()))
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .chunks(2)
        .map(|pair| match pair {
            [a, b] => u64::from(u16::from_be_bytes([*a, *b])),
            [a] => u64::from(u16::from_be_bytes([*a, 0])),
            _ => 0,
        })
        .sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Frames that the four rings of two ports hold at most must leave some for those in flight.
const _: () = assert!(UMEM_FRAMES > 4 * RING as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        etherparse::PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 60)
            .tcp(1000, 80, 77, 500)
            .write(&mut out, payload)
            .expect("writes");
        out
    }

    #[test]
    fn a_checksum_left_to_a_card_is_completed_and_others_are_left_alone() {
        for payload in [&b"GET / HTTP/1.0\r\n\r\n"[..], b"odd"] {
            let whole = tcp(payload);
            assert_eq!(unfinished_checksum(&whole), None);
            let mut bare = whole.clone();
            let pseudo = fold(sum(&bare[26..34]) + 6 + (bare.len() - 34) as u64);
            bare[50..52].copy_from_slice(&pseudo.to_be_bytes());
            let (at, value) = unfinished_checksum(&bare).expect("unfinished");
            bare[at..at + 2].copy_from_slice(&value);
            assert_eq!(bare, whole);
            bare[50] ^= 0x55;
            assert_eq!(unfinished_checksum(&bare), None);
        }
        assert_eq!(unfinished_checksum(&tcp(b"")[..40]), None);
    }
}
