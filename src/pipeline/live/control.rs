//! What the rest of the program sees of a running sensor: counters to read, and mailboxes to give orders through.
//!
//! Counters have one writer each (a capture thread, a worker, the report thread) and any number of readers.
//! A mailbox is looked at once a batch: one relaxed load when it is empty.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::lane::Link;
use super::report::Inbox;
use super::tap::HostTap;
use crate::detect::anomaly::Report;
use crate::detect::signature::{Engine, Inspector, RuleCost};
use crate::grade::action::BlockList;
use crate::grade::{Exceptions, GradeSettings, Segments};
use crate::pipeline::thresholds::Thresholds;
use crate::ring::Bell;
use crate::rules::RuleSet;
use crate::rules::dataset::Ask;
use crate::stats::{Memory, MemoryBound};

/// A counter that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Adds.
    pub fn add(&self, more: u64) {
        if more > 0 {
            self.0.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Sets.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// Counters of a capture thread.
#[derive(Debug, Default)]
pub struct LaneCounts {
    /// Its interfaces.
    pub name: String,
    /// Frames taken.
    pub frames: Count,
    /// Their bytes.
    pub bytes: Count,
    /// Whether traffic passes through it.
    pub inline: bool,
    /// Frames that the kernel dropped for want of room.
    pub kernel_drops: Count,
    /// Frames that made decoding fail.
    pub panics: Count,
    /// Packets that no worker saw because its ring was full.
    pub ring_full: Count,
    /// Packets that no worker saw because it was stuck or gone.
    pub worker_lost: Count,
    /// Inline: frames sent on.
    pub forwarded: Count,
    /// Inline: frames sent on without having been inspected (exception policy).
    pub uninspected: Count,
    /// Inline: frames stopped by a rule.
    pub dropped: Count,
    /// Inline: frames stopped by an exception policy.
    pub dropped_by_policy: Count,
    /// Inline: packets made to refuse a connection.
    pub rejects: Count,
    /// Inline: frames that could not be sent.
    pub send_errors: Count,
    /// Inline: frames changed on their way.
    pub replaced: Count,
    /// Inline: time that frames spent here, in microseconds, by power of two: 0..1, 1..2, 2..4, … .
    pub latency_us: [Count; 24],
    /// When it last went round, in milliseconds since the start.
    pub beat_ms: Count,
    /// Processor time of its thread, in nanoseconds: capture and decoding.
    pub cpu_ns: Count,
    /// Defragmentation.
    pub defrag: MemoryCount,
}

/// A table's memory, as counters.
#[derive(Debug, Default)]
pub struct MemoryCount {
    /// The most bytes it may take.
    pub bytes: Count,
    /// Bytes of what is in it.
    pub used: Count,
}

impl MemoryCount {
    /// What was said last.
    pub fn get(&self) -> Memory {
        Memory {
            bytes: self.bytes.get(),
            used: self.used.get(),
        }
    }

    /// Takes what a table says.
    pub fn set(&self, memory: &MemoryBound) {
        self.bytes.set(memory.bytes);
        self.used.set(memory.used);
    }
}

/// The tables of a worker, in the order of [`WorkerCounts::memory`].
pub const WORKER_TABLES: [&str; 6] = [
    "flow table",
    "stream reassembly",
    "application layer",
    "announced connections",
    "tagged hosts",
    "counts and bits of rules that act",
];

/// What a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum WorkerState {
    /// Works, or waits for work.
    Running = 0,
    /// Has been on one batch for too long.
    Stuck = 1,
    /// Has ended.
    Ended = 2,
}

/// Counters of a worker. They go on when it is restarted.
#[derive(Debug, Default)]
pub struct WorkerCounts {
    /// Batches taken.
    pub taken: Count,
    /// Batches done.
    pub done: Count,
    /// Since when it has been on one batch, in milliseconds since the start; 0: it waits for work.
    pub busy_since_ms: Count,
    /// Packets.
    pub packets: Count,
    /// Packets that made the analysis fail.
    pub panics: Count,
    /// Flows opened.
    pub flows: Count,
    /// Times it was restarted.
    pub restarts: Count,
    /// Packets stopped by the block list (inline).
    pub blocked: Count,
    /// The change of rules it works with.
    pub adopted: Count,
    /// Nanoseconds spent on batches.
    pub busy_ns: Count,
    /// Answers the report thread had no room for (inline: packets are not kept waiting for it).
    pub unreported: Count,
    /// Memory of its tables: [`WORKER_TABLES`].
    pub memory: [MemoryCount; 6],
    /// Packets for which there was no memory: in the flow table, or for their bytes.
    pub memory_full: Count,
    /// Batches that waited in its rings when it last looked, and the most so far.
    pub queued: Count,
    /// See `queued`.
    pub queued_peak: Count,
    /// A sample: packets measured, and nanoseconds by stage ([`Stage::NAMES`]).
    ///
    /// [`Stage::NAMES`]: crate::pipeline::Stage::NAMES
    pub stage_packets: Count,
    /// See `stage_packets`.
    pub stage_ns: [Count; 4],
    state: AtomicU8,
}

impl WorkerCounts {
    /// What it is doing.
    pub fn state(&self) -> WorkerState {
        match self.state.load(Ordering::Relaxed) {
            0 => WorkerState::Running,
            1 => WorkerState::Stuck,
            _ => WorkerState::Ended,
        }
    }

    pub(super) fn set_state(&self, state: WorkerState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }
}

/// Counters of the report thread.
#[derive(Debug, Default)]
pub struct ReportCounts {
    /// Batches reported.
    pub batches: Count,
    /// Batches reported although not every worker had answered.
    pub incomplete: Count,
    /// Alerts by level, GREEN first.
    pub levels: [Count; 4],
    /// The packets' time, in nanoseconds since the epoch.
    pub now_ns: Count,
    /// The change of rules it grades by.
    pub adopted: Count,
    /// Processor time of its thread, in nanoseconds: detectors, grading, writing.
    pub cpu_ns: Count,
    /// Answers that waited in its rings when it last looked, and the most so far.
    pub queued: Count,
    /// See `queued`.
    pub queued_peak: Count,
    /// Tables of detectors and grading.
    pub memory: Mutex<Vec<MemoryBound>>,
}

/// An order to a capture thread.
#[derive(Debug)]
pub enum LaneOrder {
    /// A worker was restarted: this leads to it from now on.
    Worker(usize, Box<Link>),
    /// Other exception policies from now on, by interface number.
    Exceptions(Vec<Exceptions>),
}

/// An order to a worker.
#[derive(Debug)]
pub enum WorkerOrder {
    /// Other rules from the next batch on.
    Adopt(Box<Adoption>),
    /// Begin to measure what each signature costs, or stop.
    Profile(bool),
    /// An operator changed a data set that rules change: its name, and the value.
    Dataset(Arc<str>, Ask, Arc<[u8]>),
    /// Say what the signatures cost so far.
    TellCosts(SyncSender<Vec<RuleCost>>),
    /// Copy the packets of a host.
    Tap(Arc<HostTap>),
    /// For tests of what happens when one fails: do nothing for so many milliseconds.
    Stall(u64),
    /// For the same: end at once.
    End,
}

/// What a worker needs to go on with other rules.
#[derive(Debug)]
pub struct Adoption {
    pub(super) inspector: Inspector,
    pub(super) segments: Arc<Segments>,
    /// Number of the change.
    pub(super) number: u64,
}

/// An order to the report thread.
#[derive(Debug)]
pub enum ReportOrder {
    /// A worker was restarted: its answers come this way from now on.
    Worker(usize, Box<Inbox>),
    /// Findings with numbers from the first on speak of these rules.
    Adopt {
        /// Number of the first signature.
        first: u32,
        /// The rules.
        rules: Arc<RuleSet>,
        /// How they are graded.
        grade: Box<GradeSettings>,
        /// What detectors go by.
        thresholds: Box<Thresholds>,
        /// Number of the change.
        number: u64,
    },
    /// An EVE line that no packet brought about: its type, and the line without its end.
    Line(&'static str, Vec<u8>),
    /// Something is wrong with a device, a service or the sensor itself.
    Trouble(Box<Report>),
    /// Log files were moved: open them again.
    Reopen,
    /// An operator asks something of a data set that rules change: its name, the value, and who waits for the answer.
    Dataset(Arc<str>, Ask, Arc<[u8]>, SyncSender<Option<bool>>),
    /// Say what data sets that are to be kept have now.
    TellDatasets(SyncSender<Vec<(PathBuf, String)>>),
}

/// What is in force: what a worker that is restarted begins with.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The rules.
    pub engine: Arc<Engine>,
    /// The segments.
    pub segments: Arc<Segments>,
    /// How often something was changed.
    pub number: u64,
}

/// Orders that wait for a thread.
#[derive(Debug)]
pub struct Mailbox<T> {
    full: AtomicBool,
    orders: Mutex<Vec<T>>,
    bell: Option<Bell>,
}

impl<T> Mailbox<T> {
    pub(super) fn new(bell: Option<Bell>) -> Self {
        Self {
            full: AtomicBool::new(false),
            orders: Mutex::new(Vec::new()),
            bell,
        }
    }

    /// Gives an order.
    pub fn give(&self, order: T) {
        if let Ok(mut orders) = self.orders.lock() {
            orders.push(order);
            self.full.store(true, Ordering::Release);
        }
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }

    /// Whether orders wait.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// Takes what waits, oldest first.
    pub fn take(&self) -> Vec<T> {
        if !self.full.swap(false, Ordering::Acquire) {
            return Vec::new();
        }
        self.orders
            .lock()
            .map(|mut orders| std::mem::take(&mut *orders))
            .unwrap_or_default()
    }
}

/// How long the threads are waited for when something changes: whoever asked waits, no packet does.
const ADOPT_WAIT: Duration = Duration::from_secs(60);

fn wait_until(done: impl Fn() -> bool) -> bool {
    let until = Instant::now() + ADOPT_WAIT;
    while !done() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// The handle on a running sensor.
#[derive(Debug)]
pub struct Control {
    started: Instant,
    stop: AtomicBool,
    /// Who may not pass (inline). Written by grading and by orders, read by every worker.
    pub blocks: Arc<BlockList>,
    in_force: Mutex<InForce>,
    /// What workers no longer need, to be freed where nobody waits for it.
    discarded: Mutex<Vec<Inspector>>,
    /// By worker: the sources that send most, with their estimated rate in bits a second.
    pub talkers: Vec<Mutex<Vec<(IpAddr, u64)>>>,
    /// By capture thread.
    pub lanes: Vec<LaneCounts>,
    /// By worker.
    pub workers: Vec<WorkerCounts>,
    /// Of the report thread.
    pub report: ReportCounts,
    /// Orders to the capture threads.
    pub lane_orders: Vec<Mailbox<LaneOrder>>,
    /// Orders to the workers.
    pub worker_orders: Vec<Mailbox<WorkerOrder>>,
    /// Orders to the report thread.
    pub report_orders: Mailbox<ReportOrder>,
}

impl Control {
    pub(super) fn new(
        lanes: Vec<(String, bool)>,
        bells: &[Bell],
        workers: usize,
        blocks: Arc<BlockList>,
        in_force: InForce,
    ) -> Self {
        Self {
            blocks,
            in_force: Mutex::new(in_force),
            discarded: Mutex::new(Vec::new()),
            started: Instant::now(),
            stop: AtomicBool::new(false),
            lanes: lanes
                .into_iter()
                .map(|(name, inline)| LaneCounts {
                    name,
                    inline,
                    ..LaneCounts::default()
                })
                .collect(),
            talkers: (0..workers).map(|_| Mutex::default()).collect(),
            workers: (0..workers).map(|_| WorkerCounts::default()).collect(),
            report: ReportCounts::default(),
            lane_orders: bells
                .iter()
                .map(|b| Mailbox::new(Some(b.clone())))
                .collect(),
            worker_orders: (0..workers).map(|_| Mailbox::new(None)).collect(),
            report_orders: Mailbox::new(None),
        }
    }

    /// What is in force now.
    pub fn in_force(&self) -> InForce {
        match self.in_force.lock() {
            Ok(now) => now.clone(),
            // Nothing that can fail is done while it is held.
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }

    /// Puts other rules, segments, grading and thresholds in force, while packets go through: each thread changes between two batches,
    /// the report thread first. `engine` must follow the one in force ([`Engine::following`]). Says within how many
    /// milliseconds everybody had changed; an error names who had not in [`ADOPT_WAIT`] (it still will).
    pub fn adopt(
        &self,
        engine: &Arc<Engine>,
        grade: GradeSettings,
        thresholds: Thresholds,
    ) -> Result<u64, String> {
        let begun = Instant::now();
        let segments = Arc::new(grade.segments.clone());
        // Made here, so that no packet waits for it.
        let inspectors: Vec<Inspector> = self.workers.iter().map(|_| engine.worker()).collect();
        let number = self.in_force().number + 1;
        self.report_orders.give(ReportOrder::Adopt {
            first: engine.first(),
            rules: Arc::clone(engine.rules()),
            grade: Box::new(grade),
            thresholds: Box::new(thresholds),
            number,
        });
        // No worker may speak of rules that the report thread has not heard of.
        if !wait_until(|| self.report.adopted.get() >= number) {
            return Err("the report thread does not answer; nothing was changed yet".to_owned());
        }
        if let Ok(mut now) = self.in_force.lock() {
            *now = InForce {
                engine: Arc::clone(engine),
                segments: Arc::clone(&segments),
                number,
            };
        }
        for orders in &self.lane_orders {
            orders.give(LaneOrder::Exceptions(segments.exceptions()));
        }
        for (orders, inspector) in self.worker_orders.iter().zip(inspectors) {
            let segments = Arc::clone(&segments);
            orders.give(WorkerOrder::Adopt(Box::new(Adoption {
                inspector,
                segments,
                number,
            })));
        }
        let slow = |w: &&WorkerCounts| w.adopted.get() < number;
        let all = wait_until(|| !self.workers.iter().any(|w| slow(&w)));
        // The old rules are freed here, not where packets wait.
        if let Ok(mut discarded) = self.discarded.lock() {
            drop(std::mem::take(&mut *discarded));
        }
        if all {
            return Ok(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX));
        }
        let count = self.workers.iter().filter(slow).count();
        Err(format!(
            "in force, but {count} of {} workers have not changed yet",
            self.workers.len()
        ))
    }

    /// Takes what a worker no longer needs.
    pub(super) fn discard(&self, inspector: Inspector) {
        if let Ok(mut discarded) = self.discarded.lock() {
            discarded.push(inspector);
        }
    }

    /// Asks something of a data set that rules change; `None`: there is none of that name, or nobody answers in time. What
    /// the report thread has is what alerts go by; workers whose rules act on the set follow.
    pub fn ask_dataset(&self, name: &str, ask: Ask, key: &[u8]) -> Option<bool> {
        let (sender, receiver) = sync_channel(1);
        let (name, key): (Arc<str>, Arc<[u8]>) = (name.into(), key.into());
        let order = ReportOrder::Dataset(Arc::clone(&name), ask, Arc::clone(&key), sender);
        self.report_orders.give(order);
        let answer = receiver.recv_timeout(ADOPT_WAIT).ok()??;
        if ask != Ask::LookUp {
            for orders in &self.worker_orders {
                let order = WorkerOrder::Dataset(Arc::clone(&name), ask, Arc::clone(&key));
                orders.give(order);
            }
        }
        Some(answer)
    }

    /// What data sets that are to be kept have now, by file; `None`: nobody answers in time.
    pub fn datasets(&self) -> Option<Vec<(PathBuf, String)>> {
        let (sender, receiver) = sync_channel(1);
        self.report_orders.give(ReportOrder::TellDatasets(sender));
        receiver.recv_timeout(ADOPT_WAIT).ok()
    }

    /// Asks every worker what its signatures cost so far, added up. Workers that do not answer in time are left out.
    pub fn rule_costs(&self) -> Vec<RuleCost> {
        let (sender, receiver) = sync_channel(self.workers.len().max(1));
        for orders in &self.worker_orders {
            orders.give(WorkerOrder::TellCosts(sender.clone()));
        }
        drop(sender);
        let mut sum: Vec<RuleCost> = Vec::new();
        while let Ok(costs) = receiver.recv_timeout(ADOPT_WAIT) {
            sum.resize(sum.len().max(costs.len()), RuleCost::default());
            for (into, cost) in sum.iter_mut().zip(costs) {
                into.add(&cost);
            }
        }
        sum
    }

    /// Milliseconds since the start.
    pub fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Ends the sensor: what is on its way is still analysed and reported.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether it is to end.
    pub fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
