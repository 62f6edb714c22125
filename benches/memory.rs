//! The adversary who wants our memory: ten million packets that ask for room in every table at once.
//!
//! `cargo bench --bench memory [-- PACKETS]`. The packets are invented here, from a fixed seed, and written to the
//! program's standard input as a capture; nothing is stored. It prints the bound that the program said at its start, what
//! it took at its highest (`VmHWM`, after every million packets), and the alerts. It asserts that the peak stays below the
//! bound and what a program without traffic takes, that a scan hidden in the noise is found, and that nothing is RED.
//!
//! In turn: SYNs from invented addresses to invented services; questions and failed answers for random names; ARP questions
//! and claims; datagrams to random ports; connections with invented ends that complete, ask for random pages and leave holes
//! in their streams; echoes; first fragments of datagrams that never end; answers of amplifiers; logins; DHCP.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::process::{ChildStdin, Command, Stdio};

/// Packets unless told otherwise.
const PACKETS: u64 = 10_000_000;
/// Packets of a second of the capture's time.
const PER_SEC: u64 = 50_000;
/// Who scans in all of this, once in so many packets.
const SCANNER: [u8; 4] = [203, 0, 113, 66];
const SCAN_EVERY: u64 = 2_000;

/// xorshift64* (Marsaglia 2003, Vigna 2016): a fixed sequence, so that two runs see the same packets.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn address(&mut self) -> [u8; 4] {
        // Anywhere but 0/8, 10/8 and what is not unicast.
        let [a, b, c, d, ..] = self.next().to_be_bytes();
        [11 + a % 110, b, c, d]
    }
    fn ours(&mut self) -> [u8; 4] {
        let [a, b, c, ..] = self.next().to_be_bytes();
        [10, a, b, c]
    }
    fn port(&mut self) -> u16 {
        self.next() as u16
    }
}

fn sum(bytes: &[u8], start: u32) -> u32 {
    bytes.chunks(2).fold(start, |sum, pair| {
        sum + (u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
    })
}

fn fold(mut sum: u32) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn ethernet(kind: u16, source: u64, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2];
    frame.extend_from_slice(&source.to_be_bytes()[3..]);
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(packet);
    frame
}

fn ip(src: [u8; 4], dst: [u8; 4], proto: u8, fragment: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&fragment.0.to_be_bytes());
    packet.extend_from_slice(&fragment.1.to_be_bytes());
    packet.extend_from_slice(&[64, proto, 0, 0]);
    packet.extend_from_slice(&src);
    packet.extend_from_slice(&dst);
    let check = fold(sum(&packet, 0));
    packet[10..12].copy_from_slice(&check);
    packet.extend_from_slice(payload);
    ethernet(0x0800, u64::from(u32::from_be_bytes(src)), &packet)
}

fn tcp(
    src: ([u8; 4], u16),
    dst: ([u8; 4], u16),
    (seq, ack, flags): (u32, u32, u8),
    data: &[u8],
) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + data.len());
    segment.extend_from_slice(&src.1.to_be_bytes());
    segment.extend_from_slice(&dst.1.to_be_bytes());
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&ack.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    segment.extend_from_slice(data);
    let ends = sum(&src.0, sum(&dst.0, 6 + segment.len() as u32));
    let check = fold(sum(&segment, ends));
    segment[16..18].copy_from_slice(&check);
    ip(src.0, dst.0, 6, (0, 0x4000), &segment)
}

fn udp(src: ([u8; 4], u16), dst: ([u8; 4], u16), data: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + data.len());
    datagram.extend_from_slice(&src.1.to_be_bytes());
    datagram.extend_from_slice(&dst.1.to_be_bytes());
    datagram.extend_from_slice(&(8 + data.len() as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(data);
    ip(src.0, dst.0, 17, (0, 0x4000), &datagram)
}

fn arp(random: &mut Random, operation: u8) -> Vec<u8> {
    let (sender, target, mac) = (random.ours(), random.ours(), random.next());
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, operation, 2];
    packet.extend_from_slice(&mac.to_be_bytes()[3..]);
    packet.extend_from_slice(&sender);
    packet.extend_from_slice(&[0; 6]);
    packet.extend_from_slice(&target);
    ethernet(0x0806, mac, &packet)
}

