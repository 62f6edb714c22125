//! Inspection of a packet with its flow, stream and transactions: what one worker does with the shared engine.

use std::sync::Arc;

use super::compiled::{Class, FRONT_BYTES, ProtoTest, Ranked, Scans, need};
use super::cost::{Costs, RuleCost};
use super::datasets::Settled;
use super::flow_rules::{FlowAction, FlowRules};
use super::packet_test::{
    flow_test, is_established, packet_test, sctp_user_data, segment, state_changes, state_tests,
    stream_test,
};
use super::program::Program;
use super::sets::{Memo, SetId};
use super::situation::Known;
use super::threshold::Thresholds;
use super::tx::{self, TxScratch};
use super::values::Values;
use super::verify::{Noted, Subject, Verifier};
use super::{Engine, frame, transform, verdict};
use crate::alert::Verdict;
use crate::app::{AppLayer, AppProto};
use crate::flow::Flow;
use crate::packet::{Direction, EventSet, Net, Packet, PacketOrigin, TcpFlags, Transport};
use crate::rules::dataset::Ask;
use crate::rules::{
    Action, BufferId, HeaderBuffer, HeaderProto, Hook, PayloadScope, Signature, SignatureKind,
};
use crate::stats::Memory;
use crate::stream::StreamWindow;
use crate::sys::hs::Scratch;
use crate::sys::pcre::RegexScratch;

/// What is inspected: a packet, and everything that is known of its flow at this moment.
#[derive(Debug)]
pub struct Inspection<'a> {
    /// The packet (for a flow that timed out: a pseudo packet with `PacketOrigin::FlowTimeout` and no payload).
    pub packet: Packet<'a>,
    /// Which way it goes in its flow; to the server when it has none.
    pub direction: Direction,
    /// Its flow. ICMP errors come with the flow they are about.
    pub flow: Option<&'a mut Flow>,
    /// The stream's view of the packet.
    pub stream: StreamView<'a>,
    /// The flow's application layer.
    pub app: Option<&'a mut AppLayer>,
    /// The rules' memory of the flow.
    pub rules: Option<&'a mut FlowRules>,
    /// The segment of the packet: its number, 0..64, an index of `EngineSettings::segments`.
    pub segment: u8,
    /// Whether the packet can still be stopped.
    pub inline: bool,
}

/// What the stream stage says about a TCP packet. Default: not TCP, or no session.
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamView<'a> {
    /// In-order bytes of the packet's direction that are due for inspection now.
    pub window: Option<StreamWindow<'a>>,
    /// Whether the session is established (Suricata's PKT_STREAM_EST): transactions are inspected only then.
    pub established: bool,
    /// Whether `flow:established` holds for the packet (any transport).
    pub flow_established: bool,
    /// Whether the packet's payload became part of the stream: stream signatures then see it there, not in the packet.
    pub added: bool,
    /// Whether the payload must not be looked at (encrypted remainder, bypass).
    pub no_payload: bool,
    /// Whether the packet's direction got its end (FIN, RST, depth, timeout): nothing follows.
    pub ended: bool,
    /// Whether the packet's direction is beyond the depth of reassembly: its transactions count as complete.
    pub cut: bool,
    /// Bytes of each direction in sequence space so far: to the server (the client's), to the client (`stream_size`).
    pub sizes: [u64; 2],
    /// Whether transactions changed since the last packet of this direction; false skips them.
    pub app_updated: bool,
}

/// Where a signature matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HitPlace {
    /// In the packet: headers, payload, events.
    Packet,
    /// In the reassembled stream.
    Stream,
    /// In a transaction.
    Transaction,
    /// In a frame of the protocol, by its number.
    Frame(u32),
}

/// A signature that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Index in `RuleSet::signatures`.
    pub signature: u32,
    /// Rank of the signature in the order of inspection.
    pub rank: u32,
    /// Transaction it matched in, or is to be shown with.
    pub tx: Option<u64>,
    /// Whether `tx` is only the flow's single live transaction, not where it matched (EVE `tx_guessed`).
    pub tx_guessed: bool,
    /// Where.
    pub place: HitPlace,
    /// What the rule does, as its segment has it.
    pub action: Action,
    /// Whether it makes no alert (`noalert`, `config`): reported because of xbits or other effects settled later.
    pub silent: bool,
    /// Whether it has xbits or hostbits options ([`Engine::xbits`]), to be settled in packet order.
    pub xbits: bool,
    /// For [`Inspector::noted`].
    pub noted: u16,
}

/// Matches of one packet whose dependence on data sets is noted; further ones are dropped as hits beyond the limit are.
/// A packet gives at most [`super::ALERTS_MAX`] alerts; the rest is room for signatures that say nothing.
const NOTES_MAX: usize = 1_024;

