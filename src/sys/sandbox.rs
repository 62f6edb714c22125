//! What the process gives up once its sockets are open: capabilities, paths (Landlock), system calls (seccomp).
//!
//! All three hold for the calling thread and the threads it starts afterwards, and for good; so [`confine`] is called after
//! the sockets are opened and before the first thread is started. A parser that were taken over could then read rules and
//! write logs, and that is all: no program is started, no other file opened, no new kind of socket.
//! What the kernel lacks (Landlock before 5.13) is left out and said, never an error: a sensor must start.
//!
//! Sources: capabilities(7), landlock(7), seccomp(2); linux/landlock.h, ABI 1 to 3.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::socket::check;

/// A capability that may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Messages of NFQUEUE, programs on interfaces.
    NetAdmin = 12,
    /// Sets of addresses in the kernel.
    Bpf = 39,
}

/// What is kept.
#[derive(Clone, Debug, Default)]
pub struct Confinement {
    /// Capabilities.
    pub capabilities: Vec<Capability>,
    /// Files and folders that may be read.
    pub read: Vec<PathBuf>,
    /// Folders in which files may be made, written and removed.
    pub write: Vec<PathBuf>,
}

/// What was done, for people.
#[derive(Clone, Debug, Default)]
pub struct Confined {
    /// Capabilities kept, of those the process had.
    pub capabilities: usize,
    /// Version of Landlock; 0: the kernel has none.
    pub landlock: i32,
    /// System calls that remain.
    pub system_calls: usize,
    /// What could not be done.
    pub notes: Vec<String>,
}

/// Gives up everything that is not kept.
pub fn confine(keep: &Confinement) -> Confined {
    let mut done = Confined {
        capabilities: keep.capabilities.len(),
        ..Confined::default()
    };
    // SAFETY: a flag of this thread; the further arguments must be zero.
    if let Err(error) = check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }) {
        done.notes.push(format!("no_new_privs: {error}"));
        return done;
    }
    match landlock(keep) {
        Ok((version, missing)) => {
            done.landlock = version;
            done.notes.extend(missing);
        }
        Err(error) => done.notes.push(format!("Landlock: {error}")),
    }
    if let Err(error) = drop_capabilities(&keep.capabilities) {
        done.notes.push(format!("capabilities: {error}"));
    }
    match seccomp() {
        Ok(count) => done.system_calls = count,
        Err(error) => done.notes.push(format!("seccomp: {error}")),
    }
    done
}

#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// linux/capability.h: two words of 32 capabilities each.
const CAP_VERSION_3: u32 = 0x2008_0522;

fn drop_capabilities(keep: &[Capability]) -> io::Result<()> {
    let header = CapHeader {
        version: CAP_VERSION_3,
        pid: 0,
    };
    let mut had = [CapData::default(); 2];
    // SAFETY: version 3 reads the header and writes two entries; both live until the call returns.
    check(unsafe {
        libc::syscall(libc::SYS_capget, &raw const header, had.as_mut_ptr()) as libc::c_int
    })?;
    let mut kept = [CapData::default(); 2];
    for capability in keep {
        let number = *capability as usize;
        if let (Some(kept), Some(had)) = (kept.get_mut(number / 32), had.get(number / 32)) {
            let bit = 1 << (number % 32) & had.permitted;
            kept.effective |= bit;
            kept.permitted |= bit;
        }
    }
    // First those that a program started from here could get back (there is none); not everybody may do this.
    for number in 0..64u64 {
        let stays = keep.iter().any(|c| *c as u64 == number);
        if !stays {
            // SAFETY: plain integers; numbers the kernel does not know give an error that says nothing.
            unsafe {
                libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0);
            }
        }
    }
    // SAFETY: plain integers.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        );
    }
    // SAFETY: as for capget; the kernel only reads.
    check(unsafe {
        libc::syscall(libc::SYS_capset, &raw const header, kept.as_ptr()) as libc::c_int
    })
    .map(drop)
}

#[repr(C)]
struct LandlockRuleset {
    handled_access_fs: u64,
}

#[repr(C, packed)]
struct LandlockPath {
    allowed_access: u64,
    parent_fd: i32,
}

