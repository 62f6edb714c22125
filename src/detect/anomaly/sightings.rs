//! P2P, VPN and Tor, proxies, and protocols on foreign ports (detectors.md D12, D15, D16): what first payloads show, per
//! client.
//!
//! Four detectors of one make. Each takes the verdicts of [`FirstBytes`] that are its own; one incident per client, with
//! the protocols and the number of peers seen. A verdict that needs both sides of a flow comes only when both were seen,
//! so that a single odd packet says nothing.
//!
//! What is *not* a misplaced protocol: TLS anywhere, HTTP on ports that nobody owns, SSH on a port of its own.
//! Memory: fixed, one record per client.

use std::net::IpAddr;

use super::detector::plain_detector;
use super::engine::{Report, endpoint_hash, evidence};
use super::first_bytes::FirstBytes;
use super::live::{Entry, Live, Says, Watch};
use super::record::{HostRecord, RecordKind};
use super::table::Bitmap256;
use super::{P2P, PROXY_TUNNEL, VPN_TOR, WRONG_PORT};
use crate::alert::{Efficacy, Severity};
use crate::packet::Timestamp;
use crate::stats::Memory;

/// Settings of each of the four.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct SightingSettings {
    /// Flows of a client that show it before there is an alert. Default 1: the signatures are strong (detectors.md D12).
    pub flows_min: u32,
    /// Clients watched. Default 8,192.
    pub clients: usize,
    /// Quiet seconds after which an incident closes. Default 3,600.
    pub off_secs: u32,
}

impl Default for SightingSettings {
    fn default() -> Self {
        Self {
            flows_min: 1,
            clients: 8_192,
            off_secs: 3_600,
        }
    }
}

/// Ports that a protocol of their own is expected on: another one there is misplaced.
const OWNED: &[u16] = &[
    21, 22, 23, 25, 53, 80, 110, 143, 443, 445, 465, 587, 993, 995, 1433, 1521, 3306, 3389, 5432,
    6379, 6667,
];

#[derive(Clone, Debug, Default)]
struct Client {
    flows: u32,
    peers: Bitmap256,
    last: Timestamp,
    verdict: FirstBytes,
    live: Live,
}

impl Entry for Client {
    fn live(&mut self) -> &mut Live {
        &mut self.live
    }
    fn weight(&self) -> u64 {
        self.last.secs()
    }
    fn is_open(&self) -> bool {
        self.live.open
    }
}

/// One of the four detectors.
#[derive(Debug)]
pub struct Sightings {
    detector: u16,
    settings: SightingSettings,
    clients: Watch<IpAddr, Client>,
}

plain_detector!(
    Sightings,
    |sightings, all| match sightings.detector {
        P2P => all.p2p.clone(),
        VPN_TOR => all.vpn_tor.clone(),
        PROXY_TUNNEL => all.proxy_tunnel.clone(),
        _ => all.wrong_port.clone(),
    },
    FirstBytes
);

impl Sightings {
    /// Takes its memory.
    pub fn new(detector: u16, settings: SightingSettings) -> Self {
        Self {
            detector,
            clients: Watch::new(detector, settings.clients),
            settings,
        }
    }

    /// Bytes it takes.
    pub fn memory(&self) -> Memory {
        self.clients.memory()
    }

