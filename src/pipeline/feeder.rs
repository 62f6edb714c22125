//! From a source to batches: takes frames, decodes them, and gives each worker its packets.
//!
//! Frames are numbered from 1. With several capture threads a number says when the frame came, so that the order of
//! numbers is the order of time whichever thread took them:
//!
//! ```text
//! nanoseconds since the sensor began, without their lowest six bits | capture thread (6 bits)
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::capture::{CaptureError, Frame, FrameBatch, Source};
use crate::decode::{DecodeSettings, Decoder, RawFrame};
use crate::packet::{Batch, FrameBytes, Layers, Slice, Timestamp};

/// Frames of a batch.
const FRAMES: usize = 256;

/// Packets whose flows are flushed together when a capture is over: as many flows at most.
pub(super) const SLICE: u64 = 4_096;

/// What was taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeederStats {
    /// Frames.
    pub frames: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Frames that made decoding fail.
    pub panics: u64,
}

/// Numbers of the frames of one of several capture threads.
#[derive(Clone, Copy, Debug)]
pub struct LaneNumbers {
    /// Which thread: 0..=63. Further ones share numbers with those.
    pub lane: u16,
    /// When the sensor began.
    pub since: Timestamp,
}

/// Capture threads that numbers tell apart, and what a number grows by at least: 64 ns.
const LANES: u64 = 64;

impl LaneNumbers {
    /// The number of a frame that came then, behind the one before it.
    fn next(self, before: u64, ts: Timestamp) -> u64 {
        let ns = ts.since(self.since).max(LANES);
        let number = ns / LANES * LANES + u64::from(self.lane) % LANES;
        number.max(before.saturating_add(LANES))
    }
}

/// Takes frames from sources and makes batches.
#[derive(Debug)]
pub struct Feeder {
    decoder: Decoder,
    frames: FrameBatch,
    packets: Vec<Layers>,
    extra: Vec<u8>,
    sequence: u64,
    number: u64,
    /// Live: what numbers are made of.
    numbers: Option<LaneNumbers>,
    /// Numbers of the frames of the last batch.
    taken: Vec<u64>,
    wire: u16,
    now: Timestamp,
    failed: Vec<u64>,
    /// See [`Feeder::finish_slice`].
    ends_below: u64,
    stats: FeederStats,
}

impl Feeder {
    /// A feeder.
    pub fn new(settings: DecodeSettings) -> Self {
        Self {
            decoder: Decoder::new(settings),
            frames: FrameBatch::default(),
            packets: Vec::new(),
            extra: Vec::new(),
            sequence: 0,
            number: 0,
            numbers: None,
            taken: Vec::new(),
            wire: 0,
            now: Timestamp(0),
            failed: Vec::new(),
            ends_below: 0,
            stats: FeederStats::default(),
        }
    }

    /// A feeder of one of several capture threads, which listens to `wire`.
    pub fn numbered(settings: DecodeSettings, wire: u16, numbers: LaneNumbers) -> Self {
        Self {
            numbers: Some(numbers),
            wire,
            ..Self::new(settings)
        }
    }

    /// Counters.
    pub fn stats(&self) -> FeederStats {
        self.stats
    }

    /// The decoder, for its counters.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Numbers of the frames last taken, in their order.
    pub fn taken(&self) -> &[u64] {
        &self.taken
    }

    /// The number of the next batch.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Says how late it is although no frame came (live): flows must time out on a silent wire too.
    pub fn pass_time(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        if let Some(numbers) = self.numbers {
            // What ends now comes behind what other threads saw before.
            self.number = numbers.next(self.number, now);
        }
    }

    /// Takes the next frames of `source` and shares their packets out over `batches` (one a worker, recycled). Says
    /// whether more may follow; with an error, what came before it is in the batches.
    pub fn next(
        &mut self,
        source: &mut dyn Source,
        batches: &mut [Batch],
    ) -> Result<bool, CaptureError> {
        let mut frames = std::mem::take(&mut self.frames);
        let result = source.fill(&mut frames, FRAMES);
        self.take(&frames, batches);
        frames.frames.clear();
        frames.bytes = FrameBytes::Empty;
        self.frames = frames;
        result
    }

    /// Decodes frames and shares their packets out over `batches`.
    pub fn take(&mut self, frames: &FrameBatch, batches: &mut [Batch]) {
        self.packets.clear();
        self.extra.clear();
        self.taken.clear();
        self.failed.clear();
        let mut list = frames.frames.iter();
        // A panic costs the frame that caused it, never the capture: the loop goes on behind it.
        while catch_unwind(AssertUnwindSafe(|| {
            for frame in list.by_ref() {
                self.decode(frame, &frames.bytes);
            }
        }))
        .is_err()
        {
            self.stats.panics += 1;
            self.failed.push(self.number);
        }
        self.share_out(&frames.bytes, batches);
    }

