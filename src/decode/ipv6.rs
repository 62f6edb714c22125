//! IPv6 (RFC 8200) with its extension headers.

use std::net::IpAddr;

use crate::packet::{DecodeEvent, Net, PacketOrigin};

use super::defrag::Fragment;
use super::walk::{Begin, Decoded, Part, Walk};
use super::{esp, gre, icmpv6, ipv4, sctp, tcp, udp};

/// Length of the fixed header.
pub(super) const HEADER_LEN: usize = 40;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const NONE: u8 = 59;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HIP: u8 = 139;
const SHIM6: u8 = 140;

/// Decodes a packet.
#[inline]
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.ipv6 += 1;
    w.layer()?;
    let part = part.limit(usize::from(u16::MAX));
    let Some(h) = part.bytes.first_chunk::<HEADER_LEN>() else {
        return w.refuse(DecodeEvent::IPV6_PKT_TOO_SMALL);
    };
    if h[0] >> 4 != 6 {
        return w.refuse(DecodeEvent::IPV6_WRONG_IP_VERSION);
    }
    let payload_len = usize::from(u16::from_be_bytes([h[4], h[5]]));
    let Some(payload) = part
        .skip(HEADER_LEN)
        .filter(|rest| rest.bytes.len() >= payload_len)
    else {
        return w.refuse(DecodeEvent::IPV6_TRUNC_PKT);
    };
    let payload = payload.limit(payload_len);
    let (src, dst) = (address(part, 8), address(part, 24));
    w.addresses(src, dst);
    let layers = &mut *w.layers;
    layers.net = Net::V6;
    layers.network_offset = part.at;
    layers.network_header_len = HEADER_LEN as u32;
    layers.tos = (h[0] << 4) | (h[1] >> 4);
    layers.ttl = h[7];
    layers.ip_proto = h[6];
    // What the layers above refuse does not make this packet unreadable.
    let _ = match h[6] {
        4 => ipv4_inside(w, payload),
        41 => ipv6_inside(w, payload),
        47 => gre::decode(w, payload),
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | NONE | DESTINATION | MOBILITY | HIP
        | SHIM6 | 50 => {
            w.layers.ip_proto = 0;
            Extensions::default().walk(w, part.at, h[6], payload)
        }
        other => transport(w, other, payload),
    };
    Ok(())
}

fn address(part: Part<'_>, offset: usize) -> IpAddr {
    let bytes = part
        .bytes
        .get(offset..)
        .and_then(|b| b.first_chunk::<16>())
        .copied()
        .unwrap_or_default();
    IpAddr::from(bytes)
}

/// What may come without or after extension headers.
#[inline]
fn transport(w: &mut Walk<'_>, next: u8, part: Part<'_>) -> Decoded {
    match next {
        6 => tcp::decode(w, part),
        17 => udp::decode(w, part),
        58 => icmpv6::decode(w, part),
        132 => sctp::decode(w, part),
        1 => {
            w.layers.ip_proto = 0;
            w.event(DecodeEvent::IPV6_ICMPV4);
            Ok(())
        }
        other => {
            w.event(DecodeEvent::IPV6_UNKNOWN_NEXT_HEADER);
            w.other(other, part);
            Ok(())
        }
    }
}

fn ipv4_inside(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    if part.bytes.len() < ipv4::HEADER_LEN {
        return w.refuse(DecodeEvent::IPV6_IPV4_IN_IPV6_TOO_SMALL);
    }
    if part.u8(0).is_none_or(|first| first >> 4 != 4) {
        return w.refuse(DecodeEvent::IPV6_IPV4_IN_IPV6_WRONG_VERSION);
    }
    w.stats.ipv4_in_ipv6 += u64::from(w.tunnel(part, Begin::Ipv4, PacketOrigin::Ip6InIp));
    w.other(4, part);
    w.layers.has_flow = true;
    Ok(())
}

