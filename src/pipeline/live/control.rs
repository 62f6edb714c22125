//! What the rest of the program sees of a running sensor: counters to read, and mailboxes to give orders through.
//!
//! Counters have one writer each (a capture thread, a worker, the report thread) and any number of readers.
//! A mailbox is looked at once a batch: one relaxed load when it is empty.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::lane::Link;
use super::report::Inbox;
use crate::grade::action::BlockList;
use crate::ring::Bell;

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
    /// Frames that the kernel dropped for want of room.
    pub kernel_drops: Count,
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
}

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
    /// Nanoseconds spent on batches.
    pub busy_ns: Count,
    /// Answers the report thread had no room for (inline: packets are not kept waiting for it).
    pub unreported: Count,
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
}

/// An order to a capture thread.
#[derive(Debug)]
pub enum LaneOrder {
    /// A worker was restarted: this leads to it from now on.
    Worker(usize, Box<Link>),
}

/// An order to a worker: for tests of what happens when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerOrder {
    /// Do nothing for so many milliseconds.
    Stall(u64),
    /// End at once.
    End,
}

/// An order to the report thread.
#[derive(Debug)]
pub enum ReportOrder {
    /// A worker was restarted: its answers come this way from now on.
    Worker(usize, Box<Inbox>),
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

/// The handle on a running sensor.
#[derive(Debug)]
pub struct Control {
    started: Instant,
    stop: AtomicBool,
    /// Who may not pass (inline). Written by grading and by orders, read by every worker.
    pub blocks: Arc<BlockList>,
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
        lanes: Vec<String>,
        bells: &[Bell],
        workers: usize,
        blocks: Arc<BlockList>,
    ) -> Self {
        Self {
            blocks,
            started: Instant::now(),
            stop: AtomicBool::new(false),
            lanes: lanes
                .into_iter()
                .map(|name| LaneCounts {
                    name,
                    ..LaneCounts::default()
                })
                .collect(),
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
