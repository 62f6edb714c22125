//! Signatures as data: what compiling rule text gives, and all that matching needs.
//!
//! ```text
//! Signature
//!  ├─ header: action, protocol, addresses, ports, direction
//!  ├─ flow conditions, packet tests (ttl, flags, itype …), flow tests (flowbits:isset, stream_size …)
//!  ├─ groups: per buffer an ordered list of tests (content, pcre, byte_test …) that share one cursor
//!  ├─ field tests (numbers and tests on transactions)
//!  └─ effects on a match: flowbits:set, flowint, xbits, tag …
//! ```

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::country::CountryTest;
use super::dataset::Dataset;
use super::reputation::ReputationTest;
use super::signatures::Signatures;
use crate::alert::{DatasetChange, XbitCondition};
use crate::app::{AppProto, Digests, Field, FieldTest};
use crate::packet::{DecodeEvent, Direction, Transport};

/// A signature's id.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Sid(pub u32);

/// What a rule does when it matches. Order of precedence: pass, drop, reject, alert (Suricata's action-order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Stop inspecting, no alert.
    Pass,
    /// Block and alert.
    Drop,
    /// Block, answer the source, alert. (`reject`, `rejectsrc`)
    RejectSource,
    /// Block, answer the destination, alert.
    RejectDestination,
    /// Block, answer both, alert.
    RejectBoth,
    /// Alert.
    Alert,
    /// Apply a configuration (`config` rules), no alert.
    Config,
}

/// What a blocking or passing action acts on, when the rule says so (`drop:packet`, `pass:flow`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionScope {
    /// The packet in hand.
    Packet,
    /// The whole flow.
    Flow,
}

/// A set of addresses: sorted, non-overlapping, inclusive ranges; negations already taken out. `any` is empty `ranges`
/// with `any` set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AddressSet {
    /// As the rule writes it; another segment resolves it with its own variables.
    pub text: Box<str>,
    /// Every address.
    pub any: bool,
    /// Whether a negation or a range `a-b` is in it, written in the rule or in a variable.
    pub carved: bool,
    /// IPv4 ranges.
    pub v4: Vec<(u32, u32)>,
    /// IPv6 ranges.
    pub v6: Vec<(u128, u128)>,
}

impl AddressSet {
    /// Whether it contains `address`.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.any {
            return true;
        }
        match address {
            IpAddr::V4(v4) => holds(&self.v4, u32::from(v4)),
            IpAddr::V6(v6) => holds(&self.v6, u128::from(v6)),
        }
    }

    /// Whether both hold the same addresses, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        self.any == other.any && self.v4 == other.v4 && self.v6 == other.v6
    }
}

/// A set of ports: sorted, non-overlapping, inclusive ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortSet {
    /// As the rule writes it; another segment resolves it with its own variables.
    pub text: Box<str>,
    /// Every port.
    pub any: bool,
    /// Ranges.
    pub ranges: Vec<(u16, u16)>,
}

impl PortSet {
    /// Whether it contains `port`.
    pub fn contains(&self, port: u16) -> bool {
        self.any || holds(&self.ranges, port)
    }

    /// Whether both hold the same ports, however they are written.
    pub fn same(&self, other: &Self) -> bool {
        self.any == other.any && self.ranges == other.ranges
    }
}

fn holds<T: PartialOrd + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let at = ranges.partition_point(|(first, _)| *first <= value);
    at.checked_sub(1)
        .and_then(|i| ranges.get(i))
        .is_some_and(|(_, last)| value <= *last)
}

/// Protocol of a rule's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderProto {
    /// Any IP packet (`ip`).
    Ip,
    /// `ipv4` / `ip4`.
    Ipv4,
    /// `ipv6` / `ip6`.
    Ipv6,
    /// Any packet at all, decoded or not (`pkthdr`).
    PacketHeader,
    /// Any Ethernet frame (`ether`).
    Ether,
    /// `arp`.
    Arp,
    /// `tcp`, `udp`, `icmp` (both versions), `icmpv4`, `icmpv6`, `sctp`.
    Transport(&'static [Transport]),
    /// Per packet only (`tcp-pkt`).
    TcpPacket,
    /// Reassembled stream only (`tcp-stream`).
    TcpStream,
    /// An application protocol by its registry name(s).
    App(Vec<AppProto>),
}

