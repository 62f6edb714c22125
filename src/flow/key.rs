//! Which packets belong together: the key a flow is filed under.
//!
//! Symmetric: both directions of a flow give the same key. ICMP pairs a query with its reply by type; an ICMPv4
//! "destination unreachable" belongs to the flow of the packet it quotes. Addresses, ports (or types), protocol,
//! VLAN ids, tunnel depth and the wire count; which port of a wire a packet came in by does not.

use std::net::IpAddr;

use crate::packet::{FlowKey, Packet, Transport, VLAN_MAX};

/// A flow's name, written the same for both directions: five words to hash and compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TableKey {
    low: u128,
    high: u128,
    /// Ports of both ends, protocol, tunnel depth, IP version.
    ends: u64,
    /// The wire and the VLAN ids.
    vlan: u64,
}

impl std::hash::Hash for TableKey {
    #[inline]
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u128(self.low);
        state.write_u128(self.high);
        state.write_u64(self.ends);
        state.write_u64(self.vlan);
    }
}

/// How a packet relates to flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    /// To no flow (fragments, ARP, broken or unknown transport).
    Nowhere,
    /// To this one, which it opens when it does not exist.
    Opens(TableKey),
    /// To this one, if it exists.
    Joins(TableKey),
}

impl Belongs {
    /// Of a packet.
    pub(super) fn of(packet: &Packet<'_>) -> Self {
        if !packet.has_flow || packet.fragment || !packet.is_ip() {
            return Self::Nowhere;
        }
        let key = packet.key();
        let of = |key: &FlowKey, sport, dport| TableKey::new(key, packet.depth, sport, dport);
        match packet.transport {
            Transport::Tcp | Transport::Udp | Transport::Sctp => {
                Self::Opens(of(&key, key.sport, key.dport))
            }
            Transport::Icmp => {
                let kind = packet.sport as u8;
                if let (3, Some(embedded)) = (kind, packet.embedded_key()) {
                    return Self::Joins(of(&embedded, embedded.sport, embedded.dport));
                }
                let counterpart = u16::from(icmp_counterpart(kind));
                let table_key = of(&key, u16::from(kind), counterpart);
                if is_icmp_error(packet) {
                    Self::Joins(table_key)
                } else {
                    Self::Opens(table_key)
                }
            }
            Transport::Icmpv6 => {
                let (kind, code) = (packet.sport as u8, packet.dport & 0xff);
                let counterpart = u16::from(icmpv6_counterpart(kind)) << 8;
                Self::Opens(of(&key, u16::from(kind) << 8 | code, counterpart))
            }
            Transport::Other(_) | Transport::None => {
                // IP in IP (4, 41) and ESP (50, told apart by its SPI, which decoding puts into the ports) make flows;
                // GRE, IGMP and whatever is not known do not.
                let opens = matches!(packet.ip_proto, 4 | 41 | 50);
                if opens {
                    Self::Opens(of(&key, key.sport, key.dport))
                } else {
                    Self::Nowhere
                }
            }
        }
    }
}

impl TableKey {
    /// Of a flow of TCP.
    pub(super) fn of(key: &FlowKey, depth: u8) -> Self {
        Self::new(key, depth, key.sport, key.dport)
    }

    #[inline]
    fn new(key: &FlowKey, depth: u8, sport: u16, dport: u16) -> Self {
        let (a, b) = ((bits(key.src), sport), (bits(key.dst), dport));
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        let kind =
            u64::from(key.proto) << 16 | u64::from(depth) << 8 | u64::from(key.src.is_ipv6());
        let ends = u64::from(low.1) << 48 | u64::from(high.1) << 32 | kind;
        let vlan = key
            .vlan
            .iter()
            .fold(u64::from(key.wire), |all, id| all << 16 | u64::from(*id));
        Self {
            low: low.0,
            high: high.0,
            ends,
            vlan,
        }
    }
}

const _: () = assert!(VLAN_MAX < 4, "three VLAN ids and the wire fill a word");

#[inline]
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Whether it is an ICMPv4 error message (RFC 1122 §3.2.2): those never open a flow and never count as an answer.
pub(super) fn is_icmp_error(packet: &Packet<'_>) -> bool {
    packet.transport == Transport::Icmp && matches!(packet.sport, 3 | 4 | 5 | 11 | 12)
}

/// The type that answers a query, or that it answers (RFC 792, RFC 950, RFC 1256); 0 for none.
fn icmp_counterpart(kind: u8) -> u8 {
    match kind {
        8 => 0,
        0 => 8,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        10 => 9,
        9 => 10,
        17 => 18,
        18 => 17,
        _ => 0,
    }
}

/// The same for ICMPv6 (IANA's ICMPv6 type numbers).
fn icmpv6_counterpart(kind: u8) -> u8 {
    match kind {
        128 => 129,
        129 => 128,
        135 => 136,
        136 => 135,
        133 => 134,
        134 => 133,
        130 => 131,
        131 => 130,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        146 => 147,
        147 => 146,
        148 => 149,
        149 => 148,
        151 => 152,
        152 => 151,
        157 => 158,
        158 => 157,
        _ => 0,
    }
}
