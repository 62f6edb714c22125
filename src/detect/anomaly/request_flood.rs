//! Load on web servers by requests: many in a short time from one client (detectors.md D6).
//!
//! Per (client, server): requests of the last ten seconds, and those that begin alike.
//! What is *not* an attack: a page with its many parts (differing paths).
//! Memory: fixed, one record per client and server.

use std::net::IpAddr;

use super::REQUEST_FLOOD;
use super::detector::plain_detector;
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings of `request_flood`.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RequestFloodSettings {
    /// Requests of one client in ten seconds. Default 300 (detectors.md D6: 30 a second).
    pub requests_min: u32,
    /// Requests for one path in ten seconds. Default 100 (detectors.md D6: ten a second).
    pub same_min: u32,
    /// Clients watched. Default 8,192.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 60.
    pub off_secs: u32,
}

impl Default for RequestFloodSettings {
    fn default() -> Self {
        Self {
            requests_min: 300,
            same_min: 100,
            clients: 8_192,
            off_secs: 60,
        }
    }
}

/// Paths counted per client.
const PATHS: usize = 4;

#[derive(Clone, Debug, Default)]
struct Client {
    since: Timestamp,
    requests: u32,
    paths: [(u64, u32); PATHS],
    total: u64,
    live: Live,
}

impl Entry for Client {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.requests) << 44 | self.since.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of `request_flood`.
#[derive(Debug)]
pub struct RequestFlood {
    settings: RequestFloodSettings,
    clients: Watch<(IpAddr, IpAddr), Client>,
}

plain_detector!(RequestFlood, |_, all| all.request_flood.clone(), Request);

impl RequestFlood {
    /// Takes its memory.
    pub fn new(settings: RequestFloodSettings) -> Self {
        Self {
            clients: Watch::new(REQUEST_FLOOD, settings.clients),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.clients.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::Request {
            return;
        }
        let key = (record.key.src, record.key.dst);
        let Some(client) = self.clients.entry(key, Client::default) else {
            return;
        };
        if record.ts.is_outside(client.since, 10) {
            client.since = record.ts;
            client.requests = 0;
            client.paths = Default::default();
        }
        client.requests += 1;
        client.total = client.total.saturating_add(1);
        let known = client
            .paths
            .iter()
            .position(|(hash, _)| *hash == record.value);
        // The least asked for path gives way.
        let at =
            known.or_else(|| (0..PATHS).min_by_key(|at| client.paths.get(*at).map_or(0, |p| p.1)));
        let mut same = 0;
        if let Some(slot) = at.and_then(|at| client.paths.get_mut(at)) {
            *slot = (record.value, if known.is_some() { slot.1 + 1 } else { 1 });
            same = slot.1;
        }
        if client.requests < self.settings.requests_min && same < self.settings.same_min {
            return;
        }
        let size = client.total;
        self.clients.alarm(
            key,
            record,
            (record.key, size),
            reports,
            Client::default,
            |client| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("requests_in_10s", client.requests)
                        .num("same_path", same)
                        .num("requests", client.total);
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

    fn request(flow: u64, path: u64, ms: u64) -> HostRecord {
        HostRecord {
            value: path,
            flow_id: flow,
            ..record(RecordKind::Request, 6, 1, 1, 80, ms)
        }
    }

    #[test]
    fn a_hammered_page_is_a_flood_and_a_page_with_its_parts_is_not() {
        let run = |requests: &mut dyn Iterator<Item = HostRecord>| {
            let mut flood = RequestFlood::new(RequestFloodSettings::default());
            let mut reports = Vec::new();
            requests.for_each(|r| flood.record(&r, &mut reports));
            reports
        };
        assert_eq!(run(&mut (0..400).map(|i| request(i, 1, i * 13))).len(), 1);
        assert!(run(&mut (0..120).map(|i| request(i, i, i * 13))).is_empty());
        assert!(run(&mut (0..400).map(|i| request(i, 1, i * 1_000))).is_empty());
    }

    #[test]
    fn five_requests_a_second_are_no_flood_even_when_the_clock_is_set_back() {
        let mut flood = RequestFlood::new(RequestFloodSettings::default());
        let mut reports = Vec::new();
        // Half an hour after noon, then the same from noon on, as when a folder is replayed out of order.
        for start in [43_200_000, 0] {
            for i in 0..9_000 {
                flood.record(&request(i % 6, 1, start + i * 200), &mut reports);
            }
        }
        assert!(reports.is_empty());
    }
}
