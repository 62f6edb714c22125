//! A signature worker: it owns its flows outright, and the path of a packet is readable in [`SignatureWorker::process`]
//! and [`Stages::process`].

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::host_records;
use super::report::Said;
use super::stage_clock::{Stage, StageClock, StageCosts};
use super::tags::{TagList, Tags};
use crate::alert::{Efficacy, Finding, FindingSource, Outbox, OutcomeNote, TextRange, Verdict};
use crate::app::account::Most;
use crate::app::layer::{AppContext, AppInput, EncryptionHandling};
use crate::app::{AppLayer, FileState, Limits, Outcome, Transaction, Watcher, registry};
use crate::detect::anomaly::{HostRecord, RecordKind, pace};
use crate::detect::signature::{
    Engine, FlowAction, FlowRules, Hit, HitPlace, Inspection, Inspector, InspectorStats,
    Replacement, RuleCost, StreamView, replacements,
};
use crate::flow::{
    EndReason, Ended, EndedHalfOpen, Flow, FlowEvents, FlowHandle, FlowSettings, FlowState,
    FlowStats, FlowTable, Foreseen, Recycle, Silent, Slot, TcpState,
};
use crate::grade::action::{BlockList, Contact, Passage};
use crate::grade::{Exceptions, OnException, Segments};
use crate::packet::{
    Batch, Direction, FlowKey, Layers, Net, Packet, PacketOrigin, Slice, TcpFlags, Timestamp,
    Transport,
};
use crate::rules::dataset::Ask;
use crate::sink::eve::alert::Matched;
use crate::sink::eve::{self, EveSettings, FlowExtras, Subject, metadata};
use crate::stats::MemoryBound;
use crate::stream::{ExceptionPolicy, StreamEngine, StreamPair, StreamSettings, StreamStats};

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Flow table.
    pub flow: FlowSettings,
    /// Reassembly.
    pub stream: StreamSettings,
    /// Bounds of the application layer.
    pub limits: Limits,
    /// What becomes of encrypted TLS.
    pub tls_encryption: EncryptionHandling,
    /// Output.
    pub eve: EveSettings,
    /// Whether packets can still be stopped.
    pub inline: bool,
    /// Whether host records are wanted.
    pub hosts: bool,
    /// `flow.memcap-policy`.
    pub flow_memcap: ExceptionPolicy,
    /// By interface: whether a packet that made the analysis fail is stopped (inline). Missing: it goes on.
    pub failed_closed: Vec<bool>,
    /// Segments: each flow's rules are those of its segment.
    pub segments: Arc<Segments>,
    /// Who may not pass (inline, live).
    pub blocks: Option<Arc<BlockList>>,
}

/// Counters of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerStats {
    /// Packets.
    pub packets: u64,
    /// Packets that made the code panic: each costs itself, none the sensor.
    pub panics: u64,
    /// Packets dropped (inline).
    pub dropped: u64,
    /// Packets stopped by the block list (inline).
    pub blocked: u64,
    /// Flow table.
    pub flow: FlowStats,
    /// Streams.
    pub stream: StreamStats,
    /// Flows parsed no further because there was no memory for what parsers hold.
    pub app_refused: u64,
    /// The most that parsers held at a time.
    pub app_most: Most,
    /// Inspection.
    pub inspector: InspectorStats,
    /// What the stages cost.
    pub stages: StageCosts,
}

impl WorkerStats {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.packets += other.packets;
        self.panics += other.panics;
        self.dropped += other.dropped;
        self.blocked += other.blocked;
        let (mine, theirs) = (&mut self.stream, &other.stream);
        mine.sessions += theirs.sessions;
        mine.midstream_pickups += theirs.midstream_pickups;
        mine.invalid_checksum += theirs.invalid_checksum;
        mine.gaps += theirs.gaps;
        mine.overlaps += theirs.overlaps;
        mine.overlaps_different += theirs.overlaps_different;
        mine.memory_refused += theirs.memory_refused;
        mine.depth_reached += theirs.depth_reached;
        self.app_refused += other.app_refused;
        self.app_most.add(&other.app_most);
        self.inspector.scanned_bytes += other.inspector.scanned_bytes;
        self.inspector.candidates += other.inspector.candidates;
        self.inspector.verified += other.inspector.verified;
        self.inspector.alerts_dropped += other.inspector.alerts_dropped;
        self.inspector.step_limits += other.inspector.step_limits;
        self.inspector.pcre_limits += other.inspector.pcre_limits;
        self.inspector.value_limits += other.inspector.value_limits;
        self.inspector.state_limits += other.inspector.state_limits;
        self.flow.unreported += other.flow.unreported;
        self.flow.tcp_reuse += other.flow.tcp_reuse;
        for (mine, theirs) in self.flow.opened.iter_mut().zip(other.flow.opened) {
            *mine += theirs;
        }
        self.stages.packets += other.stages.packets;
        for (mine, theirs) in self.stages.nanos.iter_mut().zip(other.stages.nanos) {
            *mine += theirs;
        }
    }
}

/// What later stages attach to a flow.
#[derive(Debug, Default)]
struct Tracked {
    streams: StreamPair,
    app: AppLayer,
    rules: FlowRules,
    /// Per direction: the application layer changed since its packets were last inspected.
    changed: [bool; 2],
    /// A signature matched in it, silently or not.
    hit: bool,
    /// What the detectors have been told of its payloads.
    told: host_records::Told,
    /// Its segment, once known, by which state of the segments.
    segment: Option<(u32, u8)>,
    /// What rules noted of it, as members of records.
    noted: Vec<u8>,
    /// Rules switched off the records of its transactions, or its own.
    silenced: Silenced,
    /// Rules want its packets recorded.
    tags: TagList,
}

/// Records that rules (`config`) switched off for a whole flow.
#[derive(Clone, Copy, Debug, Default)]
struct Silenced {
    transactions: bool,
    flow: bool,
}

impl Recycle for Tracked {
    fn recycle(&mut self) {
        self.streams.rewind();
        self.app.recycle();
        self.rules = FlowRules::default();
        self.changed = [false; 2];
        self.hit = false;
        self.told = host_records::Told::default();
        self.segment = None;
        self.noted.clear();
        self.silenced = Silenced::default();
        self.tags.clear();
    }

    fn is_half_open(&self, flow: &Flow) -> bool {
        !self.hit
            && self.rules.is_untouched()
            && self.streams.is_half_open(flow)
            && self.app.is_untouched()
    }

    fn restore(&mut self, flow: &Flow) {
        self.streams.restore(flow);
    }
}

/// Whether a segment has exception policies for packets.
fn has_policies(segments: &Segments) -> bool {
    let has = |e: &Exceptions| e.midstream.is_some() || e.memcap.is_some();
    segments.list.iter().any(|s| has(&s.exceptions))
}

