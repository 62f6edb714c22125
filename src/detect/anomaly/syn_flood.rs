//! SYN floods (detectors.md D1): a ratio CUSUM over the handshakes towards each service.
//!
//! Per (server, port) and bin of 250 ms: `s` SYNs, of which `x` were not completed by the client. With the learned share
//! `p` of incomplete handshakes, `z = (x − (1.5 p + 0.02) s − 0.5) / sqrt(max(3 s p, 1))` and `g = max(0, g + min(z, 20) − 0.5)`;
//! alarm when `g > 12` and the incomplete SYNs of the last second are over the floor. Not the rate of SYNs, but the ratio
//! of incompletion decides: a flash crowd completes its handshakes.
//! A destination as a whole is watched the same way, for floods that spray ports, and then many sources are required,
//! because one source that sprays ports is a scan.
//!
//! A flood that forges sources and sprays destinations shows in neither; the segment as a whole is watched for it: in one
//! bin, SYNs from as many sources to as many hosts as there are SYNs, hardly one of which is answered.
//!
//! What is *not* a flood: SYNs that are refused (RST) leave no half-open session (unless nearly every SYN has a source of
//! its own, which only forged ones have); a handshake that the client itself breaks off counts as incomplete. A server that answers nothing to nobody
//! (no SYN-ACK, few sources, retries) is trouble of the device.
//! Memory: fixed, one record per service.

use std::net::IpAddr;

use super::SYN_FLOOD;
use super::engine::{Report, evidence, incident};
use super::hops::{Fit, Hops};
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SynFloodSettings {
    /// Incomplete SYNs per second towards one destination below which there is never an alarm.
    /// Default edge 1,000, DMZ 200, intranet 50 (detectors.md D1).
    pub floor_per_sec: ByRole<u32>,
    /// Distinct services and destinations watched.
    pub services: usize,
    /// Quiet seconds after which an incident closes.
    pub off_secs: u32,
}

impl Default for SynFloodSettings {
    fn default() -> Self {
        Self {
            floor_per_sec: ByRole::new(1_000, 200, 50),
            services: 16_384,
            off_secs: 60,
        }
    }
}

/// Length of a bin, in nanoseconds.
const BIN: u64 = 250_000_000;
/// Bins of the sliding second.
const BINS: usize = 4;
/// Alarm threshold of `g`.
const ALARM: f64 = 12.0;
/// SYNs between two looks at a service.
const LOOK: u64 = 16;
/// Distinct sources without which a spray over ports is a scan, not a flood.
const SPRAY_SOURCES: u32 = 50;
/// Of so many SYNs to a service the distance of one is judged; the bound of packets for which it is worth saying.
const SAMPLE: u64 = 16;
const JUDGED_MIN: u32 = 8;

#[derive(Clone, Debug)]
struct Service {
    bin: u64,
    syns: [u32; BINS],
    /// Handshakes that clients completed.
    done: [u32; BINS],
    /// SYNs that were refused.
    refused: [u32; BINS],
    g: f64,
    share: f64,
    sources: Bitmap256,
    ttls: Bitmap256,
    /// SYNs of networks whose distance is known, one in [`SAMPLE`], and those that came from another.
    judged: u32,
    contradict: u32,
    retries: u32,
    /// It refused somebody: both directions are seen.
    refuses: bool,
    syn_acks: u32,
    total: u64,
    since: Timestamp,
    last_alarm: Timestamp,
    open: bool,
    next_update: u64,
    interface: u16,
    number: u64,
}

