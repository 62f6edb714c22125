//! The map itself: takes host records in packet order, answers grading.

use std::net::IpAddr;

use super::host::{BULK_BYTES, Host, Service, Status};
use super::meter::{Hurt, Meters};
use super::software::{Product, Version};
use crate::detect::anomaly::place::Places;
use crate::detect::anomaly::table::SetTable;
use crate::detect::anomaly::{FirstBytes, HostRecord, RecordKind};
use crate::packet::Timestamp;
use crate::stats::MemoryBound;

/// Settings (`assets.*`).
#[derive(Clone, Debug)]
pub struct AssetSettings {
    /// Whether the map is kept.
    pub enabled: bool,
    /// Hosts kept. Default 8,192.
    pub hosts: usize,
    /// Services whose health is metered. Default 4,096.
    pub services: usize,
    /// Seconds a host is watched before the roles it seems to have count. Default 86,400 (detectors.md §1.3).
    pub observe_secs: u64,
    /// Hosts of ours listed at the end (`--json`, `stats` record), those with services first. Default 64.
    pub listed: usize,
}

impl Default for AssetSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            hosts: 8_192,
            services: 4_096,
            observe_secs: 86_400,
            listed: 64,
        }
    }
}

/// See the folder.
#[derive(Debug)]
pub struct AssetMap {
    hosts: SetTable<IpAddr, Host>,
    meters: Meters,
}

impl AssetMap {
    /// Takes the memory it will ever use.
    pub fn new(settings: &AssetSettings) -> Self {
        Self {
            hosts: SetTable::new(settings.hosts),
            meters: Meters::new(settings.services),
        }
    }

    /// What it takes at most.
    pub fn bounds(&self) -> [MemoryBound; 2] {
        [self.hosts.memory().of("asset map"), self.meters.bound()]
    }

    /// Hosts that had to give way.
    pub fn evicted(&self) -> u64 {
        self.hosts.evicted
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, places: &dyn Places) {
        let key = &record.key;
        match record.kind {
            RecordKind::Opened
            | RecordKind::SynAck
            | RecordKind::Established
            | RecordKind::Answered => {
                self.meters.record(record, hash(key.src));
            }
            RecordKind::Refused
            | RecordKind::Unanswered
            | RecordKind::FirstBytes
            | RecordKind::Software
            | RecordKind::Closed => {}
            _ => return,
        }
        match record.kind {
            RecordKind::Opened if record.detail != 0 => {
                // Only of hosts that are known: a flood of invented sources makes none.
                if let Some(client) = self.hosts.get_mut(&key.src) {
                    let ttl = record.detail as u8;
                    let (low, high) = client.ttl;
                    client.ttl = (if low == 0 { ttl } else { low.min(ttl) }, high.max(ttl));
                    client.last = client.last.max(record.ts);
                }
            }
            RecordKind::SynAck => self.server(record, places, Status::Listening, 0),
            RecordKind::Established => {
                self.server(record, places, Status::Listening, 1);
                self.client(record, places);
            }
            // Answers with RST: the host is there. An ICMP error may come from a router on the way.
            RecordKind::Refused if key.proto == 6 => {
                if record.is_aborted() {
                    return;
                }
                self.server(record, places, Status::Refused, 0);
            }
            RecordKind::Refused | RecordKind::Unanswered => {
                let status = if record.kind == RecordKind::Refused {
                    Status::Refused
                } else {
                    Status::Silent
                };
                if let Some(host) = self.hosts.get_mut(&key.dst)
                    && let Some(service) = host.service_mut(key.proto, key.dport)
                    && (service.status != Status::Listening || status == Status::Refused)
                {
                    (service.status, service.seen) = (status, record.ts);
                }
            }
            RecordKind::FirstBytes | RecordKind::Software => {
                let Some(host) = self.hosts.get_mut(&key.dst) else {
                    return;
                };
                if !host.listens(key.proto, key.dport) {
                    return;
                }
                if let Some(service) = host.service_mut(key.proto, key.dport) {
                    if record.kind == RecordKind::FirstBytes {
                        service.looks = FirstBytes::from_number(record.detail);
                    } else {
                        service.product = Product::from_number(record.detail);
                        service.version = Version(record.value);
                    }
                }
            }
            RecordKind::Closed if record.value >= BULK_BYTES => {
                for (one, other) in [(key.src, key.dst), (key.dst, key.src)] {
                    if let Some(host) = self.hosts.get_mut(&one) {
                        host.bulk_bytes = host.bulk_bytes.saturating_add(record.value);
                        host.bulk_peers.insert(hash(other));
                    }
                }
            }
            _ => {}
        }
    }

