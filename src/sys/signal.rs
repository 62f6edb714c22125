//! Signals as something to be read, not something that interrupts (signalfd(2)).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::socket::check;

/// A signal that the program answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// End (SIGTERM, SIGINT).
    End,
    /// Read rules and configuration again (SIGHUP).
    Reload,
    /// Open log files again (SIGUSR1).
    Reopen,
}

/// The signals that have come.
#[derive(Debug)]
pub struct Signals(OwnedFd);

const LIST: [(libc::c_int, Signal); 4] = [
    (libc::SIGTERM, Signal::End),
    (libc::SIGINT, Signal::End),
    (libc::SIGHUP, Signal::Reload),
    (libc::SIGUSR1, Signal::Reopen),
];

impl Signals {
    /// From now on the signals are to be read here. To be called before any thread is started: threads inherit it.
    pub fn take() -> io::Result<Self> {
        // SAFETY: the set is initialised by sigemptyset before it is used; signalfd gives a new descriptor.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            for (number, _) in LIST {
                libc::sigaddset(&raw mut set, number);
            }
            check(libc::pthread_sigmask(
                libc::SIG_BLOCK,
                &raw const set,
                std::ptr::null_mut(),
            ))?;
            let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
            let fd = check(libc::signalfd(-1, &raw const set, flags))?;
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The next signal, if one has come.
    pub fn next(&self) -> Option<Signal> {
        // SAFETY: signalfd_siginfo is plain integers; read fills all of it or nothing.
        let number = unsafe {
            let mut info: libc::signalfd_siginfo = std::mem::zeroed();
            let size = size_of::<libc::signalfd_siginfo>();
            let got = libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size);
            if usize::try_from(got).ok()? != size {
                return None;
            }
            info.ssi_signo
        };
        LIST.iter()
            .find(|(n, _)| u32::try_from(*n) == Ok(number))
            .map(|(_, signal)| *signal)
    }
}

/// Sends a signal to a process that the caller started.
pub fn send_signal(process: u32, signal: Signal) -> io::Result<()> {
    let number = LIST
        .iter()
        .find(|(_, s)| *s == signal)
        .map_or(libc::SIGTERM, |(n, _)| *n);
    let process = libc::pid_t::try_from(process).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: plain integers; a positive number names one process.
    check(unsafe { libc::kill(process, number) }).map(drop)
}
