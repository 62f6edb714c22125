//! Signatures in the form that inspection runs, in the order of inspection, and the tables that find candidates.

mod build;
mod candidates;
mod sites;

use build::{Build, segments_of};
use serde::{Deserialize, Serialize};
use sites::SMALL_BYTES;

use crate::app::{AppProto, Digests, Field};
use crate::detect::signature::address_index::AddressIndex;
use crate::detect::signature::prefilter::{Matcher, MatcherBuilder};
use crate::detect::signature::program::{Program, Programs};
use crate::detect::signature::sets::{SetId, Sets};
use crate::detect::signature::situation::Situations;
use crate::detect::signature::starts::Starts;
use crate::detect::signature::{SegmentView, order};
use crate::packet::{Direction, Transport};
use crate::rules::{BufferId, HeaderBuffer, PayloadScope, RuleSet, SignatureKind, stored};

/// Both directions.
pub(super) const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// Transport classes for which candidates are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Tcp,
    Udp,
    Icmp,
    Sctp,
    /// Other IP protocols, fragments.
    OtherIp,
    /// Not IP: Ethernet, ARP.
    NonIp,
}

impl Class {
    pub const COUNT: usize = 6;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Tcp,
        Self::Udp,
        Self::Icmp,
        Self::Sctp,
        Self::OtherIp,
        Self::NonIp,
    ];

    /// Class of a packet.
    pub fn of(transport: Transport, is_ip: bool) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
            Transport::Icmp | Transport::Icmpv6 => Self::Icmp,
            Transport::Sctp => Self::Sctp,
            _ if is_ip => Self::OtherIp,
            _ => Self::NonIp,
        }
    }
}

/// What a packet must have before a signature is worth a look: bits.
pub(super) mod need {
    pub const PAYLOAD: u16 = 1;
    pub const NO_PAYLOAD: u16 = 1 << 1;
    pub const FLOW: u16 = 1 << 2;
    pub const ESTABLISHED: u16 = 1 << 3;
    pub const NOT_ESTABLISHED: u16 = 1 << 4;
    pub const SYN: u16 = 1 << 5;
    pub const RST: u16 = 1 << 6;
    pub const FIN: u16 = 1 << 7;
    pub const EVENT: u16 = 1 << 8;
    pub const FLOW_STATE: u16 = 1 << 9;
    pub const APP: u16 = 1 << 10;
    pub const UNUSUAL_FLAGS: u16 = 1 << 11;
}

/// Protocol condition of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ProtoTest {
    AnyPacket,
    Ip,
    V4,
    V6,
    Ether,
    Arp,
    Tcp,
    Udp,
    Icmp,
    Icmpv4,
    Icmpv6,
    Sctp,
    Number(u8),
    TcpOrUdp,
    /// Several transports: look at the rule.
    List,
}

/// A set of application protocols.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct AppSet(pub u128);

impl AppSet {
    fn of(protos: &[AppProto]) -> Self {
        Self(
            protos
                .iter()
                .filter(|p| p.0 < 128)
                .fold(0, |bits, p| bits | 1 << p.0),
        )
    }

    pub fn is_any(self) -> bool {
        self.0 == 0
    }

    pub fn holds(self, proto: AppProto) -> bool {
        self.is_any() || proto.0 < 128 && self.0 & 1 << proto.0 != 0
    }
}

/// What one step of inspecting a transaction looks at.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum TxLook {
    /// A buffer, by its field.
    Buffer {
        buffer: BufferId,
        #[serde(with = "stored::field")]
        field: &'static Field,
        program: Program,
    },
    /// The rule's transaction test of this index, by its field.
    Test {
        index: u16,
        #[serde(with = "stored::field_or_none")]
        field: Option<&'static Field>,
    },
    /// The stream's payload (a datagram's, over UDP).
    Payload { program: Program },
    /// Nothing: the hook's progress is reached.
    Reached,
}

/// One step of inspecting a transaction.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TxStep {
    /// Of which protocol; `UNKNOWN`: any.
    pub proto: AppProto,
    /// In which direction.
    pub direction: Direction,
    /// From which progress of that direction on.
    pub progress: u8,
    /// Bit of the signature's state that says that it matched.
    pub bit: u8,
    /// Whether the fast pattern is in it.
    pub fast: bool,
    pub look: TxLook,
}

/// A signature, ready for inspection. Its rank is its place in [`Compiled::signatures`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ranked {
    /// Index in the rule set.
    pub index: u32,
    pub needs: u16,
    pub proto: ProtoTest,
    /// Bit 0: to the server, bit 1: to the client.
    pub directions: u8,
    pub kind: SignatureKind,
    pub scope: PayloadScope,
    /// Number of variables.
    pub variables: u8,
    pub bidirectional: bool,
    /// Whether it sets a flowbit.
    pub sets_bits: bool,
    /// `=>`: one transaction's both directions.
    pub transactional: bool,
    /// Whether a match depends on data sets that rules change, or shows what sets know.
    pub notes: bool,
    pub app: AppSet,
    pub src: SetId,
    pub dst: SetId,
    pub sport: SetId,
    pub dport: SetId,
    /// Segments in which it is on.
    pub segments: u64,
    /// Program over the payload.
    pub payload: Option<Program>,
    /// Programs over header buffers: a range of [`Compiled::header_programs`].
    pub headers: (u32, u8),
    /// Steps over transactions: a range of [`Compiled::tx_steps`].
    pub tx: (u32, u16),
}

impl Ranked {
    /// Whether it is decided by transactions.
    pub fn is_tx(&self) -> bool {
        self.tx.1 > 0
    }

    /// Whether it is looked for in a direction.
    pub fn covers(&self, direction: Direction) -> bool {
        self.directions & 1 << direction.index() != 0
    }
}

