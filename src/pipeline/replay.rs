//! `sekisho replay`: captures through the same stages as live traffic, as fast as the machine allows.

use std::path::PathBuf;
use std::sync::Arc;

use super::feeder::{Feeder, FeederStats, SLICE};
use super::report::{ReportStage, Said};
use super::signature_worker::{SignatureWorker, WorkerSettings, WorkerStats};
use crate::capture::{CaptureError, CaptureFile, Source};
use crate::decode::DecodeSettings;
use crate::detect::anomaly::HostRecord;
use crate::detect::signature::Engine;
use crate::flow::{Ended, FlowTable};
use crate::packet::Batch;
use crate::ring;
use crate::sink::eve::stats::Traffic;
use crate::stats::MemoryBound;

/// What is replayed, and how.
#[derive(Debug)]
pub struct ReplayOptions {
    /// Capture files; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Signature workers; 0: fused.
    pub workers: u16,
    /// Decoding.
    pub decode: DecodeSettings,
    /// Workers.
    pub worker: WorkerSettings,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct ReplaySummary {
    /// Files that were faulty, each with its place.
    pub errors: Vec<CaptureError>,
    /// Frames and bytes.
    pub feeder: FeederStats,
    /// Workers' counters, added up.
    pub workers: WorkerStats,
    /// Whether the capture shows checksums that were left to the network card (offload).
    pub offloaded_checksums: bool,
    /// Segments without an IPv4 length, taken as the rest of their frames (segmentation offload).
    pub offloaded_lengths: u64,
}

/// The most memory that the tables and buffers of a replay take: a worker's bounds times the workers, and the report
/// stage's. Compiled rules and what is on the way in rings come on top.
pub fn bounds(
    engine: &Arc<Engine>,
    options: &ReplayOptions,
    report: &ReportStage,
) -> Vec<MemoryBound> {
    let workers = u64::from(options.workers.max(1));
    let mut bounds = SignatureWorker::new(engine, options.worker.clone())
        .bounds()
        .to_vec();
    for bound in &mut bounds {
        bound.bytes = bound.bytes.saturating_mul(workers);
    }
    bounds.push(Feeder::new(options.decode.clone()).decoder().memory_bound());
    // Flows that live when the capture ends are told of in slices, each in up to four records; answers of several slices
    // may be on their way. What grows by doubling holds its old half beside the new one while it is copied. The order in
    // which they end is listed.
    let flows = u64::from(options.worker.flow.flows_max);
    let told = size_of::<Ended<()>>() + 4 * size_of::<HostRecord>();
    let on_their_way = if options.workers == 0 {
        1
    } else {
        RING as u64 + 2
    };
    bounds.push(MemoryBound {
        what: "end of the capture",
        bytes: SLICE.min(flows).saturating_mul(told as u64) / 2 * 3 * on_their_way
            + flows.saturating_mul(FlowTable::<()>::LISTED_BYTES),
        used: 0,
    });
    bounds.extend(report.bounds());
    bounds
}

/// Messages in a ring: batches on their way.
const RING: usize = 8;

/// Replays captures into the report stage. `progress` is called after each batch with bytes done and in all (0: not known).
pub fn replay(
    options: ReplayOptions,
    engine: &Arc<Engine>,
    report: &mut ReportStage,
    progress: &mut dyn FnMut(u64, u64),
) -> ReplaySummary {
    let mut feeder = Feeder::new(options.decode.clone());
    let mut summary = ReplaySummary::default();
    let mut files = Files {
        list: options.files,
        at: 0,
        open: None,
        errors: Vec::new(),
        total: 0,
        done: 0,
    };
    files.measure();
    if options.workers == 0 {
        fused(
            &mut feeder,
            &mut files,
            engine,
            options.worker,
            report,
            &mut summary,
            progress,
        );
    } else {
        threaded(
            &mut feeder,
            &mut files,
            engine,
            (options.workers, options.worker),
            report,
            &mut summary,
            progress,
        );
    }
    summary.errors = files.errors;
    summary.feeder = feeder.stats();
    summary.offloaded_checksums = feeder.decoder().checksums().offloaded();
    summary.offloaded_lengths = feeder.decoder().stats().ipv4_offloaded;
    let rules = engine.report();
    report.say_stats(Some(&Traffic {
        decoder: feeder.decoder().stats(),
        defrag: feeder.decoder().defrag_stats(),
        panics: summary.feeder.panics + summary.workers.panics,
        flow: &summary.workers.flow,
        stream: &summary.workers.stream,
        rules: (
            rules.signatures as u64,
            (engine.rules().errors.len() + rules.refused.len()) as u64,
        ),
    }));
    summary
}

/// The captures, one after the other, as one source.
struct Files {
    list: Vec<PathBuf>,
    at: usize,
    open: Option<CaptureFile>,
    errors: Vec<CaptureError>,
    total: u64,
    done: u64,
}

impl Files {
    fn measure(&mut self) {
        let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |m| m.len());
        self.total = self.list.iter().map(size).sum();
    }

