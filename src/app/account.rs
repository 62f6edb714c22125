//! What parsers hold: bytes of the heap by flow, by protocol, and by worker, as the allocator counts them
//! ([`crate::sys::heap`]).
//!
//! Everything between two readings of the counter is booked on the flow that was worked on: its session, transactions,
//! events, notes and frames. What a flow is booked for leaves the account when the flow ends, so that an error (an entry in
//! a table shared by flows, made in one flow's name) does not grow.
//!
//! When a worker's share of `app-layer.memcap` is used up, the flow that would grow is parsed no further
//! (`applayer_memcap_reached`), and flows that were silent for a while are given up; see [`Account::is_tight`]. A program
//! without the counting allocator has no account and no such bound.

use super::AppProto;
use crate::stats::{Memory, MemoryBound};

/// What one flow is booked for.
#[derive(Clone, Copy, Debug)]
pub struct Booked {
    bytes: u64,
    proto: AppProto,
}

impl Default for Booked {
    fn default() -> Self {
        Self {
            bytes: 0,
            proto: AppProto::UNKNOWN,
        }
    }
}

impl Booked {
    /// Bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A worker's account.
#[derive(Debug)]
pub struct Account {
    cap: u64,
    held: u64,
    /// By number of the protocol.
    by_proto: [u64; PROTOS],
    most: Most,
    /// Flows parsed no further because there was no memory.
    pub refused: u64,
}

/// Protocols told apart, and a place for what belongs to none (yet).
const PROTOS: usize = 128;

/// The most that was held at a time, by number of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Most([u64; PROTOS]);

impl Default for Most {
    fn default() -> Self {
        Self([0; PROTOS])
    }
}

impl Most {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Protocols for which something was held, the greediest first.
    pub fn list(&self) -> Vec<(&'static str, u64)> {
        let each = (0u8..).zip(self.0).filter(|(_, bytes)| *bytes > 0);
        let mut list: Vec<_> = each
            .map(|(number, bytes)| (AppProto(number).name(), bytes))
            .collect();
        list.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        list
    }
}

fn slot(proto: AppProto) -> usize {
    usize::from(proto.0).min(PROTOS - 1)
}

impl Account {
    /// Nothing is held yet, of so many bytes.
    pub fn new(cap: u64) -> Self {
        Self {
            cap,
            held: 0,
            by_proto: [0; PROTOS],
            most: Most::default(),
            refused: 0,
        }
    }

    /// Books what work on a flow took (or gave back), which speaks `proto` now. Says whether it took something that is not
    /// there to be taken.
    pub fn book(&mut self, booked: &mut Booked, bytes: i64, proto: AppProto) -> bool {
        if bytes == 0 {
            return false;
        }
        let now = Booked {
            bytes: booked.bytes.saturating_add_signed(bytes),
            proto,
        };
        self.change(*booked, now);
        *booked = now;
        bytes > 0 && self.held > self.cap
    }

    /// A flow ended, and what was booked for it is free.
    pub fn release(&mut self, booked: &mut Booked) {
        self.change(*booked, Booked::default());
        *booked = Booked::default();
    }

    fn change(&mut self, before: Booked, after: Booked) {
        self.held = self
            .held
            .saturating_sub(before.bytes)
            .saturating_add(after.bytes);
        if let Some(sum) = self.by_proto.get_mut(slot(before.proto)) {
            *sum = sum.saturating_sub(before.bytes);
        }
        if let Some(sum) = self.by_proto.get_mut(slot(after.proto)) {
            *sum = sum.saturating_add(after.bytes);
            if let Some(most) = self.most.0.get_mut(slot(after.proto)) {
                *most = (*most).max(*sum);
            }
        }
    }

    /// The most that was held at a time, by protocol.
    pub fn most(&self) -> Most {
        self.most
    }

    /// Bytes held for a protocol.
    pub fn of(&self, proto: AppProto) -> u64 {
        let sum = self.by_proto.get(slot(proto));
        sum.copied().unwrap_or(0)
    }

    /// Bytes held.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether seven eighths are used: silent flows are to give theirs back.
    pub fn is_tight(&self) -> bool {
        self.held > self.cap - self.cap / 8
    }

    /// The bound.
    pub fn bound(&self) -> MemoryBound {
        let memory = Memory {
            bytes: self.cap,
            used: self.held,
        };
        memory.of("application layer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_flows_hold_is_known_by_protocol_and_leaves_with_them() {
        let mut account = Account::new(1_000);
        let (mut one, mut other) = (Booked::default(), Booked::default());
        let (http, http2) = (AppProto(3), AppProto(4));
        assert!(!account.book(&mut one, 500, AppProto::UNKNOWN));
        assert!(!account.book(&mut one, 100, http));
        assert_eq!((account.of(AppProto::UNKNOWN), account.of(http)), (0, 600));
        assert!(!account.book(&mut other, 300, http));
        assert!(account.is_tight());
        assert!(account.book(&mut other, 200, http2));
        assert!(!account.book(&mut other, -50, http2));
        assert_eq!((account.of(http), account.of(http2)), (600, 450));
        account.release(&mut one);
        // What is freed in another flow's name does not make less than nothing.
        account.book(&mut other, -5_000, http2);
        account.release(&mut other);
        assert_eq!((account.held(), account.of(http2)), (0, 0));
        let most = account.most().list();
        assert_eq!(
            most.iter().map(|(_, bytes)| *bytes).collect::<Vec<_>>(),
            [900, 500, 500]
        );
    }
}
