//! The wiring of live traffic: every thread and ring of `sekisho run` is made here, in [`Live::start`].
//!
//! ```text
//!  lane 0 ─┐ ring each ┌─▶ worker 0 ─┐ ring each
//!  lane 1 ─┼──────────▶┤             ├──────────▶ report ─▶ sinks
//!  lane n ─┘◀──────────┴── worker m ─┘
//!            batch back, with verdicts
//! ```
//!
//! A *lane* is a capture thread: an interface, a queue of it, both halves of a tap, or an inline pair. Its packets go to
//! the worker that their addresses choose, as in replay. [`Control`] is what the rest of the program holds: counters to
//! read and mailboxes for orders. [`Live::watch`] restarts workers that died or have been on one batch for too long; the
//! capture threads do not wait for that: they go by the exception policy at once.
//! Limits: rings of [`lane::RING`] batches of at most 256 frames.

mod change;
mod control;
mod inline;
mod kernel_blocks;
mod lane;
mod recorder;
mod refuse;
mod report;
mod talkers;
mod tap;
mod worker;

pub use control::{
    Adoption, Control, Count, InForce, LaneCounts, LaneOrder, Mailbox, MemoryCount, ReportCounts,
    ReportOrder, WORKER_TABLES, WorkerCounts, WorkerOrder, WorkerState,
};
pub use lane::{Link, RING, RING_INLINE};
pub use report::Inbox;
pub use tap::{Captured, HostTap};

use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::{BlockedSources, Bridge, CaptureError, Source};
use crate::decode::DecodeSettings;
use crate::detect::signature::Engine;
use crate::grade::Exceptions;
use crate::grade::action::BlockList;
use crate::packet::Timestamp;
use crate::ring::{Bell, ring, ring_to};
use crate::stats::{Memory, MemoryBound};
use crate::sys;

use super::evidence::{Chunk, Desk};
use super::feeder::{Feeder, LaneNumbers};
use super::report::{ReportStage, Said};
use super::signature_worker::{SignatureWorker, WorkerSettings, failed_closed};
use inline::InlineSettings;
use kernel_blocks::KernelBlocks;
use recorder::Recorder;
use worker::{Rings, Work};

/// A capture thread to be.
pub struct Lane {
    /// For people: its interfaces.
    pub name: String,
    /// Its wire, which the threads of an interface share: from 0.
    pub wire: u16,
    /// What it does.
    pub work: LaneWork,
    /// Processor it stays on.
    pub cpu: Option<usize>,
}

/// What a capture thread does.
pub enum LaneWork {
    /// Listens.
    Listen(Box<dyn Source + Send>),
    /// Stands between two ports.
    Bridge(Box<dyn Bridge>),
}

/// How a sensor is wired.
pub struct LiveOptions {
    /// Capture threads.
    pub lanes: Vec<Lane>,
    /// Signature workers, at least 1.
    pub workers: u16,
    /// Decoding.
    pub decode: DecodeSettings,
    /// Workers.
    pub worker: WorkerSettings,
    /// Where packets of alerts go, when they are kept.
    pub evidence: Option<KeepEvidence>,
    /// Milliseconds on one batch after which a worker counts as stuck and is replaced.
    pub stuck_ms: u64,
    /// Milliseconds that frames wait for the verdict of a worker before the exception policy decides (inline).
    pub verdict_timeout_ms: u64,
    /// Exception policies by interface number (inline).
    pub exceptions: Vec<Exceptions>,
    /// Sets in the kernel, which drops what blocked sources send before it reaches us (inline).
    pub kernel_blocks: Vec<Arc<dyn BlockedSources>>,
}

/// What workers need to keep packets as evidence.
#[derive(Clone, Debug)]
pub struct KeepEvidence {
    /// What is wanted.
    pub desk: Arc<Desk>,
    /// Where it goes.
    pub out: SyncSender<Chunk>,
    /// Bytes of the ring of each worker.
    pub ring_bytes: usize,
}

