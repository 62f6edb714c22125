//! The bytes of one direction: what is in order, what came too early, how far each reader has come.
//!
//! ```text
//!   base        app, raw (readers)     end          right_edge
//!    │ ── bytes in order ── │ ───────── │   hole   │ block │ … │ block │
//! ```
//!
//! Offsets are 64 bit and count from the first byte after the SYN; sequence numbers wrap, offsets do not. Bytes that all
//! readers have passed are given up; an empty buffer gives its memory back to the worker, so that idle connections hold
//! none. Where segments overlap, [`OsPolicy`] decides, over what has not been given up yet.
//!
//! Limits: bytes and blocks out of order per direction (the caller's settings), [`SEGMENTS_MAX`] remembered boundaries.

use std::collections::VecDeque;

use super::policy::OsPolicy;
use super::urgent::Urgent;

/// Boundaries of segments remembered for overlap decisions. Older ones are forgotten: their bytes stay as they are.
const SEGMENTS_MAX: usize = 512;

/// Why a segment was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Too many bytes or blocks in this direction.
    Limit,
    /// No memory left in this worker.
    Memory,
}

/// What inserting a segment showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inserted {
    /// It overlaps another one.
    pub overlap: bool,
    /// With different bytes.
    pub different: bool,
}

/// Limits of one insertion.
#[derive(Clone, Copy, Debug)]
pub(super) struct InsertLimits {
    /// Bytes this direction may hold.
    pub bytes: usize,
    /// Blocks out of order it may hold.
    pub blocks: usize,
    /// Bytes the worker may still take.
    pub free: u64,
}

#[derive(Debug)]
struct Block {
    offset: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub struct StreamBuffer {
    /// Bytes in order; those before `head` were given up.
    bytes: Vec<u8>,
    head: usize,
    /// Offset of `bytes[head]`.
    base: u64,
    /// Sequence number of offset `base`.
    base_seq: u32,
    /// Bytes that came too early, in order of offset, neither overlapping nor touching.
    blocks: Vec<Block>,
    block_bytes: usize,
    /// Segments by offset: first and after-last.
    segments: VecDeque<(u64, u64)>,
    /// Offset after the last byte ever inserted.
    right_edge: u64,
    /// How far the application layer has come.
    pub(super) app: u64,
    /// How far raw inspection has come.
    pub(super) raw: u64,
    /// Bytes the parser waits for.
    pub(super) needed: usize,
    /// Urgent bytes taken out of the stream, once there were any.
    pub(super) urgent: Option<Box<Urgent>>,
    /// Policy of the host that sends this direction, once needed (for its view of RSTs and timestamps).
    pub(super) policy: Option<OsPolicy>,
    /// Policy of the host that receives this direction, which settles overlaps.
    pub(super) policy_of_data: Option<OsPolicy>,
    pub(super) seen_data: bool,
    pub(super) depth_reached: bool,
    /// Nothing is kept any more.
    pub(super) closed: bool,
    /// Raw inspection shall look at the next opportunity.
    pub(super) flush: bool,
    /// Raw inspection takes what there is and then ends.
    pub(super) raw_ending: bool,
    /// Raw inspection has ended.
    pub(super) raw_ended: bool,
    /// Right edge of the packet in hand, for inline windows: first and after-last offset.
    pub(super) packet: Option<(u64, u64)>,
}

impl StreamBuffer {
    /// Makes it empty, handing out the memory it held.
    pub(super) fn reset(&mut self, spare: &mut Vec<Vec<u8>>) {
        self.give_back(spare);
        let mut segments = std::mem::take(&mut self.segments);
        segments.clear();
        let mut blocks = std::mem::take(&mut self.blocks);
        // A connection of many pieces does not leave its lists to the next.
        if segments.capacity() > LISTED_MAX {
            segments = VecDeque::new();
        }
        if blocks.capacity() > LISTED_MAX {
            blocks = Vec::new();
        }
        *self = Self {
            segments,
            blocks,
            ..Self::default()
        };
    }

