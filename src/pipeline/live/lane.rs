//! A capture thread that only listens: source → decode → rings to the workers.
//!
//! A worker whose ring is full is waited for as long as it may be on one batch (the kernel's buffer is larger than ours); one
//! that takes nothing in that time is stuck: its packets are counted as lost until it moves, and the others go on.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::control::{Control, LaneCounts, LaneOrder};
use super::worker::Work;
use crate::capture::{Arrivals, CaptureError, Source};
use crate::packet::{Batch, Timestamp};
use crate::pipeline::feeder::Feeder;
use crate::ring::{Receiver, Sender};

/// Batches on their way between a capture thread that listens and a worker.
pub const RING: usize = 64;
/// The same inline, where batches are small because nobody waits for more frames: at 10,000 frames a second most have one.
/// With 64 of them a worker that the machine let wait for some milliseconds was passed by (tests/field/soak).
pub const RING_INLINE: usize = 512;
/// Empty batches and answers that are kept to be used again, the last one first. A burst needs more for a moment; were
/// they all kept and used in turn, each would grow to the largest batch there ever was.
pub(super) const SPARE: usize = 32;
/// A full ring is waited for until its worker counts as stuck and is replaced (`live.worker-stuck-ms`), and so much longer:
/// that is looked at from time to time. A worker that is only slow has taken something by then.
const PATIENCE: Duration = Duration::from_millis(250);

/// What leads from a capture thread to a worker, and back.
#[derive(Debug)]
pub struct Link {
    pub(super) out: Sender<Work>,
    pub(super) back: Receiver<Work>,
    pub(super) spare: Vec<Work>,
    /// It did not take anything for too long, or answers too late: it is not waited for until it moves again.
    pub(super) stalled: bool,
    /// Packets for it went by without it, which it has not been told (inline).
    pub(super) missed: bool,
}

