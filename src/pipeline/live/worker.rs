//! A signature worker as a thread: batches from every capture thread, answers to the report thread, and the batch back to
//! where it came from, with what is to be stopped.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::control::{Adoption, Control, Count, WorkerOrder, WorkerState};
use super::lane::SPARE;
use super::recorder::Recorder;
use super::talkers::Talkers;
use super::tap::Taps;
use crate::alert::Verdict;
use crate::detect::signature::Replacement;
use crate::packet::{Batch, FrameBytes, Timestamp};
use crate::pipeline::report::Said;
use crate::pipeline::signature_worker::SignatureWorker;
use crate::ring::{Bell, Receiver, Sender};

/// A batch on its way to a worker and back.
#[derive(Debug)]
pub struct Work {
    /// The packets.
    pub batch: Batch,
    /// Which capture thread made it.
    pub lane: u16,
    /// Workers that were given a batch of this number.
    pub expected: u16,
    /// Inline: packets went their way without this worker since the last batch it was given.
    pub missed: bool,
    /// On the way back, inline: packets that are not to go on, by their place in the batch.
    pub stopped: Vec<(u32, Verdict)>,
    /// Likewise: packets of whose payload bytes are to be changed.
    pub changed: Vec<(u32, Vec<Replacement>)>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            batch: Batch::with_capacity(256),
            lane: 0,
            expected: 1,
            missed: false,
            stopped: Vec::new(),
            changed: Vec::new(),
        }
    }
}

impl Work {
    /// When its first packet came; without one, until when nothing came.
    fn begins(&self) -> Timestamp {
        let first = self.batch.packets.first();
        first.map_or(self.batch.now, |packet| packet.ts)
    }

    /// Empties it, and gives its bytes up.
    pub(super) fn clear(&mut self) {
        self.batch.bytes = FrameBytes::Empty;
        self.batch.packets.clear();
        self.batch.extra.clear();
        self.missed = false;
        self.stopped.clear();
        self.changed.clear();
    }
}

/// The rings of a worker.
#[derive(Debug)]
pub(super) struct Rings {
    /// From and back to each capture thread.
    pub lanes: Vec<(Receiver<Work>, Sender<Work>)>,
    /// Rung by the capture threads.
    pub bell: Bell,
    /// To the report thread, and used answers back from it.
    pub said: (Sender<Said>, Receiver<Said>),
}

/// Answers kept while the report thread has no room (inline).
const BACKLOG: usize = 1024;

