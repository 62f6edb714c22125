//! Signatures on addresses alone: found by interval, so that a blocklist of thousands of networks costs one search.
//!
//! Each signature is entered by the side that holds fewer addresses. Elementary intervals list the signatures that cover
//! them; the header test decides about the rest. Signatures without any address stand in a list of their own.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::rules::AddressSet;

/// Signatures by interval of one family.
#[derive(Debug, Serialize, Deserialize)]
struct Intervals<T> {
    /// First addresses of the elementary intervals, ascending.
    starts: Vec<T>,
    /// For each interval, where its signatures begin in `ranks`; one more at the end.
    offsets: Vec<u32>,
    ranks: Vec<u32>,
    /// For each value of an address's upper bits, how many intervals begin with lower ones; and how many there are. What is
    /// left to be searched is a few.
    coarse: Vec<u32>,
}

/// Upper bits of an address by which the search begins: 16 KiB of numbers.
const COARSE_BITS: u32 = 12;

/// An address as a number.
trait Address: Copy + Ord {
    /// Its upper [`COARSE_BITS`].
    fn coarse(self) -> usize;
}

impl Address for u32 {
    fn coarse(self) -> usize {
        (self >> (Self::BITS - COARSE_BITS)) as usize
    }
}

impl Address for u128 {
    fn coarse(self) -> usize {
        (self >> (Self::BITS - COARSE_BITS)) as usize
    }
}

impl<T> Default for Intervals<T> {
    fn default() -> Self {
        Self {
            starts: Vec::new(),
            offsets: vec![0],
            ranks: Vec::new(),
            coarse: Vec::new(),
        }
    }
}

impl<T: Address> Intervals<T> {
    /// From inclusive ranges with their ranks. `after` is the next address, none after the last.
    fn build(ranges: &[(T, T, u32)], after: impl Fn(T) -> Option<T>) -> Self {
        let mut edges: Vec<(T, bool, u32)> = Vec::with_capacity(ranges.len() * 2);
        for (first, last, rank) in ranges {
            edges.push((*first, true, *rank));
            if let Some(next) = after(*last) {
                edges.push((next, false, *rank));
            }
        }
        edges.sort_unstable();
        let mut this = Self::default();
        let mut active: Vec<u32> = Vec::new();
        let mut edges = edges.into_iter().peekable();
        while let Some((at, enters, rank)) = edges.next() {
            if enters {
                active.push(rank);
            } else if let Some(i) = active.iter().position(|r| *r == rank) {
                active.swap_remove(i);
            }
            if edges.peek().is_none_or(|(next, ..)| *next != at) {
                this.starts.push(at);
                let mut here = active.clone();
                here.sort_unstable();
                here.dedup();
                this.ranks.extend_from_slice(&here);
                this.offsets
                    .push(u32::try_from(this.ranks.len()).unwrap_or(u32::MAX));
            }
        }
        if !this.starts.is_empty() {
            let below = |upper| this.starts.partition_point(|start| start.coarse() < upper);
            this.coarse = (0..=1 << COARSE_BITS)
                .map(|upper| u32::try_from(below(upper)).unwrap_or(u32::MAX))
                .collect();
        }
        this
    }

