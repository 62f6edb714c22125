//! A timing wheel of one-second slots over a slab: arming, disarming and expiring cost the same for any number of flows.
//!
//! Links live in the slab's entries, so the wheel itself never allocates. Deadlines beyond its span wait in the last
//! slot and are armed again when it comes round; so does a flow that was active meanwhile, which is why activity
//! costs nothing here. Time that jumps by years turns the wheel once, time that stands still or goes back not at all.

/// Slots, in seconds. Longer than every default timeout but the longest needs two rounds at most.
const SPAN: u64 = 1024;

/// End of a list.
pub(super) const NONE: u32 = u32::MAX;

/// Links of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct WheelLink {
    next: u32,
    prev: u32,
    /// Slot it is in, plus one; 0 when it is in none.
    slot: u16,
}

impl Default for WheelLink {
    fn default() -> Self {
        Self {
            next: NONE,
            prev: NONE,
            slot: 0,
        }
    }
}

/// The slab as the wheel sees it.
pub(super) trait WheelSlab {
    /// The links of an entry.
    fn link(&mut self, index: u32) -> Option<&mut WheelLink>;
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Vec<u32>,
    /// The second up to which slots were taken out.
    now_secs: Option<u64>,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            heads: vec![NONE; SPAN as usize],
            now_secs: None,
        }
    }

    /// Puts an entry where it will be taken out at `deadline_secs` or somewhat earlier. Taken out of its old slot first.
    pub(super) fn arm(&mut self, slab: &mut impl WheelSlab, index: u32, deadline_secs: u64) {
        self.disarm(slab, index);
        // Before the first turn there is no time to count from: the first turn looks at every slot.
        let at = match self.now_secs {
            Some(now) => deadline_secs.clamp(now + 1, now + SPAN - 1),
            None => deadline_secs,
        };
        let slot = (at % SPAN) as usize;
        let Some(head) = self.heads.get_mut(slot) else {
            return;
        };
        let next = std::mem::replace(head, index);
        if let Some(link) = slab.link(next) {
            link.prev = index;
        }
        if let Some(link) = slab.link(index) {
            *link = WheelLink {
                next,
                prev: NONE,
                slot: slot as u16 + 1,
            };
        }
    }

    /// Takes an entry out.
    pub(super) fn disarm(&mut self, slab: &mut impl WheelSlab, index: u32) {
        let Some(link) = slab.link(index) else { return };
        let WheelLink { next, prev, slot } = std::mem::take(link);
        let Some(slot) = usize::from(slot).checked_sub(1) else {
            return;
        };
        if let Some(link) = slab.link(next) {
            link.prev = prev;
        }
        match slab.link(prev) {
            Some(link) => link.next = next,
            None => {
                if let Some(head) = self.heads.get_mut(slot) {
                    *head = next;
                }
            }
        }
    }

    /// Turns to `now_secs`, taking everything out of the slots passed into `out`.
    pub(super) fn turn(&mut self, slab: &mut impl WheelSlab, now_secs: u64, out: &mut Vec<u32>) {
        let (from, turns) = match self.now_secs {
            Some(from) if now_secs <= from => return,
            Some(from) => (from, (now_secs - from).min(SPAN)),
            None => (now_secs, SPAN),
        };
        for second in from + 1..=from + turns {
            let Some(head) = self.heads.get_mut((second % SPAN) as usize) else {
                continue;
            };
            let mut index = std::mem::replace(head, NONE);
            while let Some(link) = slab.link(index) {
                out.push(index);
                index = std::mem::take(link).next;
            }
        }
        self.now_secs = Some(now_secs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slab(Vec<WheelLink>);
    impl WheelSlab for Slab {
        fn link(&mut self, index: u32) -> Option<&mut WheelLink> {
            self.0.get_mut(index as usize)
        }
    }

    fn turn(wheel: &mut Wheel, slab: &mut Slab, now: u64) -> Vec<u32> {
        let mut out = Vec::new();
        wheel.turn(slab, now, &mut out);
        out.sort_unstable();
        out
    }

    #[test]
    fn entries_come_out_at_their_second_and_disarmed_ones_do_not() {
        let (mut wheel, mut slab) = (Wheel::new(), Slab(vec![WheelLink::default(); 4]));
        assert!(turn(&mut wheel, &mut slab, 1000).is_empty());
        for (i, at) in [1005, 1005, 1005, 1010].into_iter().enumerate() {
            wheel.arm(&mut slab, i as u32, at);
        }
        wheel.disarm(&mut slab, 1);
        assert!(turn(&mut wheel, &mut slab, 1004).is_empty());
        assert_eq!(turn(&mut wheel, &mut slab, 1005), [0, 2]);
        assert_eq!(turn(&mut wheel, &mut slab, 1010), [3]);
    }

    #[test]
    fn what_was_armed_before_the_first_turn_comes_out_in_time_whoever_was_first() {
        let (mut wheel, mut slab) = (Wheel::new(), Slab(vec![WheelLink::default(); 2]));
        wheel.arm(&mut slab, 0, 1060);
        wheel.arm(&mut slab, 1, 1030);
        // The first turn gives everything back for a look at its true deadline.
        assert_eq!(turn(&mut wheel, &mut slab, 1000), [0, 1]);
        wheel.arm(&mut slab, 0, 1060);
        wheel.arm(&mut slab, 1, 1030);
        assert_eq!(turn(&mut wheel, &mut slab, 1030), [1]);
    }

    #[test]
    fn a_jump_of_years_takes_everything_out_once_and_a_jump_back_nothing() {
        let (mut wheel, mut slab) = (Wheel::new(), Slab(vec![WheelLink::default(); 2]));
        wheel.arm(&mut slab, 0, 500);
        wheel.arm(&mut slab, 1, 100_000);
        assert_eq!(turn(&mut wheel, &mut slab, 4_000_000_000), [0, 1]);
        wheel.arm(&mut slab, 0, 10);
        assert!(turn(&mut wheel, &mut slab, 20).is_empty());
        assert_eq!(turn(&mut wheel, &mut slab, 4_000_000_001), [0]);
    }
}
