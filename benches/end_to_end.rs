//! The whole path, end to end: bundled captures and rules through feeder, worker and report stage, fused.
//!
//! `cargo bench --bench end_to_end [-- FOLDER] [--rules FILE]... [--flood]`. Prints packets/s, Gbit/s, ns/packet (of CPU time) and
//! allocations/packet of the second and later rounds, and asserts that every round gives the same alerts.
//!
//! Then a flood of SYNs from invented addresses, 64 bytes on the wire each, two million a second of packet time, with a
//! real client among them. Asserts that its requests are matched, before and in the flood; that the flood is alerted within
//! a second of its beginning; that next to nothing is allocated, and that memory stays what it is.

mod counting;

use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sekisho::app::Limits;
use sekisho::app::layer::EncryptionHandling;
use sekisho::decode::DecodeSettings;
use sekisho::detect::anomaly::AnomalySettings;
use sekisho::detect::signature::{Engine, EngineSettings};
use sekisho::flow::FlowSettings;
use sekisho::grade::{Event, GradeSettings};
use sekisho::pipeline::{ReplayOptions, ReplaySummary, ReportStage, WorkerSettings, replay};
use sekisho::rules::{LoadSettings, load};
use sekisho::sink::eve::EveSettings;
use sekisho::sink::{Sink, SinkError};
use sekisho::stream::StreamSettings;

/// Counts what comes out, and how many bytes of lines.
#[derive(Clone, Default)]
struct Count {
    alerts: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
    /// Requests of the client in the flood.
    known: Arc<AtomicU64>,
    /// Packet time of the first alert of the flood, in nanoseconds.
    flood: Arc<AtomicU64>,
}

impl Sink for Count {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Alert(alert) => {
                if alert.sid == KNOWN_SID {
                    self.known.fetch_add(1, Ordering::Relaxed);
                }
                if alert.detector == "syn_flood" && self.flood.load(Ordering::Relaxed) == 0 {
                    self.flood.store(alert.finding.ts.0, Ordering::Relaxed);
                }
                self.alerts.fetch_add(1, Ordering::Relaxed)
            }
            Event::Line { .. } => self.lines.fetch_add(1, Ordering::Relaxed),
        };
    }
    fn flush(&mut self) {}
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

const ROUNDS: usize = 5;