impl Worth for Service {
    fn worth(&self) -> u64 {
        // Open incidents stay; then what has been seen most.
        u64::from(self.open) << 40 | self.total.min(1 << 39)
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct SynFlood {
    settings: SynFloodSettings,
    /// Port 0 stands for the destination as a whole.
    services: SetTable<(IpAddr, u16), Service>,
    open: Vec<(IpAddr, u16)>,
    spray: Spray,
    hops: Hops,
}

/// SYNs of one bin over a whole segment.
#[derive(Debug, Default)]
struct Spray {
    bin: u64,
    syns: u32,
    answered: u32,
    sources: Bitmap256,
    hosts: Bitmap256,
    total: u64,
    since: Timestamp,
    last: Timestamp,
    open: bool,
}

impl Spray {
    /// Takes a record; whether it opens an incident.
    fn record(&mut self, record: &HostRecord, floor_per_sec: impl Fn() -> u32) -> bool {
        let bin = record.ts.0 / BIN;
        if bin > self.bin {
            *self = Self {
                bin,
                total: self.total,
                since: self.since,
                last: self.last,
                open: self.open,
                ..Self::default()
            };
        }
        if record.kind != RecordKind::Opened {
            self.answered += 1;
            return false;
        }
        self.syns += 1;
        let hash = |address| super::engine::endpoint_hash(address, 0);
        self.sources.insert(hash(record.key.src));
        self.hosts.insert(hash(record.key.dst));
        if self.syns < SPRAY_SOURCES || self.answered * 20 > self.syns {
            return false;
        }
        // The bitmaps tell up to some hundreds apart.
        let unique = self.syns.min(300) * 8 / 10;
        if self.hosts.estimate() < unique || self.sources.estimate() < unique {
            return false;
        }
        if self.syns < floor_per_sec() / BINS as u32 {
            return false;
        }
        self.total = self.total.saturating_add(u64::from(self.syns));
        self.last = record.ts;
        let opens = !self.open;
        if opens {
            self.open = true;
            self.since = record.ts;
        }
        opens
    }

    fn report(&self, state: &'static str, record: Option<&HostRecord>, now: Timestamp) -> Report {
        let evidence = evidence(|json| {
            json.num("syns_in_250ms", self.syns)
                .num("sources", self.sources.estimate())
                .num("hosts", self.hosts.estimate())
                .num("answered", self.answered)
                .bool("sources_look_spoofed", true);
        });
        Report {
            detector: SYN_FLOOD,
            state,
            number: record.map_or(0, |r| r.number),
            ts: now,
            key: FlowKey {
                proto: 6,
                ..FlowKey::default()
            },
            interface: record.map_or(0, |r| r.interface),
            confidence: 0.85,
            efficacy: Efficacy::Unknown,
            reason: "",
            source_verified: false,
            severity: Severity::Major,
            incident: incident(SYN_FLOOD, FlowKey::default().dst, 0, self.since),

            subject: 0,
            evidence,
        }
    }
}

impl SynFlood {
    /// Takes its memory.
    pub fn new(settings: SynFloodSettings) -> Self {
        Self {
            services: SetTable::new(settings.services),
            settings,
            open: Vec::new(),
            spray: Spray::default(),
            hops: Hops::default(),
        }
    }

    /// Goes on with other thresholds.
    pub fn tune(&mut self, settings: &SynFloodSettings) {
        self.settings = settings.clone();
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.services.memory() + self.hops.memory()
    }

    /// Whether the client of a record came from as far as its network's handshakes did.
    pub fn distance(&self, record: &HostRecord) -> Fit {
        self.hops.judge(record.key.src, record.client_ttl())
    }

    /// Whether a service is being flooded: failures towards it are then nobody's scan.
    pub fn is_flooded(&self, address: IpAddr, port: u16) -> bool {
        !self.open.is_empty()
            && (self.open.contains(&(address, port)) || self.open.contains(&(address, 0)))
    }

    /// Takes one record.
    pub fn record(
        &mut self,
        record: &HostRecord,
        role: &dyn Fn() -> Role,
        reports: &mut Vec<Report>,
    ) {
        if record.key.proto != 6 {
            return;
        }
        let counts = matches!(
            record.kind,
            RecordKind::Opened
                | RecordKind::Established
                | RecordKind::Refused
                | RecordKind::SynRetry
                | RecordKind::SynAck
                | RecordKind::HalfView
        );
        // Broken off by the client after the answer of the server: nobody waits, nobody was refused.
        let aborted = record.is_aborted();
        if !counts || aborted {
            return;
        }
        if matches!(
            record.kind,
            RecordKind::Opened | RecordKind::SynAck | RecordKind::Refused
        ) && self
            .spray
            .record(record, || self.settings.floor_per_sec.of(role()))
        {
            reports.push(self.spray.report("open", Some(record), record.ts));
        }
        if record.kind == RecordKind::Established {
            self.hops.learn(record);
        }
        for port in [record.key.dport, 0] {
            let fresh = || Service::new(record);
            let Some(service) = self.services.entry((record.key.dst, port), fresh) else {
                continue;
            };
            service.roll(record.ts);
            service.number = record.number;
            match record.kind {
                RecordKind::Opened => {
                    service.syn(record);
                    // A table of networks is a miss of the cache for each forged source: a few say enough.
                    if service.total.is_multiple_of(SAMPLE) {
                        let fit = self.hops.judge(record.key.src, record.detail as u8);
                        service.judged += u32::from(fit != Fit::Unknown);
                        service.contradict += u32::from(fit == Fit::Contradicts);
                    }
                }
                RecordKind::Established => service.done[BINS - 1] += 1,
                RecordKind::Refused => {
                    service.refused[BINS - 1] += 1;
                    service.refuses = true;
                }
                RecordKind::SynRetry => service.retries = service.retries.saturating_add(1),
                // Where no answer was ever seen, the tap sees one direction, and clients that go on were answered
                // (detectors.md D1, "asymmetric path"). Where answers are seen, a forged ACK completes nothing.
                RecordKind::HalfView => {
                    if service.syn_acks == 0 && !service.refuses {
                        service.done[BINS - 1] += 1;
                    }
                }
                _ => service.syn_acks = service.syn_acks.saturating_add(1),
            }
            // Looked at every few SYNs: an alarm does not wait for the bin to end, nor for time to move at all.
            if record.kind == RecordKind::Opened && service.total.is_multiple_of(LOOK) {
                service.weigh(
                    || self.settings.floor_per_sec.of(role()),
                    (record.key.dst, port),
                    record.ts,
                    &mut self.open,
                    reports,
                );
            }
        }
    }

    /// The time at the end of a batch: closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, last: bool, reports: &mut Vec<Report>) {
        let quiet = u64::from(self.settings.off_secs);
        let mut closed = Vec::new();
        for &(address, port) in &self.open {
            let Some(service) = self.services.entry((address, port), || Service::empty(now)) else {
                continue;
            };
            if service.open && !last && now.secs_since(service.last_alarm) >= quiet {
                service.open = false;
                service.g = 0.0;
                reports.push(service.report("close", (address, port), now));
                closed.push((address, port));
            }
        }
        self.open.retain(|key| !closed.contains(key));
        if self.spray.open && !last && now.secs_since(self.spray.last) >= quiet {
            self.spray.open = false;
            reports.push(self.spray.report("close", None, now));
        }
    }
}

impl Service {
    fn empty(now: Timestamp) -> Self {
        Self {
            bin: now.0 / BIN,
            syns: [0; BINS],
            done: [0; BINS],
            refused: [0; BINS],
            g: 0.0,
            share: 0.03,
            sources: Bitmap256::default(),
            ttls: Bitmap256::default(),
            judged: 0,
            contradict: 0,
            retries: 0,
            refuses: false,
            syn_acks: 0,
            total: 0,
            since: now,
            last_alarm: Timestamp(0),
            open: false,
            next_update: 0,
            interface: 0,
            number: 0,
        }
    }