impl Link {
    /// An empty batch for it.
    pub(super) fn fresh(&mut self) -> Work {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps an empty batch for later, unless there are enough.
    pub(super) fn keep(&mut self, work: Work) {
        if self.spare.len() < SPARE {
            self.spare.push(work);
        }
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

    /// Whether a batch can be sent; waits when there is no room, also while the sensor ends: what has come is still to be
    /// looked at. A worker that does not move is waited for once, and one that is `replaced` not at all.
    fn wait_for_room(&mut self, patience: Duration, replaced: impl Fn() -> bool) -> bool {
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
        let until = Instant::now() + patience;
        while Instant::now() < until && !replaced() {
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
/// How long a source may give nothing of what it says has come and was not taken yet.
const DRAIN_COUNTED: Duration = Duration::from_secs(3);
/// A wait for frames that was at least so long was one for frames, not for buffers that workers still hold. What had come
/// before it began has been handed over: the kernel keeps a block for [`PacketOptions::timeout_ms`], a few milliseconds.
///
/// [`PacketOptions::timeout_ms`]: crate::sys::af_packet::PacketOptions::timeout_ms
const SILENCE: Duration = Duration::from_millis(30);
/// How often the kernel's counters are read.
const COUNT_EVERY: Duration = Duration::from_millis(500);

/// Listens until the sensor is to end, or the source fails.
pub(super) fn listen(
    index: usize,
    source: &mut dyn Source,
    mut feeder: Feeder,
    mut links: Vec<Link>,
    stuck: Duration,
    control: &Arc<Control>,
) -> Result<(), CaptureError> {
    let (Some(counts), Some(orders)) = (control.lanes.get(index), control.lane_orders.get(index))
    else {
        return Ok(());
    };
    let mut result = Ok(());
    let mut counted = Instant::now();
    let mut drain = Drain::default();
    let mut drained = false;
    let restarts = |at: usize| control.workers.get(at).map_or(0, |w| w.restarts.get());
    let mut known: Vec<u64> = Vec::with_capacity(links.len());
    loop {
        known.clear();
        known.extend((0..links.len()).map(restarts));
        for order in orders.take() {
            // Who only listens has nothing to decide by policy.
            if let LaneOrder::Worker(at, link) = order
                && let Some(slot) = links.get_mut(at)
            {
                *slot = *link;
            }
        }
        for link in &mut links {
            while let Some(work) = link.answer() {
                link.keep(work);
            }
        }
        let mut works: Vec<Work> = links.iter_mut().map(Link::fresh).collect();
        let before = feeder.stats();
        if drained {
            with_batches(&mut works, |batches| feeder.finish(batches));
        } else {
            let (asked, asked_at) = (clock(), Instant::now());
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
            if frames == 0 && asked_at.elapsed() >= SILENCE {
                feeder.pass_time(asked);
            }
            if control.stopping() {
                drain.count(source.arrivals(), counts);
                drained = drain.is_done(feeder.stats().frames, frames == 0);
            }
        }
        let last = works.iter().any(|w| w.batch.last);
        let replaced = |at: usize| known.get(at).is_some_and(|n| *n != restarts(at));
        let patience: Patience<'_> = (stuck + PATIENCE, &replaced);
        send(&mut links, works, index, counts, patience);
        counts.beat_ms.set(control.uptime_ms());
        if counted.elapsed() >= COUNT_EVERY || last {
            counted = Instant::now();
            drain.count(source.arrivals(), counts);
            measure(counts, &feeder);
        }
        if last {
            return Ok(());
        }
    }
    let mut works: Vec<Work> = links.iter_mut().map(Link::fresh).collect();
    with_batches(&mut works, |batches| feeder.finish(batches));
    send(&mut links, works, index, counts, (stuck, &|_| false));
    result
}

/// What a capture thread costs, and what its tables hold.
pub(super) fn measure(counts: &LaneCounts, feeder: &Feeder) {
    counts.cpu_ns.set(crate::sys::thread_cpu_ns());
    counts.defrag.set(&feeder.decoder().memory_bound());
}

/// What came and what is still to be taken of it when the sensor is to end.
///
/// That a source gives nothing does not mean that nothing has come: the kernel hands blocks over when they are full or
/// old, and not while workers hold those before them.
#[derive(Debug, Default)]
struct Drain {
    arrived: u64,
    dropped: u64,
    /// Since when it is to end, and what had come by then.
    goal: Option<(Instant, u64)>,
    /// What has been taken, and since when no more than that.
    taken: Option<(u64, Instant)>,
}

impl Drain {
    fn count(&mut self, arrivals: Arrivals, counts: &LaneCounts) {
        self.arrived += arrivals.frames;
        self.dropped += arrivals.dropped;
        counts.kernel_drops.add(arrivals.dropped);
    }

    /// Whether what had come when this was first asked has been taken, or given up. What is still between the wire and
    /// the source is not counted yet: on a wire that falls silent it is waited for, too.
    fn is_done(&mut self, taken: u64, silent: bool) -> bool {
        let now = Instant::now();
        let (since, goal) = *self.goal.get_or_insert((now, self.arrived));
        if self.taken.is_none_or(|(before, _)| before != taken) {
            self.taken = Some((taken, now));
        }
        if taken + self.dropped >= goal {
            return silent || since.elapsed() > DRAIN;
        }
        // As long as more is taken, however slowly, it goes on: what is to be taken is no more than the kernel's buffer.
        self.taken
            .is_some_and(|(_, since)| since.elapsed() > DRAIN_COUNTED)
    }
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

/// How long a full ring is waited for, and whether a worker (its index) was replaced meanwhile.
type Patience<'a> = (Duration, &'a dyn Fn(usize) -> bool);

fn send(
    links: &mut [Link],
    works: Vec<Work>,
    index: usize,
    counts: &LaneCounts,
    (patience, replaced): Patience<'_>,
) {
    let room: Vec<bool> = links
        .iter_mut()
        .enumerate()
        .map(|(at, link)| link.wait_for_room(patience, || replaced(at)))
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
        link.keep(work);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_had_come_is_taken_before_the_end_and_what_comes_later_is_not_waited_for() {
        let counts = crate::pipeline::live::LaneCounts::default();
        let mut drain = Drain::default();
        let arrivals = |frames, dropped| Arrivals { frames, dropped };
        drain.count(arrivals(100, 10), &counts);
        assert!(!drain.is_done(80, true), "ten are still in the kernel");
        drain.count(arrivals(50, 0), &counts);
        assert!(!drain.is_done(89, true));
        assert!(!drain.is_done(90, false), "more comes");
        assert!(drain.is_done(90, true));
        assert_eq!(counts.kernel_drops.get(), 10);
    }

    #[test]
    fn a_source_that_does_not_count_ends_when_it_gives_nothing() {
        let mut drain = Drain::default();
        assert!(!drain.is_done(5, false));
        assert!(drain.is_done(5, true));
    }
}
