//! The flow table: finds the flow of a packet, makes new ones, ends old ones.
//!
//! - **Keyed.** Open addressing over a seeded hash: nobody outside can aim at a bucket. The entries are a slab; a flow
//!   itself lives in a box that is recycled, so that nothing is allocated per packet once the table has grown.
//! - **Small where it is cheap to make us grow.** A connection of which only a plain SYN was seen is a record of a
//!   hundred bytes ([`HalfOpen`]); the SYN itself is worked on in one flow that serves for all of them.
//! - **Bounded and ranked.** At most [`FlowSettings::flows_max`] flows. A full table gives up half-open TCP
//!   connections first (oldest first; they have a small class of their own, so that a SYN flood only ever competes
//!   with itself), then closed ones, then one-sided ones; an established flow goes only after
//!   [`FlowSettings::idle_secs`] without a packet. When nothing may go, the newcomer is refused and counted.
//! - **The same for any number of workers.** Space is divided into [`SHARDS`] by the hash that also chooses the worker,
//!   ids and the order of ended flows come from packet numbers, and time from the capture ([`FlowTable::tick`]).
//!
//! What it does not do: TCP's state machine ([`crate::stream`] drives it); it only asks it whether a SYN reuses a flow.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::half_open::{HalfOpen, HalfOpens, MARK};
use super::index::Index;
use super::key::{Belongs, TableKey, is_icmp_error};
use super::wheel::{NONE, Wheel, WheelLink, WheelSlab};
use super::{EndReason, Flow, FlowEvents, FlowState, TcpState};
use crate::packet::{Direction, FlowKey, Packet, Timestamp, Transport};
use crate::stats::{Memory, MemoryBound};

/// Parts of the table with space of their own. Worker counts that divide it share nothing.
pub const SHARDS: usize = 16;

/// Seconds without a packet after which a flow ends, by state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One direction seen (TCP: handshake not complete).
    pub new_secs: u32,
    /// Both directions seen.
    pub established_secs: u32,
    /// Closed (TCP).
    pub closed_secs: u32,
    /// Bypassed.
    pub bypassed_secs: u32,
}

/// Settings of flow tracking.
#[derive(Clone, Debug)]
pub struct FlowSettings {
    /// Most flows tracked at a time, over all workers.
    pub flows_max: u32,
    /// Of these, most half-open TCP connections (SYN seen, nothing else).
    pub pending_max: u32,
    /// Most half-open connections given up in a second of packet time that are reported one by one; those beyond are
    /// counted ([`FlowStats::unreported`]). A flood makes as many of them as it has packets.
    pub forced_reports_per_sec: u32,
    /// How many workers share `flows_max`.
    pub workers: u32,
    /// Keys the hash: that of the process, see [`crate::packet::hash_key`].
    pub seed: u64,
    /// TCP.
    pub tcp: Timeouts,
    /// UDP.
    pub udp: Timeouts,
    /// ICMP and ICMPv6.
    pub icmp: Timeouts,
    /// Everything else.
    pub other: Timeouts,
    /// Seconds of silence after which an established flow may make room for a new one.
    pub idle_secs: u32,
    /// Whether a SYN-ACK may begin a session (`stream.midstream` or `stream.async-oneside`): it may then also reuse a flow.
    pub midstream: bool,
}

impl Default for FlowSettings {
    fn default() -> Self {
        let other = Timeouts {
            new_secs: 30,
            established_secs: 300,
            closed_secs: 0,
            bypassed_secs: 100,
        };
        Self {
            flows_max: 1 << 18,
            pending_max: 1 << 16,
            // 2 MB of EVE a second, about a hundredth of a core.
            forced_reports_per_sec: 4096,
            workers: 1,
            seed: crate::packet::hash_key(),
            tcp: Timeouts {
                new_secs: 60,
                established_secs: 600,
                closed_secs: 60,
                bypassed_secs: 100,
            },
            udp: other,
            icmp: other,
            other,
            idle_secs: 30,
            midstream: false,
        }
    }
}

/// When a flow that waits for the answer to its SYN counts as unanswered; `None` for others, and once it was said.
fn answer_deadline(flow: &Flow) -> Option<Timestamp> {
    let waits = flow.key.proto == 6
        && flow.state == FlowState::New
        && flow.seen == [true, false]
        && !flow.unanswered;
    waits.then(|| flow.first.plus_nanos(ANSWER_SECS * 1_000_000_000))
}

impl FlowSettings {
    /// The same for a half-open connection.
    fn half_open_deadline(&self, since: Timestamp) -> Timestamp {
        since.plus_nanos(u64::from(self.tcp.new_secs) * 1_000_000_000)
    }

    /// The deadline of a flow: the time at which it has been silent for too long.
    fn deadline(&self, flow: &Flow) -> Timestamp {
        let timeouts = match flow.key.proto {
            6 => &self.tcp,
            17 => &self.udp,
            1 | 58 => &self.icmp,
            _ => &self.other,
        };
        let secs = match flow.state {
            FlowState::New => timeouts.new_secs,
            FlowState::Established => timeouts.established_secs,
            FlowState::Closed => timeouts.closed_secs,
            FlowState::Bypassed => timeouts.bypassed_secs,
        };
        flow.last.plus_nanos(u64::from(secs) * 1_000_000_000)
    }
}

/// What the table counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowStats {
    /// Flows made, by protocol: TCP, UDP, ICMP, ICMPv6, other.
    pub opened: [u64; 5],
    /// Flows ended by silence.
    pub timed_out: u64,
    /// Flows ended because the same addresses and ports began a new connection.
    pub tcp_reuse: u64,
    /// Half-open connections given up for others.
    pub evicted_pending: u64,
    /// Closed flows given up for new ones.
    pub evicted_closed: u64,
    /// One-sided flows given up for new ones.
    pub evicted_new: u64,
    /// Silent established flows given up for new ones.
    pub evicted_established: u64,
    /// Silent flows given up for the memory that parsers held for them.
    pub evicted_for_memory: u64,
    /// Packets that should have opened a flow for which there was no room.
    pub refused: u64,
    /// Half-open connections given up without a report ([`FlowSettings::forced_reports_per_sec`]).
    pub unreported: u64,
}

/// What a worker attaches to flows must be able to become empty again, keeping its buffers.
pub trait Recycle: Default {
    /// Forgets the flow it belonged to.
    fn recycle(&mut self);
    /// Whether it is what [`Self::restore`] makes of a new one for this flow, of which only a SYN was seen.
    fn is_half_open(&self, flow: &Flow) -> bool;
    /// Makes a new one what it was after the SYN of this flow.
    fn restore(&mut self, flow: &Flow);
}

