//! A SYN flood from invented addresses, with a real client in the middle of it.

use std::path::Path;

use crate::replay;

/// SYNs of the flood: more than there are places for half-open connections (65,536).
const SYNS: u32 = 120_000;

/// The real client, and the server everybody wants.
const CLIENT: [u8; 4] = [198, 51, 100, 7];
const SERVER: [u8; 4] = [192, 0, 2, 1];

/// A frame of TCP over IPv4 over Ethernet, checksums right.
fn frame(src: ([u8; 4], u16), dst: ([u8; 4], u16), tcp: (u32, u32, u8), payload: &[u8]) -> Vec<u8> {
    let (seq, ack, flags) = tcp;
    let total = (40 + payload.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&total.to_be_bytes());
    ip.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0]);
    ip.extend_from_slice(&src.0);
    ip.extend_from_slice(&dst.0);
    let sum = checksum(&ip, 0);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut segment = Vec::new();
    segment.extend_from_slice(&src.1.to_be_bytes());
    segment.extend_from_slice(&dst.1.to_be_bytes());
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&ack.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    let pseudo = checksum_words(&ip[12..20]) + 6 + segment.len() as u32;
    let sum = checksum(&segment, pseudo);
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    [
        &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..],
        &ip,
        &segment,
    ]
    .concat()
}

fn checksum_words(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum()
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start + checksum_words(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A capture of 2 million SYNs a second, in which the client connects before the flood, asks in the middle, and asks again
/// at its end; another connects in the middle of it.
fn capture(path: &Path) {
    let mut pcap = Vec::new();
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        pcap.extend_from_slice(&word.to_le_bytes());
    }
    let mut at_us = 0u32;
    let mut write = |frame: &[u8], after_us: u32| {
        at_us += after_us;
        let len = frame.len() as u32;
        let secs = 1_700_000_000 + at_us / 1_000_000;
        for word in [secs, at_us % 1_000_000, len, len] {
            pcap.extend_from_slice(&word.to_le_bytes());
        }
        pcap.extend_from_slice(frame);
    };
    let client = (CLIENT, 50_000);
    let late = (CLIENT, 50_001);
    let server = (SERVER, 80);
    let request = b"GET /known-client HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (asked, answered) = (request.len() as u32, answer.len() as u32);
    let connect = |write: &mut dyn FnMut(&[u8], u32), who, isn: u32| {
        write(&frame(who, server, (isn, 0, 2), &[]), 10);
        write(&frame(server, who, (900, isn + 1, 0x12), &[]), 10);
        write(&frame(who, server, (isn + 1, 901, 0x10), &[]), 10);
    };
    let ask = |write: &mut dyn FnMut(&[u8], u32), who, seq: u32, ack: u32| {
        write(&frame(who, server, (seq, ack, 0x18), request), 10);
        write(&frame(server, who, (ack, seq + asked, 0x18), answer), 10);
        write(
            &frame(who, server, (seq + asked, ack + answered, 0x10), &[]),
            10,
        );
    };
    connect(&mut write, client, 100);
    for i in 0..SYNS {
        let source = (0x0b00_0000u32 + i.wrapping_mul(2_654_435_761) % 0xb000_0000).to_be_bytes();
        write(
            &frame((source, 1024 + i as u16 % 50_000), server, (i, 0, 2), &[]),
            i % 2,
        );
        if i == SYNS / 2 {
            ask(&mut write, client, 101, 901);
            connect(&mut write, late, 700);
        }
    }
    ask(&mut write, client, 101 + asked, 901 + answered);
    ask(&mut write, late, 701, 901);
    std::fs::write(path, pcap).unwrap();
}

#[test]
fn a_real_client_is_seen_through_a_flood_and_the_flood_is_alerted_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let traffic = folder.path().join("flood.pcap");
    capture(&traffic);
    let rules = folder.path().join("known.rules");
    std::fs::write(
        &rules,
        "alert http any any -> any any (msg:\"known client\"; flow:established,to_server; \
         http.uri; content:\"/known-client\"; sid:77;)\n",
    )
    .unwrap();
    let arguments = |workers| {
        [
            "-S",
            rules.to_str().unwrap(),
            "--set",
            "flow.forced-reports=64",
            "--workers",
            workers,
        ]
    };
    let (eve, output) = replay(&traffic, &arguments("fused"));
    assert_eq!(output.status.code(), Some(0));
    // Three requests: the one of the client that connected before the flood, and those at its end.
    let of = |needle: &str| eve.lines().filter(|line| line.contains(needle)).count();
    assert_eq!(of("\"signature_id\":77,"), 3);
    let flood = eve
        .lines()
        .find(|line| line.contains("\"detector\":\"syn_flood\""));
    let flood = flood.expect("the flood is alerted");
    assert!(
        flood.starts_with("{\"timestamp\":\"2023-11-14T22:13:20."),
        "{flood}"
    );
    // What gave way was half open; neither connection of the client did.
    let forced: Vec<&str> = eve
        .lines()
        .filter(|line| line.contains("\"reason\":\"forced\""))
        .collect();
    assert_eq!(forced.len(), 64);
    assert!(!forced.iter().any(|line| line.contains("198.51.100.7")));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let unreported = SYNS as usize - 65_536 - 64;
    assert!(
        said.lines().any(|line| {
            line.contains("half-open connections given up")
                && line
                    .split(' ')
                    .filter_map(|word| word.parse::<usize>().ok())
                    .any(|n| n.abs_diff(unreported) < 1_000)
        }),
        "{said}"
    );
    let (threaded, _) = replay(&traffic, &arguments("4"));
    assert!(eve == threaded, "four workers say something else");
}
