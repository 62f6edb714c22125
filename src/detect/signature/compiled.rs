//! Signatures in the form that inspection runs, in the order of inspection, and the tables that find candidates.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::SegmentView;
use super::address_index::{AddressIndex, AddressIndexBuilder};
use super::order;
use super::prefilter::{Matcher, MatcherBuilder};
use super::program::{Program, ProgramBuilder, Programs};
use super::sets::{SetBuilder, SetId, Sets};
use super::situation::Situations;
use super::starts::{Starts, StartsBuilder};
use super::verdict::acts_on_shared;
use crate::app::{AppProto, Digests, Field, FieldDirection, registry};
use crate::packet::{Direction, Transport};
use crate::rules::{
    BufferId, BufferSource, Compare, FastPattern, FlagMode, FlowStateOption, Group, HeaderBuffer,
    HeaderProto, Hook, PacketTest, PayloadScope, RuleSet, Signature, SignatureKind, Test, TxWant,
    stored,
};

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

/// Which patterns a matcher holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MatcherKey {
    Header(u16, u8),
    Tx(u16, u8),
}

/// What a signature looks for in frames.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FrameLook {
    pub rank: u32,
    pub proto: AppProto,
    /// Kind of frame, buffer (for its transforms) and program.
    pub buffers: Vec<(u8, BufferId, Program)>,
}

/// Patterns of the front, and their bytes, with which they are looked for together with the others: a scan costs a tenth of
/// a microsecond before its first byte, short patterns cost where they are found.
const FRONT_FEW: usize = 32;
const FRONT_LONG: usize = 4;

/// Where a payload is looked at: the packets of a class or the stream, in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Site {
    Payload(u8, u8),
    Stream(u8),
}

/// What is looked for at a site.
#[derive(Debug, Default)]
struct SitePatterns<'r> {
    /// Patterns that are searched.
    floating: Vec<Floating<'r>>,
    /// Patterns that can stand at the front only.
    starts: StartsBuilder,
}

/// A pattern that is searched in payloads.
#[derive(Clone, Copy, Debug)]
struct Floating<'r> {
    fast: &'r FastPattern,
    bounds: Option<(u32, u32)>,
    rank: u32,
    reach: Reach,
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

/// Payloads up to here are small. Most of the rules that name the size of a payload (`dsize`) want a small one; in the
/// large ones, which are most of the bytes, their patterns need not be looked for.
const SMALL_BYTES: u32 = 512;