    /// Takes one record.
    pub fn record(&mut self, record: &HostRecord, reports: &mut Vec<Report>) {
        if record.kind != RecordKind::FirstBytes {
            return;
        }
        let verdict = FirstBytes::from_number(record.detail);
        if detector_of(verdict, record.key.dport) != Some(self.detector) {
            return;
        }
        let Some(client) = self.clients.entry(record.key.src, Client::default) else {
            return;
        };
        client.flows = client.flows.saturating_add(1);
        client.last = client.last.max(record.ts);
        client.verdict = verdict;
        client.peers.insert(endpoint_hash(record.key.dst, 0));
        if record.proves_source() {
            client.live.prove();
        }
        if client.flows < self.settings.flows_min {
            return;
        }
        let size = u64::from(client.flows);
        // A tunnel in a tunnel, or a tunnel within an encapsulation, hides on purpose.
        let nested =
            verdict == FirstBytes::Nested || (self.detector == VPN_TOR && record.order > 0);
        let severity = if nested {
            Severity::Critical
        } else {
            Severity::Major
        };
        self.clients.alarm_as(
            severity,
            record.key.src,
            record,
            (record.key, size),
            reports,
            Client::default,
            |client| Says {
                confidence: 0.85,
                efficacy: Efficacy::Unknown,
                reason: "",
                source_verified: client.live.is_proven(),
                evidence: evidence(|json| {
                    json.str("protocol", client.verdict.as_str())
                        .num("flows", client.flows)
                        .num("peers", client.peers.estimate())
                        .bool("inside_another_tunnel", nested)
                        .num("port", record.key.dport);
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

/// Whose a verdict is.
fn detector_of(verdict: FirstBytes, port: u16) -> Option<u16> {
    use FirstBytes as F;
    match verdict {
        F::BitTorrent | F::BitTorrentDht | F::Utp | F::Tracker | F::BitTorrentLocal => Some(P2P),
        F::Edonkey | F::Gnutella | F::Ethereum | F::Syncthing | F::P2pService => Some(P2P),
        F::OpenVpn | F::WireGuard | F::Ike | F::L2tp | F::Pptp | F::Tinc | F::Tor => Some(VPN_TOR),
        F::Esp | F::VpnService => Some(VPN_TOR),
        F::SshInUdp | F::SshInHttp | F::HttpToSsh | F::SshReversed => Some(WRONG_PORT),
        F::Socks4 | F::Socks5 | F::Connect | F::Nested => Some(PROXY_TUNNEL),
        F::Ssh if port != 22 && OWNED.contains(&port) => Some(WRONG_PORT),
        F::HttpAnswer if port != 80 && port != 443 && OWNED.contains(&port) => Some(WRONG_PORT),
        F::MySql if port != 3306 && OWNED.contains(&port) => Some(WRONG_PORT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::live::tests::record;
    use super::*;

    fn run(detector: u16, seen: &[(FirstBytes, u32, u16)]) -> Vec<Report> {
        let mut watch = Sightings::new(detector, SightingSettings::default());
        let mut reports = Vec::new();
        for (i, (verdict, src, port)) in seen.iter().enumerate() {
            let mut r = record(RecordKind::FirstBytes, 6, *src, 1, *port, i as u64);
            r.detail = *verdict as u32;
            watch.record(&r, &mut reports);
        }
        reports
    }

    #[test]
    fn a_client_is_one_incident_however_many_peers_it_has() {
        let seen: Vec<_> = (0..9).map(|_| (FirstBytes::BitTorrent, 1, 6881)).collect();
        assert_eq!(run(P2P, &seen).len(), 1);
        assert!(run(VPN_TOR, &seen).is_empty());
    }

    #[test]
    fn a_tunnel_in_a_tunnel_is_worse() {
        let one = run(PROXY_TUNNEL, &[(FirstBytes::Socks5, 1, 1080)]);
        assert_eq!(one[0].severity, Severity::Major);
        let nested = [(FirstBytes::Socks5, 1, 1080), (FirstBytes::Nested, 1, 1080)];
        let reports = run(PROXY_TUNNEL, &nested);
        assert_eq!(reports[1].severity, Severity::Critical);
        // WireGuard by itself, and within GRE.
        let seen = |order: u32| {
            let mut watch = Sightings::new(VPN_TOR, SightingSettings::default());
            let mut reports = Vec::new();
            let mut r = record(RecordKind::FirstBytes, 17, 1, 1, 51_820, 0);
            (r.detail, r.order) = (FirstBytes::WireGuard as u32, order);
            watch.record(&r, &mut reports);
            reports[0].severity
        };
        assert_eq!([seen(0), seen(1)], [Severity::Major, Severity::Critical]);
    }

    #[test]
    fn a_client_that_shows_over_udp_first_is_told_again_when_a_handshake_proves_it() {
        let mut watch = Sightings::new(P2P, SightingSettings::default());
        let mut reports = Vec::new();
        // DHT; a lone segment that anybody can forge; connections, and DHT again.
        for (i, (proto, proof)) in [(17, 0), (6, 0), (6, 1), (6, 1), (17, 0)]
            .into_iter()
            .enumerate()
        {
            let mut r = record(RecordKind::FirstBytes, proto, 1, 1, 6881, i as u64);
            (r.detail, r.value) = (FirstBytes::BitTorrent as u32, proof);
            watch.record(&r, &mut reports);
        }
        let told: Vec<_> = reports
            .iter()
            .map(|r| (r.state, r.number, r.source_verified))
            .collect();
        assert_eq!(told, [("open", 0, false), ("update", 2, true)]);
    }

    #[test]
    fn a_protocol_on_its_own_port_is_in_its_place() {
        assert!(
            run(
                WRONG_PORT,
                &[(FirstBytes::Ssh, 1, 22), (FirstBytes::Ssh, 1, 2222)]
            )
            .is_empty()
        );
        assert_eq!(run(WRONG_PORT, &[(FirstBytes::Ssh, 1, 443)]).len(), 1);
    }

    #[test]
    fn half_a_verdict_says_nothing() {
        assert!(run(VPN_TOR, &[(FirstBytes::OpenVpnReset, 1, 1194)]).is_empty());
        assert!(run(PROXY_TUNNEL, &[(FirstBytes::Socks5Greeting, 1, 1080)]).is_empty());
    }

    #[test]
    fn random_clients_take_no_more_memory_and_hide_nobody() {
        let mut watch = Sightings::new(
            P2P,
            SightingSettings {
                clients: 64,
                ..Default::default()
            },
        );
        let bytes = watch.memory().bytes;
        let mut reports = Vec::new();
        for i in 0..50_000u32 {
            let mut r = record(RecordKind::FirstBytes, 6, i, 1, 6881, u64::from(i));
            r.detail = FirstBytes::BitTorrent as u32;
            watch.record(&r, &mut reports);
        }
        assert_eq!(watch.memory().bytes, bytes);
        assert!(reports.len() <= 50_000);
    }
}
