//! libpcap, when it is there: filters in tcpdump's language, and capture from whatever it can open. It is loaded at run
//! time, so that only who uses it needs it.
//!
//! Why unsafe: a C library whose functions are looked up by name. Source: pcap(3PCAP) and its pages.
//! Limits: frames of [`SNAPLEN`] bytes.

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uchar, c_uint, c_void};
use std::os::fd::RawFd;
use std::sync::OnceLock;

/// `struct bpf_program` of pcap/bpf.h.
#[repr(C)]
struct Program {
    len: c_uint,
    instructions: *const Instruction,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u16,
    jt: u8,
    jf: u8,
    k: u32,
}

/// `struct pcap_pkthdr`: with PCAP_TSTAMP_PRECISION_NANO the second word counts nanoseconds.
#[repr(C)]
struct PacketHeader {
    secs: c_long,
    nanos: c_long,
    caplen: u32,
    len: u32,
}

/// `struct pcap_stat`.
#[repr(C)]
#[derive(Default)]
struct Statistics {
    received: c_uint,
    dropped: c_uint,
    dropped_by_interface: c_uint,
}

type Handle = *mut c_void;

/// Longest frame (libpcap's MAXIMUM_SNAPLEN).
pub const SNAPLEN: c_int = 262_144;
/// PCAP_ERRBUF_SIZE
const ERROR_BYTES: usize = 256;
/// PCAP_TSTAMP_PRECISION_NANO
const NANO: c_int = 1;

/// Makes [`Library`] out of fields, their types and the names of the functions.
macro_rules! library {
    ($($field:ident: $signature:ty = $name:literal,)*) => {
        /// The functions that are used, found once.
        struct Library {
            $($field: $signature,)*
        }

        impl Library {
            /// Takes the functions from where `find` says they are.
            ///
            /// # Safety
            /// `find` must give pointers that are valid for good, to functions of the types written here.
            unsafe fn found(find: impl Fn(&CStr) -> Result<*mut c_void, String>) -> Result<Self, String> {
                Ok(Self {
                    // SAFETY: the caller's promise.
                    $($field: unsafe { std::mem::transmute::<*mut c_void, $signature>(find($name)?) },)*
                })
            }
        }
    };
}

library! {
    open_dead: unsafe extern "C" fn(c_int, c_int) -> Handle = c"pcap_open_dead",
    compile: unsafe extern "C" fn(Handle, *mut Program, *const c_char, c_int, c_uint) -> c_int = c"pcap_compile",
    set_filter: unsafe extern "C" fn(Handle, *mut Program) -> c_int = c"pcap_setfilter",
    free_code: unsafe extern "C" fn(*mut Program) = c"pcap_freecode",
    error: unsafe extern "C" fn(Handle) -> *const c_char = c"pcap_geterr",
    close: unsafe extern "C" fn(Handle) = c"pcap_close",
    create: unsafe extern "C" fn(*const c_char, *mut c_char) -> Handle = c"pcap_create",
    set_snaplen: unsafe extern "C" fn(Handle, c_int) -> c_int = c"pcap_set_snaplen",
    set_promiscuous: unsafe extern "C" fn(Handle, c_int) -> c_int = c"pcap_set_promisc",
    set_timeout: unsafe extern "C" fn(Handle, c_int) -> c_int = c"pcap_set_timeout",
    set_buffer: unsafe extern "C" fn(Handle, c_int) -> c_int = c"pcap_set_buffer_size",
    set_precision: unsafe extern "C" fn(Handle, c_int) -> c_int = c"pcap_set_tstamp_precision",
    precision: unsafe extern "C" fn(Handle) -> c_int = c"pcap_get_tstamp_precision",
    activate: unsafe extern "C" fn(Handle) -> c_int = c"pcap_activate",
    set_nonblocking: unsafe extern "C" fn(Handle, c_int, *mut c_char) -> c_int = c"pcap_setnonblock",
    link: unsafe extern "C" fn(Handle) -> c_int = c"pcap_datalink",
    next: unsafe extern "C" fn(Handle, *mut *const PacketHeader, *mut *const c_uchar) -> c_int = c"pcap_next_ex",
    statistics: unsafe extern "C" fn(Handle, *mut Statistics) -> c_int = c"pcap_stats",
    selectable: unsafe extern "C" fn(Handle) -> c_int = c"pcap_get_selectable_fd",
    status_text: unsafe extern "C" fn(c_int) -> *const c_char = c"pcap_statustostr",
}

/// The library, or why there is none.
fn library() -> Result<&'static Library, String> {
    static LIBRARY: OnceLock<Result<Library, String>> = OnceLock::new();
    LIBRARY.get_or_init(load).as_ref().map_err(Clone::clone)
}

