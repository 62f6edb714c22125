//! Contracts (detectors.md D18): what is allowed in a segment, declared or learned, and what breaks it.
//!
//! - `cleartext_password`: a login over a protocol that does not encrypt (FTP, Telnet, POP3, IMAP, SMTP, HTTP Basic, LDAP);
//! - `old_tls`: a server of ours agrees on SSL 3, TLS 1.0 or 1.1 (RFC 8996);
//! - `expired_certificate`: a server of ours shows a certificate whose time is over; `certificate_ends` before that, from
//!   `certificate_days` on (TLS 1.3 shows none);
//! - `exposed_service`: where segments are declared, somebody outside connects to a database, a remote desktop or file
//!   service of ours; who then logs in has succeeded (declare it in `services` when it is meant);
//! - `new_service`: a host of ours answers on a port that is not declared, or that was never seen in the time of learning;
//! - `new_path`: a host of ours connects to a port outside that it never used in the time of learning; inside, where
//!   clients come and go, one that no host of ours used;
//! - `forbidden_path`: the declared matrix (`paths`, [`super::matrix`]) does not allow one segment that service of another;
//!   `new_segment_path`: where nothing is declared, no host of the one used it of the other in the time of learning;
//! - `direct_dns`: one of ours asks a resolver outside past those that are declared (role `resolver`), or, where none is,
//!   although the house was seen to ask resolvers of its own; DNS over TLS is DNS;
//! - `direct_smtp`: one of ours delivers mail outside (port 25) that is no declared mail host (role `mail`), or, where none
//!   is, never did so in the time of learning.
//!
//! Where no segment is declared nobody said what is allowed: cleartext passwords, old TLS and
//! certificates are statistics (GREEN). Learned
//! contracts begin when `learn_secs` have been seen; a declared list of services holds at once.
//! What is *not* a breach: what was there while learning; refused or unanswered attempts; clients' own high ports.
//! Limits: DNS over HTTPS is the web's; mail that a client hands to a provider outside (587, 465) is a login there, not a
//! delivery; segments are told by their networks, not by interface or VLAN.
//! Memory: fixed, two filters of what is known and one record per breach.

use std::net::IpAddr;

use super::POLICY;
use super::bloom::Bloom;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::first_bytes::{Login, hash};
use super::live::{Entry, Live, Says, Watch};
use super::matrix::{self, Line};
use super::place::{HostRole, Place, Role, is_group, is_local};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// A longer silence counts as this long, in nanoseconds: one hour.
const SILENCE_MAX: u64 = 3_600_000_000_000;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicySettings {
    /// Seconds of traffic that are learned from. Default 604,800: seven days (detectors.md D18).
    pub learn_secs: u32,
    /// Services of ours that are allowed, `address:port` or `*:port`; when there are any, every other one is a breach.
    /// Default: none declared.
    pub services: Vec<String>,
    /// Which segment may talk to which: `lan > dmz: 80 443 udp/123`. Default: none declared.
    pub paths: Vec<String>,
    /// Days before the end of a certificate from which it is told; at most 30. Default 14: time to order a new one.
    pub certificate_days: u32,
    /// Breaches watched. Default 8,192.
    pub breaches: usize,
    /// Quiet seconds after which an incident closes. Default 86,400: one notice per breach and day.
    pub off_secs: u32,
}

impl Default for PolicySettings {
    fn default() -> Self {
        Self {
            learn_secs: 604_800,
            services: Vec::new(),
            paths: Vec::new(),
            certificate_days: 14,
            breaches: 8_192,
            off_secs: 86_400,
        }
    }
}

