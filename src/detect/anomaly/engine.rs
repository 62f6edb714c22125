//! The anomaly worker's work: records in packet order through every detector.

use std::cell::OnceCell;
use std::net::IpAddr;

use super::arp_spoof::{ArpSpoof, ArpSpoofSettings};
use super::beacon::{Beacon, BeaconSettings};
use super::brute_force::{BruteForce, BruteForceSettings};
use super::detector::{Attacks, Detector, Seen};
use super::dga::{Dga, DgaSettings};
use super::dns_tunnel::{DnsTunnel, DnsTunnelSettings};
use super::exfiltration::{Exfiltration, ExfiltrationSettings};
use super::flood::{Flood, FloodSettings};
use super::host_scan::{HostScan, HostScanSettings};
use super::icmp_tunnel::{IcmpTunnel, IcmpTunnelSettings};
use super::irc_bot::{IrcBot, IrcBotSettings};
use super::obfuscated::{Obfuscated, ObfuscatedSettings};
use super::p2p_behaviour::{P2pBehaviour, P2pBehaviourSettings};
use super::password_spray::{PasswordSpray, PasswordSpraySettings};
use super::place::Places;
use super::policy::{Policy, PolicySettings};
use super::port_scan::{PortScan, PortScanSettings};
use super::queue_stall::{QueueStall, QueueStallSettings};
use super::record::{HostRecord, RecordKind};
use super::reflector::{Reflector, ReflectorSettings};
use super::request_flood::{RequestFlood, RequestFloodSettings};
use super::rogue_server::{RogueServer, RogueServerSettings};
use super::service_impaired::{ServiceImpaired, ServiceImpairedSettings};
use super::service_trouble::{ServiceTrouble, ServiceTroubleSettings};
use super::session_exhaustion::{SessionExhaustion, SessionExhaustionSettings};
use super::sightings::{SightingSettings, Sightings};
use super::slow_http::{SlowHttp, SlowHttpSettings};
use super::spoofed::{Spoofed, SpoofedSettings};
use super::storm::{Storm, StormSettings};
use super::stray_flood::{StrayFlood, StrayFloodSettings};
use super::successive_clicks::{SuccessiveClicks, SuccessiveClicksSettings};
use super::syn_flood::{SynFlood, SynFloodSettings};
use super::worm_scan::{WormScan, WormScanSettings};
use super::{
    AMPLIFICATION, ARP_SCAN, ARP_SPOOF, BEACON, BRUTE_FORCE, DETECTORS, DGA, DNS_TUNNEL,
    EXFILTRATION, HOST_SCAN, ICMP_FLOOD, ICMP_TUNNEL, IRC_BOT, P2P, PASSWORD_SPRAY, POLICY,
    PORT_SCAN, PROXY_TUNNEL, QUEUE_STALL, REFLECTOR, REQUEST_FLOOD, ROGUE_SERVER, SERVICE_IMPAIRED,
    SERVICE_TROUBLE, SESSION_EXHAUSTION, SLOW_HTTP, SMURF, SPOOFED, STORM, SUCCESSIVE_CLICKS,
    TCP_FLOOD, UDP_FLOOD, VPN_TOR, WORM_SCAN, WRONG_PORT,
};
use crate::alert::{Efficacy, Json, Severity};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::MemoryBound;

/// Settings of all detectors.
#[derive(Clone, Debug, PartialEq)]
pub struct AnomalySettings {
    /// Whether behaviour is watched at all.
    pub enabled: bool,
    /// How many wires are watched: each has its detectors, since what passes two of them must not count twice.
    pub wires: u16,
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
    /// Segments of no connection.
    pub stray_flood: StrayFloodSettings,
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
    /// The same by behaviour.
    pub p2p_behaviour: P2pBehaviourSettings,
    /// VPN and Tor.
    pub vpn_tor: SightingSettings,
    /// Tunnels that look like nothing.
    pub obfuscated: ObfuscatedSettings,
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
    /// Worms.
    pub worm_scan: WormScanSettings,
    /// Guessing spread thin.
    pub password_spray: PasswordSpraySettings,
    /// Calls home.
    pub beacon: BeaconSettings,
    /// Stolen addresses.
    pub arp_spoof: ArpSpoofSettings,
    /// Servers nobody put there.
    pub rogue_server: RogueServerSettings,
    /// Impossible sources.
    pub spoofed: SpoofedSettings,
    /// Session tables that fill up.
    pub session_exhaustion: SessionExhaustionSettings,
    /// Hammered reload keys.
    pub successive_clicks: SuccessiveClicksSettings,
    /// Data leaving.
    pub exfiltration: ExfiltrationSettings,
    /// Bots on IRC.
    pub irc_bot: IrcBotSettings,
    /// Storms and loops.
    pub storm: StormSettings,
    /// Our servers as amplifiers.
    pub reflector: ReflectorSettings,
    /// Contracts.
    pub policy: PolicySettings,
    /// Queues that stall.
    pub queue_stall: QueueStallSettings,
    /// Trouble without an attacker.
    pub service_trouble: ServiceTroubleSettings,
    /// Declared services.
    pub service_impaired: ServiceImpairedSettings,
}

