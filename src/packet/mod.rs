//! Plain data that every stage shares: time, frames, decoded packets, flow keys, directions.
//!
//! Nothing here allocates per packet. A [`Layers`] is what decoding found in a frame (offsets and fields, no
//! reference); a [`Packet`] is a [`Layers`] together with the bytes it speaks of. Batches of layers travel over rings;
//! the bytes stay where capture put them ([`FrameBytes`]).

mod batch;
mod event;
mod key;
mod keyed;
mod layers;
mod time;

pub use batch::{Batch, FrameBytes, Lent, Slice};
pub use event::{DecodeEvent, EventSet};
pub use key::{FlowKey, Transport};
pub use keyed::{Keyed, choose as choose_hash_key, key as hash_key};
pub use layers::{Embedded, Layers, LinkType, Net, PacketOrigin, Tcp, TcpFlags, VLAN_MAX};
pub use time::Timestamp;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which way a packet, or the data it carries, goes in its flow.
///
/// The client is who sent the first packet seen (corrected by the handshake where it shows otherwise).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
pub enum Direction {
    /// From the client.
    ToServer = 0,
    /// From the server.
    ToClient = 1,
}

impl Direction {
    /// The other one.
    pub const fn reverse(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }

    /// 0 to the server, 1 to the client: for arrays of two.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A decoded packet: the bytes of its frame, and what decoding found in them.
///
/// Cheap to copy (two pointers and a length). Accessors never panic: an offset beyond the frame gives an empty slice.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// All captured bytes from the link layer on (for a reassembled or decapsulated packet: from its first header on).
    pub frame: &'a [u8],
    /// What decoding found.
    pub layers: &'a Layers,
}

impl<'a> std::ops::Deref for Packet<'a> {
    type Target = Layers;
    #[inline]
    fn deref(&self) -> &Layers {
        self.layers
    }
}

impl<'a> Packet<'a> {
    /// The bytes above the transport header (TCP, UDP, ICMP, SCTP, or above IP for other protocols).
    pub fn payload(&self) -> &'a [u8] {
        self.cut(self.layers.payload_offset, self.layers.payload_len)
    }

    /// The network header with its options (IPv6: with extension headers).
    pub fn network_header(&self) -> &'a [u8] {
        self.cut(self.layers.network_offset, self.layers.network_header_len)
    }

    /// The transport header with its options.
    pub fn transport_header(&self) -> &'a [u8] {
        let len = self
            .layers
            .payload_offset
            .saturating_sub(self.layers.transport_offset);
        self.cut(self.layers.transport_offset, len)
    }

    /// For ICMP errors: the flow of the packet they quote, as that packet wrote it.
    pub fn embedded_key(&self) -> Option<FlowKey> {
        let embedded = self.layers.embedded?;
        let ip = self.frame.get(embedded.offset as usize..)?;
        let (src, dst) = match ip.first()? >> 4 {
            4 => (
                IpAddr::from(*ip.get(12..)?.first_chunk::<4>()?),
                IpAddr::from(*ip.get(16..)?.first_chunk::<4>()?),
            ),
            6 => (
                IpAddr::from(*ip.get(8..)?.first_chunk::<16>()?),
                IpAddr::from(*ip.get(24..)?.first_chunk::<16>()?),
            ),
            _ => return None,
        };
        let Embedded {
            proto,
            sport,
            dport,
            ..
        } = embedded;
        Some(FlowKey {
            src,
            dst,
            sport,
            dport,
            proto,
            vlan: self.layers.vlan,
            wire: self.layers.wire,
        })
    }

    fn cut(&self, offset: u32, len: u32) -> &'a [u8] {
        let rest = self.frame.get(offset as usize..).unwrap_or_default();
        rest.get(..len as usize).unwrap_or(rest)
    }
}