/// CPU time of this thread, in seconds: what others do on the machine does not count.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split(' ')
        .next()
        .and_then(|nanos| nanos.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

fn print_heads(first: &str) {
    println!(
        "{first:>28} {:>10} {:>11} {:>8} {:>10} {:>13}",
        "packets", "packets/s", "Gbit/s", "ns/packet", "alloc/packet"
    );
}

fn print_line(name: &str, packets: f64, bytes: f64, secs: f64, allocated: u64) {
    println!(
        "{name:>28} {packets:>10} {:>11.0} {:>8.2} {:>10.0} {:>13.4}",
        packets / secs,
        bytes * 8.0 / secs / 1e9,
        secs * 1e9 / packets,
        allocated as f64 / packets
    );
}

/// Replays files, fused.
fn run(
    engine: &Arc<Engine>,
    files: Vec<PathBuf>,
    count: &Count,
    progress: &mut dyn FnMut(u64, u64),
) -> ReplaySummary {
    let worker = WorkerSettings {
        flow: FlowSettings::default(),
        stream: StreamSettings::default(),
        limits: Limits::default(),
        tls_encryption: EncryptionHandling::default(),
        eve: EveSettings::default(),
        inline: false,
        hosts: true,
        failed_closed: Vec::new(),
        flow_memcap: sekisho::stream::ExceptionPolicy::Ignore,
        segments: Arc::default(),
        blocks: None,
    };
    let settings = (
        GradeSettings::default(),
        &AnomalySettings::default(),
        EveSettings::default(),
    );
    let mut report = ReportStage::new(
        Arc::clone(engine.rules()),
        settings,
        vec![Box::new(count.clone())],
    );
    let options = ReplayOptions {
        files,
        workers: 0,
        decode: DecodeSettings::default(),
        worker,
    };
    replay(options, engine, &mut report, progress)
}

fn bundled(engine: &Arc<Engine>, files: &[PathBuf]) {
    let mut first = None;
    print_heads("round");
    for round in 0..ROUNDS {
        let count = Count::default();
        let allocated = counting::allocations();
        let start = cpu_seconds();
        let summary = run(engine, files.to_vec(), &count, &mut |_, _| {});
        let secs = cpu_seconds() - start;
        let allocated = counting::allocations() - allocated;
        let (packets, bytes) = (summary.feeder.frames as f64, summary.feeder.bytes as f64);
        print_line(&round.to_string(), packets, bytes, secs, allocated);
        let said = (
            count.alerts.load(Ordering::Relaxed),
            count.lines.load(Ordering::Relaxed),
        );
        assert!(said.0 > 100, "only {} alerts", said.0);
        assert_eq!(*first.get_or_insert(said), said, "a round differs");
    }
    println!("alerts and lines of each round: {first:?}");
}

/// SYNs of the flood.
const SYNS: u64 = 3_000_000;
/// When it begins, in nanoseconds.
const FLOOD_BEGIN: u64 = 1_700_000_000_000_000_000;
/// The rule that sees the real client.
const KNOWN_SID: u32 = 77;
const KNOWN_RULE: &str = "alert http any any -> any any (msg:\"known client\"; flow:established,to_server; \
                          http.uri; content:\"/known-client\"; sid:77;)\n";

/// A frame of TCP over IPv4 over Ethernet, padded to 60 bytes (64 with its check sequence), checksums right.
fn frame(
    (src, sport): ([u8; 4], u16),
    (dst, dport): ([u8; 4], u16),
    (seq, ack, flags): (u32, u32, u8),
    payload: &[u8],
) -> Vec<u8> {
    let words = |bytes: &[u8]| -> u32 {
        let pair = |p: &[u8]| u32::from(p[0]) << 8 | p.get(1).map_or(0, |b| u32::from(*b));
        bytes.chunks(2).map(pair).sum()
    };
    let fold = |mut sum: u32| {
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (!(sum as u16)).to_be_bytes()
    };
    let total = (40 + payload.len()) as u16;
    let mut ip = vec![0x45, 0];
    ip.extend_from_slice(&total.to_be_bytes());
    ip.extend_from_slice(&[0, 1, 0x40, 0, 64, 6, 0, 0]);
    ip.extend_from_slice(&src);
    ip.extend_from_slice(&dst);
    let sum = fold(words(&ip));
    ip[10..12].copy_from_slice(&sum);
    let mut segment = Vec::new();
    segment.extend_from_slice(&sport.to_be_bytes());
    segment.extend_from_slice(&dport.to_be_bytes());
    segment.extend_from_slice(&seq.to_be_bytes());
    segment.extend_from_slice(&ack.to_be_bytes());
    segment.extend_from_slice(&[0x50, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    let sum = fold(words(&ip[12..20]) + 6 + segment.len() as u32 + words(&segment));
    segment[16..18].copy_from_slice(&sum);
    let link = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let mut frame = [&link[..], &ip, &segment].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}

/// Writes the capture: the client connects and asks, then the flood, in which it asks again at every tenth.
fn write_flood(path: &Path) -> std::io::Result<u64> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    for word in [0xa1b2_3c4du32, 0x0004_0002, 0, 0, 65_535, 1] {
        out.write_all(&word.to_le_bytes())?;
    }
    let mut at = FLOOD_BEGIN - 1_000_000;
    let mut packets = 0;
    let mut write = |frame: &[u8], after_ns: u64| {
        at += after_ns;
        packets += 1;
        let len = frame.len() as u32;
        for word in [
            (at / 1_000_000_000) as u32,
            (at % 1_000_000_000) as u32,
            len,
            len,
        ] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(frame)
    };
    let (client, server) = (([198, 51, 100, 7], 50_000), ([192, 0, 2, 1], 80));
    let request = b"GET /known-client HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (asked, answered) = (request.len() as u32, answer.len() as u32);
    let (mut seq, mut ack) = (101, 901);
    write(&frame(client, server, (100, 0, 2), &[]), 10_000)?;
    write(&frame(server, client, (900, 101, 0x12), &[]), 10_000)?;
    write(&frame(client, server, (101, 901, 0x10), &[]), 10_000)?;
    for i in 0..SYNS {
        if i % (SYNS / 10) == 0 {
            write(&frame(client, server, (seq, ack, 0x18), request), 0)?;
            seq += asked;
            write(&frame(server, client, (ack, seq, 0x18), answer), 0)?;
            ack += answered;
            write(&frame(client, server, (seq, ack, 0x10), &[]), 0)?;
        }
        let source =
            (0x0b00_0000u32 + (i as u32).wrapping_mul(2_654_435_761) % 0xb000_0000).to_be_bytes();
        let port = 1024 + (i % 50_000) as u16;
        write(&frame((source, port), server, (i as u32, 0, 2), &[]), 500)?;
    }
    out.flush()?;
    Ok(packets)
}

fn flood(engine: &Arc<Engine>, path: &Path) {
    let packets = write_flood(path).unwrap_or(0);
    let count = Count::default();
    // What is there once every table has grown, and at the end of the flood.
    let (mut warm, mut last) = (None, (0, 0, 0.0, 0));
    let mut progress = |done: u64, total: u64| {
        let now = (
            counting::allocations(),
            counting::live_bytes(),
            cpu_seconds(),
            done,
        );
        if done > total / 4 && done < total {
            warm.get_or_insert(now);
            last = now;
        }
    };
    let start = cpu_seconds();
    let summary = run(engine, vec![path.to_owned()], &count, &mut progress);
    let all = cpu_seconds() - start;
    let warm = warm.unwrap_or(last);
    let (allocated, grown, secs) = (last.0 - warm.0, last.1 - warm.1, last.2 - warm.2);
    let counted = (last.3 - warm.3) as f64 / 76.0;
    print_heads("flood");
    print_line(
        "spoofed SYNs, steady",
        counted,
        counted * 64.0,
        secs,
        allocated,
    );
    print_line(
        "with begin and end",
        packets as f64,
        packets as f64 * 64.0,
        all,
        0,
    );
    let alert = count.flood.load(Ordering::Relaxed);
    println!(
        "{} requests of the client matched; alert {} ms after the flood began; {grown} bytes more at its end; {} of {} half-open connections given up not logged one by one",
        count.known.load(Ordering::Relaxed),
        alert.saturating_sub(FLOOD_BEGIN) / 1_000_000,
        summary.workers.flow.unreported,
        SYNS
    );
    assert_eq!(summary.feeder.frames, packets);
    assert_eq!(
        count.known.load(Ordering::Relaxed),
        10,
        "the client was lost"
    );
    assert!(
        alert > 0 && alert < FLOOD_BEGIN + 1_000_000_000,
        "no alert within a second"
    );
    // A few a batch of 256 packets, in the report stage; none a packet.
    assert!(
        (allocated as f64) < counted / 50.0,
        "{allocated} allocations"
    );
    assert!(grown < 1 << 20, "memory grew by {grown} bytes");
}

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut arguments = std::env::args().skip(1).filter(|a| a != "--bench");
    let (mut folder, mut paths) = (root.join("pcaps"), Vec::new());
    // Only the flood: for counting its instructions.
    let mut flood_only = false;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--flood" => flood_only = true,
            "--rules" => paths.extend(arguments.next().map(PathBuf::from)),
            other => folder = PathBuf::from(other),
        }
    }
    let files = sekisho::capture::expand_paths(&[folder]).unwrap_or_default();
    let Ok(temporary) = tempfile::tempdir() else {
        eprintln!("no room for temporary files");
        std::process::exit(1);
    };
    if paths.is_empty() {
        paths.push(root.join("signatures"));
    }
    let known = temporary.path().join("known.rules");
    let written = std::fs::write(&known, KNOWN_RULE);
    paths.push(known);
    let rules = load(&LoadSettings {
        paths,
        ..LoadSettings::default()
    });
    let engine =
        match rules.map(|rules| Engine::compile(Arc::new(rules), &EngineSettings::default())) {
            Ok(Ok(engine)) if written.is_ok() => Arc::new(engine),
            other => {
                eprintln!("rules do not load: {:?}", other.err().map(|_| ()));
                std::process::exit(1);
            }
        };
    if !flood_only {
        bundled(&engine, &files);
    }
    flood(&engine, &temporary.path().join("flood.pcap"));
}
