//! Queues that stall (DESIGN §1, application and database layer): requests that pile up unanswered behind a few users.
//!
//! Per service of HTTP, MySQL or PostgreSQL: the requests that wait, since when and whose (records of the parsers), the usual
//! time of an answer (a mean that fades), and how many were asked and answered in the last seconds. Alarm when enough
//! requests have waited for ten times the usual time and at least `wait_ms`, while hardly any is answered. The oldest
//! requests name who holds the queue: a lock, a report, a slow transaction.
//! What is *not* a stall: long polls and event streams (their usual time is long, and others are answered meanwhile); one
//! slow request beside quick ones; a client that does not finish its request ([`super::slow_http`]'s); a service whose
//! usual time is not known yet.
//! Memory: fixed, one record per service with at most [`WAITING`] requests.

use std::net::IpAddr;

use super::QUEUE_STALL;
use super::detector::{Detector, Seen};
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::ByRole;
use super::record::{HostRecord, RecordKind};
use crate::alert::Efficacy;
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueStallSettings {
    /// Requests that wait too long at a time. Default edge 20, DMZ 10, intranet 10: connection pools begin at 10.
    pub waiting_min: ByRole<u32>,
    /// Milliseconds that are too long whatever is usual. Default 2,000: people give up after some seconds.
    pub wait_ms: u32,
    /// Times the usual time of an answer that are too long. Default 10.
    pub usual_times: u32,
    /// Answers without which the usual time is not known. Default 10.
    pub answers_min: u32,
    /// Milliseconds of waiting after which the service counts as hurt. Default 30,000.
    pub hurt_ms: u32,
    /// Services watched. Default 1,024.
    pub services: usize,
    /// Quiet seconds after which an incident closes. Default 30.
    pub off_secs: u32,
}

impl Default for QueueStallSettings {
    fn default() -> Self {
        Self {
            waiting_min: ByRole::new(20, 10, 10),
            wait_ms: 2_000,
            usual_times: 10,
            answers_min: 10,
            hurt_ms: 30_000,
            services: 1_024,
            off_secs: 30,
        }
    }
}

/// Requests of a service that are remembered while they wait.
const WAITING: usize = 48;
/// Seconds over which asked and answered are compared.
const SECS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Request {
    flow: u64,
    since: Timestamp,
    by: IpAddr,
}

#[derive(Clone, Debug)]
struct Service {
    waiting: [Option<Request>; WAITING],
    /// Usual microseconds of an answer.
    usual: f64,
    answers: u32,
    asked: [u32; SECS],
    answered: [u32; SECS],
    second: u64,
    given_up: u32,
    /// A parser tells of its requests.
    parsed: bool,
    last: Timestamp,
    live: Live,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            waiting: [None; WAITING],
            usual: 0.0,
            answers: 0,
            asked: [0; SECS],
            answered: [0; SECS],
            second: 0,
            given_up: 0,
            parsed: false,
            last: Timestamp(0),
            live: Live::default(),
        }
    }
}

impl Entry for Service {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.answers.min(0xffff)) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Service {
    fn roll(&mut self, now: Timestamp) {
        let steps = now.secs().saturating_sub(self.second).min(SECS as u64);
        for _ in 0..steps {
            self.asked.rotate_left(1);
            self.answered.rotate_left(1);
            self.asked[SECS - 1] = 0;
            self.answered[SECS - 1] = 0;
        }
        self.second = self.second.max(now.secs());
        self.last = self.last.max(now);
    }

    fn ask(&mut self, record: &HostRecord) {
        self.asked[SECS - 1] += 1;
        if let Some(slot) = self.waiting.iter_mut().find(|w| w.is_none()) {
            *slot = Some(Request {
                flow: record.flow_id,
                since: record.ts,
                by: record.key.src,
            });
        }
    }

    fn waits(&self, flow: u64) -> bool {
        self.waiting.iter().flatten().any(|r| r.flow == flow)
    }

    /// Nanoseconds that the oldest request of a flow has waited.
    fn waited(&self, record: &HostRecord) -> u64 {
        self.waiting
            .iter()
            .flatten()
            .filter(|r| r.flow == record.flow_id)
            .map(|r| record.ts.since(r.since))
            .max()
            .unwrap_or(0)
    }

    fn still_asking(&mut self, record: &HostRecord) {
        for request in self.waiting.iter_mut().flatten() {
            if request.flow == record.flow_id {
                request.since = record.ts;
            }
        }
    }

    fn answer(&mut self, record: &HostRecord, micros: u64) {
        self.answered[SECS - 1] += 1;
        let oldest = self
            .waiting
            .iter_mut()
            .filter(|w| w.is_some_and(|r| r.flow == record.flow_id))
            .min_by_key(|w| w.map(|r| r.since));
        if let Some(slot) = oldest {
            *slot = None;
        }
        self.answers = self.answers.saturating_add(1);
        // What is usual is not learned from a stall.
        if !self.live.open {
            let weight = 1.0 / f64::from(self.answers.min(50));
            self.usual += (micros as f64 - self.usual) * weight;
        }
    }

