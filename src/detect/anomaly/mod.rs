//! Behaviour of hosts: small fixed records from the workers go in, findings come out. Never frames.
//!
//! Records of all workers are merged in packet order before a detector sees them, so that findings do not depend on the
//! number of workers. Time is the packets'. Memory is fixed at start.
//!
//! A detector is one file and one line in [`DETECTORS`].

mod brute_force;
mod detector;
mod dga;
pub mod dns_names;
mod dns_tunnel;
mod engine;
pub mod first_bytes;
mod flood;
mod host_scan;
mod http_load;
mod icmp_tunnel;
mod live;
#[cfg(test)]
mod models;
pub mod place;
mod port_scan;
pub mod record;
pub mod service_names;
mod sightings;
pub mod ssh_login;
mod syn_flood;
pub mod table;

pub use brute_force::BruteForceSettings;
pub use dga::DgaSettings;
pub use dns_tunnel::DnsTunnelSettings;
pub use engine::{AnomalyEngine, AnomalySettings, Report};
pub use first_bytes::FirstBytes;
pub use flood::FloodSettings;
pub use host_scan::HostScanSettings;
pub use http_load::{RequestFloodSettings, SlowHttpSettings};
pub use icmp_tunnel::IcmpTunnelSettings;
pub use port_scan::PortScanSettings;
pub use record::{HostRecord, RecordKind};
pub use sightings::SightingSettings;
pub use syn_flood::SynFloodSettings;

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
    },
    DetectorInfo {
        name: "port_scan",
        sid: 8,
        message: "SEKISHO port scan: a host tries services it does not use",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1595.001", "T1046"],
    },
    DetectorInfo {
        name: "udp_flood",
        sid: 2,
        message: "SEKISHO UDP flood: datagrams towards a host without answers",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001"],
    },
    DetectorInfo {
        name: "icmp_flood",
        sid: 3,
        message: "SEKISHO ICMP flood: more echo requests than a host is asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.001"],
    },
    DetectorInfo {
        name: "smurf",
        sid: 4,
        message: "SEKISHO Smurf: echo replies from many hosts that nobody asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
    },
    DetectorInfo {
        name: "amplification",
        sid: 5,
        message: "SEKISHO amplification: answers of known amplifiers that nobody asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
    },
    DetectorInfo {
        name: "tcp_flood",
        sid: 6,
        message: "SEKISHO TCP reflection: answers of many hosts that nobody asked for",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1498.002"],
    },
    DetectorInfo {
        name: "host_scan",
        sid: 9,
        message: "SEKISHO host scan: a host pings addresses that do not answer",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1595.001", "T1018"],
    },
    DetectorInfo {
        name: "arp_scan",
        sid: 10,
        message: "SEKISHO ARP scan: a host asks for a whole segment",
        category: "Reconnaissance by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1018"],
    },
    DetectorInfo {
        name: "brute_force",
        sid: 11,
        message: "SEKISHO password guessing: logins are tried over and over",
        category: "Unauthorized access by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1110.001"],
    },
    DetectorInfo {
        name: "dns_tunnel",
        sid: 13,
        message: "SEKISHO DNS tunnel: names carry data",
        category: "Tunnel by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1071.004", "T1048.003"],
    },
    DetectorInfo {
        name: "icmp_tunnel",
        sid: 14,
        message: "SEKISHO ICMP tunnel: echo replies differ from their requests",
        category: "Tunnel by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::InformationLeak],
        techniques: &["T1095", "T1048"],
    },
    DetectorInfo {
        name: "p2p",
        sid: 12,
        message: "SEKISHO P2P: a host takes part in a peer-to-peer network",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1090"],
    },
    DetectorInfo {
        name: "vpn_tor",
        sid: 16,
        message: "SEKISHO VPN or Tor: a host opens a tunnel",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1572", "T1090.003"],
    },
    DetectorInfo {
        name: "proxy_tunnel",
        sid: 15,
        message: "SEKISHO proxy: a host has its traffic carried by another",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1090"],
    },
    DetectorInfo {
        name: "wrong_port",
        sid: 18,
        message: "SEKISHO wrong port: a protocol on the port of another",
        category: "Policy violation by behaviour",
        phenomenon: Phenomenon::PolicyViolation,
        threats: &[Threat::MoralsCollapse],
        techniques: &["T1571"],
    },
    DetectorInfo {
        name: "dga",
        sid: 19,
        message: "SEKISHO invented names: a host asks for many domains that do not exist",
        category: "Malware by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::InformationLeak],
        techniques: &["T1568.002"],
    },
    DetectorInfo {
        name: "request_flood",
        sid: 20,
        message: "SEKISHO request flood: one client hammers a web server",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.003"],
    },
    DetectorInfo {
        name: "slow_http",
        sid: 21,
        message: "SEKISHO slow HTTP: one client holds many requests open",
        category: "Denial of service by behaviour",
        phenomenon: Phenomenon::SuspiciousAccess,
        threats: &[Threat::BusinessStoppage],
        techniques: &["T1499.001"],
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
    }
}
