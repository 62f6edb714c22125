//! What the process has used so far, and its standing among others.

/// Processor time and memory of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Seconds in user mode, all threads.
    pub user_secs: f64,
    /// Seconds in the kernel.
    pub system_secs: f64,
    /// Peak resident memory, in bytes.
    pub peak_bytes: u64,
}

/// Asks the kernel (getrusage).
pub fn usage() -> Usage {
    // SAFETY: rusage is plain integers, for which all-zero is a valid value; getrusage fills it or leaves it.
    let raw = unsafe {
        let mut raw: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut raw);
        raw
    };
    let secs = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Usage {
        user_secs: secs(raw.ru_utime),
        system_secs: secs(raw.ru_stime),
        peak_bytes: u64::try_from(raw.ru_maxrss).unwrap_or(0) * 1024,
    }
}

/// Puts the calling thread, and threads and processes it makes later, before others: `nice` from -20 (first) to 19. Leaves
/// one alone that stands there or further ahead.
pub fn stand_before(nice: i32) -> std::io::Result<()> {
    // SAFETY: no memory is passed; 0 means the caller.
    let now = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    if now <= nice {
        return Ok(());
    }
    // SAFETY: as above.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()),
    }
}
