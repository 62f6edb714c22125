//! The anomaly worker's work: records in packet order through every detector.

use std::net::IpAddr;

use super::brute_force::{BruteForce, BruteForceSettings};
use super::dga::{Dga, DgaSettings};
use super::dns_tunnel::{DnsTunnel, DnsTunnelSettings};
use super::flood::{Flood, FloodSettings};
use super::host_scan::{HostScan, HostScanSettings};
use super::http_load::{RequestFlood, RequestFloodSettings, SlowHttp, SlowHttpSettings};
use super::icmp_tunnel::{IcmpTunnel, IcmpTunnelSettings};
use super::port_scan::{PortScan, PortScanSettings};
use super::record::HostRecord;
use super::sightings::{SightingSettings, Sightings};
use super::syn_flood::{SynFlood, SynFloodSettings};
use super::{
    AMPLIFICATION, ARP_SCAN, HOST_SCAN, ICMP_FLOOD, P2P, PROXY_TUNNEL, SMURF, TCP_FLOOD, UDP_FLOOD,
    VPN_TOR, WRONG_PORT,
};
use crate::alert::{Efficacy, Json};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::MemoryBound;

/// Settings of all detectors.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct AnomalySettings {
    /// Whether behaviour is watched at all.
    pub enabled: bool,
    /// SYN floods.
    pub syn_flood: SynFloodSettings,
    /// Port scans.
    pub port_scan: PortScanSettings,
    /// UDP floods.
    pub udp_flood: FloodSettings,
    /// ICMP floods.
    pub icmp_flood: FloodSettings,
    /// Smurf.
    pub smurf: FloodSettings,
    /// Reflected UDP.
    pub amplification: FloodSettings,
    /// Reflected TCP.
    pub tcp_flood: FloodSettings,
    /// Ping sweeps.
    pub host_scan: HostScanSettings,
    /// ARP scans.
    pub arp_scan: HostScanSettings,
    /// Password guessing.
    pub brute_force: BruteForceSettings,
    /// DNS tunnels.
    pub dns_tunnel: DnsTunnelSettings,
    /// ICMP tunnels.
    pub icmp_tunnel: IcmpTunnelSettings,
    /// Peer-to-peer networks.
    pub p2p: SightingSettings,
    /// VPN and Tor.
    pub vpn_tor: SightingSettings,
    /// Proxies.
    pub proxy_tunnel: SightingSettings,
    /// Misplaced protocols.
    pub wrong_port: SightingSettings,
    /// Invented names.
    pub dga: DgaSettings,
    /// Hammered web servers.
    pub request_flood: RequestFloodSettings,
    /// Requests held open.
    pub slow_http: SlowHttpSettings,
}

impl Default for AnomalySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            syn_flood: SynFloodSettings::default(),
            port_scan: PortScanSettings::default(),
            udp_flood: FloodSettings::of(UDP_FLOOD),
            icmp_flood: FloodSettings::of(ICMP_FLOOD),
            smurf: FloodSettings::of(SMURF),
            amplification: FloodSettings::of(AMPLIFICATION),
            tcp_flood: FloodSettings::of(TCP_FLOOD),
            host_scan: HostScanSettings::of(HOST_SCAN),
            arp_scan: HostScanSettings::of(ARP_SCAN),
            brute_force: BruteForceSettings::default(),
            dns_tunnel: DnsTunnelSettings::default(),
            icmp_tunnel: IcmpTunnelSettings::default(),
            p2p: SightingSettings::default(),
            vpn_tor: SightingSettings::default(),
            proxy_tunnel: SightingSettings::default(),
            wrong_port: SightingSettings::default(),
            dga: DgaSettings::default(),
            request_flood: RequestFloodSettings::default(),
            slow_http: SlowHttpSettings::default(),
        }
    }
}