    fn new(record: &HostRecord) -> Self {
        Self {
            interface: record.interface,
            ..Self::empty(record.ts)
        }
    }

    fn syn(&mut self, record: &HostRecord) {
        self.syns[BINS - 1] += 1;
        self.total += 1;
        self.sources
            .insert(super::engine::endpoint_hash(record.key.src, 0));
        self.ttls.insert(super::engine::endpoint_hash(
            record.key.dst,
            record.detail as u16,
        ));
    }

    /// Moves the bins on to `ts`; each bin that ends adds to `g` and to the learned share.
    fn roll(&mut self, ts: Timestamp) {
        let bin = ts.0 / BIN;
        // Time that jumps back stays in the current bin; a long pause empties all bins.
        let steps = bin.saturating_sub(self.bin).min(BINS as u64 * 2);
        for _ in 0..steps {
            let (s, done) = (
                f64::from(self.syns[BINS - 1]),
                f64::from(self.settled(BINS - 1)),
            );
            self.g = self.next_g(s, done);
            // The baseline does not learn from an attack.
            if !self.open && self.g == 0.0 && s > 0.0 {
                self.share =
                    (0.95 * self.share + 0.05 * ((s - done).max(0.0) / s)).clamp(0.01, 0.3);
            }
            self.syns.rotate_left(1);
            self.done.rotate_left(1);
            self.refused.rotate_left(1);
            self.syns[BINS - 1] = 0;
            self.done[BINS - 1] = 0;
            self.refused[BINS - 1] = 0;
        }
        if bin.saturating_sub(self.bin) > 240 {
            self.sources = Bitmap256::default();
            self.ttls = Bitmap256::default();
            (self.judged, self.contradict) = (0, 0);
        }
        self.bin = self.bin.max(bin);
    }

