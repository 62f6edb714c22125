//! A fixed-size table: eight-way sets, the least valuable entry of a full set gives way. All memory is reserved at start;
//! the kernel hands out its pages as they are used, so that a quiet network costs little.

use crate::stats::Memory;
use std::hash::{BuildHasher, Hash};

/// Entries of a set.
const WAYS: usize = 8;

/// A bounded map. `V::worth` ranks entries: the lowest goes first.
///
/// A set's tags (15 bits of the hash of each key under a bit that is always set, 0: empty) lie together in one word, so
/// that a key that is not there costs one line of the cache and a handful of instructions. The entries stand one after the
/// other, in the order in which they came.
#[derive(Debug)]
pub struct SetTable<K, V> {
    tags: Vec<Tags>,
    /// Where among the entries each way's is.
    at: Vec<[u32; WAYS]>,
    entries: Vec<(K, V)>,
    /// The two entries found last: a flood asks for the same ones again and again.
    recent: [usize; 2],
    hasher: crate::packet::Keyed,
    /// Entries that had to go.
    pub evicted: u64,
}

/// The tags of a set, 16 bits each, the first way's lowest.
#[derive(Clone, Copy, Debug, Default)]
struct Tags(u128);

impl Tags {
    const ONES: u128 = 0x0001_0001_0001_0001_0001_0001_0001_0001;
    const TOPS: u128 = Self::ONES << 15;

    /// Ways that may have a tag, one bit each at the top of theirs: all that have it, and few others (a borrow of the
    /// subtraction runs on into the next way).
    fn like(self, tag: u16) -> u128 {
        let differs = self.0 ^ (Self::ONES * u128::from(tag));
        differs.wrapping_sub(Self::ONES) & !differs & Self::TOPS
    }

    /// The first empty way: the top bit of every other tag is set.
    fn empty(self) -> Option<usize> {
        let empty = !self.0 & Self::TOPS;
        (empty != 0).then(|| way(empty))
    }

    fn set(&mut self, way: usize, tag: u16) {
        let shift = (way % WAYS) * 16;
        self.0 = self.0 & !(0xffff << shift) | u128::from(tag) << shift;
    }
}

/// The way of the lowest bit.
fn way(bits: u128) -> usize {
    bits.trailing_zeros() as usize / 16
}

/// How much an entry is worth keeping.
pub trait Worth {
    /// Higher stays.
    fn worth(&self) -> u64;
}

impl<K: Eq + Hash + Copy, V: Worth> SetTable<K, V> {
    /// Room for `capacity` entries (rounded up to whole sets).
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).max(1);
        Self {
            tags: vec![Tags::default(); sets],
            at: vec![[0; WAYS]; sets],
            entries: Vec::with_capacity(sets * WAYS),
            recent: [0; 2],
            hasher: crate::packet::Keyed::default(),
            evicted: 0,
        }
    }

    /// Bytes the table takes.
    pub fn memory(&self) -> Memory {
        let set = size_of::<Tags>() + size_of::<[u32; WAYS]>();
        let entry = size_of::<(K, V)>();
        Memory {
            bytes: (self.tags.len() * (set + WAYS * entry)) as u64,
            used: (self.entries.len() * (entry + set / WAYS)) as u64,
        }
    }

    /// The set of a key, and the key's tag.
    fn place(&self, key: &K) -> (usize, u16) {
        let hash = self.hasher.hash_one(key);
        // The share of the sets that the low half is of its range (Lemire 2019): a division would take as long as the rest.
        let set = (u64::from(hash as u32) * self.tags.len() as u64) >> 32;
        (set as usize, (hash >> 48) as u16 | 1 << 15)
    }

    /// Where among the entries a key's is.
    fn find(&self, (set, tag): (usize, u16), key: &K) -> Option<usize> {
        let mut like = self.tags.get(set)?.like(tag);
        while like != 0 {
            let at = *self.at.get(set)?.get(way(like))? as usize;
            if self.entries.get(at).is_some_and(|(k, _)| k == key) {
                return Some(at);
            }
            like &= like - 1;
        }
        None
    }

    /// Where the entry of `key` is, when it is one of those found last.
    fn find_recent(&self, key: &K) -> Option<usize> {
        let mut recent = self.recent.iter().copied();
        recent.find(|at| self.entries.get(*at).is_some_and(|(k, _)| k == key))
    }

    fn note(&mut self, at: usize) {
        self.recent = [at, self.recent[0]];
    }

    /// The entry of `key`, when it is there.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = match self.find_recent(key) {
            Some(at) => at,
            None => {
                let at = self.find(self.place(key), key)?;
                self.note(at);
                at
            }
        };
        self.entries.get_mut(at).map(|(_, v)| v)
    }

    /// The entry of `key`, when it is there; it is none the more recent for it.
    pub fn peek(&self, key: &K) -> Option<&V> {
        let at = self.find(self.place(key), key)?;
        self.entries.get(at).map(|(_, v)| v)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }

    /// The entry of `key`; made by `new` when it is not there.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        if let Some(at) = self.find_recent(&key) {
            return self.entries.get_mut(at).map(|(_, v)| v);
        }
        let place = self.place(&key);
        let (set, tag) = place;
        let at = match self.find(place, &key) {
            Some(at) => at,
            None => {
                let (tags, ways) = (self.tags.get_mut(set)?, self.at.get_mut(set)?);
                match tags.empty() {
                    Some(free) => {
                        let at = self.entries.len();
                        tags.set(free, tag);
                        *ways.get_mut(free)? = u32::try_from(at).ok()?;
                        self.entries.push((key, new()));
                        at
                    }
                    None => {
                        self.evicted += 1;
                        let worth = |at: u32| {
                            let entry = self.entries.get(at as usize);
                            entry.map_or(0, |(_, v)| v.worth())
                        };
                        let (least, at) = ways
                            .iter()
                            .enumerate()
                            .min_by_key(|(_, at)| worth(**at))
                            .map(|(way, at)| (way, *at as usize))?;
                        tags.set(least, tag);
                        *self.entries.get_mut(at)? = (key, new());
                        at
                    }
                }
            }
        };
        self.note(at);
        self.entries.get_mut(at).map(|(_, v)| v)
    }
}

