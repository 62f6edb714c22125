//! Load on web servers by requests: `request_flood` (many in a short time from one client, D6) and `slow_http` (many that
//! are begun and never answered, D5).
//!
//! Per (client, server): requests of the last ten seconds, and those that begin alike; and the begun requests that the
//! server has not begun to answer, by flow. A request held open for longer than the header limit counts as stalled.
//! What is *not* an attack: a page with its many parts (differing paths); a few long polls; answers under way.
//! Memory: fixed, one record per client and server.

use std::net::IpAddr;

use super::detector::plain_detector;
use super::engine::{Report, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::{REQUEST_FLOOD, SLOW_HTTP};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings of `request_flood`.
#[derive(Clone, Debug, serde::Deserialize)]
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

/// Settings of `slow_http`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SlowHttpSettings {
    /// Requests of one client held open at a time. Default 10 (detectors.md D5).
    pub stalled_min: u32,
    /// Seconds without an answer after which a request is stalled. Default 10 (detectors.md D5).
    pub stalled_secs: u32,
    /// Clients watched. Default 2,048.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 120.
    pub off_secs: u32,
}

impl Default for SlowHttpSettings {
    fn default() -> Self {
        Self {
            stalled_min: 10,
            stalled_secs: 10,
            clients: 2_048,
            off_secs: 120,
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

/// Requests of a client that are remembered at a time.
const HELD: usize = 64;

#[derive(Clone, Debug)]
struct Holder {
    held: [(u64, Timestamp); HELD],
    total: u64,
    last: Timestamp,
    live: Live,
}

impl Default for Holder {
    fn default() -> Self {
        Self {
            held: [(0, Timestamp(0)); HELD],
            total: 0,
            last: Timestamp(0),
            live: Live::default(),
        }
    }
}

impl Entry for Holder {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        let held = self.held.iter().filter(|(flow, _)| *flow != 0).count() as u64;
        held << 44 | self.last.secs() & 0xfff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// State of `slow_http`.
#[derive(Debug)]
pub struct SlowHttp {
    settings: SlowHttpSettings,
    holders: Watch<(IpAddr, IpAddr), Holder>,
}

plain_detector!(
    SlowHttp,
    |_, all| all.slow_http.clone(),
    Request | Packets | Answered | Closed | Reset
);

impl SlowHttp {
    /// Takes its memory.
    pub fn new(settings: SlowHttpSettings) -> Self {
        Self {
            holders: Watch::new(SLOW_HTTP, settings.clients),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.holders.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        let begins = match record.kind {
            RecordKind::Request => true,
            // Packets of the client without an answer keep the clock going.
            RecordKind::Packets if record.detail == 2 => true,
            RecordKind::Answered | RecordKind::Closed | RecordKind::Reset
                if record.key.proto == 6 =>
            {
                false
            }
            _ => return,
        };
        let key = (record.key.src, record.key.dst);
        let Some(holder) = self.holders.entry(key, Holder::default) else {
            return;
        };
        holder.last = holder.last.max(record.ts);
        let at = holder
            .held
            .iter()
            .position(|(flow, _)| *flow == record.flow_id);
        if !begins {
            // What the end of the capture closes was still open when it ended.
            if let Some(slot) = at.and_then(|at| holder.held.get_mut(at)) {
                *slot = (0, Timestamp(0));
            }
        } else if at.is_none()
            && record.kind == RecordKind::Request
            && let Some(slot) = holder.held.iter_mut().find(|(flow, _)| *flow == 0)
        {
            *slot = (record.flow_id, record.ts);
            holder.total = holder.total.saturating_add(1);
        }
        let limit = u64::from(self.settings.stalled_secs);
        let stalled = holder
            .held
            .iter()
            .filter(|(flow, since)| *flow != 0 && record.ts.secs_since(*since) >= limit)
            .count() as u64;
        if !begins || stalled < u64::from(self.settings.stalled_min) {
            return;
        }
        let size = holder.total;
        self.holders.alarm(
            key,
            record,
            (record.key, size),
            reports,
            Holder::default,
            |holder| Says {
                confidence: 0.9,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.num("stalled", stalled).num("requests", holder.total);
                }),
            },
        );
    }

    /// Closes incidents that went quiet.
    pub fn tick(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        self.holders
            .tick(now, self.settings.off_secs, reports, Holder::default);
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

    #[test]
    fn requests_that_are_never_answered_hold_the_server() {
        let run = |answered: bool| {
            let mut slow = SlowHttp::new(SlowHttpSettings::default());
            let mut reports = Vec::new();
            for i in 1..=40u64 {
                slow.record(&request(i, 1, i * 500), &mut reports);
                if answered {
                    let mut answer = request(i, 1, i * 500 + 50);
                    answer.kind = RecordKind::Answered;
                    slow.record(&answer, &mut reports);
                }
            }
            reports
        };
        assert_eq!(run(false).len(), 1);
        assert!(run(true).is_empty());
    }
}
