//! Teredo (RFC 4380): IPv6 over UDP over IPv4.
//!
//! Nothing marks a datagram as Teredo, so the inside must be a wholly valid IPv6 packet of exactly the right length;
//! otherwise the datagram is only a datagram.

use crate::packet::PacketOrigin;

use super::ipv6;
use super::walk::{Begin, Part, Walk};

/// Length of an origin indication (RFC 4380 §5.1.1).
const ORIGIN_LEN: usize = 8;

/// Decodes a datagram's payload. Answers whether it looks like Teredo.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> bool {
    let inside = match *part.bytes {
        [0, 0, ..] => part.skip(ORIGIN_LEN),
        // An authentication header (§5.1.1) is negotiation, not traffic.
        [0, ..] => None,
        _ => Some(part),
    };
    let Some(inside) = inside else { return false };
    let Some(h) = inside.bytes.first_chunk::<{ ipv6::HEADER_LEN }>() else {
        return false;
    };
    let payload_len = usize::from(u16::from_be_bytes([h[4], h[5]]));
    let (next, hop_limit) = (h[6], h[7]);
    if h[0] >> 4 != 6 || hop_limit == 0 || (next == 0 && payload_len < 8) {
        return false;
    }
    if inside.bytes.len() != ipv6::HEADER_LEN + payload_len
        || !w.tunnel(inside, Begin::Ipv6, PacketOrigin::Teredo)
    {
        return false;
    }
    w.stats.teredo += 1;
    if let Some(inner) = &mut w.inner {
        inner.strict = true;
    }
    true
}
