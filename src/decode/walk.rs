//! The state of one walk down the headers of one packet, and what every header does the same way.

use std::net::IpAddr;

use crate::packet::{DecodeEvent, Layers, LinkType, PacketOrigin};

use super::checksum::Monitor;
use super::defrag::Fragment;
use super::{
    DecodeSettings, DecodeStats, arp, chdlc, erspan, ethernet, ipv4, ipv6, null, ppp, pppoe, raw,
    sll, vlan,
};

/// A header refused its bytes. Where they are the inside of a tunnel, there is no inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Whether a header and those above it took their bytes.
pub(super) type Decoded = Result<(), Refused>;

/// What is left of a frame, from an offset on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Offset in the frame.
    pub at: u32,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl<'a> Part<'a> {
    /// Without its first `len` bytes.
    #[inline]
    pub fn skip(self, len: usize) -> Option<Self> {
        Some(Self {
            at: self.at.checked_add(u32::try_from(len).ok()?)?,
            bytes: self.bytes.get(len..)?,
        })
    }

    /// At most its first `len` bytes.
    #[inline]
    pub fn limit(self, len: usize) -> Self {
        Self {
            bytes: self.bytes.get(..len).unwrap_or(self.bytes),
            ..self
        }
    }

    /// Number of bytes.
    #[inline]
    pub fn len(self) -> u32 {
        u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// The big-endian number of 16 bits at an offset.
    #[inline]
    pub fn u16(self, offset: usize) -> Option<u16> {
        self.bytes
            .get(offset..)?
            .first_chunk()
            .map(|b| u16::from_be_bytes(*b))
    }

    /// The byte at an offset.
    #[inline]
    pub fn u8(self, offset: usize) -> Option<u8> {
        self.bytes.get(offset).copied()
    }
}

/// With which header a packet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    Ethernet,
    Vlan,
    Arp,
    Ipv4,
    Ipv6,
    RawIp,
    Ppp,
    PppoeSession,
    Null,
    Loop,
    Chdlc,
    Sll,
    Sll2,
    ErspanI,
    ErspanII,
    Unknown,
}

impl Begin {
    /// How frames of a link layer begin.
    #[inline]
    pub fn of_link(link: LinkType) -> Self {
        match link {
            LinkType::ETHERNET => Self::Ethernet,
            LinkType::RAW
            | LinkType::RAW_BSD
            | LinkType::RAW_OPENBSD
            | LinkType::IPV4
            | LinkType::IPV6 => Self::RawIp,
            LinkType::NULL => Self::Null,
            LinkType::LOOP => Self::Loop,
            LinkType::PPP | LinkType::PPP_HDLC => Self::Ppp,
            LinkType::PPP_ETHER => Self::PppoeSession,
            LinkType::CHDLC => Self::Chdlc,
            LinkType::LINUX_SLL => Self::Sll,
            LinkType::LINUX_SLL2 => Self::Sll2,
            _ => Self::Unknown,
        }
    }

    /// The link layer of a packet found inside another.
    pub fn link(self) -> LinkType {
        match self {
            Self::Ethernet | Self::ErspanI | Self::ErspanII => LinkType::ETHERNET,
            Self::Ppp => LinkType::PPP,
            _ => LinkType::RAW,
        }
    }
}

/// A packet found inside the one being decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inner {
    /// Offset in the frame.
    pub at: u32,
    /// Bytes.
    pub len: u32,
    /// Its first header.
    pub begin: Begin,
    /// EVE's `pkt_src`.
    pub origin: PacketOrigin,
    /// Whether anything invalid in it means that it is no packet.
    pub strict: bool,
}

/// One walk.
pub(super) struct Walk<'a> {
    /// The whole packet.
    pub frame: &'a [u8],
    /// What is found.
    pub layers: &'a mut Layers,
    /// Settings.
    pub settings: &'a DecodeSettings,
    /// Counters.
    pub stats: &'a mut DecodeStats,
    /// What checksums show.
    pub checksums: &'a mut Monitor,
    /// Whether checksums are checked in this packet.
    pub verify: bool,
    /// Headers decoded so far, with those of the packets around this one.
    pub decoded: u8,
    /// The packet found inside.
    pub inner: Option<Inner>,
    /// The fragment it is.
    pub fragment: Option<Fragment>,
}

