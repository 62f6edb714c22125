//! What the traffic shows of declared services (`[[service]]`): are their clients served? The passive half of the service
//! checks; the active half, which asks by itself, is `pipeline::health`.
//!
//! Each service is looked at in spans of at least [`LOOK_SECS`], and as long as it takes until [`ATTEMPTS_MIN`] clients
//! have tried. In a span it is
//! - `silent`: nobody got an answer; `refuses`: resets (TCP) or ICMP unreachable instead;
//! - `hangs`: it takes connections and requests (HTTP), and answers none;
//! - `resets`: connections are broken off before anything is answered;
//! - `errors`: half of what it answers is 5xx (HTTP) or SERVFAIL (DNS);
//! - `slow`: the 95th percentile of its answers takes longer than `timeout-ms`, or five times what is usual here (and at
//!   least 50 ms). HTTP: request to answer; DNS and other datagrams: first to first; TCP: SYN to SYN-ACK; ping: echo.
//!
//! Two spans in a row open an alert, two good ones close it. It says whether an attack on the service is under way at the
//! same time, by what the other detectors say of it: is it trouble or attack?
//! Unlike [`super::service_trouble`] it knows that the service *should* answer, so that one client, and a service that was
//! never seen to work, are enough.
//! Deliberately not here: services that nobody uses (that is what active checks are for).
//! Each wire is judged by itself; [`super::service_wires`] makes one alert of what several show.
//! Limits: one record a service; [`PENDING`] datagrams of each wait for their answer; of one client's ping the first 256
//! echoes. Sources: RFC 9293 §3.10 (RST), RFC 1035 §4.1.1 (SERVFAIL), RFC 9110 §15.6 (5xx).

use std::net::IpAddr;

use super::detector::{Detector, Seen};
use super::engine::{Report, evidence, incident};
use super::first_bytes::hash;
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use super::{AnomalySettings, DETECTORS, SERVICE_IMPAIRED, endpoint_hash};
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Seconds of a span, at least: shorter than that is a restart.
const LOOK_SECS: u64 = 10;
/// Seconds after which a span with too few attempts begins anew: they do not belong together.
const LOOK_MAX_SECS: u64 = 120;
/// Attempts, retries included, without which a span says nothing: a client's SYN and its two repetitions.
const ATTEMPTS_MIN: u32 = 3;
/// Answers without which nothing is said of their time or kind.
const ANSWERS_MIN: u32 = 5;
/// Spans after which it is known what is usual.
const USUAL_LOOKS: u32 = 3;
/// Answers faster than that are not slow, whatever is usual: 50 ms (as in `asset::meter`).
const SLOW_MIN_US: u64 = 50_000;
/// Spans in a row that open, and close, an alert.
const LOOKS: u32 = 2;
/// Datagrams of a service that wait for their answer at a time.
const PENDING: usize = 32;
/// Declared services at most.
pub const SERVICES_MAX: usize = 256;

/// How a service is used, and asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceCheck {
    /// Echo requests.
    Ping,
    /// Connections.
    Tcp,
    /// Questions.
    Dns,
    /// Requests; any answer below 500 is one.
    Http,
}

impl ServiceCheck {
    /// Its name in configuration and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Tcp => "tcp",
            Self::Dns => "dns",
            Self::Http => "http",
        }
    }

    /// By its name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ping, Self::Tcp, Self::Dns, Self::Http]
            .into_iter()
            .find(|check| check.as_str() == name)
    }
}

/// A service that should answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredService {
    /// For people.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
    /// Its port; 0 for ping.
    pub port: u16,
    /// How it is used.
    pub check: ServiceCheck,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u32,
}

/// Settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceImpairedSettings {
    /// The services; at most [`SERVICES_MAX`].
    pub services: Vec<DeclaredService>,
}

/// What one span showed.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    since: Timestamp,
    tried: u32,
    retried: u32,
    answered: u32,
    refused: u32,
    established: u32,
    reset: u32,
    /// Requests (HTTP) and questions (DNS).
    asked: u32,
    replies: u32,
    errors: u32,
    /// Times of answers by power of two of microseconds.
    delays: [u16; 28],
    clients: Bitmap256,
}

