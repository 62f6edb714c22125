//! Live traffic: the sensor on veth pairs, in a network namespace of its own.
//!
//! Each test runs itself again below `unshare`: everything it makes is gone when it ends, however it ends. Without the
//! rights for that (or without `ip`) a test says so and passes.
//! Waiting is for something to come true; no test measures time. The machine may be as slow as it likes: the sensors under
//! test wait for their own threads as long as the tests do, but where it is what happens after a timeout that is tested.

use std::io::{BufRead, BufReader, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sekisho::capture::{CaptureFile, FrameBatch, Source};
use sekisho::grade::{Exceptions, OnException};
use sekisho::pipeline::live::{Live, WorkerOrder};
use sekisho::sys::af_packet::{PacketOptions, SlotReceiver, VNET_HEADER};
use sekisho::sys::{Signal, send_signal};

use crate::lab::{Between, ip, veth, ward};
use crate::root;

const ALONE: &str = "SEKISHO_TEST_ALONE";
/// Network, mounts and processes of its own: when the test ends, whatever it started ends with it.
const UNSHARE: [&str; 6] = ["-n", "-m", "-p", "-f", "--mount-proc", "--kill-child"];
/// When a test gives up; a frame that is lost is told within it.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The same for the end of a sensor that waits for its own threads as long as [`PATIENT`] says, and for its guardian.
const FAREWELL: Duration = Duration::from_secs(180);
/// Frames that are sent without waiting for the sensor: fewer than any queue on the way holds.
const BURST: usize = 128;
/// For sensors under test: a worker that the machine does not let run is not stuck.
pub const PATIENT: &str = "live.worker-stuck-ms = 60000\nlive.verdict-timeout-ms = 60000\n";

static TURN: Mutex<()> = Mutex::new(());

fn alone(name: &str) -> bool {
    alone_in("live", name)
}

/// Whether this is the run inside the namespace. Outside: runs the test of a module there, or says why not.
pub fn alone_in(module: &str, name: &str) -> bool {
    if std::env::var_os(ALONE).is_some_and(|n| n == name) {
        ip("link set lo up");
        return true;
    }
    let may = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let own: Vec<&str> = UNSHARE.iter().copied().chain(["true"]).collect();
    if !may("unshare", &own) || !may("ip", &["-V"]) {
        println!("skipped: {module}::{name}: wants root (network namespaces) and the program ip");
        return false;
    }
    // One sensor at a time: they are timed by the traffic, and two cores are few.
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let status = Command::new("unshare")
        .args(UNSHARE)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{name}"), "--nocapture"])
        .env(ALONE, name)
        .status()
        .unwrap();
    assert!(status.success(), "{module}::{name} failed in its namespace");
    false
}

pub fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !ready() {
        assert!(Instant::now() < end, "waited in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Our end of a veth pair.
pub struct End(SlotReceiver);

impl End {
    pub fn open(name: &str) -> Self {
        let options = PacketOptions {
            ignore_outgoing: true,
            unit_bytes: 2048,
            units: 2048,
            ..PacketOptions::default()
        };
        Self(SlotReceiver::open(name, &options).unwrap())
    }

    pub fn send(&self, frame: &[u8]) {
        let mut bytes = vec![0; VNET_HEADER];
        bytes.extend_from_slice(frame);
        until("room to send", || self.0.send(&[&bytes]) == 1);
    }

    /// The next frame, with the tag that the kernel took out put back.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        self.0.take(|arrived| {
            let mut bytes = arrived.bytes.to_vec();
            if let Some(tag) = arrived.vlan {
                bytes.splice(12..12, tag);
            }
            bytes
        })
    }

    /// The frames until this one: others may come before it, it comes.
    pub fn until(&mut self, what: &str, frame: &[u8]) {
        until(what, || {
            while let Some(got) = self.receive() {
                if got == frame {
                    return true;
                }
            }
            false
        });
    }

    pub fn wait(&mut self, what: &str) -> Vec<u8> {
        let mut got = None;
        until(what, || {
            got = self.receive();
            got.is_some()
        });
        got.unwrap()
    }
}