/// Whether a rule wants a small payload.
fn wants_small(rule: &Signature) -> bool {
    let small = u64::from(SMALL_BYTES);
    rule.packet.iter().any(|test| match test {
        PacketTest::PayloadSize(size) => match *size {
            Compare::Equal(most) | Compare::LessOrEqual(most) | Compare::Between(_, most) => {
                most <= small
            }
            Compare::Less(above) => above <= small,
            _ => false,
        },
        _ => false,
    })
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

fn segments_of(segments: &[SegmentView], index: usize) -> u64 {
    if segments.is_empty() {
        return u64::MAX;
    }
    segments
        .iter()
        .take(64)
        .enumerate()
        .filter(|(_, view)| !view.disabled.get(index).copied().unwrap_or(false))
        .fold(0, |bits, (i, _)| bits | 1 << i)
}

struct Build<'r> {
    rules: &'r RuleSet,
    compiled: Compiled,
    programs: ProgramBuilder<'r>,
    sets: SetBuilder,
    matchers: BTreeMap<MatcherKey, MatcherBuilder>,
    sites: BTreeMap<Site, SitePatterns<'r>>,
    always: [[BTreeMap<u16, Vec<u32>>; 2]; Class::COUNT],
    addresses: AddressIndexBuilder,
    /// By protocol and direction: progress and buffer → field.
    scans: Vec<[BTreeMap<(u8, u16), &'static Field>; 2]>,
    /// By protocol and direction: progress → signatures without a pattern.
    tx_always: Vec<[BTreeMap<u8, Vec<u32>>; 2]>,
}

impl<'r> Build<'r> {
    fn new(rules: &'r RuleSet) -> Self {
        let protocols = registry::PROTOCOLS.len();
        Self {
            rules,
            compiled: Compiled {
                events: vec![Vec::new(); crate::packet::DecodeEvent::NAMES.len()],
                plans: (0..protocols).map(|_| Default::default()).collect(),
                buffers: rules.buffers.len(),
                ..Compiled::default()
            },
            programs: ProgramBuilder::default(),
            sets: SetBuilder::default(),
            matchers: BTreeMap::new(),
            sites: BTreeMap::new(),
            always: Default::default(),
            addresses: AddressIndexBuilder::default(),
            scans: (0..protocols).map(|_| Default::default()).collect(),
            tx_always: (0..protocols).map(|_| Default::default()).collect(),
        }
    }

    fn add(&mut self, signature: &'r Signature, index: u32, segments: u64) {
        let rank = u32::try_from(self.compiled.signatures.len()).unwrap_or(u32::MAX);
        let mut directions = match (signature.flow.to_server, signature.flow.to_client) {
            (true, false) => 1,
            (false, true) => 2,
            _ => 3,
        };
        if signature.transactional {
            directions = 3;
        }
        let app = AppSet::of(&signature.app);
        let payload = self.payload_program(signature);
        let headers = self.header_programs(signature);
        let tx = self.tx_steps(signature, directions, payload);
        let is_tx = tx.1 > 0;
        let (Some(src), Some(dst), Some(sport), Some(dport)) = (
            self.sets.address(&signature.src),
            self.sets.address(&signature.dst),
            self.sets.port(&signature.sport),
            self.sets.port(&signature.dport),
        ) else {
            return;
        };
        let ranked = Ranked {
            index,
            needs: needs(signature, payload.is_some() && !is_tx),
            proto: proto_test(&signature.proto),
            directions,
            kind: signature.kind,
            scope: signature.scope,
            variables: signature.variables,
            bidirectional: signature.bidirectional,
            sets_bits: signature.state.iter().any(|s| {
                matches!(
                    s,
                    FlowStateOption::BitSet(_) | FlowStateOption::BitToggle(_)
                )
            }),
            transactional: signature.transactional,
            notes: signature.groups.iter().flat_map(|g| &g.tests).any(
                |t| matches!(t, Test::Dataset(test) if test.set.changes() || test.context.is_some()),
            ),
            app,
            src,
            dst,
            sport,
            dport,
            segments,
            payload,
            headers,
            tx,
        };
        self.enter(signature, &ranked, rank);
        self.compiled.signatures.push(ranked);
    }

    /// The payload's groups as one program. Several mentions are one list, as in the reference.
    fn payload_program(&mut self, signature: &'r Signature) -> Option<Program> {
        let of_payload = |g: &&Group| matches!(self.source(g.buffer), Some(BufferSource::Payload));
        let tests: Vec<&'r Test> = signature
            .groups
            .iter()
            .filter(of_payload)
            .flat_map(|g| g.tests.iter())
            .collect();
        (!tests.is_empty()).then(|| {
            self.programs
                .program(tests, base64_tests(self.rules, signature))
        })
    }

    fn header_programs(&mut self, signature: &'r Signature) -> (u32, u8) {
        let start = self.compiled.header_programs.len();
        for group in &signature.groups {
            if let Some(BufferSource::Header(buffer)) = self.source(group.buffer) {
                let buffer = *buffer;
                let program = self.programs.program(
                    group.tests.iter().collect(),
                    base64_tests(self.rules, signature),
                );
                self.compiled
                    .header_programs
                    .push((buffer, group.buffer, program));
            }
        }
        let count = self.compiled.header_programs.len() - start;
        (
            u32::try_from(start).unwrap_or(u32::MAX),
            u8::try_from(count).unwrap_or(u8::MAX),
        )
    }

    fn source(&self, buffer: BufferId) -> Option<&'r BufferSource> {
        let rules: &'r RuleSet = self.rules;
        rules.buffers.get(usize::from(buffer.0)).map(|b| &b.source)
    }

    /// Steps over transactions: the fast pattern's first, then by progress, the payload last unless the pattern is in it.
    fn tx_steps(
        &mut self,
        signature: &'r Signature,
        directions: u8,
        payload: Option<Program>,
    ) -> (u32, u16) {
        let mut steps: Vec<TxStep> = Vec::new();
        let mut bit = 0u8;
        for group in &signature.groups {
            let Some(BufferSource::App { fields, .. }) = self.source(group.buffer) else {
                continue;
            };
            let program = self.programs.program(
                group.tests.iter().collect(),
                base64_tests(self.rules, signature),
            );
            let fast = signature
                .fast
                .as_ref()
                .is_some_and(|f| f.buffer == group.buffer);
            for (proto, field) in fields {
                let (proto, field) = (*proto, *field);
                for direction in field_directions(group.only, field.direction, directions) {
                    steps.push(TxStep {
                        proto,
                        direction,
                        progress: field.progress,
                        bit,
                        fast,
                        look: TxLook::Buffer {
                            buffer: group.buffer,
                            field,
                            program,
                        },
                    });
                }
            }
            bit = bit.saturating_add(1);
        }
        for (index, test) in (0u16..).zip(&signature.tx) {
            let mut push = |proto, direction, progress, field| {
                steps.push(TxStep {
                    proto,
                    direction,
                    progress,
                    bit,
                    fast: false,
                    look: TxLook::Test { index, field },
                });
            };
            match test.want {
                TxWant::Event(proto, _) => {
                    for direction in field_directions(test.only, FieldDirection::Both, directions) {
                        for proto in registry::raising(proto) {
                            push(proto, direction, 0, None);
                        }
                    }
                }
                TxWant::Progress { proto, .. } => {
                    for direction in field_directions(test.only, FieldDirection::Both, directions) {
                        push(proto, direction, 0, None);
                    }
                }
                TxWant::Number(_) | TxWant::Test(_) => {
                    for (proto, field) in &test.fields {
                        for direction in field_directions(test.only, field.direction, directions) {
                            push(*proto, direction, field.progress, Some(*field));
                        }
                    }
                }
            }
            bit = bit.saturating_add(1);
        }
        if steps.is_empty()
            && let Some(Hook::Progress {
                to_server, state, ..
            }) = signature.hook
        {
            for proto in &signature.app {
                let direction = if to_server {
                    Direction::ToServer
                } else {
                    Direction::ToClient
                };
                steps.push(TxStep {
                    proto: *proto,
                    direction,
                    progress: state,
                    bit,
                    fast: false,
                    look: TxLook::Reached,
                });
            }
            bit = bit.saturating_add(1);
        }
        if steps.is_empty() {
            return (0, 0);
        }
        steps.sort_by_key(|s| (!s.fast, s.progress));
        if let Some(program) = payload {
            let fast = signature.fast.as_ref().and_then(|f| self.source(f.buffer));
            let first = matches!(fast, Some(BufferSource::Payload));
            let on_payload = DIRECTIONS
                .into_iter()
                .filter(|d| directions & 1 << d.index() != 0)
                .map(|direction| TxStep {
                    proto: AppProto::UNKNOWN,
                    direction,
                    progress: 0,
                    bit,
                    fast: false,
                    look: TxLook::Payload { program },
                });
            let at = if first { 0 } else { steps.len() };
            steps.splice(at..at, on_payload);
        }
        let start = u32::try_from(self.compiled.tx_steps.len()).unwrap_or(u32::MAX);
        let count = u16::try_from(steps.len()).unwrap_or(u16::MAX);
        self.compiled.tx_steps.append(&mut steps);
        (start, count)
    }

    /// What a signature looks for in frames, when it does.
    fn frame_look(&mut self, signature: &'r Signature, rank: u32) -> Option<FrameLook> {
        let mut buffers = Vec::new();
        let mut of = None;
        for group in &signature.groups {
            let Some(BufferSource::Frame { proto, name }) = self.source(group.buffer) else {
                continue;
            };
            let known = registry::protocol(*proto)?
                .frames()
                .iter()
                .position(|known| known == name);
            let kind = match known {
                Some(at) => u8::try_from(at).ok()?,
                None => crate::app::frame::STREAM,
            };
            let program = self.programs.program(
                group.tests.iter().collect(),
                base64_tests(self.rules, signature),
            );
            buffers.push((kind, group.buffer, program));
            of = Some(*proto);
        }
        Some(FrameLook {
            rank,
            proto: of?,
            buffers,
        })
    }

    /// Enters a signature where its candidates are found.
    fn enter(&mut self, signature: &'r Signature, ranked: &Ranked, rank: u32) {
        self.compiled.digests = self.compiled.digests.or(signature.digests);
        self.compiled.acts_on_shared |= acts_on_shared(signature);
        if let Some(look) = self.frame_look(signature, rank) {
            self.compiled.frames.push(look);
            return;
        }
        let patterns = signature
            .fast
            .as_ref()
            .map(|fast| (fast, self.source(fast.buffer)));
        match patterns {
            Some((fast, Some(BufferSource::Payload))) => self.enter_payload(ranked, rank, fast),
            Some((fast, Some(BufferSource::Header(_)))) => {
                for direction in covered(ranked) {
                    let key = MatcherKey::Header(fast.buffer.0, direction.index() as u8);
                    self.matchers.entry(key).or_default().add(fast, rank);
                }
            }
            Some((fast, Some(BufferSource::App { .. }))) if ranked.is_tx() => {
                self.enter_tx_pattern(ranked, rank, fast);
            }
            _ if ranked.is_tx() => self.enter_tx(signature, ranked, rank),
            _ => self.enter_packet(signature, ranked, rank),
        }
    }

    fn enter_payload(&mut self, ranked: &Ranked, rank: u32, fast: &'r FastPattern) {
        let front = fast
            .bounds
            .is_some_and(|(_, end)| end as usize <= FRONT_BYTES);
        let reach = if front { Reach::Front } else { Reach::All };
        for class in classes(ranked.proto) {
            for direction in covered(ranked) {
                let d = direction.index() as u8;
                let stream =
                    class == Class::Tcp && (ranked.scope != PayloadScope::Packet || ranked.is_tx());
                let mut enter = |site, bounds| {
                    let patterns = self.sites.entry(site).or_default();
                    if !patterns.starts.take(fast, rank) {
                        patterns.floating.push(Floating {
                            fast,
                            bounds,
                            rank,
                            reach,
                        });
                    }
                };
                if stream {
                    // A piece of the stream has two beginnings: with and without the end of the one before.
                    enter(Site::Stream(d), fast.bounds.filter(|_| front));
                }
                if !stream || ranked.scope == PayloadScope::Both {
                    enter(Site::Payload(class as u8, d), fast.bounds);
                }
            }
        }
    }

    fn enter_tx_pattern(&mut self, ranked: &Ranked, rank: u32, fast: &crate::rules::FastPattern) {
        let steps = tx_range(&self.compiled.tx_steps, ranked.tx).to_vec();
        let mut directions = [false; 2];
        for step in steps.iter().filter(|s| s.fast) {
            let TxLook::Buffer { field, .. } = step.look else {
                continue;
            };
            let d = step.direction.index();
            if let Some(scans) = self
                .scans
                .get_mut(usize::from(step.proto.0))
                .and_then(|s| s.get_mut(d))
            {
                scans.insert((step.progress, fast.buffer.0), field);
            }
            if let Some(seen) = directions.get_mut(d) {
                *seen = true;
            }
        }
        for (d, _) in directions.iter().enumerate().filter(|(_, seen)| **seen) {
            self.matchers
                .entry(MatcherKey::Tx(fast.buffer.0, d as u8))
                .or_default()
                .add(fast, rank);
        }
    }

    fn enter_tx(&mut self, signature: &Signature, ranked: &Ranked, rank: u32) {
        let steps = tx_range(&self.compiled.tx_steps, ranked.tx).to_vec();
        // A signature that wants an event cannot match before it is raised.
        let event = signature.tx.iter().find_map(|t| match t.want {
            TxWant::Event(proto, number) => Some((proto, number)),
            _ => None,
        });
        if let Some((proto, number)) = event {
            for proto in registry::raising(proto) {
                for direction in covered(ranked) {
                    if let Some(plan) = self
                        .compiled
                        .plans
                        .get_mut(usize::from(proto.0))
                        .and_then(|p| p.get_mut(direction.index()))
                    {
                        plan.events.push((number, rank));
                    }
                }
            }
            return;
        }
        let protocols: Vec<AppProto> = if ranked.app.is_any() {
            (0..registry::PROTOCOLS.len())
                .filter_map(|i| u8::try_from(i).ok())
                .map(AppProto)
                .collect()
        } else {
            signature.app.clone()
        };
        for proto in protocols {
            for direction in DIRECTIONS {
                let first = steps
                    .iter()
                    .filter(|s| {
                        (s.proto == proto || s.proto == AppProto::UNKNOWN)
                            && s.direction == direction
                    })
                    .filter(|s| !matches!(s.look, TxLook::Payload { .. }))
                    .map(|s| s.progress)
                    .min();
                let Some(first) = first else { continue };
                if let Some(always) = self
                    .tx_always
                    .get_mut(usize::from(proto.0))
                    .and_then(|a| a.get_mut(direction.index()))
                {
                    always.entry(first).or_default().push(rank);
                }
            }
        }
    }

    fn enter_packet(&mut self, signature: &Signature, ranked: &Ranked, rank: u32) {
        match ranked.kind {
            SignatureKind::IpOnly => {
                // Another segment may have other addresses: only literal sets are found by interval.
                let literal =
                    !signature.src.text.contains('$') && !signature.dst.text.contains('$');
                let narrow = |set: &crate::rules::AddressSet| !set.text.contains('$') && !set.any;
                if signature.bidirectional
                    || !(literal || narrow(&signature.src) || narrow(&signature.dst))
                {
                    self.addresses.add_everywhere(rank);
                } else {
                    let any = crate::rules::AddressSet {
                        any: true,
                        ..Default::default()
                    };
                    let src = if signature.src.text.contains('$') {
                        &any
                    } else {
                        &*signature.src
                    };
                    let dst = if signature.dst.text.contains('$') {
                        &any
                    } else {
                        &*signature.dst
                    };
                    self.addresses.add(rank, src, dst);
                }
                return;
            }
            SignatureKind::ProtocolDetected => {
                self.compiled.protocol.push(rank);
                return;
            }
            _ => {}
        }
        let event = signature.packet.iter().find_map(|t| match t {
            PacketTest::Event(event) => Some(*event),
            _ => None,
        });
        if let Some(event) = event {
            if let Some(list) = self.compiled.events.get_mut(usize::from(event.0)) {
                list.push(rank);
            }
            return;
        }
        let ports = &signature.dport;
        let few = !signature.bidirectional
            && !ports.any
            && !ports.text.contains('$')
            && ports
                .ranges
                .iter()
                .map(|(a, b)| usize::from(b - a) + 1)
                .sum::<usize>()
                <= 16;
        for class in classes(ranked.proto) {
            for direction in covered(ranked) {
                let (c, d) = (class as usize, direction.index());
                if few && matches!(class, Class::Tcp | Class::Udp | Class::Sctp) {
                    if let Some(always) = self.compiled.always.get_mut(c).and_then(|a| a.get_mut(d))
                    {
                        for port in ports.ranges.iter().flat_map(|(a, b)| *a..=*b) {
                            always.by_port.entry(port).or_default().push(rank);
                        }
                    }
                } else if let Some(always) = self.always.get_mut(c).and_then(|a| a.get_mut(d)) {
                    always.entry(ranked.needs).or_default().push(rank);
                }
            }
        }
    }

    fn finish(mut self, segments: &[SegmentView]) -> Draft {
        let mut compiled = self.compiled;
        compiled.programs = self.programs.finish();
        compiled.sets = self.sets.finish(segments);
        compiled.addresses = self.addresses.finish();
        for (class, directions) in self.always.iter_mut().enumerate() {
            for (direction, groups) in directions.iter_mut().enumerate() {
                if let Some(always) = compiled
                    .always
                    .get_mut(class)
                    .and_then(|a| a.get_mut(direction))
                {
                    always.groups = std::mem::take(groups).into_iter().collect();
                    always.waits_for_bits = always
                        .groups
                        .iter()
                        .any(|(needs, _)| needs & need::FLOW_STATE != 0);
                }
            }
        }
        let mut tx_matchers = BTreeMap::new();
        let mut sites = SiteBuilder {
            rules: self.rules,
            signatures: &compiled.signatures,
            situations: Situations::new(named(&self.sites, &compiled.signatures)),
            segmented: !segments.is_empty(),
            matchers: Vec::with_capacity(self.matchers.len() + 64),
            known: HashMap::default(),
        };
        let streams = [0, 1].map(|d| self.sites.remove(&Site::Stream(d)).unwrap_or_default());
        for d in [0u8, 1] {
            let tcp = self.sites.get(&Site::Payload(Class::Tcp as u8, d));
            let stream = streams.get(usize::from(d));
            let both: Vec<Floating<'_>> = [tcp, stream]
                .into_iter()
                .flatten()
                .flat_map(|site| site.floating.iter().copied())
                .collect();
            let alone = (0..sites.situations.len())
                .map(|number| {
                    if sites.situations.is_alone(number) {
                        sites.scans(&both, direction_of(d), number)
                    } else {
                        Scans::default()
                    }
                })
                .collect();
            if let Some(slot) = compiled.alone.get_mut(usize::from(d)) {
                *slot = alone;
            }
        }
        for (patterns, d) in streams.into_iter().zip(0u8..) {
            let scans = sites.site(patterns, Class::Tcp, direction_of(d));
            if let Some(slot) = compiled.stream.get_mut(usize::from(d)) {
                *slot = scans;
            }
        }
        for class in Class::ALL {
            for d in [0u8, 1] {
                let site = Site::Payload(class as u8, d);
                let patterns = self.sites.remove(&site).unwrap_or_default();
                let scans = sites.site(patterns, class, direction_of(d));
                let of_class = compiled.payload.get_mut(class as usize);
                if let Some(slot) = of_class.and_then(|c| c.get_mut(usize::from(d))) {
                    *slot = scans;
                }
            }
        }
        let SiteBuilder {
            situations,
            mut matchers,
            ..
        } = sites;
        compiled.situations = situations;
        for (key, matcher) in self.matchers {
            let at = matchers.len();
            matchers.push(matcher);
            match key {
                MatcherKey::Header(buffer, d) => {
                    if let Some(BufferSource::Header(header)) = self
                        .rules
                        .buffers
                        .get(usize::from(buffer))
                        .map(|b| &b.source)
                        && let Some(list) = compiled.headers.get_mut(usize::from(d))
                    {
                        list.push((*header, BufferId(buffer), at));
                    }
                }
                MatcherKey::Tx(buffer, d) => {
                    tx_matchers.insert((buffer, usize::from(d)), at);
                }
            }
        }
        for (proto, plan) in compiled.plans.iter_mut().enumerate() {
            for (d, plan) in plan.iter_mut().enumerate() {
                let scans = self
                    .scans
                    .get_mut(proto)
                    .and_then(|s| s.get_mut(d))
                    .map(std::mem::take)
                    .unwrap_or_default();
                let always = self
                    .tx_always
                    .get_mut(proto)
                    .and_then(|s| s.get_mut(d))
                    .map(std::mem::take)
                    .unwrap_or_default();
                plan.stages = stages(scans, always, |buffer| {
                    tx_matchers.get(&(buffer, d)).copied()
                });
            }
        }
        for d in [0, 1] {
            let wanted = compiled.stream.get(d).is_some_and(SiteScans::looks)
                || compiled
                    .signatures
                    .iter()
                    .any(|s| s.payload.is_some() && s.scope != PayloadScope::Packet);
            if let Some(slot) = compiled.wants_stream.get_mut(d) {
                *slot = wanted;
            }
        }
        Draft { compiled, matchers }
    }
}

