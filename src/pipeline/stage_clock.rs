//! What each stage of a worker costs: a sample of batches is measured, the others pay one comparison a stage.
//!
//! Deliberately not here: threads as wholes (their processor time is the kernel's to count), and single signatures
//! (`ctl profile`).

use std::time::Instant;

/// One batch of so many is measured: a clock takes some 25 ns, five a packet, which makes 2 ns a packet on average.
pub const EVERY: u64 = 64;

/// The stages of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Stage {
    /// The flow table.
    Flow,
    /// Streams and the application layer.
    Stream,
    /// Signatures.
    Signatures,
    /// Log lines, and records for the detectors.
    Log,
}

impl Stage {
    /// All of them, in the order of a packet.
    pub const NAMES: [&'static str; 4] = ["flow", "stream_app", "signatures", "log"];
}

/// What was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCosts {
    /// Packets that were measured.
    pub packets: u64,
    /// Nanoseconds, by stage.
    pub nanos: [u64; 4],
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct StageClock {
    /// Nothing is measured unless wanted: a replay reads no clock.
    pub wanted: bool,
    batches: u64,
    since: Option<Instant>,
    measuring: bool,
    /// So far.
    pub costs: StageCosts,
}

impl StageClock {
    /// A batch begins: it is measured, or not.
    pub fn batch(&mut self) {
        self.measuring = self.wanted && self.batches.is_multiple_of(EVERY);
        self.batches += 1;
    }

    /// A packet begins.
    #[inline]
    pub fn packet(&mut self) {
        if self.measuring {
            self.costs.packets += 1;
            self.since = Some(Instant::now());
        }
    }

    /// A stage is done.
    #[inline]
    pub fn done(&mut self, stage: Stage) {
        if !self.measuring {
            return;
        }
        let now = Instant::now();
        if let (Some(since), Some(sum)) = (
            self.since.replace(now),
            self.costs.nanos.get_mut(stage as usize),
        ) {
            *sum += u64::try_from((now - since).as_nanos()).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_batch_in_many_is_measured() {
        let mut clock = StageClock {
            wanted: true,
            ..StageClock::default()
        };
        for _ in 0..EVERY * 2 {
            clock.batch();
            for _ in 0..3 {
                clock.packet();
                clock.done(Stage::Flow);
                clock.done(Stage::Log);
            }
        }
        assert_eq!(clock.costs.packets, 6);
        assert_eq!((clock.costs.nanos[1], clock.costs.nanos[2]), (0, 0));
    }
}
