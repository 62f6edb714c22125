//! What decoding finds in a frame.

use std::net::{IpAddr, Ipv4Addr};

use super::{EventSet, FlowKey, Slice, Timestamp, Transport};

/// VLAN tags kept per packet (802.1Q, 802.1ad; deeper ones are decoded and counted, as in Suricata).
pub const VLAN_MAX: usize = 3;

/// Link layer of a capture: libpcap's LINKTYPE numbers (tcpdump.org/linktypes.html).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback.
    pub const NULL: Self = Self(0);
    /// Ethernet.
    pub const ETHERNET: Self = Self(1);
    /// PPP.
    pub const PPP: Self = Self(9);
    /// Raw IP as some BSDs number it.
    pub const RAW_BSD: Self = Self(12);
    /// Raw IP as other systems number it.
    pub const RAW_OPENBSD: Self = Self(14);
    /// PPP over serial with HDLC framing.
    pub const PPP_HDLC: Self = Self(50);
    /// PPPoE session.
    pub const PPP_ETHER: Self = Self(51);
    /// Raw IP.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC.
    pub const CHDLC: Self = Self(104);
    /// OpenBSD loopback (network byte order).
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture.
    pub const LINUX_SLL: Self = Self(113);
    /// Raw IPv4.
    pub const IPV4: Self = Self(228);
    /// Raw IPv6.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

/// Where a packet comes from: EVE's `pkt_src`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PacketOrigin {
    /// The frame itself ("wire/pcap").
    #[default]
    Wire,
    /// Inside GRE.
    Gre,
    /// IPv4 in IPv4/IPv6.
    Ip4InIp,
    /// IPv6 in IPv4.
    Ip6InIp,
    /// Teredo (RFC 4380).
    Teredo,
    /// Reassembled from fragments.
    Defrag,
    /// Inside VXLAN.
    Vxlan,
    /// Inside GENEVE.
    Geneve,
    /// Inside ERSPAN.
    Erspan,
    /// Inside a VNTAG, ESP-null, PPPoE… (decapsulated in another way).
    Inner,
    /// Made by the sensor to inspect what a finished flow still holds ("stream (flow timeout)").
    FlowTimeout,
    /// Made to inspect what a living flow holds before its protocol changes ("stream (detect/log)").
    Flush,
}

impl PacketOrigin {
    /// Whether there is no such packet: it was made to look at what a flow holds.
    pub const fn is_made(self) -> bool {
        matches!(self, Self::FlowTimeout | Self::Flush)
    }

    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "wire/pcap",
            Self::Gre => "gre tunnel",
            Self::Ip4InIp => "ipv4 tunnel",
            Self::Ip6InIp => "ipv6 tunnel",
            Self::Teredo => "teredo tunnel",
            Self::Defrag => "defrag",
            Self::Vxlan => "vxlan encapsulation",
            Self::Geneve => "geneve encapsulation",
            Self::Erspan => "erspan tunnel",
            Self::Inner => "inner",
            Self::FlowTimeout => "stream (flow timeout)",
            Self::Flush => "stream (detect/log)",
        }
    }
}

/// The network layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Net {
    /// None decoded.
    #[default]
    None,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// ARP.
    Arp,
}

/// TCP header flags (RFC 9293 §3.1), as on the wire: bit 0 = FIN … bit 7 = CWR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;
    /// URG.
    pub const URG: u8 = 0x20;
    /// ECE.
    pub const ECE: u8 = 0x40;
    /// CWR.
    pub const CWR: u8 = 0x80;

    /// Whether all of `bits` are set.
    pub const fn has(self, bits: u8) -> bool {
        self.0 & bits == bits
    }
}

/// Fields of a TCP header, in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: TcpFlags,
    /// The four reserved bits (low nibble).
    pub reserved: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Maximum segment size option (kind 2).
    pub mss: Option<u16>,
    /// Window scale option (kind 3), 0..=14.
    pub wscale: Option<u8>,
    /// SACK permitted (kind 4).
    pub sack_permitted: bool,
    /// Timestamp option (kind 8): value and echo reply.
    pub timestamps: Option<(u32, u32)>,
    /// TCP fast open cookie (kind 34) present, with its length.
    pub fast_open: Option<u8>,
    /// Number of SACK blocks (kind 5).
    pub sack_blocks: u8,
}

impl Tcp {
    /// All zero, no option.
    pub const EMPTY: Self = Self {
        seq: 0,
        ack: 0,
        flags: TcpFlags(0),
        reserved: 0,
        window: 0,
        urgent: 0,
        mss: None,
        wscale: None,
        sack_permitted: false,
        timestamps: None,
        fast_open: None,
        sack_blocks: 0,
    };
}

/// The packet that an ICMP error quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Embedded {
    /// Offset of its IP header in the frame of the error.
    pub offset: u32,
    /// Its protocol, when that is TCP, UDP or ICMP; 0 otherwise.
    pub proto: u8,
    /// Its source port (TCP and UDP, when quoted that far; else 0).
    pub sport: u16,
    /// Its destination port, likewise.
    pub dport: u16,
}

