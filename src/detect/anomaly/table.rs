//! A fixed-size table: eight-way sets, the least valuable entry of a full set gives way. All memory is reserved at start;
//! the kernel hands out its pages as they are used, so that a quiet network costs little.

use crate::stats::Memory;
use std::hash::{BuildHasher, Hash};

/// Entries of a set.
const WAYS: usize = 8;

/// A bounded map. `V::worth` ranks entries: the lowest goes first.
///
/// A set's tags (15 bits of the hash of each key, 0: empty) lie together, so that a key that is not there costs one line of
/// the cache. The entries stand one after the other, in the order in which they came.
#[derive(Debug)]
pub struct SetTable<K, V> {
    tags: Vec<[u16; WAYS]>,
    /// Where among the entries each way's is.
    at: Vec<[u32; WAYS]>,
    entries: Vec<(K, V)>,
    hasher: crate::packet::Keyed,
    /// Entries that had to go.
    pub evicted: u64,
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
            tags: vec![[0; WAYS]; sets],
            at: vec![[0; WAYS]; sets],
            entries: Vec::with_capacity(sets * WAYS),
            hasher: crate::packet::Keyed::default(),
            evicted: 0,
        }
    }

    /// Bytes the table takes.
    pub fn memory(&self) -> Memory {
        let set = size_of::<[u16; WAYS]>() + size_of::<[u32; WAYS]>();
        let entry = size_of::<(K, V)>();
        Memory {
            bytes: (self.tags.len() * (set + WAYS * entry)) as u64,
            used: (self.entries.len() * (entry + set / WAYS)) as u64,
        }
    }

    /// The set of a key, and the key's tag.
    fn place(&self, key: &K) -> (usize, u16) {
        let hash = self.hasher.hash_one(key);
        let set = hash as usize % self.tags.len().max(1);
        (set, (hash >> 48) as u16 | 1 << 15)
    }

    /// Where among the entries a key's is.
    fn find(&self, (set, tag): (usize, u16), key: &K) -> Option<usize> {
        let (tags, at) = (self.tags.get(set)?, self.at.get(set)?);
        tags.iter().zip(at).find_map(|(other, at)| {
            let at = *at as usize;
            let mine = *other == tag && self.entries.get(at).is_some_and(|(k, _)| k == key);
            mine.then_some(at)
        })
    }

    /// The entry of `key`, when it is there.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let place = self.place(key);
        let at = self.find(place, key)?;
        self.entries.get_mut(at).map(|(_, v)| v)
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.entries.iter()
    }

    /// The entry of `key`; made by `new` when it is not there.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        let place = self.place(&key);
        let (set, tag) = place;
        let at = match self.find(place, &key) {
            Some(at) => at,
            None => {
                let (tags, ways) = (self.tags.get_mut(set)?, self.at.get_mut(set)?);
                match tags.iter().position(|tag| *tag == 0) {
                    Some(free) => {
                        let at = self.entries.len();
                        *tags.get_mut(free)? = tag;
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
                        *tags.get_mut(least)? = tag;
                        *self.entries.get_mut(at)? = (key, new());
                        at
                    }
                }
            }
        };
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
        let share = f64::from(zero.max(1)) / 256.0;
        (-256.0 * share.ln()).round() as u32
    }
}

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