impl Look {
    fn delay(&mut self, micros: u64) {
        let at = (u64::BITS - micros.leading_zeros()) as usize;
        let last = self.delays.len() - 1;
        if let Some(slot) = self.delays.get_mut(at.min(last)) {
            *slot = slot.saturating_add(1);
        }
    }

    /// The 95th percentile of the answers' times in microseconds, rounded down to a power of two: nothing is called slow
    /// for the rounding.
    fn p95_us(&self) -> Option<u64> {
        let all: u32 = self.delays.iter().map(|n| u32::from(*n)).sum();
        if all < ANSWERS_MIN {
            return None;
        }
        let mut above = all - all * 95 / 100;
        for (at, count) in self.delays.iter().enumerate().rev() {
            if *count > 0 && u32::from(*count) >= above {
                return Some(1u64 << at.saturating_sub(1));
            }
            above = above.saturating_sub(u32::from(*count));
        }
        None
    }

    fn attempts(&self) -> u32 {
        self.tried.saturating_add(self.retried)
    }

    /// What is wrong, if something is.
    fn wrong(&self, usual_us: Option<u64>, service: &DeclaredService) -> Option<&'static str> {
        let http = service.check == ServiceCheck::Http;
        let slow = |p95: u64| {
            p95 >= u64::from(service.timeout_ms) * 1_000
                || usual_us.is_some_and(|usual| p95 >= SLOW_MIN_US && p95 >= usual * 5)
        };
        if self.answered == 0 && self.replies == 0 && self.attempts() >= ATTEMPTS_MIN {
            return Some(if self.refused * 2 >= self.tried.max(1) {
                "refuses"
            } else {
                "silent"
            });
        }
        // Of a resolver's answers only those are told that fail: there it is half of what was asked.
        let of = if self.replies > 0 {
            self.replies
        } else {
            self.asked
        };
        if of >= ANSWERS_MIN && self.errors * 2 >= of {
            return Some("errors");
        }
        if http && self.asked >= ATTEMPTS_MIN && self.replies == 0 {
            return Some("hangs");
        }
        if self.reset >= ANSWERS_MIN && self.replies == 0 && self.reset * 10 >= self.established * 8
        {
            return Some("resets");
        }
        self.p95_us().filter(|p95| slow(*p95)).map(|_| "slow")
    }
}

/// What is known of one service.
#[derive(Debug)]
struct Meter {
    service: DeclaredService,
    look: Look,
    /// Usual 95th percentile in microseconds, from spans in which all was well.
    usual_us: u64,
    good_looks: u32,
    /// Answers in the spans before.
    answered_before: u64,
    /// Spans in a row that were bad, or good.
    bad: u32,
    good: u32,
    /// The open alert: what was said, since when.
    open: Option<(&'static str, Timestamp)>,
    /// Flows (and sequence numbers) of datagrams that wait for their answer.
    pending: [(u64, Timestamp); PENDING],
    next: usize,
}

impl Meter {
    fn new(service: DeclaredService) -> Self {
        Self {
            service,
            look: Look::default(),
            usual_us: 0,
            good_looks: 0,
            answered_before: 0,
            bad: 0,
            good: 0,
            open: None,
            pending: [(0, Timestamp(0)); PENDING],
            next: 0,
        }
    }

    fn is_about(&self, record: &HostRecord) -> bool {
        let (service, key) = (&self.service, &record.key);
        if service.address != key.dst {
            return false;
        }
        match service.check {
            ServiceCheck::Ping => record.kind == RecordKind::Echo,
            ServiceCheck::Dns => matches!(key.proto, 6 | 17) && key.dport == service.port,
            ServiceCheck::Tcp | ServiceCheck::Http => key.proto == 6 && key.dport == service.port,
        }
    }

    fn ask(&mut self, number: u64, now: Timestamp) {
        if let Some(slot) = self.pending.get_mut(self.next) {
            *slot = (number, now);
        }
        self.next = (self.next + 1) % PENDING;
    }

