//! Half-open connections, of which nothing was seen but one plain SYN: a hundred bytes each instead of a flow's thousand.
//!
//! A flood of SYNs from invented addresses makes nothing but these. So a plain SYN is worked on in a flow of its own like
//! any other packet, and if nothing came of it but a session that waits for its answer, what is needed to make that flow
//! again is kept here, and the flow's memory serves the next SYN. The first further packet makes the flow again, equal
//! to what it was ([`HalfOpen::restore`]).
//!
//! Filed in parts ("shards") of the table, oldest first: a full part gives up its oldest.
//!
//! Limits: a part holds as many as it was made for. Not kept here: SYNs with data or a Fast Open cookie (RFC 7413), SYNs
//! that a signature matched, retransmitted SYNs.

use super::tcp::{TcpSession, TcpSide, TcpState};
use super::wheel::NONE;
use super::{Flow, FlowState};
use crate::packet::{FlowKey, Packet, TcpFlags, Timestamp, Transport};
use crate::sys::prefetch;

/// What one plain SYN tells.
#[derive(Clone, Copy, Debug)]
pub struct HalfOpen {
    /// Client to server.
    pub key: FlowKey,
    /// EVE's `flow_id`.
    pub id: u64,
    /// Number of the SYN.
    pub first_number: u64,
    /// Its time.
    pub ts: Timestamp,
    /// Its input interface.
    pub interface: u16,
    /// Whether it has been said that nobody answers ([`super::Ended::Silent`]).
    pub unanswered: bool,
    /// Hash of the key.
    pub(super) hash: u64,
    seq: u32,
    /// Value of its timestamp option.
    timestamp: u32,
    frame_len: u32,
    window: u16,
    flags: TcpFlags,
    /// Of the SYN.
    pub ttl: u8,
    wscale: u8,
    vlan_count: u8,
    /// Depth in tunnels: part of the key.
    pub(super) depth: u8,
    has_timestamp: bool,
    has_wscale: bool,
    sack: bool,
    one_sided: bool,
}

impl HalfOpen {
    /// Whether a packet, should it open a flow, may leave nothing but a half-open connection.
    #[inline]
    pub(super) fn may_open(packet: &Packet<'_>) -> bool {
        const CONTROL: u8 = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::RST | TcpFlags::FIN;
        packet.transport == Transport::Tcp
            && packet.tcp.flags.0 & CONTROL == TcpFlags::SYN
            && packet.payload_len == 0
            && packet.tcp.fast_open.is_none()
            && !packet.bad_checksum
    }

    /// What is to be kept of a flow of which there is nothing but its first packet.
    #[inline]
    pub(super) fn of_syn(flow: &Flow, packet: &Packet<'_>, hash: u64, one_sided: bool) -> Self {
        let tcp = &packet.tcp;
        Self {
            key: flow.key,
            id: flow.id,
            first_number: flow.first_number,
            ts: flow.first,
            interface: flow.interface,
            unanswered: false,
            hash,
            seq: tcp.seq,
            timestamp: tcp.timestamps.map_or(0, |(value, _)| value),
            frame_len: flow.bytes[0] as u32,
            window: tcp.window,
            flags: tcp.flags,
            ttl: packet.ttl,
            wscale: tcp.wscale.unwrap_or(0),
            vlan_count: flow.vlan_count,
            depth: packet.depth,
            has_timestamp: tcp.timestamps.is_some(),
            has_wscale: tcp.wscale.is_some(),
            sack: tcp.sack_permitted,
            one_sided,
        }
    }

    /// What is to be kept of a flow whose first packet was just worked on. `None`: more than fits.
    pub(super) fn of(flow: &Flow, hash: u64, depth: u8) -> Option<Self> {
        let tcp = flow.tcp.as_deref()?;
        let plain = flow.packets == [1, 0]
            && flow.state == FlowState::New
            && flow.seen == [true, false]
            && flow.ttl[0].0 == flow.ttl[0].1
            && flow.tcp_flags[1].0 == 0
            && flow.first == flow.last
            && !(flow.reversed
                || flow.alerted
                || flow.dropped
                || flow.no_inspection
                || flow.no_payload_inspection);
        if !plain {
            return None;
        }
        let [client, server] = &tcp.sides;
        let half_open = Self {
            key: flow.key,
            id: flow.id,
            first_number: flow.first_number,
            ts: flow.first,
            interface: flow.interface,
            unanswered: flow.unanswered,
            hash,
            seq: client.isn,
            timestamp: client.last_ts,
            frame_len: u32::try_from(flow.bytes[0]).ok()?,
            window: u16::try_from(server.window).ok()?,
            flags: flow.tcp_flags[0],
            ttl: flow.ttl[0].0,
            wscale: server.wscale,
            vlan_count: flow.vlan_count,
            depth,
            has_timestamp: client.timestamps,
            has_wscale: tcp.wscale_offered,
            sack: tcp.sack_offered,
            one_sided: tcp.one_sided,
        };
        half_open.is_all_of(tcp).then_some(half_open)
    }

