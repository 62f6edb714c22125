//! DNS tunnels (detectors.md D13): information-weighted heavy hitters.
//!
//! Per (client, domain), and per (client, no domain) for names without a plausible top-level domain: the information
//! bytes of every name not asked before, fading with a half-life. Alarm at a KiB when the names are long or of types
//! that browsing does not use.
//! Names asked with types that no program uses (NULL, KEY, private) are a tunnel from the eighth on.
//! A slow tunnel shows by its patience: a second count with a half-life of an hour, for a domain that is asked for new long
//! names in most minutes of that hour. Whoever reads pages asks in bursts.
//! What is *not* a tunnel: block lists (short names), reputation services of virus scanners (long names below domains that
//! are known: [`REPUTATION`]), content networks (few names), names asked again.
//! Memory: fixed, one record per client and domain, and one filter of names asked before.

use std::net::IpAddr;

use super::DNS_TUNNEL;
use super::bloom::Bloom;
use super::detector::plain_detector;
use super::dns_names::{DnsName, domain_hash};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Fading, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DnsTunnelSettings {
    /// Information bytes below one domain. Default 1,024 (detectors.md D13).
    pub info_bytes_min: u32,
    /// New names of types that nobody asks for (NULL, KEY, private). Default 8: a person who tries one out asks fewer.
    pub unheard_min: u32,
    /// Mean length of names from which they are long. Default 40 (detectors.md D13 has 28, which content networks reach).
    pub name_len_min: u32,
    /// Seconds in which the count halves. Default 300: 2 KiB in 5 min are serious (detectors.md
    /// D13).
    pub half_life_secs: u32,
    /// Information bytes below one domain, with a half-life of an hour, of a tunnel that is slow. Default 1,800: what
    /// 0.7 bytes a second leave after an hour (detectors.md D13).
    pub slow_bytes_min: u32,
    /// Minutes of the last 64 in which a slow tunnel asked for a new name, at least. Default 40.
    pub slow_minutes_min: u32,
    /// Clients and domains watched. Default 16,384.
    pub domains: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for DnsTunnelSettings {
    fn default() -> Self {
        Self {
            info_bytes_min: 1_024,
            unheard_min: 8,
            name_len_min: 40,
            half_life_secs: 300,
            slow_bytes_min: 1_800,
            slow_minutes_min: 40,
            domains: 16_384,
            off_secs: 3_600,
        }
    }
}

/// Seconds in which the slow count halves.
const SLOW_HALF_LIFE_SECS: u32 = 3_600;
/// Seconds after which a slow tunnel is serious: a day (detectors.md D13).
const SERIOUS_SECS: u64 = 86_400;
/// Bytes of each generation of the filter of names asked before, and how long one lasts.
const ASKED: usize = 1 << 19;
const ASKED_SECS: u64 = 6 * 3_600;

/// Domains below which virus scanners and mail filters ask for digests of files, addresses and links. They are run by
/// those who sell the scanner, so that nobody else gets what is asked there.
const REPUTATION: &[&str] = &[
    "mcafee.com",
    "trellix.com",
    "sophosxl.net",
    "sophosxl.com",
    "e5.sk",
    "eset.com",
    "trendmicro.com",
    "kaspersky-labs.com",
    "bitdefender.net",
    "avast.com",
    "avcdn.net",
    "f-secure.com",
    "fsapi.com",
    "webrootcloudav.com",
    "symantec.com",
    "cymru.com",
    "spamhaus.org",
    "spamhaus.net",
    "surbl.org",
    "uribl.com",
    "barracudacentral.org",
    "senderbase.org",
    "dnswl.org",
    "mailspike.net",
];

#[derive(Clone, Debug, Default)]
struct Domain {
    info: Fading,
    slow: Fading,
    /// Minutes with a new name: bit 0 is minute `minute` since the epoch, bit 1 the one before.
    minutes: u64,
    minute: u64,
    /// Since when it has been slow and steady without a pause.
    steady: Option<Timestamp>,
    queries: u32,
    rare: u32,
    /// New names of types that nobody asks for.
    unheard: u32,
    length: u64,
    leaked: u64,
    live: Live,
}

impl Entry for Domain {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.leaked
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Domain {
    /// A new name in this minute.
    fn minute(&mut self, now: Timestamp) {
        let minute = now.secs() / 60;
        let passed = minute.saturating_sub(self.minute);
        self.minutes = match u32::try_from(passed) {
            Ok(passed @ 0..64) => self.minutes << passed | 1,
            _ => 1,
        };
        self.minute = self.minute.max(minute);
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct DnsTunnel {
    settings: DnsTunnelSettings,
    domains: Watch<(IpAddr, u32), Domain>,
    /// Names asked before.
    asked: Bloom,
    /// Hashes of [`REPUTATION`], in order.
    known: Vec<u32>,
}

plain_detector!(DnsTunnel, |_, all| all.dns_tunnel.clone(), DnsName);

impl DnsTunnel {
    /// Takes its memory.
    pub fn new(settings: DnsTunnelSettings) -> Self {
        let mut known: Vec<u32> = REPUTATION
            .iter()
            .map(|domain| domain_hash(domain.split('.').map(str::as_bytes)))
            .collect();
        known.sort_unstable();
        Self {
            domains: Watch::new(DNS_TUNNEL, settings.domains),
            asked: Bloom::new(ASKED, ASKED_SECS),
            known,
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.domains.memory() + self.asked.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::DnsName {
            return;
        }
        let name = DnsName::unpack(record.value, record.detail);
        if name.failed || name.info == 0 || self.known.binary_search(&name.domain).is_ok() {
            return;
        }
        let key = (record.key.src, name.domain);
        let settings = &self.settings;
        let Some(domain) = self.domains.entry(key, Domain::default) else {
            return;
        };
        domain.queries = domain.queries.saturating_add(1);
        domain.rare = domain.rare.saturating_add(u32::from(name.rare));
        domain.length = domain.length.saturating_add(u64::from(name.len));
        let name_hash = endpoint_hash(record.key.src, 0)
            ^ (u64::from(name.domain) << 32 | u64::from(name.below));
        if !self.asked.insert(name_hash, record.ts) {
            return;
        }
        let (info, ts) = (f64::from(name.info), record.ts);
        let fast = domain.info.add(info, ts, settings.half_life_secs);
        let slow = domain.slow.add(info, ts, SLOW_HALF_LIFE_SECS);
        domain.minute(ts);
        domain.leaked = domain.leaked.saturating_add(u64::from(name.info));
        domain.unheard = domain.unheard.saturating_add(u32::from(name.unheard));
        let mean = domain.length / u64::from(domain.queries.max(1));
        let odd = mean >= u64::from(settings.name_len_min)
            || (domain.rare * 10 >= domain.queries * 3 && mean >= 20);
        let heavy = fast >= f64::from(settings.info_bytes_min) && odd;
        let unheard = domain.unheard >= settings.unheard_min && mean >= 20;
        let steady = domain.minutes.count_ones() >= settings.slow_minutes_min;
        let patient = steady && odd && slow >= f64::from(settings.slow_bytes_min);
        let since = *domain.steady.get_or_insert(ts);
        if !steady {
            domain.steady = None;
        }
        if !heavy && !unheard && !patient {
            return;
        }
        let severity = if heavy || unheard || ts.secs_since(since) >= SERIOUS_SECS {
            Severity::Major
        } else {
            Severity::Minor
        };
        let minutes = domain.minutes.count_ones();
        let size = domain.leaked;
        self.domains.alarm_as(
            severity,
            key,
            record,
            (record.key, size),
            reports,
            Domain::default,
            |domain| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("info_bytes", domain.leaked)
                        .num("queries", domain.queries)
                        .num("rare_types", domain.rare)
                        .num("mean_name_length", mean)
                        .num("minutes_of_the_last_64", minutes);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.domains
            .tick(now, self.settings.off_secs, reports, Domain::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::dns_names::{read, tests::query};
    use super::super::live::tests::record;
    use super::*;

    fn run(names: impl Iterator<Item = (String, u16)>) -> Vec<Report> {
        let mut tunnel = DnsTunnel::new(DnsTunnelSettings::default());
        let mut reports = Vec::new();
        for (i, (name, kind)) in names.enumerate() {
            let (value, detail) = read(&query(&name, kind)).expect("name").pack();
            let r = HostRecord {
                value,
                detail,
                ..record(RecordKind::DnsName, 17, 1, 1, 53, i as u64 * 100)
            };
            tunnel.record(&r, &mut reports);
        }
        reports
    }

    /// A query every so many ms.
    fn paced(names: impl Iterator<Item = String>, kind: u16, ms: u64) -> Vec<Report> {
        paced_at(
            names.enumerate().map(|(i, name)| (name, i as u64 * ms)),
            kind,
        )
    }

    fn paced_at(names: impl Iterator<Item = (String, u64)>, kind: u16) -> Vec<Report> {
        let mut tunnel = DnsTunnel::new(DnsTunnelSettings::default());
        let mut reports = Vec::new();
        for (name, ms) in names {
            let (value, detail) = read(&query(&name, kind)).expect("name").pack();
            let r = HostRecord {
                value,
                detail,
                ..record(RecordKind::DnsName, 17, 1, 1, 53, ms)
            };
            tunnel.record(&r, &mut reports);
        }
        reports
    }

    #[test]
    fn a_patient_tunnel_of_less_than_a_byte_a_second_is_found() {
        // 48 letters are 24 bytes of information; one name in 30 s is 0.8 bytes a second.
        let names = |n: u64| (0..n).map(|i| format!("{}.t.example.com", coded(i)));
        let reports = paced(names(240), 1, 30_000);
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].severity, Severity::Minor);
        println!(
            "dns_tunnel, one name in 30 s: alert after {} s",
            reports[0]
                .ts
                .secs_since(record(RecordKind::DnsName, 17, 1, 1, 53, 0).ts)
        );
        // For a day it is serious.
        let day = paced(names(2 * 60 * 26), 1, 30_000);
        assert!(
            day.iter().any(|r| r.severity == Severity::Major),
            "{}",
            day.len()
        );
    }

    #[test]
    fn pages_with_long_names_all_day_are_no_patient_tunnel() {
        // Every ten minutes a page with twelve new names of a content network.
        let pages = (0..600u64).map(|i| {
            let at = i / 12 * 600_000 + i % 12 * 40;
            (format!("{}.cdn.example.com", coded(i)), at)
        });
        assert!(paced_at(pages, 1).is_empty());
        // The same names over and over, all day.
        let same = (0..3_000u64).map(|i| format!("{}.cdn.example.com", coded(i % 40)));
        assert!(paced(same, 1, 30_000).is_empty());
    }

    #[test]
    fn virus_scanners_that_ask_for_digests_are_none() {
        let ask = |domain: &'static str| (0..400u64).map(move |i| format!("{}.{domain}", coded(i)));
        assert!(paced(ask("avqs.mcafee.com"), 1, 500).is_empty());
        assert!(paced(ask("p.00.s.SophosXL.net"), 16, 500).is_empty());
        assert!(!paced(ask("mcafee.com.example.org"), 1, 500).is_empty());
    }

    fn coded(i: u64) -> String {
        let mix = |n: u64| i.wrapping_add(n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{:016x}{:016x}{:016x}", mix(1), mix(2), mix(3))
    }

    #[test]
    fn data_in_names_is_a_tunnel_also_without_a_domain() {
        assert_eq!(
            run((0..80).map(|i| (format!("{}.t.example.com", coded(i)), 16))).len(),
            1
        );
        assert_eq!(
            run((0..80).map(|i| (format!("{}.{}", coded(i), coded(i + 9)), 1))).len(),
            1
        );
    }

    #[test]
    fn types_that_nobody_asks_for_are_a_tunnel_sooner() {
        let names = |kind: u16| (0..12u64).map(move |i| (format!("y{i}b0p.t1.example.com"), kind));
        assert_eq!(run(names(10)).len(), 1);
        assert!(run(names(1)).is_empty());
    }

    #[test]
    fn a_block_list_and_one_long_name_are_none() {
        let list = (0..300).map(|i| (format!("{}.2.0.192.zen.example.org", i % 256), 1));
        assert!(run(list).is_empty());
        assert!(run((0..300).map(|_| (format!("{}.example.com", coded(1)), 1))).is_empty());
    }
}
