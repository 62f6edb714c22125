//! A signature worker: it owns its flows outright, and the path of a packet is readable in [`SignatureWorker::process`]
//! and [`stages::Stages::process`].

mod log;
mod outcome;
mod say;
mod stages;
mod tracked;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use stages::{Stages, Standing, has_policies};
use tracked::Tracked;

use crate::alert::Verdict;
use crate::app::Limits;
use crate::app::account::Most;
use crate::app::layer::{AppContext, EncryptionHandling};
use crate::detect::anomaly::{HostRecord, RecordKind, pace};
use crate::detect::signature::{Engine, Inspector, InspectorStats, RuleCost};
use crate::flow::{
    EndReason, Ended, EndedHalfOpen, Flow, FlowEvents, FlowHandle, FlowSettings, FlowStats,
    FlowTable, Foreseen, Silent, Slot,
};
use crate::grade::action::{BlockList, Contact, Passage};
use crate::grade::{Exceptions, OnException, Segments};
use crate::packet::{Batch, Packet, TcpFlags, Timestamp, Transport};
use crate::pipeline::host_records;
use crate::pipeline::report::Said;
use crate::pipeline::stage_clock::{Stage, StageClock, StageCosts};
use crate::pipeline::tags::Tags;
use crate::rules::dataset::Ask;
use crate::sink::eve;
use crate::sink::eve::{EveSettings, FlowExtras, Subject};
use crate::stats::MemoryBound;
use crate::stream::{ExceptionPolicy, StreamEngine, StreamSettings, StreamStats};

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