fn ipv6_inside(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    if part.bytes.len() < HEADER_LEN {
        return w.refuse(DecodeEvent::IPV6_IPV6_IN_IPV6_TOO_SMALL);
    }
    if part.u8(0).is_none_or(|first| first >> 4 != 6) {
        return w.refuse(DecodeEvent::IPV6_IPV6_IN_IPV6_WRONG_VERSION);
    }
    w.stats.ipv6_in_ipv6 += u64::from(w.tunnel(part, Begin::Ipv6, PacketOrigin::Ip6InIp));
    w.other(41, part);
    w.layers.has_flow = true;
    Ok(())
}

/// Which extension headers were there already.
#[derive(Default)]
struct Extensions {
    hop_by_hop: bool,
    /// Two are allowed: before a routing header and at the end (RFC 8200 §4.1).
    destination: u8,
    routing: bool,
    authentication: bool,
    fragment: bool,
    /// Length of the header before the one looked at, 0 at the first.
    previous_len: usize,
}

impl Extensions {
    /// Walks the chain. Every header takes at least 8 bytes of what is left, so the walk is bounded by the packet.
    fn walk(&mut self, w: &mut Walk<'_>, ip_at: u32, first: u8, first_part: Part<'_>) -> Decoded {
        let (mut next, mut part) = (first, first_part);
        loop {
            w.layers.network_header_len = part.at.saturating_sub(ip_at);
            if next == NONE {
                if !part.bytes.is_empty() {
                    w.event(DecodeEvent::IPV6_DATA_AFTER_NONE_HEADER);
                }
                return Ok(());
            }
            let (Some(following), Some(units)) = (part.u8(0), part.u8(1)) else {
                return w.refuse(DecodeEvent::IPV6_TRUNC_EXTHDR);
            };
            let units = usize::from(units);
            let len = match next {
                HOP_BY_HOP | DESTINATION | ROUTING | MOBILITY | HIP | SHIM6 => 8 + units * 8,
                FRAGMENT => 8,
                // RFC 4302 §2.2: units of 4 bytes, minus 2; Suricata counts from the 12 bytes that are always there.
                AUTHENTICATION => 12 + units.saturating_sub(1) * 4,
                4 => {
                    w.layers.ip_proto = next;
                    return ipv4_inside(w, part);
                }
                50 => {
                    w.layers.ip_proto = next;
                    return esp::decode(w, part);
                }
                other => {
                    if other != 1 {
                        w.layers.ip_proto = other;
                    }
                    return transport(w, other, part);
                }
            };
            if !matches!(next, MOBILITY | HIP | SHIM6) {
                w.layers.ip_proto = next;
            }
            let (header, Some(rest)) = (part.limit(len), part.skip(len)) else {
                return w.refuse(DecodeEvent::IPV6_TRUNC_EXTHDR);
            };
            match next {
                ROUTING => self.routing(w, header),
                HOP_BY_HOP => {
                    if std::mem::replace(&mut self.hop_by_hop, true) {
                        w.event(DecodeEvent::IPV6_EXTHDR_DUPL_HH);
                    } else {
                        options(w, header, next);
                    }
                }
                DESTINATION => {
                    if self.destination >= 2 {
                        w.event(DecodeEvent::IPV6_EXTHDR_DUPL_DH);
                    } else {
                        self.destination += 1;
                        options(w, header, next);
                    }
                }
                AUTHENTICATION => {
                    if part.u16(2) != Some(0) {
                        w.event(DecodeEvent::IPV6_EXTHDR_AH_RES_NOT_NULL);
                    }
                    if std::mem::replace(&mut self.authentication, true) {
                        w.event(DecodeEvent::IPV6_EXTHDR_DUPL_AH);
                    }
                }
                FRAGMENT if self.fragment(w, ip_at, part, rest) => return Ok(()),
                _ => {}
            }
            self.previous_len = len;
            (next, part) = (following, rest);
        }
    }

