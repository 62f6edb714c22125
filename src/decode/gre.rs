//! GRE: version 0 (RFC 2784, 2890, with the source routes of RFC 1701) and version 1 (PPTP, RFC 2637).

use crate::packet::{DecodeEvent, PacketOrigin};

use super::walk::{Begin, Decoded, Part, Walk};

/// Flags and version, ethertype.
const HEADER_LEN: usize = 4;

const CHECKSUM: u8 = 0x80;
const ROUTING: u8 = 0x40;
const KEY: u8 = 0x20;
const SEQUENCE: u8 = 0x10;
const STRICT_ROUTE: u8 = 0x08;
const RECURSION: u8 = 0x07;

/// In the second byte: acknowledgment number present (version 1), and the flags that must be zero.
const ACKNOWLEDGMENT: u8 = 0x80;
const FLAGS: u8 = 0x78;

/// PPP, which version 1 carries and nothing else.
const PPP: u16 = 0x880b;

/// Decodes a packet.
pub(super) fn decode(w: &mut Walk<'_>, part: Part<'_>) -> Decoded {
    w.stats.gre += 1;
    let Some([flags, version, p1, p2]) = part.bytes.first_chunk::<HEADER_LEN>().copied() else {
        return w.refuse(DecodeEvent::GRE_PKT_TOO_SMALL);
    };
    w.layer()?;
    w.other(47, part);
    let protocol = u16::from_be_bytes([p1, p2]);
    let inside = match version & 0x07 {
        0 => version_0(part, flags, version),
        1 => version_1(part, flags, version, protocol),
        _ => Err(DecodeEvent::GRE_WRONG_VERSION),
    };
    let inside = match inside {
        Ok(inside) => inside,
        Err(event) => {
            w.invalid(event);
            return Ok(());
        }
    };
    let begin = match protocol {
        0x0800 => Begin::Ipv4,
        0x86dd => Begin::Ipv6,
        PPP if version & 0x07 == 1 && part.u16(4) == Some(0) => return Ok(()),
        PPP => Begin::Ppp,
        0x8100 => Begin::Vlan,
        // Type I has no header and no sequence number (draft-foschiano-erspan-03 §4.1).
        0x88be if flags & SEQUENCE == 0 => Begin::ErspanI,
        0x88be => Begin::ErspanII,
        0x6558 => Begin::Ethernet,
        0x0806 => Begin::Arp,
        _ => return Ok(()),
    };
    w.tunnel(inside, begin, PacketOrigin::Gre);
    Ok(())
}