fn dns(random: &mut Random, flags: u16) -> Vec<u8> {
    let mut message = Vec::from((random.next() as u16).to_be_bytes());
    message.extend_from_slice(&flags.to_be_bytes());
    message.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    for len in [12, 10] {
        message.push(len);
        for _ in 0..len {
            message.push(b'a' + (random.next() % 26) as u8);
        }
    }
    message.extend_from_slice(b"\x03com\0\0\x01\0\x01");
    message
}

/// The next few packets.
fn packets(random: &mut Random, turn: u64, out: &mut Vec<Vec<u8>>) {
    let (outside, inside) = (random.address(), random.ours());
    let (port, other) = (random.port(), random.port());
    match turn % 12 {
        0 | 1 => out.push(tcp(
            (outside, port),
            (inside, other),
            (other.into(), 0, 2),
            &[],
        )),
        2 => {
            out.push(udp(
                (inside, port),
                ([10, 0, 0, 53], 53),
                &dns(random, 0x0100),
            ));
            out.push(udp(
                ([10, 0, 0, 53], 53),
                (inside, port),
                &dns(random, 0x8183),
            ));
        }
        3 => out.extend([arp(random, 1), arp(random, 2)]),
        4 => out.push(udp((outside, port), (inside, other), &port.to_be_bytes())),
        5 | 6 => {
            // A whole connection whose stream has holes, to a service of its own.
            let (client, server) = (
                (outside, port),
                (inside, if turn.is_multiple_of(2) { 80 } else { other }),
            );
            let page = format!(
                "GET /{:x} HTTP/1.1\r\nHost: {port:x}.example\r\n\r\n",
                random.next()
            );
            out.push(tcp(client, server, (10, 0, 2), &[]));
            out.push(tcp(server, client, (20, 11, 0x12), &[]));
            out.push(tcp(client, server, (11, 21, 0x10), &[]));
            out.push(tcp(client, server, (11, 21, 0x18), page.as_bytes()));
            for hole in 1..4u32 {
                let at = 11 + hole * 2_000;
                out.push(tcp(client, server, (at, 21, 0x18), &[b'x'; 1_000]));
            }
        }
        7 => {
            let mut echo = vec![8, 0, 0, 0];
            echo.extend_from_slice(&random.next().to_be_bytes());
            let check = fold(sum(&echo, 0));
            echo[2..4].copy_from_slice(&check);
            out.push(ip(outside, inside, 1, (0, 0), &echo));
        }
        8 => out.push(ip(outside, inside, 17, (port, 0x2000), &[0; 512])),
        9 => {
            let from = [53, 123, 389, 1900, 11_211][usize::from(port % 5)];
            out.push(udp((outside, from), (inside, other), &[0; 400]));
        }
        10 => {
            let (client, server) = ((inside, port), (outside, 21));
            out.push(tcp(client, server, (10, 0, 2), &[]));
            out.push(tcp(server, client, (20, 11, 0x12), &[]));
            out.push(tcp(client, server, (11, 21, 0x10), &[]));
            let user = format!("USER u{other}\r\n");
            out.push(tcp(client, server, (11, 21, 0x18), user.as_bytes()));
            let next = 11 + user.len() as u32;
            out.push(tcp(
                server,
                client,
                (21, next, 0x18),
                b"530 Login incorrect.\r\n",
            ));
        }
        _ => {
            let mut offer = vec![0; 300];
            offer[..4].copy_from_slice(&[2, 1, 6, 0]);
            offer[236..243].copy_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, 2]);
            offer[243..249].copy_from_slice(&[54, 4, inside[0], inside[1], inside[2], inside[3]]);
            offer[249] = 255;
            out.push(udp((inside, 67), ([255; 4], 68), &offer));
        }
    }
}

fn peak_mib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1_024)
}

/// The program's standard input, as a capture.
struct Wire {
    pipe: BufWriter<ChildStdin>,
    number: u64,
}

