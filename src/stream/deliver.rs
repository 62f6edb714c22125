//! From accepted segments to readers: the application layer and raw stream inspection.
//!
//! Passive mode: a packet's acknowledgment releases the *other* direction's bytes to the application layer before the
//! packet is inspected; the end of a connection releases both. Inline mode releases a packet's own bytes at once. When
//! acknowledged bytes are missing, and more lies behind, the gap is reported and reading goes on after it.

use super::buffer::{InsertLimits, Refused};
use super::state::Work;
use super::urgent::{self, OUT_OF_BAND_MAX, Treatment};
use super::{
    Next, Offer, OsPolicy, Receiver, StreamEngine, StreamPair, StreamWindow, UrgentPolicy,
};
use crate::flow::{Flow, TcpSession, TcpState};
use crate::packet::{DecodeEvent, Direction, TcpFlags};

/// Which directions a packet releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    Own,
    Other,
    Both,
}

/// Times that one direction is offered bytes for one packet: bounds the work of protocols that change their mind.
const OFFERS_MAX: usize = 64;

/// How deep identification may ask for the other side's bytes.
const NESTING_MAX: u8 = 3;

impl<R: Receiver> Work<'_, '_, R> {
    /// An accepted segment of a direction: keeps its data, hands over what may be handed over.
    pub(super) fn segment(&mut self, direction: Direction) {
        let mut direction = direction;
        let release = if self.engine.settings.inline || self.pseudo || self.has(TcpFlags::RST) {
            Release::Own
        } else if self.has(TcpFlags::FIN) && self.tcp.state > TcpState::TimeWait {
            if self.has(TcpFlags::ACK) {
                Release::Both
            } else {
                Release::Own
            }
        } else if self.tcp.state == TcpState::Closed {
            Release::Both
        } else if self.tcp.one_sided {
            Release::Own
        } else {
            Release::Other
        };
        if release != Release::Own {
            let reversed = self.flow.reversed;
            self.hand_over(direction.reverse(), NESTING_MAX);
            if self.flow.reversed != reversed {
                direction = direction.reverse();
            }
        }
        if self.len > 0 && !self.streams.side(direction).closed && !self.has(TcpFlags::RST) {
            if !self.keep(direction) {
                return;
            }
            self.verdict.added = true;
        } else if self.len == 0 && self.has(TcpFlags::URG) && !self.streams.side(direction).closed {
            self.note_urgent(direction, self.seq, 0);
        }
        if release != Release::Other || self.streams.side(direction).ends_at_depth() {
            self.hand_over(direction, NESTING_MAX);
        }
    }

    /// Keeps the packet's data. False when there is no room for it.
    fn keep(&mut self, direction: Direction) -> bool {
        if self.streams.first_data.is_none() {
            self.streams.first_data = Some(direction);
        }
        let app_done = self.streams.app_done;
        let side = self.streams.side(direction);
        if app_done && side.raw_ending {
            return true;
        }
        let syn = u32::from(self.packet.tcp.flags.has(TcpFlags::SYN));
        let seq = self.seq.wrapping_add(syn);
        let data = self.packet.payload();
        if self.has(TcpFlags::URG) || side.urgent.is_some() {
            return self.keep_around_urgent(direction, seq, data);
        }
        let distance = i64::from(seq.wrapping_sub(side.base_seq()) as i32);
        self.keep_bytes(direction, side.base() as i64 + distance, data)
    }