impl Default for AnomalySettings {
    fn default() -> Self {
        Self {
            enabled: true,
            wires: 1,
            syn_flood: SynFloodSettings::default(),
            port_scan: PortScanSettings::default(),
            udp_flood: FloodSettings::of(UDP_FLOOD),
            icmp_flood: FloodSettings::of(ICMP_FLOOD),
            smurf: FloodSettings::of(SMURF),
            amplification: FloodSettings::of(AMPLIFICATION),
            tcp_flood: FloodSettings::of(TCP_FLOOD),
            stray_flood: StrayFloodSettings::default(),
            host_scan: HostScanSettings::of(HOST_SCAN),
            arp_scan: HostScanSettings::of(ARP_SCAN),
            brute_force: BruteForceSettings::default(),
            dns_tunnel: DnsTunnelSettings::default(),
            icmp_tunnel: IcmpTunnelSettings::default(),
            p2p: SightingSettings::default(),
            p2p_behaviour: P2pBehaviourSettings::default(),
            vpn_tor: SightingSettings::default(),
            obfuscated: ObfuscatedSettings::default(),
            proxy_tunnel: SightingSettings::default(),
            wrong_port: SightingSettings::default(),
            dga: DgaSettings::default(),
            request_flood: RequestFloodSettings::default(),
            slow_http: SlowHttpSettings::default(),
            worm_scan: WormScanSettings::default(),
            password_spray: PasswordSpraySettings::default(),
            beacon: BeaconSettings::default(),
            arp_spoof: ArpSpoofSettings::default(),
            rogue_server: RogueServerSettings::default(),
            spoofed: SpoofedSettings::default(),
            session_exhaustion: SessionExhaustionSettings::default(),
            successive_clicks: SuccessiveClicksSettings::default(),
            exfiltration: ExfiltrationSettings::default(),
            irc_bot: IrcBotSettings::default(),
            storm: StormSettings::default(),
            reflector: ReflectorSettings::default(),
            policy: PolicySettings::default(),
            queue_stall: QueueStallSettings::default(),
            service_trouble: ServiceTroubleSettings::default(),
            service_impaired: ServiceImpairedSettings::default(),
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
    /// How bad it is, as far as the behaviour alone says: a step of the level's arithmetic.
    pub severity: Severity,
    /// Whether the source address may be trusted.
    pub source_verified: bool,
    /// The incident.
    pub incident: u64,
    /// What it is about beyond attacker and victim, where a detector speaks of several things: which service, which
    /// contract. Reports with different ones are never one incident. 0: there is but one.
    pub subject: u64,
    /// Members of the evidence object.
    pub evidence: Vec<u8>,
}

/// All detectors with their state, for every wire.
#[derive(Debug)]
pub struct AnomalyEngine {
    places: Box<dyn Places>,
    wires: Vec<Wire>,
}

/// The detectors of one wire.
#[derive(Debug)]
struct Wire {
    /// Apart, because others ask it what is being flooded.
    syn_flood: SynFlood,
    /// What was said lately.
    attacks: Attacks,
    /// With their index in [`DETECTORS`].
    detectors: Vec<(u16, Box<dyn Detector>)>,
    /// For each kind of record about TCP, then for each about UDP, then for each about anything else: the detectors that
    /// want it.
    by_kind: Vec<Vec<u8>>,
}

impl AnomalyEngine {
    /// Goes on with other segments and assets; what the detectors know stays.
    pub fn adopt(&mut self, places: Box<dyn Places>) {
        self.places = places;
    }

    /// Takes all the memory it will ever use.
    pub fn new(settings: &AnomalySettings, places: Box<dyn Places>) -> Self {
        Self {
            places,
            wires: (0..settings.wires.max(1))
                .map(|_| Wire::new(settings))
                .collect(),
        }
    }

    /// Goes on with other thresholds. What the detectors know stays, and so do the sizes of their tables.
    pub fn tune(&mut self, settings: &AnomalySettings) {
        for wire in &mut self.wires {
            wire.syn_flood.tune(&settings.syn_flood);
            for (_, detector) in &mut wire.detectors {
                detector.tune(settings);
            }
        }
    }

    /// Bounds of its tables.
    pub fn bounds(&self) -> Vec<MemoryBound> {
        let mut wires = self.wires.iter().map(Wire::bounds);
        let mut bounds = wires.next().unwrap_or_default();
        for more in wires {
            for (bound, more) in bounds.iter_mut().zip(more) {
                bound.bytes = bound.bytes.saturating_add(more.bytes);
                bound.used = bound.used.saturating_add(more.used);
            }
        }
        bounds
    }

    /// Takes the records of one batch, in packet order, and the time at its end; `last` when the capture is over.
    pub fn batch(
        &mut self,
        records: &[HostRecord],
        now: Timestamp,
        last: bool,
        reports: &mut Vec<Report>,
    ) {
        for record in records {
            let known = self.wires.len().saturating_sub(1);
            if let Some(wire) = self.wires.get_mut(usize::from(record.key.wire).min(known)) {
                wire.take(record, &*self.places, reports);
            }
        }
        for wire in &mut self.wires {
            wire.pass(now, last, reports);
        }
    }
}

/// Protocols that have lists of their own in [`Wire::by_kind`], and all others.
const PROTOS: [Option<u8>; 3] = [Some(6), Some(17), None];

/// Which list of [`Wire::by_kind`] a record goes to.
fn list_of(kind: RecordKind, proto: u8) -> usize {
    let class = match proto {
        6 => 0,
        17 => 1,
        _ => 2,
    };
    class * RecordKind::COUNT + kind as usize
}

impl Wire {
    fn new(settings: &AnomalySettings) -> Self {
        let s = settings.clone();
        let detectors: Vec<(u16, Box<dyn Detector>)> = vec![
            (PORT_SCAN, Box::new(PortScan::new(s.port_scan))),
            (UDP_FLOOD, Box::new(Flood::new(UDP_FLOOD, s.udp_flood))),
            (ICMP_FLOOD, Box::new(Flood::new(ICMP_FLOOD, s.icmp_flood))),
            (SMURF, Box::new(Flood::new(SMURF, s.smurf))),
            (
                AMPLIFICATION,
                Box::new(Flood::new(AMPLIFICATION, s.amplification)),
            ),
            (TCP_FLOOD, Box::new(Flood::new(TCP_FLOOD, s.tcp_flood))),
            (TCP_FLOOD, Box::new(StrayFlood::new(s.stray_flood))),
            (HOST_SCAN, Box::new(HostScan::new(HOST_SCAN, s.host_scan))),
            (ARP_SCAN, Box::new(HostScan::new(ARP_SCAN, s.arp_scan))),
            (BRUTE_FORCE, Box::new(BruteForce::new(s.brute_force))),
            (DNS_TUNNEL, Box::new(DnsTunnel::new(s.dns_tunnel))),
            (ICMP_TUNNEL, Box::new(IcmpTunnel::new(s.icmp_tunnel))),
            (P2P, Box::new(Sightings::new(P2P, s.p2p))),
            (P2P, Box::new(P2pBehaviour::new(s.p2p_behaviour))),
            (VPN_TOR, Box::new(Sightings::new(VPN_TOR, s.vpn_tor))),
            (VPN_TOR, Box::new(Obfuscated::new(s.obfuscated))),
            (
                PROXY_TUNNEL,
                Box::new(Sightings::new(PROXY_TUNNEL, s.proxy_tunnel)),
            ),
            (
                WRONG_PORT,
                Box::new(Sightings::new(WRONG_PORT, s.wrong_port)),
            ),
            (DGA, Box::new(Dga::new(s.dga))),
            (REQUEST_FLOOD, Box::new(RequestFlood::new(s.request_flood))),
            (SLOW_HTTP, Box::new(SlowHttp::new(s.slow_http))),
            (WORM_SCAN, Box::new(WormScan::new(s.worm_scan))),
            (
                PASSWORD_SPRAY,
                Box::new(PasswordSpray::new(s.password_spray)),
            ),
            (BEACON, Box::new(Beacon::new(s.beacon))),
            (ARP_SPOOF, Box::new(ArpSpoof::new(s.arp_spoof))),
            (ROGUE_SERVER, Box::new(RogueServer::new(s.rogue_server))),
            (SPOOFED, Box::new(Spoofed::new(s.spoofed))),
            (
                SESSION_EXHAUSTION,
                Box::new(SessionExhaustion::new(s.session_exhaustion)),
            ),
            (
                SUCCESSIVE_CLICKS,
                Box::new(SuccessiveClicks::new(s.successive_clicks)),
            ),
            (EXFILTRATION, Box::new(Exfiltration::new(s.exfiltration))),
            (IRC_BOT, Box::new(IrcBot::new(s.irc_bot))),
            (STORM, Box::new(Storm::new(s.storm))),
            (REFLECTOR, Box::new(Reflector::new(s.reflector))),
            (POLICY, Box::new(Policy::new(s.policy))),
            (QUEUE_STALL, Box::new(QueueStall::new(s.queue_stall))),
            (
                SERVICE_TROUBLE,
                Box::new(ServiceTrouble::new(s.service_trouble)),
            ),
            (
                SERVICE_IMPAIRED,
                Box::new(ServiceImpaired::new(s.service_impaired)),
            ),
        ];
        let mut by_kind = vec![Vec::new(); RecordKind::COUNT * PROTOS.len()];
        for (at, (_, detector)) in detectors.iter().enumerate() {
            let Ok(at) = u8::try_from(at) else { break };
            for kind in detector.kinds() {
                for proto in PROTOS {
                    if let Some(list) = by_kind.get_mut(list_of(*kind, proto.unwrap_or(0)))
                        && proto.is_none_or(|proto| detector.wants(*kind, proto))
                    {
                        list.push(at);
                    }
                }
            }
        }
        Self {
            syn_flood: SynFlood::new(s.syn_flood),
            attacks: Attacks::default(),
            detectors,
            by_kind,
        }
    }

    fn bounds(&self) -> Vec<MemoryBound> {
        let mut bounds = vec![self.syn_flood.memory().of("syn_flood")];
        for (index, detector) in &self.detectors {
            let info = DETECTORS.get(usize::from(*index));
            bounds.push(
                detector
                    .memory()
                    .of(info.map_or("detector", |info| info.name)),
            );
        }
        bounds
    }

    fn take(&mut self, record: &HostRecord, places: &dyn Places, reports: &mut Vec<Report>) {
        let before = reports.len();
        let place = OnceCell::new();
        let role = || {
            let here = || places.place(&record.key, record.interface);
            place.get_or_init(here).role
        };
        self.syn_flood.record(record, &role, reports);
        let Some(wanting) = self.by_kind.get(list_of(record.kind, record.key.proto)) else {
            return;
        };
        let seen = Seen::new(place, record, places, (&self.syn_flood, &self.attacks));
        for at in wanting {
            if let Some((_, detector)) = self.detectors.get_mut(usize::from(*at)) {
                detector.take(record, &seen, reports);
            }
        }
        for report in reports.iter().skip(before) {
            self.attacks.note(report);
        }
    }

    fn pass(&mut self, now: Timestamp, last: bool, reports: &mut Vec<Report>) {
        self.syn_flood.tick(now, last, reports);
        if !last {
            for (_, detector) in &mut self.detectors {
                detector.pass(now, reports);
            }
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
///
/// Two multiplications that fold (as in wyhash): it is made several times for each SYN of a flood.
#[inline]
pub fn endpoint_hash(address: IpAddr, port: u16) -> u64 {
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        (product as u64) ^ ((product >> 64) as u64)
    };
    let (high, low) = match address {
        IpAddr::V4(a) => (0, u64::from(a.to_bits())),
        IpAddr::V6(a) => ((a.to_bits() >> 64) as u64, a.to_bits() as u64),
    };
    let hash = fold(low ^ 0xa076_1d64_78bd_642f, high ^ 0xe703_7ed1_a0b4_28db);
    fold(hash ^ u64::from(port), 0x8ebc_6af0_9c88_c6e3)
}