impl PolicySettings {
    /// Reads a declared service.
    pub fn service(text: &str) -> Result<(Option<IpAddr>, u16), String> {
        let wrong = || format!("'{text}' is not address:port or *:port");
        let (address, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let address = match address.trim_matches(['[', ']']) {
            "*" => None,
            address => Some(address.parse().map_err(|_| wrong())?),
        };
        Ok((address, port.parse().map_err(|_| wrong())?))
    }
}

/// Ports whose protocols send passwords as they are.
const CLEARTEXT: &[u16] = &[21, 23, 25, 80, 110, 143, 389, 2121, 2323, 8080];
/// Ports of what belongs behind a firewall: Telnet, remote calls, files, directories, databases, Docker, remote desktops.
const INSIDE_ONLY: &[u16] = &[
    23, 111, 135, 139, 389, 445, 512, 513, 514, 873, 1433, 1521, 2049, 2375, 3306, 3389, 5432,
    5900, 5901, 5984, 5985, 6379, 9042, 9200, 11_211, 27_017,
];
/// DNS, and DNS over TLS or QUIC (RFC 7858, RFC 9250).
const DNS_PORTS: [u16; 2] = [53, 853];
/// Where mail is delivered.
const SMTP_PORT: u16 = 25;
/// Hosts that asked resolvers of ours without which nothing is learned of where names are asked; of those that ask, at most
/// one in so many asks outside.
const ASKERS_MIN: u32 = 3;
const OUTSIDE_SHARE: u32 = 4;
/// From here on ports are mostly clients' own.
const EPHEMERAL: u16 = 32_768;
/// Stands for any host of ours in the filter of paths.
const ANYBODY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
/// Stands for a question to a resolver outside in the filter of paths: no path has this port.
const DNS_SALT: u16 = 0;
/// Bytes of each generation of the filters of known services and paths.
const KNOWN: usize = 1 << 18;
/// How long a generation of what is known lasts: a month.
const GENERATION_SECS: u64 = 30 * 86_400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Contract {
    CleartextPassword,
    OldTls,
    ExpiredCertificate,
    CertificateEnds,
    ExposedService,
    NewService,
    NewPath,
    ForbiddenPath,
    NewSegmentPath,
    DirectDns,
    DirectSmtp,
}

impl Contract {
    const fn as_str(self) -> &'static str {
        match self {
            Self::CleartextPassword => "cleartext_password",
            Self::OldTls => "old_tls",
            Self::ExpiredCertificate => "expired_certificate",
            Self::CertificateEnds => "certificate_ends",
            Self::ExposedService => "exposed_service",
            Self::NewService => "new_service",
            Self::NewPath => "new_path",
            Self::ForbiddenPath => "forbidden_path",
            Self::NewSegmentPath => "new_segment_path",
            Self::DirectDns => "direct_dns",
            Self::DirectSmtp => "direct_smtp",
        }
    }

    /// Whether it is broken by whoever begins the connection, not by whoever answers.
    const fn is_the_clients(self) -> bool {
        matches!(
            self,
            Self::NewPath
                | Self::ForbiddenPath
                | Self::NewSegmentPath
                | Self::DirectDns
                | Self::DirectSmtp
        )
    }
}

#[derive(Clone, Debug, Default)]
struct Breach {
    /// Which contract: breaches of different ones are different incidents, whoever breaks them.
    subject: u64,
    seen: u64,
    version: u32,
    /// When its certificate ends, in seconds since the epoch.
    ends: u64,
    first: Timestamp,
    live: Live,
}