    fn decode(&mut self, frame: &Frame, bytes: &FrameBytes) {
        self.number = match self.numbers {
            Some(numbers) => numbers.next(self.number, frame.ts),
            None => self.number + 1,
        };
        self.taken.push(self.number);
        self.now = self.now.max(frame.ts);
        let bytes = bytes.slice(frame.slice.start, frame.slice.len);
        self.stats.frames += 1;
        self.stats.bytes += bytes.len() as u64;
        let raw = RawFrame {
            slice: frame.slice,
            bytes,
            link: frame.link,
            ts: frame.ts,
            number: self.number,
            interface: frame.interface,
            original_len: frame.original_len,
            unfinished: frame.unfinished,
        };
        self.decoder.decode(raw, &mut self.extra, &mut self.packets);
    }

    /// Numbers of the frames of the last batch that made decoding fail.
    pub fn failed(&self) -> &[u64] {
        &self.failed
    }

    /// An empty last batch for every worker: flows are to be flushed.
    pub fn finish(&mut self, batches: &mut [Batch]) {
        self.packets.clear();
        self.extra.clear();
        self.share_out(&FrameBytes::Empty, batches);
        for batch in batches {
            batch.last = true;
        }
    }

    /// The same in slices, so that not all flows that live when a capture ends are told of at a time: empty batches that
    /// flush flows by the number of their first packet. Says whether this was the last.
    pub fn finish_slice(&mut self, batches: &mut [Batch]) -> bool {
        self.ends_below = self.ends_below.saturating_add(SLICE);
        let last = self.ends_below > self.number;
        self.finish(batches);
        for batch in batches {
            batch.last = last;
            batch.ends_below = self.ends_below;
        }
        last
    }

    fn share_out(&mut self, bytes: &FrameBytes, batches: &mut [Batch]) {
        let workers = batches.len().max(1) as u64;
        for batch in batches.iter_mut() {
            batch.sequence = self.sequence;
            batch.now = self.now;
            batch.last_number = self.number;
            batch.last = false;
            batch.ends_below = 0;
            batch.bytes = bytes.clone();
            batch.extra.clear();
            batch.packets.clear();
        }
        self.sequence += 1;
        for packet in &mut self.packets {
            packet.wire = self.wire;
        }
        if let [batch] = batches {
            std::mem::swap(&mut self.packets, &mut batch.packets);
            std::mem::swap(&mut self.extra, &mut batch.extra);
            return;
        }
        for mut packet in self.packets.drain(..) {
            let Some(batch) = batches.get_mut((packet.hash % workers) as usize) else {
                continue;
            };
            if packet.frame.extra {
                packet.frame = copy_extra(&self.extra, packet.frame, &mut batch.extra);
            }
            batch.packets.push(packet);
        }
    }
}

/// Moves the bytes of a reassembled packet to the batch of its worker.
fn copy_extra(from: &[u8], slice: Slice, to: &mut Vec<u8>) -> Slice {
    let start = usize::try_from(slice.start).unwrap_or(usize::MAX);
    let bytes = from
        .get(start..)
        .and_then(|b| b.get(..slice.len as usize))
        .unwrap_or_default();
    let at = to.len() as u64;
    to.extend_from_slice(bytes);
    Slice {
        start: at,
        len: bytes.len() as u32,
        extra: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_carry_their_wire_for_one_worker_as_for_several() {
        let numbers = LaneNumbers {
            lane: 0,
            since: Timestamp(0),
        };
        for workers in [1, 2] {
            let mut feeder = Feeder::numbered(DecodeSettings::default(), 7, numbers);
            let mut batches: Vec<Batch> = (0..workers).map(|_| Batch::with_capacity(4)).collect();
            feeder.packets.push(Layers::default());
            feeder.share_out(&FrameBytes::Empty, &mut batches);
            let wires: Vec<u16> = batches
                .iter()
                .flat_map(|b| b.packets.iter().map(|p| p.wire))
                .collect();
            assert_eq!(wires, [7]);
        }
    }

    #[test]
    fn numbers_of_several_capture_threads_are_in_the_order_of_time_and_never_the_same() {
        let numbers = |lane| LaneNumbers {
            lane,
            since: Timestamp(1_000),
        };
        let at = |ns: u64| Timestamp(1_000 + ns);
        let early = numbers(1).next(0, at(10_000));
        let late = numbers(0).next(0, at(20_000));
        assert!(early < late);
        let same = [numbers(0).next(0, at(10_000)), early];
        assert_ne!(same[0], same[1]);
        // A clock that stands still, or goes back, does not make a number twice.
        assert!(numbers(1).next(early, at(10_000)) > early);
        assert!(numbers(1).next(early, at(5)) > early);
    }
}
