//! Reassembly: from accepted TCP segments to in-order bytes.
//!
//! Passive ("IDS") mode follows Suricata: bytes are handed to the application layer when the receiver has acknowledged
//! them, and are inspected with the next packet of their direction; so overlaps and segments that the receiver never
//! took cannot hide an attack. Inline mode hands over bytes at once, before they are delivered.
//!
//! ```text
//!  packet ─▶ state machine ─▶ insert (overlap policy) ─▶ deliver ─▶ Receiver (application layer)
//!            RFC 9293, events   in order │ out of order     │
//!                                        └──────────────────┴─▶ StreamWindow (raw stream rules)
//! ```
//!
//! One [`StreamEngine`] per worker holds settings, memory accounts and counters; one [`StreamPair`] per TCP flow holds
//! the bytes. What the application layer is, this module does not know: it hands bytes to a [`Receiver`].
//!
//! Limits: the depth per direction, segments out of order per direction, bytes kept per worker. Each has an event by
//! Suricata's name and a counter.

mod buffer;
mod check;
mod deliver;
mod handshake;
mod policy;
mod state;
mod urgent;

pub use crate::flow::ExceptionPolicy;
pub use buffer::StreamBuffer;
pub use policy::{HostPolicies, OsPolicy};

use crate::flow::{Flow, TcpState};
use crate::packet::{DecodeEvent, Direction, EventSet, Layers, Packet, TcpFlags, Timestamp};
use crate::stats::{Memory, MemoryBound};

/// Bytes of one direction that detection may look at as raw stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamWindow<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Offset in the stream of the first of them (0 = first byte after the SYN).
    pub offset: u64,
    /// How many bytes at the front of `bytes` were part of an earlier window (inline mode: the context
    /// of the packet's own bytes).
    pub seen: usize,
}

impl StreamWindow<'_> {
    /// Offset after the last byte: what to tell [`StreamEngine::inspected`].
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// How urgent data is taken (RFC 6093): `stream.reassembly.urgent.policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UrgentPolicy {
    /// As ordinary data.
    Inline,
    /// Drop the packet (inline mode).
    Drop,
    /// The urgent byte is not part of the stream.
    #[default]
    OutOfBand,
    /// The urgent byte leaves a gap.
    Gap,
}

impl UrgentPolicy {
    /// By the name the configuration uses.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "inline" => Self::Inline,
            "drop" => Self::Drop,
            "oob" => Self::OutOfBand,
            "gap" => Self::Gap,
            _ => return None,
        })
    }
}

/// Settings of the stream engine, by Suricata's names and with its defaults.
#[derive(Clone, Debug)]
pub struct StreamSettings {
    /// Whether data is handed over before it is acknowledged, and overlaps are settled by what was forwarded first.
    pub inline: bool,
    /// `stream.midstream`: sessions may be picked up without their handshake.
    pub midstream: bool,
    /// `stream.async-oneside`: sessions of which only one side is seen.
    pub async_oneside: bool,
    /// `stream.midstream-policy`.
    pub midstream_policy: ExceptionPolicy,
    /// `stream.reassembly.memcap-policy`.
    pub memcap_policy: ExceptionPolicy,
    /// `stream.drop-invalid`: inline, drop what the state machine refuses.
    pub drop_invalid: bool,
    /// Inline: the same for the end (FIN, RST) of a connection that is not known. Off where packets pass a sensor that was
    /// not always there: nobody else would end what began before it.
    pub drop_strays: bool,
    /// `stream.reassembly.depth`: bytes per direction, 0 for no limit.
    pub depth: u32,
    /// `stream.reassembly.toserver-chunk-size` and `toclient-chunk-size`, without randomisation.
    pub chunk_bytes: [u32; 2],
    /// `stream.reassembly.urgent.policy`.
    pub urgent: UrgentPolicy,
    /// `stream.reassembly.urgent.oob-limit-policy`: how it is taken once a direction took out as much as it may.
    pub urgent_limit: UrgentPolicy,
    /// `stream.max-syn-queued`.
    pub syn_queue_max: usize,
    /// `stream.max-synack-queued`.
    pub synack_queue_max: usize,
    /// Inline: drop a segment whose bytes differ from those inspected before at the same place. The receiver may prefer
    /// them (Suricata rewrites the packet instead). Off, the event remains.
    pub drop_different_overlap: bool,
    /// `stream.liberal-timestamps`: on by default, since policies of hosts are rarely configured.
    pub liberal_timestamps: bool,
    /// `stream.reassembly.check-overlap-different-data`: raise an event when overlapping segments differ.
    pub check_overlap: bool,
    /// Target-based reassembly (`host-os-policy`).
    pub policies: HostPolicies,
    /// Bytes of stream data kept at a time by this worker (`stream.reassembly.memcap` divided by the workers).
    pub memory_bytes: u64,
    /// Segments out of order kept per direction.
    pub out_of_order_max: usize,
    /// Bytes kept per direction, in order and out of order.
    pub buffer_bytes_max: usize,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            inline: false,
            midstream: false,
            async_oneside: false,
            midstream_policy: ExceptionPolicy::Ignore,
            memcap_policy: ExceptionPolicy::Ignore,
            drop_invalid: true,
            drop_strays: true,
            depth: 1024 * 1024,
            chunk_bytes: [2560; 2],
            urgent: UrgentPolicy::OutOfBand,
            urgent_limit: UrgentPolicy::Drop,
            syn_queue_max: 10,
            synack_queue_max: 5,
            liberal_timestamps: true,
            drop_different_overlap: false,
            check_overlap: true,
            policies: HostPolicies::default(),
            memory_bytes: 256 * 1024 * 1024,
            out_of_order_max: 256,
            buffer_bytes_max: 4 * 1024 * 1024,
        }
    }
}

