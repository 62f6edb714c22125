//! PPP (RFC 1661), with or without HDLC framing (RFC 1662) and protocol field compression.

use crate::packet::DecodeEvent;

use super::walk::{Decoded, Part, Refused, Walk};
use super::{ipv4, ipv6};

/// Decodes a frame.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.ppp += 1;
    // 0xff begins HDLC's address and control fields.
    let framing = if part.u8(0) == Some(0xff) { 2 } else { 0 };
    let Some((protocol, rest)) = part.skip(framing).and_then(protocol) else {
        return w.refuse(DecodeEvent::PPP_PKT_TOO_SMALL);
    };
    w.layer()?;
    carried(w, protocol, rest)
}

/// The protocol field: one byte when its lowest bit is set (RFC 1661 §2), otherwise two.
pub(super) fn protocol(part: Part<'_>) -> Option<(u16, Part<'_>)> {
    let first = part.u8(0)?;
    if first & 1 != 0 {
        Some((u16::from(first), part.skip(1)?))
    } else {
        Some((part.u16(0)?, part.skip(2)?))
    }
}

/// What a protocol number carries.
pub(super) fn carried(w: &mut Walk<'_>, protocol: u16, part: Part<'_>) -> Decoded {
    match protocol {
        0x0021 if part.bytes.len() < ipv4::HEADER_LEN => {
            w.refuse(DecodeEvent::PPP_IP4_PKT_TOO_SMALL)
        }
        0x002f if part.bytes.len() < ipv4::HEADER_LEN => {
            w.refuse(DecodeEvent::PPP_VJU_PKT_TOO_SMALL)
        }
        0x0057 if part.bytes.len() < ipv6::HEADER_LEN => {
            w.refuse(DecodeEvent::PPP_IP6_PKT_TOO_SMALL)
        }
        0x0021 => ipv4::decode(w, part),
        0x0057 => ipv6::decode(w, part),
        // Van Jacobson's uncompressed TCP/IP (RFC 1144): the header is whole.
        0x002f if part.u8(0).is_some_and(|first| first >> 4 == 4) => ipv4::decode(w, part),
        0x002f => Err(Refused),
        // Control and authentication protocols, which belong here.
        0x8021 | 0x8057 | 0xc021 | 0xc023 | 0xc223 | 0x80fd | 0xc025 | 0xc029 | 0x00fd | 0x8207 => {
            Ok(())
        }
        // Other networks.
        0x0023 | 0x0025 | 0x0027 | 0x0029 | 0x002b | 0x002d | 0x0031 | 0x0033 | 0x0035 | 0x0201
        | 0x0231 | 0x0233 | 0x0281 | 0x0283 | 0x8023 | 0x8025 | 0x8027 | 0x8029 | 0x802b
        | 0x8033 | 0x8035 | 0x8281 => {
            w.event(DecodeEvent::PPP_UNSUP_PROTO);
            Ok(())
        }
        _ => {
            w.invalid(DecodeEvent::PPP_WRONG_TYPE);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, ipv4, names};
    use crate::packet::{LinkType, Net};

    #[test]
    fn framing_and_compression_of_the_protocol_field_are_seen_through() {
        let packet = ipv4(1, &[], &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]);
        for header in [
            &[0x21][..],
            &[0, 0x21],
            &[0xff, 3, 0, 0x21],
            &[0xff, 3, 0x21],
        ] {
            let found = decode(&[header, &packet].concat(), LinkType::PPP);
            assert_eq!((found[0].net, found[0].events.is_empty()), (Net::V4, true));
        }
    }

    #[test]
    fn other_protocols_are_known_unsupported_or_wrong() {
        let found = |bytes: &[u8]| names(&decode(bytes, LinkType::PPP)[0]);
        assert_eq!(found(&[0xc0, 0x21, 0, 0]), [""; 0]);
        assert_eq!(found(&[0, 0x2b, 0, 0]), ["decoder.ppp.unsup_proto"]);
        assert_eq!(found(&[0x12, 0x34, 0, 0]), ["decoder.ppp.wrong_type"]);
        assert_eq!(found(&[0, 0x21, 0x45]), ["decoder.ppp.ip4_pkt_too_small"]);
        assert_eq!(found(&[0, 0x57, 0x45]), ["decoder.ppp.ip6_pkt_too_small"]);
        assert_eq!(found(&[0, 0x2f, 0x45]), ["decoder.ppp.vju_pkt_too_small"]);
        assert_eq!(found(&[0xff, 3]), ["decoder.ppp.pkt_too_small"]);
    }
}
