//! Trouble of devices and accidents of operation (detectors.md D19), as hypotheses that compete with attack:
//! - `silent`: a service that answered no longer does, and real clients (few enough, retrying) ask in vain;
//! - `refuses`: it refuses those whom it served;
//! - `dns_failing`: a resolver answers SERVFAIL for many names;
//! - `dhcp_silent`: a link whose DHCP server was heard asks for addresses in vain;
//! - `route_loop`: a router lets many packets die of their hop limit.
//!
//! Only what worked before can fail: a dead address that never answered is nobody's trouble. Forged floods look alike but
//! do not retry, and each of their packets has a source of its own: then it is the flood's
//! ([`super::syn_flood`]), and nothing is said here.
//! What is *not* trouble: one client with a wrong address; one broken domain; traceroute; a restart of seconds.
//! Memory: fixed, one record per service.

use std::net::IpAddr;

use super::SERVICE_TROUBLE;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceTroubleSettings {
    /// Seconds of silence. Default 10 (detectors.md D19).
    pub silent_secs: u32,
    /// Seconds of silence when at least ten clients ask again and again. Default 5.
    pub crowd_secs: u32,
    /// Seconds of silence after which the service counts as down. Default 60 (detectors.md D19).
    pub down_secs: u32,
    /// Distinct clients that ask in vain. Default 2.
    pub clients_min: u32,
    /// Attempts in vain, retries included. Default 6.
    pub attempts_min: u32,
    /// SERVFAIL answers in a minute. Default 30.
    pub servfail_min: u32,
    /// Distinct names among them. Default 5: one broken domain is its owner's trouble.
    pub names_min: u32,
    /// Hop limits exceeded at one router in ten seconds. Default 200: traceroute makes some dozens.
    pub exceeded_min: u32,
    /// Services watched. Default 8,192.
    pub services: usize,
    /// Quiet seconds after which an incident closes. Default 60.
    pub off_secs: u32,
}

impl Default for ServiceTroubleSettings {
    fn default() -> Self {
        Self {
            silent_secs: 10,
            crowd_secs: 5,
            down_secs: 60,
            clients_min: 2,
            attempts_min: 6,
            servfail_min: 30,
            names_min: 5,
            exceeded_min: 200,
            services: 8_192,
            off_secs: 60,
        }
    }
}

/// Clients that are a crowd.
const CROWD: u32 = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Tcp,
    Dns,
    Dhcp,
    Route,
}

#[derive(Clone, Debug, Default)]
struct Meter {
    /// Answers ever, and the last one.
    answered: u64,
    last_answer: Timestamp,
    /// In vain since the last answer.
    since: Timestamp,
    attempts: u32,
    firsts: u32,
    retries: u32,
    refused: u32,
    clients: Bitmap256,
    names: Bitmap256,
    last: Timestamp,
    live: Live,
}

impl Entry for Meter {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.answered.min(0xff_ffff) << 36 | self.last.secs() & 0xf_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Meter {
    fn answer(&mut self, now: Timestamp) {
        let (answered, live) = (self.answered.saturating_add(1), self.live);
        *self = Self {
            answered,
            live,
            last_answer: now,
            last: now,
            ..Self::default()
        };
    }

    fn fail(&mut self, record: &HostRecord) {
        if self.since == Timestamp(0) {
            self.since = record.ts;
        }
        self.last = record.ts;
        self.attempts = self.attempts.saturating_add(1);
        self.clients.insert(endpoint_hash(record.key.src, 0));
    }