/// What an exception policy does to the packet in hand.
fn wanted(policy: ExceptionPolicy) -> Verdict {
    match policy {
        ExceptionPolicy::DropPacket => Verdict::DropPacket,
        ExceptionPolicy::DropFlow => Verdict::DropFlow,
        ExceptionPolicy::Reject => Verdict::RejectSource,
        ExceptionPolicy::RejectBoth => Verdict::RejectBoth,
        ExceptionPolicy::Ignore
        | ExceptionPolicy::PassFlow
        | ExceptionPolicy::PassPacket
        | ExceptionPolicy::Bypass => Verdict::Accept,
    }
}

/// One worker: flows, and the stages they go through.
#[derive(Debug)]
pub struct SignatureWorker {
    flows: FlowTable<Tracked>,
    /// For the reports of half-open connections that ended.
    half_open: Slot<Tracked>,
    stages: Stages,
    /// What the packets of the batch are looked up by.
    foreseen: Vec<Foreseen>,
    packets: u64,
    panics: u64,
    failed_closed: Vec<bool>,
    blocks: Option<Arc<BlockList>>,
    blocked: u64,
    /// Packets that the block list stopped in a second, and which second.
    stopped: (u64, u32),
}

/// Whether records of a packet say that its client holds a request open.
fn tells_of_held(records: &[HostRecord]) -> bool {
    records.iter().any(|record| {
        record.kind == RecordKind::Pace && pace::Said::unpack(record.detail, record.value).is_held()
    })
}

/// Flows looked at in a batch for memory that they hold idle, once it is short: the whole table in two seconds of a hundred
/// thousand packets each.
const IDLE_TRIES: u32 = 512;

/// Packets stopped by the block list of which a second's records speak.
const STOPS_WRITTEN: u32 = 20;

/// For each interface, whether packets of which the analysis fails are dropped.
pub fn failed_closed(exceptions: &[Exceptions]) -> Vec<bool> {
    let closed = |e: &Exceptions| e.parser_error == OnException::Drop;
    exceptions.iter().map(closed).collect()
}

impl SignatureWorker {
    /// A worker for an engine.
    pub fn new(engine: &Arc<Engine>, settings: WorkerSettings) -> Self {
        let limits = Limits {
            frames: engine.wants_frames(),
            file_digests: engine.wants_digests().or(settings.eve.forced),
            ..settings.limits
        };
        let mut app = AppContext::new(limits, settings.inline, settings.stream.midstream);
        app.tls_encryption = settings.tls_encryption;
        let stages = Stages {
            flow_memcap: settings.flow_memcap,
            own_policies: has_policies(&settings.segments),
            clock: StageClock::default(),
            streams: StreamEngine::new(settings.stream),
            app,
            inspector: engine.worker(),
            hits: Vec::new(),
            eve: settings.eve,
            inline: settings.inline,
            hosts: settings.hosts,
            segments: settings.segments,
            segments_state: 0,
            dropped: 0,
            changes: Vec::new(),
            tags: Tags::default(),
            ids: Vec::new(),
        };
        Self {
            flows: FlowTable::new(settings.flow),
            half_open: Slot::default(),
            stages,
            foreseen: Vec::new(),
            packets: 0,
            panics: 0,
            failed_closed: settings.failed_closed,
            blocks: settings.blocks,
            blocked: 0,
            stopped: (0, 0),
        }
    }

    /// Goes on with other rules and segments; flows, streams and transactions stay as they are. To be called between
    /// batches. What it worked with before comes back, to be freed where nobody waits for it.
    pub fn adopt(&mut self, mut inspector: Inspector, segments: Arc<Segments>) -> Inspector {
        self.stages.app.limits.frames = inspector.engine().wants_frames();
        self.stages.app.limits.file_digests = inspector
            .engine()
            .wants_digests()
            .or(self.stages.eve.forced);
        inspector.take_over(&mut self.stages.inspector);
        self.stages.own_policies = has_policies(&segments);
        self.failed_closed = failed_closed(&segments.exceptions());
        // The next packet's segment may have none any more.
        self.stages.streams.go_by(None, None);
        self.stages.segments = segments;
        self.stages.segments_state = self.stages.segments_state.wrapping_add(1);
        std::mem::replace(&mut self.stages.inspector, inspector)
    }

    /// Packets for this worker went their way without it, up to this time (inline, by an exception policy).
    pub fn missed(&mut self, until: Timestamp) {
        self.stages.streams.missed(until);
    }

    /// Carries out what an operator asks of a data set that rules change.
    pub fn ask_dataset(&mut self, name: &str, ask: Ask, key: &[u8]) {
        self.stages.inspector.ask_dataset(name, ask, key);
    }

    /// Begins to measure what each signature costs, or stops.
    pub fn profile(&mut self, on: bool) {
        self.stages.inspector.profile(on);
    }

    /// What each signature cost since that began, by its place in the rule set.
    pub fn costs(&self) -> Vec<RuleCost> {
        self.stages.inspector.costs()
    }

    /// Bounds of its tables.
    pub fn bounds(&self) -> [MemoryBound; 6] {
        [
            self.flows.bound(),
            self.stages.streams.bound(),
            self.stages.app.account.bound(),
            self.stages.app.bound(),
            self.stages.tags.bound(),
            self.stages
                .inspector
                .memory()
                .of("counts and bits of rules that act"),
        ]
    }

    /// From now on a sample of batches is measured ([`WorkerStats::stages`]).
    pub fn measure_stages(&mut self) {
        self.stages.clock.wanted = true;
    }

    /// Counters.
    pub fn stats(&self) -> WorkerStats {
        WorkerStats {
            packets: self.packets,
            panics: self.panics,
            dropped: self.stages.dropped,
            blocked: self.blocked,
            flow: *self.flows.stats(),
            stream: *self.stages.streams.stats(),
            app_refused: self.stages.app.account.refused,
            app_most: self.stages.app.account.most(),
            inspector: self.stages.inspector.stats(),
            stages: self.stages.clock.costs,
        }
    }

