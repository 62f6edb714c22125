//! Behaviour of hosts: small fixed records from the workers go in, findings come out. Never frames.
//!
//! Records of all workers are merged in packet order before a detector sees them, so that findings do not depend on the
//! number of workers. Time is the packets'. Memory is fixed at start.
//!
//! A detector is one file and one line in [`DETECTORS`].

pub mod account;
mod arp_spoof;
mod beacon;
mod bloom;
mod brute_force;
mod detector;
mod dga;
pub mod dns_answers;
pub mod dns_names;
mod dns_tunnel;
mod edonkey;
mod engine;
mod exfiltration;
pub mod first_bytes;
mod flood;
mod hops;
mod host_scan;
mod icmp_tunnel;
pub mod irc;
mod irc_bot;
pub mod lan;
mod live;
pub mod matrix;
#[cfg(test)]
mod models;
mod obfuscated;
mod p2p_behaviour;
pub mod pace;
mod password_spray;
pub mod place;
pub mod policy;
mod port_scan;
mod queue_stall;
pub mod record;
mod reflector;
mod request_flood;
mod rogue_server;
pub mod service_impaired;
pub mod service_names;
mod service_trouble;
mod service_wires;
mod session_exhaustion;
mod sightings;
mod slow_http;
mod spoofed;
pub mod ssh_login;
mod storm;
mod stray_flood;
mod successive_clicks;
mod syn_flood;
pub mod table;
mod thin_scan;
mod worm_scan;

pub use brute_force::BruteForceSettings;
pub use detector::ATTACK_SECS;
pub use dga::DgaSettings;
pub use dns_tunnel::DnsTunnelSettings;
pub use engine::{AnomalyEngine, AnomalySettings, Report, endpoint_hash};
pub use first_bytes::FirstBytes;
pub use flood::FloodSettings;
pub use host_scan::HostScanSettings;
pub use icmp_tunnel::IcmpTunnelSettings;
pub use port_scan::PortScanSettings;
pub use record::{HostRecord, RecordKind};
pub use request_flood::RequestFloodSettings;
pub use service_wires::ServiceWires;
pub use sightings::SightingSettings;
pub use slow_http::SlowHttpSettings;
pub use syn_flood::SynFloodSettings;

use self::place::HostRole;
use crate::alert::{Phenomenon, Threat};

/// Generator id of behavioural alerts.
pub const GID: u32 = 400;

/// What a detector is, for alerts and documentation (docs/alerts.md).
#[derive(Debug)]
pub struct DetectorInfo {
    /// Its name (`sekisho.detector`).
    pub name: &'static str,
    /// Its stable signature id under [`GID`].
    pub sid: u32,
    /// Text of its alerts.
    pub message: &'static str,
    /// Text of their category.
    pub category: &'static str,
    /// What happens.
    pub phenomenon: Phenomenon,
    /// What it threatens.
    pub threats: &'static [Threat],
    /// ATT&CK techniques.
    pub techniques: &'static [&'static str],
    /// What kind of act it is: what may be done about it, and which step of a campaign it is.
    pub family: Family,
    /// Whether the victim, not the attacker, makes its reports one incident.
    pub by_victim: bool,
    /// What else it explains while it is open (detectors.md §1.3 S3).
    pub hides: Hides,
    /// Duties of hosts that explain it (detectors.md §2, "FP"). Not what makes its doer *seem* to have one: a rogue DHCP
    /// server seems to be a DHCP server.
    pub duties: &'static [HostRole],
}

/// Kinds of acts. What grading does with each is a `match` without a rest, so that a new one does not compile before
/// somebody decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// More than a service can take, from sources that may be invented.
    Flood,
    /// More than a service can take, from clients that completed handshakes.
    Load,
    /// Looking for hosts and services.
    Scan,
    /// Trying passwords.
    Guessing,
    /// An infected host and its controller.
    Control,
    /// Data on their way out.
    Leak,
    /// Claiming to be somebody else, on the link or by address.
    Forgery,
    /// Something that a policy may forbid.
    Use,
    /// Trouble or accident: nobody to act against.
    Trouble,
}