    /// Whether nothing but the sequence number of offset 0 was ever said to it.
    pub(super) fn is_untouched(&self) -> bool {
        let nothing_kept = self.bytes.is_empty()
            && self.blocks.is_empty()
            && self.segments.is_empty()
            && (self.head, self.base, self.right_edge) == (0, 0, 0);
        let nothing_read = (self.app, self.raw, self.needed) == (0, 0, 0) && self.urgent.is_none();
        let nothing_noted = !(self.seen_data
            || self.depth_reached
            || self.closed
            || self.flush
            || self.raw_ending
            || self.raw_ended);
        let nothing_known =
            self.policy.is_none() && self.policy_of_data.is_none() && self.packet.is_none();
        nothing_kept && nothing_read && nothing_noted && nothing_known
    }

    /// Says which sequence number offset 0 has. Only before data came.
    pub(super) fn start_at(&mut self, seq: u32) {
        if !self.seen_data {
            self.base_seq = seq;
        }
    }

    /// Sequence number of the first byte kept.
    pub(super) fn base_seq(&self) -> u32 {
        self.base_seq
    }

    /// Offset of the first byte kept.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Offset after the last byte in order.
    pub fn end(&self) -> u64 {
        self.base + (self.bytes.len() - self.head) as u64
    }

    /// Offset after the last byte received.
    pub fn right_edge(&self) -> u64 {
        self.right_edge.max(self.end())
    }

    /// Offset of a sequence number at or after the base; `None` before it.
    pub(super) fn offset_of(&self, seq: u32) -> Option<u64> {
        let distance = i64::from(seq.wrapping_sub(self.base_seq) as i32);
        let distance = u64::try_from(distance).ok()?;
        let urgent = self.urgent.as_ref();
        Some(self.base + distance - urgent.map_or(0, |urgent| urgent.before(self.base, distance)))
    }

    /// Takes the byte `distance` sequence numbers after the base out of the stream. False when it was read already, or is
    /// out already.
    pub(super) fn take_out(&mut self, distance: u64, spare: &mut Vec<Vec<u8>>) -> bool {
        let base = self.base;
        let known = self.urgent.as_ref();
        if known.is_some_and(|urgent| urgent.is_at(base, distance)) {
            return false;
        }
        let before = known.map_or(0, |urgent| urgent.before(base, distance));
        let at = base + distance - before;
        if at < self.end().max(self.app).max(self.raw) {
            return false;
        }
        let urgent = self.urgent.get_or_insert_default();
        urgent.taken = urgent.taken.saturating_add(1);
        let index = before as usize;
        for mark in urgent.marks.get_mut(index..).unwrap_or_default() {
            *mark -= 1;
        }
        urgent.marks.insert(index.min(urgent.marks.len()), at);
        // What came too early lies one further back than it should.
        for block in &mut self.blocks {
            if block.offset > at {
                block.offset -= 1;
            } else if let Ok(i) = usize::try_from(at - block.offset)
                && i < block.bytes.len()
            {
                block.bytes.remove(i);
                self.block_bytes -= 1;
            }
        }
        self.blocks.retain(|block| !block.bytes.is_empty());
        let mut i = 1;
        while let Some([first, second]) = self.blocks.get_mut(i - 1..=i) {
            if first.end() == second.offset {
                first.bytes.append(&mut second.bytes);
                let empty = self.blocks.remove(i);
                give(spare, empty.bytes);
            } else {
                i += 1;
            }
        }
        for (start, stop) in &mut self.segments {
            *start -= u64::from(*start > at);
            *stop -= u64::from(*stop > at);
        }
        self.right_edge -= u64::from(self.right_edge > at);
        self.join_blocks(spare);
        true
    }