/// What decoding found in a frame: offsets from the frame's first byte, and the fields later stages read.
///
/// Lengths are as captured and bounded by the headers' own length fields (Ethernet padding is not payload).
#[derive(Clone, Debug)]
pub struct Layers {
    /// Where the bytes are.
    pub frame: Slice,
    /// Number of the frame in the capture, from 1 (`pcap_cnt`). Inner and reassembled packets carry the number of the
    /// frame that completed them.
    pub number: u64,
    /// When it was captured.
    pub ts: Timestamp,
    /// Input interface, an index into the source's list (segments are chosen by it).
    pub interface: u16,
    /// The wire: an interface, both halves of a tap, or both ports of an inline pair; 0 in a replay.
    pub wire: u16,
    /// Link layer of `frame` (for inner packets: [`LinkType::RAW`] when they begin with IP).
    pub link: LinkType,
    /// Where it comes from.
    pub origin: PacketOrigin,
    /// How deep in tunnels: 0 = as on the wire.
    pub depth: u8,
    /// VLAN ids, outermost first; valid up to `vlan_count` (at most [`VLAN_MAX`]).
    pub vlan: [u16; VLAN_MAX],
    /// Number of ids in `vlan`.
    pub vlan_count: u8,
    /// Offset of the Ethernet header, when there is one.
    pub ethernet_offset: Option<u32>,
    /// Ethertype of what follows the last tag.
    pub ethertype: u16,
    /// Network layer.
    pub net: Net,
    /// Offset of the IP or ARP header.
    pub network_offset: u32,
    /// Its length with options and extension headers, in bytes.
    pub network_header_len: u32,
    /// Source, for IP and ARP.
    pub src: IpAddr,
    /// Destination.
    pub dst: IpAddr,
    /// Protocol above IP, after extension headers (IANA number).
    pub ip_proto: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// IPv4 identification (of the fragment header in IPv6).
    pub ip_id: u32,
    /// Don't fragment, more fragments.
    pub ip_flags: u8,
    /// Fragment offset in bytes.
    pub fragment_offset: u16,
    /// Whether this packet is a fragment (and so has no decoded transport).
    pub fragment: bool,
    /// Options seen, one bit an option number (IPv4: bit = option number & 0x3f) for `ipopts`.
    pub ip_options: u64,
    /// What the payload rides on.
    pub transport: Transport,
    /// Offset of the transport header.
    pub transport_offset: u32,
    /// Offset of the payload.
    pub payload_offset: u32,
    /// Length of the payload, in bytes.
    pub payload_len: u32,
    /// Source port; ICMP: type.
    pub sport: u16,
    /// Destination port; ICMP: code.
    pub dport: u16,
    /// TCP fields, when `transport` is TCP.
    pub tcp: Tcp,
    /// ICMP identifier and sequence (echo and its kin).
    pub icmp_id: u16,
    /// See `icmp_id`.
    pub icmp_seq: u16,
    /// For ICMP errors: the packet they quote. [`super::Packet::embedded_key`] gives its flow.
    pub embedded: Option<Embedded>,
    /// Whether the transport's checksum (TCP, UDP, ICMP) is wrong; false when it was not checked.
    pub bad_checksum: bool,
    /// Whether the IPv4 header's checksum is wrong; false when it was not checked.
    pub bad_ip_checksum: bool,
    /// What is wrong with it.
    pub events: EventSet,
    /// Whether something in it is beyond what its protocol allows (Suricata's `PKT_IS_INVALID`). `net` and `transport`
    /// still say how far decoding came.
    pub invalid: bool,
    /// Whether it belongs to a flow: TCP, UDP, ICMP, SCTP, ESP and IP-in-IP do; fragments, GRE, IGMP, ARP, protocols
    /// without a decoder and broken headers do not.
    pub has_flow: bool,
    /// Whether its payload is inspected as a packet of its own (tunnel, fragments): then content is not looked for here.
    pub encapsulates: bool,
    /// Symmetric seeded hash of the addresses: the same for both directions. Chooses the worker.
    pub hash: u64,
}

impl Default for Layers {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Layers {
    /// Nothing found. A constant, so that a new packet is one copy and not a write a field.
    pub const EMPTY: Self = {
        let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Self {
            frame: Slice {
                start: 0,
                len: 0,
                extra: false,
            },
            number: 0,
            ts: Timestamp(0),
            interface: 0,
            wire: 0,
            link: LinkType::ETHERNET,
            origin: PacketOrigin::Wire,
            depth: 0,
            vlan: [0; VLAN_MAX],
            vlan_count: 0,
            ethernet_offset: None,
            ethertype: 0,
            net: Net::None,
            network_offset: 0,
            network_header_len: 0,
            src: none,
            dst: none,
            ip_proto: 0,
            ttl: 0,
            tos: 0,
            ip_id: 0,
            ip_flags: 0,
            fragment_offset: 0,
            fragment: false,
            ip_options: 0,
            transport: Transport::None,
            transport_offset: 0,
            payload_offset: 0,
            payload_len: 0,
            sport: 0,
            dport: 0,
            tcp: Tcp::EMPTY,
            icmp_id: 0,
            icmp_seq: 0,
            embedded: None,
            bad_checksum: false,
            bad_ip_checksum: false,
            events: EventSet::EMPTY,
            invalid: false,
            has_flow: false,
            encapsulates: false,
            hash: 0,
        }
    };

    /// Source to destination, as this packet writes it.
    pub fn key(&self) -> FlowKey {
        FlowKey {
            src: self.src,
            dst: self.dst,
            sport: self.sport,
            dport: self.dport,
            proto: self.ip_proto,
            vlan: self.vlan,
            wire: self.wire,
        }
    }

    /// Whether it carries IP (v4 or v6) that was decoded.
    pub fn is_ip(&self) -> bool {
        matches!(self.net, Net::V4 | Net::V6)
    }
}