/// Where inspection of an application-layer rule is hooked (`http1:request_headers`, `tcp:flow_start`), if stated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The first packet of a flow.
    FlowStart,
    /// Every packet (`tcp:all`).
    All,
    /// A progress value of a direction of the protocol.
    Progress {
        /// Server-bound?
        to_server: bool,
        /// Index in `Protocol::states`.
        state: u8,
        /// Only transactions of this kind (`http2:stream:request_data`), one of `Protocol::kinds`.
        kind: Option<&'static str>,
    },
}

/// The `flow` option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowTest {
    /// `to_server` / `from_client`.
    pub to_server: bool,
    /// `to_client` / `from_server`.
    pub to_client: bool,
    /// `established`.
    pub established: bool,
    /// `not_established`.
    pub not_established: bool,
    /// `stateless`.
    pub stateless: bool,
    /// `only_stream`.
    pub only_stream: bool,
    /// `no_stream`.
    pub no_stream: bool,
    /// `only_frag`.
    pub only_frag: bool,
    /// `no_frag`.
    pub no_frag: bool,
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

/// A test on, or change of, state that the flow keeps. Tests are evaluated with the header; changes after a match.
#[derive(Clone, Debug, PartialEq)]
pub enum FlowStateOption {
    /// `flowbits:set`
    BitSet(u32),
    /// `flowbits:unset`
    BitUnset(u32),
    /// `flowbits:toggle`
    BitToggle(u32),
    /// `flowbits:isset,a|b`
    BitIsSet(Vec<u32>),
    /// `flowbits:isnotset,a|b`
    BitIsNotSet(Vec<u32>),
    /// `flowint:name,op,value`
    Int {
        /// Variable.
        variable: u32,
        /// Operation.
        operation: FlowIntOperation,
        /// Operand.
        operand: FlowIntOperand,
    },
    /// xbits, hostbits.
    Xbit(XbitCondition),
    /// `flowvar`, `pktvar`: what an expression captured contains these bytes (or not).
    VarContains {
        /// Of the flow or the packet.
        scope: CaptureScope,
        /// Its name.
        name: String,
        /// What to find.
        bytes: Vec<u8>,
        /// Must not be there.
        negate: bool,
    },
}

/// `flowint` operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowIntOperation {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `=`
    Assign,
    /// `==`, `!=`, `<`, `>`, `<=`, `>=`
    Test(IntCompare),
    /// `isset`
    IsSet,
    /// `isnotset` / `notset`
    IsNotSet,
}

/// Comparison of two variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntCompare {
    /// ==
    Equal,
    /// !=
    NotEqual,
    /// <
    Less,
    /// >
    Greater,
    /// <=
    LessOrEqual,
    /// >=
    GreaterOrEqual,
}

/// Right-hand side of a `flowint`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowIntOperand {
    /// A constant.
    Value(u32),
    /// Another variable.
    Variable(u32),
    /// None (`isset`).
    None,
}

/// Tests on the flow and stream outside the buffers.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamTest {
    /// `stream_size:dir,op,n`
    Size {
        /// `server`, `client`, `both`, `either`.
        side: StreamSide,
        /// Comparison of the bytes (sequence space) of that side.
        size: Compare,
    },
    /// `app-layer-protocol:[!]name[,side]`
    AppProtocol {
        /// Names meant (`unknown` and `failed` included).
        protos: Vec<AppProto>,
        /// Whether it must not be.
        negate: bool,
        /// Which identification: final, to server, to client, either, original.
        side: ProtocolSide,
    },
    /// `flow.pkts`, `flow.bytes`, `flow.age` …
    FlowCounter {
        /// Which.
        counter: FlowCounter,
        /// Wanted.
        value: Compare,
    },
    /// `flow.pkts:either`: one of two counters.
    FlowCounterEither {
        /// Which.
        counters: [FlowCounter; 2],
        /// Wanted.
        value: Compare,
    },
    /// Flow-wide `app-layer-event:applayer_…`.
    AppLayerEvent(&'static str),
    /// `tcp.session`: in one of these phases of a connection.
    TcpSession {
        /// Before it is established.
        setup: bool,
        /// Established, or after that.
        established: bool,
        /// Being closed, which is also established.
        closing: bool,
    },
}