/// Makes matchers of sites; the same patterns in two situations are one matcher.
struct SiteBuilder<'r, 'c> {
    rules: &'r RuleSet,
    signatures: &'c [Ranked],
    situations: Situations,
    segmented: bool,
    matchers: Vec<MatcherBuilder>,
    /// Matchers by what they hold: pattern (by address) and rank.
    known: HashMap<Vec<(usize, u32)>, usize, foldhash::fast::RandomState>,
}

impl<'r> SiteBuilder<'r, '_> {
    fn site(
        &mut self,
        patterns: SitePatterns<'r>,
        class: Class,
        direction: Direction,
    ) -> SiteScans {
        let (rules, signatures) = (self.rules, self.signatures);
        let mut by_situation = |patterns: &[Floating<'r>]| -> Vec<Scans> {
            (0..self.situations.len())
                .map(|number| {
                    if self.situations.is_of(number, class) {
                        self.scans(patterns, direction, number)
                    } else {
                        Scans::default()
                    }
                })
                .collect()
        };
        let all = by_situation(&patterns.floating);
        let mut large = patterns.floating;
        large.retain(|p| {
            let ranked = signatures.get(p.rank as usize);
            let rule = ranked.and_then(|r| rules.signatures.get(r.index as usize));
            !rule.is_some_and(wants_small)
        });
        SiteScans {
            starts: patterns.starts.finish(),
            large: by_situation(&large),
            by_situation: all,
        }
    }

    fn scans(
        &mut self,
        patterns: &[Floating<'r>],
        direction: Direction,
        situation: usize,
    ) -> Scans {
        let admitted = |reach: Reach| -> Vec<Floating<'r>> {
            patterns
                .iter()
                .filter(|p| p.reach == reach)
                .filter(|p| {
                    let ranked = self.signatures.get(p.rank as usize);
                    let rule = ranked.and_then(|r| self.rules.signatures.get(r.index as usize));
                    ranked.zip(rule).is_none_or(|(ranked, rule)| {
                        self.situations
                            .admits(situation, direction, rule, ranked, self.segmented)
                    })
                })
                .copied()
                .collect()
        };
        let (mut front, mut all) = (admitted(Reach::Front), admitted(Reach::All));
        // Few patterns of the front that are not short cost less together with the others than a scan of their own.
        if front.len() <= FRONT_FEW && front.iter().all(|p| p.fast.bytes.len() >= FRONT_LONG) {
            all.append(&mut front);
        }
        Scans {
            front: self.matcher(&front),
            all: self.matcher(&all),
        }
    }

    fn matcher(&mut self, patterns: &[Floating<'r>]) -> Option<usize> {
        if patterns.is_empty() {
            return None;
        }
        let key = patterns
            .iter()
            .map(|p| (std::ptr::from_ref(p.fast) as usize, p.rank))
            .collect();
        let next = self.matchers.len();
        let at = *self.known.entry(key).or_insert(next);
        if at == next {
            let mut builder = MatcherBuilder::default();
            for pattern in patterns {
                builder.add_within(pattern.fast, pattern.bounds, pattern.rank);
            }
            self.matchers.push(builder);
        }
        Some(at)
    }
}

