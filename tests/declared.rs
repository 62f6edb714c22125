//! What is declared of a network, and what a replay says when it is not so: services that should answer, and tables with
//! an end.

use std::path::Path;

use etherparse::PacketBuilder;
use sekisho::packet::{LinkType, Timestamp};
use sekisho::sink::pcap;
use serde_json::Value;

/// A capture of frames, each so many milliseconds after the start.
fn write(path: &Path, frames: &[(u64, Vec<u8>)]) {
    let mut bytes = Vec::new();
    pcap::header(&mut bytes, LinkType::ETHERNET);
    for (ms, frame) in frames {
        let ts = Timestamp(1_800_000_000_000_000_000 + ms * 1_000_000);
        pcap::record(&mut bytes, ts, frame);
    }
    std::fs::write(path, bytes).unwrap();
}

const CLIENT: [u8; 4] = [198, 51, 100, 10];
const SERVER: [u8; 4] = [10, 20, 0, 80];

/// A SYN of the client from a port, or the reset that refuses it.
fn knock(port: u16, refused: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut out = Vec::new();
    let built = if refused {
        ethernet
            .ipv4(SERVER, CLIENT, 64)
            .tcp(80, port, 0, 0)
            .rst()
            .ack(501)
            .write(&mut out, &[])
    } else {
        ethernet
            .ipv4(CLIENT, SERVER, 64)
            .tcp(port, 80, 500, 64_000)
            .syn()
            .write(&mut out, &[])
    };
    built.unwrap();
    out
}

fn udp(port: u16, back: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut out = Vec::new();
    let built = if back {
        ethernet
            .ipv4(SERVER, CLIENT, 64)
            .udp(9000, port)
            .write(&mut out, b"answer")
    } else {
        ethernet
            .ipv4(CLIENT, SERVER, 64)
            .udp(port, 9000)
            .write(&mut out, b"question")
    };
    built.unwrap();
    out
}

/// The events of a replay of frames with a configuration.
fn events(frames: &[(u64, Vec<u8>)], config: &str, more: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let (capture, text) = (
        folder.path().join("traffic.pcap"),
        folder.path().join("sensor.toml"),
    );
    write(&capture, frames);
    std::fs::write(&text, config).unwrap();
    let mut arguments = vec!["-c", text.to_str().unwrap()];
    arguments.extend(more);
    let (eve, output) = crate::replay(&capture, &arguments);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    eve.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_declared_service_that_refuses_its_clients_is_said_and_an_undeclared_one_is_not() {
    let frames: Vec<(u64, Vec<u8>)> = (0..40u16)
        .flat_map(|n| {
            let at = u64::from(n) * 1_000;
            [
                (at, knock(20_000 + n, false)),
                (at + 1, knock(20_000 + n, true)),
            ]
        })
        .collect();
    let said = |config: &str| -> Vec<Value> {
        events(&frames, config, &[])
            .into_iter()
            .filter(|e| e["sekisho"]["detector"] == "service_impaired")
            .collect()
    };
    let service = "[[service]]\nname = \"shop\"\naddress = \"10.20.0.80\"\ncheck = \"http\"\n";
    let declared = said(&format!("{service}active = false\n"));
    assert_eq!(declared.len(), 1, "{declared:?}");
    let evidence = &declared[0]["sekisho"]["evidence"];
    assert_eq!(
        (
            &evidence["service"],
            &evidence["what"],
            &evidence["cause"],
            &declared[0]["sekisho"]["phenomenon"]
        ),
        (
            &"shop".into(),
            &"refuses".into(),
            &"trouble".into(),
            &"device_trouble".into()
        ),
        "{evidence}"
    );
    assert!(said("").is_empty());
    assert!(said(&format!("{service}passive = false\n")).is_empty());
}

#[test]
fn what_finds_no_room_in_the_flow_table_goes_by_its_policy() {
    // Conversations, so that none of them may be given up for another.
    let frames: Vec<(u64, Vec<u8>)> = (0..3_000u16)
        .flat_map(|n| {
            let at = u64::from(n) / 10;
            [(at, udp(20_000 + n, false)), (at, udp(20_000 + n, true))]
        })
        .collect();
    let reasons = |config: &str| -> Vec<String> {
        let config = format!("flow.max = 64\n{config}");
        events(&frames, &config, &["--simulate-ips"])
            .iter()
            .filter(|e| e["event_type"] == "drop")
            .map(|e| e["drop"]["reason"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(reasons("").is_empty(), "by default everything passes");
    let dropped = reasons("flow.memcap-policy = \"drop-packet\"\n");
    assert!(
        !dropped.is_empty() && dropped.iter().all(|r| r == "flow memcap"),
        "{} {:?}",
        dropped.len(),
        dropped.first()
    );
    let segment = |subnet: &str| {
        reasons(&format!(
            "[[segment]]\nname = \"dmz\"\nrole = \"dmz\"\nsubnets = [\"{subnet}\"]\n[segment.exception]\nmemcap-policy = \"drop-packet\"\n"
        ))
    };
    assert_eq!(segment("10.20.0.0/24").len(), dropped.len());
    assert!(segment("203.0.113.0/24").is_empty(), "another segment");
}