fn load() -> Result<Library, String> {
    // SAFETY: the library is loaded and never closed, so that its functions stay valid; each is given the type that its
    // manual page declares, and a null pointer (a name that is not there) is not made a function.
    unsafe {
        let library = [c"libpcap.so.0.8", c"libpcap.so.1"]
            .into_iter()
            .map(|name| libc::dlopen(name.as_ptr(), libc::RTLD_NOW))
            .find(|handle| !handle.is_null())
            .ok_or("needs libpcap (Debian: libpcap0.8)")?;
        let find = |name: &CStr| {
            let symbol = libc::dlsym(library, name.as_ptr());
            if symbol.is_null() {
                Err(format!("libpcap has no {}", name.to_string_lossy()))
            } else {
                Ok(symbol)
            }
        };
        Library::found(find)
    }
}

/// A handle of libpcap; closed with this.
struct Open {
    library: &'static Library,
    handle: Handle,
}

impl Open {
    /// What it says went wrong last.
    fn error(&self) -> String {
        // SAFETY: the handle is open; the text belongs to it and is copied.
        let text = unsafe { CStr::from_ptr((self.library.error)(self.handle)) };
        text.to_string_lossy().into_owned()
    }

    /// Compiles a filter and lets `take` have it.
    fn with_filter<T>(
        &self,
        filter: &str,
        take: impl FnOnce(&mut Program) -> Result<T, String>,
    ) -> Result<T, String> {
        let text = CString::new(filter).map_err(|_| "a zero byte in it".to_owned())?;
        let mut program = Program {
            len: 0,
            instructions: std::ptr::null(),
        };
        // SAFETY: the handle is open, `program` and `text` live over the call; `program` is used only when it was filled,
        // and freed once. PCAP_NETMASK_UNKNOWN is all ones.
        unsafe {
            let compile = self.library.compile;
            if compile(self.handle, &raw mut program, text.as_ptr(), 1, u32::MAX) != 0 {
                return Err(self.error());
            }
            let taken = take(&mut program);
            (self.library.free_code)(&raw mut program);
            taken
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and nobody uses it after this.
        unsafe { (self.library.close)(self.handle) }
    }
}

/// Compiles a filter for a link type (libpcap's number) into instructions of classic BPF (code, jt, jf, k).
pub fn compile_filter(filter: &str, link: u16) -> Result<Vec<(u16, u8, u8, u32)>, String> {
    let library = library()?;
    // SAFETY: takes two numbers.
    let handle = unsafe { (library.open_dead)(link.into(), SNAPLEN) };
    if handle.is_null() {
        return Err("libpcap: no memory".to_owned());
    }
    Open { library, handle }.with_filter(filter, |program| {
        // SAFETY: a compiled program has as many instructions as it says.
        let code =
            unsafe { std::slice::from_raw_parts(program.instructions, program.len as usize) };
        Ok(code.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect())
    })
}

/// How a device is opened.
#[derive(Clone, Copy, Debug)]
pub struct PcapOptions {
    /// See frames for other hosts too.
    pub promiscuous: bool,
    /// Bytes of its buffer in the kernel.
    pub buffer_bytes: u32,
    /// Milliseconds after which frames are handed over.
    pub timeout_ms: u32,
}

/// A frame that libpcap hands over, while it is looked at.
#[derive(Debug)]
pub struct PcapFrame<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// When it came: seconds and nanoseconds since the epoch.
    pub time: (u64, u32),
    /// Its length on the wire.
    pub original_len: u32,
}

/// A device that libpcap reads.
pub struct PcapDevice {
    open: Open,
    /// libpcap's number of the link layer.
    link: u16,
    /// For what counts microseconds.
    nanos_per_tick: u32,
    fd: RawFd,
    counted: Statistics,
}

// SAFETY: a handle belongs to no thread; it is used by one at a time, since it is neither cloned nor shared.
unsafe impl Send for PcapDevice {}

impl std::fmt::Debug for PcapDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PcapDevice(link {})", self.link)
    }
}

