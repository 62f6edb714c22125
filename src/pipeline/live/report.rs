//! The report thread: takes what all workers said about a batch together, and what came by several capture threads in the
//! order of time.
//!
//! Behaviour, incidents and outcomes depend on what was before what, and a batch says nothing of the batches of other
//! capture threads. Each capture thread says often until when it has seen everything ([`Beat`]), also when nothing comes;
//! a batch is reported when all of them have said so for its time, together with what else is ready then.
//!
//! These waits are as long as a worker may be on one batch (`live.worker-stuck-ms`), if that is longer: what is only slow is
//! waited for. A worker that was lost answers late or never: after a worker was replaced, a batch is waited for at most
//! [`PATIENCE_LOST`], then reported with what is there; what comes later is reported by itself. A capture thread that says
//! nothing (its worker is stuck, its interface failed) is waited for at most [`PATIENCE_BEAT`].
//!
//! [`Beat`]: Lane::until

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FAREWELL;
use super::control::{Control, ReportOrder};
use crate::packet::Timestamp;
use crate::pipeline::report::{ReportStage, Said};
use crate::ring::{Receiver, Sender};
use crate::sys;

/// How long the answers of a busy worker are waited for. It is alive: one that is not is replaced within a second or so.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long answers are waited for when a worker was replaced.
const PATIENCE_LOST: Duration = Duration::from_millis(1_500);
/// How long a capture thread is waited for that does not say until when it has seen everything; they say so every 50 ms.
const PATIENCE_BEAT: Duration = Duration::from_millis(500);
/// Batches of a capture thread that wait for answers at most; with more, the oldest is reported as it is.
const WAITING_MAX: usize = 4_096;
/// Batches of several capture threads that are reported together at most.
const TOGETHER_MAX: usize = 64;
/// How long the thread sleeps when nothing was said.
const SLEEP: Duration = Duration::from_millis(2);
/// How often the sinks write out what they gathered.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often its tables are measured.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The answers of one worker.
#[derive(Debug)]
pub struct Inbox {
    pub(super) said: Receiver<Said>,
    pub(super) back: Sender<Said>,
}

/// A batch that not all workers have answered.
struct Waiting {
    sequence: u64,
    /// Until when its capture thread has seen everything.
    until: Timestamp,
    since: Instant,
    expected: usize,
    said: Vec<(usize, Said)>,
}

impl Waiting {
    fn new(at: usize, said: Said) -> Self {
        Self {
            sequence: said.outbox.sequence,
            until: said.outbox.now,
            since: Instant::now(),
            expected: usize::from(said.expected.max(1)),
            said: vec![(at, said)],
        }
    }
}

/// What a capture thread sent.
#[derive(Default)]
struct Lane {
    queue: VecDeque<Waiting>,
    /// Until when it has seen everything.
    until: Timestamp,
    ended: bool,
}

impl Lane {
    /// Puts an answer to those of its batch. It comes back when that batch has been reported already.
    fn place(&mut self, at: usize, said: Said) -> Option<Said> {
        self.until = self.until.max(said.outbox.now);
        self.ended |= said.ends;
        let queue = &mut self.queue;
        let sequence = said.outbox.sequence;
        let from = queue.partition_point(|w| w.sequence < sequence);
        match queue.get_mut(from) {
            Some(found) if found.sequence == sequence => found.said.push((at, said)),
            // Behind the newest, or a batch that an earlier answer has skipped: workers answer in order, so it is new.
            None => queue.push_back(Waiting::new(at, said)),
            Some(_) if from > 0 => queue.insert(from, Waiting::new(at, said)),
            Some(_) => return Some(said),
        }
        None
    }

    /// Until when nothing of it is still to come: while batches wait, the first of them is.
    fn horizon(&self) -> Timestamp {
        match self.queue.front() {
            Some(front) => front.until,
            None if self.ended => Timestamp(u64::MAX),
            None => self.until,
        }
    }

    /// Whether its oldest batch has all answers, or is not waited for any longer.
    fn is_ready(&self, patience: Duration) -> bool {
        self.queue.front().is_some_and(|front| {
            front.said.len() >= front.expected
                || self.queue.len() >= WAITING_MAX
                || front.since.elapsed() >= patience
        })
    }
}

