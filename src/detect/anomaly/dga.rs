//! Invented names (detectors.md D11): a host that asks for many domains that do not exist.
//!
//! Per client: distinct failed domains within a window, those that look invented apart.
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

/// Settings.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DgaSettings {
    /// Distinct failed domains that look invented. Default 10 (detectors.md D11).
    pub invented_min: u32,
    /// Distinct failed domains whatever they look like. Default 100 (detectors.md D11).
    pub failed_min: u32,
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
            window_secs: 300,
            clients: 8_192,
            off_secs: 3_600,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Client {
    since: Timestamp,
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

/// State of the detector.
#[derive(Debug)]
pub struct Dga {
    settings: DgaSettings,
    clients: Watch<IpAddr, Client>,
}

plain_detector!(Dga, DnsName);

impl Dga {
    /// Takes its memory.
    pub fn new(settings: DgaSettings) -> Self {
        Self {
            clients: Watch::new(DGA, settings.clients),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> u64 {
        self.clients.bytes()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::DnsName {
            return;
        }
        let name = DnsName::unpack(record.value, record.detail);
        if !name.failed {
            return;
        }
        let Some(client) = self.clients.entry(record.key.src, Client::default) else {
            return;
        };
        if record.ts.secs_since(client.since) >= u64::from(self.settings.window_secs) {
            client.since = record.ts;
            client.failed = Bitmap256::default();
            client.invented = Bitmap256::default();
        }
        let hash = u64::from(name.domain).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        client.total = client.total.saturating_add(1);
        client.failed.insert(hash);
        if name.invented {
            client.invented.insert(hash);
        }
        let invented = client.invented.estimate();
        if invented < self.settings.invented_min
            && client.failed.estimate() < self.settings.failed_min
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
                        .num("failed_answers", client.total);
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

    #[test]
    fn one_dead_name_and_a_few_typing_errors_are_not() {
        assert!(run((0..500).map(|_| (1, true))).is_empty());
        assert!(run((0..20).map(|i| (i * 7_919, false))).is_empty());
    }
}
