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

mod ended;
mod expiry;
mod room;
mod settings;

use std::hash::BuildHasher as _;

pub use ended::{Ended, EndedHalfOpen, Silent};
use foldhash::fast::FixedState;
use settings::answer_deadline;
pub use settings::{FlowSettings, Timeouts};

use crate::flow::half_open::{HalfOpen, HalfOpens, MARK};
use crate::flow::index::Index;
use crate::flow::key::{Belongs, TableKey, is_icmp_error};
use crate::flow::wheel::{NONE, Wheel, WheelLink, WheelSlab};
use crate::flow::{EndReason, Flow, FlowEvents, FlowState, TcpState};
use crate::packet::{Direction, Packet, Timestamp, Transport};
use crate::stats::{Memory, MemoryBound};

/// Parts of the table with space of their own. Worker counts that divide it share nothing.
pub const SHARDS: usize = 16;

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

/// Seconds after which a SYN counts as unanswered. RFC 6298's first two retransmissions are at 1 and 3 s; who searches a
/// network must not stay unseen for the minute that a half-open flow is kept.
pub const ANSWER_SECS: u64 = 3;

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

    /// Bytes for each flow while all are ended one slice after the other ([`Self::expire_below`]).
    pub const LISTED_BYTES: u64 = size_of::<(u64, u64, u32)>() as u64;

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
mod tests;