    /// Keeps what is not urgent of data with an urgent byte, or of a direction that had one. False when there is no room.
    fn keep_around_urgent(&mut self, direction: Direction, seq: u32, data: &[u8]) -> bool {
        let own = self.note_urgent(direction, seq, data.len());
        let side = self.streams.side_mut(direction);
        let distance = i64::from(seq.wrapping_sub(side.base_seq()) as i32);
        // What lies before the base was read, with or without urgent bytes.
        let cut = usize::try_from(-distance)
            .unwrap_or_default()
            .min(data.len());
        let data = data.get(cut..).unwrap_or_default();
        let own = own.and_then(|place| place.checked_sub(cut));
        let distance = u64::try_from(distance).unwrap_or_default();
        let base = side.base();
        let Some(urgent) = &side.urgent else {
            return self.keep_bytes(direction, (base + distance) as i64, data);
        };
        let treatment = self.engine.settings.treatment(urgent);
        match (own, treatment) {
            (Some(_), Treatment::Drop) => {
                self.verdict.drop = Some(super::DropReason::StreamUrgent);
                return true;
            }
            (Some(place), Treatment::OutOfBand) => {
                let out = side.take_out(distance + place as u64, &mut self.engine.spare);
                if out
                    && side
                        .urgent
                        .as_ref()
                        .is_some_and(|u| u.taken == OUT_OF_BAND_MAX)
                {
                    self.events
                        .insert(DecodeEvent::STREAM_REASSEMBLY_URGENT_OOB_LIMIT_REACHED);
                }
            }
            _ => {}
        }
        let side = self.streams.side(direction);
        let Some(urgent) = &side.urgent else {
            return true;
        };
        let before = |distance: u64| urgent.before(base, distance);
        let (first, last) = (before(distance), before(distance + data.len() as u64));
        let at = (base + distance - first) as i64;
        if let (Some(place), Treatment::Gap) = (own, treatment) {
            let (left, right) = data.split_at(place.min(data.len()));
            return self.keep_bytes(direction, at, left)
                && self.keep_bytes(
                    direction,
                    at + left.len() as i64 + 1,
                    right.get(1..).unwrap_or_default(),
                );
        }
        if first == last {
            return self.keep_bytes(direction, at, data);
        }
        let mut kept = self.engine.spare.pop().unwrap_or_default();
        kept.clear();
        let ordinary = |(i, _): &(usize, &u8)| !urgent.is_at(base, distance + *i as u64);
        kept.extend(
            data.iter()
                .enumerate()
                .filter(ordinary)
                .map(|(_, byte)| byte),
        );
        let done = self.keep_bytes(direction, at, &kept);
        kept.clear();
        self.engine.spare.push(kept);
        done
    }

    /// Where a segment's urgent byte is, of its own or covered by an earlier pointer. A byte still to come is noted.
    fn note_urgent(&mut self, direction: Direction, seq: u32, len: usize) -> Option<usize> {
        let settings = &self.engine.settings;
        if settings.urgent == UrgentPolicy::Inline {
            return None;
        }
        let pointed = if self.has(TcpFlags::URG) {
            urgent::place(
                self.packet.tcp.urgent,
                settings.policies.of(self.packet.dst),
            )
        } else {
            None
        };
        let side = self.streams.side_mut(direction);
        let place = match pointed {
            Some(place) => place,
            None => side.urgent.as_ref()?.awaited?.wrapping_sub(seq),
        };
        let urgent = side.urgent.get_or_insert_default();
        if (place as usize) < len {
            urgent.awaited = None;
            Some(place as usize)
        } else {
            if pointed.is_some() {
                urgent.awaited = Some(seq.wrapping_add(place));
            }
            None
        }
    }

