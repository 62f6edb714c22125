//! What was decoded, counted: Suricata's `decoder.*` counters.

use crate::packet::{DecodeEvent, Layers, VLAN_MAX};

/// Counters of one decoder. Packets inside packets are counted too, except in `packets` and `bytes`.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the protocol whose headers it counts")]
pub struct DecodeStats {
    /// Frames.
    pub packets: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Packets with something invalid.
    pub invalid: u64,
    pub ethernet: u64,
    pub ethertype_unknown: u64,
    /// First, second and third tags.
    pub vlan: [u64; VLAN_MAX],
    pub arp: u64,
    pub mpls: u64,
    pub ppp: u64,
    pub pppoe: u64,
    pub sll: u64,
    pub null: u64,
    pub raw: u64,
    pub chdlc: u64,
    pub vntag: u64,
    pub etag: u64,
    pub nsh: u64,
    pub ipv4: u64,
    /// Of these, without a total length: taken as the rest of the frame.
    pub ipv4_offloaded: u64,
    pub ipv6: u64,
    pub tcp: u64,
    pub udp: u64,
    pub sctp: u64,
    pub esp: u64,
    pub icmpv4: u64,
    pub icmpv6: u64,
    pub igmp: u64,
    pub gre: u64,
    pub erspan: u64,
    pub vxlan: u64,
    pub geneve: u64,
    pub teredo: u64,
    pub ipv4_in_ipv4: u64,
    pub ipv6_in_ipv4: u64,
    pub ipv4_in_ipv6: u64,
    pub ipv6_in_ipv6: u64,
    /// Per event, by its number.
    pub events: [u64; DecodeEvent::NAMES.len()],
}

impl Default for DecodeStats {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            invalid: 0,
            ethernet: 0,
            ethertype_unknown: 0,
            vlan: [0; VLAN_MAX],
            arp: 0,
            mpls: 0,
            ppp: 0,
            pppoe: 0,
            sll: 0,
            null: 0,
            raw: 0,
            chdlc: 0,
            vntag: 0,
            etag: 0,
            nsh: 0,
            ipv4: 0,
            ipv4_offloaded: 0,
            ipv6: 0,
            tcp: 0,
            udp: 0,
            sctp: 0,
            esp: 0,
            icmpv4: 0,
            icmpv6: 0,
            igmp: 0,
            gre: 0,
            erspan: 0,
            vxlan: 0,
            geneve: 0,
            teredo: 0,
            ipv4_in_ipv4: 0,
            ipv6_in_ipv4: 0,
            ipv4_in_ipv6: 0,
            ipv6_in_ipv6: 0,
            events: [0; DecodeEvent::NAMES.len()],
        }
    }
}

impl DecodeStats {
    /// Counts what is wrong with a packet.
    #[cold]
    pub(super) fn note(&mut self, packet: &Layers) {
        self.invalid += u64::from(packet.invalid);
        for event in packet.events.iter() {
            if let Some(counter) = self.events.get_mut(usize::from(event.0)) {
                *counter += 1;
            }
        }
    }
}