/// Protocols that signatures with patterns on payloads name, as bits.
fn named(sites: &BTreeMap<Site, SitePatterns<'_>>, signatures: &[Ranked]) -> u128 {
    sites
        .values()
        .flat_map(|site| &site.floating)
        .filter_map(|pattern| signatures.get(pattern.rank as usize))
        .fold(0, |bits, ranked| bits | ranked.app.0)
}

fn direction_of(d: u8) -> Direction {
    if d == 0 {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

fn stages(
    scans: BTreeMap<(u8, u16), &'static Field>,
    always: BTreeMap<u8, Vec<u32>>,
    matcher: impl Fn(u16) -> Option<usize>,
) -> Vec<TxStage> {
    let mut stages: Vec<TxStage> = Vec::new();
    for ((progress, buffer), field) in scans {
        if let Some(matcher) = matcher(buffer) {
            let scan = Some(TxScan {
                buffer: BufferId(buffer),
                field,
                matcher,
            });
            stages.push(TxStage {
                progress,
                scan,
                always: Vec::new(),
                last: false,
            });
        }
    }
    for (progress, always) in always {
        stages.push(TxStage {
            progress,
            scan: None,
            always,
            last: false,
        });
    }
    stages.sort_by_key(|s| s.progress);
    let following: Vec<Option<u8>> = stages
        .iter()
        .skip(1)
        .map(|s| Some(s.progress))
        .chain(std::iter::once(None))
        .collect();
    for (stage, next) in stages.iter_mut().zip(following) {
        stage.last = next != Some(stage.progress);
    }
    stages
}

/// Steps of a signature.
pub(super) fn tx_range(steps: &[TxStep], (start, count): (u32, u16)) -> &[TxStep] {
    let start = start as usize;
    steps
        .get(start..start + usize::from(count))
        .unwrap_or_default()
}

fn covered(ranked: &Ranked) -> impl Iterator<Item = Direction> + use<> {
    let directions = ranked.directions;
    DIRECTIONS
        .into_iter()
        .filter(move |d| directions & 1 << d.index() != 0)
}

fn field_directions(
    only: Option<Direction>,
    field: FieldDirection,
    signature: u8,
) -> Vec<Direction> {
    DIRECTIONS
        .into_iter()
        .filter(|d| {
            only.is_none_or(|o| o == *d) && field.covers(*d) && signature & 1 << d.index() != 0
        })
        .collect()
}

/// Tests of the group on what `base64_decode` gives.
fn base64_tests<'r>(rules: &RuleSet, signature: &'r Signature) -> Option<&'r [Test]> {
    signature
        .groups
        .iter()
        .find(|g: &&Group| {
            rules
                .buffers
                .get(usize::from(g.buffer.0))
                .is_some_and(|b| matches!(b.source, BufferSource::Base64))
        })
        .map(|g| g.tests.as_slice())
}

