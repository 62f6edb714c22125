//! Session tables that fill up (detectors.md D4): connections of a service that are opened faster than they end, and
//! sources that hoard them; with the time until nothing is left.
//!
//! Per service the established connections are counted (half-open ones are [`super::syn_flood`]'s), their growth over the
//! last ten seconds, and from both the time to exhaustion: free / (opened − ended). Per (client, service) likewise.
//! The capacity is the configured one, or twice what was seen in use on an ordinary day, whichever is more.
//! Alarms: 70 %, 85 % and 95 % of the capacity; exhaustion within `exhaustion_secs` while growing steadily from half of it
//! on; one source over its limit. They close 10 points below.
//! What is *not* exhaustion: crowds whose connections end as they came; proxies (ten times a source's limit); many idle
//! connections that have been there every day (push, chat).
//! Memory: fixed, one record per service and one per client and service.

use std::net::IpAddr;

use super::SESSION_EXHAUSTION;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, HostRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionExhaustionSettings {
    /// Connections of one source to one service at a time. Default edge 1,000, DMZ 500, intranet 300 (detectors.md D4).
    pub per_source_max: ByRole<u32>,
    /// Connections that a service is taken to bear. Default edge 16,384, DMZ 4,096, intranet 4,096: what common servers are
    /// set to at most (nginx 512 to 1,024 a worker, Apache 400, somaxconn 4,096).
    pub capacity: ByRole<u32>,
    /// Seconds to exhaustion below which it is an alert. Default 60 (detectors.md D4).
    pub exhaustion_secs: u32,
    /// Services watched. Default 4,096.
    pub services: usize,
    /// Clients watched. Default 32,768.
    pub sources: usize,
    /// Quiet seconds after which an incident closes. Default 60 (detectors.md D4).
    pub off_secs: u32,
}

impl Default for SessionExhaustionSettings {
    fn default() -> Self {
        Self {
            per_source_max: ByRole::new(1_000, 500, 300),
            capacity: ByRole::new(16_384, 4_096, 4_096),
            exhaustion_secs: 60,
            services: 4_096,
            sources: 32_768,
            off_secs: 60,
        }
    }
}

/// Seconds over which growth is measured.
const SECS: usize = 10;
/// Of a source's limit: what a proxy may have.
const PROXY: u32 = 10;
const DAY: u64 = 86_400;

#[derive(Clone, Debug, Default)]
struct Service {
    open: u32,
    /// Opened less ended, by second.
    growth: [i32; SECS],
    second: u64,
    sources: Bitmap256,
    /// The most of this day and of the day before.
    peak: u32,
    peak_before: u32,
    day: u64,
    live: Live,
}

impl Entry for Service {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.open) << 32 | u64::from(self.peak)
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Service {
    fn roll(&mut self, now: Timestamp) {
        let second = now.secs();
        let steps = second.saturating_sub(self.second).min(SECS as u64);
        for _ in 0..steps {
            self.growth.rotate_left(1);
            self.growth[SECS - 1] = 0;
        }
        self.second = self.second.max(second);
        let day = second / DAY;
        if day > self.day {
            self.peak_before = if day == self.day + 1 { self.peak } else { 0 };
            self.peak = 0;
            self.day = day;
            self.sources = Bitmap256::default();
        }
    }

    fn add(&mut self, by: i32) {
        self.open = self.open.saturating_add_signed(by);
        self.growth[SECS - 1] = self.growth[SECS - 1].saturating_add(by);
    }

    /// Connections more per second, when they grew in nearly all of the last seconds.
    fn steady_growth(&self) -> Option<f64> {
        let rising = self.growth.iter().filter(|g| **g > 0).count();
        let sum: i64 = self.growth.iter().map(|g| i64::from(*g)).sum();
        (rising * 10 >= SECS * 8 && sum > 0).then(|| sum as f64 / SECS as f64)
    }
}

#[derive(Clone, Debug, Default)]
struct Source {
    open: u32,
    opened: u64,
    last: Timestamp,
    live: Live,
}

impl Entry for Source {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.open) << 36 | self.last.secs() & 0xf_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct SessionExhaustion {
    settings: SessionExhaustionSettings,
    services: Watch<(IpAddr, u16), Service>,
    sources: Watch<(IpAddr, IpAddr, u16), Source>,
}

