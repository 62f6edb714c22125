//! Beacons (detectors.md D10): one of our hosts calls somewhere outside at a steady period, as bots call home.
//!
//! Timing alone cannot find them: NTP, telemetry and updates are as steady. Two stages:
//! 1. per (client, server, port): a histogram of the logarithms of the intervals in quarter octaves; the share within two
//!    bins of the median bin, from 16 callbacks on;
//! 2. a sum of log odds: timing, rarity of the destination among our hosts, novelty, no name that resolved to it, a port
//!    of its own, requests that are all alike, a server named by its address. Alarm at ln(1/1e-4).
//!
//! Rarity and novelty count in full only once enough hosts and days have been seen; until then something else must speak
//! against the destination.
//! What is *not* a beacon: protocols whose business is a period (NTP, mail, monitoring, chat, VPN …); destinations many
//! of our hosts call; callbacks that are never answered; bursts.
//! Memory: fixed, one record per pair and one per destination.
//!
//! Sources: RITA v5 and BAYWATCH (Hu et al. 2016) for the filters; the histogram and its rates are detectors.md's.

use std::net::IpAddr;

use super::BEACON;
use super::bloom::Bloom;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::{Role, is_group, is_local};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct BeaconSettings {
    /// Intervals without which timing says nothing. Default 14, which are 16 callbacks (detectors.md D10): the first one
    /// only makes the pair known.
    pub intervals_min: u32,
    /// Share of the intervals near their median. Default 0.8 (detectors.md D10: ±25 % of jitter is found at 99.98 %).
    pub core_min: f64,
    /// Sum of log odds that is an alert. Default 9.2: ln(1/1e-4) (detectors.md D10).
    pub odds_min: f64,
    /// Shortest median interval in seconds. Default 2 (detectors.md D10 has 10; the gate keeps shorter polls quiet).
    pub interval_min_secs: u32,
    /// Our hosts that must have been seen before rarity counts in full. Default 20.
    pub hosts_min: u32,
    /// Seconds that must have been seen before novelty counts in full. Default 86,400: a day.
    pub learn_secs: u32,
    /// Pairs watched. Default 16,384.
    pub pairs: usize,
    /// Destinations known. Default 32,768.
    pub destinations: usize,
    /// Quiet seconds after which an incident closes. Default 86,400 (detectors.md D10).
    pub off_secs: u32,
}

impl Default for BeaconSettings {
    fn default() -> Self {
        Self {
            intervals_min: 14,
            core_min: 0.8,
            odds_min: 9.2,
            interval_min_secs: 2,
            hosts_min: 20,
            learn_secs: 86_400,
            pairs: 16_384,
            destinations: 32_768,
            off_secs: 86_400,
        }
    }
}

/// Ports whose protocols have a period of their own.
const STEADY: &[u16] = &[
    25, 53, 67, 68, 110, 119, 123, 137, 138, 143, 161, 162, 179, 389, 445, 465, 500, 514, 546, 547,
    554, 587, 636, 853, 873, 993, 995, 1194, 1701, 1812, 1813, 1883, 1900, 2049, 3306, 3389, 3478,
    4500, 5060, 5061, 5222, 5223, 5228, 5353, 5432, 5671, 5672, 8883, 9090, 9100, 9418, 10050,
    10051, 51820,
];
/// Ports of the web: calling them is nothing of its own.
const WEB: &[u16] = &[80, 443, 8000, 8008, 8080, 8081, 8443, 8888];
/// Bins of the histogram: quarter octaves from a second on.
const BINS: usize = 64;
/// Bytes of each generation of the filter of pairs that called once.
const ONCE: usize = 1 << 18;
const DAY: u64 = 86_400;
/// Callbacks within this time are one.
const MERGE: u64 = 1_000_000_000;

#[derive(Clone, Debug)]
struct Pair {
    intervals: [u8; BINS],
    count: u32,
    first: Timestamp,
    last: Timestamp,
    callbacks: u32,
    answered: u32,
    requests: u32,
    /// Requests for the path of the first one.
    path: u64,
    same_path: u32,
    literal: bool,
    /// Bytes of the client in the first ended flow, flows like it, and flows that ended.
    size: u32,
    same_size: u32,
    sizes: u32,
    live: Live,
}

