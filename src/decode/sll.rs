//! Linux cooked captures, version 1 and 2 (tcpdump.org: LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2).

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// Length of version 1's header, the protocol at its end.
const HEADER_LEN: usize = 16;

/// Length of version 2's header, the protocol at its beginning.
const HEADER_V2_LEN: usize = 20;

/// Decodes a frame of version 1.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.sll += 1;
    let (Some(protocol), Some(rest)) = (part.u16(14), part.skip(HEADER_LEN)) else {
        return w.refuse(DecodeEvent::SLL_PKT_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, protocol, rest);
    Ok(())
}

/// Decodes a frame of version 2.
pub(super) fn decode_v2(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.sll += 1;
    let (Some(protocol), Some(rest)) = (part.u16(0), part.skip(HEADER_V2_LEN)) else {
        return w.refuse(DecodeEvent::SLL2_PKT_TOO_SMALL);
    };
    w.layer()?;
    ethernet::network(w, protocol, rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, ipv4, names};
    use crate::packet::{LinkType, Net};

    #[test]
    fn both_versions_carry_an_ethertype() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        let v1 = [&[0; 14][..], &[8, 0], &packet].concat();
        assert_eq!(decode(&v1, LinkType::LINUX_SLL)[0].net, Net::V4);
        let v2 = [&[8, 0][..], &[0; 18], &packet].concat();
        assert_eq!(decode(&v2, LinkType::LINUX_SLL2)[0].net, Net::V4);
        assert_eq!(
            names(&decode(&v1[..15], LinkType::LINUX_SLL)[0]),
            ["decoder.sll.pkt_too_small"]
        );
        assert_eq!(
            names(&decode(&v2[..19], LinkType::LINUX_SLL2)[0]),
            ["decoder.sll2.pkt_too_small"]
        );
    }
}