impl std::fmt::Debug for LiveOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lanes, {} workers", self.lanes.len(), self.workers)
    }
}

/// A running sensor.
pub struct Live {
    control: Arc<Control>,
    settings: WorkerSettings,
    evidence: Option<KeepEvidence>,
    stuck_ms: u64,
    bells: Vec<Bell>,
    /// Room of the rings, in batches.
    batches: usize,
    lanes: Vec<JoinHandle<Result<(), CaptureError>>>,
    workers: Vec<Option<JoinHandle<()>>>,
    report: JoinHandle<ReportStage>,
    kernel_blocks: KernelBlocks,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Live({} lanes, {} workers)",
            self.lanes.len(),
            self.workers.len()
        )
    }
}

/// The most memory that the tables and buffers of a sensor take. Compiled rules and what is on the way in rings come on top.
pub fn bounds(
    engine: &Arc<Engine>,
    options: &LiveOptions,
    report: &ReportStage,
) -> Vec<MemoryBound> {
    let mut bounds = SignatureWorker::new(engine, options.worker.clone())
        .bounds()
        .to_vec();
    for bound in &mut bounds {
        bound.bytes = bound.bytes.saturating_mul(options.workers.max(1).into());
    }
    let mut defrag = Feeder::new(options.decode.clone()).decoder().memory_bound();
    defrag.bytes = defrag.bytes.saturating_mul(options.lanes.len() as u64);
    bounds.push(defrag);
    if let Some(evidence) = &options.evidence {
        // The ring with its index: up to 112 bytes for each 512 of it.
        let ring = evidence.ring_bytes as u64 * 5 / 4;
        let bytes = ring.saturating_mul(options.workers.max(1).into());
        bounds.push(Memory::whole(bytes).of("evidence"));
    }
    bounds.extend(report.bounds());
    bounds
}

/// How long the workers may take to end; at least as long as one may be on a batch.
pub(in crate::pipeline::live) const FAREWELL: Duration = Duration::from_secs(5);
/// How often [`Live::watch`] looks at the workers.
const WATCH_EVERY: Duration = Duration::from_millis(20);
/// Looks between two sweeps of the block list: a second.
const SWEEP_ROUNDS: u32 = 50;

/// The rings of one worker, with room for so many batches: to the worker, to each lane, to the report thread.
fn connect(bells: &[Bell], batches: usize) -> (Rings, Vec<Link>, Inbox) {
    let bell = Bell::default();
    let mut to_worker = Vec::new();
    let mut links = Vec::new();
    for lane_bell in bells {
        let (out, taken) = ring_to::<Work>(batches, &bell);
        let (back, returned) = ring_to::<Work>(batches * 2, lane_bell);
        to_worker.push((taken, back));
        links.push(Link {
            out,
            back: returned,
            spare: Vec::new(),
            stalled: false,
            missed: false,
        });
    }
    let (said_out, said) = ring::<Said>(batches);
    let (back, said_free) = ring::<Said>(batches * 2);
    let rings = Rings {
        lanes: to_worker,
        bell,
        said: (said_out, said_free),
    };
    (rings, links, Inbox { said, back })
}