impl Recycle for () {
    fn recycle(&mut self) {}
    fn is_half_open(&self, _flow: &Flow) -> bool {
        true
    }
    fn restore(&mut self, _flow: &Flow) {}
}

/// A flow that ended.
#[derive(Debug)]
pub enum Ended<X> {
    /// Give it back with [`FlowTable::recycle`].
    Flow(Box<Slot<X>>),
    /// A connection that was never answered.
    HalfOpen(EndedHalfOpen),
    /// Not an end: nobody has answered the SYN for [`ANSWER_SECS`]; said once, while the flow waits on.
    Silent(Silent),
}

/// A SYN that nobody answers.
#[derive(Clone, Copy, Debug)]
pub struct Silent {
    /// Client to server.
    pub key: FlowKey,
    /// EVE's `flow_id`.
    pub id: u64,
    /// Number of the SYN.
    pub first_number: u64,
    /// Its input interface.
    pub interface: u16,
    /// Its TTL.
    pub ttl: u8,
}

impl Silent {
    fn of_flow(flow: &Flow) -> Self {
        Self {
            key: flow.key,
            id: flow.id,
            first_number: flow.first_number,
            interface: flow.interface,
            ttl: flow.ttl[0].0,
        }
    }

    /// Of a half-open connection.
    pub fn of_half_open(half_open: &HalfOpen) -> Self {
        Self {
            key: half_open.key,
            id: half_open.id,
            first_number: half_open.first_number,
            interface: half_open.interface,
            ttl: half_open.ttl,
        }
    }
}

/// Seconds after which a SYN counts as unanswered. RFC 6298's first two retransmissions are at 1 and 3 s; who searches a
/// network must not stay unseen for the minute that a half-open flow is kept.
pub const ANSWER_SECS: u64 = 3;

impl<X> Ended<X> {
    /// What orders ended flows.
    fn rank(&self) -> (u64, u64) {
        match self {
            Self::Flow(slot) => (slot.flow.first_number, slot.flow.id),
            Self::HalfOpen(ended) => (ended.half_open.first_number, ended.half_open.id),
            Self::Silent(silent) => (silent.first_number, silent.id),
        }
    }
}

/// A half-open connection that ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedHalfOpen {
    /// What is known of it.
    pub half_open: HalfOpen,
    /// Why it ended.
    pub reason: EndReason,
    /// Whether it is to be reported as a flow of its own.
    pub report: bool,
}

/// A flow with what later stages attach to it.
#[derive(Debug, Default)]
pub struct Slot<X> {
    /// The flow.
    pub flow: Flow,
    /// The attachment.
    pub ext: X,
}

/// A live flow of one table. Valid until the flow ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHandle(u32);

/// What a packet is looked up by. See [`FlowTable::foresee`].
#[derive(Clone, Copy, Debug)]
pub struct Foreseen {
    belongs: Belongs,
    hash: u64,
}

/// What [`FlowTable::lookup`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The flow.
    pub handle: FlowHandle,
    /// Which way the packet goes in it.
    pub direction: Direction,
    /// Whether this packet opened it.
    pub opened: bool,
    /// Whether it is the first in its direction.
    pub first: bool,
    /// Whether it opened a flow that may be given back with [`FlowTable::file_syn`].
    pub syn: bool,
    /// Whether the flow is established as far as `flow:established` is concerned, this packet included.
    pub established: bool,
}

/// What a full table gives up first: the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Pending,
    Closed,
    New,
    Established,
}

const CLASSES: usize = 4;

/// Flows tried before a full class is taken to hold only active ones: bounds the work of one eviction.
const EVICTION_TRIES: usize = 8;

impl Class {
    fn of(flow: &Flow) -> Self {
        match flow.state {
            FlowState::Closed | FlowState::Bypassed => Self::Closed,
            FlowState::Established => Self::Established,
            FlowState::New if flow.key.proto != 6 => Self::New,
            FlowState::New => match flow.tcp.as_ref().map(|tcp| tcp.state) {
                None | Some(TcpState::None | TcpState::SynSent) => Self::Pending,
                Some(_) => Self::New,
            },
        }
    }
}

#[derive(Debug)]
struct Entry<X> {
    key: TableKey,
    hash: u64,
    slot: Option<Box<Slot<X>>>,
    wheel: WheelLink,
    /// The second the wheel will look at it.
    armed_secs: u64,
    class: Class,
    shard: u8,
    next: u32,
    prev: u32,
}

/// First and last entry of a class in a shard: the oldest and the newest in it.
#[derive(Clone, Copy, Debug)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            len: 0,
        }
    }
}

#[derive(Debug)]
struct Slab<X>(Vec<Entry<X>>);

impl<X> WheelSlab for Slab<X> {
    fn link(&mut self, index: u32) -> Option<&mut WheelLink> {
        self.0.get_mut(index as usize).map(|entry| &mut entry.wheel)
    }
}

/// Flows by key.
#[derive(Debug)]
pub struct FlowTable<X> {
    settings: FlowSettings,
    hasher: FixedState,
    slab: Slab<X>,
    free: Vec<u32>,
    /// Numbers of entries, and (marked) of half-open connections.
    index: Index,
    half_opens: HalfOpens,
    /// The flow a plain SYN is worked on in.
    syn: Syn<X>,
    /// Per shard: the second, and how many reports of it are left.
    reports_left: [(u64, u32); SHARDS],
    /// The second up to which half-open connections were looked through.
    looked_secs: Option<u64>,
    /// See [`Self::expire_below`].
    ending: Option<Vec<(u64, u64, u32)>>,
    /// See [`Self::give_up_idle`].
    hand: u32,
    lists: [[List; CLASSES]; SHARDS],
    wheel: Wheel,
    len: u32,
    capacity: u32,
    spare: Vec<Box<Slot<X>>>,
    due: Vec<u32>,
    ended: std::collections::VecDeque<Ended<X>>,
    stats: FlowStats,
}

/// A plain SYN in hand.
#[derive(Debug)]
struct Syn<X> {
    slot: Box<Slot<X>>,
    hash: u64,
    key: Option<TableKey>,
    shard: u8,
    depth: u8,
}

/// The number of the flow a plain SYN is worked on in.
const SYN: u32 = MARK - 1;

