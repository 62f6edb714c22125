//! Live traffic on veth pairs in a namespace of its own: frames forwarded a second, latency added, and the highest rate
//! listened to without loss. Prints; asserts that what it sent is what it counts. Wants root and the program `ip`.
//!
//! ```text
//! cargo bench --bench live                          # all
//! cargo bench --bench live -- forward latency       # some
//! cargo bench --bench live -- dark                  # what is lost when a worker or the process fails
//! cargo bench --bench live -- dark worker-ended     # one of them, both ways
//! SENSOR=target/release/sekisho RULES=et-open.rules CAPTURE=some.pcap cargo bench --bench live -- listen
//! ```
//!
//! `forward` compares four ways from one port to the other: the kernel's bridge, the guardian's loop (AF_PACKET without
//! inspection), and the sensor over AF_PACKET and AF_XDP with its bundled rules. Sender, sensor and receiver share the
//! machine: a veth has no card of its own, what one sends another's processor receives.
//! `listen` raises the rate until a frame is lost, and replays the same frames, as often, from a file. It exits with 1 when
//! something is not as it should be.

#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]

#[path = "live/dark.rs"]
mod dark;
#[path = "../tests/lab.rs"]
mod lab;

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sekisho::capture::{Bridge, CaptureFile, Fate, FrameBatch, PacketBridge, Source, XdpBridge};
use sekisho::sys::af_packet::{PacketOptions, SlotReceiver, VNET_HEADER};
use sekisho::sys::bpf::XdpProgram;
use sekisho::sys::{Signal, send_signal, wait_readable};

use lab::{ip, veth};

const ALONE: &str = "SEKISHO_BENCH_ALONE";
/// Seconds of sending.
const SECS: u64 = 3;

fn main() {
    if std::env::var_os(ALONE).is_none() {
        let status = Command::new("unshare")
            // Network, mounts and processes of its own: whatever it started ends with it.
            .args(["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child"])
            .arg(std::env::current_exe().unwrap())
            .args(std::env::args().skip(1))
            .env(ALONE, "1")
            .status();
        if !status.is_ok_and(|s| s.success()) {
            println!("live: not as it should be, or no rights to make namespaces (wants root)");
            std::process::exit(1);
        }
        return;
    }
    ip("link set lo up");
    veth("a0", "a1");
    veth("b0", "b1");
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let all = wanted.is_empty();
    let runs = |name: &str| all || wanted.iter().any(|w| w == name);
    if runs("forward") || runs("latency") {
        println!(
            "{:<24} {:>5} {:>11} {:>11} {:>7} {:>9} {:>9} {:>9}",
            "way", "bytes", "sent/s", "through/s", "Gbit/s", "p50 us", "p99 us", "max us"
        );
        for way in Way::ALL {
            forward(way, runs("forward"));
        }
    }
    if runs("listen") {
        listen();
    }
    if runs("dark") && !dark::dark(&wanted) {
        std::process::exit(1);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    KernelBridge,
    PacketOnly,
    XdpOnly,
    SensorPacket,
    SensorXdp,
}

impl Way {
    const ALL: [Self; 5] = [
        Self::KernelBridge,
        Self::PacketOnly,
        Self::XdpOnly,
        Self::SensorPacket,
        Self::SensorXdp,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::KernelBridge => "kernel bridge",
            Self::PacketOnly => "af-packet, no inspection",
            Self::XdpOnly => "af-xdp, no inspection",
            Self::SensorPacket => "sensor, af-packet",
            Self::SensorXdp => "sensor, af-xdp",
        }
    }
}

fn port(name: &str, units: u32) -> SlotReceiver {
    let options = PacketOptions {
        ignore_outgoing: true,
        unit_bytes: 2048,
        units,
        ..PacketOptions::default()
    };
    SlotReceiver::open(name, &options).unwrap()
}

/// What stands between the pairs while it lives.
enum Between {
    Kernel,
    Thread(Arc<AtomicBool>, std::thread::JoinHandle<()>),
    Sensor(Child, tempfile::TempDir),
}

