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