/// Counters of an inspector, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectorStats {
    /// Packets inspected.
    pub packets: u64,
    /// Bytes given to the multi-pattern matcher.
    pub scanned_bytes: u64,
    /// Signatures whose header was tested.
    pub candidates: u64,
    /// Signatures whose buffers were inspected.
    pub verified: u64,
    /// Hits beyond the limit a packet.
    pub alerts_dropped: u64,
    /// Inspections of a buffer ended by the limit of steps.
    pub step_limits: u64,
    /// Expressions ended by match or depth limit.
    pub pcre_limits: u64,
    /// Values of a multi-buffer beyond the limit.
    pub value_limits: u64,
    /// Signatures waiting for a transaction that could not be noted because there were too many.
    pub state_limits: u64,
}

/// One worker's inspector: scratch memory and caches. Allocates nothing per packet once they have grown.
#[derive(Debug)]
pub struct Inspector {
    engine: Arc<Engine>,
    work: Work,
}

/// What an inspector works with, apart from the engine.
#[derive(Debug)]
pub(super) struct Work {
    pub stats: InspectorStats,
    pub verifier: Verifier,
    pub values: Values,
    pub regex: Option<RegexScratch>,
    scratch: Option<Scratch>,
    /// Candidates of the packet, by rank.
    candidates: Vec<u32>,
    /// Candidates that are decided by transactions, found by the payload.
    pub tx_candidates: Vec<u32>,
    pub tx: TxScratch,
    thresholds: Thresholds,
    /// What signatures cost, when asked for.
    pub costs: Costs,
    queue: Vec<Match>,
    src: Memo,
    dst: Memo,
    sport: Memo,
    dport: Memo,
    /// Result of a header buffer that is transformed.
    pub header: [Vec<u8>; 2],
    /// What matches of the packet depend on of data sets.
    notes: Vec<Noted>,
    /// Values that are in sets which nothing leaves.
    settled: Settled,
    /// What it knows of bits and sets that workers share.
    own: verdict::OwnView,
}

/// What is known of the packet in hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub class: Class,
    pub direction: Direction,
    pub has: u16,
    pub established: bool,
    pub has_flow: bool,
    /// Protocol that rules on headers may rely on.
    pub app: AppProto,
    pub segment: usize,
    pub events: EventSet,
    /// Whether the packet only ends a flow: tests on packets do not run.
    pub flow_end: bool,
}

/// A signature that matched, before the verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub rank: u32,
    pub tx: Option<u64>,
    pub place: HitPlace,
    /// What it depends on of data sets: its place among [`Work::notes`], from 1; 0: nothing.
    pub noted: u16,
}