/// Side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamSide {
    /// Server's bytes.
    Server,
    /// Client's bytes.
    Client,
    /// Both.
    Both,
    /// Either.
    Either,
}

/// Which identification `app-layer-protocol` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolSide {
    /// The flow's final one (or by the packet's direction).
    Final,
    /// By packet direction.
    Direction,
    /// To server.
    ToServer,
    /// To client.
    ToClient,
    /// Either.
    Either,
    /// Before a switch.
    Original,
}

/// Counters of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowCounter {
    /// Seconds since the first packet.
    Age,
    /// Packets to the server.
    PacketsToServer,
    /// Packets to the client.
    PacketsToClient,
    /// Packets in both directions.
    Packets,
    /// Bytes to the server.
    BytesToServer,
    /// Bytes to the client.
    BytesToClient,
    /// Bytes in both directions.
    Bytes,
}

/// The name of a keyword. (Under a name of its own, because what is read back never lies in what it is read from.)
type KeywordName = &'static str;

/// What a buffer is taken from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum BufferSource {
    /// Packet payload and, for stream-capable rules, the reassembled stream (contents without a sticky buffer).
    Payload,
    /// A header of the packet.
    Header(HeaderBuffer),
    /// A byte field of application protocols: the keyword's declaration by each protocol that has it.
    App {
        /// Keyword.
        #[serde(with = "super::stored::keyword_name")]
        name: KeywordName,
        /// Declarations.
        #[serde(with = "super::stored::fields")]
        fields: Vec<(AppProto, &'static Field)>,
    },
    /// What `base64_decode` of the same signature gave.
    Base64,
    /// A frame of a protocol (`frame:http1.request`).
    Frame {
        /// Protocol.
        proto: AppProto,
        /// Frame type.
        name: String,
    },
}

/// Headers of a packet as buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HeaderBuffer {
    /// `ether.hdr`
    Ether,
    /// `ipv4.hdr`
    Ipv4,
    /// `ipv6.hdr`
    Ipv6,
    /// `tcp.hdr`
    Tcp,
    /// `udp.hdr`
    Udp,
    /// `icmpv4.hdr`
    Icmpv4,
    /// `icmpv6.hdr`
    Icmpv6,
    /// `sctp.hdr`
    Sctp,
    /// `sctp.chunk_data`
    SctpChunkData,
    /// `arp` header
    Arp,
    /// `igmp.hdr`
    Igmp,
    /// `ip.src`: the source address, 4 or 16 bytes.
    SourceAddress,
    /// `ip.dst`: the destination address, 4 or 16 bytes.
    DestinationAddress,
}