    /// Works through a batch; `said` is emptied first.
    pub fn batch(&mut self, batch: &Batch, said: &mut Said) {
        said.outbox.clear();
        said.hosts.clear();
        said.stopped.clear();
        said.changed.clear();
        said.outbox.sequence = batch.sequence;
        said.outbox.now = batch.now;
        said.outbox.last = batch.last;
        said.outbox.over = batch.last || batch.ends_below > 0;
        let inline = self.stages.inline;
        self.stages.clock.batch();
        let mut foreseen = std::mem::take(&mut self.foreseen);
        foreseen.clear();
        foreseen.extend(batch.iter().map(|packet| self.flows.foresee(&packet)));
        let mut packets = (0u32..).zip(batch.iter().zip(&foreseen));
        let mut at = (0, 0, batch.now);
        // A panic costs the packet that caused it, never the sensor: the loop goes on behind it.
        while catch_unwind(AssertUnwindSafe(|| {
            for (place, (packet, foreseen)) in packets.by_ref() {
                self.packets += 1;
                at = (place, packet.interface, packet.ts);
                let verdict = self.process(packet, *foreseen, said);
                if inline && verdict > Verdict::Accept {
                    said.stopped.push((place, verdict));
                } else if !self.stages.changes.is_empty() {
                    said.changed
                        .push((place, std::mem::take(&mut self.stages.changes)));
                }
                self.stages.changes.clear();
            }
        }))
        .is_err()
        {
            self.panics += 1;
            // What the packet did to its connection is not known.
            self.stages.streams.missed(at.2);
            if inline && self.failed_closed.get(usize::from(at.1)) == Some(&true) {
                said.stopped.push((at.0, Verdict::DropPacket));
            }
        }
        drop(packets);
        self.foreseen = foreseen;
        self.flows.tick(batch.now);
        if self.stages.app.account.is_tight() {
            let holds = |ext: &Tracked| ext.app.held() > 0;
            self.flows.give_up_idle(batch.now, IDLE_TRIES, holds);
        }
        self.end_flows((batch.last_number, batch.now), said);
        if batch.ends_below > 0 {
            self.flows
                .expire_below(batch.ends_below, EndReason::Shutdown);
            self.end_flows((batch.last_number, batch.now), said);
        }
        if batch.last {
            self.flows.expire_all(EndReason::Shutdown);
            self.end_flows((batch.last_number, batch.now), said);
        }
    }

    /// The life of a packet: its flow, and then the stages.
    fn process(&mut self, packet: Packet<'_>, foreseen: Foreseen, said: &mut Said) -> Verdict {
        let passage = self.passage(&packet);
        if passage != Passage::Pass {
            self.stop(packet, passage, said);
            return Verdict::DropPacket;
        }
        self.stages.clock.packet();
        let refused = self.flows.stats().refused;
        let found = self.flows.lookup_foreseen(&packet, foreseen);
        let refused = self.flows.stats().refused > refused;
        if self.flows.has_ended_flows() {
            self.end_flows((packet.number, packet.ts), said);
        }
        self.stages.clock.done(Stage::Flow);
        said.outbox
            .begin(packet.number, u64::from(u8::MAX - packet.depth) + 256);
        let verdict = match found {
            None => {
                let policy = refused.then(|| self.stages.flow_memcap(&packet));
                self.stages.process_alone(packet, policy, said)
            }
            Some(found) => {
                let Some(slot) = self.flows.get_mut(found.handle) else {
                    return Verdict::Accept;
                };
                if found.syn && packet.events.is_empty() && StreamEngine::only_opens(&packet) {
                    let verdict = self.process_syn(packet, found.handle, said);
                    self.end_flows((packet.number, packet.ts), said);
                    self.stages.clock.done(Stage::Log);
                    return verdict;
                }
                let place = (found.direction, found.established);
                let told = said.hosts.len();
                let mut verdict = self.stages.process(packet, place, slot, said);
                if let Some(blocks) = &self.blocks
                    && verdict == Verdict::Accept
                    && said.hosts.get(told..).is_some_and(tells_of_held)
                    && blocks.ends_held(slot.flow.key.src, packet.ts)
                {
                    // Whoever is limited at this service and still holds a request open: it ends for both.
                    verdict = Verdict::RejectBoth;
                    slot.flow.dropped = true;
                    let subject = Subject {
                        packet,
                        flow: Some((&slot.flow, found.direction)),
                        noted: &[],
                    };
                    let stages = &mut self.stages;
                    stages.say_drop(&subject, verdict, "request held open", &mut said.outbox);
                }
                if let Some(blocks) = &self.blocks
                    && slot.flow.happened.has(FlowEvents::ESTABLISHED)
                    && (slot.flow.key.proto != 6 || slot.flow.proves_client())
                {
                    blocks.learn(slot.flow.key.src, slot.flow.key.dst);
                }
                self.flows.settle(found.handle);
                verdict
            }
        };
        // A half-open connection that gave way comes behind what took its place, in the order of ranks.
        self.end_flows((packet.number, packet.ts), said);
        self.stages.clock.done(Stage::Log);
        verdict
    }

    /// A SYN that opens a flow, of which a flood makes millions: signatures see it, and unless one of them matches, all
    /// that is left of it is a record for the detectors and a half-open connection.
    fn process_syn(&mut self, packet: Packet<'_>, handle: FlowHandle, said: &mut Said) -> Verdict {
        let stages = &mut self.stages;
        let Some(slot) = self.flows.get_mut(handle) else {
            return Verdict::Accept;
        };
        let (flow, ext) = (&mut slot.flow, &mut slot.ext);
        let standing = Standing {
            opens: true,
            ..Standing::to_server()
        };
        let verdict = stages.inspect(packet, flow, ext, standing, &mut said.outbox);
        stages.clock.done(Stage::Signatures);
        let plain = verdict == Verdict::Accept
            && !(ext.hit | flow.alerted | flow.no_inspection | flow.dropped)
            && ext.rules.is_untouched();
        if plain {
            ext.rules.begin_again();
            ext.segment = None;
            if stages.hosts {
                host_records::of_syn(flow, &packet, &mut said.hosts);
            }
            let one_sided = stages.streams.note_opened();
            self.flows.file_syn(&packet, one_sided);
        } else {
            stages.process_after_signatures(packet, slot, verdict, said);
            self.flows.settle(handle);
        }
        verdict
    }

    /// Whether the block list lets a packet through (inline). It is asked before anything is kept of the packet.
    fn passage(&self, packet: &Packet<'_>) -> Passage {
        let Some(blocks) = &self.blocks else {
            return Passage::Pass;
        };
        if !packet.is_ip() {
            return Passage::Pass;
        }
        let opens = match packet.transport {
            Transport::Tcp => packet.tcp.flags.0 & (TcpFlags::SYN | TcpFlags::ACK) == TcpFlags::SYN,
            _ => !self.flows.knows(packet),
        };
        let contact = Contact {
            src: packet.src,
            dst: packet.dst,
            proto: packet.ip_proto,
            sport: packet.sport,
            dport: packet.dport,
            seq: packet.tcp.seq,
            opens,
            now: packet.ts,
        };
        blocks.passes(&contact)
    }

    /// Notes a packet that the block list stops. Of a flood only some are written, the rest counted.
    fn stop(&mut self, packet: Packet<'_>, passage: Passage, said: &mut Said) {
        self.blocked += 1;
        let second = packet.ts.secs();
        if self.stopped.0 != second {
            self.stopped = (second, 0);
        }
        self.stopped.1 += 1;
        if self.stopped.1 > STOPS_WRITTEN {
            return;
        }
        said.outbox.begin(packet.number, 0);
        let subject = Subject {
            packet,
            flow: None,
            noted: &[],
        };
        let reason = match passage {
            Passage::Pass | Passage::Blocked => "block list",
            Passage::Limited => "rate limit",
            Passage::Contained => "containment",
        };
        eve::drop(&mut said.outbox, &self.stages.eve, &subject, reason);
    }

