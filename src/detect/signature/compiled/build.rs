//! From signatures as rules say them to what inspection runs.

use std::collections::{BTreeMap, HashMap};

use super::sites::{Floating, Site, SiteBuilder, SitePatterns, named};
use super::{
    AppSet, Class, Compiled, DIRECTIONS, Draft, FrameLook, ProtoTest, Ranked, Scans, SiteScans,
    TxLook, TxScan, TxStage, TxStep, need,
};
use crate::app::{AppProto, Field, FieldDirection, registry};
use crate::detect::signature::SegmentView;
use crate::detect::signature::address_index::AddressIndexBuilder;
use crate::detect::signature::prefilter::MatcherBuilder;
use crate::detect::signature::program::{Program, ProgramBuilder};
use crate::detect::signature::sets::SetBuilder;
use crate::detect::signature::situation::Situations;
use crate::packet::{Direction, Transport};
use crate::rules::{
    BufferId, BufferSource, FlagMode, FlowStateOption, Group, HeaderProto, Hook, PacketTest,
    PayloadScope, RuleSet, Signature, Test, TxWant,
};

/// Which patterns a matcher holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MatcherKey {
    Header(u16, u8),
    Tx(u16, u8),
}

pub(super) fn segments_of(segments: &[SegmentView], index: usize) -> u64 {
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

pub(super) struct Build<'r> {
    pub(super) rules: &'r RuleSet,
    pub(super) compiled: Compiled,
    pub(super) programs: ProgramBuilder<'r>,
    pub(super) sets: SetBuilder,
    pub(super) matchers: BTreeMap<MatcherKey, MatcherBuilder>,
    pub(super) sites: BTreeMap<Site, SitePatterns<'r>>,
    pub(super) always: [[BTreeMap<u16, Vec<u32>>; 2]; Class::COUNT],
    pub(super) addresses: AddressIndexBuilder,
    /// By protocol and direction: progress and buffer → field.
    pub(super) scans: Vec<[BTreeMap<(u8, u16), &'static Field>; 2]>,
    /// By protocol and direction: progress → signatures without a pattern.
    pub(super) tx_always: Vec<[BTreeMap<u8, Vec<u32>>; 2]>,
}

impl<'r> Build<'r> {
    pub(super) fn new(rules: &'r RuleSet) -> Self {
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

    pub(super) fn add(&mut self, signature: &'r Signature, index: u32, segments: u64) {
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

    pub(super) fn source(&self, buffer: BufferId) -> Option<&'r BufferSource> {
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
    pub(super) fn frame_look(&mut self, signature: &'r Signature, rank: u32) -> Option<FrameLook> {
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

    pub(super) fn finish(mut self, segments: &[SegmentView]) -> Draft {
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

pub(super) fn direction_of(d: u8) -> Direction {
    if d == 0 {
        Direction::ToServer
    } else {
        Direction::ToClient
    }
}

pub(super) fn stages(
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

pub(super) fn field_directions(
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
pub(super) fn base64_tests<'r>(rules: &RuleSet, signature: &'r Signature) -> Option<&'r [Test]> {
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

pub(super) fn proto_test(proto: &HeaderProto) -> ProtoTest {
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

/// What a packet must have for a signature to match.
pub(super) fn needs(signature: &Signature, payload: bool) -> u16 {
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