/// What the engine counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Sessions begun.
    pub sessions: u64,
    /// Of these, picked up in the middle.
    pub midstream_pickups: u64,
    /// Segments not taken because their checksum is wrong.
    pub invalid_checksum: u64,
    /// Segments the state machine refused.
    pub invalid: u64,
    /// Gaps.
    pub gaps: u64,
    /// Overlaps.
    pub overlaps: u64,
    /// Overlaps with different data.
    pub overlaps_different: u64,
    /// Segments not kept because memory ran out.
    pub memory_refused: u64,
    /// Segments not kept because the direction holds too many.
    pub limit_refused: u64,
    /// Directions that reached their depth.
    pub depth_reached: u64,
}

/// In-order bytes on their way to the application layer.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Which way they go.
    pub direction: Direction,
    /// The bytes: from the first not yet consumed one on. Empty together with `gap`, or with `end`.
    pub bytes: &'a [u8],
    /// Bytes lost at this place; `bytes` is then empty.
    pub gap: u64,
    /// Whether nothing follows.
    pub end: bool,
    /// Offset of the first byte in the stream.
    pub offset: u64,
    /// Time of the packet that caused the offer.
    pub ts: Timestamp,
    /// Which direction sent the first data of the connection.
    pub first_data: Option<Direction>,
    /// Whether the session was picked up in the middle (not at its SYN-ACK).
    pub midstream: bool,
    /// Whether the handshake is complete.
    pub established: bool,
    /// Whether the depth of the direction is reached.
    pub depth_reached: bool,
    /// Bytes held per direction, in order or not: bounds how long identification may wait.
    pub held: [u64; 2],
    /// The windows each side offers its peer, for the same purpose.
    pub windows: [u32; 2],
}

/// What the receiver did with an [`Offer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes consumed from the front.
    pub consumed: usize,
    /// Bytes to wait for before offering again (0: any).
    pub needed: usize,
    /// Whether the parser was given the bytes (as opposed to identification still waiting).
    pub parsed: bool,
    /// Whether raw stream inspection should look now instead of waiting for a full chunk.
    pub flush: bool,
    /// What to do next.
    pub next: Next,
}

/// See [`Taken`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Next {
    /// Offer what else there is.
    #[default]
    GoOn,
    /// Enough for this packet.
    Wait,
    /// Offer the other direction's bytes first, then these again.
    OtherSideFirst,
    /// Client and server change places; then offer these again, as what they now are.
    Reverse,
    /// The protocol changes: inspect what was parsed so far before anything else. See [`StreamVerdict::flush`].
    ProtocolChange,
    /// Never offer anything again, but keep raw stream inspection.
    Stop,
    /// Never offer anything again, and look at no payload either (encrypted remainder).
    Encrypted,
    /// Never offer anything again: what was parsed so far is inspected, then no payload any more.
    InspectionEnds,
    /// The same, and the flow may be bypassed altogether.
    Bypass,
}