impl Inspector {
    /// An inspector of an engine.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        let databases = engine.compiled.matchers.iter().map(|m| m.database());
        let settings = &engine.settings;
        let (steps, matches, depth) = (
            settings.steps_max,
            settings.pcre_match_limit,
            settings.pcre_depth_limit,
        );
        let work = Work {
            stats: InspectorStats::default(),
            verifier: Verifier::new(steps, matches, depth),
            values: Values::new(engine.compiled.buffers),
            regex: RegexScratch::new(matches, depth),
            // No memory for the matcher's scratch: without it every signature becomes a candidate.
            scratch: Scratch::for_databases(databases).ok().flatten(),
            candidates: Vec::with_capacity(1024),
            tx_candidates: Vec::with_capacity(64),
            tx: TxScratch::default(),
            thresholds: Thresholds::default(),
            costs: Costs::default(),
            queue: Vec::with_capacity(32),
            src: Memo::default(),
            dst: Memo::default(),
            sport: Memo::default(),
            dport: Memo::default(),
            header: Default::default(),
            notes: Vec::new(),
            settled: Settled::default(),
            own: verdict::OwnView::default(),
        };
        Self { engine, work }
    }

    /// The engine it works with.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Begins to measure what each signature costs, or stops.
    pub fn profile(&mut self, on: bool) {
        let count = self.engine.rules().signatures.len();
        self.work.costs.set(on.then_some(count));
    }

    /// What each signature cost since, by its place in the rule set; empty when nothing is measured.
    pub fn costs(&self) -> Vec<RuleCost> {
        self.work.costs.copy()
    }

    /// Goes on where `before` stops, which worked with the engine that this one's replaces: its counts.
    pub fn take_over(&mut self, before: &mut Self) {
        self.work.thresholds = std::mem::take(&mut before.work.thresholds);
        self.work.own = std::mem::take(&mut before.work.own);
        self.work.stats = before.work.stats;
        self.profile(before.work.costs.is_on());
        self.work.verifier.step_limits = before.work.verifier.step_limits;
        self.work.verifier.pcre_limits = before.work.verifier.pcre_limits;
    }

    /// What a hit of the packet inspected last depends on of data sets, or shows of them.
    pub fn noted(&mut self, hit: &Hit) -> Option<Noted> {
        let at = usize::from(hit.noted.checked_sub(1)?);
        self.work.notes.get_mut(at).map(std::mem::take)
    }

    /// Carries out what an operator asks of a data set that rules change.
    pub fn ask_dataset(&mut self, name: &str, ask: Ask, key: &[u8]) {
        self.work.own.ask(&self.engine, name, ask, key);
        // What was in it for good may not be any more.
        self.work.settled = Settled::default();
    }

    /// What it keeps for rules across packets: counts of thresholds, and its view of bits and data sets.
    pub fn memory(&self) -> Memory {
        self.work.thresholds.memory() + self.work.own.memory(&self.engine)
    }

    /// Counters.
    pub fn stats(&self) -> InspectorStats {
        let verifier = &self.work.verifier;
        InspectorStats {
            step_limits: verifier.step_limits,
            pcre_limits: verifier.pcre_limits,
            ..self.work.stats
        }
    }

    /// Inspects one packet: appends what matched to `hits`, in the order of the alerts (at most [`super::ALERTS_MAX`]
    /// that are not silent), and says what becomes of the packet. A verdict on the flow is also noted in
    /// [`FlowRules::action`]; for a flow that is passed or dropped already, nothing is inspected.
    pub fn inspect(&mut self, mut input: Inspection<'_>, hits: &mut Vec<Hit>) -> Verdict {
        let engine = &*self.engine;
        let work = &mut self.work;
        work.stats.packets += 1;
        if let Some(rules) = input.rules.as_deref_mut() {
            rules.adopt(engine.generation, &engine.succession);
            rules.next_packet();
            if let Some(flow) = input.flow.as_deref() {
                rules.orient(&flow.key);
            }
            let decided = match rules.action {
                FlowAction::None => None,
                FlowAction::Pass => Some(Verdict::Accept),
                FlowAction::Drop => Some(Verdict::DropFlow),
            };
            if let Some(verdict) = decided {
                tx::skip(work, &mut input);
                return verdict;
            }
        }
        if input.flow.as_ref().is_some_and(|flow| flow.no_inspection) {
            tx::skip(work, &mut input);
            return Verdict::Accept;
        }
        let facts = work.facts(&input);
        work.queue.clear();
        work.notes.clear();
        work.candidates.clear();
        work.tx_candidates.clear();
        work.ask_sets(engine);
        work.collect(engine, &input, &facts);
        work.packet_signatures(engine, &mut input, &facts);
        tx::inspect(work, engine, &mut input, &facts);
        frame::inspect(work, engine, &mut input, &facts);
        work.note_entropies(&mut input);
        let counts = (&mut work.stats, &mut work.thresholds);
        let (own, notes) = (&mut work.own, work.notes.as_slice());
        verdict::settle(
            engine,
            &mut work.queue,
            counts,
            own,
            notes,
            &mut input,
            hits,
        )
    }
}

impl Work {
    fn facts(&self, input: &Inspection<'_>) -> Facts {
        let packet = input.packet;
        let class = Class::of(packet.transport, packet.is_ip());
        let established = is_established(input);
        let mut has = 0;
        let mut note = |on: bool, bit: u16| {
            if on {
                has |= bit;
            }
        };
        let window = input.stream.window.is_some_and(|w| !w.bytes.is_empty());
        let payload = (packet.payload_len > 0 || window) && !input.stream.no_payload;
        note(payload, need::PAYLOAD);
        note(packet.payload_len == 0, need::NO_PAYLOAD);
        note(input.flow.is_some(), need::FLOW);
        note(established, need::ESTABLISHED);
        note(!established, need::NOT_ESTABLISHED);
        if class == Class::Tcp {
            let flags = packet.tcp.flags.0;
            note(flags & TcpFlags::SYN != 0, need::SYN);
            note(flags & TcpFlags::RST != 0, need::RST);
            note(flags & TcpFlags::FIN != 0, need::FIN);
            note(flags & 0xe0 != 0, need::UNUSUAL_FLAGS);
        }
        let events = packet.events;
        note(!events.is_empty(), need::EVENT);
        note(
            input.rules.as_ref().is_some_and(|r| !r.bits().is_empty()),
            need::FLOW_STATE,
        );
        let readable = match class {
            Class::Tcp => input.stream.established,
            Class::Udp => true,
            Class::Sctp => established,
            _ => false,
        };
        let app = match &input.app {
            Some(app) if readable => app.proto,
            _ => AppProto::UNKNOWN,
        };
        note(app.is_known(), need::APP);
        Facts {
            class,
            direction: input.direction,
            has,
            established,
            has_flow: input.flow.is_some(),
            app,
            segment: usize::from(input.segment),
            events,
            flow_end: packet.origin.is_made(),
        }
    }