    /// Forged senders: each its own, and none asks again.
    fn looks_forged(&self) -> bool {
        let clients = self.clients.estimate();
        clients >= 50 && self.retries * 10 < self.firsts && clients * 10 >= self.firsts.min(600) * 8
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct ServiceTrouble {
    settings: ServiceTroubleSettings,
    meters: Watch<(Kind, IpAddr, u16), Meter>,
}

/// What is wrong, for the report.
struct Wrong {
    what: &'static str,
    key: (Kind, IpAddr, u16),
    flow: FlowKey,
    secs: u64,
}

impl ServiceTrouble {
    /// Takes its memory.
    pub fn new(settings: ServiceTroubleSettings) -> Self {
        Self {
            meters: Watch::new(SERVICE_TROUBLE, settings.services),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        match record.kind {
            RecordKind::DnsName | RecordKind::DnsTrouble | RecordKind::Resolved => {
                self.dns(record, reports);
            }
            RecordKind::Dhcp => self.dhcp(record, reports),
            RecordKind::TimeExceeded => self.route(record, reports),
            _ if record.key.proto == 6 => self.tcp(record, seen, reports),
            _ => {}
        }
    }

    fn tcp(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = (Kind::Tcp, record.key.dst, record.key.dport);
        let Some(meter) = self.meters.entry(key, Meter::default) else {
            return;
        };
        match record.kind {
            RecordKind::SynAck | RecordKind::Established => {
                meter.answer(record.ts);
                return;
            }
            RecordKind::Opened => {
                meter.fail(record);
                meter.firsts += 1;
            }
            RecordKind::SynRetry => {
                meter.fail(record);
                meter.retries += 1;
            }
            RecordKind::Refused => {
                meter.fail(record);
                meter.refused += 1;
            }
            _ => return,
        }
        let settings = &self.settings;
        let secs = record.ts.secs_since(meter.since);
        let refuses = meter.refused * 2 >= meter.attempts.saturating_sub(meter.firsts).max(1);
        let crowd = meter.clients.estimate() >= CROWD && meter.retries >= 2 * CROWD;
        let secs_min = if crowd {
            settings.crowd_secs.min(settings.silent_secs)
        } else {
            settings.silent_secs
        };
        if meter.answered < 3
            || secs < u64::from(secs_min)
            || meter.clients.estimate() < settings.clients_min
            || meter.attempts < settings.attempts_min
            // Silence without anybody asking again is the silence of forged senders.
            || (!refuses && meter.retries == 0)
            || meter.looks_forged()
            || seen.is_flooded()
        {
            return;
        }
        let wrong = Wrong {
            what: if refuses { "refuses" } else { "silent" },
            key,
            flow: record.key,
            secs,
        };
        self.tell(record, &wrong, reports);
    }

    fn dns(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = (Kind::Dns, record.key.dst, 53);
        if record.kind == RecordKind::Resolved {
            // The destination is the address that was found, not the server.
            return;
        }
        let Some(meter) = self.meters.entry(key, Meter::default) else {
            return;
        };
        if record.ts.is_outside(meter.since, 60) {
            let live = meter.live;
            *meter = Meter {
                live,
                since: record.ts,
                ..Meter::default()
            };
        }
        meter.last = record.ts;
        if record.kind == RecordKind::DnsName {
            meter.firsts = meter.firsts.saturating_add(1);
            return;
        }
        if record.detail != 1 {
            return;
        }
        meter.attempts += 1;
        meter.clients.insert(endpoint_hash(record.key.src, 0));
        meter
            .names
            .insert(record.value.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 24);
        let settings = &self.settings;
        // Most of what is asked fails, and not one name only.
        if meter.attempts < settings.servfail_min
            || meter.names.estimate() < settings.names_min
            || meter.attempts * 2 < meter.firsts
        {
            return;
        }
        let wrong = Wrong {
            what: "dns_failing",
            key,
            flow: record.key,
            secs: record.ts.secs_since(meter.since),
        };
        self.tell(record, &wrong, reports);
    }

    fn dhcp(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let link = IpAddr::from([0, 0, 0, 0]);
        let key = (Kind::Dhcp, link, record.key.vlan[0]);
        let Some(meter) = self.meters.entry(key, Meter::default) else {
            return;
        };
        match record.detail {
            2 | 5 => return meter.answer(record.ts),
            1 => meter.fail(record),
            _ => return,
        }
        let secs = record.ts.secs_since(meter.since);
        if meter.answered == 0
            || meter.attempts < self.settings.attempts_min
            || secs < u64::from(self.settings.silent_secs)
        {
            return;
        }
        let wrong = Wrong {
            what: "dhcp_silent",
            key,
            flow: record.key,
            secs,
        };
        self.tell(record, &wrong, reports);
    }

    fn route(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = (Kind::Route, record.key.src, 0);
        let Some(meter) = self.meters.entry(key, Meter::default) else {
            return;
        };
        if record.ts.is_outside(meter.since, 10) {
            let live = meter.live;
            *meter = Meter {
                live,
                since: record.ts,
                ..Meter::default()
            };
        }
        meter.last = record.ts;
        meter.attempts += 1;
        meter.clients.insert(endpoint_hash(record.key.dst, 0));
        meter.names.insert(record.value >> 11);
        if meter.attempts < self.settings.exceeded_min {
            return;
        }
        let wrong = Wrong {
            what: "route_loop",
            key,
            flow: record.key,
            secs: record.ts.secs_since(meter.since),
        };
        self.tell(record, &wrong, reports);
    }

    fn tell(&mut self, record: &HostRecord, wrong: &Wrong, reports: &mut Vec<Report>) {
        let settings = &self.settings;
        let down = wrong.secs >= u64::from(settings.down_secs) && wrong.key.0 == Kind::Tcp;
        let attempts = self
            .meters
            .entry(wrong.key, Meter::default)
            .map_or(1, |m| u64::from(m.attempts));
        self.meters.alarm_as(
            Severity::Minor,
            wrong.key,
            record,
            (wrong.flow, attempts),
            reports,
            Meter::default,
            |meter| Says {
                confidence: 0.9,
                efficacy: if down {
                    Efficacy::Likely
                } else {
                    Efficacy::Unknown
                },
                reason: if down { "the service is down" } else { "" },
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("what", wrong.what)
                        .num("secs", wrong.secs)
                        .num("attempts_in_vain", meter.attempts)
                        .num("retries", meter.retries)
                        .num("refused", meter.refused)
                        .num("clients", meter.clients.estimate())
                        .num("answered_before", meter.answered);
                    if meter.last_answer != Timestamp(0) {
                        json.num(
                            "secs_since_last_answer",
                            record.ts.secs_since(meter.last_answer),
                        );
                    }
                    match wrong.key.0 {
                        Kind::Tcp | Kind::Dhcp => {
                            json.num("secs_min", settings.silent_secs)
                                .num("attempts_min", settings.attempts_min);
                        }
                        Kind::Dns => {
                            json.num("names", meter.names.estimate())
                                .num("questions", meter.firsts)
                                .num("servfail_min", settings.servfail_min);
                        }
                        Kind::Route => {
                            json.num("destinations", meter.names.estimate())
                                .num("exceeded_min", settings.exceeded_min);
                        }
                    }
                    json.str("against_attack", "senders retry and are few")
                        .num("port", wrong.flow.dport);
                }),
            },
        );
    }
}

impl Detector for ServiceTrouble {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Opened,
            K::SynRetry,
            K::SynAck,
            K::Established,
            K::Refused,
            K::DnsName,
            K::DnsTrouble,
            K::Dhcp,
            K::TimeExceeded,
        ]
    }
    fn memory(&self) -> Memory {
        self.meters.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.service_trouble.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.meters
            .tick(now, self.settings.off_secs, reports, Meter::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn tcp(kind: RecordKind, src: u32, ms: u64) -> HostRecord {
        record(kind, 6, src, 1, 443, ms)
    }

    fn served(n: u64) -> Vec<HostRecord> {
        (0..n)
            .flat_map(|i| {
                let src = (i % 5) as u32 + 1;
                [
                    tcp(RecordKind::Opened, src, i * 100),
                    tcp(RecordKind::SynAck, src, i * 100 + 1),
                ]
            })
            .collect()
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut trouble = ServiceTrouble::new(ServiceTroubleSettings::default());
        run_with(&mut trouble, Role::Dmz, records)
    }

    fn says(reports: &[Report]) -> String {
        reports
            .first()
            .map(|r| String::from_utf8_lossy(&r.evidence).into_owned())
            .unwrap_or_default()
    }

    #[test]
    fn a_server_that_goes_silent_is_trouble_after_ten_seconds() {
        let mut records = served(50);
        for i in 0..20u64 {
            let src = (i % 4) as u32 + 1;
            records.push(tcp(RecordKind::Opened, src, 10_000 + i * 2_000));
            records.push(tcp(RecordKind::SynRetry, src, 11_000 + i * 2_000));
        }
        records.sort_by_key(|r| r.ts);
        let reports = run(records);
        assert_eq!(reports.len(), 1);
        assert!(says(&reports).contains("silent"));
        println!(
            "server down: alert {} ms after the last answer",
            reports[0].number - 4_901
        );
    }

    #[test]
    fn a_service_that_stopped_refuses_and_is_trouble() {
        let mut records = served(50);
        for i in 0..20u64 {
            let src = (i % 4) as u32 + 1;
            records.push(tcp(RecordKind::Opened, src, 10_000 + i * 1_000));
            records.push(tcp(RecordKind::Refused, src, 10_001 + i * 1_000));
        }
        let reports = run(records);
        assert!(says(&reports).contains("refuses"), "{}", says(&reports));
    }

    #[test]
    fn forged_floods_dead_addresses_and_restarts_are_not() {
        let mut flood = served(50);
        flood.extend((0..2_000u32).map(|i| {
            tcp(
                RecordKind::Opened,
                1_000 + i * 7,
                10_000 + u64::from(i) * 20,
            )
        }));
        assert!(run(flood).is_empty(), "flood");
        let dead = (0..100u64).map(|i| {
            let kind = if i % 3 == 0 {
                RecordKind::Opened
            } else {
                RecordKind::SynRetry
            };
            tcp(kind, (i % 9) as u32, i * 1_000)
        });
        assert!(run(dead.collect()).is_empty(), "never answered");
        let mut restart = served(50);
        for i in 0..8u64 {
            restart.push(tcp(
                RecordKind::SynRetry,
                (i % 4) as u32,
                10_000 + i * 1_000,
            ));
        }
        restart.extend(served(5).into_iter().map(|mut r| {
            r.ts = r.ts.plus_nanos(19_000_000_000);
            r
        }));
        assert!(run(restart).is_empty(), "restart");
        let mut one = served(50);
        one.extend((0..60u64).map(|i| tcp(RecordKind::SynRetry, 1, 10_000 + i * 1_000)));
        assert!(run(one).is_empty(), "one client");
    }

    #[test]
    fn a_resolver_that_fails_for_many_names_is_trouble_and_one_broken_domain_is_not() {
        let fails = |names: u64| -> Vec<HostRecord> {
            (0..80u64)
                .flat_map(|i| {
                    let fail = HostRecord {
                        detail: 1,
                        value: i % names + 1,
                        ..record(RecordKind::DnsTrouble, 17, 1, 1, 53, i * 200 + 1)
                    };
                    [record(RecordKind::DnsName, 17, 1, 1, 53, i * 200), fail]
                })
                .collect()
        };
        assert_eq!(run(fails(40)).len(), 1);
        assert!(run(fails(1)).is_empty());
    }

    #[test]
    fn discoveries_without_an_offer_are_trouble_where_a_server_was_heard() {
        let dhcp = |kind: u32, ms| HostRecord {
            detail: kind,
            ..record(RecordKind::Dhcp, 17, 1, 1, 67, ms)
        };
        let asks = (0..10).map(|i| dhcp(1, 10_000 + i * 2_000));
        assert!(run(asks.clone().collect()).is_empty());
        let reports = run([dhcp(2, 0)].into_iter().chain(asks).collect());
        assert!(says(&reports).contains("dhcp_silent"));
    }

    #[test]
    fn a_loop_of_routes_is_trouble_and_traceroute_is_not() {
        let exceeded = |n: u64, ms: u64| -> Vec<HostRecord> {
            (0..n)
                .map(|i| record(RecordKind::TimeExceeded, 1, 1, (i % 20) as u32, 0, i * ms))
                .collect()
        };
        assert_eq!(run(exceeded(500, 10)).len(), 1);
        assert!(run(exceeded(90, 50)).is_empty());
    }

    #[test]
    fn random_services_take_no_more_memory_and_do_not_hide_trouble() {
        let mut trouble = ServiceTrouble::new(ServiceTroubleSettings {
            services: 128,
            ..ServiceTroubleSettings::default()
        });
        let bytes = Detector::memory(&trouble).bytes;
        let mut records = served(50);
        for i in 0..40_000u32 {
            let mut r = tcp(RecordKind::Opened, 9, u64::from(i));
            r.key.dst = IpAddr::from((0x0b00_0000 + i * 7_919).to_be_bytes());
            records.push(r);
        }
        for i in 0..12u64 {
            let src = (i % 4) as u32 + 1;
            records.push(tcp(RecordKind::Opened, src, 10_000 + i * 2_000));
            records.push(tcp(RecordKind::SynRetry, src, 11_000 + i * 2_000));
        }
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut trouble, Role::Dmz, records);
        assert_eq!(Detector::memory(&trouble).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.dst == IpAddr::from([192, 0, 2, 1]))
        );
    }
}