impl<X: Recycle> FlowTable<X> {
    /// An empty table. Reserves addresses for all it may hold; memory is taken as flows come.
    pub fn new(settings: FlowSettings) -> Self {
        let capacity = settings
            .flows_max
            .div_ceil(settings.workers.max(1))
            .clamp(SHARDS as u32, 1 << 26);
        let shard_max = (settings.pending_max / SHARDS as u32).max(1);
        Self {
            hasher: FixedState::with_seed(settings.seed),
            slab: Slab(Vec::with_capacity(capacity as usize)),
            free: Vec::new(),
            index: Index::new(capacity as usize),
            half_opens: HalfOpens::new(SHARDS, shard_max),
            syn: Syn {
                slot: Box::default(),
                hash: 0,
                key: None,
                shard: 0,
                depth: 0,
            },
            reports_left: [(0, 0); SHARDS],
            looked_secs: None,
            ending: None,
            hand: 0,
            lists: [[List::default(); CLASSES]; SHARDS],
            wheel: Wheel::new(),
            len: 0,
            capacity,
            spare: Vec::new(),
            due: Vec::new(),
            ended: std::collections::VecDeque::new(),
            stats: FlowStats::default(),
            settings,
        }
    }

    /// Number of live flows.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Counters.
    pub fn stats(&self) -> &FlowStats {
        &self.stats
    }

    /// Settings.
    pub fn settings(&self) -> &FlowSettings {
        &self.settings
    }

    /// The most memory the table takes, without what attachments allocate themselves.
    pub fn bound(&self) -> MemoryBound {
        let flow =
            size_of::<Entry<X>>() + size_of::<Slot<X>>() + size_of::<super::TcpSession>() + 16;
        // A shard belongs to one worker, unless their number does not divide that of the shards.
        let workers = self.settings.workers.max(1);
        let shared = if (SHARDS as u32).is_multiple_of(workers) {
            workers
        } else {
            1
        };
        let half_opens = HalfOpens::bytes((self.settings.pending_max / shared).min(self.capacity));
        let bytes = self.capacity as usize * flow + self.index.bytes() + half_opens;
        let waiting = (0..SHARDS).map(|shard| self.half_opens.len(shard)).sum();
        let memory = Memory {
            bytes: bytes as u64,
            used: (self.len() * flow + self.index.bytes() + HalfOpens::bytes(waiting)) as u64,
        };
        memory.of("flow table")
    }

    /// A live flow.
    pub fn get(&self, handle: FlowHandle) -> Option<&Slot<X>> {
        if handle.0 == SYN {
            return Some(&self.syn.slot);
        }
        self.slab.0.get(handle.0 as usize)?.slot.as_deref()
    }

    /// A live flow.
    pub fn get_mut(&mut self, handle: FlowHandle) -> Option<&mut Slot<X>> {
        if handle.0 == SYN {
            return Some(&mut self.syn.slot);
        }
        self.slab.0.get_mut(handle.0 as usize)?.slot.as_deref_mut()
    }

    /// Finds the flow of a packet, or opens one, and counts the packet in it.
    ///
    /// `None`: the packet has no flow (no transport, an ICMP error about nothing known, no room). A flow that the packet
    /// shows to be over (silent for too long, reused) moves to [`Self::take_ended`]; take these after the packet.
    pub fn lookup(&mut self, packet: &Packet<'_>) -> Option<Found> {
        let foreseen = self.foresee(packet);
        self.lookup_foreseen(packet, foreseen)
    }

    /// What a packet will be looked up by. Foreseeing a whole batch before its first lookup lets the reads of the index
    /// overlap, instead of each packet waiting for its own.
    #[inline]
    pub fn foresee(&self, packet: &Packet<'_>) -> Foreseen {
        let belongs = Belongs::of(packet);
        let hash = match &belongs {
            Belongs::Nowhere => 0,
            Belongs::Opens(key) | Belongs::Joins(key) => self.hasher.hash_one(key),
        };
        self.index.prefetch(hash);
        Foreseen { belongs, hash }
    }

    /// [`Self::lookup`] of a packet with what [`Self::foresee`] said of it, however many packets ago.
    pub fn lookup_foreseen(&mut self, packet: &Packet<'_>, foreseen: Foreseen) -> Option<Found> {
        let hash = foreseen.hash;
        let (key, opens) = match foreseen.belongs {
            Belongs::Nowhere => return None,
            Belongs::Opens(key) => (key, true),
            Belongs::Joins(key) => (key, false),
        };
        // A SYN that was not settled (the stages gave up on it) is a flow all the same.
        self.settle_syn();
        match self.find(&key, hash) {
            Some(number) if number & MARK != 0 => {
                let since = self.half_opens.get(number)?.ts;
                if self.settings.half_open_deadline(since) <= packet.ts {
                    self.end_half_open(number, EndReason::Timeout);
                } else {
                    let index = self.promote(number, key)?;
                    return self.touch(index, packet, false);
                }
            }
            Some(index) => {
                let over = self.over(index, packet);
                if over == EndReason::None {
                    return self.touch(index, packet, false);
                }
                self.end(index, over);
            }
            None => {}
        }
        if !opens || !self.make_room(packet) {
            return None;
        }
        self.count_opened(packet);
        if HalfOpen::may_open(packet) {
            begin(&mut self.syn.slot.flow, packet, &key);
            self.syn.hash = hash;
            self.syn.key = Some(key);
            self.syn.shard = shard_of(packet);
            self.syn.depth = packet.depth;
            return self.touch(SYN, packet, true);
        }
        let mut slot = self.spare.pop().unwrap_or_default();
        begin(&mut slot.flow, packet, &key);
        let index = self.file(slot, (key, hash, shard_of(packet)));
        self.index.insert(hash, index);
        self.touch(index, packet, true)
    }

    /// Whether the packet's flow is known; changes nothing.
    pub fn knows(&self, packet: &Packet<'_>) -> bool {
        let (Belongs::Opens(key) | Belongs::Joins(key)) = Belongs::of(packet) else {
            return false;
        };
        self.find(&key, self.hasher.hash_one(key)).is_some()
    }

    /// Files the flow of a plain SYN of which no stage made more than the packet says ([`Found::syn`]): its session was
    /// not begun, and its attachment is as it was. `one_sided` as the session would have it. Instead of
    /// [`Self::settle`].
    pub fn file_syn(&mut self, packet: &Packet<'_>, one_sided: bool) {
        if self.syn.key.is_none() {
            return;
        }
        let (hash, shard, flow) = (self.syn.hash, self.syn.shard, &mut self.syn.slot.flow);
        let half_open = HalfOpen::of_syn(flow, packet, hash, one_sided);
        let Some(number) = self.half_opens.push(usize::from(shard), half_open) else {
            // Room was made when it was looked up; should there be none, it is a flow like any other.
            half_open.restore(flow);
            self.syn.slot.ext.restore(&self.syn.slot.flow);
            return self.settle_syn();
        };
        self.syn.key = None;
        // The rest is written by the next SYN.
        flow.packets = [0; 2];
        flow.bytes = [0; 2];
        flow.seen = [false; 2];
        flow.ttl = [(0, 0); 2];
        self.len += 1;
        self.index.insert(hash, number);
    }

