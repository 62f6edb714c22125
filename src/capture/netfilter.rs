//! Messages of the kernel's netfilter subsystems (nfnetlink): how they are put together, and how they are acknowledged.
//! What they say is said by [`super::nfqueue`] and [`super::nftables`].
//! Source: include/uapi/linux/netlink.h, include/uapi/linux/netfilter/nfnetlink.h.

use std::time::Duration;

use crate::sys::netlink::NetfilterSocket;
use crate::sys::wait_readable;

/// NLM_F_REQUEST
pub(super) const REQUEST: u16 = 1;
/// NLM_F_ACK
pub(super) const ACK: u16 = 4;
/// nlmsghdr and nfgenmsg.
pub(super) const HEADER: usize = 20;

/// Longest wait for an acknowledgement: the kernel answers before `send` returns.
const ACKNOWLEDGED: Duration = Duration::from_secs(1);

/// Appends a message with its attributes. `family` and `resource` are nfgenmsg's.
///
/// ```text
/// nlmsghdr: length (4) | type (2) | flags (2) | sequence (4) | port (4)
/// nfgenmsg: family (1) | version (1) | resource, big endian (2)
/// attribute: length (2) | type (2) | value, padded to four
/// ```
pub(super) fn message(
    out: &mut Vec<u8>,
    (kind, flags): (u16, u16),
    (family, resource): (u8, u16),
    attributes: &[(u16, &[u8])],
) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&[family, 0]);
    out.extend_from_slice(&resource.to_be_bytes());
    for (kind, value) in attributes {
        attribute(out, *kind, value);
    }
    let len = u32::try_from(out.len() - start).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&len.to_ne_bytes());
    }
}

/// Appends an attribute.
pub(super) fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// A word of a message in the machine's order.
pub(super) fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Waits for the kernel's answer to a message that asked for one, or was wrong.
pub(super) fn acknowledged(socket: &NetfilterSocket) -> std::io::Result<()> {
    let mut buffer = [0; 4096];
    for _ in 0..16 {
        if !wait_readable(&[socket.fd()], ACKNOWLEDGED)? {
            break;
        }
        let Some(got) = socket.receive(&mut buffer, false)? else {
            continue;
        };
        let bytes = buffer.get(..got).unwrap_or_default();
        // NLMSG_ERROR, with zero for success.
        if bytes.get(4..6) == Some(&2u16.to_ne_bytes()) {
            return match word(bytes, 16).map(|e| e as i32) {
                Some(0) => Ok(()),
                Some(error) => Err(std::io::Error::from_raw_os_error(error.saturating_neg())),
                None => Err(std::io::ErrorKind::InvalidData.into()),
            };
        }
    }
    Err(std::io::ErrorKind::TimedOut.into())
}
