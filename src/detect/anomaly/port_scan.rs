//! Port scans (detectors.md D8): a sequential test over first contacts (threshold random walk, Jung et al. 2004).
//!
//! Each first contact of a source with a (host, port) moves its score: +ln 4 when it fails (refused, unanswered), −ln 4
//! when it succeeds (θ0 = 0.8, θ1 = 0.2). Alarm at ln(β/α) with α = 1e-5, β = 0.999, and at least so many distinct
//! targets. Successes cannot hide a scan by mixing (Mell & Harang 2013): the score never falls below −1 step, and a
//! success counts once per (host, port).
//! FIN, NULL, Xmas and ACK probes, which no client sends, count by distinct ports. Evidence by themselves are requests
//! that only version detection makes, and kinds of ICMP queries that only fingerprinting asks one host for (timestamp
//! and address mask; Arkin 2001), IP protocols that nobody speaks, and a dozen well-known UDP ports, which no host has a use
//! for at a time.
//! A host that asks for a whole segment by ARP needs to fail less often: the hosts that are not there fail before TCP.
//!
//! What many sources share, and what takes a day, is [`super::thin_scan`]'s; it is told as this detector's, too.
//!
//! What is *not* scan evidence: failures towards a service that is being flooded; answers to nobody (backscatter); one
//! dead service that is retried; failures towards one port of one host.
//! Memory: fixed, one record per source, the lowest score gives way.

use std::net::IpAddr;

