//! Exception policies of packets under live traffic: refusals that reach both ends, and policies that change by reload.

use std::process::{Command, Stdio};

use crate::live::{Sensor, alone_in, two_pairs};

/// A segment of a TCP session of which nobody saw the beginning.
fn middle(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(port, 80, 500, 1000)
        .ack(900)
        .psh()
        .write(&mut out, payload)
        .unwrap();
    out
}

/// Ports and flags of a TCP frame without options in its IP header.
fn tcp(frame: &[u8]) -> (u16, u16, u8) {
    let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    assert_eq!(frame[23], 6, "TCP");
    (port(34), port(36), frame[47])
}

const RST: u8 = 4;

/// The configuration, with a policy for sessions that are picked up.
fn config(policy: &str) -> String {
    format!(
        "stream.midstream = true\n[[inline]]\nports = [\"a1\", \"b1\"]\n[[segment]]\nname = \"dmz\"\nrole = \"dmz\"\ninterfaces = [\"a1\", \"b1\"]\n[segment.exception]\nmidstream-policy = \"{policy}\"\n"
    )
}

#[test]
fn a_session_refused_by_policy_is_reset_at_both_ends_and_another_policy_comes_by_reload() {
    if !alone_in(
        "live_policies",
        "a_session_refused_by_policy_is_reset_at_both_ends_and_another_policy_comes_by_reload",
    ) {
        return;
    }
    let (mut a, mut b) = two_pairs();
    let folder = tempfile::tempdir().unwrap();
    let control = folder.path().join("c.sock");
    let with_socket = |policy: &str| {
        format!(
            "control.socket = \"{}\"\n{}",
            control.display(),
            config(policy)
        )
    };
    let sensor = Sensor::start(
        &with_socket("rejectboth"),
        Some("alert tcp any any -> any 80 (msg:\"x\"; content:\"never\"; sid:1;)\n"),
    );
    a.send(&middle(4001, b"GET / HTTP/1.1\r\n"));
    let back = tcp(&a.wait("a reset at the source"));
    assert_eq!((back.0, back.1, back.2 & RST), (80, 4001, RST));
    let on = tcp(&b.wait("a reset at the destination"));
    assert_eq!((on.0, on.1, on.2 & RST), (4001, 80, RST));
    let reload = |policy: &str| {
        std::fs::write(
            sensor.folder.path().join("sensor.toml"),
            with_socket(policy),
        )
        .unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["ctl", "--socket", control.to_str().unwrap(), "reload"])
            .stdout(Stdio::null())
            .status();
        assert!(done.unwrap().success());
    };
    // Only the source is told.
    reload("reject");
    a.send(&middle(4002, b"GET / HTTP/1.1\r\n"));
    let back = tcp(&a.wait("a reset at the source"));
    assert_eq!((back.0, back.1, back.2 & RST), (80, 4002, RST));
    // Nobody is, and the segment passes: nothing came before it.
    reload("ignore");
    let passes = middle(4003, b"GET / HTTP/1.1\r\n");
    a.send(&passes);
    assert_eq!(b.wait("the segment itself"), passes);
    // Dropped without a word: what is sent behind it comes first.
    reload("drop-flow");
    a.send(&middle(4004, b"GET / HTTP/1.1\r\n"));
    let other = crate::live::udp(1, b"behind it", false);
    a.send(&other);
    assert_eq!(b.wait("the one behind"), other);
    assert!(a.receive().is_none());
    let events = sensor.stop();
    let reasons: Vec<&serde_json::Value> = events
        .iter()
        .filter(|e| e["event_type"] == "drop")
        .map(|e| &e["drop"]["reason"])
        .collect();
    assert_eq!(reasons, vec!["stream midstream"; 3]);
}