    /// The connection ended: nobody waits any more.
    fn leave(&mut self, flow: u64) {
        for slot in self.waiting.iter_mut() {
            if slot.is_some_and(|r| r.flow == flow) {
                *slot = None;
                self.given_up = self.given_up.saturating_add(1);
            }
        }
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct QueueStall {
    settings: QueueStallSettings,
    services: Watch<(IpAddr, u16), Service>,
}

impl QueueStall {
    /// Takes its memory.
    pub fn new(settings: QueueStallSettings) -> Self {
        Self {
            services: Watch::new(QUEUE_STALL, settings.services),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        // Packets of flows that ask nothing are no business of a queue.
        if record.kind == RecordKind::Packets && record.detail != 2 {
            return;
        }
        let place = (key.dst, key.dport);
        let Some(service) = self.services.entry(place, Service::default) else {
            return;
        };
        service.roll(record.ts);
        match record.kind {
            RecordKind::Asked => {
                // What was guessed from first bytes until the parser spoke, it tells again: nobody would answer that twice.
                if !std::mem::replace(&mut service.parsed, true) {
                    service.waiting = [None; WAITING];
                }
                service.ask(record);
            }
            RecordKind::Replied => service.answer(record, record.value),
            // HTTP is seen by its first bytes, unless its parser tells.
            // A request that is sent again is one.
            RecordKind::Request if !service.parsed && !service.waits(record.flow_id) => {
                service.ask(record);
            }
            RecordKind::Answered if !service.parsed => {
                let micros = service.waited(record) / 1_000;
                service.answer(record, micros);
            }
            // The client is still sending: it is the one who is slow.
            RecordKind::Packets if record.detail == 2 => service.still_asking(record),
            RecordKind::Ended => service.leave(record.flow_id),
            _ => return,
        }
        let settings = &self.settings;
        if service.answers < settings.answers_min {
            return;
        }
        let usual_ms = service.usual / 1_000.0;
        let limit_ms = f64::from(settings.wait_ms).max(usual_ms * f64::from(settings.usual_times));
        let waited = |r: &Request| record.ts.since(r.since) as f64 / 1e6;
        let late = service
            .waiting
            .iter()
            .flatten()
            .filter(|r| waited(r) >= limit_ms)
            .count() as u32;
        let enough = settings.waiting_min.of(seen.place().role);
        let asked: u32 = service.asked.iter().sum();
        let answered: u32 = service.answered.iter().sum();
        // One in five of those that came is answered: it is not the service that stalls.
        let stalls = answered * 5 <= asked.max(late);
        if late * 2 >= enough && stalls {
            Watch::<(IpAddr, u16), Service>::keep(&mut service.live, record.ts);
        }
        if late < enough
            || !stalls
            || matches!(record.kind, RecordKind::Replied | RecordKind::Answered)
        {
            return;
        }
        let Some(oldest) = service
            .waiting
            .iter()
            .flatten()
            .min_by_key(|r| r.since)
            .copied()
        else {
            return;
        };
        let oldest_ms = waited(&oldest);
        let waiting = service.waiting.iter().flatten().count() as u32;
        // Whose requests are oldest, and how many wait behind them.
        let held = service
            .waiting
            .iter()
            .flatten()
            .filter(|r| r.by == oldest.by)
            .count() as u32;
        let mut users: Vec<IpAddr> = service.waiting.iter().flatten().map(|r| r.by).collect();
        users.sort_unstable();
        users.dedup();
        let hurt = oldest_ms >= f64::from(settings.hurt_ms);
        let who = FlowKey {
            src: oldest.by,
            ..key
        };
        self.services.alarm(
            place,
            record,
            (who, u64::from(waiting)),
            reports,
            Service::default,
            |service| Says {
                confidence: 0.9,
                efficacy: if hurt {
                    Efficacy::Likely
                } else {
                    Efficacy::Reached
                },
                reason: if hurt {
                    "nobody is served"
                } else {
                    "requests wait"
                },
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("waiting", waiting)
                        .num("waiting_too_long", late)
                        .num("waiting_too_long_min", enough)
                        .num("too_long_ms", limit_ms as u64)
                        .float("usual_ms", (usual_ms * 10.0).round() / 10.0)
                        .num("oldest_ms", oldest_ms as u64)
                        .str("oldest_of", oldest.by.to_string())
                        .num("its_requests", held)
                        .num("users_that_wait", users.len() as u64)
                        .num("asked_in_4s", asked)
                        .num("answered_in_4s", answered)
                        .num("given_up", service.given_up)
                        .num("port", key.dport);
                }),
            },
        );
    }
}

impl Detector for QueueStall {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Asked,
            K::Replied,
            K::Request,
            K::Answered,
            K::Packets,
            K::Ended,
        ]
    }
    fn memory(&self) -> Memory {
        self.services.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.queue_stall.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.services
            .tick(now, self.settings.off_secs, reports, Service::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn ask(src: u32, flow: u64, ms: u64) -> HostRecord {
        HostRecord {
            flow_id: flow,
            ..record(RecordKind::Asked, 6, src, 1, 3306, ms)
        }
    }

    fn reply(src: u32, flow: u64, ms: u64, waited_ms: u64) -> HostRecord {
        HostRecord {
            flow_id: flow,
            value: waited_ms * 1_000,
            ..record(RecordKind::Replied, 6, src, 1, 3306, ms)
        }
    }

    /// A service that answers within 20 ms, for `n` requests of ten clients, 100 ms apart.
    fn usual(n: u64) -> Vec<HostRecord> {
        (0..n)
            .flat_map(|i| {
                let src = 10 + (i % 10) as u32;
                [
                    ask(src, 100 + i % 10, i * 100),
                    reply(src, 100 + i % 10, i * 100 + 20, 20),
                ]
            })
            .collect()
    }

    fn run(records: Vec<HostRecord>) -> Vec<Report> {
        let mut queue = QueueStall::new(QueueStallSettings::default());
        run_with(&mut queue, Role::Dmz, records)
    }

    #[test]
    fn requests_behind_a_lock_are_found_and_its_holder_is_named() {
        let mut records = usual(100);
        // 10.0.0.1 locks the table; thirty others queue up behind it.
        records.push(ask(1, 1, 10_000));
        records.extend((0..30).map(|i| ask(20 + i as u32, 200 + i, 10_200 + i * 200)));
        let reports = run(records);
        assert_eq!(reports.len(), 1);
        let text = String::from_utf8_lossy(&reports[0].evidence).into_owned();
        assert!(text.contains("\"oldest_of\":\"10.0.0.1\""), "{text}");
        println!(
            "queue stall: alert {} ms after the lock",
            reports[0].number - 10_000
        );
        assert!(reports[0].number - 10_000 <= 5_000);
    }

    #[test]
    fn who_was_guessed_to_wait_before_the_parser_spoke_is_not_the_oldest() {
        // The first request of a service is seen by its first bytes, then told by the parser, and answered once.
        let mut records = vec![HostRecord {
            kind: RecordKind::Request,
            ..ask(77, 900, 0)
        }];
        records.push(ask(77, 900, 5));
        records.push(reply(77, 900, 10, 5_000));
        records.extend(usual(100).into_iter().map(|mut r| {
            r.ts = r.ts.plus_nanos(100_000_000);
            r
        }));
        records.push(ask(1, 100, 12_000));
        records.extend((0..30).map(|i| ask(20 + i as u32, 200 + i, 12_200 + i * 200)));
        let reports = run(records);
        assert_eq!(reports.len(), 1);
        let text = String::from_utf8_lossy(&reports[0].evidence).into_owned();
        assert!(text.contains("\"oldest_of\":\"10.0.0.1\""), "{text}");
    }

    #[test]
    fn nine_waiting_requests_are_not_enough() {
        let mut records = usual(100);
        records.extend((0..9).map(|i| ask(20 + i as u32, 200 + i, 10_200 + i * 200)));
        records.push(ask(40, 300, 20_000));
        assert!(run(records).is_empty());
    }

    #[test]
    fn one_slow_report_beside_quick_answers_is_quiet() {
        let mut records = usual(600);
        records.extend((0..12).map(|i| ask(1, 1, 5_000 + i)));
        records.sort_by_key(|r| r.ts);
        assert!(run(records).is_empty());
    }

    #[test]
    fn long_polls_are_long_by_nature_and_an_unknown_service_is_learned_first() {
        let mut records = Vec::new();
        for i in 0..400u64 {
            records.push(ask(i as u32 % 50, i % 50, i * 500));
            if i >= 50 {
                records.push(reply(i as u32 % 50, i % 50, i * 500 + 1, 25_000));
            }
        }
        assert!(run(records).is_empty());
        let new = (0..40).map(|i| ask(20 + i as u32, 200 + i, i * 300));
        assert!(run(new.collect()).is_empty());
    }

    #[test]
    fn who_gives_up_no_longer_waits() {
        let mut records = usual(100);
        for i in 0..30u64 {
            records.push(ask(20 + i as u32, 200 + i, 10_000 + i * 200));
            records.push(HostRecord {
                flow_id: 200 + i,
                ..record(
                    RecordKind::Ended,
                    6,
                    20 + i as u32,
                    1,
                    3306,
                    10_100 + i * 200,
                )
            });
        }
        assert!(run(records).is_empty());
    }

    #[test]
    fn random_services_take_no_more_memory_and_do_not_hide_a_stall() {
        let mut queue = QueueStall::new(QueueStallSettings {
            services: 64,
            ..QueueStallSettings::default()
        });
        let bytes = Detector::memory(&queue).bytes;
        let mut records = usual(100);
        for i in 0..40_000u64 {
            let mut r = ask(1, 1_000 + i, i / 2);
            r.key.dst = IpAddr::from((0x0b00_0000 + i as u32 * 7_919).to_be_bytes());
            records.push(r);
        }
        records.extend((0..30).map(|i| ask(20 + i as u32, 200 + i, 10_200 + i * 200)));
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut queue, Role::Dmz, records);
        assert_eq!(Detector::memory(&queue).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.dst == IpAddr::from([192, 0, 2, 1]))
        );
    }
}