/// Signatures without a fast pattern of one class and direction, by what they need.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Always {
    /// Those that name few destination ports: by port.
    pub by_port: std::collections::HashMap<u16, Vec<u32>, foldhash::fast::RandomState>,
    /// The others, grouped by their needs.
    pub groups: Vec<(u16, Vec<u32>)>,
    /// Whether a group waits for a flowbit.
    pub waits_for_bits: bool,
}

/// What is scanned of a transaction.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct TxScan {
    pub buffer: BufferId,
    #[serde(with = "stored::field")]
    pub field: &'static Field,
    /// Index in [`Compiled::matchers`].
    pub matcher: usize,
}

/// What has to be looked at when a transaction comes to a progress.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TxStage {
    pub progress: u8,
    /// Buffer to scan, with its field and matcher.
    pub scan: Option<TxScan>,
    /// Signatures without a fast pattern that begin here.
    pub always: Vec<u32>,
    /// Whether it is the last stage of its progress.
    pub last: bool,
}

/// Stages of a protocol and direction, by progress.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct TxPlan {
    pub stages: Vec<TxStage>,
    /// Signatures that wait for an event, by number.
    pub events: Vec<(u8, u32)>,
}

/// How far into a block patterns must be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// In its first [`FRONT_BYTES`].
    Front,
    /// In all of it.
    All,
}

/// Bytes in which a pattern that the rule binds to the front is looked for. Of et-open's patterns on payloads half are
/// bound to fewer; scanning the rest of a segment for them would be in vain.
pub(super) const FRONT_BYTES: usize = 256;

/// What a signature looks for in frames.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrameLook {
    pub rank: u32,
    pub proto: AppProto,
    /// Kind of frame, buffer (for its transforms) and program.
    pub buffers: Vec<(u8, BufferId, Program)>,
}

/// Matchers of one site in one situation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scans {
    /// Of patterns bound to the front.
    pub front: Option<usize>,
    /// Of the others.
    pub all: Option<usize>,
}

/// A site's patterns: those of the very front, and matchers by situation.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct SiteScans {
    pub starts: Starts,
    by_situation: Vec<Scans>,
    /// The same for packets with more than [`SMALL_BYTES`] of payload.
    large: Vec<Scans>,
}

impl SiteScans {
    /// Whether anything is looked for.
    fn looks(&self) -> bool {
        !self.starts.is_empty() || self.of(0) != Scans::default()
    }

    /// The matchers for a situation.
    pub fn of(&self, situation: usize) -> Scans {
        let scans = self.by_situation.get(situation);
        scans.copied().unwrap_or_default()
    }

    /// The matchers for a packet's payload in a situation.
    pub fn of_payload(&self, situation: usize, payload_len: u32) -> Scans {
        if payload_len <= SMALL_BYTES {
            return self.of(situation);
        }
        let scans = self.large.get(situation);
        scans.copied().unwrap_or_default()
    }
}

/// Everything that inspection reads.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Compiled {
    pub signatures: Vec<Ranked>,
    pub programs: Programs,
    pub header_programs: Vec<(HeaderBuffer, BufferId, Program)>,
    pub tx_steps: Vec<TxStep>,
    pub sets: Sets,
    /// Their databases are kept apart.
    #[serde(skip)]
    pub matchers: Vec<Matcher>,
    pub situations: Situations,
    /// Patterns of payloads by class and direction.
    pub payload: [[SiteScans; 2]; Class::COUNT],
    /// Patterns of streams by direction.
    pub stream: [SiteScans; 2],
    /// Patterns of both, for packets over TCP that are not part of a stream, by direction and situation.
    pub alone: [Vec<Scans>; 2],
    /// Matchers of header buffers, by direction.
    pub headers: [Vec<(HeaderBuffer, BufferId, usize)>; 2],
    pub always: [[Always; 2]; Class::COUNT],
    /// Signatures that wait for a decode or stream event, by its number.
    pub events: Vec<Vec<u32>>,
    pub addresses: AddressIndex,
    /// Signatures on the protocol alone.
    pub protocol: Vec<u32>,
    /// Signatures on frames, by rank, each with its buffers.
    pub frames: Vec<FrameLook>,
    /// Plans by protocol and direction.
    pub plans: Vec<[TxPlan; 2]>,
    /// Number of buffers.
    pub buffers: usize,
    /// Whether any signature looks at streams, by direction.
    pub wants_stream: [bool; 2],
    /// Digests of files that signatures ask for.
    pub digests: Digests,
    /// Whether a rule passes or blocks, depending on what several workers share.
    pub acts_on_shared: bool,
}

/// Compiled signatures whose databases are still to be compiled.
pub(super) struct Draft {
    pub compiled: Compiled,
    pub matchers: Vec<MatcherBuilder>,
}

impl Compiled {
    /// Ranks and tables of a rule set.
    pub fn draft(rules: &RuleSet, segments: &[SegmentView]) -> Draft {
        let mut build = Build::new(rules);
        for index in order::order(&rules.signatures) {
            if let Some(signature) = rules.signatures.get(index as usize) {
                let on = segments_of(segments, index as usize);
                build.add(signature, index, on);
            }
        }
        build.finish(segments)
    }
}

impl Compiled {
    /// Switches off the signatures with these indices.
    pub fn switch_off(&mut self, off: &[(u32, String)]) {
        if off.is_empty() {
            return;
        }
        for signature in &mut self.signatures {
            if off.iter().any(|(index, _)| *index == signature.index) {
                signature.segments = 0;
            }
        }
    }
}

/// Steps of a signature.
pub(super) fn tx_range(steps: &[TxStep], (start, count): (u32, u16)) -> &[TxStep] {
    let start = start as usize;
    steps
        .get(start..start + usize::from(count))
        .unwrap_or_default()
}