/// What takes the in-order bytes: the application layer.
pub trait Receiver {
    /// Takes bytes, or a gap, or the end of a direction.
    fn receive(&mut self, flow: &mut Flow, offer: &Offer<'_>) -> Taken;
    /// Client and server have changed places.
    fn swap_directions(&mut self);
}

/// What the engine says about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamVerdict {
    /// Which way the packet goes: differs from what was passed in when client and server changed places.
    pub direction: Direction,
    /// Whether a session exists and its handshake is complete: app-layer and stream rules may look (Suricata's
    /// `PKT_STREAM_EST`).
    pub stream: bool,
    /// Whether the packet is established for `flow:established` although the flow was not before it.
    pub established: bool,
    /// Whether the packet's payload became part of the stream (a stream rule need not look at the packet as well).
    pub added: bool,
    /// Whether the state machine refused it.
    pub invalid: bool,
    /// Whether inline mode must drop it.
    pub drop: Option<DropReason>,
    /// Directions in which the application layer made progress with this packet.
    pub updated: [bool; 2],
    /// Whether what was parsed so far is to be inspected (both directions, the one opposite to the packet first; inline:
    /// the packet's first) before the packet: the protocol changes, or payload inspection ends with it.
    pub flush: bool,
    /// Whether the flow may be taken out of inspection altogether.
    pub bypass: bool,
    /// What the midstream policy wants done with the flow.
    pub policy: ExceptionPolicy,
}

impl StreamVerdict {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            stream: false,
            established: false,
            added: false,
            invalid: false,
            drop: None,
            updated: [false; 2],
            flush: false,
            bypass: false,
            policy: ExceptionPolicy::Ignore,
        }
    }
}

/// Why inline mode drops a packet (EVE's `drop.reason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The state machine refused it.
    StreamError,
    /// Urgent data, by policy.
    StreamUrgent,
    /// Picked up in the middle, by policy.
    StreamMidstream,
    /// No memory for it, by policy.
    StreamReassembly,
}

impl DropReason {
    /// EVE's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StreamError => "stream error",
            Self::StreamUrgent => "stream urgent",
            Self::StreamMidstream => "stream midstream",
            Self::StreamReassembly => "stream reassembly",
        }
    }
}

/// The two directions of a TCP connection.
#[derive(Debug, Default)]
pub struct StreamPair {
    sides: [StreamBuffer; 2],
    /// Which direction sent data first.
    first_data: Option<Direction>,
    /// The receiver wants nothing more.
    app_done: bool,
    /// Per direction: the flow has ended, what was not acknowledged counts as well.
    ending: [bool; 2],
    /// Bytes of it in the worker's account.
    booked: u64,
}

impl StreamPair {
    /// Whether it is what [`Self::restore`] makes of a new pair: only a SYN was seen.
    pub fn is_half_open(&self, flow: &Flow) -> bool {
        let isn = flow
            .tcp
            .as_ref()
            .map(|tcp| tcp.side(Direction::ToServer).isn);
        let [to_server, to_client] = &self.sides;
        to_server.is_untouched()
            && to_client.is_untouched()
            && isn.is_some_and(|isn| to_server.base_seq() == isn.wrapping_add(1))
            && to_client.base_seq() == 0
            && self.first_data.is_none()
            && !self.app_done
            && self.ending == [false; 2]
    }

    /// Urgent bytes taken out of each direction.
    pub fn urgent_bytes(&self) -> [u16; 2] {
        let taken = |side: &StreamBuffer| side.urgent.as_ref().map_or(0, |urgent| urgent.taken);
        self.sides.each_ref().map(taken)
    }

    /// Forgets the SYN of a pair of which nothing but that was seen.
    pub fn rewind(&mut self) {
        for side in &mut self.sides {
            side.start_at(0);
        }
    }

    /// Makes a new pair what it was after the SYN of the flow's session.
    pub fn restore(&mut self, flow: &Flow) {
        if let Some(tcp) = &flow.tcp {
            let first = tcp.side(Direction::ToServer).isn.wrapping_add(1);
            self.side_mut(Direction::ToServer).start_at(first);
        }
    }

    fn side(&self, direction: Direction) -> &StreamBuffer {
        let [to_server, to_client] = &self.sides;
        if direction == Direction::ToServer {
            to_server
        } else {
            to_client
        }
    }

    fn side_mut(&mut self, direction: Direction) -> &mut StreamBuffer {
        let [to_server, to_client] = &mut self.sides;
        if direction == Direction::ToServer {
            to_server
        } else {
            to_client
        }
    }

    fn held(&self) -> u64 {
        self.sides.iter().map(StreamBuffer::held).sum()
    }