    fn next_g(&self, s: f64, done: f64) -> f64 {
        let x = (s - done).max(0.0);
        let z = (x - (1.5 * self.share + 0.02) * s - 0.5) / (3.0 * s * self.share).max(1.0).sqrt();
        (self.g + z.min(20.0) - 0.5).max(0.0)
    }

    /// Handshakes of a bin that leave nothing half open. A refusal counts as one, unless nearly every SYN comes from a
    /// source of its own: nobody who is refused that way is waiting for an answer.
    fn settled(&self, bin: usize) -> u32 {
        let of = |counts: &[u32; BINS]| counts.get(bin).copied().unwrap_or(0);
        let refused = of(&self.refused);
        if refused == 0 || self.sources_look_spoofed() {
            of(&self.done)
        } else {
            of(&self.done) + refused
        }
    }

    /// At least [`SPRAY_SOURCES`] sources, and nearly as many as SYNs (as far as the bitmap can count them).
    fn sources_look_spoofed(&self) -> bool {
        let sources = self.sources.estimate();
        let elsewhere = self.judged >= JUDGED_MIN && self.contradict * 2 >= self.judged;
        elsewhere || sources >= SPRAY_SOURCES && u64::from(sources) * 10 >= self.total.min(600) * 8
    }

    fn incomplete_last_second(&self) -> u32 {
        let s: u32 = self.syns.iter().sum();
        let done: u32 = (0..BINS).map(|bin| self.settled(bin)).sum();
        s.saturating_sub(done)
    }

    fn weigh(
        &mut self,
        floor_per_sec: impl Fn() -> u32,
        key: (IpAddr, u16),
        now: Timestamp,
        open: &mut Vec<(IpAddr, u16)>,
        reports: &mut Vec<Report>,
    ) {
        const OPEN_MAX: usize = 1024;
        let g = self.next_g(
            f64::from(self.syns[BINS - 1]),
            f64::from(self.settled(BINS - 1)),
        );
        let sources = self.sources.estimate();
        let spray = key.1 == 0;
        // The service itself is reported first; the destination as a whole only when no single service shows it.
        let covered = spray
            && open
                .iter()
                .any(|(address, port)| *address == key.0 && *port != 0);
        let flood = g > ALARM
            && self.incomplete_last_second() >= floor_per_sec()
            && (!spray || (sources >= SPRAY_SOURCES && !covered));
        if !flood {
            return;
        }
        self.last_alarm = now;
        if !self.open && open.len() < OPEN_MAX {
            self.open = true;
            self.since = now;
            self.next_update = self.total.saturating_mul(10);
            open.push(key);
            reports.push(self.report("open", key, now));
        } else if self.open && self.total >= self.next_update {
            self.next_update = self.total.saturating_mul(10);
            reports.push(self.report("update", key, now));
        }
    }