/// A change of a buffer before it is inspected. Applied in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transform {
    /// Several white-space bytes become one space.
    CompressWhitespace,
    /// White space goes.
    StripWhitespace,
    /// Pseudo header lines go.
    StripPseudoHeaders,
    /// A dot is put in front.
    DotPrefix,
    /// Percent-decoding and `+`.
    UrlDecode,
    /// Exclusive or with a repeated key, from `offset` on (bytes before it stay).
    Xor {
        /// The key.
        key: XorKey,
        /// Where it begins.
        offset: u32,
    },
    /// Lower case.
    ToLowercase,
    /// Upper case.
    ToUppercase,
    /// Normalises header line endings: only the names, lower case (`header_lowercase`).
    HeaderLowercase,
    /// Registered domain / top-level domain of a host name.
    Domain,
    /// See `Domain`.
    Tld,
    /// Base64.
    FromBase64 {
        /// Bytes to take.
        bytes: Option<u32>,
        /// Where to begin.
        offset: u32,
        /// rfc4648, rfc2045, strict.
        mode: Base64Mode,
    },
    /// A digest as hex text… of the buffer, raw bytes.
    Md5,
    /// See `Md5`.
    Sha1,
    /// See `Md5`.
    Sha256,
    /// First capture group of an expression.
    PcreCapture(Arc<str>),
    /// Bytes of the buffer: `subslice`.
    Subslice {
        /// From (negative: from the end).
        offset: i32,
        /// Number of bytes (`None`: to the end; negative: so many before the end stay out).
        len: Option<i32>,
        /// Whether a range beyond the buffer gives what there is; otherwise it gives nothing.
        truncate: bool,
    },
    /// gunzip
    Gunzip {
        /// Most bytes out.
        max: u32,
    },
    /// zlib inflate
    ZlibDeflate {
        /// Most bytes out.
        max: u32,
    },
}

/// Key of the `xor` transform.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum XorKey {
    /// Written in the rule.
    Bytes(Vec<u8>),
    /// Taken from the buffer.
    Extract {
        /// Number of bytes.
        bytes: u8,
        /// Where.
        offset: u16,
    },
}

/// How base64 is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Base64Mode {
    /// RFC 4648: stops at the first invalid character.
    #[default]
    Rfc4648,
    /// RFC 2045: skips invalid characters.
    Rfc2045,
    /// All or nothing.
    Strict,
}

/// A buffer: a source and what is done to it. Shared by all signatures that name the same.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Buffer {
    /// Source.
    pub source: BufferSource,
    /// Changes.
    pub transforms: Vec<Transform>,
}

/// Index of a [`Buffer`] in [`RuleSet::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct BufferId(pub u16);

/// A number in a rule: written out, or read earlier from the traffic (`byte_extract`, `byte_math`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Number {
    /// Written out.
    Fixed(i64),
    /// Slot of the signature's variables.
    Variable(u8),
}

/// `content` with its modifiers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes to find, 1..=65535.
    pub bytes: Vec<u8>,
    /// Case-insensitive.
    pub nocase: bool,
    /// Must not be there.
    pub negate: bool,
    /// Absolute: start at or after.
    pub offset: Option<Number>,
    /// Absolute: must end within this many bytes counted from `offset`.
    pub depth: Option<Number>,
    /// Relative to the last match: start at or after (may be negative).
    pub distance: Option<Number>,
    /// Relative: must end within this many bytes of last match (+ distance).
    pub within: Option<Number>,
    /// `startswith`.
    pub starts: bool,
    /// `endswith`.
    pub ends: bool,
    /// Use this one for the fast pattern.
    pub fast_pattern: bool,
    /// `fast_pattern:only`.
    pub fast_pattern_only: bool,
    /// `fast_pattern:offset,len`.
    pub fast_pattern_chop: Option<(u16, u16)>,
    /// `rawbytes`-like and `noalert`-less flags that do not change matching are not kept.
    pub replace: Option<Vec<u8>>,
}

impl Content {
    /// Whether its position depends on the last match.
    pub fn relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// `pcre`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pcre {
    /// The expression between the slashes.
    pub expression: String,
    /// Option letters of the library: i s m x A E G U O (already checked).
    pub flags: String,
    /// `R`: relative to the last match.
    pub relative: bool,
    /// Must not match.
    pub negate: bool,
    /// Named captures into flow variables or alert (`flow:name`, `pkt:name`, `alert:name`).
    pub captures: Vec<(CaptureScope, String)>,
}

/// Where a capture goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CaptureScope {
    /// Flow variable.
    Flow,
    /// Packet variable.
    Packet,
    /// Alert metadata.
    Alert,
}

/// How bytes are read as a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteFormat {
    /// Text of digits instead of binary, in this base (8, 10, 16).
    pub string_base: Option<u8>,
    /// Little endian (binary only).
    pub little: bool,
    /// By the DCE/RPC header's own byte order.
    pub dce: bool,
}

