//! BPF maps and programs, as far as AF_XDP needs them: one small program, written here as instructions, loaded with bpf(2).
//!
//! ```text
//! packet on queue q ─▶ source in the set of blocked sources? ─▶ dropped in the kernel
//!                  └─▶ a socket for q in the map? ─▶ handed to it; otherwise to the kernel, as without the program
//! ```
//!
//! The target machine needs no compiler, no clang and no libbpf. The program is attached through a link: when the process
//! ends, however it ends, the kernel takes it off the interface.
//! Source: Documentation/bpf/ (instruction set, XDP, XSKMAP), include/uapi/linux/bpf.h.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::socket::interface_index;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE: libc::c_long = 2;
const BPF_MAP_DELETE: libc::c_long = 3;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;

const MAP_HASH: u32 = 1;
const MAP_XSK: u32 = 17;
const PROGRAM_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;

/// Sources that the kernel's set holds.
pub const BLOCKED_MAX: u32 = 4_096;
/// Queues of an interface.
const QUEUES_MAX: u32 = 64;

/// The bpf(2) call. `attr` is as long as the kernel needs for the command; what it does not know must be zero.
fn bpf(command: libc::c_long, attr: &mut [u8]) -> io::Result<i32> {
    // SAFETY: the pointer and length describe `attr`; pointers inside it are to buffers that the callers keep alive over
    // the call and that are as long as the command says.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), attr.len()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(|_| io::ErrorKind::InvalidData.into())
}

fn bpf_fd(command: libc::c_long, attr: &mut [u8]) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: the commands that create something give a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Puts a value at an offset of an attribute.
fn put(attr: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = attr.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

fn address<T>(value: &T) -> [u8; 8] {
    (std::ptr::from_ref(value).cast::<u8>() as u64).to_ne_bytes()
}

/// A map in the kernel.
#[derive(Debug)]
struct Map(OwnedFd);

impl Map {
    fn new(kind: u32, key_bytes: u32, value_bytes: u32, entries: u32) -> io::Result<Self> {
        let mut attr = [0; 72];
        for (at, value) in [kind, key_bytes, value_bytes, entries].iter().enumerate() {
            put(&mut attr, at * 4, &value.to_ne_bytes());
        }
        bpf_fd(BPF_MAP_CREATE, &mut attr).map(Self)
    }

    fn update<K, V>(&self, key: &K, value: &V) -> io::Result<()> {
        let mut attr = [0; 32];
        put(&mut attr, 0, &self.0.as_raw_fd().to_ne_bytes());
        put(&mut attr, 8, &address(key));
        put(&mut attr, 16, &address(value));
        bpf(BPF_MAP_UPDATE, &mut attr).map(drop)
    }

    fn delete<K>(&self, key: &K) -> io::Result<()> {
        let mut attr = [0; 32];
        put(&mut attr, 0, &self.0.as_raw_fd().to_ne_bytes());
        put(&mut attr, 8, &address(key));
        bpf(BPF_MAP_DELETE, &mut attr).map(drop)
    }
}

/// How an interface runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver.
    Driver,
    /// In the network stack, for drivers that cannot.
    Generic,
}

/// The program on one interface. Dropping it takes it off.
#[derive(Debug)]
pub struct XdpProgram {
    sockets: Map,
    blocked4: Map,
    blocked6: Map,
    mode: XdpMode,
    _link: OwnedFd,
    _program: OwnedFd,
}

impl XdpProgram {
    /// Loads the program and attaches it: in the driver when that can, else in the network stack.
    pub fn attach(interface: &str) -> io::Result<Self> {
        let index = interface_index(interface)?;
        let sockets = Map::new(MAP_XSK, 4, 4, QUEUES_MAX)?;
        let blocked4 = Map::new(MAP_HASH, 4, 8, BLOCKED_MAX)?;
        let blocked6 = Map::new(MAP_HASH, 16, 8, BLOCKED_MAX)?;
        let code = program(
            sockets.0.as_raw_fd(),
            blocked4.0.as_raw_fd(),
            blocked6.0.as_raw_fd(),
        );
        let program = load(&code)?;
        let attach = |flags: u32| {
            let mut attr = [0; 64];
            put(&mut attr, 0, &program.as_raw_fd().to_ne_bytes());
            put(&mut attr, 4, &index.to_ne_bytes());
            put(&mut attr, 8, &ATTACH_XDP.to_ne_bytes());
            put(&mut attr, 12, &flags.to_ne_bytes());
            bpf_fd(BPF_LINK_CREATE, &mut attr)
        };
        // XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE
        let (link, mode) = match attach(1 << 2) {
            Ok(link) => (link, XdpMode::Driver),
            Err(_) => (attach(1 << 1)?, XdpMode::Generic),
        };
        Ok(Self {
            sockets,
            blocked4,
            blocked6,
            mode,
            _link: link,
            _program: program,
        })
    }