/// Which reports of others an open incident explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hides {
    /// None.
    Nothing,
    /// These, of the same attacker.
    OfAttacker(&'static [u16]),
    /// These, of the same victim.
    OfVictim(&'static [u16]),
    /// These, of the same victim, whose source showed no handshake: a flood leaves half-open connections, timeouts and
    /// answers to nobody, but whoever completed a handshake is no part of a flood with invented sources.
    OfUnproven(&'static [u16]),
}

/// Index of [`DETECTORS`].
pub const SYN_FLOOD: u16 = 0;
/// Index of [`DETECTORS`].
pub const PORT_SCAN: u16 = 1;
/// Index of [`DETECTORS`].
pub const UDP_FLOOD: u16 = 2;
/// Index of [`DETECTORS`].
pub const ICMP_FLOOD: u16 = 3;
/// Index of [`DETECTORS`].
pub const SMURF: u16 = 4;
/// Index of [`DETECTORS`].
pub const AMPLIFICATION: u16 = 5;
/// Index of [`DETECTORS`].
pub const TCP_FLOOD: u16 = 6;
/// Index of [`DETECTORS`].
pub const HOST_SCAN: u16 = 7;
/// Index of [`DETECTORS`].
pub const ARP_SCAN: u16 = 8;
/// Index of [`DETECTORS`].
pub const BRUTE_FORCE: u16 = 9;
/// Index of [`DETECTORS`].
pub const DNS_TUNNEL: u16 = 10;
/// Index of [`DETECTORS`].
pub const ICMP_TUNNEL: u16 = 11;
/// Index of [`DETECTORS`].
pub const P2P: u16 = 12;
/// Index of [`DETECTORS`].
pub const VPN_TOR: u16 = 13;
/// Index of [`DETECTORS`].
pub const PROXY_TUNNEL: u16 = 14;
/// Index of [`DETECTORS`].
pub const WRONG_PORT: u16 = 15;
/// Index of [`DETECTORS`].
pub const DGA: u16 = 16;
/// Index of [`DETECTORS`].
pub const REQUEST_FLOOD: u16 = 17;
/// Index of [`DETECTORS`].
pub const SLOW_HTTP: u16 = 18;
/// Index of [`DETECTORS`].
pub const WORM_SCAN: u16 = 19;
/// Index of [`DETECTORS`].
pub const PASSWORD_SPRAY: u16 = 20;
/// Index of [`DETECTORS`].
pub const BEACON: u16 = 21;
/// Index of [`DETECTORS`].
pub const ARP_SPOOF: u16 = 22;
/// Index of [`DETECTORS`].
pub const ROGUE_SERVER: u16 = 23;
/// Index of [`DETECTORS`].
pub const SPOOFED: u16 = 24;
/// Index of [`DETECTORS`].
pub const SESSION_EXHAUSTION: u16 = 25;
/// Index of [`DETECTORS`].
pub const SUCCESSIVE_CLICKS: u16 = 26;
/// Index of [`DETECTORS`].
pub const EXFILTRATION: u16 = 27;
/// Index of [`DETECTORS`].
pub const IRC_BOT: u16 = 28;
/// Index of [`DETECTORS`].
pub const STORM: u16 = 29;
/// Index of [`DETECTORS`].
pub const POLICY: u16 = 30;
/// Index of [`DETECTORS`].
pub const QUEUE_STALL: u16 = 31;
/// Index of [`DETECTORS`].
pub const SERVICE_TROUBLE: u16 = 32;
/// Index of [`DETECTORS`].
pub const REFLECTOR: u16 = 33;

/// Index of [`DETECTORS`].
pub const SERVICE_IMPAIRED: u16 = 34;

/// All detectors.
pub static DETECTORS: &[DetectorInfo] = &[
    DetectorInfo {
        name: "syn_flood",
        sid: 1,
        message: "SEKISHO SYN flood: handshakes towards a service are not completed",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001", "T1499.001"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfUnproven(&[PORT_SCAN, HOST_SCAN, SERVICE_TROUBLE, SPOOFED]),
        duties: &[],
    },
    DetectorInfo {
        name: "port_scan",
        sid: 8,
        message: "SEKISHO port scan: a host tries services it does not use",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1595.001", "T1046"],
        family: Family::Scan,
        by_victim: false,
        hides: Hides::OfAttacker(&[ARP_SCAN, WRONG_PORT]),
        duties: &[HostRole::Scanner, HostRole::Monitor],
    },
    DetectorInfo {
        name: "udp_flood",
        sid: 2,
        message: "SEKISHO UDP flood: datagrams towards a host without answers",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfUnproven(&[PORT_SCAN, HOST_SCAN, SERVICE_TROUBLE, SPOOFED]),
        duties: &[],
    },
    DetectorInfo {
        name: "icmp_flood",
        sid: 3,
        message: "SEKISHO ICMP flood: more echo requests than a host is asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfUnproven(&[PORT_SCAN, HOST_SCAN, SERVICE_TROUBLE, SPOOFED]),
        duties: &[],
    },
    DetectorInfo {
        name: "smurf",
        sid: 4,
        message: "SEKISHO Smurf: echo replies from many hosts that nobody asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfVictim(&[ICMP_FLOOD]),
        duties: &[],
    },
    DetectorInfo {
        name: "amplification",
        sid: 5,
        message: "SEKISHO amplification: answers of known amplifiers that nobody asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfUnproven(&[PORT_SCAN, HOST_SCAN, SERVICE_TROUBLE, SPOOFED]),
        duties: &[],
    },
    DetectorInfo {
        name: "tcp_flood",
        sid: 6,
        message: "SEKISHO TCP flood: segments or answers of many hosts that belong to no connection",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
        family: Family::Flood,
        by_victim: true,
        hides: Hides::OfUnproven(&[PORT_SCAN, HOST_SCAN, SERVICE_TROUBLE, SPOOFED]),
        duties: &[],
    },
    DetectorInfo {
        name: "host_scan",
        sid: 9,
        message: "SEKISHO host scan: a host pings addresses that do not answer",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1595.001", "T1018"],
        family: Family::Scan,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Scanner, HostRole::Monitor],
    },
    DetectorInfo {
        name: "arp_scan",
        sid: 10,
        message: "SEKISHO ARP scan: a host asks for a whole segment",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1018"],
        family: Family::Scan,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Scanner, HostRole::Monitor],
    },
    DetectorInfo {
        name: "brute_force",
        sid: 11,
        message: "SEKISHO password guessing: logins are tried over and over",
        category: "Unauthorized access by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1110.001"],
        family: Family::Guessing,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "dns_tunnel",
        sid: 13,
        message: "SEKISHO DNS tunnel: names carry data",
        category: "Tunnel by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1071.004", "T1048.003"],
        family: Family::Leak,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Resolver, HostRole::Mail],
    },
    DetectorInfo {
        name: "icmp_tunnel",
        sid: 14,
        message: "SEKISHO ICMP tunnel: echo replies differ from their requests",
        category: "Tunnel by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1095", "T1048"],
        family: Family::Leak,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "p2p",
        sid: 12,
        message: "SEKISHO P2P: a host takes part in a peer-to-peer network",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1090"],
        family: Family::Use,
        by_victim: false,
        hides: Hides::OfAttacker(&[PORT_SCAN, HOST_SCAN, WRONG_PORT]),
        duties: &[],
    },
    DetectorInfo {
        name: "vpn_tor",
        sid: 16,
        message: "SEKISHO VPN or Tor: a host opens a tunnel",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1572", "T1090.003"],
        family: Family::Use,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "proxy_tunnel",
        sid: 15,
        message: "SEKISHO proxy: a host has its traffic carried by another",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1090"],
        family: Family::Use,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "wrong_port",
        sid: 18,
        message: "SEKISHO wrong port: a protocol on the port of another",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1571"],
        family: Family::Use,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "dga",
        sid: 19,
        message: "SEKISHO invented names: a host asks for many domains that do not exist",
        category: "Malware by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1568.002"],
        family: Family::Control,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Resolver, HostRole::Mail],
    },
    DetectorInfo {
        name: "request_flood",
        sid: 20,
        message: "SEKISHO request flood: one client hammers a web server",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.003"],
        family: Family::Load,
        by_victim: false,
        hides: Hides::OfAttacker(&[SUCCESSIVE_CLICKS]),
        duties: &[HostRole::Proxy, HostRole::Monitor],
    },
    DetectorInfo {
        name: "slow_http",
        sid: 21,
        message: "SEKISHO slow HTTP: one client holds many requests open",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.001"],
        family: Family::Load,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Proxy, HostRole::Monitor],
    },
    DetectorInfo {
        name: "worm_scan",
        sid: 22,
        message: "SEKISHO worm: one of our hosts tries the same service on hosts it never talked to",
        category: "Malware by behaviour",
        phenomenon: Phenomenon::UnauthorizedAccess,
        threats: &[Threat::BusinessStoppage, Threat::InformationLeak],
        techniques: &["T1210", "T1046", "T1021.002"],
        family: Family::Scan,
        by_victim: false,
        hides: Hides::OfAttacker(&[PORT_SCAN, HOST_SCAN, ARP_SCAN, BRUTE_FORCE, PASSWORD_SPRAY]),
        duties: &[HostRole::Scanner, HostRole::Monitor],
    },
    DetectorInfo {
        name: "password_spray",
        sid: 23,
        message: "SEKISHO password spraying: a few passwords are tried for many accounts, or by many sources",
        category: "Unauthorized access by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1110.003", "T1110.004"],
        family: Family::Guessing,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "beacon",
        sid: 24,
        message: "SEKISHO beacon: one of our hosts calls an unusual place at a steady period",
        category: "Malware by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1071", "T1573", "T1008"],
        family: Family::Control,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Monitor, HostRole::Resolver],
    },
    DetectorInfo {
        name: "arp_spoof",
        sid: 25,
        message: "SEKISHO ARP spoofing: a host claims the address of another",
        category: "Unauthorized access by behaviour",
        phenomenon: Phenomenon::UnauthorizedAccess,
        threats: &[Threat::BusinessStoppage, Threat::InformationLeak],
        techniques: &["T1557.002"],
        family: Family::Forgery,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "rogue_server",
        sid: 26,
        message: "SEKISHO rogue server: a DHCP, router or DNS server that nobody put there",
        category: "Unauthorized access by behaviour",
        phenomenon: Phenomenon::UnauthorizedAccess,
        threats: &[Threat::BusinessStoppage, Threat::InformationLeak],
        techniques: &["T1557.003", "T1584.002"],
        family: Family::Forgery,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "spoofed",
        sid: 27,
        message: "SEKISHO spoofed source: packets with a source that cannot be",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001"],
        family: Family::Forgery,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "session_exhaustion",
        sid: 28,
        message: "SEKISHO session exhaustion: connections of a service are used up",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.002"],
        family: Family::Load,
        by_victim: true,
        hides: Hides::Nothing,
        duties: &[HostRole::Proxy, HostRole::Monitor],
    },
    DetectorInfo {
        name: "successive_clicks",
        sid: 29,
        message: "SEKISHO successive clicks: one visitor hammers reload",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.003"],
        family: Family::Load,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Proxy, HostRole::Monitor],
    },
    DetectorInfo {
        name: "exfiltration",
        sid: 30,
        message: "SEKISHO data leaving: a host sends far more outside than it ever does",
        category: "Information leak by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1048", "T1567"],
        family: Family::Leak,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[HostRole::Backup, HostRole::Mail],
    },
    DetectorInfo {
        name: "irc_bot",
        sid: 31,
        message: "SEKISHO IRC bot: an IRC session that no person holds",
        category: "Malware by behaviour",
        phenomenon: Phenomenon::UnauthorizedAccess,
        threats: &[Threat::InformationLeak, Threat::BusinessStoppage],
        techniques: &["T1071", "T1102"],
        family: Family::Control,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "storm",
        sid: 32,
        message: "SEKISHO storm: a link is busy with broadcasts or loops",
        category: "Device trouble by behaviour",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498"],
        family: Family::Trouble,
        by_victim: true,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "policy",
        sid: 33,
        message: "SEKISHO policy: a contract of the segment is broken",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1552", "T1133", "T1021"],
        family: Family::Use,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "queue_stall",
        sid: 34,
        message: "SEKISHO queue stall: requests pile up unanswered behind a few users",
        category: "Device trouble by behaviour",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.003"],
        family: Family::Trouble,
        by_victim: true,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "service_trouble",
        sid: 35,
        message: "SEKISHO service trouble: what worked no longer does, without an attacker",
        category: "Device trouble by behaviour",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: true,
        hides: Hides::OfVictim(&[QUEUE_STALL]),
        duties: &[],
    },
    DetectorInfo {
        name: "reflector",
        sid: 36,
        message: "SEKISHO reflector: a server of ours answers forged questions",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::OperationAccident,
        threats: &[Threat::BusinessStoppage, Threat::InformationLeak],
        techniques: &["T1498.002"],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "service_impaired",
        sid: 106,
        message: "SEKISHO service impaired: clients of a declared service are not served as they should be",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: true,
        hides: Hides::Nothing,
        duties: &[],
    },
    // What pipeline::health says: no detector looks at traffic for these.
    DetectorInfo {
        name: "link_down",
        sid: 100,
        message: "SEKISHO link down: an interface of the sensor has no carrier",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "packets_lost",
        sid: 101,
        message: "SEKISHO packets lost: more than the limit were not inspected",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "worker_lost",
        sid: 102,
        message: "SEKISHO worker lost: a part of the analysis was started anew",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "capture_stalled",
        sid: 103,
        message: "SEKISHO capture stands still: an interface is not looked at",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "service_down",
        sid: 104,
        message: "SEKISHO service down: a declared service does not answer",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
    DetectorInfo {
        name: "memory_full",
        sid: 105,
        message: "SEKISHO memory full: flows or their bytes find no room, and go by the exception policy",
        category: "Device trouble",
        phenomenon: Phenomenon::DeviceTrouble,
        threats: &[Threat::BusinessStoppage],
        techniques: &[],
        family: Family::Trouble,
        by_victim: false,
        hides: Hides::Nothing,
        duties: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_detector_has_a_name_and_number_of_its_own() {
        for (i, one) in DETECTORS.iter().enumerate() {
            for other in DETECTORS.iter().skip(i + 1) {
                assert!(
                    one.name != other.name && one.sid != other.sid,
                    "{}",
                    one.name
                );
            }
        }
        assert_eq!(DETECTORS[usize::from(SLOW_HTTP)].name, "slow_http");
        assert_eq!(DETECTORS[usize::from(P2P)].name, "p2p");
        assert_eq!(DETECTORS[usize::from(REFLECTOR)].name, "reflector");
        assert_eq!(
            DETECTORS[usize::from(SERVICE_IMPAIRED)].name,
            "service_impaired"
        );
        assert_eq!(DETECTORS[usize::from(IRC_BOT)].name, "irc_bot");
        let engine = AnomalyEngine::new(
            &AnomalySettings::default(),
            Box::new(place::Undeclared::default()),
        );
        let watched: Vec<&str> = engine.bounds().iter().map(|b| b.what).collect();
        // From 100 on the sensor speaks of itself, which no engine watches.
        for info in DETECTORS.iter().filter(|info| info.sid < 100) {
            assert!(
                watched.contains(&info.name),
                "{} is not in the engine",
                info.name
            );
        }
        let total: u64 = engine.bounds().iter().map(|b| b.bytes).sum();
        for bound in engine.bounds() {
            println!(
                "{:>20} {:>9.2} MiB",
                bound.what,
                bound.bytes as f64 / (1 << 20) as f64
            );
        }
        println!("{:>20} {:>9.2} MiB", "all", total as f64 / (1 << 20) as f64);
    }
}
