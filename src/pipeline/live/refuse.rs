//! How a connection is refused: TCP resets and ICMP unreachable messages in the name of the other side.
//!
//! Pure: a packet and a verdict in, frames out. Only for packets as they were on the wire: what is inside a tunnel, or was
//! put together from fragments, is dropped without a word. A reset is never answered, nor is an ICMP error.
//! Source: RFC 9293 §3.5.2 (resets), RFC 1812 §5.2.7.1 and RFC 4443 §3.1 (unreachable).

use std::net::IpAddr;

use crate::alert::Verdict;
use crate::packet::{LinkType, Net, Packet, PacketOrigin, TcpFlags, Transport};

/// A frame that refuses, and whether it goes back to the packet's source.
#[derive(Debug)]
pub(super) struct Refusal {
    pub to_source: bool,
    pub frame: Vec<u8>,
}

/// What a verdict says to whom.
pub(super) fn refusals(packet: &Packet<'_>, verdict: Verdict) -> Vec<Refusal> {
    let (source, destination) = match verdict {
        Verdict::RejectSource => (true, false),
        Verdict::RejectDestination => (false, true),
        Verdict::RejectBoth => (true, true),
        _ => return Vec::new(),
    };
    if packet.origin != PacketOrigin::Wire || !packet.is_ip() {
        return Vec::new();
    }
    let mut list = Vec::new();
    for (wanted, to_source) in [(source, true), (destination, false)] {
        if !wanted {
            continue;
        }
        let transport = match packet.transport {
            Transport::Tcp => tcp(packet, to_source),
            // An ICMP error goes to whom the packet came from, and to nobody else.
            Transport::Icmp | Transport::Icmpv6 => None,
            _ if to_source => unreachable(packet),
            _ => None,
        };
        let frame = transport.and_then(|body| frame(packet, to_source, body));
        list.extend(frame.map(|frame| Refusal { to_source, frame }));
    }
    list
}

/// The bytes above IP, with a checksum to be filled in at the offset, and their protocol.
struct Body {
    bytes: Vec<u8>,
    checksum_at: usize,
    proto: u8,
}

/// A reset. To the source: what its segment asks for; to the destination: as if the source gave up.
fn tcp(packet: &Packet<'_>, to_source: bool) -> Option<Body> {
    let tcp = &packet.tcp;
    if tcp.flags.has(TcpFlags::RST) {
        return None;
    }
    let used = packet.payload_len
        + u32::from(tcp.flags.has(TcpFlags::SYN))
        + u32::from(tcp.flags.has(TcpFlags::FIN));
    let behind = tcp.seq.wrapping_add(used);
    let acked = tcp.flags.has(TcpFlags::ACK);
    let (sport, dport, seq, ack, flags) = match (to_source, acked) {
        (true, true) => (packet.dport, packet.sport, tcp.ack, 0, TcpFlags::RST),
        (true, false) => (
            packet.dport,
            packet.sport,
            0,
            behind,
            TcpFlags::RST | TcpFlags::ACK,
        ),
        (false, _) => (
            packet.sport,
            packet.dport,
            tcp.seq,
            tcp.ack,
            TcpFlags::RST | if acked { TcpFlags::ACK } else { 0 },
        ),
    };
    let mut bytes = Vec::with_capacity(20);
    bytes.extend_from_slice(&sport.to_be_bytes());
    bytes.extend_from_slice(&dport.to_be_bytes());
    bytes.extend_from_slice(&seq.to_be_bytes());
    bytes.extend_from_slice(&ack.to_be_bytes());
    bytes.extend_from_slice(&[5 << 4, flags, 0, 0, 0, 0, 0, 0]);
    Some(Body {
        bytes,
        checksum_at: 16,
        proto: 6,
    })
}

/// "Administratively prohibited", quoting the packet.
fn unreachable(packet: &Packet<'_>) -> Option<Body> {
    let quoted = packet.frame.get(packet.network_offset as usize..)?;
    let (head, most, proto) = match packet.net {
        // RFC 1812 §4.3.2.3: as much as fits in 576 bytes; the header and eight bytes are what everybody needs.
        Net::V4 => ([3, 13, 0, 0], packet.network_header_len as usize + 8, 1),
        Net::V6 => ([1, 1, 0, 0], 1232, 58),
        _ => return None,
    };
    let mut bytes = head.to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(quoted.get(..most).unwrap_or(quoted));
    Some(Body {
        bytes,
        checksum_at: 2,
        proto,
    })
}