    fn ask_sets(&mut self, engine: &Engine) {
        let sets = &engine.compiled.sets;
        self.src.clear(sets.address_count());
        self.dst.clear(sets.address_count());
        self.sport.clear(sets.port_count());
        self.dport.clear(sets.port_count());
    }

    /// Collects the candidates of the packet, sorted, each once.
    fn collect(&mut self, engine: &Engine, input: &Inspection<'_>, facts: &Facts) {
        let compiled = &engine.compiled;
        let packet = input.packet;
        let (class, d) = (facts.class as usize, facts.direction.index());
        if !packet.events.is_empty() {
            for event in packet.events.iter() {
                let list = compiled
                    .events
                    .get(usize::from(event.0))
                    .map_or(&[][..], Vec::as_slice);
                self.candidates.extend_from_slice(list);
            }
        }
        // What is not IP and broken takes part in event rules only.
        if packet.invalid && !packet.is_ip() {
            self.order_candidates(engine, facts);
            return;
        }
        self.collect_once(engine, input, facts);
        if let Some(always) = compiled.always.get(class).and_then(|a| a.get(d)) {
            if !always.by_port.is_empty()
                && let Some(list) = always.by_port.get(&packet.dport)
            {
                self.candidates.extend_from_slice(list);
            }
            for (needs, list) in &always.groups {
                if needs & !(facts.has | need::FLOW_STATE) == 0 && needs & need::FLOW_STATE == 0 {
                    self.candidates.extend_from_slice(list);
                }
            }
        }
        if input.stream.no_payload {
            self.order_candidates(engine, facts);
            return;
        }
        self.collect_payload(engine, input, facts);
        if let Some(list) = compiled.headers.get(d) {
            for (header, buffer, at) in list {
                for index in 0..HEADER_VALUES_MAX {
                    let Some(bytes) = header_bytes(*header, &packet, index) else {
                        break;
                    };
                    let mut transformed = std::mem::take(&mut self.header);
                    let bytes = header_transformed(
                        engine,
                        *buffer,
                        bytes,
                        &mut transformed,
                        self.regex.as_mut(),
                    );
                    self.scan(engine, Some(*at), bytes);
                    self.header = transformed;
                }
            }
        }
        self.order_candidates(engine, facts);
    }

    /// Candidates by the patterns of the packet's payload and of the stream's piece that is due.
    fn collect_payload(&mut self, engine: &Engine, input: &Inspection<'_>, facts: &Facts) {
        let compiled = &engine.compiled;
        let packet = input.packet;
        let (class, d) = (facts.class as usize, facts.direction.index());
        let payload = packet.payload();
        if payload.is_empty() && input.stream.window.is_none() {
            return;
        }
        let situation = compiled.situations.of(Known {
            class: facts.class,
            established: facts.established,
            app: facts.app,
            ports: (!packet.fragment).then_some(match facts.direction {
                Direction::ToServer => (packet.dport, packet.sport),
                Direction::ToClient => (packet.sport, packet.dport),
            }),
        });
        let Some(packets) = compiled.payload.get(class).and_then(|c| c.get(d)) else {
            return;
        };
        packets.starts.find(payload, &mut self.candidates);
        let scans = packets.of_payload(situation, packet.payload_len);
        let stream = compiled.stream.get(d).filter(|_| facts.class == Class::Tcp);
        let Some(stream) = stream else {
            self.scan_both(engine, scans, payload);
            return;
        };
        // What did not become part of the stream is inspected as if it were a piece of it.
        if input.stream.window.is_none() && !input.stream.added {
            stream.starts.find(payload, &mut self.candidates);
            if compiled.situations.is_alone(situation) {
                let alone = compiled.alone.get(d).and_then(|a| a.get(situation));
                self.scan_both(engine, alone.copied().unwrap_or_default(), payload);
            } else {
                self.scan_both(engine, scans, payload);
                self.scan_both(engine, stream.of(situation), payload);
            }
            return;
        }
        self.scan_both(engine, scans, payload);
        if let Some(window) = input.stream.window {
            stream.starts.find(window.bytes, &mut self.candidates);
            let scans = stream.of(situation);
            if window.seen > 0 {
                let new = window.bytes.get(window.seen..).unwrap_or_default();
                stream.starts.find(new, &mut self.candidates);
                self.scan_both(engine, scans, front_of(new));
            }
            self.scan_both(engine, scans, window.bytes);
        }
    }

    /// Scans the front of a block, and all of it.
    fn scan_both(&mut self, engine: &Engine, scans: Scans, block: &[u8]) {
        if !block.is_empty() {
            self.scan(engine, scans.front, front_of(block));
            self.scan(engine, scans.all, block);
        }
    }