    /// Keeps bytes at an offset, which may lie before the first one. False when there is no room for them.
    fn keep_bytes(&mut self, direction: Direction, at: i64, data: &[u8]) -> bool {
        let inline = self.engine.settings.inline;
        let policies = &self.engine.settings.policies;
        let receiver = self.packet.dst;
        let side = self.streams.side_mut(direction);
        if data.is_empty() {
            return true;
        }
        let Some(end) = at
            .checked_add(data.len() as i64)
            .and_then(|end| u64::try_from(end).ok())
        else {
            return true;
        };
        if end <= side.base() {
            return true;
        }
        let depth = u64::from(self.engine.settings.depth);
        if depth != 0 && (side.depth_reached || end > depth) {
            let acked = side.acked(self.tcp.side(direction).last_ack);
            if !side.depth_reached && at > side.end().max(acked) as i64 {
                // Far ahead of a hole that the receiver still waits to be filled: this ends nothing, or one such segment
                // would hide all that fills the hole. Suricata stops here.
                return true;
            }
            if !side.depth_reached {
                self.engine.stats.depth_reached += 1;
            }
            side.depth_reached = true;
            self.events
                .insert(DecodeEvent::STREAM_REASSEMBLY_DEPTH_REACHED);
            return true;
        }
        let (offset, data) = match u64::try_from(at) {
            Ok(offset) => (offset, data),
            // It begins before the first byte of the stream.
            Err(_) => (0, data.get(data.len() - end as usize..).unwrap_or_default()),
        };
        if side.policy_of_data.is_none() {
            side.policy_of_data = Some(if inline {
                OsPolicy::First
            } else {
                policies.of(receiver)
            });
        }
        let limits = InsertLimits {
            bytes: self.engine.settings.buffer_bytes_max,
            blocks: self.engine.settings.out_of_order_max,
            free: self
                .engine
                .settings
                .memory_bytes
                .saturating_sub(self.engine.held),
        };
        match side.insert(offset, data, limits, &mut self.engine.spare) {
            Ok(inserted) => {
                side.packet = Some((offset, end));
                if inserted.overlap {
                    self.engine.stats.overlaps += 1;
                }
                if inserted.different {
                    self.engine.stats.overlaps_different += 1;
                    if self.engine.settings.check_overlap {
                        self.events
                            .insert(DecodeEvent::STREAM_REASSEMBLY_OVERLAP_DIFFERENT_DATA);
                    }
                    if inline && self.engine.settings.drop_different_overlap {
                        // The receiver may prefer bytes that differ from those inspected: they must not reach it.
                        self.verdict.drop = Some(super::DropReason::StreamReassembly);
                    }
                }
                true
            }
            Err(Refused::Memory) => {
                self.engine.stats.memory_refused += 1;
                self.events
                    .insert(DecodeEvent::STREAM_REASSEMBLY_INSERT_MEMCAP);
                self.tcp.lossy = true;
                let [_, own] = self.engine.own;
                let policy = own.unwrap_or(self.engine.settings.memcap_policy);
                self.flow.exceptions.reassembly = Some(policy);
                self.apply(policy, super::DropReason::StreamReassembly);
                false
            }
            Err(Refused::Limit) => {
                self.engine.stats.limit_refused += 1;
                self.events
                    .insert(DecodeEvent::STREAM_REASSEMBLY_INSERT_LIMIT);
                self.tcp.lossy = true;
                false
            }
        }
    }

    /// Offers the bytes of a direction to the application layer, as far as they may be handed over.
    pub(super) fn hand_over(&mut self, direction: Direction, nesting: u8) {
        let side = self.streams.side(direction);
        if self.streams.app_done || side.closed {
            return;
        }
        if (!side.seen_data || side.right_edge() <= side.app)
            && (self.tcp.state >= TcpState::Closing || self.pseudo)
        {
            self.offer(direction, side.app, side.app, 0, nesting);
            return;
        }
        let mut direction = direction;
        let mut after_gap = false;
        for _ in 0..OFFERS_MAX {
            let end = self.tcp.state == TcpState::Closed || self.pseudo;
            let ending =
                self.pseudo && (self.tcp.state != TcpState::Closed || self.tcp.closed_by_rst);
            let inline = self.engine.settings.inline;
            let last_ack = self.tcp.side(direction).last_ack;
            let side = self.streams.side(direction);
            let progress = side.app;
            let acked = side.acked(last_ack);
            // What is there: bytes, or a hole before further bytes.
            let (stop, hole) = side.readable(progress);
            if after_gap && stop == progress {
                return;
            }
            after_gap = false;
            let mut stop = stop;
            if !inline && !ending && stop > progress && progress <= acked {
                stop = stop.min(acked);
            }
            let fin = u64::from(self.tcp.state >= TcpState::FinWait1);
            if hole && stop > progress && acked.saturating_sub(fin) > progress {
                self.raise(DecodeEvent::STREAM_REASSEMBLY_SEQ_GAP);
                self.engine.stats.gaps += 1;
                self.tcp.side_mut(direction).gap = true;
                self.tcp.lossy = true;
                let needed = self.streams.side(direction).needed;
                self.offer(direction, progress, progress, stop - progress, nesting);
                let side = self.streams.side_mut(direction);
                side.needed =
                    needed.saturating_sub(usize::try_from(stop - progress).unwrap_or(usize::MAX));
                if side.app == progress || self.streams.app_done {
                    return;
                }
                after_gap = true;
                continue;
            }
            let side = self.streams.side(direction);
            let available = if hole { 0 } else { stop - progress };
            if side.depth_reached {
                // What is there is all there will be.
            } else if hole || (available == 0 && !end) || side.readable(progress).0 == progress {
                return;
            }
            let limit = !self.pseudo || self.tcp.state < TcpState::Closed;
            if limit && available < side.needed as u64 {
                let (reach, _) = side.readable(progress);
                let missing = side.after_hole(reach).is_some() && acked > reach && side.needed > 0;
                if !missing {
                    return;
                }
                // The rest of the message is lost: what there is of it is passed over with the gap.
                let side = self.streams.side_mut(direction);
                side.app = side.app.saturating_add(available);
                side.needed = side
                    .needed
                    .saturating_sub(usize::try_from(available).unwrap_or(usize::MAX));
                if available == 0 {
                    return;
                }
                continue;
            }
            let depth_reached = side.depth_reached;
            self.streams.side_mut(direction).needed = 0;
            let reversed = self.flow.reversed;
            let next = self.offer(direction, progress, progress + available, 0, nesting);
            if self.flow.reversed != reversed {
                direction = direction.reverse();
            }
            let moved = self.streams.side(direction).app != progress;
            if !moved || self.streams.app_done || next == Next::ProtocolChange || depth_reached {
                return;
            }
        }
    }