    /// Whether the session is just what [`Self::session`] makes. Every field is named, so that a new one is not forgotten.
    fn is_all_of(&self, tcp: &TcpSession) -> bool {
        let TcpSession {
            state,
            previous,
            sides: [client, server],
            midstream,
            midstream_synack,
            midstream_established,
            one_sided: _,
            four_way,
            timestamps,
            wscale_offered: _,
            sack_offered: _,
            sack_used,
            fast_open,
            fast_open_ignored,
            handshake_confirmed,
            evasion,
            lossy,
            closed_by_rst,
            probe,
            rivals,
        } = tcp;
        let marks = *midstream
            | *midstream_synack
            | *midstream_established
            | *four_way
            | *timestamps
            | *sack_used
            | *fast_open
            | *fast_open_ignored
            | *handshake_confirmed
            | *evasion
            | *lossy
            | *closed_by_rst
            | probe[0]
            | probe[1];
        *state == TcpState::SynSent
            && *previous == TcpState::None
            && !marks
            && rivals.is_empty()
            && self.is_client(client)
            && is_server(server)
    }

    fn is_client(&self, client: &TcpSide) -> bool {
        let TcpSide {
            isn,
            next_seq,
            last_ack,
            next_win,
            window,
            wscale,
            last_ts,
            last_packet_secs,
            timestamps,
            zero_timestamp,
            keepalive,
            rst_received,
            gap,
            sacked,
            sack: _,
        } = client;
        let secs = if *timestamps {
            self.ts.secs() as u32
        } else {
            0
        };
        *next_seq == isn.wrapping_add(1)
            && (*last_ack, *next_win, *window, *sacked) == (0, 0, 0, 0)
            && (*wscale, *last_packet_secs) == (0, secs)
            && *zero_timestamp == (*timestamps && *last_ts == 0)
            && (*timestamps || *last_ts == 0)
            && !(*keepalive | *rst_received | *gap)
    }

    /// Writes the session of a SYN into an empty one.
    fn session(&self, tcp: &mut TcpSession) {
        tcp.state = TcpState::SynSent;
        tcp.one_sided = self.one_sided;
        tcp.wscale_offered = self.has_wscale;
        tcp.sack_offered = self.sack;
        let [client, server] = &mut tcp.sides;
        client.isn = self.seq;
        client.next_seq = self.seq.wrapping_add(1);
        if self.has_timestamp {
            client.last_ts = self.timestamp;
            client.zero_timestamp = self.timestamp == 0;
            client.last_packet_secs = self.ts.secs() as u32;
            client.timestamps = true;
        }
        server.window = u32::from(self.window);
        server.wscale = self.wscale;
    }

    /// Makes the flow again, in an empty one.
    pub fn restore(&self, flow: &mut Flow) {
        flow.id = self.id;
        flow.first_number = self.first_number;
        flow.key = self.key;
        flow.vlan_count = self.vlan_count;
        flow.interface = self.interface;
        flow.first = self.ts;
        flow.last = self.ts;
        flow.packets = [1, 0];
        flow.bytes = [u64::from(self.frame_len), 0];
        flow.tcp_flags[0] = self.flags;
        flow.ttl[0] = (self.ttl, self.ttl);
        flow.seen = [true, false];
        flow.unanswered = self.unanswered;
        self.session(flow.open_session());
    }
}

/// Whether of the server nothing is known but the window and scale it is offered.
fn is_server(server: &TcpSide) -> bool {
    let TcpSide {
        isn,
        next_seq,
        last_ack,
        next_win,
        window: _,
        wscale: _,
        last_ts,
        last_packet_secs,
        timestamps,
        zero_timestamp,
        keepalive,
        rst_received,
        gap,
        sacked,
        sack: _,
    } = server;
    isn | next_seq | last_ack | next_win | last_ts | last_packet_secs | sacked == 0
        && !(*timestamps | *zero_timestamp | *keepalive | *rst_received | *gap)
}