    /// The sequence number of the base takes in the marks before it, and those at it that the receiver acknowledged.
    pub(super) fn pass_marks(&mut self, last_ack: u32) {
        let base = self.base;
        let Some(urgent) = &mut self.urgent else {
            return;
        };
        let before = urgent.marks.partition_point(|mark| *mark < base);
        let at = urgent.marks.partition_point(|mark| *mark <= base) - before;
        self.base_seq = self.base_seq.wrapping_add(before as u32);
        let acked = last_ack.wrapping_sub(self.base_seq) as i32;
        let acked = usize::try_from(acked).unwrap_or_default().min(at);
        self.base_seq = self.base_seq.wrapping_add(acked as u32);
        urgent.marks.drain(..before + acked);
    }

    /// Offset up to which the receiver acknowledged.
    pub(super) fn acked(&self, last_ack: u32) -> u64 {
        self.offset_of(last_ack).unwrap_or(self.base)
    }

    /// Bytes in order from `from` up to `to` (cut to what there is).
    pub fn slice(&self, from: u64, to: u64) -> &[u8] {
        let kept = self.bytes.get(self.head..).unwrap_or_default();
        let from = usize::try_from(from.saturating_sub(self.base))
            .unwrap_or(usize::MAX)
            .min(kept.len());
        let to = usize::try_from(to.saturating_sub(self.base))
            .unwrap_or(usize::MAX)
            .clamp(from, kept.len());
        kept.get(from..to).unwrap_or_default()
    }

    /// The first block after a hole at `offset`: where it begins.
    pub(super) fn after_hole(&self, offset: u64) -> Option<u64> {
        self.blocks
            .iter()
            .map(|block| block.offset)
            .find(|start| *start > offset)
    }

    fn block_at(&self, offset: u64) -> Option<&Block> {
        self.blocks
            .iter()
            .find(|block| block.offset <= offset && offset < block.end())
    }

    /// How far one can read from `offset` without a break, and whether what is there is a hole instead of bytes.
    /// Nothing there at all: `offset` itself.
    pub(super) fn readable(&self, offset: u64) -> (u64, bool) {
        if offset < self.end() {
            return (self.end(), false);
        }
        if let Some(block) = self.block_at(offset) {
            return (block.end(), false);
        }
        self.after_hole(offset)
            .map_or((offset, false), |start| (start, true))
    }

    /// The first offset at or after `offset` with bytes.
    pub(super) fn next_readable(&self, offset: u64) -> Option<u64> {
        if offset < self.end() || self.block_at(offset).is_some() {
            Some(offset)
        } else {
            self.after_hole(offset)
        }
    }

    /// How far back one can read from `offset` without a break.
    pub(super) fn contiguous_start(&self, offset: u64) -> u64 {
        if offset <= self.end() {
            return self.base.min(offset);
        }
        self.block_at(offset).map_or(offset, |block| block.offset)
    }

    /// Bytes of one stretch, in order or in a block.
    pub(super) fn bytes_between(&self, from: u64, to: u64) -> &[u8] {
        if from < self.end() || to <= from {
            return self.slice(from, to);
        }
        let Some(block) = self.block_at(from) else {
            return &[];
        };
        let range = (from - block.offset) as usize..(to.min(block.end()) - block.offset) as usize;
        block.bytes.get(range).unwrap_or_default()
    }

    /// Whether the depth is reached and what came before is still there.
    pub(super) fn ends_at_depth(&self) -> bool {
        self.depth_reached && !self.closed
    }

    /// Bytes not yet consumed by identification, in order or not.
    pub(super) fn pending(&self) -> u64 {
        self.end().saturating_sub(self.app) + self.block_bytes as u64
    }

    /// Memory taken: what the buffers hold, however little of it is in use.
    pub(super) fn held(&self) -> u64 {
        let blocks: usize = self.blocks.iter().map(|b| b.bytes.capacity()).sum();
        let lists = self.blocks.capacity() * size_of::<Block>()
            + self.segments.capacity() * size_of::<(u64, u64)>();
        let urgent = self.urgent.as_ref().map_or(0, |urgent| urgent.held());
        (self.bytes.capacity() + blocks + lists) as u64 + urgent
    }

