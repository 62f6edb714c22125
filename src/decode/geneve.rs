//! GENEVE (RFC 8926): version 0, with options that must add up to the header's length.

use crate::packet::{DecodeEvent, PacketOrigin};

use super::walk::{Begin, Part, Walk};

/// Length of a header without options.
const HEADER_LEN: usize = 8;

/// Decodes a datagram's payload. Answers whether it is GENEVE.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> bool {
    let Some([version_len, flags, p1, p2, _, _, _, reserved]) =
        part.bytes.first_chunk::<HEADER_LEN>().copied()
    else {
        return false;
    };
    if w.layer().is_err() {
        return false;
    }
    let options_len = usize::from(version_len & 0x3f) * 4;
    let (Some(options), Some(inside)) = (
        part.bytes.get(HEADER_LEN..HEADER_LEN + options_len),
        part.skip(HEADER_LEN + options_len),
    ) else {
        return false;
    };
    if version_len >> 6 != 0 || flags & 0x3f != 0 || reserved != 0 || !options_add_up(options) {
        return false;
    }
    w.stats.geneve += 1;
    let begin = match u16::from_be_bytes([p1, p2]) {
        0x0800 => Begin::Ipv4,
        0x86dd => Begin::Ipv6,
        0x6558 => Begin::Ethernet,
        0x0806 => return true,
        _ => {
            w.invalid(DecodeEvent::GENEVE_UNKNOWN_PAYLOAD_TYPE);
            return true;
        }
    };
    w.tunnel(inside, begin, PacketOrigin::Geneve);
    true
}

/// Options have 4 bytes and then as many words as their last 5 bits say.
fn options_add_up(mut options: &[u8]) -> bool {
    while !options.is_empty() {
        let Some(len) = options.get(3) else {
            return false;
        };
        let Some(rest) = options.get(4 + usize::from(len & 0x1f) * 4..) else {
            return false;
        };
        options = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, frame, ipv4, names, udp};
    use crate::packet::{Layers, LinkType, PacketOrigin};

    fn datagram(header: &[u8], inner: &[u8]) -> Vec<Layers> {
        let payload = [header, inner].concat();
        decode(
            &frame(0x0800, &ipv4(17, &[], &udp(6081, 9, &payload))),
            LinkType::ETHERNET,
        )
    }

    #[test]
    fn a_packet_is_unfolded_when_the_options_add_up() {
        let inner = ipv4(17, &[], &udp(1, 2, b"x"));
        let options = [0, 1, 1, 1, 9, 9, 9, 9];
        let found = datagram(&[&[2, 0, 8, 0, 0, 0, 1, 0][..], &options].concat(), &inner);
        assert_eq!((found.len(), found[0].origin), (2, PacketOrigin::Geneve));
        assert_eq!(
            datagram(&[&[1, 0, 8, 0, 0, 0, 1, 0][..], &options].concat(), &inner).len(),
            1
        );
        assert_eq!(datagram(&[0x40, 0, 8, 0, 0, 0, 1, 0], &inner).len(), 1);
        let other = datagram(&[0, 0, 0x99, 0x99, 0, 0, 1, 0], &inner);
        assert_eq!(names(&other[0]), ["decoder.geneve.unknown_payload_type"]);
    }
}