/// Marks the number of a half-open connection where numbers of flows stand beside them.
pub(super) const MARK: u32 = 1 << 31;

/// Bits of a number that say where in its part it is.
pub(super) const PLACE_BITS: u32 = 26;

#[derive(Debug)]
struct Place {
    half_open: HalfOpen,
    next: u32,
    prev: u32,
}

/// One part: half-open connections by age.
#[derive(Debug)]
struct Part {
    places: Vec<Place>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    /// The oldest of which it has not been said that nobody answers.
    waiting: u32,
    len: u32,
    /// Latest time seen in it, and whether an earlier one came behind it.
    latest: Timestamp,
    disordered: bool,
}

/// All parts.
#[derive(Debug)]
pub(super) struct HalfOpens {
    parts: Vec<Part>,
    /// Most that a part holds.
    part_max: u32,
}

impl HalfOpens {
    pub(super) fn new(parts: usize, part_max: u32) -> Self {
        let part = || Part {
            places: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            waiting: NONE,
            len: 0,
            latest: Timestamp(0),
            disordered: false,
        };
        Self {
            parts: std::iter::repeat_with(part).take(parts).collect(),
            part_max: part_max.min(1 << PLACE_BITS),
        }
    }

    /// Bytes that `len` of them take.
    pub(super) fn bytes(len: u32) -> usize {
        // A vector that grows may hold twice what is in it.
        len as usize * (2 * size_of::<Place>() + size_of::<u32>())
    }

    /// How many there are in a part.
    #[inline]
    pub(super) fn len(&self, part: usize) -> u32 {
        self.parts.get(part).map_or(0, |part| part.len)
    }

    fn place(&self, number: u32) -> Option<&Place> {
        let part = (number & !MARK) >> PLACE_BITS;
        let at = number & ((1 << PLACE_BITS) - 1);
        self.parts.get(part as usize)?.places.get(at as usize)
    }

    /// One of them.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&HalfOpen> {
        self.place(number).map(|place| &place.half_open)
    }

    /// The oldest of a part.
    #[inline]
    pub(super) fn oldest(&self, part: usize) -> Option<(u32, &HalfOpen)> {
        let at = self.parts.get(part)?.oldest;
        let number = number(part, at);
        Some((number, self.get(number).filter(|_| at != NONE)?))
    }

    /// Asks for the memory of the one that is the oldest of a part after the oldest: mostly the next in place, since they
    /// go in the order in which they came.
    #[inline]
    pub(super) fn prefetch_next(&self, part: usize) {
        if let Some(list) = self.parts.get(part) {
            prefetch(&list.places, (list.oldest as usize).wrapping_add(1));
        }
    }

    /// Adds one as the newest of its part. `None`: the part is full.
    pub(super) fn push(&mut self, part: usize, half_open: HalfOpen) -> Option<u32> {
        let max = self.part_max;
        let list = self.parts.get_mut(part)?;
        let place = Place {
            half_open,
            next: NONE,
            prev: list.newest,
        };
        let at = match list.free.pop() {
            Some(at) => {
                *list.places.get_mut(at as usize)? = place;
                at
            }
            None if (list.places.len() as u32) < max => {
                list.places.push(place);
                list.places.len() as u32 - 1
            }
            None => return None,
        };
        match list.places.get_mut(list.newest as usize) {
            Some(before) => before.next = at,
            None => {
                list.oldest = at;
                list.disordered = false;
                list.latest = Timestamp(0);
            }
        }
        if list.waiting == NONE {
            list.waiting = at;
        }
        list.disordered |= half_open.ts < list.latest;
        list.latest = list.latest.max(half_open.ts);
        list.newest = at;
        list.len += 1;
        Some(number(part, at))
    }

    /// Takes one out.
    pub(super) fn take(&mut self, taken: u32) -> Option<HalfOpen> {
        let part = (taken & !MARK) >> PLACE_BITS;
        let at = taken & ((1 << PLACE_BITS) - 1);
        let list = self.parts.get_mut(part as usize)?;
        let place = list.places.get(at as usize)?;
        let (next, prev, half_open) = (place.next, place.prev, place.half_open);
        match list.places.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => list.oldest = next,
        }
        match list.places.get_mut(next as usize) {
            Some(after) => after.prev = prev,
            None => list.newest = prev,
        }
        if list.waiting == at {
            list.waiting = next;
        }
        list.free.push(at);
        list.len = list.len.saturating_sub(1);
        Some(half_open)
    }

    /// The next of a part that nobody has answered although it is from `until` or before; each is given once.
    pub(super) fn next_unanswered(&mut self, part: usize, until: Timestamp) -> Option<HalfOpen> {
        let list = self.parts.get_mut(part)?;
        let place = list.places.get_mut(list.waiting as usize)?;
        if place.half_open.ts > until {
            return None;
        }
        place.half_open.unanswered = true;
        list.waiting = place.next;
        Some(place.half_open)
    }

    /// Appends the numbers of those in a part of which `over` says that their time has come; their times only grow with
    /// age unless the capture's time jumped, so that mostly only the oldest are looked at.
    pub(super) fn find_over(
        &self,
        part: usize,
        over: impl Fn(Timestamp) -> bool,
        out: &mut Vec<u32>,
    ) {
        let Some(list) = self.parts.get(part) else {
            return;
        };
        let mut at = list.oldest;
        while let Some(place) = list.places.get(at as usize) {
            if over(place.half_open.ts) {
                out.push(number(part, at));
            } else if !list.disordered {
                return;
            }
            at = place.next;
        }
    }
}