    /// Adds a segment. Bytes before the base are ignored.
    pub(super) fn insert(
        &mut self,
        offset: u64,
        mut data: &[u8],
        limits: InsertLimits,
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<Inserted, Refused> {
        let mut start = offset;
        if start < self.base {
            let cut = usize::try_from(self.base - start).unwrap_or(usize::MAX);
            data = data.get(cut..).unwrap_or_default();
            start = self.base;
        }
        let stop = start + data.len() as u64;
        if data.is_empty() {
            return Ok(Inserted::default());
        }
        let kept = self.bytes.len() - self.head + self.block_bytes;
        if kept.saturating_add(data.len()) > limits.bytes {
            return Err(Refused::Limit);
        }
        // A growing buffer doubles: what counts is the memory taken, not the bytes in it. While it is copied, the old one is
        // there too.
        let room = self.bytes.capacity() - self.bytes.len();
        let more = if start > self.end() {
            data.len()
        } else if room < data.len() {
            self.bytes.capacity().max(self.bytes.len() + data.len())
        } else {
            0
        };
        if more as u64 > limits.free {
            return Err(Refused::Memory);
        }
        self.seen_data = true;
        let mut result = Inserted::default();
        if start == self.end() && self.blocks.first().is_none_or(|block| block.offset >= stop) {
            self.append(data, spare);
        } else {
            if start > self.end()
                && self.blocks.len() >= limits.blocks
                && !self.touches_block(start)
            {
                return Err(Refused::Limit);
            }
            result = self.insert_slowly(start, stop, data, spare);
        }
        self.join_blocks(spare);
        self.remember(start, stop);
        self.right_edge = self.right_edge.max(stop);
        Ok(result)
    }

    fn append(&mut self, data: &[u8], spare: &mut Vec<Vec<u8>>) {
        if self.bytes.capacity() == 0 {
            self.bytes = spare.pop().unwrap_or_default();
        }
        // What is moved to the front is at most twice what was given up, so that each byte is moved a few times at most;
        // else the buffer grows.
        let full = self.bytes.capacity() - self.bytes.len() < data.len();
        if full && self.head > 0 && self.head >= (self.bytes.len() - self.head) / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        self.bytes.extend_from_slice(data);
    }

    fn touches_block(&self, start: u64) -> bool {
        self.blocks.iter().any(|block| block.end() == start)
    }

    /// Settles overlaps, then writes the segment over what is there.
    fn insert_slowly(
        &mut self,
        start: u64,
        stop: u64,
        data: &[u8],
        spare: &mut Vec<Vec<u8>>,
    ) -> Inserted {
        let mut settled = spare.pop().unwrap_or_default();
        settled.clear();
        settled.extend_from_slice(data);
        let policy = self.policy_of_data.unwrap_or_default();
        let mut result = Inserted::default();
        // Whatever is already there stays, unless a segment it came with gives way by policy.
        self.visit_existing(start, stop, |at, old| {
            result.overlap = true;
            let from = (at - start) as usize;
            if let Some(new) = settled.get_mut(from..from + old.len())
                && *new != *old
            {
                result.different = true;
                new.copy_from_slice(old);
            }
        });
        if result.different {
            for &(old_start, old_stop) in &self.segments {
                let (from, to) = (old_start.max(start), old_stop.min(stop));
                if from < to && policy.prefers_new((start, stop), (old_start, old_stop)) {
                    let range = (from - start) as usize..(to - start) as usize;
                    if let (Some(to), Some(from)) =
                        (settled.get_mut(range.clone()), data.get(range))
                    {
                        to.copy_from_slice(from);
                    }
                }
            }
        }
        self.write(start, stop, settled, spare);
        result
    }

    /// Calls `visit` with every stretch of existing bytes within a range: offset and bytes.
    fn visit_existing(&self, start: u64, stop: u64, mut visit: impl FnMut(u64, &[u8])) {
        let in_order = self.slice(start, stop);
        if start < self.end() && !in_order.is_empty() {
            visit(start.max(self.base), in_order);
        }
        for block in &self.blocks {
            let (from, to) = (block.offset.max(start), block.end().min(stop));
            if from < to {
                let range = (from - block.offset) as usize..(to - block.offset) as usize;
                visit(from, block.bytes.get(range).unwrap_or_default());
            }
        }
    }

    /// Puts bytes in place, over what is there.
    fn write(&mut self, start: u64, stop: u64, data: Vec<u8>, spare: &mut Vec<Vec<u8>>) {
        let end = self.end();
        // The part in order.
        if start < end {
            let at = self.head + (start - self.base) as usize;
            let len = ((stop.min(end)) - start) as usize;
            if let (Some(to), Some(from)) = (self.bytes.get_mut(at..at + len), data.get(..len)) {
                to.copy_from_slice(from);
            }
        }
        if stop <= end {
            give(spare, data);
            return;
        }
        let (from, data) = if start <= end {
            let tail = data.get((end - start) as usize..).unwrap_or_default();
            self.append(tail, spare);
            // Blocks it covers are swallowed; one it reaches into continues behind it.
            let stop = self.end();
            self.block_bytes = 0;
            let mut i = 0;
            while let Some(block) = self.blocks.get_mut(i) {
                if block.end() <= stop {
                    let block = self.blocks.remove(i);
                    give(spare, block.bytes);
                    continue;
                }
                if block.offset < stop {
                    block.bytes.drain(..(stop - block.offset) as usize);
                    block.offset = stop;
                }
                self.block_bytes += block.bytes.len();
                i += 1;
            }
            give(spare, data);
            return;
        } else {
            (start, data)
        };
        // Out of order: one block made of it and of every block it overlaps or touches.
        let first = self.blocks.partition_point(|block| block.end() < from);
        let last = self.blocks.partition_point(|block| block.offset <= stop);
        let block = if first < last {
            let mut merged = self
                .blocks
                .get_mut(first)
                .map(|block| std::mem::take(&mut block.bytes))
                .unwrap_or_default();
            let offset = self.blocks.get(first).map_or(from, |block| block.offset);
            self.block_bytes -= merged.len();
            let mut whole = if from < offset {
                // It begins before the first block: its bytes come first.
                let mut whole = data;
                let stop = from + whole.len() as u64;
                whole.extend_from_slice(
                    merged
                        .get(
                            usize::try_from(stop - offset)
                                .unwrap_or(0)
                                .min(merged.len())..,
                        )
                        .unwrap_or_default(),
                );
                give(spare, merged);
                Block {
                    offset: from,
                    bytes: whole,
                }
            } else {
                let at = (from - offset) as usize;
                let keep = merged.len().saturating_sub(at).min(data.len());
                if let (Some(to), Some(from)) = (merged.get_mut(at..at + keep), data.get(..keep)) {
                    to.copy_from_slice(from);
                }
                merged.extend_from_slice(data.get(keep..).unwrap_or_default());
                give(spare, data);
                Block {
                    offset,
                    bytes: merged,
                }
            };
            for block in self.blocks.drain(first..last).skip(1) {
                self.block_bytes -= block.bytes.len();
                let overlap =
                    usize::try_from(whole.end().saturating_sub(block.offset)).unwrap_or(usize::MAX);
                whole
                    .bytes
                    .extend_from_slice(block.bytes.get(overlap..).unwrap_or_default());
                give(spare, block.bytes);
            }
            whole
        } else {
            Block {
                offset: from,
                bytes: fitting(data, spare),
            }
        };
        self.block_bytes += block.bytes.len();
        self.blocks.insert(first, block);
    }

    /// Moves blocks that the bytes in order have reached behind them.
    fn join_blocks(&mut self, spare: &mut Vec<Vec<u8>>) {
        while self
            .blocks
            .first()
            .is_some_and(|block| block.offset <= self.end())
        {
            let block = self.blocks.remove(0);
            self.block_bytes -= block.bytes.len();
            let overlap = usize::try_from(self.end() - block.offset).unwrap_or(usize::MAX);
            let fresh = block.bytes.get(overlap..).unwrap_or_default();
            self.append(fresh, spare);
            give(spare, block.bytes);
        }
    }

    fn remember(&mut self, start: u64, stop: u64) {
        match self.segments.back() {
            Some(last) if *last > (start, stop) => {
                let at = self
                    .segments
                    .partition_point(|segment| *segment < (start, stop));
                self.segments.insert(at, (start, stop));
            }
            _ => self.segments.push_back((start, stop)),
        }
        if self.segments.len() > SEGMENTS_MAX {
            self.segments.pop_front();
        }
    }

    /// Gives up everything before `offset`, holes included.
    pub(super) fn give_up(&mut self, offset: u64, spare: &mut Vec<Vec<u8>>) {
        let Some(cut) = offset
            .min(self.right_edge())
            .checked_sub(self.base)
            .filter(|cut| *cut > 0)
        else {
            return;
        };
        let offset = self.base + cut;
        let beyond = offset > self.end();
        self.head = if beyond {
            self.bytes.len()
        } else {
            self.head + cut as usize
        };
        self.base = offset;
        self.base_seq = self.base_seq.wrapping_add(cut as u32);
        self.pass_marks(self.base_seq);
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.1 <= offset)
        {
            self.segments.pop_front();
        }
        if self.segments.is_empty() && self.segments.capacity() > LISTED_MAX {
            self.segments = VecDeque::new();
        }
        if self.head == self.bytes.len() {
            self.head = 0;
            give(spare, std::mem::take(&mut self.bytes));
        } else if self.head > 65_536 && self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
        if beyond {
            self.join_blocks(spare);
        }
    }

