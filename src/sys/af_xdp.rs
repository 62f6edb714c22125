//! AF_XDP sockets (Documentation/networking/af_xdp.rst): frames between a card's queue and memory of ours.
//!
//! ```text
//!            fill: empty frames ─▶ ┌────────┐ ─▶ receive: frames with packets
//!  UMEM                            │ kernel │
//!            transmit: packets  ─▶ └────────┘ ─▶ completion: frames that have left
//! ```
//!
//! A [`Umem`] is the memory, cut into frames of [`FRAME_BYTES`]. Sockets may share one: then a frame that came in by one
//! port leaves by another without being copied here. A frame is named by its address, an offset into the memory, and is
//! always with exactly one owner: the kernel, or whoever took it from a ring.
//! Why unsafe: rings are memory shared with the kernel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::bpf::XdpProgram;
use super::socket::{Map, bind, interface_index, option, set_option, socket};

/// Bytes of a frame of the UMEM: a packet of up to 3,800 bytes and the kernel's headroom.
pub const FRAME_BYTES: usize = 4096;
/// Entries of each ring.
pub const RING: u32 = 2048;

/// Memory for frames, shared with the kernel.
#[derive(Debug)]
pub struct Umem {
    map: Map,
    frames: usize,
}

/// A packet in the UMEM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Descriptor {
    /// Where it begins.
    pub address: u64,
    /// Its length in bytes.
    pub len: u32,
}

impl Umem {
    /// Memory for so many frames.
    pub fn new(frames: usize) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            map: Map::new(None, frames * FRAME_BYTES, 0)?,
            frames,
        }))
    }

    /// Number of frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Bytes of a packet that is not with the kernel.
    pub fn slice(&self, start: usize, len: usize) -> Option<&[u8]> {
        let first = self.map.at::<u8>(start)?;
        self.map.at::<u8>(start.checked_add(len)?.checked_sub(1)?)?;
        // SAFETY: the range lies inside the map. Frames outside the kernel's rings are written by nobody: owners of a
        // descriptor hand it back only when no reader is left (the module's rule), and `write` is given frames that are
        // with nobody else.
        Some(unsafe { std::slice::from_raw_parts(first.as_ptr(), len) })
    }

    /// Writes a packet into a frame that is with nobody else.
    pub fn write(&self, frame: u64, packet: &[u8]) -> Option<Descriptor> {
        if packet.len() > FRAME_BYTES {
            return None;
        }
        let start = usize::try_from(frame).ok()?;
        let first = self.map.at::<u8>(start)?;
        self.map.at::<u8>(start + FRAME_BYTES - 1)?;
        // SAFETY: a whole frame lies inside the map, the packet is no longer than it, and nobody else has the frame.
        unsafe {
            std::ptr::copy_nonoverlapping(packet.as_ptr(), first.as_ptr(), packet.len());
        }
        Some(Descriptor {
            address: frame,
            len: u32::try_from(packet.len()).ok()?,
        })
    }

    /// Changes two bytes of a packet that is with nobody else (an unfinished checksum).
    pub fn put(&self, at: usize, value: [u8; 2]) {
        if let (Some(one), Some(_)) = (self.map.at::<u8>(at), self.map.at::<u8>(at + 1)) {
            // SAFETY: both bytes lie inside the map; the frame is with the caller alone.
            unsafe {
                one.write(value[0]);
                one.add(1).write(value[1]);
            }
        }
    }
}

/// One of a socket's four rings, shared with the kernel: one side produces, the other consumes.
#[derive(Debug)]
struct Ring {
    map: Map,
    producer: usize,
    consumer: usize,
    flags: usize,
    descriptors: usize,
    mask: u32,
    /// Our own index: of the next entry to write (fill, transmit) or to read (receive, completion).
    next: u32,
    /// The other side's index, as last seen.
    seen: u32,
}

impl Ring {
    fn new(
        fd: &OwnedFd,
        offsets: &libc::xdp_ring_offset,
        entry_bytes: usize,
        page: libc::off_t,
    ) -> io::Result<Self> {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        let len = at(offsets.desc) + RING as usize * entry_bytes;
        Ok(Self {
            map: Map::new(Some(fd), len, page)?,
            producer: at(offsets.producer),
            consumer: at(offsets.consumer),
            flags: at(offsets.flags),
            descriptors: at(offsets.desc),
            mask: RING - 1,
            next: 0,
            seen: 0,
        })
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        static NOTHING: AtomicU32 = AtomicU32::new(0);
        match self.map.at::<AtomicU32>(offset) {
            // SAFETY: inside the map and aligned; both sides touch the word only as a whole.
            Some(word) => unsafe { &*word.as_ptr() },
            None => &NOTHING,
        }
    }

