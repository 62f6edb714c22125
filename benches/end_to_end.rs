//! The whole path, end to end: bundled captures and rules through feeder, worker and report stage, fused.
//!
//! `cargo bench --bench end_to_end`. Prints packets/s, Gbit/s, ns/packet and allocations/packet of the second and later
//! rounds, and asserts that every round gives the same alerts.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use sekisho::app::Limits;
use sekisho::app::layer::EncryptionHandling;
use sekisho::decode::DecodeSettings;
use sekisho::detect::anomaly::AnomalySettings;
use sekisho::detect::signature::{Engine, EngineSettings};
use sekisho::flow::FlowSettings;
use sekisho::grade::{Event, GradeSettings};
use sekisho::pipeline::{ReplayOptions, ReportStage, WorkerSettings, replay};
use sekisho::rules::{LoadSettings, load};
use sekisho::sink::eve::EveSettings;
use sekisho::sink::{Sink, SinkError};
use sekisho::stream::StreamSettings;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(
    unsafe_code,
    reason = "a counting allocator is the only way to see what is allocated"
)]
// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts what comes out, and how many bytes of lines.
#[derive(Clone, Default)]
struct Count {
    alerts: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
}

impl Sink for Count {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Alert(_) => self.alerts.fetch_add(1, Ordering::Relaxed),
            Event::Line { .. } => self.lines.fetch_add(1, Ordering::Relaxed),
        };
    }
    fn flush(&mut self) {}
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}

const ROUNDS: usize = 5;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let only = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let folder = only.map_or_else(|| root.join("pcaps"), Into::into);
    let files = sekisho::capture::expand_paths(&[folder]).unwrap_or_default();
    let rules = load(&LoadSettings {
        paths: vec![root.join("signatures")],
        ..LoadSettings::default()
    });
    let engine =
        match rules.map(|rules| Engine::compile(Arc::new(rules), &EngineSettings::default())) {
            Ok(Ok(engine)) => Arc::new(engine),
            other => {
                eprintln!("rules do not load: {:?}", other.err().map(|_| ()));
                std::process::exit(1);
            }
        };
    let mut first = None;
    println!(
        "{:>6} {:>10} {:>11} {:>8} {:>10} {:>13}",
        "round", "packets", "packets/s", "Gbit/s", "ns/packet", "alloc/packet"
    );
    for round in 0..ROUNDS {
        let count = Count::default();
        let worker = WorkerSettings {
            flow: FlowSettings::default(),
            stream: StreamSettings::default(),
            limits: Limits::default(),
            tls_encryption: EncryptionHandling::default(),
            eve: EveSettings::default(),
            inline: false,
            hosts: true,
            failed_closed: Vec::new(),
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
            files: files.clone(),
            workers: 0,
            decode: DecodeSettings::default(),
            worker,
        };
        let allocated = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        let summary = replay(options, &engine, &mut report, &mut |_, _| {});
        let secs = start.elapsed().as_secs_f64();
        let allocated = ALLOCATIONS.load(Ordering::Relaxed) - allocated;
        let packets = summary.feeder.frames as f64;
        println!(
            "{round:>6} {packets:>10} {:>11.0} {:>8.2} {:>10.0} {:>13.3}",
            packets / secs,
            summary.feeder.bytes as f64 * 8.0 / secs / 1e9,
            secs * 1e9 / packets,
            allocated as f64 / packets
        );
        let said = (
            count.alerts.load(Ordering::Relaxed),
            count.lines.load(Ordering::Relaxed),
        );
        assert!(said.0 > 100, "only {} alerts", said.0);
        assert_eq!(*first.get_or_insert(said), said, "a round differs");
    }
    println!("alerts and lines of each round: {first:?}");
}
