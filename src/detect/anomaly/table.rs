//! A fixed-size table: eight-way sets, the least valuable entry of a full set gives way. All memory is taken at start.

use std::hash::{BuildHasher, Hash};

/// Entries of a set.
const WAYS: usize = 8;

/// A bounded map. `V::worth` ranks entries: the lowest goes first.
#[derive(Debug)]
pub struct SetTable<K, V> {
    slots: Vec<Option<(K, V)>>,
    sets: usize,
    hasher: foldhash::quality::RandomState,
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
            slots: (0..sets * WAYS).map(|_| None).collect(),
            sets,
            hasher: foldhash::quality::RandomState::default(),
            evicted: 0,
        }
    }

    /// Bytes the table takes.
    pub fn bytes(&self) -> u64 {
        (self.slots.len() * size_of::<Option<(K, V)>>()) as u64
    }

    /// The entry of `key`; made by `new` when it is not there.
    pub fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        let first = (self.hasher.hash_one(key) as usize % self.sets) * WAYS;
        let set = self.slots.get_mut(first..first + WAYS)?;
        let found = set
            .iter()
            .position(|slot| slot.as_ref().is_some_and(|(k, _)| *k == key));
        let at = match found.or_else(|| set.iter().position(Option::is_none)) {
            Some(at) => at,
            None => {
                self.evicted += 1;
                let worth = |slot: &Option<(K, V)>| slot.as_ref().map_or(0, |(_, v)| v.worth());
                set.iter()
                    .enumerate()
                    .min_by_key(|(_, slot)| worth(slot))
                    .map(|(at, _)| at)?
            }
        };
        let slot = set.get_mut(at)?;
        if found.is_none() {
            *slot = Some((key, new()));
        }
        slot.as_mut().map(|(_, v)| v)
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
        let keys: Vec<u32> = table.slots.iter().flatten().map(|(k, _)| *k).collect();
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