    /// Files the flow of a plain SYN: as half open if that is all it is.
    fn settle_syn(&mut self) {
        let Some(key) = self.syn.key.take() else {
            return;
        };
        let (hash, shard) = (self.syn.hash, self.syn.shard);
        let slot = &mut *self.syn.slot;
        let half_open = HalfOpen::of(&slot.flow, hash, self.syn.depth)
            .filter(|_| slot.ext.is_half_open(&slot.flow));
        if let Some(number) = half_open.and_then(|h| self.half_opens.push(usize::from(shard), h)) {
            empty(slot);
            self.len += 1;
            self.index.insert(hash, number);
            return;
        }
        let next = self.spare.pop().unwrap_or_default();
        let slot = std::mem::replace(&mut self.syn.slot, next);
        let index = self.file(slot, (key, hash, shard));
        self.index.insert(hash, index);
    }

    /// Makes a flow of a half-open connection again.
    fn promote(&mut self, number: u32, key: TableKey) -> Option<u32> {
        let half_open = self.half_opens.take(number)?;
        self.len -= 1;
        let mut slot = self.spare.pop().unwrap_or_default();
        half_open.restore(&mut slot.flow);
        slot.ext.restore(&slot.flow);
        let shard = ((number & !MARK) >> super::half_open::PLACE_BITS) as u8;
        let index = self.file(slot, (key, half_open.hash, shard));
        self.index.replace(half_open.hash, number, index);
        Some(index)
    }

    /// Files the flow anew after its packet was processed: its state may have changed. Cheap when it has not.
    pub fn settle(&mut self, handle: FlowHandle) {
        if handle.0 == SYN {
            return self.settle_syn();
        }
        let Some(entry) = self.slab.0.get_mut(handle.0 as usize) else {
            return;
        };
        let Some(slot) = entry.slot.as_deref() else {
            return;
        };
        let (old, class) = (entry.class, Class::of(&slot.flow));
        let deadline = self.settings.deadline(&slot.flow).secs().saturating_add(1);
        // A later deadline is found out when the wheel comes to the earlier one.
        let sooner = deadline < entry.armed_secs;
        if sooner {
            entry.armed_secs = deadline;
        }
        if old != class {
            self.unlink(handle.0);
            if let Some(entry) = self.slab.0.get_mut(handle.0 as usize) {
                entry.class = class;
            }
            self.link(handle.0);
        }
        if sooner {
            self.wheel.arm(&mut self.slab, handle.0, deadline);
        }
    }