    /// What is left of flows that ended: their last bytes, transactions and records.
    fn end_flows(&mut self, (number, now): (u64, Timestamp), said: &mut Said) {
        // In the order in which the flows began, whichever worker has them.
        let order =
            |first_number: u64, id: u64| 1 << 43 | (first_number & 0x7ff_ffff) << 16 | id & 0xffff;
        while let Some(ended) = self.flows.take_ended() {
            match ended {
                Ended::Flow(mut slot) => {
                    let order = order(slot.flow.first_number, slot.flow.id);
                    said.outbox.begin(number, order);
                    self.stages.end(&mut slot, (number, now), said);
                    self.stages.streams.release(&mut slot.ext.streams);
                    slot.ext.app.release(&mut self.stages.app);
                    self.flows.recycle(slot);
                }
                Ended::HalfOpen(ended) => {
                    let EndedHalfOpen { half_open, .. } = &ended;
                    let order = order(half_open.first_number, half_open.id);
                    said.outbox.begin(number, order);
                    self.end_half_open(&ended, (number, now), said);
                }
                Ended::Silent(silent) => {
                    if self.stages.hosts {
                        let order = 1 << 16 | (silent.first_number as u32 & 0xffff);
                        let at = (number, order, now);
                        said.hosts.push(host_records::unanswered(&silent, at));
                    }
                }
            }
        }
    }

    /// The end of a connection of which only a SYN was seen: its record, and what the detectors make of it.
    fn end_half_open(
        &mut self,
        ended: &EndedHalfOpen,
        (number, now): (u64, Timestamp),
        said: &mut Said,
    ) {
        if ended.report && self.stages.eve.flow {
            let Slot { flow, ext } = &mut self.half_open;
            *flow = Flow {
                spare_tcp: flow.tcp.take(),
                ..Flow::default()
            };
            ended.half_open.restore(flow);
            flow.reason = ended.reason;
            let extras = FlowExtras::default();
            let eve = &self.stages.eve;
            eve::flow(&mut said.outbox, eve, now, flow, &ext.app, extras);
        }
        if self.stages.hosts && !ended.half_open.unanswered {
            let order = 1 << 16 | (ended.half_open.first_number as u32 & 0xffff);
            let silent = Silent::of_half_open(&ended.half_open);
            let at = (number, order, now);
            said.hosts.push(host_records::unanswered(&silent, at));
        }
    }
}

/// The stages between a flow and the outbox.
struct Stages {
    /// `flow.memcap-policy`.
    flow_memcap: ExceptionPolicy,
    /// Whether a segment has exception policies for packets.
    own_policies: bool,
    clock: StageClock,
    streams: StreamEngine,
    app: AppContext,
    inspector: Inspector,
    hits: Vec<Hit>,
    eve: EveSettings,
    inline: bool,
    hosts: bool,
    segments: Arc<Segments>,
    /// Changes when the segments do.
    segments_state: u32,
    dropped: u64,
    /// What `replace` wants changed in the packet in hand (inline).
    changes: Vec<Replacement>,
    /// Hosts whose packets rules want recorded.
    tags: Tags,
    /// Transactions to be looked at for the log, by number.
    ids: Vec<u64>,
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stages({:?})", self.streams.stats())
    }
}

/// What the stream engine says about the packet in hand, as far as inspection asks.
#[derive(Clone, Copy)]
struct Standing {
    direction: Direction,
    stream: bool,
    flow_established: bool,
    added: bool,
    ended: bool,
    /// It is the SYN of a session that is not begun yet.
    opens: bool,
}

impl Standing {
    /// Of a packet that the stream engine says nothing about.
    fn to_server() -> Self {
        Self {
            direction: Direction::ToServer,
            stream: false,
            flow_established: false,
            added: false,
            ended: false,
            opens: false,
        }
    }
}

impl Stages {
    /// A packet that belongs to no flow: decode events, headers.
    fn process_alone(
        &mut self,
        packet: Packet<'_>,
        policy: Option<ExceptionPolicy>,
        said: &mut Said,
    ) -> Verdict {
        if self.hosts {
            host_records::of_stray(&packet, &mut said.hosts);
        }
        let segment = self.segment(packet.interface, &packet.key());
        let verdict = self.inspector.inspect(
            Inspection {
                packet,
                direction: Direction::ToServer,
                flow: None,
                stream: StreamView {
                    no_payload: packet.encapsulates,
                    ..StreamView::default()
                },
                app: None,
                rules: None,
                segment,
                inline: self.inline,
            },
            &mut self.hits,
        );
        let subject = Subject {
            packet,
            flow: None,
            noted: &[],
        };
        let mut silenced = Silenced::default();
        self.say_hits(
            &subject,
            None,
            (verdict, segment),
            &mut silenced,
            &mut said.outbox,
        );
        self.say_tagged(&subject, None, &mut said.outbox);
        self.say_anomalies(&subject, None, &mut said.outbox);
        let policy = policy
            .filter(|_| self.inline)
            .map_or(Verdict::Accept, wanted);
        let reason = if policy > verdict {
            "flow memcap"
        } else {
            "rules"
        };
        let verdict = verdict.max(policy);
        self.say_drop(&subject, verdict, reason, &mut said.outbox);
        verdict
    }

    /// What the segment of a packet wants done when the flow table has no room for it.
    fn flow_memcap(&self, packet: &Packet<'_>) -> ExceptionPolicy {
        let own = self.exceptions(packet.interface, &packet.key());
        own.and_then(|e| e.memcap).unwrap_or(self.flow_memcap)
    }

    /// The exception policies of a segment, if any segment has policies for packets.
    fn exceptions(&self, interface: u16, key: &FlowKey) -> Option<Exceptions> {
        if !self.own_policies {
            return None;
        }
        let at = usize::from(self.segment(interface, key));
        let segment = self.segments.list.get(at);
        Some(segment.map_or_else(Exceptions::default, |s| s.exceptions))
    }

