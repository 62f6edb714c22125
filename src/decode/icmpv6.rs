//! ICMP for IPv6 (RFC 4443, 4861, 2710 and the registry of types), with the packet that an error quotes.

use crate::packet::{DecodeEvent, Transport};

use super::icmpv4::quote;
use super::walk::{Decoded, Part, Walk};

/// Length of an error's and of an echo's header. Other messages have 4 bytes before their body.
const HEADER_LEN: usize = 8;

/// Decodes a message.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.icmpv6 += 1;
    let Some([kind, code, c1, c2, b4, b5, b6, b7]) =
        part.bytes.first_chunk::<HEADER_LEN>().copied()
    else {
        return w.refuse(DecodeEvent::ICMPV6_PKT_TOO_SMALL);
    };
    w.layers.transport = Transport::Icmpv6;
    w.layers.transport_offset = part.at;
    w.layers.ip_proto = 58;
    w.layers.sport = u16::from(kind);
    w.layers.dport = u16::from(code);
    w.layers.has_flow = true;
    let known = code_is_known(kind, code);
    if known == Some(false) {
        w.event(DecodeEvent::ICMPV6_UNKNOWN_CODE);
    }
    match kind {
        130..=132 if w.layers.ttl != 1 => w.event(DecodeEvent::ICMPV6_MLD_MESSAGE_WITH_INVALID_HL),
        _ if known.is_some() => {}
        // The ranges of the registry.
        100 | 101 | 200 | 201 => w.event(DecodeEvent::ICMPV6_EXPERIMENTATION_TYPE),
        5..=126 | 160..=255 => w.event(DecodeEvent::ICMPV6_UNASSIGNED_TYPE),
        _ => w.event(DecodeEvent::ICMPV6_UNKNOWN_TYPE),
    }
    let mut header_len = 4;
    match (kind, known) {
        (1..=4, Some(true)) => {
            header_len = HEADER_LEN;
            if let Some(quoted) = part.skip(HEADER_LEN) {
                embedded(w, quoted);
            }
        }
        (128 | 129, Some(true)) => {
            header_len = HEADER_LEN;
            w.layers.icmp_id = u16::from_be_bytes([b4, b5]);
            w.layers.icmp_seq = u16::from_be_bytes([b6, b7]);
        }
        _ => {}
    }
    if let Some(payload) = part.skip(header_len) {
        w.payload(payload);
    }
    w.verify_transport(58, part.bytes, [c1, c2]);
    Ok(())
}

/// Whether a type has this code; `None` for types without a definition.
fn code_is_known(kind: u8, code: u8) -> Option<bool> {
    Some(match kind {
        1 => code <= 6,
        3 => code <= 1,
        4 => code <= 2,
        2 | 128..=137 | 141..=149 | 154 | 156..=159 => code == 0,
        138 => code <= 2 || code == 255,
        139 | 140 => code <= 2,
        150..=153 => true,
        155 => code <= 3 || (128..=132).contains(&code),
        _ => return None,
    })
}

/// The packet an error is about.
fn embedded(w: &mut Walk<'_>, part: Part<'_>) {
    let (Some(first), Some(protocol), Some(rest)) = (part.u8(0), part.u8(6), part.skip(40)) else {
        return w.invalid(DecodeEvent::ICMPV6_IPV6_TRUNC_PKT);
    };
    if first >> 4 != 6 {
        return w.invalid(DecodeEvent::ICMPV6_IPV6_UNKNOWN_VERSION);
    }
    w.layers.embedded = Some(quote(part.at, protocol, 58, rest.bytes));
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv6, only, udp};
    use crate::packet::Packet;

    fn message(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        ipv6(58, &[&[kind, code, 0, 0, 0, 7, 0, 9][..], body].concat())
    }

    #[test]
    fn an_error_quotes_the_flow_it_is_about() {
        let bytes = frame(0x86dd, &message(1, 4, &ipv6(17, &udp(1000, 53, b"x"))));
        let layers = only(&bytes);
        let key = Packet {
            frame: &bytes,
            layers: &layers,
        }
        .embedded_key()
        .expect("quoted");
        assert_eq!((key.sport, key.dport, key.proto), (1000, 53, 17));
    }

    #[test]
    fn types_and_codes_without_definition_are_events() {
        assert_eq!(
            events(0x86dd, &message(128, 1, &[])),
            ["decoder.icmpv6.unknown_code"]
        );
        assert_eq!(
            events(0x86dd, &message(5, 0, &[])),
            ["decoder.icmpv6.unassigned_type"]
        );
        assert_eq!(
            events(0x86dd, &message(100, 0, &[])),
            ["decoder.icmpv6.experimentation_type"]
        );
        assert_eq!(
            events(0x86dd, &message(0, 0, &[])),
            ["decoder.icmpv6.unknown_type"]
        );
        assert_eq!(
            events(0x86dd, &message(130, 0, &[])),
            ["decoder.icmpv6.mld_message_with_invalid_hl"]
        );
        assert_eq!(
            events(0x86dd, &message(2, 0, &[0; 9])),
            ["decoder.icmpv6.ipv6_trunc_pkt"]
        );
        assert_eq!(
            events(0x86dd, &message(2, 0, &[0; 40])),
            ["decoder.icmpv6.ipv6_unknown_version"]
        );
        assert_eq!(
            events(0x86dd, &ipv6(58, &[128; 7])),
            ["decoder.icmpv6.pkt_too_small"]
        );
    }
}
