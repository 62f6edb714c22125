//! Tunnels that look like nothing at all: shadowsocks, obfs4, VMess and their kin (detectors.md D16), told as `vpn_tor`.
//!
//! The first payload of such a connection is random from its first byte, which no protocol of the field is
//! ([`super::first_bytes::is_random`]). One flow says nothing: with a chance of half a percent a network of a thousand hosts
//! would have thousands an hour. Three evidences must meet: several connections of one client to one place that all begin at
//! random; nobody else of ours goes there; and it carries much, or lives long.
//! What is *not* one: peers of a swarm (one connection each), services that the whole house uses, encrypted files fetched once.
//! Memory: fixed, one record per client and place, one per place.

use std::net::IpAddr;

use super::VPN_TOR;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::first_bytes::FirstBytes;
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::{Bitmap256, SetTable, Worth};
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct ObfuscatedSettings {
    /// Connections of a client to one place that begin at random. Default 5 (detectors.md D16).
    pub random_min: u32,
    /// Clients of ours from which a place is no longer rare. Default 3.
    pub others_max: u32,
    /// MiB that are much. Default 1.
    pub much_mib: u32,
    /// Seconds that are long. Default 60.
    pub long_secs: u32,
    /// Clients with places watched. Default 4,096.
    pub places: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for ObfuscatedSettings {
    fn default() -> Self {
        Self {
            random_min: 5,
            others_max: 3,
            much_mib: 1,
            long_secs: 60,
            places: 4_096,
            off_secs: 3_600,
        }
    }
}

type Endpoint = (IpAddr, u16);

#[derive(Clone, Debug, Default)]
struct Tunnel {
    random: u32,
    bytes: u64,
    longest_ms: u64,
    last: Timestamp,
    live: Live,
}

impl Entry for Tunnel {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.random) << 40 | self.last.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Visited {
    clients: Bitmap256,
    last: Timestamp,
}

impl Worth for Visited {
    fn worth(&self) -> u64 {
        self.last.0
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct Obfuscated {
    settings: ObfuscatedSettings,
    tunnels: Watch<(IpAddr, Endpoint), Tunnel>,
    visited: SetTable<Endpoint, Visited>,
}

impl Obfuscated {
    /// Takes its memory.
    pub fn new(settings: ObfuscatedSettings) -> Self {
        Self {
            tunnels: Watch::new(VPN_TOR, settings.places),
            visited: SetTable::new(settings.places),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        let there = (key.dst, key.dport);
        let begins =
            record.kind == RecordKind::FirstBytes && record.detail == FirstBytes::Random as u32;
        if key.proto != 6 || (record.kind == RecordKind::FirstBytes && !begins) {
            return;
        }
        if begins {
            let place = seen.place();
            // Where nothing is declared, what is not private is not ours.
            if !place.src_ours || place.dst_ours {
                return;
            }
            if let Some(visited) = self.visited.entry(there, Visited::default) {
                visited.clients.insert(endpoint_hash(key.src, 0));
                visited.last = record.ts;
            }
            if let Some(tunnel) = self.tunnels.entry((key.src, there), Tunnel::default) {
                if !tunnel.live.open
                    && record.ts.secs_since(tunnel.last) > u64::from(self.settings.off_secs)
                {
                    *tunnel = Tunnel::default();
                }
                tunnel.random = tunnel.random.saturating_add(1);
                tunnel.last = record.ts;
            }
        }
        let Some(tunnel) = self.tunnels.get(&(key.src, there)) else {
            return;
        };
        match record.kind {
            RecordKind::Closed => tunnel.bytes = tunnel.bytes.max(record.value),
            RecordKind::Volume => {
                let both = (u64::from(record.detail) << 10).saturating_add(record.value);
                tunnel.bytes = tunnel.bytes.max(both);
            }
            RecordKind::Ended => tunnel.longest_ms = tunnel.longest_ms.max(record.value),
            _ => {}
        }
        let s = &self.settings;
        let others = self
            .visited
            .get_mut(&there)
            .map_or(0, |v| v.clients.estimate());
        let much = tunnel.bytes >> 20 >= u64::from(s.much_mib);
        let long = tunnel.longest_ms / 1_000 >= u64::from(s.long_secs);
        if tunnel.random < s.random_min || others >= s.others_max || !(much || long) {
            return;
        }
        let size = u64::from(tunnel.random);
        self.tunnels.alarm(
            (key.src, there),
            record,
            (key, size),
            reports,
            Tunnel::default,
            |tunnel| Says {
                confidence: 0.6,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: true,
                evidence: evidence(|json| {
                    json.str("protocol", "obfuscated")
                        .num("flows", tunnel.random)
                        .num("clients_of_it", others)
                        .num("largest_bytes", tunnel.bytes)
                        .num("longest_ms", tunnel.longest_ms)
                        .num("port", key.dport);
                }),
            },
        );
    }
}

impl Detector for Obfuscated {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[K::FirstBytes, K::Closed, K::Volume, K::Ended]
    }
    fn memory(&self) -> Memory {
        self.tunnels.memory() + self.visited.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.obfuscated.clone();
    }
    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.tunnels.tick(now, secs, reports, Tunnel::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    fn flows(count: u32, clients: u32, places: u32, bytes: u64) -> Vec<HostRecord> {
        let mut out = Vec::new();
        for i in 0..count {
            let mut begins = record(
                RecordKind::FirstBytes,
                6,
                i % clients,
                i % places,
                8_388,
                u64::from(i) * 1_000,
            );
            begins.detail = FirstBytes::Random as u32;
            out.push(begins);
            let mut ends = record(
                RecordKind::Closed,
                6,
                i % clients,
                i % places,
                8_388,
                u64::from(i) * 1_000 + 500,
            );
            ends.value = bytes;
            out.push(ends);
        }
        out
    }

    fn run(records: Vec<HostRecord>) -> usize {
        let mut watch = Obfuscated::new(ObfuscatedSettings::default());
        run_with(&mut watch, Role::Intranet, records).len()
    }

    #[test]
    fn one_client_with_many_random_beginnings_at_one_place_tunnels() {
        assert_eq!(run(flows(8, 1, 1, 4 << 20)), 1);
    }

    #[test]
    fn one_flow_a_swarm_a_service_of_many_and_small_ones_do_not() {
        assert_eq!(run(flows(1, 1, 1, 40 << 20)), 0);
        assert_eq!(run(flows(60, 1, 60, 4 << 20)), 0);
        assert_eq!(run(flows(8, 1, 1, 9_000)), 0);
        let mut house = flows(5, 5, 1, 9_000);
        house.extend(flows(80, 5, 1, 4 << 20));
        assert_eq!(run(house), 0);
    }

    #[test]
    fn random_clients_take_no_more_memory() {
        let mut watch = Obfuscated::new(ObfuscatedSettings::default());
        let before = watch.memory().bytes;
        run_with(
            &mut watch,
            Role::Intranet,
            flows(50_000, 40_000, 30_000, 10),
        );
        assert_eq!(watch.memory().bytes, before);
    }
}