    /// A packet in its flow: stream → application → signatures → log.
    fn process(
        &mut self,
        packet: Packet<'_>,
        (direction, established): (Direction, bool),
        slot: &mut Slot<Tracked>,
        said: &mut Said,
    ) -> Verdict {
        let (flow, ext) = (&mut slot.flow, &mut slot.ext);
        let out = &mut said.outbox;
        let mut standing = Standing {
            direction,
            stream: false,
            flow_established: established,
            added: false,
            ended: false,
            opens: false,
        };
        let mut events = packet.events;
        let mut drop_reason = None;
        let mut policy = Verdict::DropPacket;
        if packet.transport == Transport::Tcp && flow.key.proto == 6 {
            if let Some(own) = self.exceptions(packet.interface, &flow.key) {
                self.streams.go_by(own.midstream, own.memcap);
            }
            let mut receiver = AppInput {
                layer: &mut ext.app,
                context: &mut self.app,
            };
            let verdict = self.streams.packet(
                &packet,
                direction,
                flow,
                &mut ext.streams,
                &mut receiver,
                &mut events,
            );
            for (changed, updated) in ext.changed.iter_mut().zip(verdict.updated) {
                *changed |= updated;
            }
            standing = Standing {
                direction: verdict.direction,
                stream: verdict.stream,
                flow_established: established || verdict.established,
                added: verdict.added,
                ended: false,
                opens: false,
            };
            drop_reason = verdict
                .drop
                .filter(|_| self.inline)
                .map(crate::stream::DropReason::as_str);
            policy = policy.max(wanted(verdict.policy));
            if verdict.flush {
                for direction in self.flush_order(standing.direction) {
                    self.inspect_rest(&packet, flow, ext, direction, out);
                }
            }
        } else if packet.transport == Transport::Udp && !flow.dropped {
            let (taken, direction) =
                ext.app
                    .datagram(&mut self.app, flow, direction, packet.payload(), packet.ts);
            standing.direction = direction;
            standing.stream = true;
            ext.changed = if taken { [true; 2] } else { ext.changed };
        }
        self.clock.done(Stage::Stream);
        // Events that the stream engine raised belong to the packet from here on.
        let annotated;
        let packet = if events == packet.events {
            packet
        } else {
            annotated = Layers {
                events,
                ..packet.layers.clone()
            };
            Packet {
                frame: packet.frame,
                layers: &annotated,
            }
        };
        // Transactions stay as they are unless a parser, or a look at what it gave, changed them.
        let changed = ext.changed != [false; 2];
        let findings = out.findings.len();
        let mut verdict = self.inspect(packet, flow, ext, standing, out);
        self.clock.done(Stage::Signatures);
        if drop_reason.is_some() {
            verdict = verdict.max(policy);
        }
        let subject = Subject {
            packet,
            flow: Some((flow, standing.direction)),
            noted: &ext.noted,
        };
        self.say_anomalies(&subject, Some(&mut ext.app), out);
        self.say_drop(&subject, verdict, drop_reason.unwrap_or("rules"), out);
        let mut cut = false;
        for side in [Direction::ToServer, Direction::ToClient] {
            if self.streams.beyond_depth(side, &ext.streams) {
                cut |= !std::mem::replace(&mut ext.app.ended[side.index()], true);
            }
        }
        let due = ext.app.files_due[standing.direction.index()];
        if changed || cut || due || out.findings.len() > findings {
            self.log(&subject, (&mut ext.app, ext.silenced), false, out);
        }
        if self.hosts {
            let at = (packet.number, u32::from(packet.depth), packet.ts);
            host_records::of_flow(flow, Some(&packet), at, &mut said.hosts);
            let notes = (&mut ext.app, &ext.told);
            host_records::of_notes(flow, &packet, notes, &mut said.hosts);
            let tells = registry::protocol(ext.app.proto).is_some_and(|p| p.tells_logins());
            let told = (&mut ext.told, tells && !ext.app.error);
            host_records::of_packet(flow, &packet, direction, told, &mut said.hosts);
        } else {
            ext.app.notes.clear();
        }
        verdict
    }

    /// The other stages of a SYN that a signature matched before its session was begun.
    fn process_after_signatures(
        &mut self,
        packet: Packet<'_>,
        slot: &mut Slot<Tracked>,
        verdict: Verdict,
        said: &mut Said,
    ) {
        let (flow, ext) = (&mut slot.flow, &mut slot.ext);
        let mut events = packet.events;
        let mut receiver = AppInput {
            layer: &mut ext.app,
            context: &mut self.app,
        };
        self.streams.packet(
            &packet,
            Direction::ToServer,
            flow,
            &mut ext.streams,
            &mut receiver,
            &mut events,
        );
        let subject = Subject {
            packet,
            flow: Some((flow, Direction::ToServer)),
            noted: &ext.noted,
        };
        self.say_drop(&subject, verdict, "rules", &mut said.outbox);
        if self.hosts {
            host_records::of_syn(flow, &packet, &mut said.hosts);
        }
    }

    /// Passive: what the packet's peer sent is older; inline: the packet itself comes first.
    fn flush_order(&self, direction: Direction) -> [Direction; 2] {
        if self.inline {
            [direction, direction.reverse()]
        } else {
            [direction.reverse(), direction]
        }
    }

    /// Signatures over the packet, the stream, and the transactions of its direction.
    fn inspect(
        &mut self,
        packet: Packet<'_>,
        flow: &mut Flow,
        ext: &mut Tracked,
        standing: Standing,
        out: &mut Outbox,
    ) -> Verdict {
        let direction = standing.direction;
        let window = if standing.stream && packet.transport == Transport::Tcp {
            self.streams.window(direction, flow, &ext.streams, None)
        } else {
            None
        };
        let upto = window.map(|w| w.end());
        // A packet that did not become part of the connection (a wrong checksum, an ICMP error about it) looks at no
        // transaction, and must not hide what changed from the next one.
        let looks = packet.ip_proto == flow.key.proto
            && (packet.transport != Transport::Tcp || standing.stream);
        let view = StreamView {
            window,
            established: standing.stream,
            flow_established: standing.flow_established,
            added: standing.added,
            // What is inside a tunnel is inspected as a packet of its own.
            no_payload: flow.no_payload_inspection || packet.encapsulates,
            ended: standing.ended,
            // A SYN takes one number of sequence space (RFC 9293 §3.4).
            sizes: if standing.opens {
                [1, 0]
            } else {
                stream_sizes(flow)
            },
            app_updated: ext.changed[direction.index()],
            cut: ext.app.session.is_some() && self.streams.beyond_depth(direction, &ext.streams),
        };
        let state = self.segments_state;
        let segment = match ext.segment.filter(|(known_by, _)| *known_by == state) {
            Some((_, known)) => known,
            None => {
                let found = self.segment(flow.interface, &flow.key);
                ext.segment = Some((state, found));
                found
            }
        };
        let verdict = self.inspector.inspect(
            Inspection {
                packet,
                direction,
                flow: Some(flow),
                stream: view,
                app: Some(&mut ext.app),
                rules: Some(&mut ext.rules),
                segment,
                inline: self.inline,
            },
            &mut self.hits,
        );
        if looks {
            ext.changed[direction.index()] = false;
        }
        if ext.rules.take_changed() {
            metadata::write(self.inspector.engine().rules(), &ext.rules, &mut ext.noted);
        }
        ext.hit |= !self.hits.is_empty();
        if self.hits.iter().any(|h| !h.silent) {
            flow.alerted = true;
        }
        if !self.hits.is_empty() {
            let bytes = self
                .streams
                .window(direction, flow, &ext.streams, None)
                .map(|w| w.bytes);
            let subject = Subject {
                packet,
                flow: Some((flow, direction)),
                noted: &ext.noted,
            };
            let app = Some((&mut ext.app, bytes));
            self.say_hits(&subject, app, (verdict, segment), &mut ext.silenced, out);
        }
        if self.tags.concern(Some(&ext.tags)) {
            let subject = Subject {
                packet,
                flow: Some((flow, direction)),
                noted: &ext.noted,
            };
            self.say_tagged(&subject, Some(&mut ext.tags), out);
        }
        if self.app.limits.frames {
            ext.app.frames.inspected(direction);
        }
        if packet.transport == Transport::Tcp {
            self.streams
                .inspected(direction, flow, &mut ext.streams, upto);
        }
        verdict
    }