    /// Candidates that are due once per flow and direction.
    fn collect_once(&mut self, engine: &Engine, input: &Inspection<'_>, facts: &Facts) {
        let compiled = &engine.compiled;
        let packet = input.packet;
        if facts.flow_end {
            return;
        }
        if packet.is_ip()
            && !input
                .rules
                .as_ref()
                .is_some_and(|r| r.addresses_were_tested(facts.direction))
        {
            compiled
                .addresses
                .collect(packet.src, packet.dst, &mut self.candidates);
        }
        if !compiled.protocol.is_empty()
            && let Some(app) = &input.app
            && app.identified_now.get(facts.direction.index()) == Some(&true)
        {
            self.candidates.extend_from_slice(&compiled.protocol);
        }
    }

    /// Adds the signatures that wait for a flowbit when one is set, or a candidate may set one; sorts, each once.
    fn order_candidates(&mut self, engine: &Engine, facts: &Facts) {
        let compiled = &engine.compiled;
        let always = compiled
            .always
            .get(facts.class as usize)
            .and_then(|a| a.get(facts.direction.index()));
        if let Some(always) = always.filter(|a| a.waits_for_bits) {
            let sets = |rank: &u32| {
                compiled
                    .signatures
                    .get(*rank as usize)
                    .is_some_and(|s| s.sets_bits)
            };
            if facts.has & need::FLOW_STATE != 0 || self.candidates.iter().any(sets) {
                for (needs, list) in &always.groups {
                    if needs & need::FLOW_STATE != 0 && needs & !(facts.has | need::FLOW_STATE) == 0
                    {
                        self.candidates.extend_from_slice(list);
                    }
                }
            }
        }
        self.candidates.sort_unstable();
        self.candidates.dedup();
        self.stats.candidates += self.candidates.len() as u64;
    }

    /// Scans a block with a matcher, if there is one.
    fn scan(&mut self, engine: &Engine, matcher: Option<usize>, block: &[u8]) {
        if let Some(matcher) = matcher.and_then(|at| engine.compiled.matchers.get(at)) {
            self.stats.scanned_bytes +=
                matcher.scan(self.scratch.as_mut(), block, 0, &mut self.candidates);
        }
    }

    /// Scans a block for candidates of transactions.
    pub fn scan_tx(
        &mut self,
        engine: &Engine,
        matcher: usize,
        subject: Subject<'_>,
        into: &mut Vec<u32>,
    ) {
        if let Some(matcher) = engine.compiled.matchers.get(matcher) {
            self.stats.scanned_bytes +=
                matcher.scan(self.scratch.as_mut(), subject.bytes, subject.offset, into);
        }
    }

    /// Decides the candidates that the packet alone decides.
    fn packet_signatures(&mut self, engine: &Engine, input: &mut Inspection<'_>, facts: &Facts) {
        let candidates = std::mem::take(&mut self.candidates);
        for rank in &candidates {
            let Some(signature) = engine.compiled.signatures.get(*rank as usize) else {
                continue;
            };
            if signature.is_tx() {
                self.tx_candidates.push(*rank);
                continue;
            }
            if signature.needs & !(facts.has | need::FLOW_STATE) != 0 {
                continue;
            }
            let on_packets = matches!(
                signature.kind,
                SignatureKind::Packet
                    | SignatureKind::IpOnlyEveryPacket
                    | SignatureKind::ProtocolPackets
            );
            if facts.flow_end && on_packets {
                continue;
            }
            if !signature.app.holds(facts.app)
                || !self.header(engine, signature, &input.packet, facts)
            {
                continue;
            }
            let Some(rule) = engine.rules().signatures.get(signature.index as usize) else {
                continue;
            };
            if !self.tests(rule, input, facts) {
                continue;
            }
            self.stats.verified += 1;
            let begun = self.costs.begin();
            let place = self.buffers(engine, signature, input);
            self.costs.end(begun, signature.index, place.is_some());
            let Some(place) = place else {
                continue;
            };
            let noted = if signature.notes {
                let packet = input.packet;
                let look = |work: &mut Self| {
                    work.header_buffers(engine, signature, &packet);
                };
                match self.note(engine, signature, look) {
                    Some(noted) => noted,
                    None => continue,
                }
            } else {
                0
            };
            matched(rule, input);
            self.note_captures(input);
            let tx = if rule.app.is_empty() {
                None
            } else {
                datagram_tx(input)
            };
            self.queue.push(Match {
                rank: *rank,
                tx,
                place,
                noted,
            });
        }
        self.candidates = candidates;
        if let Some(rules) = input.rules.as_deref_mut().filter(|_| !facts.flow_end) {
            let d = facts.direction.index();
            if input.packet.is_ip()
                && let Some(done) = rules.addresses_done.get_mut(d)
            {
                *done = true;
            }
            if let Some(app) = input.app.as_deref_mut()
                && let Some(now) = app.identified_now.get_mut(d)
            {
                *now = false;
            }
        }
    }

