//! Ethernet II (IEEE 802.3 clause 3), and the ethertypes above it and above everything that ends in one.
//!
//! The trailer (padding, FCS) is never payload: the network header's own length decides.

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Walk};
use super::{arp, ipv4, ipv6, mpls, nsh, pppoe, tag, vlan};

/// Length of the header.
const HEADER_LEN: usize = 14;

/// FabricPath and DCE: a frame in a frame, two bytes apart.
const DCE_HEADER_LEN: usize = HEADER_LEN + 2;

/// Decodes a frame.
#[inline]
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let (Some(ethertype), Some(rest)) = (part.u16(12), part.skip(HEADER_LEN)) else {
        return w.refuse(DecodeEvent::ETHERNET_PKT_TOO_SMALL);
    };
    w.layer()?;
    w.stats.ethernet += 1;
    w.layers.ethernet_offset = Some(part.at);
    network(w, ethertype, rest);
    Ok(())
}

/// What an ethertype stands for. Answers whether it is known; what is wrong above it is in the events.
#[inline]
pub(super) fn network(w: &mut Walk<'_>, ethertype: u16, part: Part<'_>) -> bool {
    w.layers.ethertype = ethertype;
    // What the layers above refuse is theirs to say; a known ethertype stays known.
    let _ = match ethertype {
        0x0800 => ipv4::decode(w, part),
        0x86dd => ipv6::decode(w, part),
        0x0806 => arp::decode(w, part),
        0x8100 | 0x88a8 | 0x9100 => vlan::decode(w, part),
        0x88e7 => tag::backbone(w, part),
        0x8847 | 0x8848 => mpls::decode(w, part),
        0x8864 => pppoe::session(w, part),
        0x8863 => pppoe::discovery(w, part),
        0x8903 => match part.skip(2) {
            Some(rest) if part.bytes.len() >= DCE_HEADER_LEN => decode(w, rest),
            _ => w.refuse(DecodeEvent::DCE_PKT_TOO_SMALL),
        },
        0x893f => tag::etag(w, part),
        0x8926 => tag::vntag(w, part),
        0x894f => nsh::decode(w, part),
        _ => {
            w.stats.ethertype_unknown += 1;
            w.event(DecodeEvent::ETHERNET_UNKNOWN_ETHERTYPE);
            return false;
        }
    };
    true
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, names, only};
    use crate::packet::Net;

    #[test]
    fn cut_frames_and_unknown_types_are_events() {
        assert_eq!(names(&only(&[0; 13])), ["decoder.ethernet.pkt_too_small"]);
        assert_eq!(events(0x9999, &[]), ["decoder.ethernet.unknown_ethertype"]);
        assert_eq!(events(0x8903, &[0; 15]), ["decoder.dce.pkt_too_small"]);
    }

    #[test]
    fn fabric_path_carries_a_frame() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let inner = [&[0, 0][..], &frame(0x0800, &packet)].concat();
        assert_eq!(only(&frame(0x8903, &inner)).net, Net::V4);
    }
}
