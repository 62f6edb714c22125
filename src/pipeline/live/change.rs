//! A frame with some of its payload changed, and its checksums right again (`replace`).

use std::net::IpAddr;

use super::refuse::checksum;
use crate::packet::{Packet, PacketOrigin, Transport};

/// The frame of a packet with bytes of its payload changed; `None` for packets that are not as they were on the wire.
/// `unfinished`: the checksum is left to a card, which sums up what it finds.
pub(super) fn changed(
    packet: &Packet<'_>,
    changes: &[(u32, Vec<u8>)],
    unfinished: bool,
) -> Option<Vec<u8>> {
    if packet.origin != PacketOrigin::Wire || packet.fragment {
        return None;
    }
    let mut frame = packet.frame.to_vec();
    let payload = packet.payload_offset as usize;
    let end = payload + packet.payload_len as usize;
    for (at, bytes) in changes {
        let from = payload + *at as usize;
        let place = frame.get_mut(..end)?.get_mut(from..from + bytes.len())?;
        place.copy_from_slice(bytes);
    }
    let transport = packet.transport_offset as usize;
    let (field, proto) = match packet.transport {
        Transport::Tcp => (transport + 16, 6),
        Transport::Udp => (transport + 6, 17),
        _ => return Some(frame),
    };
    let held = frame.get(field..field + 2)?;
    // UDP without a checksum stays without one.
    if unfinished || (proto == 17 && held == [0, 0]) {
        return Some(frame);
    }
    let len = u32::try_from(end - transport).ok()?;
    let mut pseudo = Vec::with_capacity(40);
    match (packet.src, packet.dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            pseudo.extend_from_slice(&src.octets());
            pseudo.extend_from_slice(&dst.octets());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            pseudo.extend_from_slice(&src.octets());
            pseudo.extend_from_slice(&dst.octets());
        }
        _ => return None,
    }
    pseudo.extend_from_slice(&len.to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, proto]);
    frame.get_mut(field..field + 2)?.fill(0);
    let sum = match checksum(&[&pseudo, frame.get(transport..end)?]) {
        0 if proto == 17 => 0xffff,
        sum => sum,
    };
    frame
        .get_mut(field..field + 2)?
        .copy_from_slice(&sum.to_be_bytes());
    Some(frame)
}
