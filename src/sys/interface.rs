//! What an interface is set to: offloads that change what a sensor sees, whether it is up (ethtool, SIOCETHTOOL), and
//! whether its card notes when frames come (SIOCSHWTSTAMP, Documentation/networking/timestamping.rst).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::socket::{check, socket};

/// Offloads of a card, as far as they change what is captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// Segments of a stream are joined by the kernel.
    pub gro: bool,
    /// Segments of a stream are joined by the card; what was joined cannot be told apart again.
    pub lro: bool,
    /// The card removes VLAN tags (they are put back).
    pub vlan: bool,
}

const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_SFLAGS: u32 = 0x26;
const ETHTOOL_GGRO: u32 = 0x2b;
const FLAG_LRO: u32 = 1 << 15;
const FLAG_RXVLAN: u32 = 1 << 8;

/// The argument of SIOCETHTOOL for commands that take or give one value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

fn request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: ifreq is bytes and integers, for which all-zero is valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte as libc::c_char;
    }
    Ok(request)
}

fn ethtool(fd: &OwnedFd, name: &str, value: &mut EthtoolValue) -> io::Result<()> {
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = std::ptr::from_mut(value).cast();
    // SAFETY: the request names the interface and points to a value as long as these commands take; both outlive the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) }).map(drop)
}

/// The offloads of an interface.
pub fn offloads(name: &str) -> io::Result<Offloads> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let get = |command| {
        let mut value = EthtoolValue { command, data: 0 };
        ethtool(&fd, name, &mut value).map_or(0, |()| value.data)
    };
    let flags = get(ETHTOOL_GFLAGS);
    Ok(Offloads {
        gro: get(ETHTOOL_GGRO) != 0,
        lro: flags & FLAG_LRO != 0,
        vlan: flags & FLAG_RXVLAN != 0,
    })
}

/// Switches LRO off: what a card has joined cannot be forwarded.
pub fn disable_lro(name: &str) -> io::Result<()> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut value = EthtoolValue {
        command: ETHTOOL_GFLAGS,
        data: 0,
    };
    ethtool(&fd, name, &mut value)?;
    value.command = ETHTOOL_SFLAGS;
    value.data &= !FLAG_LRO;
    ethtool(&fd, name, &mut value)
}

/// Whether there is an interface of this name.
pub fn exists(name: &str) -> bool {
    super::socket::interface_index(name).is_ok()
}

/// Brings an interface up when it is down. Says whether it was down.
pub fn bring_up(name: &str) -> io::Result<bool> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut request = request(name)?;
    // SAFETY: the request outlives the calls; the flags are the member that these commands use.
    unsafe {
        check(libc::ioctl(
            fd.as_raw_fd(),
            libc::SIOCGIFFLAGS,
            &raw mut request,
        ))?;
        let up = libc::IFF_UP as libc::c_short;
        if request.ifr_ifru.ifru_flags & up != 0 {
            return Ok(false);
        }
        request.ifr_ifru.ifru_flags |= up;
        check(libc::ioctl(
            fd.as_raw_fd(),
            libc::SIOCSIFFLAGS,
            &raw mut request,
        ))?;
    }
    Ok(true)
}

/// `struct hwtstamp_config` of linux/net_tstamp.h.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
struct CardTimes {
    flags: libc::c_int,
    sent: libc::c_int,
    received: libc::c_int,
}

/// HWTSTAMP_FILTER_ALL
const ALL_FRAMES: libc::c_int = 1;

/// Has the card note the time of every frame that comes. An error where it cannot: times of some frames only would mix
/// two clocks.
pub fn note_times(name: &str) -> io::Result<()> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM, 0)?;
    let mut times = CardTimes {
        flags: 0,
        sent: 0,
        received: ALL_FRAMES,
    };
    let mut request = request(name)?;
    request.ifr_ifru.ifru_data = (&raw mut times).cast();
    // SAFETY: the request names the interface and points to the structure that this command takes; both outlive the call.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSHWTSTAMP, &raw mut request) })?;
    // The driver writes back what it does; some do less than they were asked for.
    if times.received == ALL_FRAMES {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}