/// Operators of `byte_test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByteOperator {
    /// =
    Equal,
    /// <
    Less,
    /// >
    Greater,
    /// <=
    LessOrEqual,
    /// >=
    GreaterOrEqual,
    /// & (any bit)
    And,
    /// ^ (xor non-zero)
    Xor,
}

/// Operators of `byte_math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MathOperator {
    /// +
    Add,
    /// -
    Subtract,
    /// *
    Multiply,
    /// /
    Divide,
    /// <<
    ShiftLeft,
    /// >>
    ShiftRight,
}

/// One step of inspecting a buffer. Steps run in order over a cursor (the end of the last match); relative steps that
/// fail make earlier contents look for their next occurrence (backtracking, bounded).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Test {
    /// `content`
    Content(Content),
    /// `pcre`
    Pcre(Pcre),
    /// `isdataat`
    IsDataAt {
        /// Position.
        at: Number,
        /// From the cursor.
        relative: bool,
        /// Must not be.
        negate: bool,
    },
    /// `byte_test`
    ByteTest {
        /// Bytes to read.
        bytes: Number,
        /// Comparison.
        operator: ByteOperator,
        /// Must not hold.
        negate: bool,
        /// Right-hand side.
        value: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// `bitmask`, with the shift by its trailing zeros.
        bitmask: Option<u64>,
    },
    /// `byte_jump`
    ByteJump {
        /// Bytes to read (0 only with `from_end`/`post_offset` forms).
        bytes: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Factor.
        multiplier: u32,
        /// Round up to four.
        align: bool,
        /// Count from the buffer's start.
        from_beginning: bool,
        /// Count from its end.
        from_end: bool,
        /// Added to the result.
        post_offset: Number,
        /// `bitmask`.
        bitmask: Option<u64>,
    },
    /// `byte_extract`
    ByteExtract {
        /// Bytes to read.
        bytes: u8,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Factor.
        multiplier: u32,
        /// Round up to 2 or 4 (0: not).
        align: u8,
        /// `bitmask`.
        bitmask: Option<u64>,
        /// Variable slot.
        into: u8,
    },
    /// `byte_math`
    ByteMath {
        /// Bytes to read.
        bytes: Number,
        /// Where.
        offset: Number,
        /// From the cursor.
        relative: bool,
        /// Format.
        format: ByteFormat,
        /// Operator.
        operator: MathOperator,
        /// Right-hand side.
        value: Number,
        /// `bitmask`.
        bitmask: Option<u64>,
        /// Variable slot.
        into: u8,
    },
    /// `base64_decode`: fills the signature's base64 buffer, which later groups inspect.
    Base64Decode {
        /// Bytes to take.
        bytes: Option<u32>,
        /// Where.
        offset: u32,
        /// From the cursor.
        relative: bool,
    },
    /// `bsize`
    BufferSize(Compare),
    /// `absent` (`or_else`: or the rest matches).
    Absent {
        /// `absent:or_else`.
        or_else: bool,
    },
    /// `entropy: value > 4.0, bytes 0, offset 0`; values times 1,000,000.
    Entropy {
        /// The buffer, as records name it.
        buffer: Arc<str>,
        /// Comparison of entropy in millionths of a bit per byte.
        value: Compare,
        /// Bytes to take (0: all).
        bytes: u32,
        /// Where.
        offset: u32,
    },
    /// `asn1` tests on the payload.
    Asn1(Asn1Test),
    /// `dsize`-like checks of `urilen` (`norm`/`raw` chose the buffer already).
    Length(Compare),
    /// `dataset`, `datarep` on the whole buffer. Its values are of another file, so it is not stored;
    /// last, because what is stored is numbered without it.
    #[serde(skip)]
    Dataset(DatasetTest),
}

/// What a rule asks of a set, or does to it.
#[derive(Clone, Debug)]
pub struct DatasetTest {
    /// The set.
    pub set: Arc<Dataset>,
    /// What.
    pub operation: DatasetOperation,
    /// Also look for the domains above a name.
    pub subdomain: bool,
    /// Name under which alerts show the object of a value.
    pub context: Option<Arc<str>>,
}