impl Live {
    /// Starts all threads.
    pub fn start(
        mut options: LiveOptions,
        engine: &Arc<Engine>,
        mut report: ReportStage,
    ) -> std::io::Result<Self> {
        let count = usize::from(options.workers.max(1));
        let bells: Vec<Bell> = options
            .lanes
            .iter()
            .map(|_| Bell::with_event())
            .collect::<std::io::Result<_>>()?;
        let names = options
            .lanes
            .iter()
            .map(|l| (l.name.clone(), matches!(l.work, LaneWork::Bridge(_))))
            .collect();
        let in_force = InForce {
            engine: Arc::clone(engine),
            segments: Arc::clone(&options.worker.segments),
            number: 0,
        };
        let blocks = Arc::new(BlockList::default());
        let inline = options
            .lanes
            .iter()
            .any(|l| matches!(l.work, LaneWork::Bridge(_)));
        let batches = if inline {
            lane::RING_INLINE
        } else {
            lane::RING
        };
        if inline {
            options.worker.blocks = Some(Arc::clone(&blocks));
            // Connections are older than the sensor, and than a worker that took over.
            options.worker.stream.drop_strays = false;
            report.enforce(Arc::clone(&blocks));
            options.worker.failed_closed = failed_closed(&options.exceptions);
        }
        let control = Arc::new(Control::new(names, &bells, count, blocks, in_force));
        let inline = Arc::new(InlineSettings {
            exceptions: options.exceptions,
            verdict_timeout: Duration::from_millis(options.verdict_timeout_ms.max(1)),
        });
        let mut links: Vec<Vec<Link>> = bells.iter().map(|_| Vec::new()).collect();
        let mut inboxes = Vec::new();
        let mut workers = Vec::new();
        for index in 0..count {
            let (rings, to_lanes, inbox) = connect(&bells, batches);
            for (lane, link) in links.iter_mut().zip(to_lanes) {
                lane.push(link);
            }
            inboxes.push(inbox);
            workers.push(Some(spawn_worker(
                index,
                engine,
                (&options.worker, &options.evidence),
                rings,
                &control,
            )?));
        }
        let lanes_count = options.lanes.len();
        let for_report = Arc::clone(&control);
        let stuck = Duration::from_millis(options.stuck_ms.max(1));
        let report = thread("report")
            .spawn(move || report::report(report, inboxes, lanes_count, stuck, &for_report))?;
        let since = lane::clock();
        let mut lanes = Vec::new();
        for (index, (lane, links)) in options.lanes.into_iter().zip(links).enumerate() {
            let numbers = LaneNumbers {
                lane: u16::try_from(index).unwrap_or(u16::MAX),
                since,
            };
            let feeder = Feeder::numbered(options.decode.clone(), lane.wire, numbers);
            let control = Arc::clone(&control);
            let inline = Arc::clone(&inline);
            let bell = bells.get(index).cloned().unwrap_or_default();
            lanes.push(thread(&format!("lane {index}")).spawn(move || {
                if let Some(cpu) = lane.cpu
                    && let Err(error) = sys::pin_thread(cpu)
                {
                    eprintln!("sekisho: {}: processor {cpu}: {error}", lane.name);
                }
                let ended = match lane.work {
                    LaneWork::Listen(mut source) => {
                        lane::listen(index, source.as_mut(), feeder, links, stuck, &control)
                    }
                    LaneWork::Bridge(mut bridge) => inline::stand_between(
                        index,
                        bridge.as_mut(),
                        feeder,
                        links,
                        (&inline, &bell),
                        &control,
                    ),
                };
                if let Err(error) = &ended {
                    eprintln!("sekisho: {error}; nothing more is captured here");
                }
                ended
            })?);
        }
        Ok(Self {
            control,
            settings: options.worker,
            evidence: options.evidence,
            stuck_ms: options.stuck_ms.max(1),
            bells,
            batches,
            lanes,
            workers,
            report,
            kernel_blocks: KernelBlocks::new(options.kernel_blocks),
        })
    }

    /// Counters and orders.
    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Watches over the workers until the sensor is to end or every capture thread has ended. `pulse` is called each
    /// time round, some fifty times a second.
    pub fn watch(&mut self, pulse: &mut dyn FnMut(&Control)) {
        let mut rounds = 0u32;
        while !self.control.stopping() && self.lanes.iter().any(|l| !l.is_finished()) {
            std::thread::sleep(WATCH_EVERY);
            self.look_after_workers();
            rounds = rounds.wrapping_add(1);
            if rounds.is_multiple_of(SWEEP_ROUNDS) {
                let now = self.control.report.now_ns.get();
                self.control.blocks.sweep(Timestamp(now));
                self.kernel_blocks
                    .follow(&self.control.blocks, Timestamp(now));
            }
            pulse(&self.control);
        }
    }