/// Link layer as the packet's (turned round when it goes back), IP header, body.
fn frame(packet: &Packet<'_>, to_source: bool, mut body: Body) -> Option<Vec<u8>> {
    let mut out = packet.frame.get(..packet.network_offset as usize)?.to_vec();
    if to_source && packet.link == LinkType::ETHERNET {
        let (destination, rest) = out.split_at_mut_checked(6)?;
        destination.swap_with_slice(rest.get_mut(..6)?);
    }
    let (src, dst) = if to_source {
        (packet.dst, packet.src)
    } else {
        (packet.src, packet.dst)
    };
    let len = u16::try_from(body.bytes.len()).ok()?;
    let mut pseudo = Vec::with_capacity(40);
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let mut header = vec![0x45, 0];
            header.extend_from_slice(&len.checked_add(20)?.to_be_bytes());
            header.extend_from_slice(&[0, 0, 0x40, 0, 64, body.proto, 0, 0]);
            header.extend_from_slice(&src.octets());
            header.extend_from_slice(&dst.octets());
            let sum = checksum(&[&header]);
            header.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
            out.extend_from_slice(&header);
            pseudo.extend_from_slice(&src.octets());
            pseudo.extend_from_slice(&dst.octets());
            pseudo.extend_from_slice(&[0, body.proto]);
            pseudo.extend_from_slice(&len.to_be_bytes());
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            out.extend_from_slice(&[0x60, 0, 0, 0]);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(&[body.proto, 64]);
            out.extend_from_slice(&src.octets());
            out.extend_from_slice(&dst.octets());
            pseudo.extend_from_slice(&src.octets());
            pseudo.extend_from_slice(&dst.octets());
            pseudo.extend_from_slice(&u32::from(len).to_be_bytes());
            pseudo.extend_from_slice(&[0, 0, 0, body.proto]);
        }
        _ => return None,
    }
    // ICMP for IPv4 is the one without a pseudo-header.
    let pseudo: &[u8] = if body.proto == 1 { &[] } else { &pseudo };
    let sum = checksum(&[pseudo, &body.bytes]);
    body.bytes
        .get_mut(body.checksum_at..body.checksum_at + 2)?
        .copy_from_slice(&sum.to_be_bytes());
    out.extend_from_slice(&body.bytes);
    Some(out)
}

/// RFC 1071, over parts of even length (but for the last).
pub(super) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum: u64 = 0;
    for part in parts {
        for pair in part.chunks(2) {
            let word = match pair {
                [a, b] => u16::from_be_bytes([*a, *b]),
                [a] => u16::from_be_bytes([*a, 0]),
                _ => 0,
            };
            sum += u64::from(word);
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{DecodeSettings, Decoder, RawFrame};
    use crate::packet::{Layers, Slice, Timestamp};

    fn decode(bytes: &[u8]) -> Layers {
        let mut out = Vec::new();
        let slice = Slice {
            start: 0,
            len: bytes.len() as u32,
            extra: false,
        };
        let raw = RawFrame {
            slice,
            bytes,
            link: LinkType::ETHERNET,
            ts: Timestamp(1),
            number: 1,
            interface: 0,
            original_len: bytes.len() as u32,
            unfinished: false,
        };
        Decoder::new(DecodeSettings::default()).decode(raw, &mut Vec::new(), &mut out);
        out.pop().expect("a packet")
    }

    fn syn(flags: u8, ack: u32) -> Vec<u8> {
        use etherparse::PacketBuilder;
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
            .single_vlan(etherparse::VlanId::try_new(5).expect("id"))
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 60)
            .tcp(1000, 80, 77, 500);
        let builder = match flags {
            2 => builder.syn(),
            _ => builder.ack(ack).psh(),
        };
        let mut out = Vec::new();
        builder.write(&mut out, b"hello").expect("writes");
        out
    }

    #[test]
    fn a_reset_to_the_source_is_what_its_segment_asks_for() {
        let bytes = syn(0x18, 9000);
        let layers = decode(&bytes);
        let packet = Packet {
            frame: &bytes,
            layers: &layers,
        };
        let both = refusals(&packet, Verdict::RejectBoth);
        assert_eq!(both.len(), 2);
        let back = decode(&both[0].frame);
        assert!(both[0].to_source && !back.invalid && !back.bad_checksum && !back.bad_ip_checksum);
        assert_eq!(
            (back.src, back.dst, back.sport),
            (layers.dst, layers.src, 80)
        );
        assert_eq!((back.tcp.seq, back.tcp.flags.0), (9000, TcpFlags::RST));
        assert_eq!((back.vlan[0], &both[0].frame[..6]), (5, &[1u8; 6][..]));
        let on = decode(&both[1].frame);
        assert_eq!((on.tcp.seq, on.tcp.ack), (77, 9000));
        assert!(!on.bad_checksum && both[1].frame[..6] == bytes[..6]);
    }

    #[test]
    fn a_segment_without_ack_is_answered_with_an_ack_of_all_of_it() {
        let bytes = syn(2, 0);
        let layers = decode(&bytes);
        let packet = Packet {
            frame: &bytes,
            layers: &layers,
        };
        let back = decode(&refusals(&packet, Verdict::RejectSource)[0].frame);
        assert_eq!((back.tcp.seq, back.tcp.ack), (0, 77 + 5 + 1));
    }

    #[test]
    fn udp_is_answered_with_icmp_and_resets_with_nothing() {
        let mut bytes = Vec::new();
        etherparse::PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv6([1; 16], [2; 16], 60)
            .udp(53, 99)
            .write(&mut bytes, b"hello")
            .expect("writes");
        let layers = decode(&bytes);
        let packet = Packet {
            frame: &bytes,
            layers: &layers,
        };
        let both = refusals(&packet, Verdict::RejectBoth);
        let back = decode(&both[0].frame);
        assert_eq!((both.len(), back.transport), (1, Transport::Icmpv6));
        assert!(!back.bad_checksum && (back.sport, back.dport) == (1, 1));
        let again = Packet {
            frame: &both[0].frame,
            layers: &back,
        };
        assert!(refusals(&again, Verdict::RejectBoth).is_empty());
    }
}