    fn host(
        &mut self,
        address: IpAddr,
        at: Timestamp,
        ours: impl FnOnce() -> bool,
    ) -> Option<&mut Host> {
        if address.is_unspecified() || address.is_multicast() {
            return None;
        }
        let host = self.hosts.entry(address, || Host {
            ours: ours(),
            first: at,
            ..Host::default()
        })?;
        host.last = host.last.max(at);
        Some(host)
    }

    fn server(&mut self, record: &HostRecord, places: &dyn Places, status: Status, accepted: u32) {
        let key = &record.key;
        // The answer to a datagram from a well-known port to a high one (a flow picked up backwards) is no service.
        if key.proto != 6 && (key.proto != 17 || key.dport > key.sport && key.sport < 1_024) {
            return;
        }
        let ours = || places.place(key, record.interface).dst_ours;
        let Some(host) = self.host(key.dst, record.ts, ours) else {
            return;
        };
        if status == Status::Listening && record.kind == RecordKind::SynAck && record.detail != 0 {
            let ttl = record.detail as u8;
            let (low, high) = host.ttl;
            host.ttl = (if low == 0 { ttl } else { low.min(ttl) }, high.max(ttl));
        }
        if let Some(service) = host.service_mut(key.proto, key.dport) {
            (service.status, service.seen) = (status, record.ts);
            service.accepted = service.accepted.saturating_add(accepted);
            if accepted > 0 {
                service.clients.insert(hash(key.src));
            }
        }
    }

    fn client(&mut self, record: &HostRecord, places: &dyn Places) {
        let key = &record.key;
        if !matches!(key.proto, 1 | 6 | 17 | 58) {
            return;
        }
        let place = places.place(key, record.interface);
        let Some(host) = self.host(key.src, record.ts, || place.src_ours) else {
            return;
        };
        host.opened = host.opened.saturating_add(1);
        let peer = hash(key.dst);
        host.peers.insert(peer);
        if key.proto == 6 && key.dport == 25 {
            host.mail_peers.insert(peer);
        }
        if matches!(key.proto, 1 | 58) || key.proto == 17 && key.dport == 161 {
            host.watched.insert(peer);
        }
        if place.src_ours && !place.dst_ours && host.outside_since.is_none() {
            host.outside_since = Some(record.ts);
        }
    }

    /// A host was seen to scan.
    pub fn scanned(&mut self, address: IpAddr, at: Timestamp) {
        if let Some(host) = self.hosts.get_mut(&address) {
            if host.scans.0 == 0 {
                host.scans.1 = at;
            }
            host.scans.0 = host.scans.0.saturating_add(1);
        }
    }

    /// A host.
    pub fn get(&mut self, address: IpAddr) -> Option<&Host> {
        self.hosts.get_mut(&address).map(|h| &*h)
    }

    /// A service.
    pub fn service(&mut self, address: IpAddr, proto: u8, port: u16) -> Option<Service> {
        self.get(address)?.service(proto, port).copied()
    }

    /// Whether a service is hurt.
    pub fn hurt(&mut self, address: IpAddr, port: u16, now: Timestamp) -> Option<Hurt> {
        self.meters.hurt(address, port, now)
    }