    /// How it is run.
    pub fn mode(&self) -> XdpMode {
        self.mode
    }

    /// Frames of a queue go to this socket from now on.
    pub(super) fn set_socket(&self, queue: u32, socket: &OwnedFd) -> io::Result<()> {
        self.sockets.update(&queue, &socket.as_raw_fd())
    }

    /// Frames from this source are dropped in the kernel until then, in nanoseconds of CLOCK_MONOTONIC.
    pub fn block(&self, source: IpAddr, until_ns: u64) -> io::Result<()> {
        match source {
            IpAddr::V4(source) => self.blocked4.update(&source.octets(), &until_ns),
            IpAddr::V6(source) => self.blocked6.update(&source.octets(), &until_ns),
        }
    }

    /// They pass again.
    pub fn unblock(&self, source: IpAddr) -> io::Result<()> {
        let result = match source {
            IpAddr::V4(source) => self.blocked4.delete(&source.octets()),
            IpAddr::V6(source) => self.blocked6.delete(&source.octets()),
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, which is the clock of the kernel's program.
pub fn monotonic_ns() -> u64 {
    // SAFETY: timespec is plain integers; clock_gettime fills it.
    let time = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time);
        time
    };
    let part = |n: i64| u64::try_from(n).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

fn load(code: &[u8]) -> io::Result<OwnedFd> {
    const LICENSE: &[u8; 11] = b"Apache-2.0\0";
    let mut log = vec![0u8; 64 * 1024];
    let mut attr = [0; 144];
    put(&mut attr, 0, &PROGRAM_XDP.to_ne_bytes());
    let count = u32::try_from(code.len() / 8).unwrap_or(0);
    put(&mut attr, 4, &count.to_ne_bytes());
    put(&mut attr, 8, &(code.as_ptr() as u64).to_ne_bytes());
    put(&mut attr, 16, &(LICENSE.as_ptr() as u64).to_ne_bytes());
    put(&mut attr, 24, &1u32.to_ne_bytes());
    put(&mut attr, 28, &(log.len() as u32).to_ne_bytes());
    put(&mut attr, 32, &(log.as_mut_ptr() as u64).to_ne_bytes());
    bpf_fd(BPF_PROG_LOAD, &mut attr).map_err(|error| {
        let text = String::from_utf8_lossy(&log);
        let text = text.trim_end_matches('\0').trim();
        let last = text.lines().rev().take(3).collect::<Vec<_>>().join(" | ");
        io::Error::new(error.kind(), format!("XDP program: {error}: {last}"))
    })
}

/// A jump whose target is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    Ipv6,
    Lookup,
    Verdict,
    Hand,
    Tagged,
}

/// Writes instructions: eight bytes each (opcode, registers, offset, immediate).
#[derive(Debug, Default)]
struct Assembler {
    code: Vec<u8>,
    jumps: Vec<(usize, Label)>,
    labels: Vec<(Label, usize)>,
}

impl Assembler {
    fn op(&mut self, opcode: u8, dst: u8, src: u8, offset: i16, immediate: i32) {
        self.code.extend_from_slice(&[opcode, src << 4 | dst]);
        self.code.extend_from_slice(&offset.to_ne_bytes());
        self.code.extend_from_slice(&immediate.to_ne_bytes());
    }

    fn jump(&mut self, opcode: u8, dst: u8, src: u8, immediate: i32, to: Label) {
        self.jumps.push((self.code.len() / 8, to));
        self.op(opcode, dst, src, 0, immediate);
    }

    fn label(&mut self, label: Label) {
        self.labels.push((label, self.code.len() / 8));
    }