    /// Ends the flows that have been silent for too long at `now`. To be called at the borders of batches.
    ///
    /// `now` must be the same for all workers. They are then given by [`Self::take_ended`], ordered by their first packet.
    pub fn tick(&mut self, now: Timestamp) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.turn(&mut self.slab, now.secs(), &mut due);
        let from = self.ended.len();
        for index in due.drain(..) {
            let Some(slot) = self
                .slab
                .0
                .get_mut(index as usize)
                .and_then(|entry| entry.slot.as_deref_mut())
            else {
                continue;
            };
            let deadline = self.settings.deadline(&slot.flow);
            if deadline <= now {
                self.end(index, EndReason::Timeout);
                continue;
            }
            if answer_deadline(&slot.flow).is_some_and(|answer| answer <= now) {
                slot.flow.unanswered = true;
                self.ended
                    .push_back(Ended::Silent(Silent::of_flow(&slot.flow)));
            }
            let look = answer_deadline(&slot.flow).map_or(deadline, |a| a.min(deadline));
            self.arm(index, look);
        }
        // The same rule as the wheel's: at the first tick in a later second than the deadline's; everything that is over
        // at the first tick of all.
        let (secs, first) = (now.secs(), self.looked_secs.is_none());
        if self.looked_secs.is_none_or(|looked| looked < secs) {
            self.looked_secs = Some(secs);
            let settings = &self.settings;
            let over = |since| {
                let deadline = settings.half_open_deadline(since);
                deadline.secs() < secs || (first && deadline <= now)
            };
            for shard in 0..SHARDS {
                self.half_opens.find_over(shard, over, &mut due);
                let until = Timestamp(now.0.saturating_sub(ANSWER_SECS * 1_000_000_000));
                while let Some(half_open) = self.half_opens.next_unanswered(shard, until) {
                    let silent = Silent::of_half_open(&half_open);
                    self.ended.push_back(Ended::Silent(silent));
                }
            }
            for number in due.drain(..) {
                self.end_half_open(number, EndReason::Timeout);
            }
        }
        self.due = due;
        self.order_ended(from);
    }

    /// Bytes for each flow while all are ended one slice after the other ([`Self::expire_below`]).
    pub const LISTED_BYTES: u64 = size_of::<(u64, u64, u32)>() as u64;

    /// Ends every flow.
    pub fn expire_all(&mut self, reason: EndReason) {
        self.expire_below(u64::MAX, reason);
    }

    /// Ends the flows whose first packet has a lower number. Between the first call and one with the highest number no
    /// packet may come: what is to end is listed once.
    pub fn expire_below(&mut self, number: u64, reason: EndReason) {
        let from = self.ended.len();
        let mut ending = match self.ending.take() {
            Some(ending) => ending,
            None => self.list_all(),
        };
        while let Some((_, _, index)) = ending.pop_if(|(first, ..)| *first < number) {
            if index & MARK != 0 {
                self.end_half_open(index, reason);
            } else {
                self.end(index, reason);
            }
        }
        self.ending = (number < u64::MAX).then_some(ending);
        self.order_ended(from);
    }

    /// All flows by the number of their first packet and their id, the latest first.
    fn list_all(&mut self) -> Vec<(u64, u64, u32)> {
        self.settle_syn();
        let mut due = std::mem::take(&mut self.due);
        for shard in 0..SHARDS {
            self.half_opens.find_over(shard, |_| true, &mut due);
        }
        let mut all = Vec::with_capacity(self.len());
        for number in due.drain(..) {
            if let Some(half_open) = self.half_opens.get(number) {
                all.push((half_open.first_number, half_open.id, number));
            }
        }
        self.due = due;
        for (index, entry) in (0u32..).zip(&self.slab.0) {
            if let Some(slot) = &entry.slot {
                all.push((slot.flow.first_number, slot.flow.id, index));
            }
        }
        all.sort_unstable_by(|a, b| b.cmp(a));
        all
    }

    /// Ends flows of which nothing was heard for [`FlowSettings::idle_secs`] and whose attachment is picked, to get back what
    /// it holds. Looks at `tries` entries, beginning where the last call stopped.
    pub fn give_up_idle(&mut self, now: Timestamp, tries: u32, picked: impl Fn(&X) -> bool) {
        let from = self.ended.len();
        let len = u32::try_from(self.slab.0.len()).unwrap_or(u32::MAX);
        for _ in 0..tries.min(len) {
            self.hand = if self.hand + 1 < len {
                self.hand + 1
            } else {
                0
            };
            let entry = self.slab.0.get(self.hand as usize);
            let idle = entry.and_then(|e| e.slot.as_deref()).is_some_and(|slot| {
                now.secs_since(slot.flow.last) >= u64::from(self.settings.idle_secs)
                    && picked(&slot.ext)
            });
            if idle {
                self.end(self.hand, EndReason::Forced);
                self.stats.evicted_for_memory += 1;
            }
        }
        self.order_ended(from);
    }

    /// Whether a flow is among those that ended which has more to it than a SYN: its end comes before the packet that
    /// showed it.
    pub fn has_ended_flows(&self) -> bool {
        self.ended
            .iter()
            .any(|ended| matches!(ended, Ended::Flow(_)))
    }

    /// The next flow that ended.
    pub fn take_ended(&mut self) -> Option<Ended<X>> {
        self.ended.pop_front()
    }

    /// Takes back the memory of a flow that ended.
    pub fn recycle(&mut self, mut slot: Box<Slot<X>>) {
        if self.spare.len() < SPARE_MAX {
            empty(&mut slot);
            self.spare.push(slot);
        }
    }

    fn order_ended(&mut self, from: usize) {
        if let Some(new) = self.ended.make_contiguous().get_mut(from..) {
            new.sort_unstable_by_key(Ended::rank);
        }
    }

    /// Whether the packet shows that the flow filed under its key is over.
    fn over(&self, index: u32, packet: &Packet<'_>) -> EndReason {
        let Some(slot) = self
            .slab
            .0
            .get(index as usize)
            .and_then(|entry| entry.slot.as_deref())
        else {
            return EndReason::None;
        };
        if self.settings.deadline(&slot.flow) <= packet.ts {
            EndReason::Timeout
        } else if packet.transport == Transport::Tcp
            && super::tcp::reuses(&slot.flow, packet, self.settings.midstream)
        {
            EndReason::TcpReuse
        } else {
            EndReason::None
        }
    }

    fn touch(&mut self, index: u32, packet: &Packet<'_>, opened: bool) -> Option<Found> {
        let flow = &mut self.get_mut(FlowHandle(index))?.flow;
        let direction = flow.direction_of(&packet.key());
        let seen = flow.seen;
        flow.happened = FlowEvents(if opened { FlowEvents::OPENED } else { 0 });
        flow.count(packet, direction);
        if is_icmp_error(packet) && flow.key.proto != packet.ip_proto {
            flow.happened.add(FlowEvents::REFUSED);
        }
        let first = seen != flow.seen;
        Some(Found {
            handle: FlowHandle(index),
            direction,
            opened,
            first,
            syn: index == SYN,
            established: flow.is_established(),
        })
    }

    /// Gives a flow an entry. The caller puts its number into the index.
    fn file(&mut self, slot: Box<Slot<X>>, (key, hash, shard): (TableKey, u64, u8)) -> u32 {
        let (class, deadline) = (Class::of(&slot.flow), self.settings.deadline(&slot.flow));
        let look = answer_deadline(&slot.flow).map_or(deadline, |answer| answer.min(deadline));
        let entry = Entry {
            key,
            hash,
            slot: Some(slot),
            wheel: WheelLink::default(),
            armed_secs: 0,
            class,
            shard,
            next: NONE,
            prev: NONE,
        };
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.slab.0.get_mut(index as usize) {
                    *place = entry;
                }
                index
            }
            None => {
                self.slab.0.push(entry);
                self.slab.0.len() as u32 - 1
            }
        };
        self.len += 1;
        self.link(index);
        self.arm(index, look);
        index
    }

    fn count_opened(&mut self, packet: &Packet<'_>) {
        let kind = match packet.transport {
            Transport::Tcp => 0,
            Transport::Udp => 1,
            Transport::Icmp => 2,
            Transport::Icmpv6 => 3,
            _ => 4,
        };
        if let Some(counter) = self.stats.opened.get_mut(kind) {
            *counter += 1;
        }
    }

    fn arm(&mut self, index: u32, deadline: Timestamp) {
        let secs = deadline.secs().saturating_add(1);
        if let Some(entry) = self.slab.0.get_mut(index as usize) {
            entry.armed_secs = secs;
        }
        self.wheel.arm(&mut self.slab, index, secs);
    }

    /// Takes a flow out of the table and hands it to `ended`.
    fn end(&mut self, index: u32, reason: EndReason) {
        let Some(entry) = self.slab.0.get_mut(index as usize) else {
            return;
        };
        let Some(mut slot) = entry.slot.take() else {
            return;
        };
        let hash = entry.hash;
        self.wheel.disarm(&mut self.slab, index);
        self.unlink(index);
        self.index.remove(hash, index);
        self.free.push(index);
        self.len -= 1;
        match reason {
            EndReason::Timeout => self.stats.timed_out += 1,
            EndReason::TcpReuse => self.stats.tcp_reuse += 1,
            _ => {}
        }
        let flow = &mut slot.flow;
        flow.reason = reason;
        let unanswered = if flow.key.proto == 6 {
            flow.state == FlowState::New
        } else {
            flow.seen != [true; 2]
        };
        flow.happened = FlowEvents(
            FlowEvents::CLOSED
                | if unanswered && !flow.unanswered {
                    FlowEvents::UNANSWERED
                } else {
                    0
                },
        );
        self.ended.push_back(Ended::Flow(slot));
    }

    /// Takes a half-open connection out of the table and hands it to `ended`.
    fn end_half_open(&mut self, number: u32, reason: EndReason) {
        let Some(half_open) = self.half_opens.take(number) else {
            return;
        };
        self.index.remove(half_open.hash, number);
        self.len -= 1;
        self.stats.timed_out += u64::from(reason == EndReason::Timeout);
        self.ended.push_back(Ended::HalfOpen(EndedHalfOpen {
            half_open,
            reason,
            report: true,
        }));
    }

    /// Whether one more half-open connection that is given up may be reported.
    fn report_forced(&mut self, shard: usize, now: Timestamp) -> bool {
        let per_shard = self.settings.forced_reports_per_sec.div_ceil(SHARDS as u32);
        let Some((second, left)) = self.reports_left.get_mut(shard) else {
            return false;
        };
        // Time that jumps back does not open the budget again.
        if now.secs() > *second {
            (*second, *left) = (now.secs(), per_shard);
        }
        let report = *left > 0;
        *left = left.saturating_sub(1);
        self.stats.unreported += u64::from(!report);
        report
    }

    /// Gives up the oldest half-open connection, or flow that never came further.
    fn evict_pending(&mut self, shard: usize, now: Timestamp) -> bool {
        let flow = self.lists.get(shard).and_then(|lists| {
            let index = lists[Class::Pending as usize].head;
            let slot = self.slab.0.get(index as usize)?.slot.as_deref()?;
            Some((index, slot.flow.first_number, slot.flow.alerted))
        });
        let half_open = self
            .half_opens
            .oldest(shard)
            .map(|(number, half_open)| (number, half_open.first_number));
        let report = match (flow, half_open) {
            (None, None) => return false,
            // What made an alert is always reported.
            (Some((_, _, true)), None) => true,
            (Some((_, number, true)), Some((_, other))) if number < other => true,
            _ => self.report_forced(shard, now),
        };
        match (flow, half_open) {
            (Some((index, number, _)), other) if other.is_none_or(|other| number < other.1) => {
                self.end(index, EndReason::Forced);
                if let Some(Ended::Flow(slot)) = self.ended.back_mut() {
                    slot.flow.unreported = !report;
                }
            }
            (_, Some((number, _))) => {
                self.end_half_open(number, EndReason::Forced);
                if let Some(Ended::HalfOpen(ended)) = self.ended.back_mut() {
                    ended.report = report;
                }
                // The next to go: its place in the index is fetched meanwhile, and the one behind it.
                if let Some((_, next)) = self.half_opens.oldest(shard) {
                    self.index.prefetch(next.hash);
                }
                self.half_opens.prefetch_next(shard);
            }
            _ => return false,
        }
        self.stats.evicted_pending += 1;
        true
    }

    /// Makes sure that there is room for one more flow of the packet's kind.
    fn make_room(&mut self, packet: &Packet<'_>) -> bool {
        let shard = usize::from(shard_of(packet));
        let pending = packet.transport == Transport::Tcp;
        let shard_max = (self.settings.flows_max / SHARDS as u32).max(1);
        let pending_max = (self.settings.pending_max / SHARDS as u32).max(1);
        let Some(lists) = self.lists.get(shard) else {
            return false;
        };
        let half_open = self.half_opens.len(shard);
        if pending && lists[Class::Pending as usize].len + half_open >= pending_max {
            return self.evict_pending(shard, packet.ts);
        }
        let live = half_open + lists.iter().map(|list| list.len).sum::<u32>();
        if live < shard_max && self.len < self.capacity {
            return true;
        }
        let made = self.evict_pending(shard, packet.ts)
            || [Class::Closed, Class::New, Class::Established]
                .into_iter()
                .any(|class| self.evict(shard, class, packet.ts));
        if !made {
            self.stats.refused += 1;
        }
        made
    }

    /// Gives up the oldest flow of a class. An active established flow is passed over and goes to the end of its list.
    fn evict(&mut self, shard: usize, class: Class, now: Timestamp) -> bool {
        for _ in 0..EVICTION_TRIES {
            let Some(index) = self
                .lists
                .get(shard)
                .map(|lists| lists[class as usize].head)
            else {
                return false;
            };
            let Some(slot) = self
                .slab
                .0
                .get(index as usize)
                .and_then(|entry| entry.slot.as_deref())
            else {
                return false;
            };
            if class == Class::Established
                && now.secs_since(slot.flow.last) < u64::from(self.settings.idle_secs)
            {
                self.unlink(index);
                self.link(index);
                continue;
            }
            self.end(index, EndReason::Forced);
            match class {
                Class::Pending => {}
                Class::Closed => self.stats.evicted_closed += 1,
                Class::New => self.stats.evicted_new += 1,
                Class::Established => self.stats.evicted_established += 1,
            }
            return true;
        }
        false
    }

    #[inline]
    fn find(&self, key: &TableKey, hash: u64) -> Option<u32> {
        self.index.find(hash, |number| {
            if number & MARK != 0 {
                self.half_opens
                    .get(number)
                    .is_some_and(|half_open| TableKey::of(&half_open.key, half_open.depth) == *key)
            } else {
                self.slab
                    .0
                    .get(number as usize)
                    .is_some_and(|entry| entry.key == *key)
            }
        })
    }

    fn list(&mut self, shard: u8, class: Class) -> Option<&mut List> {
        self.lists
            .get_mut(usize::from(shard))?
            .get_mut(class as usize)
    }

    /// Appends an entry to the list of its class.
    fn link(&mut self, index: u32) {
        let Some(entry) = self.slab.0.get(index as usize) else {
            return;
        };
        let (shard, class) = (entry.shard, entry.class);
        let Some(list) = self.list(shard, class) else {
            return;
        };
        let prev = std::mem::replace(&mut list.tail, index);
        list.len += 1;
        if prev == NONE {
            list.head = index;
        }
        if let Some(last) = self.slab.0.get_mut(prev as usize) {
            last.next = index;
        }
        if let Some(entry) = self.slab.0.get_mut(index as usize) {
            (entry.prev, entry.next) = (prev, NONE);
        }
    }

    /// Takes an entry out of the list of its class.
    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.slab.0.get(index as usize) else {
            return;
        };
        let (shard, class, prev, next) = (entry.shard, entry.class, entry.prev, entry.next);
        if let Some(before) = self.slab.0.get_mut(prev as usize) {
            before.next = next;
        }
        if let Some(after) = self.slab.0.get_mut(next as usize) {
            after.prev = prev;
        }
        let Some(list) = self.list(shard, class) else {
            return;
        };
        list.len = list.len.saturating_sub(1);
        if prev == NONE {
            list.head = next;
        }
        if next == NONE {
            list.tail = prev;
        }
    }
}

