//! AF_PACKET sockets (packet(7), Documentation/networking/packet_mmap.rst).
//!
//! Two ways in. [`BlockReceiver`]: TPACKET_V3, the kernel fills blocks of many frames, a block is lent to the workers and
//! goes back when the last of them drops it; nothing is copied. [`SlotReceiver`]: TPACKET_V2, a frame is there as soon as
//! it has arrived, which is what forwarding wants.
//! Why unsafe: rings are memory that the kernel writes; a status word says whose turn it is.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::socket::{Map, bind, interface_index, option, set_option, socket};

/// How several sockets share an interface's frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fanout {
    /// By flow, both directions alike; fragments are put together for the choice.
    #[default]
    Hash,
    /// By the card's queue.
    Queue,
    /// By the processor that took the interrupt.
    Cpu,
}

/// How a socket is opened.
#[derive(Clone, Debug)]
pub struct PacketOptions {
    /// Group of sockets that share the frames, and how; `None`: this socket alone.
    pub fanout: Option<(u16, Fanout)>,
    /// See frames for other hosts too.
    pub promiscuous: bool,
    /// Do not see what this machine sends (inline: what is sent on).
    pub ignore_outgoing: bool,
    /// Bytes of a block, a power of two of at least a page (V3), or of a slot (V2).
    pub unit_bytes: u32,
    /// Number of blocks or slots.
    pub units: u32,
    /// Milliseconds after which a block that is not full is handed over (V3).
    pub timeout_ms: u32,
    /// Times by the card's clock, for frames whose time the card has noted (V3; [`super::interface::note_times`]).
    pub card_times: bool,
}

impl Default for PacketOptions {
    fn default() -> Self {
        Self {
            fanout: None,
            promiscuous: true,
            ignore_outgoing: false,
            unit_bytes: 1 << 18,
            units: 64,
            timeout_ms: 4,
            card_times: false,
        }
    }
}

/// What the kernel counted since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// Frames that came for the socket, dropped ones too.
    pub packets: u64,
    /// Frames for which there was no room.
    pub drops: u64,
}

/// Bytes kept free before each frame, for a VLAN tag that the kernel took out.
pub const VLAN_ROOM: u32 = 4;
/// Length of the kernel's note on checksum and segmentation before a frame (virtio_net_hdr).
pub const VNET_HEADER: usize = 10;

const ETH_P_ALL: u16 = 3;

fn open(
    interface: u32,
    version: libc::tpacket_versions,
    options: &PacketOptions,
) -> io::Result<OwnedFd> {
    // Protocol 0: nothing is received before the ring stands.
    let fd = socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
    let level = libc::SOL_PACKET;
    set_option(&fd, level, libc::PACKET_VERSION, &(version as libc::c_int))?;
    set_option(&fd, level, libc::PACKET_RESERVE, &VLAN_ROOM)?;
    if options.ignore_outgoing {
        set_option(&fd, level, libc::PACKET_IGNORE_OUTGOING, &1i32)?;
    }
    if options.card_times {
        let by = libc::SOF_TIMESTAMPING_RAW_HARDWARE as libc::c_int;
        set_option(&fd, level, libc::PACKET_TIMESTAMP, &by)?;
    }
    if options.promiscuous {
        let request = libc::packet_mreq {
            mr_ifindex: interface as i32,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(&fd, level, libc::PACKET_ADD_MEMBERSHIP, &request)?;
    }
    Ok(fd)
}

/// Begins to receive: the interface is bound, and the group of sockets joined.
fn start(fd: &OwnedFd, interface: u32, options: &PacketOptions) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain integers, for which all-zero is valid.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = interface as i32;
    bind(fd, &address)?;
    if let Some((group, how)) = options.fanout {
        let kind = match how {
            // Inline, fragments are to leave as they came.
            Fanout::Hash if options.ignore_outgoing => libc::PACKET_FANOUT_HASH,
            Fanout::Hash => libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG,
            Fanout::Queue => libc::PACKET_FANOUT_QM,
            Fanout::Cpu => libc::PACKET_FANOUT_CPU,
        };
        let value = u32::from(group) | kind << 16;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_FANOUT, &value)?;
    }
    Ok(())
}