    fn answer(&mut self, number: u64, now: Timestamp) {
        let Some(slot) = self.pending.iter_mut().find(|(n, _)| *n == number) else {
            return;
        };
        let asked = std::mem::take(slot).1;
        self.look.delay(now.since(asked) / 1_000);
    }

    fn count(&mut self, record: &HostRecord) {
        use RecordKind as K;
        let (tcp, http) = (
            record.key.proto == 6,
            self.service.check == ServiceCheck::Http,
        );
        match record.kind {
            K::Echo => {
                let number = record.flow_id ^ u64::from(record.detail & 0xffff) << 40;
                if record.detail >> 31 == 0 {
                    self.try_once(record);
                    self.ask(number, record.ts);
                } else {
                    self.look.answered += 1;
                    self.answer(number, record.ts);
                }
            }
            K::Opened => {
                self.try_once(record);
                if !tcp {
                    self.ask(record.flow_id, record.ts);
                }
            }
            K::SynRetry => {
                self.look.retried = self.look.retried.saturating_add(1);
                self.look.clients.insert(endpoint_hash(record.key.src, 0));
            }
            K::SynAck => {
                self.look.answered += 1;
                if !http {
                    self.look.delay(record.value / 1_000);
                }
            }
            K::Established if tcp => self.look.established += 1,
            K::Established => {
                self.look.answered += 1;
                self.answer(record.flow_id, record.ts);
            }
            // A client that breaks off by itself (1) was answered.
            K::Refused if !record.is_aborted() => self.look.refused += 1,
            K::Reset => self.look.reset += 1,
            K::Answered if http && record.detail != 0 => {
                self.look.replies += 1;
                self.look.errors += u32::from((500..600).contains(&record.detail));
            }
            K::Replied if http => self.look.delay(record.value),
            K::Asked if http => self.look.asked += 1,
            // Bit 22: an answer.
            K::DnsName if record.detail >> 22 & 1 == 0 => self.look.asked += 1,
            K::DnsTrouble if record.detail == 1 => self.look.errors += 1,
            _ => {}
        }
    }

    fn try_once(&mut self, record: &HostRecord) {
        self.look.tried = self.look.tried.saturating_add(1);
        self.look.clients.insert(endpoint_hash(record.key.src, 0));
    }

    /// Ends the span when it is over. Gives what is to be said: the state and what is wrong.
    fn turn(&mut self, now: Timestamp) -> Option<(&'static str, &'static str, Look)> {
        if self.look.since == Timestamp(0) {
            self.look.since = now;
        }
        // A clock that was set back.
        if self.look.since.secs_since(now) >= LOOK_SECS {
            self.look = Look::default();
            self.look.since = now;
        }
        let secs = now.secs_since(self.look.since);
        let enough = self.look.attempts() >= ATTEMPTS_MIN || self.look.replies >= ANSWERS_MIN;
        if secs < LOOK_SECS || (!enough && secs < LOOK_MAX_SECS) {
            return None;
        }
        let look = std::mem::take(&mut self.look);
        self.look.since = now;
        if !enough {
            return None;
        }
        let usual = (self.good_looks >= USUAL_LOOKS && self.usual_us > 0).then_some(self.usual_us);
        let wrong = look.wrong(usual, &self.service);
        match wrong {
            Some(_) => (self.bad, self.good) = (self.bad + 1, 0),
            None => {
                (self.bad, self.good) = (0, self.good + 1);
                self.good_looks = self.good_looks.saturating_add(1);
                if let Some(p95) = look.p95_us() {
                    // An eighth of each new span, as in `asset::meter`.
                    self.usual_us = match self.usual_us {
                        0 => p95,
                        usual => usual - usual / 8 + p95 / 8,
                    };
                }
            }
        }
        let said = match (wrong, self.open) {
            (Some(what), None) if self.bad >= LOOKS => {
                self.open = Some((what, now));
                Some(("open", what, look))
            }
            (Some(what), Some((before, since))) if what != before => {
                self.open = Some((what, since));
                Some(("update", what, look))
            }
            (None, Some((what, _))) if self.good >= LOOKS => Some(("close", what, look)),
            _ => None,
        };
        self.answered_before = self.answered_before.saturating_add(look.answered.into());
        said
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct ServiceImpaired {
    meters: Vec<Meter>,
}

impl ServiceImpaired {
    /// Takes its memory.
    pub fn new(settings: ServiceImpairedSettings) -> Self {
        let services = settings.services.into_iter().take(SERVICES_MAX);
        Self {
            meters: services.map(Meter::new).collect(),
        }
    }
}

impl Detector for ServiceImpaired {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        // Without services it costs nothing.
        if self.meters.is_empty() {
            return &[];
        }
        &[
            K::Opened,
            K::SynRetry,
            K::SynAck,
            K::Established,
            K::Refused,
            K::Reset,
            K::Asked,
            K::Answered,
            K::Replied,
            K::DnsName,
            K::DnsTrouble,
            K::Echo,
        ]
    }

    fn memory(&self) -> Memory {
        Memory::whole((self.meters.len() * size_of::<Meter>()) as u64)
    }

    fn tune(&mut self, _: &AnomalySettings) {}

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        for meter in &mut self.meters {
            if !meter.is_about(record) {
                continue;
            }
            // First what was, then what is new: a record begins the next span.
            if let Some((state, what, look)) = meter.turn(record.ts) {
                reports.push(report(meter, record, (state, what, &look), seen));
                if state == "close" {
                    meter.open = None;
                }
            }
            meter.count(record);
        }
    }

