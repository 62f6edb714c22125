//! Flows that are over by time, or given up: who goes when.

use super::ended::{Ended, EndedHalfOpen, Silent};
use super::settings::answer_deadline;
use super::{ANSWER_SECS, FlowTable, Recycle, SHARDS};
use crate::flow::half_open::MARK;
use crate::flow::{EndReason, FlowEvents, FlowState};
use crate::packet::Timestamp;

impl<X: Recycle> FlowTable<X> {
    /// Ends the flows that have been silent for too long at `now`. To be called at the borders of batches.
    ///
    /// `now` must be the same for all workers. They are then given by [`Self::take_ended`], ordered by their first packet.
    pub fn tick(&mut self, now: Timestamp) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.turn(&mut self.slab, now.secs(), &mut due);
        let from = self.ended.len();
        for index in due.drain(..) {
            let Some(slot) = self
                .slab
                .0
                .get_mut(index as usize)
                .and_then(|entry| entry.slot.as_deref_mut())
            else {
                continue;
            };
            let deadline = self.settings.deadline(&slot.flow);
            if deadline <= now {
                self.end(index, EndReason::Timeout);
                continue;
            }
            if answer_deadline(&slot.flow).is_some_and(|answer| answer <= now) {
                slot.flow.unanswered = true;
                self.ended
                    .push_back(Ended::Silent(Silent::of_flow(&slot.flow)));
            }
            let look = answer_deadline(&slot.flow).map_or(deadline, |a| a.min(deadline));
            self.arm(index, look);
        }
        // The same rule as the wheel's: at the first tick in a later second than the deadline's; everything that is over
        // at the first tick of all.
        let (secs, first) = (now.secs(), self.looked_secs.is_none());
        if self.looked_secs.is_none_or(|looked| looked < secs) {
            self.looked_secs = Some(secs);
            let settings = &self.settings;
            let over = |since| {
                let deadline = settings.half_open_deadline(since);
                deadline.secs() < secs || (first && deadline <= now)
            };
            for shard in 0..SHARDS {
                self.half_opens.find_over(shard, over, &mut due);
                let until = Timestamp(now.0.saturating_sub(ANSWER_SECS * 1_000_000_000));
                while let Some(half_open) = self.half_opens.next_unanswered(shard, until) {
                    let silent = Silent::of_half_open(&half_open);
                    self.ended.push_back(Ended::Silent(silent));
                }
            }
            for number in due.drain(..) {
                self.end_half_open(number, EndReason::Timeout);
            }
        }
        self.due = due;
        self.order_ended(from);
    }

    /// Ends every flow.
    pub fn expire_all(&mut self, reason: EndReason) {
        self.expire_below(u64::MAX, reason);
    }

    /// Ends the flows whose first packet has a lower number. Between the first call and one with the highest number no
    /// packet may come: what is to end is listed once.
    pub fn expire_below(&mut self, number: u64, reason: EndReason) {
        let from = self.ended.len();
        let mut ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.list_all(),
        };
        while let Some((_, _, index)) = ending.pop_if(|(first, ..)| *first < number) {
            if index & MARK != 0 {
                self.end_half_open(index, reason);
            } else {
                self.end(index, reason);
            }
        }
        self.ending = (number < u64::MAX).then_some(ending);
        self.order_ended(from);
    }

    /// All flows by the number of their first packet and their id, the latest first.
    pub(super) fn list_all(&mut self) -> Vec<(u64, u64, u32)> {
        self.settle_syn();
        let mut due = std::mem::take(&mut self.due);
        for shard in 0..SHARDS {
            self.half_opens.find_over(shard, |_| true, &mut due);
        }
        let mut all = Vec::with_capacity(self.len());
        for number in due.drain(..) {
            if let Some(half_open) = self.half_opens.get(number) {
                all.push((half_open.first_number, half_open.id, number));
            }
        }
        self.due = due;
        for (index, entry) in (0u32..).zip(&self.slab.0) {
            if let Some(slot) = &entry.slot {
                all.push((slot.flow.first_number, slot.flow.id, index));
            }
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }

    /// Ends flows of which nothing was heard for [`FlowSettings::idle_secs`] and whose attachment is picked, to get back what
    /// it holds. Looks at `tries` entries, beginning where the last call stopped.
    pub fn give_up_idle(&mut self, now: Timestamp, tries: u32, picked: impl Fn(&X) -> bool) {
        let from = self.ended.len();
        let len = u32::try_from(self.slab.0.len()).unwrap_or(u32::MAX);
        for _ in 0..tries.min(len) {
            self.hand = if self.hand + 1 < len {
                self.hand + 1
            } else {
                0
            };
            let entry = self.slab.0.get(self.hand as usize);
            let idle = entry.and_then(|e| e.slot.as_deref()).is_some_and(|slot| {
                now.secs_since(slot.flow.last) >= u64::from(self.settings.idle_secs)
                    && picked(&slot.ext)
            });
            if idle {
                self.end(self.hand, EndReason::Forced);
                self.stats.evicted_for_memory += 1;
            }
        }
        self.order_ended(from);
    }

    pub(super) fn order_ended(&mut self, from: usize) {
        if let Some(new) = self.ended.make_contiguous().get_mut(from..) {
            new.sort_unstable_by_key(Ended::rank);
        }
    }

    /// Takes a flow out of the table and hands it to `ended`.
    pub(super) fn end(&mut self, index: u32, reason: EndReason) {
        let Some(entry) = self.slab.0.get_mut(index as usize) else {
            return;
        };
        let Some(mut slot) = entry.slot.take() else {
            return;
        };
        let hash = entry.hash;
        self.wheel.disarm(&mut self.slab, index);
        self.unlink(index);
        self.index.remove(hash, index);
        self.free.push(index);
        self.len -= 1;
        match reason {
            EndReason::Timeout => self.stats.timed_out += 1,
            EndReason::TcpReuse => self.stats.tcp_reuse += 1,
            _ => {}
        }
        let flow = &mut slot.flow;
        flow.reason = reason;
        let unanswered = if flow.key.proto == 6 {
            flow.state == FlowState::New
        } else {
            flow.seen != [true; 2]
        };
        flow.happened = FlowEvents(
            FlowEvents::CLOSED
                | if unanswered && !flow.unanswered {
                    FlowEvents::UNANSWERED
                } else {
                    0
                },
        );
        self.ended.push_back(Ended::Flow(slot));
    }

    /// Takes a half-open connection out of the table and hands it to `ended`.
    pub(super) fn end_half_open(&mut self, number: u32, reason: EndReason) {
        let Some(half_open) = self.half_opens.take(number) else {
            return;
        };
        self.index.remove(half_open.hash, number);
        self.len -= 1;
        self.stats.timed_out += u64::from(reason == EndReason::Timeout);
        self.ended.push_back(Ended::HalfOpen(EndedHalfOpen {
            half_open,
            reason,
            report: true,
        }));
    }

    /// Whether one more half-open connection that is given up may be reported.
    pub(super) fn report_forced(&mut self, shard: usize, now: Timestamp) -> bool {
        let per_shard = self.settings.forced_reports_per_sec.div_ceil(SHARDS as u32);
        let Some((second, left)) = self.reports_left.get_mut(shard) else {
            return false;
        };
        // Time that jumps back does not open the budget again.
        if now.secs() > *second {
            (*second, *left) = (now.secs(), per_shard);
        }
        let report = *left > 0;
        *left = left.saturating_sub(1);
        self.stats.unreported += u64::from(!report);
        report
    }
}