fn counts(fd: &OwnedFd) -> PacketCounts {
    let stats: libc::tpacket_stats_v3 = match option(fd, libc::SOL_PACKET, libc::PACKET_STATISTICS)
    {
        Ok(stats) => stats,
        Err(_) => return PacketCounts::default(),
    };
    PacketCounts {
        packets: stats.tp_packets.into(),
        drops: stats.tp_drops.into(),
    }
}

/// A ring of blocks, and the socket it belongs to.
#[derive(Debug)]
struct BlockRing {
    fd: OwnedFd,
    map: Map,
    block_bytes: usize,
    /// Per block: whether it is with the workers.
    lent: Vec<AtomicBool>,
}

/// Receives blocks of frames.
#[derive(Debug)]
pub struct BlockReceiver {
    ring: Arc<BlockRing>,
    next: usize,
}

/// A block of frames, owned until it is dropped: then the kernel may fill it again.
#[derive(Debug)]
pub struct Block {
    ring: Arc<BlockRing>,
    index: usize,
    len: usize,
}

impl BlockReceiver {
    /// Opens an interface.
    pub fn open(interface: &str, options: &PacketOptions) -> io::Result<Self> {
        let index = interface_index(interface)?;
        let fd = open(index, libc::tpacket_versions::TPACKET_V3, options)?;
        let request = libc::tpacket_req3 {
            tp_block_size: options.unit_bytes,
            tp_block_nr: options.units,
            tp_frame_size: 2048,
            tp_frame_nr: options.unit_bytes / 2048 * options.units,
            tp_retire_blk_tov: options.timeout_ms,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set_option(&fd, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)?;
        let block_bytes = options.unit_bytes as usize;
        let map = Map::new(Some(&fd), block_bytes * options.units as usize, 0)?;
        start(&fd, index, options)?;
        Ok(Self {
            ring: Arc::new(BlockRing {
                fd,
                map,
                block_bytes,
                lent: (0..options.units).map(|_| AtomicBool::new(false)).collect(),
            }),
            next: 0,
        })
    }

    /// The next block, when the kernel has handed one over and the workers have returned it from its last use.
    pub fn take(&mut self) -> Option<Block> {
        let lent = self.ring.lent.get(self.next)?;
        if lent.load(Ordering::Acquire) {
            return None;
        }
        let status = self.ring.status(self.next)?;
        if status.load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        lent.store(true, Ordering::Relaxed);
        let mut block = Block {
            ring: Arc::clone(&self.ring),
            index: self.next,
            len: self.ring.block_bytes,
        };
        // blk_len: bytes of the block that are in use (offset 20 of the block's descriptor).
        let used = block.bytes().get(20..24).and_then(|b| b.first_chunk());
        block.len = used
            .map_or(0, |b| u32::from_ne_bytes(*b) as usize)
            .min(block.len);
        self.next = (self.next + 1) % self.ring.lent.len().max(1);
        Some(block)
    }

    /// What the kernel counted since the last call.
    pub fn counts(&self) -> PacketCounts {
        counts(&self.ring.fd)
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.ring.fd.as_raw_fd()
    }

    /// Restricts what is received to a program of classic BPF instructions (code, jt, jf, k).
    pub fn filter(&self, program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
        attach_filter(&self.ring.fd, program)
    }
}

fn attach_filter(fd: &OwnedFd, program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k })
        .collect();
    let filter = libc::sock_fprog {
        len: u16::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: code.as_mut_ptr(),
    };
    set_option(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &filter)
}

impl BlockRing {
    /// The status word of a block (offset 8 of its descriptor).
    fn status(&self, index: usize) -> Option<&AtomicU32> {
        let at = self
            .map
            .at::<AtomicU32>(index.checked_mul(self.block_bytes)? + 8)?;
        // SAFETY: inside the map and aligned; the kernel and we touch this word only as a whole.
        Some(unsafe { at.as_ref() })
    }