fn version_0(part: Part<'_>, flags: u8, version: u8) -> Result<Part<'_>, DecodeEvent> {
    if flags & RECURSION != 0 {
        return Err(DecodeEvent::GRE_VERSION0_RECUR);
    }
    if version & FLAGS != 0 {
        return Err(DecodeEvent::GRE_VERSION0_FLAGS);
    }
    let fields = [KEY, SEQUENCE, CHECKSUM | ROUTING]
        .iter()
        .filter(|field| flags & **field != 0)
        .count();
    let mut rest = part
        .skip(HEADER_LEN + 4 * fields)
        .ok_or(DecodeEvent::GRE_VERSION0_HDR_TOO_BIG)?;
    if flags & ROUTING != 0 {
        // RFC 1701: route entries, each with its length, up to an empty one. Each takes at least 4 bytes.
        loop {
            let malformed = DecodeEvent::GRE_VERSION0_MALFORMED_SRE_HDR;
            let [f1, f2, _, len] = *rest.bytes.first_chunk::<4>().ok_or(malformed)?;
            rest = rest.skip(4 + usize::from(len)).ok_or(malformed)?;
            if [f1, f2, len] == [0, 0, 0] {
                break;
            }
        }
    }
    Ok(rest)
}

fn version_1(
    part: Part<'_>,
    flags: u8,
    version: u8,
    protocol: u16,
) -> Result<Part<'_>, DecodeEvent> {
    let forbidden = [
        (CHECKSUM, DecodeEvent::GRE_VERSION1_CHKSUM),
        (ROUTING, DecodeEvent::GRE_VERSION1_ROUTE),
        (STRICT_ROUTE, DecodeEvent::GRE_VERSION1_SSR),
        (RECURSION, DecodeEvent::GRE_VERSION1_RECUR),
    ];
    if let Some((_, event)) = forbidden.iter().find(|(flag, _)| flags & flag != 0) {
        return Err(*event);
    }
    if version & FLAGS != 0 {
        return Err(DecodeEvent::GRE_VERSION1_FLAGS);
    }
    if protocol != PPP {
        return Err(DecodeEvent::GRE_VERSION1_WRONG_PROTOCOL);
    }
    if flags & KEY == 0 {
        return Err(DecodeEvent::GRE_VERSION1_NO_KEY);
    }
    let fields =
        1 + usize::from(flags & SEQUENCE != 0) + usize::from(version & ACKNOWLEDGMENT != 0);
    part.skip(HEADER_LEN + 4 * fields)
        .ok_or(DecodeEvent::GRE_VERSION1_HDR_TOO_BIG)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{decode, events, frame, ipv4, udp};
    use crate::packet::{LinkType, Net, PacketOrigin};

    fn inside(gre: &[u8], payload: &[u8]) -> Vec<crate::packet::Layers> {
        decode(
            &frame(0x0800, &ipv4(47, &[], &[gre, payload].concat())),
            LinkType::ETHERNET,
        )
    }

    #[test]
    fn the_inner_packet_comes_first_and_the_outer_one_is_marked() {
        let inner = ipv4(17, &[], &udp(1, 2, b"x"));
        let found = inside(&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2], &inner);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].origin, found[0].depth, found[0].dport),
            (PacketOrigin::Gre, 1, 2)
        );
        assert_eq!(
            (found[1].origin, found[1].encapsulates, found[1].has_flow),
            (PacketOrigin::Wire, true, false)
        );
        assert_eq!(found[0].frame.start, 1000 + 14 + 20 + 12);
    }

    #[test]
    fn pptp_carries_ppp_and_a_pure_acknowledgment_nothing() {
        let inner = ipv4(17, &[], &udp(1, 2, b"x"));
        let header = [0x30, 1, 0x88, 0x0b, 0, 30, 0, 1, 0, 0, 0, 2, 0, 0x21];
        assert_eq!(inside(&header, &inner)[0].net, Net::V4);
        assert_eq!(
            inside(&[0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 2], &[]).len(),
            1
        );
    }

    #[test]
    fn mirrored_frames_are_unfolded() {
        let mirrored = frame(0x0800, &ipv4(17, &[], &udp(1, 2, b"x")));
        let type_ii = [&[0x10, 0x07, 0, 1, 0, 0, 0, 0][..], &mirrored].concat();
        let found = inside(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &type_ii);
        assert_eq!(
            (found[0].vlan, found[0].vlan_count, found[0].dport),
            ([7, 0, 0], 1, 2)
        );
        assert_eq!(inside(&[0, 0, 0x88, 0xbe], &mirrored)[0].dport, 2);
        assert_eq!(
            inside(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1], &[0x20; 9]).len(),
            1
        );
    }

    #[test]
    fn each_fault_has_its_event() {
        let found = |gre: &[u8]| events(0x0800, &ipv4(47, &[], gre));
        assert_eq!(found(&[0, 0, 8]), ["decoder.gre.pkt_too_small"]);
        assert_eq!(found(&[0, 2, 8, 0]), ["decoder.gre.wrong_version"]);
        assert_eq!(found(&[1, 0, 8, 0]), ["decoder.gre.version0_recur"]);
        assert_eq!(found(&[0, 8, 8, 0]), ["decoder.gre.version0_flags"]);
        assert_eq!(
            found(&[0x80, 0, 8, 0]),
            ["decoder.gre.version0_hdr_too_big"]
        );
        assert_eq!(
            found(&[0x40, 0, 8, 0, 0, 0, 0, 0, 9]),
            ["decoder.gre.version0_malformed_sre_hdr"]
        );
        assert_eq!(found(&[0x80, 1, 8, 0]), ["decoder.gre.version1_chksum"]);
        assert_eq!(found(&[0x40, 1, 8, 0]), ["decoder.gre.version1_route"]);
        assert_eq!(found(&[0x08, 1, 8, 0]), ["decoder.gre.version1_ssr"]);
        assert_eq!(found(&[0x01, 1, 8, 0]), ["decoder.gre.version1_recur"]);
        assert_eq!(found(&[0, 9, 8, 0]), ["decoder.gre.version1_flags"]);
        assert_eq!(
            found(&[0, 1, 8, 0]),
            ["decoder.gre.version1_wrong_protocol"]
        );
        assert_eq!(found(&[0, 1, 0x88, 0x0b]), ["decoder.gre.version1_no_key"]);
        assert_eq!(
            found(&[0x20, 1, 0x88, 0x0b]),
            ["decoder.gre.version1_hdr_too_big"]
        );
    }
}
