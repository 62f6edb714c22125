//! Invented names (detectors.md D11): a host that asks for many domains that do not exist.
//!
//! Per client: distinct failed domains within a window, those that look invented apart. Algorithms that join words look
//! like nothing in particular; they show by their pace: a program asks for one new domain after the other at even
//! intervals, while the lookups of a page come in bursts and those of a resolver at random.
//! The alert names up to ten of the domains. A name that resolves at last is followed: new to the house, below a
//! top-level domain of those that failed, as long as they are, and of their look. That it resolved makes it likely that the
//! controller was found, and a connection to its address within ten minutes is the second piece of evidence.
//! What is *not* a DGA: search suffixes and block lists (one domain, many names below it), a dead application (one name).
//! Limits: domains are the last two labels, so that names below a provider of dynamic names are one domain. A storm of
//! names that are words is followed only after a day, when the names of the house are known.
//! Memory: fixed, one record per client, and a filter of the names that resolved.

use std::net::IpAddr;

use super::DGA;
use super::bloom::Bloom;
use super::detector::plain_detector;
use super::dns_names::{DnsName, DomainText, looks_invented};
use super::engine::{Report, evidence};
use super::first_bytes::hash;
use super::live::{Entry, Live, Says, Watch};
use super::place::{is_group, is_local};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DgaSettings {
    /// Distinct failed domains that look invented. Default 10 (detectors.md D11).
    pub invented_min: u32,
    /// Distinct failed domains whatever they look like. Default 100 (detectors.md D11).
    pub failed_min: u32,
    /// Distinct domains asked for at an even pace, of which at least [`PACED_FAILED`] do not exist. Default 40; of random
    /// intervals 38 % are within half of their mean, here it must be [`EVEN_PERCENT`] %.
    pub paced_min: u32,
    /// The window in seconds. Default 300.
    pub window_secs: u32,
    /// Clients watched. Default 8,192.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for DgaSettings {
    fn default() -> Self {
        Self {
            invented_min: 10,
            failed_min: 100,
            paced_min: 40,
            window_secs: 300,
            clients: 8_192,
            off_secs: 3_600,
        }
    }
}

/// Domains that do not exist among those asked for at an even pace, at least.
const PACED_FAILED: u32 = 3;
/// Intervals that are within half of their mean, at least, in percent.
const EVEN_PERCENT: u32 = 70;
/// Seconds between two new domains from which the pace begins anew.
const PAUSE_SECS: u64 = 120;
/// Domains named in an alert, at most, and the bytes that are kept of them.
const SAMPLES: usize = 10;
const SAMPLE_BYTES: usize = 240;
/// Invented domains that failed before one that resolves is of interest.
const FOLLOW_MIN: u32 = 3;
/// Seconds after which a connection to what a name resolved to no longer has to do with it (detectors.md §1.4, E4).
const FOLLOW_SECS: u64 = 600;
/// Bytes of each generation of the filter of domains that resolved, and how long one lasts: a month.
const KNOWN: usize = 1 << 17;
const KNOWN_SECS: u64 = 30 * 86_400;
/// Seconds after which the names of the house are known.
const LEARN_SECS: u64 = 86_400;
/// Addresses of a name that are followed.
const ADDRESSES: usize = 4;

#[derive(Clone, Debug, Default)]
struct Client {
    since: Timestamp,
    asked: Bitmap256,
    /// When the last new domain was asked for, and the mean interval in nanoseconds.
    newest: Timestamp,
    interval: f64,
    intervals: u32,
    even: u32,
    failed: Bitmap256,
    invented: Bitmap256,
    total: u64,
    samples: Samples,
    /// Top-level domains and lengths of the names that failed.
    tops: u64,
    lengths: (u8, u8),
    found: Option<Found>,
    live: Live,
}

/// The first domains that failed, one after the other with a space after each.
#[derive(Clone, Debug)]
struct Samples {
    bytes: [u8; SAMPLE_BYTES],
    len: usize,
    count: usize,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            bytes: [0; SAMPLE_BYTES],
            len: 0,
            count: 0,
        }
    }
}

impl Samples {
    fn add(&mut self, name: &[u8]) {
        let end = self.len + name.len() + 1;
        if self.count >= SAMPLES || name.is_empty() || end > SAMPLE_BYTES {
            return;
        }
        let room = self.bytes.iter_mut().skip(self.len);
        for (slot, byte) in room.zip(name.iter().chain(b" ")) {
            *slot = *byte;
        }
        (self.len, self.count) = (end, self.count + 1);
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        text.split(|b| *b == b' ').filter(|name| !name.is_empty())
    }
}