    /// Fills the batches from the file in hand. False when all files are done.
    fn next(&mut self, feeder: &mut Feeder, batches: &mut [Batch]) -> bool {
        loop {
            if self.open.is_none() {
                let Some(path) = self.list.get(self.at) else {
                    return false;
                };
                self.at += 1;
                match CaptureFile::open(path) {
                    Ok(file) => self.open = Some(file),
                    Err(error) => {
                        self.errors.push(error);
                        continue;
                    }
                }
            }
            let Some(file) = &mut self.open else {
                return false;
            };
            match feeder.next(file, batches) {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => self.errors.push(error),
            }
            self.done += file.progress().0;
            self.open = None;
            return true;
        }
    }

    fn progress(&self) -> (u64, u64) {
        (
            self.done + self.open.as_ref().map_or(0, |f| f.progress().0),
            self.total,
        )
    }
}

fn fused(
    feeder: &mut Feeder,
    files: &mut Files,
    engine: &Arc<Engine>,
    settings: WorkerSettings,
    report: &mut ReportStage,
    summary: &mut ReplaySummary,
    progress: &mut dyn FnMut(u64, u64),
) {
    let mut worker = SignatureWorker::new(engine, settings);
    let mut batch = [Batch::with_capacity(1024)];
    let mut said = Said::default();
    let mut over = false;
    loop {
        over = over || !files.next(feeder, &mut batch);
        let more = !over || !feeder.finish_slice(&mut batch);
        for batch in &batch {
            worker.batch(batch, &mut said);
            report.batch(&[&said]);
        }
        let (done, total) = files.progress();
        progress(done, total);
        if !more {
            break;
        }
    }
    summary.workers = worker.stats();
}

fn threaded(
    feeder: &mut Feeder,
    files: &mut Files,
    engine: &Arc<Engine>,
    (count, settings): (u16, WorkerSettings),
    report: &mut ReportStage,
    summary: &mut ReplaySummary,
    progress: &mut dyn FnMut(u64, u64),
) {
    let count = usize::from(count);
    summary.workers = std::thread::scope(|scope| {
        let mut to_workers = Vec::new();
        let mut free_batches = Vec::new();
        let mut from_workers = Vec::new();
        let mut free_said = Vec::new();
        let mut workers = Vec::new();
        for _ in 0..count {
            let (batch_out, mut batch_in) = ring::ring::<Batch>(RING);
            let (mut batch_back, batch_free) = ring::ring::<Batch>(RING + 2);
            let (mut said_out, said_in) = ring::ring::<Said>(RING);
            let (said_back, mut said_free) = ring::ring::<Said>(RING + 2);
            to_workers.push(batch_out);
            free_batches.push(batch_free);
            from_workers.push(said_in);
            free_said.push(said_back);
            let settings = settings.clone();
            workers.push(scope.spawn(move || {
                let mut worker = SignatureWorker::new(engine, settings);
                while let Some(mut batch) = batch_in.receive() {
                    let mut said = said_free.try_receive().unwrap_or_default();
                    worker.batch(&batch, &mut said);
                    // The bytes are given up before the batch travels back, so that readers can reuse them.
                    batch.bytes = crate::packet::FrameBytes::Empty;
                    let _ = batch_back.try_send(batch);
                    if said_out.send(said).is_err() {
                        break;
                    }
                }
                worker.stats()
            }));
        }
        let reporter = scope.spawn(move || {
            let mut answers: Vec<Said> = Vec::new();
            'batches: loop {
                for receiver in &mut from_workers {
                    match receiver.receive() {
                        Some(said) => answers.push(said),
                        None => break 'batches,
                    }
                }
                report.batch(&answers.iter().collect::<Vec<_>>());
                for (said, back) in answers.drain(..).zip(&mut free_said) {
                    let _ = back.try_send(said);
                }
            }
        });
        let mut over = false;
        loop {
            let fresh = |free: &mut ring::Receiver<Batch>| {
                free.try_receive()
                    .unwrap_or_else(|| Batch::with_capacity(1024))
            };
            let mut batches: Vec<Batch> = free_batches.iter_mut().map(fresh).collect();
            over = over || !files.next(feeder, &mut batches);
            let more = !over || !feeder.finish_slice(&mut batches);
            for (batch, worker) in batches.into_iter().zip(&mut to_workers) {
                let _ = worker.send(batch);
            }
            let (done, total) = files.progress();
            progress(done, total);
            if !more {
                break;
            }
        }
        drop(to_workers);
        let mut stats = WorkerStats::default();
        for worker in workers {
            if let Ok(one) = worker.join() {
                stats.add(&one);
            }
        }
        let _ = reporter.join();
        stats
    });
}