    fn start(&self, index: usize) -> Option<NonNull<u8>> {
        self.map.at::<u8>(index.checked_mul(self.block_bytes)?)
    }
}

impl Block {
    /// All its bytes, with the kernel's headers.
    pub fn bytes(&self) -> &[u8] {
        match self.ring.start(self.index) {
            // SAFETY: between taking and dropping the block its bytes are ours: the kernel writes to a block only while its
            // status says KERNEL, and `lent` keeps it from being taken twice. `len` is at most a block.
            Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) },
            None => &[],
        }
    }

    /// The same, to put VLAN tags back where they were on the wire.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        match self.ring.start(self.index) {
            // SAFETY: as above, and `&mut self` makes this the only view.
            Some(start) => unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(status) = self.ring.status(self.index) {
            status.store(libc::TP_STATUS_KERNEL, Ordering::Release);
        }
        // After the status: who sees the block as not lent also sees that the kernel has it.
        if let Some(lent) = self.ring.lent.get(self.index) {
            lent.store(false, Ordering::Release);
        }
    }
}

/// A frame in a slot, while it is looked at.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Its bytes, without a VLAN tag that the kernel took out.
    pub bytes: &'a [u8],
    /// The kernel's note on checksum and segmentation (virtio_net_hdr).
    pub offload: &'a [u8],
    /// The tag that was taken out: ethertype and tag control information.
    pub vlan: Option<[u8; 4]>,
    /// When it came: seconds and nanoseconds since the epoch.
    pub time: (u32, u32),
    /// Its length on the wire; more than `bytes` when there was no room for all of it.
    pub original_len: u32,
    /// Whether its sender left the checksum to a card.
    pub unfinished: bool,
}

/// Receives frames one by one, as they come, and sends.
#[derive(Debug)]
pub struct SlotReceiver {
    fd: OwnedFd,
    map: Map,
    slot_bytes: usize,
    slots: usize,
    next: usize,
    /// For frames larger than a slot (segments that a card has joined).
    large: Vec<u8>,
}

/// Largest frame: an IPv4 or IPv6 packet of 64 KiB, its link header, and the kernel's note.
const LARGE: usize = (1 << 16) + 256;
/// Bytes of frames larger than a slot that may wait in the kernel.
const LARGE_WAITING: i32 = 8 << 20;

