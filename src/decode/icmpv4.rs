//! ICMP for IPv4 (RFC 792, 950, 1256), with the packet that an error quotes.

use crate::packet::{DecodeEvent, Embedded, Transport};

use super::walk::{Decoded, Part, Walk, pair_hash};

/// Length of the header.
const HEADER_LEN: usize = 8;

/// Decodes a message.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.icmpv4 += 1;
    let Some([kind, code, _, _, b4, b5, b6, b7]) = part.bytes.first_chunk::<HEADER_LEN>().copied()
    else {
        return w.refuse(DecodeEvent::ICMPV4_PKT_TOO_SMALL);
    };
    w.layers.transport = Transport::Icmp;
    w.layers.transport_offset = part.at;
    w.layers.sport = u16::from(kind);
    w.layers.dport = u16::from(code);
    w.layers.has_flow = true;
    let largest_code = match kind {
        // Echo and its reply, source quench, parameter problem, timestamp, information, address mask.
        0 | 4 | 8 | 12 | 13..=18 => 0,
        3 => 15,
        5 => 3,
        11 => 1,
        9 => u8::MAX,
        _ => {
            w.event(DecodeEvent::ICMPV4_UNKNOWN_TYPE);
            u8::MAX
        }
    };
    let right_code = code <= largest_code;
    if !right_code {
        w.event(DecodeEvent::ICMPV4_UNKNOWN_CODE);
    }
    let mut header_len = HEADER_LEN;
    match kind {
        3 | 4 | 5 | 11 | 12 if right_code => {
            if let Some(quoted) = part
                .skip(HEADER_LEN)
                .filter(|q| !q.bytes.is_empty() || kind == 4)
            {
                embedded(w, quoted, kind == 3);
            }
        }
        0 | 8 | 13..=18 => {
            w.layers.icmp_id = u16::from_be_bytes([b4, b5]);
            w.layers.icmp_seq = u16::from_be_bytes([b6, b7]);
        }
        _ => {}
    }
    match kind {
        // RFC 792: originate, receive and transmit timestamps. RFC 1256 §3: addresses, by their number and size.
        13 | 14 => header_len += 12,
        9 => header_len += usize::from(b4) * usize::from(b5) * 4,
        _ => {}
    }
    if part.bytes.len() < header_len {
        w.event(DecodeEvent::ICMPV4_IPV4_TRUNC_PKT);
        header_len = HEADER_LEN;
    }
    if let Some(payload) = part.skip(header_len) {
        w.payload(payload);
    }
    if w.verify {
        let field = [part.u8(2).unwrap_or(0), part.u8(3).unwrap_or(0)];
        w.layers.bad_checksum = w.checksums.transport_is_wrong(0, part.bytes, field);
    }
    Ok(())
}

/// The packet an error is about: its IP header and at least 8 bytes more.
fn embedded(w: &mut Walk<'_>, part: Part<'_>, unreachable: bool) {
    let Some(ip) = part.bytes.first_chunk::<20>() else {
        return w.invalid(DecodeEvent::ICMPV4_IPV4_TRUNC_PKT);
    };
    if ip[0] >> 4 != 4 {
        return w.invalid(DecodeEvent::ICMPV4_IPV4_UNKNOWN_VER);
    }
    let protocol = ip[9];
    let rest = part
        .bytes
        .get(usize::from(ip[0] & 0x0f).max(5) * 4..)
        .unwrap_or_default();
    w.layers.embedded = Some(quote(part.at, protocol, 1, rest));
    // An unreachable error belongs to the flow it is about, so it must reach that flow's worker.
    if unreachable && matches!(protocol, 6 | 17) && rest.len() >= 4 {
        let src = [ip[12], ip[13], ip[14], ip[15]];
        let dst = [ip[16], ip[17], ip[18], ip[19]];
        w.layers.hash = pair_hash(w.settings.seed, src.into(), dst.into());
    }
}

/// What a quoted packet says of itself; `icmp` is the number of ICMP in its IP version.
pub(super) fn quote(offset: u32, protocol: u8, icmp: u8, transport: &[u8]) -> Embedded {
    let mut embedded = Embedded {
        offset,
        proto: 0,
        sport: 0,
        dport: 0,
    };
    match (protocol, transport) {
        (6 | 17, [a, b, c, d, ..]) => {
            embedded.proto = protocol;
            embedded.sport = u16::from_be_bytes([*a, *b]);
            embedded.dport = u16::from_be_bytes([*c, *d]);
        }
        (other, [_, _, _, _, _, _, _, _, ..]) if other == icmp => embedded.proto = protocol,
        _ => {}
    }
    embedded
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv4, only, udp};
    use crate::packet::Packet;

    fn message(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
        ipv4(
            1,
            &[],
            &[&[kind, code, 0, 0, 0, 7, 0, 9][..], body].concat(),
        )
    }

    #[test]
    fn an_error_quotes_the_flow_it_is_about_and_goes_to_its_worker() {
        let quoted = ipv4(17, &[1, 1, 1, 1, 1, 1, 1, 0], &udp(1000, 53, b"x"));
        let bytes = frame(0x0800, &message(3, 3, &quoted));
        let layers = only(&bytes);
        let key = Packet {
            frame: &bytes,
            layers: &layers,
        }
        .embedded_key()
        .expect("quoted");
        assert_eq!((key.sport, key.dport, key.proto), (1000, 53, 17));
        assert_eq!(key.src, std::net::IpAddr::from([10, 0, 0, 1]));
        assert_eq!(layers.hash, only(&frame(0x0800, &quoted)).hash);
    }

    #[test]
    fn echo_has_an_identifier_and_a_sequence_number() {
        let layers = only(&frame(0x0800, &message(8, 0, b"abcd")));
        assert_eq!(
            (
                layers.sport,
                layers.icmp_id,
                layers.icmp_seq,
                layers.payload_len
            ),
            (8, 7, 9, 4)
        );
        assert!(layers.bad_checksum);
    }

    #[test]
    fn unknown_types_and_codes_and_cut_bodies_are_events() {
        assert_eq!(
            events(0x0800, &message(8, 1, &[])),
            ["decoder.icmpv4.unknown_code"]
        );
        assert_eq!(
            events(0x0800, &message(44, 0, &[])),
            ["decoder.icmpv4.unknown_type"]
        );
        assert_eq!(
            events(0x0800, &message(13, 0, &[0; 4])),
            ["decoder.icmpv4.ipv4_trunc_pkt"]
        );
        assert_eq!(
            events(0x0800, &message(3, 0, &[0x45; 8])),
            ["decoder.icmpv4.ipv4_trunc_pkt"]
        );
        assert_eq!(
            events(0x0800, &message(3, 0, &[0x65; 20])),
            ["decoder.icmpv4.ipv4_unknown_ver"]
        );
        assert_eq!(
            events(0x0800, &ipv4(1, &[], &[8; 7])),
            ["decoder.icmpv4.pkt_too_small"]
        );
    }
}