fn proto_test(proto: &HeaderProto) -> ProtoTest {
    match proto {
        HeaderProto::PacketHeader => ProtoTest::AnyPacket,
        HeaderProto::Ip | HeaderProto::App(_) => ProtoTest::Ip,
        HeaderProto::Ipv4 => ProtoTest::V4,
        HeaderProto::Ipv6 => ProtoTest::V6,
        HeaderProto::Ether => ProtoTest::Ether,
        HeaderProto::Arp => ProtoTest::Arp,
        HeaderProto::TcpPacket | HeaderProto::TcpStream => ProtoTest::Tcp,
        HeaderProto::Transport(list) => match list {
            [Transport::Tcp] => ProtoTest::Tcp,
            [Transport::Udp] => ProtoTest::Udp,
            [Transport::Sctp] => ProtoTest::Sctp,
            [Transport::Icmp] => ProtoTest::Icmpv4,
            [Transport::Icmpv6] => ProtoTest::Icmpv6,
            [Transport::Icmp, Transport::Icmpv6] | [Transport::Icmpv6, Transport::Icmp] => {
                ProtoTest::Icmp
            }
            [Transport::Other(number)] => ProtoTest::Number(*number),
            [Transport::Tcp, Transport::Udp] | [Transport::Udp, Transport::Tcp] => {
                ProtoTest::TcpOrUdp
            }
            _ => ProtoTest::List,
        },
    }
}

