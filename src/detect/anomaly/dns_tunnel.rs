//! DNS tunnels (detectors.md D13): information-weighted heavy hitters.
//!
//! Per (client, domain), and per (client, no domain) for names without a plausible top-level domain: the information
//! bytes of every name not asked before, fading with a half-life. Alarm at a KiB when the names are long or of types
//! that browsing does not use.
//! Names asked with types that no program uses (NULL, KEY, private) are a tunnel from the eighth on.
//! What is *not* a tunnel: block lists and reputation services (short names, addresses), content networks (few names),
//! names asked again. Memory: fixed, one record per client and domain.

use std::net::IpAddr;

use super::DNS_TUNNEL;
use super::detector::plain_detector;
use super::dns_names::DnsName;
use super::engine::{Report, evidence};
use super::live::{Entry, Fading, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::Efficacy;
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
    /// Seconds in which the count halves. Default 120.
    pub half_life_secs: u32,
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
            half_life_secs: 120,
            domains: 16_384,
            off_secs: 3_600,
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Domain {
    info: Fading,
    seen: Bitmap256,
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

/// State of the detector.
#[derive(Debug)]
pub struct DnsTunnel {
    settings: DnsTunnelSettings,
    domains: Watch<(IpAddr, u32), Domain>,
}

plain_detector!(DnsTunnel, |_, all| all.dns_tunnel.clone(), DnsName);

impl DnsTunnel {
    /// Takes its memory.
    pub fn new(settings: DnsTunnelSettings) -> Self {
        Self {
            domains: Watch::new(DNS_TUNNEL, settings.domains),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.domains.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::DnsName {
            return;
        }
        let name = DnsName::unpack(record.value, record.detail);
        if name.failed || name.info == 0 {
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
        // A full bitmap knows every name: it starts again, and the count has faded by then.
        if domain.seen.estimate() > 400 {
            domain.seen = Bitmap256::default();
        }
        if !domain
            .seen
            .insert(u64::from(name.below).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)
        {
            return;
        }
        let info = domain
            .info
            .add(f64::from(name.info), record.ts, settings.half_life_secs);
        domain.leaked = domain.leaked.saturating_add(u64::from(name.info));
        domain.unheard = domain.unheard.saturating_add(u32::from(name.unheard));
        let mean = domain.length / u64::from(domain.queries.max(1));
        let odd = mean >= u64::from(settings.name_len_min)
            || (domain.rare * 10 >= domain.queries * 3 && mean >= 20);
        let heavy = info >= f64::from(settings.info_bytes_min) && odd;
        let unheard = domain.unheard >= settings.unheard_min && mean >= 20;
        if !heavy && !unheard {
            return;
        }
        let size = domain.leaked;
        self.domains.alarm(
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
                        .num("mean_name_length", mean);
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
