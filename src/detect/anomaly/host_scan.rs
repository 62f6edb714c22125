//! Sweeps for hosts (detectors.md D9): `host_scan` by ping, `arp_scan` by ARP.
//!
//! Per asker: distinct addresses asked for within a window. Pings count when they are not answered in at least half of
//! the cases; ARP requests count as they are, because a scan of a segment asks in seconds for more addresses than a host
//! has neighbours.
//! What is *not* a sweep: monitoring that gets its answers; announcements of one's own address.
//! TCP and UDP sweeps are `port_scan`'s. Memory: fixed, one record per asker.

use std::net::IpAddr;

use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use super::{ARP_SCAN, HOST_SCAN};
use crate::alert::Efficacy;
use crate::packet::Timestamp;

/// Settings of each of the two.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostScanSettings {
    /// Distinct addresses in the window.
    pub hosts_min: u32,
    /// The window, in seconds.
    pub window_secs: u32,
    /// Askers watched.
    pub sources: usize,
    /// Quiet seconds after which an incident closes.
    pub off_secs: u32,
}

impl HostScanSettings {
    /// Defaults: pings to 15 hosts in a minute; ARP for 30 addresses in 30 s (Slips has 5, detectors.md D9 10 of the
    /// unanswered: a router or a server with many clients asks for more).
    pub fn of(detector: u16) -> Self {
        let (hosts_min, window_secs) = if detector == ARP_SCAN {
            (30, 30)
        } else {
            (15, 60)
        };
        Self {
            hosts_min,
            window_secs,
            sources: 8_192,
            off_secs: 1_800,
        }
    }
}

impl Default for HostScanSettings {
    fn default() -> Self {
        Self::of(HOST_SCAN)
    }
}

#[derive(Clone, Debug, Default)]
struct Asker {
    since: Timestamp,
    hosts: Bitmap256,
    answered: Bitmap256,
    asked: u64,
    live: Live,
}

impl Entry for Asker {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.hosts.estimate()) << 44 | self.since.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// One of the two detectors.
#[derive(Debug)]
pub struct HostScan {
    detector: u16,
    settings: HostScanSettings,
    askers: Watch<IpAddr, Asker>,
}

plain_detector!(HostScan, ArpRequest | Opened | Established);

impl HostScan {
    /// Takes its memory.
    pub fn new(detector: u16, settings: HostScanSettings) -> Self {
        Self {
            detector,
            askers: Watch::new(detector, settings.sources),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.askers.bytes()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = record.key;
        let echo = matches!((key.proto, key.sport), (1, 8 | 13 | 17));
        let answer = match record.kind {
            RecordKind::ArpRequest if self.detector == ARP_SCAN => false,
            RecordKind::Opened if self.detector == HOST_SCAN && echo => false,
            RecordKind::Established if self.detector == HOST_SCAN && echo => true,
            _ => return,
        };
        let Some(asker) = self.askers.entry(key.src, Asker::default) else {
            return;
        };
        if record.ts.secs_since(asker.since) >= u64::from(self.settings.window_secs) {
            asker.since = record.ts;
            asker.hosts = Bitmap256::default();
            asker.answered = Bitmap256::default();
        }
        let host = endpoint_hash(key.dst, 0);
        if answer {
            asker.answered.insert(host);
            return;
        }
        asker.asked = asker.asked.saturating_add(1);
        asker.hosts.insert(host);
        let hosts = asker.hosts.estimate();
        if hosts < self.settings.hosts_min || asker.answered.estimate() * 2 > hosts {
            return;
        }
        let size = asker.asked;
        self.askers.alarm(
            key.src,
            record,
            (key, size),
            reports,
            Asker::default,
            |asker| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: false,
                evidence: evidence(|json| {
                    json.num("hosts_in_window", asker.hosts.estimate())
                        .num("answered", asker.answered.estimate())
                        .num("asked", asker.asked);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.askers
            .tick(now, self.settings.off_secs, reports, Asker::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(detector: u16, records: impl Iterator<Item = HostRecord>) -> Vec<Report> {
        let mut scan = HostScan::new(detector, HostScanSettings::of(detector));
        let mut reports = Vec::new();
        for record in records {
            scan.record(&record, &mut reports);
        }
        reports
    }

    fn ping(kind: RecordKind, dst: u32, ms: u64) -> HostRecord {
        let mut r = record(kind, 1, 1, dst, 0, ms);
        r.key.sport = 8;
        r
    }

    #[test]
    fn unanswered_pings_of_many_hosts_are_a_sweep() {
        let sweep = (0..100).map(|i| ping(RecordKind::Opened, i, u64::from(i) * 10));
        assert_eq!(run(HOST_SCAN, sweep).len(), 1);
    }

    #[test]
    fn monitoring_gets_its_answers_and_is_none() {
        let monitor = (0..100).flat_map(|i| {
            let at = u64::from(i) * 10;
            [
                ping(RecordKind::Opened, i, at),
                ping(RecordKind::Established, i, at),
            ]
        });
        assert!(run(HOST_SCAN, monitor).is_empty());
    }

    #[test]
    fn arp_for_a_whole_segment_is_a_scan_and_a_few_neighbours_are_not() {
        let ask = |n: u32, ms: u64| {
            (0..n).map(move |i| record(RecordKind::ArpRequest, 0, 1, i, 0, u64::from(i) * ms))
        };
        assert_eq!(run(ARP_SCAN, ask(254, 5)).len(), 1);
        assert!(run(ARP_SCAN, ask(12, 5)).is_empty());
        assert!(run(ARP_SCAN, ask(100, 5_000)).is_empty());
    }
}
