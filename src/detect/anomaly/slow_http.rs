//! Requests that are held open (detectors.md D5): slow headers, slow bodies, slow reading; and users of slow lines, who are
//! none of these.
//!
//! A worker tells how a client goes on with a request that is not finished, and what limits it ([`super::pace`]). Per
//! service the requests in progress stand in a list. One *stalls* when its header is not finished after `header_secs`, when
//! its body brings less than `body_rate_min` bytes/s over `body_secs`, or when its answer is taken with a window below a
//! segment at less than `read_rate_min` bytes/s for `read_secs`: and the sender or receiver limits it, not the path.
//!
//! | who | |
//! |---|---|
//! | one source with `stalled_min` | an alert; `serious_min`, or `serious_share` percent of the service's connections, make it serious |
//! | many sources with `serious_min` together | the same for the service, without a source that could be acted on |
//! | whom the path limits | statistics (GREEN); YELLOW when they hold `slow_users_share` percent of the connections. Never acted on |
//!
//! What is *not* an attack: long polls, events, WebSockets (their request is whole); uploads over slow lines; a proxy,
//! by its role.
//! Who sends everything twice to look like a bad line is counted among the users of slow lines, and seen when they are many.
//! Memory: fixed, [`HELD`] requests per service; in a full list the youngest gives way to nobody and is counted.

use std::net::IpAddr;