impl Default for Pair {
    fn default() -> Self {
        Self {
            intervals: [0; BINS],
            count: 0,
            first: Timestamp(0),
            last: Timestamp(0),
            callbacks: 0,
            answered: 0,
            requests: 0,
            path: 0,
            same_path: 0,
            literal: false,
            size: 0,
            same_size: 0,
            sizes: 0,
            live: Live::default(),
        }
    }
}

impl Entry for Pair {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        // The share of the core decides; what is called once gives way first.
        let steady = if self.count >= 4 {
            (self.core().0 * 100.0) as u64
        } else {
            0
        };
        (u64::from(self.count.min(64)) * steady) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Pair {
    fn interval(&mut self, secs: f64) {
        let bin = ((secs.max(1.0).log2() * 4.0) as usize).min(BINS - 1);
        if let Some(count) = self.intervals.get_mut(bin) {
            if *count == u8::MAX {
                self.intervals.iter_mut().for_each(|n| *n /= 2);
            } else {
                *count += 1;
            }
        }
        self.count = self.intervals.iter().map(|n| u32::from(*n)).sum();
    }

    /// Share of the intervals within two bins of the median bin, and the median in seconds.
    fn core(&self) -> (f64, f64) {
        let mut seen = 0;
        let median = self
            .intervals
            .iter()
            .position(|n| {
                seen += u32::from(*n);
                seen * 2 >= self.count.max(1)
            })
            .unwrap_or(0);
        let near: u32 = self
            .intervals
            .iter()
            .skip(median.saturating_sub(2))
            .take(median.min(2) + 3)
            .map(|n| u32::from(*n))
            .sum();
        let share = f64::from(near) / f64::from(self.count.max(1));
        (share, ((median as f64 + 0.5) / 4.0).exp2())
    }

    fn alike(of: u32, all: u32) -> bool {
        all >= 8 && of * 10 >= all * 8
    }
}

/// What is known of a destination.
#[derive(Clone, Copy, Debug, Default)]
struct Destination {
    first: Timestamp,
    clients: Bitmap256,
    /// A name resolved to it.
    named: bool,
}

impl Worth for Destination {
    fn worth(&self) -> u64 {
        u64::from(self.clients.estimate()) << 44 | u64::from(self.named) << 43 | self.first.secs()
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Beacon {
    settings: BeaconSettings,
    pairs: Watch<(IpAddr, IpAddr, u16), Pair>,
    destinations: SetTable<IpAddr, Destination>,
    /// Pairs that called once: only who calls again takes a record, so that random calls wash nobody out.
    once: Bloom,
    /// Our hosts that called anywhere, and those that were seen to resolve names.
    callers: Bitmap256,
    resolving: Bitmap256,
    began: Timestamp,
}

/// The sum of log odds and what it is made of.
#[derive(Clone, Copy, Debug, Default)]
struct Odds {
    sum: f64,
    timing: f64,
    rarity: f64,
    novelty: f64,
    unnamed: bool,
    odd_port: bool,
    same_requests: bool,
    same_sizes: bool,
    literal: bool,
    clients: u32,
}

impl Beacon {
    /// Takes its memory.
    pub fn new(settings: BeaconSettings) -> Self {
        Self {
            pairs: Watch::new(BEACON, settings.pairs),
            destinations: SetTable::new(settings.destinations),
            once: Bloom::new(ONCE, DAY),
            callers: Bitmap256::default(),
            resolving: Bitmap256::default(),
            began: Timestamp(0),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = &record.key;
        if record.kind == RecordKind::Resolved {
            self.resolving.insert(endpoint_hash(key.src, 0));
            if let Some(destination) = self.destinations.entry(key.dst, Destination::default) {
                destination.named = true;
                if destination.first == Timestamp(0) {
                    destination.first = record.ts;
                }
            }
            return;
        }
        if !matches!(key.proto, 6 | 17) {
            return;
        }
        let place = seen.place();
        // Outside the firewall nobody is ours; inwards it is monitoring.
        if place.role == Role::Edge || !place.src_ours || place.dst_ours {
            return;
        }
        if STEADY.contains(&key.dport)
            || is_group(key.dst)
            || is_local(key.dst)
            || is_local(key.src)
        {
            return;
        }
        let pair_key = (key.src, key.dst, key.dport);
        let calls = matches!(record.kind, RecordKind::Opened | RecordKind::Request);
        if calls {
            self.called(record);
        }
        let hash = endpoint_hash(key.src, 0).rotate_left(29) ^ endpoint_hash(key.dst, key.dport);
        if !self.once.contains(hash) {
            if calls {
                self.once.insert(hash, record.ts);
            }
            return;
        }
        let Some(pair) = self.pairs.entry(pair_key, Pair::default) else {
            return;
        };
        match record.kind {
            RecordKind::Established => pair.answered = pair.answered.saturating_add(1),
            RecordKind::Closed if record.detail > 0 => {
                if pair.sizes == 0 {
                    pair.size = record.detail;
                }
                pair.sizes = pair.sizes.saturating_add(1);
                let near = record.detail.abs_diff(pair.size) <= pair.size / 8;
                pair.same_size = pair.same_size.saturating_add(u32::from(near));
            }
            RecordKind::Request => {
                if pair.requests == 0 {
                    pair.path = record.value;
                }
                pair.requests = pair.requests.saturating_add(1);
                pair.same_path = pair
                    .same_path
                    .saturating_add(u32::from(record.value == pair.path));
                pair.literal |= record.detail & 4 != 0;
            }
            _ => {}
        }
        if !calls {
            return;
        }
        let since = record.ts.since(pair.last);
        if pair.first == Timestamp(0) {
            pair.first = record.ts;
        } else if since < MERGE {
            return;
        } else {
            pair.interval(since as f64 / 1e9);
        }
        pair.callbacks = pair.callbacks.saturating_add(1);
        pair.last = record.ts;
        let settings = &self.settings;
        if pair.count < settings.intervals_min {
            return;
        }
        let (core, median) = pair.core();
        // Twice in three callbacks somebody must have answered: what fails over and over is a broken client.
        let answered = pair.answered.max(pair.requests) * 3 >= pair.callbacks.saturating_sub(2);
        if core < settings.core_min
            || median * 1.2 < f64::from(settings.interval_min_secs)
            || !answered
        {
            return;
        }
        let pair = pair.clone();
        let odds = self.odds(record, &pair, core);
        if odds.sum < self.settings.odds_min {
            return;
        }
        self.tell(record, &pair, (core, median), &odds, reports);
    }

    /// Somebody called a destination.
    fn called(&mut self, record: &HostRecord) {
        if self.began == Timestamp(0) {
            self.began = record.ts;
        }
        let caller = endpoint_hash(record.key.src, 0);
        self.callers.insert(caller);
        if let Some(destination) = self
            .destinations
            .entry(record.key.dst, Destination::default)
        {
            destination.clients.insert(caller);
            if destination.first == Timestamp(0) {
                destination.first = record.ts;
            }
        }
    }

    fn odds(&mut self, record: &HostRecord, pair: &Pair, core: f64) -> Odds {
        let settings = &self.settings;
        let hosts = self.callers.estimate().max(1);
        let resolves = {
            let mut probe = self.resolving;
            !probe.insert(endpoint_hash(record.key.src, 0))
        };
        let learned = record.ts.secs_since(self.began) >= u64::from(settings.learn_secs);
        let Some(destination) = self
            .destinations
            .entry(record.key.dst, Destination::default)
            .copied()
        else {
            return Odds::default();
        };
        let clients = destination.clients.estimate().max(1);
        // RITA: few of our hosts (2 %) speak against it, many (50 %) for it.
        let share = f64::from(clients) / f64::from(hosts);
        let rarity = match (hosts >= settings.hosts_min, share) {
            (true, s) if s <= 0.02 || clients == 1 => 3.0,
            (true, s) if s <= 0.1 => 1.0,
            (true, s) if s >= 0.3 => -4.0,
            (true, _) => -1.0,
            (false, _) if clients > 3 => -2.0,
            (false, _) => 0.5,
        };
        let known_secs = record.ts.secs_since(destination.first);
        let novelty = match (learned, known_secs) {
            (true, 0..604_800)
                if destination.first.secs_since(self.began)
                    >= u64::from(settings.learn_secs) / 2 =>
            {
                2.5
            }
            (true, _) => -1.0,
            (false, _) => 0.5,
        };
        let steady = if pair.count >= 24 && core >= 0.95 {
            5.0
        } else {
            4.0
        };
        let unnamed = resolves && !destination.named;
        let odd_port = !WEB.contains(&record.key.dport);
        let same_requests = Pair::alike(pair.same_path, pair.requests);
        let same_sizes = Pair::alike(pair.same_size, pair.sizes);
        let add = |holds: bool, odds: f64| if holds { odds } else { 0.0 };
        let sum = steady
            + rarity
            + novelty
            // A server that the client itself names by its address has no name either.
            + add(unnamed || pair.literal, 3.0)
            + add(destination.named, -0.5)
            + add(odd_port, 2.0)
            + add(same_requests, 1.5)
            + add(same_sizes, 1.5);
        Odds {
            sum,
            timing: steady,
            rarity,
            novelty,
            unnamed,
            odd_port,
            same_requests,
            same_sizes,
            literal: pair.literal,
            clients,
        }
    }

    fn tell(
        &mut self,
        record: &HostRecord,
        pair: &Pair,
        (core, median): (f64, f64),
        odds: &Odds,
        reports: &mut Vec<Report>,
    ) {
        let key = record.key;
        // Timing, rarity and novelty alone are worth a look; with a sign of its own it is worth more.
        let signs = odds.unnamed || odds.literal || (odds.odd_port && odds.same_sizes);
        let severity = if signs {
            Severity::Major
        } else {
            Severity::Minor
        };
        let min = self.settings.odds_min;
        self.pairs.alarm_as(
            severity,
            (key.src, key.dst, key.dport),
            record,
            (key, u64::from(pair.callbacks)),
            reports,
            Pair::default,
            |_| Says {
                confidence: if signs { 0.85 } else { 0.7 },
                efficacy: Efficacy::Reached,
                reason: "the destination answers",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("callbacks", pair.callbacks)
                        .float("median_secs", round(median))
                        .float("steady_share", round(core))
                        .num("secs", record.ts.secs_since(pair.first))
                        .float("log_odds", round(odds.sum))
                        .float("log_odds_min", min)
                        .float("timing", odds.timing)
                        .float("rarity", odds.rarity)
                        .float("novelty", odds.novelty)
                        .num("our_hosts_that_call_it", odds.clients)
                        .bool("no_name_resolved_to_it", odds.unnamed)
                        .bool("named_by_address", odds.literal)
                        .bool("port_of_its_own", odds.odd_port)
                        .bool("same_requests", odds.same_requests)
                        .bool("same_sizes", odds.same_sizes);
                }),
            },
        );
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

impl Detector for Beacon {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[
            K::Opened,
            K::Established,
            K::Request,
            K::Closed,
            K::Resolved,
        ]
    }
    fn memory(&self) -> Memory {
        self.pairs.memory() + self.destinations.memory() + self.once.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.beacon.clone();
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
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::*;

    /// A number of pseudo-random order from 0 to 1.
    fn noise(i: u64) -> f64 {
        (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24)
    }

    /// `n` answered calls of a host to 192.0.2.`dst` every `ms`, give or take `jitter` of it.
    fn calls(n: u64, (src, dst, port): (u32, u32, u16), ms: u64, jitter: f64) -> Vec<HostRecord> {
        let mut at = 0;
        (0..n)
            .flat_map(|i| {
                let shift = (noise(i) * 2.0 - 1.0) * jitter * ms as f64;
                at += ms.saturating_add_signed(shift as i64);
                let one = |kind, at| HostRecord {
                    detail: 500,
                    value: 900,
                    ..record(kind, 6, src, dst, port, at)
                };
                [
                    one(RecordKind::Opened, at),
                    one(RecordKind::Established, at + 30),
                    one(RecordKind::Closed, at + 300),
                ]
            })
            .collect()
    }

    fn resolved(src: u32, dst: u32) -> HostRecord {
        record(RecordKind::Resolved, 17, src, dst, 53, 0)
    }

    fn run(mut records: Vec<HostRecord>) -> Vec<Report> {
        records.sort_by_key(|r| r.ts);
        let mut beacon = Beacon::new(BeaconSettings::default());
        run_with(&mut beacon, Role::Intranet, records)
    }

    #[test]
    fn a_bot_that_calls_an_address_without_a_name_is_found_by_the_sixteenth_call() {
        for jitter in [0.0, 0.1, 0.25] {
            let mut records = calls(40, (1, 9, 4444), 60_000, jitter);
            records.push(resolved(1, 7));
            let reports = run(records.clone());
            assert_eq!(reports.first().map(|r| r.state), Some("open"), "{jitter}");
            let calls = records
                .iter()
                .filter(|r| r.kind == RecordKind::Opened && r.number <= reports[0].number)
                .count();
            println!("beacon, jitter {jitter}: alert at call {calls}");
            assert!(calls <= 20, "{calls}");
            assert!(jitter > 0.0 || calls <= 16, "{calls}");
        }
    }

    #[test]
    fn fifteen_calls_are_not_enough_and_irregular_ones_never_are() {
        let mut few = calls(15, (1, 9, 4444), 60_000, 0.0);
        few.push(resolved(1, 7));
        assert!(run(few).is_empty());
        let mut erratic: Vec<_> = (0..200u64)
            .scan(0u64, |at, i| {
                *at += 6_000 + (noise(i).powi(3) * 900_000.0) as u64;
                Some(record(RecordKind::Opened, 6, 1, 9, 4444, *at))
            })
            .collect();
        erratic.push(resolved(1, 7));
        assert!(run(erratic).is_empty());
    }

    #[test]
    fn ntp_telemetry_updates_and_dead_servers_are_quiet() {
        let ntp = (0..100u64).map(|i| record(RecordKind::Opened, 17, 1, 9, 123, i * 64_000));
        assert!(run(ntp.collect()).is_empty(), "NTP");
        let mut telemetry = calls(100, (1, 9, 443), 900_000, 0.02);
        telemetry.push(resolved(1, 9));
        assert!(run(telemetry).is_empty(), "telemetry");
        let mut updates = calls(50, (1, 9, 80), 3_600_000, 0.05);
        updates.push(resolved(1, 9));
        for i in 0..50 {
            updates.push(record(
                RecordKind::Request,
                6,
                1,
                9,
                80,
                3_600_000 * (i + 1) + 40,
            ));
        }
        assert!(run(updates).is_empty(), "updates");
        let mut dead: Vec<_> = (0..100u64)
            .map(|i| record(RecordKind::Opened, 6, 1, 9, 4444, i * 60_000))
            .collect();
        dead.push(resolved(1, 7));
        assert!(run(dead).is_empty(), "dead server");
    }

    #[test]
    fn what_many_of_our_hosts_call_is_no_beacon() {
        let mut records = Vec::new();
        for src in 1..=30 {
            records.extend(calls(30, (src, 9, 4444), 60_000, 0.05));
            records.push(resolved(src, 7));
        }
        // Until the others are seen the first may look rare; from a common start it does not.
        assert!(run(records).is_empty());
    }

    #[test]
    fn a_rare_new_destination_is_worth_a_look_once_enough_is_known() {
        let mut records = Vec::new();
        for src in 2..=40u32 {
            let mut usual = calls(30, (src, 100 + src % 3, 443), 7_200_000, 0.4);
            usual.push(resolved(src, 100 + src % 3));
            records.extend(usual);
        }
        let mut bot = calls(40, (1, 9, 443), 300_000, 0.2);
        for r in &mut bot {
            r.ts = r.ts.plus_nanos(90_000_000_000_000);
        }
        let mut name = resolved(1, 9);
        name.ts = name.ts.plus_nanos(90_000_000_000_000);
        records.extend(bot);
        records.push(name);
        let reports = run(records);
        let found: Vec<_> = reports.iter().filter(|r| r.state == "open").collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Minor);
    }

    #[test]
    fn random_destinations_take_no_more_memory_and_do_not_hide_a_bot() {
        let mut beacon = Beacon::new(BeaconSettings {
            pairs: 512,
            destinations: 512,
            ..BeaconSettings::default()
        });
        let bytes = Detector::memory(&beacon).bytes;
        let mut records = calls(30, (1, 9, 4444), 60_000, 0.1);
        records.push(resolved(1, 7));
        for i in 0..60_000u32 {
            let dst = 1_000 + i.wrapping_mul(2_654_435_761) % 0x0100_0000;
            records.push(record(
                RecordKind::Opened,
                6,
                2,
                dst,
                443,
                u64::from(i) * 30,
            ));
        }
        records.sort_by_key(|r| r.ts);
        let reports = run_with(&mut beacon, Role::Intranet, records);
        assert_eq!(Detector::memory(&beacon).bytes, bytes);
        assert!(
            reports
                .iter()
                .any(|r| r.key.src == IpAddr::from([10, 0, 0, 1]))
        );
    }
}