    fn swap_directions(&mut self) {
        self.sides.swap(0, 1);
        self.ending.swap(0, 1);
        self.first_data = self.first_data.map(Direction::reverse);
    }

    /// Whether the application layer gets no more data of this connection.
    pub fn app_done(&self) -> bool {
        self.app_done
    }
}

/// Drives the connections of one worker.
#[derive(Debug)]
pub struct StreamEngine {
    settings: StreamSettings,
    stats: StreamStats,
    /// What the segment of the packet in hand wants instead of the settings: midstream, no memory.
    own: [Option<ExceptionPolicy>; 2],
    /// Bytes of stream data held.
    held: u64,
    /// Buffers without a flow, for flows to come.
    spare: Vec<Vec<u8>>,
    /// See [`Self::missed`].
    missed: Option<Timestamp>,
}

impl StreamEngine {
    /// For one worker.
    pub fn new(settings: StreamSettings) -> Self {
        Self {
            settings,
            stats: StreamStats::default(),
            own: [None; 2],
            held: 0,
            spare: Vec::new(),
            missed: None,
        }
    }

    /// Packets may have gone their way up to this time without being seen here (inline): what the state machine refuses of
    /// connections that began by then may be right, and is not dropped.
    pub fn missed(&mut self, until: Timestamp) {
        self.missed = self.missed.max(Some(until));
    }

    /// Whether every packet of a connection came by here, as far as can be known.
    fn saw_all(&self, flow: &Flow) -> bool {
        self.missed.is_none_or(|until| flow.first > until)
    }

    /// Settings.
    pub fn settings(&self) -> &StreamSettings {
        &self.settings
    }

    /// Counters.
    pub fn stats(&self) -> &StreamStats {
        &self.stats
    }

    /// The exception policies of the next packet's segment, where it has its own: sessions picked up in the middle, and no
    /// memory for bytes.
    pub fn go_by(&mut self, midstream: Option<ExceptionPolicy>, memcap: Option<ExceptionPolicy>) {
        self.own = [midstream, memcap];
    }

    /// The most memory stream data takes in this worker.
    pub fn bound(&self) -> MemoryBound {
        let memory = Memory {
            // Beside what flows hold: buffers kept for flows to come.
            bytes: self
                .settings
                .memory_bytes
                .saturating_add(buffer::SPARE_BYTES),
            used: self.held,
        };
        memory.of("stream reassembly")
    }

    /// Takes a TCP packet: state machine, reassembly, application layer. `direction` as the flow table found it.
    ///
    /// To be called before detection. What is wrong with the packet is added to `events`.
    pub fn packet<R: Receiver>(
        &mut self,
        packet: &Packet<'_>,
        direction: Direction,
        flow: &mut Flow,
        streams: &mut StreamPair,
        receiver: &mut R,
        events: &mut EventSet,
    ) -> StreamVerdict {
        if packet.bad_checksum {
            self.stats.invalid_checksum += 1;
            return StreamVerdict::new(direction);
        }
        let tcp = &packet.tcp;
        if !tcp.flags.has(TcpFlags::ACK) && tcp.ack != 0 {
            events.insert(DecodeEvent::STREAM_PKT_BROKEN_ACK);
        }
        let known = flow.tcp.is_some();
        flow.open_session();
        let Some(session) = flow.tcp.take() else {
            return StreamVerdict::new(direction);
        };
        let mut work = state::Work::new(
            self, packet, direction, flow, session, streams, receiver, events,
        );
        if known {
            work.note_flags();
        }
        if work.drops_urgent() {
            work.verdict.drop = Some(DropReason::StreamUrgent);
        } else if !(work.engine.settings.inline && work.flow.dropped) {
            work.run();
        }
        let (verdict, session) = (work.verdict, work.tcp);
        flow.put_session(session);
        self.book(streams);
        verdict
    }

    /// Brings the account of memory up to date with what a connection holds now.
    fn book(&mut self, streams: &mut StreamPair) {
        let held = streams.held();
        self.held = self
            .held
            .saturating_sub(streams.booked)
            .saturating_add(held);
        streams.booked = held;
    }

    /// Whether the engine would make of a packet that opens a flow nothing but a session that waits for its answer, and
    /// say nothing of it: then [`crate::flow::FlowTable::file_syn`] serves as well as [`Self::packet`].
    pub fn only_opens(packet: &Packet<'_>) -> bool {
        const MEANINGFUL: u8 = 0x3f;
        packet.tcp.flags.0 & MEANINGFUL == TcpFlags::SYN
            && packet.tcp.ack == 0
            && packet.tcp.fast_open.is_none()
            && packet.payload_len == 0
            && !packet.bad_checksum
    }