impl SessionExhaustion {
    /// Takes its memory.
    pub fn new(settings: SessionExhaustionSettings) -> Self {
        Self {
            services: Watch::new(SESSION_EXHAUSTION, settings.services),
            sources: Watch::new(SESSION_EXHAUSTION, settings.sources),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        if key.proto != 6 {
            return;
        }
        let by = match record.kind {
            RecordKind::Established => 1,
            RecordKind::Ended => -1,
            _ => return,
        };
        let role = seen.place().role;
        let proxy = seen.places.has_role(key.src, HostRole::Proxy);
        self.source(record, by, (role, proxy), reports);
        self.service(record, by, role, reports);
    }

    fn source(
        &mut self,
        record: &HostRecord,
        by: i32,
        (role, proxy): (Role, bool),
        reports: &mut Vec<Report>,
    ) {
        let place = (record.key.src, record.key.dst, record.key.dport);
        let Some(source) = self.sources.entry(place, Source::default) else {
            return;
        };
        source.open = source.open.saturating_add_signed(by);
        source.last = record.ts;
        let limit = self.settings.per_source_max.of(role) * if proxy { PROXY } else { 1 };
        if by < 0 {
            if u64::from(source.open) * 10 >= u64::from(limit) * 9 {
                Watch::<(IpAddr, IpAddr, u16), Source>::keep(&mut source.live, record.ts);
            }
            return;
        }
        source.opened += 1;
        if source.open < limit {
            return;
        }
        let size = source.opened;
        self.sources.alarm(
            place,
            record,
            (record.key, size),
            reports,
            Source::default,
            |source| Says {
                confidence: 0.9,
                efficacy: Efficacy::Reached,
                reason: "the service accepts the connections",
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("view", "one source")
                        .num("connections", source.open)
                        .num("connections_max", limit)
                        .num("opened", source.opened)
                        .num("port", record.key.dport);
                }),
            },
        );
    }

    fn service(&mut self, record: &HostRecord, by: i32, role: Role, reports: &mut Vec<Report>) {
        let settings = &self.settings;
        let place = (record.key.dst, record.key.dport);
        let Some(service) = self.services.entry(place, Service::default) else {
            return;
        };
        service.roll(record.ts);
        service.add(by);
        service.sources.insert(endpoint_hash(record.key.src, 0));
        let usual = service.peak_before.saturating_mul(2);
        let capacity = settings.capacity.of(role).max(usual).max(1);
        let share = f64::from(service.open) / f64::from(capacity);
        if !service.live.open {
            // The baseline does not learn from an attack.
            service.peak = service.peak.max(service.open);
        }
        if by < 0 {
            if share >= 0.6 {
                Watch::<(IpAddr, u16), Service>::keep(&mut service.live, record.ts);
            }
            return;
        }
        let growth = service.steady_growth();
        let left = f64::from(capacity.saturating_sub(service.open));
        let secs_left = growth.map(|per_sec| left / per_sec.max(0.001));
        let soon =
            share >= 0.5 && secs_left.is_some_and(|s| s < f64::from(settings.exhaustion_secs));
        let severity = match share {
            s if s >= 0.85 => Severity::Critical,
            s if s >= 0.7 || soon => Severity::Major,
            _ => return,
        };
        let full = share >= 0.95;
        let size = u64::from(service.open);
        self.services.alarm_as(
            severity,
            place,
            record,
            (record.key, size),
            reports,
            Service::default,
            |service| Says {
                confidence: 0.9,
                efficacy: if full {
                    Efficacy::Likely
                } else {
                    Efficacy::Reached
                },
                reason: if full {
                    "hardly a connection is left for others"
                } else {
                    "the service accepts the connections"
                },
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("view", "one service")
                        .num("connections", service.open)
                        .num("capacity", capacity)
                        .num("percent", (share * 100.0) as u32)
                        .num("percent_min", 70)
                        .num("sources", service.sources.estimate());
                    json.float("growth_per_sec", growth.unwrap_or(0.0));
                    if let Some(secs) = secs_left {
                        json.num("secs_to_exhaustion", secs.min(86_400.0) as u32)
                            .num("secs_to_exhaustion_min", settings.exhaustion_secs);
                    }
                }),
            },
        );
    }
}