impl SlotReceiver {
    /// Opens an interface. `options.unit_bytes` is a power of two.
    pub fn open(interface: &str, options: &PacketOptions) -> io::Result<Self> {
        let index = interface_index(interface)?;
        let fd = open(index, libc::tpacket_versions::TPACKET_V2, options)?;
        let level = libc::SOL_PACKET;
        set_option(&fd, level, libc::PACKET_VNET_HDR, &1i32)?;
        set_option(&fd, level, libc::PACKET_COPY_THRESH, &1i32)?;
        // FORCE needs CAP_NET_ADMIN; without it the kernel's limit applies, and large frames are dropped sooner.
        if set_option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &LARGE_WAITING).is_err() {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &LARGE_WAITING)?;
        }
        if set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, &LARGE_WAITING).is_err() {
            set_option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, &LARGE_WAITING)?;
        }
        let slot = options.unit_bytes.max(2048);
        let block = slot.max(1 << 16);
        let blocks = (slot.saturating_mul(options.units) / block).max(1);
        let slots = block / slot * blocks;
        let request = libc::tpacket_req {
            tp_block_size: block,
            tp_block_nr: blocks,
            tp_frame_size: slot,
            tp_frame_nr: slots,
        };
        set_option(&fd, level, libc::PACKET_RX_RING, &request)?;
        let map = Map::new(Some(&fd), block as usize * blocks as usize, 0)?;
        start(&fd, index, options)?;
        Ok(Self {
            fd,
            map,
            slot_bytes: slot as usize,
            slots: slots as usize,
            next: 0,
            large: vec![0; LARGE],
        })
    }

    fn status(&self) -> Option<&AtomicU32> {
        let at = self.map.at::<AtomicU32>(self.next * self.slot_bytes)?;
        // SAFETY: inside the map and aligned; the kernel and we touch this word only as a whole.
        Some(unsafe { at.as_ref() })
    }

    /// Whether a frame waits.
    pub fn is_ready(&self) -> bool {
        self.status()
            .is_some_and(|s| s.load(Ordering::Acquire) & libc::TP_STATUS_USER != 0)
    }

    /// Lets `look` see the next frame, if there is one, and gives its slot back.
    pub fn take<R>(&mut self, look: impl FnOnce(Arrived<'_>) -> R) -> Option<R> {
        let status = self.status()?.load(Ordering::Acquire);
        if status & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let start = self.map.at::<u8>(self.next * self.slot_bytes)?;
        // SAFETY: the slot is ours until its status says KERNEL again, which happens below, after the last use.
        let slot = unsafe { std::slice::from_raw_parts(start.as_ptr(), self.slot_bytes) };
        let word = |i: usize| {
            slot.get(i..)
                .and_then(|b| b.first_chunk())
                .map_or(0, |b| u32::from_ne_bytes(*b))
        };
        let half = |i: usize| {
            slot.get(i..)
                .and_then(|b| b.first_chunk())
                .map_or(0, |b| u16::from_ne_bytes(*b))
        };
        // tpacket2_hdr: 4 len | 8 snaplen | 12 mac | 14 net | 16 sec | 20 nsec | 24 vlan tci | 26 vlan tpid
        let (len, caught, mac) = (word(4), word(8) as usize, usize::from(half(12)));
        let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID == 0 {
            0x8100
        } else {
            half(26)
        };
        let ([t0, t1], [c0, c1]) = (tpid.to_be_bytes(), half(24).to_be_bytes());
        let mut bytes = slot
            .get(mac..)
            .map_or(&[][..], |b| b.get(..caught).unwrap_or(b));
        let mut offload = mac
            .checked_sub(VNET_HEADER)
            .and_then(|at| slot.get(at..mac))
            .unwrap_or(&[0; VNET_HEADER]);
        if status & libc::TP_STATUS_COPY != 0 {
            // SAFETY: the buffer is as long as said; the kernel writes at most that much.
            let got = unsafe {
                libc::recv(
                    self.fd.as_raw_fd(),
                    self.large.as_mut_ptr().cast(),
                    self.large.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            let got = usize::try_from(got).unwrap_or(0);
            if let Some((note, frame)) = self
                .large
                .get(..got)
                .and_then(|b| b.split_at_checked(VNET_HEADER))
            {
                (offload, bytes) = (note, frame);
            }
        }
        let result = look(Arrived {
            bytes,
            offload,
            vlan: (status & libc::TP_STATUS_VLAN_VALID != 0).then_some([t0, t1, c0, c1]),
            time: (word(16), word(20)),
            original_len: len,
            unfinished: status & libc::TP_STATUS_CSUMNOTREADY != 0,
        });
        self.status()?
            .store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.slots.max(1);
        Some(result)
    }

    /// Sends frames out of the interface, each with the kernel's note in front. Gives how many were taken.
    pub fn send(&self, frames: &[&[u8]]) -> usize {
        let mut parts: Vec<libc::iovec> = frames
            .iter()
            .map(|frame| libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            })
            .collect();
        let mut messages: Vec<libc::mmsghdr> = parts
            .iter_mut()
            .map(|part| {
                // SAFETY: msghdr is integers and pointers, for which all-zero is valid (no address, no control data).
                let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
                header.msg_hdr.msg_iov = part;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
        // SAFETY: each message points to one part, each part to a frame; all outlive the call, which only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT,
            )
        };
        usize::try_from(sent).unwrap_or(0)
    }

    /// What the kernel counted since the last call.
    pub fn counts(&self) -> PacketCounts {
        counts(&self.fd)
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Restricts what is received to a program of classic BPF instructions (code, jt, jf, k).
    pub fn filter(&self, program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
        attach_filter(&self.fd, program)
    }
}

impl crate::packet::Lent for Block {
    fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        self.bytes().get(start..)?.get(..len)
    }
}