    /// Inspects what a direction holds although no packet of it is in hand: before the protocol changes, and when the
    /// flow ends. What the application layer noticed stays: a packet in hand is inspected for it after this.
    fn inspect_rest(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow,
        ext: &mut Tracked,
        direction: Direction,
        out: &mut Outbox,
    ) {
        let layers = pseudo_packet(
            flow,
            direction,
            (packet.number, packet.ts),
            packet.interface,
        );
        let layers = if packet.origin == PacketOrigin::FlowTimeout {
            layers
        } else {
            Layers {
                origin: PacketOrigin::Flush,
                ..layers
            }
        };
        let packet = Packet {
            frame: &[],
            layers: &layers,
        };
        let standing = Standing {
            direction,
            stream: true,
            flow_established: true,
            added: true,
            ended: true,
            opens: false,
        };
        let mut last = None;
        // Bounded: each round inspects a further piece, and a direction holds a bounded number of them.
        for _ in 0..4_096 {
            self.inspect(packet, flow, ext, standing, out);
            let next = self
                .streams
                .window(direction, flow, &ext.streams, None)
                .map(|w| w.end());
            if next.is_none() || next == last {
                break;
            }
            last = next;
        }
        let subject = Subject {
            packet,
            flow: Some((flow, direction)),
            noted: &ext.noted,
        };
        self.log(&subject, (&mut ext.app, ext.silenced), false, out);
    }

    /// The end of a flow.
    fn end(&mut self, slot: &mut Slot<Tracked>, (number, now): (u64, Timestamp), said: &mut Said) {
        let (flow, ext) = (&mut slot.flow, &mut slot.ext);
        let out = &mut said.outbox;
        let layers = pseudo_packet(flow, Direction::ToServer, (number, now), flow.interface);
        let packet = Packet {
            frame: &[],
            layers: &layers,
        };
        let mut last = Direction::ToServer;
        if flow.key.proto == 6 && !flow.dropped {
            let unfinished = self
                .streams
                .unfinished(flow, &ext.streams, pending(&ext.app));
            for direction in [Direction::ToServer, Direction::ToClient] {
                if !unfinished[direction.index()] {
                    continue;
                }
                last = direction;
                let mut events = packet.events;
                let mut receiver = AppInput {
                    layer: &mut ext.app,
                    context: &mut self.app,
                };
                let verdict = self.streams.end(
                    direction,
                    flow,
                    &mut ext.streams,
                    &mut receiver,
                    &mut events,
                );
                for (changed, updated) in ext.changed.iter_mut().zip(verdict.updated) {
                    *changed |= updated;
                }
                self.inspect_rest(&packet, flow, ext, direction, out);
                let layers = pseudo_packet(flow, direction, (number, now), flow.interface);
                let subject = Subject {
                    packet: Packet {
                        frame: &[],
                        layers: &layers,
                    },
                    flow: Some((flow, direction)),
                    noted: &ext.noted,
                };
                self.say_anomalies(&subject, Some(&mut ext.app), out);
            }
        }
        // Only TCP has an end that is seen: of other flows, what is complete was written with its packet.
        if flow.key.proto == 6 {
            let layers = pseudo_packet(flow, last, (number, now), flow.interface);
            let subject = Subject {
                packet: Packet {
                    frame: &[],
                    layers: &layers,
                },
                flow: Some((flow, last)),
                noted: &ext.noted,
            };
            self.log(&subject, (&mut ext.app, ext.silenced), true, out);
        }
        if flow.alerted {
            out.outcomes.push(flow_outcome(flow, number));
        }
        if self.eve.flow && !ext.silenced.flow && !flow.unreported {
            let transactions = ext
                .app
                .session
                .as_ref()
                .map_or(0, |s| s.transactions().total());
            let gap = flow
                .tcp
                .as_ref()
                .map_or([false; 2], |t| [t.sides[0].gap, t.sides[1].gap]);
            eve::flow(
                out,
                &self.eve,
                now,
                flow,
                &ext.app,
                FlowExtras {
                    noted: &ext.noted,
                    passed: ext.rules.action == FlowAction::Pass,
                    gap,
                    urgent: ext.streams.urgent_bytes(),
                    transactions,
                },
            );
        }
        if self.hosts {
            // Flows that end at the same moment come after the packets, in the order in which they began.
            let order = 1 << 16 | (flow.first_number as u32 & 0xffff);
            host_records::of_flow(flow, None, (number, order, now), &mut said.hosts);
        }
    }

    /// The segment of a flow or packet: where the server is, else the client.
    fn segment(&self, interface: u16, key: &FlowKey) -> u8 {
        let index = self
            .segments
            .index(interface, key.vlan[0], key.dst, key.src);
        u8::try_from(index).unwrap_or(u8::MAX)
    }

    /// Findings for the hits of the packet.
    fn say_hits(
        &mut self,
        subject: &Subject<'_>,
        app: Option<(&mut AppLayer, Option<&[u8]>)>,
        (verdict, segment): (Verdict, u8),
        silenced: &mut Silenced,
        out: &mut Outbox,
    ) {
        let engine = Arc::clone(self.inspector.engine());
        let (mut app, stream_bytes) = app.map_or((None, None), |(a, b)| (Some(a), b));
        for hit in self.hits.drain(..) {
            if hit.action == crate::rules::Action::Config {
                configure(&engine, &hit, app.as_deref_mut(), silenced);
            }
            let rule = engine.rules().signatures.get(hit.signature as usize);
            if let Some((rule, tag)) = rule.and_then(|rule| Some((rule, rule.tag?))) {
                self.tags.matched((rule.gid, rule.sid.0), tag);
            }
            if self.inline
                && hit.place == HitPlace::Packet
                && let Some(rule) = rule
            {
                let payload = subject.packet.payload();
                self.changes
                    .extend(replacements(engine.rules(), rule, payload));
            }
            let tx = hit
                .tx
                .and_then(|id| app.as_deref_mut().and_then(|a| tx_mut(a, id)));
            let (efficacy, open) = match tx {
                Some((outcome, alerted)) => {
                    *alerted |= !hit.silent;
                    (outcome, outcome.0 == Efficacy::Unknown)
                }
                None => (
                    (Efficacy::Unknown, "", 0),
                    subject.flow.is_some_and(|(f, _)| f.key.proto == 6),
                ),
            };
            let frame = match hit.place {
                HitPlace::Frame(id) => app.as_deref().and_then(|app| {
                    let direction = subject.flow.map(|(_, direction)| direction)?;
                    app.frames.of(direction).iter().find(|f| f.id == id)
                }),
                _ => None,
            };
            let matched = Matched {
                tx: hit.tx,
                stream: hit.place != HitPlace::Packet,
                stream_bytes,
                frame,
            };
            let (head, tail) = if hit.silent {
                (TextRange::default(), TextRange::default())
            } else {
                eve::alert::fragments(out, &self.eve, subject, app.as_deref(), &matched)
            };
            let blocks = matches!(
                hit.action,
                crate::rules::Action::RejectSource
                    | crate::rules::Action::RejectDestination
                    | crate::rules::Action::RejectBoth
            ) || (self.inline && hit.action == crate::rules::Action::Drop);
            let packet = subject.packet;
            let noted = self.inspector.noted(&hit).unwrap_or_default();
            let context = eve::alert::context(&noted.objects);
            let (number, order) = out.rank();
            out.findings.push(Finding {
                number,
                order,
                ts: packet.ts,
                source: FindingSource::Signature(engine.first().saturating_add(hit.signature)),
                key: packet.key(),
                interface: packet.interface,
                segment,
                from_client: subject.flow.is_none_or(|(_, d)| d == Direction::ToServer),
                flow_id: subject.flow.map_or(0, |(f, _)| f.id),
                tx: hit.tx,
                open: open && !blocks && verdict == Verdict::Accept,
                xbits: if hit.xbits {
                    engine.xbits(hit.signature)
                } else {
                    Vec::new()
                },
                datasets: noted.conditions,
                context,
                verdict: if blocks {
                    verdict.max(Verdict::DropPacket)
                } else {
                    Verdict::Accept
                },
                efficacy: if blocks { Efficacy::Failed } else { efficacy.0 },
                efficacy_reason: if blocks { "blocked" } else { efficacy.1 },
                confidence: 0.0,
                severity: crate::alert::Severity::default(),
                silent: hit.silent,
                subject: 0,
                head,
                tail,
                evidence: TextRange::default(),
                state: "",
                incident: 0,
                source_verified: subject.flow.is_some_and(|(f, _)| f.is_established()),
                attacker: None,
            });
        }
    }

