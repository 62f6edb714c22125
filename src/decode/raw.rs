//! Frames that begin with IP: the version says which.

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Walk};
use super::{ipv4, ipv6};

/// Decodes a packet.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.raw += 1;
    match part.u8(0).map(|first| first >> 4) {
        // What is wrong above is in the events; the frame itself was understood.
        _ if part.bytes.len() < ipv4::HEADER_LEN => {
            return w.refuse(DecodeEvent::IPV4_PKT_TOO_SMALL);
        }
        Some(4) => {
            w.layers.ethertype = 0x0800;
            let _ = ipv4::decode(w, part);
        }
        Some(6) => {
            w.layers.ethertype = 0x86dd;
            let _ = ipv6::decode(w, part);
        }
        _ => w.event(DecodeEvent::IPRAW_INVALID_IP_VERSION),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, ipv4, ipv6, names};
    use crate::packet::{LinkType, Net};

    #[test]
    fn the_version_tells_what_it_is() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        assert_eq!(decode(&packet, LinkType::RAW)[0].net, Net::V4);
        assert_eq!(decode(&ipv6(59, &[]), LinkType::RAW_BSD)[0].net, Net::V6);
        assert_eq!(
            names(&decode(&[0x90; 20], LinkType::RAW)[0]),
            ["decoder.ipraw.invalid_ip_version"]
        );
        assert_eq!(
            names(&decode(&[0x45; 19], LinkType::RAW)[0]),
            ["decoder.ipv4.pkt_too_small"]
        );
    }
}
