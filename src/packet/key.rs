//! What names a flow.

use std::net::{IpAddr, Ipv4Addr};

use super::Direction;

/// What carries the payload, as far as flows and rules tell it apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// None decoded (ARP, fragment, unknown ethertype, broken header).
    #[default]
    None,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP for IPv4.
    Icmp,
    /// ICMP for IPv6.
    Icmpv6,
    /// SCTP.
    Sctp,
    /// Another IP protocol, by number (IANA).
    Other(u8),
}

/// Source, destination and protocol of a packet, or client, server and protocol of a flow.
///
/// ICMP puts type and code into the ports (as Suricata does: source port = type, destination port = code of the
/// *first* packet), so that echo and its reply share a flow through [`crate::flow`]'s rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// Source (client).
    pub src: IpAddr,
    /// Destination (server).
    pub dst: IpAddr,
    /// Source port.
    pub sport: u16,
    /// Destination port.
    pub dport: u16,
    /// IP protocol number.
    pub proto: u8,
    /// VLAN ids (outermost first; 0 = none): the same addresses in two VLANs are two flows.
    pub vlan: [u16; super::VLAN_MAX],
    /// The wire it was seen on: what passes two places that the sensor watches is a flow at each.
    pub wire: u16,
}

impl Default for FlowKey {
    fn default() -> Self {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            src: none,
            dst: none,
            sport: 0,
            dport: 0,
            proto: 0,
            vlan: [0; super::VLAN_MAX],
            wire: 0,
        }
    }
}

impl FlowKey {
    /// With source and destination exchanged.
    pub fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            sport: self.dport,
            dport: self.sport,
            ..self
        }
    }

    /// As seen in `direction`, when this key is written client to server.
    pub fn in_direction(self, direction: Direction) -> Self {
        match direction {
            Direction::ToServer => self,
            Direction::ToClient => self.reversed(),
        }
    }
}