    fn routing(&mut self, w: &mut Walk<'_>, header: Part<'_>) {
        if std::mem::replace(&mut self.routing, true) {
            w.event(DecodeEvent::IPV6_EXTHDR_DUPL_RH);
        } else if header.u8(2) == Some(0) {
            w.event(DecodeEvent::IPV6_RH_TYPE_0);
        }
    }

    /// RFC 8200 §4.5. Answers whether the rest must wait for the other fragments.
    fn fragment(&mut self, w: &mut Walk<'_>, ip_at: u32, part: Part<'_>, rest: Part<'_>) -> bool {
        let Some([next, reserved, o1, o2, i1, i2, i3, i4]) = part.bytes.first_chunk().copied()
        else {
            return false;
        };
        if reserved != 0 {
            w.event(DecodeEvent::IPV6_FH_NON_ZERO_RESERVED_FIELD);
        }
        if std::mem::replace(&mut self.fragment, true) {
            w.event(DecodeEvent::IPV6_EXTHDR_DUPL_FH);
            return false;
        }
        let field = u16::from_be_bytes([o1, o2]);
        let (offset, more) = (field & 0xfff8, field & 1 != 0);
        w.layers.ip_id = u32::from_be_bytes([i1, i2, i3, i4]);
        w.layers.fragment_offset = offset;
        if !more && offset == 0 {
            w.event(DecodeEvent::IPV6_EXTHDR_USELESS_FH);
            return false;
        }
        // RFC 8200 §4.5 lets a host fragment its own packet once; a fragment inside hides the upper layer's header.
        if next == FRAGMENT {
            w.event(DecodeEvent::IPV6_FRAG_IN_FRAG);
        }
        if more && !part.bytes.len().is_multiple_of(8) {
            w.event(DecodeEvent::IPV6_FRAG_INVALID_LENGTH);
        }
        w.layers.fragment = true;
        w.layers.ip_flags = u8::from(more);
        w.fragment = Some(Fragment::v6(
            ip_at,
            part.at,
            self.previous_len,
            next,
            rest,
            more,
            w.layers,
        ));
        true
    }
}