#[inline]
fn number(part: usize, at: u32) -> u32 {
    MARK | (part as u32) << PLACE_BITS | at & ((1 << PLACE_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half_open(number: u64, secs: u64) -> HalfOpen {
        let mut flow = Flow {
            first_number: number,
            packets: [1, 0],
            seen: [true, false],
            ..Flow::default()
        };
        flow.first = Timestamp::new(secs, 0);
        flow.last = flow.first;
        flow.open_session().state = TcpState::SynSent;
        flow.open_session().sides[0].next_seq = 1;
        HalfOpen::of(&flow, number, 0).expect("plain")
    }

    #[test]
    fn the_oldest_goes_first_and_a_full_part_says_so() {
        let mut all = HalfOpens::new(2, 3);
        let numbers: Vec<_> = (1..=3).map(|i| all.push(1, half_open(i, i))).collect();
        assert!(all.push(1, half_open(4, 4)).is_none() && all.push(0, half_open(5, 5)).is_some());
        let second = numbers[1].expect("kept");
        assert_eq!(all.take(second).map(|h| h.first_number), Some(2));
        assert_eq!(all.oldest(1).map(|(_, h)| h.first_number), Some(1));
        assert_eq!(all.push(1, half_open(6, 6)), Some(second));
        let oldest = numbers[0].expect("kept");
        assert_eq!(all.take(oldest).map(|h| h.first_number), Some(1));
        assert_eq!(all.oldest(1).map(|(_, h)| h.first_number), Some(3));
        assert_eq!((all.len(0), all.len(1)), (1, 2));
    }

    #[test]
    fn each_is_said_to_be_unanswered_once() {
        let mut all = HalfOpens::new(1, 8);
        let numbers: Vec<_> = (1..=4).map(|i| all.push(0, half_open(i, i))).collect();
        all.take(numbers[1].expect("kept"));
        let mut said = |until| {
            let until = Timestamp::new(until, 0);
            std::iter::from_fn(|| all.next_unanswered(0, until))
                .map(|h| h.first_number)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (said(0), said(3), said(3), said(9)),
            (vec![], vec![1, 3], vec![], vec![4])
        );
        let first = all.take(numbers[0].expect("kept")).expect("kept");
        assert!(first.unanswered && all.push(0, half_open(5, 5)).is_some());
        let next = all.next_unanswered(0, Timestamp::new(9, 0));
        assert_eq!(next.map(|h| h.first_number), Some(5));
    }

    #[test]
    fn what_is_over_is_found_even_where_time_jumped_back() {
        let mut all = HalfOpens::new(1, 8);
        for (number, secs) in [(1, 50), (2, 10), (3, 60)] {
            all.push(0, half_open(number, secs));
        }
        let mut out = Vec::new();
        all.find_over(0, |ts| ts.secs() <= 20, &mut out);
        let found: Vec<_> = out
            .iter()
            .filter_map(|n| all.get(*n))
            .map(|h| h.first_number)
            .collect();
        assert_eq!(found, [2]);
    }
}
