//! The block list, as far as the kernel can carry it out: sources that are dropped altogether.
//!
//! What user space blocks it blocks at once; the kernel's sets follow within a second, and from then on such frames cost
//! nothing here. Rates and containment stay with the workers.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::capture::BlockedSources;
use crate::grade::action::{Action, BlockList};
use crate::packet::Timestamp;

/// The sets of the kernel, and what is in them.
#[derive(Debug)]
pub(super) struct KernelBlocks {
    sets: Vec<Arc<dyn BlockedSources>>,
    inside: HashSet<(IpAddr, Timestamp)>,
    failed: bool,
}

impl KernelBlocks {
    pub fn new(sets: Vec<Arc<dyn BlockedSources>>) -> Self {
        Self {
            sets,
            inside: HashSet::new(),
            failed: false,
        }
    }

    /// Makes the sets what the list is at `now` (the packets' time).
    pub fn follow(&mut self, list: &BlockList, now: Timestamp) {
        if self.sets.is_empty() {
            return;
        }
        let wanted: HashSet<(IpAddr, Timestamp)> = list
            .entries(now)
            .into_iter()
            .filter_map(|entry| match entry.action {
                Action::DropSource { address, .. } => Some((address, entry.until)),
                _ => None,
            })
            .collect();
        if wanted == self.inside {
            return;
        }
        for set in &self.sets {
            for (address, _) in self.inside.difference(&wanted) {
                if !wanted.iter().any(|(a, _)| a == address) {
                    let _ = set.unblock(*address);
                }
            }
            for (address, until) in wanted.difference(&self.inside) {
                let left = Duration::from_nanos(until.since(now));
                if let Err(error) = set.block(*address, left)
                    && !self.failed
                {
                    // Said once; user space goes on blocking.
                    self.failed = true;
                    eprintln!("sekisho: the kernel's block list: {error}");
                }
            }
        }
        self.inside = wanted;
    }
}
