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

mod address;
mod buffer;
mod effect;
mod flow;
mod packet;
mod test;
mod tx;

use std::sync::Arc;

pub use address::{AddressSet, PortSet};
pub use buffer::{Base64Mode, Buffer, BufferId, BufferSource, HeaderBuffer, Transform, XorKey};
pub use effect::{
    ConfigEffect, Tag, TagMetric, Threshold, ThresholdKind, ThresholdTrack, UniqueOn,
};
pub use flow::{
    FlowCounter, FlowIntOperand, FlowIntOperation, FlowStateOption, FlowTest, IntCompare,
    ProtocolSide, StreamSide, StreamTest,
};
pub use packet::{ChecksumOf, Compare, FlagMode, PacketTest, SctpTest};
use serde::{Deserialize, Serialize};
pub use test::{
    Asn1Test, ByteFormat, ByteOperator, CaptureScope, Content, DatasetOperation, DatasetTest,
    MathOperator, Number, Pcre, Test,
};
pub use tx::{Group, NumberIndex, NumberTest, TxTest, TxWant};

use crate::app::{AppProto, Digests};
use crate::packet::Transport;
use crate::rules::dataset::Dataset;
use crate::rules::signatures::Signatures;

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

/// The name of a keyword. (Under a name of its own, because what is read back never lies in what it is read from.)
type KeywordName = &'static str;

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

/// `target`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The packet's source is the victim.
    Source,
    /// The packet's destination is.
    Destination,
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