impl Entry for Breach {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.first.secs()
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
    fn subject(&self) -> u64 {
        self.subject
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Policy {
    settings: PolicySettings,
    declared: Vec<(Option<IpAddr>, u16)>,
    lines: Vec<Line>,
    services: Bloom,
    paths: Bloom,
    /// Hosts of ours that asked a resolver of ours, and those that asked one outside, while learning.
    ask_inside: Bitmap256,
    ask_outside: Bitmap256,
    breaches: Watch<(Contract, IpAddr, u16), Breach>,
    /// The latest record, and the nanoseconds of traffic seen up to it.
    last: Timestamp,
    watched: u64,
}

impl Policy {
    /// Takes its memory.
    pub fn new(settings: PolicySettings) -> Self {
        Self {
            declared: declared(&settings),
            lines: lines(&settings),
            ask_inside: Bitmap256::default(),
            ask_outside: Bitmap256::default(),
            services: Bloom::new(KNOWN, GENERATION_SECS),
            paths: Bloom::new(KNOWN, GENERATION_SECS),
            breaches: Watch::new(POLICY, settings.breaches),
            last: Timestamp(0),
            watched: 0,
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        let place = seen.place();
        match record.kind {
            RecordKind::Login => {
                let tried = record.detail != Login::Tried as u32;
                if tried && CLEARTEXT.contains(&key.dport) && place.dst_ours {
                    self.breach(Contract::CleartextPassword, record, &place, reports);
                }
                let entered = record.detail == Login::Succeeded as u32;
                if entered && self.is_exposed(record, &place) {
                    self.breach(Contract::ExposedService, record, &place, reports);
                }
            }
            RecordKind::OldTls if place.dst_ours => {
                self.breach(Contract::OldTls, record, &place, reports);
            }
            RecordKind::Certificate if place.dst_ours => {
                let (ends, now) = (record.value, record.ts.secs());
                let early = u64::from(self.settings.certificate_days) * 86_400;
                if ends < now {
                    self.breach(Contract::ExpiredCertificate, record, &place, reports);
                } else if ends - now < early {
                    self.breach(Contract::CertificateEnds, record, &place, reports);
                }
            }
            RecordKind::Established => {
                self.watch(record.ts);
                if is_group(key.dst) || is_local(key.dst) || is_local(key.src) {
                    return;
                }
                self.between_segments(record, &place, seen, reports);
                if DNS_PORTS.contains(&key.dport) {
                    self.names(record, &place, seen, reports);
                }
                if key.proto != 6 {
                    return;
                }
                if self.is_exposed(record, &place) {
                    self.breach(Contract::ExposedService, record, &place, reports);
                }
                if place.dst_ours && key.dport < EPHEMERAL {
                    self.service(record, &place, reports);
                }
                if place.src_ours && !place.dst_ours {
                    self.path(record, &place, seen, reports);
                }
            }
            _ => {}
        }
    }

    /// Counts time with traffic only: captures that were put together have months between them, from which nothing was
    /// learned.
    fn watch(&mut self, now: Timestamp) {
        if self.last != Timestamp(0) {
            self.watched += now.since(self.last).min(SILENCE_MAX);
        }
        self.last = self.last.max(now);
    }

    fn watched_secs(&self) -> u64 {
        self.watched / 1_000_000_000
    }

    fn learned(&self) -> bool {
        self.watched_secs() >= u64::from(self.settings.learn_secs)
    }

    /// Whether the service is declared.
    fn is_allowed(&self, record: &HostRecord) -> bool {
        let key = &record.key;
        self.declared
            .iter()
            .any(|(address, port)| *port == key.dport && address.is_none_or(|a| a == key.dst))
    }

    /// Whether somebody outside speaks to what belongs inside.
    fn is_exposed(&self, record: &HostRecord, place: &Place) -> bool {
        let outside = place.declared && place.dst_ours && !place.src_ours;
        outside && INSIDE_ONLY.contains(&record.key.dport) && !self.is_allowed(record)
    }

    fn service(&mut self, record: &HostRecord, place: &Place, reports: &mut Vec<Report>) {
        let key = record.key;
        let breaks = if self.declared.is_empty() {
            self.services
                .insert(endpoint_hash(key.dst, key.dport), record.ts)
                && self.learned()
        } else {
            !self.is_allowed(record)
        };
        if breaks {
            self.breach(Contract::NewService, record, place, reports);
        }
    }

    fn path(
        &mut self,
        record: &HostRecord,
        place: &Place,
        seen: &Seen<'_>,
        reports: &mut Vec<Report>,
    ) {
        let key = &record.key;
        // Servers have few paths outward; clients go where they like, but seldom to a new port.
        let new = self
            .paths
            .insert(endpoint_hash(key.src, key.dport), record.ts);
        let new_to_all = self
            .paths
            .insert(endpoint_hash(ANYBODY, key.dport), record.ts);
        if DNS_PORTS.contains(&key.dport) {
            return;
        }
        if key.dport == SMTP_PORT {
            let declared = seen.places.declares(HostRole::Mail);
            let breaks = if declared {
                !has_role(seen, key.src, &[HostRole::Mail])
                    && !seen.places.has_role(key.dst, HostRole::Mail)
            } else {
                new && self.learned()
            };
            if breaks {
                self.breach_by(
                    Contract::DirectSmtp,
                    record,
                    (place, declared),
                    ("", ""),
                    reports,
                );
            }
        } else if self.learned()
            && if place.role == Role::Intranet {
                new_to_all
            } else {
                new
            }
        {
            self.breach(Contract::NewPath, record, place, reports);
        }
    }

    /// One of ours asks for names.
    fn names(
        &mut self,
        record: &HostRecord,
        place: &Place,
        seen: &Seen<'_>,
        reports: &mut Vec<Report>,
    ) {
        let key = &record.key;
        if !place.src_ours {
            return;
        }
        let learned = self.learned();
        if place.dst_ours {
            if !learned {
                self.ask_inside.insert(endpoint_hash(key.src, 0));
            }
            return;
        }
        if !learned {
            self.ask_outside.insert(endpoint_hash(key.src, 0));
        }
        // One entry for both ports and protocols: who asked outside in the time of learning may.
        let new = self
            .paths
            .insert(endpoint_hash(key.src, DNS_SALT), record.ts);
        let declared = seen.places.declares(HostRole::Resolver);
        let breaks = if declared {
            !has_role(seen, key.src, &[HostRole::Resolver, HostRole::Proxy])
                && !seen.places.has_role(key.dst, HostRole::Resolver)
        } else {
            let (inside, outside) = (self.ask_inside.estimate(), self.ask_outside.estimate());
            let asks_its_own =
                inside >= ASKERS_MIN && outside <= ((inside + outside) / OUTSIDE_SHARE).max(1);
            new && learned && asks_its_own
        };
        if breaks {
            self.breach_by(
                Contract::DirectDns,
                record,
                (place, declared),
                ("", ""),
                reports,
            );
        }
    }

    /// A connection from one segment to another.
    fn between_segments(
        &mut self,
        record: &HostRecord,
        place: &Place,
        seen: &Seen<'_>,
        reports: &mut Vec<Report>,
    ) {
        if !place.declared {
            return;
        }
        let key = &record.key;
        let (from, to) = seen.places.segments(key);
        if from.is_empty() || to.is_empty() || from == to {
            return;
        }
        match matrix::allows(&self.lines, (from, to), (key.proto, key.dport)) {
            Some(true) => {}
            Some(false) => {
                self.breach_by(
                    Contract::ForbiddenPath,
                    record,
                    (place, true),
                    (from, to),
                    reports,
                );
            }
            // Towards outside it is `new_path`'s, from there `new_service`'s.
            None if from == matrix::OUTSIDE || to == matrix::OUTSIDE => {}
            None if key.dport < EPHEMERAL => {
                let pair = hash(from.as_bytes()).rotate_left(23) ^ hash(to.as_bytes());
                let service = u64::from(key.proto) << 16 | u64::from(key.dport);
                let path = (pair ^ service).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                if self.paths.insert(path, record.ts) && self.learned() {
                    self.breach_by(
                        Contract::NewSegmentPath,
                        record,
                        (place, false),
                        (from, to),
                        reports,
                    );
                }
            }
            None => {}
        }
    }

    fn breach(
        &mut self,
        contract: Contract,
        record: &HostRecord,
        place: &Place,
        reports: &mut Vec<Report>,
    ) {
        let declared = contract == Contract::NewService && !self.declared.is_empty();
        self.breach_by(contract, record, (place, declared), ("", ""), reports);
    }

    /// A contract that was declared or learned is broken, between two segments if they have names.
    fn breach_by(
        &mut self,
        contract: Contract,
        record: &HostRecord,
        (place, declared): (&Place, bool),
        (from, to): (&str, &str),
        reports: &mut Vec<Report>,
    ) {
        let key = record.key;
        let whose = if contract.is_the_clients() {
            key.src
        } else {
            key.dst
        };
        let breach_key = (contract, whose, key.dport);
        let Some(breach) = self.breaches.entry(breach_key, Breach::default) else {
            return;
        };
        if breach.seen == 0 {
            breach.first = record.ts;
            breach.subject = hash(contract.as_str().as_bytes());
        }
        breach.seen += 1;
        breach.version = record.detail;
        breach.ends = record.value;
        let size = breach.seen;
        let entered = contract == Contract::ExposedService && record.kind == RecordKind::Login;
        let severity = match (contract, place.declared, place.role) {
            (
                Contract::CleartextPassword | Contract::OldTls | Contract::ExpiredCertificate,
                false,
                _,
            )
            | (Contract::CertificateEnds, ..) => Severity::Informational,
            // Told at once, however often it was said that it is exposed.
            (Contract::ExposedService, ..) if entered => Severity::Critical,
            (Contract::ExposedService, ..)
            | (
                Contract::NewService
                | Contract::NewPath
                | Contract::ForbiddenPath
                | Contract::NewSegmentPath
                | Contract::DirectDns
                | Contract::DirectSmtp,
                _,
                Role::Dmz,
            ) => Severity::Major,
            _ => Severity::Minor,
        };
        let learned_secs = self.watched_secs();
        self.breaches.alarm_as(
            severity,
            breach_key,
            record,
            (key, size),
            reports,
            Breach::default,
            |breach| Says {
                confidence: 0.9,
                efficacy: if entered {
                    Efficacy::Confirmed
                } else {
                    Efficacy::Unknown
                },
                reason: if entered {
                    "somebody outside logged in"
                } else {
                    ""
                },
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("contract", contract.as_str())
                        .num("seen", breach.seen)
                        .num("port", key.dport);
                    match contract {
                        Contract::OldTls => {
                            json.str("version", tls_name(breach.version));
                        }
                        Contract::ExpiredCertificate => {
                            let over = record.ts.secs().saturating_sub(breach.ends);
                            json.num("days_over", over / 86_400);
                        }
                        Contract::CertificateEnds => {
                            let left = breach.ends.saturating_sub(record.ts.secs());
                            json.num("days_left", left / 86_400);
                        }
                        Contract::CleartextPassword => {}
                        Contract::ExposedService => {
                            json.bool("logged_in", entered);
                        }
                        Contract::NewService
                        | Contract::NewPath
                        | Contract::ForbiddenPath
                        | Contract::NewSegmentPath
                        | Contract::DirectDns
                        | Contract::DirectSmtp => {
                            json.str("by", if declared { "declaration" } else { "learning" })
                                .num("learned_secs", learned_secs);
                            if !from.is_empty() {
                                json.str("from_segment", from).str("to_segment", to);
                            }
                        }
                    }
                }),
            },
        );
    }
}

/// A version of TLS by its number on the wire.
const fn tls_name(version: u32) -> &'static str {
    match version {
        0x0300 => "SSL 3.0",
        0x0301 => "TLS 1.0",
        0x0302 => "TLS 1.1",
        _ => "older",
    }
}