    /// Whether protocol, ports, addresses, direction and segment fit.
    pub fn header(
        &mut self,
        engine: &Engine,
        signature: &Ranked,
        packet: &Packet<'_>,
        facts: &Facts,
    ) -> bool {
        if signature.segments & 1 << (facts.segment & 63) == 0 {
            return false;
        }
        if !signature.covers(facts.direction) && facts.has_flow
            || !proto_fits(engine, signature, packet)
        {
            return false;
        }
        // A transactional rule names client and server; the answer comes the other way.
        let reversed = signature.transactional && facts.direction == Direction::ToClient;
        if self.endpoints(engine, signature, packet, facts, reversed) {
            return true;
        }
        signature.bidirectional && self.endpoints(engine, signature, packet, facts, true)
    }

    fn endpoints(
        &mut self,
        engine: &Engine,
        signature: &Ranked,
        packet: &Packet<'_>,
        facts: &Facts,
        reversed: bool,
    ) -> bool {
        let sets = &engine.compiled.sets;
        let any = SetId::ANY;
        let (src, dst, sport, dport) = if reversed {
            (
                signature.dst,
                signature.src,
                signature.dport,
                signature.sport,
            )
        } else {
            (
                signature.src,
                signature.dst,
                signature.sport,
                signature.dport,
            )
        };
        if sport != any || dport != any {
            let has_ports =
                matches!(facts.class, Class::Tcp | Class::Udp | Class::Sctp) && !packet.fragment;
            // A variable that means any port does not ask for ports.
            let fits = |memo: &mut Memo, id: SetId, port: u16| {
                memo.ask(id, || sets.holds_port(facts.segment, id, port))
            };
            if has_ports {
                if !fits(&mut self.dport, dport, packet.dport)
                    || !fits(&mut self.sport, sport, packet.sport)
                {
                    return false;
                }
            } else if !sets.any_port(facts.segment, sport) || !sets.any_port(facts.segment, dport) {
                return false;
            }
        }
        if src == any && dst == any {
            return true;
        }
        if !packet.is_ip() {
            return true;
        }
        self.dst
            .ask(dst, || sets.holds_address(facts.segment, dst, packet.dst))
            && self
                .src
                .ask(src, || sets.holds_address(facts.segment, src, packet.src))
    }

    /// Whether flow option, header tests, stream tests and flow state conditions hold.
    pub fn tests(&mut self, rule: &Signature, input: &Inspection<'_>, facts: &Facts) -> bool {
        if rule.hook == Some(Hook::FlowStart) && !begins_direction(input, facts) {
            return false;
        }
        let rebuilt = input.packet.origin == PacketOrigin::Defrag;
        flow_test(
            rule.flow,
            facts.direction,
            facts.has_flow,
            facts.established,
            rebuilt,
        ) && rule
            .packet
            .iter()
            .all(|test| packet_test(test, &input.packet, &facts.events))
            && rule.stream.iter().all(|test| stream_test(test, input))
            && (rule.state.is_empty() || state_tests(&rule.state, input.rules.as_deref()))
    }

    /// Whether payload and header buffers match, and where.
    fn buffers(
        &mut self,
        engine: &Engine,
        signature: &Ranked,
        input: &Inspection<'_>,
    ) -> Option<HitPlace> {
        self.verifier.begin(signature.variables);
        if !self.header_buffers(engine, signature, &input.packet) {
            return None;
        }
        let Some(program) = signature.payload else {
            return Some(HitPlace::Packet);
        };
        let programs = &engine.compiled.programs;
        let streams =
            input.packet.transport == Transport::Tcp && signature.scope != PayloadScope::Packet;
        if streams {
            if let Some(window) = input.stream.window
                && self.window_matches(
                    engine,
                    program,
                    window,
                    input.inline,
                    Subject::whole(window.bytes),
                )
            {
                return Some(HitPlace::Stream);
            }
            if signature.scope == PayloadScope::Stream && input.stream.added {
                return None;
            }
            if matches!(engine.rules().signatures.get(signature.index as usize), Some(rule) if rule.flow.only_stream)
            {
                return None;
            }
        }
        if input.stream.no_payload {
            return None;
        }
        self.verifier
            .matches(programs, program, Subject::whole(input.packet.payload()))
            .then_some(HitPlace::Packet)
    }

    /// Whether a program matches in a piece of the stream. The piece may begin with bytes of the one before, so that
    /// nothing hides in the seam; what those alone show was said already.
    pub fn window_matches(
        &mut self,
        engine: &Engine,
        program: Program,
        window: StreamWindow<'_>,
        inline: bool,
        subject: Subject<'_>,
    ) -> bool {
        let programs = &engine.compiled.programs;
        let piece = |bytes| Subject {
            bytes,
            complete: false,
            ..subject
        };
        if window.seen == 0 || inline {
            return self
                .verifier
                .matches(programs, program, piece(window.bytes));
        }
        let (seen, new) = window
            .bytes
            .split_at_checked(window.seen)
            .unwrap_or((window.bytes, &[]));
        !new.is_empty()
            && (self.verifier.matches(programs, program, piece(new))
                || self
                    .verifier
                    .matches(programs, program, piece(window.bytes))
                    && !self.verifier.matches(programs, program, piece(seen)))
    }