    /// dst = the map: a pseudo instruction of two halves.
    fn map(&mut self, dst: u8, map: i32) {
        self.op(0x18, dst, 1, 0, map);
        self.op(0, 0, 0, 0, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        for (at, to) in &self.jumps {
            let target = self.labels.iter().find(|(l, _)| l == to).map_or(0, |l| l.1);
            let offset = i16::try_from(target as i64 - *at as i64 - 1).unwrap_or(0);
            put(&mut self.code, at * 8 + 2, &offset.to_ne_bytes());
        }
        self.code
    }
}

/// The program.
///
/// r6 context, r2 data, r3 data end, r4 ethertype, r5 header, r1 map, r2 key for the look-up.
fn program(sockets: i32, blocked4: i32, blocked6: i32) -> Vec<u8> {
    const LDX_W: u8 = 0x61;
    const LDX_H: u8 = 0x69;
    const LDX_DW: u8 = 0x79;
    const STX_W: u8 = 0x63;
    const MOV_X: u8 = 0xbf;
    const MOV_K: u8 = 0xb7;
    const ADD_K: u8 = 0x07;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    const JA: u8 = 0x05;
    const JEQ_K: u8 = 0x15;
    const JNE_K: u8 = 0x55;
    const JGT_X: u8 = 0x2d;
    const LOOKUP: i32 = 1;
    const KTIME: i32 = 5;
    const REDIRECT_MAP: i32 = 51;
    let ethertype = |value: u16| i32::from(value.to_be());
    let mut a = Assembler::default();
    a.op(MOV_X, 6, 1, 0, 0);
    a.op(LDX_W, 2, 6, 0, 0);
    a.op(LDX_W, 3, 6, 4, 0);
    // Ethernet, a tag and an IPv4 header must be there: shorter frames have no source to ask for, and are handed on.
    a.op(MOV_X, 5, 2, 0, 0);
    a.op(ADD_K, 5, 0, 0, 14 + 4 + 20);
    a.jump(JGT_X, 5, 3, 0, Label::Hand);
    a.op(MOV_X, 5, 2, 0, 0);
    a.op(LDX_H, 4, 2, 12, 0);
    a.jump(JEQ_K, 4, 0, ethertype(0x8100), Label::Tagged);
    a.op(ADD_K, 5, 0, 0, 14);
    a.op(JA, 0, 0, 2, 0);
    a.label(Label::Tagged);
    a.op(LDX_H, 4, 2, 16, 0);
    a.op(ADD_K, 5, 0, 0, 18);
    a.jump(JEQ_K, 4, 0, ethertype(0x86dd), Label::Ipv6);
    a.jump(JNE_K, 4, 0, ethertype(0x0800), Label::Hand);
    a.op(LDX_W, 4, 5, 12, 0);
    a.op(STX_W, 10, 4, -16, 0);
    a.map(1, blocked4);
    a.jump(JA, 0, 0, 0, Label::Lookup);
    a.label(Label::Ipv6);
    a.op(MOV_X, 1, 5, 0, 0);
    a.op(ADD_K, 1, 0, 0, 40);
    a.jump(JGT_X, 1, 3, 0, Label::Hand);
    for word in 0..4i16 {
        a.op(LDX_W, 4, 5, 8 + word * 4, 0);
        a.op(STX_W, 10, 4, -16 + word * 4, 0);
    }
    a.map(1, blocked6);
    a.label(Label::Lookup);
    a.op(MOV_X, 2, 10, 0, 0);
    a.op(ADD_K, 2, 0, 0, -16);
    a.op(CALL, 0, 0, 0, LOOKUP);
    a.jump(JEQ_K, 0, 0, 0, Label::Hand);
    a.op(LDX_DW, 7, 0, 0, 0);
    a.op(CALL, 0, 0, 0, KTIME);
    // Past its time: let through; it is removed by the sensor.
    a.jump(JGT_X, 0, 7, 0, Label::Hand);
    // XDP_DROP
    a.op(MOV_K, 0, 0, 0, 1);
    a.jump(JA, 0, 0, 0, Label::Verdict);
    a.label(Label::Hand);
    a.map(1, sockets);
    a.op(LDX_W, 2, 6, 16, 0);
    // No socket for the queue: XDP_PASS.
    a.op(MOV_K, 3, 0, 0, 2);
    a.op(CALL, 0, 0, 0, REDIRECT_MAP);
    a.label(Label::Verdict);
    a.op(EXIT, 0, 0, 0, 0);
    a.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_lands_inside_the_program() {
        let code = program(3, 4, 5);
        let count = (code.len() / 8) as i64;
        for (at, instruction) in code.chunks_exact(8).enumerate() {
            let class = instruction[0] & 7;
            let operation = instruction[0] & 0xf0;
            if class == 5 && operation != 0x80 && operation != 0x90 {
                let offset = i64::from(i16::from_ne_bytes([instruction[2], instruction[3]]));
                let target = at as i64 + 1 + offset;
                assert!((1..count).contains(&target), "instruction {at}");
            }
        }
        assert_eq!(code[code.len() - 8], 0x95);
    }
}