    /// Hosts of ours, those with services first, at most `most`; and how many hosts there are.
    pub fn list(&self, most: usize) -> (Vec<(IpAddr, &Host)>, usize) {
        let mut ours: Vec<(IpAddr, &Host)> = Vec::new();
        let mut all = 0;
        for (address, host) in self.hosts.iter() {
            all += 1;
            if host.ours {
                ours.push((*address, host));
            }
        }
        let serves = |h: &Host| h.services().any(|s| s.status == Status::Listening);
        ours.sort_by_key(|(address, host)| (!serves(host), *address));
        ours.truncate(most);
        (ours, all)
    }
}

/// A hash of an address for bitmaps: not keyed, since a wrong count of distinct hosts proposes a role at most.
fn hash(address: IpAddr) -> u64 {
    let bits = match address {
        IpAddr::V4(a) => u64::from(u32::from(a)),
        IpAddr::V6(a) => {
            let bits = u128::from(a);
            (bits >> 64) as u64 ^ bits as u64
        }
    };
    // The finalizer of SplitMix64.
    let mut x = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::anomaly::place::Undeclared;
    use crate::packet::FlowKey;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 80));

    fn record(kind: RecordKind, src: u32, dport: u16, detail: u32, value: u64) -> HostRecord {
        HostRecord {
            number: 1,
            order: 0,
            ts: Timestamp::new(1_000, 0),
            key: FlowKey {
                src: IpAddr::from(src.to_be_bytes()),
                dst: SERVER,
                sport: 40_000,
                dport,
                proto: 6,
                ..FlowKey::default()
            },
            interface: 0,
            kind,
            detail,
            value,
            flow_id: 1,
        }
    }

    #[test]
    fn services_are_learned_with_their_software_and_what_refuses() {
        let mut map = AssetMap::new(&AssetSettings::default());
        let places = Undeclared::default();
        let client = 0x0a00_0001;
        for one in [
            record(RecordKind::SynAck, client, 80, 64, 1_000_000),
            record(RecordKind::Established, client, 80, 0, 0),
            record(
                RecordKind::Software,
                client,
                80,
                Product::Nginx as u32,
                1 << 32,
            ),
            record(RecordKind::Refused, client, 81, 0, 0),
            record(RecordKind::Unanswered, client, 82, 0, 0),
        ] {
            map.record(&one, &places);
        }
        let web = map.service(SERVER, 6, 80).expect("known");
        assert_eq!(
            (web.status, web.product, web.accepted),
            (Status::Listening, Product::Nginx, 1)
        );
        let status = |map: &mut AssetMap, port| map.service(SERVER, 6, port).map(|s| s.status);
        assert_eq!(status(&mut map, 81), Some(Status::Refused));
        assert_eq!(status(&mut map, 82), Some(Status::Silent));
        assert_eq!(status(&mut map, 83), None);
        let (ours, all) = map.list(10);
        assert_eq!((ours.len(), all, ours[0].0), (2, 2, SERVER));
        assert_eq!(ours[0].1.system(), "Unix-like");
    }

    #[test]
    fn invented_sources_make_no_hosts_and_no_memory() {
        let mut map = AssetMap::new(&AssetSettings {
            hosts: 64,
            ..AssetSettings::default()
        });
        let bytes = map.bounds()[0].bytes;
        for src in 0..100_000 {
            map.record(
                &record(RecordKind::Opened, src, 80, 64, 0),
                &Undeclared::default(),
            );
        }
        assert_eq!(map.list(10).1, 0);
        for src in 0..10_000 {
            map.record(
                &record(RecordKind::Established, src, 80, 0, 0),
                &Undeclared::default(),
            );
        }
        assert_eq!(map.bounds()[0].bytes, bytes);
        // Ours stay: the server is still there.
        assert!(map.service(SERVER, 6, 80).is_some());
    }
}
