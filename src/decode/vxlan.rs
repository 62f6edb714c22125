//! VXLAN (RFC 7348): an Ethernet frame over UDP. Reserved bits must be zero, or it is taken for something else.

use crate::packet::{DecodeEvent, PacketOrigin};

use super::walk::{Begin, Part, Walk};

/// Length of the header.
const HEADER_LEN: usize = 8;

/// Decodes a datagram's payload. Answers whether it is VXLAN.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> bool {
    let (Some(header), Some(frame)) = (
        part.bytes.first_chunk::<HEADER_LEN>(),
        part.skip(HEADER_LEN),
    ) else {
        return false;
    };
    let Some(ethertype) = frame.u16(12) else {
        return false;
    };
    if w.layer().is_err() {
        return false;
    }
    if !matches!(*header, [0x08, 0, 0, 0, _, _, _, 0]) {
        return false;
    }
    w.stats.vxlan += 1;
    if matches!(
        ethertype,
        0x0800 | 0x86dd | 0x0806 | 0x8100 | 0x88a8 | 0x9100
    ) {
        w.tunnel(frame, Begin::Ethernet, PacketOrigin::Vxlan);
    } else {
        w.invalid(DecodeEvent::VXLAN_UNKNOWN_PAYLOAD_TYPE);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, frame, ipv4, names, udp};
    use crate::packet::{Layers, LinkType, PacketOrigin};

    fn datagram(header: [u8; 8], inner: &[u8]) -> Vec<Layers> {
        let payload = [&header[..], inner].concat();
        decode(
            &frame(0x0800, &ipv4(17, &[], &udp(9, 4789, &payload))),
            LinkType::ETHERNET,
        )
    }

    #[test]
    fn a_frame_is_unfolded_only_when_reserved_bits_are_zero() {
        let inner = frame(0x0800, &ipv4(17, &[], &udp(1, 2, b"x")));
        let found = datagram([8, 0, 0, 0, 0, 0, 1, 0], &inner);
        assert_eq!(
            (found.len(), found[0].origin, found[0].link),
            (2, PacketOrigin::Vxlan, LinkType::ETHERNET)
        );
        assert_eq!(datagram([8, 0, 0, 1, 0, 0, 1, 0], &inner).len(), 1);
        let other = datagram([8, 0, 0, 0, 0, 0, 1, 0], &frame(0x9999, &[]));
        assert_eq!(names(&other[0]), ["decoder.vxlan.unknown_payload_type"]);
    }
}