/// The services that are allowed.
fn declared(settings: &PolicySettings) -> Vec<(Option<IpAddr>, u16)> {
    let services = settings.services.iter();
    services
        .filter_map(|text| PolicySettings::service(text).ok())
        .collect()
}

/// The declared matrix.
fn lines(settings: &PolicySettings) -> Vec<Line> {
    let lines = settings.paths.iter().take(matrix::LINES);
    lines.filter_map(|text| Line::parse(text).ok()).collect()
}

/// Whether a host has one of these roles, or one whose duty is to try everything.
fn has_role(seen: &Seen<'_>, host: IpAddr, roles: &[HostRole]) -> bool {
    let duties = [HostRole::Scanner, HostRole::Monitor];
    let mut all = roles.iter().chain(&duties);
    all.any(|role| seen.places.has_role(host, *role))
}

impl Detector for Policy {
    fn kinds(&self) -> &'static [RecordKind] {
        &[
            RecordKind::Login,
            RecordKind::OldTls,
            RecordKind::Certificate,
            RecordKind::Established,
        ]
    }
    fn memory(&self) -> Memory {
        self.services.memory() + self.paths.memory() + self.breaches.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.declared = declared(&settings.policy);
        self.lines = lines(&settings.policy);
        self.settings = settings.policy.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.breaches
            .tick(now, self.settings.off_secs, reports, Breach::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{run_at, run_with};
    use super::super::live::tests::record;
    use super::super::place::{HostRole, Places, Undeclared};
    use super::*;
    use crate::packet::FlowKey;

    /// A client's connection to 10.0.0.`host` at a port.
    fn connected(host: u32, port: u16, ms: u64) -> HostRecord {
        let mut r = record(RecordKind::Established, 6, 1, host, port, ms);
        r.key.dst = IpAddr::from((10 << 24 | host).to_be_bytes());
        r.key.src = IpAddr::from([203, 0, 113, 5]);
        r
    }

    fn login(port: u16) -> HostRecord {
        HostRecord {
            kind: RecordKind::Login,
            detail: Login::Succeeded as u32,
            ..connected(7, port, 0)
        }
    }

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    /// Eight days in which host 7 is asked for HTTPS every hour.
    fn learning() -> Vec<HostRecord> {
        (0..8 * 24).map(|h| connected(7, 443, h * HOUR)).collect()
    }

    fn run(settings: PolicySettings, records: Vec<HostRecord>) -> Vec<Report> {
        run_with(&mut Policy::new(settings), Role::Dmz, records)
    }

    #[test]
    fn a_service_that_was_never_there_is_a_breach_at_its_first_connection() {
        let mut records = learning();
        records.push(connected(7, 4444, 8 * DAY));
        records.push(connected(7, 443, 9 * DAY));
        let reports = run(PolicySettings::default(), records);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].key.dport, 4444);
        println!("new service: alert at its first connection");
    }

    #[test]
    fn while_learning_and_for_clients_own_ports_nothing_is_said() {
        let first = (1..100).map(|p| connected(7, p, u64::from(p) * 1_000));
        assert!(run(PolicySettings::default(), first.collect()).is_empty());
        let mut own = learning();
        own.push(connected(7, 50_000, 8 * DAY));
        assert!(run(PolicySettings::default(), own).is_empty());
    }

    #[test]
    fn from_months_without_traffic_nothing_is_learned() {
        let records = vec![connected(7, 443, 0), connected(7, 4444, 90 * DAY)];
        assert!(run(PolicySettings::default(), records).is_empty());
    }

    #[test]
    fn a_declared_list_holds_at_once() {
        let declared = PolicySettings {
            services: vec!["10.0.0.7:443".to_owned(), "*:80".to_owned()],
            ..PolicySettings::default()
        };
        let records = vec![
            connected(7, 443, 0),
            connected(8, 80, 1),
            connected(8, 443, 2),
        ];
        let reports = run(declared, records);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].key.dst, IpAddr::from([10, 0, 0, 8]));
        assert!(PolicySettings::service("10.0.0.7").is_err());
        assert!(PolicySettings::service("[2001:db8::1]:443").is_ok());
    }

    #[test]
    fn a_new_way_out_is_a_breach_after_learning() {
        let out = |port, ms| record(RecordKind::Established, 6, 7, 9, port, ms);
        let reports = run(
            PolicySettings::default(),
            (0..8 * 24)
                .map(|h| out(443, h * HOUR))
                .chain([out(6667, 8 * DAY)])
                .collect(),
        );
        assert_eq!(reports.len(), 1);
    }

    /// The same as nothing declared, but somebody drew segments.
    #[derive(Debug)]
    struct Drawn;
    impl Places for Drawn {
        fn place(&self, key: &FlowKey, interface: u16) -> Place {
            Place {
                declared: true,
                ..Undeclared(Role::Dmz).place(key, interface)
            }
        }
        fn has_role(&self, _: IpAddr, _: HostRole) -> bool {
            false
        }
    }

    #[test]
    fn cleartext_passwords_and_old_tls_matter_where_segments_are_declared() {
        let old = HostRecord {
            kind: RecordKind::OldTls,
            detail: 0x0301,
            ..connected(7, 443, 1)
        };
        let records = vec![login(110), old, login(995)];
        let undeclared = run(PolicySettings::default(), records.clone());
        assert_eq!(undeclared.len(), 2);
        assert!(
            undeclared
                .iter()
                .all(|r| r.severity == Severity::Informational)
        );
        let mut policy = Policy::new(PolicySettings::default());
        let drawn = run_at(&mut policy, &Drawn, records);
        assert!(drawn.iter().all(|r| r.severity == Severity::Minor));
    }

    #[test]
    fn a_database_that_the_world_reaches_is_a_breach_and_a_login_there_has_worked() {
        let run =
            |settings: PolicySettings, records| run_at(&mut Policy::new(settings), &Drawn, records);
        let reports = run(
            PolicySettings::default(),
            vec![connected(7, 3306, 0), login(3306)],
        );
        let told: Vec<_> = reports.iter().map(|r| (r.state, r.efficacy)).collect();
        assert_eq!(
            told,
            [("open", Efficacy::Unknown), ("update", Efficacy::Confirmed)]
        );
        // A web server; a client of ours; what was declared.
        let web = run(PolicySettings::default(), vec![connected(7, 443, 0)]);
        assert!(web.is_empty());
        let mut ours = connected(7, 3306, 0);
        ours.key.src = IpAddr::from([10, 0, 0, 9]);
        assert!(run(PolicySettings::default(), vec![ours]).is_empty());
        let meant = PolicySettings {
            services: vec!["10.0.0.7:3306".to_owned()],
            ..PolicySettings::default()
        };
        assert!(run(meant, vec![connected(7, 3306, 0), login(3306)]).is_empty());
        // Nobody said what is ours.
        let mut policy = Policy::new(PolicySettings::default());
        assert!(run_with(&mut policy, Role::Dmz, vec![connected(7, 3306, 0)]).is_empty());
    }

    #[test]
    fn a_certificate_is_told_before_its_end_and_after_it() {
        let shown = |ends: u64| {
            let r = HostRecord {
                kind: RecordKind::Certificate,
                ..connected(7, 443, 100 * DAY)
            };
            let mut policy = Policy::new(PolicySettings::default());
            let value = (r.ts.secs() + 40 * 86_400) - ends * 86_400;
            run_at(&mut policy, &Drawn, vec![HostRecord { value, ..r }; 3])
        };
        let severity = |days: u64| shown(days).iter().map(|r| r.severity).collect::<Vec<_>>();
        assert_eq!(severity(50), [Severity::Minor]);
        assert_eq!(severity(30), [Severity::Informational]);
        assert!(severity(20).is_empty(), "twenty days are left");
        let evidence = String::from_utf8_lossy(&shown(50)[0].evidence).into_owned();
        assert!(evidence.contains("expired_certificate"), "{evidence}");
        // Of the world's servers nobody here takes care.
        let foreign = HostRecord {
            kind: RecordKind::Certificate,
            value: 5,
            ..record(RecordKind::Certificate, 6, 7, 9, 443, 1)
        };
        let mut policy = Policy::new(PolicySettings::default());
        assert!(run_at(&mut policy, &Drawn, vec![foreign]).is_empty());
    }

    /// Two segments, 10.1/16 and 10.2/16; 10.2.0.53 resolves names and 10.2.0.25 carries mail, as far as that is said.
    #[derive(Debug)]
    struct House {
        role: Role,
        duties: bool,
    }
    impl Places for House {
        fn place(&self, key: &FlowKey, interface: u16) -> Place {
            Place {
                declared: true,
                ..Undeclared(self.role).place(key, interface)
            }
        }
        fn has_role(&self, address: IpAddr, role: HostRole) -> bool {
            let duty = match role {
                HostRole::Resolver => [10, 2, 0, 53],
                HostRole::Mail => [10, 2, 0, 25],
                _ => return false,
            };
            self.duties && address == IpAddr::from(duty)
        }
        fn declares(&self, role: HostRole) -> bool {
            self.duties && matches!(role, HostRole::Resolver | HostRole::Mail)
        }
        fn segments(&self, key: &FlowKey) -> (&str, &str) {
            let of = |address: IpAddr| match address {
                IpAddr::V4(a) => match a.octets() {
                    [10, 1, ..] => "lan",
                    [10, 2, ..] => "dmz",
                    [10, ..] => "",
                    _ => matrix::OUTSIDE,
                },
                IpAddr::V6(_) => "",
            };
            (of(key.src), of(key.dst))
        }
    }

    fn flow(proto: u8, src: [u8; 4], dst: [u8; 4], port: u16, ms: u64) -> HostRecord {
        let mut r = record(RecordKind::Established, proto, 1, 1, port, ms);
        (r.key.src, r.key.dst) = (src.into(), dst.into());
        r
    }

    /// What was broken, by the contracts' names.
    fn broken(house: &House, settings: PolicySettings, records: Vec<HostRecord>) -> Vec<String> {
        let reports = run_at(&mut Policy::new(settings), house, records);
        let name = |r: &Report| {
            let text = [b"{", r.evidence.as_slice(), b"}"].concat();
            let read: serde_json::Value = serde_json::from_slice(&text).expect("evidence");
            format!(
                "{} {}",
                read["contract"].as_str().unwrap_or(""),
                read["by"].as_str().unwrap_or("")
            )
        };
        reports.iter().map(name).collect()
    }

    const LAN: House = House {
        role: Role::Intranet,
        duties: false,
    };

    #[test]
    fn the_matrix_between_segments_holds_from_the_first_connection() {
        let settings = PolicySettings {
            paths: vec![
                "lan > dmz: 443 udp/123".to_owned(),
                "lan > outside: 443".to_owned(),
            ],
            ..PolicySettings::default()
        };
        let (client, server) = ([10, 1, 0, 7], [10, 2, 0, 80]);
        let of = |records| broken(&LAN, settings.clone(), records);
        let kept = vec![
            flow(6, client, server, 443, 0),
            flow(17, client, server, 123, 1),
            flow(6, client, [203, 0, 113, 9], 443, 2),
            // Nobody said what servers may, and within a segment everybody may talk.
            flow(6, server, client, 22, 3),
            flow(6, client, [10, 1, 0, 8], 22, 4),
            flow(6, client, [10, 9, 0, 8], 22, 5),
        ];
        assert!(of(kept).is_empty());
        for breaks in [
            flow(6, client, server, 22, 0),
            flow(17, client, server, 443, 0),
            flow(6, client, [203, 0, 113, 9], 8443, 0),
        ] {
            assert_eq!(of(vec![breaks; 3]), ["forbidden_path declaration"]);
        }
    }

    #[test]
    fn a_path_between_segments_that_was_never_used_is_new_after_learning() {
        let (a, b, server) = ([10, 1, 0, 7], [10, 1, 0, 8], [10, 2, 0, 80]);
        let mut records: Vec<_> = (0..8 * 24)
            .map(|h| flow(6, a, server, 443, h * HOUR))
            .collect();
        // Another client may what its segment does; clients' own ports are nothing.
        records.push(flow(6, b, server, 443, 8 * DAY));
        records.push(flow(6, b, server, 50_000, 8 * DAY));
        let quiet = broken(&LAN, PolicySettings::default(), records.clone());
        assert!(quiet.is_empty(), "{quiet:?}");
        records.push(flow(6, server, a, 445, 8 * DAY));
        let told = broken(&LAN, PolicySettings::default(), records);
        assert!(
            told.contains(&"new_segment_path learning".to_owned()),
            "{told:?}"
        );
    }

    #[test]
    fn who_passes_the_declared_resolver_or_mail_host_by_is_told() {
        let house = House {
            role: Role::Intranet,
            duties: true,
        };
        let (client, far) = ([10, 1, 0, 7], [203, 0, 113, 9]);
        let of = |record| broken(&house, PolicySettings::default(), vec![record]);
        for (proto, port) in [(17, 53), (6, 53), (6, 853), (17, 853)] {
            assert_eq!(
                of(flow(proto, client, far, port, 0)),
                ["direct_dns declaration"]
            );
        }
        assert_eq!(of(flow(6, client, far, 25, 0)), ["direct_smtp declaration"]);
        // The resolver and the mail host themselves; who uses them; mail handed to a provider.
        for record in [
            flow(17, [10, 2, 0, 53], far, 53, 0),
            flow(6, [10, 2, 0, 25], far, 25, 0),
            flow(17, client, [10, 2, 0, 53], 53, 0),
            flow(6, client, [10, 2, 0, 25], 25, 0),
            flow(6, client, far, 587, 0),
        ] {
            let told = of(record);
            assert!(told.is_empty(), "{told:?}");
        }
    }

    #[test]
    fn where_names_are_asked_is_learned_from_a_house_that_asks_its_own_resolver() {
        let (resolver, far) = ([10, 2, 0, 53], [203, 0, 113, 9]);
        let week = |own: bool| {
            let mut records = Vec::new();
            for hour in 0..8 * 24u64 {
                for client in 1..=8u8 {
                    let to = if own { resolver } else { far };
                    records.push(flow(17, [10, 1, 0, client], to, 53, hour * HOUR));
                }
                records.push(flow(17, resolver, far, 53, hour * HOUR + 1));
                records.push(flow(6, [10, 2, 0, 25], far, 25, hour * HOUR + 2));
            }
            records
        };
        let after = |own: bool, last: HostRecord| {
            let records = week(own).into_iter().chain([last]).collect();
            broken(&LAN, PolicySettings::default(), records)
        };
        let client = [10, 1, 0, 3];
        let asks = flow(17, client, far, 53, 8 * DAY);
        assert_eq!(after(true, asks), ["direct_dns learning"]);
        // A house in which everybody asks outside; the resolver, for whom it is usual.
        assert!(after(false, flow(17, [10, 1, 0, 99], far, 53, 8 * DAY)).is_empty());
        assert!(after(true, flow(17, resolver, [198, 51, 100, 1], 53, 8 * DAY)).is_empty());
        // Mail: a client that never delivered any, and the host that does.
        assert_eq!(
            after(true, flow(6, client, far, 25, 8 * DAY)),
            ["direct_smtp learning"]
        );
        assert!(
            after(
                true,
                flow(6, [10, 2, 0, 25], [198, 51, 100, 1], 25, 8 * DAY)
            )
            .is_empty()
        );
    }

    #[test]
    fn inside_a_port_that_others_use_is_no_new_path_for_a_new_client() {
        let far = [203, 0, 113, 9];
        let mut records: Vec<_> = (0..8 * 24)
            .map(|h| flow(6, [10, 1, 0, 7], far, 443, h * HOUR))
            .collect();
        records.push(flow(6, [10, 1, 0, 99], far, 443, 8 * DAY));
        let of = |role, records| {
            broken(
                &House {
                    role,
                    duties: false,
                },
                PolicySettings::default(),
                records,
            )
        };
        assert!(of(Role::Intranet, records.clone()).is_empty());
        assert_eq!(of(Role::Dmz, records.clone()), ["new_path learning"]);
        records.push(flow(6, [10, 1, 0, 7], far, 6667, 9 * DAY));
        assert_eq!(of(Role::Intranet, records), ["new_path learning"]);
    }

    #[test]
    fn random_pairs_between_segments_take_no_more_memory_and_hide_no_breach() {
        let mut policy = Policy::new(PolicySettings {
            paths: vec!["dmz > lan: none".to_owned()],
            learn_secs: 1,
            breaches: 64,
            ..PolicySettings::default()
        });
        let bytes = Detector::memory(&policy).bytes;
        let mut records: Vec<_> = (0..50_000u32)
            .map(|i| {
                let [_, _, a, b] = i.to_be_bytes();
                let port = (i.wrapping_mul(7_919) % 300) as u16;
                flow(
                    if i % 2 == 0 { 6 } else { 17 },
                    [10, 1, a, b],
                    [10, 2, b, a],
                    port,
                    u64::from(i),
                )
            })
            .collect();
        records.push(flow(6, [10, 2, 0, 80], [10, 1, 0, 1], 22, 60_000));
        let reports = run_at(&mut policy, &LAN, records);
        assert_eq!(Detector::memory(&policy).bytes, bytes);
        let forbidden =
            |r: &Report| String::from_utf8_lossy(&r.evidence).contains("forbidden_path");
        assert!(reports.iter().any(forbidden));
    }

    #[test]
    fn random_services_take_no_more_memory() {
        let mut policy = Policy::new(PolicySettings {
            learn_secs: 1,
            breaches: 64,
            ..PolicySettings::default()
        });
        let bytes = Detector::memory(&policy).bytes;
        let records = (0..50_000u32)
            .map(|i| connected(i, (i % 30_000) as u16, u64::from(i)))
            .collect();
        run_with(&mut policy, Role::Dmz, records);
        assert_eq!(Detector::memory(&policy).bytes, bytes);
    }
}