impl Detector for SessionExhaustion {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Established, RecordKind::Ended]
    }
    fn memory(&self) -> Memory {
        self.services.memory() + self.sources.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.session_exhaustion.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.services.tick(now, secs, reports, Service::default);
        self.sources.tick(now, secs, reports, Source::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{Declared, run_at, run_with};
    use super::super::live::tests::record;
    use super::*;

    fn open(src: u32, ms: u64) -> HostRecord {
        record(RecordKind::Established, 6, src, 1, 443, ms)
    }

    fn end(src: u32, ms: u64) -> HostRecord {
        record(RecordKind::Ended, 6, src, 1, 443, ms)
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut sessions = SessionExhaustion::new(SessionExhaustionSettings::default());
        run_with(&mut sessions, Role::Dmz, records)
    }

    fn says(report: &Report) -> String {
        String::from_utf8_lossy(&report.evidence).into_owned()
    }

    #[test]
    fn a_source_that_hoards_is_found_at_its_limit() {
        let reports = run((0..600).map(|i| open(1, i * 10)).collect());
        assert_eq!(reports.len(), 1);
        println!(
            "hoarding source: alert at connection {}",
            reports[0].number / 10 + 1
        );
        assert_eq!(reports[0].number / 10 + 1, 500);
        assert!(run((0..499).map(|i| open(1, i * 10)).collect()).is_empty());
    }

    #[test]
    fn exhaustion_is_forecast_before_it_happens_and_told_when_it_worsens() {
        // 100 sources, 100 connections a second, none ever ends: 4,096 are used up after 41 s.
        let reports = run((0..4_200u32)
            .map(|i| open(i % 100 + 1, u64::from(i) * 10))
            .collect());
        let first = &reports[0];
        println!(
            "exhaustion: forecast at {} ms, full at 40,960 ms: {}",
            first.number,
            says(first)
        );
        assert!(first.number < 25_000 && says(first).contains("secs_to_exhaustion"));
        assert!(reports.iter().any(|r| r.severity == Severity::Critical));
        assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
    }

    #[test]
    fn a_crowd_whose_connections_end_is_quiet() {
        let mut records = Vec::new();
        for i in 0..20_000u32 {
            records.push(open(i % 5_000 + 1, u64::from(i) * 5));
            if i >= 500 {
                records.push(end((i - 500) % 5_000 + 1, u64::from(i) * 5));
            }
        }
        assert!(run(records).is_empty());
    }

    #[test]
    fn what_is_usual_every_day_is_the_measure() {
        // A push service holds 2,700 idle connections every day.
        let mut records: Vec<_> = (0..2_700u32)
            .map(|i| open(i, u64::from(i) * 1_000))
            .collect();
        let day = 86_400_000;
        records.push(end(1, day));
        records.push(open(1, day + 1));
        records.extend((0..600u32).map(|i| open(10_000 + i, day + 1_000 + u64::from(i) * 1_000)));
        assert!(run(records).is_empty());
    }

    #[test]
    fn a_proxy_may_have_ten_times_as_many() {
        let mut sessions = SessionExhaustion::new(SessionExhaustionSettings::default());
        let declared = Declared {
            role: Role::Dmz,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Proxy,
        };
        let records = (0..2_000).map(|i| open(1, i * 100)).collect();
        assert!(run_at(&mut sessions, &declared, records).is_empty());
    }

    #[test]
    fn random_sources_take_no_more_memory_and_do_not_hide_a_hoarder() {
        let mut sessions = SessionExhaustion::new(SessionExhaustionSettings {
            sources: 256,
            services: 64,
            ..SessionExhaustionSettings::default()
        });
        let bytes = Detector::memory(&sessions).bytes;
        let mut records = Vec::new();
        for i in 0..60_000u32 {
            let mut one = open(1_000 + i, u64::from(i));
            one.key.dst = one.key.src;
            records.push(one);
            if i % 100 == 0 {
                records.push(open(1, u64::from(i)));
            }
        }
        let reports = run_with(&mut sessions, Role::Dmz, records);
        assert_eq!(Detector::memory(&sessions).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