    /// Counts such a packet. Whether its session would be taken for one-sided.
    pub fn note_opened(&mut self) -> bool {
        self.stats.sessions += 1;
        self.settings.async_oneside
    }

    /// Whether a flow that ends has something left to inspect, per direction. `pending` says in which directions the
    /// application layer has transactions that are not inspected to their end.
    pub fn unfinished(&self, flow: &Flow, streams: &StreamPair, pending: [bool; 2]) -> [bool; 2] {
        let Some(tcp) = flow.tcp.as_deref() else {
            return [false; 2];
        };
        if flow.dropped || flow.state == crate::flow::FlowState::Bypassed {
            return [false; 2];
        }
        if tcp.state >= TcpState::Established && tcp.state != TcpState::Closed {
            return [true; 2];
        }
        let [to_server, to_client] = pending;
        [
            to_server || Self::has_unread(streams, Direction::ToServer),
            to_client || Self::has_unread(streams, Direction::ToClient),
        ]
    }

    /// Ends a direction of a flow that ends: hands over what is there, acknowledged or not. Then the pipeline inspects a
    /// pseudo packet ([`crate::packet::PacketOrigin::FlowTimeout`]) of this direction. To the server first.
    pub fn end<R: Receiver>(
        &mut self,
        direction: Direction,
        flow: &mut Flow,
        streams: &mut StreamPair,
        receiver: &mut R,
        events: &mut EventSet,
    ) -> StreamVerdict {
        let mut verdict = StreamVerdict::new(direction);
        verdict.stream = true;
        verdict.established = true;
        let Some(session) = flow.tcp.take() else {
            return verdict;
        };
        let layers = Layers {
            ts: flow.last,
            number: 0,
            ..Layers::default()
        };
        let packet = Packet {
            frame: &[],
            layers: &layers,
        };
        if let Some(ending) = streams.ending.get_mut(direction.index()) {
            *ending = true;
        }
        let mut work = state::Work::new(
            self, &packet, direction, flow, session, streams, receiver, events,
        );
        work.pseudo = true;
        work.segment(direction);
        let StreamVerdict { updated, flush, .. } = work.verdict;
        let session = work.tcp;
        flow.put_session(session);
        StreamVerdict {
            updated,
            flush,
            ..verdict
        }
    }

    /// What raw stream inspection of a packet (or pseudo packet) of this direction shall look at, piece by piece: call
    /// until it returns `None`, passing the end of the piece before (at first `None`).
    ///
    /// Passive mode: what was acknowledged, once a chunk is full, the application layer made progress or the stream
    /// ends. Inline mode: the packet's bytes with those around them.
    pub fn window<'s>(
        &self,
        direction: Direction,
        flow: &Flow,
        streams: &'s StreamPair,
        after: Option<u64>,
    ) -> Option<StreamWindow<'s>> {
        self.raw_window(direction, flow, streams, after)
    }

    /// Says how far raw inspection of a direction has come: the end of the last window, `None` when there was none.
    ///
    /// To be called after the inspection of each packet (and pseudo packet) for its direction, when
    /// [`StreamVerdict::stream`] is set: it gives up what is no longer needed.
    pub fn inspected(
        &mut self,
        direction: Direction,
        flow: &Flow,
        streams: &mut StreamPair,
        upto: Option<u64>,
    ) {
        self.raw_inspected(direction, flow, streams, upto);
    }

    /// Whether a direction is beyond its depth: nothing more of it is reassembled, its transactions are as complete as
    /// they will ever be.
    pub fn beyond_depth(&self, direction: Direction, streams: &StreamPair) -> bool {
        streams.side(direction).depth_reached
    }

    /// Gives up what a flow still holds. To be called before its slot is recycled.
    pub fn release(&mut self, streams: &mut StreamPair) {
        self.held = self.held.saturating_sub(streams.booked);
        streams.booked = 0;
        for side in &mut streams.sides {
            side.reset(&mut self.spare);
        }
        streams.first_data = None;
        streams.app_done = false;
        streams.ending = [false; 2];
    }

    /// Bytes of stream data held now.
    pub fn held_bytes(&self) -> u64 {
        self.held
    }
}

#[cfg(test)]
mod tests;