/// Boxes kept for new flows.
const SPARE_MAX: usize = 4096;

/// The part of the table a packet's flow belongs to.
fn shard_of(packet: &Packet<'_>) -> u8 {
    (packet.hash % SHARDS as u64) as u8
}

/// Writes what the first packet says into an empty flow.
fn begin(flow: &mut Flow, packet: &Packet<'_>, key: &TableKey) {
    flow.id = flow_id(packet, key);
    flow.first_number = packet.number;
    flow.key = packet.key();
    flow.vlan_count = packet.vlan_count;
    flow.interface = packet.interface;
    flow.first = packet.ts;
    flow.last = packet.ts;
}

/// Empties a flow for the next, keeping its memory.
fn empty<X: Recycle>(slot: &mut Slot<X>) {
    let spare_tcp = slot.flow.tcp.take().or(slot.flow.spare_tcp.take());
    slot.flow = Flow {
        spare_tcp,
        ..Flow::default()
    };
    slot.ext.recycle();
}

/// A flow's id: a mix of number, time and key of its first packet. Not zero, below 2^53 (safe in JavaScript).
fn flow_id(packet: &Packet<'_>, key: &TableKey) -> u64 {
    // Not the keyed hasher: the id must be the same in every run. The key holds the depth in tunnels.
    let id = FixedState::with_seed(0).hash_one((packet.number, packet.ts, key)) >> 11;
    id.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Embedded, Layers, Net, TcpFlags};

    fn layers(number: u64, secs: u64, src: [u8; 4], sport: u16, transport: Transport) -> Layers {
        let ip_proto = match transport {
            Transport::Tcp => 6,
            Transport::Udp => 17,
            _ => 1,
        };
        let mut layers = Layers {
            number,
            ts: Timestamp::new(secs, 0),
            net: Net::V4,
            src: src.into(),
            dst: [10, 0, 0, 1].into(),
            sport,
            dport: 80,
            ip_proto,
            transport,
            has_flow: true,
            ..Layers::default()
        };
        if transport == Transport::Icmp {
            (layers.sport, layers.dport) = (8, 0);
        }
        layers.hash = FixedState::with_seed(7).hash_one(src);
        layers
    }

    fn reply(of: &Layers) -> Layers {
        let mut back = of.clone();
        std::mem::swap(&mut back.src, &mut back.dst);
        std::mem::swap(&mut back.sport, &mut back.dport);
        back
    }

    fn look(table: &mut FlowTable<()>, layers: &Layers) -> Option<Found> {
        look_with(table, layers, &[0; 60])
    }

    fn look_with(table: &mut FlowTable<()>, layers: &Layers, frame: &[u8]) -> Option<Found> {
        let found = table.lookup(&Packet { frame, layers });
        if let Some(found) = found {
            table.settle(found.handle);
        }
        found
    }

    fn ended(table: &mut FlowTable<()>) -> Vec<(u64, EndReason)> {
        std::iter::from_fn(|| {
            loop {
                return Some(match table.take_ended()? {
                    Ended::Flow(slot) => {
                        let result = (slot.flow.first_number, slot.flow.reason);
                        table.recycle(slot);
                        result
                    }
                    Ended::HalfOpen(ended) => (ended.half_open.first_number, ended.reason),
                    Ended::Silent(_) => continue,
                });
            }
        })
        .collect()
    }

    #[test]
    fn both_directions_share_a_flow_that_ends_when_silent() {
        let mut table = FlowTable::new(FlowSettings::default());
        let ask = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Udp);
        let first = look(&mut table, &ask).expect("a flow");
        assert!(first.opened && first.first && !first.established);
        let answer = look(&mut table, &reply(&ask)).expect("the same flow");
        assert_eq!(
            (answer.handle, answer.direction, answer.opened),
            (first.handle, Direction::ToClient, false)
        );
        assert!(answer.established);
        let slot = table.get(first.handle).expect("alive");
        assert_eq!(
            (slot.flow.packets, slot.flow.bytes, slot.flow.state),
            ([1, 1], [60, 60], FlowState::Established)
        );
        assert!(slot.flow.id > 0 && slot.flow.id < 1 << 53);
        table.tick(Timestamp::new(399, 0));
        assert!(ended(&mut table).is_empty());
        table.tick(Timestamp::new(402, 0));
        assert_eq!(ended(&mut table), [(1, EndReason::Timeout)]);
        assert!(table.is_empty());
    }

    #[test]
    fn a_packet_after_the_timeout_opens_a_new_flow() {
        let mut table = FlowTable::new(FlowSettings::default());
        look(
            &mut table,
            &layers(1, 100, [10, 0, 0, 9], 4000, Transport::Udp),
        );
        let again = look(
            &mut table,
            &layers(2, 130, [10, 0, 0, 9], 4000, Transport::Udp),
        )
        .expect("a flow");
        assert!(again.opened);
        assert_eq!(ended(&mut table), [(1, EndReason::Timeout)]);
    }

    #[test]
    fn ping_and_its_reply_share_a_flow_and_errors_join_the_flow_they_quote() {
        let mut table = FlowTable::new(FlowSettings::default());
        let mut ping = layers(1, 100, [10, 0, 0, 9], 0, Transport::Icmp);
        let opened = look(&mut table, &ping).expect("a flow");
        let mut pong = ping.clone();
        std::mem::swap(&mut pong.src, &mut pong.dst);
        pong.sport = 0;
        assert_eq!(
            look(&mut table, &pong).map(|found| found.handle),
            Some(opened.handle)
        );
        let query = layers(2, 100, [10, 0, 0, 9], 4000, Transport::Udp);
        let flow = look(&mut table, &query).expect("a flow");
        ping.sport = 3;
        ping.embedded = Some(Embedded {
            offset: 0,
            proto: 17,
            sport: query.sport,
            dport: query.dport,
        });
        let mut quoted = [0; 60];
        quoted[0] = 0x45;
        quoted[12..16].copy_from_slice(&[10, 0, 0, 9]);
        quoted[16..20].copy_from_slice(&[10, 0, 0, 1]);
        let error = look_with(&mut table, &ping, &quoted).expect("joins");
        assert_eq!(error.handle, flow.handle);
        let happened = table.get(flow.handle).expect("alive").flow.happened;
        assert!(happened.has(FlowEvents::REFUSED));
        ping.embedded = None;
        assert_eq!(look(&mut table, &ping), None);
    }

    #[test]
    fn an_unanswered_syn_is_said_once_and_soon() {
        let mut table = FlowTable::<()>::new(FlowSettings::default());
        let mut ask = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Tcp);
        ask.tcp.flags = TcpFlags(TcpFlags::SYN);
        look(&mut table, &ask);
        let mut answered = layers(2, 100, [10, 0, 0, 8], 4000, Transport::Tcp);
        answered.tcp.flags = TcpFlags(TcpFlags::SYN);
        look(&mut table, &answered);
        let mut answer = reply(&answered);
        answer.tcp.flags = TcpFlags(TcpFlags::SYN | TcpFlags::ACK);
        look(&mut table, &answer);
        let silent = |table: &mut FlowTable<()>, secs| {
            table.tick(Timestamp::new(secs, 0));
            let mut said = Vec::new();
            while let Some(ended) = table.take_ended() {
                match ended {
                    Ended::Silent(silent) => said.push((silent.first_number, "silent")),
                    Ended::Flow(slot) => {
                        let unanswered = slot.flow.happened.has(FlowEvents::UNANSWERED);
                        let what = if unanswered { "unanswered" } else { "ended" };
                        said.push((slot.flow.first_number, what));
                        table.recycle(slot);
                    }
                    Ended::HalfOpen(_) => {}
                }
            }
            said
        };
        assert_eq!(silent(&mut table, 102), []);
        assert_eq!(silent(&mut table, 104), [(1, "silent")]);
        assert_eq!(silent(&mut table, 110), []);
        let at_the_end = silent(&mut table, 10_000);
        assert!(at_the_end.contains(&(1, "ended")), "{at_the_end:?}");
    }

    #[test]
    fn a_syn_flood_competes_with_itself_only() {
        let settings = FlowSettings {
            flows_max: 1024,
            pending_max: 256,
            ..FlowSettings::default()
        };
        let mut table = FlowTable::new(settings);
        let mut number = 0;
        let mut good = Vec::new();
        for i in 0..256u16 {
            number += 1;
            let packet = layers(
                number,
                100,
                [192, 168, (i >> 8) as u8, i as u8],
                5000 + i,
                Transport::Tcp,
            );
            let found = table
                .lookup(&Packet {
                    frame: &[],
                    layers: &packet,
                })
                .expect("room");
            let flow = &mut table.get_mut(found.handle).expect("alive").flow;
            flow.open_session().state = TcpState::Established;
            flow.state = FlowState::Established;
            table.settle(found.handle);
            good.push(packet);
        }
        for i in 0..50_000u32 {
            number += 1;
            look(
                &mut table,
                &layers(number, 101, i.to_be_bytes(), 1, Transport::Tcp),
            )
            .expect("room");
            for (number, reason) in ended(&mut table) {
                assert_eq!(reason, EndReason::Forced);
                assert!(number > 256);
            }
            assert!(table.len() <= 512);
        }
        for packet in &good {
            assert!(!look(&mut table, packet).expect("still there").opened);
        }
        assert!(table.stats().evicted_pending > 49_000);
        assert_eq!(table.stats().evicted_established, 0);
    }

    #[test]
    fn a_full_table_refuses_rather_than_give_up_active_flows() {
        let settings = FlowSettings {
            flows_max: 64,
            pending_max: 16,
            ..FlowSettings::default()
        };
        let mut table = FlowTable::new(settings);
        let mut number = 0;
        for i in 0..4000u16 {
            number += 1;
            let ask = layers(
                number,
                100,
                [10, 1, (i >> 8) as u8, i as u8],
                53,
                Transport::Udp,
            );
            if look(&mut table, &ask).is_some() {
                look(&mut table, &reply(&ask));
            }
            ended(&mut table);
        }
        assert_eq!((table.len(), table.stats().evicted_established), (64, 0));
        assert!(table.stats().refused > 0);
        let late = layers(number + 1, 200, [10, 9, 9, 9], 53, Transport::Udp);
        assert!(
            look(&mut table, &late)
                .expect("silent ones give way")
                .opened
        );
        assert_eq!(table.stats().evicted_established, 1);
    }

    #[test]
    fn flows_end_in_the_order_of_their_first_packets() {
        let mut table = FlowTable::new(FlowSettings::default());
        for i in 1..=200u64 {
            look(
                &mut table,
                &layers(i, 100 + i % 7, [10, 3, 0, i as u8], 99, Transport::Udp),
            );
        }
        table.tick(Timestamp::new(4_000_000_000, 0));
        let numbers: Vec<u64> = ended(&mut table)
            .into_iter()
            .map(|(number, _)| number)
            .collect();
        assert_eq!(numbers, (1..=200).collect::<Vec<_>>());
        look(
            &mut table,
            &layers(201, 50, [10, 3, 0, 1], 99, Transport::Udp),
        );
        table.expire_all(EndReason::Shutdown);
        assert_eq!(ended(&mut table), [(201, EndReason::Shutdown)]);
    }

    #[test]
    fn flows_end_in_slices_in_the_order_in_which_they_end_at_once() {
        let filled = || {
            let mut table = FlowTable::new(FlowSettings::default());
            for i in 1..=2_000u64 {
                let [.., high, low] = i.to_be_bytes();
                let transport = if i % 3 == 0 {
                    Transport::Tcp
                } else {
                    Transport::Udp
                };
                let mut packet = layers(i, 100, [10, 3, high, low], 99, transport);
                packet.tcp.flags = TcpFlags(TcpFlags::SYN);
                let found = look(&mut table, &packet).expect("a flow");
                table.settle(found.handle);
            }
            table
        };
        let (mut once, mut slices) = (filled(), filled());
        once.expire_all(EndReason::Shutdown);
        let all = ended(&mut once);
        assert_eq!((all.len(), once.len()), (2_000, 0));
        let mut told = Vec::new();
        for below in [0, 1, 500, 501, 1_999, u64::MAX] {
            slices.expire_below(below, EndReason::Shutdown);
            let slice = ended(&mut slices);
            assert!(slice.iter().all(|(number, _)| *number < below));
            told.extend(slice);
        }
        assert_eq!((told, slices.len()), (all, 0));
    }

    #[test]
    fn silent_flows_are_given_up_for_what_is_attached_to_them() {
        let mut table = FlowTable::new(FlowSettings::default());
        for i in 1..=100u64 {
            let second = if i <= 50 { 100 } else { 120 };
            let packet = layers(i, second, [10, 3, 0, i as u8], 99, Transport::Udp);
            look(&mut table, &packet).expect("a flow");
        }
        let now = Timestamp::new(135, 0);
        table.give_up_idle(now, 1_000, |()| false);
        assert!(ended(&mut table).is_empty());
        // The hand goes round; a call looks at so many.
        for _ in 0..5 {
            table.give_up_idle(now, 20, |()| true);
        }
        let mut numbers: Vec<u64> = ended(&mut table).into_iter().map(|(n, _)| n).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=50).collect::<Vec<_>>());
        assert_eq!(table.stats().evicted_for_memory, 50);
    }

    #[test]
    fn a_closed_connection_gives_way_to_a_new_syn() {
        let mut table = FlowTable::new(FlowSettings::default());
        let mut syn = layers(1, 100, [10, 0, 0, 9], 4000, Transport::Tcp);
        syn.tcp.flags = TcpFlags(TcpFlags::SYN);
        let found = look(&mut table, &syn).expect("a flow");
        let flow = &mut table.get_mut(found.handle).expect("alive").flow;
        let session = flow.open_session();
        session.state = TcpState::Closed;
        session.side_mut(Direction::ToServer).isn = 77;
        flow.state = FlowState::Closed;
        table.settle(found.handle);
        syn.number = 2;
        assert!(look(&mut table, &syn).expect("a flow").opened);
        assert_eq!(ended(&mut table), [(1, EndReason::TcpReuse)]);
    }
}