// linux/landlock.h, LANDLOCK_ACCESS_FS_*.
const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const REMOVE_DIR: u64 = 1 << 4;
const REMOVE_FILE: u64 = 1 << 5;
const MAKE_CHAR: u64 = 1 << 6;
const MAKE_DIR: u64 = 1 << 7;
const MAKE_REG: u64 = 1 << 8;
const MAKE_SOCK: u64 = 1 << 9;
const MAKE_FIFO: u64 = 1 << 10;
const MAKE_BLOCK: u64 = 1 << 11;
const MAKE_SYM: u64 = 1 << 12;
const REFER: u64 = 1 << 13;
const TRUNCATE: u64 = 1 << 14;

/// Gives the version, and which paths were not there.
fn landlock(keep: &Confinement) -> io::Result<(i32, Vec<String>)> {
    // SAFETY: no pointer, and the flag that asks for the version.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0usize,
            1u32,
        )
    } as i32;
    if version < 1 {
        return Err(io::Error::last_os_error());
    }
    let mut all = EXECUTE
        | WRITE_FILE
        | READ_FILE
        | READ_DIR
        | REMOVE_DIR
        | REMOVE_FILE
        | MAKE_CHAR
        | MAKE_DIR
        | MAKE_REG
        | MAKE_SOCK
        | MAKE_FIFO
        | MAKE_BLOCK
        | MAKE_SYM;
    if version >= 2 {
        all |= REFER;
    }
    if version >= 3 {
        all |= TRUNCATE;
    }
    let attributes = LandlockRuleset {
        handled_access_fs: all,
    };
    // SAFETY: the structure and its size; the kernel reads it. The descriptor is new and ours.
    let ruleset = unsafe {
        let fd = check(libc::syscall(
            libc::SYS_landlock_create_ruleset,
            &raw const attributes,
            size_of::<LandlockRuleset>(),
            0u32,
        ) as libc::c_int)?;
        OwnedFd::from_raw_fd(fd)
    };
    let mut missing = Vec::new();
    let to_read = READ_FILE | READ_DIR;
    let to_write = all & !(EXECUTE | MAKE_CHAR | MAKE_BLOCK | MAKE_SYM | MAKE_FIFO);
    let lists = [(&keep.read, to_read), (&keep.write, to_write)];
    for (path, access) in lists
        .iter()
        .flat_map(|(paths, access)| paths.iter().map(|p| (p, *access)))
    {
        if let Err(error) = allow(&ruleset, path, access) {
            missing.push(format!("{}: {error}", path.display()));
        }
    }
    // SAFETY: a descriptor of ours and no flags.
    check(unsafe {
        libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0u32) as libc::c_int
    })?;
    Ok((version, missing))
}

fn allow(ruleset: &OwnedFd, path: &Path, access: u64) -> io::Result<()> {
    let name =
        CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: a terminated string; the descriptor is new and ours.
    let place = unsafe {
        let fd = check(libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC))?;
        OwnedFd::from_raw_fd(fd)
    };
    // A file has no entries: what is about folders must not be asked for.
    let of_files = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE;
    let access = if path.is_dir() {
        access
    } else {
        access & of_files
    };
    let rule = LandlockPath {
        allowed_access: access,
        parent_fd: place.as_raw_fd(),
    };
    // SAFETY: type 1 (a path) goes with this structure, which the kernel reads; descriptors are open.
    check(unsafe {
        libc::syscall(
            libc::SYS_landlock_add_rule,
            ruleset.as_raw_fd(),
            1u32,
            &raw const rule,
            0u32,
        ) as libc::c_int
    })
    .map(drop)
}

/// System calls that remain: files, sockets that are or may be opened, memory, threads, time, waiting. The kind of socket
/// is limited by what capabilities are left.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_lseek,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_ioctl,
    libc::SYS_getdents64,
    libc::SYS_getcwd,
    libc::SYS_readlinkat,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_utimensat,
    libc::SYS_umask,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_socket,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_setsockopt,
    libc::SYS_getsockopt,
    libc::SYS_socketpair,
    libc::SYS_pipe2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_mlock,
    libc::SYS_brk,
    libc::SYS_membarrier,
    libc::SYS_futex,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_tgkill,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_getcpu,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    // The sets of addresses of the kernel's block list; without the capability it is refused anyway.
    libc::SYS_bpf,
];