/// What a rule asks of a set, or does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatasetOperation {
    /// The set has the value, loses it, …
    Change(DatasetChange),
    /// The value's reputation (`datarep`).
    Reputation(Compare),
}

/// `asn1` options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asn1Test {
    /// `oversize_length`.
    pub oversize_length: Option<u32>,
    /// `bitstring_overflow`.
    pub bitstring_overflow: bool,
    /// `double_overflow`.
    pub double_overflow: bool,
    /// `absolute_offset`.
    pub absolute_offset: Option<u32>,
    /// `relative_offset`.
    pub relative_offset: Option<i32>,
}

/// Tests of one buffer. A buffer with several values (`tls.certs`) may have several groups; each needs a value of its
/// own search, as each mention of the keyword starts one.
#[derive(Clone, Debug)]
pub struct Group {
    /// The buffer.
    pub buffer: BufferId,
    /// Only in this direction (`file.data: to_server`, or a one-way field of a `=>` rule).
    pub only: Option<Direction>,
    /// Steps, in order.
    pub tests: Vec<Test>,
}

/// A test on a transaction that is not on bytes.
#[derive(Debug)]
pub struct TxTest {
    /// Keyword.
    pub name: &'static str,
    /// Declarations by protocol (number fields and test fields).
    pub fields: Vec<(AppProto, &'static Field)>,
    /// Only in this direction.
    pub only: Option<Direction>,
    /// What is wanted.
    pub want: TxWant,
}

/// A test on the numbers of a field, of which there may be several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberTest {
    /// What a number must satisfy.
    pub want: Compare,
    /// How many of the numbers must.
    pub of: NumberIndex,
    /// The numbers looked at, from `slice.0` to before `slice.1`; negative: from the end; 0 as end: to the end.
    pub slice: (i32, i32),
}

impl From<Compare> for NumberTest {
    fn from(want: Compare) -> Self {
        Self {
            want,
            of: NumberIndex::Any,
            slice: (0, 0),
        }
    }
}

/// Which of several numbers must satisfy a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberIndex {
    /// One of them.
    #[default]
    Any,
    /// All of them, and there is one. Decided when the direction is complete.
    All,
    /// All of them, or there is none. Decided when the direction is complete.
    AllOrAbsent,
    /// One of them, or there is none when the direction is complete.
    OrAbsent,
    /// The one at an index (negative: from the end).
    At {
        /// Index.
        index: i32,
        /// Whether an index out of bounds satisfies it too, once the direction is complete.
        or_outside: bool,
    },
    /// So many of them.
    Matches(Compare),
    /// So many are there, whatever they are. `want` is not looked at.
    Count(Compare),
}

/// What a [`TxTest`] wants.
#[derive(Debug)]
pub enum TxWant {
    /// The field's number, or numbers.
    Number(NumberTest),
    /// The field's own test.
    Test(Box<dyn FieldTest>),
    /// An event of the transaction: protocol and number.
    Event(AppProto, u8),
    /// `app-layer-state`: the progress of a direction, as an index of `Protocol::states`.
    Progress {
        /// Whose.
        proto: AppProto,
        /// Of which direction.
        direction: Direction,
        /// Wanted.
        state: Compare,
    },
}

/// The content that must be found before anything else of the signature is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct FastPattern {
    /// Buffer it is in.
    pub buffer: BufferId,
    /// Bytes (after `chop`).
    pub bytes: Vec<u8>,
    /// Case-insensitive.
    pub nocase: bool,
    /// Must lie within these bounds of the buffer when absolute (offset, end), for the matcher's own filtering.
    pub bounds: Option<(u32, u32)>,
}

/// `threshold` and `detection_filter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Kind.
    pub kind: ThresholdKind,
    /// Whom to count.
    pub track: ThresholdTrack,
    /// Count.
    pub count: u32,
    /// Seconds.
    pub seconds: u32,
    /// For `multiplier` of backoff.
    pub multiplier: u32,
    /// `unique_on`: counts different values of this instead of matches.
    pub unique: Option<UniqueOn>,
}

