//! The stages between a flow and the outbox: stream, application, signatures, log.

use std::sync::Arc;

use super::outcome::flow_outcome;
use super::tracked::{Silenced, Tracked};
use crate::alert::{Outbox, Verdict};
use crate::app::layer::{AppContext, AppInput};
use crate::app::{AppLayer, registry};
use crate::detect::signature::{FlowAction, Hit, Inspection, Inspector, Replacement, StreamView};
use crate::flow::{Flow, Slot};
use crate::grade::{Exceptions, Segments};
use crate::packet::{
    Direction, FlowKey, Layers, Net, Packet, PacketOrigin, Slice, Timestamp, Transport,
};
use crate::pipeline::host_records;
use crate::pipeline::report::Said;
use crate::pipeline::stage_clock::{Stage, StageClock};
use crate::pipeline::tags::Tags;
use crate::sink::eve;
use crate::sink::eve::{EveSettings, FlowExtras, Subject, metadata};
use crate::stream::{ExceptionPolicy, StreamEngine};

/// The stages between a flow and the outbox.
pub(super) struct Stages {
    /// `flow.memcap-policy`.
    pub(super) flow_memcap: ExceptionPolicy,
    /// Whether a segment has exception policies for packets.
    pub(super) own_policies: bool,
    pub(super) clock: StageClock,
    pub(super) streams: StreamEngine,
    pub(super) app: AppContext,
    pub(super) inspector: Inspector,
    pub(super) hits: Vec<Hit>,
    pub(super) eve: EveSettings,
    pub(super) inline: bool,
    pub(super) hosts: bool,
    pub(super) segments: Arc<Segments>,
    /// Changes when the segments do.
    pub(super) segments_state: u32,
    pub(super) dropped: u64,
    /// What `replace` wants changed in the packet in hand (inline).
    pub(super) changes: Vec<Replacement>,
    /// Hosts whose packets rules want recorded.
    pub(super) tags: Tags,
    /// Transactions to be looked at for the log, by number.
    pub(super) ids: Vec<u64>,
}

impl std::fmt::Debug for Stages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stages({:?})", self.streams.stats())
    }
}

impl Stages {
    /// A packet that belongs to no flow: decode events, headers.
    pub(super) fn process_alone(
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
    pub(super) fn flow_memcap(&self, packet: &Packet<'_>) -> ExceptionPolicy {
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
    pub(super) fn process(
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
    pub(super) fn process_after_signatures(
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
    pub(super) fn inspect(
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
    pub(super) fn end(
        &mut self,
        slot: &mut Slot<Tracked>,
        (number, now): (u64, Timestamp),
        said: &mut Said,
    ) {
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
}

/// What the stream engine says about the packet in hand, as far as inspection asks.
#[derive(Clone, Copy)]
pub(super) struct Standing {
    pub(super) direction: Direction,
    pub(super) stream: bool,
    pub(super) flow_established: bool,
    pub(super) added: bool,
    pub(super) ended: bool,
    /// It is the SYN of a session that is not begun yet.
    pub(super) opens: bool,
}

impl Standing {
    /// Of a packet that the stream engine says nothing about.
    pub(super) fn to_server() -> Self {
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

/// What an exception policy does to the packet in hand.
pub(super) fn wanted(policy: ExceptionPolicy) -> Verdict {
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

/// Directions in which transactions are not inspected to their end.
pub(super) fn pending(app: &AppLayer) -> [bool; 2] {
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

/// Sequence space used per direction.
pub(super) fn stream_sizes(flow: &Flow) -> [u64; 2] {
    let Some(tcp) = &flow.tcp else { return [0; 2] };
    tcp.sides
        .each_ref()
        .map(|side| u64::from(side.next_seq.wrapping_sub(side.isn)))
}

/// A packet that never was, to inspect what a flow still holds.
pub(super) fn pseudo_packet(
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

/// Whether a segment has exception policies for packets.
pub(super) fn has_policies(segments: &Segments) -> bool {
    let has = |e: &Exceptions| e.midstream.is_some() || e.memcap.is_some();
    segments.list.iter().any(|s| has(&s.exceptions))
}