use super::PORT_SCAN;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence, incident};
use super::first_bytes::FirstBytes;
use super::hops::Fit;
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use super::syn_flood::SynFlood;
use super::table::{Bitmap256, SetTable, Worth};
use super::thin_scan::{self, Thin, ThinScans};
use crate::alert::{Efficacy, Severity};
use crate::packet::{TcpFlags, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PortScanSettings {
    /// Expected rate of false alarms per tested source; sets the score at which a source is a scanner.
    pub alpha: f64,
    /// Distinct (host, port) targets that failed, at least. Default edge 25, DMZ 15, intranet 15 (detectors.md D8).
    pub targets_min: ByRole<u32>,
    /// Distinct ports of stealth probes (FIN, NULL, Xmas …).
    pub stealth_ports_min: u32,
    /// Addresses asked for by ARP from which a third of the failures is enough.
    pub arp_hosts_min: u32,
    /// Half-life of a score, in seconds.
    pub half_life_secs: u32,
    /// Sources watched.
    pub sources: usize,
    /// Scans that are spread over sources or over a day.
    pub thin: thin_scan::Settings,
    /// Quiet seconds after which an incident closes.
    pub off_secs: u32,
}

impl Default for PortScanSettings {
    fn default() -> Self {
        Self {
            alpha: 1e-5,
            targets_min: ByRole::new(25, 15, 15),
            stealth_ports_min: 5,
            arp_hosts_min: 30,
            half_life_secs: 900,
            sources: 16_384,
            thin: thin_scan::Settings::default(),
            off_secs: 3600,
        }
    }
}

/// ln((1 − θ1)/(1 − θ0)) with θ0 = 0.8, θ1 = 0.2: what a failure adds and a success takes.
const STEP: f32 = 1.386;

/// Incidents that are open at a time.
const OPEN_MAX: usize = 4096;

/// Probes with flags that no TCP sends, from one source, that are a fingerprint scan whatever their ports.
const ILLEGAL_MIN: u32 = 3;

/// IP protocols besides those in use from which it is a scan of protocols.
const PROTOCOLS_MIN: u32 = 5;
/// Those in use: ICMP, IGMP, TCP, UDP, IPv6 and its options, routing, GRE, IPsec, EIGRP, OSPF, IPIP, PIM, VRRP, L2TP, SCTP, UDP-Lite.
const IN_USE: &[u8] = &[
    0, 1, 2, 4, 6, 17, 41, 43, 44, 46, 47, 50, 51, 58, 59, 60, 88, 89, 94, 103, 108, 112, 115, 132,
    136, 137,
];
/// Well-known UDP ports of one source within a half-life from which it is a scan: a busy server asks for names, time, leases,
/// logs, management and Kerberos, which are less than ten.
const UDP_PORTS_MIN: u32 = 12;

/// ICMP queries that hosts do not ask each other: timestamp, information, address mask (RFC 792, RFC 950).
const ODD_QUERIES: &[u16] = &[13, 15, 17];

#[derive(Clone, Debug)]
struct Source {
    score: f32,
    contacts: Bitmap256,
    failed: Bitmap256,
    ports: Bitmap256,
    hosts: Bitmap256,
    stealth: Bitmap256,
    illegal: u32,
    /// Kinds of flags that no TCP sends, a bit each: a fingerprinting tool sends several.
    illegal_kinds: u8,
    /// Addresses asked for by ARP.
    arp: Bitmap256,
    /// Kinds of odd ICMP queries to `queried`, a bit each.
    queries: u8,
    queried: u64,
    /// Requests of version detection.
    marks: u32,
    /// IP protocols that are not in use.
    protocols: Bitmap256,
    /// Well-known UDP ports.
    udp: Bitmap256,
    successes: u32,
    fails: u32,
    open_ports: [u16; 8],
    open_count: u8,
    /// It completed a handshake: not spoofed.
    proven: bool,
    /// Failed contacts since then that came from as far as the network's handshakes, and those that did not.
    near: u32,
    elsewhere: u32,
    since: Timestamp,
    last: Timestamp,
    alarmed: bool,
    /// A day's failures showed it.
    slow: bool,
    next_update: u32,
    interface: u16,
}

impl Worth for Source {
    fn worth(&self) -> u64 {
        let score = (self.score.max(0.0) * 16.0) as u64;
        u64::from(self.alarmed) << 60 | score << 40 | (self.last.secs() & 0xff_ffff_ffff)
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct PortScan {
    settings: PortScanSettings,
    threshold: f32,
    sources: SetTable<IpAddr, Source>,
    open: Vec<IpAddr>,
    thin: ThinScans,
}

/// The sum of log odds at which a source is a scanner: Wald's bound for a share of false alarms.
pub(super) fn bound(alpha: f64) -> f32 {
    (0.999 / alpha.clamp(1e-12, 0.5)).ln() as f32
}

impl Detector for PortScan {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Established,
            K::Refused,
            K::Unanswered,
            K::Stray,
            K::Opened,
            K::ArpRequest,
            K::FirstBytes,
        ]
    }
    fn wants(&self, kind: RecordKind, proto: u8) -> bool {
        // Connections count by what comes of them.
        kind != RecordKind::Opened || proto != 6
    }
    fn memory(&self) -> Memory {
        Self::memory(self)
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.threshold = bound(settings.port_scan.alpha);
        self.settings = settings.port_scan.clone();
        self.thin.tune(&self.settings.thin);
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, (seen.floods, &|| seen.place().role), reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.tick(now, reports);
    }
}

impl PortScan {
    /// Takes its memory.
    pub fn new(settings: PortScanSettings) -> Self {
        Self {
            sources: SetTable::new(settings.sources),
            thin: ThinScans::new(settings.thin.clone()),
            threshold: bound(settings.alpha),
            settings,
            open: Vec::new(),
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.sources.memory() + self.thin.memory()
    }

    /// Takes one record.
    pub fn record(
        &mut self,
        record: &HostRecord,
        (floods, role): (&SynFlood, &dyn Fn() -> Role),
        reports: &mut Vec<Report>,
    ) {
        enum Outcome {
            Success,
            Failure,
            Stealth,
            Odd,
        }
        let odd_query = || {
            let mut kinds = ODD_QUERIES.iter();
            kinds.position(|kind| *kind == record.key.sport)
        };
        let outcome = match record.kind {
            RecordKind::Established => Outcome::Success,
            RecordKind::Refused | RecordKind::Unanswered
                if !floods.is_flooded(record.key.dst, record.key.dport) =>
            {
                Outcome::Failure
            }
            RecordKind::Stray if is_stealth_probe(record.detail) => Outcome::Stealth,
            RecordKind::ArpRequest => Outcome::Odd,
            RecordKind::Opened if record.key.proto == 1 && odd_query().is_some() => Outcome::Odd,
            // SCTP has no refusal that is told here: a first contact has failed until it is answered.
            RecordKind::Opened if record.key.proto == 132 => Outcome::Failure,
            RecordKind::Opened if record.key.proto == 17 && record.key.dport < 1_024 => {
                Outcome::Odd
            }
            RecordKind::Opened if !IN_USE.contains(&record.key.proto) => Outcome::Odd,
            RecordKind::FirstBytes if record.detail == FirstBytes::ScanTool as u32 => Outcome::Odd,
            _ => return,
        };
        let key = record.key;
        // A UDP datagram that gets no answer proves nothing; only a refusal does.
        if key.proto != 6
            && matches!(outcome, Outcome::Failure)
            && record.kind != RecordKind::Refused
            && key.proto != 132
        {
            return;
        }
        let Some(source) = self.sources.entry(key.src, || Source::new(record)) else {
            return;
        };
        source.decay(record.ts, self.settings.half_life_secs);
        let target = endpoint_hash(key.dst, key.dport);
        match outcome {
            Outcome::Odd => {
                if record.kind == RecordKind::ArpRequest {
                    // Evidence that only adds to failures: nothing to weigh now.
                    source.arp.insert(endpoint_hash(key.dst, 0));
                    return;
                }
                if key.proto == 17 && record.kind == RecordKind::Opened {
                    // Ports alone: a resolver asks many hosts on one.
                    if !source
                        .udp
                        .insert(u64::from(key.dport).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40)
                    {
                        return;
                    }
                } else if !IN_USE.contains(&key.proto) {
                    source.protocols.insert(u64::from(key.proto));
                } else if let Some(kind) = odd_query().filter(|_| key.proto == 1) {
                    let host = endpoint_hash(key.dst, 0);
                    if host != source.queried {
                        source.queried = host;
                        source.queries = 0;
                    }
                    source.queries |= 1 << kind;
                } else {
                    source.marks = source.marks.saturating_add(1);
                }
            }
            Outcome::Stealth => {
                source.stealth.insert(target);
                let flags = record.detail as u8 & 0x3f;
                if flags != TcpFlags::FIN {
                    source.illegal += 1;
                    source.illegal_kinds |= if flags == 0 {
                        1
                    } else if flags & TcpFlags::SYN != 0 {
                        2
                    } else {
                        4
                    };
                }
                source.ports.insert(endpoint_hash(key.dst, key.dport));
            }
            Outcome::Success => {
                self.thin.succeeded(record);
                if key.proto == 132 && source.contacts.contains(target) {
                    // It counted as failed when it was opened.
                    source.score = (source.score - 2.0 * STEP).max(-STEP);
                }
                if source.contacts.insert(target) {
                    source.successes += 1;
                    source.score = (source.score - STEP).max(-STEP);
                    if let Some(slot) = source.open_ports.get_mut(usize::from(source.open_count)) {
                        *slot = key.dport;
                        source.open_count += 1;
                    }
                }
                if record.proves_source() && !source.proven {
                    source.proven = true;
                    // What may be done about a source hangs on it.
                    if source.alarmed {
                        reports.push(source.report("update", key.src, Some(record), record.ts));
                    }
                }
                return;
            }
            Outcome::Failure => {
                if !source.contacts.insert(target) {
                    return;
                }
                source.failed.insert(target);
                source.fails += 1;
                // Somebody else may use the name of who proved itself.
                if source.proven && key.proto == 6 {
                    match floods.distance(record) {
                        Fit::Unknown => {}
                        Fit::Fits => source.near = source.near.saturating_add(1),
                        Fit::Contradicts => source.elsewhere = source.elsewhere.saturating_add(1),
                    }
                }
                source
                    .ports
                    .insert(endpoint_hash(IpAddr::from([0; 4]), key.dport));
                source.hosts.insert(endpoint_hash(key.dst, 0));
                source.score += STEP;
            }
        }
        source.weigh(
            self.threshold,
            (&self.settings, role),
            record,
            &mut self.open,
            reports,
        );
        if matches!(outcome, Outcome::Failure)
            && !source.alarmed
            && let Some(thin) = self.thin.failed(record)
        {
            match thin {
                Thin::Slow { sources: 1, .. } => source.alarm_slow(record, &mut self.open, reports),
                _ => reports.push(report_many(thin, record)),
            }
        }
    }

    /// The time at the end of a batch: closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let quiet = u64::from(self.settings.off_secs);
        let sources = &mut self.sources;
        self.open.retain(|address| {
            let Some(source) = sources.entry(*address, || Source::empty(now)) else {
                return false;
            };
            if source.alarmed && now.secs_since(source.last) >= quiet {
                (source.alarmed, source.slow) = (false, false);
                source.score = 0.0;
                reports.push(source.report("close", *address, None, now));
            }
            source.alarmed
        });
    }
}

/// A scan of many sources. It is told once: each of them goes on being watched by itself.
fn report_many(thin: Thin, record: &HostRecord) -> Report {
    let (geometry, targets, sources) = match thin {
        Thin::Spread {
            targets,
            sources,
            horizontal,
        } => {
            let geometry = if horizontal {
                "distributed, horizontal"
            } else {
                "distributed, vertical"
            };
            (geometry, targets, sources)
        }
        Thin::Slow { targets, sources } => ("slow, by a network", targets, sources),
    };
    let nobody = match record.key.src {
        IpAddr::V4(_) => IpAddr::from([0; 4]),
        IpAddr::V6(_) => IpAddr::from([0; 16]),
    };
    let key = crate::packet::FlowKey {
        src: nobody,
        sport: 0,
        ..record.key
    };
    Report {
        detector: PORT_SCAN,
        state: "open",
        number: record.number,
        ts: record.ts,
        key,
        interface: record.interface,
        confidence: 0.85,
        efficacy: Efficacy::Unknown,
        reason: "",
        severity: Severity::Major,
        source_verified: false,
        incident: incident(PORT_SCAN, key.dst, key.dport, record.ts),

        subject: 0,
        evidence: evidence(|json| {
            json.str("geometry", geometry)
                .num("failed_targets", targets)
                .num("sources", sources)
                .str("last_source", record.key.src.to_string());
        }),
    }
}

/// Flag combinations that only probes have: none, FIN alone, FIN with PSH and URG, SYN with FIN.
fn is_stealth_probe(flags: u32) -> bool {
    let flags = flags as u8 & !(TcpFlags::ECE | TcpFlags::CWR);
    matches!(flags, 0 | TcpFlags::FIN)
        || flags & (TcpFlags::SYN | TcpFlags::FIN) == TcpFlags::SYN | TcpFlags::FIN
        || flags == TcpFlags::FIN | TcpFlags::PSH | TcpFlags::URG
}

impl Source {
    fn empty(now: Timestamp) -> Self {
        Self {
            score: 0.0,
            contacts: Bitmap256::default(),
            failed: Bitmap256::default(),
            ports: Bitmap256::default(),
            hosts: Bitmap256::default(),
            stealth: Bitmap256::default(),
            illegal: 0,
            illegal_kinds: 0,
            arp: Bitmap256::default(),
            queries: 0,
            queried: 0,
            marks: 0,
            protocols: Bitmap256::default(),
            udp: Bitmap256::default(),
            successes: 0,
            fails: 0,
            open_ports: [0; 8],
            open_count: 0,
            proven: false,
            near: 0,
            elsewhere: 0,
            since: now,
            last: now,
            alarmed: false,
            slow: false,
            next_update: 0,
            interface: 0,
        }
    }

    fn new(record: &HostRecord) -> Self {
        Self {
            interface: record.interface,
            ..Self::empty(record.ts)
        }
    }

    /// Halves the score for each half-life that passed; after eight, everything is forgotten.
    fn decay(&mut self, now: Timestamp, half_life_secs: u32) {
        let passed = now.secs_since(self.last);
        let half_life = u64::from(half_life_secs.max(1));
        if passed > half_life * 8 && !self.alarmed {
            *self = Self {
                interface: self.interface,
                ..Self::empty(now)
            };
        } else if passed > 0 {
            self.score *= 0.5f32.powf(passed as f32 / half_life as f32);
        }
        self.last = self.last.max(now);
    }

    fn weigh(
        &mut self,
        threshold: f32,
        (settings, role): (&PortScanSettings, &dyn Fn() -> Role),
        record: &HostRecord,
        open: &mut Vec<IpAddr>,
        reports: &mut Vec<Report>,
    ) {
        let swept = self.arp.estimate() >= settings.arp_hosts_min;
        let share = if swept { 3 } else { 1 };
        let walked = self.score * share as f32 >= threshold
            && self.failed.estimate() * share >= settings.targets_min.of(role());
        let fingerprint = self.queries.count_ones() > 1
            || self.marks > 0
            || self.protocols.estimate() >= PROTOCOLS_MIN
            || self.udp.estimate() >= UDP_PORTS_MIN;
        // Flags that no TCP sends (none at all, SYN with FIN, FIN with PSH and URG) are probes of a fingerprinting tool.
        let stealth = self.stealth.estimate() >= settings.stealth_ports_min
            || (self.illegal >= ILLEGAL_MIN && self.illegal_kinds.count_ones() > 1);
        if !walked && !stealth && !fingerprint {
            return;
        }
        let odd = self.protocols.estimate().max(self.udp.estimate());
        let size = self
            .fails
            .max(self.stealth.estimate())
            .max(self.marks)
            .max(odd)
            .max(1);
        if !self.alarmed && open.len() < OPEN_MAX {
            self.alarmed = true;
            self.since = record.ts;
            self.next_update = size.saturating_mul(10);
            open.push(record.key.src);
            reports.push(self.report("open", record.key.src, Some(record), record.ts));
        } else if self.alarmed && size >= self.next_update {
            self.next_update = size.saturating_mul(10);
            reports.push(self.report("update", record.key.src, Some(record), record.ts));
        }
    }

    /// What it did within a day shows it.
    fn alarm_slow(
        &mut self,
        record: &HostRecord,
        open: &mut Vec<IpAddr>,
        reports: &mut Vec<Report>,
    ) {
        if open.len() >= OPEN_MAX {
            return;
        }
        self.alarmed = true;
        self.slow = true;
        self.since = record.ts;
        self.next_update = self.fails.saturating_mul(10).max(10);
        open.push(record.key.src);
        reports.push(self.report("open", record.key.src, Some(record), record.ts));
    }

    fn report(
        &self,
        state: &'static str,
        address: IpAddr,
        record: Option<&HostRecord>,
        now: Timestamp,
    ) -> Report {
        let (ports, hosts) = (self.ports.estimate(), self.hosts.estimate());
        let geometry = match (ports, hosts) {
            _ if self.slow => "slow",
            (p, h) if p > 4 && h > 4 => "block",
            (_, h) if h > 4 => "horizontal",
            _ => "vertical",
        };
        let evidence = evidence(|json| {
            json.str("geometry", geometry)
                .num("failed_targets", self.fails)
                .num("ports", ports)
                .num("hosts", hosts);
            json.num("arp_hosts", self.arp.estimate())
                .num("version_probes", self.marks)
                .num("odd_icmp_queries", self.queries.count_ones())
                .num("odd_protocols", self.protocols.estimate())
                .num("udp_ports", self.udp.estimate());
            json.num("stealth_probes", self.stealth.estimate())
                .num("answered", self.successes);
            json.float("score", f64::from((self.score * 10.0).round() / 10.0));
            if self.elsewhere > 0 {
                json.num("hop_counts_contradict", self.elsewhere)
                    .num("hop_counts_fit", self.near);
            }
            json.array("open_ports");
            for port in self.open_ports.iter().take(usize::from(self.open_count)) {
                json.number(*port);
            }
            json.end_array();
        });
        let mut key = record.map(|r| r.key).unwrap_or_default();
        key.src = address;
        Report {
            detector: PORT_SCAN,
            state,
            number: record.map_or(0, |r| r.number),
            ts: now,
            key,
            interface: self.interface,
            confidence: 0.95,
            efficacy: if self.open_count > 0 {
                Efficacy::Reached
            } else {
                Efficacy::Unknown
            },
            reason: if self.open_count > 0 {
                "open services found"
            } else {
                ""
            },
            severity: Severity::Major,
            // A hint: it takes trust away, never gives any.
            source_verified: self.proven && self.elsewhere <= self.near,
            incident: incident(PORT_SCAN, address, 0, self.since),

            subject: 0,
            evidence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::syn_flood::SynFloodSettings;
    use super::*;
    use crate::packet::FlowKey;

    fn run(contacts: impl Iterator<Item = (RecordKind, u8, u16, u32)>) -> Vec<Report> {
        let floods = SynFlood::new(SynFloodSettings::default());
        let mut detector = PortScan::new(PortScanSettings::default());
        let mut reports = Vec::new();
        for (i, (kind, host, port, detail)) in contacts.enumerate() {
            let key = FlowKey {
                src: IpAddr::from([203, 0, 113, 9]),
                dst: IpAddr::from([10, 0, 0, host]),
                dport: port,
                proto: 6,
                ..FlowKey::default()
            };
            let ts = Timestamp::new(1_000 + i as u64, 0);
            let record = HostRecord {
                number: i as u64,
                order: 0,
                ts,
                key,
                interface: 0,
                kind,
                detail,
                value: 0,
                flow_id: 1,
            };
            detector.record(&record, (&floods, &|| Role::Dmz), &mut reports);
        }
        reports
    }

    #[test]
    fn a_vertical_scan_is_one_incident_with_its_geometry_and_updates() {
        let reports = run((1..=200).map(|p| (RecordKind::Refused, 1, p, 0)));
        assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
        assert!(reports[0].number <= 20, "{}", reports[0].number);
        assert!(String::from_utf8_lossy(&reports[0].evidence).contains("vertical"));
    }

    #[test]
    fn a_dead_service_that_is_retried_is_not_a_scan() {
        assert!(run((0..500).map(|_| (RecordKind::Unanswered, 1, 443, 0))).is_empty());
    }

    #[test]
    fn successes_cannot_hide_a_scan_for_long() {
        let mixed = (1..=400u16).map(|p| {
            (
                if p % 3 == 0 {
                    RecordKind::Established
                } else {
                    RecordKind::Refused
                },
                1,
                p,
                0,
            )
        });
        assert_eq!(run(mixed).iter().filter(|r| r.state == "open").count(), 1);
        let benign = (1..=100u16).map(|p| {
            (
                if p % 5 == 0 {
                    RecordKind::Refused
                } else {
                    RecordKind::Established
                },
                p as u8,
                80,
                0,
            )
        });
        assert!(run(benign).is_empty());
    }

    #[test]
    fn a_source_is_proven_by_a_handshake_and_told_so_when_it_comes_late() {
        let scan = |success: Option<(u8, u32)>| {
            let floods = SynFlood::new(SynFloodSettings::default());
            let mut detector = PortScan::new(PortScanSettings::default());
            let mut reports = Vec::new();
            for i in 0..60 {
                detector.record(&probe(1, i, 1_000), (&floods, &|| Role::Dmz), &mut reports);
            }
            if let Some((proto, detail)) = success {
                let mut r = probe(1, 200, 2_000);
                (r.kind, r.detail) = (RecordKind::Established, detail);
                r.key.proto = proto;
                for _ in 0..3 {
                    detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
                }
            }
            let states = |r: &Report| (r.state, r.source_verified);
            reports.iter().map(states).collect::<Vec<_>>()
        };
        assert_eq!(scan(None), [("open", false)]);
        assert_eq!(scan(Some((6, 0))), [("open", false), ("update", true)]);
        // A connection picked up in the middle, an answer over UDP: either follows a forged packet.
        assert_eq!(scan(Some((6, 1))), [("open", false)]);
        assert_eq!(scan(Some((17, 0))), [("open", false)]);
    }

    #[test]
    fn who_is_known_to_be_elsewhere_is_not_trusted_for_a_handshake_of_before() {
        // A client proves itself from twelve hops away; then somebody scans in its name.
        let scan = |ttl: u32| {
            let mut floods = SynFlood::new(SynFloodSettings::default());
            let mut detector = PortScan::new(PortScanSettings::default());
            let mut reports = Vec::new();
            for i in 0..5 {
                let mut r = probe(1, 200 + i, 0);
                (r.kind, r.detail) = (RecordKind::Established, 52 << 8);
                floods.record(&r, &|| Role::Dmz, &mut Vec::new());
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
            }
            for i in 0..60 {
                let mut r = probe(1, i, 1_000);
                r.detail |= ttl << 8;
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
            }
            let told = reports.first().expect("the scan is told all the same");
            told.source_verified
        };
        assert!(scan(52) && scan(54) && scan(0));
        assert!(!scan(60) && !scan(128));
    }

    #[test]
    fn fingerprinting_shows_by_its_queries_and_its_marks() {
        let ask = |kinds: &[u16]| {
            let floods = SynFlood::new(SynFloodSettings::default());
            let mut detector = PortScan::new(PortScanSettings::default());
            let mut reports = Vec::new();
            for (i, kind) in kinds.iter().enumerate() {
                let mut r = probe(1, 1, i as u64 * 100);
                r.kind = RecordKind::Opened;
                r.key.proto = 1;
                r.key.sport = *kind;
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
            }
            reports.len()
        };
        assert_eq!(ask(&[8, 13, 17]), 1);
        // A ping, and a clock that is compared by ICMP.
        assert_eq!(ask(&[8, 13, 8, 13]), 0);
    }

    #[test]
    fn protocols_that_nobody_speaks_and_a_dozen_udp_ports_are_a_scan() {
        let run = |opened: &mut dyn Iterator<Item = (u8, u16, u32)>| {
            let floods = SynFlood::new(SynFloodSettings::default());
            let mut detector = PortScan::new(PortScanSettings::default());
            let mut reports = Vec::new();
            for (i, (proto, port, host)) in opened.enumerate() {
                let mut r = probe(1, host, i as u64 * 1_000);
                r.kind = RecordKind::Opened;
                (r.key.proto, r.key.dport) = (proto, port);
                r.key.sport = 40_000;
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
            }
            reports.len()
        };
        assert_eq!(run(&mut (190..200).map(|p| (p, 0, 1))), 1);
        assert_eq!(run(&mut (0..20).map(|i| (17, 100 + i * 31, 1))), 1);
        assert_eq!(run(&mut (1..30).map(|p| (132, p, 1))), 1);
        // A server at its duties, a resolver, a path that is traced.
        let duties = [53, 123, 161, 514, 88, 389, 67, 500];
        assert_eq!(
            run(&mut (0..900).map(|i| (17, duties[i % 8], i as u32 % 50))),
            0
        );
        assert_eq!(run(&mut (0..90).map(|i| (17, 33_434 + i, 1))), 0);
        assert_eq!(
            run(&mut [47u8, 50, 89, 112, 103].into_iter().map(|p| (p, 0, 1))),
            0
        );
    }

    #[test]
    fn whoever_asks_for_a_whole_segment_fails_sooner() {
        let fails = |asked: u32| {
            let floods = SynFlood::new(SynFloodSettings::default());
            let mut detector = PortScan::new(PortScanSettings::default());
            let mut reports = Vec::new();
            for i in 0..asked {
                let mut r = probe(1, i, u64::from(i));
                r.kind = RecordKind::ArpRequest;
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
            }
            for i in 0..7 {
                detector.record(&probe(1, i, 1_000), (&floods, &|| Role::Dmz), &mut reports);
            }
            reports.len()
        };
        assert_eq!(fails(100), 1);
        assert_eq!(fails(5), 0);
    }

    /// A failed contact of 10.0.0.`src` with 192.0.2.`dst`.
    fn probe(src: u32, dst: u32, ms: u64) -> HostRecord {
        super::super::live::tests::record(RecordKind::Unanswered, 6, src, dst, 22, ms)
    }

    #[test]
    fn a_scan_is_found_in_a_spray_of_forged_sources() {
        // 20 probes a second among 100,000 failures a second of sources that each come once.
        let floods = SynFlood::new(SynFloodSettings::default());
        let mut detector = PortScan::new(PortScanSettings::default());
        let bytes = detector.memory().bytes;
        let mut reports = Vec::new();
        let mut probes = 0u32;
        for i in 0..1_000_000u64 {
            if i % 5_000 == 0 {
                probes += 1;
                let mut r = probe(1, 100_000 + probes, i / 100);
                r.key.src = IpAddr::from([203, 0, 113, 9]);
                detector.record(&r, (&floods, &|| Role::Dmz), &mut reports);
                if !reports.is_empty() {
                    break;
                }
            }
            let forged = (i as u32).wrapping_mul(0x9e37_79b9) & 0x00ff_ffff;
            detector.record(
                &probe(forged, i as u32 % 60_000, i / 100),
                (&floods, &|| Role::Dmz),
                &mut reports,
            );
        }
        println!("scan of 20/s hidden in 100,000 forged failures/s: found at probe {probes}");
        assert!(
            reports
                .iter()
                .all(|r| r.key.src == IpAddr::from([203, 0, 113, 9]))
        );
        assert_eq!(reports.len(), 1);
        assert!(probes <= 28, "{probes}");
        assert_eq!(detector.memory().bytes, bytes);
    }

    #[test]
    fn stealth_probes_count_by_distinct_ports() {
        assert_eq!(
            run((1..=9).map(|p| (RecordKind::Stray, 1, p, 0x29))).len(),
            1
        );
        assert!(run((1..=9).map(|p| (RecordKind::Stray, 1, p, 0x10))).is_empty());
        assert!(run((1..=9).map(|_| (RecordKind::Stray, 1, 80, 0x01))).is_empty());
        assert!(run((1..=9).map(|_| (RecordKind::Stray, 1, 80, 0x29))).is_empty());
        let fingerprint = [0, 0x2b, 0x29, 0].map(|flags| (RecordKind::Stray, 1, 80, flags));
        assert_eq!(run(fingerprint.into_iter()).len(), 1);
    }
}