/// Kinds of thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdKind {
    /// At most `count` alerts in `seconds`.
    Limit,
    /// An alert each `count` matches in `seconds`.
    Threshold,
    /// One alert in `seconds`, after `count` matches.
    Both,
    /// Alerts once `count` matches were exceeded in `seconds` (`detection_filter`).
    DetectionFilter,
    /// Alerts at count, count*multiplier, …
    Backoff,
}

/// What a threshold counts different values of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueOn {
    /// Source ports.
    SourcePort,
    /// Destination ports.
    DestinationPort,
}

/// Whom a threshold counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThresholdTrack {
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Both.
    Both,
    /// The rule.
    Rule,
    /// The flow.
    Flow,
}

/// `tag`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Session or one host's packets: `None` session, `Some(true)` source, `Some(false)` destination.
    pub host_source: Option<bool>,
    /// Count.
    pub count: u32,
    /// packets, seconds or bytes.
    pub metric: TagMetric,
}

/// What a tag counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagMetric {
    /// Packets.
    Packets,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The packet's source is the victim.
    Source,
    /// The packet's destination is.
    Destination,
}

/// `config:` options (conditional logging).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEffect {
    /// `logging disable`, …
    pub subsystem: String,
    /// `type`
    pub kind: String,
    /// `scope`
    pub scope: String,
}

/// A rule's `metadata`: the text, from which pairs are read when asked for (26,000 rules have 260,000 of them).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata(pub Box<str>);

