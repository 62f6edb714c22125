//! What the live tests and the live bench share: veth pairs, and a sensor in this process that can be told to fail.

use std::sync::Arc;

use sekisho::capture::PacketBridge;
use sekisho::decode::DecodeSettings;
use sekisho::detect::signature::{Engine, EngineSettings};
use sekisho::grade::Exceptions;
use sekisho::pipeline::live::{Lane, LaneWork, Live, LiveOptions};
use sekisho::pipeline::{ReportStage, WorkerSettings};
use sekisho::sys::af_packet::PacketOptions;

/// Runs the program `ip`.
pub fn ip(command: &str) {
    let done = std::process::Command::new("ip")
        .args(command.split_whitespace())
        .status();
    assert!(done.unwrap().success(), "ip {command}");
}

/// A veth pair, up, without IPv6 (so that nothing but our frames is on it).
pub fn veth(one: &str, other: &str) {
    ip(&format!("link add {one} type veth peer name {other}"));
    for name in [one, other] {
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        ip(&format!("link set {name} up"));
    }
    for name in [one, other] {
        wait_for_link(&["-o", "link", "show", "dev", name]);
    }
}

/// Waits until an interface really sends. It is up at once, but what it is given to send is silently dropped (by the queue
/// `noop`) until a thread of the kernel has taken notice, which a busy machine may let wait for a second and more.
pub fn wait_for_link(show: &[&str]) {
    let ready = || {
        let shown = std::process::Command::new("ip").args(show).output();
        let text = String::from_utf8_lossy(&shown.unwrap().stdout).into_owned();
        text.contains("state UP") && !text.contains("qdisc noop ")
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !ready() {
        assert!(std::time::Instant::now() < end, "ip {show:?}: never up");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The process that a guardian guards.
pub fn ward(guardian: u32) -> u32 {
    let path = format!("/proc/{guardian}/task/{guardian}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// A sensor between `a1` and `b1`.
pub struct Between<'a> {
    pub rules: &'a str,
    pub exceptions: Exceptions,
    /// `live.worker-stuck-ms` and `live.verdict-timeout-ms`.
    pub stuck_ms: u64,
    pub verdict_timeout_ms: u64,
}

impl Between<'_> {
    /// Starts it in this process, with one worker.
    pub fn start(&self) -> Live {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.rules");
        std::fs::write(&path, self.rules).unwrap();
        let rules = sekisho::rules::load(&sekisho::rules::LoadSettings {
            paths: vec![path],
            ..Default::default()
        });
        let engine = Engine::compile(Arc::new(rules.unwrap()), &EngineSettings::default());
        let engine = Arc::new(engine.unwrap());
        let options = PacketOptions {
            ignore_outgoing: true,
            unit_bytes: 2048,
            units: 4096,
            ..PacketOptions::default()
        };
        let bridge = PacketBridge::open(["a1", "b1"], [0, 1], &options).unwrap();
        let report = ReportStage::new(
            Arc::clone(engine.rules()),
            (Default::default(), &Default::default(), Default::default()),
            Vec::new(),
        );
        let worker = WorkerSettings {
            flow: Default::default(),
            stream: Default::default(),
            limits: Default::default(),
            tls_encryption: Default::default(),
            eve: Default::default(),
            inline: true,
            hosts: false,
            failed_closed: Vec::new(),
            flow_memcap: sekisho::stream::ExceptionPolicy::Ignore,
            segments: Arc::default(),
            blocks: None,
        };
        let options = LiveOptions {
            lanes: vec![Lane {
                name: "a1<->b1".to_owned(),
                work: LaneWork::Bridge(Box::new(bridge)),
                cpu: None,
                wire: 0,
            }],
            workers: 1,
            decode: DecodeSettings::default(),
            worker,
            evidence: None,
            stuck_ms: self.stuck_ms,
            verdict_timeout_ms: self.verdict_timeout_ms,
            exceptions: vec![self.exceptions; 2],
            kernel_blocks: Vec::new(),
        };
        Live::start(options, &engine, report).unwrap()
    }
}