impl PcapDevice {
    /// Opens a device by its name in libpcap's list (`tcpdump -D`), with a filter in tcpdump's language; empty: everything.
    pub fn open(device: &str, options: &PcapOptions, filter: &str) -> Result<Self, String> {
        let library = library()?;
        let name = CString::new(device).map_err(|_| "a zero byte in its name".to_owned())?;
        let mut error = [0 as c_char; ERROR_BYTES];
        // SAFETY: name and error live over the call, and the buffer is as long as libpcap demands.
        let handle = unsafe { (library.create)(name.as_ptr(), error.as_mut_ptr()) };
        let said = |error: &[c_char; ERROR_BYTES]| {
            let bytes: Vec<u8> = error.iter().map(|c| *c as u8).collect();
            let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
            text.to_string_lossy().into_owned()
        };
        if handle.is_null() {
            return Err(said(&error));
        }
        let open = Open { library, handle };
        let int = |n: u32| c_int::try_from(n).unwrap_or(c_int::MAX);
        // SAFETY: the handle is open and not active yet, which is when these may be called.
        let status = unsafe {
            (library.set_snaplen)(handle, SNAPLEN);
            (library.set_promiscuous)(handle, options.promiscuous.into());
            (library.set_timeout)(handle, int(options.timeout_ms.max(1)));
            (library.set_buffer)(handle, int(options.buffer_bytes));
            (library.set_precision)(handle, NANO);
            (library.activate)(handle)
        };
        if status < 0 {
            // SAFETY: gives a text that is never freed.
            let what = unsafe { CStr::from_ptr((library.status_text)(status)) };
            let what = what.to_string_lossy().into_owned();
            return Err(match open.error() {
                more if more.is_empty() => what,
                more => format!("{what}: {more}"),
            });
        }
        if !filter.is_empty() {
            open.with_filter(filter, |program| {
                // SAFETY: handle and program are valid; the kernel and libpcap copy the program.
                match unsafe { (library.set_filter)(handle, program) } {
                    0 => Ok(()),
                    _ => Err(open.error()),
                }
            })
            .map_err(|why| format!("filter '{filter}': {why}"))?;
        }
        // SAFETY: the handle is active, and the error buffer as long as libpcap demands.
        let (link, nano, fd) = unsafe {
            if (library.set_nonblocking)(handle, 1, error.as_mut_ptr()) != 0 {
                return Err(said(&error));
            }
            (
                (library.link)(handle),
                (library.precision)(handle) == NANO,
                (library.selectable)(handle),
            )
        };
        if fd < 0 {
            return Err("cannot be waited for (no file descriptor)".to_owned());
        }
        Ok(Self {
            open,
            link: u16::try_from(link).unwrap_or(u16::MAX),
            nanos_per_tick: if nano { 1 } else { 1_000 },
            fd,
            counted: Statistics::default(),
        })
    }

    /// libpcap's number of its link layer (DLT).
    pub fn link(&self) -> u16 {
        self.link
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.fd
    }

    /// Lets `look` see the next frame, if one waits.
    pub fn next<T>(&mut self, look: impl FnOnce(PcapFrame<'_>) -> T) -> Result<Option<T>, String> {
        let mut header: *const PacketHeader = std::ptr::null();
        let mut bytes: *const c_uchar = std::ptr::null();
        // SAFETY: the handle is active; both pointers are filled when 1 is returned, and then stay valid until the next
        // call on this handle, which `&mut self` keeps from happening while `look` runs.
        unsafe {
            match (self.open.library.next)(self.open.handle, &raw mut header, &raw mut bytes) {
                1 if !header.is_null() && !bytes.is_null() => {
                    let header = &*header;
                    let ticks = u32::try_from(header.nanos).unwrap_or(0);
                    Ok(Some(look(PcapFrame {
                        bytes: std::slice::from_raw_parts(bytes, header.caplen as usize),
                        time: (
                            u64::try_from(header.secs).unwrap_or(0),
                            ticks.saturating_mul(self.nanos_per_tick),
                        ),
                        original_len: header.len,
                    })))
                }
                0 | 1 => Ok(None),
                _ => Err(self.open.error()),
            }
        }
    }

    /// Frames that came and that were dropped for want of room, since the last call.
    pub fn counts(&mut self) -> (u64, u64) {
        let mut now = Statistics::default();
        // SAFETY: the handle is active, and `now` as libpcap declares it.
        if unsafe { (self.open.library.statistics)(self.open.handle, &raw mut now) } != 0 {
            return (0, 0);
        }
        let received = now.received.wrapping_sub(self.counted.received);
        let dropped = now.dropped.wrapping_sub(self.counted.dropped);
        self.counted = now;
        (received.into(), dropped.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_compiled_or_said_to_be_wrong() {
        if library().is_err() {
            println!("skipped: no libpcap");
            return;
        }
        let code = compile_filter("tcp port 80", 1).expect("compiles");
        assert!(code.len() > 5);
        let why = compile_filter("tcp prot 80", 1).expect_err("is wrong");
        assert!(
            why.contains("syntax error") || why.contains("prot"),
            "{why}"
        );
    }

    #[test]
    fn a_device_that_is_not_there_is_said_to_be_missing() {
        let options = PcapOptions {
            promiscuous: false,
            buffer_bytes: 1 << 20,
            timeout_ms: 10,
        };
        let why = PcapDevice::open("sekisho-none", &options, "").expect_err("is not there");
        assert!(!why.is_empty());
    }
}
