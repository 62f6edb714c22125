//! Incidents as detectors keep them: opened once, updated at ten times the size, closed after a quiet time.

use std::hash::Hash;

use super::engine::{Report, incident};
use super::record::HostRecord;
use super::table::{SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Incidents that are open at a time, per detector.
const OPEN_MAX: usize = 1024;

/// The incident of one entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// Whether it is open.
    pub open: bool,
    since: Timestamp,
    last: Timestamp,
    next: u64,
    worst: Severity,
    key: FlowKey,
    interface: u16,
    /// The source proved to be who it says, and whether that was told.
    proven: bool,
    told_proven: bool,
}

impl Live {
    /// The flow that an open incident was named after.
    pub fn flow(&self) -> Option<FlowKey> {
        self.open.then_some(self.key)
    }

    /// The source of the entry is who it says. What may be done about it hangs on that: an open incident that said
    /// otherwise is updated when the behaviour shows next.
    pub fn prove(&mut self) {
        self.proven = true;
    }

    /// Whether the source is known to be who it says.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// The state to report when the behaviour shows at `size` (what grows with the incident), if there is one to report.
    fn step(&mut self, record: &HostRecord, size: u64, severity: Severity) -> Option<&'static str> {
        self.last = self.last.max(record.ts);
        if !self.open {
            *self = Self {
                open: true,
                since: record.ts,
                last: record.ts,
                next: size.saturating_mul(10),
                worst: severity,
                key: record.key,
                interface: record.interface,
                proven: self.proven,
                told_proven: self.proven,
            };
            return Some("open");
        }
        // What has got worse is told at once.
        let news = self.proven && !self.told_proven;
        self.told_proven = self.proven;
        if size >= self.next || severity > self.worst {
            self.next = size.saturating_mul(10);
        } else if !news {
            return None;
        }
        self.worst = self.worst.max(severity);
        Some("update")
    }
}

/// What a detector keeps per key.
pub trait Entry {
    /// Its incident.
    fn live(&mut self) -> &mut Live;
    /// How much it is worth keeping, apart from an open incident.
    fn weight(&self) -> u64;
    /// Whether an incident is open.
    fn is_open(&self) -> bool;
    /// See [`Report::subject`].
    fn subject(&self) -> u64 {
        0
    }
}

impl<T: Entry> Worth for T {
    fn worth(&self) -> u64 {
        u64::from(self.is_open()) << 62 | (self.weight() & ((1 << 62) - 1))
    }
}

/// What an alert says beyond who and when.
#[derive(Debug)]
pub struct Says {
    /// 0..=1.
    pub confidence: f32,
    /// Whether it worked.
    pub efficacy: Efficacy,
    /// Why.
    pub reason: &'static str,
    /// Whether the source may be trusted.
    pub source_verified: bool,
    /// Members of the evidence object.
    pub evidence: Vec<u8>,
}

/// Entries by key, with the incidents among them. Fixed memory.
#[derive(Debug)]
pub struct Watch<K, V> {
    detector: u16,
    table: SetTable<K, V>,
    open: Vec<K>,
}

impl<K: Eq + Hash + Copy, V: Entry> Watch<K, V> {
    /// Room for so many entries of a detector.
    pub fn new(detector: u16, capacity: usize) -> Self {
        Self {
            detector,
            table: SetTable::new(capacity),
            open: Vec::with_capacity(OPEN_MAX),
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.table.memory() + Memory::whole((OPEN_MAX * size_of::<K>()) as u64)
    }

    /// The entry of a key.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        self.table.entry(key, new)
    }

    /// The entry of a key that is watched already.
    pub fn get(&mut self, key: &K) -> Option<&mut V> {
        self.table.get_mut(key)
    }

    /// The behaviour shows in the entry of `key`: opens or updates its incident. `who` is the flow to name.
    pub fn alarm(
        &mut self,
        key: K,
        record: &HostRecord,
        (who, size): (FlowKey, u64),
        reports: &mut Vec<Report>,
        new: impl FnOnce() -> V,
        says: impl FnOnce(&V) -> Says,
    ) {
        self.alarm_as(
            Severity::Major,
            key,
            record,
            (who, size),
            reports,
            new,
            says,
        );
    }