/// A name that resolved in the middle of those that do not exist.
#[derive(Clone, Copy, Debug)]
struct Found {
    name: DomainText,
    addresses: [Option<IpAddr>; ADDRESSES],
    at: Timestamp,
    /// The packet that gave its addresses.
    number: u64,
    /// The address that the client connected to.
    connected: Option<IpAddr>,
}

/// The bit of a top-level domain.
fn top_bit(top: &[u8]) -> u64 {
    1 << (hash(top) & 63)
}

impl Entry for Client {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.failed.estimate()) << 44 | self.since.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Client {
    /// A domain not asked for before.
    fn pace(&mut self, now: Timestamp) {
        let passed = now.0.saturating_sub(self.newest.0);
        self.newest = self.newest.max(now);
        if passed > PAUSE_SECS * 1_000_000_000 {
            self.interval = 0.0;
            return;
        }
        let passed = passed as f64;
        if self.interval > 0.0 {
            self.intervals += 1;
            let even = (0.5..=1.5).contains(&(passed / self.interval));
            self.even += u32::from(even);
            self.interval += 0.1 * (passed - self.interval);
        } else {
            self.interval = passed;
        }
    }

    /// A domain does not exist, for the first time.
    fn missed(&mut self, text: &DomainText) {
        let (name, top) = text.parts();
        if name.is_empty() {
            return;
        }
        self.samples.add(text.as_bytes());
        self.tops |= top_bit(top);
        let len = name.len().min(255) as u8;
        let (least, most) = self.lengths;
        self.lengths = if most == 0 {
            (len, len)
        } else {
            (least.min(len), most.max(len))
        };
    }

    /// Whether a name that resolves is one of those that did not until now.
    fn resembles(&self, text: &DomainText, house_is_known: bool) -> bool {
        let (name, top) = text.parts();
        let invented = self.invented.estimate();
        let look = if invented * 2 >= self.failed.estimate() {
            invented >= FOLLOW_MIN && looks_invented(name)
        } else {
            house_is_known && self.live.open
        };
        let (least, most) = self.lengths;
        look && self.tops & top_bit(top) != 0
            && (usize::from(least)..=usize::from(most)).contains(&name.len())
    }

