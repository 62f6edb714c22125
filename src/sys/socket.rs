//! What all kinds of sockets share: options, memory maps, waiting, an event counter, interfaces by name.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::NonNull;
use std::time::Duration;

use libc::{c_int, c_void};

/// The result of a system call, as an error when it is one.
pub(super) fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// A new socket.
pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<OwnedFd> {
    // SAFETY: socket takes plain integers; a descriptor it gives is new and owned by nobody else.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sets an option. `T` must be the plain C structure that the option takes.
pub(super) fn set_option<T: Copy>(
    fd: &OwnedFd,
    level: c_int,
    name: c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which the kernel only reads.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast::<c_void>(),
            size_of::<T>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Reads an option that is a plain C structure of integers.
pub(super) fn option<T: Copy>(fd: &OwnedFd, level: c_int, name: c_int) -> io::Result<T> {
    // SAFETY: every `T` used here is plain integers, for which all-zero is valid; the kernel writes at most `len` bytes.
    unsafe {
        let mut value: T = std::mem::zeroed();
        let mut len = size_of::<T>() as libc::socklen_t;
        check(libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast::<c_void>(),
            &raw mut len,
        ))?;
        Ok(value)
    }
}

/// Binds a socket to an address that is a plain C structure.
pub(super) fn bind<T: Copy>(fd: &OwnedFd, address: &T) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `address`, which the kernel only reads.
    check(unsafe {
        libc::bind(
            fd.as_raw_fd(),
            std::ptr::from_ref(address).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Memory shared with the kernel.
#[derive(Debug)]
pub(super) struct Map {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a map is an address range that lives until it is dropped; who may touch which part of it is decided by its users.
unsafe impl Send for Map {}
// SAFETY: as above: `Map` itself reads and writes nothing.
unsafe impl Sync for Map {}

impl Map {
    /// Maps a socket's ring, or anonymous memory when there is no socket.
    pub fn new(fd: Option<&OwnedFd>, len: usize, offset: libc::off_t) -> io::Result<Self> {
        let kind = match fd {
            Some(_) => libc::MAP_SHARED | libc::MAP_POPULATE,
            None => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
        };
        // SAFETY: a new mapping at an address the kernel chooses; nothing existing is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                kind,
                fd.map_or(-1, AsRawFd::as_raw_fd),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }

    /// The address of `T` at `offset`; `None` when it does not lie inside, or is not aligned.
    pub fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len {
            return None;
        }
        // SAFETY: offset is within the mapping, checked above.
        let place = unsafe { self.start.add(offset) }.cast::<T>();
        place.is_aligned().then_some(place)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `new`, and every reference into it borrows from (or shares ownership of) self.
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.len);
        }
    }
}

/// Pause when a descriptor has an error to tell (an interface that is down).
const DOWN: Duration = Duration::from_millis(5);

fn clear_error(fd: RawFd) {
    let mut error: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `error`; a descriptor that is no socket gives an error.
    unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut len,
        );
    }
}

/// Waits until one of the descriptors is readable, at most so long. Says whether one is.
pub fn wait_readable(fds: &[RawFd], timeout: Duration) -> io::Result<bool> {
    const MOST: usize = 16;
    let mut list = [libc::pollfd {
        fd: -1,
        events: libc::POLLIN,
        revents: 0,
    }; MOST];
    for (slot, fd) in list.iter_mut().zip(fds) {
        slot.fd = *fd;
    }
    let time = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    let count = fds.len().min(MOST) as libc::nfds_t;
    // SAFETY: the list has at least `count` entries and outlives the call; descriptors that are not open give POLLNVAL.
    let ready = unsafe { libc::ppoll(list.as_mut_ptr(), count, &raw const time, std::ptr::null()) };
    match check(ready) {
        Ok(0) => Ok(false),
        Ok(_) => {
            let entries = list.get(..fds.len().min(MOST)).unwrap_or(&list);
            let readable = entries.iter().any(|e| e.revents & libc::POLLIN != 0);
            if !readable {
                // An interface that went down: the error stands until it is read, and polling would spin on it.
                for entry in entries.iter().filter(|e| e.revents != 0) {
                    clear_error(entry.fd);
                }
                std::thread::sleep(timeout.min(DOWN));
            }
            Ok(readable)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// A counter in the kernel that wakes whoever polls it.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A new one, at zero.
    pub fn new() -> io::Result<Self> {
        // SAFETY: plain integers in, a new descriptor out.
        unsafe {
            let fd = check(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// Wakes.
    pub fn ring(&self) {
        let one = 1u64;
        // SAFETY: eight bytes are read from `one`.
        unsafe {
            libc::write(self.0.as_raw_fd(), (&raw const one).cast(), 8);
        }
    }

    /// Back to zero.
    pub fn clear(&self) {
        let mut value = 0u64;
        // SAFETY: eight bytes are written into `value`.
        unsafe {
            libc::read(self.0.as_raw_fd(), (&raw mut value).cast(), 8);
        }
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// A socket for echo requests (ping) without raw sockets: the kernel fills in identifier and checksum.
pub fn echo_socket(v6: bool) -> io::Result<OwnedFd> {
    if v6 {
        socket(libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_ICMPV6)
    } else {
        socket(libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP)
    }
}

/// The kernel's number of an interface.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let text = CString::new(name).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: a terminated string that outlives the call.
    match unsafe { libc::if_nametoindex(text.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// Keeps the calling thread on one processor.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    // SAFETY: a cpu_set_t is plain bits; CPU_SET checks its bound.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        check(libc::sched_setaffinity(
            0,
            size_of::<libc::cpu_set_t>(),
            &raw const set,
        ))
        .map(drop)
    }
}