    /// Room for entries that we produce.
    fn room(&mut self) -> u32 {
        let used = self.next.wrapping_sub(self.seen);
        if used < RING / 2 {
            return RING - used;
        }
        self.seen = self.word(self.consumer).load(Ordering::Acquire);
        RING - self.next.wrapping_sub(self.seen)
    }

    /// Entries that wait for us.
    fn waiting(&mut self) -> u32 {
        let left = self.seen.wrapping_sub(self.next);
        if left > 0 {
            return left;
        }
        self.seen = self.word(self.producer).load(Ordering::Acquire);
        self.seen.wrapping_sub(self.next)
    }

    /// Entries that the producer has made, modulo 2^32.
    fn produced(&self) -> u32 {
        self.word(self.producer).load(Ordering::Acquire)
    }

    fn is_ready(&self) -> bool {
        self.produced() != self.next
    }

    /// Writes the next entry. There must be room.
    fn push<T: Copy>(&mut self, entry: T) {
        let at = self.descriptors + (self.next & self.mask) as usize * size_of::<T>();
        if let Some(place) = self.map.at::<T>(at) {
            // SAFETY: inside the map and aligned; between the consumer's index and ours an entry is ours alone.
            unsafe { place.write_volatile(entry) };
        }
        self.next = self.next.wrapping_add(1);
    }

    /// Reads the next entry. One must wait.
    fn pop<T: Copy>(&mut self) -> Option<T> {
        let at = self.descriptors + (self.next & self.mask) as usize * size_of::<T>();
        let place = self.map.at::<T>(at)?;
        self.next = self.next.wrapping_add(1);
        // SAFETY: inside the map and aligned; the producer does not touch an entry before we pass it.
        Some(unsafe { place.read_volatile() })
    }

    fn publish(&self, ours: usize) {
        self.word(ours).store(self.next, Ordering::Release);
    }