    /// Whether the programs over header buffers match.
    pub fn header_buffers(
        &mut self,
        engine: &Engine,
        signature: &Ranked,
        packet: &Packet<'_>,
    ) -> bool {
        let (start, count) = (
            signature.headers.0 as usize,
            usize::from(signature.headers.1),
        );
        let list = engine
            .compiled
            .header_programs
            .get(start..start + count)
            .unwrap_or_default();
        list.iter().all(|(header, buffer, program)| {
            (0..HEADER_VALUES_MAX)
                .map_while(|index| header_bytes(*header, packet, index))
                .any(|bytes| {
                    let mut transformed = std::mem::take(&mut self.header);
                    let bytes = header_transformed(
                        engine,
                        *buffer,
                        bytes,
                        &mut transformed,
                        self.regex.as_mut(),
                    );
                    let matched = self.verifier.matches(
                        &engine.compiled.programs,
                        *program,
                        Subject::whole(bytes),
                    );
                    self.header = transformed;
                    matched
                })
        })
    }

    /// Looks again at what a signature matched on, and notes what that depends on of data sets. `None`: it is known
    /// already that it does not match after all.
    pub fn note(
        &mut self,
        engine: &Engine,
        signature: &Ranked,
        look: impl FnOnce(&mut Self),
    ) -> Option<u16> {
        if self.notes.len() >= NOTES_MAX {
            self.stats.alerts_dropped += 1;
            return None;
        }
        self.verifier.noting = true;
        look(self);
        self.verifier.noting = false;
        let noted = std::mem::take(&mut self.verifier.noted);
        if noted.conditions.is_empty() && noted.objects.is_empty() {
            return Some(0);
        }
        let rules = engine.rules();
        // With xbits it depends on these whether the set is changed.
        let alone = rules
            .signatures
            .get(signature.index as usize)
            .is_some_and(|rule| rule.state.is_empty());
        if alone && !self.settled.may_hold(&rules.datasets, &noted.conditions) {
            return None;
        }
        self.notes.push(noted);
        u16::try_from(self.notes.len()).ok()
    }

    /// What the signature that matched captured belongs to the flow from now on.
    pub fn note_captures(&mut self, input: &mut Inspection<'_>) {
        if !self.verifier.captured.is_empty()
            && let Some(rules) = input.rules.as_deref_mut()
        {
            for captured in self.verifier.captured.drain(..) {
                rules.vars_mut().note(&captured);
            }
        }
    }

    fn note_entropies(&mut self, input: &mut Inspection<'_>) {
        if self.verifier.entropies.is_empty() {
            return;
        }
        for (buffer, entropy) in self.verifier.entropies.drain(..) {
            if let Some(rules) = input.rules.as_deref_mut() {
                rules.vars_mut().note_entropy(&buffer, entropy);
            }
        }
    }

    /// Notes a match of a transaction.
    pub fn found(&mut self, found: Match) {
        self.queue.push(found);
    }
}

/// Whether the packet is the first of its direction in its flow.
fn begins_direction(input: &Inspection<'_>, facts: &Facts) -> bool {
    !facts.flow_end
        && input
            .flow
            .as_ref()
            .is_some_and(|flow| flow.packets.get(facts.direction.index()) == Some(&1))
}

/// The transaction that a rule on a protocol is shown with when it matched a datagram: the oldest not yet inspected.
fn datagram_tx(input: &Inspection<'_>) -> Option<u64> {
    if input.packet.transport != Transport::Udp {
        return None;
    }
    let list = input.app.as_ref()?.session.as_ref()?.transactions();
    let d = input.direction.index();
    (0..list.len())
        .filter_map(|position| list.at(position))
        .find(|tx| !tx.state().inspected.get(d).copied().unwrap_or(true))
        .map(|tx| tx.state().id)
}

/// Carries out what a match changes at once.
pub(super) fn matched(rule: &Signature, input: &mut Inspection<'_>) {
    if !rule.state.is_empty()
        && let Some(rules) = input.rules.as_deref_mut()
    {
        state_changes(&rule.state, rules);
    }
}

/// The part of a block in which patterns bound to its front are looked for.
fn front_of(block: &[u8]) -> &[u8] {
    block.get(..FRONT_BYTES).unwrap_or(block)
}

