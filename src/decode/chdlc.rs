//! Cisco HDLC: address, control, and an ethertype.

use crate::packet::DecodeEvent;

use super::ethernet;
use super::walk::{Decoded, Part, Walk};

/// Decodes a frame.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.chdlc += 1;
    let (Some(protocol), Some(rest)) = (part.u16(2), part.skip(4)) else {
        return w.refuse(DecodeEvent::CHDLC_PKT_TOO_SMALL);
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
    fn it_carries_an_ethertype() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        assert_eq!(
            decode(&[&[0x0f, 0, 8, 0][..], &packet].concat(), LinkType::CHDLC)[0].net,
            Net::V4
        );
        assert_eq!(
            names(&decode(&[0x0f, 0, 8], LinkType::CHDLC)[0]),
            ["decoder.chdlc.pkt_too_small"]
        );
    }
}
