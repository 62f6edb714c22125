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

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, frame, ipv4, ipv6, udp};
    use crate::packet::{LinkType, PacketOrigin};

    fn packets(payload: &[u8]) -> usize {
        let found = decode(
            &frame(0x0800, &ipv4(17, &[], &udp(3544, 9, payload))),
            LinkType::ETHERNET,
        );
        assert!(found.len() == 1 || found[0].origin == PacketOrigin::Teredo);
        found.len()
    }

    #[test]
    fn only_a_wholly_valid_packet_is_unfolded() {
        let ping = ipv6(58, &[128, 0, 0x20, 0xc4, 0, 0, 0, 0]);
        assert_eq!(packets(&ping), 2);
        assert_eq!(packets(&[&[0, 0, 1, 2, 3, 4, 5, 6][..], &ping].concat()), 2);
        assert_eq!(packets(&[&[0, 1, 1, 2, 3, 4, 5, 6][..], &ping].concat()), 1);
        assert_eq!(packets(&[&ping[..], &[0]].concat()), 1);
        assert_eq!(packets(&ipv6(6, &[0; 4])), 1);
    }
}