/// `sekisho run`, its output being read.
pub struct Sensor {
    child: Child,
    pub folder: tempfile::TempDir,
    said: std::sync::mpsc::Receiver<String>,
}

impl Sensor {
    pub fn start(config: &str, rules: Option<&str>) -> Self {
        let sensor = Self::begin(config, rules);
        sensor.wait_for("sekisho: running");
        sensor
    }

    /// The same, without waiting until it runs.
    pub fn begin(config: &str, rules: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut text = String::new();
        if !config.contains("[control]") && !config.contains("control.socket") {
            text = format!("control.socket = \"{}\"\n", path("c.sock").display());
        }
        text += PATIENT;
        std::fs::write(path("sensor.toml"), text + config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command
            .current_dir(root())
            .args(["run", "-c"])
            .arg(path("sensor.toml"))
            .arg("-l")
            .arg(path("log"))
            .stderr(Stdio::piped());
        if let Some(rules) = rules {
            std::fs::write(path("test.rules"), rules).unwrap();
            command.arg("-S").arg(path("test.rules"));
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, said) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                println!("  {line}");
                let _ = sender.send(line);
            }
        });
        Self {
            child,
            folder,
            said,
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn wait_for(&self, text: &str) {
        loop {
            let line = self.said.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|e| panic!("waited in vain for '{text}': {e}"));
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits until it has taken so many frames, or they were lost.
    pub fn took(&self, frames: usize) {
        let asked = UnixStream::connect(self.folder.path().join("c.sock"));
        let mut asked = asked.unwrap();
        asked.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut answers = BufReader::new(asked.try_clone().unwrap());
        until("the frames to be taken", || {
            writeln!(asked, r#"{{"command": "stats", "arguments": {{}}}}"#).unwrap();
            let mut line = String::new();
            answers.read_line(&mut line).unwrap();
            let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
            let taken = &answer["message"]["capture"]["kernel_packets"];
            taken.as_u64().unwrap() >= frames as u64
        });
    }

    /// Ends it; gives eve.json.
    pub fn stop(mut self) -> Vec<serde_json::Value> {
        send_signal(self.child.id(), Signal::End).unwrap();
        let mut ended = None;
        let until = Instant::now() + FAREWELL;
        while ended.is_none() {
            if Instant::now() > until {
                let id = self.child.id();
                let wards = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
                let wards = wards.unwrap_or_default();
                let wards = wards.split_whitespace().filter_map(|w| w.parse().ok());
                let all: String = wards.chain([id]).map(threads).collect();
                panic!("the sensor does not end\n{all}");
            }
            ended = self.child.try_wait().unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        let status = ended.unwrap();
        assert!(status.success(), "{status}");
        events(&self.folder.path().join("log/eve.json"))
    }

    /// The process that the guardian guards.
    pub fn ward(&self) -> u32 {
        ward(self.child.id())
    }
}

/// What each thread of a process is doing.
fn threads(process: u32) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    let of = |folder: &Path, name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        text.trim().to_owned()
    };
    tasks
        .map(|task| {
            let folder = task.path();
            let state = of(&folder, "stat");
            let state = state.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let (name, waits) = (of(&folder, "comm"), of(&folder, "wchan"));
            format!(
                "{name}: {} in {waits}\n",
                state.get(..1).unwrap_or_default()
            )
        })
        .collect()
}

pub fn events(path: &Path) -> Vec<serde_json::Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// What fired, from whom to whom.
pub fn alerts(events: &[serde_json::Value]) -> Vec<String> {
    let mut list: Vec<String> = events
        .iter()
        .filter(|e| e["event_type"] == "alert")
        .map(|e| {
            format!(
                "{} {} {} {}",
                e["alert"]["signature_id"], e["src_ip"], e["dest_ip"], e["sekisho"]["level"]
            )
        })
        .collect();
    list.sort();
    list
}

/// The frames of a bundled capture.
fn frames(case: &str) -> Vec<Vec<u8>> {
    let path = root().join("pcaps").join(case).join("traffic.pcap");
    let mut file = CaptureFile::open(&path).unwrap();
    let mut batch = FrameBatch::default();
    let mut list = Vec::new();
    loop {
        let more = file.fill(&mut batch, 64).unwrap();
        for frame in &batch.frames {
            list.push(
                batch
                    .bytes
                    .slice(frame.slice.start, frame.slice.len)
                    .to_vec(),
            );
        }
        if !more {
            return list;
        }
    }
}

/// Captures whose alerts do not hang on the time between packets (sent at once, minutes become milliseconds).
pub const CASES: &[&str] = &[
    "brute_ftp",
    "dns_probe",
    "encap_qinq",
    "encap_vlan",
    "encap_vxlan",
    "fragments_attack",
    "sig_web_attack",
    "webattack_sqli",
];

pub fn same_as_replay(config: &str, cases: &[&str]) {
    veth("a0", "a1");
    for case in cases {
        let capture = root().join("pcaps").join(case).join("traffic.pcap");
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().to_str().unwrap();
        crate::sekisho(&["replay", "-k", "none", "-l", log, capture.to_str().unwrap()]);
        let replayed = alerts(&events(&folder.path().join("eve.json")));
        let sensor = Sensor::start(config, None);
        let end = End::open("a0");
        let list = frames(case);
        for (at, part) in list.chunks(BURST).enumerate() {
            for frame in part {
                end.send(frame);
            }
            // Sharing frames by hash, the kernel puts fragments together: fewer come than are sent.
            if !config.contains("fanout") || !case.starts_with("fragments") {
                sensor.took(at * BURST + part.len());
            }
        }
        let live = alerts(&sensor.stop());
        assert_eq!(live, replayed, "{case}");
        assert!(!live.is_empty(), "{case}");
    }
}

#[test]
fn a_capture_sent_to_a_listening_sensor_gives_the_alerts_of_its_replay() {
    if alone("a_capture_sent_to_a_listening_sensor_gives_the_alerts_of_its_replay") {
        same_as_replay("workers = 2\n[[interface]]\nname = \"a1\"\n", CASES);
    }
}

#[test]
fn over_af_xdp_too() {
    if alone("over_af_xdp_too") {
        let config = "workers = 1\n[[interface]]\nname = \"a1\"\nmethod = \"af-xdp\"\n";
        same_as_replay(config, CASES);
    }
}

#[test]
fn several_capture_threads_give_what_one_gives() {
    if alone("several_capture_threads_give_what_one_gives") {
        let config = "workers = 2\n[[interface]]\nname = \"a1\"\nthreads = 2\nfanout = \"hash\"\n";
        // The kernel's hash does not look into VXLAN: the two directions of what is inside come by different threads, and
        // their order is lost. docs/deploy-passive.md says to use one thread there.
        let cases: Vec<&str> = CASES
            .iter()
            .copied()
            .filter(|c| *c != "encap_vxlan")
            .collect();
        same_as_replay(config, &cases);
    }
}

const RULES: &str = r#"
drop udp any any -> any 9 (msg:"evil"; content:"evil"; sid:1;)
alert udp any any -> any 9 (msg:"changed"; content:"bad"; replace:"xxx"; sid:3;)
reject tcp any any -> any 81 (msg:"refused"; flags:S; sid:2;)
"#;

pub fn udp(number: u16, payload: &[u8], vlan: bool) -> Vec<u8> {
    use etherparse::{PacketBuilder, VlanId};
    let mut out = Vec::new();
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    if vlan {
        ethernet
            .single_vlan(VlanId::try_new(7).unwrap())
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(1000 + number, 9)
            .write(&mut out, payload)
            .unwrap();
    } else {
        ethernet
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(1000 + number, 9)
            .write(&mut out, payload)
            .unwrap();
    }
    out
}

fn syn() -> Vec<u8> {
    let mut out = Vec::new();
    etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(4000, 81, 500, 1000)
        .syn()
        .write(&mut out, &[])
        .unwrap();
    out
}

/// Two pairs: what goes into `a0` reaches the sensor on `a1`, goes out by `b1`, and reaches `b0`.
pub fn two_pairs() -> (End, End) {
    veth("a0", "a1");
    veth("b0", "b1");
    (End::open("a0"), End::open("b0"))
}

fn passes_drops_and_refuses(method: &str) {
    let (mut a, mut b) = two_pairs();
    let config = format!("[[inline]]\nports = [\"a1\", \"b1\"]\nmethod = \"{method}\"\n");
    let sensor = Sensor::start(&config, Some(RULES));
    // In order, unchanged, with and without a tag, both ways.
    let list: Vec<Vec<u8>> = (0..300)
        .map(|n| udp(n % 50, format!("number {n}").as_bytes(), n % 3 == 0))
        .collect();
    for frame in &list {
        a.send(frame);
    }
    for frame in &list {
        assert_eq!(&b.wait("a forwarded frame"), frame);
    }
    b.send(&udp(1, b"and back", false));
    assert_eq!(a.wait("a frame back"), udp(1, b"and back", false));
    // Dropped: what is sent behind it arrives, it does not.
    a.send(&udp(900, b"this is evil", false));
    a.send(&udp(901, b"fine", false));
    assert_eq!(b.wait("the one behind"), udp(901, b"fine", false));
    // Changed: other bytes, and a checksum that is right for them.
    a.send(&udp(903, b"some bad bytes", true));
    let changed = b.wait("a changed frame");
    assert_eq!(changed, udp(903, b"some xxx bytes", true));
    // Refused: a reset comes back, nothing goes on.
    a.send(&syn());
    let reset = a.wait("a reset");
    assert_eq!((reset[14 + 9], reset[14 + 20 + 13]), (6, 0x14));
    assert_eq!(reset[..6], [2, 0, 0, 0, 0, 1]);
    a.send(&udp(902, b"fine", false));
    assert_eq!(b.wait("the one behind"), udp(902, b"fine", false));
    let events = sensor.stop();
    let blocked = |e: &&serde_json::Value| e["alert"]["action"] == "blocked";
    assert_eq!(events.iter().filter(blocked).count(), 2);
    let drops = events.iter().filter(|e| e["event_type"] == "drop").count();
    assert_eq!(drops, 2);
}

#[test]
fn a_bridge_over_af_packet_passes_drops_and_refuses() {
    if alone("a_bridge_over_af_packet_passes_drops_and_refuses") {
        passes_drops_and_refuses("af-packet");
    }
}

#[test]
fn a_bridge_over_af_xdp_passes_drops_and_refuses() {
    if alone("a_bridge_over_af_xdp_passes_drops_and_refuses") {
        passes_drops_and_refuses("af-xdp");
    }
}

#[test]
fn packets_queued_by_the_firewall_are_judged() {
    if !alone("packets_queued_by_the_firewall_are_judged") {
        return;
    }
    let run = |program: &str, command: &str| {
        Command::new(program)
            .args(command.split_whitespace())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    };
    let nft = || {
        run("nft", "add table ip t")
            && run(
                "nft",
                "add chain ip t out { type filter hook output priority 0 ; }",
            )
            && run("nft", "add rule ip t out udp dport 9 queue num 3 bypass")
    };
    let rule = "-A OUTPUT -p udp --dport 9 -j NFQUEUE --queue-num 3 --queue-bypass";
    if !nft() && !run("iptables-legacy", rule) && !run("iptables", rule) {
        println!("skipped: neither nft nor iptables can queue here");
        return;
    }
    let receiver = std::net::UdpSocket::bind("127.0.0.1:9").unwrap();
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    let sender = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buffer = [0; 64];
    let mut exchange = |texts: &[&str]| {
        for text in texts {
            sender.send_to(text.as_bytes(), "127.0.0.1:9").unwrap();
        }
        let count = receiver.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let sensor = Sensor::start("[[inline]]\nmethod = \"nfqueue\"\nqueue = 3\n", Some(RULES));
    assert_eq!(exchange(&["hello"]), "hello");
    assert_eq!(exchange(&["evil", "behind"]), "behind");
    assert_eq!(exchange(&["all bad"]), "all xxx");
    let events = sensor.stop();
    assert_eq!(alerts(&events).len(), 2);
    // Without the sensor, the kernel lets through what the rule says may bypass.
    assert_eq!(exchange(&["evil"]), "evil");
}

#[test]
fn a_killed_sensor_is_stood_in_for_by_its_guardian() {
    if !alone("a_killed_sensor_is_stood_in_for_by_its_guardian") {
        return;
    }
    let (mut a, mut b) = two_pairs();
    veth("c0", "c1");
    veth("d0", "d1");
    let (c, mut d) = (End::open("c0"), End::open("d0"));
    let config = "\
[[inline]]\nports = [\"a1\", \"b1\"]\n\
[[inline]]\nports = [\"c1\", \"d1\"]\n\
[[segment]]\nname = \"vault\"\nrole = \"dmz\"\ninterfaces = [\"c1\", \"d1\"]\n\
[segment.exception]\nprocess-lost = \"drop\"\n";
    let sensor = Sensor::start(config, Some(RULES));
    let fine = udp(1, b"fine", false);
    a.send(&fine);
    assert_eq!(b.wait("a frame through the sensor"), fine);
    c.send(&fine);
    assert_eq!(d.wait("a frame through the other pair"), fine);
    // A new one cannot start as long as its rules are away.
    let rules = sensor.folder.path().join("test.rules");
    let away = sensor.folder.path().join("away");
    std::fs::rename(&rules, &away).unwrap();
    let killed = Command::new("kill")
        .args(["-9", &sensor.ward().to_string()])
        .status();
    assert!(killed.unwrap().success());
    sensor.wait_for("1 pairs are joined without it");
    let evil = udp(2, b"this is evil", false);
    a.send(&evil);
    assert_eq!(b.wait("a frame through the guardian"), evil);
    b.send(&fine);
    assert_eq!(a.wait("a frame back"), fine);
    c.send(&fine);
    std::fs::rename(&away, &rules).unwrap();
    sensor.wait_for("sekisho: running");
    // The new one inspects again.
    a.send(&evil);
    a.send(&fine);
    assert_eq!(b.wait("a frame through the new sensor"), fine);
    // Fail-closed: what came while the sensor was gone did not pass.
    let late = udp(3, b"after", false);
    c.send(&late);
    assert_eq!(d.wait("a frame through the pair that was closed"), late);
    sensor.stop();
}

/// A sensor in this process, between `a1` and `b1`, that waits so long for verdicts.
fn in_process(exceptions: Exceptions, verdict_timeout_ms: u64) -> Live {
    let between = Between {
        rules: RULES,
        exceptions,
        stuck_ms: 300,
        verdict_timeout_ms,
    };
    between.start()
}

/// Milliseconds for which a worker is stuck that is not to come back.
const STUCK: u64 = 60_000;

/// Verdicts are waited for a moment only, and a worker is soon replaced: on a slow machine that happens to one that is well,
/// too. So frames are sent until what is to become of them has become of one.
fn a_worker_fails(order: WorkerOrder, exceptions: Exceptions) {
    let (a, mut b) = two_pairs();
    let mut live = in_process(exceptions, 50);
    let control = Arc::clone(live.control());
    let fine = |number| udp(number, b"fine", false);
    let evil = |number| udp(number, b"this is evil", false);
    let watching = std::thread::spawn(move || {
        live.watch(&mut |_| {});
        live
    });
    let lane = &control.lanes[0];
    // Sends the frame again and again until it is counted as what is to become of it.
    let send = |what: &str, frame: &[u8], count: &dyn Fn() -> u64| {
        let before = count();
        until(what, || {
            a.send(frame);
            std::thread::sleep(Duration::from_millis(20));
            count() > before
        });
    };
    send("a frame dropped by verdict", &evil(1), &|| {
        lane.dropped.get()
    });
    send("a frame forwarded", &fine(2), &|| lane.forwarded.get());
    b.until("a frame past a worker", &fine(2));
    // It fails with the next batch, which it takes up but does not answer.
    let restarts = control.workers[0].restarts.get();
    control.worker_orders[0].give(order);
    if exceptions.worker_lost == OnException::Pass {
        send("a frame passed", &evil(3), &|| lane.uninspected.get());
        b.until("a frame passed by policy", &evil(3));
    } else {
        let dropped = || lane.dropped_by_policy.get();
        send("a frame dropped by policy", &evil(3), &dropped);
    }
    until("a new worker", || {
        control.workers[0].restarts.get() > restarts
    });
    // The new worker inspects; it may take a moment until the capture thread has heard of it.
    let dropped = || lane.dropped.get();
    send("a frame dropped by the new worker", &evil(4), &dropped);
    send("a frame forwarded", &fine(5), &|| lane.forwarded.get());
    b.until("a frame past the new worker", &fine(5));
    control.stop();
    let live = watching.join().unwrap();
    let (_, errors) = live.stop();
    assert!(errors.is_empty());
}

#[test]
fn a_stuck_worker_is_passed_by_and_replaced() {
    if alone("a_stuck_worker_is_passed_by_and_replaced") {
        a_worker_fails(WorkerOrder::Stall(STUCK), Exceptions::default());
    }
}

#[test]
fn a_stuck_worker_closes_what_is_to_fail_closed() {
    if alone("a_stuck_worker_closes_what_is_to_fail_closed") {
        let closed = Exceptions {
            worker_lost: OnException::Drop,
            ring_full: OnException::Drop,
            ..Exceptions::default()
        };
        a_worker_fails(WorkerOrder::Stall(STUCK), closed);
    }
}

#[test]
fn a_worker_that_ended_is_passed_by_and_replaced() {
    if alone("a_worker_that_ended_is_passed_by_and_replaced") {
        a_worker_fails(WorkerOrder::End, Exceptions::default());
    }
}

#[test]
fn a_reload_changes_what_becomes_of_frames_that_a_stuck_worker_has() {
    use sekisho::grade::{GradeSettings, Segment, Segments};
    if !alone("a_reload_changes_what_becomes_of_frames_that_a_stuck_worker_has") {
        return;
    }
    let (a, mut b) = two_pairs();
    let live = in_process(Exceptions::default(), 50);
    let control = Arc::clone(live.control());
    // A worker that stands still for longer each time, until the capture thread has not waited for it.
    let worker_stands = |count: &dyn Fn() -> u64| {
        let (before, mut ms) = (count(), 200);
        until("a frame decided by policy", || {
            let taken = control.workers[0].done.get();
            control.worker_orders[0].give(WorkerOrder::Stall(ms));
            a.send(&udp(2, b"this is evil", false));
            until("the worker to go on", || {
                !control.worker_orders[0].is_full()
                    && control.workers[0].busy_since_ms.get() == 0
                    && control.workers[0].done.get() > taken
            });
            ms *= 2;
            count() > before
        });
    };
    worker_stands(&|| control.lanes[0].uninspected.get());
    b.until("a frame passed by policy", &udp(2, b"this is evil", false));
    let closed = Exceptions {
        worker_lost: OnException::Drop,
        ring_full: OnException::Drop,
        ..Exceptions::default()
    };
    let grade = GradeSettings {
        segments: Segments {
            list: vec![Segment {
                exceptions: closed,
                ..Segment::default()
            }],
            interfaces: vec!["a1".to_owned(), "b1".to_owned()],
            ..Segments::default()
        },
        ..GradeSettings::default()
    };
    let engine = control.in_force().engine;
    control.adopt(&engine, grade, Default::default()).unwrap();
    worker_stands(&|| control.lanes[0].dropped_by_policy.get());
    live.stop();
}

#[test]
fn a_blocked_source_does_not_pass_and_an_unblocked_one_does() {
    use sekisho::grade::action::Action;
    use sekisho::packet::Timestamp;
    if !alone("a_blocked_source_does_not_pass_and_an_unblocked_one_does") {
        return;
    }
    let (a, mut b) = two_pairs();
    let live = in_process(Exceptions::default(), 60_000);
    let control = Arc::clone(live.control());
    let fine = udp(1, b"fine", false);
    a.send(&fine);
    assert_eq!(b.wait("a frame"), fine);
    let source = IpAddr::from([10, 0, 0, 1]);
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let block = Action::DropSource {
        address: source,
        secs: 600,
    };
    let now = Timestamp::new(since.as_secs(), 0);
    control.blocks.apply(block, 0, now).unwrap();
    a.send(&fine);
    until("a blocked frame", || control.workers[0].blocked.get() == 1);
    assert!(control.blocks.remove(source, 0));
    let other = udp(2, b"again", false);
    a.send(&other);
    assert_eq!(b.wait("a frame of the unblocked source"), other);
    live.stop();
}