/// Names of the same calls that only x86-64 has.
#[cfg(target_arch = "x86_64")]
const ALLOWED_HERE: &[libc::c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_unlink,
    libc::SYS_rename,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_chmod,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_wait,
    libc::SYS_pipe,
    libc::SYS_dup2,
    libc::SYS_getdents,
    libc::SYS_time,
    libc::SYS_arch_prctl,
];
#[cfg(not(target_arch = "x86_64"))]
const ALLOWED_HERE: &[libc::c_long] = &[];

// linux/audit.h
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;

/// The filter: each allowed number is compared and lets the call through; everything else answers EPERM.
fn program() -> Vec<libc::sock_filter> {
    let word = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let load = |offset: u32| word(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset);
    let answer = |what: u32| word(libc::BPF_RET | libc::BPF_K, what);
    let equals = |value: u32| libc::sock_filter {
        // Equal: the next instruction; else the one after it.
        jf: 1,
        ..word(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value)
    };
    // struct seccomp_data: 0 number, 4 architecture.
    let mut list = vec![load(4), equals(ARCHITECTURE), load(0)];
    // Another architecture's numbers mean other calls: the jump above goes to this comparison with the architecture still
    // loaded, which equals no call's number.
    for number in ALLOWED.iter().chain(ALLOWED_HERE) {
        list.push(equals(u32::try_from(*number).unwrap_or(u32::MAX)));
        list.push(answer(libc::SECCOMP_RET_ALLOW));
    }
    list.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    list
}

fn seccomp() -> io::Result<usize> {
    if ARCHITECTURE == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut list = program();
    let filter = libc::sock_fprog {
        len: u16::try_from(list.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: list.as_mut_ptr(),
    };
    // SAFETY: mode 1 (filter), no flags; the program lives until the call returns, its length is that of the list.
    check(unsafe {
        libc::syscall(libc::SYS_seccomp, 1u32, 0u32, &raw const filter) as libc::c_int
    })?;
    Ok(ALLOWED.len() + ALLOWED_HERE.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers to a call.
    fn answer(program: &[libc::sock_filter], architecture: u32, number: u32) -> u32 {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    loaded = if step.k == 4 { architecture } else { number };
                }
                code if code == libc::BPF_RET | libc::BPF_K => return step.k,
                _ => at += usize::from(if loaded == step.k { step.jt } else { step.jf }),
            }
        }
    }

    #[test]
    fn the_filter_lets_through_what_is_listed_and_nothing_else() {
        let program = program();
        let here = |number: libc::c_long| answer(&program, ARCHITECTURE, number as u32);
        for number in ALLOWED.iter().chain(ALLOWED_HERE) {
            assert_eq!(here(*number), libc::SECCOMP_RET_ALLOW, "{number}");
        }
        let refused = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
        for number in [
            libc::SYS_execve,
            libc::SYS_ptrace,
            libc::SYS_mount,
            libc::SYS_setns,
        ] {
            assert_eq!(here(number), refused, "{number}");
        }
        assert_eq!(
            answer(&program, 0x4000_0003, libc::SYS_read as u32),
            refused
        );
    }

    #[test]
    fn a_confined_thread_reads_and_writes_only_where_it_may() {
        let inside = tempfile::tempdir().expect("folder");
        let outside = tempfile::tempdir().expect("folder");
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "x").expect("writes");
        let keep = Confinement {
            write: vec![inside.path().to_path_buf()],
            ..Confinement::default()
        };
        let place = inside.path().join("log");
        // A thread of its own: what it gives up is gone for good.
        let thread = std::thread::spawn(move || {
            let done = confine(&keep);
            let written = std::fs::write(&place, "y").is_ok();
            let read = std::fs::read(&secret).is_ok();
            let started = std::process::Command::new("/bin/true").status().is_ok();
            (done, written, read, started)
        });
        let (done, written, read, started) = thread.join().expect("ends");
        assert!(written, "{done:?}");
        assert_eq!((read, started), (done.landlock == 0, false), "{done:?}");
    }
}
