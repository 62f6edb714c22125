//! What a rule asks of a packet.

use serde::{Deserialize, Serialize};

use super::tx::NumberTest;
use crate::packet::DecodeEvent;
use crate::rules::country::CountryTest;
use crate::rules::reputation::ReputationTest;

/// A test on the packet's headers.
#[derive(Clone, Debug, PartialEq)]
pub enum PacketTest {
    /// TCP flags: the tested flags, the mode, the flags to ignore.
    TcpFlags {
        /// Flags in `TcpFlags` bits.
        flags: u8,
        /// `+` all of them and maybe others, `*` any, `!` not these, none: exactly.
        mode: FlagMode,
        /// Bits left out of the comparison.
        ignore: u8,
    },
    /// `ttl` / hop limit.
    Ttl(Compare),
    /// `tos`.
    Tos(Compare),
    /// `id`.
    IpId(Compare),
    /// `ip_proto` (also `ip_proto:!6`).
    IpProto(Compare),
    /// `ipopts`: option number; `None` = any option.
    IpOption(Option<u8>),
    /// `sameip`.
    SameIp,
    /// `fragbits`: bits (1 = MF, 2 = DF, 4 = reserved) and mode.
    FragBits {
        /// Bits.
        bits: u8,
        /// Mode as in TCP flags.
        mode: FlagMode,
    },
    /// `fragoffset`, in 8-byte units.
    FragOffset(Compare),
    /// `itype`.
    IcmpType(Compare),
    /// `icode`.
    IcmpCode(Compare),
    /// `icmp_id`.
    IcmpId(u16),
    /// `icmp_seq`.
    IcmpSeq(u16),
    /// `icmpv6.mtu`.
    Icmpv6Mtu(Compare),
    /// `seq`, relative to the stream's start when a stream exists, as Suricata compares the raw number.
    TcpSeq(Compare),
    /// `ack`.
    TcpAck(Compare),
    /// `tcp.flags` as a number.
    TcpFlagsNumber(Compare),
    /// `window`.
    TcpWindow(Compare),
    /// `tcp.mss`.
    TcpMss(Compare),
    /// `tcp.wscale`.
    TcpWscale(Compare),
    /// `dsize`.
    PayloadSize(Compare),
    /// `decode-event` and `stream-event`.
    Event(DecodeEvent),
    /// Checksum validity (`tcpv4-csum:invalid` …): protocol and whether it must be valid.
    Checksum {
        /// Which checksum.
        of: ChecksumOf,
        /// Valid or invalid wanted.
        valid: bool,
    },
    /// `vlan.id`: the tags from the outside to the inside.
    VlanId(NumberTest),
    /// `l3_proto`: 4 or 6.
    IpVersion(u8),
    /// `rpc`: a call of ONC RPC (RFC 5531 §9); `None`: any.
    RpcCall {
        /// Program.
        program: u32,
        /// Its version.
        version: Option<u32>,
        /// Procedure.
        procedure: Option<u32>,
    },
    /// Number of VLAN tags.
    VlanLayers(Compare),
    /// SCTP: number of chunks, verification tag, a chunk type present, …
    Sctp(SctpTest),
    /// `igmp.type`.
    IgmpType(Compare),
    /// `iprep`: a score of one of the ends.
    Reputation(ReputationTest),
    /// `geoip`: the country of one of the ends.
    Country(CountryTest),
    /// Fixed outcomes.
    Never,
}

/// Which checksum a test asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumOf {
    /// IPv4 header.
    Ipv4,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP over IPv4.
    UdpV4,
    /// UDP over IPv6.
    UdpV6,
    /// ICMP.
    IcmpV4,
    /// ICMPv6.
    IcmpV6,
    /// IGMP.
    Igmp,
}

/// Tests on SCTP.
#[derive(Clone, Debug, PartialEq)]
pub enum SctpTest {
    /// `sctp.chunk_cnt`
    ChunkCount(Compare),
    /// `sctp.vtag`
    VerificationTag(Compare),
    /// `sctp.chunk_type`: one chunk satisfies it.
    ChunkType(Compare),
}

/// How a set of flags is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlagMode {
    /// Exactly these.
    #[default]
    Exact,
    /// All of these, others may be.
    All,
    /// One of these.
    Any,
    /// None of these… (`!`): not all of these.
    Not,
}

/// Comparison of a number with one or two others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// `n`
    Equal(u64),
    /// `!n`
    NotEqual(u64),
    /// `<n`
    Less(u64),
    /// `<=n`
    LessOrEqual(u64),
    /// `>n`
    Greater(u64),
    /// `>=n`
    GreaterOrEqual(u64),
    /// `a<>b` / `a-b`; whether the ends belong to it depends on the keyword and is already applied: inclusive here.
    Between(u64, u64),
    /// Not in that range.
    Outside(u64, u64),
    /// `&mask`, `&mask=value`.
    Masked {
        /// Bits looked at.
        mask: u64,
        /// Value they must have.
        value: u64,
        /// Whether they must not.
        negate: bool,
    },
}

impl Compare {
    /// Whether `value` satisfies it.
    pub fn test(self, value: u64) -> bool {
        match self {
            Self::Equal(n) => value == n,
            Self::NotEqual(n) => value != n,
            Self::Less(n) => value < n,
            Self::LessOrEqual(n) => value <= n,
            Self::Greater(n) => value > n,
            Self::GreaterOrEqual(n) => value >= n,
            Self::Between(a, b) => (a..=b).contains(&value),
            Self::Outside(a, b) => !(a..=b).contains(&value),
            Self::Masked {
                mask,
                value: want,
                negate,
            } => (value & mask == want) != negate,
        }
    }
}