impl Wire {
    fn words(&mut self, words: &[u32]) {
        for word in words {
            self.pipe.write_all(&word.to_le_bytes()).unwrap();
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let micros = self.number * (1_000_000 / PER_SEC);
        let (secs, len) = (1_700_000_000 + micros / 1_000_000, frame.len() as u32);
        self.words(&[secs as u32, (micros % 1_000_000) as u32, len, len]);
        self.pipe.write_all(frame).unwrap();
        self.number += 1;
    }
}

fn main() {
    let total = std::env::args()
        .skip(1)
        .find_map(|a| a.parse::<u64>().ok())
        .unwrap_or(PACKETS);
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::var("SEKISHO").unwrap_or(env!("CARGO_BIN_EXE_sekisho").to_owned());
    // Everything is on; only the records that tell of each flow and transaction stay unwritten: gigabytes of them.
    let mut child = Command::new(&program)
        .args(["replay", "--workers", "fused", "-l"])
        .arg(folder.path())
        .args(
            ["eve.flow", "eve.app", "eve.files", "eve.anomaly"]
                .iter()
                .flat_map(|key| ["--set".to_owned(), format!("{key}=false")]),
        )
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let process = child.id();
    let (told, said) = std::sync::mpsc::channel();
    let errors = BufReader::new(child.stderr.take().unwrap());
    let listener = std::thread::spawn(move || {
        let mut rest = Vec::new();
        for line in errors.lines().map_while(Result::ok) {
            if let Some((_, after)) = line.split_once("memory bound ") {
                let bound: u64 = after.split(' ').next().unwrap_or("").parse().unwrap_or(0);
                let _ = told.send(bound);
            } else {
                rest.push(line);
            }
        }
        rest
    });
    let mut wire = Wire {
        pipe: BufWriter::with_capacity(1 << 20, child.stdin.take().unwrap()),
        number: 0,
    };
    wire.words(&[0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1]);
    wire.pipe.flush().unwrap();
    let bound = said.recv().unwrap();
    let empty = peak_mib(process).unwrap_or(0);
    println!("bound of the tables {bound} MiB; before the first packet {empty} MiB");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut turn, mut probes, mut millions) = (0u64, 0u64, 0u64);
    let mut peak = empty;
    let mut queue = Vec::new();
    while wire.number < total {
        packets(&mut random, turn, &mut queue);
        turn += 1;
        for frame in queue.drain(..) {
            wire.send(&frame);
        }
        if wire.number / SCAN_EVERY > probes {
            probes += 1;
            let (scanner, target) = ((SCANNER, 40_000), ([10, 20, 0, 9], probes as u16));
            wire.send(&tcp(scanner, target, (1, 0, 2), &[]));
            wire.send(&tcp(target, scanner, (0, 2, 0x14), &[]));
        }
        if wire.number / 1_000_000 > millions {
            millions += 1;
            wire.pipe.flush().unwrap();
            peak = peak_mib(process).unwrap_or(0).max(peak);
            println!("{:>10} packets: peak {peak} MiB", wire.number);
        }
    }
    let number = wire.number;
    drop(wire);
    while child.try_wait().unwrap().is_none() {
        peak = peak_mib(process).unwrap_or(0).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let rest = listener.join().unwrap();
    let eve = std::fs::read_to_string(folder.path().join("eve.json")).unwrap_or_default();
    let mut alerts: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut found = false;
    for line in eve
        .lines()
        .filter(|l| l.contains("\"event_type\":\"alert\""))
    {
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let ours = value.get("sekisho").cloned().unwrap_or_default();
        let text = |v: &serde_json::Value, key: &str| {
            v.get(key).and_then(|t| t.as_str()).unwrap_or("").to_owned()
        };
        let detector = text(&ours, "detector");
        found |= detector == "port_scan" && text(&value, "src_ip") == "203.0.113.66";
        *alerts.entry((text(&ours, "level"), detector)).or_default() += 1;
    }
    for ((level, detector), count) in &alerts {
        println!("{count:>10} {level} {detector}");
    }
    for line in rest.iter().rev().take(3).rev() {
        println!("{line}");
    }
    println!(
        "{number} packets: peak {peak} MiB, of it {empty} MiB before the first packet; bound of the tables {bound} MiB"
    );
    println!("hidden scan {}", if found { "found" } else { "missed" });
    assert!(
        peak <= bound + empty,
        "more memory than the tables and the program may take"
    );
    assert!(found, "the hidden scan is not found");
    assert!(
        !alerts.keys().any(|(level, _)| level == "RED"),
        "a false RED"
    );
}
