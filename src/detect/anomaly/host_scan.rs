//! Sweeps for hosts (detectors.md D9): `host_scan` by ping, `arp_scan` by ARP.
//!
//! Per asker: distinct addresses asked for within a window. Pings count when they are not answered in at least half of
//! the cases; ARP requests count as they are, because a scan of a segment asks in seconds for more addresses than a host
//! has neighbours. A slow ARP sweep shows by its order: one address after the other.
//! What is *not* a sweep: monitoring that gets its answers; announcements of one's own address; a router that speaks for
//! several of its addresses with one hardware address and looks for hosts that somebody outside scans.
//! TCP and UDP sweeps are `port_scan`'s. Memory: fixed, one record per asker and one per hardware address.

use std::net::IpAddr;

use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use super::{ARP_SCAN, HOST_SCAN};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings of each of the two.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct HostScanSettings {
    /// Distinct addresses in the window.
    pub hosts_min: u32,
    /// Addresses asked for in ascending order, without a gap, that are a sweep however slow.
    pub in_order_min: u32,
    /// The window, in seconds.
    pub window_secs: u32,
    /// Askers watched.
    pub sources: usize,
    /// Quiet seconds after which an incident closes.
    pub off_secs: u32,
}

impl HostScanSettings {
    /// Defaults: pings to 15 hosts in a minute; ARP for 30 addresses in 30 s (Slips has 5, detectors.md D9 10 of the
    /// unanswered: a router or a server with many clients asks for more), or for 20 in order.
    pub fn of(detector: u16) -> Self {
        let (hosts_min, in_order_min, window_secs) = if detector == ARP_SCAN {
            (30, 20, 30)
        } else {
            (15, u32::MAX, 60)
        };
        Self {
            hosts_min,
            in_order_min,
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

/// Seconds between two addresses of a slow sweep, at most.
const STEP_SECS: u64 = 60;
/// Addresses that one hardware address speaks for, from which it is a router.
const ROUTER_ADDRESSES: u32 = 3;

/// The addresses that a hardware address speaks for.
#[derive(Clone, Debug, Default)]
struct Speaker {
    addresses: Bitmap256,
    last: Timestamp,
}

impl Worth for Speaker {
    fn worth(&self) -> u64 {
        self.last.secs()
    }
}

#[derive(Clone, Debug, Default)]
struct Asker {
    since: Timestamp,
    hosts: Bitmap256,
    answered: Bitmap256,
    asked: u64,
    /// The last address asked for, and how many before it were each one below the next.
    at: u32,
    in_order: u32,
    last: Timestamp,
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

impl Asker {
    /// Goes on to an address: the next one, the same again, or somewhere else.
    fn step(&mut self, address: u32, now: Timestamp) {
        let late = now.secs_since(self.last) > STEP_SECS;
        self.last = self.last.max(now);
        if late || !(address == self.at || address == self.at.wrapping_add(1)) {
            self.in_order = 0;
        } else if address != self.at {
            self.in_order += 1;
        }
        self.at = address;
    }
}

/// One of the two detectors.
#[derive(Debug)]
pub struct HostScan {
    detector: u16,
    settings: HostScanSettings,
    askers: Watch<IpAddr, Asker>,
    speakers: SetTable<u64, Speaker>,
}

plain_detector!(
    HostScan,
    |scan, all| match scan.detector {
        ARP_SCAN => all.arp_scan.clone(),
        _ => all.host_scan.clone(),
    },
    ArpRequest | Opened | Established,
    |scan, (kind, proto)| {
        let asks = (scan.detector == ARP_SCAN) == (kind == RecordKind::ArpRequest);
        asks && !matches!(proto, 6 | 17)
    }
);

impl HostScan {
    /// Takes its memory.
    pub fn new(detector: u16, settings: HostScanSettings) -> Self {
        Self {
            detector,
            askers: Watch::new(detector, settings.sources),
            speakers: SetTable::new(if detector == ARP_SCAN { 4_096 } else { 8 }),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.askers.memory() + self.speakers.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = record.key;
        let echo = matches!((key.proto, key.sport), (1, 8 | 13 | 17) | (58, 128));
        let answer = match record.kind {
            RecordKind::ArpRequest if self.detector == ARP_SCAN => false,
            RecordKind::Opened if self.detector == HOST_SCAN && echo => false,
            RecordKind::Established if self.detector == HOST_SCAN && echo => true,
            _ => return,
        };
        let limits = &self.settings;
        let router = record.kind == RecordKind::ArpRequest
            && self
                .speakers
                .entry(record.value, Speaker::default)
                .is_some_and(|speaker| {
                    speaker.last = speaker.last.max(record.ts);
                    speaker.addresses.insert(endpoint_hash(key.src, 0));
                    speaker.addresses.estimate() >= ROUTER_ADDRESSES
                });
        let Some(asker) = self.askers.entry(key.src, Asker::default) else {
            return;
        };
        if record
            .ts
            .is_outside(asker.since, u64::from(limits.window_secs))
        {
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
        if let IpAddr::V4(address) = key.dst {
            asker.step(address.to_bits(), record.ts);
        }
        let hosts = asker.hosts.estimate();
        let many = hosts >= limits.hosts_min && asker.answered.estimate() * 2 <= hosts;
        if router || !(many || asker.in_order >= limits.in_order_min) {
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
                        .num("in_order", asker.in_order)
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
    fn pings_of_ipv6_count_and_neighbour_solicitations_do_not() {
        let of = |kind: u16| {
            (0..100).map(move |i| {
                let mut r = record(RecordKind::Opened, 58, 1, i, 0, u64::from(i) * 10);
                r.key.sport = kind;
                r
            })
        };
        assert_eq!(run(HOST_SCAN, of(128)).len(), 1);
        assert!(run(HOST_SCAN, of(135)).is_empty());
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
        let opened = run(ARP_SCAN, ask(254, 5));
        assert_eq!(opened.iter().filter(|r| r.state == "open").count(), 1);
        assert!(run(ARP_SCAN, ask(12, 5)).is_empty());
        let scattered = (0..100u32).map(|i| {
            record(
                RecordKind::ArpRequest,
                0,
                1,
                i * 97 % 251,
                0,
                u64::from(i) * 5_000,
            )
        });
        assert!(run(ARP_SCAN, scattered).is_empty());
    }

    #[test]
    fn a_slow_sweep_shows_by_its_order() {
        let sweep = (0..60u32).map(|i| {
            record(
                RecordKind::ArpRequest,
                0,
                1,
                i / 3 + 2,
                0,
                u64::from(i) * 1_000,
            )
        });
        assert!(run(ARP_SCAN, sweep).is_empty());
        let sweep = (0..90u32).map(|i| {
            record(
                RecordKind::ArpRequest,
                0,
                1,
                i / 3 + 2,
                0,
                u64::from(i) * 1_000,
            )
        });
        let reports = run(ARP_SCAN, sweep);
        assert_eq!(reports.len(), 1);
        println!(
            "slow ARP sweep, one address in 3 s: found after {} s, 21 addresses",
            reports[0].number / 1_000
        );
    }

    #[test]
    fn a_router_with_several_addresses_is_none() {
        let storm = |macs: u64| {
            run(
                ARP_SCAN,
                (0..400u32).map(move |i| HostRecord {
                    value: u64::from(i % 4) % macs,
                    ..record(
                        RecordKind::ArpRequest,
                        0,
                        i % 4,
                        10 + i,
                        0,
                        u64::from(i) * 60,
                    )
                }),
            )
            .len()
        };
        assert_eq!(storm(1), 0);
        assert_eq!(storm(4), 4);
    }
}
