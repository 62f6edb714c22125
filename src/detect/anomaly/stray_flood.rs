//! Floods of TCP segments that belong to no connection: ACK, PSH, FIN, Xmas, NULL (detectors.md §2, D1 and D2), told as
//! `tcp_flood`.
//!
//! Per destination and second. Either there are more of them than the floor of the role; or there are many and nearly each
//! has a source of its own, as invented ones do.
//! What is *not* one: connections that began before the capture did (each goes on with several segments, and is known by its
//! source), a scan (one source, a segment for each port).
//! Memory: fixed, one record per destination.

use std::net::IpAddr;

use super::TCP_FLOOD;
use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, Role};
use super::record::HostRecord;
use super::table::Bitmap256;
use crate::alert::Efficacy;
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct StrayFloodSettings {
    /// Segments a second, whatever their sources. Default edge 5,000, DMZ 1,000, intranet 500: five times the floors of
    /// `syn_flood` (detectors.md D1), because no service keeps anything for them.
    pub stray_per_sec: ByRole<u32>,
    /// Segments within a second that are a flood when nearly each has a source of its own. Default 200 (D1, DMZ).
    pub stray_sources_min: u32,
    /// Destinations watched. Default 4,096.
    pub targets: usize,
    /// Quiet seconds after which an incident closes. Default 60.
    pub off_secs: u32,
}

impl Default for StrayFloodSettings {
    fn default() -> Self {
        Self {
            stray_per_sec: ByRole::new(5_000, 1_000, 500),
            stray_sources_min: 200,
            targets: 4_096,
            off_secs: 60,
        }
    }
}

/// Up to so many sources are told apart.
const TOLD_APART: u32 = 300;
/// Percent of the segments that have a source of their own in a flood of invented ones.
const OWN_PERCENT: u32 = 80;
const SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug, Default)]
struct Target {
    since: Timestamp,
    segments: u32,
    /// Sources of the first segments of the second.
    sources: Bitmap256,
    of_first: u32,
    /// Ports that they go to, to tell a scan.
    ports: Bitmap256,
    total: u64,
    live: Live,
}

impl Entry for Target {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.total
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct StrayFlood {
    settings: StrayFloodSettings,
    targets: Watch<IpAddr, Target>,
}

plain_detector!(
    StrayFlood,
    by role,
    |_, all| all.stray_flood.clone(),
    Stray
);

impl StrayFlood {
    /// Takes its memory.
    pub fn new(settings: StrayFloodSettings) -> Self {
        Self {
            targets: Watch::new(TCP_FLOOD, settings.targets),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.targets.memory()
    }

    fn record(&mut self, record: &HostRecord, role: &dyn Fn() -> Role, reports: &mut Vec<Report>) {
        let key = record.key;
        let Some(target) = self.targets.entry(key.dst, Target::default) else {
            return;
        };
        let ran = record
            .ts
            .since(target.since)
            .max(target.since.since(record.ts));
        if ran >= SECOND {
            target.since = record.ts;
            (target.segments, target.of_first) = (0, 0);
            (target.sources, target.ports) = Default::default();
        }
        target.segments = target.segments.saturating_add(1);
        target.total = target.total.saturating_add(1);
        if target.of_first < TOLD_APART {
            target.of_first += 1;
            target.sources.insert(endpoint_hash(key.src, 0));
            target
                .ports
                .insert(endpoint_hash(IpAddr::from([0; 4]), key.dport));
        }
        let s = &self.settings;
        let sources = target.sources.estimate();
        let invented = target.segments >= s.stray_sources_min
            && sources * 100 >= target.of_first * OWN_PERCENT;
        let floor = s.stray_per_sec;
        let least = floor.edge.min(floor.dmz).min(floor.intranet);
        // A segment to each port in turn is a scan, however fast.
        let scan = target.ports.estimate() * 2 > target.of_first && sources <= 4;
        let fast = target.segments >= least && target.segments >= floor.of(role());
        if !invented && !fast || scan {
            return;
        }
        let size = target.total;
        let who = if sources > 4 {
            FlowKey {
                src: nobody(key.src),
                sport: 0,
                ..key
            }
        } else {
            key
        };
        self.targets.alarm(
            key.dst,
            record,
            (who, size),
            reports,
            Target::default,
            |target| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: false,
                evidence: evidence(|json| {
                    json.str("segments", "of no connection")
                        .num("in_a_second", target.segments)
                        .num("sources", sources)
                        .num("flags", record.detail)
                        .num("packets", target.total);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.targets.tick(now, secs, reports, Target::default);
    }
}

fn nobody(like: IpAddr) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::record::RecordKind;
    use super::*;

    fn strays(count: u64, per_sec: u64, sources: u32, ports: u16) -> Vec<HostRecord> {
        (0..count)
            .map(|i| {
                let source = (i as u32).wrapping_mul(0x9e37_79b9) % sources;
                let port = 80 + (i as u16) % ports;
                let mut one = record(RecordKind::Stray, 6, source, 1, port, 0);
                one.ts = one.ts.plus_nanos(i * SECOND / per_sec);
                one.detail = 0x10;
                one
            })
            .collect()
    }

    fn run(role: Role, records: Vec<HostRecord>) -> usize {
        let mut flood = StrayFlood::new(StrayFloodSettings::default());
        let reports = run_with(&mut flood, role, records);
        reports.iter().filter(|r| r.state == "open").count()
    }

    #[test]
    fn floods_of_invented_sources_and_of_one_are_found() {
        assert_eq!(run(Role::Dmz, strays(1_000, 400, 1 << 23, 1)), 1);
        assert_eq!(run(Role::Dmz, strays(3_000, 1_500, 1, 1)), 1);
        assert_eq!(run(Role::Edge, strays(3_000, 1_500, 1, 1)), 0);
    }

    #[test]
    fn connections_that_began_before_the_capture_and_scans_are_none() {
        // Forty users with ten segments each.
        assert_eq!(run(Role::Dmz, strays(400, 800, 40, 1)), 0);
        // An ACK scan at full speed.
        assert_eq!(run(Role::Dmz, strays(5_000, 5_000, 1, 60_000)), 0);
        // A few a second, for long.
        assert_eq!(run(Role::Dmz, strays(6_000, 100, 1 << 23, 1)), 0);
    }

    #[test]
    fn random_targets_take_no_more_memory() {
        let mut flood = StrayFlood::new(StrayFloodSettings::default());
        let before = flood.memory().bytes;
        let mut records = strays(100_000, 100_000, 1 << 20, 9);
        for (i, r) in records.iter_mut().enumerate() {
            r.key.dst = IpAddr::from((i as u32 * 7_919).to_be_bytes());
        }
        run_with(&mut flood, Role::Dmz, records);
        assert_eq!(flood.memory().bytes, before);
    }
}
