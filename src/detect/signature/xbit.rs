//! xbits and hostbits: bits that hosts and pairs of hosts keep across flows. Settled in packet order.
//!
//! Bounded: when the table is full, expired bits go first, then those that expire soonest.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::alert::{XbitCondition, XbitOperation, XbitTrack};
use crate::packet::{FlowKey, Timestamp};
use crate::stats::Memory;

/// Bits kept.
const BITS_MAX: usize = 65_536;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Owner {
    Host(IpAddr),
    Pair(IpAddr, IpAddr),
}

/// All set bits with the time at which they expire.
#[derive(Debug, Default)]
pub struct Xbits {
    bits: HashMap<(u32, Owner), Timestamp, crate::packet::Keyed>,
    /// Bits that had to go before their time.
    pub evicted: u64,
}

impl Xbits {
    /// Whether all conditions hold.
    pub fn hold(&self, options: &[XbitCondition], key: &FlowKey, now: Timestamp) -> bool {
        options.iter().all(|option| match option.operation {
            XbitOperation::IsSet => self.is_set(option, key, now),
            XbitOperation::IsNotSet => !self.is_set(option, key, now),
            _ => true,
        })
    }

    /// Carries out the changes.
    pub fn carry_out(&mut self, options: &[XbitCondition], key: &FlowKey, now: Timestamp) {
        for option in options {
            self.change(option, key, now);
        }
    }

    /// Tests all conditions; when they hold, carries out the changes. Returns whether they held.
    #[cfg(test)]
    fn settle(&mut self, options: &[XbitCondition], key: &FlowKey, now: Timestamp) -> bool {
        let holds = self.hold(options, key, now);
        if holds {
            self.carry_out(options, key, now);
        }
        holds
    }

    fn is_set(&self, option: &XbitCondition, key: &FlowKey, now: Timestamp) -> bool {
        owner(option.track, key).is_some_and(|o| {
            self.bits
                .get(&(option.bit, o))
                .is_some_and(|end| now < *end)
        })
    }

    /// What all bits take.
    pub fn memory(&self) -> Memory {
        Memory::of_map::<((u32, Owner), Timestamp)>(self.bits.len(), BITS_MAX)
    }

    fn change(&mut self, option: &XbitCondition, key: &FlowKey, now: Timestamp) {
        let Some(owner) = owner(option.track, key) else {
            return;
        };
        let set = match option.operation {
            XbitOperation::Set => true,
            XbitOperation::Unset => false,
            XbitOperation::Toggle => !self.is_set(option, key, now),
            XbitOperation::IsSet | XbitOperation::IsNotSet => return,
        };
        if !set {
            self.bits.remove(&(option.bit, owner));
            return;
        }
        if self.bits.len() >= BITS_MAX && !self.bits.contains_key(&(option.bit, owner)) {
            self.make_room(now);
        }
        self.bits.insert(
            (option.bit, owner),
            now.plus_nanos(u64::from(option.expire_secs) * 1_000_000_000),
        );
    }

    fn make_room(&mut self, now: Timestamp) {
        self.bits.retain(|_, end| now < *end);
        if self.bits.len() >= BITS_MAX {
            let mut ends: Vec<Timestamp> = self.bits.values().copied().collect();
            let middle = ends.len() / 2;
            let (_, &mut median, _) = ends.select_nth_unstable(middle);
            let before = self.bits.len();
            self.bits.retain(|_, end| *end > median);
            self.evicted += (before - self.bits.len()) as u64;
        }
    }
}

fn owner(track: XbitTrack, key: &FlowKey) -> Option<Owner> {
    match track {
        XbitTrack::Source => Some(Owner::Host(key.src)),
        XbitTrack::Destination => Some(Owner::Host(key.dst)),
        XbitTrack::Pair => Some(Owner::Pair(key.src.min(key.dst), key.src.max(key.dst))),
        XbitTrack::Transaction => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bit_lives_for_its_time_and_belongs_to_its_owner() {
        let option = |operation| XbitCondition {
            operation,
            bit: 1,
            track: XbitTrack::Pair,
            expire_secs: 10,
        };
        let key = FlowKey {
            src: IpAddr::from([1, 1, 1, 1]),
            ..FlowKey::default()
        };
        let mut bits = Xbits::default();
        let at = |s| Timestamp::new(s, 0);
        assert!(!bits.settle(&[option(XbitOperation::IsSet)], &key, at(0)));
        assert!(bits.settle(
            &[option(XbitOperation::IsNotSet), option(XbitOperation::Set)],
            &key,
            at(0)
        ));
        assert!(bits.settle(&[option(XbitOperation::IsSet)], &key.reversed(), at(9)));
        assert!(!bits.settle(&[option(XbitOperation::IsSet)], &key, at(10)));
    }
}
