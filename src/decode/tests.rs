//! Whole frames through the decoder: against `etherparse` as an independent reader of headers, and with random bytes.

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;
use crate::packet::{DecodeEvent, Net, Packet, Transport};

/// Decodes one frame alone with checksums checked.
pub(super) fn decode(bytes: &[u8], link: LinkType) -> Vec<Layers> {
    let mut decoder = Decoder::new(DecodeSettings {
        checksums: ChecksumMode::Full,
        ..DecodeSettings::default()
    });
    decode_with(&mut decoder, bytes, link, 1, &mut Vec::new())
}

/// Decodes frame number `number`, one second after the one before it.
pub(super) fn decode_with(
    decoder: &mut Decoder,
    bytes: &[u8],
    link: LinkType,
    number: u64,
    extra: &mut Vec<u8>,
) -> Vec<Layers> {
    let slice = Slice {
        start: 1000 * number,
        len: bytes.len() as u32,
        extra: false,
    };
    let ts = Timestamp::new(1_000_000 + number, 0);
    let raw = RawFrame {
        slice,
        bytes,
        link,
        ts,
        number,
        interface: 0,
        original_len: bytes.len() as u32,
        unfinished: false,
    };
    let mut out = Vec::new();
    decoder.decode(raw, extra, &mut out);
    out
}

/// The only packet of a frame.
pub(super) fn only(bytes: &[u8]) -> Layers {
    let mut packets = decode(bytes, LinkType::ETHERNET);
    assert_eq!(packets.len(), 1);
    packets.remove(0)
}

pub(super) fn names(layers: &Layers) -> Vec<&'static str> {
    layers.events.iter().map(DecodeEvent::name).collect()
}

/// An Ethernet frame.
pub(super) fn frame(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&[2u8; 6][..], &[4; 6], &ethertype.to_be_bytes(), payload].concat()
}

/// An IPv4 packet from 10.0.0.1 to 10.0.0.2 with a right checksum; `options` in whole words.
pub(super) fn ipv4(proto: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total = (header_len + payload.len()) as u16;
    let [l1, l2] = total.to_be_bytes();
    let mut header = vec![
        0x40 | (header_len / 4) as u8,
        0,
        l1,
        l2,
        0,
        9,
        0,
        0,
        64,
        proto,
        0,
        0,
        10,
        0,
        0,
        1,
        10,
        0,
        0,
        2,
    ];
    header.extend_from_slice(options);
    let checksum = !checksum::fold(checksum::sum(&header));
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    [&header, payload].concat()
}

/// An IPv6 packet from 2001:db8::1 to 2001:db8::2.
pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [l1, l2] = (payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, l1, l2, next, 64];
    for last in [1, 2] {
        packet.extend_from_slice(&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    [&packet, payload].concat()
}

/// A UDP datagram without a checksum.
pub(super) fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    [
        &sport.to_be_bytes()[..],
        &dport.to_be_bytes(),
        &len.to_be_bytes(),
        &[0, 0],
        payload,
    ]
    .concat()
}

/// The events of the packet in an Ethernet frame.
pub(super) fn events(ethertype: u16, payload: &[u8]) -> Vec<&'static str> {
    names(&only(&frame(ethertype, payload)))
}

fn tcp_frame(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1234, 80, 0x0102_0304, 4096)
        .ack(0x0a0b_0c0d)
        .psh();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

#[test]
fn tcp_over_ipv4_is_read_whole_and_padding_is_not_payload() {
    let mut frame = tcp_frame(b"hi");
    frame.extend_from_slice(&[0xee; 4]);
    let layers = only(&frame);
    let packet = Packet {
        frame: &frame,
        layers: &layers,
    };
    assert_eq!(packet.payload(), b"hi");
    assert_eq!(packet.transport_header().len(), 20);
    assert_eq!(packet.network_header().len(), 20);
    assert_eq!(
        (layers.net, layers.transport, layers.sport, layers.dport),
        (Net::V4, Transport::Tcp, 1234, 80)
    );
    assert_eq!(
        (layers.tcp.seq, layers.tcp.ack, layers.tcp.flags.0),
        (0x0102_0304, 0x0a0b_0c0d, 0x18)
    );
    assert!(layers.has_flow && !layers.invalid && !layers.bad_checksum && !layers.bad_ip_checksum);
    assert_eq!(layers.frame.start, 1000);
    frame[40] ^= 1;
    assert!(only(&frame).bad_checksum);
}

