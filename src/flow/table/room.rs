//! Room for new flows: which of the old ones give way, by what is known of them.

use super::ended::Ended;
use super::{Class, FlowTable, List, Recycle, SHARDS, shard_of};
use crate::flow::EndReason;
use crate::flow::wheel::NONE;
use crate::packet::{Packet, Timestamp, Transport};

/// Flows tried before a full class is taken to hold only active ones: bounds the work of one eviction.
pub(super) const EVICTION_TRIES: usize = 8;

impl<X: Recycle> FlowTable<X> {
    /// Gives up the oldest half-open connection, or flow that never came further.
    pub(super) fn evict_pending(&mut self, shard: usize, now: Timestamp) -> bool {
        let flow = self.lists.get(shard).and_then(|lists| {
            let index = lists[Class::Pending as usize].head;
            let slot = self.slab.0.get(index as usize)?.slot.as_deref()?;
            Some((index, slot.flow.first_number, slot.flow.alerted))
        });
        let half_open = self
            .half_opens
            .oldest(shard)
            .map(|(number, half_open)| (number, half_open.first_number));
        let report = match (flow, half_open) {
            (None, None) => return false,
            // What made an alert is always reported.
            (Some((_, _, true)), None) => true,
            (Some((_, number, true)), Some((_, other))) if number < other => true,
            _ => self.report_forced(shard, now),
        };
        match (flow, half_open) {
            (Some((index, number, _)), other) if other.is_none_or(|other| number < other.1) => {
                self.end(index, EndReason::Forced);
                if let Some(Ended::Flow(slot)) = self.ended.back_mut() {
                    slot.flow.unreported = !report;
                }
            }
            (_, Some((number, _))) => {
                self.end_half_open(number, EndReason::Forced);
                if let Some(Ended::HalfOpen(ended)) = self.ended.back_mut() {
                    ended.report = report;
                }
                // The next to go: its place in the index is fetched meanwhile, and the one behind it.
                if let Some((_, next)) = self.half_opens.oldest(shard) {
                    self.index.prefetch(next.hash);
                }
                self.half_opens.prefetch_next(shard);
            }
            _ => return false,
        }
        self.stats.evicted_pending += 1;
        true
    }

    /// Makes sure that there is room for one more flow of the packet's kind.
    pub(super) fn make_room(&mut self, packet: &Packet<'_>) -> bool {
        let shard = usize::from(shard_of(packet));
        let pending = packet.transport == Transport::Tcp;
        let shard_max = (self.settings.flows_max / SHARDS as u32).max(1);
        let pending_max = (self.settings.pending_max / SHARDS as u32).max(1);
        let Some(lists) = self.lists.get(shard) else {
            return false;
        };
        let half_open = self.half_opens.len(shard);
        if pending && lists[Class::Pending as usize].len + half_open >= pending_max {
            return self.evict_pending(shard, packet.ts);
        }
        let live = half_open + lists.iter().map(|list| list.len).sum::<u32>();
        if live < shard_max && self.len < self.capacity {
            return true;
        }
        let made = self.evict_pending(shard, packet.ts)
            || [Class::Closed, Class::New, Class::Established]
                .into_iter()
                .any(|class| self.evict(shard, class, packet.ts));
        if !made {
            self.stats.refused += 1;
        }
        made
    }

    /// Gives up the oldest flow of a class. An active established flow is passed over and goes to the end of its list.
    pub(super) fn evict(&mut self, shard: usize, class: Class, now: Timestamp) -> bool {
        for _ in 0..EVICTION_TRIES {
            let Some(index) = self
                .lists
                .get(shard)
                .map(|lists| lists[class as usize].head)
            else {
                return false;
            };
            let Some(slot) = self
                .slab
                .0
                .get(index as usize)
                .and_then(|entry| entry.slot.as_deref())
            else {
                return false;
            };
            if class == Class::Established
                && now.secs_since(slot.flow.last) < u64::from(self.settings.idle_secs)
            {
                self.unlink(index);
                self.link(index);
                continue;
            }
            self.end(index, EndReason::Forced);
            match class {
                Class::Pending => {}
                Class::Closed => self.stats.evicted_closed += 1,
                Class::New => self.stats.evicted_new += 1,
                Class::Established => self.stats.evicted_established += 1,
            }
            return true;
        }
        false
    }

    pub(super) fn list(&mut self, shard: u8, class: Class) -> Option<&mut List> {
        self.lists
            .get_mut(usize::from(shard))?
            .get_mut(class as usize)
    }

    /// Appends an entry to the list of its class.
    pub(super) fn link(&mut self, index: u32) {
        let Some(entry) = self.slab.0.get(index as usize) else {
            return;
        };
        let (shard, class) = (entry.shard, entry.class);
        let Some(list) = self.list(shard, class) else {
            return;
        };
        let prev = std::mem::replace(&mut list.tail, index);
        list.len += 1;
        if prev == NONE {
            list.head = index;
        }
        if let Some(last) = self.slab.0.get_mut(prev as usize) {
            last.next = index;
        }
        if let Some(entry) = self.slab.0.get_mut(index as usize) {
            (entry.prev, entry.next) = (prev, NONE);
        }
    }

    /// Takes an entry out of the list of its class.
    pub(super) fn unlink(&mut self, index: u32) {
        let Some(entry) = self.slab.0.get(index as usize) else {
            return;
        };
        let (shard, class, prev, next) = (entry.shard, entry.class, entry.prev, entry.next);
        if let Some(before) = self.slab.0.get_mut(prev as usize) {
            before.next = next;
        }
        if let Some(after) = self.slab.0.get_mut(next as usize) {
            after.prev = prev;
        }
        let Some(list) = self.list(shard, class) else {
            return;
        };
        list.len = list.len.saturating_sub(1);
        if prev == NONE {
            list.head = next;
        }
        if next == NONE {
            list.tail = prev;
        }
    }
}