    fn report(
        &self,
        state: &'static str,
        (address, port): (IpAddr, u16),
        now: Timestamp,
    ) -> Report {
        let sources = self.sources.estimate();
        let spoofed = self.sources_look_spoofed();
        let evidence = evidence(|json| {
            json.num("incomplete_per_sec", self.incomplete_last_second())
                .num("syns", self.total);
            json.num("sources", sources)
                .num("ttl_kinds", self.ttls.estimate());
            json.num("syn_acks", self.syn_acks)
                .num("syn_retries", self.retries);
            json.float("g", (self.g * 10.0).round() / 10.0)
                .float("learned_incomplete_share", self.share);
            json.bool("sources_look_spoofed", spoofed);
            if self.judged > 0 {
                json.num("hop_counts_judged", self.judged)
                    .num("hop_counts_contradict", self.contradict);
            }
        });
        Report {
            detector: SYN_FLOOD,
            state,
            number: self.number,
            ts: now,
            key: FlowKey {
                dst: address,
                dport: port,
                proto: 6,
                ..FlowKey::default()
            },
            interface: self.interface,
            confidence: 0.9,
            efficacy: if self.syn_acks > 0 {
                Efficacy::Reached
            } else {
                Efficacy::Unknown
            },
            reason: if self.syn_acks > 0 {
                "the service answers the flood"
            } else {
                ""
            },
            severity: Severity::Major,
            source_verified: false,
            incident: incident(SYN_FLOOD, address, port, self.since),

            subject: 0,
            evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: RecordKind, src: u32, at_us: u64, number: u64) -> HostRecord {
        HostRecord {
            number,
            order: 0,
            ts: Timestamp(at_us * 1000),
            key: FlowKey {
                src: IpAddr::from(src.to_be_bytes()),
                dst: IpAddr::from([10, 0, 0, 1]),
                sport: (src % 60_000) as u16,
                dport: 80,
                proto: 6,
                ..FlowKey::default()
            },
            interface: 0,
            kind,
            detail: 64,
            value: 0,
            flow_id: number,
        }
    }

    fn run(records: &[HostRecord]) -> Vec<Report> {
        let mut detector = SynFlood::new(SynFloodSettings::default());
        let mut reports = Vec::new();
        for r in records {
            detector.record(r, &|| Role::Dmz, &mut reports);
        }
        detector.tick(
            records.last().map_or(Timestamp(0), |r| r.ts),
            true,
            &mut reports,
        );
        reports
    }

    #[test]
    fn a_spoofed_flood_opens_one_incident_within_a_second() {
        let records: Vec<_> = (0..5_000)
            .map(|i| {
                record(
                    RecordKind::Opened,
                    i * 7919,
                    u64::from(i) * 1000,
                    1 + u64::from(i),
                )
            })
            .collect();
        let reports = run(&records);
        assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
        assert!(reports[0].ts.0 < 1_000_000_000, "{:?}", reports[0].ts);
        assert_eq!(reports[0].key.dport, 80);
    }

    #[test]
    fn a_flood_that_borrows_addresses_of_clients_contradicts_their_distance() {
        // 40 clients of one /24, twelve hops away, complete their handshakes; then SYNs in their names from nearer.
        let flood = |ttl: u32| {
            let mut records = Vec::new();
            for i in 0..200u32 {
                let src = 0xc633_6400 | (i % 40);
                let at = u64::from(i) * 50_000;
                records.push(HostRecord {
                    detail: 52,
                    ..record(RecordKind::Opened, src, at, u64::from(i) * 2)
                });
                records.push(HostRecord {
                    detail: 52 << 8,
                    ..record(RecordKind::Established, src, at + 10, u64::from(i) * 2 + 1)
                });
            }
            for i in 0..5_000u32 {
                let src = 0xc633_6400 | (i % 40);
                records.push(HostRecord {
                    detail: ttl,
                    ..record(
                        RecordKind::Opened,
                        src,
                        10_000_000 + u64::from(i) * 1_000,
                        1_000 + u64::from(i),
                    )
                });
            }
            let reports = run(&records);
            assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
            let last = reports.last().expect("a report");
            String::from_utf8_lossy(&last.evidence).into_owned()
        };
        assert!(
            flood(60).contains("\"sources_look_spoofed\":true"),
            "{}",
            flood(60)
        );
        let own = flood(52);
        assert!(own.contains("\"sources_look_spoofed\":false"), "{own}");
        assert!(own.contains("\"hop_counts_contradict\":0"), "{own}");
    }

    #[test]
    fn a_crowd_of_which_one_direction_is_seen_is_none_and_forged_acknowledgments_hide_no_flood() {
        let crowd = |answers: bool| {
            let mut records = Vec::new();
            for i in 0..5_000u32 {
                let at = u64::from(i) * 300;
                let of = |kind, late| record(kind, i * 7_919, at + late, u64::from(i));
                records.push(of(RecordKind::Opened, 0));
                if answers && i == 0 {
                    records.push(of(RecordKind::SynAck, 5));
                }
                records.push(of(RecordKind::HalfView, 10));
            }
            run(&records).len()
        };
        assert_eq!(crowd(false), 0);
        // The service is seen to answer somebody: then whoever it does not answer completes nothing.
        assert!(crowd(true) > 0);
    }

    #[test]
    fn a_flash_crowd_that_completes_its_handshakes_is_silent() {
        let mut records = Vec::new();
        for i in 0..5_000u32 {
            records.push(record(
                RecordKind::Opened,
                i * 7919,
                u64::from(i) * 300,
                u64::from(i) * 2,
            ));
            if i >= 20 {
                records.push(record(
                    RecordKind::Established,
                    (i - 20) * 7919,
                    u64::from(i) * 300 + 10,
                    u64::from(i) * 2 + 1,
                ));
            }
        }
        assert!(run(&records).is_empty());
    }

    #[test]
    fn one_timestamp_for_all_packets_does_not_blind_it() {
        let records: Vec<_> = (0..1_000)
            .map(|i| record(RecordKind::Opened, i * 7919, 5, u64::from(i)))
            .collect();
        assert_eq!(run(&records).len(), 1);
    }

    #[test]
    fn forged_sources_and_sprayed_hosts_are_a_flood_of_the_segment() {
        let sprayed = |answered: bool| {
            let mut records = Vec::new();
            for i in 0..200u32 {
                let mut r = record(
                    RecordKind::Opened,
                    i * 7919,
                    u64::from(i) * 160,
                    u64::from(i),
                );
                r.key.dst = IpAddr::from((i * 104_729).to_be_bytes());
                records.push(r);
                if answered {
                    r.kind = RecordKind::SynAck;
                    records.push(r);
                }
            }
            run(&records).len()
        };
        assert_eq!(sprayed(false), 1);
        assert_eq!(sprayed(true), 0);
    }

    #[test]
    fn one_host_that_sweeps_the_segment_is_no_flood() {
        let records: Vec<_> = (0..5_000u32)
            .map(|i| {
                let mut r = record(RecordKind::Opened, 9, u64::from(i) * 100, u64::from(i));
                r.key.dst = IpAddr::from((i * 104_729).to_be_bytes());
                r
            })
            .collect();
        assert!(run(&records).is_empty());
    }

    #[test]
    fn handshakes_that_the_client_breaks_off_are_incomplete() {
        let run_refused = |detail: u32| {
            let mut records = Vec::new();
            for i in 0..2_000u32 {
                let opened = record(
                    RecordKind::Opened,
                    9,
                    u64::from(i) * 2_400,
                    u64::from(i) * 2,
                );
                let mut refused = opened;
                refused.kind = RecordKind::Refused;
                refused.detail = detail;
                records.extend([opened, refused]);
            }
            run(&records).len()
        };
        assert_eq!(run_refused(1), 1);
        assert_eq!(run_refused(0), 0);
    }

    #[test]
    fn one_source_over_many_ports_is_not_a_flood() {
        let records: Vec<_> = (0..3_000u32)
            .map(|i| {
                let mut r = record(RecordKind::Opened, 9, u64::from(i) * 100, u64::from(i));
                r.key.dport = (i % 3_000) as u16 + 1;
                r
            })
            .collect();
        assert!(run(&records).is_empty());
    }
}
