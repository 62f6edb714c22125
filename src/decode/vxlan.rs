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