    /// One offer and what follows from the answer.
    fn offer(&mut self, direction: Direction, from: u64, to: u64, gap: u64, nesting: u8) -> Next {
        let mut direction = direction;
        for round in 0..4 {
            let side = self.streams.side(direction);
            let bytes = side.bytes_between(from, to);
            let [client, server] = &self.tcp.sides;
            let offer = Offer {
                direction,
                bytes,
                gap,
                end: self.tcp.state == TcpState::Closed || self.pseudo,
                offset: from,
                ts: self.packet.ts,
                first_data: self.streams.first_data,
                midstream: self.tcp.midstream && !self.tcp.midstream_synack,
                established: self.tcp.state >= TcpState::Established,
                depth_reached: side.depth_reached,
                held: [
                    self.streams.side(Direction::ToServer).pending(),
                    self.streams.side(Direction::ToClient).pending(),
                ],
                windows: [client.window, server.window],
            };
            let taken = self.receiver.receive(self.flow, &offer);
            let len = bytes.len();
            let side = self.streams.side_mut(direction);
            let moved = if gap > 0 && taken.parsed {
                gap
            } else {
                taken.consumed.min(len) as u64
            };
            side.app = side.app.saturating_add(moved);
            side.needed = taken.needed;
            side.flush |= taken.flush;
            if let (true, Some(updated)) = (
                taken.parsed,
                self.verdict.updated.get_mut(direction.index()),
            ) {
                *updated = true;
            }
            match taken.next {
                Next::GoOn | Next::Wait => {}
                Next::OtherSideFirst => {
                    if round < 3 && nesting > 0 {
                        let reversed = self.flow.reversed;
                        self.hand_over(direction.reverse(), nesting - 1);
                        if self.flow.reversed != reversed {
                            direction = direction.reverse();
                        }
                        if !self.streams.app_done {
                            continue;
                        }
                    }
                }
                Next::Reverse => {
                    self.reverse();
                    direction = direction.reverse();
                    continue;
                }
                Next::ProtocolChange => self.flush_all(),
                Next::Stop => self.streams.app_done = true,
                Next::InspectionEnds => {
                    self.streams.app_done = true;
                    self.flush_all();
                    self.flow.no_payload_inspection = true;
                }
                Next::Encrypted => {
                    self.streams.app_done = true;
                    self.end_raw();
                    self.flow.no_payload_inspection = true;
                }
                Next::Bypass => {
                    self.streams.app_done = true;
                    self.flush_all();
                    self.end_raw();
                    self.verdict.bypass = true;
                    self.flow.no_payload_inspection = true;
                }
            }
            return taken.next;
        }
        Next::Wait
    }

    fn end_raw(&mut self) {
        for side in &mut self.streams.sides {
            side.raw_ending = true;
        }
    }

    /// Everything parsed so far is to be inspected before the packet.
    fn flush_all(&mut self) {
        self.verdict.flush = true;
        for side in &mut self.streams.sides {
            side.flush = true;
        }
    }
}