impl Walk<'_> {
    /// Begins the walk.
    #[inline]
    pub fn begin(&mut self, begin: Begin, part: Part<'_>) -> Decoded {
        match begin {
            Begin::Ethernet => ethernet::decode(self, part),
            Begin::Vlan => vlan::decode(self, part),
            Begin::Arp => arp::decode(self, part),
            Begin::Ipv4 => ipv4::decode(self, part),
            Begin::Ipv6 => ipv6::decode(self, part),
            Begin::RawIp => raw::decode(self, part),
            Begin::Ppp => ppp::decode(self, part),
            Begin::PppoeSession => pppoe::session(self, part),
            Begin::Null => null::decode(self, part),
            Begin::Loop => null::decode_loop(self, part),
            Begin::Chdlc => chdlc::decode(self, part),
            Begin::Sll => sll::decode(self, part),
            Begin::Sll2 => sll::decode_v2(self, part),
            Begin::ErspanI => erspan::type_i(self, part),
            Begin::ErspanII => erspan::type_ii(self, part),
            Begin::Unknown => {
                self.event(DecodeEvent::ETHERNET_UNKNOWN_ETHERTYPE);
                Err(Refused)
            }
        }
    }

    /// Notes something wrong that does not end decoding.
    #[cold]
    pub fn event(&mut self, event: DecodeEvent) {
        self.layers.events.insert(event);
    }

    /// Notes something that makes the packet invalid.
    #[cold]
    pub fn invalid(&mut self, event: DecodeEvent) {
        self.layers.invalid = true;
        self.layers.events.insert(event);
    }

    /// Notes something that makes the packet invalid, and refuses the bytes.
    #[cold]
    pub fn refuse(&mut self, event: DecodeEvent) -> Decoded {
        self.invalid(event);
        Err(Refused)
    }

    /// Counts a header; refuses when there are too many.
    #[inline]
    pub fn layer(&mut self) -> Decoded {
        self.decoded = self.decoded.saturating_add(1);
        if self.decoded >= self.settings.layers_max {
            return self.refuse(DecodeEvent::TOO_MANY_LAYERS);
        }
        Ok(())
    }

    /// Says that `part` is a packet of its own. Answers whether there is room for it.
    pub fn tunnel(&mut self, part: Part<'_>, begin: Begin, origin: PacketOrigin) -> bool {
        if self.decoded.saturating_add(1) >= self.settings.layers_max {
            self.invalid(DecodeEvent::TOO_MANY_LAYERS);
            return false;
        }
        self.decoded = self.decoded.saturating_add(1);
        self.inner = Some(Inner {
            at: part.at,
            len: part.len(),
            begin,
            origin,
            strict: false,
        });
        true
    }

    /// Sets the payload.
    #[inline]
    pub fn payload(&mut self, part: Part<'_>) {
        self.layers.payload_offset = part.at;
        self.layers.payload_len = part.len();
    }
}

impl Walk<'_> {
    /// Sets the addresses, and the hash over them: the same for both directions.
    #[inline]
    pub fn addresses(&mut self, src: IpAddr, dst: IpAddr) {
        self.layers.src = src;
        self.layers.dst = dst;
        self.layers.hash = pair_hash(self.settings.seed, src, dst);
    }
}

/// Symmetric seeded hash of two addresses.
#[inline]
pub(super) fn pair_hash(seed: u64, a: IpAddr, b: IpAddr) -> u64 {
    let (a, b) = (address_hash(seed, a), address_hash(seed, b));
    multiply(a.wrapping_add(b) ^ (a ^ b).rotate_left(32), seed | 1)
}

#[inline]
fn address_hash(seed: u64, address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => multiply(seed ^ u64::from(v4.to_bits()), 0x9e37_79b9_7f4a_7c15),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            let low = multiply(seed ^ (bits as u64), 0x9e37_79b9_7f4a_7c15);
            multiply(low ^ ((bits >> 64) as u64), 0xd6e8_feb8_6659_fd93)
        }
    }
}

/// Both halves of the product, folded.
#[inline]
fn multiply(a: u64, b: u64) -> u64 {
    let product = u128::from(a ^ 0xa076_1d64_78bd_642f) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}
