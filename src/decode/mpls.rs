//! MPLS (RFC 3032): the stack of labels down to its bottom; what follows is told by the label or by its first nibble.

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Walk};
use super::{ethernet, ipv4, ipv6};

/// Length of a stack entry, and of a pseudowire's control word (RFC 4385).
const ENTRY_LEN: usize = 4;

/// Decodes a stack. Every entry takes 4 bytes, so the frame bounds the walk.
pub(super) fn decode(w: &mut Walk<'_>, mut part: Part<'_>) -> Decoded {
    w.stats.mpls += 1;
    w.layer()?;
    let label = loop {
        let (Some(entry), Some(rest)) = (
            part.bytes.first_chunk().map(|e| u32::from_be_bytes(*e)),
            part.skip(ENTRY_LEN),
        ) else {
            return w.refuse(DecodeEvent::MPLS_HEADER_TOO_SMALL);
        };
        part = rest;
        if entry & 0x100 != 0 {
            break entry >> 12;
        }
    };
    match label {
        0 => return ipv4::decode(w, part),
        1 => w.event(DecodeEvent::MPLS_BAD_LABEL_ROUTER_ALERT),
        2 => return ipv6::decode(w, part),
        3 => w.event(DecodeEvent::MPLS_BAD_LABEL_IMPLICIT_NULL),
        4..=14 => w.event(DecodeEvent::MPLS_BAD_LABEL_RESERVED),
        _ => {
            let Some(rest) = part.skip(ENTRY_LEN) else {
                return w.refuse(DecodeEvent::MPLS_PKT_TOO_SMALL);
            };
            let _ = match part.u8(0).map(|first| first >> 4) {
                Some(4) => ipv4::decode(w, part),
                Some(6) => ipv6::decode(w, part),
                Some(0) => ethernet::decode(w, rest),
                _ => w.refuse(DecodeEvent::MPLS_UNKNOWN_PAYLOAD_TYPE),
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use crate::packet::Net;

    fn labelled(label: u32, payload: &[u8]) -> Vec<u8> {
        let outer = 1000u32 << 12;
        let inner = label << 12 | 0x100;
        [&outer.to_be_bytes()[..], &inner.to_be_bytes(), payload].concat()
    }

    #[test]
    fn the_payload_is_told_by_label_or_first_nibble() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        for label in [0, 500] {
            assert_eq!(only(&frame(0x8847, &labelled(label, &packet))).net, Net::V4);
        }
        let wire = [&[0; 4][..], &frame(0x0800, &packet)].concat();
        assert_eq!(only(&frame(0x8847, &labelled(500, &wire))).net, Net::V4);
    }

    #[test]
    fn reserved_labels_and_cut_stacks_are_events() {
        assert_eq!(
            events(0x8847, &labelled(1, &[])),
            ["decoder.mpls.bad_label_router_alert"]
        );
        assert_eq!(
            events(0x8847, &labelled(3, &[])),
            ["decoder.mpls.bad_label_implicit_null"]
        );
        assert_eq!(
            events(0x8847, &labelled(9, &[])),
            ["decoder.mpls.bad_label_reserved"]
        );
        assert_eq!(
            events(0x8847, &labelled(500, &[0x45])),
            ["decoder.mpls.pkt_too_small"]
        );
        assert_eq!(
            events(0x8847, &labelled(500, &[0x90; 8])),
            ["decoder.mpls.unknown_payload_type"]
        );
        assert_eq!(
            events(0x8847, &[0, 0, 0, 0]),
            ["decoder.mpls.header_too_small"]
        );
    }
}