    fn needs_wakeup(&self) -> bool {
        self.word(self.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// A socket on one queue of one interface.
#[derive(Debug)]
pub struct XdpSocket {
    fd: OwnedFd,
    umem: Arc<Umem>,
    fill: Ring,
    completion: Ring,
    receive: Ring,
    transmit: Ring,
    zero_copy: bool,
    /// Transmitted and not completed.
    outstanding: u32,
}

impl XdpSocket {
    /// A socket on `queue` of `interface`, over `umem`. `first` is the socket that registered the UMEM; `None`: this one
    /// does. The program then hands it the queue's frames.
    pub fn open(
        interface: &str,
        queue: u32,
        umem: &Arc<Umem>,
        first: Option<&Self>,
        program: &XdpProgram,
    ) -> io::Result<Self> {
        let index = interface_index(interface)?;
        let fd = socket(libc::AF_XDP, libc::SOCK_RAW, 0)?;
        if first.is_none() {
            let start = umem.map.at::<u8>(0).ok_or(io::ErrorKind::OutOfMemory)?;
            // SAFETY: xdp_umem_reg is plain integers, for which all-zero is valid.
            let mut register: libc::xdp_umem_reg = unsafe { std::mem::zeroed() };
            register.addr = start.as_ptr() as u64;
            register.len = (umem.frames * FRAME_BYTES) as u64;
            register.chunk_size = FRAME_BYTES as u32;
            set_option(&fd, libc::SOL_XDP, libc::XDP_UMEM_REG, &register)?;
        }
        for name in [
            libc::XDP_UMEM_FILL_RING,
            libc::XDP_UMEM_COMPLETION_RING,
            libc::XDP_RX_RING,
            libc::XDP_TX_RING,
        ] {
            set_option(&fd, libc::SOL_XDP, name, &RING)?;
        }
        let offsets: libc::xdp_mmap_offsets = option(&fd, libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let page = |offset: u64| offset as libc::off_t;
        let fill = Ring::new(&fd, &offsets.fr, 8, page(libc::XDP_UMEM_PGOFF_FILL_RING))?;
        let completion = Ring::new(
            &fd,
            &offsets.cr,
            8,
            page(libc::XDP_UMEM_PGOFF_COMPLETION_RING),
        )?;
        let receive = Ring::new(&fd, &offsets.rx, 16, libc::XDP_PGOFF_RX_RING)?;
        let transmit = Ring::new(&fd, &offsets.tx, 16, libc::XDP_PGOFF_TX_RING)?;
        let mut address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: 0,
            sxdp_ifindex: index,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        match first {
            Some(first) => {
                address.sxdp_flags = libc::XDP_SHARED_UMEM;
                address.sxdp_shared_umem_fd = first.fd.as_raw_fd() as u32;
                bind(&fd, &address)?;
            }
            None => {
                // Without a copy where the driver can, else with one; never silently: `zero_copy` says which.
                address.sxdp_flags = libc::XDP_ZEROCOPY | libc::XDP_USE_NEED_WAKEUP;
                if bind(&fd, &address).is_err() {
                    address.sxdp_flags = libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP;
                    bind(&fd, &address)?;
                }
            }
        }
        let options: libc::xdp_options = option(&fd, libc::SOL_XDP, libc::XDP_OPTIONS)?;
        program.set_socket(queue, &fd)?;
        Ok(Self {
            fd,
            umem: Arc::clone(umem),
            fill,
            completion,
            receive,
            transmit,
            zero_copy: options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0,
            outstanding: 0,
        })
    }

    /// Whether the card writes into our memory itself.
    pub fn is_zero_copy(&self) -> bool {
        self.zero_copy
    }

    /// The memory.
    pub fn umem(&self) -> &Arc<Umem> {
        &self.umem
    }

    /// Gives empty frames to the kernel; takes them off `free`.
    pub fn refill(&mut self, free: &mut Vec<u64>) {
        let room = self.fill.room().min(RING / 2) as usize;
        let count = room.min(free.len());
        if count == 0 {
            return;
        }
        for frame in free.drain(free.len() - count..) {
            self.fill.push(frame);
        }
        self.fill.publish(self.fill.producer);
        if self.fill.needs_wakeup() {
            self.kick_receive();
        }
    }

    /// Whether packets wait.
    pub fn is_ready(&self) -> bool {
        self.receive.is_ready()
    }

    /// Packets that have come, taken or not, modulo 2^32.
    pub fn arrived(&self) -> u32 {
        self.receive.produced()
    }

    /// The next packet that has come. [`Self::received`] is to be called behind the last.
    pub fn take(&mut self) -> Option<Descriptor> {
        if self.receive.waiting() == 0 {
            return None;
        }
        let entry: libc::xdp_desc = self.receive.pop()?;
        Some(Descriptor {
            address: entry.addr,
            len: entry.len,
        })
    }

    /// Tells the kernel which packets were taken.
    pub fn received(&self) {
        self.receive.publish(self.receive.consumer);
    }

    /// Queues a packet to be sent; false when there is no room. [`Self::flush`] is to be called behind the last.
    pub fn send(&mut self, packet: Descriptor) -> bool {
        if self.transmit.room() == 0 {
            return false;
        }
        self.transmit.push(libc::xdp_desc {
            addr: packet.address,
            len: packet.len,
            options: 0,
        });
        self.outstanding += 1;
        true
    }

    /// Has the kernel send what is queued.
    pub fn flush(&mut self) {
        self.transmit.publish(self.transmit.producer);
        if self.outstanding == 0 {
            return;
        }
        // In copy mode one call sends at most 32 packets.
        for _ in 0..64 {
            // SAFETY: no data is passed; the call only wakes the kernel's side of the ring.
            let result = unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            };
            let consumed = self
                .transmit
                .word(self.transmit.consumer)
                .load(Ordering::Acquire);
            if consumed == self.transmit.next || (result < 0 && !would_block()) {
                break;
            }
        }
    }

    /// Whether packets are queued that the kernel has not taken: it had no room for them when it was asked.
    pub fn has_unsent(&self) -> bool {
        let consumer = self.transmit.word(self.transmit.consumer);
        consumer.load(Ordering::Acquire) != self.transmit.next
    }

    /// Puts frames that have left onto `free`.
    pub fn complete(&mut self, free: &mut Vec<u64>) {
        let waiting = self.completion.waiting();
        for _ in 0..waiting {
            if let Some(address) = self.completion.pop::<u64>() {
                free.push(address / FRAME_BYTES as u64 * FRAME_BYTES as u64);
            }
        }
        if waiting > 0 {
            self.outstanding = self.outstanding.saturating_sub(waiting);
            self.completion.publish(self.completion.consumer);
        }
    }

    fn kick_receive(&self) {
        // SAFETY: no buffer is passed; the call only wakes the kernel's side of the ring.
        unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                std::ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            );
        }
    }

    /// Packets for which there was no room or no frame, since the socket was opened.
    pub fn dropped(&self) -> u64 {
        let stats: libc::xdp_statistics =
            match option(&self.fd, libc::SOL_XDP, libc::XDP_STATISTICS) {
                Ok(stats) => stats,
                Err(_) => return 0,
            };
        stats.rx_dropped + stats.rx_ring_full + stats.rx_fill_ring_empty_descs
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

fn would_block() -> bool {
    let error = io::Error::last_os_error();
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS)
    )
}

/// Number of queues on which an interface receives.
pub fn queues(interface: &str) -> u32 {
    let folder = format!("/sys/class/net/{interface}/queues");
    std::fs::read_dir(folder).map_or(1, |entries| {
        let count = entries
            .flatten()
            .filter(|e| e.file_name().to_string_lossy().starts_with("rx-"))
            .count();
        u32::try_from(count).unwrap_or(1).max(1)
    })
}