#[test]
fn both_directions_have_the_same_hash() {
    let there = only(&tcp_frame(b""));
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
        .tcp(80, 1234, 1, 1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, b"").unwrap();
    let back = only(&bytes);
    assert_eq!(there.hash, back.hash);
    assert_ne!(there.hash, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn headers_read_as_etherparse_reads_them(
        src: [u8; 4], dst: [u8; 4], src6: [u8; 16], dst6: [u8; 16], ports: (u16, u16), seq: u32, ttl: u8,
        v6: bool, udp: bool, vlans in 0..3usize, vlan in 0..4096u16,
        payload in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        // Ports on which tunnels are looked for would make another packet of the payload.
        prop_assume!(![3544, 6081, 4789].iter().any(|p| *p == ports.0 || *p == ports.1));
        let builder = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let id = etherparse::VlanId::try_new(vlan).unwrap();
        let mut bytes = Vec::new();
        macro_rules! finish {
            ($ip:expr) => {
                if udp { $ip.udp(ports.0, ports.1).write(&mut bytes, &payload).unwrap() }
                else { $ip.tcp(ports.0, ports.1, seq, 1).write(&mut bytes, &payload).unwrap() }
            };
        }
        macro_rules! net {
            ($link:expr) => {
                if v6 { finish!($link.ipv6(src6, dst6, ttl)) } else { finish!($link.ipv4(src, dst, ttl)) }
            };
        }
        match vlans {
            0 => net!(builder),
            1 => net!(builder.single_vlan(id)),
            _ => net!(builder.double_vlan(id, id)),
        }
        let theirs = SlicedPacket::from_ethernet(&bytes).unwrap();
        let mine = only(&bytes);
        let packet = Packet { frame: &bytes, layers: &mine };
        prop_assert_eq!(mine.vlan_count as usize, vlans);
        prop_assert!(mine.vlan[..vlans].iter().all(|v| *v == vlan));
        prop_assert!(!mine.bad_checksum && !mine.bad_ip_checksum && mine.events.is_empty(), "{:?}", names(&mine));
        match theirs.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                prop_assert_eq!(mine.src, std::net::IpAddr::from(ip.header().source_addr()));
                prop_assert_eq!(mine.dst, std::net::IpAddr::from(ip.header().destination_addr()));
                prop_assert_eq!(mine.ttl, ip.header().ttl());
            }
            NetSlice::Ipv6(ip) => {
                prop_assert_eq!(mine.src, std::net::IpAddr::from(ip.header().source_addr()));
                prop_assert_eq!(mine.dst, std::net::IpAddr::from(ip.header().destination_addr()));
                prop_assert_eq!(mine.ttl, ip.header().hop_limit());
            }
            NetSlice::Arp(_) => prop_assert!(false),
        }
        match theirs.transport.unwrap() {
            TransportSlice::Tcp(tcp) => {
                prop_assert_eq!((mine.sport, mine.dport), (tcp.source_port(), tcp.destination_port()));
                prop_assert_eq!((mine.tcp.seq, mine.tcp.window), (tcp.sequence_number(), tcp.window_size()));
                prop_assert_eq!(packet.payload(), tcp.payload());
            }
            TransportSlice::Udp(udp) => {
                prop_assert_eq!((mine.sport, mine.dport), (udp.source_port(), udp.destination_port()));
                prop_assert_eq!(packet.payload(), udp.payload());
            }
            _ => prop_assert!(false),
        }
    }

    #[test]
    fn random_bytes_never_panic_and_offsets_stay_inside(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ethertype in prop::sample::select(vec![
            0x0800u16, 0x86dd, 0x0806, 0x8100, 0x88a8, 0x88e7, 0x8847, 0x8864, 0x8863, 0x8903, 0x893f, 0x8926, 0x894f,
        ]),
        link in prop::sample::select(vec![0u16, 1, 9, 12, 50, 51, 101, 104, 108, 113, 276, 999]),
        shape in 0..4u8, proto in prop::sample::select(vec![1u8, 2, 4, 6, 17, 41, 44, 47, 50, 51, 58, 132, 0, 43, 60]),
        port in prop::sample::select(vec![53u16, 3544, 4789, 6081]),
    ) {
        let mut frame = bytes;
        // Steer the noise towards the decoders, or it would stop at the first byte of each.
        if frame.len() >= 60 && link == 1 && shape > 0 {
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            let len = frame.len();
            if ethertype == 0x0800 {
                frame[14] = 0x45 + u8::from(shape == 2);
                frame[16..18].copy_from_slice(&((len - 14) as u16).to_be_bytes());
                frame[20] &= 0x20;
                frame[23] = proto;
                frame[36..38].copy_from_slice(&port.to_be_bytes());
            } else if ethertype == 0x86dd {
                frame[14] = 0x60;
                frame[18..20].copy_from_slice(&((len - 54) as u16).to_be_bytes());
                frame[20] = proto;
            }
        }
        let mut decoder = Decoder::new(DecodeSettings::default());
        let mut extra = Vec::new();
        for number in 1..3 {
            for layers in decode_with(&mut decoder, &frame, LinkType(link), number, &mut extra) {
                let end = layers.frame.start + u64::from(layers.frame.len);
                if layers.frame.extra {
                    prop_assert!(end <= extra.len() as u64);
                } else {
                    prop_assert!(end <= 1000 * number + frame.len() as u64);
                }
                prop_assert!(layers.payload_offset + layers.payload_len <= layers.frame.len);
            }
        }
    }

    #[test]
    fn truncation_anywhere_never_panics(cut in 0..120usize, payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let frame = tcp_frame(&payload);
        decode(&frame[..cut.min(frame.len())], LinkType::ETHERNET);
    }
}