    fn at(&self, address: T) -> &[u32] {
        let upper = address.coarse();
        let (Some(low), Some(high)) = (self.coarse.get(upper), self.coarse.get(upper + 1)) else {
            return &[];
        };
        let (low, high) = (*low as usize, *high as usize);
        let near = self.starts.get(low..high).unwrap_or_default();
        let i = low + near.partition_point(|start| *start <= address);
        let Some(i) = i.checked_sub(1) else {
            return &[];
        };
        match (self.offsets.get(i), self.offsets.get(i + 1)) {
            (Some(from), Some(to)) => self
                .ranks
                .get(*from as usize..*to as usize)
                .unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Signatures by source or destination address.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct AddressIndex {
    v4: [Intervals<u32>; 2],
    v6: [Intervals<u128>; 2],
    everywhere: Vec<u32>,
}

/// Builds an [`AddressIndex`].
#[derive(Debug, Default)]
pub(super) struct AddressIndexBuilder {
    v4: [Vec<(u32, u32, u32)>; 2],
    v6: [Vec<(u128, u128, u32)>; 2],
    everywhere: Vec<u32>,
}

impl AddressIndexBuilder {
    /// Adds a signature that must be found whatever the addresses are.
    pub fn add_everywhere(&mut self, rank: u32) {
        self.everywhere.push(rank);
    }

    /// Adds a signature by its addresses.
    pub fn add(&mut self, rank: u32, src: &AddressSet, dst: &AddressSet) {
        let (side, set) = match (src.any, dst.any) {
            (true, true) => return self.everywhere.push(rank),
            (false, true) => (0, src),
            (true, false) => (1, dst),
            (false, false) if size(src) <= size(dst) => (0, src),
            (false, false) => (1, dst),
        };
        if let Some(list) = self.v4.get_mut(side) {
            list.extend(set.v4.iter().map(|(a, b)| (*a, *b, rank)));
        }
        if let Some(list) = self.v6.get_mut(side) {
            list.extend(set.v6.iter().map(|(a, b)| (*a, *b, rank)));
        }
    }

    /// The index.
    pub fn finish(self) -> AddressIndex {
        AddressIndex {
            v4: self
                .v4
                .map(|ranges| Intervals::build(&ranges, |a| a.checked_add(1))),
            v6: self
                .v6
                .map(|ranges| Intervals::build(&ranges, |a| a.checked_add(1))),
            everywhere: self.everywhere,
        }
    }
}

/// Addresses in a set, roughly: what matters is which of two is smaller.
fn size(set: &AddressSet) -> u64 {
    let v4: u64 = set
        .v4
        .iter()
        .map(|(a, b)| u64::from(b.saturating_sub(*a)) + 1)
        .sum();
    let v6 = set
        .v6
        .iter()
        .map(|(a, b)| b.saturating_sub(*a) >> 64)
        .fold(0u128, u128::saturating_add);
    v4.saturating_add(u64::try_from(v6).unwrap_or(u64::MAX))
}

impl AddressIndex {
    /// Adds the ranks of all signatures that these addresses may concern.
    pub fn collect(&self, src: IpAddr, dst: IpAddr, candidates: &mut Vec<u32>) {
        candidates.extend_from_slice(&self.everywhere);
        for (side, address) in [src, dst].into_iter().enumerate() {
            let found = match address {
                IpAddr::V4(v4) => self.v4.get(side).map(|i| i.at(u32::from(v4))),
                IpAddr::V6(v6) => self.v6.get(side).map(|i| i.at(u128::from(v6))),
            };
            candidates.extend_from_slice(found.unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(v4: &[(u32, u32)]) -> AddressSet {
        AddressSet {
            v4: v4.to_vec(),
            ..AddressSet::default()
        }
    }

    #[test]
    fn every_address_is_found_as_by_looking_at_all_ranges() {
        // Blocks of all sizes all over the range, its ends, and many within one value of the upper bits.
        let mut ranges = vec![
            (0, 5, 0),
            (u32::MAX - 9, u32::MAX, 1),
            (7 << 20, 9 << 20, 2),
        ];
        let mut x = 1u32;
        for rank in 3..200 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let first = if rank % 3 == 0 {
                0x0a00_0000 | x >> 12
            } else {
                x
            };
            ranges.push((first, first.saturating_add(x >> (rank % 29)), rank));
        }
        let index = Intervals::build(&ranges, |a: u32| a.checked_add(1));
        let edges = ranges.iter().flat_map(|(a, b, _)| [*a, *b]);
        for at in edges.flat_map(|e| [e.saturating_sub(1), e, e.saturating_add(1)]) {
            let mut all: Vec<u32> = ranges
                .iter()
                .filter(|(a, b, _)| (*a..=*b).contains(&at))
                .map(|(_, _, rank)| *rank)
                .collect();
            all.sort_unstable();
            assert_eq!(index.at(at), all, "{at:x}");
        }
        let none: Intervals<u128> = Intervals::build(&[], |a| a.checked_add(1));
        assert!(none.at(1).is_empty());
    }

    #[test]
    fn overlapping_ranges_are_all_found() {
        let any = AddressSet {
            any: true,
            ..AddressSet::default()
        };
        let mut builder = AddressIndexBuilder::default();
        builder.add(1, &set(&[(10, 20)]), &any);
        builder.add(2, &set(&[(15, 30), (40, 40)]), &any);
        builder.add(3, &any, &set(&[(0, u32::MAX)]));
        builder.add(4, &any, &any);
        let index = builder.finish();
        let find = |src: u32| {
            let mut found = Vec::new();
            index.collect(
                IpAddr::V4(src.into()),
                IpAddr::from([1, 1, 1, 1]),
                &mut found,
            );
            found.sort_unstable();
            found
        };
        assert_eq!(find(9), [3, 4]);
        assert_eq!(find(10), [1, 3, 4]);
        assert_eq!(find(15), [1, 2, 3, 4]);
        assert_eq!(find(21), [2, 3, 4]);
        assert_eq!(find(31), [3, 4]);
        assert_eq!(find(40), [2, 3, 4]);
        assert_eq!(find(41), [3, 4]);
    }

    #[test]
    fn the_smaller_side_is_entered() {
        let mut builder = AddressIndexBuilder::default();
        builder.add(1, &set(&[(0, 1 << 31)]), &set(&[(7, 7)]));
        let index = builder.finish();
        let mut found = Vec::new();
        index.collect(IpAddr::V4(5.into()), IpAddr::V4(8.into()), &mut found);
        assert!(found.is_empty());
        index.collect(IpAddr::V4(5.into()), IpAddr::V4(7.into()), &mut found);
        assert_eq!(found, [1]);
    }
}