/// Options of a hop-by-hop or destination header (RFC 8200 §4.2).
fn options(w: &mut Walk<'_>, header: Part<'_>, kind: u8) {
    let mut rest = header.bytes.get(2..).unwrap_or_default();
    let (mut padding, mut other) = (false, false);
    while let Some((&option, after)) = rest.split_first() {
        if option == 0 {
            padding = true;
            rest = after;
            continue;
        }
        let Some((&len, data)) = after.split_first() else {
            w.invalid(DecodeEvent::IPV6_EXTHDR_INVALID_OPTLEN);
            break;
        };
        let Some((data, after)) = data.split_at_checked(usize::from(len)) else {
            w.invalid(DecodeEvent::IPV6_EXTHDR_INVALID_OPTLEN);
            break;
        };
        // PadN, router alert (RFC 2711), jumbo payload (RFC 2675), home address (RFC 6275).
        let needs = match option {
            1 => {
                padding = true;
                if data.is_empty() {
                    w.event(DecodeEvent::IPV6_ZERO_LEN_PADN);
                }
                0
            }
            0x05 => 2,
            0xc2 => 4,
            0xc9 => 16,
            _ => {
                w.event(if kind == HOP_BY_HOP {
                    DecodeEvent::IPV6_HOPOPTS_UNKNOWN_OPT
                } else {
                    DecodeEvent::IPV6_DSTOPTS_UNKNOWN_OPT
                });
                other = true;
                0
            }
        };
        if data.len() < needs {
            w.invalid(DecodeEvent::IPV6_EXTHDR_INVALID_OPTLEN);
            break;
        }
        other |= matches!(option, 0x05 | 0xc9);
        rest = after;
    }
    if padding && !other {
        w.event(if kind == HOP_BY_HOP {
            DecodeEvent::IPV6_HOPOPTS_ONLY_PADDING
        } else {
            DecodeEvent::IPV6_DSTOPTS_ONLY_PADDING
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{events, frame, ipv6, only};
    use crate::packet::Transport;

    /// A UDP datagram with a right checksum between the addresses of [`ipv6`].
    const UDP: [u8; 8] = [0, 53, 0, 53, 0, 8, 0xa4, 0x0e];

    fn chain(first: u8, headers: &[&[u8]]) -> Vec<u8> {
        ipv6(first, &[&headers.concat()[..], &UDP].concat())
    }

    #[test]
    fn a_chain_of_extension_headers_leads_to_the_transport() {
        let hop = [60, 0, 5, 2, 0, 0, 0, 0];
        let destination = [43, 0, 0xc9, 4, 0, 0, 0, 0];
        let routing = [17, 0, 4, 0, 0, 0, 0, 0];
        let packet = chain(0, &[&hop, &destination, &routing]);
        let layers = only(&frame(0x86dd, &packet));
        assert_eq!(
            (layers.transport, layers.ip_proto, layers.network_header_len),
            (Transport::Udp, 17, 64)
        );
        assert_eq!(
            events(0x86dd, &packet),
            ["decoder.ipv6.exthdr_invalid_optlen"]
        );
    }

    #[test]
    fn each_fault_of_an_extension_header_has_its_event() {
        let padded = [17, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(
            events(0x86dd, &chain(0, &[&padded])),
            ["decoder.ipv6.hopopts_only_padding"]
        );
        assert_eq!(
            events(0x86dd, &chain(60, &[&padded])),
            ["decoder.ipv6.dstopts_only_padding"]
        );
        let unknown = [17, 0, 0x1e, 4, 0, 0, 0, 0];
        assert_eq!(
            events(0x86dd, &chain(0, &[&unknown])),
            ["decoder.ipv6.hopopts_unknown_opt"]
        );
        assert_eq!(
            events(0x86dd, &chain(43, &[&[17, 0, 0, 0, 0, 0, 0, 0]])),
            ["decoder.ipv6.rh_type_0"]
        );
        let atomic = [17, 0, 0, 0, 0, 0, 0, 1];
        assert_eq!(
            events(0x86dd, &chain(44, &[&atomic])),
            ["decoder.ipv6.exthdr_useless_fh"]
        );
        let reserved = [17, 3, 0, 0, 0, 0, 0, 1];
        let expected = [
            "decoder.ipv6.exthdr_useless_fh",
            "decoder.ipv6.fh_non_zero_reserved_field",
        ];
        assert_eq!(events(0x86dd, &chain(44, &[&reserved])), expected);
        let twice = [43, 0, 4, 0, 0, 0, 0, 0];
        let routing = [17, 0, 4, 0, 0, 0, 0, 0];
        assert_eq!(
            events(0x86dd, &chain(43, &[&twice, &routing])),
            ["decoder.ipv6.exthdr_dupl_rh"]
        );
        assert_eq!(
            events(0x86dd, &ipv6(59, &[0; 8])),
            ["decoder.ipv6.data_after_none_header"]
        );
        assert_eq!(events(0x86dd, &ipv6(59, &[])), [""; 0]);
        assert_eq!(
            events(0x86dd, &ipv6(60, &[17, 9, 0, 0])),
            ["decoder.ipv6.trunc_exthdr"]
        );
        assert_eq!(
            events(0x86dd, &ipv6(1, &[8, 0, 0, 0])),
            ["decoder.ipv6.icmpv4"]
        );
        assert_eq!(
            events(0x86dd, &ipv6(200, &[8, 0, 0, 0])),
            ["decoder.ipv6.unknown_next_header"]
        );
    }

    #[test]
    fn cut_packets_are_events() {
        let packet = chain(17, &[]);
        assert_eq!(events(0x86dd, &packet), [""; 0]);
        assert_eq!(events(0x86dd, &packet[..47]), ["decoder.ipv6.trunc_pkt"]);
        assert_eq!(
            events(0x86dd, &packet[..39]),
            ["decoder.ipv6.pkt_too_small"]
        );
    }
}