/// What a detector says.
#[derive(Clone, Debug)]
pub struct Report {
    /// Index of [`super::DETECTORS`].
    pub detector: u16,
    /// open, update or close.
    pub state: &'static str,
    /// Packet that showed it.
    pub number: u64,
    /// When.
    pub ts: Timestamp,
    /// From the attacker to the victim, as far as there is one of each.
    pub key: FlowKey,
    /// Input interface.
    pub interface: u16,
    /// 0..=1.
    pub confidence: f32,
    /// Whether it works.
    pub efficacy: Efficacy,
    /// Why.
    pub reason: &'static str,
    /// Whether the source address may be trusted.
    pub source_verified: bool,
    /// The incident.
    pub incident: u64,
    /// Members of the evidence object.
    pub evidence: Vec<u8>,
}

/// All detectors with their state.
#[derive(Debug)]
pub struct AnomalyEngine {
    syn_flood: SynFlood,
    port_scan: PortScan,
    udp_flood: Flood,
    icmp_flood: Flood,
    smurf: Flood,
    amplification: Flood,
    tcp_flood: Flood,
    host_scan: HostScan,
    arp_scan: HostScan,
    brute_force: BruteForce,
    dns_tunnel: DnsTunnel,
    icmp_tunnel: IcmpTunnel,
    p2p: Sightings,
    vpn_tor: Sightings,
    proxy_tunnel: Sightings,
    wrong_port: Sightings,
    dga: Dga,
    request_flood: RequestFlood,
    slow_http: SlowHttp,
}

impl AnomalyEngine {
    /// Takes all the memory it will ever use.
    pub fn new(settings: &AnomalySettings) -> Self {
        Self {
            syn_flood: SynFlood::new(settings.syn_flood.clone()),
            port_scan: PortScan::new(settings.port_scan.clone()),
            udp_flood: Flood::new(UDP_FLOOD, settings.udp_flood.clone()),
            icmp_flood: Flood::new(ICMP_FLOOD, settings.icmp_flood.clone()),
            smurf: Flood::new(SMURF, settings.smurf.clone()),
            amplification: Flood::new(AMPLIFICATION, settings.amplification.clone()),
            tcp_flood: Flood::new(TCP_FLOOD, settings.tcp_flood.clone()),
            host_scan: HostScan::new(HOST_SCAN, settings.host_scan.clone()),
            arp_scan: HostScan::new(ARP_SCAN, settings.arp_scan.clone()),
            brute_force: BruteForce::new(settings.brute_force.clone()),
            dns_tunnel: DnsTunnel::new(settings.dns_tunnel.clone()),
            icmp_tunnel: IcmpTunnel::new(settings.icmp_tunnel.clone()),
            p2p: Sightings::new(P2P, settings.p2p.clone()),
            vpn_tor: Sightings::new(VPN_TOR, settings.vpn_tor.clone()),
            proxy_tunnel: Sightings::new(PROXY_TUNNEL, settings.proxy_tunnel.clone()),
            wrong_port: Sightings::new(WRONG_PORT, settings.wrong_port.clone()),
            dga: Dga::new(settings.dga.clone()),
            request_flood: RequestFlood::new(settings.request_flood.clone()),
            slow_http: SlowHttp::new(settings.slow_http.clone()),
        }
    }

