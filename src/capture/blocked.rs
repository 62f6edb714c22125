//! Sets of blocked sources that the kernel carries out: what they send is dropped before it reaches us.

use std::net::IpAddr;
use std::time::Duration;

use crate::sys::bpf::{XdpProgram, monotonic_ns};

/// Such a set. Entries end by themselves.
pub trait BlockedSources: std::fmt::Debug + Send + Sync {
    /// Drops what a source sends, for so long from now on.
    fn block(&self, source: IpAddr, time: Duration) -> std::io::Result<()>;

    /// Lets it pass again. One that is not there is no error.
    fn unblock(&self, source: IpAddr) -> std::io::Result<()>;
}

impl BlockedSources for XdpProgram {
    fn block(&self, source: IpAddr, time: Duration) -> std::io::Result<()> {
        let left = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self::block(self, source, monotonic_ns().saturating_add(left))
    }

    fn unblock(&self, source: IpAddr) -> std::io::Result<()> {
        Self::unblock(self, source)
    }
}
