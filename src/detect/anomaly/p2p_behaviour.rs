//! Peer-to-peer networks by what their members do, whatever their bytes look like (detectors.md D12, "by behaviour").
//!
//! A member calls many hosts of many networks on many high ports, of which a good part is gone, and exchanges data both ways
//! with several of those that are not. All four within five minutes; told as `p2p`.
//! What is *not* one: scanners (they exchange nothing), servers' clients (they call one port), voice and games (few peers),
//! browsers (their ports are two), resolvers.
//! Memory: fixed, one record per host of ours.

use std::net::IpAddr;

use super::P2P;
use super::detector::{Detector, Seen};
use super::engine::{Report, endpoint_hash, evidence};
use super::live::{Entry, Live, Says, Watch};
use super::place::is_group;
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use crate::alert::Efficacy;
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings.
#[derive(Clone, Debug, PartialEq)]
pub struct P2pBehaviourSettings {
    /// Networks (/16, /32) called within five minutes. Default 40 (detectors.md D12).
    pub networks_min: u32,
    /// High ports among them. Default 30 (D12).
    pub ports_min: u32,
    /// Percent of the calls that fail. Default 30 (D12).
    pub failed_percent: u32,
    /// Peers with which 100 kB went each way. Default 10 (D12).
    pub exchange_min: u32,
    /// Hosts watched. Default 4,096.
    pub members: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for P2pBehaviourSettings {
    fn default() -> Self {
        Self {
            networks_min: 40,
            ports_min: 30,
            failed_percent: 30,
            exchange_min: 10,
            members: 4_096,
            off_secs: 3_600,
        }
    }
}

/// The window.
const WINDOW_SECS: u64 = 300;
/// Each way with one peer.
const EXCHANGED: u64 = 100_000;

#[derive(Clone, Debug, Default)]
struct Member {
    since: Timestamp,
    networks: Bitmap256,
    ports: Bitmap256,
    called: u32,
    answered: u32,
    exchanged: Bitmap256,
    /// Those of the window before: transfers take longer than a window.
    exchanged_before: u32,
    live: Live,
}

impl Entry for Member {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        u64::from(self.networks.estimate()) << 40 | self.since.secs() & 0xff_ffff_ffff
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

impl Member {
    fn roll(&mut self, now: Timestamp) {
        if now.is_outside(self.since, WINDOW_SECS) {
            *self = Self {
                since: now,
                exchanged_before: self.exchanged.estimate(),
                live: self.live,
                ..Self::default()
            };
        }
    }

    fn failed_percent(&self) -> u32 {
        let failed = self.called.saturating_sub(self.answered);
        failed.saturating_mul(100) / self.called.max(1)
    }
}

/// State of the detector.
#[derive(Debug)]
pub struct P2pBehaviour {
    settings: P2pBehaviourSettings,
    members: Watch<IpAddr, Member>,
}

impl P2pBehaviour {
    /// Takes its memory.
    pub fn new(settings: P2pBehaviourSettings) -> Self {
        Self {
            members: Watch::new(P2P, settings.members),
            settings,
        }
    }

    fn record(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        let key = record.key;
        if key.dport < 1_024 || !matches!(key.proto, 6 | 17) || is_group(key.dst) {
            return;
        }
        let known = self.members.get(&key.src).is_some();
        // Only calls make a member, and only those that leave.
        if !known && record.kind != RecordKind::Opened {
            return;
        }
        let place = seen.place();
        if !place.src_ours || place.dst_ours {
            return;
        }
        let Some(member) = self.members.entry(key.src, Member::default) else {
            return;
        };
        member.roll(record.ts);
        match record.kind {
            RecordKind::Opened => {
                member.called = member.called.saturating_add(1);
                member.networks.insert(endpoint_hash(network(key.dst), 0));
                member
                    .ports
                    .insert(endpoint_hash(IpAddr::from([0; 4]), key.dport));
                return;
            }
            RecordKind::Established => {
                member.answered = member.answered.saturating_add(1);
                return;
            }
            RecordKind::Volume
                if u64::from(record.detail) << 10 >= EXCHANGED && record.value >= EXCHANGED => {}
            RecordKind::Closed
                if u64::from(record.detail) >= EXCHANGED
                    && record.value.saturating_sub(u64::from(record.detail)) >= EXCHANGED => {}
            _ => return,
        }
        member.exchanged.insert(endpoint_hash(key.dst, 0));
        let s = &self.settings;
        let exchanged = member.exchanged.estimate() + member.exchanged_before;
        let shows = exchanged >= s.exchange_min
            && member.networks.estimate() >= s.networks_min
            && member.ports.estimate() >= s.ports_min
            && member.failed_percent() >= s.failed_percent;
        if !shows {
            return;
        }
        let size = u64::from(member.called);
        self.members.alarm(
            key.src,
            record,
            (key, size),
            reports,
            Member::default,
            |member| Says {
                confidence: 0.8,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: key.proto == 6,
                evidence: evidence(|json| {
                    json.str("protocol", "by behaviour")
                        .num("networks", member.networks.estimate())
                        .num("ports", member.ports.estimate())
                        .num("calls", member.called)
                        .num("failed_percent", member.failed_percent())
                        .num("peers", exchanged)
                        .num("port", key.dport);
                }),
            },
        );
    }
}

/// Its /16, its /32.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let [a, b, ..] = a.octets();
            IpAddr::from([a, b, 0, 0])
        }
        IpAddr::V6(a) => {
            let [a, b, ..] = a.segments();
            IpAddr::from([a, b, 0, 0, 0, 0, 0, 0])
        }
    }
}