    /// Sets the tags of rules that matched, and records the packet when an earlier match asked for it.
    fn say_tagged(&mut self, subject: &Subject<'_>, flow: Option<&mut TagList>, out: &mut Outbox) {
        let packet = subject.packet;
        let len = (!packet.origin.is_made()).then_some(packet.frame.len());
        let ends = (packet.src, packet.dst);
        if self.tags.concern(flow.as_deref()) && self.tags.packet(ends, len, packet.ts, flow) {
            eve::tagged(out, &self.eve, subject);
        }
    }

    fn say_anomalies(
        &mut self,
        subject: &Subject<'_>,
        app: Option<&mut AppLayer>,
        out: &mut Outbox,
    ) {
        if self.eve.anomaly && !subject.packet.events.is_empty() {
            let events = subject.packet.events.iter().filter(|e| !e.is_ours());
            eve::anomaly(out, &self.eve, subject, events);
        }
        if let Some(app) = app {
            for event in app.events.drain(..) {
                if self.eve.anomaly {
                    eve::app_anomaly(
                        out,
                        &self.eve,
                        subject,
                        (app.proto, "proto_detect", None),
                        event,
                    );
                }
            }
        }
    }

    fn say_drop(
        &mut self,
        subject: &Subject<'_>,
        verdict: Verdict,
        reason: &str,
        out: &mut Outbox,
    ) {
        if self.inline && verdict > Verdict::Accept {
            self.dropped += 1;
            eve::drop(out, &self.eve, subject, reason);
        }
    }

    /// Records of transactions that are complete (or, at the end of the flow, of all), and their release. Looks at those
    /// that changed, unless something else changed that decides about all of them.
    fn log(
        &mut self,
        subject: &Subject<'_>,
        (app, silenced): (&mut AppLayer, Silenced),
        ended: bool,
        out: &mut Outbox,
    ) {
        let Some(protocol) = registry::protocol(app.proto) else {
            return;
        };
        let complete_at =
            [Direction::ToServer, Direction::ToClient].map(|d| protocol.complete_at(d));
        let logs = self.eve.app && !silenced.transactions;
        let uninspected = subject.flow.is_some_and(|(f, _)| f.no_inspection);
        // As in Suricata, a file is written with a packet of its own direction, once nothing more can come of any.
        let done = ended || app.ended == [true; 2];
        let is = subject.flow.map(|(_, direction)| direction);
        let facing = [Direction::ToServer, Direction::ToClient].map(|d| done || is == Some(d));
        app.files_due = [false; 2];
        let circumstances = (!ended).then(|| {
            let [server, client] = app.ended.map(u8::from);
            server | client << 1 | u8::from(logs) << 2 | u8::from(uninspected) << 3
        });
        let mut ids = std::mem::take(&mut self.ids);
        if let Some(session) = app.session.as_deref_mut() {
            let list = session.transactions_mut();
            list.changed(Watcher::Log, circumstances, &mut ids);
        }
        for id in ids.drain(..) {
            let Some(session) = app.session.as_deref() else {
                break;
            };
            let list = session.transactions();
            let Some((at, tx)) = list.position(id).and_then(|at| Some((at, list.at(at)?))) else {
                continue;
            };
            let complete = ended || tx_complete(complete_at, tx, app.ended);
            self.log_events(subject, app.proto, protocol, tx, out);
            let ready = logs && !tx.state().logged && protocol.log_ready(tx, complete);
            if ready {
                eve::transaction(out, &self.eve, subject, protocol, session, tx);
            }
            let files = self.log_files(subject, (protocol, session), tx, (facing, ended), out);
            for (due, owed) in app.files_due.iter_mut().zip(files.owed) {
                *due |= owed;
            }
            let state = tx.state();
            let inspected = state.inspected == [true; 2] || ended || uninspected;
            let outcome = (state.alerted && complete).then(|| outcome_of(protocol.outcome(tx)));
            let (id, logged, events) =
                (state.id, state.logged || ready || !logs, state.events.len());
            if let (Some((efficacy, reason, code)), Some((flow, _))) = (outcome, subject.flow)
                && !ended
            {
                let number = subject.packet.number;
                out.outcomes.push(OutcomeNote {
                    number,
                    flow_id: flow.id,
                    tx: Some(id),
                    efficacy,
                    reason,
                    code,
                });
            }
            let told = outcome.is_some() || files.written;
            let noted = (logged, events) == (state.logged, state.events_logged);
            if complete && inspected && logged && !files.open && files.owed == [false; 2] {
                app.remove(&mut self.app, at);
                continue;
            }
            let Some(session) = app.session.as_deref_mut() else {
                break;
            };
            if files.owed != [false; 2] {
                // It is looked at again with the packet that the files wait for.
                session.transactions_mut().at_mut(at);
            }
            // Most wait for an answer: there is nothing to note of them.
            if (told || !noted)
                && let Some(tx) = session.transactions_mut().at_written(at)
            {
                if files.written {
                    mark_files(tx, (facing, ended));
                }
                let state = tx.state_mut();
                state.logged = logged;
                state.events_logged = events;
                if outcome.is_some() {
                    state.alerted = false;
                }
            }
        }
        self.ids = ids;
        app.logged(&mut self.app);
    }