use super::SLOW_HTTP;
use super::detector::{Detector, Seen};
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::pace::{Phase, Said};
use super::place::{ByRole, Role};
use super::record::{HostRecord, RecordKind};
use super::table::{SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowHttpSettings {
    /// Stalled requests of one source at one service. Default edge 20, DMZ 10, intranet 10 (detectors.md D5).
    pub stalled_min: ByRole<u32>,
    /// Stalled requests at one service that are serious, of one source or of all. Default 20 (D5).
    pub serious_min: u32,
    /// Percent of a service's connections that are serious, from `stalled_min` on. Default 30 (D5).
    pub serious_share: u32,
    /// Seconds after which a header that is not finished stalls. Default 10 (D5).
    pub header_secs: u32,
    /// Seconds over which a body is measured. Default 10 (D5 has 20: measured on `pcaps/slow_post`, ten crumbs of one source
    /// are as plain after ten).
    pub body_secs: u32,
    /// Bytes per second below which a body stalls. Default 100 (D5).
    pub body_rate_min: u32,
    /// Seconds for which a window is below a segment when reading stalls. Default 10 (D5 has 15; but a server asks again
    /// after 7, 14, 28 s, and only then is something to be seen).
    pub read_secs: u32,
    /// Bytes per second below which reading stalls. Default 1,000: small devices read with windows of one segment, but
    /// one each round trip.
    pub read_rate_min: u32,
    /// Bytes per second below which a user whom the path limits counts as one of a slow line. Default 4,000 (32 kbit/s).
    pub slow_user_rate: u32,
    /// Percent of a service's connections held by users of slow lines that are told as YELLOW. Default 20 (D5).
    pub slow_users_share: u32,
    /// Services with unfinished requests that are watched. Default 512.
    pub services: usize,
    /// Clients with incidents. Default 2,048.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 120 (D5).
    pub off_secs: u32,
}

impl Default for SlowHttpSettings {
    fn default() -> Self {
        Self {
            stalled_min: ByRole::new(20, 10, 10),
            serious_min: 20,
            serious_share: 30,
            header_secs: 10,
            body_secs: 10,
            body_rate_min: 100,
            read_secs: 10,
            read_rate_min: 1_000,
            slow_user_rate: 4_000,
            slow_users_share: 20,
            services: 512,
            clients: 2_048,
            off_secs: 120,
        }
    }
}

/// Unfinished requests remembered per service.
pub const HELD: usize = 128;
/// Services whose connections are counted.
const COUNTED: usize = 8_192;
/// Seconds without news after which a request is forgotten: longer than servers wait (Apache 60, nginx 60, IIS 120).
const FORGET_SECS: u64 = 300;

/// Connections of a service.
#[derive(Clone, Copy, Debug, Default)]
struct Open(u32);

impl Worth for Open {
    fn worth(&self) -> u64 {
        u64::from(self.0)
    }
}

/// A request in progress.
#[derive(Clone, Copy, Debug)]
struct Held {
    flow: u64,
    client: IpAddr,
    since: Timestamp,
    last: Timestamp,
    said: Said,
}

const FREE: Held = Held {
    flow: 0,
    client: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
    since: Timestamp(0),
    last: Timestamp(0),
    said: Said {
        phase: Phase::Done,
        by_path: false,
        bytes: 0,
        ms: 0,
    },
};

impl Held {
    /// Whether it stalls, by whom.
    fn stalls(&self, settings: &SlowHttpSettings, now: Timestamp) -> Stall {
        let said = self.said;
        let secs = now.secs_since(self.since);
        // What was taken is known for the time of the record only: afterwards nothing may be left to take.
        let told_secs = u64::from(said.ms) / 1_000;
        let below = |rate: u32, secs: u64| u64::from(said.bytes) < u64::from(rate) * secs;
        let slow = match said.phase {
            Phase::Done => false,
            Phase::Header => secs >= u64::from(settings.header_secs),
            Phase::Body => {
                secs >= u64::from(settings.body_secs) && below(settings.body_rate_min, secs)
            }
            Phase::Read => {
                told_secs >= u64::from(settings.read_secs)
                    && below(settings.read_rate_min, told_secs)
            }
        };
        let user = said.by_path
            && told_secs >= u64::from(settings.header_secs)
            && below(settings.slow_user_rate, told_secs);
        match (slow && !said.by_path, user) {
            (true, _) => Stall::ByEnd,
            (false, true) => Stall::ByPath,
            (false, false) => Stall::No,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stall {
    No,
    /// The sender or the receiver holds it back.
    ByEnd,
    /// The path does.
    ByPath,
}

#[derive(Clone, Debug)]
struct Service {
    held: [Held; HELD],
    count: u16,
    last: Timestamp,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            held: [FREE; HELD],
            count: 0,
            last: Timestamp(0),
        }
    }
}

impl Worth for Service {
    fn worth(&self) -> u64 {
        u64::from(self.count) << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
}

impl Service {
    fn release(&mut self, flow: u64) {
        if self.count == 0 {
            return;
        }
        if let Some(held) = self.held.iter_mut().find(|h| h.flow == flow) {
            *held = FREE;
            self.count -= 1;
        }
    }

    fn hold(&mut self, record: &HostRecord, said: Said) {
        self.last = record.ts;
        let known = self.held.iter().position(|h| h.flow == record.flow_id);
        let at = known.or_else(|| {
            let stale = |h: &Held| record.ts.secs_since(h.last) >= FORGET_SECS;
            self.held.iter().position(|h| h.flow == 0 || stale(h))
        });
        let Some(held) = at.and_then(|at| self.held.get_mut(at)) else {
            return;
        };
        if held.flow == 0 {
            self.count += 1;
        }
        let began = record.ts.0.saturating_sub(u64::from(said.ms) * 1_000_000);
        *held = Held {
            flow: record.flow_id,
            client: record.key.src,
            since: Timestamp(began),
            last: record.ts,
            said,
        };
    }

    fn count(&self, settings: &SlowHttpSettings, of: IpAddr, now: Timestamp) -> Stalls {
        let mut stalls = Stalls::default();
        for held in self.held.iter().filter(|h| h.flow != 0) {
            if now.secs_since(held.last) >= FORGET_SECS {
                continue;
            }
            match held.stalls(settings, now) {
                Stall::No => continue,
                Stall::ByPath => {
                    stalls.by_path += 1;
                    continue;
                }
                Stall::ByEnd => {}
            }
            stalls.all += 1;
            stalls.of_one += u32::from(held.client == of);
            match held.said.phase {
                Phase::Header => stalls.headers += 1,
                Phase::Body => stalls.bodies += 1,
                _ => stalls.reads += 1,
            }
        }
        stalls
    }
}

/// Stalled requests at a service.
#[derive(Clone, Copy, Debug, Default)]
struct Stalls {
    all: u32,
    of_one: u32,
    headers: u32,
    bodies: u32,
    reads: u32,
    by_path: u32,
}

#[derive(Clone, Debug, Default)]
struct Holder {
    /// The most at a time.
    most: u32,
    last: Timestamp,
    live: Live,
}

impl Entry for Holder {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.most) << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// Whose incident: a client's, that of many clients, that of the users of slow lines.
type Who = (IpAddr, IpAddr, u16);

/// State of the detector.
#[derive(Debug)]
pub struct SlowHttp {
    settings: SlowHttpSettings,
    services: SetTable<(IpAddr, u16), Service>,
    open: SetTable<(IpAddr, u16), Open>,
    holders: Watch<Who, Holder>,
}

/// Stands for many clients.
const MANY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

impl SlowHttp {
    /// Takes its memory.
    pub fn new(settings: SlowHttpSettings) -> Self {
        Self {
            services: SetTable::new(settings.services),
            open: SetTable::new(COUNTED),
            holders: Watch::new(SLOW_HTTP, settings.clients),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, role: Role, reports: &mut Vec<Report>) {
        let key = record.key;
        let place = (key.dst, key.dport);
        match record.kind {
            RecordKind::Established => {
                if let Some(open) = self.open.entry(place, Open::default) {
                    open.0 = open.0.saturating_add(1);
                }
            }
            RecordKind::Ended => {
                if let Some(open) = self.open.get_mut(&place) {
                    open.0 = open.0.saturating_sub(1);
                }
                self.release(place, record.flow_id);
            }
            RecordKind::Closed | RecordKind::Reset => self.release(place, record.flow_id),
            RecordKind::Pace => {
                let said = Said::unpack(record.detail, record.value);
                if said.phase == Phase::Done {
                    self.release(place, record.flow_id);
                } else {
                    self.goes_on(record, said, role, reports);
                }
            }
            _ => {}
        }
    }

    fn release(&mut self, place: (IpAddr, u16), flow: u64) {
        if let Some(service) = self.services.get_mut(&place) {
            service.release(flow);
        }
    }

    fn goes_on(&mut self, record: &HostRecord, said: Said, role: Role, reports: &mut Vec<Report>) {
        let key = record.key;
        let place = (key.dst, key.dport);
        let Some(service) = self.services.entry(place, Service::default) else {
            return;
        };
        service.hold(record, said);
        let stalls = service.count(&self.settings, key.src, record.ts);
        let held = u32::from(service.count);
        let open = self.open.get_mut(&place).map_or(0, |o| o.0).max(held);
        let s = self.settings.clone();
        let percent = |n: u32| n.saturating_mul(100) / open.max(1);
        let least = s.stalled_min.of(role);
        let serious =
            |n: u32| n >= s.serious_min.max(least) || n >= least && percent(n) >= s.serious_share;
        let facts = Facts { stalls, open };
        if stalls.of_one >= least {
            let severity = if serious(stalls.of_one) {
                Severity::Critical
            } else {
                Severity::Major
            };
            let who = (key.src, key.dst, key.dport);
            self.alarm((who, key, severity), stalls.of_one, record, facts, reports);
        } else {
            // On below half of it, an open incident goes on.
            if stalls.of_one * 2 >= least
                && let Some(holder) = self.holders.get(&(key.src, key.dst, key.dport))
            {
                Watch::<Who, Holder>::keep(&mut holder.live, record.ts);
            }
            let others = FlowKey {
                src: MANY,
                sport: 0,
                ..key
            };
            if stalls.all >= s.serious_min {
                let severity = if percent(stalls.all) >= s.serious_share {
                    Severity::Critical
                } else {
                    Severity::Major
                };
                let who = (MANY, key.dst, key.dport);
                self.alarm((who, others, severity), stalls.all, record, facts, reports);
            }
            if said.by_path && stalls.by_path > 0 {
                // The server's own address stands for the users of slow lines: no incident of an attack has it.
                let many = stalls.by_path >= least && percent(stalls.by_path) >= s.slow_users_share;
                let severity = if many {
                    Severity::Major
                } else {
                    Severity::Informational
                };
                let who = (key.dst, key.dst, key.dport);
                self.alarm(
                    (who, others, severity),
                    stalls.by_path,
                    record,
                    facts,
                    reports,
                );
            }
        }
    }

    fn alarm(
        &mut self,
        (who, key, severity): (Who, FlowKey, Severity),
        size: u32,
        record: &HostRecord,
        facts: Facts,
        reports: &mut Vec<Report>,
    ) {
        let (stalls, open) = (facts.stalls, facts.open);
        if let Some(holder) = self.holders.entry(who, Holder::default) {
            holder.most = holder.most.max(size);
            holder.last = record.ts;
        }
        let slow_line = who.0 == who.1;
        self.holders.alarm_as(
            severity,
            who,
            record,
            (key, u64::from(size)),
            reports,
            Holder::default,
            |_| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: !key.src.is_unspecified(),
                evidence: evidence(|json| {
                    json.str("limited_by", facts.limited_by(slow_line))
                        .num("stalled", size)
                        .num("connections", open)
                        .num("percent", size.saturating_mul(100) / open.max(1));
                    json.num("slow_headers", stalls.headers)
                        .num("slow_bodies", stalls.bodies)
                        .num("slow_readers", stalls.reads)
                        .num("slow_line_users", stalls.by_path);
                }),
            },
        );
    }
}

#[derive(Clone, Copy)]
struct Facts {
    stalls: Stalls,
    open: u32,
}

impl Facts {
    /// Which end it is that makes most of them slow.
    fn limited_by(&self, slow_line: bool) -> &'static str {
        let senders = self.stalls.headers + self.stalls.bodies;
        match (slow_line, self.stalls.reads > senders) {
            (true, _) => "path",
            (false, true) => "receiver",
            (false, false) => "sender",
        }
    }
}

impl Detector for SlowHttp {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[K::Pace, K::Established, K::Ended, K::Closed, K::Reset]
    }
    fn memory(&self) -> Memory {
        self.services.memory() + self.open.memory() + self.holders.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.slow_http.clone();
    }
    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        if record.key.proto == 6 {
            self.record(record, seen.place().role, reports);
        }
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.holders.tick(now, secs, reports, Holder::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::*;

    fn pace(client: u32, flow: u64, said: Said, ms: u64) -> HostRecord {
        let (detail, value) = said.pack();
        HostRecord {
            detail,
            value,
            flow_id: flow,
            ..record(RecordKind::Pace, 6, client, 1, 80, ms)
        }
    }

    fn said(phase: Phase, by_path: bool, bytes: u32, ms: u32) -> Said {
        Said {
            phase,
            by_path,
            bytes,
            ms,
        }
    }

    fn run(role: Role, mut records: Vec<HostRecord>) -> Vec<Report> {
        records.sort_by_key(|r| r.ts);
        let mut slow = SlowHttp::new(SlowHttpSettings::default());
        run_with(&mut slow, role, records)
    }

    /// So many connections of `clients` hosts that send a piece every four seconds for half a minute.
    fn held(count: u32, clients: u32, of: impl Fn(u32) -> Said) -> Vec<HostRecord> {
        (0..count)
            .flat_map(|i| {
                let client = i % clients;
                let opened = record(RecordKind::Established, 6, client, 1, 80, u64::from(i));
                let pieces = (1..8u32).map(|n| n * 4_000);
                let pieces: Vec<_> = pieces
                    .map(|ms| pace(client, u64::from(i) + 1, of(ms), u64::from(ms + i)))
                    .collect();
                std::iter::once(opened).chain(pieces)
            })
            .collect()
    }

    #[test]
    fn headers_bodies_and_answers_that_trickle_are_found_and_a_little_is_not() {
        for phase in [Phase::Header, Phase::Body, Phase::Read] {
            let found = run(
                Role::Dmz,
                held(15, 1, |ms| said(phase, false, ms / 200, ms)),
            );
            assert_eq!(found.len(), 1, "{phase:?}");
            assert_eq!(
                found[0].key.src,
                record(RecordKind::Pace, 6, 0, 1, 80, 0).key.src
            );
            assert!(run(Role::Dmz, held(9, 1, |ms| said(phase, false, ms / 200, ms))).is_empty());
        }
        // Outside more is borne.
        assert!(
            run(
                Role::Edge,
                held(15, 1, |ms| said(Phase::Header, false, 9, ms))
            )
            .is_empty()
        );
    }

    #[test]
    fn who_holds_much_of_the_service_is_serious() {
        let many = |visitors: u32| {
            let mut records = held(12, 1, |ms| said(Phase::Header, false, 9, ms));
            records.extend(
                (0..visitors).map(|i| record(RecordKind::Established, 6, 100 + i, 1, 80, 0)),
            );
            run(Role::Dmz, records)
        };
        assert_eq!(many(5)[0].severity, Severity::Critical);
        assert_eq!(many(500)[0].severity, Severity::Major);
    }

    #[test]
    fn one_connection_each_from_many_sources_is_seen_at_the_service() {
        let found = run(
            Role::Dmz,
            held(40, 40, |ms| said(Phase::Header, false, 9, ms)),
        );
        assert_eq!(found.len(), 1);
        assert!(found[0].key.src.is_unspecified() && !found[0].source_verified);
        assert_eq!(found[0].severity, Severity::Critical);
    }

    #[test]
    fn users_of_slow_lines_are_statistics_and_never_acted_on() {
        // Thirty modems that upload at 1 kB/s, among a thousand others.
        let mut records = held(30, 30, |ms| said(Phase::Body, true, ms, ms));
        records.extend((0..1_000).map(|i| record(RecordKind::Established, 6, 100 + i, 1, 80, 0)));
        let found = run(Role::Dmz, records);
        assert!(found.iter().all(|r| r.severity == Severity::Informational));
        assert!(
            found
                .iter()
                .all(|r| !r.source_verified && r.key.src.is_unspecified())
        );
        assert!(!found.is_empty());
        // A village behind one bad line holds a small server: told, and still nobody is touched.
        let found = run(
            Role::Dmz,
            held(30, 1, |ms| said(Phase::Body, true, ms / 20, ms)),
        );
        assert!(found.iter().any(|r| r.severity == Severity::Major));
        assert!(found.iter().all(|r| !r.source_verified));
    }

    #[test]
    fn quick_bodies_and_finished_requests_are_nothing() {
        assert!(
            run(
                Role::Dmz,
                held(60, 2, |ms| said(Phase::Body, false, ms * 5, ms))
            )
            .is_empty()
        );
        let mut records = held(60, 2, |ms| said(Phase::Header, false, 9, ms.min(8_000)));
        records.retain(|r| r.kind != RecordKind::Pace || r.value as u32 <= 4_000);
        let done: Vec<_> = (0..60)
            .map(|i| pace(i % 2, u64::from(i) + 1, Said::default(), 9_000))
            .collect();
        records.extend(done);
        records.push(pace(0, 999, said(Phase::Header, false, 1, 100), 30_000));
        assert!(run(Role::Dmz, records).is_empty());
    }

    #[test]
    fn random_services_take_no_more_memory() {
        let mut slow = SlowHttp::new(SlowHttpSettings::default());
        let before = slow.memory().bytes;
        let mut reports = Vec::new();
        for i in 0..100_000u32 {
            let mut one = pace(
                i,
                u64::from(i) + 1,
                said(Phase::Header, false, 1, 20_000),
                u64::from(i),
            );
            one.key.dport = (i % 60_000) as u16;
            slow.record(&one, Role::Dmz, &mut reports);
        }
        assert_eq!(slow.memory().bytes, before);
    }
}