/// A set of up to some two hundred hashes in 32 bytes: enough to tell first contacts from repeated ones.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bitmap256([u64; 4]);

impl Bitmap256 {
    /// Adds a hash; whether it was new.
    pub fn insert(&mut self, hash: u64) -> bool {
        let (word, bit) = ((hash >> 6 & 3) as usize, 1u64 << (hash & 63));
        match self.0.get_mut(word) {
            Some(w) => {
                let new = *w & bit == 0;
                *w |= bit;
                new
            }
            None => false,
        }
    }

    /// Whether it was added, or one that falls on the same bit.
    pub fn contains(&self, hash: u64) -> bool {
        let (word, bit) = ((hash >> 6 & 3) as usize, 1u64 << (hash & 63));
        self.0.get(word).is_some_and(|w| w & bit != 0)
    }

    /// Estimate of the number of distinct hashes (linear counting, Whang 1990); saturates at about 1,400.
    pub fn estimate(&self) -> u32 {
        let zero = self.0.iter().map(|w| w.count_zeros()).sum::<u32>();
        ESTIMATES.get(zero as usize).copied().map_or(0, u32::from)
    }
}

/// `-256 ln(zero / 256)`, rounded, by the number of bits that are not set; without any, as with one. Made several times
/// for each SYN of a flood, and a logarithm takes as long as looking the record's hosts up.
const ESTIMATES: [u16; 257] = [
    1420, 1420, 1242, 1138, 1065, 1008, 961, 921, 887, 857, 830, 806, 783, 763, 744, 726, 710, 694,
    680, 666, 653, 640, 628, 617, 606, 596, 585, 576, 567, 558, 549, 540, 532, 524, 517, 509, 502,
    495, 488, 482, 475, 469, 463, 457, 451, 445, 439, 434, 429, 423, 418, 413, 408, 403, 398, 394,
    389, 385, 380, 376, 371, 367, 363, 359, 355, 351, 347, 343, 339, 336, 332, 328, 325, 321, 318,
    314, 311, 308, 304, 301, 298, 295, 291, 288, 285, 282, 279, 276, 273, 270, 268, 265, 262, 259,
    256, 254, 251, 248, 246, 243, 241, 238, 236, 233, 231, 228, 226, 223, 221, 219, 216, 214, 212,
    209, 207, 205, 203, 200, 198, 196, 194, 192, 190, 188, 186, 184, 181, 179, 177, 175, 173, 172,
    170, 168, 166, 164, 162, 160, 158, 156, 155, 153, 151, 149, 147, 146, 144, 142, 140, 139, 137,
    135, 133, 132, 130, 128, 127, 125, 124, 122, 120, 119, 117, 116, 114, 112, 111, 109, 108, 106,
    105, 103, 102, 100, 99, 97, 96, 94, 93, 92, 90, 89, 87, 86, 85, 83, 82, 80, 79, 78, 76, 75, 74,
    72, 71, 70, 68, 67, 66, 64, 63, 62, 61, 59, 58, 57, 56, 54, 53, 52, 51, 49, 48, 47, 46, 45, 43,
    42, 41, 40, 39, 38, 36, 35, 34, 33, 32, 31, 30, 29, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17,
    15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0,
];

#[cfg(test)]
mod tests {
    use super::*;

    impl Worth for u64 {
        fn worth(&self) -> u64 {
            *self
        }
    }

    #[test]
    fn the_least_valuable_entry_gives_way() {
        let mut table: SetTable<u32, u64> = SetTable::new(8);
        for key in 0..8 {
            table.entry(key, || u64::from(key) + 10);
        }
        table.entry(100, || 1);
        let keys: Vec<u32> = table.iter().map(|(k, _)| *k).collect();
        assert!(!keys.contains(&0) && keys.contains(&7) && keys.contains(&100));
        assert_eq!(table.evicted, 1);
    }

    #[test]
    fn tags_are_found_and_empty_ways_too() {
        let mut tags = Tags::default();
        assert_eq!(tags.empty(), Some(0));
        for place in 0..WAYS {
            assert_eq!(tags.empty(), Some(place));
            tags.set(place, 0x8000 | place as u16);
        }
        assert_eq!(tags.empty(), None);
        for place in 0..WAYS {
            assert_eq!(way(tags.like(0x8000 | place as u16)), place);
        }
        assert_eq!(tags.like(0x8765), 0);
        tags.set(3, 0x8765);
        assert_eq!(way(tags.like(0x8765)), 3);
        assert_eq!(way(tags.like(0x8007)), 7);
    }

    #[test]
    fn estimates_are_those_of_the_formula() {
        for (zero, estimate) in ESTIMATES.iter().enumerate() {
            let share = (zero.max(1) as f64) / 256.0;
            let exact = (-256.0 * share.ln()).round();
            assert_eq!(f64::from(*estimate), exact, "{zero}");
        }
    }

    #[test]
    fn estimates_follow_the_number_of_distinct_hashes() {
        let mut map = Bitmap256::default();
        let mix = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        for i in 0..100u64 {
            map.insert(mix(i));
            map.insert(mix(i));
        }
        assert!((80..=120).contains(&map.estimate()), "{}", map.estimate());
    }
}
