//! `threshold`, `detection_filter`: how many matches make an alert, and from which match on a rule acts.
//!
//! *Alerts* are settled by the report stage, in packet order, because the hosts that are counted may have flows on
//! several workers. *Actions* (drop, reject) are settled by the worker that has the packet in hand, with what it counted
//! itself: a rule with `detection_filter` drops nothing before its count is exceeded. What a worker counts is never more
//! than what there is, so a worker never drops too early; with several workers and `track by_src` it may drop later.
//!
//! The table is bounded; when it is full, expired entries go first, then the oldest. Values that `unique_on` tells apart
//! are kept up to the count of the rule, [`VALUES_MAX`] in all.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::packet::{FlowKey, Timestamp};
use crate::rules::{Threshold, ThresholdKind, ThresholdTrack, UniqueOn};
use crate::stats::Memory;

/// Entries kept.
const ENTRIES_MAX: usize = 65_536;
/// Ports kept for `unique_on`, all entries together: 4 MiB.
const VALUES_MAX: usize = 2 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Rule,
    Address(IpAddr),
    Pair(IpAddr, IpAddr),
    Flow(u64),
}

#[derive(Clone, Debug)]
struct Entry {
    start: Timestamp,
    count: u64,
    next: u64,
    seconds: u32,
    /// Ports seen, sorted, for `unique_on`.
    values: Vec<u16>,
}

/// What a match means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passes {
    /// It makes an alert.
    pub alerts: bool,
    /// The rule's action applies (a `limit` is about alerts only: the drop goes on).
    pub acts: bool,
}

/// Counts of all thresholds.
#[derive(Debug, Default)]
pub struct Thresholds {
    entries: HashMap<((u32, u32), u16, Whom), Entry, crate::packet::Keyed>,
    /// Values in all entries.
    values: usize,
    /// Entries that had to go before their time.
    pub evicted: u64,
}

impl Thresholds {
    /// Counts a match of a signature (gid and sid, which outlive a reload) and says what it means. Each wire is counted
    /// apart: what passes two of them happened once.
    pub fn passes(
        &mut self,
        signature: (u32, u32),
        threshold: &Threshold,
        key: &FlowKey,
        flow_id: u64,
        now: Timestamp,
    ) -> Passes {
        let whom = match threshold.track {
            ThresholdTrack::Source => Whom::Address(key.src),
            ThresholdTrack::Destination => Whom::Address(key.dst),
            ThresholdTrack::Both => Whom::Pair(key.src, key.dst),
            ThresholdTrack::Rule => Whom::Rule,
            ThresholdTrack::Flow => Whom::Flow(flow_id),
        };
        let counted = (signature, key.wire, whom);
        if (self.entries.len() >= ENTRIES_MAX || self.values >= VALUES_MAX)
            && !self.entries.contains_key(&counted)
        {
            self.make_room(now);
        }
        let fresh = || Entry {
            start: now,
            count: 0,
            next: u64::from(threshold.count),
            seconds: threshold.seconds,
            values: Vec::new(),
        };
        let entry = self.entries.entry(counted).or_insert_with(fresh);
        let window = u64::from(threshold.seconds) * 1_000_000_000;
        if threshold.kind != ThresholdKind::Backoff && now.since(entry.start) > window {
            self.values -= entry.values.len().min(self.values);
            *entry = fresh();
        }
        let limit = u64::from(threshold.count);
        let port = match threshold.unique {
            None => None,
            Some(UniqueOn::SourcePort) => Some(key.sport),
            Some(UniqueOn::DestinationPort) => Some(key.dport),
        };
        match port {
            None => entry.count += 1,
            Some(port) => {
                // Beyond the count nothing depends on how many there are.
                if entry.count <= limit
                    && self.values < VALUES_MAX
                    && let Err(at) = entry.values.binary_search(&port)
                {
                    entry.values.insert(at, port);
                    self.values += 1;
                }
                entry.count = entry.values.len() as u64;
            }
        }
        let (alerts, acts) = match threshold.kind {
            ThresholdKind::Limit => (entry.count <= limit, true),
            ThresholdKind::Threshold => {
                let reached = entry.count >= limit;
                if reached {
                    entry.count = 0;
                }
                (reached, reached)
            }
            ThresholdKind::Both => (entry.count == limit, entry.count >= limit),
            ThresholdKind::DetectionFilter => (entry.count > limit, entry.count > limit),
            ThresholdKind::Backoff => {
                let reached = entry.count == entry.next;
                if reached {
                    entry.next = entry
                        .next
                        .saturating_mul(u64::from(threshold.multiplier.max(1)));
                }
                (reached, true)
            }
        };
        Passes { alerts, acts }
    }

    /// What all counts take.
    pub fn memory(&self) -> Memory {
        // A vector has room for up to twice its values.
        let values = |count: usize| count.saturating_mul(2 * size_of::<u16>()) as u64;
        Memory::of_map::<(((u32, u32), u16, Whom), Entry)>(self.entries.len(), ENTRIES_MAX)
            + Memory {
                bytes: values(VALUES_MAX),
                used: values(self.values),
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
        self.values = self.entries.values().map(|e| e.values.len()).sum();
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
            .map(|t| {
                let now = Timestamp::new(*t, 0);
                table
                    .passes((1, 1), &threshold, &FlowKey::default(), 0, now)
                    .alerts
            })
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
            table.passes((1, 1), &threshold, &key, 0, Timestamp(u64::from(i)));
        }
        assert!(table.entries.len() <= ENTRIES_MAX);
    }

    #[test]
    fn a_detection_filter_acts_after_its_count_and_a_limit_at_once() {
        let acts = |kind| {
            let threshold = Threshold {
                kind,
                track: ThresholdTrack::Source,
                count: 2,
                seconds: 10,
                multiplier: 1,
                unique: None,
            };
            let mut table = Thresholds::default();
            [0, 1, 2, 3].map(|t| {
                let now = Timestamp::new(t, 0);
                table
                    .passes((1, 1), &threshold, &FlowKey::default(), 0, now)
                    .acts
            })
        };
        assert_eq!(
            acts(ThresholdKind::DetectionFilter),
            [false, false, true, true]
        );
        assert_eq!(acts(ThresholdKind::Limit), [true; 4]);
        assert_eq!(acts(ThresholdKind::Both), [false, true, true, true]);
    }

    #[test]
    fn unique_on_counts_ports_not_packets() {
        let threshold = Threshold {
            kind: ThresholdKind::DetectionFilter,
            track: ThresholdTrack::Source,
            count: 3,
            seconds: 10,
            multiplier: 1,
            unique: Some(UniqueOn::DestinationPort),
        };
        let mut table = Thresholds::default();
        let mut port = |dport| {
            let key = FlowKey {
                dport,
                ..FlowKey::default()
            };
            table
                .passes((1, 1), &threshold, &key, 0, Timestamp::new(1, 0))
                .alerts
        };
        // A, B, A, B is two, however often.
        assert!(![1, 2, 1, 2, 1, 2].map(&mut port).contains(&true));
        assert_eq!([3, 4, 1].map(&mut port), [false, true, true]);
    }
}