fn proto_fits(engine: &Engine, signature: &Ranked, packet: &Packet<'_>) -> bool {
    let transport = packet.transport;
    match signature.proto {
        ProtoTest::AnyPacket => true,
        ProtoTest::Ip => packet.is_ip(),
        ProtoTest::V4 => packet.net == Net::V4,
        ProtoTest::V6 => packet.net == Net::V6,
        ProtoTest::Ether => packet.ethernet_offset.is_some(),
        ProtoTest::Arp => packet.net == Net::Arp,
        ProtoTest::Tcp => transport == Transport::Tcp || packet.is_ip() && packet.ip_proto == 6,
        ProtoTest::Udp => transport == Transport::Udp || packet.is_ip() && packet.ip_proto == 17,
        ProtoTest::TcpOrUdp => matches!(transport, Transport::Tcp | Transport::Udp),
        ProtoTest::Icmp => matches!(transport, Transport::Icmp | Transport::Icmpv6),
        ProtoTest::Icmpv4 => transport == Transport::Icmp,
        ProtoTest::Icmpv6 => transport == Transport::Icmpv6,
        ProtoTest::Sctp => transport == Transport::Sctp,
        ProtoTest::Number(number) => packet.is_ip() && packet.ip_proto == number,
        ProtoTest::List => engine.rules().signatures.get(signature.index as usize).is_some_and(
            |rule| matches!(rule.proto, HeaderProto::Transport(list) if list.contains(&transport)),
        ),
    }
}

/// Values of a header buffer of one packet (chunks of SCTP).
const HEADER_VALUES_MAX: usize = 64;

/// Bytes of a header buffer: one, or one a chunk.
fn header_bytes<'a>(header: HeaderBuffer, packet: &Packet<'a>, index: usize) -> Option<&'a [u8]> {
    if header == HeaderBuffer::SctpChunkData {
        return if packet.transport == Transport::Sctp {
            sctp_user_data(packet).nth(index)
        } else {
            None
        };
    }
    if index > 0 {
        return None;
    }
    let network = packet.network_offset as usize;
    let of_net = |net: Net, range: std::ops::Range<usize>| {
        if packet.net == net {
            packet.frame.get(range)
        } else {
            None
        }
    };
    let transport = |transport: Transport| {
        (packet.transport == transport)
            .then(|| packet.transport_header())
            .filter(|bytes| !bytes.is_empty())
    };
    match header {
        HeaderBuffer::Ether => {
            let start = packet.ethernet_offset? as usize;
            packet.frame.get(start..start + 14)
        }
        HeaderBuffer::Ipv4 | HeaderBuffer::Ipv6 => {
            let net = if header == HeaderBuffer::Ipv4 {
                Net::V4
            } else {
                Net::V6
            };
            (packet.net == net).then(|| packet.network_header())
        }
        HeaderBuffer::Arp => of_net(Net::Arp, network..network + 28),
        HeaderBuffer::Tcp => transport(Transport::Tcp),
        HeaderBuffer::Udp => transport(Transport::Udp),
        // The common header with all chunks.
        HeaderBuffer::Sctp => (packet.transport == Transport::Sctp)
            .then(|| segment(packet))
            .filter(|b| b.len() >= 12),
        HeaderBuffer::Icmpv4 => (packet.transport == Transport::Icmp)
            .then(|| segment(packet))
            .and_then(|bytes| bytes.get(..packet.transport_header().len().max(8))),
        HeaderBuffer::Icmpv6 => (packet.transport == Transport::Icmpv6)
            .then(|| segment(packet))
            .and_then(|bytes| bytes.get(..8)),
        HeaderBuffer::Igmp => (packet.is_ip() && packet.ip_proto == 2).then(|| segment(packet)),
        HeaderBuffer::SourceAddress => match packet.net {
            Net::V4 => packet.frame.get(network + 12..network + 16),
            Net::V6 => packet.frame.get(network + 8..network + 24),
            _ => None,
        },
        HeaderBuffer::DestinationAddress => match packet.net {
            Net::V4 => packet.frame.get(network + 16..network + 20),
            Net::V6 => packet.frame.get(network + 24..network + 40),
            _ => None,
        },
        HeaderBuffer::SctpChunkData => None,
    }
}

/// A buffer that is not a field's, with its transforms.
pub(super) fn header_transformed<'b>(
    engine: &Engine,
    buffer: BufferId,
    bytes: &'b [u8],
    out: &'b mut [Vec<u8>; 2],
    mut regex: Option<&mut RegexScratch>,
) -> &'b [u8] {
    let transforms = engine.transforms.of(buffer);
    let Some(((first, expression), rest)) = transforms.split_first() else {
        return bytes;
    };
    let [done, swap] = out;
    transform::apply(
        first,
        expression.as_ref().zip(regex.as_deref_mut()),
        bytes,
        done,
    );
    for (next, expression) in rest {
        std::mem::swap(done, swap);
        transform::apply(
            next,
            expression.as_ref().zip(regex.as_deref_mut()),
            swap,
            done,
        );
    }
    done
}
