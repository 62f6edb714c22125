//! Invented names (detectors.md D11): a host that asks for many domains that do not exist.
//!
//! Per client: distinct failed domains within a window, those that look invented apart. Algorithms that join words look
//! like nothing in particular; they show by their pace: a program asks for one new domain after the other at even
//! intervals, while the lookups of a page come in bursts and those of a resolver at random.
//! What is *not* a DGA: search suffixes and block lists (one domain, many names below it), a dead application (one name).
//! Memory: fixed, one record per client.

use std::net::IpAddr;

use super::DGA;
use super::detector::plain_detector;
use super::dns_names::DnsName;
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
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
    live: Live,
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
}

plain_detector!(Dga, |_, all| all.dga.clone(), DnsName);

impl Dga {
    /// Takes its memory.
    pub fn new(settings: DgaSettings) -> Self {
        Self {
            clients: Watch::new(DGA, settings.clients),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.clients.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::DnsName {
            return;
        }
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
        }
        let hash = u64::from(name.domain).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        if !name.failed {
            if client.asked.insert(hash) {
                client.pace(record.ts);
            }
            return;
        }
        client.total = client.total.saturating_add(1);
        client.failed.insert(hash);
        if name.invented {
            client.invented.insert(hash);
        }
        let invented = client.invented.estimate();
        if invented < self.settings.invented_min
            && client.failed.estimate() < self.settings.failed_min
            && !client.is_paced(self.settings.paced_min)
        {
            return;
        }
        let size = client.total;
        self.clients.alarm(
            record.key.src,
            record,
            (record.key, size),
            reports,
            Client::default,
            |client| Says {
                confidence: 0.85,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("failed_domains", client.failed.estimate())
                        .num("invented", client.invented.estimate())
                        .num("failed_answers", client.total)
                        .num("asked_domains", client.asked.estimate())
                        .num("even_intervals", client.even);
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

    #[test]
    fn one_dead_name_and_a_few_typing_errors_are_not() {
        assert!(run((0..500).map(|_| (1, true))).is_empty());
        assert!(run((0..20).map(|i| (i * 7_919, false))).is_empty());
    }
}
