//! Filters in tcpdump's language, compiled by libpcap when it is there (loaded at run time: only who filters needs it).

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

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

type OpenDead = unsafe extern "C" fn(c_int, c_int) -> *mut c_void;
type Compile =
    unsafe extern "C" fn(*mut c_void, *mut Program, *const c_char, c_int, c_uint) -> c_int;
type Text = unsafe extern "C" fn(*mut c_void) -> *const c_char;
type Free = unsafe extern "C" fn(*mut Program);
type Close = unsafe extern "C" fn(*mut c_void);

/// Longest frame that a filter is compiled for (libpcap's MAXIMUM_SNAPLEN).
const SNAPLEN: c_int = 262_144;

/// Compiles a filter for a link type (libpcap's number) into instructions of classic BPF (code, jt, jf, k).
pub fn compile_filter(filter: &str, link: u16) -> Result<Vec<(u16, u8, u8, u32)>, String> {
    let text = CString::new(filter).map_err(|_| "a zero byte in it".to_owned())?;
    // SAFETY: the library is loaded and never closed, so that its functions stay valid; each is called as pcap(3) declares
    // it. `program` is read only after pcap_compile has filled it, and freed once; `handle` is closed once.
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
        let open: OpenDead = std::mem::transmute(find(c"pcap_open_dead")?);
        let compile: Compile = std::mem::transmute(find(c"pcap_compile")?);
        let error: Text = std::mem::transmute(find(c"pcap_geterr")?);
        let free: Free = std::mem::transmute(find(c"pcap_freecode")?);
        let close: Close = std::mem::transmute(find(c"pcap_close")?);
        let handle = open(link.into(), SNAPLEN);
        if handle.is_null() {
            return Err("libpcap: no memory".to_owned());
        }
        let mut program = Program {
            len: 0,
            instructions: std::ptr::null(),
        };
        let result = if compile(handle, &raw mut program, text.as_ptr(), 1, u32::MAX) == 0 {
            let code = std::slice::from_raw_parts(program.instructions, program.len as usize);
            let code = code.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect();
            free(&raw mut program);
            Ok(code)
        } else {
            Err(CStr::from_ptr(error(handle)).to_string_lossy().into_owned())
        };
        close(handle);
        result
    }
}
