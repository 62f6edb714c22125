//! `threshold`, `detection_filter`: how many matches make an alert. Settled here, in packet order, because the hosts
//! that are counted may have flows on several workers.
//!
//! The table is bounded; when it is full, expired entries go first, then the oldest.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::packet::{FlowKey, Timestamp};
use crate::rules::{Threshold, ThresholdKind, ThresholdTrack};

/// Entries kept.
const ENTRIES_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Rule,
    Address(IpAddr),
    Pair(IpAddr, IpAddr),
    Flow(u64),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: Timestamp,
    count: u64,
    next: u64,
    seconds: u32,
}

/// Counts of all thresholds.
#[derive(Debug, Default)]
pub struct Thresholds {
    entries: HashMap<(u32, Whom), Entry, foldhash::quality::RandomState>,
    /// Entries that had to go before their time.
    pub evicted: u64,
}

impl Thresholds {
    /// Counts a match of signature `index` and says whether it is an alert.
    pub fn passes(
        &mut self,
        index: u32,
        threshold: &Threshold,
        key: &FlowKey,
        flow_id: u64,
        now: Timestamp,
    ) -> bool {
        let whom = match threshold.track {
            ThresholdTrack::Source => Whom::Address(key.src),
            ThresholdTrack::Destination => Whom::Address(key.dst),
            ThresholdTrack::Both => Whom::Pair(key.src, key.dst),
            ThresholdTrack::Rule => Whom::Rule,
            ThresholdTrack::Flow => Whom::Flow(flow_id),
        };
        if self.entries.len() >= ENTRIES_MAX && !self.entries.contains_key(&(index, whom)) {
            self.make_room(now);
        }
        let fresh = Entry {
            start: now,
            count: 0,
            next: u64::from(threshold.count),
            seconds: threshold.seconds,
        };
        let entry = self.entries.entry((index, whom)).or_insert(fresh);
        let window = u64::from(threshold.seconds) * 1_000_000_000;
        if threshold.kind != ThresholdKind::Backoff && now.since(entry.start) > window {
            *entry = fresh;
        }
        entry.count += 1;
        let limit = u64::from(threshold.count);
        match threshold.kind {
            ThresholdKind::Limit => entry.count <= limit,
            ThresholdKind::Threshold => {
                let reached = entry.count >= limit;
                if reached {
                    entry.count = 0;
                }
                reached
            }
            ThresholdKind::Both => entry.count == limit,
            ThresholdKind::DetectionFilter => entry.count > limit,
            ThresholdKind::Backoff => {
                let reached = entry.count == entry.next;
                if reached {
                    entry.next = entry
                        .next
                        .saturating_mul(u64::from(threshold.multiplier.max(1)));
                }
                reached
            }
        }
    }

    fn make_room(&mut self, now: Timestamp) {
        self.entries
            .retain(|_, e| now.secs_since(e.start) <= u64::from(e.seconds));
        if self.entries.len() >= ENTRIES_MAX {
            let mut starts: Vec<Timestamp> = self.entries.values().map(|e| e.start).collect();
            let middle = starts.len() / 2;
            let (_, &mut median, _) = starts.select_nth_unstable(middle);
            let before = self.entries.len();
            self.entries.retain(|_, e| e.start > median);
            self.evicted += (before - self.entries.len()) as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: ThresholdKind, count: u32, times: &[u64]) -> Vec<bool> {
        let threshold = Threshold {
            kind,
            track: ThresholdTrack::Source,
            count,
            seconds: 10,
            multiplier: 2,
            unique: None,
        };
        let mut table = Thresholds::default();
        times
            .iter()
            .map(|t| table.passes(1, &threshold, &FlowKey::default(), 0, Timestamp::new(*t, 0)))
            .collect()
    }

    #[test]
    fn each_kind_counts_as_the_rule_language_says() {
        assert_eq!(
            run(ThresholdKind::Limit, 2, &[0, 1, 2, 11, 12, 13]),
            [true, true, false, true, true, false]
        );
        assert_eq!(
            run(ThresholdKind::Threshold, 2, &[0, 1, 2, 3]),
            [false, true, false, true]
        );
        assert_eq!(
            run(ThresholdKind::Both, 2, &[0, 1, 2, 11, 12]),
            [false, true, false, false, true]
        );
        assert_eq!(
            run(ThresholdKind::DetectionFilter, 2, &[0, 1, 2, 3]),
            [false, false, true, true]
        );
        assert_eq!(
            run(ThresholdKind::Backoff, 1, &[0, 1, 2, 3]),
            [true, true, false, true]
        );
    }

    #[test]
    fn a_flood_of_sources_does_not_grow_the_table() {
        let threshold = Threshold {
            kind: ThresholdKind::Both,
            track: ThresholdTrack::Source,
            count: 5,
            seconds: 60,
            multiplier: 1,
            unique: None,
        };
        let mut table = Thresholds::default();
        for i in 0..200_000u32 {
            let key = FlowKey {
                src: IpAddr::from(i.to_be_bytes()),
                ..FlowKey::default()
            };
            table.passes(1, &threshold, &key, 0, Timestamp(u64::from(i)));
        }
        assert!(table.entries.len() <= ENTRIES_MAX);
    }
}
