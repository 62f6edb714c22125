//! A capture thread that only listens: source → decode → rings to the workers.
//!
//! A worker whose ring is full is waited for a moment (the kernel's buffer is larger than ours); after that, and while it
//! does not recover, its packets are counted as lost and the others go on.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::control::{Control, LaneOrder};
use super::worker::Work;
use crate::capture::{CaptureError, Source};
use crate::packet::{Batch, Timestamp};
use crate::pipeline::feeder::Feeder;
use crate::ring::{Receiver, Sender};

/// Batches on their way between a capture thread and a worker.
pub(super) const RING: usize = 64;
/// How long a full ring is waited for before its packets are given up.
const PATIENCE: Duration = Duration::from_millis(250);

/// What leads from a capture thread to a worker, and back.
#[derive(Debug)]
pub struct Link {
    pub(super) out: Sender<Work>,
    pub(super) back: Receiver<Work>,
    pub(super) spare: Vec<Work>,
    /// It did not take anything for too long, or answers too late: it is not waited for until it moves again.
    pub(super) stalled: bool,
}

impl Link {
    /// An empty batch for it.
    pub(super) fn fresh(&mut self) -> Work {
        self.spare.pop().unwrap_or_default()
    }

    /// Whether an answer waits.
    pub(super) fn has_answer(&self) -> bool {
        self.back.is_ready()
    }

    /// An answer.
    pub(super) fn answer(&mut self) -> Option<Work> {
        let work = self.back.try_receive()?;
        self.stalled = false;
        Some(work)
    }

    /// Whether a batch can be sent now (inline: nothing is waited for).
    pub(super) fn takes(&mut self) -> bool {
        !self.stalled && !self.out.is_abandoned() && self.out.has_room()
    }

    /// Whether a batch can be sent; waits a moment when there is no room.
    fn wait_for_room(&mut self, control: &Control) -> bool {
        if self.out.is_abandoned() {
            return false;
        }
        if self.out.has_room() {
            self.stalled = false;
            return true;
        }
        if self.stalled {
            return false;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && !control.stopping() {
            std::thread::sleep(Duration::from_micros(100));
            if self.out.has_room() {
                return true;
            }
        }
        self.stalled = true;
        false
    }
}

/// Now, as the packets' clock would say.
pub(super) fn clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::new(since.as_secs(), since.subsec_nanos())
}

/// How long frames that have come are still taken when the sensor is to end.
pub(super) const DRAIN: Duration = Duration::from_millis(500);
/// How often the kernel's counters are read.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// Listens until the sensor is to end, or the source fails.
pub(super) fn listen(
    index: usize,
    source: &mut dyn Source,
    mut feeder: Feeder,
    mut links: Vec<Link>,
    control: &Arc<Control>,
) -> Result<(), CaptureError> {
    let (Some(counts), Some(orders)) = (control.lanes.get(index), control.lane_orders.get(index))
    else {
        return Ok(());
    };
    let mut result = Ok(());
    let mut counted = Instant::now();
    let mut stopping = None;
    let mut drained = false;
    loop {
        for LaneOrder::Worker(at, link) in orders.take() {
            if let Some(slot) = links.get_mut(at) {
                *slot = *link;
            }
        }
        for link in &mut links {
            while let Some(work) = link.answer() {
                link.spare.push(work);
            }
        }
        let mut works: Vec<Work> = links.iter_mut().map(Link::fresh).collect();
        let before = feeder.stats();
        if drained || stopping.is_some_and(|since: Instant| since.elapsed() > DRAIN) {
            with_batches(&mut works, |batches| feeder.finish(batches));
        } else {
            if control.stopping() {
                stopping.get_or_insert_with(Instant::now);
            }
            let filled = with_batches(&mut works, |batches| feeder.next(source, batches));
            let frames = feeder.stats().frames - before.frames;
            counts.frames.add(frames);
            counts.bytes.add(feeder.stats().bytes - before.bytes);
            counts.panics.add(feeder.stats().panics - before.panics);
            match filled {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            if frames == 0 {
                feeder.pass_time(clock());
                drained = stopping.is_some();
            }
        }
        let last = works.iter().any(|w| w.batch.last);
        send(&mut links, works, index, counts, control);
        counts.beat_ms.set(control.uptime_ms());
        if counted.elapsed() >= COUNT_EVERY || last {
            counted = Instant::now();
            counts.kernel_drops.add(source.arrivals().dropped);
        }
        if last {
            return Ok(());
        }
    }
    let mut works: Vec<Work> = links.iter_mut().map(Link::fresh).collect();
    with_batches(&mut works, |batches| feeder.finish(batches));
    send(&mut links, works, index, counts, control);
    result
}

/// Lets `fill` see the batches as one slice.
pub(super) fn with_batches<R>(works: &mut [Work], fill: impl FnOnce(&mut [Batch]) -> R) -> R {
    let mut batches: Vec<Batch> = works
        .iter_mut()
        .map(|w| std::mem::replace(&mut w.batch, Batch::with_capacity(0)))
        .collect();
    let result = fill(&mut batches);
    for (work, batch) in works.iter_mut().zip(batches) {
        work.batch = batch;
    }
    result
}

fn send(
    links: &mut [Link],
    works: Vec<Work>,
    index: usize,
    counts: &super::control::LaneCounts,
    control: &Control,
) {
    let room: Vec<bool> = links
        .iter_mut()
        .map(|link| link.wait_for_room(control))
        .collect();
    let expected = u16::try_from(room.iter().filter(|r| **r).count()).unwrap_or(u16::MAX);
    for ((mut work, link), room) in works.into_iter().zip(links).zip(room) {
        work.lane = u16::try_from(index).unwrap_or(u16::MAX);
        work.expected = expected;
        if room {
            let _ = link.out.try_send(work);
            continue;
        }
        let lost = work.batch.packets.len() as u64;
        if link.out.is_abandoned() {
            counts.worker_lost.add(lost);
        } else {
            counts.ring_full.add(lost);
        }
        work.clear();
        link.spare.push(work);
    }
}