    /// Spans end with what is seen next: a service that nobody asks is not judged.
    fn pass(&mut self, _: Timestamp, _: &mut Vec<Report>) {}
}

fn report(
    meter: &Meter,
    record: &HostRecord,
    (state, what, look): (&'static str, &'static str, &Look),
    seen: &Seen<'_>,
) -> Report {
    let service = &meter.service;
    let attack = if seen.floods.is_flooded(service.address, service.port) {
        Some(super::SYN_FLOOD)
    } else {
        seen.attacks.on(service.address, record.ts)
    };
    let name = attack
        .and_then(|at| DETECTORS.get(usize::from(at)))
        .map(|info| info.name);
    let since = meter.open.map_or(record.ts, |(_, since)| since);
    let down = matches!(what, "silent" | "refuses" | "hangs");
    Report {
        detector: SERVICE_IMPAIRED,
        state,
        number: record.number,
        ts: record.ts,
        key: FlowKey {
            src: if service.address.is_ipv6() {
                IpAddr::from([0; 16])
            } else {
                IpAddr::from([0; 4])
            },
            sport: 0,
            ..record.key
        },
        interface: record.interface,
        // A service that was never seen to answer may be one whose answers take another way.
        confidence: if meter.answered_before > 0 { 0.9 } else { 0.6 },
        efficacy: if down && state != "close" {
            Efficacy::Likely
        } else {
            Efficacy::Unknown
        },
        reason: match (down, state) {
            (_, "close") => "",
            (true, _) => "clients of the service get no answer",
            (false, _) => "",
        },
        severity: if state == "close" {
            Severity::Informational
        } else if down {
            Severity::Major
        } else {
            Severity::Minor
        },
        source_verified: false,
        incident: incident(SERVICE_IMPAIRED, service.address, service.port, since),
        subject: subject(&service.name, service.check),
        evidence: evidence(|json| {
            json.str("service", &service.name)
                .str("check", service.check.as_str())
                .str("what", if state == "close" { "serves" } else { what })
                .str("cause", if name.is_some() { "attack" } else { "trouble" });
            if let Some(name) = name {
                json.str("attack", name);
            }
            json.num("secs", record.ts.secs_since(look.since))
                .num("tried", look.tried)
                .num("retried", look.retried)
                .num("answered", look.answered)
                .num("refused", look.refused)
                .num("reset", look.reset)
                .num("asked", look.asked)
                .num("replies", look.replies)
                .num("errors", look.errors)
                .num("clients", look.clients.estimate())
                .num("answered_before", meter.answered_before);
            if let Some(p95) = look.p95_us() {
                json.num("answer_p95_ms", p95 / 1_000)
                    .num("usual_p95_ms", meter.usual_us / 1_000)
                    .num("timeout_ms", service.timeout_ms);
            }
        }),
    }
}

/// Which service a report is about, on whatever wire: by its name and how it is used.
pub(super) fn subject(name: &str, check: ServiceCheck) -> u64 {
    hash(name.as_bytes()).rotate_left(9) ^ hash(check.as_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn declared(check: ServiceCheck, port: u16) -> ServiceImpaired {
        ServiceImpaired::new(ServiceImpairedSettings {
            services: vec![DeclaredService {
                name: "shop".to_owned(),
                address: IpAddr::from([192, 0, 2, 1]),
                port,
                check,
                timeout_ms: 2_000,
            }],
        })
    }

    fn run(check: ServiceCheck, port: u16, mut records: Vec<HostRecord>) -> Vec<Report> {
        records.sort_by_key(|r| (r.ts, r.flow_id));
        run_with(&mut declared(check, port), Role::Dmz, records)
    }

    fn said(reports: &[Report]) -> Vec<(&'static str, String)> {
        let what = |r: &Report| {
            let text = String::from_utf8_lossy(&r.evidence).into_owned();
            let (_, rest) = text.split_once("\"what\":\"").expect("what");
            rest.split_once('"').expect("end").0.to_owned()
        };
        reports.iter().map(|r| (r.state, what(r))).collect()
    }

    fn tcp(kind: RecordKind, src: u32, ms: u64) -> HostRecord {
        record(kind, 6, src, 1, 443, ms)
    }

    /// A client that is served at `ms`, its SYN answered after `delay` ms.
    fn served(src: u32, ms: u64, delay: u64) -> [HostRecord; 3] {
        let answer = HostRecord {
            value: delay * 1_000_000,
            ..tcp(RecordKind::SynAck, src, ms + delay)
        };
        [
            tcp(RecordKind::Opened, src, ms),
            answer,
            tcp(RecordKind::Established, src, ms + delay + 1),
        ]
    }

    #[test]
    fn a_declared_service_that_goes_silent_needs_one_client_to_be_noticed_and_is_well_again() {
        let mut records: Vec<HostRecord> = (0..30).flat_map(|i| served(1, i * 1_000, 2)).collect();
        // One client, its SYN and the repetitions after 1, 3 and 7 seconds, again and again.
        for round in 0..4u64 {
            let at = 30_000 + round * 10_000;
            records.push(tcp(RecordKind::Opened, 1, at));
            for later in [1_000, 3_000, 7_000] {
                records.push(tcp(RecordKind::SynRetry, 1, at + later));
            }
        }
        records.extend((0..40).flat_map(|i| served(1, 70_000 + i * 1_000, 2)));
        let reports = run(ServiceCheck::Tcp, 443, records);
        assert_eq!(
            said(&reports),
            [
                ("open", "silent".to_owned()),
                ("close", "serves".to_owned())
            ]
        );
        let text = String::from_utf8_lossy(&reports[0].evidence).into_owned();
        assert!(text.contains("\"cause\":\"trouble\""), "{text}");
        assert_eq!(reports[0].incident, reports[1].incident);
    }

    #[test]
    fn a_restart_of_seconds_and_a_service_that_nobody_asks_are_not() {
        let mut records: Vec<HostRecord> = (0..20).flat_map(|i| served(1, i * 1_000, 2)).collect();
        for later in [0, 1_000, 3_000, 7_000] {
            records.push(tcp(RecordKind::SynRetry, 2, 20_000 + later));
        }
        records.extend((0..20).flat_map(|i| served(1, 29_000 + i * 1_000, 2)));
        // Two attempts in vain an hour apart.
        records.push(tcp(RecordKind::Opened, 3, 3_600_000));
        records.push(tcp(RecordKind::Opened, 3, 7_200_000));
        records.push(tcp(RecordKind::Opened, 3, 10_800_000));
        assert_eq!(said(&run(ServiceCheck::Tcp, 443, records)), []);
    }

    #[test]
    fn resets_in_place_of_answers_are_told_from_silence_and_from_clients_that_leave() {
        let refused = (0..40u64).flat_map(|i| {
            [
                tcp(RecordKind::Opened, 1, i * 1_000),
                tcp(RecordKind::Refused, 1, i * 1_000 + 1),
            ]
        });
        let reports = run(ServiceCheck::Tcp, 443, refused.collect());
        assert_eq!(said(&reports), [("open", "refuses".to_owned())]);
        // Connections that stand and are broken off before anything is answered.
        let broken = |answers: bool| -> Vec<HostRecord> {
            (0..60u64)
                .flat_map(|i| {
                    let mut list = served(1, i * 500, 1).to_vec();
                    if answers {
                        list.push(HostRecord {
                            detail: 200,
                            ..tcp(RecordKind::Answered, 1, i * 500 + 5)
                        });
                    }
                    list.push(tcp(RecordKind::Reset, 1, i * 500 + 9));
                    list
                })
                .collect()
        };
        let reports = run(ServiceCheck::Http, 443, broken(false));
        assert_eq!(said(&reports), [("open", "resets".to_owned())]);
        assert_eq!(said(&run(ServiceCheck::Http, 443, broken(true))), []);
    }

    #[test]
    fn answers_that_fail_and_answers_that_are_slow() {
        let web = |status: u32, wait_ms: u64, from: u64| -> Vec<HostRecord> {
            (0..60u64)
                .flat_map(|i| {
                    let at = from + i * 500;
                    let mut list = served(1, at, 1).to_vec();
                    list.push(HostRecord {
                        detail: status,
                        ..tcp(RecordKind::Answered, 1, at + 5)
                    });
                    list.push(HostRecord {
                        value: wait_ms * 1_000,
                        ..tcp(RecordKind::Replied, 1, at + 5)
                    });
                    list
                })
                .collect()
        };
        let errors = run(ServiceCheck::Http, 443, web(503, 4, 0));
        assert_eq!(said(&errors), [("open", "errors".to_owned())]);
        assert_eq!(said(&run(ServiceCheck::Http, 443, web(404, 4, 0))), []);
        // By what was usual here, and by what was declared.
        let mut slower = web(200, 4, 0);
        slower.extend(web(200, 4, 30_000));
        slower.extend(web(200, 300, 60_000));
        assert_eq!(
            said(&run(ServiceCheck::Http, 443, slower)),
            [("open", "slow".to_owned())]
        );
        assert_eq!(said(&run(ServiceCheck::Http, 443, web(200, 300, 0))), []);
        let reports = run(ServiceCheck::Http, 443, web(200, 5_000, 0));
        assert_eq!(said(&reports), [("open", "slow".to_owned())]);
    }

    #[test]
    fn a_resolver_and_a_pinged_host_are_seen_by_their_datagrams() {
        let ask = |answered: bool, from: u64| -> Vec<HostRecord> {
            (0..40u64)
                .flat_map(|i| {
                    let with = |kind, ms| HostRecord {
                        flow_id: 1_000 + from + i,
                        ..record(kind, 17, 1, 1, 53, ms)
                    };
                    let at = from + i * 600;
                    let mut list = vec![with(RecordKind::Opened, at)];
                    if answered {
                        list.push(with(RecordKind::Established, at + 3));
                    }
                    list
                })
                .collect()
        };
        assert_eq!(said(&run(ServiceCheck::Dns, 53, ask(true, 0))), []);
        let mut records = ask(true, 0);
        records.extend(ask(false, 30_000));
        assert_eq!(
            said(&run(ServiceCheck::Dns, 53, records)),
            [("open", "silent".to_owned())]
        );
        let ping = |answered: bool| -> Vec<HostRecord> {
            (0..40u64)
                .flat_map(|i| {
                    let echo = |reply: u32, ms| HostRecord {
                        detail: reply << 31 | i as u32,
                        ..record(RecordKind::Echo, 1, 1, 1, 0, ms)
                    };
                    let mut list = vec![echo(0, i * 1_000)];
                    if answered {
                        list.push(echo(1, i * 1_000 + 2));
                    }
                    list
                })
                .collect()
        };
        assert_eq!(said(&run(ServiceCheck::Ping, 0, ping(true))), []);
        assert_eq!(
            said(&run(ServiceCheck::Ping, 0, ping(false))),
            [("open", "silent".to_owned())]
        );
    }
}
