//! The report thread: takes what all workers said about a batch together, in the order of the batches of each capture
//! thread.
//!
//! A worker that was lost or stuck answers late or never: a batch is waited for at most [`PATIENCE`], then reported with
//! what is there. What comes later is reported by itself.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::FAREWELL;
use super::control::{Control, ReportOrder};
use crate::pipeline::report::{ReportStage, Said};
use crate::ring::{Receiver, Sender};

/// How long the answers to a batch are waited for.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Batches of a capture thread that wait for answers at most; with more, the oldest is reported as it is.
const WAITING_MAX: usize = 4_096;
/// How long the thread sleeps when nothing was said.
const SLEEP: Duration = Duration::from_millis(2);
/// How often the sinks write out what they gathered.
const FLUSH_EVERY: Duration = Duration::from_millis(200);

/// The answers of one worker.
#[derive(Debug)]
pub struct Inbox {
    pub(super) said: Receiver<Said>,
    pub(super) back: Sender<Said>,
}

/// A batch that not all workers have answered.
struct Waiting {
    sequence: u64,
    since: Instant,
    expected: usize,
    said: Vec<(usize, Said)>,
}

/// Reports until every worker is gone; gives the stage back for its end.
pub(super) fn report(
    mut stage: ReportStage,
    mut inboxes: Vec<Inbox>,
    lanes: usize,
    control: &Arc<Control>,
) -> ReportStage {
    let mut waiting: Vec<VecDeque<Waiting>> = (0..lanes).map(|_| VecDeque::new()).collect();
    let mut old: Vec<Inbox> = Vec::new();
    let mut flushed = Instant::now();
    let mut dirty = false;
    let mut said_last = Instant::now();
    loop {
        for order in control.report_orders.take() {
            dirty = true;
            match order {
                ReportOrder::Worker(at, inbox) => {
                    if let Some(slot) = inboxes.get_mut(at) {
                        // What the lost one still says is heard.
                        old.push(std::mem::replace(slot, *inbox));
                    }
                }
                ReportOrder::Adopt {
                    first,
                    rules,
                    grade,
                    number,
                } => {
                    stage.adopt(first, rules, *grade);
                    control.report.adopted.set(number);
                }
                ReportOrder::Line(kind, line) => stage.line(kind, &line),
                ReportOrder::Trouble(trouble) => stage.trouble(*trouble),
                ReportOrder::Reopen => stage.reopen(),
            }
        }
        let mut idle = true;
        for (at, inbox) in inboxes.iter_mut().chain(&mut old).enumerate() {
            while let Some(said) = inbox.said.try_receive() {
                idle = false;
                said_last = Instant::now();
                let queue = waiting.get_mut(usize::from(said.lane));
                if let Some(said) = queue.and_then(|queue| place(queue, at, said)) {
                    stage.batch(&[&said]);
                }
            }
        }
        old.retain(|inbox| !inbox.said.is_finished());
        for queue in &mut waiting {
            while let Some(front) = queue.front() {
                let complete = front.said.len() >= front.expected;
                if !complete && queue.len() < WAITING_MAX && front.since.elapsed() < PATIENCE {
                    break;
                }
                let Some(mut front) = queue.pop_front() else {
                    break;
                };
                control.report.batches.add(1);
                control.report.incomplete.add(u64::from(!complete));
                // In the order of the workers, which never changes.
                front.said.sort_by_key(|(at, _)| *at);
                let said: Vec<&Said> = front.said.iter().map(|(_, s)| s).collect();
                if let Some(first) = said.first() {
                    control.report.now_ns.set(first.outbox.now.0);
                }
                stage.batch(&said);
                dirty = true;
                for (at, said) in front.said {
                    if let Some(inbox) = inboxes.get_mut(at) {
                        let _ = inbox.back.try_send(said);
                    }
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
            if control.stopping() && said_last.elapsed() > FAREWELL {
                break;
            }
            std::thread::sleep(SLEEP);
        }
    }
    for mut queue in waiting {
        for front in queue.drain(..) {
            let said: Vec<&Said> = front.said.iter().map(|(_, s)| s).collect();
            control.report.incomplete.add(1);
            stage.batch(&said);
        }
    }
    let levels = stage.counts().levels;
    for (count, level) in control.report.levels.iter().zip(levels) {
        count.set(level);
    }
    stage
}

/// Puts an answer to those of its batch. It comes back when that batch has been reported already.
fn place(queue: &mut VecDeque<Waiting>, at: usize, said: Said) -> Option<Said> {
    let sequence = said.outbox.sequence;
    let from = queue.partition_point(|w| w.sequence < sequence);
    match queue.get_mut(from) {
        Some(found) if found.sequence == sequence => {
            found.said.push((at, said));
            None
        }
        // Behind the newest, or a batch that an earlier answer has skipped: workers answer in order, so it is new.
        None => {
            queue.push_back(Waiting {
                sequence,
                since: Instant::now(),
                expected: usize::from(said.expected.max(1)),
                said: vec![(at, said)],
            });
            None
        }
        Some(_) if from > 0 => {
            queue.insert(
                from,
                Waiting {
                    sequence,
                    since: Instant::now(),
                    expected: usize::from(said.expected.max(1)),
                    said: vec![(at, said)],
                },
            );
            None
        }
        Some(_) => Some(said),
    }
}
