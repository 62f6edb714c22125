//! Decoding alone: packets/s, ns/packet, Gbit/s and allocations/packet on frames made here, with and without checksums.
//!
//! `cargo bench --bench decode`. Every round asserts what it decoded, so that it cannot win by doing less.

mod counting;

use std::time::Instant;

use sekisho::decode::{ChecksumMode, DecodeSettings, Decoder, RawFrame};
use sekisho::packet::{Layers, LinkType, Slice, Timestamp, Transport};

/// Frames of a kind, and what each of them must decode to.
struct Load {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    transport: Transport,
    packets_per_frame: usize,
}

/// As many as a batch may hold, so that frames and layers stay where the workers will find them: in the cache.
const FRAMES: usize = 256;
const ROUNDS: usize = 4000;

fn main() {
    println!(
        "{:28} {:>6} {:>9} {:>11} {:>8} {:>12}",
        "load", "csum", "ns/packet", "packets/s", "Gbit/s", "alloc/packet"
    );
    for load in loads() {
        for mode in [ChecksumMode::None, ChecksumMode::Full] {
            run(&load, mode);
        }
    }
}

fn run(load: &Load, mode: ChecksumMode) {
    let mut decoder = Decoder::new(DecodeSettings {
        checksums: mode,
        ..DecodeSettings::default()
    });
    let (mut out, mut extra) = (Vec::with_capacity(2 * FRAMES), Vec::new());
    decode_all(&mut decoder, load, &mut extra, &mut out);
    let expected = out.len();
    assert_eq!(expected, load.frames.len() * load.packets_per_frame);
    assert!(
        out.iter()
            .step_by(load.packets_per_frame)
            .all(|l| l.transport == load.transport && !l.bad_checksum)
    );
    let bytes: usize = load.frames.iter().map(Vec::len).sum();
    let allocations = counting::allocations();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        out.clear();
        decode_all(&mut decoder, load, &mut extra, &mut out);
        assert_eq!(out.len(), expected);
    }
    let seconds = begin.elapsed().as_secs_f64();
    let allocations = counting::allocations() - allocations;
    assert_eq!(allocations, 0, "{}: decoding allocated", load.name);
    let frames = (ROUNDS * load.frames.len()) as f64;
    println!(
        "{:28} {:>6} {:>9.1} {:>11.0} {:>8.2} {:>12}",
        load.name,
        if mode == ChecksumMode::None {
            "none"
        } else {
            "full"
        },
        seconds * 1e9 / frames,
        frames / seconds,
        (ROUNDS * bytes * 8) as f64 / seconds / 1e9,
        allocations as f64 / frames,
    );
}

fn decode_all(decoder: &mut Decoder, load: &Load, extra: &mut Vec<u8>, out: &mut Vec<Layers>) {
    for (i, bytes) in load.frames.iter().enumerate() {
        let len = bytes.len() as u32;
        let frame = RawFrame {
            slice: Slice {
                start: 0,
                len,
                extra: false,
            },
            bytes,
            link: LinkType::ETHERNET,
            ts: Timestamp(i as u64),
            number: i as u64 + 1,
            interface: 0,
            original_len: len,
            unfinished: false,
        };
        decoder.decode(frame, extra, out);
    }
}

fn loads() -> Vec<Load> {
    let make = |name, transport, packets_per_frame, build: &dyn Fn(u32) -> Vec<u8>| Load {
        name,
        frames: (0..FRAMES as u32).map(build).collect(),
        transport,
        packets_per_frame,
    };
    vec![
        make("SYN, 60 bytes", Transport::Tcp, 1, &|i| {
            ethernet(&[], ipv4(6, i, tcp(i, 2, &[], &[])))
        }),
        make("TCP data, 1514 bytes", Transport::Tcp, 1, &|i| {
            ethernet(&[], ipv4(6, i, tcp(i, 0x18, &TIMESTAMPS, &[7; 1448])))
        }),
        make("VLAN, TCP data, 600 bytes", Transport::Tcp, 1, &|i| {
            ethernet(
                &[0x81, 0, 0, 9],
                ipv4(6, i, tcp(i, 0x18, &TIMESTAMPS, &[7; 500])),
            )
        }),
        make("UDP over IPv6, 100 bytes", Transport::Udp, 1, &|i| {
            [&[2; 12][..], &[0x86, 0xdd], &ipv6(17, i, udp(i, &[7; 38]))].concat()
        }),
        make("GRE with TCP data", Transport::Tcp, 2, &|i| {
            let inner = ipv4(6, i, tcp(i, 0x18, &TIMESTAMPS, &[7; 500]));
            ethernet(&[], ipv4(47, i, [&[0, 0, 8, 0][..], &inner].concat()))
        }),
    ]
}

const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];

fn ethernet(tag: &[u8], packet: Vec<u8>) -> Vec<u8> {
    let mut frame = [&[2; 12][..], tag, &[8, 0], &packet].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

fn ipv4(proto: u8, host: u32, mut payload: Vec<u8>) -> Vec<u8> {
    let [l1, l2] = (20 + payload.len() as u16).to_be_bytes();
    let [_, h2, h3, h4] = host.to_be_bytes();
    let mut header = vec![
        0x45, 0, l1, l2, 0, 0, 0x40, 0, 64, proto, 0, 0, 10, h2, h3, h4, 192, 0, 2, 1,
    ];
    let checksum = internet(&[&header]);
    header[10..12].copy_from_slice(&checksum);
    if proto == 6 {
        let len = (payload.len() as u16).to_be_bytes();
        let checksum = internet(&[&header[12..20], &[0, proto], &len, &payload]);
        payload[16..18].copy_from_slice(&checksum);
    }
    [header, payload].concat()
}

fn ipv6(next: u8, host: u32, mut payload: Vec<u8>) -> Vec<u8> {
    let len = (payload.len() as u16).to_be_bytes();
    let mut header = vec![0x60, 0, 0, 0, len[0], len[1], next, 64];
    header.extend_from_slice(&[&[0x20, 1, 0x0d, 0xb8][..], &[0; 8], &host.to_be_bytes()].concat());
    header.extend_from_slice(&[&[0x20, 1, 0x0d, 0xb8][..], &[0; 11], &[1]].concat());
    let checksum = internet(&[&header[8..40], &[0, next], &len, &payload]);
    payload[6..8].copy_from_slice(&checksum);
    [header, payload].concat()
}

fn tcp(seq: u32, flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let words = ((20 + options.len()) / 4) as u8;
    let mut header = vec![0x30, 0x39, 0, 80];
    header.extend_from_slice(&seq.to_be_bytes());
    header.extend_from_slice(&[0, 0, 0, 1, words << 4, flags, 0x20, 0, 0, 0, 0, 0]);
    [&header, options, payload].concat()
}

fn udp(port: u32, payload: &[u8]) -> Vec<u8> {
    let port = (1024 + port as u16 % 2000).to_be_bytes();
    let len = (8 + payload.len() as u16).to_be_bytes();
    [&port[..], &[0, 53], &len, &[0, 0], payload].concat()
}

/// RFC 1071, word by word; every part but the last must be of even length.
fn internet(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0u32;
    for pair in parts.concat().chunks(2) {
        sum += u32::from(u16::from_be_bytes([
            pair[0],
            pair.get(1).copied().unwrap_or(0),
        ]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}
