//! Tags between Ethernet and the network layer other than VLAN's: backbone bridges (IEEE 802.1ah), E-TAG
//! (IEEE 802.1BR) and VN-TAG.

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// IEEE 802.1ah: flags with the service id, the customer's addresses, an ethertype.
pub(super) fn backbone(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    let (Some(ethertype), Some(rest)) = (part.u16(16), part.skip(18)) else {
        return w.refuse(DecodeEvent::IEEE8021AH_HEADER_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, ethertype, rest);
    Ok(())
}

/// E-TAG.
pub(super) fn etag(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.etag += 1;
    let (Some(ethertype), Some(rest)) = (part.u16(6), part.skip(8)) else {
        return w.refuse(DecodeEvent::ETAG_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if !ethernet::network(w, ethertype, rest) {
        return w.refuse(DecodeEvent::ETAG_UNKNOWN_TYPE);
    }
    Ok(())
}

/// VN-TAG.
pub(super) fn vntag(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.vntag += 1;
    let (Some(ethertype), Some(rest)) = (part.u16(4), part.skip(6)) else {
        return w.refuse(DecodeEvent::VNTAG_HEADER_TOO_SMALL);
    };
    w.layer()?;
    if !ethernet::network(w, ethertype, rest) {
        return w.refuse(DecodeEvent::VNTAG_UNKNOWN_TYPE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only};
    use crate::packet::Net;

    #[test]
    fn tags_are_seen_through() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        for (ethertype, len) in [(0x88e7, 16), (0x893f, 6), (0x8926, 4)] {
            let tagged = [&vec![0; len][..], &[8, 0], &packet].concat();
            assert_eq!(only(&frame(ethertype, &tagged)).net, Net::V4);
        }
    }

    #[test]
    fn cut_tags_and_unknown_types_are_events() {
        assert_eq!(
            events(0x88e7, &[0; 17]),
            ["decoder.ieee8021ah.header_too_small"]
        );
        assert_eq!(events(0x893f, &[0; 7]), ["decoder.etag.header_too_small"]);
        assert_eq!(events(0x8926, &[0; 5]), ["decoder.vntag.header_too_small"]);
        assert_eq!(
            events(0x893f, &[0; 8]),
            [
                "decoder.ethernet.unknown_ethertype",
                "decoder.etag.unknown_type"
            ]
        );
        assert_eq!(
            events(0x8926, &[0; 8]),
            [
                "decoder.ethernet.unknown_ethertype",
                "decoder.vntag.unknown_type"
            ]
        );
    }
}