    fn log_events(
        &self,
        subject: &Subject<'_>,
        proto: crate::app::AppProto,
        protocol: &dyn crate::app::Protocol,
        tx: &dyn Transaction,
        out: &mut Outbox,
    ) {
        let state = tx.state();
        if !self.eve.anomaly || state.events.len() <= state.events_logged {
            return;
        }
        for event in state.events.iter().skip(state.events_logged) {
            if let Some(name) = protocol.events().get(usize::from(*event)) {
                eve::app_anomaly(
                    out,
                    &self.eve,
                    subject,
                    (proto, "proto_parser", Some(state.id)),
                    name,
                );
            }
        }
    }

    /// Writes `fileinfo` of files that are done, of those directions whose turn it is.
    fn log_files(
        &self,
        subject: &Subject<'_>,
        by: (&dyn crate::app::Protocol, &dyn crate::app::Session),
        tx: &dyn Transaction,
        (facing, ended): ([bool; 2], bool),
        out: &mut Outbox,
    ) -> FilesLogged {
        let mut said = FilesLogged::default();
        for direction in [Direction::ToServer, Direction::ToClient] {
            let turn = facing[direction.index()];
            for file in tx
                .files(direction)
                .into_iter()
                .flat_map(crate::app::Files::iter)
            {
                let done = file.state != FileState::Open || ended;
                let fresh = done && !file.logged;
                if fresh && turn && self.eve.files {
                    eve::file(out, &self.eve, subject, by, (tx, file, direction));
                }
                said.open |= !done;
                said.written |= fresh && turn;
                said.owed[direction.index()] |= fresh && !turn && self.eve.files;
            }
        }
        said
    }
}

/// What there is to say of the files of a transaction.
#[derive(Clone, Copy, Debug, Default)]
struct FilesLogged {
    /// Some are not done.
    open: bool,
    /// Some were written now.
    written: bool,
    /// Per direction: some are done and wait for its next packet.
    owed: [bool; 2],
}

/// Notes which files were written.
fn mark_files(tx: &mut dyn Transaction, (facing, ended): ([bool; 2], bool)) {
    for direction in [Direction::ToServer, Direction::ToClient] {
        if !facing[direction.index()] {
            continue;
        }
        for file in tx
            .files_mut(direction)
            .into_iter()
            .flat_map(crate::app::Files::iter_mut)
        {
            file.logged |= file.state != FileState::Open || ended;
        }
    }
}

fn tx_complete(complete_at: [u8; 2], tx: &dyn Transaction, ended: [bool; 2]) -> bool {
    [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .all(|d| ended[d.index()] || tx.progress(d) >= complete_at[d.index()])
}

/// Directions in which transactions are not inspected to their end.
fn pending(app: &AppLayer) -> [bool; 2] {
    let Some(session) = app.session.as_deref() else {
        return [false; 2];
    };
    let list = session.transactions();
    let mut pending = [false; 2];
    for tx in (0..list.len()).filter_map(|i| list.at(i)) {
        for (slot, inspected) in pending.iter_mut().zip(tx.state().inspected) {
            *slot |= !inspected;
        }
    }
    pending
}

/// Carries out what a `config` rule switches off.
fn configure(engine: &Engine, hit: &Hit, app: Option<&mut AppLayer>, silenced: &mut Silenced) {
    let rule = engine.rules().signatures.get(hit.signature as usize);
    let Some(effect) = rule
        .and_then(|rule| rule.config.as_ref())
        .filter(|effect| effect.subsystem == "logging disable")
    else {
        return;
    };
    match (effect.kind.as_str(), effect.scope.as_str()) {
        ("flow", _) => silenced.flow = true,
        ("tx", "tx") => {
            let session = app.and_then(|app| app.session.as_deref_mut());
            if let (Some(id), Some(session)) = (hit.tx, session) {
                session.silence(id);
            }
        }
        _ => silenced.transactions = true,
    }
}

/// A transaction's outcome so far, and its mark that an alert fired on it.
fn tx_mut(app: &mut AppLayer, id: u64) -> Option<((Efficacy, &'static str, u32), &mut bool)> {
    let protocol = registry::protocol(app.proto)?;
    let list = app.session.as_deref_mut()?.transactions_mut();
    let at = list.position(id)?;
    let outcome = list.at(at).map(|tx| outcome_of(protocol.outcome(tx)))?;
    let tx = list.at_mut(at)?;
    Some((outcome, &mut tx.state_mut().alerted))
}

/// What an answer says about an attack in the request: success codes make it likely, refusals make it failed.
fn outcome_of(outcome: Outcome) -> (Efficacy, &'static str, u32) {
    match outcome {
        Outcome::Unknown => (Efficacy::Unknown, "", 0),
        Outcome::Success(code) => (Efficacy::Reached, "answered with success", code),
        Outcome::Failure(code) => (Efficacy::Failed, "answered with refusal", code),
        Outcome::Answered(code) => (Efficacy::Reached, "answered", code),
    }
}

/// What the end of a flow shows: nobody answered, refused, or served.
fn flow_outcome(flow: &Flow, number: u64) -> OutcomeNote {
    let answered = flow.packets[1] > 0;
    let (efficacy, reason) = match &flow.tcp {
        Some(tcp)
            if tcp.closed_by_rst && !flow.is_established() && tcp.state < TcpState::Established =>
        {
            (Efficacy::Failed, "connection refused")
        }
        _ if !answered => (Efficacy::Unknown, "no answer seen"),
        _ if flow.state >= FlowState::Established => (Efficacy::Reached, "service answered"),
        _ => (Efficacy::Unknown, ""),
    };
    OutcomeNote {
        number,
        flow_id: flow.id,
        tx: None,
        efficacy,
        reason,
        code: 0,
    }
}

/// Sequence space used per direction.
fn stream_sizes(flow: &Flow) -> [u64; 2] {
    let Some(tcp) = &flow.tcp else { return [0; 2] };
    tcp.sides
        .each_ref()
        .map(|side| u64::from(side.next_seq.wrapping_sub(side.isn)))
}

/// A packet that never was, to inspect what a flow still holds.
fn pseudo_packet(
    flow: &Flow,
    direction: Direction,
    (number, ts): (u64, Timestamp),
    interface: u16,
) -> Layers {
    let key = flow.key.in_direction(direction);
    Layers {
        frame: Slice::default(),
        number,
        ts,
        interface,
        origin: PacketOrigin::FlowTimeout,
        vlan: key.vlan,
        vlan_count: flow.vlan_count,
        net: if key.src.is_ipv4() { Net::V4 } else { Net::V6 },
        src: key.src,
        dst: key.dst,
        ip_proto: key.proto,
        transport: if key.proto == 6 {
            Transport::Tcp
        } else {
            Transport::Other(key.proto)
        },
        sport: key.sport,
        dport: key.dport,
        ..Layers::default()
    }
}