fn relay(mut bridge: impl Bridge + 'static) -> Between {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let thread = std::thread::spawn(move || {
        let mut batch = FrameBatch::default();
        let handles = bridge.handles();
        while !flag.load(Ordering::Relaxed) {
            bridge.receive(&mut batch, 64).unwrap();
            if batch.frames.is_empty() {
                let _ = wait_readable(&handles, Duration::from_millis(20));
                continue;
            }
            let bytes = std::mem::replace(&mut batch.bytes, sekisho::packet::FrameBytes::Empty);
            bridge.transmit(&bytes, &batch.frames, &[Fate::Forward; 64], &[]);
        }
    });
    Between::Thread(stop, thread)
}

fn program() -> PathBuf {
    std::env::var_os("SENSOR").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_sekisho")),
        PathBuf::from,
    )
}

fn sensor(config: &str, rules: Option<&PathBuf>) -> (Child, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sensor.toml"), config).unwrap();
    let errors = std::fs::File::create(folder.path().join("errors")).unwrap();
    let mut command = Command::new(program());
    command
        .args(["run", "-c"])
        .arg(folder.path().join("sensor.toml"))
        .arg("-l")
        .arg(folder.path())
        .stderr(Stdio::from(errors));
    if let Some(rules) = rules {
        command.arg("-S").arg(rules);
    }
    let child = command.spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(120);
    while !said(&folder).contains("sekisho: running") {
        assert!(Instant::now() < end, "{}", said(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(200));
    (child, folder)
}

fn said(folder: &tempfile::TempDir) -> String {
    std::fs::read_to_string(folder.path().join("errors")).unwrap_or_default()
}

fn put_between(way: Way) -> Between {
    let options = PacketOptions {
        ignore_outgoing: true,
        unit_bytes: 2048,
        units: 4096,
        ..PacketOptions::default()
    };
    match way {
        Way::KernelBridge => {
            ip("link add br0 type bridge");
            std::fs::write("/proc/sys/net/ipv6/conf/br0/disable_ipv6", "1").unwrap();
            ip("link set br0 up");
            ip("link set a1 master br0");
            ip("link set b1 master br0");
            std::thread::sleep(Duration::from_millis(300));
            Between::Kernel
        }
        Way::PacketOnly => relay(PacketBridge::open(["a1", "b1"], [0, 1], &options).unwrap()),
        Way::XdpOnly => {
            let programs = ["a1", "b1"].map(|p| Arc::new(XdpProgram::attach(p).unwrap()));
            let [one, other] = &programs;
            relay(XdpBridge::open(["a1", "b1"], 0, [0, 1], [one, other]).unwrap())
        }
        Way::SensorPacket | Way::SensorXdp => {
            let method = if way == Way::SensorPacket {
                "af-packet"
            } else {
                "af-xdp"
            };
            let config = format!(
                "live.guardian = false\n[[inline]]\nports = [\"a1\", \"b1\"]\nmethod = \"{method}\"\n"
            );
            let (child, folder) = sensor(&config, None);
            Between::Sensor(child, folder)
        }
    }
}

fn take_away(between: Between) {
    match between {
        Between::Kernel => ip("link del br0"),
        Between::Thread(stop, thread) => {
            stop.store(true, Ordering::Relaxed);
            thread.join().unwrap();
        }
        Between::Sensor(mut child, folder) => {
            send_signal(child.id(), Signal::End).unwrap();
            child.wait().unwrap();
            if std::env::var_os("VERBOSE").is_some() {
                print!("{}", said(&folder));
            }
        }
    }
}

/// A UDP frame of so many bytes, of one of 64 flows.
fn frame(bytes: usize, flow: u16) -> Vec<u8> {
    let mut out = vec![0; VNET_HEADER];
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(2000 + flow % 64, 4000)
        .write(&mut out, &vec![0x55; bytes - 42])
        .unwrap();
    out
}

/// Frames that an interface has received (/proc/net/dev is the namespace's own, /sys is not).
fn received(interface: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    let line = text
        .lines()
        .find_map(|l| l.trim().strip_prefix(interface)?.strip_prefix(':'));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

/// Sends for [`SECS`] as fast as the machine lets it; then, with little traffic, measures how long a frame takes.
fn forward(way: Way, rates: bool) {
    let between = put_between(way);
    for bytes in [64, 512, 1500] {
        let (mut sent_rate, mut rate) = (0.0, 0.0);
        let a = port("a0", 64);
        if rates {
            let frames: Vec<Vec<u8>> = (0..64).map(|n| frame(bytes, n)).collect();
            let list: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
            let before = received("b0");
            let begun = Instant::now();
            let mut sent = 0;
            while begun.elapsed() < Duration::from_secs(SECS) {
                sent += a.send(&list) as u64;
            }
            let seconds = begun.elapsed().as_secs_f64();
            let through = received("b0") - before;
            // The kernel's bridge says a word of its own now and then.
            assert!(through > 0 && through <= sent + 100, "{through} of {sent}");
            (sent_rate, rate) = (sent as f64 / seconds, through as f64 / seconds);
            std::thread::sleep(Duration::from_millis(300));
        }
        let mut b = port("b0", 1024);
        while b.take(|_| ()).is_some() {}
        let mut times: Vec<u128> = Vec::new();
        for n in 0..4000u16 {
            let frame = frame(bytes, n);
            let begun = Instant::now();
            assert_eq!(a.send(&[&frame]), 1);
            loop {
                if b.take(|_| ()).is_some() {
                    times.push(begun.elapsed().as_nanos());
                    break;
                }
                if begun.elapsed() > Duration::from_millis(500) {
                    break;
                }
                let _ = wait_readable(&[b.fd()], Duration::from_millis(5));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        times.sort_unstable();
        assert!(times.len() > 3900, "{} of 4000 came through", times.len());
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        println!(
            "{:<24} {bytes:>5} {sent_rate:>11.0} {rate:>11.0} {:>7.2} {:>9.1} {:>9.1} {:>9.1}",
            way.name(),
            rate * bytes as f64 * 8.0 / 1e9,
            at(0.5),
            at(0.99),
            at(1.0),
        );
    }
    take_away(between);
}

/// Frames of a capture, each with room for the kernel's note in front.
fn load(path: &std::path::Path) -> Vec<Vec<u8>> {
    let mut file = CaptureFile::open(path).unwrap();
    let mut batch = FrameBatch::default();
    let mut list = Vec::new();
    loop {
        let more = file.fill(&mut batch, 256).unwrap();
        for one in &batch.frames {
            let bytes = batch.bytes.slice(one.slice.start, one.slice.len);
            if (14..=1514).contains(&bytes.len()) && list.len() < 500_000 {
                let mut frame = vec![0; VNET_HEADER];
                frame.extend_from_slice(bytes);
                list.push(frame);
            }
        }
        if !more {
            return list;
        }
    }
}

/// Raises the rate until one queue and one worker lose a frame.
fn listen() {
    let capture = std::env::var_os("CAPTURE").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("pcaps/http_browse/traffic.pcap"),
        PathBuf::from,
    );
    let rules = std::env::var_os("RULES").map(PathBuf::from);
    let frames = load(&capture);
    assert!(!frames.is_empty());
    println!(
        "listening: {} ({} frames, sent round and round), rules {}",
        capture.display(),
        frames.len(),
        rules
            .as_ref()
            .map_or("bundled".into(), |r| r.display().to_string())
    );
    println!(
        "{:>11} {:>11} {:>9} {:>9}",
        "wanted/s", "sent/s", "Mbit/s", "lost"
    );
    let config = "workers = 1\n[[interface]]\nname = \"a1\"\n";
    let a = port("a0", 64);
    let mut wanted = 20_000.0;
    let mut best = 0.0;
    for _ in 0..24 {
        let (mut child, folder) = sensor(config, rules.as_ref());
        let begun = Instant::now();
        let (mut sent, mut bytes, mut at) = (0u64, 0u64, 0usize);
        while begun.elapsed() < Duration::from_secs(SECS) {
            let due = (begun.elapsed().as_secs_f64() * wanted) as u64;
            if due <= sent {
                std::thread::sleep(Duration::from_micros(50));
                continue;
            }
            let most = (due - sent).min(64) as usize;
            let list: Vec<&[u8]> = (0..most)
                .filter_map(|n| frames.get((at + n) % frames.len()))
                .map(Vec::as_slice)
                .collect();
            let done = a.send(&list);
            bytes += list.iter().take(done).map(|f| f.len() as u64).sum::<u64>();
            sent += done as u64;
            at += done;
        }
        let rate = sent as f64 / begun.elapsed().as_secs_f64();
        send_signal(child.id(), Signal::End).unwrap();
        child.wait().unwrap();
        let text = said(&folder);
        let line = text.lines().find(|l| l.contains(" frames, ")).unwrap();
        let seen: u64 = line.split(' ').nth(2).unwrap().parse().unwrap();
        let lost = sent.saturating_sub(seen);
        assert!(seen <= sent, "{line}");
        let mbit = bytes as f64 * 8.0 / SECS as f64 / 1e6;
        println!("{wanted:>11.0} {rate:>11.0} {mbit:>9.0} {lost:>9}");
        let passed_by = line.contains(" 0 dropped by the kernel, 0 not inspected (ring full)");
        if lost > 0 || !passed_by || rate < wanted * 0.9 {
            break;
        }
        best = rate;
        wanted *= 1.3;
    }
    println!("highest rate without loss: {best:.0} frames/s");
    assert!(best > 0.0, "frames were lost at the lowest rate");
    let (rate, cpu) = replayed(&frames, rules.as_ref());
    println!(
        "the same frames replayed, one worker: {rate:.0} frames/s ({cpu:.0} a processor second); listening reaches {:.0} % of it",
        best / rate * 100.0
    );
}

/// Processor seconds of children that have ended (cutime and cstime of proc_pid_stat(5), in hundredths).
fn children_secs() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, behind) = text.rsplit_once(") ").unwrap();
    let fields: Vec<f64> = behind.split(' ').filter_map(|f| f.parse().ok()).collect();
    // Without pid, name and state, the 16th and 17th are the 13th and 14th.
    (fields[12] + fields[13]) / 100.0
}

/// Frames that are replayed: the capture again and again.
const REPLAYED: usize = 1_000_000;

/// Frames a second, and a second of processor time, of a replay of the same frames, without its start.
fn replayed(frames: &[Vec<u8>], rules: Option<&PathBuf>) -> (f64, f64) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, count: usize| {
        let mut bytes = Vec::new();
        sekisho::sink::pcap::header(&mut bytes, sekisho::packet::LinkType::ETHERNET);
        for (number, frame) in frames.iter().cycle().take(count).enumerate() {
            // A hundred thousand a second.
            let ts = sekisho::packet::Timestamp(1_800_000_000_000_000_000 + number as u64 * 10_000);
            sekisho::sink::pcap::record(&mut bytes, ts, &frame[VNET_HEADER..]);
        }
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let time = |path: &std::path::Path, count: usize| {
        let mut command = Command::new(program());
        command.args(["replay", "--workers", "1", "-k", "none", "-l"]);
        command.arg(folder.path().join("log")).arg(path);
        if let Some(rules) = rules {
            command.arg("-S").arg(rules);
        }
        let (begun, before) = (Instant::now(), children_secs());
        let output = command.output().unwrap();
        assert!(output.status.success());
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&count.to_string()), "{count} frames: {said}");
        (begun.elapsed().as_secs_f64(), children_secs() - before)
    };
    let (few, many) = (write("few.pcap", 100), write("many.pcap", REPLAYED));
    // Rules are compiled and cached before anything is measured.
    time(&few, 100);
    let (start, start_cpu) = time(&few, 100);
    let (whole, whole_cpu) = time(&many, REPLAYED);
    let count = (REPLAYED - 100) as f64;
    (count / (whole - start), count / (whole_cpu - start_cpu))
}