/// Works until every capture thread is gone.
pub(super) fn work(
    index: usize,
    mut worker: SignatureWorker,
    (mut rings, mut recorder): (Rings, Option<Recorder>),
    inline: bool,
    control: &Arc<Control>,
) {
    let (Some(counts), Some(orders)) =
        (control.workers.get(index), control.worker_orders.get(index))
    else {
        return;
    };
    let base = [
        counts.packets.get(),
        counts.panics.get(),
        counts.flows.get(),
        counts.blocked.get(),
        counts.memory_full.get(),
    ];
    worker.measure_stages();
    let staged = (
        counts.stage_packets.get(),
        counts.stage_ns.each_ref().map(Count::get),
    );
    let mut backlog: VecDeque<Said> = VecDeque::new();
    let mut spare: Vec<Said> = Vec::new();
    let mut talkers = Talkers::new(index);
    let mut taps = Taps::default();
    // Capture threads whose last batch has not come.
    let mut open = rings.lanes.len();
    // The next batch of each capture thread.
    let mut held: Vec<Option<Work>> = rings.lanes.iter().map(|_| None).collect();
    let mut turn = 0usize;
    loop {
        // Orders are for whoever has the rings: a worker that was replaced leaves them to its successor.
        if orders.is_full() && !rings.lanes.iter().all(|(_, back)| back.is_abandoned()) {
            for order in orders.take() {
                match order {
                    WorkerOrder::Adopt(adoption) => {
                        let Adoption {
                            inspector,
                            segments,
                            number,
                        } = *adoption;
                        control.discard(worker.adopt(inspector, segments));
                        counts.adopted.set(number);
                    }
                    WorkerOrder::Tap(tap) => taps.add(tap),
                    WorkerOrder::Profile(on) => worker.profile(on),
                    WorkerOrder::Dataset(name, ask, key) => worker.ask_dataset(&name, ask, &key),
                    WorkerOrder::TellCosts(receiver) => {
                        let _ = receiver.try_send(worker.costs());
                    }
                    WorkerOrder::Stall(ms) => {
                        counts.busy_since_ms.set(control.uptime_ms().max(1));
                        std::thread::sleep(Duration::from_millis(ms));
                        counts.busy_since_ms.set(0);
                    }
                    WorkerOrder::End => return,
                }
            }
        }
        let queued = rings.lanes.iter().map(|(r, _)| r.len() as u64).sum();
        counts.queued.set(queued);
        counts.queued_peak.set(queued.max(counts.queued_peak.get()));
        for ((receiver, _), slot) in rings.lanes.iter_mut().zip(&mut held) {
            if slot.is_none() {
                *slot = receiver.try_receive();
            }
        }
        let next = next(&held, inline, turn);
        let work = next.and_then(|at| held.get_mut(at)?.take());
        let back = next.and_then(|at| rings.lanes.get_mut(at));
        if let (Some(mut work), Some((_, back))) = (work, back) {
            turn = turn.wrapping_add(1);
            let begun = Instant::now();
            counts.busy_since_ms.set(control.uptime_ms().max(1));
            counts.taken.add(1);
            talkers.batch(&work.batch, control);
            taps.batch(&work.batch);
            if let Some(recorder) = &mut recorder {
                recorder.batch(&work.batch);
            }
            while let Some(used) = rings.said.1.try_receive() {
                if spare.len() < SPARE {
                    spare.push(used);
                }
            }
            let mut said = spare.pop().unwrap_or_default();
            let last = work.batch.last;
            if last {
                // The end of one capture thread is not the end of the flows, which all of them share.
                open = open.saturating_sub(1);
                work.batch.last = open == 0;
            }
            if work.missed {
                worker.missed(work.batch.now);
            }
            worker.batch(&work.batch, &mut said);
            said.lane = work.lane;
            said.ends = last;
            // Traffic ends when all workers have said all: the report thread knows when that is.
            said.outbox.last = false;
            said.expected = work.expected;
            // The verdicts first: somebody waits for them.
            std::mem::swap(&mut work.stopped, &mut said.stopped);
            std::mem::swap(&mut work.changed, &mut said.changed);
            work.batch.bytes = FrameBytes::Empty;
            let _ = back.try_send(work);
            counts.done.add(1);
            counts.busy_since_ms.set(0);
            counts
                .busy_ns
                .add(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(0));
            let stats = worker.stats();
            counts.packets.set(base[0] + stats.packets);
            counts.panics.set(base[1] + stats.panics);
            counts.blocked.set(base[3] + stats.blocked);
            for (slot, memory) in counts.memory.iter().zip(&worker.bounds()) {
                slot.set(memory);
            }
            counts.memory_full.set(
                base[4] + stats.flow.refused + stats.stream.memory_refused + stats.app_refused,
            );
            counts.stage_packets.set(staged.0 + stats.stages.packets);
            let sums = staged.1.iter().zip(stats.stages.nanos);
            for (slot, (before, more)) in counts.stage_ns.iter().zip(sums) {
                slot.set(before + more);
            }
            counts
                .flows
                .set(base[2] + stats.flow.opened.iter().sum::<u64>());
            if !report(&mut rings.said.0, &mut backlog, said, inline && !last) {
                counts.unreported.add(1);
            }
            counts.set_state(WorkerState::Running);
            continue;
        }
        if rings
            .lanes
            .iter()
            .all(|(receiver, _)| receiver.is_finished())
        {
            break;
        }
        let lanes = &rings.lanes;
        rings.bell.wait(|| {
            orders.is_full() || lanes.iter().any(|(r, _)| r.is_ready() || r.is_finished())
        });
    }
    for said in backlog {
        let _ = rings.said.0.send(said);
    }
}

/// Whose batch is next. Listening, what came first is first: flows of two hosts can come by several capture threads, and
/// speak of each other. Inline each has its turn, because somebody waits for each.
fn next(held: &[Option<Work>], inline: bool, turn: usize) -> Option<usize> {
    let ready = held
        .iter()
        .enumerate()
        .filter_map(|(at, work)| Some((at, work.as_ref()?)));
    if inline {
        let count = held.len().max(1);
        return ready
            .map(|(at, _)| at)
            .min_by_key(|at| (at + count - turn % count) % count);
    }
    ready
        .min_by_key(|(_, work)| work.begins())
        .map(|(at, _)| at)
}

/// Hands an answer over. Passive: waits for room, so that the kernel's buffer fills and its loss is counted. Inline: a
/// bounded number waits here instead of the packets; beyond it an answer is lost, and counted.
fn report(
    sender: &mut Sender<Said>,
    backlog: &mut VecDeque<Said>,
    said: Said,
    inline: bool,
) -> bool {
    if !inline {
        for said in backlog.drain(..) {
            let _ = sender.send(said);
        }
        return sender.send(said).is_ok();
    }
    while let Some(oldest) = backlog.pop_front() {
        if let Err(back) = sender.try_send(oldest) {
            backlog.push_front(back);
            break;
        }
    }
    let said = if backlog.is_empty() {
        match sender.try_send(said) {
            Ok(()) => return true,
            Err(back) => back,
        }
    } else {
        said
    };
    if backlog.len() >= BACKLOG {
        return false;
    }
    backlog.push_back(said);
    true
}