/// The oldest batch, when it may be reported.
fn next(lanes: &mut [Lane], (patience, beat): (Duration, Duration)) -> Option<Waiting> {
    let waits = |l: &Lane| l.queue.front().map(|front| front.until);
    let first = (0..lanes.len())
        .filter_map(|at| Some((waits(lanes.get(at)?)?, at)))
        .min();
    let (until, first) = first?;
    let seen = lanes.iter().all(|lane| lane.horizon() >= until);
    let lane = lanes.get_mut(first)?;
    let front = lane.queue.front()?;
    let goes = seen || front.since.elapsed() >= beat || lane.queue.len() >= WAITING_MAX;
    if goes && lane.is_ready(patience) {
        lane.queue.pop_front()
    } else {
        None
    }
}

/// Reports until every worker is gone; gives the stage back for its end.
pub(super) fn report(
    mut stage: ReportStage,
    mut inboxes: Vec<Inbox>,
    lanes: usize,
    stuck: Duration,
    control: &Arc<Control>,
) -> ReportStage {
    let (busy, beat, farewell) = (
        PATIENCE.max(stuck),
        PATIENCE_BEAT.max(stuck),
        FAREWELL.max(stuck),
    );
    let mut lanes: Vec<Lane> = (0..lanes).map(|_| Lane::default()).collect();
    let together = if lanes.len() > 1 { TOGETHER_MAX } else { 1 };
    let mut replaced: Option<Instant> = None;
    let mut old: Vec<Inbox> = Vec::new();
    let mut flushed = Instant::now();
    let mut measured = flushed;
    let mut dirty = false;
    let mut said_last = Instant::now();
    let mut now = Timestamp(0);
    loop {
        for order in control.report_orders.take() {
            dirty = true;
            match order {
                ReportOrder::Worker(at, inbox) => {
                    replaced = Some(Instant::now());
                    if let Some(slot) = inboxes.get_mut(at) {
                        // What the lost one still says is heard.
                        old.push(std::mem::replace(slot, *inbox));
                    }
                }
                ReportOrder::Adopt {
                    first,
                    rules,
                    grade,
                    thresholds,
                    number,
                } => {
                    stage.adopt(first, rules, *grade, &thresholds);
                    control.report.adopted.set(number);
                }
                ReportOrder::Line(kind, line) => stage.line(kind, &line),
                ReportOrder::Trouble(trouble) => stage.trouble(*trouble),
                ReportOrder::Reopen => stage.reopen(),
                ReportOrder::Dataset(name, ask, key, answer) => {
                    let _ = answer.try_send(stage.ask_dataset(&name, ask, &key));
                }
                ReportOrder::TellDatasets(answer) => {
                    let sets = stage.grader().datasets().to_save();
                    let _ = answer.try_send(sets.map(|(p, text)| (p.to_owned(), text)).collect());
                }
            }
        }
        let queued = inboxes.iter().map(|i| i.said.len() as u64).sum();
        control.report.queued.set(queued);
        let peak = &control.report.queued_peak;
        peak.set(queued.max(peak.get()));
        if measured.elapsed() >= MEASURE_EVERY {
            measured = Instant::now();
            control.report.cpu_ns.set(sys::thread_cpu_ns());
            if let Ok(mut memory) = control.report.memory.lock() {
                *memory = stage.bounds();
            }
        }
        let mut idle = true;
        for (at, inbox) in inboxes.iter_mut().chain(&mut old).enumerate() {
            while let Some(said) = inbox.said.try_receive() {
                idle = false;
                said_last = Instant::now();
                let lane = lanes.get_mut(usize::from(said.lane));
                if let Some(said) = lane.and_then(|lane| lane.place(at, said)) {
                    stage.batch(&[&said]);
                }
            }
        }
        old.retain(|inbox| !inbox.said.is_finished());
        let lost = replaced.is_some_and(|since| since.elapsed() < busy);
        let patience = (if lost { PATIENCE_LOST } else { busy }, beat);
        let mut ready: Vec<(usize, Said)> = Vec::new();
        loop {
            ready.clear();
            for _ in 0..together {
                let Some(mut batch) = next(&mut lanes, patience) else {
                    break;
                };
                control.report.batches.add(1);
                let complete = batch.said.len() >= batch.expected;
                control.report.incomplete.add(u64::from(!complete));
                // In the order of the workers, which never changes.
                batch.said.sort_by_key(|(at, _)| *at);
                ready.append(&mut batch.said);
            }
            if ready.is_empty() {
                break;
            }
            let said: Vec<&Said> = ready.iter().map(|(_, s)| s).collect();
            let until = said.iter().map(|s| s.outbox.now).max().unwrap_or_default();
            now = now.max(until);
            control.report.now_ns.set(now.0);
            stage.batch(&said);
            dirty = true;
            for (at, said) in ready.drain(..) {
                if let Some(inbox) = inboxes.get_mut(at) {
                    let _ = inbox.back.try_send(said);
                }
            }
        }
        if dirty && flushed.elapsed() >= FLUSH_EVERY {
            (flushed, dirty) = (Instant::now(), false);
            stage.flush();
            let levels = stage.counts().levels;
            for (count, level) in control.report.levels.iter().zip(levels) {
                count.set(level);
            }
        }
        if idle {
            let gone = inboxes.iter().all(|i| i.said.is_finished());
            if gone && !control.report_orders.is_full() && control.stopping() {
                break;
            }
            // A worker that is stuck for good does not keep the others' alerts from being written.
            if control.stopping() && said_last.elapsed() > farewell {
                break;
            }
            std::thread::sleep(SLEEP);
        }
    }
    // What is still waited for will not come.
    for lane in &mut lanes {
        lane.ended = true;
    }
    while let Some(batch) = next(&mut lanes, (Duration::ZERO, Duration::ZERO)) {
        let said: Vec<&Said> = batch.said.iter().map(|(_, s)| s).collect();
        let complete = batch.said.len() >= batch.expected;
        control.report.incomplete.add(u64::from(!complete));
        now = said.iter().map(|s| s.outbox.now).fold(now, Timestamp::max);
        stage.batch(&said);
    }
    stage.end(now);
    let levels = stage.counts().levels;
    for (count, level) in control.report.levels.iter().zip(levels) {
        count.set(level);
    }
    stage
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lane: u16, sequence: u64, until: u64, expected: u16) -> Said {
        let mut said = Said {
            lane,
            expected,
            ..Said::default()
        };
        (said.outbox.sequence, said.outbox.now) = (sequence, Timestamp(until));
        said
    }

    fn untils(lanes: &mut [Lane]) -> Vec<u64> {
        std::iter::from_fn(|| next(lanes, (PATIENCE, PATIENCE_BEAT)))
            .map(|w| w.until.0)
            .collect()
    }

    #[test]
    fn batches_of_several_capture_threads_go_by_time_when_all_have_seen_that_far() {
        let mut lanes = vec![Lane::default(), Lane::default()];
        for (sequence, until) in [(0, 10), (1, 30), (2, 50)] {
            assert!(lanes[0].place(0, said(0, sequence, until, 1)).is_none());
        }
        assert_eq!(
            untils(&mut lanes),
            [0u64; 0],
            "the other may have seen something earlier"
        );
        assert!(lanes[1].place(0, said(1, 0, 20, 1)).is_none());
        assert!(lanes[1].place(0, said(1, 1, 40, 1)).is_none());
        assert_eq!(untils(&mut lanes), [10, 20, 30, 40]);
        lanes[1].ended = true;
        assert_eq!(untils(&mut lanes), [50]);
    }

    #[test]
    fn a_batch_waits_for_all_of_its_answers_and_holds_back_what_is_later() {
        let mut lanes = vec![Lane::default(), Lane::default()];
        assert!(lanes[0].place(0, said(0, 0, 10, 2)).is_none());
        assert!(lanes[1].place(0, said(1, 0, 20, 1)).is_none());
        assert_eq!(untils(&mut lanes), [0u64; 0]);
        assert!(lanes[0].place(1, said(0, 0, 10, 2)).is_none());
        assert_eq!(untils(&mut lanes), [10]);
        assert!(lanes[0].place(1, said(0, 1, 25, 1)).is_none());
        assert_eq!(untils(&mut lanes), [20]);
    }

    #[test]
    fn an_answer_to_what_was_reported_comes_back() {
        let mut lanes = [Lane::default()];
        assert!(lanes[0].place(0, said(0, 4, 10, 1)).is_none());
        assert!(lanes[0].place(1, said(0, 3, 9, 1)).is_some());
    }
}