    /// Gives up everything, and takes nothing more.
    pub(super) fn close(&mut self, spare: &mut Vec<Vec<u8>>) {
        self.closed = true;
        self.give_back(spare);
        self.segments = VecDeque::new();
        self.blocks = Vec::new();
    }

    fn give_back(&mut self, spare: &mut Vec<Vec<u8>>) {
        let end = self.end();
        self.base_seq = self.base_seq.wrapping_add((end - self.base) as u32);
        self.base = end;
        self.pass_marks(self.base_seq);
        self.head = 0;
        give(spare, std::mem::take(&mut self.bytes));
        for block in self.blocks.drain(..) {
            give(spare, block.bytes);
        }
        self.block_bytes = 0;
    }
}

/// Buffers kept for reuse, and the largest of them worth keeping.
const SPARE_MAX: usize = 256;
const SPARE_BYTES_MAX: usize = 64 * 1024;
/// The most memory that buffers kept for reuse take.
pub(super) const SPARE_BYTES: u64 = (SPARE_MAX * SPARE_BYTES_MAX) as u64;
/// Entries of lists that a buffer keeps for the next connection.
const LISTED_MAX: usize = 32;
/// Bytes of a block that may lie idle, besides as many as it has.
const IDLE_MAX: usize = 512;

/// The same bytes in a buffer of their size: a hole may stay open for long, and a few bytes behind it must not hold a buffer
/// made for many.
fn fitting(bytes: Vec<u8>, spare: &mut Vec<Vec<u8>>) -> Vec<u8> {
    if bytes.capacity() <= bytes.len() * 2 + IDLE_MAX {
        return bytes;
    }
    let fitting = bytes.as_slice().to_vec();
    give(spare, bytes);
    fitting
}

fn give(spare: &mut Vec<Vec<u8>>, mut bytes: Vec<u8>) {
    if bytes.capacity() > 0 && bytes.capacity() <= SPARE_BYTES_MAX && spare.len() < SPARE_MAX {
        bytes.clear();
        spare.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: InsertLimits = InsertLimits {
        bytes: 1 << 20,
        blocks: 64,
        free: 1 << 30,
    };

    fn put(buffer: &mut StreamBuffer, offset: u64, data: &[u8]) -> Inserted {
        buffer
            .insert(offset, data, LIMITS, &mut Vec::new())
            .expect("room")
    }

    #[test]
    fn segments_in_any_order_make_one_stream() {
        let mut buffer = StreamBuffer::default();
        for (offset, data) in [
            (6, "GH"),
            (2, "CD"),
            (9, "J"),
            (4, "EF"),
            (8, "I"),
            (0, "AB"),
        ] {
            assert_eq!(
                put(&mut buffer, offset, data.as_bytes()),
                Inserted::default()
            );
        }
        assert_eq!(buffer.slice(0, 100), b"ABCDEFGHIJ");
        assert!(buffer.blocks.is_empty() && buffer.block_bytes == 0);
    }

    #[test]
    fn overlap_keeps_what_the_policy_says() {
        for (policy, expected) in [
            (OsPolicy::First, "aaaaBBBBcc"),
            (OsPolicy::Last, "aaaaccccdc"),
            (OsPolicy::Bsd, "aaaaBBBBcc"),
            (OsPolicy::Solaris, "aaaaBBcccc"),
        ] {
            let mut buffer = StreamBuffer {
                policy_of_data: Some(policy),
                ..StreamBuffer::default()
            };
            put(&mut buffer, 0, b"aaaa");
            put(&mut buffer, 4, b"BBBB");
            let inserted = put(
                &mut buffer,
                if policy == OsPolicy::Last { 4 } else { 6 },
                if policy == OsPolicy::Last {
                    b"ccccdc"
                } else {
                    b"cccc"
                },
            );
            assert_eq!(
                inserted,
                Inserted {
                    overlap: true,
                    different: true
                }
            );
            assert_eq!(buffer.slice(0, 100), expected.as_bytes(), "{policy:?}");
        }
    }

    #[test]
    fn a_segment_that_begins_earlier_wins_for_bsd_but_not_for_first() {
        for (policy, expected) in [(OsPolicy::Bsd, b"xyyyyzz"), (OsPolicy::First, b"xyyzzzz")] {
            let mut buffer = StreamBuffer {
                policy_of_data: Some(policy),
                ..StreamBuffer::default()
            };
            put(&mut buffer, 3, b"zzzz");
            put(&mut buffer, 1, b"yyyy");
            put(&mut buffer, 0, b"x");
            assert_eq!(buffer.slice(0, 100), expected, "{policy:?}");
        }
    }

    #[test]
    fn equal_overlap_is_no_difference() {
        let mut buffer = StreamBuffer::default();
        put(&mut buffer, 0, b"hello");
        assert_eq!(
            put(&mut buffer, 2, b"llo w"),
            Inserted {
                overlap: true,
                different: false
            }
        );
        assert_eq!(buffer.slice(0, 100), b"hello w");
    }

    #[test]
    fn holes_are_bounded_in_number_and_bytes() {
        let mut buffer = StreamBuffer::default();
        for i in 0..64 {
            put(&mut buffer, 2 + 4 * i, b"x");
        }
        let full = buffer.insert(4000, b"y", LIMITS, &mut Vec::new());
        assert_eq!(full, Err(Refused::Limit));
        assert!(buffer.insert(0, b"ab", LIMITS, &mut Vec::new()).is_ok());
        let fat = buffer.insert(
            3,
            &[0; 100],
            InsertLimits {
                bytes: 50,
                ..LIMITS
            },
            &mut Vec::new(),
        );
        assert_eq!(fat, Err(Refused::Limit));
        let none = buffer.insert(
            3,
            &[0; 100],
            InsertLimits { free: 50, ..LIMITS },
            &mut Vec::new(),
        );
        assert_eq!(none, Err(Refused::Memory));
    }

    #[test]
    fn sequence_numbers_wrap_and_offsets_do_not() {
        let mut buffer = StreamBuffer::default();
        buffer.start_at(u32::MAX - 2);
        assert_eq!(buffer.offset_of(1), Some(4));
        assert_eq!(buffer.offset_of(u32::MAX - 10), None);
        put(&mut buffer, 0, b"0123456789");
        buffer.give_up(6, &mut Vec::new());
        assert_eq!((buffer.base_seq(), buffer.offset_of(5)), (3, Some(8)));
        assert_eq!(buffer.slice(0, 100), b"6789");
    }

    #[test]
    fn a_few_bytes_behind_a_hole_do_not_hold_a_buffer_made_for_many() {
        let mut spare = vec![Vec::with_capacity(60_000)];
        let mut buffer = StreamBuffer::default();
        for block in 1..=9 {
            buffer
                .insert(block * 1_000, b"few", LIMITS, &mut spare)
                .expect("room");
        }
        assert!(buffer.held() < 9 * IDLE_MAX as u64, "{}", buffer.held());
        assert_eq!(spare[0].capacity(), 60_000);
    }

    #[test]
    fn an_empty_buffer_holds_no_memory() {
        let mut spare = Vec::new();
        let mut buffer = StreamBuffer::default();
        buffer
            .insert(0, &[1; 5000], LIMITS, &mut spare)
            .expect("room");
        buffer
            .insert(9000, &[1; 100], LIMITS, &mut spare)
            .expect("room");
        buffer.give_up(5000, &mut spare);
        // The block, and a list of four blocks and one of four boundaries.
        assert_eq!(buffer.held(), 100 + 4 * 32 + 4 * 16);
        buffer.give_up(9020, &mut spare);
        assert_eq!(
            (buffer.base(), buffer.end(), buffer.block_bytes),
            (9020, 9100, 0)
        );
        buffer.close(&mut spare);
        assert_eq!(buffer.held(), 0);
        assert!(!spare.is_empty());
    }

    proptest! {
        /// Against a model that keeps every byte: first come, first kept.
        #[test]
        fn any_segments_read_as_the_model_does(
            segments in proptest::collection::vec((0u64..60, proptest::collection::vec(any::<u8>(), 1..20)), 1..40),
            cut in 0u64..40,
        ) {
            let mut buffer = StreamBuffer { policy_of_data: Some(OsPolicy::First), ..StreamBuffer::default() };
            let mut model: Vec<Option<u8>> = vec![None; 100];
            let mut spare = Vec::new();
            for (i, (offset, data)) in segments.iter().enumerate() {
                buffer.insert(*offset, data, LIMITS, &mut spare).expect("room");
                for (k, byte) in data.iter().enumerate() {
                    model[*offset as usize + k].get_or_insert(*byte);
                }
                let end = model.iter().position(|byte| byte.is_none()).unwrap_or(model.len()) as u64;
                prop_assert_eq!(buffer.end(), end);
                let bytes: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
                prop_assert_eq!(buffer.slice(0, 1000), bytes.get(buffer.base() as usize..).unwrap_or_default());
                let blocks: usize = buffer.blocks.iter().map(|block| block.bytes.len()).sum();
                prop_assert_eq!(blocks, buffer.block_bytes);
                for pair in buffer.blocks.windows(2) {
                    prop_assert!(pair[0].end() < pair[1].offset);
                }
                for block in &buffer.blocks {
                    for (k, byte) in block.bytes.iter().enumerate() {
                        prop_assert_eq!(model[block.offset as usize + k], Some(*byte));
                    }
                }
                if i == segments.len() / 2 {
                    buffer.give_up(cut.min(buffer.end()), &mut spare);
                }
            }
        }
    }
}
