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
    /// Do not see what this machine sends.
    pub ignore_outgoing: bool,
    /// Bytes of a block, a power of two of at least a page (V3), or of a slot (V2).
    pub unit_bytes: u32,
    /// Number of blocks or slots.
    pub units: u32,
    /// Milliseconds after which a block that is not full is handed over (V3).
    pub timeout_ms: u32,
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

impl crate::packet::Lent for Block {
    fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        self.bytes().get(start..)?.get(..len)
    }
}
