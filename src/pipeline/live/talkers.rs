//! Who sends most: one packet in [`ONE_IN`] is counted, weighted by its length, in a small table of a worker.
//!
//! The table is Space-Saving (Metwally, Agrawal, El Abbadi, ICDT 2005): with [`PLACES`] places no source that sends more
//! than 1/[`PLACES`] of the sampled bytes is missed. Published every second, then begun anew; an estimate, for people.

use std::net::IpAddr;

use super::control::Control;
use crate::packet::{Batch, Net, Timestamp};

/// One packet in so many is counted.
const ONE_IN: usize = 16;
/// Sources a worker counts at a time.
const PLACES: usize = 128;
/// Sources published.
const SHOWN: usize = 32;

/// The table of one worker.
#[derive(Debug)]
pub(super) struct Talkers {
    worker: usize,
    places: Vec<(IpAddr, u64)>,
    skip: usize,
    since: Timestamp,
}

impl Talkers {
    pub fn new(worker: usize) -> Self {
        Self {
            worker,
            places: Vec::with_capacity(PLACES),
            skip: 0,
            since: Timestamp::default(),
        }
    }

    /// Counts, and publishes when a second is over.
    pub fn batch(&mut self, batch: &Batch, control: &Control) {
        let mut at = self.skip;
        while let Some(layers) = batch.packets.get(at) {
            at += ONE_IN;
            if matches!(layers.net, Net::V4 | Net::V6) {
                self.count(layers.src, u64::from(layers.frame.len) * ONE_IN as u64);
            }
        }
        self.skip = at.saturating_sub(batch.packets.len());
        if batch.now.since(self.since) < 1_000_000_000 {
            return;
        }
        let secs = batch.now.since(self.since) as f64 / 1e9;
        let first = self.since.0 == 0;
        self.since = batch.now;
        self.places
            .sort_unstable_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
        if let Some(slot) = control.talkers.get(self.worker)
            && let Ok(mut shown) = slot.lock()
        {
            shown.clear();
            let rate = |(who, bytes): &(IpAddr, u64)| (*who, (*bytes as f64 * 8.0 / secs) as u64);
            if !first {
                shown.extend(self.places.iter().take(SHOWN).map(rate));
            }
        }
        self.places.clear();
    }

    fn count(&mut self, who: IpAddr, bytes: u64) {
        if let Some((_, sum)) = self.places.iter_mut().find(|(known, _)| *known == who) {
            *sum += bytes;
        } else if self.places.len() < PLACES {
            self.places.push((who, bytes));
        } else if let Some(least) = self.places.iter_mut().min_by_key(|(_, sum)| *sum) {
            // The newcomer takes the place of the smallest, with its count: never too little.
            *least = (who, least.1 + bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heavy_source_is_found_among_many() {
        let mut talkers = Talkers::new(0);
        let heavy: IpAddr = "192.0.2.1".parse().expect("address");
        for i in 0..20_000u32 {
            talkers.count(IpAddr::from((0x0a00_0000 + i).to_be_bytes()), 60);
            if i % 10 == 0 {
                talkers.count(heavy, 1500);
            }
        }
        assert_eq!(talkers.places.len(), PLACES);
        let most = talkers.places.iter().max_by_key(|(_, bytes)| *bytes);
        assert_eq!(most.map(|(who, _)| *who), Some(heavy));
    }
}