impl Metadata {
    /// Key and value of each entry, in the order of writing; an entry without a value has an empty one.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                entry
                    .split_once([' ', '\t'])
                    .map_or((entry, ""), |(key, value)| (key, value.trim_start()))
            })
    }

    /// The first value of a key.
    pub fn value<'a>(&'a self, key: &str) -> Option<&'a str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, value)| value)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// A rule's `reference`s: one line each, `system,id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References(pub Box<str>);

impl References {
    /// System and id of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(','))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where payload contents of a TCP signature are looked for (Suricata's REQUIRE_PACKET and REQUIRE_STREAM). Other
/// transports have packets only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadScope {
    /// The reassembled stream alone.
    #[default]
    Stream,
    /// The payload of each packet alone (`tcp-pkt`, or tests on headers beside the contents).
    Packet,
    /// Either is enough (contents with `offset` or `depth`).
    Both,
}

/// What has to be looked at to decide a signature, from the cheapest to the dearest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SignatureKind {
    /// Decoder events alone; also on packets whose headers could not be read.
    DecodeEvent,
    /// Addresses and ports alone: once per flow and direction, on every packet that has no flow.
    IpOnly,
    /// The same with negated or ranged addresses: on every packet, but acts on the flow.
    IpOnlyEveryPacket,
    /// `app-layer-protocol` alone: once per flow and direction, when the protocol becomes known.
    ProtocolDetected,
    /// An application protocol in the header and nothing of its transactions: every packet of such flows.
    ProtocolPackets,
    /// Headers and payload of each packet.
    Packet,
    /// Payload of packets and the stream.
    PacketAndStream,
    /// The stream.
    Stream,
    /// Transactions.
    #[default]
    Transaction,
}

/// A compiled rule.
#[derive(Debug)]
pub struct Signature {
    /// Index in [`RuleSet::signatures`].
    pub index: u32,
    /// Ids.
    pub sid: Sid,
    /// Generator.
    pub gid: u32,
    /// Revision.
    pub rev: u32,
    /// Text of the alert.
    pub msg: Box<str>,
    /// Class name as written, and index in the rule set's classes.
    pub class: Option<u16>,
    /// 1 (highest) … 255.
    pub priority: u8,
    /// Metadata pairs, as written.
    pub metadata: Metadata,
    /// References: system and id.
    pub references: References,
    /// Where it stands: file (index of [`RuleSet::files`]) and line.
    pub origin: (u16, u32),
    /// Action.
    pub action: Action,
    /// What the action acts on, when stated.
    pub action_scope: Option<ActionScope>,
    /// No alert: `noalert`, or a `pass` or `config` rule without `alert`.
    pub silent: bool,
    /// Protocol, as the header states it.
    pub proto: HeaderProto,
    /// Application protocols it can match on, stated by the header or implied by its buffers (`alert tcp … (http.uri; …)`
    /// means HTTP); empty: any, or none.
    pub app: Vec<AppProto>,
    /// Where its payload contents are looked for.
    pub scope: PayloadScope,
    /// What has to be looked at to decide it.
    pub kind: SignatureKind,
    /// Source addresses.
    pub src: Arc<AddressSet>,
    /// Destination addresses.
    pub dst: Arc<AddressSet>,
    /// Source ports.
    pub sport: Arc<PortSet>,
    /// Destination ports.
    pub dport: Arc<PortSet>,
    /// `<>`.
    pub bidirectional: bool,
    /// `=>` transactional rule.
    pub transactional: bool,
    /// Hook.
    pub hook: Option<Hook>,
    /// `flow`.
    pub flow: FlowTest,
    /// Header tests.
    pub packet: Vec<PacketTest>,
    /// Flow and stream tests.
    pub stream: Vec<StreamTest>,
    /// Flow state: tests before, changes after a match, in order of writing.
    pub state: Vec<FlowStateOption>,
    /// Buffers and their tests, in order of first appearance.
    pub groups: Vec<Group>,
    /// Tests on transactions.
    pub tx: Vec<TxTest>,
    /// Fast pattern, if it has one.
    pub fast: Option<FastPattern>,
    /// Number of variable slots its tests use.
    pub variables: u8,
    /// Names of the variable slots (`byte_extract`).
    pub variable_names: Vec<String>,
    /// Threshold.
    pub threshold: Option<Threshold>,
    /// Tag.
    pub tag: Option<Tag>,
    /// Victim.
    pub target: Option<Target>,
    /// File options: `filestore`, `filename`-less; whether files are to be stored.
    pub filestore: bool,
    /// Digests of files that it asks for.
    pub digests: Digests,
    /// Config effect.
    pub config: Option<ConfigEffect>,
    /// Bypass the flow after a match.
    pub bypass: bool,
}

/// A rule that did not load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleError {
    /// File.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// sid, when it could be read.
    pub sid: Option<Sid>,
    /// What is wrong, with the keyword's name.
    pub message: String,
}

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if let Some(Sid(sid)) = self.sid {
            write!(f, "sid {sid}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// A class of `classification.config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Short name.
    pub name: String,
    /// Text (EVE `alert.category`).
    pub description: String,
    /// Priority.
    pub priority: u8,
}

/// All that was loaded.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct RuleSet {
    /// Signatures, in the order of loading.
    pub signatures: Signatures,
    /// Buffers.
    pub buffers: Vec<Buffer>,
    /// Classes.
    pub classes: Vec<Class>,
    /// Reference systems: name and URL prefix.
    pub reference_systems: Vec<(String, String)>,
    /// Files the rules came from.
    pub files: Vec<String>,
    /// Names of flowbits, flowints and xbits, by id (separate id spaces).
    pub bit_names: Vec<String>,
    /// See `bit_names`.
    pub int_names: Vec<String>,
    /// See `bit_names`.
    pub xbit_names: Vec<String>,
    /// Data sets, by number; rules that name one are not kept in the cache.
    #[serde(skip)]
    pub datasets: Vec<Arc<Dataset>>,
    /// Whether rules depend on files that the cache does not watch (reputations, countries).
    pub uncached: bool,
    /// Rules that were refused.
    pub errors: Vec<RuleError>,
    /// Rules skipped because their `requires` is not met (not an error): file, line, reason.
    pub skipped: Vec<RuleError>,
    /// Rules that loaded, but look wrong (a flowbit that is tested and never set).
    pub warnings: Vec<RuleError>,
}