    /// The same, for a behaviour that is better or worse than most of its kind.
    #[expect(clippy::too_many_arguments, reason = "alarm with one more word")]
    pub fn alarm_as(
        &mut self,
        severity: Severity,
        key: K,
        record: &HostRecord,
        (who, size): (FlowKey, u64),
        reports: &mut Vec<Report>,
        new: impl FnOnce() -> V,
        says: impl FnOnce(&V) -> Says,
    ) {
        let detector = self.detector;
        let Some(entry) = self.table.entry(key, new) else {
            return;
        };
        if !entry.live().open && self.open.len() >= OPEN_MAX {
            return;
        }
        let named = HostRecord {
            key: who,
            ..*record
        };
        let Some(state) = entry.live().step(&named, size, severity) else {
            return;
        };
        let says = says(entry);
        let (live, subject) = (*entry.live(), entry.subject());
        if state == "open" {
            self.open.push(key);
        }
        reports.push(Report {
            detector,
            state,
            number: record.number,
            ts: record.ts,
            key: who,
            interface: record.interface,
            confidence: says.confidence,
            efficacy: says.efficacy,
            reason: says.reason,
            severity,
            source_verified: says.source_verified,
            incident: incident(detector, who.src, who.dport, live.since) ^ subject,
            subject,
            evidence: says.evidence,
        });
    }

    /// The behaviour goes on below what would open an incident: an open one stays open (hysteresis).
    pub fn keep(live: &mut Live, now: Timestamp) {
        if live.open {
            live.last = live.last.max(now);
        }
    }

    /// Closes incidents that were quiet for `quiet` seconds.
    pub fn tick(
        &mut self,
        now: Timestamp,
        quiet: u32,
        reports: &mut Vec<Report>,
        new: impl Fn() -> V,
    ) {
        let (detector, table) = (self.detector, &mut self.table);
        self.open.retain(|key| {
            let Some(entry) = table.entry(*key, &new) else {
                return false;
            };
            let subject = entry.subject();
            let live = entry.live();
            if live.open && now.secs_since(live.last) >= u64::from(quiet) {
                live.open = false;
                reports.push(Report {
                    detector,
                    state: "close",
                    number: 0,
                    ts: now,
                    key: live.key,
                    interface: live.interface,
                    confidence: 0.9,
                    efficacy: Efficacy::Unknown,
                    reason: "",
                    severity: Severity::Informational,
                    source_verified: false,
                    incident: incident(detector, live.key.src, live.key.dport, live.since)
                        ^ subject,
                    subject,
                    evidence: Vec::new(),
                });
            }
            entry.live().open
        });
    }
}

/// A count that forgets: halves every `half_life` seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fading {
    value: f64,
    at: Timestamp,
}

impl Fading {
    /// Adds to it at `now` and says what it is.
    pub fn add(&mut self, amount: f64, now: Timestamp, half_life: u32) -> f64 {
        let passed = now.0.saturating_sub(self.at.0) as f64 / 1e9;
        if passed > 0.0 {
            self.value *= 0.5f64.powf(passed / f64::from(half_life.max(1)));
            self.at = now;
        }
        self.value += amount;
        self.value
    }

    /// Takes back what was added lately.
    pub fn take_back(&mut self, amount: f64) {
        self.value = (self.value - amount).max(0.0);
    }

    /// What it was when last added to.
    pub fn value(&self) -> f64 {
        self.value
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::record::RecordKind;
    use super::*;
    use std::net::IpAddr;

    /// A record for tests of detectors: from 10.0.0.`src` to 192.0.2.`dst`, `ms` after the start.
    pub fn record(
        kind: RecordKind,
        proto: u8,
        src: u32,
        dst: u32,
        dport: u16,
        ms: u64,
    ) -> HostRecord {
        HostRecord {
            number: ms,
            order: 0,
            ts: Timestamp(1_000_000_000_000 + ms * 1_000_000),
            key: FlowKey {
                src: IpAddr::from((10 << 24 | src).to_be_bytes()),
                dst: IpAddr::from((0xc000_0200 + dst).to_be_bytes()),
                sport: 40_000,
                dport,
                proto,
                ..FlowKey::default()
            },
            interface: 0,
            kind,
            detail: 0,
            value: 0,
            flow_id: ms,
        }
    }

    #[test]
    fn a_fading_count_halves_in_its_half_life() {
        let mut count = Fading::default();
        count.add(100.0, Timestamp(1_000_000_000), 10);
        let left = count.add(0.0, Timestamp(11_000_000_000), 10);
        assert!((left - 50.0).abs() < 0.01, "{left}");
    }
}