impl Detector for P2pBehaviour {
    fn kinds(&self) -> &'static [RecordKind] {
        use RecordKind as K;
        &[K::Opened, K::Established, K::Volume, K::Closed]
    }
    fn memory(&self) -> Memory {
        self.members.memory()
    }
    fn tune(&mut self, settings: &super::AnomalySettings) {
        self.settings = settings.p2p_behaviour.clone();
    }
    fn take(&mut self, record: &HostRecord, seen: &Seen<'_>, reports: &mut Vec<Report>) {
        self.record(record, seen, reports);
    }
    fn pass(&mut self, now: Timestamp, reports: &mut Vec<Report>) {
        let secs = self.settings.off_secs;
        self.members.tick(now, secs, reports, Member::default);
    }
}

#[cfg(test)]
mod tests {
    use super::super::detector::tests::run_with;
    use super::super::live::tests::record;
    use super::super::place::Role;
    use super::*;

    /// A host that calls `peers` hosts of as many networks on ports of their own, of which every third is gone, and
    /// exchanges `kib` with each tenth.
    fn swarm(peers: u32, kib: u32, ports: u16) -> Vec<HostRecord> {
        let mut out = Vec::new();
        for i in 0..peers {
            let ms = u64::from(i) * 1_000;
            let mut call = record(RecordKind::Opened, 6, 1, 0, 20_000 + (i as u16 % ports), ms);
            call.key.dst = IpAddr::from([60 + (i / 200) as u8, (i % 200) as u8, 3, 4]);
            out.push(call);
            if i % 3 != 0 {
                out.push(HostRecord {
                    kind: RecordKind::Established,
                    ..call
                });
            }
            if i % 5 == 1 {
                out.push(HostRecord {
                    kind: RecordKind::Volume,
                    detail: kib,
                    value: u64::from(kib) << 10,
                    ..call
                });
            }
        }
        out
    }

    fn run(records: Vec<HostRecord>) -> usize {
        let mut watch = P2pBehaviour::new(P2pBehaviourSettings::default());
        run_with(&mut watch, Role::Intranet, records).len()
    }

    #[test]
    fn a_member_of_a_swarm_is_found_without_a_look_at_its_bytes() {
        assert_eq!(run(swarm(200, 300, 5_000)), 1);
    }

    #[test]
    fn scanners_clients_and_calls_are_no_members() {
        // Nothing is exchanged; one port; few peers.
        assert_eq!(run(swarm(200, 0, 5_000)), 0);
        assert_eq!(run(swarm(200, 300, 2)), 0);
        assert_eq!(run(swarm(20, 300, 5_000)), 0);
        // All of them live.
        let mut living = swarm(200, 300, 5_000);
        let calls: Vec<_> = living
            .iter()
            .filter(|r| r.kind == RecordKind::Opened)
            .copied()
            .collect();
        living.retain(|r| r.kind != RecordKind::Established);
        living.extend(calls.into_iter().map(|r| HostRecord {
            kind: RecordKind::Established,
            ..r
        }));
        living.sort_by_key(|r| {
            (
                r.ts,
                r.kind != RecordKind::Opened,
                r.kind == RecordKind::Volume,
            )
        });
        assert_eq!(run(living), 0);
    }

    #[test]
    fn random_hosts_take_no_more_memory() {
        let mut watch = P2pBehaviour::new(P2pBehaviourSettings::default());
        let before = watch.memory().bytes;
        let calls = (0..50_000u32).map(|i| {
            let mut call = record(RecordKind::Opened, 6, i, 0, 40_000, u64::from(i));
            call.key.dst = IpAddr::from([99, (i >> 8) as u8, i as u8, 1]);
            call
        });
        run_with(&mut watch, Role::Intranet, calls.collect());
        assert_eq!(watch.memory().bytes, before);
    }
}
