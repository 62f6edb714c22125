//! Connections that change their protocol, and what rules say of the packet with which they did.

use etherparse::PacketBuilder;
use sekisho::packet::{LinkType, Timestamp};
use sekisho::sink::pcap;
use serde_json::Value;

const CLIENT: ([u8; 4], u16) = ([198, 51, 100, 10], 40_000);
const SERVER: ([u8; 4], u16) = ([10, 20, 0, 80], 25);

/// A session of lines, the server's first: each side's in turn, each acknowledged at once.
fn capture(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    pcap::header(&mut bytes, LinkType::ETHERNET);
    let mut at = 1_800_000_000_000_000_000;
    let mut put = |from_server: bool, seq: [u32; 2], flags: &str, payload: &[u8]| {
        let (src, dst, own, other) = if from_server {
            (SERVER, CLIENT, seq[1], seq[0])
        } else {
            (CLIENT, SERVER, seq[0], seq[1])
        };
        let mut tcp = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4(src.0, dst.0, 64)
            .tcp(src.1, dst.1, own, 64_000);
        if flags.contains('S') {
            tcp = tcp.syn();
        }
        if flags.contains('A') {
            tcp = tcp.ack(other);
        }
        let mut frame = Vec::new();
        tcp.write(&mut frame, payload).unwrap();
        at += 1_000_000;
        pcap::record(&mut bytes, Timestamp(at), &frame);
    };
    put(false, [99, 0], "S", &[]);
    put(true, [100, 499], "SA", &[]);
    let mut seq = [100, 500];
    put(false, seq, "A", &[]);
    for (turn, line) in lines.iter().enumerate() {
        let from_server = turn % 2 == 0;
        put(from_server, seq, "A", line.as_bytes());
        seq[usize::from(from_server)] += u32::try_from(line.len()).unwrap();
        put(!from_server, seq, "A", &[]);
    }
    bytes
}

#[test]
fn rules_see_that_a_connection_went_on_otherwise_than_announced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rules) = (folder.path().join("t.pcap"), folder.path().join("t.rules"));
    let lines = [
        "220 f\r\n",
        "EHLO\r\nSTARTTLS\r\n",
        "220 start\r\n220 start\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    std::fs::write(&path, capture(&lines)).unwrap();
    std::fs::write(
        &rules,
        "alert tcp any any -> any any (app-layer-event:applayer_no_tls_after_starttls; sid:1;)\n\
         alert tcp any any -> any any (app-layer-event:applayer_unexpected_protocol; sid:2;)\n",
    )
    .unwrap();
    let (eve, _) = crate::replay(&path, &["-S", rules.to_str().unwrap()]);
    let events: Vec<Value> = eve
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for sid in [1, 2] {
        let alerts = events
            .iter()
            .filter(|e| e["alert"]["gid"] == 1 && e["alert"]["signature_id"] == sid);
        assert_eq!(alerts.count(), 1, "rule {sid}: {eve}");
    }
    let anomalies = events
        .iter()
        .filter(|e| e["anomaly"]["layer"] == "proto_detect");
    assert_eq!(anomalies.count(), 2, "{eve}");
}