fn classes(proto: ProtoTest) -> Vec<Class> {
    use Class::{Icmp, NonIp, OtherIp, Sctp, Tcp, Udp};
    match proto {
        ProtoTest::AnyPacket | ProtoTest::Ether => vec![Tcp, Udp, Icmp, Sctp, OtherIp, NonIp],
        ProtoTest::Ip | ProtoTest::V4 | ProtoTest::V6 | ProtoTest::List => {
            vec![Tcp, Udp, Icmp, Sctp, OtherIp]
        }
        ProtoTest::Arp => vec![NonIp],
        ProtoTest::Tcp => vec![Tcp],
        ProtoTest::Udp => vec![Udp],
        ProtoTest::TcpOrUdp => vec![Tcp, Udp],
        ProtoTest::Icmp | ProtoTest::Icmpv4 | ProtoTest::Icmpv6 => vec![Icmp],
        ProtoTest::Sctp => vec![Sctp],
        ProtoTest::Number(_) => vec![OtherIp],
    }
}

/// What a packet must have for a signature to match.
fn needs(signature: &Signature, payload: bool) -> u16 {
    let mut needs = 0;
    // A rule on the payload is about packets that have one, whatever it wants not to be there (as in Suricata).
    if payload {
        needs |= need::PAYLOAD;
    }
    let flow = signature.flow;
    if flow.established {
        needs |= need::ESTABLISHED;
    }
    if flow.not_established {
        needs |= need::NOT_ESTABLISHED;
    }
    if !signature.app.is_empty() {
        needs |= need::APP;
    }
    for test in &signature.packet {
        match test {
            PacketTest::PayloadSize(crate::rules::Compare::Equal(0)) => needs |= need::NO_PAYLOAD,
            // What is not of one size is of another, not nothing.
            PacketTest::PayloadSize(compare)
                if !compare.test(0) || matches!(compare, crate::rules::Compare::NotEqual(_)) =>
            {
                needs |= need::PAYLOAD;
            }
            PacketTest::Event(_) => needs |= need::EVENT,
            PacketTest::TcpFlags {
                flags,
                mode: FlagMode::Exact | FlagMode::All,
                ignore,
            } => {
                let wanted = flags & !ignore;
                if wanted & 0x02 != 0 {
                    needs |= need::SYN;
                }
                if wanted & 0x04 != 0 {
                    needs |= need::RST;
                }
                if wanted & 0x01 != 0 {
                    needs |= need::FIN;
                }
                if wanted & 0xe0 != 0 {
                    needs |= need::UNUSUAL_FLAGS;
                }
            }
            _ => {}
        }
    }
    let reads_bits = signature
        .state
        .iter()
        .any(|s| matches!(s, crate::rules::FlowStateOption::BitIsSet(_)));
    if reads_bits {
        needs |= need::FLOW_STATE;
    }
    needs
}