    /// Replaces workers that have ended, or have been on one batch for too long.
    fn look_after_workers(&mut self) {
        let now = self.control.uptime_ms();
        for index in 0..self.workers.len() {
            let Some(counts) = self.control.workers.get(index) else {
                continue;
            };
            let ended = self
                .workers
                .get(index)
                .is_some_and(|w| w.as_ref().is_none_or(JoinHandle::is_finished));
            let since = counts.busy_since_ms.get();
            let stuck = since > 0 && now.saturating_sub(since) > self.stuck_ms;
            if !ended && !stuck {
                continue;
            }
            counts.set_state(if ended {
                WorkerState::Ended
            } else {
                WorkerState::Stuck
            });
            // The stuck one is left alone: it ends by itself when it finds its rings closed.
            counts.busy_since_ms.set(0);
            counts.restarts.add(1);
            let what = if ended { "ended" } else { "is stuck" };
            eprintln!(
                "sekisho: signature worker {index} {what}; a new one takes over, without its flows"
            );
            self.replace(index);
        }
    }

    fn replace(&mut self, index: usize) {
        let (rings, links, inbox) = connect(&self.bells, self.batches);
        self.control
            .report_orders
            .give(ReportOrder::Worker(index, Box::new(inbox)));
        let now = self.control.in_force();
        if self.settings.inline && now.number > 0 {
            self.settings.failed_closed = failed_closed(&now.segments.exceptions());
        }
        self.settings.segments = now.segments;
        if let Some(counts) = self.control.workers.get(index) {
            counts.adopted.set(now.number);
        }
        let started = spawn_worker(
            index,
            &now.engine,
            (&self.settings, &self.evidence),
            rings,
            &self.control,
        );
        for (orders, link) in self.control.lane_orders.iter().zip(links) {
            orders.give(LaneOrder::Worker(index, Box::new(link)));
        }
        match (started, self.workers.get_mut(index)) {
            (Ok(handle), Some(slot)) => *slot = Some(handle),
            (Err(error), _) => eprintln!("sekisho: signature worker {index}: {error}"),
            _ => {}
        }
    }

    /// Ends: what is on its way is analysed and reported. Gives the report stage back, and what failed.
    pub fn stop(self) -> (Option<ReportStage>, Vec<CaptureError>) {
        self.control.stop();
        for bell in &self.bells {
            bell.ring();
        }
        let errors = self
            .lanes
            .into_iter()
            .filter_map(|lane| lane.join().ok()?.err())
            .collect();
        // A link to a worker that was replaced at the last moment: nobody takes it up any more, and its worker must end.
        for orders in &self.control.lane_orders {
            drop(orders.take());
        }
        let until = Instant::now() + FAREWELL.max(Duration::from_millis(self.stuck_ms));
        for worker in self.workers.into_iter().flatten() {
            // A stuck worker would be waited for in vain.
            while !worker.is_finished() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        (self.report.join().ok(), errors)
    }
}

fn thread(name: &str) -> std::thread::Builder {
    std::thread::Builder::new().name(name.to_owned())
}

fn spawn_worker(
    index: usize,
    engine: &Arc<Engine>,
    (settings, evidence): (&WorkerSettings, &Option<KeepEvidence>),
    rings: Rings,
    control: &Arc<Control>,
) -> std::io::Result<JoinHandle<()>> {
    let engine = Arc::clone(engine);
    let (settings, evidence) = (settings.clone(), evidence.clone());
    let control = Arc::clone(control);
    thread(&format!("worker {index}")).spawn(move || {
        let inline = settings.inline;
        let worker = SignatureWorker::new(&engine, settings);
        // The worker goes by the rules in force, which it shares; those it was made with may go.
        drop(engine);
        let recorder = evidence.map(|e| Recorder::new(e.desk, e.out, e.ring_bytes));
        worker::work(index, worker, (rings, recorder), inline, &control);
    })
}