    fn is_paced(&self, domains: u32) -> bool {
        self.asked.estimate() >= domains
            && self.failed.estimate() >= PACED_FAILED
            && self.even * 100 >= self.intervals * EVEN_PERCENT
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Dga {
    settings: DgaSettings,
    clients: Watch<IpAddr, Client>,
    /// Domains that resolved before.
    known: Bloom,
    began: Timestamp,
    /// The domain of the packet in hand.
    text: DomainText,
    text_of: u64,
    /// When a name was last followed: only then are connections looked at.
    following: Option<Timestamp>,
}

plain_detector!(
    Dga,
    |_, all| all.dga.clone(),
    DnsName | Domain | Resolved | Established
);

impl Dga {
    /// Takes its memory.
    pub fn new(settings: DgaSettings) -> Self {
        Self {
            clients: Watch::new(DGA, settings.clients),
            known: Bloom::new(KNOWN, KNOWN_SECS),
            began: Timestamp(0),
            text: DomainText::default(),
            text_of: 0,
            following: None,
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.clients.memory() + self.known.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        match record.kind {
            RecordKind::Domain => {
                self.text.put(record.value, record.detail);
                self.text_of = record.number;
            }
            RecordKind::DnsName => self.named(record, reports),
            RecordKind::Resolved => self.resolved(record, reports),
            RecordKind::Established => self.connected(record, reports),
            _ => {}
        }
    }

    /// A question, or the answer that a name does not exist.
    fn named(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let name = DnsName::unpack(record.value, record.detail);
        let Some(client) = self.clients.entry(record.key.src, Client::default) else {
            return;
        };
        if record
            .ts
            .is_outside(client.since, u64::from(self.settings.window_secs))
        {
            client.since = record.ts;
            client.failed = Bitmap256::default();
            client.invented = Bitmap256::default();
            client.asked = Bitmap256::default();
            (client.intervals, client.even) = (0, 0);
            if !client.live.open {
                client.samples = Samples::default();
                (client.tops, client.lengths, client.found) = (0, (0, 0), None);
            }
        }
        let domain = u64::from(name.domain).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        if !name.failed {
            if client.asked.insert(domain) {
                client.pace(record.ts);
            }
            return;
        }
        client.total = client.total.saturating_add(1);
        if client.failed.insert(domain) && self.text_of == record.number {
            client.missed(&self.text);
        }
        if name.invented {
            client.invented.insert(domain);
        }
        let invented = client.invented.estimate();
        if invented < self.settings.invented_min
            && client.failed.estimate() < self.settings.failed_min
            && !client.is_paced(self.settings.paced_min)
        {
            return;
        }
        self.tell(record, record.key.src, reports);
    }

    /// An address that a name resolved to.
    fn resolved(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = &record.key;
        if self.began == Timestamp(0) {
            self.began = record.ts;
        }
        if self.text_of != record.number || is_local(key.dst) || is_group(key.dst) {
            return;
        }
        let house_is_known = record.ts.secs_since(self.began) >= LEARN_SECS;
        let new = self.known.insert(hash(self.text.as_bytes()), record.ts);
        let Some(client) = self.clients.get(&key.src) else {
            return;
        };
        if let Some(found) = &mut client.found {
            // Further addresses of the same answer.
            if found.number == record.number
                && let Some(slot) = found.addresses.iter_mut().find(|slot| slot.is_none())
            {
                *slot = Some(key.dst);
            }
            return;
        }
        if !new || !client.resembles(&self.text, house_is_known) {
            return;
        }
        let mut addresses = [None; ADDRESSES];
        if let Some(first) = addresses.first_mut() {
            *first = Some(key.dst);
        }
        client.found = Some(Found {
            name: self.text,
            addresses,
            at: record.ts,
            number: record.number,
            connected: None,
        });
        self.following = Some(record.ts);
        if client.live.open {
            self.tell(record, key.src, reports);
        }
    }

    /// A connection: to what a followed name resolved to?
    fn connected(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let key = &record.key;
        let followed = self
            .following
            .is_some_and(|at| !record.ts.is_outside(at, FOLLOW_SECS));
        if !followed {
            return;
        }
        let Some(client) = self.clients.get(&key.src) else {
            return;
        };
        let Some(found) = &mut client.found else {
            return;
        };
        if found.connected.is_some()
            || !found.addresses.contains(&Some(key.dst))
            || record.ts.is_outside(found.at, FOLLOW_SECS)
        {
            return;
        }
        found.connected = Some(key.dst);
        if client.live.open {
            self.tell(record, key.src, reports);
        }
    }

    fn tell(&mut self, record: &HostRecord, host: IpAddr, reports: &mut Vec<Report>) {
        let Some(client) = self.clients.get(&host) else {
            return;
        };
        // What the storm has led to is told at once, each step once.
        let (step, confidence, efficacy, reason) = match &client.found {
            None => (0, 0.85, Efficacy::Unknown, ""),
            Some(Found {
                connected: None, ..
            }) => (1 << 40, 0.85, Efficacy::Likely, "one of the names resolved"),
            Some(_) => (
                1 << 50,
                0.9,
                Efficacy::Likely,
                "one of the names resolved, and the host connected there",
            ),
        };
        let size = step | client.total;
        // Towards the resolver, whatever record showed it.
        let key = if record.kind == RecordKind::DnsName {
            record.key
        } else {
            client.live.flow().unwrap_or(record.key)
        };
        self.clients.alarm(
            host,
            record,
            (key, size),
            reports,
            Client::default,
            |client| Says {
                confidence,
                efficacy,
                reason,
                source_verified: true,
                evidence: evidence(|json| {
                    let (failed, asked) = (client.failed.estimate(), client.asked.estimate());
                    json.num("failed_domains", failed)
                        .num("invented", client.invented.estimate())
                        .num("failed_answers", client.total)
                        .num("asked_domains", asked)
                        .num("failed_percent", failed * 100 / asked.max(failed).max(1))
                        .num("even_intervals", client.even);
                    json.array("samples");
                    for name in client.samples.iter() {
                        json.text(name);
                    }
                    json.end_array();
                    if let Some(found) = &client.found {
                        json.str("resolved", found.name.as_bytes());
                        json.array("addresses");
                        for address in found.addresses.iter().flatten() {
                            json.text(address.to_string());
                        }
                        json.end_array()
                            .bool("connected", found.connected.is_some());
                    }
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.clients
            .tick(now, self.settings.off_secs, reports, Client::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(names: impl Iterator<Item = (u32, bool)>) -> Vec<Report> {
        let mut dga = Dga::new(DgaSettings::default());
        let mut reports = Vec::new();
        for (i, (domain, invented)) in names.enumerate() {
            let name = DnsName {
                domain,
                below: 0,
                info: 0,
                len: 20,
                rare: false,
                unheard: false,
                invented,
                failed: true,
            };
            let (value, detail) = name.pack();
            let r = HostRecord {
                value,
                detail,
                ..record(RecordKind::DnsName, 17, 1, 1, 53, i as u64 * 100)
            };
            dga.record(&r, &mut reports);
        }
        reports
    }

    #[test]
    fn many_invented_domains_are_an_algorithm() {
        assert_eq!(run((0..30).map(|i| (i * 7_919, true))).len(), 1);
    }

    /// Lookups of new domains at times, every eighth of which does not exist.
    fn lookups(times: impl Iterator<Item = u64>) -> usize {
        let mut dga = Dga::new(DgaSettings::default());
        let mut reports = Vec::new();
        for (i, ms) in times.enumerate() {
            let mut name = DnsName {
                domain: i as u32 * 7_919,
                below: 0,
                info: 0,
                len: 14,
                rare: false,
                unheard: false,
                invented: false,
                failed: false,
            };
            for failed in [false, true] {
                name.failed = failed;
                let (value, detail) = name.pack();
                let r = HostRecord {
                    value,
                    detail,
                    ..record(RecordKind::DnsName, 17, 1, 1, 53, ms)
                };
                if !failed || i % 8 == 0 {
                    dga.record(&r, &mut reports);
                }
            }
        }
        reports.len()
    }

    #[test]
    fn words_at_an_even_pace_are_an_algorithm_and_pages_and_resolvers_are_not() {
        assert_eq!(lookups((0..80).map(|i| i * 1_200 + i % 7 * 60)), 1);
        // Pages: a burst of 20 names, then reading.
        assert_eq!(lookups((0..200).map(|i| i / 20 * 25_000 + i % 20 * 15)), 0);
        // A resolver: exponential intervals.
        let mut at = 0.0f64;
        let mut seed = 7u64;
        let random = (0..200).map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let share = ((seed >> 33) as f64 + 1.0) / (1u64 << 31) as f64;
            at -= 1_200.0 * share.ln();
            at as u64
        });
        assert_eq!(lookups(random.collect::<Vec<_>>().into_iter()), 0);
    }

    /// The records of an answer from the wire: that a name does not exist, or its address.
    fn answer(name: &str, address: Option<[u8; 4]>, ms: u64) -> Vec<HostRecord> {
        let message = super::super::dns_names::tests::query(name, 1);
        let of = |kind| record(kind, 17, 1, 1, 53, ms);
        let text = DomainText::of(&message).expect("domain");
        let pieces = text.pieces().map(|(value, detail)| HostRecord {
            value,
            detail,
            ..of(RecordKind::Domain)
        });
        let mut last = of(RecordKind::Resolved);
        if let Some(address) = address {
            last.key.dst = address.into();
        } else {
            let mut asked = super::super::dns_names::read(&message).expect("name");
            asked.failed = true;
            let (value, detail) = asked.pack();
            last = HostRecord {
                value,
                detail,
                ..of(RecordKind::DnsName)
            };
        }
        pieces.chain([last]).collect()
    }

    /// A storm of invented names, one in a tenth of a second.
    fn storm(count: u64) -> Vec<HostRecord> {
        let name = |i: u64| {
            let mut letters = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let text: String = (0..12)
                .map(|_| {
                    letters = letters.rotate_left(11).wrapping_mul(0xff51_afd7_ed55_8ccd);
                    char::from(b"bcdfghjklmnpqrstvwxz"[(letters >> 40) as usize % 20])
                })
                .collect();
            format!("{text}.net")
        };
        (0..count)
            .flat_map(|i| answer(&name(i), None, i * 100))
            .collect()
    }

    fn connected(dst: [u8; 4], ms: u64) -> HostRecord {
        let mut r = record(RecordKind::Established, 6, 1, 1, 443, ms);
        r.key.dst = dst.into();
        r
    }

    fn judge(records: impl IntoIterator<Item = HostRecord>) -> Vec<Report> {
        let mut dga = Dga::new(DgaSettings::default());
        let mut reports = Vec::new();
        for r in records {
            dga.record(&r, &mut reports);
        }
        reports
    }

    #[test]
    fn a_storm_is_told_with_its_names_and_the_one_that_resolves_is_followed() {
        const SERVER: [u8; 4] = [198, 51, 100, 7];
        let reports = judge(
            storm(30)
                .into_iter()
                .chain(answer("qxkcdvbnzwtr.net", Some(SERVER), 4_000))
                .chain(answer("qxkcdvbnzwtr.net", Some(SERVER), 4_100))
                .chain([connected(SERVER, 4_200), connected(SERVER, 5_000)]),
        );
        let told: Vec<_> = reports
            .iter()
            .map(|r| (r.state, r.efficacy, r.confidence >= 0.9, r.key.dport))
            .collect();
        assert_eq!(
            told,
            [
                ("open", Efficacy::Unknown, false, 53),
                ("update", Efficacy::Likely, false, 53),
                ("update", Efficacy::Likely, true, 53),
            ]
        );
        let evidence = |at: usize| String::from_utf8_lossy(&reports[at].evidence).into_owned();
        assert_eq!(evidence(0).matches(".net").count(), 10, "{}", evidence(0));
        assert!(evidence(1).contains(r#""resolved":"qxkcdvbnzwtr.net""#));
        assert!(evidence(2).contains(r#""addresses":["198.51.100.7"],"connected":true"#));
    }

    #[test]
    fn what_the_house_knows_or_looks_otherwise_is_not_the_controller() {
        const SERVER: [u8; 4] = [198, 51, 100, 7];
        let found = |before: Vec<HostRecord>, name: &str, address| {
            let after = answer(name, Some(address), 4_000);
            let reports = judge(before.into_iter().chain(storm(30)).chain(after));
            reports.iter().any(|r| r.efficacy == Efficacy::Likely)
        };
        let name = "qxkcdvbnzwtr.net";
        assert!(found(Vec::new(), name, SERVER));
        assert!(!found(answer(name, Some(SERVER), 0), name, SERVER), "known");
        assert!(!found(Vec::new(), name, [127, 0, 0, 1]), "a sinkhole");
        for other in ["wikipedia.net", "qxkcdvbnzwtr.com", "qxkcdvbnzwtrqxkcd.net"] {
            assert!(!found(Vec::new(), other, SERVER), "{other}");
        }
        // Without a storm nothing is said of it, and long after it a connection is a connection.
        assert!(judge(answer(name, Some(SERVER), 0)).is_empty());
        let late = storm(30)
            .into_iter()
            .chain(answer(name, Some(SERVER), 4_000))
            .chain([connected(SERVER, 700_000)]);
        assert!(judge(late).iter().all(|r| r.confidence < 0.9));
    }

    #[test]
    fn names_that_are_many_long_and_hostile_take_no_more_room() {
        let mut dga = Dga::new(DgaSettings {
            clients: 64,
            ..DgaSettings::default()
        });
        let bytes = dga.memory().bytes;
        let mut reports = Vec::new();
        for i in 0..20_000u32 {
            let name = format!("{:x}\"<{}.net", i.wrapping_mul(0x9e37_79b9), "q".repeat(40));
            let address = (i % 5 == 0).then_some([198, 51, 100, i as u8]);
            for mut r in answer(&name, address, u64::from(i) * 10) {
                let host = if i % 3 == 0 { 7 } else { i % 500 };
                r.key.src = IpAddr::from((10u32 << 24 | host).to_be_bytes());
                dga.record(&r, &mut reports);
            }
        }
        assert_eq!(dga.memory().bytes, bytes);
        assert!(!reports.is_empty());
        for r in &reports {
            assert!(r.evidence.len() < 1_024, "{}", r.evidence.len());
            let text = [b"{", r.evidence.as_slice(), b"}"].concat();
            assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok());
        }
    }

    #[test]
    fn one_dead_name_and_a_few_typing_errors_are_not() {
        assert!(run((0..500).map(|_| (1, true))).is_empty());
        assert!(run((0..20).map(|i| (i * 7_919, false))).is_empty());
    }
}
