//! Data leaving (detectors.md D20): one of our hosts sends far more to a place outside than it ever does.
//!
//! Per (host, destination): bytes sent and received within an hour, from records of volume (a flow under way reports every
//! 8 MiB). Alarm when more than the limit of the role was sent, three times as much as came back, and ten times what the
//! host sent to anybody in its largest hour of the thirty days before.
//! One connection that goes on for hours, each of which stays below that, is added up by itself: from `long_secs` on the
//! same limit holds for all that it sent, when its destination is new to the host (first seen within a day of the flow's
//! beginning), against the usual hour as it was when the flow began: what it sends does not become usual while it lasts.
//! The hours of the day in which a host uploads are learned: after `hours_days` days, at an hour at which it never did, a
//! quarter of the limit is enough (UTC: what is learned is compared with itself, so the zone does not matter).
//! What is *not* exfiltration: declared backup hosts and proxies; downloads with their acknowledgements; calls and meetings
//! (as much comes back); what the host uploads every day; a camera or a log that has gone to the same place for days;
//! traffic among our own.
//! Limits: long connections to a place known for days, or cut into flows of less than `long_secs`, count by the hour only.
//! Memory: fixed, one record per pair and one per host.

use std::net::IpAddr;

use super::EXFILTRATION;
use super::detector::{Detector, Seen};
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{ByRole, HostRole, is_group, is_local};
use super::record::{HostRecord, RecordKind};
use super::table::{SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ExfiltrationSettings {
    /// MiB to one destination within an hour. Default edge 0 (off), DMZ 50, intranet 100 (detectors.md D20).
    pub mib_min: ByRole<u32>,
    /// MiB from which it is serious. Default edge 0, DMZ 50, intranet 1,024 (detectors.md D20).
    pub serious_mib: ByRole<u32>,
    /// Bytes sent per byte received, at least. Default 3.
    pub ratio_min: u32,
    /// Times the largest usual hour of the host. Default 10 (detectors.md D20).
    pub usual_times: u32,
    /// Days with uploads of a host after which its hours are known. Default 5: a working week.
    pub hours_days: u32,
    /// Seconds from which a connection is long, and all that it sent counts. Default 3,600 (detectors.md D20).
    pub long_secs: u32,
    /// Percent of the limit that is enough at an hour at which it never uploads. Default 25.
    pub odd_hour_percent: u32,
    /// Flows watched at a time. Default 16,384.
    pub flows: usize,
    /// Pairs watched. Default 16,384.
    pub pairs: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for ExfiltrationSettings {
    fn default() -> Self {
        Self {
            mib_min: ByRole::new(0, 50, 100),
            serious_mib: ByRole::new(0, 50, 1_024),
            ratio_min: 3,
            usual_times: 10,
            hours_days: 5,
            long_secs: 3_600,
            odd_hour_percent: 25,
            flows: 16_384,
            pairs: 16_384,
            off_secs: 3_600,
        }
    }
}

/// Hosts whose usual hour is known.
const HOSTS: usize = 8_192;
const HOUR: u64 = 3_600;
/// An hour further back than this many no longer counts as usual.
const USUAL_HOURS: u64 = 30 * 24;

/// What a flow has reported so far.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    sent: u64,
    received: u64,
    at: Timestamp,
    since: Timestamp,
    /// The largest hour of the host when the flow began.
    usual: u64,
    /// Whether its destination was new to the host then.
    to_new: bool,
}

impl Worth for Counted {
    /// What has sent much is kept longer: it may speak once an hour only. A minute for each MiB, six hours at most.
    fn worth(&self) -> u64 {
        let minutes = (self.sent >> 20).min(360);
        self.at.0.saturating_add(minutes * 60_000_000_000)
    }
}

#[derive(Clone, Debug, Default)]
struct Pair {
    hour: u64,
    sent: u64,
    received: u64,
    flows: u32,
    first: Timestamp,
    live: Live,
}

impl Entry for Pair {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.sent
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// The largest hour of a host.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    hour: u64,
    /// Sent in this hour, without what an incident is about.
    sent: u64,
    /// The largest of the hours before, and which it was.
    most: u64,
    most_hour: u64,
    /// Hours of the day in which it sent something on days before, a bit each.
    hours: u32,
    /// Hours of the day in hand, which count from tomorrow on.
    hours_today: u32,
    day: u64,
    days: u32,
}

impl Worth for Usual {
    fn worth(&self) -> u64 {
        self.hour << 20 | (self.most >> 20).min(0xf_ffff)
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Exfiltration {
    settings: ExfiltrationSettings,
    flows: SetTable<u64, Counted>,
    pairs: Watch<(IpAddr, IpAddr), Pair>,
    hosts: SetTable<IpAddr, Usual>,
}

impl Exfiltration {
    /// Takes its memory.
    pub fn new(settings: ExfiltrationSettings) -> Self {
        Self {
            flows: SetTable::new(settings.flows),
            pairs: Watch::new(EXFILTRATION, settings.pairs),
            hosts: SetTable::new(HOSTS),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        let place = seen.place();
        // Whoever began the flow: what leaves is what our end sends.
        let (ours, theirs, sent, received) = match (place.src_ours, place.dst_ours) {
            (true, false) => (
                key.src,
                key.dst,
                u64::from(record.detail) << 10,
                record.value,
            ),
            // A server answers whoever asks; that is its business. Only what it sends by itself counts.
            _ => return,
        };
        let mib_min = self.settings.mib_min.of(place.role);
        let exempt = seen.places.has_role(ours, HostRole::Backup)
            || seen.places.has_role(ours, HostRole::Proxy)
            || seen.places.has_role(ours, HostRole::Mail);
        if mib_min == 0 || exempt || is_group(theirs) || is_local(theirs) {
            return;
        }
        let Some(counted) = self.flows.entry(record.flow_id, Counted::default) else {
            return;
        };
        let more = sent.saturating_sub(counted.sent);
        let back = received.saturating_sub(counted.received);
        let new = counted.at == Timestamp(0);
        *counted = Counted {
            sent,
            received,
            at: record.ts,
            ..*counted
        };
        let mut counted = *counted;
        let hour = record.ts.secs() / HOUR;
        let (usual, odd_hour) = self.usual(ours, hour, more);
        let settings = &self.settings;
        let Some(pair) = self.pairs.entry((ours, theirs), Pair::default) else {
            return;
        };
        if new {
            counted.since = record.ts;
            counted.usual = usual;
            counted.to_new =
                pair.first == Timestamp(0) || record.ts.secs_since(pair.first) < 24 * HOUR;
            if let Some(kept) = self.flows.get_mut(&record.flow_id) {
                *kept = counted;
            }
        }
        if hour > pair.hour {
            // A transfer goes on over the full hour: half of what was sent in the last one is carried over.
            let carry = hour == pair.hour + 1;
            pair.hour = hour;
            pair.sent = if carry { pair.sent / 2 } else { 0 };
            pair.received = if carry { pair.received / 2 } else { 0 };
            pair.flows = 0;
        }
        if pair.first == Timestamp(0) {
            pair.first = record.ts;
        }
        pair.sent = pair.sent.saturating_add(more);
        pair.received = pair.received.saturating_add(back);
        pair.flows += u32::from(new);
        let mib = pair.sent >> 20;
        let limit =
            u64::from(mib_min).max((usual >> 20).saturating_mul(u64::from(settings.usual_times)));
        let limit = if odd_hour {
            (limit * u64::from(settings.odd_hour_percent) / 100).max(1)
        } else {
            limit
        };
        let ratio = u64::from(settings.ratio_min);
        let one_sided = |sent: u64, received: u64| sent >= received.saturating_mul(ratio);
        let by_hour = mib >= limit && one_sided(pair.sent, pair.received);
        // Long connections: the limit is that of one hour, for all that was sent.
        let usual_then = (counted.usual >> 20).saturating_mul(u64::from(settings.usual_times));
        let limit_long = u64::from(mib_min).max(usual_then);
        let long_secs = record.ts.secs_since(counted.since);
        let by_flow = counted.to_new
            && settings.long_secs > 0
            && long_secs >= u64::from(settings.long_secs)
            && sent >> 20 >= limit_long
            && one_sided(sent, received);
        if !by_hour && !by_flow {
            if mib * 2 >= limit {
                Watch::<(IpAddr, IpAddr), Pair>::keep(&mut pair.live, record.ts);
            }
            return;
        }
        let in_hour = mib;
        let (mib, limit) = if by_hour {
            (mib, limit)
        } else {
            (sent >> 20, limit_long)
        };
        let serious = u64::from(settings.serious_mib.of(place.role));
        let severity = if mib >= serious && seen.places.place(&key, record.interface).declared {
            Severity::Major
        } else if mib >= serious.max(1_024) {
            // Where nobody said what lies where, only what would be serious anywhere is.
            Severity::Major
        } else {
            Severity::Minor
        };
        let secs = record.ts.secs_since(pair.first);
        self.pairs.alarm_as(
            severity,
            (ours, theirs),
            record,
            (key, mib),
            reports,
            Pair::default,
            |pair| Says {
                confidence: 0.8,
                efficacy: Efficacy::Reached,
                reason: "the destination takes it",
                source_verified: key.proto == 6,
                evidence: evidence(|json| {
                    json.num("mib_sent_in_hour", in_hour)
                        .num("mib_min", limit)
                        .num("mib_received_in_hour", pair.received >> 20)
                        .num("largest_usual_hour_mib", usual >> 20)
                        .bool("at_an_hour_it_never_uploads", odd_hour)
                        .num("flows", pair.flows)
                        .num("secs", secs)
                        .num("port", key.dport);
                    if !by_hour {
                        json.num("mib_sent_in_flow", mib)
                            .num("hours_of_flow", long_secs / HOUR);
                    }
                }),
            },
        );
    }

    /// The largest hour of a host before this one, and whether it is an hour of the day at which it never sends.
    fn usual(&mut self, host: IpAddr, hour: u64, more: u64) -> (u64, bool) {
        let Some(usual) = self.hosts.entry(host, Usual::default) else {
            return (0, false);
        };
        let (day, of_day) = (hour / 24, (hour % 24) as u32);
        if day > usual.day {
            usual.hours |= usual.hours_today;
            usual.days += u32::from(usual.hours_today != 0);
            (usual.hours_today, usual.day) = (0, day);
        }
        usual.hours_today |= 1 << of_day;
        // The hour before and the one after it count as well: nobody works by the clock.
        let near = 1 << of_day | 1 << ((of_day + 1) % 24) | 1 << ((of_day + 23) % 24);
        let odd_hour = usual.days >= self.settings.hours_days && usual.hours & near == 0;
        if hour > usual.hour {
            let old = hour.saturating_sub(usual.most_hour) > USUAL_HOURS;
            // An hour a hundred times as large as any before is what we look for; it teaches nothing.
            let outlier = usual.most > 0 && usual.sent > usual.most.saturating_mul(100);
            if !outlier && (old || usual.sent > usual.most) {
                usual.most = usual.sent;
                usual.most_hour = usual.hour;
            }
            usual.hour = hour;
            usual.sent = 0;
        }
        usual.sent = usual.sent.saturating_add(more);
        (usual.most, odd_hour)
    }
}

impl Detector for Exfiltration {
    fn kinds(&self) -> &'static [RecordKind] {
        &[RecordKind::Volume]
    }
    fn memory(&self) -> Memory {
        self.flows.memory() + self.pairs.memory() + self.hosts.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.exfiltration.clone();
    }

    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.pairs
            .tick(now, self.settings.off_secs, reports, Pair::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::{Declared, run_at, run_with};
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    /// A flow that has sent and received so many MiB.
    fn volume(flow: u64, dst: u32, sent: u32, received: u64, ms: u64) -> HostRecord {
        HostRecord {
            detail: sent << 10,
            value: received << 20,
            flow_id: flow,
            ..record(RecordKind::Volume, 6, 1, dst, 443, ms)
        }
    }

    fn upload(mib: u32, per: u32) -> Vec<HostRecord> {
        (1..=mib / per)
            .map(|i| volume(1, 1, i * per, 0, u64::from(i) * 1_000))
            .collect()
    }

    fn run(role: Role, records: Vec<HostRecord>) -> Vec<Report> {
        let mut leak = Exfiltration::new(ExfiltrationSettings::default());
        run_with(&mut leak, role, records)
    }

    #[test]
    fn an_upload_is_found_within_8_mib_of_its_limit() {
        for (role, limit) in [(Role::Dmz, 50), (Role::Intranet, 100)] {
            let reports = run(role, upload(200, 8));
            assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
            let mib = reports[0].number / 1_000 * 8;
            println!("exfiltration, {}: alert after {mib} MiB", role.as_str());
            assert!((limit..=limit + 8).contains(&mib), "{mib}");
        }
        assert!(run(Role::Intranet, upload(96, 8)).is_empty());
        assert!(run(Role::Edge, upload(2_000, 8)).is_empty());
    }

    #[test]
    fn at_an_hour_at_which_the_host_never_uploads_a_quarter_is_enough() {
        const DAY_MS: u64 = 86_400_000;
        // Six days with 20 MiB in the morning and in the afternoon; then 30 MiB, which is less than any limit.
        let last = |hour: u64| {
            let mut records = Vec::new();
            for day in 0..6 {
                for at in [8, 9, 13] {
                    let ms = day * DAY_MS + at * 3_600_000;
                    records.push(volume(day * 24 + at, 2, 2, 0, ms));
                }
            }
            records.extend((1..=4u32).map(|i| {
                let ms = 6 * DAY_MS + hour * 3_600_000 + u64::from(i) * 1_000;
                volume(900, 1, i * 8, 0, ms)
            }));
            run(Role::Intranet, records).len()
        };
        assert_eq!(last(9), 0);
        assert_eq!(last(20), 1);
    }

    /// One connection that sends so many MiB in each of so many hours, the same all the time, and gets so many back. It
    /// reports at doublings and every 8 MiB, as the flows do.
    fn steady(dst: u32, (sent, received): (u32, u32), hours: u32, from_ms: u64) -> Vec<HostRecord> {
        let first = [(256, 512), (512, 1_024)];
        let hour_ms = 3_600_000u64;
        let at = |kib: u64| from_ms + kib * hour_ms / (u64::from(sent.max(1)) << 10);
        let total = u64::from(sent * hours) << 10;
        let steps = first
            .map(|(kib, _)| kib)
            .into_iter()
            .chain([1_024, 2_048, 4_096])
            .chain((1..).map(|i| i * 8_192));
        steps
            .take_while(|kib| *kib <= total)
            .map(|kib| HostRecord {
                detail: kib as u32,
                value: (kib << 10) * u64::from(received) / u64::from(sent.max(1)),
                flow_id: u64::from(dst) << 32 | from_ms,
                ..record(RecordKind::Volume, 6, 1, dst, 443, at(kib))
            })
            .collect()
    }

    #[test]
    fn one_connection_that_sends_steadily_for_hours_is_found_at_the_limit() {
        for (role, rate, limit) in [
            (Role::Intranet, 20, 100),
            (Role::Intranet, 45, 100),
            (Role::Dmz, 6, 50),
        ] {
            let reports = run(role, steady(1, (rate, 0), 24, 0));
            let first = reports.first().expect("found");
            let mib = first.number * u64::from(rate) / 3_600_000;
            println!(
                "exfiltration, {}: {rate} MiB an hour over one connection: alert after {:.1} h, {mib} MiB",
                role.as_str(),
                first.number as f64 / 3_600_000.0
            );
            assert!((limit..=limit + 8).contains(&mib), "{mib}");
            assert_eq!(reports.iter().filter(|r| r.state == "open").count(), 1);
            let evidence = String::from_utf8_lossy(&first.evidence).into_owned();
            assert!(evidence.contains("mib_sent_in_flow"), "{evidence}");
        }
    }

    #[test]
    fn long_calls_backups_little_and_what_goes_there_every_day_are_quiet() {
        // A call in which as much comes back; 80 MiB in a day; a connection that lives for half an hour.
        for records in [
            steady(1, (40, 20), 12, 0),
            steady(1, (4, 0), 20, 0),
            steady(1, (90, 0), 1, 0),
        ] {
            assert!(run(Role::Intranet, records).is_empty());
        }
        let mut leak = Exfiltration::new(ExfiltrationSettings::default());
        let declared = Declared {
            role: Role::Intranet,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Backup,
        };
        assert!(run_at(&mut leak, &declared, steady(1, (40, 0), 24, 0)).is_empty());
        // A camera: little on the day on which it was put up, more from then on, to the same place.
        let day = 86_400_000;
        let mut camera = steady(7, (2, 0), 20, 0);
        camera.extend(steady(7, (20, 0), 20, 2 * day));
        camera.extend(steady(7, (20, 0), 20, 3 * day));
        assert!(run(Role::Intranet, camera).is_empty());
    }

    #[test]
    fn a_crowd_of_flows_does_not_wash_out_a_slow_one() {
        let mut leak = Exfiltration::new(ExfiltrationSettings {
            flows: 256,
            ..ExfiltrationSettings::default()
        });
        let bytes = Detector::memory(&leak).bytes;
        let mut records = steady(1, (20, 0), 12, 0);
        // A flow of 256 KiB in each second beside it.
        records.extend((0..12 * 3_600u64).map(|i| HostRecord {
            detail: 200,
            value: 60 << 10,
            flow_id: i + 10,
            ..record(RecordKind::Volume, 6, 2, 1_000 + i as u32, 443, i * 1_000)
        }));
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut leak, Role::Intranet, records);
        assert_eq!(Detector::memory(&leak).bytes, bytes);
        let found = reports.iter().find(|r| r.state == "open").expect("found");
        assert_eq!(found.key.dst, IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn a_gibibyte_is_serious() {
        let reports = run(Role::Intranet, upload(1_200, 8));
        assert_eq!(reports[0].severity, Severity::Minor);
        assert!(reports.iter().any(|r| r.severity == Severity::Major));
    }

    #[test]
    fn many_small_flows_add_up() {
        let records = (1..=400u64)
            .map(|i| volume(i, 1, 1, 0, i * 1_000))
            .collect();
        assert_eq!(
            run(Role::Intranet, records)
                .iter()
                .filter(|r| r.state == "open")
                .count(),
            1
        );
    }

    #[test]
    fn downloads_meetings_and_backups_are_quiet() {
        let download =
            (1..=500).map(|i| volume(1, 1, i / 20, u64::from(i) * 8, u64::from(i) * 100));
        assert!(run(Role::Intranet, download.collect()).is_empty());
        let meeting = (1..=500).map(|i| volume(1, 1, i * 2, u64::from(i), u64::from(i) * 1_000));
        assert!(run(Role::Intranet, meeting.collect()).is_empty());
        let mut leak = Exfiltration::new(ExfiltrationSettings::default());
        let declared = Declared {
            role: Role::Intranet,
            host: "10.0.0.1".parse().expect("address"),
            is: HostRole::Backup,
        };
        assert!(run_at(&mut leak, &declared, upload(2_000, 8)).is_empty());
    }

    #[test]
    fn what_is_sent_every_day_is_the_measure() {
        let day = 86_400_000;
        let mut records = Vec::new();
        for d in 0..5u64 {
            for i in 1..=11u32 {
                records.push(volume(d + 10, 9, i * 8, 0, d * day + u64::from(i) * 1_000));
            }
        }
        // 90 MiB every day: 600 MiB to somewhere new are below ten times that.
        records
            .extend((1..=75u32).map(|i| volume(99, 1, i * 8, 0, 5 * day + u64::from(i) * 1_000)));
        assert!(run(Role::Intranet, records).is_empty());
    }

    #[test]
    fn random_destinations_take_no_more_memory_and_do_not_hide_a_leak() {
        let mut leak = Exfiltration::new(ExfiltrationSettings {
            flows: 256,
            pairs: 256,
            ..ExfiltrationSettings::default()
        });
        let bytes = Detector::memory(&leak).bytes;
        let mut records = Vec::new();
        for i in 0..50_000u32 {
            records.push(volume(
                u64::from(i) + 10,
                1_000 + i,
                1,
                1,
                u64::from(i) * 10,
            ));
        }
        records.extend(upload(400, 8));
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut leak, Role::Intranet, records);
        assert_eq!(Detector::memory(&leak).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.dst == IpAddr::from([192, 0, 2, 1]))
        );
    }
}