impl StreamEngine {
    /// See [`StreamEngine::window`].
    pub(super) fn raw_window<'s>(
        &self,
        direction: Direction,
        flow: &Flow,
        streams: &'s StreamPair,
        after: Option<u64>,
    ) -> Option<StreamWindow<'s>> {
        let tcp = flow.tcp.as_deref()?;
        let side = streams.side(direction);
        if side.closed || side.raw_ended {
            return None;
        }
        if self.settings.inline {
            return if after.is_none() {
                self.inline_window(direction, streams)
            } else {
                None
            };
        }
        let ending = streams
            .ending
            .get(direction.index())
            .copied()
            .unwrap_or(false);
        let acked = side.acked(tcp.side(direction).last_ack);
        let chunk = u64::from(
            self.settings
                .chunk_bytes
                .get(direction.index())
                .copied()
                .unwrap_or(2560),
        );
        let ready = side.depth_reached
            || side.flush
            || side.raw_ending
            || ending
            || tcp.state > TcpState::TimeWait
            || acked.saturating_sub(side.raw) >= chunk;
        let limit = if ending { side.right_edge() } else { acked };
        let from = after.unwrap_or(side.raw);
        if !ready || from >= limit {
            return None;
        }
        let from = side.next_readable(from)?;
        let (stop, _) = side.readable(from);
        let stop = stop.min(limit);
        if stop <= from {
            return None;
        }
        let bytes = side.bytes_between(from, stop);
        Some(StreamWindow {
            bytes,
            offset: from,
            seen: 0,
        })
    }

    /// The packet's bytes with as many of those around them as a chunk allows.
    fn inline_window<'s>(
        &self,
        direction: Direction,
        streams: &'s StreamPair,
    ) -> Option<StreamWindow<'s>> {
        let side = streams.side(direction);
        let (start, stop) = side.packet?;
        let len = stop.saturating_sub(start);
        let mut chunk = u64::from(
            self.settings
                .chunk_bytes
                .get(direction.index())
                .copied()
                .unwrap_or(2560),
        );
        if chunk <= len || chunk / 3 * 2 < len {
            chunk = len + chunk / 3;
        }
        let left = side.contiguous_start(start);
        let (right, _) = side.readable(start);
        let room = chunk.saturating_sub(len);
        let (before, after) = (start.saturating_sub(left), right.saturating_sub(stop));
        let (before, after) = if before + after <= room {
            (before, after)
        } else if after == 0 {
            (room, 0)
        } else if before == 0 {
            (0, room)
        } else if after >= room / 2 {
            if before >= room / 2 {
                (room / 2, room / 2)
            } else {
                (before, room - before)
            }
        } else {
            (room - after, after)
        };
        let from = start - before.min(start);
        let bytes = side.bytes_between(from, stop + after);
        (!bytes.is_empty()).then_some(StreamWindow {
            bytes,
            offset: from,
            seen: usize::try_from(before).unwrap_or(0),
        })
    }

    /// See [`StreamEngine::inspected`].
    pub(super) fn raw_inspected(
        &mut self,
        direction: Direction,
        flow: &Flow,
        streams: &mut StreamPair,
        upto: Option<u64>,
    ) {
        let Some(tcp) = flow.tcp.as_deref() else {
            return;
        };
        let side = streams.side_mut(direction);
        side.packet = None;
        if let Some(upto) = upto.filter(|upto| *upto > side.raw) {
            side.raw = upto;
            side.flush = false;
        }
        if side.raw_ending {
            side.raw_ended = true;
        }
        self.prune(direction, tcp, streams);
    }

    /// Gives up what no reader needs any more.
    fn prune(&mut self, direction: Direction, tcp: &TcpSession, streams: &mut StreamPair) {
        let app_done = streams.app_done;
        let chunk = u64::from(
            self.settings
                .chunk_bytes
                .get(direction.index())
                .copied()
                .unwrap_or(2560),
        );
        let inline = self.settings.inline;
        let side = streams.side_mut(direction);
        if side.closed {
            return;
        }
        if side.depth_reached || (app_done && side.raw_ended) {
            side.close(&mut self.spare);
        } else {
            let raw = if inline {
                side.raw.saturating_sub(chunk)
            } else {
                side.raw
            };
            let mut edge = match (app_done, side.raw_ended) {
                (false, false) => side.app.min(raw),
                (false, true) => side.app,
                (true, false) => raw,
                (true, true) => side.end(),
            };
            let last_ack = tcp.side(direction).last_ack;
            edge = edge.min(side.acked(last_ack));
            side.give_up(edge, &mut self.spare);
            side.pass_marks(last_ack);
        }
        self.book(streams);
    }

    /// Whether a direction has bytes that nobody looked at.
    pub(super) fn has_unread(streams: &StreamPair, direction: Direction) -> bool {
        let side = streams.side(direction);
        if side.closed {
            return false;
        }
        (!side.raw_ended && side.right_edge() > side.raw)
            || (!streams.app_done && side.end() > side.app)
    }
}
