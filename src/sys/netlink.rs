//! Netlink sockets (netlink(7)) and raw IP sockets: bytes in, bytes out; what they mean is said elsewhere.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use super::socket::{bind, check, set_option, socket};

/// A socket of the kernel's netfilter subsystem.
#[derive(Debug)]
pub struct NetfilterSocket(OwnedFd);

impl NetfilterSocket {
    /// Opens it, with room for `bytes` of messages that wait.
    pub fn open(bytes: i32) -> io::Result<Self> {
        let fd = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)?;
        // SAFETY: sockaddr_nl is plain integers, for which all-zero is valid.
        let mut address: libc::sockaddr_nl = unsafe { std::mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as u16;
        bind(&fd, &address)?;
        // FORCE needs CAP_NET_ADMIN, as the queue itself does.
        set_option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &bytes)?;
        // When there is no room the kernel counts; it need not say so on every read.
        set_option(&fd, libc::SOL_NETLINK, libc::NETLINK_NO_ENOBUFS, &1i32)?;
        Ok(Self(fd))
    }

    /// Sends messages.
    pub fn send(&self, messages: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and length describe `messages`, which the kernel only reads.
        let sent = unsafe {
            libc::send(
                self.0.as_raw_fd(),
                messages.as_ptr().cast(),
                messages.len(),
                0,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// The next message, if one waits (or, with `wait`, when it comes).
    pub fn receive(&self, buffer: &mut [u8], wait: bool) -> io::Result<Option<usize>> {
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        // SAFETY: the kernel writes at most as many bytes as the buffer has.
        let got = unsafe {
            libc::recv(
                self.0.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                flags,
            )
        };
        match usize::try_from(got) {
            Ok(got) => Ok(Some(got)),
            Err(_) => match io::Error::last_os_error() {
                error
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS)
                    ) =>
                {
                    Ok(None)
                }
                error => Err(error),
            },
        }
    }

    /// Whether a message waits.
    pub fn is_ready(&self) -> bool {
        super::socket::wait_readable(&[self.fd()], std::time::Duration::ZERO).unwrap_or(false)
    }

    /// For polling.
    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Sends whole IP packets by the machine's own routes.
#[derive(Debug)]
pub struct RawIp {
    v4: OwnedFd,
    v6: Option<OwnedFd>,
}

impl RawIp {
    /// Opens it. Without IPv6 in the kernel, only IPv4 is sent.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            v4: socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?,
            v6: socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_RAW).ok(),
        })
    }

    /// Sends a packet that begins with its IP header to `destination`.
    pub fn send(&self, packet: &[u8], destination: IpAddr) -> io::Result<()> {
        let send = |fd: RawFd, address: *const libc::sockaddr, len: usize| {
            // SAFETY: packet and address are read within their lengths, which describe live values.
            let sent = unsafe {
                libc::sendto(
                    fd,
                    packet.as_ptr().cast(),
                    packet.len(),
                    libc::MSG_DONTWAIT,
                    address,
                    len as libc::socklen_t,
                )
            };
            check(if sent < 0 { -1 } else { 0 }).map(drop)
        };
        match destination {
            IpAddr::V4(to) => {
                // SAFETY: sockaddr_in is plain integers, for which all-zero is valid.
                let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                address.sin_family = libc::AF_INET as u16;
                address.sin_addr.s_addr = u32::from_ne_bytes(to.octets());
                let pointer = (&raw const address).cast();
                send(self.v4.as_raw_fd(), pointer, size_of_val(&address))
            }
            IpAddr::V6(to) => {
                let fd = self.v6.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                // SAFETY: sockaddr_in6 is plain integers, for which all-zero is valid.
                let mut address: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
                address.sin6_family = libc::AF_INET6 as u16;
                address.sin6_addr.s6_addr = to.octets();
                let pointer = (&raw const address).cast();
                send(fd.as_raw_fd(), pointer, size_of_val(&address))
            }
        }
    }
}
