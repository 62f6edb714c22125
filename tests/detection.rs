//! How soon the detectors see the attacks of `pcaps/`: what docs/detection.md quotes is printed here.

use crate::{replay, root};

/// Seconds since 1970 of EVE's `2026-11-22T05:40:01.123456+0000`.
fn seconds(stamp: &str) -> f64 {
    let part = |from: usize, to: usize| stamp[from..to].parse::<f64>().unwrap();
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days from civil, Howard Hinnant's algorithm for dates after 1970.
    let year = if month <= 2.0 { year - 1.0 } else { year };
    let era = (year / 400.0).floor();
    let of_era = year - era * 400.0;
    let of_year = ((153.0 * ((month + 9.0) % 12.0) + 2.0) / 5.0).floor() + day - 1.0;
    let days = of_era * 365.0 + (of_era / 4.0).floor() - (of_era / 100.0).floor() + of_year;
    (era * 146_097.0 + days - 719_468.0) * 86_400.0
        + part(11, 13) * 3_600.0
        + part(14, 16) * 60.0
        + part(17, 26)
}

/// Time of the first packet of a capture in the classic format with microseconds.
fn begins(capture: &[u8]) -> f64 {
    let word = |at: usize| f64::from(u32::from_le_bytes(capture[at..at + 4].try_into().unwrap()));
    word(24) + word(28) / 1e6
}

#[test]
fn attacks_are_found_in_time() {
    // Case, detector, level, seconds after the first packet of the capture at most.
    let wanted = [
        ("syn_flood", "syn_flood", "YELLOW", 5.0),
        ("udp_flood", "udp_flood", "YELLOW", 1.0),
        ("icmp_flood", "icmp_flood", "YELLOW", 1.0),
        ("smurf", "smurf", "YELLOW", 1.0),
        ("port_scan_syn", "port_scan", "YELLOW", 1.0),
        ("port_sweep", "port_scan", "YELLOW", 30.0),
        ("brute_ssh", "brute_force", "YELLOW", 15.0),
        ("brute_ftp", "brute_force", "YELLOW", 15.0),
        ("brute_success", "brute_force", "RED", 60.0),
        ("dns_tunnel_iodine", "dns_tunnel", "ORANGE", 15.0),
        ("dns_tunnel_dns2tcp", "dns_tunnel", "ORANGE", 15.0),
        ("icmp_tunnel", "icmp_tunnel", "ORANGE", 15.0),
        ("slowloris", "slow_http", "ORANGE", 30.0),
        ("slow_post", "slow_http", "ORANGE", 30.0),
        ("slow_read", "slow_http", "ORANGE", 30.0),
        ("mysql_lock", "queue_stall", "ORANGE", 30.0),
        ("database_lock", "queue_stall", "ORANGE", 30.0),
        ("http_flood", "request_flood", "YELLOW", 10.0),
        ("p2p_bittorrent", "p2p", "YELLOW", 5.0),
        ("vpn_wireguard", "vpn_tor", "YELLOW", 5.0),
        ("ssh_on_443", "wrong_port", "YELLOW", 5.0),
    ];
    let mut failures = Vec::new();
    for (case, detector, level, at_most) in wanted {
        let capture = root().join("pcaps").join(case).join("traffic.pcap");
        let start = begins(&std::fs::read(&capture).unwrap());
        let (eve, _) = replay(&capture, &[]);
        let found = eve
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .find(|event| {
                event["sekisho"]["detector"] == detector && event["sekisho"]["level"] == level
            });
        let Some(event) = found else {
            failures.push(format!("{case}: no {detector} at {level}"));
            continue;
        };
        let after = seconds(event["timestamp"].as_str().unwrap()) - start;
        println!(
            "{case}: {detector} {level} after {after:.2} s, packet {}: {}",
            event["pcap_cnt"], event["sekisho"]["evidence"]
        );
        if after > at_most {
            failures.push(format!("{case}: {detector} after {after} s"));
        }
        if case == "dns_tunnel_iodine" {
            let leaked = event["sekisho"]["evidence"]["info_bytes"].as_u64().unwrap();
            assert!(leaked <= 2_048, "iodine leaked {leaked} bytes");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