    /// Bounds of its tables.
    pub fn bounds(&self) -> Vec<MemoryBound> {
        vec![
            MemoryBound {
                what: "syn_flood services",
                bytes: self.syn_flood.bytes(),
            },
            MemoryBound {
                what: "port_scan sources",
                bytes: self.port_scan.bytes(),
            },
            MemoryBound {
                what: "udp_flood records",
                bytes: self.udp_flood.bytes(),
            },
            MemoryBound {
                what: "icmp_flood records",
                bytes: self.icmp_flood.bytes(),
            },
            MemoryBound {
                what: "smurf records",
                bytes: self.smurf.bytes(),
            },
            MemoryBound {
                what: "amplification records",
                bytes: self.amplification.bytes(),
            },
            MemoryBound {
                what: "tcp_flood records",
                bytes: self.tcp_flood.bytes(),
            },
            MemoryBound {
                what: "host_scan records",
                bytes: self.host_scan.bytes(),
            },
            MemoryBound {
                what: "arp_scan records",
                bytes: self.arp_scan.bytes(),
            },
            MemoryBound {
                what: "brute_force records",
                bytes: self.brute_force.bytes(),
            },
            MemoryBound {
                what: "dns_tunnel records",
                bytes: self.dns_tunnel.bytes(),
            },
            MemoryBound {
                what: "icmp_tunnel records",
                bytes: self.icmp_tunnel.bytes(),
            },
            MemoryBound {
                what: "p2p records",
                bytes: self.p2p.bytes(),
            },
            MemoryBound {
                what: "vpn_tor records",
                bytes: self.vpn_tor.bytes(),
            },
            MemoryBound {
                what: "proxy_tunnel records",
                bytes: self.proxy_tunnel.bytes(),
            },
            MemoryBound {
                what: "wrong_port records",
                bytes: self.wrong_port.bytes(),
            },
            MemoryBound {
                what: "dga records",
                bytes: self.dga.bytes(),
            },
            MemoryBound {
                what: "request_flood records",
                bytes: self.request_flood.bytes(),
            },
            MemoryBound {
                what: "slow_http records",
                bytes: self.slow_http.bytes(),
            },
        ]
    }

    /// Takes the records of one batch, in packet order, and the time at its end; `last` when the capture ends with it.
    pub fn batch(
        &mut self,
        records: &[HostRecord],
        now: Timestamp,
        last: bool,
        reports: &mut Vec<Report>,
    ) {
        for record in records {
            self.syn_flood.record(record, reports);
            self.port_scan.record(record, &self.syn_flood, reports);
            self.udp_flood.record(record, reports);
            self.icmp_flood.record(record, reports);
            self.smurf.record(record, reports);
            self.amplification.record(record, reports);
            self.tcp_flood.record(record, reports);
            self.host_scan.record(record, reports);
            self.arp_scan.record(record, reports);
            self.brute_force.record(record, reports);
            self.dns_tunnel.record(record, reports);
            self.icmp_tunnel.record(record, reports);
            self.p2p.record(record, reports);
            self.vpn_tor.record(record, reports);
            self.proxy_tunnel.record(record, reports);
            self.wrong_port.record(record, reports);
            self.dga.record(record, reports);
            self.request_flood.record(record, reports);
            self.slow_http.record(record, reports);
        }
        self.syn_flood.tick(now, last, reports);
        self.port_scan.tick(now, reports);
        if !last {
            self.udp_flood.tick(now, reports);
            self.icmp_flood.tick(now, reports);
            self.smurf.tick(now, reports);
            self.amplification.tick(now, reports);
            self.tcp_flood.tick(now, reports);
            self.host_scan.tick(now, reports);
            self.arp_scan.tick(now, reports);
            self.brute_force.tick(now, reports);
            self.dns_tunnel.tick(now, reports);
            self.icmp_tunnel.tick(now, reports);
            self.p2p.tick(now, reports);
            self.vpn_tor.tick(now, reports);
            self.proxy_tunnel.tick(now, reports);
            self.wrong_port.tick(now, reports);
            self.dga.tick(now, reports);
            self.request_flood.tick(now, reports);
            self.slow_http.tick(now, reports);
        }
    }
}

/// A JSON writer over a new evidence buffer.
pub(super) fn evidence(write: impl FnOnce(&mut Json<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Json::new(&mut out));
    out
}

/// A stable number for an incident: what, who, when it began.
pub(super) fn incident(detector: u16, address: IpAddr, port: u16, since: Timestamp) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    mix(&detector.to_be_bytes());
    match address {
        IpAddr::V4(a) => mix(&a.octets()),
        IpAddr::V6(a) => mix(&a.octets()),
    }
    mix(&port.to_be_bytes());
    mix(&since.0.to_be_bytes());
    hash
}

/// The same hash over an endpoint, for bitmaps and sketches.
pub(super) fn endpoint_hash(address: IpAddr, port: u16) -> u64 {
    let hash = incident(0, address, port, Timestamp(0));
    hash ^ (hash >> 29)
}
